/* Selected rows become output batches of a useful size, or go into the worker's aggregator. */
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

void worker_init(struct worker *worker, struct query *query) {
    *worker = (struct worker){.query = query};
    arena_init(&worker->scratch);
}

void worker_deinit(struct worker *worker) {
    if (!worker->query) return;
    for (uint32_t i = 0; i < worker->pending_count; i++) batch_unref(worker->pending[i]);
    for (uint32_t i = 0; i < worker->ready_count; i++) batch_unref(worker->ready[i]);
    free(worker->pending);
    free(worker->ready);
    aggregator_destroy(worker->aggregator);
    arena_deinit(&worker->scratch);
    worker->query = NULL;
}

void query_bind_columns(const struct query *query, const struct batch *batch, const uint32_t *ids, uint32_t count,
                        const struct column **columns) {
    uint32_t at = 0;
    for (uint32_t c = 0; c < query->schema->column_count; c++) columns[c] = NULL;
    for (uint32_t i = 0; i < count; i++) {
        /* Both lists ascend by id, but a schema's columns need not: look from where the last one was found. */
        for (uint32_t tried = 0; tried < query->schema->column_count; tried++, at++) {
            if (at >= query->schema->column_count) at = 0;
            if (query->schema->columns[at].id == ids[i]) break;
        }
        columns[at] = &batch->columns[i];
    }
}

static bool push(struct batch ***list, uint32_t *count, uint32_t *capacity, struct batch *batch) {
    if (*count == *capacity) {
        uint32_t larger = *capacity ? *capacity * 2 : 8;
        struct batch **grown = realloc(*list, larger * sizeof *grown);
        if (!grown) return false;
        *list = grown;
        *capacity = larger;
    }
    (*list)[(*count)++] = batch;
    return true;
}

static void release_shared(struct batch *batch) { batch_unref(batch->release_context); }

/* The output columns of a batch, sharing its memory. */
static struct batch *project(const struct query *query, struct batch *wanted) {
    struct batch *out = batch_create(query->output_count);
    if (!out) return NULL;
    out->rows = wanted->rows;
    for (uint32_t i = 0; i < query->output_count; i++) out->columns[i] = wanted->columns[query->output[i]];
    out->release_context = batch_ref(wanted);
    out->release = release_shared;
    return out;
}

static struct batch *project_filtered(const struct query *query, const struct batch *wanted, const uint8_t *selection,
                                      uint32_t selected) {
    struct batch *out = batch_create(query->output_count);
    if (!out) return NULL;
    out->rows = selected;
    for (uint32_t i = 0; i < query->output_count; i++)
        if (!column_filter(&out->arena, &wanted->columns[query->output[i]], selection, wanted->rows, selected,
                           &out->columns[i])) {
            batch_unref(out);
            return NULL;
        }
    return out;
}

enum plinth_status query_emit_flush(struct worker *worker, struct plinth_error *error) {
    if (!worker->pending_count) return PLINTH_OK;
    struct batch *whole = batch_concat(worker->pending, worker->pending_count);
    if (!whole || !push(&worker->ready, &worker->ready_count, &worker->ready_capacity, whole)) {
        batch_unref(whole);
        return error_no_memory(error, "result batch");
    }
    for (uint32_t i = 0; i < worker->pending_count; i++) batch_unref(worker->pending[i]);
    worker->pending_count = 0;
    worker->pending_rows = 0;
    return PLINTH_OK;
}

enum plinth_status query_emit(struct worker *worker, struct batch *wanted, const uint8_t *selection, uint32_t selected,
                              struct plinth_error *error) {
    struct query *query = worker->query;
    query_count(&query->counters.rows_matched, selected);
    if (!selected) return PLINTH_OK;
    if (selected == wanted->rows) selection = NULL;
    if (worker->aggregator) {
        const struct column **columns = malloc((wanted->column_count + 1) * sizeof *columns);
        if (!columns) return error_no_memory(error, "aggregate");
        for (uint32_t i = 0; i < wanted->column_count; i++) columns[i] = &wanted->columns[i];
        enum plinth_status st = aggregator_add(worker->aggregator, columns, wanted->rows, selection, error);
        free(columns);
        return st;
    }
    uint64_t batch_rows = query->options.batch_rows;
    if (worker->pending_rows && worker->pending_rows + selected > batch_rows) {
        enum plinth_status st = query_emit_flush(worker, error);
        if (st) return st;
    }
    struct batch *out = selection ? project_filtered(query, wanted, selection, selected) : project(query, wanted);
    if (!out || !push(&worker->pending, &worker->pending_count, &worker->pending_capacity, out)) {
        batch_unref(out);
        return error_no_memory(error, "result batch");
    }
    worker->pending_rows += selected;
    return worker->pending_rows >= batch_rows ? query_emit_flush(worker, error) : PLINTH_OK;
}
