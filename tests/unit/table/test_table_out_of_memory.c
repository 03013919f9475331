/* Fails every allocation once, in a round of everything that the room does: each must give PLINTH_OUT_OF_MEMORY, and
 * nothing may leak or break (the sanitizers watch). The program is linked with --wrap for the functions below. */
#include "row_model.h"

#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log_event.h"
#include "block_model.h"
#include "expr/predicate.h"
#include "memory_store.h"
#include "table/memtable.h"
#include "table/row_segment.h"
#include "table/run.h"

/* The allocation that fails, counted from 1; 0: none. */
static uint64_t failing, count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool fails(void) { return failing && ++count == failing; }

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t items, size_t size) { return fails() ? NULL : __real_calloc(items, size); }
void *__wrap_realloc(void *memory, size_t size) { return fails() ? NULL : __real_realloc(memory, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static enum plinth_status fill_memtable(const struct row_model *model, struct memtable *memtable) {
    uint8_t stored[64] = {1, 1, 1};
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; i < model->count && !st; i++) {
        struct row row = model->rows[i];
        memcpy(stored + 3, row.key.data, row.key.size);
        row.key = slice_of(stored, row.key.size + 3);
        st = memtable_insert(memtable, &row, NULL);
    }
    return st;
}

static enum plinth_status scan(struct iterator *it, const struct row_model *model) {
    struct slice key = model->rows[model->count / 2].key;
    enum plinth_status st = iterator_seek(it, key, UINT64_MAX, NULL);
    if (!st) st = iterator_seek_before(it, key, UINT64_MAX, NULL);
    if (!st) st = iterator_seek_first(it, NULL);
    while (!st && it->valid) st = iterator_next(it, NULL);
    return st;
}

static enum plinth_status write(struct store *store, const struct row_model *model, struct segment_info *info) {
    struct segment_writer *writer;
    struct segment_options options = {.table = {1, 1, 1}, .codec = SEGMENT_LZ4, .stripe_rows = 20};
    enum plinth_status st = segment_writer_open(store, "segments/1/m", &options, &writer, NULL);
    for (size_t i = 0; i < model->count && !st; i++) st = segment_writer_add(writer, &model->rows[i], NULL);
    if (st) {
        segment_writer_abort(writer);
        return st;
    }
    return segment_writer_commit(writer, info, NULL);
}

static void ignore_problem(void *context, const char *object, const char *problem) {
    (void)object, (void)problem;
    ++*(size_t *)context;
}

static enum plinth_status read_run(struct run *run, const struct row_model *model) {
    size_t problems = 0;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; i < model->count && !st; i += 10) {
        struct segment_hit hit;
        struct slice key = model->rows[i].key;
        st = run_get(run, key, hash_stable(key.data, key.size), UINT64_MAX, 0, &hit, NULL);
        segment_hit_release(&hit);
    }
    if (!st) st = segment_verify(run_segment(run, 0), ignore_problem, &problems, NULL);
    return problems ? PLINTH_INTERNAL : st;
}

/* A memtable and a run of one segment with the same keys at other LSNs, merged. */
static enum plinth_status round_trip(struct memory_store *store, const struct row_model *older,
                                     const struct row_model *newer) {
    struct memtable *memtable = NULL;
    struct page_cache *cache = NULL;
    struct segment_info info = {0};
    struct segment *segment = NULL;
    struct run *run = NULL;
    struct iterator *inputs[2] = {0}, *merged = NULL;
    enum plinth_status st = memtable_create(&memtable, NULL);
    if (!st) st = fill_memtable(newer, memtable);
    if (!st) st = page_cache_create(1 << 20, &cache, NULL);
    if (!st) st = write(&store->base, older, &info);
    if (!st) st = segment_open(&store->base, cache, &info, &segment, NULL);
    if (!st) st = run_create(&segment, 1, &run, NULL);
    if (!st) st = read_run(run, older);
    if (!st) st = memtable_iterator_open(memtable, (struct table_id){1, 1, 1}, &inputs[0], NULL);
    if (!st) st = run_iterator_open(run, false, &inputs[1], NULL);
    if (st) {
        iterator_close(inputs[0]);
        iterator_close(inputs[1]);
    } else {
        st = merge_open(inputs, 2, &merged, NULL);
    }
    if (!st) st = scan(merged, older);
    iterator_close(merged);
    run_unref(run);
    segment_info_deinit(&info);
    page_cache_destroy(cache);
    memtable_unref(memtable);
    return st;
}

static void every_failing_allocation_is_reported_and_leaves_nothing_broken(void **state) {
    (void)state;
    struct test_random random = test_random_of(1);
    struct row_model older, newer;
    row_model_init(&older);
    row_model_init(&newer);
    struct row_shape shape = {.rows = 100,
                              .keys = 80,
                              .key_bytes_max = 12,
                              .value_bytes_max = 30,
                              .delete_percent = 10,
                              .index_percent = 20,
                              .lsn_first = 1};
    row_model_fill(&older, &shape, &random);
    shape.lsn_first = 1000;
    row_model_fill(&newer, &shape, &random);
    uint64_t rounds = 0;
    for (enum plinth_status st = PLINTH_OUT_OF_MEMORY; st; rounds++) {
        struct memory_store store;
        memory_store_init(&store, false);
        failing = rounds + 1;
        count = 0;
        st = round_trip(&store, &older, &newer);
        bool was_reached = count >= failing;
        failing = 0;
        memory_store_deinit(&store);
        /* Decoders come from a pool, and the cache may do without a larger table: such rounds may succeed. */
        if (st) assert_int_equal(st, PLINTH_OUT_OF_MEMORY);
        if (!st && was_reached) st = PLINTH_OUT_OF_MEMORY;
    }
    print_message("%llu allocations failed\n", (unsigned long long)rounds);
    assert_in_range(rounds, 50, 100000);
    row_model_deinit(&older);
    row_model_deinit(&newer);
}

/* ---- blocks ---- */

enum { BLOCKS = 36 };
static const struct table_id block_table = {1, 1, 50};

/* What the memtable takes of blocks like these: a copy of each, as a writer makes it. */
static enum plinth_status add_blocks(struct memtable *memtable, const struct block_model *model,
                                     struct row_block *const *blocks) {
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < BLOCKS; i++) {
        enum row_operation operation = row_block_operation(blocks[i], 0);
        struct row_block *copy = row_block_create(model->schema, blocks[i]->columns, blocks[i]->column_ids, operation);
        if (!copy || !row_block_set_lsn(copy, blocks[i]->lsn_max, 0)) st = PLINTH_OUT_OF_MEMORY;
        if (!st) st = memtable_add_block(memtable, block_table, copy, NULL);
        row_block_unref(copy);
    }
    return st;
}

static enum plinth_status scan_indexes(const struct block_model *model, const struct memtable_blocks *blocks) {
    struct iterator *it = NULL, *keys = NULL;
    enum plinth_status st =
        row_block_index_iterator(blocks->blocks[0], model->schema, &model->schema->indexes[0], &it, NULL);
    if (!st) st = row_block_key_iterator(blocks->blocks[0], &keys, NULL);
    if (!st) st = iterator_seek_first(it, NULL);
    iterator_close(it);
    iterator_close(keys);
    return st;
}

/* A merge with views and copies, whose rows are those of the model. */
static enum plinth_status merge_blocks(const struct block_model *model, const struct memtable_blocks *blocks,
                                       uint64_t *rows) {
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct block_read read = {
        .schema = model->schema, .column_ids = ids, .column_count = MODEL_COLUMNS, .with_keys = true};
    const struct block_merge_options options = {.mode = MERGE_RETAIN, .lsn = 20, .block_rows = 40};
    struct block_stream **inputs = calloc(blocks->count, sizeof *inputs), *merged = NULL;
    enum plinth_status st = inputs ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
    size_t opened = 0;
    for (; !st && opened < blocks->count; opened += !st)
        st = row_block_stream_open(blocks->blocks[opened], &read, &inputs[opened], NULL);
    if (!st) st = block_merge_open(inputs, opened, &read, &options, &merged, NULL);
    if (st && !merged && opened < blocks->count)
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    *rows = 0;
    for (bool more = true; !st && more;) {
        struct row_block *block;
        st = block_stream_next(merged, &block, NULL);
        more = block != NULL;
        if (block) *rows += block->rows;
        row_block_unref(block);
    }
    block_stream_close(merged);
    return st;
}

static enum plinth_status round_of_blocks(const struct block_model *model, struct row_block *const *added,
                                          uint64_t *rows) {
    struct memtable *memtable;
    struct memtable_blocks blocks = {0};
    enum plinth_status st = memtable_create(&memtable, NULL);
    if (st) return st;
    st = add_blocks(memtable, model, added);
    memtable_blocks(memtable, block_table, &blocks);
    if (!st) st = scan_indexes(model, &blocks);
    if (!st) st = merge_blocks(model, &blocks, rows);
    memtable_blocks_release(&blocks);
    memtable_unref(memtable);
    return st;
}

static void every_failing_allocation_of_blocks_is_reported(void **state) {
    (void)state;
    struct test_random random = test_random_of(2);
    struct block_model model;
    struct row_block *blocks[BLOCKS];
    block_model_init(&model, false, 3, 40);
    for (uint32_t i = 0; i < BLOCKS; i++)
        blocks[i] =
            block_model_add(&model, &random, i % 18 == 17 ? 300 : 1 + i % 4, i + 1, i % 5 == 4 ? ROW_DELETE : ROW_SET);
    uint64_t rounds = 0, rows, wanted;
    assert_int_equal(round_of_blocks(&model, blocks, &wanted), PLINTH_OK);
    log_event_configure(LOG_OFF, false); /* merges that fail are told and do no harm */
    for (bool was_reached = true; was_reached; rounds++) {
        failing = rounds + 1;
        count = 0;
        enum plinth_status st = round_of_blocks(&model, blocks, &rows);
        was_reached = count >= failing;
        failing = 0;
        if (st)
            assert_int_equal(st, PLINTH_OUT_OF_MEMORY);
        else
            assert_int_equal(rows, wanted);
    }
    print_message("%llu allocations failed\n", (unsigned long long)rounds);
    assert_in_range(rounds, 100, 100000);
    for (size_t i = 0; i < BLOCKS; i++) row_block_unref(blocks[i]);
    block_model_deinit(&model);
}

/* ---- typed tables ---- */

static enum plinth_status write_rows(struct store *store, const struct table_schema *schema, struct row_block *block,
                                     struct segment_info *info) {
    const struct row_segment_options options = {.schema = schema, .codec = SEGMENT_LZ4};
    struct row_segment_writer *writer;
    enum plinth_status st = row_segment_writer_open(store, "segments/1/r", &options, &writer, NULL);
    if (st) return st;
    st = row_segment_writer_add(writer, block, 0, block->rows, NULL);
    if (st) {
        row_segment_writer_abort(writer);
        return st;
    }
    return row_segment_writer_commit(writer, info, NULL);
}

static enum plinth_status read_rows(struct segment *segment, const struct table_schema *schema) {
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct block_read read = {.schema = schema, .column_ids = ids, .column_count = 8, .with_keys = true};
    struct block_stream *stream = NULL;
    struct batch *batch = NULL;
    struct row_block *block = NULL;
    size_t problems = 0;
    enum plinth_status st = segment_read_stripe(segment, 1, schema, ids, 8, true, &batch, NULL, NULL);
    if (!st) st = segment_read_stripe_keys(segment, 1, true, &block, NULL, NULL);
    batch_unref(batch);
    row_block_unref(block);
    read.lower = segment_stripe_first_key(segment, 1);
    if (!st) st = segment_block_stream_open(segment, &read, &stream, NULL);
    while (!st) {
        st = block_stream_next(stream, &block, NULL);
        if (st || !block) break;
        row_block_unref(block);
    }
    block_stream_close(stream);
    if (!st) st = segment_verify(segment, ignore_problem, &problems, NULL);
    return problems ? PLINTH_INTERNAL : st;
}

/* Postings and bounds, as a query asks for them. */
static enum plinth_status ask(struct segment *segment, const struct table_schema *schema,
                              const struct row_block *block) {
    struct roaring_bitmap_s *rows = NULL;
    struct column_bounds bounds;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st =
        segment_postings(segment, COLUMN_FLAG, INDEX_BITMAP, row_block_column(block, COLUMN_FLAG), 10, &rows, NULL);
    if (rows) roaring_bitmap_free(rows);
    if (!st) st = segment_stripe_bounds(segment, schema, 1, COLUMN_NOTE, &arena, &bounds, NULL);
    arena_deinit(&arena);
    return st;
}

static enum plinth_status row_round_trip(struct memory_store *store, const struct table_schema *schema,
                                         struct row_block *block) {
    struct page_cache *cache = NULL;
    struct segment_info info = {0};
    struct segment *segment = NULL;
    enum plinth_status st = page_cache_create(1 << 20, &cache, NULL);
    if (!st) st = write_rows(&store->base, schema, block, &info);
    if (!st) st = segment_open(&store->base, cache, &info, &segment, NULL);
    if (!st) st = read_rows(segment, schema);
    if (!st) st = ask(segment, schema, block);
    segment_unref(segment);
    segment_info_deinit(&info);
    page_cache_destroy(cache);
    return st;
}

static void every_failing_allocation_of_typed_segments_is_reported(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    struct block_model model;
    block_model_init(&model, false, 5, 40);
    struct table_schema *schema = table_schema_copy(model.schema, 0, 1);
    const struct table_index index = {
        .id = {1, 1, 90}, .kind = INDEX_BITMAP, .state = INDEX_READY, .columns = {COLUMN_FLAG}, .column_count = 1};
    assert_true(schema && table_schema_add_index(schema, &index, slice_of_string("index")));
    schema->page_rows = 10;
    struct row_block *block = block_model_add(&model, &random, 40, 5, ROW_SET);
    uint64_t rounds = 0;
    for (enum plinth_status st = PLINTH_OUT_OF_MEMORY; st; rounds++) {
        struct memory_store store;
        memory_store_init(&store, false);
        failing = rounds + 1;
        count = 0;
        st = row_round_trip(&store, schema, block);
        bool was_reached = count >= failing;
        failing = 0;
        memory_store_deinit(&store);
        if (st) assert_int_equal(st, PLINTH_OUT_OF_MEMORY);
        if (!st && was_reached) st = PLINTH_OUT_OF_MEMORY;
    }
    print_message("%llu allocations failed\n", (unsigned long long)rounds);
    assert_in_range(rounds, 100, 100000);
    row_block_unref(block);
    table_schema_unref(schema);
    block_model_deinit(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_is_reported_and_leaves_nothing_broken),
        cmocka_unit_test(every_failing_allocation_of_typed_segments_is_reported),
        cmocka_unit_test(every_failing_allocation_of_blocks_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
