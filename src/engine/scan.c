/* Scans of a key space, and of an index with its entries checked against the rows.
 *
 * An index entry carries the LSN of the write that made it. It counts exactly when the visible version of its key has
 * that LSN; so overwriting and deleting need not touch the index (the merge of index segments drops what is dead). */
#include "engine/scan.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/value_store.h"

static bool space_exists(struct plinth *db, struct plinth_space space) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, space.table);
    bool exists = table && table->kind == CATALOG_SPACE;
    pthread_rwlock_unlock(&db->catalog_lock);
    return exists;
}

static enum plinth_status start(struct plinth *db, struct plinth_space space, struct table_id table,
                                const struct plinth_read_options *read, const struct cursor_options *bounds,
                                uint64_t limit, struct plinth_scan **scan, struct plinth_error *error) {
    if (!space_exists(db, space)) return error_set(error, PLINTH_NOT_FOUND, "no key space with id %u", space.table);
    struct plinth_scan *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "scan");
    made->db = db;
    made->rows = table_in(space);
    made->left = limit ? limit : UINT64_MAX;
    struct view *view;
    enum plinth_status st = engine_begin_read(db, read, &view, &made->lsn, error);
    if (!st) {
        struct cursor_options timed = *bounds;
        timed.time_us = made->time_us = engine_read_time_us(db, read, made->lsn);
        st = cursor_init(&made->cursor, view, table, made->lsn, &timed, error);
    }
    if (st) {
        free(made);
        return st;
    }
    counter_add(&db->counters.scans, 1);
    *scan = made;
    return PLINTH_OK;
}

bool scan_narrow(struct slice prefix, struct slice *lower, struct slice *upper, struct buffer *successor) {
    if (prefix.size == 0) return true;
    if (slice_compare(prefix, *lower) > 0) *lower = prefix;
    if (!prefix_successor(successor, prefix)) return false;
    if (successor->size && (upper->size == 0 || slice_compare(buffer_slice(successor), *upper) < 0))
        *upper = buffer_slice(successor);
    return true;
}

enum plinth_status plinth_scan_open(struct plinth *db, struct plinth_space space,
                                    const struct plinth_scan_options *options, struct plinth_scan **scan,
                                    struct plinth_error *error) {
    static const struct plinth_scan_options defaults = {0};
    if (!options) options = &defaults;
    *scan = NULL;
    error_clear(error);
    struct buffer successor = BUFFER_INIT;
    struct cursor_options bounds = {.lower = slice_in(options->lower),
                                    .upper = slice_in(options->upper),
                                    .reverse = options->reverse,
                                    .lsn_only = options->keys_only && !options->with_indexes};
    enum plinth_status st = PLINTH_OK;
    if (!scan_narrow(slice_in(options->prefix), &bounds.lower, &bounds.upper, &successor))
        st = error_no_memory(error, "scan");
    if (!st) st = start(db, space, table_in(space), &options->read, &bounds, options->limit, scan, error);
    if (!st) {
        (*scan)->with_values = !options->keys_only;
        (*scan)->with_indexes = options->with_indexes;
    }
    buffer_deinit(&successor);
    return st;
}

/* ---- by index
 * ---------------------------------------------------------------------------------------------------------- */

/* The range of index entries that the options ask for; false when memory is out. */
static bool index_bounds(const struct plinth_index_scan_options *options, struct buffer *lower, struct buffer *upper) {
    struct slice value = slice_in(options->value);
    switch (options->match) {
    case PLINTH_INDEX_EXACT:
        if (!escaped_append(lower, value) || !prefix_successor(upper, buffer_slice(lower))) return false;
        break;
    case PLINTH_INDEX_PREFIX:
        if (!escaped_append_prefix(lower, value) || !prefix_successor(upper, buffer_slice(lower))) return false;
        break;
    case PLINTH_INDEX_RANGE:
        if (options->lower.size && !escaped_append(lower, slice_in(options->lower))) return false;
        if (options->upper.size && !escaped_append(upper, slice_in(options->upper))) return false;
        break;
    }
    if (options->after_key.size == 0) return true;
    /* Behind the entry (value, key): forwards from the next possible entry on, backwards everything before it. */
    struct buffer *moved = options->reverse ? upper : lower;
    buffer_clear(moved);
    return escaped_append(moved, slice_in(options->after_index_value)) &&
           buffer_append(moved, options->after_key.data, options->after_key.size) &&
           (options->reverse || buffer_append_u8(moved, 0));
}

static enum plinth_status find_index(struct plinth *db, struct plinth_space space, struct slice name,
                                     struct table_id *index, struct plinth_error *error) {
    enum plinth_status st = catalog_check_name("index", name, error);
    if (st) return st;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *space_table = catalog_table_by_id(&db->shard.catalog, space.table);
    const struct catalog_table *table = catalog_find_index(&db->shard.catalog, space.table, name);
    if (table)
        *index = table->id;
    else
        st = error_set(error, PLINTH_NOT_FOUND, "index \"%.*s\" does not exist in key space \"%s\"", (int)name.size,
                       name.data, space_table ? space_table->name : "?");
    pthread_rwlock_unlock(&db->catalog_lock);
    return st;
}

enum plinth_status plinth_index_scan_open(struct plinth *db, struct plinth_space space,
                                          const struct plinth_index_scan_options *options, struct plinth_scan **scan,
                                          struct plinth_error *error) {
    *scan = NULL;
    error_clear(error);
    if (options->match < PLINTH_INDEX_EXACT || options->match > PLINTH_INDEX_RANGE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown index match %d", (int)options->match);
    struct table_id index;
    enum plinth_status st = find_index(db, space, slice_in(options->index), &index, error);
    if (st) return st;
    struct buffer lower = BUFFER_INIT, upper = BUFFER_INIT;
    if (!index_bounds(options, &lower, &upper)) {
        st = error_no_memory(error, "scan");
    } else {
        struct cursor_options bounds = {.lower = buffer_slice(&lower),
                                        .upper = buffer_slice(&upper),
                                        .reverse = options->reverse,
                                        .lsn_only = true};
        st = start(db, space, index, &options->read, &bounds, options->limit, scan, error);
    }
    if (!st) {
        (*scan)->by_index = true;
        (*scan)->with_values = options->with_values;
    }
    buffer_deinit(&lower);
    buffer_deinit(&upper);
    return st;
}

/* Reads the row of an index entry; *valid tells whether its visible version is the one that made the entry. */
static enum plinth_status check_entry(struct plinth_scan *scan, struct slice key, uint64_t entry_lsn, bool *valid,
                                      struct plinth_error *error) {
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, scan->rows);
    buffer_clear(&scan->stored);
    if (!engine_stored_key(&scan->stored, scan->rows, key)) return error_no_memory(error, "scan");
    segment_hit_release(&scan->hit);
    enum plinth_status st = view_get(scan->cursor.view, scan->rows, buffer_slice(&scan->stored), prefix_size, scan->lsn,
                                     scan->time_us, scan->with_values ? 0 : SEGMENT_LSN_ONLY, &scan->hit, error);
    *valid = !st && scan->hit.row.lsn == entry_lsn && scan->hit.row.operation == ROW_SET;
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

/* Gives `row` the value of what was found, when it is wanted. */
static enum plinth_status take_value(struct plinth_scan *scan, const struct row *found, struct slice key,
                                     struct plinth_row *row, struct plinth_error *error) {
    if (!scan->with_values) return PLINTH_OK;
    struct row named = *found;
    struct slice value;
    named.key = key;
    buffer_deinit(&scan->value); /* it may be large */
    enum plinth_status st = values_of_row(scan->db, &named, false, &scan->value, &value, error);
    if (!st) row->value = slice_out(value);
    return st;
}

/* Turns the cursor's index entry into a row; *valid is false for an entry that the row has left behind. */
static enum plinth_status read_entry(struct plinth_scan *scan, struct plinth_row *row, bool *valid,
                                     struct plinth_error *error) {
    const struct row *entry = &scan->cursor.row;
    struct reader reader = reader_of(entry->key);
    buffer_clear(&scan->index_value);
    if (!escaped_decode(&reader, &scan->index_value))
        return error_set(error, PLINTH_CORRUPT, "malformed index entry of %zu bytes at position %llu", entry->key.size,
                         (unsigned long long)entry->lsn);
    struct slice key = slice_of(reader.at, reader_left(&reader));
    enum plinth_status st = check_entry(scan, key, entry->lsn, valid, error);
    if (st || !*valid) return st;
    *row = (struct plinth_row){.key = slice_out(key),
                               .index_value = slice_out(buffer_slice(&scan->index_value)),
                               .version = engine_position(scan->db, entry->lsn)};
    return take_value(scan, &scan->hit.row, slice_in(row->key), row, error);
}

enum plinth_status scan_take_row(struct plinth_scan *scan, struct plinth_row *row, struct plinth_error *error) {
    const struct row *at = &scan->cursor.row;
    *row = (struct plinth_row){.key = slice_out(at->key), .version = engine_position(scan->db, at->lsn)};
    enum plinth_status st = take_value(scan, at, at->key, row, error);
    if (st || !scan->with_indexes || at->indexes.size == 0) return st;
    st = row_indexes_read(&scan->indexes, scan->db, scan->rows.table, at, error);
    if (st) return st;
    row->indexes = scan->indexes.values;
    row->index_count = scan->indexes.count;
    return PLINTH_OK;
}

enum plinth_status plinth_scan_next(struct plinth_scan *scan, struct plinth_row *row, bool *found,
                                    struct plinth_error *error) {
    *found = false;
    error_clear(error);
    if (scan->transaction) return transaction_scan_next(scan, row, found, error);
    while (scan->left) {
        enum plinth_status st = cursor_next(&scan->cursor, error);
        if (st) return st;
        if (!scan->cursor.valid) break;
        bool valid = true;
        st = scan->by_index ? read_entry(scan, row, &valid, error) : scan_take_row(scan, row, error);
        if (st) return st;
        if (!valid) continue;
        scan->left--;
        counter_add(&scan->db->counters.scan_rows, 1);
        *found = true;
        return PLINTH_OK;
    }
    return PLINTH_OK;
}

struct plinth_position plinth_scan_position(const struct plinth_scan *scan) {
    return engine_position(scan->db, scan->lsn);
}

void plinth_scan_close(struct plinth_scan *scan) {
    if (!scan) return;
    transaction_scan_destroy(scan->transaction);
    segment_hit_release(&scan->hit);
    cursor_deinit(&scan->cursor);
    row_indexes_deinit(&scan->indexes);
    buffer_deinit(&scan->index_value);
    buffer_deinit(&scan->stored);
    buffer_deinit(&scan->value);
    free(scan);
}
