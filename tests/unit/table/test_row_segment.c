#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "block_model.h"
#include "expr/predicate.h"
#include "memory_store.h"
#include "table/row_segment.h"
#include "table/run.h"

static const uint32_t all_ids[MODEL_COLUMNS] = {1, 2, 3, 4, 5, 6, 7, 8};
static const char *const NAME = "segments/1/50-abc.parquet";

struct fixture {
    struct memory_store store;
    struct page_cache *cache;
    struct block_model model;
    struct segment_info info;
    struct segment *segment;
};

static struct block_read read_of(const struct block_model *model) {
    return (struct block_read){
        .schema = model->schema, .column_ids = all_ids, .column_count = MODEL_COLUMNS, .with_keys = true};
}

/* Random blocks at ascending LSNs, merged into one stream of everything. */
static struct block_stream *fill_model(struct block_model *model, struct test_random *random, unsigned blocks,
                                       uint32_t rows) {
    struct block_stream **inputs = calloc(blocks, sizeof *inputs), *merged;
    static struct block_read read;
    struct plinth_error error;
    read = read_of(model);
    assert_non_null(inputs);
    for (unsigned i = 0; i < blocks; i++) {
        enum row_operation operation = !model->keyless && i % 5 == 4 ? ROW_DELETE : ROW_SET;
        struct row_block *block =
            block_model_add(model, random, 1 + (uint32_t)test_random_below(random, rows), 10 + i, operation);
        assert_ok(row_block_stream_open(block, &read, &inputs[i], &error), &error);
        row_block_unref(block);
    }
    const struct block_merge_options options = {.mode = MERGE_ALL};
    assert_ok(block_merge_open(inputs, blocks, &read, &options, &merged, &error), &error);
    free(inputs);
    block_model_sort(model);
    return merged;
}

static void write_stream(struct fixture *f, struct block_stream *stream, const struct row_segment_options *options) {
    struct plinth_error error;
    struct row_segment_writer *writer;
    struct row_block *block;
    assert_ok(row_segment_writer_open(&f->store.base, NAME, options, &writer, &error), &error);
    for (;;) {
        assert_ok(block_stream_next(stream, &block, &error), &error);
        if (!block) break;
        uint32_t half = block->rows / 3; /* in two pieces that no stripe cares about */
        assert_ok(row_segment_writer_add(writer, block, 0, half, &error), &error);
        assert_ok(row_segment_writer_add(writer, block, half, block->rows - half, &error), &error);
        row_block_unref(block);
    }
    block_stream_close(stream);
    assert_int_equal(row_segment_writer_rows(writer), f->model.count);
    assert_ok(row_segment_writer_commit(writer, &f->info, &error), &error);
}

static void open_segment(struct fixture *f) {
    struct plinth_error error;
    assert_ok(segment_open(&f->store.base, f->cache, &f->info, &f->segment, &error), &error);
}

static void fixture_open(struct fixture *f, uint64_t seed, bool keyless, unsigned blocks, uint32_t rows,
                         uint32_t page_rows, bool map) {
    struct test_random random = test_random_of(seed);
    struct plinth_error error;
    memory_store_init(&f->store, map);
    assert_ok(page_cache_create(1 << 20, &f->cache, &error), &error);
    block_model_init(&f->model, keyless, 8, rows);
    f->model.schema->page_rows = page_rows;
    struct row_segment_options options = {
        .schema = f->model.schema, .job = 1, .codec = seed % 2 ? SEGMENT_LZ4 : SEGMENT_ZSTD};
    write_stream(f, fill_model(&f->model, &random, blocks, rows), &options);
    open_segment(f);
}

static void fixture_close(struct fixture *f) {
    segment_unref(f->segment);
    page_cache_destroy(f->cache);
    segment_info_deinit(&f->info);
    block_model_deinit(&f->model);
    memory_store_deinit(&f->store);
}

/* ---- reading ---- */

static void check_stream(struct fixture *f, struct slice lower, struct slice upper, bool with_keys, const uint32_t *ids,
                         uint32_t id_count) {
    struct block_read read = {.schema = f->model.schema,
                              .column_ids = ids,
                              .column_count = id_count,
                              .with_keys = with_keys,
                              .lower = lower,
                              .upper = upper};
    struct plinth_error error;
    struct block_stream *stream;
    size_t first = 0, end = f->model.count;
    while (lower.size && first < end && slice_compare(model_key(&f->model.rows[first]), lower) < 0) first++;
    while (upper.size && end > first && slice_compare(model_key(&f->model.rows[end - 1]), upper) >= 0) end--;
    assert_ok(segment_block_stream_open(f->segment, &read, &stream, &error), &error);
    assert_stream_gives(stream, &read, f->model.rows + first, end - first);
}

static void check_get(struct fixture *f, struct slice key, uint64_t lsn) {
    struct plinth_error error = {0};
    struct segment_hit hit;
    const struct model_row *wanted = block_model_get(&f->model, key, lsn);
    enum plinth_status st =
        segment_get(f->segment, key, hash_stable(key.data, key.size), lsn, SEGMENT_LSN_ONLY, &hit, &error);
    if (!wanted) {
        assert_int_equal(st, PLINTH_NOT_FOUND);
        return;
    }
    assert_ok(st, &error);
    assert_int_equal(hit.row.lsn, wanted->lsn);
    assert_int_equal(hit.row.operation, wanted->operation);
    assert_true(slice_equal(hit.row.key, key));
    uint64_t number = segment_stripe_first_row(f->segment, hit.stripe) + hit.stripe_row;
    assert_ptr_equal(&f->model.rows[number], wanted);
    assert_ptr_equal(hit.segment, f->segment);
    segment_hit_release(&hit);
}

static struct slice random_key(struct fixture *f, struct test_random *random, uint8_t buffer[40]) {
    const struct model_row *row = &f->model.rows[test_random_below(random, f->model.count)];
    memcpy(buffer, row->key, row->key_size);
    size_t size = row->key_size;
    switch (test_random_below(random, 5)) {
    case 0: buffer[size - 1] ^= 1; break;
    case 1: buffer[size++] = 0; break;
    case 2: size -= 3; break;
    case 3: buffer[test_random_below(random, size)]++; break;
    default: break;
    }
    return slice_of(buffer, size);
}

static void check_stripes(struct fixture *f, bool cached) {
    struct plinth_error error;
    uint64_t row = 0;
    struct segment_read_stats stats = {0};
    for (uint32_t stripe = 0; stripe < segment_stripe_count(f->segment); stripe++) {
        struct batch *batch;
        struct row_block *keys;
        assert_int_equal(segment_stripe_first_row(f->segment, stripe), row);
        assert_ok(segment_read_stripe(f->segment, stripe, f->model.schema, all_ids, MODEL_COLUMNS, cached, &batch,
                                      &stats, &error),
                  &error);
        assert_ok(segment_read_stripe_keys(f->segment, stripe, cached, &keys, &stats, &error), &error);
        assert_int_equal(batch->rows, segment_stripe_rows(f->segment, stripe));
        assert_true(slice_equal(segment_stripe_first_key(f->segment, stripe), row_block_key(keys, 0)));
        /* The keys' block with the columns is a block as the model knows it. */
        struct row_block both = *keys;
        both.columns = batch;
        both.column_ids = all_ids;
        for (uint32_t i = 0; i < batch->rows; i++) assert_block_row(&both, i, &f->model.rows[row + i]);
        row += batch->rows;
        batch_unref(batch);
        row_block_unref(keys);
    }
    assert_int_equal(row, f->model.count);
    assert_int_equal(stats.rows_read, f->model.count);
}

static void check_iterator(struct fixture *f, struct test_random *random) {
    struct plinth_error error;
    struct iterator *it;
    assert_ok(segment_iterator_open(f->segment, true, &it, &error), &error);
    assert_ok(iterator_seek_first(it, &error), &error);
    for (size_t i = 0; i < f->model.count; i++) {
        assert_true(it->valid);
        assert_true(slice_equal(it->row.key, model_key(&f->model.rows[i])));
        assert_int_equal(it->row.lsn, f->model.rows[i].lsn);
        assert_int_equal(it->row.operation, f->model.rows[i].operation);
        assert_ok(iterator_next(it, &error), &error);
    }
    assert_false(it->valid);
    for (int i = 0; i < 50; i++) {
        uint8_t buffer[40];
        struct slice key = random_key(f, random, buffer);
        uint64_t lsn = 8 + test_random_below(random, 20);
        size_t at = 0;
        while (at < f->model.count && row_order(model_key(&f->model.rows[at]), f->model.rows[at].lsn, key, lsn) < 0)
            at++;
        assert_ok(iterator_seek(it, key, lsn, &error), &error);
        assert_int_equal(it->valid, at < f->model.count);
        if (it->valid) assert_true(slice_equal(it->row.key, model_key(&f->model.rows[at])));
        assert_ok(iterator_seek_before(it, key, lsn, &error), &error);
        assert_int_equal(it->valid, at > 0);
        if (it->valid) assert_true(slice_equal(it->row.key, model_key(&f->model.rows[at - 1])));
    }
    iterator_close(it);
}

static void check_everything(struct fixture *f, uint64_t seed) {
    static const uint32_t some_ids[] = {3, 6, 8}, key_ids[] = {1, 2};
    struct test_random random = test_random_of(seed);
    const struct slice none = {0};
    check_stream(f, none, none, true, all_ids, MODEL_COLUMNS);
    check_stream(f, none, none, false, some_ids, 3);
    check_stream(f, none, none, true, key_ids, 2);
    check_stream(f, none, none, true, NULL, 0);
    check_stripes(f, false);
    check_stripes(f, true);
    check_stripes(f, true);
    check_iterator(f, &random);
    for (int i = 0; i < 60; i++) {
        uint8_t low[40], high[40];
        struct slice lower = random_key(f, &random, low), upper = random_key(f, &random, high);
        check_get(f, lower, 8 + test_random_below(&random, 20));
        check_get(f, upper, UINT64_MAX);
        if (slice_compare(lower, upper) > 0) continue;
        check_stream(f, lower, upper, i % 2, some_ids, 3);
        check_stream(f, lower, none, true, some_ids, 1);
        check_stream(f, none, upper, i % 2, all_ids, MODEL_COLUMNS);
    }
}

static void reads_agree_with_a_sorted_array(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fixture f;
        fixture_open(&f, seed, seed % 3 == 0, 1 + (unsigned)seed, seed < 9 ? 120 : 1500,
                     seed % 4 ? 16 * (uint32_t)seed : 0, seed % 2);
        check_everything(&f, seed);
        fixture_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_agree_with_a_sorted_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
