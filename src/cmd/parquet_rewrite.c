/* plinth parquet rewrite: a Parquet file written anew (parquet/rewrite.h).
 *
 * OUT.partial is written, synced and renamed to OUT, so that OUT is never half a file, and may be IN. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "cmd/cli.h"
#include "cmd/parquet_input.h"
#include "parquet/rewrite.h"

enum { WORDS_MAX = 1024, LEVEL_MAX = 22 };

struct rewrite {
    const struct cli *cli;
    struct parquet_input input;
    struct parquet_rewrite_options options;
    struct arena arena;
    struct plinth_parquet_column_options *columns;
    uint32_t column_count, column_capacity;
    struct env_file *file;
    uint64_t at;
    char *partial;
};

static void *allocate(struct rewrite *rewrite, size_t size) {
    void *memory = arena_zalloc(&rewrite->arena, size);
    if (!memory) cli_no_memory();
    return memory;
}

/* ---- Options ---- */

/* Words with commas between, that stay. Null when said to be wrong already. */
static const char **split_words(struct rewrite *rewrite, const char *option, uint32_t *count) {
    const char **words = allocate(rewrite, WORDS_MAX * sizeof *words);
    char *copy;
    bool is_ok = parquet_words_split(options_value(&rewrite->cli->options, option), &copy, words, WORDS_MAX, count);
    for (uint32_t i = 0; is_ok && i < *count; i++) {
        words[i] = (const char *)arena_copy(&rewrite->arena, slice_of_string(words[i]));
        if (!words[i]) cli_no_memory();
    }
    free(copy);
    if (is_ok) return words;
    cli_fail(CLI_USAGE, "--%s: '%s' is no list of up to %d columns with commas between", option,
             options_value(&rewrite->cli->options, option), WORDS_MAX);
    return NULL;
}

static bool read_codec(struct rewrite *rewrite, const char *text) {
    static const struct {
        const char *name;
        enum plinth_parquet_codec codec;
        int level_max; /* 0: has none */
    } codecs[] = {{"zstd", PLINTH_PARQUET_ZSTD, LEVEL_MAX}, {"snappy", PLINTH_PARQUET_SNAPPY, 0},
                  {"gzip", PLINTH_PARQUET_GZIP, 9},         {"brotli", PLINTH_PARQUET_BROTLI, 11},
                  {"lz4", PLINTH_PARQUET_LZ4_RAW, 0},       {"lz4_raw", PLINTH_PARQUET_LZ4_RAW, 0},
                  {"none", PLINTH_PARQUET_UNCOMPRESSED, 0}, {"uncompressed", PLINTH_PARQUET_UNCOMPRESSED, 0}};
    const char *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if (strlen(codecs[i].name) != size || strncasecmp(codecs[i].name, text, size) != 0) continue;
        uint64_t level = 0;
        struct plinth_error error;
        rewrite->options.write.codec = codecs[i].codec;
        if (colon && !codecs[i].level_max) {
            cli_fail(CLI_USAGE, "--codec: %s has no levels", codecs[i].name);
            return false;
        }
        if (colon && options_parse_number("codec", colon + 1, 1, (uint64_t)codecs[i].level_max, &level, &error)) {
            cli_fail(CLI_USAGE, "%s", error.text);
            return false;
        }
        rewrite->options.write.codec_level = (int)level;
        return true;
    }
    cli_fail(CLI_USAGE, "--codec: '%s' is none of zstd, snappy, gzip, brotli, lz4, none; with a level: zstd:9", text);
    return false;
}

static struct plinth_parquet_column_options *add_column(struct rewrite *rewrite, const char *path) {
    if (rewrite->column_count == rewrite->column_capacity) {
        uint32_t capacity = rewrite->column_capacity ? rewrite->column_capacity * 2 : 64;
        struct plinth_parquet_column_options *columns = allocate(rewrite, capacity * sizeof *columns);
        if (rewrite->column_count) memcpy(columns, rewrite->columns, rewrite->column_count * sizeof *columns);
        rewrite->columns = columns;
        rewrite->column_capacity = capacity;
    }
    struct plinth_parquet_column_options *column = &rewrite->columns[rewrite->column_count++];
    *column = (struct plinth_parquet_column_options){.column = path};
    return column;
}

static bool read_encoding(struct rewrite *rewrite, const char *text) {
    static const struct {
        const char *name;
        enum plinth_parquet_encoding encoding;
    } encodings[] = {{"choose", PLINTH_PARQUET_CHOOSE},
                     {"plain", PLINTH_PARQUET_PLAIN},
                     {"rle", PLINTH_PARQUET_RLE},
                     {"dictionary", PLINTH_PARQUET_DICTIONARY},
                     {"delta_binary_packed", PLINTH_PARQUET_DELTA_BINARY_PACKED},
                     {"delta_length_byte_array", PLINTH_PARQUET_DELTA_LENGTH_BYTE_ARRAY},
                     {"delta_byte_array", PLINTH_PARQUET_DELTA_BYTE_ARRAY},
                     {"byte_stream_split", PLINTH_PARQUET_BYTE_STREAM_SPLIT}};
    const char *equals = strrchr(text, '=');
    for (size_t i = 0; equals && equals > text && i < sizeof encodings / sizeof encodings[0]; i++) {
        if (strcasecmp(encodings[i].name, equals + 1) != 0) continue;
        char *path = (char *)arena_copy(&rewrite->arena, slice_of(text, (size_t)(equals - text)));
        if (!path) cli_no_memory();
        struct plinth_parquet_column_options *column = add_column(rewrite, path);
        column->has_encoding = true;
        column->encoding = encodings[i].encoding;
        return true;
    }
    cli_fail(CLI_USAGE,
             "--encoding: '%s' is not COLUMN=ENCODING with one of plain, rle, dictionary, delta_binary_packed, "
             "delta_length_byte_array, delta_byte_array, byte_stream_split, choose",
             text);
    return false;
}

/* COLUMN[:asc|:desc] each; nulls come last where values ascend, and first where they descend. */
static bool read_sorting(struct rewrite *rewrite) {
    uint32_t count = 0;
    if (!options_value(&rewrite->cli->options, "sort")) return true;
    const char **words = split_words(rewrite, "sort", &count);
    if (!words) return false;
    struct plinth_parquet_sorting *sorting = allocate(rewrite, (count + 1) * sizeof *sorting);
    for (uint32_t i = 0; i < count; i++) {
        const char *colon = strrchr(words[i], ':');
        bool is_descending = colon && strcasecmp(colon, ":desc") == 0;
        bool has_direction = is_descending || (colon && strcasecmp(colon, ":asc") == 0);
        size_t size = has_direction ? (size_t)(colon - words[i]) : strlen(words[i]);
        sorting[i].column = (const char *)arena_copy(&rewrite->arena, slice_of(words[i], size));
        if (!sorting[i].column) cli_no_memory();
        sorting[i].is_descending = sorting[i].nulls_first = is_descending;
    }
    rewrite->options.write.sorting = sorting;
    rewrite->options.write.sorting_count = count;
    return true;
}

static bool read_key_values(struct rewrite *rewrite) {
    const struct options *options = &rewrite->cli->options;
    struct parquet_key_value *pairs = allocate(rewrite, (options->given_count + 1) * sizeof *pairs);
    uint32_t count = 0;
    for (size_t i = 0; i < options->given_count; i++) {
        if (strcmp(options->given[i].spec->name, "key-value") != 0) continue;
        const char *text = options->given[i].value, *equals = strchr(text, '=');
        if (!equals || equals == text) {
            cli_fail(CLI_USAGE, "--key-value: '%s' is not KEY=VALUE", text);
            return false;
        }
        pairs[count++] =
            (struct parquet_key_value){slice_of(text, (size_t)(equals - text)), slice_of_string(equals + 1), true};
    }
    rewrite->options.key_values = pairs;
    rewrite->options.key_value_count = count;
    return true;
}

static bool read_options(struct rewrite *rewrite) {
    static const char *const switches[] = {"on", "off", NULL};
    const struct options *options = &rewrite->cli->options;
    struct plinth_parquet_write_options *write = &rewrite->options.write;
    const char *codec = options_value(options, "codec"), *dictionary = options_value(options, "dictionary"),
               *memory = options_value(options, "max-memory");
    struct plinth_error error;
    uint64_t page_rows = 0, page_version = 0;
    unsigned which = 0;
    *write = plinth_parquet_write_options_default();
    if (codec && !read_codec(rewrite, codec)) return false;
    if (dictionary && options_parse_word("dictionary", dictionary, switches, &which, &error)) goto wrong;
    if (dictionary && which == 0) write->encoding = PLINTH_PARQUET_DICTIONARY;
    write->no_dictionary = dictionary && which == 1;
    if (memory && options_parse_size("max-memory", memory, &rewrite->options.memory_bytes_max, &error)) goto wrong;
    if (memory && rewrite->options.memory_bytes_max < 1 << 20)
        return cli_fail(CLI_USAGE, "--max-memory: at least 1MiB") == CLI_OK;
    if (!cli_number(rewrite->cli, "row-group-rows", 1, INT32_MAX, &write->row_group_rows) ||
        !cli_number(rewrite->cli, "page-rows", 1, INT32_MAX, &page_rows) ||
        !cli_number(rewrite->cli, "page-version", 1, 2, &page_version))
        return false;
    write->page_rows = (uint32_t)page_rows;
    write->data_page_version = (int)page_version;
    rewrite->options.keeps_row_groups = write->row_group_rows == 0;
    if (rewrite->options.keeps_row_groups && !options_value(options, "sort")) write->row_group_rows = INT32_MAX;
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].spec->name, "encoding") == 0 && !read_encoding(rewrite, options->given[i].value))
            return false;
    return read_sorting(rewrite) && read_key_values(rewrite);
wrong:
    cli_fail(CLI_USAGE, "%s", error.text);
    return false;
}

/* ---- What needs the input ---- */

static bool is_below(const struct parquet_column *column, const char *path) {
    size_t size = strlen(path);
    return strncmp(column->path, path, size) == 0 && (!column->path[size] || column->path[size] == '.');
}

static bool select_columns(struct rewrite *rewrite, const struct parquet_schema *schema) {
    uint32_t count = 0;
    if (!options_value(&rewrite->cli->options, "columns")) return true;
    const char **words = split_words(rewrite, "columns", &count);
    if (!words) return false;
    bool *selected = allocate(rewrite, schema->column_count + 1);
    for (uint32_t i = 0; i < count; i++) {
        bool is_known = false;
        for (uint32_t c = 0; c < schema->column_count; c++)
            if (is_below(&schema->columns[c], words[i])) selected[c] = is_known = true;
        if (is_known) continue;
        cli_fail(CLI_USAGE, "--columns: %s has no column %s", rewrite->input.name, words[i]);
        return false;
    }
    rewrite->options.selected = selected;
    return true;
}

/* Columns that have a bloom filter keep one, and those of --bloom get one. */
static bool choose_blooms(struct rewrite *rewrite, const struct parquet_metadata *metadata) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) {
        bool has_bloom = false;
        if (rewrite->options.selected && !rewrite->options.selected[i]) continue;
        for (uint32_t g = 0; g < metadata->row_group_count; g++)
            has_bloom |= metadata->row_groups[g].columns[i].bloom_offset != 0;
        if (has_bloom) add_column(rewrite, metadata->schema.columns[i].path)->bloom_filter = true;
    }
    if (options_value(&rewrite->cli->options, "bloom")) {
        const char **words = split_words(rewrite, "bloom", &count);
        if (!words) return false;
        for (uint32_t i = 0; i < count; i++) add_column(rewrite, words[i])->bloom_filter = true;
    }
    rewrite->options.write.columns = rewrite->columns;
    rewrite->options.write.column_count = rewrite->column_count;
    return true;
}

/* ---- The output ---- */

static const char *volatile interrupted_path;

/* Leaves nothing behind when the user gives up. */
static void on_interrupt(int number) {
    const char *path = interrupted_path;
    if (path) unlink(path);
    signal(number, SIG_DFL);
    raise(number);
}

static enum plinth_status write_output(void *context, const void *bytes, size_t size, struct plinth_error *error) {
    struct rewrite *rewrite = context;
    enum plinth_status st = file_write(rewrite->file, rewrite->at, bytes, size, error);
    rewrite->at += size;
    return st;
}

static enum plinth_status open_output(struct rewrite *rewrite, const char *path, struct plinth_error *error) {
    static const char suffix[] = ".partial";
    bool is_forced = options_value(&rewrite->cli->options, "force") != NULL;
    if (!is_forced && access(path, F_OK) == 0)
        return error_set(error, PLINTH_ALREADY_EXISTS, "%.200s is there already; --force replaces it", path);
    rewrite->partial = allocate(rewrite, strlen(path) + sizeof suffix);
    memcpy(rewrite->partial, path, strlen(path));
    memcpy(rewrite->partial + strlen(path), suffix, sizeof suffix);
    enum plinth_status st = env_open(env_posix(), rewrite->partial, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE,
                                     &rewrite->file, error);
    if (st == PLINTH_ALREADY_EXISTS)
        return error_set(error, st, "%.200s is there already: of another run, or left by one that was killed",
                         rewrite->partial);
    if (st) return st;
    interrupted_path = rewrite->partial;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGHUP, on_interrupt);
    return PLINTH_OK;
}

/* What a new file of the user has, or the one that is replaced. */
static void set_mode(const struct rewrite *rewrite, const char *path) {
    struct stat replaced;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(path, &replaced) == 0 ? replaced.st_mode & 0777 : 0666 & ~mask;
    (void)!chmod(rewrite->partial, mode); /* where it cannot be done, the file is still there */
}

static enum plinth_status commit_output(struct rewrite *rewrite, const char *path, struct plinth_error *error) {
    enum plinth_status st = file_sync(rewrite->file, error);
    file_close(rewrite->file);
    rewrite->file = NULL;
    set_mode(rewrite, path);
    if (!st) st = env_rename(env_posix(), rewrite->partial, path, error);
    if (st) return st;
    interrupted_path = NULL;
    const char *slash = strrchr(path, '/');
    char *directory = (char *)arena_copy(
        &rewrite->arena, slash ? slice_of(path, slash > path ? (size_t)(slash - path) : 1) : slice_of_string("."));
    if (!directory) return error_no_memory(error, "output file");
    return env_sync_directory(env_posix(), directory, error);
}

static void abort_output(struct rewrite *rewrite) {
    if (!interrupted_path) return;
    file_close(rewrite->file);
    rewrite->file = NULL;
    unlink(rewrite->partial);
    interrupted_path = NULL;
}

static void print_counts(const struct cli *cli, const struct rewrite *rewrite, const char *path,
                         const struct parquet_rewrite_counts *counts) {
    static const char *const columns[] = {"file", "rows", "bytes", "bytes_before", "sorted_runs", NULL};
    const struct cell cells[] = {cell_text(path), cell_number(counts->rows), cell_number(counts->bytes),
                                 cell_number(rewrite->input.source.size), cell_number(counts->runs)};
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    output_row(&output, cells);
    (void)output_end(&output);
}

static int rewrite_file(struct rewrite *rewrite, const char *path) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(rewrite->input.reader);
    struct parquet_rewrite_counts counts;
    struct plinth_error error = {0};
    if (!select_columns(rewrite, &metadata->schema) || !choose_blooms(rewrite, metadata)) return CLI_USAGE;
    enum plinth_status st = open_output(rewrite, path, &error);
    rewrite->options.scratch_path = rewrite->partial;
    if (!st) st = parquet_rewrite(rewrite->input.reader, write_output, rewrite, &rewrite->options, &counts, &error);
    if (st && interrupted_path) error_prefix(&error, "%.200s", rewrite->input.name);
    if (!st) st = commit_output(rewrite, path, &error);
    abort_output(rewrite);
    if (st) {
        bool is_usage = st == PLINTH_ALREADY_EXISTS || st == PLINTH_NOT_FOUND || st == PLINTH_INVALID_ARGUMENT;
        return cli_fail(is_usage ? CLI_USAGE : CLI_FAILED, "%s", error.text);
    }
    if (!rewrite->cli->quiet) print_counts(rewrite->cli, rewrite, path, &counts);
    return CLI_OK;
}

int cli_parquet_rewrite(struct cli *cli) {
    /* What segments say of places in themselves. */
    static const char *const dropped[] = {"plinth.stripe_index", "plinth.postings.", NULL};
    struct rewrite rewrite = {.cli = cli, .options.dropped_keys = dropped};
    struct plinth_error error = {0};
    int code = CLI_USAGE;
    arena_init(&rewrite.arena);
    if (read_options(&rewrite)) {
        bool is_open = !parquet_input_open(&rewrite.input, cli->options.operands[0], NULL, &error);
        code = is_open ? rewrite_file(&rewrite, cli->options.operands[1]) : cli_fail(CLI_FAILED, "%s", error.text);
        parquet_input_close(&rewrite.input);
    }
    arena_deinit(&rewrite.arena);
    return code;
}
