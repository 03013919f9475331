/* parquet_verify: a file as it was written has no findings; each damage that data or metadata can show is found, and
 * named with row group, column, page and offset. */
#include <stdlib.h>

#include "memory_file.h"
#include "parquet/metadata_private.h"
#include "parquet/page_walk.h"
#include "parquet/statistics.h"
#include "parquet/verify.h"
#include "plinth_parquet.h"
#include "sample_lists.h"
#include "sample_table.h"
#include "support/test_support.h"

/* ---- What verify says ---- */

struct findings {
    uint64_t count;
    int64_t row_group, page, offset; /* of the first one */
    char column[64], text[PLINTH_ERROR_TEXT_MAX + 400];
};

static bool keep_finding(void *context, const struct parquet_finding *finding) {
    struct findings *findings = context;
    if (findings->count++ > 0) return true;
    findings->row_group = finding->row_group;
    findings->page = finding->page;
    findings->offset = finding->offset;
    snprintf(findings->column, sizeof findings->column, "%s", finding->column ? finding->column : "");
    parquet_finding_format(finding, findings->text, sizeof findings->text);
    return true;
}

/* A file that cannot be opened counts as found, too: `findings->text` is the error's. */
static enum plinth_status verify(struct parquet_source *source, struct findings *findings, struct plinth_error *error) {
    const struct parquet_verify_options options = {.report = keep_finding, .context = findings};
    struct parquet_verify_counts counts;
    struct parquet_reader *reader;
    *findings = (struct findings){0};
    enum plinth_status st = parquet_reader_open(source, NULL, &reader, error);
    if (st) {
        findings->count = 1;
        snprintf(findings->text, sizeof findings->text, "%s", error->text);
        return st;
    }
    st = parquet_verify(reader, &options, &counts, error);
    if (!st) assert_int_equal(counts.findings, findings->count);
    parquet_reader_close(reader);
    return st;
}

static void assert_sound(struct memory_file *file) {
    for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
        struct findings findings;
        struct plinth_error error = {0};
        assert_ok(verify(memory_file_source(file, is_mapped), &findings, &error), &error);
        if (findings.count) fail_msg("%s", findings.text);
    }
}

/* ---- Files ---- */

static void write_flat(struct memory_file *file, uint64_t rows, uint8_t page_version,
                       const struct parquet_sorting_column *sorting, uint32_t sorting_count) {
    struct sample_table table;
    struct parquet_column_options columns[SAMPLE_COLUMNS];
    struct parquet_writer_options options = {.stripe_rows = 40,
                                             .row_group_rows = 100,
                                             .data_page_version = page_version,
                                             .sorting = sorting,
                                             .sorting_count = sorting_count};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    sample_table_init(&table, rows, 4, 3);
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        columns[c] = parquet_column_options_default();
        columns[c].dictionary = c == SAMPLE_STRING || c == SAMPLE_INT32;
        columns[c].bloom = c != SAMPLE_BOOLEAN;
        columns[c].codec = c % 2 ? PARQUET_CODEC_LZ4_RAW : PARQUET_CODEC_UNCOMPRESSED;
        columns[c].statistics_bytes_max = PARQUET_STATISTICS_UNTRUNCATED;
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

static void write_lists(struct memory_file *file, uint8_t page_version) {
    const struct sample_lists_plan plan = {.rows = 200,
                                           .null_list_one_in = 5,
                                           .null_element_one_in = 4,
                                           .empty_one_in = 6,
                                           .length_max = 4,
                                           .long_row = UINT64_MAX,
                                           .seed = 11};
    struct sample_lists table;
    struct parquet_column_buffer levels[SAMPLE_LISTS_COLUMNS] = {0};
    struct parquet_column_data data[SAMPLE_LISTS_COLUMNS];
    struct parquet_column_options columns[SAMPLE_LISTS_COLUMNS];
    const struct parquet_writer_options options = {.stripe_rows = 30, .data_page_version = page_version};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    sample_lists_init(&table, &plan);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) {
        columns[c] = parquet_column_options_default();
        columns[c].bloom = c % 2 == 0 && c != 1 + SAMPLE_BOOLEAN;
    }
    memory_file_init(file);
    assert_ok(parquet_writer_create(&file->sink, table.nodes, SAMPLE_LISTS_NODES, columns, &options, &writer, &error),
              &error);
    sample_lists_batch(&table, 0, plan.rows, levels, data);
    assert_ok(parquet_writer_write(writer, data, plan.rows, &error), &error);
    assert_ok(parquet_writer_finish(writer, NULL, &error), &error);
    parquet_writer_destroy(writer);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) parquet_column_buffer_deinit(&levels[c]);
    sample_lists_deinit(&table);
}

static void a_file_as_it_was_written_has_no_findings(void **state) {
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct memory_file file;
        write_flat(&file, 250, version, NULL, 0);
        assert_sound(&file);
        memory_file_deinit(&file);
        write_lists(&file, version);
        assert_sound(&file);
        memory_file_deinit(&file);
    }
}

/* ---- Pages ---- */

/* Flips bits in the body of each page, one byte in `step`: the checksum tells of each. */
static void flip_pages(struct memory_file *file, const struct parquet_reader *reader, uint32_t group, uint32_t column,
                       uint64_t step, uint64_t *flips) {
    struct parquet_page_walk walk;
    struct parquet_page_info page;
    struct findings findings;
    struct plinth_error error = {0};
    bool found = true;
    int64_t number = 0;
    const char *path = parquet_reader_metadata(reader)->schema.columns[column].path;
    assert_ok(parquet_page_walk_init(&walk, reader, group, column, &error), &error);
    for (;;) {
        assert_ok(parquet_page_walk_next(&walk, &page, &found, &error), &error);
        if (!found) break;
        assert_true(page.has_crc && page.crc_is_right);
        uint64_t begin = page.offset + page.header_bytes;
        for (uint64_t at = begin; at < begin + page.compressed_bytes; at += step) {
            file->bytes.data[at] ^= (uint8_t)(1u << (at % 8));
            assert_ok(verify(memory_file_source(file, at % 2), &findings, &error), &error);
            file->bytes.data[at] ^= (uint8_t)(1u << (at % 8));
            assert_true(findings.count > 0);
            assert_int_equal(findings.row_group, group);
            assert_string_equal(findings.column, path);
            assert_int_equal(findings.offset, page.offset);
            assert_int_equal(findings.page, page.kind == PARQUET_PAGE_KIND_DICTIONARY ? -1 : number);
            ++*flips;
        }
        number += page.kind != PARQUET_PAGE_KIND_DICTIONARY;
    }
    parquet_page_walk_deinit(&walk);
}

static void a_flipped_bit_in_a_page_is_found_and_named(void **state) {
    (void)state;
    struct memory_file file;
    struct parquet_reader *reader;
    struct plinth_error error = {0};
    uint64_t flips = 0;
    write_flat(&file, 120, 2, NULL, 0);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    for (uint32_t group = 0; group < 2; group++)
        for (uint32_t column = 0; column < SAMPLE_COLUMNS; column++)
            flip_pages(&file, reader, group, column, 13, &flips);
    assert_true(flips > 300);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

/* Headers have no checksum: bytes that nothing depends on (fields that are unknown or not needed) may change. What
 * matters is that most damage is found, and that none of it does harm. */
static void damage_anywhere_does_no_harm(void **state) {
    (void)state;
    struct memory_file file;
    struct findings findings;
    struct plinth_error error = {0};
    uint64_t flips = 0, found = 0;
    write_flat(&file, 60, 1, NULL, 0);
    for (uint64_t at = 0; at < file.bytes.size; at += 5, flips++) {
        file.bytes.data[at] ^= (uint8_t)(1u << (at % 8));
        enum plinth_status st = verify(memory_file_source(&file, at % 2), &findings, &error);
        found += st || findings.count > 0;
        file.bytes.data[at] ^= (uint8_t)(1u << (at % 8));
    }
    assert_true(found * 10 > flips * 6);
    assert_sound(&file);
    memory_file_deinit(&file);
}

/* ---- Statistics, which lie in the mapped footer ---- */

static void a_changed_bound_of_the_statistics_is_found(void **state) {
    (void)state;
    struct memory_file file;
    struct parquet_reader *reader;
    struct findings findings;
    struct plinth_error error = {0};
    uint32_t bounds = 0;
    write_flat(&file, 250, 2, NULL, 0);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    for (uint32_t group = 0; group < metadata->row_group_count; group++) {
        for (uint32_t column = 0; column < SAMPLE_COLUMNS; column++) {
            const struct parquet_statistics *statistics = &metadata->row_groups[group].columns[column].statistics;
            for (int is_max = 0; statistics->has_min && is_max < 2; is_max++, bounds++) {
                struct slice bound = is_max ? statistics->max : statistics->min;
                size_t at = (size_t)(bound.data - file.bytes.data) + bound.size - 1;
                file.bytes.data[at] ^= 1;
                assert_ok(verify(memory_file_source(&file, true), &findings, &error), &error);
                file.bytes.data[at] ^= 1;
                assert_true(findings.count > 0);
                assert_int_equal(findings.row_group, group);
                assert_string_equal(findings.column, metadata->schema.columns[column].path);
            }
        }
    }
    assert_true(bounds >= 60);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

/* ---- The footer, changed and encoded anew ---- */

typedef void change_metadata(struct parquet_metadata *metadata);

static void change_rows(struct parquet_metadata *metadata) { metadata->row_count++; }
static void change_values(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].value_count++;
}
static void change_nulls(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].statistics.null_count++;
}
static void change_distinct(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].statistics.has_distinct_count = true;
    metadata->row_groups[1].columns[SAMPLE_FLOAT].statistics.distinct_count = 3;
}
static void change_encodings(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].encodings &= ~(1u << PARQUET_ENCODING_PLAIN);
}
static void change_encoding_counts(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].encoding_counts[0].pages++;
}
static void change_uncompressed(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_FLOAT].uncompressed_bytes++;
    metadata->row_groups[1].uncompressed_bytes++;
}
static void change_data_offset(struct parquet_metadata *metadata) {
    struct parquet_column_chunk *chunk = &metadata->row_groups[1].columns[SAMPLE_STRING];
    chunk->data_page_offset += 4;
}
static void change_unencoded(struct parquet_metadata *metadata) {
    metadata->row_groups[1].columns[SAMPLE_KEY].unencoded_bytes += 7;
}
static void change_sorting(struct parquet_metadata *metadata) {
    static struct parquet_sorting_column by = {.column = SAMPLE_DOUBLE};
    metadata->row_groups[1].sorting = &by;
    metadata->row_groups[1].sorting_count = 1;
}
static void change_bloom(struct parquet_metadata *metadata) { /* to that of other values */
    metadata->row_groups[1].columns[SAMPLE_UUID].bloom_offset =
        metadata->row_groups[1].columns[SAMPLE_DECIMAL].bloom_offset;
}
static void change_index(struct parquet_metadata *metadata) { /* to that of other pages */
    metadata->row_groups[1].columns[SAMPLE_UUID].offset_index_offset =
        metadata->row_groups[1].columns[SAMPLE_UUID - 1].offset_index_offset;
}

static void write_changed(struct memory_file *file, change_metadata *change) {
    struct parquet_metadata metadata;
    struct plinth_error error = {0};
    struct arena arena;
    struct buffer footer = BUFFER_INIT;
    arena_init(&arena);
    uint32_t size = load_u32(file->bytes.data + file->bytes.size - 8);
    size_t begin = file->bytes.size - 8 - size;
    const struct slice bytes = slice_of(file->bytes.data + begin, size);
    assert_ok(metadata_decode(bytes, (struct bounded_arena){&arena, UINT64_MAX}, &metadata, &error), &error);
    change(&metadata);
    assert_true(metadata_encode(&metadata, &footer));
    file->bytes.size = begin;
    assert_true(buffer_append(&file->bytes, footer.data, footer.size) &&
                buffer_append_u32(&file->bytes, (uint32_t)footer.size) && buffer_append(&file->bytes, "PAR1", 4));
    buffer_deinit(&footer);
    arena_deinit(&arena);
}

static void keep_metadata(struct parquet_metadata *metadata) { (void)metadata; }

static void what_the_footer_says_wrongly_is_found(void **state) {
    (void)state;
    static const struct {
        change_metadata *change;
        const char *finding;
    } changes[] = {
        {change_rows, "the row groups have 250 rows, but the footer says 251"},
        {change_values, "row group 1, column float: the pages have 100 values, but the footer says 101"},
        {change_nulls, "row group 1, column float: there are "},
        {change_distinct, "distinct values, but the statistics say 3"},
        {change_encodings, "row group 1, column float: 3 pages are encoded as PLAIN, which the footer does not list"},
        {change_encoding_counts, "3 data pages are encoded as PLAIN, but the footer says 4"},
        {change_uncompressed, "bytes uncompressed, but the footer says "},
        {change_data_offset, "the first data page is not where the footer says"},
        {change_unencoded, "row group 1, column key: the values have "},
        {change_sorting, "row group 1, column double: the file says that the row group is sorted"},
        {change_bloom, "row group 1, column uuid"},
        {change_index, "row group 1, column uuid"},
    };
    struct memory_file file;
    struct findings findings;
    struct plinth_error error = {0};
    write_flat(&file, 250, 2, NULL, 0);
    write_changed(&file, keep_metadata);
    assert_sound(&file);
    memory_file_deinit(&file);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        write_flat(&file, 250, 2, NULL, 0);
        write_changed(&file, changes[i].change);
        assert_ok(verify(memory_file_source(&file, true), &findings, &error), &error);
        if (!strstr(findings.text, changes[i].finding))
            fail_msg("change %zu: \"%s\" where \"%s\" was expected", i, findings.text, changes[i].finding);
        memory_file_deinit(&file);
    }
}

/* ---- Indexes and filters ---- */

static void a_bit_that_is_missing_in_a_bloom_filter_is_found(void **state) {
    (void)state;
    struct memory_file file;
    struct parquet_reader *reader;
    struct findings findings;
    struct plinth_error error = {0};
    uint32_t cleared = 0;
    write_flat(&file, 100, 2, NULL, 0);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    const struct parquet_column_chunk *chunk = &parquet_reader_metadata(reader)->row_groups[0].columns[SAMPLE_KEY];
    /* The header is shorter than a block; the blocks end the filter. */
    for (uint64_t at = chunk->bloom_offset + chunk->bloom_bytes - 32; at < chunk->bloom_offset + chunk->bloom_bytes;
         at++) {
        uint8_t byte = file.bytes.data[at];
        if (!byte) continue;
        file.bytes.data[at] = (uint8_t)(byte & (byte - 1)); /* one bit less */
        assert_ok(verify(memory_file_source(&file, false), &findings, &error), &error);
        file.bytes.data[at] = byte;
        assert_true(findings.count > 0);
        assert_string_equal(findings.column, "key");
        assert_non_null(strstr(findings.text, "the bloom filter at offset"));
        cleared++;
    }
    assert_true(cleared > 8);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

/* Of a column whose bounds are numbers: a min that is raised or a max that is lowered is found, with its page. */
static void a_bound_of_the_column_index_that_leaves_values_out_is_found(void **state) {
    (void)state;
    struct memory_file file;
    struct parquet_reader *reader;
    struct parquet_page_index index;
    struct findings findings;
    struct plinth_error error = {0};
    uint32_t changed = 0;
    write_flat(&file, 100, 2, NULL, 0);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    const struct parquet_column_chunk *chunk = &parquet_reader_metadata(reader)->row_groups[0].columns[SAMPLE_INT64];
    assert_ok(parquet_reader_page_index(reader, 0, SAMPLE_INT64, &index, &error), &error);
    for (uint32_t page = 0; page < index.page_count; page++) {
        for (int is_max = 0; is_max < 2; is_max++) {
            struct slice bound = is_max ? index.bounds[page].max : index.bounds[page].min;
            uint8_t *at =
                memmem(file.bytes.data + chunk->column_index_offset, chunk->column_index_bytes, bound.data, 8);
            assert_non_null(at);
            store_u64(at, load_u64(bound.data) + (is_max ? UINT64_MAX : 1));
            assert_ok(verify(memory_file_source(&file, true), &findings, &error), &error);
            store_u64(at, load_u64(bound.data));
            assert_int_equal(findings.page, page);
            assert_int_equal(findings.offset, index.locations[page].offset);
            assert_non_null(
                strstr(findings.text, is_max ? "its max in the column index" : "its min in the column index"));
            changed++;
        }
    }
    assert_int_equal(changed, 6);
    parquet_page_index_deinit(&index);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

static void a_flipped_bit_in_an_offset_index_is_found(void **state) {
    (void)state;
    struct memory_file file;
    struct parquet_reader *reader;
    struct findings findings;
    struct plinth_error error = {0};
    uint32_t flips = 0, found = 0;
    write_flat(&file, 100, 2, NULL, 0);
    assert_ok(parquet_reader_open(memory_file_source(&file, true), NULL, &reader, &error), &error);
    const struct parquet_column_chunk *chunk = &parquet_reader_metadata(reader)->row_groups[0].columns[SAMPLE_DATE];
    for (uint64_t at = chunk->offset_index_offset; at < chunk->offset_index_offset + chunk->offset_index_bytes; at++) {
        for (unsigned bit = 0; bit < 8; bit++, flips++) {
            file.bytes.data[at] ^= (uint8_t)(1u << bit);
            assert_ok(verify(memory_file_source(&file, true), &findings, &error), &error);
            file.bytes.data[at] ^= (uint8_t)(1u << bit);
            if (findings.count) assert_string_equal(findings.column, "date");
            found += findings.count > 0;
        }
    }
    assert_true(found * 10 >= flips * 9);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
}

/* ---- Order ---- */

static void rows_that_are_not_sorted_as_the_file_says_are_found(void **state) {
    (void)state;
    struct memory_file file;
    const struct parquet_sorting_column by_key = {.column = SAMPLE_KEY, .nulls_first = true};
    struct findings findings;
    struct plinth_error error = {0};
    write_flat(&file, 250, 2, &by_key, 1); /* the keys ascend, but nulls lie between them */
    assert_ok(verify(memory_file_source(&file, true), &findings, &error), &error);
    assert_string_equal(findings.column, "key");
    assert_non_null(strstr(findings.text, "does not belong behind the one before"));
    memory_file_deinit(&file);
}

/* ---- The library ---- */

static bool keep_public_finding(void *context, const struct plinth_parquet_finding *finding) {
    const struct parquet_finding own = {finding->row_group, finding->column, finding->page, finding->offset,
                                        finding->text};
    (void)keep_finding(context, &own);
    return false; /* one is enough */
}

static void the_library_tells_the_same_and_stops_when_it_is_told(void **state) {
    (void)state;
    struct memory_file file;
    struct plinth_parquet_file *opened;
    struct findings findings = {0};
    struct plinth_error error = {0};
    uint64_t count = 1;
    write_flat(&file, 100, 2, NULL, 0);
    assert_ok(plinth_parquet_open_memory(file.bytes.data, file.bytes.size, NULL, &opened, &error), &error);
    assert_ok(plinth_parquet_verify(opened, keep_public_finding, &findings, &count, &error), &error);
    assert_int_equal(count, 0);
    for (size_t i = 1000; i < 2000; i++) file.bytes.data[i] ^= 0x55;
    assert_ok(plinth_parquet_verify(opened, NULL, NULL, &count, &error), &error);
    assert_true(count > 1);
    assert_ok(plinth_parquet_verify(opened, keep_public_finding, &findings, &count, &error), &error);
    assert_int_equal(count, 1);
    assert_int_equal(findings.count, 1);
    plinth_parquet_close(opened);
    memory_file_deinit(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_as_it_was_written_has_no_findings),
        cmocka_unit_test(a_flipped_bit_in_a_page_is_found_and_named),
        cmocka_unit_test(damage_anywhere_does_no_harm),
        cmocka_unit_test(a_changed_bound_of_the_statistics_is_found),
        cmocka_unit_test(what_the_footer_says_wrongly_is_found),
        cmocka_unit_test(a_bit_that_is_missing_in_a_bloom_filter_is_found),
        cmocka_unit_test(a_bound_of_the_column_index_that_leaves_values_out_is_found),
        cmocka_unit_test(a_flipped_bit_in_an_offset_index_is_found),
        cmocka_unit_test(rows_that_are_not_sorted_as_the_file_says_are_found),
        cmocka_unit_test(the_library_tells_the_same_and_stops_when_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
