/* Open files within a bound: what is read, whatever the cache has closed, and whatever became of the name. */
#include "store/handle_cache.h"
#include "support/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/local_store.h"

enum { FILES = 24, OPEN_MAX = 6, THREADS = 6, ROUNDS = 3000 };

struct fixture {
    char directory[TEST_PATH_MAX];
    struct handle_cache *cache;
    struct handle handles[FILES];
    char paths[FILES][TEST_PATH_MAX + 16];
    struct plinth_error error;
};

static void write_number(const char *path, unsigned number) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%06u", number);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->directory);
    assert_ok(handle_cache_create(env_posix(), OPEN_MAX, &f->cache, &f->error), &f->error);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(f->paths[i], sizeof f->paths[i], "%s/%u", f->directory, i);
        write_number(f->paths[i], i);
        handle_init(f->cache, &f->handles[i], f->paths[i]);
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < FILES; i++) handle_deinit(f->cache, &f->handles[i]);
    handle_cache_destroy(f->cache);
    test_directory_remove(f->directory);
    free(f);
    return 0;
}

/* What stands in the handle's file; UINT_MAX when it cannot be read. */
static unsigned read_number(struct handle_cache *cache, struct handle *handle) {
    struct plinth_error error;
    struct env_file *file;
    char text[7] = "";
    if (handle_acquire(cache, handle, &file, &error)) return UINT32_MAX;
    enum plinth_status st = file_read_exact(file, 0, text, 6, &error);
    handle_release(handle);
    return st ? UINT32_MAX : (unsigned)atoi(text);
}

static void no_more_files_are_open_than_the_bound(void **state) {
    struct fixture *f = *state;
    assert_int_equal(handle_cache_open_count(f->cache), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < FILES; i++) {
            assert_int_equal(read_number(f->cache, &f->handles[i]), i);
            assert_true(handle_cache_open_count(f->cache) <= OPEN_MAX);
        }
    }
    assert_int_equal(handle_cache_open_count(f->cache), OPEN_MAX);
}

static void what_is_read_is_not_closed(void **state) {
    struct fixture *f = *state;
    struct env_file *files[OPEN_MAX + 2];
    char text[7] = "";
    for (unsigned i = 0; i < OPEN_MAX + 2; i++)
        assert_ok(handle_acquire(f->cache, &f->handles[i], &files[i], &f->error), &f->error);
    for (unsigned i = OPEN_MAX + 2; i < FILES; i++) assert_int_equal(read_number(f->cache, &f->handles[i]), i);
    for (unsigned i = 0; i < OPEN_MAX + 2; i++) {
        assert_ok(file_read_exact(files[i], 0, text, 6, &f->error), &f->error);
        assert_int_equal(atoi(text), i);
        handle_release(&f->handles[i]);
    }
    /* the bound holds again with the next file */
    for (unsigned i = 0; i < FILES; i++) assert_int_equal(read_number(f->cache, &f->handles[i]), i);
    assert_int_equal(handle_cache_open_count(f->cache), OPEN_MAX);
}

static void what_is_read_often_stays_open(void **state) {
    struct fixture *f = *state;
    (void)!read_number(f->cache, &f->handles[0]);
    struct env_file *before = f->handles[0].file;
    for (unsigned i = 1; i < FILES; i++) {
        assert_int_equal(read_number(f->cache, &f->handles[i]), i);
        assert_int_equal(read_number(f->cache, &f->handles[0]), 0);
        assert_ptr_equal(f->handles[0].file, before);
    }
}

static void a_file_whose_name_goes_is_still_read(void **state) {
    struct fixture *f = *state;
    (void)!read_number(f->cache, &f->handles[1]); /* 0 is closed, 1 open */
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(handle_cache_lock_name(f->cache, f->paths[i], &f->error), &f->error);
        assert_int_equal(i ? rename(f->paths[5], f->paths[i]) : unlink(f->paths[i]), 0);
        handle_cache_unlock_name(f->cache);
    }
    for (unsigned i = 6; i < FILES; i++) assert_int_equal(read_number(f->cache, &f->handles[i]), i);
    for (unsigned i = 0; i < 2; i++) assert_int_equal(read_number(f->cache, &f->handles[i]), i);
    struct handle newer;
    handle_init(f->cache, &newer, f->paths[1]);
    assert_int_equal(read_number(f->cache, &newer), 5);
    assert_int_equal(read_number(f->cache, &f->handles[1]), 1);
    handle_deinit(f->cache, &newer);
    assert_int_equal(read_number(f->cache, &f->handles[5]), UINT32_MAX);
}

static void a_missing_file_is_not_found_until_it_is_there(void **state) {
    struct fixture *f = *state;
    struct env_file *file;
    assert_int_equal(unlink(f->paths[3]), 0); /* behind the cache's back */
    assert_status(handle_acquire(f->cache, &f->handles[3], &file, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, f->paths[3]);
    assert_ok(handle_cache_lock_name(f->cache, f->paths[3], &f->error), &f->error);
    handle_cache_unlock_name(f->cache);
    write_number(f->paths[3], 33);
    assert_int_equal(read_number(f->cache, &f->handles[3]), 33);
}

static void without_descriptors_the_cache_gives_some_back(void **state) {
    struct fixture *f = *state;
    struct rlimit before, tight;
    for (unsigned i = 0; i < OPEN_MAX; i++) (void)!read_number(f->cache, &f->handles[i]);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    int next = dup(0); /* descriptors below are taken */
    assert_true(next > 0);
    close(next);
    tight.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    unsigned read = read_number(f->cache, &f->handles[FILES - 1]);
    uint32_t open = handle_cache_open_count(f->cache);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(read, FILES - 1);
    assert_true(open <= OPEN_MAX);
}

struct reader_thread {
    struct fixture *f;
    unsigned number;
    unsigned wrong;
};

static void *read_at_random(void *argument) {
    struct reader_thread *thread = argument;
    struct test_random random = test_random_of(thread->number + 1);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)test_random_below(&random, FILES);
        thread->wrong += read_number(thread->f->cache, &thread->f->handles[i]) != i;
    }
    return NULL;
}

/* Handles come and go, and names with them, beside the readers. */
static void *come_and_go(void *argument) {
    struct reader_thread *thread = argument;
    struct fixture *f = thread->f;
    char path[TEST_PATH_MAX + 32], other[TEST_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/own", f->directory);
    snprintf(other, sizeof other, "%s/other", f->directory);
    for (unsigned round = 0; round < ROUNDS / 10; round++) {
        struct handle old, young;
        struct plinth_error error;
        write_number(path, round);
        handle_init(f->cache, &old, path);
        if (round % 2) thread->wrong += read_number(f->cache, &old) != round;
        write_number(other, round + 1);
        thread->wrong += handle_cache_lock_name(f->cache, path, &error) != PLINTH_OK;
        thread->wrong += rename(other, path) != 0;
        handle_cache_unlock_name(f->cache);
        handle_init(f->cache, &young, path);
        thread->wrong += read_number(f->cache, &young) != round + 1;
        thread->wrong += read_number(f->cache, &old) != round;
        handle_deinit(f->cache, &old);
        handle_deinit(f->cache, &young);
    }
    return NULL;
}

static void many_threads_read_what_is_theirs(void **state) {
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    struct reader_thread arguments[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        arguments[i] = (struct reader_thread){f, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, i ? read_at_random : come_and_go, &arguments[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(arguments[i].wrong, 0);
    }
    assert_true(handle_cache_open_count(f->cache) <= OPEN_MAX + THREADS);
}

/* ---- the store above it ---- */

static void objects_outlive_removal_and_replacement_when_their_files_were_closed(void **state) {
    struct fixture *f = *state;
    const struct local_store_options options = {.handles_max = 2};
    struct store *store;
    struct store_object *objects[8];
    char path[TEST_PATH_MAX + 16], name[16], back[16];
    snprintf(path, sizeof path, "%s/store", f->directory);
    assert_ok(local_store_open(env_posix(), path, &options, &store, &f->error), &f->error);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "a/%06u", i);
        assert_ok(store_put(store, name, slice_of_string(name), &f->error), &f->error);
        assert_ok(store_open(store, name, &objects[i], &f->error), &f->error);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "a/%06u", i);
        if (i % 2)
            assert_ok(store_put(store, name, slice_of_string("another one"), &f->error), &f->error);
        else
            assert_ok(store_remove(store, name, &f->error), &f->error);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 8; i++) {
            snprintf(name, sizeof name, "a/%06u", i);
            memset(back, 0, sizeof back);
            assert_ok(object_read_at(objects[i], 0, back, objects[i]->size, &f->error), &f->error);
            assert_string_equal(back, name);
        }
    }
    for (unsigned i = 0; i < 8; i++) object_close(objects[i]);
    store_close(store);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_more_files_are_open_than_the_bound),
        TEST(what_is_read_is_not_closed),
        TEST(what_is_read_often_stays_open),
        TEST(a_file_whose_name_goes_is_still_read),
        TEST(a_missing_file_is_not_found_until_it_is_there),
        TEST(without_descriptors_the_cache_gives_some_back),
        TEST(many_threads_read_what_is_theirs),
        TEST(objects_outlive_removal_and_replacement_when_their_files_were_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
