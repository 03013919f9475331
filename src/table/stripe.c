/* Stripes in the page cache.
 *
 * One allocation: struct stripe | prefixes | lsns | key, value, indexes offsets | operations | keys | values | indexes.
 * What is constant or absent in the stripe takes no room. */
#include "table/stripe.h"

#include <stdlib.h>

#include "base/status.h"
#include "table/key_prefix.h"

/* Cache keys: the stripe's number, and whether values are there. */
static struct page_cache_key cache_key(const struct segment *segment, uint32_t stripe, unsigned parts) {
    return (struct page_cache_key){segment->id, 2 * (uint64_t)stripe + !(parts & STRIPE_VALUES)};
}

static void stripe_destroy(struct page_cache_entry *entry) { free(entry); }

/* ---- building ---- */

static size_t bytes_size(const uint32_t *offsets, uint32_t count) { return offsets[count] - offsets[0]; }

/* Copies a byte column so that its offsets begin at 0; moves `*at` behind what is written. */
static const uint32_t *put_offsets(uint8_t **at, const uint32_t *offsets, uint32_t count) {
    uint32_t *copy = (uint32_t *)(void *)*at;
    for (uint32_t i = 0; i <= count; i++) copy[i] = offsets[i] - offsets[0];
    *at += (count + 1) * sizeof *copy;
    return copy;
}

static const uint8_t *put_bytes(uint8_t **at, const void *bytes, size_t size) {
    uint8_t *copy = *at;
    if (size) memcpy(copy, bytes, size);
    *at += size;
    return copy;
}

static size_t stripe_size(const struct stripe_rows *rows) {
    size_t count = rows->count, offsets = (count + 1) * sizeof(uint32_t);
    size_t size = sizeof(struct stripe) + count * sizeof(uint64_t) + offsets;
    size += bytes_size(rows->key_offsets, rows->count);
    if (rows->lsns) size += count * sizeof(uint64_t);
    if (rows->operations) size += count;
    if (rows->value_offsets) size += offsets + bytes_size(rows->value_offsets, rows->count);
    if (rows->indexes_offsets) size += offsets + bytes_size(rows->indexes_offsets, rows->count);
    return size;
}

static void copy_rows(struct stripe *stripe, const struct stripe_rows *from) {
    struct stripe_rows *rows = &stripe->rows;
    uint8_t *at = (uint8_t *)(stripe + 1);
    *rows = *from;
    stripe->prefixes = (uint64_t *)(void *)at;
    at += from->count * sizeof(uint64_t);
    if (from->lsns) rows->lsns = (const uint64_t *)(const void *)put_bytes(&at, from->lsns, from->count * 8);
    rows->key_offsets = put_offsets(&at, from->key_offsets, from->count);
    if (from->value_offsets) rows->value_offsets = put_offsets(&at, from->value_offsets, from->count);
    if (from->indexes_offsets) rows->indexes_offsets = put_offsets(&at, from->indexes_offsets, from->count);
    if (from->operations) rows->operations = put_bytes(&at, from->operations, from->count);
    rows->keys = put_bytes(&at, from->keys + from->key_offsets[0], rows->key_offsets[from->count]);
    if (from->value_offsets)
        rows->values = put_bytes(&at, from->values + from->value_offsets[0], rows->value_offsets[from->count]);
    if (from->indexes_offsets)
        rows->indexes = put_bytes(&at, from->indexes + from->indexes_offsets[0], rows->indexes_offsets[from->count]);
}

static size_t shared_bytes(struct slice a, struct slice b) {
    size_t most = a.size < b.size ? a.size : b.size, shared = 0;
    while (shared < most && a.data[shared] == b.data[shared]) shared++;
    return shared;
}

static inline struct slice key_rest(const struct stripe *stripe, uint32_t row) {
    return key_behind(stripe_rows_key(&stripe->rows, row), stripe->common);
}

/* Whether row i - 1 comes before row i, the prefixes of both being there. */
static bool in_order(const struct stripe *stripe, uint32_t row) {
    if (stripe->prefixes[row - 1] != stripe->prefixes[row]) return stripe->prefixes[row - 1] < stripe->prefixes[row];
    int order = key_compare_behind_prefix(key_rest(stripe, row - 1), key_rest(stripe, row));
    if (order) return order < 0;
    return stripe_rows_lsn(&stripe->rows, row - 1) > stripe_rows_lsn(&stripe->rows, row);
}

/* Fills in prefixes, and finds rows out of order, which a search would lose. */
static enum plinth_status make_prefixes(const struct segment *segment, uint32_t number, struct stripe *stripe,
                                        struct plinth_error *error) {
    const struct stripe_rows *rows = &stripe->rows;
    stripe->common = (uint32_t)shared_bytes(stripe_rows_key(rows, 0), stripe_rows_key(rows, rows->count - 1));
    for (uint32_t i = 0; i < rows->count; i++) {
        bool fits = stripe_rows_key(rows, i).size >= stripe->common;
        if (fits) stripe->prefixes[i] = key_prefix(key_rest(stripe, i));
        if (!fits || (i > 0 && !in_order(stripe, i)))
            return error_set(error, PLINTH_CORRUPT, "segment %s, stripe %u: row %u is out of order", segment->info.name,
                             number, i);
    }
    return PLINTH_OK;
}

static enum plinth_status stripe_build(struct segment *segment, uint32_t number, unsigned parts,
                                       const struct stripe_rows *rows, struct stripe **built,
                                       struct plinth_error *error) {
    size_t size = stripe_size(rows);
    struct stripe *stripe = malloc(size);
    if (!stripe) return error_no_memory(error, "stripe");
    memset(stripe, 0, sizeof *stripe);
    stripe->entry.key = cache_key(segment, number, parts);
    stripe->entry.bytes = size;
    stripe->entry.destroy = stripe_destroy;
    atomic_init(&stripe->entry.references, 1);
    copy_rows(stripe, rows);
    enum plinth_status st = make_prefixes(segment, number, stripe, error);
    if (st) {
        free(stripe);
        return st;
    }
    *built = stripe;
    return PLINTH_OK;
}

/* ---- cache ---- */

struct stripe *stripe_find_cached(struct segment *segment, uint32_t stripe, unsigned parts) {
    if (!segment->cache) return NULL;
    if (segment->rows) /* columns are cached one by one (row_segment_read.c) */
        return (struct stripe *)page_cache_find(segment->cache, cache_key(segment, stripe, STRIPE_KEYS_ONLY));
    struct page_cache_entry *entry = page_cache_find(segment->cache, cache_key(segment, stripe, STRIPE_VALUES));
    if (!entry && !(parts & STRIPE_VALUES)) entry = page_cache_find(segment->cache, cache_key(segment, stripe, parts));
    return (struct stripe *)entry;
}

enum plinth_status stripe_load(struct segment *segment, uint32_t stripe, unsigned parts, struct stripe **loaded,
                               struct plinth_error *error) {
    if (segment->rows) parts &= ~(unsigned)STRIPE_VALUES;
    *loaded = stripe_find_cached(segment, stripe, parts);
    if (*loaded) return PLINTH_OK;
    struct stripe_decoder *decoder;
    struct stripe_rows rows;
    enum plinth_status st = stripe_decoder_acquire(&decoder, error);
    if (st) return st;
    st = stripe_decode(segment, stripe, parts, decoder, &rows, error);
    if (!st) st = stripe_build(segment, stripe, parts, &rows, loaded, error);
    stripe_decoder_release(decoder);
    if (!st && segment->cache) *loaded = (struct stripe *)page_cache_insert(segment->cache, &(*loaded)->entry);
    return st;
}

/* ---- searching ---- */

/* Whether row i comes before (what follows the common bytes of the key sought, lsn). */
static inline bool row_before(const struct stripe *stripe, uint32_t row, uint64_t prefix, struct slice rest,
                              uint64_t lsn) {
    if (stripe->prefixes[row] != prefix) return stripe->prefixes[row] < prefix;
    int order = key_compare_behind_prefix(key_rest(stripe, row), rest);
    return order ? order < 0 : stripe_rows_lsn(&stripe->rows, row) > lsn;
}

/* Where the row would be if keys were evenly spread. */
static uint32_t guess_row(const struct stripe *stripe, uint64_t prefix) {
    uint32_t last = stripe->rows.count - 1;
    uint64_t low = stripe->prefixes[0], high = stripe->prefixes[last];
    if (prefix <= low) return 0;
    if (prefix >= high) return last;
    return (uint32_t)((double)(prefix - low) / (double)(high - low) * last);
}

/* A guess, then a search that doubles its steps from there: even keys cost two or three cache lines, others no more
 * than twice a binary search. */
uint32_t stripe_find(const struct stripe *stripe, struct slice key, uint64_t lsn) {
    const struct stripe_rows *rows = &stripe->rows;
    struct slice common = slice_of(rows->keys, stripe->common); /* the first key's first bytes */
    if (!slice_starts_with(key, common)) return slice_compare(key, common) < 0 ? 0 : rows->count;
    struct slice rest = key_behind(key, common.size);
    uint64_t prefix = key_prefix(rest);

    uint32_t low = 0, high = rows->count, at = guess_row(stripe, prefix), step = 4;
    if (row_before(stripe, at, prefix, rest, lsn)) {
        low = at + 1;
        while (low + step < high && row_before(stripe, low + step, prefix, rest, lsn)) {
            low += step + 1;
            step *= 2;
        }
        if (low + step < high) high = low + step;
    } else {
        high = at;
        while (high > step && !row_before(stripe, high - step, prefix, rest, lsn)) {
            high -= step;
            step *= 2;
        }
        if (high > step) low = high - step + 1;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (row_before(stripe, middle, prefix, rest, lsn)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void stripe_prefetch_ends(const struct stripe *stripe) {
    __builtin_prefetch(&stripe->prefixes[0]);
    __builtin_prefetch(&stripe->prefixes[stripe->rows.count - 1]);
    __builtin_prefetch(stripe->rows.keys);
}

void stripe_prefetch_guess(const struct stripe *stripe, struct slice key) {
    if (key.size < stripe->common) return;
    uint32_t row = guess_row(stripe, key_prefix(key_behind(key, stripe->common)));
    __builtin_prefetch(&stripe->prefixes[row]);
    __builtin_prefetch(&stripe->rows.key_offsets[row]);
    if (stripe->rows.lsns) __builtin_prefetch(&stripe->rows.lsns[row]);
}
