/* plinth changes: a change feed as JSON lines, one for each key and row. Lines without "op" say how far it has come. */
#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_history.h"
#include "cmd/row_output.h"
#include "column/column_builder.h"
#include "column/time_text.h"
#include "column/type.h"
#include "plinth/v1/change_feed.pb-c.h"

struct changes_output {
    const struct cli *cli;
    bool follow, initial; /* the answer's changes are of the state where the feed begins */
    struct buffer line, position, time;
    int code;          /* said already */
    bool cannot_write; /* to standard output */
};

/* ---- members of a line ---- */

static bool put(struct buffer *line, const char *text) { return buffer_append(line, text, strlen(text)); }

static bool put_text(struct buffer *line, const char *name, const char *text) {
    return put(line, "\"") && put(line, name) && put(line, "\":") && json_string_append(line, slice_of_string(text));
}

static bool put_bytes(struct changes_output *output, const char *name, ProtobufCBinaryData bytes) {
    struct cell cell = cell_bytes(bytes.data, bytes.len);
    return put(&output->line, ",") && output_append_json_member(&output->line, name, &cell, output->cli->bytes);
}

static bool set_position(struct changes_output *output, const Plinth__V1__Position *position) {
    buffer_clear(&output->position);
    return (!position || hex_text_append(&output->position, slice_of(position->token.data, position->token.len))) &&
           buffer_append_u8(&output->position, 0);
}

static bool set_time(struct changes_output *output, uint64_t time_us) {
    int64_t us = (int64_t)time_us;
    const struct column column = {.type = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true}, .values = &us};
    buffer_clear(&output->time);
    return column_format(&output->time, &column, 0) && buffer_append_u8(&output->time, 0);
}

static bool write_line(struct changes_output *output) {
    const struct buffer *line = &output->line;
    if (!put(&output->line, "}\n")) cli_no_memory();
    output->cannot_write = fwrite(line->data, 1, line->size, stdout) != line->size;
    return !output->cannot_write;
}

/* What all lines of a change begin with. */
static void begin_line(struct changes_output *output, const char *kind, const char *database, const char *name,
                       const char *op) {
    struct buffer *line = &output->line;
    buffer_clear(line);
    bool ok = put(line, "{");
    if (ok && output->initial)
        ok = put(line, "\"initial\":true,");
    else if (ok)
        ok = put_text(line, "position", (const char *)output->position.data) && put(line, ",") &&
             put_text(line, "time", (const char *)output->time.data) && put(line, ",");
    if (ok && strcmp(database, "default") != 0) ok = put_text(line, "database", database) && put(line, ",");
    ok = ok && put_text(line, kind, name) && put(line, ",") && put_text(line, "op", op);
    if (!ok) cli_no_memory();
}

/* ---- keys ---- */

static bool put_indexes(struct changes_output *output, const Plinth__V1__KeyChange *key) {
    bool ok = put(&output->line, ",\"indexes\":[");
    for (size_t i = 0; ok && i < key->n_indexes; i++) {
        struct cell cell = cell_bytes(key->indexes[i]->value.data, key->indexes[i]->value.len);
        ok = put(&output->line, i ? ",{" : "{") && put_text(&output->line, "index", key->indexes[i]->index) &&
             put(&output->line, ",") && output_append_json_member(&output->line, "value", &cell, output->cli->bytes) &&
             put(&output->line, "}");
    }
    return ok && put(&output->line, "]");
}

static bool print_key(struct changes_output *output, const Plinth__V1__KeyChange *key) {
    bool set = key->kind == PLINTH__V1__KEY_CHANGE__KIND__KIND_SET;
    bool range = key->kind == PLINTH__V1__KEY_CHANGE__KIND__KIND_DELETE_RANGE;
    begin_line(output, "space", key->space ? key->space->database : "", key->space ? key->space->name : "",
               set     ? "set"
               : range ? "delete_range"
                       : "delete");
    bool ok = put_bytes(output, range ? "lower" : "key", key->key) &&
              (!range || put_bytes(output, "upper", key->upper)) && (!set || put_bytes(output, "value", key->value)) &&
              (!key->n_indexes || put_indexes(output, key)) &&
              (!key->existed || put_bytes(output, "previous", key->previous_value));
    if (!ok) cli_no_memory();
    return write_line(output);
}

/* ---- rows ---- */

struct decoded_rows {
    struct batch *batch; /* null: none; borrows from the answer */
    struct arrow_reader *reader;
};

static void decoded_deinit(struct decoded_rows *rows) {
    batch_unref(rows->batch);
    arrow_reader_destroy(rows->reader);
}

static enum plinth_status decode_rows(ProtobufCBinaryData bytes, struct decoded_rows *rows,
                                      struct plinth_error *error) {
    struct slice left = slice_of(bytes.data, bytes.len);
    bool end = false;
    *rows = (struct decoded_rows){0};
    if (!left.size) return PLINTH_OK;
    enum plinth_status st = arrow_reader_create(NULL, &rows->reader, error);
    while (!st && !end && !rows->batch) {
        size_t used;
        st = arrow_reader_next(rows->reader, left, &used, &rows->batch, &end, error);
        if (!st && !used) st = error_set(error, PLINTH_CORRUPT, "an Arrow stream is cut short");
        left = slice_of(left.data + used, left.size - used);
    }
    return st;
}

static bool put_row(struct buffer *line, const struct decoded_rows *rows, uint32_t row) {
    const struct arrow_schema *schema = arrow_reader_schema(rows->reader);
    bool ok = put(line, "{");
    for (uint32_t i = 0; ok && i < rows->batch->column_count; i++)
        ok = (!i || put(line, ",")) && json_string_append(line, slice_of_string(schema->fields[i].name)) &&
             put(line, ":") && row_value_json(line, &rows->batch->columns[i], row);
    return ok && put(line, "}");
}

/* A row that was not there is null in all columns, its key's, too. */
static bool is_there(const struct decoded_rows *rows, uint32_t row) {
    for (uint32_t i = 0; i < rows->batch->column_count; i++)
        if (!column_is_null(&rows->batch->columns[i], row)) return true;
    return false;
}

static bool print_rows(struct changes_output *output, const Plinth__V1__RowsChange *change) {
    struct decoded_rows rows, previous = {0};
    struct plinth_error error;
    enum plinth_status st = decode_rows(change->arrow_ipc, &rows, &error);
    if (!st) st = decode_rows(change->previous_arrow_ipc, &previous, &error);
    uint32_t count = !st && rows.batch ? rows.batch->rows : 0;
    if (st) output->code = cli_fail(CLI_FAILED, "rows of a change: %s", error.text);
    bool go_on = !st;
    for (uint32_t row = 0; go_on && row < count; row++) {
        const Plinth__V1__Table *table = change->table;
        begin_line(output, "table", table ? table->database : "", table ? table->name : "",
                   change->deleted ? "delete" : "upsert");
        bool ok = put(&output->line, change->deleted ? ",\"key\":" : ",\"row\":") && put_row(&output->line, &rows, row);
        if (ok && previous.batch && row < previous.batch->rows && is_there(&previous, row))
            ok = put(&output->line, ",\"previous\":") && put_row(&output->line, &previous, row);
        if (!ok) cli_no_memory();
        go_on = write_line(output);
    }
    decoded_deinit(&previous);
    decoded_deinit(&rows);
    return go_on;
}

/* ---- answers ---- */

static bool print_change(struct changes_output *output, const Plinth__V1__Change *change) {
    bool go_on = true;
    if (!set_position(output, change->position) || !set_time(output, change->time_us)) cli_no_memory();
    for (size_t i = 0; go_on && i < change->n_keys; i++) go_on = print_key(output, change->keys[i]);
    for (size_t i = 0; go_on && i < change->n_rows; i++) go_on = print_rows(output, change->rows[i]);
    return go_on;
}

/* How far it has come, so that one who stops here can go on. */
static bool print_progress(struct changes_output *output) {
    if (!output->position.size) return true;
    buffer_clear(&output->line);
    if (!put(&output->line, "{") || !put_text(&output->line, "position", (const char *)output->position.data))
        cli_no_memory();
    return write_line(output);
}

static bool print_answer(void *context, const ProtobufCMessage *message) {
    struct changes_output *output = context;
    const Plinth__V1__ChangesResponse *answer = (const Plinth__V1__ChangesResponse *)message;
    bool go_on = true;
    output->initial = answer->initial;
    for (size_t i = 0; go_on && i < answer->n_changes; i++) go_on = print_change(output, answer->changes[i]);
    if (!set_position(output, answer->position)) cli_no_memory();
    if (go_on && answer->position && output->follow && !answer->n_changes) go_on = print_progress(output);
    if (go_on && fflush(stdout)) go_on = !(output->cannot_write = true);
    return go_on;
}

/* ---- the request ---- */

/* --after, or what --as-of and --snapshot say. */
static bool set_start(const struct cli *cli, Plinth__V1__ChangesRequest *request, Plinth__V1__Position *after,
                      struct buffer *token, const struct cli_past *past) {
    const char *text = options_value(&cli->options, "after");
    struct plinth_error error;
    if (text && past->given) {
        cli_fail(CLI_USAGE, "only one of --after, --as-of and --snapshot can be given");
        return false;
    }
    request->snapshot_name = past->read.snapshot_name;
    request->as_of_time_us = past->read.as_of_time_us;
    request->after = past->read.snapshot;
    if (!text) return true;
    if (bytes_from_hex(token, slice_of_string(text), &error)) {
        cli_fail(CLI_USAGE, "--after: %s", error.text);
        return false;
    }
    plinth__v1__position__init(after);
    after->token = cli_data(token);
    request->after = after;
    return true;
}

/* Operands are tables and key spaces; so is --space. */
static void set_tables(const struct cli *cli, Plinth__V1__ChangesRequest *request, Plinth__V1__Table *tables,
                       Plinth__V1__Table **pointers) {
    size_t count = (size_t)cli->options.operand_count;
    for (size_t i = 0; i < count + (*cli->space != 0); i++) {
        plinth__v1__table__init(&tables[i]);
        tables[i].database = (char *)cli->database;
        tables[i].name = i < count ? cli->options.operands[i] : (char *)cli->space;
        pointers[i] = &tables[i];
    }
    request->tables = pointers;
    request->n_tables = count + (*cli->space != 0);
}

int cli_changes(struct cli *cli) {
    enum { TABLES_MAX = 64 };
    Plinth__V1__ChangesRequest request = PLINTH__V1__CHANGES_REQUEST__INIT;
    Plinth__V1__Predicate predicate = PLINTH__V1__PREDICATE__INIT;
    Plinth__V1__Position after;
    Plinth__V1__Table tables[TABLES_MAX + 1], *pointers[TABLES_MAX + 1];
    struct buffer token = BUFFER_INIT, prefix = BUFFER_INIT;
    struct cli_past past;
    struct changes_output output = {.cli = cli};
    const char *where = options_value(&cli->options, "where"), *begin = options_value(&cli->options, "prefix");
    int code = CLI_USAGE;
    if (cli->format == OUTPUT_CSV) return cli_fail(CLI_USAGE, "changes are written as JSON lines, not as CSV");
    if (!cli_past_init(&past, cli) || !set_start(cli, &request, &after, &token, &past) ||
        !cli_number(cli, "limit", 1, UINT64_MAX, &request.limit) ||
        (begin && !cli_bytes(cli, "--prefix", begin, &prefix)))
        goto done;
    set_tables(cli, &request, tables, pointers);
    request.prefix = cli_data(&prefix);
    if (where) {
        predicate.kind_case = PLINTH__V1__PREDICATE__KIND_SQL;
        predicate.sql = (char *)where;
        request.predicate = &predicate;
    }
    request.initial_state = options_value(&cli->options, "initial") != NULL;
    request.with_previous = options_value(&cli->options, "previous") != NULL;
    output.follow = options_value(&cli->options, "follow") != NULL;
    request.until_now = !output.follow;
    code = cli_stream(cli, "/plinth.v1.ChangeFeed/Changes", &request.base, &plinth__v1__changes_response__descriptor,
                      print_answer, &output);
    if (!code && !output.code && !output.cannot_write && !output.follow) (void)print_progress(&output);
    if (output.cannot_write || fflush(stdout)) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    if (output.code) code = output.code;
done:
    cli_past_deinit(&past);
    buffer_deinit(&token);
    buffer_deinit(&prefix);
    buffer_deinit(&output.line);
    buffer_deinit(&output.position);
    buffer_deinit(&output.time);
    return code;
}
