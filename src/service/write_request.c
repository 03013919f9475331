#include "service/write_request.h"

#include "base/status.h"
#include "column/key_encoding.h"
#include "service/request.h"

/* The engine checks keys, values and names, and names the one that is wrong. */
static enum plinth_status fill_set(ProtobufCBinaryData key, ProtobufCBinaryData value, size_t index_count,
                                   Plinth__V1__IndexValue **indexes, struct arena *arena, uint64_t expires_at_us,
                                   uint64_t ttl_ms, struct plinth_operation *operation, struct plinth_error *error) {
    operation->expires_at_us = expires_at_us;
    if (__builtin_mul_overflow(ttl_ms, 1000, &operation->ttl_us)) operation->ttl_us = UINT64_MAX;
    operation->kind = PLINTH_SET;
    operation->key = request_slice(key);
    operation->value = request_slice(value);
    if (!index_count) return PLINTH_OK;
    struct plinth_index_value *values = arena_alloc(arena, index_count * sizeof *values);
    if (!values) return error_no_memory(error, "index values of a request");
    for (size_t i = 0; i < index_count; i++) {
        values[i].name = plinth_text(indexes[i]->index);
        values[i].value = request_slice(indexes[i]->value);
    }
    operation->indexes = values;
    operation->index_count = index_count;
    return PLINTH_OK;
}

enum plinth_status write_request_set(const Plinth__V1__BatchRequest__Set *set, struct arena *arena,
                                     struct plinth_operation *operation, struct plinth_error *error) {
    return fill_set(set->key, set->value, set->n_indexes, set->indexes, arena, set->expires_at_us, set->ttl_ms,
                    operation, error);
}

static enum plinth_status fill_range(const Plinth__V1__BatchRequest__DeleteRange *range, struct arena *arena,
                                     struct plinth_operation *operation, struct plinth_error *error) {
    bool bounded = range->lower.len || range->upper.len;
    operation->kind = PLINTH_DELETE_RANGE;
    if (!bounded && !range->prefix.len && !range->all)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "one of prefix, lower, upper and all is needed");
    if ((bounded || range->prefix.len) && range->all)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "all: cannot be given with bounds");
    if (bounded && range->prefix.len)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "prefix: cannot be given with lower and upper");
    operation->key = request_slice(range->lower);
    operation->upper = request_slice(range->upper);
    if (!range->prefix.len) return PLINTH_OK;
    struct buffer successor = BUFFER_INIT;
    struct slice prefix = slice_of(range->prefix.data, range->prefix.len);
    const uint8_t *upper = NULL;
    if (prefix_successor(&successor, prefix)) upper = arena_copy(arena, buffer_slice(&successor));
    operation->key = request_slice(range->prefix);
    operation->upper = plinth_bytes(upper, successor.size);
    buffer_deinit(&successor);
    return upper ? PLINTH_OK : error_no_memory(error, "range of a request");
}

static enum plinth_status one_operation(struct service *service, const Plinth__V1__Space *space,
                                        const Plinth__V1__WriteOptions *write, struct arena *arena,
                                        struct write_request *request, struct plinth_operation **operation,
                                        struct plinth_error *error) {
    *operation = arena_zalloc(arena, sizeof **operation);
    if (!*operation) return error_no_memory(error, "operation of a request");
    request->operations = *operation;
    request->count = 1;
    enum plinth_status st = request_space(service, space, &(*operation)->space, error);
    return st ? st : request_write_options(service, write, &request->options, error);
}

enum plinth_status write_request_parse_set(struct service *service, struct slice message, struct arena *arena,
                                           struct write_request *request, struct plinth_error *error) {
    *request = (struct write_request){0};
    Plinth__V1__SetRequest *set;
    struct plinth_operation *operation;
    enum plinth_status st = request_unpack(&plinth__v1__set_request__descriptor, message, arena, &set, error);
    if (!st) st = request_key(set->key, error);
    if (!st) st = one_operation(service, set->space, set->write, arena, request, &operation, error);
    if (!st)
        st = fill_set(set->key, set->value, set->n_indexes, set->indexes, arena, set->expires_at_us, set->ttl_ms,
                      operation, error);
    return st;
}

enum plinth_status write_request_parse_delete(struct service *service, struct slice message, struct arena *arena,
                                              struct write_request *request, struct plinth_error *error) {
    *request = (struct write_request){0};
    Plinth__V1__DeleteRequest *delete;
    struct plinth_operation *operation;
    enum plinth_status st = request_unpack(&plinth__v1__delete_request__descriptor, message, arena, &delete, error);
    if (!st) st = request_key(delete->key, error);
    if (!st) st = one_operation(service, delete->space, delete->write, arena, request, &operation, error);
    if (st) return st;
    operation->kind = PLINTH_DELETE;
    operation->key = request_slice(delete->key);
    return PLINTH_OK;
}

enum plinth_status write_request_parse_delete_range(struct service *service, struct slice message, struct arena *arena,
                                                    struct write_request *request, struct plinth_error *error) {
    *request = (struct write_request){0};
    Plinth__V1__DeleteRangeRequest *delete;
    struct plinth_operation *operation;
    enum plinth_status st =
        request_unpack(&plinth__v1__delete_range_request__descriptor, message, arena, &delete, error);
    if (!st && !delete->range) st = error_set(error, PLINTH_INVALID_ARGUMENT, "range: must be given");
    if (!st) st = one_operation(service, delete->space, delete->write, arena, request, &operation, error);
    if (st) return st;
    st = fill_range(delete->range, arena, operation, error);
    if (st) error_prefix(error, "range");
    return st;
}

static enum plinth_status fill_operation(struct service *service, const Plinth__V1__BatchRequest__Operation *given,
                                         struct plinth_space space, struct arena *arena,
                                         struct plinth_operation *operation, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    operation->space = space;
    if (given->space) st = request_space(service, given->space, &operation->space, error);
    if (st) return st;
    switch (given->operation_case) {
    case PLINTH__V1__BATCH_REQUEST__OPERATION__OPERATION_SET:
        return write_request_set(given->set, arena, operation, error);
    case PLINTH__V1__BATCH_REQUEST__OPERATION__OPERATION_DELETE:
        operation->kind = PLINTH_DELETE;
        operation->key = request_slice(given->delete_->key);
        return PLINTH_OK;
    case PLINTH__V1__BATCH_REQUEST__OPERATION__OPERATION_DELETE_RANGE:
        return fill_range(given->delete_range, arena, operation, error);
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "none of set, delete and delete_range is given");
    }
}

enum plinth_status write_request_operations(struct service *service, Plinth__V1__BatchRequest__Operation **given,
                                            size_t count, struct plinth_space space, struct arena *arena,
                                            struct write_request *request, struct plinth_error *error) {
    if (!count) return error_set(error, PLINTH_INVALID_ARGUMENT, "operations: at least one is needed");
    struct plinth_operation *operations = arena_zalloc(arena, count * sizeof *operations);
    if (!operations) return error_no_memory(error, "operations of a batch");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < count; i++) {
        st = fill_operation(service, given[i], space, arena, &operations[i], error);
        if (st) error_prefix(error, "operations[%zu]", i);
    }
    request->operations = operations;
    request->count = count;
    return st;
}

enum plinth_status write_request_parse_batch(struct service *service, struct slice message, struct arena *arena,
                                             struct write_request *request, struct plinth_error *error) {
    *request = (struct write_request){0};
    Plinth__V1__BatchRequest *batch;
    struct plinth_space space;
    enum plinth_status st = request_unpack(&plinth__v1__batch_request__descriptor, message, arena, &batch, error);
    if (!st) st = request_space(service, batch->space, &space, error);
    if (!st) st = request_write_options(service, batch->write, &request->options, error);
    if (st) return st;
    return write_request_operations(service, batch->operations, batch->n_operations, space, arena, request, error);
}
