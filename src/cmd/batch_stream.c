#include "cmd/batch_stream.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/status.h"

enum {
    WINDOW = 24, /* batches without an answer; must stay far below the sequences that servers remember */
    UNSENT_BYTES_MAX = 8 << 20,
    ATTEMPTS_MAX = 9, /* without any answer in between */
    BACKOFF_MS = 100,
};

struct batch_stream {
    struct cli *cli;
    struct batch_stream_options options;
    struct stream_batch ring[WINDOW];
    unsigned head, count; /* sent and not yet reported */
    unsigned failures;    /* streams that broke since the last answer */
    uint64_t retries;
    struct rpc_call *call;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned answered; /* of the ring, from the head; guarded by mutex, as is the rest */
    bool over;
    enum grpc_status code;
    struct plinth_error error;
};

/* ---- the client's thread ---- */

static void on_message(struct rpc_call *call, struct slice message) {
    struct batch_stream *stream = rpc_call_user_data(call);
    Plinth__V1__WriteRowsResponse *answer =
        plinth__v1__write_rows_response__unpack(NULL, message.size, message.data ? message.data : (const uint8_t *)"");
    pthread_mutex_lock(&stream->mutex);
    struct stream_batch *batch = &stream->ring[(stream->head + stream->answered) % WINDOW];
    /* Answers come in order; anything else breaks the stream, and is sorted out by sending again. */
    if (answer && stream->answered < stream->count && (!answer->sequence || answer->sequence == batch->sequence)) {
        batch->answer = answer;
        stream->answered++;
        answer = NULL;
    } else {
        rpc_call_cancel(call);
    }
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    if (answer) plinth__v1__write_rows_response__free_unpacked(answer, NULL);
}

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct batch_stream *stream = rpc_call_user_data(call);
    pthread_mutex_lock(&stream->mutex);
    stream->over = true;
    stream->code = code;
    error_set(&stream->error, grpc_status_to_plinth(code), "%.*s", (int)message.size,
              message.size ? (const char *)message.data : "");
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

static const struct rpc_call_ops stream_ops = {.on_message = on_message, .on_status = on_status};

/* ---- sending ---- */

static int open_call(struct batch_stream *stream) {
    struct cli *cli = stream->cli;
    struct plinth_error error;
    if (cli_connect(cli, &error)) return cli_fail(CLI_UNREACHABLE, "%s", error.text);
    const struct rpc_call_options options = {
        .path = "/plinth.v1.Ingestion/WriteStream", .kind = RPC_BIDI, .ops = &stream_ops, .user_data = stream};
    stream->over = false;
    stream->call = rpc_client_call(cli->client, &options);
    if (!stream->call) cli_no_memory();
    return CLI_OK;
}

static bool is_retryable(enum grpc_status code) {
    return code == GRPC_UNAVAILABLE || code == GRPC_UNKNOWN || code == GRPC_DEADLINE_EXCEEDED || code == GRPC_OK ||
           code == GRPC_CANCELLED;
}

/* The stream is over with batches unanswered: a new one, and all of them again. Nothing calls back meanwhile. */
static int send_again(struct batch_stream *stream) {
    if (!is_retryable(stream->code) || ++stream->failures >= ATTEMPTS_MAX) {
        const struct stream_batch *oldest = &stream->ring[stream->head];
        return stream->options.on_refusal(stream->options.context, oldest, stream->code, stream->error.text);
    }
    rpc_call_unref(stream->call);
    stream->call = NULL;
    rpc_client_destroy(stream->cli->client);
    stream->cli->client = NULL;
    env_sleep_us(env_posix(), (uint64_t)BACKOFF_MS * 1000 << (stream->failures < 5 ? stream->failures : 5));
    int code = open_call(stream);
    for (unsigned i = 0; !code && i < stream->count; i++) {
        struct stream_batch *batch = &stream->ring[(stream->head + i) % WINDOW];
        batch->attempts++;
        stream->retries++;
        rpc_call_send(stream->call, buffer_slice(&batch->request));
    }
    return code;
}

/* ---- answers ---- */

static bool is_passing(int32_t code) { return code == GRPC_UNAVAILABLE || code == GRPC_UNKNOWN; }

/* Reports the oldest batch, which has an answer. `*again`: its outcome is unknown, break the stream off. */
static int report(struct batch_stream *stream, struct stream_batch *batch, bool *again) {
    const Plinth__V1__WriteError *error = batch->answer->error;
    *again = false;
    /* What is that old was acknowledged long before the newest were sent: the window is much smaller. */
    if (error && error->code == GRPC_OUT_OF_RANGE)
        return stream->options.on_answer(stream->options.context, batch, NULL);
    if (error && is_passing(error->code)) {
        *again = true;
        return CLI_OK;
    }
    if (error)
        return stream->options.on_refusal(stream->options.context, batch, (enum grpc_status)error->code,
                                          error->message);
    return stream->options.on_answer(stream->options.context, batch, batch->answer);
}

static void forget_answers(struct batch_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    for (unsigned i = 0; i < stream->answered; i++) {
        struct stream_batch *batch = &stream->ring[(stream->head + i) % WINDOW];
        plinth__v1__write_rows_response__free_unpacked(batch->answer, NULL);
        batch->answer = NULL;
    }
    stream->answered = 0;
    pthread_mutex_unlock(&stream->mutex);
}

/* Breaks the stream off after an answer that says nothing: batches behind it are sent again with it. */
static void break_off(struct batch_stream *stream, const char *why) {
    rpc_call_cancel(stream->call);
    pthread_mutex_lock(&stream->mutex);
    while (!stream->over) pthread_cond_wait(&stream->changed, &stream->mutex);
    stream->code = GRPC_UNAVAILABLE;
    error_set(&stream->error, PLINTH_UNAVAILABLE, "%s", why);
    pthread_mutex_unlock(&stream->mutex);
}

static int report_answered(struct batch_stream *stream) {
    for (;;) {
        pthread_mutex_lock(&stream->mutex);
        struct stream_batch *batch = stream->answered ? &stream->ring[stream->head] : NULL;
        pthread_mutex_unlock(&stream->mutex);
        if (!batch) return CLI_OK;
        bool again;
        int code = report(stream, batch, &again);
        if (code) return code;
        if (again) {
            break_off(stream, batch->answer->error->message);
            forget_answers(stream);
            return CLI_OK;
        }
        stream->failures = 0;
        pthread_mutex_lock(&stream->mutex);
        plinth__v1__write_rows_response__free_unpacked(batch->answer, NULL);
        batch->answer = NULL;
        stream->head = (stream->head + 1) % WINDOW;
        stream->count--;
        stream->answered--;
        pthread_mutex_unlock(&stream->mutex);
    }
}

/* Waits until at most `left` batches are unanswered, sending again what must be. */
static int wait_for(struct batch_stream *stream, unsigned left) {
    for (;;) {
        int code = report_answered(stream);
        if (code) return code;
        pthread_mutex_lock(&stream->mutex);
        bool over = stream->over && !stream->answered && stream->count;
        bool done = !over && stream->count <= left;
        if (!over && !done && !stream->answered) pthread_cond_wait(&stream->changed, &stream->mutex);
        pthread_mutex_unlock(&stream->mutex);
        if (done) return CLI_OK;
        if (over) code = send_again(stream);
        if (code) return code;
    }
}

/* ---- for the caller ---- */

struct batch_stream *batch_stream_create(struct cli *cli, const struct batch_stream_options *options) {
    struct batch_stream *stream = calloc(1, sizeof *stream);
    if (!stream) cli_no_memory();
    stream->cli = cli;
    stream->options = *options;
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->changed, NULL);
    return stream;
}

void batch_stream_destroy(struct batch_stream *stream) {
    if (!stream) return;
    if (stream->call) rpc_call_half_close(stream->call);
    rpc_call_unref(stream->call);
    rpc_client_destroy(stream->cli->client); /* no callback runs from here on */
    stream->cli->client = NULL;
    for (unsigned i = 0; i < WINDOW; i++) {
        buffer_deinit(&stream->ring[i].request);
        table_rows_deinit(&stream->ring[i].rows);
        if (stream->ring[i].answer) plinth__v1__write_rows_response__free_unpacked(stream->ring[i].answer, NULL);
    }
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->mutex);
    free(stream);
}

int batch_stream_take(struct batch_stream *stream, struct stream_batch **batch) {
    int code = wait_for(stream, WINDOW - 1);
    *batch = NULL;
    if (code) return code;
    *batch = &stream->ring[(stream->head + stream->count) % WINDOW];
    buffer_clear(&(*batch)->request);
    (*batch)->attempts = 0;
    (*batch)->answer = NULL;
    return CLI_OK;
}

int batch_stream_send(struct batch_stream *stream, struct stream_batch *batch) {
    int code = stream->call ? CLI_OK : open_call(stream);
    if (code) return code;
    pthread_mutex_lock(&stream->mutex);
    batch->attempts = 1;
    stream->count++;
    pthread_mutex_unlock(&stream->mutex);
    size_t queued = rpc_call_send(stream->call, buffer_slice(&batch->request));
    /* The server reads no more than it can take: what is queued here beyond that waits for its answers. */
    for (unsigned left = WINDOW; queued > UNSENT_BYTES_MAX && left > 1; queued = rpc_call_send_queued(stream->call)) {
        left = left > stream->count ? stream->count : left;
        if (!left) break;
        code = wait_for(stream, --left);
        if (code) return code;
    }
    return CLI_OK;
}

int batch_stream_drain(struct batch_stream *stream) { return wait_for(stream, 0); }
uint64_t batch_stream_retries(const struct batch_stream *stream) { return stream->retries; }
