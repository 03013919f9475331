/* Positions and marks: which LSNs are visible, durable, and of which log epoch. */
#include "base/status.h"
#include "engine/engine.h"

uint64_t engine_acknowledged(struct plinth *db, enum plinth_durability durability) {
    uint64_t applied = sequencer_applied(&db->sequencer), logged = applied;
    if (durability == PLINTH_DURABILITY_SYNCED) logged = log_synced_lsn(db->log);
    if (durability == PLINTH_DURABILITY_WRITTEN) logged = log_written_lsn(db->log);
    return logged < applied ? logged : applied;
}

uint64_t engine_visible_lsn(struct plinth *db) { return engine_acknowledged(db, db->options.read_durability); }

uint64_t plinth_acknowledged(struct plinth *db, enum plinth_durability durability) {
    return engine_acknowledged(db, durability ? durability : db->options.durability);
}

struct plinth_position engine_position(struct plinth *db, uint64_t lsn) {
    size_t at = db->epoch_count - 1;
    while (at > 0 && lsn < db->epochs[at].base) {
        /* Before its first record is visible an epoch's state is that of the end of the one before it: the LSNs between
         * them were never a record's. */
        at--;
        if (lsn > db->epochs[at].last) lsn = db->epochs[at].last;
    }
    return (struct plinth_position){db->epochs[at].number, lsn};
}

enum plinth_status engine_check_position(struct plinth *db, struct plinth_position position,
                                         struct plinth_error *error) {
    for (size_t i = 0; i < db->epoch_count; i++) {
        const struct log_epoch *epoch = &db->epochs[i];
        if (epoch->number != position.epoch) continue;
        uint64_t last = i + 1 < db->epoch_count ? epoch->last : log_next_lsn(db->log) - 1;
        if (position.lsn <= last) return PLINTH_OK;
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "position %llu of log epoch %llu was never durable: that epoch ends at %llu",
                         (unsigned long long)position.lsn, (unsigned long long)position.epoch,
                         (unsigned long long)last);
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "position of log epoch %llu, which this log does not know",
                     (unsigned long long)position.epoch);
}

enum plinth_status plinth_log_status(struct plinth *db, struct plinth_error *error) {
    error_clear(error);
    return engine_check(db, error);
}

/* Why memtables cannot be flushed at present. */
static enum plinth_status flush_status(struct plinth *db, struct plinth_error *error) {
    pthread_mutex_lock(&db->job_mutex);
    struct plinth_error why = db->flush_error;
    bool failing = db->flush_failing;
    pthread_mutex_unlock(&db->job_mutex);
    return failing ? error_set(error, why.status, "%s", why.text) : PLINTH_OK;
}

enum plinth_status plinth_health(struct plinth *db, struct plinth_error *error) {
    error_clear(error);
    struct plinth_error why = {0};
    enum plinth_status st = engine_check(db, error);
    if (st) return st;
    st = flush_status(db, &why);
    const char *what = "memory cannot be flushed";
    if (!st) {
        st = log_space(db->log, &why);
        what = "the log cannot grow";
    }
    if (!st) return PLINTH_OK;
    uint64_t free_bytes;
    if (st != PLINTH_NO_SPACE || env_free_bytes(db->env, db->path, &free_bytes, NULL))
        return error_set(error, st, "%s: %s", what, why.text);
    return error_set(error, st, "the disk of %s is full, %llu bytes are free: %s: %s", db->path,
                     (unsigned long long)free_bytes, what, why.text);
}

void plinth_listen(struct plinth *db, plinth_commit_listener *listener, void *context) {
    pthread_mutex_lock(&db->listener_mutex);
    db->listener = listener;
    db->listener_context = context;
    pthread_mutex_unlock(&db->listener_mutex);
}
