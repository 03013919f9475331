#include "query/change_where.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/table_gate.h"
#include "engine/transaction.h"
#include "query/key_range.h"
#include "query/predicate_text.h"
#include "query/query.h"

enum {
    ATTEMPTS_OPEN = 4,    /* before the table's writers are kept out */
    ATTEMPTS_MAX = 16,    /* a flush that comes in between makes one lose, too */
    PART_BYTES = 8 << 20, /* of one of several transactions */
};

/* A change on its way. */
struct changing {
    struct plinth *db;
    const char *database, *table;
    const struct where_change *change;
    const struct table_schema *schema; /* of this attempt; borrowed from its transaction */
    struct arena arena;                /* of this attempt */
    struct column *values;             /* by assignment: one row */
    uint32_t *targets, *sources;       /* by assignment: columns of the schema */
    struct slice *columns;             /* that are read */
    uint32_t column_count;
    struct buffer after; /* the last key that is done with; empty: none */
    bool more;           /* the attempt has not come to the end of the table */
    uint64_t rows;       /* of the attempt */
};

/* ---- assignments ---- */

static enum plinth_status no_column(const struct table_schema *schema, struct slice name, struct plinth_error *error) {
    return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no column \"%.*s\"", schema->name,
                     (int)(name.size < 128 ? name.size : 128), name.data);
}

static enum plinth_status find_target(const struct changing *changing, uint32_t number, struct plinth_error *error) {
    const struct table_schema *schema = changing->schema;
    struct slice name = changing->change->assignments[number].column;
    int32_t at = table_schema_find(schema, name);
    if (at < 0) return no_column(schema, name, error);
    if (table_schema_is_key(schema, schema->columns[at].id))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is part of the primary key: it cannot be updated", schema->columns[at].name);
    for (uint32_t i = 0; i < number; i++)
        if (changing->targets[i] == (uint32_t)at)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" is set twice", schema->columns[at].name);
    changing->targets[number] = (uint32_t)at;
    return PLINTH_OK;
}

/* The value in the column's type: what a comparison with it would compare with. */
static enum plinth_status cast_value(struct changing *changing, uint32_t number, struct plinth_error *error) {
    const struct table_column *column = &changing->schema->columns[changing->targets[number]];
    const struct literal *value = &changing->change->assignments[number].value;
    if (value->kind == LITERAL_NULL) {
        if (!column->nullable)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" is NOT NULL", column->name);
        return column_make_nulls(&changing->arena, column->type, 1, &changing->values[number])
                   ? PLINTH_OK
                   : error_no_memory(error, "update");
    }
    struct predicate_column named = {slice_of_string(column->name), column->type};
    struct predicate equal = {.kind = PREDICATE_COMPARE,
                              .comparison = COMPARE_EQ,
                              .column_name = named.name,
                              .literals = value,
                              .literal_count = 1};
    const struct predicate *bound;
    enum plinth_status st = predicate_bind(&equal, &named, 1, &changing->arena, &bound, error);
    if (!st && (bound->kind != PREDICATE_COMPARE || bound->comparison != COMPARE_EQ)) {
        char type[COLUMN_TYPE_TEXT_MAX];
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\": the value does not fit %s", column->name,
                       column_type_format(column->type, type));
    }
    if (!st) changing->values[number] = bound->values;
    return st;
}

static enum plinth_status bind_assignments(struct changing *changing, struct plinth_error *error) {
    uint32_t count = changing->change->assignment_count;
    changing->values = arena_zalloc(&changing->arena, (count + 1) * sizeof *changing->values);
    changing->targets = arena_zalloc(&changing->arena, (count + 1) * sizeof *changing->targets);
    changing->sources = arena_zalloc(&changing->arena, (count + 1) * sizeof *changing->sources);
    if (!changing->values || !changing->targets || !changing->sources) return error_no_memory(error, "update");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < count; i++) {
        struct slice from = changing->change->assignments[i].from;
        st = find_target(changing, i, error);
        if (st) break;
        changing->sources[i] = UINT32_MAX;
        if (!from.size) {
            st = cast_value(changing, i, error);
            continue;
        }
        int32_t at = table_schema_find(changing->schema, from);
        if (at < 0) return no_column(changing->schema, from, error);
        changing->sources[i] = (uint32_t)at;
    }
    return st;
}

/* An update reads all columns, in the order of the schema; a delete those of the key. */
static enum plinth_status choose_columns(struct changing *changing, struct plinth_error *error) {
    const struct table_schema *schema = changing->schema;
    bool deletes = !changing->change->assignment_count;
    changing->columns = arena_alloc(&changing->arena, (schema->column_count + 1) * sizeof *changing->columns);
    changing->column_count = 0;
    if (!changing->columns) return error_no_memory(error, "rows");
    for (uint32_t i = 0; i < (deletes ? schema->key_count : schema->column_count); i++) {
        uint32_t at = deletes ? (uint32_t)table_schema_find_id(schema, schema->key[i]) : i;
        changing->columns[changing->column_count++] = slice_of_string(schema->columns[at].name);
    }
    return PLINTH_OK;
}

/* The rows of `batch` as they are to be; shares what does not change. */
static struct batch *updated(const struct changing *changing, const struct batch *batch,
                             const struct arrow_schema *given, struct arrow_schema *schema) {
    struct batch *made = batch_create(batch->column_count);
    struct arrow_field *fields = made ? arena_alloc(&made->arena, (given->field_count + 1) * sizeof *fields) : NULL;
    uint32_t *firsts = made ? arena_zalloc(&made->arena, ((size_t)batch->rows + 1) * sizeof *firsts) : NULL;
    bool ok = fields && firsts;
    if (ok) {
        made->rows = batch->rows;
        memcpy(made->columns, batch->columns, batch->column_count * sizeof *made->columns);
        memcpy(fields, given->fields, given->field_count * sizeof *fields);
    }
    for (uint32_t i = 0; ok && i < changing->change->assignment_count; i++) {
        uint32_t to = changing->targets[i], from = changing->sources[i];
        fields[to].nullable = true;
        if (from == UINT32_MAX) {
            ok = column_gather(&made->arena, &changing->values[i], firsts, batch->rows, &made->columns[to]);
        } else {
            made->columns[to] = batch->columns[from];
            fields[to].type = given->fields[from].type;
        }
    }
    *schema = (struct arrow_schema){fields, given->field_count};
    if (ok) return made;
    batch_unref(made);
    return NULL;
}

/* ---- one attempt ---- */

static enum plinth_status take_rows(struct changing *changing, struct plinth_transaction *transaction,
                                    const struct batch *batch, const struct arrow_schema *given,
                                    struct plinth_error *error) {
    bool deletes = !changing->change->assignment_count;
    struct rows_write write = {.operation = deletes ? ROWS_DELETE : ROWS_UPSERT, .schema = given, .batch = batch};
    struct arrow_schema schema;
    struct batch *made = NULL;
    if (!deletes) {
        made = updated(changing, batch, given, &schema);
        if (!made) return error_no_memory(error, "update");
        write.batch = made;
        write.schema = &schema;
    }
    enum plinth_status st = transaction_rows_submit(transaction, changing->database, changing->table, &write, error);
    batch_unref(made);
    changing->rows += batch->rows;
    return st;
}

/* Remembers the key of the last row of a batch. */
static enum plinth_status note_last(struct changing *changing, const struct batch *batch,
                                    const struct arrow_schema *given, struct plinth_error *error) {
    const struct table_schema *schema = changing->schema;
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++) {
        const char *name = schema->columns[table_schema_find_id(schema, schema->key[i])].name;
        for (uint32_t c = 0; c < given->field_count; c++)
            if (strcmp(given->fields[c].name, name) == 0) parts[i] = &batch->columns[c];
    }
    buffer_clear(&changing->after);
    return row_key_append(&changing->after, parts, schema->key_count, ROW_KEY_PRIMARY, batch->rows - 1)
               ? PLINTH_OK
               : error_no_memory(error, "rows");
}

/* Notes the ranges up to the last key that was read. */
static enum plinth_status note_ranges(const struct changing *changing, const struct query *query,
                                      struct row_reads *reads, struct plinth_error *error) {
    const struct key_ranges *ranges = query_key_ranges(query);
    struct buffer end = BUFFER_INIT;
    bool ok = true;
    if (!changing->more) return query_note_ranges(ranges, reads, error);
    ok = buffer_append(&end, changing->after.data, changing->after.size) && buffer_append_u8(&end, 0);
    for (uint32_t i = 0; ok && i < ranges->count; i++) {
        struct slice lower = ranges->ranges[i].lower, upper = ranges->ranges[i].upper;
        if (slice_compare(lower, buffer_slice(&end)) >= 0) break;
        if (!upper.size || slice_compare(upper, buffer_slice(&end)) > 0) upper = buffer_slice(&end);
        ok = row_reads_range(reads, lower, upper);
    }
    buffer_deinit(&end);
    return ok ? PLINTH_OK : error_no_memory(error, "rows");
}

static enum plinth_status read_rows(struct changing *changing, struct plinth_transaction *transaction,
                                    struct query *query, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st && !changing->more) {
        struct batch *batch = NULL;
        st = query_next(query, &batch, error);
        if (st || !batch) break;
        st = take_rows(changing, transaction, batch, query_schema(query), error);
        if (!st && changing->change->not_atomic) {
            st = note_last(changing, batch, query_schema(query), error);
            changing->more = transaction->own_bytes >= PART_BYTES;
        }
        batch_unref(batch);
    }
    if (st == PLINTH_TOO_LARGE && !changing->change->not_atomic)
        return error_set(error, PLINTH_TOO_LARGE,
                         "the rows take more than %d bytes: narrow the condition, or ask for several transactions",
                         TRANSACTION_BYTES_MAX);
    return st;
}

static enum plinth_status evaluate(struct changing *changing, struct plinth_transaction *transaction,
                                   struct slice after, struct plinth_error *error) {
    struct transaction_table *of;
    struct query *query = NULL;
    enum plinth_status st = transaction_table_of(transaction, changing->database, changing->table, &of, error);
    if (st) return st;
    const struct table_schema *schema = changing->schema = table_schema_ref(of->schema);
    if (!schema->key_count)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no primary key: its rows cannot be changed",
                       schema->name);
    if (!st) st = bind_assignments(changing, error);
    if (!st) st = choose_columns(changing, error);
    struct query_options options = {.columns = changing->columns,
                                    .column_count = changing->column_count,
                                    .predicate = changing->change->predicate,
                                    .ordered = changing->change->not_atomic,
                                    .key_after = after,
                                    .read = {.snapshot = transaction->snapshot}};
    if (!st) st = query_open(changing->db, schema, &options, &query, error);
    if (!st) st = read_rows(changing, transaction, query, error);
    if (!st) st = transaction_table_of(transaction, changing->database, changing->table, &of, error);
    if (!st) st = note_ranges(changing, query, &of->reads, error);
    query_close(query);
    table_schema_unref(schema);
    return st;
}

static enum plinth_status attempt(struct changing *changing, uint32_t gate_held, struct slice after,
                                  struct plinth_position *position, struct plinth_error *error) {
    struct plinth_transaction *transaction;
    changing->rows = 0;
    changing->more = false;
    arena_reset(&changing->arena);
    enum plinth_status st = plinth_transaction_begin(changing->db, &transaction, error);
    if (st) return st;
    transaction->gate_held = gate_held;
    st = evaluate(changing, transaction, after, error);
    if (!st) st = plinth_transaction_commit(transaction, &changing->change->write, position, NULL, error);
    plinth_transaction_destroy(transaction);
    return st;
}

/* ---- again and again ---- */

/* One transaction, until it has not lost. */
static enum plinth_status change_once(struct changing *changing, uint32_t table, struct plinth_where_result *result,
                                      struct plinth_error *error) {
    struct buffer after = changing->after;
    changing->after = (struct buffer)BUFFER_INIT;
    enum plinth_status st = PLINTH_CONFLICT;
    bool closed = false;
    for (unsigned i = 0; i < ATTEMPTS_MAX && st == PLINTH_CONFLICT; i++) {
        st = PLINTH_OK;
        if (i == ATTEMPTS_OPEN) {
            engine_table_gate_close(changing->db, table);
            closed = true;
        }
        if (i) st = transaction_wait_for_news(changing->db, error);
        error_clear(error);
        if (!st) st = attempt(changing, closed ? table : 0, buffer_slice(&after), &result->position, error);
        result->conflicts += st == PLINTH_CONFLICT;
    }
    if (closed) engine_table_gate_open(changing->db, table);
    buffer_deinit(&after);
    if (st) return st;
    result->rows += changing->rows;
    result->transactions++;
    return PLINTH_OK;
}

enum plinth_status rows_change_where(struct plinth *db, const char *database, const char *table,
                                     const struct where_change *change, struct plinth_where_result *result,
                                     struct plinth_error *error) {
    struct changing changing = {.db = db, .database = database, .table = table, .change = change};
    const struct table_schema *schema = NULL;
    *result = (struct plinth_where_result){0};
    if (change->not_atomic && change->write.producer_id)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a producer's sequence is of one write, not of several");
    enum plinth_status st = engine_find_schema(db, database && *database ? database : "default", table, &schema, error);
    if (st) return st;
    uint32_t id = schema->id.table;
    table_schema_unref(schema);
    arena_init(&changing.arena);
    do {
        st = change_once(&changing, id, result, error);
    } while (!st && changing.more);
    buffer_deinit(&changing.after);
    arena_deinit(&changing.arena);
    return st;
}

/* ---- the public calls ---- */

static enum plinth_status change_text(struct plinth *db, const char *database, const char *table, const char *where,
                                      const struct where_assignment *assignments, size_t count,
                                      const struct plinth_where_options *options, struct plinth_where_result *result,
                                      struct plinth_error *error) {
    static const struct plinth_where_options defaults = {0};
    struct plinth_where_result own;
    struct arena arena;
    if (!options) options = &defaults;
    struct where_change change = {.assignments = assignments,
                                  .assignment_count = (uint32_t)count,
                                  .not_atomic = options->not_atomic,
                                  .write = options->write};
    if (!result) result = &own;
    *result = (struct plinth_where_result){0};
    arena_init(&arena);
    enum plinth_status st =
        where ? predicate_parse(slice_of_string(where), &arena, &change.predicate, error) : PLINTH_OK;
    if (!st) st = rows_change_where(db, database, table, &change, result, error);
    arena_deinit(&arena);
    return st;
}

enum plinth_status plinth_rows_delete_where(struct plinth *db, const char *database, const char *table,
                                            const char *where, const struct plinth_where_options *options,
                                            struct plinth_where_result *result, struct plinth_error *error) {
    error_clear(error);
    return change_text(db, database, table, where, NULL, 0, options, result, error);
}

enum plinth_status plinth_rows_update_where(struct plinth *db, const char *database, const char *table,
                                            const char *where, const struct plinth_assignment *assignments,
                                            size_t count, const struct plinth_where_options *options,
                                            struct plinth_where_result *result, struct plinth_error *error) {
    error_clear(error);
    if (result) *result = (struct plinth_where_result){0};
    if (!count || count > TABLE_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an update sets between 1 and %d columns", TABLE_COLUMNS_MAX);
    struct where_assignment *converted = calloc(count, sizeof *converted);
    if (!converted) return error_no_memory(error, "update");
    for (size_t i = 0; i < count; i++) {
        converted[i].column = slice_of_string(assignments[i].column);
        converted[i].value.kind = assignments[i].value ? LITERAL_TEXT : LITERAL_NULL;
        if (assignments[i].value) converted[i].value.bytes = slice_of_string(assignments[i].value);
        if (assignments[i].from) converted[i].from = slice_of_string(assignments[i].from);
    }
    enum plinth_status st = change_text(db, database, table, where, converted, count, options, result, error);
    free(converted);
    return st;
}
