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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_only_answers_from_memtable_and_cache_and_else_would_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
