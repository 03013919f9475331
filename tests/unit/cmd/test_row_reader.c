/* The rows of an import: columns, formats, compression, and errors that name the place. */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "cmd/row_reader.h"
#include "support/test_support.h"

static const struct option_spec specs[] = {
    {"format", 0, "FORMAT", NULL, NULL, ""},
    {"key-column", 0, "NAME", NULL, NULL, ""},
    {"value-column", 0, "NAME", NULL, NULL, ""},
    {"index", 0, "COLUMN", NULL, NULL, ""},
    {0},
};

struct fixture {
    char directory[TEST_PATH_MAX];
    struct options options;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture) return -1;
    test_directory_create(fixture->directory);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    test_directory_remove(fixture->directory);
    free(fixture);
    return 0;
}

static void give(struct fixture *fixture, const char *name, const char *value) {
    const struct option_spec *spec = specs;
    while (strcmp(spec->name, name) != 0) spec++;
    fixture->options.given[fixture->options.given_count++] = (struct option_given){spec, value};
}

static char *write_file(struct fixture *fixture, const char *name, const void *bytes, size_t size) {
    static char path[TEST_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    return path;
}

/* All rows as "key=value[index:value]" lines; the first failure in `error`. */
static enum plinth_status read_all(struct fixture *fixture, const char *path, char *text, size_t size,
                                   struct plinth_error *error) {
    struct row_reader *reader;
    enum plinth_status st = row_reader_open(path, &fixture->options, BYTES_TEXT, &reader, error);
    bool end = false;
    size_t used = 0;
    text[0] = '\0';
    while (!st && !end) {
        struct import_row row;
        st = row_reader_next(reader, &row, &end, error);
        if (st || end) break;
        used += (size_t)snprintf(text + used, size - used, "%.*s=%.*s", (int)row.key.size, (const char *)row.key.data,
                                 (int)row.value.size, row.value.size ? (const char *)row.value.data : "");
        for (size_t i = 0; i < row.index_count; i++)
            used += (size_t)snprintf(text + used, size - used, "[%.*s:%.*s]", (int)row.indexes[i].name.size,
                                     (const char *)row.indexes[i].name.data, (int)row.indexes[i].value.size,
                                     (const char *)row.indexes[i].value.data);
        used += (size_t)snprintf(text + used, size - used, "\n");
    }
    row_reader_close(reader);
    return st;
}

static const char csv[] = "value,key,rhyme,syllables\nK AE1 T,cat,AE T,01\nD AO1 G,dog,,01\n";

static void check_rows(struct fixture *fixture, const char *path, const char *wanted) {
    char text[1024];
    struct plinth_error error;
    assert_ok(read_all(fixture, path, text, sizeof text, &error), &error);
    assert_string_equal(text, wanted);
}

static void further_columns_are_indexes(void **state) {
    check_rows(*state, write_file(*state, "a.csv", csv, sizeof csv - 1),
               "cat=K AE1 T[rhyme:AE T][syllables:01]\ndog=D AO1 G[syllables:01]\n");
}

static void columns_can_be_chosen(void **state) {
    give(*state, "key-column", "rhyme");
    give(*state, "value-column", "key");
    give(*state, "index", "syllables");
    check_rows(*state, write_file(*state, "a.csv", "key,rhyme,syllables,x\nv,k,02,y\n", 31), "k=v[syllables:02]\n");
}

static void compressed_files_are_read_by_their_content(void **state) {
    struct fixture *fixture = *state;
    const char *wanted = "cat=K AE1 T[rhyme:AE T][syllables:01]\ndog=D AO1 G[syllables:01]\n";
    uint8_t packed[4096];
    size_t size = ZSTD_compress(packed, sizeof packed, csv, sizeof csv - 1, 3);
    assert_false(ZSTD_isError(size));
    check_rows(fixture, write_file(fixture, "plainly.csv", packed, size), wanted);

    char path[TEST_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/two-members.gz", fixture->directory);
    gzFile file = gzopen(path, "wb");
    gzwrite(file, csv, 30);
    gzclose(file);
    file = gzopen(path, "ab");
    gzwrite(file, csv + 30, sizeof csv - 1 - 30);
    gzclose(file);
    check_rows(fixture, path, wanted);
}

static void a_cut_compressed_file_is_an_error(void **state) {
    struct fixture *fixture = *state;
    char text[1024];
    struct plinth_error error;
    uint8_t packed[4096];
    size_t size = ZSTD_compress(packed, sizeof packed, csv, sizeof csv - 1, 3);
    char *path = write_file(fixture, "cut.csv.zst", packed, size - 5);
    assert_status(read_all(fixture, path, text, sizeof text, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "cut off");
    packed[4] |= 8; /* a bit of the frame header that must be 0 */
    path = write_file(fixture, "damaged.csv.zst", packed, size);
    assert_status(read_all(fixture, path, text, sizeof text, &error), PLINTH_CORRUPT, &error);
}

static void json_lines_have_the_same_names(void **state) {
    static const char lines[] =
        "{\"key\":\"a\",\"value\":\"1\",\"rhyme\":\"x\"}\r\n\n{\"value\":2,\"key_base64\":\"Yg==\"}";
    check_rows(*state, write_file(*state, "a.jsonl", lines, sizeof lines - 1), "a=1[rhyme:x]\nb=2\n");
}

static void a_list_of_index_values_keeps_several_and_empty_ones(void **state) {
    const char *text = "{\"key\":\"a\",\"value\":\"1\",\"i\":\"0\",\"indexes\":[{\"index\":\"i\",\"value\":\"1\"},"
                       "{\"index\":\"i\",\"value\":\"\"},{\"index\":\"key\",\"value\":\"2\"}]}\n"
                       "{\"key\":\"b\",\"value\":\"2\",\"i\":\"\",\"indexes\":[]}\n";
    check_rows(*state, write_file(*state, "a.jsonl", text, strlen(text)), "a=1[i:0][i:1][i:][key:2]\nb=2\n");
    give(*state, "index", "key");
    check_rows(*state, write_file(*state, "a.jsonl", text, strlen(text)), "a=1[key:2]\nb=2\n");
}

static void tab_separated_text_knows_no_quotes(void **state) {
    static const char lines[] = "key\tvalue\n\"a\"\tsay \"hi\", all\n";
    check_rows(*state, write_file(*state, "a.tsv", lines, sizeof lines - 1), "\"a\"=say \"hi\", all\n");
}

static void mistakes_name_line_and_column(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *text;
        const char *named;
    } samples[] = {
        {"a.csv", "", "empty: a header line is expected"},
        {"b.csv", "key,val\n", "line 1: no column 'value'"},
        {"c.csv", "id,value\n", "line 1: no column 'key'; name it with --key-column"},
        {"d.csv", "key,value,key\n", "line 1, column 11: this column was there already"},
        {"e.csv", "key,value,a b\n", "line 1, column 11: 'a b' cannot be the name of an index"},
        {"f.csv", "key,value\na\n", "line 2: 1 fields, the header has 2"},
        {"g.csv", "key,value\na,1\n,2\n", "line 3, column 1: the key is empty"},
        {"h.jsonl", "{\"key\":\"a\"}\n", "line 1: no \"value\" in the object"},
        {"i.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"\",\"value\":\"\"}",
         "line 2: column 8: the key is empty"},
        {"j.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\nnonsense\n", "line 2: column 1: '{' is expected"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char text[1024];
        struct plinth_error error;
        char *path = write_file(fixture, samples[i].name, samples[i].text, strlen(samples[i].text));
        assert_status(read_all(fixture, path, text, sizeof text, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, samples[i].named);
    }
    char text[64];
    struct plinth_error error;
    assert_status(read_all(fixture, "/nonexistent/file.csv", text, sizeof text, &error), PLINTH_NOT_FOUND, &error);
    assert_error_names(&error, "/nonexistent/file.csv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(further_columns_are_indexes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(columns_can_be_chosen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compressed_files_are_read_by_their_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_compressed_file_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_lines_have_the_same_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_of_index_values_keeps_several_and_empty_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tab_separated_text_knows_no_quotes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_name_line_and_column, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
