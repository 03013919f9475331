/* Queries over an engine: every access path gives the rows that a filter over all rows gives, in every state. */
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "query_table.h"

static const char *const hosts[] = {"host03", "host07", "host10", "nowhere"};
static const char *const times[] = {"2023-11-14 22:21:00", "2023-11-14 23:10:00", "2023-11-15 01:16:00"};

/* Conditions of the kinds that the paths are made for, and others. */
static void make_where(struct test_random *random, char text[512]) {
    const char *host = hosts[test_random_below(random, 4)], *time = times[test_random_below(random, 3)];
    unsigned number = (unsigned)test_random_below(random, 500), tag = (unsigned)test_random_below(random, 7);
    static const char *const words[] = {"alpha", "gamma 7", "beta delta", "omega"};
    const char *word = words[test_random_below(random, 4)];
    switch (test_random_below(random, 18)) {
    case 0: snprintf(text, 512, "host = '%s'", host); break;
    case 1: snprintf(text, 512, "host = '%s' AND at = '%s'", host, time); break;
    case 2: snprintf(text, 512, "host IN ('%s', 'host00', 'host11') AND at >= '%s'", host, time); break;
    case 3: snprintf(text, 512, "host > '%s' AND flag", host); break;
    case 4: snprintf(text, 512, "host LIKE 'host0%%' AND value < %u", number); break;
    case 5: snprintf(text, 512, "value = %u", number); break;
    case 6: snprintf(text, 512, "value BETWEEN %u AND %u", number, number + 20); break;
    case 7: snprintf(text, 512, "value IN (%u, %u, %u) OR host = '%s'", number, number + 1, number + 7, host); break;
    case 8: snprintf(text, 512, "tag = 'tag%u'", tag); break;
    case 9: snprintf(text, 512, "tag = 'tag%u' AND at > '%s' AND value > 100", tag, time); break;
    case 10: snprintf(text, 512, "tag IS NULL AND value IS NOT NULL"); break;
    case 11: snprintf(text, 512, "tag IN ('tag1', 'tag%u') AND NOT flag", tag); break;
    case 12: snprintf(text, 512, "note @@ '%s'", word); break;
    case 13: snprintf(text, 512, "note @@ '%s' AND flag = false AND tag <> 'tag%u'", word, tag); break;
    case 14: snprintf(text, 512, "flag IS NULL OR value > %u", number); break;
    case 15: snprintf(text, 512, "value > 600"); break;
    case 16: snprintf(text, 512, "NOT (host = '%s' OR tag = 'tag%u')", host, tag); break;
    default: snprintf(text, 512, "at < '%s' AND tag LIKE 'tag%%'", time); break;
    }
}

/* The rows of a batch for which the condition is true, as lines. */
static void lines_of_model(const struct query_table *table, const struct batch *rows, const struct predicate *unbound,
                           struct lines *lines) {
    struct arena arena;
    struct plinth_error error;
    struct predicate_column columns[TABLE_COLUMNS];
    const struct column *values[TABLE_COLUMNS];
    const struct predicate *bound = NULL;
    arena_init(&arena);
    for (uint32_t c = 0; c < TABLE_COLUMNS; c++) {
        const struct table_column *column = &table->schema->columns[c];
        columns[c] = (struct predicate_column){slice_of_string(column->name), column->type};
        values[c] = &rows->columns[c];
    }
    if (unbound) assert_ok(predicate_bind(unbound, columns, TABLE_COLUMNS, &arena, &bound, &error), &error);
    for (uint32_t row = 0; row < rows->rows; row++)
        if (!bound || predicate_evaluate_row(bound, values, row) == TRUTH_TRUE) lines_add(lines, rows, row, NULL, 0);
    arena_deinit(&arena);
}

static uint32_t paths_taken[8]; /* how often each forced path could be taken, over all tests */
static unsigned turn;           /* forced paths take the orders in turn */

/* One condition by every path that can answer it, over some numbers of threads and in every order. */
static void check_where(struct query_table *table, const char *where, const struct batch *rows,
                        const struct plinth_read_options *read) {
    static const char *const paths[] = {"", "scan", "key", "by_value", "by_tag", "tag_bits", "flag_bits", "note_words"};
    struct arena arena;
    arena_init(&arena);
    const struct predicate *predicate = where ? parse_where(&arena, where) : NULL;
    struct lines wanted = {0};
    lines_of_model(table, rows, predicate, &wanted);
    for (unsigned path = 0; path < sizeof paths / sizeof *paths; path++)
        for (unsigned form = 0; form < 3; form++) { /* as it comes, ordered, reverse */
            if (path && form != (turn + path) % 3) continue;
            struct query_options options = {.predicate = predicate,
                                            .ordered = form > 0,
                                            .reverse = form == 2,
                                            .force_path = slice_of_string(paths[path]),
                                            .threads = 1 + (path + form * 2) % 4,
                                            .batch_rows = form == 1 ? 100 : 0};
            if (read) options.read = *read;
            char what[700];
            struct lines got = {0}, sorted = {0};
            enum plinth_status st = lines_of_query(table, &options, &got, NULL);
            snprintf(what, sizeof what, "%s, path \"%s\", form %u", where ? where : "all", paths[path], form);
            if (st == PLINTH_INVALID_ARGUMENT && path > 1) {
                assert_error_names(&table->error, paths[path]);
                continue;
            }
            assert_ok(st, &table->error);
            paths_taken[path]++;
            if (form == 2) lines_reverse(&got);
            if (form) {
                assert_lines(&got, &wanted, what);
            } else {
                lines_of_model(table, rows, predicate, &sorted);
                lines_sort(&sorted);
                lines_sort(&got);
                assert_lines(&got, &sorted, what);
            }
            lines_deinit(&got);
            lines_deinit(&sorted);
        }
    turn++;
    lines_deinit(&wanted);
    arena_deinit(&arena);
}

static void check_state(struct query_table *table, struct test_random *random, const struct model *model,
                        const struct plinth_read_options *read) {
    char where[512];
    struct batch *rows = model_rows(table, model);
    check_where(table, NULL, rows, read);
    for (int i = 0; i < 5; i++) {
        make_where(random, where);
        check_where(table, where, rows, read);
    }
    batch_unref(rows);
}

static void check_through_states(bool keyless, uint64_t partition_us, bool indexed, uint64_t seed) {
    struct query_table table;
    struct test_random random = test_random_of(seed);
    struct plinth_snapshot *snapshot = NULL;
    struct model held = {0};
    query_table_open(&table, keyless, partition_us, indexed);
    check_state(&table, &random, &table.model, NULL); /* empty */
    for (int step = 0; step < 12; step++) {
        query_table_upsert(&table, &random, 1 + (uint32_t)test_random_below(&random, step % 3 ? 100 : 900));
        if (!keyless && step % 2) query_table_delete(&table, &random, 50);
        if (step % 3 == 1) assert_ok(plinth_flush(table.db, &table.error), &table.error);
        if (step % 6 == 5) assert_ok(plinth_compact(table.db, &table.error), &table.error);
        check_state(&table, &random, &table.model, NULL);
        if (snapshot) {
            struct plinth_read_options read = {.snapshot = snapshot};
            if (step % 2) read = (struct plinth_read_options){.as_of = plinth_snapshot_position(snapshot)};
            check_state(&table, &random, &held, &read);
        }
        if (step % 4 == 2) {
            plinth_snapshot_destroy(snapshot);
            assert_ok(plinth_snapshot_create(table.db, (struct plinth_position){0}, &snapshot, &table.error),
                      &table.error);
            held = table.model;
        }
    }
    plinth_snapshot_destroy(snapshot);
    query_table_close(&table);
}

static const uint64_t HOUR_US = UINT64_C(3600000000);

static void every_path_gives_the_rows_of_a_table(void **state) {
    (void)state;
    check_through_states(false, 0, true, 1);
    check_through_states(false, 0, false, 2);
}
static void every_path_gives_the_rows_of_a_partitioned_table(void **state) {
    (void)state;
    check_through_states(false, HOUR_US, true, 3);
}
static void every_path_gives_the_rows_of_a_table_without_key(void **state) {
    (void)state;
    check_through_states(true, 0, true, 4);
}
static void every_path_gives_the_rows_of_a_partitioned_table_without_key(void **state) {
    (void)state;
    check_through_states(true, HOUR_US, true, 5);
}
static void every_forced_path_was_taken(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) assert_true(paths_taken[i] > 20);
}

/* ---- what comes out ---- */

static void columns_come_as_named(void **state) {
    (void)state;
    static const struct slice names[] = {
        {(const uint8_t *)"tag", 3}, {(const uint8_t *)"at", 2}, {(const uint8_t *)"tag", 3}};
    static const uint32_t chosen[] = {3, 1, 3};
    struct query_table table;
    struct test_random random = test_random_of(8);
    struct arena arena;
    arena_init(&arena);
    query_table_open(&table, false, 0, true);
    query_table_upsert(&table, &random, 500);
    struct batch *rows = model_rows(&table, &table.model);
    for (int flushed = 0; flushed < 2; flushed++) {
        struct query_options options = {
            .columns = names, .column_count = 3, .predicate = parse_where(&arena, "value > 250"), .ordered = true};
        struct lines got = {0}, wanted = {0};
        assert_ok(lines_of_query(&table, &options, &got, NULL), &table.error);
        for (uint32_t row = 0; row < rows->rows; row++)
            if (!column_is_null(&rows->columns[2], row) && ((const int64_t *)rows->columns[2].values)[row] > 250)
                lines_add(&wanted, rows, row, chosen, 3);
        assert_true(wanted.count > 20);
        assert_lines(&got, &wanted, "three columns");
        lines_deinit(&got);
        lines_deinit(&wanted);
        assert_ok(plinth_flush(table.db, &table.error), &table.error);
    }
    batch_unref(rows);
    arena_deinit(&arena);
    query_table_close(&table);
}

static void a_limit_gives_the_first_rows(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(9);
    struct arena arena;
    arena_init(&arena);
    query_table_open(&table, false, 0, true);
    query_table_upsert(&table, &random, 600);
    const struct predicate *predicate = parse_where(&arena, "value < 300");
    static const char *const paths[] = {"", "scan", "by_value"};
    for (int flushed = 0; flushed < 2; flushed++) {
        for (unsigned i = 0; i < 12; i++) {
            struct query_options options = {.predicate = predicate,
                                            .ordered = true,
                                            .reverse = i % 2,
                                            .threads = 1 + i % 3,
                                            .batch_rows = 10,
                                            .force_path = slice_of_string(paths[i % 3])};
            struct lines all = {0}, some = {0};
            assert_ok(lines_of_query(&table, &options, &all, NULL), &table.error);
            options.limit = 1 + i * 7;
            assert_ok(lines_of_query(&table, &options, &some, NULL), &table.error);
            assert_true(all.count > options.limit);
            assert_int_equal(some.count, options.limit);
            for (uint32_t row = some.count; row < all.count; row++) free(all.all[row]);
            all.count = some.count;
            assert_lines(&some, &all, "limit");
            lines_deinit(&all);
            lines_deinit(&some);
        }
        assert_ok(plinth_compact(table.db, &table.error), &table.error);
    }
    arena_deinit(&arena);
    query_table_close(&table);
}

/* count, count(value), sum(value), max(note) of each tag by hand. */
static void groups_of_model(const struct query_table *table, struct lines *lines) {
    static const char *const tags[] = {"null", "tag1", "tag2", "tag3", "tag4", "tag5"};
    struct batch *rows = model_rows(table, &table->model);
    for (uint32_t tag = 0; tag < 6; tag++) {
        int64_t count = 0, values = 0, sum = 0;
        struct slice greatest = {0};
        for (uint32_t row = 0; row < rows->rows; row++) {
            bool is_null = column_is_null(&rows->columns[3], row);
            if (tag ? is_null || !slice_equal(column_bytes_at(&rows->columns[3], row), slice_of_string(tags[tag]))
                    : !is_null)
                continue;
            count++;
            if (!column_is_null(&rows->columns[2], row)) {
                values++;
                sum += ((const int64_t *)rows->columns[2].values)[row];
            }
            if (column_is_null(&rows->columns[5], row)) continue;
            struct slice note = column_bytes_at(&rows->columns[5], row);
            if (slice_compare(note, greatest) > 0) greatest = note;
        }
        char line[200];
        assert_true(count > 0 && values > 0 && greatest.size);
        snprintf(line, sizeof line, "%s|%lld|%lld|%lld|%.*s|", tags[tag], (long long)count, (long long)values,
                 (long long)sum, (int)greatest.size, greatest.data);
        lines->all = realloc(lines->all, (lines->count + 1) * sizeof *lines->all);
        lines->all[lines->count++] = strdup(line);
    }
    batch_unref(rows);
}

static void groups_are_the_same_for_every_number_of_threads(void **state) {
    (void)state;
    static const struct slice tag = {(const uint8_t *)"tag", 3};
    static const struct query_aggregate functions[] = {{AGGREGATE_COUNT, {NULL, 0}},
                                                       {AGGREGATE_COUNT, {(const uint8_t *)"value", 5}},
                                                       {AGGREGATE_SUM, {(const uint8_t *)"value", 5}},
                                                       {AGGREGATE_MAX, {(const uint8_t *)"note", 4}}};
    struct query_table table;
    struct test_random random = test_random_of(10);
    query_table_open(&table, false, HOUR_US, true);
    for (int step = 0; step < 6; step++) {
        query_table_upsert(&table, &random, 400);
        if (step % 2) query_table_delete(&table, &random, 30);
        struct lines wanted = {0};
        groups_of_model(&table, &wanted);
        for (unsigned threads = 1; threads < 5; threads++) {
            struct lines got = {0};
            struct query_options options = {.aggregates = functions,
                                            .aggregate_count = 4,
                                            .group_by = &tag,
                                            .group_by_count = 1,
                                            .threads = threads};
            assert_ok(lines_of_query(&table, &options, &got, NULL), &table.error);
            assert_lines(&got, &wanted, "groups");
            lines_deinit(&got);
        }
        lines_deinit(&wanted);
        if (step % 3 == 1) assert_ok(plinth_flush(table.db, &table.error), &table.error);
        if (step == 4) assert_ok(plinth_compact(table.db, &table.error), &table.error);
    }
    query_table_close(&table);
}

static void a_key_space_is_a_table_of_two_columns(void **state) {
    (void)state;
    struct query_table table;
    struct plinth_space space;
    struct arena arena;
    arena_init(&arena);
    query_table_open(&table, false, 0, false);
    assert_ok(plinth_space_create(table.db, NULL, "keys", &space, &table.error), &table.error);
    for (unsigned i = 0; i < 300; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "key%04u", i);
        snprintf(value, sizeof value, "value%u", i % 10);
        assert_ok(plinth_set(table.db, space, plinth_text(key), plinth_text(value), NULL, NULL, &table.error),
                  &table.error);
        if (i == 150) assert_ok(plinth_flush(table.db, &table.error), &table.error);
        if (i % 50 == 49)
            assert_ok(plinth_delete(table.db, space, plinth_text(key), NULL, NULL, &table.error), &table.error);
    }
    table_schema_unref(table.schema);
    assert_ok(engine_find_schema(table.db, NULL, "keys", &table.schema, &table.error), &table.error);
    struct query_explain explain;
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        struct query_options options = {.predicate =
                                            parse_where(&arena, "key >= x'6b657930313030' AND key < x'6b657930313530'"),
                                        .ordered = true,
                                        .reverse = reverse};
        struct lines got = {0};
        assert_ok(lines_of_query(&table, &options, &got, &explain), &table.error);
        assert_string_equal(explain.path, "key");
        assert_int_equal(got.count, 49);
        if (reverse) lines_reverse(&got);
        assert_string_equal(got.all[0], "key0100|value0|");
        lines_deinit(&got);
    }
    struct literal key = {.kind = LITERAL_BYTES, .bytes = slice_of_string("key0007")};
    struct batch *batch;
    struct plinth_position version;
    assert_ok(query_get_row(table.db, table.schema, &key, 1, NULL, 0, NULL, &batch, &version, &table.error),
              &table.error);
    assert_true(slice_equal(column_bytes_at(&batch->columns[1], 0), slice_of_string("value7")));
    batch_unref(batch);
    key.bytes = slice_of_string("key0049");
    assert_ok(query_get_row(table.db, table.schema, &key, 1, NULL, 0, NULL, &batch, &version, &table.error),
              &table.error);
    assert_null(batch);
    arena_deinit(&arena);
    query_table_close(&table);
}

static void a_row_is_found_by_its_key(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(11);
    query_table_open(&table, false, HOUR_US, true);
    for (int step = 0; step < 4; step++) {
        query_table_upsert(&table, &random, 300);
        if (step % 2) query_table_delete(&table, &random, 60);
        if (step == 1) assert_ok(plinth_flush(table.db, &table.error), &table.error);
        if (step == 2) assert_ok(plinth_compact(table.db, &table.error), &table.error);
        for (uint32_t host = 0; host < HOSTS; host++)
            for (uint32_t slot = 0; slot < SLOTS; slot++) {
                struct row_writer writer;
                row_writer_init(&writer);
                const struct cell *cell = &table.model.cells[host][slot];
                row_writer_add(&writer, host, slot, cell->value);
                struct column at = column_builder_view(&writer.builders[1]);
                struct buffer text = BUFFER_INIT;
                assert_true(column_format(&text, &at, 0));
                char name[16];
                snprintf(name, sizeof name, "host%02u", host);
                struct literal key[2] = {{.kind = LITERAL_TEXT, .bytes = slice_of_string(name)},
                                         {.kind = LITERAL_TEXT, .bytes = buffer_slice(&text)}};
                struct batch *got, *wanted = column_builders_finish(writer.builders, TABLE_COLUMNS);
                struct plinth_position version;
                assert_ok(query_get_row(table.db, table.schema, key, 2, NULL, 0, NULL, &got, &version, &table.error),
                          &table.error);
                assert_int_equal(got != NULL, cell->there);
                if (got) {
                    struct lines one = {0}, other = {0};
                    assert_int_equal(got->rows, 1);
                    assert_true(version.lsn > 0);
                    lines_add(&one, got, 0, NULL, 0);
                    lines_add(&other, wanted, 0, NULL, 0);
                    assert_lines(&one, &other, "row");
                    lines_deinit(&one);
                    lines_deinit(&other);
                }
                batch_unref(got);
                batch_unref(wanted);
                buffer_deinit(&text);
                row_writer_deinit(&writer);
            }
    }
    query_table_close(&table);
}

/* ---- what is told of it ---- */

static void explain_tells_what_was_read(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(12);
    struct query_explain explain;
    struct arena arena;
    arena_init(&arena);
    query_table_open(&table, false, 0, true);
    for (int i = 0; i < 4; i++) query_table_upsert(&table, &random, 500);
    assert_ok(plinth_compact(table.db, &table.error), &table.error);
    struct lines lines = {0};

    struct query_options options = {.predicate = parse_where(&arena, "host = 'host05'")};
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_string_equal(explain.path, "key");
    assert_int_equal(explain.rows_matched, lines.count);
    assert_true(explain.rows_read >= lines.count && explain.rows_read <= lines.count + 32);
    assert_true(explain.rows_estimated >= lines.count && explain.rows_estimated < 4 * SLOTS);
    assert_true(explain.stripes <= lines.count / 16 + 2);
    assert_int_equal(explain.memory_rows, 0);
    assert_true(explain.bytes_read > 0);
    lines_deinit(&lines);

    options = (struct query_options){.predicate = parse_where(&arena, "at < '2023-11-14 22:21:00'"),
                                     .force_path = slice_of_string("scan")};
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_string_equal(explain.path, "scan");
    assert_int_equal(explain.segments, 1);
    assert_true(explain.stripes_skipped > 0 && explain.stripes_skipped < explain.stripes);
    lines_deinit(&lines);

    options = (struct query_options){.predicate = parse_where(&arena, "value = 123"),
                                     .force_path = slice_of_string("by_value")};
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_string_equal(explain.path, "index");
    assert_int_equal(explain.entries_read, lines.count);
    assert_int_equal(explain.entries_dead, 0);
    lines_deinit(&lines);

    query_table_upsert(&table, &random, 400); /* makes entries of the run dead */
    options.predicate = parse_where(&arena, "value >= 0");
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_int_equal(explain.entries_read - explain.entries_dead, lines.count);
    assert_true(explain.entries_dead > 0 && explain.memory_rows > 0);
    lines_deinit(&lines);

    options = (struct query_options){.explain_only = true};
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_int_equal(lines.count, 0);
    assert_int_equal(explain.rows_read, 0);
    assert_true(explain.rows_estimated >= HOSTS * SLOTS / 2);
    arena_deinit(&arena);
    query_table_close(&table);
}

static void a_bloom_filter_skips_stripes(void **state) {
    (void)state;
    struct query_table table;
    struct query_explain explain;
    struct arena arena;
    struct row_writer writer;
    arena_init(&arena);
    query_table_open(&table, false, 0, true);
    row_writer_init(&writer);
    for (uint32_t host = 0; host < HOSTS; host++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            row_writer_add(&writer, host, slot, (slot * HOSTS + host) * 2 + 1);
    row_writer_submit(&writer, &table, ROWS_UPSERT, false);
    row_writer_deinit(&writer);
    assert_ok(plinth_compact(table.db, &table.error), &table.error);
    struct lines lines = {0};
    struct query_options options = {.predicate = parse_where(&arena, "value = 250"),
                                    .force_path = slice_of_string("scan")};
    assert_ok(lines_of_query(&table, &options, &lines, &explain), &table.error);
    assert_int_equal(lines.count, 0); /* values are odd */
    assert_true(explain.stripes_skipped_by_bloom > 0);
    assert_int_equal(explain.stripes_skipped, explain.stripes);
    arena_deinit(&arena);
    query_table_close(&table);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    struct query_table table;
    struct arena arena;
    struct lines lines = {0};
    arena_init(&arena);
    query_table_open(&table, false, 0, true);
    const struct slice missing = slice_of_string("missing");
    struct query_options options = {.columns = &missing, .column_count = 1};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_error_names(&table.error, "\"missing\"");
    options = (struct query_options){.group_by = &missing, .group_by_count = 1};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_error_names(&table.error, "\"missing\"");
    options = (struct query_options){.predicate = parse_where(&arena, "value = 'many'")};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_error_names(&table.error, "many");
    struct query_aggregate sum = {AGGREGATE_SUM, slice_of_string("tag")};
    options = (struct query_options){.aggregates = &sum, .aggregate_count = 1};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_error_names(&table.error, "\"tag\"");
    options = (struct query_options){.force_path = slice_of_string("no_index")};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_error_names(&table.error, "no_index");
    options = (struct query_options){.reverse = true};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_INVALID_ARGUMENT, &table.error);
    assert_ok(plinth_table_drop(table.db, NULL, "t", &table.error), &table.error);
    options = (struct query_options){0};
    assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_NOT_FOUND, &table.error);
    assert_error_names(&table.error, "\"t\" was dropped");
    arena_deinit(&arena);
    query_table_close(&table);
}

/* ---- limits, and the end ---- */

static void groups_beyond_the_memory_allowed_end_the_query(void **state) {
    (void)state;
    static const struct slice key[] = {{(const uint8_t *)"host", 4}, {(const uint8_t *)"at", 2}};
    struct query_table table;
    struct test_random random = test_random_of(14);
    query_table_open(&table, false, 0, true);
    for (int i = 0; i < 4; i++) query_table_upsert(&table, &random, 500);
    for (unsigned threads = 1; threads < 4; threads++) {
        struct lines lines = {0};
        struct query_options options = {
            .group_by = key, .group_by_count = 2, .threads = threads, .memory_bytes_max = 32 << 10};
        assert_status(lines_of_query(&table, &options, &lines, NULL), PLINTH_RESOURCE_EXHAUSTED, &table.error);
        assert_error_names(&table.error, "bytes that the query may use");
        options.memory_bytes_max = 0;
        assert_ok(lines_of_query(&table, &options, &lines, NULL), &table.error);
        assert_true(lines.count > HOSTS * SLOTS / 2);
        lines_deinit(&lines);
        assert_ok(plinth_flush(table.db, &table.error), &table.error);
    }
    query_table_close(&table);
}

static void *cancel(void *argument) {
    query_cancel(argument);
    return NULL;
}

static void a_query_is_cancelled_from_another_thread(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(15);
    query_table_open(&table, true, 0, false);
    for (int i = 0; i < 8; i++) query_table_upsert(&table, &random, 2000);
    for (unsigned form = 0; form < 8; form++) {
        struct query *query;
        struct batch *batch = NULL;
        pthread_t thread;
        struct query_options options = {.threads = 1 + form % 2, .ordered = form & 2, .batch_rows = 50};
        assert_ok(query_open(table.db, table.schema, &options, &query, &table.error), &table.error);
        if (form < 4) assert_ok(query_next(query, &batch, &table.error), &table.error);
        assert_true(form >= 4 || batch);
        assert_ok(thread_start(&thread, "cancel", cancel, query, &table.error), &table.error);
        uint64_t batches = 0;
        enum plinth_status st;
        do {
            batch_unref(batch);
            st = query_next(query, &batch, &table.error);
            batches++;
        } while (!st && batch);
        pthread_join(thread, NULL);
        /* The query may have been faster than the thread. */
        if (st) assert_status(st, PLINTH_CANCELLED, &table.error);
        assert_status(query_next(query, &batch, &table.error), PLINTH_CANCELLED, &table.error);
        query_close(query);
    }
    query_table_close(&table);
}

static void a_query_that_is_closed_early_leaves_nothing(void **state) {
    (void)state;
    struct query_table table;
    struct test_random random = test_random_of(16);
    query_table_open(&table, true, 0, false);
    for (int i = 0; i < 5; i++) query_table_upsert(&table, &random, 2000);
    assert_ok(plinth_flush(table.db, &table.error), &table.error);
    for (unsigned threads = 1; threads < 4; threads++) {
        struct query *query;
        struct batch *batch;
        struct query_options options = {.threads = threads, .batch_rows = 20};
        assert_ok(query_open(table.db, table.schema, &options, &query, &table.error), &table.error);
        assert_ok(query_next(query, &batch, &table.error), &table.error);
        query_close(query);
        assert_int_equal(batch->rows > 0, true); /* and what was given stays */
        batch_unref(batch);
    }
    query_table_close(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_gives_the_rows_of_a_table),
        cmocka_unit_test(every_path_gives_the_rows_of_a_partitioned_table),
        cmocka_unit_test(every_path_gives_the_rows_of_a_table_without_key),
        cmocka_unit_test(every_path_gives_the_rows_of_a_partitioned_table_without_key),
        cmocka_unit_test(every_forced_path_was_taken),
        cmocka_unit_test(columns_come_as_named),
        cmocka_unit_test(a_limit_gives_the_first_rows),
        cmocka_unit_test(groups_are_the_same_for_every_number_of_threads),
        cmocka_unit_test(a_key_space_is_a_table_of_two_columns),
        cmocka_unit_test(a_row_is_found_by_its_key),
        cmocka_unit_test(explain_tells_what_was_read),
        cmocka_unit_test(a_bloom_filter_skips_stripes),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(groups_beyond_the_memory_allowed_end_the_query),
        cmocka_unit_test(a_query_is_cancelled_from_another_thread),
        cmocka_unit_test(a_query_that_is_closed_early_leaves_nothing),
    };
    return cmocka_run_group_tests_name("queries", tests, NULL, NULL);
}
