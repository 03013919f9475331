#include "engine/compaction.h"

#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/compact.h"
#include "engine/compaction_policy.h"
#include "engine/compaction_step.h"
#include "engine/job_list.h"
#include "engine/table_ddl.h"

enum {
    STEP_BYTES = 256 << 20,
    MOVE_BYTES_MIN = 4 << 20, /* smaller segments are worth rewriting into larger ones */
    CUT_PART = 256,           /* segments are not cut smaller than this part of a step */
    CUTS_MAX = 1024,
    QUIET_SAMPLES = 64,
};
#define QUIET_SAMPLE_NS (60ull * 1000 * 1000 * 1000)
#define HOLD_CANCELLED_NS (600ull * 1000 * 1000 * 1000)
#define HOLD_FAILED_NS (500ull * 1000 * 1000)
#define HOLD_FAILED_NS_MAX (60ull * 1000 * 1000 * 1000)

/* ---- state ---- */

/* A step under way. */
struct plan_step {
    struct plan_step *next;
    struct buffer key_min, key_max;
};

struct plan {
    struct plan *next;
    uint64_t id;
    struct table_id table;
    bool has_partition;
    int64_t partition;
    bool is_retention;
    bool is_exclusive; /* takes all of its group, in one merge that compaction_mutex has room for */
    uint64_t *runs;    /* ids, newest first */
    size_t run_count;
    const char *why;
    struct plan_step *steps;
    unsigned failures;
    uint64_t held_until_ns;
    uint64_t rows, started_us;
    atomic_ullong rows_done;
    atomic_bool cancelled;
};

struct quiet_sample {
    uint64_t ns, lsn;
};

struct compaction {
    pthread_mutex_t mutex;
    pthread_cond_t step_ended;
    struct plan *plans; /* oldest first */
    uint64_t next_plan;
    bool paused;
    /* Which LSNs are how old; newest first. */
    struct quiet_sample samples[QUIET_SAMPLES];
    size_t sample_count;
};

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

static void plan_remove(struct compaction *compaction, struct plan *plan) {
    struct plan **link = &compaction->plans;
    while (*link != plan) link = &(*link)->next;
    *link = plan->next;
    plan_free(plan);
}

static void plan_append(struct compaction *compaction, struct plan *plan) {
    struct plan **link = &compaction->plans;
    while (*link) link = &(*link)->next;
    plan->id = compaction->next_plan++;
    *link = plan;
}

/* ---- groups ---- */

/* Runs of one partition of a table, or of all of a table without partitions. */
struct group {
    const struct view_table *table;
    size_t begin, end;
};

/* The group behind `group`, or the first one of the view for {0}. Tables that are in the view only because they had
 * runs have none. */
static bool next_group(const struct view *view, struct group *group) {
    const struct view_table *table = group->table ? group->table : view->tables;
    size_t begin = group->end;
    while (table < view->tables + view->table_count && begin == table->run_count) {
        table++;
        begin = 0;
    }
    if (table == view->tables + view->table_count) return false;
    *group = (struct group){table, begin, view_partition_end(table, begin)};
    return true;
}

static const struct view_run *group_run(const struct group *group) { return &group->table->runs[group->begin]; }

static bool is_of_group(const struct plan *plan, const struct group *group) {
    const struct view_run *run = group_run(group);
    return table_id_compare(plan->table, group->table->id) == 0 &&
           partition_compare(plan->has_partition, plan->partition, run->has_partition, run->partition) == 0;
}

/* The group of a plan; false when it has no runs any more. */
static bool find_group(const struct view *view, const struct plan *plan, struct group *group) {
    const struct view_table *table = view_find_table(view, plan->table);
    size_t begin = view_partition_begin(table, plan->has_partition, plan->partition);
    if (!table || begin == table->run_count) return false;
    *group = (struct group){table, begin, view_partition_end(table, begin)};
    return is_of_group(plan, group);
}

static bool plan_has_run(const struct plan *plan, uint64_t id) {
    for (size_t i = 0; i < plan->run_count; i++)
        if (plan->runs[i] == id) return true;
    return false;
}

/* Rows that deletes and newer versions hide for good in segments that no snapshot holds back. */
static uint64_t purgeable_rows(const struct run *run, uint64_t horizon_lsn) {
    uint64_t rows = 0;
    for (size_t s = 0; s < run_segment_count(run); s++) {
        const struct segment_info *info = segment_info(run_segment(run, s));
        if (info->lsn_max <= horizon_lsn) rows += info->superseded + info->deletes;
    }
    return rows;
}

static uint64_t deleted_rows(const struct run *run) {
    uint64_t rows = 0;
    for (size_t s = 0; s < run_segment_count(run); s++) rows += segment_info(run_segment(run, s))->deletes;
    return rows;
}

static uint64_t table_rows(const struct view *view, struct table_id id, uint64_t horizon_lsn) {
    const struct view_table *table = view_find_table(view, id);
    uint64_t rows = 0;
    for (size_t i = 0; table && i < table->run_count; i++)
        rows += run_lsn_max(table->runs[i].run) <= horizon_lsn ? run_rows(table->runs[i].run) : UINT32_MAX;
    return rows;
}

/* What the policy has to know of a table besides its runs. */
struct group_nature {
    bool has_ended;
    struct table_id indexed; /* of an index; table 0: it is none */
    bool one_entry_a_row;
};

static bool has_ended(const struct table_schema *schema, int64_t partition, uint64_t time_us) {
    int64_t end;
    if (!schema->partition_us) return false;
    if (__builtin_add_overflow(partition, 1, &end) || __builtin_mul_overflow(end, (int64_t)schema->partition_us, &end))
        return partition < 0;
    return end <= (int64_t)time_us;
}

static struct group_nature nature_of(struct plinth *db, const struct group *group, uint64_t time_us) {
    struct group_nature nature = {0};
    const struct view_run *run = group_run(group);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_table *table = catalog_table_by_id(catalog, group->table->id.table);
    if (table && table->kind == CATALOG_ROWS && run->has_partition)
        nature.has_ended = has_ended(table->schema, run->partition, time_us);
    if (table && table->kind == CATALOG_INDEX) {
        const struct catalog_table *of = catalog_table_by_id(catalog, table->space);
        nature.indexed = (struct table_id){group->table->id.tenant, group->table->id.database, table->space};
        nature.one_entry_a_row = of && of->kind == CATALOG_ROWS;
    }
    pthread_rwlock_unlock(&db->catalog_lock);
    return nature;
}

/* How many of an index's entries must be dead: there are fewer rows. */
static uint64_t dead_entries(const struct view *view, const struct group *group, const struct group_nature *nature,
                             uint64_t horizon_lsn) {
    uint64_t entries = 0, rows = table_rows(view, nature->indexed, horizon_lsn);
    if (rows && !nature->one_entry_a_row) return 0;
    for (size_t i = group->begin; i < group->end; i++) {
        if (run_lsn_max(group->table->runs[i].run) > horizon_lsn) return 0;
        entries += run_rows(group->table->runs[i].run);
    }
    return entries > rows ? entries - rows : 0;
}

/* How long nothing has come into the group. The mutex is held. */
static uint64_t quiet_us(struct plinth *db, const struct group *group) {
    const struct compaction *compaction = db->compaction;
    uint64_t now = env_monotonic_ns(db->env), newest = 0;
    for (size_t i = group->begin; i < group->end; i++)
        if (group->table->runs[i].id > newest) newest = group->table->runs[i].id;
    uint64_t since = now;
    for (size_t i = 0; i < compaction->sample_count && compaction->samples[i].lsn >= newest; i++)
        since = compaction->samples[i].ns;
    return (now - since) / 1000;
}

static void take_sample(struct plinth *db) {
    struct compaction *compaction = db->compaction;
    uint64_t now = env_monotonic_ns(db->env);
    if (compaction->sample_count && now - compaction->samples[0].ns < QUIET_SAMPLE_NS) return;
    size_t kept = compaction->sample_count < QUIET_SAMPLES ? compaction->sample_count++ : QUIET_SAMPLES - 1;
    memmove(&compaction->samples[1], &compaction->samples[0], kept * sizeof compaction->samples[0]);
    compaction->samples[0] = (struct quiet_sample){now, engine_visible_lsn(db)};
}

/* The group as the policy sees it; false when memory is out. `runs` is the caller's to free. The mutex is held. */
static bool describe_group(struct plinth *db, const struct view *view, const struct group *group, uint64_t time_us,
                           uint64_t horizon_lsn, struct compaction_run **runs, struct compaction_group *described) {
    size_t count = group->end - group->begin;
    struct group_nature nature = nature_of(db, group, time_us);
    *runs = calloc(count, sizeof **runs);
    if (!*runs) return false;
    for (size_t i = 0; i < count; i++) {
        const struct view_run *from = &group->table->runs[group->begin + i];
        struct compaction_run *to = &(*runs)[i];
        *to = (struct compaction_run){.bytes = run_bytes(from->run),
                                      .rows = run_rows(from->run),
                                      .deletes = deleted_rows(from->run),
                                      .is_fresh = from->level == 0};
        for (const struct plan *plan = db->compaction->plans; plan && !to->is_busy; plan = plan->next)
            to->is_busy = is_of_group(plan, group) && (plan->is_exclusive || plan_has_run(plan, from->id));
    }
    struct compaction_run *oldest = &(*runs)[count - 1];
    oldest->purgeable = nature.indexed.table ? dead_entries(view, group, &nature, horizon_lsn)
                                             : purgeable_rows(group->table->runs[group->end - 1].run, horizon_lsn);
    *described = (struct compaction_group){
        .runs = *runs, .count = count, .has_ended = nature.has_ended, .quiet_us = quiet_us(db, group)};
    return true;
}

/* ---- plans ---- */

static struct plan *plan_create(struct plinth *db, const struct group *group, size_t first, size_t count,
                                const char *why) {
    const struct view_run *run = group_run(group);
    struct plan *plan = calloc(1, sizeof *plan);
    uint64_t *runs = calloc(count + 1, sizeof *runs);
    if (!plan || !runs) {
        free(plan);
        free(runs);
        return NULL;
    }
    *plan = (struct plan){.table = group->table->id,
                          .has_partition = run->has_partition,
                          .partition = run->partition,
                          .runs = runs,
                          .run_count = count,
                          .why = why,
                          .started_us = engine_time_us(db)};
    for (size_t i = 0; i < count; i++) {
        const struct view_run *taken = &group->table->runs[group->begin + first + i];
        runs[i] = taken->id;
        plan->rows += run_rows(taken->run);
    }
    return plan;
}

static bool fill_run(struct step_run *to, struct step_segment *segments, const struct view_run *run,
                     uint64_t move_bytes_min) {
    *to = (struct step_run){segments, run_segment_count(run->run)};
    for (size_t s = 0; segments && s < to->count; s++) {
        const struct segment_info *info = segment_info(run_segment(run->run, s));
        bool plain = run->level > 0 && !info->superseded && !info->deletes;
        segments[s] = (struct step_segment){buffer_slice(&info->key_min), buffer_slice(&info->key_max), info->bytes,
                                            plain && info->bytes >= move_bytes_min};
    }
    return segments != NULL;
}

static uint64_t step_bytes(const struct plinth *db) { return db->sizes.step_bytes ? db->sizes.step_bytes : STEP_BYTES; }

/* Chooses where the merge's segments end, by the runs behind it. */
static enum plinth_status cut_merge(struct plinth *db, struct merge *merge, const struct view_run *behind, size_t count,
                                    const struct step_range *range, uint64_t bytes, struct plinth_error *error) {
    struct step_run *runs = calloc(count + 1, sizeof *runs);
    merge->cuts = calloc(CUTS_MAX, sizeof *merge->cuts);
    bool ok = runs && merge->cuts;
    for (size_t i = 0; ok && i < count; i++)
        ok = fill_run(&runs[i], calloc(run_segment_count(behind[i].run), sizeof(struct step_segment)), &behind[i], 0);
    if (ok)
        merge->cut_count = compaction_step_cut(runs, count, range, bytes, step_bytes(db) / 2, step_bytes(db) / CUT_PART,
                                               merge->cuts, CUTS_MAX);
    for (size_t i = 0; runs && i < count; i++) free((void *)runs[i].segments);
    free(runs);
    return ok ? PLINTH_OK : error_no_memory(error, "compaction");
}

/* A merge of segments of the group's runs. `parts` are of `count` runs from position `first` of the table on. */
static enum plinth_status make_merge(struct plinth *db, struct view *view, const struct group *group, size_t first,
                                     size_t count, const struct step_part *parts, const struct step_range *range,
                                     struct plan *plan, struct merge *merge, struct plinth_error *error) {
    const struct view_table *table = group->table;
    *merge = (struct merge){.db = db,
                            .view = view,
                            .table = plan->table,
                            .has_partition = plan->has_partition,
                            .partition = plan->partition,
                            .why = plan->why,
                            .cancelled = &plan->cancelled,
                            .progress = &plan->rows_done,
                            .bottom = true,
                            .is_all = count == table->run_count,
                            .inputs = calloc(count, sizeof *merge->inputs)};
    if (!merge->inputs) return error_no_memory(error, "compaction");
    for (size_t i = 0; i < count; i++) {
        const struct view_run *run = &table->runs[first + i];
        const struct step_part part = parts ? parts[i] : (struct step_part){0, run_segment_count(run->run)};
        merge->is_all &= part.count == run_segment_count(run->run);
        if (run->level >= merge->level) merge->level = run->level + 1;
        if (part.count || i + 1 == count)
            merge->inputs[merge->count++] = (struct merge_input){.id = run->id, .run = run->run, .taken = part};
    }
    for (size_t r = first + count; r < group->end; r++) {
        const struct run *older = table->runs[r].run;
        for (size_t s = 0; s < run_segment_count(older) && merge->bottom; s++) {
            const struct segment_info *info = segment_info(run_segment(older, s));
            merge->bottom = range && (slice_compare(buffer_slice(&info->key_max), range->key_min) < 0 ||
                                      slice_compare(buffer_slice(&info->key_min), range->key_max) > 0);
        }
    }
    return PLINTH_OK;
}

/* ---- steps ---- */

/* A step that has been chosen. */
struct work {
    struct plan *plan;
    struct plan_step *step;
    struct view *view;
    struct merge merge;
};

/* The plan's runs that are left, which stand side by side: `*first` is the position of the newest in the table. */
static size_t find_runs(const struct plan *plan, const struct group *group, size_t *first) {
    size_t count = 0;
    for (size_t i = group->begin; i < group->end; i++) {
        if (!plan_has_run(plan, group->table->runs[i].id)) continue;
        if (!count++) *first = i;
    }
    return count;
}

/* Segments of runs as the choice of steps sees them. */
struct step_input {
    struct step_run *runs;
    struct step_segment *segments;
    struct step_part *parts;
    struct step_range *busy;
    size_t busy_count;
};

static void step_input_deinit(struct step_input *input) {
    free(input->runs);
    free(input->segments);
    free(input->parts);
    free(input->busy);
}

static bool step_input_init(struct plinth *db, struct step_input *input, const struct plan *plan,
                            const struct view_run *runs, size_t count) {
    size_t total = 0;
    uint64_t move_bytes_min = db->sizes.move_bytes_min ? db->sizes.move_bytes_min : MOVE_BYTES_MIN;
    *input = (struct step_input){0};
    for (size_t i = 0; i < count; i++) total += run_segment_count(runs[i].run);
    for (const struct plan_step *step = plan->steps; step; step = step->next) input->busy_count++;
    input->runs = calloc(count, sizeof *input->runs);
    input->segments = calloc(total + 1, sizeof *input->segments);
    input->parts = calloc(count, sizeof *input->parts);
    input->busy = calloc(input->busy_count + 1, sizeof *input->busy);
    if (!input->runs || !input->segments || !input->parts || !input->busy) return false;
    struct step_segment *to = input->segments;
    for (size_t i = 0; i < count; i++) {
        fill_run(&input->runs[i], to, &runs[i], move_bytes_min);
        to += input->runs[i].count;
    }
    size_t at = 0;
    for (const struct plan_step *step = plan->steps; step; step = step->next)
        input->busy[at++] = (struct step_range){buffer_slice(&step->key_min), buffer_slice(&step->key_max)};
    return true;
}

static struct plan_step *step_begin(struct plan *plan, const struct step_range *range) {
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

static void step_end(struct plan *plan, struct plan_step *step) {
    struct plan_step **link = &plan->steps;
    while (*link != step) link = &(*link)->next;
    *link = step->next;
    buffer_deinit(&step->key_min);
    buffer_deinit(&step->key_max);
    free(step);
}

/* Takes the next step of a plan, if there is one now; work->step is null otherwise. A plan that has none left goes. The
 * mutex is held. */
static enum plinth_status take_step(struct plinth *db, struct view *view, struct plan *plan, struct work *work,
                                    struct plinth_error *error) {
    struct group group;
    size_t first = 0, count = find_group(view, plan, &group) ? find_runs(plan, &group, &first) : 0;
    const bool rewrites = plan->run_count == 1;
    if (count < 2 && !(rewrites && count == 1)) {
        if (!plan->steps) plan_remove(db->compaction, plan);
        return PLINTH_OK;
    }
    if (rewrites && plan->steps) return PLINTH_OK;
    const struct view_run *runs = &group.table->runs[first];
    struct step_input input;
    struct compaction_step step = {0};
    enum plinth_status st =
        step_input_init(db, &input, plan, runs, count) ? PLINTH_OK : error_no_memory(error, "compaction");
    bool found = false;
    if (!st && rewrites) {
        const struct step_run *only = &input.runs[0];
        input.parts[0] = (struct step_part){0, only->count};
        step.range = (struct step_range){only->segments[0].key_min, only->segments[only->count - 1].key_max};
        found = true;
    } else if (!st) {
        found =
            compaction_step_choose(input.runs, count, input.busy, input.busy_count, step_bytes(db), input.parts, &step);
    }
    if (found) {
        st = make_merge(db, view, &group, first, count, input.parts, &step.range, plan, &work->merge, error);
        work->merge.is_move = step.is_move;
        if (!st && !step.is_move)
            st = cut_merge(db, &work->merge, group.table->runs + first + count, group.end - first - count, &step.range,
                           step.bytes, error);
        if (!st && !(work->step = step_begin(plan, &step.range))) st = error_no_memory(error, "compaction");
        if (st) merge_deinit(&work->merge);
        work->plan = plan;
    }
    step_input_deinit(&input);
    return st;
}

/* The group with the most runs to merge among those that no plan has; choice->count is 0 when there is none. The mutex
 * is held. */
static struct group choose_group(struct plinth *db, const struct view *view, uint64_t horizon_lsn,
                                 struct compaction_choice *choice, uint64_t *bytes) {
    struct group group = {0}, best = {0};
    uint64_t time_us = engine_time_us(db);
    *choice = (struct compaction_choice){0};
    *bytes = 0;
    while (next_group(view, &group)) {
        struct compaction_run *runs;
        struct compaction_group described;
        if (!describe_group(db, view, &group, time_us, horizon_lsn, &runs, &described))
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
        if (!shut) st = take_step(db, view, plan, work, error);
    }
    return st;
}

static enum plinth_status take_new(struct plinth *db, struct view *view, const struct group *group,
                                   const struct compaction_choice *choice, struct work *work,
                                   struct plinth_error *error) {
    struct plan *plan = plan_create(db, group, choice->first, choice->count, compaction_reason_text(choice->reason));
    if (!plan) return error_no_memory(error, "compaction");
    plan_append(db->compaction, plan);
    return take_step(db, view, plan, work, error);
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
    take_sample(db);
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

/* ---- everything of a group at once ---- */

/* Adds a plan for all of the group and waits until no step is under way in it; then those plans go. */
static struct plan *begin_exclusive(struct plinth *db, const struct group *group, bool drop) {
    struct compaction *compaction = db->compaction;
    struct plan *plan = plan_create(db, group, 0, 0, drop ? "older than the table keeps" : "asked for");
    if (!plan) return NULL;
    plan->is_exclusive = true;
    plan->is_retention = drop;
    pthread_mutex_lock(&compaction->mutex);
    plan_append(compaction, plan);
    for (bool waits = true; waits;) {
        waits = false;
        for (struct plan *other = compaction->plans, *next; other; other = next) {
            next = other->next;
            if (other == plan || !is_of_group(other, group)) continue;
            if (other->steps)
                waits = true;
            else
                plan_remove(compaction, other);
        }
        if (waits) pthread_cond_wait(&compaction->step_ended, &compaction->mutex);
    }
    pthread_mutex_unlock(&compaction->mutex);
    return plan;
}

static void end_exclusive(struct plinth *db, struct plan *plan) {
    pthread_mutex_lock(&db->compaction->mutex);
    plan_remove(db->compaction, plan);
    pthread_mutex_unlock(&db->compaction->mutex);
}

enum merge_purpose { MERGE_REWRITE, MERGE_DROP, MERGE_ASKED_FOR };

/* Merges (or drops) all runs of the group that there are. compaction_mutex is held. `*merged` is false when it is gone,
 * or a snapshot needs it. */
static enum plinth_status merge_all(struct plinth *db, const struct group *of, enum merge_purpose purpose, bool *merged,
                                    struct plinth_error *error) {
    const bool drop = purpose == MERGE_DROP;
    *merged = false;
    struct plan *plan = begin_exclusive(db, of, drop);
    if (!plan) return error_no_memory(error, "compaction");
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct group group;
    struct merge merge = {0};
    enum plinth_status st = PLINTH_OK;
    if (find_group(view, plan, &group)) {
        for (size_t i = group.begin; i < group.end; i++) plan->rows += run_rows(group.table->runs[i].run);
        st = make_merge(db, view, &group, group.begin, group.end - group.begin, NULL, NULL, plan, &merge, error);
        merge.is_dropping = drop;
        merge.is_thorough = purpose == MERGE_ASKED_FOR;
        merge.horizon_lsn = horizon_lsn;
        if (!st) st = merge_run(&merge, error);
        *merged = !st;
        merge_deinit(&merge);
    }
    view_unref(view);
    struct table_id table = plan->table;
    end_exclusive(db, plan);
    if (st != PLINTH_CANCELLED || (engine_table_exists(db, table) && !drop)) return st;
    error_clear(error); /* dropped meanwhile, or needed: nothing is to be done */
    return PLINTH_OK;
}

/* ---- retention ---- */

static bool group_is_expired(struct plinth *db, const struct group *group, uint64_t time_us) {
    const struct view_run *run = group_run(group);
    if (!run->has_partition) return false;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, group->table->id.table);
    bool expired = table && table->kind == CATALOG_ROWS && partition_is_expired(table->schema, run->partition, time_us);
    pthread_rwlock_unlock(&db->catalog_lock);
    return expired;
}

/* The first expired group; false when there is none. */
static bool find_expired(struct plinth *db, const struct view *view, uint64_t time_us, struct group *group) {
    *group = (struct group){0};
    while (next_group(view, group))
        if (group_is_expired(db, group, time_us)) return true;
    return false;
}

static bool has_snapshots(struct plinth *db) {
    pthread_mutex_lock(&db->snapshot_mutex);
    bool any = db->snapshot_count != 0;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return any;
}

bool engine_retention_is_due(struct plinth *db) {
    struct view *view = view_current(&db->views);
    struct group group;
    bool due = find_expired(db, view, engine_retention_time_us(db, engine_time_us(db)), &group) && !has_snapshots(db);
    view_unref(view);
    return due;
}

/* What expires does so by shard time, which stands still while nothing is written: then a tick carries it on. */
static enum plinth_status advance_shard_time(struct plinth *db, uint64_t *time_us, struct plinth_error *error) {
    uint64_t lsn;
    struct decision decision;
    enum plinth_status st = engine_append(db, CHANGE_TICK, slice_of(NULL, 0), &lsn, &decision, error);
    pthread_mutex_lock(&db->sequence_mutex);
    *time_us = db->shard.time_us;
    pthread_mutex_unlock(&db->sequence_mutex);
    return st;
}

/* Drops the first expired partition, unless a snapshot needs it. Entries of its rows in indexes are dead from then on.
 * compaction_mutex is held. */
static enum plinth_status drop_expired(struct plinth *db, bool *dropped, struct plinth_error *error) {
    *dropped = false;
    if (!engine_retention_is_due(db)) return PLINTH_OK;
    uint64_t time_us;
    struct group group;
    enum plinth_status st = advance_shard_time(db, &time_us, error);
    if (st) return st;
    struct view *view = view_current(&db->views);
    if (find_expired(db, view, engine_retention_time_us(db, time_us), &group))
        st = merge_all(db, &group, MERGE_DROP, dropped, error);
    view_unref(view);
    return st;
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
        st = drop_expired(db, merged, error);
        pthread_mutex_unlock(&db->compaction_mutex);
    }
    return st || *merged ? st : run_step(db, merged, error);
}

/* ---- everything ---- */

/* Whether merging all runs of the group would change anything but its age. */
static bool is_compact(struct plinth *db, const struct group *group) {
    const struct view_run *run = group_run(group);
    if (group->end - group->begin != 1 || run->level == 0) return false;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *found = catalog_table_by_id(&db->shard.catalog, group->table->id.table);
    bool index = found && found->kind == CATALOG_INDEX; /* how many of its entries are dead, only a merge can tell */
    pthread_rwlock_unlock(&db->catalog_lock);
    uint64_t dead = 0;
    for (size_t s = 0; s < run_segment_count(run->run); s++) {
        const struct segment_info *info = segment_info(run_segment(run->run, s));
        dead += info->superseded + info->deletes;
    }
    return !index && dead == 0;
}

/* A place in the order of groups. */
struct group_place {
    struct table_id table;
    bool has_partition;
    int64_t partition;
};

static bool is_behind(const struct group *group, const struct group_place *done) {
    const struct view_run *run = group_run(group);
    int order = table_id_compare(group->table->id, done->table);
    if (!order) order = partition_compare(run->has_partition, run->partition, done->has_partition, done->partition);
    return order > 0;
}

/* Merges the first group behind `done`, of one table or (null) of any that is not compact, and moves that on; `*more`
 * is false when there is none. */
static enum plinth_status merge_next(struct plinth *db, struct group_place *done, const struct table_id *only,
                                     bool *more, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    struct view *view = view_current(&db->views);
    struct group group = {0};
    bool wanted = false;
    while (!wanted && (*more = next_group(view, &group)))
        wanted =
            is_behind(&group, done) && (only ? table_id_compare(group.table->id, *only) == 0 : !is_compact(db, &group));
    if (*more) {
        const struct view_run *run = group_run(&group);
        *done = (struct group_place){group.table->id, run->has_partition, run->partition};
        bool merged;
        st = merge_all(db, &group, only ? MERGE_REWRITE : MERGE_ASKED_FOR, &merged, error);
    }
    view_unref(view);
    return st;
}

enum plinth_status engine_compact_all(struct plinth *db, struct plinth_error *error) {
    /* Group by group from the present views, as each merge makes a new one. Tables come before their indexes (ids
     * grow), so that index entries are checked against merged rows. */
    struct group_place done = {.has_partition = false};
    bool more = true;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    for (bool dropped = true; !st && dropped;) st = drop_expired(db, &dropped, error);
    while (!st && more) st = merge_next(db, &done, NULL, &more, error);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

enum plinth_status engine_rewrite_table(struct plinth *db, struct table_id table, struct plinth_error *error) {
    struct group_place done = {.has_partition = false};
    bool more = true;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    while (!st && more) st = merge_next(db, &done, &table, &more, error);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

/* ---- for people ---- */

void compaction_measure(struct plinth *db, struct compaction_load *load) {
    *load = (struct compaction_load){0};
    uint64_t horizon_lsn = engine_peek_horizon(db);
    pthread_mutex_lock(&db->compaction->mutex);
    struct view *view = view_current(&db->views);
    uint64_t time_us = engine_time_us(db);
    for (struct group group = {0}; next_group(view, &group);) {
        struct compaction_run *runs;
        struct compaction_group described;
        if (!describe_group(db, view, &group, time_us, horizon_lsn, &runs, &described)) continue;
        uint64_t debt = compaction_debt(&compaction_policy_default, &described);
        load->debt_bytes += debt;
        load->groups += debt != 0;
        if (described.count > load->runs_most) load->runs_most = described.count;
        free(runs);
    }
    view_unref(view);
    pthread_mutex_unlock(&db->compaction->mutex);
}

uint64_t engine_compactions_pending(struct plinth *db) {
    struct compaction_load load;
    compaction_measure(db, &load);
    return load.groups;
}

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
