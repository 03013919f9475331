/* What runs in the background, and what has been asked of it: the jobs that `plinth_jobs_visit` shows.
 *
 * Flushes, checkpoints, trims and the deletion of files that nobody needs are entered here while they run; merges and
 * retention are plans (compaction.h); index builds and verifications are entered by the thread that asked for them. Of
 * a kind that fails the list keeps the last reason and how often it failed in a row, and says when it is due again:
 * after half a second, then, but for flushes, twice as long each time, up to five seconds.
 *
 * Which kinds are paused is state of the shard (a JOBS record), so that it outlasts a restart. */
#ifndef PLINTH_ENGINE_JOB_LIST_H
#define PLINTH_ENGINE_JOB_LIST_H

#include "engine/engine.h"

struct job_list;

/* A job that runs; the caller's, on its stack, while it does. */
struct job_entry {
    struct job_entry *next;
    uint64_t id;
    enum plinth_job_kind kind;
    struct table_id table; /* table 0: of no one table */
    const char *why;
    uint64_t started_us;
    atomic_ullong done, total; /* rows, or whatever there is to count; 0: not known */
    atomic_bool cancelled;
};

PLINTH_MUST_CHECK enum plinth_status job_list_create(struct plinth *db, struct job_list **list,
                                                     struct plinth_error *error);
void job_list_destroy(struct job_list *list);

void job_enter(struct plinth *db, struct job_entry *entry, enum plinth_job_kind kind, struct table_id table,
               const char *why);
/* `st` and `error` are how it went. A cancelled job has not failed. */
void job_leave(struct plinth *db, struct job_entry *entry, enum plinth_status st, const struct plinth_error *error);
/* How long to wait after a failure before the kind is tried again. */
uint64_t job_retry_us(struct plinth *db, enum plinth_job_kind kind);
/* No job of the kind shall begin. What the shard says, in memory: job_list_create takes it from there. */
bool job_is_paused(struct plinth *db, enum plinth_job_kind kind);
/* How many kinds are. */
unsigned job_kinds_paused(struct plinth *db);

#endif
