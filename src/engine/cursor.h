/* A cursor: the visible rows of one table in one view at one LSN, in key order, either way.
 *
 * Over the merge of the view's memtables and runs it picks the newest version of each key that is not above the LSN and
 * is not a delete, within [lower, upper). */
#ifndef PLINTH_ENGINE_CURSOR_H
#define PLINTH_ENGINE_CURSOR_H

#include "engine/ranges.h"
#include "engine/view.h"

struct cursor {
    struct view *view; /* referenced */
    struct range_view ranges;
    struct iterator *merged;
    uint64_t lsn;
    bool reverse;
    bool started;
    struct buffer lower, upper; /* bounds, inclusive and exclusive; an empty upper is none */
    struct buffer key;          /* the last key that was passed or, in reverse, the candidate's */
    struct buffer value, indexes;
    bool valid;
    struct row row; /* valid until the next call */
};

struct cursor_options {
    struct slice lower;
    struct slice upper; /* empty: no bound */
    bool reverse;
    uint64_t time_us; /* what has expired then is not there; 0: nothing has */
    bool lsn_only;    /* keys, versions and operations only: no values */
};

/* Takes the caller's reference of `view` (also on failure). */
PLINTH_MUST_CHECK enum plinth_status cursor_init(struct cursor *cursor, struct view *view, struct table_id table,
                                                 uint64_t lsn, const struct cursor_options *options,
                                                 struct plinth_error *error);
void cursor_deinit(struct cursor *cursor);
/* To the first, then to each next row; cursor->valid is false at the end. */
PLINTH_MUST_CHECK enum plinth_status cursor_next(struct cursor *cursor, struct plinth_error *error);

/* All versions of a table's rows in a view, from every memtable and run, merged, but for what `ranges` (view_ranges;
 * borrowed) hide, and with what has expired at `time_us` as deletes. For key spaces and index tables. */
PLINTH_MUST_CHECK enum plinth_status view_iterator_open(const struct view *view, struct table_id table,
                                                        const struct range_view *ranges, uint64_t time_us,
                                                        bool lsn_only, struct iterator **merged,
                                                        struct plinth_error *error);

#endif
