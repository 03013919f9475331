/* From rows to the bytes of a page. See page_write.h. */
#include "parquet/page_write.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/crc32.h"
#include "parquet/encoding_delta.h"
#include "parquet/encoding_rle.h"
#include "parquet/encoding_split.h"
#include "parquet/levels.h"
#include "parquet/nulls.h"

/* A dictionary is judged by the first values of this many slots; it must then have less than half as many entries. */
enum { DICTIONARY_TRIAL_SLOTS = 8192 };
/* A compressed page must save this part (one in so many) of its bytes. */
enum { COMPRESSION_SAVES_MIN = 32 };
/* Pieces of a page of fewer bytes are not worth codes of their own. */
enum { CUT_BYTES_MIN = 1024 };
/* After so many pages of an encoding that do not compress, only one in so many is tried. */
enum { INCOMPRESSIBLE_PAGES = 2, INCOMPRESSIBLE_TRY_EVERY = 8 };

/* The slots of a page, and which of them have values. */
struct page_slots {
    const struct parquet_column_data *data;
    uint64_t begin;
    uint32_t count;
    uint32_t nulls;
    const uint8_t *validity; /* null: there are no nulls */
    uint64_t validity_begin; /* the bit of the first slot */
};

static inline bool has_value(const struct page_slots *slots, uint32_t i) {
    return bitmap_get(slots->validity, slots->validity_begin + i);
}

static bool find_nulls(const struct parquet_column *column, struct encode_scratch *scratch, struct page_slots *slots) {
    slots->validity = NULL;
    if (parquet_column_has_levels(column)) {
        buffer_clear(&scratch->validity);
        if (!buffer_reserve(&scratch->validity, (size_t)bits_bytes(slots->count, 1))) return false;
        levels_equal(slots->data->definition_levels + slots->begin, slots->count, column->definition_level_max,
                     scratch->validity.data);
        slots->validity = scratch->validity.data;
        slots->validity_begin = 0;
    } else if (column->definition_level_max > 0) {
        slots->validity = slots->data->validity;
        slots->validity_begin = slots->begin;
    }
    slots->nulls = 0;
    if (slots->validity)
        slots->nulls = slots->count - (uint32_t)bits_count(slots->validity, slots->validity_begin, slots->count);
    if (slots->nulls == 0) slots->validity = NULL;
    return true;
}

/* ---- Values without their nulls ---- */

static bool dense_fixed(const struct page_slots *slots, uint32_t width, struct buffer *dense) {
    const uint8_t *from = (const uint8_t *)slots->data->values + slots->begin * width;
    buffer_clear(dense);
    if (!buffer_reserve(dense, (size_t)slots->count * width + NULLS_SLACK)) return false;
    dense->size =
        (size_t)nulls_gather(from, slots->count, width, slots->validity, slots->validity_begin, dense->data) * width;
    return true;
}

static bool dense_bits(const struct page_slots *slots, struct buffer *dense) {
    const uint8_t *values = slots->data->values;
    buffer_clear(dense);
    if (!buffer_append_zeros(dense, (size_t)bits_bytes(slots->count, 1))) return false;
    if (!slots->validity) {
        bits_copy(dense->data, 0, values, slots->begin, slots->count);
        return true;
    }
    uint64_t to = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        if (!has_value(slots, i)) continue;
        if (bitmap_get(values, slots->begin + i)) bitmap_set(dense->data, to);
        to++;
    }
    return true;
}

/* The bytes themselves are copied only when a null has bytes, which must not be written. */
static bool dense_bytes(const struct page_slots *slots, struct encode_scratch *scratch, struct bytes_view *view) {
    const uint32_t *offsets = slots->data->offsets + slots->begin;
    uint32_t bytes_of_nulls = 0;
    buffer_clear(&scratch->offsets);
    buffer_clear(&scratch->dense);
    if (!buffer_reserve(&scratch->offsets, ((size_t)slots->count + 1) * sizeof(uint32_t))) return false;
    uint32_t *to = (uint32_t *)(void *)scratch->offsets.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        uint32_t is_there = has_value(slots, i);
        to[count] = offsets[i];
        count += is_there;
        bytes_of_nulls |= (is_there - 1) & (offsets[i + 1] - offsets[i]);
    }
    to[count] = offsets[slots->count];
    view->offsets = to;
    if (bytes_of_nulls == 0) return true;
    const uint8_t *end = view->bytes + offsets[slots->count];
    if (!buffer_reserve(&scratch->dense, offsets[slots->count] - offsets[0] + COPY_SLACK)) return false;
    uint32_t size = 0;
    count = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        if (!has_value(slots, i)) continue;
        to[count++] = size;
        copy_within(scratch->dense.data + size, view->bytes + offsets[i], offsets[i + 1] - offsets[i], end);
        size += offsets[i + 1] - offsets[i];
    }
    to[count] = size;
    scratch->dense.size = size;
    view->bytes = scratch->dense.data;
    return true;
}

/* The values that are not null: in the caller's memory where possible. BOOLEAN becomes a bitmap. */
static bool make_dense(const struct parquet_column *column, const struct page_slots *slots,
                       struct encode_scratch *scratch, struct bytes_view *view) {
    const struct parquet_column_data *data = slots->data;
    *view = (struct bytes_view){.width = column->width, .count = slots->count - slots->nulls};
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) {
        view->offsets = data->offsets + slots->begin;
        view->bytes = data->bytes;
        bool ok = !slots->validity || dense_bytes(slots, scratch, view);
        if (!view->bytes) view->bytes = (const uint8_t *)""; /* no bytes at all */
        return ok;
    }
    if (column->type == PARQUET_TYPE_BOOLEAN) {
        view->bytes = data->values;
        if (!slots->validity && slots->begin == 0) return true;
        if (!dense_bits(slots, &scratch->dense)) return false;
        view->bytes = scratch->dense.data;
        return true;
    }
    view->bytes = (const uint8_t *)data->values + slots->begin * column->width;
    if (!slots->validity) return true;
    if (!dense_fixed(slots, column->width, &scratch->dense)) return false;
    view->bytes = scratch->dense.data;
    return true;
}

/* ---- Bloom filter ---- */

static bool add_to_bloom(struct column_writer *writer, const struct bytes_view *values) {
    bool is_sized = writer->options.bloom_distinct > 0;
    uint64_t last = 0;
    if (!writer->options.bloom) return true;
    if (!is_sized && !buffer_reserve(&writer->hashes, values->count * sizeof(uint64_t))) return false;
    for (uint32_t i = 0; i < values->count; i++) {
        uint64_t hash = parquet_bloom_hash(bytes_view_at(values, i));
        if (i > 0 && hash == last) continue;
        last = hash;
        if (is_sized) {
            parquet_bloom_insert_hash(&writer->bloom, hash);
        } else {
            store_u64(writer->hashes.data + writer->hashes.size, hash);
            writer->hashes.size += sizeof hash;
        }
    }
    return true;
}

/* ---- Encoding ---- */

static bool encode_fixed(enum parquet_encoding encoding, enum parquet_type type, const struct bytes_view *values,
                         struct encode_scratch *scratch) {
    struct buffer *out = &scratch->values;
    size_t size = (size_t)values->count * values->width;
    switch (encoding) {
    case PARQUET_ENCODING_DELTA_BINARY_PACKED:
        /* The caller's arrays are typed; dense copies come from malloc. */
        if (type == PARQUET_TYPE_INT32)
            return delta_encode_i32((const int32_t *)(const void *)values->bytes, values->count, out);
        return delta_encode_i64((const int64_t *)(const void *)values->bytes, values->count, out);
    case PARQUET_ENCODING_DELTA_BYTE_ARRAY: return delta_bytes_encode(values, &scratch->integers, out);
    case PARQUET_ENCODING_BYTE_STREAM_SPLIT:
        if (!buffer_reserve(out, size + 1)) return false;
        split_encode(values->bytes, values->count, values->width, out->data);
        out->size = size;
        return true;
    default: return size == 0 || buffer_append(out, values->bytes, size);
    }
}

static bool encode_boolean(enum parquet_encoding encoding, const struct bytes_view *values, struct buffer *out) {
    size_t bytes = (size_t)bits_bytes(values->count, 1);
    if (encoding == PARQUET_ENCODING_RLE) {
        if (!buffer_append_u32(out, 0) || !rle_encode_bitmap(values->bytes, 0, values->count, out)) return false;
        store_u32(out->data, (uint32_t)(out->size - 4));
        return true;
    }
    if (bytes == 0) return true;
    if (!buffer_append(out, values->bytes, bytes)) return false;
    if (values->count & 7) out->data[bytes - 1] &= (uint8_t)((1u << (values->count & 7)) - 1);
    return true;
}

/* Where the encoded values change their kind: the next byte of numbers, bytes behind their lengths. */
static void note_cuts(enum parquet_encoding encoding, const struct bytes_view *values, struct encode_scratch *scratch) {
    struct codec_cuts *cuts = &scratch->cuts;
    size_t size = scratch->values.size, bytes = 0;
    if (encoding == PARQUET_ENCODING_BYTE_STREAM_SPLIT) {
        bool fits = values->width <= sizeof cuts->at / sizeof *cuts->at && values->count >= CUT_BYTES_MIN;
        for (uint32_t i = 1; fits && i < values->width; i++) cuts->at[cuts->count++] = (size_t)i * values->count;
    } else if (encoding == PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY) {
        bytes = values->count ? values->offsets[values->count] - values->offsets[0] : 0;
    } else if (encoding == PARQUET_ENCODING_DELTA_BYTE_ARRAY) {
        const int32_t *suffixes = (const int32_t *)(const void *)scratch->integers.data + values->count;
        for (uint32_t i = 0; i < values->count; i++) bytes += (size_t)suffixes[i];
    }
    if (bytes >= CUT_BYTES_MIN && size - bytes >= CUT_BYTES_MIN) cuts->at[cuts->count++] = size - bytes;
}

static bool encode_values(enum parquet_encoding encoding, enum parquet_type type, const struct bytes_view *values,
                          struct encode_scratch *scratch) {
    if (type == PARQUET_TYPE_BOOLEAN) return encode_boolean(encoding, values, &scratch->values);
    if (type != PARQUET_TYPE_BYTE_ARRAY) return encode_fixed(encoding, type, values, scratch);
    switch (encoding) {
    case PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY:
        return delta_length_encode(values, &scratch->integers, &scratch->values);
    case PARQUET_ENCODING_DELTA_BYTE_ARRAY: return delta_bytes_encode(values, &scratch->integers, &scratch->values);
    default: return plain_bytes_encode(values, &scratch->values);
    }
}

/* Encodes by the dictionary. When that has grown too large or saves nothing, it is left as it was before this page
 * and `writer->uses_dictionary` becomes false. */
static bool encode_by_dictionary(struct column_writer *writer, const struct bytes_view *values,
                                 struct encode_scratch *scratch) {
    uint32_t before = writer->dictionary.count;
    buffer_clear(&scratch->integers);
    if (!buffer_reserve(&scratch->integers, values->count * sizeof(uint32_t) + 1)) return false;
    uint32_t *indices = (uint32_t *)(void *)scratch->integers.data;
    if (!dictionary_add(&writer->dictionary, values, indices)) return false;
    uint64_t values_seen = writer->slots - writer->null_count + values->count;
    if (dictionary_bytes(&writer->dictionary) > writer->options.dictionary_bytes_max ||
        (!writer->options.dictionary_pays && values_seen >= DICTIONARY_TRIAL_SLOTS &&
         writer->dictionary.count > values_seen / 2)) {
        dictionary_cut(&writer->dictionary, before);
        writer->uses_dictionary = false;
        return true;
    }
    unsigned width = bits_width_u64(writer->dictionary.count ? writer->dictionary.count - 1 : 0);
    if (writer->options.dictionary_aligned) width = (width + 7) & ~7u;
    return buffer_append_u8(&scratch->values, (uint8_t)width) &&
           rle_encode_u32(indices, values->count, width, &scratch->values);
}

/* Encodes the values into scratch->values, or leaves PLAIN ones where they are. */
static bool encode(struct column_writer *writer, const struct bytes_view *values, struct encode_scratch *scratch,
                   enum parquet_encoding *encoding, struct slice *encoded) {
    *encoded = slice_of(NULL, 0);
    buffer_clear(&scratch->values);
    scratch->cuts.count = 0;
    *encoding = PARQUET_ENCODING_RLE_DICTIONARY;
    if (writer->uses_dictionary && !encode_by_dictionary(writer, values, scratch)) return false;
    if (!writer->uses_dictionary) {
        *encoding = writer->options.encoding;
        if (*encoding == PARQUET_ENCODING_PLAIN && writer->column->width) {
            *encoded = slice_of(values->bytes, (size_t)values->count * values->width);
            return true;
        }
        if (!encode_values(*encoding, writer->column->type, values, scratch)) return false;
        note_cuts(*encoding, values, scratch);
    }
    *encoded = buffer_slice(&scratch->values);
    return true;
}

/* ---- Page ---- */

/* Counts the page as one that does not compress, which is taken back when it does. */
static bool is_worth_trying(struct column_writer *writer, enum parquet_encoding encoding) {
    if (encoding != writer->compressed_encoding) writer->incompressible_pages = 0;
    writer->compressed_encoding = encoding;
    uint32_t before = writer->incompressible_pages++;
    return before < INCOMPRESSIBLE_PAGES || (before - INCOMPRESSIBLE_PAGES) % INCOMPRESSIBLE_TRY_EVERY == 0;
}

/* Compresses `content` into scratch->body, unless it is not to be, or may stay as it is and would save so little that
 * decompressing it again and again is not worth it. */
static enum plinth_status compress(struct column_writer *writer, struct parquet_page_header *header,
                                   bool may_leave_uncompressed, struct encode_scratch *scratch, struct slice *content,
                                   struct plinth_error *error) {
    header->is_compressed = writer->options.codec != PARQUET_CODEC_UNCOMPRESSED;
    if (!header->is_compressed) return PLINTH_OK;
    if (may_leave_uncompressed && !is_worth_trying(writer, header->encoding)) {
        header->is_compressed = false;
        return PLINTH_OK;
    }
    buffer_clear(&scratch->body);
    enum plinth_status st = codec_compress_cut(&scratch->codec, writer->options.codec, writer->options.codec_level,
                                               *content, &scratch->cuts, &scratch->body, error);
    if (st) return st;
    if (may_leave_uncompressed && scratch->body.size >= content->size - content->size / COMPRESSION_SAVES_MIN) {
        header->is_compressed = false;
        return PLINTH_OK;
    }
    *content = buffer_slice(&scratch->body);
    if (may_leave_uncompressed) writer->incompressible_pages = 0;
    return PLINTH_OK;
}

/* Puts header and body (`prefix` uncompressed, then `content` compressed) together. */
static enum plinth_status append_page(struct column_writer *writer, struct parquet_page_header *header,
                                      struct slice prefix, struct slice content, bool may_leave_uncompressed,
                                      struct encode_scratch *scratch, struct buffer *out, struct plinth_error *error) {
    header->uncompressed_bytes = (uint32_t)(prefix.size + content.size);
    enum plinth_status st = compress(writer, header, may_leave_uncompressed, scratch, &content, error);
    if (st) return st;
    header->compressed_bytes = (uint32_t)(prefix.size + content.size);
    header->has_crc = writer->has_checksums;
    if (header->has_crc) header->crc = crc32_extend(crc32_of(prefix.data, prefix.size), content.data, content.size);
    if (!page_header_encode(header, out) || !buffer_append(out, prefix.data, prefix.size) ||
        !buffer_append(out, content.data, content.size))
        return error_no_memory(error, "Parquet page");
    return PLINTH_OK;
}

/* Appends one kind of levels to `levels`; in v1 with their length before them. */
static bool put_levels(const struct column_writer *writer, const struct page_slots *slots, const uint8_t *of_slots,
                       uint8_t level_max, struct buffer *levels) {
    bool has_length = writer->data_page_version == 1, is_ok;
    size_t begin = levels->size;
    if (level_max == 0) return true;
    if (has_length && !buffer_append_u32(levels, 0)) return false;
    if (of_slots)
        is_ok = rle_encode_levels(of_slots + slots->begin, slots->count, level_max, levels);
    else
        is_ok = rle_encode_bitmap(slots->validity, slots->validity_begin, slots->count, levels);
    if (is_ok && has_length) store_u32(levels->data + begin, (uint32_t)(levels->size - begin - 4));
    return is_ok;
}

/* Repetition, then definition levels; the latter are the validity where no column above can be missing. */
static bool encode_levels(const struct column_writer *writer, const struct page_slots *slots, struct buffer *levels,
                          size_t *repetition_bytes) {
    const struct parquet_column *column = writer->column;
    const uint8_t *definition = parquet_column_has_levels(column) ? slots->data->definition_levels : NULL;
    buffer_clear(levels);
    if (!put_levels(writer, slots, slots->data->repetition_levels, column->repetition_level_max, levels)) return false;
    *repetition_bytes = levels->size;
    return put_levels(writer, slots, definition, column->definition_level_max, levels);
}

static enum plinth_status append_data_page(struct column_writer *writer, enum parquet_encoding encoding, uint32_t rows,
                                           const struct page_slots *slots, size_t repetition_bytes, struct slice values,
                                           struct encode_scratch *scratch, struct plinth_error *error) {
    bool is_v2 = writer->data_page_version == 2;
    struct parquet_page_header header = {.type = is_v2 ? PARQUET_PAGE_DATA_V2 : PARQUET_PAGE_DATA,
                                         .value_count = slots->count,
                                         .encoding = encoding,
                                         .definition_encoding = PARQUET_ENCODING_RLE,
                                         .repetition_encoding = PARQUET_ENCODING_RLE,
                                         .null_count = slots->nulls,
                                         .row_count = rows,
                                         .definition_bytes = (uint32_t)(scratch->levels.size - repetition_bytes),
                                         .repetition_bytes = (uint32_t)repetition_bytes};
    struct slice levels = buffer_slice(&scratch->levels);
    size_t before = writer->pages.size;
    enum plinth_status st;
    bool compresses = writer->options.codec != PARQUET_CODEC_UNCOMPRESSED;
    if (!is_v2 && compresses && levels.size > 0) { /* v1: levels and values are compressed as one */
        if (!buffer_append(&scratch->levels, values.data, values.size)) return error_no_memory(error, "Parquet page");
        scratch->cuts.count = 0;
        values = buffer_slice(&scratch->levels);
        levels = slice_of(NULL, 0);
    }
    st = append_page(writer, &header, levels, values, is_v2, scratch, &writer->pages, error);
    if (st) return st;
    size_t header_bytes = writer->pages.size - before - header.compressed_bytes;
    writer->uncompressed_bytes += header_bytes + header.uncompressed_bytes;
    return PLINTH_OK;
}

/* ---- Statistics ---- */

static bool is_utf8(const struct parquet_column *column) {
    return column->logical.kind == PARQUET_LOGICAL_STRING || column->logical.kind == PARQUET_LOGICAL_ENUM ||
           column->logical.kind == PARQUET_LOGICAL_JSON;
}

static bool keep_chunk_bound(struct buffer *bound, struct slice value) {
    if (bound->data == value.data && bound->size == value.size) return true;
    buffer_clear(bound);
    return value.size == 0 || buffer_append(bound, value.data, value.size);
}

static bool merge_chunk_bounds(struct column_writer *writer, const struct value_bounds *page) {
    struct value_bounds chunk = {writer->has_bounds, buffer_slice(&writer->min), buffer_slice(&writer->max), 0};
    writer->nan_count += page->nan_count;
    if (!page->has) return true;
    statistics_merge(writer->order, &chunk, page);
    writer->has_bounds = true;
    return keep_chunk_bound(&writer->min, chunk.min) && keep_chunk_bound(&writer->max, chunk.max);
}

bool page_record_bounds(const struct column_writer *writer, const struct value_bounds *bounds, struct arena *arena,
                        struct page_record *record) {
    if (!bounds->has) return true;
    uint32_t most = writer->order == PARQUET_ORDER_BYTES && writer->column->type == PARQUET_TYPE_BYTE_ARRAY
                        ? writer->options.statistics_bytes_max
                        : UINT32_MAX;
    struct slice min = statistics_truncate_min(bounds->min, most, is_utf8(writer->column));
    uint8_t *min_copy = arena_copy(arena, min), *max_copy = arena_copy(arena, bounds->max);
    if (!min_copy || !max_copy) return false;
    size_t max_size = statistics_truncate_max(max_copy, bounds->max.size, most, is_utf8(writer->column));
    record->bounds.min = slice_of(min_copy, min.size);
    record->bounds.max = slice_of(max_copy, max_size);
    record->has_bounds = true;
    return true;
}

static bool collect_statistics(struct column_writer *writer, const struct bytes_view *values, struct arena *arena,
                               struct page_record *record) {
    if (!writer->options.statistics) return true;
    struct value_bounds bounds = statistics_bounds(writer->order, values);
    record->bounds.nan_count = bounds.nan_count;
    if (!merge_chunk_bounds(writer, &bounds)) return false;
    return !writer->options.page_index || page_record_bounds(writer, &bounds, arena, record);
}

static bool count_levels(struct column_writer *writer, const struct page_slots *slots) {
    uint32_t repetition = column_writer_repetition_counts(writer), definition = column_writer_definition_counts(writer);
    struct buffer *counts = &writer->level_counts;
    size_t before = counts->size;
    if (repetition + definition == 0) return true;
    if (!buffer_append_zeros(counts, (repetition + definition) * sizeof(uint64_t))) return false;
    uint64_t *page = (uint64_t *)(void *)(counts->data + before);
    if (repetition > 0)
        levels_add_counts(slots->data->repetition_levels + slots->begin, slots->count, (uint8_t)(repetition - 1), page);
    if (definition > 0)
        levels_add_counts(slots->data->definition_levels + slots->begin, slots->count, (uint8_t)(definition - 1),
                          page + repetition);
    return true;
}

static void count_page(struct column_writer *writer, const struct slot_range *range, uint32_t nulls,
                       uint64_t unencoded_bytes, enum parquet_encoding encoding) {
    writer->rows += range->rows;
    writer->slots += range->slots;
    writer->null_count += nulls;
    writer->unencoded_bytes += unencoded_bytes;
    writer->encodings |= 1u << encoding;
    if (encoding == PARQUET_ENCODING_RLE_DICTIONARY)
        writer->dictionary_pages++;
    else
        writer->plain_pages++;
    if (writer->column->definition_level_max > 0) writer->encodings |= 1u << PARQUET_ENCODING_RLE;
}

enum plinth_status page_write(struct column_writer *writer, const struct parquet_column_data *data,
                              const struct slot_range *range, struct encode_scratch *scratch, struct arena *index_arena,
                              struct plinth_error *error) {
    const struct parquet_column *column = writer->column;
    struct page_slots slots = {.data = data, .begin = range->begin, .count = range->slots};
    struct bytes_view values;
    enum parquet_encoding encoding;
    struct slice encoded;
    size_t repetition_bytes = 0;
    if (!find_nulls(column, scratch, &slots) || !make_dense(column, &slots, scratch, &values))
        return error_no_memory(error, "Parquet page");
    struct page_record record = {.location = {.offset = writer->pages.size, .first_row = writer->rows},
                                 .bounds = {.is_null_page = values.count == 0, .null_count = slots.nulls}};
    uint64_t raw = values.offsets ? values.offsets[values.count] - values.offsets[0] : 0;
    if (raw + (uint64_t)slots.count * (column->width + 4) > PARQUET_PAGE_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "more than %d bytes in a stripe", PARQUET_PAGE_BYTES_MAX);
    record.unencoded_bytes = raw;
    if (!collect_statistics(writer, &values, index_arena, &record) || !add_to_bloom(writer, &values) ||
        !count_levels(writer, &slots) || !encode(writer, &values, scratch, &encoding, &encoded) ||
        !encode_levels(writer, &slots, &scratch->levels, &repetition_bytes))
        return error_no_memory(error, "Parquet page");
    enum plinth_status st =
        append_data_page(writer, encoding, range->rows, &slots, repetition_bytes, encoded, scratch, error);
    if (st) return st;
    record.location.bytes = (uint32_t)(writer->pages.size - record.location.offset);
    if (!buffer_append(&writer->records, &record, sizeof record)) return error_no_memory(error, "Parquet page");
    count_page(writer, range, slots.nulls, raw, encoding);
    return PLINTH_OK;
}

enum plinth_status page_write_dictionary(struct column_writer *writer, struct encode_scratch *scratch,
                                         struct plinth_error *error) {
    struct bytes_view view = dictionary_view(&writer->dictionary);
    struct parquet_page_header header = {
        .type = PARQUET_PAGE_DICTIONARY, .value_count = view.count, .encoding = PARQUET_ENCODING_PLAIN};
    buffer_clear(&scratch->values);
    buffer_clear(&writer->dictionary_page);
    if (view.count > 0 && !encode_values(PARQUET_ENCODING_PLAIN, writer->column->type, &view, scratch))
        return error_no_memory(error, "Parquet dictionary");
    scratch->cuts.count = 0;
    enum plinth_status st = append_page(writer, &header, slice_of(NULL, 0), buffer_slice(&scratch->values), false,
                                        scratch, &writer->dictionary_page, error);
    if (st) return st;
    size_t header_bytes = writer->dictionary_page.size - header.compressed_bytes;
    writer->uncompressed_bytes += header_bytes + header.uncompressed_bytes;
    writer->encodings |= 1u << PARQUET_ENCODING_PLAIN;
    return PLINTH_OK;
}
