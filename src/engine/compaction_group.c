#include "engine/compaction_group.h"

#include <stdlib.h>

#include "engine/dead_entries.h"
#include "engine/expired_runs.h"

#define QUIET_SAMPLE_NS (60ull * 1000 * 1000 * 1000)

bool group_next(const struct view *view, struct group *group) {
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

bool plan_is_of(const struct plan *plan, const struct group *group) {
    const struct view_run *run = group_run(group);
    return table_id_compare(plan->table, group->table->id) == 0 &&
           partition_compare(plan->has_partition, plan->partition, run->has_partition, run->partition) == 0;
}

bool group_find(const struct view *view, const struct plan *plan, struct group *group) {
    const struct view_table *table = view_find_table(view, plan->table);
    size_t begin = view_partition_begin(table, plan->has_partition, plan->partition);
    if (!table || begin == table->run_count) return false;
    *group = (struct group){table, begin, view_partition_end(table, begin)};
    return plan_is_of(plan, group);
}

/* Rows that deletes and newer versions hide for good in segments that no snapshot holds back. */
static uint64_t purgeable_rows(const struct run *run, uint64_t horizon_lsn, uint64_t expired_us) {
    uint64_t rows = 0;
    for (size_t s = 0; s < run_segment_count(run); s++) {
        const struct segment_info *info = segment_info(run_segment(run, s));
        if (info->lsn_max <= horizon_lsn) rows += info->superseded + info->deletes;
        if (info->expiring && info->expires_max <= expired_us) rows += info->expiring;
    }
    return rows;
}

static uint64_t deleted_rows(const struct run *run) {
    uint64_t rows = 0;
    for (size_t s = 0; s < run_segment_count(run); s++) rows += segment_info(run_segment(run, s))->deletes;
    return rows;
}

/* What the policy has to know of a table besides its runs. */
struct group_nature {
    bool has_ended;
    struct table_id indexed; /* of an index; table 0: it is none */
    bool one_entry_a_row;
    const struct table_schema *expiring; /* of a table whose rows expire: a reference */
};

static bool has_ended(const struct table_schema *schema, int64_t partition, uint64_t time_us) {
    int64_t end;
    if (!schema->partition_us) return false;
    if (__builtin_add_overflow(partition, 1, &end) || __builtin_mul_overflow(end, (int64_t)schema->partition_us, &end))
        return partition < 0;
    return end <= (int64_t)time_us;
}

static struct group_nature nature_of(struct plinth *db, const struct group *group, uint64_t time_us,
                                     uint64_t horizon_lsn) {
    struct group_nature nature = {0};
    const struct view_run *run = group_run(group);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_table *table = catalog_table_by_id(catalog, group->table->id.table);
    if (table && table->kind == CATALOG_ROWS && run->has_partition)
        nature.has_ended = has_ended(table->schema, run->partition, time_us);
    if (table && table->kind == CATALOG_ROWS && table->schema->expire_column)
        nature.expiring = catalog_schema_stored(table, horizon_lsn);
    if (table && table->kind == CATALOG_INDEX) {
        const struct catalog_table *of = catalog_table_by_id(catalog, table->space);
        nature.indexed = (struct table_id){group->table->id.tenant, group->table->id.database, table->space};
        const struct table_index *index =
            of && of->kind == CATALOG_ROWS ? table_schema_find_index_id(of->schema, group->table->id.table) : NULL;
        nature.one_entry_a_row = index && table_index_has_one_entry_a_row(index);
    }
    pthread_rwlock_unlock(&db->catalog_lock);
    return nature;
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

void compaction_take_sample(struct plinth *db) {
    struct compaction *compaction = db->compaction;
    uint64_t now = env_monotonic_ns(db->env);
    if (compaction->sample_count && now - compaction->samples[0].ns < QUIET_SAMPLE_NS) return;
    size_t kept = compaction->sample_count < QUIET_SAMPLES ? compaction->sample_count++ : QUIET_SAMPLES - 1;
    memmove(&compaction->samples[1], &compaction->samples[0], kept * sizeof compaction->samples[0]);
    compaction->samples[0] = (struct quiet_sample){now, engine_visible_lsn(db)};
}

bool group_describe(struct plinth *db, const struct view *view, const struct group *group, uint64_t time_us,
                    uint64_t horizon_lsn, struct compaction_run **runs, struct compaction_group *described) {
    size_t count = group->end - group->begin;
    struct group_nature nature = nature_of(db, group, time_us, horizon_lsn);
    *runs = calloc(count, sizeof **runs);
    if (!*runs) {
        table_schema_unref(nature.expiring);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct view_run *from = &group->table->runs[group->begin + i];
        struct compaction_run *to = &(*runs)[i];
        *to = (struct compaction_run){.bytes = run_bytes(from->run),
                                      .rows = run_rows(from->run),
                                      .deletes = deleted_rows(from->run),
                                      .is_fresh = from->level == 0};
        for (const struct plan *plan = db->compaction->plans; plan && !to->is_busy; plan = plan->next)
            to->is_busy = plan_is_of(plan, group) && (plan->is_exclusive || plan_has_run(plan, from->id));
    }
    struct compaction_run *oldest = &(*runs)[count - 1];
    const struct run *oldest_run = group->table->runs[group->end - 1].run;
    uint64_t expired_us = engine_peek_expiry_us(db);
    oldest->purgeable = nature.indexed.table ? dead_entries_least(view, group->table->id, nature.indexed,
                                                                  nature.one_entry_a_row, horizon_lsn, NULL)
                                             : purgeable_rows(oldest_run, horizon_lsn, expired_us);
    if (nature.expiring) oldest->purgeable += expired_rows_in_run(nature.expiring, oldest_run, horizon_lsn, expired_us);
    table_schema_unref(nature.expiring);
    *described = (struct compaction_group){
        .runs = *runs, .count = count, .has_ended = nature.has_ended, .quiet_us = quiet_us(db, group)};
    return true;
}

void compaction_measure(struct plinth *db, struct compaction_load *load) {
    *load = (struct compaction_load){0};
    uint64_t horizon_lsn = engine_peek_horizon(db);
    pthread_mutex_lock(&db->compaction->mutex);
    struct view *view = view_current(&db->views);
    uint64_t time_us = engine_time_us(db);
    for (struct group group = {0}; group_next(view, &group);) {
        struct compaction_run *runs;
        struct compaction_group described;
        if (!group_describe(db, view, &group, time_us, horizon_lsn, &runs, &described)) continue;
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
