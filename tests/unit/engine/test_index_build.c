/* Indexes that are built while writes go on: every row has its entry once, after crashes, cancels, drops and rebuilds,
 * in every kind. What verify compares is both directions: entries that count against rows, and their number. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/index_build.h"
#include "engine/table_ddl.h"
#include "support/engine_fixture.h"
#include "support/table_support.h"
#include "table/row_segment.h"

enum { ITEMS = 20000, SMALL_STEP_BYTES = 2048 };

/* Nothing is deleted while a crash copies the directory. */
static const struct plinth_options small_options = {.memtable_bytes = 256 << 10,
                                                    .cache_bytes = 4 << 20,
                                                    .log_segment_bytes = 1 << 20,
                                                    .no_background_compaction = true};

static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }

/* Rows [from, to) with value i % 97 + offset. */
static void write_items(struct plinth *db, int from, int to, int offset, struct plinth_error *error) {
    size_t size = (size_t)(to - from) * 48 + 1, used = 0;
    char *text = malloc(size);
    for (int i = from; i < to; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%d,%d,Word%d of many", i > from ? ";" : "", i,
                                 i % 97 + offset, i % 11);
    assert_ok(test_rows_write(db, "items", ROWS_UPSERT, "id int64, value int32, words string", text, NULL, NULL, error),
              error);
    free(text);
}

static void delete_items(struct plinth *db, int from, int to, struct plinth_error *error) {
    size_t size = (size_t)(to - from) * 16 + 1, used = 0;
    char *text = malloc(size);
    for (int i = from; i < to; i++) used += (size_t)snprintf(text + used, size - used, "%s%d", i > from ? ";" : "", i);
    assert_ok(test_rows_write(db, "items", ROWS_DELETE, "id int64", text, NULL, NULL, error), error);
    free(text);
}

static void fill_items(struct fixture *f) {
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "id", false);
    for (int i = 0; i < ITEMS; i += 2500) write_items(f->db, i, i + 2500, 1000, &f->error);
}

static const char *const value_columns[] = {"value"};
static const char *const words_columns[] = {"words"};
static const struct plinth_index by_value = {
    .name = "by_value", .kind = PLINTH_INDEX_SORTED, .columns = value_columns, .column_count = 1};

static void on_problem(void *context, const char *object, const char *problem) {
    (void)context;
    print_error("%s: %s\n", object, problem);
}

/* Gives how many entries were looked at. */
static uint64_t expect_sound(struct fixture *f, uint64_t rows) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, on_problem, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
    assert_int_equal(result.rows, rows);
    return result.index_entries;
}

struct index_now {
    bool there;
    enum plinth_index_state state;
    unsigned percent;
    uint32_t id;
};

static struct index_now look_at(struct fixture *f, const char *name) {
    struct plinth_table_description table;
    struct index_now now = {0};
    assert_ok(plinth_table_describe(f->db, NULL, "items", &table, &f->error), &f->error);
    for (size_t i = 0; i < table.index_count; i++)
        if (strcmp(table.indexes[i].name, name) == 0)
            now = (struct index_now){true, table.indexes[i].state, table.indexes[i].percent, 0};
    plinth_table_description_deinit(&table);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "items", &schema, &f->error), &f->error);
    const struct table_index *index = table_schema_find_index(schema, slice_of_string(name));
    if (index) now.id = index->id.table;
    table_schema_unref(schema);
    return now;
}

static void wait_ready(struct fixture *f, const char *name) {
    struct table_id id = {1, 1, look_at(f, name).id};
    assert_ok(engine_wait_for_index(f->db, id, &f->error), &f->error);
    assert_int_equal(look_at(f, name).state, PLINTH_INDEX_READY);
}

static void set_step_bytes(struct plinth *db, uint64_t bytes) {
    __atomic_store_n(&db->sizes.index_step_bytes, bytes, __ATOMIC_RELAXED);
}

/* Begins a build in many small steps and waits until it has come so far. */
static void begin_slowly(struct fixture *f, unsigned percent) {
    set_step_bytes(f->db, SMALL_STEP_BYTES);
    assert_ok(plinth_table_index_begin(f->db, NULL, "items", &by_value, &f->error), &f->error);
    assert_status(plinth_table_index_begin(f->db, NULL, "items", &by_value, &f->error), PLINTH_ALREADY_EXISTS,
                  &f->error);
    struct index_now now = {0};
    for (int i = 0; i < 20000 && now.percent < percent; i++) {
        usleep(200);
        now = look_at(f, "by_value");
        assert_true(now.there);
        assert_int_equal(now.state, PLINTH_INDEX_BUILDING);
    }
    assert_true(now.percent >= percent);
}

static void a_build_goes_on_after_a_crash_where_it_was(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    unsigned reached = 0;
    for (int crashes = 0; crashes < 3; crashes++) {
        if (crashes == 0) begin_slowly(f, 20);
        set_step_bytes(f->db, SMALL_STEP_BYTES);
        unsigned before = look_at(f, "by_value").percent;
        write_items(f->db, 100 * crashes, 100 * crashes + 300, 5000, &f->error);
        delete_items(f->db, 9000 + 10 * crashes, 9010 + 10 * crashes, &f->error);
        write_items(f->db, ITEMS + crashes * 10, ITEMS + crashes * 10 + 10, 1, &f->error);
        fixture_crash(f);
        struct index_now now = look_at(f, "by_value");
        assert_true(now.there);
        /* Rows that were written meanwhile make the percentage somewhat less. */
        assert_true(now.state == PLINTH_INDEX_READY || now.percent + 3 >= before);
        assert_true(now.percent + 3 >= reached);
        reached = now.percent;
    }
    wait_ready(f, "by_value");
    expect_sound(f, ITEMS);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(expect_sound(f, ITEMS), ITEMS); /* none twice, none that is dead */
    fixture_crash(f);
    assert_int_equal(expect_sound(f, ITEMS), ITEMS);
}

static void an_orderly_close_keeps_a_build_too(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    begin_slowly(f, 10);
    fixture_reopen(f);
    assert_true(look_at(f, "by_value").percent >= 5);
    wait_ready(f, "by_value");
    expect_sound(f, ITEMS);
}

/* ---- with writers ---- */

struct writer {
    struct plinth *db;
    struct test_random random;
    atomic_bool over;
    atomic_ullong batches;
    bool deleted[ITEMS];
};

/* Upserts and deletes of short stretches, at full speed. */
static void *write_on(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    while (!atomic_load(&writer->over)) {
        int from = (int)(test_random_u64(&writer->random) % (ITEMS - 60));
        int to = from + 1 + (int)(test_random_u64(&writer->random) % 50);
        bool deletes = test_random_u64(&writer->random) % 4 == 0;
        if (deletes)
            delete_items(writer->db, from, to, &error);
        else
            write_items(writer->db, from, to, (int)(test_random_u64(&writer->random) % 3) * 1000, &error);
        for (int i = from; i < to; i++) writer->deleted[i] = deletes;
        atomic_fetch_add(&writer->batches, 1);
    }
    return NULL;
}

static uint64_t rows_of(const struct writer *writer) {
    uint64_t rows = 0;
    for (int i = 0; i < ITEMS; i++) rows += !writer->deleted[i];
    return rows;
}

static void begin_writing(struct fixture *f, struct writer **writer, pthread_t *thread, uint64_t seed) {
    *writer = calloc(1, sizeof **writer);
    (*writer)->db = f->db;
    (*writer)->random = test_random_of(seed);
    assert_int_equal(pthread_create(thread, NULL, write_on, *writer), 0);
}

static void end_writing(struct writer *writer, pthread_t thread) {
    atomic_store(&writer->over, true);
    pthread_join(thread, NULL);
}

static void a_build_ends_while_writers_never_pause(void **state) {
    struct fixture *f = *state;
    struct writer *writer;
    pthread_t thread;
    fill_items(f);
    begin_writing(f, &writer, &thread, 7);
    for (int round = 0; round < 6; round++) {
        set_step_bytes(f->db, round % 2 ? 0 : 64 << 10);
        uint64_t before = atomic_load(&writer->batches);
        while (atomic_load(&writer->batches) < before + 5) usleep(1000);
        assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
        if (round < 5) assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
    }
    end_writing(writer, thread);
    uint64_t rows = rows_of(writer);
    expect_sound(f, rows);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(expect_sound(f, rows), rows);
    fixture_crash(f);
    expect_sound(f, rows);
    free(writer);
}

/* A writer of one key does not wait for a build: it gets on while the build has not ended. */
static void writers_do_not_wait_for_a_build(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    begin_slowly(f, 5);
    unsigned writes = 0;
    for (; look_at(f, "by_value").state == PLINTH_INDEX_BUILDING && writes < 100000; writes++)
        write_items(f->db, (int)writes % ITEMS, (int)writes % ITEMS + 1, 7, &f->error);
    assert_true(writes > 3);
    wait_ready(f, "by_value");
    expect_sound(f, ITEMS);
}

static bool all_segments_have(struct fixture *f, uint64_t version) {
    struct view *view = view_current(&f->db->views);
    const struct view_table *table = view_find_table(view, test_table_id(f->db, "items"));
    bool have = table && table->run_count;
    uint64_t has;
    for (size_t r = 0; have && r < table->run_count; r++)
        for (size_t s = 0; have && s < run_segment_count(table->runs[r].run); s++)
            have = !segment_schema_version(run_segment(table->runs[r].run, s), &has, &f->error) && has >= version;
    view_unref(view);
    return have;
}

static void indexes_in_segments_are_built_segment_by_segment(void **state) {
    struct fixture *f = *state;
    struct writer *writer;
    pthread_t thread;
    f->db->sizes.segment_raw_bytes_max = 64 << 10;
    fill_items(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    begin_writing(f, &writer, &thread, 11);
    static const enum plinth_index_kind kinds[] = {PLINTH_INDEX_TOKEN, PLINTH_INDEX_BITMAP, PLINTH_INDEX_BLOOM};
    static const char *const names[] = {"token", "bitmap", "bloom"};
    for (int i = 0; i < 3; i++) {
        const struct plinth_index index = {
            .name = names[i], .kind = kinds[i], .columns = words_columns, .column_count = 1};
        assert_ok(plinth_table_index_create(f->db, NULL, "items", &index, &f->error), &f->error);
        assert_int_equal(look_at(f, names[i]).state, PLINTH_INDEX_READY);
    }
    end_writing(writer, thread);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "items", &schema, &f->error), &f->error);
    assert_true(all_segments_have(f, schema->version - 2)); /* two changes came with and behind the last index */
    table_schema_unref(schema);
    expect_sound(f, rows_of(writer));
    fixture_crash(f);
    expect_sound(f, rows_of(writer));
    free(writer);
}

/* Of what stands in files that nobody has read yet, too. */
static void segments_that_have_an_index_are_not_rewritten_after_a_crash(void **state) {
    struct fixture *f = *state;
    const struct plinth_index index = {
        .name = "token", .kind = PLINTH_INDEX_TOKEN, .columns = words_columns, .column_count = 1};
    fill_items(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &index, &f->error), &f->error);
    fixture_crash(f);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "items", &schema, &f->error), &f->error);
    assert_true(all_segments_have(f, schema->version - 1)); /* one change came behind the index */
    table_schema_unref(schema);
}

/* ---- ends before the end ---- */

struct waiter {
    struct plinth *db;
    struct table_id index;
    atomic_bool waits;
    enum plinth_status status;
    struct plinth_error error;
};

static void *wait_on(void *argument) {
    struct waiter *waiter = argument;
    atomic_store(&waiter->waits, true);
    waiter->status = engine_wait_for_index(waiter->db, waiter->index, &waiter->error);
    return NULL;
}

static pthread_t begin_waiting(struct fixture *f, struct waiter *waiter) {
    pthread_t thread;
    *waiter = (struct waiter){.db = f->db, .index = {1, 1, look_at(f, "by_value").id}};
    assert_int_equal(pthread_create(&thread, NULL, wait_on, waiter), 0);
    while (!atomic_load(&waiter->waits)) usleep(100);
    usleep(20000);
    return thread;
}

static void find_job(void *context, const struct plinth_job *job) {
    if (job->kind == PLINTH_JOB_INDEX_BUILD && job->state == PLINTH_JOB_RUNNING) *(uint64_t *)context = job->id;
}

static void a_cancelled_build_leaves_nothing(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    begin_slowly(f, 5);
    struct waiter waiter;
    pthread_t thread = begin_waiting(f, &waiter);
    uint64_t job = 0;
    for (int i = 0; i < 1000 && !job; i++, usleep(1000)) plinth_jobs_visit(f->db, find_job, &job);
    assert_true(job != 0);
    assert_ok(plinth_jobs_cancel(f->db, job, &f->error), &f->error);
    pthread_join(thread, NULL);
    assert_int_equal(waiter.status, PLINTH_CANCELLED);
    for (int i = 0; i < 1000 && look_at(f, "by_value").there; i++) usleep(1000);
    assert_false(look_at(f, "by_value").there);
    set_step_bytes(f->db, 0);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    expect_sound(f, ITEMS);
}

static void an_index_is_dropped_while_it_is_built(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    for (int drops_table = 0; drops_table < 2; drops_table++) {
        begin_slowly(f, 5);
        struct waiter waiter;
        pthread_t thread = begin_waiting(f, &waiter);
        if (drops_table)
            assert_ok(plinth_table_drop(f->db, NULL, "items", &f->error), &f->error);
        else
            assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
        pthread_join(thread, NULL);
        assert_int_equal(waiter.status, PLINTH_NOT_FOUND);
        if (!drops_table) expect_sound(f, ITEMS);
    }
    fixture_crash(f);
    expect_sound(f, 0);
}

static void a_rebuilt_index_takes_the_place_of_the_old_one(void **state) {
    struct fixture *f = *state;
    struct writer *writer;
    pthread_t thread;
    fill_items(f);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    begin_writing(f, &writer, &thread, 13);
    for (int round = 0; round < 3; round++) {
        uint32_t before = look_at(f, "by_value").id;
        assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", false, &f->error), &f->error);
        struct index_now now = look_at(f, "by_value");
        assert_true(now.id > before);
        assert_int_equal(now.state, PLINTH_INDEX_READY);
        assert_false(look_at(f, "by_value.rebuild").there);
    }
    end_writing(writer, thread);
    expect_sound(f, rows_of(writer));
    set_step_bytes(f->db, SMALL_STEP_BYTES);
    assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", true, &f->error), &f->error);
    assert_int_equal(look_at(f, "by_value").state, PLINTH_INDEX_READY);
    fixture_crash(f);
    /* A second call waits for the one under way. */
    if (look_at(f, "by_value.rebuild").there)
        assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", false, &f->error), &f->error);
    assert_false(look_at(f, "by_value.rebuild").there);
    expect_sound(f, rows_of(writer));
    set_step_bytes(f->db, SMALL_STEP_BYTES);
    assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", true, &f->error), &f->error);
    assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
    assert_false(look_at(f, "by_value.rebuild").there);
    assert_false(look_at(f, "by_value").there);
    assert_status(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", true, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    free(writer);
}

/* ---- tables of other shapes ---- */

/* The builder is at work on another one, and takes it up before whoever asked for it has looked. */
static void a_rebuild_that_is_ready_at_once_is_no_dropped_one(void **state) {
    struct fixture *f = *state;
    const struct plinth_index other = {
        .name = "other", .kind = PLINTH_INDEX_SORTED, .columns = words_columns, .column_count = 1};
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "id", false);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    for (int i = 0; i < 100; i++) {
        assert_ok(plinth_table_index_begin(f->db, NULL, "items", &other, &f->error), &f->error);
        assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", false, &f->error), &f->error);
        assert_ok(plinth_table_index_drop(f->db, NULL, "items", "other", &f->error), &f->error);
    }
}

static void an_index_is_dropped_while_its_rebuild_takes_its_place(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(23);
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "id", false);
    for (int i = 0; i < 100; i++) {
        assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
        assert_ok(plinth_table_index_rebuild(f->db, NULL, "items", "by_value", true, &f->error), &f->error);
        if (i % 4) usleep((useconds_t)test_random_below(&random, 300));
        assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
        assert_false(look_at(f, "by_value").there || look_at(f, "by_value.rebuild").there);
    }
}

static void a_partitioned_table_is_built_partition_by_partition(void **state) {
    struct fixture *f = *state;
    static const struct plinth_column columns[] = {{.name = "at", .type = "timestamp(us)"},
                                                   {.name = "id", .type = "int64"},
                                                   {.name = "value", .type = "int32", .nullable = true}};
    static const char *const key[] = {"at", "id"};
    const struct plinth_table_definition definition = {.columns = columns,
                                                       .column_count = 3,
                                                       .key = key,
                                                       .key_count = 2,
                                                       .partition_by = "at",
                                                       .partition_us = 60000000};
    assert_ok(plinth_table_create(f->db, NULL, "items", &definition, &f->error), &f->error);
    enum { ROWS = 8000, PARTITIONS = 7 };
    char *text = malloc(ROWS * 48);
    size_t used = 0;
    for (int i = 0; i < ROWS; i++)
        used += (size_t)sprintf(text + used, "%s2026-01-01 00:0%d:00,%d,%d", i ? ";" : "", i % PARTITIONS, i, i % 50);
    for (int pass = 0; pass < 3; pass++) {
        assert_ok(test_rows_write(f->db, "items", ROWS_UPSERT, "at timestamp(us), id int64, value int32", text, NULL,
                                  NULL, &f->error),
                  &f->error);
        if (pass < 2) assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    free(text);
    begin_slowly(f, 10);
    fixture_crash(f);
    wait_ready(f, "by_value");
    expect_sound(f, ROWS);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(expect_sound(f, ROWS), ROWS);
}

static void a_table_without_a_key_is_built_in_the_order_of_arrival(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "", false);
    for (int i = 0; i < 10000; i += 500) write_items(f->db, i, i + 500, 0, &f->error);
    begin_slowly(f, 10);
    write_items(f->db, 0, 500, 0, &f->error);
    fixture_crash(f);
    wait_ready(f, "by_value");
    assert_int_equal(expect_sound(f, 10500), 10500);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(expect_sound(f, 10500), 10500);
}

static void an_empty_table_has_its_index_at_once(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "id", false);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    write_items(f->db, 0, 1000, 0, &f->error);
    assert_int_equal(expect_sound(f, 1000), 1000);
}

/* ---- kill -9 ---- */

#if !defined(__SANITIZE_THREAD__)
/* With merges: for a process that is killed. */
static const struct plinth_options merging_options = {
    .memtable_bytes = 256 << 10, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};

/* The life of a process: writes and an index that is built in small steps, until it is killed. */
static void live(const char *path, uint64_t seed) {
    struct plinth *db;
    struct plinth_error error;
    static struct writer writer;
    if (plinth_open(path, &merging_options, &db, &error)) _exit(1);
    set_step_bytes(db, SMALL_STEP_BYTES);
    enum plinth_status st = plinth_table_index_begin(db, NULL, "items", &by_value, &error);
    if (st && st != PLINTH_ALREADY_EXISTS) _exit(2);
    writer.db = db;
    writer.random = test_random_of(seed);
    write_on(&writer);
}

static void a_killed_process_leaves_a_build_that_goes_on(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    fixture_close(f);
    struct test_random random = test_random_of(17);
    unsigned building = 0;
    for (int life = 0; life < 6; life++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) live(f->path, (uint64_t)life);
        usleep(30000 + (useconds_t)(test_random_u64(&random) % 150000));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        fixture_open(f);
        struct index_now now = look_at(f, "by_value");
        building += now.there && now.state == PLINTH_INDEX_BUILDING;
        struct plinth_verify_result result;
        assert_ok(plinth_verify(f->db, on_problem, NULL, &result, &f->error), &f->error);
        assert_int_equal(result.problems, 0);
        if (now.there && life % 2) {
            wait_ready(f, "by_value");
            assert_ok(plinth_compact(f->db, &f->error), &f->error);
            assert_ok(plinth_verify(f->db, on_problem, NULL, &result, &f->error), &f->error);
            assert_int_equal(result.problems, 0);
            assert_int_equal(result.index_entries, result.rows);
            assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
        }
        fixture_close(f);
    }
    assert_true(building > 0);
    fixture_open(f);
}
#endif

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_build_goes_on_after_a_crash_where_it_was),
        TEST(an_orderly_close_keeps_a_build_too),
        TEST(a_build_ends_while_writers_never_pause),
        TEST(writers_do_not_wait_for_a_build),
        TEST(indexes_in_segments_are_built_segment_by_segment),
        TEST(segments_that_have_an_index_are_not_rewritten_after_a_crash),
        TEST(a_cancelled_build_leaves_nothing),
        TEST(an_index_is_dropped_while_it_is_built),
        TEST(a_rebuilt_index_takes_the_place_of_the_old_one),
        TEST(a_rebuild_that_is_ready_at_once_is_no_dropped_one),
        TEST(an_index_is_dropped_while_its_rebuild_takes_its_place),
        TEST(a_partitioned_table_is_built_partition_by_partition),
        TEST(a_table_without_a_key_is_built_in_the_order_of_arrival),
        TEST(an_empty_table_has_its_index_at_once),
#if !defined(__SANITIZE_THREAD__) /* which does not follow a fork's threads */
        TEST(a_killed_process_leaves_a_build_that_goes_on),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
