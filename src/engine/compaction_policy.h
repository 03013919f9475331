/* Which runs of a group (a table, or one partition of it) to merge next: pure functions of their sizes.
 *
 * Tiered, with a levelled bottom ("lazy levelling": Dayan and Idreos, Dostoevsky, SIGMOD 2018; the tiers are those of
 * RocksDB's universal compaction). In order of age:
 *
 *     newest                                          oldest
 *     [1][1][1]  [4][4]  [16][16][16]  [          64          ]
 *      similar neighbours: merged        bottom: one run, into which the others go
 *      when there are width_min           when together they weigh garbage_percent of it
 *
 * - A row is written once by its flush, once a tier (log4(data / memtable) of them), and at the bottom about
 *   1 + 100 / garbage_percent times more. Levels of one run each would rewrite it about 5 times a level (at a ratio of
 *   10): too dear for a store that takes a million rows a second, and Bloom filters make further runs cheap to pass.
 * - A look-up meets at most runs_max runs when merges keep up.
 * - Overwritten and deleted rows take at most garbage_percent of the space of live ones; deletes weigh by what they
 *   hide, so that deleting everything gives the space back.
 * - A merge is a plan: it is made in steps of bounded size (compaction_step.h), so nothing is ever rewritten as a whole
 *   at once, and rows that come in the order of their keys are not rewritten at all but moved.
 * - A partition of time that has ended and takes no more rows ends as one run. */
#ifndef PLINTH_ENGINE_COMPACTION_POLICY_H
#define PLINTH_ENGINE_COMPACTION_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compaction_policy {
    size_t width_min;         /* merge at least this many at a time; default 4 */
    size_t width_max;         /* and at most this many: each input takes memory; default 24 */
    size_t runs_max;          /* above this many runs, merge the cheapest neighbours whatever their sizes; default 12 */
    unsigned ratio_percent;   /* a run joins when it is at most this much of those before it; default 150 */
    unsigned garbage_percent; /* merge all when the newer runs are this much of the oldest; default 100 */
    unsigned deletes_percent; /* merge all when the newer runs delete this much of the oldest's rows; default 50 */
    unsigned small_percent;   /* a run smaller than this of the oldest stays out of a large merge; default 2 */
    uint64_t small_bytes;     /* a merge of less than this takes them all; default 256 MiB */
    uint64_t quiet_us;        /* a partition that has ended is closed after this long without new rows; default 60 s */
};

extern const struct compaction_policy compaction_policy_default;

struct compaction_run {
    uint64_t bytes, rows;
    uint64_t deletes;   /* rows that are deletes */
    uint64_t purgeable; /* rows that a rewrite of this run alone would leave out */
    bool is_fresh;      /* as a flush wrote it */
    bool is_busy;       /* in a plan already */
};

struct compaction_group {
    const struct compaction_run *runs; /* newest first */
    size_t count;
    bool has_ended;    /* its partition's time is over */
    uint64_t quiet_us; /* since the newest run came */
};

enum compaction_reason {
    COMPACTION_NONE,
    COMPACTION_SIMILAR,  /* enough neighbours of a size */
    COMPACTION_GARBAGE,  /* the newer runs outweigh the bottom */
    COMPACTION_DELETES,  /* or delete much of it */
    COMPACTION_TOO_MANY, /* reads would look through too many */
    COMPACTION_CLOSED,   /* the partition takes no more rows */
};
/* For people: "similar runs" ... */
const char *compaction_reason_text(enum compaction_reason reason);

struct compaction_choice {
    size_t first; /* index of the newest run to merge */
    size_t count; /* 0: nothing to do; 1: rewrite it */
    enum compaction_reason reason;
};

/* The most urgent merge among runs that are not busy. */
struct compaction_choice compaction_choose(const struct compaction_policy *policy,
                                           const struct compaction_group *group);

/* What merges would have to read until nothing is to be done, were no more rows to come; busy runs count as well. */
uint64_t compaction_debt(const struct compaction_policy *policy, const struct compaction_group *group);

#endif
