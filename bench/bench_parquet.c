/* Rows a second through the Parquet library on one thread, in memory: a table like a segment of a key space (16-byte
 * sorted key DELTA_BYTE_ARRAY with bloom filter, 100-byte half compressible value DELTA_LENGTH_BYTE_ARRAY, int64
 * DELTA_BINARY_PACKED), written, scanned, and read stripe by stripe in random order.
 *
 *     bench_parquet [rows] [stripe rows] [codec: none, lz4, zstd] */
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "parquet/reader.h"
#include "parquet/writer.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 100, COLUMNS = 3, BATCH_ROWS = 4096, ROW_GROUP_ROWS = 131072, PROBES = 20000 };

struct memory_sink {
    struct parquet_sink sink;
    struct buffer bytes;
};

static enum plinth_status write_bytes(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    (void)error;
    return buffer_append(&((struct memory_sink *)sink)->bytes, bytes.data, bytes.size) ? PLINTH_OK
                                                                                       : PLINTH_OUT_OF_MEMORY;
}

static void must(enum plinth_status status, const struct plinth_error *error) {
    if (!status) return;
    fprintf(stderr, "%s: %s\n", plinth_status_name(status), error->text);
    exit(1);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* One batch of input, remade for every batch outside the measured time. */
struct batch {
    uint8_t keys[BATCH_ROWS * KEY_BYTES];
    uint32_t key_offsets[BATCH_ROWS + 1];
    uint8_t values[BATCH_ROWS * VALUE_BYTES];
    uint32_t value_offsets[BATCH_ROWS + 1];
    int64_t numbers[BATCH_ROWS];
};

static void make_batch(struct batch *batch, uint64_t first, uint32_t rows, uint64_t *seed) {
    for (uint32_t i = 0; i < rows; i++) {
        char key[KEY_BYTES + 1];
        snprintf(key, sizeof key, "user%012llu", (unsigned long long)((first + i) * 7 + next_random(seed) % 7));
        memcpy(batch->keys + i * KEY_BYTES, key, KEY_BYTES);
        uint8_t *value = batch->values + i * VALUE_BYTES;
        for (int k = 0; k < VALUE_BYTES / 2; k += 10) {
            uint64_t noise = next_random(seed);
            memcpy(value + k, &noise, 8);
            memcpy(value + k + 8, &noise, 2);
        }
        memset(value + VALUE_BYTES / 2, 'x', VALUE_BYTES / 2);
        batch->numbers[i] = (int64_t)((first + i) * 3 + next_random(seed) % 100);
        batch->key_offsets[i] = i * KEY_BYTES;
        batch->value_offsets[i] = i * VALUE_BYTES;
    }
    batch->key_offsets[rows] = rows * KEY_BYTES;
    batch->value_offsets[rows] = rows * VALUE_BYTES;
}

static double write_table(struct memory_sink *sink, uint64_t rows, uint32_t stripe_rows, enum parquet_codec codec) {
    static const struct parquet_node nodes[COLUMNS] = {{.name = "key", .type = PARQUET_TYPE_BYTE_ARRAY},
                                                       {.name = "value", .type = PARQUET_TYPE_BYTE_ARRAY},
                                                       {.name = "number", .type = PARQUET_TYPE_INT64}};
    struct parquet_column_options columns[COLUMNS];
    struct parquet_writer_options options = {.stripe_rows = stripe_rows, .row_group_rows = ROW_GROUP_ROWS};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    struct batch *batch = malloc(sizeof *batch);
    uint64_t nanoseconds = 0, seed = 88172645463325252ULL;
    if (!batch) exit(1);
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = parquet_column_options_default();
        columns[i].codec = codec;
    }
    columns[0].encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
    columns[0].statistics_bytes_max = PARQUET_STATISTICS_UNTRUNCATED;
    columns[0].bloom = true;
    columns[1].encoding = PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY;
    columns[1].statistics = false;
    columns[2].encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
    must(parquet_writer_create(&sink->sink, nodes, COLUMNS, columns, &options, &writer, &error), &error);
    for (uint64_t at = 0; at < rows; at += BATCH_ROWS) {
        uint32_t many = rows - at < BATCH_ROWS ? (uint32_t)(rows - at) : BATCH_ROWS;
        make_batch(batch, at, many, &seed);
        const struct parquet_column_data data[COLUMNS] = {
            {.rows = many, .offsets = batch->key_offsets, .bytes = batch->keys},
            {.rows = many, .offsets = batch->value_offsets, .bytes = batch->values},
            {.rows = many, .values = batch->numbers}};
        uint64_t begin = env_monotonic_ns(env_posix());
        must(parquet_writer_write(writer, data, many, &error), &error);
        nanoseconds += env_monotonic_ns(env_posix()) - begin;
    }
    uint64_t begin = env_monotonic_ns(env_posix());
    must(parquet_writer_finish(writer, NULL, &error), &error);
    nanoseconds += env_monotonic_ns(env_posix()) - begin;
    parquet_writer_destroy(writer);
    free(batch);
    return (double)rows * 1e9 / (double)nanoseconds;
}

static double scan_table(const struct parquet_reader *reader) {
    static const uint32_t columns[COLUMNS] = {0, 1, 2};
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct plinth_error error = {0};
    uint64_t begin = env_monotonic_ns(env_posix()), read = 0, sum = 0;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        struct parquet_scan *scan;
        struct parquet_column_data data[COLUMNS];
        uint64_t rows = 1;
        must(parquet_scan_create(reader, g, columns, COLUMNS, &scan, &error), &error);
        while (rows > 0) {
            must(parquet_scan_next(scan, 0, data, &rows, &error), &error);
            read += rows;
            if (rows > 0) sum += data[0].bytes[0] + data[1].bytes[0] + (uint64_t) * (const int64_t *)data[2].values;
        }
        parquet_scan_destroy(scan);
    }
    if (read != metadata->row_count || sum == 0) exit(1);
    return (double)read * 1e9 / (double)(env_monotonic_ns(env_posix()) - begin);
}

/* Microseconds to decode one stripe of all columns. */
static double read_stripes(const struct parquet_reader *reader) {
    struct parquet_page_index indexes[COLUMNS];
    struct parquet_column_buffer pages[COLUMNS] = {0};
    struct parquet_scratch *scratch;
    struct plinth_error error = {0};
    uint64_t seed = 1234567;
    must(parquet_scratch_create(&scratch, &error), &error);
    for (uint32_t c = 0; c < COLUMNS; c++) must(parquet_reader_page_index(reader, 0, c, &indexes[c], &error), &error);
    uint64_t begin = env_monotonic_ns(env_posix());
    for (int i = 0; i < PROBES; i++) {
        uint32_t page = (uint32_t)(next_random(&seed) % indexes[0].page_count);
        for (uint32_t c = 0; c < COLUMNS; c++)
            must(parquet_reader_read_page(reader, 0, c, &indexes[c], page, NULL, scratch, &pages[c], &error), &error);
    }
    double microseconds = (double)(env_monotonic_ns(env_posix()) - begin) / 1e3 / PROBES;
    for (uint32_t c = 0; c < COLUMNS; c++) {
        parquet_page_index_deinit(&indexes[c]);
        parquet_column_buffer_deinit(&pages[c]);
    }
    parquet_scratch_destroy(scratch);
    return microseconds;
}

int main(int argc, char **argv) {
    uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint32_t stripe_rows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 512;
    const char *codec = argc > 3 ? argv[3] : "lz4";
    struct memory_sink sink = {.sink = {write_bytes}};
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    double written = write_table(&sink, rows, stripe_rows,
                                 strcmp(codec, "zstd") == 0   ? PARQUET_CODEC_ZSTD
                                 : strcmp(codec, "none") == 0 ? PARQUET_CODEC_UNCOMPRESSED
                                                              : PARQUET_CODEC_LZ4_RAW);
    struct parquet_source source = {.size = sink.bytes.size, .mapped = sink.bytes.data};
    must(parquet_reader_open(&source, NULL, &reader, &error), &error);
    double scanned = scan_table(reader), stripe = read_stripes(reader);
    printf("parquet rows=%llu stripe_rows=%u codec=%s write_rows_per_s=%.0f scan_rows_per_s=%.0f stripe_us=%.1f "
           "bytes_per_row=%.1f\n",
           (unsigned long long)rows, stripe_rows, codec, written, scanned, stripe,
           (double)sink.bytes.size / (double)rows);
    parquet_reader_close(reader);
    buffer_deinit(&sink.bytes);
    return 0;
}
