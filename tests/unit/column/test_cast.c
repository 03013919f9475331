#include <stdio.h>

#include "column_model.h"

static struct column_type parse_type(const char *text) {
    struct column_type type;
    struct plinth_error error = {0};
    assert_ok(column_type_parse(slice_of_string(text), &type, &error), &error);
    return type;
}

static struct column_builder build(const char *type, const char *const *values, uint32_t count) {
    struct column_builder builder;
    assert_true(column_builder_init(&builder, parse_type(type)));
    for (uint32_t i = 0; i < count; i++) {
        struct plinth_error error = {0};
        if (!values[i])
            assert_true(column_builder_null(&builder));
        else
            assert_ok(column_builder_text(&builder, slice_of_string(values[i]), &error), &error);
    }
    return builder;
}

enum { VALUES_MAX = 12 };
struct cast_case {
    const char *from, *to;
    const char *values[VALUES_MAX]; /* "null" is one */
    const char *wanted[VALUES_MAX]; /* "reject": does not fit */
};

static const struct cast_case cases[] = {
    {"int64", "int8", {"-128", "127", "null", "128", "-129"}, {"-128", "127", "null", "reject", "reject"}},
    {"int8", "int64", {"-128", "127"}, {"-128", "127"}},
    {"int64", "uint64", {"-1", "0", "9223372036854775807"}, {"reject", "0", "9223372036854775807"}},
    {"uint64", "int64", {"9223372036854775807", "9223372036854775808"}, {"9223372036854775807", "reject"}},
    {"uint64", "int8", {"127", "128", "18446744073709551615"}, {"127", "reject", "reject"}},
    {"int8", "uint8", {"-1", "127"}, {"reject", "127"}},
    {"int8", "uint64", {"-1", "127"}, {"reject", "127"}},
    {"uint8", "int8", {"127", "128"}, {"127", "reject"}},
    {"uint32", "int32", {"2147483647", "2147483648"}, {"2147483647", "reject"}},
    {"int32", "uint16", {"65535", "65536", "-1"}, {"65535", "reject", "reject"}},
    {"int32", "float32", {"16777216", "16777217", "-16777216"}, {"16777216", "reject", "-16777216"}},
    {"int64", "float64", {"9007199254740992", "9007199254740993"}, {"9007199254740992", "reject"}},
    {"int64", "float64", {"-9223372036854775808", "9223372036854775807"}, {"-9223372036854775808", "reject"}},
    {"uint64", "float64", {"18446744073709551615", "9223372036854775808"}, {"reject", "9223372036854775808"}},
    {"float32", "float64", {"0.5", "inf", "-0"}, {"0.5", "inf", "-0"}},
    {"timestamp(ms)",
     "timestamp(s)",
     {"2020-01-01T00:00:01", "2020-01-01T00:00:01.5"},
     {"2020-01-01T00:00:01", "reject"}},
    {"timestamp(s)", "timestamp(ns)", {"1969-12-31T23:59:59", "2300-01-01"}, {"1969-12-31T23:59:59", "reject"}},
    {"timestamp(us, utc)", "timestamp(ms, utc)", {"2020-01-01T00:00:00.001"}, {"2020-01-01T00:00:00.001"}},
    {"date", "timestamp(ms)", {"1969-12-31", "+5881580-07-11"}, {"1969-12-31", "+5881580-07-11"}},
    {"date", "timestamp(ns)", {"2262-04-11", "2262-04-12"}, {"2262-04-11", "reject"}},
    {"date", "timestamp(us, utc)", {"2000-02-29"}, {"2000-02-29"}},
    {"decimal(5,2)", "decimal(6,3)", {"1.25", "-999.99"}, {"1.250", "-999.990"}},
    {"decimal(5,2)", "decimal(5,3)", {"99.99", "100.00"}, {"99.990", "reject"}},
    {"decimal(5,2)", "decimal(4,1)", {"1.50", "1.25", "-0.10"}, {"1.5", "reject", "-0.1"}},
    {"decimal(38,0)",
     "decimal(38,38)",
     {"0", "1", "99999999999999999999999999999999999999"},
     {"0", "reject", "reject"}},
    {"decimal(38,0)", "decimal(3,0)", {"999", "1000"}, {"999", "reject"}},
    {"int32", "decimal(5,2)", {"999", "1000", "-999"}, {"999", "reject", "-999"}},
    {"uint64", "decimal(38,0)", {"18446744073709551615"}, {"18446744073709551615"}},
    {"uint64", "decimal(38,38)", {"0", "1"}, {"0", "reject"}},
    {"string", "bytes", {"a", "", "null"}, {"a", "", "null"}},
    {"bytes", "string", {"a", "\\xff", "\\xc3a4"}, {"a", "reject", "\xC3\xA4"}},
    {"bytes", "string", {"\\x61c3", "\\xa4"}, {"reject", "reject"}},
    {"bytes", "uuid", {"0123456789abcdef", "short"}, {"30313233-3435-3637-3839-616263646566", "reject"}},
    {"list<int32>",
     "list<int8>",
     {"{1,null,-128}", "{}", "{1,128}", "null"},
     {"{1,null,-128}", "{}", "reject", "null"}},
    {"list<bytes>", "list<string>", {"{a}", "{a,\"\\\\xff\"}"}, {"{a}", "reject"}},
};

static bool is(const char *text, const char *word) { return text && strcmp(text, word) == 0; }

static void check_case(const struct cast_case *cast) {
    const char *values[VALUES_MAX], *wanted[VALUES_MAX];
    uint32_t rows = 0;
    int first_reject = -1;
    for (; rows < VALUES_MAX && cast->values[rows]; rows++) {
        bool reject = is(cast->wanted[rows], "reject");
        values[rows] = is(cast->values[rows], "null") ? NULL : cast->values[rows];
        wanted[rows] = reject || is(cast->wanted[rows], "null") ? NULL : cast->wanted[rows];
        if (reject && first_reject < 0) first_reject = (int)rows;
    }
    struct column_builder from_builder = build(cast->from, values, rows),
                          wanted_builder = build(cast->to, wanted, rows);
    struct column from = column_builder_view(&from_builder), right = column_builder_view(&wanted_builder), out;
    struct arena arena;
    struct plinth_error error = {0};
    uint8_t rejected[2] = {0};
    arena_init(&arena);
    assert_true(column_cast_is_possible(from.type, right.type));
    assert_ok(column_cast(&arena, &from, rows, right.type, rejected, &out, &error), &error);
    model_assert_columns_equal(&out, &right, rows);
    for (uint32_t i = 0; i < rows; i++) assert_int_equal(bitmap_get(rejected, i), is(cast->wanted[i], "reject"));
    if (first_reject < 0) {
        assert_ok(column_cast(&arena, &from, rows, right.type, NULL, &out, &error), &error);
    } else {
        char named[32];
        snprintf(named, sizeof named, "row %d: ", first_reject);
        assert_status(column_cast(&arena, &from, rows, right.type, NULL, &out, &error), PLINTH_INVALID_ARGUMENT,
                      &error);
        assert_error_names(&error, named);
        assert_error_names(&error, cast->to);
    }
    arena_deinit(&arena);
    column_builder_deinit(&from_builder);
    column_builder_deinit(&wanted_builder);
}

static void casts_lose_nothing_or_reject_the_row(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&cases[i]);
}

static void a_rejected_row_is_named_with_its_value(void **state) {
    (void)state;
    const char *values[] = {"1", "300"};
    struct column_builder builder = build("int32", values, 2);
    struct column from = column_builder_view(&builder), out;
    struct arena arena;
    struct plinth_error error = {0};
    arena_init(&arena);
    assert_status(column_cast(&arena, &from, 2, column_type_of(COLUMN_UINT8), NULL, &out, &error),
                  PLINTH_INVALID_ARGUMENT, &error);
    assert_string_equal(error.text, "row 1: 300 does not fit uint8");
    arena_deinit(&arena);
    column_builder_deinit(&builder);
}

/* Which kinds may become which: rows are `from`. */
static bool may_become(struct column_type from, struct column_type to) {
    if (column_type_equal(from, to)) return true;
    bool integer = column_kind_is_integer(from.kind);
    if (integer) return column_kind_is_integer(to.kind) || column_kind_is_float(to.kind) || to.kind == COLUMN_DECIMAL;
    if (from.kind == COLUMN_FLOAT32) return to.kind == COLUMN_FLOAT64;
    if (from.kind == COLUMN_DECIMAL) return to.kind == COLUMN_DECIMAL;
    if (from.kind == COLUMN_STRING) return to.kind == COLUMN_BYTES;
    if (from.kind == COLUMN_BYTES) return to.kind == COLUMN_STRING || to.kind == COLUMN_UUID;
    if (from.kind == COLUMN_DATE) return to.kind == COLUMN_TIMESTAMP;
    if (from.kind == COLUMN_TIMESTAMP) return to.kind == COLUMN_TIMESTAMP && from.zoned == to.zoned;
    return false; /* BOOL, FLOAT64, UUID; the lists of the model go with themselves alone */
}

static void types_that_do_not_go_together_are_refused_unless_all_is_null(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed());
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        for (unsigned j = 0; j < MODEL_TYPES; j++) {
            struct column_type from_type = model_type(i), to = model_type(j);
            bool possible = may_become(from_type, to);
            assert_int_equal(column_cast_is_possible(from_type, to), possible);
            struct arena arena;
            struct column nulls, out;
            struct plinth_error error = {0};
            arena_init(&arena);
            assert_true(column_make_nulls(&arena, from_type, 9, &nulls));
            assert_ok(column_cast(&arena, &nulls, 9, to, NULL, &out, &error), &error);
            assert_true(column_type_equal(out.type, to));
            assert_int_equal(out.null_count, 9);
            struct column_builder builder;
            assert_true(column_builder_init(&builder, from_type));
            do model_append(&random, &builder, 0);
            while (builder.child && !builder.child->rows);
            struct column from = column_builder_view(&builder);
            uint8_t rejected = 0;
            enum plinth_status status =
                column_cast(&arena, &from, builder.rows > 8 ? 8 : builder.rows, to, &rejected, &out, &error);
            assert_int_equal(status, possible ? PLINTH_OK : PLINTH_INVALID_ARGUMENT);
            if (!possible) assert_error_names(&error, "cannot become");
            column_builder_deinit(&builder);
            arena_deinit(&arena);
        }
    }
}

/* Every value that fits comes back equal from there and back; what does not is rejected on the way there. */
static void integers_come_back_from_every_width(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 1);
    enum { ROWS = 1500 };
    for (unsigned i = COLUMN_INT8; i <= COLUMN_UINT64; i++) {
        for (unsigned j = COLUMN_INT8; j <= COLUMN_UINT64; j++) {
            struct column_builder builder = model_builder(&random, column_type_of(i), ROWS, 6);
            struct column from = column_builder_view(&builder), there, back;
            uint8_t rejected[ROWS / 8 + 1] = {0};
            struct arena arena;
            arena_init(&arena);
            assert_ok(column_cast(&arena, &from, ROWS, column_type_of(j), rejected, &there, NULL), NULL);
            assert_ok(column_cast(&arena, &there, ROWS, column_type_of(i), NULL, &back, NULL), NULL);
            for (uint32_t row = 0; row < ROWS; row++) {
                if (bitmap_get(rejected, row))
                    assert_true(column_is_null(&back, row) && !column_is_null(&from, row));
                else
                    model_assert_equal(&from, row, &back, row);
            }
            if (i == j || (j > i && (i >= COLUMN_UINT8) == (j >= COLUMN_UINT8)))
                assert_int_equal(bitmap_count(rejected, ROWS), 0); /* wider: all fit */
            arena_deinit(&arena);
            column_builder_deinit(&builder);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(casts_lose_nothing_or_reject_the_row),
        cmocka_unit_test(a_rejected_row_is_named_with_its_value),
        cmocka_unit_test(types_that_do_not_go_together_are_refused_unless_all_is_null),
        cmocka_unit_test(integers_come_back_from_every_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
