/* The rows of a record as a feed gives them: with the present names and types of their columns, those that are wanted,
 * and what was there before.
 *
 * With with_previous a record is given in stretches: a delete of many small keys may name rows that are large. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/feed_private.h"

enum { PREVIOUS_ROWS = 512 }; /* of a stretch */

static enum plinth_status no_memory(struct plinth_error *error) { return error_no_memory(error, "change feed"); }

static void forget_given(struct feed_rows_reader *reader) {
    batch_unref(reader->given.batch);
    batch_unref(reader->given.previous);
    reader->given = (struct feed_rows){0};
}

void feed_rows_init(struct feed_rows_reader *reader) {
    *reader = (struct feed_rows_reader){0};
    arena_init(&reader->arena);
}

void feed_rows_reset(struct feed_rows_reader *reader) {
    struct arena arena = reader->arena;
    forget_given(reader);
    batch_unref(reader->shaped);
    rows_record_deinit(&reader->record);
    table_schema_unref(reader->schema);
    arena_reset(&arena);
    *reader = (struct feed_rows_reader){.arena = arena};
}

void feed_rows_deinit(struct feed_rows_reader *reader) {
    feed_rows_reset(reader);
    arena_deinit(&reader->arena);
}

bool feed_rows_are_left(const struct feed_rows_reader *reader) {
    return reader->shaped && reader->next < reader->shaped->rows;
}

/* ---- the record in the table's present shape ---- */

static void release_shaped(struct batch *batch) { batch_unref(batch->release_context); }

/* `column` in the type that the table has it in now. */
static enum plinth_status present_type(struct feed_rows_reader *reader, const struct column **column,
                                       struct column_type type, struct plinth_error *error) {
    struct batch *batch = reader->record.batch;
    if (column_type_equal((*column)->type, type)) return PLINTH_OK;
    struct column *cast = arena_alloc(&batch->arena, sizeof *cast);
    if (!cast) return no_memory(error);
    enum plinth_status st = column_cast(&batch->arena, *column, batch->rows, type, NULL, cast, error);
    *column = cast;
    return st;
}

/* The columns that were written and are there still, in the order that they were written in. */
static enum plinth_status shape(struct feed_rows_reader *reader, struct plinth_error *error) {
    const struct table_schema *schema = reader->schema;
    struct batch *batch = reader->record.batch;
    struct arena *arena = &reader->arena;
    struct arrow_field *fields = arena_alloc(arena, (batch->column_count + 1) * sizeof *fields);
    uint32_t *at = arena_alloc(arena, (batch->column_count + 1) * sizeof *at), count = 0;
    reader->columns = arena_zalloc(arena, (schema->column_count + 1) * sizeof *reader->columns);
    if (!fields || !at || !reader->columns) return no_memory(error);
    for (uint32_t i = 0; i < batch->column_count; i++) {
        int32_t found = table_schema_find_id(schema, reader->record.column_ids[i]);
        if (found < 0) continue; /* dropped since */
        const struct table_column *named = &schema->columns[found];
        const struct column *column = &batch->columns[i];
        enum plinth_status st = present_type(reader, &column, named->type, error);
        if (st) return st;
        reader->columns[found] = column;
        fields[count] = (struct arrow_field){named->name, named->type, named->nullable};
        at[count++] = (uint32_t)found;
    }
    reader->shape = (struct arrow_schema){fields, count};
    reader->shaped = batch_create(count);
    if (!reader->shaped) return no_memory(error);
    reader->shaped->rows = batch->rows;
    reader->shaped->release = release_shaped;
    reader->shaped->release_context = batch_ref(batch);
    for (uint32_t i = 0; i < count; i++) reader->shaped->columns[i] = *reader->columns[at[i]];
    return PLINTH_OK;
}

static bool copy_names(struct feed_rows_reader *reader, struct plinth *db) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *database = catalog_database_by_id(&db->shard.catalog, reader->schema->id.database);
    reader->database = (const char *)arena_copy(&reader->arena, slice_of_string(database ? database->name : ""));
    pthread_rwlock_unlock(&db->catalog_lock);
    reader->table = (const char *)arena_copy(&reader->arena, slice_of_string(reader->schema->name));
    return reader->database && reader->table;
}

/* The keys of all rows, and what their former versions are read into. */
static enum plinth_status prepare_previous(struct feed_rows_reader *reader, struct plinth_error *error) {
    const struct table_schema *schema = reader->schema;
    const struct column *parts[ROW_KEY_PARTS_MAX];
    struct arrow_field *fields = arena_alloc(&reader->arena, (schema->column_count + 1) * sizeof *fields);
    uint32_t *ids = arena_alloc(&reader->arena, (schema->column_count + 1) * sizeof *ids);
    if (!fields || !ids) return no_memory(error);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        fields[i] = (struct arrow_field){schema->columns[i].name, schema->columns[i].type, true};
        ids[i] = schema->columns[i].id;
    }
    for (uint32_t i = 0; i < schema->key_count; i++) {
        parts[i] = reader->columns[table_schema_find_id(schema, schema->key[i])];
        if (!parts[i])
            return error_set(error, PLINTH_CORRUPT, "rows of table \"%s\" at position %llu have no key", schema->name,
                             (unsigned long long)reader->lsn);
    }
    reader->ids = ids;
    reader->previous_shape = (struct arrow_schema){fields, schema->column_count};
    return row_keys_encode(&reader->arena, parts, schema->key_count, ROW_KEY_PRIMARY, reader->shaped->rows,
                           &reader->keys)
               ? PLINTH_OK
               : no_memory(error);
}

enum plinth_status feed_rows_begin(struct feed_rows_reader *reader, struct feed_filter *filter, struct slice payload,
                                   uint64_t lsn, bool with_previous, struct plinth_error *error) {
    struct rows_change change;
    feed_rows_reset(reader);
    if (!rows_change_decode(payload, &change))
        return error_set(error, PLINTH_CORRUPT, "malformed rows record %llu", (unsigned long long)lsn);
    if (!feed_filter_wants(filter, change.table)) return PLINTH_OK;
    enum plinth_status st = engine_schema_by_id(filter->db, change.table.table, &reader->schema, error);
    if (st == PLINTH_NOT_FOUND) return PLINTH_OK; /* dropped since: nobody needs its rows */
    reader->lsn = lsn;
    if (!st) st = feed_filter_bind(filter, reader->schema, &reader->predicate, error);
    if (!st) st = rows_record_decode(payload, &reader->record, error);
    if (!st && !copy_names(reader, filter->db)) st = no_memory(error);
    if (!st) st = shape(reader, error);
    reader->with_previous = with_previous && reader->schema && reader->schema->key_count;
    if (!st && reader->with_previous) st = prepare_previous(reader, error);
    if (st) feed_rows_reset(reader);
    return st;
}

/* ---- what was there before ---- */

/* `existed` gets a bit for each row that was there. */
static enum plinth_status read_previous(struct feed_rows_reader *reader, struct plinth *db, uint32_t count,
                                        uint8_t *existed, struct batch **previous, struct plinth_error *error) {
    const struct table_schema *schema = reader->schema;
    struct row_place *places = calloc(count, sizeof *places);
    struct slice *keys = malloc(count * sizeof *keys);
    struct view *view = view_current(&db->views);
    enum plinth_status st = places && keys ? PLINTH_OK : no_memory(error);
    for (uint32_t i = 0; !st && i < count; i++) keys[i] = row_keys_at(&reader->keys, reader->next + i);
    if (!st) st = view_find_rows(view, schema, keys, count, reader->lsn - 1, places, error);
    for (uint32_t i = 0; !st && i < count; i++) {
        if (places[i].lsn && places[i].operation == ROW_SET)
            bitmap_set(existed, i);
        else
            row_place_release(&places[i]); /* read as nulls */
    }
    if (!st) st = row_places_read(places, count, schema, reader->ids, schema->column_count, previous, error);
    for (uint32_t i = 0; places && i < count; i++) row_place_release(&places[i]);
    view_unref(view);
    free(places);
    free(keys);
    return st;
}

/* ---- which rows are wanted ---- */

/* Column pointers into a batch that has all columns of the schema. */
static const struct column **pointers_to(const struct batch *batch, struct arena *arena) {
    const struct column **columns = arena_alloc(arena, (batch->column_count + 1) * sizeof *columns);
    for (uint32_t i = 0; columns && i < batch->column_count; i++) columns[i] = &batch->columns[i];
    return columns;
}

/* The columns of rows [next, next + count) as the predicate sees them: what was not written is null, or what rows have
 * from before there was the column. */
static const struct column **columns_of_stretch(const struct feed_rows_reader *reader, uint32_t count,
                                                struct arena *arena) {
    const struct table_schema *schema = reader->schema;
    const struct column **columns = arena_alloc(arena, (schema->column_count + 1) * sizeof *columns);
    for (uint32_t i = 0; columns && i < schema->column_count; i++) {
        struct column *made = arena_alloc(arena, sizeof *made);
        bool ok = made != NULL;
        if (ok && reader->columns[i])
            ok = column_slice(arena, reader->columns[i], reader->next, count, made);
        else if (ok)
            ok = table_column_absent(arena, &schema->columns[i], count, made);
        if (!ok) return NULL;
        columns[i] = made;
    }
    return columns;
}

/* Rows for which the predicate holds after the write, or with_previous before it; deletes for which it held before, or
 * if that is not known, which the key alone does not rule out. */
static enum plinth_status select_rows(const struct feed_rows_reader *reader, uint32_t count, const uint8_t *existed,
                                      const struct batch *previous, uint8_t *selected, struct arena *scratch,
                                      struct plinth_error *error) {
    const struct feed_predicate *predicate = reader->predicate;
    bool deletes = reader->record.change.operation == ROWS_DELETE;
    size_t bytes = ((size_t)count + 7) / 8;
    const struct column **columns = NULL;
    memset(selected, predicate ? 0 : 0xff, bytes);
    if (!predicate) return PLINTH_OK;
    if (!deletes || !previous) {
        columns = columns_of_stretch(reader, count, scratch);
        if (!columns) return no_memory(error);
    }
    if (deletes && !previous) {
        for (uint32_t i = 0; i < count; i++)
            if (predicate_evaluate_row(predicate->by_key, columns, i) != TRUTH_FALSE) bitmap_set(selected, i);
        return PLINTH_OK;
    }
    if (!deletes && !predicate_evaluate(predicate->whole, columns, count, NULL, selected, scratch))
        return no_memory(error);
    if (!previous) return PLINTH_OK;
    uint8_t *before = arena_zalloc(scratch, bytes);
    const struct column **of_previous = pointers_to(previous, scratch);
    if (!before || !of_previous || !predicate_evaluate(predicate->whole, of_previous, count, existed, before, scratch))
        return no_memory(error);
    for (size_t i = 0; i < bytes; i++) selected[i] |= before[i];
    return PLINTH_OK;
}

/* ---- giving ---- */

static bool give(struct feed_rows_reader *reader, uint32_t count, const uint8_t *selected, struct batch *previous) {
    uint32_t wanted = (uint32_t)bitmap_count(selected, count);
    struct batch *whole = reader->shaped;
    bool all = wanted == count;
    struct batch *stretch = count == whole->rows ? batch_ref(whole) : batch_slice(whole, reader->next, count);
    reader->given = (struct feed_rows){.database = reader->database,
                                       .table = reader->table,
                                       .deleted = reader->record.change.operation == ROWS_DELETE,
                                       .schema = reader->shape,
                                       .previous_schema = reader->previous_shape};
    if (stretch) reader->given.batch = all ? batch_ref(stretch) : batch_filter(stretch, selected, wanted);
    if (previous) reader->given.previous = all ? batch_ref(previous) : batch_filter(previous, selected, wanted);
    batch_unref(stretch);
    return reader->given.batch && (!previous || reader->given.previous);
}

enum plinth_status feed_rows_next(struct feed_rows_reader *reader, struct plinth *db, const struct feed_rows **rows,
                                  struct plinth_error *error) {
    *rows = NULL;
    forget_given(reader);
    uint32_t count = reader->shaped->rows - reader->next;
    if (reader->with_previous && count > PREVIOUS_ROWS) count = PREVIOUS_ROWS;
    struct arena scratch;
    struct batch *previous = NULL;
    arena_init(&scratch);
    uint8_t *existed = arena_zalloc(&scratch, ((size_t)count + 7) / 8);
    uint8_t *selected = arena_zalloc(&scratch, ((size_t)count + 7) / 8);
    enum plinth_status st = existed && selected ? PLINTH_OK : no_memory(error);
    if (!st && reader->with_previous) st = read_previous(reader, db, count, existed, &previous, error);
    if (!st) st = select_rows(reader, count, existed, previous, selected, &scratch, error);
    if (!st && bitmap_count(selected, count)) {
        if (give(reader, count, selected, previous))
            *rows = &reader->given;
        else
            st = no_memory(error);
    }
    if (!st) reader->next += count;
    batch_unref(previous);
    arena_deinit(&scratch);
    return st;
}
