/* Delimited text, whole and in pieces of every size. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/byte_text.h"
#include "cmd/csv.h"
#include "support/test_support.h"

/* Gives `text` in pieces of `piece` bytes. */
struct pieces {
    struct slice text;
    size_t at;
    size_t piece;
};

static enum plinth_status read_piece(void *context, void *into, size_t size, size_t *got, struct plinth_error *error) {
    (void)error;
    struct pieces *pieces = context;
    *got = pieces->text.size - pieces->at;
    if (*got > size) *got = size;
    if (*got > pieces->piece) *got = pieces->piece;
    if (*got) memcpy(into, pieces->text.data + pieces->at, *got);
    pieces->at += *got;
    return PLINTH_OK;
}

/* All rows as "field|field\n...", fields with their bytes; the status of the last call. */
static enum plinth_status read_all(struct slice text, size_t piece, char delimiter, bool quoting, struct buffer *rows,
                                   struct plinth_error *error) {
    struct pieces pieces = {text, 0, piece};
    struct csv csv;
    bool found = true;
    buffer_clear(rows);
    enum plinth_status st = csv_init(&csv, read_piece, &pieces, delimiter, quoting, error);
    assert_int_equal(st, PLINTH_OK);
    while (!st && found) {
        st = csv_next(&csv, &found, error);
        for (size_t i = 0; !st && found && i < csv.field_count; i++) {
            if (i) assert_true(buffer_append_u8(rows, '|'));
            assert_true(buffer_append(rows, csv.fields[i].bytes.data, csv.fields[i].bytes.size));
        }
        if (!st && found) assert_true(buffer_append_u8(rows, '\n'));
    }
    csv_deinit(&csv);
    return st;
}

static void check(const char *text, size_t size, char delimiter, bool quoting, const char *wanted) {
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    for (size_t piece = 1; piece <= size + 1; piece++) {
        assert_ok(read_all(slice_of(text, size), piece, delimiter, quoting, &rows, &error), &error);
        assert_int_equal(rows.size, strlen(wanted));
        if (rows.size) assert_memory_equal(rows.data, wanted, rows.size);
    }
    buffer_deinit(&rows);
}
#define CHECK(text, wanted) check(text, sizeof(text) - 1, ',', true, wanted)

static void rows_and_fields_are_told_apart(void **state) {
    (void)state;
    CHECK("", "");
    CHECK("a", "a\n");
    CHECK("a,b\nc,d\n", "a|b\nc|d\n");
    CHECK("a,b\r\nc,d", "a|b\nc|d\n");
    CHECK(",\n,,\n", "|\n||\n");
    CHECK("a,\r\n", "a|\n");
    CHECK("a\rb,c\r\r\n", "a\rb|c\r\n"); /* a carriage return alone is a byte like others */
    CHECK("a\r", "a\n");
}

static void quotes_protect_delimiters_and_line_ends(void **state) {
    (void)state;
    CHECK("\"a,b\",c\n", "a,b|c\n");
    CHECK("\"a\nb\",\"c\r\nd\"\r\n", "a\nb|c\r\nd\n");
    CHECK("\"say \"\"hi\"\"\",\"\"\n", "say \"hi\"|\n");
    CHECK("\"\"\n", "\n");
    CHECK("\"\"\"\"", "\"\n");
    CHECK("x,\"a\"", "x|a\n");
}

static void a_mark_and_empty_lines_are_passed_over(void **state) {
    (void)state;
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    const char text[] = "\xef\xbb\xbfkey,value\n\n\r\na,1\n\n";
    assert_ok(read_all(slice_of_string(text), 64, ',', true, &rows, &error), &error);
    assert_int_equal(rows.size, strlen("key|value\na|1\n"));
    assert_memory_equal(rows.data, "key|value\na|1\n", rows.size);
    buffer_deinit(&rows);
    CHECK("\n\r\n\na\n", "a\n");
}

static void any_bytes_are_fields(void **state) {
    (void)state;
    static const char text[] = "\x00\xff,\"\x00\n\xfe\"\n";
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    assert_ok(read_all(slice_of(text, sizeof text - 1), 3, ',', true, &rows, &error), &error);
    assert_int_equal(rows.size, 7);
    assert_memory_equal(rows.data, "\x00\xff|\x00\n\xfe\n", 7);
    buffer_deinit(&rows);
}

static void without_quoting_quotes_are_bytes(void **state) {
    (void)state;
    check("\"a\tb\"\nc\"\td\n", 11, '\t', false, "\"a|b\"\nc\"|d\n");
}

static void mistakes_name_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *named;
    } samples[] = {
        {"a,b\nc,d\"e\n", "line 2, column 4: a quote inside an unquoted field"},
        {"a,\"b\"c\n", "line 1, column 6: text behind a closing quote"},
        {"a\nb,\"c\nd", "line 2, column 3: the quote is never closed"},
        {"\"a\nb\" x", "line 2, column 3: text behind a closing quote"},
        {"\"a\"\rx", "text behind a closing quote"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        for (size_t piece = 1; piece < 12; piece++) {
            struct buffer rows = BUFFER_INIT;
            struct plinth_error error;
            struct slice text = slice_of_string(samples[i].text);
            assert_status(read_all(text, piece, ',', true, &rows, &error), PLINTH_INVALID_ARGUMENT, &error);
            assert_error_names(&error, samples[i].named);
            buffer_deinit(&rows);
        }
    }
}

static void fields_know_where_they_start(void **state) {
    (void)state;
    struct pieces pieces = {slice_of_string("a,\"x\ny\",z\nlong,b,c\n"), 0, 4};
    struct csv csv;
    struct plinth_error error;
    bool found;
    assert_ok(csv_init(&csv, read_piece, &pieces, ',', true, &error), &error);
    assert_ok(csv_next(&csv, &found, &error), &error);
    assert_true(csv.fields[1].line == 1 && csv.fields[1].column == 3);
    assert_true(csv.fields[2].line == 2 && csv.fields[2].column == 4);
    assert_ok(csv_next(&csv, &found, &error), &error);
    assert_true(csv.fields[0].line == 3 && csv.fields[0].column == 1);
    assert_true(csv.fields[1].line == 3 && csv.fields[1].column == 6);
    csv_deinit(&csv);
}

static void bounds_are_kept(void **state) {
    (void)state;
    struct buffer text = BUFFER_INIT, rows = BUFFER_INIT;
    struct plinth_error error;
    for (size_t i = 0; i < CSV_FIELDS_MAX; i++) assert_true(buffer_append_u8(&text, ','));
    assert_status(read_all(buffer_slice(&text), 4096, ',', true, &rows, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "more than 1600 fields in a row");
    text.size--;
    assert_ok(read_all(buffer_slice(&text), 4096, ',', true, &rows, &error), &error);
    buffer_clear(&rows);
    buffer_clear(&text);
    assert_true(buffer_append_zeros(&text, CSV_ROW_BYTES_MAX + 1));
    assert_status(read_all(buffer_slice(&text), 65536, ',', true, &rows, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "longer than 4 MiB");
    buffer_deinit(&text);
    buffer_deinit(&rows);
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    static const char alphabet[] = "ab,\"\n\r\t\xef\xbb\xbf\x00";
    struct test_random random = test_random_of(11);
    for (unsigned round = 0; round < 2000; round++) {
        struct buffer text = BUFFER_INIT, wanted = BUFFER_INIT, rows = BUFFER_INIT;
        struct plinth_error error;
        size_t fields = 1 + test_random_below(&random, 4);
        for (size_t i = 0; i < fields; i++) {
            char bytes[8];
            size_t size = test_random_below(&random, sizeof bytes) + (fields == 1); /* no empty line */
            if (size > sizeof bytes) size = sizeof bytes;
            for (size_t j = 0; j < size; j++) bytes[j] = alphabet[test_random_below(&random, sizeof alphabet)];
            if (i) assert_true(buffer_append_u8(&text, ',') && buffer_append_u8(&wanted, '|'));
            assert_true(csv_field_append(&text, slice_of(bytes, size), ','));
            assert_true(buffer_append(&wanted, bytes, size));
        }
        assert_true(buffer_append_u8(&text, '\n') && buffer_append_u8(&wanted, '\n'));
        assert_ok(read_all(buffer_slice(&text), 1 + test_random_below(&random, 16), ',', true, &rows, &error), &error);
        assert_true(slice_equal(buffer_slice(&rows), buffer_slice(&wanted)));
        buffer_deinit(&text);
        buffer_deinit(&wanted);
        buffer_deinit(&rows);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_fields_are_told_apart),
        cmocka_unit_test(quotes_protect_delimiters_and_line_ends),
        cmocka_unit_test(a_mark_and_empty_lines_are_passed_over),
        cmocka_unit_test(any_bytes_are_fields),
        cmocka_unit_test(without_quoting_quotes_are_bytes),
        cmocka_unit_test(mistakes_name_line_and_column),
        cmocka_unit_test(fields_know_where_they_start),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
