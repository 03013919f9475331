#include "block_model.h"

#include <stdlib.h>

#include "base/hash.h"
#include "column/column_builder.h"
#include "row_model.h"

enum { ALL_COLUMNS = MODEL_COLUMNS };
static const uint32_t all_ids[ALL_COLUMNS] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct block_read read_of(const struct block_model *model) {
    return (struct block_read){
        .schema = model->schema, .column_ids = all_ids, .column_count = ALL_COLUMNS, .with_keys = true};
}

static uint64_t hash_of(struct slice key) { return hash_stable(key.data, key.size); }

static void a_block_finds_its_keys_and_no_others(void **state) {
    (void)state;
    struct test_random random = test_random_of(1);
    for (uint32_t rows = 1; rows < 5000; rows = rows * 3 + 1) {
        struct block_model model;
        block_model_init(&model, false, 20, 1000);
        struct row_block *block = block_model_add(&model, &random, rows, 10, ROW_SET);
        assert_int_equal(block->rows, model.count);
        uint32_t row;
        for (uint32_t i = 0; i < model.count; i++) {
            struct slice key = model_key(&model.rows[i]);
            assert_true(row_block_get(block, key, hash_of(key), 10, &row));
            assert_int_equal(row, i);
            assert_block_row(block, row, &model.rows[i]);
            assert_false(row_block_get(block, key, hash_of(key), 9, &row));
            assert_int_equal(row_block_find(block, key, UINT64_MAX), i);
            assert_int_equal(row_block_find(block, key, 9), i + 1);
        }
        struct block_model others;
        block_model_init(&others, false, 21, 1000);
        row_block_unref(block_model_add(&others, &random, 3000, 10, ROW_SET));
        for (uint32_t i = 0; i < others.count; i++) {
            struct slice key = model_key(&others.rows[i]);
            assert_int_equal(row_block_get(block, key, hash_of(key), 10, &row),
                             block_model_get(&model, key, UINT64_MAX) != NULL);
        }
        assert_true(row_block_bytes(block) > block->rows * 20);
        row_block_unref(block);
        block_model_deinit(&others);
        block_model_deinit(&model);
    }
}

static void a_table_without_key_orders_rows_by_arrival(void **state) {
    (void)state;
    struct test_random random = test_random_of(2);
    struct block_model model;
    block_model_init(&model, true, 5, 5);
    struct row_block *block = block_model_add(&model, &random, 300, 77, ROW_SET);
    uint32_t row;
    assert_int_equal(block->rows, 300);
    for (uint32_t i = 0; i < 300; i++) {
        assert_block_row(block, i, &model.rows[i]);
        assert_true(row_block_get(block, model_key(&model.rows[i]), hash_of(model_key(&model.rows[i])), 77, &row));
        assert_int_equal(row, i);
    }
    uint8_t absent[ROW_ID_BYTES] = {0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 1, 200};
    assert_false(row_block_get(block, slice_of(absent, ROW_ID_BYTES), 0, UINT64_MAX, &row));
    row_block_unref(block);
    block_model_deinit(&model);
}

static void deletes_have_keys_only(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    struct block_model model;
    block_model_init(&model, false, 5, 50);
    struct row_block *block = block_model_add(&model, &random, 100, 5, ROW_DELETE);
    struct block_read read = read_of(&model);
    struct block_stream *stream;
    struct plinth_error error;
    assert_ok(row_block_stream_open(block, &read, &stream, &error), &error);
    assert_stream_gives(stream, &read, model.rows, model.count);
    row_block_unref(block);
    block_model_deinit(&model);
}

/* ---- iterators ---- */

static void add_to_rows(struct row_model *rows, struct slice key, const struct model_row *of) {
    struct row row = {.key = key, .lsn = of->lsn, .operation = of->operation};
    row_model_add(rows, &row);
}

static void the_key_iterator_agrees_with_a_sorted_array(void **state) {
    (void)state;
    struct plinth_error error;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct test_random random = test_random_of(seed);
        struct block_model model;
        struct row_model rows;
        struct iterator *it;
        block_model_init(&model, false, 4, 100);
        row_model_init(&rows);
        struct row_block *block = block_model_add(&model, &random, 300, 9, seed == 3 ? ROW_DELETE : ROW_SET);
        for (size_t i = 0; i < model.count; i++) add_to_rows(&rows, model_key(&model.rows[i]), &model.rows[i]);
        row_model_sort(&rows);
        assert_ok(row_block_key_iterator(block, &it, &error), &error);
        row_block_unref(block);
        assert_iterator_scans(it, &rows, true);
        assert_iterator_agrees(it, &rows, &random, 2000, true);
        iterator_close(it);
        row_model_deinit(&rows);
        block_model_deinit(&model);
    }
}

/* The entry of row `row` of a block, made the slow way: its two values, then its key. */
static void append_entry(struct buffer *entry, const struct row_block *block, uint32_t row) {
    const struct column *parts[] = {row_block_column(block, COLUMN_NOTE), row_block_column(block, COLUMN_FLAG)};
    struct slice key = row_block_key(block, row);
    assert_true(row_key_append(entry, parts, 2, ROW_KEY_INDEX, row));
    assert_true(buffer_append(entry, key.data, key.size));
}

static void index_entries_come_sorted_and_without_deleted_rows(void **state) {
    (void)state;
    struct plinth_error error;
    struct test_random random = test_random_of(4);
    struct block_model model;
    struct row_model rows;
    struct buffer entry = BUFFER_INIT;
    struct iterator *it;
    block_model_init(&model, false, 30, 500);
    row_model_init(&rows);
    struct row_block *block = block_model_add(&model, &random, 2000, 9, ROW_SET);
    for (uint32_t i = 0; i < block->rows; i++) {
        buffer_clear(&entry);
        append_entry(&entry, block, i);
        add_to_rows(&rows, buffer_slice(&entry), &model.rows[i]);
    }
    row_model_sort(&rows);
    for (int round = 0; round < 2; round++) {
        assert_ok(row_block_index_iterator(block, model.schema, &model.schema->indexes[0], &it, &error), &error);
        assert_iterator_scans(it, &rows, true);
        assert_iterator_agrees(it, &rows, &random, 2000, true);
        iterator_close(it);
    }
    row_block_unref(block);

    block = block_model_add(&model, &random, 50, 10, ROW_DELETE);
    assert_ok(row_block_index_iterator(block, model.schema, &model.schema->indexes[0], &it, &error), &error);
    assert_ok(iterator_seek_first(it, &error), &error);
    assert_false(it->valid);
    assert_ok(iterator_seek_last(it, &error), &error);
    assert_false(it->valid);
    iterator_close(it);
    row_block_unref(block);
    buffer_deinit(&entry);
    row_model_deinit(&rows);
    block_model_deinit(&model);
}

static void rows_from_before_an_index_column_are_nulls_in_the_index(void **state) {
    (void)state;
    struct plinth_error error;
    struct test_random random = test_random_of(6);
    struct block_model model;
    block_model_init(&model, false, 3, 10);
    struct table_index index = {.id = {1, 1, 78}, .kind = INDEX_SORTED, .columns = {COLUMN_EXTRA}, .column_count = 1};
    struct row_block *block;
    do {
        model.count = 0;
        block = block_model_add(&model, &random, 20, 10, ROW_SET);
        if (row_block_column(block, COLUMN_EXTRA)) row_block_unref(block), block = NULL;
    } while (!block);
    struct iterator *it;
    assert_ok(row_block_index_iterator(block, model.schema, &index, &it, &error), &error);
    assert_ok(iterator_seek_first(it, &error), &error);
    for (size_t i = 0; i < model.count; i++) {
        assert_true(it->valid);
        assert_int_equal(it->row.key.data[0], 1);
        assert_true(slice_equal(slice_of(it->row.key.data + 1, it->row.key.size - 1), model_key(&model.rows[i])));
        assert_ok(iterator_next(it, &error), &error);
    }
    assert_false(it->valid);
    iterator_close(it);
    row_block_unref(block);
    block_model_deinit(&model);
}

/* ---- streams ---- */

static void a_stream_gives_the_rows_between_its_bounds(void **state) {
    (void)state;
    struct plinth_error error;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct test_random random = test_random_of(seed);
        struct block_model model;
        block_model_init(&model, seed % 5 == 0, 4, 60);
        struct row_block *block = block_model_add(&model, &random, 150, 9, ROW_SET);
        struct block_read read = read_of(&model);
        uint32_t ids[ALL_COLUMNS];
        read.column_ids = ids;
        read.column_count = 0;
        for (uint32_t id = 1; id <= ALL_COLUMNS; id++)
            if (test_random_below(&random, 2)) ids[read.column_count++] = id;
        size_t first = test_random_below(&random, model.count + 1), end = test_random_below(&random, model.count + 1);
        if (first < model.count && first) read.lower = model_key(&model.rows[first]);
        if (!read.lower.size) first = 0;
        if (end < model.count) read.upper = model_key(&model.rows[end]);
        if (end < first) end = first;
        struct block_stream *stream;
        assert_ok(row_block_stream_open(block, &read, &stream, &error), &error);
        row_block_unref(block);
        assert_stream_gives(stream, &read, model.rows + first, end - first);
        block_model_deinit(&model);
    }
}

static void a_whole_block_is_streamed_as_it_is(void **state) {
    (void)state;
    struct plinth_error error;
    struct block_model model;
    block_model_init(&model, false, 4, 60);
    struct row_block *block = block_model_add_range(&model, 1, 0, 100, 4), *given;
    struct block_read read = read_of(&model);
    struct block_stream *stream;
    assert_ok(row_block_stream_open(block, &read, &stream, &error), &error);
    assert_ok(block_stream_next(stream, &given, &error), &error);
    assert_ptr_equal(given, block);
    row_block_unref(given);
    block_stream_close(stream);
    row_block_unref(block);
    block_model_deinit(&model);
}

static void rows_of_a_key_space_are_blocks_of_keys_and_values(void **state) {
    (void)state;
    struct plinth_error error;
    const uint32_t ids[] = {1, 2};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct test_random random = test_random_of(seed);
        struct row_model model;
        row_model_init(&model);
        struct row_shape shape = {.rows = seed * 2500,
                                  .keys = 900,
                                  .key_bytes_max = 20,
                                  .value_bytes_max = 300,
                                  .delete_percent = seed % 2 ? 20 : 0,
                                  .lsn_first = 1};
        row_model_fill(&model, &shape, &random);
        size_t at = 0, end = model.count;
        struct block_read read = {.column_ids = ids, .column_count = 2, .with_keys = true};
        if (seed > 2) {
            at = row_model_find(&model, model.rows[model.count / 3].key, UINT64_MAX);
            end = row_model_find(&model, model.rows[model.count / 2].key, UINT64_MAX);
            read.lower = model.rows[at].key;
            read.upper = model.rows[end].key;
            if (!read.lower.size) at = 0;
        }
        struct block_stream *stream;
        struct row_block *block;
        assert_ok(space_block_stream_open(row_model_iterator(&model), &read, &stream, &error), &error);
        for (;;) {
            assert_ok(block_stream_next(stream, &block, &error), &error);
            if (!block) break;
            const struct column *key = row_block_column(block, 1), *value = row_block_column(block, 2);
            for (uint32_t i = 0; i < block->rows; i++) {
                assert_true(at < end);
                const struct row *wanted = &model.rows[at++];
                assert_true(slice_equal(row_block_key(block, i), wanted->key));
                assert_true(slice_equal(column_bytes_at(key, i), wanted->key));
                assert_int_equal(row_block_lsn(block, i), wanted->lsn);
                assert_int_equal(row_block_operation(block, i), wanted->operation);
                assert_int_equal(column_is_null(value, i), wanted->operation == ROW_DELETE);
                if (wanted->operation == ROW_SET) assert_true(slice_equal(column_bytes_at(value, i), wanted->value));
            }
            row_block_unref(block);
        }
        assert_int_equal(at, end);
        block_stream_close(stream);
        row_model_deinit(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_finds_its_keys_and_no_others),
        cmocka_unit_test(a_table_without_key_orders_rows_by_arrival),
        cmocka_unit_test(deletes_have_keys_only),
        cmocka_unit_test(the_key_iterator_agrees_with_a_sorted_array),
        cmocka_unit_test(index_entries_come_sorted_and_without_deleted_rows),
        cmocka_unit_test(rows_from_before_an_index_column_are_nulls_in_the_index),
        cmocka_unit_test(a_stream_gives_the_rows_between_its_bounds),
        cmocka_unit_test(a_whole_block_is_streamed_as_it_is),
        cmocka_unit_test(rows_of_a_key_space_are_blocks_of_keys_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
