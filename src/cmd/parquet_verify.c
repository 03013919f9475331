/* plinth parquet verify: whether what Parquet files say of themselves is true of their data (parquet/verify.h). */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/parquet_input.h"
#include "parquet/verify.h"

struct verification {
    struct output output;
    const char *name;
    bool is_quiet;
};

static bool print_finding(void *context, const struct parquet_finding *finding) {
    struct verification *verification = context;
    const struct cell none = {.kind = CELL_NULL};
    if (verification->output.format == OUTPUT_TABLE) {
        char line[1024];
        struct buffer text = BUFFER_INIT;
        parquet_finding_format(finding, line, sizeof line);
        if (!escaped_text_append(&text, slice_of_string(line))) cli_no_memory();
        printf("%s: %.*s\n", verification->name, (int)text.size, (const char *)text.data);
        buffer_deinit(&text);
        return !ferror(stdout);
    }
    const struct cell cells[] = {cell_text(verification->name),
                                 finding->row_group < 0 ? none : cell_number((uint64_t)finding->row_group),
                                 finding->column ? cell_text(finding->column) : none,
                                 finding->page < 0 ? none : cell_number((uint64_t)finding->page),
                                 finding->offset < 0 ? none : cell_number((uint64_t)finding->offset),
                                 cell_text(finding->text)};
    return output_row(&verification->output, cells);
}

static int verify_file(struct verification *verification, const char *path,
                       const struct parquet_reader_options *options) {
    struct parquet_input input;
    struct parquet_verify_counts counts = {0};
    struct plinth_error error = {0};
    const struct parquet_verify_options own = {.report = print_finding, .context = verification};
    enum plinth_status st = parquet_input_open(&input, path, options, &error);
    verification->name = input.name;
    if (!st) {
        st = parquet_verify(input.reader, &own, &counts, &error);
        if (st) error_prefix(&error, "%.200s", input.name);
    }
    if (!st && !verification->is_quiet && verification->output.format == OUTPUT_TABLE)
        printf("%s: %" PRIu64 " findings; %" PRIu64 " row groups, %" PRIu64 " column chunks, %" PRIu64
               " pages of %" PRIu64 " bytes, %" PRIu64 " values\n",
               input.name, counts.findings, counts.row_groups, counts.chunks, counts.pages, counts.bytes,
               counts.values);
    parquet_input_close(&input);
    if (st) return cli_fail(CLI_USAGE, "%s", error.text);
    return counts.findings ? CLI_FAILED : CLI_OK;
}

int cli_parquet_verify(struct cli *cli) {
    static const char *const columns[] = {"file", "row_group", "column", "page", "offset", "finding", NULL};
    const char *memory = options_value(&cli->options, "max-memory");
    struct verification verification = {.is_quiet = cli->quiet};
    struct parquet_reader_options options = {0};
    struct plinth_error error;
    if (memory && options_parse_size("max-memory", memory, &options.memory_bytes_max, &error))
        return cli_fail(CLI_USAGE, "%s", error.text);
    verification.output.format = cli->format;
    if (cli->format != OUTPUT_TABLE)
        output_begin(&verification.output, stdout, cli->format, BYTES_TEXT, false, columns);
    int code = CLI_OK;
    for (int i = 0; i < cli->options.operand_count; i++) {
        int found = verify_file(&verification, cli->options.operands[i], &options);
        if (found > code) code = found;
    }
    bool is_written =
        cli->format == OUTPUT_TABLE ? !fflush(stdout) && !ferror(stdout) : output_end(&verification.output);
    return is_written ? code : cli_fail(CLI_USAGE, "cannot write to standard output");
}
