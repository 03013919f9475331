/* Look-ups of rows that may not read the disk. */
#include "query_table.h"

static enum plinth_status get(struct query_table *table, struct literal *key, bool memory_only, struct batch **batch) {
    const struct plinth_read_options read = {.memory_only = memory_only};
    struct plinth_position version;
    return query_get_row(table->db, table->schema, key, 2, NULL, 0, &read, batch, &version, &table->error);
}

/* The key of the row that was written last, from its writer. */
static void key_of(struct row_writer *writer, struct buffer texts[2], struct literal key[2]) {
    for (int i = 0; i < 2; i++) {
        struct column column = column_builder_view(&writer->builders[i]);
        assert_true(column_format(&texts[i], &column, 0));
        key[i] = (struct literal){.kind = LITERAL_TEXT, .bytes = buffer_slice(&texts[i])};
    }
}

static void memory_only_answers_from_memtable_and_cache_and_else_would_block(void **state) {
    (void)state;
    struct query_table table;
    struct row_writer writer;
    struct buffer texts[2] = {BUFFER_INIT, BUFFER_INIT};
    struct literal key[2];
    struct batch *batch;
    query_table_open(&table, false, 0, false);
    row_writer_init(&writer);
    row_writer_add(&writer, 3, 5, 77);
    key_of(&writer, texts, key);
    row_writer_submit(&writer, &table, ROWS_UPSERT, false);

    assert_ok(get(&table, key, true, &batch), &table.error);
    assert_non_null(batch);
    batch_unref(batch);

    assert_ok(plinth_flush(table.db, &table.error), &table.error);
    assert_int_equal(get(&table, key, true, &batch), PLINTH_WOULD_BLOCK);
    assert_null(batch);
    assert_ok(get(&table, key, false, &batch), &table.error);
    assert_non_null(batch);
    batch_unref(batch);
    assert_ok(get(&table, key, true, &batch), &table.error);
    assert_non_null(batch);
    assert_int_equal(batch->rows, 1);
    batch_unref(batch);

    row_writer_deinit(&writer);
    for (int i = 0; i < 2; i++) buffer_deinit(&texts[i]);
    query_table_close(&table);
}

/* Rows by index, with and without the disk: PLINTH_OK and the same lines, or PLINTH_WOULD_BLOCK. */
static enum plinth_status by_index(struct query_table *table, const char *where, bool disk_first) {
    struct arena arena;
    struct lines memory = {0}, whole = {0};
    struct query_explain explain;
    arena_init(&arena);
    struct query_options options = {.predicate = parse_where(&arena, where), .force_path = slice_of_string("by_value")};
    if (disk_first) assert_ok(lines_of_query(table, &options, &whole, &explain), &table->error);
    options.read.memory_only = true;
    enum plinth_status st = lines_of_query(table, &options, &memory, &explain);
    options.read.memory_only = false;
    if (!disk_first) assert_ok(lines_of_query(table, &options, &whole, &explain), &table->error);
    if (!st) assert_lines(&memory, &whole, where);
    if (!st) assert_true(whole.count > 0);
    lines_deinit(&memory);
    lines_deinit(&whole);
    arena_deinit(&arena);
    return st;
}

static void look_ups_by_index_read_no_disk_when_they_must_not(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(31);
    struct row_writer writer;
    query_table_open(&table, false, 0, true);
    query_table_upsert(&table, &random, 2000);
    row_writer_init(&writer);
    for (uint32_t i = 0; i < 100; i++) row_writer_add(&writer, i % HOSTS, i, 777);
    row_writer_submit(&writer, &table, ROWS_UPSERT, false);
    assert_int_equal(by_index(&table, "value = 277", false), PLINTH_OK); /* the memtable has them all */

    assert_ok(plinth_flush(table.db, &table.error), &table.error);
    assert_int_equal(by_index(&table, "value = 277", false), PLINTH_WOULD_BLOCK);
    assert_int_equal(by_index(&table, "value = 277", true), PLINTH_OK); /* cached by now */

    for (uint32_t i = 0; i < 10; i++) row_writer_add(&writer, i % HOSTS, i, 778); /* entries of the run are dead */
    row_writer_submit(&writer, &table, ROWS_UPSERT, false);
    query_table_delete(&table, &random, 300);
    assert_int_equal(by_index(&table, "value = 277", true), PLINTH_OK);
    assert_int_equal(by_index(&table, "value = 278", true), PLINTH_OK);
    assert_ok(plinth_flush(table.db, &table.error), &table.error);
    assert_int_equal(by_index(&table, "value = 277", true), PLINTH_OK); /* two runs, or their merge */

    /* Much, and what is no look-up, belongs elsewhere. */
    assert_int_equal(by_index(&table, "value >= 0", true), PLINTH_WOULD_BLOCK);
    struct arena arena;
    struct query *query;
    arena_init(&arena);
    struct query_options options = {.predicate = parse_where(&arena, "value = 277"), .read.memory_only = true};
    assert_int_equal(query_open(table.db, table.schema, &options, &query, &table.error), PLINTH_WOULD_BLOCK);
    options.force_path = slice_of_string("tag_bits");
    assert_int_equal(query_open(table.db, table.schema, &options, &query, &table.error), PLINTH_WOULD_BLOCK);
    arena_deinit(&arena);
    row_writer_deinit(&writer);
    query_table_close(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_only_answers_from_memtable_and_cache_and_else_would_block),
        cmocka_unit_test(look_ups_by_index_read_no_disk_when_they_must_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
