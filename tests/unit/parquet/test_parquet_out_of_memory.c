/* Every allocation of the library fails once: each time the call says so, nothing leaks (AddressSanitizer's build sees
 * that) and what was written before is not used. The linker replaces the allocator's names in the library. */
#include <stdlib.h>

#include "memory_file.h"
#include "parquet/bloom.h"
#include "parquet/list_levels.h"
#include "sample_table.h"
#include "support/test_support.h"

/* How many more allocations succeed; the one after that fails. Negative: all succeed. */
static int64_t allocations_left = -1;

static bool may_allocate(void) {
    if (allocations_left < 0) return true;
    return allocations_left-- > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) { return may_allocate() ? __real_malloc(size) : NULL; }
void *__wrap_calloc(size_t count, size_t size) { return may_allocate() ? __real_calloc(count, size) : NULL; }
void *__wrap_realloc(void *memory, size_t size) { return may_allocate() ? __real_realloc(memory, size) : NULL; }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

static enum plinth_status write_all(const struct sample_table *table, struct memory_file *file,
                                    struct plinth_error *error) {
    struct parquet_column_options columns[SAMPLE_COLUMNS];
    struct parquet_writer_options options = {.stripe_rows = 50, .row_group_rows = 120};
    struct parquet_writer *writer;
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        columns[c] = parquet_column_options_default();
        columns[c].codec = c % 2 ? PARQUET_CODEC_LZ4_RAW : PARQUET_CODEC_UNCOMPRESSED;
        columns[c].dictionary = c == SAMPLE_STRING || c == SAMPLE_INT32;
        columns[c].bloom = c == SAMPLE_KEY || c == SAMPLE_INT64;
    }
    columns[SAMPLE_KEY].encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
    columns[SAMPLE_INT64].encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
    columns[SAMPLE_INT64].bloom_distinct = 100;
    columns[SAMPLE_UUID].encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
    enum plinth_status st =
        parquet_writer_create(&file->sink, table->nodes, SAMPLE_COLUMNS, columns, &options, &writer, error);
    if (!st) st = parquet_writer_write(writer, table->data, 100, error);
    if (!st) st = parquet_writer_end_stripe(writer, error);
    if (!st) st = parquet_writer_write(writer, table->data, table->rows, error);
    if (!st) st = parquet_writer_add_key_value(writer, "key", slice_of_string("value"), error);
    if (!st) st = parquet_writer_finish(writer, NULL, error);
    parquet_writer_destroy(writer);
    return st;
}

static enum plinth_status scan_all(const struct parquet_reader *reader, uint32_t group, struct plinth_error *error) {
    struct parquet_scan *scan;
    struct parquet_column_data data[SAMPLE_COLUMNS];
    uint32_t columns[SAMPLE_COLUMNS];
    uint64_t rows = 1;
    for (uint32_t c = 0; c < SAMPLE_COLUMNS; c++) columns[c] = c;
    enum plinth_status st = parquet_scan_create(reader, group, columns, SAMPLE_COLUMNS, &scan, error);
    while (!st && rows > 0) st = parquet_scan_next(scan, 33, data, &rows, error);
    parquet_scan_destroy(scan);
    return st;
}

static enum plinth_status read_pages(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                                     struct plinth_error *error) {
    struct parquet_page_index index;
    struct parquet_column_buffer page = {0};
    struct parquet_bloom bloom;
    struct parquet_scratch *scratch;
    enum plinth_status st = parquet_scratch_create(&scratch, error);
    if (st) return st;
    st = parquet_reader_page_index(reader, group, column, &index, error);
    for (uint32_t p = 0; !st && p < index.page_count; p++)
        st = parquet_reader_read_page(reader, group, column, &index, p, NULL, scratch, &page, error);
    if (!st && parquet_reader_metadata(reader)->row_groups[group].columns[column].bloom_offset) {
        st = parquet_reader_bloom(reader, group, column, &bloom, error);
        parquet_bloom_deinit(&bloom);
    }
    parquet_page_index_deinit(&index);
    parquet_column_buffer_deinit(&page);
    parquet_scratch_destroy(scratch);
    return st;
}

static enum plinth_status read_all(struct memory_file *file, struct plinth_error *error) {
    struct parquet_reader *reader;
    enum plinth_status st = parquet_reader_open(memory_file_source(file, false), NULL, &reader, error);
    if (st) return st;
    for (uint32_t g = 0; !st && g < parquet_reader_metadata(reader)->row_group_count; g++) {
        st = scan_all(reader, g, error);
        for (uint32_t c = 0; !st && c < SAMPLE_COLUMNS; c++) st = read_pages(reader, g, c, error);
    }
    parquet_reader_close(reader);
    return st;
}

static void every_failed_allocation_of_the_writer_is_a_status(void **state) {
    struct sample_table table;
    struct memory_file file;
    struct plinth_error error = {0};
    enum plinth_status st = PLINTH_OUT_OF_MEMORY;
    int64_t n = 0;
    (void)state;
    sample_table_init(&table, 300, 4, 1);
    for (; st; n++) {
        memory_file_init(&file);
        assert_true(buffer_reserve(&file.bytes, 1 << 20)); /* the sink itself never fails */
        allocations_left = n;
        st = write_all(&table, &file, &error);
        allocations_left = -1;
        if (st) assert_status(st, PLINTH_OUT_OF_MEMORY, &error);
        memory_file_deinit(&file);
    }
    assert_true(n > 200);
    sample_table_deinit(&table);
}

static void every_failed_allocation_of_the_reader_is_a_status(void **state) {
    struct sample_table table;
    struct memory_file file;
    struct plinth_error error = {0};
    enum plinth_status st = PLINTH_OUT_OF_MEMORY;
    int64_t n = 0;
    (void)state;
    sample_table_init(&table, 300, 4, 1);
    memory_file_init(&file);
    assert_ok(write_all(&table, &file, &error), &error);
    for (; st; n++) {
        allocations_left = n;
        st = read_all(&file, &error);
        allocations_left = -1;
        if (st) assert_status(st, PLINTH_OUT_OF_MEMORY, &error);
    }
    assert_true(n > 200);
    memory_file_deinit(&file);
    sample_table_deinit(&table);
}

/* Lists of strings to levels, written, read and back to lists; with an empty list, so that values move. */
static enum plinth_status write_and_read_lists(struct memory_file *file, struct plinth_error *error) {
    static const struct parquet_node nodes[] = {
        {.name = "l",
         .is_group = true,
         .child_count = 1,
         .repetition = PARQUET_OPTIONAL,
         .logical = {.kind = PARQUET_LOGICAL_LIST}},
        {.name = "list", .is_group = true, .child_count = 1, .repetition = PARQUET_REPEATED},
        {.name = "element", .type = PARQUET_TYPE_BYTE_ARRAY, .repetition = PARQUET_OPTIONAL}};
    static const uint32_t offsets[] = {0, 2, 2, 2, 4}, string_offsets[] = {0, 1, 3, 3, 6};
    static const uint8_t validity[] = {0x0b}, element_validity[] = {0x0b};
    const struct parquet_list_data list = {.rows = 4,
                                           .validity = validity,
                                           .offsets = offsets,
                                           .elements = {.rows = 4,
                                                        .slots = 4,
                                                        .validity = element_validity,
                                                        .offsets = string_offsets,
                                                        .bytes = (const uint8_t *)"abbccc"}};
    struct parquet_writer_options options = {.stripe_rows = 3};
    struct parquet_column_buffer levels = {0};
    struct parquet_list_buffer back = {0};
    struct parquet_column_data data;
    struct parquet_writer *writer = NULL;
    struct parquet_reader *reader = NULL;
    struct parquet_scan *scan = NULL;
    struct arena arena;
    struct parquet_schema schema;
    uint32_t column = 0;
    uint64_t rows = 1, elements = 0;
    arena_init(&arena);
    enum plinth_status st = parquet_schema_init(&schema, &arena, "schema", nodes, 3, error);
    if (!st) st = parquet_writer_create(&file->sink, nodes, 3, NULL, &options, &writer, error);
    if (!st) st = parquet_list_to_levels(&schema.columns[0], &list, &levels, error);
    if (!st) st = parquet_writer_write(writer, &levels.data, 4, error);
    if (!st) st = parquet_writer_finish(writer, NULL, error);
    if (!st) st = parquet_reader_open(memory_file_source(file, false), NULL, &reader, error);
    if (!st) st = parquet_scan_create(reader, 0, &column, 1, &scan, error);
    while (!st && rows > 0) {
        st = parquet_scan_next(scan, 0, &data, &rows, error);
        if (!st && rows > 0) st = parquet_list_from_levels(&schema.columns[0], &data, &back, error);
        if (!st && rows > 0) elements += back.data.elements.rows;
    }
    if (!st) assert_int_equal(elements, 4);
    parquet_scan_destroy(scan);
    parquet_reader_close(reader);
    parquet_writer_destroy(writer);
    parquet_list_buffer_deinit(&back);
    parquet_column_buffer_deinit(&levels);
    arena_deinit(&arena);
    return st;
}

static void every_failed_allocation_with_lists_is_a_status(void **state) {
    struct plinth_error error = {0};
    enum plinth_status st = PLINTH_OUT_OF_MEMORY;
    int64_t n = 0;
    (void)state;
    for (; st; n++) {
        struct memory_file file;
        memory_file_init(&file);
        assert_true(buffer_reserve(&file.bytes, 1 << 16));
        allocations_left = n;
        st = write_and_read_lists(&file, &error);
        allocations_left = -1;
        if (st) assert_status(st, PLINTH_OUT_OF_MEMORY, &error);
        memory_file_deinit(&file);
    }
    assert_true(n > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_of_the_writer_is_a_status),
        cmocka_unit_test(every_failed_allocation_of_the_reader_is_a_status),
        cmocka_unit_test(every_failed_allocation_with_lists_is_a_status),
    };
    return cmocka_run_group_tests_name("parquet_out_of_memory", tests, NULL, NULL);
}
