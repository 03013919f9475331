#include "column/row_key.h"

#include <stdlib.h>

#include "column_model.h"

enum { ROWS = 400, PARTS = 3 };

static int sign(int value) { return (value > 0) - (value < 0); }

/* Compares the keys of many pairs of rows with what the values say, and the three ways of encoding with each other. */
static void check_order(struct test_random *random, const struct column_type *types, uint32_t part_count,
                        enum row_key_form form) {
    struct column_builder builders[ROW_KEY_PARTS_MAX];
    struct column columns[ROW_KEY_PARTS_MAX];
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < part_count; i++) {
        builders[i] = model_builder(random, types[i], ROWS, form == ROW_KEY_INDEX ? 5 : 0);
        columns[i] = column_builder_view(&builders[i]);
        parts[i] = &columns[i];
    }
    struct arena arena;
    struct row_keys keys;
    arena_init(&arena);
    assert_true(row_keys_encode(&arena, parts, part_count, form, ROWS, &keys));
    assert_int_equal(keys.offsets[0], 0);
    for (int pair = 0; pair < 4 * ROWS; pair++) {
        uint32_t a = (uint32_t)test_random_below(random, ROWS), b = (uint32_t)test_random_below(random, ROWS);
        int order = 0;
        for (uint32_t i = 0; i < part_count && !order; i++) order = model_compare(parts[i], a, parts[i], b);
        if (sign(slice_compare(row_keys_at(&keys, a), row_keys_at(&keys, b))) != sign(order))
            fail_msg("rows %u and %u of %u parts, the first of kind %u: values order %d", a, b, part_count,
                     types[0].kind, order);
    }
    for (uint32_t row = 0; row < ROWS; row++) {
        struct buffer key = BUFFER_INIT;
        assert_true(row_key_append(&key, parts, part_count, form, row));
        assert_true(slice_equal(buffer_slice(&key), row_keys_at(&keys, row)));
        buffer_deinit(&key);
    }
    arena_deinit(&arena);
    for (uint32_t i = 0; i < part_count; i++) column_builder_deinit(&builders[i]);
}

static void keys_of_every_type_sort_as_their_values(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed());
    for (unsigned i = 0; i < MODEL_KEY_TYPES; i++) {
        struct column_type type = model_type(i);
        check_order(&random, &type, 1, ROW_KEY_PRIMARY);
        check_order(&random, &type, 1, ROW_KEY_INDEX);
    }
}

static void composite_keys_sort_as_their_values(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 1);
    for (unsigned round = 0; round < 150; round++) {
        struct column_type types[PARTS];
        for (unsigned i = 0; i < PARTS; i++)
            types[i] = model_type((unsigned)test_random_below(&random, MODEL_KEY_TYPES));
        check_order(&random, types, 1 + round % PARTS, round % 2 ? ROW_KEY_INDEX : ROW_KEY_PRIMARY);
    }
}

/* Decoding gives equal values, which encode to the same key; in an index what follows is left alone. */
static void check_decode(struct test_random *random, const struct column_type *types, uint32_t part_count,
                         enum row_key_form form) {
    struct column_builder from[PARTS], into[PARTS];
    struct column_builder *into_parts[PARTS];
    struct column columns[PARTS];
    const struct column *parts[PARTS];
    for (uint32_t i = 0; i < part_count; i++) {
        from[i] = model_builder(random, types[i], 50, form == ROW_KEY_INDEX ? 5 : 0);
        assert_true(column_builder_init(&into[i], types[i]));
        into_parts[i] = &into[i];
        columns[i] = column_builder_view(&from[i]);
        parts[i] = &columns[i];
    }
    for (uint32_t row = 0; row < 50; row++) {
        struct buffer key = BUFFER_INIT;
        assert_true(row_key_append(&key, parts, part_count, form, row));
        size_t size = key.size;
        if (form == ROW_KEY_INDEX) assert_true(buffer_append(&key, "primary", 7));
        struct reader reader = reader_of(buffer_slice(&key));
        assert_true(row_key_decode(&reader, into_parts, part_count, form));
        assert_ptr_equal(reader.at, key.data + size);
        reader = reader_of(buffer_slice(&key));
        if (form == ROW_KEY_INDEX) {
            assert_true(row_key_skip(&reader, types, part_count));
            assert_ptr_equal(reader.at, key.data + size);
        }
        for (uint32_t i = 0; i < part_count; i++) {
            struct column decoded = column_builder_view(&into[i]);
            assert_int_equal(into[i].rows, row + 1);
            assert_int_equal(model_compare(&decoded, row, parts[i], row), 0);
        }
        /* Cut short anywhere it is refused, and nothing is appended. (A raw last part cannot be told from a cut one.)
         */
        bool raw = form == ROW_KEY_PRIMARY && column_kind_is_bytes(types[part_count - 1].kind);
        for (size_t cut = 0; cut < size && !raw; cut++) {
            reader = reader_of(slice_of(key.data, cut));
            assert_false(row_key_decode(&reader, into_parts, part_count, form));
            assert_int_equal(into[0].rows, row + 1);
            reader = reader_of(slice_of(key.data, cut));
            if (form == ROW_KEY_INDEX) assert_false(row_key_skip(&reader, types, part_count));
        }
        buffer_deinit(&key);
    }
    for (uint32_t i = 0; i < part_count; i++) {
        column_builder_deinit(&from[i]);
        column_builder_deinit(&into[i]);
    }
}

static void keys_decode_to_their_values(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 2);
    for (unsigned round = 0; round < 300; round++) {
        struct column_type types[PARTS];
        for (unsigned i = 0; i < PARTS; i++)
            types[i] = model_type((unsigned)test_random_below(&random, MODEL_KEY_TYPES));
        if (round < MODEL_KEY_TYPES) types[0] = model_type(round);
        check_decode(&random, types, 1 + round % PARTS, round % 2 ? ROW_KEY_INDEX : ROW_KEY_PRIMARY);
    }
}

/* Keys cut or with other bytes behind them are told from whole ones. */
static void check_decode_columns(struct test_random *random, const struct column_type *types, uint32_t part_count,
                                 enum row_key_form form) {
    struct column_builder builders[PARTS];
    struct column columns[PARTS], decoded[PARTS];
    const struct column *parts[PARTS], *decoded_parts[PARTS];
    for (uint32_t i = 0; i < part_count; i++) {
        builders[i] = model_builder(random, types[i], ROWS, form == ROW_KEY_INDEX ? 5 : 0);
        columns[i] = column_builder_view(&builders[i]);
        parts[i] = &columns[i];
        decoded_parts[i] = &decoded[i];
    }
    struct arena arena;
    struct row_keys keys, again;
    uint32_t at[ROWS];
    arena_init(&arena);
    assert_true(row_keys_encode(&arena, parts, part_count, form, ROWS, &keys));
    memcpy(at, keys.offsets, sizeof at);
    assert_int_equal(row_keys_decode(&arena, &keys, ROWS, at, types, part_count, form, decoded), PLINTH_OK);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(at[row], keys.offsets[row + 1]);
        for (uint32_t i = 0; i < part_count; i++) assert_int_equal(model_compare(&decoded[i], row, parts[i], row), 0);
    }
    assert_true(row_keys_encode(&arena, decoded_parts, part_count, form, ROWS, &again));
    assert_memory_equal(again.offsets, keys.offsets, (ROWS + 1) * sizeof *keys.offsets);
    assert_memory_equal(again.bytes, keys.bytes, keys.offsets[ROWS]);
    bool raw = form == ROW_KEY_PRIMARY && column_kind_is_bytes(types[part_count - 1].kind);
    for (uint32_t cut = 1; !raw && cut <= keys.offsets[1]; cut++) {
        uint32_t offsets[2] = {0, keys.offsets[1] - cut}, begin = 0;
        struct row_keys one = {offsets, keys.bytes};
        assert_int_equal(row_keys_decode(&arena, &one, 1, &begin, types, part_count, form, decoded), PLINTH_CORRUPT);
    }
    arena_deinit(&arena);
    for (uint32_t i = 0; i < part_count; i++) column_builder_deinit(&builders[i]);
}

static void many_keys_decode_to_columns(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 3);
    for (unsigned round = 0; round < 150; round++) {
        struct column_type types[PARTS];
        for (unsigned i = 0; i < PARTS; i++)
            types[i] = model_type((unsigned)test_random_below(&random, MODEL_KEY_TYPES));
        if (round < MODEL_KEY_TYPES) types[0] = model_type(round);
        check_decode_columns(&random, types, 1 + round % PARTS, round % 2 ? ROW_KEY_INDEX : ROW_KEY_PRIMARY);
    }
}

static void assert_refused(struct column_type type, const void *bytes, size_t size, enum row_key_form form) {
    struct column_builder builder;
    struct column_builder *parts = &builder;
    assert_true(column_builder_init(&builder, type));
    struct reader reader = reader_of(slice_of(bytes, size));
    assert_false(row_key_decode(&reader, &parts, 1, form));
    assert_int_equal(builder.rows, 0);
    column_builder_deinit(&builder);
}

static void only_what_encoding_gives_is_decoded(void **state) {
    (void)state;
    assert_refused(column_type_of(COLUMN_BOOL), "\x02", 1, ROW_KEY_PRIMARY);
    assert_refused(column_type_of(COLUMN_FLOAT64), "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, ROW_KEY_PRIMARY); /* -0 */
    assert_refused(column_type_of(COLUMN_FLOAT64), "\xFF\xF8\x00\x00\x00\x00\x00\x01", 8, ROW_KEY_PRIMARY); /* NaN */
    assert_refused(column_type_of(COLUMN_FLOAT32), "\x00\x00\x00\x00", 4, ROW_KEY_PRIMARY);
    assert_refused(column_type_of(COLUMN_STRING), "\xFF", 1, ROW_KEY_PRIMARY);
    assert_refused(column_type_of(COLUMN_STRING), "\x02\xC3\x00\x01", 4, ROW_KEY_INDEX);
    assert_refused(column_type_of(COLUMN_BYTES), "\x02\x61\x00\x02", 4, ROW_KEY_INDEX);
    assert_refused(column_type_of(COLUMN_INT8), "\x03\x61", 2, ROW_KEY_INDEX);
    assert_refused(column_type_of(COLUMN_INT8), "\x00\x61", 2, ROW_KEY_INDEX);
    struct column_type decimal = {.kind = COLUMN_DECIMAL, .precision = 2};
    assert_refused(decimal, "\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x64", 16, ROW_KEY_PRIMARY); /* 100 */
}

static void one_bytes_key_is_its_bytes(void **state) {
    (void)state;
    struct column_builder builder;
    assert_true(column_builder_init(&builder, column_type_of(COLUMN_BYTES)));
    assert_true(column_builder_bytes_value(&builder, slice_of("a\0b", 3)));
    struct column column = column_builder_view(&builder);
    const struct column *part = &column;
    struct buffer key = BUFFER_INIT;
    assert_true(row_key_append(&key, &part, 1, ROW_KEY_PRIMARY, 0));
    assert_int_equal(key.size, 3);
    assert_memory_equal(key.data, "a\0b", 3);
    buffer_clear(&key);
    assert_true(row_key_append_part(&key, &column, 0, ROW_KEY_PRIMARY, false));
    assert_int_equal(key.size, 6);
    assert_memory_equal(key.data,
                        "a\0\xFF"
                        "b\0\x01",
                        6);
    buffer_clear(&key);
    assert_true(row_key_append_part(&key, NULL, 0, ROW_KEY_INDEX, false));
    assert_int_equal(key.size, 1);
    assert_int_equal(key.data[0], 1);
    buffer_deinit(&key);
    column_builder_deinit(&builder);
}

/* ---- sorting ---- */

/* Sorts and checks order, stability, that every row is there, and the prefixes. */
static void check_sort(const struct row_keys *keys, uint32_t rows) {
    uint32_t *order = malloc((rows + 1) * sizeof *order);
    uint64_t *prefixes = malloc((rows + 1) * sizeof *prefixes);
    uint8_t *seen = calloc(rows + 1, 1);
    assert_true(order && prefixes && seen);
    assert_true(row_keys_sort(keys, rows, order, prefixes));
    for (uint32_t i = 0; i < rows; i++) {
        assert_true(order[i] < rows);
        assert_int_equal(seen[order[i]]++, 0);
        assert_true(prefixes[i] == row_key_prefix(row_keys_at(keys, order[i])));
        if (i == 0) continue;
        int compared = slice_compare(row_keys_at(keys, order[i - 1]), row_keys_at(keys, order[i]));
        if (compared > 0 || (compared == 0 && order[i - 1] > order[i])) fail_msg("rows %u and %u", i - 1, i);
    }
    free(order);
    free(prefixes);
    free(seen);
}

/* Keys with long shared beginnings, ends at every place of a word, zeros and repetitions. */
static void make_keys(struct test_random *random, struct arena *arena, uint32_t rows, unsigned shape,
                      struct row_keys *keys) {
    struct buffer bytes = BUFFER_INIT;
    keys->offsets = arena_alloc(arena, (rows + 1) * sizeof *keys->offsets);
    keys->offsets[0] = 0;
    for (uint32_t i = 0; i < rows; i++) {
        size_t shared = shape & 1 ? 8 * test_random_below(random, 3) : 0;
        for (size_t j = 0; j < shared; j++) assert_true(buffer_append_u8(&bytes, 'x'));
        size_t size = test_random_below(random, shape & 2 ? 4 : 20);
        for (size_t j = 0; j < size; j++)
            assert_true(buffer_append_u8(&bytes, (uint8_t)test_random_below(random, shape & 4 ? 2 : 256)));
        keys->offsets[i + 1] = (uint32_t)bytes.size;
    }
    keys->bytes = arena_copy(arena, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

static void keys_are_sorted_stably(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 3);
    for (unsigned round = 0; round < 240; round++) {
        struct arena arena;
        struct row_keys keys;
        arena_init(&arena);
        uint32_t rows = (uint32_t)(round % 10 == 0 ? 20000 : test_random_below(&random, round % 3 ? 2000 : 40));
        make_keys(&random, &arena, rows, round % 8, &keys);
        check_sort(&keys, rows);
        arena_deinit(&arena);
    }
}

static void sorted_stretches_are_merged(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 4);
    for (uint32_t stretches = 1; stretches <= 20; stretches++) {
        enum { STRETCH_ROWS = 100 };
        struct arena arena;
        struct row_keys keys = {0};
        struct buffer bytes = BUFFER_INIT;
        arena_init(&arena);
        keys.offsets = arena_zalloc(&arena, (STRETCH_ROWS * stretches + 1) * sizeof *keys.offsets);
        uint32_t rows = 0;
        for (uint32_t i = 0; i < stretches; i++) {
            uint64_t value = test_random_below(&random, 1000);
            uint32_t size = (uint32_t)test_random_below(&random, STRETCH_ROWS);
            for (uint32_t j = 0; j < size; j++, value += test_random_below(&random, 4)) {
                assert_true(buffer_append_zeros(&bytes, 6) && buffer_append_u8(&bytes, (uint8_t)(value >> 8)) &&
                            buffer_append_u8(&bytes, (uint8_t)value));
                keys.offsets[++rows] = (uint32_t)bytes.size;
            }
        }
        keys.bytes = arena_copy(&arena, buffer_slice(&bytes));
        check_sort(&keys, rows);
        buffer_deinit(&bytes);
        arena_deinit(&arena);
    }
}

/* Every key a byte longer than the one before, and equal to it up to there: as many levels as rows. */
static void deep_keys_need_no_deep_stack(void **state) {
    (void)state;
    enum { DEEP_ROWS = 4000 };
    struct arena arena;
    struct row_keys keys;
    arena_init(&arena);
    keys.offsets = arena_alloc(&arena, (DEEP_ROWS + 1) * sizeof *keys.offsets);
    keys.offsets[0] = 0;
    for (uint32_t i = 0; i < DEEP_ROWS; i++) keys.offsets[i + 1] = keys.offsets[i] + 8 * (DEEP_ROWS - i);
    keys.bytes = arena_alloc(&arena, keys.offsets[DEEP_ROWS]);
    memset(keys.bytes, 7, keys.offsets[DEEP_ROWS]);
    check_sort(&keys, DEEP_ROWS);
    arena_deinit(&arena);
}

static void no_rows_and_empty_keys_are_fine(void **state) {
    (void)state;
    struct arena arena;
    struct row_keys keys;
    struct column column = {.type = column_type_of(COLUMN_STRING)};
    const struct column *part = &column;
    arena_init(&arena);
    assert_true(row_keys_encode(&arena, &part, 1, ROW_KEY_PRIMARY, 0, &keys));
    assert_int_equal(keys.offsets[0], 0);
    check_sort(&keys, 0);
    const struct column_builder empty = {.type = column_type_of(COLUMN_STRING)};
    struct column_builder builder = empty;
    for (int i = 0; i < 300; i++) assert_true(column_builder_bytes_value(&builder, slice_of(NULL, 0)));
    column = column_builder_view(&builder);
    assert_true(row_keys_encode(&arena, &part, 1, ROW_KEY_PRIMARY, 300, &keys));
    assert_int_equal(keys.offsets[300], 0);
    check_sort(&keys, 300);
    column_builder_deinit(&builder);
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_every_type_sort_as_their_values),
        cmocka_unit_test(composite_keys_sort_as_their_values),
        cmocka_unit_test(keys_decode_to_their_values),
        cmocka_unit_test(many_keys_decode_to_columns),
        cmocka_unit_test(only_what_encoding_gives_is_decoded),
        cmocka_unit_test(one_bytes_key_is_its_bytes),
        cmocka_unit_test(keys_are_sorted_stably),
        cmocka_unit_test(sorted_stretches_are_merged),
        cmocka_unit_test(deep_keys_need_no_deep_stack),
        cmocka_unit_test(no_rows_and_empty_keys_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
