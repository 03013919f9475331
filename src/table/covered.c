#include "table/covered.h"

#include <stdlib.h>

#include "base/status.h"

struct covered_iterator {
    struct iterator base;
    struct iterator *inner;
    const struct run *run;
    const struct range_view *ranges;
    /* No range covers a key from `clear_from` up to `clear_until` (without one: to the end). */
    struct buffer clear_from;
    struct slice clear_until;
    bool is_clear, has_until;
};

/* Whether no range can cover the key, by what was found out for an earlier one. */
static bool is_clear(const struct covered_iterator *it, struct slice key) {
    return it->is_clear && slice_compare(key, buffer_slice(&it->clear_from)) >= 0 &&
           (!it->has_until || slice_compare(key, it->clear_until) < 0);
}

/* No range covers `key`: nor does one cover what follows, up to the next lower bound. */
static void note_clear(struct covered_iterator *it, struct slice key) {
    it->is_clear = false;
    it->has_until = false;
    buffer_clear(&it->clear_from);
    if (!buffer_append(&it->clear_from, key.data, key.size)) return; /* then every key is looked up */
    for (size_t i = 0; i < it->ranges->count; i++) {
        struct slice lower;
        if (!range_set_next(it->ranges->sets[i], key, &lower)) continue;
        if (!it->has_until || slice_compare(lower, it->clear_until) < 0) it->clear_until = lower;
        it->has_until = true;
    }
    it->is_clear = true;
}

/* The range that hides the inner iterator's row; null when none does. */
static const struct deleted_range *hiding(struct covered_iterator *it) {
    const struct row *row = &it->inner->row;
    if (is_clear(it, row->key)) return NULL;
    const struct deleted_range *range = range_view_find(it->ranges, row->key);
    /* What counts for later readers only leaves a key clear, too. */
    if (!range) note_clear(it, row->key);
    return range && range->lsn > row->lsn ? range : NULL;
}

/* From a row that `range` hides to the next one that it need not hide. */
static enum plinth_status pass_forward(struct covered_iterator *it, const struct deleted_range *range,
                                       struct plinth_error *error) {
    struct slice key = it->inner->row.key, next;
    if (!it->run) return iterator_next(it->inner, error);
    switch (run_pass(it->run, key, range, &next)) {
    case RUN_PASS_STEP: return iterator_next(it->inner, error);
    case RUN_PASS_END: it->inner->valid = false; return PLINTH_OK;
    default: return iterator_seek(it->inner, next, UINT64_MAX, error);
    }
}

static enum plinth_status pass_backward(struct covered_iterator *it, const struct deleted_range *range,
                                        struct plinth_error *error) {
    struct slice key = it->inner->row.key, next;
    if (!it->run) return iterator_previous(it->inner, error);
    switch (run_pass_back(it->run, key, range, &next)) {
    case RUN_PASS_STEP: return iterator_previous(it->inner, error);
    case RUN_PASS_END: it->inner->valid = false; return PLINTH_OK;
    case RUN_PASS_TO_LAST: return iterator_seek_before(it->inner, next, 0, error);
    default: return iterator_seek_before(it->inner, next, UINT64_MAX, error);
    }
}

/* Goes on until the row is not hidden. */
static enum plinth_status settle(struct covered_iterator *it, bool backward, enum plinth_status st,
                                 struct plinth_error *error) {
    const struct deleted_range *range;
    while (!st && it->inner->valid && (range = hiding(it)))
        st = backward ? pass_backward(it, range, error) : pass_forward(it, range, error);
    it->base.valid = !st && it->inner->valid;
    if (it->base.valid) it->base.row = it->inner->row;
    return st;
}

static struct covered_iterator *covered_of(struct iterator *base) {
    base->valid = false;
    return (struct covered_iterator *)base;
}

static enum plinth_status covered_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                       struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, false, iterator_seek(it->inner, key, lsn, error), error);
}

static enum plinth_status covered_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                              struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, true, iterator_seek_before(it->inner, key, lsn, error), error);
}

static enum plinth_status covered_seek_first(struct iterator *base, struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, false, iterator_seek_first(it->inner, error), error);
}

static enum plinth_status covered_seek_last(struct iterator *base, struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, true, iterator_seek_last(it->inner, error), error);
}

static enum plinth_status covered_next(struct iterator *base, struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, false, iterator_next(it->inner, error), error);
}

static enum plinth_status covered_previous(struct iterator *base, struct plinth_error *error) {
    struct covered_iterator *it = covered_of(base);
    return settle(it, true, iterator_previous(it->inner, error), error);
}

static void covered_close(struct iterator *base) {
    struct covered_iterator *it = (struct covered_iterator *)base;
    iterator_close(it->inner);
    buffer_deinit(&it->clear_from);
    free(it);
}

static const struct iterator_ops covered_ops = {
    .seek = covered_seek,
    .seek_before = covered_seek_before,
    .seek_first = covered_seek_first,
    .seek_last = covered_seek_last,
    .next = covered_next,
    .previous = covered_previous,
    .close = covered_close,
};

enum plinth_status covered_iterator_open(struct iterator *inner, const struct run *run, const struct range_view *ranges,
                                         struct iterator **it, struct plinth_error *error) {
    *it = NULL;
    struct covered_iterator *opened = calloc(1, sizeof *opened);
    if (!opened) {
        iterator_close(inner);
        return error_no_memory(error, "iterator");
    }
    opened->base.ops = &covered_ops;
    opened->inner = inner;
    opened->run = run;
    opened->ranges = ranges;
    *it = &opened->base;
    return PLINTH_OK;
}
