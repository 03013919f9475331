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

static void open_tells_what_it_is(void **state) {
    (void)state;
    struct fixture f;
    struct test_random random = test_random_of(30);
    memory_store_init(&f.store, true);
    struct plinth_error error;
    assert_ok(page_cache_create(1 << 20, &f.cache, &error), &error);
    block_model_init(&f.model, false, 4, 50);
    const struct row_segment_options options = {
        .schema = f.model.schema, .job = 9, .codec = SEGMENT_LZ4, .has_partition = true, .partition = -4};
    write_stream(&f, fill_model(&f.model, &random, 6, 50), &options);
    open_segment(&f);
    assert_true(segment_is_rows(f.segment));
    assert_false(segment_is_plain_at(f.segment, UINT64_MAX)); /* it has deletes */
    assert_true(f.info.is_rows && f.info.has_partition);
    assert_int_equal(f.info.partition, -4);
    assert_int_equal(f.info.job, 9);
    assert_int_equal(f.info.rows, f.model.count);
    assert_int_equal(f.info.bytes, memory_store_bytes(&f.store, NAME)->size);
    assert_true(slice_equal(buffer_slice(&f.info.key_min), model_key(&f.model.rows[0])));
    assert_true(slice_equal(buffer_slice(&f.info.key_max), model_key(&f.model.rows[f.model.count - 1])));
    uint64_t deletes = 0, superseded = 0, lsn_min = UINT64_MAX, lsn_max = 0;
    for (size_t i = 0; i < f.model.count; i++) {
        const struct model_row *row = &f.model.rows[i];
        deletes += row->operation == ROW_DELETE;
        superseded += i > 0 && slice_equal(model_key(row), model_key(row - 1));
        if (row->lsn < lsn_min) lsn_min = row->lsn;
        if (row->lsn > lsn_max) lsn_max = row->lsn;
    }
    assert_int_equal(f.info.deletes, deletes);
    assert_int_equal(f.info.superseded, superseded);
    assert_int_equal(f.info.lsn_min, lsn_min);
    assert_int_equal(f.info.lsn_max, lsn_max);
    /* What the file alone says is the same. */
    struct segment_info found;
    assert_ok(segment_info_read(&f.store.base, NAME, &found, &error), &error);
    struct buffer wanted = BUFFER_INIT, got = BUFFER_INIT;
    found.job = f.info.job;
    assert_true(buffer_append(&found.key_min, f.info.key_min.data, f.info.key_min.size) &&
                buffer_append(&found.key_max, f.info.key_max.data, f.info.key_max.size));
    assert_true(segment_info_encode(&wanted, &f.info) && segment_info_encode(&got, &found));
    assert_true(slice_equal(buffer_slice(&wanted), buffer_slice(&got)));
    buffer_deinit(&wanted);
    buffer_deinit(&got);
    segment_info_deinit(&found);
    assert_status(segment_info_read(&f.store.base, "segments/1/none", &found, &error), PLINTH_NOT_FOUND, &error);
    /* A manifest that takes it for a key space's is refused. */
    struct segment *segment;
    f.info.is_rows = false;
    assert_status(segment_open(&f.store.base, NULL, &f.info, &segment, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, NAME);
    fixture_close(&f);
}

static void memory_only_reads_say_when_they_would_block(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    struct segment_hit hit;
    fixture_open(&f, 21, false, 3, 100, 20, true);
    struct slice key = model_key(&f.model.rows[f.model.count / 2]);
    uint64_t hash = hash_stable(key.data, key.size);
    const unsigned flags = SEGMENT_MEMORY_ONLY | SEGMENT_LSN_ONLY;
    assert_int_equal(segment_get(f.segment, key, hash, UINT64_MAX, flags, &hit, &error), PLINTH_WOULD_BLOCK);
    assert_ok(segment_get(f.segment, key, hash, UINT64_MAX, SEGMENT_LSN_ONLY, &hit, &error), &error);
    const uint32_t stripe = hit.stripe;
    segment_hit_release(&hit);
    assert_ok(segment_get(f.segment, key, hash, UINT64_MAX, flags, &hit, &error), &error);
    segment_hit_release(&hit);
    static const uint32_t ids[] = {COLUMN_DEVICE, COLUMN_TAGS};
    struct batch *batch;
    assert_false(segment_stripe_is_cached(f.segment, stripe, ids, 2));
    assert_ok(segment_read_stripe(f.segment, stripe, f.model.schema, ids, 1, true, &batch, NULL, &error), &error);
    batch_unref(batch);
    assert_false(segment_stripe_is_cached(f.segment, stripe, ids, 2));
    assert_ok(segment_read_stripe(f.segment, stripe, f.model.schema, ids, 2, true, &batch, NULL, &error), &error);
    assert_true(segment_stripe_is_cached(f.segment, stripe, ids, 2));
    /* The batch outlives segment and cache entries. */
    segment_unref(f.segment);
    f.segment = NULL;
    uint64_t first = 0;
    for (uint32_t i = 0; i < batch->rows; i++) first += column_bytes_at(&batch->columns[0], i).size;
    assert_true(first > 0);
    batch_unref(batch);
    fixture_close(&f);
}

static void a_writer_refuses_rows_out_of_order_and_empty_segments(void **state) {
    (void)state;
    struct memory_store store;
    struct block_model model;
    struct plinth_error error;
    struct row_segment_writer *writer;
    struct segment_info info;
    memory_store_init(&store, false);
    block_model_init(&model, false, 5, 5);
    struct row_block *low = block_model_add_range(&model, 1, 0, 10, 5),
                     *high = block_model_add_range(&model, 2, 0, 10, 5);
    const struct row_segment_options options = {.schema = model.schema, .codec = SEGMENT_LZ4};
    struct row_block *orders[][2] = {{high, low}, {low, low}};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(row_segment_writer_open(&store.base, NAME, &options, &writer, &error), &error);
        assert_ok(row_segment_writer_add(writer, orders[i][0], 0, 10, &error), &error);
        assert_ok(row_segment_writer_add(writer, orders[i][1], 0, 10, &error), &error);
        assert_status(row_segment_writer_commit(writer, &info, &error), PLINTH_INTERNAL, &error);
        assert_error_names(&error, NAME);
        assert_error_names(&error, "10");
    }
    assert_ok(row_segment_writer_open(&store.base, NAME, &options, &writer, &error), &error);
    assert_status(row_segment_writer_commit(writer, &info, &error), PLINTH_INTERNAL, &error);
    assert_null(memory_store_bytes(&store, NAME));
    row_segment_writer_abort(NULL);
    row_block_unref(low);
    row_block_unref(high);
    block_model_deinit(&model);
    memory_store_deinit(&store);
}

/* ---- several row groups, and runs ---- */

static void several_row_groups_are_one_segment(void **state) {
    (void)state;
    enum { BLOCKS = 5, ROWS = 300000 };
    struct fixture f;
    struct plinth_error error;
    struct row_segment_writer *writer;
    memory_store_init(&f.store, true);
    assert_ok(page_cache_create(1 << 20, &f.cache, &error), &error);
    block_model_init(&f.model, false, BLOCKS, ROWS);
    const struct row_segment_options options = {.schema = f.model.schema, .codec = SEGMENT_LZ4};
    assert_ok(row_segment_writer_open(&f.store.base, NAME, &options, &writer, &error), &error);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct row_block *block = block_model_add_range(&f.model, i, 0, ROWS, 7);
        assert_ok(row_segment_writer_add(writer, block, 0, ROWS, &error), &error);
        row_block_unref(block);
    }
    assert_ok(row_segment_writer_commit(writer, &f.info, &error), &error);
    open_segment(&f);
    assert_true(segment_is_plain_at(f.segment, 7));
    struct arena arena;
    struct column_bounds bounds;
    arena_init(&arena);
    assert_ok(segment_column_bounds(f.segment, f.model.schema, COLUMN_SEQ, &arena, &bounds, &error), &error);
    assert_true(bounds.has_values && bounds.rows == BLOCKS * ROWS);
    assert_int_equal(*(const int64_t *)bounds.min.values, 0);
    assert_int_equal(*(const int64_t *)bounds.max.values, ROWS - 1);
    arena_deinit(&arena);
    for (size_t i = 0; i < f.model.count; i += 9973) {
        check_get(&f, model_key(&f.model.rows[i]), 7);
        check_get(&f, model_key(&f.model.rows[i]), 6);
    }
    static const uint32_t some_ids[] = {1, 3};
    const size_t at = f.model.count / 2 - 7000;
    check_stream(&f, model_key(&f.model.rows[at]), model_key(&f.model.rows[at + 90000]), true, some_ids, 2);
    fixture_close(&f);
}

static void runs_of_typed_segments_agree_with_a_sorted_array(void **state) {
    (void)state;
    enum { SEGMENTS = 4, ROWS = 500 };
    struct memory_store store;
    struct block_model model;
    struct plinth_error error;
    struct segment *segments[SEGMENTS];
    struct run *run;
    memory_store_init(&store, true);
    block_model_init(&model, false, SEGMENTS, ROWS);
    model.schema->page_rows = 64;
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        char name[40];
        snprintf(name, sizeof name, "segments/7/%u.parquet", i);
        struct row_block *block = block_model_add_range(&model, i, 0, ROWS, 10 + i);
        const struct row_segment_options options = {.schema = model.schema, .codec = SEGMENT_LZ4};
        struct row_segment_writer *writer;
        struct segment_info info;
        assert_ok(row_segment_writer_open(&store.base, name, &options, &writer, &error), &error);
        assert_ok(row_segment_writer_add(writer, block, 0, ROWS, &error), &error);
        assert_ok(row_segment_writer_commit(writer, &info, &error), &error);
        assert_ok(segment_open(&store.base, NULL, &info, &segments[i], &error), &error);
        segment_info_deinit(&info);
        row_block_unref(block);
    }
    assert_ok(run_create(segments, SEGMENTS, &run, &error), &error);
    assert_int_equal(run_rows(run), model.count);
    block_model_sort(&model);
    struct iterator *it;
    assert_ok(run_iterator_open(run, true, &it, &error), &error);
    assert_ok(iterator_seek_last(it, &error), &error);
    for (size_t i = model.count; i-- > 0;) {
        assert_true(it->valid && slice_equal(it->row.key, model_key(&model.rows[i])));
        assert_ok(iterator_previous(it, &error), &error);
    }
    assert_false(it->valid);
    iterator_close(it);
    for (size_t i = 0; i < model.count; i += 7) {
        struct segment_hit hit;
        struct slice key = model_key(&model.rows[i]);
        assert_ok(run_get(run, key, hash_stable(key.data, key.size), UINT64_MAX, SEGMENT_LSN_ONLY, &hit, &error),
                  &error);
        assert_int_equal(hit.row.lsn, model.rows[i].lsn);
        assert_int_equal(segment_stripe_first_row(hit.segment, hit.stripe) + hit.stripe_row, model.rows[i].seq);
        segment_hit_release(&hit);
    }
    run_unref(run);
    block_model_deinit(&model);
    memory_store_deinit(&store);
}

/* ---- damage ---- */

static void count_problem(void *context, const char *object, const char *problem) {
    assert_string_equal(object, NAME);
    assert_true(problem[0]);
    ++*(size_t *)context;
}

static bool is_damage(enum plinth_status status, const struct plinth_error *error) {
    if (!status) return false;
    assert_true(status == PLINTH_CORRUPT || status == PLINTH_UNSUPPORTED || status == PLINTH_OUT_OF_MEMORY);
    assert_error_names(error, NAME);
    return true;
}

/* Opens and reads everything; whatever is wrong must be said, naming the object. */
static bool damage_is_found(struct fixture *f) {
    struct plinth_error error;
    struct segment *segment;
    if (is_damage(segment_open(&f->store.base, NULL, &f->info, &segment, &error), &error)) return true;
    struct block_read read = read_of(&f->model);
    struct block_stream *stream;
    struct row_block *block;
    bool found = is_damage(segment_block_stream_open(segment, &read, &stream, &error), &error);
    while (!found) {
        found = is_damage(block_stream_next(stream, &block, &error), &error);
        if (found || !block) break;
        row_block_unref(block);
    }
    block_stream_close(stream);
    for (size_t i = 0; i < f->model.count; i += 7) {
        struct segment_hit hit;
        struct slice key = model_key(&f->model.rows[i]);
        (void)!segment_get(segment, key, hash_stable(key.data, key.size), UINT64_MAX, 0, &hit, &error);
        segment_hit_release(&hit);
    }
    size_t problems = 0;
    found |= is_damage(segment_verify(segment, count_problem, &problems, &error), &error);
    segment_unref(segment);
    return found || problems;
}

/* A segment with everything that one can have. */
static void damage_fixture_open(struct fixture *f, uint64_t seed, bool keyless) {
    struct test_random random = test_random_of(seed);
    struct plinth_error error;
    memory_store_init(&f->store, true);
    assert_ok(page_cache_create(1 << 20, &f->cache, &error), &error);
    block_model_init(&f->model, keyless, 4, 60);
    f->model.schema->page_rows = 30;
    struct table_schema *schema = table_schema_copy(f->model.schema, 0, 3);
    assert_non_null(schema);
    table_schema_unref(f->model.schema);
    f->model.schema = schema;
    static const enum index_kind kinds[] = {INDEX_BITMAP, INDEX_TOKEN, INDEX_BLOOM};
    for (size_t i = 0; i < 3; i++) {
        const struct table_index index = {.id = {1, 1, 90 + (uint32_t)i},
                                          .kind = kinds[i],
                                          .state = INDEX_READY,
                                          .columns = {i ? COLUMN_NOTE : COLUMN_FLAG},
                                          .column_count = 1};
        assert_true(table_schema_add_index(schema, &index, slice_of_string("index")));
    }
    const struct row_segment_options options = {.schema = schema, .job = 1, .codec = SEGMENT_LZ4};
    write_stream(f, fill_model(&f->model, &random, 6, 60), &options);
    open_segment(f);
    f->info.index_crc = segment_info(f->segment)->index_crc; /* as a commit notes it */
}

static void flipped_bits_are_found_and_never_crash(void **state) {
    (void)state;
    for (int keyless = 0; keyless < 2; keyless++) {
        struct fixture f;
        damage_fixture_open(&f, 12, keyless);
        assert_false(damage_is_found(&f));
        struct buffer *bytes = memory_store_bytes(&f.store, NAME);
        struct test_random random = test_random_of(13);
        size_t flips = 400, found = 0;
        for (size_t i = 0; i < flips; i++) {
            size_t at = test_random_below(&random, bytes->size);
            uint8_t bit = (uint8_t)(1u << test_random_below(&random, 8));
            bytes->data[at] ^= bit;
            f.store.map = i % 2;
            found += damage_is_found(&f);
            bytes->data[at] ^= bit;
        }
        /* Page headers have no checksum: a spare byte of theirs may change unseen. */
        print_message("%zu of %zu flips found\n", found, flips);
        assert_in_range(found, flips * 9 / 10, flips);
        assert_false(damage_is_found(&f));
        fixture_close(&f);
    }
}

/* Nobody knows the checksum of the indexes yet: what they say is checked all the same. */
static void damage_without_a_checksum_never_crashes(void **state) {
    (void)state;
    struct fixture f;
    damage_fixture_open(&f, 14, false);
    f.info.index_crc = 0;
    struct buffer *bytes = memory_store_bytes(&f.store, NAME);
    struct test_random random = test_random_of(15);
    size_t tail = bytes->size / 3, found = 0;
    for (size_t i = 0; i < 400; i++) {
        size_t at = bytes->size - 1 - test_random_below(&random, tail);
        uint8_t was = bytes->data[at];
        bytes->data[at] = (uint8_t)test_random_u64(&random);
        f.store.map = i % 2;
        found += damage_is_found(&f);
        bytes->data[at] = was;
    }
    assert_in_range(found, 100, 400);
    fixture_close(&f);
}

static void cut_objects_are_corrupt(void **state) {
    (void)state;
    struct fixture f;
    damage_fixture_open(&f, 16, false);
    struct buffer *bytes = memory_store_bytes(&f.store, NAME);
    size_t whole = bytes->size;
    for (size_t size = 0; size < whole; size += 1 + whole / 500) {
        struct plinth_error error;
        struct segment *segment;
        struct segment_info as_it_is;
        bytes->size = size;
        assert_status(segment_open(&f.store.base, NULL, &f.info, &segment, &error), PLINTH_CORRUPT, &error);
        assert_true(segment_info_copy(&as_it_is, &f.info));
        as_it_is.bytes = size;
        assert_status(segment_open(&f.store.base, NULL, &as_it_is, &segment, &error), PLINTH_CORRUPT, &error);
        segment_info_deinit(&as_it_is);
    }
    bytes->size = whole;
    fixture_close(&f);
}

static enum plinth_status write_again(struct fixture *f, struct plinth_error *error) {
    struct block_read read = read_of(&f->model);
    const struct row_segment_options options = {.schema = f->model.schema, .job = 1, .codec = SEGMENT_LZ4};
    struct row_segment_writer *writer;
    struct block_stream *stream;
    struct row_block *block;
    struct segment_info info = {0};
    enum plinth_status st = segment_block_stream_open(f->segment, &read, &stream, error);
    if (st) return st;
    st = row_segment_writer_open(&f->store.base, "segments/8/w", &options, &writer, error);
    if (!st) {
        for (;;) {
            st = block_stream_next(stream, &block, error);
            if (st || !block) break;
            st = row_segment_writer_add(writer, block, 0, block->rows, error);
            row_block_unref(block);
            if (st) break;
        }
        if (st)
            row_segment_writer_abort(writer);
        else
            st = row_segment_writer_commit(writer, &info, error);
    }
    block_stream_close(stream);
    segment_info_deinit(&info);
    return st;
}

static void every_failing_store_call_is_an_error_that_leaks_nothing(void **state) {
    (void)state;
    struct fixture f;
    damage_fixture_open(&f, 17, false);
    enum plinth_status st = PLINTH_IO_ERROR;
    for (uint64_t call = 1; st; call++) { /* writing; the source is mapped, and reads without calls */
        struct plinth_error error;
        f.store.calls = 0;
        f.store.failing_call = call;
        st = write_again(&f, &error);
        if (!st) break;
        assert_status(st, PLINTH_IO_ERROR, &error);
        assert_null(memory_store_bytes(&f.store, "segments/8/w"));
    }
    st = PLINTH_IO_ERROR;
    f.store.map = false;
    for (uint64_t call = 1; st; call++) { /* reading */
        struct plinth_error error;
        struct segment *segment;
        size_t problems = 0;
        f.store.calls = 0;
        f.store.failing_call = call;
        st = segment_open(&f.store.base, NULL, &f.info, &segment, &error);
        if (!st) st = segment_verify(segment, count_problem, &problems, &error);
        assert_int_equal(problems, 0);
        segment_unref(segment);
        if (st) assert_status(st, PLINTH_IO_ERROR, &error);
    }
    f.store.failing_call = 0;
    fixture_close(&f);
}

/* ---- threads ---- */

enum { THREADS = 4, THREAD_OPERATIONS = 400 };

struct work {
    struct segment *segment;
    const struct block_model *model;
    uint64_t seed;
    bool ok;
};

static bool read_agrees(const struct work *work, struct test_random *random) {
    struct plinth_error error;
    struct segment_hit hit;
    struct batch *batch;
    static const uint32_t ids[] = {COLUMN_SEQ, COLUMN_NOTE};
    const struct model_row *row = &work->model->rows[test_random_below(random, work->model->count)];
    struct slice key = model_key(row);
    if (segment_get(work->segment, key, hash_stable(key.data, key.size), row->lsn, SEGMENT_LSN_ONLY, &hit, &error))
        return false;
    bool ok = hit.row.lsn == row->lsn &&
              !segment_read_stripe(work->segment, hit.stripe, work->model->schema, ids, 2, true, &batch, NULL, &error);
    if (ok) {
        ok = ((const int64_t *)batch->columns[0].values)[hit.stripe_row] == row->seq;
        batch_unref(batch);
    }
    segment_hit_release(&hit);
    return ok;
}

static void *read_segment(void *argument) {
    struct work *work = argument;
    struct test_random random = test_random_of(work->seed);
    work->ok = true;
    for (int i = 0; i < THREAD_OPERATIONS && work->ok; i++) work->ok = read_agrees(work, &random);
    segment_unref(work->segment);
    return NULL;
}

static void threads_read_one_segment_through_a_small_cache(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    fixture_open(&f, 31, false, 8, 1500, 64, true);
    segment_unref(f.segment);
    page_cache_destroy(f.cache);
    assert_ok(page_cache_create(60000, &f.cache, &error), &error);
    open_segment(&f);
    pthread_t threads[THREADS];
    struct work work[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        work[i] = (struct work){segment_ref(f.segment), &f.model, 100 + i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_segment, &work[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) assert_true(work[i].ok);
    struct page_cache_stats stats;
    page_cache_stats(f.cache, &stats);
    assert_true(stats.evictions > 0);
    assert_in_range(stats.bytes, 1, 60000);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_agree_with_a_sorted_array),
        cmocka_unit_test(open_tells_what_it_is),
        cmocka_unit_test(memory_only_reads_say_when_they_would_block),
        cmocka_unit_test(a_writer_refuses_rows_out_of_order_and_empty_segments),
        cmocka_unit_test(several_row_groups_are_one_segment),
        cmocka_unit_test(runs_of_typed_segments_agree_with_a_sorted_array),
        cmocka_unit_test(flipped_bits_are_found_and_never_crash),
        cmocka_unit_test(damage_without_a_checksum_never_crashes),
        cmocka_unit_test(cut_objects_are_corrupt),
        cmocka_unit_test(every_failing_store_call_is_an_error_that_leaks_nothing),
        cmocka_unit_test(threads_read_one_segment_through_a_small_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
