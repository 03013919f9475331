/* plinth kv export: all keys and values of a space, from one state, as CSV or JSON Lines.
 *
 *     csv    header key,value; the bytes as they are, quoted where RFC 4180 asks for it
 *     jsonl  {"key":"...","value":"..."} a line; bytes that are no UTF-8 as base64 in "key_base64", "value_base64"
 *
 * Both are read back by import, byte for byte. A file is written under FILE.partial and renamed when it is whole.
 * It is the user's own file, maybe a pipe: plain streams and not env. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_progress.h"
#include "plinth/v1/key_value.pb-c.h"

struct export {
    FILE *file;
    bool jsonl;
    enum bytes_format bytes;
    struct buffer line;
    struct progress progress;
    uint64_t rows;
    uint64_t written;
    bool failed;
    int failure; /* errno */
};

static bool append_encoded(struct buffer *into, struct slice bytes, enum bytes_format format) {
    return format == BYTES_HEX      ? hex_text_append(into, bytes)
           : format == BYTES_BASE64 ? base64_text_append(into, bytes)
                                    : csv_field_append(into, bytes, ',');
}

static bool append_row(struct export *export, struct slice key, struct slice value) {
    struct buffer *line = &export->line;
    if (!export->jsonl)
        return append_encoded(line, key, export->bytes) && buffer_append_u8(line, ',') &&
               append_encoded(line, value, export->bytes) && buffer_append_u8(line, '\n');
    struct cell cells[] = {cell_bytes(key.data, key.size), cell_bytes(value.data, value.size)};
    return buffer_append_u8(line, '{') && output_append_json_member(line, "key", &cells[0], export->bytes) &&
           buffer_append_u8(line, ',') && output_append_json_member(line, "value", &cells[1], export->bytes) &&
           buffer_append(line, "}\n", 2);
}

static bool on_chunk(void *context, const ProtobufCMessage *answer) {
    struct export *export = context;
    const Plinth__V1__ScanResponse *chunk = (const Plinth__V1__ScanResponse *)answer;
    buffer_clear(&export->line);
    for (size_t i = 0; i < chunk->n_rows; i++) {
        const Plinth__V1__ScanResponse__Row *row = chunk->rows[i];
        if (!append_row(export, slice_of(row->key.data, row->key.len), slice_of(row->value.data, row->value.len)))
            cli_no_memory();
    }
    export->rows += chunk->n_rows;
    export->written += export->line.size;
    if (fwrite(export->line.data, 1, export->line.size, export->file) != export->line.size) {
        export->failed = true;
        export->failure = errno;
    }
    progress_update(&export->progress, export->rows, export->written);
    return !export->failed;
}

static int scan_all(struct cli *cli, struct export *export, const char *name) {
    Plinth__V1__ScanRequest request = PLINTH__V1__SCAN_REQUEST__INIT;
    Plinth__V1__Space space;
    request.space = cli_space(cli, &space);
    progress_begin(&export->progress, "exported", 0, cli->quiet);
    if (!export->jsonl) fputs("key,value\n", export->file);
    int code = cli_stream(cli, "/plinth.v1.KeyValue/Scan", &request.base, &plinth__v1__scan_response__descriptor,
                          on_chunk, export);
    double seconds = progress_end(&export->progress);
    if (!export->failed && fflush(export->file)) {
        export->failed = true;
        export->failure = errno;
    }
    if (export->failed) return cli_fail(CLI_FAILED, "%s: cannot write: %s", name, strerror(export->failure));
    if (!code && !cli->quiet)
        fprintf(stderr, "exported %llu rows, %llu bytes in %.1f s\n", (unsigned long long)export->rows,
                (unsigned long long)export->written, seconds);
    return code;
}

static int export_to_file(struct cli *cli, struct export *export, const char *path) {
    char *partial;
    if (asprintf(&partial, "%s.partial", path) < 0) cli_no_memory();
    int code;
    export->file = fopen(partial, "we");
    if (!export->file) {
        code = cli_fail(CLI_FAILED, "%s: cannot write: %s", partial, strerror(errno));
    } else {
        code = scan_all(cli, export, partial);
        if (fclose(export->file) && !code)
            code = cli_fail(CLI_FAILED, "%s: cannot write: %s", partial, strerror(errno));
        if (!code && rename(partial, path))
            code = cli_fail(CLI_FAILED, "%s: cannot rename to %s: %s", partial, path, strerror(errno));
        if (code) unlink(partial);
    }
    free(partial);
    return code;
}

int cli_kv_export(struct cli *cli) {
    static const char *const formats[] = {"csv", "jsonl", NULL};
    const char *path = cli->options.operand_count ? cli->options.operands[0] : "-";
    const char *format = options_value(&cli->options, "format");
    const char *dot = strrchr(path, '.');
    struct plinth_error error;
    unsigned which = dot && strcmp(dot, ".jsonl") == 0;
    if (format && options_parse_word("format", format, formats, &which, &error))
        return cli_fail(CLI_USAGE, "%s", error.text);
    struct export export = {.file = stdout, .jsonl = which == 1, .bytes = cli->bytes};
    int code = strcmp(path, "-") == 0 ? scan_all(cli, &export, "standard output") : export_to_file(cli, &export, path);
    buffer_deinit(&export.line);
    return code;
}
