/* plinth table create, list, describe, drop; index create, drop, list; space drop. */
#include <stdlib.h>
#include <string.h>

#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_table.h"

const char *const cli_codec_names[] = {"default", "lz4", "zstd", "none", NULL};
static const char *const kind_names[] = {"?", "space", "sorted", "bloom", "bitmap", "token", NULL};
static const char *const state_names[] = {"?", "building", "ready", "dropping", NULL};

static const char *name_of(const char *const *names, unsigned number) {
    for (unsigned i = 0; names[i]; i++)
        if (i == number) return names[i];
    return "?";
}

static int no_output(void) { return cli_fail(CLI_FAILED, "cannot write to standard output"); }

Plinth__V1__Table cli_table_of(const struct cli *cli, const char *name) {
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    table.database = (char *)cli->database;
    table.name = (char *)name;
    return table;
}

/* What was made, changed or dropped: its names. */
int cli_print_names(const struct cli *cli, const char *table, const char *what, const char *name) {
    const char *columns[] = {"database", "table", what, NULL};
    struct cell cells[] = {cell_text(*cli->database ? cli->database : "default"), cell_text(table),
                           cell_text(name ? name : "")};
    if (cli->quiet) return CLI_OK;
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : no_output();
}

/* A call whose answer says nothing. */
static int call(struct cli *cli, const char *path, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *response_type) {
    ProtobufCMessage *response;
    int code = cli_call(cli, path, request, response_type, &response);
    if (!code) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

/* ---- table create ---- */

/* Columns as messages, in the arena. */
Plinth__V1__Column **cli_column_messages(struct arena *arena, const struct table_text *table) {
    Plinth__V1__Column *columns = arena_alloc(arena, (table->column_count + 1) * sizeof *columns);
    Plinth__V1__Column **pointers = arena_alloc(arena, (table->column_count + 1) * sizeof *pointers);
    if (!columns || !pointers) cli_no_memory();
    for (size_t i = 0; i < table->column_count; i++) {
        plinth__v1__column__init(&columns[i]);
        columns[i].name = (char *)table->columns[i].name;
        columns[i].type = (char *)table->columns[i].type;
        columns[i].not_null = table->columns[i].not_null;
        columns[i].has_default = table->columns[i].default_value != NULL;
        if (columns[i].has_default) columns[i].default_value = (char *)table->columns[i].default_value;
        pointers[i] = &columns[i];
    }
    return pointers;
}

static bool interval_option(const struct cli *cli, const char *name, uint64_t *us) {
    const char *text = options_value(&cli->options, name);
    struct plinth_error error;
    if (!text || !interval_parse(slice_of_string(text), us, &error)) return true;
    cli_fail(CLI_USAGE, "--%s: %s", name, error.text);
    return false;
}

/* The options of the table; what its text says of partitions goes with them. False when said to be wrong already. */
static bool table_options(const struct cli *cli, struct arena *arena, const struct table_text *text,
                          Plinth__V1__TableOptions *options) {
    const struct options *given = &cli->options;
    const char *by = options_value(given, "partition-by"), *every = options_value(given, "every");
    const char *codec = options_value(given, "codec"), *expire = options_value(given, "expire");
    struct plinth_error error;
    unsigned which = 0;
    uint64_t page_rows = 0;
    if (text->partition_by && (by || every)) {
        cli_fail(CLI_USAGE, "partitions are given twice: behind the columns and by --partition-by or --every");
        return false;
    }
    if (!by != !every) {
        cli_fail(CLI_USAGE, "--partition-by and --every go together");
        return false;
    }
    options->partition_by = (char *)(by ? by : text->partition_by ? text->partition_by : "");
    options->partition_us = text->partition_us;
    if (!interval_option(cli, "every", &options->partition_us) ||
        !interval_option(cli, "retention", &options->retention_us) ||
        !cli_number(cli, "page-rows", 16, 65536, &page_rows))
        return false;
    if (expire && expiry_text_parse(arena, expire, &options->expire_by, &options->expire_us, &error)) {
        cli_fail(CLI_USAGE, "--expire: %s", error.text);
        return false;
    }
    if (codec && options_parse_word("codec", codec, cli_codec_names, &which, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
        return false;
    }
    options->codec = (Plinth__V1__Codec)which;
    options->page_rows = (uint32_t)page_rows;
    options->adds_columns = options_value(given, "add-columns") != NULL;
    return true;
}

int cli_table_create(struct cli *cli) {
    struct arena arena;
    struct table_text text;
    struct plinth_error error;
    arena_init(&arena);
    Plinth__V1__CreateTableRequest request = PLINTH__V1__CREATE_TABLE_REQUEST__INIT;
    Plinth__V1__TableOptions options = PLINTH__V1__TABLE_OPTIONS__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    int code = CLI_USAGE;
    if (table_text_parse(&arena, cli->options.operands[1], &text, &error)) {
        cli_fail(CLI_USAGE, "%s", error.text);
    } else if (table_options(cli, &arena, &text, &options)) {
        request.table = &table;
        request.columns = cli_column_messages(&arena, &text);
        request.n_columns = text.column_count;
        request.primary_key = (char **)text.key;
        request.n_primary_key = text.key_count;
        request.options = &options;
        code = call(cli, "/plinth.v1.Admin/CreateTable", &request.base, &plinth__v1__create_table_response__descriptor);
        if (!code) code = cli_print_names(cli, table.name, NULL, NULL);
    }
    arena_deinit(&arena);
    return code;
}

int cli_table_drop(struct cli *cli) {
    Plinth__V1__DropTableRequest request = PLINTH__V1__DROP_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    request.table = &table;
    int code = call(cli, "/plinth.v1.Admin/DropTable", &request.base, &plinth__v1__drop_table_response__descriptor);
    return code ? code : cli_print_names(cli, table.name, NULL, NULL);
}

int cli_space_drop(struct cli *cli) {
    Plinth__V1__DropSpaceRequest request = PLINTH__V1__DROP_SPACE_REQUEST__INIT;
    Plinth__V1__Space space = PLINTH__V1__SPACE__INIT;
    space.database = (char *)cli->database;
    space.name = cli->options.operands[0];
    request.space = &space;
    int code = call(cli, "/plinth.v1.Admin/DropSpace", &request.base, &plinth__v1__drop_space_response__descriptor);
    if (code || cli->quiet) return code;
    static const char *const columns[] = {"database", "space", NULL};
    struct cell cells[] = {cell_text(*cli->database ? cli->database : "default"), cell_text(space.name)};
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : no_output();
}

/* ---- table list ---- */

int cli_table_list(struct cli *cli) {
    static const char *const columns[] = {"database", "table", "kind", "id", NULL};
    Plinth__V1__ListTablesRequest request = PLINTH__V1__LIST_TABLES_REQUEST__INIT;
    Plinth__V1__ListTablesResponse *response;
    int code = cli_call(cli, "/plinth.v1.Admin/ListTables", &request.base,
                        &plinth__v1__list_tables_response__descriptor, &response);
    if (code) return code;
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    for (size_t i = 0; i < response->n_tables; i++) {
        const Plinth__V1__ListTablesResponse__Entry *entry = response->tables[i];
        if (*cli->database && strcmp(cli->database, entry->table->database) != 0) continue;
        struct cell cells[] = {cell_text(entry->table->database), cell_text(entry->table->name),
                               cell_text(entry->is_space ? "space" : "table"), cell_number(entry->id)};
        if (!output_row(&output, cells)) break;
    }
    plinth__v1__list_tables_response__free_unpacked(response, NULL);
    return output_end(&output) ? CLI_OK : no_output();
}

/* ---- table describe ---- */

/* Names with commas between; freed by the caller. */
static char *join(char *const *names, size_t count) {
    struct buffer text = BUFFER_INIT;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = (i == 0 || buffer_append(&text, ", ", 2)) && buffer_append(&text, names[i], strlen(names[i]));
    if (!ok || !buffer_append_u8(&text, 0)) cli_no_memory();
    return (char *)text.data;
}

/* The place in the primary key, from 1; a null when it is no part. */
static struct cell key_cell(const Plinth__V1__DescribeTableResponse *table, const char *column) {
    for (size_t i = 0; i < table->n_primary_key; i++)
        if (strcmp(table->primary_key[i], column) == 0) return cell_number(i + 1);
    return (struct cell){.kind = CELL_NULL};
}

static struct cell interval_cell(uint64_t us, char text[INTERVAL_TEXT_MAX]) {
    return us ? cell_text(interval_format(us, text)) : (struct cell){.kind = CELL_NULL};
}

enum { EXPIRY_TEXT_MAX = 256 };
/* As --expire takes it. */
static struct cell expiry_cell(const Plinth__V1__TableOptions *options, char text[EXPIRY_TEXT_MAX]) {
    char after[INTERVAL_TEXT_MAX];
    if (!*options->expire_by) return (struct cell){.kind = CELL_NULL};
    if (!options->expire_us) return cell_text(options->expire_by);
    snprintf(text, EXPIRY_TEXT_MAX, "%.160s + %s", options->expire_by, interval_format(options->expire_us, after));
    return cell_text(text);
}

enum { SUMMARY_FIELDS = 16 };
static const char *const summary_columns[SUMMARY_FIELDS + 1] = {
    "database", "table",     "kind",        "id",       "version", "partition_by", "every",       "retention", "expire",
    "codec",    "page_rows", "add_columns", "segments", "rows",    "bytes",        "memory_rows", NULL};

/* `texts` holds what the cells point into. */
static void summary_cells(const Plinth__V1__DescribeTableResponse *table, char texts[3][EXPIRY_TEXT_MAX],
                          struct cell cells[SUMMARY_FIELDS]) {
    const Plinth__V1__TableOptions *options = table->options;
    size_t count = 0;
    cells[count++] = cell_text(table->table->database);
    cells[count++] = cell_text(table->table->name);
    cells[count++] = cell_text(table->is_space ? "space" : "table");
    cells[count++] = cell_number(table->id);
    cells[count++] = cell_number(table->version);
    cells[count++] = *options->partition_by ? cell_text(options->partition_by) : (struct cell){.kind = CELL_NULL};
    cells[count++] = interval_cell(options->partition_us, texts[0]);
    cells[count++] = interval_cell(options->retention_us, texts[1]);
    cells[count++] = expiry_cell(options, texts[2]);
    cells[count++] = cell_text(name_of(cli_codec_names, options->codec));
    cells[count++] = options->page_rows ? cell_number(options->page_rows) : (struct cell){.kind = CELL_NULL};
    cells[count++] = cell_bool(options->adds_columns);
    cells[count++] = cell_number(table->segments);
    cells[count++] = cell_number(table->rows);
    cells[count++] = cell_number(table->bytes);
    cells[count++] = cell_number(table->memory_rows);
}

enum { COLUMN_FIELDS = 6, INDEX_FIELDS = 5 };
static const char *const column_columns[COLUMN_FIELDS + 1] = {"column", "type",    "not_null", "key",
                                                              "id",     "default", NULL};
static const char *const index_columns[INDEX_FIELDS + 1] = {"index", "kind", "columns", "state", "percent", NULL};

static void column_cells(const Plinth__V1__DescribeTableResponse *table, size_t i, struct cell cells[COLUMN_FIELDS]) {
    const Plinth__V1__Column *column = table->columns[i];
    cells[0] = cell_text(column->name);
    cells[1] = cell_text(column->type);
    cells[2] = cell_bool(column->not_null);
    cells[3] = key_cell(table, column->name);
    cells[4] = cell_number(column->id);
    cells[5] = column->has_default ? cell_text(column->default_value) : (struct cell){.kind = CELL_NULL};
}

static bool print_columns(const struct cli *cli, const Plinth__V1__DescribeTableResponse *table) {
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, column_columns);
    for (size_t i = 0; i < table->n_columns; i++) {
        struct cell cells[COLUMN_FIELDS];
        column_cells(table, i, cells);
        if (!output_row(&output, cells)) break;
    }
    return output_end(&output);
}

static bool print_indexes(enum output_format format, Plinth__V1__Index *const *indexes, size_t count) {
    struct output output;
    bool more = true;
    output_begin(&output, stdout, format, BYTES_TEXT, false, index_columns);
    for (size_t i = 0; more && i < count; i++) {
        char *columns = join(indexes[i]->columns, indexes[i]->n_columns);
        struct cell cells[INDEX_FIELDS] = {
            cell_text(indexes[i]->name), cell_text(name_of(kind_names, indexes[i]->kind)), cell_text(columns),
            cell_text(name_of(state_names, indexes[i]->state)), cell_number(indexes[i]->percent)};
        more = output_row(&output, cells);
        free(columns);
    }
    return output_end(&output);
}

static bool print_summary(const Plinth__V1__DescribeTableResponse *table) {
    struct output output;
    struct cell cells[SUMMARY_FIELDS];
    char texts[3][EXPIRY_TEXT_MAX];
    summary_cells(table, texts, cells);
    output_begin(&output, stdout, OUTPUT_TABLE, BYTES_TEXT, true, summary_columns);
    (void)output_row(&output, cells);
    return output_end(&output);
}

/* ---- table describe as JSON: one object, with columns, primary_key and indexes as arrays ---- */

static void json_text(struct buffer *into, const char *text) {
    if (!buffer_append(into, text, strlen(text))) cli_no_memory();
}

/* Members of one object, with commas between. */
static void json_members(struct buffer *into, const char *const *names, const struct cell *cells, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i) json_text(into, ",");
        if (!output_append_json_member(into, names[i], &cells[i], BYTES_TEXT)) cli_no_memory();
    }
}

static void json_names(struct buffer *into, char *const *names, size_t count) {
    json_text(into, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) json_text(into, ",");
        if (!json_string_append(into, slice_of_string(names[i]))) cli_no_memory();
    }
    json_text(into, "]");
}

static void json_index(struct buffer *into, const Plinth__V1__Index *index) {
    static const char *const members[] = {"index", "kind", "state", "percent"};
    struct cell cells[] = {cell_text(index->name), cell_text(name_of(kind_names, index->kind)),
                           cell_text(name_of(state_names, index->state)), cell_number(index->percent)};
    json_text(into, "{");
    json_members(into, members, cells, 4);
    if (index->unique) json_text(into, ",\"unique\":true");
    json_text(into, ",\"columns\":");
    json_names(into, index->columns, index->n_columns);
    if (index->n_included) {
        json_text(into, ",\"included\":");
        json_names(into, index->included, index->n_included);
    }
    json_text(into, "}");
}

static bool write_json(struct buffer *json) {
    bool ok = fwrite(json->data, 1, json->size, stdout) == json->size && fflush(stdout) == 0;
    buffer_deinit(json);
    return ok;
}

/* An array of indexes, one a line. */
static bool print_json_indexes(Plinth__V1__Index *const *indexes, size_t count) {
    struct buffer json = BUFFER_INIT;
    json_text(&json, "[");
    for (size_t i = 0; i < count; i++) {
        json_text(&json, i ? ",\n " : "\n ");
        json_index(&json, indexes[i]);
    }
    json_text(&json, count ? "\n]\n" : "]\n");
    return write_json(&json);
}

static bool print_json(const Plinth__V1__DescribeTableResponse *table) {
    struct buffer json = BUFFER_INIT;
    struct cell summary[SUMMARY_FIELDS];
    char texts[3][EXPIRY_TEXT_MAX];
    summary_cells(table, texts, summary);
    json_text(&json, "{");
    json_members(&json, summary_columns, summary, SUMMARY_FIELDS);
    json_text(&json, ",\"columns\":[");
    for (size_t i = 0; i < table->n_columns; i++) {
        struct cell cells[COLUMN_FIELDS];
        column_cells(table, i, cells);
        json_text(&json, i ? ",{" : "{");
        json_members(&json, column_columns, cells, COLUMN_FIELDS);
        json_text(&json, "}");
    }
    json_text(&json, "],\"primary_key\":");
    json_names(&json, table->primary_key, table->n_primary_key);
    json_text(&json, ",\"indexes\":[");
    for (size_t i = 0; i < table->n_indexes; i++) {
        json_text(&json, i ? "," : "");
        json_index(&json, table->indexes[i]);
    }
    json_text(&json, "]}\n");
    return write_json(&json);
}

int cli_table_describe(struct cli *cli) {
    Plinth__V1__DescribeTableRequest request = PLINTH__V1__DESCRIBE_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    Plinth__V1__DescribeTableResponse *response;
    request.table = &table;
    int code = cli_call(cli, "/plinth.v1.Admin/DescribeTable", &request.base,
                        &plinth__v1__describe_table_response__descriptor, &response);
    if (code) return code;
    bool ok;
    if (cli->format == OUTPUT_JSON) {
        ok = print_json(response);
    } else if (cli->format == OUTPUT_CSV) {
        ok = print_columns(cli, response);
    } else {
        ok = print_summary(response) && puts("") >= 0 && print_columns(cli, response);
        if (ok && response->n_indexes)
            ok = puts("") >= 0 && print_indexes(cli->format, response->indexes, response->n_indexes);
    }
    plinth__v1__describe_table_response__free_unpacked(response, NULL);
    return ok ? CLI_OK : no_output();
}

/* ---- indexes ---- */

int cli_index_create(struct cli *cli) {
    static const char *const kinds[] = {"sorted", "bloom", "bitmap", "token", NULL};
    Plinth__V1__CreateIndexRequest request = PLINTH__V1__CREATE_INDEX_REQUEST__INIT;
    Plinth__V1__Index index = PLINTH__V1__INDEX__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    const char *kind = options_value(&cli->options, "kind"), *text = options_value(&cli->options, "columns");
    struct arena arena;
    struct plinth_error error;
    unsigned which = 0;
    const char *include = options_value(&cli->options, "include");
    const char **columns = (const char **)&cli->options.operands[1], **included = NULL;
    size_t count = 1, included_count = 0;
    arena_init(&arena);
    enum plinth_status st = kind ? options_parse_word("kind", kind, kinds, &which, &error) : PLINTH_OK;
    if (!st && text) st = table_text_parts(&arena, text, &columns, &count, &error);
    if (!st && include) st = table_text_parts(&arena, include, &included, &included_count, &error);
    int code = st ? cli_fail(CLI_USAGE, "%s", error.text) : CLI_OK;
    if (!code) {
        index.name = cli->options.operands[1];
        index.kind = (Plinth__V1__IndexKind)(PLINTH__V1__INDEX_KIND__INDEX_KIND_SORTED + which);
        index.columns = (char **)columns;
        index.n_columns = count;
        index.included = (char **)included;
        index.n_included = included_count;
        request.table = &table;
        request.index = &index;
        index.unique = options_value(&cli->options, "unique") != NULL;
        request.no_wait = options_value(&cli->options, "no-wait") != NULL;
        code = call(cli, "/plinth.v1.Admin/CreateIndex", &request.base, &plinth__v1__create_index_response__descriptor);
        if (!code) code = cli_print_names(cli, table.name, "index", index.name);
    }
    arena_deinit(&arena);
    return code;
}

int cli_index_rebuild(struct cli *cli) {
    Plinth__V1__RebuildIndexRequest request = PLINTH__V1__REBUILD_INDEX_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    request.table = &table;
    request.index = cli->options.operands[1];
    request.no_wait = options_value(&cli->options, "no-wait") != NULL;
    int code =
        call(cli, "/plinth.v1.Admin/RebuildIndex", &request.base, &plinth__v1__rebuild_index_response__descriptor);
    return code ? code : cli_print_names(cli, table.name, "index", request.index);
}

int cli_index_drop(struct cli *cli) {
    Plinth__V1__DropIndexRequest request = PLINTH__V1__DROP_INDEX_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    request.table = &table;
    request.index = cli->options.operands[1];
    int code = call(cli, "/plinth.v1.Admin/DropIndex", &request.base, &plinth__v1__drop_index_response__descriptor);
    return code ? code : cli_print_names(cli, table.name, "index", request.index);
}

int cli_index_list(struct cli *cli) {
    Plinth__V1__ListIndexesRequest request = PLINTH__V1__LIST_INDEXES_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(cli, cli->options.operands[0]);
    Plinth__V1__ListIndexesResponse *response;
    request.table = &table;
    int code = cli_call(cli, "/plinth.v1.Admin/ListIndexes", &request.base,
                        &plinth__v1__list_indexes_response__descriptor, &response);
    if (code) return code;
    bool ok = cli->format == OUTPUT_JSON ? print_json_indexes(response->indexes, response->n_indexes)
                                         : print_indexes(cli->format, response->indexes, response->n_indexes);
    plinth__v1__list_indexes_response__free_unpacked(response, NULL);
    return ok ? CLI_OK : no_output();
}
