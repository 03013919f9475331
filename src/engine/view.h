/* A view: what a read looks at. The memtables and the open runs of every table, newest first; immutable and
 * reference-counted. Every cut, flush and compaction makes a new one; readers keep the one they took.
 *
 * Rows of a key are found by looking through memtables, then runs, in order: each source holds only older versions than
 * the ones before it, or (in partitioned tables) none of the key. A view has a horizon: of versions at or below it only
 * the newest of each key is still there, so it answers for LSNs at or above the horizon only. */
#ifndef PLINTH_ENGINE_VIEW_H
#define PLINTH_ENGINE_VIEW_H

#include <pthread.h>
#include <stdatomic.h>

#include "table/memtable.h"
#include "table/partition.h"
#include "table/run.h"

struct view_memtable {
    struct memtable *memtable;
    uint64_t cut_lsn; /* 0: the active one */
};

struct view_run {
    uint64_t id;        /* shard_run.id */
    uint64_t level;     /* shard_run.level: how often its rows have been merged */
    bool has_partition; /* the run is of one partition of its table, and this one */
    int64_t partition;
    struct run *run;
};

/* Runs of different partitions hold different keys, so only the order within a partition matters; runs of a partition
 * stand together. */
struct view_table {
    struct table_id id;
    struct view_run *runs; /* by partition, newest first */
    size_t run_count;
    struct range_set *ranges; /* range deletes that are in no memtable any more; null for none */
};

struct view {
    struct view_list *list;
    struct view *newer, *older; /* live views */
    atomic_uint references;
    uint64_t sequence;
    uint64_t horizon_lsn;
    bool has_ranges;                 /* some table may have range deletes */
    struct view_memtable *memtables; /* newest first; the first is active */
    size_t memtable_count;
    struct view_table *tables; /* ordered by id */
    size_t table_count;
};

/* The live views of an engine and which is current. `mutex` guards the list and `current`. */
struct view_list {
    pthread_mutex_t mutex;
    struct view *current;
    struct view *oldest;
    uint64_t next_sequence;
};

void view_list_init(struct view_list *list);
/* Drops the current view; all others must be gone. */
void view_list_deinit(struct view_list *list);

/* The current view, referenced. */
struct view *view_current(struct view_list *list);
struct view *view_ref(struct view *view);
void view_unref(struct view *view);
/* The sequence of the oldest view that somebody holds. */
uint64_t view_list_oldest(struct view_list *list);

/* A copy of the current view (an empty one when there is none) to be changed by the functions below and then
 * published. One editor at a time (the engine's sequencing lock). Null when memory is out. */
struct view *view_edit(struct view_list *list);
/* Makes `edited` current and returns its sequence; drops the list's reference to the former one. */
uint64_t view_publish(struct view_list *list, struct view *edited);
/* Frees a copy that is not published. */
void view_discard(struct view *edited);

/* Puts a new active memtable in front (taking its reference); the former one gets `cut_lsn`. */
PLINTH_MUST_CHECK bool view_push_memtable(struct view *edited, struct memtable *memtable, uint64_t cut_lsn);
/* Drops the memtable that was cut at `cut_lsn`. */
void view_drop_memtable(struct view *edited, uint64_t cut_lsn);
/* Inserts a run (taking its reference) at `position` of its table. */
PLINTH_MUST_CHECK bool view_insert_run(struct view *edited, struct table_id table, size_t position,
                                       struct view_run run);
/* Where the newest run of a partition is or belongs. `table` may be null. */
size_t view_partition_begin(const struct view_table *table, bool has_partition, int64_t partition);
/* The end of the runs that have the partition of the run at `begin`. */
size_t view_partition_end(const struct view_table *table, size_t begin);
/* Drops `count` runs of a table from `position` on. */
void view_drop_runs(struct view *edited, struct table_id table, size_t position, size_t count);
/* Sets what range deletes a table has (taking the reference; null: none). False when memory is out: it is not taken. */
PLINTH_MUST_CHECK bool view_set_ranges(struct view *edited, struct table_id table, struct range_set *ranges);
/* Drops a table with all its runs. */
void view_drop_table(struct view *edited, struct table_id table);

const struct view_table *view_find_table(const struct view *view, struct table_id table);

#endif
