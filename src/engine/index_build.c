/* Building an index of a table that has rows. The table's gate is closed and its rows are all in segments; so what is
 * there is what the present view has.
 *
 * Sorted: the rows are read partition by partition in the order of their keys, their entries collected up to some
 * bytes, sorted, and written as a run of the index's table: a job of its own, whose commit names no inputs. So memory
 * is bounded, and every version of a row that is kept has its entry in the same run. The others live in the segments of
 * the table: all of it is merged once, and the new segments have them.
 *
 * A failure, or a crash, leaves an index in state BUILDING: it is dropped with what it has (tables.c, and at open). */
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/compact.h"
#include "engine/index_output.h"
#include "engine/job_list.h"
#include "engine/table_ddl.h"

struct build {
    struct plinth *db;
    const struct table_schema *schema;
    const struct table_index *index;
    struct view *view;
    uint64_t horizon_lsn;
    struct index_output entries; /* of the run at hand */
    uint64_t entry_bytes;
    uint64_t runs, rows;
    struct job_entry job;
};

/* ---- one run ---- */

/* Logs the run and publishes a view with it. */
static enum plinth_status commit_run(struct build *build, uint64_t job, const struct output *output, struct run *run,
                                     struct plinth_error *error) {
    struct plinth *db = build->db;
    const struct commit commit = {
        .job = job, .table = build->index->id, .segments = output->segments, .segment_count = output->segment_count};
    struct buffer payload = BUFFER_INIT;
    struct record_header header = {.kind = CHANGE_COMPACT_COMMIT, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    uint64_t lsn = 0;
    bool encoded = commit_encode(&payload, CHANGE_COMPACT_COMMIT, &commit);
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = encoded ? view_edit(&db->views) : NULL;
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "index");
    if (!st && !view_insert_run(view, build->index->id, 0, (struct view_run){.run = run_ref(run)})) {
        run_unref(run);
        st = error_no_memory(error, "index");
    }
    if (!st) st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, &lsn, &decision, error);
    if (!st && decision.verdict == VERDICT_APPLIED) {
        ((struct view_table *)view_find_table(view, build->index->id))->runs[0].id = lsn;
        if (view->horizon_lsn < build->horizon_lsn) view->horizon_lsn = build->horizon_lsn;
        view_publish(&db->views, view);
        view = NULL;
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    view_discard(view);
    buffer_deinit(&payload);
    if (lsn && !st) engine_sequenced(db, lsn);
    if (!st && decision.verdict != VERDICT_APPLIED)
        st = error_set(error, PLINTH_NOT_FOUND, "index \"%s\" was dropped while it was built", build->index->name);
    return st;
}

/* Writes the entries collected so far as a run. */
static enum plinth_status end_run(struct build *build, struct plinth_error *error) {
    struct plinth *db = build->db;
    struct output output = {0};
    struct run *run = NULL;
    uint64_t job;
    if (!build->entry_bytes) return PLINTH_OK;
    enum plinth_status st = engine_begin_job(db, JOB_COMPACT, &job, error);
    if (st) return st;
    output_init(&output, db, job, SEGMENT_LZ4, SEGMENT_RAW_BYTES_MAX);
    st = index_output_write(&build->entries, &output, error);
    if (!st) st = output_finish(&output, error);
    if (!st && output.segment_count) st = output_open_run(db, output.segments, output.segment_count, &run, error);
    if (!st && run) st = commit_run(build, job, &output, run, error);
    if ((st || !run) && !atomic_load(&db->failed)) engine_abort_job(db, job);
    if (run) run_unref(run);
    build->runs++;
    build->rows += output.rows;
    output_deinit(&output);
    index_output_deinit(&build->entries);
    index_output_init(&build->entries, build->schema, build->index);
    build->entry_bytes = 0;
    return st;
}

/* ---- all rows ---- */

static bool is_closing(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    return closing;
}

static enum plinth_status add_block(struct build *build, const struct row_block *block, struct plinth_error *error) {
    if (is_closing(build->db)) return error_set(error, PLINTH_CANCELLED, "the engine is closing");
    if (atomic_load(&build->job.cancelled)) return error_set(error, PLINTH_CANCELLED, "the build was cancelled");
    counter_add(&build->job.done, block->rows);
    size_t before = build->entries.keys.size;
    enum plinth_status st = index_output_add(&build->entries, block, error);
    if (st) return st;
    /* A full piece was put away in between when there is less than before. */
    size_t after = build->entries.keys.size;
    build->entry_bytes += after > before ? after - before : after;
    return build->entry_bytes >= build->db->options.memtable_bytes ? end_run(build, error) : PLINTH_OK;
}

/* The rows of the runs [begin, end), all of one partition, in the order of their keys. */
static enum plinth_status add_partition(struct build *build, const struct view_table *table, size_t begin, size_t end,
                                        const struct block_read *read, struct plinth_error *error) {
    const struct block_merge_options options = {.mode = MERGE_RETAIN, .lsn = build->horizon_lsn, .bottom = true};
    struct block_stream **inputs = malloc((end - begin) * sizeof *inputs), *merged = NULL;
    enum plinth_status st = inputs ? PLINTH_OK : error_no_memory(error, "index");
    size_t opened = 0;
    for (; !st && opened < end - begin; opened += !st)
        st = run_block_stream_open(table->runs[begin + opened].run, read, &inputs[opened], error);
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, &merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = add_block(build, block, error);
        row_block_unref(block);
    }
    block_stream_close(merged);
    return st;
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status add_rows(struct build *build, struct plinth_error *error) {
    uint32_t ids[ROW_KEY_PARTS_MAX];
    memcpy(ids, build->index->columns, sizeof ids);
    qsort(ids, build->index->column_count, sizeof *ids, compare_ids);
    const struct block_read read = {
        .schema = build->schema, .column_ids = ids, .column_count = build->index->column_count, .with_keys = true};
    const struct view_table *table = view_find_table(build->view, build->schema->id);
    enum plinth_status st = PLINTH_OK;
    for (size_t begin = 0; !st && table && begin < table->run_count;) {
        size_t end = view_partition_end(table, begin);
        st = add_partition(build, table, begin, end, &read, error);
        begin = end;
    }
    return st ? st : end_run(build, error);
}

enum plinth_status engine_build_index(struct plinth *db, const struct table_schema *schema,
                                      const struct table_index *index, struct plinth_error *error) {
    uint64_t began = env_monotonic_ns(db->env);
    struct build build = {.db = db, .schema = schema, .index = index, .horizon_lsn = engine_take_horizon(db)};
    enum plinth_status st;
    job_enter(db, &build.job, PLINTH_JOB_INDEX_BUILD, index->id, "an index was created");
    if (index->kind == INDEX_SORTED) {
        build.view = view_current(&db->views);
        index_output_init(&build.entries, schema, index);
        st = add_rows(&build, error);
        index_output_deinit(&build.entries);
        view_unref(build.view);
    } else {
        st = engine_rewrite_table(db, schema->id, error);
    }
    job_leave(db, &build.job, st, error);
    if (!st)
        log_event(LOG_INFO, "index_built", "table=%u index=%u kind=%s runs=%llu entries=%llu ms=%.1f", schema->id.table,
                  index->id.table, index_kind_name(index->kind), (unsigned long long)build.runs,
                  (unsigned long long)build.rows, (double)(env_monotonic_ns(db->env) - began) / 1e6);
    return st;
}
