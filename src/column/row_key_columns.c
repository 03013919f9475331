/* Decoding the parts of many keys into columns: one part of all keys after the other, so that each loop has one type.
 * at[i] is where key i goes on; it moves from part to part. */
#include <string.h>

#include "column/column_private.h"
#include "column/row_key.h"

enum { MARK_NULL = 1, MARK_VALUE = 2 };

/* Keys, and where each goes on. */
struct cursors {
    const struct row_keys *keys;
    uint32_t rows;
    uint32_t *at;
};

static inline uint32_t bytes_left(const struct cursors *cursors, uint32_t row) {
    return cursors->keys->offsets[row + 1] - cursors->at[row];
}

/* ---- values of fixed size ---- */

static const uint64_t SIGN_64 = UINT64_C(1) << 63;
static const uint32_t SIGN_32 = UINT32_C(1) << 31;
enum { SIGN_16 = 0x8000, SIGN_8 = 0x80 };

static inline uint64_t get_u64(const uint8_t *at) { return __builtin_bswap64(load_u64(at)); }
static inline uint32_t get_u32(const uint8_t *at) { return __builtin_bswap32(load_u32(at)); }
static inline uint16_t get_u16(const uint8_t *at) { return __builtin_bswap16(load_u16(at)); }

static inline uint64_t float64_bits(uint64_t ordered) { return ordered & SIGN_64 ? ordered ^ SIGN_64 : ~ordered; }
static inline uint32_t float32_bits(uint32_t ordered) { return ordered & SIGN_32 ? ordered ^ SIGN_32 : ~ordered; }

static inline void get_decimal(void *values, uint32_t i, const uint8_t *at) {
    uint64_t halves[2] = {get_u64(at + 8), get_u64(at) ^ SIGN_64};
    memcpy((uint8_t *)values + (size_t)i * sizeof halves, halves, sizeof halves);
}

/* Defines the function of a kind of fixed size; nulls have no bytes. */
#define PART_OF(NAME, WIDTH, GET)                                                                                      \
    static bool read_##NAME(const struct cursors *cursors, const uint8_t *validity, void *values) {                    \
        bool ok = true;                                                                                                \
        for (uint32_t i = 0; i < cursors->rows; i++) {                                                                 \
            if (validity && !bitmap_get(validity, i)) continue;                                                        \
            if (bytes_left(cursors, i) < (WIDTH)) return false;                                                        \
            const uint8_t *at = cursors->keys->bytes + cursors->at[i];                                                 \
            GET;                                                                                                       \
            cursors->at[i] += (WIDTH);                                                                                 \
        }                                                                                                              \
        return ok;                                                                                                     \
    }

PART_OF(bool, 1, if (*at) bitmap_set(values, i); ok &= *at <= 1)
PART_OF(int8, 1, ((uint8_t *)values)[i] = *at ^ SIGN_8)
PART_OF(int16, 2, ((uint16_t *)values)[i] = get_u16(at) ^ SIGN_16)
PART_OF(int32, 4, ((uint32_t *)values)[i] = get_u32(at) ^ SIGN_32)
PART_OF(int64, 8, ((uint64_t *)values)[i] = get_u64(at) ^ SIGN_64)
PART_OF(uint8, 1, ((uint8_t *)values)[i] = *at)
PART_OF(uint16, 2, ((uint16_t *)values)[i] = get_u16(at))
PART_OF(uint32, 4, ((uint32_t *)values)[i] = get_u32(at))
PART_OF(uint64, 8, ((uint64_t *)values)[i] = get_u64(at))
PART_OF(float32, 4, ((uint32_t *)values)[i] = float32_bits(get_u32(at)))
PART_OF(float64, 8, ((uint64_t *)values)[i] = float64_bits(get_u64(at)))
PART_OF(decimal, 16, get_decimal(values, i, at))
PART_OF(uuid, 16, memcpy((uint8_t *)values + (size_t)i * 16, at, 16))

/* STRING, BYTES and LIST have none. */
static bool (*const readers[COLUMN_KIND_COUNT])(const struct cursors *, const uint8_t *, void *) = {
    [COLUMN_BOOL] = read_bool,       [COLUMN_INT8] = read_int8,       [COLUMN_INT16] = read_int16,
    [COLUMN_INT32] = read_int32,     [COLUMN_INT64] = read_int64,     [COLUMN_UINT8] = read_uint8,
    [COLUMN_UINT16] = read_uint16,   [COLUMN_UINT32] = read_uint32,   [COLUMN_UINT64] = read_uint64,
    [COLUMN_FLOAT32] = read_float32, [COLUMN_FLOAT64] = read_float64, [COLUMN_DECIMAL] = read_decimal,
    [COLUMN_DATE] = read_int32,      [COLUMN_TIMESTAMP] = read_int64, [COLUMN_UUID] = read_uuid,
};

static enum plinth_status read_fixed(struct arena *arena, const struct cursors *cursors, struct column *column) {
    uint32_t width = column_type_width(column->type);
    size_t bytes = width ? (size_t)cursors->rows * width : (cursors->rows + (size_t)7) / 8;
    void *values = arena_zalloc(arena, bytes + 1);
    column->values = values;
    if (!values) return PLINTH_OUT_OF_MEMORY;
    return readers[column->type.kind](cursors, column->validity, values) ? PLINTH_OK : PLINTH_CORRUPT;
}

/* ---- strings ---- */

/* Copies an escaped value to `to` and moves behind it; null when its end is missing. */
static uint8_t *copy_escaped(uint8_t *to, const struct cursors *cursors, uint32_t row) {
    const uint8_t *at = cursors->keys->bytes + cursors->at[row];
    for (;;) {
        size_t left = cursors->keys->offsets[row + 1] - (size_t)(at - cursors->keys->bytes);
        const uint8_t *zero = left ? memchr(at, 0, left) : NULL;
        if (!zero || (size_t)(zero - at) + 1 == left) return NULL;
        size_t size = (size_t)(zero - at);
        memcpy(to, at, size);
        to += size;
        at = zero + 2;
        if (zero[1] == 0x01) break;
        if (zero[1] != 0xFF) return NULL;
        *to++ = 0;
    }
    cursors->at[row] = (uint32_t)(at - cursors->keys->bytes);
    return to;
}

static enum plinth_status read_strings(struct arena *arena, const struct cursors *cursors, bool is_raw,
                                       struct column *column) {
    uint64_t most = 0; /* nothing gets longer */
    for (uint32_t i = 0; i < cursors->rows; i++) most += bytes_left(cursors, i);
    uint32_t *offsets = arena_alloc(arena, ((size_t)cursors->rows + 1) * sizeof *offsets);
    uint8_t *bytes = most <= INT32_MAX ? arena_alloc(arena, most + 1) : NULL, *to = bytes;
    if (!offsets || !bytes) return PLINTH_OUT_OF_MEMORY;
    offsets[0] = 0;
    for (uint32_t i = 0; i < cursors->rows && to; i++) {
        bool is_null = column->validity && !bitmap_get(column->validity, i);
        if (is_raw && !is_null) {
            uint32_t size = bytes_left(cursors, i);
            memcpy(to, cursors->keys->bytes + cursors->at[i], size);
            cursors->at[i] += size;
            to += size;
        } else if (!is_null) {
            to = copy_escaped(to, cursors, i);
        }
        if (to) offsets[i + 1] = (uint32_t)(to - bytes);
    }
    column->offsets = offsets;
    column->bytes = bytes;
    return to ? PLINTH_OK : PLINTH_CORRUPT;
}

/* ---- parts ---- */

/* Takes the byte in front of each value; `validity` is made with the first null. */
static enum plinth_status read_marks(struct arena *arena, const struct cursors *cursors, struct column *column) {
    uint8_t *validity = NULL;
    for (uint32_t i = 0; i < cursors->rows; i++) {
        uint8_t mark = bytes_left(cursors, i) ? cursors->keys->bytes[cursors->at[i]++] : 0;
        if (mark == MARK_VALUE) continue;
        if (mark != MARK_NULL) return PLINTH_CORRUPT;
        size_t bytes = (cursors->rows + (size_t)7) / 8;
        if (!validity) {
            validity = arena_alloc(arena, bytes);
            if (!validity) return PLINTH_OUT_OF_MEMORY;
            memset(validity, 0xFF, bytes);
        }
        bitmap_clear(validity, i);
        column->null_count++;
    }
    column->validity = validity;
    return PLINTH_OK;
}

enum plinth_status row_keys_decode(struct arena *arena, const struct row_keys *keys, uint32_t rows, uint32_t *at,
                                   const struct column_type *types, uint32_t part_count, enum row_key_form form,
                                   struct column *columns) {
    const struct cursors cursors = {keys, rows, at};
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < part_count && !st; i++) {
        struct column *column = &columns[i];
        bool is_raw = form == ROW_KEY_PRIMARY && i + 1 == part_count;
        *column = (struct column){.type = types[i]};
        if (!row_key_type_is_allowed(types[i])) return PLINTH_CORRUPT;
        if (form == ROW_KEY_INDEX) st = read_marks(arena, &cursors, column);
        if (!st)
            st = column_kind_is_bytes(types[i].kind) ? read_strings(arena, &cursors, is_raw, column)
                                                     : read_fixed(arena, &cursors, column);
    }
    return st;
}
