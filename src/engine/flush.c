/* Flush: the oldest cut memtable becomes segments, one run a table, and "cut C is these segments" goes into the log. */
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/flush_rows.h"
#include "engine/output.h"
#include "engine/purge.h"
#include "engine/table_ddl.h"
#include "engine/value_store.h"
#include "table/covered.h"

static bool is_index_table(struct plinth *db, struct table_id table) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *found = catalog_table_by_id(&db->shard.catalog, table.table);
    bool index = found && found->kind == CATALOG_INDEX;
    pthread_rwlock_unlock(&db->catalog_lock);
    return index;
}

/* Writes the rows of a key space or of an index of one, without what range deletes hide. */
static enum plinth_status write_space(struct output *output, struct memtable *memtable, const struct view *view,
                                      struct table_id table, bool is_index, uint64_t horizon_lsn, bool bottom,
                                      struct plinth_error *error) {
    struct iterator *it = NULL;
    struct purge purge;
    struct range_view ranges = {0};
    const uint64_t cut_lsn = view->memtables[view->memtable_count - 1].cut_lsn;
    const uint64_t known_lsn = horizon_lsn < cut_lsn ? horizon_lsn : cut_lsn; /* later ones may not be there yet */
    purge_init(&purge, horizon_lsn, bottom);
    enum plinth_status st = output_begin_table(output, table, is_index, error);
    if (!st) st = view_ranges(view, table, known_lsn, &ranges, error);
    if (!st && ranges.count) output->purged_lsn = known_lsn;
    if (!st) st = memtable_iterator_open(memtable, table, &it, error);
    if (!st && output->values) st = counting_iterator_open(it, output->values, &it, error);
    if (!st && ranges.count) st = covered_iterator_open(it, NULL, &ranges, &it, error);
    if (!st) st = iterator_seek_first(it, error);
    while (!st && it->valid) {
        bool at_horizon;
        enum purge_verdict verdict = purge_judge(&purge, &it->row, &at_horizon);
        if (verdict == PURGE_KEEP) st = output_add(output, &it->row, error);
        if (verdict == PURGE_NO_MEMORY) st = error_no_memory(error, "flush");
        if (!st) st = iterator_next(it, error);
    }
    iterator_close(it);
    purge_deinit(&purge);
    range_view_deinit(&ranges);
    return st ? st : output_finish(output, error);
}

/* Writes what the memtable has of one table. `bottom`: nothing older of this table exists. */
static enum plinth_status write_table(struct output *output, const struct view_memtable *from, const struct view *view,
                                      struct table_id table, uint64_t horizon_lsn, bool bottom,
                                      struct plinth_error *error) {
    struct memtable *memtable = from->memtable;
    bool has_rows;
    const struct table_schema *schema = engine_schema_stored(output->db, table, horizon_lsn, &has_rows);
    if (!has_rows)
        return write_space(output, memtable, view, table, is_index_table(output->db, table), horizon_lsn, bottom,
                           error);
    enum plinth_status st = schema ? flush_rows(output, memtable, schema, from->cut_lsn, horizon_lsn, bottom, error)
                                   : error_no_memory(error, "schema");
    table_schema_unref(schema);
    return st;
}

static enum plinth_status write_memtable(struct output *output, const struct view_memtable *memtable,
                                         const struct view *view, uint64_t horizon_lsn, struct plinth_error *error) {
    struct table_id from = {0}, table;
    enum plinth_status st = PLINTH_OK;
    while (!st && memtable_next_table(memtable->memtable, from, &table)) {
        const struct view_table *older = view_find_table(view, table);
        if (engine_table_exists(output->db, table)) /* else it was dropped, and its rows go with the memtable */
            st = write_table(output, memtable, view, table, horizon_lsn, !older || older->run_count == 0, error);
        from = table;
        from.table++;
    }
    return st;
}

/* A run that the flush made. */
struct flushed_run {
    struct table_id table;
    struct view_run run;
};

static void runs_deinit(struct flushed_run *runs, size_t count) {
    for (size_t i = 0; i < count; i++) run_unref(runs[i].run.run);
    free(runs);
}

/* Opens the runs that the flush made, one a table and partition; the caller's also on failure (runs_deinit). */
static enum plinth_status open_runs(struct plinth *db, struct output *output, struct flushed_run **runs, size_t *count,
                                    struct plinth_error *error) {
    *count = 0;
    *runs = calloc(output->segment_count + 1, sizeof **runs);
    if (!*runs) return error_no_memory(error, "flush");
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < output->segment_count;) {
        const struct segment_info *first = &output->segments[i];
        struct flushed_run *made = &(*runs)[*count];
        uint64_t end = i + 1;
        while (end < output->segment_count && segments_make_run(first, &output->segments[end])) end++;
        made->table = first->table;
        made->run.has_partition = first->has_partition;
        made->run.partition = first->partition;
        st = output_open_run(db, &output->segments[i], end - i, &made->run.run, error);
        *count += !st;
        i = end;
    }
    return st;
}

/* Whether a table was dropped since its segments were written. The sequencing lock is held. */
static bool is_dropped(struct plinth *db, struct table_id table) {
    return !catalog_table_by_id(&db->shard.catalog, table.table);
}

static size_t newest_position(const struct view *view, const struct flushed_run *run) {
    return view_partition_begin(view_find_table(view, run->table), run->run.has_partition, run->run.partition);
}

/* The commit record and the view that follows from it. What was written of tables that were dropped meanwhile is
 * garbage. */
static enum plinth_status commit_flush(struct plinth *db, const struct commit *commit, uint64_t horizon_lsn,
                                       const struct flushed_run *runs, size_t count, bool *applied,
                                       struct plinth_error *error) {
    *applied = false;
    struct buffer payload = BUFFER_INIT;
    if (!commit_encode(&payload, CHANGE_FLUSH_COMMIT, commit)) {
        buffer_deinit(&payload);
        return error_no_memory(error, "flush commit");
    }
    struct record_header header = {.kind = CHANGE_FLUSH_COMMIT, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    uint64_t lsn = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = view_edit(&db->views);
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "view");
    for (size_t i = 0; !st && i < count; i++) {
        if (is_dropped(db, runs[i].table)) continue;
        struct view_run run = runs[i].run;
        run_ref(run.run);
        if (!view_insert_run(view, runs[i].table, newest_position(view, &runs[i]), run)) {
            run_unref(run.run);
            st = error_no_memory(error, "view");
        }
    }
    if (!st) st = ranges_take_over(db, view, db->shard.flushed_lsn, commit->cut, error);
    if (!st) st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, &lsn, &decision, error);
    if (!st && decision.verdict == VERDICT_APPLIED) {
        for (size_t i = 0; i < count; i++)
            if (!is_dropped(db, runs[i].table))
                ((struct view_table *)view_find_table(view, runs[i].table))->runs[newest_position(view, &runs[i])].id =
                    lsn;
        for (uint64_t i = 0; i < commit->segment_count; i++)
            if (is_dropped(db, commit->segments[i].table)) engine_note_garbage(db, commit->segments[i].name, 0);
        view_drop_memtable(view, commit->cut);
        if (view->horizon_lsn < horizon_lsn) view->horizon_lsn = horizon_lsn;
        values_note_view(db, lsn, view_publish(&db->views, view));
        view = NULL;
        db->memtables_cut--;
        atomic_store(&db->flushed_lsn, commit->cut);
        *applied = true;
        pthread_cond_broadcast(&db->memtable_flushed);
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    view_discard(view);
    buffer_deinit(&payload);
    if (lsn && !st) engine_sequenced(db, lsn);
    return st;
}

static enum plinth_status flush_memtable(struct plinth *db, const struct view *view, const struct view_memtable *oldest,
                                         struct plinth_error *error) {
    uint64_t began = env_monotonic_ns(db->env), job = 0;
    struct flushed_run *runs = NULL;
    size_t run_count = 0;
    bool applied = false;
    struct output output = {0};
    struct value_counts values = {0};
    /* A segment is committed only when the log is durable up to its last LSN. */
    enum plinth_status st = log_wait(db->log, oldest->cut_lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (!st && !sequencer_wait(&db->sequencer, oldest->cut_lsn)) st = engine_check(db, error);
    if (!st) st = engine_begin_job(db, JOB_FLUSH, &job, error);
    if (st) return st;
    uint64_t horizon_lsn = engine_take_horizon(db);
    output_init(&output, db, job, SEGMENT_LZ4, UINT64_MAX);
    if (memtable_has_references(oldest->memtable)) output.values = &values;
    st = write_memtable(&output, oldest, view, horizon_lsn, error);
    if (!st) st = open_runs(db, &output, &runs, &run_count, error);
    if (!st) st = value_counts_append(&values, db, job, error);
    if (!st) {
        struct commit commit = {
            .job = job, .cut = oldest->cut_lsn, .segments = output.segments, .segment_count = output.segment_count};
        st = commit_flush(db, &commit, horizon_lsn, runs, run_count, &applied, error);
    }
    runs_deinit(runs, run_count);
    if (applied) {
        uint64_t took_us = (env_monotonic_ns(db->env) - began) / 1000;
        counter_add(&db->counters.flushes, 1);
        counter_add(&db->counters.flush_rows, output.rows);
        counter_add(&db->counters.flush_bytes, output.bytes);
        counter_add(&db->counters.flush_us, took_us);
        log_event(LOG_INFO, "memtable_flushed", "cut=%llu rows=%llu bytes=%llu ms=%.1f",
                  (unsigned long long)oldest->cut_lsn, (unsigned long long)output.rows,
                  (unsigned long long)output.bytes, (double)took_us / 1000);
    } else if (!atomic_load(&db->failed)) {
        engine_abort_job(db, job);
    }
    output_deinit(&output);
    value_counts_deinit(&values);
    return st;
}

enum plinth_status engine_flush_one(struct plinth *db, bool *flushed, struct plinth_error *error) {
    *flushed = false;
    struct view *view = view_current(&db->views);
    const struct view_memtable *oldest = &view->memtables[view->memtable_count - 1];
    enum plinth_status st = PLINTH_OK;
    if (oldest->cut_lsn) {
        st = flush_memtable(db, view, oldest, error);
        *flushed = !st;
    }
    view_unref(view);
    return st;
}
