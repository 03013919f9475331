/* What the writer writes, the reader reads: every type, encoding, codec and page version, with and without
 * nulls, mapped and not. */
#include <stdlib.h>

#include "memory_file.h"
#include "parquet/bloom.h"
#include "parquet/statistics.h"
#include "sample_table.h"
#include "support/test_support.h"

struct plan {
    uint64_t rows;
    uint32_t null_one_in;
    uint32_t stripe_rows;
    uint64_t row_group_rows;
    uint64_t batch_rows; /* rows given to the writer at a time */
    uint8_t page_version;
    enum parquet_codec codec;
    enum parquet_encoding encoding; /* where the type allows it, else PLAIN */
    bool dictionary;
    bool bloom;
};

static bool encoding_fits(enum parquet_type type, enum parquet_encoding encoding) {
    switch (encoding) {
    case PARQUET_ENCODING_RLE: return type == PARQUET_TYPE_BOOLEAN;
    case PARQUET_ENCODING_DELTA_BINARY_PACKED: return type == PARQUET_TYPE_INT32 || type == PARQUET_TYPE_INT64;
    case PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY;
    case PARQUET_ENCODING_DELTA_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY || type == PARQUET_TYPE_FIXED;
    case PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        return type != PARQUET_TYPE_BOOLEAN && type != PARQUET_TYPE_BYTE_ARRAY && type != PARQUET_TYPE_INT96;
    default: return true;
    }
}

/* Rows from `begin` on; rows of a bitmap begin on a byte, so `begin` is a multiple of 8. */
static struct parquet_column_data data_from(const struct parquet_node *node, const struct parquet_column_data *data,
                                            uint64_t begin) {
    struct parquet_column_data from = *data;
    uint32_t width = parquet_type_width(node->type, node->type_length);
    if (from.validity) from.validity += begin / 8;
    if (from.offsets) from.offsets += begin;
    from.values = (const uint8_t *)from.values + (node->type == PARQUET_TYPE_BOOLEAN ? begin / 8 : begin * width);
    return from;
}

static void write_table(const struct sample_table *table, const struct plan *plan, struct memory_file *file) {
    struct parquet_column_options columns[SAMPLE_COLUMNS];
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        enum parquet_type type = table->nodes[c].type;
        columns[c] = parquet_column_options_default();
        columns[c].codec = plan->codec;
        columns[c].encoding = encoding_fits(type, plan->encoding) ? plan->encoding : PARQUET_ENCODING_PLAIN;
        columns[c].dictionary = plan->dictionary && type != PARQUET_TYPE_BOOLEAN;
        columns[c].dictionary_bytes_max = 4000;
        columns[c].bloom = plan->bloom && type != PARQUET_TYPE_BOOLEAN;
        columns[c].bloom_distinct = c % 2 ? plan->rows : 0;
    }
    struct parquet_sorting_column sorting = {.column = SAMPLE_KEY};
    struct parquet_writer_options options = {.stripe_rows = plan->stripe_rows,
                                             .row_group_rows = plan->row_group_rows,
                                             .data_page_version = plan->page_version,
                                             .sorting = &sorting,
                                             .sorting_count = 1};
    assert_ok(parquet_writer_create(&file->sink, table->nodes, SAMPLE_COLUMNS, columns, &options, &writer, &error),
              &error);
    for (uint64_t begin = 0; begin < table->rows; begin += plan->batch_rows) {
        struct parquet_column_data batch[SAMPLE_COLUMNS];
        uint64_t rows = table->rows - begin < plan->batch_rows ? table->rows - begin : plan->batch_rows;
        for (int c = 0; c < SAMPLE_COLUMNS; c++) batch[c] = data_from(&table->nodes[c], &table->data[c], begin);
        assert_ok(parquet_writer_write(writer, batch, rows, &error), &error);
    }
    assert_ok(parquet_writer_add_key_value(writer, "answer", slice_of_string("42"), &error), &error);
    uint64_t size;
    assert_ok(parquet_writer_finish(writer, &size, &error), &error);
    assert_int_equal(size, file->bytes.size);
    assert_int_equal(size, parquet_writer_position(writer));
    parquet_writer_destroy(writer);
}

static void check_scan(const struct parquet_reader *reader, const struct sample_table *table, uint64_t rows_max) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct parquet_column_data data[SAMPLE_COLUMNS];
    struct plinth_error error = {0};
    uint32_t columns[SAMPLE_COLUMNS];
    uint64_t row = 0, rows;
    for (uint32_t c = 0; c < SAMPLE_COLUMNS; c++) columns[c] = c;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        struct parquet_scan *scan;
        assert_int_equal(metadata->row_groups[g].first_row, row);
        assert_ok(parquet_scan_create(reader, g, columns, SAMPLE_COLUMNS, &scan, &error), &error);
        for (;;) {
            assert_ok(parquet_scan_next(scan, rows_max, data, &rows, &error), &error);
            if (rows == 0) break;
            for (int c = 0; c < SAMPLE_COLUMNS; c++) {
                uint64_t nulls = 0;
                for (uint64_t i = 0; i < rows; i++) {
                    nulls += parquet_column_data_is_null(&data[c], i);
                    if (!sample_equal(&table->nodes[c], &table->data[c], row + i, &data[c], i))
                        fail_msg("column %s differs at row %llu", table->nodes[c].name, (unsigned long long)(row + i));
                }
                assert_int_equal(nulls, data[c].null_count);
                assert_true(nulls > 0 || !data[c].validity);
            }
            row += rows;
        }
        parquet_scan_destroy(scan);
    }
    assert_int_equal(row, table->rows);
}

static void check_bounds(const struct parquet_column *column, const struct parquet_node *node,
                         const struct parquet_column_data *data, uint64_t row, struct slice min, struct slice max) {
    enum parquet_order order = parquet_column_order(column);
    if (parquet_column_data_is_null(data, row) || node->type == PARQUET_TYPE_BOOLEAN) return;
    struct slice value = node->type == PARQUET_TYPE_BYTE_ARRAY
                             ? parquet_column_data_bytes(data, row)
                             : slice_of((const uint8_t *)data->values + row * column->width, column->width);
    assert_true(parquet_value_compare(order, min, value) <= 0);
    assert_true(parquet_value_compare(order, value, max) <= 0);
}

/* Every page of every column, last one first, against the table and the index's bounds. */
static void check_stripes(const struct parquet_reader *reader, const struct sample_table *table, bool give_dictionary) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct parquet_scratch *scratch;
    struct parquet_column_buffer page = {0}, dictionary = {0};
    struct plinth_error error = {0};
    assert_ok(parquet_scratch_create(&scratch, &error), &error);
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        uint32_t pages = 0;
        for (uint32_t c = 0; c < SAMPLE_COLUMNS; c++) {
            const struct parquet_column *column = &metadata->schema.columns[c];
            struct parquet_page_index index;
            bool has_dictionary = give_dictionary && parquet_reader_has_dictionary(reader, g, c);
            assert_ok(parquet_reader_page_index(reader, g, c, &index, &error), &error);
            if (c > 0) assert_int_equal(pages, index.page_count);
            pages = index.page_count;
            assert_true(index.bounds);
            if (has_dictionary)
                assert_ok(parquet_reader_dictionary(reader, g, c, scratch, &dictionary, &error), &error);
            for (uint32_t p = pages; p-- > 0;) {
                const struct parquet_page_location *location = &index.locations[p];
                uint64_t first = metadata->row_groups[g].first_row + location->first_row;
                assert_ok(parquet_reader_read_page(reader, g, c, &index, p, has_dictionary ? &dictionary : NULL,
                                                   scratch, &page, &error),
                          &error);
                assert_int_equal(page.data.rows, location->row_count);
                assert_int_equal(parquet_page_index_find_row(&index, location->first_row + location->row_count - 1), p);
                for (uint64_t i = 0; i < page.data.rows; i++) {
                    assert_true(sample_equal(&table->nodes[c], &table->data[c], first + i, &page.data, i));
                    if (index.bounds)
                        check_bounds(column, &table->nodes[c], &page.data, i, index.bounds[p].min, index.bounds[p].max);
                }
                if (index.bounds) assert_int_equal(index.bounds[p].null_count, page.data.null_count);
            }
            parquet_page_index_deinit(&index);
        }
    }
    parquet_column_buffer_deinit(&page);
    parquet_column_buffer_deinit(&dictionary);
    parquet_scratch_destroy(scratch);
}

static void check_bloom(const struct parquet_reader *reader, const struct sample_table *table) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct plinth_error error = {0};
    uint64_t absent_found = 0, absent = 2000, row = 0;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        struct parquet_bloom bloom;
        bool maybe;
        assert_ok(parquet_reader_bloom(reader, g, SAMPLE_KEY, &bloom, &error), &error);
        for (uint64_t i = 0; i < metadata->row_groups[g].row_count; i++, row++) {
            if (parquet_column_data_is_null(&table->data[SAMPLE_KEY], row)) continue;
            struct slice key = parquet_column_data_bytes(&table->data[SAMPLE_KEY], row);
            assert_ok(parquet_reader_bloom_check(reader, g, SAMPLE_KEY, key, &maybe, &error), &error);
            assert_true(maybe);
            assert_true(parquet_bloom_check(&bloom, key));
        }
        for (uint64_t i = 0; i < absent; i++) {
            char key[32];
            snprintf(key, sizeof key, "nobody:%llu", (unsigned long long)i);
            assert_ok(parquet_reader_bloom_check(reader, g, SAMPLE_KEY, slice_of_string(key), &maybe, &error), &error);
            assert_int_equal(maybe, parquet_bloom_check(&bloom, slice_of_string(key)));
            absent_found += maybe;
        }
        parquet_bloom_deinit(&bloom);
    }
    assert_true(absent_found < absent * metadata->row_group_count / 20);
}

static void check_plan(const struct plan *plan) {
    struct sample_table table;
    struct memory_file file;
    sample_table_init(&table, plan->rows, plan->null_one_in, plan->rows + plan->codec);
    memory_file_init(&file);
    write_table(&table, plan, &file);
    for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
        struct parquet_reader *reader;
        struct plinth_error error = {0};
        struct slice value;
        assert_ok(parquet_reader_open(memory_file_source(&file, is_mapped), NULL, &reader, &error), &error);
        const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
        assert_int_equal(metadata->row_count, plan->rows);
        assert_int_equal(metadata->schema.column_count, SAMPLE_COLUMNS);
        assert_true(parquet_metadata_find(metadata, "answer", &value));
        assert_true(slice_equal(value, slice_of_string("42")));
        check_scan(reader, &table, 0);
        check_scan(reader, &table, 13);
        check_stripes(reader, &table, is_mapped);
        if (plan->bloom) check_bloom(reader, &table);
        parquet_reader_close(reader);
    }
    memory_file_deinit(&file);
    sample_table_deinit(&table);
}

static const struct plan base_plan = {
    .rows = 3000, .null_one_in = 0, .stripe_rows = 500, .row_group_rows = 1300, .batch_rows = 800, .page_version = 2};

static void every_codec_round_trips(void **state) {
    static const enum parquet_codec codecs[] = {PARQUET_CODEC_UNCOMPRESSED, PARQUET_CODEC_SNAPPY,
                                                PARQUET_CODEC_GZIP,         PARQUET_CODEC_BROTLI,
                                                PARQUET_CODEC_ZSTD,         PARQUET_CODEC_LZ4_RAW};
    (void)state;
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        for (uint8_t version = 1; version <= 2; version++) {
            struct plan plan = base_plan;
            plan.codec = codecs[i];
            plan.page_version = version;
            plan.null_one_in = version == 1 ? 4 : 0;
            check_plan(&plan);
        }
    }
}

static void every_encoding_round_trips(void **state) {
    static const enum parquet_encoding encodings[] = {PARQUET_ENCODING_PLAIN,
                                                      PARQUET_ENCODING_RLE,
                                                      PARQUET_ENCODING_DELTA_BINARY_PACKED,
                                                      PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY,
                                                      PARQUET_ENCODING_DELTA_BYTE_ARRAY,
                                                      PARQUET_ENCODING_BYTE_STREAM_SPLIT};
    (void)state;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        for (int k = 0; k < 8; k++) {
            struct plan plan = base_plan;
            plan.encoding = encodings[i];
            plan.page_version = k & 1 ? 1 : 2;
            plan.null_one_in = k & 2 ? 3 : 0;
            plan.codec = k & 4 ? PARQUET_CODEC_LZ4_RAW : PARQUET_CODEC_UNCOMPRESSED;
            check_plan(&plan);
        }
    }
}

static void dictionaries_and_their_fall_back_round_trip(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct plan plan = base_plan;
        plan.dictionary = true;
        plan.page_version = k & 1 ? 1 : 2;
        plan.null_one_in = k & 2 ? 5 : 0;
        plan.rows = 20000;
        plan.row_group_rows = 15000;
        plan.encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
        check_plan(&plan);
    }
}

static void bloom_filters_find_what_is_there(void **state) {
    (void)state;
    for (uint32_t null_one_in = 0; null_one_in < 4; null_one_in += 3) {
        struct plan plan = base_plan;
        plan.bloom = true;
        plan.null_one_in = null_one_in;
        check_plan(&plan);
    }
}

static void sizes_at_every_boundary_round_trip(void **state) {
    static const uint64_t rows[] = {0, 1, 7, 8, 9, 31, 32, 33, 127, 128, 129, 499, 500, 501, 1300, 1301};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int k = 0; k < 4; k++) {
            struct plan plan = base_plan;
            plan.rows = rows[i];
            plan.null_one_in = k & 1 ? 2 : 0;
            plan.encoding = k & 2 ? PARQUET_ENCODING_DELTA_BINARY_PACKED : PARQUET_ENCODING_DELTA_BYTE_ARRAY;
            check_plan(&plan);
        }
    }
}

static void columns_of_only_nulls_round_trip(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct plan plan = base_plan;
        plan.null_one_in = 1;
        plan.dictionary = k & 1;
        plan.page_version = k & 2 ? 1 : 2;
        plan.codec = PARQUET_CODEC_ZSTD;
        check_plan(&plan);
    }
}

static void the_same_rows_in_other_batches_give_the_same_bytes(void **state) {
    struct sample_table table;
    struct memory_file files[2];
    (void)state;
    sample_table_init(&table, 5000, 3, 1);
    for (int i = 0; i < 2; i++) {
        struct plan plan = base_plan;
        plan.batch_rows = i ? 8 : 5000;
        plan.codec = PARQUET_CODEC_ZSTD;
        plan.dictionary = plan.bloom = true;
        memory_file_init(&files[i]);
        write_table(&table, &plan, &files[i]);
    }
    assert_int_equal(files[0].bytes.size, files[1].bytes.size);
    assert_memory_equal(files[0].bytes.data, files[1].bytes.data, files[0].bytes.size);
    memory_file_deinit(&files[0]);
    memory_file_deinit(&files[1]);
    sample_table_deinit(&table);
}

static void stripes_end_where_the_caller_says_and_raw_bytes_lie_at_their_offset(void **state) {
    static const char raw[] = "bytes that other readers pass over";
    struct sample_table table;
    struct memory_file file;
    struct parquet_writer *writer;
    struct parquet_reader *reader;
    struct parquet_page_index index;
    struct plinth_error error = {0};
    uint64_t offset;
    (void)state;
    sample_table_init(&table, 300, 0, 5);
    memory_file_init(&file);
    assert_ok(parquet_writer_create(&file.sink, table.nodes, SAMPLE_COLUMNS, NULL, NULL, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, table.data, 100, &error), &error);
    assert_int_equal(parquet_writer_stripe_rows(writer), 100);
    assert_true(parquet_writer_stripe_bytes(writer) > 100 * 60);
    assert_ok(parquet_writer_end_stripe(writer, &error), &error);
    assert_int_equal(parquet_writer_stripe_rows(writer), 0);
    assert_true(parquet_writer_row_group_bytes(writer) > 100 * 60);
    assert_ok(parquet_writer_write(writer, table.data, 300, &error), &error);
    assert_ok(parquet_writer_append_raw(writer, slice_of(raw, sizeof raw), &offset, &error), &error);
    assert_true(parquet_writer_memory(writer) > 0);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    assert_int_equal(parquet_writer_finish(writer, NULL, &error), PLINTH_INVALID_ARGUMENT);
    parquet_writer_destroy(writer);
    assert_memory_equal(file.bytes.data + offset, raw, sizeof raw);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    for (uint32_t c = 0; c < SAMPLE_COLUMNS; c++) {
        assert_ok(parquet_reader_page_index(reader, 0, c, &index, &error), &error);
        assert_int_equal(index.page_count, 2);
        assert_int_equal(index.locations[1].first_row, 100);
        assert_int_equal(index.locations[1].row_count, 300);
        parquet_page_index_deinit(&index);
    }
    parquet_reader_close(reader);
    memory_file_deinit(&file);
    sample_table_deinit(&table);
}

/* The second row group, the indexes and the footer lie behind 5 GiB that are not kept. */
static void files_beyond_4_gib_round_trip(void **state) {
    enum { HOLES = 320, ROWS = 500 };
    uint8_t *zeros = calloc(1, MEMORY_FILE_HOLE_BYTES);
    struct sample_table table;
    struct memory_file file;
    struct parquet_writer *writer;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    struct parquet_column_data second[SAMPLE_COLUMNS];
    uint64_t size, offset;
    (void)state;
    assert_non_null(zeros);
    sample_table_init(&table, 2 * ROWS - ROWS % 8, 5, 6);
    memory_file_init(&file);
    struct parquet_writer_options options = {.stripe_rows = 100};
    assert_ok(parquet_writer_create(&file.sink, table.nodes, SAMPLE_COLUMNS, NULL, &options, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, table.data, ROWS - ROWS % 8, &error), &error);
    for (int i = 0; i < HOLES; i++)
        assert_ok(parquet_writer_append_raw(writer, slice_of(zeros, MEMORY_FILE_HOLE_BYTES), &offset, &error), &error);
    for (int c = 0; c < SAMPLE_COLUMNS; c++) second[c] = data_from(&table.nodes[c], &table.data[c], ROWS - ROWS % 8);
    assert_ok(parquet_writer_write(writer, second, ROWS, &error), &error);
    assert_ok(parquet_writer_finish(writer, &size, &error), &error);
    parquet_writer_destroy(writer);
    assert_true(size > UINT64_C(5) << 30);
    assert_ok(parquet_reader_open(memory_file_source(&file, false), NULL, &reader, &error), &error);
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    assert_true(metadata->row_groups[1].columns[0].data_page_offset > UINT64_C(5) << 30);
    assert_true(metadata->row_groups[0].columns[0].offset_index_offset > UINT64_C(5) << 30);
    check_scan(reader, &table, 0);
    check_stripes(reader, &table, false);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
    sample_table_deinit(&table);
    free(zeros);
}

static void a_failing_sink_fails_every_later_call(void **state) {
    struct sample_table table;
    struct memory_file file;
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    (void)state;
    sample_table_init(&table, 1000, 3, 5);
    for (uint64_t most = 1; most < 60000; most += 1777) {
        memory_file_init(&file);
        file.write_bytes_max = most;
        assert_ok(parquet_writer_create(&file.sink, table.nodes, SAMPLE_COLUMNS, NULL, NULL, &writer, &error), &error);
        assert_ok(parquet_writer_write(writer, table.data, 1000, &error), &error);
        if (parquet_writer_end_row_group(writer, &error)) {
            assert_int_equal(parquet_writer_write(writer, table.data, 1, &error), PLINTH_NO_SPACE);
            assert_int_equal(parquet_writer_finish(writer, NULL, &error), PLINTH_NO_SPACE);
        }
        parquet_writer_destroy(writer);
        memory_file_deinit(&file);
    }
    sample_table_deinit(&table);
}

static void options_that_do_not_fit_are_refused(void **state) {
    struct parquet_node node = {.name = "flag", .type = PARQUET_TYPE_BOOLEAN};
    struct parquet_column_options options = parquet_column_options_default();
    struct parquet_writer *writer;
    struct memory_file file;
    struct plinth_error error = {0};
    (void)state;
    memory_file_init(&file);
    options.encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
    assert_int_equal(parquet_writer_create(&file.sink, &node, 1, &options, NULL, &writer, &error),
                     PLINTH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "flag"));
    options = parquet_column_options_default();
    options.codec = PARQUET_CODEC_LZ4;
    assert_int_equal(parquet_writer_create(&file.sink, &node, 1, &options, NULL, &writer, &error),
                     PLINTH_INVALID_ARGUMENT);
    options.codec = PARQUET_CODEC_ZSTD;
    options.codec_level = 99;
    assert_int_equal(parquet_writer_create(&file.sink, &node, 1, &options, NULL, &writer, &error),
                     PLINTH_INVALID_ARGUMENT);
    node = (struct parquet_node){.name = "uuid", .type = PARQUET_TYPE_INT32, .logical = {PARQUET_LOGICAL_UUID}};
    assert_int_equal(parquet_writer_create(&file.sink, &node, 1, NULL, NULL, &writer, &error), PLINTH_INVALID_ARGUMENT);
    assert_int_equal(parquet_writer_create(&file.sink, &node, 0, NULL, NULL, &writer, &error), PLINTH_INVALID_ARGUMENT);
    memory_file_deinit(&file);
}

static void nulls_with_bytes_behind_them_are_not_written(void **state) {
    struct parquet_node node = {.name = "text", .type = PARQUET_TYPE_BYTE_ARRAY, .repetition = PARQUET_OPTIONAL};
    static const uint32_t offsets[] = {1, 3, 7, 9};
    static const uint8_t validity[] = {5};
    struct parquet_column_data data = {
        .rows = 3, .validity = validity, .offsets = offsets, .bytes = (const uint8_t *)"xabSECRcdx"};
    struct parquet_writer *writer;
    struct parquet_reader *reader;
    struct parquet_scan *scan;
    struct memory_file file;
    struct plinth_error error = {0};
    uint64_t rows;
    uint32_t column = 0;
    (void)state;
    memory_file_init(&file);
    assert_ok(parquet_writer_create(&file.sink, &node, 1, NULL, NULL, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, &data, 3, &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    assert_null(memmem(file.bytes.data, file.bytes.size, "SECR", 4));
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    assert_ok(parquet_scan_create(reader, 0, &column, 1, &scan, &error), &error);
    assert_ok(parquet_scan_next(scan, 0, &data, &rows, &error), &error);
    assert_int_equal(rows, 3);
    assert_true(slice_equal(parquet_column_data_bytes(&data, 0), slice_of_string("ab")));
    assert_true(parquet_column_data_is_null(&data, 1));
    assert_true(slice_equal(parquet_column_data_bytes(&data, 2), slice_of_string("cd")));
    parquet_scan_destroy(scan);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_round_trips),
        cmocka_unit_test(every_encoding_round_trips),
        cmocka_unit_test(dictionaries_and_their_fall_back_round_trip),
        cmocka_unit_test(bloom_filters_find_what_is_there),
        cmocka_unit_test(sizes_at_every_boundary_round_trip),
        cmocka_unit_test(columns_of_only_nulls_round_trip),
        cmocka_unit_test(the_same_rows_in_other_batches_give_the_same_bytes),
        cmocka_unit_test(stripes_end_where_the_caller_says_and_raw_bytes_lie_at_their_offset),
        cmocka_unit_test(files_beyond_4_gib_round_trip),
        cmocka_unit_test(a_failing_sink_fails_every_later_call),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(nulls_with_bytes_behind_them_are_not_written),
    };
    return cmocka_run_group_tests_name("parquet_round_trip", tests, NULL, NULL);
}
