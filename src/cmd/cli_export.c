/* plinth kv export: all keys, values and index values of a space, from one state, as CSV or JSON Lines.
 *
 *     csv    header key,value,INDEX...; the bytes as they are, quoted where RFC 4180 asks for it; an empty field is
 *            no entry of the index
 *     jsonl  {"key":"...","value":"...","indexes":[{"index":"NAME","value":"..."}]} a line; bytes that are no UTF-8 as
 *            base64 in "key_base64", "value_base64"; without index values no "indexes"
 *
 * Both are read back by import, byte for byte. CSV cannot hold several values of one index, nor an empty one: then the
 * export fails. Indexes stand in the order of their names, so that equal spaces give equal files (ids differ).
 *
 * A file is written under FILE.partial and renamed when it is whole.
 * It is the user's own file, maybe a pipe: plain streams and not env. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_progress.h"
#include "cmd/csv.h"
#include "plinth/v1/admin.pb-c.h"
#include "plinth/v1/key_value.pb-c.h"

struct export {
    FILE *file;
    bool jsonl;
    enum bytes_format bytes;
    bool no_indexes;
    const char **columns; /* CSV: names of indexes, ordered; borrowed from `spaces` */
    struct slice *fields; /* CSV: of one row, one a column */
    size_t column_count;
    Plinth__V1__ListSpacesResponse *spaces;
    struct buffer line;
    struct progress progress;
    uint64_t rows;
    uint64_t written;
    bool failed;
    int failure;                         /* errno */
    char problem[PLINTH_ERROR_TEXT_MAX]; /* why a row cannot be written in this format; else empty */
};

typedef Plinth__V1__ScanResponse__Row scan_row;
typedef Plinth__V1__IndexValue index_value;

/* ---- rows ---- */

static struct slice slice_of_data(ProtobufCBinaryData data) { return slice_of(data.data, data.len); }

static bool append_encoded(struct buffer *into, struct slice bytes, enum bytes_format format) {
    return format == BYTES_HEX      ? hex_text_append(into, bytes)
           : format == BYTES_BASE64 ? base64_text_append(into, bytes)
                                    : csv_field_append(into, bytes, ',');
}

/* "key KEY, index NAME: " and the rest; the key as far as it is short. */
static void set_problem(struct export *export, const scan_row *row, const char *index, const char *what) {
    struct buffer key = BUFFER_INIT;
    struct slice shown = slice_of_data(row->key);
    bool cut = shown.size > 64;
    if (cut) shown.size = 64;
    if (!escaped_text_append(&key, shown)) cli_no_memory();
    snprintf(export->problem, sizeof export->problem, "key '%.*s'%s, index '%s': %s", (int)key.size,
             (const char *)key.data, cut ? "..." : "", index, what);
    buffer_deinit(&key);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The index values of a row to the fields of their columns. */
static bool place_fields(struct export *export, const scan_row *row) {
    for (size_t i = 0; i < export->column_count; i++) export->fields[i] = slice_of(NULL, 0);
    for (size_t i = 0; i < row->n_indexes; i++) {
        const index_value *value = row->indexes[i];
        const char *name = value->index;
        const char **column = export->column_count ? bsearch(&name, export->columns, export->column_count,
                                                             sizeof *export->columns, compare_names)
                                                   : NULL;
        struct slice *field = column ? &export->fields[column - export->columns] : NULL;
        const char *problem = !field ? "the index came to be after the CSV header was written; export again"
                              : !value->value.len ? "CSV cannot tell an empty index value from none; use --format jsonl"
                              : field->size       ? "CSV cannot hold several values of one index; use --format jsonl"
                                                  : NULL;
        if (problem) {
            set_problem(export, row, name, problem);
            return false;
        }
        *field = slice_of_data(value->value);
    }
    return true;
}

static bool append_csv_row(struct export *export, const scan_row *row) {
    struct buffer *line = &export->line;
    bool ok = append_encoded(line, slice_of_data(row->key), export->bytes) && buffer_append_u8(line, ',') &&
              append_encoded(line, slice_of_data(row->value), export->bytes);
    for (size_t i = 0; ok && i < export->column_count; i++)
        ok = buffer_append_u8(line, ',') && append_encoded(line, export->fields[i], export->bytes);
    return ok && buffer_append_u8(line, '\n');
}

static bool append_member(struct export *export, const char *name, ProtobufCBinaryData data) {
    struct cell cell = cell_bytes(data.data, data.len);
    return output_append_json_member(&export->line, name, &cell, export->bytes);
}

static int compare_index_values(const void *a, const void *b) {
    const index_value *left = *(const index_value *const *)a, *right = *(const index_value *const *)b;
    int order = strcmp(left->index, right->index);
    return order ? order : slice_compare(slice_of_data(left->value), slice_of_data(right->value));
}

static bool append_json_row(struct export *export, const scan_row *row) {
    struct buffer *line = &export->line;
    bool ok = buffer_append_u8(line, '{') && append_member(export, "key", row->key) && buffer_append_u8(line, ',') &&
              append_member(export, "value", row->value);
    if (row->n_indexes > 1) qsort(row->indexes, row->n_indexes, sizeof *row->indexes, compare_index_values);
    for (size_t i = 0; ok && i < row->n_indexes; i++) {
        const char *before = i ? ",{\"index\":\"" : ",\"indexes\":[{\"index\":\"", *name = row->indexes[i]->index;
        ok = buffer_append(line, before, strlen(before)) && buffer_append(line, name, strlen(name)) &&
             buffer_append(line, "\",", 2) && append_member(export, "value", row->indexes[i]->value) &&
             buffer_append_u8(line, '}');
    }
    return ok && (!row->n_indexes || buffer_append_u8(line, ']')) && buffer_append(line, "}\n", 2);
}

static bool on_chunk(void *context, const ProtobufCMessage *answer) {
    struct export *export = context;
    const Plinth__V1__ScanResponse *chunk = (const Plinth__V1__ScanResponse *)answer;
    buffer_clear(&export->line);
    for (size_t i = 0; i < chunk->n_rows; i++) {
        const scan_row *row = chunk->rows[i];
        if (!export->jsonl && !place_fields(export, row)) return false;
        if (!(export->jsonl ? append_json_row : append_csv_row)(export, row)) cli_no_memory();
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

/* ---- columns ---- */

static bool is_name(const char *given, const char *name) { return strcmp(*given ? given : "default", name) == 0; }

/* The indexes of the space as columns of CSV. A space that does not exist has none; its scan says so. */
static int read_columns(struct cli *cli, struct export *export) {
    Plinth__V1__ListSpacesRequest request = PLINTH__V1__LIST_SPACES_REQUEST__INIT;
    int code = cli_call(cli, "/plinth.v1.Admin/ListSpaces", &request.base,
                        &plinth__v1__list_spaces_response__descriptor, &export->spaces);
    for (size_t i = 0; !code && i < export->spaces->n_spaces; i++) {
        const Plinth__V1__SpaceDescription *description = export->spaces->spaces[i];
        if (!is_name(cli->database, description->space->database) || !is_name(cli->space, description->space->name))
            continue;
        export->columns = (const char **)description->indexes;
        export->column_count = description->n_indexes;
    }
    if (code || !export->column_count) return code;
    qsort(export->columns, export->column_count, sizeof *export->columns, compare_names);
    export->fields = calloc(export->column_count, sizeof *export->fields);
    if (!export->fields) cli_no_memory();
    if (export->column_count + 2 > CSV_FIELDS_MAX)
        return cli_fail(CLI_FAILED, "the space has %zu indexes, CSV columns are at most %d; use --format jsonl",
                        export->column_count, CSV_FIELDS_MAX);
    for (size_t i = 0; i < export->column_count; i++) {
        const char *name = export->columns[i];
        if (strcmp(name, "key") == 0 || strcmp(name, "value") == 0)
            return cli_fail(CLI_FAILED, "index '%s' cannot be a CSV column beside '%s' itself; use --format jsonl",
                            name, name);
    }
    return CLI_OK;
}

static void write_header(struct export *export) {
    fputs("key,value", export->file);
    for (size_t i = 0; i < export->column_count; i++) fprintf(export->file, ",%s", export->columns[i]);
    fputc('\n', export->file);
}

/* ---- the whole ---- */

static int scan_all(struct cli *cli, struct export *export, const char *name) {
    Plinth__V1__ScanRequest request = PLINTH__V1__SCAN_REQUEST__INIT;
    Plinth__V1__Space space;
    request.space = cli_space(cli, &space);
    request.with_indexes = !export->no_indexes;
    progress_begin(&export->progress, "exported", 0, cli->quiet);
    if (!export->jsonl) write_header(export);
    int code = cli_stream(cli, "/plinth.v1.KeyValue/Scan", &request.base, &plinth__v1__scan_response__descriptor,
                          on_chunk, export);
    double seconds = progress_end(&export->progress);
    if (!export->failed && fflush(export->file)) {
        export->failed = true;
        export->failure = errno;
    }
    if (*export->problem) return cli_fail(CLI_FAILED, "%s: %s", name, export->problem);
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
    struct export export = {.file = stdout,
                            .jsonl = which == 1,
                            .bytes = cli->bytes,
                            .no_indexes = options_value(&cli->options, "no-indexes") != NULL};
    int code = export.jsonl || export.no_indexes ? CLI_OK : read_columns(cli, &export);
    if (!code)
        code = strcmp(path, "-") == 0 ? scan_all(cli, &export, "standard output") : export_to_file(cli, &export, path);
    buffer_deinit(&export.line);
    free(export.fields);
    if (export.spaces) plinth__v1__list_spaces_response__free_unpacked(export.spaces, NULL);
    return code;
}
