/* Snapshots that clients asked to keep (KeyValue.CreateSnapshot), each until its time is over or it is released.
 *
 * Found by position: two clients that took one at the same position share an entry, which lives until both have
 * released it or the later of their times is over. Readers pin an entry, so that its end never pulls the state away
 * from under them. */
#ifndef PLINTH_SERVICE_SNAPSHOT_TABLE_H
#define PLINTH_SERVICE_SNAPSHOT_TABLE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "plinth.h"

enum { SNAPSHOTS_MAX = 4096 };

struct pinned_snapshot;

struct snapshot_table {
    struct env *env;
    pthread_mutex_t mutex;
    struct pinned_snapshot **entries; /* guarded by mutex; no order */
    size_t count;
};

void snapshot_table_init(struct snapshot_table *table, struct env *env);
/* No reader may be left. */
void snapshot_table_deinit(struct snapshot_table *table);

/* Takes a snapshot of the present state for `ttl_ms`. PLINTH_RESOURCE_EXHAUSTED when there are SNAPSHOTS_MAX. */
PLINTH_MUST_CHECK enum plinth_status snapshot_table_add(struct snapshot_table *table, struct plinth *db,
                                                        uint32_t ttl_ms, struct plinth_position *position,
                                                        struct plinth_error *error);
/* Gives back one holder's claim on the snapshot; nothing happens when there is none. */
void snapshot_table_release(struct snapshot_table *table, struct plinth_position position);
/* Null when none is kept at that position. */
struct pinned_snapshot *snapshot_table_pin(struct snapshot_table *table, struct plinth_position position);
void snapshot_table_unpin(struct snapshot_table *table, struct pinned_snapshot *pinned);
const struct plinth_snapshot *pinned_snapshot_of(const struct pinned_snapshot *pinned);
/* Lets go of those whose time is over. Called every second or so. */
void snapshot_table_expire(struct snapshot_table *table);
size_t snapshot_table_count(struct snapshot_table *table);

#endif
