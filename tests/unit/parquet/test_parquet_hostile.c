/* Damaged and malicious bytes: Thrift structures, footers and whole files give rows or a status, within the
 * memory limit. */
#include <stdlib.h>

#include "memory_file.h"
#include "parquet/metadata_private.h"
#include "parquet/row_selection.h"
#include "parquet/thrift.h"
#include "sample_lists.h"
#include "sample_table.h"
#include "support/test_support.h"

static void write_nulls(struct memory_file *file, uint64_t rows, uint32_t null_one_in, bool checksums) {
    struct sample_table table;
    struct parquet_column_options columns[SAMPLE_COLUMNS];
    struct parquet_writer_options options = {.stripe_rows = 16, .no_checksums = !checksums};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    sample_table_init(&table, rows, null_one_in, 3);
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        columns[c] = parquet_column_options_default();
        columns[c].dictionary = c == SAMPLE_STRING || c == SAMPLE_INT32;
        columns[c].bloom = c == SAMPLE_KEY;
        columns[c].codec = c % 2 ? PARQUET_CODEC_LZ4_RAW : PARQUET_CODEC_UNCOMPRESSED;
    }
    columns[SAMPLE_KEY].encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
    columns[SAMPLE_INT64].encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
    memory_file_init(file);
    assert_ok(parquet_writer_create(&file->sink, table.nodes, SAMPLE_COLUMNS, columns, &options, &writer, &error),
              &error);
    assert_ok(parquet_writer_write(writer, table.data, rows, &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    sample_table_deinit(&table);
}

static void write_sample(struct memory_file *file, uint64_t rows, bool checksums) {
    write_nulls(file, rows, 4, checksums);
}

static enum plinth_status scan_column(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                                      struct plinth_error *error) {
    struct parquet_scan *scan;
    struct parquet_column_data data;
    uint64_t rows = 1;
    enum plinth_status st = parquet_scan_create(reader, group, &column, 1, &scan, error);
    while (!st && rows > 0) st = parquet_scan_next(scan, 5, &data, &rows, error);
    parquet_scan_destroy(scan);
    return st;
}

/* Reads everything of a file; the first failure. */
static enum plinth_status read_file(struct parquet_source *source, uint64_t memory_bytes_max,
                                    struct plinth_error *error) {
    struct parquet_reader_options options = {.memory_bytes_max = memory_bytes_max};
    struct parquet_reader *reader;
    struct parquet_scratch *scratch = NULL;
    struct parquet_column_buffer page = {0};
    enum plinth_status first = parquet_reader_open(source, &options, &reader, error);
    if (first) return first;
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    assert_ok(parquet_scratch_create(&scratch, error), error);
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        for (uint32_t c = 0; c < metadata->schema.column_count; c++) {
            struct parquet_page_index index;
            bool maybe;
            enum plinth_status st = scan_column(reader, g, c, error);
            if (!first) first = st;
            st = parquet_reader_page_index(reader, g, c, &index, error);
            for (uint32_t p = 0; !st && p < index.page_count; p++)
                st = parquet_reader_read_page(reader, g, c, &index, p, NULL, scratch, &page, error);
            if (!first && st != PLINTH_NOT_FOUND) first = st; /* the damage may be that there is no index */
            parquet_page_index_deinit(&index);
            st = parquet_reader_bloom_check(reader, g, c, slice_of_string("x"), &maybe, error);
            if (!first) first = st;
        }
    }
    parquet_column_buffer_deinit(&page);
    parquet_scratch_destroy(scratch);
    parquet_reader_close(reader);
    return first;
}

static void a_file_cut_anywhere_is_refused(void **state) {
    struct memory_file file;
    struct plinth_error error = {0};
    (void)state;
    write_sample(&file, 40, true);
    assert_ok(read_file(memory_file_source(&file, true), 0, &error), &error);
    for (size_t size = 0; size < file.bytes.size; size += 1 + size / 200) {
        uint8_t *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, file.bytes.data, size);
        struct parquet_source source = {.size = size, .mapped = copy};
        assert_int_equal(read_file(&source, 0, &error), PLINTH_CORRUPT);
        free(copy);
    }
    memory_file_deinit(&file);
}

/* Without checksums, so that the decoders see the damage. */
static void a_file_with_any_byte_changed_gives_rows_or_a_status(void **state) {
    struct test_random random = test_random_of(11);
    struct memory_file file;
    struct plinth_error error = {0};
    uint32_t refused = 0, rounds = 0;
    (void)state;
    write_sample(&file, 40, false);
    for (size_t i = 0; i < file.bytes.size; i++, rounds++) {
        uint8_t before = file.bytes.data[i];
        file.bytes.data[i] ^= (uint8_t)(1 + test_random_below(&random, 255));
        enum plinth_status st = read_file(memory_file_source(&file, i & 1), 1 << 20, &error);
        assert_true(st == PLINTH_OK || st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED || st == PLINTH_OUT_OF_MEMORY);
        refused += st != PLINTH_OK;
        file.bytes.data[i] = before;
    }
    assert_true(refused > rounds / 4);
    memory_file_deinit(&file);
}

/* Levels, too: what is read makes lists or is refused. */
static void a_file_of_lists_with_any_byte_changed_gives_lists_or_a_status(void **state) {
    static const struct sample_lists_plan plan = {.rows = 24,
                                                  .null_list_one_in = 5,
                                                  .null_element_one_in = 4,
                                                  .empty_one_in = 4,
                                                  .length_max = 4,
                                                  .long_row = UINT64_MAX,
                                                  .seed = 9};
    struct sample_lists table;
    struct parquet_column_buffer levels[SAMPLE_LISTS_COLUMNS] = {0};
    struct parquet_column_data batch[SAMPLE_LISTS_COLUMNS], data;
    struct parquet_list_buffer lists = {0};
    struct test_random random = test_random_of(12);
    struct memory_file file;
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    uint32_t refused = 0;
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct parquet_writer_options options = {.stripe_rows = 9, .no_checksums = true, .data_page_version = version};
        sample_lists_init(&table, &plan);
        memory_file_init(&file);
        sample_lists_batch(&table, 0, plan.rows, levels, batch);
        assert_ok(parquet_writer_create(&file.sink, table.nodes, 1 + 3 * 8, NULL, &options, &writer, &error), &error);
        assert_ok(parquet_writer_write(writer, batch, plan.rows, &error), &error);
        assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
        parquet_writer_destroy(writer);
        for (size_t i = 4; i < file.bytes.size; i++) {
            struct parquet_reader *reader;
            struct parquet_scan *scan;
            uint8_t before = file.bytes.data[i];
            file.bytes.data[i] ^= (uint8_t)(1 + test_random_below(&random, 255));
            enum plinth_status st = parquet_reader_open(memory_file_source(&file, i & 1), NULL, &reader, &error);
            for (uint32_t c = 0; !st && c < parquet_reader_metadata(reader)->schema.column_count; c++) {
                const struct parquet_column *column = &parquet_reader_metadata(reader)->schema.columns[c];
                uint64_t rows = 1;
                if (parquet_reader_metadata(reader)->row_group_count == 0) break;
                st = parquet_scan_create(reader, 0, &c, 1, &scan, &error);
                while (!st && rows > 0) {
                    st = parquet_scan_next(scan, 0, &data, &rows, &error);
                    if (st || rows == 0 || parquet_column_is_flat(column)) continue;
                    st = parquet_list_from_levels(column, &data, &lists, &error);
                    if (!st) assert_int_equal(lists.data.rows, rows);
                }
                parquet_scan_destroy(scan);
            }
            assert_true(st == PLINTH_OK || st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED ||
                        st == PLINTH_OUT_OF_MEMORY);
            refused += st != PLINTH_OK;
            parquet_reader_close(reader);
            file.bytes.data[i] = before;
        }
        memory_file_deinit(&file);
        sample_lists_deinit(&table);
    }
    assert_true(refused > 300);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) parquet_column_buffer_deinit(&levels[c]);
    parquet_list_buffer_deinit(&lists);
}

static void a_changed_page_is_found_by_its_checksum_and_named(void **state) {
    struct memory_file file;
    struct parquet_reader *reader;
    struct parquet_page_index index;
    struct plinth_error error = {0};
    char offset[32];
    (void)state;
    write_sample(&file, 100, true);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    assert_ok(parquet_reader_page_index(reader, 0, SAMPLE_UUID, &index, &error), &error);
    file.bytes.data[index.locations[2].offset + index.locations[2].bytes - 1] ^= 1;
    snprintf(offset, sizeof offset, "%llu", (unsigned long long)index.locations[2].offset);
    assert_status(scan_column(reader, 0, SAMPLE_UUID, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "checksum");
    assert_error_names(&error, "uuid");
    assert_error_names(&error, offset);
    assert_ok(scan_column(reader, 0, SAMPLE_KEY, &error), &error);
    parquet_page_index_deinit(&index);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

/* A page of a few bytes that says it has two thousand million nulls. */
static void a_small_page_of_many_rows_meets_the_memory_limit(void **state) {
    struct parquet_page_header header = {
        .type = PARQUET_PAGE_DATA_V2, .value_count = 2000000000, .row_count = 2000000000, .definition_bytes = 6};
    struct memory_file file;
    struct parquet_reader *reader;
    struct buffer page = BUFFER_INIT;
    struct plinth_error error = {0};
    struct parquet_node node = {.name = "n", .type = PARQUET_TYPE_INT64, .repetition = PARQUET_OPTIONAL};
    struct parquet_writer *writer;
    (void)state;
    /* An honest file of one null, whose page and counts are then replaced. */
    memory_file_init(&file);
    static const uint8_t invalid[1] = {0};
    static const int64_t zero = 0;
    struct parquet_column_data data = {.rows = 1, .validity = invalid, .values = &zero};
    assert_ok(parquet_writer_create(&file.sink, &node, 1, NULL, NULL, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, &data, 1, &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    struct arena arena;
    struct parquet_metadata metadata;
    uint32_t footer_bytes = load_u32(file.bytes.data + file.bytes.size - 8);
    arena_init(&arena);
    assert_ok(metadata_decode(slice_of(file.bytes.data + file.bytes.size - 8 - footer_bytes, footer_bytes),
                              (struct bounded_arena){&arena, UINT64_MAX}, &metadata, &error),
              &error);
    assert_true(buffer_append(&page, "PAR1", 4));
    size_t begin = page.size;
    header.uncompressed_bytes = header.compressed_bytes = header.definition_bytes;
    assert_true(page_header_encode(&header, &page) &&
                buffer_append(&page, "\x80\xd0\xac\xf3\x0e\x00", header.definition_bytes));
    struct parquet_column_chunk *chunk = &metadata.row_groups[0].columns[0];
    metadata.row_count = metadata.row_groups[0].row_count = chunk->value_count = header.value_count;
    chunk->data_page_offset = begin;
    chunk->compressed_bytes = page.size - begin;
    chunk->offset_index_offset = chunk->column_index_offset = 0;
    size_t footer = page.size;
    assert_true(metadata_encode(&metadata, &page) && buffer_append_u32(&page, (uint32_t)(page.size - footer)) &&
                buffer_append(&page, "PAR1", 4));
    struct parquet_source source = {.size = page.size, .mapped = page.data};
    struct parquet_reader_options options = {.memory_bytes_max = 16 << 20};
    assert_ok(parquet_reader_open(&source, &options, &reader, &error), &error);
    assert_status(scan_column(reader, 0, 0, &error), PLINTH_OUT_OF_MEMORY, &error);
    assert_error_names(&error, "limit");
    parquet_reader_close(reader);
    arena_deinit(&arena);
    buffer_deinit(&page);
    memory_file_deinit(&file);
}

static enum plinth_status decode_footer(const void *bytes, size_t size, uint64_t memory_bytes_max,
                                        struct plinth_error *error) {
    struct arena arena;
    struct parquet_metadata metadata;
    arena_init(&arena);
    enum plinth_status st =
        metadata_decode(slice_of(bytes, size), (struct bounded_arena){&arena, memory_bytes_max}, &metadata, error);
    assert_true(arena.used_bytes <= memory_bytes_max + (1 << 20) + 4096);
    arena_deinit(&arena);
    return st;
}

static void a_footer_that_claims_much_meets_the_memory_limit(void **state) {
    enum { ELEMENTS = 1 << 20 };
    struct buffer footer = BUFFER_INIT;
    struct plinth_error error = {0};
    (void)state;
    /* 2: schema, a list of 2^20 structs, all empty: 1 MiB of bytes, 100 MiB of structs */
    assert_true(buffer_append(&footer, "\x29\xfc", 2) && buffer_append_varint(&footer, ELEMENTS) &&
                buffer_append_zeros(&footer, ELEMENTS + 1));
    assert_status(decode_footer(footer.data, footer.size, 8 << 20, &error), PLINTH_OUT_OF_MEMORY, &error);
    buffer_deinit(&footer);
    /* a list of more elements than there are bytes */
    assert_status(decode_footer("\x29\xfc\xff\xff\xff\xff\x0f\x00", 8, 8 << 20, &error), PLINTH_CORRUPT, &error);
}

static void thrift_that_is_nested_deep_is_refused(void **state) {
    enum { DEPTH = 100000 };
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error = {0};
    (void)state;
    for (int kind = 0; kind < 3; kind++) { /* structs, lists of lists, maps of maps, in an unknown field */
        static const char *const heads[] = {"\x0c\x7e", "\x09\x7e", "\x0b\x7e"};
        static const char *const levels[] = {"\x1c", "\x19", "\x01\xbb"};
        buffer_clear(&bytes);
        assert_true(buffer_append(&bytes, heads[kind], 2));
        for (int i = 0; i < DEPTH; i++) assert_true(buffer_append(&bytes, levels[kind], kind == 2 ? 2 : 1));
        assert_status(decode_footer(bytes.data, bytes.size, 1 << 20, &error), PLINTH_CORRUPT, &error);
    }
    assert_error_names(&error, "deep");
    buffer_deinit(&bytes);
}

static void thrift_fields_of_a_wrong_type_or_beyond_the_end_are_refused(void **state) {
    struct plinth_error error = {0};
    (void)state;
    assert_status(decode_footer("", 0, 1 << 20, &error), PLINTH_CORRUPT, &error);
    assert_status(decode_footer("\x18\x01x\x00", 4, 1 << 20, &error), PLINTH_CORRUPT, &error); /* version: a string */
    assert_error_names(&error, "integer");
    assert_status(decode_footer("\x15\x02\x00", 3, 1 << 20, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "schema");
    assert_status(decode_footer("\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 13, 1 << 20, &error),
                  PLINTH_CORRUPT, &error);
    assert_status(decode_footer("\x1d\x00", 2, 1 << 20, &error), PLINTH_CORRUPT, &error); /* a UUID, cut */
    assert_status(decode_footer("\x1e\x00", 2, 1 << 20, &error), PLINTH_CORRUPT, &error); /* no such type */
}

/* The sizes are those of the pages of the list before them, of which there may be fewer. */
static void a_second_list_of_pages_forgets_the_sizes_of_the_first(void **state) {
    static const uint8_t page[] = {0x16, 0x08, 0x15, 0x14, 0x16, 0x00, 0x00}; /* offset 4, 10 bytes, row 0 */
    static const uint8_t first[] = {0x19, 0x1c}, sizes[] = {0x19, 0x16, 0x02}, second[] = {0x09, 0x02, 0x2c};
    struct parquet_page_index index = {0};
    struct plinth_error error = {0};
    struct buffer bytes = BUFFER_INIT;
    (void)state;
    arena_init(&index.arena);
    struct bounded_arena memory = {&index.arena, 1 << 20};
    assert_true(buffer_append(&bytes, first, sizeof first) && buffer_append(&bytes, page, sizeof page) &&
                buffer_append(&bytes, sizes, sizeof sizes) && buffer_append_zeros(&bytes, 1));
    assert_ok(offset_index_decode(buffer_slice(&bytes), memory, &index, &error), &error);
    assert_int_equal(index.page_count, 1);
    assert_int_equal(index.unencoded_bytes[0], 1);
    bytes.size--;
    assert_true(buffer_append(&bytes, second, sizeof second) && buffer_append(&bytes, page, sizeof page) &&
                buffer_append(&bytes, page, sizeof page) && buffer_append_zeros(&bytes, 1));
    assert_ok(offset_index_decode(buffer_slice(&bytes), memory, &index, &error), &error);
    assert_int_equal(index.page_count, 2);
    assert_null(index.unencoded_bytes);
    parquet_page_index_deinit(&index);
    buffer_deinit(&bytes);
}

static uint64_t count_found(struct parquet_source *source, uint64_t rows) {
    static const uint8_t least[8] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    struct row_bounds bounds;
    struct parquet_reader *reader;
    struct parquet_scratch *scratch;
    struct plinth_error error = {0};
    struct buffer ranges = BUFFER_INIT;
    struct slice min = slice_of(least, sizeof least);
    uint64_t found = 0;
    assert_ok(parquet_reader_open(source, NULL, &reader, &error), &error);
    assert_ok(parquet_scratch_create(&scratch, &error), &error);
    const struct parquet_schema *schema = &parquet_reader_metadata(reader)->schema;
    assert_ok(row_bounds_init(&bounds, schema, schema->columns[SAMPLE_INT64].path, &min, NULL, &error), &error);
    assert_true(row_ranges_add(&ranges, 0, rows));
    assert_ok(row_selection_find(reader, 0, &bounds, 1, scratch, &ranges, &error), &error);
    for (size_t i = 0; i < row_ranges_count(&ranges); i++)
        found += row_range_at(&ranges, i)->end - row_range_at(&ranges, i)->begin;
    buffer_deinit(&ranges);
    parquet_scratch_destroy(scratch);
    parquet_reader_close(reader);
    return found;
}

/* As parquet-mr has written it of a REQUIRED column. */
static void values_are_found_in_pages_that_are_wrongly_said_to_hold_only_nulls(void **state) {
    enum { ROWS = 48, PAGES = 3 };
    (void)state;
    for (uint32_t null_one_in = 0; null_one_in <= 4; null_one_in += 4) {
        struct memory_file file;
        struct parquet_reader *reader;
        struct plinth_error error = {0};
        write_nulls(&file, ROWS, null_one_in, false);
        uint64_t wanted = count_found(memory_file_source(&file, true), ROWS);
        assert_true(null_one_in ? wanted > 0 && wanted < ROWS : wanted == ROWS);
        assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
        uint64_t at = parquet_reader_metadata(reader)->row_groups[0].columns[SAMPLE_INT64].column_index_offset;
        parquet_reader_close(reader);
        assert_int_equal(file.bytes.data[at], 0x19); /* the list of null pages */
        assert_int_equal(file.bytes.data[at + 1] >> 4, PAGES);
        memset(file.bytes.data + at + 2, THRIFT_TRUE, PAGES);
        assert_int_equal(count_found(memory_file_source(&file, true), ROWS), wanted);
        memory_file_deinit(&file);
    }
}

static void encrypted_footers_are_unsupported_and_other_files_are_not_parquet(void **state) {
    static const char encrypted[] = "PAR1............\x04\x00\x00\x00PARE";
    static const char other[] = "PK\x03\x04 this is some other file entirely";
    struct plinth_error error = {0};
    struct parquet_source source = {.size = sizeof encrypted - 1, .mapped = (const uint8_t *)encrypted};
    (void)state;
    assert_status(read_file(&source, 0, &error), PLINTH_UNSUPPORTED, &error);
    source = (struct parquet_source){.size = sizeof other, .mapped = (const uint8_t *)other};
    assert_status(read_file(&source, 0, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "not a Parquet file");
}

static void schemas_come_back_with_their_logical_types_and_trees(void **state) {
    static const struct parquet_node nodes[] = {
        {.name = "id", .type = PARQUET_TYPE_INT64, .has_field_id = true, .field_id = 1},
        {.name = "time",
         .type = PARQUET_TYPE_INT64,
         .repetition = PARQUET_OPTIONAL,
         .logical = {.kind = PARQUET_LOGICAL_TIME, .unit = PARQUET_TIME_NANOS, .is_utc = true}},
        {.name = "tags",
         .is_group = true,
         .child_count = 1,
         .repetition = PARQUET_OPTIONAL,
         .logical = {.kind = PARQUET_LOGICAL_LIST}},
        {.name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED},
        {.name = "element",
         .type = PARQUET_TYPE_BYTE_ARRAY,
         .repetition = PARQUET_OPTIONAL,
         .logical = {.kind = PARQUET_LOGICAL_STRING}},
        {.name = "half", .type = PARQUET_TYPE_FIXED, .type_length = 2, .logical = {.kind = PARQUET_LOGICAL_FLOAT16}},
    };
    enum { NODES = sizeof nodes / sizeof nodes[0] };
    struct parquet_metadata metadata = {.version = 2}, decoded;
    struct arena arena;
    struct buffer out = BUFFER_INIT;
    struct plinth_error error = {0};
    (void)state;
    arena_init(&arena);
    assert_ok(parquet_schema_init(&metadata.schema, &arena, "root", nodes, NODES, &error), &error);
    assert_true(metadata_encode(&metadata, &out));
    assert_ok(metadata_decode(buffer_slice(&out), (struct bounded_arena){&arena, 1 << 20}, &decoded, &error), &error);
    assert_int_equal(decoded.schema.node_count, NODES);
    assert_int_equal(decoded.schema.column_count, 4);
    assert_string_equal(decoded.schema.root_name, "root");
    const struct parquet_column *element = &decoded.schema.columns[2];
    assert_string_equal(element->path, "tags.list.element");
    assert_int_equal(element->definition_level_max, 3);
    assert_int_equal(element->repetition_level_max, 1);
    assert_int_equal(parquet_schema_find(&decoded.schema, "tags.list.element"), 2);
    assert_int_equal(parquet_schema_find(&decoded.schema, "tags"), -1);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(decoded.schema.nodes[i].logical.kind, nodes[i].logical.kind);
        assert_int_equal(decoded.schema.nodes[i].logical.unit, nodes[i].logical.unit);
        assert_int_equal(decoded.schema.nodes[i].logical.is_utc, nodes[i].logical.is_utc);
        assert_int_equal(decoded.schema.nodes[i].field_id, nodes[i].field_id);
    }
    arena_deinit(&arena);
    buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_file_with_any_byte_changed_gives_rows_or_a_status),
        cmocka_unit_test(a_file_of_lists_with_any_byte_changed_gives_lists_or_a_status),
        cmocka_unit_test(a_changed_page_is_found_by_its_checksum_and_named),
        cmocka_unit_test(a_small_page_of_many_rows_meets_the_memory_limit),
        cmocka_unit_test(a_footer_that_claims_much_meets_the_memory_limit),
        cmocka_unit_test(thrift_that_is_nested_deep_is_refused),
        cmocka_unit_test(thrift_fields_of_a_wrong_type_or_beyond_the_end_are_refused),
        cmocka_unit_test(a_second_list_of_pages_forgets_the_sizes_of_the_first),
        cmocka_unit_test(values_are_found_in_pages_that_are_wrongly_said_to_hold_only_nulls),
        cmocka_unit_test(encrypted_footers_are_unsupported_and_other_files_are_not_parquet),
        cmocka_unit_test(schemas_come_back_with_their_logical_types_and_trees),
    };
    return cmocka_run_group_tests_name("parquet_hostile", tests, NULL, NULL);
}
