/* The local log: opening, closing and appending. See local_log_private.h for how the parts work together. */
#include "log/local_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/status.h"
#include "base/thread.h"
#include "log/local_log_private.h"
#include "log/log_recover.h"

enum {
    SEGMENT_BYTES_MIN = 16 * 1024,
    SEGMENT_BYTES_DEFAULT = 64 << 20,
    SEGMENT_BYTES_MAX = 1 << 30,
    FIRST_SEGMENT_BYTES_MAX = 4 << 20, /* of the one that open makes and fills with zeros itself */
    UNSYNCED_BYTES_DEFAULT = 64 << 20,
    SYNC_INTERVAL_MS_DEFAULT = 10,
};

static uint64_t mark_load(atomic_uint_fast64_t *mark) { return atomic_load_explicit(mark, memory_order_acquire); }

/* ---- groups ---- */

void group_begin(struct group *group) {
    group->size = LOG_BLOCK_HEADER_BYTES;
    group->record_count = 0;
    group->first_lsn = 0;
}

static struct group *group_create(void) {
    struct group *group = calloc(1, sizeof *group);
    if (!group) return NULL;
    group->bytes = malloc(LOG_BLOCK_HEADER_BYTES + GROUP_BYTES_MAX + 8); /* 8: the padding of log_block_finish */
    if (!group->bytes) {
        free(group);
        return NULL;
    }
    group_begin(group);
    return group;
}

static void group_destroy(struct group *group) {
    if (!group) return;
    free(group->bytes);
    free(group);
}

/* ---- append ---- */

enum room { ROOM_ENOUGH, ROOM_AFTER_SYNC, ROOM_AFTER_WRITE, ROOM_AFTER_PREPARE };

/* With append_mutex: may a record of at most `bytes` go into the fill group? */
static enum room room_check(struct local_log *log, uint64_t bytes) {
    uint64_t next = atomic_load_explicit(&log->next_lsn, memory_order_relaxed);
    uint64_t unsynced_bytes = log->appended_bytes - mark_load(&log->synced_bytes);
    if (next - mark_load(&log->synced_lsn) > LOG_UNSYNCED_RECORDS_MAX) return ROOM_AFTER_SYNC;
    if (unsynced_bytes && unsynced_bytes + bytes > log->options.unsynced_bytes_max) return ROOM_AFTER_SYNC;
    if (log->fill->size + bytes > LOG_BLOCK_HEADER_BYTES + GROUP_BYTES_MAX) return ROOM_AFTER_WRITE;
    /* Every admitted record has its space on the disk: in the file the group will go to, or in the prepared one. */
    uint64_t block = (log->fill->size + bytes + 7) & ~UINT64_C(7);
    if (log->planned_end + block + MARKER_ROOM_BYTES <= log->planned_capacity) return ROOM_ENOUGH;
    if (log->prepared.file && LOG_SEGMENT_HEADER_BYTES + block + MARKER_ROOM_BYTES <= log->prepared.capacity) {
        return ROOM_ENOUGH;
    }
    return log->fill->record_count ? ROOM_AFTER_WRITE : ROOM_AFTER_PREPARE;
}

static enum plinth_status room_make(struct local_log *log, enum room room, uint64_t bytes, uint64_t timeout_us,
                                    struct plinth_error *error) {
    uint64_t appended = mark_load(&log->next_lsn) - 1;
    switch (room) {
    case ROOM_AFTER_SYNC: return local_log_wait(&log->base, appended, RECORD_SYNCED, timeout_us, error);
    case ROOM_AFTER_WRITE: return write_until(log, appended, error);
    case ROOM_AFTER_PREPARE: return prepare_file(log, bytes, false, error);
    case ROOM_ENOUGH: break;
    }
    return PLINTH_OK;
}

/* Locks append_mutex for a record of at most `bytes`; it is held only when the result is PLINTH_OK. */
static enum plinth_status append_lock(struct local_log *log, uint64_t bytes, unsigned flags, uint64_t timeout_us,
                                      struct plinth_error *error) {
    for (;;) {
        if (atomic_load_explicit(&log->poisoned, memory_order_acquire)) return poison_cause(log, error);
        pthread_mutex_lock(&log->append_mutex);
        enum room room = room_check(log, bytes);
        if (room == ROOM_ENOUGH) return PLINTH_OK;
        log->full_waits++;
        pthread_mutex_unlock(&log->append_mutex);
        if (flags & LOG_NO_WAIT) {
            return error_set(error, PLINTH_WOULD_BLOCK, "log %s: no room for a record now", log->directory);
        }
        enum plinth_status st = room_make(log, room, bytes, timeout_us, error);
        /* Others' records are lost; this one was never taken. */
        if (st == PLINTH_OUTCOME_UNKNOWN) return poison_cause(log, error);
        if (st) return st;
    }
}

static uint64_t payload_bytes(const struct slice *parts, int part_count) {
    uint64_t bytes = 0;
    for (int i = 0; i < part_count; i++) bytes += parts[i].size;
    return bytes;
}

static enum plinth_status read_only_error(struct local_log *log, struct plinth_error *error) {
    return error_set(error, PLINTH_READ_ONLY, "log %s is open for reading only", log->directory);
}

static enum plinth_status local_log_append(struct log *base, const struct record_header *header,
                                           const struct slice *parts, int part_count, unsigned flags, uint64_t *lsn,
                                           struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    if (log->options.read_only) return read_only_error(log, error);
    struct record_header filled = *header;
    if (!filled.time_us) filled.time_us = env_wall_time_us(log->env);
    uint64_t bytes = RECORD_HEADER_BYTES_MAX + payload_bytes(parts, part_count);
    enum plinth_status st = append_lock(log, bytes, flags, LOG_WAIT_FOREVER, error);
    if (st) return st;
    struct group *group = log->fill;
    uint64_t next = atomic_load_explicit(&log->next_lsn, memory_order_relaxed);
    if (!group->record_count) {
        group->first_lsn = next;
        group->time_us = filled.time_us;
        group->context = (struct record_context){.time_us = filled.time_us};
    }
    size_t before = group->size;
    group->size += record_encode(&group->context, &filled, parts, part_count, group->bytes + before);
    group->record_count++;
    log->appended_bytes += group->size - before;
    log->appended_records++;
    atomic_store(&log->next_lsn, next + 1);
    bool large = before < GROUP_WRITE_BYTES && group->size >= GROUP_WRITE_BYTES;
    pthread_mutex_unlock(&log->append_mutex);
    unsigned sleeps = atomic_load(&log->thread_sleeps);
    if (sleeps == THREAD_IDLE || (sleeps == THREAD_NAPS && large)) log_thread_wake(log);
    *lsn = next;
    return PLINTH_OK;
}

static enum plinth_status local_log_wait_room(struct log *base, uint64_t timeout_us, struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    if (log->options.read_only) return read_only_error(log, error);
    enum plinth_status st = append_lock(log, RECORD_HEADER_BYTES_MAX + RECORD_PAYLOAD_BYTES_MAX, 0, timeout_us, error);
    if (!st) pthread_mutex_unlock(&log->append_mutex);
    return st;
}

/* ---- small ones ---- */

static void local_log_listen(struct log *base, struct log_listener *listener) {
    atomic_store(&local_log_of(base)->listener, listener);
}

static uint64_t local_log_next_lsn(struct log *base) { return mark_load(&local_log_of(base)->next_lsn); }
static uint64_t local_log_written_lsn(struct log *base) { return mark_load(&local_log_of(base)->written_lsn); }
static uint64_t local_log_synced_lsn(struct log *base) { return mark_load(&local_log_of(base)->synced_lsn); }

static size_t local_log_epochs(struct log *base, struct log_epoch *into, size_t capacity) {
    const struct log_segment_header *newest = &local_log_of(base)->newest;
    size_t count = newest->epoch_count < capacity ? newest->epoch_count : capacity;
    if (count) memcpy(into, newest->epochs, count * sizeof into[0]);
    return newest->epoch_count;
}

static void local_log_stats(struct log *base, struct log_stats *stats) {
    struct local_log *log = local_log_of(base);
    pthread_mutex_lock(&log->append_mutex);
    stats->appended = log->appended_records;
    stats->appended_bytes = log->appended_bytes;
    stats->full_waits = log->full_waits;
    pthread_mutex_unlock(&log->append_mutex);
    pthread_mutex_lock(&log->segments_mutex);
    stats->segments = log->segment_count;
    stats->first_lsn = log->segments[0]->first_lsn;
    stats->spare_bytes = 0;
    for (size_t i = 0; i < log->spare_count; i++) stats->spare_bytes += log->spares[i].capacity;
    pthread_mutex_unlock(&log->segments_mutex);
    stats->bytes = mark_load(&log->file_bytes);
    stats->groups = mark_load(&log->groups);
    stats->syncs = mark_load(&log->syncs);
}

/* ---- close ---- */

static void threads_stop(struct local_log *log) {
    if (log->threads_started) {
        atomic_store(&log->stopping, true);
        log_thread_wake(log);
        pthread_join(log->thread, NULL);
        log->threads_started = false;
    }
    if (log->preparer_started) {
        pthread_mutex_lock(&log->prepare_mutex);
        log->preparing_stops = true;
        pthread_cond_broadcast(&log->prepare_wanted);
        pthread_mutex_unlock(&log->prepare_mutex);
        pthread_join(log->preparer, NULL);
        log->preparer_started = false;
    }
}

static void local_log_destroy(struct local_log *log) {
    threads_stop(log);
    prepared_drop(log, &log->prepared);
    prepared_drop(log, &log->rolling);
    prepared_drop(log, &log->retired);
    (void)spares_drop(log);
    for (size_t i = 0; i < log->segment_count; i++) log_file_unref(log->segments[i]);
    free(log->segments);
    group_destroy(log->fill);
    group_destroy(log->spare);
    pthread_mutex_destroy(&log->append_mutex);
    pthread_mutex_destroy(&log->write_mutex);
    pthread_mutex_destroy(&log->sync_mutex);
    pthread_mutex_destroy(&log->prepare_mutex);
    pthread_mutex_destroy(&log->segments_mutex);
    pthread_mutex_destroy(&log->trim_mutex);
    pthread_cond_destroy(&log->prepare_wanted);
    free(log->directory);
    free(log);
}

/* A block without records, durable at once. */
static enum plinth_status marker_sync(struct local_log *log, uint32_t flags, struct plinth_error *error) {
    pthread_mutex_lock(&log->write_mutex);
    enum plinth_status st = marker_write(log, flags, error);
    pthread_mutex_unlock(&log->write_mutex);
    return st ? st : file_sync(log->active->file, error);
}

static enum plinth_status local_log_close(struct log *base, struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    enum plinth_status st = PLINTH_OK;
    threads_stop(log);
    if (!log->options.read_only) {
        st = local_log_wait(base, mark_load(&log->next_lsn) - 1, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
        if (atomic_load(&log->poisoned)) {
            st = poison_cause(log, error);
        } else {
            st = marker_sync(log, LOG_BLOCK_CLEAN_END, error);
        }
    }
    local_log_destroy(log);
    return st;
}

static const struct log_ops local_log_ops = {
    .append = local_log_append,
    .wait = local_log_wait,
    .wait_room = local_log_wait_room,
    .request = local_log_request,
    .listen = local_log_listen,
    .next_lsn = local_log_next_lsn,
    .written_lsn = local_log_written_lsn,
    .synced_lsn = local_log_synced_lsn,
    .read = local_log_read,
    .trim = local_log_trim,
    .epochs = local_log_epochs,
    .space = local_log_space,
    .stats = local_log_stats,
    .close = local_log_close,
};

/* ---- open ---- */

static enum plinth_status options_fill(struct local_log_options *options, struct plinth_error *error) {
    if (!options->segment_bytes) options->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (!options->unsynced_bytes_max) options->unsynced_bytes_max = UNSYNCED_BYTES_DEFAULT;
    if (!options->sync_interval_ms) options->sync_interval_ms = SYNC_INTERVAL_MS_DEFAULT;
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes > SEGMENT_BYTES_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "log segments of %" PRIu64 " bytes; %d to %d are possible",
                         options->segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    }
    return PLINTH_OK;
}

static enum plinth_status local_log_create(struct env *env, const char *directory,
                                           const struct local_log_options *options, struct local_log **created,
                                           struct plinth_error *error) {
    *created = NULL;
    struct local_log *log = aligned_alloc(CACHE_LINE, sizeof *log);
    if (!log) return error_no_memory(error, "log");
    memset(log, 0, sizeof *log);
    log->base.ops = &local_log_ops;
    log->env = env;
    if (options) log->options = *options;
    pthread_mutexattr_t adaptive; /* held for some hundred nanoseconds: spinning beats sleeping */
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&log->append_mutex, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_mutex_init(&log->write_mutex, NULL);
    pthread_mutex_init(&log->sync_mutex, NULL);
    pthread_mutex_init(&log->prepare_mutex, NULL);
    pthread_mutex_init(&log->segments_mutex, NULL);
    pthread_mutex_init(&log->trim_mutex, NULL);
    condition_init(&log->prepare_wanted);
    log->directory = strdup(directory);
    log->fill = group_create();
    log->spare = group_create();
    enum plinth_status st = options_fill(&log->options, error);
    if (!st && (!log->directory || !log->fill || !log->spare)) st = error_no_memory(error, "log");
    if (st) {
        local_log_destroy(log);
        return st;
    }
    *created = log;
    return PLINTH_OK;
}

static enum plinth_status directory_make(struct env *env, const char *directory, struct plinth_error *error) {
    char *parent = path_parent(directory);
    if (!parent) return error_no_memory(error, "log directory");
    enum plinth_status st = env_make_directory(env, directory, error);
    if (!st) st = env_sync_directory(env, parent, error);
    free(parent);
    return st;
}

/* Takes the recovered files over. */
static enum plinth_status segments_adopt(struct local_log *log, struct log_recovery *recovery,
                                         struct plinth_error *error) {
    for (size_t i = 0; i < recovery->file_count; i++) {
        if (!segments_push(log, recovery->files[i])) return error_no_memory(error, "log segment list");
        log->active = recovery->files[i];
        recovery->files[i] = NULL;
    }
    log->newest = recovery->newest;
    log->last_record_lsn = recovery->end.last_lsn;
    atomic_store(&log->file_bytes, recovery->bytes);
    return PLINTH_OK;
}

static void marks_set(struct local_log *log, uint64_t next_lsn) {
    atomic_store(&log->next_lsn, next_lsn);
    atomic_store(&log->written_lsn, next_lsn - 1);
    atomic_store(&log->synced_lsn, next_lsn - 1);
    atomic_store(&log->notified_synced, next_lsn - 1);
    log->cycle_lsn = next_lsn - 1;
}

static void plan_active(struct local_log *log) {
    log->planned_end = mark_load(&log->active->end_offset);
    log->planned_capacity = log->active->capacity;
}

/* Makes the file that begins at `first_lsn`. Filling it with zeros here is worth it for a small one only. */
static enum plinth_status segment_first(struct local_log *log, uint64_t first_lsn, struct plinth_error *error) {
    uint64_t segment_bytes = log->options.segment_bytes;
    if (segment_bytes > FIRST_SEGMENT_BYTES_MAX) log->options.segment_bytes = FIRST_SEGMENT_BYTES_MAX;
    enum plinth_status st = prepare_file(log, 0, !log->options.no_preparation, error);
    log->options.segment_bytes = segment_bytes;
    if (st) return st;
    struct prepared taken = log->prepared;
    log->prepared = (struct prepared){0};
    marks_set(log, first_lsn);
    st = segment_start(log, &taken, first_lsn, error);
    if (st) {
        prepared_drop(log, &taken);
        return st;
    }
    plan_active(log);
    return PLINTH_OK;
}

static void epoch_add(struct log_segment_header *header, uint64_t base) {
    uint64_t number = 1;
    if (header->epoch_count) number = log_segment_epoch(header)->number + 1;
    if (header->epoch_count == LOG_EPOCHS_MAX) {
        memmove(header->epochs, header->epochs + 1, (LOG_EPOCHS_MAX - 1) * sizeof header->epochs[0]);
        header->epoch_count--;
    }
    header->epochs[header->epoch_count++] = (struct log_epoch){number, base, UINT64_MAX};
}

static enum plinth_status lsns_used_up(struct local_log *log, struct plinth_error *error) {
    return error_set(error, PLINTH_UNSUPPORTED, "log %s: LSNs are used up", log->directory);
}

/* After a stop that was not a clean one. The former last file goes when it holds no record: each such start would
 * leave one behind. */
static enum plinth_status epoch_start(struct local_log *log, uint64_t base, struct plinth_error *error) {
    if (!base) return lsns_used_up(log, error);
    struct log_epoch *former = &log->newest.epochs[log->newest.epoch_count - 1];
    former->last = log->last_record_lsn >= former->base ? log->last_record_lsn : former->base - 1;
    bool empty = log->last_record_lsn == log->active->previous_last_lsn;
    epoch_add(&log->newest, base);
    enum plinth_status st = segment_first(log, base, error);
    if (st || !empty) return st;
    size_t at = log->segment_count - 2;
    struct log_file *gone = log->segments[at];
    st = env_remove(log->env, gone->path, error);
    if (!st) st = env_sync_directory(log->env, log->directory, error);
    if (st) return st;
    log->segments[at] = log->active;
    log->segment_count--;
    atomic_fetch_sub(&log->file_bytes, mark_load(&gone->end_offset));
    log_file_unref(gone);
    return PLINTH_OK;
}

/* The log was closed in order: goes on in its last file, or in a new one when that is full. */
static enum plinth_status epoch_continue(struct local_log *log, const struct log_recovery *recovery,
                                         struct plinth_error *error) {
    uint64_t next_lsn = recovery->end.next_lsn;
    uint64_t end_offset = mark_load(&log->active->end_offset);
    if (next_lsn > UINT64_MAX / 2) return lsns_used_up(log, error);
    marks_set(log, next_lsn);
    if (end_offset + 2 * LOG_BLOCK_HEADER_BYTES <= log->active->capacity) {
        /* From here on LSNs may be handed out that never reach the disk, so the clean end is one no more. */
        enum plinth_status st = marker_sync(log, LOG_BLOCK_OPENED, error);
        plan_active(log);
        return st;
    }
    if (log->active->first_lsn != next_lsn) return segment_first(log, next_lsn, error);
    return epoch_start(log, log_recovery_next_base(recovery), error); /* full of markers, no name left for another */
}

static enum plinth_status log_begin(struct local_log *log, struct plinth_error *error) {
    env_random(log->env, log->newest.id, LOG_ID_BYTES);
    memcpy(log->base.id, log->newest.id, LOG_ID_BYTES);
    log->seed = log_block_seed(log->base.id);
    epoch_add(&log->newest, 1);
    return segment_first(log, 1, error);
}

static enum plinth_status log_resume(struct local_log *log, struct log_recovery *recovery, struct plinth_error *error) {
    memcpy(log->base.id, recovery->newest.id, LOG_ID_BYTES);
    log->seed = log_block_seed(log->base.id);
    enum plinth_status st = segments_adopt(log, recovery, error);
    if (st) return st;
    if (log->options.read_only) {
        /* Whoever writes it may still be at the end; what a later block, or file, tells of is durable. */
        uint64_t synced = recovery->end.synced_lsn, former = recovery->newest.previous_last_lsn;
        marks_set(log, recovery->end.next_lsn);
        if (!recovery->end.clean) atomic_store(&log->synced_lsn, synced > former ? synced : former);
        return PLINTH_OK;
    }
    if (recovery->end.clean) return epoch_continue(log, recovery, error);
    return epoch_start(log, log_recovery_next_base(recovery), error);
}

static enum plinth_status threads_begin(struct local_log *log, struct plinth_error *error) {
    enum plinth_status st = thread_start(&log->thread, "plinth-log", log_thread_run, log, error);
    if (st) return st;
    log->threads_started = true;
    if (log->options.no_preparation) return PLINTH_OK;
    st = thread_start(&log->preparer, "plinth-log-prep", preparer_run, log, error);
    log->preparer_started = !st;
    return st;
}

enum plinth_status local_log_open(struct env *env, const char *directory, const struct local_log_options *options,
                                  struct log **opened, struct plinth_error *error) {
    *opened = NULL;
    struct local_log *log = NULL;
    struct log_recovery recovery = {0};
    enum plinth_status st = local_log_create(env, directory, options, &log, error);
    if (st) return st;
    if (!log->options.read_only && !log->options.must_exist) st = directory_make(env, directory, error);
    if (!st) st = log_recovery_scan(env, directory, &recovery, error);
    if (log->options.must_exist && (st == PLINTH_NOT_FOUND || (!st && !recovery.file_count)))
        st = error_set(error, PLINTH_CORRUPT, "%s: the log's files are missing", directory);
    if (!st && !log->options.read_only) st = log_recovery_repair(env, directory, &recovery, error);
    if (st) goto done;
    if (recovery.file_count) {
        st = log_resume(log, &recovery, error);
    } else if (log->options.read_only) {
        st = error_set(error, PLINTH_NOT_FOUND, "%s: holds no log", directory);
    } else {
        st = log_begin(log, error);
    }
    if (!st && !log->options.read_only) st = threads_begin(log, error);
done:
    log_recovery_deinit(&recovery);
    if (st) {
        local_log_destroy(log);
        log = NULL;
    }
    *opened = log ? &log->base : NULL;
    return st;
}
