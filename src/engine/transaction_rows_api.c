/* Rows in transactions in the public API: the Arrow C Data Interface in front of transaction_rows.c. */
#include "base/status.h"
#include "column/arrow_data.h"
#include "engine/transaction.h"

/* A batch that the caller gives away. */
struct given {
    struct arena arena;
    struct arrow_schema schema;
    struct batch *batch;
};

static enum plinth_status take(struct given *given, struct ArrowSchema *schema, struct ArrowArray *array,
                               struct plinth_error *error) {
    *given = (struct given){0};
    error_clear(error);
    arena_init(&given->arena);
    enum plinth_status st = arrow_import_schema(schema, &given->arena, &given->schema, error);
    return st ? st : arrow_import_batch(array, schema, &given->batch, error);
}

static void release(struct given *given, struct ArrowSchema *schema, struct ArrowArray *array) {
    batch_unref(given->batch);
    arena_deinit(&given->arena);
    if (array->release) array->release(array);
    if (schema->release) schema->release(schema);
}

static enum plinth_status write_arrow(struct plinth_transaction *transaction, const char *database, const char *table,
                                      enum rows_operation operation, struct ArrowSchema *schema,
                                      struct ArrowArray *array, struct plinth_error *error) {
    struct given given;
    enum plinth_status st = take(&given, schema, array, error);
    struct rows_write write = {.operation = operation, .schema = &given.schema, .batch = given.batch};
    if (!st) st = transaction_rows_submit(transaction, database, table, &write, error);
    release(&given, schema, array);
    return st;
}

enum plinth_status plinth_transaction_rows_write(struct plinth_transaction *transaction, const char *database,
                                                 const char *table, struct ArrowSchema *schema,
                                                 struct ArrowArray *array, struct plinth_error *error) {
    return write_arrow(transaction, database, table, ROWS_UPSERT, schema, array, error);
}

enum plinth_status plinth_transaction_rows_delete(struct plinth_transaction *transaction, const char *database,
                                                  const char *table, struct ArrowSchema *schema,
                                                  struct ArrowArray *array, struct plinth_error *error) {
    return write_arrow(transaction, database, table, ROWS_DELETE, schema, array, error);
}

/* Ids and Arrow fields of the columns asked for, all of them by default. */
static enum plinth_status choose(const struct table_schema *schema, const char *const *columns, size_t count,
                                 struct arena *arena, uint32_t **ids, struct arrow_schema *fields,
                                 struct plinth_error *error) {
    size_t chosen = count ? count : schema->column_count;
    *ids = arena_alloc(arena, (chosen + 1) * sizeof **ids);
    fields->fields = arena_zalloc(arena, (chosen + 1) * sizeof *fields->fields);
    fields->field_count = (uint32_t)chosen;
    if (!*ids || !fields->fields) return error_no_memory(error, "columns");
    for (size_t i = 0; i < chosen; i++) {
        int32_t at = count ? table_schema_find(schema, slice_of_string(columns[i])) : (int32_t)i;
        if (at < 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no column \"%.128s\"", schema->name,
                             columns[i]);
        const struct table_column *column = &schema->columns[at];
        (*ids)[i] = column->id;
        ((struct arrow_field *)fields->fields)[i] =
            (struct arrow_field){.name = column->name, .type = column->type, .nullable = column->nullable};
    }
    return PLINTH_OK;
}

/* No rows of these columns. */
static struct batch *empty_batch(const struct arrow_schema *fields) {
    struct batch *batch = batch_create(fields->field_count);
    bool ok = batch != NULL;
    for (uint32_t i = 0; ok && i < fields->field_count; i++)
        ok = column_make_nulls(&batch->arena, fields->fields[i].type, 0, &batch->columns[i]);
    if (ok) return batch;
    batch_unref(batch);
    return NULL;
}

enum plinth_status plinth_transaction_rows_get(struct plinth_transaction *transaction, const char *database,
                                               const char *table, struct ArrowSchema *key_schema,
                                               struct ArrowArray *keys, const char *const *columns, size_t column_count,
                                               struct ArrowSchema *schema, struct ArrowArray *array,
                                               struct plinth_error *error) {
    struct given given;
    struct transaction_table *of = NULL;
    struct arrow_schema fields = {0};
    struct batch *batch = NULL;
    uint32_t *ids = NULL;
    *schema = (struct ArrowSchema){0};
    *array = (struct ArrowArray){0};
    const struct table_schema *read = NULL; /* which the names of `fields` belong to */
    enum plinth_status st = take(&given, key_schema, keys, error);
    if (!st) st = transaction_table_of(transaction, database, table, &of, error);
    while (!st && of->schema != read) { /* again when it was altered meanwhile: the look-up has the new columns */
        table_schema_unref(read);
        read = table_schema_ref(of->schema);
        batch_unref(batch);
        batch = NULL;
        st = choose(read, columns, column_count, &given.arena, &ids, &fields, error);
        if (!st)
            st = transaction_rows_look_up(transaction, database, table, &given.schema, given.batch, ids,
                                          fields.field_count, &batch, NULL, error);
    }
    if (!st && !batch && !(batch = empty_batch(&fields))) st = error_no_memory(error, "rows");
    if (!st) st = arrow_export_schema(&fields, schema, error);
    if (!st) st = arrow_export_batch(batch, array, error);
    if (st && schema->release) schema->release(schema);
    batch_unref(batch);
    table_schema_unref(read);
    release(&given, key_schema, keys);
    return st;
}
