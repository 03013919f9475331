/* plinth scan, row, find, export: rows of tables, by the Query service.
 *
 * Answers are pieces of one Arrow stream; the client's thread reads them, writes them out as they come, and so holds
 * the server back when the output is slower. */
#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_history.h"
#include "cmd/cli_progress.h"
#include "cmd/row_output.h"
#include "cmd/table_text.h"
#include "plinth/v1/admin.pb-c.h"
#include "plinth/v1/query.pb-c.h"

/* Rows on their way from an answer to the output. */
struct rows {
    struct cli *cli;
    enum rows_format format;
    bool one;
    const char *path; /* of the file, or "-" */
    struct file_sink *sink;
    struct row_output *output;
    struct arrow_reader *reader;
    struct buffer bytes;          /* not yet read */
    Plinth__V1__Explain *explain; /* copied by packing */
    struct progress progress;
    bool failed;
    struct plinth_error error;
};

/* ---- answers ---- */

static enum plinth_status begin_output(struct rows *rows, struct plinth_error *error) {
    const struct arrow_schema *schema = arrow_reader_schema(rows->reader);
    if (rows->output || !schema) return PLINTH_OK;
    return row_output_create(rows->format, rows->one, rows->sink, schema, &rows->output, error);
}

/* Reads the messages that are whole. */
static enum plinth_status take_bytes(struct rows *rows, struct slice more, struct plinth_error *error) {
    size_t at = 0;
    bool end = false;
    if (!buffer_append(&rows->bytes, more.data, more.size)) return error_no_memory(error, "answer");
    enum plinth_status st = PLINTH_OK;
    while (!st && !end && at < rows->bytes.size) {
        struct batch *batch = NULL;
        size_t used;
        st = arrow_reader_next(rows->reader, slice_of(rows->bytes.data + at, rows->bytes.size - at), &used, &batch,
                               &end, error);
        if (!st) st = begin_output(rows, error);
        if (!st && batch) st = row_output_batch(rows->output, batch, error);
        batch_unref(batch);
        if (!used) break;
        at += used;
    }
    memmove(rows->bytes.data, rows->bytes.data + at, rows->bytes.size - at);
    rows->bytes.size -= at;
    return st;
}

static Plinth__V1__Explain *copy_explain(const Plinth__V1__Explain *explain) {
    size_t size = plinth__v1__explain__get_packed_size(explain);
    uint8_t *packed = malloc(size + 1);
    if (!packed) cli_no_memory();
    plinth__v1__explain__pack(explain, packed);
    Plinth__V1__Explain *copy = plinth__v1__explain__unpack(NULL, size, packed);
    free(packed);
    if (!copy) cli_no_memory();
    return copy;
}

static bool on_rows(void *context, const ProtobufCMessage *answer) {
    struct rows *rows = context;
    const Plinth__V1__RowsResponse *response = (const Plinth__V1__RowsResponse *)answer;
    if (response->explain && !rows->explain) rows->explain = copy_explain(response->explain);
    if (response->arrow_ipc.len)
        rows->failed = take_bytes(rows, slice_of(response->arrow_ipc.data, response->arrow_ipc.len), &rows->error);
    if (rows->path && rows->output)
        progress_update(&rows->progress, row_output_rows(rows->output), file_sink_bytes(rows->sink));
    return !rows->failed;
}

/* ---- explain ---- */

static bool print_explain(const struct cli *cli, const Plinth__V1__Explain *explain) {
    static const char *const columns[] = {"path",
                                          "index",
                                          "predicate",
                                          "rows_estimated",
                                          "segments",
                                          "segments_skipped",
                                          "stripes",
                                          "stripes_skipped",
                                          "stripes_skipped_by_bloom",
                                          "stripes_skipped_by_postings",
                                          "rows_read",
                                          "rows_matched",
                                          "bytes_read",
                                          "memory_rows",
                                          "index_entries_read",
                                          "index_entries_dead",
                                          "threads",
                                          "elapsed_us",
                                          NULL};
    const struct cell none = {.kind = CELL_NULL};
    struct cell cells[] = {cell_text(explain->path),
                           *explain->index ? cell_text(explain->index) : none,
                           *explain->predicate ? cell_text(explain->predicate) : none,
                           cell_number(explain->rows_estimated),
                           cell_number(explain->segments),
                           cell_number(explain->segments_skipped),
                           cell_number(explain->stripes),
                           cell_number(explain->stripes_skipped),
                           cell_number(explain->stripes_skipped_by_bloom),
                           cell_number(explain->stripes_skipped_by_postings),
                           cell_number(explain->rows_read),
                           cell_number(explain->rows_matched),
                           cell_number(explain->bytes_read),
                           cell_number(explain->memory_rows),
                           cell_number(explain->index_entries_read),
                           cell_number(explain->index_entries_dead),
                           cell_number(explain->threads),
                           cell_number(explain->elapsed_us)};
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output);
}

/* ---- calls ---- */

static void rows_deinit(struct rows *rows) {
    row_output_destroy(rows->output);
    file_sink_abort(rows->sink);
    arrow_reader_destroy(rows->reader);
    buffer_deinit(&rows->bytes);
    if (rows->explain) plinth__v1__explain__free_unpacked(rows->explain, NULL);
}

static int rows_begin(struct rows *rows) {
    enum plinth_status st = arrow_reader_create(NULL, &rows->reader, &rows->error);
    if (!st && rows->format != ROWS_AS_TABLE)
        st = file_sink_open(rows->path ? rows->path : "-", &rows->sink, &rows->error);
    return st ? cli_fail(CLI_FAILED, "%s", rows->error.text) : CLI_OK;
}

static int rows_end(struct rows *rows, int code) {
    enum plinth_status st = rows->failed ? rows->error.status : PLINTH_OK;
    if (!st && !code && rows->output) st = row_output_end(rows->output, &rows->error);
    if (!st && !code && rows->sink) {
        st = file_sink_commit(rows->sink, &rows->error);
        rows->sink = NULL;
    }
    return st ? cli_fail(CLI_FAILED, "%s", rows->error.text) : code;
}

static int rows_stream(struct rows *rows, const char *method, const ProtobufCMessage *request) {
    int code = rows_begin(rows);
    if (!code) code = cli_stream(rows->cli, method, request, &plinth__v1__rows_response__descriptor, on_rows, rows);
    return rows_end(rows, code);
}

/* An answer without rows: the explanation alone. */
static bool on_explain(void *context, const ProtobufCMessage *answer) {
    struct rows *rows = context;
    const Plinth__V1__RowsResponse *response = (const Plinth__V1__RowsResponse *)answer;
    if (response->explain && !rows->explain) rows->explain = copy_explain(response->explain);
    return true;
}

static int explain_stream(struct rows *rows, const char *method, const ProtobufCMessage *request) {
    int code = cli_stream(rows->cli, method, request, &plinth__v1__rows_response__descriptor, on_explain, rows);
    if (code) return code;
    if (!rows->explain) return cli_fail(CLI_FAILED, "the server explained nothing");
    return print_explain(rows->cli, rows->explain) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

/* ---- what requests have in common ---- */

struct request_parts {
    struct arena arena;
    Plinth__V1__Table table;
    Plinth__V1__Predicate predicate;
    bool has_predicate;
    const char **columns;
    size_t column_count;
    const char **group_by;
    size_t group_count;
    struct cli_past past;
    uint64_t limit;
};

static bool names_option(const struct cli *cli, struct arena *arena, const char *option, const char ***names,
                         size_t *count) {
    const char *text = options_value(&cli->options, option);
    struct plinth_error error;
    if (!text || !table_text_names(arena, text, names, count, &error)) return true;
    cli_fail(CLI_USAGE, "--%s: %s", option, error.text);
    return false;
}

static bool parts_init(struct request_parts *parts, struct cli *cli) {
    *parts = (struct request_parts){0};
    arena_init(&parts->arena);
    plinth__v1__table__init(&parts->table);
    plinth__v1__predicate__init(&parts->predicate);
    parts->table.database = (char *)cli->database;
    parts->table.name = cli->options.operands[0];
    const char *where = options_value(&cli->options, "where");
    if (where) {
        parts->predicate.kind_case = PLINTH__V1__PREDICATE__KIND_SQL;
        parts->predicate.sql = (char *)where;
        parts->has_predicate = true;
    }
    if (!cli_past_init(&parts->past, cli)) return false;
    return names_option(cli, &parts->arena, "columns", &parts->columns, &parts->column_count) &&
           names_option(cli, &parts->arena, "group-by", &parts->group_by, &parts->group_count) &&
           cli_number(cli, "limit", 1, UINT64_MAX, &parts->limit);
}

static void parts_deinit(struct request_parts *parts) {
    cli_past_deinit(&parts->past);
    arena_deinit(&parts->arena);
}

/* --format, else what --output says. */
static bool format_of(const struct cli *cli, enum rows_format *format) {
    static const char *const formats[] = {"table", "csv", "jsonl", "json", "arrow", NULL};
    const char *text = options_value(&cli->options, "format");
    struct plinth_error error;
    unsigned which = cli->format == OUTPUT_JSON  ? ROWS_AS_JSON
                     : cli->format == OUTPUT_CSV ? ROWS_AS_CSV
                                                 : ROWS_AS_TABLE;
    if (text && options_parse_word("format", text, formats, &which, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
        return false;
    }
    *format = (enum rows_format)which;
    return true;
}

/* Values as text; the server reads them as the columns' types. */
static Plinth__V1__Value **text_values(struct arena *arena, char **texts, size_t count) {
    Plinth__V1__Value *values = arena_alloc(arena, (count + 1) * sizeof *values);
    Plinth__V1__Value **pointers = arena_alloc(arena, (count + 1) * sizeof *pointers);
    if (!values || !pointers) cli_no_memory();
    for (size_t i = 0; i < count; i++) {
        plinth__v1__value__init(&values[i]);
        values[i].kind_case = PLINTH__V1__VALUE__KIND_TEXT_VALUE;
        values[i].text_value = texts[i];
        pointers[i] = &values[i];
    }
    return pointers;
}

/* ---- scan ---- */

/* "count", "count(x)", "max(x)": between commas that stand outside of parentheses. */
static bool parse_function(struct arena *arena, const char *text, size_t size,
                           Plinth__V1__AggregateRequest__Function *to) {
    static const char *const names[] = {"count", "min", "max", "sum", "avg", NULL};
    const char *open = memchr(text, '(', size);
    size_t name_size = open ? (size_t)(open - text) : size;
    while (name_size && text[name_size - 1] == ' ') name_size--;
    plinth__v1__aggregate_request__function__init(to);
    for (unsigned i = 0; names[i]; i++)
        if (strlen(names[i]) == name_size && strncasecmp(names[i], text, name_size) == 0)
            to->kind = (Plinth__V1__AggregateRequest__Kind)(PLINTH__V1__AGGREGATE_REQUEST__KIND__KIND_COUNT + i);
    bool whole = open && text[size - 1] == ')';
    if (!to->kind || (open && !whole)) return false;
    if (!open) return to->kind == PLINTH__V1__AGGREGATE_REQUEST__KIND__KIND_COUNT;
    struct slice column = slice_of(open + 1, size - (size_t)(open + 1 - text) - 1);
    while (column.size && column.data[0] == ' ') column.data++, column.size--;
    while (column.size && column.data[column.size - 1] == ' ') column.size--;
    if (column.size >= 2 && column.data[0] == '"' && column.data[column.size - 1] == '"')
        column = slice_of(column.data + 1, column.size - 2);
    if (!column.size) return false;
    if (slice_equal(column, slice_of_string("*"))) column.size = 0;
    to->column = (char *)arena_copy(arena, column);
    if (!to->column) cli_no_memory();
    return column.size || to->kind == PLINTH__V1__AGGREGATE_REQUEST__KIND__KIND_COUNT;
}

static bool parse_functions(struct arena *arena, const char *text, Plinth__V1__AggregateRequest *request) {
    size_t most = 1;
    for (const char *at = text; *at; at++) most += *at == ',';
    Plinth__V1__AggregateRequest__Function *functions = arena_alloc(arena, most * sizeof *functions);
    request->functions = arena_alloc(arena, most * sizeof *request->functions);
    if (!functions || !request->functions) cli_no_memory();
    for (const char *at = text;; at++) {
        int depth = 0;
        while (*at == ' ') at++;
        const char *start = at;
        for (; *at && (*at != ',' || depth > 0); at++) depth += (*at == '(') - (*at == ')');
        size_t size = (size_t)(at - start);
        while (size && start[size - 1] == ' ') size--;
        if (!parse_function(arena, start, size, &functions[request->n_functions])) {
            cli_fail(CLI_USAGE,
                     "--aggregate: '%.*s' is none of count, count(column), min(column), max(column), "
                     "sum(column), avg(column)",
                     (int)size, start);
            return false;
        }
        request->functions[request->n_functions] = &functions[request->n_functions];
        request->n_functions++;
        if (!*at) return true;
    }
}

static int scan_aggregate(struct rows *rows, struct request_parts *parts, const char *functions, bool explain) {
    Plinth__V1__AggregateRequest request = PLINTH__V1__AGGREGATE_REQUEST__INIT;
    if (parts->column_count || parts->limit)
        return cli_fail(CLI_USAGE, "--columns and --limit do not go with aggregates; --group-by names columns");
    if (!parse_functions(&parts->arena, functions, &request)) return CLI_USAGE;
    request.table = &parts->table;
    request.group_by = (char **)parts->group_by;
    request.n_group_by = parts->group_count;
    request.predicate = parts->has_predicate ? &parts->predicate : NULL;
    request.read = parts->past.given;
    request.explain = explain;
    return (explain ? explain_stream : rows_stream)(rows, "/plinth.v1.Query/Aggregate", &request.base);
}

static void scan_request(const struct cli *cli, struct request_parts *parts, Plinth__V1__ScanRowsRequest *request) {
    request->table = &parts->table;
    request->columns = (char **)parts->columns;
    request->n_columns = parts->column_count;
    request->predicate = parts->has_predicate ? &parts->predicate : NULL;
    request->limit = parts->limit;
    request->read = parts->past.given;
    request->reverse = options_value(&cli->options, "reverse") != NULL;
    request->ordered = request->reverse || options_value(&cli->options, "ordered");
}

int cli_scan(struct cli *cli) {
    struct request_parts parts;
    struct rows rows = {.cli = cli};
    const char *functions = options_value(&cli->options, "aggregate");
    bool count = options_value(&cli->options, "count"), explain = options_value(&cli->options, "explain");
    int code = CLI_USAGE;
    if (!parts_init(&parts, cli) || !format_of(cli, &rows.format)) goto done;
    if (count && functions) {
        cli_fail(CLI_USAGE, "--count is --aggregate count: only one of them");
    } else if (count || functions) {
        code = scan_aggregate(&rows, &parts, functions ? functions : "count", explain);
    } else if (parts.group_count) {
        cli_fail(CLI_USAGE, "--group-by goes with --count or --aggregate");
    } else {
        Plinth__V1__ScanRowsRequest request = PLINTH__V1__SCAN_ROWS_REQUEST__INIT;
        scan_request(cli, &parts, &request);
        request.explain = explain;
        code = (explain ? explain_stream : rows_stream)(&rows, "/plinth.v1.Query/Scan", &request.base);
    }
done:
    rows_deinit(&rows);
    parts_deinit(&parts);
    return code;
}

/* ---- row ---- */

int cli_row(struct cli *cli) {
    struct request_parts parts;
    struct rows rows = {.cli = cli, .one = true};
    Plinth__V1__GetRowRequest request = PLINTH__V1__GET_ROW_REQUEST__INIT;
    Plinth__V1__GetRowResponse *response = NULL;
    int code = CLI_USAGE;
    if (!parts_init(&parts, cli) || !format_of(cli, &rows.format)) goto done;
    request.table = &parts.table;
    request.n_key = (size_t)cli->options.operand_count - 1;
    request.key = text_values(&parts.arena, cli->options.operands + 1, request.n_key);
    request.columns = (char **)parts.columns;
    request.n_columns = parts.column_count;
    request.read = parts.past.given;
    code =
        cli_call(cli, "/plinth.v1.Query/GetRow", &request.base, &plinth__v1__get_row_response__descriptor, &response);
    if (code) goto done;
    code = rows_begin(&rows);
    if (!code)
        rows.failed = take_bytes(&rows, slice_of(response->arrow_ipc.data, response->arrow_ipc.len), &rows.error);
    code = rows_end(&rows, code);
done:
    if (response) plinth__v1__get_row_response__free_unpacked(response, NULL);
    rows_deinit(&rows);
    parts_deinit(&parts);
    return code;
}

/* ---- find ---- */

int cli_find(struct cli *cli) {
    struct request_parts parts;
    struct rows rows = {.cli = cli};
    Plinth__V1__GetRowsByIndexRequest request = PLINTH__V1__GET_ROWS_BY_INDEX_REQUEST__INIT;
    char *lower = (char *)options_value(&cli->options, "lower"), *upper = (char *)options_value(&cli->options, "upper");
    int code = CLI_USAGE;
    if (!parts_init(&parts, cli) || !format_of(cli, &rows.format)) goto done;
    request.table = &parts.table;
    request.index = cli->options.operands[1];
    request.n_values = (size_t)cli->options.operand_count - 2;
    request.values = text_values(&parts.arena, cli->options.operands + 2, request.n_values);
    if (lower) request.lower = text_values(&parts.arena, &lower, 1)[0];
    if (upper) request.upper = text_values(&parts.arena, &upper, 1)[0];
    request.columns = (char **)parts.columns;
    request.n_columns = parts.column_count;
    request.limit = parts.limit;
    request.read = parts.past.given;
    code = rows_stream(&rows, "/plinth.v1.Query/GetByIndex", &request.base);
done:
    rows_deinit(&rows);
    parts_deinit(&parts);
    return code;
}

/* ---- export ---- */

static bool ends_with(struct slice name, const char *suffix) {
    size_t size = strlen(suffix);
    return name.size >= size && memcmp(name.data + name.size - size, suffix, size) == 0;
}

static bool export_format(const struct cli *cli, const char *path, enum rows_format *format) {
    static const char *const names[] = {"csv", "jsonl", "arrow", "parquet", NULL};
    static const enum rows_format formats[] = {ROWS_AS_CSV, ROWS_AS_JSONL, ROWS_AS_ARROW, ROWS_AS_PARQUET};
    const char *text = options_value(&cli->options, "format");
    struct slice name = slice_of_string(path);
    struct plinth_error error;
    unsigned which = 0;
    if (text && options_parse_word("format", text, names, &which, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
        return false;
    }
    if (ends_with(name, ".gz")) name.size -= 3;
    if (ends_with(name, ".zst")) name.size -= 4;
    if (!text)
        which = ends_with(name, ".jsonl") || ends_with(name, ".ndjson")   ? 1
                : ends_with(name, ".arrow") || ends_with(name, ".arrows") ? 2
                : ends_with(name, ".parquet")                             ? 3
                                                                          : 0;
    *format = formats[which];
    return true;
}

static bool export_order(const struct cli *cli, Plinth__V1__ScanRowsRequest *request) {
    static const char *const orders[] = {"key", "reverse", NULL};
    const char *text = options_value(&cli->options, "order");
    struct plinth_error error;
    unsigned which = 0;
    if (text && options_parse_word("order", text, orders, &which, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
        return false;
    }
    request->ordered = text != NULL;
    request->reverse = text && which == 1;
    return true;
}

static int export_table(struct cli *cli, const char *path) {
    struct request_parts parts;
    struct rows rows = {.cli = cli, .path = path};
    Plinth__V1__ScanRowsRequest request = PLINTH__V1__SCAN_ROWS_REQUEST__INIT;
    int code = CLI_USAGE;
    if (!parts_init(&parts, cli) || !export_format(cli, path, &rows.format)) goto done;
    scan_request(cli, &parts, &request);
    if (!export_order(cli, &request)) goto done;
    progress_begin(&rows.progress, "exported", 0, cli->quiet);
    code = rows_stream(&rows, "/plinth.v1.Query/Scan", &request.base);
    double seconds = progress_end(&rows.progress);
    if (!code && !cli->quiet)
        fprintf(stderr, "exported %llu rows in %.1f s\n",
                rows.output ? (unsigned long long)row_output_rows(rows.output) : 0ull, seconds);
done:
    rows_deinit(&rows);
    parts_deinit(&parts);
    return code;
}

int cli_export(struct cli *cli) {
    Plinth__V1__DescribeTableRequest request = PLINTH__V1__DESCRIBE_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__DescribeTableResponse *response;
    table.database = (char *)cli->database;
    table.name = cli->options.operands[0];
    request.table = &table;
    int code = cli_call(cli, "/plinth.v1.Admin/DescribeTable", &request.base,
                        &plinth__v1__describe_table_response__descriptor, &response);
    if (code) return code;
    bool is_space = response->is_space;
    plinth__v1__describe_table_response__free_unpacked(response, NULL);
    if (!is_space) return export_table(cli, cli->options.operand_count > 1 ? cli->options.operands[1] : "-");
    cli->space = cli->options.operands[0];
    cli->options.operands++;
    cli->options.operand_count--;
    return cli_kv_export(cli);
}
