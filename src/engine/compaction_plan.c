#include "engine/compaction_plan.h"

#include <stdlib.h>

#include "base/status.h"

#define HOLD_CANCELLED_NS (600ull * 1000 * 1000 * 1000)

/* ---- state ---- */

enum plinth_status compaction_create(struct plinth *db, struct compaction **compaction, struct plinth_error *error) {
    *compaction = calloc(1, sizeof **compaction);
    if (!*compaction) return error_no_memory(error, "compaction");
    pthread_mutex_init(&(*compaction)->mutex, NULL);
    condition_init(&(*compaction)->step_ended);
    (*compaction)->next_plan = 1;
    (*compaction)->samples[0] = (struct quiet_sample){env_monotonic_ns(db->env), UINT64_MAX};
    return PLINTH_OK;
}

static void plan_free(struct plan *plan) {
    free(plan->runs);
    free(plan);
}

void compaction_destroy(struct compaction *compaction) {
    if (!compaction) return;
    while (compaction->plans) {
        struct plan *plan = compaction->plans;
        compaction->plans = plan->next;
        plan_free(plan);
    }
    pthread_mutex_destroy(&compaction->mutex);
    pthread_cond_destroy(&compaction->step_ended);
    free(compaction);
}

void plan_remove(struct compaction *compaction, struct plan *plan) {
    struct plan **link = &compaction->plans;
    while (*link != plan) link = &(*link)->next;
    *link = plan->next;
    plan_free(plan);
}

void plan_append(struct compaction *compaction, struct plan *plan) {
    struct plan **link = &compaction->plans;
    while (*link) link = &(*link)->next;
    plan->id = compaction->next_plan++;
    *link = plan;
}

struct plan *plan_create(struct plinth *db, struct table_id table, const struct view_run *of,
                         const struct view_run *taken, size_t count, const char *why) {
    struct plan *plan = calloc(1, sizeof *plan);
    uint64_t *runs = calloc(count + 1, sizeof *runs);
    if (!plan || !runs) {
        free(plan);
        free(runs);
        return NULL;
    }
    *plan = (struct plan){.table = table,
                          .has_partition = of->has_partition,
                          .partition = of->partition,
                          .runs = runs,
                          .run_count = count,
                          .why = why,
                          .started_us = engine_time_us(db)};
    for (size_t i = 0; i < count; i++) {
        runs[i] = taken[i].id;
        plan->rows += run_rows(taken[i].run);
    }
    return plan;
}

bool plan_has_run(const struct plan *plan, uint64_t id) {
    for (size_t i = 0; i < plan->run_count; i++)
        if (plan->runs[i] == id) return true;
    return false;
}

struct plan_step *step_begin(struct plan *plan, const struct step_range *range) {
    struct plan_step *step = calloc(1, sizeof *step);
    if (step && buffer_append(&step->key_min, range->key_min.data, range->key_min.size) &&
        buffer_append(&step->key_max, range->key_max.data, range->key_max.size)) {
        step->next = plan->steps;
        plan->steps = step;
        return step;
    }
    if (step) {
        buffer_deinit(&step->key_min);
        buffer_deinit(&step->key_max);
    }
    free(step);
    return NULL;
}

void step_end(struct plan *plan, struct plan_step *step) {
    struct plan_step **link = &plan->steps;
    while (*link != step) link = &(*link)->next;
    *link = step->next;
    buffer_deinit(&step->key_min);
    buffer_deinit(&step->key_max);
    free(step);
}

/* ---- for people ---- */

void compaction_visit_plans(struct plinth *db, compaction_plan_visitor *visit, void *context) {
    uint64_t now = env_monotonic_ns(db->env);
    pthread_mutex_lock(&db->compaction->mutex);
    for (const struct plan *plan = db->compaction->plans; plan; plan = plan->next) {
        struct compaction_plan_info info = {.id = plan->id,
                                            .table = plan->table,
                                            .has_partition = plan->has_partition,
                                            .partition = plan->partition,
                                            .why = plan->why,
                                            .steps = plan->is_exclusive,
                                            .is_retention = plan->is_retention,
                                            .failures = plan->failures,
                                            .is_held = plan->held_until_ns > now,
                                            .rows = plan->rows,
                                            .rows_done = atomic_load(&plan->rows_done),
                                            .started_us = plan->started_us};
        for (const struct plan_step *step = plan->steps; step; step = step->next) info.steps++;
        visit(context, &info);
    }
    pthread_mutex_unlock(&db->compaction->mutex);
}

bool compaction_cancel(struct plinth *db, uint64_t id) {
    bool found = false;
    pthread_mutex_lock(&db->compaction->mutex);
    for (struct plan *plan = db->compaction->plans; plan; plan = plan->next) {
        if (plan->id != id) continue;
        found = true;
        plan->held_until_ns = env_monotonic_ns(db->env) + HOLD_CANCELLED_NS;
        atomic_store(&plan->cancelled, true);
    }
    pthread_mutex_unlock(&db->compaction->mutex);
    return found;
}

bool compaction_wait_step(struct plinth *db, uint64_t timeout_us) {
    bool any = false;
    pthread_mutex_lock(&db->compaction->mutex);
    for (const struct plan *plan = db->compaction->plans; plan; plan = plan->next)
        any |= plan->steps || plan->is_exclusive;
    if (any) condition_wait_us(&db->compaction->step_ended, &db->compaction->mutex, timeout_us);
    pthread_mutex_unlock(&db->compaction->mutex);
    return any;
}

void compaction_pause(struct plinth *db, bool paused) {
    pthread_mutex_lock(&db->compaction->mutex);
    db->compaction->paused = paused;
    pthread_mutex_unlock(&db->compaction->mutex);
    if (!paused) engine_want_compaction(db);
}

bool compaction_is_paused(struct plinth *db) {
    pthread_mutex_lock(&db->compaction->mutex);
    bool paused = db->compaction->paused;
    pthread_mutex_unlock(&db->compaction->mutex);
    return paused;
}
