#include "column/type.h"

#include <stdio.h>

#include "column_model.h"

static void check_parse(const char *text, const char *wanted) {
    struct column_type type;
    struct plinth_error error = {0};
    char formatted[COLUMN_TYPE_TEXT_MAX];
    assert_ok(column_type_parse(slice_of_string(text), &type, &error), &error);
    assert_true(column_type_is_valid(type));
    assert_string_equal(column_type_format(type, formatted), wanted);
}

static void types_are_read_with_aliases(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"bool", "bool"},
        {"BOOLEAN", "bool"},
        {"tinyint", "int8"},
        {"smallint", "int16"},
        {" Integer ", "int32"},
        {"int", "int32"},
        {"bigint", "int64"},
        {"uint64", "uint64"},
        {"real", "float32"},
        {"float", "float32"},
        {"double", "float64"},
        {"Double Precision", "float64"},
        {"text", "string"},
        {"varchar", "string"},
        {"binary", "bytes"},
        {"blob", "bytes"},
        {"bytea", "bytes"},
        {"date", "date"},
        {"uuid", "uuid"},
        {"decimal(38,0)", "decimal(38,0)"},
        {"numeric( 12 , 2 )", "decimal(12,2)"},
        {"decimal(7)", "decimal(7,0)"},
        {"timestamp", "timestamp(us)"},
        {"timestamp(s)", "timestamp(s)"},
        {"timestamp(ns)", "timestamp(ns)"},
        {"timestamp(ms, utc)", "timestamp(ms, utc)"},
        {"timestamp(us,UTC)", "timestamp(us, utc)"},
        {"timestamptz", "timestamp(us, utc)"},
        {"timestamptz(ns)", "timestamp(ns, utc)"},
        {"list<string>", "list<string>"},
        {"LIST< decimal(10,2) >", "list<decimal(10,2)>"},
        {"bigint[]", "list<int64>"},
        {"timestamp(ms, utc)[]", "list<timestamp(ms, utc)>"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) check_parse(pairs[i][0], pairs[i][1]);
}

static void what_is_no_type_is_named(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "int7",
                                      "decimal",
                                      "decimal()",
                                      "decimal(",
                                      "decimal(0)",
                                      "decimal(39)",
                                      "decimal(100)",
                                      "decimal(5,6)",
                                      "decimal(5,-1)",
                                      "decimal(5,2",
                                      "decimal(5,2)x",
                                      "timestamp()",
                                      "timestamp(min)",
                                      "timestamp(us, cet)",
                                      "timestamp(us,)",
                                      "list<>",
                                      "list<list<int8>>",
                                      "list<int8",
                                      "int8[][]",
                                      "[]",
                                      "list<int8>[]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct column_type type;
        struct plinth_error error = {0};
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\"", bad[i]);
        assert_status(column_type_parse(slice_of_string(bad[i]), &type, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, quoted);
        assert_int_equal(type.kind, 0);
    }
}

static void every_type_survives_text_and_bytes(void **state) {
    (void)state;
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        struct column_type type = model_type(i), read;
        char text[COLUMN_TYPE_TEXT_MAX];
        assert_true(column_type_is_valid(type));
        column_type_format(type, text);
        assert_ok(column_type_parse(slice_of_string(text), &read, NULL), NULL);
        assert_true(column_type_equal(type, read));
        struct buffer bytes = BUFFER_INIT;
        assert_true(column_type_encode(&bytes, type));
        assert_int_equal(bytes.size, COLUMN_TYPE_BYTES);
        struct reader reader = reader_of(buffer_slice(&bytes));
        assert_true(column_type_decode(&reader, &read));
        assert_true(column_type_equal(type, read));
        for (size_t cut = 0; cut < bytes.size; cut++) {
            reader = reader_of(slice_of(bytes.data, cut));
            assert_false(column_type_decode(&reader, &read));
        }
        buffer_deinit(&bytes);
    }
}

static void types_that_cannot_be_are_not_decoded(void **state) {
    (void)state;
    static const uint8_t bad[][COLUMN_TYPE_BYTES] = {
        {0, 0, 0, 0, 0, 0},
        {COLUMN_KIND_COUNT, 0, 0, 0, 0, 0},
        {COLUMN_INT8, COLUMN_INT8, 0, 0, 0, 0},
        {COLUMN_INT8, 0, 1, 0, 0, 0},
        {COLUMN_INT8, 0, 0, 1, 0, 0},
        {COLUMN_INT8, 0, 0, 0, 1, 0},
        {COLUMN_INT8, 0, 0, 0, 0, 1},
        {COLUMN_TIMESTAMP, 0, 4, 0, 0, 0},
        {COLUMN_TIMESTAMP, 0, 0, 2, 0, 0},
        {COLUMN_DECIMAL, 0, 0, 0, 0, 0},
        {COLUMN_DECIMAL, 0, 0, 0, 39, 0},
        {COLUMN_DECIMAL, 0, 0, 0, 5, 6},
        {COLUMN_LIST, 0, 0, 0, 0, 0},
        {COLUMN_LIST, COLUMN_LIST, 0, 0, 0, 0},
        {COLUMN_LIST, COLUMN_DECIMAL, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reader reader = reader_of(slice_of(bad[i], COLUMN_TYPE_BYTES));
        struct column_type type;
        assert_false(column_type_decode(&reader, &type));
        assert_true(reader.failed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_read_with_aliases),
        cmocka_unit_test(what_is_no_type_is_named),
        cmocka_unit_test(every_type_survives_text_and_bytes),
        cmocka_unit_test(types_that_cannot_be_are_not_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
