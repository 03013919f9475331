/* What the files of this room share: the plan, the tasks it falls into, and the way of rows to the caller.
 *
 *   plan.c        binds, chooses columns, key ranges and the access path
 *   partition.c   cuts the key ranges into tasks of some tens of thousands of rows
 *   range_scan.c  one task: stripes of a plain segment read directly, or a merge of all sources
 *   candidates.c  keys found by an index, postings or key values: validated, fetched, checked
 *   emit.c        selected rows to output batches, or into an aggregator
 *   workers.c     tasks on threads, results in order
 *   aggregate.c   groups and their states; group_codes.c finds a row's group */
#ifndef PLINTH_QUERY_QUERY_PRIVATE_H
#define PLINTH_QUERY_QUERY_PRIVATE_H

#include "engine/cursor.h"
#include "query/aggregate.h"
#include "query/key_range.h"
#include "query/query.h"
#include "table/row_segment.h"

enum {
    QUERY_BATCH_ROWS = 8192,
    QUERY_TASK_STRIPES = 64,        /* a task ends with these, */
    QUERY_TASK_ROWS = 128 * 1024,   /* or these rows */
    QUERY_CANDIDATES = 4096,        /* validated and fetched at a time */
    QUERY_PEEK_ENTRIES = 512,       /* of an index, read to know how many there are: at least, */
    QUERY_PEEK_ENTRIES_MAX = 8192,  /* and at most */
    QUERY_AT_ONCE_CELLS_MAX = 2048, /* rows and columns of a query in memory */
    QUERY_LOOKUPS_MIN = 64,         /* looked up at a time, also for a smaller limit */
    QUERY_RANGES_MIN = 64,          /* key ranges that no one counts; beyond, a range is to have about */
    QUERY_RANGE_ROWS = 1024,        /* these rows in memory, or a stripe */
    QUERY_FUNCTIONS_MAX = 1000,
    QUERY_THREADS_MAX = 64,
    QUERY_THREAD_BYTES = 2 << 20,       /* blocks that a thread decodes and merges, about */
    QUERY_WAITING_BYTES_MAX = 16 << 20, /* of results that nobody has taken yet; beyond, no task is begun */
};

struct query;
/* The keys that the query sorts take so many bytes now; PLINTH_RESOURCE_EXHAUSTED as engine_take_query_memory. */
PLINTH_MUST_CHECK enum plinth_status query_take_memory(struct query *query, uint64_t bytes, struct plinth_error *error);

enum query_path { PATH_SCAN, PATH_KEY, PATH_INDEX, PATH_POSTINGS };

/* A stretch of the key range. Slices point into the view's segments and blocks, or the query's arena. */
struct scan_task {
    struct slice lower, upper;
    bool only_partition; /* runs of this partition only, and no memtables */
    bool has_partition;
    int64_t partition;
};

struct query_counters {
    atomic_ullong segments, segments_skipped, stripes, stripes_skipped, skipped_by_bloom, skipped_by_postings,
        rows_read, rows_matched, bytes_read, memory_rows, entries_read, entries_dead;
};

struct candidate {
    struct slice key;
    uint64_t lsn;        /* that the row must have; 0: any */
    uint32_t head_bytes; /* of its entry, in front of the key; 0: not kept */
};

struct candidates {
    struct arena arena; /* the keys */
    struct candidate *list;
    uint32_t count, capacity;
};

/* Entries of a sorted index in some ranges, in order. */
struct index_scan {
    const struct table_index *index;
    bool covers; /* it has all that is wanted */
    struct key_ranges ranges;
    struct iterator *entries; /* null at the end */
    uint32_t range;           /* that `entries` stands in */
    bool in_range;            /* it has been sought there */
    struct candidates found;  /* read, not yet looked at */
    uint64_t estimate;
};

struct task_result {
    struct batch **batches;
    uint32_t count;
    uint32_t given; /* to the caller */
    uint64_t bytes;
    bool done;
};

struct worker {
    struct query *query;
    pthread_t thread;
    bool started;
    struct aggregator *aggregator;
    struct arena scratch;
    /* Output of the running task. */
    struct batch **pending; /* projected, to be joined */
    uint32_t pending_count, pending_capacity;
    uint64_t pending_rows;
    struct batch **ready;
    uint32_t ready_count, ready_capacity;
};

struct query {
    struct plinth *db;
    const struct table_schema *schema;
    struct view *view;
    uint64_t lsn, time_us;
    struct arena arena; /* the plan */
    struct query_options options;
    const struct predicate *predicate; /* bound to schema->columns; null: all rows */
    bool *predicate_uses;              /* by schema column */

    /* Columns by id, ascending: what is read. */
    uint32_t *wanted_ids;
    uint32_t wanted_count;
    int32_t *wanted_at;      /* by schema column: index in wanted_ids, or -1 */
    uint32_t *predicate_ids; /* those of the predicate, ascending */
    uint32_t predicate_count;
    uint32_t *rest_ids; /* wanted, but not of the predicate */
    uint32_t rest_count;
    uint32_t *output; /* scans: by output column, index in wanted_ids */
    uint32_t output_count;
    struct arrow_schema out_schema;
    struct aggregate_spec *aggregates; /* null: a scan */
    uint32_t *group_columns;           /* indexes in wanted_ids */
    struct aggregate_budget budget;    /* of all workers' aggregators */
    uint64_t threads_memory;           /* what its threads were given of the engine's memory for queries, */
    uint64_t keys_memory;              /* and its sorted keys */

    enum query_path path;
    const struct table_index *index;
    struct key_ranges ranges; /* of the primary key */
    uint64_t rows_estimated;
    struct row_sources sources;
    struct row_block **own; /* options.own, referenced */

    struct scan_task *tasks;
    uint32_t task_count;
    atomic_uchar *visited; /* by segment, run after run: 1 once a task was there, so that each counts once */

    /* PATH_KEY with points, PATH_INDEX, PATH_POSTINGS: candidates, in turn. */
    bool by_candidates;
    struct index_scan entries; /* PATH_INDEX: where more come from; `found` serves all paths */
    uint32_t candidate_next;

    struct worker *workers;
    unsigned worker_count;
    bool threads_started;
    struct worker inline_worker; /* for the caller's own thread */

    /* Guarded by mutex: */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct task_result *results; /* by task */
    uint32_t next_task;          /* to be started */
    uint32_t next_result;        /* ordered: the task whose batches are given now */
    uint32_t tasks_done;
    unsigned running;
    uint64_t bytes_waiting;
    enum plinth_status status;
    struct plinth_error error;

    atomic_bool stop; /* cancelled, failed, closed, or the limit is reached */
    atomic_bool cancelled;
    uint64_t rows_given;
    bool ended;
    bool groups_given;
    struct query_counters counters;
    uint64_t began_ns, elapsed_us;
    struct buffer predicate_text;
};

static inline void query_count(atomic_ullong *counter, uint64_t by) {
    if (by) atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* plan.c */
PLINTH_MUST_CHECK enum plinth_status query_plan(struct query *query, struct plinth_error *error);
/* partition.c */
PLINTH_MUST_CHECK enum plinth_status query_make_tasks(struct query *query, struct plinth_error *error);
/* Rows in the key ranges, about. */
uint64_t query_estimate_rows(const struct query *query);
/* Overlap of a segment's keys with [lower, upper). */
bool query_segment_overlaps(const struct segment *segment, struct slice lower, struct slice upper);
bool query_block_overlaps(const struct row_block *block, struct slice lower, struct slice upper);
/* Rows [*first, *end) of a block lie in [lower, upper). */
void query_block_rows(const struct row_block *block, struct slice lower, struct slice upper, uint32_t *first,
                      uint32_t *end);
uint64_t query_run_rows(const struct run *run, struct slice lower, struct slice upper);
/* The segments of a run that overlap: [*first, *end). */
void query_run_segments(const struct run *run, struct slice lower, struct slice upper, size_t *first, size_t *end);

/* range_scan.c */
PLINTH_MUST_CHECK enum plinth_status query_run_task(struct worker *worker, const struct scan_task *task,
                                                    struct plinth_error *error);
/* The index whose postings answer this term; null when there is none. */
const struct table_index *query_postings_index(const struct query *query, const struct predicate *term);
/* The stripes' rows that postings leave over; *rows null: no postings say anything. */
PLINTH_MUST_CHECK enum plinth_status query_segment_postings(struct query *query, struct segment *segment,
                                                            struct roaring_bitmap_s **rows, struct plinth_error *error);

/* covering.c */
/* Whether the entries of an index, with the keys of their rows, have all columns that are wanted. */
bool query_index_covers(const struct query *query, const struct table_index *index);
/* The wanted columns from the candidates' entries, in their order. */
PLINTH_MUST_CHECK enum plinth_status query_read_entries(const struct query *query, const struct candidate *const *list,
                                                        uint32_t count, struct batch **batch,
                                                        struct plinth_error *error);

/* candidates.c */
/* Opens an index at its ranges and reads the first entries, to know how many there are; more than `entries_useful` are
 * too many for the index to pay. */
PLINTH_MUST_CHECK enum plinth_status index_scan_open(struct query *query, const struct table_index *index,
                                                     struct key_ranges ranges, uint64_t entries_useful,
                                                     struct index_scan *scan, struct plinth_error *error);
void index_scan_close(struct index_scan *scan);
/* Makes a PATH_INDEX query's candidates of it; takes it over. */
PLINTH_MUST_CHECK enum plinth_status query_candidates_from_index(struct query *query, struct index_scan *scan,
                                                                 struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status query_candidates_from_points(struct query *query, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status query_candidates_from_postings(struct query *query, struct plinth_error *error);
/* Fetches, checks and emits the next candidates; *end when there are none left. */
PLINTH_MUST_CHECK enum plinth_status query_next_candidates(struct query *query, struct worker *worker, bool *end,
                                                           struct plinth_error *error);
void candidates_clear(struct candidates *candidates);
void candidates_deinit(struct candidates *candidates);

/* emit.c */
/* Rows of a batch whose columns are wanted_ids; `selection` null: all. */
PLINTH_MUST_CHECK enum plinth_status query_emit(struct worker *worker, struct batch *wanted, const uint8_t *selection,
                                                uint32_t selected, struct plinth_error *error);
/* Ends the batch that is being joined. */
PLINTH_MUST_CHECK enum plinth_status query_emit_flush(struct worker *worker, struct plinth_error *error);
/* Sets columns[] by schema column (null where absent) for predicate_evaluate, from a batch with columns `ids`. */
void query_bind_columns(const struct query *query, const struct batch *batch, const uint32_t *ids, uint32_t count,
                        const struct column **columns);
void worker_init(struct worker *worker, struct query *query);
void worker_deinit(struct worker *worker);

/* workers.c */
PLINTH_MUST_CHECK enum plinth_status query_start_workers(struct query *query, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status query_next_result(struct query *query, struct batch **batch,
                                                       struct plinth_error *error);
void query_stop_workers(struct query *query);

#endif
