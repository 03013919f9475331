#include "column/batch.h"

#include <stdlib.h>

#include "column_model.h"

enum { ROWS = 300 };

/* Calls `check` with a random column of each type: without nulls, with few, with many, with nothing else. */
typedef void column_checker(struct test_random *random, const struct column *column, uint32_t rows);
static void for_every_type(uint64_t seed, column_checker *check) {
    static const unsigned null_rates[] = {0, 10, 2, 1};
    struct test_random random = test_random_of(seed);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        for (unsigned j = 0; j < 8; j++) {
            uint32_t rows = j < 4 ? ROWS : (uint32_t)test_random_below(&random, 20);
            struct column_builder builder = model_builder(&random, model_type(i), rows, null_rates[j % 4]);
            struct column column = column_builder_view(&builder);
            check(&random, &column, rows);
            column_builder_deinit(&builder);
        }
    }
}

static void check_null_count(const struct column *column, uint32_t rows) {
    uint32_t nulls = 0;
    for (uint32_t i = 0; i < rows; i++) nulls += column_is_null(column, i);
    assert_int_equal(column->null_count, nulls);
}

static void check_gather(struct test_random *random, const struct column *column, uint32_t rows) {
    struct arena arena;
    struct column out;
    uint32_t chosen[2 * ROWS], count = rows ? (uint32_t)test_random_below(random, 2 * ROWS) : 0;
    arena_init(&arena);
    for (uint32_t i = 0; i < count; i++) chosen[i] = (uint32_t)test_random_below(random, rows);
    assert_true(column_gather(&arena, column, chosen, count, &out));
    check_null_count(&out, count);
    for (uint32_t i = 0; i < count; i++) model_assert_equal(&out, i, column, chosen[i]);
    arena_deinit(&arena);
}

static void gathered_rows_are_the_chosen_ones(void **state) {
    (void)state;
    for_every_type(model_seed(), check_gather);
}

static void check_slice(struct test_random *random, const struct column *column, uint32_t rows) {
    struct arena arena;
    struct column out, again;
    arena_init(&arena);
    for (int round = 0; round < 20; round++) {
        uint32_t first = (uint32_t)test_random_below(random, rows + 1);
        uint32_t count = (uint32_t)test_random_below(random, rows - first + 1);
        assert_true(column_slice(&arena, column, first, count, &out));
        check_null_count(&out, count);
        for (uint32_t i = 0; i < count; i++) model_assert_equal(&out, i, column, first + i);
        uint32_t inner = (uint32_t)test_random_below(random, count + 1); /* a slice of a slice: offsets[0] is not 0 */
        assert_true(column_slice(&arena, &out, inner, count - inner, &again));
        for (uint32_t i = inner; i < count; i++) model_assert_equal(&again, i - inner, column, first + i);
    }
    arena_deinit(&arena);
}

static void slices_begin_at_any_bit(void **state) {
    (void)state;
    for_every_type(model_seed() + 1, check_slice);
}

static void check_filter(struct test_random *random, const struct column *column, uint32_t rows) {
    struct arena arena;
    struct column out;
    uint8_t selection[ROWS / 8 + 1];
    arena_init(&arena);
    test_random_bytes(random, selection, sizeof selection);
    uint32_t count = (uint32_t)bitmap_count(selection, rows), at = 0;
    assert_true(column_filter(&arena, column, selection, rows, count, &out));
    check_null_count(&out, count);
    for (uint32_t i = 0; i < rows; i++)
        if (bitmap_get(selection, i)) model_assert_equal(&out, at++, column, i);
    assert_int_equal(at, count);
    arena_deinit(&arena);
}

static void filtered_rows_are_the_selected_ones(void **state) {
    (void)state;
    for_every_type(model_seed() + 2, check_filter);
}

static void check_concat(struct test_random *random, const struct column *column, uint32_t rows) {
    struct column_builder other_builder = model_builder(random, column->type, 50, 3);
    struct column other = column_builder_view(&other_builder), sliced, out;
    struct arena arena;
    arena_init(&arena);
    assert_true(column_slice(&arena, column, rows / 3, rows - rows / 3, &sliced));
    const struct column *sources[] = {column, &other, NULL, &sliced};
    const uint32_t source_rows[] = {rows, 50, 1000, rows - rows / 3};
    struct row_stretch stretches[40];
    uint32_t total = 0;
    bool nulls = test_random_below(random, 2);
    for (int i = 0; i < 40; i++) {
        uint32_t source = (uint32_t)test_random_below(random, 4);
        if (source == 2 && !nulls) source = 0;
        uint32_t first = (uint32_t)test_random_below(random, source_rows[source] + 1);
        uint32_t left = source_rows[source] - first;
        uint32_t count = test_random_below(random, 2) ? left > 0 : (uint32_t)test_random_below(random, left + 1);
        stretches[i] = (struct row_stretch){source, first, count};
        total += count;
    }
    assert_true(column_concat(&arena, column->type, sources, stretches, 40, total, &out));
    check_null_count(&out, total);
    uint32_t row = 0;
    for (int i = 0; i < 40; i++) {
        for (uint32_t j = 0; j < stretches[i].count; j++, row++) {
            const struct column *source = sources[stretches[i].source];
            if (source)
                model_assert_equal(&out, row, source, stretches[i].first + j);
            else
                assert_true(column_is_null(&out, row));
        }
    }
    arena_deinit(&arena);
    column_builder_deinit(&other_builder);
}

static void stretches_of_several_columns_are_joined(void **state) {
    (void)state;
    for_every_type(model_seed() + 3, check_concat);
}

static void check_wire(struct test_random *random, const struct column *column, uint32_t rows) {
    for (int round = 0; round < 4; round++) {
        uint32_t first = round ? (uint32_t)test_random_below(random, rows + 1) : 0;
        uint32_t count = round ? (uint32_t)test_random_below(random, rows - first + 1) : rows;
        struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
        struct arena arena;
        struct column out, slice;
        struct plinth_error error = {0};
        arena_init(&arena);
        for (int pad = (int)test_random_below(random, 8); pad; pad--) assert_true(buffer_append_u8(&bytes, 0xEE));
        size_t start = bytes.size;
        assert_true(column_encode(&bytes, column, first, count));
        assert_true(bytes.size - start <= column_encoded_bytes(column, first, count));
        assert_true(buffer_append_u8(&bytes, 0xEE));
        struct reader reader = reader_of(slice_of(bytes.data + start, bytes.size - start));
        assert_ok(column_decode(&reader, &arena, column->type, count, &out, &error), &error);
        assert_int_equal(reader_left(&reader), 1);
        assert_true(column_slice(&arena, column, first, count, &slice));
        model_assert_columns_equal(&out, &slice, count);
        assert_true(column_encode(&again, &out, 0, count));
        assert_true(slice_equal(buffer_slice(&again), slice_of(bytes.data + start, bytes.size - start - 1)));
        for (int i = 0; i < 30; i++) { /* cut anywhere it is damage */
            reader = reader_of(slice_of(bytes.data + start, (size_t)test_random_below(random, again.size)));
            assert_status(column_decode(&reader, &arena, column->type, count, &out, &error), PLINTH_CORRUPT, &error);
            assert_true(reader.failed);
        }
        arena_deinit(&arena);
        buffer_deinit(&bytes);
        buffer_deinit(&again);
    }
}

static void columns_survive_encoding(void **state) {
    (void)state;
    for_every_type(model_seed() + 4, check_wire);
}

/* Flipped bytes give a column that can be walked, or a status. */
static void check_damage(struct test_random *random, const struct column *column, uint32_t rows) {
    struct buffer bytes = BUFFER_INIT;
    assert_true(column_encode(&bytes, column, 0, rows));
    for (int round = 0; round < 200; round++) {
        struct arena arena;
        struct column out;
        size_t at = (size_t)test_random_below(random, bytes.size);
        if (test_random_below(random, 2) && at > 16) at %= 16;
        uint8_t before = bytes.data[at];
        bytes.data[at] = (uint8_t)test_random_u64(random);
        arena_init(&arena);
        struct reader reader = reader_of(buffer_slice(&bytes));
        enum plinth_status status = column_decode(&reader, &arena, column->type, rows, &out, NULL);
        assert_true(status == PLINTH_OK || status == PLINTH_CORRUPT);
        for (uint32_t i = 0; i < rows && !status; i++) model_assert_equal(&out, i, &out, i);
        bytes.data[at] = before;
        arena_deinit(&arena);
    }
    buffer_deinit(&bytes);
}

static void damaged_columns_are_statuses(void **state) {
    (void)state;
    for_every_type(model_seed() + 5, check_damage);
}

static void assert_corrupt(enum column_kind kind, uint32_t rows, const void *bytes, size_t size, const char *why) {
    struct arena arena;
    struct column out;
    struct plinth_error error = {0};
    arena_init(&arena);
    struct reader reader = reader_of(slice_of(bytes, size));
    assert_status(column_decode(&reader, &arena, column_type_of(kind), rows, &out, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, why);
    assert_int_equal(error.status, PLINTH_CORRUPT);
    arena_deinit(&arena);
}

static void a_column_has_one_encoding(void **state) {
    (void)state;
    assert_corrupt(COLUMN_INT8, 1, "\x02\x01", 2, "flags");
    assert_corrupt(COLUMN_INT8, 1, "\x01\x00\x01\x05", 4, "null count");
    assert_corrupt(COLUMN_INT8, 1, "\x01\x81\x00\x00\x05", 5, "null count");
    assert_corrupt(COLUMN_INT8, 1, "\x01\x02\x00\x05", 4, "null count");
    assert_corrupt(COLUMN_INT8, 1, "\x01\x01\x01\x05", 4, "differs");
    assert_corrupt(COLUMN_INT8, 1, "\x01\x01\x02\x05", 4, "behind the last row");
    assert_corrupt(COLUMN_BOOL, 1, "\x00\x02", 2, "behind the last row");
    assert_corrupt(COLUMN_INT8, 2, "\x00\x01", 2, "cut off");
    assert_corrupt(COLUMN_STRING, 1, "\x00\x01\x02\0\0\0a", 7, "add up");
    assert_corrupt(COLUMN_STRING, 1, "\x00\x01\x01\0\0\0\xFF", 7, "UTF-8");
    assert_corrupt(COLUMN_STRING, 2, "\x00\x02\x01\0\0\0\x01\0\0\0\xC3\xA4", 12, "UTF-8"); /* a character cut in two */
    assert_corrupt(COLUMN_BYTES, 1, "\x00\xFF\xFF\xFF\xFF\x0F\xFF\xFF\xFF\xFF", 10, "2 GiB");
}

static void null_columns_are_all_null(void **state) {
    (void)state;
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        struct arena arena;
        struct column column, gathered;
        const uint32_t rows[] = {3, 3, 17};
        arena_init(&arena);
        assert_true(column_make_nulls(&arena, model_type(i), 20, &column));
        check_null_count(&column, 20);
        assert_int_equal(column.null_count, 20);
        assert_true(column_gather(&arena, &column, rows, 3, &gathered));
        assert_int_equal(gathered.null_count, 3);
        struct buffer bytes = BUFFER_INIT;
        assert_true(column_encode(&bytes, &column, 0, 20));
        buffer_deinit(&bytes);
        arena_deinit(&arena);
    }
}

/* ---- column_check ---- */

static void check_fails(struct column column, uint32_t rows, uint64_t bytes_size, uint32_t child_rows,
                        const char *why) {
    struct plinth_error error = {0};
    assert_status(column_check(&column, rows, bytes_size, child_rows, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, why);
}

static void untrusted_columns_are_checked(void **state) {
    (void)state;
    const uint32_t falling[] = {0, 3, 2, 4}, rising[] = {0, 1, 2, 4};
    const uint8_t text[] = "abcd", cut[] = "ab\xC3\xA4", second_null = 5;
    struct column column = {.type = column_type_of(COLUMN_STRING), .offsets = falling, .bytes = text};
    check_fails(column, 3, 4, 0, "row 1: offset 3");
    column.offsets = rising;
    check_fails(column, 3, 3, 0, "row 2: ends at offset 4 of 3");
    assert_ok(column_check(&column, 3, 4, 0, NULL), NULL);
    column.bytes = cut;
    assert_ok(column_check(&column, 3, 4, 0, NULL), NULL);
    const uint32_t through[] = {0, 1, 3, 4};
    column.offsets = through;
    check_fails(column, 3, 4, 0, "row 1: not UTF-8 at byte 1");
    column.validity = &second_null;
    check_fails(column, 3, 4, 0, "row 2: not UTF-8 at byte 0");
    assert_ok(column_check(&column, 2, 4, 0, NULL), NULL); /* in a null anything may stand */
    assert_int_equal(column.null_count, 1);
    column.type = column_type_of(COLUMN_BYTES);
    assert_ok(column_check(&column, 3, 4, 0, NULL), NULL);
    column.offsets = NULL;
    assert_ok(column_check(&column, 0, 0, 0, NULL), NULL);
    assert_non_null(column.offsets);
    uint64_t decimals[4] = {99, 0, 100, 0};
    struct column decimal = {.type = {.kind = COLUMN_DECIMAL, .precision = 2}, .values = decimals};
    assert_ok(column_check(&decimal, 1, 0, 0, NULL), NULL);
    check_fails(decimal, 2, 0, 0, "row 1: a decimal of more than 2 digits");
    struct column child = {.type = column_type_of(COLUMN_STRING), .offsets = rising, .bytes = text};
    const uint32_t lists[] = {0, 2, 3};
    struct column list = {.type = {.kind = COLUMN_LIST, .element = COLUMN_STRING}, .offsets = lists, .child = &child};
    assert_ok(column_check(&list, 2, 4, 3, NULL), NULL);
    check_fails(list, 2, 4, 2, "row 1: ends at offset 3 of 2");
    check_fails(list, 2, 3, 3, "list elements: row 2");
}

static void utf8_is_what_rfc_3629_says(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t invalid;
    } cases[] = {
        {"", SIZE_MAX},
        {"plain", SIZE_MAX},
        {"\xC2\x80", SIZE_MAX},
        {"\xDF\xBF", SIZE_MAX},
        {"\xE0\xA0\x80", SIZE_MAX},
        {"\xED\x9F\xBF", SIZE_MAX},
        {"\xEF\xBF\xBF", SIZE_MAX},
        {"\xF0\x90\x80\x80", SIZE_MAX},
        {"\xF4\x8F\xBF\xBF", SIZE_MAX},
        {"\x80", 0},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xED\xA0\x80", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"ab\xC3", 2},
        {"ab\xE2\x82", 2},
        {"ab\xF0\x9F\x90", 2},
        {"ab\xC3(", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        assert_true(utf8_find_invalid(slice_of(cases[i].text, size)) == cases[i].invalid);
        for (size_t before = 0; before < 70; before++) { /* at every place against the words */
            char text[128];
            memset(text, 'x', sizeof text);
            memcpy(text + before, cases[i].text, size);
            bool valid = cases[i].invalid == SIZE_MAX;
            size_t wanted = valid ? SIZE_MAX : cases[i].invalid + before;
            assert_true(utf8_find_invalid(slice_of(text, before + size + 40)) == wanted);
            assert_true(utf8_find_invalid(slice_of(text, before + size)) == wanted);
        }
    }
}

static void bitmaps_are_copied_bit_by_bit(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 6);
    for (int round = 0; round < 5000; round++) {
        enum { BITS = 400 };
        uint32_t count = (uint32_t)test_random_below(&random, 200), rows[BITS], at = 0;
        uint32_t from_bit = (uint32_t)test_random_below(&random, BITS - count);
        uint32_t to_bit = (uint32_t)test_random_below(&random, BITS - count);
        /* Sources end with their last bit's byte, so that reading behind it is found. */
        size_t from_size = (from_bit + count + 7) / 8;
        uint8_t *from = malloc(from_size + 1), to[BITS / 8], before[BITS / 8];
        uint8_t *exact = from_size ? realloc(from, from_size) : from;
        test_random_bytes(&random, exact, from_size);
        test_random_bytes(&random, to, sizeof to);
        memcpy(before, to, sizeof to);
        bitmap_copy(to, to_bit, exact, from_bit, count);
        uint64_t ones = 0;
        for (uint32_t i = 0; i < BITS; i++) {
            bool copied = i >= to_bit && i < to_bit + count;
            assert_int_equal(bitmap_get(to, i),
                             copied ? bitmap_get(exact, from_bit + i - to_bit) : bitmap_get(before, i));
            ones += copied && bitmap_get(to, i);
        }
        assert_true(bitmap_count_range(exact, from_bit, count) == ones);
        bitmap_rows(to, BITS - 3, rows);
        for (uint32_t i = 0; i < BITS - 3; i++)
            if (bitmap_get(to, i)) assert_int_equal(rows[at++], i);
        assert_true(bitmap_count(to, BITS - 3) == at);
        free(exact);
    }
}

/* ---- whole batches ---- */

static int releases;
static void count_release(struct batch *batch) { releases += batch->release_context == &releases; }

static struct batch *make_batch(struct test_random *random) {
    struct column_builder builders[MODEL_TYPES];
    for (unsigned i = 0; i < MODEL_TYPES; i++) builders[i] = model_builder(random, model_type(i), ROWS, 7);
    struct batch *batch = column_builders_finish(builders, MODEL_TYPES);
    assert_non_null(batch);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        struct column view = column_builder_view(&builders[i]);
        model_assert_columns_equal(&batch->columns[i], &view, ROWS);
        column_builder_deinit(&builders[i]);
    }
    return batch;
}

static void batches_are_made_of_batches(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 7);
    struct batch *batch = make_batch(&random);
    batch->release = count_release;
    batch->release_context = &releases;
    releases = 0;
    const uint32_t rows[] = {5, 299, 0};
    uint8_t selection[ROWS / 8 + 1] = {0x24, 0, 0x80};
    struct batch *gathered = batch_gather(batch, rows, 3), *filtered = batch_filter(batch, selection, 3);
    struct batch *slice = batch_slice(batch, 13, 100);
    assert_true(gathered && filtered && slice);
    batch_unref(batch_ref(batch));
    batch_unref(batch);
    assert_int_equal(releases, 0); /* the slice holds it */
    assert_int_equal(slice->rows, 100);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        for (uint32_t row = 0; row < 3; row++)
            model_assert_equal(&gathered->columns[i], row, &batch->columns[i], rows[row]);
        model_assert_equal(&filtered->columns[i], 2, &batch->columns[i], 23);
        for (uint32_t row = 0; row < 100; row++)
            model_assert_equal(&slice->columns[i], row, &batch->columns[i], 13 + row);
    }
    assert_true(batch_bytes(slice) > 0 && batch_bytes(slice) < batch_bytes(batch));
    batch_unref(slice);
    assert_int_equal(releases, 1);
    batch_unref(gathered);
    batch_unref(filtered);
    batch_unref(NULL);
}

static void joined_batches_hold_the_rows_of_all(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 8);
    struct batch *first = make_batch(&random), *second = make_batch(&random);
    struct batch *slice = batch_slice(second, 13, 100), *empty = batch_slice(second, 7, 0);
    struct batch *const all[] = {slice, first, empty, second};
    struct batch *whole = batch_concat(all, 4), *same = batch_concat(all + 1, 1);
    assert_true(whole && same == first);
    batch_unref(same);
    batch_unref(slice); /* the whole needs none of them */
    batch_unref(empty);
    assert_int_equal(whole->rows, 100 + ROWS + ROWS);
    assert_int_equal(whole->column_count, MODEL_TYPES);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        check_null_count(&whole->columns[i], whole->rows);
        for (uint32_t row = 0; row < 100; row++)
            model_assert_equal(&whole->columns[i], row, &second->columns[i], 13 + row);
        for (uint32_t row = 0; row < ROWS; row++) {
            model_assert_equal(&whole->columns[i], 100 + row, &first->columns[i], row);
            model_assert_equal(&whole->columns[i], 100 + ROWS + row, &second->columns[i], row);
        }
    }
    batch_unref(whole);
    batch_unref(first);
    batch_unref(second);
}

static void bytes_of_a_column_are_its_buffers(void **state) {
    (void)state;
    struct column_builder builder;
    assert_true(column_builder_init(&builder, column_type_of(COLUMN_STRING)));
    assert_true(column_builder_bytes_value(&builder, slice_of("abc", 3)) && column_builder_null(&builder));
    struct column column = column_builder_view(&builder);
    assert_int_equal(column_bytes(&column, 2), 1 + 3 * 4 + 3);
    assert_int_equal(column_builder_bytes(&builder), 1 + 3 * 4 + 3);
    column_builder_deinit(&builder);
}

static void popped_rows_are_gone(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 8);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        struct column_builder builder = model_builder(&random, model_type(i), 40, 3);
        struct batch *before = column_builders_finish(&builder, 1);
        for (uint32_t left = 40; left; left--) {
            uint32_t rows = left - 1;
            column_builder_pop(&builder);
            assert_int_equal(builder.rows, rows);
            struct column column = column_builder_view(&builder), slice;
            assert_true(column_slice(&before->arena, &before->columns[0], 0, rows, &slice));
            model_assert_columns_equal(&column, &slice, rows);
        }
        column_builder_pop(&builder);
        assert_int_equal(builder.rows, 0);
        model_append(&random, &builder, 2);
        column_builder_clear(&builder);
        assert_int_equal(column_builder_bytes(&builder), 0);
        batch_unref(before);
        column_builder_deinit(&builder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathered_rows_are_the_chosen_ones),
        cmocka_unit_test(slices_begin_at_any_bit),
        cmocka_unit_test(filtered_rows_are_the_selected_ones),
        cmocka_unit_test(stretches_of_several_columns_are_joined),
        cmocka_unit_test(columns_survive_encoding),
        cmocka_unit_test(damaged_columns_are_statuses),
        cmocka_unit_test(a_column_has_one_encoding),
        cmocka_unit_test(null_columns_are_all_null),
        cmocka_unit_test(untrusted_columns_are_checked),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(bitmaps_are_copied_bit_by_bit),
        cmocka_unit_test(batches_are_made_of_batches),
        cmocka_unit_test(joined_batches_hold_the_rows_of_all),
        cmocka_unit_test(bytes_of_a_column_are_its_buffers),
        cmocka_unit_test(popped_rows_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
