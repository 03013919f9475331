/* The query as its caller sees it: open, next, close. */
#include "query/query.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "query/query_private.h"

static enum plinth_status make_aggregator(struct query *query, struct worker *worker, struct plinth_error *error) {
    struct column_type types[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < query->options.group_by_count; i++) types[i] = query->out_schema.fields[i].type;
    return aggregator_create(query->aggregates, query->options.aggregate_count, query->group_columns, types,
                             query->options.group_by_count, &query->budget, &worker->aggregator, error);
}

#define QUERY_BYTES_DEFAULT (256ull << 20)

static unsigned threads_of(const struct query *query) {
    unsigned threads = query->options.threads;
    /* Small ones are not to pay for the question about the cores, which reads a file. */
    if (query->by_candidates || query->options.explain_only || query->task_count <= 1) return 1;
    if (!threads) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores > 0 ? (unsigned)cores : 1;
    }
    if (threads > QUERY_THREADS_MAX) threads = QUERY_THREADS_MAX;
    return threads > query->task_count ? query->task_count : threads;
}

/* Memory for the threads, and fewer of them when there is little. Small queries, of one task, take none: they are many,
 * and short. */
static enum plinth_status take_threads(struct query *query, struct plinth_error *error) {
    if (query->by_candidates || query->options.explain_only || query->task_count <= 1) return PLINTH_OK;
    enum plinth_status st = PLINTH_OK;
    for (unsigned threads = query->worker_count; threads; threads /= 2) {
        st = engine_take_query_memory(query->db, (uint64_t)threads * QUERY_THREAD_BYTES, error);
        if (st) continue;
        query->worker_count = threads;
        query->threads_memory = (uint64_t)threads * QUERY_THREAD_BYTES;
        error_clear(error);
        return PLINTH_OK;
    }
    query->worker_count = 0;
    return st;
}

enum plinth_status query_take_memory(struct query *query, uint64_t bytes, struct plinth_error *error) {
    if (bytes == query->keys_memory) return PLINTH_OK;
    enum plinth_status st = engine_take_query_memory(query->db, bytes - query->keys_memory, error);
    if (!st) query->keys_memory = bytes;
    return st;
}

static enum plinth_status take_own(struct query *query, struct plinth_error *error) {
    uint64_t count = query->options.own_count;
    query->options.own_count = 0;
    if (!count) return PLINTH_OK;
    query->own = malloc(count * sizeof *query->own);
    if (!query->own) return error_no_memory(error, "query");
    for (uint64_t i = 0; i < count; i++) query->own[i] = row_block_ref(query->options.own[i]);
    query->options.own_count = count;
    return PLINTH_OK;
}

/* The schema of the state that is read, which may be another one than the caller found: an older one, or one that came
 * meanwhile. */
static enum plinth_status take_schema(struct query *query, struct plinth_error *error) {
    const struct table_schema *given = query->schema, *of_state = NULL;
    enum plinth_status st = engine_schema_at(query->db, given->id, query->lsn, &of_state, error);
    if (st == PLINTH_NOT_FOUND) return error_set(error, st, "table \"%s\" was dropped", given->name);
    if (st) return st;
    if (of_state->version == given->version) {
        table_schema_unref(of_state);
        return PLINTH_OK;
    }
    /* Indexes are those that were ready before the view was taken: the view need not have entries of others. */
    struct table_schema *made = table_schema_copy(of_state, 0, 0);
    table_schema_unref(of_state);
    if (!made) return error_no_memory(error, "query");
    for (uint32_t i = made->index_count; i > 0; i--) {
        const struct table_index *known = table_schema_find_index_id(given, made->indexes[i - 1].id.table);
        if (known && known->state == INDEX_READY) continue;
        made->index_count--;
        memmove(&made->indexes[i - 1], &made->indexes[i], (made->index_count - (i - 1)) * sizeof *made->indexes);
    }
    query->schema = made;
    table_schema_unref(given);
    return PLINTH_OK;
}

enum plinth_status query_open(struct plinth *db, const struct table_schema *schema, const struct query_options *options,
                              struct query **query, struct plinth_error *error) {
    *query = NULL;
    error_clear(error);
    if (options->reverse && !options->ordered)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a reverse scan is an ordered one");
    struct query *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "query");
    made->db = db;
    made->schema = table_schema_ref(schema);
    made->options = *options;
    if (!made->options.batch_rows) made->options.batch_rows = QUERY_BATCH_ROWS;
    if (!made->options.memory_bytes_max) made->options.memory_bytes_max = QUERY_BYTES_DEFAULT;
    made->budget = (struct aggregate_budget){.bytes_max = made->options.memory_bytes_max, .db = db};
    arena_init(&made->arena);
    arena_init(&made->entries.found.arena);
    pthread_mutex_init(&made->mutex, NULL);
    condition_init(&made->changed);
    worker_init(&made->inline_worker, made);
    made->began_ns = env_monotonic_ns(db->env);
    enum plinth_status st = take_own(made, error);
    if (!st) st = engine_begin_read(db, &options->read, &made->view, &made->lsn, error);
    if (!st) made->time_us = engine_read_time_us(db, &options->read, made->lsn);
    if (!st) st = take_schema(made, error);
    if (!st) st = query_plan(made, error);
    made->options.predicate = NULL; /* and what else was borrowed for this call */
    made->options.columns = NULL;
    made->options.group_by = NULL;
    made->options.aggregates = NULL;
    made->options.force_path = (struct slice){0};
    made->options.own = NULL;
    made->options.key_after = (struct slice){0};
    if (!st) {
        made->worker_count = threads_of(made);
        st = take_threads(made, error);
        if (!st && made->worker_count > 1) {
            made->workers = calloc(made->worker_count, sizeof *made->workers);
            if (!made->workers) {
                made->worker_count = 0;
                st = error_no_memory(error, "query");
            }
        }
        for (unsigned i = 0; made->workers && i < made->worker_count; i++) {
            worker_init(&made->workers[i], made);
            if (!st && made->aggregates) st = make_aggregator(made, &made->workers[i], error);
        }
        if (!st && made->aggregates) st = make_aggregator(made, &made->inline_worker, error);
    }
    if (st) {
        query_close(made);
        return st;
    }
    *query = made;
    return PLINTH_OK;
}

const struct arrow_schema *query_schema(const struct query *query) { return &query->out_schema; }
const struct key_ranges *query_key_ranges(const struct query *query) { return &query->ranges; }

struct plinth_position query_position(const struct query *query) {
    return engine_position(query->db, query->lsn);
}

void query_cancel(struct query *query) {
    atomic_store(&query->cancelled, true);
    atomic_store(&query->stop, true);
    pthread_mutex_lock(&query->mutex);
    pthread_cond_broadcast(&query->changed);
    pthread_mutex_unlock(&query->mutex);
}

static enum plinth_status check_cancelled(const struct query *query, struct plinth_error *error) {
    if (!atomic_load(&query->cancelled)) return PLINTH_OK;
    return error_set(error, PLINTH_CANCELLED, "the query was cancelled");
}

/* Takes the first ready batch of a worker. */
static struct batch *take_ready(struct worker *worker) {
    if (!worker->ready_count) return NULL;
    struct batch *batch = worker->ready[0];
    memmove(worker->ready, worker->ready + 1, --worker->ready_count * sizeof *worker->ready);
    return batch;
}

static enum plinth_status next_by_candidates(struct query *query, struct batch **batch, struct plinth_error *error) {
    bool end = false;
    enum plinth_status st = PLINTH_OK;
    while (!st && !(*batch = take_ready(&query->inline_worker)) && !end) {
        st = check_cancelled(query, error);
        uint64_t waiting = query->inline_worker.pending_rows, limit = query->options.limit;
        if (!st && limit && query->rows_given + waiting >= limit)
            end = true;
        else if (!st)
            st = query_next_candidates(query, &query->inline_worker, &end, error);
        if (!st && end) st = query_emit_flush(&query->inline_worker, error);
        if (!st && end) {
            *batch = take_ready(&query->inline_worker);
            break;
        }
    }
    return st;
}

/* All rows into aggregators, then their groups. */
static enum plinth_status aggregate_all(struct query *query, struct batch **batch, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (query->by_candidates) {
        bool end = false;
        while (!st && !end) {
            st = check_cancelled(query, error);
            if (!st) st = query_next_candidates(query, &query->inline_worker, &end, error);
        }
    } else {
        struct batch *none = NULL;
        st = query_next_result(query, &none, error); /* aggregators give no batches: this is the end */
        batch_unref(none);
        if (!st) st = check_cancelled(query, error);
        if (query->workers) query_stop_workers(query);
        /* Into the first one, so that its groups are not there twice. */
        for (unsigned i = 0; !st && query->workers && i < query->worker_count; i++) {
            struct aggregator *part = query->workers[i].aggregator, **whole = &query->inline_worker.aggregator;
            query->workers[i].aggregator = NULL;
            if (i) st = aggregator_merge(*whole, part, error);
            aggregator_destroy(i ? part : *whole);
            if (!i) *whole = part;
        }
    }
    if (!st) st = aggregator_finish(query->inline_worker.aggregator, batch, error);
    return st;
}

enum plinth_status query_next(struct query *query, struct batch **batch, struct plinth_error *error) {
    *batch = NULL;
    error_clear(error);
    enum plinth_status st = check_cancelled(query, error);
    if (st || query->ended) return st;
    if (query->options.explain_only) {
        query->ended = true;
    } else if (query->aggregates) {
        st = aggregate_all(query, batch, error);
        query->ended = true;
    } else {
        st = query->by_candidates ? next_by_candidates(query, batch, error) : query_next_result(query, batch, error);
        if (!*batch) query->ended = true;
    }
    uint64_t limit = query->options.limit;
    if (!st && *batch && limit) {
        uint64_t left = limit - query->rows_given;
        if ((*batch)->rows >= left) {
            query->ended = true;
            atomic_store(&query->stop, true);
            if ((*batch)->rows > left) {
                struct batch *first = batch_slice(*batch, 0, (uint32_t)left);
                batch_unref(*batch);
                *batch = first;
                if (!first) st = error_no_memory(error, "result batch");
            }
        }
    }
    if (!st && *batch) query->rows_given += (*batch)->rows;
    if (!st && !*batch) st = check_cancelled(query, error);
    query->elapsed_us = (env_monotonic_ns(query->db->env) - query->began_ns) / 1000;
    return st;
}

void query_explain_read(const struct query *query, struct query_explain *explain) {
    static const char *const paths[] = {"scan", "key", "index", "postings"};
    const struct query_counters *counters = &query->counters;
    bool only = query->path == PATH_INDEX && query->entries.covers;
    *explain = (struct query_explain){.path = only ? "index only" : paths[query->path],
                                      .index = query->index ? query->index->name : NULL,
                                      .predicate =
                                          query->predicate_text.size ? (const char *)query->predicate_text.data : NULL,
                                      .rows_estimated = query->rows_estimated,
                                      .segments = counters->segments,
                                      .segments_skipped = counters->segments_skipped,
                                      .stripes = counters->stripes,
                                      .stripes_skipped = counters->stripes_skipped,
                                      .stripes_skipped_by_bloom = counters->skipped_by_bloom,
                                      .stripes_skipped_by_postings = counters->skipped_by_postings,
                                      .rows_read = counters->rows_read,
                                      .rows_matched = counters->rows_matched,
                                      .bytes_read = counters->bytes_read,
                                      .memory_rows = counters->memory_rows,
                                      .entries_read = counters->entries_read,
                                      .entries_dead = counters->entries_dead,
                                      .threads = query->worker_count,
                                      .elapsed_us = query->elapsed_us};
}

void query_close(struct query *query) {
    if (!query) return;
    if (query->workers) {
        query_stop_workers(query);
        for (unsigned i = 0; i < query->worker_count; i++) worker_deinit(&query->workers[i]);
    }
    worker_deinit(&query->inline_worker);
    engine_give_query_memory(query->db, query->threads_memory + query->keys_memory);
    for (uint32_t i = 0; query->results && i < query->task_count; i++) {
        for (uint32_t b = 0; b < query->results[i].count; b++) batch_unref(query->results[i].batches[b]);
        free(query->results[i].batches);
    }
    index_scan_close(&query->entries);
    row_sources_deinit(&query->sources);
    for (uint64_t i = 0; i < query->options.own_count; i++) row_block_unref(query->own[i]);
    free(query->own);
    free(query->workers);
    free(query->results);
    free(query->tasks);
    free(query->visited);
    if (query->view) view_unref(query->view);
    table_schema_unref(query->schema);
    buffer_deinit(&query->predicate_text);
    pthread_mutex_destroy(&query->mutex);
    pthread_cond_destroy(&query->changed);
    arena_deinit(&query->arena);
    free(query);
}
