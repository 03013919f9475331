/* The background threads: one flushes, others merge; all write checkpoints and collect garbage behind their work. A
 * failed round is logged and tried again after a while, so that a full disk heals when there is space. */
#include "base/log_event.h"
#include "base/status.h"
#include "engine/compaction.h"
#include "engine/index_build.h"
#include "engine/job_list.h"

enum { RETRY_US = 500 * 1000, COMPACTION_CHECK_US = 10 * 1000 * 1000 };

/* A job of a kind, entered in the list while it runs; nothing while the kind is paused. */
static enum plinth_status run_job(struct plinth *db, enum plinth_job_kind kind, const char *why,
                                  enum plinth_status (*run)(struct plinth *, struct plinth_error *),
                                  struct plinth_error *error) {
    struct job_entry entry;
    if (job_is_paused(db, kind)) return PLINTH_OK;
    job_enter(db, &entry, kind, (struct table_id){0}, why);
    enum plinth_status st = run(db, error);
    job_leave(db, &entry, st, error);
    return st;
}

/* Checkpoint, garbage and the log's old files, after a round that changed the manifest. That change is made, whatever
 * becomes of this: a failure is logged, and the flush thread tries again. */
static void tidy(struct plinth *db) {
    struct plinth_error error = {0}, trim_error = {0};
    enum plinth_status st = engine_drop_ranges(db, &error);
    if (!st) st = run_job(db, PLINTH_JOB_CHECKPOINT, "segments have changed", engine_checkpoint, &error);
    if (!st) st = run_job(db, PLINTH_JOB_GARBAGE, "segments were replaced", engine_collect_garbage, &error);
    /* Also when the disk is too full for the others. */
    enum plinth_status trimmed = run_job(db, PLINTH_JOB_TRIM, "a checkpoint was written", engine_trim_log, &trim_error);
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
        struct job_entry entry;
        job_enter(db, &entry, PLINTH_JOB_FLUSH, (struct table_id){0}, "a memtable is full, or was asked for");
        engine_balance_memory(db);
        enum plinth_status st = engine_flush_one(db, &flushed, error);
        job_leave(db, &entry, st, error);
        note_flush(db, st, error);
        if (st == PLINTH_NO_SPACE) (void)!engine_trim_log(db, NULL); /* files that the log keeps for reuse go now */
        if (st) return st;
        if (flushed) engine_balance_memory(db);
        if (flushed) engine_want_compaction(db);
        if (flushed) engine_pace_writers(db);
        if (flushed || owed) tidy(db);
        owed = false;
    }
    return PLINTH_OK;
}

void engine_pace_writers(struct plinth *db) {
    struct compaction_load load;
    compaction_measure(db, &load);
    bool free = db->options.no_background_compaction || compaction_is_paused(db); /* waiting would help nobody */
    unsigned severity = free ? 0 : write_delay_severity(&write_delay_policy_default, load.runs_most, load.debt_bytes);
    uint64_t now = env_monotonic_ns(db->env);
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t written = db->bytes_cut + memtable_bytes(db->active), before = db->write_budget.rate;
    if (!before) write_rate_note(&db->write_rate, written, now);
    uint64_t free_rate = db->write_rate.bytes_per_s; /* 0: not yet known */
    uint64_t rate = free_rate ? write_delay_rate(&write_delay_policy_default, severity, free_rate) : 0;
    write_budget_set(&db->write_budget, rate, written, now);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!rate != !before)
        log_event(LOG_INFO, rate ? "writes_slowed" : "writes_free", "runs=%llu debt_bytes=%llu bytes_per_s=%llu",
                  (unsigned long long)load.runs_most, (unsigned long long)load.debt_bytes, (unsigned long long)rate);
}

static enum plinth_status compaction_round(struct plinth *db, struct plinth_error *error) {
    bool merged = !db->options.no_background_compaction && !atomic_load(&db->failed), any = false;
    static const char garbage[] = "segments were replaced";
    enum plinth_status st = PLINTH_OK;
    while (!st && merged) {
        st = engine_compact_one(db, &merged, error);
        any |= merged;
        if (!st && merged) engine_want_compaction(db); /* now others may find something, too */
        if (!st && merged) engine_pace_writers(db);
        if (!st && merged) st = run_job(db, PLINTH_JOB_GARBAGE, garbage, engine_collect_garbage, error);
    }
    if (!st && any) tidy(db);
    if (!st && !any) st = run_job(db, PLINTH_JOB_GARBAGE, garbage, engine_collect_garbage, error);
    return st;
}

/* Waits for work or closing; false when closing. job_mutex is held. */
static bool wait_for(struct plinth *db, bool *wanted) {
    while (!*wanted && !db->closing) pthread_cond_wait(&db->job_wanted, &db->job_mutex);
    *wanted = false;
    return !db->closing;
}

/* The same for a thread that merges, which also looks now and then for partitions that have ended. `*seen` is what was
 * wanted when it last looked. */
static bool wait_for_compaction(struct plinth *db, uint64_t *seen) {
    bool timed_out = false;
    while (db->compaction_wanted == *seen && !timed_out && !db->closing)
        timed_out = !condition_wait_us(&db->job_wanted, &db->job_mutex, COMPACTION_CHECK_US);
    *seen = db->compaction_wanted;
    return !db->closing;
}

/* After a failure: says why and lets a while pass. job_mutex is held. */
static void wait_to_retry(struct plinth *db, const char *name, uint64_t wait_us, enum plinth_status st,
                          const struct plinth_error *error) {
    if (db->closing) return;
    if (st) log_event(LOG_ERROR, name, "reason=\"%s\"", error->text);
    condition_wait_us(&db->job_wanted, &db->job_mutex, wait_us);
}

static void *flush_main(void *argument) {
    struct plinth *db = argument;
    pthread_mutex_lock(&db->job_mutex);
    while (wait_for(db, &db->flush_wanted)) {
        struct plinth_error error = {0};
        pthread_mutex_unlock(&db->job_mutex);
        enum plinth_status st = flush_round(db, &error);
        uint64_t retry_us = job_retry_us(db, st ? PLINTH_JOB_FLUSH : PLINTH_JOB_CHECKPOINT);
        pthread_mutex_lock(&db->job_mutex);
        bool again = st || db->tidying_owed;
        if (again && !atomic_load(&db->failed)) db->flush_wanted = true; /* never false: somebody may have asked */
        pthread_cond_broadcast(&db->job_ended);
        if (again) wait_to_retry(db, "flush_failed", retry_us, st, &error);
    }
    pthread_mutex_unlock(&db->job_mutex);
    return NULL;
}

static void *compact_main(void *argument) {
    struct plinth *db = argument;
    uint64_t seen = 0;
    thread_be_background(); /* writers wait for flushes, nobody for this */
    pthread_mutex_lock(&db->job_mutex);
    while (wait_for_compaction(db, &seen)) {
        struct plinth_error error = {0};
        pthread_mutex_unlock(&db->job_mutex);
        enum plinth_status st = compaction_round(db, &error);
        pthread_mutex_lock(&db->job_mutex);
        if (!st) continue;
        if (!atomic_load(&db->failed)) seen = db->compaction_wanted - 1;
        wait_to_retry(db, "compaction_failed", RETRY_US, st, &error);
    }
    pthread_mutex_unlock(&db->job_mutex);
    return NULL;
}

enum plinth_status engine_start_jobs(struct plinth *db, struct plinth_error *error) {
    unsigned wanted = db->memory.plan.merges_max;
    enum plinth_status st = compaction_create(db, &db->compaction, error);
    if (!st) st = job_list_create(db, &db->jobs, error);
    if (!st) compaction_pause(db, job_is_paused(db, PLINTH_JOB_COMPACTION));
    if (!st) st = thread_start(&db->flush_thread, "plinth-flush", flush_main, db, error);
    db->flush_thread_runs = !st;
    while (!st && db->compact_thread_count < wanted) {
        st = thread_start(&db->compact_threads[db->compact_thread_count], "plinth-compact", compact_main, db, error);
        db->compact_thread_count += !st;
    }
    return st ? st : index_builder_start(db, error);
}

void engine_stop_jobs(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    db->closing = true;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
    index_builder_stop(db);
    if (db->flush_thread_runs) pthread_join(db->flush_thread, NULL);
    db->flush_thread_runs = false;
    while (db->compact_thread_count) pthread_join(db->compact_threads[--db->compact_thread_count], NULL);
}

void engine_free_jobs(struct plinth *db) {
    index_builder_free(db);
    compaction_destroy(db->compaction);
    db->compaction = NULL;
    job_list_destroy(db->jobs);
    db->jobs = NULL;
}

void engine_want_flush(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    db->flush_wanted = true;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
}

void engine_want_compaction(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    db->compaction_wanted++;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
}

/* ---- what somebody asks for ---- */

enum { WANTED_CHECK_US = 100 * 1000 };

/* Whether who asked still wants it. */
struct request {
    bool (*is_wanted)(void *context); /* null: always */
    void *context;
};

static bool is_wanted(const struct request *request) {
    return !request->is_wanted || request->is_wanted(request->context);
}

static enum plinth_status not_wanted(struct plinth_error *error) {
    return error_set(error, PLINTH_CANCELLED, "whoever asked for the job gave up");
}

static enum plinth_status run_flush(struct plinth *db, const struct request *request, struct plinth_error *error) {
    uint64_t cut = 0;
    bool wanted = true;
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = engine_check(db, error);
    if (!st) st = engine_cut_locked(db, &cut, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (st) return st;
    pthread_mutex_lock(&db->job_mutex);
    uint64_t failures = db->flush_failures;
    db->flush_wanted = true;
    pthread_cond_broadcast(&db->job_wanted);
    while (wanted && atomic_load(&db->flushed_lsn) < cut && db->flush_failures == failures) {
        condition_wait_us(&db->job_ended, &db->job_mutex, WANTED_CHECK_US);
        wanted = is_wanted(request);
    }
    if (atomic_load(&db->flushed_lsn) < cut)
        st = wanted ? error_set(error, db->flush_error.status, "%s", db->flush_error.text) : not_wanted(error);
    pthread_mutex_unlock(&db->job_mutex);
    return st;
}

enum plinth_status plinth_flush(struct plinth *db, struct plinth_error *error) {
    const struct request request = {0};
    error_clear(error);
    return run_flush(db, &request, error);
}

enum plinth_status plinth_compact(struct plinth *db, struct plinth_error *error) {
    enum plinth_status st = plinth_flush(db, error);
    if (!st) st = engine_compact_all(db, error);
    if (!st) tidy(db);
    return st;
}

/* A step is bounded, so it is not ended for one who gives up: its work would be lost. */
static enum plinth_status run_compaction(struct plinth *db, const struct request *request, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    bool any = false;
    while (!st) {
        bool merged = false;
        st = is_wanted(request) ? engine_compact_one(db, &merged, error) : not_wanted(error);
        any |= merged;
        /* What the background threads are at is due, too, and may make more of it. */
        if (!st && !merged && !compaction_wait_step(db, WANTED_CHECK_US)) break;
    }
    if (any) tidy(db);
    return st;
}

enum plinth_status plinth_jobs_run_while(struct plinth *db, enum plinth_job_kind kind, bool (*wanted)(void *context),
                                         void *context, struct plinth_error *error) {
    const struct request request = {wanted, context};
    error_clear(error);
    enum plinth_status st = engine_check(db, error);
    if (!st && kind >= PLINTH_JOB_COMPACTION && kind <= PLINTH_JOB_GARBAGE && job_is_paused(db, kind))
        st = error_set(error, PLINTH_CONFLICT, "jobs of kind %s are paused: resume them first",
                       plinth_job_kind_name(kind));
    if (st) return st;
    switch (kind) {
    case PLINTH_JOB_FLUSH: return run_flush(db, &request, error);
    case PLINTH_JOB_COMPACTION:
    case PLINTH_JOB_RETENTION: return run_compaction(db, &request, error);
    case PLINTH_JOB_CHECKPOINT: return run_job(db, kind, "asked for", engine_checkpoint, error);
    case PLINTH_JOB_TRIM: return run_job(db, kind, "asked for", engine_trim_log, error);
    case PLINTH_JOB_GARBAGE: return run_job(db, kind, "asked for", engine_collect_garbage, error);
    default:
        return error_set(error, PLINTH_INVALID_ARGUMENT, "jobs of kind %s are begun otherwise",
                         plinth_job_kind_name(kind));
    }
}

enum plinth_status plinth_jobs_run(struct plinth *db, enum plinth_job_kind kind, struct plinth_error *error) {
    return plinth_jobs_run_while(db, kind, NULL, NULL, error);
}
