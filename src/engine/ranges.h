/* Range deletes of key spaces: where they are kept, and for how long.
 *
 * A range delete is one operation of a WRITE or CONDITIONAL record. Deciding the record notes it in the shard's state
 * (struct ranges, part of checkpoints); inserting the record's rows puts it into the memtable, where readers find it.
 * When the memtable is flushed the view's table takes it over. Nothing that lies below is touched: readers leave out
 * what a range delete hides (table/covered.h), merges do not write it again, and segments that a range delete hides
 * wholly are dropped unread.
 *
 * It goes when no segment has anything left for it to hide, which is told by the segments' bounds, least LSNs and the
 * range deletes that were applied when they were written (segment_info.purged_lsn): then a RANGES_GONE record takes it
 * out of the state, and a new view is without it. That needs no horizon, for nobody can see a difference. */
#ifndef PLINTH_ENGINE_RANGES_H
#define PLINTH_ENGINE_RANGES_H

#include "engine/view.h"

struct plinth;

/* One in the shard's state. */
struct noted_range {
    struct table_id table;
    struct deleted_range range; /* its bounds are one allocation, at lower.data */
};

struct ranges {
    struct noted_range *all; /* by LSN */
    uint64_t count;
};

void ranges_deinit(struct ranges *ranges);
/* Copies the bounds. False when memory is out. */
PLINTH_MUST_CHECK bool ranges_add(struct ranges *ranges, struct table_id table, const struct deleted_range *range);
/* Forgets those of a table that have one of these LSNs (ascending), or all of a table for null. */
void ranges_remove(struct ranges *ranges, struct table_id table, const uint64_t *lsns, size_t count);
/* The set of a table's range deletes with LSNs in (after, until]; null for none. False when memory is out. */
PLINTH_MUST_CHECK bool ranges_select(const struct ranges *ranges, struct table_id table, uint64_t after, uint64_t until,
                                     struct range_set **set);
PLINTH_MUST_CHECK bool ranges_encode(struct buffer *into, const struct ranges *ranges);
/* False on malformed bytes or when memory is out. */
bool ranges_decode(struct reader *from, struct ranges *ranges);

/* ---- views ---- */

/* The newest range delete that covers a key for readers at `lsn`: its LSN; 0 for none. */
uint64_t view_covered_lsn(const struct view *view, struct table_id table, struct slice key, uint64_t lsn);
/* Everything that hides keys of a table from readers at `lsn`; borrowed from the view. `into` is {0} first. */
PLINTH_MUST_CHECK enum plinth_status view_ranges(const struct view *view, struct table_id table, uint64_t lsn,
                                                 struct range_view *into, struct plinth_error *error);
/* Whether a range delete may hide something in the segment. */
bool range_is_needed(const struct deleted_range *range, const struct segment_info *segment);
/* Whether any of a table's range deletes may hide something. */
bool ranges_are_needed(const struct view_table *table);
/* The segments of a run, from `*first` on, that a range delete at or below the horizon hides wholly; 0 when there are
 * none. */
size_t ranges_find_covered(const struct range_set *set, const struct run *run, uint64_t horizon_lsn, size_t *first);

/* ---- jobs ---- */

/* After a flush was decided: gives the tables of an edited view, which the sequencing lock guards, what is no longer in
 * memtables: range deletes in (after, until]. */
PLINTH_MUST_CHECK enum plinth_status ranges_take_over(struct plinth *db, struct view *edited, uint64_t after,
                                                      uint64_t until, struct plinth_error *error);
/* Takes range deletes that hide nothing any more out of state and view. */
PLINTH_MUST_CHECK enum plinth_status engine_drop_ranges(struct plinth *db, struct plinth_error *error);

#endif
