/* Snapshots: LSNs that somebody needs, and the horizon that follows from them. A horizon that has been given out is at
 * or below every pin of its time, and later pins are at or above it; so a pinned state is always there. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/engine.h"

struct plinth_snapshot {
    struct plinth *db;
    uint64_t lsn;
    struct plinth_snapshot *next;
};

/* The lowest pinned LSN, or `otherwise`. snapshot_mutex is held. */
static uint64_t lowest_pinned(struct plinth *db, uint64_t otherwise) {
    for (struct plinth_snapshot *snapshot = db->snapshots; snapshot; snapshot = snapshot->next)
        if (snapshot->lsn < otherwise) otherwise = snapshot->lsn;
    return otherwise;
}

uint64_t engine_take_horizon(struct plinth *db) {
    pthread_mutex_lock(&db->snapshot_mutex);
    uint64_t horizon = lowest_pinned(db, engine_visible_lsn(db));
    if (horizon > db->horizon_lsn) db->horizon_lsn = horizon;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return horizon;
}

/* Pins the LSN (0: the newest visible one); PLINTH_TOO_OLD below a horizon that has been given out. */
static enum plinth_status pin(struct plinth *db, struct plinth_snapshot *snapshot, uint64_t at,
                              struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->snapshot_mutex);
    if (at && at < db->horizon_lsn)
        st = error_set(error, PLINTH_TOO_OLD, "the state at position %llu is gone; the oldest readable one is %llu",
                       (unsigned long long)at, (unsigned long long)db->horizon_lsn);
    if (!st) {
        snapshot->lsn = at ? at : engine_visible_lsn(db);
        snapshot->next = db->snapshots;
        db->snapshots = snapshot;
        db->snapshot_count++;
    }
    pthread_mutex_unlock(&db->snapshot_mutex);
    return st;
}

enum plinth_status plinth_snapshot_create(struct plinth *db, struct plinth_position at,
                                          struct plinth_snapshot **snapshot, struct plinth_error *error) {
    *snapshot = NULL;
    error_clear(error);
    if (at.lsn) {
        enum plinth_status st = engine_check_position(db, at, error);
        if (st) return st;
        if (at.lsn > engine_visible_lsn(db))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "position %llu is not visible yet",
                             (unsigned long long)at.lsn);
    }
    struct plinth_snapshot *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "snapshot");
    made->db = db;
    enum plinth_status st = pin(db, made, at.lsn, error);
    if (st)
        free(made);
    else
        *snapshot = made;
    return st;
}

struct plinth_position plinth_snapshot_position(const struct plinth_snapshot *snapshot) {
    return engine_position(snapshot->db, snapshot->lsn);
}

void plinth_snapshot_destroy(struct plinth_snapshot *snapshot) {
    if (!snapshot) return;
    struct plinth *db = snapshot->db;
    pthread_mutex_lock(&db->snapshot_mutex);
    struct plinth_snapshot **link = &db->snapshots;
    while (*link != snapshot) link = &(*link)->next;
    *link = snapshot->next;
    db->snapshot_count--;
    pthread_mutex_unlock(&db->snapshot_mutex);
    free(snapshot);
}
