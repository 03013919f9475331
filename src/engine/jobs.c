/* The background threads: one flushes, one merges; both write checkpoints and collect garbage behind their work. A
 * failed round is logged and tried again after a while, so that a full disk heals when there is space. */
#include "base/log_event.h"
#include "base/status.h"
#include "engine/engine.h"

enum { RETRY_US = 500 * 1000, RETENTION_CHECK_US = 10 * 1000 * 1000 };

/* Checkpoint, garbage and the log's old files, after a round that changed the manifest. That change is made, whatever
 * becomes of this: a failure is logged, and the flush thread tries again. */
static void tidy(struct plinth *db) {
    struct plinth_error error = {0}, trim_error = {0};
    enum plinth_status st = engine_checkpoint(db, &error);
    if (!st) st = engine_collect_garbage(db, &error);
    enum plinth_status trimmed = engine_trim_log(db, &trim_error); /* also when the disk is too full for the others */
    if (st) log_event(LOG_ERROR, "checkpoint_failed", "reason=\"%s\"", error.text);
    if (trimmed) log_event(LOG_ERROR, "log_trim_failed", "reason=\"%s\"", trim_error.text);
    pthread_mutex_lock(&db->job_mutex);
    db->tidying_owed = st || trimmed;
    if (db->tidying_owed) {
        db->flush_wanted = true;
        pthread_cond_broadcast(&db->job_wanted);
    }
    pthread_mutex_unlock(&db->job_mutex);
}

/* Tells waiting writers and plinth_flush how a flush went. */
static void note_flush(struct plinth *db, enum plinth_status st, const struct plinth_error *error) {
    pthread_mutex_lock(&db->job_mutex);
    db->flush_failing = st && !db->closing;
    if (db->flush_failing) {
        db->flush_failures++;
        db->flush_error = *error;
    }
    pthread_cond_broadcast(&db->job_ended);
    pthread_mutex_unlock(&db->job_mutex);
}

static bool tidying_is_owed(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    bool owed = db->tidying_owed;
    pthread_mutex_unlock(&db->job_mutex);
    return owed;
}

/* Checkpoints and merges do not wait for the last memtable: under load there is always one more. */
static enum plinth_status flush_round(struct plinth *db, struct plinth_error *error) {
    bool flushed = true;
    bool owed = tidying_is_owed(db);
    while (flushed) {
        enum plinth_status st = engine_flush_one(db, &flushed, error);
        note_flush(db, st, error);
        if (st == PLINTH_NO_SPACE) (void)!engine_trim_log(db, NULL); /* files that the log keeps for reuse go now */
        if (st) return st;
        if (flushed) engine_want_compaction(db);
        if (flushed || owed) tidy(db);
        owed = false;
    }
    return PLINTH_OK;
}

static enum plinth_status compaction_round(struct plinth *db, struct plinth_error *error) {
    bool merged = !db->options.no_background_compaction, any = false;
    enum plinth_status st = PLINTH_OK;
    while (!st && merged) {
        st = engine_compact_one(db, &merged, error);
        any |= merged;
        if (!st && merged) st = engine_collect_garbage(db, error);
    }
    if (!st && any) tidy(db);
    if (!st && !any) st = engine_collect_garbage(db, error);
    return st;
}

/* Waits for work or closing; false when closing. job_mutex is held. */
static bool wait_for(struct plinth *db, bool *wanted) {
    while (!*wanted && !db->closing) pthread_cond_wait(&db->job_wanted, &db->job_mutex);
    *wanted = false;
    return !db->closing;
}

/* The same for the thread that merges, which also looks now and then for partitions to drop. */
static bool wait_for_compaction(struct plinth *db) {
    while (!db->compaction_wanted && !db->closing) {
        if (condition_wait_us(&db->job_wanted, &db->job_mutex, RETENTION_CHECK_US)) continue;
        pthread_mutex_unlock(&db->job_mutex);
        bool due = !db->options.no_background_compaction && engine_retention_is_due(db);
        pthread_mutex_lock(&db->job_mutex);
        db->compaction_wanted |= due;
    }
    db->compaction_wanted = false;
    return !db->closing;
}

/* One round outside of the mutex; after a failure `*wanted` is set again and a while has passed. */
static void run_round(struct plinth *db, const char *name, bool *wanted,
                      enum plinth_status (*round)(struct plinth *, struct plinth_error *)) {
    struct plinth_error error = {0};
    pthread_mutex_unlock(&db->job_mutex);
    enum plinth_status st = round(db, &error);
    pthread_mutex_lock(&db->job_mutex);
    bool again = st || (round == flush_round && db->tidying_owed);
    if (st && !db->closing) log_event(LOG_ERROR, name, "reason=\"%s\"", error.text);
    if (again && !atomic_load(&db->failed)) *wanted = true; /* never false: somebody may have asked meanwhile */
    pthread_cond_broadcast(&db->job_ended);
    if (again && !db->closing) condition_wait_us(&db->job_wanted, &db->job_mutex, RETRY_US);
}

static void *flush_main(void *argument) {
    struct plinth *db = argument;
    pthread_mutex_lock(&db->job_mutex);
    while (wait_for(db, &db->flush_wanted)) run_round(db, "flush_failed", &db->flush_wanted, flush_round);
    pthread_mutex_unlock(&db->job_mutex);
    return NULL;
}

static void *compact_main(void *argument) {
    struct plinth *db = argument;
    thread_be_background(); /* writers wait for flushes, nobody for this */
    pthread_mutex_lock(&db->job_mutex);
    while (wait_for_compaction(db)) run_round(db, "compaction_failed", &db->compaction_wanted, compaction_round);
    pthread_mutex_unlock(&db->job_mutex);
    return NULL;
}

enum plinth_status engine_start_jobs(struct plinth *db, struct plinth_error *error) {
    enum plinth_status st = thread_start(&db->flush_thread, "plinth-flush", flush_main, db, error);
    db->flush_thread_runs = !st;
    if (!st) st = thread_start(&db->compact_thread, "plinth-compact", compact_main, db, error);
    db->compact_thread_runs = db->flush_thread_runs && !st;
    return st;
}

void engine_stop_jobs(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    db->closing = true;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
    if (db->flush_thread_runs) pthread_join(db->flush_thread, NULL);
    if (db->compact_thread_runs) pthread_join(db->compact_thread, NULL);
}

static void want(struct plinth *db, bool *wanted) {
    pthread_mutex_lock(&db->job_mutex);
    *wanted = true;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
}

void engine_want_flush(struct plinth *db) { want(db, &db->flush_wanted); }
void engine_want_compaction(struct plinth *db) { want(db, &db->compaction_wanted); }

enum plinth_status plinth_flush(struct plinth *db, struct plinth_error *error) {
    error_clear(error);
    uint64_t cut = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = engine_check(db, error);
    if (!st) st = engine_cut_locked(db, &cut, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (st) return st;
    pthread_mutex_lock(&db->job_mutex);
    uint64_t failures = db->flush_failures;
    db->flush_wanted = true;
    pthread_cond_broadcast(&db->job_wanted);
    while (atomic_load(&db->flushed_lsn) < cut && db->flush_failures == failures)
        pthread_cond_wait(&db->job_ended, &db->job_mutex);
    if (atomic_load(&db->flushed_lsn) < cut) st = error_set(error, db->flush_error.status, "%s", db->flush_error.text);
    pthread_mutex_unlock(&db->job_mutex);
    return st;
}

enum plinth_status plinth_compact(struct plinth *db, struct plinth_error *error) {
    enum plinth_status st = plinth_flush(db, error);
    if (!st) st = engine_compact_all(db, error);
    if (!st) tidy(db);
    return st;
}
