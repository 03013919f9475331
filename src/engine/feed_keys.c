/* The keys of a record as a feed gives them: with their names, index values, and what they held before. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/feed_private.h"
#include "engine/row_indexes.h"
#include "engine/value_store.h"

enum { STRETCH_BYTES = 4 << 20 }; /* of keys, values and former values */

/* What the operations of one stretch share. */
struct keys_context {
    struct feed_keys *keys;
    struct feed_filter *filter;
    struct view *view; /* with_previous */
    uint64_t previous_lsn;
    struct row_indexes indexes;
    struct table_id table; /* of the operation before */
    bool has_table;
    const char *database, *name; /* its; null: it was dropped */
    const struct feed_predicate *predicate;
    size_t bytes; /* copied */
};

void feed_keys_reset(struct feed_keys *keys) {
    keys->count = 0;
    keys->left = (struct operation_reader){0};
}

bool feed_keys_are_left(const struct feed_keys *keys) { return keys->left.left != 0; }

void feed_keys_deinit(struct feed_keys *keys) {
    free(keys->operations);
    arena_deinit(&keys->arena);
    *keys = (struct feed_keys){0};
}

static enum plinth_status no_memory(struct plinth_error *error) { return error_no_memory(error, "change feed"); }

static bool copy_slice(struct keys_context *context, struct slice from, struct plinth_slice *to) {
    const uint8_t *copy = arena_copy(&context->keys->arena, from);
    *to = plinth_bytes(copy, from.size);
    context->bytes += from.size;
    return copy != NULL;
}

/* Names and predicate of the table, for the operations that follow. */
static enum plinth_status enter_table(struct keys_context *context, struct table_id table, struct plinth_error *error) {
    if (context->has_table && table_id_compare(table, context->table) == 0) return PLINTH_OK;
    struct plinth *db = context->filter->db;
    struct arena *arena = &context->keys->arena;
    const struct table_schema *schema;
    context->database = context->name = NULL;
    context->predicate = NULL;
    context->has_table = true;
    context->table = table;
    if (!feed_filter_wants(context->filter, table)) return PLINTH_OK;
    enum plinth_status st = engine_schema_by_id(db, table.table, &schema, error);
    if (st == PLINTH_NOT_FOUND) return PLINTH_OK; /* dropped since: nobody needs it */
    if (st) return st;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *database = catalog_database_by_id(&db->shard.catalog, table.database);
    context->database = (const char *)arena_copy(arena, slice_of_string(database ? database->name : ""));
    pthread_rwlock_unlock(&db->catalog_lock);
    context->name = (const char *)arena_copy(arena, slice_of_string(schema->name));
    if (!context->database || !context->name) st = no_memory(error);
    if (!st) st = feed_filter_bind(context->filter, schema, &context->predicate, error);
    table_schema_unref(schema);
    return st;
}

/* The index values of a set, by name; those of indexes that are gone are left out. */
static enum plinth_status copy_indexes(struct keys_context *context, const struct operation *operation,
                                       struct plinth_operation *into, struct plinth_error *error) {
    if (!operation->indexes.size) return PLINTH_OK;
    struct row row = {.key = operation->key, .indexes = operation->indexes};
    struct row_indexes *indexes = &context->indexes;
    enum plinth_status st = row_indexes_read(indexes, context->filter->db, operation->table.table, &row, error);
    if (st || !indexes->count) return st;
    struct plinth_index_value *values = arena_alloc(&context->keys->arena, indexes->count * sizeof *values);
    bool ok = values != NULL;
    for (size_t i = 0; ok && i < indexes->count; i++)
        ok = copy_slice(context, slice_in(indexes->values[i].name), &values[i].name) &&
             copy_slice(context, slice_in(indexes->values[i].value), &values[i].value);
    if (!ok) return no_memory(error);
    into->indexes = values;
    into->index_count = indexes->count;
    return PLINTH_OK;
}

static enum plinth_status read_previous(struct keys_context *context, struct plinth_feed_operation *fed,
                                        struct plinth_error *error) {
    struct plinth_buffer value = {0};
    enum plinth_status st = engine_get_at(context->filter->db, context->view, context->previous_lsn, 0,
                                          fed->operation.space, fed->operation.key, false, &value, NULL, error);
    fed->existed = !st;
    if (!st && !copy_slice(context, slice_of(value.data, value.size), &fed->previous)) st = no_memory(error);
    plinth_buffer_deinit(&value);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

/* What the predicate says of a key and its value (null: not known). A key space has these two columns. */
static enum predicate_constant judge(const struct feed_predicate *predicate, struct plinth_slice key,
                                     const struct plinth_slice *value) {
    uint32_t key_offsets[2] = {0, (uint32_t)key.size}, value_offsets[2] = {0, value ? (uint32_t)value->size : 0};
    struct column columns[2] = {
        {.type = column_type_of(COLUMN_BYTES), .offsets = key_offsets, .bytes = key.data},
        {.type = column_type_of(COLUMN_BYTES),
         .offsets = value_offsets,
         .bytes = value && value->data ? value->data : (const uint8_t *)""},
    };
    const struct column *const pointers[2] = {&columns[0], &columns[1]};
    return predicate_evaluate_row(value ? predicate->whole : predicate->by_key, pointers, 0);
}

/* A set is wanted when the predicate holds after it, or with_previous before it; a delete when it held before it, or if
 * that is not known, unless the key alone rules it out. */
static bool matches(const struct keys_context *context, const struct plinth_feed_operation *fed) {
    const struct feed_predicate *predicate = context->predicate;
    bool sets = fed->operation.kind == PLINTH_SET;
    if (!predicate) return true;
    if (sets && judge(predicate, fed->operation.key, &fed->operation.value) == TRUTH_TRUE) return true;
    if (context->view) return fed->existed && judge(predicate, fed->operation.key, &fed->previous) == TRUTH_TRUE;
    return !sets && judge(predicate, fed->operation.key, NULL) != TRUTH_FALSE;
}

/* Whether the range may have keys that begin with the feed's prefix. */
static bool meets_prefix(const struct feed_filter *filter, const struct operation *range) {
    struct slice prefix = buffer_slice(&filter->prefix);
    bool begins = slice_compare(range->key, prefix) <= 0 || slice_starts_with(range->key, prefix);
    return begins && (!range->upper.size || slice_compare(range->upper, prefix) > 0);
}

static enum plinth_status take_range(struct keys_context *context, const struct operation *operation,
                                     struct plinth_error *error) {
    struct plinth_feed_operation fed = {
        .operation = {.kind = PLINTH_DELETE_RANGE,
                      .space = {operation->table.tenant, operation->table.database, operation->table.table}},
        .database = context->database,
        .table = context->name};
    bool ok = copy_slice(context, operation->key, &fed.operation.key) &&
              copy_slice(context, operation->upper, &fed.operation.upper) &&
              ARRAY_PUSH(context->keys->operations, context->keys->count, fed);
    return ok ? PLINTH_OK : no_memory(error);
}

/* The value of a set; what it lies in may be gone, if nothing held it for a feed that stands here. */
static enum plinth_status copy_value(struct keys_context *context, const struct operation *operation,
                                     struct plinth_slice *into, struct plinth_error *error) {
    const struct row row = {.key = operation->key, .value = operation->value, .indexes = operation->indexes};
    struct buffer memory = BUFFER_INIT;
    struct slice value;
    enum plinth_status st = values_of_row(context->filter->db, &row, false, &memory, &value, error);
    if (st == PLINTH_CORRUPT && values_are_gone(context->filter->db, &row))
        st = error_set(error, PLINTH_TOO_OLD,
                       "a value written at position %llu has been deleted since: begin with a new snapshot",
                       (unsigned long long)context->keys->lsn);
    if (!st && !copy_slice(context, value, into)) st = no_memory(error);
    buffer_deinit(&memory);
    return st;
}

static enum plinth_status take(struct keys_context *context, const struct operation *operation,
                               struct plinth_error *error) {
    const bool sets = operation->kind == OPERATION_SET || operation->kind == OPERATION_SET_REFERENCE;
    if (!sets && operation->kind != OPERATION_DELETE)
        return error_set(error, PLINTH_UNSUPPORTED, "change feeds cannot show operations of kind %d",
                         (int)operation->kind);
    struct plinth_feed_operation fed = {
        .operation = {.kind = sets ? PLINTH_SET : PLINTH_DELETE,
                      .space = {operation->table.tenant, operation->table.database, operation->table.table}},
        .database = context->database,
        .table = context->name};
    if (!copy_slice(context, operation->key, &fed.operation.key)) return no_memory(error);
    enum plinth_status st = sets ? copy_value(context, operation, &fed.operation.value, error) : PLINTH_OK;
    fed.operation.expires_at_us = row_expires_us(operation->indexes);
    if (!st && context->view) st = read_previous(context, &fed, error);
    if (st || !matches(context, &fed)) return st;
    if (sets) st = copy_indexes(context, operation, &fed.operation, error);
    if (!st && !ARRAY_PUSH(context->keys->operations, context->keys->count, fed)) st = no_memory(error);
    return st;
}

enum plinth_status feed_keys_read(struct feed_keys *keys, struct feed_filter *filter, const struct record *record,
                                  bool with_previous, struct plinth_error *error) {
    struct condition condition = {.operations = record->payload};
    if (record->header.kind == CHANGE_CONDITIONAL && !condition_decode(record->payload, &condition))
        return error_set(error, PLINTH_CORRUPT, "malformed conditional record %llu", (unsigned long long)record->lsn);
    return feed_keys_take(keys, filter, condition.operations, record->lsn, with_previous, error);
}

enum plinth_status feed_keys_take(struct feed_keys *keys, struct feed_filter *filter, struct slice operations,
                                  uint64_t lsn, bool with_previous, struct plinth_error *error) {
    keys->left = operation_reader_of(operations);
    keys->lsn = lsn;
    keys->with_previous = with_previous;
    return feed_keys_next(keys, filter, error);
}

enum plinth_status feed_keys_next(struct feed_keys *keys, struct feed_filter *filter, struct plinth_error *error) {
    keys->count = 0;
    arena_reset(&keys->arena);
    struct operation operation;
    struct keys_context context = {.keys = keys, .filter = filter, .previous_lsn = keys->lsn - 1};
    if (keys->with_previous) context.view = view_current(&filter->db->views);
    enum plinth_status st = PLINTH_OK;
    while (!st && context.bytes < STRETCH_BYTES && operation_next(&keys->left, &operation)) {
        st = enter_table(&context, operation.table, error);
        if (st || !context.name) continue;
        if (operation.kind == OPERATION_DELETE_RANGE) {
            if (meets_prefix(filter, &operation)) st = take_range(&context, &operation, error);
        } else if (slice_starts_with(operation.key, buffer_slice(&filter->prefix))) {
            st = take(&context, &operation, error);
        }
    }
    if (keys->left.from.failed) keys->left.left = 0;
    row_indexes_deinit(&context.indexes);
    if (context.view) view_unref(context.view);
    return st;
}
