/* The wire and log form of a column, described in batch.h. Every column has exactly one encoding of its buffers:
 * decoding refuses longer varints, padding that is not zero, and a validity bitmap without nulls. */
#include "base/status.h"
#include "column/column_private.h"

enum { FLAG_VALIDITY = 1 };

/* ---- encoding ---- */

static uint64_t nulls_in(const struct column *column, uint32_t first, uint32_t count) {
    return column->null_count ? count - bitmap_count_range(column->validity, first, count) : 0;
}

uint64_t column_encoded_bytes(const struct column *column, uint32_t first, uint32_t count) {
    uint64_t bytes = 1;
    if (column->null_count) bytes += VARINT_BYTES_MAX + bitmap_bytes(count);
    if (column->type.kind == COLUMN_BOOL) return bytes + bitmap_bytes(count);
    uint32_t width = column_type_width(column->type);
    if (width) return bytes + (uint64_t)count * width;
    uint32_t from = count ? column->offsets[first] : 0;
    uint32_t inside = count ? column->offsets[first + count] - from : 0;
    bytes += varint_size(inside) + (uint64_t)count * sizeof(uint32_t);
    if (column->type.kind != COLUMN_LIST) return bytes + inside;
    return bytes + column_encoded_bytes(column->child, from, inside);
}

static bool put_bits(struct buffer *into, const uint8_t *bits, uint32_t first, uint32_t count) {
    size_t at = into->size;
    if (!count) return true;
    if (!buffer_append_zeros(into, bitmap_bytes(count))) return false;
    bitmap_copy(into->data + at, 0, bits, first, count);
    return true;
}

/* How many bytes or elements there are, then how many in each row. */
static bool put_lengths(struct buffer *into, const uint32_t *offsets, uint32_t count) {
    if (!buffer_append_varint(into, offsets[count] - offsets[0])) return false;
    if (!buffer_reserve(into, (size_t)count * sizeof(uint32_t))) return false;
    uint8_t *at = into->data + into->size;
    for (uint32_t i = 0; i < count; i++) store_u32(at + i * sizeof(uint32_t), offsets[i + 1] - offsets[i]);
    into->size += (size_t)count * sizeof(uint32_t);
    return true;
}

static bool put_values(struct buffer *into, const struct column *column, uint32_t first, uint32_t count) {
    if (column->type.kind == COLUMN_BOOL) return put_bits(into, column->values, first, count);
    uint32_t width = column_type_width(column->type);
    if (width && !count) return true;
    if (width)
        return buffer_append(into, (const uint8_t *)column->values + (uint64_t)first * width, (size_t)count * width);
    const uint32_t *offsets = count ? column->offsets + first : column_no_offsets;
    if (!put_lengths(into, offsets, count)) return false;
    uint32_t inside = offsets[count] - offsets[0];
    if (column->type.kind == COLUMN_LIST) return column_encode(into, column->child, offsets[0], inside);
    return !inside || buffer_append(into, column->bytes + offsets[0], inside);
}

bool column_encode(struct buffer *into, const struct column *column, uint32_t first, uint32_t count) {
    size_t before = into->size;
    uint64_t nulls = nulls_in(column, first, count);
    bool done = buffer_reserve(into, column_encoded_bytes(column, first, count)) &&
                buffer_append_u8(into, nulls ? FLAG_VALIDITY : 0) &&
                (!nulls || (buffer_append_varint(into, nulls) && put_bits(into, column->validity, first, count))) &&
                put_values(into, column, first, count);
    if (!done) into->size = before;
    return done;
}

/* ---- decoding ---- */

struct column_decoder {
    struct reader *from;
    struct arena *arena;
    struct plinth_error *error;
    enum plinth_status status;
};

static bool decoder_fails(struct column_decoder *decoder, const char *what) {
    if (!decoder->status) decoder->status = error_set(decoder->error, PLINTH_CORRUPT, "column bytes: %s", what);
    return false;
}

static bool decoder_has(struct column_decoder *decoder, const char *what, const void *memory) {
    if (memory) return true;
    decoder->status = error_no_memory(decoder->error, what);
    return false;
}

/* A varint in its only form. */
static bool get_varint(struct column_decoder *decoder, const char *what, uint64_t *value) {
    const uint8_t *before = decoder->from->at;
    *value = reader_varint(decoder->from);
    if (decoder->from->failed) return decoder_fails(decoder, "cut off");
    return varint_size(*value) == (size_t)(decoder->from->at - before) || decoder_fails(decoder, what);
}

/* A bitmap of `count` > 0 bits. */
static bool get_bits(struct column_decoder *decoder, uint32_t count, const uint8_t **bits) {
    struct slice bytes = reader_bytes(decoder->from, bitmap_bytes(count));
    if (decoder->from->failed) return decoder_fails(decoder, "bitmap cut off");
    *bits = bytes.data;
    bool padded = count % 8 == 0 || !(bytes.data[count / 8] >> (count % 8));
    return padded || decoder_fails(decoder, "bits behind the last row");
}

static bool get_validity(struct column_decoder *decoder, uint32_t rows, struct column *out) {
    uint8_t flags = reader_u8(decoder->from);
    if (decoder->from->failed) return decoder_fails(decoder, "cut off");
    if (flags & ~FLAG_VALIDITY) return decoder_fails(decoder, "unknown flags");
    if (!flags) return true;
    uint64_t nulls;
    if (!get_varint(decoder, "null count", &nulls)) return false;
    if (!nulls || nulls > rows) return decoder_fails(decoder, "null count out of range");
    if (!get_bits(decoder, rows, &out->validity)) return false;
    out->null_count = rows - bitmap_count(out->validity, rows);
    return nulls == out->null_count || decoder_fails(decoder, "null count differs from the nulls");
}

/* `size` > 0 bytes of values of this width: borrowed when they are aligned, else copied. */
static bool get_values(struct column_decoder *decoder, uint64_t size, uint32_t width, const void **values) {
    struct slice bytes = reader_bytes(decoder->from, size);
    if (decoder->from->failed) return decoder_fails(decoder, "values cut off");
    uint32_t alignment = width < 8 ? width : 8;
    *values = bytes.data;
    if ((uintptr_t)bytes.data % alignment == 0) return true;
    void *copy = arena_alloc(decoder->arena, bytes.size);
    if (!decoder_has(decoder, "column values", copy)) return false;
    memcpy(copy, bytes.data, bytes.size);
    *values = copy;
    return true;
}

static bool get_offsets(struct column_decoder *decoder, uint32_t rows, struct column *out, uint32_t *inside) {
    uint64_t total;
    if (!get_varint(decoder, "length of the values", &total)) return false;
    if (total > COLUMN_BYTES_MAX) return decoder_fails(decoder, "more than 2 GiB of values");
    struct slice lengths = reader_bytes(decoder->from, (uint64_t)rows * sizeof(uint32_t));
    if (decoder->from->failed) return decoder_fails(decoder, "lengths cut off");
    uint32_t *offsets = arena_alloc(decoder->arena, ((size_t)rows + 1) * sizeof *offsets);
    if (!decoder_has(decoder, "column offsets", offsets)) return false;
    uint64_t at = 0;
    offsets[0] = 0;
    for (uint32_t i = 0; i < rows; i++) {
        at += load_u32(lengths.data + (size_t)i * sizeof(uint32_t)); /* 2^24 rows of 2^32 bytes fit 64 bits */
        offsets[i + 1] = (uint32_t)at;
    }
    out->offsets = offsets;
    *inside = (uint32_t)total;
    return at == total || decoder_fails(decoder, "lengths do not add up");
}

static bool decode_column(struct column_decoder *decoder, struct column_type type, uint32_t rows, struct column *out);

static bool decode_list(struct column_decoder *decoder, uint32_t rows, struct column *out) {
    uint32_t elements;
    if (!get_offsets(decoder, rows, out, &elements)) return false;
    struct column *child = arena_alloc(decoder->arena, sizeof *child);
    out->child = child;
    return decoder_has(decoder, "column of list elements", child) &&
           decode_column(decoder, column_type_element(out->type), elements, child);
}

static bool decode_bytes(struct column_decoder *decoder, uint32_t rows, struct column *out) {
    uint32_t size;
    if (!get_offsets(decoder, rows, out, &size)) return false;
    struct slice bytes = reader_bytes(decoder->from, size);
    if (decoder->from->failed) return decoder_fails(decoder, "values cut off");
    out->bytes = bytes.data ? bytes.data : (const uint8_t *)column_no_offsets;
    return true;
}

static bool decode_buffers(struct column_decoder *decoder, uint32_t rows, struct column *out) {
    if (!get_validity(decoder, rows, out)) return false;
    if (out->type.kind == COLUMN_LIST) return decode_list(decoder, rows, out);
    if (column_kind_is_bytes(out->type.kind)) return decode_bytes(decoder, rows, out);
    if (!rows) return true;
    uint32_t width = column_type_width(out->type);
    if (width) return get_values(decoder, (uint64_t)rows * width, width, &out->values);
    const uint8_t *bits = NULL;
    bool done = get_bits(decoder, rows, &bits);
    out->values = bits;
    return done;
}

static bool decode_column(struct column_decoder *decoder, struct column_type type, uint32_t rows, struct column *out) {
    *out = (struct column){.type = type};
    if (!decode_buffers(decoder, rows, out)) return false;
    if (type.kind == COLUMN_LIST) return true; /* its offsets are in order by construction */
    uint64_t size = column_kind_is_bytes(type.kind) ? out->offsets[rows] : 0;
    decoder->status = column_check(out, rows, size, 0, decoder->error);
    if (!decoder->status) return true;
    decoder->status = PLINTH_CORRUPT; /* what column_check calls invalid has been stored here */
    if (decoder->error) decoder->error->status = PLINTH_CORRUPT;
    return false;
}

enum plinth_status column_decode(struct reader *from, struct arena *arena, struct column_type type, uint32_t rows,
                                 struct column *out, struct plinth_error *error) {
    struct column_decoder decoder = {from, arena, error, PLINTH_OK};
    *out = (struct column){.type = type};
    if (from->failed)
        decoder_fails(&decoder, "cut off");
    else
        decode_column(&decoder, type, rows, out);
    if (decoder.status) {
        *out = (struct column){.type = type};
        from->failed = true;
    }
    return decoder.status;
}
