/* What range deletes leave to do: segments that they hide wholly are dropped without being read; where many hide parts
 * of segments, these are rewritten, so that the range deletes can go. A few may stay: merges apply them by the way. */
#include "engine/compaction_ranges.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/compaction_take.h"
#include "engine/compaction_whole.h"
#include "engine/table_ddl.h"

enum { RANGES_KEPT_MAX = 1024 }; /* of a table; more cost memory, and time in every read */

/* What is to be done in a group: segments of each run, or of one. */
struct range_work {
    struct step_part *parts; /* by run of the group */
    size_t run;              /* rewriting: the one run */
    bool rewrites;
    bool any;
};

/* Segments that are hidden wholly. */
static void find_covered(const struct group *group, uint64_t horizon_lsn, struct range_work *work) {
    for (size_t r = group->begin; r < group->end; r++) {
        struct step_part *part = &work->parts[r - group->begin];
        part->count = ranges_find_covered(group->table->ranges, group->table->runs[r].run, horizon_lsn, &part->first);
        work->any |= part->count != 0;
    }
}

static bool is_to_be_rewritten(const struct range_set *set, const struct segment_info *info, uint64_t horizon_lsn) {
    for (size_t i = 0; i < range_set_count(set); i++) {
        const struct deleted_range *range = range_set_at(set, i);
        if (range->lsn <= horizon_lsn && range_is_needed(range, info)) return true;
    }
    return false;
}

/* The first neighbours of a run that range deletes at or below the horizon hide in part, as many as make a step. */
static void find_rewritable(const struct plinth *db, const struct group *group, uint64_t horizon_lsn,
                            struct range_work *work) {
    const struct range_set *set = group->table->ranges;
    for (size_t r = group->begin; r < group->end && !work->any; r++) {
        const struct run *run = group->table->runs[r].run;
        struct step_part *part = &work->parts[r - group->begin];
        uint64_t bytes = 0;
        for (size_t s = 0; s < run_segment_count(run); s++) {
            const struct segment_info *info = segment_info(run_segment(run, s));
            bool wanted = is_to_be_rewritten(set, info, horizon_lsn);
            if (part->count && (!wanted || bytes + info->bytes > compaction_step_bytes(db))) break;
            if (!wanted) continue;
            if (!part->count++) part->first = s;
            bytes += info->bytes;
        }
        work->run = r;
        work->rewrites = work->any = part->count != 0;
    }
}

/* False when memory is out. `work->parts` is the caller's to free. */
static bool find_work(const struct plinth *db, const struct group *group, uint64_t horizon_lsn,
                      struct range_work *work) {
    *work = (struct range_work){0};
    if (!group->table->ranges) return true;
    work->parts = calloc(group->end - group->begin, sizeof *work->parts);
    if (!work->parts) return false;
    find_covered(group, horizon_lsn, work);
    if (!work->any && range_set_count(group->table->ranges) > RANGES_KEPT_MAX)
        find_rewritable(db, group, horizon_lsn, work);
    return true;
}

static enum plinth_status make_merge(struct plinth *db, struct view *view, const struct group *group,
                                     const struct range_work *work, struct plan *plan, struct merge *merge,
                                     struct plinth_error *error) {
    if (!work->rewrites) {
        enum plinth_status st = plan_make_merge(db, view, group, group->begin, group->end - group->begin, work->parts,
                                                NULL, plan, merge, error);
        merge->is_covered = true;
        merge->is_all = false;
        return st;
    }
    const struct run *run = group->table->runs[work->run].run;
    const struct step_part *part = &work->parts[work->run - group->begin];
    const struct segment_info *first = segment_info(run_segment(run, part->first)),
                              *last = segment_info(run_segment(run, part->first + part->count - 1));
    struct step_range range = {buffer_slice(&first->key_min), buffer_slice(&last->key_max)};
    enum plinth_status st = plan_make_merge(db, view, group, work->run, 1, part, &range, plan, merge, error);
    merge->level = group->table->runs[work->run].level; /* it is as old as it was */
    return st;
}

/* Does what there is to do in a group once nothing else is under way in it. compaction_mutex is held. */
static enum plinth_status apply_to_group(struct plinth *db, const struct group *of, bool *done,
                                         struct plinth_error *error) {
    struct plan *plan = compaction_begin_exclusive(db, of, false, "hidden by range deletes");
    if (!plan) return error_no_memory(error, "compaction");
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct group group;
    struct range_work work = {0};
    struct merge merge = {0};
    enum plinth_status st = PLINTH_OK;
    if (group_find(view, plan, &group) && !find_work(db, &group, horizon_lsn, &work))
        st = error_no_memory(error, "compaction");
    if (!st && work.any) {
        st = make_merge(db, view, &group, &work, plan, &merge, error);
        merge.horizon_lsn = horizon_lsn;
        if (!st) st = merge_run(&merge, error);
        *done = !st;
        merge_deinit(&merge);
    }
    free(work.parts);
    view_unref(view);
    struct table_id table = plan->table;
    compaction_end_exclusive(db, plan);
    if (st != PLINTH_CANCELLED || engine_table_exists(db, table)) return st;
    error_clear(error); /* dropped meanwhile: nothing is to be done */
    return PLINTH_OK;
}

enum plinth_status compaction_apply_ranges(struct plinth *db, bool *done, struct plinth_error *error) {
    *done = false;
    struct view *view = view_current(&db->views);
    enum plinth_status st = PLINTH_OK;
    uint64_t horizon_lsn = view->has_ranges ? engine_peek_horizon(db) : 0;
    for (struct group group = {0}; !st && !*done && view->has_ranges && group_next(view, &group);) {
        struct range_work work;
        if (!find_work(db, &group, horizon_lsn, &work)) st = error_no_memory(error, "compaction");
        free(work.parts);
        if (st || !work.any) continue;
        pthread_mutex_lock(&db->compaction_mutex);
        st = apply_to_group(db, &group, done, error);
        pthread_mutex_unlock(&db->compaction_mutex);
    }
    view_unref(view);
    return st;
}
