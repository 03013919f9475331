/* The inside of `struct plinth`: what the files of this folder share. README.md has the locks and their order. */
#ifndef PLINTH_ENGINE_ENGINE_H
#define PLINTH_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/env.h"
#include "base/thread.h"
#include "engine/memory.h"
#include "engine/sequencer.h"
#include "engine/shard.h"
#include "engine/view.h"
#include "engine/write_delay.h"
#include "log/log.h"
#include "plinth_jobs.h"
#include "store/store.h"
#include "table/page_cache.h"

enum { ENGINE_MEMTABLES_MAX = 4, ENGINE_HOST_ID = 1, ENGINE_COMPACT_THREADS_MAX = 8 };

/* Counters behind plinth_stats_read. Relaxed: each is right, together they are a blur of one moment. */
struct engine_counters {
    atomic_ullong sets, deletes, gets, gets_found, scans, scan_rows, conflicts;
    atomic_ullong rows_upserted, rows_deleted, rows_rejected;
    atomic_ullong flushes, flush_rows, flush_bytes, flush_us;
    atomic_ullong compaction_moves, compaction_bytes_moved;
    atomic_ullong compactions, compaction_rows_in, compaction_rows_out, compaction_bytes_in, compaction_bytes_out,
        compaction_us;
    atomic_ullong checkpoints, checkpoint_lsn, write_stalls, write_stall_us, write_delays, write_delay_us;
};

static inline void counter_add(atomic_ullong *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* Files that no view needs once every view up to `view_sequence` is gone. */
struct engine_garbage {
    char name[sizeof(((struct segment_info *)0)->name)];
    uint64_t view_sequence;
};

/* Of compactions; 0: what compact.h and compaction.c have. Tests make many small segments and steps. */
struct engine_sizes {
    uint64_t segment_raw_bytes_max, step_bytes, move_bytes_min;
    uint64_t index_step_bytes; /* of an index build; 0: a memtable's */
    uint64_t value_bytes_min;  /* values of this size lie in the store; 0: what value_store.h has */
    uint64_t readers_wait_ns;  /* that writers wait for memtables which only readers hold; 0: a minute */
};

struct plinth {
    struct plinth_options options;  /* with defaults filled in */
    uint32_t rows_record_bytes_max; /* of a ROWS record's payload; 0: the log's limit. Tests make many small ones */
    struct engine_sizes sizes;
    char *path;
    struct env *env;
    struct env_file *lock;
    struct store *store;
    struct log *log;
    struct log_listener log_listener;
    struct page_cache *cache;
    struct memory_use memory; /* memory.h */

    /* Sequencing: the order of records, what they decide, and which memtable takes their rows. */
    pthread_mutex_t sequence_mutex;
    struct shard shard;
    struct memtable *active;
    uint64_t last_data_lsn;           /* of the newest record with rows */
    atomic_bool remembers_rows;       /* the feature level has the window of rows: writers make key runs for it */
    uint64_t memtables_cut;           /* immutable memtables not yet flushed */
    uint64_t bytes_cut;               /* of all memtables ever cut */
    atomic_ullong waiting_for_memory; /* writers */
    struct write_budget write_budget;
    struct write_rate write_rate; /* while writers are free */
    pthread_cond_t memtable_flushed;
    uint64_t time_base_us, time_base_ns; /* wall time at a monotonic time; record times are counted from there */
    pthread_rwlock_t catalog_lock;       /* written under sequence_mutex; read alone by look-ups */
    struct sequencer sequencer;
    atomic_ullong shard_time_us;     /* shard.time_us, for readers */
    atomic_bool may_expire;          /* some key has an expiry */
    struct table_gates *table_gates; /* table_gate.h */

    struct view_list views;

    /* Positions that somebody needs. */
    pthread_mutex_t names_mutex; /* what the log says of named snapshots is done in the list before the next is said */
    pthread_mutex_t snapshot_mutex;
    uint64_t expired_us;               /* the latest time that a merge has taken for the present (expiry.h) */
    struct plinth_snapshot *snapshots; /* list */
    uint64_t snapshot_count;
    uint64_t horizon_lsn; /* the highest horizon that a flush or compaction has been given */
    struct feed *feeds;   /* list */

    struct log_epoch *epochs;
    size_t epoch_count;

    /* Readers that wait for a position. */
    pthread_mutex_t advance_mutex;
    pthread_cond_t advanced;
    pthread_mutex_t listener_mutex;
    plinth_commit_listener *listener;
    void *listener_context;

    /* Why no write is accepted any more; status PLINTH_OK while all is well. */
    pthread_mutex_t failure_mutex;
    atomic_bool failed;
    struct plinth_error failure;

    /* Background work. */
    pthread_mutex_t job_mutex;
    pthread_cond_t job_wanted, job_ended;
    pthread_t flush_thread, compact_threads[ENGINE_COMPACT_THREADS_MAX];
    bool flush_thread_runs;
    unsigned compact_thread_count;
    bool closing;
    bool flush_wanted;
    uint64_t compaction_wanted;          /* goes up when there may be something to merge */
    uint64_t flush_failures;             /* flushes that failed */
    bool flush_failing;                  /* the last one did */
    struct plinth_error flush_error;     /* of the last one that did */
    bool tidying_owed;                   /* what follows a flush or a merge has failed: the flush thread tries again */
    atomic_ullong flushed_lsn;           /* the newest cut that is in segments */
    pthread_mutex_t compaction_mutex;    /* one at a time takes all runs of a group: retention, plinth_compact */
    struct compaction *compaction;       /* compaction.h */
    struct job_list *jobs;               /* job_list.h */
    struct index_builder *index_builder; /* index_build.h */
    pthread_mutex_t checkpoint_mutex;
    uint64_t checkpoint_newest, checkpoint_second; /* replay starts of the two newest checkpoints; 0: none */
    pthread_mutex_t garbage_mutex;
    struct engine_garbage *garbage;
    uint64_t garbage_count;
    struct value_store *values; /* value_store.h */

    uint64_t host_incarnation;
    uint64_t replayed_records, open_us;
    struct engine_counters counters;
};

/* What an engine stands on; tests put simulated parts here. */
struct engine_parts {
    struct env *env;
    struct log *log;     /* taken over on success; null: a local log in <path>/log */
    struct store *store; /* taken over on success; null: a local store in <path>/store */
    struct engine_sizes sizes;
};
/* plinth_open on other parts than the operating system's. */
PLINTH_MUST_CHECK enum plinth_status engine_open(const char *path, const struct plinth_options *options,
                                                 const struct engine_parts *parts, struct plinth **db,
                                                 struct plinth_error *error);

/* ---- append.c: records into the log ---- */

/* Appends one record and decides it; takes and releases the sequencing lock. Rows are not inserted here: for data
 * records use write.c. On OK `decision` holds the verdict. The record is not yet durable. */
PLINTH_MUST_CHECK enum plinth_status engine_append(struct plinth *db, enum change_kind kind, struct slice payload,
                                                   uint64_t *lsn, struct decision *decision,
                                                   struct plinth_error *error);
/* The same for callers that hold the sequencing lock and sequence the record's own LSN with sequencer_done. */
PLINTH_MUST_CHECK enum plinth_status engine_append_locked(struct plinth *db, const struct record_header *header,
                                                          struct slice payload, const struct write_keys *written,
                                                          unsigned log_flags, uint64_t *lsn, struct decision *decision,
                                                          struct plinth_error *error);
/* Raises the feature level to `level` if it is lower, so that no older version opens the directory: before the first
 * record that such a version would not understand. Holds the sequencing lock. */
PLINTH_MUST_CHECK enum plinth_status engine_raise_feature_level(struct plinth *db, uint32_t level,
                                                                struct plinth_error *error);
/* Cuts the active memtable if it has rows: a CUT record and a new memtable. Holds the sequencing lock. `*cut` is the
 * newest cut's LSN (0: nothing was ever cut). */
PLINTH_MUST_CHECK enum plinth_status engine_cut_locked(struct plinth *db, uint64_t *cut, struct plinth_error *error);
/* The time for the next record: wall time at open plus monotonic time since, so that it never jumps. */
uint64_t engine_time_us(struct plinth *db);
/* Stops all writing for good; the first reason (null: an unnamed one) stays. Tells readers and the listener. */
void engine_fail(struct plinth *db, const struct plinth_error *why);
/* Wakes readers that wait for a position, and calls the commit listener. */
void engine_tell(struct plinth *db);
/* PLINTH_OK, or a copy of why writing has stopped. */
PLINTH_MUST_CHECK enum plinth_status engine_check(struct plinth *db, struct plinth_error *error);
/* The rows of record `lsn` are in their memtable (or it has none): moves the applied watermark. */
void engine_sequenced(struct plinth *db, uint64_t lsn);
/* Appends table prefix and key. */
PLINTH_MUST_CHECK bool engine_stored_key(struct buffer *into, struct table_id table, struct slice key);
/* Adds a set, delete or range delete, and the index entries of a set, to a memtable. `stored` is the operation's stored
 * key. */
PLINTH_MUST_CHECK enum plinth_status engine_insert(struct memtable *memtable, const struct operation *operation,
                                                   struct slice stored, uint64_t lsn, struct plinth_error *error);

/* space.c: what a table, key space or index is called; false when the catalog has none with this id. */
bool engine_names_of(const struct catalog *catalog, struct table_id id, struct plinth_names *names);

/* ---- positions ---- */

/* The highest LSN that is visible and at `durability` (never DEFAULT). */
uint64_t engine_acknowledged(struct plinth *db, enum plinth_durability durability);
/* The newest state that reads see. */
uint64_t engine_visible_lsn(struct plinth *db);
struct plinth_position engine_position(struct plinth *db, uint64_t lsn);
/* Whether the position's epoch still has this LSN; PLINTH_INVALID_ARGUMENT otherwise. */
PLINTH_MUST_CHECK enum plinth_status engine_check_position(struct plinth *db, struct plinth_position position,
                                                           struct plinth_error *error);

/* ---- read.c ---- */

/* Chooses the LSN to read and takes a view that can answer for it; *view is referenced. */
PLINTH_MUST_CHECK enum plinth_status engine_begin_read(struct plinth *db, const struct plinth_read_options *options,
                                                       struct view **view, uint64_t *lsn, struct plinth_error *error);

/* The newest version of a key not above `lsn`, from memtables, then runs. PLINTH_NOT_FOUND without text when there is
 * none; a delete is found as a row, and so is what has expired at `time_us`. `stored` is prefix + key. Rows of typed
 * tables are found without their columns (rows.h), and their `row.key` is the caller's. Flags: enum segment_get_flags.
 */
PLINTH_MUST_CHECK enum plinth_status view_get(struct view *view, struct table_id table, struct slice stored,
                                              size_t prefix_size, uint64_t lsn, uint64_t time_us, unsigned flags,
                                              struct segment_hit *hit, struct plinth_error *error);
/* Whether something of a table has expired at `time_us`. */
bool view_may_expire(const struct view *view, struct table_id table, uint64_t time_us);

/* The value of a key in a view at an LSN; as plinth_get. */
PLINTH_MUST_CHECK enum plinth_status engine_get_at(struct plinth *db, struct view *view, uint64_t lsn, uint64_t time_us,
                                                   struct plinth_space space, struct plinth_slice key, bool memory_only,
                                                   struct plinth_buffer *value, struct plinth_position *version,
                                                   struct plinth_error *error);
/* PLINTH_INVALID_ARGUMENT or PLINTH_TOO_LARGE unless a key has 1 byte to PLINTH_KEY_BYTES_MAX. */
PLINTH_MUST_CHECK enum plinth_status engine_check_key(struct plinth_slice key, struct plinth_error *error);

/* ---- snapshot.c ---- */

/* The LSN at or below which only the newest version of a key is needed, registered so that no later reader asks for
 * less. Takes the sequencing lock. */
uint64_t engine_take_horizon(struct plinth *db);
/* What engine_take_horizon would give now. */
uint64_t engine_peek_horizon(struct plinth *db);
/* After a replay: holds the named snapshots, and returns the oldest state that merges have left alone: that of the
 * oldest of them, of the start of the history window, or the present. */
PLINTH_MUST_CHECK enum plinth_status engine_hold_history(struct plinth *db, uint64_t *horizon_lsn,
                                                         struct plinth_error *error);
/* The state that a read's snapshot name or time means. */
PLINTH_MUST_CHECK enum plinth_status engine_find_past(struct plinth *db, const struct plinth_read_options *options,
                                                      uint64_t *lsn, struct plinth_error *error);
void engine_free_snapshots(struct plinth *db);
/* Moves a snapshot forwards to a visible LSN. */
void engine_advance_snapshot(struct plinth_snapshot *snapshot, uint64_t lsn);
/* Shard time now, moved on by a tick when it has stood still for a while and there is something to expire. */
uint64_t engine_now_us(struct plinth *db);
/* The shard time that a read, whose view was taken before, goes by: what has expired then is not there. */
uint64_t engine_read_time_us(struct plinth *db, const struct plinth_read_options *options, uint64_t lsn);
/* The shard time that every reader of now and later has reached; registered so that none goes by an earlier one. */
uint64_t engine_take_expiry_us(struct plinth *db);
/* What engine_take_expiry_us would give now. */
uint64_t engine_peek_expiry_us(struct plinth *db);
/* What counts as now for partitions that are to be dropped, when it is `now_us`: the start of the history window. */
uint64_t engine_retention_time_us(struct plinth *db, uint64_t now_us);

/* feed.c: the first LSN that an open feed needs; UINT64_MAX when none is open. */
uint64_t engine_feeds_lsn(struct plinth *db);

/* ---- jobs: flush.c, compact.c, checkpoint.c, garbage.c ---- */

/* Flushes the oldest cut memtable; *flushed is false when there is none. One caller at a time (the flush thread). */
PLINTH_MUST_CHECK enum plinth_status engine_flush_one(struct plinth *db, bool *flushed, struct plinth_error *error);
/* Drops a partition that is older than its table keeps, or makes a step of a merge that the policy chooses; *merged
 * tells whether there was something to do. Any number of threads. */
PLINTH_MUST_CHECK enum plinth_status engine_compact_one(struct plinth *db, bool *merged, struct plinth_error *error);
/* Merges each table into one run. Takes compaction_mutex. */
PLINTH_MUST_CHECK enum plinth_status engine_compact_all(struct plinth *db, struct plinth_error *error);
/* Rewrites one segment of a table that `is_wanted` says true of; `*more` is false when there is none. Rows read are
 * added to `progress`. Takes compaction_mutex; merges of the segment's group wait. PLINTH_CANCELLED as merge_run. */
PLINTH_MUST_CHECK enum plinth_status engine_rewrite_segment(struct plinth *db, struct table_id table,
                                                            bool (*is_wanted)(struct segment *, void *), void *context,
                                                            const atomic_bool *cancelled, atomic_ullong *progress,
                                                            bool *more, struct plinth_error *error);
uint64_t engine_compactions_pending(struct plinth *db);
/* Whether a partition is older than its table keeps, and no snapshot needs it. */
bool engine_retention_is_due(struct plinth *db);
/* Writes a checkpoint of the present state, when the log is durable up to it, and removes those before the second
 * newest one. */
PLINTH_MUST_CHECK enum plinth_status engine_checkpoint(struct plinth *db, struct plinth_error *error);
/* Trims the log behind what the second newest checkpoint needs. */
PLINTH_MUST_CHECK enum plinth_status engine_trim_log(struct plinth *db, struct plinth_error *error);
/* Loads the newest valid checkpoint into db->shard, or the initial state. */
PLINTH_MUST_CHECK enum plinth_status engine_load_checkpoint(struct plinth *db, struct plinth_error *error);
/* Deletes files that the log has declared garbage and no view needs, then says so in the log. */
PLINTH_MUST_CHECK enum plinth_status engine_collect_garbage(struct plinth *db, struct plinth_error *error);
/* Notes that `name` may go once all views up to `view_sequence` are gone. */
void engine_note_garbage(struct plinth *db, const char *name, uint64_t view_sequence);
/* Begins a job: its record is durable on return. The job's id is its LSN. */
PLINTH_MUST_CHECK enum plinth_status engine_begin_job(struct plinth *db, enum job_kind kind, uint64_t *job,
                                                      struct plinth_error *error);
/* Aborts a job in the log, durably, and collects its files; of a job of values those that nothing refers to. */
PLINTH_MUST_CHECK enum plinth_status engine_end_job(struct plinth *db, uint64_t job, struct plinth_error *error);
/* The same; best effort, the next open does it again. */
void engine_abort_job(struct plinth *db, uint64_t job);
/* "segments/<job>/<table>-<random>.parquet" */
void engine_segment_name(struct plinth *db, uint64_t job, struct table_id table,
                         char name[sizeof(((struct segment_info *)0)->name)]);

/* jobs.c: the background threads, and what they share. engine_free_jobs: once they have stopped. */
PLINTH_MUST_CHECK enum plinth_status engine_start_jobs(struct plinth *db, struct plinth_error *error);
void engine_stop_jobs(struct plinth *db);
void engine_free_jobs(struct plinth *db);
void engine_want_flush(struct plinth *db);
void engine_want_compaction(struct plinth *db);
/* Measures how far merges are behind, and slows writers down or sets them free. After a flush or a merge. */
void engine_pace_writers(struct plinth *db);

/* recover.c: replays the log into db->shard and memtables, opens segments, publishes the first view. */
PLINTH_MUST_CHECK enum plinth_status engine_recover(struct plinth *db, struct plinth_error *error);

/* ---- bytes ---- */

static inline struct slice slice_in(struct plinth_slice slice) { return slice_of(slice.data, slice.size); }
static inline struct plinth_slice slice_out(struct slice slice) { return plinth_bytes(slice.data, slice.size); }
static inline struct table_id table_in(struct plinth_space space) {
    return (struct table_id){space.tenant, space.database, space.table};
}

#endif
