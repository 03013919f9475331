/* Calls of the command line: connect once, pack, wait, unpack, and put errors into words. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"

/* ---- errors ---- */

int cli_fail(int code, const char *format, ...) {
    va_list arguments;
    fputs("plinth: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

void cli_no_memory(void) { exit(cli_fail(CLI_FAILED, "out of memory")); }

int cli_fail_status(const struct cli *cli, enum grpc_status code, const struct plinth_error *error) {
    switch (code) {
    case GRPC_NOT_FOUND: return cli_fail(CLI_NOT_FOUND, "%s", error->text);
    case GRPC_UNAVAILABLE: /* the transport's own texts name the address */
        if (strstr(error->text, cli->server)) return cli_fail(CLI_UNREACHABLE, "%s", error->text);
        return cli_fail(CLI_UNREACHABLE, "%s: %s", cli->server, error->text);
    case GRPC_DEADLINE_EXCEEDED:
        return cli_fail(CLI_UNREACHABLE, "%s: no answer within %.1f s (see --timeout)", cli->server,
                        (double)cli->timeout_ms / 1000);
    default: return cli_fail(CLI_FAILED, "%s (%s)", error->text, grpc_status_name(code));
    }
}

/* ---- arguments ---- */

bool cli_bytes(const struct cli *cli, const char *what, const char *text, struct buffer *bytes) {
    struct plinth_error error;
    enum plinth_status st = PLINTH_OK;
    buffer_clear(bytes);
    struct slice given = slice_of_string(text);
    switch (cli->bytes) {
    case BYTES_HEX: st = bytes_from_hex(bytes, given, &error); break;
    case BYTES_BASE64: st = bytes_from_base64(bytes, given, &error); break;
    default:
        if (!buffer_append(bytes, given.data, given.size)) st = error_no_memory(&error, what);
    }
    if (st) cli_fail(CLI_USAGE, "%s: %s", what, error.text);
    return !st;
}

Plinth__V1__Space *cli_space(const struct cli *cli, Plinth__V1__Space *space) {
    if (!*cli->database && !*cli->space) return NULL;
    plinth__v1__space__init(space);
    space->database = (char *)cli->database;
    space->name = (char *)cli->space;
    return space;
}

bool cli_write_options(const struct cli *cli, Plinth__V1__WriteOptions *write, Plinth__V1__WriteOptions **given) {
    static const char *const words[] = {"buffered", "written", "synced", NULL};
    const char *text = options_value(&cli->options, "durability");
    struct plinth_error error;
    unsigned which;
    plinth__v1__write_options__init(write);
    *given = NULL;
    if (!text) return true;
    if (options_parse_word("durability", text, words, &which, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
        return false;
    }
    write->durability = PLINTH__V1__DURABILITY__DURABILITY_BUFFERED + which;
    *given = write;
    return true;
}

bool cli_number(const struct cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *number) {
    const char *text = options_value(&cli->options, name);
    struct plinth_error error;
    if (!text || !options_parse_number(name, text, min, max, number, &error)) return true;
    cli_fail(CLI_USAGE, "%s", error.text);
    return false;
}

/* ---- calls ---- */

enum plinth_status cli_connect(struct cli *cli, struct plinth_error *error) {
    if (cli->client) return PLINTH_OK;
    const struct rpc_client_options options = {
        .address = cli->server,
        .user_agent = "plinth-cli/" PLINTH_VERSION,
        .connect_ms = cli->timeout_ms && cli->timeout_ms < 5000 ? cli->timeout_ms : 5000,
        .keepalive_ms = 30000,
    };
    return rpc_client_create(&options, &cli->client, error);
}

static bool pack(const ProtobufCMessage *request, struct buffer *packed) {
    if (!buffer_reserve(packed, protobuf_c_message_get_packed_size(request) + 1)) return false;
    packed->size = protobuf_c_message_pack(request, packed->data);
    return true;
}

enum grpc_status cli_call_quietly(struct cli *cli, const char *path, const ProtobufCMessage *request,
                                  const ProtobufCMessageDescriptor *response_type, void *response,
                                  struct plinth_error *error) {
    ProtobufCMessage **answer = response;
    struct buffer packed = BUFFER_INIT, received = BUFFER_INIT;
    enum grpc_status code = GRPC_OK;
    *answer = NULL;
    enum plinth_status st = cli_connect(cli, error);
    if (st) return st == PLINTH_INVALID_ARGUMENT ? GRPC_INVALID_ARGUMENT : GRPC_UNAVAILABLE;
    if (pack(request, &packed)) {
        code = rpc_client_unary(cli->client, path, buffer_slice(&packed), cli->timeout_ms, &received, error);
    } else {
        code = GRPC_RESOURCE_EXHAUSTED;
        error_no_memory(error, "request");
    }
    if (code == GRPC_OK) {
        *answer = protobuf_c_message_unpack(response_type, NULL, received.size,
                                            received.data ? received.data : (const uint8_t *)"");
        if (!*answer) {
            code = GRPC_INTERNAL;
            error_set(error, PLINTH_CORRUPT, "the answer of %s is no %s", path, response_type->name);
        }
    }
    buffer_deinit(&packed);
    buffer_deinit(&received);
    return code;
}

int cli_call(struct cli *cli, const char *path, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response_type, void *response) {
    struct plinth_error error;
    enum grpc_status code = cli_call_quietly(cli, path, request, response_type, response, &error);
    return code == GRPC_OK ? CLI_OK : cli_fail_status(cli, code, &error);
}

/* ---- streams ---- */

/* Between the client's thread, which gets the answers, and the one that waits. */
struct stream {
    const ProtobufCMessageDescriptor *type;
    bool (*on_answer)(void *context, const ProtobufCMessage *answer);
    void *context;
    bool ended; /* by on_answer; the client's thread only */
    bool malformed;
    pthread_mutex_t mutex;
    pthread_cond_t done_condition;
    bool done; /* guarded by mutex, as are the next two */
    enum grpc_status code;
    struct plinth_error error;
};

static void on_message(struct rpc_call *call, struct slice message) {
    struct stream *stream = rpc_call_user_data(call);
    if (stream->ended) return;
    ProtobufCMessage *answer =
        protobuf_c_message_unpack(stream->type, NULL, message.size, message.data ? message.data : (const uint8_t *)"");
    stream->malformed = !answer;
    stream->ended = !answer || !stream->on_answer(stream->context, answer);
    if (answer) protobuf_c_message_free_unpacked(answer, NULL);
    if (stream->ended) rpc_call_cancel(call);
}

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct stream *stream = rpc_call_user_data(call);
    pthread_mutex_lock(&stream->mutex);
    stream->code = code;
    error_set(&stream->error, grpc_status_to_plinth(code), "%.*s", (int)message.size,
              message.size ? (const char *)message.data : "");
    stream->done = true;
    pthread_cond_signal(&stream->done_condition);
    pthread_mutex_unlock(&stream->mutex);
}

static const struct rpc_call_ops stream_ops = {.on_message = on_message, .on_status = on_status};

static int stream_result(struct cli *cli, const struct stream *stream, const char *path) {
    if (stream->malformed) return cli_fail(CLI_FAILED, "an answer of %s is no %s", path, stream->type->name);
    if (stream->ended || stream->code == GRPC_OK) return CLI_OK;
    return cli_fail_status(cli, stream->code, &stream->error);
}

int cli_stream(struct cli *cli, const char *path, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *response_type,
               bool (*on_answer)(void *context, const ProtobufCMessage *answer), void *context) {
    struct stream stream = {.type = response_type, .on_answer = on_answer, .context = context};
    struct plinth_error error;
    struct buffer packed = BUFFER_INIT;
    if (cli_connect(cli, &error)) return cli_fail(CLI_UNREACHABLE, "%s", error.text);
    if (!pack(request, &packed)) return cli_fail(CLI_FAILED, "out of memory");
    pthread_mutex_init(&stream.mutex, NULL);
    pthread_cond_init(&stream.done_condition, NULL);
    const struct rpc_call_options options = {.path = path,
                                             .kind = RPC_SERVER_STREAM,
                                             .ops = &stream_ops,
                                             .user_data = &stream,
                                             .has_request = true,
                                             .request = buffer_slice(&packed)};
    struct rpc_call *call = rpc_client_call(cli->client, &options);
    buffer_deinit(&packed);
    if (!call) return cli_fail(CLI_FAILED, "out of memory");
    pthread_mutex_lock(&stream.mutex);
    while (!stream.done) pthread_cond_wait(&stream.done_condition, &stream.mutex);
    pthread_mutex_unlock(&stream.mutex);
    rpc_call_unref(call);
    pthread_cond_destroy(&stream.done_condition);
    pthread_mutex_destroy(&stream.mutex);
    return stream_result(cli, &stream, path);
}
