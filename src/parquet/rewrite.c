/* A file from a file. See rewrite.h. */
#include "parquet/rewrite.h"

#include <stdlib.h>

#include "base/status.h"
#include "parquet/column_file.h"
#include "parquet/row_buffer.h"
#include "parquet/row_sort.h"

enum { SAMPLE_ROWS = 65536, SAMPLE_BYTES = 64 << 20, MEMORY_BYTES_DEFAULT = 1 << 30 };
/* Encoded bytes at which a row group ends, whatever its rows. */
static const uint64_t row_group_bytes_max = UINT64_C(512) << 20;

struct rewriter {
    const struct parquet_reader *reader;
    const struct parquet_metadata *metadata;
    const struct parquet_rewrite_options *options;
    struct arena arena;
    struct parquet_node *nodes;
    uint32_t node_count;
    struct parquet_schema schema; /* of the output */
    uint32_t *columns;            /* of the input, one for each of the output */
    struct parquet_sorting_column *sorting;
    struct plinth_parquet_writer *writer;
    /* Unsorted: */
    struct parquet_scan *scan;
    uint32_t row_group; /* the next one */
    struct parquet_column_data *data;
    /* Sorted: */
    struct row_sort sort;
    bool sorts;
};

/* ---- The schema ---- */

static bool is_selected(const struct rewriter *rewriter, uint32_t column) {
    return !rewriter->options->selected || rewriter->options->selected[column];
}

/* Copies node `at` with those below it that have a selected column; `*leaf` counts columns. Gives the next node. */
static uint32_t copy_nodes(struct rewriter *rewriter, uint32_t at, uint32_t *leaf) {
    const struct parquet_node *node = &rewriter->metadata->schema.nodes[at++];
    struct parquet_node *copy = &rewriter->nodes[rewriter->node_count];
    *copy = *node;
    if (!node->is_group) {
        rewriter->node_count += is_selected(rewriter, *leaf);
        ++*leaf;
        return at;
    }
    rewriter->node_count++;
    copy->child_count = 0;
    for (uint32_t i = 0; i < node->child_count; i++) {
        uint32_t before = rewriter->node_count;
        at = copy_nodes(rewriter, at, leaf);
        copy->child_count += rewriter->node_count > before;
    }
    bool is_empty = copy->child_count == 0 && (node->child_count > 0 || rewriter->options->selected);
    if (is_empty) rewriter->node_count--;
    return at;
}

static enum plinth_status check_types(const struct rewriter *rewriter, struct plinth_error *error) {
    for (uint32_t i = 0; i < rewriter->schema.column_count; i++) {
        const struct parquet_column *column = &rewriter->schema.columns[i];
        if (column->logical.kind == PARQUET_LOGICAL_GEOMETRY || column->logical.kind == PARQUET_LOGICAL_GEOGRAPHY ||
            column->logical.kind == PARQUET_LOGICAL_OTHER)
            return error_set(error, PLINTH_UNSUPPORTED,
                             "column %.100s: its logical type cannot be written as it is; leave it out", column->path);
    }
    return PLINTH_OK;
}

static enum plinth_status make_schema(struct rewriter *rewriter, struct plinth_error *error) {
    const struct parquet_schema *schema = &rewriter->metadata->schema;
    uint32_t leaf = 0, kept = 0;
    rewriter->nodes = arena_zalloc(&rewriter->arena, (schema->node_count + 1) * sizeof *rewriter->nodes);
    rewriter->columns = arena_zalloc(&rewriter->arena, (schema->column_count + 1) * sizeof *rewriter->columns);
    rewriter->data = arena_zalloc(&rewriter->arena, (schema->column_count + 1) * sizeof *rewriter->data);
    if (!rewriter->nodes || !rewriter->columns || !rewriter->data) return error_no_memory(error, "Parquet schema");
    for (uint32_t at = 0; at < schema->node_count;) at = copy_nodes(rewriter, at, &leaf);
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (is_selected(rewriter, i)) rewriter->columns[kept++] = i;
    if (kept == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "no column is left");
    enum plinth_status st = parquet_schema_init(&rewriter->schema, &rewriter->arena, schema->root_name, rewriter->nodes,
                                                rewriter->node_count, error);
    return st ? st : check_types(rewriter, error);
}

/* ---- What is said of the order ---- */

/* What all row groups of the input say, in columns of the output: as far as they are kept. */
static uint32_t input_sorting(const struct rewriter *rewriter, struct plinth_parquet_sorting *sorting) {
    const struct parquet_metadata *metadata = rewriter->metadata;
    uint32_t count = 0;
    if (metadata->row_group_count == 0) return 0;
    const struct parquet_row_group *first = &metadata->row_groups[0];
    for (uint32_t i = 0; i < first->sorting_count; i++) {
        const struct parquet_sorting_column *by = &first->sorting[i];
        for (uint32_t g = 1; g < metadata->row_group_count; g++) {
            const struct parquet_row_group *group = &metadata->row_groups[g];
            if (i >= group->sorting_count || group->sorting[i].column != by->column ||
                group->sorting[i].is_descending != by->is_descending ||
                group->sorting[i].nulls_first != by->nulls_first)
                return count;
        }
        if (by->column >= metadata->schema.column_count || !is_selected(rewriter, by->column)) return count;
        sorting[count++] = (struct plinth_parquet_sorting){metadata->schema.columns[by->column].path, by->is_descending,
                                                           by->nulls_first};
    }
    return count;
}

static enum plinth_status open_writer(struct rewriter *rewriter, plinth_parquet_write_function *write, void *context,
                                      struct plinth_error *error) {
    struct plinth_parquet_write_options options = rewriter->options->write;
    uint32_t most = rewriter->metadata->row_group_count ? rewriter->metadata->row_groups[0].sorting_count : 0;
    struct plinth_parquet_sorting *sorting = arena_zalloc(&rewriter->arena, (most + 1) * sizeof *sorting);
    if (!sorting) return error_no_memory(error, "Parquet writer");
    if (!rewriter->sorts && rewriter->options->keeps_row_groups) {
        options.sorting_count = input_sorting(rewriter, sorting);
        options.sorting = sorting;
    }
    return column_file_open(write, context, rewriter->nodes, rewriter->node_count, rewriter->schema.root_name, &options,
                            &rewriter->writer, error);
}

/* ---- Rows of the input ---- */

/* The next rows; `*rows` is 0 at the end. `*ends_group`: a row group of the input ended before them. */
static enum plinth_status next_rows(struct rewriter *rewriter, uint64_t rows_max, uint64_t *rows, bool *ends_group,
                                    struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *rows = 0;
    *ends_group = false;
    while (!st && *rows == 0) {
        if (!rewriter->scan && rewriter->row_group == rewriter->metadata->row_group_count) return PLINTH_OK;
        if (!rewriter->scan)
            st = parquet_scan_create(rewriter->reader, rewriter->row_group++, rewriter->columns,
                                     rewriter->schema.column_count, &rewriter->scan, error);
        if (!st) st = parquet_scan_next(rewriter->scan, rows_max, rewriter->data, rows, error);
        if (st || *rows) break;
        parquet_scan_destroy(rewriter->scan);
        rewriter->scan = NULL;
        *ends_group = true;
    }
    return st;
}

static void rewind_input(struct rewriter *rewriter) {
    parquet_scan_destroy(rewriter->scan);
    rewriter->scan = NULL;
    rewriter->row_group = 0;
}

/* The first rows, as many as encodings are chosen by. */
static enum plinth_status take_sample(struct rewriter *rewriter, struct row_buffer *sample,
                                      struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t rows = 1;
    bool ends_group;
    while (!st && rows > 0 && sample->rows < SAMPLE_ROWS && row_buffer_bytes(sample) < SAMPLE_BYTES) {
        uint64_t most = SAMPLE_ROWS - sample->rows;
        const struct parquet_column_data *data = rewriter->data;
        st = rewriter->sorts ? row_sort_next(&rewriter->sort, most, &data, &rows, error)
                             : next_rows(rewriter, most, &rows, &ends_group, error);
        if (!st && rows > 0 && !row_buffer_append_rows(sample, data, rows))
            st = error_no_memory(error, "Parquet sample");
    }
    if (st) return st;
    if (rewriter->sorts) return row_sort_rewind(&rewriter->sort, error);
    rewind_input(rewriter);
    return PLINTH_OK;
}

static enum plinth_status choose_encodings(struct rewriter *rewriter, struct plinth_error *error) {
    struct row_buffer sample;
    enum plinth_status st = PLINTH_OK;
    if (!row_buffer_init(&sample, &rewriter->schema)) st = error_no_memory(error, "Parquet sample");
    if (!st) st = take_sample(rewriter, &sample, error);
    if (!st) {
        row_buffer_view(&sample);
        st = column_file_choose(rewriter->writer, sample.data, error);
    }
    row_buffer_deinit(&sample);
    return st;
}

/* ---- Rows of the output ---- */

static enum plinth_status write_rows(struct rewriter *rewriter, struct parquet_rewrite_counts *counts,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t rows = 1;
    while (!st) {
        bool ends_group = false;
        uint64_t most = column_file_rows_wanted(rewriter->writer);
        const struct parquet_column_data *data = rewriter->data;
        st = rewriter->sorts ? row_sort_next(&rewriter->sort, most, &data, &rows, error)
                             : next_rows(rewriter, most, &rows, &ends_group, error);
        if (st || rows == 0) break;
        ends_group = (ends_group && rewriter->options->keeps_row_groups) ||
                     column_file_row_group_bytes(rewriter->writer) >= row_group_bytes_max;
        if (ends_group) st = plinth_parquet_writer_end_row_group(rewriter->writer, error);
        if (!st) st = column_file_write(rewriter->writer, data, rows, error);
        counts->rows += rows;
    }
    return st;
}

static enum plinth_status add_pair(struct rewriter *rewriter, const struct parquet_key_value *pair,
                                   struct plinth_error *error) {
    const char *key = (const char *)arena_copy(&rewriter->arena, pair->key);
    if (!key) return error_no_memory(error, "Parquet metadata");
    return column_file_add_pair(rewriter->writer, key, pair->value, error);
}

static enum plinth_status add_key_values(struct rewriter *rewriter, struct plinth_error *error) {
    const struct parquet_rewrite_options *options = rewriter->options;
    bool drops_columns = rewriter->schema.column_count < rewriter->metadata->schema.column_count;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < rewriter->metadata->key_value_count; i++) {
        const struct parquet_key_value *pair = &rewriter->metadata->key_values[i];
        /* pyarrow's description of the columns, by their places. */
        bool is_kept = !drops_columns || !slice_equal(pair->key, slice_of_string("ARROW:schema"));
        for (uint32_t k = 0; k < options->key_value_count; k++)
            is_kept &= !slice_equal(pair->key, options->key_values[k].key);
        for (const char *const *dropped = options->dropped_keys; dropped && *dropped; dropped++)
            is_kept &= !slice_starts_with(pair->key, slice_of_string(*dropped));
        if (is_kept) st = add_pair(rewriter, pair, error);
    }
    for (uint32_t i = 0; !st && i < options->key_value_count; i++)
        st = add_pair(rewriter, &options->key_values[i], error);
    return st;
}

/* ---- Sorting ---- */

static enum plinth_status sort_input(struct rewriter *rewriter, struct plinth_error *error) {
    const struct parquet_rewrite_options *options = rewriter->options;
    uint32_t count = options->write.sorting_count;
    uint64_t rows = 1, memory = options->memory_bytes_max ? options->memory_bytes_max : MEMORY_BYTES_DEFAULT;
    bool ends_group;
    rewriter->sorting = arena_zalloc(&rewriter->arena, (count + 1) * sizeof *rewriter->sorting);
    if (!rewriter->sorting) return error_no_memory(error, "sorting columns");
    for (uint32_t i = 0; i < count; i++) {
        const struct plinth_parquet_sorting *by = &options->write.sorting[i];
        int32_t column = parquet_schema_find(&rewriter->schema, by->column);
        if (column < 0)
            return error_set(error, PLINTH_NOT_FOUND, "sorted by a column that is not there: %.100s", by->column);
        rewriter->sorting[i] = (struct parquet_sorting_column){(uint32_t)column, by->is_descending, by->nulls_first};
    }
    enum plinth_status st = row_sort_init(&rewriter->sort, &rewriter->schema, rewriter->sorting, count, memory,
                                          options->env ? options->env : env_posix(), options->scratch_path, error);
    while (!st) {
        st = next_rows(rewriter, SAMPLE_ROWS, &rows, &ends_group, error);
        if (st || rows == 0) break;
        st = row_sort_add(&rewriter->sort, rewriter->data, rows, error);
    }
    return st ? st : row_sort_finish(&rewriter->sort, error);
}

enum plinth_status parquet_rewrite(const struct parquet_reader *reader, plinth_parquet_write_function *write,
                                   void *context, const struct parquet_rewrite_options *options,
                                   struct parquet_rewrite_counts *counts, struct plinth_error *error) {
    struct rewriter rewriter = {.reader = reader,
                                .metadata = parquet_reader_metadata(reader),
                                .options = options,
                                .sorts = options->write.sorting_count > 0};
    *counts = (struct parquet_rewrite_counts){0};
    arena_init(&rewriter.arena);
    enum plinth_status st = make_schema(&rewriter, error);
    if (!st) st = open_writer(&rewriter, write, context, error); /* checks the options before the work */
    if (!st && rewriter.sorts) st = sort_input(&rewriter, error);
    if (!st) st = choose_encodings(&rewriter, error);
    if (!st) st = write_rows(&rewriter, counts, error);
    if (!st) st = add_key_values(&rewriter, error);
    if (!st) st = plinth_parquet_writer_finish(rewriter.writer, &counts->bytes, error);
    counts->runs = row_sort_runs(&rewriter.sort);
    parquet_scan_destroy(rewriter.scan);
    row_sort_deinit(&rewriter.sort);
    plinth_parquet_writer_destroy(rewriter.writer);
    arena_deinit(&rewriter.arena);
    return st;
}
