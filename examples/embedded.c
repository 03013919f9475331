/* The engine in process: a small rhyming dictionary.
 *
 *     embedded [DIRECTORY]          (default ./embedded-data)
 *
 * Build it against an installed Plinth with: cc embedded.c $(pkg-config --cflags --libs plinth) -o embedded */
#include <stdio.h>
#include <stdlib.h>

#include <plinth.h>

struct word {
    const char *text;
    const char *pronunciation;
    const char *rhyme;
};

static const struct word words[] = {
    {"cat", "K AE1 T", "AE T"},
    {"hat", "HH AE1 T", "AE T"},
    {"column", "K AA1 L AH0 M", "AA L AH M"},
    {"solemn", "S AA1 L AH0 M", "AA L AH M"},
    {"plinth", "P L IH1 N TH", "IH N TH"},
};

static void check(enum plinth_status status, const struct plinth_error *error) {
    if (!status) return;
    fprintf(stderr, "embedded: %s: %s\n", plinth_status_name(status), error->text);
    exit(1);
}

/* Every word in one atomic write, each with its entry in the index "rhyme". */
static void write_words(struct plinth *db, struct plinth_space space) {
    enum { COUNT = sizeof words / sizeof *words };
    struct plinth_operation operations[COUNT];
    struct plinth_index_value rhymes[COUNT];
    struct plinth_position position;
    struct plinth_error error;
    for (int i = 0; i < COUNT; i++) {
        rhymes[i] = (struct plinth_index_value){plinth_text("rhyme"), plinth_text(words[i].rhyme)};
        operations[i] = (struct plinth_operation){
            .kind = PLINTH_SET,
            .space = space,
            .key = plinth_text(words[i].text),
            .value = plinth_text(words[i].pronunciation),
            .indexes = &rhymes[i],
            .index_count = 1,
        };
    }
    check(plinth_write(db, operations, COUNT, NULL, &position, &error), &error);
    printf("wrote %d words, durable in the log\n", COUNT);
}

static void print_value(struct plinth *db, struct plinth_space space, const char *key) {
    struct plinth_buffer value = {0};
    struct plinth_error error;
    enum plinth_status status = plinth_get(db, space, plinth_text(key), NULL, &value, NULL, &error);
    if (status == PLINTH_NOT_FOUND)
        printf("%s: not there\n", key);
    else
        check(status, &error);
    if (!status) printf("%s: %.*s\n", key, (int)value.size, (const char *)value.data);
    plinth_buffer_deinit(&value);
}

static void print_rows(struct plinth_scan *scan) {
    struct plinth_row row;
    struct plinth_error error;
    bool found;
    for (;;) {
        check(plinth_scan_next(scan, &row, &found, &error), &error);
        if (!found) break;
        printf("  %.*s  %.*s\n", (int)row.key.size, (const char *)row.key.data, (int)row.value.size,
               (const char *)row.value.data);
    }
    plinth_scan_close(scan);
}

static void print_rhymes(struct plinth *db, struct plinth_space space, const char *rhyme) {
    struct plinth_index_scan_options options = {
        .index = plinth_text("rhyme"),
        .match = PLINTH_INDEX_EXACT,
        .value = plinth_text(rhyme),
        .with_values = true,
    };
    struct plinth_scan *scan;
    struct plinth_error error;
    check(plinth_index_scan_open(db, space, &options, &scan, &error), &error);
    printf("words on %s:\n", rhyme);
    print_rows(scan);
}

static void print_from(struct plinth *db, struct plinth_space space, const char *lower) {
    struct plinth_scan_options options = {.lower = plinth_text(lower), .limit = 3};
    struct plinth_scan *scan;
    struct plinth_error error;
    check(plinth_scan_open(db, space, &options, &scan, &error), &error);
    printf("three words from '%s' on:\n", lower);
    print_rows(scan);
}

/* Replaces a value only if it is still what we think it is. */
static void correct(struct plinth *db, struct plinth_space space, const char *key, const char *from, const char *to) {
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = space, .key = plinth_text(key), .value = plinth_text(to)};
    struct plinth_comparison comparison = {.expectation = PLINTH_EXPECT_VALUE, .expected_value = plinth_text(from)};
    struct plinth_previous previous = {0};
    struct plinth_error error;
    enum plinth_status status = plinth_compare_and_set(db, &operation, &comparison, NULL, NULL, &previous, &error);
    if (status == PLINTH_CONFLICT)
        printf("%s is '%.*s', left alone\n", key, (int)previous.value.size, (const char *)previous.value.data);
    else
        check(status, &error);
    if (!status) printf("%s corrected to '%s'\n", key, to);
    plinth_buffer_deinit(&previous.value);
}

int main(int argc, char **argv) {
    const char *directory = argc > 1 ? argv[1] : "./embedded-data";
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
    check(plinth_open(directory, NULL, &db, &error), &error);
    check(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    write_words(db, space);
    print_value(db, space, "plinth");
    print_rhymes(db, space, "AA L AH M");
    print_from(db, space, "d");
    correct(db, space, "hat", "HH AE1 T", "HH AE2 T");
    correct(db, space, "hat", "HH AE1 T", "HH AE0 T");
    check(plinth_delete(db, space, plinth_text("cat"), NULL, NULL, &error), &error);
    print_value(db, space, "cat");
    check(plinth_flush(db, &error), &error);
    printf("flushed: the Parquet files are in %s\n", directory);
    plinth_close(db);
    return 0;
}
