#include "row_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "table/memtable.h"

static struct memtable *create(void) {
    struct plinth_error error;
    struct memtable *memtable;
    assert_ok(memtable_create(&memtable, &error), &error);
    return memtable;
}

static void insert(struct memtable *memtable, struct table_id table, const struct row *row) {
    struct plinth_error error;
    struct buffer stored = BUFFER_INIT;
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    assert_true(buffer_append(&stored, prefix, table_prefix_encode(prefix, table)));
    assert_true(buffer_append(&stored, row->key.data, row->key.size));
    struct row copy = *row;
    copy.key = buffer_slice(&stored);
    assert_ok(memtable_insert(memtable, &copy, &error), &error);
    buffer_deinit(&stored);
}

/* Inserts the model's rows in a random order. */
static void insert_model(struct memtable *memtable, struct table_id table, const struct row_model *model,
                         struct test_random *random) {
    size_t *order = malloc(model->count * sizeof *order);
    assert_non_null(order);
    for (size_t i = 0; i < model->count; i++) order[i] = i;
    for (size_t i = model->count; i > 1; i--) {
        size_t j = test_random_below(random, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    for (size_t i = 0; i < model->count; i++) insert(memtable, table, &model->rows[order[i]]);
    free(order);
}

static void assert_gets_agree(struct memtable *memtable, struct table_id table, const struct row_model *model,
                              struct test_random *random, size_t operations) {
    struct buffer key = BUFFER_INIT, stored = BUFFER_INIT;
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, table);
    for (size_t i = 0; i < operations; i++) {
        struct slice wanted_key = row_model_random_key(model, random, &key);
        uint64_t lsn_max = test_random_below(random, 2) ? UINT64_MAX : test_random_below(random, 4000);
        buffer_clear(&stored);
        assert_true(buffer_append(&stored, prefix, prefix_size));
        assert_true(buffer_append(&stored, wanted_key.data, wanted_key.size));
        struct row got;
        bool found = memtable_get(memtable, buffer_slice(&stored), lsn_max, &got);
        const struct row *wanted = row_model_get(model, wanted_key, lsn_max);
        assert_int_equal(found, wanted != NULL);
        if (!found) continue;
        assert_true(slice_equal(got.key, buffer_slice(&stored)));
        got.key = wanted_key;
        assert_row_equal(&got, wanted, false);
    }
    buffer_deinit(&key);
    buffer_deinit(&stored);
}

static void tables_in_one_memtable_agree_with_sorted_arrays(void **state) {
    (void)state;
    /* Neighbours whose prefixes have different lengths, and one that ends in 0xFF. */
    const struct table_id tables[] = {{0, 0, 1}, {1, 1, 240}, {1, 1, 241}, {1, 2, 495}, {1, 2, 496}, {300, 70000, 9}};
    enum { TABLES = sizeof tables / sizeof *tables };
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct test_random random = test_random_of(seed);
        struct row_model models[TABLES];
        struct memtable *memtable = create();
        uint64_t rows = 0;
        for (size_t t = 0; t < TABLES; t++) {
            struct row_shape shape = {.rows = 600,
                                      .keys = 150,
                                      .key_bytes_max = 5 * t,
                                      .value_bytes_max = 40,
                                      .delete_percent = 20,
                                      .index_percent = 30,
                                      .lsn_first = 1 + 600 * t};
            row_model_init(&models[t]);
            row_model_fill(&models[t], &shape, &random);
            insert_model(memtable, tables[t], &models[t], &random);
            rows += models[t].count;
        }
        assert_int_equal(memtable_rows(memtable), rows);
        for (size_t t = 0; t < TABLES; t++) {
            struct plinth_error error;
            struct iterator *it;
            assert_ok(memtable_iterator_open(memtable, tables[t], &it, &error), &error);
            assert_iterator_scans(it, &models[t], false);
            assert_iterator_agrees(it, &models[t], &random, 5000, false);
            iterator_close(it);
            assert_gets_agree(memtable, tables[t], &models[t], &random, 2000);
            row_model_deinit(&models[t]);
        }
        memtable_unref(memtable);
    }
}

static void next_table_walks_the_tables_that_have_rows(void **state) {
    (void)state;
    const struct table_id tables[] = {{0, 0, 1}, {0, 3, 7}, {2, 0, 4000000000u}};
    struct memtable *memtable = create();
    struct table_id found;
    assert_false(memtable_next_table(memtable, (struct table_id){0, 0, 0}, &found));
    for (size_t i = 0; i < 3; i++) {
        struct row row = {.key = slice_of_string(""), .lsn = i + 1, .operation = ROW_SET};
        insert(memtable, tables[i], &row);
    }
    struct table_id from = {0, 0, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_true(memtable_next_table(memtable, from, &found));
        assert_int_equal(table_id_compare(found, tables[i]), 0);
        from = found;
        from.table++;
    }
    assert_false(memtable_next_table(memtable, from, &found));
    memtable_unref(memtable);
}

static void an_empty_table_has_no_rows_in_either_direction(void **state) {
    (void)state;
    struct memtable *memtable = create();
    struct row row = {.key = slice_of_string("k"), .lsn = 5, .operation = ROW_SET};
    insert(memtable, (struct table_id){1, 1, 1}, &row);
    insert(memtable, (struct table_id){1, 1, 3}, &row);
    struct plinth_error error;
    struct iterator *it;
    assert_ok(memtable_iterator_open(memtable, (struct table_id){1, 1, 2}, &it, &error), &error);
    assert_ok(iterator_seek_first(it, &error), &error);
    assert_false(it->valid);
    assert_ok(iterator_seek_last(it, &error), &error);
    assert_false(it->valid);
    assert_ok(iterator_seek_before(it, slice_of_string("z"), UINT64_MAX, &error), &error);
    assert_false(it->valid);
    iterator_close(it);
    memtable_unref(memtable);
}

static void large_keys_and_values_come_back(void **state) {
    (void)state;
    struct memtable *memtable = create();
    struct row_model model;
    row_model_init(&model);
    struct test_random random = test_random_of(3);
    uint8_t *bytes = malloc(512 * 1024);
    test_random_bytes(&random, bytes, 512 * 1024);
    for (uint64_t i = 0; i < 20; i++) {
        bytes[65000] = (uint8_t)(i % 5);
        struct row row = {.key = slice_of(bytes, 65536), .lsn = 100 + i, .operation = ROW_SET};
        row.value = slice_of(bytes, i * 27000);
        row_model_add(&model, &row);
        insert(memtable, (struct table_id){1, 1, 1}, &row);
    }
    free(bytes);
    row_model_sort(&model);
    assert_true(memtable_bytes(memtable) > 20 * 65536 + 190 * 27000);
    assert_gets_agree(memtable, (struct table_id){1, 1, 1}, &model, &random, 200);
    row_model_deinit(&model);
    memtable_unref(memtable);
}

static void iterator_keeps_the_memtable_alive(void **state) {
    (void)state;
    struct memtable *memtable = create();
    struct row row = {.key = slice_of_string("key"), .lsn = 5, .operation = ROW_SET, .value = slice_of_string("value")};
    insert(memtable, (struct table_id){1, 1, 1}, &row);
    struct plinth_error error;
    struct iterator *it;
    assert_ok(memtable_iterator_open(memtable, (struct table_id){1, 1, 1}, &it, &error), &error);
    memtable_unref(memtable);
    assert_ok(iterator_seek_first(it, &error), &error);
    assert_true(it->valid);
    assert_row_equal(&it->row, &row, false);
    iterator_close(it);
}

/* ---- threads ---- */

enum { WRITERS = 4, ROWS_A_WRITER = 8000, SHARED_KEYS = 500 };

struct work {
    struct memtable *memtable;
    unsigned writer;
    atomic_uint *running;
    bool ok;
};

/* Every writer writes versions of the same keys, with LSNs of its own. */
static struct row work_row(uint8_t key[11], unsigned writer, uint64_t i, uint64_t *value) {
    memcpy(key, "\x01\x01\x01", 3);
    store_u64(key + 3, __builtin_bswap64(i * UINT64_C(0x9e3779b97f4a7c15) % SHARED_KEYS));
    *value = i * WRITERS + writer + 1;
    return (struct row){.key = slice_of(key, 11), .lsn = *value, .operation = ROW_SET, .value = slice_of(value, 8)};
}

static void *write_rows(void *argument) {
    struct work *work = argument;
    work->ok = true;
    for (uint64_t i = 0; i < ROWS_A_WRITER && work->ok; i++) {
        uint8_t key[11];
        uint64_t value;
        struct row row = work_row(key, work->writer, i, &value), got;
        work->ok = memtable_insert(work->memtable, &row, NULL) == PLINTH_OK &&
                   memtable_get(work->memtable, row.key, row.lsn, &got) && got.lsn == row.lsn &&
                   load_u64(got.value.data) == row.lsn;
    }
    atomic_fetch_sub(work->running, 1);
    return NULL;
}

/* Whatever is seen is in order and whole. */
static void *read_rows(void *argument) {
    struct work *work = argument;
    work->ok = true;
    struct iterator *it = NULL;
    if (memtable_iterator_open(work->memtable, (struct table_id){1, 1, 1}, &it, NULL)) return NULL;
    uint8_t last[8];
    while (atomic_load(work->running) && work->ok) {
        uint64_t last_lsn = 0, steps = 0;
        bool first = true;
        work->ok = iterator_seek_first(it, NULL) == PLINTH_OK;
        while (it->valid && work->ok && steps++ < 3000) {
            work->ok = it->row.key.size == 8 && load_u64(it->row.value.data) == it->row.lsn &&
                       (first || row_order(slice_of(last, 8), last_lsn, it->row.key, it->row.lsn) < 0);
            memcpy(last, it->row.key.data, 8);
            last_lsn = it->row.lsn;
            first = false;
            if (iterator_next(it, NULL)) work->ok = false;
        }
    }
    iterator_close(it);
    return NULL;
}

static void parallel_inserts_are_all_there_and_readers_see_order(void **state) {
    (void)state;
    struct memtable *memtable = create();
    atomic_uint running = WRITERS;
    pthread_t threads[WRITERS + 2];
    struct work work[WRITERS + 2];
    for (unsigned i = 0; i < WRITERS + 2; i++) {
        work[i] = (struct work){memtable, i, &running, false};
        assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? write_rows : read_rows, &work[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS + 2; i++) pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WRITERS + 2; i++) assert_true(work[i].ok);

    struct row_model model;
    row_model_init(&model);
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        for (uint64_t i = 0; i < ROWS_A_WRITER; i++) {
            uint8_t key[11];
            uint64_t value;
            struct row row = work_row(key, writer, i, &value);
            row.key = slice_of(key + 3, 8);
            row_model_add(&model, &row);
        }
    }
    row_model_sort(&model);
    struct plinth_error error;
    struct iterator *it;
    assert_ok(memtable_iterator_open(memtable, (struct table_id){1, 1, 1}, &it, &error), &error);
    assert_iterator_scans(it, &model, false);
    assert_int_equal(memtable_rows(memtable), model.count);
    iterator_close(it);
    row_model_deinit(&model);
    memtable_unref(memtable);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_in_one_memtable_agree_with_sorted_arrays),
        cmocka_unit_test(next_table_walks_the_tables_that_have_rows),
        cmocka_unit_test(an_empty_table_has_no_rows_in_either_direction),
        cmocka_unit_test(large_keys_and_values_come_back),
        cmocka_unit_test(iterator_keeps_the_memtable_alive),
        cmocka_unit_test(parallel_inserts_are_all_there_and_readers_see_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
