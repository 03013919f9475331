#include "cmd/cli_import_options.h"

#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "cmd/time_pattern.h"
#include "plinth/v1/admin.pb-c.h"

enum { BATCH_ROWS_MAX_DEFAULT = 65536, BATCH_BYTES = 768 << 10, GUESS_ROWS = 10000 };

/* How often an option was given. */
static size_t count_given(const struct cli *cli, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < cli->options.given_count; i++) count += strcmp(cli->options.given[i].spec->name, name) == 0;
    return count;
}

static void read_nulls(struct cli *cli, struct import_options *options, struct text_format *text) {
    size_t count = count_given(cli, "null");
    struct slice *nulls = arena_alloc(&options->arena, (count + 1) * sizeof *nulls);
    if (!nulls) cli_no_memory();
    text->empty_is_null = !count;
    for (size_t i = 0; i < cli->options.given_count; i++) {
        if (strcmp(cli->options.given[i].spec->name, "null") != 0) continue;
        if (*cli->options.given[i].value)
            nulls[text->null_count++] = slice_of_string(cli->options.given[i].value);
        else
            text->empty_is_null = true;
    }
    text->nulls = nulls;
}

static bool read_maps(struct cli *cli, struct import_options *options, struct table_reader_options *reading) {
    size_t count = count_given(cli, "map");
    struct column_map *maps = arena_alloc(&options->arena, (count + 1) * sizeof *maps);
    if (!maps) cli_no_memory();
    for (size_t i = 0; i < cli->options.given_count; i++) {
        const char *text = cli->options.given[i].value;
        if (strcmp(cli->options.given[i].spec->name, "map") != 0) continue;
        const char *equals = strrchr(text, '=');
        if (!equals) {
            cli_fail(CLI_USAGE, "--map: '%s' is not of the form FILE_COLUMN=COLUMN", text);
            return false;
        }
        const uint8_t *file = arena_copy(&options->arena, slice_of(text, (size_t)(equals - text)));
        if (!file) cli_no_memory();
        maps[reading->map_count++] = (struct column_map){(const char *)file, equals + 1};
    }
    reading->maps = maps;
    return true;
}

static bool read_delimiter(const struct cli *cli, struct table_reader_options *reading) {
    const char *text = options_value(&cli->options, "delimiter");
    if (!text) return true;
    if (strcmp(text, "\\t") == 0 || strcasecmp(text, "tab") == 0) text = "\t";
    reading->delimiter = *text;
    if (strlen(text) == 1 && (uint8_t)*text < 0x80 && !strchr("\"\r\n", *text)) return true;
    cli_fail(CLI_USAGE, "--delimiter: one ASCII character other than quote and line end, or tab, is expected");
    return false;
}

static bool read_pattern(const struct cli *cli, const char *option, const char **pattern) {
    *pattern = options_value(&cli->options, option);
    const char *why = *pattern ? time_pattern_check(*pattern) : NULL;
    if (why) cli_fail(CLI_USAGE, "--%s: %s", option, why);
    return !why;
}

static bool read_names(const struct cli *cli, struct import_options *options, const char *option, const char ***names,
                       size_t *count) {
    const char *text = options_value(&cli->options, option);
    struct plinth_error error;
    *count = 0;
    if (!text || !table_text_names(&options->arena, text, names, count, &error)) return true;
    cli_fail(CLI_USAGE, "--%s: %s", option, error.text);
    return false;
}

static bool read_words(const struct cli *cli, struct import_options *options, struct table_reader_options *reading) {
    static const char *const formats[] = {"csv", "tsv", "jsonl", "arrow", "parquet", NULL};
    static const char *const ways[] = {"stop", "skip", "file", NULL};
    const char *format = options_value(&cli->options, "format"), *way = options_value(&cli->options, "on-error");
    struct plinth_error error;
    unsigned which = 0;
    enum plinth_status st = PLINTH_OK;
    if (format) st = options_parse_word("format", format, formats, &which, &error);
    reading->has_format = format != NULL;
    reading->format = (enum table_format)which;
    which = IMPORT_STOP;
    if (!st && way) st = options_parse_word("on-error", way, ways, &which, &error);
    options->on_error = (enum import_on_error)which;
    if (st) cli_fail(CLI_USAGE, "%s", error.text);
    return !st;
}

/* What only goes with --create. */
static bool read_creation(const struct cli *cli, struct import_options *options) {
    const char *types = options_value(&cli->options, "types");
    struct plinth_error error;
    options->create = options_value(&cli->options, "create") != NULL;
    options->adds_columns = options_value(&cli->options, "add-columns") != NULL;
    if (!read_names(cli, options, "key", &options->key, &options->key_count)) return false;
    if (!options->create && (types || options->key_count || options->adds_columns)) {
        cli_fail(CLI_USAGE, "--types, --key and --add-columns go with --create; an existing table has its own");
        return false;
    }
    if (types && table_text_parse(&options->arena, types, &options->types, &error)) {
        cli_fail(CLI_USAGE, "--types: %s", error.text);
        return false;
    }
    if (options->key_count && options->types.key_count) {
        cli_fail(CLI_USAGE, "the key is given twice: in --types and by --key");
        return false;
    }
    return true;
}

bool import_options_parse(struct cli *cli, struct import_options *options, struct table_reader_options *reading) {
    Plinth__V1__WriteOptions write, *given;
    uint64_t batch_rows = BATCH_ROWS_MAX_DEFAULT;
    *options = (struct import_options){0};
    *reading = (struct table_reader_options){.batch_bytes_max = BATCH_BYTES, .guess_rows_max = GUESS_ROWS};
    arena_init(&options->arena);
    options->restart = options_value(&cli->options, "restart") != NULL;
    const char **columns = NULL;
    bool ok = read_words(cli, options, reading) && read_delimiter(cli, reading) && read_maps(cli, options, reading) &&
              read_pattern(cli, "date-format", &reading->text.date_format) &&
              read_pattern(cli, "time-format", &reading->text.time_format) &&
              read_names(cli, options, "columns", &columns, &reading->column_count) && read_creation(cli, options) &&
              cli_number(cli, "batch", 1, 1000000, &batch_rows) && cli_write_options(cli, &write, &given);
    if (!ok) return false;
    reading->columns = columns;
    reading->batch_rows_max = (uint32_t)batch_rows;
    options->durability = write.durability;
    read_nulls(cli, options, &reading->text);
    return true;
}

void import_options_deinit(struct import_options *options) { arena_deinit(&options->arena); }

int import_create_table(struct cli *cli, const struct import_options *options, const char *name,
                        const struct table_reader_column *columns, size_t count) {
    Plinth__V1__CreateTableRequest request = PLINTH__V1__CREATE_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__TableOptions table_options = PLINTH__V1__TABLE_OPTIONS__INIT;
    const struct table_text *types = &options->types;
    if (types->column_count) count = types->column_count;
    Plinth__V1__Column *messages = calloc(count + 1, sizeof *messages);
    Plinth__V1__Column **pointers = calloc(count + 1, sizeof *pointers);
    char(*texts)[COLUMN_TYPE_TEXT_MAX] = calloc(count + 1, sizeof *texts);
    if (!messages || !pointers || !texts) cli_no_memory();
    size_t made = 0;
    for (size_t i = 0; i < count; i++) {
        Plinth__V1__Column *column = &messages[made];
        plinth__v1__column__init(column);
        column->name = (char *)(types->column_count ? types->columns[i].name : columns[i].name);
        if (!*column->name) continue; /* left out */
        column->type = types->column_count ? (char *)types->columns[i].type
                                           : (char *)column_type_format(columns[i].type, texts[i]);
        column->not_null = types->column_count && types->columns[i].not_null;
        pointers[made++] = column;
    }
    table.database = (char *)cli->database;
    table.name = (char *)name;
    table_options.adds_columns = options->adds_columns;
    table_options.partition_by = (char *)(types->partition_by ? types->partition_by : "");
    table_options.partition_us = types->partition_us;
    request.table = &table;
    request.columns = pointers;
    request.n_columns = made;
    request.primary_key = (char **)(types->key_count ? types->key : options->key);
    request.n_primary_key = types->key_count ? types->key_count : options->key_count;
    request.options = &table_options;
    Plinth__V1__CreateTableResponse *response;
    int code = cli_call(cli, "/plinth.v1.Admin/CreateTable", &request.base,
                        &plinth__v1__create_table_response__descriptor, &response);
    if (!code) plinth__v1__create_table_response__free_unpacked(response, NULL);
    free(messages);
    free(pointers);
    free(texts);
    return code;
}
