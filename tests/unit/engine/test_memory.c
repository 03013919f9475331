/* The memory limit: how it is divided, and what gives way when it is reached. */
#include "engine/memory.h"

#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "support/table_support.h"

#define MIB (1ull << 20)

static struct memory_plan plan_of(uint64_t limit) {
    struct plinth_options options = {.memory_limit_bytes = limit};
    struct memory_plan plan;
    struct plinth_error error;
    assert_ok(memory_plan_make(&options, 0, 4, &plan, &error), &error);
    return plan;
}

static void the_shares_of_any_limit_fit_into_it(void **state) {
    (void)state;
    for (uint64_t limit = MEMORY_LIMIT_MIN; limit <= 64ull << 30; limit += limit / 7) {
        struct memory_plan plan = plan_of(limit);
        uint64_t sum = plan.reserve_bytes + (ENGINE_MEMTABLES_MAX + 1) * plan.memtable_bytes + plan.flush_bytes +
                       plan.merges_bytes + plan.queries_bytes + plan.cache_least;
        assert_true(sum <= limit);
        assert_true(plan.merges_max >= 1 && plan.merges_bytes == plan.merges_max * plan.merge_bytes);
        assert_true(plan.row_group_bytes >= MIB && plan.queries_bytes >= 8 * MIB);
    }
}

static void a_gibibyte_leaves_memtables_as_large_as_no_limit_does(void **state) {
    (void)state;
    assert_int_equal(plan_of(1ull << 30).memtable_bytes, 64 * MIB);
    assert_int_equal(plan_of(4ull << 30).memtable_bytes, 64 * MIB);
    assert_int_equal(plan_of(256 * MIB).memtable_bytes, 16 * MIB);
}

static void a_limit_that_is_not_given_is_half_of_the_machine(void **state) {
    (void)state;
    const struct plinth_options options = {0};
    struct memory_plan plan;
    struct plinth_error error;
    assert_ok(memory_plan_make(&options, 8ull << 30, 4, &plan, &error), &error);
    assert_int_equal(plan.limit, 4ull << 30);
    assert_int_equal(plan.cache_bytes, 256 * MIB);
    assert_ok(memory_plan_make(&options, 32 * MIB, 4, &plan, &error), &error);
    assert_int_equal(plan.limit, MEMORY_LIMIT_MIN);
}

static void parts_that_are_given_win_and_must_fit(void **state) {
    (void)state;
    struct plinth_options options = {
        .memory_limit_bytes = 256 * MIB, .memtable_bytes = 4 * MIB, .cache_bytes = 100 * MIB};
    struct memory_plan plan;
    struct plinth_error error;
    assert_ok(memory_plan_make(&options, 0, 2, &plan, &error), &error);
    assert_int_equal(plan.memtable_bytes, 4 * MIB);
    assert_int_equal(plan.cache_bytes, 100 * MIB);
    options.cache_bytes = 200 * MIB;
    assert_int_equal(memory_plan_make(&options, 0, 2, &plan, &error), PLINTH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "cache"));
    options = (struct plinth_options){.memory_limit_bytes = 256 * MIB, .memtable_bytes = 64 * MIB};
    assert_int_equal(memory_plan_make(&options, 0, 2, &plan, &error), PLINTH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "memtables"));
    options = (struct plinth_options){.memory_limit_bytes = MIB};
    assert_int_equal(memory_plan_make(&options, 0, 2, &plan, &error), PLINTH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "too small"));
}

/* ---- an engine ---- */

struct fixture {
    char directory[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
};

static void open_limited(struct fixture *f, uint64_t limit) {
    const struct plinth_options options = {.memory_limit_bytes = limit, .no_background_compaction = true};
    struct plinth_error error;
    test_directory_create(f->directory);
    assert_ok(plinth_open(f->directory, &options, &f->db, &error), &error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &error), &error);
}

static void close_and_remove(struct fixture *f) {
    plinth_close(f->db);
    test_directory_remove(f->directory);
}

static enum plinth_status set(struct fixture *f, unsigned number, size_t size, struct plinth_error *error) {
    static uint8_t value[200 << 10];
    const struct plinth_write_options buffered = {.durability = PLINTH_DURABILITY_BUFFERED};
    char key[16];
    memset(value, (int)number, size);
    snprintf(key, sizeof key, "%08u", number);
    return plinth_set(f->db, f->space, plinth_text(key), plinth_bytes(value, size), &buffered, NULL, error);
}

static void memtables_that_a_reader_holds_are_counted_until_it_ends(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    struct plinth_stats stats;
    struct plinth_scan *scan;
    open_limited(&f, MEMORY_LIMIT_MIN);
    for (unsigned i = 0; i < 4; i++) assert_ok(set(&f, i, 200 << 10, &error), &error);
    assert_ok(plinth_scan_open(f.db, f.space, NULL, &scan, &error), &error);
    assert_ok(plinth_flush(f.db, &error), &error);
    plinth_stats_read(f.db, &stats);
    assert_true(stats.memory.memtable_bytes >= 4 * (200 << 10));
    plinth_scan_close(scan);
    plinth_stats_read(f.db, &stats);
    assert_true(stats.memory.memtable_bytes < 4 * (200 << 10));
    assert_int_equal(stats.memory.limit_bytes, MEMORY_LIMIT_MIN);
    close_and_remove(&f);
}

static void writers_are_refused_when_readers_hold_what_is_left(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    struct plinth_scan *scans[64];
    enum plinth_status st = PLINTH_OK;
    unsigned opened = 0, number = 0;
    open_limited(&f, MEMORY_LIMIT_MIN);
    f.db->sizes.readers_wait_ns = 200 * 1000 * 1000;
    while (!st && opened < 64) { /* each holds a memtable of its own */
        for (unsigned i = 0; !st && i < 8; i++) st = set(&f, number++, 200 << 10, &error);
        if (st) break;
        assert_ok(plinth_scan_open(f.db, f.space, NULL, &scans[opened++], &error), &error);
        assert_ok(plinth_flush(f.db, &error), &error);
    }
    assert_int_equal(st, PLINTH_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "memory limit of 201326592"));
    while (opened) plinth_scan_close(scans[--opened]);
    assert_ok(set(&f, number, 200 << 10, &error), &error);
    close_and_remove(&f);
}

static void entries_of_the_active_memtable_do_not_keep_writers_out(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    struct plinth_stats stats;
    struct memtable_blocks blocks;
    struct iterator *it;
    const struct table_schema *schema;
    static const char *const columns[] = {"v"};
    const struct plinth_index index = {
        .name = "by_v", .kind = PLINTH_INDEX_SORTED, .columns = columns, .column_count = 1};
    open_limited(&f, MEMORY_LIMIT_MIN);
    f.db->sizes.readers_wait_ns = 200 * 1000 * 1000;
    test_table_create(f.db, "t", "k int64, v int64", "k", false);
    assert_ok(plinth_table_index_create(f.db, NULL, "t", &index, &error), &error);
    assert_ok(plinth_flush(f.db, &error), &error);
    assert_ok(test_rows_write(f.db, "t", ROWS_UPSERT, "k int64, v int64", "1,2;3,4", NULL, NULL, &error), &error);
    assert_ok(engine_schema_by_id(f.db, test_table_id(f.db, "t").table, &schema, &error), &error);
    memtable_blocks(f.db->active, schema->id, &blocks);
    assert_int_equal(blocks.count, 1);
    assert_ok(row_block_index_iterator(blocks.blocks[0], schema, &schema->indexes[0], &it, &error), &error);
    iterator_close(it);
    memtable_blocks_release(&blocks);
    table_schema_unref(schema);
    plinth_stats_read(f.db, &stats); /* sees the entries; with many more rows they are as much as the limit leaves */
    f.db->memory.plan.written_bytes = atomic_load(&f.db->memory.entries_bytes);
    assert_true(f.db->memory.plan.written_bytes > 0);
    assert_int_equal(atomic_load(&f.db->memory.cut_bytes), 0);
    assert_ok(test_rows_write(f.db, "t", ROWS_UPSERT, "k int64, v int64", "5,6", NULL, NULL, &error), &error);
    assert_int_equal(atomic_load(&f.db->memory.entries_bytes), 0);
    test_table_check(f.db, "t", "1,2;3,4;5,6");
    close_and_remove(&f);
}

static void queries_get_no_more_than_their_share(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    struct plinth_stats stats;
    open_limited(&f, MEMORY_LIMIT_MIN);
    uint64_t share = f.db->memory.plan.queries_bytes;
    assert_ok(engine_take_query_memory(f.db, share, &error), &error);
    assert_int_equal(engine_take_query_memory(f.db, 1, &error), PLINTH_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "memory limit of 201326592"));
    plinth_stats_read(f.db, &stats);
    assert_int_equal(stats.memory.query_bytes, share);
    engine_give_query_memory(f.db, share);
    assert_ok(engine_take_query_memory(f.db, 1, &error), &error);
    engine_give_query_memory(f.db, 1);
    close_and_remove(&f);
}

static void a_merge_waits_until_it_is_cancelled_or_there_is_memory(void **state) {
    (void)state;
    struct fixture f;
    struct plinth_error error;
    open_limited(&f, MEMORY_LIMIT_MIN);
    unsigned most = f.db->memory.plan.merges_max;
    const atomic_bool cancelled = true;
    for (unsigned i = 0; i < most; i++) assert_ok(engine_take_merge_memory(f.db, NULL, &error), &error);
    assert_int_equal(engine_take_merge_memory(f.db, &cancelled, &error), PLINTH_CANCELLED);
    engine_give_merge_memory(f.db);
    assert_ok(engine_take_merge_memory(f.db, &cancelled, &error), &error);
    for (unsigned i = 0; i < most; i++) engine_give_merge_memory(f.db);
    close_and_remove(&f);
}

static void the_cache_gives_way_to_the_others(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their own memory is resident, too */
#endif
    struct fixture f;
    struct plinth_error error;
    struct plinth_buffer value = {0};
    struct plinth_stats stats;
    open_limited(&f, 256 * MIB);
    for (unsigned i = 0; i < 200; i++) assert_ok(set(&f, i, 200 << 10, &error), &error);
    assert_ok(plinth_flush(f.db, &error), &error);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "%08u", i);
        assert_ok(plinth_get(f.db, f.space, plinth_text(key), NULL, &value, NULL, &error), &error);
    }
    plinth_stats_read(f.db, &stats);
    assert_true(stats.memory.cache_bytes > 20 * MIB);
    atomic_fetch_add(&f.db->memory.query_bytes, f.db->memory.plan.limit);
    engine_balance_memory(f.db);
    plinth_stats_read(f.db, &stats);
    assert_true(stats.memory.cache_bytes <= f.db->memory.plan.cache_least);
    atomic_fetch_sub(&f.db->memory.query_bytes, f.db->memory.plan.limit);
    plinth_buffer_deinit(&value);
    close_and_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shares_of_any_limit_fit_into_it),
        cmocka_unit_test(a_gibibyte_leaves_memtables_as_large_as_no_limit_does),
        cmocka_unit_test(a_limit_that_is_not_given_is_half_of_the_machine),
        cmocka_unit_test(parts_that_are_given_win_and_must_fit),
        cmocka_unit_test(memtables_that_a_reader_holds_are_counted_until_it_ends),
        cmocka_unit_test(writers_are_refused_when_readers_hold_what_is_left),
        cmocka_unit_test(entries_of_the_active_memtable_do_not_keep_writers_out),
        cmocka_unit_test(queries_get_no_more_than_their_share),
        cmocka_unit_test(a_merge_waits_until_it_is_cancelled_or_there_is_memory),
        cmocka_unit_test(the_cache_gives_way_to_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
