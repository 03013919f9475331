/* The embedded engine's work in the background, and the files of its data directory: for people who look after it. */
#ifndef PLINTH_JOBS_H
#define PLINTH_JOBS_H

#include "plinth.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Work in the background. */
enum plinth_job_kind {
    PLINTH_JOB_FLUSH = 1,
    PLINTH_JOB_COMPACTION = 2,
    PLINTH_JOB_RETENTION = 3,  /* drops partitions that are older than their table keeps */
    PLINTH_JOB_CHECKPOINT = 4, /* of the manifest, so that opening is quick */
    PLINTH_JOB_TRIM = 5,       /* removes log files that nobody needs */
    PLINTH_JOB_GARBAGE = 6,    /* removes segments that were replaced */
    PLINTH_JOB_INDEX_BUILD = 7,
    PLINTH_JOB_VERIFY = 8,
};
enum plinth_job_state {
    PLINTH_JOB_RUNNING = 1,
    PLINTH_JOB_WAITING = 2,  /* for a thread */
    PLINTH_JOB_PAUSED = 3,   /* the kind is */
    PLINTH_JOB_RETRYING = 4, /* it failed and is tried again after a while */
    PLINTH_JOB_HELD = 5,     /* cancelled: begins again after ten minutes */
};
/* "flush", "compaction" ...; "running" ... */
PLINTH_API const char *plinth_job_kind_name(enum plinth_job_kind kind);
PLINTH_API const char *plinth_job_state_name(enum plinth_job_state state);

struct plinth_job {
    uint64_t id; /* 0: stands for its kind */
    enum plinth_job_kind kind;
    enum plinth_job_state state;
    struct plinth_space space; /* the table or index; table 0: no one table */
    bool has_partition;
    int64_t partition;
    unsigned threads;
    uint64_t done, total; /* rows of a merge, memtables to flush ...; 0: not known */
    uint64_t started_us;  /* wall time */
    unsigned failures;    /* in a row */
    const char *why;
    const char *error; /* of the last failure, or empty */
};
typedef void plinth_job_visitor(void *context, const struct plinth_job *job);
/* Shows what runs and what waits. What `job` points to lives during the call, in which no other may be made. */
PLINTH_API void plinth_jobs_visit(struct plinth *db, plinth_job_visitor *visit, void *context);
/* Pausing holds from the next job of the kind on until it is resumed, also over a restart: it is in the log, durably on
 * return. stats.jobs_paused tells that it was not forgotten. PLINTH_INVALID_ARGUMENT for kinds without which writes
 * would stop (flush), or that somebody waits for. plinth_compact is not held up. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_jobs_pause(struct plinth *db, enum plinth_job_kind kind,
                                                                  struct plinth_error *error);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_jobs_resume(struct plinth *db, enum plinth_job_kind kind,
                                                                   struct plinth_error *error);
/* Makes what is due of a kind now: a flush, the merges and drops that are due, a checkpoint, a trim, the deletion of
 * garbage; returns when it is done. PLINTH_CONFLICT while the kind is paused, PLINTH_INVALID_ARGUMENT for others. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_jobs_run(struct plinth *db, enum plinth_job_kind kind,
                                                                struct plinth_error *error);
/* The same for one who may give up: `is_wanted` is asked now and then, on this thread, and when it says false the call
 * ends with PLINTH_CANCELLED behind the step that is under way. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_jobs_run_while(struct plinth *db, enum plinth_job_kind kind,
                                                                      bool (*is_wanted)(void *context), void *context,
                                                                      struct plinth_error *error);
/* Ends a merge, an index build or a verification, which gives PLINTH_CANCELLED; PLINTH_NOT_FOUND. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_jobs_cancel(struct plinth *db, uint64_t id,
                                                                   struct plinth_error *error);

/* Files of the data directory. */
enum plinth_file_kind {
    PLINTH_FILE_LOG = 1,
    PLINTH_FILE_SEGMENT = 2,
    PLINTH_FILE_CHECKPOINT = 3,
    PLINTH_FILE_OTHER = 4, /* FORMAT, LOCK, what is being written, what is left over */
    PLINTH_FILE_VALUES = 5,
};
/* "log", "segment" ... */
PLINTH_API const char *plinth_file_kind_name(enum plinth_file_kind kind);

struct plinth_file {
    const char *path; /* below the data directory */
    enum plinth_file_kind kind;
    uint64_t bytes;
    uint64_t modified_us;         /* wall time; 0: not known */
    uint64_t first_lsn, last_lsn; /* of a log file or segment: its records; of a checkpoint: its state. 0: not known */
    /* Of a segment of the current state; else 0. */
    struct plinth_space space;
    bool has_partition;
    int64_t partition;
    uint64_t run, level, rows, deletes;
    struct plinth_slice key_min, key_max; /* encoded, without table prefix */
    bool is_needed;
    const char *needed_by; /* by whom; if by nobody, what becomes of it */
};
typedef void plinth_file_visitor(void *context, const struct plinth_file *file);
/* Shows every file, ordered by path; what `file` points to lives during the call. It is the directory of one moment and
 * the state of another: what came or went in between is shown as it was found. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_files_visit(struct plinth *db, plinth_file_visitor *visit,
                                                                   void *context, struct plinth_error *error);

/* What a plinth_space is called. */
struct plinth_names {
    char database[PLINTH_NAME_BYTES_MAX + 1];
    char table[PLINTH_NAME_BYTES_MAX + 1]; /* or key space */
    char index[PLINTH_NAME_BYTES_MAX + 1]; /* of it; "": the space is the table itself */
    uint64_t partition_us;                 /* length of the table's partitions; 0: it has none */
};
/* PLINTH_NOT_FOUND when it was dropped. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_names_find(struct plinth *db, struct plinth_space space, struct plinth_names *names, struct plinth_error *error);

#ifdef __cplusplus
}
#endif

#endif
