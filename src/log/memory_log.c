#include "log/memory_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/thread.h"

enum { FAULTS_MAX = 64 };

struct stored {
    uint64_t lsn;
    struct record_header header;
    size_t size;
    uint8_t payload[];
};

struct fault {
    uint64_t at; /* the append it meets, counted from the creation of the log */
    enum memory_log_fault kind;
};

struct memory_log {
    struct env *env;
    uint8_t id[LOG_ID_BYTES];
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    struct stored **records; /* ascending by LSN; those before `first` are trimmed and gone */
    size_t first, count, capacity;
    uint64_t next_lsn;
    uint64_t shown_lsn; /* the written and synced mark */
    uint64_t trimmed_lsn;
    bool held;
    uint64_t appends;
    struct fault faults[FAULTS_MAX];
    size_t fault_count;
    struct log_epoch epochs[LOG_EPOCHS_MAX];
    size_t epoch_count;
    uint64_t appended, appended_bytes;
};

/* One user's view; its thread tells its listener. */
struct memory_handle {
    struct log base;
    struct memory_log *shared;
    struct log_listener *listener; /* shared->mutex, as the next three */
    uint64_t told_lsn;
    bool tell;
    bool stopping;
    bool started;
    pthread_t thread;
};

struct memory_reader {
    struct log_reader base;
    struct memory_log *shared;
    uint64_t next_lsn; /* the least that is wanted */
    struct buffer payload;
};

static struct memory_log *shared_of(struct log *log) { return ((struct memory_handle *)log)->shared; }

/* ---- the shared log ---- */

enum plinth_status memory_log_create(struct env *env, uint64_t first_lsn, struct memory_log **created,
                                     struct plinth_error *error) {
    *created = NULL;
    struct memory_log *shared = calloc(1, sizeof *shared);
    if (!shared) return error_no_memory(error, "memory log");
    if (!first_lsn) first_lsn = 1;
    shared->env = env;
    env_random(env, shared->id, LOG_ID_BYTES);
    pthread_mutex_init(&shared->mutex, NULL);
    condition_init(&shared->changed);
    shared->next_lsn = first_lsn;
    shared->shown_lsn = first_lsn - 1;
    shared->trimmed_lsn = first_lsn - 1;
    shared->epochs[shared->epoch_count++] = (struct log_epoch){1, first_lsn, UINT64_MAX};
    *created = shared;
    return PLINTH_OK;
}

void memory_log_destroy(struct memory_log *shared) {
    if (!shared) return;
    for (size_t i = shared->first; i < shared->count; i++) free(shared->records[i]);
    free(shared->records);
    pthread_cond_destroy(&shared->changed);
    pthread_mutex_destroy(&shared->mutex);
    free(shared);
}

void memory_log_fault_at(struct memory_log *shared, uint64_t skip, enum memory_log_fault kind) {
    pthread_mutex_lock(&shared->mutex);
    if (shared->fault_count < FAULTS_MAX) {
        shared->faults[shared->fault_count++] = (struct fault){shared->appends + skip, kind};
    }
    pthread_mutex_unlock(&shared->mutex);
}

static void show(struct memory_log *shared) {
    if (shared->held) return;
    shared->shown_lsn = shared->next_lsn - 1;
    pthread_cond_broadcast(&shared->changed);
}

void memory_log_hold(struct memory_log *shared, bool held) {
    pthread_mutex_lock(&shared->mutex);
    shared->held = held;
    show(shared);
    pthread_mutex_unlock(&shared->mutex);
}

uint64_t memory_log_new_epoch(struct memory_log *shared) {
    pthread_mutex_lock(&shared->mutex);
    struct log_epoch *former = &shared->epochs[shared->epoch_count - 1];
    while (shared->count > shared->first && shared->records[shared->count - 1]->lsn > shared->shown_lsn) {
        free(shared->records[--shared->count]);
    }
    former->last = shared->shown_lsn >= former->base ? shared->shown_lsn : former->base - 1;
    uint64_t number = former->number + 1, base = shared->next_lsn + LOG_UNSYNCED_RECORDS_MAX;
    if (shared->epoch_count == LOG_EPOCHS_MAX) {
        memmove(shared->epochs, shared->epochs + 1, (LOG_EPOCHS_MAX - 1) * sizeof shared->epochs[0]);
        shared->epoch_count--;
    }
    shared->epochs[shared->epoch_count++] = (struct log_epoch){number, base, UINT64_MAX};
    shared->next_lsn = base;
    shared->shown_lsn = base - 1;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->mutex);
    return base;
}

/* Between epochs: handed out once, lost since. */
static bool is_lost(const struct memory_log *shared, uint64_t lsn) {
    for (size_t i = 0; i + 1 < shared->epoch_count; i++) {
        if (lsn > shared->epochs[i].last && lsn < shared->epochs[i + 1].base) return true;
    }
    return false;
}

/* ---- append ---- */

static bool fault_take(struct memory_log *shared, enum memory_log_fault *kind) {
    uint64_t at = shared->appends++;
    for (size_t i = 0; i < shared->fault_count; i++) {
        if (shared->faults[i].at != at) continue;
        *kind = shared->faults[i].kind;
        shared->faults[i] = shared->faults[--shared->fault_count];
        return true;
    }
    return false;
}

static enum plinth_status record_store(struct memory_log *shared, const struct record_header *header,
                                       const struct slice *parts, int part_count, struct plinth_error *error) {
    if (shared->count == shared->capacity) {
        size_t capacity = shared->capacity ? shared->capacity * 2 : 1024;
        struct stored **grown = realloc(shared->records, capacity * sizeof grown[0]);
        if (!grown) return error_no_memory(error, "memory log");
        shared->records = grown;
        shared->capacity = capacity;
    }
    size_t size = 0;
    for (int i = 0; i < part_count; i++) size += parts[i].size;
    struct stored *stored = malloc(sizeof *stored + size);
    if (!stored) return error_no_memory(error, "memory log");
    stored->lsn = shared->next_lsn++;
    stored->header = *header;
    if (!stored->header.time_us) stored->header.time_us = env_wall_time_us(shared->env);
    if (!stored->header.chunk_count) stored->header.chunk_count = 1;
    stored->size = size;
    size_t at = 0;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].size) memcpy(stored->payload + at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    shared->records[shared->count++] = stored;
    shared->appended++;
    shared->appended_bytes += size;
    return PLINTH_OK;
}

static enum plinth_status memory_append(struct log *log, const struct record_header *header, const struct slice *parts,
                                        int part_count, unsigned flags, uint64_t *lsn, struct plinth_error *error) {
    (void)flags; /* memory always has room, or none at all */
    struct memory_log *shared = shared_of(log);
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&shared->mutex);
    enum memory_log_fault kind = MEMORY_LOG_LOST;
    bool fault = fault_take(shared, &kind);
    uint64_t first_lsn = shared->next_lsn;
    if (fault && kind == MEMORY_LOG_REFUSED) {
        st = error_set(error, PLINTH_IO_ERROR, "memory log: append refused, as ordered");
    } else if (!(fault && kind == MEMORY_LOG_LOST)) {
        st = record_store(shared, header, parts, part_count, error);
        if (!st && fault && kind == MEMORY_LOG_DUPLICATE) st = record_store(shared, header, parts, part_count, error);
    }
    if (!st && fault && kind != MEMORY_LOG_DUPLICATE) {
        st = error_set(error, PLINTH_OUTCOME_UNKNOWN, "memory log: outcome unknown, as ordered");
    }
    if (!st) *lsn = first_lsn;
    show(shared);
    pthread_mutex_unlock(&shared->mutex);
    return st;
}

/* ---- waiting ---- */

static enum plinth_status memory_wait(struct log *log, uint64_t lsn, enum record_durability level, uint64_t timeout_us,
                                      struct plinth_error *error) {
    struct memory_log *shared = shared_of(log);
    uint64_t deadline_ns = thread_deadline_ns(timeout_us);
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&shared->mutex);
    if (lsn >= shared->next_lsn) {
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "wait for record %llu, which does not exist yet",
                       (unsigned long long)lsn);
    }
    while (!st && level > RECORD_BUFFERED && lsn > shared->shown_lsn) {
        uint64_t now_ns = thread_time_ns();
        if (now_ns >= deadline_ns) {
            st = error_set(error, PLINTH_DEADLINE_EXCEEDED, "record %llu is held back", (unsigned long long)lsn);
        } else {
            condition_wait_us(&shared->changed, &shared->mutex,
                              deadline_ns == UINT64_MAX ? 1000000 : (deadline_ns - now_ns) / 1000 + 1);
        }
    }
    if (!st && is_lost(shared, lsn)) {
        st = error_set(error, PLINTH_OUTCOME_UNKNOWN, "record %llu was lost with its epoch", (unsigned long long)lsn);
    }
    pthread_mutex_unlock(&shared->mutex);
    return st;
}

static enum plinth_status memory_wait_room(struct log *log, uint64_t timeout_us, struct plinth_error *error) {
    (void)log, (void)timeout_us, (void)error;
    return PLINTH_OK;
}

static void memory_request(struct log *log, uint64_t lsn, enum record_durability level) {
    struct memory_handle *handle = (struct memory_handle *)log;
    (void)lsn;
    if (level <= RECORD_BUFFERED) return;
    pthread_mutex_lock(&handle->shared->mutex);
    handle->tell = true;
    pthread_cond_broadcast(&handle->shared->changed);
    pthread_mutex_unlock(&handle->shared->mutex);
}

static void memory_listen(struct log *log, struct log_listener *listener) {
    struct memory_handle *handle = (struct memory_handle *)log;
    pthread_mutex_lock(&handle->shared->mutex);
    handle->listener = listener;
    pthread_mutex_unlock(&handle->shared->mutex);
}

static void *handle_run(void *argument) {
    struct memory_handle *handle = argument;
    struct memory_log *shared = handle->shared;
    pthread_mutex_lock(&shared->mutex);
    while (!handle->stopping) {
        if (!handle->tell && handle->told_lsn == shared->shown_lsn) {
            pthread_cond_wait(&shared->changed, &shared->mutex);
            continue;
        }
        handle->tell = false;
        uint64_t lsn = handle->told_lsn = shared->shown_lsn;
        struct log_listener *listener = handle->listener;
        pthread_mutex_unlock(&shared->mutex);
        if (listener) listener->advanced(listener, lsn, lsn);
        pthread_mutex_lock(&shared->mutex);
    }
    pthread_mutex_unlock(&shared->mutex);
    return NULL;
}

/* ---- reading ---- */

/* The first record at or above `lsn`; shared->count when there is none. */
static size_t record_find(const struct memory_log *shared, uint64_t lsn) {
    size_t low = shared->first, high = shared->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shared->records[middle]->lsn < lsn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum plinth_status trimmed_check(const struct memory_log *shared, uint64_t lsn, struct plinth_error *error) {
    if (lsn > shared->trimmed_lsn || shared->first == 0) return PLINTH_OK;
    return error_set(error, PLINTH_TOO_OLD, "memory log: record %llu was trimmed, up to %llu", (unsigned long long)lsn,
                     (unsigned long long)shared->trimmed_lsn);
}

static enum plinth_status memory_next(struct log_reader *base, struct record *record, bool *found,
                                      struct plinth_error *error) {
    struct memory_reader *reader = (struct memory_reader *)base;
    struct memory_log *shared = reader->shared;
    pthread_mutex_lock(&shared->mutex);
    enum plinth_status st = trimmed_check(shared, reader->next_lsn, error);
    size_t at = record_find(shared, reader->next_lsn);
    if (st || at == shared->count || shared->records[at]->lsn > shared->shown_lsn) goto done;
    const struct stored *stored = shared->records[at];
    buffer_clear(&reader->payload);
    if (!buffer_append(&reader->payload, stored->payload, stored->size)) {
        st = error_no_memory(error, "memory log reader");
        goto done;
    }
    *record = (struct record){stored->lsn, stored->header, buffer_slice(&reader->payload)};
    *found = true;
    reader->next_lsn = stored->lsn + 1;
done:
    pthread_mutex_unlock(&shared->mutex);
    return st;
}

static void memory_reader_close(struct log_reader *base) {
    struct memory_reader *reader = (struct memory_reader *)base;
    buffer_deinit(&reader->payload);
    free(reader);
}

static const struct log_reader_ops memory_reader_ops = {.next = memory_next, .close = memory_reader_close};

static enum plinth_status memory_read(struct log *log, uint64_t from_lsn, struct log_reader **opened,
                                      struct plinth_error *error) {
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    enum plinth_status st = trimmed_check(shared, from_lsn, error);
    pthread_mutex_unlock(&shared->mutex);
    if (st) return st;
    struct memory_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return error_no_memory(error, "memory log reader");
    reader->base.ops = &memory_reader_ops;
    reader->shared = shared;
    reader->next_lsn = from_lsn;
    *opened = &reader->base;
    return PLINTH_OK;
}

/* ---- the rest ---- */

static uint64_t memory_next_lsn(struct log *log) {
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    uint64_t lsn = shared->next_lsn;
    pthread_mutex_unlock(&shared->mutex);
    return lsn;
}

static uint64_t memory_shown_lsn(struct log *log) {
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    uint64_t lsn = shared->shown_lsn;
    pthread_mutex_unlock(&shared->mutex);
    return lsn;
}

static enum plinth_status memory_trim(struct log *log, uint64_t before_lsn, struct plinth_error *error) {
    (void)error;
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    while (shared->first < shared->count && shared->records[shared->first]->lsn < before_lsn &&
           shared->records[shared->first]->lsn <= shared->shown_lsn) {
        shared->trimmed_lsn = shared->records[shared->first]->lsn;
        free(shared->records[shared->first]);
        shared->records[shared->first++] = NULL;
    }
    pthread_mutex_unlock(&shared->mutex);
    return PLINTH_OK;
}

static size_t memory_epochs(struct log *log, struct log_epoch *into, size_t capacity) {
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    size_t count = shared->epoch_count;
    if (capacity) memcpy(into, shared->epochs, (count < capacity ? count : capacity) * sizeof into[0]);
    pthread_mutex_unlock(&shared->mutex);
    return count;
}

static enum plinth_status memory_space(struct log *log, struct plinth_error *error) {
    (void)log, (void)error;
    return PLINTH_OK;
}

static void memory_stats(struct log *log, struct log_stats *stats) {
    struct memory_log *shared = shared_of(log);
    pthread_mutex_lock(&shared->mutex);
    stats->segments = 1;
    stats->first_lsn = shared->first < shared->count ? shared->records[shared->first]->lsn : shared->next_lsn;
    stats->appended = shared->appended;
    stats->appended_bytes = shared->appended_bytes;
    stats->bytes = shared->appended_bytes;
    pthread_mutex_unlock(&shared->mutex);
}

static enum plinth_status memory_close(struct log *log, struct plinth_error *error) {
    (void)error;
    struct memory_handle *handle = (struct memory_handle *)log;
    pthread_mutex_lock(&handle->shared->mutex);
    handle->stopping = true;
    pthread_cond_broadcast(&handle->shared->changed);
    pthread_mutex_unlock(&handle->shared->mutex);
    if (handle->started) pthread_join(handle->thread, NULL);
    free(handle);
    return PLINTH_OK;
}

static const struct log_ops memory_log_ops = {
    .append = memory_append,
    .wait = memory_wait,
    .wait_room = memory_wait_room,
    .request = memory_request,
    .listen = memory_listen,
    .next_lsn = memory_next_lsn,
    .written_lsn = memory_shown_lsn,
    .synced_lsn = memory_shown_lsn,
    .read = memory_read,
    .trim = memory_trim,
    .epochs = memory_epochs,
    .space = memory_space,
    .stats = memory_stats,
    .close = memory_close,
};

enum plinth_status memory_log_open(struct memory_log *shared, struct log **opened, struct plinth_error *error) {
    *opened = NULL;
    struct memory_handle *handle = calloc(1, sizeof *handle);
    if (!handle) return error_no_memory(error, "memory log handle");
    handle->base.ops = &memory_log_ops;
    memcpy(handle->base.id, shared->id, LOG_ID_BYTES);
    handle->shared = shared;
    pthread_mutex_lock(&shared->mutex);
    handle->told_lsn = shared->shown_lsn;
    pthread_mutex_unlock(&shared->mutex);
    enum plinth_status st = thread_start(&handle->thread, "plinth-memlog", handle_run, handle, error);
    if (st) {
        free(handle);
        return st;
    }
    handle->started = true;
    *opened = &handle->base;
    return PLINTH_OK;
}
