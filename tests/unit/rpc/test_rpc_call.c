/* A real client and a real server over loopback: every kind of call, and every way it can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc_fixture.h"

/* Sends `size` bytes by `path` and checks the echo. */
static void echo(struct rpc_client *client, const char *path, size_t size) {
    uint8_t *bytes = pattern_make(size, (unsigned)size);
    struct buffer response = BUFFER_INIT;
    struct plinth_error error;
    enum grpc_status code = rpc_client_unary(client, path, slice_of(bytes, size), 20000, &response, &error);
    if (code) fail_msg("%s with %zu bytes: %s: %s", path, size, grpc_status_name(code), error.text);
    assert_int_equal(response.size, size);
    if (size) assert_memory_equal(response.data, bytes, size);
    buffer_deinit(&response);
    free(bytes);
}

static void unary_calls_echo_any_size(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    static const size_t sizes[] = {0, 1, 5, 100, 16379, 16384, 70000, 262144, 3 * 1024 * 1024, 4 * 1024 * 1024};
    static const char *const paths[] = {"/test.Echo/Unary", "/test.Echo/Space", "/test.Echo/Worker"};
    for (size_t p = 0; p < 3; p++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) echo(client, paths[p], sizes[i]);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_client_stream_is_collected_and_answered_at_its_end(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Collect", RPC_CLIENT_STREAM, NULL);
    uint64_t bytes = 0;
    for (size_t i = 0; i < 1000; i++) {
        uint8_t *message = pattern_make(i, 1);
        rpc_call_send(recorded.call, slice_of(message, i));
        bytes += i;
        free(message);
    }
    rpc_call_half_close(recorded.call);
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.messages.size, 16);
    assert_int_equal(load_u64(recorded.messages.data), 1000);
    assert_int_equal(load_u64(recorded.messages.data + 8), bytes);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static struct slice repeat_request(uint8_t bytes[8], uint32_t count, uint32_t size) {
    store_u32(bytes, count);
    store_u32(bytes + 4, size);
    return slice_of(bytes, 8);
}

static void a_server_stream_stops_when_its_queue_is_full_and_goes_on_when_it_drains(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    uint8_t request[8];
    recorded_call_init(&recorded);
    recorded.keep_messages = false;
    recorded_call_start(
        &recorded, client, "/test.Echo/Repeat", RPC_SERVER_STREAM,
        &(struct rpc_call_options){.has_request = true, .request = repeat_request(request, 2000, 10000)});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.message_count, 2000);
    assert_true(atomic_load(&fixture_record.writable) > 10);
    assert_true(atomic_load(&fixture_record.queued_max) < RPC_SEND_HIGH_BYTES + 10005);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_slow_reader_holds_the_sender_back(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    uint8_t request[8];
    recorded_call_init(&recorded);
    recorded.keep_messages = false;
    recorded.pause_at_first = true;
    recorded_call_start(
        &recorded, client, "/test.Echo/Repeat", RPC_SERVER_STREAM,
        &(struct rpc_call_options){.has_request = true, .request = repeat_request(request, 1000, 10000)});
    recorded_call_wait_messages(&recorded, 1);
    usleep(200 * 1000);
    assert_int_equal(recorded.message_count, 1);
    struct rpc_server_stats stats;
    rpc_server_stats(fixture.server, &stats);
    assert_true(stats.bytes_sent < 2 * 1024 * 1024); /* one window, not 10 MB */
    echo(client, "/test.Echo/Unary", 100000);        /* the connection is not blocked for others */
    rpc_call_resume(recorded.call);
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.message_count, 1000);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_paused_server_takes_one_window_and_the_client_is_told_to_wait(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Paused", RPC_BIDI, NULL);
    static uint8_t message[50000];
    size_t queued = 0;
    for (int i = 0; i < 20; i++) queued = rpc_call_send(recorded.call, slice_of(message, sizeof message));
    assert_true(queued >= RPC_SEND_HIGH_BYTES);
    recorded_call_wait_messages(&recorded, 1);
    usleep(100 * 1000);
    assert_int_equal(atomic_load(&fixture_record.paused_messages), 1);
    assert_int_equal(recorded.writable_count, 0);
    fixture_resume_paused();
    recorded_call_wait_messages(&recorded, 20);
    rpc_call_half_close(recorded.call);
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.writable_count, 1);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_bidi_stream_talks_both_ways_until_the_half_close(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Chat", RPC_BIDI, NULL);
    for (unsigned i = 1; i <= 50; i++) {
        rpc_call_send(recorded.call, slice_of_string("ping"));
        recorded_call_wait_messages(&recorded, i);
    }
    assert_false(recorded_call_has_ended(&recorded));
    rpc_call_half_close(recorded.call);
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.messages.size, 200);
    assert_int_equal(atomic_load(&fixture_record.half_closed), 1);
    assert_int_equal(atomic_load(&fixture_record.cancelled), 0);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_server_may_finish_before_the_client_is_done(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    for (int i = 0; i < 20; i++) {
        struct recorded_call recorded;
        recorded_call_init(&recorded);
        recorded_call_start(&recorded, client, "/test.Echo/Early", RPC_BIDI, NULL);
        rpc_call_send(recorded.call, slice_of_string("only one"));
        recorded_call_wait(&recorded);
        assert_int_equal(recorded.code, GRPC_OK);
        assert_int_equal(recorded.message_count, 1);
        assert_int_equal(rpc_call_send(recorded.call, slice_of_string("too late")), 0);
        recorded_call_deinit(&recorded);
    }
    assert_int_equal(atomic_load(&fixture_record.cancelled), 0);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_failure_carries_code_text_and_metadata(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Fail", RPC_UNARY,
                        &(struct rpc_call_options){.has_request = true});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_INVALID_ARGUMENT);
    assert_string_equal(recorded.text, "wrong: \xc3\xbcmlaut 100%");
    assert_string_equal(recorded.trailing, "because");
    struct slice value;
    assert_true(rpc_call_metadata(recorded.call, "x-raw-bin", &value));
    assert_int_equal(value.size, 3);
    assert_memory_equal(value.data, "\0\xff\1", 3);
    recorded_call_deinit(&recorded);

    struct buffer response = BUFFER_INIT;
    struct plinth_error error;
    assert_int_equal(rpc_client_unary(client, "/test.Echo/Fail", slice_of(NULL, 0), 0, &response, &error),
                     GRPC_INVALID_ARGUMENT);
    assert_int_equal(error.status, PLINTH_INVALID_ARGUMENT);
    assert_string_equal(error.text, "wrong: \xc3\xbcmlaut 100%");
    buffer_deinit(&response);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void metadata_travels_both_ways(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct rpc_metadata metadata[] = {{slice_of_string("x-initial"), slice_of_string("first")},
                                      {slice_of_string("x-trailing-bin"), slice_of_string("\n\x01last")}};
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Metadata", RPC_UNARY,
                        &(struct rpc_call_options){.metadata = metadata, .metadata_count = 2, .has_request = true});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_true(recorded.has_initial);
    assert_string_equal(recorded.initial, "first");
    assert_string_equal(recorded.trailing, "\n\x01last");
    recorded_call_deinit(&recorded);
    metadata[0].name = slice_of_string("grpc-reserved");
    assert_null(rpc_client_call(client, &(struct rpc_call_options){.path = "/test.Echo/Unary",
                                                                   .ops = &(struct rpc_call_ops){NULL},
                                                                   .metadata = metadata,
                                                                   .metadata_count = 1}));
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void an_unknown_method_is_unimplemented_and_named(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct buffer response = BUFFER_INIT;
    struct plinth_error error;
    assert_int_equal(rpc_client_unary(client, "/test.Echo/Nothing", slice_of_string("x"), 0, &response, &error),
                     GRPC_UNIMPLEMENTED);
    assert_non_null(strstr(error.text, "/test.Echo/Nothing"));
    buffer_deinit(&response);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void compressed_messages_are_inflated(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    static char text[200000];
    memset(text, 'a', sizeof text);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(
        &recorded, client, "/test.Echo/Unary", RPC_UNARY,
        &(struct rpc_call_options){.gzip = true, .has_request = true, .request = slice_of(text, sizeof text)});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.messages.size, sizeof text);
    assert_memory_equal(recorded.messages.data, text, sizeof text);
    struct rpc_server_stats stats;
    rpc_server_stats(fixture.server, &stats);
    assert_true(stats.bytes_received < 5000);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void oversized_messages_are_refused_also_when_only_their_inflated_form_is(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 1, .message_bytes_max = 100000};
    fixture_server_start(&fixture, &options);
    struct rpc_client *client = fixture_connect(&fixture);
    static char text[100001];
    for (int gzip = 0; gzip < 2; gzip++) {
        struct recorded_call recorded;
        recorded_call_init(&recorded);
        recorded_call_start(
            &recorded, client, "/test.Echo/Unary", RPC_UNARY,
            &(struct rpc_call_options){.gzip = gzip, .has_request = true, .request = slice_of(text, sizeof text)});
        recorded_call_wait(&recorded);
        assert_int_equal(recorded.code, GRPC_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(recorded.text, "100000"));
        recorded_call_deinit(&recorded);
        echo(client, "/test.Echo/Unary", 99000); /* the connection goes on */
    }
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_cancelled_call_tells_both_sides_once(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Hold", RPC_BIDI, NULL);
    fixture_wait_for(&fixture_record.started, 1);
    rpc_call_cancel(recorded.call);
    rpc_call_cancel(recorded.call);
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_CANCELLED);
    fixture_wait_for(&fixture_record.released, 1);
    assert_int_equal(atomic_load(&fixture_record.cancelled), 1);
    assert_int_equal(atomic_load(&fixture_record.cancel_reason), GRPC_CANCELLED);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_call_cancelled_before_it_was_sent_never_hangs(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    for (int i = 0; i < 50; i++) {
        struct recorded_call recorded;
        recorded_call_init(&recorded);
        recorded_call_start(&recorded, client, "/test.Echo/Hold", RPC_BIDI, NULL);
        rpc_call_cancel(recorded.call);
        recorded_call_wait(&recorded);
        assert_int_equal(recorded.code, GRPC_CANCELLED);
        recorded_call_deinit(&recorded);
    }
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_deadline_ends_the_call_on_both_sides(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Hold", RPC_BIDI, &(struct rpc_call_options){.timeout_ms = 50});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_DEADLINE_EXCEEDED);
    fixture_wait_for(&fixture_record.cancelled, 1);
    assert_true(atomic_load(&fixture_record.saw_deadline));
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void a_lost_connection_cancels_its_calls(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Hold", RPC_BIDI, NULL);
    fixture_wait_for(&fixture_record.started, 1);
    rpc_call_unref(recorded.call); /* else destroying the client would wait for us */
    recorded.call = NULL;
    rpc_client_destroy(client);
    assert_true(recorded.ended);
    assert_int_equal(recorded.code, GRPC_UNAVAILABLE);
    assert_non_null(strstr(recorded.text, fixture.address));
    fixture_wait_for(&fixture_record.cancelled, 1);
    assert_int_equal(atomic_load(&fixture_record.cancel_reason), GRPC_UNAVAILABLE);
    recorded_call_deinit(&recorded);
    fixture_server_stop(&fixture);
}

static void a_refused_connection_is_unavailable_and_names_the_address(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    fixture_server_stop(&fixture); /* its port is free now */
    struct rpc_client *client = fixture_connect(&fixture);
    struct buffer response = BUFFER_INIT;
    struct plinth_error error;
    for (int i = 0; i < 2; i++) { /* while connecting, and when it has failed */
        assert_int_equal(rpc_client_unary(client, "/test.Echo/Unary", slice_of(NULL, 0), 5000, &response, &error),
                         GRPC_UNAVAILABLE);
        assert_non_null(strstr(error.text, fixture.address));
        assert_non_null(strstr(error.text, "refused"));
    }
    rpc_client_destroy(client);
    buffer_deinit(&response);
    struct rpc_client_options bad = {.address = "nonsense"};
    assert_int_equal(rpc_client_create(&bad, &client, &error), PLINTH_INVALID_ARGUMENT);
    assert_null(client);
}

static void a_port_in_use_is_named(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    const char *addresses[] = {fixture.address};
    struct rpc_server_options options = {.addresses = addresses,
                                         .address_count = 1,
                                         .methods = fixture_methods,
                                         .method_count = fixture_method_count,
                                         .loops = 2};
    struct rpc_server *second;
    struct plinth_error error;
    assert_int_equal(rpc_server_create(&options, &second, &error), PLINTH_UNAVAILABLE);
    assert_null(second);
    assert_non_null(strstr(error.text, fixture.address));
    assert_non_null(strstr(error.text, "in use"));
    fixture_server_stop(&fixture);
}

static void draining_lets_calls_finish_and_refuses_new_ones(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 2};
    fixture_server_start(&fixture, &options);
    struct rpc_client *client = fixture_connect(&fixture);
    struct rpc_client *idle = fixture_connect(&fixture);
    echo(idle, "/test.Echo/Unary", 10);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Chat", RPC_BIDI, NULL);
    rpc_call_send(recorded.call, slice_of_string("before"));
    recorded_call_wait_messages(&recorded, 1);
    rpc_server_drain(fixture.server);
    rpc_server_drain(fixture.server); /* twice is once */
    assert_false(rpc_server_wait(fixture.server, 200));
    rpc_call_send(recorded.call, slice_of_string("after"));
    recorded_call_wait_messages(&recorded, 2);
    struct buffer response = BUFFER_INIT;
    struct plinth_error error;
    assert_int_equal(rpc_client_unary(client, "/test.Echo/Unary", slice_of(NULL, 0), 5000, &response, &error),
                     GRPC_UNAVAILABLE);
    assert_int_equal(rpc_client_unary(idle, "/test.Echo/Unary", slice_of(NULL, 0), 5000, &response, &error),
                     GRPC_UNAVAILABLE);
    struct rpc_client *late = fixture_connect(&fixture);
    assert_int_equal(rpc_client_unary(late, "/test.Echo/Unary", slice_of(NULL, 0), 5000, &response, &error),
                     GRPC_UNAVAILABLE);
    rpc_call_half_close(recorded.call);
    recorded_call_wait(&recorded);
    assert_string_equal(recorded.text, "");
    assert_int_equal(recorded.code, GRPC_OK);
    assert_true(rpc_server_wait(fixture.server, 20000));
    recorded_call_deinit(&recorded);
    buffer_deinit(&response);
    rpc_client_destroy(client);
    rpc_client_destroy(idle);
    rpc_client_destroy(late);
    fixture_server_stop(&fixture);
}

static void a_drain_that_takes_too_long_is_ended_with_unavailable(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 1, .drain_ms = 100};
    fixture_server_start(&fixture, &options);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded;
    recorded_call_init(&recorded);
    recorded_call_start(&recorded, client, "/test.Echo/Hold", RPC_BIDI, NULL);
    fixture_wait_for(&fixture_record.started, 1);
    rpc_server_drain(fixture.server);
    assert_true(rpc_server_wait(fixture.server, 20000));
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_UNAVAILABLE);
    assert_int_equal(atomic_load(&fixture_record.cancelled), 1);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

static void destroying_a_busy_server_ends_its_calls(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 2};
    fixture_server_start(&fixture, &options);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded[20];
    for (int i = 0; i < 20; i++) {
        recorded_call_init(&recorded[i]);
        recorded_call_start(&recorded[i], client, i % 2 ? "/test.Echo/Hold" : "/test.Echo/Chat", RPC_BIDI, NULL);
    }
    fixture_wait_for(&fixture_record.started, 20);
    fixture_server_stop(&fixture);
    for (int i = 0; i < 20; i++) {
        recorded_call_wait(&recorded[i]);
        assert_int_equal(recorded[i].code, GRPC_UNAVAILABLE);
        recorded_call_deinit(&recorded[i]);
    }
    rpc_client_destroy(client);
}

static void short_reads_and_writes_change_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 1, .stream_ops = &short_stream_ops};
    fixture_server_start(&fixture, &options);
    struct rpc_client_options client_options = {.address = fixture.address, .stream_ops = &short_stream_ops};
    struct rpc_client *client;
    assert_int_equal(rpc_client_create(&client_options, &client, NULL), PLINTH_OK);
    echo(client, "/test.Echo/Unary", 0);
    echo(client, "/test.Echo/Unary", 70000);
    echo(client, "/test.Echo/Worker", 3 * 1024 * 1024 / 4);
    struct recorded_call recorded;
    uint8_t request[8];
    recorded_call_init(&recorded);
    recorded.keep_messages = false;
    recorded_call_start(&recorded, client, "/test.Echo/Repeat", RPC_SERVER_STREAM,
                        &(struct rpc_call_options){.has_request = true, .request = repeat_request(request, 100, 5000)});
    recorded_call_wait(&recorded);
    assert_int_equal(recorded.code, GRPC_OK);
    assert_int_equal(recorded.message_count, 100);
    recorded_call_deinit(&recorded);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

/* A partial write must not end the flush while frames still wait: the peer reads nothing else to wake us with. */
static void many_large_answers_pass_through_a_full_socket(void **state) {
    (void)state;
    enum { CALLS = 8 };
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct recorded_call recorded[CALLS];
    size_t size = 3 * 1024 * 1024;
    uint8_t *bytes = pattern_make(size, 3);
    for (int i = 0; i < CALLS; i++) {
        recorded_call_init(&recorded[i]);
        recorded_call_start(&recorded[i], client, "/test.Echo/Unary", RPC_UNARY,
                            &(struct rpc_call_options){.has_request = true, .request = slice_of(bytes, size)});
    }
    for (int i = 0; i < CALLS; i++) {
        recorded_call_wait(&recorded[i]);
        assert_int_equal(recorded[i].code, GRPC_OK);
        assert_int_equal(recorded[i].messages.size, size);
        assert_memory_equal(recorded[i].messages.data, bytes, size);
        recorded_call_deinit(&recorded[i]);
    }
    free(bytes);
    rpc_client_destroy(client);
    fixture_server_stop(&fixture);
}

struct retry_record {
    struct rpc_client *client;
    const struct rpc_call_ops *ops;
    unsigned left;
    atomic_uint ended;
};

/* Tries again from inside on_status, as a simple client would. */
static void retry_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct retry_record *record = rpc_call_user_data(call);
    (void)message;
    if (code == GRPC_UNAVAILABLE && record->left > 0) {
        record->left--;
        rpc_call_unref(rpc_client_call(
            record->client,
            &(struct rpc_call_options){.path = "/test.Echo/Hold", .ops = record->ops, .user_data = record}));
    }
    atomic_fetch_add(&record->ended, 1);
}

static void a_call_started_while_the_connection_goes_down_fails_too(void **state) {
    (void)state;
    static const struct rpc_call_ops retry_ops = {.on_status = retry_status};
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_client *client = fixture_connect(&fixture);
    struct retry_record record = {.client = client, .ops = &retry_ops, .left = 100};
    for (int i = 0; i < 10; i++)
        rpc_call_unref(rpc_client_call(
            client, &(struct rpc_call_options){
                        .path = "/test.Echo/Hold", .kind = RPC_BIDI, .ops = &retry_ops, .user_data = &record}));
    fixture_wait_for(&fixture_record.started, 10);
    fixture_server_stop(&fixture);
    fixture_wait_for(&record.ended, 110);
    rpc_client_destroy(client);
    assert_int_equal(atomic_load(&record.ended), 110);
}

static void draining_while_clients_connect_always_ends(void **state) {
    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        struct fixture fixture;
        struct rpc_server_options options = {.loops = 3};
        struct recorded_call recorded[6];
        struct rpc_client *clients[6];
        fixture_server_start(&fixture, &options);
        for (int i = 0; i < 6; i++) {
            clients[i] = fixture_connect(&fixture);
            recorded_call_init(&recorded[i]);
            recorded_call_start(&recorded[i], clients[i], "/test.Echo/Worker", RPC_UNARY,
                                &(struct rpc_call_options){.has_request = true, .request = slice_of_string("x")});
        }
        usleep(round * 30);
        rpc_server_drain(fixture.server);
        assert_true(rpc_server_wait(fixture.server, 20000));
        for (int i = 0; i < 6; i++) {
            recorded_call_wait(&recorded[i]);
            assert_true(recorded[i].code == GRPC_OK || recorded[i].code == GRPC_UNAVAILABLE);
            recorded_call_deinit(&recorded[i]);
            rpc_client_destroy(clients[i]);
        }
        fixture_server_stop(&fixture);
    }
}

/* ---- several loops, several threads ---- */

struct hammer {
    pthread_t thread;
    struct rpc_client *client;
    unsigned seed;
};

static void *hammer_run(void *argument) {
    struct hammer *hammer = argument;
    for (unsigned i = 0; i < 200; i++)
        echo(hammer->client, i % 3 ? "/test.Echo/Worker" : "/test.Echo/Unary", (i * 37 + hammer->seed) % 3000);
    return NULL;
}

static void many_threads_share_clients_and_loops(void **state) {
    (void)state;
    enum { THREADS = 6 };
    struct fixture fixture;
    struct rpc_server_options options = {.loops = 3};
    fixture_server_start(&fixture, &options);
    struct rpc_client *clients[3];
    struct hammer hammers[THREADS];
    for (int i = 0; i < 3; i++) clients[i] = fixture_connect(&fixture);
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.client = clients[i % 3], .seed = i * 1000};
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer_run, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) pthread_join(hammers[i].thread, NULL);
    struct rpc_server_stats stats;
    rpc_server_stats(fixture.server, &stats);
    assert_int_equal(stats.calls_total, THREADS * 200);
    assert_int_equal(stats.connections, 3);
    for (int i = 0; i < 3; i++) rpc_client_destroy(clients[i]);
    fixture_server_stop(&fixture);
}

static void calls_end_whenever_client_or_server_goes(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct fixture fixture;
        struct rpc_server_options options = {.loops = 2};
        struct recorded_call recorded[16];
        fixture_server_start(&fixture, &options);
        struct rpc_client *client = fixture_connect(&fixture);
        for (int i = 0; i < 16; i++) {
            recorded_call_init(&recorded[i]);
            recorded_call_start(&recorded[i], client, i % 2 ? "/test.Echo/Worker" : "/test.Echo/Unary", RPC_UNARY,
                                &(struct rpc_call_options){.has_request = true, .request = slice_of_string("x")});
        }
        usleep((unsigned)(round * 50));
        if (round % 2) fixture_server_stop(&fixture);
        for (int i = 0; i < 16; i++) {
            recorded_call_wait(&recorded[i]);
            assert_true(recorded[i].code == GRPC_OK || recorded[i].code == GRPC_UNAVAILABLE);
            assert_true(recorded[i].code == GRPC_UNAVAILABLE || recorded[i].messages.size == 1);
            recorded_call_deinit(&recorded[i]);
        }
        rpc_client_destroy(client);
        if (round % 2 == 0) fixture_server_stop(&fixture);
    }
}

/* ---- loop hooks ---- */

struct hook_record {
    atomic_uint started;
    atomic_uint woken;
    atomic_uint iterations;
    atomic_uint stopped;
    atomic_bool wrong_thread;
};

static void hook_on_start(struct rpc_loop *loop, void *context) {
    struct hook_record *record = context;
    atomic_fetch_add(&record->started, 1);
    rpc_loop_set_user_data(loop, record);
}
static void hook_on_wake(struct rpc_loop *loop, void *context) {
    struct hook_record *record = context;
    if (rpc_loop_current() != loop || rpc_loop_user_data(loop) != record) atomic_store(&record->wrong_thread, true);
    atomic_fetch_add(&record->woken, 1);
}
static void hook_on_iteration(struct rpc_loop *loop, void *context) {
    (void)loop;
    atomic_fetch_add(&((struct hook_record *)context)->iterations, 1);
}
static void hook_on_stop(struct rpc_loop *loop, void *context) {
    (void)loop;
    atomic_fetch_add(&((struct hook_record *)context)->stopped, 1);
}

static void a_wake_runs_every_loop_once(void **state) {
    (void)state;
    struct hook_record record = {0};
    struct fixture fixture;
    struct rpc_server_options options = {
        .loops = 3, .hooks = {&record, hook_on_start, hook_on_wake, hook_on_iteration, hook_on_stop}};
    fixture_server_start(&fixture, &options);
    fixture_wait_for(&record.started, 3);
    assert_int_equal(rpc_server_loop_count(fixture.server), 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(rpc_loop_index(rpc_server_loop(fixture.server, i)), i);
    for (unsigned round = 1; round <= 100; round++) {
        rpc_server_wake_all(fixture.server);
        fixture_wait_for(&record.woken, 3 * round);
    }
    assert_int_equal(atomic_load(&record.woken), 300);
    assert_true(atomic_load(&record.iterations) >= 300);
    assert_false(atomic_load(&record.wrong_thread));
    fixture_server_stop(&fixture);
    assert_int_equal(atomic_load(&record.stopped), 3);
}

struct counting_task {
    struct rpc_task task;
    struct rpc_timer timer;
    struct rpc_loop *loop;
    atomic_uint runs;
    uint64_t armed_ns;
    uint64_t fired_ns;
};
static void counting_fired(struct rpc_timer *timer) {
    struct counting_task *counting = (struct counting_task *)((char *)timer - offsetof(struct counting_task, timer));
    counting->fired_ns = rpc_loop_now_ns(counting->loop);
    atomic_fetch_add(&counting->runs, 1);
}
static void counting_run(struct rpc_task *task) {
    struct counting_task *counting = (struct counting_task *)task;
    counting->timer.run = counting_fired;
    counting->armed_ns = rpc_loop_now_ns(counting->loop);
    assert_true(rpc_timer_arm(counting->loop, &counting->timer, counting->armed_ns + 20 * 1000000));
    atomic_fetch_add(&counting->runs, 1);
}

static void posted_tasks_and_timers_run_on_the_loop(void **state) {
    (void)state;
    struct rpc_loop *loop;
    struct rpc_loop_options options = {.name = "test", .index = 7};
    assert_int_equal(rpc_loop_create(&options, &loop, NULL), PLINTH_OK);
    struct counting_task counting = {.task.run = counting_run, .loop = loop};
    assert_int_equal(rpc_loop_index(loop), 7);
    assert_null(rpc_loop_current());
    rpc_loop_post(loop, &counting.task);
    fixture_wait_for(&counting.runs, 2);
    assert_true(counting.fired_ns - counting.armed_ns >= 20 * 1000000);
    rpc_loop_destroy(loop);
}

static void clients_share_a_loop_and_go_while_it_stays(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_server_start(&fixture, NULL);
    struct rpc_loop *loop;
    assert_int_equal(rpc_loop_create(&(struct rpc_loop_options){0}, &loop, NULL), PLINTH_OK);
    for (int i = 0; i < 10; i++) {
        struct rpc_client *client;
        struct rpc_client_options options = {.address = fixture.address, .loop = loop};
        assert_int_equal(rpc_client_create(&options, &client, NULL), PLINTH_OK);
        if (i % 2) echo(client, "/test.Echo/Unary", 1000);
        rpc_client_destroy(client);
    }
    rpc_loop_destroy(loop);
    fixture_server_stop(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_calls_echo_any_size),
        cmocka_unit_test(a_client_stream_is_collected_and_answered_at_its_end),
        cmocka_unit_test(a_server_stream_stops_when_its_queue_is_full_and_goes_on_when_it_drains),
        cmocka_unit_test(a_slow_reader_holds_the_sender_back),
        cmocka_unit_test(a_paused_server_takes_one_window_and_the_client_is_told_to_wait),
        cmocka_unit_test(a_bidi_stream_talks_both_ways_until_the_half_close),
        cmocka_unit_test(a_server_may_finish_before_the_client_is_done),
        cmocka_unit_test(a_failure_carries_code_text_and_metadata),
        cmocka_unit_test(metadata_travels_both_ways),
        cmocka_unit_test(an_unknown_method_is_unimplemented_and_named),
        cmocka_unit_test(compressed_messages_are_inflated),
        cmocka_unit_test(oversized_messages_are_refused_also_when_only_their_inflated_form_is),
        cmocka_unit_test(a_cancelled_call_tells_both_sides_once),
        cmocka_unit_test(a_call_cancelled_before_it_was_sent_never_hangs),
        cmocka_unit_test(a_deadline_ends_the_call_on_both_sides),
        cmocka_unit_test(a_lost_connection_cancels_its_calls),
        cmocka_unit_test(a_refused_connection_is_unavailable_and_names_the_address),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(draining_lets_calls_finish_and_refuses_new_ones),
        cmocka_unit_test(a_drain_that_takes_too_long_is_ended_with_unavailable),
        cmocka_unit_test(destroying_a_busy_server_ends_its_calls),
        cmocka_unit_test(short_reads_and_writes_change_nothing),
        cmocka_unit_test(many_large_answers_pass_through_a_full_socket),
        cmocka_unit_test(a_call_started_while_the_connection_goes_down_fails_too),
        cmocka_unit_test(draining_while_clients_connect_always_ends),
        cmocka_unit_test(many_threads_share_clients_and_loops),
        cmocka_unit_test(calls_end_whenever_client_or_server_goes),
        cmocka_unit_test(a_wake_runs_every_loop_once),
        cmocka_unit_test(posted_tasks_and_timers_run_on_the_loop),
        cmocka_unit_test(clients_share_a_loop_and_go_while_it_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
