/* Writes the sample tables with every combination of options that matters into a directory, for other readers:
 *
 *     parquet_generate [--lists] DIRECTORY
 *
 * For each file NAME.parquet there is a line in DIRECTORY/files.jsonl that says which options and which table; the
 * tables' values are in TABLE.json, in the form of parquet_dump. With --lists it is the tables of lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_file.h"
#include "sample_lists.h"
#include "sample_table.h"

struct combination {
    const char *table;
    uint8_t page_version;
    enum parquet_codec codec;
    enum parquet_encoding encoding;
    bool dictionary;
};

static void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "parquet_generate: %s\n", what);
    exit(1);
}

static FILE *create(const char *directory, const char *name, const char *suffix) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", directory, name, suffix);
    FILE *file = fopen(path, "wb");
    must(file != NULL, path);
    return file;
}

static void write_value(const struct parquet_node *node, const struct parquet_column_data *data, uint64_t row,
                        FILE *out) {
    uint32_t width = parquet_type_width(node->type, node->type_length);
    const uint8_t *values = data->values;
    uint8_t truth = node->type == PARQUET_TYPE_BOOLEAN ? values[row >> 3] >> (row & 7) & 1 : 0;
    struct slice value = width ? slice_of(values + row * width, width) : slice_of(&truth, 1);
    if (node->type == PARQUET_TYPE_BYTE_ARRAY) value = parquet_column_data_bytes(data, row);
    if (parquet_column_data_is_null(data, row)) {
        fprintf(out, "null");
        return;
    }
    fprintf(out, "\"");
    for (size_t i = 0; i < value.size; i++) fprintf(out, "%02x", value.data[i]);
    fprintf(out, "\"");
}

static void write_expected(const struct sample_table *table, FILE *out) {
    fprintf(out, "{");
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        fprintf(out, "%s\"%s\":[", c ? ",\n" : "", table->nodes[c].name);
        for (uint64_t row = 0; row < table->rows; row++) {
            fprintf(out, "%s", row ? "," : "");
            write_value(&table->nodes[c], &table->data[c], row, out);
        }
        fprintf(out, "]");
    }
    fprintf(out, "}\n");
}

static void write_expected_lists(const struct sample_lists *table, FILE *out) {
    fprintf(out, "{");
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        const struct parquet_list_data *list = &table->lists[c];
        fprintf(out, "%s\"%s\":[", c ? ",\n" : "", table->elements.nodes[c].name);
        for (uint64_t row = 0; row < table->plan.rows; row++) {
            bool is_null = list->validity && !(list->validity[row >> 3] >> (row & 7) & 1);
            fprintf(out, "%s%s", row ? "," : "", is_null ? "null" : "[");
            for (uint32_t i = list->offsets[row]; !is_null && i < list->offsets[row + 1]; i++) {
                fprintf(out, "%s", i > list->offsets[row] ? "," : "");
                write_value(&table->elements.nodes[c], &list->elements, i, out);
            }
            fprintf(out, "%s", is_null ? "" : "]");
        }
        fprintf(out, "]");
    }
    fprintf(out, "}\n");
}

static bool encoding_fits(enum parquet_type type, enum parquet_encoding encoding) {
    bool is_integer = type == PARQUET_TYPE_INT32 || type == PARQUET_TYPE_INT64;
    switch (encoding) {
    case PARQUET_ENCODING_RLE: return type == PARQUET_TYPE_BOOLEAN;
    case PARQUET_ENCODING_DELTA_BINARY_PACKED: return is_integer;
    case PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY;
    case PARQUET_ENCODING_DELTA_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY || type == PARQUET_TYPE_FIXED;
    case PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        return is_integer || type == PARQUET_TYPE_FLOAT || type == PARQUET_TYPE_DOUBLE || type == PARQUET_TYPE_FIXED;
    default: return true;
    }
}

static void write_file(const struct sample_table *table, const struct combination *how, struct memory_file *file) {
    struct parquet_column_options columns[SAMPLE_COLUMNS];
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    uint64_t offset;
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        bool is_boolean = table->nodes[c].type == PARQUET_TYPE_BOOLEAN;
        columns[c] = parquet_column_options_default();
        columns[c].codec = how->codec;
        columns[c].encoding =
            encoding_fits(table->nodes[c].type, how->encoding) ? how->encoding : PARQUET_ENCODING_PLAIN;
        columns[c].dictionary = how->dictionary && !is_boolean;
        columns[c].dictionary_bytes_max = 8000;
        columns[c].bloom = !is_boolean;
        columns[c].statistics_bytes_max = c == SAMPLE_KEY ? PARQUET_STATISTICS_UNTRUNCATED : 7;
    }
    struct parquet_sorting_column sorting = {.column = SAMPLE_KEY};
    struct parquet_writer_options options = {.stripe_rows = 256,
                                             .row_group_rows = 1100,
                                             .data_page_version = how->page_version,
                                             .sorting = &sorting,
                                             .sorting_count = 1};
    must(!parquet_writer_create(&file->sink, table->nodes, SAMPLE_COLUMNS, columns, &options, &writer, &error) &&
             !parquet_writer_write(writer, table->data, table->rows, &error) &&
             !parquet_writer_append_raw(writer, slice_of_string("hidden block"), &offset, &error) &&
             !parquet_writer_add_key_value(writer, "plinth.hidden", slice_of_string("12"), &error) &&
             !parquet_writer_finish(writer, NULL, &error),
         error.text);
    parquet_writer_destroy(writer);
}

static void write_lists(const struct sample_lists *table, const struct combination *how, struct memory_file *file) {
    struct parquet_column_options columns[SAMPLE_LISTS_COLUMNS];
    struct parquet_column_buffer levels[SAMPLE_LISTS_COLUMNS] = {0};
    struct parquet_column_data batch[SAMPLE_LISTS_COLUMNS];
    struct parquet_writer_options options = {
        .stripe_rows = 100, .row_group_rows = 450, .data_page_version = how->page_version};
    struct parquet_writer *writer;
    struct plinth_error error = {0};
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) {
        enum parquet_type type = table->schema.columns[c].type;
        columns[c] = parquet_column_options_default();
        columns[c].codec = how->codec;
        columns[c].encoding = encoding_fits(type, how->encoding) ? how->encoding : PARQUET_ENCODING_PLAIN;
        columns[c].dictionary = how->dictionary && type != PARQUET_TYPE_BOOLEAN;
        columns[c].bloom = type != PARQUET_TYPE_BOOLEAN;
        columns[c].statistics_bytes_max = PARQUET_STATISTICS_UNTRUNCATED;
    }
    sample_lists_batch(table, 0, table->plan.rows, levels, batch);
    must(!parquet_writer_create(&file->sink, table->nodes, SAMPLE_LISTS_NODES, columns, &options, &writer, &error) &&
             !parquet_writer_write(writer, batch, table->plan.rows, &error) &&
             !parquet_writer_finish(writer, NULL, &error),
         error.text);
    parquet_writer_destroy(writer);
    for (int c = 0; c < SAMPLE_LISTS_COLUMNS; c++) parquet_column_buffer_deinit(&levels[c]);
}

/* Writes one file, of `table` or of `lists`. */
static void generate(const char *directory, const struct sample_table *table, const struct sample_lists *lists,
                     const struct combination *how, FILE *list) {
    struct memory_file file;
    char name[256];
    snprintf(name, sizeof name, "%s-v%u-%s-%s%s", how->table, how->page_version, parquet_codec_name(how->codec),
             parquet_encoding_name(how->encoding), how->dictionary ? "-dictionary" : "");
    memory_file_init(&file);
    if (table)
        write_file(table, how, &file);
    else
        write_lists(lists, how, &file);
    FILE *out = create(directory, name, ".parquet");
    must(fwrite(file.bytes.data, 1, file.bytes.size, out) == file.bytes.size && fclose(out) == 0, name);
    fprintf(list, "{\"file\":\"%s.parquet\",\"table\":\"%s.json\"}\n", name, how->table);
    memory_file_deinit(&file);
}

static const enum parquet_codec codecs[] = {PARQUET_CODEC_UNCOMPRESSED, PARQUET_CODEC_SNAPPY, PARQUET_CODEC_GZIP,
                                            PARQUET_CODEC_BROTLI,       PARQUET_CODEC_ZSTD,   PARQUET_CODEC_LZ4_RAW};
static const enum parquet_encoding encodings[] = {PARQUET_ENCODING_PLAIN,
                                                  PARQUET_ENCODING_RLE,
                                                  PARQUET_ENCODING_DELTA_BINARY_PACKED,
                                                  PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY,
                                                  PARQUET_ENCODING_DELTA_BYTE_ARRAY,
                                                  PARQUET_ENCODING_BYTE_STREAM_SPLIT};
enum { CODECS = sizeof codecs / sizeof codecs[0], ENCODINGS = sizeof encodings / sizeof encodings[0] };

static void generate_flat(const char *directory, FILE *list) {
    static const char *const table_names[] = {"required", "optional", "nulls", "empty"};
    static const uint32_t null_one_in[] = {0, 4, 1, 3};
    for (int t = 0; t < 4; t++) {
        struct sample_table table;
        sample_table_init(&table, t == 3 ? 0 : 3000, null_one_in[t], 77);
        FILE *expected = create(directory, table_names[t], ".json");
        write_expected(&table, expected);
        must(fclose(expected) == 0, table_names[t]);
        for (int v = 1; v <= 2; v++) {
            struct combination how = {.table = table_names[t], .page_version = (uint8_t)v};
            for (size_t i = 0; i < CODECS; i++) {
                how.codec = codecs[i];
                how.dictionary = i % 2;
                generate(directory, &table, NULL, &how, list);
            }
            for (size_t i = 0; i < ENCODINGS; i++) {
                how.encoding = encodings[i];
                how.codec = i % 2 ? PARQUET_CODEC_ZSTD : PARQUET_CODEC_UNCOMPRESSED;
                for (int d = 0; d < 2; d++) {
                    how.dictionary = d;
                    generate(directory, &table, NULL, &how, list);
                }
            }
        }
        sample_table_deinit(&table);
    }
}

static void generate_lists(const char *directory, FILE *list) {
    static const struct {
        const char *name;
        struct sample_lists_plan plan;
    } tables[] = {
        {"lists", {1000, .null_list_one_in = 5, .null_element_one_in = 4, .empty_one_in = 4, .length_max = 6}},
        {"required-lists", {1000, .length_max = 5}},
        {"required-elements", {1000, .null_list_one_in = 3, .empty_one_in = 3, .length_max = 5}},
        {"optional-elements", {1000, .null_element_one_in = 2, .empty_one_in = 6, .length_max = 5}},
        {"empty-lists", {300, .null_list_one_in = 2, .null_element_one_in = 2, .empty_one_in = 1}},
        {"null-elements", {300, .null_list_one_in = 2, .null_element_one_in = 1, .length_max = 4}},
        {"no-rows", {0, .null_list_one_in = 2, .null_element_one_in = 1, .length_max = 4}},
    };
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        struct sample_lists_plan plan = tables[t].plan;
        struct sample_lists table;
        plan.seed = t;
        plan.long_row = plan.rows < 1000 ? UINT64_MAX : 333;
        if (plan.length_max == 0) plan.length_max = 1;
        sample_lists_init(&table, &plan);
        FILE *expected = create(directory, tables[t].name, ".json");
        write_expected_lists(&table, expected);
        must(fclose(expected) == 0, tables[t].name);
        for (size_t i = 0; i < ENCODINGS; i++) {
            struct combination how = {.table = tables[t].name,
                                      .page_version = (uint8_t)(1 + (i + t) % 2),
                                      .codec = codecs[(i + t) % CODECS],
                                      .encoding = encodings[i],
                                      .dictionary = (i + t) % 3 == 0};
            generate(directory, NULL, &table, &how, list);
        }
        sample_lists_deinit(&table);
    }
}

int main(int argc, char **argv) {
    bool of_lists = argc == 3 && strcmp(argv[1], "--lists") == 0;
    must(argc == 2 || of_lists, "usage: parquet_generate [--lists] DIRECTORY");
    FILE *list = create(argv[argc - 1], "files", ".jsonl");
    if (of_lists)
        generate_lists(argv[argc - 1], list);
    else
        generate_flat(argv[argc - 1], list);
    return fclose(list) == 0 ? 0 : 1;
}
