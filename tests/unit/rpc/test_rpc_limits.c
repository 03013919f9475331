/* Clients that are wrong, greedy or hostile: raw HTTP/2 against a real server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/env.h"
#include "rpc_fixture.h"

enum { STREAMS_MAX = 64 };

/* ---- a client without manners ---- */

struct raw_stream {
    char http_status[8];
    char grpc_status[8];
    char grpc_message[256];
    char accept_encoding[64];
    struct buffer body;
    bool ended;
    uint32_t error;
};

struct raw {
    int fd;
    nghttp2_session *h2;
    struct raw_stream streams[STREAMS_MAX]; /* by (id - 1) / 2 */
    bool closed;                            /* the server closed the connection */
    bool saw_goaway;
    uint32_t goaway_error;
    char goaway_text[64];
};

static struct raw_stream *stream_of(struct raw *raw, int32_t id) { return &raw->streams[(id - 1) / 2 % STREAMS_MAX]; }

static int raw_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                      const uint8_t *value, size_t value_size, uint8_t flags, void *user_data) {
    (void)h2, (void)flags;
    struct raw_stream *stream = stream_of(user_data, frame->hd.stream_id);
    struct slice is = slice_of(name, name_size);
    char *into = NULL;
    size_t room = 0;
    if (slice_equal(is, slice_of_string(":status"))) into = stream->http_status, room = sizeof stream->http_status;
    if (slice_equal(is, slice_of_string("grpc-status"))) into = stream->grpc_status, room = sizeof stream->grpc_status;
    if (slice_equal(is, slice_of_string("grpc-message")))
        into = stream->grpc_message, room = sizeof stream->grpc_message;
    if (slice_equal(is, slice_of_string("grpc-accept-encoding")))
        into = stream->accept_encoding, room = sizeof stream->accept_encoding;
    if (into) snprintf(into, room, "%.*s", (int)value_size, (const char *)value);
    return 0;
}

static int raw_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user_data) {
    (void)h2, (void)flags;
    return buffer_append(&stream_of(user_data, id)->body, data, size) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int raw_stream_close(nghttp2_session *h2, int32_t id, uint32_t error_code, void *user_data) {
    (void)h2;
    struct raw_stream *stream = stream_of(user_data, id);
    stream->ended = true;
    stream->error = error_code;
    return 0;
}

static int raw_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
    (void)h2;
    struct raw *raw = user_data;
    if (frame->hd.type != NGHTTP2_GOAWAY) return 0;
    raw->saw_goaway = true;
    raw->goaway_error = frame->goaway.error_code;
    snprintf(raw->goaway_text, sizeof raw->goaway_text, "%.*s", (int)frame->goaway.opaque_data_len,
             frame->goaway.opaque_data ? (const char *)frame->goaway.opaque_data : "");
    return 0;
}

static void raw_open(struct raw *raw, const struct fixture *fixture, bool answers_pings) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(rpc_server_port(fixture->server, 0))};
    memset(raw, 0, sizeof *raw);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(raw->fd >= 0);
    assert_int_equal(connect(raw->fd, (struct sockaddr *)&address, sizeof address), 0);
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_ping_ack(option, !answers_pings);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, raw_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, raw_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, raw_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, raw_frame);
    assert_int_equal(nghttp2_session_client_new2(&raw->h2, callbacks, raw, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    assert_int_equal(nghttp2_submit_settings(raw->h2, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void raw_close(struct raw *raw) {
    for (size_t i = 0; i < STREAMS_MAX; i++) buffer_deinit(&raw->streams[i].body);
    nghttp2_session_del(raw->h2);
    close(raw->fd);
}

static void raw_write(struct raw *raw, const void *bytes, size_t size) {
    for (const uint8_t *at = bytes; size > 0 && !raw->closed;) {
        ssize_t sent = send(raw->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0)
            raw->closed = true;
        else
            at += sent, size -= (size_t)sent;
    }
}

static void raw_flush(struct raw *raw) {
    const uint8_t *data;
    for (ssize_t size; (size = nghttp2_session_mem_send(raw->h2, &data)) > 0;) raw_write(raw, data, (size_t)size);
}

static void raw_read(struct raw *raw, int timeout_ms) {
    uint8_t bytes[16384];
    struct pollfd poll_fd = {.fd = raw->fd, .events = POLLIN};
    if (poll(&poll_fd, 1, timeout_ms) <= 0) return;
    ssize_t got = recv(raw->fd, bytes, sizeof bytes, 0);
    if (got <= 0)
        raw->closed = true;
    else
        nghttp2_session_mem_recv(raw->h2, bytes, (size_t)got);
}

/* Talks until stream `id` has ended (0: until the server closes); fails the test after 20 s. */
static void raw_run(struct raw *raw, int32_t id) {
    uint64_t end_ns = env_monotonic_ns(env_posix()) + 20 * UINT64_C(1000000000);
    while (!raw->closed && !(id && stream_of(raw, id)->ended)) {
        if (env_monotonic_ns(env_posix()) > end_ns) fail_msg("the server does not answer");
        raw_flush(raw);
        raw_read(raw, 50);
    }
    raw_flush(raw);
}

struct raw_body {
    struct slice bytes;
    bool stays_open;
};

static ssize_t raw_read_body(nghttp2_session *h2, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                             nghttp2_data_source *source, void *user_data) {
    (void)h2, (void)id, (void)user_data;
    struct raw_body *body = source->ptr;
    if (size > body->bytes.size) size = body->bytes.size;
    if (size == 0 && body->stays_open) return NGHTTP2_ERR_DEFERRED;
    if (size) memcpy(into, body->bytes.data, size);
    body->bytes = slice_of(body->bytes.data + size, body->bytes.size - size);
    if (body->bytes.size == 0 && !body->stays_open) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static nghttp2_nv nv(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

/* `body` must live until the stream ends. */
static int32_t raw_request(struct raw *raw, const char *method, const char *path, const char *content_type,
                           const char *extra_name, const char *extra_value, struct raw_body *body) {
    nghttp2_nv fields[6] = {nv(":method", method), nv(":scheme", "http"), nv(":path", path), nv(":authority", "test"),
                            nv("content-type", content_type)};
    size_t count = 5;
    if (extra_name) fields[count++] = nv(extra_name, extra_value);
    nghttp2_data_provider provider = {.source.ptr = body, .read_callback = raw_read_body};
    int32_t id = nghttp2_submit_request(raw->h2, NULL, fields, count, body ? &provider : NULL, NULL);
    assert_true(id > 0);
    return id;
}

/* One request on a fresh connection; the answer is in the returned copy (its body is freed). */
static struct raw_stream ask(const struct fixture *fixture, const char *path, const char *extra_name,
                             const char *extra_value, const void *bytes, size_t size) {
    struct raw raw;
    struct raw_body body = {slice_of(bytes, size), false};
    raw_open(&raw, fixture, true);
    int32_t id = raw_request(&raw, "POST", path, "application/grpc", extra_name, extra_value, &body);
    raw_run(&raw, id);
    struct raw_stream stream = *stream_of(&raw, id);
    raw_close(&raw);
    return stream;
}

#define UNARY "/test.Echo/Unary"

/* ---- requests that are wrong ---- */

static void what_is_not_grpc_gets_a_plain_http_status(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    fixture_server_start(&fixture, NULL);
    raw_open(&raw, &fixture, true);
    int32_t id = raw_request(&raw, "GET", "/", "text/html", NULL, NULL, NULL);
    raw_run(&raw, id);
    assert_string_equal(stream_of(&raw, id)->http_status, "405");
    assert_true(stream_of(&raw, id)->body.size > 0);
    id = raw_request(&raw, "POST", UNARY, "application/json", NULL, NULL, NULL);
    raw_run(&raw, id);
    assert_string_equal(stream_of(&raw, id)->http_status, "415");
    assert_string_equal(stream_of(&raw, id)->grpc_status, "");
    struct raw_body open_body = {slice_of(NULL, 0), true};
    id = raw_request(&raw, "POST", UNARY, "application/grpc-web", NULL, NULL, &open_body); /* and never ends */
    raw_run(&raw, id);
    assert_string_equal(stream_of(&raw, id)->http_status, "415");
    struct raw_body body = {slice_of("\0\0\0\0\0", 5), false};
    id = raw_request(&raw, "POST", UNARY, "application/grpc+proto", NULL, NULL, &body);
    raw_run(&raw, id);
    assert_string_equal(stream_of(&raw, id)->grpc_status, "0");
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void an_unknown_encoding_is_unimplemented_with_what_is_accepted(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct raw_stream stream = ask(&fixture, UNARY, "grpc-encoding", "snappy", "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "12");
    assert_string_equal(stream.accept_encoding, "identity,gzip");
    stream = ask(&fixture, UNARY, "grpc-encoding", "identity", "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "0");
    fixture_server_stop(&fixture);
}

static void malformed_streams_of_messages_are_internal_errors(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *encoding;
        const char *text;
    } cases[] = {
        {"\2\0\0\0\0", 5, NULL, "compression flag"},
        {"\1\0\0\0\1x", 6, NULL, "grpc-encoding"},
        {"\1\0\0\0\1x", 6, "gzip", "gzip"},
        {"\0\0\0", 3, NULL, "inside a message"},
        {"\0\0\0\0\5ab", 7, NULL, "inside a message"},
        {"", 0, NULL, "without the request"},
        {"\0\0\0\0\0\0\0\0\0\0", 10, NULL,
         NULL}, /* two messages: the first may be answered before the second is seen */
    };
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct raw_stream stream =
            ask(&fixture, cases[i].text ? UNARY : "/test.Echo/Worker", cases[i].encoding ? "grpc-encoding" : NULL,
                cases[i].encoding, cases[i].bytes, cases[i].size);
        assert_string_equal(stream.grpc_status, "13");
        if (cases[i].text) assert_non_null(strstr(stream.grpc_message, cases[i].text));
    }
    fixture_server_stop(&fixture);
}

static void malformed_timeouts_and_binary_metadata_are_internal_errors(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct raw_stream stream = ask(&fixture, UNARY, "grpc-timeout", "soon", "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "13");
    stream = ask(&fixture, UNARY, "x-key-bin", "not base64!", "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "13");
    stream = ask(&fixture, "/test.Echo/Hold", "grpc-timeout", "30m", "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "4");
    assert_int_equal(atomic_load(&fixture_record.cancel_reason), GRPC_DEADLINE_EXCEEDED);
    fixture_server_stop(&fixture);
}

static void too_much_metadata_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 1, .metadata_bytes_max = 2000};
    char *value = calloc(1, 20000);
    assert_non_null(value);
    fixture_server_start(&fixture, &options);
    memset(value, 'v', 3000);
    struct raw_stream stream = ask(&fixture, UNARY, "x-large", value, "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "8");
    assert_non_null(strstr(stream.grpc_message, "2000"));
    memset(value, 'v', 15000);
    stream = ask(&fixture, UNARY, "x-large", value, "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, ""); /* not worth an answer */
    assert_int_not_equal(stream.error, NGHTTP2_NO_ERROR);
    assert_int_equal(atomic_load(&fixture_record.started), 0);
    free(value);
    fixture_server_stop(&fixture);
}

static void a_connection_may_hold_only_so_much(void **state) {
    (void)state;
    enum { CALLS = 8 };
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 1, .connection_bytes_max = 300000};
    fixture_server_start(&fixture, &options);
    struct raw raw;
    raw_open(&raw, &fixture, true);
    static uint8_t bytes[100000] = {0, 0, 1, 0x86, 0xa0}; /* says 100,000 bytes and stops 5 short */
    struct raw_body bodies[CALLS];
    int32_t ids[CALLS];
    for (int i = 0; i < CALLS; i++) {
        bodies[i] = (struct raw_body){slice_of(bytes, sizeof bytes), true};
        ids[i] = raw_request(&raw, "POST", UNARY, "application/grpc", NULL, NULL, &bodies[i]);
    }
    unsigned refused = 0;
    for (int round = 0; round < 400 && refused == 0; round++) {
        raw_flush(&raw);
        raw_read(&raw, 50);
        for (int i = 0; i < CALLS; i++) refused += strcmp(stream_of(&raw, ids[i])->grpc_status, "8") == 0;
    }
    assert_true(refused > 0);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

/* ---- floods ---- */

static void a_flood_of_pings_is_sent_away(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    fixture_server_start(&fixture, NULL);
    raw_open(&raw, &fixture, true);
    for (int i = 0; i < 20; i++) assert_int_equal(nghttp2_submit_ping(raw.h2, NGHTTP2_FLAG_NONE, NULL), 0);
    raw_run(&raw, 0);
    assert_true(raw.saw_goaway);
    assert_int_equal(raw.goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(raw.goaway_text, "too_many_pings");
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void pings_beside_real_traffic_are_welcome(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    fixture_server_start(&fixture, NULL);
    raw_open(&raw, &fixture, true);
    for (int i = 0; i < 30; i++) {
        struct raw_body body = {slice_of("\0\0\0\0\0", 5), false};
        assert_int_equal(nghttp2_submit_ping(raw.h2, NGHTTP2_FLAG_NONE, NULL), 0);
        int32_t id = raw_request(&raw, "POST", UNARY, "application/grpc", NULL, NULL, &body);
        raw_run(&raw, id);
        assert_false(raw.closed);
    }
    assert_false(raw.saw_goaway);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void rapid_resets_are_sent_away(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    struct rpc_server_options options = {.loops = 1, .resets_burst_max = 50, .resets_per_second_max = 10};
    fixture_server_start(&fixture, &options);
    raw_open(&raw, &fixture, true);
    struct raw_body body = {slice_of(NULL, 0), true};
    for (int i = 0; i < 200 && !raw.closed; i++) {
        int32_t id = raw_request(&raw, "POST", "/test.Echo/Hold", "application/grpc", NULL, NULL, &body);
        raw_flush(&raw);
        nghttp2_submit_rst_stream(raw.h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        raw_flush(&raw);
    }
    raw_run(&raw, 0);
    assert_true(raw.saw_goaway);
    assert_true(atomic_load(&fixture_record.started) < 120);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void raw_frame_header(uint8_t at[9], size_t size, uint8_t type, uint8_t flags, uint32_t id) {
    at[0] = (uint8_t)(size >> 16), at[1] = (uint8_t)(size >> 8), at[2] = (uint8_t)size;
    at[3] = type, at[4] = flags;
    at[5] = (uint8_t)(id >> 24), at[6] = (uint8_t)(id >> 16), at[7] = (uint8_t)(id >> 8), at[8] = (uint8_t)id;
}

static void endless_continuations_end_the_connection(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    fixture_server_start(&fixture, NULL);
    raw_open(&raw, &fixture, true);
    raw_flush(&raw);
    uint8_t frame[10];
    raw_frame_header(frame, 1, NGHTTP2_HEADERS, 0, 1);
    frame[9] = 0x83; /* :method POST */
    raw_write(&raw, frame, 10);
    for (int i = 0; i < 10000 && !raw.closed; i++) {
        raw_frame_header(frame, 0, NGHTTP2_CONTINUATION, 0, 1);
        raw_write(&raw, frame, 9);
    }
    raw_run(&raw, 0);
    assert_true(raw.closed);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void garbage_ends_the_connection_only(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    for (unsigned seed = 0; seed < 20; seed++) {
        struct raw raw;
        uint8_t *bytes = pattern_make(3000, seed * 77 + 1);
        raw_open(&raw, &fixture, true);
        if (seed % 2) raw_flush(&raw); /* a good preface first */
        raw_frame_header(bytes, 0x4000, (uint8_t)(seed / 2), 0xff, 0);
        raw_write(&raw, bytes, 3000);
        shutdown(raw.fd, SHUT_WR);
        raw_run(&raw, 0);
        raw_close(&raw);
        free(bytes);
    }
    struct raw_stream stream = ask(&fixture, UNARY, NULL, NULL, "\0\0\0\0\0", 5);
    assert_string_equal(stream.grpc_status, "0");
    fixture_server_stop(&fixture);
}

static void connections_over_the_limit_are_closed_at_once(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 2, .connections_max = 2};
    fixture_server_start(&fixture, &options);
    struct raw raws[3];
    for (int i = 0; i < 2; i++) {
        struct raw_body body = {slice_of("\0\0\0\0\0", 5), false};
        raw_open(&raws[i], &fixture, true);
        raw_run(&raws[i], raw_request(&raws[i], "POST", UNARY, "application/grpc", NULL, NULL, &body));
        assert_false(raws[i].closed);
    }
    raw_open(&raws[2], &fixture, true);
    raw_run(&raws[2], 0);
    struct rpc_server_stats stats;
    rpc_server_stats(fixture.server, &stats);
    assert_int_equal(stats.connections, 2);
    assert_int_equal(stats.connections_refused, 1);
    for (int i = 0; i < 3; i++) raw_close(&raws[i]);
    fixture_server_stop(&fixture);
}

/* ---- time ---- */

static void an_idle_connection_is_closed_with_goaway(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    struct rpc_server_options options = {.loops = 1, .idle_ms = 50};
    fixture_server_start(&fixture, &options);
    raw_open(&raw, &fixture, true);
    raw_run(&raw, 0);
    assert_true(raw.saw_goaway);
    assert_int_equal(raw.goaway_error, NGHTTP2_NO_ERROR);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void an_old_connection_is_drained(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    struct rpc_server_options options = {.loops = 1, .age_ms = 50, .drain_ms = 100};
    fixture_server_start(&fixture, &options);
    raw_open(&raw, &fixture, true);
    struct raw_body body = {slice_of(NULL, 0), true};
    int32_t id = raw_request(&raw, "POST", "/test.Echo/Hold", "application/grpc", NULL, NULL, &body);
    raw_run(&raw, 0);
    assert_true(raw.saw_goaway);
    assert_string_equal(stream_of(&raw, id)->grpc_status, "14");
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

static void a_peer_that_does_not_answer_pings_is_given_up(void **state) {
    (void)state;
    struct fixture fixture;
    struct raw raw;
    struct rpc_server_options options = {.loops = 1, .keepalive_ms = 30, .keepalive_timeout_ms = 30};
    fixture_server_start(&fixture, &options);
    raw_open(&raw, &fixture, false);
    struct raw_body body = {slice_of(NULL, 0), true};
    raw_request(&raw, "POST", "/test.Echo/Hold", "application/grpc", NULL, NULL, &body);
    raw_run(&raw, 0);
    fixture_wait_for(&fixture_record.cancelled, 1);
    assert_int_equal(atomic_load(&fixture_record.cancel_reason), GRPC_UNAVAILABLE);
    raw_close(&raw);

    raw_open(&raw, &fixture, true); /* one that answers stays */
    uint64_t end_ns = env_monotonic_ns(env_posix()) + 300 * UINT64_C(1000000);
    while (env_monotonic_ns(env_posix()) < end_ns) {
        raw_flush(&raw);
        raw_read(&raw, 10);
    }
    assert_false(raw.closed);
    raw_close(&raw);
    fixture_server_stop(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_grpc_gets_a_plain_http_status),
        cmocka_unit_test(an_unknown_encoding_is_unimplemented_with_what_is_accepted),
        cmocka_unit_test(malformed_streams_of_messages_are_internal_errors),
        cmocka_unit_test(malformed_timeouts_and_binary_metadata_are_internal_errors),
        cmocka_unit_test(too_much_metadata_is_refused),
        cmocka_unit_test(a_connection_may_hold_only_so_much),
        cmocka_unit_test(a_flood_of_pings_is_sent_away),
        cmocka_unit_test(pings_beside_real_traffic_are_welcome),
        cmocka_unit_test(rapid_resets_are_sent_away),
        cmocka_unit_test(endless_continuations_end_the_connection),
        cmocka_unit_test(garbage_ends_the_connection_only),
        cmocka_unit_test(connections_over_the_limit_are_closed_at_once),
        cmocka_unit_test(an_idle_connection_is_closed_with_goaway),
        cmocka_unit_test(an_old_connection_is_drained),
        cmocka_unit_test(a_peer_that_does_not_answer_pings_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
