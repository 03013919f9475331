/* Ranges of rows, and picking rows by a bitmap, against loops over single rows. */
#include <stdlib.h>

#include "parquet/bits.h"
#include "parquet/row_ranges.h"
#include "support/test_support.h"

enum { ROWS_MAX = 700 };

static bool is_in(const struct buffer *ranges, uint64_t row) {
    for (size_t i = 0; i < row_ranges_count(ranges); i++)
        if (row >= row_range_at(ranges, i)->begin && row < row_range_at(ranges, i)->end) return true;
    return false;
}

static void check_order(const struct buffer *ranges) {
    for (size_t i = 0; i < row_ranges_count(ranges); i++) {
        assert_true(row_range_at(ranges, i)->begin < row_range_at(ranges, i)->end);
        if (i > 0) assert_true(row_range_at(ranges, i - 1)->end < row_range_at(ranges, i)->begin);
    }
}

/* Runs of equal bits, of lengths up to `longest`. */
static void random_bits(struct test_random *random, uint8_t *bits, uint64_t count, uint64_t longest) {
    memset(bits, 0, count / 8 + 1);
    for (uint64_t i = 0; i < count;) {
        uint64_t run = 1 + test_random_below(random, longest);
        bool value = test_random_below(random, 2);
        for (; run > 0 && i < count; run--, i++)
            if (value) bitmap_set(bits, i);
    }
}

static void bitmaps_become_ranges(void **state) {
    struct test_random random = test_random_of(1);
    (void)state;
    for (int round = 0; round < 2000; round++) {
        uint64_t bits = test_random_below(&random, ROWS_MAX), first = test_random_below(&random, 300);
        uint8_t *bitmap = malloc(bits / 8 + 1); /* of its size, so that reading beyond is seen */
        struct row_range range = {test_random_below(&random, 100), test_random_below(&random, ROWS_MAX)};
        struct buffer ranges = BUFFER_INIT;
        assert_non_null(bitmap);
        random_bits(&random, bitmap, bits, 1 + test_random_below(&random, 200));
        assert_true(row_ranges_add_bitmap(&ranges, range, bitmap, first, bits));
        check_order(&ranges);
        for (uint64_t row = 0; row < ROWS_MAX + 10; row++) {
            bool wanted =
                row >= range.begin && row < range.end && first + row < bits && bitmap_get(bitmap, first + row);
            assert_int_equal(is_in(&ranges, row), wanted);
        }
        buffer_deinit(&ranges);
        free(bitmap);
    }
}

static void masks_are_made_of_ranges_piece_by_piece(void **state) {
    struct test_random random = test_random_of(2);
    (void)state;
    for (int round = 0; round < 1000; round++) {
        uint8_t bitmap[ROWS_MAX / 8 + 2];
        struct buffer ranges = BUFFER_INIT, mask = BUFFER_INIT;
        uint64_t row = 0, kept;
        size_t i = 0;
        random_bits(&random, bitmap, ROWS_MAX, 1 + test_random_below(&random, 30));
        assert_true(row_ranges_add_bitmap(&ranges, (struct row_range){0, ROWS_MAX}, bitmap, 0, ROWS_MAX));
        while (i < row_ranges_count(&ranges)) {
            uint64_t rows = 1 + test_random_below(&random, 300), most = 1 + test_random_below(&random, 100), count = 0;
            if (row < row_range_at(&ranges, i)->begin) row = row_range_at(&ranges, i)->begin;
            uint64_t about = row_ranges_mask(&ranges, &i, row, rows, most, &mask, &kept);
            assert_true(about > 0 && about <= rows && kept > 0 && kept <= most);
            for (uint64_t k = 0; k < about; k++) {
                assert_int_equal(bitmap_get(mask.data, k), bitmap_get(bitmap, row + k));
                count += bitmap_get(mask.data, k);
            }
            assert_int_equal(count, kept);
            assert_true(bitmap_get(mask.data, about - 1));
            row += about;
        }
        for (; row < ROWS_MAX; row++) assert_false(bitmap_get(bitmap, row));
        buffer_deinit(&ranges);
        buffer_deinit(&mask);
    }
}

/* Slots of a column of any type, with or without nulls and repetition. */
struct sample {
    struct parquet_column column;
    struct parquet_column_data data;
    uint8_t values[ROWS_MAX * 12], validity[ROWS_MAX / 8 + 2], definition[ROWS_MAX], repetition[ROWS_MAX];
    uint32_t offsets[ROWS_MAX + 1];
};

static void make_sample(struct test_random *random, struct sample *sample) {
    static const enum parquet_type types[] = {PARQUET_TYPE_BOOLEAN, PARQUET_TYPE_INT32,      PARQUET_TYPE_DOUBLE,
                                              PARQUET_TYPE_INT96,   PARQUET_TYPE_BYTE_ARRAY, PARQUET_TYPE_FIXED};
    *sample = (struct sample){.column = {.type = types[test_random_below(random, 6)], .type_length = 3}};
    struct parquet_column_data *data = &sample->data;
    sample->column.width = parquet_type_width(sample->column.type, 3);
    data->slots = 1 + test_random_below(random, ROWS_MAX);
    test_random_bytes(random, sample->values, sizeof sample->values);
    for (uint64_t i = 0; i < data->slots; i++)
        sample->offsets[i + 1] = sample->offsets[i] + (uint32_t)test_random_below(random, 10);
    bool is_bytes = sample->column.type == PARQUET_TYPE_BYTE_ARRAY;
    data->values = is_bytes ? NULL : sample->values;
    data->offsets = is_bytes ? sample->offsets : NULL;
    data->bytes = is_bytes ? sample->values : NULL;
    if (test_random_below(random, 2)) {
        random_bits(random, sample->validity, data->slots, 5);
        data->validity = sample->validity;
    }
    data->rows = data->slots;
    if (test_random_below(random, 2) == 0) return;
    sample->column.repetition_level_max = 2;
    data->definition_levels = sample->definition;
    data->repetition_levels = sample->repetition;
    data->rows = 0;
    for (uint64_t i = 0; i < data->slots; i++) {
        sample->definition[i] = (uint8_t)test_random_below(random, 5);
        sample->repetition[i] = i == 0 ? 0 : (uint8_t)test_random_below(random, 3);
        data->rows += sample->repetition[i] == 0;
    }
}

static void check_slot(const struct sample *from, uint64_t i, const struct parquet_column_data *picked, uint64_t k) {
    const struct parquet_column_data *data = &from->data;
    assert_int_equal(parquet_column_data_is_null(picked, k), parquet_column_data_is_null(data, i));
    if (data->repetition_levels) {
        assert_int_equal(picked->repetition_levels[k], data->repetition_levels[i]);
        assert_int_equal(picked->definition_levels[k], data->definition_levels[i]);
    }
    if (from->column.type == PARQUET_TYPE_BYTE_ARRAY) {
        assert_true(slice_equal(parquet_column_data_bytes(picked, k), parquet_column_data_bytes(data, i)));
    } else if (from->column.type == PARQUET_TYPE_BOOLEAN) {
        assert_int_equal(bitmap_get(picked->values, k), bitmap_get(data->values, i));
    } else {
        size_t width = from->column.width;
        assert_memory_equal((const uint8_t *)picked->values + k * width, (const uint8_t *)data->values + i * width,
                            width);
    }
}

static void picked_rows_are_those_of_the_mask(void **state) {
    struct test_random random = test_random_of(3);
    struct row_picker picker = {0};
    (void)state;
    for (int round = 0; round < 2000; round++) {
        static struct sample sample;
        struct plinth_error error;
        struct buffer mask = BUFFER_INIT;
        make_sample(&random, &sample);
        assert_true(buffer_append_zeros(&mask, ROWS_MAX / 8 + 32));
        random_bits(&random, mask.data, sample.data.rows, 1 + test_random_below(&random, 20));
        uint64_t kept = bits_count(mask.data, 0, sample.data.rows), slots = 0, nulls = 0, row = UINT64_MAX;
        struct parquet_column_data data = sample.data;
        assert_ok(row_picker_pick(&picker, &sample.column, &mask, kept, &data, &error), &error);
        assert_int_equal(data.rows, kept);
        for (uint64_t i = 0; i < sample.data.slots; i++) {
            row += sample.data.repetition_levels ? sample.data.repetition_levels[i] == 0 : 1;
            if (!bitmap_get(mask.data, row)) continue;
            nulls += parquet_column_data_is_null(&sample.data, i);
            check_slot(&sample, i, &data, slots++);
        }
        assert_int_equal(data.slots, slots);
        assert_int_equal(data.null_count, nulls);
        buffer_deinit(&mask);
    }
    row_picker_deinit(&picker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bitmaps_become_ranges),
        cmocka_unit_test(masks_are_made_of_ranges_piece_by_piece),
        cmocka_unit_test(picked_rows_are_those_of_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
