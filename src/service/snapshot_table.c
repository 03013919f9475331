#include "service/snapshot_table.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/status.h"

/* Guarded by the table's mutex. Freed when it is neither listed nor pinned. */
struct pinned_snapshot {
    struct plinth_snapshot *snapshot;
    struct plinth_position position;
    uint64_t expires_ns;
    unsigned holders; /* clients that took it and did not release it */
    unsigned pins;    /* readers now */
    bool listed;
};

void snapshot_table_init(struct snapshot_table *table, struct env *env) {
    *table = (struct snapshot_table){.env = env};
    pthread_mutex_init(&table->mutex, NULL);
}

static void entry_destroy(struct pinned_snapshot *entry) {
    plinth_snapshot_destroy(entry->snapshot);
    free(entry);
}

void snapshot_table_deinit(struct snapshot_table *table) {
    for (size_t i = 0; i < table->count; i++) entry_destroy(table->entries[i]);
    free(table->entries);
    pthread_mutex_destroy(&table->mutex);
    *table = (struct snapshot_table){0};
}

static bool find(const struct snapshot_table *table, struct plinth_position position, size_t *at) {
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i]->position.lsn != position.lsn || table->entries[i]->position.epoch != position.epoch)
            continue;
        *at = i;
        return true;
    }
    return false;
}

/* Takes entry `at` off the list; returns it when nobody reads it any more, for the caller to destroy. */
static struct pinned_snapshot *unlist(struct snapshot_table *table, size_t at) {
    struct pinned_snapshot *entry = table->entries[at];
    table->entries[at] = table->entries[--table->count];
    entry->listed = false;
    return entry->pins ? NULL : entry;
}

/* Puts `entry` on the list, or its claim onto the entry that is there for the same position. True when listed. */
static enum plinth_status list(struct snapshot_table *table, struct pinned_snapshot *entry, bool *listed,
                               struct plinth_error *error) {
    size_t at;
    *listed = false;
    if (find(table, entry->position, &at)) {
        struct pinned_snapshot *there = table->entries[at];
        there->holders++;
        if (there->expires_ns < entry->expires_ns) there->expires_ns = entry->expires_ns;
        return PLINTH_OK;
    }
    if (table->count >= SNAPSHOTS_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "%d snapshots are kept already; release some",
                         SNAPSHOTS_MAX);
    struct pinned_snapshot **grown = realloc(table->entries, (table->count + 1) * sizeof *grown);
    if (!grown) return error_no_memory(error, "table of snapshots");
    table->entries = grown;
    table->entries[table->count++] = entry;
    entry->listed = *listed = true;
    return PLINTH_OK;
}

enum plinth_status snapshot_table_add(struct snapshot_table *table, struct plinth *db, uint32_t ttl_ms,
                                      struct plinth_position *position, struct plinth_error *error) {
    *position = (struct plinth_position){0};
    struct pinned_snapshot *entry = calloc(1, sizeof *entry);
    if (!entry) return error_no_memory(error, "snapshot");
    enum plinth_status st = plinth_snapshot_create(db, *position, &entry->snapshot, error);
    if (st) {
        free(entry);
        return st;
    }
    *position = entry->position = plinth_snapshot_position(entry->snapshot);
    entry->holders = 1;
    entry->expires_ns = env_monotonic_ns(table->env) + (uint64_t)ttl_ms * 1000000;
    bool listed;
    pthread_mutex_lock(&table->mutex);
    st = list(table, entry, &listed, error);
    pthread_mutex_unlock(&table->mutex);
    if (!listed) entry_destroy(entry);
    return st;
}

void snapshot_table_release(struct snapshot_table *table, struct plinth_position position) {
    struct pinned_snapshot *gone = NULL;
    size_t at;
    pthread_mutex_lock(&table->mutex);
    if (find(table, position, &at) && --table->entries[at]->holders == 0) gone = unlist(table, at);
    pthread_mutex_unlock(&table->mutex);
    if (gone) entry_destroy(gone);
}

struct pinned_snapshot *snapshot_table_pin(struct snapshot_table *table, struct plinth_position position) {
    struct pinned_snapshot *entry = NULL;
    size_t at;
    pthread_mutex_lock(&table->mutex);
    if (find(table, position, &at) && table->entries[at]->expires_ns > env_monotonic_ns(table->env)) {
        entry = table->entries[at];
        entry->pins++;
    }
    pthread_mutex_unlock(&table->mutex);
    return entry;
}

void snapshot_table_unpin(struct snapshot_table *table, struct pinned_snapshot *pinned) {
    pthread_mutex_lock(&table->mutex);
    bool gone = --pinned->pins == 0 && !pinned->listed;
    pthread_mutex_unlock(&table->mutex);
    if (gone) entry_destroy(pinned);
}

const struct plinth_snapshot *pinned_snapshot_of(const struct pinned_snapshot *pinned) { return pinned->snapshot; }

void snapshot_table_expire(struct snapshot_table *table) {
    uint64_t now_ns = env_monotonic_ns(table->env);
    for (;;) {
        struct pinned_snapshot *gone = NULL;
        bool found = false;
        pthread_mutex_lock(&table->mutex);
        for (size_t i = 0; i < table->count && !found; i++) {
            if (table->entries[i]->expires_ns > now_ns) continue;
            found = true;
            gone = unlist(table, i);
        }
        pthread_mutex_unlock(&table->mutex);
        if (gone) entry_destroy(gone);
        if (!found) return;
    }
}

size_t snapshot_table_count(struct snapshot_table *table) {
    pthread_mutex_lock(&table->mutex);
    size_t count = table->count;
    pthread_mutex_unlock(&table->mutex);
    return count;
}
