#include "row_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "block_model.h"
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

/* ---- blocks ---- */

static const struct table_id block_table = {1, 1, 50};

static const struct row_block *get_row(const struct memtable_blocks *blocks, struct slice key, uint64_t lsn_max,
                                       uint32_t *row) {
    size_t found = memtable_blocks_find(blocks, key, hash_stable(key.data, key.size), lsn_max, row);
    return found == SIZE_MAX ? NULL : blocks->blocks[found];
}

static void assert_blocks_hold(struct memtable *memtable, const struct block_model *model) {
    struct memtable_blocks blocks;
    uint64_t rows = 0;
    memtable_blocks(memtable, block_table, &blocks);
    for (size_t i = 0; i < blocks.count; i++) rows += blocks.blocks[i]->rows;
    assert_int_equal(rows, model->count);
    for (size_t i = 0; i < model->count; i++) {
        uint32_t row = 0;
        const struct row_block *found = get_row(&blocks, model_key(&model->rows[i]), model->rows[i].lsn, &row);
        assert_non_null(found);
        assert_block_row(found, row, &model->rows[i]);
    }
    memtable_blocks_release(&blocks);
}

static void add_block(struct memtable *memtable, struct row_block *block) {
    struct plinth_error error;
    assert_ok(memtable_add_block(memtable, block_table, block, &error), &error);
    row_block_unref(block);
}

static void small_blocks_are_merged_and_keep_all_versions(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct test_random random = test_random_of(seed);
        struct memtable *memtable = create();
        struct block_model model;
        block_model_init(&model, seed == 6, 5, 400);
        uint64_t lsn = 1;
        for (int i = 0; i < 1500; i++) {
            uint32_t rows = test_random_below(&random, 50) ? 1 : 1 + (uint32_t)test_random_below(&random, 600);
            bool delete = seed % 2 == 0 && seed != 6 && test_random_below(&random, 5) == 0;
            add_block(memtable, block_model_add(&model, &random, rows, lsn++, delete ? ROW_DELETE : ROW_SET));
            if (i % 300 == 0) assert_blocks_hold(memtable, &model);
        }
        assert_blocks_hold(memtable, &model);
        struct memtable_blocks blocks;
        memtable_blocks(memtable, block_table, &blocks);
        assert_true(blocks.count <= 3 * 15 + 4);
        memtable_blocks_release(&blocks);
        assert_int_equal(memtable_rows(memtable), model.count);
        block_model_deinit(&model);
        memtable_unref(memtable);
    }
}

static void merged_blocks_count_their_memory_once(void **state) {
    (void)state;
    struct test_random random = test_random_of(1);
    struct memtable *memtable = create();
    struct block_model model;
    block_model_init(&model, false, 5, 100000);
    for (uint64_t lsn = 1; lsn <= 16 * 16; lsn++) {
        add_block(memtable, block_model_add(&model, &random, 16, lsn, ROW_SET));
        if (lsn == 15) assert_true(memtable_bytes(memtable) > 15 * 16 * 1024);
    }
    struct memtable_blocks blocks;
    memtable_blocks(memtable, block_table, &blocks);
    assert_int_equal(blocks.count, 1);
    uint64_t bytes = row_block_bytes(blocks.blocks[0]);
    assert_true(memtable_bytes(memtable) > bytes && memtable_bytes(memtable) < 3 * bytes + 64 * 1024);
    memtable_unref(memtable);
    /* What was taken stays when the memtable goes. */
    for (size_t i = 0; i < model.count; i++) {
        uint32_t row;
        assert_non_null(get_row(&blocks, model_key(&model.rows[i]), UINT64_MAX, &row));
    }
    memtable_blocks_release(&blocks);
    block_model_deinit(&model);
}

static void next_table_walks_sets_and_blocks(void **state) {
    (void)state;
    struct memtable *memtable = create();
    struct block_model model;
    struct plinth_error error;
    block_model_init(&model, false, 1, 1);
    struct row_block *block = block_model_add_range(&model, 1, 1, 1, 1);
    const struct table_id with_blocks[] = {{1, 1, 3}, {1, 1, 90}, {2, 1, 1}, {1, 1, 3 + 64}};
    for (size_t i = 0; i < 4; i++) assert_ok(memtable_add_block(memtable, with_blocks[i], block, &error), &error);
    row_block_unref(block);
    const struct table_id with_sets[] = {{1, 1, 2}, {1, 1, 90}};
    for (size_t i = 0; i < 2; i++) {
        struct row row = {.key = slice_of_string("k"), .lsn = i + 1, .operation = ROW_SET};
        insert(memtable, with_sets[i], &row);
    }
    const struct table_id wanted[] = {{1, 1, 2}, {1, 1, 3}, {1, 1, 67}, {1, 1, 90}, {2, 1, 1}};
    struct table_id from = {0, 0, 0}, found;
    for (size_t i = 0; i < 5; i++) {
        assert_true(memtable_next_table(memtable, from, &found));
        assert_int_equal(table_id_compare(found, wanted[i]), 0);
        from = found;
        from.table++;
    }
    assert_false(memtable_next_table(memtable, from, &found));
    block_model_deinit(&model);
    memtable_unref(memtable);
}

enum { BLOCKS_A_WRITER = 1500 };

struct block_work {
    struct memtable *memtable;
    struct block_model model; /* what this writer wrote */
    unsigned writer;
    atomic_uint *running;
    atomic_uint_fast64_t *written; /* by writer: LSNs up to here are in */
};

/* LSNs of a writer: 1 + its number, and so on in steps of WRITERS. */
static void *add_blocks(void *argument) {
    struct block_work *work = argument;
    struct test_random random = test_random_of(work->writer + 1);
    for (uint64_t i = 0; i < BLOCKS_A_WRITER; i++) {
        uint64_t lsn = i * WRITERS + work->writer + 1;
        uint32_t rows = 1 + (uint32_t)test_random_below(&random, i % 40 ? 3 : 200);
        add_block(work->memtable, block_model_add(&work->model, &random, rows, lsn, ROW_SET));
        atomic_store_explicit(&work->written[work->writer], lsn, memory_order_release);
    }
    atomic_fetch_sub(work->running, 1);
    return NULL;
}

/* Every row written before the reader takes the blocks is there, each once. */
static void *check_blocks(void *argument) {
    struct block_work *work = argument;
    while (atomic_load(work->running)) {
        uint64_t written[WRITERS], seen[WRITERS] = {0}, last_lsn = 0;
        for (unsigned w = 0; w < WRITERS; w++)
            written[w] = atomic_load_explicit(&work->written[w], memory_order_acquire);
        struct memtable_blocks blocks;
        memtable_blocks(work->memtable, block_table, &blocks);
        for (size_t i = 0; i < blocks.count; i++) {
            const struct row_block *block = blocks.blocks[i];
            for (uint32_t row = 0; row < block->rows; row++) {
                uint64_t lsn = row_block_lsn(block, row);
                if (row && slice_equal(row_block_key(block, row), row_block_key(block, row - 1)))
                    assert_true(lsn < last_lsn);
                last_lsn = lsn;
                /* A block of a writer has at least one row: count LSNs by their first row. */
                unsigned w = (unsigned)((lsn - 1) % WRITERS);
                if (lsn <= written[w]) seen[w] += row_block_column(block, COLUMN_SEQ) != NULL;
            }
        }
        for (unsigned w = 0; w < WRITERS; w++) assert_true(seen[w] >= (written[w] + WRITERS - 1) / WRITERS);
        memtable_blocks_release(&blocks);
    }
    return NULL;
}

static void parallel_blocks_are_all_there(void **state) {
    (void)state;
    struct memtable *memtable = create();
    atomic_uint running = WRITERS;
    atomic_uint_fast64_t written[WRITERS] = {0};
    pthread_t threads[WRITERS + 1];
    struct block_work work[WRITERS + 1];
    for (unsigned i = 0; i < WRITERS + 1; i++) {
        work[i] = (struct block_work){.memtable = memtable, .writer = i, .running = &running, .written = written};
        block_model_init(&work[i].model, false, 7, 300);
        assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? add_blocks : check_blocks, &work[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS + 1; i++) pthread_join(threads[i], NULL);
    struct memtable_blocks blocks;
    uint64_t rows = 0;
    memtable_blocks(memtable, block_table, &blocks);
    for (unsigned w = 0; w < WRITERS; w++) {
        rows += work[w].model.count;
        for (size_t i = 0; i < work[w].model.count; i++) {
            const struct model_row *wanted = &work[w].model.rows[i];
            uint32_t row = 0;
            const struct row_block *found = get_row(&blocks, model_key(wanted), wanted->lsn, &row);
            assert_non_null(found);
            assert_block_row(found, row, wanted);
        }
    }
    assert_int_equal(memtable_rows(memtable), rows);
    assert_true(blocks.count <= 3 * 16 + 4);
    memtable_blocks_release(&blocks);
    for (unsigned i = 0; i < WRITERS + 1; i++) block_model_deinit(&work[i].model);
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
        cmocka_unit_test(small_blocks_are_merged_and_keep_all_versions),
        cmocka_unit_test(merged_blocks_count_their_memory_once),
        cmocka_unit_test(next_table_walks_sets_and_blocks),
        cmocka_unit_test(parallel_blocks_are_all_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
