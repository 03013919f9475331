#include "ingest_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "column/column_builder.h"
#include "measure.h"

enum { NAME_BYTES_MAX = 64, HOUR_US_DIVISOR = 3600 * 1000 };
#define TIME_BEGIN_US (INT64_C(1700000000) * 1000000)
#define TIME_STEP_US (INT64_C(10) * 1000000)
#define RANDOM_SPAN_MS (UINT64_C(30) * 365 * 86400 * 1000)

struct name {
    uint32_t size;
    char text[NAME_BYTES_MAX];
};

struct ingest_rows {
    struct arrow_field fields[INGEST_COLUMNS];
    struct arrow_schema schema;
    struct name hosts[INGEST_HOSTS], paths[INGEST_PATHS];
};

static const char *const names[INGEST_COLUMNS] = {"host",     "time",  "region", "path",   "status",
                                                  "requests", "bytes", "cpu",    "memory", "latency"};
const char *const ingest_types[INGEST_COLUMNS] = {"string", "timestamp(us)", "string",  "string", "int16",
                                                  "int32",  "int64",         "float64", "int64",  "float64"};
static const char *const regions[] = {"eu-west",  "eu-north", "us-east",  "us-west",
                                      "ap-south", "ap-east",  "sa-south", "af-south"};
static const char *const parts[] = {"users", "orders",   "items",  "search", "cart", "images",  "login",   "export",
                                    "stats", "invoices", "events", "health", "tags", "reviews", "stories", "maps"};

struct ingest_rows *ingest_rows_create(void) {
    struct ingest_rows *rows = calloc(1, sizeof *rows);
    if (!rows) bench_die("out of memory");
    for (int i = 0; i < INGEST_COLUMNS; i++) {
        struct plinth_error error;
        rows->fields[i] = (struct arrow_field){.name = names[i]};
        struct slice type = slice_of_string(ingest_types[i]);
        if (column_type_parse(type, &rows->fields[i].type, &error)) bench_die("%s", error.text);
    }
    rows->schema = (struct arrow_schema){rows->fields, INGEST_COLUMNS};
    for (uint32_t i = 0; i < INGEST_HOSTS; i++)
        rows->hosts[i].size = (uint32_t)snprintf(rows->hosts[i].text, NAME_BYTES_MAX, "host-%04u.%s.example", i,
                                                 regions[bench_mix(i + 1) % 8]);
    for (uint32_t i = 0; i < INGEST_PATHS; i++) {
        uint64_t dice = bench_mix(i + 1000000);
        rows->paths[i].size =
            (uint32_t)snprintf(rows->paths[i].text, NAME_BYTES_MAX, "/api/v%u/%s/%u/%s", 1 + (unsigned)(dice % 3),
                               parts[dice >> 8 & 15], (unsigned)(dice >> 16 & 0xFFFF), parts[dice >> 40 & 15]);
    }
    return rows;
}

void ingest_rows_destroy(struct ingest_rows *rows) { free(rows); }

const struct arrow_schema *ingest_rows_schema(const struct ingest_rows *rows) { return &rows->schema; }

/* Room for `count` values of a column of fixed width. */
static void *fixed(struct batch *batch, int column, size_t width) {
    void *values = arena_alloc(&batch->arena, batch->rows * width);
    if (!values) bench_die("out of memory");
    batch->columns[column].values = values;
    return values;
}

/* A column of strings that is filled one behind the other. */
struct strings {
    uint32_t *offsets;
    uint8_t *bytes;
};

static struct strings strings_begin(struct batch *batch, int column) {
    struct strings strings = {arena_alloc(&batch->arena, (batch->rows + 1) * sizeof(uint32_t)),
                              arena_alloc(&batch->arena, (size_t)batch->rows * NAME_BYTES_MAX)};
    if (!strings.offsets || !strings.bytes) bench_die("out of memory");
    strings.offsets[0] = 0;
    batch->columns[column].offsets = strings.offsets;
    batch->columns[column].bytes = strings.bytes;
    return strings;
}

/* Copies all of the name's room: a fixed size is fast. */
static inline void strings_put(struct strings *strings, uint32_t row, const char *text, uint32_t size) {
    memcpy(strings->bytes + strings->offsets[row], text, NAME_BYTES_MAX);
    strings->offsets[row + 1] = strings->offsets[row] + size;
}

struct batch *ingest_rows_make(const struct ingest_rows *rows, uint64_t first, uint32_t count) {
    struct batch *batch = batch_create(INGEST_COLUMNS);
    if (!batch) bench_die("out of memory");
    batch->rows = count;
    for (int i = 0; i < INGEST_COLUMNS; i++) batch->columns[i].type = rows->fields[i].type;
    struct strings host = strings_begin(batch, 0), region = strings_begin(batch, 2), path = strings_begin(batch, 3);
    int64_t *time = fixed(batch, 1, 8), *bytes = fixed(batch, 6, 8), *memory = fixed(batch, 8, 8);
    int16_t *status = fixed(batch, 4, 2);
    int32_t *requests = fixed(batch, 5, 4);
    double *cpu = fixed(batch, 7, 8), *latency = fixed(batch, 9, 8);
    char region_names[8][NAME_BYTES_MAX] = {{0}};
    for (int i = 0; i < 8; i++) strcpy(region_names[i], regions[i]);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = first + i, tick = n / INGEST_HOSTS, number = n % INGEST_HOSTS;
        uint64_t a = bench_mix(n + 1), b = bench_mix(a), c = bench_mix(b);
        strings_put(&host, i, rows->hosts[number].text, rows->hosts[number].size);
        uint64_t home = bench_mix(number + 1) % 8;
        strings_put(&region, i, region_names[home], (uint32_t)strlen(region_names[home]));
        /* two draws: low numbers are more frequent */
        uint64_t which = (a & 0xFFFF) * (a >> 16 & 0xFFFF) % ((uint64_t)1 << 32) * INGEST_PATHS >> 32;
        strings_put(&path, i, rows->paths[which].text, rows->paths[which].size);
        int64_t late_us = (a >> 32) % 100 == 0 ? (int64_t)((b & 0xFFFFFF) % HOUR_US_DIVISOR) * 1000 : 0;
        time[i] = TIME_BEGIN_US + (int64_t)tick * TIME_STEP_US + (int64_t)number * 1000 - late_us;
        status[i] = (int16_t)((a >> 40) % 50 ? 200 : (a >> 48) % 3 ? 404 : 500);
        requests[i] = (int32_t)((b >> 24) % 500);
        bytes[i] = (int64_t)((b >> 32) % 100000) + requests[i] * 700;
        cpu[i] = (double)((c & 0xFFFF) % 10000) / 100;
        memory[i] = (int64_t)((number % 64 + 1) << 28) + (int64_t)((tick + number) % 1000) * 4096;
        latency[i] = (double)((c >> 16 & 0xFFFFF) % 50000) / 1000;
    }
    return batch;
}

void ingest_times_move(int64_t *times, uint32_t count, uint64_t rows) {
    int64_t by = (int64_t)(rows / INGEST_HOSTS) * TIME_STEP_US;
    for (uint32_t i = 0; i < count; i++) times[i] += by;
}

struct ingest_pool *ingest_pool_create(const struct ingest_rows *rows, uint64_t first, uint32_t batch_rows,
                                       uint64_t span_rows) {
    struct ingest_pool *pool = calloc(1, sizeof *pool);
    if (!pool) bench_die("out of memory");
    pool->span_rows = span_rows;
    pool->first = first;
    for (uint32_t i = 0; i < INGEST_POOL_BATCHES; i++)
        pool->batches[i] = ingest_rows_make(rows, first + (uint64_t)i * batch_rows, batch_rows);
    return pool;
}

struct batch *ingest_pool_next(struct ingest_pool *pool) {
    struct batch *batch = pool->batches[pool->next % INGEST_POOL_BATCHES];
    if (pool->next++ >= INGEST_POOL_BATCHES)
        ingest_times_move((int64_t *)batch->columns[INGEST_TIME].values, batch->rows, pool->span_rows);
    return batch;
}

struct batch *ingest_pool_next_random(struct ingest_pool *pool) {
    struct batch *batch = pool->batches[pool->next % INGEST_POOL_BATCHES];
    int64_t *times = (int64_t *)batch->columns[INGEST_TIME].values;
    uint64_t first = (pool->first << 40) + pool->next++ * batch->rows;
    for (uint32_t i = 0; i < batch->rows; i++)
        times[i] = TIME_BEGIN_US + (int64_t)(bench_mix(first + i + 1) % RANDOM_SPAN_MS) * 1000;
    return batch;
}

void ingest_pool_destroy(struct ingest_pool *pool) {
    for (uint32_t i = 0; i < INGEST_POOL_BATCHES; i++) batch_unref(pool->batches[i]);
    free(pool);
}

uint64_t ingest_rows_csv_bytes(const struct batch *batch) {
    struct buffer text = BUFFER_INIT;
    for (uint32_t row = 0; row < batch->rows; row++)
        for (uint32_t c = 0; c < batch->column_count; c++)
            if (!column_format(&text, &batch->columns[c], row) || !buffer_append_u8(&text, ','))
                bench_die("out of memory");
    uint64_t size = text.size;
    buffer_deinit(&text);
    return size;
}
