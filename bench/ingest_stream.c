#include "ingest_stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plinth/v1/ingestion.pb-c.h"
#include "rpc/client.h"

enum { HEAD_BYTES_MAX = 256, IN_FLIGHT_MAX = 1024 };
enum { PRODUCER_ID = 0x706c696e };

/* A record batch message, and where the times are in it. */
struct message {
    struct buffer bytes;
    int64_t *times;
    uint64_t raw_bytes;
};

struct generator {
    const struct ingest_stream_options *options;
    struct ingest_stream_result *result;
    struct buffer schema;
    struct message messages[INGEST_POOL_BATCHES];
    struct rpc_call *call;
    struct rpc_task start;
    uint64_t sent, answered, end_ns;
    uint64_t sent_ns[IN_FLIGHT_MAX];
    pthread_mutex_t mutex;
    pthread_cond_t ended_condition;
    bool ended; /* guarded by mutex */
};

static void check(enum plinth_status st, const struct plinth_error *error) {
    if (st) bench_die("%s: %s", plinth_status_name(st), error->text);
}

/* Reading the message back tells where the column of times lies. */
static void find_times(struct arrow_reader *reader, struct message *message) {
    struct plinth_error error;
    struct batch *batch;
    size_t used;
    bool end;
    check(arrow_reader_next(reader, buffer_slice(&message->bytes), &used, &batch, &end, &error), &error);
    const uint8_t *times = batch ? batch->columns[INGEST_TIME].values : NULL;
    if (times < message->bytes.data || times >= message->bytes.data + message->bytes.size)
        bench_die("the times are not in the message");
    message->times = (int64_t *)times;
    batch_unref(batch);
}

static void encode_messages(struct generator *generator, const struct ingest_rows *rows) {
    struct plinth_error error;
    struct arrow_reader *reader;
    struct batch *none;
    size_t used;
    bool end;
    const struct arrow_schema *schema = ingest_rows_schema(rows);
    check(arrow_write_schema(&generator->schema, schema, &error), &error);
    check(arrow_reader_create(NULL, &reader, &error), &error);
    check(arrow_reader_next(reader, buffer_slice(&generator->schema), &used, &none, &end, &error), &error);
    for (uint64_t i = 0; i < INGEST_POOL_BATCHES; i++) {
        struct message *message = &generator->messages[i];
        uint32_t count = generator->options->batch_rows;
        struct batch *batch = ingest_rows_make(rows, i * count, count);
        check(arrow_write_batch(&message->bytes, batch, ARROW_UNCOMPRESSED, &error), &error);
        message->raw_bytes = batch_bytes(batch);
        batch_unref(batch);
        find_times(reader, message);
    }
    arrow_reader_destroy(reader);
}

static size_t put_varint(uint8_t *at, uint64_t value) {
    size_t size = 0;
    for (; value >= 128; value >>= 7) at[size++] = (uint8_t)(value | 128);
    at[size++] = (uint8_t)value;
    return size;
}

/* WriteRowsRequest {table = 1 (the first time), write = 7, and the head of arrow_ipc = 2}. */
static size_t encode_head(struct generator *generator, uint64_t sequence, size_t ipc_size, uint8_t *at) {
    Plinth__V1__WriteRowsRequest request = PLINTH__V1__WRITE_ROWS_REQUEST__INIT;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__WriteOptions write = PLINTH__V1__WRITE_OPTIONS__INIT;
    table.name = (char *)generator->options->table;
    if (sequence == 1) request.table = &table;
    write.producer_id = PRODUCER_ID;
    write.sequence = sequence;
    request.write = &write;
    if (plinth__v1__write_rows_request__get_packed_size(&request) > HEAD_BYTES_MAX - 16) bench_die("table: too long");
    size_t size = plinth__v1__write_rows_request__pack(&request, at);
    at[size++] = 2 << 3 | 2;
    return size + put_varint(at + size, ipc_size);
}

static void send_next(struct generator *generator) {
    uint8_t head[HEAD_BYTES_MAX];
    struct message *message = &generator->messages[generator->sent % INGEST_POOL_BATCHES];
    uint32_t rows = generator->options->batch_rows;
    if (generator->sent >= INGEST_POOL_BATCHES)
        ingest_times_move(message->times, rows, (uint64_t)rows * INGEST_POOL_BATCHES);
    size_t schema_size = generator->sent ? 0 : generator->schema.size;
    size_t head_size = encode_head(generator, generator->sent + 1, schema_size + message->bytes.size, head);
    uint8_t *at = rpc_call_send_space(generator->call, head_size + schema_size + message->bytes.size);
    if (!at) return; /* on_status tells why */
    memcpy(at, head, head_size);
    memcpy(at + head_size, generator->schema.data, schema_size);
    memcpy(at + head_size + schema_size, message->bytes.data, message->bytes.size);
    generator->sent_ns[generator->sent++ % IN_FLIGHT_MAX] = bench_now_ns();
}

static void call_on_message(struct rpc_call *call, struct slice bytes) {
    struct generator *generator = rpc_call_user_data(call);
    struct ingest_stream_result *result = generator->result;
    Plinth__V1__WriteRowsResponse *answer = plinth__v1__write_rows_response__unpack(NULL, bytes.size, bytes.data);
    uint64_t now = bench_now_ns(), number = generator->answered++;
    if (!answer || answer->sequence != number + 1) bench_die("answer %llu is malformed", (unsigned long long)number);
    if (answer->error) bench_die("a batch was refused: %s", answer->error->message);
    if (answer->rows_rejected) bench_die("a row was rejected: %s", answer->rejects[0]->reason);
    if (answer->duplicate) bench_die("a batch was taken for one sent before");
    result->rows += answer->rows_written;
    result->raw_bytes += generator->messages[number % INGEST_POOL_BATCHES].raw_bytes;
    result->last_answer_ns = now;
    histogram_add(&result->latency, now - generator->sent_ns[number % IN_FLIGHT_MAX]);
    plinth__v1__write_rows_response__free_unpacked(answer, NULL);
    if (now < generator->end_ns)
        send_next(generator);
    else if (generator->answered == generator->sent)
        rpc_call_half_close(call);
}

static void call_on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct generator *generator = rpc_call_user_data(call);
    if (code != GRPC_OK) bench_die("%s: %.*s", grpc_status_name(code), (int)message.size, (const char *)message.data);
    pthread_mutex_lock(&generator->mutex);
    generator->ended = true;
    pthread_cond_signal(&generator->ended_condition);
    pthread_mutex_unlock(&generator->mutex);
}

static const struct rpc_call_ops call_ops = {.on_message = call_on_message, .on_status = call_on_status};

static void start(struct rpc_task *task) {
    struct generator *generator = (struct generator *)((char *)task - offsetof(struct generator, start));
    generator->result->begin_ns = bench_now_ns();
    generator->end_ns = generator->result->begin_ns + (uint64_t)(generator->options->seconds * 1e9);
    for (uint32_t i = 0; i < generator->options->in_flight; i++) send_next(generator);
}

void ingest_stream_run(const struct ingest_rows *rows, const struct ingest_stream_options *options,
                       struct ingest_stream_result *result) {
    if (options->in_flight > IN_FLIGHT_MAX) bench_die("at most %d batches in flight", IN_FLIGHT_MAX);
    struct generator *generator = calloc(1, sizeof *generator);
    if (!generator) bench_die("out of memory");
    generator->options = options;
    generator->result = result;
    pthread_mutex_init(&generator->mutex, NULL);
    pthread_cond_init(&generator->ended_condition, NULL);
    *result = (struct ingest_stream_result){0};
    encode_messages(generator, rows);

    struct rpc_client *client;
    struct plinth_error error;
    const struct rpc_client_options where = {.address = options->address};
    check(rpc_client_create(&where, &client, &error), &error);
    const struct rpc_call_options call = {
        .path = "/plinth.v1.Ingestion/WriteStream", .kind = RPC_BIDI, .ops = &call_ops, .user_data = generator};
    generator->call = rpc_client_call(client, &call);
    if (!generator->call) bench_die("out of memory");
    generator->start.run = start;
    rpc_loop_post(rpc_client_loop(client), &generator->start);
    pthread_mutex_lock(&generator->mutex);
    while (!generator->ended) pthread_cond_wait(&generator->ended_condition, &generator->mutex);
    pthread_mutex_unlock(&generator->mutex);
    rpc_call_unref(generator->call);
    rpc_client_destroy(client);
    for (int i = 0; i < INGEST_POOL_BATCHES; i++) buffer_deinit(&generator->messages[i].bytes);
    buffer_deinit(&generator->schema);
    free(generator);
}
