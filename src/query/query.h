/* Queries over one table in one state: look-ups, scans and aggregates, with a plan that says what was read.
 *
 * Access paths, chosen by estimated cost (rows that have to be looked at):
 *   key        the predicate fixes the key or a range of its leading columns: the stripes of that range only
 *   index      a sorted index whose leading columns the predicate fixes: its entries, each validated, then the rows; or
 *              "index only": the entries have all columns that are needed
 *   postings   bitmap or token indexes: candidate rows of each segment, validated when newer versions may exist
 *   scan       everything, with segments, row groups and stripes pruned by bounds, page index and bloom filters
 * Pruning by columns that are not part of the key is done only where no other source of the range may hold a newer
 * version, or with the candidates validated against the newer sources; so all paths give the same answer.
 *
 * Scans run on `threads` threads over partitions of the key range; the result comes in key order when asked for.
 * A query is a cursor: one thread at a time calls next; memory is bounded (batches in flight). */
#ifndef PLINTH_QUERY_QUERY_H
#define PLINTH_QUERY_QUERY_H

#include "column/arrow_ipc.h"
#include "engine/rows.h"
#include "engine/transaction_change.h"
#include "expr/predicate.h"

enum query_aggregate_kind {
    AGGREGATE_COUNT = 1, /* rows, or values of a column that are not null */
    AGGREGATE_MIN = 2,
    AGGREGATE_MAX = 3,
    AGGREGATE_SUM = 4, /* integers: exact, int64/uint64 or an error when out of range; decimals exact; floats */
    AGGREGATE_AVG = 5, /* float64 */
};

struct query_aggregate {
    enum query_aggregate_kind kind;
    struct slice column; /* empty: COUNT of rows */
};

struct query_options {
    const struct slice *columns; /* names to give, in order; none: all */
    uint32_t column_count;
    const struct predicate *predicate;        /* unbound; null: all rows. Borrowed for the call of open */
    uint64_t limit;                           /* 0: none */
    bool ordered;                             /* by primary key (arrival order without one) */
    bool reverse;                             /* with ordered: descending */
    const struct query_aggregate *aggregates; /* then the result is one batch or more of groups */
    uint32_t aggregate_count;
    const struct slice *group_by; /* column names; output columns come first */
    uint32_t group_by_count;
    struct plinth_read_options read;
    unsigned threads;    /* 0: one per core */
    uint32_t batch_rows; /* 0: about 8,192 */
    /* 0: 256 MiB. Groups, and keys that have to be sorted, beyond it: PLINTH_RESOURCE_EXHAUSTED (all threads
     * together). Batches that wait for the reader: the scan waits, too. */
    uint64_t memory_bytes_max;
    /* Rows of the caller's own over those of the state, newest by LSN, which are above all others (a transaction's).
     * Referenced as long as the query is open. */
    struct row_block *const *own;
    uint64_t own_count;
    struct slice
        key_after; /* only rows with keys above this encoded one; empty: all. Borrowed until the query is closed */
    struct slice force_path; /* for tests: "scan", "key", or an index's name; PLINTH_INVALID_ARGUMENT if it cannot */
    bool explain_only;       /* plan, and read nothing: next gives the end at once */
};

/* What was planned and read. Strings live as long as the query. */
struct query_explain {
    const char *path;      /* "key", "index", "index only", "postings", "scan" */
    const char *index;     /* its name, or null */
    const char *predicate; /* as SQL, bound */
    uint64_t rows_estimated;
    uint64_t segments, segments_skipped;
    uint64_t stripes, stripes_skipped, stripes_skipped_by_bloom, stripes_skipped_by_postings;
    uint64_t rows_read, rows_matched, bytes_read;
    uint64_t memory_rows;                /* of those read, from memtables */
    uint64_t entries_read, entries_dead; /* of a sorted index */
    unsigned threads;
    uint64_t elapsed_us;
};

struct query;

/* Plans and starts. With options->read.memory_only it runs on the caller's thread, for look-ups by a sorted index
 * (force_path): query_open and query_next give PLINTH_WOULD_BLOCK (error not filled) where they would read the disk,
 * and for anything that takes long. PLINTH_NOT_FOUND (table), PLINTH_INVALID_ARGUMENT (names the column or literal). */
PLINTH_MUST_CHECK enum plinth_status query_open(struct plinth *db, const struct table_schema *schema,
                                                const struct query_options *options, struct query **query,
                                                struct plinth_error *error);
/* The columns of the batches; valid as long as the query. */
const struct arrow_schema *query_schema(const struct query *query);
/* The next batch (one reference), or null at the end. */
PLINTH_MUST_CHECK enum plinth_status query_next(struct query *query, struct batch **batch, struct plinth_error *error);
/* From any thread: makes query_next (running or the next one) give PLINTH_CANCELLED soon. */
void query_cancel(struct query *query);
/* The ranges of encoded keys that the predicate leaves open: what a reader has read, whatever the path. Valid as long
 * as the query. */
struct key_ranges;
const struct key_ranges *query_key_ranges(const struct query *query);
/* Notes what a query with this (unbound) predicate would read. */
PLINTH_MUST_CHECK enum plinth_status query_note_predicate(struct plinth *db, const struct table_schema *schema,
                                                          const struct predicate *predicate, struct row_reads *reads,
                                                          struct plinth_error *error);
/* Notes them as what a transaction has read. */
PLINTH_MUST_CHECK enum plinth_status query_note_ranges(const struct key_ranges *ranges, struct row_reads *reads,
                                                       struct plinth_error *error);
struct plinth_position query_position(const struct query *query);
void query_explain_read(const struct query *query, struct query_explain *explain);
void query_close(struct query *query);

/* One row by its primary key: `key` has one row and the key's columns in order (cast as literals are). *batch is null
 * when there is none. With read->memory_only PLINTH_WOULD_BLOCK (error not filled) where the disk would be read. */
PLINTH_MUST_CHECK enum plinth_status query_get_row(struct plinth *db, const struct table_schema *schema,
                                                   const struct literal *key, uint32_t key_count,
                                                   const struct slice *columns, uint32_t column_count,
                                                   const struct plinth_read_options *read, struct batch **batch,
                                                   struct plinth_position *version, struct plinth_error *error);

#endif
