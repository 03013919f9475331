/* Damage that no crash explains: flipped bits, shortened and missing files, a FORMAT of another version.
 *
 * A small database is closed in order, one thing is damaged, and the engine is opened and read. What it then says is
 * an error that names the file, or the truth; never less than the truth, never something else. With the damage undone
 * everything is as before: a failed opening has changed nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log_event.h"
#include "crash/crash_machine.h"

enum { WATCH_SECONDS = 120, FILES_MAX = 64, PATH_BYTES = 256, ROWS_MAX = 512, SAMPLES = 48 };

static const struct plinth_options quiet = {.memtable_bytes = 1 << 20,
                                            .cache_bytes = 1 << 20,
                                            .log_segment_bytes = 16384,
                                            .log_sync_interval_ms = 2,
                                            .no_background_compaction = true};

struct row_copy {
    uint8_t key[64], value[512];
    size_t key_size, value_size;
};

static struct crash_machine *machine;
static struct test_random dice = {7};
static struct row_copy rows[ROWS_MAX]; /* the truth, in the order of keys */
static size_t row_count;
static struct plinth_space space;

/* ---- files ---- */

struct file_list {
    char paths[FILES_MAX][PATH_BYTES];
    size_t count;
    const char *directory;
};

static bool add_file(void *context, const char *name, bool is_directory) {
    struct file_list *list = context;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", list->directory, name);
    if (is_directory) {
        const char *outer = list->directory;
        struct plinth_error error;
        list->directory = path;
        assert_ok(env_list(sim_env_base(machine->sim), path, add_file, list, &error), &error);
        list->directory = outer;
    } else {
        assert_true(list->count < FILES_MAX);
        memcpy(list->paths[list->count++], path, sizeof path);
    }
    return true;
}

static int compare_paths(const void *a, const void *b) { return strcmp(a, b); }

/* The files below a directory, by name. */
static struct file_list files_below(const char *directory) {
    struct file_list list = {.directory = directory};
    struct plinth_error error;
    assert_ok(env_list(sim_env_base(machine->sim), directory, add_file, &list, &error), &error);
    qsort(list.paths, list.count, PATH_BYTES, compare_paths);
    assert_true(list.count > 0);
    return list;
}

static struct buffer bytes_of(const char *path) {
    struct buffer bytes;
    assert_true(sim_env_file_bytes(machine->sim, path, &bytes));
    return bytes;
}

static void remove_file(const char *path) {
    struct plinth_error error;
    assert_ok(env_remove(sim_env_base(machine->sim), path, &error), &error);
}

/* ---- the truth ---- */

static void copy_rows(void) {
    struct plinth_scan_options all = {0};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    assert_ok(plinth_space_find(machine->db, NULL, NULL, &space, &machine->error), &machine->error);
    assert_ok(plinth_scan_open(machine->db, space, &all, &scan, &machine->error), &machine->error);
    for (row_count = 0;; row_count++) {
        assert_ok(plinth_scan_next(scan, &row, &found, &machine->error), &machine->error);
        if (!found) break;
        struct row_copy *copy = &rows[row_count];
        assert_true(row_count < ROWS_MAX && row.key.size <= sizeof copy->key && row.value.size <= sizeof copy->value);
        copy->key_size = row.key.size;
        copy->value_size = row.value.size;
        memcpy(copy->key, row.key.data, row.key.size);
        if (row.value.size) memcpy(copy->value, row.value.data, row.value.size);
    }
    plinth_scan_close(scan);
    assert_true(row_count > 100);
}

/* A database with everything in it: merged and fresh segments, two checkpoints, a log of several files with records
 * that are in no segment; closed. */
static int set_up(void **state) {
    (void)state;
    crash_watch(WATCH_SECONDS, 0);
    machine = crash_machine_create(11);
    assert_ok(crash_machine_open(machine, &quiet), &machine->error);
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 120; i++)
            assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_SYNCED), &machine->error);
        if (part == 0) assert_ok(plinth_compact(machine->db, &machine->error), &machine->error);
        if (part == 1) assert_ok(plinth_flush(machine->db, &machine->error), &machine->error);
    }
    /* A kill makes another log file. */
    sim_env_fail(machine->sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
    crash_machine_kill(machine);
    assert_ok(crash_machine_open(machine, &quiet), &machine->error);
    for (int i = 0; i < 120; i++) assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_SYNCED), &machine->error);
    copy_rows();
    crash_machine_close(machine);
    crash_machine_note_all_durable(machine);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    crash_machine_destroy(machine);
    return 0;
}

/* ---- what is said ---- */

static bool is_damage(enum plinth_status st, const char *name) {
    if (!st) return false;
    if (st != PLINTH_CORRUPT && st != PLINTH_UNSUPPORTED)
        fail_msg("damage of %s is called %s: \"%s\"", name, plinth_status_name(st), machine->error.text);
    assert_error_names(&machine->error, name);
    return true;
}

static size_t problems_found;
static const char *problem_name;

static void on_problem(void *context, const char *object, const char *problem) {
    (void)context;
    problems_found += strstr(object, problem_name) || strstr(problem, problem_name);
}

/* Whether verify finds something and names the file. */
static bool verify_finds(const char *name) {
    problems_found = 0;
    problem_name = name;
    enum plinth_status st = plinth_verify(machine->db, on_problem, NULL, NULL, &machine->error);
    return is_damage(st, name) || problems_found;
}

/* Each key gives its value or an error that names the file; the scan gives the right rows up to one. */
static bool reads_find(const char *name) {
    struct plinth_buffer value = {0};
    bool damaged = false;
    for (size_t i = 0; i < row_count; i++) {
        enum plinth_status st = plinth_get(machine->db, space, plinth_bytes(rows[i].key, rows[i].key_size), NULL,
                                           &value, NULL, &machine->error);
        if (is_damage(st, name)) {
            damaged = true;
            continue;
        }
        assert_int_equal(value.size, rows[i].value_size);
        assert_true(!value.size || memcmp(value.data, rows[i].value, value.size) == 0);
    }
    plinth_buffer_deinit(&value);
    struct plinth_scan_options all = {0};
    struct plinth_scan *scan;
    if (is_damage(plinth_scan_open(machine->db, space, &all, &scan, &machine->error), name)) return true;
    for (size_t i = 0;; i++) {
        struct plinth_row row;
        bool found;
        if (is_damage(plinth_scan_next(scan, &row, &found, &machine->error), name)) {
            damaged = true;
            break;
        }
        assert_true(found == (i < row_count));
        if (!found) break;
        assert_int_equal(row.key.size, rows[i].key_size);
        assert_memory_equal(row.key.data, rows[i].key, row.key.size);
        assert_int_equal(row.value.size, rows[i].value_size);
        assert_true(!row.value.size || memcmp(row.value.data, rows[i].value, row.value.size) == 0);
    }
    plinth_scan_close(scan);
    return damaged;
}

/* Everything is there. */
static void assert_whole(void) {
    assert_ok(crash_machine_open(machine, &quiet), &machine->error);
    crash_machine_compare(machine);
    crash_machine_close(machine);
}

/* The end of the path, as messages may leave the directory out. */
static const char *object_of(const char *path) {
    const char *store = strstr(path, "/store/");
    return store ? store + strlen("/store/") : path;
}

/* After an opening that may have changed the log (it cannot know of later records): a new one. */
static void start_over(void) {
    tear_down(NULL);
    set_up(NULL);
}

/* ---- flipped bits ---- */

/* Offsets to try in a file: its ends, and some between. */
static uint64_t choose_offset(int sample, uint64_t size) {
    if (sample < 8) return (uint64_t)sample % size;
    if (sample < 20) return size - 1 - (uint64_t)(sample - 8) % size;
    return test_random_below(&dice, size);
}

static uint8_t choose_mask(void) { return (uint8_t)(1u << test_random_below(&dice, 8)); }

static void flips_in_a_segment_are_named_and_never_change_an_answer(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/store/segments");
    uint64_t refused = 0, unreadable = 0, verified = 0, silent = 0;
    for (size_t f = 0; f < list.count; f++) {
        struct buffer whole = bytes_of(list.paths[f]);
        const char *name = object_of(list.paths[f]);
        for (int sample = 0; sample < SAMPLES; sample++) {
            uint64_t offset = choose_offset(sample, whole.size);
            sim_env_flip(machine->sim, list.paths[f], offset, choose_mask());
            if (is_damage(crash_machine_open(machine, &quiet), name)) {
                refused++;
            } else {
                bool read = reads_find(name), found = verify_finds(name);
                unreadable += read;
                verified += found;
                silent += !found;
                if (!found) print_message("%s: nobody minds byte %" PRIu64 " of %zu\n", name, offset, whole.size);
                crash_machine_close(machine);
            }
            sim_env_put_file(machine->sim, list.paths[f], buffer_slice(&whole));
        }
        buffer_deinit(&whole);
    }
    print_message("flips: %" PRIu64 " refused at open, %" PRIu64 " met by reads, %" PRIu64 " found by verify, %" PRIu64
                  " harmless\n",
                  refused, unreadable, verified, silent);
    assert_true(unreadable > 0 && verified > 0); /* opening reads no segment that was checked before */
    assert_whole();
}

static void flips_in_the_log_are_named_or_harmless(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/log");
    uint64_t refused = 0, harmless = 0;
    for (size_t f = 0; f < list.count; f++) {
        struct buffer whole = bytes_of(list.paths[f]);
        for (int sample = 0; sample < SAMPLES; sample++) {
            uint64_t offset = choose_offset(sample, whole.size);
            if (sample >= 20 && sample % 2) offset = 4096 + test_random_below(&dice, whole.size / 8);
            if (offset >= whole.size) continue;
            sim_env_flip(machine->sim, list.paths[f], offset, choose_mask());
            if (is_damage(crash_machine_open(machine, &quiet), list.paths[f])) {
                refused++;
                sim_env_put_file(machine->sim, list.paths[f], buffer_slice(&whole));
                continue;
            }
            /* Space behind the last record, or the mark of the clean end. */
            harmless++;
            crash_machine_compare(machine);
            crash_machine_close(machine);
            start_over();
            list = files_below(CRASH_DIRECTORY "/log");
            if (f >= list.count) break;
            buffer_deinit(&whole);
            whole = bytes_of(list.paths[f]);
        }
        buffer_deinit(&whole);
    }
    print_message("flips: %" PRIu64 " refused at open, %" PRIu64 " harmless\n", refused, harmless);
    assert_true(refused > 0);
    assert_whole();
}

static void a_damaged_checkpoint_costs_nothing_and_two_are_named(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/store/checkpoints");
    assert_int_equal(list.count, 2);
    struct buffer older = bytes_of(list.paths[0]), newer = bytes_of(list.paths[1]);
    for (int sample = 0; sample < SAMPLES; sample++) {
        uint64_t offset = choose_offset(sample, older.size < newer.size ? older.size : newer.size);
        sim_env_flip(machine->sim, list.paths[0], offset, choose_mask());
        sim_env_flip(machine->sim, list.paths[1], offset, choose_mask());
        assert_true(is_damage(crash_machine_open(machine, &quiet), "/store/checkpoints/"));
        sim_env_put_file(machine->sim, list.paths[0], buffer_slice(&older));
        sim_env_put_file(machine->sim, list.paths[1], buffer_slice(&newer));
    }
    buffer_deinit(&older);
    buffer_deinit(&newer);
    for (int sample = 0; sample < SAMPLES; sample++) {
        list = files_below(CRASH_DIRECTORY "/store/checkpoints");
        newer = bytes_of(list.paths[list.count - 1]);
        sim_env_flip(machine->sim, list.paths[list.count - 1], choose_offset(sample, newer.size), choose_mask());
        buffer_deinit(&newer);
        assert_whole();
    }
}

/* ---- shortened and missing files ---- */

static void a_shortened_segment_is_named(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/store/segments");
    for (size_t f = 0; f < list.count; f++) {
        struct buffer whole = bytes_of(list.paths[f]);
        for (int sample = 0; sample < 12; sample++) {
            uint64_t size = sample ? test_random_below(&dice, whole.size) : 0;
            sim_env_put_file(machine->sim, list.paths[f], slice_of(whole.data, size));
            assert_true(is_damage(crash_machine_open(machine, &quiet), object_of(list.paths[f])));
        }
        sim_env_put_file(machine->sim, list.paths[f], buffer_slice(&whole));
        buffer_deinit(&whole);
    }
    assert_whole();
}

static void a_missing_segment_is_named(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/store/segments");
    for (size_t f = 0; f < list.count; f++) {
        struct buffer whole = bytes_of(list.paths[f]);
        remove_file(list.paths[f]);
        assert_true(is_damage(crash_machine_open(machine, &quiet), object_of(list.paths[f])));
        sim_env_put_file(machine->sim, list.paths[f], buffer_slice(&whole));
        buffer_deinit(&whole);
    }
    assert_whole();
}

static void a_missing_log_file_is_noticed(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/log");
    assert_true(list.count >= 2);
    for (size_t f = 0; f < list.count; f++) {
        remove_file(list.paths[f]);
        assert_true(is_damage(crash_machine_open(machine, &quiet), CRASH_DIRECTORY));
        start_over();
        list = files_below(CRASH_DIRECTORY "/log");
    }
}

static void a_missing_log_is_noticed(void **state) {
    (void)state;
    struct file_list list = files_below(CRASH_DIRECTORY "/log");
    for (size_t f = 0; f < list.count; f++) remove_file(list.paths[f]);
    assert_true(is_damage(crash_machine_open(machine, &quiet), CRASH_DIRECTORY));
}

static void a_shortened_log_file_is_named(void **state) {
    (void)state;
    for (int sample = 0; sample < 40; sample++) {
        struct file_list list = files_below(CRASH_DIRECTORY "/log");
        size_t f = (size_t)test_random_below(&dice, list.count);
        struct buffer whole = bytes_of(list.paths[f]);
        uint64_t size = sample % 2 ? test_random_below(&dice, whole.size) : test_random_below(&dice, 6000);
        if (size > whole.size) size = whole.size;
        sim_env_put_file(machine->sim, list.paths[f], slice_of(whole.data, size));
        enum plinth_status st = crash_machine_open(machine, &quiet);
        if (st) {
            assert_true(is_damage(st, CRASH_DIRECTORY));
        } else {
            crash_machine_compare(machine); /* only space behind the last record was cut off */
            crash_machine_close(machine);
        }
        start_over();
        buffer_deinit(&whole);
    }
}

/* ---- FORMAT ---- */

static void another_format_is_refused_and_a_damaged_one_named(void **state) {
    (void)state;
    static const char path[] = CRASH_DIRECTORY "/FORMAT";
    struct buffer whole = bytes_of(path);
    char text[128];
    snprintf(text, sizeof text, "%.*s", (int)whole.size, (const char *)whole.data);
    char *number = strrchr(text, ' ');
    assert_non_null(number);
    strcpy(number + 1, "977\n");
    sim_env_put_file(machine->sim, path, slice_of_string(text));
    assert_status(crash_machine_open(machine, &quiet), PLINTH_UNSUPPORTED, &machine->error);
    assert_error_names(&machine->error, CRASH_DIRECTORY);
    assert_error_names(&machine->error, "977");
    for (size_t i = 0; i + 2 < whole.size; i++) { /* but for the number and the end of the line */
        sim_env_put_file(machine->sim, path, buffer_slice(&whole));
        sim_env_flip(machine->sim, path, i, 0x10);
        assert_true(is_damage(crash_machine_open(machine, &quiet), path));
    }
    sim_env_put_file(machine->sim, path, slice_of(NULL, 0));
    assert_true(is_damage(crash_machine_open(machine, &quiet), path));
    sim_env_put_file(machine->sim, path, buffer_slice(&whole));
    buffer_deinit(&whole);
    assert_whole();
    remove_file(path); /* as if it had never been completed */
    assert_whole();
}

#define damage_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        damage_test(flips_in_a_segment_are_named_and_never_change_an_answer),
        damage_test(flips_in_the_log_are_named_or_harmless),
        damage_test(a_damaged_checkpoint_costs_nothing_and_two_are_named),
        damage_test(a_shortened_segment_is_named),
        damage_test(a_missing_segment_is_named),
        damage_test(a_missing_log_file_is_noticed),
        damage_test(a_missing_log_is_noticed),
        damage_test(a_shortened_log_file_is_named),
        damage_test(another_format_is_refused_and_a_damaged_one_named),
    };
    log_event_configure(getenv("PLINTH_CRASH_LOG") ? LOG_INFO : LOG_OFF, false);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fflush(NULL);
    _exit(failed); /* a failed test leaves threads behind */
}
