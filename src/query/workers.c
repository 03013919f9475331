/* Tasks on threads. Tasks are started in order, at most a few ahead of the reader, so that memory is bounded and a slow
 * reader holds no more than what waits for it; results are given in order when asked for, else as they come. */
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

static void reverse_results(struct worker *worker, enum plinth_status *st, struct plinth_error *error) {
    for (uint32_t i = 0, j = worker->ready_count; i + 1 < j; i++) {
        struct batch *swapped = worker->ready[i];
        worker->ready[i] = worker->ready[--j];
        worker->ready[j] = swapped;
    }
    for (uint32_t i = 0; !*st && i < worker->ready_count; i++) {
        struct batch *batch = worker->ready[i];
        uint32_t *rows = malloc((batch->rows + 1) * sizeof *rows);
        for (uint32_t r = 0; rows && r < batch->rows; r++) rows[r] = batch->rows - 1 - r;
        struct batch *reversed = rows ? batch_gather(batch, rows, batch->rows) : NULL;
        free(rows);
        if (!reversed) {
            *st = error_no_memory(error, "result batch");
        } else {
            batch_unref(batch);
            worker->ready[i] = reversed;
        }
    }
}

/* Runs one task to its end; its batches are in worker->ready. */
static enum plinth_status run_task(struct worker *worker, const struct scan_task *task, struct plinth_error *error) {
    enum plinth_status st = query_run_task(worker, task, error);
    if (!st) st = query_emit_flush(worker, error);
    if (!st && worker->query->options.reverse) reverse_results(worker, &st, error);
    return st;
}

static unsigned tasks_ahead(const struct query *query) { return query->worker_count * 2 + 2; }

/* What may wait for a reader that is slow, or gone: little, as there may be many of them. */
static uint64_t waiting_bytes_max(const struct query *query) {
    uint64_t part = query->options.memory_bytes_max / 4;
    return part < QUERY_WAITING_BYTES_MAX ? part : QUERY_WAITING_BYTES_MAX;
}

static bool may_start(const struct query *query) {
    if (query->next_task >= query->task_count) return false;
    if (query->aggregates) return true;
    /* The task that the reader waits for always may. */
    if (query->next_task == query->next_result) return true;
    return query->next_task < query->next_result + tasks_ahead(query) &&
           query->bytes_waiting < waiting_bytes_max(query);
}

static void finish_task(struct query *query, struct worker *worker, uint32_t number) {
    struct task_result *result = &query->results[number];
    result->batches = worker->ready;
    result->count = worker->ready_count;
    result->done = true;
    for (uint32_t i = 0; i < result->count; i++) result->bytes += batch_bytes(result->batches[i]);
    query->bytes_waiting += result->bytes;
    query->tasks_done++;
    worker->ready = NULL;
    worker->ready_count = worker->ready_capacity = 0;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct query *query = worker->query;
    pthread_mutex_lock(&query->mutex);
    for (;;) {
        while (!atomic_load(&query->stop) && query->next_task < query->task_count && !may_start(query))
            pthread_cond_wait(&query->changed, &query->mutex);
        if (atomic_load(&query->stop) || query->next_task >= query->task_count) break;
        uint32_t number = query->next_task++;
        pthread_mutex_unlock(&query->mutex);
        struct plinth_error error = {0};
        enum plinth_status st = run_task(worker, &query->tasks[number], &error);
        pthread_mutex_lock(&query->mutex);
        if (st) {
            if (!query->status) {
                query->status = st;
                query->error = error;
            }
            atomic_store(&query->stop, true);
        } else {
            finish_task(query, worker, number);
        }
        pthread_cond_broadcast(&query->changed);
    }
    query->running--;
    pthread_cond_broadcast(&query->changed);
    pthread_mutex_unlock(&query->mutex);
    return NULL;
}

enum plinth_status query_start_workers(struct query *query, struct plinth_error *error) {
    query->threads_started = true;
    enum plinth_status st = PLINTH_OK;
    for (unsigned i = 0; !st && i < query->worker_count; i++) {
        pthread_mutex_lock(&query->mutex);
        query->running++;
        pthread_mutex_unlock(&query->mutex);
        st = thread_start(&query->workers[i].thread, "query", work, &query->workers[i], error);
        query->workers[i].started = !st;
        if (!st) continue;
        pthread_mutex_lock(&query->mutex);
        query->running--;
        pthread_mutex_unlock(&query->mutex);
        if (i) { /* fewer threads do as well */
            error_clear(error);
            return PLINTH_OK;
        }
    }
    return st;
}

void query_stop_workers(struct query *query) {
    pthread_mutex_lock(&query->mutex);
    atomic_store(&query->stop, true);
    pthread_cond_broadcast(&query->changed);
    pthread_mutex_unlock(&query->mutex);
    for (unsigned i = 0; i < query->worker_count; i++)
        if (query->workers[i].started) {
            pthread_join(query->workers[i].thread, NULL);
            query->workers[i].started = false;
        }
}

/* A task with batches that may be given now; null: none yet. Moves next_result over what is given. */
static struct task_result *find_result(struct query *query) {
    while (query->next_result < query->task_count && query->results[query->next_result].done &&
           query->results[query->next_result].given == query->results[query->next_result].count)
        query->next_result++;
    if (query->next_result == query->task_count) return NULL;
    uint32_t end = query->options.ordered ? query->next_result + 1 : query->next_task;
    for (uint32_t i = query->next_result; i < end && i < query->task_count; i++) {
        struct task_result *result = &query->results[i];
        if (result->done && result->given < result->count) return result;
    }
    return NULL;
}

static struct batch *take(struct query *query, struct task_result *result) {
    struct batch *batch = result->batches[result->given];
    result->batches[result->given++] = NULL;
    if (result->given == result->count) query->bytes_waiting -= result->bytes;
    return batch;
}

/* On the caller's own thread: one task after the other. */
static enum plinth_status next_inline(struct query *query, struct batch **batch, struct plinth_error *error) {
    for (;;) {
        struct task_result *result = find_result(query);
        if (result) {
            *batch = take(query, result);
            return PLINTH_OK;
        }
        if (query->next_task >= query->task_count) return PLINTH_OK;
        if (atomic_load(&query->cancelled)) return error_set(error, PLINTH_CANCELLED, "the query was cancelled");
        uint32_t number = query->next_task++;
        enum plinth_status st = run_task(&query->inline_worker, &query->tasks[number], error);
        if (st) return st;
        finish_task(query, &query->inline_worker, number);
    }
}

enum plinth_status query_next_result(struct query *query, struct batch **batch, struct plinth_error *error) {
    *batch = NULL;
    if (query->worker_count <= 1) return next_inline(query, batch, error);
    if (!query->threads_started) {
        enum plinth_status st = query_start_workers(query, error);
        if (st) return st;
    }
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&query->mutex);
    for (;;) {
        st = query->status;
        if (st && error) *error = query->error;
        struct task_result *result = st ? NULL : find_result(query);
        if (result) {
            *batch = take(query, result);
            find_result(query);
        }
        pthread_cond_broadcast(&query->changed);
        if (st || result || query->next_result == query->task_count) break;
        if (atomic_load(&query->cancelled)) {
            st = error_set(error, PLINTH_CANCELLED, "the query was cancelled");
            break;
        }
        pthread_cond_wait(&query->changed, &query->mutex);
    }
    pthread_mutex_unlock(&query->mutex);
    return st;
}
