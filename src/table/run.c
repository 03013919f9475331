#include "table/run.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/key_prefix.h"
#include "table/row_segment.h"
#include "table/stripe.h"

struct run {
    atomic_uint references;
    size_t count;
    uint64_t bytes, rows, lsn_max;
    uint64_t expires_min; /* 0: nothing expires */
    uint64_t references_to_values;
    uint64_t *prefixes; /* of each segment's greatest key */
    struct segment *segments[];
};

static struct slice key_min(const struct run *run, size_t index) {
    return buffer_slice(&segment_info(run->segments[index])->key_min);
}

static struct slice key_max(const struct run *run, size_t index) {
    return buffer_slice(&segment_info(run->segments[index])->key_max);
}

static enum plinth_status check_ranges(const struct run *run, struct plinth_error *error) {
    for (size_t i = 1; i < run->count; i++) {
        const struct segment_info *before = segment_info(run->segments[i - 1]), *after = segment_info(run->segments[i]);
        if (table_id_compare(before->table, after->table) != 0)
            return error_set(error, PLINTH_CORRUPT, "segments %s and %s of one run belong to different tables",
                             before->name, after->name);
        if (slice_compare(key_max(run, i - 1), key_min(run, i)) >= 0)
            return error_set(error, PLINTH_CORRUPT, "key ranges of segments %s and %s of one run overlap", before->name,
                             after->name);
    }
    return PLINTH_OK;
}

enum plinth_status run_create(struct segment **segments, size_t count, struct run **run, struct plinth_error *error) {
    *run = NULL;
    struct run *created = calloc(1, sizeof *created + count * sizeof created->segments[0]);
    uint64_t *prefixes = calloc(count ? count : 1, sizeof *prefixes);
    if (!created || !prefixes) {
        free(created);
        free(prefixes);
        for (size_t i = 0; i < count; i++) segment_unref(segments[i]);
        return error_no_memory(error, "run of segments");
    }
    atomic_init(&created->references, 1);
    created->count = count;
    created->prefixes = prefixes;
    for (size_t i = 0; i < count; i++) {
        const struct segment_info *info = segment_info(segments[i]);
        created->segments[i] = segments[i];
        created->bytes += info->bytes;
        created->rows += info->rows;
        created->references_to_values += info->references;
        if (info->lsn_max > created->lsn_max) created->lsn_max = info->lsn_max;
        if (info->expiring && (!created->expires_min || info->expires_min < created->expires_min))
            created->expires_min = info->expires_min;
        prefixes[i] = key_prefix(key_max(created, i));
    }
    enum plinth_status st = check_ranges(created, error);
    if (st) {
        run_unref(created);
        return st;
    }
    *run = created;
    return PLINTH_OK;
}

struct run *run_ref(struct run *run) {
    atomic_fetch_add_explicit(&run->references, 1, memory_order_relaxed);
    return run;
}

void run_unref(struct run *run) {
    if (!run || atomic_fetch_sub_explicit(&run->references, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < run->count; i++) segment_unref(run->segments[i]);
    free(run->prefixes);
    free(run);
}

size_t run_segment_count(const struct run *run) { return run->count; }
struct segment *run_segment(const struct run *run, size_t index) {
    assert(index < run->count);
    return run->segments[index];
}
uint64_t run_bytes(const struct run *run) { return run->bytes; }
uint64_t run_memory_bytes(const struct run *run) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < run->count; i++) bytes += segment_memory_bytes(run->segments[i]);
    return bytes;
}
uint64_t run_rows(const struct run *run) { return run->rows; }
uint64_t run_lsn_max(const struct run *run) { return run->lsn_max; }

bool run_may_expire(const struct run *run, uint64_t time_us) { return run->expires_min && run->expires_min <= time_us; }

uint64_t run_references(const struct run *run) { return run->references_to_values; }

/* The first segment whose greatest key is not below `key`; `count` when there is none. */
static size_t find_segment(const struct run *run, struct slice key) {
    uint64_t prefix = key_prefix(key);
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        bool below = run->prefixes[middle] != prefix ? run->prefixes[middle] < prefix
                                                     : key_compare_behind_prefix(key_max(run, middle), key) < 0;
        if (below) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum plinth_status run_get(struct run *run, struct slice key, uint64_t key_hash, uint64_t lsn_max, unsigned flags,
                           struct segment_hit *hit, struct plinth_error *error) {
    size_t index = find_segment(run, key);
    if (index < run->count) return segment_get(run->segments[index], key, key_hash, lsn_max, flags, hit, error);
    *hit = (struct segment_hit){0};
    return PLINTH_NOT_FOUND;
}

void run_segments_meeting(const struct run *run, struct slice lower, struct slice upper, size_t *first, size_t *end) {
    *first = find_segment(run, lower);
    *end = upper.size ? find_segment(run, upper) : run->count;
    if (upper.size && *end < run->count && slice_compare(key_min(run, *end), upper) < 0) ++*end;
    if (*end < *first) *end = *first;
}

static bool is_older(const struct run *run, size_t index, const struct deleted_range *range) {
    return segment_info(run->segments[index])->lsn_max < range->lsn;
}

enum run_pass run_pass(const struct run *run, struct slice key, const struct deleted_range *range, struct slice *next) {
    size_t first = find_segment(run, key), at = first;
    while (at < run->count && is_older(run, at, range) &&
           (!range->upper.size || slice_compare(key_max(run, at), range->upper) < 0))
        at++;
    if (at == run->count) return RUN_PASS_END;
    bool ends_here = is_older(run, at, range);
    if (!ends_here && at == first) return RUN_PASS_STEP;
    *next = ends_here ? range->upper : key_min(run, at);
    return RUN_PASS_TO;
}

enum run_pass run_pass_back(const struct run *run, struct slice key, const struct deleted_range *range,
                            struct slice *next) {
    size_t first = find_segment(run, key), left = first + 1; /* segments up to and with the one in question */
    while (left > 0 && is_older(run, left - 1, range) && slice_compare(key_min(run, left - 1), range->lower) >= 0)
        left--;
    if (left == 0) return RUN_PASS_END;
    bool ends_here = is_older(run, left - 1, range);
    if (!ends_here && left - 1 == first) return RUN_PASS_STEP;
    *next = ends_here ? range->lower : key_max(run, left - 1);
    return ends_here ? RUN_PASS_TO : RUN_PASS_TO_LAST;
}

/* A key on its way through run_get_likely. */
struct probe {
    struct segment *segment; /* null: no segment has the key */
    uint32_t stripe;
    struct stripe *cached; /* referenced; null: run_get has to do it */
};

static void probe_init(struct probe *probe, const struct run *run, struct slice key, uint64_t lsn_max) {
    uint32_t last;
    size_t index = find_segment(run, key);
    *probe = (struct probe){.segment = index < run->count ? run->segments[index] : NULL};
    if (!probe->segment || lsn_max < probe->segment->info.lsn_min || !segment_is_loaded(probe->segment)) return;
    if (!stripe_index_range(&probe->segment->stripes, key, &probe->stripe, &last) || probe->stripe != last) return;
    probe->cached = stripe_find_cached(probe->segment, probe->stripe, STRIPE_KEYS_ONLY);
}

/* The row in the cached stripe; when it is not there, it may be in another one. */
static bool probe_hits(struct probe *probe, struct slice key, uint64_t lsn_max, struct segment_hit *hit) {
    const struct stripe_rows *rows = &probe->cached->rows;
    uint32_t row = stripe_find(probe->cached, key, lsn_max);
    if (row == rows->count || !slice_equal(stripe_rows_key(rows, row), key)) return false;
    *hit = (struct segment_hit){
        .pinned = &probe->cached->entry, .segment = probe->segment, .stripe = probe->stripe, .stripe_row = row};
    stripe_rows_get(rows, row, &hit->row);
    hit->row.value = hit->row.indexes = slice_of(NULL, 0);
    return true;
}

enum plinth_status run_get_likely(struct run *run, const struct slice *keys, const uint64_t *hashes, uint32_t count,
                                  uint64_t lsn_max, unsigned flags, struct segment_hit *hits,
                                  struct plinth_error *error) {
    struct probe probes[RUN_GET_KEYS_MAX];
    enum plinth_status st = PLINTH_OK;
    assert(count <= RUN_GET_KEYS_MAX && flags & SEGMENT_LSN_ONLY);
    for (uint32_t i = 0; i < count; i++) {
        probe_init(&probes[i], run, keys[i], lsn_max);
        if (probes[i].cached) __builtin_prefetch(&probes[i].cached->common);
    }
    for (uint32_t i = 0; i < count; i++)
        if (probes[i].cached) stripe_prefetch_ends(probes[i].cached);
    for (uint32_t i = 0; i < count; i++)
        if (probes[i].cached) stripe_prefetch_guess(probes[i].cached, keys[i]);
    for (uint32_t i = 0; i < count; i++) {
        hits[i] = (struct segment_hit){0};
        if (!st && probes[i].cached && probe_hits(&probes[i], keys[i], lsn_max, &hits[i])) continue;
        stripe_unref(probes[i].cached);
        if (st || !probes[i].segment) continue;
        st = segment_get(probes[i].segment, keys[i], hashes[i], lsn_max, flags, &hits[i], error);
        if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
    }
    for (uint32_t i = 0; st && i < count; i++) segment_hit_release(&hits[i]);
    return st;
}

/* ---- iterator: one segment at a time ---- */

struct run_iterator {
    struct iterator base;
    struct run *run;
    bool lsn_only;
    bool in_memory;
    size_t index; /* the segment `at` reads */
    struct iterator *at;
};

static void show(struct run_iterator *it) {
    it->base.valid = it->at && it->at->valid;
    if (it->base.valid) it->base.row = it->at->row;
}

/* Has segment `index` open; no more than one is. */
static enum plinth_status enter(struct run_iterator *it, size_t index, struct plinth_error *error) {
    if (it->at && it->index == index) return PLINTH_OK;
    iterator_close(it->at);
    it->at = NULL;
    it->index = index;
    struct segment *segment = it->run->segments[index];
    return it->in_memory ? segment_iterator_open_in_memory(segment, &it->at, error)
                         : segment_iterator_open(segment, it->lsn_only, &it->at, error);
}

static enum plinth_status enter_at_first(struct run_iterator *it, size_t index, struct plinth_error *error) {
    enum plinth_status st = enter(it, index, error);
    return st ? st : iterator_seek_first(it->at, error);
}

static enum plinth_status enter_at_last(struct run_iterator *it, size_t index, struct plinth_error *error) {
    enum plinth_status st = enter(it, index, error);
    return st ? st : iterator_seek_last(it->at, error);
}

static enum plinth_status run_iterator_seek_first(struct iterator *base, struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    if (!it->run->count) return PLINTH_OK;
    enum plinth_status st = enter_at_first(it, 0, error);
    if (!st) show(it);
    return st;
}

static enum plinth_status run_iterator_seek_last(struct iterator *base, struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    if (!it->run->count) return PLINTH_OK;
    enum plinth_status st = enter_at_last(it, it->run->count - 1, error);
    if (!st) show(it);
    return st;
}

static enum plinth_status run_iterator_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                            struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    size_t index = find_segment(it->run, key);
    if (index == it->run->count) return PLINTH_OK;
    enum plinth_status st = enter(it, index, error);
    if (!st) st = iterator_seek(it->at, key, lsn, error);
    /* All versions of the segment's greatest key may stand before (key, lsn). */
    if (!st && !it->at->valid && index + 1 < it->run->count) st = enter_at_first(it, index + 1, error);
    if (!st) show(it);
    return st;
}

static enum plinth_status run_iterator_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                                   struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    size_t index = find_segment(it->run, key);
    if (index == it->run->count) return run_iterator_seek_last(base, error);
    enum plinth_status st = PLINTH_OK;
    if (slice_compare(key, key_min(it->run, index)) >= 0) {
        st = enter(it, index, error);
        if (!st) st = iterator_seek_before(it->at, key, lsn, error);
        if (!st) show(it);
    }
    if (st || base->valid || index == 0) return st;
    st = enter_at_last(it, index - 1, error);
    if (!st) show(it);
    return st;
}

static enum plinth_status run_iterator_next(struct iterator *base, struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    enum plinth_status st = iterator_next(it->at, error);
    if (!st && !it->at->valid && it->index + 1 < it->run->count) st = enter_at_first(it, it->index + 1, error);
    if (!st) show(it);
    return st;
}

static enum plinth_status run_iterator_previous(struct iterator *base, struct plinth_error *error) {
    struct run_iterator *it = (struct run_iterator *)base;
    base->valid = false;
    enum plinth_status st = iterator_previous(it->at, error);
    if (!st && !it->at->valid && it->index > 0) st = enter_at_last(it, it->index - 1, error);
    if (!st) show(it);
    return st;
}

static void run_iterator_close(struct iterator *base) {
    struct run_iterator *it = (struct run_iterator *)base;
    iterator_close(it->at);
    run_unref(it->run);
    free(it);
}

static const struct iterator_ops run_iterator_ops = {
    .seek = run_iterator_seek,
    .seek_before = run_iterator_seek_before,
    .seek_first = run_iterator_seek_first,
    .seek_last = run_iterator_seek_last,
    .next = run_iterator_next,
    .previous = run_iterator_previous,
    .close = run_iterator_close,
};

enum plinth_status run_iterator_open(struct run *run, bool lsn_only, struct iterator **it, struct plinth_error *error) {
    *it = NULL;
    struct run_iterator *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "run iterator");
    opened->base.ops = &run_iterator_ops;
    opened->run = run_ref(run);
    opened->lsn_only = lsn_only;
    *it = &opened->base;
    return PLINTH_OK;
}

enum plinth_status run_iterator_open_in_memory(struct run *run, struct iterator **it, struct plinth_error *error) {
    enum plinth_status st = run_iterator_open(run, true, it, error);
    if (!st) ((struct run_iterator *)*it)->in_memory = true;
    return st;
}

/* ---- blocks: one segment at a time, too ---- */

struct run_stream {
    struct block_stream base;
    struct run *run;
    const struct block_read *read;
    size_t index; /* the next segment to open */
    struct block_stream *at;
};

static bool starts_behind(const struct run_stream *stream, size_t index) {
    struct slice upper = stream->read->upper;
    return upper.size && slice_compare(key_min(stream->run, index), upper) >= 0;
}

static enum plinth_status run_stream_next(struct block_stream *base, struct row_block **block,
                                          struct plinth_error *error) {
    struct run_stream *stream = (struct run_stream *)base;
    enum plinth_status st = PLINTH_OK;
    *block = NULL;
    for (;;) {
        if (stream->at) st = block_stream_next(stream->at, block, error);
        if (st || *block) return st;
        block_stream_close(stream->at);
        stream->at = NULL;
        if (stream->index == stream->run->count || starts_behind(stream, stream->index)) return PLINTH_OK;
        st = segment_block_stream_open(stream->run->segments[stream->index++], stream->read, &stream->at, error);
        if (st) return st;
    }
}

static void run_stream_close(struct block_stream *base) {
    struct run_stream *stream = (struct run_stream *)base;
    block_stream_close(stream->at);
    run_unref(stream->run);
    free(stream);
}

static const struct block_stream_ops run_stream_ops = {.next = run_stream_next, .close = run_stream_close};

enum plinth_status run_block_stream_open(struct run *run, const struct block_read *read, struct block_stream **stream,
                                         struct plinth_error *error) {
    *stream = NULL;
    struct run_stream *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "stream of a run");
    opened->base.ops = &run_stream_ops;
    opened->run = run_ref(run);
    opened->read = read;
    opened->index = read->lower.size ? find_segment(run, read->lower) : 0;
    *stream = &opened->base;
    return PLINTH_OK;
}
