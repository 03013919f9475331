/* plinth segment cat, info: segment files as they lie in a data directory, without a server.
 *
 * A segment is a Parquet file; its rows are all versions in key order, with the hidden columns behind the table's own:
 * _lsn, _op (shown as set or delete), _ord. Those of key spaces have key, value and _index, the key's index entries,
 * which are shown as TABLE=VALUE. Keys of index segments are shown as the bytes that they are. */
#include <stdlib.h>

#include "base/env.h"
#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/row_output.h"
#include "cmd/table_reader.h"
#include "parquet/reader.h"
#include "table/row.h"

enum { CAT_ROWS = 8192, CAT_BYTES = 8 << 20 };

static bool make_strings(struct arena *arena, const struct column *from, uint32_t rows,
                         bool (*format)(struct buffer *, const struct column *, uint32_t), struct column *out) {
    struct column_builder builder;
    struct buffer text = BUFFER_INIT;
    if (!column_builder_init(&builder, column_type_of(COLUMN_STRING))) return false;
    bool ok = true;
    for (uint32_t row = 0; ok && row < rows; row++) {
        buffer_clear(&text);
        ok = column_is_null(from, row)
                 ? column_builder_null(&builder)
                 : format(&text, from, row) && column_builder_bytes_value(&builder, buffer_slice(&text));
    }
    struct column view = column_builder_view(&builder);
    const struct column *source = &view;
    const struct row_stretch all = {0, 0, rows};
    ok = ok && column_concat(arena, view.type, &source, &all, 1, rows, out);
    buffer_deinit(&text);
    column_builder_deinit(&builder);
    return ok;
}

static bool format_operation(struct buffer *into, const struct column *column, uint32_t row) {
    int32_t operation = ((const int32_t *)column->values)[row];
    const char *word = operation == ROW_SET ? "set" : operation == ROW_DELETE ? "delete" : "?";
    return buffer_append(into, word, strlen(word));
}

static bool append_indexes(struct buffer *into, struct slice bytes, bool escape) {
    struct reader list = reader_of(bytes);
    uint32_t table;
    struct slice value;
    bool ok = true;
    while (ok && row_indexes_next(&list, &table, &value)) {
        char number[16];
        snprintf(number, sizeof number, "%s%u=", into->size ? " " : "", table);
        ok = buffer_append(into, number, strlen(number)) &&
             (escape ? escaped_text_append(into, value) : buffer_append(into, value.data, value.size));
    }
    return ok && (!list.failed || buffer_append(into, "?", 1));
}

static bool format_indexes(struct buffer *into, const struct column *column, uint32_t row) {
    return append_indexes(into, column_bytes_at(column, row), true);
}

static bool format_raw_indexes(struct buffer *into, const struct column *column, uint32_t row) {
    return append_indexes(into, column_bytes_at(column, row), false);
}

static bool format_bytes(struct buffer *into, const struct column *column, uint32_t row) {
    return escaped_text_append(into, column_bytes_at(column, row));
}

/* Hidden columns, and keys and values that are bytes, in words. Tables escape bytes themselves. */
static enum plinth_status decode(struct table_rows *rows, bool escapes, struct arrow_field *fields,
                                 struct batch **decoded, struct plinth_error *error) {
    struct batch *made = batch_create(rows->schema.field_count);
    bool ok = made;
    for (uint32_t i = 0; ok && i < rows->schema.field_count; i++) {
        const struct column *column = &rows->batch->columns[i];
        const char *name = rows->schema.fields[i].name;
        fields[i] = rows->schema.fields[i];
        made->columns[i] = *column;
        bool (*format)(struct buffer *, const struct column *, uint32_t) = NULL;
        if (strcmp(name, "_op") == 0 && column->type.kind == COLUMN_INT32) format = format_operation;
        if (column->type.kind == COLUMN_BYTES && strcmp(name, "_index") == 0)
            format = escapes ? format_raw_indexes : format_indexes;
        else if (column->type.kind == COLUMN_BYTES && !escapes)
            format = format_bytes;
        if (!format) continue;
        fields[i].type = column_type_of(COLUMN_STRING);
        ok = make_strings(&made->arena, column, rows->batch->rows, format, &made->columns[i]);
    }
    if (!ok) {
        batch_unref(made);
        return error_no_memory(error, "segment");
    }
    made->rows = rows->batch->rows;
    *decoded = made;
    return PLINTH_OK;
}

/* ---- cat ---- */

struct cat {
    enum rows_format format;
    uint64_t left;
    struct file_sink *sink;
    struct arrow_field *fields;
};

static enum plinth_status cat_rows(struct cat *cat, struct table_reader *reader, struct plinth_error *error) {
    struct table_rows rows = {0};
    struct row_output *output = NULL;
    enum plinth_status st = PLINTH_OK;
    bool end = false;
    while (!st && !end && cat->left) {
        st = table_reader_next(reader, &rows, &end, error);
        if (st || end) break;
        struct batch *batch = NULL;
        if (rows.batch->rows > cat->left) rows.batch->rows = (uint32_t)cat->left;
        cat->left -= rows.batch->rows;
        st = decode(&rows, cat->format == ROWS_AS_TABLE, cat->fields, &batch, error);
        if (st) break;
        const struct arrow_schema schema = {cat->fields, rows.schema.field_count};
        if (!output) st = row_output_create(cat->format, false, cat->sink, &schema, &output, error);
        if (!st) st = row_output_batch(output, batch, error);
        batch_unref(batch);
    }
    if (!st && output) st = row_output_finish(output, error);
    row_output_destroy(output);
    table_rows_deinit(&rows);
    return st;
}

static int cat_file(struct cat *cat, const char *path) {
    const struct table_reader_options options = {
        .has_format = true, .format = TABLE_PARQUET, .batch_rows_max = CAT_ROWS, .batch_bytes_max = CAT_BYTES};
    struct table_reader *reader;
    const struct table_reader_column *columns;
    struct plinth_error error;
    size_t count = 0;
    enum plinth_status st = table_reader_open(path, &options, &reader, &error);
    if (!st) st = table_reader_guess(reader, &columns, &count, &error);
    if (!st) st = table_reader_bind(reader, columns, count, false, &error);
    cat->fields = calloc(count + 1, sizeof *cat->fields);
    if (!cat->fields) cli_no_memory();
    if (!st) st = cat_rows(cat, reader, &error);
    free(cat->fields);
    table_reader_close(reader);
    return st ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_OK;
}

int cli_segment_cat(struct cli *cli) {
    static const char *const formats[] = {"table", "csv", "jsonl", "json", NULL};
    const char *format = options_value(&cli->options, "format");
    struct cat cat = {.left = UINT64_MAX};
    struct plinth_error error;
    unsigned which = cli->format == OUTPUT_JSON  ? ROWS_AS_JSON
                     : cli->format == OUTPUT_CSV ? ROWS_AS_CSV
                                                 : ROWS_AS_TABLE;
    if (!cli_number(cli, "limit", 1, UINT64_MAX, &cat.left)) return CLI_USAGE;
    if (format && options_parse_word("format", format, formats, &which, &error))
        return cli_fail(CLI_USAGE, "%s", error.text);
    cat.format = (enum rows_format)which;
    if (file_sink_open("-", &cat.sink, &error)) return cli_fail(CLI_FAILED, "%s", error.text);
    int code = CLI_OK;
    for (int i = 0; !code && i < cli->options.operand_count; i++) code = cat_file(&cat, cli->options.operands[i]);
    if (file_sink_commit(cat.sink, &error) && !code) code = cli_fail(CLI_FAILED, "%s", error.text);
    return code;
}

/* ---- info ---- */

static bool show(struct output *output, const char *what, struct cell value) {
    struct cell cells[] = {cell_text(what), value};
    return output_row(output, cells);
}

static void show_columns(struct output *output, const struct parquet_metadata *metadata) {
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) {
        uint64_t bytes = 0;
        char name[300];
        for (uint32_t g = 0; g < metadata->row_group_count; g++)
            bytes += metadata->row_groups[g].columns[i].compressed_bytes;
        snprintf(name, sizeof name, "bytes of %.256s", metadata->schema.columns[i].path);
        if (!show(output, name, cell_number(bytes))) return;
    }
}

static bool print_info(const struct cli *cli, const char *path, uint64_t bytes,
                       const struct parquet_metadata *metadata) {
    static const char *const columns[] = {"what", "value", NULL};
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    bool more = show(&output, "file", cell_text(path)) && show(&output, "bytes", cell_number(bytes)) &&
                show(&output, "rows", cell_number(metadata->row_count)) &&
                show(&output, "row groups", cell_number(metadata->row_group_count));
    for (uint32_t i = 0; more && i < metadata->key_value_count; i++) {
        struct buffer key = BUFFER_INIT;
        const struct parquet_key_value *pair = &metadata->key_values[i];
        if (!buffer_append(&key, pair->key.data, pair->key.size) || !buffer_append_u8(&key, 0)) cli_no_memory();
        more = show(&output, (const char *)key.data, cell_bytes(pair->value.data, pair->value.size));
        buffer_deinit(&key);
    }
    if (more) show_columns(&output, metadata);
    return output_end(&output);
}

static int info_file(const struct cli *cli, const char *path) {
    struct parquet_source source = {0};
    struct parquet_reader *reader = NULL;
    struct env_file *file = NULL;
    struct plinth_error error;
    enum plinth_status st = env_open(env_posix(), path, ENV_READ, &file, &error);
    if (!st) st = file_map(file, &source.mapped, &source.size, &error);
    if (!st) {
        st = parquet_reader_open(&source, NULL, &reader, &error);
        if (st) error_prefix(&error, "%s", path);
    }
    bool written = st || print_info(cli, path, source.size, parquet_reader_metadata(reader));
    parquet_reader_close(reader);
    file_close(file);
    if (st) return cli_fail(CLI_FAILED, "%s", error.text);
    return written ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

int cli_segment_info(struct cli *cli) {
    int code = CLI_OK;
    for (int i = 0; !code && i < cli->options.operand_count; i++) code = info_file(cli, cli->options.operands[i]);
    return code;
}
