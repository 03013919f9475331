#include "support/test_support.h"

#include <stdlib.h>

#include "base/thread.h"

struct counted {
    struct pool_task task;
    atomic_int *count;
};

static void count_run(struct pool_task *task) {
    struct counted *counted = (struct counted *)task;
    atomic_fetch_add(counted->count, 1);
    free(counted);
}

static void a_pool_runs_every_task_before_it_goes(void **state) {
    (void)state;
    struct plinth_error error = {0};
    struct pool *pool = NULL;
    atomic_int count = 0;
    assert_ok(pool_create("test", 4, &pool, &error), &error);
    for (int i = 0; i < 10000; i++) {
        struct counted *counted = malloc(sizeof *counted);
        *counted = (struct counted){{NULL, count_run}, &count};
        assert_true(pool_submit(pool, &counted->task));
    }
    pool_destroy(pool);
    assert_int_equal(count, 10000);
    assert_status(pool_create("test", 0, &pool, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static void timed_waits_time_out(void **state) {
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    condition_init(&condition);
    pthread_mutex_lock(&mutex);
    uint64_t begin_ns = thread_time_ns();
    while (condition_wait_us(&condition, &mutex, 3000)) {
    }
    assert_true(thread_time_ns() - begin_ns >= 3000000);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&condition);

    atomic_uint word = 5;
    assert_true(futex_wait(&word, 4, UINT64_MAX)); /* differs */
    begin_ns = thread_time_ns();
    while (futex_wait(&word, 5, begin_ns + 2000000)) {
    }
    assert_true(thread_time_ns() - begin_ns >= 2000000);
    assert_true(thread_deadline_ns(UINT64_MAX) == UINT64_MAX);
}

struct ping {
    atomic_uint word;
    atomic_uint rounds;
};

static void *ping_run(void *argument) {
    struct ping *ping = argument;
    for (unsigned i = 0; i < 1000; i++) {
        unsigned seen;
        while ((seen = atomic_load(&ping->word)) % 2 == 0) futex_wait(&ping->word, seen, UINT64_MAX);
        atomic_fetch_add(&ping->rounds, 1);
        atomic_fetch_add(&ping->word, 1);
        futex_wake(&ping->word, 1);
    }
    return NULL;
}

static void futexes_wake(void **state) {
    (void)state;
    struct plinth_error error = {0};
    struct ping ping = {0};
    pthread_t thread;
    assert_ok(thread_start(&thread, "a-name-longer-than-15", ping_run, &ping, &error), &error);
    for (unsigned i = 0; i < 1000; i++) {
        atomic_fetch_add(&ping.word, 1);
        futex_wake(&ping.word, 1);
        unsigned seen;
        while ((seen = atomic_load(&ping.word)) % 2 == 1) futex_wait(&ping.word, seen, UINT64_MAX);
    }
    pthread_join(thread, NULL);
    assert_int_equal(ping.rounds, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_runs_every_task_before_it_goes),
        cmocka_unit_test(timed_waits_time_out),
        cmocka_unit_test(futexes_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
