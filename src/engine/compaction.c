#include "engine/compaction.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/compaction_ranges.h"
#include "engine/compaction_take.h"
#include "engine/compaction_whole.h"
#include "engine/job_list.h"
#include "engine/table_ddl.h"

#define HOLD_FAILED_NS (500ull * 1000 * 1000)
#define HOLD_FAILED_NS_MAX (60ull * 1000 * 1000 * 1000)

/* ---- choosing ---- */

/* The group with the most runs to merge among those that no plan has; choice->count is 0 when there is none. The mutex
 * is held. */
static struct group choose_group(struct plinth *db, const struct view *view, uint64_t horizon_lsn,
                                 struct compaction_choice *choice, uint64_t *bytes) {
    struct group group = {0}, best = {0};
    uint64_t time_us = engine_time_us(db);
    *choice = (struct compaction_choice){0};
    *bytes = 0;
    while (group_next(view, &group)) {
        struct compaction_run *runs;
        struct compaction_group described;
        if (!group_describe(db, view, &group, time_us, horizon_lsn, &runs, &described))
            continue; /* the next round sees it */
        struct compaction_choice candidate = compaction_choose(&compaction_policy_default, &described);
        if (candidate.count > choice->count) {
            *choice = candidate;
            best = group;
            *bytes = 0;
            for (size_t i = 0; i < candidate.count; i++) *bytes += runs[candidate.first + i].bytes;
        }
        free(runs);
    }
    return best;
}

/* Takes a step of a plan that is there. The mutex is held. */
static enum plinth_status take_planned(struct plinth *db, struct view *view, struct work *work,
                                       struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t now = env_monotonic_ns(db->env);
    for (struct plan *plan = db->compaction->plans, *next; !st && plan && !work->step; plan = next) {
        next = plan->next;
        if (plan->is_exclusive || plan->held_until_ns > now) continue;
        if (plan->held_until_ns && !plan->steps) {
            atomic_store(&plan->cancelled, false);
            plan->held_until_ns = 0;
        }
        bool shut = false; /* something takes all of the group */
        for (const struct plan *other = db->compaction->plans; other; other = other->next)
            shut |=
                other->is_exclusive && table_id_compare(other->table, plan->table) == 0 &&
                partition_compare(other->has_partition, other->partition, plan->has_partition, plan->partition) == 0;
        if (!shut) st = plan_take_step(db, view, plan, work, error);
    }
    return st;
}

static enum plinth_status take_new(struct plinth *db, struct view *view, const struct group *group,
                                   const struct compaction_choice *choice, struct work *work,
                                   struct plinth_error *error) {
    struct plan *plan = plan_create(db, group->table->id, group_run(group), group_run(group) + choice->first,
                                    choice->count, compaction_reason_text(choice->reason));
    if (!plan) return error_no_memory(error, "compaction");
    plan->is_lasting = choice->reason == COMPACTION_CLOSED;
    plan->is_purging = choice->reason == COMPACTION_DELETES;
    plan_append(db->compaction, plan);
    return plan_take_step(db, view, plan, work, error);
}

/* Small merges first, for they come in every few seconds; then plans that have begun; then new ones. work->step is null
 * when there is nothing to do. */
static enum plinth_status take_work(struct plinth *db, struct work *work, struct plinth_error *error) {
    struct compaction *compaction = db->compaction;
    struct compaction_choice choice;
    uint64_t bytes;
    *work = (struct work){0};
    uint64_t horizon_lsn = engine_peek_horizon(db);
    pthread_mutex_lock(&compaction->mutex);
    compaction_take_sample(db);
    struct view *view = view_current(&db->views);
    enum plinth_status st = PLINTH_OK;
    if (!compaction->paused) {
        struct group group = choose_group(db, view, horizon_lsn, &choice, &bytes);
        bool small = bytes <= compaction_policy_default.small_bytes;
        if (choice.count && small) st = take_new(db, view, &group, &choice, work, error);
        if (!st && !work->step) st = take_planned(db, view, work, error);
        if (!st && !work->step && choice.count && !small) st = take_new(db, view, &group, &choice, work, error);
    }
    pthread_mutex_unlock(&compaction->mutex);
    if (work->step)
        work->view = view;
    else
        view_unref(view);
    return st;
}

static void end_work(struct plinth *db, struct work *work, enum plinth_status st) {
    struct compaction *compaction = db->compaction;
    merge_deinit(&work->merge);
    view_unref(work->view);
    pthread_mutex_lock(&compaction->mutex);
    step_end(work->plan, work->step);
    struct plan *plan = work->plan;
    if (!st) {
        plan->failures = 0;
        if (plan->run_count == 1) plan_remove(compaction, plan);
    } else if (!atomic_load(&plan->cancelled)) {
        uint64_t hold = HOLD_FAILED_NS << (plan->failures < 8 ? plan->failures : 8);
        plan->failures++;
        plan->held_until_ns = env_monotonic_ns(db->env) + (hold < HOLD_FAILED_NS_MAX ? hold : HOLD_FAILED_NS_MAX);
    }
    pthread_cond_broadcast(&compaction->step_ended);
    pthread_mutex_unlock(&compaction->mutex);
}

/* ---- one thing after the other ---- */

/* Whether the merge's runs are all that its table has in the view. */
static bool has_just_these(const struct view *view, const struct merge *merge) {
    const struct view_table *table = view_find_table(view, merge->table);
    bool same = table && table->run_count == merge->count;
    for (size_t i = 0; same && i < merge->count; i++) same = table->runs[i].run == merge->inputs[i].run;
    return same;
}

static enum plinth_status run_step(struct plinth *db, bool *merged, struct plinth_error *error) {
    struct work work;
    enum plinth_status st = take_work(db, &work, error);
    *merged = false;
    if (st || !work.step) return st;
    struct table_id table = work.merge.table;
    /* Index entries are looked up in a view that has every row up to the horizon. */
    work.merge.horizon_lsn = engine_take_horizon(db);
    struct view *newer = view_current(&db->views);
    work.merge.view = newer;
    work.merge.is_all &= has_just_these(newer, &work.merge);
    st = merge_run(&work.merge, error);
    view_unref(newer);
    bool cancelled = st == PLINTH_CANCELLED && atomic_load(&work.plan->cancelled);
    end_work(db, &work, st);
    *merged = !st;
    if (st != PLINTH_CANCELLED || (engine_table_exists(db, table) && !cancelled)) return st;
    error_clear(error); /* dropped meanwhile, or not wanted: nothing is to be done */
    return PLINTH_OK;
}

enum plinth_status engine_compact_one(struct plinth *db, bool *merged, struct plinth_error *error) {
    *merged = false;
    enum plinth_status st = PLINTH_OK;
    if (!job_is_paused(db, PLINTH_JOB_RETENTION) && engine_retention_is_due(db)) {
        pthread_mutex_lock(&db->compaction_mutex);
        st = compaction_drop_expired(db, merged, error);
        pthread_mutex_unlock(&db->compaction_mutex);
    }
    if (!st && !*merged && !compaction_is_paused(db)) st = compaction_apply_ranges(db, merged, error);
    return st || *merged ? st : run_step(db, merged, error);
}
