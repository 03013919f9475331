/* Encoding of row keys: all rows at once, part by part.
 *
 * Sizes first (summed per row over the parts), then offsets by a prefix sum, then each part's bytes. While the parts
 * are written, offsets[row] is the place of the row's next byte; after the last part it is the row's end, which is
 * the next row's start: moving the array up by one gives the offsets. */
#include "column/row_key.h"

#include <stdlib.h>

#include "column/column_builder.h"
#include "column/column_private.h"
#include "column/key_encoding.h"

enum { MARK_NULL = 1, MARK_VALUE = 2 };

bool row_key_type_is_allowed(struct column_type type) { return type.kind != COLUMN_LIST; }

/* ---- one value ---- */

/* Bytes of a value of fixed size in a key; 0 for STRING and BYTES. */
static uint32_t key_width(struct column_type type) { return type.kind == COLUMN_BOOL ? 1 : column_type_width(type); }

static inline void put_u64(uint8_t *at, uint64_t value) { store_u64(at, __builtin_bswap64(value)); }
static inline void put_u32(uint8_t *at, uint32_t value) { store_u32(at, __builtin_bswap32(value)); }
static inline void put_u16(uint8_t *at, uint16_t value) { store_u16(at, __builtin_bswap16(value)); }

static const uint64_t SIGN_64 = UINT64_C(1) << 63;
static const uint32_t SIGN_32 = UINT32_C(1) << 31;
enum { SIGN_16 = 0x8000, SIGN_8 = 0x80 };

static inline uint64_t order_float64(double value) {
    uint64_t bits = UINT64_C(0x7FF8) << 48; /* the one NaN */
    if (value == 0) value = 0;              /* -0 */
    if (value == value) memcpy(&bits, &value, sizeof bits);
    return bits & SIGN_64 ? ~bits : bits | SIGN_64;
}

static inline uint32_t order_float32(float value) {
    uint32_t bits = UINT32_C(0x7FC0) << 16;
    if (value == 0) value = 0;
    if (value == value) memcpy(&bits, &value, sizeof bits);
    return bits & SIGN_32 ? ~bits : bits | SIGN_32;
}

static inline void put_int128(uint8_t *at, int128 value) {
    put_u64(at, (uint64_t)((uint128)value >> 64) ^ SIGN_64);
    put_u64(at + 8, (uint64_t)value);
}

/* Defines the two functions of a kind of fixed size: one value, and a column of them behind the cursors. */
#define PART_OF(NAME, WIDTH, PUT)                                                                                      \
    static inline void put_##NAME(uint8_t *at, const void *values, uint32_t i) { PUT; }                                \
    static void fill_##NAME(uint8_t *bytes, uint32_t *cursors, const void *values, uint32_t rows) {                    \
        for (uint32_t i = 0; i < rows; i++) {                                                                          \
            put_##NAME(bytes + cursors[i], values, i);                                                                 \
            cursors[i] += WIDTH;                                                                                       \
        }                                                                                                              \
    }

PART_OF(bool, 1, *at = bitmap_get(values, i))
PART_OF(int8, 1, *at = ((const uint8_t *)values)[i] ^ SIGN_8)
PART_OF(int16, 2, put_u16(at, ((const uint16_t *)values)[i] ^ SIGN_16))
PART_OF(int32, 4, put_u32(at, ((const uint32_t *)values)[i] ^ SIGN_32))
PART_OF(int64, 8, put_u64(at, ((const uint64_t *)values)[i] ^ SIGN_64))
PART_OF(uint8, 1, *at = ((const uint8_t *)values)[i])
PART_OF(uint16, 2, put_u16(at, ((const uint16_t *)values)[i]))
PART_OF(uint32, 4, put_u32(at, ((const uint32_t *)values)[i]))
PART_OF(uint64, 8, put_u64(at, ((const uint64_t *)values)[i]))
PART_OF(float32, 4, put_u32(at, order_float32(((const float *)values)[i])))
PART_OF(float64, 8, put_u64(at, order_float64(((const double *)values)[i])))
PART_OF(decimal, 16, put_int128(at, load_int128(values, i)))
PART_OF(uuid, 16, memcpy(at, (const uint8_t *)values + (uint64_t)i * 16, 16))

struct part_kind {
    void (*put)(uint8_t *at, const void *values, uint32_t i);
    void (*fill)(uint8_t *bytes, uint32_t *cursors, const void *values, uint32_t rows);
};

/* STRING, BYTES and LIST have none. */
static const struct part_kind part_kinds[COLUMN_KIND_COUNT] = {
    [COLUMN_BOOL] = {put_bool, fill_bool},          [COLUMN_INT8] = {put_int8, fill_int8},
    [COLUMN_INT16] = {put_int16, fill_int16},       [COLUMN_INT32] = {put_int32, fill_int32},
    [COLUMN_INT64] = {put_int64, fill_int64},       [COLUMN_UINT8] = {put_uint8, fill_uint8},
    [COLUMN_UINT16] = {put_uint16, fill_uint16},    [COLUMN_UINT32] = {put_uint32, fill_uint32},
    [COLUMN_UINT64] = {put_uint64, fill_uint64},    [COLUMN_FLOAT32] = {put_float32, fill_float32},
    [COLUMN_FLOAT64] = {put_float64, fill_float64}, [COLUMN_DECIMAL] = {put_decimal, fill_decimal},
    [COLUMN_DATE] = {put_int32, fill_int32},        [COLUMN_TIMESTAMP] = {put_int64, fill_int64},
    [COLUMN_UUID] = {put_uuid, fill_uuid},
};

static uint32_t count_zeros(struct slice value) {
    uint32_t zeros = 0;
    for (size_t i = 0; i < value.size; i++) zeros += value.data[i] == 0;
    return zeros;
}

/* Writes the escaped form with its terminator; returns what is behind it. */
static uint8_t *put_escaped(uint8_t *at, struct slice value) {
    for (size_t i = 0; i < value.size; i++) {
        *at++ = value.data[i];
        if (value.data[i] == 0) *at++ = 0xFF;
    }
    at[0] = 0x00;
    at[1] = 0x01;
    return at + 2;
}

/* ---- all rows ---- */

/* How a part is written. */
struct key_part {
    const struct column *column;
    uint32_t width; /* 0: STRING or BYTES */
    bool marked;    /* INDEX: 0x01 or 0x02 in front */
    bool raw;       /* the last STRING or BYTES of a primary key */
    bool zeros;     /* the column's bytes hold zeros, which are escaped */
};

static struct key_part part_of(const struct column *column, enum row_key_form form, bool last) {
    struct key_part part = {.column = column, .width = key_width(column->type), .marked = form == ROW_KEY_INDEX};
    part.raw = !part.width && last && !part.marked;
    return part;
}

static bool holds_zeros(const struct column *column, uint32_t rows) {
    uint32_t first = column->offsets[0], size = column->offsets[rows] - first;
    return size && memchr(column->bytes + first, 0, size);
}

static uint64_t part_size(const struct key_part *part, uint32_t row) {
    if (part->marked && column_is_null(part->column, row)) return 1;
    if (part->width) return part->marked + (uint64_t)part->width;
    struct slice value = column_bytes_at(part->column, row);
    if (part->raw) return value.size;
    return part->marked + (uint64_t)value.size + 2 + (part->zeros ? count_zeros(value) : 0);
}

/* Writes one row's part; returns what is behind it. */
static uint8_t *put_part(uint8_t *at, const struct key_part *part, uint32_t row) {
    if (part->marked && column_is_null(part->column, row)) {
        *at = MARK_NULL;
        return at + 1;
    }
    if (part->marked) *at++ = MARK_VALUE;
    if (part->width) {
        part_kinds[part->column->type.kind].put(at, part->column->values, row);
        return at + part->width;
    }
    struct slice value = column_bytes_at(part->column, row);
    if (!part->raw && part->zeros) return put_escaped(at, value);
    copy_short(at, value.data, value.size);
    at += value.size;
    if (part->raw) return at;
    at[0] = 0x00;
    at[1] = 0x01;
    return at + 2;
}

/* Adds the part's size to each row's. Returns false when a key alone exceeds 4 GiB. */
static bool add_sizes(const struct key_part *part, uint32_t rows, uint32_t *sizes, uint32_t *fixed) {
    bool nulls = part->marked && part->column->null_count;
    if (!nulls) *fixed += part->width + part->marked + (part->width || part->raw ? 0 : 2);
    if (!nulls && part->width) return true;
    uint64_t wide = 0;
    if (!nulls && !part->zeros) {
        const uint32_t *offsets = part->column->offsets;
        for (uint32_t i = 0; i < rows; i++) {
            uint64_t size = (uint64_t)sizes[i] + (offsets[i + 1] - offsets[i]);
            wide |= size;
            sizes[i] = (uint32_t)size;
        }
        return wide <= UINT32_MAX;
    }
    /* What `fixed` has counted already is taken off again. */
    uint32_t counted = nulls ? 0 : part->marked + (part->raw ? 0 : 2);
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t size = sizes[i] + part_size(part, i) - counted;
        wide |= size;
        sizes[i] = (uint32_t)size;
    }
    return wide <= UINT32_MAX;
}

static void fill_part(const struct key_part *part, uint32_t rows, uint8_t *bytes, uint32_t *cursors) {
    const struct column *column = part->column;
    if (part->width && (!part->marked || !column->null_count)) {
        for (uint32_t i = 0; part->marked && i < rows; i++) bytes[cursors[i]++] = MARK_VALUE;
        part_kinds[column->type.kind].fill(bytes, cursors, column->values, rows);
        return;
    }
    for (uint32_t i = 0; i < rows; i++) cursors[i] = (uint32_t)(put_part(bytes + cursors[i], part, i) - bytes);
}

/* sizes[0..rows) become starts; false above 4 GiB. */
static bool sum_up(uint32_t *sizes, uint32_t rows, uint32_t fixed, uint64_t *total) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t size = (uint64_t)sizes[i] + fixed;
        sizes[i] = (uint32_t)at;
        at += size;
    }
    *total = at;
    return at <= UINT32_MAX;
}

bool row_keys_encode(struct arena *arena, const struct column *const *parts, uint32_t part_count,
                     enum row_key_form form, uint32_t rows, struct row_keys *keys) {
    *keys = (struct row_keys){0};
    uint32_t *offsets = arena_zalloc(arena, ((size_t)rows + 1) * sizeof *offsets);
    if (!offsets || part_count > ROW_KEY_PARTS_MAX) return false;
    struct key_part key_parts[ROW_KEY_PARTS_MAX];
    uint32_t fixed = 0;
    for (uint32_t i = 0; i < part_count && rows; i++) {
        struct key_part *part = &key_parts[i];
        *part = part_of(parts[i], form, i + 1 == part_count);
        part->zeros = !part->width && !part->raw && holds_zeros(parts[i], rows);
        if (!add_sizes(part, rows, offsets, &fixed)) return false;
    }
    uint64_t total;
    if (!sum_up(offsets, rows, fixed, &total)) return false;
    uint8_t *bytes = arena_alloc(arena, total);
    if (!bytes) return false;
    for (uint32_t i = 0; i < part_count && rows; i++) fill_part(&key_parts[i], rows, bytes, offsets);
    memmove(offsets + 1, offsets, (size_t)rows * sizeof *offsets);
    offsets[0] = 0;
    *keys = (struct row_keys){offsets, bytes};
    return true;
}

/* ---- one row ---- */

bool row_key_append_part(struct buffer *into, const struct column *column, uint32_t row, enum row_key_form form,
                         bool last) {
    if (!column) return form == ROW_KEY_INDEX && buffer_append_u8(into, MARK_NULL);
    struct key_part part = part_of(column, form, last);
    part.zeros = true;
    uint64_t size = part_size(&part, row);
    if (!buffer_reserve(into, size + 1)) return false; /* data is not null, even for an empty key */
    put_part(into->data + into->size, &part, row);
    into->size += size;
    return true;
}

bool row_key_append(struct buffer *into, const struct column *const *parts, uint32_t part_count, enum row_key_form form,
                    uint32_t row) {
    size_t before = into->size;
    for (uint32_t i = 0; i < part_count; i++) {
        if (row_key_append_part(into, parts[i], row, form, i + 1 == part_count)) continue;
        into->size = before;
        return false;
    }
    return true;
}

/* ---- decoding ---- */

static uint64_t load_big_endian(const uint8_t *at, uint32_t width) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++) value = value << 8 | at[i];
    return value;
}

static bool decode_integer(const uint8_t *at, uint32_t width, bool is_signed, struct column_builder *builder) {
    uint64_t value = load_big_endian(at, width);
    if (is_signed) value ^= SIGN_64 >> (64 - 8 * width);
    return column_builder_integer(builder, (int64_t)value); /* the low bytes are the value's */
}

/* Only what encoding gives: no -0, and one NaN. */
static bool decode_float(const uint8_t *at, uint32_t width, struct column_builder *builder) {
    uint64_t ordered = load_big_endian(at, width);
    double value;
    if (width == 8) {
        uint64_t bits = ordered & SIGN_64 ? ordered ^ SIGN_64 : ~ordered;
        memcpy(&value, &bits, sizeof value);
        return order_float64(value) == ordered && column_builder_float(builder, value);
    }
    uint32_t bits = ordered & SIGN_32 ? (uint32_t)ordered ^ SIGN_32 : ~(uint32_t)ordered;
    float narrow;
    memcpy(&narrow, &bits, sizeof narrow);
    return order_float32(narrow) == ordered && column_builder_float(builder, narrow);
}

static bool decode_decimal(const uint8_t *at, struct column_builder *builder) {
    uint64_t high = load_big_endian(at, 8) ^ SIGN_64;
    int128 value = (int128)((uint128)high << 64 | load_big_endian(at + 8, 8));
    return decimal_fits(value, builder->type.precision) &&
           column_builder_bytes_value(builder, slice_of(&value, sizeof value));
}

static bool decode_fixed(struct reader *from, uint32_t width, struct column_builder *builder) {
    struct slice bytes = reader_bytes(from, width);
    if (from->failed) return false;
    const uint8_t *at = bytes.data;
    switch (builder->type.kind) {
    case COLUMN_BOOL: return at[0] <= 1 && column_builder_bool(builder, at[0]);
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return decode_float(at, width, builder);
    case COLUMN_DECIMAL: return decode_decimal(at, builder);
    case COLUMN_UUID: return column_builder_bytes_value(builder, bytes);
    default: return decode_integer(at, width, !column_kind_is_unsigned(builder->type.kind), builder);
    }
}

static bool append_checked(struct column_builder *builder, struct slice value) {
    bool valid = builder->type.kind != COLUMN_STRING || utf8_find_invalid(value) == SIZE_MAX;
    return valid && column_builder_bytes_value(builder, value);
}

static bool decode_escaped(struct reader *from, struct column_builder *builder) {
    struct buffer value = BUFFER_INIT;
    bool done = escaped_decode(from, &value) && append_checked(builder, buffer_slice(&value));
    buffer_deinit(&value);
    return done;
}

static bool decode_part(struct reader *from, struct column_builder *builder, enum row_key_form form, bool last) {
    if (form == ROW_KEY_INDEX) {
        uint8_t mark = reader_u8(from);
        if (from->failed) return false;
        if (mark == MARK_NULL) return column_builder_null(builder);
        if (mark != MARK_VALUE) return false;
    }
    uint32_t width = key_width(builder->type);
    if (width) return decode_fixed(from, width, builder);
    if (!column_kind_is_bytes(builder->type.kind)) return false;
    if (form == ROW_KEY_INDEX || !last) return decode_escaped(from, builder);
    return append_checked(builder, reader_bytes(from, reader_left(from)));
}

bool row_key_decode(struct reader *from, struct column_builder *const *parts, uint32_t part_count,
                    enum row_key_form form) {
    uint32_t done = 0;
    while (!from->failed && done < part_count && decode_part(from, parts[done], form, done + 1 == part_count)) done++;
    if (done == part_count && !from->failed) return true;
    while (done) column_builder_pop(parts[--done]);
    from->failed = true;
    return false;
}

/* Moves behind an escaped value. */
static bool skip_escaped(struct reader *from) {
    for (;;) {
        size_t left = reader_left(from);
        const uint8_t *zero = left ? memchr(from->at, 0, left) : NULL;
        if (!zero || zero + 1 == from->end) return false;
        from->at = zero + 2;
        if (zero[1] != 0xFF) return zero[1] == 0x01;
    }
}

bool row_key_skip(struct reader *from, const struct column_type *parts, uint32_t part_count) {
    for (uint32_t i = 0; i < part_count && !from->failed; i++) {
        uint8_t mark = reader_u8(from);
        uint32_t width = key_width(parts[i]);
        if (mark == MARK_NULL && !from->failed) continue;
        if (mark != MARK_VALUE)
            from->failed = true;
        else if (width)
            reader_bytes(from, width);
        else if (!skip_escaped(from))
            from->failed = true;
    }
    return !from->failed;
}
