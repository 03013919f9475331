/* Ingestion.DeleteWhere and UpdateWhere. */
#include "base/status.h"
#include "query/change_where.h"
#include "service/methods.h"
#include "service/position.h"
#include "service/row_value.h"
#include "service/rows_write.h"
#include "service/service_private.h"

/* What both requests have. */
struct common {
    const Plinth__V1__Table *table;
    const Plinth__V1__Predicate *predicate;
    bool all_rows, not_atomic;
    const Plinth__V1__WriteOptions *write;
};

static enum plinth_status convert(struct service *service, const struct common *common, struct arena *arena,
                                  struct where_change *change, struct plinth_error *error) {
    const struct table_schema *schema = NULL;
    enum plinth_status st = rows_write_table(service, common->table, &schema, error);
    table_schema_unref(schema);
    if (st) return st;
    if (!common->predicate != common->all_rows)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "one of predicate and all_rows is needed");
    change->not_atomic = common->not_atomic;
    st = request_write_options(service, common->write, &change->write, error);
    if (!st) st = row_value_predicate(common->predicate, arena, &change->predicate, error);
    return st;
}

static void run(struct service_call *call, const struct common *common, const struct where_change *change,
                struct plinth_error *error) {
    struct plinth_where_result result;
    Plinth__V1__ChangeWhereResponse response = PLINTH__V1__CHANGE_WHERE_RESPONSE__INIT;
    Plinth__V1__Position position = PLINTH__V1__POSITION__INIT;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    enum plinth_status st =
        rows_change_where(call->service->db, common->table->database, common->table->name, change, &result, error);
    if (st && result.rows) error_prefix(error, "behind %llu rows", (unsigned long long)result.rows);
    if (st) {
        service_finish(call, st, error);
        return;
    }
    position.token = (ProtobufCBinaryData){position_encode(result.position, token), token};
    response.position = &position;
    response.rows = result.rows;
    response.transactions = result.transactions;
    response.conflicts = result.conflicts;
    service_answer_message(call, &response.base);
}

static void delete_where(struct service_call *call) {
    Plinth__V1__DeleteWhereRequest *request;
    struct where_change change = {0};
    struct plinth_error error = {0};
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__delete_where_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    struct common common = {0};
    if (!st) {
        common =
            (struct common){request->table, request->predicate, request->all_rows, request->not_atomic, request->write};
        st = convert(call->service, &common, &arena, &change, &error);
    }
    if (st)
        service_finish(call, st, &error);
    else
        run(call, &common, &change, &error);
    arena_deinit(&arena);
}

static enum plinth_status convert_assignments(const Plinth__V1__UpdateWhereRequest *request, struct arena *arena,
                                              struct where_change *change, struct plinth_error *error) {
    if (!request->n_assignments || request->n_assignments > TABLE_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "assignments: between 1 and %d are needed", TABLE_COLUMNS_MAX);
    struct where_assignment *assignments = arena_zalloc(arena, request->n_assignments * sizeof *assignments);
    if (!assignments) return error_no_memory(error, "update");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < request->n_assignments; i++) {
        const Plinth__V1__UpdateWhereRequest__Assignment *given = request->assignments[i];
        assignments[i].column = slice_of_string(given->column);
        switch (given->to_case) {
        case PLINTH__V1__UPDATE_WHERE_REQUEST__ASSIGNMENT__TO_VALUE:
            st = row_value_literal(given->value, &assignments[i].value, error);
            break;
        case PLINTH__V1__UPDATE_WHERE_REQUEST__ASSIGNMENT__TO_FROM_COLUMN:
            assignments[i].from = slice_of_string(given->from_column);
            if (assignments[i].from.size) break; /* fall through */
        default: st = error_set(error, PLINTH_INVALID_ARGUMENT, "one of value and from_column is needed");
        }
        if (st) error_prefix(error, "assignments[%zu]", i);
    }
    change->assignments = assignments;
    change->assignment_count = (uint32_t)request->n_assignments;
    return st;
}

static void update_where(struct service_call *call) {
    Plinth__V1__UpdateWhereRequest *request;
    struct where_change change = {0};
    struct plinth_error error = {0};
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__update_where_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    struct common common = {0};
    if (!st) {
        common =
            (struct common){request->table, request->predicate, request->all_rows, request->not_atomic, request->write};
        st = convert(call->service, &common, &arena, &change, &error);
    }
    if (!st) st = convert_assignments(request, &arena, &change, &error);
    if (st)
        service_finish(call, st, &error);
    else
        run(call, &common, &change, &error);
    arena_deinit(&arena);
}

static void delete_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, delete_where);
}

static void update_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, update_where);
}

const struct service_method ingestion_delete_where = {"/plinth.v1.Ingestion/DeleteWhere", RPC_UNARY,
                                                      .on_message = delete_on_message};
const struct service_method ingestion_update_where = {"/plinth.v1.Ingestion/UpdateWhere", RPC_UNARY,
                                                      .on_message = update_on_message};
