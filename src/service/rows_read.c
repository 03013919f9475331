/* The Query service: rows of typed tables by key, by index, by predicate, and in groups. Scan, GetByIndex and Aggregate
 * are streams (stream.h) over a query (query/query.h), on workers. GetRow, and GetByIndex of a few rows, are answered
 * on the loop when memory has what it takes, like KeyValue.Get. */
#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "plinth/v1/query.pb-c.h"
#include "query/query.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/row_value.h"
#include "service/service_private.h"
#include "service/stream.h"

enum {
    PIECE_BYTES_MAX = 1 << 20, /* of rows in one message: clients accept 4 MiB unless told otherwise */
    ROWS_ARROW_FIELD = 1,
    ROWS_ROWS_FIELD = 2,
    ROWS_POSITION_FIELD = 3,
    ROWS_EXPLAIN_FIELD = 4,
};

/* ---- what requests have in common ---- */

static enum plinth_status find_table(struct service *service, const Plinth__V1__Table *table,
                                     const struct table_schema **schema, struct plinth_error *error) {
    if (!table || !*table->name) return error_set(error, PLINTH_INVALID_ARGUMENT, "table.name: must not be empty");
    return engine_find_schema(service->db, *table->database ? table->database : "default", table->name, schema, error);
}

/* The same, with the columns and names of the state that is read. */
static enum plinth_status find_table_read(struct service *service, const Plinth__V1__Table *table,
                                          const struct plinth_read_options *read, const struct table_schema **schema,
                                          struct plinth_error *error) {
    if (!table || !*table->name) return error_set(error, PLINTH_INVALID_ARGUMENT, "table.name: must not be empty");
    const char *database = *table->database ? table->database : "default";
    return engine_find_schema_read(service->db, database, table->name, read, schema, error);
}

static enum plinth_status slices_of(char *const *names, size_t count, struct arena *arena, const struct slice **slices,
                                    struct plinth_error *error) {
    struct slice *made = arena_alloc(arena, (count + 1) * sizeof *made);
    if (!made) return error_no_memory(error, "request");
    for (size_t i = 0; i < count; i++) made[i] = slice_of_string(names[i]);
    *slices = made;
    return PLINTH_OK;
}

/* ---- streams ---- */

struct rows_stream {
    struct stream stream;
    struct arena arena; /* the request */
    struct request_read read;
    const struct table_schema *schema;
    struct query_options options;
    enum arrow_compression compression;
    bool as_values;
    bool explain;
    bool is_short;         /* few rows, found at once: they go out together */
    bool in_memory;        /* on the loop: PLINTH_WOULD_BLOCK instead of reading the disk */
    pthread_mutex_t mutex; /* guards `query` against the loop's interrupt */
    struct query *query;
    struct batch *batch; /* whose rows are being sent */
    uint32_t batch_next;
    uint32_t piece_rows;
    bool began;
    struct buffer body;
};

static void rows_close(struct service_call *call) {
    struct rows_stream *rows = call->state;
    pthread_mutex_lock(&rows->mutex);
    struct query *query = rows->query;
    rows->query = NULL;
    pthread_mutex_unlock(&rows->mutex);
    batch_unref(rows->batch);
    rows->batch = NULL;
    query_close(query);
    table_schema_unref(rows->schema);
    rows->schema = NULL;
    request_read_deinit(call->service, &rows->read);
}

static void rows_interrupt(struct service_call *call) {
    struct rows_stream *rows = call->state;
    pthread_mutex_lock(&rows->mutex);
    if (rows->query) query_cancel(rows->query);
    pthread_mutex_unlock(&rows->mutex);
}

static bool put_bytes_field(struct buffer *chunk, unsigned field, struct slice bytes) {
    if (!buffer_reserve(chunk, encoded_bytes_size(bytes.size) + 16)) return false;
    chunk->size += encode_bytes(chunk->data + chunk->size, field, bytes);
    return true;
}

static bool put_explain(struct rows_stream *rows, struct buffer *chunk) {
    struct query_explain explain;
    query_explain_read(rows->query, &explain);
    Plinth__V1__Explain message = PLINTH__V1__EXPLAIN__INIT;
    if (explain.path) message.path = (char *)explain.path;
    if (explain.index) message.index = (char *)explain.index;
    if (explain.predicate) message.predicate = (char *)explain.predicate;
    message.rows_estimated = explain.rows_estimated;
    message.segments = explain.segments;
    message.segments_skipped = explain.segments_skipped;
    message.stripes = explain.stripes;
    message.stripes_skipped = explain.stripes_skipped;
    message.stripes_skipped_by_bloom = explain.stripes_skipped_by_bloom;
    message.stripes_skipped_by_postings = explain.stripes_skipped_by_postings;
    message.rows_read = explain.rows_read;
    message.rows_matched = explain.rows_matched;
    message.bytes_read = explain.bytes_read;
    message.memory_rows = explain.memory_rows;
    message.index_entries_read = explain.entries_read;
    message.index_entries_dead = explain.entries_dead;
    message.threads = explain.threads;
    message.elapsed_us = explain.elapsed_us;
    size_t size = plinth__v1__explain__get_packed_size(&message);
    buffer_clear(&rows->body);
    if (!buffer_reserve(&rows->body, size + 1)) return false;
    rows->body.size = plinth__v1__explain__pack(&message, rows->body.data);
    return put_bytes_field(chunk, ROWS_EXPLAIN_FIELD, buffer_slice(&rows->body));
}

/* The next batch of the query, or its end. */
static enum plinth_status next_batch(struct rows_stream *rows, bool *end, struct plinth_error *error) {
    enum plinth_status st = query_next(rows->query, &rows->batch, error);
    if (st) return st;
    *end = !rows->batch;
    rows->batch_next = 0;
    uint64_t bytes = rows->batch ? batch_bytes(rows->batch) : 0;
    rows->piece_rows = UINT32_MAX;
    if (bytes > PIECE_BYTES_MAX)
        rows->piece_rows = (uint32_t)((uint64_t)rows->batch->rows * PIECE_BYTES_MAX / bytes) + 1;
    if (rows->as_values && rows->piece_rows > 1000) rows->piece_rows = 1000;
    return PLINTH_OK;
}

/* Appends rows of the batch to the body. */
static enum plinth_status put_rows(struct rows_stream *rows, struct plinth_error *error) {
    uint32_t left = rows->batch->rows - rows->batch_next;
    uint32_t count = left < rows->piece_rows ? left : rows->piece_rows;
    enum plinth_status st = PLINTH_OK;
    if (rows->as_values) {
        if (!row_value_encode(&rows->body, query_schema(rows->query), rows->batch, rows->batch_next, count))
            st = error_no_memory(error, "rows");
    } else {
        bool whole = count == rows->batch->rows;
        struct batch *piece = whole ? batch_ref(rows->batch) : batch_slice(rows->batch, rows->batch_next, count);
        st = piece ? arrow_write_batch(&rows->body, piece, rows->compression, error) : error_no_memory(error, "rows");
        batch_unref(piece);
    }
    rows->batch_next += count;
    if (rows->batch_next == rows->batch->rows) {
        batch_unref(rows->batch);
        rows->batch = NULL;
    }
    return st;
}

/* One message: the schema and the position if it is the first, rows if there are more, the end's mark and the plan if
 * it is the last one. A small answer is all of this. */
static enum plinth_status rows_fill(struct service_call *call, struct buffer *chunk, bool *end,
                                    struct plinth_error *error) {
    struct rows_stream *rows = call->state;
    bool first = !rows->began, rows_too = !first || rows->is_short, ok = true;
    enum plinth_status st = PLINTH_OK;
    rows->began = true;
    buffer_clear(&rows->body);
    if (first && !rows->as_values) st = arrow_write_schema(&rows->body, query_schema(rows->query), error);
    if (!st && rows_too && !rows->batch) st = next_batch(rows, end, error);
    if (!st && rows->batch) st = put_rows(rows, error);
    if (!st && !*end && !rows->batch && rows->is_short) st = next_batch(rows, end, error);
    if (st) return st;
    if (*end && !rows->as_values) ok = arrow_write_end(&rows->body);
    if (ok && rows->body.size)
        ok = put_bytes_field(chunk, rows->as_values ? ROWS_ROWS_FIELD : ROWS_ARROW_FIELD, buffer_slice(&rows->body));
    if (ok && first) ok = buffer_reserve(chunk, ENCODED_POSITION_BYTES_MAX);
    if (ok && first)
        chunk->size += encode_position(chunk->data + chunk->size, ROWS_POSITION_FIELD, query_position(rows->query));
    if (ok && *end && rows->explain) ok = put_explain(rows, chunk);
    return ok ? PLINTH_OK : error_no_memory(error, "rows");
}

/* Opens the query of a stream whose options are set. */
static enum plinth_status rows_begin(struct service_call *call, const Plinth__V1__ReadOptions *read,
                                     Plinth__V1__RowFormat format, struct plinth_error *error) {
    struct rows_stream *rows = call->state;
    struct query *query = NULL;
    enum plinth_status st = row_value_format(format, &rows->compression, &rows->as_values, error);
    if (!st) st = request_read_init(call->service, read, &rows->read, error);
    if (st) return st;
    rows->options.read = rows->read.options;
    rows->options.read.wait_ms_max = request_wait_ms(call->rpc, call->service->env);
    rows->options.read.memory_only = rows->in_memory;
    st = query_open(call->service->db, rows->schema, &rows->options, &query, error);
    pthread_mutex_lock(&rows->mutex);
    rows->query = query;
    pthread_mutex_unlock(&rows->mutex);
    return st;
}

static enum plinth_status scan_open(struct service_call *call, struct plinth_error *error) {
    struct rows_stream *rows = call->state;
    Plinth__V1__ScanRowsRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__scan_rows_request__descriptor, buffer_slice(&call->request),
                                           &rows->arena, &request, error);
    if (!st) st = find_table(call->service, request->table, &rows->schema, error);
    if (!st) st = row_value_predicate(request->predicate, &rows->arena, &rows->options.predicate, error);
    if (!st) st = slices_of(request->columns, request->n_columns, &rows->arena, &rows->options.columns, error);
    if (st) return st;
    rows->options.column_count = (uint32_t)request->n_columns;
    rows->options.limit = request->limit;
    rows->options.ordered = request->ordered;
    rows->options.reverse = request->reverse;
    rows->options.batch_rows = request->batch_rows < 1u << 20 ? request->batch_rows : 1u << 20;
    rows->options.explain_only = request->explain_only;
    rows->explain = request->explain || request->explain_only;
    return rows_begin(call, request->read, request->format, error);
}

static enum plinth_status aggregate_open(struct service_call *call, struct plinth_error *error) {
    struct rows_stream *rows = call->state;
    Plinth__V1__AggregateRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__aggregate_request__descriptor, buffer_slice(&call->request),
                                           &rows->arena, &request, error);
    if (!st) st = find_table(call->service, request->table, &rows->schema, error);
    if (!st) st = row_value_predicate(request->predicate, &rows->arena, &rows->options.predicate, error);
    if (!st) st = slices_of(request->group_by, request->n_group_by, &rows->arena, &rows->options.group_by, error);
    if (st) return st;
    size_t count = request->n_functions;
    struct query_aggregate *functions = arena_alloc(&rows->arena, (count + 1) * sizeof *functions);
    if (!functions) return error_no_memory(error, "request");
    if (count + request->n_group_by == 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "functions: at least one function or group is needed");
    for (size_t i = 0; i < count; i++)
        functions[i] = (struct query_aggregate){(enum query_aggregate_kind)request->functions[i]->kind,
                                                slice_of_string(request->functions[i]->column)};
    rows->options.aggregates = functions;
    rows->options.aggregate_count = (uint32_t)count;
    rows->options.group_by_count = (uint32_t)request->n_group_by;
    rows->options.explain_only = request->explain_only;
    rows->explain = request->explain || request->explain_only;
    return rows_begin(call, request->read, request->format, error);
}

/* An AND of equalities on the index's leading columns and bounds on the next one. */
static enum plinth_status index_predicate(const Plinth__V1__GetRowsByIndexRequest *request,
                                          const struct table_schema *schema, const struct table_index *index,
                                          struct arena *arena, const struct predicate **predicate,
                                          struct plinth_error *error) {
    size_t values = request->n_values, bounds = (request->lower != NULL) + (request->upper != NULL);
    if (values > index->column_count || (bounds && values == index->column_count))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "values: index \"%s\" has %u columns, %zu values%s were given",
                         index->name, index->column_count, values, bounds ? " and bounds" : "");
    if (values + bounds == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "values: a value or a bound is needed");
    struct predicate *whole = arena_zalloc(arena, sizeof *whole);
    const struct predicate **children = arena_alloc(arena, (values + 2) * sizeof *children);
    struct predicate *nodes = arena_zalloc(arena, (values + 2) * sizeof *nodes);
    struct literal *literals = arena_zalloc(arena, (values + 2) * sizeof *literals);
    if (!whole || !children || !nodes || !literals) return error_no_memory(error, "request");
    *whole =
        (struct predicate){.kind = PREDICATE_AND, .children = children, .child_count = (uint32_t)(values + bounds)};
    for (size_t i = 0; i < values + bounds; i++) {
        bool is_value = i < values, is_lower = !is_value && request->lower && i == values;
        const Plinth__V1__Value *value = is_value ? request->values[i] : is_lower ? request->lower : request->upper;
        uint32_t part = (uint32_t)(is_value ? i : values);
        int32_t at = table_schema_find_id(schema, index->columns[part]);
        enum column_function function = (enum column_function)index->functions[part];
        struct buffer name = BUFFER_INIT;
        bool named = column_function_format(&name, function, slice_of_string(schema->columns[at].name));
        const uint8_t *copy = named ? arena_copy(arena, buffer_slice(&name)) : NULL;
        struct slice column_name = slice_of(copy, name.size);
        buffer_deinit(&name);
        if (!copy) return error_no_memory(error, "request");
        enum plinth_status st = row_value_literal(value, &literals[i], error);
        if (!st && function == FUNCTION_ELEMENTS && !is_value)
            st = error_set(error, PLINTH_INVALID_ARGUMENT,
                           "index \"%s\" is on the elements of a list: it has no bounds", index->name);
        if (!st && function == FUNCTION_ELEMENTS && literals[i].kind == LITERAL_NULL)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "values: nulls in lists are not in index \"%s\"",
                           index->name);
        if (!st && !is_value && literals[i].kind == LITERAL_NULL)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "%s: a bound cannot be null", is_lower ? "lower" : "upper");
        if (st) return st;
        nodes[i] = (struct predicate){.kind = PREDICATE_COMPARE,
                                      .comparison = is_value   ? COMPARE_EQ
                                                    : is_lower ? COMPARE_GE
                                                               : COMPARE_LE,
                                      .column_name = column_name,
                                      .literals = &literals[i],
                                      .literal_count = 1};
        if (is_value && literals[i].kind == LITERAL_NULL) nodes[i].kind = PREDICATE_IS_NULL;
        if (function == FUNCTION_ELEMENTS) nodes[i].kind = PREDICATE_CONTAINS;
        children[i] = &nodes[i];
    }
    *predicate = whole;
    return PLINTH_OK;
}

static enum plinth_status by_index_begin(struct service_call *call, struct slice message, struct plinth_error *error) {
    struct rows_stream *rows = call->state;
    Plinth__V1__GetRowsByIndexRequest *request;
    enum plinth_status st =
        request_unpack(&plinth__v1__get_rows_by_index_request__descriptor, message, &rows->arena, &request, error);
    struct request_read read = {0};
    if (!st) st = request_read_init(call->service, request->read, &read, error);
    read.options.memory_only = rows->in_memory;
    if (!st) st = find_table_read(call->service, request->table, &read.options, &rows->schema, error);
    request_read_deinit(call->service, &read);
    if (st) return st;
    const struct table_index *index = table_schema_find_index(rows->schema, slice_of_string(request->index));
    if (!index || index->kind != INDEX_SORTED)
        return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no sorted index \"%.128s\"", rows->schema->name,
                         request->index);
    st = index_predicate(request, rows->schema, index, &rows->arena, &rows->options.predicate, error);
    if (!st) st = slices_of(request->columns, request->n_columns, &rows->arena, &rows->options.columns, error);
    if (st) return st;
    rows->options.column_count = (uint32_t)request->n_columns;
    rows->options.limit = request->limit;
    rows->options.force_path = slice_of_string(request->index);
    rows->is_short = true;
    return rows_begin(call, request->read, request->format, error);
}

static enum plinth_status by_index_open(struct service_call *call, struct plinth_error *error) {
    return by_index_begin(call, buffer_slice(&call->request), error);
}

static const struct stream_ops scan_ops = {scan_open, rows_fill, rows_interrupt, rows_close};
static const struct stream_ops aggregate_ops = {aggregate_open, rows_fill, rows_interrupt, rows_close};
static const struct stream_ops by_index_ops = {by_index_open, rows_fill, rows_interrupt, rows_close};

static struct rows_stream *rows_create(struct service_call *call, const struct stream_ops *ops) {
    struct rows_stream *rows = calloc(1, sizeof *rows);
    if (!rows) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: query");
        return NULL;
    }
    rows->stream.ops = ops;
    arena_init(&rows->arena);
    pthread_mutex_init(&rows->mutex, NULL);
    call->state = rows;
    return rows;
}

static void rows_on_message(struct service_call *call, struct slice message, const struct stream_ops *ops) {
    if (rows_create(call, ops)) stream_start(call, message);
}

static void scan_on_message(struct service_call *call, struct slice message) {
    rows_on_message(call, message, &scan_ops);
}
static void aggregate_on_message(struct service_call *call, struct slice message) {
    rows_on_message(call, message, &aggregate_ops);
}

/* The whole answer, if memory has it and it fits into one message. False: a worker has to begin again. */
static bool by_index_in_memory(struct service_call *call, struct rows_stream *rows, struct slice message) {
    struct plinth_error error = {0};
    bool end = false;
    rows->in_memory = true;
    enum plinth_status st = by_index_begin(call, message, &error);
    if (!st) st = rows_fill(call, &rows->stream.chunk, &end, &error);
    rows_close(call);
    if (st == PLINTH_WOULD_BLOCK || (!st && !end)) {
        arena_reset(&rows->arena);
        rows->options = (struct query_options){0};
        rows->began = rows->in_memory = false;
        return false;
    }
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, buffer_slice(&rows->stream.chunk));
    return true;
}

static void by_index_on_message(struct service_call *call, struct slice message) {
    struct rows_stream *rows = rows_create(call, &by_index_ops);
    if (rows && !by_index_in_memory(call, rows, message)) stream_start(call, message);
}

static void rows_on_release(struct service_call *call) {
    struct rows_stream *rows = call->state;
    if (!rows) return;
    stream_deinit(&rows->stream);
    buffer_deinit(&rows->body);
    arena_deinit(&rows->arena);
    pthread_mutex_destroy(&rows->mutex);
    free(rows);
}

/* ---- GetRow ---- */

static enum plinth_status answer_row(struct service_call *call, const struct arrow_schema *columns,
                                     const struct batch *batch, struct plinth_position version,
                                     Plinth__V1__RowFormat format, struct plinth_error *error) {
    enum arrow_compression compression;
    bool values;
    struct buffer body = BUFFER_INIT, message = BUFFER_INIT;
    enum plinth_status st = row_value_format(format, &compression, &values, error);
    bool ok = true;
    if (!st && values) {
        ok = row_value_encode(&body, columns, batch, 0, batch->rows);
    } else if (!st) {
        st = arrow_write_schema(&body, columns, error);
        if (!st) st = arrow_write_batch(&body, batch, compression, error);
        ok = arrow_write_end(&body);
    }
    if (!st && ok)
        ok = put_bytes_field(&message, values ? ROWS_ROWS_FIELD : ROWS_ARROW_FIELD, buffer_slice(&body)) &&
             buffer_reserve(&message, ENCODED_POSITION_BYTES_MAX);
    if (!st && !ok) st = error_no_memory(error, "row");
    if (!st) {
        message.size += encode_position(message.data + message.size, ROWS_POSITION_FIELD, version);
        service_answer(call, buffer_slice(&message));
    }
    buffer_deinit(&body);
    buffer_deinit(&message);
    return st;
}

static enum plinth_status name_columns(const struct table_schema *schema, const struct slice *names, uint32_t count,
                                       struct arena *arena, struct arrow_schema *columns, struct plinth_error *error) {
    uint32_t all = count ? count : schema->column_count;
    struct arrow_field *fields = arena_alloc(arena, (all + 1) * sizeof *fields);
    if (!fields) return error_no_memory(error, "row");
    for (uint32_t i = 0; i < all; i++) {
        const struct table_column *column = &schema->columns[count ? table_schema_find(schema, names[i]) : (int32_t)i];
        fields[i] = (struct arrow_field){column->name, column->type, column->nullable};
    }
    *columns = (struct arrow_schema){fields, all};
    return PLINTH_OK;
}

/* Looks the row up and answers; what fails is left to the caller to tell. */
static enum plinth_status get_row(struct service_call *call, struct slice message, struct arena *arena,
                                  bool memory_only, struct plinth_error *error) {
    struct request_read read = {0};
    const struct table_schema *schema = NULL;
    const struct slice *names = NULL;
    struct batch *batch = NULL;
    struct plinth_position version;
    struct arrow_schema columns;
    struct literal key[ROW_KEY_PARTS_MAX];
    Plinth__V1__GetRowRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__get_row_request__descriptor, message, arena, &request, error);
    if (!st) st = request_read_init(call->service, request->read, &read, error);
    if (!st) read.options.memory_only = memory_only;
    if (!st) st = find_table_read(call->service, request->table, &read.options, &schema, error);
    if (!st) st = slices_of(request->columns, request->n_columns, arena, &names, error);
    if (!st && request->n_key > ROW_KEY_PARTS_MAX)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "key: %zu values; a key has at most %d", request->n_key,
                       (int)ROW_KEY_PARTS_MAX);
    for (size_t i = 0; !st && i < request->n_key; i++) st = row_value_literal(request->key[i], &key[i], error);
    if (!st) {
        read.options.wait_ms_max = request_wait_ms(call->rpc, call->service->env);
        st = query_get_row(call->service->db, schema, key, (uint32_t)request->n_key, names,
                           (uint32_t)request->n_columns, &read.options, &batch, &version, error);
    }
    if (!st && !batch) st = error_set(error, PLINTH_NOT_FOUND, "no row with this key in table \"%s\"", schema->name);
    if (!st) st = name_columns(schema, names, (uint32_t)request->n_columns, arena, &columns, error);
    if (!st) st = answer_row(call, &columns, batch, version, request->format, error);
    batch_unref(batch);
    table_schema_unref(schema);
    request_read_deinit(call->service, &read);
    return st;
}

static void get_row_on_worker(struct service_call *call) {
    struct arena arena;
    struct plinth_error error = {0};
    arena_init(&arena);
    enum plinth_status st = get_row(call, buffer_slice(&call->request), &arena, false, &error);
    if (st) service_finish(call, st, &error);
    arena_deinit(&arena);
}

static void get_row_on_message(struct service_call *call, struct slice message) {
    struct plinth_error error = {0};
    enum plinth_status st = get_row(call, message, &call->loop->arena, true, &error);
    arena_reset(&call->loop->arena);
    if (st == PLINTH_WOULD_BLOCK)
        service_offload(call, call->service->workers, message, get_row_on_worker);
    else if (st)
        service_finish(call, st, &error);
}

const struct service_method query_get_row_method = {"/plinth.v1.Query/GetRow", RPC_UNARY,
                                                    .on_message = get_row_on_message};
const struct service_method query_get_by_index = {"/plinth.v1.Query/GetByIndex",     RPC_SERVER_STREAM,
                                                  .on_message = by_index_on_message, .on_writable = stream_on_writable,
                                                  .on_cancel = stream_on_cancel,     .on_release = rows_on_release};
const struct service_method query_scan = {"/plinth.v1.Query/Scan",       RPC_SERVER_STREAM,
                                          .on_message = scan_on_message, .on_writable = stream_on_writable,
                                          .on_cancel = stream_on_cancel, .on_release = rows_on_release};
const struct service_method query_aggregate = {"/plinth.v1.Query/Aggregate",       RPC_SERVER_STREAM,
                                               .on_message = aggregate_on_message, .on_writable = stream_on_writable,
                                               .on_cancel = stream_on_cancel,      .on_release = rows_on_release};
