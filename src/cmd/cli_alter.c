/* plinth table alter …: each command is one call of AlterTable, so all or nothing. Columns without defaults are added
 * by AddColumns, which directories of older versions have, too. */
#include <stdlib.h>
#include <string.h>

#include "cmd/cli_table.h"

struct alter {
    struct cli *cli;
    struct arena arena;
    Plinth__V1__Alteration *steps;
    Plinth__V1__Alteration **pointers;
    size_t count;
};

static void *take(struct alter *alter, size_t size) {
    void *taken = arena_zalloc(&alter->arena, size);
    if (!taken) cli_no_memory();
    return taken;
}

static void alter_init(struct alter *alter, struct cli *cli, size_t steps_max) {
    *alter = (struct alter){.cli = cli};
    arena_init(&alter->arena);
    alter->steps = take(alter, (steps_max + 1) * sizeof *alter->steps);
    alter->pointers = take(alter, (steps_max + 1) * sizeof *alter->pointers);
}

static Plinth__V1__Alteration *add_step(struct alter *alter, Plinth__V1__Alteration__ChangeCase change) {
    Plinth__V1__Alteration *step = &alter->steps[alter->count];
    plinth__v1__alteration__init(step);
    step->change_case = change;
    alter->pointers[alter->count++] = step;
    return step;
}

static char *operand(const struct alter *alter, int number) { return alter->cli->options.operands[number]; }

static int call(struct cli *cli, const char *path, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *response_type) {
    ProtobufCMessage *response;
    int code = cli_call(cli, path, request, response_type, &response);
    if (!code) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

/* Calls, and prints the table's name, which `renamed` may have changed. */
static int alter_finish(struct alter *alter, const char *renamed) {
    Plinth__V1__AlterTableRequest request = PLINTH__V1__ALTER_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(alter->cli, operand(alter, 0));
    request.table = &table;
    request.n_alterations = alter->count;
    request.alterations = alter->pointers;
    int code =
        call(alter->cli, "/plinth.v1.Admin/AlterTable", &request.base, &plinth__v1__alter_table_response__descriptor);
    if (!code) code = cli_print_names(alter->cli, renamed ? renamed : table.name, NULL, NULL);
    arena_deinit(&alter->arena);
    return code;
}

/* ---- add-column ---- */

/* The operands behind the table's name as one text. */
static int parse_columns(struct alter *alter, struct table_text *text) {
    struct plinth_error error;
    struct buffer all = BUFFER_INIT;
    for (int i = 1; i < alter->cli->options.operand_count; i++) {
        const char *column = operand(alter, i);
        if ((i > 1 && !buffer_append(&all, ", ", 2)) || !buffer_append(&all, column, strlen(column))) cli_no_memory();
    }
    if (!buffer_append_u8(&all, 0)) cli_no_memory();
    int code = CLI_OK;
    if (table_text_parse(&alter->arena, (const char *)all.data, text, &error))
        code = cli_fail(CLI_USAGE, "%s", error.text);
    else if (text->key_count || text->partition_by)
        code = cli_fail(CLI_USAGE, "columns can be added; primary key and partitions stay as they are");
    buffer_deinit(&all);
    return code;
}

static int add_columns(struct alter *alter, const struct table_text *text) {
    Plinth__V1__AddColumnsRequest request = PLINTH__V1__ADD_COLUMNS_REQUEST__INIT;
    Plinth__V1__Table table = cli_table_of(alter->cli, operand(alter, 0));
    request.table = &table;
    request.columns = cli_column_messages(&alter->arena, text);
    request.n_columns = text->column_count;
    int code =
        call(alter->cli, "/plinth.v1.Admin/AddColumns", &request.base, &plinth__v1__add_columns_response__descriptor);
    if (!code) code = cli_print_names(alter->cli, table.name, NULL, NULL);
    arena_deinit(&alter->arena);
    return code;
}

int cli_table_add_column(struct cli *cli) {
    struct alter alter;
    struct table_text text = {0};
    bool has_default = false;
    alter_init(&alter, cli, 0);
    int code = parse_columns(&alter, &text);
    if (code) {
        arena_deinit(&alter.arena);
        return code;
    }
    for (size_t i = 0; i < text.column_count; i++) has_default |= text.columns[i].default_value != NULL;
    if (!has_default) return add_columns(&alter, &text);
    Plinth__V1__Column **columns = cli_column_messages(&alter.arena, &text);
    alter.steps = take(&alter, text.column_count * sizeof *alter.steps);
    alter.pointers = take(&alter, text.column_count * sizeof *alter.pointers);
    for (size_t i = 0; i < text.column_count; i++)
        add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_ADD_COLUMN)->add_column = columns[i];
    return alter_finish(&alter, NULL);
}

/* ---- one column or more ---- */

int cli_table_drop_column(struct cli *cli) {
    struct alter alter;
    alter_init(&alter, cli, (size_t)cli->options.operand_count);
    for (int i = 1; i < cli->options.operand_count; i++) {
        Plinth__V1__Alteration__DropColumn *drop = take(&alter, sizeof *drop);
        plinth__v1__alteration__drop_column__init(drop);
        drop->column = operand(&alter, i);
        drop->cascade = options_value(&cli->options, "cascade") != NULL;
        add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_DROP_COLUMN)->drop_column = drop;
    }
    return alter_finish(&alter, NULL);
}

int cli_table_rename_column(struct cli *cli) {
    struct alter alter;
    alter_init(&alter, cli, 1);
    Plinth__V1__Alteration__RenameColumn *rename = take(&alter, sizeof *rename);
    plinth__v1__alteration__rename_column__init(rename);
    rename->column = operand(&alter, 1);
    rename->new_name = operand(&alter, 2);
    add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_RENAME_COLUMN)->rename_column = rename;
    return alter_finish(&alter, NULL);
}

int cli_table_widen_column(struct cli *cli) {
    struct alter alter;
    alter_init(&alter, cli, 1);
    Plinth__V1__Alteration__WidenColumn *widen = take(&alter, sizeof *widen);
    plinth__v1__alteration__widen_column__init(widen);
    widen->column = operand(&alter, 1);
    widen->type = operand(&alter, 2);
    add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_WIDEN_COLUMN)->widen_column = widen;
    return alter_finish(&alter, NULL);
}

int cli_table_set_nullable(struct cli *cli) {
    struct alter alter;
    alter_init(&alter, cli, (size_t)cli->options.operand_count);
    for (int i = 1; i < cli->options.operand_count; i++)
        add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_DROP_NOT_NULL)->drop_not_null = operand(&alter, i);
    return alter_finish(&alter, NULL);
}

int cli_table_set_default(struct cli *cli) {
    struct alter alter;
    bool none = options_value(&cli->options, "none") != NULL;
    if (none == (cli->options.operand_count == 3))
        return cli_fail(CLI_USAGE, "a column and its default, or a column and --none, are expected");
    alter_init(&alter, cli, 1);
    Plinth__V1__Alteration__SetDefault *set = take(&alter, sizeof *set);
    plinth__v1__alteration__set_default__init(set);
    set->column = operand(&alter, 1);
    set->has_default = !none;
    if (!none) set->default_value = operand(&alter, 2);
    add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_SET_DEFAULT)->set_default = set;
    return alter_finish(&alter, NULL);
}

/* ---- the table ---- */

int cli_table_rename(struct cli *cli) {
    struct alter alter;
    alter_init(&alter, cli, 1);
    add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_RENAME_TABLE)->rename_table = operand(&alter, 1);
    return alter_finish(&alter, operand(&alter, 1));
}

static bool read_options(const struct cli *cli, struct arena *arena, Plinth__V1__Alteration__SetOptions *options) {
    static const char *const answers[] = {"no", "yes", NULL};
    const struct options *given = &cli->options;
    const char *codec = options_value(given, "codec"), *retention = options_value(given, "retention");
    const char *adds = options_value(given, "add-columns"), *expire = options_value(given, "expire");
    struct plinth_error error = {0};
    uint64_t page_rows = 0;
    unsigned which = 0;
    options->set_page_rows = options_value(given, "page-rows") != NULL;
    if (!cli_number(cli, "page-rows", 16, 65536, &page_rows)) return false;
    options->page_rows = (uint32_t)page_rows;
    options->set_codec = codec != NULL;
    enum plinth_status st = codec ? options_parse_word("codec", codec, cli_codec_names, &which, &error) : PLINTH_OK;
    options->codec = (Plinth__V1__Codec)which;
    options->set_retention = retention != NULL;
    if (!st && retention && strcmp(retention, "none") != 0)
        st = interval_parse(slice_of_string(retention), &options->retention_us, &error);
    options->set_expiry = expire != NULL;
    if (!st && expire && strcmp(expire, "none") != 0)
        st = expiry_text_parse(arena, expire, &options->expire_by, &options->expire_us, &error);
    options->set_adds_columns = adds != NULL;
    if (!st && adds) st = options_parse_word("add-columns", adds, answers, &which, &error);
    options->adds_columns = adds && which == 1;
    if (!st && (codec || retention || expire || adds || options->set_page_rows)) return true;
    cli_fail(CLI_USAGE, "%s",
             st ? error.text : "no option is given: --codec, --page-rows, --retention, --expire or --add-columns");
    return false;
}

int cli_table_set_options(struct cli *cli) {
    struct alter alter;
    Plinth__V1__Alteration__SetOptions options = PLINTH__V1__ALTERATION__SET_OPTIONS__INIT;
    alter_init(&alter, cli, 1);
    if (!read_options(cli, &alter.arena, &options)) {
        arena_deinit(&alter.arena);
        return CLI_USAGE;
    }
    add_step(&alter, PLINTH__V1__ALTERATION__CHANGE_SET_OPTIONS)->set_options = &options;
    return alter_finish(&alter, NULL);
}
