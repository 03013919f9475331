/* Key ranges against brute force: every row for which a predicate is true has its key in one of the ranges. */
#include <stdlib.h>

#include "column/column_builder.h"
#include "query/key_range.h"
#include "support/test_support.h"

enum { ROWS = 120, COLUMNS_MAX = 4, TERMS_MAX = 5, VALUES_MAX = 4, ROUNDS = 4000 };

static const char *const type_names[] = {"int8", "int32",   "uint16", "bool",   "string",        "bytes",
                                         "date", "float64", "uuid",   "uint64", "timestamp(us)", "decimal(9,2)"};

struct table {
    uint32_t column_count;
    struct column_type types[COLUMNS_MAX];
    struct predicate_column columns[COLUMNS_MAX];
    struct batch *rows;
    const struct column *parts[COLUMNS_MAX];
};

static struct column_type type_of(const char *text) {
    struct column_type type;
    struct plinth_error error;
    assert_ok(column_type_parse(slice_of_string(text), &type, &error), &error);
    return type;
}

/* Few distinct values, at the edges of what there is, with bytes that the encoding treats specially. */
static void append_value(struct test_random *random, struct column_builder *builder) {
    static const uint8_t letters[] = {0, 1, 'a', 0xFF};
    uint8_t bytes[16] = {0};
    int64_t number = (int64_t)test_random_below(random, 7) - 3;
    size_t size = (size_t)test_random_below(random, 4);
    bool ok = true;
    switch (builder->type.kind) {
    case COLUMN_BOOL: ok = column_builder_bool(builder, number > 0); break;
    case COLUMN_UINT16: ok = column_builder_integer(builder, number > 2 ? UINT16_MAX : number & 3); break;
    case COLUMN_UINT64: ok = column_builder_integer(builder, number > 2 ? -1 : number & 3); break;
    case COLUMN_INT8:
        ok = column_builder_integer(builder, number > 2 ? INT8_MAX : number < -2 ? INT8_MIN : number);
        break;
    case COLUMN_FLOAT64: ok = column_builder_float(builder, number > 2 ? 1.0 / 0.0 : (double)number / 2); break;
    case COLUMN_STRING:
        for (size_t i = 0; i < size; i++) bytes[i] = letters[test_random_below(random, 3)];
        ok = column_builder_bytes_value(builder, slice_of(bytes, size));
        break;
    case COLUMN_BYTES:
        for (size_t i = 0; i < size; i++) bytes[i] = letters[test_random_below(random, 4)];
        ok = column_builder_bytes_value(builder, slice_of(bytes, size));
        break;
    case COLUMN_UUID:
        memset(bytes, number > 2 ? 0xFF : 0, sizeof bytes);
        bytes[15] = (uint8_t)number;
        ok = column_builder_bytes_value(builder, slice_of(bytes, 16));
        break;
    case COLUMN_DECIMAL: {
        __int128 value = number;
        ok = column_builder_bytes_value(builder, slice_of(&value, 16));
        break;
    }
    default: ok = column_builder_integer(builder, number); break;
    }
    assert_true(ok);
}

static void make_table(struct test_random *random, bool nulls, struct table *table) {
    static char names[COLUMNS_MAX][2] = {"a", "b", "c", "d"};
    struct column_builder builders[COLUMNS_MAX];
    table->column_count = 1 + (uint32_t)test_random_below(random, COLUMNS_MAX);
    for (uint32_t c = 0; c < table->column_count; c++) {
        table->types[c] = type_of(type_names[test_random_below(random, sizeof type_names / sizeof *type_names)]);
        table->columns[c] = (struct predicate_column){slice_of(names[c], 1), table->types[c]};
        assert_true(column_builder_init(&builders[c], table->types[c]));
        for (uint32_t r = 0; r < ROWS; r++)
            if (nulls && test_random_below(random, 5) == 0)
                assert_true(column_builder_null(&builders[c]));
            else
                append_value(random, &builders[c]);
    }
    table->rows = column_builders_finish(builders, table->column_count);
    assert_non_null(table->rows);
    for (uint32_t c = 0; c < table->column_count; c++) {
        table->parts[c] = &table->rows->columns[c];
        column_builder_deinit(&builders[c]);
    }
}

/* A literal of a value of some row of the column, as its text (bytes as they are). */
static struct literal literal_of(struct test_random *random, struct arena *arena, const struct column *column) {
    uint32_t row = (uint32_t)test_random_below(random, ROWS);
    for (uint32_t i = 0; i < ROWS && column_is_null(column, row); i++) row = (row + 1) % ROWS;
    struct buffer text = BUFFER_INIT;
    struct literal literal = {.kind = LITERAL_TEXT};
    if (column_is_null(column, row)) {
        literal.kind = LITERAL_NULL;
    } else if (column_kind_is_bytes(column->type.kind)) {
        struct slice value = column_bytes_at(column, row);
        literal.kind = column->type.kind == COLUMN_BYTES ? LITERAL_BYTES : LITERAL_TEXT;
        literal.bytes = slice_of(arena_copy(arena, value), value.size);
    } else {
        assert_true(column_format(&text, column, row));
        literal.bytes = slice_of(arena_copy(arena, buffer_slice(&text)), text.size);
    }
    buffer_deinit(&text);
    return literal;
}

static struct predicate *make_term(struct test_random *random, struct arena *arena, const struct table *table) {
    uint32_t column = (uint32_t)test_random_below(random, table->column_count);
    struct predicate *term = arena_zalloc(arena, sizeof *term);
    struct literal *literals = arena_zalloc(arena, VALUES_MAX * sizeof *literals);
    term->column_name = table->columns[column].name;
    term->literals = literals;
    term->literal_count = 1;
    for (uint32_t i = 0; i < VALUES_MAX; i++) literals[i] = literal_of(random, arena, table->parts[column]);
    switch (test_random_below(random, 8)) {
    case 0: term->kind = PREDICATE_IS_NULL; break;
    case 1:
    case 2:
        term->kind = PREDICATE_IN;
        term->literal_count = 1 + (uint32_t)test_random_below(random, VALUES_MAX);
        break;
    case 3:
        if (column_kind_is_bytes(table->types[column].kind)) {
            term->kind = PREDICATE_PREFIX;
            if (literals[0].bytes.size) literals[0].bytes.size -= test_random_below(random, 2);
            break;
        }
        /* fall through */
    default:
        term->kind = PREDICATE_COMPARE;
        term->comparison = (enum predicate_comparison)(1 + test_random_below(random, 6));
    }
    if (test_random_below(random, 10)) return term;
    const struct predicate **child = arena_alloc(arena, sizeof *child);
    *child = term;
    struct predicate *not = arena_zalloc(arena, sizeof *not );
    *not = (struct predicate){.kind = PREDICATE_NOT, .children = child, .child_count = 1};
    return not ;
}

static const struct predicate *make_predicate(struct test_random *random, struct arena *arena,
                                              const struct table *table) {
    uint32_t count = 1 + (uint32_t)test_random_below(random, TERMS_MAX);
    const struct predicate **children = arena_alloc(arena, count * sizeof *children);
    for (uint32_t i = 0; i < count; i++) children[i] = make_term(random, arena, table);
    struct predicate *whole = arena_zalloc(arena, sizeof *whole);
    whole->kind = test_random_below(random, 8) ? PREDICATE_AND : PREDICATE_OR;
    whole->children = children;
    whole->child_count = count;
    struct plinth_error error;
    const struct predicate *bound;
    assert_ok(predicate_bind(whole, table->columns, table->column_count, arena, &bound, &error), &error);
    return bound;
}

static bool contains(const struct key_ranges *ranges, struct slice key) {
    for (uint32_t i = 0; i < ranges->count; i++)
        if (slice_compare(key, ranges->ranges[i].lower) >= 0 &&
            (!ranges->ranges[i].upper.size || slice_compare(key, ranges->ranges[i].upper) < 0))
            return true;
    return false;
}

static void check_form(const struct key_ranges *ranges) {
    for (uint32_t i = 0; i < ranges->count; i++) {
        const struct key_range *range = &ranges->ranges[i];
        assert_true(!range->upper.size || slice_compare(range->lower, range->upper) < 0);
        if (i) assert_true(slice_compare(range[-1].upper, range->lower) <= 0);
        if (i) assert_true(range[-1].upper.size > 0);
    }
}

/* How many rows of the table lie in the ranges but are not true: ranges that let everything in would pass otherwise. */
static uint64_t check(struct test_random *random, bool is_index) {
    struct table table;
    struct arena arena;
    arena_init(&arena);
    make_table(random, is_index, &table);
    struct key_part parts[COLUMNS_MAX];
    const struct column *columns[COLUMNS_MAX];
    uint32_t part_count = 1 + (uint32_t)test_random_below(random, table.column_count);
    uint32_t shift = (uint32_t)test_random_below(random, table.column_count);
    for (uint32_t i = 0; i < part_count; i++) {
        uint32_t column = (i + shift) % table.column_count;
        parts[i] = (struct key_part){.column = column, .type = table.types[column]};
        columns[i] = table.parts[column];
    }
    enum row_key_form form = is_index ? ROW_KEY_INDEX : ROW_KEY_PRIMARY;
    const struct predicate *predicate = make_predicate(random, &arena, &table);
    struct key_ranges ranges;
    /* With few ranges, values are clustered. */
    uint32_t ranges_max = test_random_below(random, 2) ? KEY_RANGES_MAX : 1 + (uint32_t)test_random_below(random, 6);
    assert_true(key_ranges_make(predicate, parts, part_count, form, ranges_max, &arena, &ranges));
    assert_true(ranges.count <= ranges_max);
    check_form(&ranges);
    uint64_t kept_out = 0;
    struct buffer key = BUFFER_INIT;
    for (uint32_t r = 0; r < ROWS; r++) {
        buffer_clear(&key);
        assert_true(row_key_append(&key, columns, part_count, form, r));
        if (is_index) assert_true(buffer_append(&key, &r, sizeof r)); /* a primary key behind it */
        bool inside = contains(&ranges, buffer_slice(&key));
        if (predicate_evaluate_row(predicate, table.parts, r) == TRUTH_TRUE) assert_true(inside);
        kept_out += !inside;
        if (!ranges.bounded) assert_true(inside);
        if (ranges.points) {
            bool is_point = false;
            for (uint32_t i = 0; i < ranges.count; i++)
                is_point |= slice_equal(ranges.ranges[i].lower, buffer_slice(&key));
            assert_int_equal(inside, is_point);
        }
    }
    buffer_deinit(&key);
    batch_unref(table.rows);
    arena_deinit(&arena);
    return kept_out;
}

static void rows_that_match_have_their_primary_keys_in_the_ranges(void **state) {
    (void)state;
    struct test_random random = test_random_of(1);
    uint64_t kept_out = 0;
    for (int i = 0; i < ROUNDS; i++) kept_out += check(&random, false);
    assert_true(kept_out > (uint64_t)ROUNDS * ROWS / 3);
}

static void rows_that_match_have_their_index_entries_in_the_ranges(void **state) {
    (void)state;
    struct test_random random = test_random_of(2);
    uint64_t kept_out = 0;
    for (int i = 0; i < ROUNDS; i++) kept_out += check(&random, true);
    assert_true(kept_out > (uint64_t)ROUNDS * ROWS / 3);
}

/* ---- by hand ---- */

struct maker {
    struct arena arena;
    struct predicate_column columns[2];
    struct key_part parts[2];
    struct key_ranges ranges;
};

static struct predicate compare(const char *column, enum predicate_comparison op, const struct literal *literal) {
    return (struct predicate){.kind = PREDICATE_COMPARE,
                              .comparison = op,
                              .column_name = slice_of_string(column),
                              .literals = literal,
                              .literal_count = 1};
}

static void make(struct maker *maker, const char *first, const char *second, const struct predicate *predicate,
                 enum row_key_form form) {
    struct plinth_error error;
    arena_init(&maker->arena);
    const char *const types[] = {first, second}, *const names[] = {"a", "b"};
    uint32_t count = second ? 2 : 1;
    for (uint32_t i = 0; i < count; i++) {
        maker->columns[i] = (struct predicate_column){slice_of_string(names[i]), type_of(types[i])};
        maker->parts[i] = (struct key_part){.column = i, .type = maker->columns[i].type};
    }
    const struct predicate *bound = NULL;
    if (predicate) assert_ok(predicate_bind(predicate, maker->columns, count, &maker->arena, &bound, &error), &error);
    assert_true(key_ranges_make(bound, maker->parts, count, form, KEY_RANGES_MAX, &maker->arena, &maker->ranges));
}

static void no_predicate_gives_the_one_range_of_everything(void **state) {
    (void)state;
    struct maker maker;
    make(&maker, "int64", NULL, NULL, ROW_KEY_PRIMARY);
    assert_int_equal(maker.ranges.count, 1);
    assert_false(maker.ranges.bounded);
    assert_int_equal(maker.ranges.ranges[0].lower.size, 0);
    assert_int_equal(maker.ranges.ranges[0].upper.size, 0);
    arena_deinit(&maker.arena);
}

static void what_is_never_true_gives_no_range(void **state) {
    (void)state;
    struct maker maker;
    const struct literal null = {.kind = LITERAL_NULL};
    struct predicate is_null = compare("a", COMPARE_EQ, &null);
    make(&maker, "int64", NULL, &is_null, ROW_KEY_PRIMARY);
    assert_int_equal(maker.ranges.count, 0);
    assert_true(maker.ranges.bounded);
    arena_deinit(&maker.arena);
}

static void a_fixed_key_is_a_point(void **state) {
    (void)state;
    struct maker maker;
    const struct literal one = {.kind = LITERAL_INT, .integer = 1};
    const struct literal text = {.kind = LITERAL_TEXT, .bytes = slice_of("x\0y", 3)};
    struct predicate terms[] = {compare("b", COMPARE_EQ, &text), compare("a", COMPARE_EQ, &one)};
    const struct predicate *children[] = {&terms[0], &terms[1]};
    struct predicate both = {.kind = PREDICATE_AND, .children = children, .child_count = 2};
    make(&maker, "int16", "string", &both, ROW_KEY_PRIMARY);
    assert_true(maker.ranges.points);
    assert_int_equal(maker.ranges.count, 1);
    assert_int_equal(maker.ranges.parts_fixed, 2);
    assert_true(slice_equal(maker.ranges.ranges[0].lower, slice_of("\x80\x01x\0y", 5)));
    arena_deinit(&maker.arena);
}

static void a_prefix_of_0xFF_bytes_reaches_to_the_last_key(void **state) {
    (void)state;
    struct maker maker;
    const struct literal text = {.kind = LITERAL_BYTES, .bytes = slice_of("\xFF\xFF", 2)};
    struct predicate prefix = {
        .kind = PREDICATE_PREFIX, .column_name = slice_of_string("a"), .literals = &text, .literal_count = 1};
    make(&maker, "bytes", NULL, &prefix, ROW_KEY_PRIMARY);
    assert_int_equal(maker.ranges.count, 1);
    assert_true(slice_equal(maker.ranges.ranges[0].lower, text.bytes));
    assert_int_equal(maker.ranges.ranges[0].upper.size, 0);
    arena_deinit(&maker.arena);
}

static void too_many_combinations_leave_the_later_columns_in_clusters(void **state) {
    (void)state;
    enum { MANY = 200, CLUSTERS = KEY_RANGES_MAX / MANY };
    struct maker maker;
    struct literal *values = calloc(MANY, sizeof *values);
    for (int i = 0; i < MANY; i++) values[i] = (struct literal){.kind = LITERAL_INT, .integer = i * 3};
    struct predicate terms[] = {
        {.kind = PREDICATE_IN, .column_name = slice_of_string("a"), .literals = values, .literal_count = MANY},
        {.kind = PREDICATE_IN, .column_name = slice_of_string("b"), .literals = values, .literal_count = MANY}};
    const struct predicate *children[] = {&terms[0], &terms[1]};
    struct predicate both = {.kind = PREDICATE_AND, .children = children, .child_count = 2};
    make(&maker, "int32", "int32", &both, ROW_KEY_PRIMARY);
    assert_int_equal(maker.ranges.parts_fixed, 1);
    assert_int_equal(maker.ranges.count, MANY * CLUSTERS);
    assert_false(maker.ranges.points);
    /* The first range: a = 0 and b from 0 to 9. */
    assert_true(slice_equal(maker.ranges.ranges[0].lower, slice_of("\x80\0\0\0\x80\0\0\0", 8)));
    assert_true(slice_equal(maker.ranges.ranges[0].upper, slice_of("\x80\0\0\0\x80\0\0\x0a", 8)));
    free(values);
    arena_deinit(&maker.arena);
}

static void more_values_than_ranges_are_bounded_all_the_same(void **state) {
    (void)state;
    enum { MANY = 50000 };
    struct maker maker;
    struct literal *values = calloc(MANY, sizeof *values);
    for (int i = 0; i < MANY; i++) values[i] = (struct literal){.kind = LITERAL_INT, .integer = i * 1000};
    struct predicate in = {
        .kind = PREDICATE_IN, .column_name = slice_of_string("a"), .literals = values, .literal_count = MANY};
    make(&maker, "int32", NULL, &in, ROW_KEY_PRIMARY);
    assert_true(maker.ranges.bounded);
    assert_int_equal(maker.ranges.count, KEY_RANGES_MAX);
    struct slice first = slice_of("\x80\0\0\0", 4), behind_fifth = slice_of("\x80\0\x0f\xa1", 4);
    assert_true(slice_equal(maker.ranges.ranges[0].lower, first));
    assert_true(slice_equal(maker.ranges.ranges[0].upper, behind_fifth));
    free(values);
    arena_deinit(&maker.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_match_have_their_primary_keys_in_the_ranges),
        cmocka_unit_test(rows_that_match_have_their_index_entries_in_the_ranges),
        cmocka_unit_test(no_predicate_gives_the_one_range_of_everything),
        cmocka_unit_test(what_is_never_true_gives_no_range),
        cmocka_unit_test(a_fixed_key_is_a_point),
        cmocka_unit_test(a_prefix_of_0xFF_bytes_reaches_to_the_last_key),
        cmocka_unit_test(too_many_combinations_leave_the_later_columns_in_clusters),
        cmocka_unit_test(more_values_than_ranges_are_bounded_all_the_same),
    };
    return cmocka_run_group_tests_name("key ranges", tests, NULL, NULL);
}
