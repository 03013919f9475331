/* One column of the open row group: collecting rows, and the chunk as a whole. See column_writer.h; the
 * encoding of a page is in page_write.c. */
#include "parquet/column_writer.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/levels.h"
#include "parquet/page_write.h"

enum { DICTIONARY_BYTES_MAX_DEFAULT = 1 << 20, STATISTICS_BYTES_MAX_DEFAULT = 64 };

void encode_scratch_deinit(struct encode_scratch *scratch) {
    codec_state_deinit(&scratch->codec);
    buffer_deinit(&scratch->dense);
    buffer_deinit(&scratch->offsets);
    buffer_deinit(&scratch->integers);
    buffer_deinit(&scratch->validity);
    buffer_deinit(&scratch->levels);
    buffer_deinit(&scratch->values);
    buffer_deinit(&scratch->body);
}

size_t encode_scratch_memory(const struct encode_scratch *scratch) {
    return codec_state_memory(&scratch->codec) + scratch->dense.capacity + scratch->offsets.capacity +
           scratch->integers.capacity + scratch->validity.capacity + scratch->levels.capacity +
           scratch->values.capacity + scratch->body.capacity;
}

/* ---- Options ---- */

bool column_encoding_fits(enum parquet_type type, enum parquet_encoding encoding) {
    switch (encoding) {
    case PARQUET_ENCODING_PLAIN: return true;
    case PARQUET_ENCODING_RLE: return type == PARQUET_TYPE_BOOLEAN;
    case PARQUET_ENCODING_DELTA_BINARY_PACKED: return type == PARQUET_TYPE_INT32 || type == PARQUET_TYPE_INT64;
    case PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY;
    case PARQUET_ENCODING_DELTA_BYTE_ARRAY: return type == PARQUET_TYPE_BYTE_ARRAY || type == PARQUET_TYPE_FIXED;
    case PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        return type == PARQUET_TYPE_INT32 || type == PARQUET_TYPE_INT64 || type == PARQUET_TYPE_FLOAT ||
               type == PARQUET_TYPE_DOUBLE || type == PARQUET_TYPE_FIXED;
    default: return false;
    }
}

static enum plinth_status check_options(const struct parquet_column *column,
                                        const struct parquet_column_options *options, struct plinth_error *error) {
    bool is_boolean = column->type == PARQUET_TYPE_BOOLEAN;
    if (!column_encoding_fits(column->type, options->encoding))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: encoding %s is not for %s", column->path,
                         parquet_encoding_name(options->encoding), parquet_type_name(column->type));
    if (!codec_can_write(options->codec))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: codec %s is not written", column->path,
                         parquet_codec_name(options->codec));
    if (!codec_level_valid(options->codec, options->codec_level))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: %s has no level %d", column->path,
                         parquet_codec_name(options->codec), options->codec_level);
    if (is_boolean && (options->dictionary || options->bloom))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: BOOLEAN has no dictionary or bloom filter",
                         column->path);
    return PLINTH_OK;
}

/* ---- Life ---- */

uint32_t column_writer_repetition_counts(const struct column_writer *writer) {
    uint32_t highest = writer->column->repetition_level_max;
    return writer->options.statistics && highest > 0 ? highest + 1 : 0;
}

uint32_t column_writer_definition_counts(const struct column_writer *writer) {
    uint32_t highest = writer->column->definition_level_max;
    return writer->options.statistics && highest > 1 ? highest + 1 : 0;
}

static enum plinth_status begin_chunk(struct column_writer *writer, struct plinth_error *error) {
    if (!writer->options.bloom || writer->options.bloom_distinct == 0 || writer->bloom.block_count > 0)
        return PLINTH_OK;
    return parquet_bloom_init(&writer->bloom, writer->options.bloom_distinct, writer->options.bloom_bits, error);
}

enum plinth_status column_writer_init(struct column_writer *writer, const struct parquet_column *column,
                                      const struct parquet_column_options *options, uint8_t data_page_version,
                                      bool has_checksums, struct plinth_error *error) {
    *writer = (struct column_writer){.column = column,
                                     .options = *options,
                                     .order = parquet_column_order(column),
                                     .data_page_version = data_page_version,
                                     .has_checksums = has_checksums,
                                     .uses_dictionary = options->dictionary,
                                     .dictionary = {.width = column->width}};
    if (!options->dictionary_bytes_max) writer->options.dictionary_bytes_max = DICTIONARY_BYTES_MAX_DEFAULT;
    if (!options->statistics_bytes_max) writer->options.statistics_bytes_max = STATISTICS_BYTES_MAX_DEFAULT;
    return check_options(column, options, error);
}

void column_writer_deinit(struct column_writer *writer) {
    buffer_deinit(&writer->stripe_values);
    buffer_deinit(&writer->stripe_offsets);
    buffer_deinit(&writer->stripe_validity);
    buffer_deinit(&writer->stripe_definition);
    buffer_deinit(&writer->stripe_repetition);
    buffer_deinit(&writer->pages);
    buffer_deinit(&writer->records);
    buffer_deinit(&writer->level_counts);
    dictionary_deinit(&writer->dictionary);
    buffer_deinit(&writer->dictionary_page);
    buffer_deinit(&writer->min);
    buffer_deinit(&writer->max);
    parquet_bloom_deinit(&writer->bloom);
    buffer_deinit(&writer->hashes);
}

enum plinth_status column_writer_set_encoding(struct column_writer *writer,
                                              const struct parquet_column_options *options,
                                              struct plinth_error *error) {
    struct parquet_column_options changed = writer->options;
    changed.encoding = options->encoding;
    changed.dictionary = options->dictionary;
    changed.dictionary_pays = options->dictionary_pays;
    changed.dictionary_aligned = options->dictionary_aligned;
    enum plinth_status st = check_options(writer->column, &changed, error);
    if (st) return st;
    writer->options = changed;
    writer->uses_dictionary = changed.dictionary;
    return PLINTH_OK;
}

void column_writer_clear(struct column_writer *writer) {
    buffer_clear(&writer->pages);
    buffer_clear(&writer->records);
    buffer_clear(&writer->level_counts);
    writer->rows = writer->slots = writer->null_count = writer->nan_count = 0;
    writer->uncompressed_bytes = writer->unencoded_bytes = 0;
    writer->encodings = 0;
    writer->dictionary_pages = writer->plain_pages = 0;
    writer->uses_dictionary = writer->options.dictionary;
    dictionary_clear(&writer->dictionary);
    buffer_clear(&writer->dictionary_page);
    buffer_clear(&writer->min);
    buffer_clear(&writer->max);
    writer->has_bounds = false;
    parquet_bloom_deinit(&writer->bloom);
    buffer_clear(&writer->hashes);
}

uint64_t column_writer_stripe_bytes(const struct column_writer *writer) {
    return writer->stripe_values.size + writer->stripe_offsets.size + writer->stripe_definition.size +
           writer->stripe_repetition.size;
}

size_t column_writer_memory(const struct column_writer *writer) {
    return sizeof *writer + writer->stripe_values.capacity + writer->stripe_offsets.capacity +
           writer->stripe_validity.capacity + writer->stripe_definition.capacity + writer->stripe_repetition.capacity +
           writer->pages.capacity + writer->records.capacity + writer->level_counts.capacity +
           dictionary_memory(&writer->dictionary) + writer->dictionary_page.capacity + writer->min.capacity +
           writer->max.capacity + writer->bloom.owned.capacity + writer->hashes.capacity;
}

/* ---- Rows and slots ---- */

enum plinth_status column_writer_begin_batch(struct column_writer *writer, const struct parquet_column_data *data,
                                             uint64_t rows, struct plinth_error *error) {
    const struct parquet_column *column = writer->column;
    bool repeats = column->repetition_level_max > 0;
    writer->batch_slot = 0;
    if (!parquet_column_has_levels(column) || rows == 0) return PLINTH_OK;
    if (!data->definition_levels || (repeats && !data->repetition_levels))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: its levels are missing", column->path);
    uint64_t slots = repeats ? data->slots : rows;
    if (!levels_are_consistent(column, data->definition_levels, repeats ? data->repetition_levels : NULL, slots))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: levels that do not go together", column->path);
    uint64_t has = repeats ? levels_count_zeros(data->repetition_levels, slots) : rows;
    if (has != rows)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: its %llu slots are %llu rows of %llu",
                         column->path, (unsigned long long)slots, (unsigned long long)has, (unsigned long long)rows);
    return PLINTH_OK;
}

/* The slots of the batch's next `rows` rows, few enough for one stripe together with what is in the open one. */
static enum plinth_status take_slots(struct column_writer *writer, const struct parquet_column_data *data,
                                     uint32_t rows, struct slot_range *range, struct plinth_error *error) {
    uint64_t begin = writer->batch_slot, slots = rows;
    *range = (struct slot_range){0};
    if (writer->column->repetition_level_max > 0)
        slots = levels_find_row(data->repetition_levels + begin, data->slots - begin, rows);
    if (writer->stripe_slots + slots > PARQUET_PAGE_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: more than %d values in a stripe",
                         writer->column->path, PARQUET_PAGE_BYTES_MAX);
    *range = (struct slot_range){begin, rows, (uint32_t)slots};
    writer->batch_slot = begin + slots;
    return PLINTH_OK;
}

/* ---- The open stripe ---- */

/* Adds `slots` bits to a bitmap that has `have`; null stands for all ones. */
static bool append_bits(struct buffer *bitmap, uint64_t have, const uint8_t *bits, const struct slot_range *range) {
    size_t bytes = (size_t)bits_bytes(have + range->slots, 1);
    if (bytes > bitmap->size && !buffer_append_zeros(bitmap, bytes - bitmap->size)) return false;
    if (bits)
        bits_copy(bitmap->data, have, bits, range->begin, range->slots);
    else
        bits_fill(bitmap->data, have, range->slots, true);
    return true;
}

static bool append_bytes(struct column_writer *writer, const struct parquet_column_data *data,
                         const struct slot_range *range) {
    const uint32_t *offsets = data->offsets + range->begin;
    uint32_t slots = range->slots;
    uint32_t size = offsets[slots] - offsets[0], base = (uint32_t)writer->stripe_values.size;
    if (writer->stripe_offsets.size == 0 && !buffer_append_u32(&writer->stripe_offsets, 0)) return false;
    if (!buffer_reserve(&writer->stripe_offsets, slots * sizeof(uint32_t)) ||
        (size > 0 && !buffer_append(&writer->stripe_values, data->bytes + offsets[0], size)))
        return false;
    uint32_t *to = (uint32_t *)(void *)(writer->stripe_offsets.data + writer->stripe_offsets.size);
    for (uint32_t i = 1; i <= slots; i++) to[i - 1] = base + (offsets[i] - offsets[0]);
    writer->stripe_offsets.size += slots * sizeof(uint32_t);
    return true;
}

static bool append_validity(struct column_writer *writer, const uint8_t *validity, const struct slot_range *range) {
    uint64_t nulls = validity ? range->slots - bits_count(validity, range->begin, range->slots) : 0;
    struct slot_range before = {0, writer->stripe_rows, writer->stripe_slots};
    /* The stripe gets a bitmap with its first null. */
    if (nulls == 0 && writer->stripe_nulls == 0) return true;
    if (writer->stripe_nulls == 0 && !append_bits(&writer->stripe_validity, 0, NULL, &before)) return false;
    writer->stripe_nulls += nulls;
    return append_bits(&writer->stripe_validity, writer->stripe_slots, validity, range);
}

static bool append_levels(struct column_writer *writer, const struct parquet_column_data *data,
                          const struct slot_range *range) {
    if (writer->column->repetition_level_max > 0 &&
        !buffer_append(&writer->stripe_repetition, data->repetition_levels + range->begin, range->slots))
        return false;
    return buffer_append(&writer->stripe_definition, data->definition_levels + range->begin, range->slots);
}

static bool append_values(struct column_writer *writer, const struct parquet_column_data *data,
                          const struct slot_range *range) {
    uint32_t width = writer->column->width;
    if (writer->column->type == PARQUET_TYPE_BYTE_ARRAY) return append_bytes(writer, data, range);
    if (writer->column->type == PARQUET_TYPE_BOOLEAN)
        return append_bits(&writer->stripe_values, writer->stripe_slots, data->values, range);
    return buffer_append(&writer->stripe_values, (const uint8_t *)data->values + range->begin * width,
                         (size_t)range->slots * width);
}

/* Whether the stripe's raw bytes still fit into one page. */
static bool has_room(const struct column_writer *writer, const struct parquet_column_data *data,
                     const struct slot_range *range) {
    uint64_t size = (uint64_t)range->slots * writer->column->width;
    if (writer->column->type == PARQUET_TYPE_BYTE_ARRAY) {
        uint32_t first = data->offsets[range->begin], end = data->offsets[range->begin + range->slots];
        if (end < first) return false;
        size = end - first;
    }
    return writer->stripe_values.size + size <= PARQUET_PAGE_BYTES_MAX;
}

enum plinth_status column_writer_append(struct column_writer *writer, const struct parquet_column_data *data,
                                        uint32_t rows, struct plinth_error *error) {
    const struct parquet_column *column = writer->column;
    struct slot_range range;
    enum plinth_status st = take_slots(writer, data, rows, &range, error);
    if (st) return st;
    if (!has_room(writer, data, &range))
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: more than %d bytes in a stripe", column->path,
                         PARQUET_PAGE_BYTES_MAX);
    bool is_ok = append_values(writer, data, &range);
    if (parquet_column_has_levels(column))
        is_ok = is_ok && append_levels(writer, data, &range);
    else if (column->definition_level_max > 0)
        is_ok = is_ok && append_validity(writer, data->validity, &range);
    if (!is_ok) return error_no_memory(error, "Parquet stripe");
    writer->stripe_rows += rows;
    writer->stripe_slots += range.slots;
    return PLINTH_OK;
}

static enum plinth_status write_page(struct column_writer *writer, const struct parquet_column_data *data,
                                     const struct slot_range *range, struct encode_scratch *scratch,
                                     struct arena *index_arena, struct plinth_error *error) {
    enum plinth_status st = begin_chunk(writer, error);
    if (!st) st = page_write(writer, data, range, scratch, index_arena, error);
    if (st) error_prefix(error, "column %.100s", writer->column->path);
    return st;
}

enum plinth_status column_writer_end_stripe(struct column_writer *writer, struct encode_scratch *scratch,
                                            struct arena *index_arena, struct plinth_error *error) {
    struct slot_range range = {0, writer->stripe_rows, writer->stripe_slots};
    if (range.rows == 0) return PLINTH_OK;
    struct parquet_column_data data = {.rows = range.rows,
                                       .slots = range.slots,
                                       .validity = writer->stripe_nulls ? writer->stripe_validity.data : NULL,
                                       .values = writer->stripe_values.data,
                                       .offsets = (const uint32_t *)(void *)writer->stripe_offsets.data,
                                       .bytes = writer->stripe_values.data,
                                       .definition_levels = writer->stripe_definition.data,
                                       .repetition_levels = writer->stripe_repetition.data};
    writer->stripe_rows = writer->stripe_slots = 0;
    writer->stripe_nulls = 0;
    enum plinth_status st = write_page(writer, &data, &range, scratch, index_arena, error);
    buffer_clear(&writer->stripe_values);
    buffer_clear(&writer->stripe_offsets);
    buffer_clear(&writer->stripe_validity);
    buffer_clear(&writer->stripe_definition);
    buffer_clear(&writer->stripe_repetition);
    return st;
}

enum plinth_status column_writer_write_page(struct column_writer *writer, const struct parquet_column_data *data,
                                            uint32_t rows, struct encode_scratch *scratch, struct arena *index_arena,
                                            struct plinth_error *error) {
    struct slot_range range;
    enum plinth_status st = take_slots(writer, data, rows, &range, error);
    return st ? st : write_page(writer, data, &range, scratch, index_arena, error);
}

/* ---- The chunk ---- */

/* A filter for as many values as there were hashes (repeated neighbours counted once). */
static enum plinth_status make_bloom(struct column_writer *writer, struct plinth_error *error) {
    size_t count = writer->hashes.size / sizeof(uint64_t);
    if (!writer->options.bloom || writer->options.bloom_distinct > 0) return PLINTH_OK;
    uint64_t distinct = count;
    if (writer->dictionary_pages > 0 && writer->plain_pages == 0) distinct = writer->dictionary.count;
    enum plinth_status st = parquet_bloom_init(&writer->bloom, distinct, writer->options.bloom_bits, error);
    for (size_t i = 0; !st && i < count; i++)
        parquet_bloom_insert_hash(&writer->bloom, load_u64(writer->hashes.data + i * sizeof(uint64_t)));
    return st;
}

enum plinth_status column_writer_end_chunk(struct column_writer *writer, struct encode_scratch *scratch,
                                           struct plinth_error *error) {
    enum plinth_status st = make_bloom(writer, error);
    if (!st && writer->dictionary_pages > 0) st = page_write_dictionary(writer, scratch, error);
    if (st) error_prefix(error, "column %.100s", writer->column->path);
    return st;
}
