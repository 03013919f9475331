/* plinth parquet meta: what a Parquet file says of itself: the footer, and with --pages the headers of all pages. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/json_out.h"
#include "cmd/parquet_input.h"
#include "cmd/parquet_tool.h"
#include "cmd/parquet_values.h"
#include "parquet/page_walk.h"

enum { VALUE_SHOWN_MAX = 200, BOUND_SHOWN_MAX = 40, CELL_TEXT_MAX = 256 };

struct meta {
    const struct parquet_input *input;
    const struct parquet_metadata *metadata;
    bool shows_pages, is_csv;
    struct plinth_error *error;
    struct buffer min, max;
};

static const struct parquet_column_chunk *chunk_at(const struct meta *meta, uint32_t group, uint32_t column) {
    return &meta->metadata->row_groups[group].columns[column];
}

/* ---- Parts of lines ---- */

static void shorten(struct buffer *text, size_t bytes_max) {
    static const char more[] = "…";
    if (text->size <= bytes_max) return;
    text->size = bytes_max;
    while (text->size && (text->data[text->size] & 0xc0) == 0x80) text->size--;
    if (!buffer_append(text, more, sizeof more - 1)) cli_no_memory();
}

static struct slice bound_text(const struct meta *meta, uint32_t column, bool is_there, struct slice bound,
                               struct buffer *into) {
    buffer_clear(into);
    if (is_there && !parquet_plain_value(&meta->metadata->schema, column, bound, false, into)) cli_no_memory();
    if (meta->is_csv && !bytes_are_utf8(buffer_slice(into))) { /* tables escape it themselves */
        struct buffer hex = BUFFER_INIT;
        if (!buffer_append(&hex, "\\x", 2) || !hex_text_append(&hex, buffer_slice(into))) cli_no_memory();
        buffer_deinit(into);
        *into = hex;
    }
    shorten(into, BOUND_SHOWN_MAX);
    return buffer_slice(into);
}

static struct cell bound_cell(const struct meta *meta, uint32_t column, bool is_there, struct slice bound,
                              struct buffer *into) {
    if (!is_there) return (struct cell){.kind = CELL_NULL};
    struct slice text = bound_text(meta, column, true, bound, into);
    return (struct cell){.kind = CELL_TEXT, .bytes = text};
}

static void append_word(char *text, size_t size, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? " " : "", word);
}

static void encodings_text(uint32_t encodings, char text[CELL_TEXT_MAX]) {
    *text = '\0';
    for (uint32_t i = 0; i < PARQUET_ENCODING_COUNT; i++)
        if (encodings >> i & 1) append_word(text, CELL_TEXT_MAX, parquet_encoding_name((enum parquet_encoding)i));
}

/* Dictionary, bloom filter, page index. */
static void extras_text(const struct parquet_column_chunk *chunk, char text[CELL_TEXT_MAX]) {
    char part[64];
    *text = '\0';
    if (chunk->dictionary_page_offset) append_word(text, CELL_TEXT_MAX, "dictionary");
    if (chunk->bloom_offset) {
        snprintf(part, sizeof part, chunk->bloom_bytes ? "bloom(%" PRIu64 ")" : "bloom", chunk->bloom_bytes);
        append_word(text, CELL_TEXT_MAX, part);
    }
    if (chunk->offset_index_offset) {
        snprintf(part, sizeof part, "%s(%u)", chunk->column_index_offset ? "index" : "offset-index",
                 chunk->offset_index_bytes + chunk->column_index_bytes);
        append_word(text, CELL_TEXT_MAX, part);
    }
    if (chunk->is_encrypted) append_word(text, CELL_TEXT_MAX, "encrypted");
}

static void ratio_text(uint64_t uncompressed, uint64_t compressed, char text[32]) {
    snprintf(text, 32, "%.2f", compressed ? (double)uncompressed / (double)compressed : 1.0);
}

/* ---- Column chunks: one row of cells each ---- */

static const char *const chunk_names[] = {"row_group",    "column", "type",   "codec", "encodings",
                                          "values",       "nulls",  "min",    "max",   "bytes",
                                          "uncompressed", "ratio",  "extras", NULL};

struct chunk_cells {
    struct cell cells[16];
    char encodings[CELL_TEXT_MAX], extras[CELL_TEXT_MAX], ratio[32];
};

static void fill_chunk_cells(struct meta *meta, uint32_t group, uint32_t column, struct chunk_cells *into) {
    const struct parquet_column_chunk *chunk = chunk_at(meta, group, column);
    const struct parquet_column *about = &meta->metadata->schema.columns[column];
    const struct parquet_statistics *statistics = &chunk->statistics;
    encodings_text(chunk->encodings, into->encodings);
    extras_text(chunk, into->extras);
    ratio_text(chunk->uncompressed_bytes, chunk->compressed_bytes, into->ratio);
    const struct cell none = {.kind = CELL_NULL};
    const struct cell cells[] = {cell_number(group),
                                 cell_text(about->path),
                                 cell_text(parquet_type_name(about->type)),
                                 cell_text(parquet_codec_name(chunk->codec)),
                                 cell_text(into->encodings),
                                 cell_number(chunk->value_count),
                                 statistics->has_null_count ? cell_number(statistics->null_count) : none,
                                 bound_cell(meta, column, statistics->has_min, statistics->min, &meta->min),
                                 bound_cell(meta, column, statistics->has_max, statistics->max, &meta->max),
                                 cell_number(chunk->compressed_bytes),
                                 cell_number(chunk->uncompressed_bytes),
                                 cell_text(into->ratio),
                                 cell_text(into->extras)};
    memcpy(into->cells, cells, sizeof cells);
}

/* ---- Pages ---- */

static const char *const page_names[] = {"row_group", "column",       "page", "kind", "encoding", "rows",
                                         "values",    "nulls",        "min",  "max",  "offset",   "header",
                                         "bytes",     "uncompressed", "crc",  NULL};

struct page_line {
    struct parquet_page_info info;
    int64_t number; /* of data pages; -1: another kind */
    bool has_rows, has_nulls, has_bounds;
    uint64_t rows, nulls;
    const struct parquet_page_bounds *bounds;
};

typedef bool page_printer(struct meta *meta, void *context, uint32_t group, uint32_t column,
                          const struct page_line *line);

static const char *crc_text(const struct parquet_page_info *page) {
    return !page->has_crc ? "-" : page->crc_is_right ? "right" : "WRONG";
}

static void describe(const struct parquet_page_index *index, const struct parquet_column *about,
                     struct page_line *line) {
    bool is_v2 = line->info.kind == PARQUET_PAGE_KIND_DATA_V2;
    bool is_indexed = index && line->number >= 0 && (uint64_t)line->number < index->page_count;
    if (line->number < 0) return;
    line->has_rows = is_v2 || is_indexed || parquet_column_is_flat(about);
    line->rows = is_v2        ? line->info.row_count
                 : is_indexed ? index->locations[line->number].row_count
                              : line->info.value_count;
    line->has_nulls = is_v2 || (is_indexed && index->bounds && index->has_null_counts);
    line->nulls = is_v2 ? line->info.null_count : line->has_nulls ? index->bounds[line->number].null_count : 0;
    line->bounds =
        is_indexed && index->bounds && !index->bounds[line->number].is_null_page ? &index->bounds[line->number] : NULL;
}

static enum plinth_status walk_pages(struct meta *meta, uint32_t group, uint32_t column, page_printer *print,
                                     void *context) {
    const struct parquet_column *about = &meta->metadata->schema.columns[column];
    struct parquet_page_walk walk;
    struct parquet_page_index index;
    int64_t next = 0;
    bool found = true;
    enum plinth_status st = parquet_reader_page_index(meta->input->reader, group, column, &index, meta->error);
    bool has_index = !st;
    if (st && st != PLINTH_NOT_FOUND) return st;
    error_clear(meta->error);
    st = parquet_page_walk_init(&walk, meta->input->reader, group, column, meta->error);
    while (!st && found) {
        struct page_line line = {.number = -1};
        uint64_t offset = walk.at;
        st = parquet_page_walk_next(&walk, &line.info, &found, meta->error);
        if (st) error_prefix(meta->error, "page at offset %" PRIu64, offset);
        if (st || !found) break;
        if (line.info.kind == PARQUET_PAGE_KIND_DATA || line.info.kind == PARQUET_PAGE_KIND_DATA_V2)
            line.number = next++;
        describe(has_index ? &index : NULL, about, &line);
        if (!print(meta, context, group, column, &line)) break;
    }
    parquet_page_walk_deinit(&walk);
    if (has_index) parquet_page_index_deinit(&index);
    if (st) error_prefix(meta->error, "row group %u, column %.100s", group, about->path);
    return st;
}

static bool print_page_row(struct meta *meta, void *context, uint32_t group, uint32_t column,
                           const struct page_line *line) {
    const struct parquet_page_info *page = &line->info;
    const struct parquet_page_bounds *bounds = line->bounds;
    const struct cell none = {.kind = CELL_NULL};
    const struct cell cells[] = {cell_number(group),
                                 cell_text(meta->metadata->schema.columns[column].path),
                                 line->number < 0 ? none : cell_number((uint64_t)line->number),
                                 cell_text(parquet_page_kind_name(page->kind)),
                                 cell_text(parquet_encoding_name(page->encoding)),
                                 line->has_rows ? cell_number(line->rows) : none,
                                 cell_number(page->value_count),
                                 line->has_nulls ? cell_number(line->nulls) : none,
                                 bound_cell(meta, column, bounds, bounds ? bounds->min : (struct slice){0}, &meta->min),
                                 bound_cell(meta, column, bounds, bounds ? bounds->max : (struct slice){0}, &meta->max),
                                 cell_number(page->offset),
                                 cell_number(page->header_bytes),
                                 cell_number(page->compressed_bytes),
                                 cell_number(page->uncompressed_bytes),
                                 cell_text(crc_text(page))};
    return output_row(context, cells);
}

/* ---- As tables ---- */

static void print_escaped(struct slice text, size_t bytes_max) {
    struct buffer shown = BUFFER_INIT;
    if (!escaped_text_append(&shown, text)) cli_no_memory();
    shorten(&shown, bytes_max);
    if (shown.size) fwrite(shown.data, 1, shown.size, stdout);
    buffer_deinit(&shown);
}

static void print_head(const struct meta *meta) {
    const struct parquet_metadata *metadata = meta->metadata;
    printf("file         %s\nbytes        %" PRIu64 "\nversion      %d\ncreated by   ", meta->input->name,
           meta->input->source.size, metadata->version);
    print_escaped(metadata->created_by, VALUE_SHOWN_MAX);
    printf("\nrows         %" PRIu64 "\ncolumns      %u\nrow groups   %u\n", metadata->row_count,
           metadata->schema.column_count, metadata->row_group_count);
    if (metadata->key_value_count) printf("key-value metadata:\n");
    for (uint32_t i = 0; i < metadata->key_value_count; i++) {
        const struct parquet_key_value *pair = &metadata->key_values[i];
        printf("  ");
        print_escaped(pair->key, VALUE_SHOWN_MAX);
        if (pair->has_value) printf(" = ");
        if (pair->has_value) print_escaped(pair->value, VALUE_SHOWN_MAX);
        if (pair->has_value && pair->value.size > VALUE_SHOWN_MAX) printf(" (%zu bytes)", pair->value.size);
        printf("\n");
    }
}

static void print_group_head(const struct meta *meta, uint32_t number) {
    const struct parquet_row_group *group = &meta->metadata->row_groups[number];
    uint64_t bytes = 0, uncompressed = 0;
    for (uint32_t i = 0; i < meta->metadata->schema.column_count; i++) {
        bytes += group->columns[i].compressed_bytes;
        uncompressed += group->columns[i].uncompressed_bytes;
    }
    printf("\nrow group %u: %" PRIu64 " rows from row %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " uncompressed", number,
           group->row_count, group->first_row, bytes, uncompressed);
    for (uint32_t i = 0; i < group->sorting_count; i++) {
        const struct parquet_sorting_column *sorting = &group->sorting[i];
        bool is_known = sorting->column < meta->metadata->schema.column_count;
        printf("%s", i ? ", " : "; sorted by ");
        print_escaped(slice_of_string(is_known ? meta->metadata->schema.columns[sorting->column].path : "?"),
                      VALUE_SHOWN_MAX);
        printf("%s, nulls %s", sorting->is_descending ? " descending" : "", sorting->nulls_first ? "first" : "last");
    }
    printf("\n");
}

/* `skip` cells are said elsewhere. */
static bool print_chunks(struct meta *meta, uint32_t group, struct output *output, uint32_t skip) {
    bool more = true;
    for (uint32_t i = 0; more && i < meta->metadata->schema.column_count; i++) {
        struct chunk_cells cells;
        fill_chunk_cells(meta, group, i, &cells);
        more = output_row(output, cells.cells + skip);
    }
    return more;
}

static enum plinth_status print_pages(struct meta *meta, uint32_t group, struct output *output) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < meta->metadata->schema.column_count; i++)
        if (!chunk_at(meta, group, i)->is_encrypted) st = walk_pages(meta, group, i, print_page_row, output);
    return st;
}

static enum plinth_status print_tables(struct meta *meta, bool *is_written) {
    enum plinth_status st = PLINTH_OK;
    struct output output;
    print_head(meta);
    for (uint32_t i = 0; !st && *is_written && i < meta->metadata->row_group_count; i++) {
        print_group_head(meta, i);
        output_begin(&output, stdout, OUTPUT_TABLE, BYTES_TEXT, false, chunk_names + 1);
        print_chunks(meta, i, &output, 1);
        *is_written = output_end(&output);
        if (!meta->shows_pages || !*is_written) continue;
        printf("\npages of row group %u\n", i);
        output_begin(&output, stdout, OUTPUT_TABLE, BYTES_TEXT, false, page_names);
        st = print_pages(meta, i, &output);
        *is_written = output_end(&output);
    }
    return st;
}

/* A line a column chunk, or a page. */
static enum plinth_status print_csv(struct meta *meta, bool *is_written) {
    enum plinth_status st = PLINTH_OK;
    struct output output;
    bool more = true;
    output_begin(&output, stdout, OUTPUT_CSV, BYTES_TEXT, false, meta->shows_pages ? page_names : chunk_names);
    for (uint32_t i = 0; !st && more && i < meta->metadata->row_group_count; i++) {
        if (meta->shows_pages)
            st = print_pages(meta, i, &output);
        else
            more = print_chunks(meta, i, &output, 0);
    }
    *is_written = output_end(&output);
    return st;
}

/* ---- As JSON ---- */

static void bound_json(const struct meta *meta, struct json_out *out, const char *name, uint32_t column,
                       struct slice bound) {
    struct buffer json = BUFFER_INIT;
    if (!parquet_plain_value(&meta->metadata->schema, column, bound, true, &json)) cli_no_memory();
    json_raw(out, name, buffer_slice(&json));
    buffer_deinit(&json);
}

static bool page_json(struct meta *meta, void *context, uint32_t group, uint32_t column, const struct page_line *line) {
    const struct parquet_page_info *page = &line->info;
    struct json_out *out = context;
    (void)group;
    json_begin(out, NULL, '{');
    if (line->number >= 0) json_number(out, "page", (uint64_t)line->number);
    json_text(out, "kind", slice_of_string(parquet_page_kind_name(page->kind)));
    json_text(out, "encoding", slice_of_string(parquet_encoding_name(page->encoding)));
    if (line->has_rows) json_number(out, "rows", line->rows);
    json_number(out, "values", page->value_count);
    if (line->has_nulls) json_number(out, "nulls", line->nulls);
    if (line->bounds) bound_json(meta, out, "min", column, line->bounds->min);
    if (line->bounds) bound_json(meta, out, "max", column, line->bounds->max);
    json_number(out, "offset", page->offset);
    json_number(out, "header_bytes", page->header_bytes);
    json_number(out, "compressed_bytes", page->compressed_bytes);
    json_number(out, "uncompressed_bytes", page->uncompressed_bytes);
    if (page->has_crc) json_number(out, "crc", page->crc);
    if (page->has_crc) json_bool(out, "crc_is_right", page->crc_is_right);
    json_end(out);
    return true;
}

static void statistics_json(const struct meta *meta, struct json_out *out, uint32_t column,
                            const struct parquet_statistics *statistics) {
    if (statistics->has_null_count) json_number(out, "nulls", statistics->null_count);
    if (statistics->has_distinct_count) json_number(out, "distinct", statistics->distinct_count);
    if (statistics->has_min) bound_json(meta, out, "min", column, statistics->min);
    if (statistics->has_max) bound_json(meta, out, "max", column, statistics->max);
    if (statistics->has_min) json_bool(out, "min_is_exact", statistics->min_exact);
    if (statistics->has_max) json_bool(out, "max_is_exact", statistics->max_exact);
    if (statistics->is_legacy) json_bool(out, "bounds_are_legacy", true);
}

static enum plinth_status chunk_json(struct meta *meta, struct json_out *out, uint32_t group, uint32_t column) {
    const struct parquet_column_chunk *chunk = chunk_at(meta, group, column);
    const struct parquet_column *about = &meta->metadata->schema.columns[column];
    enum plinth_status st = PLINTH_OK;
    json_begin(out, NULL, '{');
    json_text(out, "column", slice_of_string(about->path));
    json_text(out, "type", slice_of_string(parquet_type_name(about->type)));
    json_text(out, "codec", slice_of_string(parquet_codec_name(chunk->codec)));
    json_begin(out, "encodings", '[');
    for (uint32_t i = 0; i < PARQUET_ENCODING_COUNT; i++)
        if (chunk->encodings >> i & 1)
            json_text(out, NULL, slice_of_string(parquet_encoding_name((enum parquet_encoding)i)));
    json_end(out);
    json_number(out, "values", chunk->value_count);
    statistics_json(meta, out, column, &chunk->statistics);
    json_number(out, "compressed_bytes", chunk->compressed_bytes);
    json_number(out, "uncompressed_bytes", chunk->uncompressed_bytes);
    json_number(out, "data_page_offset", chunk->data_page_offset);
    if (chunk->dictionary_page_offset) json_number(out, "dictionary_page_offset", chunk->dictionary_page_offset);
    if (chunk->bloom_offset) json_number(out, "bloom_filter_offset", chunk->bloom_offset);
    if (chunk->bloom_bytes) json_number(out, "bloom_filter_bytes", chunk->bloom_bytes);
    if (chunk->offset_index_offset) json_number(out, "offset_index_bytes", chunk->offset_index_bytes);
    if (chunk->column_index_offset) json_number(out, "column_index_bytes", chunk->column_index_bytes);
    if (chunk->is_encrypted) json_bool(out, "is_encrypted", true);
    if (meta->shows_pages && !chunk->is_encrypted) {
        json_begin(out, "pages", '[');
        st = walk_pages(meta, group, column, page_json, out);
        json_end(out);
    }
    json_end(out);
    return st;
}

static void sorting_json(const struct meta *meta, struct json_out *out, const struct parquet_row_group *group) {
    if (!group->sorting_count) return;
    json_begin(out, "sorting_columns", '[');
    for (uint32_t i = 0; i < group->sorting_count; i++) {
        const struct parquet_sorting_column *sorting = &group->sorting[i];
        bool is_known = sorting->column < meta->metadata->schema.column_count;
        json_begin(out, NULL, '{');
        json_text(out, "column",
                  slice_of_string(is_known ? meta->metadata->schema.columns[sorting->column].path : "?"));
        json_bool(out, "descending", sorting->is_descending);
        json_bool(out, "nulls_first", sorting->nulls_first);
        json_end(out);
    }
    json_end(out);
}

static enum plinth_status group_json(struct meta *meta, struct json_out *out, uint32_t number) {
    const struct parquet_row_group *group = &meta->metadata->row_groups[number];
    enum plinth_status st = PLINTH_OK;
    json_begin(out, NULL, '{');
    json_number(out, "rows", group->row_count);
    json_number(out, "first_row", group->first_row);
    json_number(out, "uncompressed_bytes", group->uncompressed_bytes);
    if (group->compressed_bytes) json_number(out, "compressed_bytes", group->compressed_bytes);
    sorting_json(meta, out, group);
    json_begin(out, "columns", '[');
    for (uint32_t i = 0; !st && i < meta->metadata->schema.column_count; i++) st = chunk_json(meta, out, number, i);
    json_end(out);
    json_end(out);
    return st;
}

static enum plinth_status print_json(struct meta *meta, bool *is_written) {
    const struct parquet_metadata *metadata = meta->metadata;
    enum plinth_status st = PLINTH_OK;
    struct json_out out;
    json_out_init(&out, stdout);
    json_begin(&out, NULL, '{');
    json_text(&out, "file", slice_of_string(meta->input->name));
    json_number(&out, "bytes", meta->input->source.size);
    json_integer(&out, "version", metadata->version);
    json_text(&out, "created_by", metadata->created_by);
    json_number(&out, "rows", metadata->row_count);
    json_number(&out, "columns", metadata->schema.column_count);
    json_begin(&out, "key_values", '[');
    for (uint32_t i = 0; i < metadata->key_value_count; i++) {
        json_begin(&out, NULL, '{');
        json_text(&out, "key", metadata->key_values[i].key);
        if (metadata->key_values[i].has_value) json_text(&out, "value", metadata->key_values[i].value);
        json_end(&out);
    }
    json_end(&out);
    json_begin(&out, "row_groups", '[');
    for (uint32_t i = 0; !st && i < metadata->row_group_count; i++) st = group_json(meta, &out, i);
    json_end(&out);
    json_end(&out);
    *is_written = json_finish(&out);
    return st;
}

int cli_parquet_meta(struct cli *cli) {
    struct parquet_input input;
    struct plinth_error error = {0};
    struct meta meta = {.input = &input,
                        .shows_pages = options_value(&cli->options, "pages") != NULL,
                        .is_csv = cli->format == OUTPUT_CSV,
                        .error = &error};
    bool is_written = true;
    enum plinth_status st = parquet_input_open(&input, cli->options.operands[0], NULL, &error);
    if (!st) {
        meta.metadata = parquet_reader_metadata(input.reader);
        st = cli->format == OUTPUT_JSON  ? print_json(&meta, &is_written)
             : cli->format == OUTPUT_CSV ? print_csv(&meta, &is_written)
                                         : print_tables(&meta, &is_written);
        if (st) error_prefix(&error, "%.200s", input.name);
    }
    buffer_deinit(&meta.min);
    buffer_deinit(&meta.max);
    parquet_input_close(&input);
    if (st) return cli_fail(CLI_FAILED, "%s", error.text);
    return is_written ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}
