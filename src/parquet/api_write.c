/* Arrow batches into a file. See include/plinth_parquet.h.
 *
 * The writer below (writer.h) is made with the first rows, since the encodings are chosen by them. Rows go to it a
 * page's worth at a time, fewer when they are large, so that neither a page nor what is held for it grows with the
 * batch. */
#include <stdlib.h>

#include "base/env.h"
#include "base/status.h"
#include "parquet/arrow_write.h"
#include "parquet/column_file.h"
#include "parquet/column_writer.h"
#include "parquet/encoding_choice.h"
#include "parquet/encoding_trial.h"
#include "parquet/levels.h"
#include "plinth_parquet.h"

enum {
    PAGE_ROWS_DEFAULT = 20000,
    ROW_GROUP_ROWS_DEFAULT = 1 << 20,
    SAMPLE_ROWS_MAX = 65536,
    TRIAL_ROWS_MIN = 8192,
    PAGE_BYTES_ENOUGH = 1 << 20, /* of a column */
    SHRED_BYTES_ENOUGH = 16 << 20,
};

struct plinth_parquet_writer {
    struct parquet_sink sink;
    plinth_parquet_write_function *write;
    void *context;
    struct env_file *file; /* of a path */
    uint64_t file_at;

    struct arrow_plan plan;
    struct arena arena; /* schema, options */
    struct parquet_schema schema;
    struct parquet_column_options *options; /* one a leaf; encodings are set with the first rows */
    bool *chooses;                          /* those whose encoding is chosen */
    struct parquet_writer_options file_options;
    bool no_dictionary;
    struct arrow_shredded *shredded; /* one a leaf */
    struct parquet_column_data *data;
    struct encoding_trial *trials; /* one a leaf */
    struct encode_scratch scratch; /* theirs */
    uint64_t first_rows;           /* those of the trials, that need not be written again; 0: any, and they must */
    uint64_t *page_bytes;          /* in the open page, one a leaf: less than PAGE_BYTES_ENOUGH */
    uint64_t rows_enough;          /* for a page, as the last ones were; 0: not known */
    uint64_t group_rows;           /* in the open row group */
    uint64_t row_bytes;            /* of the largest column in the last write, about; 0: not known */
    struct parquet_writer *parquet;
    struct buffer pairs; /* key, value: char pointers, until there is a writer */
};

struct plinth_parquet_write_options plinth_parquet_write_options_default(void) {
    return (struct plinth_parquet_write_options){.codec = PLINTH_PARQUET_ZSTD, .encoding = PLINTH_PARQUET_CHOOSE};
}

/* ---- Where it goes ---- */

static enum plinth_status write_sink(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    struct plinth_parquet_writer *writer = (struct plinth_parquet_writer *)(void *)sink; /* its first member */
    if (!writer->file) return writer->write(writer->context, bytes.data, bytes.size, error);
    enum plinth_status st = file_write(writer->file, writer->file_at, bytes.data, bytes.size, error);
    writer->file_at += bytes.size;
    return st;
}

/* ---- Options ---- */

static bool is_below(const struct parquet_column *column, const char *path) {
    size_t length = strlen(path);
    return strncmp(column->path, path, length) == 0 && (column->path[length] == 0 || column->path[length] == '.');
}

/* The encoding that is asked for, when it fits the type. */
static bool set_encoding(const struct parquet_column *column, enum plinth_parquet_encoding encoding,
                         struct parquet_column_options *options) {
    if (encoding == PLINTH_PARQUET_DICTIONARY) {
        if (column->type == PARQUET_TYPE_BOOLEAN) return false;
        options->encoding = PARQUET_ENCODING_PLAIN;
        options->dictionary = true;
        return true;
    }
    if (encoding < 0 || !column_encoding_fits(column->type, (enum parquet_encoding)encoding)) return false;
    options->encoding = (enum parquet_encoding)encoding;
    options->dictionary = false;
    return true;
}

static enum plinth_status apply_column_options(struct plinth_parquet_writer *writer,
                                               const struct plinth_parquet_column_options *asked,
                                               struct plinth_error *error) {
    bool is_known = false;
    for (uint32_t i = 0; i < writer->schema.column_count; i++) {
        const struct parquet_column *column = &writer->schema.columns[i];
        struct parquet_column_options *options = &writer->options[i];
        if (!is_below(column, asked->column)) continue;
        is_known = true;
        if (asked->has_codec) {
            options->codec = (enum parquet_codec)asked->codec;
            options->codec_level = asked->codec_level;
        }
        if (asked->bloom_filter && column->type != PARQUET_TYPE_BOOLEAN) options->bloom = true;
        if (!asked->has_encoding) continue;
        writer->chooses[i] = asked->encoding == PLINTH_PARQUET_CHOOSE;
        if (!writer->chooses[i] && !set_encoding(column, asked->encoding, options))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: encoding %s is not for %s", column->path,
                             parquet_encoding_name((enum parquet_encoding)asked->encoding),
                             parquet_type_name(column->type));
    }
    if (is_known) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "options for a column that is not there: %.100s", asked->column);
}

static enum plinth_status apply_sorting(struct plinth_parquet_writer *writer,
                                        const struct plinth_parquet_write_options *options,
                                        struct plinth_error *error) {
    struct parquet_sorting_column *sorting =
        arena_zalloc(&writer->arena, (options->sorting_count + 1) * sizeof *sorting);
    if (!sorting) return error_no_memory(error, "Parquet writer");
    for (uint32_t i = 0; i < options->sorting_count; i++) {
        int32_t column = parquet_schema_find(&writer->schema, options->sorting[i].column);
        if (column < 0)
            return error_set(error, PLINTH_NOT_FOUND, "sorted by a column that is not there: %.100s",
                             options->sorting[i].column);
        sorting[i] = (struct parquet_sorting_column){(uint32_t)column, options->sorting[i].is_descending,
                                                     options->sorting[i].nulls_first};
    }
    writer->file_options.sorting = sorting;
    writer->file_options.sorting_count = options->sorting_count;
    return PLINTH_OK;
}

static enum plinth_status apply_options(struct plinth_parquet_writer *writer,
                                        const struct plinth_parquet_write_options *options,
                                        struct plinth_error *error) {
    if (options->data_page_version < 0 || options->data_page_version > 2)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "there are no data pages of version %d",
                         options->data_page_version);
    writer->file_options = (struct parquet_writer_options){
        .stripe_rows = options->page_rows ? options->page_rows : PAGE_ROWS_DEFAULT,
        .threads = options->threads,
        .row_group_rows = options->row_group_rows ? options->row_group_rows : ROW_GROUP_ROWS_DEFAULT,
        .data_page_version = (uint8_t)options->data_page_version,
        .no_checksums = options->no_checksums};
    if (options->created_by) {
        writer->file_options.created_by =
            (const char *)arena_copy(&writer->arena, slice_of_string(options->created_by));
        if (!writer->file_options.created_by) return error_no_memory(error, "Parquet writer");
    }
    writer->no_dictionary = options->no_dictionary;
    for (uint32_t i = 0; i < writer->schema.column_count; i++) {
        struct parquet_column_options *own = &writer->options[i];
        *own = parquet_column_options_default();
        own->codec = (enum parquet_codec)options->codec;
        own->codec_level = options->codec_level;
        own->statistics = !options->no_statistics;
        own->page_index = !options->no_page_index;
        own->dictionary_bytes_max = options->dictionary_bytes_max;
        writer->chooses[i] = !set_encoding(&writer->schema.columns[i], options->encoding, own);
    }
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < options->column_count; i++)
        st = apply_column_options(writer, &options->columns[i], error);
    return st ? st : apply_sorting(writer, options, error);
}

/* ---- Opening ---- */

/* With writer->plan, or at least its nodes. */
static enum plinth_status prepare(struct plinth_parquet_writer *writer, const char *root_name,
                                  const struct plinth_parquet_write_options *options, struct plinth_error *error) {
    struct plinth_parquet_write_options defaults = plinth_parquet_write_options_default();
    enum plinth_status st = parquet_schema_init(
        &writer->schema, &writer->arena, root_name, (const struct parquet_node *)(void *)writer->plan.nodes.data,
        (uint32_t)(writer->plan.nodes.size / sizeof(struct parquet_node)), error);
    if (st) return st;
    uint32_t leaves = writer->plan.leaf_count = writer->schema.column_count;
    writer->options = arena_zalloc(&writer->arena, leaves * sizeof *writer->options);
    writer->chooses = arena_zalloc(&writer->arena, leaves * sizeof *writer->chooses);
    writer->shredded = arena_zalloc(&writer->arena, leaves * sizeof *writer->shredded);
    writer->data = arena_zalloc(&writer->arena, leaves * sizeof *writer->data);
    writer->trials = arena_zalloc(&writer->arena, leaves * sizeof *writer->trials);
    writer->page_bytes = arena_zalloc(&writer->arena, leaves * sizeof *writer->page_bytes);
    if (!writer->options || !writer->chooses || !writer->shredded || !writer->data || !writer->trials ||
        !writer->page_bytes)
        return error_no_memory(error, "Parquet writer");
    return apply_options(writer, options ? options : &defaults, error);
}

static struct plinth_parquet_writer *make_writer(plinth_parquet_write_function *write, void *context) {
    struct plinth_parquet_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return NULL;
    writer->sink.write = write_sink;
    writer->write = write;
    writer->context = context;
    arena_init(&writer->arena);
    return writer;
}

enum plinth_status plinth_parquet_writer_open_function(plinth_parquet_write_function *write, void *context,
                                                       const struct ArrowSchema *schema,
                                                       const struct plinth_parquet_write_options *options,
                                                       struct plinth_parquet_writer **writer_out,
                                                       struct plinth_error *error) {
    *writer_out = NULL;
    error_clear(error);
    struct plinth_parquet_writer *writer = make_writer(write, context);
    if (!writer) return error_no_memory(error, "Parquet writer");
    enum plinth_status st = arrow_plan_init(&writer->plan, schema, error);
    if (!st) st = prepare(writer, "schema", options, error);
    if (st)
        plinth_parquet_writer_destroy(writer);
    else
        *writer_out = writer;
    return st;
}

enum plinth_status plinth_parquet_writer_open(const char *path, const struct ArrowSchema *schema,
                                              const struct plinth_parquet_write_options *options,
                                              struct plinth_parquet_writer **writer_out, struct plinth_error *error) {
    enum plinth_status st = plinth_parquet_writer_open_function(NULL, NULL, schema, options, writer_out, error);
    if (st) return st;
    st = env_open(env_posix(), path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &(*writer_out)->file, error);
    if (!st) return PLINTH_OK;
    plinth_parquet_writer_destroy(*writer_out);
    *writer_out = NULL;
    return st;
}

static void drop_trials(struct plinth_parquet_writer *writer) {
    for (uint32_t i = 0; writer->trials && i < writer->plan.leaf_count; i++) encoding_trial_deinit(&writer->trials[i]);
    encode_scratch_deinit(&writer->scratch);
    writer->scratch = (struct encode_scratch){0};
}

void plinth_parquet_writer_destroy(struct plinth_parquet_writer *writer) {
    if (!writer) return;
    drop_trials(writer);
    parquet_writer_destroy(writer->parquet);
    for (uint32_t i = 0; writer->shredded && i < writer->plan.leaf_count; i++)
        arrow_shredded_deinit(&writer->shredded[i]);
    arrow_plan_deinit(&writer->plan);
    buffer_deinit(&writer->pairs);
    arena_deinit(&writer->arena);
    file_close(writer->file);
    free(writer);
}

/* ---- Rows ---- */

static enum plinth_status shred(struct plinth_parquet_writer *writer, const struct ArrowArray *batch, uint64_t begin,
                                uint64_t count, struct plinth_error *error) {
    enum plinth_status st = arrow_shred(&writer->plan, &writer->schema, batch, begin, count, writer->shredded, error);
    for (uint32_t i = 0; !st && i < writer->plan.leaf_count; i++) writer->data[i] = writer->shredded[i].data;
    return st;
}

static enum plinth_status create_writer(struct plinth_parquet_writer *writer, struct plinth_error *error) {
    enum plinth_status st =
        parquet_writer_create(&writer->sink, (const struct parquet_node *)(void *)writer->plan.nodes.data,
                              (uint32_t)(writer->plan.nodes.size / sizeof(struct parquet_node)), writer->options,
                              &writer->file_options, &writer->parquet, error);
    const char *const *pairs = (const char *const *)(void *)writer->pairs.data;
    for (size_t i = 0; !st && i < writer->pairs.size / sizeof *pairs; i += 2)
        st = parquet_writer_add_key_value(writer->parquet, pairs[i], slice_of_string(pairs[i + 1]), error);
    return st;
}

/* ---- Trials: what a dictionary saves is only seen over many rows ---- */

static enum plinth_status try_encoding(struct plinth_parquet_writer *writer, uint32_t i,
                                       const struct parquet_column_options *options, uint64_t bytes_max,
                                       struct encoding_trial *trial, struct plinth_error *error) {
    uint64_t rows = writer->first_rows ? writer->first_rows : writer->data[i].rows;
    return encoding_trial_run(trial, &writer->schema.columns[i], options, &writer->file_options, &writer->data[i], rows,
                              bytes_max, &writer->scratch, &writer->arena, error);
}

/* Takes a dictionary where it makes the first rows smaller, though the choice by fewer values was against it. */
static enum plinth_status try_dictionary(struct plinth_parquet_writer *writer, uint32_t i, struct plinth_error *error) {
    const struct parquet_column *column = &writer->schema.columns[i];
    struct parquet_column_options *options = &writer->options[i], with = *options;
    struct encoding_trial *best = &writer->trials[i], trial = {0};
    if (options->dictionary || column->type == PARQUET_TYPE_BOOLEAN || column->part_count > 1 ||
        writer->data[i].rows < TRIAL_ROWS_MIN)
        return PLINTH_OK;
    with.dictionary = with.dictionary_pays = true;
    enum plinth_status st = try_encoding(writer, i, options, UINT64_MAX, best, error);
    if (!st) st = try_encoding(writer, i, &with, best->bytes, &trial, error);
    if (!st && trial.bytes < best->bytes) {
        struct encoding_trial worse = *best;
        *best = trial;
        trial = worse;
        *options = with;
    }
    encoding_trial_deinit(&trial);
    return st;
}

/* Begins the file with the pages that trials have made, and those of the same rows in the other columns. */
static enum plinth_status write_first_rows(struct plinth_parquet_writer *writer, struct plinth_error *error) {
    uint32_t leaves = writer->plan.leaf_count;
    struct column_writer **begun = arena_zalloc(&writer->arena, leaves * sizeof *begun);
    if (!begun) return error_no_memory(error, "Parquet writer");
    for (uint32_t i = 0; i < leaves; i++)
        if (writer->trials[i].writer.rows > 0) begun[i] = &writer->trials[i].writer;
    return parquet_writer_begin_with(writer->parquet, begun, writer->data, writer->first_rows, error);
}

/* Chooses the encodings by the rows in writer->data, and begins. */
static enum plinth_status choose(struct plinth_parquet_writer *writer, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < writer->plan.leaf_count; i++) {
        if (!writer->chooses[i]) continue;
        parquet_encoding_choose(&writer->schema.columns[i], &writer->data[i], &writer->options[i]);
        if (writer->no_dictionary)
            writer->options[i].dictionary = false;
        else
            st = try_dictionary(writer, i, error);
    }
    if (!st) st = create_writer(writer, error);
    if (!st && writer->first_rows > 0) st = write_first_rows(writer, error);
    drop_trials(writer);
    return st;
}

/* Of the first `slots` slots. */
static uint64_t bytes_of(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t slots) {
    uint64_t bytes = data->offsets ? data->offsets[slots] - data->offsets[0] : 0;
    return bytes + slots * (column->width ? column->width : 1);
}

static uint64_t most_bytes(const struct plinth_parquet_writer *writer) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < writer->plan.leaf_count; i++) {
        uint64_t bytes = bytes_of(&writer->schema.columns[i], &writer->data[i], writer->data[i].slots);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Of the first `rows` of the shredded rows, whole stripes, those whose pages end by their rows and not by their bytes.
 */
static uint64_t rows_of_whole_pages(const struct plinth_parquet_writer *writer, uint64_t rows) {
    uint64_t stripe = writer->file_options.stripe_rows;
    for (uint32_t i = 0; i < writer->plan.leaf_count; i++) {
        const struct parquet_column *column = &writer->schema.columns[i];
        const struct parquet_column_data *data = &writer->data[i];
        for (uint64_t row = 0, slot = 0, end; row < rows; row += stripe, slot = end) {
            end = slot + stripe;
            if (column->repetition_level_max > 0)
                end = slot + levels_find_row(data->repetition_levels + slot, data->slots - slot, stripe);
            if (bytes_of(column, data, end) - bytes_of(column, data, slot) >= PAGE_BYTES_ENOUGH) rows = row;
        }
    }
    return rows;
}

/* By the batch's first rows, of which null stands for none. */
static enum plinth_status begin_file(struct plinth_parquet_writer *writer, const struct ArrowArray *batch,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t rows = !batch ? 0 : batch->length < SAMPLE_ROWS_MAX ? (uint64_t)batch->length : SAMPLE_ROWS_MAX;
    if (rows > 0) st = shred(writer, batch, 0, rows, error);
    while (st == PLINTH_TOO_LARGE && rows > 1) {
        error_clear(error);
        st = shred(writer, batch, 0, rows /= 2, error);
    }
    /* Whole pages, that would be written as they are in the trials. */
    const struct parquet_writer_options *file = &writer->file_options;
    uint64_t most = rows < file->row_group_rows ? rows : file->row_group_rows;
    if (!st && rows > 0 && most_bytes(writer) <= SHRED_BYTES_ENOUGH)
        writer->first_rows = rows_of_whole_pages(writer, most / file->stripe_rows * file->stripe_rows);
    writer->group_rows = writer->first_rows % file->row_group_rows;
    return st ? st : choose(writer, error);
}

/* The row with which leaf `i` has enough bytes for the open page, counted from 1; 0 when the rows are not enough. */
static uint64_t row_that_fills(const struct plinth_parquet_writer *writer, uint32_t i) {
    const struct parquet_column *column = &writer->schema.columns[i];
    const struct parquet_column_data *data = &writer->data[i];
    uint64_t missing = PAGE_BYTES_ENOUGH - writer->page_bytes[i], low = 1, high = data->slots;
    if (bytes_of(column, data, data->slots) < missing) return 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (bytes_of(column, data, middle) < missing)
            low = middle + 1;
        else
            high = middle;
    }
    return column->repetition_level_max > 0 ? levels_count_zeros(data->repetition_levels, low) : low;
}

/* How many of the shredded rows go to the open page: up to the first with which a column has enough bytes, wherever
 * batches end; `*is_full` when there is one. */
static uint64_t rows_of_page(const struct plinth_parquet_writer *writer, uint64_t rows, bool *is_full) {
    *is_full = false;
    for (uint32_t i = 0; i < writer->plan.leaf_count; i++) {
        uint64_t row = row_that_fills(writer, i);
        *is_full |= row > 0;
        if (row > 0 && row < rows) rows = row;
    }
    return rows;
}

/* Leaves the first `rows` of the shredded rows. */
static void cut_rows(struct plinth_parquet_writer *writer, uint64_t rows) {
    for (uint32_t i = 0; i < writer->plan.leaf_count; i++) {
        struct parquet_column_data *data = &writer->data[i];
        bool repeats = writer->schema.columns[i].repetition_level_max > 0;
        data->slots = repeats ? levels_find_row(data->repetition_levels, data->slots, rows) : rows;
        data->rows = rows;
    }
}

/* After rows were written: ends the page when it is full, and counts what it has when it is still open. */
static enum plinth_status end_full_page(struct plinth_parquet_writer *writer, bool is_full,
                                        struct plinth_error *error) {
    bool is_open = !is_full && parquet_writer_stripe_rows(writer->parquet) > 0;
    for (uint32_t i = 0; i < writer->plan.leaf_count; i++) {
        const struct parquet_column_data *data = &writer->data[i];
        uint64_t bytes = bytes_of(&writer->schema.columns[i], data, data->slots);
        writer->page_bytes[i] = is_open ? writer->page_bytes[i] + bytes : 0;
    }
    return is_full ? parquet_writer_end_stripe(writer->parquet, error) : PLINTH_OK;
}

/* Writes some rows, at most those that complete the open page; `*count` is how many. */
static enum plinth_status write_some(struct plinth_parquet_writer *writer, const struct ArrowArray *batch,
                                     uint64_t begin, uint64_t *count, struct plinth_error *error) {
    uint64_t rows = writer->file_options.stripe_rows - parquet_writer_stripe_rows(writer->parquet);
    uint64_t left = (uint64_t)batch->length - begin;
    bool is_full;
    uint64_t group_left = writer->file_options.row_group_rows - writer->group_rows;
    if (rows > left) rows = left;
    if (rows > group_left) rows = group_left;
    if (writer->rows_enough > 0 && rows > writer->rows_enough) rows = writer->rows_enough;
    enum plinth_status st = shred(writer, batch, begin, rows, error);
    while (rows > 1 && (st == PLINTH_TOO_LARGE || (!st && most_bytes(writer) > SHRED_BYTES_ENOUGH))) {
        uint64_t bytes = st ? 2 * (uint64_t)SHRED_BYTES_ENOUGH : most_bytes(writer);
        uint64_t fewer = rows * (PAGE_BYTES_ENOUGH) / bytes;
        rows = fewer < 1 ? 1 : fewer < rows ? fewer : rows / 2;
        error_clear(error);
        st = shred(writer, batch, begin, rows, error);
    }
    *count = rows;
    if (st) return st;
    *count = rows_of_page(writer, rows, &is_full);
    /* What is cut off is shredded again. */
    writer->rows_enough = is_full ? *count + *count / 4 + 1 : 2 * writer->rows_enough;
    if (*count < rows) cut_rows(writer, *count);
    st = parquet_writer_write(writer->parquet, writer->data, *count, error);
    writer->group_rows = (writer->group_rows + *count) % writer->file_options.row_group_rows;
    return st ? st : end_full_page(writer, is_full, error);
}

enum plinth_status plinth_parquet_writer_write(struct plinth_parquet_writer *writer, const struct ArrowArray *batch,
                                               struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    error_clear(error);
    if (batch->length < 0 || (batch->null_count > 0 && batch->n_buffers > 0 && batch->buffers[0]))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a batch with rows that are null");
    if (batch->length == 0) return PLINTH_OK;
    uint64_t begin = 0;
    if (!writer->parquet) {
        st = begin_file(writer, batch, error);
        begin = writer->first_rows;
    }
    for (uint64_t count; !st && begin < (uint64_t)batch->length; begin += count)
        st = write_some(writer, batch, begin, &count, error);
    return st;
}

enum plinth_status plinth_parquet_writer_end_row_group(struct plinth_parquet_writer *writer,
                                                       struct plinth_error *error) {
    error_clear(error);
    if (!writer->parquet) return PLINTH_OK;
    memset(writer->page_bytes, 0, writer->plan.leaf_count * sizeof *writer->page_bytes);
    writer->group_rows = 0;
    return parquet_writer_end_row_group(writer->parquet, error);
}

enum plinth_status plinth_parquet_writer_add_key_value(struct plinth_parquet_writer *writer, const char *key,
                                                       const char *value, struct plinth_error *error) {
    error_clear(error);
    if (writer->parquet) return parquet_writer_add_key_value(writer->parquet, key, slice_of_string(value), error);
    const char *pair[2] = {(const char *)arena_copy(&writer->arena, slice_of_string(key)),
                           (const char *)arena_copy(&writer->arena, slice_of_string(value))};
    if (!pair[0] || !pair[1] || !buffer_append(&writer->pairs, pair, sizeof pair))
        return error_no_memory(error, "Parquet metadata");
    return PLINTH_OK;
}

enum plinth_status plinth_parquet_writer_finish(struct plinth_parquet_writer *writer, uint64_t *file_bytes,
                                                struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    error_clear(error);
    if (file_bytes) *file_bytes = 0;
    if (!writer->parquet) st = begin_file(writer, NULL, error);
    return st ? st : parquet_writer_finish(writer->parquet, file_bytes, error);
}

/* ---- Columns with levels: column_file.h ---- */

enum plinth_status column_file_open(plinth_parquet_write_function *write, void *context,
                                    const struct parquet_node *nodes, uint32_t node_count, const char *root_name,
                                    const struct plinth_parquet_write_options *options,
                                    struct plinth_parquet_writer **writer_out, struct plinth_error *error) {
    *writer_out = NULL;
    struct plinth_parquet_writer *writer = make_writer(write, context);
    if (!writer) return error_no_memory(error, "Parquet writer");
    arena_init(&writer->plan.arena);
    enum plinth_status st = PLINTH_OK;
    if (!buffer_append(&writer->plan.nodes, nodes, node_count * sizeof *nodes))
        st = error_no_memory(error, "Parquet writer");
    if (!st) st = prepare(writer, root_name, options, error);
    if (!st) {
        /* Copies, with the schema. */
        memcpy(writer->plan.nodes.data, writer->schema.nodes, node_count * sizeof *nodes);
        writer->file_options.root_name = writer->schema.root_name;
        *writer_out = writer;
    } else {
        plinth_parquet_writer_destroy(writer);
    }
    return st;
}

enum plinth_status column_file_choose(struct plinth_parquet_writer *writer, const struct parquet_column_data *columns,
                                      struct plinth_error *error) {
    memcpy(writer->data, columns, writer->plan.leaf_count * sizeof *columns);
    return choose(writer, error);
}

enum plinth_status column_file_write(struct plinth_parquet_writer *writer, const struct parquet_column_data *columns,
                                     uint64_t rows, struct plinth_error *error) {
    memcpy(writer->data, columns, writer->plan.leaf_count * sizeof *columns);
    enum plinth_status st = parquet_writer_write(writer->parquet, writer->data, rows, error);
    if (st || rows == 0) return st;
    writer->row_bytes = most_bytes(writer) / rows + 1;
    bool is_full;
    rows_of_page(writer, rows, &is_full);
    return end_full_page(writer, is_full, error);
}

uint64_t column_file_rows_wanted(const struct plinth_parquet_writer *writer) {
    enum { WRITE_BYTES_ENOUGH = PAGE_BYTES_ENOUGH / 4, FIRST_ROWS = 256 };
    uint64_t rows = writer->file_options.stripe_rows - parquet_writer_stripe_rows(writer->parquet);
    uint64_t fit = writer->row_bytes ? WRITE_BYTES_ENOUGH / writer->row_bytes + 1 : FIRST_ROWS;
    return rows < fit ? rows : fit;
}

uint64_t column_file_row_group_bytes(const struct plinth_parquet_writer *writer) {
    return parquet_writer_row_group_bytes(writer->parquet);
}

enum plinth_status column_file_add_pair(struct plinth_parquet_writer *writer, const char *key, struct slice value,
                                        struct plinth_error *error) {
    return parquet_writer_add_key_value(writer->parquet, key, value, error);
}

/* ---- Streams ---- */

static enum plinth_status stream_failed(struct ArrowArrayStream *stream, int code, struct plinth_error *error) {
    const char *text = stream->get_last_error(stream);
    return error_set(error, PLINTH_INVALID_ARGUMENT, "the stream failed with %d: %.300s", code, text ? text : "");
}

enum plinth_status plinth_parquet_write_stream(const char *path, struct ArrowArrayStream *stream,
                                               const struct plinth_parquet_write_options *options,
                                               struct plinth_error *error) {
    struct plinth_parquet_writer *writer = NULL;
    struct ArrowSchema schema = {0};
    error_clear(error);
    int code = stream->get_schema(stream, &schema);
    if (code) return stream_failed(stream, code, error);
    enum plinth_status st = plinth_parquet_writer_open(path, &schema, options, &writer, error);
    schema.release(&schema);
    while (!st) {
        struct ArrowArray batch = {0};
        code = stream->get_next(stream, &batch);
        if (code) st = stream_failed(stream, code, error);
        if (code || !batch.release) break;
        st = plinth_parquet_writer_write(writer, &batch, error);
        batch.release(&batch);
    }
    if (!st) st = plinth_parquet_writer_finish(writer, NULL, error);
    plinth_parquet_writer_destroy(writer);
    return st;
}
