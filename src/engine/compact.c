/* Compaction: neighbouring runs of a table become one, without the versions that nobody can see any more, and of an
 * index without the entries whose rows have moved on. */
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/compaction_policy.h"
#include "engine/output.h"
#include "engine/purge.h"
#include "engine/table_ddl.h"

enum { SEGMENT_RAW_BYTES_MAX = 128 << 20, ROWS_BETWEEN_CHECKS = 1024 };

/* One merge: `count` runs of `table` from position `first`, newest first, as they are in `view`. */
struct merge {
    struct plinth *db;
    struct view *view;
    struct table_id table;
    struct table_id space; /* of an index: the key space whose keys it holds; else table.table is 0 */
    const struct view_run *runs;
    size_t first, count;
    bool bottom;
    uint64_t horizon_lsn;
    uint64_t job;
    uint64_t rows_in, bytes_in;
    uint64_t level;
};

/* Whether an index entry at or below the horizon is still what its key's row says. Versions above the horizon may go
 * back to no older entry, so an entry that is dead at the horizon is dead for good. */
static enum plinth_status entry_is_live(struct merge *merge, const struct row *entry, struct buffer *stored,
                                        struct buffer *value, bool *live, struct plinth_error *error) {
    struct reader reader = reader_of(entry->key);
    buffer_clear(value);
    buffer_clear(stored);
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, merge->space);
    if (!escaped_decode(&reader, value))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index table %u at position %llu",
                         merge->table.table, (unsigned long long)entry->lsn);
    if (!engine_stored_key(stored, merge->space, slice_of(reader.at, reader_left(&reader))))
        return error_no_memory(error, "index entry");
    struct segment_hit hit;
    enum plinth_status st = view_get(merge->view, merge->space, buffer_slice(stored), prefix_size, merge->horizon_lsn,
                                     SEGMENT_LSN_ONLY, &hit, error);
    *live = !st && hit.row.lsn == entry->lsn && hit.row.operation == ROW_SET;
    if (!st) segment_hit_release(&hit);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static enum plinth_status open_inputs(struct merge *merge, struct iterator **merged, struct plinth_error *error) {
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

static bool is_closing(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    return closing;
}

static enum plinth_status write_merged(struct merge *merge, struct output *output, struct plinth_error *error) {
    struct iterator *merged = NULL;
    struct purge purge;
    struct buffer stored = BUFFER_INIT, value = BUFFER_INIT;
    bool index = merge->space.table != 0;
    purge_init(&purge, merge->horizon_lsn, merge->bottom);
    enum plinth_status st = output_begin_table(output, merge->table, index, error);
    if (!st) st = open_inputs(merge, &merged, error);
    if (!st) st = iterator_seek_first(merged, error);
    while (!st && merged->valid) {
        bool at_horizon, live = true;
        if (++merge->rows_in % ROWS_BETWEEN_CHECKS == 0 && is_closing(merge->db)) {
            st = error_set(error, PLINTH_CANCELLED, "the engine is closing");
            break;
        }
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

/* The commit record and the new view. On success *view_sequence is the first view without the inputs. */
static enum plinth_status commit_merge(struct merge *merge, const struct output *output, struct run *run, uint64_t *lsn,
                                       uint64_t *view_sequence, struct plinth_error *error) {
    struct plinth *db = merge->db;
    struct buffer payload = BUFFER_INIT;
    uint64_t *inputs = malloc(merge->count * sizeof *inputs);
    struct commit commit = {.job = merge->job,
                            .table = merge->table,
                            .inputs = inputs,
                            .input_count = merge->count,
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
    if (!st) {
        /* Flushes may have put runs in front since; nothing but this merge, or dropping the table, takes any away. */
        const struct view_table *now = view_find_table(view, merge->table);
        size_t first =
            now ? now->run_count - (view_find_table(merge->view, merge->table)->run_count - merge->first) : 0;
        if (now)
            view_drop_runs(view, merge->table, first, merge->count);
        else
            st = error_set(error, PLINTH_CANCELLED, "table %u was dropped while it was merged", merge->table.table);
        if (!st && run &&
            !view_insert_run(view, merge->table, first,
                             (struct view_run){.level = merge->level, .run = run_ref(run)})) {
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

static void describe_inputs(struct merge *merge) {
    for (size_t i = merge->first; i < merge->first + merge->count; i++) {
        merge->bytes_in += run_bytes(merge->runs[i].run);
        if (merge->runs[i].level >= merge->level) merge->level = merge->runs[i].level + 1;
    }
    struct plinth *db = merge->db;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, merge->table.table);
    if (table && table->kind == CATALOG_INDEX)
        merge->space = (struct table_id){merge->table.tenant, merge->table.database, table->space};
    pthread_rwlock_unlock(&db->catalog_lock);
}

static enum plinth_status run_merge(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    uint64_t began = env_monotonic_ns(db->env), lsn = 0, view_sequence = 0;
    struct run *run = NULL;
    struct output output = {0};
    describe_inputs(merge);
    enum plinth_status st = engine_begin_job(db, JOB_COMPACT, &merge->job, error);
    if (st) return st;
    output_init(&output, db, merge->job, merge->bottom ? SEGMENT_ZSTD : SEGMENT_LZ4, SEGMENT_RAW_BYTES_MAX);
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
        log_event(LOG_INFO, "runs_merged", "table=%u runs=%zu rows_in=%llu rows_out=%llu bytes_out=%llu ms=%.1f",
                  merge->table.table, merge->count, (unsigned long long)merge->rows_in, (unsigned long long)output.rows,
                  (unsigned long long)output.bytes, (double)took_us / 1000);
    } else if (!atomic_load(&db->failed)) {
        engine_abort_job(db, merge->job);
    }
    output_deinit(&output);
    return st;
}

/* What the policy would merge in one table. */
static struct compaction_choice choose(const struct view_table *table) {
    uint64_t small[64] = {0}, *bytes = table->run_count <= 64 ? small : malloc(table->run_count * sizeof *bytes);
    if (!bytes) return (struct compaction_choice){0, 0};
    for (size_t i = 0; i < table->run_count; i++) bytes[i] = run_bytes(table->runs[i].run);
    struct compaction_choice choice = compaction_choose(&compaction_policy_default, bytes, table->run_count);
    if (bytes != small) free(bytes);
    return choice;
}

/* The table with the most runs to merge. */
static const struct view_table *choose_table(const struct view *view, struct compaction_choice *choice) {
    const struct view_table *best = NULL;
    *choice = (struct compaction_choice){0, 0};
    for (size_t t = 0; t < view->table_count; t++) {
        struct compaction_choice candidate = choose(&view->tables[t]);
        if (candidate.count <= choice->count) continue;
        *choice = candidate;
        best = &view->tables[t];
    }
    return best;
}

uint64_t engine_compactions_pending(struct plinth *db) {
    struct view *view = view_current(&db->views);
    uint64_t pending = 0;
    for (size_t t = 0; t < view->table_count; t++) pending += choose(&view->tables[t]).count != 0;
    view_unref(view);
    return pending;
}

static enum plinth_status merge_runs(struct plinth *db, struct view *view, uint64_t horizon_lsn,
                                     const struct view_table *table, struct compaction_choice choice,
                                     struct plinth_error *error) {
    struct merge merge = {.db = db,
                          .view = view,
                          .table = table->id,
                          .runs = table->runs,
                          .first = choice.first,
                          .count = choice.count,
                          .bottom = choice.first + choice.count == table->run_count,
                          .horizon_lsn = horizon_lsn};
    enum plinth_status st = run_merge(&merge, error);
    if (st != PLINTH_CANCELLED || engine_table_exists(db, merge.table)) return st;
    error_clear(error); /* dropped meanwhile: nothing is left to do */
    return PLINTH_OK;
}

enum plinth_status engine_compact_one(struct plinth *db, bool *merged, struct plinth_error *error) {
    *merged = false;
    pthread_mutex_lock(&db->compaction_mutex);
    uint64_t horizon_lsn = engine_take_horizon(db);
    struct view *view = view_current(&db->views);
    struct compaction_choice choice;
    const struct view_table *table = choose_table(view, &choice);
    enum plinth_status st = PLINTH_OK;
    if (table) {
        st = merge_runs(db, view, horizon_lsn, table, choice, error);
        *merged = !st;
    }
    view_unref(view);
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}

/* Whether merging all runs of the table would change anything but its age. */
static bool is_compact(struct plinth *db, const struct view_table *table) {
    if (table->run_count != 1 || table->runs[0].level == 0) return table->run_count == 0;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *found = catalog_table_by_id(&db->shard.catalog, table->id.table);
    bool index = found && found->kind == CATALOG_INDEX; /* how many of its entries are dead, only a merge can tell */
    pthread_rwlock_unlock(&db->catalog_lock);
    uint64_t dead = 0;
    for (size_t s = 0; s < run_segment_count(table->runs[0].run); s++) {
        const struct segment_info *info = segment_info(run_segment(table->runs[0].run, s));
        dead += info->superseded + info->deletes;
    }
    return !index && dead == 0;
}

enum plinth_status engine_compact_all(struct plinth *db, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->compaction_mutex);
    /* Table by table from the present views, as each merge makes a new one. Key spaces come before their indexes (ids
     * grow), so that index entries are checked against merged rows. */
    struct table_id from = {0};
    for (bool more = true; !st && more;) {
        uint64_t horizon_lsn = engine_take_horizon(db);
        struct view *view = view_current(&db->views);
        const struct view_table *table = NULL;
        for (size_t t = 0; !table && t < view->table_count; t++)
            if (table_id_compare(view->tables[t].id, from) >= 0 && !is_compact(db, &view->tables[t]))
                table = &view->tables[t];
        more = table != NULL;
        if (table) {
            from = table->id;
            from.table++;
            st = merge_runs(db, view, horizon_lsn, table, (struct compaction_choice){0, table->run_count}, error);
        }
        view_unref(view);
    }
    pthread_mutex_unlock(&db->compaction_mutex);
    return st;
}
