/* Change feeds: the log read again, as what was written. The public calls (plinth_feed_*) and the service stand on
 * this.
 *
 * A feed gives items: a stretch of one record's operations, or of its rows. The items of a write follow each other and
 * have its position; the last one says so, and with it the feed's own position moves behind the write. So what a feed
 * holds in memory is one record, however large the write. Nothing here waits for writes or keeps a thread.
 *
 * What of the log is shown:
 *   WRITE, CONDITIONAL   keys: sets with their index values, deletes
 *   ROWS                 rows as they were written, by the present names and types of their columns
 * Void records are not, nor is anything that changes no row by somebody's will: the catalog, cuts, jobs and their
 * commits, files, hosts, ticks, levels, windows, named snapshots, history, pauses of jobs. feed_shows says it of each
 * kind.
 *
 * A feed holds the log from its place on (from the first part of a write that it stands inside of), and with_previous
 * the state at its place, too. */
#ifndef PLINTH_ENGINE_FEED_H
#define PLINTH_ENGINE_FEED_H

#include "column/arrow_ipc.h"
#include "engine/change.h"
#include "expr/predicate.h"
#include "plinth.h"

struct feed;

/* Empty names mean "default". */
struct feed_table {
    struct slice database, name;
};

/* {0}: everything from now on. */
struct feed_options {
    struct plinth_position after; /* where to begin; or */
    const char *snapshot_name;    /* behind this named snapshot; or */
    uint64_t as_of_time_us;       /* behind the state of this time */
    struct plinth_position until; /* where to end; {0, 0}: never */
    bool until_now;               /* end at what is visible when it opens */
    const struct feed_table *tables;
    uint32_t table_count; /* 0: all tables and key spaces */
    struct slice prefix;  /* of keys in key spaces */
    /* Unbound, borrowed as long as the feed; null: all rows. Needs tables, and is of the columns of each of them. */
    const struct predicate *predicate;
    bool with_previous;
};

/* Rows of one table. */
struct feed_rows {
    const char *database, *table;
    bool deleted; /* the batch has the key's columns only */
    struct arrow_schema schema;
    struct batch *batch; /* borrowed */
    /* with_previous, of a table with a key, else null: row by row what was there before, all columns, all nullable; a
     * row whose key is null was not there. */
    struct arrow_schema previous_schema;
    struct batch *previous;
};

/* Valid until the next call on the feed. */
struct feed_item {
    struct plinth_position position; /* of the write that it is of */
    uint64_t time_us;
    bool last; /* of that write; may then have nothing in it */
    const struct plinth_feed_operation *operations;
    uint64_t operation_count;
    const struct feed_rows *rows; /* null: none */
};

enum feed_found {
    FEED_ITEM,
    FEED_MORE,    /* has read a while and found nothing that is wanted: call again */
    FEED_NOTHING, /* everything that is visible is given */
    FEED_END,     /* everything up to `until` is */
};

/* Whether records of this kind are shown. */
bool feed_shows(enum change_kind kind);

/* PLINTH_TOO_OLD: the log (or with_previous, the state) does not reach back; PLINTH_NOT_FOUND names what is missing;
 * PLINTH_INVALID_ARGUMENT. May read the disk. */
PLINTH_MUST_CHECK enum plinth_status feed_open(struct plinth *db, const struct feed_options *options,
                                               struct feed **feed, struct plinth_error *error);
/* Null is allowed. */
void feed_close(struct feed *feed);
/* The next item, if there is one. Reads the disk; never waits for a write. After a failure the write whose items were
 * being given begins again with its first. One thread at a time. */
PLINTH_MUST_CHECK enum plinth_status feed_next(struct feed *feed, struct feed_item *item, enum feed_found *found,
                                               struct plinth_error *error);
/* How far it has come: everything up to here has been given. Begin a feed behind it to go on. Unless it is the last
 * write's own position, no write that it knows to be under way has a part before it. Any thread. */
struct plinth_position feed_position(const struct feed *feed);
/* The newest record that is visible: never an LSN between two log epochs. Any thread. */
uint64_t feed_visible_lsn(struct plinth *db);
/* The newest record that it knows to be visible: with a newer one there may be more. By the thread that uses the feed.
 */
uint64_t feed_limit(const struct feed *feed);

#endif
