#include "engine/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/directory.h"
#include "log/local_log.h"
#include "store/local_store.h"

enum { ATTEMPTS = 5, PREFIX_BYTES = 64, NAME_BYTES = 96 };

void inventory_deinit(struct inventory *inventory) {
    shard_deinit(&inventory->shard);
    for (uint64_t i = 0; i < inventory->in_use_count; i++) free(inventory->in_use[i]);
    free(inventory->in_use);
    free(inventory->path);
    *inventory = (struct inventory){0};
}

/* ---- of an open engine ---- */

static bool copy_in_use(struct plinth *db, struct inventory *inventory) {
    uint64_t oldest_view = view_list_oldest(&db->views);
    bool ok = true;
    pthread_mutex_lock(&db->garbage_mutex);
    for (uint64_t i = 0; ok && i < db->garbage_count; i++) {
        if (db->garbage[i].view_sequence <= oldest_view) continue;
        char *copy = strdup(db->garbage[i].name);
        ok = copy && ARRAY_PUSH(inventory->in_use, inventory->in_use_count, copy);
        if (!ok) free(copy);
    }
    pthread_mutex_unlock(&db->garbage_mutex);
    return ok;
}

enum plinth_status inventory_of_engine(struct plinth *db, struct inventory *inventory, struct plinth_error *error) {
    struct buffer bytes = BUFFER_INIT;
    *inventory = (struct inventory){.env = db->env, .is_open = true, .feeds_lsn = engine_feeds_lsn(db)};
    inventory->path = strdup(db->path);
    memcpy(inventory->log_id, db->log->id, LOG_ID_BYTES);
    pthread_mutex_lock(&db->checkpoint_mutex);
    inventory->replay_newest = db->checkpoint_newest;
    inventory->replay_second = db->checkpoint_second;
    pthread_mutex_unlock(&db->checkpoint_mutex);
    pthread_mutex_lock(&db->sequence_mutex);
    bool ok = shard_encode(&bytes, &db->shard);
    pthread_mutex_unlock(&db->sequence_mutex);
    ok = ok && inventory->path && copy_in_use(db, inventory);
    enum plinth_status st =
        ok ? shard_decode(buffer_slice(&bytes), &inventory->shard, error) : error_no_memory(error, "inventory");
    buffer_deinit(&bytes);
    if (st) inventory_deinit(inventory);
    return st;
}

/* ---- of a directory ---- */

struct checkpoints {
    size_t prefix_size;
    uint64_t *lsns;
    uint64_t count;
    bool out_of_memory;
};

static bool note_checkpoint(void *context, const char *name, uint64_t size) {
    struct checkpoints *list = context;
    char *end;
    (void)size;
    uint64_t lsn = strtoull(name + list->prefix_size, &end, 10);
    if (*end || end == name + list->prefix_size) return true;
    list->out_of_memory = !ARRAY_PUSH(list->lsns, list->count, lsn);
    return !list->out_of_memory;
}

static int descending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

static enum plinth_status load_checkpoint(struct store *store, const char *name, struct shard *shard,
                                          struct plinth_error *error) {
    struct store_object *object;
    struct buffer bytes = BUFFER_INIT;
    enum plinth_status st = store_open(store, name, &object, error);
    if (st) return st;
    if (!buffer_reserve(&bytes, object->size + 1)) st = error_no_memory(error, name);
    if (!st) st = object_read_at(object, 0, bytes.data, object->size, error);
    bytes.size = st ? 0 : object->size;
    if (!st) st = shard_decode(buffer_slice(&bytes), shard, error);
    if (st) error_prefix(error, "%s", name);
    object_close(object);
    buffer_deinit(&bytes);
    return st;
}

/* The two newest that are good: the first becomes the inventory's state. */
static enum plinth_status load_two(struct inventory *inventory, struct store *store, struct plinth_error *error) {
    char prefix[PREFIX_BYTES], name[NAME_BYTES];
    int used = snprintf(prefix, sizeof prefix, "checkpoints/");
    for (int i = 0; i < LOG_ID_BYTES; i++)
        used += snprintf(prefix + used, sizeof prefix - (size_t)used, "%02x", inventory->log_id[i]);
    snprintf(prefix + used, sizeof prefix - (size_t)used, "/");
    struct checkpoints list = {.prefix_size = strlen(prefix)};
    struct plinth_error damage = {0};
    enum plinth_status st = store_list(store, prefix, note_checkpoint, &list, error);
    if (!st && list.out_of_memory) st = error_no_memory(error, "list of checkpoints");
    if (!st && list.count) qsort(list.lsns, list.count, sizeof *list.lsns, descending);
    for (uint64_t i = 0; !st && i < list.count && !inventory->replay_second; i++) {
        struct shard shard;
        snprintf(name, sizeof name, "%s%020" PRIu64, prefix, list.lsns[i]);
        st = load_checkpoint(store, name, &shard, &damage);
        if (st == PLINTH_CORRUPT || st == PLINTH_NOT_FOUND) {
            st = PLINTH_OK; /* the next one does */
            continue;
        }
        if (st && error) *error = damage;
        if (st) break;
        if (inventory->replay_newest) {
            inventory->replay_second = shard_replay_lsn(&shard);
            shard_deinit(&shard);
        } else {
            inventory->shard = shard;
            inventory->replay_newest = shard_replay_lsn(&shard);
        }
    }
    free(list.lsns);
    if (!st && !inventory->replay_newest)
        st = error_set(error, PLINTH_CORRUPT, "no good checkpoint%s%s", *damage.text ? ": " : "", damage.text);
    return st;
}

/* What the log says behind the checkpoint. */
static enum plinth_status follow_log(struct inventory *inventory, struct log *log, struct plinth_error *error) {
    struct log_reader *reader;
    uint64_t durable = log_synced_lsn(log);
    enum plinth_status st = log_read(log, inventory->shard.lsn + 1, &reader, error);
    if (st) return st;
    for (bool found = true; !st && found;) {
        struct record record;
        struct decision decision;
        st = log_next(reader, &record, &found, error);
        if (st || !found || record.lsn > durable) break;
        st = shard_decide(&inventory->shard, record.lsn, &record.header, record.payload, NULL, &decision, error);
    }
    log_reader_close(reader);
    return st;
}

static enum plinth_status read_once(struct inventory *inventory, const char *log_path, const char *store_path,
                                    struct log **log, struct plinth_error *error) {
    const struct local_log_options log_options = {.must_exist = true, .read_only = true};
    const struct local_store_options store_options = {.read_only = true};
    struct store *store = NULL;
    enum plinth_status st = local_log_open(inventory->env, log_path, &log_options, log, error);
    if (!st) st = local_store_open(inventory->env, store_path, &store_options, &store, error);
    if (!st) memcpy(inventory->log_id, (*log)->id, LOG_ID_BYTES);
    if (!st) st = load_two(inventory, store, error);
    if (!st) st = follow_log(inventory, *log, error);
    store_close(store);
    if (st && *log) (void)!log_close(*log, NULL);
    if (st) *log = NULL;
    return st;
}

enum plinth_status inventory_read(struct env *env, const char *path, struct inventory *inventory, struct log **log,
                                  struct plinth_error *error) {
    struct log *opened = NULL;
    if (log) *log = NULL;
    char *format = directory_join(path, "FORMAT"), *log_path = directory_join(path, "log"),
         *store_path = directory_join(path, "store");
    *inventory = (struct inventory){0};
    struct env_file_info info;
    enum plinth_status st = format && log_path && store_path ? PLINTH_OK : error_no_memory(error, path);
    if (!st && env_describe(env, format, &info, error)) /* the error says why, too */
        st = error_set(error, PLINTH_NOT_FOUND, "%s is not a Plinth directory: it has no FORMAT file", path);
    for (int attempt = 0; !st && attempt < ATTEMPTS; attempt++) {
        *inventory = (struct inventory){.env = env, .path = strdup(path), .feeds_lsn = UINT64_MAX};
        st =
            inventory->path ? read_once(inventory, log_path, store_path, &opened, error) : error_no_memory(error, path);
        if (!st) break;
        inventory_deinit(inventory);
        bool moved = st == PLINTH_NOT_FOUND || st == PLINTH_TOO_OLD || st == PLINTH_CORRUPT;
        if (moved && attempt + 1 < ATTEMPTS) st = PLINTH_OK; /* a server may have trimmed while this was reading */
    }
    if (!st) error_clear(error);
    if (!st && log)
        *log = opened;
    else if (!st)
        (void)!log_close(opened, NULL);
    free(format);
    free(log_path);
    free(store_path);
    return st;
}
