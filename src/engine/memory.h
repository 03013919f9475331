/* One limit over all memory of an engine.
 *
 * The limit is divided into shares when the engine opens (memory_plan_make, a pure function):
 *
 *   reserve    what nobody counts: the program, stacks, log buffers, the shard's state, what the allocator wastes
 *   written    rows that are not in segments yet: the active memtable, those that are cut, and what their flush makes
 *   merges     each merge or step of an index build takes `merge_bytes` while it runs, or waits for it
 *   queries    groups and sorted keys, and a flat sum for each thread that scans
 *   cache      decoded pages: its own share, and whatever the others leave; footers of segments count against it
 *
 * What is in use is counted while the engine runs. The cache gives way first: engine_balance_memory sets its bound to
 * what the others leave, and looks at the process's resident memory, so that it also makes room for what nobody counts.
 * Then writers wait for flushes, merges for each other, and queries are refused with PLINTH_RESOURCE_EXHAUSTED. */
#ifndef PLINTH_ENGINE_MEMORY_H
#define PLINTH_ENGINE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plinth.h"

#define MEMORY_LIMIT_MIN (192ull << 20)

struct memory_plan {
    uint64_t limit;
    uint64_t reserve_bytes;
    uint64_t memtable_bytes;  /* a memtable is cut at */
    uint64_t written_bytes;   /* memtables that are cut, also those that only a reader still holds, at most */
    uint64_t flush_bytes;     /* index entries that a flush collects at a time */
    uint64_t merges_bytes;    /* of all merges */
    uint64_t merge_bytes;     /* of one */
    unsigned merges_max;      /* threads that merge */
    uint64_t row_group_bytes; /* raw; what a writer of segments holds encoded */
    uint64_t step_bytes;      /* of segments, read by one step of a merge */
    uint64_t queries_bytes;   /* of all queries */
    uint64_t cache_bytes;     /* at most */
    uint64_t cache_least;     /* the cache does not give way below */
};

/* Divides the limit that `options` gives, or of a machine with `machine_bytes` of memory (0: unknown) and
 * so many processors. Parts that
 * options name have what they name. PLINTH_INVALID_ARGUMENT names the option that does not fit. */
PLINTH_MUST_CHECK enum plinth_status memory_plan_make(const struct plinth_options *options, uint64_t machine_bytes,
                                                      unsigned processors, struct memory_plan *plan,
                                                      struct plinth_error *error);

/* What is counted. */
struct memory_use {
    struct memory_plan plan;
    atomic_uint_fast64_t cut_bytes;   /* of memtables that were cut and are still there */
    atomic_uint_fast64_t flush_bytes; /* that flushes hold beside */
    atomic_uint_fast64_t query_bytes;
    atomic_uint_fast64_t entries_bytes; /* of index entries made for readers, when it was last looked */
    atomic_uint_fast64_t balanced_ns;   /* when that was */
    atomic_bool is_pressed;             /* too much is resident, whatever was counted: flushes first, then writes */
    uint64_t foreign_bytes;             /* resident when the engine was opened; 0: that cannot be read */
    pthread_mutex_t mutex;              /* a leaf */
    pthread_cond_t merge_ended;
    uint64_t merges_bytes; /* taken, guarded by the mutex */
};

void memory_use_init(struct memory_use *use);
void memory_use_deinit(struct memory_use *use);

struct plinth;

/* Waits until a merge may begin, and counts it. PLINTH_CANCELLED when the engine closes or `cancelled` (may be null) is
 * set meanwhile. */
PLINTH_MUST_CHECK enum plinth_status engine_take_merge_memory(struct plinth *db, const atomic_bool *cancelled,
                                                              struct plinth_error *error);
void engine_give_merge_memory(struct plinth *db);

/* Counts more (or, modulo 2^64, less) memory of queries. PLINTH_RESOURCE_EXHAUSTED, with nothing counted, when more is
 * asked for than is left. */
PLINTH_MUST_CHECK enum plinth_status engine_take_query_memory(struct plinth *db, uint64_t bytes,
                                                              struct plinth_error *error);
void engine_give_query_memory(struct plinth *db, uint64_t bytes);

/* Bounds the page cache by what the others leave, and has freed memory given back when much is resident. Before and
 * after a flush or a merge; takes the sequencing lock for a moment. */
void engine_balance_memory(struct plinth *db);
/* The same when the last time is a while ago: for what goes on for long, after every block. */
void engine_balance_memory_at_times(struct plinth *db);

/* Looks again how much index entries of memtables take. */
void engine_count_entries(struct plinth *db);

/* Fills in what plinth_stats has of memory. */
void engine_memory_stats(struct plinth *db, struct plinth_stats *stats);

#endif
