#include "support/sim_env.h"
#include "support/test_support.h"

static struct sim_env *sim;
static struct env *env;
static struct plinth_error error;

static int set_up(void **state) {
    (void)state;
    sim = sim_env_create(7);
    env = sim_env_base(sim);
    error = (struct plinth_error){0};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    sim_env_destroy(sim);
    return 0;
}

static struct env_file *open_file(const char *path) {
    struct env_file *file = NULL;
    assert_ok(env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE, &file, &error), &error);
    return file;
}

static void put(const char *path, const char *text) {
    struct env_file *file = open_file(path);
    assert_ok(file_write(file, 0, text, strlen(text), &error), &error);
    assert_ok(file_sync(file, &error), &error);
    file_close(file);
}

/* The file's text, "(none)" when there is no file. */
static const char *text_of(const char *path) {
    static char text[256];
    struct buffer bytes;
    if (!sim_env_file_bytes(sim, path, &bytes)) return "(none)";
    assert_true(bytes.size < sizeof text);
    if (bytes.size) memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    buffer_deinit(&bytes);
    return text;
}

static void what_is_synced_survives_every_crash(void **state) {
    (void)state;
    put("/file", "durable");
    assert_ok(env_sync_directory(env, "/", &error), &error);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct env_file *file = open_file("/file");
        assert_ok(file_write(file, 7, "!", 1, &error), &error);
        file_close(file);
        sim_env_crash(sim, seed);
        assert_memory_equal(text_of("/file"), "durable", 7);
    }
}

static void what_is_not_synced_is_lost_kept_or_torn(void **state) {
    (void)state;
    bool lost = false, kept = false, torn = false, unordered = false;
    for (uint64_t seed = 0; seed < 300; seed++) {
        tear_down(NULL);
        set_up(NULL);
        struct env_file *file = open_file("/f");
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(file_write(file, 0, "aaaa", 4, &error), &error);
        assert_ok(file_write(file, 4, "bbbb", 4, &error), &error);
        sim_env_crash(sim, seed);
        struct buffer bytes;
        assert_true(sim_env_file_bytes(sim, "/f", &bytes));
        lost |= bytes.size == 0;
        kept |= bytes.size == 8 && !memcmp(bytes.data, "aaaabbbb", 8);
        torn |= bytes.size > 4 && bytes.size < 8 && !memcmp(bytes.data, "aaaa", 4);
        unordered |= bytes.size == 8 && !memcmp(bytes.data, "\0\0\0\0bbbb", 8);
        buffer_deinit(&bytes);
        assert_status(file_write(file, 0, "x", 1, &error), PLINTH_IO_ERROR, &error);
        file_close(file);
    }
    assert_true(lost && kept && torn && unordered);
}

static void names_need_a_sync_of_their_directory(void **state) {
    (void)state;
    bool lost = false, kept = false;
    for (uint64_t seed = 0; seed < 100; seed++) {
        tear_down(NULL);
        set_up(NULL);
        put("/f", "bytes");
        sim_env_crash(sim, seed);
        lost |= !sim_env_exists(sim, "/f");
        kept |= !strcmp(text_of("/f"), "bytes");
    }
    assert_true(lost && kept);
}

static void a_rename_is_all_or_nothing(void **state) {
    (void)state;
    bool before = false, after = false;
    for (uint64_t seed = 0; seed < 100; seed++) {
        tear_down(NULL);
        set_up(NULL);
        put("/final", "old");
        put("/temporary", "new");
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(env_rename(env, "/temporary", "/final", &error), &error);
        sim_env_crash(sim, seed);
        bool is_new = !strcmp(text_of("/final"), "new");
        assert_true(is_new || !strcmp(text_of("/final"), "old"));
        assert_true(sim_env_exists(sim, "/temporary") != is_new);
        before |= !is_new;
        after |= is_new;
    }
    assert_true(before && after);
}

static void removals_can_come_back_until_synced(void **state) {
    (void)state;
    bool back = false;
    for (uint64_t seed = 0; seed < 100; seed++) {
        tear_down(NULL);
        set_up(NULL);
        put("/f", "x");
        put("/g", "x");
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(env_remove(env, "/g", &error), &error);
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(env_remove(env, "/f", &error), &error);
        assert_status(env_remove(env, "/f", &error), PLINTH_NOT_FOUND, &error);
        sim_env_crash(sim, seed);
        assert_false(sim_env_exists(sim, "/g"));
        back |= sim_env_exists(sim, "/f");
    }
    assert_true(back);
}

static void the_ordered_call_fails_and_only_that_one(void **state) {
    (void)state;
    struct env_file *file = open_file("/f");
    sim_env_fail(sim, SIM_WRITE, 2, PLINTH_NO_SPACE, false);
    assert_ok(file_write(file, 0, "a", 1, &error), &error);
    assert_ok(file_write(file, 1, "b", 1, &error), &error);
    assert_status(file_write(file, 2, "c", 1, &error), PLINTH_NO_SPACE, &error);
    assert_ok(file_write(file, 2, "d", 1, &error), &error);
    assert_string_equal(text_of("/f"), "abd");
    sim_env_fail(sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
    assert_status(file_sync(file, &error), PLINTH_IO_ERROR, &error);
    assert_status(env_sync_directory(env, "/", &error), PLINTH_IO_ERROR, &error);
    sim_env_heal(sim);
    assert_ok(env_sync_directory(env, "/", &error), &error);
    assert_int_equal(sim_env_calls(sim, SIM_WRITE), 4);
    file_close(file);
}

static void a_failed_sync_loses_what_a_later_one_cannot_save(void **state) {
    (void)state;
    bool lost = false;
    for (uint64_t seed = 0; seed < 30; seed++) {
        sim_env_destroy(sim);
        sim = sim_env_create(seed);
        env = sim_env_base(sim);
        struct env_file *file = open_file("/f");
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(file_write(file, 0, "abc", 3, &error), &error);
        sim_env_fail(sim, SIM_SYNC, 0, PLINTH_IO_ERROR, false);
        assert_status(file_sync(file, &error), PLINTH_IO_ERROR, &error);
        assert_ok(file_sync(file, &error), &error);
        assert_string_equal(text_of("/f"), "abc");
        sim_env_crash(sim, seed);
        lost |= strcmp(text_of("/f"), "abc") != 0;
        file_close(file);
    }
    assert_true(lost);
}

static void ignored_syncs_return_ok_and_save_nothing(void **state) {
    (void)state;
    bool lost = false, lost_by_path = false;
    for (uint64_t seed = 0; seed < 30; seed++) {
        tear_down(NULL);
        set_up(NULL);
        struct env_file *first = open_file("/a"), *second = open_file("/b");
        assert_ok(env_sync_directory(env, "/", &error), &error);
        assert_ok(file_write(first, 0, "abc", 3, &error), &error);
        assert_ok(file_write(second, 0, "abc", 3, &error), &error);
        sim_env_ignore_sync(sim, 0);
        sim_env_ignore_syncs_of(sim, "/b");
        assert_ok(file_sync(first, &error), &error);
        assert_ok(file_sync(second, &error), &error);
        sim_env_crash(sim, seed);
        lost |= strcmp(text_of("/a"), "abc") != 0;
        lost_by_path |= strcmp(text_of("/b"), "abc") != 0;
        file_close(first);
        file_close(second);
    }
    assert_true(lost && lost_by_path);
}

static void the_disk_has_a_size_and_can_be_read_only(void **state) {
    (void)state;
    struct env_file *file = open_file("/f");
    sim_env_limit_disk(sim, 100);
    assert_ok(file_allocate(file, 90, &error), &error);
    assert_status(file_write(file, 85, "0123456789abcdefghij", 20, &error), PLINTH_NO_SPACE, &error);
    assert_ok(file_write(file, 85, "0123456789abcde", 15, &error), &error);
    uint64_t bytes = 1;
    assert_ok(env_free_bytes(env, "/", &bytes, &error), &error);
    assert_int_equal(bytes, 0);
    assert_ok(file_truncate(file, 10, &error), &error);
    assert_ok(file_write(file, 10, "x", 1, &error), &error);
    sim_env_set_read_only(sim, true);
    assert_status(file_write(file, 0, "x", 1, &error), PLINTH_READ_ONLY, &error);
    assert_status(env_remove(env, "/f", &error), PLINTH_READ_ONLY, &error);
    uint8_t byte;
    assert_ok(file_read_exact(file, 10, &byte, 1, &error), &error);
    file_close(file);
}

static void a_lock_is_exclusive_and_a_crash_frees_it(void **state) {
    (void)state;
    struct env_file *lock = NULL, *second = NULL;
    assert_ok(env_lock(env, "/LOCK", &lock, &error), &error);
    assert_status(env_lock(env, "/LOCK", &second, &error), PLINTH_LOCKED, &error);
    sim_env_crash(sim, 1);
    assert_ok(env_lock(env, "/LOCK", &second, &error), &error);
    file_close(lock); /* of the machine that is gone */
    assert_status(env_lock(env, "/LOCK", &lock, &error), PLINTH_LOCKED, &error);
    file_close(second);
    assert_ok(env_lock(env, "/LOCK", &lock, &error), &error);
    file_close(lock);
}

static void time_moves_on_command(void **state) {
    (void)state;
    uint64_t wall_us = env_wall_time_us(env), monotonic_ns = env_monotonic_ns(env);
    assert_true(env_wall_time_us(env) == wall_us);
    sim_env_advance_us(sim, 5);
    env_sleep_us(env, 6);
    assert_true(env_wall_time_us(env) == wall_us + 11);
    assert_true(env_monotonic_ns(env) == monotonic_ns + 11000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_synced_survives_every_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_synced_is_lost_kept_or_torn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_need_a_sync_of_their_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rename_is_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removals_can_come_back_until_synced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ordered_call_fails_and_only_that_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_sync_loses_what_a_later_one_cannot_save, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ignored_syncs_return_ok_and_save_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_disk_has_a_size_and_can_be_read_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lock_is_exclusive_and_a_crash_frees_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_moves_on_command, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
