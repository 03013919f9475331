/* Compaction: neighbouring runs of a table become one, without the versions that nobody can see any more, and of an
 * index without the entries whose rows have moved on. */
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/compact.h"
#include "engine/compaction_policy.h"
#include "engine/output.h"
#include "engine/purge.h"
#include "engine/table_ddl.h"

enum { SEGMENT_RAW_BYTES_MAX = 128 << 20, ROWS_BETWEEN_CHECKS = 1024 };

/* Whether an entry of a key space's index, at or below the horizon, is still what its key's row says. Versions above
 * the horizon may go back to no older entry, so an entry that is dead at the horizon is dead for good. */
static enum plinth_status entry_is_live(struct merge *merge, const struct row *entry, struct buffer *stored,
                                        struct buffer *value, bool *live, struct plinth_error *error) {
    struct reader reader = reader_of(entry->key);
    buffer_clear(value);
    buffer_clear(stored);
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, merge->indexed);
    if (!escaped_decode(&reader, value))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index table %u at position %llu",
                         merge->table.table, (unsigned long long)entry->lsn);
    if (!engine_stored_key(stored, merge->indexed, slice_of(reader.at, reader_left(&reader))))
        return error_no_memory(error, "index entry");
    struct segment_hit hit;
    enum plinth_status st = view_get(merge->view, merge->indexed, buffer_slice(stored), prefix_size, merge->horizon_lsn,
                                     SEGMENT_LSN_ONLY, &hit, error);
    *live = !st && hit.row.lsn == entry->lsn && hit.row.operation == ROW_SET;
    if (!st) segment_hit_release(&hit);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

enum plinth_status merge_open_inputs(struct merge *merge, struct iterator **merged, struct plinth_error *error) {
    struct iterator **inputs = malloc(merge->count * sizeof *inputs);
    if (!inputs) return error_no_memory(error, "compaction");
    enum plinth_status st = PLINTH_OK;
    size_t opened = 0;
    for (; !st && opened < merge->count; opened += !st)
        st = run_iterator_open(merge->runs[merge->first + opened].run, false, &inputs[opened], error);
    if (!st)
        st = merge_open(inputs, merge->count, merged, error);
    else
        for (size_t i = 0; i < opened; i++) iterator_close(inputs[i]);
    free(inputs);
    return st;
}

enum plinth_status merge_check(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    return closing ? error_set(error, PLINTH_CANCELLED, "the engine is closing") : PLINTH_OK;
}

static enum plinth_status merge_space(struct merge *merge, struct output *output, struct plinth_error *error) {
    struct iterator *merged = NULL;
    struct purge purge;
    struct buffer stored = BUFFER_INIT, value = BUFFER_INIT;
    bool index = merge->indexed.table != 0;
    purge_init(&purge, merge->horizon_lsn, merge->bottom);
    enum plinth_status st = output_begin_table(output, merge->table, index, error);
    if (!st) st = merge_open_inputs(merge, &merged, error);
    if (!st) st = iterator_seek_first(merged, error);
    while (!st && merged->valid) {
        bool at_horizon, live = true;
        if (++merge->rows_in % ROWS_BETWEEN_CHECKS == 0 && (st = merge_check(merge, error))) break;
        enum purge_verdict verdict = purge_judge(&purge, &merged->row, &at_horizon);
        if (verdict == PURGE_NO_MEMORY) st = error_no_memory(error, "compaction");
        if (verdict == PURGE_KEEP && index && at_horizon)
            st = entry_is_live(merge, &merged->row, &stored, &value, &live, error);
        if (!st && verdict == PURGE_KEEP && live) st = output_add(output, &merged->row, error);
        if (!st) st = iterator_next(merged, error);
    }
    if (!st) st = output_finish(output, error);
    iterator_close(merged);
    purge_deinit(&purge);
    buffer_deinit(&stored);
    buffer_deinit(&value);
    return st;
}

static enum plinth_status write_merged(struct merge *merge, struct output *output, struct plinth_error *error) {
    if (merge->is_dropping) return PLINTH_OK;
    if (!merge->schema) return merge_space(merge, output, error);
    return merge->index ? merge_row_index(merge, output, error) : merge_rows(merge, output, error);
}

/* Where the merge's newest input stands now: flushes may have put runs in front since, or of other partitions. SIZE_MAX
 * when the table was dropped. */
static size_t find_first(const struct merge *merge, const struct view_table *now) {
    const struct view_run *newest = &merge->runs[merge->first];
    for (size_t i = 0; now && i < now->run_count; i++)
        if (now->runs[i].id == newest->id && partition_compare(now->runs[i].has_partition, now->runs[i].partition,
                                                               newest->has_partition, newest->partition) == 0)
            return i;
    return SIZE_MAX;
}

/* The commit record and the new view. On success *view_sequence is the first view without the inputs. */
static enum plinth_status commit_merge(struct merge *merge, const struct output *output, struct run *run, uint64_t *lsn,
                                       uint64_t *view_sequence, struct plinth_error *error) {
    struct plinth *db = merge->db;
    struct buffer payload = BUFFER_INIT;
    uint64_t *inputs = malloc(merge->count * sizeof *inputs);
    const struct view_run *newest = &merge->runs[merge->first];
    struct commit commit = {.job = merge->job,
                            .table = merge->table,
                            .inputs = inputs,
                            .input_count = merge->count,
                            .has_partition = newest->has_partition,
                            .partition = newest->partition,
                            .level = merge->level,
                            .segments = output->segments,
                            .segment_count = output->segment_count};
    for (size_t i = 0; inputs && i < merge->count; i++) inputs[i] = merge->runs[merge->first + i].id;
    bool encoded = inputs && commit_encode(&payload, CHANGE_COMPACT_COMMIT, &commit);
    free(inputs);
    struct record_header header = {.kind = CHANGE_COMPACT_COMMIT, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    *lsn = *view_sequence = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = encoded ? view_edit(&db->views) : NULL;
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "compaction");
    /* A snapshot that is made from here on shall see the new view: no state that one has seen is taken away. */
    if (merge->is_dropping) pthread_mutex_lock(&db->snapshot_mutex);
    if (!st && merge->is_dropping && db->snapshot_count)
        st = error_set(error, PLINTH_CANCELLED, "a snapshot needs what would be dropped");
    if (!st) {
        size_t first = find_first(merge, view_find_table(view, merge->table));
        if (first != SIZE_MAX)
            view_drop_runs(view, merge->table, first, merge->count);
        else
            st = error_set(error, PLINTH_CANCELLED, "table %u was dropped while it was merged", merge->table.table);
        if (!st && run &&
            !view_insert_run(view, merge->table, first,
                             (struct view_run){.level = merge->level,
                                               .has_partition = newest->has_partition,
                                               .partition = newest->partition,
                                               .run = run_ref(run)})) {
            run_unref(run);
            st = error_no_memory(error, "compaction");
        }
        if (!st) st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, lsn, &decision, error);
        if (!st && decision.verdict != VERDICT_APPLIED)
            st = error_set(error, PLINTH_CONFLICT, "the log voided compaction %llu", (unsigned long long)merge->job);
        if (!st) {
            if (run) ((struct view_table *)view_find_table(view, merge->table))->runs[first].id = *lsn;
            if (view->horizon_lsn < merge->horizon_lsn) view->horizon_lsn = merge->horizon_lsn;
            *view_sequence = view_publish(&db->views, view);
            view = NULL;
        }
    }
    if (merge->is_dropping) pthread_mutex_unlock(&db->snapshot_mutex);
    pthread_mutex_unlock(&db->sequence_mutex);
    view_discard(view);
    buffer_deinit(&payload);
    if (*lsn && (!st || st == PLINTH_CONFLICT)) engine_sequenced(db, *lsn);
    return st;
}

static void note_inputs(struct merge *merge, uint64_t view_sequence) {
    for (size_t i = merge->first; i < merge->first + merge->count; i++) {
        struct run *run = merge->runs[i].run;
        for (size_t s = 0; s < run_segment_count(run); s++)
            engine_note_garbage(merge->db, segment_info(run_segment(run, s))->name, view_sequence);
    }
}

/* What is merged: rows of a key space or typed table, or entries of an index of one. */
static enum plinth_status describe_table(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_table *table = catalog_table_by_id(catalog, merge->table.table), *of = table;
    if (table && table->kind == CATALOG_INDEX) {
        merge->indexed = (struct table_id){merge->table.tenant, merge->table.database, table->space};
        of = catalog_table_by_id(catalog, table->space);
    }
    if (of && of->kind == CATALOG_ROWS) merge->schema = table_schema_ref(of->schema);
    pthread_rwlock_unlock(&db->catalog_lock);
    if (merge->schema && merge->indexed.table) {
        merge->index = table_schema_find_index_id(merge->schema, merge->table.table);
        if (!merge->index) of = NULL;
    }
    return of ? PLINTH_OK : error_set(error, PLINTH_CANCELLED, "table %u was dropped", merge->table.table);
}

static void describe_inputs(struct merge *merge) {
    for (size_t i = merge->first; i < merge->first + merge->count; i++) {
        merge->bytes_in += run_bytes(merge->runs[i].run);
        if (merge->runs[i].level >= merge->level) merge->level = merge->runs[i].level + 1;
    }
}

static enum plinth_status run_merge(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    uint64_t began = env_monotonic_ns(db->env), lsn = 0, view_sequence = 0;
    struct run *run = NULL;
    struct output output = {0};
    describe_inputs(merge);
    enum plinth_status st = describe_table(merge, error);
    if (!st) st = engine_begin_job(db, JOB_COMPACT, &merge->job, error);
    if (st) {
        table_schema_unref(merge->schema);
        return st;
    }
    enum segment_codec zstd = merge->is_thorough ? SEGMENT_ZSTD_THOROUGH : SEGMENT_ZSTD;
    output_init(&output, db, merge->job, merge->bottom ? zstd : SEGMENT_LZ4, SEGMENT_RAW_BYTES_MAX);
    st = write_merged(merge, &output, error);
    if (!st && output.segment_count) st = output_open_run(db, output.segments, output.segment_count, &run, error);
    if (!st) st = commit_merge(merge, &output, run, &lsn, &view_sequence, error);
    if (run) run_unref(run);
    if (!st) {
        /* The inputs may go only when the log cannot forget that they were replaced. */
        st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
        if (!st) note_inputs(merge, view_sequence);
        uint64_t took_us = (env_monotonic_ns(db->env) - began) / 1000;
        counter_add(&db->counters.compactions, 1);
        counter_add(&db->counters.compaction_rows_in, merge->rows_in);
        counter_add(&db->counters.compaction_rows_out, output.rows);
        counter_add(&db->counters.compaction_bytes_in, merge->bytes_in);
        counter_add(&db->counters.compaction_bytes_out, output.bytes);
        counter_add(&db->counters.compaction_us, took_us);
        log_event(LOG_INFO, merge->is_dropping ? "partition_dropped" : "runs_merged",
                  "table=%u runs=%zu rows_in=%llu rows_out=%llu bytes_out=%llu ms=%.1f", merge->table.table,
                  merge->count, (unsigned long long)merge->rows_in, (unsigned long long)output.rows,
                  (unsigned long long)output.bytes, (double)took_us / 1000);
    } else if (!atomic_load(&db->failed)) {
        engine_abort_job(db, merge->job);
    }
    output_deinit(&output);
    table_schema_unref(merge->schema);
    return st;
}

/* ---- which ---- */

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

/* What the policy would merge in a group. */
static struct compaction_choice choose(const struct group *group) {
    size_t count = group->end - group->begin;
    uint64_t small[64] = {0}, *bytes = count <= 64 ? small : malloc(count * sizeof *bytes);
    if (!bytes) return (struct compaction_choice){0, 0};
    for (size_t i = 0; i < count; i++) bytes[i] = run_bytes(group->table->runs[group->begin + i].run);
    struct compaction_choice choice = compaction_choose(&compaction_policy_default, bytes, count);
    if (bytes != small) free(bytes);
    return choice;
}

/* The group with the most runs to merge; choice.count is 0 when there is none. */
static struct group choose_group(const struct view *view, struct compaction_choice *choice) {
    struct group group = {0}, best = {0};
    *choice = (struct compaction_choice){0, 0};
    while (next_group(view, &group)) {
        struct compaction_choice candidate = choose(&group);
        if (candidate.count <= choice->count) continue;
        *choice = candidate;
        best = group;
    }
    return best;
}

uint64_t engine_compactions_pending(struct plinth *db) {
    struct view *view = view_current(&db->views);
    uint64_t pending = 0;
    for (struct group group = {0}; next_group(view, &group);) pending += choose(&group).count != 0;
    view_unref(view);
    return pending;
}

enum merge_purpose { MERGE_FEWER_RUNS, MERGE_DROP, MERGE_ASKED_FOR };

static enum plinth_status merge_runs(struct plinth *db, struct view *view, uint64_t horizon_lsn,
                                     const struct group *group, struct compaction_choice choice,
                                     enum merge_purpose purpose, bool *merged, struct plinth_error *error) {
    struct merge merge = {.db = db,
                          .view = view,
                          .table = group->table->id,
                          .runs = group->table->runs,
                          .first = group->begin + choice.first,
                          .count = choice.count,
                          .bottom = group->begin + choice.first + choice.count == group->end,
                          .is_dropping = purpose == MERGE_DROP,
                          .is_thorough = purpose == MERGE_ASKED_FOR,
                          .horizon_lsn = horizon_lsn};
    enum plinth_status st = run_merge(&merge, error);
    *merged = !st;
    if (st != PLINTH_CANCELLED || (engine_table_exists(db, merge.table) && !merge.is_dropping)) return st;
    error_clear(error); /* dropped meanwhile, or needed: nothing is to be done */
    return PLINTH_OK;
}

/* ---- retention ---- */

static bool group_is_expired(struct plinth *db, const struct group *group, uint64_t time_us) {
    const struct view_run *run = &group->table->runs[group->begin];
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
 */
static enum plinth_status drop_expired(struct plinth *db, bool *dropped, struct plinth_error *error) {
    *dropped = false;
    if (!engine_retention_is_due(db)) return PLINTH_OK;
    uint64_t time_us;
    struct group group;
    enum plinth_status st = advance_shard_time(db, &time_us, error);
    if (st) return st;
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    if (find_expired(db, view, engine_retention_time_us(db, time_us), &group)) {
        struct compaction_choice all = {0, group.end - group.begin};
        st = merge_runs(db, view, horizon_lsn, &group, all, MERGE_DROP, dropped, error);
    }
    view_unref(view);
    return st;
}

enum plinth_status engine_compact_one(struct plinth *db, bool *merged, struct plinth_error *error) {
    pthread_mutex_lock(&db->compaction_mutex);
    enum plinth_status st = drop_expired(db, merged, error);
    if (!st && !*merged) {
        uint64_t horizon_lsn = engine_take_horizon(db);
        struct view *view = view_current(&db->views);
        struct compaction_choice choice;
        struct group group = choose_group(view, &choice);
        if (choice.count) st = merge_runs(db, view, horizon_lsn, &group, choice, MERGE_FEWER_RUNS, merged, error);
        view_unref(view);
    }
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

/* ---- everything ---- */

/* Whether merging all runs of the group would change anything but its age. */
static bool is_compact(struct plinth *db, const struct group *group) {
    const struct view_run *run = &group->table->runs[group->begin];
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

/* Whether the group comes behind a table and partition that have been merged. */
static bool is_behind(const struct group *group, struct table_id table, const struct view_run *done) {
    int order = table_id_compare(group->table->id, table);
    const struct view_run *run = &group->table->runs[group->begin];
    if (!order) order = partition_compare(run->has_partition, run->partition, done->has_partition, done->partition);
    return order > 0;
}

/* Merges the first group behind (table, done), and moves these on; `*more` is false when there is none. */
static enum plinth_status compact_next(struct plinth *db, struct table_id *table, struct view_run *done, bool *more,
                                       struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct group group = {0};
    do {
        *more = next_group(view, &group);
    } while (*more && (!is_behind(&group, *table, done) || is_compact(db, &group)));
    if (*more) {
        *table = group.table->id;
        *done = group.table->runs[group.begin];
        struct compaction_choice all = {0, group.end - group.begin};
        bool merged;
        st = merge_runs(db, view, horizon_lsn, &group, all, MERGE_ASKED_FOR, &merged, error);
    }
    view_unref(view);
    return st;
}

enum plinth_status engine_compact_all(struct plinth *db, struct plinth_error *error) {
    /* Group by group from the present views, as each merge makes a new one. Tables come before their indexes (ids
     * grow), so that index entries are checked against merged rows. */
    struct table_id table = {0};
    struct view_run done = {.has_partition = false};
    bool more = true;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    for (bool dropped = true; !st && dropped;) st = drop_expired(db, &dropped, error);
    while (!st && more) st = compact_next(db, &table, &done, &more, error);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

/* Merges the first group of one table behind the partition of `done`, and moves that on; `*more` is false when there is
 * none. */
static enum plinth_status rewrite_next(struct plinth *db, struct table_id *table, struct view_run *done, bool *more,
                                       struct table_id only, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct group group = {0};
    do {
        *more = next_group(view, &group);
    } while (*more && !(table_id_compare(group.table->id, only) == 0 && is_behind(&group, *table, done)));
    if (*more) {
        *table = only;
        *done = group.table->runs[group.begin];
        struct compaction_choice all = {0, group.end - group.begin};
        bool merged;
        st = merge_runs(db, view, horizon_lsn, &group, all, MERGE_FEWER_RUNS, &merged, error);
    }
    view_unref(view);
    return st;
}

enum plinth_status engine_rewrite_table(struct plinth *db, struct table_id table, struct plinth_error *error) {
    struct table_id at = {0};
    struct view_run done = {.has_partition = false};
    bool more = true;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    while (!st && more) st = rewrite_next(db, &at, &done, &more, table, error);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}
