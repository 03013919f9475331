#include "engine/job_list.h"

#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/compaction.h"

enum { KINDS = PLINTH_JOB_VERIFY + 1, RETRY_US = 500 * 1000, RETRY_US_MAX = 5 * 1000 * 1000 };

struct job_history {
    unsigned failures; /* in a row */
    uint64_t failed_us;
    struct plinth_error error; /* of the last one */
};

struct job_list {
    pthread_mutex_t pause_mutex; /* what the log says of pauses is done here before the next is said */
    atomic_uint paused;          /* bits, as shard.paused_jobs */
    pthread_mutex_t mutex;       /* guards what follows */
    struct job_entry *running;   /* newest first */
    uint64_t next_id;
    struct job_history kinds[KINDS];
};

/* Plans have ids of their own: theirs are even here, the others odd. */
static uint64_t id_of_plan(uint64_t plan) { return 2 * plan; }

enum plinth_status job_list_create(struct plinth *db, struct job_list **list, struct plinth_error *error) {
    *list = calloc(1, sizeof **list);
    if (!*list) return error_no_memory(error, "jobs");
    pthread_mutex_init(&(*list)->pause_mutex, NULL);
    pthread_mutex_init(&(*list)->mutex, NULL);
    atomic_init(&(*list)->paused, (unsigned)db->shard.paused_jobs);
    (*list)->next_id = 1;
    return PLINTH_OK;
}

void job_list_destroy(struct job_list *list) {
    if (!list) return;
    pthread_mutex_destroy(&list->pause_mutex);
    pthread_mutex_destroy(&list->mutex);
    free(list);
}

void job_enter(struct plinth *db, struct job_entry *entry, enum plinth_job_kind kind, struct table_id table,
               const char *why) {
    struct job_list *list = db->jobs;
    *entry = (struct job_entry){.kind = kind, .table = table, .why = why, .started_us = engine_time_us(db)};
    pthread_mutex_lock(&list->mutex);
    entry->id = list->next_id;
    list->next_id += 2;
    entry->next = list->running;
    list->running = entry;
    pthread_mutex_unlock(&list->mutex);
}

void job_leave(struct plinth *db, struct job_entry *entry, enum plinth_status st, const struct plinth_error *error) {
    struct job_list *list = db->jobs;
    struct job_history *history = &list->kinds[entry->kind];
    pthread_mutex_lock(&list->mutex);
    struct job_entry **link = &list->running;
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    if (!st) {
        history->failures = 0;
    } else if (st != PLINTH_CANCELLED && entry->kind <= PLINTH_JOB_INDEX_BUILD) { /* others nobody tries again */
        history->failures++;
        history->failed_us = engine_time_us(db);
        if (error) history->error = *error;
    }
    pthread_mutex_unlock(&list->mutex);
}

uint64_t job_retry_us(struct plinth *db, enum plinth_job_kind kind) {
    if (kind == PLINTH_JOB_FLUSH) return RETRY_US; /* writers wait for it */
    pthread_mutex_lock(&db->jobs->mutex);
    unsigned failures = db->jobs->kinds[kind].failures;
    pthread_mutex_unlock(&db->jobs->mutex);
    uint64_t us = (uint64_t)RETRY_US << (failures > 1 ? (failures < 8 ? failures - 1 : 7) : 0);
    return us < RETRY_US_MAX ? us : RETRY_US_MAX;
}

bool job_is_paused(struct plinth *db, enum plinth_job_kind kind) { return atomic_load(&db->jobs->paused) & 1u << kind; }

unsigned job_kinds_paused(struct plinth *db) { return (unsigned)__builtin_popcount(atomic_load(&db->jobs->paused)); }

/* ---- the calls ---- */

const char *plinth_job_kind_name(enum plinth_job_kind kind) {
    static const char *const names[KINDS] = {"?",    "flush",   "compaction",  "retention", "checkpoint",
                                             "trim", "garbage", "index_build", "verify"};
    return (unsigned)kind < KINDS ? names[kind] : "?";
}

const char *plinth_job_state_name(enum plinth_job_state state) {
    static const char *const names[] = {"?", "running", "waiting", "paused", "retrying", "held"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

struct plan_visit {
    plinth_job_visitor *visit;
    void *context;
};

static void visit_plan(void *context, const struct compaction_plan_info *info) {
    const struct plan_visit *plans = context;
    struct plinth_job job = {.id = id_of_plan(info->id),
                             .kind = info->is_retention ? PLINTH_JOB_RETENTION : PLINTH_JOB_COMPACTION,
                             .state = info->steps                       ? PLINTH_JOB_RUNNING
                                      : info->failures && info->is_held ? PLINTH_JOB_RETRYING
                                      : info->is_held                   ? PLINTH_JOB_HELD
                                                                        : PLINTH_JOB_WAITING,
                             .space = {info->table.tenant, info->table.database, info->table.table},
                             .has_partition = info->has_partition,
                             .partition = info->partition,
                             .threads = info->steps,
                             .total = info->rows,
                             .done = info->rows_done < info->rows ? info->rows_done : info->rows,
                             .started_us = info->started_us,
                             .failures = info->failures,
                             .why = info->why,
                             .error = ""};
    plans->visit(plans->context, &job);
}

/* The mutex is held. */
static void visit_running(const struct job_list *list, plinth_job_visitor *visit, void *context) {
    for (const struct job_entry *entry = list->running; entry; entry = entry->next) {
        struct plinth_job job = {.id = entry->id,
                                 .kind = entry->kind,
                                 .state = PLINTH_JOB_RUNNING,
                                 .space = {entry->table.tenant, entry->table.database, entry->table.table},
                                 .threads = 1,
                                 .total = atomic_load(&entry->total),
                                 .done = atomic_load(&entry->done),
                                 .started_us = entry->started_us,
                                 .failures = list->kinds[entry->kind].failures,
                                 .why = entry->why,
                                 .error = list->kinds[entry->kind].failures ? list->kinds[entry->kind].error.text : ""};
        visit(context, &job);
    }
}

static bool runs(const struct job_list *list, enum plinth_job_kind kind) {
    for (const struct job_entry *entry = list->running; entry; entry = entry->next)
        if (entry->kind == kind) return true;
    return false;
}

/* Kinds that are paused, or wait after a failure. The mutex is held. */
static void visit_idle(struct job_list *list, plinth_job_visitor *visit, void *context) {
    unsigned all_paused = atomic_load(&list->paused);
    for (int kind = 1; kind < KINDS; kind++) {
        const struct job_history *history = &list->kinds[kind];
        bool paused = all_paused & 1u << kind;
        if (!paused && (!history->failures || runs(list, (enum plinth_job_kind)kind))) continue;
        struct plinth_job job = {.kind = (enum plinth_job_kind)kind,
                                 .state = paused ? PLINTH_JOB_PAUSED : PLINTH_JOB_RETRYING,
                                 .started_us = history->failures ? history->failed_us : 0,
                                 .failures = history->failures,
                                 .why = paused ? "asked for" : "the last one failed",
                                 .error = history->failures ? history->error.text : ""};
        visit(context, &job);
    }
}

static void visit_waiting(struct plinth *db, plinth_job_visitor *visit, void *context) {
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t cut = db->memtables_cut;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!cut) return;
    struct plinth_job job = {.kind = PLINTH_JOB_FLUSH,
                             .state = PLINTH_JOB_WAITING,
                             .total = cut,
                             .why = "memtables that are full",
                             .error = ""};
    visit(context, &job);
}

void plinth_jobs_visit(struct plinth *db, plinth_job_visitor *visit, void *context) {
    struct plan_visit plans = {visit, context};
    pthread_mutex_lock(&db->jobs->mutex);
    visit_running(db->jobs, visit, context);
    bool flushes = runs(db->jobs, PLINTH_JOB_FLUSH);
    pthread_mutex_unlock(&db->jobs->mutex);
    if (!flushes) visit_waiting(db, visit, context);
    compaction_visit_plans(db, visit_plan, &plans);
    pthread_mutex_lock(&db->jobs->mutex);
    visit_idle(db->jobs, visit, context);
    pthread_mutex_unlock(&db->jobs->mutex);
}

/* The log says it, then this process does it. */
static enum plinth_status append_paused(struct plinth *db, unsigned kind, bool paused, uint64_t *lsn,
                                        struct plinth_error *error) {
    uint8_t payload[VARINT_BYTES_MAX];
    struct record_header header = {.kind = CHANGE_JOBS, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t before = db->shard.paused_jobs;
    uint64_t wanted = paused ? before | UINT64_C(1) << kind : before & ~(UINT64_C(1) << kind);
    *lsn = 0;
    enum plinth_status st = wanted == before ? PLINTH_OK : engine_raise_feature_level(db, FEATURE_LEVEL_JOBS, error);
    if (!st && wanted != before)
        st = engine_append_locked(db, &header, slice_of(payload, varint_encode(payload, wanted)), NULL, 0, lsn,
                                  &decision, error);
    if (!st && *lsn) engine_sequenced(db, *lsn);
    pthread_mutex_unlock(&db->sequence_mutex);
    return st;
}

static enum plinth_status set_paused(struct plinth *db, enum plinth_job_kind kind, bool paused,
                                     struct plinth_error *error) {
    error_clear(error);
    uint64_t lsn = 0;
    if ((unsigned)kind >= KINDS || !(JOBS_PAUSABLE & 1u << kind))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "jobs of kind %s cannot be paused",
                         plinth_job_kind_name(kind));
    enum plinth_status st = engine_check(db, error);
    if (st) return st;
    pthread_mutex_lock(&db->jobs->pause_mutex);
    st = append_paused(db, kind, paused, &lsn, error);
    if (!st) {
        if (paused)
            atomic_fetch_or(&db->jobs->paused, 1u << kind);
        else
            atomic_fetch_and(&db->jobs->paused, ~(1u << kind));
        if (kind == PLINTH_JOB_COMPACTION) compaction_pause(db, paused);
    }
    pthread_mutex_unlock(&db->jobs->pause_mutex);
    if (!st && lsn) st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (!st && lsn) log_event(LOG_INFO, paused ? "jobs_paused" : "jobs_resumed", "kind=%s", plinth_job_kind_name(kind));
    if (!paused) engine_want_compaction(db);
    engine_pace_writers(db);
    return st;
}

enum plinth_status plinth_jobs_pause(struct plinth *db, enum plinth_job_kind kind, struct plinth_error *error) {
    return set_paused(db, kind, true, error);
}

enum plinth_status plinth_jobs_resume(struct plinth *db, enum plinth_job_kind kind, struct plinth_error *error) {
    return set_paused(db, kind, false, error);
}

enum plinth_status plinth_jobs_cancel(struct plinth *db, uint64_t id, struct plinth_error *error) {
    error_clear(error);
    bool found = false;
    pthread_mutex_lock(&db->jobs->mutex);
    for (struct job_entry *entry = db->jobs->running; entry && !found; entry = entry->next) {
        found = entry->id == id;
        if (found && entry->kind != PLINTH_JOB_VERIFY && entry->kind != PLINTH_JOB_INDEX_BUILD) {
            pthread_mutex_unlock(&db->jobs->mutex);
            return error_set(error, PLINTH_INVALID_ARGUMENT, "jobs of kind %s cannot be cancelled",
                             plinth_job_kind_name(entry->kind));
        }
        if (found) atomic_store(&entry->cancelled, true);
    }
    pthread_mutex_unlock(&db->jobs->mutex);
    if (!found && id && id % 2 == 0) found = compaction_cancel(db, id / 2);
    return found ? PLINTH_OK : error_set(error, PLINTH_NOT_FOUND, "there is no job %llu", (unsigned long long)id);
}
