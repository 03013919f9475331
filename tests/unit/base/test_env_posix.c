#include "support/test_support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"

static char directory[TEST_PATH_MAX];
static char path[TEST_PATH_MAX + 32];

static int set_up(void **state) {
    (void)state;
    test_directory_create(directory);
    snprintf(path, sizeof path, "%s/file", directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    test_directory_remove(directory);
    return 0;
}

static void bytes_written_are_read_back(void **state) {
    (void)state;
    struct env *env = env_posix();
    struct plinth_error error = {0};
    struct env_file *file = NULL;
    assert_ok(env_open(env, path, ENV_READ | ENV_WRITE | ENV_CREATE, &file, &error), &error);
    enum { PARTS = 300 }; /* more than one system call takes */
    struct iovec parts[PARTS];
    uint8_t bytes[PARTS * 3];
    for (int i = 0; i < PARTS * 3; i++) bytes[i] = (uint8_t)i;
    for (int i = 0; i < PARTS; i++) parts[i] = (struct iovec){bytes + i * 3, i == 7 ? 0 : 3};
    assert_ok(file_writev(file, 10, parts, PARTS, &error), &error);
    assert_ok(file_sync(file, &error), &error);
    uint64_t size = 0;
    assert_ok(file_size(file, &size, &error), &error);
    assert_int_equal(size, 10 + PARTS * 3 - 3);
    uint8_t back[PARTS * 3] = {0};
    assert_ok(file_read_exact(file, 10, back, PARTS * 3 - 3, &error), &error);
    assert_memory_equal(back, bytes, 21);
    assert_memory_equal(back + 21, bytes + 24, PARTS * 3 - 24);
    size_t got = 0;
    assert_ok(file_read(file, size - 5, back, 100, &got, &error), &error);
    assert_int_equal(got, 5);
    assert_status(file_read_exact(file, size - 5, back, 6, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, path);
    const uint8_t *mapped = NULL;
    uint64_t mapped_size = 0;
    assert_ok(file_map(file, &mapped, &mapped_size, &error), &error);
    assert_int_equal(mapped_size, size);
    assert_memory_equal(mapped + 10, bytes, 21);
    file_close(file);
}

static void files_grow_and_shrink(void **state) {
    (void)state;
    struct plinth_error error = {0};
    struct env_file *file = NULL;
    uint64_t size = 0;
    uint8_t byte = 1;
    assert_ok(env_open(env_posix(), path, ENV_READ | ENV_WRITE | ENV_CREATE, &file, &error), &error);
    assert_ok(file_write(file, 0, "x", 1, &error), &error);
    assert_ok(file_allocate(file, 100000, &error), &error);
    assert_ok(file_size(file, &size, &error), &error);
    assert_int_equal(size, 100000);
    assert_ok(file_read_exact(file, 99999, &byte, 1, &error), &error);
    assert_int_equal(byte, 0);
    assert_ok(file_allocate(file, 10, &error), &error);
    assert_ok(file_size(file, &size, &error), &error);
    assert_int_equal(size, 100000);
    assert_ok(file_truncate(file, 1, &error), &error);
    assert_ok(file_size(file, &size, &error), &error);
    assert_int_equal(size, 1);
    file_close(file);
}

static void open_flags_are_honoured(void **state) {
    (void)state;
    struct env *env = env_posix();
    struct plinth_error error = {0};
    struct env_file *file = NULL;
    assert_status(env_open(env, path, ENV_READ, &file, &error), PLINTH_NOT_FOUND, &error);
    assert_error_names(&error, path);
    assert_null(file);
    assert_ok(env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, &file, &error), &error);
    assert_ok(file_write(file, 0, "abc", 3, &error), &error);
    file_close(file);
    assert_status(env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, &file, &error), PLINTH_ALREADY_EXISTS,
                  &error);
    assert_ok(env_open(env, path, ENV_READ | ENV_WRITE | ENV_TRUNCATE, &file, &error), &error);
    uint64_t size = 1;
    assert_ok(file_size(file, &size, &error), &error);
    assert_int_equal(size, 0);
    file_close(file);
    assert_status(env_open(env, directory, ENV_READ, &file, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static bool count_entry(void *context, const char *name, bool is_directory) {
    int *counts = context;
    counts[is_directory]++;
    assert_true(!strcmp(name, "file") || !strcmp(name, "below"));
    return true;
}

static void directories_list_rename_and_remove(void **state) {
    (void)state;
    struct env *env = env_posix();
    struct plinth_error error = {0};
    struct env_file *file = NULL;
    char below[TEST_PATH_MAX + 32], moved[TEST_PATH_MAX + 64];
    snprintf(below, sizeof below, "%s/below", directory);
    snprintf(moved, sizeof moved, "%s/moved", below);
    assert_ok(env_make_directory(env, below, &error), &error);
    assert_ok(env_make_directory(env, below, &error), &error);
    assert_ok(env_open(env, path, ENV_WRITE | ENV_CREATE, &file, &error), &error);
    file_close(file);
    assert_status(env_make_directory(env, path, &error), PLINTH_ALREADY_EXISTS, &error);
    int counts[2] = {0};
    assert_ok(env_list(env, directory, count_entry, counts, &error), &error);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_ok(env_rename(env, path, moved, &error), &error);
    assert_ok(env_sync_directory(env, below, &error), &error);
    assert_status(env_remove(env, path, &error), PLINTH_NOT_FOUND, &error);
    assert_status(env_remove(env, below, &error), PLINTH_IO_ERROR, &error); /* not empty */
    assert_ok(env_remove(env, moved, &error), &error);
    assert_ok(env_remove(env, below, &error), &error);
    assert_status(env_list(env, below, count_entry, counts, &error), PLINTH_NOT_FOUND, &error);
    uint64_t bytes = 0;
    assert_ok(env_free_bytes(env, directory, &bytes, &error), &error);
    assert_true(bytes > 0);
}

static void a_lock_is_held_by_one_open_and_names_its_holder(void **state) {
    (void)state;
    struct plinth_error error = {0};
    struct env_file *lock = NULL, *second = NULL;
    char holder[32];
    snprintf(holder, sizeof holder, "process %ld", (long)getpid());
    assert_ok(env_lock(env_posix(), path, &lock, &error), &error);
    assert_status(env_lock(env_posix(), path, &second, &error), PLINTH_LOCKED, &error);
    assert_error_names(&error, holder);
    file_close(lock);
    assert_ok(env_lock(env_posix(), path, &second, &error), &error);
    file_close(second);
}

static void clocks_and_randomness_move(void **state) {
    (void)state;
    struct env *env = env_posix();
    uint64_t before = env_monotonic_ns(env);
    env_sleep_us(env, 2000);
    assert_true(env_monotonic_ns(env) - before >= 2000000);
    assert_true(env_wall_time_us(env) > UINT64_C(1600000000000000));
    assert_true(env_random_u64(env) != env_random_u64(env));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_written_are_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_grow_and_shrink, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_flags_are_honoured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_list_rename_and_remove, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lock_is_held_by_one_open_and_names_its_holder, set_up, tear_down),
        cmocka_unit_test(clocks_and_randomness_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
