/* See index_build.h and index_builds.h.
 *
 * Sorted: the rows at or below the build's LSN are in segments once the memtables of that time are flushed. They are
 * read partition by partition in the order of their keys, from a view that is taken anew for each step, their entries
 * collected up to a memtable's bytes, sorted, and committed as a run of the index's table together with the place of
 * the last row. So memory is bounded, no view is held for long, and every version of a row that is kept has its entry:
 * those that merges purge between two steps nobody can ask for. Rows above the build's LSN, which merges mix with the
 * others, have got theirs from their flush.
 *
 * The others live in the segments of the table: segments that were written without are rewritten one by one. Queries
 * use what each segment has. */
#include "engine/index_build.h"

#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/compact.h"
#include "engine/index_doubles.h"
#include "engine/index_output.h"
#include "engine/job_list.h"
#include "engine/table_ddl.h"
#include "table/row_segment.h"

enum {
    STEP_ROWS_MAX = 4 << 20, /* looked at, however few entries they have */
    CHECK_US = 100 * 1000,
};
#define RETRY_NS (500ull * 1000 * 1000)
#define RETRY_NS_MAX (60ull * 1000 * 1000 * 1000)

/* Who waits for an index; on its stack. */
struct index_wait {
    struct index_wait *next;
    uint32_t index;
    bool done;
    enum plinth_status status;
    struct plinth_error error;
};

/* A build that has failed. */
struct build_failure {
    struct build_failure *next;
    uint32_t index;
    unsigned count;  /* in a row */
    uint64_t due_ns; /* by thread_time_ns: a simulated clock may stand still */
    struct plinth_error error;
};

/* db->job_mutex guards it; `failures` are the thread's own. */
struct index_builder {
    pthread_t thread;
    bool runs;
    uint64_t wanted; /* goes up */
    struct index_wait *waits;
    struct build_failure *failures;
};

/* One build. */
struct build {
    struct plinth *db;
    const struct table_schema *schema;
    const struct table_index *index;
    uint64_t version; /* the catalog's that made the index */
    uint64_t from_lsn;
    uint64_t horizon_lsn; /* of the step at hand */
    struct build_place place;
    struct buffer place_key;
    uint64_t rows, step_rows;
    struct index_output entries; /* of the step at hand */
    uint64_t entry_bytes;
    uint64_t steps, entry_count;
    struct job_entry job;
};

static bool is_closing(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    return closing;
}

static enum plinth_status check_wanted(struct build *build, struct plinth_error *error) {
    if (is_closing(build->db)) return error_set(error, PLINTH_CANCELLED, "the engine is closing");
    if (atomic_load(&build->job.cancelled)) return error_set(error, PLINTH_CANCELLED, "the build was cancelled");
    if (!engine_table_exists(build->db, build->index->id))
        return error_set(error, PLINTH_NOT_FOUND, "index \"%s\" was dropped while it was built", build->index->name);
    return PLINTH_OK;
}

/* ---- the shard's state ---- */

bool engine_build_covers(struct plinth *db, struct table_id index, uint64_t cut_lsn) {
    pthread_mutex_lock(&db->sequence_mutex);
    const struct index_build *build = index_builds_find(&db->shard.index_builds, index.table);
    bool covers = build && build->from_lsn > cut_lsn;
    pthread_mutex_unlock(&db->sequence_mutex);
    return covers;
}

static uint64_t rows_in_runs(struct plinth *db, struct table_id id) {
    struct view *view = view_current(&db->views);
    const struct view_table *table = view_find_table(view, id);
    uint64_t rows = 0;
    for (size_t r = 0; table && r < table->run_count; r++) rows += run_rows(table->runs[r].run);
    view_unref(view);
    return rows;
}

unsigned engine_index_percent(struct plinth *db, struct table_id id) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *index = catalog_table_by_id(&db->shard.catalog, id.table);
    struct table_id of = {id.tenant, id.database, index ? index->space : 0};
    pthread_rwlock_unlock(&db->catalog_lock);
    pthread_mutex_lock(&db->sequence_mutex);
    const struct index_build *build = index_builds_find(&db->shard.index_builds, id.table);
    bool builds = build != NULL;
    uint64_t done = build ? build->rows : 0;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!builds) return index ? 100 : 0;
    uint64_t total = rows_in_runs(db, of);
    return !total ? 0 : done < total ? (unsigned)(done * 100 / total) : 99;
}

/* Takes over what the log says of the build; PLINTH_NOT_FOUND when there is none (any more). */
static enum plinth_status load_build(struct build *build, uint32_t index, struct plinth_error *error) {
    struct plinth *db = build->db;
    bool ok = true;
    pthread_mutex_lock(&db->sequence_mutex);
    const struct index_build *from = index_builds_find(&db->shard.index_builds, index);
    const struct catalog_table *table = from ? catalog_table_by_id(&db->shard.catalog, index) : NULL;
    const struct catalog_table *of = table ? catalog_table_by_id(&db->shard.catalog, table->space) : NULL;
    if (of) {
        build->schema = table_schema_ref(of->schema);
        build->index = table_schema_find_index_id(build->schema, index);
        build->version = table->version;
        build->from_lsn = from->from_lsn;
        build->rows = from->rows;
        build->place = from->place;
        ok = buffer_append(&build->place_key, from->place.key.data, from->place.key.size);
        build->place.key = buffer_slice(&build->place_key);
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!ok) return error_no_memory(error, "index build");
    return of ? PLINTH_OK : error_set(error, PLINTH_NOT_FOUND, "no build of index %u", index);
}

/* Waits until all rows below the build's LSN are in segments. */
static enum plinth_status wait_flushed(struct build *build, struct plinth_error *error) {
    struct plinth *db = build->db;
    uint64_t cut = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    for (uint64_t i = 0; i < db->shard.cut_count; i++)
        if (db->shard.cuts[i] < build->from_lsn) cut = db->shard.cuts[i];
    pthread_mutex_unlock(&db->sequence_mutex);
    if (atomic_load(&db->flushed_lsn) >= cut) return PLINTH_OK;
    engine_want_flush(db);
    enum plinth_status st = PLINTH_OK;
    while (!st && atomic_load(&db->flushed_lsn) < cut) {
        pthread_mutex_lock(&db->job_mutex);
        condition_wait_us(&db->job_ended, &db->job_mutex, CHECK_US);
        bool failing = db->flush_failing;
        struct plinth_error why = db->flush_error;
        pthread_mutex_unlock(&db->job_mutex);
        st = check_wanted(build, error);
        if (!st) st = engine_check(db, error);
        if (!st && failing) st = error_set(error, why.status, "%s", why.text);
    }
    return st;
}

/* ---- commit of a step ---- */

static enum plinth_status commit_step(struct build *build, const struct index_step *step, struct run *run,
                                      struct plinth_error *error) {
    struct plinth *db = build->db;
    struct buffer payload = BUFFER_INIT;
    struct record_header header = {.kind = CHANGE_INDEX_STEP, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    uint64_t lsn = 0;
    bool encoded = index_step_encode(&payload, step);
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = encoded ? view_edit(&db->views) : NULL;
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "index build");
    if (!st && run && !view_insert_run(view, build->index->id, 0, (struct view_run){.run = run_ref(run)})) {
        run_unref(run);
        st = error_no_memory(error, "index build");
    }
    if (!st) st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, &lsn, &decision, error);
    if (!st && decision.verdict == VERDICT_APPLIED) {
        if (run) ((struct view_table *)view_find_table(view, build->index->id))->runs[0].id = lsn;
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

/* Writes the entries collected and commits them, with the place reached. */
static enum plinth_status end_step(struct build *build, struct plinth_error *error) {
    struct plinth *db = build->db;
    struct output output = {0};
    struct run *run = NULL;
    struct index_step step = {.index = build->index->id, .rows = build->rows, .place = build->place};
    enum plinth_status st = build->entry_bytes ? engine_begin_job(db, JOB_COMPACT, &step.job, error) : PLINTH_OK;
    if (st) return st;
    output_init(&output, db, step.job, SEGMENT_LZ4, SEGMENT_RAW_BYTES_MAX);
    if (step.job) st = index_output_write(&build->entries, &output, error);
    if (!st) st = output_finish(&output, error);
    if (!st && output.segment_count) st = output_open_run(db, output.segments, output.segment_count, &run, error);
    step.segments = output.segments;
    step.segment_count = output.segment_count;
    if (!st) st = commit_step(build, &step, run, error);
    if (st && step.job && !atomic_load(&db->failed)) engine_abort_job(db, step.job);
    if (run) run_unref(run);
    build->steps++;
    build->entry_count += output.rows;
    output_deinit(&output);
    index_output_deinit(&build->entries);
    index_output_init(&build->entries, build->schema, build->index);
    build->entry_bytes = build->step_rows = 0;
    if (!st) engine_want_compaction(db);
    return st;
}

/* Tests change it while a build is running. */
static uint64_t step_bytes(const struct plinth *db) {
    return __atomic_load_n(&db->sizes.index_step_bytes, __ATOMIC_RELAXED);
}

static bool step_is_full(const struct build *build) {
    const struct plinth *db = build->db;
    uint64_t asked_for = step_bytes(db), bytes_max = asked_for ? asked_for : db->options.memtable_bytes;
    return build->entry_bytes >= bytes_max || build->step_rows >= STEP_ROWS_MAX;
}

/* ---- rows ---- */

/* Whether the build has still to look at a row of the partition at hand. */
static bool is_wanted(const struct build *build, const struct row_block *block, uint32_t row) {
    uint64_t lsn = row_block_lsn(block, row);
    if (lsn > build->from_lsn) return false;
    if (lsn < build->place.lsn) return true;
    return !slice_equal(row_block_key(block, row), build->place.key);
}

/* `resumes`: the block's last row may still be one that an earlier step has seen. */
static bool move_place(struct build *build, const struct row_block *block, const struct view_run *of, bool resumes) {
    struct slice key = row_block_key(block, block->rows - 1);
    if (resumes && row_block_lsn(block, block->rows - 1) >= build->place.lsn && slice_equal(key, build->place.key))
        return true;
    buffer_clear(&build->place_key);
    if (!buffer_append(&build->place_key, key.data, key.size)) return false;
    build->place = (struct build_place){.is_set = true,
                                        .has_partition = of->has_partition,
                                        .partition = of->partition,
                                        .key = buffer_slice(&build->place_key),
                                        .lsn = row_block_lsn(block, block->rows - 1)};
    build->rows += block->rows;
    build->step_rows += block->rows;
    return true;
}

static enum plinth_status add_entries(struct build *build, const struct row_block *block, struct plinth_error *error) {
    size_t before = build->entries.keys.size;
    enum plinth_status st = index_output_add(&build->entries, block, error);
    /* A full piece was put away in between when there is less than before. */
    size_t after = build->entries.keys.size;
    build->entry_bytes += after > before ? after - before : after;
    return st;
}

/* `resumes`: the block may begin with rows that an earlier step has seen. */
static enum plinth_status add_block(struct build *build, struct row_block *block, const struct view_run *of,
                                    bool resumes, struct plinth_error *error) {
    struct row_stretch *stretches = NULL;
    uint32_t count = 0, wanted = 0;
    enum plinth_status st = check_wanted(build, error);
    if (!st && (resumes || block->lsn_max > build->from_lsn || block->lsns)) {
        stretches = malloc((block->rows + (size_t)1) * sizeof *stretches);
        if (!stretches) st = error_no_memory(error, "index build");
        for (uint32_t row = 0; !st && row < block->rows; row++) {
            if (resumes ? !is_wanted(build, block, row) : row_block_lsn(block, row) > build->from_lsn) continue;
            if (count && stretches[count - 1].first + stretches[count - 1].count == row)
                stretches[count - 1].count++;
            else
                stretches[count++] = (struct row_stretch){0, row, 1};
            wanted++;
        }
    } else {
        wanted = block->rows;
    }
    if (!st && wanted == block->rows) {
        st = add_entries(build, block, error);
    } else if (!st && wanted) {
        struct row_block *some = row_block_select(block, stretches, count);
        st = some ? add_entries(build, some, error) : error_no_memory(error, "index build");
        row_block_unref(some);
    }
    free(stretches);
    if (!st && !move_place(build, block, of, resumes)) st = error_no_memory(error, "index build");
    counter_add(&build->job.done, block->rows);
    return st;
}

/* So many rows at a time that small steps can be as small. */
static uint32_t block_rows(const struct build *build) {
    uint64_t bytes = step_bytes(build->db);
    return (uint32_t)(bytes ? bytes / 64 + 1 : 0);
}

/* Rows of the runs [begin, end), all of one partition, until the step is full; `*whole`: to their end. */
static enum plinth_status read_partition(struct build *build, const struct view_table *table, size_t begin, size_t end,
                                         struct block_read *read, bool *whole, struct plinth_error *error) {
    const struct view_run *of = &table->runs[begin];
    const struct block_merge_options options = {
        .mode = MERGE_RETAIN, .lsn = build->horizon_lsn, .bottom = true, .block_rows = block_rows(build)};
    bool resumes = build->place.is_set && partition_compare(build->place.has_partition, build->place.partition,
                                                            of->has_partition, of->partition) == 0;
    struct buffer lower = BUFFER_INIT;
    struct block_stream **inputs = malloc((end - begin) * sizeof *inputs), *merged = NULL;
    bool ok = inputs && (!resumes || buffer_append(&lower, build->place.key.data, build->place.key.size));
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "index build");
    size_t opened = 0;
    read->lower = buffer_slice(&lower);
    for (; !st && opened < end - begin; opened += !st)
        st = run_block_stream_open(table->runs[begin + opened].run, read, &inputs[opened], error);
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, &merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    *whole = false;
    while (!st && !step_is_full(build)) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) {
            *whole = !st;
            break;
        }
        st = add_block(build, block, of, resumes, error);
        row_block_unref(block);
    }
    block_stream_close(merged);
    buffer_deinit(&lower);
    return st;
}

/* One step: rows from a fresh view, behind the place reached; `*finished`: there are no more. */
static enum plinth_status make_step(struct build *build, bool *finished, struct plinth_error *error) {
    uint32_t ids[ROW_KEY_PARTS_MAX];
    uint32_t count = table_index_columns(build->index, ids);
    struct block_read read = {.schema = build->schema, .column_ids = ids, .column_count = count, .with_keys = true};
    build->horizon_lsn = engine_take_horizon(build->db);
    struct view *view = view_current(&build->db->views);
    const struct view_table *table = view_find_table(view, build->schema->id);
    enum plinth_status st = PLINTH_OK;
    size_t begin = 0;
    if (table && build->place.is_set)
        begin = view_partition_begin(table, build->place.has_partition, build->place.partition);
    while (!st && table && begin < table->run_count && !step_is_full(build)) {
        size_t end = view_partition_end(table, begin);
        bool whole;
        st = read_partition(build, table, begin, end, &read, &whole, error);
        if (whole) begin = end;
    }
    *finished = !table || begin >= table->run_count;
    view_unref(view);
    return st ? st : end_step(build, error);
}

static enum plinth_status build_sorted(struct build *build, struct plinth_error *error) {
    index_output_init(&build->entries, build->schema, build->index);
    bool finished = false;
    enum plinth_status st = PLINTH_OK;
    while (!st && !finished) st = make_step(build, &finished, error);
    index_output_deinit(&build->entries);
    return st;
}

/* ---- indexes that live in segments ---- */

/* What is wrong with a file that cannot be read, its rewriting will say. */
static bool lacks_index(struct segment *segment, void *context) {
    const struct build *build = context;
    uint64_t version;
    return segment_schema_version(segment, &version, NULL) || version < build->version;
}

static enum plinth_status build_in_segments(struct build *build, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (bool more = true; !st && more;) {
        st = check_wanted(build, error);
        if (!st)
            st = engine_rewrite_segment(build->db, build->schema->id, lacks_index, build, &build->job.cancelled,
                                        &build->job.done, &more, error);
        build->steps += !st && more;
    }
    return st;
}

/* ---- the whole build ---- */

static enum plinth_status make_ready(struct build *build, struct plinth_error *error) {
    struct plinth *db = build->db;
    struct catalog_change change = {.tenant = build->index->id.tenant,
                                    .database = build->index->id.database,
                                    .space = build->index->id.table,
                                    .index_state = INDEX_READY};
    uint64_t lsn;
    enum plinth_status st;
    struct table_id replaced = build->index->id;
    replaced.table = build->index->replaces;
    if (replaced.table && engine_table_exists(db, replaced)) {
        change.kind = CATALOG_REPLACE_INDEX;
        st = engine_change_catalog(db, &change, &lsn, error);
    } else {
        change.kind = CATALOG_SET_INDEX_STATE;
        st = engine_change_catalog(db, &change, &lsn, error);
    }
    return st ? st : log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
}

static void drop_cancelled(struct build *build) {
    struct catalog_change change = {.kind = CATALOG_DROP_INDEX,
                                    .tenant = build->index->id.tenant,
                                    .database = build->index->id.database,
                                    .space = build->index->id.table};
    struct plinth_error error = {0};
    uint64_t lsn;
    if (engine_change_catalog(build->db, &change, &lsn, &error) && error.status != PLINTH_NOT_FOUND)
        log_event(LOG_ERROR, "index_not_dropped", "index=\"%s\" reason=\"%s\"", build->index->name, error.text);
}

static enum plinth_status run_build(struct build *build, struct plinth_error *error) {
    struct plinth *db = build->db;
    uint64_t began = env_monotonic_ns(db->env);
    job_enter(db, &build->job, PLINTH_JOB_INDEX_BUILD, build->index->id,
              build->place.is_set ? "an index is built: behind what was done before" : "an index was created");
    enum plinth_status st = wait_flushed(build, error);
    atomic_store(&build->job.total, rows_in_runs(db, build->schema->id));
    atomic_store(&build->job.done, build->rows);
    if (!st) st = build->index->kind == INDEX_SORTED ? build_sorted(build, error) : build_in_segments(build, error);
    if (!st) st = check_wanted(build, error);
    if (!st && build->index->unique) st = engine_check_doubles(db, build->schema, build->index, error);
    if (!st) st = make_ready(build, error);
    bool cancelled = st == PLINTH_CANCELLED && atomic_load(&build->job.cancelled);
    if (cancelled) drop_cancelled(build);
    job_leave(db, &build->job, st, error);
    if (!st)
        log_event(LOG_INFO, "index_built", "table=%u index=%u kind=%s steps=%llu entries=%llu ms=%.1f",
                  build->schema->id.table, build->index->id.table, index_kind_name(build->index->kind),
                  (unsigned long long)build->steps, (unsigned long long)build->entry_count,
                  (double)(env_monotonic_ns(db->env) - began) / 1e6);
    return st;
}

/* ---- the thread ---- */

static struct build_failure *find_failure(struct index_builder *builder, uint32_t index) {
    struct build_failure *failure = builder->failures;
    while (failure && failure->index != index) failure = failure->next;
    return failure;
}

static void forget_failure(struct index_builder *builder, uint32_t index) {
    struct build_failure **link = &builder->failures;
    while (*link && (*link)->index != index) link = &(*link)->next;
    struct build_failure *failure = *link;
    if (!failure) return;
    *link = failure->next;
    free(failure);
}

/* Without memory it is tried again at once. */
static void note_failure(struct plinth *db, uint32_t index, const struct plinth_error *error) {
    struct index_builder *builder = db->index_builder;
    struct build_failure *failure = find_failure(builder, index);
    log_event(LOG_ERROR, "index_build_failed", "index=%u reason=\"%s\"", index, error->text);
    if (!failure) {
        failure = calloc(1, sizeof *failure);
        if (!failure) return;
        failure->index = index;
        failure->next = builder->failures;
        builder->failures = failure;
    }
    uint64_t wait = RETRY_NS << (failure->count < 7 ? failure->count : 7);
    failure->count++;
    failure->error = *error;
    failure->due_ns = thread_time_ns() + (wait < RETRY_NS_MAX ? wait : RETRY_NS_MAX);
}

/* Ends a wait. job_mutex is held. */
static void end_wait(struct index_builder *builder, struct index_wait *wait, enum plinth_status status) {
    struct index_wait **link = &builder->waits;
    while (*link != wait) link = &(*link)->next;
    *link = wait->next;
    wait->status = status;
    wait->done = true;
}

static const struct table_index *find_index(struct plinth *db, uint32_t id) {
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, id);
    const struct catalog_table *of = table ? catalog_table_by_id(&db->shard.catalog, table->space) : NULL;
    return of && of->schema ? table_schema_find_index_id(of->schema, id) : NULL;
}

/* Tells who waits what has become of their index. */
static void end_waits(struct plinth *db) {
    struct index_builder *builder = db->index_builder;
    struct plinth_error stopped = {0};
    bool failed = engine_check(db, &stopped) != PLINTH_OK;
    pthread_rwlock_rdlock(&db->catalog_lock);
    pthread_mutex_lock(&db->job_mutex);
    for (struct index_wait *wait = builder->waits, *next; wait; wait = next) {
        next = wait->next;
        const struct table_index *index = find_index(db, wait->index);
        const struct build_failure *failure = find_failure(builder, wait->index);
        if (!index) {
            end_wait(builder, wait,
                     error_set(&wait->error, PLINTH_NOT_FOUND, "the index was dropped while it was built"));
        } else if (index->state == INDEX_READY) {
            end_wait(builder, wait, PLINTH_OK);
        } else if (failed) {
            wait->error = stopped;
            end_wait(builder, wait, stopped.status);
        } else if (failure) {
            wait->error = failure->error;
            error_prefix(&wait->error, "the build of index \"%s\" is tried again, after", index->name);
            end_wait(builder, wait, failure->error.status);
        }
    }
    pthread_cond_broadcast(&db->job_ended);
    pthread_mutex_unlock(&db->job_mutex);
    pthread_rwlock_unlock(&db->catalog_lock);
}

/* The waits for one index, or (0) all. */
static void cancel_waits(struct plinth *db, uint32_t index, const char *why) {
    struct index_builder *builder = db->index_builder;
    pthread_mutex_lock(&db->job_mutex);
    for (struct index_wait *wait = builder->waits, *next; wait; wait = next) {
        next = wait->next;
        if (index && wait->index != index) continue;
        end_wait(builder, wait, error_set(&wait->error, PLINTH_CANCELLED, "%s", why));
    }
    pthread_cond_broadcast(&db->job_ended);
    pthread_mutex_unlock(&db->job_mutex);
}

static void build_index(struct plinth *db, uint32_t index) {
    struct build build = {.db = db};
    struct plinth_error error = {0};
    enum plinth_status st = load_build(&build, index, &error);
    if (!st) st = run_build(&build, &error);
    if (st == PLINTH_CANCELLED && !is_closing(db)) cancel_waits(db, index, "the build of the index was cancelled");
    if (st && st != PLINTH_CANCELLED && engine_table_exists(db, (struct table_id){1, 1, index}))
        note_failure(db, index, &error);
    else
        forget_failure(db->index_builder, index);
    table_schema_unref(build.schema);
    buffer_deinit(&build.place_key);
}

/* The first build behind `*index` that is due, or false; `*wait_us` becomes the time until the next one that has failed
 * is tried again, if that is less. */
static bool next_build(struct plinth *db, uint32_t *index, uint64_t *wait_us) {
    uint64_t now = thread_time_ns();
    bool found = false;
    pthread_mutex_lock(&db->sequence_mutex);
    const struct index_builds *builds = &db->shard.index_builds;
    for (uint64_t i = 0; !found && i < builds->count && !atomic_load(&db->failed); i++) {
        uint32_t id = builds->all[i].index.table;
        const struct build_failure *failure = find_failure(db->index_builder, id);
        if (id <= *index) continue;
        if (failure && failure->due_ns > now) {
            uint64_t us = (failure->due_ns - now) / 1000 + 1;
            if (us < *wait_us) *wait_us = us;
            continue;
        }
        found = true;
        *index = id;
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    return found;
}

static void *build_main(void *argument) {
    struct plinth *db = argument;
    struct index_builder *builder = db->index_builder;
    thread_be_background(); /* writers come first */
    pthread_mutex_lock(&db->job_mutex);
    while (!db->closing) {
        uint64_t seen = builder->wanted, wait_us = RETRY_NS_MAX / 1000;
        uint32_t index = 0;
        pthread_mutex_unlock(&db->job_mutex);
        while (!is_closing(db) && next_build(db, &index, &wait_us)) build_index(db, index);
        end_waits(db);
        /* Behind a look at failures that were added just now. */
        index = 0;
        if (next_build(db, &index, &wait_us)) wait_us = RETRY_NS / 1000;
        pthread_mutex_lock(&db->job_mutex);
        if (builder->wanted == seen && !db->closing) condition_wait_us(&db->job_wanted, &db->job_mutex, wait_us);
    }
    pthread_mutex_unlock(&db->job_mutex);
    cancel_waits(db, 0, "the engine is closing");
    return NULL;
}

enum plinth_status index_builder_start(struct plinth *db, struct plinth_error *error) {
    db->index_builder = calloc(1, sizeof *db->index_builder);
    if (!db->index_builder) return error_no_memory(error, "index builds");
    enum plinth_status st = thread_start(&db->index_builder->thread, "plinth-index", build_main, db, error);
    db->index_builder->runs = !st;
    return st;
}

void index_builder_stop(struct plinth *db) {
    if (db->index_builder && db->index_builder->runs) pthread_join(db->index_builder->thread, NULL);
    if (db->index_builder) db->index_builder->runs = false;
}

void index_builder_free(struct plinth *db) {
    while (db->index_builder && db->index_builder->failures)
        forget_failure(db->index_builder, db->index_builder->failures->index);
    free(db->index_builder);
    db->index_builder = NULL;
}

void engine_want_index_builds(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    if (db->index_builder) db->index_builder->wanted++;
    pthread_cond_broadcast(&db->job_wanted);
    pthread_mutex_unlock(&db->job_mutex);
}

enum plinth_status engine_wait_for_index(struct plinth *db, struct table_id index, struct plinth_error *error) {
    struct index_wait wait = {.index = index.table};
    pthread_mutex_lock(&db->job_mutex);
    struct index_builder *builder = db->index_builder;
    if (db->closing) {
        pthread_mutex_unlock(&db->job_mutex);
        return error_set(error, PLINTH_CANCELLED, "the engine is closing");
    }
    wait.next = builder->waits;
    builder->waits = &wait;
    builder->wanted++;
    pthread_cond_broadcast(&db->job_wanted);
    while (!wait.done) pthread_cond_wait(&db->job_ended, &db->job_mutex);
    pthread_mutex_unlock(&db->job_mutex);
    if (wait.status) return error_set(error, wait.status, "%s", wait.error.text);
    return PLINTH_OK;
}
