/* plinth import: rows of files into a table.
 *
 * The main thread reads and parses a batch (table_reader.h), hands it to the stream (batch_stream.h) and goes on with
 * the next one. Batches are numbered through all files; what is acknowledged is noted in a small file
 * (import_state.h), so that the same import, run again after an interruption, doubles nothing:
 *
 *   - it sends its first batch again; when the server knows it, it knows all that were acknowledged, and they are only
 *     counted; else the server has lost them, and everything is sent;
 *   - batches behind those are sent, whether or not they had arrived: their producer id and sequence tell;
 *   - files whose first batches are no longer what was sent are refused. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/status.h"
#include "cmd/batch_stream.h"
#include "cmd/byte_text.h"
#include "cmd/cli_import_options.h"
#include "cmd/cli_progress.h"
#include "cmd/import_state.h"
#include "plinth/v1/admin.pb-c.h"

enum { REJECTS_SHOWN_MAX = 10, STATE_PERIOD_MS = 500, SENT_AHEAD_MAX = 32 /* no less than the stream's window */ };

struct import {
    struct cli *cli;
    struct import_options options;
    struct table_reader_options reading;
    Plinth__V1__DescribeTableResponse *table;
    char **paths;
    int path_count;
    int file; /* that is read */
    struct table_reader *reader;
    struct batch_stream *stream;
    struct import_state_file state_file;
    struct import_state state;
    uint64_t state_written_ns;
    uint64_t resume_sequence; /* acknowledged before this run; 0: this is the first */
    uint64_t resume_chain;
    uint64_t resume_files;
    bool resume_whole; /* everything sent then was answered */
    bool skipping;     /* the server knows those up to resume_sequence */
    uint64_t sequence;
    uint64_t chain;
    uint64_t rows, rows_before, rows_rejected;
    uint64_t bytes_before; /* of the files before this one */
    FILE *rejects;
    char *rejects_path;
    struct progress progress;
    struct buffer payload;
};

/* ---- rows that are left out ---- */

static const char *place(const struct table_reader *reader) { return table_reader_has_lines(reader) ? ":" : ": row "; }

/* FILE.rejected: each row as it is in the file, behind a line "# PLACE: why". */
static void write_reject(struct import *import, const char *name, const char *mark, uint64_t line, struct slice raw,
                         const char *reason) {
    if (import->options.on_error != IMPORT_FILE) return;
    if (!import->rejects) {
        const char *path =
            strcmp(import->paths[import->file], "-") == 0 ? "standard-input" : import->paths[import->file];
        free(import->rejects_path);
        if (asprintf(&import->rejects_path, "%s.rejected", path) < 0) cli_no_memory();
        import->rejects = fopen(import->rejects_path, "we");
        if (!import->rejects) {
            cli_fail(CLI_FAILED, "%s: cannot write: %s", import->rejects_path, strerror(errno));
            import->options.on_error = IMPORT_SKIP;
            return;
        }
    }
    fprintf(import->rejects, "# %s%s%llu: %s\n", name, mark, (unsigned long long)line, reason);
    if (raw.size) fprintf(import->rejects, "%.*s\n", (int)raw.size, (const char *)raw.data);
}

static void count_reject(struct import *import, const char *name, const char *mark, uint64_t line, struct slice raw,
                         const char *reason) {
    import->rows_rejected++;
    if (!import->cli->quiet && import->rows_rejected <= REJECTS_SHOWN_MAX)
        fprintf(stderr, "%splinth: %s%s%llu: %s\n", import->progress.terminal ? "\r\x1b[K" : "", name, mark,
                (unsigned long long)line, reason);
    if (!import->cli->quiet && import->rows_rejected == REJECTS_SHOWN_MAX)
        fprintf(stderr, "plinth: further rejected rows are only counted%s\n",
                import->options.on_error == IMPORT_FILE ? " and written to the file" : "");
    write_reject(import, name, mark, line, raw, reason);
}

/* Told by the reader. */
static void on_reject(void *context, uint64_t line, struct slice raw, const char *reason) {
    struct import *import = context;
    count_reject(import, table_reader_name(import->reader), place(import->reader), line, raw, reason);
}

static int close_rejects(struct import *import) {
    if (!import->rejects) return CLI_OK;
    bool failed = fclose(import->rejects) != 0;
    import->rejects = NULL;
    return failed ? cli_fail(CLI_FAILED, "%s: cannot write: %s", import->rejects_path, strerror(errno)) : CLI_OK;
}

/* ---- answers ---- */

static const char *name_of_file(const struct import *import, size_t file) {
    return strcmp(import->paths[file], "-") == 0 ? "standard input" : import->paths[file];
}

/* What a batch's rows are called: lines of text, rows of other files (which have no lines buffer). */
static const char *mark_of(const struct stream_batch *batch) { return batch->rows.lines.size ? ":" : ": row "; }

static void note_state(struct import *import, bool now) {
    uint64_t time_ns = env_monotonic_ns(env_posix());
    if (!now && time_ns - import->state_written_ns < (uint64_t)STATE_PERIOD_MS * 1000000) return;
    import->state_written_ns = time_ns;
    struct import_state state = import->state;
    state.sent = UINT64_MAX; /* until the next note, as much may be on its way as the stream takes */
    import_state_write(&import->state_file, &state);
}

static int on_answer(void *context, const struct stream_batch *batch, const Plinth__V1__WriteRowsResponse *answer) {
    struct import *import = context;
    bool known = !answer || answer->duplicate;
    if (known && batch->sequence == 1 && import->resume_sequence) import->skipping = true;
    if (known && batch->attempts <= 1)
        import->rows_before += batch->row_count;
    else
        import->rows += answer ? answer->rows_written : batch->row_count;
    uint64_t told = answer && !known ? answer->n_rejects : 0;
    for (uint64_t i = 0; i < told; i++)
        count_reject(import, name_of_file(import, batch->file), mark_of(batch),
                     table_rows_line(&batch->rows, answer->rejects[i]->row),
                     table_rows_raw(&batch->rows, answer->rejects[i]->row), answer->rejects[i]->reason);
    if (answer && !known && answer->rows_rejected > told) import->rows_rejected += answer->rows_rejected - told;
    if (batch->sequence > import->state.sequence) {
        import->state.sequence = batch->sequence;
        import->state.chain = batch->chain;
        import->state.rows += batch->row_count;
        note_state(import, false);
    }
    return CLI_OK;
}

/* A batch that was refused because of one row says "row N: why (...)". */
static int on_refusal(void *context, const struct stream_batch *batch, enum grpc_status code, const char *message) {
    struct import *import = context;
    const char *name = name_of_file(import, batch->file);
    unsigned row;
    int used = 0;
    int exit_code = code == GRPC_UNAVAILABLE ? CLI_UNREACHABLE : code == GRPC_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED;
    if (code == GRPC_INVALID_ARGUMENT && sscanf(message, "row %u: %n", &row, &used) == 1 && used &&
        row < batch->row_count)
        return cli_fail(exit_code, "%s%s%llu: %s", name, mark_of(batch),
                        (unsigned long long)table_rows_line(&batch->rows, row), message + used);
    return cli_fail(exit_code, "%s: rows from %s %llu (%u rows) were not imported: %s (%s); %llu rows before are there",
                    name, batch->rows.lines.size ? "line" : "row", (unsigned long long)batch->rows.first_line,
                    batch->row_count, message, grpc_status_name(code),
                    (unsigned long long)(import->rows + import->rows_before));
}

/* ---- batches ---- */

static void pack(struct import *import, struct stream_batch *batch) {
    Plinth__V1__WriteRowsRequest request = PLINTH__V1__WRITE_ROWS_REQUEST__INIT;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__WriteOptions write = PLINTH__V1__WRITE_OPTIONS__INIT;
    table.database = (char *)import->cli->database;
    table.name = import->table->table->name;
    write.producer_id = import->state.producer_id;
    write.sequence = batch->sequence;
    write.durability = import->options.durability;
    request.table = &table;
    request.payload_case = PLINTH__V1__WRITE_ROWS_REQUEST__PAYLOAD_ARROW_IPC;
    request.arrow_ipc = (ProtobufCBinaryData){import->payload.size, import->payload.data};
    request.no_reject = import->options.on_error == IMPORT_STOP;
    request.write = &write;
    if (!buffer_reserve(&batch->request, plinth__v1__write_rows_request__get_packed_size(&request) + 1))
        cli_no_memory();
    batch->request.size = plinth__v1__write_rows_request__pack(&request, batch->request.data);
}

static enum plinth_status encode(struct import *import, const struct table_rows *rows, struct plinth_error *error) {
    buffer_clear(&import->payload);
    enum plinth_status st = arrow_write_schema(&import->payload, &rows->schema, error);
    return st ? st : arrow_write_batch(&import->payload, rows->batch, ARROW_UNCOMPRESSED, error);
}

static uint64_t chained(uint64_t before, struct slice bytes) {
    const uint64_t parts[] = {before, hash_stable(bytes.data, bytes.size)};
    return hash_stable(parts, sizeof parts);
}

static int fail_changed(const struct import *import) {
    return cli_fail(CLI_FAILED,
                    "%s: has changed since an import of it was interrupted, so the %llu rows that are in the table "
                    "cannot be told from the others; --restart imports everything again",
                    name_of_file(import, (size_t)import->file), (unsigned long long)import->state.rows);
}

/* The batch behind the last acknowledged one of the interrupted run has come. */
static int check_resume(struct import *import) {
    if (import->sequence != import->resume_sequence || import->chain == import->resume_chain) return CLI_OK;
    return fail_changed(import);
}

static int send_batch(struct import *import, struct stream_batch *batch) {
    batch->sequence = import->sequence;
    batch->chain = import->chain;
    batch->file = (size_t)import->file;
    if (import->sequence > import->state.sent) import->state.sent = import->sequence;
    pack(import, batch);
    int code = batch_stream_send(import->stream, batch);
    /* The first one says whether the server remembers the run before. */
    if (!code && import->sequence == 1 && import->resume_sequence) code = batch_stream_drain(import->stream);
    return code;
}

static int next_batch(struct import *import, bool *end) {
    struct plinth_error error;
    struct stream_batch *batch;
    int code = batch_stream_take(import->stream, &batch);
    if (code) return code;
    enum plinth_status st = table_reader_next(import->reader, &batch->rows, end, &error);
    if (!st && !*end) st = encode(import, &batch->rows, &error);
    if (st) { /* what was sent before is waited for, so that the count that is told is true */
        code = batch_stream_drain(import->stream);
        return code ? code
                    : cli_fail(CLI_FAILED, "%s; %llu rows before it are imported", error.text,
                               (unsigned long long)(import->rows + import->rows_before));
    }
    if (*end) return CLI_OK;
    batch->row_count = batch->rows.batch->rows;
    batch_unref(batch->rows.batch);
    batch->rows.batch = NULL;
    import->sequence++;
    import->chain = chained(import->chain, buffer_slice(&import->payload));
    code = check_resume(import);
    if (code) return code;
    if (import->skipping && import->sequence <= import->resume_sequence) {
        import->rows_before += batch->row_count;
        return CLI_OK;
    }
    return send_batch(import, batch);
}

/* ---- files ---- */

static int bind_reader(struct import *import) {
    const Plinth__V1__DescribeTableResponse *table = import->table;
    struct plinth_error error;
    struct table_reader_column *columns = calloc(table->n_columns + 1, sizeof *columns);
    if (!columns) cli_no_memory();
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < table->n_columns; i++) {
        columns[i].name = table->columns[i]->name;
        columns[i].not_null = table->columns[i]->not_null;
        columns[i].has_default = table->columns[i]->has_default;
        for (size_t k = 0; k < table->n_primary_key; k++)
            columns[i].is_key = columns[i].is_key || strcmp(table->primary_key[k], columns[i].name) == 0;
        columns[i].not_null = columns[i].not_null || columns[i].is_key;
        st = column_type_parse(slice_of_string(table->columns[i]->type), &columns[i].type, &error);
    }
    if (!st)
        st = table_reader_bind(import->reader, columns, table->n_columns,
                               table->options && table->options->adds_columns, &error);
    free(columns);
    return st ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_OK;
}

static int open_reader(struct import *import, const char *path) {
    struct plinth_error error;
    enum plinth_status st = table_reader_open(path, &import->reading, &import->reader, &error);
    return st ? cli_fail(st == PLINTH_UNSUPPORTED ? CLI_USAGE : CLI_FAILED, "%s", error.text) : CLI_OK;
}

static int import_file(struct import *import) {
    bool end = false;
    int code = import->reader ? CLI_OK : open_reader(import, import->paths[import->file]);
    if (!code) code = bind_reader(import);
    while (!code && !end) {
        code = next_batch(import, &end);
        progress_update(&import->progress, import->rows + import->rows_before,
                        import->bytes_before + table_reader_consumed(import->reader));
    }
    /* Answers name rows of this file, in its own list of rejects. */
    if (!code && import->options.on_error == IMPORT_FILE) code = batch_stream_drain(import->stream);
    if (import->reader) import->bytes_before += table_reader_size(import->reader);
    table_reader_close(import->reader);
    import->reader = NULL;
    int closed = close_rejects(import);
    return code ? code : closed;
}

/* ---- the table ---- */

static enum grpc_status describe(struct import *import, const char *name, struct plinth_error *error) {
    Plinth__V1__DescribeTableRequest request = PLINTH__V1__DESCRIBE_TABLE_REQUEST__INIT;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    table.database = (char *)import->cli->database;
    table.name = (char *)name;
    request.table = &table;
    return cli_call_quietly(import->cli, "/plinth.v1.Admin/DescribeTable", &request.base,
                            &plinth__v1__describe_table_response__descriptor, &import->table, error);
}

/* Makes the table of the columns that the first file has, or of --types. */
static int create(struct import *import, const char *name) {
    const struct table_reader_column *columns = NULL;
    struct plinth_error error;
    size_t count = 0;
    if (!import->options.types.column_count) {
        int code = open_reader(import, import->paths[0]);
        if (code) return code;
        if (table_reader_guess(import->reader, &columns, &count, &error)) return cli_fail(CLI_FAILED, "%s", error.text);
    }
    return import_create_table(import->cli, &import->options, name, columns, count);
}

static int find_table(struct import *import, const char *name) {
    struct plinth_error error;
    enum grpc_status status = describe(import, name, &error);
    if (status == GRPC_NOT_FOUND && import->options.create) {
        int code = create(import, name);
        if (code) return code;
        status = describe(import, name, &error);
    } else if (status == GRPC_NOT_FOUND) {
        return cli_fail(CLI_NOT_FOUND, "%s; --create makes it", error.text);
    }
    return status == GRPC_OK ? CLI_OK : cli_fail_status(import->cli, status, &error);
}

/* ---- going on after an interruption ---- */

static int begin_state(struct import *import) {
    char *named;
    struct plinth_error error;
    uint64_t now_us = env_wall_time_us(env_posix());
    bool piped = false;
    for (int i = 0; i < import->path_count; i++) piped = piped || strcmp(import->paths[i], "-") == 0;
    const char *database = *import->cli->database ? import->cli->database : "default";
    if (asprintf(&named, "%s\n%s\n%u", database, import->table->table->name, import->table->id) < 0) cli_no_memory();
    enum plinth_status st = PLINTH_OK;
    struct import_state found = {0};
    error_clear(&error);
    if (!piped) st = import_state_open(named, import->paths, import->path_count, &import->state_file, &found, &error);
    free(named);
    if (st) return cli_fail(CLI_FAILED, "the same import is running: %s", error.text);
    if (*error.text && !import->cli->quiet)
        fprintf(stderr, "plinth: when it is interrupted, this import cannot be resumed: %s\n", error.text);
    uint64_t files = import_state_files(import->paths, import->path_count);
    bool old = found.producer_id && now_us - found.started_us > (uint64_t)IMPORT_STATE_AGE_MAX_S * 1000000;
    if (found.producer_id && !import->options.restart) {
        if (old)
            return cli_fail(
                CLI_FAILED,
                "an import of these files was interrupted %llu hours ago, too long to be resumed; %llu rows "
                "of it are in the table; --restart imports everything again",
                (unsigned long long)((now_us - found.started_us) / 3600000000u), (unsigned long long)found.rows);
        import->state = found;
        import->resume_sequence = found.sequence;
        import->resume_chain = found.chain;
        if (found.files != files && found.sent != found.sequence) return fail_changed(import);
        if (!import->cli->quiet)
            fprintf(stderr, "plinth: resuming an import that was interrupted after %llu rows or more\n",
                    (unsigned long long)found.rows);
    } else {
        while (!import->state.producer_id) import->state.producer_id = env_random_u64(env_posix());
    }
    import->state.started_us = now_us;
    import->state.files = files;
    note_state(import, true);
    if (import->state.sent > import->state.sequence + SENT_AHEAD_MAX)
        import->state.sent = import->state.sequence + SENT_AHEAD_MAX;
    return CLI_OK;
}

/* An import that did not end leaves its state, with what is known now. The last thing that is done, behind the report
 * and what takes time: who is killed before it has not been told that the import has ended, and will run it again. */
static void end_state(struct import *import, int code) {
    if (!code || !import->state.sent)
        import_state_forget(&import->state_file);
    else
        import_state_write(&import->state_file, &import->state);
    import_state_close(&import->state_file);
}

/* ---- the whole ---- */

static void report(const struct import *import, double seconds) {
    double rate = seconds > 0 ? (double)import->rows / seconds : 0;
    uint64_t retries = batch_stream_retries(import->stream);
    if (import->cli->format == OUTPUT_JSON) {
        printf("{\"rows\":%llu,\"rows_before\":%llu,\"rejected\":%llu,\"seconds\":%.3f,\"rows_per_s\":%.0f,"
               "\"retries\":%llu}\n",
               (unsigned long long)import->rows, (unsigned long long)import->rows_before,
               (unsigned long long)import->rows_rejected, seconds, rate, (unsigned long long)retries);
        return;
    }
    if (import->cli->quiet) return;
    printf("imported %llu rows in %.1f s (%.0f rows/s)", (unsigned long long)import->rows, seconds, rate);
    if (import->rows_before) printf(", %llu were there already", (unsigned long long)import->rows_before);
    if (import->rows_rejected) printf(", %llu rejected", (unsigned long long)import->rows_rejected);
    if (retries) printf(", %llu batches sent again", (unsigned long long)retries);
    putchar('\n');
}

/* 0 when it is not known of all. */
static uint64_t bytes_of_files(const struct import *import) {
    uint64_t bytes = 0;
    for (int i = 0; i < import->path_count; i++) {
        struct stat info;
        if (stat(import->paths[i], &info) || !S_ISREG(info.st_mode)) return 0;
        bytes += (uint64_t)info.st_size;
    }
    return bytes;
}

static int import_all(struct import *import) {
    const struct batch_stream_options options = {on_answer, on_refusal, import};
    int code = begin_state(import);
    import->stream = batch_stream_create(import->cli, &options);
    progress_begin(&import->progress, "imported", bytes_of_files(import), import->cli->quiet);
    for (import->file = 0; !code && import->file < import->path_count; import->file++) code = import_file(import);
    if (!code) code = batch_stream_drain(import->stream);
    if (!code && import->sequence < import->resume_sequence) {
        import->file = import->path_count - 1;
        code = fail_changed(import);
    }
    double seconds = progress_end(&import->progress);
    if (!code) report(import, seconds);
    if (import->rows_rejected && !import->cli->quiet && import->rejects_path)
        fprintf(stderr, "plinth: rejected rows are in %s\n", import->rejects_path);
    return code;
}

/* A key space has its own way in. */
static int import_keys(struct import *import) {
    struct cli *cli = import->cli;
    struct options options = cli->options;
    int code = CLI_OK;
    cli->space = options.operands[0];
    for (int i = 0; !code && i < import->path_count; i++) {
        cli->options.operands = &import->paths[i];
        cli->options.operand_count = 1;
        code = cli_kv_import(cli);
    }
    cli->options = options;
    return code;
}

int cli_import(struct cli *cli) {
    struct import *import = calloc(1, sizeof *import);
    if (!import) cli_no_memory();
    import->cli = cli;
    import->paths = cli->options.operands + 1;
    import->path_count = cli->options.operand_count - 1;
    int code = import_options_parse(cli, &import->options, &import->reading) ? CLI_OK : CLI_USAGE;
    import->reading.context = import;
    if (import->options.on_error != IMPORT_STOP) import->reading.on_reject = on_reject;
    import->reading.keeps_raw = import->options.on_error == IMPORT_FILE;
    if (!code) code = find_table(import, cli->options.operands[0]);
    if (!code) code = import->table->is_space ? import_keys(import) : import_all(import);
    close_rejects(import);
    table_reader_close(import->reader);
    batch_stream_destroy(import->stream);
    fflush(stdout);
    end_state(import, code);
    buffer_deinit(&import->payload);
    free(import->rejects_path);
    if (import->table) plinth__v1__describe_table_response__free_unpacked(import->table, NULL);
    import_options_deinit(&import->options);
    free(import);
    return code;
}
