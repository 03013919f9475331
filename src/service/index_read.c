/* GetByIndex: one page of a secondary index, read on a worker. */
#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/page_token.h"
#include "service/service_private.h"

enum {
    PAGE_ENTRIES_DEFAULT = 1000,
    PAGE_ENTRIES_MAX = 10000,
    PAGE_BYTES_MAX = 3 << 20,
    NEXT_PAGE_TOKEN_FIELD = 2,
    POSITION_FIELD = 3,
};

static const struct encoded_row entry_fields = {
    .index_value_field = 1, .key_field = 2, .value_field = 3, .version_field = 4};

static enum plinth_status match_of(const Plinth__V1__GetByIndexRequest *request,
                                   struct plinth_index_scan_options *options, struct plinth_error *error) {
    if (!*request->index) return error_set(error, PLINTH_INVALID_ARGUMENT, "index: must not be empty");
    options->index = plinth_text(request->index);
    switch (request->match_case) {
    case PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_EXACT:
        options->match = PLINTH_INDEX_EXACT;
        options->value = request_slice(request->exact);
        return PLINTH_OK;
    case PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_PREFIX:
        options->match = PLINTH_INDEX_PREFIX;
        options->value = request_slice(request->prefix);
        return PLINTH_OK;
    case PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_RANGE:
        options->match = PLINTH_INDEX_RANGE;
        options->lower = request_slice(request->range->lower);
        options->upper = request_slice(request->range->upper);
        return PLINTH_OK;
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "match: one of exact, prefix and range is needed");
    }
}

/* A copy of the last entry of a page: the scan's slices end with its next row. */
struct page_end {
    struct buffer bytes; /* index value, then key */
    size_t index_value_size;
};

static bool page_end_set(struct page_end *end, const struct plinth_row *row) {
    buffer_clear(&end->bytes);
    end->index_value_size = row->index_value.size;
    return buffer_append(&end->bytes, row->index_value.data, row->index_value.size) &&
           buffer_append(&end->bytes, row->key.data, row->key.size);
}

static struct page_token page_end_token(const struct page_end *end) {
    return (struct page_token){
        slice_of(end->bytes.data, end->index_value_size),
        slice_of(end->bytes.data + end->index_value_size, end->bytes.size - end->index_value_size)};
}

/* Rows into `page` until it is full; `*more` when there is at least one behind it. */
static enum plinth_status read_page(struct plinth_scan *scan, uint32_t page_size, struct buffer *page,
                                    struct page_end *end, bool *more, struct plinth_error *error) {
    *more = false;
    for (uint32_t entries = 0;; entries++) {
        struct plinth_row row;
        bool found;
        enum plinth_status st = plinth_scan_next(scan, &row, &found, error);
        if (st || !found) return st;
        if (entries == page_size || (entries && page->size + row.value.size > PAGE_BYTES_MAX)) {
            *more = true;
            return PLINTH_OK;
        }
        if (!encode_row(page, &entry_fields, &row) || !page_end_set(end, &row))
            return error_no_memory(error, "page of an index");
    }
}

static enum plinth_status finish_page(struct buffer *page, bool more, uint64_t request_hash, const struct page_end *end,
                                      struct plinth_position position, struct plinth_error *error) {
    struct buffer token = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    if (more && !page_token_append(&token, request_hash, page_end_token(end)))
        st = error_no_memory(error, "page token");
    if (!st && !buffer_reserve(page, encoded_bytes_size(token.size) + ENCODED_POSITION_BYTES_MAX))
        st = error_no_memory(error, "page of an index");
    if (!st) {
        page->size += encode_bytes(page->data + page->size, NEXT_PAGE_TOKEN_FIELD, buffer_slice(&token));
        page->size += encode_position(page->data + page->size, POSITION_FIELD, position);
    }
    buffer_deinit(&token);
    return st;
}

static void get_by_index(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    arena_init(&arena);
    struct request_read read = {0};
    struct plinth_index_scan_options options = {0};
    struct plinth_scan *scan = NULL;
    struct plinth_space space;
    struct buffer page = BUFFER_INIT;
    struct page_end end = {0};
    struct plinth_error error;
    bool more = false;

    Plinth__V1__GetByIndexRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__get_by_index_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = request_space(service, request->space, &space, &error);
    if (!st) st = match_of(request, &options, &error);
    if (!st) st = request_read_init(service, request->read, &read, &error);
    if (st) goto done;
    uint32_t page_size = request->page_size ? request->page_size : PAGE_ENTRIES_DEFAULT;
    if (page_size > PAGE_ENTRIES_MAX) {
        st = error_set(&error, PLINTH_INVALID_ARGUMENT, "page_size: %u, at most %d are allowed", page_size,
                       PAGE_ENTRIES_MAX);
        goto done;
    }
    options.with_values = request->with_values;
    options.reverse = request->reverse;
    options.limit = (uint64_t)page_size + 1;
    uint64_t request_hash = page_request_hash(space, &options, read.snapshot);
    if (request->page_token.len) {
        struct page_token token;
        st = page_token_parse(request_bytes(request->page_token), request_hash, &token, &error);
        if (st) goto done;
        options.after_index_value = plinth_bytes(token.index_value.data, token.index_value.size);
        options.after_key = plinth_bytes(token.key.data, token.key.size);
    }
    options.read = read.options;
    options.read.wait_ms_max = request_wait_ms(call->rpc, service->env);
    st = plinth_index_scan_open(service->db, space, &options, &scan, &error);
    if (!st) st = read_page(scan, page_size, &page, &end, &more, &error);
    if (!st) st = finish_page(&page, more, request_hash, &end, plinth_scan_position(scan), &error);
done:
    if (scan) plinth_scan_close(scan);
    request_read_deinit(service, &read);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, buffer_slice(&page));
    buffer_deinit(&end.bytes);
    buffer_deinit(&page);
    arena_deinit(&arena);
}

static void on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, get_by_index);
}

const struct service_method key_value_get_by_index = {"/plinth.v1.KeyValue/GetByIndex", RPC_UNARY,
                                                      .on_message = on_message};
