/* The set of an IN: a bitmap over a short range of integers, else a hash table with linear probing, at most half full.
 * Values of up to eight bytes are their own 64-bit keys (floats by their bits as doubles, with one zero and one NaN);
 * longer ones are looked up by hash and compared. */
#include <math.h>

#include "base/hash.h"
#include "expr/predicate_private.h"

enum { RANGE_MAX = 1 << 17, WORD_ROWS = 64 };

enum set_kind { SET_RANGE = 1, SET_KEYS = 2, SET_BYTES = 3 };

struct value_set {
    enum set_kind kind;
    const struct column *values;
    /* SET_RANGE: bit key - base of `bits`, for `span` keys */
    uint64_t base;
    uint64_t span;
    uint8_t *bits;
    /* SET_KEYS: `keys`, where `used` says so; SET_BYTES: rows of `values` plus 1, 0 for a free slot */
    uint64_t *keys;
    bool *used;
    uint32_t *slots;
    uint64_t mask;
    unsigned shift; /* 64 - bits of the mask */
};

static uint64_t key_of_real(double real) {
    if (isnan(real)) real = NAN;
    real += 0.0; /* -0 becomes 0 */
    uint64_t key;
    memcpy(&key, &real, sizeof key);
    return key;
}

/* Keys of up to 64 values from row `first`. */
#define READ_KEYS(type, expression)                                                                                    \
    for (uint32_t i = 0; i < count; i++) {                                                                             \
        type value = ((const type *)column->values)[first + i];                                                        \
        keys[i] = (expression);                                                                                        \
    }                                                                                                                  \
    break

static void read_keys(const struct column *column, uint32_t first, uint32_t count, uint64_t *keys) {
    switch (column->type.kind) {
    case COLUMN_INT8: READ_KEYS(int8_t, (uint64_t)(int64_t)value);
    case COLUMN_INT16: READ_KEYS(int16_t, (uint64_t)(int64_t)value);
    case COLUMN_INT32:
    case COLUMN_DATE: READ_KEYS(int32_t, (uint64_t)(int64_t)value);
    case COLUMN_UINT8: READ_KEYS(uint8_t, value);
    case COLUMN_UINT16: READ_KEYS(uint16_t, value);
    case COLUMN_UINT32: READ_KEYS(uint32_t, value);
    case COLUMN_FLOAT32: READ_KEYS(float, key_of_real((double)value));
    case COLUMN_FLOAT64: READ_KEYS(double, key_of_real(value));
    default: READ_KEYS(uint64_t, value); /* INT64, UINT64, TIMESTAMP */
    }
}

static struct slice bytes_at(const struct column *column, uint32_t row) {
    if (column_kind_is_bytes(column->type.kind)) return column_bytes_at(column, row);
    return slice_of((const uint8_t *)column->values + (size_t)row * 16, 16); /* DECIMAL, UUID */
}

static uint64_t key_slot(const struct value_set *set, uint64_t key) {
    return key * 0x9e3779b97f4a7c15u >> set->shift; /* the high bits: doubles differ in theirs only */
}

static bool has_key(const struct value_set *set, uint64_t key) {
    for (uint64_t at = key_slot(set, key);; at = (at + 1) & set->mask) {
        if (!set->used[at]) return false;
        if (set->keys[at] == key) return true;
    }
}

static bool has_bytes(const struct value_set *set, struct slice bytes) {
    for (uint64_t at = hash_fast(bytes.data, bytes.size) & set->mask;; at = (at + 1) & set->mask) {
        if (!set->slots[at]) return false;
        if (slice_equal(bytes_at(set->values, set->slots[at] - 1), bytes)) return true;
    }
}

static bool fill_bytes(struct value_set *set, struct arena *arena, uint32_t count) {
    set->kind = SET_BYTES;
    set->slots = arena_zalloc(arena, (set->mask + 1) * sizeof *set->slots);
    if (!set->slots) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct slice bytes = bytes_at(set->values, i);
        uint64_t at = hash_fast(bytes.data, bytes.size) & set->mask;
        while (set->slots[at]) at = (at + 1) & set->mask;
        set->slots[at] = i + 1;
    }
    return true;
}

/* The values are sorted; keys of signed ones wrap around, but their differences do not. */
static bool fill_range(struct value_set *set, struct arena *arena, uint32_t count) {
    set->kind = SET_RANGE;
    set->bits = arena_zalloc(arena, set->span / 8 + 1);
    if (!set->bits) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key;
        read_keys(set->values, i, 1, &key);
        bitmap_set(set->bits, key - set->base);
    }
    return true;
}

static bool fill_keys(struct value_set *set, struct arena *arena, uint32_t count) {
    set->kind = SET_KEYS;
    set->keys = arena_alloc(arena, (set->mask + 1) * sizeof *set->keys);
    set->used = arena_zalloc(arena, (set->mask + 1) * sizeof *set->used);
    if (!set->keys || !set->used) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key;
        read_keys(set->values, i, 1, &key);
        uint64_t at = key_slot(set, key);
        while (set->used[at]) at = (at + 1) & set->mask;
        set->used[at] = true;
        set->keys[at] = key;
    }
    return true;
}

const struct value_set *value_set_create(struct arena *arena, const struct column *values, uint32_t count) {
    struct value_set *set = arena_zalloc(arena, sizeof *set);
    if (!set) return NULL;
    set->values = values;
    set->mask = 3;
    while (set->mask + 1 < (uint64_t)count * 2) set->mask = set->mask * 2 + 1;
    set->shift = (unsigned)__builtin_clzll(set->mask);
    uint32_t width = column_type_width(values->type);
    if (width == 0 || width == 16) return fill_bytes(set, arena, count) ? set : NULL;
    if (!column_kind_is_float(values->type.kind)) {
        uint64_t last;
        read_keys(values, 0, 1, &set->base);
        read_keys(values, count - 1, 1, &last);
        set->span = last - set->base + 1;
        if (last - set->base < RANGE_MAX) return fill_range(set, arena, count) ? set : NULL;
    }
    return fill_keys(set, arena, count) ? set : NULL;
}

/* The rows of one word of the selection that are in the set; only bits of `among` are looked at (SET_RANGE: all). */
static uint64_t word_of_keys(const struct value_set *set, const struct column *column, uint32_t first, uint32_t count,
                             uint64_t among) {
    uint64_t keys[WORD_ROWS], found = 0;
    read_keys(column, first, count, keys);
    if (set->kind == SET_RANGE) {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t offset = keys[i] - set->base;
            bool inside = offset < set->span;
            found |= (uint64_t)(inside & bitmap_get(set->bits, inside ? offset : 0)) << i;
        }
        return found;
    }
    for (; among; among &= among - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(among);
        found |= (uint64_t)has_key(set, keys[i]) << i;
    }
    return found;
}

static uint64_t word_of_bytes(const struct value_set *set, const struct column *column, uint32_t first,
                              uint64_t among) {
    uint64_t found = 0;
    for (; among; among &= among - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(among);
        found |= (uint64_t)has_bytes(set, bytes_at(column, first + i)) << i;
    }
    return found;
}

void value_set_narrow(const struct value_set *set, const struct column *column, uint32_t rows, bool wanted,
                      uint64_t *selection) {
    for (uint32_t first = 0; first < rows; first += WORD_ROWS, selection++) {
        uint64_t among = *selection;
        if (!among) continue;
        uint32_t count = rows - first < WORD_ROWS ? rows - first : WORD_ROWS;
        uint64_t found = set->kind == SET_BYTES ? word_of_bytes(set, column, first, among)
                                                : word_of_keys(set, column, first, count, among);
        *selection = wanted ? among & found : among & ~found;
    }
}
