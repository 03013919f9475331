/* Index-only reads: the columns of rows from the entries of a sorted index, which have the values of the index's
 * columns, of its included ones, and of the primary key (table/table_schema.h). Whether an entry counts was found out
 * by the LSN of its row; the row itself is not read. */
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

/* Where an entry has a column: parts of the index first, those of the key behind; -1: nowhere. Keys do not tell all
 * floating-point numbers apart, so only included ones are as they were written. */
static int32_t find_part(const struct query *query, const struct table_index *index, uint32_t column_id) {
    const struct table_schema *schema = query->schema;
    int32_t at = table_schema_find_id(schema, column_id);
    uint32_t parts = table_index_entry_parts(index);
    for (uint32_t i = index->column_count; i < parts; i++)
        if (index->included[i - index->column_count] == column_id) return (int32_t)i;
    if (at < 0 || column_kind_is_float(schema->columns[at].type.kind)) return -1;
    for (uint32_t i = 0; i < index->column_count; i++)
        if (index->columns[i] == column_id && index->functions[i] == FUNCTION_NONE) return (int32_t)i;
    for (uint32_t i = 0; i < schema->key_count; i++)
        if (schema->key[i] == column_id) return (int32_t)(parts + i);
    return -1;
}

bool query_index_covers(const struct query *query, const struct table_index *index) {
    for (uint32_t i = 0; i < query->wanted_count; i++)
        if (find_part(query, index, query->wanted_ids[i]) < 0) return false;
    return true;
}

/* The entries one behind the other. */
static bool join_entries(struct arena *arena, const struct candidate *const *list, uint32_t count,
                         struct row_keys *keys) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) bytes += list[i]->head_bytes + list[i]->key.size;
    if (bytes > UINT32_MAX) return false;
    *keys = (struct row_keys){arena_alloc(arena, ((size_t)count + 1) * sizeof *keys->offsets),
                              arena_alloc(arena, bytes + 1)};
    if (!keys->offsets || !keys->bytes) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = list[i]->head_bytes + (uint32_t)list[i]->key.size;
        keys->offsets[i] = at;
        memcpy(keys->bytes + at, list[i]->key.data - list[i]->head_bytes, size);
        at += size;
    }
    keys->offsets[count] = at;
    return true;
}

static enum plinth_status decode(const struct query *query, struct arena *arena, const struct row_keys *keys,
                                 uint32_t count, struct column *columns) {
    const struct table_schema *schema = query->schema;
    const struct table_index *index = query->index;
    struct column_type types[2 * ROW_KEY_PARTS_MAX];
    uint32_t parts = table_index_entry_parts(index);
    uint32_t *at = arena_alloc(arena, ((size_t)count + 1) * sizeof *at);
    if (!at) return PLINTH_OUT_OF_MEMORY;
    memcpy(at, keys->offsets, count * sizeof *at);
    for (uint32_t i = 0; i < parts; i++) types[i] = table_index_part_type(schema, index, i);
    for (uint32_t i = 0; i < schema->key_count; i++)
        types[parts + i] = schema->columns[table_schema_find_id(schema, schema->key[i])].type;
    enum plinth_status st = row_keys_decode(arena, keys, count, at, types, parts, ROW_KEY_INDEX, columns);
    if (!st && schema->key_count)
        st =
            row_keys_decode(arena, keys, count, at, types + parts, schema->key_count, ROW_KEY_PRIMARY, columns + parts);
    return st;
}

enum plinth_status query_read_entries(const struct query *query, const struct candidate *const *list, uint32_t count,
                                      struct batch **batch, struct plinth_error *error) {
    struct column columns[2 * ROW_KEY_PARTS_MAX];
    struct row_keys keys;
    *batch = NULL;
    struct batch *made = batch_create(query->wanted_count);
    if (!made) return error_no_memory(error, "query");
    enum plinth_status st = join_entries(&made->arena, list, count, &keys)
                                ? decode(query, &made->arena, &keys, count, columns)
                                : PLINTH_OUT_OF_MEMORY;
    for (uint32_t i = 0; !st && i < query->wanted_count; i++) {
        uint32_t id = query->wanted_ids[i];
        made->columns[i] = columns[find_part(query, query->index, id)];
        made->columns[i].type = query->schema->columns[table_schema_find_id(query->schema, id)].type;
    }
    made->rows = count;
    if (!st) {
        *batch = made;
        return PLINTH_OK;
    }
    batch_unref(made);
    return st == PLINTH_CORRUPT ? error_set(error, st, "malformed entries in index \"%s\"", query->index->name)
                                : error_no_memory(error, "query");
}
