/* Threads, condition variables on the monotonic clock, futexes, and a pool of workers with a bounded queue. */
#ifndef PLINTH_BASE_THREAD_H
#define PLINTH_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plinth_status.h"

/* Starts a named thread (at most 15 bytes of name are kept) with all signals blocked. */
PLINTH_MUST_CHECK enum plinth_status thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                                                  void *argument, struct plinth_error *error);

/* The calling thread gets less of the processors than others where there are not enough of them. */
void thread_be_background(void);

/* A condition variable whose timed waits use CLOCK_MONOTONIC. */
void condition_init(pthread_cond_t *condition);
/* Waits at most `timeout_us`; false on time-out. The mutex is held on return either way. */
bool condition_wait_us(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t timeout_us);

/* A futex: sleeps while `*word` is `expected`. False on time-out; true when woken, also without cause, or when the
 * word differs. `deadline_ns` is a thread_time_ns; UINT64_MAX means none. */
bool futex_wait(atomic_uint *word, unsigned expected, uint64_t deadline_ns);
/* Wakes at most `count` sleepers. The caller has changed the word before. */
void futex_wake(atomic_uint *word, int count);
/* CLOCK_MONOTONIC in nanoseconds, for the deadlines of waits only; everything else asks its env. */
uint64_t thread_time_ns(void);
/* thread_time_ns() + timeout_us, UINT64_MAX when that is far away. */
uint64_t thread_deadline_ns(uint64_t timeout_us);

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
