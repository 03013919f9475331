#include "predicate_support.h"

#include <stdlib.h>

static struct arena arena;

struct literal null_literal(void) {
    return (struct literal){.kind = LITERAL_NULL};
}
struct literal of_bool(bool value) {
    return (struct literal){.kind = LITERAL_BOOL, .boolean = value};
}
struct literal of_int(int64_t value) {
    return (struct literal){.kind = LITERAL_INT, .integer = value};
}
struct literal of_uint(uint64_t value) {
    return (struct literal){.kind = LITERAL_UINT, .unsigned_integer = value};
}
struct literal of_float(double value) {
    return (struct literal){.kind = LITERAL_FLOAT, .real = value};
}
struct literal of_text(const char *text) {
    return (struct literal){.kind = LITERAL_TEXT, .bytes = slice_of_string(text)};
}
struct literal of_number(const char *text) {
    return (struct literal){.kind = LITERAL_NUMBER, .bytes = slice_of_string(text)};
}
struct literal of_bytes(const void *bytes, size_t size) {
    return (struct literal){.kind = LITERAL_BYTES, .bytes = slice_of(bytes, size)};
}

void predicates_reset(void) { arena_deinit(&arena); }
struct arena *predicates_arena(void) {
    return &arena;
}

static struct predicate *node(enum predicate_kind kind) {
    struct predicate *made = arena_zalloc(&arena, sizeof *made);
    assert_non_null(made);
    made->kind = kind;
    return made;
}

const struct predicate *constant(enum predicate_constant truth) {
    struct predicate *made = node(PREDICATE_CONSTANT);
    made->constant = truth;
    return made;
}

static struct predicate *leaf(enum predicate_kind kind, const char *column, const struct literal *literals,
                              uint32_t count) {
    struct predicate *made = node(kind);
    struct literal *copy = arena_alloc(&arena, (count + 1) * sizeof *copy);
    assert_non_null(copy);
    for (uint32_t i = 0; i < count; i++) copy[i] = literals[i];
    made->column_name = slice_of_string(column);
    made->literals = copy;
    made->literal_count = count;
    return made;
}

const struct predicate *compare(const char *column, enum predicate_comparison comparison, struct literal literal) {
    struct predicate *made = leaf(PREDICATE_COMPARE, column, &literal, 1);
    made->comparison = comparison;
    return made;
}

const struct predicate *match(enum predicate_kind kind, const char *column, struct literal literal) {
    return leaf(kind, column, &literal, 1);
}

const struct predicate *in(const char *column, const struct literal *literals, uint32_t count) {
    return leaf(PREDICATE_IN, column, literals, count);
}

const struct predicate *is_null(const char *column) { return leaf(PREDICATE_IS_NULL, column, NULL, 0); }

const struct predicate *group(enum predicate_kind kind, const struct predicate *const *children, uint32_t count) {
    struct predicate *made = node(kind);
    const struct predicate **copy = arena_alloc(&arena, (count + 1) * sizeof *copy);
    assert_non_null(copy);
    for (uint32_t i = 0; i < count; i++) copy[i] = children[i];
    made->children = copy;
    made->child_count = count;
    return made;
}

const struct predicate *negation(const struct predicate *child) { return group(PREDICATE_NOT, &child, 1); }
const struct predicate *both(const struct predicate *a, const struct predicate *b) {
    return group(PREDICATE_AND, (const struct predicate *[]){a, b}, 2);
}
const struct predicate *either(const struct predicate *a, const struct predicate *b) {
    return group(PREDICATE_OR, (const struct predicate *[]){a, b}, 2);
}

void table_deinit(struct table *table) {
    for (uint32_t i = 0; i < table->column_count; i++) column_builder_deinit(&table->builders[i]);
    *table = (struct table){0};
}

struct column_builder *table_add(struct table *table, const char *name, struct column_type type) {
    assert_true(table->column_count < TABLE_COLUMNS_MAX);
    uint32_t i = table->column_count++;
    table->schema[i] = (struct predicate_column){slice_of_string(name), type};
    assert_true(column_builder_init(&table->builders[i], type));
    return &table->builders[i];
}

void table_finish(struct table *table) {
    for (uint32_t i = 0; i < table->column_count; i++) {
        table->rows = table->builders[i].rows;
        assert_int_equal(table->rows, table->builders[0].rows);
        table->columns[i] = column_builder_view(&table->builders[i]);
        table->pointers[i] = &table->columns[i];
    }
}

const struct predicate *bind(const struct table *table, const struct predicate *unbound) {
    const struct predicate *bound;
    struct plinth_error error;
    assert_ok(predicate_bind(unbound, table->schema, table->column_count, &arena, &bound, &error), &error);
    return bound;
}

void assert_refused(const struct table *table, const struct predicate *unbound, const char *part) {
    const struct predicate *bound = unbound;
    struct plinth_error error;
    assert_status(predicate_bind(unbound, table->schema, table->column_count, &arena, &bound, &error),
                  PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, part);
    assert_null(bound);
}

static void assert_selected(const struct table *table, const struct predicate *bound, const char *truths,
                            const uint8_t *among) {
    uint8_t *selected = malloc(table->rows / 8 + 1);
    struct arena scratch;
    arena_init(&scratch);
    assert_non_null(selected);
    assert_true(predicate_evaluate(bound, table->pointers, table->rows, among, selected, &scratch));
    for (uint32_t row = 0; row < table->rows; row++) {
        bool wanted = truths[row] == 'T' && (!among || bitmap_get(among, row));
        if (bitmap_get(selected, row) == wanted) continue;
        struct buffer text = BUFFER_INIT;
        assert_true(predicate_format(&text, bound, table->schema) && buffer_append_u8(&text, 0));
        fail_msg("row %u of %u is %s: %s", row, table->rows, wanted ? "missing" : "selected", (char *)text.data);
    }
    arena_deinit(&scratch);
    free(selected);
}

void assert_bound_truths(const struct table *table, const struct predicate *bound, const char *truths) {
    assert_int_equal(strlen(truths), table->rows);
    for (uint32_t row = 0; row < table->rows; row++) {
        char got = "FTU"[predicate_evaluate_row(bound, table->pointers, row)];
        if (got == truths[row]) continue;
        struct buffer text = BUFFER_INIT;
        assert_true(predicate_format(&text, bound, table->schema) && buffer_append_u8(&text, 0));
        fail_msg("row %u is %c, not %c: %s", row, got, truths[row], (char *)text.data);
    }
    assert_selected(table, bound, truths, NULL);
    uint8_t *among = calloc(table->rows / 8 + 1, 1);
    assert_non_null(among);
    for (uint32_t row = 0; row < table->rows; row++) {
        if ((row * 2654435761u >> 8) % 3 != 0) bitmap_set(among, row);
    }
    assert_selected(table, bound, truths, among);
    memset(among, 0, table->rows / 8 + 1);
    if (table->rows) bitmap_set(among, table->rows / 2);
    assert_selected(table, bound, truths, among);
    free(among);
}

void assert_truths(const struct table *table, const struct predicate *unbound, const char *truths) {
    assert_bound_truths(table, bind(table, unbound), truths);
    char *opposite = strdup(truths);
    assert_non_null(opposite);
    for (char *at = opposite; *at; at++) *at = *at == 'T' ? 'F' : *at == 'F' ? 'T' : 'U';
    assert_bound_truths(table, bind(table, negation(unbound)), opposite);
    free(opposite);
}
