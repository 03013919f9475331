/* Checkpoints: the shard's state as an object "checkpoints/<log id>/<LSN>", so that opening replays little and the log
 * can be trimmed. The two newest are kept; the log is trimmed behind what the second newest needs, so that one damaged
 * checkpoint costs time and nothing else, and behind what change feeds need. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/engine.h"

enum { CHECKPOINTS_KEPT = 2, CHECKPOINT_NAME_BYTES = 128 };

static void prefix_of(struct plinth *db, char prefix[CHECKPOINT_NAME_BYTES]) {
    int used = snprintf(prefix, CHECKPOINT_NAME_BYTES, "checkpoints/");
    for (int i = 0; i < LOG_ID_BYTES; i++)
        used += snprintf(prefix + used, (size_t)(CHECKPOINT_NAME_BYTES - used), "%02x", db->log->id[i]);
    snprintf(prefix + used, (size_t)(CHECKPOINT_NAME_BYTES - used), "/");
}

static void name_of(struct plinth *db, uint64_t lsn, char name[CHECKPOINT_NAME_BYTES]) {
    prefix_of(db, name);
    size_t used = strlen(name);
    snprintf(name + used, CHECKPOINT_NAME_BYTES - used, "%020" PRIu64, lsn);
}

struct checkpoint_list {
    size_t prefix_size;
    uint64_t *lsns;
    uint64_t count;
    bool out_of_memory;
};

static bool note_checkpoint(void *context, const char *name, uint64_t size) {
    (void)size;
    struct checkpoint_list *list = context;
    char *end;
    uint64_t lsn = strtoull(name + list->prefix_size, &end, 10);
    if (*end || end == name + list->prefix_size) return true; /* not a checkpoint's name */
    if (ARRAY_PUSH(list->lsns, list->count, lsn)) return true;
    list->out_of_memory = true;
    return false;
}

static int descending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

/* The LSNs of all checkpoints, newest first; freed by the caller. */
static enum plinth_status list_checkpoints(struct plinth *db, struct checkpoint_list *list,
                                           struct plinth_error *error) {
    char prefix[CHECKPOINT_NAME_BYTES];
    prefix_of(db, prefix);
    *list = (struct checkpoint_list){.prefix_size = strlen(prefix)};
    enum plinth_status st = store_list(db->store, prefix, note_checkpoint, list, error);
    if (!st && list->out_of_memory) st = error_no_memory(error, "list of checkpoints");
    if (!st && list->count) qsort(list->lsns, list->count, sizeof *list->lsns, descending);
    return st;
}

static enum plinth_status remove_old(struct plinth *db, struct plinth_error *error) {
    struct checkpoint_list list;
    enum plinth_status st = list_checkpoints(db, &list, error);
    for (uint64_t i = CHECKPOINTS_KEPT; !st && i < list.count; i++) {
        char name[CHECKPOINT_NAME_BYTES];
        name_of(db, list.lsns[i], name);
        st = store_remove(db->store, name, error);
        if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
    }
    free(list.lsns);
    return st;
}

static enum plinth_status write_checkpoint(struct plinth *db, struct plinth_error *error) {
    struct buffer bytes = BUFFER_INIT;
    pthread_mutex_lock(&db->sequence_mutex);
    bool encoded = shard_encode(&bytes, &db->shard);
    uint64_t lsn = db->shard.lsn, replay_lsn = shard_replay_lsn(&db->shard);
    pthread_mutex_unlock(&db->sequence_mutex);
    enum plinth_status st = encoded ? PLINTH_OK : error_no_memory(error, "checkpoint");
    uint64_t newest = atomic_load(&db->counters.checkpoint_lsn);
    bool known = db->checkpoint_newest && newest == lsn; /* nothing has happened since */
    /* A checkpoint ahead of the durable log would make a lost tail look like damage. */
    if (!st && !known && lsn) st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (!st && !known) {
        char name[CHECKPOINT_NAME_BYTES];
        name_of(db, lsn, name);
        st = store_put(db->store, name, buffer_slice(&bytes), error);
        if (!st) {
            db->checkpoint_second = db->checkpoint_newest;
            db->checkpoint_newest = replay_lsn;
            atomic_store(&db->counters.checkpoint_lsn, lsn);
            counter_add(&db->counters.checkpoints, 1);
            log_event(LOG_INFO, "checkpoint_written", "lsn=%" PRIu64 " replay_from=%" PRIu64 " bytes=%zu", lsn,
                      replay_lsn, bytes.size);
        }
    }
    buffer_deinit(&bytes);
    return st;
}

enum plinth_status engine_checkpoint(struct plinth *db, struct plinth_error *error) {
    pthread_mutex_lock(&db->checkpoint_mutex);
    enum plinth_status st = write_checkpoint(db, error);
    if (!st) st = remove_old(db, error);
    pthread_mutex_unlock(&db->checkpoint_mutex);
    return st;
}

enum plinth_status engine_trim_log(struct plinth *db, struct plinth_error *error) {
    pthread_mutex_lock(&db->checkpoint_mutex);
    uint64_t needed = db->checkpoint_second;
    pthread_mutex_unlock(&db->checkpoint_mutex);
    if (!needed) return PLINTH_OK;
    pthread_mutex_lock(&db->sequence_mutex);
    /* Under the lock: a feed that is not among them finds out that the verdicts are gone. */
    uint64_t feeds = engine_feeds_lsn(db), kept = history_log_lsn(&db->shard.history);
    if (feeds < needed) needed = feeds;
    if (kept < needed) needed = kept;
    shard_forget_voids(&db->shard, needed);
    pthread_mutex_unlock(&db->sequence_mutex);
    return log_trim(db->log, needed, error);
}

static enum plinth_status read_object(struct store *store, const char *name, struct buffer *bytes,
                                      struct plinth_error *error) {
    struct store_object *object;
    enum plinth_status st = store_open(store, name, &object, error);
    if (st) return st;
    buffer_clear(bytes);
    if (!buffer_reserve(bytes, object->size)) st = error_no_memory(error, name);
    if (!st) st = object_read_at(object, 0, bytes->data, object->size, error);
    if (!st) bytes->size = object->size;
    object_close(object);
    return st;
}

/* Reads one checkpoint into `shard`. */
static enum plinth_status load(struct plinth *db, uint64_t lsn, struct shard *shard, struct plinth_error *error) {
    char name[CHECKPOINT_NAME_BYTES];
    struct buffer bytes = BUFFER_INIT;
    name_of(db, lsn, name);
    enum plinth_status st = read_object(db->store, name, &bytes, error);
    if (!st) st = shard_decode(buffer_slice(&bytes), shard, error);
    if (!st && shard->lsn != lsn) {
        st = error_set(error, PLINTH_CORRUPT, "it is of position %" PRIu64, shard->lsn);
        shard_deinit(shard);
    }
    if (st) error_prefix(error, "checkpoint %s/store/%s", db->path, name);
    buffer_deinit(&bytes);
    return st;
}

/* A checkpoint is only written when the log is durable up to it; else records are gone, whatever epoch goes on now. */
static enum plinth_status check_log_reaches(struct plinth *db, uint64_t lsn, struct plinth_error *error) {
    uint64_t last = log_next_lsn(db->log) - 1;
    for (size_t i = 0; i + 1 < db->epoch_count; i++)
        if (db->epochs[i].base <= lsn && lsn < db->epochs[i + 1].base) last = db->epochs[i].last;
    if (lsn <= last) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT,
                     "%s: the log ends at position %" PRIu64 ", but a checkpoint is of position %" PRIu64
                     ": log files are missing or cut short",
                     db->path, last, lsn);
}

/* A damaged checkpoint goes once another one was read: it must not count as one of the two that are kept. */
static void remove_damaged(struct plinth *db, uint64_t lsn) {
    char name[CHECKPOINT_NAME_BYTES];
    struct plinth_error error = {0};
    name_of(db, lsn, name);
    if (store_remove(db->store, name, &error))
        log_event(LOG_WARN, "checkpoint_not_removed", "reason=\"%s\"", error.text);
}

/* Reads checkpoints, newest first, until two are found to be good: the first into db->shard. `damaged` gets the others.
 */
static enum plinth_status load_two(struct plinth *db, const struct checkpoint_list *list, uint64_t *damaged,
                                   uint64_t *damaged_count, bool *loaded, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < list->count && !db->checkpoint_second; i++) {
        struct shard shard;
        st = load(db, list->lsns[i], &shard, error);
        if (st == PLINTH_CORRUPT) {
            log_event(LOG_WARN, "checkpoint_damaged", "reason=\"%s\"", error ? error->text : "");
            damaged[(*damaged_count)++] = list->lsns[i];
            if (*loaded || i + 1 < list->count) st = PLINTH_OK;
        } else if (!st && !*loaded) {
            db->shard = shard;
            db->checkpoint_newest = shard_replay_lsn(&db->shard);
            atomic_store(&db->counters.checkpoint_lsn, db->shard.lsn);
            *loaded = true;
        } else if (!st) {
            db->checkpoint_second = shard_replay_lsn(&shard);
            shard_deinit(&shard);
        }
    }
    return st;
}

enum plinth_status engine_load_checkpoint(struct plinth *db, struct plinth_error *error) {
    struct checkpoint_list list;
    uint64_t *damaged = NULL, damaged_count = 0;
    bool loaded = false;
    enum plinth_status st = list_checkpoints(db, &list, error);
    if (!st && !(damaged = malloc((list.count + 1) * sizeof *damaged))) st = error_no_memory(error, "checkpoints");
    if (!st) st = load_two(db, &list, damaged, &damaged_count, &loaded, error);
    if (!st && loaded) st = check_log_reaches(db, db->shard.lsn, error);
    if (!st && !loaded) st = shard_init(&db->shard, error);
    if (!st) error_clear(error); /* of what a damaged one has left */
    for (uint64_t i = 0; !st && i < damaged_count; i++) remove_damaged(db, damaged[i]);
    free(damaged);
    free(list.lsns);
    return st;
}
