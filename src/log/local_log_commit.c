/* Group commit.
 *
 * The write role (write_mutex): swap the groups under append_mutex, write the filled one with one pwrite. Those who
 * wait for "written" simply queue at the mutex; whoever gets it writes for all that queued behind.
 *
 * The sync role (`leading`): one thread at a time runs a *cycle*: it writes what is there, then syncs it. Everything
 * appended before the cycle began is in it; that border, cycle_lsn, is set under append_mutex, so that a waiter knows
 * exactly whether the cycle under way is its own or the next one is, and sleeps on the futex word of that cycle. At
 * the end of a cycle the leader wakes all its waiters (they are done, and take no lock) and one waiter of the next
 * cycle, who becomes its leader. Nobody is woken in vain, and no thread of ours stands between a waiter and the disk.
 *
 * Threads that were just woken usually come back with the next record at once. A leader therefore gives them a
 * moment (at most half the time of a sync) before it begins, as long as fewer wait than the last cycles have shown
 * to be about: else two halves of the threads would take turns, each sync carrying half of what it could. */
#include <sched.h>
#include <string.h>

#include "base/status.h"
#include "base/thread.h"
#include "log/local_log_private.h"

static const uint64_t gather_ns_max = 200 * 1000;

/* ---- poison ---- */

static void all_wake(struct local_log *log) {
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&log->cycle_words[i], 1);
        futex_wake(&log->cycle_words[i], INT32_MAX);
    }
    log_thread_wake(log);
}

enum plinth_status poison_set(struct local_log *log, enum plinth_status status, const struct plinth_error *cause) {
    pthread_mutex_lock(&log->segments_mutex);
    if (!atomic_load_explicit(&log->poisoned, memory_order_relaxed)) {
        error_set(&log->poison, status, "log %s has stopped: %s", log->directory, cause->text);
        atomic_store_explicit(&log->poisoned, true, memory_order_release);
    }
    pthread_mutex_unlock(&log->segments_mutex);
    all_wake(log);
    return status;
}

enum plinth_status poison_cause(struct local_log *log, struct plinth_error *error) {
    pthread_mutex_lock(&log->segments_mutex);
    enum plinth_status st = error_set(error, log->poison.status, "%s", log->poison.text);
    pthread_mutex_unlock(&log->segments_mutex);
    return st;
}

enum plinth_status poison_unknown(struct local_log *log, uint64_t lsn, struct plinth_error *error) {
    pthread_mutex_lock(&log->segments_mutex);
    enum plinth_status st = error_set(error, PLINTH_OUTCOME_UNKNOWN, "record %llu may or may not be durable: %s",
                                      (unsigned long long)lsn, log->poison.text);
    pthread_mutex_unlock(&log->segments_mutex);
    return st;
}

static bool is_poisoned(struct local_log *log) { return atomic_load_explicit(&log->poisoned, memory_order_acquire); }

static uint64_t mark_load(atomic_uint_fast64_t *mark) { return atomic_load_explicit(mark, memory_order_acquire); }

/* Moves a mark forward, never back. */
static void mark_raise(atomic_uint_fast64_t *mark, uint64_t to) {
    uint64_t now = atomic_load_explicit(mark, memory_order_relaxed);
    while (now < to &&
           !atomic_compare_exchange_weak_explicit(mark, &now, to, memory_order_seq_cst, memory_order_relaxed)) {
    }
}

/* ---- syncing ---- */

/* Makes `file`, and with it everything up to `lsn`, durable. One at a time: the kernel reports a failed write-back
 * to one fdatasync only, and the other would take its data for safe. */
static enum plinth_status file_sync_until(struct local_log *log, struct log_file *file, uint64_t lsn,
                                          struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&log->sync_mutex);
    if (mark_load(&log->synced_lsn) >= lsn) goto done;
    if (is_poisoned(log)) {
        st = poison_unknown(log, lsn, error);
        goto done;
    }
    struct plinth_error cause = {0};
    st = file_sync(file->file, &cause);
    if (st) {
        poison_set(log, st, &cause);
        st = poison_unknown(log, lsn, error);
        goto done;
    }
    atomic_fetch_add_explicit(&log->syncs, 1, memory_order_relaxed);
    mark_raise(&log->synced_lsn, lsn);
done:
    pthread_mutex_unlock(&log->sync_mutex);
    return st;
}

/* ---- writing (with write_mutex) ---- */

/* The group swapped out goes into the prepared file. What is written so far is synced first, so that a file's
 * existence proves the ones before it complete. */
static enum plinth_status segment_roll(struct local_log *log, uint64_t first_lsn, struct plinth_error *error) {
    pthread_mutex_lock(&log->prepare_mutex); /* no zeros are being written into it from here on */
    pthread_cond_signal(&log->prepare_wanted);
    pthread_mutex_unlock(&log->prepare_mutex);
    enum plinth_status st = file_sync_until(log, log->active, mark_load(&log->written_lsn), error);
    if (st) return st;
    struct plinth_error cause = {0};
    st = segment_start(log, &log->rolling, first_lsn, &cause);
    if (!st) return PLINTH_OK;
    poison_set(log, st, &cause);
    return poison_unknown(log, first_lsn, error);
}

/* Up to where zeros must follow a block that ends at `end` in a recycled file, when those of the last one do not reach:
 * whole pages, so that the operating system need not read them first. */
static uint64_t zeros_end(const struct log_file *file, uint64_t end) {
    if (!file->recycled || end + LOG_BLOCK_HEADER_BYTES <= file->zeroed_offset) return end;
    uint64_t to = (end + LOG_BLOCK_HEADER_BYTES + LOG_PAGE_BYTES - 1) & ~(uint64_t)(LOG_PAGE_BYTES - 1);
    return to < file->capacity ? to : file->capacity;
}

/* Writes `bytes`, a finished block, behind the active file's end. */
static enum plinth_status block_write(struct local_log *log, const uint8_t *bytes, size_t size, uint64_t first_lsn,
                                      struct plinth_error *error) {
    struct log_file *file = log->active;
    uint64_t offset = atomic_load_explicit(&file->end_offset, memory_order_relaxed);
    static const uint8_t zeros[LOG_BLOCK_HEADER_BYTES + LOG_PAGE_BYTES];
    uint64_t zeroed = zeros_end(file, offset + size);
    struct iovec parts[] = {{(void *)(uintptr_t)bytes, size},
                            {(void *)(uintptr_t)zeros, (size_t)(zeroed - offset - size)}};
    struct plinth_error cause = {0};
    enum plinth_status st = file_writev(file->file, offset, parts, parts[1].iov_len ? 2 : 1, &cause);
    if (st) {
        poison_set(log, st, &cause);
        return poison_unknown(log, first_lsn, error);
    }
    if (zeroed > file->zeroed_offset) file->zeroed_offset = zeroed;
    log_file_mark(file, first_lsn, offset);
    atomic_store_explicit(&file->end_offset, offset + size, memory_order_release);
    atomic_fetch_add_explicit(&log->file_bytes, size, memory_order_relaxed);
    return PLINTH_OK;
}

static struct log_block block_fields(struct local_log *log, uint64_t first_lsn) {
    return (struct log_block){
        .epoch = log_segment_epoch(&log->newest)->number,
        .first_lsn = first_lsn,
        .synced_lsn = mark_load(&log->synced_lsn),
    };
}

enum plinth_status marker_write(struct local_log *log, uint32_t flags, struct plinth_error *error) {
    uint8_t bytes[LOG_BLOCK_HEADER_BYTES];
    struct log_block fields = block_fields(log, mark_load(&log->next_lsn));
    fields.flags = flags;
    fields.time_us = env_wall_time_us(log->env);
    size_t size = log_block_finish(log->seed, &fields, bytes, 0);
    return block_write(log, bytes, size, fields.first_lsn, error);
}

/* Takes the filled group and gives appenders the other one. Decides where the block goes; null when there is none. */
static struct group *group_take(struct local_log *log, bool *roll) {
    *roll = false;
    struct group *taken = NULL;
    pthread_mutex_lock(&log->append_mutex);
    if (log->fill->record_count) {
        taken = log->fill;
        log->fill = log->spare;
        log->spare = NULL;
        group_begin(log->fill);
        uint64_t size = (taken->size + 7) & ~UINT64_C(7);
        if (log->planned_end + size + MARKER_ROOM_BYTES > log->planned_capacity) {
            *roll = true;
            log->rolling = log->prepared;
            log->prepared = (struct prepared){0};
            log->planned_end = LOG_SEGMENT_HEADER_BYTES;
            log->planned_capacity = log->rolling.capacity;
        }
        log->planned_end += size;
    }
    pthread_mutex_unlock(&log->append_mutex);
    return taken;
}

static enum plinth_status group_write(struct local_log *log, bool *wrote, struct plinth_error *error) {
    bool roll = false;
    *wrote = false;
    struct group *group = group_take(log, &roll);
    if (!group) return PLINTH_OK;
    enum plinth_status st = roll ? segment_roll(log, group->first_lsn, error) : PLINTH_OK;
    if (!st) {
        struct log_block fields = block_fields(log, group->first_lsn);
        fields.record_count = group->record_count;
        fields.time_us = group->time_us;
        size_t size = log_block_finish(log->seed, &fields, group->bytes, group->size - LOG_BLOCK_HEADER_BYTES);
        st = block_write(log, group->bytes, size, group->first_lsn, error);
    }
    if (!st) {
        *wrote = true;
        log->last_record_lsn = group->first_lsn + group->record_count - 1;
        atomic_fetch_add_explicit(&log->groups, 1, memory_order_relaxed);
        mark_raise(&log->written_lsn, log->last_record_lsn);
    }
    log->spare = group;
    return st;
}

static enum plinth_status write_until_locked(struct local_log *log, uint64_t lsn, struct plinth_error *error) {
    while (mark_load(&log->written_lsn) < lsn) {
        if (is_poisoned(log)) return poison_unknown(log, lsn, error);
        bool wrote = false;
        enum plinth_status st = group_write(log, &wrote, error);
        if (st) return st;
        if (!wrote) break; /* the caller asked for more than there is */
    }
    return PLINTH_OK;
}

enum plinth_status write_until(struct local_log *log, uint64_t lsn, struct plinth_error *error) {
    if (mark_load(&log->written_lsn) >= lsn) return PLINTH_OK;
    pthread_mutex_lock(&log->write_mutex);
    enum plinth_status st = write_until_locked(log, lsn, error);
    pthread_mutex_unlock(&log->write_mutex);
    return st;
}

/* ---- cycles (with the sync role) ---- */

/* Gives threads that have just been answered the time to come back. */
static void cycle_gather(struct local_log *log) {
    if (log->hoped_waiters <= 1) return;
    uint64_t limit_ns = log->sync_ns / 2 < gather_ns_max ? log->sync_ns / 2 : gather_ns_max;
    uint64_t end_ns = thread_time_ns() + limit_ns;
    while (atomic_load_explicit(&log->waiting, memory_order_relaxed) + 1 < log->hoped_waiters) {
        sched_yield();
        if (thread_time_ns() >= end_ns) return;
    }
}

static enum plinth_status cycle_write_and_sync(struct local_log *log, uint64_t lsn, struct plinth_error *error) {
    pthread_mutex_lock(&log->write_mutex);
    enum plinth_status st = write_until_locked(log, lsn, error);
    struct log_file *file = st ? NULL : log_file_ref(log->active);
    uint64_t written_lsn = mark_load(&log->written_lsn);
    pthread_mutex_unlock(&log->write_mutex);
    if (st) return st;
    uint64_t begin_ns = thread_time_ns();
    st = file_sync_until(log, file, written_lsn, error);
    uint64_t took_ns = thread_time_ns() - begin_ns;
    log->sync_ns = log->sync_ns ? (log->sync_ns * 7 + took_ns) / 8 : took_ns;
    log_file_unref(file);
    return st;
}

/* Lets the sync role go and wakes: everyone in cycle `done`, if one was run, and one waiter of the next. */
static void leading_release(struct local_log *log, unsigned cycle, bool ran) {
    atomic_store(&log->leading, 0);
    if (ran) {
        atomic_fetch_add(&log->cycle_words[cycle & 1], 1);
        futex_wake(&log->cycle_words[cycle & 1], INT32_MAX);
    }
    atomic_fetch_add(&log->cycle_words[(cycle + 1) & 1], 1);
    futex_wake(&log->cycle_words[(cycle + 1) & 1], 1);
}

/* A failure has poisoned the log; the waiters find that. */
static void cycle_run(struct local_log *log) {
    cycle_gather(log);
    pthread_mutex_lock(&log->append_mutex);
    unsigned cycle = ++log->cycle;
    uint64_t lsn = mark_load(&log->next_lsn) - 1;
    log->cycle_lsn = lsn;
    unsigned gathered = atomic_exchange_explicit(&log->waiting, 0, memory_order_relaxed) + 1;
    uint64_t bytes = log->appended_bytes;
    pthread_mutex_unlock(&log->append_mutex);
    if (!cycle_write_and_sync(log, lsn, NULL)) mark_raise(&log->synced_bytes, bytes);
    log->hoped_waiters = gathered + atomic_load_explicit(&log->waiting, memory_order_relaxed);
    leading_release(log, cycle, true);
    if (mark_load(&log->requested_synced) > mark_load(&log->notified_synced)) log_thread_wake(log);
}

/* ---- waiting ---- */

/* Somebody was woken to lead but has no need to; another may have. */
static void wake_pass_on(struct local_log *log) {
    if (atomic_load(&log->leading)) return; /* whoever leads wakes the next */
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&log->cycle_words[i], 1);
        futex_wake(&log->cycle_words[i], 1);
    }
}

/* Sleeps until the cycle that covers `lsn` has ended, or something else may be worth a look. False on time-out. */
static bool cycle_sleep(struct local_log *log, uint64_t lsn, uint64_t deadline_ns) {
    pthread_mutex_lock(&log->append_mutex);
    bool next = lsn > log->cycle_lsn;
    atomic_uint *word = &log->cycle_words[(log->cycle + next) & 1];
    unsigned seen = atomic_load(word);
    if (next) atomic_fetch_add_explicit(&log->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&log->append_mutex);
    /* The word is read before `leading`: a leader that ends after this changes the word, one that has ended before
     * is seen here. */
    if (!atomic_load(&log->leading) || mark_load(&log->synced_lsn) >= lsn || is_poisoned(log)) return true;
    bool woken = futex_wait(word, seen, deadline_ns);
    if (next && mark_load(&log->synced_lsn) >= lsn) wake_pass_on(log);
    return woken;
}

static enum plinth_status wait_synced(struct local_log *log, uint64_t lsn, uint64_t deadline_ns,
                                      struct plinth_error *error) {
    for (bool in_time = true;;) {
        if (mark_load(&log->synced_lsn) >= lsn) return PLINTH_OK;
        if (is_poisoned(log)) return poison_unknown(log, lsn, error);
        if (!in_time) {
            return error_set(error, PLINTH_DEADLINE_EXCEEDED, "record %llu is not synced yet", (unsigned long long)lsn);
        }
        if (atomic_exchange(&log->leading, 1) == 0) {
            if (mark_load(&log->synced_lsn) < lsn) {
                cycle_run(log);
            } else {
                pthread_mutex_lock(&log->append_mutex);
                unsigned cycle = log->cycle;
                pthread_mutex_unlock(&log->append_mutex);
                leading_release(log, cycle, false);
            }
        } else {
            in_time = cycle_sleep(log, lsn, deadline_ns);
        }
    }
}

enum plinth_status local_log_wait(struct log *base, uint64_t lsn, enum record_durability level, uint64_t timeout_us,
                                  struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    if (mark_load(&log->synced_lsn) >= lsn) return PLINTH_OK;
    if (lsn >= mark_load(&log->next_lsn)) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "wait for record %llu, which does not exist yet",
                         (unsigned long long)lsn);
    }
    if (level == RECORD_BUFFERED) return PLINTH_OK;
    if (level == RECORD_WRITTEN) return write_until(log, lsn, error);
    return wait_synced(log, lsn, thread_deadline_ns(timeout_us), error);
}

/* ---- the log's thread ---- */

void log_thread_wake(struct local_log *log) {
    atomic_fetch_add(&log->thread_word, 1);
    if (atomic_load(&log->thread_sleeps) != THREAD_AWAKE) futex_wake(&log->thread_word, 1);
}

void local_log_request(struct log *base, uint64_t lsn, enum record_durability level) {
    struct local_log *log = local_log_of(base);
    if (level <= RECORD_BUFFERED || log->options.read_only) return;
    mark_raise(level == RECORD_WRITTEN ? &log->requested_written : &log->requested_synced, lsn);
    atomic_store(&log->tell, true);
    if (atomic_load(&log->thread_sleeps) != THREAD_AWAKE) log_thread_wake(log);
}

static uint64_t appended_lsn(struct local_log *log) { return atomic_load(&log->next_lsn) - 1; }

/* A request never asks for more than was handed out. */
static uint64_t requested_lsn(struct local_log *log, atomic_uint_fast64_t *request) {
    uint64_t lsn = atomic_load(request), appended = appended_lsn(log);
    return lsn < appended ? lsn : appended;
}

static bool group_is_large(struct local_log *log) {
    pthread_mutex_lock(&log->append_mutex);
    bool large = log->fill->size >= GROUP_WRITE_BYTES;
    pthread_mutex_unlock(&log->append_mutex);
    return large;
}

struct log_thread {
    uint64_t next_sync_ns;
    uint64_t told_written_lsn;
    uint64_t told_synced_lsn;
    uint64_t napped_lsn; /* what was appended when it last had nothing to do */
    bool told_failed;
};

/* One round of what has been asked for; failures have poisoned the log. */
static void thread_work(struct local_log *log, struct log_thread *thread, uint64_t interval_ns) {
    if (is_poisoned(log)) return;
    uint64_t sync_lsn = requested_lsn(log, &log->requested_synced);
    if (thread_time_ns() >= thread->next_sync_ns) sync_lsn = appended_lsn(log);
    if (sync_lsn > mark_load(&log->synced_lsn)) {
        (void)!wait_synced(log, sync_lsn, UINT64_MAX, NULL);
    } else if (requested_lsn(log, &log->requested_written) > mark_load(&log->written_lsn) || group_is_large(log)) {
        (void)!write_until(log, appended_lsn(log), NULL);
    }
    if (thread_time_ns() >= thread->next_sync_ns) thread->next_sync_ns = thread_time_ns() + interval_ns;
}

static void thread_tell(struct local_log *log, struct log_thread *thread) {
    struct log_listener *listener = atomic_load(&log->listener);
    bool asked = atomic_exchange(&log->tell, false);
    uint64_t written_lsn = mark_load(&log->written_lsn), synced_lsn = mark_load(&log->synced_lsn);
    if (asked || written_lsn != thread->told_written_lsn || synced_lsn != thread->told_synced_lsn) {
        thread->told_written_lsn = written_lsn;
        thread->told_synced_lsn = synced_lsn;
        atomic_store(&log->notified_synced, synced_lsn);
        if (listener) listener->advanced(listener, written_lsn, synced_lsn);
    }
    if (is_poisoned(log) && !thread->told_failed) {
        thread->told_failed = true;
        struct plinth_error cause = {0};
        poison_cause(log, &cause);
        if (listener) listener->failed(listener, &cause);
    }
}

static bool thread_has_work(struct local_log *log) {
    if (atomic_load(&log->tell) || atomic_load(&log->stopping)) return true;
    if (is_poisoned(log)) return false;
    return requested_lsn(log, &log->requested_synced) > atomic_load(&log->synced_lsn) ||
           requested_lsn(log, &log->requested_written) > atomic_load(&log->written_lsn);
}

/* Naps until the next interval, or, when nothing came in during the last nap and all is synced, until an append.
 * `word` was read before the work was looked for. */
static void thread_sleep(struct local_log *log, struct log_thread *thread, unsigned word) {
    uint64_t appended = appended_lsn(log);
    bool quiet = is_poisoned(log) || (appended == thread->napped_lsn && appended == mark_load(&log->synced_lsn));
    thread->napped_lsn = appended;
    atomic_store(&log->thread_sleeps, quiet ? THREAD_IDLE : THREAD_NAPS);
    if (!thread_has_work(log) && (!quiet || is_poisoned(log) || appended_lsn(log) == appended)) {
        futex_wait(&log->thread_word, word, quiet ? UINT64_MAX : thread->next_sync_ns);
    }
    atomic_store(&log->thread_sleeps, THREAD_AWAKE);
    if (quiet) thread->next_sync_ns = thread_time_ns() + (uint64_t)log->options.sync_interval_ms * 1000000;
}

void *log_thread_run(void *argument) {
    struct local_log *log = argument;
    uint64_t interval_ns = (uint64_t)log->options.sync_interval_ms * 1000000;
    struct log_thread thread = {
        .next_sync_ns = thread_time_ns() + interval_ns,
        .told_written_lsn = mark_load(&log->written_lsn),
        .told_synced_lsn = mark_load(&log->synced_lsn),
    };
    while (!atomic_load(&log->stopping)) {
        unsigned word = atomic_load(&log->thread_word);
        thread_work(log, &thread, interval_ns);
        thread_tell(log, &thread);
        if (!thread_has_work(log)) thread_sleep(log, &thread, word);
    }
    return NULL;
}
