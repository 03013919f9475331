/* Threads, condition variables on the monotonic clock, and a pool of workers with a bounded queue. */
#ifndef PLINTH_BASE_THREAD_H
#define PLINTH_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "plinth_status.h"

/* Starts a named thread (at most 15 bytes of name are kept) with all signals blocked. */
PLINTH_MUST_CHECK enum plinth_status thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                                                  void *argument, struct plinth_error *error);

/* A condition variable whose timed waits use CLOCK_MONOTONIC. */
void condition_init(pthread_cond_t *condition);
/* Waits at most `timeout_us`; false on time-out. The mutex is held on return either way. */
bool condition_wait_us(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t timeout_us);

/* A pool runs tasks first in, first out. Its queue is intrusive: the task is a field of the caller's own
 * struct, so queueing never allocates; the caller bounds how many there are. */
struct pool_task {
    struct pool_task *next;
    void (*run)(struct pool_task *);
};
struct pool;
PLINTH_MUST_CHECK enum plinth_status pool_create(const char *name, unsigned threads, struct pool **pool,
                                                 struct plinth_error *error);
/* False, without taking the task, when the pool is being destroyed. */
PLINTH_MUST_CHECK bool pool_submit(struct pool *pool, struct pool_task *task);
/* Runs what is queued, then ends the threads. */
void pool_destroy(struct pool *pool);

#endif
