/* The whole engine on a real directory, against the model. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "support/key_model.h"
#include "support/sim_env.h"

struct fixture {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
};

static const struct plinth_options small_options = {
    .memtable_bytes = 256 << 10, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};

static void open_db(struct fixture *f, const struct plinth_options *options) {
    assert_ok(plinth_open(f->path, options, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->path);
    open_db(f, &small_options);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    test_directory_remove(f->path);
    free(f);
    return 0;
}

static void reopen(struct fixture *f) {
    plinth_close(f->db);
    f->db = NULL;
    open_db(f, &small_options);
}

static void set(struct fixture *f, const char *key, const char *value) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, NULL, &f->error), &f->error);
}

static void expect(struct fixture *f, const char *key, const char *wanted, const struct plinth_read_options *read) {
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_get(f->db, f->space, plinth_text(key), read, &value, NULL, &f->error);
    if (!wanted) {
        assert_status(st, PLINTH_NOT_FOUND, &f->error);
    } else {
        assert_ok(st, &f->error);
        assert_int_equal(value.size, strlen(wanted));
        assert_memory_equal(value.data, wanted, value.size);
    }
    plinth_buffer_deinit(&value);
}

static void what_is_set_is_there_also_after_reopening(void **state) {
    struct fixture *f = *state;
    set(f, "cat", "K AE1 T");
    set(f, "dog", "D AO1 G");
    expect(f, "cat", "K AE1 T", NULL);
    reopen(f);
    expect(f, "cat", "K AE1 T", NULL);
    assert_ok(plinth_delete(f->db, f->space, plinth_text("cat"), NULL, NULL, &f->error), &f->error);
    expect(f, "cat", NULL, NULL);
    reopen(f);
    expect(f, "cat", NULL, NULL);
    expect(f, "dog", "D AO1 G", NULL);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    expect(f, "cat", NULL, NULL);
    expect(f, "dog", "D AO1 G", NULL);
}

static void a_random_workload_agrees_with_the_model(void **state) {
    struct fixture *f = *state;
    uint64_t seed = getenv("PLINTH_SEED") ? strtoull(getenv("PLINTH_SEED"), NULL, 10) : 20261121;
    printf("seed %llu (PLINTH_SEED repeats it)\n", (unsigned long long)seed);
    struct test_random random = test_random_of(seed);
    struct key_model model = {0}, old_model;
    struct plinth_snapshot *snapshot = NULL;
    struct plinth_write_options written = {.durability = PLINTH_DURABILITY_WRITTEN};
    for (uint64_t number = 1; number <= 6000; number++) {
        struct key_model_step step = key_model_step_of(seed, number);
        struct plinth_position position;
        assert_ok(key_model_write(f->db, &step, &written, &position, &f->error), &f->error);
        key_model_apply(&model, &step);
        uint64_t dice = test_random_below(&random, 1000);
        if (dice < 3) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (dice == 3) assert_ok(plinth_compact(f->db, &f->error), &f->error);
        if (dice == 4 || number == 3000) {
            plinth_snapshot_destroy(snapshot);
            snapshot = NULL;
            reopen(f);
        }
        if (dice == 5 || number == 100) {
            plinth_snapshot_destroy(snapshot);
            struct plinth_read_options own_write = {.position_min = position};
            key_model_check(&model, f->db, &own_write);
            assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
            old_model = model;
        }
        if (dice >= 6 && dice < 12) {
            struct plinth_read_options read = {.position_min = position};
            key_model_check(&model, f->db, &read);
            read = (struct plinth_read_options){.snapshot = snapshot};
            if (snapshot) key_model_check(&old_model, f->db, &read);
        }
    }
    if (snapshot) {
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
        struct plinth_read_options read = {.snapshot = snapshot};
        key_model_check(&old_model, f->db, &read);
    }
    plinth_snapshot_destroy(snapshot);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    key_model_check(&model, f->db, NULL);
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
    assert_true(result.rows > 0 && result.index_entries > 0 && result.segments > 0);
}

static void compaction_gives_space_back_and_drops_dead_index_entries(void **state) {
    struct fixture *f = *state;
    struct plinth_write_options written = {.durability = PLINTH_DURABILITY_WRITTEN};
    for (uint64_t number = 1; number <= 3000; number++) {
        struct key_model_step step = key_model_step_of(1, number);
        assert_ok(key_model_write(f->db, &step, &written, NULL, &f->error), &f->error);
    }
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    for (int number = 0; number <= KEY_MODEL_KEYS; number++) {
        struct key_model_step step = {
            .number = 5000 + (uint64_t)number, .count = 1, .keys = {number}, .deletes = {true}};
        if (number == KEY_MODEL_KEYS) step.count = 0;
        assert_ok(key_model_write(f->db, &step, NULL, NULL, &f->error), &f->error);
    }
    assert_ok(plinth_delete(f->db, f->space, plinth_text("~counter"), NULL, NULL, &f->error), &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segment_rows, 0);
    assert_int_equal(stats.segments, 0);
    struct key_model nothing = {0};
    key_model_check(&nothing, f->db, NULL);
}

static void a_batch_is_one_write_and_the_last_operation_on_a_key_wins(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operations[] = {
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("a"), .value = plinth_text("1")},
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("b"), .value = plinth_text("1")},
        {.kind = PLINTH_DELETE, .space = f->space, .key = plinth_text("b")},
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("a"), .value = plinth_text("2")},
    };
    struct plinth_position position;
    assert_ok(plinth_write(f->db, operations, 4, NULL, &position, &f->error), &f->error);
    expect(f, "a", "2", NULL);
    expect(f, "b", NULL, NULL);
    operations[3].key = plinth_text("");
    assert_status(plinth_write(f->db, operations, 4, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "operation 3: key is empty");
    reopen(f);
    expect(f, "a", "2", NULL);
}

static void bad_input_is_refused_by_name(void **state) {
    struct fixture *f = *state;
    static char large[600 << 10];
    struct plinth_space nowhere = {1, 1, 99};
    assert_status(plinth_set(f->db, f->space, plinth_bytes("", 0), plinth_text("v"), NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_status(
        plinth_set(f->db, f->space, plinth_bytes(large, (64 << 10) + 1), plinth_text("v"), NULL, NULL, &f->error),
        PLINTH_TOO_LARGE, &f->error);
    assert_error_names(&f->error, "65537");
    assert_status(
        plinth_set(f->db, f->space, plinth_text("k"), plinth_bytes(large, (64 << 20) + 1), NULL, NULL, &f->error),
        PLINTH_TOO_LARGE, &f->error); /* without being read */
    assert_error_names(&f->error, "67108865");
    assert_status(plinth_set(f->db, nowhere, plinth_text("k"), plinth_text("v"), NULL, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    struct plinth_write_options half = {.producer_id = 5};
    assert_status(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("v"), &half, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    struct plinth_space space;
    assert_status(plinth_space_find(f->db, "nope", NULL, &space, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "\"nope\"");
    assert_status(plinth_space_find(f->db, NULL, "nope", &space, &f->error), PLINTH_NOT_FOUND, &f->error);
    /* The largest that is allowed goes through, to segments and back. */
    memset(large, 'k', 64 << 10);
    assert_ok(plinth_set(f->db, f->space, plinth_bytes(large, 64 << 10), plinth_bytes(large, 512 << 10), NULL, NULL,
                         &f->error),
              &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    reopen(f);
    struct plinth_buffer value = {0};
    assert_ok(plinth_get(f->db, f->space, plinth_bytes(large, 64 << 10), NULL, &value, NULL, &f->error), &f->error);
    assert_int_equal(value.size, 512 << 10);
    plinth_buffer_deinit(&value);
}

/* All rows of a scan as "key=value(name:value)..." lines. */
static void check_scan_of_indexes(struct fixture *f, struct plinth_scan_options options, const char *wanted) {
    char text[512] = "";
    size_t used = 0;
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    options.with_indexes = true;
    assert_ok(plinth_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
    for (;;) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        if (!found) break;
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s", (int)row.key.size,
                                 (const char *)row.key.data, (int)row.value.size,
                                 row.value.size ? (const char *)row.value.data : "");
        for (size_t i = 0; i < row.index_count; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "(%.*s:%.*s)", (int)row.indexes[i].name.size,
                                     (const char *)row.indexes[i].name.data, (int)row.indexes[i].value.size,
                                     row.indexes[i].value.size ? (const char *)row.indexes[i].value.data : "");
        used += (size_t)snprintf(text + used, sizeof text - used, "\n");
    }
    plinth_scan_close(scan);
    assert_string_equal(text, wanted);
}

static void set_indexed(struct fixture *f, const char *key, const struct plinth_index_value *indexes, size_t count) {
    struct plinth_operation operation = {.kind = PLINTH_SET,
                                         .space = f->space,
                                         .key = plinth_text(key),
                                         .value = plinth_text("v"),
                                         .indexes = indexes,
                                         .index_count = count};
    assert_ok(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), &f->error);
}

static void append_name(void *context, const char *name) {
    strcat(context, name);
    strcat(context, " ");
}

static void a_scan_gives_the_index_values_that_were_set(void **state) {
    struct fixture *f = *state;
    const struct plinth_index_value red = {plinth_text("color"), plinth_text("red")},
                                    blue = {plinth_text("color"), plinth_text("blue")},
                                    size = {plinth_text("size"), plinth_text("9")},
                                    empty = {plinth_text("size"), plinth_text("")};
    const struct plinth_index_value many[] = {red, size, blue, red}, two[] = {empty, red};
    struct plinth_scan_options forwards = {0}, backwards = {.reverse = true}, keys = {.keys_only = true};
    set_indexed(f, "a", &size, 1);
    set_indexed(f, "a", many, 4); /* replaces, orders, and drops the pair that is there twice */
    set_indexed(f, "b", NULL, 0);
    set_indexed(f, "c", two, 2);
    for (int step = 0; step < 4; step++) {
        check_scan_of_indexes(f, forwards, "a=v(size:9)(color:blue)(color:red)\nb=v\nc=v(size:)(color:red)\n");
        check_scan_of_indexes(f, backwards, "c=v(size:)(color:red)\nb=v\na=v(size:9)(color:blue)(color:red)\n");
        check_scan_of_indexes(f, keys, "a=(size:9)(color:blue)(color:red)\nb=\nc=(size:)(color:red)\n");
        if (step == 0) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (step == 1) assert_ok(plinth_compact(f->db, &f->error), &f->error);
        if (step == 2) reopen(f);
    }
    char names[64] = "";
    assert_ok(plinth_index_list(f->db, f->space, append_name, names, &f->error), &f->error);
    assert_string_equal(names, "size color ");
    struct plinth_space missing = {f->space.tenant, f->space.database, 4000};
    assert_status(plinth_index_list(f->db, missing, append_name, names, &f->error), PLINTH_NOT_FOUND, &f->error);
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    assert_ok(plinth_scan_open(f->db, f->space, NULL, &scan, &f->error), &f->error);
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_true(found && row.index_count == 0); /* not asked for */
    plinth_scan_close(scan);
}

static void compare_and_set_applies_only_when_the_condition_holds(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("k"), .value = plinth_text("1")};
    struct plinth_comparison absent = {.expectation = PLINTH_EXPECT_ABSENT};
    struct plinth_previous previous = {0};
    struct plinth_position position;
    assert_ok(plinth_compare_and_set(f->db, &operation, &absent, NULL, &position, &previous, &f->error), &f->error);
    assert_false(previous.existed);
    assert_status(plinth_compare_and_set(f->db, &operation, &absent, NULL, NULL, &previous, &f->error), PLINTH_CONFLICT,
                  &f->error);
    assert_true(previous.existed);
    assert_int_equal(previous.version.lsn, position.lsn);
    assert_int_equal(previous.value.size, 1);
    struct plinth_comparison version = {.expectation = PLINTH_EXPECT_VERSION, .expected_version = position};
    operation.value = plinth_text("2");
    assert_ok(plinth_compare_and_set(f->db, &operation, &version, NULL, NULL, &previous, &f->error), &f->error);
    assert_status(plinth_compare_and_set(f->db, &operation, &version, NULL, NULL, &previous, &f->error),
                  PLINTH_CONFLICT, &f->error);
    struct plinth_comparison value = {.expectation = PLINTH_EXPECT_VALUE, .expected_value = plinth_text("2")};
    operation.kind = PLINTH_DELETE;
    assert_ok(plinth_compare_and_set(f->db, &operation, &value, NULL, NULL, &previous, &f->error), &f->error);
    expect(f, "k", NULL, NULL);
    struct plinth_comparison anything = {.expectation = PLINTH_EXPECT_ANYTHING};
    assert_ok(plinth_compare_and_set(f->db, &operation, &anything, NULL, NULL, &previous, &f->error), &f->error);
    assert_false(previous.existed);
    plinth_buffer_deinit(&previous.value);
}

static void a_retried_write_is_applied_once_also_across_a_restart(void **state) {
    struct fixture *f = *state;
    struct plinth_write_options options = {.producer_id = 42, .sequence = 1};
    struct plinth_position first, second;
    assert_ok(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("1"), &options, &first, &f->error), &f->error);
    set(f, "k", "2");
    assert_ok(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("1"), &options, &second, &f->error), &f->error);
    assert_int_equal(first.lsn, second.lsn);
    expect(f, "k", "2", NULL);
    reopen(f);
    assert_ok(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("1"), &options, &second, &f->error), &f->error);
    assert_int_equal(first.lsn, second.lsn);
    expect(f, "k", "2", NULL);
    options.sequence = 5000;
    assert_ok(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("3"), &options, NULL, &f->error), &f->error);
    options.sequence = 2;
    assert_status(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("4"), &options, NULL, &f->error),
                  PLINTH_TOO_OLD, &f->error);
}

static void a_scan_sees_one_state_while_writers_and_merges_go_on(void **state) {
    struct fixture *f = *state;
    char key[32];
    struct plinth_write_options written = {.durability = PLINTH_DURABILITY_WRITTEN};
    for (int i = 0; i < 2000; i++) {
        sprintf(key, "k%05d", i);
        assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text("old"), &written, NULL, &f->error),
                  &f->error);
    }
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    struct plinth_scan *scan;
    assert_ok(plinth_scan_open(f->db, f->space, NULL, &scan, &f->error), &f->error);
    struct plinth_row row;
    bool found;
    for (int i = 0; i < 2000; i++) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        assert_true(found);
        sprintf(key, "k%05d", i);
        assert_memory_equal(row.key.data, key, 6);
        assert_memory_equal(row.value.data, "old", 3);
        sprintf(key, "k%05d", (i * 7) % 2000);
        assert_ok(i % 3 ? plinth_set(f->db, f->space, plinth_text(key), plinth_text("new"), &written, NULL, &f->error)
                        : plinth_delete(f->db, f->space, plinth_text(key), &written, NULL, &f->error),
                  &f->error);
        if (i % 500 == 250) assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_false(found);
    plinth_scan_close(scan);
}

static void a_state_that_was_purged_is_refused(void **state) {
    struct fixture *f = *state;
    struct plinth_position first;
    assert_ok(plinth_set(f->db, f->space, plinth_text("k"), plinth_text("1"), NULL, &first, &f->error), &f->error);
    set(f, "k", "2");
    struct plinth_read_options as_of = {.as_of = first};
    expect(f, "k", "1", &as_of);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    struct plinth_buffer value = {0};
    assert_status(plinth_get(f->db, f->space, plinth_text("k"), &as_of, &value, NULL, &f->error), PLINTH_TOO_OLD,
                  &f->error);
    struct plinth_snapshot *snapshot;
    assert_status(plinth_snapshot_create(f->db, first, &snapshot, &f->error), PLINTH_TOO_OLD, &f->error);
    as_of.as_of.epoch = 77;
    assert_status(plinth_get(f->db, f->space, plinth_text("k"), &as_of, &value, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    plinth_buffer_deinit(&value);
}

static void spaces_are_apart(void **state) {
    struct fixture *f = *state;
    struct plinth_space other, again;
    assert_ok(plinth_space_create(f->db, "shop", "orders", &other, &f->error), &f->error);
    assert_status(plinth_space_create(f->db, "shop", "orders", &again, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
    set(f, "k", "here");
    assert_ok(plinth_set(f->db, other, plinth_text("k"), plinth_text("there"), NULL, NULL, &f->error), &f->error);
    expect(f, "k", "here", NULL);
    reopen(f);
    assert_ok(plinth_space_find(f->db, "shop", "orders", &again, &f->error), &f->error);
    assert_int_equal(again.table, other.table);
    struct plinth_space default_space = f->space;
    f->space = other;
    expect(f, "k", "there", NULL);
    assert_ok(plinth_delete(f->db, other, plinth_text("k"), NULL, NULL, &f->error), &f->error);
    expect(f, "k", NULL, NULL);
    f->space = default_space;
    expect(f, "k", "here", NULL);
}

struct writer {
    struct fixture *f;
    int number;
    int failures;
};

static void *write_many(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    char key[32], text[32];
    for (int i = 0; i < 400; i++) {
        sprintf(key, "t%d-%d", writer->number, i);
        sprintf(text, "%d", i);
        if (plinth_set(writer->f->db, writer->f->space, plinth_text(key), plinth_text(text), NULL, NULL, &error))
            writer->failures++;
        struct plinth_buffer value = {0};
        if (plinth_get(writer->f->db, writer->f->space, plinth_text(key), NULL, &value, NULL, &error))
            writer->failures++;
        plinth_buffer_deinit(&value);
        /* a counter that all threads raise by compare-and-set */
        for (bool done = false; !done;) {
            struct plinth_buffer now = {0};
            struct plinth_position version;
            int count = 0;
            enum plinth_status st =
                plinth_get(writer->f->db, writer->f->space, plinth_text("count"), NULL, &now, &version, &error);
            if (!st) sscanf((char *)now.data, "%d", &count);
            sprintf(text, "%d ", count + 1);
            struct plinth_operation operation = {
                .kind = PLINTH_SET, .space = writer->f->space, .key = plinth_text("count"), .value = plinth_text(text)};
            struct plinth_comparison same = {.expectation = st ? PLINTH_EXPECT_ABSENT : PLINTH_EXPECT_VERSION,
                                             .expected_version = version};
            enum plinth_status swapped =
                plinth_compare_and_set(writer->f->db, &operation, &same, NULL, NULL, NULL, &error);
            done = swapped == PLINTH_OK;
            if (swapped && swapped != PLINTH_CONFLICT) {
                writer->failures++;
                done = true;
            }
            plinth_buffer_deinit(&now);
        }
    }
    return NULL;
}

static void many_writers_lose_nothing(void **state) {
    struct fixture *f = *state;
    pthread_t threads[4];
    struct writer writers[4];
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){f, i, 0};
        pthread_create(&threads[i], NULL, write_many, &writers[i]);
    }
    for (int i = 0; i < 10; i++)
        assert_ok(i % 3 ? plinth_flush(f->db, &f->error) : plinth_compact(f->db, &f->error), &f->error);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].failures, 0);
    }
    for (int round = 0; round < 2; round++) {
        expect(f, "count", "1600 ", NULL);
        for (int t = 0; t < 4; t++) {
            for (int i = 0; i < 400; i++) {
                char key[32], value[32];
                sprintf(key, "t%d-%d", t, i);
                sprintf(value, "%d", i);
                expect(f, key, value, NULL);
            }
        }
        reopen(f);
    }
}

static void a_second_opening_is_refused(void **state) {
    struct fixture *f = *state;
    struct plinth *other;
    assert_status(plinth_open(f->path, NULL, &other, &f->error), PLINTH_LOCKED, &f->error);
    assert_error_names(&f->error, f->path);
}

static void a_lost_log_is_not_taken_for_an_empty_one(void **state) {
    struct fixture *f = *state;
    set(f, "cat", "K AE1 T");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    plinth_close(f->db);
    f->db = NULL;
    char command[4 * TEST_PATH_MAX];
    snprintf(command, sizeof command, "mv %s/log %s.log", f->path, f->path);
    assert_int_equal(system(command), 0);
    for (int i = 0; i < 2; i++) { /* also not at the second look */
        assert_status(plinth_open(f->path, &small_options, &f->db, &f->error), PLINTH_CORRUPT, &f->error);
        assert_non_null(strstr(f->error.text, "log"));
    }
    snprintf(command, sizeof command, "rm -rf %s/log && mv %s.log %s/log", f->path, f->path, f->path);
    assert_int_equal(system(command), 0);
    open_db(f, &small_options);
    expect(f, "cat", "K AE1 T", NULL);
}

/* What is flushed needs no log, however few and large the writes were. */
static void the_log_is_trimmed_behind_flushes_of_large_values(void **state) {
    enum { VALUE_BYTES = 250 << 10 }; /* still in the log */
    struct fixture *f = *state;
    struct plinth_write_options written = {.durability = PLINTH_DURABILITY_WRITTEN};
    char *value = calloc(1, VALUE_BYTES);
    assert_non_null(value);
    for (int i = 0; i < 120; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        assert_ok(
            plinth_set(f->db, f->space, plinth_text(key), plinth_bytes(value, VALUE_BYTES), &written, NULL, &f->error),
            &f->error);
    }
    free(value);
    for (int i = 0; i < 3; i++) { /* the second newest checkpoint decides */
        set(f, "cat", "K AE1 T");
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_true(stats.log_bytes < 8 << 20);
    reopen(f);
    plinth_stats_read(f->db, &stats);
    assert_true(stats.replayed_records < 40);
}

/* What has been flushed is flushed: files that cannot be removed now are no failure of the caller's, and go later. */
static void a_flush_is_done_though_the_log_cannot_be_trimmed_yet(void **state) {
    enum { VALUE_BYTES = 200 * 1000 };
    (void)state;
    struct plinth_error error = {0};
    struct sim_env *sim = sim_env_create(3);
    struct engine_parts parts = {.env = sim_env_base(sim)};
    struct plinth_options options = small_options;
    options.no_background_compaction = true;
    struct plinth *db;
    struct plinth_space space;
    assert_ok(engine_open("/db", &options, &parts, &db, &error), &error);
    assert_ok(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    struct log_reader *reader; /* what is read is removed, and not kept for reuse */
    assert_ok(log_read(db->log, 1, &reader, &error), &error);
    sim_env_fail(sim, SIM_REMOVE, 0, PLINTH_NO_SPACE, true);
    char *value = calloc(1, VALUE_BYTES);
    assert_non_null(value);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        assert_ok(plinth_set(db, space, plinth_text(key), plinth_bytes(value, VALUE_BYTES), NULL, NULL, &error),
                  &error);
        if (i % 25 == 24) assert_ok(plinth_flush(db, &error), &error);
    }
    free(value);
    assert_ok(plinth_compact(db, &error), &error);
    struct plinth_stats stats;
    plinth_stats_read(db, &stats);
    assert_true(stats.log_bytes > 100 * VALUE_BYTES);
    sim_env_heal(sim);
    for (int i = 0; i < 1000 && stats.log_bytes > 60 * VALUE_BYTES; i++) {
        usleep(10 * 1000);
        plinth_stats_read(db, &stats);
    }
    assert_true(stats.log_bytes <= 60 * VALUE_BYTES);
    log_reader_close(reader);
    plinth_close(db);
    sim_env_destroy(sim);
}

/* A full disk is told with its path and what is free, while writes are refused, and no longer once there is space. */
static void a_full_disk_is_told_until_there_is_space(void **state) {
    (void)state;
    struct plinth_error error = {0};
    struct sim_env *sim = sim_env_create(4);
    struct engine_parts parts = {.env = sim_env_base(sim)};
    struct plinth *db;
    struct plinth_space space;
    assert_ok(engine_open("/db", &small_options, &parts, &db, &error), &error);
    assert_ok(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    assert_ok(plinth_health(db, &error), &error);
    sim_env_limit_disk(sim, 5 << 20);
    uint64_t random = 1;
    uint8_t value[20000];
    enum plinth_status st = PLINTH_OK;
    for (int i = 0; i < 2000 && !st; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (uint8_t)((random = random * 6364136223846793005u + 1) >> 56);
        st = plinth_set(db, space, plinth_text(key), plinth_bytes(value, sizeof value), NULL, NULL, &error);
    }
    assert_status(st, PLINTH_NO_SPACE, &error);
    assert_status(plinth_health(db, &error), PLINTH_NO_SPACE, &error);
    assert_error_names(&error, "/db is full, ");
    assert_error_names(&error, " bytes are free");
    assert_error_names(&error, "/db/");
    assert_ok(plinth_log_status(db, &error), &error);
    sim_env_limit_disk(sim, UINT64_MAX);
    for (int i = 0; i < 1000 && plinth_health(db, &error); i++) usleep(10 * 1000);
    assert_ok(plinth_health(db, &error), &error);
    assert_ok(plinth_set(db, space, plinth_text("cat"), plinth_text("K AE1 T"), NULL, NULL, &error), &error);
    plinth_close(db);
    sim_env_destroy(sim);
}

static void the_time_of_the_shard_goes_on_after_an_idle_hour(void **state) {
    struct fixture *f = *state;
    struct sim_env *sim = sim_env_create(1);
    struct engine_parts parts = {.env = sim_env_base(sim)};
    struct plinth *db;
    assert_ok(engine_open("/db", &small_options, &parts, &db, &f->error), &f->error);
    for (int i = 0; i < 3; i++) {
        uint64_t before_us = db->shard.time_us;
        sim_env_advance_us(sim, UINT64_C(3600) * 1000 * 1000);
        assert_ok(plinth_set(db, f->space, plinth_text("k"), plinth_text("v"), NULL, NULL, &f->error), &f->error);
        assert_true(db->shard.time_us >= before_us + UINT64_C(3600) * 1000 * 1000);
    }
    assert_int_equal(db->shard.time_alarms, 0);
    plinth_close(db);
    sim_env_destroy(sim);
}

static void write_file(const char *directory, const char *name, const char *text) {
    char path[TEST_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void directories_that_are_not_plinths_are_refused(void **state) {
    struct fixture *f = *state;
    char path[TEST_PATH_MAX];
    struct plinth *other;
    test_directory_create(path);
    write_file(path, "thesis.tex", "do not touch");
    assert_status(plinth_open(path, NULL, &other, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "thesis.tex");
    write_file(path, "FORMAT", "plinth directory 999\n");
    assert_status(plinth_open(path, NULL, &other, &f->error), PLINTH_UNSUPPORTED, &f->error);
    assert_error_names(&f->error, "999");
    write_file(path, "FORMAT", "what is this");
    assert_status(plinth_open(path, NULL, &other, &f->error), PLINTH_CORRUPT, &f->error);
    test_directory_remove(path);
    struct plinth_options must_exist = {.must_exist = true};
    assert_status(plinth_open("/tmp/plinth-that-is-not-there", &must_exist, &other, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    assert_status(plinth_open("/tmp/no-parent/plinth", NULL, &other, &f->error), PLINTH_NOT_FOUND, &f->error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_set_is_there_also_after_reopening, setup, teardown),
        cmocka_unit_test_setup_teardown(a_random_workload_agrees_with_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(compaction_gives_space_back_and_drops_dead_index_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_is_one_write_and_the_last_operation_on_a_key_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_input_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scan_gives_the_index_values_that_were_set, setup, teardown),
        cmocka_unit_test_setup_teardown(compare_and_set_applies_only_when_the_condition_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_retried_write_is_applied_once_also_across_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scan_sees_one_state_while_writers_and_merges_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_that_was_purged_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(spaces_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(many_writers_lose_nothing, setup, teardown),
        cmocka_unit_test(a_flush_is_done_though_the_log_cannot_be_trimmed_yet),
        cmocka_unit_test(a_full_disk_is_told_until_there_is_space),
        cmocka_unit_test_setup_teardown(the_time_of_the_shard_goes_on_after_an_idle_hour, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_opening_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_log_is_not_taken_for_an_empty_one, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_is_trimmed_behind_flushes_of_large_values, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_that_are_not_plinths_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
