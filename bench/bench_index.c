/* Look-ups in a table of 10 million rows through gRPC: by primary key, and by secondary indexes.
 *
 * The table, made and merged into one run by an engine in this process before plinthd opens it:
 *
 *   id       int64      primary key, 0 to rows - 1
 *   serial   string     16 hexadecimal digits, each once             index "by_serial":   1 row a value
 *   customer int64      100 rows each, far apart in the key's order  index "by_customer": 100 rows a value
 *   time timestamp(us), region string (8), status string (4), quantity int32, amount float64
 *
 * Query.GetRow and Query.GetByIndex ask for whole rows, chosen at random, as Arrow. For each sort of look-up: some
 * answers are decoded and compared with what was written; a warm-up; then one client alone, one call after the other
 * (latency); then 32 calls in flight on 4 connections (calls a second). The generator is one thread of this process.
 *
 * The last line has the worst of the three sorts, and each of them. */
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "column/arrow_ipc.h"
#include "engine/rows.h"
#include "ingest_table.h"
#include "measure.h"
#include "plinth/v1/query.pb-c.h"
#include "rpc/client.h"
#include "server.h"

enum { COLUMNS = 8, LOAD_ROWS = 20000, ROWS_PER_CUSTOMER = 100, CONNECTIONS = 4, IN_FLIGHT = 32 };
enum { REQUEST_BYTES_MAX = 256, VERIFIED = 200, SERIAL_BYTES = BENCH_KEY_BYTES, LOADS_IN_FLIGHT = 8 };

enum sort { BY_KEY, BY_SERIAL, BY_CUSTOMER, SORTS };
static const char *const sort_names[SORTS] = {"pk", "index1", "index100"};
static const char *const sort_titles[SORTS] = {"by primary key", "by index, 1 row a value",
                                               "by index, 100 rows a value"};

static const char *const names[COLUMNS] = {"id",     "serial", "customer", "time",
                                           "region", "status", "quantity", "amount"};
static const char *const types[COLUMNS] = {"int64",  "string", "int64", "timestamp(us)",
                                           "string", "string", "int32", "float64"};
static const char *const regions[] = {"eu-west",  "eu-north", "us-east",  "us-west",
                                      "ap-south", "ap-east",  "sa-south", "af-south"};
static const char *const states[] = {"ordered", "paid", "sent", "returned"};

static struct {
    uint64_t rows;
    double seconds, warm_seconds;
    const char *directory, *server, *cache_size;
} options = {.rows = 10000000, .seconds = 10, .warm_seconds = 10, .cache_size = "4GiB"};

static uint64_t customers(void) { return options.rows / ROWS_PER_CUSTOMER; }

/* ---- the table ---- */

static void *room(struct batch *batch, size_t bytes) {
    void *memory = arena_alloc(&batch->arena, bytes);
    if (!memory) bench_die("out of memory");
    return memory;
}

static void set_strings(struct batch *batch, int at, uint64_t first, struct slice (*text)(uint64_t, char *)) {
    uint32_t *offsets = room(batch, (batch->rows + 1) * sizeof *offsets);
    uint8_t *bytes = room(batch, (size_t)batch->rows * SERIAL_BYTES);
    char made[SERIAL_BYTES];
    offsets[0] = 0;
    for (uint32_t i = 0; i < batch->rows; i++) {
        struct slice value = text(first + i, made);
        memcpy(bytes + offsets[i], value.data, value.size);
        offsets[i + 1] = offsets[i] + (uint32_t)value.size;
    }
    batch->columns[at].offsets = offsets;
    batch->columns[at].bytes = bytes;
}

static struct slice serial_of(uint64_t id, char *made) {
    bench_key(id, made);
    return slice_of(made, SERIAL_BYTES);
}
static struct slice region_of(uint64_t id, char *made) {
    (void)made;
    return slice_of_string(regions[bench_mix(id + 3) % 8]);
}
static struct slice state_of(uint64_t id, char *made) {
    (void)made;
    return slice_of_string(states[bench_mix(id + 4) % 4]);
}

static struct batch *make_rows(const struct arrow_schema *schema, uint64_t first, uint32_t count) {
    struct batch *batch = batch_create(COLUMNS);
    if (!batch) bench_die("out of memory");
    batch->rows = count;
    int64_t *id = room(batch, count * 8), *customer = room(batch, count * 8), *time = room(batch, count * 8);
    int32_t *quantity = room(batch, count * 4);
    double *amount = room(batch, count * 8);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = first + i, dice = bench_mix(n + 5);
        id[i] = (int64_t)n;
        customer[i] = (int64_t)(n % customers());
        time[i] = INT64_C(1700000000000000) + (int64_t)n * 1000;
        quantity[i] = (int32_t)(dice % 20);
        amount[i] = (double)(dice >> 16 & 0xFFFFF) / 100;
    }
    for (int c = 0; c < COLUMNS; c++) batch->columns[c].type = schema->fields[c].type;
    batch->columns[0].values = id;
    batch->columns[2].values = customer;
    batch->columns[3].values = time;
    batch->columns[6].values = quantity;
    batch->columns[7].values = amount;
    set_strings(batch, 1, first, serial_of);
    set_strings(batch, 4, first, region_of);
    set_strings(batch, 5, first, state_of);
    return batch;
}

static void create_table(struct plinth *db) {
    struct plinth_error error;
    struct plinth_column columns[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) columns[i] = (struct plinth_column){names[i], types[i], false, 0};
    const char *key = "id", *serial = "serial", *customer = "customer";
    const struct plinth_table_definition definition = {
        .columns = columns, .column_count = COLUMNS, .key = &key, .key_count = 1};
    const struct plinth_index indexes[] = {
        {.name = "by_serial", .kind = PLINTH_INDEX_SORTED, .columns = &serial, .column_count = 1},
        {.name = "by_customer", .kind = PLINTH_INDEX_SORTED, .columns = &customer, .column_count = 1}};
    bench_check(plinth_table_create(db, NULL, "orders", &definition, &error), &error);
    for (int i = 0; i < 2; i++) bench_check(plinth_table_index_create(db, NULL, "orders", &indexes[i], &error), &error);
}

static void load(struct plinth *db) {
    struct plinth_error error;
    struct arrow_field fields[COLUMNS] = {0};
    for (int i = 0; i < COLUMNS; i++) {
        fields[i].name = names[i];
        bench_check(column_type_parse(slice_of_string(types[i]), &fields[i].type, &error), &error);
    }
    const struct arrow_schema schema = {fields, COLUMNS};
    const struct plinth_write_options write = {0};
    const struct table_schema *table;
    struct rows_result last = {0};
    bench_check(engine_find_schema(db, NULL, "orders", &table, &error), &error);
    for (uint64_t first = 0; first < options.rows; first += LOAD_ROWS) {
        uint64_t left = options.rows - first;
        struct batch *batch = make_rows(&schema, first, (uint32_t)(left < LOAD_ROWS ? left : LOAD_ROWS));
        last = bench_rows_submit(db, table->id, &schema, batch, &write);
        batch_unref(batch);
    }
    bench_check(rows_wait(db, &write, &last, &error), &error);
    table_schema_unref(table);
}

static void make_directory(const char *data) {
    struct plinth *db;
    struct plinth_error error;
    struct plinth_stats stats;
    uint64_t begin = bench_now_ns();
    bench_check(plinth_open(data, NULL, &db, &error), &error);
    create_table(db);
    load(db);
    double loaded_s = (double)(bench_now_ns() - begin) / 1e9;
    bench_check(plinth_compact(db, &error), &error);
    plinth_stats_read(db, &stats);
    printf("%" PRIu64
           " rows with two sorted indexes: loaded in %.1f s, one run after %.1f s, %.1f bytes a row on disk\n",
           options.rows, loaded_s, (double)(bench_now_ns() - begin) / 1e9,
           (double)stats.segment_bytes / (double)options.rows);
    plinth_close(db);
}

/* ---- look-ups ---- */

struct bench;

struct slot {
    struct bench *bench;
    struct rpc_client *client;
    struct rpc_call *call;
    uint64_t number, began_ns, answer_bytes;
    struct buffer answer; /* Arrow IPC, while answers are verified */
};

struct bench {
    struct rpc_loop *loop;
    struct rpc_client *clients[CONNECTIONS];
    struct slot slots[IN_FLIGHT];
    /* The running phase; loop thread. */
    enum sort sort;
    unsigned in_flight, open_calls;
    bool verify;
    uint64_t random, calls_left, count_from_ns, end_ns;
    struct histogram *latency;
    struct rpc_task start;
    pthread_mutex_t mutex;
    pthread_cond_t ended_condition;
    bool ended; /* guarded by mutex */
};

/* An answer's rows have to be the ones of `number`: the row with this id, or all of this customer. */
struct expectation {
    const struct slot *slot;
    uint64_t rows;
};

static enum plinth_status verify_batch(void *context, const struct arrow_schema *schema, struct batch *batch,
                                       struct plinth_error *error) {
    struct expectation *expected = context;
    (void)error;
    bool by_customer = expected->slot->bench->sort == BY_CUSTOMER;
    if (schema->field_count != COLUMNS) bench_die("an answer has %u columns", schema->field_count);
    for (uint32_t i = 0; i < batch->rows; i++) {
        char serial[SERIAL_BYTES];
        uint64_t id = ((const uint64_t *)batch->columns[0].values)[i];
        uint64_t customer = ((const uint64_t *)batch->columns[2].values)[i];
        bool right = (by_customer ? customer : id) == expected->slot->number && customer == id % customers() &&
                     slice_equal(column_bytes_at(&batch->columns[1], i), serial_of(id, serial));
        if (!right) bench_die("an answer has a wrong row");
    }
    expected->rows += batch->rows;
    return PLINTH_OK;
}

static void verify_answer(struct slot *slot) {
    struct plinth_error error;
    struct expectation expected = {.slot = slot};
    bench_check(arrow_read_all(buffer_slice(&slot->answer), NULL, verify_batch, &expected, &error), &error);
    if (expected.rows != (slot->bench->sort == BY_CUSTOMER ? ROWS_PER_CUSTOMER : 1))
        bench_die("an answer has %" PRIu64 " rows", expected.rows);
}

/* Appends the piece of an Arrow stream in a GetRowResponse or RowsResponse. */
static void keep_answer(struct slot *slot, struct slice message) {
    ProtobufCBinaryData piece;
    Plinth__V1__GetRowResponse *row = NULL;
    Plinth__V1__RowsResponse *rows = NULL;
    if (slot->bench->sort == BY_KEY) {
        row = plinth__v1__get_row_response__unpack(NULL, message.size, message.data);
        if (!row) bench_die("an answer cannot be read");
        piece = row->arrow_ipc;
    } else {
        rows = plinth__v1__rows_response__unpack(NULL, message.size, message.data);
        if (!rows) bench_die("an answer cannot be read");
        piece = rows->arrow_ipc;
    }
    if (!buffer_append(&slot->answer, piece.data, piece.len)) bench_die("out of memory");
    plinth__v1__get_row_response__free_unpacked(row, NULL);
    plinth__v1__rows_response__free_unpacked(rows, NULL);
}

static void call_on_message(struct rpc_call *call, struct slice message) {
    struct slot *slot = rpc_call_user_data(call);
    slot->answer_bytes += message.size;
    if (slot->bench->verify) keep_answer(slot, message);
}

static void slot_ended(struct bench *bench) {
    if (--bench->open_calls) return;
    pthread_mutex_lock(&bench->mutex);
    bench->ended = true;
    pthread_cond_signal(&bench->ended_condition);
    pthread_mutex_unlock(&bench->mutex);
}

static void call_start(struct slot *slot);

static void call_on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct slot *slot = rpc_call_user_data(call);
    struct bench *bench = slot->bench;
    uint64_t now = bench_now_ns();
    if (code != GRPC_OK) bench_die("%s: %.*s", grpc_status_name(code), (int)message.size, (const char *)message.data);
    if (slot->answer_bytes < (bench->sort == BY_CUSTOMER ? ROWS_PER_CUSTOMER * SERIAL_BYTES : SERIAL_BYTES))
        bench_die("an answer of %" PRIu64 " bytes is too short", slot->answer_bytes);
    if (bench->verify) verify_answer(slot);
    if (bench->latency && now >= bench->count_from_ns && now < bench->end_ns)
        histogram_add(bench->latency, now - slot->began_ns);
    rpc_call_unref(call);
    if (bench->calls_left && now < bench->end_ns)
        call_start(slot);
    else
        slot_ended(bench);
}

static const struct rpc_call_ops call_ops = {.on_message = call_on_message, .on_status = call_on_status};

static size_t encode_request(struct slot *slot, uint8_t *at) {
    enum sort sort = slot->bench->sort;
    char serial[SERIAL_BYTES + 1] = "";
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__Value value = PLINTH__V1__VALUE__INIT, *values = &value;
    table.name = (char *)"orders";
    if (sort == BY_SERIAL) {
        bench_key(slot->number, serial);
        value.kind_case = PLINTH__V1__VALUE__KIND_TEXT_VALUE;
        value.text_value = serial;
    } else {
        value.kind_case = PLINTH__V1__VALUE__KIND_INT_VALUE;
        value.int_value = (int64_t)slot->number;
    }
    if (sort == BY_KEY) {
        Plinth__V1__GetRowRequest request = PLINTH__V1__GET_ROW_REQUEST__INIT;
        request.table = &table;
        request.key = &values;
        request.n_key = 1;
        return plinth__v1__get_row_request__pack(&request, at);
    }
    Plinth__V1__GetRowsByIndexRequest request = PLINTH__V1__GET_ROWS_BY_INDEX_REQUEST__INIT;
    request.table = &table;
    request.index = (char *)(sort == BY_SERIAL ? "by_serial" : "by_customer");
    request.values = &values;
    request.n_values = 1;
    return plinth__v1__get_rows_by_index_request__pack(&request, at);
}

static void call_start(struct slot *slot) {
    struct bench *bench = slot->bench;
    uint8_t request[REQUEST_BYTES_MAX];
    slot->number = bench_random_below(&bench->random, bench->sort == BY_CUSTOMER ? customers() : options.rows);
    slot->answer_bytes = 0;
    buffer_clear(&slot->answer);
    const struct rpc_call_options call = {.path = bench->sort == BY_KEY ? "/plinth.v1.Query/GetRow"
                                                                        : "/plinth.v1.Query/GetByIndex",
                                          .kind = bench->sort == BY_KEY ? RPC_UNARY : RPC_SERVER_STREAM,
                                          .ops = &call_ops,
                                          .user_data = slot,
                                          .has_request = true,
                                          .request = slice_of(request, encode_request(slot, request))};
    bench->calls_left--;
    slot->began_ns = bench_now_ns();
    slot->call = rpc_client_call(slot->client, &call);
    if (!slot->call) bench_die("out of memory");
}

/* ---- phases ---- */

static void phase_start(struct rpc_task *task) {
    struct bench *bench = (struct bench *)((char *)task - offsetof(struct bench, start));
    for (unsigned i = 0; i < bench->in_flight; i++) call_start(&bench->slots[i]);
}

/* `calls` or `seconds`, whichever ends first. */
static void run_phase(struct bench *bench, enum sort sort, unsigned in_flight, uint64_t calls, double seconds,
                      struct histogram *latency) {
    bench->sort = sort;
    bench->in_flight = bench->open_calls = in_flight;
    bench->calls_left = calls;
    bench->latency = latency;
    bench->ended = false;
    bench->count_from_ns = bench_now_ns();
    bench->end_ns = bench->count_from_ns + (uint64_t)(seconds * 1e9);
    bench->start.run = phase_start;
    rpc_loop_post(bench->loop, &bench->start);
    pthread_mutex_lock(&bench->mutex);
    while (!bench->ended) pthread_cond_wait(&bench->ended_condition, &bench->mutex);
    pthread_mutex_unlock(&bench->mutex);
}

struct outcome {
    double p50_ms, p99_ms, per_s;
};

static void measure(struct bench *bench, const struct bench_server *server, enum sort sort, struct outcome *outcome) {
    static struct histogram one, many;
    one = many = (struct histogram){0};
    bench->verify = true;
    run_phase(bench, sort, IN_FLIGHT, VERIFIED, 60, NULL);
    bench->verify = false;
    run_phase(bench, sort, IN_FLIGHT, UINT64_MAX, options.warm_seconds, NULL);
    run_phase(bench, sort, 1, UINT64_MAX, options.seconds, &one);
    double server_cpu = bench_server_cpu_seconds(server), own_cpu = bench_cpu_seconds();
    run_phase(bench, sort, IN_FLIGHT, UINT64_MAX, options.seconds, &many);
    double count = (double)many.count;
    *outcome = (struct outcome){(double)histogram_quantile_ns(&one, 0.5) / 1e6,
                                (double)histogram_quantile_ns(&one, 0.99) / 1e6, count / options.seconds};
    printf("%s\n", sort_titles[sort]);
    printf("  one client            %12.0f calls/s  p50 %.3f ms   p99 %.3f ms   max %.1f ms\n",
           (double)one.count / options.seconds, outcome->p50_ms, outcome->p99_ms, (double)one.max_ns / 1e6);
    printf("  %d in flight          %12.0f calls/s  p50 %.3f ms   p99 %.3f ms   max %.1f ms\n", IN_FLIGHT,
           outcome->per_s, (double)histogram_quantile_ns(&many, 0.5) / 1e6,
           (double)histogram_quantile_ns(&many, 0.99) / 1e6, (double)many.max_ns / 1e6);
    printf("  processor a call      %12.1f us in the server, %.1f us in the generator\n",
           (bench_server_cpu_seconds(server) - server_cpu) * 1e6 / count,
           (bench_cpu_seconds() - own_cpu) * 1e6 / count);
}

static void connect_all(struct bench *bench, const char *address) {
    struct plinth_error error;
    const struct rpc_loop_options loop = {.name = "generator"};
    bench_check(rpc_loop_create(&loop, &bench->loop, &error), &error);
    for (unsigned c = 0; c < CONNECTIONS; c++) {
        const struct rpc_client_options client = {.address = address, .loop = bench->loop};
        bench_check(rpc_client_create(&client, &bench->clients[c], &error), &error);
    }
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        bench->slots[i] = (struct slot){.bench = bench, .client = bench->clients[i % CONNECTIONS]};
}

static void disconnect_all(struct bench *bench) {
    for (unsigned c = 0; c < CONNECTIONS; c++) rpc_client_destroy(bench->clients[c]);
    rpc_loop_destroy(bench->loop);
    for (unsigned i = 0; i < IN_FLIGHT; i++) buffer_deinit(&bench->slots[i].answer);
}

/* ---- the run ---- */

static void usage(FILE *to) {
    fputs("usage: bench_index [--rows N] [--seconds N] [--warm-seconds N] [--cache SIZE] [--dir DIRECTORY]\n"
          "                   [--server PLINTHD]\n"
          "  --rows N             a multiple of 100 (10000000)\n"
          "  --seconds N          of each phase (10)\n"
          "  --warm-seconds N     before them, for each sort of look-up (10)\n"
          "  --cache SIZE         plinthd's page cache (4GiB: all stripes of 10 million rows, decoded)\n"
          "  --dir DIRECTORY      where to make the temporary data directory (.)\n"
          "  --server PLINTHD     the program to measure (the one of the same build)\n",
          to);
}

static double number_of(const char *flag, const char *text, double max) {
    char *end;
    double number = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || number <= 0 || number > max)
        bench_die("%s wants a number above 0 and up to %.0f", flag, max);
    return number;
}

static void read_options(int count, char **arguments) {
    for (int i = 1; i < count; i += 2) {
        const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(flag, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(flag, "--rows")) {
            options.rows = (uint64_t)number_of(flag, value, 1e9);
            if (options.rows % ROWS_PER_CUSTOMER) bench_die("--rows wants a multiple of %d", ROWS_PER_CUSTOMER);
        } else if (!strcmp(flag, "--seconds")) {
            options.seconds = number_of(flag, value, 1e6);
        } else if (!strcmp(flag, "--warm-seconds")) {
            options.warm_seconds = number_of(flag, value, 1e6);
        } else if (!strcmp(flag, "--cache") && value) {
            options.cache_size = value;
        } else if (!strcmp(flag, "--dir") && value) {
            options.directory = value;
        } else if (!strcmp(flag, "--server") && value) {
            options.server = value;
        } else {
            usage(stderr);
            bench_die("bad option \"%s\"", flag);
        }
    }
}

static void print_line(const struct outcome outcomes[SORTS]) {
    struct outcome worst = outcomes[0];
    for (int i = 1; i < SORTS; i++) {
        if (outcomes[i].p50_ms > worst.p50_ms) worst.p50_ms = outcomes[i].p50_ms;
        if (outcomes[i].p99_ms > worst.p99_ms) worst.p99_ms = outcomes[i].p99_ms;
        if (outcomes[i].per_s < worst.per_s) worst.per_s = outcomes[i].per_s;
    }
    printf("index rows=%" PRIu64 " one_p50_ms=%.3f one_p99_ms=%.3f lookups_per_s=%.0f", options.rows, worst.p50_ms,
           worst.p99_ms, worst.per_s);
    for (int i = 0; i < SORTS; i++)
        printf(" %s_one_p50_ms=%.3f %s_one_p99_ms=%.3f %s_per_s=%.0f", sort_names[i], outcomes[i].p50_ms, sort_names[i],
               outcomes[i].p99_ms, sort_names[i], outcomes[i].per_s);
    printf("\n");
}

int main(int argument_count, char **arguments) {
    static struct bench bench = {
        .random = 1, .mutex = PTHREAD_MUTEX_INITIALIZER, .ended_condition = PTHREAD_COND_INITIALIZER};
    struct outcome outcomes[SORTS];
    struct bench_server server;
    char data[4096];
    read_options(argument_count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *directory = bench_directory_make(options.directory);
    snprintf(data, sizeof data, "%s/data", directory);
    make_directory(data);
    bench_server_start(&server, options.server, directory, "synced", options.cache_size);
    connect_all(&bench, server.address);
    for (int i = 0; i < SORTS; i++) measure(&bench, &server, (enum sort)i, &outcomes[i]);
    disconnect_all(&bench);
    bench_server_stop(&server);
    bench_directory_remove(directory);
    print_line(outcomes);
    return 0;
}
