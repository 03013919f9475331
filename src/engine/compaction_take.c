#include "engine/compaction_take.h"

#include <stdlib.h>

#include "base/status.h"

enum {
    MOVE_BYTES_MIN = 4 << 20, /* smaller segments are worth rewriting into larger ones */
    CUT_PART = 256,           /* segments are not cut smaller than this part of a step */
    CUTS_MAX = 1024,
};

/* ---- a merge ---- */

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

uint64_t compaction_step_bytes(const struct plinth *db) {
    return db->sizes.step_bytes ? db->sizes.step_bytes : db->memory.plan.step_bytes;
}

/* Chooses where the merge's segments end, by the runs behind it. */
static enum plinth_status cut_merge(struct plinth *db, struct merge *merge, const struct view_run *behind, size_t count,
                                    const struct step_range *range, uint64_t bytes, struct plinth_error *error) {
    struct step_run *runs = calloc(count + 1, sizeof *runs);
    merge->cuts = calloc(CUTS_MAX, sizeof *merge->cuts);
    bool ok = runs && merge->cuts;
    for (size_t i = 0; ok && i < count; i++)
        ok = fill_run(&runs[i], calloc(run_segment_count(behind[i].run), sizeof(struct step_segment)), &behind[i], 0);
    if (ok)
        merge->cut_count = compaction_step_cut(runs, count, range, bytes, compaction_step_bytes(db) / 2,
                                               compaction_step_bytes(db) / CUT_PART, merge->cuts, CUTS_MAX);
    for (size_t i = 0; runs && i < count; i++) free((void *)runs[i].segments);
    free(runs);
    return ok ? PLINTH_OK : error_no_memory(error, "compaction");
}

enum plinth_status plan_make_merge(struct plinth *db, struct view *view, const struct group *group, size_t first,
                                   size_t count, const struct step_part *parts, const struct step_range *range,
                                   struct plan *plan, struct merge *merge, struct plinth_error *error) {
    const struct view_table *table = group->table;
    *merge = (struct merge){.db = db,
                            .view = view,
                            .table = plan->table,
                            .has_partition = plan->has_partition,
                            .partition = plan->partition,
                            .why = plan->why,
                            .is_lasting = plan->is_lasting,
                            .is_purging = plan->is_purging,
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

enum plinth_status plan_take_step(struct plinth *db, struct view *view, struct plan *plan, struct work *work,
                                  struct plinth_error *error) {
    struct group group;
    size_t first = 0, count = group_find(view, plan, &group) ? find_runs(plan, &group, &first) : 0;
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
        found = compaction_step_choose(input.runs, count, input.busy, input.busy_count, compaction_step_bytes(db),
                                       input.parts, &step);
    }
    if (found) {
        st = plan_make_merge(db, view, &group, first, count, input.parts, &step.range, plan, &work->merge, error);
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
