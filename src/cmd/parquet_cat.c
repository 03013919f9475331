/* plinth parquet cat, head: rows of a Parquet file, nested ones too. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/file_sink.h"
#include "cmd/parquet_input.h"
#include "cmd/parquet_values.h"
#include "cmd/row_output.h"
#include "plinth_parquet.h"

enum { FLUSH_BYTES = 256 << 10, HEAD_ROWS = 10 };

struct cat {
    enum rows_format format;
    struct file_sink *sink;
    struct parquet_values values;
    const struct parquet_column **leaves; /* those that are read, in order */
    struct buffer bytes;                  /* not yet written */
    uint64_t rows;
    /* table */
    struct output table;
    const char **names;
    struct cell *cells;
    struct buffer *texts;
};

static uint32_t column_count(const struct cat *cat) { return cat->values.root.child_count; }
static const struct parquet_value *column_at(const struct cat *cat, uint32_t i) {
    return &cat->values.root.children[i];
}

/* ---- Rows ---- */

static enum plinth_status flush(struct cat *cat, size_t from, struct plinth_error *error) {
    if (cat->bytes.size < from || !cat->bytes.size) return PLINTH_OK;
    enum plinth_status st = file_sink_write(cat->sink, buffer_slice(&cat->bytes), error);
    buffer_clear(&cat->bytes);
    return st;
}

static enum plinth_status csv_row(struct cat *cat, uint32_t row, struct plinth_error *error) {
    bool ok = true;
    if (column_count(cat) == 1 && parquet_value_is_null(column_at(cat, 0), row))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "CSV of one column cannot tell a null from an empty line; use --format jsonl");
    for (uint32_t i = 0; ok && i < column_count(cat); i++)
        ok = (i == 0 || buffer_append_u8(&cat->bytes, ',')) &&
             parquet_value_csv(&cat->values, &cat->bytes, column_at(cat, i), row);
    return ok && buffer_append_u8(&cat->bytes, '\n') ? PLINTH_OK : error_no_memory(error, "row");
}

static enum plinth_status json_row(struct cat *cat, uint32_t row, struct plinth_error *error) {
    bool is_list = cat->format == ROWS_AS_JSON;
    const char *before = !is_list ? "" : cat->rows ? ",\n " : "\n ";
    bool ok = buffer_append(&cat->bytes, before, strlen(before)) &&
              parquet_value_json(&cat->values, &cat->bytes, &cat->values.root, row) &&
              (is_list || buffer_append_u8(&cat->bytes, '\n'));
    return ok ? PLINTH_OK : error_no_memory(error, "row");
}

static enum plinth_status table_row(struct cat *cat, uint32_t row, struct plinth_error *error) {
    for (uint32_t i = 0; i < column_count(cat); i++) {
        const struct parquet_value *value = column_at(cat, i);
        cat->cells[i] = (struct cell){.kind = CELL_NULL};
        if (parquet_value_is_null(value, row)) continue;
        buffer_clear(&cat->texts[i]);
        if (!parquet_value_text(&cat->values, &cat->texts[i], value, row)) return error_no_memory(error, "row");
        cat->cells[i] = (struct cell){.kind = CELL_TEXT, .bytes = buffer_slice(&cat->texts[i])};
    }
    if (output_row(&cat->table, cat->cells)) return PLINTH_OK;
    return error_set(error, PLINTH_IO_ERROR, "cannot write to standard output");
}

static enum plinth_status print_batch(struct cat *cat, const struct ArrowArray *batch, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    parquet_values_bind(&cat->values, batch);
    for (uint32_t row = 0; !st && row < (uint32_t)batch->length; row++, cat->rows++) {
        st = cat->format == ROWS_AS_CSV     ? csv_row(cat, row, error)
             : cat->format == ROWS_AS_TABLE ? table_row(cat, row, error)
                                            : json_row(cat, row, error);
        if (!st) st = flush(cat, FLUSH_BYTES, error);
    }
    return st;
}

/* ---- What stands before and behind them ---- */

static bool is_number(const struct parquet_value *value) {
    uint8_t kind = value->view.type.kind;
    if (value->form == VALUE_DECIMAL || value->form == VALUE_HALF) return true;
    return value->form == VALUE_COLUMN &&
           (column_kind_is_integer(kind) || column_kind_is_float(kind) || kind == COLUMN_DECIMAL);
}

static enum plinth_status begin_table(struct cat *cat, struct plinth_error *error) {
    uint32_t count = column_count(cat);
    struct arena *arena = &cat->values.arena;
    if (count > OUTPUT_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%u columns are too many for a table, which has at most %d; choose some with --columns, or "
                         "another --format",
                         count, OUTPUT_COLUMNS_MAX);
    cat->names = arena_zalloc(arena, (count + 1) * sizeof *cat->names);
    cat->cells = arena_zalloc(arena, (count + 1) * sizeof *cat->cells);
    cat->texts = arena_zalloc(arena, (count + 1) * sizeof *cat->texts);
    if (!cat->names || !cat->cells || !cat->texts) return error_no_memory(error, "output");
    for (uint32_t i = 0; i < count; i++) {
        struct buffer shown = BUFFER_INIT; /* as its cells are */
        bool ok = escaped_text_append(&shown, slice_of_string(column_at(cat, i)->name));
        cat->names[i] = ok ? (const char *)arena_copy(arena, buffer_slice(&shown)) : NULL;
        buffer_deinit(&shown);
        if (!cat->names[i]) return error_no_memory(error, "output");
    }
    output_begin(&cat->table, stdout, OUTPUT_TABLE, BYTES_TEXT, false, cat->names);
    for (uint32_t i = 0; i < count; i++) cat->table.numeric[i] = is_number(column_at(cat, i));
    return PLINTH_OK;
}

static enum plinth_status begin_rows(struct cat *cat, struct plinth_error *error) {
    bool ok = true;
    if (cat->format == ROWS_AS_TABLE) return begin_table(cat, error);
    if (cat->format == ROWS_AS_JSON) ok = buffer_append_u8(&cat->bytes, '[');
    if (cat->format == ROWS_AS_CSV) {
        for (uint32_t i = 0; ok && i < column_count(cat); i++)
            ok = (i == 0 || buffer_append_u8(&cat->bytes, ',')) &&
                 csv_field_append(&cat->bytes, slice_of_string(column_at(cat, i)->name), ',');
        ok = ok && buffer_append_u8(&cat->bytes, '\n');
    }
    return ok ? PLINTH_OK : error_no_memory(error, "output");
}

static enum plinth_status end_rows(struct cat *cat, struct plinth_error *error) {
    if (cat->format == ROWS_AS_TABLE) {
        if (output_end(&cat->table)) return PLINTH_OK;
        return error_set(error, PLINTH_IO_ERROR, "cannot write to standard output");
    }
    const char *end = cat->format != ROWS_AS_JSON ? "" : cat->rows ? "\n]\n" : "]\n";
    if (!buffer_append(&cat->bytes, end, strlen(end))) return error_no_memory(error, "output");
    return flush(cat, 0, error);
}

/* ---- The file ---- */

struct request {
    const char *path;
    const char *words[1024];
    char *copy; /* what the words lie in */
    uint64_t skip, limit;
    struct plinth_parquet_open_options options;
    struct plinth_parquet_selection selection;
};

static bool is_asked_for(const struct request *request, const char *path) {
    if (!request->selection.columns) return true;
    for (uint32_t i = 0; i < request->selection.column_count; i++) {
        size_t size = strlen(request->words[i]);
        if (strncmp(path, request->words[i], size) == 0 && (!path[size] || path[size] == '.')) return true;
    }
    return false;
}

/* The columns that the rows' leaves are, for what Arrow's types do not tell. */
static bool find_leaves(struct cat *cat, const struct request *request, const struct parquet_schema *schema) {
    uint32_t count = 0;
    cat->leaves = calloc(schema->column_count + 1, sizeof *cat->leaves);
    for (uint32_t i = 0; cat->leaves && i < schema->column_count; i++)
        if (is_asked_for(request, schema->columns[i].path)) cat->leaves[count++] = &schema->columns[i];
    return cat->leaves;
}

static enum plinth_status stream_failed(const char *name, struct ArrowArrayStream *stream, struct plinth_error *error) {
    const char *text = stream->get_last_error(stream);
    return error_set(error, PLINTH_CORRUPT, "%.200s: %.270s", name, text ? text : "the rows cannot be read");
}

static enum plinth_status print_rows(struct cat *cat, const char *name, struct ArrowArrayStream *rows,
                                     struct plinth_error *error) {
    struct ArrowSchema schema = {0};
    if (rows->get_schema(rows, &schema)) return stream_failed(name, rows, error);
    enum plinth_status st = parquet_values_init(&cat->values, &schema, cat->leaves, error);
    schema.release(&schema);
    if (!st) st = begin_rows(cat, error);
    while (!st) {
        struct ArrowArray batch = {0};
        if (rows->get_next(rows, &batch)) {
            st = stream_failed(name, rows, error);
            enum plinth_status flushed = flush(cat, 0, NULL); /* the rows before it */
            st = st ? st : flushed;
        }
        if (st || !batch.release) break;
        st = print_batch(cat, &batch, error);
        batch.release(&batch);
    }
    if (!st) return end_rows(cat, error);
    if (cat->format == ROWS_AS_TABLE && cat->names) (void)output_end(&cat->table);
    return st;
}

static enum plinth_status cat_file(struct cat *cat, struct request *request, struct plinth_error *error) {
    struct parquet_input input;
    struct plinth_parquet_file *file = NULL;
    struct ArrowArrayStream rows = {0};
    enum plinth_status st = parquet_input_open(&input, request->path, NULL, error);
    if (st) goto done;
    if (!find_leaves(cat, request, &parquet_reader_metadata(input.reader)->schema)) cli_no_memory();
    st = plinth_parquet_open_memory(input.source.mapped, (size_t)input.source.size, &request->options, &file, error);
    if (!st) st = plinth_parquet_read(file, &request->selection, &rows, error);
    if (st) error_prefix(error, "%.200s", input.name);
    if (!st) st = print_rows(cat, input.name, &rows, error);
done:
    if (rows.release) rows.release(&rows);
    plinth_parquet_close(file);
    parquet_input_close(&input);
    return st;
}

static bool read_request(struct cli *cli, bool is_head, struct cat *cat, struct request *request) {
    static const char *const formats[] = {"table", "csv", "jsonl", "json", NULL};
    static const char *const units[] = {"ns", "us", "ms", NULL};
    const char *format = options_value(&cli->options, "format"), *columns = options_value(&cli->options, "columns"),
               *int96 = options_value(&cli->options, "int96");
    struct plinth_error error;
    unsigned which = cli->format == OUTPUT_JSON  ? ROWS_AS_JSON
                     : cli->format == OUTPUT_CSV ? ROWS_AS_CSV
                                                 : ROWS_AS_TABLE;
    unsigned unit = 0;
    request->limit = is_head ? HEAD_ROWS : UINT64_MAX;
    if (format && options_parse_word("format", format, formats, &which, &error)) goto wrong;
    if (int96 && options_parse_word("int96", int96, units, &unit, &error)) goto wrong;
    if (!cli_number(cli, "limit", 0, UINT64_MAX, &request->limit)) return false;
    if (!is_head && !cli_number(cli, "skip", 0, UINT64_MAX, &request->skip)) return false;
    cat->format = (enum rows_format)which;
    request->options.int96 = (enum plinth_parquet_int96)unit;
    if (columns) {
        if (!parquet_words_split(columns, &request->copy, request->words, 1024, &request->selection.column_count)) {
            cli_fail(CLI_USAGE, "--columns: '%s' is no list of up to 1024 columns with commas between", columns);
            return false;
        }
        request->selection.columns = request->words;
    }
    if (request->limit < 65536) request->selection.batch_rows = request->limit ? (uint32_t)request->limit : 1;
    request->selection.row_begin = request->skip;
    request->selection.row_end = request->limit < UINT64_MAX - request->skip ? request->skip + request->limit : 0;
    return true;
wrong:
    cli_fail(CLI_USAGE, "%s", error.text);
    return false;
}

static int run(struct cli *cli, bool is_head) {
    static struct request request;
    struct cat cat = {0};
    struct plinth_error error = {0};
    int code = CLI_USAGE;
    request = (struct request){.path = cli->options.operands[0]};
    if (!read_request(cli, is_head, &cat, &request)) goto done;
    if (request.limit == 0) { /* which row_end cannot say */
        request.selection.row_begin = UINT64_MAX - 1;
        request.selection.row_end = UINT64_MAX;
    }
    enum plinth_status st = file_sink_open("-", &cat.sink, &error);
    if (!st) st = cat_file(&cat, &request, &error);
    code = st ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_OK;
    if (cat.sink && file_sink_commit(cat.sink, &error) && !code) code = cli_fail(CLI_FAILED, "%s", error.text);
done:
    for (uint32_t i = 0; cat.texts && i < column_count(&cat); i++) buffer_deinit(&cat.texts[i]);
    buffer_deinit(&cat.bytes);
    free(cat.leaves);
    parquet_values_deinit(&cat.values);
    free(request.copy);
    return code;
}

int cli_parquet_cat(struct cli *cli) { return run(cli, false); }
int cli_parquet_head(struct cli *cli) { return run(cli, true); }
