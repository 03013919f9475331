#include "engine/row_indexes.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/array.h"

void row_indexes_deinit(struct row_indexes *indexes) {
    for (size_t i = 0; i < indexes->name_count; i++) free(indexes->names[i].name);
    free(indexes->names);
    free(indexes->values);
    *indexes = (struct row_indexes){0};
}

/* Where `table` is among the names, or would be. */
static size_t find_place(const struct row_indexes *indexes, uint32_t table) {
    size_t low = 0, high = indexes->name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (indexes->names[middle].table < table)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The name of an index of `space` from the catalog, at its place among the names. PLINTH_NOT_FOUND leaves the text to
 * the caller. */
static enum plinth_status learn_name(struct row_indexes *indexes, struct plinth *db, uint32_t space, uint32_t table,
                                     size_t place, struct plinth_error *error) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *index = catalog_table_by_id(&db->shard.catalog, table);
    bool exists = index && index->kind == CATALOG_INDEX && index->space == space;
    struct index_name name = {table, exists ? strdup(index->name) : NULL};
    pthread_rwlock_unlock(&db->catalog_lock);
    if (!exists) return PLINTH_NOT_FOUND;
    if (!name.name || !ARRAY_PUSH(indexes->names, indexes->name_count, name)) {
        free(name.name);
        return error_no_memory(error, "index names");
    }
    memmove(&indexes->names[place + 1], &indexes->names[place],
            (indexes->name_count - 1 - place) * sizeof *indexes->names);
    indexes->names[place] = name;
    return PLINTH_OK;
}

static bool push_value(struct row_indexes *indexes, struct plinth_index_value value) {
    if (indexes->count == indexes->capacity) {
        size_t capacity = indexes->capacity ? indexes->capacity * 2 : 8;
        void *grown = realloc(indexes->values, capacity * sizeof *indexes->values);
        if (!grown) return false;
        indexes->values = grown;
        indexes->capacity = capacity;
    }
    indexes->values[indexes->count++] = value;
    return true;
}

enum plinth_status row_indexes_read(struct row_indexes *indexes, struct plinth *db, uint32_t space,
                                    const struct row *row, struct plinth_error *error) {
    struct reader list = reader_of(row->indexes);
    uint32_t table;
    struct slice value;
    indexes->count = 0;
    while (row_indexes_next(&list, &table, &value)) {
        size_t place = find_place(indexes, table);
        enum plinth_status st = PLINTH_OK;
        if (place == indexes->name_count || indexes->names[place].table != table)
            st = learn_name(indexes, db, space, table, place, error);
        if (st == PLINTH_NOT_FOUND)
            return error_set(error, PLINTH_CORRUPT,
                             "the row written at position %llu has a value of index %u, which "
                             "key space %u does not have",
                             (unsigned long long)row->lsn, table, space);
        if (st) return st;
        struct plinth_index_value found = {plinth_text(indexes->names[place].name), slice_out(value)};
        if (!push_value(indexes, found)) return error_no_memory(error, "index values");
    }
    if (list.failed)
        return error_set(error, PLINTH_CORRUPT, "malformed index values in the row written at position %llu",
                         (unsigned long long)row->lsn);
    return PLINTH_OK;
}
