/* Queries while rows are written, flushed and merged: each one sees whole writes. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"
#include "query_table.h"

enum { WRITES_MIN = 60, READS_MIN = 60, READERS = 2 };

/* Every write sets all slots of a host to one value, atomically. */
struct race {
    struct query_table table;
    atomic_bool stop;
    atomic_uint reads;
};

static void *write_hosts(void *argument) {
    struct race *race = argument;
    struct test_random random = test_random_of(1);
    struct row_writer writer;
    row_writer_init(&writer);
    for (uint64_t i = 0; i < WRITES_MIN || atomic_load(&race->reads) < READS_MIN; i++) {
        uint32_t host = (uint32_t)test_random_below(&random, HOSTS);
        for (uint32_t slot = 0; slot < SLOTS; slot++) row_writer_add(&writer, host, slot, i * 9 + 1);
        row_writer_submit(&writer, &race->table, ROWS_UPSERT, true);
    }
    row_writer_deinit(&writer);
    atomic_store(&race->stop, true);
    return NULL;
}

static void *flush_and_merge(void *argument) {
    struct race *race = argument;
    struct plinth_error error;
    for (unsigned i = 0; !atomic_load(&race->stop); i++) {
        assert_ok(i % 4 == 3 ? plinth_compact(race->table.db, &error) : plinth_flush(race->table.db, &error), &error);
        usleep(5000);
    }
    return NULL;
}

/* Rows of a query; `each` is called for every batch. */
static uint64_t run_query(struct race *race, const struct query_options *options,
                          void (*each)(const struct batch *batch)) {
    struct query *query;
    struct batch *batch = NULL;
    struct plinth_error error;
    uint64_t rows = 0;
    assert_ok(query_open(race->table.db, race->table.schema, options, &query, &error), &error);
    do {
        batch_unref(batch);
        assert_ok(query_next(query, &batch, &error), &error);
        if (batch) rows += batch->rows;
        if (batch && each) each(batch);
    } while (batch);
    query_close(query);
    return rows;
}

/* host, count, min(value), max(value) */
static void check_hosts(const struct batch *batch) {
    assert_int_equal(batch->rows, HOSTS);
    for (uint32_t row = 0; row < batch->rows; row++) {
        assert_int_equal(((const int64_t *)batch->columns[1].values)[row], SLOTS);
        assert_int_equal(((const int64_t *)batch->columns[2].values)[row],
                         ((const int64_t *)batch->columns[3].values)[row]);
    }
}

static void *read_all(void *argument) {
    struct race *race = argument;
    struct arena arena;
    static const struct slice host = {(const uint8_t *)"host", 4};
    static const struct query_aggregate functions[] = {{AGGREGATE_COUNT, {NULL, 0}},
                                                       {AGGREGATE_MIN, {(const uint8_t *)"value", 5}},
                                                       {AGGREGATE_MAX, {(const uint8_t *)"value", 5}}};
    static const char *const paths[] = {"", "scan", "by_value"};
    arena_init(&arena);
    for (unsigned i = 0; !atomic_load(&race->stop); i++) {
        arena_reset(&arena);
        struct query_options groups = {.aggregates = functions,
                                       .aggregate_count = 3,
                                       .group_by = &host,
                                       .group_by_count = 1,
                                       .threads = 1 + i % 2};
        run_query(race, &groups, check_hosts);
        struct query_options scan = {.threads = 1 + i % 3, .ordered = i % 2, .batch_rows = 30};
        assert_int_equal(run_query(race, &scan, NULL), HOSTS * SLOTS);
        char where[64];
        snprintf(where, sizeof where, "value = %u", (i % WRITES_MIN * 9 + 1) % 500);
        struct query_options by_value = {.predicate = parse_where(&arena, where),
                                         .force_path = slice_of_string(paths[i % 3])};
        assert_int_equal(run_query(race, &by_value, NULL) % SLOTS, 0);
        struct literal key[2] = {{.kind = LITERAL_TEXT, .bytes = slice_of_string("host03")},
                                 {.kind = LITERAL_TEXT, .bytes = slice_of_string("2023-11-14 22:21:00")}};
        struct batch *row;
        struct plinth_error error;
        assert_ok(query_get_row(race->table.db, race->table.schema, key, 2, NULL, 0, NULL, &row, NULL, &error), &error);
        assert_non_null(row);
        batch_unref(row);
        atomic_fetch_add(&race->reads, 1);
    }
    arena_deinit(&arena);
    return NULL;
}

static void every_query_sees_whole_writes(void **state) {
    (void)state;
    struct race *race = calloc(1, sizeof *race);
    struct plinth_error error;
    pthread_t writer, merger, readers[READERS];
    assert_non_null(race);
    query_table_open(&race->table, false, 0, true);
    struct row_writer first;
    row_writer_init(&first);
    for (uint32_t host = 0; host < HOSTS; host++)
        for (uint32_t slot = 0; slot < SLOTS; slot++) row_writer_add(&first, host, slot, 1);
    row_writer_submit(&first, &race->table, ROWS_UPSERT, true);
    row_writer_deinit(&first);
    assert_ok(thread_start(&writer, "writer", write_hosts, race, &error), &error);
    assert_ok(thread_start(&merger, "merger", flush_and_merge, race, &error), &error);
    for (int i = 0; i < READERS; i++) assert_ok(thread_start(&readers[i], "reader", read_all, race, &error), &error);
    pthread_join(writer, NULL);
    pthread_join(merger, NULL);
    for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    assert_true(atomic_load(&race->reads) >= READS_MIN);
    query_table_close(&race->table);
    free(race);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_query_sees_whole_writes)};
    return cmocka_run_group_tests_name("queries among writes", tests, NULL, NULL);
}
