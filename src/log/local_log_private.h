/* The inside of the local log, for the files local_log*.c only.
 *
 *   local_log.c          open, close, append and its bounds
 *   local_log_commit.c   group commit: the write role, the sync role, waiters, the log's thread
 *   local_log_files.c    making segments ahead of need, rolling to the next one
 *   local_log_trim.c     trimming, and keeping the files for reuse
 *   local_log_read.c     readers
 *
 * Two groups (memory of one block each) take turns: appenders fill one under append_mutex while the holder of the
 * write role writes the other with one pwritev. Syncing is apart from writing, so that records can be written while
 * an fdatasync is under way.
 *
 * Lock order: leading (the sync role) -> write_mutex -> prepare_mutex -> sync_mutex -> append_mutex -> segments_mutex
 * -> log_file.mutex. append_mutex is never held over I/O. */
#ifndef PLINTH_LOG_LOCAL_LOG_PRIVATE_H
#define PLINTH_LOG_LOCAL_LOG_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/env.h"
#include "log/local_log.h"
#include "log/log_file.h"

enum {
    GROUP_BYTES_MAX = 4 << 20,                      /* body of a block */
    GROUP_WRITE_BYTES = 1 << 20,                    /* from here on the log's thread writes without being asked */
    MARKER_ROOM_BYTES = 4 * LOG_BLOCK_HEADER_BYTES, /* kept free in each file for the blocks of open and close */
    LOG_PAGE_BYTES = 4096,                          /* what the operating system caches a file by */
    LOG_SPARES_MAX = 2,                             /* trimmed files kept for reuse */
    CACHE_LINE = 64,
};

/* The records of one block while they gather; `bytes` begins with room for the block's header. */
struct group {
    uint8_t *bytes;
    size_t size; /* including the header's room */
    uint64_t first_lsn;
    uint32_t record_count;
    uint64_t time_us;
    struct record_context context;
};

/* A file made ahead of need or kept for reuse, under a temporary name. */
struct prepared {
    struct env_file *file; /* null when there is none; spares are not open */
    char *path;
    uint64_t capacity;
    bool recycled;
};

struct local_log {
    struct log base;
    struct env *env;
    struct local_log_options options; /* with defaults filled in */
    char *directory;
    uint32_t seed;                    /* of block checksums */
    struct log_segment_header newest; /* write_mutex; its epochs are constant after open */

    /* The marks. Stores release, loads acquire. */
    _Alignas(CACHE_LINE) atomic_uint_fast64_t written_lsn;
    atomic_uint_fast64_t synced_lsn;
    atomic_bool poisoned;

    _Alignas(CACHE_LINE) pthread_mutex_t append_mutex; /* guards all down to the next mutex */
    atomic_uint_fast64_t next_lsn;                     /* changed under append_mutex, read anywhere */
    struct group *fill;
    uint64_t appended_bytes; /* encoded, since open */
    uint64_t appended_records;
    uint64_t full_waits;
    uint64_t planned_end; /* where the block after those swapped out so far goes in the planned file */
    uint64_t planned_capacity;
    struct prepared prepared;
    struct prepared rolling; /* taken from `prepared` for the group that has just been swapped out */
    unsigned cycle;          /* sync cycles begun */
    uint64_t cycle_lsn;      /* what the last begun cycle will have synced */
    atomic_uint waiting;     /* waiters for the cycle after it */

    _Alignas(CACHE_LINE) pthread_mutex_t write_mutex; /* the write role; guards: */
    struct group *spare;
    struct log_file *active;
    uint64_t last_record_lsn; /* written; over all epochs */

    pthread_mutex_t sync_mutex; /* one fdatasync at a time: an error is reported to one caller only */

    _Alignas(CACHE_LINE) atomic_uint leading; /* 1 while somebody has the sync role */
    atomic_uint cycle_words[2];               /* waiters of even and odd cycles sleep here; bumped at each end */
    unsigned hoped_waiters;                   /* sync role: how many the next cycle may gather */
    uint64_t sync_ns;                         /* sync role: running mean of an fdatasync */
    atomic_uint_fast64_t synced_bytes;        /* of appended_bytes */

    pthread_mutex_t prepare_mutex; /* held while a file is made or filled with zeros */
    pthread_cond_t prepare_wanted;
    unsigned prepare_number;
    enum plinth_status prepare_failed; /* of the last try, as the next two; changed with segments_mutex, too */
    struct plinth_error prepare_error;
    uint64_t prepare_retry_ns;
    bool preparing_stops;

    pthread_mutex_t segments_mutex; /* guards: */
    struct log_file **segments;     /* ascending; one reference each; the last is `active` */
    size_t segment_count;
    size_t segment_capacity;
    struct prepared spares[LOG_SPARES_MAX]; /* durably without their former names */
    size_t spare_count;
    struct plinth_error poison; /* set once */

    pthread_mutex_t trim_mutex; /* guards: */
    bool trim_unsynced;         /* the last removal is not known to be durable */
    struct prepared retired;    /* the file that it has renamed, then; no spare before that is durable */
    unsigned retired_number;

    /* The log's thread. */
    _Atomic(struct log_listener *) listener;
    atomic_uint thread_word;   /* bumped to wake it */
    atomic_uint thread_sleeps; /* enum thread_sleep */
    atomic_uint_fast64_t requested_written;
    atomic_uint_fast64_t requested_synced;
    atomic_uint_fast64_t notified_synced; /* what the listener was last told */
    atomic_bool tell;                     /* a request wants an answer, even if no mark moves */
    atomic_bool stopping;
    bool threads_started;
    pthread_t thread;
    pthread_t preparer;
    bool preparer_started;

    atomic_uint_fast64_t groups;
    atomic_uint_fast64_t syncs;
    atomic_uint_fast64_t file_bytes; /* written, in all segments */
};

enum thread_sleep { THREAD_AWAKE, THREAD_NAPS, THREAD_IDLE };

static inline struct local_log *local_log_of(struct log *log) { return (struct local_log *)log; }

/* ---- local_log.c ---- */

void group_begin(struct group *group);

/* ---- local_log_commit.c ---- */

/* Stops the log: the first cause is kept. Wakes everyone. Returns the status. */
enum plinth_status poison_set(struct local_log *log, enum plinth_status status, const struct plinth_error *cause);
/* For callers that find `poisoned` set: the cause itself, or that the outcome of a record is unknown. */
enum plinth_status poison_cause(struct local_log *log, struct plinth_error *error);
enum plinth_status poison_unknown(struct local_log *log, uint64_t lsn, struct plinth_error *error);
/* Writes groups until everything up to `lsn` is written. */
PLINTH_MUST_CHECK enum plinth_status write_until(struct local_log *log, uint64_t lsn, struct plinth_error *error);
/* With write_mutex: writes a block without records. */
PLINTH_MUST_CHECK enum plinth_status marker_write(struct local_log *log, uint32_t flags, struct plinth_error *error);
enum plinth_status local_log_wait(struct log *log, uint64_t lsn, enum record_durability level, uint64_t timeout_us,
                                  struct plinth_error *error);
void local_log_request(struct log *log, uint64_t lsn, enum record_durability level);
void log_thread_wake(struct local_log *log);
void *log_thread_run(void *argument);

/* ---- local_log_files.c ---- */

/* Makes sure that a prepared file with room for a body of `body_bytes` exists; `zeros` also fills it with zeros. */
PLINTH_MUST_CHECK enum plinth_status prepare_file(struct local_log *log, uint64_t body_bytes, bool zeros,
                                                  struct plinth_error *error);
void prepared_drop(struct local_log *log, struct prepared *prepared);
enum plinth_status local_log_space(struct log *log, struct plinth_error *error);
void *preparer_run(void *argument);
/* With write_mutex: gives `file` its header and final name and makes it the active one. `first_lsn` is its first. */
PLINTH_MUST_CHECK enum plinth_status segment_start(struct local_log *log, struct prepared *file, uint64_t first_lsn,
                                                   struct plinth_error *error);
/* Adds a file behind the others, or in the place of the last one when that begins at the same LSN: it was too small
 * for the first block, holds no record, and its name is the new one's by now. */
PLINTH_MUST_CHECK bool segments_push(struct local_log *log, struct log_file *file);

/* ---- local_log_trim.c ---- */

enum plinth_status local_log_trim(struct log *log, uint64_t before_lsn, struct plinth_error *error);
/* Takes a spare of at least `capacity` bytes out, still closed; false when there is none. */
bool spare_take(struct local_log *log, uint64_t capacity, struct prepared *taken);
/* Removes the spares and their space; false when there were none. */
bool spares_drop(struct local_log *log);

/* ---- local_log_read.c ---- */

enum plinth_status local_log_read(struct log *log, uint64_t from_lsn, struct log_reader **reader,
                                  struct plinth_error *error);

#endif
