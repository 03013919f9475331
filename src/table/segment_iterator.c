/* Iterating over a segment, stripe by stripe.
 *
 * Decoded stripes lie in the iterator's own buffers and do not disturb the page cache: a scan or a compaction would
 * only push out what point reads need. The stripe that a seek by key lands in is different: it is taken from the cache
 * or put there, as short scans (of an index, say) come back to the same places. An iterator in memory takes all of them
 * from the cache. */
#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/stripe.h"

struct segment_iterator {
    struct iterator base;
    struct segment *segment;
    unsigned parts;
    bool in_memory;
    struct stripe_decoder *decoder; /* made when first needed */
    struct stripe *pinned;          /* what `rows` lies in, when that came from the cache */
    uint32_t stripe;                /* `rows` is this one's, when has_rows */
    bool has_rows;
    struct stripe_rows rows;
    uint32_t row;
};

static void show(struct segment_iterator *it, uint32_t row) {
    it->row = row;
    it->base.valid = true;
    stripe_rows_get(&it->rows, row, &it->base.row);
}

static void drop_rows(struct segment_iterator *it) {
    stripe_unref(it->pinned);
    it->pinned = NULL;
    it->has_rows = false;
}

static void take_pinned(struct segment_iterator *it, uint32_t stripe) {
    it->rows = it->pinned->rows;
    if (!(it->parts & STRIPE_VALUES)) it->rows.value_offsets = it->rows.indexes_offsets = NULL;
    it->stripe = stripe;
    it->has_rows = true;
}

/* From the cache, or not at all. */
static enum plinth_status enter_in_memory(struct segment_iterator *it, uint32_t stripe) {
    drop_rows(it);
    it->pinned = stripe_find_cached(it->segment, stripe, it->parts);
    if (!it->pinned) return PLINTH_WOULD_BLOCK;
    take_pinned(it, stripe);
    return PLINTH_OK;
}

/* Decodes a stripe into the iterator's own buffers. */
static enum plinth_status enter(struct segment_iterator *it, uint32_t stripe, struct plinth_error *error) {
    if (it->has_rows && it->stripe == stripe) return PLINTH_OK;
    if (it->in_memory) return enter_in_memory(it, stripe);
    drop_rows(it);
    enum plinth_status st = it->decoder ? PLINTH_OK : stripe_decoder_acquire(&it->decoder, error);
    if (!st) st = stripe_decode(it->segment, stripe, it->parts, it->decoder, &it->rows, error);
    it->stripe = stripe;
    it->has_rows = !st;
    return st;
}

/* The same through the cache. */
static enum plinth_status enter_cached(struct segment_iterator *it, uint32_t stripe, struct plinth_error *error) {
    if (!it->segment->cache || it->in_memory) return enter(it, stripe, error);
    if (it->has_rows && it->stripe == stripe) return PLINTH_OK;
    drop_rows(it);
    enum plinth_status st = stripe_load(it->segment, stripe, it->parts, &it->pinned, error);
    if (st) return st;
    take_pinned(it, stripe);
    return PLINTH_OK;
}

static uint32_t find(const struct segment_iterator *it, struct slice key, uint64_t lsn) {
    return it->pinned ? stripe_find(it->pinned, key, lsn) : stripe_rows_find(&it->rows, key, lsn);
}

static enum plinth_status segment_iterator_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                                struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    uint32_t stripe;
    base->valid = false;
    assert(!it->in_memory || lsn == UINT64_MAX); /* others may look at stripes on the way */
    enum plinth_status st = segment_find_stripe(it->segment, key, lsn, &stripe, error);
    if (!st) st = enter_cached(it, stripe, error);
    if (st) return st;
    uint32_t row = find(it, key, lsn);
    if (row < it->rows.count) {
        show(it, row);
    } else if (stripe + 1 < it->segment->stripes.count) {
        st = enter(it, stripe + 1, error);
        if (!st) show(it, 0);
    }
    return st;
}

static enum plinth_status segment_iterator_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                                       struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    uint32_t stripe;
    base->valid = false;
    enum plinth_status st = segment_find_stripe(it->segment, key, lsn, &stripe, error);
    if (!st) st = enter_cached(it, stripe, error);
    if (st) return st;
    uint32_t row = find(it, key, lsn);
    if (row > 0) {
        show(it, row - 1);
    } else if (stripe > 0) {
        st = enter(it, stripe - 1, error);
        if (!st) show(it, it->rows.count - 1);
    }
    return st;
}

static enum plinth_status segment_iterator_seek_first(struct iterator *base, struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    base->valid = false;
    enum plinth_status st = enter(it, 0, error);
    if (!st) show(it, 0);
    return st;
}

static enum plinth_status segment_iterator_seek_last(struct iterator *base, struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    base->valid = false;
    enum plinth_status st = enter(it, it->segment->stripes.count - 1, error);
    if (!st) show(it, it->rows.count - 1);
    return st;
}

static enum plinth_status segment_iterator_next(struct iterator *base, struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    assert(base->valid);
    if (it->row + 1 < it->rows.count) {
        show(it, it->row + 1);
        return PLINTH_OK;
    }
    base->valid = false;
    if (it->stripe + 1 == it->segment->stripes.count) return PLINTH_OK;
    enum plinth_status st = enter(it, it->stripe + 1, error);
    if (!st) show(it, 0);
    return st;
}

static enum plinth_status segment_iterator_previous(struct iterator *base, struct plinth_error *error) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    assert(base->valid);
    if (it->row > 0) {
        show(it, it->row - 1);
        return PLINTH_OK;
    }
    base->valid = false;
    if (it->stripe == 0) return PLINTH_OK;
    enum plinth_status st = enter(it, it->stripe - 1, error);
    if (!st) show(it, it->rows.count - 1);
    return st;
}

static void segment_iterator_close(struct iterator *base) {
    struct segment_iterator *it = (struct segment_iterator *)base;
    drop_rows(it);
    stripe_decoder_release(it->decoder);
    segment_unref(it->segment);
    free(it);
}

static const struct iterator_ops segment_iterator_ops = {
    .seek = segment_iterator_seek,
    .seek_before = segment_iterator_seek_before,
    .seek_first = segment_iterator_seek_first,
    .seek_last = segment_iterator_seek_last,
    .next = segment_iterator_next,
    .previous = segment_iterator_previous,
    .close = segment_iterator_close,
};

enum plinth_status segment_iterator_open(struct segment *segment, bool lsn_only, struct iterator **it,
                                         struct plinth_error *error) {
    *it = NULL;
    enum plinth_status st = segment_load(segment, error);
    if (st) return st;
    struct segment_iterator *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "segment iterator");
    opened->base.ops = &segment_iterator_ops;
    opened->segment = segment_ref(segment);
    opened->parts = lsn_only ? STRIPE_KEYS_ONLY : STRIPE_VALUES;
    *it = &opened->base;
    return PLINTH_OK;
}

enum plinth_status segment_iterator_open_in_memory(struct segment *segment, struct iterator **it,
                                                   struct plinth_error *error) {
    *it = NULL;
    if (!segment_is_loaded(segment)) return PLINTH_WOULD_BLOCK;
    enum plinth_status st = segment_iterator_open(segment, true, it, error);
    if (!st) ((struct segment_iterator *)*it)->in_memory = true;
    return st;
}
