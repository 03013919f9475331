/* What sessions, calls, servers and clients need of their loop. All on the loop's thread unless said. */
#ifndef PLINTH_RPC_LOOP_PRIVATE_H
#define PLINTH_RPC_LOOP_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

#include "rpc/loop.h"
#include "rpc/timer_heap.h"

struct rpc_call;

/* A file descriptor that epoll watches. */
struct loop_watch {
    void (*on_event)(struct loop_watch *watch, uint32_t epoll_events);
};

/* Something to do once before the loop sleeps: writing a session's output. */
struct loop_flush {
    struct loop_flush *next;
    void (*run)(struct loop_flush *flush);
    bool queued;
};

enum {
    LOOP_READ_BYTES = 128 * 1024,
    LOOP_CALLS_KEPT_MAX = 1024, /* unused calls a loop keeps for reuse */
};

/* Written by the loop, read by anybody (relaxed): each is exact. */
struct loop_counters {
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t connections_total;
    atomic_uint_fast64_t calls;
    atomic_uint_fast64_t calls_total;
    atomic_uint_fast64_t calls_cancelled;
    atomic_uint_fast64_t bytes_received;
    atomic_uint_fast64_t bytes_sent;
};
/* The only writer is the loop: no locked instruction is needed. */
static inline void counter_add(atomic_uint_fast64_t *counter, uint64_t delta) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta, memory_order_relaxed);
}

struct rpc_loop {
    /* any thread */
    _Atomic(struct rpc_task *) posted; /* last posted first; whoever finds it empty wakes the loop */
    atomic_uint posters;               /* threads between pushing a task and writing the eventfd */
    atomic_bool wake_pending;
    atomic_size_t calls_live; /* calls not yet released to the loop */
    struct loop_counters counters;
    /* fixed after creation */
    struct env *env;
    struct rpc_loop_hooks hooks;
    unsigned index;
    int epoll_fd;
    int wake_fd;
    pthread_t thread;
    struct loop_watch wake_watch;
    /* the loop's own */
    void *user_data;
    uint64_t now_ns;
    struct timer_heap timers;
    struct loop_flush *flushes;
    struct rpc_task *doomed; /* tasks that free memory which events of this round may still point to */
    struct rpc_call *calls_free;
    unsigned calls_free_count;
    size_t residents; /* sessions and listeners: the thread does not end before they are gone */
    bool stopping;
    struct rpc_task stop_task;
    uint8_t *read_bytes; /* LOOP_READ_BYTES, shared by all sessions */
};

static inline bool loop_is_current(const struct rpc_loop *loop) { return rpc_loop_current() == loop; }

/* Creates without starting the thread; rpc_loop_destroy also frees one that was never started. */
PLINTH_MUST_CHECK enum plinth_status loop_create(const struct rpc_loop_options *options, struct rpc_loop **loop,
                                                 struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status loop_start(struct rpc_loop *loop, const char *name, struct plinth_error *error);
/* Frees a loop whose thread was never started, or ends and joins it. */
void loop_destroy(struct rpc_loop *loop, bool started);

/* epoll_ctl with EPOLL_CTL_ADD; level-triggered. Any thread. */
PLINTH_MUST_CHECK enum plinth_status loop_watch_add(struct rpc_loop *loop, int fd, struct loop_watch *watch,
                                                    uint32_t epoll_events, struct plinth_error *error);
void loop_watch_change(struct rpc_loop *loop, int fd, struct loop_watch *watch, uint32_t epoll_events);
void loop_watch_remove(struct rpc_loop *loop, int fd);

/* Runs `flush` once before the loop sleeps; from inside a flush: in the next round, without sleeping. */
void loop_flush_later(struct rpc_loop *loop, struct loop_flush *flush);
void loop_flush_forget(struct rpc_loop *loop, struct loop_flush *flush);
/* Runs `task` when all events of this round are handled: the place to free what has a watch. */
void loop_doom(struct rpc_loop *loop, struct rpc_task *task);

/* One round with the given longest wait; for tests and fuzzers that drive a loop without a thread. */
void loop_run_once(struct rpc_loop *loop, int timeout_ms);
/* Makes the calling thread the loop's. Null: none again. */
void loop_adopt(struct rpc_loop *loop);

#endif
