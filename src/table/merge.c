/* Merging iterators by a binary heap.
 *
 * The heap holds the valid inputs; its top is the one whose row comes first in the direction of travel. Two things
 * keep comparisons few:
 *   - every input carries the first 8 bytes of its key as a number, which decides most of them;
 *   - the better of the top's two children is remembered (`challenger`). While the top's next row still comes before
 *     the challenger's, one comparison a row is enough, however many inputs there are.
 *
 * All inputs stand behind the merge's row in the direction of travel. Turning round therefore seeks every input but
 * the top to the row's other side and builds the heap again. */
#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/iterator.h"
#include "table/key_prefix.h"

struct input {
    uint64_t prefix; /* of it->row.key */
    struct iterator *it;
};

struct merge {
    struct iterator base;
    bool backward;
    size_t count;
    size_t heap_size;
    size_t challenger;         /* heap index 1 or 2; 0: not known or none */
    struct input *heap;        /* the valid inputs; room for `count` */
    struct iterator *inputs[]; /* all, in the caller's order */
};

/* Whether `a` comes before `b` in the direction of travel. */
static inline bool comes_first(const struct merge *merge, const struct input *a, const struct input *b) {
    if (a->prefix != b->prefix) return (a->prefix < b->prefix) != merge->backward;
    const struct row *row_a = &a->it->row, *row_b = &b->it->row;
    int order = key_compare_behind_prefix(row_a->key, row_b->key);
    if (!order) order = row_a->lsn > row_b->lsn ? -1 : 1;
    return (order < 0) != merge->backward;
}

static void sift_down(struct merge *merge, size_t at) {
    struct input moving = merge->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merge->heap_size) break;
        if (child + 1 < merge->heap_size && comes_first(merge, &merge->heap[child + 1], &merge->heap[child])) child++;
        if (!comes_first(merge, &merge->heap[child], &moving)) break;
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = moving;
}

static void find_challenger(struct merge *merge) {
    merge->challenger = merge->heap_size > 1;
    if (merge->heap_size > 2 && comes_first(merge, &merge->heap[2], &merge->heap[1])) merge->challenger = 2;
}

static void show_top(struct merge *merge) {
    merge->base.valid = merge->heap_size > 0;
    if (merge->base.valid) merge->base.row = merge->heap[0].it->row;
}

static void build_heap(struct merge *merge, bool backward) {
    merge->backward = backward;
    merge->heap_size = 0;
    for (size_t i = 0; i < merge->count; i++) {
        struct iterator *it = merge->inputs[i];
        if (it->valid) merge->heap[merge->heap_size++] = (struct input){key_prefix(it->row.key), it};
    }
    for (size_t i = merge->heap_size / 2; i-- > 0;) sift_down(merge, i);
    find_challenger(merge);
    show_top(merge);
}

/* ---- seeks: every input, then the heap ---- */

static enum plinth_status merge_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                     struct plinth_error *error) {
    struct merge *merge = (struct merge *)base;
    base->valid = false;
    for (size_t i = 0; i < merge->count; i++) {
        enum plinth_status st = iterator_seek(merge->inputs[i], key, lsn, error);
        if (st) return st;
    }
    build_heap(merge, false);
    return PLINTH_OK;
}

static enum plinth_status merge_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                            struct plinth_error *error) {
    struct merge *merge = (struct merge *)base;
    base->valid = false;
    for (size_t i = 0; i < merge->count; i++) {
        enum plinth_status st = iterator_seek_before(merge->inputs[i], key, lsn, error);
        if (st) return st;
    }
    build_heap(merge, true);
    return PLINTH_OK;
}

static enum plinth_status merge_seek_first(struct iterator *base, struct plinth_error *error) {
    struct merge *merge = (struct merge *)base;
    base->valid = false;
    for (size_t i = 0; i < merge->count; i++) {
        enum plinth_status st = iterator_seek_first(merge->inputs[i], error);
        if (st) return st;
    }
    build_heap(merge, false);
    return PLINTH_OK;
}

static enum plinth_status merge_seek_last(struct iterator *base, struct plinth_error *error) {
    struct merge *merge = (struct merge *)base;
    base->valid = false;
    for (size_t i = 0; i < merge->count; i++) {
        enum plinth_status st = iterator_seek_last(merge->inputs[i], error);
        if (st) return st;
    }
    build_heap(merge, true);
    return PLINTH_OK;
}

/* ---- steps ---- */

/* The top has moved: put it where it belongs. */
static void settle_top(struct merge *merge) {
    struct input *top = &merge->heap[0];
    if (top->it->valid) {
        top->prefix = key_prefix(top->it->row.key);
        if (!merge->challenger || comes_first(merge, top, &merge->heap[merge->challenger])) {
            merge->base.row = top->it->row;
            return;
        }
        sift_down(merge, 0);
    } else {
        merge->heap[0] = merge->heap[--merge->heap_size];
        if (merge->heap_size) sift_down(merge, 0);
    }
    find_challenger(merge);
    show_top(merge);
}

/* Puts every input but the top on the other side of the merge's row. The row's slices belong to the top, which moves
 * last, by the step that follows. */
static enum plinth_status turn_round(struct merge *merge, bool backward, struct plinth_error *error) {
    struct iterator *top = merge->heap[0].it;
    struct row row = merge->base.row;
    for (size_t i = 0; i < merge->count; i++) {
        struct iterator *it = merge->inputs[i];
        if (it == top) continue;
        enum plinth_status st =
            backward ? iterator_seek_before(it, row.key, row.lsn, error) : iterator_seek(it, row.key, row.lsn, error);
        if (st) return st;
    }
    return PLINTH_OK;
}

static enum plinth_status step(struct merge *merge, bool backward, struct plinth_error *error) {
    assert(merge->base.valid);
    merge->base.valid = false;
    struct iterator *top = merge->heap[0].it;
    bool turns = merge->backward != backward;
    enum plinth_status st = turns ? turn_round(merge, backward, error) : PLINTH_OK;
    if (!st) st = backward ? iterator_previous(top, error) : iterator_next(top, error);
    if (st) return st;
    merge->base.valid = true;
    if (turns) {
        build_heap(merge, backward);
    } else {
        settle_top(merge);
    }
    return PLINTH_OK;
}

static enum plinth_status merge_next(struct iterator *base, struct plinth_error *error) {
    return step((struct merge *)base, false, error);
}

static enum plinth_status merge_previous(struct iterator *base, struct plinth_error *error) {
    return step((struct merge *)base, true, error);
}

static void merge_close(struct iterator *base) {
    struct merge *merge = (struct merge *)base;
    for (size_t i = 0; i < merge->count; i++) iterator_close(merge->inputs[i]);
    free(merge->heap);
    free(merge);
}

static const struct iterator_ops merge_ops = {
    .seek = merge_seek,
    .seek_before = merge_seek_before,
    .seek_first = merge_seek_first,
    .seek_last = merge_seek_last,
    .next = merge_next,
    .previous = merge_previous,
    .close = merge_close,
};

enum plinth_status merge_open(struct iterator **inputs, size_t count, struct iterator **merged,
                              struct plinth_error *error) {
    *merged = NULL;
    if (count == 1) {
        *merged = inputs[0];
        return PLINTH_OK;
    }
    struct merge *merge = calloc(1, sizeof *merge + count * sizeof merge->inputs[0]);
    struct input *heap = calloc(count ? count : 1, sizeof *heap);
    if (!merge || !heap) {
        free(merge);
        free(heap);
        for (size_t i = 0; i < count; i++) iterator_close(inputs[i]);
        return error_no_memory(error, "merge of iterators");
    }
    merge->base.ops = &merge_ops;
    merge->count = count;
    merge->heap = heap;
    if (count) memcpy(merge->inputs, inputs, count * sizeof inputs[0]);
    *merged = &merge->base;
    return PLINTH_OK;
}
