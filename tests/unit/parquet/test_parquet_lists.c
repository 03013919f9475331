/* Columns of lists: levels and back, through files of every kind, and levels that nobody should trust. */
#include <stdlib.h>

#include "memory_file.h"
#include "parquet/metadata_private.h"
#include "sample_lists.h"
#include "support/test_support.h"

struct plan {
    struct sample_lists_plan lists;
    uint32_t stripe_rows;
    uint64_t row_group_rows;
    uint64_t batch_rows; /* a multiple of 8 */
    uint8_t page_version;
    enum parquet_codec codec;
    enum parquet_encoding encoding; /* where the type allows it, else PLAIN */
    bool dictionary;
    bool no_page_index;
};

static const struct plan base_plan = {.lists = {.rows = 1500,
                                                .null_list_one_in = 6,
                                                .null_element_one_in = 5,
                                                .empty_one_in = 5,
                                                .length_max = 7,
                                                .long_row = 700,
                                                .seed = 4},
                                      .stripe_rows = 100,
                                      .row_group_rows = 900,
                                      .batch_rows = 256,
                                      .page_version = 2};

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

static void write_lists(const struct sample_lists *table, const struct plan *plan, struct memory_file *file) {
    struct parquet_column_options columns[SAMPLE_LISTS_COLUMNS];
    struct parquet_writer_options options = {.stripe_rows = plan->stripe_rows,
                                             .row_group_rows = plan->row_group_rows,
                                             .data_page_version = plan->page_version};
    struct parquet_column_buffer levels[SAMPLE_LISTS_COLUMNS] = {0};
    struct parquet_column_data batch[SAMPLE_LISTS_COLUMNS];
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) {
        enum parquet_type type = table->schema.columns[c].type;
        columns[c] = parquet_column_options_default();
        columns[c].codec = plan->codec;
        columns[c].encoding = encoding_fits(type, plan->encoding) ? plan->encoding : PARQUET_ENCODING_PLAIN;
        columns[c].dictionary = plan->dictionary && type != PARQUET_TYPE_BOOLEAN;
        columns[c].page_index = !plan->no_page_index;
        columns[c].bloom = type != PARQUET_TYPE_BOOLEAN;
    }
    assert_ok(parquet_writer_create(&file->sink, table->nodes, SAMPLE_LISTS_NODES, columns, &options, &writer, &error),
              &error);
    for (uint64_t begin = 0; begin < plan->lists.rows; begin += plan->batch_rows) {
        uint64_t left = plan->lists.rows - begin, rows = left < plan->batch_rows ? left : plan->batch_rows;
        sample_lists_batch(table, begin, rows, levels, batch);
        assert_ok(parquet_writer_write(writer, batch, rows, &error), &error);
    }
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) parquet_column_buffer_deinit(&levels[c]);
}

/* `data` is column `c` of rows `row` on. */
static void check_rows(const struct sample_lists *table, const struct parquet_schema *schema, uint32_t c,
                       const struct parquet_column_data *data, uint64_t row, uint64_t rows,
                       struct parquet_list_buffer *lists) {
    struct plinth_error error = {0};
    assert_int_equal(data->rows, rows);
    if (c == 0) {
        assert_int_equal(data->slots, rows);
        assert_memory_equal(data->values, table->row_numbers.data + row * 8, rows * 8);
        return;
    }
    assert_ok(parquet_list_from_levels(&schema->columns[c], data, lists, &error), &error);
    assert_int_equal(lists->data.rows, rows);
    uint64_t nulls = 0;
    for (uint64_t i = 0; i < rows; i++) {
        nulls += lists->data.validity && !((lists->data.validity[i >> 3] >> (i & 7)) & 1);
        if (!sample_lists_equal(table, (int)c - 1, row + i, &lists->data, i))
            fail_msg("column %s differs at row %llu", schema->columns[c].path, (unsigned long long)(row + i));
    }
    assert_int_equal(nulls, lists->data.null_count);
}

static void check_scan(const struct parquet_reader *reader, const struct sample_lists *table, uint64_t rows_max,
                       uint32_t first_column) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct parquet_column_data data[SAMPLE_LISTS_COLUMNS];
    struct parquet_list_buffer lists = {0};
    struct plinth_error error = {0};
    uint32_t columns[SAMPLE_LISTS_COLUMNS];
    uint64_t row = 0, rows;
    for (uint32_t c = 0; c < SAMPLE_LISTS_COLUMNS; c++) columns[c] = c;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        struct parquet_scan *scan;
        assert_ok(
            parquet_scan_create(reader, g, columns + first_column, SAMPLE_LISTS_COLUMNS - first_column, &scan, &error),
            &error);
        for (;;) {
            assert_ok(parquet_scan_next(scan, rows_max, data, &rows, &error), &error);
            if (rows == 0) break;
            for (uint32_t c = first_column; c < SAMPLE_LISTS_COLUMNS; c++)
                check_rows(table, &metadata->schema, c, &data[c - first_column], row, rows, &lists);
            row += rows;
        }
        parquet_scan_destroy(scan);
    }
    assert_int_equal(row, table->plan.rows);
    parquet_list_buffer_deinit(&lists);
}

/* Every page of every column by the index, last one first: the same rows in all columns, and as many as are said. */
static void check_stripes(const struct parquet_reader *reader, const struct sample_lists *table, uint32_t stripe_rows) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    struct parquet_scratch *scratch;
    struct parquet_column_buffer page = {0};
    struct parquet_list_buffer lists = {0};
    struct plinth_error error = {0};
    assert_ok(parquet_scratch_create(&scratch, &error), &error);
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        const struct parquet_row_group *group = &metadata->row_groups[g];
        for (uint32_t c = 0; c < SAMPLE_LISTS_COLUMNS; c++) {
            struct parquet_page_index index;
            uint64_t nulls = 0, slots = 0;
            assert_ok(parquet_reader_page_index(reader, g, c, &index, &error), &error);
            assert_int_equal(index.page_count, (group->row_count + stripe_rows - 1) / stripe_rows);
            for (uint32_t p = index.page_count; p-- > 0;) {
                const struct parquet_page_location *location = &index.locations[p];
                assert_int_equal(location->first_row, p * stripe_rows);
                assert_ok(parquet_reader_read_page(reader, g, c, &index, p, NULL, scratch, &page, &error), &error);
                check_rows(table, &metadata->schema, c, &page.data, group->first_row + location->first_row,
                           location->row_count, &lists);
                nulls += page.data.null_count;
                slots += page.data.slots;
                if (!index.bounds) continue;
                assert_int_equal(index.bounds[p].null_count, page.data.null_count);
                assert_int_equal(index.bounds[p].is_null_page, page.data.null_count == page.data.slots);
            }
            assert_int_equal(group->columns[c].statistics.null_count, nulls);
            assert_int_equal(group->columns[c].value_count, slots);
            parquet_page_index_deinit(&index);
        }
    }
    parquet_list_buffer_deinit(&lists);
    parquet_column_buffer_deinit(&page);
    parquet_scratch_destroy(scratch);
}

static void check_plan(const struct plan *plan) {
    struct sample_lists table;
    struct memory_file file;
    sample_lists_init(&table, &plan->lists);
    memory_file_init(&file);
    write_lists(&table, plan, &file);
    for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
        struct parquet_reader *reader;
        struct plinth_error error = {0};
        assert_ok(parquet_reader_open(memory_file_source(&file, is_mapped), NULL, &reader, &error), &error);
        assert_int_equal(parquet_reader_metadata(reader)->row_count, plan->lists.rows);
        check_scan(reader, &table, 0, 0);
        check_scan(reader, &table, 17, 0);
        check_scan(reader, &table, 0, SAMPLE_LISTS_COLUMNS - 1);
        if (!plan->no_page_index) check_stripes(reader, &table, plan->stripe_rows);
        parquet_reader_close(reader);
    }
    memory_file_deinit(&file);
    sample_lists_deinit(&table);
}

static void lists_of_every_type_and_encoding_round_trip(void **state) {
    static const enum parquet_encoding encodings[] = {PARQUET_ENCODING_PLAIN,
                                                      PARQUET_ENCODING_RLE,
                                                      PARQUET_ENCODING_DELTA_BINARY_PACKED,
                                                      PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY,
                                                      PARQUET_ENCODING_DELTA_BYTE_ARRAY,
                                                      PARQUET_ENCODING_BYTE_STREAM_SPLIT};
    (void)state;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        for (uint8_t version = 1; version <= 2; version++) {
            struct plan plan = base_plan;
            plan.encoding = encodings[i];
            plan.page_version = version;
            plan.codec = i % 2 ? PARQUET_CODEC_ZSTD : version == 1 ? PARQUET_CODEC_LZ4_RAW : PARQUET_CODEC_UNCOMPRESSED;
            plan.dictionary = i % 3 == 2;
            check_plan(&plan);
        }
    }
}

/* REQUIRED and OPTIONAL lists and elements; every list empty, null or neither. */
static void every_kind_of_null_and_emptiness_round_trips(void **state) {
    (void)state;
    for (int k = 0; k < 32; k++) {
        struct plan plan = base_plan;
        plan.lists.rows = 400;
        plan.lists.long_row = 150;
        plan.lists.null_list_one_in = k & 1 ? 4 : 0;
        plan.lists.null_element_one_in = k & 2 ? 3 : 0;
        plan.lists.empty_one_in = k & 4 ? 3 : 0;
        plan.page_version = k & 8 ? 1 : 2;
        plan.dictionary = k & 16;
        plan.lists.seed = (uint64_t)k;
        check_plan(&plan);
    }
    for (int k = 0; k < 3; k++) { /* nothing but null lists, null elements, empty lists */
        struct plan plan = base_plan;
        plan.lists.long_row = UINT64_MAX;
        plan.lists.null_list_one_in = k == 0;
        plan.lists.null_element_one_in = k == 1;
        plan.lists.empty_one_in = k == 2;
        plan.dictionary = k == 1;
        check_plan(&plan);
    }
}

static void lists_longer_than_a_stripe_and_stripes_of_one_row_round_trip(void **state) {
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct plan plan = base_plan;
        plan.page_version = version;
        plan.lists.rows = 40;
        plan.lists.length_max = 100;
        plan.lists.long_row = 21;
        plan.stripe_rows = 1;
        plan.row_group_rows = 16;
        plan.batch_rows = 24;
        check_plan(&plan);
        plan.stripe_rows = 7;
        check_plan(&plan);
    }
}

static void numbers_of_rows_at_every_boundary_round_trip(void **state) {
    static const uint64_t rows[] = {0, 1, 7, 8, 9, 99, 100, 101, 900, 901};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan plan = base_plan;
        plan.lists.rows = rows[i];
        plan.lists.seed = i;
        check_plan(&plan);
        plan.batch_rows = 8;
        check_plan(&plan);
    }
}

static void without_a_page_index_lists_are_scanned_too(void **state) {
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct plan plan = base_plan;
        plan.page_version = version;
        plan.no_page_index = true;
        check_plan(&plan);
    }
}

static void the_same_lists_in_other_batches_give_the_same_bytes(void **state) {
    struct plan plan = base_plan;
    struct sample_lists table;
    struct memory_file files[2];
    (void)state;
    plan.dictionary = true;
    sample_lists_init(&table, &plan.lists);
    for (int i = 0; i < 2; i++) {
        plan.batch_rows = i ? 2000 : 8;
        memory_file_init(&files[i]);
        write_lists(&table, &plan, &files[i]);
    }
    assert_int_equal(files[0].bytes.size, files[1].bytes.size);
    assert_memory_equal(files[0].bytes.data, files[1].bytes.data, files[0].bytes.size);
    memory_file_deinit(&files[0]);
    memory_file_deinit(&files[1]);
    sample_lists_deinit(&table);
}

/* ---- Files of other writers: rows that are divided between pages ---- */

/* One column of REQUIRED lists of REQUIRED INT64, element i being i, in v1 pages of `page_slots` slots whatever the
 * rows; list r has r % 5 elements (or none: one slot), but list 3 has 100. */
static void write_divided_lists(struct memory_file *file, uint64_t rows, uint32_t page_slots) {
    static const struct parquet_node nodes[] = {
        {.name = "l", .is_group = true, .child_count = 1, .logical = {.kind = PARQUET_LOGICAL_LIST}},
        {.name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED},
        {.name = "element", .type = PARQUET_TYPE_INT64}};
    struct parquet_metadata metadata = {.version = 2, .row_count = rows, .row_group_count = 1};
    struct parquet_column_chunk chunk = {.data_page_offset = 4};
    struct parquet_row_group group = {.columns = &chunk, .row_count = rows};
    struct buffer page = BUFFER_INIT, repetition = BUFFER_INIT, definition = BUFFER_INIT, values = BUFFER_INIT;
    struct arena arena;
    struct plinth_error error = {0};
    uint64_t next = 0;
    arena_init(&arena);
    assert_ok(parquet_schema_init(&metadata.schema, &arena, "schema", nodes, 3, &error), &error);
    assert_true(buffer_append(&file->bytes, "PAR1", 4));
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t length = row == 3 ? 100 : row % 5;
        for (uint64_t i = 0; i < (length ? length : 1); i++) {
            assert_true(buffer_append_u8(&repetition, i > 0) && buffer_append_u8(&definition, length > 0));
            if (length > 0) assert_true(buffer_append_u64(&values, next++));
        }
    }
    for (size_t at = 0, value = 0; at < repetition.size; at += page_slots) {
        size_t slots = repetition.size - at < page_slots ? repetition.size - at : page_slots, present = 0;
        buffer_clear(&page);
        for (int kind = 0; kind < 2; kind++) { /* levels as one packed run each */
            const uint8_t *levels = kind ? definition.data + at : repetition.data + at;
            size_t groups = (slots + 7) / 8, header = groups > 63 ? 2 : 1;
            assert_true(buffer_append_u32(&page, (uint32_t)(groups + header)) &&
                        buffer_append_varint(&page, groups << 1 | 1) && buffer_append_zeros(&page, groups));
            uint8_t *bits = page.data + page.size - groups;
            for (size_t i = 0; i < slots; i++) bits[i / 8] |= (uint8_t)(levels[i] << i % 8);
        }
        for (size_t i = 0; i < slots; i++) present += definition.data[at + i];
        assert_true(buffer_append(&page, values.data + value * 8, present * 8));
        value += present;
        struct parquet_page_header header = {.type = PARQUET_PAGE_DATA,
                                             .uncompressed_bytes = (uint32_t)page.size,
                                             .compressed_bytes = (uint32_t)page.size,
                                             .value_count = (uint32_t)slots,
                                             .encoding = PARQUET_ENCODING_PLAIN,
                                             .definition_encoding = PARQUET_ENCODING_RLE,
                                             .repetition_encoding = PARQUET_ENCODING_RLE};
        assert_true(page_header_encode(&header, &file->bytes) && buffer_append(&file->bytes, page.data, page.size));
    }
    chunk.value_count = repetition.size;
    chunk.compressed_bytes = chunk.uncompressed_bytes = file->bytes.size - 4;
    metadata.row_groups = &group;
    size_t footer = file->bytes.size;
    assert_true(metadata_encode(&metadata, &file->bytes) &&
                buffer_append_u32(&file->bytes, (uint32_t)(file->bytes.size - footer)) &&
                buffer_append(&file->bytes, "PAR1", 4));
    buffer_deinit(&page);
    buffer_deinit(&repetition);
    buffer_deinit(&definition);
    buffer_deinit(&values);
    arena_deinit(&arena);
}

static void rows_divided_between_pages_are_put_together(void **state) {
    enum { ROWS = 500 };
    (void)state;
    for (uint32_t page_slots = 1; page_slots < 600; page_slots = page_slots * 2 + 1) {
        for (uint64_t rows_max = 0; rows_max < 9; rows_max += 4) {
            struct memory_file file;
            struct parquet_reader *reader;
            struct parquet_scan *scan;
            struct parquet_list_buffer lists = {0};
            struct parquet_column_data data;
            struct plinth_error error = {0};
            uint32_t column = 0;
            uint64_t rows, row = 0;
            int64_t next = 0;
            memory_file_init(&file);
            write_divided_lists(&file, ROWS, page_slots);
            assert_ok(parquet_reader_open(memory_file_source(&file, rows_max == 0), NULL, &reader, &error), &error);
            assert_ok(parquet_scan_create(reader, 0, &column, 1, &scan, &error), &error);
            for (;;) {
                assert_ok(parquet_scan_next(scan, rows_max, &data, &rows, &error), &error);
                if (rows == 0) break;
                const struct parquet_column *about = &parquet_reader_metadata(reader)->schema.columns[0];
                assert_ok(parquet_list_from_levels(about, &data, &lists, &error), &error);
                assert_int_equal(lists.data.rows, rows);
                for (uint64_t i = 0; i < rows; i++, row++) {
                    uint32_t begin = lists.data.offsets[i], end = lists.data.offsets[i + 1];
                    assert_int_equal(end - begin, row == 3 ? 100 : row % 5);
                    for (; begin < end; begin++)
                        assert_int_equal(((const int64_t *)lists.data.elements.values)[begin], next++);
                }
            }
            assert_int_equal(row, ROWS);
            assert_true(parquet_scan_memory(scan) > 0);
            parquet_scan_destroy(scan);
            parquet_reader_close(reader);
            parquet_list_buffer_deinit(&lists);
            memory_file_deinit(&file);
        }
    }
}

/* ---- Levels ---- */

static struct parquet_column list_column(uint8_t element_level, uint8_t definition_level_max) {
    return (struct parquet_column){.name = "element",
                                   .path = "l.list.element",
                                   .type = PARQUET_TYPE_INT32,
                                   .width = 4,
                                   .element_level = element_level,
                                   .definition_level_max = definition_level_max,
                                   .repetition_level_max = 1};
}

static void lists_become_the_levels_of_the_specification(void **state) {
    static const uint32_t offsets[] = {0, 2, 2, 2, 3};
    static const uint8_t validity[] = {0x0d}, element_validity[] = {0x03};
    static const int32_t values[] = {1, 2, 0};
    static const uint8_t definition[] = {3, 3, 0, 1, 2}, repetition[] = {0, 1, 0, 0, 0};
    struct parquet_list_data list = {
        .rows = 4,
        .validity = validity,
        .offsets = offsets,
        .elements = {.rows = 3, .slots = 3, .validity = element_validity, .values = values}};
    struct parquet_column column = list_column(2, 3);
    struct parquet_column_buffer levels = {0};
    struct plinth_error error = {0};
    (void)state;
    assert_ok(parquet_list_to_levels(&column, &list, &levels, &error), &error);
    assert_int_equal(levels.data.rows, 4);
    assert_int_equal(levels.data.slots, 5);
    assert_int_equal(levels.data.null_count, 3);
    assert_memory_equal(levels.data.definition_levels, definition, 5);
    assert_memory_equal(levels.data.repetition_levels, repetition, 5);
    assert_int_equal(((const int32_t *)levels.data.values)[1], 2);
    parquet_column_buffer_deinit(&levels);
}

/* A list of a group that may be missing, with elements in a group that may be missing too. */
static void levels_of_groups_that_are_missing_become_null_lists_and_elements(void **state) {
    static const uint8_t definition[] = {0, 1, 2, 3, 4, 5}, repetition[] = {0, 0, 0, 0, 0, 1};
    static const int32_t values[] = {0, 0, 0, 0, 0, 77};
    struct parquet_column column = list_column(3, 5);
    struct parquet_column_data data = {
        .rows = 5, .slots = 6, .values = values, .definition_levels = definition, .repetition_levels = repetition};
    static const uint32_t wanted[] = {0, 0, 0, 0, 1, 3};
    struct parquet_list_buffer lists = {0};
    struct plinth_error error = {0};
    (void)state;
    assert_ok(parquet_list_from_levels(&column, &data, &lists, &error), &error);
    assert_memory_equal(lists.data.offsets, wanted, sizeof wanted);
    assert_int_equal(lists.data.null_count, 2);
    assert_int_equal(lists.data.validity[0], 0x1c);
    assert_int_equal(lists.data.elements.rows, 3);
    assert_int_equal(lists.data.elements.null_count, 2);
    assert_int_equal(lists.data.elements.validity[0], 4);
    assert_int_equal(((const int32_t *)lists.data.elements.values)[2], 77);
    parquet_list_buffer_deinit(&lists);
}

static void levels_that_do_not_go_together_are_refused_both_ways(void **state) {
    static const struct {
        uint8_t definition[4], repetition[4];
        uint64_t rows;
    } bad[] = {
        {{3, 3, 3, 3}, {1, 0, 0, 0}, 3}, /* begins inside a row */
        {{3, 4, 3, 3}, {0, 0, 0, 0}, 4}, /* a level above the column's */
        {{3, 3, 3, 3}, {0, 2, 0, 0}, 3}, /* the same of repetition */
        {{3, 1, 3, 3}, {0, 1, 0, 0}, 3}, /* an empty list goes on another */
        {{1, 3, 3, 3}, {0, 1, 0, 0}, 3}, /* an empty list has an element */
        {{3, 3, 3, 3}, {0, 1, 0, 0}, 4}, /* another number of rows */
    };
    static const int32_t values[4] = {0};
    static const struct parquet_node nodes[] = {
        {.name = "l",
         .is_group = true,
         .child_count = 1,
         .repetition = PARQUET_OPTIONAL,
         .logical = {.kind = PARQUET_LOGICAL_LIST}},
        {.name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED},
        {.name = "element", .type = PARQUET_TYPE_INT32, .repetition = PARQUET_OPTIONAL}};
    struct parquet_column column = list_column(2, 3);
    struct parquet_list_buffer lists = {0};
    struct plinth_error error = {0};
    (void)state;
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        struct parquet_column_data data = {.rows = 4, .slots = 4, .values = values};
        struct memory_file file;
        struct parquet_writer *writer;
        if (i < sizeof bad / sizeof bad[0]) {
            data.rows = bad[i].rows;
            data.definition_levels = bad[i].definition;
            data.repetition_levels = bad[i].repetition;
        } /* else there are none at all */
        assert_status(parquet_list_from_levels(&column, &data, &lists, &error), PLINTH_CORRUPT, &error);
        assert_int_equal(lists.data.rows, 0);
        memory_file_init(&file);
        assert_ok(parquet_writer_create(&file.sink, nodes, 3, NULL, NULL, &writer, &error), &error);
        assert_status(parquet_writer_write(writer, &data, data.rows, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, "l.list.element");
        parquet_writer_destroy(writer);
        memory_file_deinit(&file);
    }
    parquet_list_buffer_deinit(&lists);
}

static void list_offsets_that_are_wrong_are_refused(void **state) {
    static const uint32_t down[] = {0, 2, 1}, beyond[] = {0, 2, 4};
    static const int32_t values[3] = {0};
    struct parquet_list_data list = {.rows = 2, .offsets = down, .elements = {.rows = 3, .slots = 3, .values = values}};
    struct parquet_column column = list_column(1, 1);
    struct parquet_column_buffer levels = {0};
    struct plinth_error error = {0};
    (void)state;
    assert_status(parquet_list_to_levels(&column, &list, &levels, &error), PLINTH_INVALID_ARGUMENT, &error);
    list.offsets = beyond;
    assert_status(parquet_list_to_levels(&column, &list, &levels, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "l.list.element");
    column.repetition_level_max = 2;
    assert_status(parquet_list_to_levels(&column, &list, &levels, &error), PLINTH_UNSUPPORTED, &error);
    parquet_column_buffer_deinit(&levels);
}

static void a_field_of_an_optional_group_round_trips(void **state) {
    static const struct parquet_node nodes[] = {
        {.name = "g", .is_group = true, .child_count = 1, .repetition = PARQUET_OPTIONAL},
        {.name = "n", .type = PARQUET_TYPE_INT32, .repetition = PARQUET_OPTIONAL}};
    static const uint8_t definition[] = {2, 0, 1, 2};
    static const int32_t values[] = {5, 0, 0, 6};
    struct parquet_column_data data = {.values = values, .definition_levels = definition};
    struct memory_file file;
    struct parquet_writer *writer;
    struct parquet_reader *reader;
    struct parquet_scan *scan;
    struct plinth_error error = {0};
    uint32_t column = 0;
    uint64_t rows;
    (void)state;
    memory_file_init(&file);
    assert_ok(parquet_writer_create(&file.sink, nodes, 2, NULL, NULL, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, &data, 4, &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    assert_ok(parquet_scan_create(reader, 0, &column, 1, &scan, &error), &error);
    assert_ok(parquet_scan_next(scan, 0, &data, &rows, &error), &error);
    assert_int_equal(rows, 4);
    assert_memory_equal(data.definition_levels, definition, 4);
    assert_int_equal(data.null_count, 2);
    assert_int_equal(((const int32_t *)data.values)[3], 6);
    parquet_scan_destroy(scan);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_become_the_levels_of_the_specification),
        cmocka_unit_test(levels_of_groups_that_are_missing_become_null_lists_and_elements),
        cmocka_unit_test(levels_that_do_not_go_together_are_refused_both_ways),
        cmocka_unit_test(list_offsets_that_are_wrong_are_refused),
        cmocka_unit_test(lists_of_every_type_and_encoding_round_trip),
        cmocka_unit_test(every_kind_of_null_and_emptiness_round_trips),
        cmocka_unit_test(lists_longer_than_a_stripe_and_stripes_of_one_row_round_trip),
        cmocka_unit_test(numbers_of_rows_at_every_boundary_round_trip),
        cmocka_unit_test(without_a_page_index_lists_are_scanned_too),
        cmocka_unit_test(the_same_lists_in_other_batches_give_the_same_bytes),
        cmocka_unit_test(rows_divided_between_pages_are_put_together),
        cmocka_unit_test(a_field_of_an_optional_group_round_trips),
    };
    return cmocka_run_group_tests_name("parquet_lists", tests, NULL, NULL);
}
