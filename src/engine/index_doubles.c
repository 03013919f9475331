#include "engine/index_doubles.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/row_text.h"
#include "engine/rows.h"
#include "engine/table_gate.h"
#include "table/row_block.h"

#define NEWEST_LSN (UINT64_MAX >> 1)

/* An entry of the value at hand: the newest of its row. */
struct entry {
    struct slice key;  /* of its row; the end of */
    struct slice rest; /* what is behind the value */
    uint64_t lsn;
};

struct looking {
    struct view *view;
    uint64_t lsn, time_us;
    const struct table_schema *schema;
    const struct table_index *index;
    struct index_doubles *found;
    struct buffer head; /* the value at hand */
    struct arena arena;
    struct entry *entries;
    uint64_t count;
};

/* Rows are looked up some at a time, for there may be one value in all of them. */
enum { AT_ONCE = 256 };

/* "v = 5 is that of the row with id = 1, and of that with id = 2". */
static bool name_doubles(struct looking *looking, struct slice first, struct slice second) {
    struct buffer *text = &looking->found->first;
    return row_text_head(looking->schema, looking->index, buffer_slice(&looking->head), text) &&
           buffer_append(text, " is that of the row with ", 25) && row_text_key(looking->schema, first, text) &&
           buffer_append(text, ", and of that with ", 19) && row_text_key(looking->schema, second, text);
}

static int compare_entries(const void *a, const void *b) {
    return slice_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

/* Whether two rows have the value. */
static enum plinth_status end_value(struct looking *looking, struct plinth_error *error) {
    struct slice keys[AT_ONCE], first = {0};
    struct row_place places[AT_ONCE];
    enum plinth_status st = PLINTH_OK;
    unsigned live = 0;
    if (looking->count > 1 && looking->index->included_count)
        qsort(looking->entries, looking->count, sizeof *looking->entries, compare_entries);
    for (uint64_t begin = 0; !st && live < 2 && looking->count > 1 && begin < looking->count; begin += AT_ONCE) {
        uint32_t some = (uint32_t)(looking->count - begin < AT_ONCE ? looking->count - begin : AT_ONCE);
        const struct entry *entries = looking->entries + begin;
        for (uint32_t i = 0; i < some; i++) keys[i] = entries[i].key;
        st = view_find_entries(looking->view, looking->schema, keys, some, looking->lsn, false, places, error);
        if (st) break; /* it has released what it found */
        st = row_places_expire(places, some, looking->schema, looking->time_us, false, error);
        for (uint32_t i = 0; i < some; i++) {
            const struct row_place *place = &places[i];
            bool counts = place->lsn && place->operation == ROW_SET && place->lsn <= entries[i].lsn;
            row_place_release(&places[i]);
            if (st || !counts || ++live > 2) continue;
            if (live == 1)
                first = keys[i];
            else if (!looking->found->values++ && !name_doubles(looking, first, keys[i]))
                st = error_no_memory(error, "unique index");
        }
    }
    looking->count = 0;
    free(looking->entries);
    looking->entries = NULL;
    arena_reset(&looking->arena);
    return st;
}

static enum plinth_status add_entry(struct looking *looking, const struct row *row, struct plinth_error *error) {
    struct reader reader = reader_of(row->key);
    bool has_null;
    if (row->lsn > looking->lsn) return PLINTH_OK;
    if (!index_head_skip(&reader, looking->schema, looking->index, &has_null))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index \"%s\"", looking->index->name);
    struct slice head = slice_of(row->key.data, (size_t)(reader.at - row->key.data));
    struct slice rest = slice_of(reader.at, reader_left(&reader));
    if (!index_included_skip(&reader, looking->schema, looking->index))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index \"%s\"", looking->index->name);
    size_t key_bytes = reader_left(&reader);
    enum plinth_status st = PLINTH_OK;
    if (has_null) return PLINTH_OK;
    if (!slice_equal(buffer_slice(&looking->head), head)) {
        st = end_value(looking, error);
        buffer_clear(&looking->head);
        if (!st && !buffer_append(&looking->head, head.data, head.size)) st = error_no_memory(error, "unique index");
    }
    /* Equal entries of one row stand together, newest first: the newest is the one that may count. Of those with other
     * included values no more than one does. */
    if (st || (looking->count && slice_equal(looking->entries[looking->count - 1].rest, rest))) return st;
    const uint8_t *copy = arena_copy(&looking->arena, rest);
    struct entry entry = {slice_of(copy + rest.size - key_bytes, key_bytes), slice_of(copy, rest.size), row->lsn};
    return copy && ARRAY_PUSH(looking->entries, looking->count, entry) ? PLINTH_OK
                                                                       : error_no_memory(error, "unique index");
}

enum plinth_status view_find_doubles(struct view *view, uint64_t lsn, uint64_t time_us,
                                     const struct table_schema *schema, const struct table_index *index,
                                     struct index_doubles *doubles, struct plinth_error *error) {
    struct looking looking = {
        .view = view, .lsn = lsn, .time_us = time_us, .schema = schema, .index = index, .found = doubles};
    struct iterator *it = NULL;
    *doubles = (struct index_doubles){0};
    arena_init(&looking.arena);
    enum plinth_status st = view_index_iterator(view, schema, index, &it, error);
    if (!st) st = iterator_seek_first(it, error);
    while (!st && it->valid) {
        st = add_entry(&looking, &it->row, error);
        if (!st) st = iterator_next(it, error);
    }
    if (!st) st = end_value(&looking, error);
    iterator_close(it);
    free(looking.entries);
    buffer_deinit(&looking.head);
    arena_deinit(&looking.arena);
    return st;
}

enum plinth_status engine_check_doubles(struct plinth *db, const struct table_schema *schema,
                                        const struct table_index *index, struct plinth_error *error) {
    struct index_doubles doubles;
    /* Who has written without a look at all entries has done so behind this; others have lost, or will. */
    engine_table_gate_close(db, schema->id.table);
    engine_table_gate_open(db, schema->id.table);
    struct view *view = view_current(&db->views);
    enum plinth_status st =
        view_find_doubles(view, NEWEST_LSN, engine_read_time_us(db, NULL, 0), schema, index, &doubles, error);
    view_unref(view);
    if (!st && doubles.values)
        st = error_set(error, PLINTH_ALREADY_EXISTS,
                       "index \"%s\" is unique, and %" PRIu64 " of its values are there more than once: %.*s",
                       index->name, doubles.values, (int)(doubles.first.size < 300 ? doubles.first.size : 300),
                       (const char *)doubles.first.data);
    buffer_deinit(&doubles.first);
    return st;
}
