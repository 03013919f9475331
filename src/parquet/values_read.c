/* Decoding the values of a page. See values_read.h. */
#include "parquet/values_read.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/encoding_bytes.h"
#include "parquet/encoding_delta.h"
#include "parquet/encoding_rle.h"
#include "parquet/encoding_split.h"
#include "parquet/gather.h"
#include "parquet/nulls.h"

bool values_may_borrow(const struct parquet_column *column, enum parquet_encoding encoding) {
    return encoding == PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY ||
           (encoding == PARQUET_ENCODING_PLAIN && column->type != PARQUET_TYPE_BYTE_ARRAY);
}

static enum plinth_status mismatch(const struct page_context *context, enum parquet_encoding encoding,
                                   struct plinth_error *error) {
    if ((unsigned)encoding >= PARQUET_ENCODING_COUNT)
        return error_set(error, PLINTH_UNSUPPORTED, "encoding %d is not known", (int)encoding);
    return error_set(error, PLINTH_CORRUPT, "encoding %s (%d) is not possible for %s", parquet_encoding_name(encoding),
                     (int)encoding, parquet_type_name(context->column->type));
}

static enum plinth_status too_short(enum parquet_encoding encoding, size_t has, uint64_t needs,
                                    struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "%s values end too early: %zu bytes where %llu are needed",
                     parquet_encoding_name(encoding), has, (unsigned long long)needs);
}

_Static_assert((int)COPY_SLACK >= (int)NULLS_SLACK, "what is decoded may be spread");

/* Makes `buffer` exactly `size` bytes long, of any content. */
static enum plinth_status resize(struct buffer *buffer, uint64_t size, struct plinth_error *error) {
    buffer_clear(buffer);
    if (!buffer_reserve(buffer, (size_t)size + COPY_SLACK)) return error_no_memory(error, "Parquet values");
    buffer->size = (size_t)size;
    return PLINTH_OK;
}

/* ---- BOOLEAN ---- */

static enum plinth_status decode_boolean(const struct page_context *context, enum parquet_encoding encoding,
                                         struct slice in, bool can_borrow, struct parquet_column_buffer *into,
                                         struct plinth_error *error) {
    struct parquet_column_data *data = &into->data;
    uint32_t count = (uint32_t)(data->slots - data->null_count);
    uint64_t bytes = bits_bytes(count, 1);
    struct buffer *dense = data->validity ? &context->scratch->bits : &into->values;
    const uint8_t *bits = in.data;
    enum plinth_status st;
    if (encoding == PARQUET_ENCODING_PLAIN) {
        if (bytes > in.size) return too_short(encoding, in.size, bytes, error);
        if (!data->validity && !can_borrow) {
            if ((st = resize(&into->values, bytes, error))) return st;
            if (bytes) memcpy(into->values.data, in.data, (size_t)bytes);
            bits = into->values.data;
        }
    } else if (encoding == PARQUET_ENCODING_RLE) {
        if (in.size < 4 && count > 0) return too_short(encoding, in.size, 4, error);
        struct slice runs = count ? slice_of(in.data + 4, in.size - 4) : in;
        if (count && load_u32(in.data) < runs.size) runs.size = load_u32(in.data);
        if ((st = resize(dense, bytes, error)) || (st = rle_decode_bitmap(runs, count, dense->data, error))) return st;
        bits = dense->data;
    } else {
        return mismatch(context, encoding, error);
    }
    if (data->validity) {
        if ((st = resize(&into->values, bits_bytes(data->slots, 1), error))) return st;
        nulls_spread_bits(bits, data->slots, data->validity, into->values.data);
        bits = into->values.data;
    }
    data->values = bits;
    return PLINTH_OK;
}

/* ---- Dictionaries ---- */

/* Decodes the indices and checks them against the dictionary. */
static enum plinth_status decode_indices(const struct page_context *context, struct slice in, uint32_t count,
                                         const uint32_t **indices, struct plinth_error *error) {
    *indices = NULL;
    if (!context->dictionary)
        return error_set(error, PLINTH_CORRUPT, "the page needs a dictionary, but its chunk has none");
    if (count > 0 && in.size == 0) return too_short(PARQUET_ENCODING_RLE_DICTIONARY, 0, 1, error);
    unsigned width = count > 0 ? in.data[0] : 0;
    if (width > 32) return error_set(error, PLINTH_CORRUPT, "dictionary indices of %u bits are not possible", width);
    struct buffer *integers = &context->scratch->integers;
    enum plinth_status st = resize(integers, (uint64_t)count * sizeof(uint32_t), error);
    if (st) return st;
    uint32_t *out = (uint32_t *)(void *)integers->data;
    if (count > 0) st = rle_decode_u32(slice_of(in.data + 1, in.size - 1), width, count, out, error);
    if (st) return st;
    uint32_t highest = bits_max_u32(out, count);
    if (count > 0 && highest >= context->dictionary->data.slots)
        return error_set(error, PLINTH_CORRUPT, "dictionary index %u, but the dictionary has %llu entries", highest,
                         (unsigned long long)context->dictionary->data.slots);
    *indices = out;
    return PLINTH_OK;
}

static enum plinth_status gather_bytes(const struct page_context *context, const uint32_t *indices, uint32_t count,
                                       uint32_t *offsets, struct buffer *bytes, struct plinth_error *error) {
    const struct parquet_column_data *entries = &context->dictionary->data;
    uint64_t total = gather_offsets(entries->offsets, indices, count, offsets);
    if (total > context->memory_bytes_max || total > INT32_MAX)
        return error_set(error, PLINTH_OUT_OF_MEMORY, "dictionary values unfold to %llu bytes, over the limit",
                         (unsigned long long)total);
    enum plinth_status st = resize(bytes, total, error);
    if (st) return st;
    const uint32_t *begins = entries->offsets;
    const uint8_t *from = entries->bytes;
    uint8_t *to = bytes->data;
    for (uint32_t i = 0; i < count; i++) { /* both sides have COPY_SLACK bytes behind */
        uint64_t both = load_u64((const uint8_t *)(begins + indices[i]));
        uint32_t begin = (uint32_t)both, size = (uint32_t)(both >> 32) - begin;
        copy_over(to, from + begin, size);
        to += size;
    }
    return PLINTH_OK;
}

/* ---- BYTE_ARRAY ---- */

static enum plinth_status decode_bytes(const struct page_context *context, enum parquet_encoding encoding,
                                       struct slice in, bool can_borrow, struct parquet_column_buffer *into,
                                       struct plinth_error *error) {
    struct parquet_column_data *data = &into->data;
    uint32_t count = (uint32_t)(data->slots - data->null_count);
    struct slice view = {0};
    const uint32_t *indices = NULL;
    enum plinth_status st = resize(&into->offsets, (data->slots + 1) * sizeof(uint32_t), error);
    if (st) return st;
    uint32_t *offsets = (uint32_t *)(void *)into->offsets.data;
    offsets[0] = 0;
    buffer_clear(&into->values);
    if (count > 0) {
        switch (encoding) {
        case PARQUET_ENCODING_PLAIN: st = plain_bytes_decode(in, count, offsets, &into->values, error); break;
        case PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY:
            st = delta_length_decode(in, count, offsets, &view, error);
            break;
        case PARQUET_ENCODING_DELTA_BYTE_ARRAY:
            st = delta_bytes_decode(in, count, 0, context->memory_bytes_max, offsets, &into->values,
                                    &context->scratch->integers, error);
            break;
        case PARQUET_ENCODING_PLAIN_DICTIONARY:
        case PARQUET_ENCODING_RLE_DICTIONARY:
            st = decode_indices(context, in, count, &indices, error);
            if (!st) st = gather_bytes(context, indices, count, offsets, &into->values, error);
            break;
        default: st = mismatch(context, encoding, error); break;
        }
        if (st) return st;
    }
    if (view.size > 0 && !can_borrow) {
        if ((st = resize(&into->values, view.size, error))) return st;
        memcpy(into->values.data, view.data, view.size);
        view.size = 0;
    }
    if (data->validity) nulls_spread_offsets(offsets, data->slots, count, data->validity);
    data->offsets = offsets;
    data->bytes = view.size > 0 ? view.data : into->values.data;
    if (!data->bytes) data->bytes = (const uint8_t *)offsets; /* no bytes at all: anything but null */
    return PLINTH_OK;
}

/* ---- Fixed width ---- */

/* A pointer that integers and floats of this width may be read through. */
static bool is_aligned(const uint8_t *at, uint32_t width) {
    uintptr_t alignment = width == 8 ? 8 : width == 4 || width == 12 ? 4 : 1;
    return ((uintptr_t)at & (alignment - 1)) == 0;
}

static enum plinth_status decode_delta(const struct page_context *context, struct slice in, uint32_t count,
                                       uint8_t *values, struct plinth_error *error) {
    void *to = values;
    if (context->column->type == PARQUET_TYPE_INT32) return delta_decode_i32(in, count, to, NULL, error);
    if (context->column->type == PARQUET_TYPE_INT64) return delta_decode_i64(in, count, to, NULL, error);
    return mismatch(context, PARQUET_ENCODING_DELTA_BINARY_PACKED, error);
}

static enum plinth_status decode_split(const struct page_context *context, struct slice in, uint32_t count,
                                       uint8_t *values, struct plinth_error *error) {
    uint32_t width = context->column->width;
    if (context->column->type == PARQUET_TYPE_INT96)
        return mismatch(context, PARQUET_ENCODING_BYTE_STREAM_SPLIT, error);
    if (in.size / width < count)
        return too_short(PARQUET_ENCODING_BYTE_STREAM_SPLIT, in.size, (uint64_t)count * width, error);
    split_decode(in.data, in.size / width, count, width, values);
    return PLINTH_OK;
}

static enum plinth_status decode_fixed(const struct page_context *context, enum parquet_encoding encoding,
                                       struct slice in, bool can_borrow, struct parquet_column_buffer *into,
                                       struct plinth_error *error) {
    struct parquet_column_data *data = &into->data;
    uint32_t count = (uint32_t)(data->slots - data->null_count), width = context->column->width;
    uint64_t bytes = (uint64_t)count * width;
    const uint32_t *indices = NULL;
    if (encoding == PARQUET_ENCODING_PLAIN) {
        if (bytes > in.size) return too_short(encoding, in.size, bytes, error);
        if (!data->validity && can_borrow && is_aligned(in.data, width)) {
            data->values = in.data;
            return PLINTH_OK;
        }
    }
    enum plinth_status st = resize(&into->values, data->slots * width, error);
    if (st) return st;
    uint8_t *values = into->values.data;
    if (count > 0) {
        switch (encoding) {
        case PARQUET_ENCODING_PLAIN: memcpy(values, in.data, (size_t)bytes); break;
        case PARQUET_ENCODING_PLAIN_DICTIONARY:
        case PARQUET_ENCODING_RLE_DICTIONARY:
            st = decode_indices(context, in, count, &indices, error);
            if (!st) gather_fixed(context->dictionary->data.values, indices, count, width, values);
            break;
        case PARQUET_ENCODING_DELTA_BINARY_PACKED: st = decode_delta(context, in, count, values, error); break;
        case PARQUET_ENCODING_BYTE_STREAM_SPLIT: st = decode_split(context, in, count, values, error); break;
        case PARQUET_ENCODING_DELTA_BYTE_ARRAY:
            if (context->column->type != PARQUET_TYPE_FIXED) return mismatch(context, encoding, error);
            /* resizes into->values to the dense values; the slots are reserved already */
            st = delta_bytes_decode(in, count, width, context->memory_bytes_max, NULL, &into->values,
                                    &context->scratch->integers, error);
            values = into->values.data;
            break;
        default: st = mismatch(context, encoding, error); break;
        }
        if (st) return st;
    }
    if (data->validity) nulls_spread(values, data->slots, count, width, data->validity);
    data->values = values;
    return PLINTH_OK;
}

enum plinth_status values_decode(const struct page_context *context, enum parquet_encoding encoding, struct slice in,
                                 bool can_borrow, struct parquet_column_buffer *into, struct plinth_error *error) {
    switch (context->column->type) {
    case PARQUET_TYPE_BOOLEAN: return decode_boolean(context, encoding, in, can_borrow, into, error);
    case PARQUET_TYPE_BYTE_ARRAY: return decode_bytes(context, encoding, in, can_borrow, into, error);
    default: return decode_fixed(context, encoding, in, can_borrow, into, error);
    }
}
