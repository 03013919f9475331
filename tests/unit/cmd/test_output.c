/* Results as table, CSV and JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cli_output.h"
#include "support/test_support.h"

static const char *const columns[] = {"key", "value", "count", NULL};

/* What `rows` rows give in a format. Freed by the caller. */
static char *written(enum output_format format, enum bytes_format bytes, bool one, size_t rows,
                     struct cell (*cells)[3]) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    struct output output;
    assert_non_null(file);
    output_begin(&output, file, format, bytes, one, columns);
    for (size_t i = 0; i < rows; i++) assert_true(output_row(&output, cells[i]));
    assert_true(output_end(&output));
    fclose(file);
    return text;
}

static struct cell sample[2][3] = {
    {{CELL_BYTES, {(const uint8_t *)"a,b", 3}, 0},
     {CELL_BYTES, {(const uint8_t *)"\xff\n", 2}, 0},
     {CELL_NUMBER, {0}, 7}},
    {{CELL_TEXT, {(const uint8_t *)"long key", 8}, 0}, {CELL_NULL, {0}, 0}, {CELL_NUMBER, {0}, 1234}},
};

static void check(enum output_format format, enum bytes_format bytes, bool one, size_t rows, const char *wanted) {
    char *text = written(format, bytes, one, rows, sample);
    assert_string_equal(text, wanted);
    free(text);
}

static void tables_are_aligned(void **state) {
    (void)state;
    check(OUTPUT_TABLE, BYTES_TEXT, false, 2,
          "key       value   count\n"
          "a,b       \\xff\\n      7\n"
          "long key  -        1234\n");
    check(OUTPUT_TABLE, BYTES_TEXT, false, 0, "key  value  count\n");
    check(OUTPUT_TABLE, BYTES_HEX, true, 1, "key    612c62\nvalue  ff0a\ncount  7\n");
}

static void csv_is_quoted_where_needed(void **state) {
    (void)state;
    check(OUTPUT_CSV, BYTES_TEXT, false, 2, "key,value,count\n\"a,b\",\"\xff\n\",7\nlong key,,1234\n");
    check(OUTPUT_CSV, BYTES_BASE64, false, 1, "key,value,count\nYSxi,/wo=,7\n");
}

static void json_has_base64_for_what_is_no_text(void **state) {
    (void)state;
    check(OUTPUT_JSON, BYTES_TEXT, false, 2,
          "[\n {\"key\":\"a,b\",\"value_base64\":\"/wo=\",\"count\":7},\n"
          " {\"key\":\"long key\",\"value\":null,\"count\":1234}\n]\n");
    check(OUTPUT_JSON, BYTES_HEX, true, 1, "{\"key\":\"612c62\",\"value\":\"ff0a\",\"count\":7}\n");
    check(OUTPUT_JSON, BYTES_TEXT, false, 0, "[]\n");
}

static void long_tables_are_streamed(void **state) {
    (void)state;
    enum { ROWS = 500 };
    static struct cell cells[ROWS][3];
    for (size_t i = 0; i < ROWS; i++) {
        cells[i][0] = cell_text("k");
        cells[i][1] = cell_bool(i % 2);
        cells[i][2] = cell_number(i);
    }
    char *text = written(OUTPUT_TABLE, BYTES_TEXT, false, ROWS, cells);
    size_t lines = 0;
    for (const char *at = text; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, ROWS + 1);
    assert_non_null(strstr(text, "\nk    true     499\n"));
    free(text);
}

static void a_full_disk_is_noticed(void **state) {
    (void)state;
    FILE *file = fopen("/dev/full", "w");
    if (!file) skip();
    struct output output;
    output_begin(&output, file, OUTPUT_CSV, BYTES_TEXT, false, columns);
    (void)output_row(&output, sample[0]);
    assert_false(output_end(&output));
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(csv_is_quoted_where_needed),
        cmocka_unit_test(json_has_base64_for_what_is_no_text),
        cmocka_unit_test(long_tables_are_streamed),
        cmocka_unit_test(a_full_disk_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
