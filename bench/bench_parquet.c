/* Rows a second through the Parquet library on one thread, in memory:
 *   - columns as typed tables have them, one by one: nanoseconds a row to encode and to decode;
 *   - all of them as one table;
 *   - a table like a segment of a key space (16-byte sorted key DELTA_BYTE_ARRAY with bloom filter, 100-byte half
 *     compressible value DELTA_LENGTH_BYTE_ARRAY, int64 DELTA_BINARY_PACKED), written, scanned, and read stripe by
 *     stripe in random order.
 *
 *     bench_parquet [rows] [stripe rows] [codec: none, lz4, zstd] [typed stripe rows] [only this column] */
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "parquet/list_levels.h"
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

/* ---- Typed columns ---- */

enum { TYPED_BATCH_ROWS = 8192, LIST_ELEMENTS = 4 };

enum typed_values {
    RISING, /* integers like time stamps */
    SMALL,  /* integers below 100 */
    ANY,    /* random 64 bits */
    PRICE,  /* doubles with two decimals */
    WORD,   /* one of 50 strings */
    HOST,   /* one of 1000 strings */
    UNIQUE, /* strings of 12 to 20 bytes */
    FLAG,   /* BOOLEAN */
};

static const struct typed_column {
    const char *name;
    enum typed_values values;
    enum parquet_type type;
    enum parquet_encoding encoding;
    bool dictionary;
    bool has_nulls; /* every tenth, at random */
    bool is_list;
} typed_columns[] = {
    {"time_delta", RISING, PARQUET_TYPE_INT64, PARQUET_ENCODING_DELTA_BINARY_PACKED},
    {"small_i32_dict", SMALL, PARQUET_TYPE_INT32, PARQUET_ENCODING_PLAIN, .dictionary = true},
    {"small_i32_delta", SMALL, PARQUET_TYPE_INT32, PARQUET_ENCODING_DELTA_BINARY_PACKED},
    {"any_i64_plain", ANY, PARQUET_TYPE_INT64, PARQUET_ENCODING_PLAIN},
    {"price_plain", PRICE, PARQUET_TYPE_DOUBLE, PARQUET_ENCODING_PLAIN},
    {"price_split", PRICE, PARQUET_TYPE_DOUBLE, PARQUET_ENCODING_BYTE_STREAM_SPLIT},
    {"price_dict", PRICE, PARQUET_TYPE_DOUBLE, PARQUET_ENCODING_PLAIN, .dictionary = true},
    {"word_dict", WORD, PARQUET_TYPE_BYTE_ARRAY, PARQUET_ENCODING_PLAIN, .dictionary = true},
    {"host_dict", HOST, PARQUET_TYPE_BYTE_ARRAY, PARQUET_ENCODING_PLAIN, .dictionary = true},
    {"unique_length", UNIQUE, PARQUET_TYPE_BYTE_ARRAY, PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY},
    {"unique_plain", UNIQUE, PARQUET_TYPE_BYTE_ARRAY, PARQUET_ENCODING_PLAIN},
    {"flag_rle", FLAG, PARQUET_TYPE_BOOLEAN, PARQUET_ENCODING_RLE},
    {"small_i32_dict_null", SMALL, PARQUET_TYPE_INT32, PARQUET_ENCODING_PLAIN, .dictionary = true, .has_nulls = true},
    {"time_delta_null", RISING, PARQUET_TYPE_INT64, PARQUET_ENCODING_DELTA_BINARY_PACKED, .has_nulls = true},
    {"price_split_null", PRICE, PARQUET_TYPE_DOUBLE, PARQUET_ENCODING_BYTE_STREAM_SPLIT, .has_nulls = true},
    {"word_dict_null", WORD, PARQUET_TYPE_BYTE_ARRAY, PARQUET_ENCODING_PLAIN, .dictionary = true, .has_nulls = true},
    {"list_i64_delta", RISING, PARQUET_TYPE_INT64, PARQUET_ENCODING_DELTA_BINARY_PACKED, .is_list = true},
};
enum { TYPED_COLUMNS = sizeof typed_columns / sizeof typed_columns[0] };

struct typed_batch {
    struct buffer values, offsets, validity;
    struct parquet_column_buffer levels;
    struct parquet_column_data data;
};

static void must_append(bool ok) {
    if (!ok) exit(1);
}

static void append_string(struct typed_batch *batch, enum typed_values values, uint64_t random) {
    char text[64];
    int size = 0;
    if (values == WORD) size = snprintf(text, sizeof text, "word-%llu", (unsigned long long)(random % 50));
    if (values == HOST) size = snprintf(text, sizeof text, "host-%05llu.example", (unsigned long long)(random % 1000));
    if (values == UNIQUE)
        size = snprintf(text, sizeof text, "%012llx%.*s", (unsigned long long)random & 0xffffffffffff,
                        (int)(random % 9), "12345678");
    if (size > 20) size = 20;
    must_append(buffer_append(&batch->values, text, (size_t)size) &&
                buffer_append_u32(&batch->offsets, (uint32_t)batch->values.size));
}

static void append_number(struct typed_batch *batch, const struct typed_column *column, uint64_t at, uint64_t random) {
    int64_t integer = column->values == RISING  ? (int64_t)(1700000000000000 + at * 1000 + random % 300)
                      : column->values == SMALL ? (int64_t)(random % 100)
                                                : (int64_t)random;
    double number = (double)(random % 20000) / 100;
    if (column->values == PRICE)
        must_append(buffer_append(&batch->values, &number, sizeof number));
    else
        must_append(buffer_append(&batch->values, &integer, column->type == PARQUET_TYPE_INT32 ? 4 : 8));
}

/* REQUIRED lists of LIST_ELEMENTS elements. */
static void make_levels(struct typed_batch *batch, const struct parquet_column *column, uint32_t rows) {
    static uint32_t offsets[TYPED_BATCH_ROWS + 1];
    struct plinth_error error = {0};
    for (uint32_t i = 0; i <= rows; i++) offsets[i] = i * LIST_ELEMENTS;
    struct parquet_list_data list = {.rows = rows, .offsets = offsets, .elements = batch->data};
    must(parquet_list_to_levels(column, &list, &batch->levels, &error), &error);
    batch->data = batch->levels.data;
}

static void make_typed(struct typed_batch *batch, const struct typed_column *column, const struct parquet_column *about,
                       uint64_t first, uint32_t rows, uint64_t *seed) {
    uint32_t slots = column->is_list ? rows * LIST_ELEMENTS : rows;
    buffer_clear(&batch->values);
    buffer_clear(&batch->offsets);
    buffer_clear(&batch->validity);
    must_append(buffer_append_zeros(&batch->validity, slots / 8 + 1) && buffer_append_u32(&batch->offsets, 0));
    if (column->type == PARQUET_TYPE_BOOLEAN) must_append(buffer_append_zeros(&batch->values, slots / 8 + 1));
    for (uint32_t i = 0; i < slots; i++) {
        uint64_t random = next_random(seed);
        if (random >> 40 & 15) batch->validity.data[i / 8] |= (uint8_t)(1u << i % 8);
        if (column->type == PARQUET_TYPE_BYTE_ARRAY)
            append_string(batch, column->values, random);
        else if (column->type == PARQUET_TYPE_BOOLEAN)
            batch->values.data[i / 8] |= (uint8_t)((random % 7 == 0) << i % 8);
        else
            append_number(batch, column, first * (column->is_list ? LIST_ELEMENTS : 1) + i, random >> 8);
    }
    batch->data = (struct parquet_column_data){.rows = slots,
                                               .slots = slots,
                                               .validity = column->has_nulls ? batch->validity.data : NULL,
                                               .values = batch->values.data,
                                               .offsets = (const uint32_t *)(void *)batch->offsets.data,
                                               .bytes = batch->values.data};
    if (column->is_list) make_levels(batch, about, rows);
}

/* Writes typed columns `first` to `first + count - 1`; seconds that the writer took. */
static double write_typed(struct memory_sink *sink, uint32_t first, uint32_t count, uint64_t rows, uint32_t stripe_rows,
                          enum parquet_codec codec) {
    struct parquet_node nodes[3 * TYPED_COLUMNS] = {0};
    struct parquet_column_options options[TYPED_COLUMNS];
    struct parquet_writer_options writer_options = {.stripe_rows = stripe_rows, .row_group_rows = ROW_GROUP_ROWS};
    struct typed_batch *batches = calloc(count, sizeof *batches);
    struct parquet_column_data data[TYPED_COLUMNS];
    struct parquet_writer *writer;
    struct parquet_schema schema;
    struct arena arena;
    struct plinth_error error = {0};
    uint64_t nanoseconds = 0, seed = 88172645463325252ULL, begin;
    uint32_t node_count = 0;
    if (!batches) exit(1);
    for (uint32_t i = 0; i < count; i++) {
        const struct typed_column *column = &typed_columns[first + i];
        if (column->is_list) {
            nodes[node_count++] = (struct parquet_node){
                .name = column->name, .is_group = true, .child_count = 1, .logical = {.kind = PARQUET_LOGICAL_LIST}};
            nodes[node_count++] = (struct parquet_node){
                .name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED};
        }
        nodes[node_count++] =
            (struct parquet_node){.name = column->is_list ? "element" : column->name,
                                  .type = column->type,
                                  .repetition = column->has_nulls ? PARQUET_OPTIONAL : PARQUET_REQUIRED};
        options[i] = parquet_column_options_default();
        options[i].codec = codec;
        options[i].encoding = column->encoding;
        options[i].dictionary = column->dictionary;
    }
    arena_init(&arena);
    must(parquet_schema_init(&schema, &arena, "schema", nodes, node_count, &error), &error);
    must(parquet_writer_create(&sink->sink, nodes, node_count, options, &writer_options, &writer, &error), &error);
    for (uint64_t at = 0; at < rows; at += TYPED_BATCH_ROWS) {
        uint32_t many = rows - at < TYPED_BATCH_ROWS ? (uint32_t)(rows - at) : TYPED_BATCH_ROWS;
        for (uint32_t i = 0; i < count; i++) {
            make_typed(&batches[i], &typed_columns[first + i], &schema.columns[i], at, many, &seed);
            data[i] = batches[i].data;
        }
        begin = env_monotonic_ns(env_posix());
        must(parquet_writer_write(writer, data, many, &error), &error);
        nanoseconds += env_monotonic_ns(env_posix()) - begin;
    }
    begin = env_monotonic_ns(env_posix());
    must(parquet_writer_finish(writer, NULL, &error), &error);
    nanoseconds += env_monotonic_ns(env_posix()) - begin;
    parquet_writer_destroy(writer);
    for (uint32_t i = 0; i < count; i++) {
        buffer_deinit(&batches[i].values);
        buffer_deinit(&batches[i].offsets);
        buffer_deinit(&batches[i].validity);
        parquet_column_buffer_deinit(&batches[i].levels);
    }
    free(batches);
    arena_deinit(&arena);
    return (double)nanoseconds / 1e9;
}

/* Seconds to scan all columns of the file: the best of a few times. */
static double scan_typed(const struct memory_sink *sink, uint32_t count) {
    enum { TIMES = 5 };
    struct parquet_source source = {.size = sink->bytes.size, .mapped = sink->bytes.data};
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    uint32_t columns[TYPED_COLUMNS];
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) columns[i] = i;
    must(parquet_reader_open(&source, NULL, &reader, &error), &error);
    for (int k = 0; k < TIMES; k++) {
        uint64_t begin = env_monotonic_ns(env_posix());
        for (uint32_t g = 0; g < parquet_reader_metadata(reader)->row_group_count; g++) {
            struct parquet_scan *scan;
            struct parquet_column_data data[TYPED_COLUMNS];
            uint64_t rows = 1;
            must(parquet_scan_create(reader, g, columns, count, &scan, &error), &error);
            while (rows > 0) must(parquet_scan_next(scan, 0, data, &rows, &error), &error);
            parquet_scan_destroy(scan);
        }
        uint64_t took = env_monotonic_ns(env_posix()) - begin;
        if (took < best) best = took;
    }
    parquet_reader_close(reader);
    return (double)best / 1e9;
}

struct typed_result {
    double write_rows_per_s, scan_rows_per_s;
};

static struct typed_result bench_typed(uint64_t rows, uint32_t stripe_rows, enum parquet_codec codec,
                                       const char *only) {
    printf("%-22s %12s %12s %10s\n", "column", "encode ns", "decode ns", "bytes/row");
    for (uint32_t i = 0; i <= TYPED_COLUMNS; i++) {
        struct memory_sink sink = {.sink = {write_bytes}};
        bool is_last = i == TYPED_COLUMNS; /* all of them */
        if (only && (is_last || strcmp(only, typed_columns[i].name) != 0)) continue;
        uint32_t first = is_last ? 0 : i, count = is_last ? TYPED_COLUMNS : 1;
        double written = write_typed(&sink, first, count, rows, stripe_rows, codec);
        double scanned = scan_typed(&sink, count);
        printf("%-22s %12.2f %12.2f %10.2f\n", is_last ? "all" : typed_columns[i].name, written * 1e9 / (double)rows,
               scanned * 1e9 / (double)rows, (double)sink.bytes.size / (double)rows);
        buffer_deinit(&sink.bytes);
        if (is_last) return (struct typed_result){(double)rows / written, (double)rows / scanned};
    }
    return (struct typed_result){0};
}

int main(int argc, char **argv) {
    uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint32_t stripe_rows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 512;
    const char *codec = argc > 3 ? argv[3] : "lz4";
    uint32_t typed_stripe_rows = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 1024;
    enum parquet_codec code = strcmp(codec, "zstd") == 0   ? PARQUET_CODEC_ZSTD
                              : strcmp(codec, "none") == 0 ? PARQUET_CODEC_UNCOMPRESSED
                                                           : PARQUET_CODEC_LZ4_RAW;
    struct memory_sink sink = {.sink = {write_bytes}};
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    struct typed_result typed = bench_typed(rows, typed_stripe_rows, code, argc > 5 ? argv[5] : NULL);
    if (argc > 5) return 0;
    double written = write_table(&sink, rows, stripe_rows, code);
    struct parquet_source source = {.size = sink.bytes.size, .mapped = sink.bytes.data};
    must(parquet_reader_open(&source, NULL, &reader, &error), &error);
    double scanned = scan_table(reader), stripe = read_stripes(reader);
    printf("parquet rows=%llu stripe_rows=%u codec=%s write_rows_per_s=%.0f scan_rows_per_s=%.0f stripe_us=%.1f "
           "bytes_per_row=%.1f typed_columns=%d typed_stripe_rows=%u typed_write_rows_per_s=%.0f "
           "typed_scan_rows_per_s=%.0f\n",
           (unsigned long long)rows, stripe_rows, codec, written, scanned, stripe,
           (double)sink.bytes.size / (double)rows, (int)TYPED_COLUMNS, typed_stripe_rows, typed.write_rows_per_s,
           typed.scan_rows_per_s);
    parquet_reader_close(reader);
    buffer_deinit(&sink.bytes);
    return 0;
}
