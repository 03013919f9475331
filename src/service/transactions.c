/* Transactions.Commit: the client's account of what it read and wants to write becomes a transaction of the engine,
 * which is committed at once. */
#include "base/status.h"
#include "engine/transaction.h"
#include "plinth/v1/transactions.pb-c.h"
#include "query/query.h"
#include "service/methods.h"
#include "service/position.h"
#include "service/row_value.h"
#include "service/rows_write.h"
#include "service/service_private.h"
#include "service/write_request.h"

enum { REQUEST_BYTES_MAX = (16 << 20) + (64 << 10) };

struct committing {
    struct service *service;
    const Plinth__V1__CommitTransactionRequest *message;
    struct plinth_space space; /* of keys that name none */
    struct plinth_position snapshot;
    struct plinth_write_options options;
    struct plinth_transaction *transaction;
    struct arena *arena;
};

/* `named`, or the request's own space when that is null. */
static enum plinth_status space_of(const struct committing *committing, const Plinth__V1__Space *named,
                                   struct plinth_space *space, struct plinth_error *error) {
    *space = committing->space;
    return named ? request_space(committing->service, named, space, error) : PLINTH_OK;
}

static enum plinth_status note_keys(struct committing *committing, struct plinth_error *error) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < message->n_keys; i++) {
        struct plinth_space space;
        st = space_of(committing, message->keys[i]->space, &space, error);
        if (!st) st = transaction_note_key(committing->transaction, space, request_bytes(message->keys[i]->key), error);
        if (st) error_prefix(error, "keys[%zu]", i);
    }
    for (size_t i = 0; !st && i < message->n_ranges; i++) {
        struct plinth_space space;
        st = space_of(committing, message->ranges[i]->space, &space, error);
        if (!st)
            st = transaction_note_range(committing->transaction, space, request_bytes(message->ranges[i]->lower),
                                        request_bytes(message->ranges[i]->upper), error);
        if (st) error_prefix(error, "ranges[%zu]", i);
    }
    return st;
}

/* Calls `take` with the rows of a part of the request. */
static enum plinth_status with_rows(struct committing *committing, const Plinth__V1__Table *named,
                                    const ProtobufCBinaryData *arrow, const Plinth__V1__RowSet *rows,
                                    enum plinth_status (*take)(struct committing *, const Plinth__V1__Table *,
                                                               struct rows_write *, struct plinth_error *),
                                    enum rows_operation operation, struct plinth_error *error) {
    const struct table_schema *table = NULL;
    struct rows_source source = {0};
    struct arrow_schema schema = {0};
    struct batch *batch = NULL;
    struct rows_write write = {.operation = operation, .schema = &schema};
    enum plinth_status st = rows_write_table(committing->service, named, &table, error);
    if (!st)
        st = rows_write_payload(&source, table, arrow, rows, committing->arena, &schema, &batch, &write.unfit, error);
    write.batch = batch;
    if (!st) st = take(committing, named, &write, error);
    batch_unref(batch);
    rows_source_deinit(&source);
    table_schema_unref(table);
    return st;
}

static enum plinth_status note_row_keys(struct committing *committing, const Plinth__V1__Table *named,
                                        struct rows_write *write, struct plinth_error *error) {
    return transaction_rows_note(committing->transaction, named->database, named->name, write->schema, write->batch,
                                 error);
}

static enum plinth_status note_conditions(struct committing *committing,
                                          const Plinth__V1__CommitTransactionRequest__RowsRead *read,
                                          struct plinth_error *error) {
    struct transaction_table *table;
    struct slice none = slice_of(NULL, 0);
    enum plinth_status st = transaction_table_of(committing->transaction, read->table ? read->table->database : "",
                                                 read->table ? read->table->name : "", &table, error);
    if (!st && read->all && !row_reads_range(&table->reads, none, none)) st = error_no_memory(error, "transaction");
    for (size_t i = 0; !st && i < read->n_conditions; i++) {
        const struct predicate *predicate;
        st = row_value_predicate(read->conditions[i], committing->arena, &predicate, error);
        if (!st) st = query_note_predicate(committing->service->db, table->schema, predicate, &table->reads, error);
        if (st) error_prefix(error, "conditions[%zu]", i);
    }
    return st;
}

static enum plinth_status note_rows(struct committing *committing, struct plinth_error *error) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < message->n_rows_read; i++) {
        const Plinth__V1__CommitTransactionRequest__RowsRead *read = message->rows_read[i];
        bool arrow = read->keys_case == PLINTH__V1__COMMIT_TRANSACTION_REQUEST__ROWS_READ__KEYS_ARROW_IPC;
        bool rows = read->keys_case == PLINTH__V1__COMMIT_TRANSACTION_REQUEST__ROWS_READ__KEYS_ROWS;
        if (arrow || rows)
            st = with_rows(committing, read->table, arrow ? &read->arrow_ipc : NULL, rows ? read->rows : NULL,
                           note_row_keys, ROWS_DELETE, error);
        else if (!read->all && !read->n_conditions)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "keys, conditions or all are needed");
        if (!st && (read->all || read->n_conditions)) st = note_conditions(committing, read, error);
        if (st) error_prefix(error, "rows_read[%zu]", i);
    }
    return st;
}

static enum plinth_status write_keys(struct committing *committing, struct plinth_error *error) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    struct write_request writes = {0};
    if (!message->n_operations) return PLINTH_OK;
    enum plinth_status st = write_request_operations(committing->service, message->operations, message->n_operations,
                                                     committing->space, committing->arena, &writes, error);
    for (size_t i = 0; !st && i < writes.count; i++) {
        st = plinth_transaction_write(committing->transaction, &writes.operations[i], error);
        if (st) error_prefix(error, "operations[%zu]", i);
    }
    return st;
}

static enum plinth_status write_batch(struct committing *committing, const Plinth__V1__Table *named,
                                      struct rows_write *write, struct plinth_error *error) {
    return transaction_rows_submit(committing->transaction, named->database, named->name, write, error);
}

static enum plinth_status write_rows(struct committing *committing, struct plinth_error *error) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < message->n_rows_written; i++) {
        const Plinth__V1__CommitTransactionRequest__RowsWritten *written = message->rows_written[i];
        bool arrow = written->payload_case == PLINTH__V1__COMMIT_TRANSACTION_REQUEST__ROWS_WRITTEN__PAYLOAD_ARROW_IPC;
        bool rows = written->payload_case == PLINTH__V1__COMMIT_TRANSACTION_REQUEST__ROWS_WRITTEN__PAYLOAD_ROWS;
        int operation = (int)written->operation;
        if (!arrow && !rows)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "payload: one of arrow_ipc and rows is needed");
        else if (operation != 0 && operation != 1)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "operation: %d is none of this version", operation);
        else
            st = with_rows(committing, written->table, arrow ? &written->arrow_ipc : NULL, rows ? written->rows : NULL,
                           write_batch, operation ? ROWS_DELETE : ROWS_UPSERT, error);
        if (st) error_prefix(error, "rows_written[%zu]", i);
    }
    return st;
}

static enum plinth_status parse(struct committing *committing, struct slice bytes, struct plinth_error *error) {
    struct service *service = committing->service;
    Plinth__V1__CommitTransactionRequest *message;
    enum plinth_status st =
        request_unpack(&plinth__v1__commit_transaction_request__descriptor, bytes, committing->arena, &message, error);
    if (st) return st;
    committing->message = message;
    st = request_space(service, message->space, &committing->space, error);
    if (!st) st = request_write_options(service, message->write, &committing->options, error);
    if (!st && message->snapshot)
        st = position_decode(request_bytes(message->snapshot->token), "snapshot", &committing->snapshot, error);
    bool reads = message->n_keys || message->n_ranges || message->n_rows_read;
    if (!st && reads && !position_given(committing->snapshot))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "snapshot: needed, for something was read");
    if (!st && !message->n_operations && !message->n_rows_written)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "operations or rows_written are needed");
    if (!st) st = transaction_begin_at(service->db, committing->snapshot, &committing->transaction, error);
    if (!st) st = note_keys(committing, error);
    if (!st) st = note_rows(committing, error);
    if (!st) st = write_keys(committing, error);
    return st ? st : write_rows(committing, error);
}

/* ---- answers ---- */

static bool is_space(const struct committing *committing, const Plinth__V1__Space *named, struct plinth_space wanted) {
    struct plinth_space space;
    return named && !request_space(committing->service, named, &space, NULL) && space.table == wanted.table;
}

/* The space of a conflict in the request's own words; null when it is the request's space. */
static Plinth__V1__Space *name_space(const struct committing *committing, struct plinth_space space) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    for (size_t i = 0; i < message->n_keys; i++)
        if (is_space(committing, message->keys[i]->space, space)) return message->keys[i]->space;
    for (size_t i = 0; i < message->n_ranges; i++)
        if (is_space(committing, message->ranges[i]->space, space)) return message->ranges[i]->space;
    return message->space;
}

static Plinth__V1__Table *name_table(const struct committing *committing, const struct plinth_conflict *conflict) {
    const Plinth__V1__CommitTransactionRequest *message = committing->message;
    for (size_t i = 0; i < message->n_rows_read; i++) {
        const struct table_schema *schema = NULL;
        Plinth__V1__Table *table = message->rows_read[i]->table;
        bool same =
            !rows_write_table(committing->service, table, &schema, NULL) && schema->id.table == conflict->space.table;
        table_schema_unref(schema);
        if (same) return table;
    }
    return NULL;
}

static void answer(struct service_call *call, const struct committing *committing, enum plinth_status st,
                   struct plinth_position position, const struct plinth_conflict *conflict) {
    Plinth__V1__CommitTransactionResponse response = PLINTH__V1__COMMIT_TRANSACTION_RESPONSE__INIT;
    Plinth__V1__Position written = PLINTH__V1__POSITION__INIT;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    struct buffer row = BUFFER_INIT;
    if (!st) {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_COMMITTED;
        written.token = (ProtobufCBinaryData){position_encode(position, token), token};
        response.position = &written;
    } else if (conflict->too_old) {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_TOO_OLD;
    } else {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_CONFLICT;
        if (conflict->rows) {
            response.conflict_table = name_table(committing, conflict);
            if (buffer_append(&row, conflict->key.data, conflict->key.size) && buffer_append_u8(&row, 0))
                response.conflict_row = (char *)row.data;
        } else if (conflict->key.size) {
            response.conflict_key = (ProtobufCBinaryData){conflict->key.size, conflict->key.data};
            response.conflict_space = name_space(committing, conflict->space);
        }
    }
    service_answer_message(call, &response.base);
    buffer_deinit(&row);
}

static void commit(struct service_call *call) {
    struct arena arena;
    struct committing committing = {.service = call->service, .arena = &arena};
    struct plinth_conflict conflict = {0};
    struct plinth_position position = {0};
    struct plinth_error error = {0};
    arena_init(&arena);
    enum plinth_status st = parse(&committing, buffer_slice(&call->request), &error);
    if (!st) st = plinth_transaction_commit(committing.transaction, &committing.options, &position, &conflict, &error);
    if (!st || st == PLINTH_CONFLICT)
        answer(call, &committing, st, position, &conflict);
    else
        service_finish(call, st, &error);
    plinth_transaction_destroy(committing.transaction);
    plinth_buffer_deinit(&conflict.key);
    arena_deinit(&arena);
}

static void on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, commit);
}

const struct service_method transactions_commit = {"/plinth.v1.Transactions/Commit", RPC_UNARY,
                                                   .message_bytes_max = REQUEST_BYTES_MAX, .on_message = on_message};
