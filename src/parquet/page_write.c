/* From rows to the bytes of a page. See page_write.h. */
#include "parquet/page_write.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/crc32.h"
#include "parquet/encoding_delta.h"
#include "parquet/encoding_rle.h"
#include "parquet/encoding_split.h"

/* A dictionary is judged by the values of this many rows; it must then have less than half as many entries. */
enum { DICTIONARY_TRIAL_ROWS = 8192 };

/* ---- Values without their nulls ---- */

static bool dense_fixed(const uint8_t *values, const uint8_t *validity, uint64_t begin, uint32_t rows, uint32_t width,
                        struct buffer *dense) {
    buffer_clear(dense);
    if (!buffer_reserve(dense, (size_t)rows * width)) return false;
    uint8_t *to = dense->data;
    for (uint32_t i = 0; i < rows; i++) {
        if (!bitmap_get(validity, begin + i)) continue;
        memcpy(to, values + (begin + i) * width, width);
        to += width;
    }
    dense->size = (size_t)(to - dense->data);
    return true;
}

static bool dense_bits(const uint8_t *values, const uint8_t *validity, uint64_t begin, uint32_t rows,
                       struct buffer *dense) {
    buffer_clear(dense);
    if (!buffer_append_zeros(dense, (size_t)bits_bytes(rows, 1))) return false;
    if (!validity) {
        bitmap_copy(dense->data, 0, values, begin, rows);
        return true;
    }
    uint64_t to = 0;
    for (uint32_t i = 0; i < rows; i++) {
        if (!bitmap_get(validity, begin + i)) continue;
        if (bitmap_get(values, begin + i)) bitmap_set(dense->data, to);
        to++;
    }
    return true;
}

/* The bytes themselves are copied only when a null has bytes, which must not be written. */
static bool dense_bytes(const struct parquet_column_data *data, uint64_t begin, uint32_t rows,
                        struct encode_scratch *scratch, struct bytes_view *view) {
    const uint32_t *offsets = data->offsets + begin;
    bool nulls_have_bytes = false;
    buffer_clear(&scratch->offsets);
    buffer_clear(&scratch->dense);
    if (!buffer_reserve(&scratch->offsets, ((size_t)rows + 1) * sizeof(uint32_t))) return false;
    uint32_t *to = (uint32_t *)(void *)scratch->offsets.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows; i++) {
        to[count] = offsets[i];
        if (bitmap_get(data->validity, begin + i))
            count++;
        else
            nulls_have_bytes |= offsets[i + 1] != offsets[i];
    }
    to[count] = offsets[rows];
    view->offsets = to;
    view->bytes = data->bytes;
    if (!nulls_have_bytes) return true;
    count = 0;
    for (uint32_t i = 0; i < rows; i++) {
        if (!bitmap_get(data->validity, begin + i)) continue;
        to[count++] = (uint32_t)scratch->dense.size;
        if (!buffer_append(&scratch->dense, data->bytes + offsets[i], offsets[i + 1] - offsets[i])) return false;
    }
    to[count] = (uint32_t)scratch->dense.size;
    view->bytes = scratch->dense.data;
    return true;
}

/* The values that are not null: in the caller's memory where possible. BOOLEAN becomes a bitmap. */
static bool make_dense(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t begin,
                       uint32_t rows, uint32_t nulls, struct encode_scratch *scratch, struct bytes_view *view) {
    const uint8_t *validity = nulls ? data->validity : NULL;
    *view = (struct bytes_view){.width = column->width, .count = rows - nulls};
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) {
        view->offsets = data->offsets + begin;
        view->bytes = data->bytes;
        bool ok = !validity || dense_bytes(data, begin, rows, scratch, view);
        if (!view->bytes) view->bytes = (const uint8_t *)""; /* no bytes at all */
        return ok;
    }
    if (column->type == PARQUET_TYPE_BOOLEAN) {
        view->bytes = data->values;
        if (!validity && begin == 0) return true;
        if (!dense_bits(data->values, validity, begin, rows, &scratch->dense)) return false;
        view->bytes = scratch->dense.data;
        return true;
    }
    view->bytes = (const uint8_t *)data->values + begin * column->width;
    if (!validity) return true;
    if (!dense_fixed(data->values, validity, begin, rows, column->width, &scratch->dense)) return false;
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
    uint64_t values_seen = writer->rows - writer->null_count + values->count;
    if (dictionary_bytes(&writer->dictionary) > writer->options.dictionary_bytes_max ||
        (values_seen >= DICTIONARY_TRIAL_ROWS && writer->dictionary.count > values_seen / 2)) {
        dictionary_cut(&writer->dictionary, before);
        writer->uses_dictionary = false;
        return true;
    }
    unsigned width = bits_width_u64(writer->dictionary.count ? writer->dictionary.count - 1 : 0);
    return buffer_append_u8(&scratch->values, (uint8_t)width) &&
           rle_encode_u32(indices, values->count, width, &scratch->values);
}

static bool encode(struct column_writer *writer, const struct bytes_view *values, struct encode_scratch *scratch,
                   enum parquet_encoding *encoding) {
    buffer_clear(&scratch->values);
    *encoding = PARQUET_ENCODING_RLE_DICTIONARY;
    if (writer->uses_dictionary && !encode_by_dictionary(writer, values, scratch)) return false;
    if (writer->uses_dictionary) return true;
    *encoding = writer->options.encoding;
    return encode_values(*encoding, writer->column->type, values, scratch);
}

/* ---- Page ---- */

/* Puts header and body (`prefix` uncompressed, then `content` compressed when `is_compressed`) together. */
static enum plinth_status append_page(const struct column_writer *writer, struct parquet_page_header *header,
                                      struct slice prefix, struct slice content, bool may_leave_uncompressed,
                                      struct encode_scratch *scratch, struct buffer *out, struct plinth_error *error) {
    struct buffer *body = &scratch->body;
    header->uncompressed_bytes = (uint32_t)(prefix.size + content.size);
    header->is_compressed = writer->options.codec != PARQUET_CODEC_UNCOMPRESSED;
    buffer_clear(body);
    if (prefix.size && !buffer_append(body, prefix.data, prefix.size)) return error_no_memory(error, "Parquet page");
    if (header->is_compressed) {
        enum plinth_status st =
            codec_compress(&scratch->codec, writer->options.codec, writer->options.codec_level, content, body, error);
        if (st) return st;
        if (may_leave_uncompressed && body->size - prefix.size >= content.size) {
            header->is_compressed = false;
            body->size = prefix.size;
        }
    }
    if (!header->is_compressed && content.size && !buffer_append(body, content.data, content.size))
        return error_no_memory(error, "Parquet page");
    header->compressed_bytes = (uint32_t)body->size;
    header->has_crc = writer->has_checksums;
    if (header->has_crc) header->crc = crc32_of(body->data, body->size);
    if (!page_header_encode(header, out) || (body->size && !buffer_append(out, body->data, body->size)))
        return error_no_memory(error, "Parquet page");
    return PLINTH_OK;
}

/* Definition levels of an OPTIONAL column; in v1 with their length before them. */
static bool encode_levels(const struct column_writer *writer, const uint8_t *validity, uint64_t begin, uint32_t rows,
                          struct buffer *levels) {
    bool has_length = writer->data_page_version == 1;
    buffer_clear(levels);
    if (writer->column->definition_level_max == 0) return true;
    if (has_length && !buffer_append_u32(levels, 0)) return false;
    if (!rle_encode_bitmap(validity, begin, rows, levels)) return false;
    if (has_length) store_u32(levels->data, (uint32_t)(levels->size - 4));
    return true;
}

static enum plinth_status append_data_page(struct column_writer *writer, enum parquet_encoding encoding, uint32_t rows,
                                           uint32_t nulls, struct encode_scratch *scratch, struct plinth_error *error) {
    bool is_v2 = writer->data_page_version == 2;
    struct parquet_page_header header = {.type = is_v2 ? PARQUET_PAGE_DATA_V2 : PARQUET_PAGE_DATA,
                                         .value_count = rows,
                                         .encoding = encoding,
                                         .definition_encoding = PARQUET_ENCODING_RLE,
                                         .repetition_encoding = PARQUET_ENCODING_RLE,
                                         .null_count = nulls,
                                         .row_count = rows,
                                         .definition_bytes = (uint32_t)scratch->levels.size};
    struct slice levels = buffer_slice(&scratch->levels), values = buffer_slice(&scratch->values);
    size_t before = writer->pages.size;
    enum plinth_status st;
    if (!is_v2 && levels.size > 0) { /* v1: levels and values are compressed as one */
        if (!buffer_append(&scratch->levels, values.data ? values.data : (const uint8_t *)"", values.size))
            return error_no_memory(error, "Parquet page");
        values = buffer_slice(&scratch->levels);
        levels = slice_of(NULL, 0);
    }
    if (!is_v2) levels = slice_of(NULL, 0);
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
    struct value_bounds chunk = {writer->has_bounds, buffer_slice(&writer->min), buffer_slice(&writer->max)};
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
    if (!merge_chunk_bounds(writer, &bounds)) return false;
    return !writer->options.page_index || page_record_bounds(writer, &bounds, arena, record);
}

enum plinth_status page_write(struct column_writer *writer, const struct parquet_column_data *data, uint64_t begin,
                              uint32_t rows, struct encode_scratch *scratch, struct arena *index_arena,
                              struct plinth_error *error) {
    const struct parquet_column *column = writer->column;
    const uint8_t *validity = column->definition_level_max > 0 ? data->validity : NULL;
    uint32_t nulls = validity ? rows - (uint32_t)bitmap_count(validity, begin, rows) : 0;
    struct page_record record = {.location = {.offset = writer->pages.size, .first_row = writer->rows},
                                 .bounds = {.is_null_page = nulls == rows, .null_count = nulls}};
    struct bytes_view values;
    enum parquet_encoding encoding;
    if (!make_dense(column, data, begin, rows, nulls, scratch, &values)) return error_no_memory(error, "Parquet page");
    uint64_t raw = values.offsets ? values.offsets[values.count] - values.offsets[0] : 0;
    if (raw + (uint64_t)rows * (column->width + 4) > PARQUET_PAGE_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "more than %d bytes in a stripe", PARQUET_PAGE_BYTES_MAX);
    record.unencoded_bytes = raw;
    if (!collect_statistics(writer, &values, index_arena, &record) || !add_to_bloom(writer, &values) ||
        !encode(writer, &values, scratch, &encoding) ||
        !encode_levels(writer, nulls ? validity : NULL, begin, rows, &scratch->levels))
        return error_no_memory(error, "Parquet page");
    enum plinth_status st = append_data_page(writer, encoding, rows, nulls, scratch, error);
    if (st) return st;
    record.location.bytes = (uint32_t)(writer->pages.size - record.location.offset);
    if (!buffer_append(&writer->records, &record, sizeof record)) return error_no_memory(error, "Parquet page");
    writer->rows += rows;
    writer->null_count += nulls;
    writer->unencoded_bytes += raw;
    writer->encodings |= 1u << encoding;
    if (encoding == PARQUET_ENCODING_RLE_DICTIONARY)
        writer->dictionary_pages++;
    else
        writer->plain_pages++;
    if (column->definition_level_max > 0) writer->encodings |= 1u << PARQUET_ENCODING_RLE;
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
    enum plinth_status st = append_page(writer, &header, slice_of(NULL, 0), buffer_slice(&scratch->values), false,
                                        scratch, &writer->dictionary_page, error);
    if (st) return st;
    size_t header_bytes = writer->dictionary_page.size - header.compressed_bytes;
    writer->uncompressed_bytes += header_bytes + header.uncompressed_bytes;
    writer->encodings |= 1u << PARQUET_ENCODING_PLAIN;
    return PLINTH_OK;
}
