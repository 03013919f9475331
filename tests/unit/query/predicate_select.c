/* predicate_select TABLE < FILTERS
 *
 * For comparisons with other databases. TABLE is text: a first line of name:type fields, then a row a line; fields are
 * separated by tabs, \N is null. Each line of standard input is a filter; each line of output says "ok" and the numbers
 * of the rows (from 0) that it selects, or "error" and why not. */
#include <stdio.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "query/predicate_text.h"

enum { COLUMNS_MAX = 64 };

struct table {
    uint32_t column_count;
    uint32_t rows;
    char *names[COLUMNS_MAX];
    struct predicate_column schema[COLUMNS_MAX];
    struct column_builder builders[COLUMNS_MAX];
    struct column views[COLUMNS_MAX];
    const struct column *pointers[COLUMNS_MAX];
};

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "predicate_select: %s: %s\n", what, detail);
    exit(1);
}

/* The next line without its end, or false. */
static bool read_line(FILE *from, char **line, size_t *capacity) {
    ssize_t size = getline(line, capacity, from);
    if (size > 0 && (*line)[size - 1] == '\n') (*line)[size - 1] = 0;
    return size >= 0;
}

static void read_schema(struct table *table, char *line) {
    for (char *field; (field = strsep(&line, "\t"));) {
        struct plinth_error error;
        char *type_text = strrchr(field, ':');
        if (!type_text || table->column_count == COLUMNS_MAX) fail("bad column", field);
        *type_text++ = 0;
        uint32_t i = table->column_count++;
        table->names[i] = strdup(field);
        if (!table->names[i]) fail("out of memory", field);
        table->schema[i].name = slice_of_string(table->names[i]);
        if (column_type_parse(slice_of_string(type_text), &table->schema[i].type, &error)) {
            fail("bad type", error.text);
        }
        if (!column_builder_init(&table->builders[i], table->schema[i].type)) fail("out of memory", field);
    }
}

static void read_row(struct table *table, char *line) {
    for (uint32_t i = 0; i < table->column_count; i++) {
        struct plinth_error error;
        char *field = strsep(&line, "\t");
        if (!field) fail("a row is short of", table->names[i]);
        if (strcmp(field, "\\N") == 0) {
            if (!column_builder_null(&table->builders[i])) fail("out of memory", field);
        } else if (column_builder_text(&table->builders[i], slice_of_string(field), &error)) {
            fail(table->names[i], error.text);
        }
    }
    table->rows++;
}

static void read_table(struct table *table, const char *path) {
    char *line = NULL;
    size_t capacity = 0;
    FILE *file = fopen(path, "r");
    if (!file || !read_line(file, &line, &capacity)) fail("cannot be read", path);
    read_schema(table, line);
    while (read_line(file, &line, &capacity)) read_row(table, line);
    fclose(file);
    free(line);
    for (uint32_t i = 0; i < table->column_count; i++) {
        table->views[i] = column_builder_view(&table->builders[i]);
        table->pointers[i] = &table->views[i];
    }
}

static void select_rows(const struct table *table, const char *text, struct arena *arena) {
    const struct predicate *unbound, *bound;
    struct plinth_error error;
    uint8_t *selected = arena_zalloc(arena, table->rows / 8 + 1);
    enum plinth_status st = predicate_parse(slice_of_string(text), arena, &unbound, &error);
    if (!st) st = predicate_bind(unbound, table->schema, table->column_count, arena, &bound, &error);
    if (st) {
        printf("error %s\n", error.text);
        return;
    }
    if (!selected || !predicate_evaluate(bound, table->pointers, table->rows, NULL, selected, arena)) {
        fail("out of memory", text);
    }
    printf("ok");
    for (uint32_t row = 0; row < table->rows; row++) {
        if (bitmap_get(selected, row)) printf(" %u", row);
    }
    printf("\n");
}

int main(int argument_count, char **arguments) {
    static struct table table;
    struct arena arena;
    char *line = NULL;
    size_t capacity = 0;
    if (argument_count != 2) fail("usage", "predicate_select TABLE < FILTERS");
    read_table(&table, arguments[1]);
    arena_init(&arena);
    while (read_line(stdin, &line, &capacity)) {
        select_rows(&table, line, &arena);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    free(line);
    for (uint32_t i = 0; i < table.column_count; i++) {
        column_builder_deinit(&table.builders[i]);
        free(table.names[i]);
    }
    return 0;
}
