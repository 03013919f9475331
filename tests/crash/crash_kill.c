/* Processes killed for real: a child writes from several threads through the embedded engine on a real directory and
 * tells of each acknowledgement through a pipe; SIGKILL ends it at a random moment, also while it opens; the directory
 * is opened again and compared. The operating system lives on, so that what was acknowledged as written must be there
 * too. (What a power cut takes only crash_sim shows.)
 *
 * Thread t makes its steps 1, 2, 3 ... each an atomic write of key "t/<n mod 97>" with a value made of n, two index
 * values, now and then a delete instead, and "t/last" = n. A thread makes one step at a time, so the number under
 * "t/last" says what every other key of it must hold; it is the last step told of, or the one after it. One step in
 * three writes rows instead: row (t, -1) of the table "rows" has the step's number, beside up to 3 of its rows, or (as
 * an atomic write of several records) all of them; or it deletes 2 rows before. Now and then the directory that a kill
 * left is opened and killed again before it is compared. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log_event.h"
#include "crash/crash_check.h"
#include "engine/rows.h"
#include "support/table_support.h"

enum {
    THREADS = 4,
    KEYS = 97,
    SLOTS = 40,
    RECORD_BYTES = 4096,
    VALUE_BYTES = 200,
    WATCH_SECONDS = 120,
    LIFE_MS_MAX = 250
};

static struct crash_options options = {.seed = 1, .rounds = 25, .cycles = 3};

/* What the child tells: well below PIPE_BUF, so never torn. */
struct told {
    uint32_t thread;
    uint32_t life; /* of the directory: which child it was */
    uint64_t step;
};

/* ---- what a step writes ---- */

static uint64_t mix(uint64_t thread, uint64_t step) {
    struct test_random random = test_random_of(thread * 1000003 + step);
    return test_random_u64(&random);
}

static bool is_delete(uint64_t thread, uint64_t step) { return mix(thread, step) % 9 == 0; }

/* A step that writes rows, and how. */
enum rows_step { NO_ROWS, SOME_ROWS, ALL_ROWS, DELETED_ROWS };

static enum rows_step rows_step_of(uint64_t thread, uint64_t step) {
    uint64_t dice = mix(thread + 100, step);
    if (dice % 3) return NO_ROWS;
    return dice / 3 % 4 == 0 ? ALL_ROWS : dice / 3 % 4 == 1 ? DELETED_ROWS : SOME_ROWS;
}

static bool writes_slot(uint64_t thread, uint64_t step, uint64_t slot) {
    uint64_t dice = mix(thread + 200, step);
    switch (rows_step_of(thread, step)) {
    case ALL_ROWS: return true;
    case DELETED_ROWS: return slot == dice % SLOTS || slot == dice / SLOTS % SLOTS;
    case SOME_ROWS: return slot == dice % SLOTS || slot == dice / SLOTS % SLOTS || slot == dice / 1600 % SLOTS;
    default: return false;
    }
}

static size_t make_value(uint64_t thread, uint64_t step, uint8_t value[VALUE_BYTES]) {
    struct test_random random = test_random_of(mix(thread, step));
    size_t size = 16 + test_random_below(&random, VALUE_BYTES - 16);
    memcpy(value, &thread, 8);
    memcpy(value + 8, &step, 8);
    memset(value + 16, 'a' + (int)(step % 26), size - 16);
    return size;
}

static size_t make_key(uint64_t thread, uint64_t step, char key[32]) {
    return (size_t)sprintf(key, "%" PRIu64 "/%02" PRIu64, thread, step % KEYS);
}

/* Steps with the same number here share a value of the index "group". */
static size_t make_group(uint64_t thread, uint64_t step, char group[32]) {
    return (size_t)sprintf(group, "%" PRIu64 ":%" PRIu64, thread, mix(thread, step) % 5);
}

static struct plinth_write_options how_durable(uint64_t thread, uint64_t step) {
    return (struct plinth_write_options){.durability = (thread + step / 64) % 2 ? PLINTH_DURABILITY_SYNCED
                                                                                : PLINTH_DURABILITY_WRITTEN};
}

static enum plinth_status write_step(struct plinth *db, struct plinth_space space, uint64_t thread, uint64_t step,
                                     struct plinth_error *error) {
    char key[32], last[32], group[32], owner[32];
    uint8_t value[VALUE_BYTES];
    size_t value_size = make_value(thread, step, value);
    struct plinth_index_value indexes[2] = {
        {plinth_text("group"), plinth_bytes(group, make_group(thread, step, group))},
        {plinth_text("owner"), plinth_bytes(owner, (size_t)sprintf(owner, "%" PRIu64, thread))}};
    struct plinth_operation operations[2] = {
        {.kind = is_delete(thread, step) ? PLINTH_DELETE : PLINTH_SET,
         .space = space,
         .key = plinth_bytes(key, make_key(thread, step, key))},
        {.kind = PLINTH_SET,
         .space = space,
         .key = plinth_bytes(last, (size_t)sprintf(last, "%" PRIu64 "/last", thread)),
         .value = plinth_bytes(&step, sizeof step)}};
    if (operations[0].kind == PLINTH_SET) {
        operations[0].value = plinth_bytes(value, value_size);
        operations[0].indexes = indexes;
        operations[0].index_count = 2;
    }
    struct plinth_write_options how = how_durable(thread, step);
    return plinth_write(db, operations, 2, &how, NULL, error);
}

static const char ROWS[] = "thread int32, slot int32, step int64, text string";

static enum plinth_status write_batch(struct plinth *db, struct table_id table, enum rows_operation operation,
                                      const char *columns, const char *text, const struct plinth_write_options *how,
                                      struct plinth_error *error) {
    struct test_rows rows;
    struct rows_result result;
    test_rows_init(&rows, columns, text);
    struct rows_write write = {
        .operation = operation, .schema = &rows.schema, .batch = rows.batch, .atomic = true, .no_reject = true};
    enum plinth_status st = rows_submit(db, table, &write, how, &result, error);
    if (!st) st = rows_wait(db, how, &result, error);
    rows_result_deinit(&result);
    test_rows_deinit(&rows);
    return st;
}

static enum plinth_status write_rows(struct plinth *db, struct table_id table, uint64_t thread, uint64_t step,
                                     struct plinth_error *error) {
    char upserts[SLOTS * 320], deletes[64] = "";
    size_t used = (size_t)sprintf(upserts, "%" PRIu64 ",-1,%" PRIu64 ",-", thread, step), deleted = 0;
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        if (!writes_slot(thread, step, slot)) continue;
        if (rows_step_of(thread, step) == DELETED_ROWS)
            deleted += (size_t)sprintf(deletes + deleted, "%" PRIu64 ",%" PRIu64 ";", thread, slot);
        else
            used += (size_t)sprintf(upserts + used, ";%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%0250" PRIu64, thread, slot,
                                    step, step * SLOTS + slot);
    }
    struct plinth_write_options how = how_durable(thread, step);
    enum plinth_status st = PLINTH_OK;
    if (deleted) st = write_batch(db, table, ROWS_DELETE, "thread int32, slot int32", deletes, &how, error);
    if (!st) st = write_batch(db, table, ROWS_UPSERT, ROWS, upserts, &how, error);
    return st;
}

/* ---- the rows that are there ---- */

struct shown_rows {
    uint64_t last[THREADS];
    uint64_t steps[THREADS][SLOTS]; /* 0: no row */
};

static void read_block(void *context, const struct row_block *block) {
    struct shown_rows *shown = context;
    const struct column *columns = block->columns->columns;
    for (uint32_t row = 0; row < block->rows; row++) {
        int32_t thread = ((const int32_t *)columns[0].values)[row], slot = ((const int32_t *)columns[1].values)[row];
        uint64_t step = (uint64_t)((const int64_t *)columns[2].values)[row];
        assert_true(thread >= 0 && thread < THREADS && slot >= -1 && slot < SLOTS);
        if (slot < 0) {
            shown->last[thread] = step;
            continue;
        }
        char text[320];
        int size = sprintf(text, "%0250" PRIu64, step * SLOTS + (uint64_t)slot);
        assert_true(slice_equal(column_bytes_at(&columns[3], row), slice_of(text, (size_t)size)));
        assert_int_equal(shown->steps[thread][slot], 0);
        shown->steps[thread][slot] = step;
    }
}

static void read_rows(struct plinth *db, struct shown_rows *shown) {
    struct plinth_error error;
    *shown = (struct shown_rows){0};
    enum plinth_status st = test_table_visit(db, "rows", read_block, shown, &error);
    if (st != PLINTH_NOT_FOUND) assert_ok(st, &error);
}

/* ---- the child ---- */

struct writer {
    struct plinth *db;
    struct plinth_space space;
    struct table_id table;
    uint64_t thread;
    uint64_t last; /* what is there */
    uint32_t life;
    int pipe;
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "the writing process: %s: %s\n", what, why);
    _exit(9);
}

static void *write_until_killed(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    for (uint64_t step = writer->last + 1;; step++) {
        enum plinth_status st = rows_step_of(writer->thread, step)
                                    ? write_rows(writer->db, writer->table, writer->thread, step, &error)
                                    : write_step(writer->db, writer->space, writer->thread, step, &error);
        if (st) die("write", error.text);
        struct told told = {(uint32_t)writer->thread, writer->life, step};
        if (write(writer->pipe, &told, sizeof told) != sizeof told) die("pipe", strerror(errno));
    }
    return NULL;
}

static const struct plinth_options small = {
    .memtable_bytes = 256 << 10, .cache_bytes = 4 << 20, .log_segment_bytes = 128 << 10, .log_sync_interval_ms = 5};

static enum plinth_status read_last(struct plinth *db, struct plinth_space space, uint64_t thread, uint64_t *step,
                                    struct plinth_error *error) {
    char key[32];
    struct plinth_buffer value = {0};
    *step = 0;
    sprintf(key, "%" PRIu64 "/last", thread);
    enum plinth_status st = plinth_get(db, space, plinth_text(key), NULL, &value, NULL, error);
    if (!st && value.size == sizeof *step) memcpy(step, value.data, sizeof *step);
    plinth_buffer_deinit(&value);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static struct table_id make_table(struct plinth *db) {
    static const struct plinth_column columns[] = {{"thread", "int32", false, 0},
                                                   {"slot", "int32", false, 0},
                                                   {"step", "int64", false, 0},
                                                   {"text", "string", true, 0}};
    static const char *const key[] = {"thread", "slot"}, *const by[] = {"step"};
    static const struct plinth_table_definition definition = {
        .columns = columns, .column_count = 4, .key = key, .key_count = 2};
    static const struct plinth_index index = {
        .name = "by_step", .kind = PLINTH_INDEX_SORTED, .columns = by, .column_count = 1};
    const struct table_schema *schema;
    struct plinth_error error;
    db->rows_record_bytes_max = RECORD_BYTES;
    enum plinth_status st = plinth_table_create(db, NULL, "rows", &definition, &error);
    if (!st || st == PLINTH_ALREADY_EXISTS) st = plinth_table_index_create(db, NULL, "rows", &index, &error);
    if (st && st != PLINTH_ALREADY_EXISTS) die("table", error.text);
    if (engine_find_schema(db, NULL, "rows", &schema, &error)) die("table", error.text);
    struct table_id id = schema->id;
    table_schema_unref(schema);
    return id;
}

static void run_child(const char *path, uint32_t life, int pipe) {
    static struct writer writers[THREADS];
    struct plinth_error error;
    struct plinth *db;
    struct plinth_space space;
    pthread_t threads[THREADS];
    alarm(WATCH_SECONDS);
    if (plinth_open(path, &small, &db, &error)) die("open", error.text);
    if (plinth_space_find(db, NULL, NULL, &space, &error)) die("space", error.text);
    struct table_id table = make_table(db);
    static struct shown_rows shown;
    read_rows(db, &shown);
    for (uint64_t t = 0; t < THREADS; t++) {
        writers[t] = (struct writer){db, space, table, t, 0, life, pipe};
        if (read_last(db, space, t, &writers[t].last, &error)) die("read", error.text);
        if (writers[t].last < shown.last[t]) writers[t].last = shown.last[t];
    }
    for (uint64_t t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, write_until_killed, &writers[t])) die("thread", "cannot start");
    /* Flushes and merges go on under the writers. */
    for (uint64_t i = 0;; i++) {
        if (i % 5 == 4 ? plinth_compact(db, &error) : plinth_flush(db, &error)) die("flush", error.text);
        usleep(5000 + (useconds_t)(mix(life, i) % 20000));
    }
}

/* ---- the comparison ---- */

struct directory {
    char path[TEST_PATH_MAX];
    uint64_t told[THREADS];   /* the last step that was acknowledged, or shown after an opening */
    uint64_t untold[THREADS]; /* lives that ended since: each may have made one more step */
    uint32_t life;
};

struct tally {
    uint64_t kills, before_open, steps, replayed;
};
static struct tally tally;

/* The step that the key number `at` of the thread holds after its step `last`; 0 when it holds nothing. */
static uint64_t expected_step(uint64_t thread, uint64_t last, uint64_t at) {
    uint64_t back = (last + KEYS - at) % KEYS;
    while (back < last && rows_step_of(thread, last - back)) back += KEYS;
    if (back >= last) return 0;
    return is_delete(thread, last - back) ? 0 : last - back;
}

/* The same for a row. */
static uint64_t expected_row(uint64_t thread, uint64_t last, uint64_t slot) {
    while (last && !writes_slot(thread, last, slot)) last--;
    return last && rows_step_of(thread, last) == DELETED_ROWS ? 0 : last;
}

static void check_rows(const struct shown_rows *shown, uint64_t thread, uint64_t last) {
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        uint64_t step = shown->steps[thread][slot], wanted = expected_row(thread, last, slot);
        /* The next step may have deleted, and not have said so yet. */
        bool deleted = rows_step_of(thread, last + 1) == DELETED_ROWS && writes_slot(thread, last + 1, slot);
        if (step == wanted || (deleted && !step)) continue;
        fail_msg("row (%" PRIu64 ", %" PRIu64 ") is of step %" PRIu64 ", not %" PRIu64 "; %" PRIu64 " was the last",
                 thread, slot, step, wanted, last);
    }
}

static void check_keys(struct plinth *db, struct plinth_space space, uint64_t thread, uint64_t last) {
    struct plinth_buffer value = {0};
    struct plinth_error error;
    for (uint64_t at = 0; at < KEYS; at++) {
        char key[32];
        uint8_t wanted[VALUE_BYTES];
        uint64_t step = expected_step(thread, last, at);
        size_t key_size = make_key(thread, at, key);
        enum plinth_status st = plinth_get(db, space, plinth_bytes(key, key_size), NULL, &value, NULL, &error);
        if (!step) {
            assert_status(st, PLINTH_NOT_FOUND, &error);
            continue;
        }
        assert_ok(st, &error);
        assert_int_equal(value.size, make_value(thread, step, wanted));
        assert_memory_equal(value.data, wanted, value.size);
    }
    plinth_buffer_deinit(&value);
}

/* The rows of one index value are the keys whose steps carry it, with their values. */
static void check_index(struct plinth *db, struct plinth_space space, uint64_t thread, uint64_t last, const char *index,
                        const char *index_value) {
    struct plinth_index_scan_options exact = {
        .index = plinth_text(index), .value = plinth_text(index_value), .with_values = true};
    struct plinth_error error;
    struct plinth_scan *scan;
    struct plinth_row row;
    enum plinth_status st = plinth_index_scan_open(db, space, &exact, &scan, &error);
    if (st == PLINTH_NOT_FOUND && last < 2) return;
    assert_ok(st, &error);
    bool found = true;
    for (uint64_t at = 0; at < KEYS; at++) { /* the order of the numbers is that of the keys */
        uint64_t step = expected_step(thread, last, at);
        char key[32], group[32];
        uint8_t wanted[VALUE_BYTES];
        if (!step) continue;
        make_group(thread, step, group);
        if (strcmp(index, "group") == 0 && strcmp(group, index_value) != 0) continue;
        assert_ok(plinth_scan_next(scan, &row, &found, &error), &error);
        assert_true(found);
        assert_int_equal(row.key.size, make_key(thread, at, key));
        assert_memory_equal(row.key.data, key, row.key.size);
        assert_int_equal(row.value.size, make_value(thread, step, wanted));
        assert_memory_equal(row.value.data, wanted, row.value.size);
    }
    assert_ok(plinth_scan_next(scan, &row, &found, &error), &error);
    assert_false(found);
    plinth_scan_close(scan);
}

static void compare(struct directory *directory) {
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
    struct plinth_stats stats;
    assert_ok(plinth_open(directory->path, &small, &db, &error), &error);
    assert_ok(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    static struct shown_rows shown;
    read_rows(db, &shown);
    for (uint64_t t = 0; t < THREADS; t++) {
        uint64_t last;
        assert_ok(read_last(db, space, t, &last, &error), &error);
        if (last < shown.last[t]) last = shown.last[t];
        if (last < directory->told[t] || last > directory->told[t] + directory->untold[t])
            fail_msg("thread %" PRIu64 " is at step %" PRIu64 "; %" PRIu64 " was the last acknowledged one", t, last,
                     directory->told[t]);
        check_keys(db, space, t, last);
        check_rows(&shown, t, last);
        for (int group = 0; group < 5; group++) {
            char value[32];
            sprintf(value, "%" PRIu64 ":%d", t, group);
            check_index(db, space, t, last, "group", value);
        }
        char owner[32];
        sprintf(owner, "%" PRIu64, t);
        check_index(db, space, t, last, "owner", owner);
        tally.steps += last - directory->told[t];
        directory->told[t] = last;
        directory->untold[t] = 0;
    }
    crash_check_verify(db);
    plinth_stats_read(db, &stats);
    tally.replayed += stats.replayed_records;
    plinth_close(db);
}

/* ---- a life and its end ---- */

/* Reads what the child tells until it is gone. */
static void listen(struct directory *directory, int pipe) {
    struct told told;
    ssize_t got;
    while ((got = read(pipe, &told, sizeof told)) > 0) {
        assert_int_equal(got, sizeof told);
        assert_int_equal(told.life, directory->life);
        assert_true(told.thread < THREADS);
        /* One step after the other, but for those that the ends of former lives left untold. */
        uint64_t *last = &directory->told[told.thread], *untold = &directory->untold[told.thread];
        assert_true(told.step > *last && told.step <= *last + 1 + *untold);
        *last = told.step;
        *untold = 0;
        tally.steps++;
    }
    assert_int_equal(got, 0);
    for (int t = 0; t < THREADS; t++) directory->untold[t]++;
}

struct killer {
    pid_t child;
    uint64_t after_us;
};

static void *kill_later(void *argument) {
    struct killer *killer = argument;
    struct timespec time = {(time_t)(killer->after_us / 1000000), (long)(killer->after_us % 1000000) * 1000};
    nanosleep(&time, NULL);
    kill(killer->child, SIGKILL);
    return NULL;
}

static void live_and_die(struct directory *directory, uint64_t life_us) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    directory->life++;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        run_child(directory->path, directory->life, ends[1]);
    }
    close(ends[1]);
    struct killer killer = {child, life_us};
    pthread_t thread;
    uint64_t told = tally.steps;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &killer), 0);
    listen(directory, ends[0]);
    pthread_join(thread, NULL);
    close(ends[0]);
    int status = 0;
    assert_true(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the writing process ended by itself: status %d", status);
    tally.kills++;
    tally.before_open += tally.steps == told;
}

static void round_of(uint64_t seed) {
    struct test_random random = test_random_of(seed);
    struct directory directory = {.life = 0};
    test_directory_create(directory.path);
    crash_watch(WATCH_SECONDS, seed);
    for (uint64_t cycle = 0; cycle < options.cycles; cycle++) {
        /* One in four dies young: while it opens, or makes its first files. */
        uint64_t life_us = test_random_below(&random, (test_random_below(&random, 4) ? LIFE_MS_MAX : 8) * 1000);
        live_and_die(&directory, life_us);
        /* Now and then the next one finds what a killed recovery has left. */
        if (test_random_below(&random, 4) == 0) live_and_die(&directory, test_random_below(&random, 10 * 1000));
        compare(&directory);
    }
    crash_watch(0, seed);
    test_directory_remove(directory.path);
}

int main(int argc, char **argv) {
#if defined(__SANITIZE_THREAD__)
    printf("skipped: ThreadSanitizer makes a life too slow to be worth killing; crash_sim runs under it\n");
    return 77;
#endif
    crash_options_read(&options, argc, argv);
    int failed = crash_run_rounds(argv[0], &options, round_of);
    printf("kills=%" PRIu64 " before_the_first_step=%" PRIu64 " steps=%" PRIu64 " replayed=%" PRIu64 "\n", tally.kills,
           tally.before_open, tally.steps, tally.replayed);
    fflush(NULL);
    _exit(failed);
}
