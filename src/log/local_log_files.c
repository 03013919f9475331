/* Segments: made ahead of need, and started.
 *
 * An fdatasync is about 40 % faster where the file has been written before (no extent to convert, nothing to put
 * into the file system's journal). So the next file is one that was trimmed, as it is. When there is none, a new file
 * is not only reserved but filled with zeros by a thread of its own, a chunk at a time, so that the log never waits
 * for it for long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/status.h"
#include "base/thread.h"
#include "log/local_log_private.h"

enum { ZERO_CHUNK_BYTES = 512 * 1024 };
static const uint64_t prepare_retry_ns = 100 * 1000 * 1000;
static const uint64_t refusal_fresh_ns = UINT64_C(5000) * 1000 * 1000;

void prepared_drop(struct local_log *log, struct prepared *prepared) {
    file_close(prepared->file);
    if (prepared->path) (void)!env_remove(log->env, prepared->path, NULL); /* else the next open removes it */
    free(prepared->path);
    *prepared = (struct prepared){0};
}

static uint64_t prepared_capacity_for(const struct local_log *log, uint64_t body_bytes) {
    uint64_t needed = LOG_SEGMENT_HEADER_BYTES + LOG_BLOCK_HEADER_BYTES + body_bytes + 8 + MARKER_ROOM_BYTES;
    return needed > log->options.segment_bytes ? needed : log->options.segment_bytes;
}

static bool prepared_suffices(struct local_log *log, uint64_t capacity) {
    pthread_mutex_lock(&log->append_mutex);
    bool suffices = log->prepared.file && log->prepared.capacity >= capacity;
    pthread_mutex_unlock(&log->append_mutex);
    return suffices;
}

static enum plinth_status zeros_write(struct env_file *file, uint64_t from, uint64_t to, struct plinth_error *error) {
    static const uint8_t zeros[64 * 1024];
    enum plinth_status st = PLINTH_OK;
    while (from < to && !st) {
        struct iovec parts[ZERO_CHUNK_BYTES / sizeof zeros];
        int count = 0;
        uint64_t at = from;
        while (at < to && count < (int)(ZERO_CHUNK_BYTES / sizeof zeros)) {
            size_t size = to - at < sizeof zeros ? (size_t)(to - at) : sizeof zeros;
            parts[count++] = (struct iovec){(void *)(uintptr_t)zeros, size};
            at += size;
        }
        st = file_writev(file, from, parts, count, error);
        from = at;
    }
    return st;
}

/* With prepare_mutex: a new file of `capacity` bytes whose space is reserved. */
static enum plinth_status prepared_make(struct local_log *log, uint64_t capacity, bool zeros, struct prepared *made,
                                        struct plinth_error *error) {
    char name[32];
    snprintf(name, sizeof name, "next-%u.tmp", log->prepare_number++);
    *made = (struct prepared){.path = path_join(log->directory, name), .capacity = capacity};
    enum plinth_status st = made->path ? PLINTH_OK : error_no_memory(error, "log segment path");
    if (!st) {
        st = env_open(log->env, made->path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &made->file, error);
    }
    if (!st) st = file_allocate(made->file, capacity, error);
    if (!st && zeros) st = zeros_write(made->file, LOG_SEGMENT_HEADER_BYTES, capacity, error);
    if (!st) st = file_sync(made->file, error);
    if (st) prepared_drop(log, made);
    return st;
}

/* Opens a spare to be used as it is. */
static bool prepared_recycle(struct local_log *log, uint64_t capacity, struct prepared *made) {
    if (!spare_take(log, capacity, made)) return false;
    if (!env_open(log->env, made->path, ENV_READ | ENV_WRITE, &made->file, NULL)) return true;
    prepared_drop(log, made);
    return false;
}

/* With prepare_mutex: remembers how it went. */
static void prepare_note(struct local_log *log, enum plinth_status st, const struct plinth_error *cause) {
    pthread_mutex_lock(&log->segments_mutex);
    log->prepare_failed = st;
    if (st) {
        log->prepare_error = *cause;
        log->prepare_retry_ns = thread_time_ns() + prepare_retry_ns;
    }
    pthread_mutex_unlock(&log->segments_mutex);
}

/* With prepare_mutex. A failure is remembered for a moment, so that refusing appends on a full disk is cheap. */
static enum plinth_status prepare_locked(struct local_log *log, uint64_t capacity, bool zeros,
                                         struct plinth_error *error) {
    if (prepared_suffices(log, capacity)) return PLINTH_OK;
    struct prepared made;
    if (!prepared_recycle(log, capacity, &made)) {
        if (log->prepare_failed && thread_time_ns() < log->prepare_retry_ns) {
            return error_set(error, log->prepare_failed, "%s", log->prepare_error.text);
        }
        struct plinth_error cause = {0};
        enum plinth_status st = prepared_make(log, capacity, zeros, &made, &cause);
        if (st == PLINTH_NO_SPACE && spares_drop(log)) { /* they were too small */
            st = prepared_make(log, capacity, zeros, &made, &cause);
        }
        if (st) {
            prepare_note(log, st, &cause);
            return error_set(error, st, "%s", cause.text);
        }
    }
    if (log->prepare_failed) prepare_note(log, PLINTH_OK, NULL);
    pthread_mutex_lock(&log->append_mutex);
    struct prepared former = log->prepared;
    log->prepared = made;
    pthread_mutex_unlock(&log->append_mutex);
    prepared_drop(log, &former); /* it was too small */
    return PLINTH_OK;
}

enum plinth_status prepare_file(struct local_log *log, uint64_t body_bytes, bool zeros, struct plinth_error *error) {
    pthread_mutex_lock(&log->prepare_mutex);
    enum plinth_status st = prepare_locked(log, prepared_capacity_for(log, body_bytes), zeros, error);
    pthread_mutex_unlock(&log->prepare_mutex);
    return st;
}

/* A file of the common size heals by itself; one for a large record is only tried by its append. */
enum plinth_status local_log_space(struct log *base, struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    bool there = prepared_suffices(log, 1);
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&log->segments_mutex); /* the other one may be held for long */
    bool fresh = thread_time_ns() < log->prepare_retry_ns + refusal_fresh_ns;
    if (log->prepare_failed && (!there || fresh)) {
        st = error_set(error, log->prepare_failed, "%s", log->prepare_error.text);
    }
    pthread_mutex_unlock(&log->segments_mutex);
    return st;
}

/* With prepare_mutex: fills the prepared file with zeros until it is full, taken, or the log stops. The mutex is let
 * go between chunks; whoever takes the file takes the mutex once after that, so that no chunk is under way. */
static void prepared_fill(struct local_log *log) {
    pthread_mutex_lock(&log->append_mutex);
    struct prepared filled = log->prepared;
    pthread_mutex_unlock(&log->append_mutex);
    if (filled.recycled) return;
    for (uint64_t at = LOG_SEGMENT_HEADER_BYTES; filled.file && at < filled.capacity; at += ZERO_CHUNK_BYTES) {
        pthread_mutex_lock(&log->append_mutex);
        bool taken = log->prepared.file != filled.file;
        pthread_mutex_unlock(&log->append_mutex);
        if (taken || log->preparing_stops) return;
        uint64_t end = at + ZERO_CHUNK_BYTES < filled.capacity ? at + ZERO_CHUNK_BYTES : filled.capacity;
        /* A failure shows itself again when the file is used. */
        if (zeros_write(filled.file, at, end, NULL) || file_sync(filled.file, NULL)) return;
        pthread_mutex_unlock(&log->prepare_mutex);
        env_sleep_us(log->env, 200); /* commits first */
        pthread_mutex_lock(&log->prepare_mutex);
    }
}

void *preparer_run(void *argument) {
    struct local_log *log = argument;
    pthread_mutex_lock(&log->prepare_mutex);
    while (!log->preparing_stops) {
        uint64_t capacity = prepared_capacity_for(log, 0);
        if (!prepared_suffices(log, 1) && prepare_locked(log, capacity, false, NULL) == PLINTH_OK) prepared_fill(log);
        if (log->preparing_stops) break;
        if (prepared_suffices(log, 1)) {
            pthread_cond_wait(&log->prepare_wanted, &log->prepare_mutex);
        } else {
            condition_wait_us(&log->prepare_wanted, &log->prepare_mutex, prepare_retry_ns / 1000);
        }
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    return NULL;
}

/* ---- starting a segment ---- */

bool segments_push(struct local_log *log, struct log_file *file) {
    bool pushed = true;
    struct log_file *replaced = NULL;
    pthread_mutex_lock(&log->segments_mutex);
    if (log->segment_count && log->segments[log->segment_count - 1]->first_lsn == file->first_lsn) {
        replaced = log->segments[--log->segment_count];
    } else if (log->segment_count == log->segment_capacity) {
        size_t capacity = log->segment_capacity ? log->segment_capacity * 2 : 16;
        struct log_file **grown = realloc(log->segments, capacity * sizeof grown[0]);
        pushed = grown != NULL;
        if (pushed) {
            log->segments = grown;
            log->segment_capacity = capacity;
        }
    }
    if (pushed) log->segments[log->segment_count++] = file;
    pthread_mutex_unlock(&log->segments_mutex);
    if (replaced) {
        atomic_fetch_sub_explicit(&log->file_bytes, atomic_load_explicit(&replaced->end_offset, memory_order_relaxed),
                                  memory_order_relaxed);
        log_file_unref(replaced);
    }
    return pushed;
}

enum plinth_status segment_start(struct local_log *log, struct prepared *prepared, uint64_t first_lsn,
                                 struct plinth_error *error) {
    uint8_t bytes[LOG_SEGMENT_HEADER_BYTES];
    char name[LOG_FILE_NAME_BYTES];
    log_file_name(first_lsn, name);
    char *path = path_join(log->directory, name);
    struct log_file *started = NULL;
    enum plinth_status st = path ? PLINTH_OK : error_no_memory(error, "log segment path");
    if (st) goto done;
    log->newest.first_lsn = first_lsn;
    log->newest.previous_last_lsn = log->last_record_lsn;
    log->newest.synced_lsn = atomic_load_explicit(&log->synced_lsn, memory_order_acquire);
    log->newest.recycled = prepared->recycled;
    log_segment_header_encode(&log->newest, bytes);
    st = file_write(prepared->file, 0, bytes, sizeof bytes, error);
    if (!st) st = file_sync(prepared->file, error);
    /* Only a file with a durable header ever gets a segment's name. */
    if (!st) st = env_rename(log->env, prepared->path, path, error);
    if (!st) st = env_sync_directory(log->env, log->directory, error);
    if (st) goto done;
    /* Opened again by its name, so that errors name it. */
    file_close(prepared->file);
    prepared->file = NULL;
    free(prepared->path);
    prepared->path = NULL;
    struct env_file *file = NULL;
    st = env_open(log->env, path, ENV_READ | ENV_WRITE, &file, error);
    if (st) goto done;
    st = log_file_create(file, path, &log->newest, &started, error);
    if (st) goto done;
    started->capacity = prepared->capacity;
    started->reusable = true;
    if (!segments_push(log, started)) {
        log_file_unref(started);
        st = error_no_memory(error, "log segment list");
        goto done;
    }
    log->active = started;
    atomic_fetch_add_explicit(&log->file_bytes, LOG_SEGMENT_HEADER_BYTES, memory_order_relaxed);
done:
    free(path);
    return st;
}
