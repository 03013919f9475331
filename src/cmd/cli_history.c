/* plinth snapshot keep, list, drop; plinth history; and the options by which other commands read the past. */
#include "cmd/cli_history.h"

#include <time.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/table_text.h"
#include "column/time_text.h"
#include "plinth/v1/admin.pb-c.h"

/* ---- reading the past ---- */

/* A position is hex digits alone; a time has other characters, too. */
static bool is_position(const char *text) { return text[strspn(text, "0123456789abcdefABCDEF")] == 0; }

bool cli_past_init(struct cli_past *past, const struct cli *cli) {
    const char *as_of = options_value(&cli->options, "as-of"), *snapshot = options_value(&cli->options, "snapshot");
    struct plinth_error error;
    *past = (struct cli_past){0};
    plinth__v1__read_options__init(&past->read);
    plinth__v1__position__init(&past->position);
    if (as_of && snapshot) {
        cli_fail(CLI_USAGE, "only one of --as-of and --snapshot can be given");
        return false;
    }
    past->given = as_of || snapshot ? &past->read : NULL;
    if (snapshot) past->read.snapshot_name = (char *)snapshot;
    if (!as_of) return true;
    if (is_position(as_of)) {
        if (bytes_from_hex(&past->token, slice_of_string(as_of), &error)) {
            cli_fail(CLI_USAGE, "--as-of: %s", error.text);
            return false;
        }
        past->position.token = cli_data(&past->token);
        past->read.snapshot = &past->position;
        return true;
    }
    int64_t us;
    const struct column_type type = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true};
    const char *problem = timestamp_parse(slice_of_string(as_of), type, &us);
    if (!problem && us <= 0) problem = "before 1970";
    if (problem) cli_fail(CLI_USAGE, "--as-of: \"%s\": %s", as_of, problem);
    past->read.as_of_time_us = problem ? 0 : (uint64_t)us;
    return !problem;
}

void cli_past_deinit(struct cli_past *past) { buffer_deinit(&past->token); }

/* ---- named snapshots ---- */

/* A position as hex, as the other commands print and take it. */
static struct cell position_cell(const Plinth__V1__Position *position, struct buffer *text) {
    buffer_clear(text);
    if (position && !hex_text_append(text, slice_of(position->token.data, position->token.len))) cli_no_memory();
    return (struct cell){CELL_TEXT, buffer_slice(text), 0};
}

int cli_snapshot_keep(struct cli *cli) {
    static const char *const columns[] = {"snapshot", "position", NULL};
    Plinth__V1__KeepSnapshotRequest request = PLINTH__V1__KEEP_SNAPSHOT_REQUEST__INIT;
    Plinth__V1__KeepSnapshotResponse *response;
    struct cli_past past;
    if (!cli_past_init(&past, cli)) {
        cli_past_deinit(&past);
        return CLI_USAGE;
    }
    request.name = cli->options.operands[0];
    request.of = past.given;
    request.with_log = options_value(&cli->options, "with-log") != NULL;
    int code = cli_call(cli, "/plinth.v1.Admin/KeepSnapshot", &request.base,
                        &plinth__v1__keep_snapshot_response__descriptor, &response);
    cli_past_deinit(&past);
    if (code) return code;
    if (!cli->quiet) {
        struct output output;
        struct buffer text = BUFFER_INIT;
        struct cell cells[] = {cell_text(request.name), position_cell(response->position, &text)};
        output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
        (void)output_row(&output, cells);
        if (!output_end(&output)) code = cli_fail(CLI_FAILED, "cannot write to standard output");
        buffer_deinit(&text);
    }
    plinth__v1__keep_snapshot_response__free_unpacked(response, NULL);
    return code;
}

int cli_snapshot_drop(struct cli *cli) {
    Plinth__V1__DropSnapshotRequest request = PLINTH__V1__DROP_SNAPSHOT_REQUEST__INIT;
    Plinth__V1__DropSnapshotResponse *response;
    request.name = cli->options.operands[0];
    int code = cli_call(cli, "/plinth.v1.Admin/DropSnapshot", &request.base,
                        &plinth__v1__drop_snapshot_response__descriptor, &response);
    if (!code) plinth__v1__drop_snapshot_response__free_unpacked(response, NULL);
    return code;
}

int cli_snapshot_move(struct cli *cli) {
    Plinth__V1__MoveSnapshotRequest request = PLINTH__V1__MOVE_SNAPSHOT_REQUEST__INIT;
    Plinth__V1__Position position = PLINTH__V1__POSITION__INIT;
    Plinth__V1__MoveSnapshotResponse *response;
    struct plinth_error error;
    struct buffer token = BUFFER_INIT;
    int code = CLI_USAGE;
    if (bytes_from_hex(&token, slice_of_string(cli->options.operands[1]), &error)) {
        cli_fail(CLI_USAGE, "POSITION: %s", error.text);
    } else {
        position.token = cli_data(&token);
        request.name = cli->options.operands[0];
        request.position = &position;
        code = cli_call(cli, "/plinth.v1.Admin/MoveSnapshot", &request.base,
                        &plinth__v1__move_snapshot_response__descriptor, &response);
        if (!code) plinth__v1__move_snapshot_response__free_unpacked(response, NULL);
    }
    buffer_deinit(&token);
    return code;
}

int cli_snapshot_list(struct cli *cli) {
    static const char *const columns[] = {"snapshot", "made", "position", NULL};
    Plinth__V1__ListSnapshotsRequest request = PLINTH__V1__LIST_SNAPSHOTS_REQUEST__INIT;
    Plinth__V1__ListSnapshotsResponse *response;
    struct buffer text = BUFFER_INIT;
    struct output output;
    int code = cli_call(cli, "/plinth.v1.Admin/ListSnapshots", &request.base,
                        &plinth__v1__list_snapshots_response__descriptor, &response);
    if (code) return code;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    for (size_t i = 0; i < response->n_snapshots; i++) {
        const Plinth__V1__NamedSnapshot *snapshot = response->snapshots[i];
        char made[32];
        struct tm utc;
        time_t seconds = (time_t)(snapshot->time_us / 1000000);
        if (!gmtime_r(&seconds, &utc) || !strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", &utc)) made[0] = 0;
        struct cell cells[] = {cell_text(snapshot->name), cell_text(made), position_cell(snapshot->position, &text)};
        if (!output_row(&output, cells)) break;
    }
    if (!output_end(&output)) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    buffer_deinit(&text);
    plinth__v1__list_snapshots_response__free_unpacked(response, NULL);
    return code;
}

/* Without operand: says what is kept. */
int cli_history(struct cli *cli) {
    static const char *const columns[] = {"history", NULL};
    struct plinth_error error;
    char text[INTERVAL_TEXT_MAX];
    int code;
    if (cli->options.operand_count) {
        Plinth__V1__KeepHistoryRequest request = PLINTH__V1__KEEP_HISTORY_REQUEST__INIT;
        Plinth__V1__KeepHistoryResponse *response;
        const char *given = cli->options.operands[0];
        uint64_t us = 0;
        if (strcmp(given, "none") != 0 && interval_parse(slice_of_string(given), &us, &error))
            return cli_fail(CLI_USAGE, "%s", error.text);
        request.seconds = (us + 999999) / 1000000;
        code = cli_call(cli, "/plinth.v1.Admin/KeepHistory", &request.base,
                        &plinth__v1__keep_history_response__descriptor, &response);
        if (!code) plinth__v1__keep_history_response__free_unpacked(response, NULL);
        return code;
    }
    Plinth__V1__ListSnapshotsRequest request = PLINTH__V1__LIST_SNAPSHOTS_REQUEST__INIT;
    Plinth__V1__ListSnapshotsResponse *response;
    code = cli_call(cli, "/plinth.v1.Admin/ListSnapshots", &request.base,
                    &plinth__v1__list_snapshots_response__descriptor, &response);
    if (code) return code;
    struct output output;
    struct cell cells[] = {
        cell_text(response->history_seconds ? interval_format(response->history_seconds * 1000000, text) : "none")};
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    if (!output_end(&output)) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    plinth__v1__list_snapshots_response__free_unpacked(response, NULL);
    return code;
}
