#include "row_model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "memory_store.h"
#include "table/run.h"

static const struct table_id table = {3, 1, 40};

struct fixture {
    struct memory_store store;
    struct page_cache *cache;
    struct row_model model;
    struct segment_info info;
    struct segment *segment;
};

static struct segment_options options_of(enum segment_codec codec) {
    return (struct segment_options){.table = table, .job = 7, .codec = codec};
}

static void write_segment(struct store *store, const char *name, const struct row_model *model,
                          const struct segment_options *options, struct segment_info *info) {
    struct plinth_error error;
    struct segment_writer *writer;
    assert_ok(segment_writer_open(store, name, options, &writer, &error), &error);
    for (size_t i = 0; i < model->count; i++) assert_ok(segment_writer_add(writer, &model->rows[i], &error), &error);
    assert_int_equal(segment_writer_rows(writer), model->count);
    assert_ok(segment_writer_commit(writer, info, &error), &error);
}

/* An open segment with the rows of the fixture's model. */
static void fixture_open(struct fixture *f, const struct segment_options *options, bool map, uint64_t cache_bytes) {
    struct plinth_error error;
    memory_store_init(&f->store, map);
    f->cache = NULL;
    if (cache_bytes) assert_ok(page_cache_create(cache_bytes, &f->cache, &error), &error);
    write_segment(&f->store.base, "segments/7/a.parquet", &f->model, options, &f->info);
    assert_ok(segment_open(&f->store.base, f->cache, &f->info, &f->segment, &error), &error);
}

static void fixture_close(struct fixture *f) {
    segment_unref(f->segment);
    if (f->cache) {
        struct page_cache_stats stats;
        page_cache_stats(f->cache, &stats);
        assert_int_equal(stats.entries, 0); /* the segment's last reference forgets its stripes */
        assert_int_equal(stats.bytes, 0);
    }
    page_cache_destroy(f->cache);
    segment_info_deinit(&f->info);
    memory_store_deinit(&f->store);
    row_model_deinit(&f->model);
}

static void fill(struct row_model *model, const struct row_shape *shape, uint64_t seed) {
    struct test_random random = test_random_of(seed);
    row_model_init(model);
    row_model_fill(model, shape, &random);
}

static void assert_get(struct segment *segment, const struct row_model *model, struct slice key, uint64_t lsn_max,
                       unsigned flags) {
    struct plinth_error error;
    struct segment_hit hit;
    const struct row *wanted = row_model_get(model, key, lsn_max);
    enum plinth_status st = segment_get(segment, key, hash_stable(key.data, key.size), lsn_max, flags, &hit, &error);
    assert_status(st, wanted ? PLINTH_OK : PLINTH_NOT_FOUND, &error);
    if (wanted) {
        assert_row_equal(&hit.row, wanted, flags & SEGMENT_LSN_ONLY);
        assert_non_null(hit.pinned);
    }
    segment_hit_release(&hit);
}

static void assert_gets_agree(struct segment *segment, const struct row_model *model, struct test_random *random,
                              size_t operations) {
    struct buffer buffer = BUFFER_INIT;
    for (size_t i = 0; i < operations; i++) {
        struct slice key = row_model_random_key(model, random, &buffer);
        uint64_t lsn_max = UINT64_MAX;
        if (test_random_below(random, 2))
            lsn_max = model->rows[test_random_below(random, model->count)].lsn + test_random_below(random, 3) - 1;
        assert_get(segment, model, key, lsn_max, test_random_below(random, 3) ? 0 : SEGMENT_LSN_ONLY);
    }
    buffer_deinit(&buffer);
}

static void count_problem(void *context, const char *object, const char *text) {
    assert_non_null(object);
    assert_true(strlen(text) > 0);
    if (getenv("SHOW_PROBLEMS")) print_message("%s: %s\n", object, text);
    ++*(size_t *)context;
}

static size_t verify(struct segment *segment) {
    struct plinth_error error;
    size_t problems = 0;
    assert_ok(segment_verify(segment, count_problem, &problems, &error), &error);
    return problems;
}

static void assert_info(const struct segment_info *info, const struct row_model *model) {
    uint64_t deletes = 0, superseded = 0, lsn_min = UINT64_MAX, lsn_max = 0;
    for (size_t i = 0; i < model->count; i++) {
        const struct row *row = &model->rows[i];
        deletes += row->operation == ROW_DELETE;
        superseded += i > 0 && slice_equal(row->key, model->rows[i - 1].key);
        if (row->lsn < lsn_min) lsn_min = row->lsn;
        if (row->lsn > lsn_max) lsn_max = row->lsn;
    }
    assert_int_equal(info->rows, model->count);
    assert_int_equal(info->deletes, deletes);
    assert_int_equal(info->superseded, superseded);
    assert_int_equal(info->lsn_min, lsn_min);
    assert_int_equal(info->lsn_max, lsn_max);
    assert_true(slice_equal(buffer_slice(&info->key_min), model->rows[0].key));
    assert_true(slice_equal(buffer_slice(&info->key_max), model->rows[model->count - 1].key));
    assert_int_equal(table_id_compare(info->table, table), 0);
    assert_int_equal(info->job, 7);
}

static void assert_segment_is_model(struct fixture *f, struct test_random *random, size_t operations) {
    assert_info(&f->info, &f->model);
    assert_int_equal(f->info.bytes, memory_store_bytes(&f->store, "segments/7/a.parquet")->size);
    assert_true(segment_memory_bytes(f->segment) > 0);
    assert_gets_agree(f->segment, &f->model, random, operations);
    for (int lsn_only = 0; lsn_only < 2; lsn_only++) {
        struct plinth_error error;
        struct iterator *it;
        assert_ok(segment_iterator_open(f->segment, lsn_only, &it, &error), &error);
        assert_iterator_scans(it, &f->model, lsn_only);
        assert_iterator_agrees(it, &f->model, random, operations, lsn_only);
        iterator_close(it);
    }
    assert_int_equal(verify(f->segment), 0);
}

static void segments_of_all_kinds_agree_with_a_sorted_array(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        struct test_random random = test_random_of(seed);
        struct row_shape shape = {.rows = 1 + test_random_below(&random, 3000),
                                  .keys = 1 + test_random_below(&random, seed % 3 ? 3000 : 20),
                                  .key_bytes_max = 1 + test_random_below(&random, 30),
                                  .value_bytes_max = test_random_below(&random, 200),
                                  .delete_percent = seed % 4 ? (unsigned)test_random_below(&random, 60) : 0,
                                  .index_percent = seed % 2 ? (unsigned)test_random_below(&random, 100) : 0,
                                  .lsn_first = test_random_below(&random, 1000000),
                                  .one_lsn = seed % 5 == 0};
        struct segment_options options = options_of((enum segment_codec)(1 + seed % 3));
        options.stripe_rows = seed % 2 ? 0 : (uint32_t)(1 + test_random_below(&random, 50));
        options.stripe_bytes = seed % 3 ? 0 : (uint32_t)(1 + test_random_below(&random, 2000));
        print_message("seed %llu\n", (unsigned long long)seed);
        struct fixture f;
        fill(&f.model, &shape, seed);
        fixture_open(&f, &options, seed % 2, seed % 4 == 1 ? 0 : seed % 4 == 2 ? 20000 : 1 << 24);
        assert_segment_is_model(&f, &random, 2000);
        fixture_close(&f);
    }
}

static void versions_of_one_key_may_straddle_stripes(void **state) {
    (void)state;
    for (uint32_t stripe_rows = 1; stripe_rows <= 7; stripe_rows += 2) {
        struct fixture f;
        row_model_init(&f.model);
        const char *keys[] = {"a", "b", "c", "d"};
        uint64_t lsn = 1;
        for (size_t k = 0; k < 4; k++) {
            for (size_t i = 0; i < (k == 1 ? 100 : k == 2 ? 1 : 9); i++, lsn += 2) {
                struct row row = {.key = slice_of_string(keys[k]), .lsn = lsn, .operation = ROW_SET};
                row.value = slice_of(&lsn, i % 3 ? sizeof lsn : 0);
                row_model_add(&f.model, &row);
            }
        }
        row_model_sort(&f.model);
        struct segment_options options = options_of(SEGMENT_LZ4);
        options.stripe_rows = stripe_rows;
        fixture_open(&f, &options, true, 1 << 20);
        for (uint64_t at = 0; at <= lsn + 1; at++)
            for (size_t k = 0; k < 4; k++) assert_get(f.segment, &f.model, slice_of_string(keys[k]), at, 0);
        struct test_random random = test_random_of(stripe_rows);
        assert_segment_is_model(&f, &random, 3000);
        fixture_close(&f);
    }
}

static void a_segment_of_one_row_works(void **state) {
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct fixture f;
        row_model_init(&f.model);
        struct row row = {.key = slice_of_string(what == 1 ? "" : "k"), .lsn = 5, .operation = ROW_SET};
        if (what == 2) row.operation = ROW_DELETE;
        if (what == 3) row.value = slice_of_string("value");
        row_model_add(&f.model, &row);
        struct segment_options options = options_of(SEGMENT_ZSTD);
        fixture_open(&f, &options, false, 0);
        struct test_random random = test_random_of(1);
        assert_segment_is_model(&f, &random, 200);
        fixture_close(&f);
    }
}

static void index_tables_have_keys_only(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 2000, .keys = 1500, .key_bytes_max = 20, .delete_percent = 10, .lsn_first = 9};
    fill(&f.model, &shape, 3);
    struct segment_options options = options_of(SEGMENT_LZ4);
    options.index_table = true;
    fixture_open(&f, &options, true, 1 << 20);
    struct test_random random = test_random_of(4);
    assert_segment_is_model(&f, &random, 3000);
    fixture_close(&f);
}

static void the_largest_keys_and_values_come_back(void **state) {
    (void)state;
    struct fixture f;
    row_model_init(&f.model);
    struct test_random random = test_random_of(5);
    size_t value_size = 512 * 1024, key_size = 64 * 1024;
    uint8_t *bytes = malloc(value_size);
    test_random_bytes(&random, bytes, value_size);
    for (uint64_t i = 0; i < 60; i++) {
        store_u64(bytes + (i % 2 ? 0 : key_size - 8), __builtin_bswap64(i / 3));
        struct row row = {.key = slice_of(bytes, i % 5 ? key_size : 9), .lsn = 1000 - i, .operation = ROW_SET};
        row.value = slice_of(bytes, i % 4 == 0 ? value_size : i % 4 == 1 ? 0 : 50 * i);
        row_model_add(&f.model, &row);
    }
    free(bytes);
    row_model_sort(&f.model);
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, false, 1 << 24);
    assert_segment_is_model(&f, &random, 300);
    fixture_close(&f);
}

static void several_row_groups_are_one_segment(void **state) {
    (void)state;
    struct fixture f;
    row_model_init(&f.model);
    uint8_t value[3000] = {0};
    struct test_random random = test_random_of(6);
    for (uint64_t i = 0; i < 26000; i++) { /* two row groups by bytes */
        uint64_t key = __builtin_bswap64(i / 2 * 3);
        struct row row = {.key = slice_of(&key, 8), .lsn = 100000 - i, .operation = ROW_SET};
        row.value = slice_of(value, test_random_below(&random, sizeof value));
        row_model_add(&f.model, &row);
    }
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, true, 1 << 26);
    assert_segment_is_model(&f, &random, 3000);
    fixture_close(&f);
}

static void memory_only_reads_say_when_they_would_block(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 3000, .keys = 2500, .value_bytes_max = 50, .lsn_first = 1};
    fill(&f.model, &shape, 8);
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, true, 1 << 24);
    struct plinth_error error;
    struct segment_hit hit;
    struct slice key = f.model.rows[1000].key;
    uint64_t hash = hash_stable(key.data, key.size);
    assert_status(segment_get(f.segment, key, hash, UINT64_MAX, SEGMENT_MEMORY_ONLY, &hit, &error), PLINTH_WOULD_BLOCK,
                  &error);
    assert_ok(segment_get(f.segment, key, hash, UINT64_MAX, SEGMENT_LSN_ONLY, &hit, &error), &error);
    segment_hit_release(&hit);
    assert_ok(segment_get(f.segment, key, hash, UINT64_MAX, SEGMENT_LSN_ONLY | SEGMENT_MEMORY_ONLY, &hit, &error),
              &error);
    segment_hit_release(&hit);
    assert_status(segment_get(f.segment, key, hash, UINT64_MAX, SEGMENT_MEMORY_ONLY, &hit, &error), PLINTH_WOULD_BLOCK,
                  &error);
    assert_ok(segment_get(f.segment, key, hash, UINT64_MAX, 0, &hit, &error), &error);
    segment_hit_release(&hit);
    assert_get(f.segment, &f.model, key, UINT64_MAX, SEGMENT_MEMORY_ONLY);
    struct slice missing = slice_of_string("certainly not a key of this segment");
    assert_get(f.segment, &f.model, missing, UINT64_MAX, SEGMENT_MEMORY_ONLY);
    fixture_close(&f);
}

static void bloom_filters_spare_most_reads_of_missing_keys(void **state) {
    (void)state;
    struct fixture f;
    row_model_init(&f.model);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t key = __builtin_bswap64(i * 2);
        struct row row = {.key = slice_of(&key, 8), .lsn = 1 + i, .operation = ROW_SET};
        row_model_add(&f.model, &row);
    }
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, false, 0);
    uint64_t before = f.store.calls, reads = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t key = __builtin_bswap64(i * 2 + 1);
        assert_get(f.segment, &f.model, slice_of(&key, 8), UINT64_MAX, 0);
        reads += f.store.calls > before;
        before = f.store.calls;
    }
    assert_in_range(reads, 0, 300); /* 3 %; about 1 % is expected */
    fixture_close(&f);
}

static void a_writer_refuses_rows_out_of_order_and_empty_segments(void **state) {
    (void)state;
    struct memory_store store;
    memory_store_init(&store, true);
    struct segment_options options = options_of(SEGMENT_LZ4);
    struct plinth_error error;
    struct segment_writer *writer;
    struct segment_info info;
    struct row b = {.key = slice_of_string("b"), .lsn = 5, .operation = ROW_SET}, a = b, newer = b;
    a.key = slice_of_string("a");
    newer.lsn = 6;
    const struct row *bad[] = {&a, &b, &newer};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(segment_writer_open(&store.base, "segments/1/x", &options, &writer, &error), &error);
        assert_ok(segment_writer_add(writer, &b, &error), &error);
        assert_status(segment_writer_add(writer, bad[i], &error), PLINTH_INTERNAL, &error);
        assert_error_names(&error, "segments/1/x");
        segment_writer_abort(writer);
    }
    assert_ok(segment_writer_open(&store.base, "segments/1/x", &options, &writer, &error), &error);
    assert_status(segment_writer_commit(writer, &info, &error), PLINTH_INTERNAL, &error);
    assert_null(memory_store_bytes(&store, "segments/1/x"));
    segment_writer_abort(NULL);
    memory_store_deinit(&store);
}

static void info_encodes_and_decodes_and_refuses_cut_bytes(void **state) {
    (void)state;
    struct segment_info info = {.name = "segments/4/40-abc.parquet", .table = table, .job = UINT64_MAX, .lsn_min = 5};
    info.lsn_max = UINT64_MAX;
    info.rows = 10;
    info.deletes = 10;
    info.superseded = 9;
    info.bytes = 123456789;
    assert_true(buffer_append(&info.key_max, "zz", 2));
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    assert_true(segment_info_encode(&bytes, &info));
    struct segment_info decoded, copy;
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_true(segment_info_decode(&reader, &decoded));
    assert_int_equal(reader_left(&reader), 0);
    assert_true(segment_info_copy(&copy, &decoded));
    assert_true(segment_info_encode(&again, &copy));
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    assert_string_equal(copy.name, info.name);
    segment_info_deinit(&copy);
    segment_info_deinit(&decoded);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        reader = reader_of(slice_of(bytes.data, cut));
        assert_false(segment_info_decode(&reader, &decoded));
        assert_null(decoded.key_min.data);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
    segment_info_deinit(&info);
}

/* The bytes of an entry as they were before entries told kinds and partitions. */
static void info_of_an_older_version_decodes(void **state) {
    (void)state;
    static const uint8_t old[] = {1,    'x',  1,    2,    3,    4, /* name, table, job */
                                  5,    6,    7,    0,    1,    8, /* LSNs, rows, deletes, superseded, bytes */
                                  0xff, 0xff, 0xff, 0xff, 0x0f, 1, 'a', 1, 'b'};
    struct segment_info info;
    struct reader reader = reader_of(slice_of(old, sizeof old));
    assert_true(segment_info_decode(&reader, &info));
    assert_int_equal(reader_left(&reader), 0);
    assert_int_equal(info.index_crc, UINT32_MAX);
    assert_false(info.is_rows);
    assert_false(info.has_partition);
    struct buffer bytes = BUFFER_INIT;
    assert_true(segment_info_encode(&bytes, &info));
    assert_true(slice_equal(buffer_slice(&bytes), slice_of(old, sizeof old)));
    buffer_deinit(&bytes);
    segment_info_deinit(&info);
}

static void info_keeps_kind_and_partition(void **state) {
    (void)state;
    const int64_t partitions[] = {0, -1, INT64_MIN, INT64_MAX, 20500};
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++) {
        struct segment_info info = {.name = "x", .rows = 1, .index_crc = 7, .has_partition = true}, decoded;
        info.is_rows = i % 2;
        info.partition = partitions[i];
        struct buffer bytes = BUFFER_INIT;
        assert_true(segment_info_encode(&bytes, &info));
        struct reader reader = reader_of(buffer_slice(&bytes));
        assert_true(segment_info_decode(&reader, &decoded));
        assert_int_equal(reader_left(&reader), 0);
        assert_int_equal(decoded.index_crc, 7);
        assert_int_equal(decoded.is_rows, info.is_rows);
        assert_true(decoded.has_partition && decoded.partition == partitions[i]);
        segment_info_deinit(&decoded);
        buffer_deinit(&bytes);
    }
}

static void open_refuses_a_segment_that_is_not_the_manifests(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 500, .keys = 400, .value_bytes_max = 20, .delete_percent = 5, .lsn_first = 10};
    fill(&f.model, &shape, 11);
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, false, 0);
    for (int what = 0; what < 10; what++) {
        struct segment_info wrong;
        assert_true(segment_info_copy(&wrong, &f.info));
        switch (what) {
        case 0: wrong.table.table++; break;
        case 1: wrong.table.tenant++; break;
        case 2: wrong.rows++; break;
        case 3: wrong.deletes++; break;
        case 4: wrong.superseded++; break;
        case 5: wrong.bytes++; break;
        case 6: wrong.lsn_min--; break;
        case 7: wrong.lsn_max++; break;
        case 8: assert_true(buffer_append(&wrong.key_min, "x", 1)); break;
        default: wrong.key_max.size--; break;
        }
        struct plinth_error error;
        struct segment *segment;
        assert_status(segment_open(&f.store.base, NULL, &wrong, &segment, &error), PLINTH_CORRUPT, &error);
        assert_null(segment);
        assert_error_names(&error, f.info.name);
        segment_info_deinit(&wrong);
    }
    struct segment_info missing;
    assert_true(segment_info_copy(&missing, &f.info));
    strcpy(missing.name, "segments/7/b.parquet");
    struct plinth_error error;
    struct segment *segment;
    assert_status(segment_open(&f.store.base, NULL, &missing, &segment, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "segments/7/b.parquet");
    segment_info_deinit(&missing);
    fixture_close(&f);
}

/* Opens and reads everything; whatever is wrong must be said, naming the object. */
static bool damage_is_found(struct fixture *f) {
    struct plinth_error error;
    struct segment *segment;
    enum plinth_status st = segment_open(&f->store.base, NULL, &f->info, &segment, &error);
    if (st) {
        assert_true(st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED || st == PLINTH_OUT_OF_MEMORY);
        assert_error_names(&error, f->info.name);
        return true;
    }
    struct iterator *it;
    assert_ok(segment_iterator_open(segment, false, &it, &error), &error);
    st = iterator_seek_first(it, &error);
    while (!st && it->valid) st = iterator_next(it, &error);
    if (st) {
        assert_true(st == PLINTH_CORRUPT || st == PLINTH_UNSUPPORTED || st == PLINTH_OUT_OF_MEMORY);
        assert_error_names(&error, f->info.name);
    }
    iterator_close(it);
    for (size_t i = 0; i < f->model.count; i += 7) {
        struct segment_hit hit;
        struct slice key = f->model.rows[i].key;
        (void)!segment_get(segment, key, hash_stable(key.data, key.size), UINT64_MAX, 0, &hit, &error);
        segment_hit_release(&hit);
    }
    size_t problems = 0;
    enum plinth_status verified = segment_verify(segment, count_problem, &problems, &error);
    segment_unref(segment);
    return st || verified || problems;
}

static void flipped_bits_are_found_and_never_crash(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {
        .rows = 700, .keys = 600, .value_bytes_max = 30, .delete_percent = 5, .index_percent = 20, .lsn_first = 10};
    fill(&f.model, &shape, 12);
    struct segment_options options = options_of(SEGMENT_LZ4);
    options.stripe_rows = 100;
    fixture_open(&f, &options, false, 0);
    struct buffer *bytes = memory_store_bytes(&f.store, f.info.name);
    f.info.index_crc = segment_info(f.segment)->index_crc; /* as a commit notes it */
    assert_int_not_equal(f.info.index_crc, 0);
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
    /* Page bodies have checksums, and so have footer, page index and bloom filters. Page headers have none: what they
     * say is checked, but a spare byte of theirs may change unseen. */
    print_message("%zu of %zu flips found\n", found, flips);
    assert_in_range(found, flips * 9 / 10, flips);
    assert_false(damage_is_found(&f));
    fixture_close(&f);
}

static void cut_objects_are_corrupt(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 50, .keys = 50, .value_bytes_max = 30, .lsn_first = 10};
    fill(&f.model, &shape, 14);
    struct segment_options options = options_of(SEGMENT_ZSTD);
    fixture_open(&f, &options, false, 0);
    struct buffer *bytes = memory_store_bytes(&f.store, f.info.name);
    size_t whole = bytes->size;
    for (size_t size = 0; size < whole; size++) {
        struct plinth_error error;
        struct segment *segment;
        bytes->size = size;
        assert_status(segment_open(&f.store.base, NULL, &f.info, &segment, &error), PLINTH_CORRUPT, &error);
        struct segment_info as_it_is;
        assert_true(segment_info_copy(&as_it_is, &f.info));
        as_it_is.bytes = size;
        assert_status(segment_open(&f.store.base, NULL, &as_it_is, &segment, &error), PLINTH_CORRUPT, &error);
        segment_info_deinit(&as_it_is);
    }
    bytes->size = whole;
    fixture_close(&f);
}

static void every_failing_store_call_is_an_error_that_leaks_nothing(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 600, .keys = 500, .value_bytes_max = 30, .lsn_first = 10};
    fill(&f.model, &shape, 15);
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, false, 0);
    bool done = false;
    for (uint64_t call = 1; !done; call++) { /* writing */
        struct plinth_error error;
        struct segment_writer *writer;
        struct segment_info info = {0};
        f.store.calls = 0;
        f.store.failing_call = call;
        enum plinth_status st = segment_writer_open(&f.store.base, "segments/8/w", &options, &writer, &error);
        for (size_t i = 0; i < f.model.count && !st; i++) st = segment_writer_add(writer, &f.model.rows[i], &error);
        if (st) {
            segment_writer_abort(writer);
        } else {
            st = segment_writer_commit(writer, &info, &error);
        }
        done = !st;
        if (st) {
            assert_status(st, PLINTH_IO_ERROR, &error);
            assert_null(memory_store_bytes(&f.store, "segments/8/w"));
        }
        segment_info_deinit(&info);
    }
    done = false;
    for (uint64_t call = 1; !done; call++) { /* reading */
        struct plinth_error error;
        struct segment *segment;
        f.store.calls = 0;
        f.store.failing_call = call;
        enum plinth_status st = segment_open(&f.store.base, NULL, &f.info, &segment, &error);
        size_t problems = 0;
        if (!st) st = segment_verify(segment, count_problem, &problems, &error);
        assert_int_equal(problems, 0);
        segment_unref(segment);
        done = !st;
        if (st) assert_status(st, PLINTH_IO_ERROR, &error);
    }
    f.store.failing_call = 0;
    fixture_close(&f);
}

/* ---- threads ---- */

enum { THREADS = 4, THREAD_OPERATIONS = 4000 };

struct work {
    struct segment *segment;
    const struct row_model *model;
    uint64_t seed;
    bool ok;
};

static bool get_agrees(const struct work *work, struct slice key, uint64_t lsn_max, unsigned flags) {
    struct segment_hit hit;
    const struct row *wanted = row_model_get(work->model, key, lsn_max);
    enum plinth_status st =
        segment_get(work->segment, key, hash_stable(key.data, key.size), lsn_max, flags, &hit, NULL);
    bool ok = st == (wanted ? PLINTH_OK : PLINTH_NOT_FOUND);
    if (ok && wanted)
        ok = hit.row.lsn == wanted->lsn && slice_equal(hit.row.key, key) &&
             (flags || slice_equal(hit.row.value, wanted->value));
    segment_hit_release(&hit);
    return ok;
}

static bool scan_agrees(const struct work *work, size_t from) {
    struct iterator *it;
    const struct row *rows = work->model->rows;
    if (segment_iterator_open(work->segment, false, &it, NULL)) return false;
    bool ok = !iterator_seek(it, rows[from].key, rows[from].lsn, NULL);
    for (size_t i = from; ok && i < work->model->count && i < from + 300; i++) {
        ok = it->valid && it->row.lsn == rows[i].lsn && slice_equal(it->row.value, rows[i].value) &&
             !iterator_next(it, NULL);
    }
    iterator_close(it);
    return ok;
}

static void *read_segment(void *argument) {
    struct work *work = argument;
    struct test_random random = test_random_of(work->seed);
    struct buffer buffer = BUFFER_INIT;
    work->ok = true;
    for (int i = 0; i < THREAD_OPERATIONS && work->ok; i++) {
        struct slice key = row_model_random_key(work->model, &random, &buffer);
        uint64_t lsn_max = test_random_below(&random, 2) ? UINT64_MAX : test_random_below(&random, 5000);
        work->ok = get_agrees(work, key, lsn_max, i % 3 ? 0 : SEGMENT_LSN_ONLY);
        if (i % 100 == 0) work->ok = work->ok && scan_agrees(work, test_random_below(&random, work->model->count));
    }
    buffer_deinit(&buffer);
    segment_unref(work->segment);
    return NULL;
}

/* As the manifest has it once the segment was open. */
static void open_lazily(struct fixture *f, struct segment **segment) {
    struct plinth_error error;
    assert_ok(segment_open_lazily(&f->store.base, f->cache, segment_info(f->segment), segment, &error), &error);
}

static void a_segment_that_is_opened_lazily_is_read_when_it_is_asked(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 500, .keys = 400, .key_bytes_max = 12, .value_bytes_max = 60, .lsn_first = 10};
    fill(&f.model, &shape, 32);
    struct segment_options options = options_of(SEGMENT_LZ4);
    fixture_open(&f, &options, false, 1 << 20);
    struct segment *segment;
    struct segment_hit hit;
    struct iterator *it;
    struct plinth_error error;
    uint64_t calls = f.store.calls;
    open_lazily(&f, &segment);
    struct slice key = f.model.rows[250].key, behind = slice_of_string("\xff\xff\xff\xff\xff\xff\xff\xff");
    uint64_t hash = hash_stable(key.data, key.size);
    /* What the manifest can tell, and what nobody may wait for. */
    assert_int_equal(segment_info(segment)->rows, f.model.count);
    assert_status(segment_get(segment, behind, 0, UINT64_MAX, 0, &hit, &error), PLINTH_NOT_FOUND, NULL);
    assert_status(segment_get(segment, key, hash, 9, 0, &hit, &error), PLINTH_NOT_FOUND, NULL);
    assert_status(segment_get(segment, key, hash, UINT64_MAX, SEGMENT_MEMORY_ONLY, &hit, &error), PLINTH_WOULD_BLOCK,
                  NULL);
    assert_status(segment_iterator_open_in_memory(segment, &it, &error), PLINTH_WOULD_BLOCK, NULL);
    assert_true(segment_memory_bytes(segment) < segment_memory_bytes(f.segment));
    assert_int_equal(f.store.calls, calls);
    /* A failure is of the moment. */
    for (uint64_t failing = 1; failing < 4; failing++) {
        f.store.failing_call = f.store.calls + failing;
        assert_status(segment_get(segment, key, hash, UINT64_MAX, 0, &hit, &error), PLINTH_IO_ERROR, &error);
        assert_error_names(&error, f.info.name);
    }
    f.store.failing_call = 0;
    assert_get(segment, &f.model, key, UINT64_MAX, 0);
    assert_get(segment, &f.model, key, UINT64_MAX, SEGMENT_MEMORY_ONLY);
    segment_unref(segment);
    /* Without a checksum or bounds to compare with, it is read at once. */
    calls = f.store.calls;
    assert_ok(segment_open_lazily(&f.store.base, f.cache, &f.info, &segment, &error), &error);
    assert_true(f.store.calls > calls);
    segment_unref(segment);
    fixture_close(&f);
}

static void threads_read_one_segment_through_a_small_cache(void **state) {
    (void)state;
    struct fixture f;
    struct row_shape shape = {.rows = 5000, .keys = 4000, .key_bytes_max = 12, .value_bytes_max = 60, .lsn_first = 1};
    fill(&f.model, &shape, 31);
    struct segment_options options = options_of(SEGMENT_LZ4);
    options.stripe_rows = 64;
    fixture_open(&f, &options, true, 100000); /* holds about a quarter */
    pthread_t threads[THREADS];
    struct work work[THREADS];
    struct segment *segment;
    open_lazily(&f, &segment); /* they load it, too */
    for (uint64_t i = 0; i < THREADS; i++) {
        work[i] = (struct work){segment_ref(segment), &f.model, 100 + i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_segment, &work[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) assert_true(work[i].ok);
    struct page_cache_stats stats;
    page_cache_stats(f.cache, &stats);
    assert_true(stats.evictions > 0);
    assert_in_range(stats.bytes, 1, 100000);
    segment_unref(segment);
    fixture_close(&f);
}

/* ---- runs ---- */

static void runs_agree_with_a_sorted_array(void **state) {
    (void)state;
    enum { SEGMENTS = 5 };
    struct row_shape shape = {
        .rows = 4000, .keys = 1500, .key_bytes_max = 10, .value_bytes_max = 20, .delete_percent = 10, .lsn_first = 50};
    struct row_model all, parts[SEGMENTS];
    fill(&all, &shape, 21);
    size_t next = 0;
    struct memory_store store;
    memory_store_init(&store, true);
    struct plinth_error error;
    struct page_cache *cache;
    assert_ok(page_cache_create(1 << 20, &cache, &error), &error);
    struct segment *segments[SEGMENTS];
    uint64_t bytes = 0;
    for (size_t s = 0; s < SEGMENTS; s++) {
        row_model_init(&parts[s]);
        size_t end = s + 1 == SEGMENTS ? all.count : all.count * (s + 1) / SEGMENTS;
        while (next < end || (next < all.count && next > 0 && slice_equal(all.rows[next].key, all.rows[next - 1].key)))
            row_model_add(&parts[s], &all.rows[next++]);
        char name[40];
        snprintf(name, sizeof name, "segments/7/%zu.parquet", s);
        struct segment_options options = options_of(SEGMENT_LZ4);
        struct segment_info info;
        write_segment(&store.base, name, &parts[s], &options, &info);
        assert_ok(segment_open(&store.base, cache, &info, &segments[s], &error), &error);
        bytes += info.bytes;
        segment_info_deinit(&info);
    }
    struct segment *swapped[] = {segment_ref(segments[1]), segment_ref(segments[0])};
    struct run *run;
    assert_status(run_create(swapped, 2, &run, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "segments/7/0.parquet");
    assert_error_names(&error, "segments/7/1.parquet");

    assert_ok(run_create(segments, SEGMENTS, &run, &error), &error);
    assert_int_equal(run_segment_count(run), SEGMENTS);
    assert_int_equal(run_rows(run), all.count);
    assert_int_equal(run_bytes(run), bytes);
    assert_int_equal(run_lsn_max(run), 50 + 4000 - 1);
    struct test_random random = test_random_of(22);
    for (int lsn_only = 0; lsn_only < 2; lsn_only++) {
        struct iterator *it;
        assert_ok(run_iterator_open(run, lsn_only, &it, &error), &error);
        assert_iterator_scans(it, &all, lsn_only);
        assert_iterator_agrees(it, &all, &random, 10000, lsn_only);
        iterator_close(it);
    }
    struct buffer buffer = BUFFER_INIT;
    for (size_t i = 0; i < 10000; i++) {
        struct slice key = row_model_random_key(&all, &random, &buffer);
        uint64_t lsn_max = test_random_below(&random, 2) ? UINT64_MAX : test_random_below(&random, 4100);
        struct segment_hit hit;
        const struct row *wanted = row_model_get(&all, key, lsn_max);
        enum plinth_status st = run_get(run, key, hash_stable(key.data, key.size), lsn_max, 0, &hit, &error);
        assert_status(st, wanted ? PLINTH_OK : PLINTH_NOT_FOUND, &error);
        if (wanted) assert_row_equal(&hit.row, wanted, false);
        segment_hit_release(&hit);
    }
    buffer_deinit(&buffer);
    run_unref(run);
    page_cache_destroy(cache);
    for (size_t s = 0; s < SEGMENTS; s++) row_model_deinit(&parts[s]);
    row_model_deinit(&all);
    memory_store_deinit(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_of_all_kinds_agree_with_a_sorted_array),
        cmocka_unit_test(versions_of_one_key_may_straddle_stripes),
        cmocka_unit_test(a_segment_of_one_row_works),
        cmocka_unit_test(index_tables_have_keys_only),
        cmocka_unit_test(the_largest_keys_and_values_come_back),
        cmocka_unit_test(several_row_groups_are_one_segment),
        cmocka_unit_test(memory_only_reads_say_when_they_would_block),
        cmocka_unit_test(bloom_filters_spare_most_reads_of_missing_keys),
        cmocka_unit_test(a_writer_refuses_rows_out_of_order_and_empty_segments),
        cmocka_unit_test(info_encodes_and_decodes_and_refuses_cut_bytes),
        cmocka_unit_test(info_of_an_older_version_decodes),
        cmocka_unit_test(info_keeps_kind_and_partition),
        cmocka_unit_test(open_refuses_a_segment_that_is_not_the_manifests),
        cmocka_unit_test(flipped_bits_are_found_and_never_crash),
        cmocka_unit_test(cut_objects_are_corrupt),
        cmocka_unit_test(every_failing_store_call_is_an_error_that_leaks_nothing),
        cmocka_unit_test(a_segment_that_is_opened_lazily_is_read_when_it_is_asked),
        cmocka_unit_test(threads_read_one_segment_through_a_small_cache),
        cmocka_unit_test(runs_agree_with_a_sorted_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
