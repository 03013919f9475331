/* Every comparison is one of =, <, <= with the answer inverted or not, which for floats also is the order with NaN on
 * top: x > c is not x <= c, and so true for NaN. When c itself is NaN, x < c is "x is a number" and x <= c is true.
 *
 * Sixty-four comparisons go into as many bytes, which the compiler does in vector registers, and the bytes into one
 * word of the bitmap. */
#include "expr/predicate_kernels.h"

#include <math.h>

#include "expr/scalar.h"

enum { WORD_ROWS = 64 };

enum relation { RELATION_EQ = 0, RELATION_LT = 1, RELATION_LE = 2 };

struct test {
    enum relation relation;
    bool inverted;
};

static struct test test_of(enum predicate_comparison comparison) {
    switch (comparison) {
    case COMPARE_NE: return (struct test){RELATION_EQ, true};
    case COMPARE_LT: return (struct test){RELATION_LT, false};
    case COMPARE_LE: return (struct test){RELATION_LE, false};
    case COMPARE_GT: return (struct test){RELATION_LE, true};
    case COMPARE_GE: return (struct test){RELATION_LT, true};
    default: return (struct test){RELATION_EQ, false};
    }
}

/* Eight bytes of 0 or 1 become eight bits: byte k, at bit 8k, times the factor's 2^(56 - 7k) lands at bit 56 + k, and
 * nothing else lands there or carries. */
static inline uint64_t pack_bytes(const uint8_t hits[WORD_ROWS]) {
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++) word |= (load_u64(hits + 8 * i) * 0x0102040810204080u >> 56) << (8 * i);
    return word;
}

typedef void kernel(const void *values, uint32_t rows, const void *constant, uint64_t flip, uint64_t *selection);

#define DEFINE_KERNEL(name, type, operator)                                                                            \
    static void name(const void *values, uint32_t rows, const void *constant, uint64_t flip, uint64_t *selection) {    \
        const type *x = values;                                                                                        \
        const type c = *(const type *)constant;                                                                        \
        uint8_t hits[WORD_ROWS] = {0};                                                                                 \
        uint32_t words = rows / WORD_ROWS, rest = rows % WORD_ROWS;                                                    \
        for (uint32_t w = 0; w < words; w++, x += WORD_ROWS) {                                                         \
            if (!selection[w]) continue;                                                                               \
            for (uint32_t i = 0; i < WORD_ROWS; i++) hits[i] = x[i] operator c;                                        \
            selection[w] &= pack_bytes(hits) ^ flip;                                                                   \
        }                                                                                                              \
        if (!rest) return;                                                                                             \
        for (uint32_t i = 0; i < rest; i++) hits[i] = x[i] operator c;                                                 \
        selection[words] &= pack_bytes(hits) ^ flip;                                                                   \
    }
#define DEFINE_KERNELS(type)                                                                                           \
    DEFINE_KERNEL(equal_##type, type, ==)                                                                              \
    DEFINE_KERNEL(less_##type, type, <)                                                                                \
    DEFINE_KERNEL(less_equal_##type, type, <=)                                                                         \
    static kernel *const kernels_##type[] = {equal_##type, less_##type, less_equal_##type};

DEFINE_KERNELS(int8_t)
DEFINE_KERNELS(int16_t)
DEFINE_KERNELS(int32_t)
DEFINE_KERNELS(int64_t)
DEFINE_KERNELS(uint8_t)
DEFINE_KERNELS(uint16_t)
DEFINE_KERNELS(uint32_t)
DEFINE_KERNELS(uint64_t)
DEFINE_KERNELS(float)
DEFINE_KERNELS(double)
DEFINE_KERNELS(int128)

static kernel *const *kernels_of(uint8_t kind) {
    switch (kind) {
    case COLUMN_INT8: return kernels_int8_t;
    case COLUMN_INT16: return kernels_int16_t;
    case COLUMN_INT32:
    case COLUMN_DATE: return kernels_int32_t;
    case COLUMN_INT64:
    case COLUMN_TIMESTAMP: return kernels_int64_t;
    case COLUMN_UINT8: return kernels_uint8_t;
    case COLUMN_UINT16: return kernels_uint16_t;
    case COLUMN_UINT32: return kernels_uint32_t;
    case COLUMN_UINT64: return kernels_uint64_t;
    case COLUMN_FLOAT32: return kernels_float;
    case COLUMN_FLOAT64: return kernels_double;
    case COLUMN_DECIMAL: return kernels_int128;
    default: return NULL;
    }
}

/* Comparisons with NaN, by what is true of NaN and of numbers. */
static void compare_with_nan(const struct column *column, uint32_t rows, struct test test, uint64_t *selection) {
    for (uint32_t row = 0; row < rows; row++) {
        bool is_nan = isnan(scalar_at(column, row).real);
        bool holds = test.relation == RELATION_EQ ? is_nan : test.relation == RELATION_LT ? !is_nan : true;
        if (holds == test.inverted) selection[row / WORD_ROWS] &= ~(1ull << row % WORD_ROWS);
    }
}

/* The rows of `selection` one by one: for what is compared by a call. */
#define FOR_SELECTED(selection, rows, row, word, bits)                                                                 \
    for (uint32_t word = 0; word < ((rows) + WORD_ROWS - 1) / WORD_ROWS; word++)                                       \
        for (uint64_t bits = (selection)[word], row;                                                                   \
             bits && (row = word * WORD_ROWS + (unsigned)__builtin_ctzll(bits), 1); bits &= bits - 1)

static void compare_scalars(const struct column *column, uint32_t rows, struct test test, const struct column *constant,
                            uint64_t *selection) {
    enum scalar_class class = scalar_class_of(column->type.kind);
    struct scalar wanted = scalar_at(constant, 0);
    FOR_SELECTED(selection, rows, row, word, bits) {
        struct scalar value = scalar_at(column, (uint32_t)row);
        int order = scalar_compare(class, &value, &wanted);
        bool holds = test.relation == RELATION_EQ ? order == 0 : test.relation == RELATION_LT ? order < 0 : order <= 0;
        if (holds == test.inverted) selection[word] &= ~(bits & -bits);
    }
}

static void compare_bytes(const struct column *column, uint32_t rows, struct test test, struct slice wanted,
                          uint64_t *selection) {
    FOR_SELECTED(selection, rows, row, word, bits) {
        int order = slice_compare(column_bytes_at(column, (uint32_t)row), wanted);
        bool holds = test.relation == RELATION_LT ? order < 0 : order <= 0;
        if (holds == test.inverted) selection[word] &= ~(bits & -bits);
    }
}

/* The last eight bytes differ more often than the first. */
static inline bool equal_of_size(const uint8_t *a, const uint8_t *b, uint32_t size) {
    if (size >= 8 && load_u64(a + size - 8) != load_u64(b + size - 8)) return false;
    return size == 8 || memcmp(a, b, size) == 0;
}

/* Equality of strings: first the lengths of sixty-four rows at once, then the bytes of those that remain. */
static void equal_bytes(const struct column *column, uint32_t rows, struct slice wanted, bool inverted,
                        uint64_t *selection) {
    const uint32_t *offsets = column->offsets;
    uint32_t size = (uint32_t)wanted.size;
    uint8_t hits[WORD_ROWS] = {0};
    for (uint32_t first = 0, w = 0; first < rows; first += WORD_ROWS, w++, offsets += WORD_ROWS) {
        if (!selection[w]) continue;
        uint32_t count = rows - first < WORD_ROWS ? rows - first : WORD_ROWS;
        for (uint32_t i = 0; i < count; i++) hits[i] = offsets[i + 1] - offsets[i] == size;
        uint64_t equal = pack_bytes(hits) & selection[w];
        for (uint64_t bits = size ? equal : 0; bits; bits &= bits - 1) {
            unsigned i = (unsigned)__builtin_ctzll(bits);
            if (!equal_of_size(column->bytes + offsets[i], wanted.data, size)) equal &= ~(bits & -bits);
        }
        selection[w] = inverted ? selection[w] & ~equal : equal;
    }
}

void kernel_compare(const struct column *column, uint32_t rows, enum predicate_comparison comparison,
                    const struct column *constant, uint64_t *selection) {
    struct test test = test_of(comparison);
    kernel *const *kernels = kernels_of(column->type.kind);
    if (column_kind_is_float(column->type.kind) && isnan(scalar_at(constant, 0).real)) {
        compare_with_nan(column, rows, test, selection);
    } else if (kernels) {
        kernels[test.relation](column->values, rows, constant->values, test.inverted ? UINT64_MAX : 0, selection);
    } else if (column_kind_is_bytes(column->type.kind) && test.relation == RELATION_EQ) {
        equal_bytes(column, rows, column_bytes_at(constant, 0), test.inverted, selection);
    } else if (column_kind_is_bytes(column->type.kind)) {
        compare_bytes(column, rows, test, column_bytes_at(constant, 0), selection);
    } else {
        compare_scalars(column, rows, test, constant, selection);
    }
}

void kernel_prefix(const struct column *column, uint32_t rows, struct slice prefix, bool wanted, uint64_t *selection) {
    FOR_SELECTED(selection, rows, row, word, bits) {
        bool holds = slice_starts_with(column_bytes_at(column, (uint32_t)row), prefix);
        if (holds != wanted) selection[word] &= ~(bits & -bits);
    }
}

void kernel_filter_bytes(const struct column *column, uint32_t rows, kernel_match *match, const void *context,
                         bool wanted, uint64_t *selection) {
    FOR_SELECTED(selection, rows, row, word, bits) {
        bool holds = match(context, column_bytes_at(column, (uint32_t)row));
        if (holds != wanted) selection[word] &= ~(bits & -bits);
    }
}

void kernel_bits(const uint8_t *bits, uint32_t rows, bool wanted, uint64_t *selection) {
    uint64_t flip = wanted ? 0 : UINT64_MAX;
    uint32_t words = rows / WORD_ROWS, rest = rows % WORD_ROWS;
    for (uint32_t w = 0; w < words; w++) selection[w] &= load_u64(bits + 8 * (size_t)w) ^ flip;
    if (!rest) return;
    uint64_t last = 0;
    memcpy(&last, bits + 8 * (size_t)words, (rest + 7) / 8);
    selection[words] &= last ^ flip;
}
