#include "engine/cursor.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/engine.h"
#include "table/covered.h"

/* Leaves out of an input, which is of a run or (null) a memtable, what is hidden. */
static enum plinth_status leave_out_hidden(struct iterator **input, const struct run *run,
                                           const struct range_view *ranges, struct plinth_error *error) {
    return ranges->count ? covered_iterator_open(*input, run, ranges, input, error) : PLINTH_OK;
}

enum plinth_status view_iterator_open(const struct view *view, struct table_id table, const struct range_view *ranges,
                                      uint64_t time_us, bool lsn_only, struct iterator **merged,
                                      struct plinth_error *error) {
    bool expires = view_may_expire(view, table, time_us);
    if (expires) lsn_only = false;
    const struct view_table *runs = view_find_table(view, table);
    size_t count_max = view->memtable_count + (runs ? runs->run_count : 0), count = 0;
    struct iterator **inputs = malloc((count_max + 1) * sizeof *inputs);
    if (!inputs) return error_no_memory(error, "cursor");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < view->memtable_count; i++) {
        st = memtable_iterator_open(view->memtables[i].memtable, table, &inputs[count], error);
        if (!st) st = leave_out_hidden(&inputs[count], NULL, ranges, error);
        count += !st;
    }
    for (size_t i = 0; !st && runs && i < runs->run_count; i++) {
        st = run_iterator_open(runs->runs[i].run, lsn_only, &inputs[count], error);
        if (!st) st = leave_out_hidden(&inputs[count], runs->runs[i].run, ranges, error);
        count += !st;
    }
    if (!st)
        st = merge_open(inputs, count, merged, error);
    else
        for (size_t i = 0; i < count; i++) iterator_close(inputs[i]);
    if (!st && expires) st = expiring_iterator_open(*merged, time_us, merged, error);
    free(inputs);
    return st;
}

enum plinth_status cursor_init(struct cursor *cursor, struct view *view, struct table_id table, uint64_t lsn,
                               const struct cursor_options *options, struct plinth_error *error) {
    *cursor = (struct cursor){.view = view, .lsn = lsn, .reverse = options->reverse};
    enum plinth_status st = PLINTH_OK;
    if (!buffer_append(&cursor->lower, options->lower.data, options->lower.size) ||
        !buffer_append(&cursor->upper, options->upper.data, options->upper.size))
        st = error_no_memory(error, "cursor");
    if (!st) st = view_ranges(view, table, lsn, &cursor->ranges, error);
    if (!st)
        st = view_iterator_open(view, table, &cursor->ranges, options->time_us, options->lsn_only, &cursor->merged,
                                error);
    if (st) cursor_deinit(cursor);
    return st;
}

void cursor_deinit(struct cursor *cursor) {
    iterator_close(cursor->merged);
    range_view_deinit(&cursor->ranges);
    if (cursor->view) view_unref(cursor->view);
    buffer_deinit(&cursor->lower);
    buffer_deinit(&cursor->upper);
    buffer_deinit(&cursor->key);
    buffer_deinit(&cursor->value);
    buffer_deinit(&cursor->indexes);
    *cursor = (struct cursor){0};
}

static bool set_bytes(struct buffer *buffer, struct slice bytes) {
    buffer_clear(buffer);
    return buffer_append(buffer, bytes.data, bytes.size);
}

static bool above_upper(const struct cursor *cursor, struct slice key) {
    return cursor->upper.size && slice_compare(key, buffer_slice(&cursor->upper)) >= 0;
}

/* Leaves the versions of the current key behind. A few steps are cheaper than a seek; many are not. */
static enum plinth_status skip_key(struct cursor *cursor, struct plinth_error *error) {
    enum plinth_status st = iterator_next(cursor->merged, error);
    for (int step = 0; !st && cursor->merged->valid; step++) {
        if (!slice_equal(cursor->merged->row.key, buffer_slice(&cursor->key))) return PLINTH_OK;
        st = step < 8 ? iterator_next(cursor->merged, error)
                      : iterator_seek(cursor->merged, buffer_slice(&cursor->key), 0, error);
        if (step >= 8 && !st && cursor->merged->valid &&
            slice_equal(cursor->merged->row.key, buffer_slice(&cursor->key)))
            st = iterator_next(cursor->merged, error);
    }
    return st;
}

static enum plinth_status next_forward(struct cursor *cursor, struct plinth_error *error) {
    struct iterator *merged = cursor->merged;
    enum plinth_status st = cursor->started ? skip_key(cursor, error)
                                            : iterator_seek(merged, buffer_slice(&cursor->lower), UINT64_MAX, error);
    while (!st && merged->valid && !above_upper(cursor, merged->row.key)) {
        if (merged->row.lsn > cursor->lsn) {
            st = iterator_next(merged, error);
            continue;
        }
        if (!set_bytes(&cursor->key, merged->row.key)) return error_no_memory(error, "cursor");
        if (merged->row.operation == ROW_SET) {
            cursor->row = merged->row;
            cursor->row.key = buffer_slice(&cursor->key);
            cursor->valid = true;
            return PLINTH_OK;
        }
        st = skip_key(cursor, error);
    }
    return st;
}

/* Backwards a key's versions come oldest first: the last one not above the LSN is the visible one. */
static enum plinth_status next_reverse(struct cursor *cursor, struct plinth_error *error) {
    struct iterator *merged = cursor->merged;
    enum plinth_status st = PLINTH_OK;
    if (!cursor->started)
        st = cursor->upper.size ? iterator_seek_before(merged, buffer_slice(&cursor->upper), UINT64_MAX, error)
                                : iterator_seek_last(merged, error);
    while (!st && merged->valid && slice_compare(merged->row.key, buffer_slice(&cursor->lower)) >= 0) {
        if (!set_bytes(&cursor->key, merged->row.key)) return error_no_memory(error, "cursor");
        struct row newest = {.key = buffer_slice(&cursor->key)};
        bool found = false;
        while (!st && merged->valid && slice_equal(merged->row.key, buffer_slice(&cursor->key))) {
            if (merged->row.lsn <= cursor->lsn) {
                found = true;
                newest.lsn = merged->row.lsn;
                newest.operation = merged->row.operation;
                if (!set_bytes(&cursor->value, merged->row.value) || !set_bytes(&cursor->indexes, merged->row.indexes))
                    return error_no_memory(error, "cursor");
            }
            st = iterator_previous(merged, error);
        }
        if (st || !found || newest.operation != ROW_SET) continue;
        newest.value = buffer_slice(&cursor->value);
        newest.indexes = buffer_slice(&cursor->indexes);
        cursor->row = newest;
        cursor->valid = true;
        return PLINTH_OK;
    }
    return st;
}

enum plinth_status cursor_next(struct cursor *cursor, struct plinth_error *error) {
    bool over = cursor->started && !cursor->valid;
    cursor->valid = false;
    if (over) return PLINTH_OK;
    enum plinth_status st = cursor->reverse ? next_reverse(cursor, error) : next_forward(cursor, error);
    cursor->started = true;
    return st;
}
