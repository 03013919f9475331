#include "support/sim_env.h"
#include "support/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/local_store.h"

static struct sim_env *sim;
static struct store *store;
static struct plinth_error error;

static void store_start(void) {
    struct local_store_options options = {.map = true};
    assert_ok(local_store_open(sim_env_base(sim), "/data", &options, &store, &error), &error);
}

static int set_up_seeded(uint64_t seed) {
    sim = sim_env_create(seed);
    error = (struct plinth_error){0};
    store_start();
    return 0;
}

static int set_up(void **state) {
    (void)state;
    return set_up_seeded(3);
}

static int tear_down(void **state) {
    (void)state;
    store_close(store);
    sim_env_destroy(sim);
    return 0;
}

static enum plinth_status put(const char *name, const char *text) {
    return store_put(store, name, slice_of_string(text), &error);
}

static void assert_object(const char *name, const char *text) {
    struct store_object *object = NULL;
    char back[256] = {0};
    assert_ok(store_open(store, name, &object, &error), &error);
    assert_int_equal(object->size, strlen(text));
    assert_ok(object_read_at(object, 0, back, object->size, &error), &error);
    assert_string_equal(back, text);
    object_close(object);
}

static bool exists(const char *name) {
    struct store_object *object = NULL;
    enum plinth_status st = store_open(store, name, &object, &error);
    object_close(object);
    assert_true(st == PLINTH_OK || st == PLINTH_NOT_FOUND);
    return st == PLINTH_OK;
}

static void an_object_put_is_read_back(void **state) {
    (void)state;
    assert_ok(put("a/b/c", "hello"), &error);
    assert_ok(put("top", ""), &error);
    assert_object("a/b/c", "hello");
    assert_object("top", "");
    assert_ok(put("a/b/c", "replaced"), &error);
    assert_object("a/b/c", "replaced");
    assert_false(exists("a/b"));
    assert_false(exists("a/b/c/d"));
    assert_false(exists("missing"));
}

static void reads_stay_within_the_object(void **state) {
    (void)state;
    struct store_object *object = NULL;
    char byte;
    assert_ok(put("x", "0123456789"), &error);
    assert_ok(store_open(store, "x", &object, &error), &error);
    assert_non_null(object->mapped);
    assert_memory_equal(object->mapped, "0123456789", 10);
    assert_ok(object_read_at(object, 9, &byte, 1, &error), &error);
    assert_int_equal(byte, '9');
    assert_ok(object_read_at(object, 10, &byte, 0, &error), &error);
    assert_status(object_read_at(object, 10, &byte, 1, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_status(object_read_at(object, UINT64_MAX, &byte, 2, &error), PLINTH_INVALID_ARGUMENT, &error);
    object_close(object);
}

static void names_that_could_escape_are_refused(void **state) {
    (void)state;
    char long_name[STORE_NAME_BYTES_MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *const bad[] = {"",    "/a",  "a/",   "a//b", "..",    "a/../b",  ".",
                               "a/.", "a b", "a\\b", "a\nb", "x.tmp", "a/x.tmp", long_name};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(put(bad[i], "x"), PLINTH_INVALID_ARGUMENT, &error);
        assert_status(store_remove(store, bad[i], &error), PLINTH_INVALID_ARGUMENT, &error);
        struct store_object *object = NULL;
        assert_status(store_open(store, bad[i], &object, &error), PLINTH_INVALID_ARGUMENT, &error);
    }
    assert_ok(put("a..b/...c/_-=+@,.x", "x"), &error);
}

static void a_stream_appears_at_its_commit(void **state) {
    (void)state;
    struct store_writer *writer = NULL;
    enum { PIECES = 3000, PIECE = 101 };
    char piece[PIECE];
    assert_ok(store_create(store, "s/t", &writer, &error), &error);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, 'a' + i % 26, PIECE);
        assert_ok(store_write(writer, slice_of(piece, PIECE), &error), &error);
    }
    char *large = malloc(300000);
    memset(large, 'z', 300000);
    assert_ok(store_write(writer, slice_of(large, 300000), &error), &error);
    assert_false(exists("s/t"));
    assert_ok(store_commit(writer, &error), &error);
    struct store_object *object = NULL;
    assert_ok(store_open(store, "s/t", &object, &error), &error);
    assert_int_equal(object->size, PIECES * PIECE + 300000);
    for (int i = 0; i < PIECES * PIECE; i++) {
        if (object->mapped[i] != 'a' + i / PIECE % 26) fail_msg("byte %d is %d", i, object->mapped[i]);
    }
    assert_memory_equal(object->mapped + PIECES * PIECE, large, 300000);
    object_close(object);
    free(large);
}

static bool collect(void *context, const char *name, uint64_t size) {
    char *all = context;
    size_t used = strlen(all);
    snprintf(all + used, 512 - used, "%s:%llu ", name, (unsigned long long)size);
    return true;
}

static bool stop_at_once(void *context, const char *name, uint64_t size) {
    (void)name, (void)size;
    ++*(int *)context;
    return false;
}

static void listing_shows_committed_objects_of_a_prefix(void **state) {
    (void)state;
    struct store_writer *writer = NULL;
    char all[512] = "";
    assert_ok(put("segments/1/a", "x"), &error);
    assert_ok(put("segments/17/b", "xy"), &error);
    assert_ok(put("other", ""), &error);
    assert_ok(store_create(store, "segments/17/open", &writer, &error), &error);
    assert_ok(store_list(store, "segments/17", collect, all, &error), &error);
    assert_string_equal(all, "segments/17/b:2 ");
    all[0] = '\0';
    assert_ok(store_list(store, "segments/1", collect, all, &error), &error);
    assert_non_null(strstr(all, "segments/1/a:1 "));
    assert_non_null(strstr(all, "segments/17/b:2 "));
    assert_int_equal(strlen(all), 31);
    all[0] = '\0';
    assert_ok(store_list(store, "o", collect, all, &error), &error);
    assert_string_equal(all, "other:0 ");
    int visits = 0;
    assert_ok(store_list(store, "", stop_at_once, &visits, &error), &error);
    assert_int_equal(visits, 1);
    assert_ok(store_list(store, "nothing/here", stop_at_once, &visits, &error), &error);
    assert_int_equal(visits, 1);
    store_abort(writer);
    assert_false(exists("segments/17/open"));
}

static void a_removed_object_is_gone_but_open_handles_go_on(void **state) {
    (void)state;
    struct store_object *object = NULL;
    char back[2];
    assert_ok(put("d/e/f", "ab"), &error);
    assert_ok(store_open(store, "d/e/f", &object, &error), &error);
    assert_ok(store_remove(store, "d/e/f", &error), &error);
    assert_status(store_remove(store, "d/e/f", &error), PLINTH_NOT_FOUND, &error);
    assert_ok(object_read_at(object, 0, back, 2, &error), &error);
    assert_memory_equal(back, "ab", 2);
    object_close(object);
    assert_false(sim_env_exists(sim, "/data/d"));
    assert_ok(put("d/e/g", "again"), &error); /* the directories are made once more */
    sim_env_crash(sim, 5);
    store_close(store);
    store_start();
    assert_object("d/e/g", "again");
    assert_false(exists("d/e/f"));
    assert_status(store_remove(store, "d", &error), PLINTH_NOT_FOUND, &error);
}

static void what_was_acknowledged_survives_any_crash(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        tear_down(NULL);
        set_up_seeded(seed);
        char name[64];
        for (int i = 0; i < 6; i++) {
            snprintf(name, sizeof name, "d%d/e%d/object-%d", i % 2, i % 3, i);
            assert_ok(put(name, name), &error);
        }
        assert_ok(store_remove(store, "d0/e0/object-0", &error), &error);
        struct store_writer *writer = NULL;
        assert_ok(store_create(store, "d0/unfinished", &writer, &error), &error);
        assert_ok(store_write(writer, slice_of_string("half"), &error), &error);
        sim_env_crash(sim, seed);
        store_abort(writer);
        store_close(store);
        store_start();
        for (int i = 1; i < 6; i++) {
            snprintf(name, sizeof name, "d%d/e%d/object-%d", i % 2, i % 3, i);
            assert_object(name, name);
        }
        assert_false(exists("d0/e0/object-0"));
        char all[512] = "";
        assert_ok(store_list(store, "", collect, all, &error), &error);
        assert_null(strstr(all, "unfinished"));
    }
}

/* Every call of a put fails once. Afterwards the object is whole or not there, as the status says. */
static void every_failing_call_leaves_all_or_nothing(void **state) {
    (void)state;
    bool succeeded = false;
    for (uint64_t skip = 0; !succeeded; skip++) {
        assert_true(skip < 200);
        tear_down(NULL);
        set_up_seeded(skip);
        assert_ok(put("a/kept", "kept"), &error);
        assert_ok(put("a/b/c", "old"), &error);
        sim_env_fail(sim, SIM_ANY, skip, PLINTH_IO_ERROR, skip % 2);
        enum plinth_status st = put("a/b/c", "new");
        sim_env_heal(sim);
        succeeded = !st;
        for (int crash = 0; crash < 2; crash++) {
            assert_object("a/kept", "kept");
            struct store_object *object = NULL;
            assert_ok(store_open(store, "a/b/c", &object, &error), &error);
            bool is_new = !memcmp(object->mapped, "new", 3);
            assert_true(is_new || !memcmp(object->mapped, "old", 3));
            if (st == PLINTH_OK) assert_true(is_new);
            if (st && st != PLINTH_OUTCOME_UNKNOWN) assert_false(is_new);
            object_close(object);
            sim_env_crash(sim, skip);
            store_close(store);
            store_start();
        }
    }
}

/* Whether a put survives 60 crashes when the syncs of `part` do nothing. */
static bool survives_without_syncs_of(const char *part) {
    bool survives = true;
    for (uint64_t seed = 0; seed < 60; seed++) {
        tear_down(NULL);
        set_up_seeded(seed);
        sim_env_ignore_syncs_of(sim, part);
        assert_ok(put("dir/object", "bytes"), &error);
        sim_env_crash(sim, seed);
        store_close(store);
        store_start();
        struct store_object *object = NULL;
        survives &= store_open(store, "dir/object", &object, &error) == PLINTH_OK && object->size == 5;
        object_close(object);
    }
    return survives;
}

static void each_sync_of_a_put_is_needed(void **state) {
    (void)state;
    assert_true(survives_without_syncs_of("/none-such"));
    assert_false(survives_without_syncs_of(".tmp")); /* the bytes */
    assert_false(survives_without_syncs_of("/data/dir"));
    assert_false(survives_without_syncs_of("/data"));
}

static void a_full_disk_is_named_and_leaves_no_rest(void **state) {
    (void)state;
    char text[101] = {0};
    memset(text, 'x', 100);
    sim_env_limit_disk(sim, 150);
    assert_ok(put("a", text), &error);
    assert_status(put("b/c", text), PLINTH_NO_SPACE, &error);
    assert_false(exists("b/c"));
    assert_false(sim_env_exists(sim, "/data/b"));
    assert_ok(store_remove(store, "a", &error), &error);
    assert_ok(put("b/c", text), &error);
}

/* A process is killed between removing an object and syncing the directory; the next one finds it missing. */
static void a_removal_that_was_cut_off_is_final_after_the_next_open(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_ok(put("b/c", "x"), &error);
        sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_IO_ERROR, true);
        assert_status(store_remove(store, "b/c", &error), PLINTH_IO_ERROR, &error);
        sim_env_heal(sim);
        store_close(store);
        store_start();
        assert_false(exists("b/c"));
        store_close(store);
        sim_env_crash(sim, seed);
        store_start();
        assert_false(exists("b/c"));
    }
}

/* The sync fails; the caller tries again, and finds the object missing: that answer must hold. */
static void a_removal_tried_again_is_final(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_ok(put("b/c", "x"), &error);
        sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_IO_ERROR, false);
        assert_status(store_remove(store, "b/c", &error), PLINTH_IO_ERROR, &error);
        assert_status(store_remove(store, "b/c", &error), PLINTH_NOT_FOUND, &error);
        store_close(store);
        sim_env_crash(sim, seed);
        store_start();
        assert_false(exists("b/c"));
    }
}

static void a_read_only_store_changes_nothing(void **state) {
    (void)state;
    struct store *looking = NULL;
    struct store_writer *writer = NULL;
    struct local_store_options options = {.read_only = true};
    assert_ok(put("a", "x"), &error);
    assert_ok(store_create(store, "b", &writer, &error), &error);
    uint64_t writes = sim_env_calls(sim, SIM_WRITE), removes = sim_env_calls(sim, SIM_REMOVE);
    assert_ok(local_store_open(sim_env_base(sim), "/data", &options, &looking, &error), &error);
    assert_status(store_put(looking, "c", slice_of_string("x"), &error), PLINTH_READ_ONLY, &error);
    assert_status(store_remove(looking, "a", &error), PLINTH_READ_ONLY, &error);
    assert_int_equal(sim_env_calls(sim, SIM_WRITE), writes);
    assert_int_equal(sim_env_calls(sim, SIM_REMOVE), removes);
    store_close(looking);
    assert_ok(store_commit(writer, &error), &error);
}

static void *churn(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    struct test_random random = test_random_of(seed);
    char name[32];
    for (int i = 0; i < 300; i++) {
        struct plinth_error own = {0};
        snprintf(name, sizeof name, "d%llu/o%llu", (unsigned long long)test_random_below(&random, 2),
                 (unsigned long long)seed);
        if (store_put(store, name, slice_of_string("x"), &own)) return store; /* not null: put failed */
        if (test_random_below(&random, 4) && store_remove(store, name, &own))
            return store; /* not null: remove failed */
    }
    return NULL;
}

static void threads_put_and_remove_in_shared_directories(void **state) {
    (void)state;
    pthread_t threads[6];
    for (uintptr_t i = 0; i < 6; i++) assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < 6; i++) {
        void *problem = NULL;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
}

static void it_works_on_the_operating_system_too(void **state) {
    (void)state;
    char directory[TEST_PATH_MAX], data[TEST_PATH_MAX + 8];
    test_directory_create(directory);
    snprintf(data, sizeof data, "%s/data", directory);
    struct store *simulated = store;
    for (int map = 0; map < 2; map++) {
        struct local_store_options options = {.map = map};
        assert_ok(local_store_open(env_posix(), data, &options, &store, &error), &error);
        assert_ok(put("x/y", "posix"), &error);
        assert_object("x/y", "posix");
        assert_false(exists("x"));
        assert_false(exists("x/y/z"));
        assert_ok(store_remove(store, "x/y", &error), &error);
        store_close(store);
    }
    store = simulated;
    test_directory_remove(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_object_put_is_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_stay_within_the_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_could_escape_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_appears_at_its_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(listing_shows_committed_objects_of_a_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_object_is_gone_but_open_handles_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_survives_any_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_call_leaves_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_sync_of_a_put_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_named_and_leaves_no_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removal_that_was_cut_off_is_final_after_the_next_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removal_tried_again_is_final, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_store_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_put_and_remove_in_shared_directories, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_works_on_the_operating_system_too, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
