/* One row by its primary key: the way of a point read, without a plan. */
#include <stdlib.h>

#include "base/status.h"
#include "column/column_builder.h"
#include "query/query_private.h"

/* The literals cast to the key's columns and encoded. *possible is false when no row can have such a key. */
static enum plinth_status encode_key(const struct table_schema *schema, const struct literal *key, uint32_t key_count,
                                     struct arena *arena, struct buffer *encoded, bool *possible,
                                     struct plinth_error *error) {
    *possible = true;
    if (!schema->key_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no primary key", schema->name);
    if (key_count != schema->key_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the key of table \"%s\" has %u columns; %u values were given",
                         schema->name, schema->key_count, key_count);
    for (uint32_t i = 0; i < key_count; i++) {
        const struct table_column *column = &schema->columns[table_schema_find_id(schema, schema->key[i])];
        struct predicate_column named = {slice_of_string(column->name), column->type};
        struct predicate equal = {.kind = PREDICATE_COMPARE,
                                  .comparison = COMPARE_EQ,
                                  .column_name = named.name,
                                  .literals = &key[i],
                                  .literal_count = 1};
        const struct predicate *bound;
        enum plinth_status st = predicate_bind(&equal, &named, 1, arena, &bound, error);
        if (st) return st;
        if (bound->kind != PREDICATE_COMPARE || bound->comparison != COMPARE_EQ) {
            *possible = false;
            return PLINTH_OK;
        }
        if (!row_key_append_part(encoded, &bound->values, 0, ROW_KEY_PRIMARY, i + 1 == key_count))
            return error_no_memory(error, "key");
    }
    return PLINTH_OK;
}

static enum plinth_status choose_ids(const struct table_schema *schema, const struct slice *columns,
                                     uint32_t column_count, struct arena *arena, uint32_t **ids, uint32_t *count,
                                     struct plinth_error *error) {
    *count = column_count ? column_count : schema->column_count;
    *ids = arena_alloc(arena, (*count + 1) * sizeof **ids);
    if (!*ids) return error_no_memory(error, "query");
    for (uint32_t i = 0; i < *count; i++) {
        int32_t at = column_count ? table_schema_find(schema, columns[i]) : (int32_t)i;
        if (at < 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no column \"%.*s\"", schema->name,
                             (int)(columns[i].size < 128 ? columns[i].size : 128), columns[i].data);
        (*ids)[i] = schema->columns[at].id;
    }
    return PLINTH_OK;
}

/* The columns asked for are as the caller knows them, or it has to ask again. `*of_state` is the schema of the state
 * that is read, a reference. */
static enum plinth_status check_columns(struct plinth *db, const struct table_schema *schema, const uint32_t *ids,
                                        uint32_t count, uint64_t lsn, const struct table_schema **of_state,
                                        struct plinth_error *error) {
    enum plinth_status st = engine_schema_at(db, schema->id, lsn, of_state, error);
    if (st == PLINTH_NOT_FOUND) return error_set(error, st, "table \"%s\" was dropped", schema->name);
    for (uint32_t i = 0; !st && (*of_state)->version != schema->version && i < count; i++) {
        int32_t at = table_schema_find_id(*of_state, ids[i]), known = table_schema_find_id(schema, ids[i]);
        if (at < 0 || !column_type_equal((*of_state)->columns[at].type, schema->columns[known].type))
            st = error_set(error, PLINTH_CONFLICT, "table \"%s\" was altered meanwhile: ask again", schema->name);
    }
    return st;
}

static enum plinth_status get_from_rows(struct plinth *db, const struct table_schema *schema, struct slice key,
                                        const uint32_t *ids, uint32_t count, const struct plinth_read_options *read,
                                        struct batch **batch, struct plinth_position *version,
                                        struct plinth_error *error) {
    struct view *view;
    uint64_t lsn;
    struct row_place place = {0};
    enum plinth_status st = engine_begin_read(db, read, &view, &lsn, error);
    if (st) return st;
    uint64_t time_us = engine_read_time_us(db, read, lsn);
    const struct table_schema *of_state = NULL;
    st = check_columns(db, schema, ids, count, lsn, &of_state, error);
    bool memory_only = read && read->memory_only;
    if (!st) st = (memory_only ? view_find_rows_in_memory : view_find_rows)(view, schema, &key, 1, lsn, &place, error);
    if (!st) st = row_places_expire(&place, 1, of_state, time_us, memory_only, error);
    if (!st && place.lsn && place.operation == ROW_SET) {
        st = (memory_only ? row_places_read_in_memory : row_places_read)(&place, 1, schema, ids, count, batch, error);
        if (!st && version) *version = engine_position(db, place.lsn);
    }
    row_place_release(&place);
    table_schema_unref(of_state);
    view_unref(view);
    return st;
}

static enum plinth_status get_from_space(struct plinth *db, const struct table_schema *schema, struct slice key,
                                         const uint32_t *ids, uint32_t count, const struct plinth_read_options *read,
                                         struct batch **batch, struct plinth_position *version,
                                         struct plinth_error *error) {
    struct plinth_space space = {schema->id.tenant, schema->id.database, schema->id.table};
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_get(db, space, slice_out(key), read, &value, version, error);
    struct column_builder *builders = st ? NULL : calloc(count + 1, sizeof *builders);
    bool ok = builders != NULL;
    for (uint32_t i = 0; ok && i < count; i++) {
        bool is_key = table_schema_is_key(schema, ids[i]);
        ok = column_builder_init(&builders[i], column_type_of(COLUMN_BYTES)) &&
             column_builder_bytes_value(&builders[i], is_key ? key : slice_of(value.data, value.size));
    }
    if (ok) ok = (*batch = column_builders_finish(builders, count)) != NULL;
    for (uint32_t i = 0; builders && i < count; i++) column_builder_deinit(&builders[i]);
    free(builders);
    plinth_buffer_deinit(&value);
    if (st == PLINTH_NOT_FOUND) return PLINTH_OK;
    return st || ok ? st : error_no_memory(error, "row");
}

enum plinth_status query_get_row(struct plinth *db, const struct table_schema *schema, const struct literal *key,
                                 uint32_t key_count, const struct slice *columns, uint32_t column_count,
                                 const struct plinth_read_options *read, struct batch **batch,
                                 struct plinth_position *version, struct plinth_error *error) {
    struct arena arena;
    struct buffer encoded = BUFFER_INIT;
    uint32_t *ids, count;
    bool possible;
    *batch = NULL;
    if (version) *version = (struct plinth_position){0, 0};
    error_clear(error);
    arena_init(&arena);
    enum plinth_status st = encode_key(schema, key, key_count, &arena, &encoded, &possible, error);
    if (!st) st = choose_ids(schema, columns, column_count, &arena, &ids, &count, error);
    if (!st && possible && (encoded.size || schema->kind == TABLE_ROWS))
        st = (schema->kind == TABLE_SPACE ? get_from_space : get_from_rows)(db, schema, buffer_slice(&encoded), ids,
                                                                            count, read, batch, version, error);
    buffer_deinit(&encoded);
    arena_deinit(&arena);
    return st;
}
