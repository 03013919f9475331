/* Files as typed batches: CSV's edge cases, JSON Lines, rejects, and that batches are cut alike every time. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/table_reader.h"
#include "support/test_support.h"

static const struct table_reader_column columns[] = {
    {"k", {.kind = COLUMN_INT32}, true, true},
    {"s", {.kind = COLUMN_STRING}, false, false},
    {"f", {.kind = COLUMN_FLOAT64}, false, false},
};

struct rejects {
    char text[1024];
    struct buffer raw;
};

static void on_reject(void *context, uint64_t line, struct slice raw, const char *reason) {
    struct rejects *rejects = context;
    size_t used = strlen(rejects->text);
    snprintf(rejects->text + used, sizeof rejects->text - used, "%llu: %s\n", (unsigned long long)line, reason);
    assert_true(buffer_append(&rejects->raw, raw.data, raw.size) && buffer_append_u8(&rejects->raw, '\n'));
}

static struct table_reader_options options_for(enum table_format format) {
    return (struct table_reader_options){.has_format = true,
                                         .format = format,
                                         .text = {.empty_is_null = true},
                                         .batch_rows_max = 1000,
                                         .batch_bytes_max = 1 << 20,
                                         .guess_rows_max = 100};
}

static char path[] = "/tmp/plinth-table-reader-XXXXXX";

static void write_file(const char *bytes, size_t size) {
    strcpy(path, "/tmp/plinth-table-reader-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* Rows as "LINE=a|b|c;", batches with "/" between; nulls as "-". */
static enum plinth_status read_all(const char *bytes, const struct table_reader_options *options, struct buffer *into,
                                   struct plinth_error *error) {
    struct table_reader *reader;
    struct table_rows rows = {0};
    bool end = false;
    write_file(bytes, strlen(bytes));
    enum plinth_status st = table_reader_open(path, options, &reader, error);
    if (!st) st = table_reader_bind(reader, columns, 3, false, error);
    while (!st && !end) {
        st = table_reader_next(reader, &rows, &end, error);
        if (st || end) break;
        if (into->size) assert_true(buffer_append_u8(into, '/'));
        for (uint32_t row = 0; row < rows.batch->rows; row++) {
            char line[32];
            snprintf(line, sizeof line, "%llu=", (unsigned long long)table_rows_line(&rows, row));
            assert_true(buffer_append(into, line, strlen(line)));
            for (uint32_t i = 0; i < rows.batch->column_count; i++) {
                const struct column *column = &rows.batch->columns[i];
                if (i) assert_true(buffer_append_u8(into, '|'));
                assert_true(column_is_null(column, row) ? buffer_append_u8(into, '-')
                                                        : column_format(into, column, row));
            }
            assert_true(buffer_append_u8(into, ';'));
        }
    }
    table_rows_deinit(&rows);
    table_reader_close(reader);
    unlink(path);
    return st;
}

static void check(enum table_format format, const char *text, const char *wanted) {
    struct table_reader_options options = options_for(format);
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    assert_ok(read_all(text, &options, &rows, &error), &error);
    assert_true(buffer_append_u8(&rows, 0));
    assert_string_equal((const char *)rows.data, wanted);
    buffer_deinit(&rows);
}

/* The message behind the file's name. */
static void check_error(enum table_format format, const char *text, const char *wanted) {
    struct table_reader_options options = options_for(format);
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    assert_int_not_equal(read_all(text, &options, &rows, &error), PLINTH_OK);
    assert_memory_equal(error.text, path, strlen(path));
    assert_string_equal(error.text + strlen(path), wanted);
    buffer_deinit(&rows);
}

static void csv_becomes_typed_columns(void **state) {
    (void)state;
    check(TABLE_CSV, "k,s,f\n1,a,1.5\n", "2=1|a|1.5;");
    check(TABLE_CSV,
          "\xef\xbb\xbf"
          "f,k,s\r\n2.5,1,a\r\n",
          "2=2.5|1|a;");
    check(TABLE_CSV, "K,S\n1,a", "2=1|a;");
    check(TABLE_CSV, "k,s,f\n1,,\n2,\"\",\n", "2=1|-|-;3=2||-;");
    check(TABLE_CSV, "k,s,f\n\n1,\"two\nlines, \"\"q\"\"\",\n\n2,b,3\n", "3=1|two\nlines, \"q\"|-;6=2|b|3;");
    check(TABLE_TSV, "k\ts\n1\t\"a\n", "2=1|\"a;");
    check(TABLE_CSV, "k,s,f\n", "");
}

static void json_becomes_typed_columns(void **state) {
    (void)state;
    check(TABLE_JSONL, "{\"k\":1,\"s\":\"a\",\"f\":1.5}\n\n{\"f\":null,\"k\":\"2\"}\n", "1=1|a|1.5;3=2|-|-;");
    check(TABLE_JSONL, "{\"k\":1,\"s\":[1,{\"x\":\"]\"}]}\n", "1=1|[1,{\"x\":\"]\"}]|-;");
    check(TABLE_JSONL, "{\"k\":1,\"s\":true,\"f\":\"nan\"}", "1=1|true|nan;");
    check_error(TABLE_JSONL, "{\"k\":1}\n{\"k\":true}\n", ":2: column k: 'true' is not a number (int32)");
    check_error(TABLE_JSONL, "{\"k\":1,\"K\":2}\n", ":1: column k is given twice");
    check_error(TABLE_JSONL, "{\"k\":1,\"s\":[1\n", ":1: column 12: the array or object is never closed");
    check_error(TABLE_JSONL, "{\"k\":1,\"s\":[1}\n", ":1: column 15: ',' or '}' is expected");
}

static void bad_rows_are_told_by_line(void **state) {
    (void)state;
    check_error(TABLE_CSV, "k,s,f\n1,a,1\nx,b,2\n", ":3: column k: 'x' is not a number (int32)");
    check_error(TABLE_CSV, "k,s,f\n1,a\n", ":2: 2 fields, the header has 3");
    check_error(TABLE_CSV, "k,s,f\n,a,1\n", ":2: column k: is null, but it is part of the key");
    check_error(TABLE_CSV, "k,s,f\n1,\"a\"b,1\n", ":2: byte 6 of the line: text behind a closing quote");
    check_error(TABLE_CSV, "k,s,f\n1,\"a", ":2: byte 3 of the line: the quote is never closed");
    check_error(TABLE_CSV, "", ": empty: a header line is expected (or its columns by --columns)");
    check_error(TABLE_CSV, "s,f\na,1\n", ": no column for 'k', which is part of the key; see --map");
}

static void rejected_rows_leave_nothing_behind(void **state) {
    (void)state;
    struct rejects rejects = {0};
    struct table_reader_options options = options_for(TABLE_CSV);
    struct buffer rows = BUFFER_INIT;
    struct plinth_error error;
    options.on_reject = on_reject;
    options.context = &rejects;
    options.keeps_raw = true;
    assert_ok(read_all("k,s,f\n1,a,1\n2,b,x\n3,\"c\"d,3\n4,d,4\n5\n6,f,6\n", &options, &rows, &error), &error);
    assert_true(buffer_append_u8(&rows, 0) && buffer_append_u8(&rejects.raw, 0));
    assert_string_equal((const char *)rows.data, "2=1|a|1;5=4|d|4;7=6|f|6;");
    assert_string_equal(rejects.text, "3: column f: 'x' is not a number (float64)\n"
                                      "4: byte 6 of the line: text behind a closing quote\n"
                                      "6: 1 fields, the header has 3\n");
    assert_string_equal((const char *)rejects.raw.data, "2,b,x\n3,\"c\"d,3\n5\n");
    buffer_deinit(&rows);
    buffer_deinit(&rejects.raw);
}

/* The same bytes give the same batches, whether or not types were guessed before. */
static void batches_are_cut_by_the_file_alone(void **state) {
    (void)state;
    struct table_reader_options options = options_for(TABLE_CSV);
    struct buffer text = BUFFER_INIT, first = BUFFER_INIT, again = BUFFER_INIT;
    struct plinth_error error;
    assert_true(buffer_append(&text, "k,s,f\n", 6));
    for (int i = 0; i < 2000; i++) {
        char row[128];
        snprintf(row, sizeof row, "%d,%.*s,%d.5\n", i, i % 50, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i);
        assert_true(buffer_append(&text, row, strlen(row)));
    }
    assert_true(buffer_append_u8(&text, 0));
    options.batch_rows_max = 300;
    options.batch_bytes_max = 8000;
    assert_ok(read_all((const char *)text.data, &options, &first, &error), &error);
    assert_ok(read_all((const char *)text.data, &options, &again, &error), &error);
    assert_true(slice_equal(buffer_slice(&first), buffer_slice(&again)));
    assert_true(memchr(first.data, '/', first.size) != NULL);

    struct table_reader *reader;
    struct table_rows rows = {0};
    const struct table_reader_column *guessed;
    size_t count;
    bool end;
    write_file((const char *)text.data, text.size - 1);
    assert_ok(table_reader_open(path, &options, &reader, &error), &error);
    assert_ok(table_reader_guess(reader, &guessed, &count, &error), &error);
    assert_int_equal(count, 3);
    assert_int_equal(guessed[0].type.kind, COLUMN_INT64);
    assert_int_equal(guessed[1].type.kind, COLUMN_STRING);
    assert_int_equal(guessed[2].type.kind, COLUMN_FLOAT64);
    assert_ok(table_reader_bind(reader, columns, 3, false, &error), &error);
    uint64_t all = 0, slashes = 0;
    for (;;) {
        assert_ok(table_reader_next(reader, &rows, &end, &error), &error);
        if (end) break;
        assert_int_equal(table_rows_line(&rows, 0), all + 2);
        slashes += all > 0;
        all += rows.batch->rows;
    }
    assert_int_equal(all, 2000);
    for (size_t i = 0; i < first.size; i++) slashes -= first.data[i] == '/';
    assert_int_equal(slashes, 0);
    table_rows_deinit(&rows);
    table_reader_close(reader);
    unlink(path);
    buffer_deinit(&text);
    buffer_deinit(&first);
    buffer_deinit(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_becomes_typed_columns),         cmocka_unit_test(json_becomes_typed_columns),
        cmocka_unit_test(bad_rows_are_told_by_line),         cmocka_unit_test(rejected_rows_leave_nothing_behind),
        cmocka_unit_test(batches_are_cut_by_the_file_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
