/* plinth status, flush, compact, verify, space create, space list. */
#include <stdlib.h>

#include "cmd/cli.h"
#include "plinth/v1/admin.pb-c.h"

static int print_one(const struct cli *cli, const char *const *columns, const struct cell *cells) {
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

/* ---- status ---- */

enum { STATUS_FIELDS = 7 };

int cli_status(struct cli *cli) {
    const char *columns[OUTPUT_COLUMNS_MAX + 1] = {"version", "data_directory", "uptime_ms",       "ready",
                                                   "reason",  "feature_level",  "acknowledged_lsn"};
    struct cell cells[OUTPUT_COLUMNS_MAX];
    Plinth__V1__StatusRequest request = PLINTH__V1__STATUS_REQUEST__INIT;
    Plinth__V1__StatusResponse *status;
    int code =
        cli_call(cli, "/plinth.v1.Admin/Status", &request.base, &plinth__v1__status_response__descriptor, &status);
    if (code) return code;
    size_t count = 0;
    cells[count++] = cell_text(status->version);
    cells[count++] = cell_text(status->data_directory);
    cells[count++] = cell_number(status->uptime_ms);
    cells[count++] = cell_bool(status->ready);
    cells[count++] = cell_text(status->reason);
    cells[count++] = cell_number(status->feature_level);
    cells[count++] = cell_number(status->acknowledged_lsn);
    for (size_t i = 0; i < status->n_numbers && count < OUTPUT_COLUMNS_MAX; i++) {
        bool shown = false; /* numbers that have a field of their own */
        for (size_t j = 0; j < STATUS_FIELDS; j++) shown = shown || strcmp(columns[j], status->numbers[i]->key) == 0;
        if (shown) continue;
        columns[count] = status->numbers[i]->key;
        cells[count++] = cell_number(status->numbers[i]->value);
    }
    columns[count] = NULL;
    code = print_one(cli, columns, cells);
    plinth__v1__status_response__free_unpacked(status, NULL);
    return code;
}

/* ---- flush and compact: they may take minutes, so without --timeout they wait ---- */

int cli_flush(struct cli *cli) {
    static const char *const columns[] = {"duration_ms", NULL};
    Plinth__V1__FlushRequest request = PLINTH__V1__FLUSH_REQUEST__INIT;
    Plinth__V1__FlushResponse *response;
    int code =
        cli_call(cli, "/plinth.v1.Admin/Flush", &request.base, &plinth__v1__flush_response__descriptor, &response);
    if (code) return code;
    struct cell cells[] = {cell_number(response->duration_us / 1000)};
    if (!cli->quiet) code = print_one(cli, columns, cells);
    plinth__v1__flush_response__free_unpacked(response, NULL);
    return code;
}

int cli_compact(struct cli *cli) {
    static const char *const columns[] = {"segments_before", "segments_after", "bytes_before",
                                          "bytes_after",     "duration_ms",    NULL};
    Plinth__V1__CompactRequest request = PLINTH__V1__COMPACT_REQUEST__INIT;
    Plinth__V1__CompactResponse *response;
    int code =
        cli_call(cli, "/plinth.v1.Admin/Compact", &request.base, &plinth__v1__compact_response__descriptor, &response);
    if (code) return code;
    struct cell cells[] = {cell_number(response->segments_before), cell_number(response->segments_after),
                           cell_number(response->bytes_before), cell_number(response->bytes_after),
                           cell_number(response->duration_us / 1000)};
    if (!cli->quiet) code = print_one(cli, columns, cells);
    plinth__v1__compact_response__free_unpacked(response, NULL);
    return code;
}

/* ---- verify ---- */

struct verify {
    const struct cli *cli;
    bool summary_seen;
    uint64_t problems;
    int code;
};

static void print_summary(struct verify *verify, const Plinth__V1__VerifyResponse__Summary *summary) {
    static const char *const columns[] = {"segments", "rows",     "index_entries", "log_records",
                                          "bytes",    "problems", "duration_ms",   NULL};
    struct cell cells[] = {
        cell_number(summary->segments),          cell_number(summary->rows),  cell_number(summary->index_entries),
        cell_number(summary->log_records),       cell_number(summary->bytes), cell_number(summary->problems),
        cell_number(summary->duration_us / 1000)};
    verify->summary_seen = true;
    verify->problems = summary->problems;
    if (!verify->cli->quiet || summary->problems) verify->code = print_one(verify->cli, columns, cells);
}

static bool on_verify(void *context, const ProtobufCMessage *answer) {
    struct verify *verify = context;
    const Plinth__V1__VerifyResponse *response = (const Plinth__V1__VerifyResponse *)answer;
    if (response->result_case == PLINTH__V1__VERIFY_RESPONSE__RESULT_FINDING)
        fprintf(stderr, "%s: %s\n", response->finding->object, response->finding->problem);
    else if (response->result_case == PLINTH__V1__VERIFY_RESPONSE__RESULT_SUMMARY)
        print_summary(verify, response->summary);
    return true;
}

int cli_verify(struct cli *cli) {
    Plinth__V1__VerifyRequest request = PLINTH__V1__VERIFY_REQUEST__INIT;
    struct verify verify = {.cli = cli};
    int code = cli_stream(cli, "/plinth.v1.Admin/Verify", &request.base, &plinth__v1__verify_response__descriptor,
                          on_verify, &verify);
    if (code || verify.code) return code ? code : verify.code;
    if (!verify.summary_seen) return cli_fail(CLI_FAILED, "the server ended the check without a summary");
    if (!verify.problems) return CLI_OK;
    return cli_fail(CLI_PROBLEMS, "%llu problems found", (unsigned long long)verify.problems);
}

/* ---- key spaces ---- */

int cli_space_create(struct cli *cli) {
    Plinth__V1__CreateSpaceRequest request = PLINTH__V1__CREATE_SPACE_REQUEST__INIT;
    Plinth__V1__Space space = PLINTH__V1__SPACE__INIT;
    Plinth__V1__CreateSpaceResponse *response;
    space.database = (char *)cli->database;
    space.name = cli->options.operands[0];
    request.space = &space;
    int code = cli_call(cli, "/plinth.v1.Admin/CreateSpace", &request.base,
                        &plinth__v1__create_space_response__descriptor, &response);
    if (code) return code;
    plinth__v1__create_space_response__free_unpacked(response, NULL);
    static const char *const columns[] = {"database", "space", NULL};
    struct cell cells[] = {cell_text(*cli->database ? cli->database : "default"), cell_text(space.name)};
    return cli->quiet ? CLI_OK : print_one(cli, columns, cells);
}

int cli_space_list(struct cli *cli) {
    static const char *const columns[] = {"database", "space", NULL};
    Plinth__V1__ListSpacesRequest request = PLINTH__V1__LIST_SPACES_REQUEST__INIT;
    Plinth__V1__ListSpacesResponse *response;
    int code = cli_call(cli, "/plinth.v1.Admin/ListSpaces", &request.base,
                        &plinth__v1__list_spaces_response__descriptor, &response);
    if (code) return code;
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    for (size_t i = 0; i < response->n_spaces; i++) {
        const Plinth__V1__Space *space = response->spaces[i]->space;
        if (*cli->database && strcmp(cli->database, space->database) != 0) continue;
        struct cell cells[] = {cell_text(space->database), cell_text(space->name)};
        if (!output_row(&output, cells)) break;
    }
    plinth__v1__list_spaces_response__free_unpacked(response, NULL);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}
