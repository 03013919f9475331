#include "engine/rows_record.h"

#include "base/status.h"
#include "column/row_key.h"
#include "table/row_block.h"

bool rows_record_encode(struct buffer *into, const struct rows_change *change, const uint32_t *column_ids,
                        const struct batch *batch) {
    bool ok = rows_change_encode(into, change);
    for (uint32_t i = 0; ok && i < batch->column_count; i++)
        ok = buffer_append_varint(into, column_ids[i]) && column_type_encode(into, batch->columns[i].type) &&
             column_encode(into, &batch->columns[i], 0, batch->rows);
    return ok;
}

static enum plinth_status decode_columns(struct rows_record *record, struct plinth_error *error) {
    struct batch *batch = record->batch;
    const struct rows_change *change = &record->change;
    const uint8_t *copy = arena_copy(&batch->arena, change->columns);
    uint32_t *ids = arena_alloc(&batch->arena, change->column_count * sizeof *ids);
    if (!copy || !ids) return error_no_memory(error, "rows");
    record->column_ids = ids;
    struct reader from = reader_of(slice_of(copy, change->columns.size));
    for (uint32_t i = 0; i < change->column_count; i++) {
        struct column_type type;
        ids[i] = reader_varint32(&from);
        if (!column_type_decode(&from, &type)) return error_set(error, PLINTH_CORRUPT, "malformed column of rows");
        enum plinth_status st = column_decode(&from, &batch->arena, type, change->rows, &batch->columns[i], error);
        if (st) return st;
    }
    if (reader_left(&from)) return error_set(error, PLINTH_CORRUPT, "bytes behind the last column of rows");
    return PLINTH_OK;
}

enum plinth_status rows_record_decode(struct slice payload, struct rows_record *record, struct plinth_error *error) {
    *record = (struct rows_record){0};
    if (!rows_change_decode(payload, &record->change))
        return error_set(error, PLINTH_CORRUPT, "malformed head of a rows record");
    record->batch = batch_create(record->change.column_count);
    if (!record->batch) return error_no_memory(error, "rows");
    record->batch->rows = record->change.rows;
    enum plinth_status st = decode_columns(record, error);
    if (st) rows_record_deinit(record);
    return st;
}

void rows_record_deinit(struct rows_record *record) {
    batch_unref(record->batch);
    *record = (struct rows_record){0};
}

/* The record's column with this id, or null. */
static const struct column *find_column(const struct rows_record *record, uint32_t id) {
    for (uint32_t i = 0; i < record->batch->column_count; i++)
        if (record->column_ids[i] == id) return &record->batch->columns[i];
    return NULL;
}

static enum plinth_status check_columns(const struct table_schema *schema, const struct rows_record *record,
                                        struct plinth_error *error) {
    for (uint32_t i = 0; i < record->batch->column_count; i++) {
        uint32_t id = record->column_ids[i];
        int32_t at = table_schema_find_id(schema, id);
        bool was_dropped = at < 0 && id && id < schema->next_column_id; /* meanwhile: readers pass over it */
        if ((at < 0 && !was_dropped) || find_column(record, id) != &record->batch->columns[i])
            return error_set(error, PLINTH_CORRUPT, "column %u is unknown or there twice", id);
        if (was_dropped) continue;
        struct column_type type = record->batch->columns[i].type;
        struct column_type wanted = schema->columns[at].type;
        bool became_wider = column_type_widens(type, wanted) &&
                            (!table_schema_is_key(schema, id) || column_type_same_keys(type, wanted));
        if (!column_type_equal(type, wanted) && !became_wider)
            return error_set(error, PLINTH_CORRUPT, "column \"%s\" has another type", schema->columns[at].name);
        if (record->change.operation == ROWS_DELETE && !table_schema_is_key(schema, id))
            return error_set(error, PLINTH_CORRUPT, "a delete has column \"%s\"", schema->columns[at].name);
    }
    for (uint32_t i = 0; i < schema->column_count; i++) {
        bool key = table_schema_is_key(schema, schema->columns[i].id);
        bool needed = key || (record->change.operation == ROWS_UPSERT && !schema->columns[i].nullable);
        const struct column *column = find_column(record, schema->columns[i].id);
        if (needed && !key && !column && schema->columns[i].initial_default) continue; /* it came meanwhile */
        if (needed && (!column || column->null_count))
            return error_set(error, PLINTH_CORRUPT, "column \"%s\" has no value", schema->columns[i].name);
    }
    return PLINTH_OK;
}

/* ---- key runs ---- */

static const struct column *written_column(const struct rows_written *written, uint32_t id) {
    for (uint32_t i = 0; i < written->batch->column_count; i++)
        if (written->column_ids[i] == id) return &written->batch->columns[i];
    return NULL;
}

/* The heads without nulls, in order and each once, as the keys of a run. */
static struct key_run *run_of_heads(struct arena *arena, const struct table_schema *schema,
                                    const struct table_index *index, const struct index_heads *heads) {
    uint32_t *order = arena_alloc(arena, ((size_t)heads->count + 1) * sizeof *order), count = 0, at = 0;
    uint32_t *offsets = arena_alloc(arena, ((size_t)heads->count + 1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(arena, (size_t)heads->keys.offsets[heads->count] + 1);
    if (!order || !offsets || !bytes || !row_keys_sort(&heads->keys, heads->count, order, NULL)) return NULL;
    for (uint32_t i = 0; i < heads->count; i++) {
        struct slice head = row_keys_at(&heads->keys, order[i]);
        struct reader reader = reader_of(head);
        bool has_null = true;
        if (!index_head_skip(&reader, schema, index, &has_null) || has_null) continue;
        if (count && slice_equal(head, slice_of(bytes + offsets[count - 1], at - offsets[count - 1]))) continue;
        offsets[count++] = at;
        memcpy(bytes + at, head.data, head.size);
        at += (uint32_t)head.size;
    }
    offsets[count] = at;
    const struct row_keys keys = {offsets, bytes};
    return key_run_create(index->id, &keys, count);
}

static struct key_run *index_run(const struct table_schema *schema, const struct table_index *index,
                                 const struct rows_written *written) {
    const struct column *columns[ROW_KEY_PARTS_MAX];
    struct index_heads heads;
    struct key_run *run = NULL;
    struct arena arena;
    arena_init(&arena);
    for (uint32_t i = 0; i < index->column_count; i++) columns[i] = written_column(written, index->columns[i]);
    if (index_heads_encode(&arena, schema, index, index->column_count, columns, written->batch->rows, &heads))
        run = run_of_heads(&arena, schema, index, &heads);
    arena_deinit(&arena);
    return run;
}

enum plinth_status rows_runs_make(const struct table_schema *schema, const struct rows_written *written,
                                  struct key_run **runs, struct plinth_error *error) {
    *runs = key_run_create(schema->id, written->keys, written->batch->rows);
    bool ok = *runs != NULL;
    for (uint32_t i = 0; ok && written->operation == ROWS_UPSERT && i < schema->index_count; i++) {
        if (!schema->indexes[i].unique) continue;
        struct key_run *run = index_run(schema, &schema->indexes[i], written);
        ok = run != NULL;
        key_runs_append(runs, run);
    }
    if (ok) return PLINTH_OK;
    key_runs_free(*runs);
    *runs = NULL;
    return error_no_memory(error, "conflict window");
}

static enum plinth_status runs_of_record(const struct table_schema *schema, const struct rows_record *record,
                                         const struct row_keys *keys, struct key_run **runs,
                                         struct plinth_error *error) {
    const struct rows_written written = {record->batch, record->column_ids, keys,
                                         (enum rows_operation)record->change.operation};
    return rows_runs_make(schema, &written, runs, error);
}

/* ---- order ---- */

static enum plinth_status encode_keys(const struct table_schema *schema, const struct rows_record *record,
                                      struct row_keys *keys, struct plinth_error *error) {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++)
        if (!(parts[i] = find_column(record, schema->key[i])))
            return error_set(error, PLINTH_CORRUPT, "rows without column %u of their key", schema->key[i]);
    if (row_keys_encode(&record->batch->arena, parts, schema->key_count, ROW_KEY_PRIMARY, record->batch->rows, keys))
        return PLINTH_OK;
    return error_no_memory(error, "keys of rows");
}

static enum plinth_status check_order(const struct table_schema *schema, const struct rows_record *record,
                                      struct key_run **runs, struct plinth_error *error) {
    if (!schema->key_count) {
        if (record->change.operation == ROWS_UPSERT)
            return runs ? runs_of_record(schema, record, NULL, runs, error) : PLINTH_OK;
        return error_set(error, PLINTH_CORRUPT, "a delete from a table without a key");
    }
    struct row_keys keys;
    enum plinth_status st = encode_keys(schema, record, &keys, error);
    if (st) return st;
    for (uint32_t i = 1; i < record->batch->rows; i++)
        if (slice_compare(row_keys_at(&keys, i - 1), row_keys_at(&keys, i)) >= 0)
            return error_set(error, PLINTH_CORRUPT, "rows %u and %u are not in the order of their keys", i - 1, i);
    return runs ? runs_of_record(schema, record, &keys, runs, error) : PLINTH_OK;
}

enum plinth_status rows_record_runs(const struct table_schema *schema, struct slice payload, struct key_run **runs,
                                    struct plinth_error *error) {
    struct rows_record record;
    struct row_keys keys;
    *runs = NULL;
    enum plinth_status st = rows_record_decode(payload, &record, error);
    if (st) return st;
    if (schema->key_count) st = encode_keys(schema, &record, &keys, error);
    if (!st) st = runs_of_record(schema, &record, schema->key_count ? &keys : NULL, runs, error);
    rows_record_deinit(&record);
    return st;
}

enum plinth_status rows_record_check(const struct table_schema *schema, struct slice payload, struct key_run **runs,
                                     struct plinth_error *error) {
    struct rows_record record;
    if (runs) *runs = NULL;
    enum plinth_status st = rows_record_decode(payload, &record, error);
    if (!st) st = check_columns(schema, &record, error);
    if (!st) st = check_order(schema, &record, runs, error);
    rows_record_deinit(&record);
    return st;
}
