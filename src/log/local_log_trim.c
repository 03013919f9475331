/* Trimming, and what becomes of the files.
 *
 * A trimmed file is not removed but renamed, to be written over as one of the next segments ("spare"): its space is
 * there, and it need not be filled with zeros. That is done only with a file that nobody reads any more, that this
 * life of the log has made, and while the disk has plenty of space; else it is removed. Nothing is written into a
 * renamed file before the directory is synced: a crash could bring its old name back.
 *
 * Spares keep the log's part of the disk at its highest, less what the bound cuts off. They are removed when the log is
 * closed; those of a crash go with the next open, as all temporary files do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/status.h"
#include "log/local_log_private.h"

enum { SPARE_FREE_FACTOR = 8 }; /* a spare is kept while the disk has this many times its size free */

/* ---- spares ---- */

bool spare_take(struct local_log *log, uint64_t capacity, struct prepared *taken) {
    *taken = (struct prepared){0};
    pthread_mutex_lock(&log->segments_mutex);
    for (size_t i = 0; i < log->spare_count && !taken->path; i++) {
        if (log->spares[i].capacity < capacity) continue;
        *taken = log->spares[i];
        log->spares[i] = log->spares[--log->spare_count];
    }
    pthread_mutex_unlock(&log->segments_mutex);
    return taken->path != NULL;
}

bool spares_drop(struct local_log *log) {
    struct prepared spare;
    bool any = false;
    while (spare_take(log, 0, &spare)) {
        prepared_drop(log, &spare);
        any = true;
    }
    return any;
}

/* Whether there is room for one more; takes `spare` over when there is. */
static bool spare_keep(struct local_log *log, const struct prepared *spare) {
    pthread_mutex_lock(&log->segments_mutex);
    bool room = log->spare_count < LOG_SPARES_MAX;
    if (room) log->spares[log->spare_count++] = *spare;
    pthread_mutex_unlock(&log->segments_mutex);
    return room;
}

static size_t spare_count(struct local_log *log) {
    pthread_mutex_lock(&log->segments_mutex);
    size_t count = log->spare_count;
    pthread_mutex_unlock(&log->segments_mutex);
    return count;
}

static bool disk_has_plenty(struct local_log *log, uint64_t spare_bytes) {
    uint64_t free_bytes = 0;
    if (env_free_bytes(log->env, log->directory, &free_bytes, NULL)) return false;
    return free_bytes / SPARE_FREE_FACTOR >= spare_bytes;
}

/* ---- trimming ---- */

/* The oldest segment if all its records are below `before_lsn` and it is not the last; else null. Not referenced:
 * only the trimmer removes from the list. */
static struct log_file *trimmable(struct local_log *log, uint64_t before_lsn) {
    struct log_file *oldest = NULL;
    pthread_mutex_lock(&log->segments_mutex);
    if (log->segment_count > 1 && log->segments[1]->previous_last_lsn < before_lsn) oldest = log->segments[0];
    pthread_mutex_unlock(&log->segments_mutex);
    return oldest;
}

/* Only the list refers to it. Once it is not in the list any more, that stays so. */
static bool is_unread(const struct log_file *file) {
    return atomic_load_explicit(&file->refs, memory_order_acquire) == 1;
}

static bool is_worth_keeping(struct local_log *log, const struct log_file *file) {
    return file->reusable && file->capacity >= log->options.segment_bytes && is_unread(file) &&
           spare_count(log) < LOG_SPARES_MAX && disk_has_plenty(log, file->capacity);
}

/* Makes the last removal durable; the next one must wait for that. Then what was renamed may be written over. */
static enum plinth_status removal_sync(struct local_log *log, struct plinth_error *error) {
    enum plinth_status st = env_sync_directory(log->env, log->directory, error);
    log->trim_unsynced = st != PLINTH_OK;
    if (st || !log->retired.path) return st;
    if (!log->retired.recycled || !spare_keep(log, &log->retired)) prepared_drop(log, &log->retired);
    log->retired = (struct prepared){0};
    return PLINTH_OK;
}

/* Takes the name away, with the file or to keep it. */
static enum plinth_status name_remove(struct local_log *log, const struct log_file *file, struct plinth_error *error) {
    char name[32];
    snprintf(name, sizeof name, "spare-%u.tmp", log->retired_number++);
    char *path = is_worth_keeping(log, file) ? path_join(log->directory, name) : NULL;
    if (path && !env_rename(log->env, file->path, path, NULL)) {
        log->retired = (struct prepared){.path = path, .capacity = file->capacity};
        return PLINTH_OK;
    }
    free(path);
    return env_remove(log->env, file->path, error);
}

/* The name goes first and durably: the list on disk must never have a hole. */
static enum plinth_status oldest_remove(struct local_log *log, struct log_file *oldest, struct plinth_error *error) {
    enum plinth_status st = name_remove(log, oldest, error);
    if (st) return st;
    pthread_mutex_lock(&log->segments_mutex);
    log->segment_count--;
    memmove(log->segments, log->segments + 1, log->segment_count * sizeof log->segments[0]);
    pthread_mutex_unlock(&log->segments_mutex);
    atomic_fetch_sub_explicit(&log->file_bytes, atomic_load_explicit(&oldest->end_offset, memory_order_relaxed),
                              memory_order_relaxed);
    if (log->retired.path) log->retired.recycled = is_unread(oldest); /* a reader may have come since */
    log_file_unref(oldest);
    return removal_sync(log, error);
}

enum plinth_status local_log_trim(struct log *base, uint64_t before_lsn, struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    if (log->options.read_only) {
        return error_set(error, PLINTH_READ_ONLY, "log %s is open for reading only", log->directory);
    }
    pthread_mutex_lock(&log->trim_mutex);
    enum plinth_status st = log->trim_unsynced ? removal_sync(log, error) : PLINTH_OK;
    for (struct log_file *oldest = trimmable(log, before_lsn); oldest && !st; oldest = trimmable(log, before_lsn)) {
        st = oldest_remove(log, oldest, error);
    }
    if (spare_count(log) && !disk_has_plenty(log, log->options.segment_bytes)) (void)spares_drop(log);
    pthread_mutex_unlock(&log->trim_mutex);
    return st;
}
