#include "column_model.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct column_type types[MODEL_TYPES] = {
    {.kind = COLUMN_BOOL},
    {.kind = COLUMN_INT8},
    {.kind = COLUMN_INT16},
    {.kind = COLUMN_INT32},
    {.kind = COLUMN_INT64},
    {.kind = COLUMN_UINT8},
    {.kind = COLUMN_UINT16},
    {.kind = COLUMN_UINT32},
    {.kind = COLUMN_UINT64},
    {.kind = COLUMN_FLOAT32},
    {.kind = COLUMN_FLOAT64},
    {.kind = COLUMN_DECIMAL, .precision = 38, .scale = 10},
    {.kind = COLUMN_DECIMAL, .precision = 5, .scale = 2},
    {.kind = COLUMN_STRING},
    {.kind = COLUMN_BYTES},
    {.kind = COLUMN_DATE},
    {.kind = COLUMN_TIMESTAMP, .unit = TIME_SECOND},
    {.kind = COLUMN_TIMESTAMP, .unit = TIME_MILLI},
    {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true},
    {.kind = COLUMN_TIMESTAMP, .unit = TIME_NANO},
    {.kind = COLUMN_UUID},
    {.kind = COLUMN_STRING},
    {.kind = COLUMN_INT64},
    {.kind = COLUMN_LIST, .element = COLUMN_INT32},
    {.kind = COLUMN_LIST, .element = COLUMN_STRING},
    {.kind = COLUMN_LIST, .element = COLUMN_BOOL},
};

struct column_type model_type(unsigned i) {
    return types[i];
}

uint64_t model_seed(void) {
    const char *text = getenv("PLINTH_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20260419;
    printf("PLINTH_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static int64_t random_integer(struct test_random *random) {
    static const int64_t edges[] = {
        0,     1,         -1,        127,        -128,      128,       32767,         -32768,
        65535, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1};
    switch (test_random_below(random, 4)) {
    case 0: return edges[test_random_below(random, sizeof edges / sizeof *edges)];
    case 1: return (int64_t)test_random_below(random, 5) - 2;
    default: return (int64_t)(test_random_u64(random) >> test_random_below(random, 64));
    }
}

static double random_float(struct test_random *random, bool narrow) {
    static const double edges[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 0.5, -1.5};
    static const double wide[] = {DBL_MAX, -DBL_MAX, DBL_MIN, -DBL_MIN, DBL_TRUE_MIN, -DBL_TRUE_MIN};
    static const double slim[] = {FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN, FLT_TRUE_MIN, -FLT_TRUE_MIN};
    switch (test_random_below(random, 4)) {
    case 0: return edges[test_random_below(random, sizeof edges / sizeof *edges)];
    case 1: return (narrow ? slim : wide)[test_random_below(random, 6)];
    default: return ldexp((double)(int32_t)test_random_u64(random), (int)test_random_below(random, 120) - 80);
    }
}

static void append_string(struct test_random *random, struct column_builder *builder) {
    static const char *const pieces[] = {"",
                                         "a",
                                         "aa",
                                         "b",
                                         "host-",
                                         "\xC3\xA4",
                                         "\xE2\x82\xAC",
                                         "\xF0\x9F\x90\x98",
                                         "\x7F",
                                         "long enough to pass the short copies",
                                         "\x01"};
    struct buffer text = BUFFER_INIT;
    for (uint64_t i = test_random_below(random, 4); i; i--) {
        const char *piece = pieces[test_random_below(random, sizeof pieces / sizeof *pieces)];
        assert_true(buffer_append(&text, piece, strlen(piece)));
        if (test_random_below(random, 6) == 0) assert_true(buffer_append_u8(&text, 0));
    }
    if (builder->type.kind == COLUMN_BYTES && test_random_below(random, 2))
        assert_true(buffer_append_u8(&text, test_random_below(random, 2) ? 0xFF : (uint8_t)test_random_u64(random)));
    assert_true(column_builder_bytes_value(builder, buffer_slice(&text)));
    buffer_deinit(&text);
}

static void append_decimal(struct test_random *random, struct column_builder *builder) {
    __int128 power = 1;
    for (unsigned i = 0; i < builder->type.precision; i++) power *= 10;
    __int128 value = (__int128)((unsigned __int128)test_random_u64(random) << 64 | test_random_u64(random));
    value >>= test_random_below(random, 127);
    value %= power;
    if (test_random_below(random, 8) == 0) value = power - 1;
    if (test_random_below(random, 8) == 0) value = 1 - power;
    assert_true(column_builder_bytes_value(builder, slice_of(&value, sizeof value)));
}

static void append_uuid(struct test_random *random, struct column_builder *builder) {
    uint8_t bytes[16] = {0};
    test_random_bytes(random, bytes + test_random_below(random, 16), 1);
    if (test_random_below(random, 2)) test_random_bytes(random, bytes, sizeof bytes);
    assert_true(column_builder_bytes_value(builder, slice_of(bytes, sizeof bytes)));
}

void model_append(struct test_random *random, struct column_builder *builder, unsigned null_in) {
    if (null_in && test_random_below(random, null_in) == 0) {
        assert_true(column_builder_null(builder));
        return;
    }
    switch (builder->type.kind) {
    case COLUMN_BOOL: assert_true(column_builder_bool(builder, test_random_below(random, 2))); break;
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64:
        assert_true(column_builder_float(builder, random_float(random, builder->type.kind == COLUMN_FLOAT32)));
        break;
    case COLUMN_DECIMAL: append_decimal(random, builder); break;
    case COLUMN_STRING:
    case COLUMN_BYTES: append_string(random, builder); break;
    case COLUMN_UUID: append_uuid(random, builder); break;
    case COLUMN_LIST:
        for (uint64_t i = test_random_below(random, 4); i; i--) model_append(random, builder->child, null_in);
        assert_true(column_builder_list(builder));
        break;
    default: assert_true(column_builder_integer(builder, random_integer(random)));
    }
}

struct column_builder model_builder(struct test_random *random, struct column_type type, uint32_t rows,
                                    unsigned null_in) {
    struct column_builder builder;
    assert_true(column_builder_init(&builder, type));
    for (uint32_t i = 0; i < rows; i++) model_append(random, &builder, null_in);
    return builder;
}

/* ---- comparing ---- */

static int compare_floats(double a, double b) {
    if (isnan(a) || isnan(b)) return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

static __int128 decimal_at(const struct column *column, uint32_t row) {
    __int128 value;
    memcpy(&value, (const uint8_t *)column->values + (size_t)row * 16, sizeof value);
    return value;
}

static int64_t signed_at(const struct column *column, uint32_t row) {
    switch (column_type_width(column->type)) {
    case 1: return ((const int8_t *)column->values)[row];
    case 2: return ((const int16_t *)column->values)[row];
    case 4: return ((const int32_t *)column->values)[row];
    default: return ((const int64_t *)column->values)[row];
    }
}

static uint64_t unsigned_at(const struct column *column, uint32_t row) {
    switch (column_type_width(column->type)) {
    case 1: return ((const uint8_t *)column->values)[row];
    case 2: return ((const uint16_t *)column->values)[row];
    case 4: return ((const uint32_t *)column->values)[row];
    default: return ((const uint64_t *)column->values)[row];
    }
}

#define ORDER(A, B) (((A) > (B)) - ((A) < (B)))

int model_compare(const struct column *a, uint32_t a_row, const struct column *b, uint32_t b_row) {
    bool a_null = column_is_null(a, a_row), b_null = column_is_null(b, b_row);
    if (a_null || b_null) return b_null - a_null;
    switch (a->type.kind) {
    case COLUMN_BOOL: return bitmap_get(a->values, a_row) - bitmap_get(b->values, b_row);
    case COLUMN_FLOAT32: return compare_floats(((const float *)a->values)[a_row], ((const float *)b->values)[b_row]);
    case COLUMN_FLOAT64: return compare_floats(((const double *)a->values)[a_row], ((const double *)b->values)[b_row]);
    case COLUMN_DECIMAL: return ORDER(decimal_at(a, a_row), decimal_at(b, b_row));
    case COLUMN_STRING:
    case COLUMN_BYTES: return slice_compare(column_bytes_at(a, a_row), column_bytes_at(b, b_row));
    case COLUMN_UUID:
        return memcmp((const uint8_t *)a->values + (size_t)a_row * 16, (const uint8_t *)b->values + (size_t)b_row * 16,
                      16);
    default: break;
    }
    if (column_kind_is_unsigned(a->type.kind)) return ORDER(unsigned_at(a, a_row), unsigned_at(b, b_row));
    return ORDER(signed_at(a, a_row), signed_at(b, b_row));
}

void model_assert_equal(const struct column *a, uint32_t a_row, const struct column *b, uint32_t b_row) {
    assert_true(column_type_equal(a->type, b->type));
    assert_int_equal(column_is_null(a, a_row), column_is_null(b, b_row));
    if (column_is_null(a, a_row)) return;
    uint32_t width = column_type_width(a->type);
    if (width) {
        assert_memory_equal((const uint8_t *)a->values + (size_t)a_row * width,
                            (const uint8_t *)b->values + (size_t)b_row * width, width);
    } else if (a->type.kind == COLUMN_LIST) {
        uint32_t size = a->offsets[a_row + 1] - a->offsets[a_row];
        assert_int_equal(size, b->offsets[b_row + 1] - b->offsets[b_row]);
        for (uint32_t i = 0; i < size; i++)
            model_assert_equal(a->child, a->offsets[a_row] + i, b->child, b->offsets[b_row] + i);
    } else {
        assert_int_equal(model_compare(a, a_row, b, b_row), 0);
    }
}

void model_assert_columns_equal(const struct column *a, const struct column *b, uint32_t rows) {
    assert_int_equal(a->null_count, b->null_count);
    for (uint32_t i = 0; i < rows; i++) model_assert_equal(a, i, b, i);
}
