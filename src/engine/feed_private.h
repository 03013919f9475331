/* What the files of change feeds share: feed.c reads the log, feed_keys.c and feed_rows.c make items of records,
 * feed_filter.c says what is wanted. */
#ifndef PLINTH_ENGINE_FEED_PRIVATE_H
#define PLINTH_ENGINE_FEED_PRIVATE_H

#include "engine/engine.h"
#include "engine/feed.h"
#include "engine/rows.h"
#include "engine/rows_record.h"

/* ---- what is wanted (feed_filter.c) ---- */

/* The predicate, bound to one version of one table. */
struct feed_predicate {
    struct feed_predicate *next;
    const struct table_schema *schema; /* referenced */
    const struct predicate *whole;
    /* With every condition on other columns than the key's unknown: what it does not say FALSE of may be true. */
    const struct predicate *by_key;
    struct arena arena;
};

struct feed_filter {
    struct plinth *db;
    struct table_id *tables;
    uint64_t table_count;
    bool all;
    struct buffer prefix;
    const struct predicate *predicate;
    struct feed_predicate *bound; /* list; of each table the newest version */
};

PLINTH_MUST_CHECK enum plinth_status feed_filter_init(struct feed_filter *filter, struct plinth *db,
                                                      const struct feed_options *options, struct plinth_error *error);
void feed_filter_deinit(struct feed_filter *filter);
bool feed_filter_wants(const struct feed_filter *filter, struct table_id table);
/* Null without a predicate. PLINTH_INVALID_ARGUMENT: the table has no such column (any more). */
PLINTH_MUST_CHECK enum plinth_status feed_filter_bind(struct feed_filter *filter, const struct table_schema *schema,
                                                      const struct feed_predicate **bound, struct plinth_error *error);

/* ---- rows of a record on their way out (feed_rows.c) ---- */

struct feed_rows_reader {
    struct rows_record record; /* no batch: none is being read */
    const struct table_schema *schema;
    const struct feed_predicate *predicate;
    const struct column **columns; /* by column of the schema; null: not written */
    struct batch *shaped;          /* what is shown of the record, all its rows */
    struct arrow_schema shape;     /* of `shaped` */
    struct arrow_schema previous_shape;
    const uint32_t *ids; /* of the schema's columns */
    struct row_keys keys;
    const char *database, *table;
    uint32_t next; /* row */
    uint64_t lsn;  /* what was there before is read below it */
    bool with_previous;
    struct feed_rows given; /* owns its batches */
    struct arena arena;     /* of the record */
};

void feed_rows_init(struct feed_rows_reader *reader);
void feed_rows_deinit(struct feed_rows_reader *reader);
/* Whether a record is being read. */
bool feed_rows_are_left(const struct feed_rows_reader *reader);
/* Begins a ROWS payload, whose rows have `lsn`. Nothing is left when its table was dropped. */
PLINTH_MUST_CHECK enum plinth_status feed_rows_begin(struct feed_rows_reader *reader, struct feed_filter *filter,
                                                     struct slice payload, uint64_t lsn, bool with_previous,
                                                     struct plinth_error *error);
/* The next stretch of its rows; null when none of it is wanted. */
PLINTH_MUST_CHECK enum plinth_status feed_rows_next(struct feed_rows_reader *reader, struct plinth *db,
                                                    const struct feed_rows **rows, struct plinth_error *error);
/* Gives up what was begun. */
void feed_rows_reset(struct feed_rows_reader *reader);

/* ---- keys of a record (feed_keys.c) ---- */

/* A record's operations are given in stretches, for what they held before may be far larger than the record. */
struct feed_keys {
    struct plinth_feed_operation *operations; /* of the stretch */
    uint64_t count;
    struct arena arena;
    struct operation_reader left; /* what is not given yet; borrowed */
    uint64_t lsn;
    bool with_previous;
};

void feed_keys_deinit(struct feed_keys *keys);
/* Begins a WRITE or CONDITIONAL record, and gives the first stretch of its wanted operations. */
PLINTH_MUST_CHECK enum plinth_status feed_keys_read(struct feed_keys *keys, struct feed_filter *filter,
                                                    const struct record *record, bool with_previous,
                                                    struct plinth_error *error);
/* The same with operations of a record at `lsn`. */
PLINTH_MUST_CHECK enum plinth_status feed_keys_take(struct feed_keys *keys, struct feed_filter *filter,
                                                    struct slice operations, uint64_t lsn, bool with_previous,
                                                    struct plinth_error *error);
bool feed_keys_are_left(const struct feed_keys *keys);
/* The next stretch; may be of nothing. */
PLINTH_MUST_CHECK enum plinth_status feed_keys_next(struct feed_keys *keys, struct feed_filter *filter,
                                                    struct plinth_error *error);
/* Gives up what was begun. */
void feed_keys_reset(struct feed_keys *keys);

/* ---- the feed ---- */

/* A write of several records whose last one has not come yet. */
struct feed_unit {
    uint64_t id;
    uint64_t first_lsn;
    uint64_t time_us; /* of its first part */
    uint64_t parts;
};

struct feed {
    struct plinth *db;
    struct feed *next;                /* snapshot_mutex */
    atomic_ullong lsn;                /* everything up to here is done with */
    atomic_ullong given_lsn;          /* of the last write that was given */
    atomic_ullong log_lsn;            /* the log is needed from here on: `lsn` + 1, or the first part of a unit */
    uint64_t until_lsn;               /* UINT64_MAX: no end */
    struct plinth_snapshot *snapshot; /* with_previous: at `lsn` */
    struct log_reader *reader;
    uint64_t limit; /* records up to here may be given, and `voids` are the void ones among them */
    uint64_t *voids;
    size_t void_count, void_at;
    struct feed_filter filter;
    bool with_previous;

    struct feed_unit *units; /* begun and not ended */
    uint64_t unit_count;

    struct record record; /* the one whose items are being given; valid while `reader` stays where it is */
    bool has_record;
    bool begun;                     /* an item of this write was given */
    bool taken;                     /* the record's own rows or keys are begun */
    uint64_t parts_left;            /* parts of its unit still to be given, ahead of its own rows */
    struct log_reader *part_reader; /* stands ahead of them */
    struct feed_rows_reader rows;
    struct feed_keys keys;
    struct buffer body;      /* of a TRANSACTION of several records, put together */
    struct reader body_rows; /* rows of a TRANSACTION still to be given */
    uint64_t body_rows_left;
};

#endif
