/* Which keys of a table were deleted by ranges, and when.
 *
 * A range delete at LSN t hides every version of a key in [lower, upper) that is older than t, from readers at t or
 * above. Versions of the same LSN stay: within a record, what a range delete removes is left out when the record is
 * made.
 *
 * A set is immutable and reference-counted: the ranges ordered by their lower bounds, in one array that is searched as
 * a balanced tree. Each node knows the greatest upper bound and the greatest LSN of its subtree (an augmented interval
 * tree, Cormen et al., "Introduction to Algorithms"), so that memory is linear however the ranges overlap, and asking
 * for the newest one over a key goes down a path or two. */
#ifndef PLINTH_TABLE_RANGE_SET_H
#define PLINTH_TABLE_RANGE_SET_H

#include "base/bytes.h"

struct deleted_range {
    struct slice lower; /* inclusive */
    struct slice upper; /* exclusive; empty: to the end of the table */
    uint64_t lsn;
};

static inline bool deleted_range_covers(const struct deleted_range *range, struct slice key) {
    return slice_compare(range->lower, key) <= 0 && (!range->upper.size || slice_compare(key, range->upper) < 0);
}
/* Whether the range and [key_min, key_max] have a place in common. */
static inline bool deleted_range_meets(const struct deleted_range *range, struct slice key_min, struct slice key_max) {
    return slice_compare(range->lower, key_max) <= 0 &&
           (!range->upper.size || slice_compare(key_min, range->upper) < 0);
}
/* Whether every key of [key_min, key_max] is in the range. */
static inline bool deleted_range_contains(const struct deleted_range *range, struct slice key_min,
                                          struct slice key_max) {
    return slice_compare(range->lower, key_min) <= 0 &&
           (!range->upper.size || slice_compare(key_max, range->upper) < 0);
}

struct range_set;

/* Copies the ranges, in any order. Null when memory is out. */
struct range_set *range_set_create(const struct deleted_range *ranges, size_t count);
/* All ranges of the sets. Null when memory is out. */
struct range_set *range_set_merge(struct range_set *const *sets, size_t count);
struct range_set *range_set_ref(struct range_set *set);
void range_set_unref(struct range_set *set); /* null is allowed */
size_t range_set_count(const struct range_set *set);
/* Ordered by lower bound. */
const struct deleted_range *range_set_at(const struct range_set *set, size_t index);
size_t range_set_bytes(const struct range_set *set);

/* The newest range not above `lsn_max` that covers the key, if it is newer than `*best` (may be null); else `*best`
 * stays. */
void range_set_find(const struct range_set *set, struct slice key, uint64_t lsn_max, const struct deleted_range **best);
/* The first lower bound above `key`; false when there is none. */
bool range_set_next(const struct range_set *set, struct slice key, struct slice *lower);

/* Sets that together are a table's range deletes; borrowed, but for the array. */
struct range_view {
    const struct range_set **sets;
    size_t count;
    uint64_t lsn_max; /* nothing newer counts */
};

PLINTH_MUST_CHECK bool range_view_add(struct range_view *view, const struct range_set *set);
void range_view_deinit(struct range_view *view);
/* The newest range that covers the key; null when none does. */
const struct deleted_range *range_view_find(const struct range_view *view, struct slice key);

#endif
