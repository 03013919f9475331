#include "engine/value_counts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"

enum { FOLD_MIN = 1024, RECORD_COUNTS_MAX = 16384 };

void value_counts_deinit(struct value_counts *counts) {
    free(counts->all);
    *counts = (struct value_counts){0};
}

void value_counts_fold(struct value_counts *counts) {
    size_t kept = 0;
    if (counts->count) qsort(counts->all, counts->count, sizeof *counts->all, value_count_compare);
    for (size_t i = 0; i < counts->count;) {
        struct value_count sum = counts->all[i++];
        while (i < counts->count && value_count_compare(&sum, &counts->all[i]) == 0)
            sum.count += counts->all[i++].count;
        if (sum.count) counts->all[kept++] = sum;
    }
    counts->count = kept;
    counts->fold_at = kept < FOLD_MIN / 2 ? FOLD_MIN : 2 * kept;
}

enum plinth_status value_counts_add(struct value_counts *counts, struct slice indexes, int by,
                                    struct plinth_error *error) {
    struct row_reference reference;
    if (!row_reference_decode(indexes, &reference)) return PLINTH_OK;
    if (counts->count >= counts->fold_at) value_counts_fold(counts);
    if (counts->count == counts->capacity) {
        size_t capacity = counts->capacity ? 2 * counts->capacity : 64;
        struct value_count *grown = realloc(counts->all, capacity * sizeof *grown);
        if (!grown) return error_no_memory(error, "references to values");
        counts->all = grown;
        counts->capacity = capacity;
    }
    counts->all[counts->count++] = (struct value_count){reference.job, reference.number, by};
    return PLINTH_OK;
}

static enum plinth_status append_some(struct plinth *db, uint64_t job, const struct value_count *counts, size_t count,
                                      struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    struct decision decision;
    uint64_t lsn;
    enum plinth_status st =
        values_dropped_encode(&payload, job, counts, count)
            ? engine_append(db, CHANGE_VALUES_DROPPED, buffer_slice(&payload), &lsn, &decision, error)
            : error_no_memory(error, "log record");
    buffer_deinit(&payload);
    return st;
}

enum plinth_status value_counts_append(struct value_counts *counts, struct plinth *db, uint64_t job,
                                       struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    value_counts_fold(counts);
    for (size_t i = 0; i < counts->count; i++)
        if (counts->all[i].count < 0)
            return error_set(error, PLINTH_INTERNAL,
                             "job %" PRIu64 " has written more references to a value than it has read", job);
    for (size_t i = 0; !st && i < counts->count; i += RECORD_COUNTS_MAX) {
        size_t some = counts->count - i < RECORD_COUNTS_MAX ? counts->count - i : RECORD_COUNTS_MAX;
        st = append_some(db, job, counts->all + i, some, error);
    }
    return st;
}

/* ---- the iterator ---- */

struct counting_iterator {
    struct iterator base;
    struct iterator *inner;
    struct value_counts *counts;
};

static enum plinth_status show(struct counting_iterator *it, enum plinth_status st, struct plinth_error *error) {
    it->base.valid = !st && it->inner->valid;
    if (!it->base.valid) return st;
    it->base.row = it->inner->row;
    st = value_counts_add(it->counts, it->base.row.indexes, 1, error);
    if (st) it->base.valid = false;
    return st;
}

static enum plinth_status no_seek(struct iterator *base, struct plinth_error *error) {
    base->valid = false;
    return error_set(error, PLINTH_INTERNAL, "rows whose references are counted are read from first to last");
}

static enum plinth_status counting_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                        struct plinth_error *error) {
    (void)key, (void)lsn;
    return no_seek(base, error);
}

static enum plinth_status counting_seek_first(struct iterator *base, struct plinth_error *error) {
    struct counting_iterator *it = (struct counting_iterator *)base;
    return show(it, iterator_seek_first(it->inner, error), error);
}

static enum plinth_status counting_next(struct iterator *base, struct plinth_error *error) {
    struct counting_iterator *it = (struct counting_iterator *)base;
    return show(it, iterator_next(it->inner, error), error);
}

static void counting_close(struct iterator *base) {
    struct counting_iterator *it = (struct counting_iterator *)base;
    iterator_close(it->inner);
    free(it);
}

static const struct iterator_ops counting_ops = {
    .seek = counting_seek,
    .seek_before = counting_seek,
    .seek_first = counting_seek_first,
    .seek_last = no_seek,
    .next = counting_next,
    .previous = no_seek,
    .close = counting_close,
};

enum plinth_status counting_iterator_open(struct iterator *inner, struct value_counts *counts, struct iterator **it,
                                          struct plinth_error *error) {
    *it = NULL;
    struct counting_iterator *opened = calloc(1, sizeof *opened);
    if (!opened) {
        iterator_close(inner);
        return error_no_memory(error, "iterator");
    }
    opened->base.ops = &counting_ops;
    opened->inner = inner;
    opened->counts = counts;
    *it = &opened->base;
    return PLINTH_OK;
}
