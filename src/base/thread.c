#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
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
