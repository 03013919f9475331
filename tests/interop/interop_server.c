/* plinth_interop_server: gRPC's grpc.testing.TestService on Plinth's transport, for the official interop client and for
 * h2spec.
 *
 *   plinth_interop_server [address:port]
 *
 * Prints "listening on port N" and serves until SIGTERM or SIGINT, then drains. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "rpc/server.h"
#include "test_service.pb-c.h"

enum { PAYLOAD_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- what several methods do ---- */

/* Sends back the metadata that the test "custom_metadata" expects to see again. */
static void echo_metadata(struct rpc_call *call) {
    struct slice value;
    const char *initial = "x-grpc-test-echo-initial", *trailing = "x-grpc-test-echo-trailing-bin";
    enum plinth_status status = PLINTH_OK;
    if (rpc_call_metadata(call, initial, &value)) status = rpc_call_add_initial_metadata(call, initial, value);
    if (!status && rpc_call_metadata(call, trailing, &value))
        status = rpc_call_add_trailing_metadata(call, trailing, value);
    if (status) rpc_call_finish_error(call, status, NULL);
}

static void send_packed(struct rpc_call *call, const ProtobufCMessage *message) {
    uint8_t *at = rpc_call_send_space(call, protobuf_c_message_get_packed_size(message));
    if (at) protobuf_c_message_pack(message, at);
}

static void *unpack(struct rpc_call *call, const ProtobufCMessageDescriptor *descriptor, struct slice bytes) {
    void *message = protobuf_c_message_unpack(descriptor, NULL, bytes.size, bytes.data);
    if (!message) rpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the request is not a valid message");
    return message;
}

/* `size` zero bytes; null with the call finished when the client asks for nonsense. */
static uint8_t *make_body(struct rpc_call *call, int32_t size) {
    uint8_t *body = size >= 0 && size <= PAYLOAD_BYTES_MAX ? calloc(1, size ? (size_t)size : 1) : NULL;
    if (!body) rpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the payload's size is not possible");
    return body;
}

static bool finish_as_asked(struct rpc_call *call, const Grpc__Testing__EchoStatus *status) {
    if (!status || status->code == 0) return false;
    rpc_call_finish(call, (enum grpc_status)status->code, status->message);
    return true;
}

/* ---- unary ---- */

static void empty_call(struct rpc_call *call, struct slice message) {
    (void)message;
    rpc_call_reply(call, slice_of(NULL, 0));
}

static void answer_unary(struct rpc_call *call, const Grpc__Testing__SimpleRequest *request) {
    if (finish_as_asked(call, request->response_status)) return;
    uint8_t *body = make_body(call, request->response_size);
    if (!body) return;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    payload.body = (ProtobufCBinaryData){(size_t)request->response_size, body};
    response.payload = &payload;
    send_packed(call, &response.base);
    rpc_call_finish(call, GRPC_OK, NULL);
    free(body);
}

static void unary_call(struct rpc_call *call, struct slice message) {
    Grpc__Testing__SimpleRequest *request = unpack(call, &grpc__testing__simple_request__descriptor, message);
    if (!request) return;
    answer_unary(call, request);
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

/* ---- client streaming ---- */

struct input_state {
    int64_t bytes;
};

static void input_message(struct rpc_call *call, struct slice message) {
    struct input_state *state = rpc_call_state(call);
    Grpc__Testing__StreamingInputCallRequest *request =
        unpack(call, &grpc__testing__streaming_input_call_request__descriptor, message);
    if (!request) return;
    if (request->payload) state->bytes += (int64_t)request->payload->body.len;
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

static void input_end(struct rpc_call *call) {
    struct input_state *state = rpc_call_state(call);
    Grpc__Testing__StreamingInputCallResponse response = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t)state->bytes;
    send_packed(call, &response.base);
    rpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- streams of answers, each after its interval ---- */

struct planned_answer {
    int32_t size;
    int32_t interval_us;
};

struct output_state {
    struct rpc_timer timer; /* first: due when the next answer is */
    struct rpc_call *call;
    struct buffer planned; /* struct planned_answer, one after the other */
    size_t next;
    bool ends_when_sent;
};

static void output_start(struct rpc_call *call) {
    struct output_state *state = rpc_call_state(call);
    state->call = call;
    echo_metadata(call);
}

static void output_send(struct rpc_call *call, int32_t size) {
    uint8_t *body = make_body(call, size);
    if (!body) return;
    Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
    Grpc__Testing__StreamingOutputCallResponse response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    payload.body = (ProtobufCBinaryData){(size_t)size, body};
    response.payload = &payload;
    send_packed(call, &response.base);
    free(body);
}

static void output_go_on(struct output_state *state);

static void output_due(struct rpc_timer *timer) {
    struct output_state *state = (struct output_state *)timer;
    struct planned_answer answer;
    memcpy(&answer, state->planned.data + state->next, sizeof answer);
    state->next += sizeof answer;
    output_send(state->call, answer.size);
    output_go_on(state);
}

/* Sends what is due at once and arms the timer for what is not. */
static void output_go_on(struct output_state *state) {
    struct rpc_loop *loop = rpc_call_loop(state->call);
    while (state->next < state->planned.size && !rpc_call_is_over(state->call)) {
        struct planned_answer answer;
        memcpy(&answer, state->planned.data + state->next, sizeof answer);
        if (answer.interval_us > 0) {
            state->timer.run = output_due;
            if (!rpc_timer_arm(loop, &state->timer, rpc_loop_now_ns(loop) + (uint64_t)answer.interval_us * 1000))
                rpc_call_finish(state->call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
            return;
        }
        state->next += sizeof answer;
        output_send(state->call, answer.size);
    }
    if (state->ends_when_sent) rpc_call_finish(state->call, GRPC_OK, NULL);
}

static void output_plan(struct rpc_call *call, const Grpc__Testing__StreamingOutputCallRequest *request) {
    struct output_state *state = rpc_call_state(call);
    if (finish_as_asked(call, request->response_status)) return;
    for (size_t i = 0; i < request->n_response_parameters; i++) {
        struct planned_answer answer = {request->response_parameters[i]->size,
                                        request->response_parameters[i]->interval_us};
        if (!buffer_append(&state->planned, &answer, sizeof answer)) {
            rpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
            return;
        }
    }
    if (!state->timer.heap_slot) output_go_on(state);
}

static void output_message(struct rpc_call *call, struct slice message) {
    Grpc__Testing__StreamingOutputCallRequest *request =
        unpack(call, &grpc__testing__streaming_output_call_request__descriptor, message);
    if (!request) return;
    output_plan(call, request);
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

static void output_end(struct rpc_call *call) {
    struct output_state *state = rpc_call_state(call);
    state->ends_when_sent = true;
    if (!state->timer.heap_slot) output_go_on(state);
}

static void output_cancel(struct rpc_call *call, enum grpc_status reason) {
    (void)reason;
    struct output_state *state = rpc_call_state(call);
    rpc_timer_disarm(rpc_call_loop(call), &state->timer);
}

static void output_release(struct rpc_call *call) {
    struct output_state *state = rpc_call_state(call);
    rpc_timer_disarm(rpc_call_loop(call), &state->timer);
    buffer_deinit(&state->planned);
}

/* ---- the service ---- */

static const struct rpc_call_ops empty_ops = {.on_start = echo_metadata, .on_message = empty_call};
static const struct rpc_call_ops unary_ops = {.on_start = echo_metadata, .on_message = unary_call};
static const struct rpc_call_ops input_ops = {.on_message = input_message, .on_half_close = input_end};
static const struct rpc_call_ops output_ops = {.on_start = output_start,
                                               .on_message = output_message,
                                               .on_half_close = output_end,
                                               .on_cancel = output_cancel,
                                               .on_release = output_release};

#define SERVICE "/grpc.testing.TestService/"
static const struct rpc_method methods[] = {
    {SERVICE "EmptyCall", RPC_UNARY, &empty_ops, NULL, 0},
    {SERVICE "UnaryCall", RPC_UNARY, &unary_ops, NULL, 0},
    {SERVICE "StreamingInputCall", RPC_CLIENT_STREAM, &input_ops, NULL, sizeof(struct input_state)},
    {SERVICE "StreamingOutputCall", RPC_SERVER_STREAM, &output_ops, NULL, sizeof(struct output_state)},
    {SERVICE "FullDuplexCall", RPC_BIDI, &output_ops, NULL, sizeof(struct output_state)},
};

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:0";
    struct rpc_server_options options = {.addresses = &address,
                                         .address_count = 1,
                                         .methods = methods,
                                         .method_count = sizeof methods / sizeof *methods,
                                         .loops = 2,
                                         .drain_ms = 5000};
    struct rpc_server *server;
    struct plinth_error error;
    sigset_t signals;
    int signal_number;
    /* blocked before any thread exists, so that only sigwait sees them */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (rpc_server_create(&options, &server, &error)) {
        fprintf(stderr, "plinth_interop_server: %s\n", error.text);
        return 1;
    }
    printf("listening on port %u\n", rpc_server_port(server, 0));
    fflush(stdout);
    sigwait(&signals, &signal_number);
    rpc_server_drain(server);
    bool drained = rpc_server_wait(server, 10000);
    rpc_server_destroy(server);
    return drained ? 0 : 1;
}
