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

/* ---- short strings to codes ---- */

enum { SHORT_BYTES_MAX = 16 };

/* At most 16 bytes as two numbers and the size: what overlaps is there twice, so that no load leaves the string. */
struct short_bytes {
    uint64_t first, last;
    uint32_t size;
};

struct short_slot {
    struct short_bytes bytes;
    uint32_t code; /* + 1; 0: free */
};

struct short_table {
    struct short_slot *slots;
    uint32_t size;
    uint32_t count;
};

static inline struct short_bytes short_bytes_of(struct slice text) {
    const uint8_t *at = text.data;
    size_t size = text.size;
    struct short_bytes packed = {0, 0, (uint32_t)size};
    if (size >= 8) {
        packed.first = load_u64(at);
        packed.last = load_u64(at + size - 8);
    } else if (size >= 4) {
        packed.first = load_u32(at);
        packed.last = load_u32(at + size - 4);
    } else if (size) {
        packed.first = at[0] | (uint64_t)at[size / 2] << 8 | (uint64_t)at[size - 1] << 16;
    }
    return packed;
}

static inline bool short_bytes_equal(struct short_bytes a, struct short_bytes b) {
    return a.first == b.first && a.last == b.last && a.size == b.size;
}

static inline uint32_t short_hash(struct short_bytes bytes) {
    uint64_t mixed = (bytes.first ^ bytes.size) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 32 ^ bytes.last) * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(mixed >> 32);
}

static bool short_table_grow(struct short_table *table) {
    uint32_t size = table->size ? table->size * 2 : 64;
    struct short_slot *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < table->size; i++) {
        if (!table->slots[i].code) continue;
        uint32_t at = short_hash(table->slots[i].bytes) & (size - 1);
        while (slots[at].code) at = (at + 1) & (size - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return true;
}

static inline uint32_t short_code(struct short_table *table, struct short_bytes bytes, uint32_t next) {
    if (table->count * 2 >= table->size && !short_table_grow(table)) return UINT32_MAX;
    uint32_t at = short_hash(bytes) & (table->size - 1);
    for (; table->slots[at].code; at = (at + 1) & (table->size - 1))
        if (short_bytes_equal(table->slots[at].bytes, bytes)) return table->slots[at].code - 1;
    table->slots[at] = (struct short_slot){bytes, next + 1};
    table->count++;
    return next;
}

/* ---- other bytes to codes ---- */

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
    struct number_table numbers;    /* of columns of at most 8 bytes */
    struct short_table short_bytes; /* of the others: values of at most SHORT_BYTES_MAX bytes, */
    struct bytes_table bytes;       /* and longer ones */
    uint32_t null_code;             /* + 1; 0: no null yet */
    uint32_t count;
};

/* Pairs of codes to codes: a matrix while both sides have few, then a table. */
struct pair_codes {
    uint32_t *matrix; /* rows * columns: code + 1; 0: not seen yet */
    uint32_t rows, columns;
    bool is_table;
    struct number_table table;
    uint32_t count;
};

enum { MATRIX_MAX = 1 << 16 };

struct group_codes {
    uint32_t column_count;
    uint32_t count;
    struct column_codes *columns;
    struct pair_codes *pairs; /* [i] folds column i in; [0] is unused */
};

struct group_codes *group_codes_create(uint32_t column_count) {
    struct group_codes *codes = calloc(1, sizeof *codes);
    if (!codes) return NULL;
    codes->column_count = column_count;
    codes->columns = calloc(column_count, sizeof *codes->columns);
    codes->pairs = calloc(column_count, sizeof *codes->pairs);
    for (uint32_t i = 0; codes->columns && i < column_count; i++) arena_init(&codes->columns[i].bytes.arena);
    if (codes->columns && codes->pairs) return codes;
    group_codes_destroy(codes);
    return NULL;
}

void group_codes_destroy(struct group_codes *codes) {
    if (!codes) return;
    for (uint32_t i = 0; codes->columns && i < codes->column_count; i++) {
        free(codes->columns[i].numbers.slots);
        free(codes->columns[i].short_bytes.slots);
        free(codes->columns[i].bytes.slots);
        arena_deinit(&codes->columns[i].bytes.arena);
    }
    for (uint32_t i = 0; codes->pairs && i < codes->column_count; i++) {
        free(codes->pairs[i].matrix);
        free(codes->pairs[i].table.slots);
    }
    free(codes->columns);
    free(codes->pairs);
    free(codes);
}

uint32_t group_codes_count(const struct group_codes *codes) { return codes->count; }

uint64_t group_codes_bytes(const struct group_codes *codes) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < codes->column_count; i++)
        bytes += codes->columns[i].numbers.size * sizeof(struct number_slot) +
                 codes->columns[i].bytes.size * sizeof(struct bytes_slot) + codes->columns[i].bytes.arena.used_bytes +
                 codes->columns[i].short_bytes.size * sizeof(struct short_slot) +
                 codes->pairs[i].table.size * sizeof(struct number_slot) +
                 (uint64_t)codes->pairs[i].rows * codes->pairs[i].columns * sizeof(uint32_t);
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
    struct short_bytes last = {0};
    uint32_t last_code = UINT32_MAX; /* of `last`; UINT32_MAX: there is none */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = list ? list[i] : i;
        if (column->validity && !bitmap_get(column->validity, row)) {
            into[i] = null_code(codes);
            continue;
        }
        struct slice value = width ? slice_of((const uint8_t *)column->values + (size_t)row * width, width)
                                   : column_bytes_at(column, row);
        uint32_t code;
        if (value.size > SHORT_BYTES_MAX) {
            code = bytes_code(&codes->bytes, value, codes->count);
            if (!taken(codes, code)) return false;
        } else {
            struct short_bytes bytes = short_bytes_of(value);
            if (last_code == UINT32_MAX || !short_bytes_equal(bytes, last)) {
                last_code = short_code(&codes->short_bytes, bytes, codes->count);
                if (!taken(codes, last_code)) return false;
                last = bytes;
            }
            code = last_code;
        }
        into[i] = code;
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

static uint32_t round_up(uint32_t count) {
    uint32_t rounded = 8;
    while (rounded < count) rounded *= 2;
    return rounded;
}

/* Moves what the matrix knows into the table. */
static bool leave_matrix(struct pair_codes *pairs) {
    pairs->is_table = true;
    for (uint32_t row = 0; row < pairs->rows; row++)
        for (uint32_t column = 0; column < pairs->columns; column++) {
            uint32_t code = pairs->matrix[row * pairs->columns + column];
            if (code && number_code(&pairs->table, (uint64_t)row << 32 | column, code - 1) == UINT32_MAX) return false;
        }
    free(pairs->matrix);
    pairs->matrix = NULL;
    pairs->rows = pairs->columns = 0;
    return true;
}

/* Makes the matrix large enough for these numbers of codes, or gives it up. */
static bool fit_matrix(struct pair_codes *pairs, uint32_t row_count, uint32_t column_count) {
    if (pairs->is_table || (row_count <= pairs->rows && column_count <= pairs->columns)) return true;
    if (row_count > MATRIX_MAX || column_count > MATRIX_MAX ||
        (uint64_t)round_up(row_count) * round_up(column_count) > MATRIX_MAX)
        return leave_matrix(pairs);
    uint32_t rows = round_up(row_count), columns = round_up(column_count);
    uint32_t *larger = calloc((size_t)rows * columns, sizeof *larger);
    if (!larger) return false;
    for (uint32_t row = 0; row < pairs->rows; row++)
        memcpy(larger + (size_t)row * columns, pairs->matrix + (size_t)row * pairs->columns,
               pairs->columns * sizeof *larger);
    free(pairs->matrix);
    pairs->matrix = larger;
    pairs->rows = rows;
    pairs->columns = columns;
    return true;
}

/* into[i] = the code of the pair (into[i], other[i]). */
static bool fold(struct pair_codes *pairs, const uint32_t *other, uint32_t count, uint32_t *into) {
    for (uint32_t i = 0; !pairs->is_table && i < count; i++) {
        uint32_t *code = &pairs->matrix[(size_t)into[i] * pairs->columns + other[i]];
        if (!*code) *code = ++pairs->count;
        into[i] = *code - 1;
    }
    for (uint32_t i = 0; pairs->is_table && i < count; i++) {
        uint32_t code = number_code(&pairs->table, (uint64_t)into[i] << 32 | other[i], pairs->count);
        if (code == UINT32_MAX) return false;
        if (code == pairs->count) pairs->count++;
        into[i] = code;
    }
    return true;
}

bool group_codes_of(struct group_codes *codes, const struct column *const *columns, const uint32_t *list,
                    uint32_t count, uint32_t *into, uint32_t *scratch) {
    if (!codes_of_column(&codes->columns[0], columns[0], list, count, into)) return false;
    uint32_t left = codes->columns[0].count;
    for (uint32_t c = 1; c < codes->column_count; c++) {
        if (!codes_of_column(&codes->columns[c], columns[c], list, count, scratch) ||
            !fit_matrix(&codes->pairs[c], left, codes->columns[c].count) ||
            !fold(&codes->pairs[c], scratch, count, into))
            return false;
        left = codes->pairs[c].count;
    }
    codes->count = left;
    return true;
}
