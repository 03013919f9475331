/* plinth files: what lies in a data directory and what needs it, by a server or from the directory itself. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "cmd/cli.h"
#include "engine/inventory.h"
#include "plinth/v1/processor.pb-c.h"

enum { KEY_BYTES_SHOWN = 32, TEXT_BYTES = 512 };

/* Programs get all, people what fits on a screen. */
static const char *const columns[] = {"path",    "kind",    "bytes",  "modified",  "table",     "partition",
                                      "run",     "level",   "rows",   "deletes",   "first_lsn", "last_lsn",
                                      "key_min", "key_max", "needed", "needed_by", NULL};
static const char *const table_columns[] = {"path",  "bytes", "table",    "partition", "run",
                                            "level", "rows",  "last_lsn", "needed_by", NULL};

struct file_output {
    struct output output;
    bool is_table, unneeded_only;
    bool stopped;
    uint64_t files, bytes, unneeded, unneeded_bytes;
};

static struct cell null_cell(void) { return (struct cell){.kind = CELL_NULL}; }

static struct cell known(uint64_t number) { return number ? cell_number(number) : null_cell(); }

static struct cell time_cell(int64_t us, char text[32]) {
    struct tm utc;
    time_t seconds = (time_t)(us / 1000000);
    if (!gmtime_r(&seconds, &utc) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc)) return null_cell();
    return cell_text(text);
}

static struct cell key_cell(ProtobufCBinaryData key) {
    return key.len ? cell_bytes(key.data, key.len < KEY_BYTES_SHOWN ? key.len : KEY_BYTES_SHOWN) : null_cell();
}

static struct cell table_cell(const Plinth__V1__File *file, char text[TEXT_BYTES]) {
    if (!file->table) return null_cell();
    snprintf(text, TEXT_BYTES, "%s.%s%s%s", file->table->database, file->table->name, *file->index ? "." : "",
             file->index);
    return cell_text(text);
}

static bool print_file(struct file_output *to, const Plinth__V1__File *file) {
    static const char *const kinds[] = {"?", "log", "segment", "checkpoint", "other"};
    char table[TEXT_BYTES], modified[32], partition[32];
    bool is_segment = file->rows != 0;
    to->files++;
    to->bytes += file->bytes;
    to->unneeded += !file->is_needed;
    to->unneeded_bytes += file->is_needed ? 0 : file->bytes;
    if (to->unneeded_only && file->is_needed) return true;
    struct cell path = cell_text(file->path), bytes = cell_number(file->bytes), of = table_cell(file, table);
    struct cell part = file->has_partition ? time_cell(file->partition_us, partition) : null_cell();
    struct cell level = is_segment ? cell_number(file->level) : null_cell(), needed_by = cell_text(file->needed_by);
    struct cell cells[] = {path,
                           cell_text((unsigned)file->kind < 5 ? kinds[file->kind] : "?"),
                           bytes,
                           file->modified_us ? time_cell((int64_t)file->modified_us, modified) : null_cell(),
                           of,
                           part,
                           known(file->run),
                           level,
                           known(file->rows),
                           is_segment ? cell_number(file->deletes) : null_cell(),
                           known(file->first_lsn),
                           known(file->last_lsn),
                           key_cell(file->key_min),
                           key_cell(file->key_max),
                           cell_bool(file->is_needed),
                           needed_by};
    struct cell few[] = {path,     bytes, of, part, known(file->run), level, known(file->rows), known(file->last_lsn),
                         needed_by};
    to->stopped = !output_row(&to->output, to->is_table ? few : cells);
    return !to->stopped;
}

/* ---- of a server ---- */

static bool on_files(void *context, const ProtobufCMessage *answer) {
    const Plinth__V1__ListFilesResponse *response = (const Plinth__V1__ListFilesResponse *)answer;
    for (size_t i = 0; i < response->n_files; i++)
        if (!print_file(context, response->files[i])) return false;
    return true;
}

/* ---- of a directory ---- */

struct local_files {
    struct file_output *to;
    const struct inventory *inventory;
};

static ProtobufCBinaryData binary(struct plinth_slice slice) {
    return (ProtobufCBinaryData){slice.size, (uint8_t *)slice.data};
}

static void on_local_file(void *context, const struct plinth_file *from) {
    struct local_files *local = context;
    struct plinth_names names;
    Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;
    Plinth__V1__File file = PLINTH__V1__FILE__INIT;
    if (local->to->stopped) return;
    file.path = (char *)from->path;
    file.kind = (Plinth__V1__FileKind)from->kind;
    file.bytes = from->bytes;
    file.modified_us = from->modified_us;
    file.first_lsn = from->first_lsn;
    file.last_lsn = from->last_lsn;
    file.is_needed = from->is_needed;
    file.needed_by = (char *)from->needed_by;
    file.has_partition = from->has_partition;
    file.run = from->run;
    file.level = from->level;
    file.rows = from->rows;
    file.deletes = from->deletes;
    file.key_min = binary(from->key_min);
    file.key_max = binary(from->key_max);
    const struct catalog *catalog = &local->inventory->shard.catalog;
    const struct table_id id = {from->space.tenant, from->space.database, from->space.table};
    names = (struct plinth_names){.partition_us = 0};
    if (id.table && engine_names_of(catalog, id, &names)) {
        table.database = names.database;
        table.name = names.table;
        file.table = &table;
        file.index = names.index;
        file.partition_us = from->partition * (int64_t)names.partition_us;
    }
    (void)print_file(local->to, &file);
}

static int print_local(struct file_output *to, const char *directory) {
    struct inventory inventory;
    struct plinth_error error;
    enum plinth_status st = inventory_read(env_posix(), directory, &inventory, NULL, &error);
    if (st) return cli_fail(st == PLINTH_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "%s", error.text);
    struct local_files local = {to, &inventory};
    st = inventory_visit(&inventory, on_local_file, &local, &error);
    inventory_deinit(&inventory);
    return st ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_OK;
}

int cli_files(struct cli *cli) {
    struct file_output to = {.is_table = cli->format == OUTPUT_TABLE,
                             .unneeded_only = options_value(&cli->options, "unneeded") != NULL};
    Plinth__V1__ListFilesRequest request = PLINTH__V1__LIST_FILES_REQUEST__INIT;
    output_begin(&to.output, stdout, cli->format, cli->bytes, false, to.is_table ? table_columns : columns);
    int code = cli->options.operand_count ? print_local(&to, cli->options.operands[0])
                                          : cli_stream(cli, "/plinth.v1.Processor/ListFiles", &request.base,
                                                       &plinth__v1__list_files_response__descriptor, on_files, &to);
    if (!output_end(&to.output) && !code) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    if (!code && !cli->quiet && to.is_table)
        fprintf(stderr, "%llu files, %.1f MiB; %llu of them, %.1f MiB, are not needed\n", (unsigned long long)to.files,
                (double)to.bytes / (1 << 20), (unsigned long long)to.unneeded, (double)to.unneeded_bytes / (1 << 20));
    return code;
}
