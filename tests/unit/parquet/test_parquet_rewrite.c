/* parquet_rewrite: the rows, the schema and the metadata of a file come over, in whatever layout, sorted in memory or
 * by runs, of which nothing is left. */
#include <dirent.h>
#include <stdlib.h>

#include "base/env.h"
#include "memory_file.h"
#include "parquet/list_levels.h"
#include "parquet/rewrite.h"
#include "parquet/verify.h"
#include "sample_lists.h"
#include "sample_table.h"
#include "support/test_support.h"

enum { ROWS = 3000 };

/* How many more allocations succeed; the one after that fails. Negative: all succeed. */
static int64_t allocations_left = -1;
static bool has_failed;

static bool may_allocate(void) {
    if (allocations_left < 0) return true;
    has_failed |= allocations_left == 0;
    return allocations_left-- != 0;
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

struct fixture {
    char directory[TEST_PATH_MAX];
    char scratch[TEST_PATH_MAX + 16];
    struct memory_file flat, lists, sorted; /* inputs; `sorted` says that it is */
};

static void write_file(struct memory_file *file, const struct parquet_node *nodes, uint32_t node_count,
                       const struct parquet_column_data *data, uint64_t rows, const struct parquet_sorting_column *by) {
    const struct parquet_writer_options options = {
        .stripe_rows = 70, .row_group_rows = 1100, .root_name = "sample", .sorting = by, .sorting_count = by ? 1 : 0};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    memory_file_init(file);
    assert_ok(parquet_writer_create(&file->sink, nodes, node_count, NULL, &options, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, data, rows, &error), &error);
    assert_ok(parquet_writer_add_key_value(writer, "kept", slice_of("a\0b", 3), &error), &error);
    assert_ok(parquet_writer_add_key_value(writer, "changed", slice_of_string("before"), &error), &error);
    assert_ok(parquet_writer_add_key_value(writer, "place.of.x", slice_of_string("17"), &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
}

static void write_lists(struct memory_file *file) {
    const struct sample_lists_plan plan = {.rows = 400,
                                           .null_list_one_in = 5,
                                           .null_element_one_in = 4,
                                           .empty_one_in = 6,
                                           .length_max = 5,
                                           .long_row = 100,
                                           .seed = 4};
    struct sample_lists table;
    struct parquet_column_buffer levels[SAMPLE_LISTS_COLUMNS] = {0};
    struct parquet_column_data data[SAMPLE_LISTS_COLUMNS];
    sample_lists_init(&table, &plan);
    sample_lists_batch(&table, 0, plan.rows, levels, data);
    write_file(file, table.nodes, SAMPLE_LISTS_NODES, data, plan.rows, NULL);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) parquet_column_buffer_deinit(&levels[c]);
    sample_lists_deinit(&table);
}

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sample_table table;
    const struct parquet_sorting_column by = {.column = SAMPLE_DATE, .is_descending = true};
    test_directory_create(fixture->directory);
    snprintf(fixture->scratch, sizeof fixture->scratch, "%s/run", fixture->directory);
    sample_table_init(&table, ROWS, 5, 9);
    write_file(&fixture->flat, table.nodes, SAMPLE_COLUMNS, table.data, ROWS, NULL);
    write_file(&fixture->sorted, table.nodes, SAMPLE_COLUMNS, table.data, ROWS, &by);
    sample_table_deinit(&table);
    write_lists(&fixture->lists);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    memory_file_deinit(&fixture->flat);
    memory_file_deinit(&fixture->lists);
    memory_file_deinit(&fixture->sorted);
    test_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

/* ---- Rewriting ---- */

static enum plinth_status append_output(void *context, const void *bytes, size_t size, struct plinth_error *error) {
    return memory_file_write(&((struct memory_file *)context)->sink, slice_of(bytes, size), error);
}

static enum plinth_status rewrite(struct memory_file *input, struct memory_file *output,
                                  const struct parquet_rewrite_options *options, struct parquet_rewrite_counts *counts,
                                  struct plinth_error *error) {
    struct parquet_reader *reader;
    memory_file_init(output);
    assert_ok(parquet_reader_open(memory_file_source(input, true), NULL, &reader, error), error);
    enum plinth_status st = parquet_rewrite(reader, append_output, output, options, counts, error);
    parquet_reader_close(reader);
    return st;
}

static struct parquet_rewrite_options default_options(const struct fixture *fixture) {
    struct parquet_rewrite_options options = {.write = plinth_parquet_write_options_default(),
                                              .scratch_path = fixture->scratch};
    options.write.page_rows = 50;
    return options;
}

/* All rows of a file, each column in one piece: the file is rewritten to one with a single page a column. */
struct rows {
    struct memory_file file;
    struct parquet_reader *reader;
    struct parquet_scan *scan;
    struct parquet_column_data data[SAMPLE_LISTS_COLUMNS];
    uint64_t count;
};

static void rows_init(struct rows *rows, struct memory_file *input, const struct fixture *fixture) {
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct plinth_error error = {0};
    uint32_t columns[SAMPLE_LISTS_COLUMNS];
    options.write.page_rows = 1 << 20;
    assert_ok(rewrite(input, &rows->file, &options, &counts, &error), &error);
    assert_ok(parquet_reader_open(memory_file_source(&rows->file, true), NULL, &rows->reader, &error), &error);
    const struct parquet_metadata *metadata = parquet_reader_metadata(rows->reader);
    assert_int_equal(metadata->row_group_count, 1);
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) columns[i] = i;
    assert_ok(parquet_scan_create(rows->reader, 0, columns, metadata->schema.column_count, &rows->scan, &error),
              &error);
    assert_ok(parquet_scan_next(rows->scan, 0, rows->data, &rows->count, &error), &error);
    assert_int_equal(rows->count, metadata->row_count);
}

static void rows_deinit(struct rows *rows) {
    parquet_scan_destroy(rows->scan);
    parquet_reader_close(rows->reader);
    memory_file_deinit(&rows->file);
}

static void assert_sound(struct memory_file *file) {
    struct parquet_reader *reader;
    struct parquet_verify_counts counts;
    struct plinth_error error = {0};
    assert_ok(parquet_reader_open(memory_file_source(file, false), NULL, &reader, &error), &error);
    assert_ok(parquet_verify(reader, NULL, &counts, &error), &error);
    assert_int_equal(counts.findings, 0);
    parquet_reader_close(reader);
}

static void assert_nothing_is_left(const struct fixture *fixture) {
    DIR *directory = opendir(fixture->directory);
    const struct dirent *entry;
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.') fail_msg("%s was left behind", entry->d_name);
    closedir(directory);
}

/* ---- Layouts ---- */

static void every_layout_has_the_same_rows(void **state) {
    struct fixture *fixture = *state;
    struct rows before, after;
    struct parquet_rewrite_counts counts;
    struct plinth_error error = {0};
    rows_init(&before, &fixture->flat, fixture);
    static const enum plinth_parquet_codec codecs[] = {PLINTH_PARQUET_UNCOMPRESSED, PLINTH_PARQUET_SNAPPY,
                                                       PLINTH_PARQUET_LZ4_RAW};
    for (int i = 0; i < 3; i++) {
        struct parquet_rewrite_options options = default_options(fixture);
        struct memory_file output;
        options.write.codec = codecs[i];
        options.write.data_page_version = 1 + i % 2;
        options.write.row_group_rows = i == 2 ? 700 : 0;
        options.write.no_dictionary = i == 1;
        options.keeps_row_groups = i == 1;
        assert_ok(rewrite(&fixture->flat, &output, &options, &counts, &error), &error);
        assert_int_equal(counts.rows, ROWS);
        assert_int_equal(counts.bytes, output.bytes.size);
        assert_sound(&output);
        rows_init(&after, &output, fixture);
        const struct parquet_schema *schema = &parquet_reader_metadata(after.reader)->schema;
        for (uint32_t c = 0; c < SAMPLE_COLUMNS; c++)
            for (uint64_t row = 0; row < ROWS; row++)
                assert_true(sample_equal(&schema->nodes[c], &before.data[c], row, &after.data[c], row));
        rows_deinit(&after);
        memory_file_deinit(&output);
    }
    rows_deinit(&before);
}

static void row_groups_and_their_order_are_kept_or_made_anew(void **state) {
    struct fixture *fixture = *state;
    struct parquet_rewrite_counts counts;
    struct plinth_error error = {0};
    for (int keeps = 0; keeps < 2; keeps++) {
        struct parquet_rewrite_options options = default_options(fixture);
        struct memory_file output;
        struct parquet_reader *reader;
        options.keeps_row_groups = keeps;
        assert_ok(rewrite(&fixture->sorted, &output, &options, &counts, &error), &error);
        assert_ok(parquet_reader_open(memory_file_source(&output, true), NULL, &reader, &error), &error);
        const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
        assert_int_equal(metadata->row_group_count, keeps ? 3 : 1);
        assert_int_equal(metadata->row_groups[0].row_count, keeps ? 1100 : ROWS);
        assert_int_equal(metadata->row_groups[0].sorting_count, keeps ? 1 : 0);
        if (keeps) assert_int_equal(metadata->row_groups[2].sorting[0].column, SAMPLE_DATE);
        if (keeps) assert_true(metadata->row_groups[2].sorting[0].is_descending);
        parquet_reader_close(reader);
        memory_file_deinit(&output);
    }
}

static void schema_and_metadata_come_over(void **state) {
    struct fixture *fixture = *state;
    static const char *const dropped[] = {"place.", NULL};
    const struct parquet_key_value added[] = {{slice_of_string("changed"), slice_of_string("after"), true},
                                              {slice_of_string("new"), slice_of_string("1"), true}};
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct memory_file output;
    struct parquet_reader *reader, *old;
    struct plinth_error error = {0};
    struct slice value;
    options.key_values = added;
    options.key_value_count = 2;
    options.dropped_keys = dropped;
    assert_ok(rewrite(&fixture->lists, &output, &options, &counts, &error), &error);
    assert_ok(parquet_reader_open(memory_file_source(&output, true), NULL, &reader, &error), &error);
    assert_ok(parquet_reader_open(memory_file_source(&fixture->lists, true), NULL, &old, &error), &error);
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader), *before = parquet_reader_metadata(old);
    assert_string_equal(metadata->schema.root_name, "sample");
    assert_int_equal(metadata->schema.node_count, before->schema.node_count);
    for (uint32_t i = 0; i < metadata->schema.node_count; i++) {
        const struct parquet_node *a = &metadata->schema.nodes[i], *b = &before->schema.nodes[i];
        assert_string_equal(a->name, b->name);
        assert_true(a->repetition == b->repetition && a->type == b->type && a->logical.kind == b->logical.kind &&
                    a->has_field_id == b->has_field_id && a->field_id == b->field_id);
    }
    assert_int_equal(metadata->key_value_count, 3);
    assert_true(parquet_metadata_find(metadata, "kept", &value) && slice_equal(value, slice_of("a\0b", 3)));
    assert_true(parquet_metadata_find(metadata, "changed", &value) && slice_equal(value, slice_of_string("after")));
    assert_true(parquet_metadata_find(metadata, "new", &value));
    parquet_reader_close(reader);
    parquet_reader_close(old);
    assert_sound(&output);
    memory_file_deinit(&output);
}

static void columns_that_are_not_selected_are_left_out(void **state) {
    struct fixture *fixture = *state;
    bool selected[SAMPLE_LISTS_COLUMNS] = {[0] = true, [1 + SAMPLE_KEY] = true};
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct memory_file output;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    options.selected = selected;
    assert_ok(rewrite(&fixture->lists, &output, &options, &counts, &error), &error);
    assert_ok(parquet_reader_open(memory_file_source(&output, true), NULL, &reader, &error), &error);
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    assert_int_equal(metadata->schema.column_count, 2);
    assert_int_equal(metadata->schema.node_count, 4);
    assert_string_equal(metadata->schema.columns[1].name, "element");
    parquet_reader_close(reader);
    assert_sound(&output);
    memory_file_deinit(&output);
    memset(selected, 0, sizeof selected);
    assert_status(rewrite(&fixture->lists, &output, &options, &counts, &error), PLINTH_INVALID_ARGUMENT, &error);
    memory_file_deinit(&output);
}

/* ---- Sorting ---- */

/* Sorts by what `by` says; gives the output, which is sound (its sorting columns hold) and has all rows. */
static void sort_file(const struct fixture *fixture, struct memory_file *input, uint64_t memory,
                      const struct plinth_parquet_sorting *by, uint32_t count, struct memory_file *output,
                      struct parquet_rewrite_counts *counts) {
    struct parquet_rewrite_options options = default_options(fixture);
    struct plinth_error error = {0};
    options.write.sorting = by;
    options.write.sorting_count = count;
    options.memory_bytes_max = memory;
    assert_ok(rewrite(input, output, &options, counts, &error), &error);
    assert_sound(output);
    assert_nothing_is_left(fixture);
}

static void runs_give_the_same_file_as_memory(void **state) {
    struct fixture *fixture = *state;
    static const char *const columns[] = {"boolean", "int32", "int64", "float",     "double",  "string", "key",
                                          "fixed",   "uuid",  "date",  "timestamp", "decimal", "uint32"};
    struct parquet_rewrite_counts counts;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        const struct plinth_parquet_sorting by[] = {{columns[i], i % 2, i % 3 == 0}, {"int64", false, true}};
        struct memory_file in_memory, by_runs;
        sort_file(fixture, &fixture->flat, 0, by, 2, &in_memory, &counts);
        assert_int_equal(counts.runs, 0);
        /* So many runs that some are merged before the end. */
        sort_file(fixture, &fixture->flat, 20000, by, 2, &by_runs, &counts);
        assert_true(counts.runs > 35);
        assert_int_equal(counts.rows, ROWS);
        assert_true(slice_equal(buffer_slice(&in_memory.bytes), buffer_slice(&by_runs.bytes)));
        memory_file_deinit(&in_memory);
        memory_file_deinit(&by_runs);
    }
}

static void equal_rows_keep_their_order_and_lists_go_with_their_row(void **state) {
    struct fixture *fixture = *state;
    const struct plinth_parquet_sorting by = {"row", true, false};
    const struct plinth_parquet_sorting back = {"row", false, false};
    struct parquet_rewrite_counts counts;
    struct memory_file down, up;
    struct rows before, after;
    struct parquet_list_buffer lists[2] = {0};
    struct plinth_error error = {0};
    sort_file(fixture, &fixture->lists, 30000, &by, 1, &down, &counts);
    assert_true(counts.runs > 1);
    sort_file(fixture, &down, 0, &back, 1, &up, &counts);
    rows_init(&before, &fixture->lists, fixture);
    rows_init(&after, &up, fixture);
    const struct parquet_schema *schema = &parquet_reader_metadata(after.reader)->schema;
    for (uint32_t c = 0; c < SAMPLE_LISTS_COLUMNS; c++) {
        const struct parquet_column *column = &schema->columns[c];
        assert_int_equal(before.data[c].slots, after.data[c].slots);
        if (c == 0) continue;
        size_t slots = (size_t)after.data[c].slots;
        assert_memory_equal(before.data[c].definition_levels, after.data[c].definition_levels, slots);
        assert_memory_equal(before.data[c].repetition_levels, after.data[c].repetition_levels, slots);
        assert_ok(parquet_list_from_levels(column, &before.data[c], &lists[0], &error), &error);
        assert_ok(parquet_list_from_levels(column, &after.data[c], &lists[1], &error), &error);
        uint32_t elements = lists[0].data.offsets[before.count];
        for (uint32_t i = 0; i < elements; i++)
            assert_true(
                sample_equal(&schema->nodes[column->node], &lists[0].data.elements, i, &lists[1].data.elements, i));
    }
    parquet_list_buffer_deinit(&lists[0]);
    parquet_list_buffer_deinit(&lists[1]);
    rows_deinit(&before);
    rows_deinit(&after);
    memory_file_deinit(&down);
    memory_file_deinit(&up);
}

static void columns_that_rows_cannot_be_sorted_by_are_refused(void **state) {
    struct fixture *fixture = *state;
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct memory_file output;
    struct plinth_error error = {0};
    struct plinth_parquet_sorting by = {.column = "nowhere"};
    options.write.sorting = &by;
    options.write.sorting_count = 1;
    assert_status(rewrite(&fixture->flat, &output, &options, &counts, &error), PLINTH_NOT_FOUND, &error);
    memory_file_deinit(&output);
    by.column = "key.list.element";
    assert_status(rewrite(&fixture->lists, &output, &options, &counts, &error), PLINTH_INVALID_ARGUMENT, &error);
    memory_file_deinit(&output);
}

/* ---- Failures ---- */

static void a_full_disk_is_a_status(void **state) {
    struct fixture *fixture = *state;
    const struct plinth_parquet_sorting by = {"key", false, false};
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    options.write.sorting = &by;
    options.write.sorting_count = 1;
    options.memory_bytes_max = 40000;
    assert_ok(parquet_reader_open(memory_file_source(&fixture->flat, true), NULL, &reader, &error), &error);
    for (uint64_t bytes = 1; bytes < 60000; bytes += 9973) {
        struct memory_file output;
        memory_file_init(&output);
        output.write_bytes_max = bytes;
        assert_status(parquet_rewrite(reader, append_output, &output, &options, &counts, &error), PLINTH_NO_SPACE,
                      &error);
        memory_file_deinit(&output);
    }
    assert_nothing_is_left(fixture);
    options.scratch_path = "/nowhere/at/all";
    struct memory_file output;
    memory_file_init(&output);
    assert_status(parquet_rewrite(reader, append_output, &output, &options, &counts, &error), PLINTH_NOT_FOUND, &error);
    assert_error_names(&error, "/nowhere/at/all.0");
    memory_file_deinit(&output);
    parquet_reader_close(reader);
}

static void a_damaged_page_of_the_input_is_named(void **state) {
    struct fixture *fixture = *state;
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_rewrite_counts counts;
    struct memory_file output;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    assert_ok(parquet_reader_open(memory_file_source(&fixture->flat, true), NULL, &reader, &error), &error);
    const struct parquet_column_chunk *chunk = &parquet_reader_metadata(reader)->row_groups[1].columns[SAMPLE_DOUBLE];
    uint8_t *byte = &fixture->flat.bytes.data[chunk->data_page_offset + chunk->compressed_bytes - 1];
    parquet_reader_close(reader);
    *byte ^= 4;
    assert_status(rewrite(&fixture->flat, &output, &options, &counts, &error), PLINTH_CORRUPT, &error);
    *byte ^= 4;
    assert_error_names(&error, "row group 1, column double, page at offset");
    memory_file_deinit(&output);
}

/* Whatever runs out of memory: a status, and nothing leaks (the sanitizers look). */
static void an_allocation_that_fails_is_a_status(void **state) {
    struct fixture *fixture = *state;
    const struct plinth_parquet_sorting by = {"row", true, false};
    struct parquet_rewrite_options options = default_options(fixture);
    struct parquet_verify_counts verified;
    struct parquet_rewrite_counts counts;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    enum plinth_status st;
    uint64_t failures = 0;
    bool selected[SAMPLE_LISTS_COLUMNS] = {[0] = true, [1 + SAMPLE_KEY] = true, [1 + SAMPLE_BOOLEAN] = true};
    options.write.sorting = &by;
    options.write.sorting_count = 1;
    options.memory_bytes_max = 4000;
    options.selected = selected;
    assert_ok(parquet_reader_open(memory_file_source(&fixture->lists, true), NULL, &reader, &error), &error);
    int64_t stop = 0;
    for (bool goes_on = true; goes_on; stop += 1 + stop / 50) {
        struct memory_file output;
        memory_file_init(&output);
        has_failed = false;
        allocations_left = stop;
        st = parquet_verify(reader, NULL, &verified, &error);
        goes_on = has_failed;
        assert_true(st == (has_failed ? PLINTH_OUT_OF_MEMORY : PLINTH_OK));
        has_failed = false;
        allocations_left = stop;
        st = parquet_rewrite(reader, append_output, &output, &options, &counts, &error);
        allocations_left = -1;
        goes_on |= has_failed;
        failures += has_failed;
        assert_true(st == (has_failed ? PLINTH_OUT_OF_MEMORY : PLINTH_OK));
        memory_file_deinit(&output);
    }
    assert_true(failures > 50);
    assert_nothing_is_left(fixture);
    parquet_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_has_the_same_rows),
        cmocka_unit_test(row_groups_and_their_order_are_kept_or_made_anew),
        cmocka_unit_test(schema_and_metadata_come_over),
        cmocka_unit_test(columns_that_are_not_selected_are_left_out),
        cmocka_unit_test(runs_give_the_same_file_as_memory),
        cmocka_unit_test(equal_rows_keep_their_order_and_lists_go_with_their_row),
        cmocka_unit_test(columns_that_rows_cannot_be_sorted_by_are_refused),
        cmocka_unit_test(a_full_disk_is_a_status),
        cmocka_unit_test(a_damaged_page_of_the_input_is_named),
        cmocka_unit_test(an_allocation_that_fails_is_a_status),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
