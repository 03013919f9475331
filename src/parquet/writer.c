/* The file as a whole: row groups, raw blocks, page indexes, footer. See writer.h. */
#include "parquet/writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/column_crew.h"
#include "parquet/column_writer.h"
#include "parquet/page_write.h"

enum { STRIPE_ROWS_DEFAULT = 20000, PAGE_VERSION_DEFAULT = 2, FORMAT_VERSION = 2 };

struct parquet_writer {
    struct parquet_sink *sink;
    struct arena arena; /* schema, metadata of finished row groups, page index until it is written */
    struct parquet_schema schema;
    struct parquet_writer_options options;
    struct parquet_sorting_column *sorting;
    struct column_writer *columns;
    struct column_crew *crew;
    struct buffer out; /* small things on their way to the sink */
    uint64_t position;
    uint32_t stripe_rows;      /* in the open stripe */
    uint64_t row_group_rows;   /* in the open row group, the open stripe included */
    uint64_t row_count;        /* of finished row groups */
    struct buffer row_groups;  /* struct parquet_row_group */
    struct buffer key_values;  /* struct parquet_key_value */
    struct buffer chunk_pages; /* struct chunk_pages: row group by row group, column by column */
    enum plinth_status failure;
    bool is_finished;
};

/* The page records of a finished column chunk. */
struct chunk_pages {
    struct page_record *records; /* in the arena */
    uint64_t *level_counts;      /* the same; null: none */
    uint32_t count;
};

struct parquet_column_options parquet_column_options_default(void) {
    return (struct parquet_column_options){.encoding = PARQUET_ENCODING_PLAIN,
                                           .codec = PARQUET_CODEC_UNCOMPRESSED,
                                           .statistics = true,
                                           .page_index = true};
}

/* ---- Creating ---- */

static enum plinth_status copy_options(struct parquet_writer *writer, const struct parquet_writer_options *options,
                                       struct plinth_error *error) {
    static const struct parquet_writer_options defaults = {0};
    writer->options = options ? *options : defaults;
    struct parquet_writer_options *own = &writer->options;
    if (own->stripe_rows == 0) own->stripe_rows = STRIPE_ROWS_DEFAULT;
    if (own->stripe_rows > INT32_MAX) own->stripe_rows = INT32_MAX;
    if (own->row_group_rows == 0 || own->row_group_rows > INT32_MAX) own->row_group_rows = INT32_MAX;
    if (own->data_page_version == 0) own->data_page_version = PAGE_VERSION_DEFAULT;
    if (own->data_page_version > 2)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "there are no data pages of version %d",
                         own->data_page_version);
    for (uint32_t i = 0; i < own->sorting_count; i++)
        if (own->sorting[i].column >= writer->schema.column_count)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "sorting column %u: there are %u columns",
                             own->sorting[i].column, writer->schema.column_count);
    const char *created_by = own->created_by ? own->created_by : "plinth-parquet version " PLINTH_VERSION;
    own->created_by = (char *)arena_copy(&writer->arena, slice_of_string(created_by));
    writer->sorting = (struct parquet_sorting_column *)(void *)arena_copy(
        &writer->arena, slice_of(own->sorting, own->sorting_count * sizeof *own->sorting));
    return own->created_by && writer->sorting ? PLINTH_OK : error_no_memory(error, "Parquet writer");
}

static enum plinth_status create_columns(struct parquet_writer *writer, const struct parquet_column_options *columns,
                                         struct plinth_error *error) {
    const struct parquet_column_options defaults = parquet_column_options_default();
    writer->columns = calloc(writer->schema.column_count, sizeof *writer->columns);
    if (!writer->columns) return error_no_memory(error, "Parquet writer");
    for (uint32_t i = 0; i < writer->schema.column_count; i++) {
        enum plinth_status st =
            column_writer_init(&writer->columns[i], &writer->schema.columns[i], columns ? &columns[i] : &defaults,
                               writer->options.data_page_version, !writer->options.no_checksums, error);
        if (st) return st;
    }
    return PLINTH_OK;
}

enum plinth_status parquet_writer_create(struct parquet_sink *sink, const struct parquet_node *nodes,
                                         uint32_t node_count, const struct parquet_column_options *columns,
                                         const struct parquet_writer_options *options,
                                         struct parquet_writer **writer_out, struct plinth_error *error) {
    *writer_out = NULL;
    struct parquet_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return error_no_memory(error, "Parquet writer");
    writer->sink = sink;
    arena_init(&writer->arena);
    const char *root = options && options->root_name ? options->root_name : "schema";
    enum plinth_status st = parquet_schema_init(&writer->schema, &writer->arena, root, nodes, node_count, error);
    if (!st) st = copy_options(writer, options, error);
    uint32_t threads = writer->options.threads, most = writer->schema.column_count;
    if (!st) st = column_crew_create(threads < most ? threads : most, &writer->crew, error);
    if (!st) st = create_columns(writer, columns, error);
    if (st)
        parquet_writer_destroy(writer);
    else
        *writer_out = writer;
    return st;
}

void parquet_writer_destroy(struct parquet_writer *writer) {
    if (!writer) return;
    for (uint32_t i = 0; writer->columns && i < writer->schema.column_count; i++)
        column_writer_deinit(&writer->columns[i]);
    free(writer->columns);
    column_crew_destroy(writer->crew);
    buffer_deinit(&writer->out);
    buffer_deinit(&writer->row_groups);
    buffer_deinit(&writer->key_values);
    buffer_deinit(&writer->chunk_pages);
    arena_deinit(&writer->arena);
    free(writer);
}

/* ---- Going out ---- */

static enum plinth_status put(struct parquet_writer *writer, struct slice bytes, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (writer->position == 0) {
        st = writer->sink->write(writer->sink, slice_of("PAR1", 4), error);
        if (st) return st;
        writer->position = 4;
    }
    if (bytes.size > 0) st = writer->sink->write(writer->sink, bytes, error);
    if (!st) writer->position += bytes.size;
    return st;
}

/* Remembers the first failure; every later call gives it again. */
static enum plinth_status keep(struct parquet_writer *writer, enum plinth_status status) {
    if (status && !writer->failure) writer->failure = status;
    return status;
}

static enum plinth_status check_usable(const struct parquet_writer *writer, struct plinth_error *error) {
    if (writer->failure)
        return error_set(error, writer->failure, "the Parquet writer has failed before: %s",
                         plinth_status_name(writer->failure));
    if (writer->is_finished) return error_set(error, PLINTH_INVALID_ARGUMENT, "the Parquet file is finished");
    return PLINTH_OK;
}

static enum plinth_status put_bloom(struct parquet_writer *writer, struct column_writer *column,
                                    struct parquet_column_chunk *chunk, struct plinth_error *error) {
    if (column->bloom.block_count == 0) return PLINTH_OK;
    enum plinth_status st = put(writer, slice_of(NULL, 0), error);
    buffer_clear(&writer->out);
    if (!st && !bloom_header_encode(column->bloom.block_count * PARQUET_BLOOM_BLOCK_BYTES, &writer->out))
        st = error_no_memory(error, "Parquet bloom filter");
    chunk->bloom_offset = writer->position;
    if (!st) st = put(writer, buffer_slice(&writer->out), error);
    if (!st) st = put(writer, buffer_slice(&column->bloom.owned), error);
    chunk->bloom_bytes = writer->position - chunk->bloom_offset;
    return st;
}

/* Keeps the page records, with offsets in the file, until the page index is written. */
static enum plinth_status keep_pages(struct parquet_writer *writer, const struct column_writer *column,
                                     uint64_t data_page_offset, struct plinth_error *error) {
    struct chunk_pages pages = {0};
    if (column->options.page_index) {
        pages.count = (uint32_t)(column->records.size / sizeof *pages.records);
        pages.records = (struct page_record *)(void *)arena_copy(&writer->arena, buffer_slice(&column->records));
        if (!pages.records) return error_no_memory(error, "Parquet page index");
        if (column->level_counts.size > 0) {
            pages.level_counts = (uint64_t *)(void *)arena_copy(&writer->arena, buffer_slice(&column->level_counts));
            if (!pages.level_counts) return error_no_memory(error, "Parquet page index");
        }
        for (uint32_t i = 0; i < pages.count; i++) pages.records[i].location.offset += data_page_offset;
    }
    if (!buffer_append(&writer->chunk_pages, &pages, sizeof pages)) return error_no_memory(error, "Parquet page index");
    return PLINTH_OK;
}

static void count_encodings(const struct column_writer *column, struct parquet_column_chunk *chunk) {
    uint32_t count = 0;
    if (column->dictionary_pages > 0) {
        chunk->encoding_counts[count++] = (struct parquet_encoding_count){true, PARQUET_ENCODING_PLAIN, 1};
        chunk->encoding_counts[count++] =
            (struct parquet_encoding_count){false, PARQUET_ENCODING_RLE_DICTIONARY, column->dictionary_pages};
    }
    if (column->plain_pages > 0)
        chunk->encoding_counts[count++] =
            (struct parquet_encoding_count){false, column->options.encoding, column->plain_pages};
    chunk->encoding_count_count = count;
}

static enum plinth_status chunk_statistics(struct parquet_writer *writer, const struct column_writer *column,
                                           struct parquet_statistics *statistics, struct plinth_error *error) {
    if (!column->options.statistics) return PLINTH_OK;
    statistics->has_null_count = true;
    statistics->null_count = column->null_count;
    statistics->has_nan_count = parquet_order_is_floating(column->order);
    statistics->nan_count = column->nan_count;
    if (!column->has_bounds) return PLINTH_OK;
    struct page_record bounds = {0};
    struct value_bounds exact = {true, buffer_slice(&column->min), buffer_slice(&column->max), 0};
    if (!page_record_bounds(column, &exact, &writer->arena, &bounds))
        return error_no_memory(error, "Parquet statistics");
    statistics->has_min = statistics->has_max = true;
    statistics->min = bounds.bounds.min;
    statistics->max = bounds.bounds.max;
    statistics->min_exact = slice_equal(statistics->min, exact.min);
    statistics->max_exact = slice_equal(statistics->max, exact.max);
    return PLINTH_OK;
}

/* The sums of the pages' counts. */
static enum plinth_status chunk_levels(struct parquet_writer *writer, const struct column_writer *column,
                                       struct parquet_column_chunk *chunk, struct plinth_error *error) {
    uint32_t repetition = column_writer_repetition_counts(column), definition = column_writer_definition_counts(column);
    uint32_t count = repetition + definition;
    const uint64_t *counts = (const uint64_t *)(const void *)column->level_counts.data;
    if (count == 0) return PLINTH_OK;
    struct parquet_level_statistics *levels = arena_zalloc(&writer->arena, sizeof *levels);
    uint64_t *sums = arena_zalloc(&writer->arena, count * sizeof *sums);
    if (!levels || !sums) return error_no_memory(error, "Parquet statistics");
    for (size_t i = 0; i < column->level_counts.size / sizeof *counts; i++) sums[i % count] += counts[i];
    levels->repetition = (struct parquet_level_counts){sums, repetition};
    levels->definition = (struct parquet_level_counts){sums + repetition, definition};
    chunk->levels = levels;
    return PLINTH_OK;
}

static enum plinth_status put_chunk(struct parquet_writer *writer, struct column_writer *column,
                                    struct parquet_column_chunk *chunk, struct plinth_error *error) {
    enum plinth_status st = put(writer, slice_of(NULL, 0), error);
    uint64_t begin = writer->position;
    if (!st && column->dictionary_page.size > 0) {
        chunk->dictionary_page_offset = begin;
        st = put(writer, buffer_slice(&column->dictionary_page), error);
    }
    chunk->data_page_offset = writer->position;
    if (!st) st = put(writer, buffer_slice(&column->pages), error);
    if (!st) st = keep_pages(writer, column, chunk->data_page_offset, error);
    if (!st) st = chunk_statistics(writer, column, &chunk->statistics, error);
    if (!st) st = chunk_levels(writer, column, chunk, error);
    chunk->codec = column->options.codec;
    chunk->encodings = column->encodings;
    chunk->value_count = column->slots;
    chunk->uncompressed_bytes = column->uncompressed_bytes;
    chunk->compressed_bytes = writer->position - begin;
    chunk->has_unencoded_bytes = column->column->type == PARQUET_TYPE_BYTE_ARRAY;
    chunk->unencoded_bytes = column->unencoded_bytes;
    chunk->encoding_counts = arena_zalloc(&writer->arena, 3 * sizeof *chunk->encoding_counts);
    if (!chunk->encoding_counts) return error_no_memory(error, "Parquet metadata");
    count_encodings(column, chunk);
    return st;
}

static enum plinth_status end_row_group(struct parquet_writer *writer, struct plinth_error *error);

static enum plinth_status end_column_chunk(void *context, uint32_t i, struct encode_scratch *scratch,
                                           struct arena *arena, struct plinth_error *error) {
    struct parquet_writer *writer = context;
    (void)arena;
    return column_writer_end_chunk(&writer->columns[i], scratch, error);
}

static enum plinth_status put_row_group(struct parquet_writer *writer, struct plinth_error *error) {
    uint32_t columns = writer->schema.column_count;
    struct parquet_row_group group = {.row_count = writer->row_group_rows,
                                      .first_row = writer->row_count,
                                      .sorting = writer->sorting,
                                      .sorting_count = writer->options.sorting_count};
    group.columns = arena_zalloc(&writer->arena, columns * sizeof *group.columns);
    if (!group.columns) return error_no_memory(error, "Parquet metadata");
    enum plinth_status st = PLINTH_OK;
    st = column_crew_run(writer->crew, columns, end_column_chunk, writer, error);
    for (uint32_t i = 0; !st && i < columns; i++) st = put_bloom(writer, &writer->columns[i], &group.columns[i], error);
    if (!st) st = put(writer, slice_of(NULL, 0), error);
    group.file_offset = writer->position;
    for (uint32_t i = 0; !st && i < columns; i++) {
        st = put_chunk(writer, &writer->columns[i], &group.columns[i], error);
        group.uncompressed_bytes += group.columns[i].uncompressed_bytes;
        group.compressed_bytes += group.columns[i].compressed_bytes;
        column_writer_clear(&writer->columns[i]);
    }
    if (!st && !buffer_append(&writer->row_groups, &group, sizeof group))
        st = error_no_memory(error, "Parquet metadata");
    if (st) return st;
    writer->row_count += writer->row_group_rows;
    writer->row_group_rows = 0;
    return PLINTH_OK;
}

/* ---- Rows ---- */

/* What the crew does with each column of some rows. */
struct rows_work {
    struct parquet_writer *writer;
    const struct parquet_column_data *columns;
    struct column_writer *const *begun;
    uint64_t rows;
};

/* The column's first pages, of whole stripes. */
static enum plinth_status begin_column(void *context, uint32_t i, struct encode_scratch *scratch, struct arena *arena,
                                       struct plinth_error *error) {
    const struct rows_work *work = context;
    struct column_writer *column = &work->writer->columns[i], *begun = work->begun[i];
    const struct parquet_column_data *data = &work->columns[i];
    uint32_t stripe_rows = work->writer->options.stripe_rows;
    if (begun) {
        assert(begun->rows == work->rows);
        column_writer_deinit(column);
        *column = *begun;
        column->column = &work->writer->schema.columns[i];
        *begun = (struct column_writer){0};
        return PLINTH_OK;
    }
    enum plinth_status st = column_writer_begin_batch(column, data, data->rows, error);
    for (uint64_t at = 0; !st && at < work->rows; at += stripe_rows)
        st = column_writer_write_page(column, data, stripe_rows, scratch, arena, error);
    return st;
}

static enum plinth_status write_column_page(void *context, uint32_t i, struct encode_scratch *scratch,
                                            struct arena *arena, struct plinth_error *error) {
    const struct rows_work *work = context;
    return column_writer_write_page(&work->writer->columns[i], &work->columns[i], (uint32_t)work->rows, scratch, arena,
                                    error);
}

static enum plinth_status end_column_stripe(void *context, uint32_t i, struct encode_scratch *scratch,
                                            struct arena *arena, struct plinth_error *error) {
    struct parquet_writer *writer = context;
    return column_writer_end_stripe(&writer->columns[i], scratch, arena, error);
}

enum plinth_status parquet_writer_begin_with(struct parquet_writer *writer, struct column_writer *const *begun,
                                             const struct parquet_column_data *columns, uint64_t rows,
                                             struct plinth_error *error) {
    struct rows_work work = {writer, columns, begun, rows};
    assert(writer->row_group_rows == 0 && rows <= writer->options.row_group_rows);
    enum plinth_status st = column_crew_run(writer->crew, writer->schema.column_count, begin_column, &work, error);
    writer->row_group_rows = rows;
    if (!st && rows == writer->options.row_group_rows) st = end_row_group(writer, error);
    return keep(writer, st);
}

static enum plinth_status end_stripe(struct parquet_writer *writer, struct plinth_error *error) {
    if (writer->stripe_rows == 0) return PLINTH_OK;
    writer->stripe_rows = 0;
    return column_crew_run(writer->crew, writer->schema.column_count, end_column_stripe, writer, error);
}

static enum plinth_status end_row_group(struct parquet_writer *writer, struct plinth_error *error) {
    enum plinth_status st = end_stripe(writer, error);
    if (st || writer->row_group_rows == 0) return st;
    return put_row_group(writer, error);
}

/* A full stripe, encoded right from the caller's memory. */
static enum plinth_status write_whole_stripe(struct parquet_writer *writer, const struct parquet_column_data *columns,
                                             uint32_t rows, struct plinth_error *error) {
    struct rows_work work = {writer, columns, NULL, rows};
    writer->row_group_rows += rows;
    return column_crew_run(writer->crew, writer->schema.column_count, write_column_page, &work, error);
}

static enum plinth_status append_to_stripe(struct parquet_writer *writer, const struct parquet_column_data *columns,
                                           uint32_t rows, struct plinth_error *error) {
    for (uint32_t i = 0; i < writer->schema.column_count; i++) {
        enum plinth_status st = column_writer_append(&writer->columns[i], &columns[i], rows, error);
        if (st) return st;
    }
    writer->stripe_rows += rows;
    writer->row_group_rows += rows;
    return writer->stripe_rows == writer->options.stripe_rows ? end_stripe(writer, error) : PLINTH_OK;
}

enum plinth_status parquet_writer_write(struct parquet_writer *writer, const struct parquet_column_data *columns,
                                        uint64_t rows, struct plinth_error *error) {
    enum plinth_status st = check_usable(writer, error);
    for (uint32_t i = 0; !st && i < writer->schema.column_count; i++)
        st = column_writer_begin_batch(&writer->columns[i], &columns[i], rows, error);
    for (uint64_t begin = 0; !st && begin < rows;) {
        uint64_t take = writer->options.stripe_rows - writer->stripe_rows;
        uint64_t room = writer->options.row_group_rows - writer->row_group_rows;
        if (room < take) take = room;
        if (rows - begin < take) take = rows - begin;
        if (writer->stripe_rows == 0 && take == writer->options.stripe_rows)
            st = write_whole_stripe(writer, columns, (uint32_t)take, error);
        else
            st = append_to_stripe(writer, columns, (uint32_t)take, error);
        begin += take;
        if (!st && writer->row_group_rows == writer->options.row_group_rows) st = end_row_group(writer, error);
    }
    return keep(writer, st);
}

enum plinth_status parquet_writer_end_stripe(struct parquet_writer *writer, struct plinth_error *error) {
    enum plinth_status st = check_usable(writer, error);
    if (!st) st = end_stripe(writer, error);
    return keep(writer, st);
}

enum plinth_status parquet_writer_end_row_group(struct parquet_writer *writer, struct plinth_error *error) {
    enum plinth_status st = check_usable(writer, error);
    if (!st) st = end_row_group(writer, error);
    return keep(writer, st);
}

enum plinth_status parquet_writer_set_encodings(struct parquet_writer *writer,
                                                const struct parquet_column_options *columns,
                                                struct plinth_error *error) {
    enum plinth_status st = check_usable(writer, error);
    if (!st && (writer->row_group_rows || writer->stripe_rows))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "encodings are set between row groups only");
    for (uint32_t i = 0; !st && i < writer->schema.column_count; i++)
        st = column_writer_set_encoding(&writer->columns[i], &columns[i], error);
    return keep(writer, st);
}

enum plinth_status parquet_writer_append_raw(struct parquet_writer *writer, struct slice bytes, uint64_t *offset,
                                             struct plinth_error *error) {
    *offset = 0;
    enum plinth_status st = check_usable(writer, error);
    if (!st) st = end_row_group(writer, error);
    if (!st) st = put(writer, slice_of(NULL, 0), error);
    uint64_t begin = writer->position;
    if (!st) st = put(writer, bytes, error);
    if (!st) *offset = begin;
    return keep(writer, st);
}

enum plinth_status parquet_writer_add_key_value(struct parquet_writer *writer, const char *key, struct slice value,
                                                struct plinth_error *error) {
    enum plinth_status st = check_usable(writer, error);
    if (st) return st;
    struct slice key_bytes = slice_of_string(key);
    struct parquet_key_value pair = {.key = slice_of(arena_copy(&writer->arena, key_bytes), key_bytes.size),
                                     .value = slice_of(arena_copy(&writer->arena, value), value.size),
                                     .has_value = true};
    if (!pair.key.data || !pair.value.data || !buffer_append(&writer->key_values, &pair, sizeof pair))
        st = error_no_memory(error, "Parquet metadata");
    return keep(writer, st);
}

/* ---- Finishing ---- */

/* Where the pages' bounds go up or down together. */
static enum parquet_boundary_order boundary_order(enum parquet_order order, const struct page_record *records,
                                                  uint32_t count) {
    bool ascends = true, descends = true;
    const struct parquet_page_bounds *last = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct parquet_page_bounds *bounds = &records[i].bounds;
        if (bounds->is_null_page) continue;
        if (last) {
            int min = parquet_value_compare(order, last->min, bounds->min);
            int max = parquet_value_compare(order, last->max, bounds->max);
            ascends = ascends && min <= 0 && max <= 0;
            descends = descends && min >= 0 && max >= 0;
        }
        last = bounds;
    }
    return ascends ? PARQUET_ASCENDING : descends ? PARQUET_DESCENDING : PARQUET_UNORDERED;
}

/* A ColumnIndex needs bounds for every page that has values: not so with pages of nothing but NaN. */
static bool has_column_index(const struct column_writer *column, const struct chunk_pages *pages) {
    if (!column->options.statistics || column->order == PARQUET_ORDER_NONE) return false;
    for (uint32_t i = 0; i < pages->count; i++)
        if (!pages->records[i].has_bounds && !pages->records[i].bounds.is_null_page) return false;
    return pages->count > 0;
}

/* From both kinds page by page to all of the one kind, then all of the other. */
static bool split_level_counts(const struct column_writer *column, const struct chunk_pages *pages, struct buffer *list,
                               struct parquet_level_statistics *levels) {
    uint32_t repetition = column_writer_repetition_counts(column), definition = column_writer_definition_counts(column);
    const uint64_t *from = pages->level_counts;
    if (!from) return true;
    buffer_clear(list);
    if (!buffer_append_zeros(list, (size_t)pages->count * (repetition + definition) * sizeof *from)) return false;
    uint64_t *to = (uint64_t *)(void *)list->data, *second = to + (size_t)pages->count * repetition;
    for (uint32_t i = 0; i < pages->count; i++) {
        for (uint32_t k = 0; k < repetition; k++) to[i * repetition + k] = *from++;
        for (uint32_t k = 0; k < definition; k++) second[i * definition + k] = *from++;
    }
    levels->repetition = (struct parquet_level_counts){to, pages->count * repetition};
    levels->definition = (struct parquet_level_counts){second, pages->count * definition};
    return true;
}

static enum plinth_status put_column_index(struct parquet_writer *writer, uint32_t column,
                                           const struct chunk_pages *pages, struct parquet_column_chunk *chunk,
                                           struct plinth_error *error) {
    const struct column_writer *about = &writer->columns[column];
    if (!has_column_index(about, pages)) return PLINTH_OK;
    struct encode_scratch *scratch = column_crew_scratch(writer->crew);
    struct buffer *list = &scratch->values, *levels = &scratch->integers;
    buffer_clear(list);
    buffer_clear(&writer->out);
    for (uint32_t i = 0; i < pages->count; i++)
        if (!buffer_append(list, &pages->records[i].bounds, sizeof pages->records[i].bounds))
            return error_no_memory(error, "Parquet page index");
    struct parquet_page_index index = {.page_count = pages->count,
                                       .bounds = (struct parquet_page_bounds *)(void *)list->data,
                                       .order = boundary_order(about->order, pages->records, pages->count),
                                       .has_nan_counts = parquet_order_is_floating(about->order)};
    if (!split_level_counts(about, pages, levels, &index.levels) || !column_index_encode(&index, &writer->out))
        return error_no_memory(error, "Parquet page index");
    chunk->column_index_offset = writer->position;
    chunk->column_index_bytes = (uint32_t)writer->out.size;
    return put(writer, buffer_slice(&writer->out), error);
}

static enum plinth_status put_offset_index(struct parquet_writer *writer, uint32_t column,
                                           const struct chunk_pages *pages, struct parquet_column_chunk *chunk,
                                           struct plinth_error *error) {
    bool is_bytes = writer->schema.columns[column].type == PARQUET_TYPE_BYTE_ARRAY;
    struct encode_scratch *scratch = column_crew_scratch(writer->crew);
    struct buffer *locations = &scratch->values, *sizes = &scratch->integers;
    if (pages->count == 0) return PLINTH_OK;
    buffer_clear(locations);
    buffer_clear(sizes);
    buffer_clear(&writer->out);
    for (uint32_t i = 0; i < pages->count; i++)
        if (!buffer_append(locations, &pages->records[i].location, sizeof pages->records[i].location) ||
            !buffer_append_u64(sizes, pages->records[i].unencoded_bytes))
            return error_no_memory(error, "Parquet page index");
    if (!offset_index_encode((const struct parquet_page_location *)(void *)locations->data,
                             is_bytes ? (const uint64_t *)(void *)sizes->data : NULL, pages->count, &writer->out))
        return error_no_memory(error, "Parquet page index");
    chunk->offset_index_offset = writer->position;
    chunk->offset_index_bytes = (uint32_t)writer->out.size;
    return put(writer, buffer_slice(&writer->out), error);
}

typedef enum plinth_status put_index(struct parquet_writer *, uint32_t column, const struct chunk_pages *,
                                     struct parquet_column_chunk *, struct plinth_error *);

static enum plinth_status put_indexes(struct parquet_writer *writer, put_index *put_one, struct plinth_error *error) {
    struct parquet_row_group *groups = (struct parquet_row_group *)(void *)writer->row_groups.data;
    const struct chunk_pages *pages = (const struct chunk_pages *)(void *)writer->chunk_pages.data;
    size_t group_count = writer->row_groups.size / sizeof *groups;
    for (size_t g = 0; g < group_count; g++) {
        for (uint32_t c = 0; c < writer->schema.column_count; c++, pages++) {
            enum plinth_status st = put_one(writer, c, pages, &groups[g].columns[c], error);
            if (st) return st;
        }
    }
    return PLINTH_OK;
}

static enum plinth_status put_footer(struct parquet_writer *writer, struct plinth_error *error) {
    struct parquet_metadata metadata = {
        .version = FORMAT_VERSION,
        .row_count = writer->row_count,
        .schema = writer->schema,
        .row_groups = (struct parquet_row_group *)(void *)writer->row_groups.data,
        .row_group_count = (uint32_t)(writer->row_groups.size / sizeof(struct parquet_row_group)),
        .key_values = (struct parquet_key_value *)(void *)writer->key_values.data,
        .key_value_count = (uint32_t)(writer->key_values.size / sizeof(struct parquet_key_value)),
        .created_by = slice_of_string(writer->options.created_by)};
    enum plinth_status st = put(writer, slice_of(NULL, 0), error);
    buffer_clear(&writer->out);
    if (st) return st;
    if (!metadata_encode(&metadata, &writer->out)) return error_no_memory(error, "Parquet footer");
    size_t footer_bytes = writer->out.size;
    if (footer_bytes > INT32_MAX) return error_set(error, PLINTH_TOO_LARGE, "a footer of %zu bytes", footer_bytes);
    if (!buffer_append_u32(&writer->out, (uint32_t)footer_bytes) || !buffer_append(&writer->out, "PAR1", 4))
        return error_no_memory(error, "Parquet footer");
    return put(writer, buffer_slice(&writer->out), error);
}

enum plinth_status parquet_writer_finish(struct parquet_writer *writer, uint64_t *file_bytes,
                                         struct plinth_error *error) {
    if (file_bytes) *file_bytes = 0;
    enum plinth_status st = check_usable(writer, error);
    if (!st) st = end_row_group(writer, error);
    if (!st) st = put_indexes(writer, put_column_index, error);
    if (!st) st = put_indexes(writer, put_offset_index, error);
    if (!st) st = put_footer(writer, error);
    if (st) return keep(writer, st);
    writer->is_finished = true;
    if (file_bytes) *file_bytes = writer->position;
    return PLINTH_OK;
}

/* ---- Telling ---- */

uint64_t parquet_writer_position(const struct parquet_writer *writer) { return writer->position; }

uint64_t parquet_writer_row_group_bytes(const struct parquet_writer *writer) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < writer->schema.column_count; i++) bytes += writer->columns[i].pages.size;
    return bytes;
}

uint64_t parquet_writer_stripe_bytes(const struct parquet_writer *writer) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < writer->schema.column_count; i++) bytes += column_writer_stripe_bytes(&writer->columns[i]);
    return bytes;
}

uint32_t parquet_writer_stripe_rows(const struct parquet_writer *writer) { return writer->stripe_rows; }

uint64_t parquet_writer_memory(const struct parquet_writer *writer) {
    uint64_t bytes = sizeof *writer + writer->arena.used_bytes + column_crew_memory(writer->crew) +
                     writer->out.capacity + writer->row_groups.capacity + writer->key_values.capacity +
                     writer->chunk_pages.capacity;
    for (uint32_t i = 0; i < writer->schema.column_count; i++) bytes += column_writer_memory(&writer->columns[i]);
    return bytes;
}
