/* From the bytes of a page to rows. See page_read.h. */
#include "parquet/page_read.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/crc32.h"
#include "parquet/encoding_bytes.h"
#include "parquet/encoding_rle.h"
#include "parquet/levels.h"
#include "parquet/values_read.h"

/* The parts of a page once it is decompressed. */
struct page_parts {
    struct slice repetition;
    struct slice definition;
    struct slice values;
    bool can_borrow; /* the values' bytes outlive the decoded rows */
};

static enum plinth_status check_size(const struct page_context *context, const struct parquet_page_header *header,
                                     struct plinth_error *error) {
    uint64_t slot = context->column->width ? context->column->width : sizeof(uint32_t);
    if (parquet_column_has_levels(context->column)) slot += 2;
    uint64_t rows_bytes = ((uint64_t)header->value_count + 1) * slot;
    if (rows_bytes > context->memory_bytes_max || header->uncompressed_bytes > context->memory_bytes_max)
        return error_set(error, PLINTH_OUT_OF_MEMORY,
                         "a page of %u values in %u bytes is over the memory limit of %llu", header->value_count,
                         header->uncompressed_bytes, (unsigned long long)context->memory_bytes_max);
    return PLINTH_OK;
}

static enum plinth_status check_crc(const struct page_context *context, const struct parquet_page_header *header,
                                    struct slice body, struct plinth_error *error) {
    if (!context->check_checksums || !header->has_crc) return PLINTH_OK;
    uint32_t crc = crc32_of(body.data, body.size);
    if (crc == header->crc) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "page checksum is %08x, but the header says %08x", crc, header->crc);
}

/* Gives the `size` bytes that `in` decompresses to: in the file itself, in into->page when the decoded rows may point
 * there, else in scratch memory. */
static enum plinth_status decompress(const struct page_context *context, enum parquet_codec codec, struct slice in,
                                     size_t size, bool may_borrow, struct parquet_column_buffer *into,
                                     struct slice *out, bool *can_borrow, struct plinth_error *error) {
    *can_borrow = may_borrow;
    if (codec == PARQUET_CODEC_UNCOMPRESSED) {
        if (in.size != size)
            return error_set(error, PLINTH_CORRUPT, "an uncompressed page has %zu bytes, but its header says %zu",
                             in.size, size);
        *can_borrow = may_borrow && context->can_borrow;
        *out = in;
        return PLINTH_OK;
    }
    struct buffer *page = may_borrow ? &into->page : &context->scratch->page;
    buffer_clear(page);
    if (!buffer_reserve(page, size + COPY_SLACK)) return error_no_memory(error, "Parquet page");
    page->size = size;
    *out = slice_of(page->data, size);
    /* Some writers leave a page without values empty, whatever the codec. */
    if (size == 0 && in.size == 0) return PLINTH_OK;
    return codec_decompress(&context->scratch->codec, codec, in, page->data, size, error);
}

/* Takes the levels of a v1 page off the front of `rest`. */
static enum plinth_status take_levels(enum parquet_encoding encoding, uint8_t level_max, uint32_t count,
                                      struct slice *rest, struct slice *levels, struct plinth_error *error) {
    size_t skip = 0, size;
    *levels = slice_of(NULL, 0);
    if (level_max == 0) return PLINTH_OK;
    if (encoding == PARQUET_ENCODING_BIT_PACKED) {
        size = (size_t)bits_bytes(count, bits_width_u64(level_max));
    } else if (encoding == PARQUET_ENCODING_RLE) {
        skip = 4;
        size = rest->size >= 4 ? load_u32(rest->data) : 0;
    } else {
        return error_set(error, PLINTH_CORRUPT, "levels in encoding %s are not possible",
                         parquet_encoding_name(encoding));
    }
    if (rest->size < skip || size > rest->size - skip)
        return error_set(error, PLINTH_CORRUPT, "levels of %zu bytes in a page of %zu", size, rest->size);
    *levels = slice_of(rest->data + skip, size);
    *rest = slice_of(levels->data + size, rest->size - skip - size);
    return PLINTH_OK;
}

static enum plinth_status split_v1(const struct page_context *context, const struct parquet_page_header *header,
                                   struct slice body, struct parquet_column_buffer *into, struct page_parts *parts,
                                   struct plinth_error *error) {
    bool may_borrow = values_may_borrow(context->column, header->encoding);
    enum plinth_status st = decompress(context, context->codec, body, header->uncompressed_bytes, may_borrow, into,
                                       &parts->values, &parts->can_borrow, error);
    if (!st)
        st = take_levels(header->repetition_encoding, context->column->repetition_level_max, header->value_count,
                         &parts->values, &parts->repetition, error);
    if (!st)
        st = take_levels(header->definition_encoding, context->column->definition_level_max, header->value_count,
                         &parts->values, &parts->definition, error);
    return st;
}

static enum plinth_status split_v2(const struct page_context *context, const struct parquet_page_header *header,
                                   struct slice body, struct parquet_column_buffer *into, struct page_parts *parts,
                                   struct plinth_error *error) {
    size_t levels = (size_t)header->repetition_bytes + header->definition_bytes;
    parts->repetition = slice_of(body.data, header->repetition_bytes);
    parts->definition = slice_of(body.data + header->repetition_bytes, header->definition_bytes);
    return decompress(context, header->is_compressed ? context->codec : PARQUET_CODEC_UNCOMPRESSED,
                      slice_of(body.data + levels, body.size - levels), header->uncompressed_bytes - levels,
                      values_may_borrow(context->column, header->encoding), into, &parts->values, &parts->can_borrow,
                      error);
}

static enum plinth_status decode_levels(enum parquet_encoding encoding, struct slice in, uint8_t level_max,
                                        uint32_t count, uint8_t *out, struct plinth_error *error) {
    if (level_max == 0) {
        memset(out, 0, count);
        return PLINTH_OK;
    }
    if (encoding == PARQUET_ENCODING_BIT_PACKED) return bit_packed_decode_levels(in, level_max, count, out, error);
    return rle_decode_levels(in, level_max, count, out, error);
}

/* Both kinds of levels, and from them the validity of the slots and the number of rows that begin in the page. */
static enum plinth_status decode_both_levels(const struct page_context *context,
                                             const struct parquet_page_header *header, const struct page_parts *parts,
                                             struct parquet_column_buffer *into, struct plinth_error *error) {
    uint32_t count = header->value_count;
    uint8_t definition_max = context->column->definition_level_max;
    buffer_clear(&into->levels);
    if (!buffer_reserve(&into->levels, 2 * (size_t)count + 1)) return error_no_memory(error, "Parquet levels");
    uint8_t *definition = into->levels.data, *repetition = definition + count;
    enum plinth_status st =
        decode_levels(header->definition_encoding, parts->definition, definition_max, count, definition, error);
    if (!st)
        st = decode_levels(header->repetition_encoding, parts->repetition, context->column->repetition_level_max, count,
                           repetition, error);
    if (st) return st;
    into->levels.size = 2 * (size_t)count;
    into->data.definition_levels = definition;
    into->data.repetition_levels = repetition;
    into->data.rows = levels_count_zeros(repetition, count);
    levels_equal(definition, count, definition_max, into->validity.data);
    return PLINTH_OK;
}

static enum plinth_status decode_validity(const struct page_context *context, const struct parquet_page_header *header,
                                          const struct page_parts *parts, struct parquet_column_buffer *into,
                                          struct plinth_error *error) {
    const struct parquet_column *column = context->column;
    uint32_t count = header->value_count;
    enum plinth_status st = PLINTH_OK;
    if (column->definition_level_max == 0) return PLINTH_OK;
    buffer_clear(&into->validity);
    if (!buffer_append_zeros(&into->validity, (size_t)bits_bytes(count, 1) + 1))
        return error_no_memory(error, "Parquet validity");
    if (parquet_column_has_levels(column)) {
        st = decode_both_levels(context, header, parts, into, error);
    } else if (header->definition_encoding == PARQUET_ENCODING_BIT_PACKED) {
        if (bits_bytes(count, 1) > parts->definition.size)
            return error_set(error, PLINTH_CORRUPT, "the definition levels end too early");
        for (uint32_t i = 0; i < count; i++) /* most significant bit first */
            if (parts->definition.data[i >> 3] >> (7 - (i & 7)) & 1) bitmap_set(into->validity.data, i);
    } else {
        st = rle_decode_bitmap(parts->definition, count, into->validity.data, error);
    }
    if (st) return st;
    into->data.null_count = count - bits_count(into->validity.data, 0, count);
    if (into->data.null_count > 0) into->data.validity = into->validity.data;
    return PLINTH_OK;
}

enum plinth_status page_decode(const struct page_context *context, const struct parquet_page_header *header,
                               struct slice body, struct parquet_column_buffer *into, struct plinth_error *error) {
    struct page_parts parts = {0};
    struct parquet_page_header v2;
    into->data = (struct parquet_column_data){.rows = header->value_count, .slots = header->value_count};
    enum plinth_status st = check_size(context, header, error);
    if (!st) st = check_crc(context, header, body, error);
    if (st) return st;
    if (header->type == PARQUET_PAGE_DATA_V2) {
        v2 = *header; /* there, levels are always RLE */
        v2.definition_encoding = v2.repetition_encoding = PARQUET_ENCODING_RLE;
        header = &v2;
        st = split_v2(context, header, body, into, &parts, error);
    } else {
        st = split_v1(context, header, body, into, &parts, error);
    }
    if (!st) st = decode_validity(context, header, &parts, into, error);
    if (!st) st = values_decode(context, header->encoding, parts.values, parts.can_borrow, into, error);
    if (st) into->data = (struct parquet_column_data){0};
    return st;
}

enum plinth_status page_decode_dictionary(const struct page_context *context, const struct parquet_page_header *header,
                                          struct slice body, struct parquet_column_buffer *into,
                                          struct plinth_error *error) {
    struct slice values;
    bool can_borrow;
    into->data = (struct parquet_column_data){.rows = header->value_count, .slots = header->value_count};
    if (context->column->type == PARQUET_TYPE_BOOLEAN ||
        (header->encoding != PARQUET_ENCODING_PLAIN && header->encoding != PARQUET_ENCODING_PLAIN_DICTIONARY))
        return error_set(error, PLINTH_CORRUPT, "a dictionary of %s in encoding %s is not possible",
                         parquet_type_name(context->column->type), parquet_encoding_name(header->encoding));
    enum plinth_status st = check_size(context, header, error);
    if (!st) st = check_crc(context, header, body, error);
    if (!st)
        st = decompress(context, context->codec, body, header->uncompressed_bytes, false, into, &values, &can_borrow,
                        error);
    uint64_t exact = (uint64_t)header->value_count * context->column->width;
    if (!st && exact > 0 && values.size > exact) /* values of another type, most likely */
        st = error_set(error, PLINTH_CORRUPT, "a dictionary of %u values of %u bytes has %zu bytes",
                       header->value_count, context->column->width, values.size);
    if (!st) st = values_decode(context, PARQUET_ENCODING_PLAIN, values, false, into, error);
    if (st) into->data = (struct parquet_column_data){0};
    return st;
}
