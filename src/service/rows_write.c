#include "service/rows_write.h"

#include <stdlib.h>

#include "base/status.h"
#include "rpc/grpc_status.h"
#include "service/position.h"
#include "service/request.h"
#include "service/row_value.h"
#include "service/service_private.h"

enum { REQUEST_BATCHES_MAX = 4096 };

void rows_source_deinit(struct rows_source *source) {
    arrow_reader_destroy(source->reader);
    free(source->database);
    free(source->table);
    *source = (struct rows_source){0};
}

/* The table that the request names, or that of the request before it. A change of table ends the Arrow stream. */
static enum plinth_status find_table(struct service *service, struct rows_source *source,
                                     const Plinth__V1__Table *named, const struct table_schema **schema,
                                     struct plinth_error *error) {
    if (named && *named->name) {
        const char *database = *named->database ? named->database : "default";
        if (!source->table || !source->database || strcmp(source->table, named->name) != 0 ||
            strcmp(source->database, database) != 0) {
            rows_source_deinit(source);
            source->database = strdup(database);
            source->table = strdup(named->name);
            if (!source->database || !source->table) return error_no_memory(error, "request");
        }
    }
    if (!source->table || !source->database)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "table.name: must not be empty");
    enum plinth_status st = engine_find_schema(service->db, source->database, source->table, schema, error);
    if (!st && (*schema)->kind != TABLE_ROWS)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\" is a key space; keys are written by KeyValue",
                       source->table);
    return st;
}

/* ---- Arrow ---- */

struct batches {
    struct batch **list;
    uint32_t count;
    uint64_t rows;
};

static void batches_deinit(struct batches *batches) {
    for (uint32_t i = 0; i < batches->count; i++) batch_unref(batches->list[i]);
    free(batches->list);
}

/* A request that begins with a schema begins a new Arrow stream. */
static enum plinth_status begin_stream(struct rows_source *source, struct slice *bytes, struct plinth_error *error) {
    struct arrow_reader_options options = {.bytes_max = ROWS_BATCH_BYTES_MAX};
    struct arrow_reader *fresh;
    struct batch *batch = NULL;
    size_t used = 0;
    bool end;
    enum plinth_status st = arrow_reader_create(&options, &fresh, error);
    if (st) return st;
    struct plinth_error why = {0};
    st = arrow_reader_next(fresh, *bytes, &used, &batch, &end, &why);
    batch_unref(batch);
    if (!st && arrow_reader_schema(fresh)) {
        arrow_reader_destroy(source->reader);
        source->reader = fresh;
        *bytes = slice_of(bytes->data + used, bytes->size - used);
        return PLINTH_OK;
    }
    arrow_reader_destroy(fresh);
    if (source->reader) return PLINTH_OK; /* it goes on where the one before ended */
    if (st) {
        if (error) *error = why;
        error_prefix(error, "arrow_ipc");
        return st;
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "arrow_ipc: the bytes end within the schema message");
}

static enum plinth_status read_batches(struct arrow_reader *reader, struct slice bytes, struct batches *batches,
                                       struct plinth_error *error) {
    batches->list = malloc(REQUEST_BATCHES_MAX * sizeof *batches->list);
    if (!batches->list) return error_no_memory(error, "request");
    bool end = false;
    while (bytes.size) {
        struct batch *batch = NULL;
        size_t used = 0;
        if (end)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "arrow_ipc: %zu bytes behind the end of the stream",
                             bytes.size);
        enum plinth_status st = arrow_reader_next(reader, bytes, &used, &batch, &end, error);
        if (!st && !used)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "the last message is cut: %zu bytes of it are there",
                           bytes.size);
        if (!st && batch && batches->count == REQUEST_BATCHES_MAX) {
            st = error_set(error, PLINTH_TOO_LARGE, "more than %d record batches", (int)REQUEST_BATCHES_MAX);
            batch_unref(batch);
        }
        if (st) {
            error_prefix(error, "arrow_ipc");
            return st;
        }
        bytes = slice_of(bytes.data + used, bytes.size - used);
        if (!batch) continue;
        batches->list[batches->count++] = batch;
        batches->rows += batch->rows;
    }
    if (batches->rows > BATCH_ROWS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "arrow_ipc: %llu rows; at most %d are allowed in a request",
                         (unsigned long long)batches->rows, (int)BATCH_ROWS_MAX);
    return PLINTH_OK;
}

/* A stream of a schema and no record batch. */
static struct batch *no_rows(const struct arrow_schema *schema) {
    struct batch *batch = batch_create(schema->field_count);
    bool ok = batch != NULL;
    for (uint32_t i = 0; ok && i < schema->field_count; i++)
        ok = column_make_nulls(&batch->arena, schema->fields[i].type, 0, &batch->columns[i]);
    if (ok) return batch;
    batch_unref(batch);
    return NULL;
}

static enum plinth_status arrow_batch(struct rows_source *source, struct slice bytes, struct arrow_schema *schema,
                                      struct batch **batch, struct plinth_error *error) {
    struct batches batches = {0};
    enum plinth_status st = begin_stream(source, &bytes, error);
    if (!st) st = read_batches(source->reader, bytes, &batches, error);
    if (!st) {
        *schema = *arrow_reader_schema(source->reader);
        /* Several record batches of a request are written as one. */
        *batch = batches.count ? batch_concat(batches.list, batches.count) : no_rows(schema);
        if (!*batch) st = error_no_memory(error, "request");
    }
    batches_deinit(&batches);
    if (st) { /* what follows on this stream cannot be understood without what was lost */
        arrow_reader_destroy(source->reader);
        source->reader = NULL;
    }
    return st;
}

/* ---- values ---- */

static enum plinth_status value_batch(const Plinth__V1__RowSet *rows, const struct table_schema *table,
                                      struct arena *arena, struct arrow_schema *schema, struct batch **batch,
                                      struct rows_unfit *unfit, struct plinth_error *error) {
    struct named_type *types = arena_alloc(arena, (table->column_count + 1) * sizeof *types);
    if (!types) return error_no_memory(error, "request");
    for (uint32_t i = 0; i < table->column_count; i++)
        types[i] = (struct named_type){table->columns[i].name, table->columns[i].type};
    return row_value_batch(rows, types, table->column_count, arena, schema, batch, unfit, error);
}

enum plinth_status rows_write_payload(struct rows_source *source, const struct table_schema *table,
                                      const ProtobufCBinaryData *arrow, const Plinth__V1__RowSet *rows,
                                      struct arena *arena, struct arrow_schema *schema, struct batch **batch,
                                      struct rows_unfit *unfit, struct plinth_error *error) {
    *unfit = (struct rows_unfit){0};
    if (arrow) return arrow_batch(source, request_bytes(*arrow), schema, batch, error);
    return value_batch(rows, table, arena, schema, batch, unfit, error);
}

enum plinth_status rows_write_table(struct service *service, const Plinth__V1__Table *named,
                                    const struct table_schema **schema, struct plinth_error *error) {
    struct rows_source source = {0};
    *schema = NULL;
    enum plinth_status st = find_table(service, &source, named, schema, error);
    if (st) {
        table_schema_unref(*schema);
        *schema = NULL;
    }
    rows_source_deinit(&source);
    return st;
}

/* ---- requests and answers ---- */

enum plinth_status rows_write_submit(struct service *service, struct rows_source *source, struct slice message,
                                     struct rows_written *written, struct plinth_error *error) {
    struct arena arena;
    struct batch *batch = NULL;
    struct arrow_schema schema = {0};
    struct rows_unfit unfit = {0};
    const struct table_schema *table = NULL;
    Plinth__V1__WriteRowsRequest *request;
    *written = (struct rows_written){0};
    arena_init(&arena);
    enum plinth_status st =
        request_unpack(&plinth__v1__write_rows_request__descriptor, message, &arena, &request, error);
    if (!st) st = request_write_options(service, request->write, &written->options, error);
    if (!st) st = find_table(service, source, request->table, &table, error);
    if (!st && (int)request->operation != 0 && (int)request->operation != 1)
        st =
            error_set(error, PLINTH_INVALID_ARGUMENT, "operation: %d is none of this version", (int)request->operation);
    if (!st) switch (request->payload_case) {
        case PLINTH__V1__WRITE_ROWS_REQUEST__PAYLOAD_ARROW_IPC:
            st = arrow_batch(source, request_bytes(request->arrow_ipc), &schema, &batch, error);
            break;
        case PLINTH__V1__WRITE_ROWS_REQUEST__PAYLOAD_ROWS:
            st = value_batch(request->rows, table, &arena, &schema, &batch, &unfit, error);
            break;
        default: st = error_set(error, PLINTH_INVALID_ARGUMENT, "payload: one of arrow_ipc and rows is needed");
        }
    if (!st) {
        struct rows_write write = {.operation = request->operation ? ROWS_DELETE : ROWS_UPSERT,
                                   .schema = &schema,
                                   .batch = batch,
                                   .unfit = unfit,
                                   .atomic = request->atomic,
                                   .if_absent = request->if_absent,
                                   .no_reject = request->no_reject};
        st = rows_submit(service->db, table->id, &write, &written->options, &written->result, error);
    }
    if (st) rows_result_deinit(&written->result); /* a refused write tells its rejects, too */
    batch_unref(batch);
    table_schema_unref(table);
    arena_deinit(&arena);
    return st;
}

bool rows_write_answer(struct buffer *into, const struct rows_written *written, enum plinth_status status,
                       const struct plinth_error *error) {
    const struct rows_result *result = &written->result;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    Plinth__V1__Position position = PLINTH__V1__POSITION__INIT;
    Plinth__V1__WriteError failure = PLINTH__V1__WRITE_ERROR__INIT;
    Plinth__V1__WriteRowsResponse answer = PLINTH__V1__WRITE_ROWS_RESPONSE__INIT;
    answer.sequence = written->options.sequence;
    struct arena arena;
    arena_init(&arena);
    bool ok = true;
    if (status) {
        failure.code = (int32_t)grpc_status_from_plinth(status);
        failure.message = (char *)(error ? error->text : "");
        answer.error = &failure;
    } else {
        position.token.data = token;
        position.token.len = position_encode(result->position, token);
        answer.position = &position;
        answer.rows_written = result->rows_written;
        answer.rows_rejected = result->rows_rejected;
        answer.duplicate = result->duplicate;
        answer.n_rejects = result->reject_count;
        Plinth__V1__RowReject *rejects = arena_alloc(&arena, (result->reject_count + 1) * sizeof *rejects);
        answer.rejects = arena_alloc(&arena, (result->reject_count + 1) * sizeof *answer.rejects);
        ok = rejects && answer.rejects;
        for (uint32_t i = 0; ok && i < result->reject_count; i++) {
            rejects[i] = (Plinth__V1__RowReject)PLINTH__V1__ROW_REJECT__INIT;
            rejects[i].row = result->rejects[i].row;
            rejects[i].reason = result->rejects[i].reason;
            answer.rejects[i] = &rejects[i];
        }
    }
    size_t size = ok ? plinth__v1__write_rows_response__get_packed_size(&answer) : 0;
    ok = ok && buffer_reserve(into, size + 1);
    if (ok) into->size += plinth__v1__write_rows_response__pack(&answer, into->data + into->size);
    arena_deinit(&arena);
    return ok;
}
