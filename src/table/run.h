/* A sorted run: segments of one table with disjoint key ranges, in key order (a key's versions never straddle two
 * segments). Immutable, reference-counted. The tables of a manifest are lists of runs, newest first. */
#ifndef PLINTH_TABLE_RUN_H
#define PLINTH_TABLE_RUN_H

#include "table/block_stream.h"
#include "table/range_set.h"
#include "table/segment.h"

struct run;

/* Takes over one reference of each segment (also on failure). PLINTH_CORRUPT when ranges overlap, naming the two. */
PLINTH_MUST_CHECK enum plinth_status run_create(struct segment **segments, size_t count, struct run **run,
                                                struct plinth_error *error);
struct run *run_ref(struct run *run);
void run_unref(struct run *run);
size_t run_segment_count(const struct run *run);
struct segment *run_segment(const struct run *run, size_t index);
uint64_t run_bytes(const struct run *run);
/* Memory of its segments (segment_memory_bytes). */
uint64_t run_memory_bytes(const struct run *run);
uint64_t run_rows(const struct run *run);
uint64_t run_lsn_max(const struct run *run);
/* Whether it has rows that have expired at `time_us`. */
bool run_may_expire(const struct run *run, uint64_t time_us);
/* How many rows refer to values in the store. */
uint64_t run_references(const struct run *run);

/* As segment_get / segment_iterator_open over the whole run. */
PLINTH_MUST_CHECK enum plinth_status run_get(struct run *run, struct slice key, uint64_t key_hash, uint64_t lsn_max,
                                             unsigned flags, struct segment_hit *hit, struct plinth_error *error);
/* run_get for keys that are most likely there, some at a time: hits[i].segment is null where there is no such row.
 * Bloom filters are not asked, and the memory of several keys is fetched at once. On failure no hit is left. */
enum { RUN_GET_KEYS_MAX = 32 };
PLINTH_MUST_CHECK enum plinth_status run_get_likely(struct run *run, const struct slice *keys, const uint64_t *hashes,
                                                    uint32_t count, uint64_t lsn_max, unsigned flags,
                                                    struct segment_hit *hits, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status run_iterator_open(struct run *run, bool lsn_only, struct iterator **it,
                                                       struct plinth_error *error);
/* As segment_iterator_open_in_memory. */
PLINTH_MUST_CHECK enum plinth_status run_iterator_open_in_memory(struct run *run, struct iterator **it,
                                                                 struct plinth_error *error);
/* From a key that `range` covers in the order of keys (or against it), by the bounds and LSNs of segments alone: how to
 * pass what the range hides. */
enum run_pass {
    RUN_PASS_STEP,    /* the key's segment has newer versions, too: row by row */
    RUN_PASS_END,     /* nothing is left */
    RUN_PASS_TO,      /* seek `next`; backwards what lies before it */
    RUN_PASS_TO_LAST, /* backwards: the last version of key `next` */
};
enum run_pass run_pass(const struct run *run, struct slice key, const struct deleted_range *range, struct slice *next);
enum run_pass run_pass_back(const struct run *run, struct slice key, const struct deleted_range *range,
                            struct slice *next);
/* The segments [*first, *end) whose bounds meet [lower, upper); an empty upper is no bound. */
void run_segments_meeting(const struct run *run, struct slice lower, struct slice upper, size_t *first, size_t *end);
/* The run of a typed table as blocks (row_segment.h), segment after segment. */
PLINTH_MUST_CHECK enum plinth_status run_block_stream_open(struct run *run, const struct block_read *read,
                                                           struct block_stream **stream, struct plinth_error *error);

#endif
