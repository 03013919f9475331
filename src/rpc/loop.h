/* An event loop: one thread, one epoll instance, and everything that this thread owns (connections, calls, timers).
 *
 * Nothing of a loop is locked. Other threads reach it through two doors:
 *   - rpc_loop_post: a lock-free queue of tasks. The first task that finds the queue empty writes the loop's eventfd;
 *     those after it ride along, so a burst costs one wake-up.
 *   - rpc_loop_wake: a flag and the same eventfd; the loop then runs `on_wake` once, however many wakes came before.
 *
 * One iteration is: wait for sockets, timers or a wake-up; read and dispatch (handlers run here); run posted tasks;
 * run `on_wake` if woken; run due timers; run `on_iteration`; flush each connection that has something to send, once.
 */
#ifndef PLINTH_RPC_LOOP_H
#define PLINTH_RPC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "plinth_status.h"

struct rpc_loop;

/* Intrusive: a field of the caller's own struct, so that posting never allocates. It belongs to the loop from
 * rpc_loop_post until `run` is called; `run` may free it or post it again. */
struct rpc_task {
    struct rpc_task *next;
    void (*run)(struct rpc_task *task);
};

/* All called on the loop's thread; any may be null. `context` is handed through. */
struct rpc_loop_hooks {
    void *context;
    void (*on_start)(struct rpc_loop *loop, void *context);     /* before the first iteration */
    void (*on_wake)(struct rpc_loop *loop, void *context);      /* once after one or more rpc_loop_wake */
    void (*on_iteration)(struct rpc_loop *loop, void *context); /* after all handlers of an iteration, before the
                                                                   sockets are written: a place to submit what the
                                                                   handlers gathered as one batch */
    void (*on_stop)(struct rpc_loop *loop, void *context);      /* after the last callback of any call */
};

struct rpc_loop_options {
    struct env *env;  /* clock; null: env_posix() */
    const char *name; /* of the thread; null: "rpc" */
    unsigned index;   /* what rpc_loop_index gives */
    struct rpc_loop_hooks hooks;
};

/* Starts a loop with its own thread, for clients that want to share one. Servers create their loops themselves. */
PLINTH_MUST_CHECK enum plinth_status rpc_loop_create(const struct rpc_loop_options *options, struct rpc_loop **loop,
                                                     struct plinth_error *error);

/* Stops and joins the thread, then frees the loop. Clients on it must have been closed; waits until they are gone and
 * every reference to their calls is given back. Not from the loop's own thread. Null is allowed. */
void rpc_loop_destroy(struct rpc_loop *loop);

/* Runs `task` on the loop's thread, in the order posted by one thread. Any thread; never blocks, never fails. */
void rpc_loop_post(struct rpc_loop *loop, struct rpc_task *task);

/* Makes the loop run its `on_wake` hook soon, once for any number of calls before it runs. What the caller wrote
 * before is visible to the hook. Any thread, as long as the loop is not being destroyed; costs an eventfd write only
 * when no wake is pending. */
void rpc_loop_wake(struct rpc_loop *loop);

/* The loop whose thread this is, or null. */
struct rpc_loop *rpc_loop_current(void);

/* 0 .. loops-1 within a server, options.index otherwise. Any thread. */
unsigned rpc_loop_index(const struct rpc_loop *loop);

/* A pointer of the caller's own, per loop. Set it in `on_start` or on the loop's thread; read on the loop's thread. */
void rpc_loop_set_user_data(struct rpc_loop *loop, void *user_data);
void *rpc_loop_user_data(const struct rpc_loop *loop);

/* The monotonic clock as of this iteration (cheap). Loop thread only. */
uint64_t rpc_loop_now_ns(const struct rpc_loop *loop);

/* A timer is a field of the caller's own struct. All of this on the loop's thread only. `{0}` with `run` set is an
 * unarmed timer. Firing disarms it first, so `run` may arm it again. */
struct rpc_timer {
    void (*run)(struct rpc_timer *timer);
    uint64_t due_ns;
    uint32_t heap_slot; /* 1-based place in the loop's heap, 0: not armed */
};
/* Arms (or re-arms) the timer for `due_ns` on the loop's monotonic clock. False when memory is out: not armed. */
PLINTH_MUST_CHECK bool rpc_timer_arm(struct rpc_loop *loop, struct rpc_timer *timer, uint64_t due_ns);
/* Disarms; nothing happens when it is not armed. */
void rpc_timer_disarm(struct rpc_loop *loop, struct rpc_timer *timer);

#endif
