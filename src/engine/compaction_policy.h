/* Which runs of a table to merge next: a pure function of their sizes.
 *
 * Size-tiered over runs in order of age, as RocksDB's universal compaction: runs of similar size that lie next to each
 * other are merged into one; when the newer ones together are as large as the oldest, everything is. So a row is
 * rewritten about log4(data / memtable) times, a read looks through at most runs_max runs, and overwritten rows take at
 * most as much space again as live ones. */
#ifndef PLINTH_ENGINE_COMPACTION_POLICY_H
#define PLINTH_ENGINE_COMPACTION_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compaction_policy {
    size_t width_min;         /* merge at least this many at a time; default 4 */
    size_t runs_max;          /* above this many runs, merge the cheapest neighbours whatever their sizes; default 12 */
    unsigned ratio_percent;   /* a run joins when it is at most this much of those before it; default 150 */
    unsigned garbage_percent; /* merge all when the newer runs are this much of the oldest; default 100 */
};

extern const struct compaction_policy compaction_policy_default;

struct compaction_choice {
    size_t first; /* index of the newest run to merge */
    size_t count; /* 0: nothing to do */
};

/* `bytes` are the sizes of the runs, newest first. */
struct compaction_choice compaction_choose(const struct compaction_policy *policy, const uint64_t *bytes, size_t count);

#endif
