#include "query/group_codes.h"

#include <stdlib.h>

#include "base/hash.h"

/* ---- numbers to codes ---- */

struct number_slot {
    uint64_t number;
    uint32_t code; /* + 1; 0: free */
};

struct number_table {
    struct number_slot *slots;
    uint32_t size; /* a power of two */
    uint32_t count;
};

static inline uint32_t number_hash(uint64_t number) {
    number *= UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(number >> 32);
}

static bool number_table_grow(struct number_table *table) {
    uint32_t size = table->size ? table->size * 2 : 64;
    struct number_slot *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < table->size; i++) {
        struct number_slot slot = table->slots[i];
        if (!slot.code) continue;
        uint32_t at = number_hash(slot.number) & (size - 1);
        while (slots[at].code) at = (at + 1) & (size - 1);
        slots[at] = slot;
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return true;
}

/* The number's code, `next` when it is new; UINT32_MAX when memory is out. */
static inline uint32_t number_code(struct number_table *table, uint64_t number, uint32_t next) {
    if (table->count * 2 >= table->size && !number_table_grow(table)) return UINT32_MAX;
    uint32_t at = number_hash(number) & (table->size - 1);
    for (; table->slots[at].code; at = (at + 1) & (table->size - 1))
        if (table->slots[at].number == number) return table->slots[at].code - 1;
    table->slots[at] = (struct number_slot){number, next + 1};
    table->count++;
    return next;
}

/* ---- bytes to codes ---- */

struct bytes_slot {
    uint32_t hash;
    uint32_t code; /* + 1; 0: free */
    struct slice bytes;
};

struct bytes_table {
    struct bytes_slot *slots;
    uint32_t size;
    uint32_t count;
    struct arena arena; /* the bytes */
};

static bool bytes_table_grow(struct bytes_table *table) {
    uint32_t size = table->size ? table->size * 2 : 64;
    struct bytes_slot *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < table->size; i++) {
        if (!table->slots[i].code) continue;
        uint32_t at = table->slots[i].hash & (size - 1);
        while (slots[at].code) at = (at + 1) & (size - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return true;
}

static inline uint32_t bytes_code(struct bytes_table *table, struct slice bytes, uint32_t next) {
    if (table->count * 2 >= table->size && !bytes_table_grow(table)) return UINT32_MAX;
    uint32_t hash = (uint32_t)hash_fast(bytes.data, bytes.size), at = hash & (table->size - 1);
    for (; table->slots[at].code; at = (at + 1) & (table->size - 1))
        if (table->slots[at].hash == hash && slice_equal(table->slots[at].bytes, bytes))
            return table->slots[at].code - 1;
    const uint8_t *copy = arena_copy(&table->arena, bytes);
    if (!copy) return UINT32_MAX;
    table->slots[at] = (struct bytes_slot){hash, next + 1, slice_of(copy, bytes.size)};
    table->count++;
    return next;
}

/* ---- columns ---- */

struct column_codes {
    struct number_table numbers; /* of columns of at most 8 bytes */
    struct bytes_table bytes;    /* of the others */
    uint32_t null_code;          /* + 1; 0: no null yet */
    uint32_t count;
};

struct group_codes {
    uint32_t column_count;
    uint32_t count;
    struct column_codes *columns;
    struct number_table *pairs; /* [i] folds column i in; [0] is unused */
    uint32_t *pair_counts;
};

struct group_codes *group_codes_create(uint32_t column_count) {
    struct group_codes *codes = calloc(1, sizeof *codes);
    if (!codes) return NULL;
    codes->column_count = column_count;
    codes->columns = calloc(column_count, sizeof *codes->columns);
    codes->pairs = calloc(column_count, sizeof *codes->pairs);
    codes->pair_counts = calloc(column_count, sizeof *codes->pair_counts);
    for (uint32_t i = 0; codes->columns && i < column_count; i++) arena_init(&codes->columns[i].bytes.arena);
    if (codes->columns && codes->pairs && codes->pair_counts) return codes;
    group_codes_destroy(codes);
    return NULL;
}

void group_codes_destroy(struct group_codes *codes) {
    if (!codes) return;
    for (uint32_t i = 0; codes->columns && i < codes->column_count; i++) {
        free(codes->columns[i].numbers.slots);
        free(codes->columns[i].bytes.slots);
        arena_deinit(&codes->columns[i].bytes.arena);
    }
    for (uint32_t i = 0; codes->pairs && i < codes->column_count; i++) free(codes->pairs[i].slots);
    free(codes->columns);
    free(codes->pairs);
    free(codes->pair_counts);
    free(codes);
}

uint32_t group_codes_count(const struct group_codes *codes) { return codes->count; }

uint64_t group_codes_bytes(const struct group_codes *codes) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < codes->column_count; i++)
        bytes += codes->columns[i].numbers.size * sizeof(struct number_slot) +
                 codes->columns[i].bytes.size * sizeof(struct bytes_slot) + codes->columns[i].bytes.arena.used_bytes +
                 codes->pairs[i].size * sizeof(struct number_slot);
    return bytes;
}

static inline bool taken(struct column_codes *codes, uint32_t code) {
    if (code == codes->count) codes->count++;
    return code != UINT32_MAX;
}

static uint32_t null_code(struct column_codes *codes) {
    if (!codes->null_code) codes->null_code = ++codes->count;
    return codes->null_code - 1;
}

/* Neighbours are often equal: those need no probe. */
#define CODES_OF_NUMBERS(load)                                                                                         \
    do {                                                                                                               \
        uint64_t last = 0;                                                                                             \
        uint32_t last_code = UINT32_MAX;                                                                               \
        for (uint32_t i = 0; i < count; i++) {                                                                         \
            uint32_t row = list ? list[i] : i;                                                                         \
            if (column->validity && !bitmap_get(column->validity, row)) {                                              \
                into[i] = null_code(codes);                                                                            \
                continue;                                                                                              \
            }                                                                                                          \
            uint64_t number = (load);                                                                                  \
            if (number != last || last_code == UINT32_MAX) {                                                           \
                last_code = number_code(&codes->numbers, number, codes->count);                                        \
                if (!taken(codes, last_code)) return false;                                                            \
                last = number;                                                                                         \
            }                                                                                                          \
            into[i] = last_code;                                                                                       \
        }                                                                                                              \
        return true;                                                                                                   \
    } while (0)

static bool codes_of_bytes(struct column_codes *codes, const struct column *column, uint32_t width,
                           const uint32_t *list, uint32_t count, uint32_t *into) {
    struct slice last = {0};
    uint32_t last_code = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = list ? list[i] : i;
        if (column->validity && !bitmap_get(column->validity, row)) {
            into[i] = null_code(codes);
            continue;
        }
        struct slice value = width ? slice_of((const uint8_t *)column->values + (size_t)row * width, width)
                                   : column_bytes_at(column, row);
        if (last_code == UINT32_MAX || !slice_equal(value, last)) {
            last_code = bytes_code(&codes->bytes, value, codes->count);
            if (!taken(codes, last_code)) return false;
            last = value;
        }
        into[i] = last_code;
    }
    return true;
}

static bool codes_of_column(struct column_codes *codes, const struct column *column, const uint32_t *list,
                            uint32_t count, uint32_t *into) {
    uint32_t width = column_type_width(column->type);
    if (column->type.kind == COLUMN_BOOL) CODES_OF_NUMBERS(bitmap_get(column->values, row));
    switch (width) {
    case 1: CODES_OF_NUMBERS(((const uint8_t *)column->values)[row]);
    case 2: CODES_OF_NUMBERS(((const uint16_t *)column->values)[row]);
    case 4: CODES_OF_NUMBERS(((const uint32_t *)column->values)[row]);
    case 8: CODES_OF_NUMBERS(((const uint64_t *)column->values)[row]);
    default: return codes_of_bytes(codes, column, width, list, count, into);
    }
}

/* into[i] = the code of the pair (into[i], other[i]). */
static bool fold(struct number_table *pairs, uint32_t *pair_count, const uint32_t *other, uint32_t count,
                 uint32_t *into) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t code = number_code(pairs, (uint64_t)into[i] << 32 | other[i], *pair_count);
        if (code == UINT32_MAX) return false;
        if (code == *pair_count) ++*pair_count;
        into[i] = code;
    }
    return true;
}

bool group_codes_of(struct group_codes *codes, const struct column *const *columns, const uint32_t *list,
                    uint32_t count, uint32_t *into, uint32_t *scratch) {
    if (!codes_of_column(&codes->columns[0], columns[0], list, count, into)) return false;
    codes->count = codes->columns[0].count;
    for (uint32_t c = 1; c < codes->column_count; c++) {
        if (!codes_of_column(&codes->columns[c], columns[c], list, count, scratch) ||
            !fold(&codes->pairs[c], &codes->pair_counts[c], scratch, count, into))
            return false;
        codes->count = codes->pair_counts[c];
    }
    return true;
}
