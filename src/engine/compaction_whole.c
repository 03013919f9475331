#include "engine/compaction_whole.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/compaction_take.h"
#include "engine/expired_runs.h"
#include "engine/rows.h"
#include "engine/table_ddl.h"

/* ---- everything of a group at once ---- */

struct plan *compaction_begin_exclusive(struct plinth *db, const struct group *group, bool drop, const char *why) {
    struct compaction *compaction = db->compaction;
    struct plan *plan = plan_create(db, group->table->id, group_run(group), NULL, 0, why);
    if (!plan) return NULL;
    plan->is_exclusive = true;
    plan->is_retention = drop;
    pthread_mutex_lock(&compaction->mutex);
    plan_append(compaction, plan);
    for (bool waits = true; waits;) {
        waits = false;
        for (struct plan *other = compaction->plans, *next; other; other = next) {
            next = other->next;
            if (other == plan || !plan_is_of(other, group)) continue;
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

void compaction_end_exclusive(struct plinth *db, struct plan *plan) {
    pthread_mutex_lock(&db->compaction->mutex);
    plan_remove(db->compaction, plan);
    pthread_mutex_unlock(&db->compaction->mutex);
}

/* Merges (or drops) all runs of the group that there are. compaction_mutex is held. `*merged` is false when it is gone,
 * or a snapshot needs it. */
static enum plinth_status merge_all(struct plinth *db, const struct group *of, bool drop, bool *merged,
                                    struct plinth_error *error) {
    *merged = false;
    struct plan *plan = compaction_begin_exclusive(db, of, drop, drop ? "older than the table keeps" : "asked for");
    if (!plan) return error_no_memory(error, "compaction");
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct group group;
    struct merge merge = {0};
    enum plinth_status st = PLINTH_OK;
    if (group_find(view, plan, &group)) {
        for (size_t i = group.begin; i < group.end; i++) plan->rows += run_rows(group.table->runs[i].run);
        st = plan_make_merge(db, view, &group, group.begin, group.end - group.begin, NULL, NULL, plan, &merge, error);
        merge.is_dropping = drop;
        merge.is_thorough = merge.is_lasting = !drop;
        merge.horizon_lsn = horizon_lsn;
        if (!st) st = merge_run(&merge, error);
        *merged = !st;
        merge_deinit(&merge);
    }
    view_unref(view);
    struct table_id table = plan->table;
    compaction_end_exclusive(db, plan);
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
    while (group_next(view, group))
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

enum plinth_status compaction_drop_expired(struct plinth *db, bool *dropped, struct plinth_error *error) {
    *dropped = false;
    if (!engine_retention_is_due(db)) return PLINTH_OK;
    uint64_t time_us;
    struct group group;
    enum plinth_status st = advance_shard_time(db, &time_us, error);
    if (st) return st;
    struct view *view = view_current(&db->views);
    if (find_expired(db, view, engine_retention_time_us(db, time_us), &group))
        st = merge_all(db, &group, true, dropped, error);
    view_unref(view);
    return st;
}

/* ---- everything ---- */

/* Whether rows of the group's oldest run have expired. */
static bool has_expired_rows(struct plinth *db, const struct group *group) {
    bool exists;
    uint64_t horizon_lsn = engine_peek_horizon(db), expired = 0;
    const struct table_schema *schema = engine_schema_stored(db, group->table->id, horizon_lsn, &exists);
    if (schema) {
        const struct run *oldest = group->table->runs[group->end - 1].run;
        expired = expired_rows_in_run(schema, oldest, horizon_lsn, engine_peek_expiry_us(db));
    }
    table_schema_unref(schema);
    return expired != 0;
}

/* Whether merging all runs of the group would change anything but its age. */
static bool is_compact(struct plinth *db, const struct group *group) {
    const struct view_run *run = group_run(group);
    if (group->end - group->begin != 1 || run->level == 0 || ranges_are_needed(group->table) ||
        run_may_expire(run->run, engine_peek_expiry_us(db)) || has_expired_rows(db, group))
        return false;
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

/* Merges the first group behind `done` that is not compact, and moves that on; `*more` is false when there is none. */
static enum plinth_status merge_next(struct plinth *db, struct group_place *done, bool *more,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    struct view *view = view_current(&db->views);
    struct group group = {0};
    bool wanted = false;
    while (!wanted && (*more = group_next(view, &group))) wanted = is_behind(&group, done) && !is_compact(db, &group);
    if (*more) {
        const struct view_run *run = group_run(&group);
        *done = (struct group_place){group.table->id, run->has_partition, run->partition};
        bool merged;
        st = merge_all(db, &group, false, &merged, error);
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
    for (bool dropped = true; !st && dropped;) st = compaction_drop_expired(db, &dropped, error);
    while (!st && more) st = merge_next(db, &done, &more, error);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

/* ---- one segment ---- */

/* The first segment of the table that is wanted; false when there is none. */
static bool find_segment(const struct view *view, struct table_id table, bool (*is_wanted)(struct segment *, void *),
                         void *context, struct group *group, size_t *run, size_t *segment) {
    const struct view_table *found = view_find_table(view, table);
    for (size_t r = 0; found && r < found->run_count; r++) {
        for (size_t s = 0; s < run_segment_count(found->runs[r].run); s++) {
            if (!is_wanted(run_segment(found->runs[r].run, s), context)) continue;
            const struct view_run *of = &found->runs[r];
            size_t begin = view_partition_begin(found, of->has_partition, of->partition);
            *group = (struct group){found, begin, view_partition_end(found, begin)};
            *run = r;
            *segment = s;
            return true;
        }
    }
    return false;
}

/* With no other step in the group: the segment may have gone in the meantime, then nothing is done. */
static enum plinth_status rewrite_in_group(struct plinth *db, struct plan *plan,
                                           bool (*is_wanted)(struct segment *, void *), void *context,
                                           const atomic_bool *cancelled, atomic_ullong *progress,
                                           struct plinth_error *error) {
    struct group group;
    struct merge merge = {0};
    size_t run, segment;
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    enum plinth_status st = PLINTH_OK;
    if (find_segment(view, plan->table, is_wanted, context, &group, &run, &segment) && plan_is_of(plan, &group)) {
        const struct segment_info *info = segment_info(run_segment(group.table->runs[run].run, segment));
        const struct step_range range = {buffer_slice(&info->key_min), buffer_slice(&info->key_max)};
        const struct step_part part = {segment, 1};
        plan->rows = info->rows;
        st = plan_make_merge(db, view, &group, run, 1, &part, &range, plan, &merge, error);
        merge.level = group.table->runs[run].level;
        merge.cancelled = cancelled;
        merge.progress = progress;
        merge.horizon_lsn = horizon_lsn;
        if (!st) st = merge_run(&merge, error);
        merge_deinit(&merge);
    }
    view_unref(view);
    return st;
}

enum plinth_status engine_rewrite_segment(struct plinth *db, struct table_id table,
                                          bool (*is_wanted)(struct segment *, void *), void *context,
                                          const atomic_bool *cancelled, atomic_ullong *progress, bool *more,
                                          struct plinth_error *error) {
    struct group group;
    size_t run, segment;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    struct view *view = view_current(&db->views);
    *more = find_segment(view, table, is_wanted, context, &group, &run, &segment);
    struct plan *plan = *more ? compaction_begin_exclusive(db, &group, false, "asked for") : NULL;
    if (*more && !plan) st = error_no_memory(error, "compaction");
    view_unref(view);
    if (plan) {
        plan->why = "an index is added to segments";
        st = rewrite_in_group(db, plan, is_wanted, context, cancelled, progress, error);
        compaction_end_exclusive(db, plan);
    }
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}
