/* plinth log, plinth log cat: the files and records of a log, from the directory that holds them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/path.h"
#include "base/status.h"
#include "cmd/cli.h"
#include "engine/inventory.h"
#include "engine/record_text.h"
#include "log/log_segment.h"

static struct cell null_cell(void) { return (struct cell){.kind = CELL_NULL}; }

static struct cell known(uint64_t number) { return number ? cell_number(number) : null_cell(); }

static struct cell time_cell(uint64_t us, char text[40]) {
    struct tm utc;
    char seconds_text[32];
    time_t seconds = (time_t)(us / 1000000);
    if (!us || !gmtime_r(&seconds, &utc) || !strftime(seconds_text, sizeof seconds_text, "%Y-%m-%dT%H:%M:%S", &utc))
        return null_cell();
    snprintf(text, 40, "%s.%06uZ", seconds_text, (unsigned)(us % 1000000));
    return cell_text(text);
}

static const char *directory_of(const struct cli *cli) {
    const char *given = getenv("PLINTH_DATA_DIR");
    if (cli->options.operand_count) return cli->options.operands[0];
    return given && *given ? given : "./plinth-data";
}

static int open_inventory(const struct cli *cli, struct inventory *inventory, struct log **log) {
    struct plinth_error error;
    enum plinth_status st = inventory_read(env_posix(), directory_of(cli), inventory, log, &error);
    return st ? cli_fail(st == PLINTH_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "%s", error.text) : CLI_OK;
}

/* ---- files ---- */

struct file_listing {
    struct output output;
    const struct inventory *inventory;
    struct log *log;
    bool stopped;
    uint64_t files, bytes;
};

/* What the file's header says; false when it cannot be read. */
static bool read_header(const struct file_listing *listing, const char *name, struct log_segment_header *header) {
    uint8_t bytes[LOG_SEGMENT_HEADER_BYTES];
    struct env_file *file = NULL;
    size_t got = 0;
    char *path = path_join(listing->inventory->path, name);
    bool ok = path && !env_open(listing->inventory->env, path, ENV_READ, &file, NULL) &&
              !file_read(file, 0, bytes, sizeof bytes, &got, NULL) &&
              !log_segment_header_decode(slice_of(bytes, got), path, header, NULL);
    file_close(file);
    free(path);
    return ok;
}

static void print_log_file(void *context, const struct plinth_file *file) {
    struct file_listing *listing = context;
    static struct log_segment_header header;
    char modified[40];
    if (file->kind != PLINTH_FILE_LOG || listing->stopped) return;
    bool has_header = read_header(listing, file->path, &header);
    uint64_t last = file->last_lsn ? file->last_lsn : log_synced_lsn(listing->log);
    listing->files++;
    listing->bytes += file->bytes;
    struct cell cells[] = {cell_text(file->path),
                           has_header ? cell_number(log_segment_epoch(&header)->number) : null_cell(),
                           cell_number(file->first_lsn),
                           last >= file->first_lsn ? cell_number(last) : null_cell(),
                           cell_number(file->bytes),
                           time_cell(file->modified_us, modified),
                           has_header ? cell_bool(header.recycled) : null_cell(),
                           cell_bool(file->is_needed),
                           cell_text(file->needed_by)};
    listing->stopped = !output_row(&listing->output, cells);
}

int cli_log(struct cli *cli) {
    static const char *const columns[] = {"file",     "epoch",    "first_lsn", "last_lsn",  "bytes",
                                          "modified", "recycled", "needed",    "needed_by", NULL};
    struct inventory inventory;
    struct file_listing listing = {.inventory = &inventory};
    struct plinth_error error;
    int code = open_inventory(cli, &inventory, &listing.log);
    if (code) return code;
    output_begin(&listing.output, stdout, cli->format, BYTES_TEXT, false, columns);
    if (inventory_visit(&inventory, print_log_file, &listing, &error)) code = cli_fail(CLI_FAILED, "%s", error.text);
    if (!output_end(&listing.output) && !code) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    if (!code && !cli->quiet && cli->format == OUTPUT_TABLE) {
        uint64_t second = inventory.replay_second ? inventory.replay_second : inventory.replay_newest;
        fprintf(stderr,
                "%" PRIu64 " files, %.1f MiB; durable up to %" PRIu64 "; opening replays from %" PRIu64
                "; the second newest checkpoint holds the log from %" PRIu64 " on\n",
                listing.files, (double)listing.bytes / (1 << 20), log_synced_lsn(listing.log), inventory.replay_newest,
                second);
    }
    (void)!log_close(listing.log, NULL);
    inventory_deinit(&inventory);
    return code;
}

/* ---- records ---- */

enum { RECORD_CELLS = 9 };
static const char *const record_columns[RECORD_CELLS + 1] = {"lsn",   "time",       "kind",     "what",    "rows",
                                                             "bytes", "durability", "producer", "verdict", NULL};

struct record_output {
    struct output output;
    bool lines; /* JSON Lines */
    struct buffer line;
};

static bool print_record(struct record_output *to, const struct cell *cells) {
    if (!to->lines) return output_row(&to->output, cells);
    bool ok = true;
    buffer_clear(&to->line);
    for (int i = 0; ok && i < RECORD_CELLS; i++)
        ok = buffer_append_u8(&to->line, i ? ',' : '{') &&
             output_append_json_member(&to->line, record_columns[i], &cells[i], BYTES_TEXT);
    ok = ok && buffer_append(&to->line, "}\n", 2);
    return ok && fwrite(to->line.data, 1, to->line.size, stdout) == to->line.size;
}

/* "void", "applied", or nothing where the state does not tell any more. */
static struct cell verdict_of(const struct shard *shard, const struct record *record, const struct record_text *text) {
    if (!text->has_verdict || record->lsn < shard->voids_from || record->lsn > shard->lsn) return null_cell();
    return cell_text(shard_is_void(shard, record->lsn) ? "void" : "applied");
}

static bool show_record(struct record_output *to, const struct shard *shard, const struct record *record) {
    static const char *const durabilities[] = {"", "buffered", "written", "synced"};
    struct record_text text;
    char time[40], producer[64];
    record_describe(&shard->catalog, record, &text);
    snprintf(producer, sizeof producer, "%016" PRIx64 " %" PRIu64, record->header.producer, record->header.sequence);
    const struct cell cells[RECORD_CELLS] = {
        cell_number(record->lsn),
        time_cell(record->header.time_us, time),
        cell_text(change_kind_name((enum change_kind)record->header.kind)),
        cell_text(text.what),
        known(text.rows),
        cell_number(record->payload.size),
        cell_text((unsigned)record->header.durability < 4 ? durabilities[record->header.durability] : "?"),
        record->header.producer ? cell_text(producer) : null_cell(),
        verdict_of(shard, record, &text)};
    return print_record(to, cells);
}

static int print_records(struct record_output *to, const struct inventory *inventory, struct log *log, uint64_t from,
                         uint64_t limit, bool all) {
    struct log_reader *reader;
    struct plinth_error error;
    struct log_stats stats;
    log_stats(log, &stats);
    if (from < stats.first_lsn) from = stats.first_lsn;
    enum plinth_status st = log_read(log, from, &reader, &error);
    if (st) return cli_fail(CLI_FAILED, "%s", error.text);
    uint64_t end = all ? log_next_lsn(log) - 1 : log_synced_lsn(log);
    for (bool found = true, goes_on = true; !st && found && goes_on && limit; limit--) {
        struct record record;
        st = log_next(reader, &record, &found, &error);
        if (st || !found || record.lsn > end) break;
        goes_on = show_record(to, &inventory->shard, &record);
    }
    log_reader_close(reader);
    if (!st) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s%s", error.text,
                    st == PLINTH_TOO_OLD || st == PLINTH_CORRUPT
                        ? " (a server may have trimmed its log meanwhile: try again)"
                        : "");
}

int cli_log_cat(struct cli *cli) {
    static const char *const formats[] = {"table", "json", "csv", "jsonl", NULL};
    struct inventory inventory;
    struct log *log;
    struct plinth_error error;
    struct record_output to = {.lines = false};
    uint64_t from = 1, limit = UINT64_MAX;
    unsigned format = cli->format;
    const char *text = options_value(&cli->options, "format");
    if (!cli_number(cli, "from", 1, UINT64_MAX, &from) || !cli_number(cli, "limit", 0, UINT64_MAX, &limit))
        return CLI_USAGE;
    if (text && options_parse_word("format", text, formats, &format, &error))
        return cli_fail(CLI_USAGE, "%s", error.text);
    int code = open_inventory(cli, &inventory, &log);
    if (code) return code;
    to.lines = format == 3;
    if (!to.lines) output_begin(&to.output, stdout, (enum output_format)format, BYTES_TEXT, false, record_columns);
    code = print_records(&to, &inventory, log, from, limit, options_value(&cli->options, "all") != NULL);
    bool written = to.lines ? !fflush(stdout) && !ferror(stdout) : output_end(&to.output);
    if (!written && !code) code = cli_fail(CLI_FAILED, "cannot write to standard output");
    buffer_deinit(&to.line);
    (void)!log_close(log, NULL);
    inventory_deinit(&inventory);
    return code;
}
