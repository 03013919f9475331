/* plinth kv import: rows of a file as batches, several of them on their way at once.
 *
 * The main thread reads rows into a batch, sends it without waiting and goes on with the next free one; the client's
 * thread marks batches as answered. Every batch carries the import's producer id and its own sequence, so that one
 * whose outcome is unknown (a lost connection, a restarted server) is sent again and applied once. Sending again waits
 * until nothing is on its way, makes a new connection, and backs off. */
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/env.h"
#include "base/status.h"
#include "cmd/batch_builder.h"
#include "cmd/cli.h"
#include "cmd/cli_progress.h"
#include "cmd/row_reader.h"

enum {
    BATCHES = 16,
    BATCH_ROWS_DEFAULT = 500,
    BATCH_BYTES_MAX = 384 << 10, /* of more rows than one; a batch is one log record, at most 1 MiB */
    ATTEMPTS_MAX = 8,
    BACKOFF_MS = 100,
};

enum batch_state { BATCH_FREE, BATCH_SENT, BATCH_ANSWERED };

struct import;

struct batch {
    struct import *import;
    struct batch_builder builder;
    uint64_t rows;
    uint64_t first_line;
    unsigned attempts;
    struct rpc_call *call;
    enum batch_state state; /* guarded by import.mutex, as are the next two */
    enum grpc_status code;
    struct plinth_error error;
};

struct import {
    struct cli *cli;
    struct row_reader *reader;
    struct import_row row;
    bool row_is_held; /* `row` was too large for the last batch */
    struct progress progress;
    uint64_t producer_id;
    uint64_t sequence;
    uint64_t batch_rows_max;
    Plinth__V1__Durability durability;
    struct batch batches[BATCHES];
    uint64_t rows_done;
    uint64_t retries;
    pthread_mutex_t mutex;
    pthread_cond_t answered;
};

/* ---- sending ---- */

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct batch *batch = rpc_call_user_data(call);
    struct import *import = batch->import;
    pthread_mutex_lock(&import->mutex);
    batch->code = code;
    error_set(&batch->error, grpc_status_to_plinth(code), "%.*s", (int)message.size,
              message.size ? (const char *)message.data : "");
    batch->state = BATCH_ANSWERED;
    pthread_cond_signal(&import->answered);
    pthread_mutex_unlock(&import->mutex);
}

static const struct rpc_call_ops batch_ops = {.on_status = on_status};

static int send_batch(struct import *import, struct batch *batch) {
    struct cli *cli = import->cli;
    struct plinth_error error;
    if (cli_connect(cli, &error)) return cli_fail(CLI_UNREACHABLE, "%s", error.text);
    const struct rpc_call_options options = {.path = "/plinth.v1.KeyValue/Batch",
                                             .kind = RPC_UNARY,
                                             .ops = &batch_ops,
                                             .user_data = batch,
                                             .timeout_ms = cli->timeout_ms,
                                             .has_request = true,
                                             .request = buffer_slice(&batch->builder.request)};
    batch->state = BATCH_SENT;
    batch->attempts++;
    batch->call = rpc_client_call(cli->client, &options);
    if (!batch->call) cli_no_memory();
    return CLI_OK;
}

static bool is_retryable(enum grpc_status code) {
    return code == GRPC_UNAVAILABLE || code == GRPC_UNKNOWN || code == GRPC_DEADLINE_EXCEEDED;
}

static unsigned count_sent(const struct import *import) {
    unsigned sent = 0;
    for (unsigned i = 0; i < BATCHES; i++) sent += import->batches[i].state == BATCH_SENT;
    return sent;
}

static int fail_batch(const struct import *import, const struct batch *batch) {
    return cli_fail(batch->code == GRPC_UNAVAILABLE ? CLI_UNREACHABLE : CLI_FAILED,
                    "%s: rows from line %llu (%llu rows) were not imported: %s (%s); %llu rows before are there",
                    row_reader_name(import->reader), (unsigned long long)batch->first_line,
                    (unsigned long long)batch->rows, batch->error.text, grpc_status_name(batch->code),
                    (unsigned long long)import->rows_done);
}

/* Takes back what is answered with OK. Mutex held. */
static void collect(struct import *import) {
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *batch = &import->batches[i];
        if (batch->state != BATCH_ANSWERED || batch->code != GRPC_OK) continue;
        import->rows_done += batch->rows;
        rpc_call_unref(batch->call);
        batch->call = NULL;
        batch->state = BATCH_FREE;
    }
}

/* The first batch that failed, or null. Mutex held. */
static struct batch *find_failed(struct import *import) {
    for (unsigned i = 0; i < BATCHES; i++) {
        if (import->batches[i].state == BATCH_ANSWERED) return &import->batches[i];
    }
    return NULL;
}

/* Everything that failed goes out again over a new connection. Nothing is on its way. */
static int send_again(struct import *import) {
    unsigned attempts = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *batch = &import->batches[i];
        if (batch->state != BATCH_ANSWERED) continue;
        if (!is_retryable(batch->code) || batch->attempts >= ATTEMPTS_MAX) return fail_batch(import, batch);
        rpc_call_unref(batch->call);
        batch->call = NULL;
        if (batch->attempts > attempts) attempts = batch->attempts;
    }
    rpc_client_destroy(import->cli->client);
    import->cli->client = NULL;
    env_sleep_us(env_posix(), (uint64_t)BACKOFF_MS * 1000 << (attempts < 5 ? attempts : 5));
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *batch = &import->batches[i];
        if (batch->state != BATCH_ANSWERED) continue;
        import->retries++;
        int code = send_batch(import, batch);
        if (code) return code;
    }
    return CLI_OK;
}

static struct batch *find_free(struct import *import) {
    for (unsigned i = 0; i < BATCHES; i++) {
        if (import->batches[i].state == BATCH_FREE) return &import->batches[i];
    }
    return NULL;
}

/* Waits until a batch is free (or, with a null `free_batch`, every one is), sending again what failed. */
static int wait_for_free(struct import *import, struct batch **free_batch) {
    for (;;) {
        unsigned sent;
        struct batch *failed;
        pthread_mutex_lock(&import->mutex);
        for (;;) {
            collect(import);
            failed = find_failed(import);
            sent = count_sent(import);
            if (sent == 0 || (free_batch && !failed && sent < BATCHES)) break;
            pthread_cond_wait(&import->answered, &import->mutex);
        }
        if (free_batch) *free_batch = find_free(import);
        pthread_mutex_unlock(&import->mutex);
        if (!failed) return CLI_OK;
        int code = send_again(import);
        if (code) return code;
    }
}

/* ---- rows ---- */

static size_t row_bytes(const struct import_row *row) {
    size_t bytes = row->key.size + row->value.size;
    for (size_t i = 0; i < row->index_count; i++) bytes += row->indexes[i].name.size + row->indexes[i].value.size;
    return bytes;
}

/* Reads rows until the batch is full; a large one waits for the next batch. Rows in front of a bad one are left out
 * too: an import that fails tells how far it came in whole batches. */
static enum plinth_status fill_batch(struct import *import, struct batch *batch, bool *end,
                                     struct plinth_error *error) {
    batch_builder_clear(&batch->builder);
    batch->rows = 0;
    batch->attempts = 0;
    *end = false;
    while (batch->rows < import->batch_rows_max && batch->builder.request.size < BATCH_BYTES_MAX) {
        struct import_row *row = &import->row;
        enum plinth_status st = import->row_is_held ? PLINTH_OK : row_reader_next(import->reader, row, end, error);
        if (st) return st;
        if (*end) break;
        import->row_is_held = batch->rows && batch->builder.request.size + row_bytes(row) > BATCH_BYTES_MAX;
        if (import->row_is_held) break;
        if (!batch->rows) batch->first_line = row->line;
        if (!batch_builder_set(&batch->builder, row->key, row->value, row->indexes, row->index_count)) cli_no_memory();
        batch->rows++;
    }
    Plinth__V1__Space space;
    Plinth__V1__WriteOptions write = PLINTH__V1__WRITE_OPTIONS__INIT;
    write.producer_id = import->producer_id;
    write.sequence = ++import->sequence;
    write.durability = import->durability;
    if (!batch_builder_finish(&batch->builder, cli_space(import->cli, &space), &write)) cli_no_memory();
    return PLINTH_OK;
}

static int import_all(struct import *import) {
    struct plinth_error error;
    bool end = false;
    int code = CLI_OK;
    while (!end && !code) {
        struct batch *batch = NULL;
        code = wait_for_free(import, &batch);
        if (code) return code;
        enum plinth_status st = fill_batch(import, batch, &end, &error);
        if (st) { /* what was sent before is waited for, so that the count that is told is true */
            code = wait_for_free(import, NULL);
            return code ? code
                        : cli_fail(CLI_FAILED, "%s: %s; %llu rows before it are imported",
                                   row_reader_name(import->reader), error.text, (unsigned long long)import->rows_done);
        }
        if (batch->rows) code = send_batch(import, batch);
        progress_update(&import->progress, import->rows_done, row_reader_consumed(import->reader));
    }
    return code ? code : wait_for_free(import, NULL);
}

static void report(const struct import *import, double seconds) {
    if (import->cli->format == OUTPUT_JSON) {
        printf("{\"rows\":%llu,\"seconds\":%.3f,\"retries\":%llu}\n", (unsigned long long)import->rows_done, seconds,
               (unsigned long long)import->retries);
        return;
    }
    if (import->cli->quiet) return;
    printf("imported %llu rows in %.1f s (%.0f rows/s)", (unsigned long long)import->rows_done, seconds,
           seconds > 0 ? (double)import->rows_done / seconds : 0);
    if (import->retries) printf(", %llu batches sent again", (unsigned long long)import->retries);
    putchar('\n');
}

static void import_init(struct import *import, struct cli *cli, const Plinth__V1__WriteOptions *write) {
    *import = (struct import){.cli = cli, .batch_rows_max = BATCH_ROWS_DEFAULT, .durability = write->durability};
    while (!import->producer_id) import->producer_id = env_random_u64(env_posix());
    for (unsigned i = 0; i < BATCHES; i++) import->batches[i].import = import;
    pthread_mutex_init(&import->mutex, NULL);
    pthread_cond_init(&import->answered, NULL);
}

static void import_deinit(struct import *import) {
    rpc_client_destroy(import->cli->client); /* no callback runs from here on */
    import->cli->client = NULL;
    for (unsigned i = 0; i < BATCHES; i++) batch_builder_deinit(&import->batches[i].builder);
    row_reader_close(import->reader);
    pthread_cond_destroy(&import->answered);
    pthread_mutex_destroy(&import->mutex);
}

int cli_kv_import(struct cli *cli) {
    Plinth__V1__WriteOptions write, *given;
    struct plinth_error error;
    struct import *import = malloc(sizeof *import);
    if (!import) cli_no_memory();
    if (!cli_write_options(cli, &write, &given)) {
        free(import);
        return CLI_USAGE;
    }
    import_init(import, cli, &write);
    int code = CLI_USAGE;
    if (!cli_number(cli, "batch", 1, 100000, &import->batch_rows_max)) goto done;
    enum plinth_status st =
        row_reader_open(cli->options.operands[0], &cli->options, cli->bytes, &import->reader, &error);
    if (st) {
        code = cli_fail(st == PLINTH_UNSUPPORTED ? CLI_USAGE : CLI_FAILED, "%s", error.text);
        goto done;
    }
    progress_begin(&import->progress, "imported", row_reader_size(import->reader), cli->quiet);
    code = import_all(import);
    double seconds = progress_end(&import->progress);
    if (!code) report(import, seconds);
    for (unsigned i = 0; i < BATCHES; i++) rpc_call_unref(import->batches[i].call);
done:
    import_deinit(import);
    free(import);
    return code;
}
