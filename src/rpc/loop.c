/* The event loop's thread. See loop.h for the order of one iteration.
 *
 * Waking: `posted` is a stack that producers push with compare-and-swap and the loop takes whole with one exchange. The
 * producer that finds it empty writes the eventfd, unless it is the loop's own thread, which looks at `posted` again
 * before it sleeps. A producer that pushes after that look has found the stack empty, so it writes and epoll returns.
 */
#include "rpc/loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log_event.h"
#include "base/status.h"
#include "base/thread.h"
#include "rpc/call_private.h"
#include "rpc/loop_private.h"

enum { EVENTS_MAX = 64 };
enum { STOP_WARN_MS = 5000 };

static __thread struct rpc_loop *current_loop;

struct rpc_loop *rpc_loop_current(void) {
    return current_loop;
}
void loop_adopt(struct rpc_loop *loop) { current_loop = loop; }
unsigned rpc_loop_index(const struct rpc_loop *loop) { return loop->index; }
void rpc_loop_set_user_data(struct rpc_loop *loop, void *user_data) { loop->user_data = user_data; }
void *rpc_loop_user_data(const struct rpc_loop *loop) { return loop->user_data; }
uint64_t rpc_loop_now_ns(const struct rpc_loop *loop) { return loop->now_ns; }

static void write_wake_fd(struct rpc_loop *loop) {
    uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Pushes; true when the stack was empty before. */
static bool push_posted(struct rpc_loop *loop, struct rpc_task *task) {
    struct rpc_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do task->next = head;
    while (
        !atomic_compare_exchange_weak_explicit(&loop->posted, &head, task, memory_order_acq_rel, memory_order_relaxed));
    return !head;
}

void rpc_loop_post(struct rpc_loop *loop, struct rpc_task *task) {
    if (loop_is_current(loop)) {
        push_posted(loop, task);
        return;
    }
    /* The task may be the last thing that kept the loop alive: it must not be freed between push and wake. */
    atomic_fetch_add_explicit(&loop->posters, 1, memory_order_relaxed);
    if (push_posted(loop, task)) write_wake_fd(loop);
    atomic_fetch_sub_explicit(&loop->posters, 1, memory_order_release);
}

void rpc_loop_wake(struct rpc_loop *loop) {
    if (atomic_exchange_explicit(&loop->wake_pending, true, memory_order_acq_rel)) return;
    if (!loop_is_current(loop)) write_wake_fd(loop);
}

bool rpc_timer_arm(struct rpc_loop *loop, struct rpc_timer *timer, uint64_t due_ns) {
    return timer_heap_put(&loop->timers, timer, due_ns);
}
void rpc_timer_disarm(struct rpc_loop *loop, struct rpc_timer *timer) { timer_heap_remove(&loop->timers, timer); }

enum plinth_status loop_watch_add(struct rpc_loop *loop, int fd, struct loop_watch *watch, uint32_t epoll_events,
                                  struct plinth_error *error) {
    struct epoll_event event = {.events = epoll_events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return PLINTH_OK;
    return error_set_errno(error, errno, "epoll cannot watch descriptor %d", fd);
}

void loop_watch_change(struct rpc_loop *loop, int fd, struct loop_watch *watch, uint32_t epoll_events) {
    struct epoll_event event = {.events = epoll_events, .data.ptr = watch};
    int failed = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    assert(!failed); /* only for watched descriptors; MOD allocates nothing */
    (void)failed;
}

void loop_watch_remove(struct rpc_loop *loop, int fd) { epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); }

void loop_flush_later(struct rpc_loop *loop, struct loop_flush *flush) {
    if (flush->queued) return;
    flush->queued = true;
    flush->next = loop->flushes;
    loop->flushes = flush;
}

void loop_flush_forget(struct rpc_loop *loop, struct loop_flush *flush) {
    if (!flush->queued) return;
    struct loop_flush **at = &loop->flushes;
    while (*at && *at != flush) at = &(*at)->next;
    if (*at) *at = flush->next;
    flush->queued = false;
}

void loop_doom(struct rpc_loop *loop, struct rpc_task *task) {
    task->next = loop->doomed;
    loop->doomed = task;
}

/* One at a time from the head, so that a flush that ends another session may take that one out of the list. */
static void run_flushes(struct rpc_loop *loop) {
    struct loop_flush *again = NULL;
    while (loop->flushes) {
        struct loop_flush *flush = loop->flushes;
        loop->flushes = flush->next;
        flush->queued = false;
        flush->run(flush);
        if (flush->queued && loop->flushes == flush) { /* it has more than its share: next round */
            loop->flushes = flush->next;
            flush->next = again;
            again = flush;
        }
    }
    loop->flushes = again;
}

static void run_posted(struct rpc_loop *loop) {
    struct rpc_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acq_rel);
    struct rpc_task *oldest = NULL;
    while (newest) {
        struct rpc_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct rpc_task *task = oldest;
        oldest = task->next;
        task->run(task);
    }
}

static void run_doomed(struct rpc_loop *loop) {
    while (loop->doomed) {
        struct rpc_task *task = loop->doomed;
        loop->doomed = task->next;
        task->run(task);
    }
}

static void run_timers(struct rpc_loop *loop) {
    for (struct rpc_timer *timer; (timer = timer_heap_first(&loop->timers)) && timer->due_ns <= loop->now_ns;) {
        timer_heap_remove(&loop->timers, timer);
        timer->run(timer);
    }
}

static int wait_ms(const struct rpc_loop *loop, int longest_ms) {
    if (loop->flushes || loop->doomed || atomic_load_explicit(&loop->posted, memory_order_acquire) ||
        atomic_load_explicit(&loop->wake_pending, memory_order_acquire))
        return 0;
    const struct rpc_timer *timer = timer_heap_first(&loop->timers);
    if (!timer) return longest_ms;
    if (timer->due_ns <= loop->now_ns) return 0;
    uint64_t ms = (timer->due_ns - loop->now_ns + 999999) / 1000000;
    return longest_ms >= 0 && ms > (uint64_t)longest_ms ? longest_ms : (int)(ms > 3600000 ? 3600000 : ms);
}

void loop_run_once(struct rpc_loop *loop, int timeout_ms) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, wait_ms(loop, timeout_ms));
    loop->now_ns = env_monotonic_ns(loop->env);
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = events[i].data.ptr;
        watch->on_event(watch, events[i].events);
    }
    run_posted(loop);
    if (atomic_exchange_explicit(&loop->wake_pending, false, memory_order_acq_rel) && loop->hooks.on_wake)
        loop->hooks.on_wake(loop, loop->hooks.context);
    run_timers(loop);
    if (loop->hooks.on_iteration) loop->hooks.on_iteration(loop, loop->hooks.context);
    run_flushes(loop);
    run_doomed(loop);
}

static void on_wake_fd(struct loop_watch *watch, uint32_t epoll_events) {
    (void)epoll_events;
    struct rpc_loop *loop = (struct rpc_loop *)((char *)watch - offsetof(struct rpc_loop, wake_watch));
    uint64_t count;
    while (read(loop->wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

static bool is_finished(const struct rpc_loop *loop) {
    return loop->stopping && loop->residents == 0 && !loop->flushes && !loop->doomed &&
           atomic_load_explicit(&loop->calls_live, memory_order_acquire) == 0 &&
           !atomic_load_explicit(&loop->posted, memory_order_acquire);
}

static void *loop_thread(void *argument) {
    struct rpc_loop *loop = argument;
    loop_adopt(loop);
    loop->now_ns = env_monotonic_ns(loop->env);
    if (loop->hooks.on_start) loop->hooks.on_start(loop, loop->hooks.context);
    uint64_t stopping_since_ns = 0;
    while (!is_finished(loop)) {
        loop_run_once(loop, loop->stopping ? STOP_WARN_MS : -1);
        if (!loop->stopping) continue;
        if (!stopping_since_ns) stopping_since_ns = loop->now_ns;
        if (loop->now_ns - stopping_since_ns < STOP_WARN_MS * UINT64_C(1000000)) continue;
        stopping_since_ns = loop->now_ns;
        log_event(LOG_WARN, "rpc_loop_stop_waits", "calls_referenced=%zu connections=%zu",
                  atomic_load_explicit(&loop->calls_live, memory_order_relaxed), loop->residents);
    }
    if (loop->hooks.on_stop) loop->hooks.on_stop(loop, loop->hooks.context);
    loop_adopt(NULL);
    return NULL;
}

enum plinth_status loop_create(const struct rpc_loop_options *options, struct rpc_loop **loop,
                               struct plinth_error *error) {
    enum plinth_status status = PLINTH_OK;
    *loop = NULL;
    struct rpc_loop *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "event loop");
    made->env = options->env ? options->env : env_posix();
    made->hooks = options->hooks;
    made->index = options->index;
    made->wake_watch.on_event = on_wake_fd;
    made->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    made->read_bytes = malloc(LOOP_READ_BYTES);
    if (made->wake_fd < 0 || made->epoll_fd < 0) {
        status = error_set_errno(error, errno, "cannot create an event loop");
        goto done;
    }
    if (!made->read_bytes) {
        status = error_no_memory(error, "event loop");
        goto done;
    }
    status = loop_watch_add(made, made->wake_fd, &made->wake_watch, EPOLLIN, error);
    if (status) goto done;
    *loop = made;
done:
    if (status) loop_destroy(made, false);
    return status;
}

enum plinth_status loop_start(struct rpc_loop *loop, const char *name, struct plinth_error *error) {
    return thread_start(&loop->thread, name, loop_thread, loop, error);
}

static void stop_task_run(struct rpc_task *task) {
    struct rpc_loop *loop = (struct rpc_loop *)((char *)task - offsetof(struct rpc_loop, stop_task));
    loop->stopping = true;
}

void loop_destroy(struct rpc_loop *loop, bool started) {
    if (!loop) return;
    if (started) {
        assert(!loop_is_current(loop));
        loop->stop_task.run = stop_task_run;
        rpc_loop_post(loop, &loop->stop_task);
        pthread_join(loop->thread, NULL);
        while (atomic_load_explicit(&loop->posters, memory_order_acquire)) sched_yield();
    }
    call_pool_drop(loop);
    timer_heap_deinit(&loop->timers);
    if (loop->epoll_fd >= 0) close(loop->epoll_fd);
    if (loop->wake_fd >= 0) close(loop->wake_fd);
    free(loop->read_bytes);
    free(loop);
}

enum plinth_status rpc_loop_create(const struct rpc_loop_options *options, struct rpc_loop **loop,
                                   struct plinth_error *error) {
    enum plinth_status status = loop_create(options, loop, error);
    if (status) return status;
    status = loop_start(*loop, options->name ? options->name : "rpc", error);
    if (status) {
        loop_destroy(*loop, false);
        *loop = NULL;
    }
    return status;
}

void rpc_loop_destroy(struct rpc_loop *loop) { loop_destroy(loop, true); }
