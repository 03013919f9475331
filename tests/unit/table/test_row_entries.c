/* Entries of sorted indexes in segments: as columns, and as the keys that former versions wrote. */
#include <stdio.h>
#include <stdlib.h>

#include "block_model.h"
#include "memory_store.h"
#include "table/row_segment.h"
#include "table/segment.h"

static const char *const NAME = "segments/1/77-abc.parquet";

struct entry {
    struct buffer key;
    uint64_t lsn;
};

struct fixture {
    struct memory_store store;
    struct page_cache *cache;
    struct block_model model;
    struct entry *entries;
    size_t count;
    struct segment_info info;
    struct segment *segment;
};

static int compare_entries(const void *a, const void *b) {
    const struct entry *left = a, *right = b;
    int order = slice_compare(buffer_slice(&left->key), buffer_slice(&right->key));
    return order ? order : (left->lsn < right->lsn) - (left->lsn > right->lsn);
}

/* The entries of some blocks, all versions of the rows. */
static void make_entries(struct fixture *f, struct test_random *random, unsigned blocks, uint32_t rows) {
    for (unsigned b = 0; b < blocks; b++) {
        struct arena arena;
        struct index_entries made;
        struct row_block *block =
            block_model_add(&f->model, random, 1 + (uint32_t)test_random_below(random, rows), 10 + b, ROW_SET);
        arena_init(&arena);
        assert_true(index_entries_make(&arena, block, f->model.schema, &f->model.schema->indexes[0], &made));
        f->entries = realloc(f->entries, (f->count + made.count + 1) * sizeof *f->entries);
        assert_non_null(f->entries);
        for (uint32_t i = 0; i < made.count; i++) {
            struct entry *entry = &f->entries[f->count++];
            struct slice key = row_keys_at(&made.keys, i);
            *entry = (struct entry){.lsn = row_block_lsn(block, made.rows[i])};
            assert_true(buffer_append(&entry->key, key.data, key.size));
        }
        arena_deinit(&arena);
        row_block_unref(block);
    }
    qsort(f->entries, f->count, sizeof *f->entries, compare_entries);
}

static struct segment_options options_of(const struct fixture *f, enum segment_codec codec, bool as_columns) {
    return (struct segment_options){.table = f->model.schema->indexes[0].id,
                                    .index_table = true,
                                    .schema = as_columns ? f->model.schema : NULL,
                                    .index = as_columns ? &f->model.schema->indexes[0] : NULL,
                                    .codec = codec};
}

static enum plinth_status write_entries(struct fixture *f, const char *name, const struct segment_options *options,
                                        struct segment_info *info, struct plinth_error *error) {
    struct segment_writer *writer;
    enum plinth_status st = segment_writer_open(&f->store.base, name, options, &writer, error);
    if (st) return st;
    for (size_t i = 0; i < f->count && !st; i++) {
        const struct row row = {
            .key = buffer_slice(&f->entries[i].key), .lsn = f->entries[i].lsn, .operation = ROW_SET};
        st = segment_writer_add(writer, &row, error);
        if (!st) assert_int_equal(segment_writer_rows(writer), i + 1);
    }
    if (!st) return segment_writer_commit(writer, info, error);
    segment_writer_abort(writer);
    return st;
}

static void fixture_open(struct fixture *f, uint64_t seed, bool keyless, bool as_columns, enum segment_codec codec,
                         uint32_t rows) {
    struct test_random random = test_random_of(seed);
    struct plinth_error error;
    *f = (struct fixture){0};
    memory_store_init(&f->store, seed % 2);
    assert_ok(page_cache_create(1 << 20, &f->cache, &error), &error);
    block_model_init(&f->model, keyless, 8, rows);
    make_entries(f, &random, 4, rows);
    const struct segment_options options = options_of(f, codec, as_columns);
    assert_ok(write_entries(f, NAME, &options, &f->info, &error), &error);
    assert_ok(segment_open(&f->store.base, f->cache, &f->info, &f->segment, &error), &error);
}

static void fixture_close(struct fixture *f) {
    segment_unref(f->segment);
    segment_info_deinit(&f->info);
    for (size_t i = 0; i < f->count; i++) buffer_deinit(&f->entries[i].key);
    free(f->entries);
    block_model_deinit(&f->model);
    page_cache_destroy(f->cache);
    memory_store_deinit(&f->store);
}

static void assert_entry(const struct fixture *f, const struct iterator *it, size_t number) {
    if (number >= f->count) {
        assert_false(it->valid);
        return;
    }
    assert_true(it->valid);
    assert_true(slice_equal(it->row.key, buffer_slice(&f->entries[number].key)));
    assert_int_equal(it->row.lsn, f->entries[number].lsn);
    assert_int_equal(it->row.operation, ROW_SET);
    assert_int_equal(it->row.value.size, 0);
}

static void check_reading(struct fixture *f, uint64_t seed) {
    struct test_random random = test_random_of(seed);
    struct plinth_error error;
    struct iterator *it;
    assert_ok(segment_iterator_open(f->segment, false, &it, &error), &error);
    assert_ok(iterator_seek_first(it, &error), &error);
    for (size_t i = 0; i < f->count; i++) {
        assert_entry(f, it, i);
        assert_ok(iterator_next(it, &error), &error);
    }
    assert_false(it->valid);
    assert_ok(iterator_seek_last(it, &error), &error);
    for (size_t i = f->count; i-- > 0;) {
        assert_entry(f, it, i);
        assert_ok(iterator_previous(it, &error), &error);
    }
    for (int round = 0; round < 300; round++) { /* the beginnings of keys, as ranges of an index are */
        const struct entry *of = &f->entries[test_random_below(&random, f->count)];
        struct slice sought = slice_of(of->key.data, test_random_below(&random, of->key.size + 1));
        size_t first = 0;
        while (first < f->count && slice_compare(buffer_slice(&f->entries[first].key), sought) < 0) first++;
        assert_ok(iterator_seek(it, sought, UINT64_MAX, &error), &error);
        assert_entry(f, it, first);
    }
    iterator_close(it);
}

static void no_problem(void *context, const char *object, const char *problem) {
    (void)context;
    fail_msg("%s: %s", object, problem);
}

static void entries_are_read_as_they_were_written(void **state) {
    (void)state;
    static const enum segment_codec codecs[] = {SEGMENT_LZ4, SEGMENT_ZSTD, SEGMENT_UNCOMPRESSED, SEGMENT_ZSTD_THOROUGH};
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct fixture f;
        struct plinth_error error;
        struct segment_info found;
        fixture_open(&f, seed, seed & 1, seed & 2, codecs[seed / 4], seed & 4 ? 6000 : 50);
        assert_false(f.info.is_rows);
        assert_int_equal(f.info.rows, f.count);
        check_reading(&f, seed);
        assert_ok(segment_verify(f.segment, no_problem, NULL, &error), &error);
        assert_ok(segment_info_read(&f.store.base, NAME, &found, &error), &error);
        assert_false(found.is_rows);
        assert_int_equal(found.rows, f.info.rows);
        assert_int_equal(found.table.table, MODEL_INDEX);
        segment_info_deinit(&found);
        fixture_close(&f);
    }
}

/* The columns of an index that are in the primary key are stored once. */
static void an_index_on_key_columns_has_each_column_once(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    struct fixture f = {0};
    struct plinth_error error;
    memory_store_init(&f.store, true);
    assert_ok(page_cache_create(1 << 20, &f.cache, &error), &error);
    block_model_init(&f.model, false, 8, 500);
    f.model.schema->indexes[0].columns[0] = COLUMN_SEQ;
    f.model.schema->indexes[0].columns[1] = COLUMN_NOTE;
    make_entries(&f, &random, 3, 500);
    const struct segment_options options = options_of(&f, SEGMENT_ZSTD, true);
    assert_ok(write_entries(&f, NAME, &options, &f.info, &error), &error);
    assert_ok(segment_open(&f.store.base, f.cache, &f.info, &f.segment, &error), &error);
    check_reading(&f, 3);
    assert_ok(segment_verify(f.segment, no_problem, NULL, &error), &error);
    fixture_close(&f);
}

static void a_writer_refuses_what_is_no_entry(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, 5, false, true, SEGMENT_LZ4, 50);
    struct slice good = buffer_slice(&f.entries[0].key);
    const struct row rows[] = {
        {.key = slice_of("\x07", 1), .lsn = 1, .operation = ROW_SET},                /* no mark */
        {.key = slice_of(good.data, good.size - 1), .lsn = 1, .operation = ROW_SET}, /* cut */
        {.key = good, .lsn = 1, .operation = ROW_DELETE},
    };
    const struct segment_options options = options_of(&f, SEGMENT_LZ4, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct segment_writer *writer;
        struct segment_info info = {0};
        struct plinth_error error;
        assert_ok(segment_writer_open(&f.store.base, "segments/1/x", &options, &writer, &error), &error);
        enum plinth_status st = segment_writer_add(writer, &rows[i], &error);
        if (st)
            segment_writer_abort(writer);
        else
            st = segment_writer_commit(writer, &info, &error);
        assert_int_equal(st, i == 2 ? PLINTH_INTERNAL : PLINTH_CORRUPT);
        assert_null(memory_store_bytes(&f.store, "segments/1/x"));
    }
    fixture_close(&f);
}

static void count_problem(void *context, const char *object, const char *text) {
    (void)object;
    (void)text;
    (*(size_t *)context)++;
}

static void flipped_bits_are_found(void **state) {
    (void)state;
    struct fixture f;
    struct test_random random = test_random_of(9);
    fixture_open(&f, 9, false, true, SEGMENT_ZSTD, 400);
    f.info.index_crc = segment_info(f.segment)->index_crc;
    segment_unref(f.segment);
    f.segment = NULL;
    struct buffer *bytes = memory_store_bytes(&f.store, NAME);
    size_t flips = 400, found = 0;
    for (size_t round = 0; round < flips; round++) {
        struct plinth_error error;
        struct segment *segment;
        size_t at = test_random_below(&random, bytes->size), problems = 0;
        uint8_t bit = (uint8_t)(1 << test_random_below(&random, 8));
        bytes->data[at] ^= bit;
        enum plinth_status st = segment_open(&f.store.base, NULL, &f.info, &segment, &error);
        if (!st) assert_ok(segment_verify(segment, count_problem, &problems, &error), &error);
        assert_true(!st || st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED);
        found += st || problems;
        if (!st) segment_unref(segment);
        bytes->data[at] ^= bit;
    }
    /* Page headers have no checksum: a spare byte of theirs may change unseen. */
    assert_in_range(found, flips * 9 / 10, flips);
    fixture_close(&f);
}

static void every_failing_store_call_is_an_error_that_leaks_nothing(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, 11, false, true, SEGMENT_LZ4, 400);
    const struct segment_options options = options_of(&f, SEGMENT_LZ4, true);
    enum plinth_status st = PLINTH_IO_ERROR;
    for (uint64_t call = 1; st; call++) {
        struct plinth_error error;
        struct segment_info info = {0};
        f.store.calls = 0;
        f.store.failing_call = call;
        st = write_entries(&f, "segments/1/y", &options, &info, &error);
        segment_info_deinit(&info);
        if (st) assert_status(st, PLINTH_IO_ERROR, &error);
    }
    f.store.failing_call = 0;
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_read_as_they_were_written),
        cmocka_unit_test(an_index_on_key_columns_has_each_column_once),
        cmocka_unit_test(a_writer_refuses_what_is_no_entry),
        cmocka_unit_test(flipped_bits_are_found),
        cmocka_unit_test(every_failing_store_call_is_an_error_that_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
