#include "base/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

enum plinth_status thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument,
                                struct plinth_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "cannot start thread %s: %s", name, strerror(failure));
    char kept[16];
    strncpy(kept, name, sizeof kept - 1);
    kept[sizeof kept - 1] = '\0';
    pthread_setname_np(*thread, kept); /* for people only */
    return PLINTH_OK;
}

enum { BACKGROUND_NICE = 5 }; /* a third of a normal thread's share */

void thread_be_background(void) {
    /* Linux has a nice value for each thread. Without it everything works, only less evenly. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
}

void condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool condition_wait_us(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t timeout_us) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const uint64_t year_us = UINT64_C(365) * 86400 * 1000000;
    if (timeout_us > 100 * year_us) timeout_us = 100 * year_us; /* so that the sum stays in range */
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + timeout_us % 1000000 * 1000;
    until.tv_sec += (time_t)(timeout_us / 1000000 + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    return pthread_cond_timedwait(condition, mutex, &until) != ETIMEDOUT;
}

bool futex_wait(atomic_uint *word, unsigned expected, uint64_t deadline_ns) {
    struct timespec until = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
    /* FUTEX_WAIT_BITSET takes an absolute time, on the monotonic clock. */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                          deadline_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    return result == 0 || errno != ETIMEDOUT;
}

void futex_wake(atomic_uint *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}

uint64_t thread_time_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t thread_deadline_ns(uint64_t timeout_us) {
    uint64_t now = thread_time_ns();
    return timeout_us >= (UINT64_MAX / 2 - now) / 1000 ? UINT64_MAX : now + timeout_us * 1000;
}

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct pool_task *first; /* guarded by mutex, as are the next two */
    struct pool_task **end;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

static void *pool_run(void *argument) {
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct pool_task *task = pool->first;
        if (task) {
            pool->first = task->next;
            if (!pool->first) pool->end = &pool->first;
            pthread_mutex_unlock(&pool->mutex);
            task->next = NULL;
            task->run(task); /* may free the task */
            pthread_mutex_lock(&pool->mutex);
        } else if (pool->stopping) {
            break;
        } else {
            pthread_cond_wait(&pool->work, &pool->mutex);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

enum plinth_status pool_create(const char *name, unsigned threads, struct pool **pool, struct plinth_error *error) {
    *pool = NULL;
    if (threads == 0 || threads > 4096) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "pool %s: %u threads, 1 to 4096 are possible", name, threads);
    }
    struct pool *created = calloc(1, sizeof *created + threads * sizeof created->threads[0]);
    if (!created) return error_no_memory(error, "thread pool");
    pthread_mutex_init(&created->mutex, NULL);
    condition_init(&created->work);
    created->end = &created->first;
    for (unsigned i = 0; i < threads; i++) {
        enum plinth_status st = thread_start(&created->threads[i], name, pool_run, created, error);
        if (st) {
            pool_destroy(created);
            return st;
        }
        created->thread_count++;
    }
    *pool = created;
    return PLINTH_OK;
}

bool pool_submit(struct pool *pool, struct pool_task *task) {
    task->next = NULL;
    pthread_mutex_lock(&pool->mutex);
    bool taken = !pool->stopping;
    if (taken) {
        *pool->end = task;
        pool->end = &task->next;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (taken) pthread_cond_signal(&pool->work); /* the thread that wakes finds the mutex free */
    return taken;
}

void pool_destroy(struct pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
