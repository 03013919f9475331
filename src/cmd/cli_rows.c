/* plinth rows delete and update: rows by a condition. */
#include <stdlib.h>
#include <string.h>

#include "cmd/cli.h"
#include "plinth/v1/ingestion.pb-c.h"

/* What both requests have. */
struct where_parts {
    Plinth__V1__Table table;
    Plinth__V1__Predicate predicate, *given;
    Plinth__V1__WriteOptions write, *write_given;
};

static bool read_parts(const struct cli *cli, struct where_parts *parts) {
    const char *where = options_value(&cli->options, "where");
    bool all = options_value(&cli->options, "all") != NULL;
    plinth__v1__table__init(&parts->table);
    plinth__v1__predicate__init(&parts->predicate);
    plinth__v1__write_options__init(&parts->write);
    parts->given = NULL;
    parts->table.database = (char *)(cli->database ? cli->database : "");
    parts->table.name = cli->options.operands[0];
    if (!where == !all) {
        cli_fail(CLI_USAGE, "one of --where and --all is needed");
        return false;
    }
    if (where) {
        parts->predicate.kind_case = PLINTH__V1__PREDICATE__KIND_SQL;
        parts->predicate.sql = (char *)where;
        parts->given = &parts->predicate;
    }
    return cli_write_options(cli, &parts->write, &parts->write_given);
}

static int print_changed(const struct cli *cli, const char *what, const Plinth__V1__ChangeWhereResponse *response) {
    static const char *const deleted[] = {"rows_deleted", "transactions", NULL};
    static const char *const updated[] = {"rows_updated", "transactions", NULL};
    struct output output;
    if (cli->quiet) return CLI_OK;
    struct cell cells[] = {cell_number(response->rows), cell_number(response->transactions)};
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, strcmp(what, "delete") == 0 ? deleted : updated);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

int cli_rows_delete(struct cli *cli) {
    Plinth__V1__DeleteWhereRequest request = PLINTH__V1__DELETE_WHERE_REQUEST__INIT;
    Plinth__V1__ChangeWhereResponse *response;
    struct where_parts parts;
    if (!read_parts(cli, &parts)) return CLI_USAGE;
    request.table = &parts.table;
    request.predicate = parts.given;
    request.all_rows = !parts.given;
    request.not_atomic = options_value(&cli->options, "in-parts") != NULL;
    request.write = parts.write_given;
    int code = cli_call(cli, "/plinth.v1.Ingestion/DeleteWhere", &request.base,
                        &plinth__v1__change_where_response__descriptor, &response);
    if (code) return code;
    code = print_changed(cli, "delete", response);
    plinth__v1__change_where_response__free_unpacked(response, NULL);
    return code;
}

/* An assignment with what it points to. */
struct assignment {
    Plinth__V1__UpdateWhereRequest__Assignment message;
    Plinth__V1__Value value;
    char column[512];
};

/* One --set, --set-null or --set-from. */
static bool read_assignment(const struct option_given *given, struct assignment *assignment) {
    bool to_null = strcmp(given->spec->name, "set-null") == 0;
    const char *equals = to_null ? given->value + strlen(given->value) : strchr(given->value, '=');
    plinth__v1__update_where_request__assignment__init(&assignment->message);
    plinth__v1__value__init(&assignment->value);
    size_t size = equals ? (size_t)(equals - given->value) : 0;
    if (!size || size >= sizeof assignment->column) {
        cli_fail(CLI_USAGE, "--%s %s: %s is needed", given->spec->name, given->value, given->spec->argument);
        return false;
    }
    memcpy(assignment->column, given->value, size);
    assignment->column[size] = '\0';
    assignment->message.column = assignment->column;
    assignment->message.to_case = PLINTH__V1__UPDATE_WHERE_REQUEST__ASSIGNMENT__TO_VALUE;
    assignment->message.value = &assignment->value;
    if (to_null) {
        assignment->value.kind_case = PLINTH__V1__VALUE__KIND_NULL;
        assignment->value.null = true;
    } else if (strcmp(given->spec->name, "set") == 0) {
        assignment->value.kind_case = PLINTH__V1__VALUE__KIND_TEXT_VALUE;
        assignment->value.text_value = (char *)equals + 1;
    } else {
        assignment->message.to_case = PLINTH__V1__UPDATE_WHERE_REQUEST__ASSIGNMENT__TO_FROM_COLUMN;
        assignment->message.from_column = (char *)equals + 1;
    }
    return true;
}

int cli_rows_update(struct cli *cli) {
    Plinth__V1__UpdateWhereRequest request = PLINTH__V1__UPDATE_WHERE_REQUEST__INIT;
    Plinth__V1__ChangeWhereResponse *response;
    struct where_parts parts;
    if (!read_parts(cli, &parts)) return CLI_USAGE;
    struct assignment *assignments = calloc(OPTIONS_GIVEN_MAX, sizeof *assignments);
    Plinth__V1__UpdateWhereRequest__Assignment **list = calloc(OPTIONS_GIVEN_MAX, sizeof *list);
    if (!assignments || !list) cli_no_memory();
    int code = CLI_OK;
    for (size_t i = 0; !code && i < cli->options.given_count; i++) {
        const struct option_given *given = &cli->options.given[i];
        if (strncmp(given->spec->name, "set", 3) != 0) continue;
        if (!read_assignment(given, &assignments[request.n_assignments])) code = CLI_USAGE;
        list[request.n_assignments] = &assignments[request.n_assignments].message;
        request.n_assignments++;
    }
    if (!code && !request.n_assignments) code = cli_fail(CLI_USAGE, "--set, --set-null or --set-from is needed");
    request.table = &parts.table;
    request.predicate = parts.given;
    request.all_rows = !parts.given;
    request.not_atomic = options_value(&cli->options, "in-parts") != NULL;
    request.write = parts.write_given;
    request.assignments = list;
    if (!code)
        code = cli_call(cli, "/plinth.v1.Ingestion/UpdateWhere", &request.base,
                        &plinth__v1__change_where_response__descriptor, &response);
    free(list);
    free(assignments);
    if (code) return code;
    code = print_changed(cli, "update", response);
    plinth__v1__change_where_response__free_unpacked(response, NULL);
    return code;
}
