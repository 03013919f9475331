/* What stands in the HTTP/2 header fields of a call, both ways and on both ends.
 *
 *   request    :method POST, :scheme, :path /pkg.Service/Method, :authority, te trailers, content-type
 *              application/grpc[+...], grpc-timeout?, grpc-encoding?, grpc-accept-encoding?, metadata
 *   answer     :status 200, content-type application/grpc, grpc-encoding?, metadata
 *              then messages, then trailers: grpc-status, grpc-message?, metadata
 *   refusal    both in one HEADERS with END_STREAM ("Trailers-Only")
 *
 * Requests that are not gRPC get a plain HTTP status (405, 415) with a line of text. */
#include <stdio.h>

#include "rpc/call_private.h"
#include "rpc/loop_private.h"
#include "rpc/server.h"

static const uint64_t plain_wait_ns = 1000000000;
enum { FIELDS_OWN_MAX = 12, FIELDS_MAX = FIELDS_OWN_MAX + 2 * METADATA_ENTRIES_MAX };

/* ---- received ---- */

#define NAME_IS(name, literal)                                                                                         \
    ((name).size == sizeof(literal) - 1 && !memcmp((name).data, literal, sizeof(literal) - 1))

static bool is_grpc_content_type(struct slice value) {
    struct slice base = slice_of_string("application/grpc");
    if (!slice_starts_with(value, base)) return false;
    return value.size == base.size || value.data[base.size] == '+' || value.data[base.size] == ';';
}

static void receive_encoding(struct call_received *received, struct slice value) {
    received->is_gzip = NAME_IS(value, "gzip");
    received->has_unknown_encoding = !received->is_gzip && !NAME_IS(value, "identity");
}

static int parse_number(struct slice value) {
    int number = 0;
    if (value.size == 0 || value.size > 4) return -1;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return -1;
        number = 10 * number + (value.data[i] - '0');
    }
    return number;
}

/* The names that begin with "grpc-". False when it is none of ours. */
static bool receive_grpc_field(struct rpc_call *call, struct slice name, struct slice value) {
    struct call_received *received = &call->received;
    if (NAME_IS(name, "grpc-encoding")) {
        receive_encoding(received, value);
    } else if (NAME_IS(name, "grpc-timeout")) {
        received->has_bad_timeout = !grpc_timeout_parse(value, &received->timeout_ns);
    } else if (NAME_IS(name, "grpc-accept-encoding")) {
        /* answers are never compressed */
    } else if (NAME_IS(name, "grpc-status") && !call->is_server) {
        int number = parse_number(value);
        received->grpc_status = number >= 0 && number < GRPC_STATUS_COUNT ? number : GRPC_UNKNOWN;
    } else if (NAME_IS(name, "grpc-message") && !call->is_server) {
        buffer_clear(&call->status_message);
        if (!percent_decode(&call->status_message, value)) buffer_clear(&call->status_message);
    } else {
        return false;
    }
    return true;
}

static const struct rpc_method *find_method(struct rpc_call *call, struct slice path) {
    struct session *session = call->session;
    const struct rpc_method *method = session->owner_ops->find_method(session->owner, path);
    buffer_clear(&call->path);
    /* an unknown path is kept for the error's text; without memory for it the text is shorter */
    if (!method && !buffer_append(&call->path, path.data, path.size)) buffer_clear(&call->path);
    return method;
}

static void choose_method(struct rpc_call *call, struct slice path) {
    call->method = find_method(call, path);
    if (call->method && call->method->message_bytes_max) call->reader.bytes_max = call->method->message_bytes_max;
}

static void receive_pseudo_field(struct rpc_call *call, struct slice name, struct slice value) {
    if (call->is_server) {
        if (NAME_IS(name, ":method"))
            call->received.is_post = NAME_IS(value, "POST");
        else if (NAME_IS(name, ":path"))
            choose_method(call, value);
    } else if (NAME_IS(name, ":status")) {
        call->received.http_status = parse_number(value);
    }
}

bool headers_receive(struct rpc_call *call, struct slice name, struct slice value) {
    struct call_received *received = &call->received;
    size_t limit = call->session->limits->metadata_bytes_max;
    received->header_bytes += name.size + value.size + 32; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    if (received->header_bytes > limit) {
        received->is_too_large = true;
        /* some way over it the call still gets a readable answer; far over it the stream is not worth decoding */
        return received->header_bytes <= 4 * limit;
    }
    if (name.size && name.data[0] == ':') {
        receive_pseudo_field(call, name, value);
        return true;
    }
    if (NAME_IS(name, "content-type")) {
        received->has_grpc_content_type = is_grpc_content_type(value);
        return true;
    }
    if (NAME_IS(name, "te")) return true;
    if (slice_starts_with(name, slice_of_string("grpc-")) && receive_grpc_field(call, name, value)) return true;
    if (metadata_add_received(&call->received_metadata, name, value)) received->has_bad_metadata = true;
    return true;
}

/* ---- building ---- */

struct fields {
    nghttp2_nv list[FIELDS_MAX];
    size_t count;
};

enum { FIELD_STATIC = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };

static void fields_add(struct fields *fields, struct slice name, struct slice value, uint8_t flags) {
    if (fields->count == FIELDS_MAX) return;
    fields->list[fields->count++] =
        (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.size, value.size, flags};
}

/* Name and value are string literals: nghttp2 may point to them. */
#define FIELDS_ADD_STATIC(fields, name, value)                                                                         \
    fields_add(fields, slice_of(name, sizeof(name) - 1), slice_of(value, sizeof(value) - 1), FIELD_STATIC)
/* The name is a literal, the value is copied. */
#define FIELDS_ADD(fields, name, value)                                                                                \
    fields_add(fields, slice_of(name, sizeof(name) - 1), value, NGHTTP2_NV_FLAG_NO_COPY_NAME)

static void fields_add_metadata(struct fields *fields, const struct metadata *metadata) {
    for (size_t i = 0; i < metadata->count; i++) {
        struct rpc_metadata at = metadata_at(metadata, i);
        fields_add(fields, at.name, at.value, NGHTTP2_NV_FLAG_NONE);
    }
}

static void fields_add_status(struct fields *fields, const struct rpc_call *call) {
    static const char numbers[GRPC_STATUS_COUNT][3] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                       "9", "10", "11", "12", "13", "14", "15", "16"};
    unsigned code = (unsigned)call->status < GRPC_STATUS_COUNT ? call->status : GRPC_UNKNOWN;
    fields_add(fields, slice_of_string("grpc-status"), slice_of_string(numbers[code]), FIELD_STATIC);
    if (call->status_message.size) FIELDS_ADD(fields, "grpc-message", buffer_slice(&call->status_message));
}

/* nghttp2 fails to queue a frame only without memory, or when the stream is going away anyway. */
static void check_submitted(struct rpc_call *call, int result) {
    if (result == NGHTTP2_ERR_NOMEM) session_doom(call->session, "out of memory");
}

static void fields_add_response(struct fields *fields) {
    FIELDS_ADD_STATIC(fields, ":status", "200");
    FIELDS_ADD_STATIC(fields, "content-type", "application/grpc");
}

void headers_submit_response(struct rpc_call *call) {
    struct fields fields;
    fields.count = 0;
    fields_add_response(&fields);
    fields_add_metadata(&fields, &call->initial);
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = call_read_output};
    call->headers_sent = true;
    check_submitted(call,
                    nghttp2_submit_response(call->session->h2, call->stream_id, fields.list, fields.count, &provider));
}

void headers_submit_trailers(struct rpc_call *call) {
    struct fields fields;
    fields.count = 0;
    fields_add_status(&fields, call);
    fields_add_metadata(&fields, &call->trailing);
    check_submitted(call, nghttp2_submit_trailer(call->session->h2, call->stream_id, fields.list, fields.count));
}

void headers_submit_trailers_only(struct rpc_call *call) {
    struct fields fields;
    fields.count = 0;
    fields_add_response(&fields);
    fields_add_status(&fields, call);
    if (call->received.has_unknown_encoding) FIELDS_ADD_STATIC(&fields, "grpc-accept-encoding", "identity,gzip");
    fields_add_metadata(&fields, &call->trailing);
    call->headers_sent = true;
    check_submitted(call, nghttp2_submit_response(call->session->h2, call->stream_id, fields.list, fields.count, NULL));
}

bool headers_submit_request(struct rpc_call *call, struct session *session) {
    struct fields fields;
    char timeout[GRPC_TIMEOUT_TEXT_MAX];
    fields.count = 0;
    FIELDS_ADD_STATIC(&fields, ":method", "POST");
    FIELDS_ADD_STATIC(&fields, ":scheme", "http");
    FIELDS_ADD(&fields, ":path", buffer_slice(&call->path));
    FIELDS_ADD(&fields, ":authority", slice_of_string(session->authority));
    FIELDS_ADD_STATIC(&fields, "te", "trailers");
    FIELDS_ADD_STATIC(&fields, "content-type", "application/grpc");
    FIELDS_ADD(&fields, "user-agent", slice_of_string(session->user_agent));
    FIELDS_ADD_STATIC(&fields, "grpc-accept-encoding", "identity,gzip");
    if (call->gzip_out) FIELDS_ADD_STATIC(&fields, "grpc-encoding", "gzip");
    if (call->received.timeout_ns != UINT64_MAX)
        FIELDS_ADD(&fields, "grpc-timeout", slice_of(timeout, grpc_timeout_format(call->received.timeout_ns, timeout)));
    fields_add_metadata(&fields, &call->initial);
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = call_read_output};
    call->headers_sent = true;
    int32_t id = nghttp2_submit_request(session->h2, NULL, fields.list, fields.count, &provider, call);
    if (id > 0) call->stream_id = id;
    return id > 0;
}

/* ---- checks ---- */

/* What is not gRPC gets an HTTP status and a line of text, once the request has ended (or does not end): until then
 * nghttp2 still checks it as HTTP. */
static void refuse_plainly(struct rpc_call *call, const char *http_status, const char *text) {
    call->ended = call->output_ended = call->is_plain = true;
    call->plain_status = http_status;
    if (!buffer_append(&call->out, text, strlen(text))) buffer_clear(&call->out); /* then without text */
    if (!rpc_timer_arm(call->loop, &call->deadline, call->loop->now_ns + plain_wait_ns))
        session_doom(call->session, "out of memory");
}

void headers_submit_plain(struct rpc_call *call) {
    struct fields fields;
    fields.count = 0;
    FIELDS_ADD(&fields, ":status", slice_of_string(call->plain_status));
    FIELDS_ADD_STATIC(&fields, "content-type", "text/plain");
    if (!call->received.is_post) FIELDS_ADD_STATIC(&fields, "allow", "POST");
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = call_read_output};
    call->headers_sent = true;
    check_submitted(call,
                    nghttp2_submit_response(call->session->h2, call->stream_id, fields.list, fields.count, &provider));
    session_flush_later(call->session);
}

static void refuse(struct rpc_call *call, enum grpc_status code, const char *text) {
    call_finish_here(call, code, slice_of_string(text));
}

static void refuse_unknown_method(struct rpc_call *call) {
    char text[300];
    struct slice path = buffer_slice(&call->path);
    snprintf(text, sizeof text, "unknown method %.*s", (int)(path.size < 256 ? path.size : 256),
             path.data ? (const char *)path.data : "");
    refuse(call, GRPC_UNIMPLEMENTED, text);
}

bool headers_accept_request(struct rpc_call *call) {
    const struct call_received *received = &call->received;
    char text[120];
    if (received->is_too_large) {
        snprintf(text, sizeof text, "metadata is over the limit of %zu bytes",
                 call->session->limits->metadata_bytes_max);
        refuse(call, GRPC_RESOURCE_EXHAUSTED, text);
    } else if (!received->is_post) {
        refuse_plainly(call, "405", "gRPC calls are made with POST\n");
    } else if (!received->has_grpc_content_type) {
        refuse_plainly(call, "415", "gRPC calls have the content-type application/grpc\n");
    } else if (!call->method) {
        refuse_unknown_method(call);
    } else if (received->has_unknown_encoding) {
        refuse(call, GRPC_UNIMPLEMENTED, "grpc-encoding is not supported: send identity or gzip");
    } else if (received->has_bad_timeout) {
        refuse(call, GRPC_INTERNAL, "malformed grpc-timeout");
    } else if (received->has_bad_metadata) {
        refuse(call, GRPC_INTERNAL, "malformed binary metadata");
    } else {
        return true;
    }
    return false;
}

static enum grpc_status status_of_http(int http_status) {
    switch (http_status) {
    case 400: return GRPC_INTERNAL;
    case 401: return GRPC_UNAUTHENTICATED;
    case 403: return GRPC_PERMISSION_DENIED;
    case 404: return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return GRPC_UNAVAILABLE;
    default: return GRPC_UNKNOWN;
    }
}

bool headers_accept_response(struct rpc_call *call) {
    const struct call_received *received = &call->received;
    char text[120];
    if (received->is_too_large) {
        snprintf(text, sizeof text, "metadata is over the limit of %zu bytes",
                 call->session->limits->metadata_bytes_max);
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, text);
    } else if (received->http_status != 200 && received->grpc_status < 0) {
        snprintf(text, sizeof text, "the server answered with HTTP status %d", received->http_status);
        call_fail(call, status_of_http(received->http_status), text);
    } else if (!received->has_grpc_content_type && received->grpc_status < 0) {
        call_fail(call, GRPC_UNKNOWN, "the answer's content-type is not application/grpc");
    } else if (received->has_unknown_encoding) {
        call_fail(call, GRPC_INTERNAL, "the answer's grpc-encoding is not supported");
    } else {
        return true;
    }
    return false;
}
