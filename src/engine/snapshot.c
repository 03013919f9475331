/* Snapshots: LSNs that somebody needs, and the horizon that follows from them and from the history window. A horizon
 * that has been given out is at or below every pin of its time, and later pins are at or above it; so a pinned state is
 * always there. A named snapshot is one that the log knows of, too: it is held again after a restart. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/engine.h"

struct plinth_snapshot {
    struct plinth *db;
    uint64_t lsn;
    uint64_t time_us; /* what has expired then is not there */
    char *name;       /* of a named one, which nobody destroys but plinth_snapshot_drop */
    struct plinth_snapshot *next;
};

/* The lowest pinned LSN, or `otherwise`. snapshot_mutex is held. */
static uint64_t lowest_pinned(struct plinth *db, uint64_t otherwise) {
    for (struct plinth_snapshot *snapshot = db->snapshots; snapshot; snapshot = snapshot->next)
        if (snapshot->lsn < otherwise) otherwise = snapshot->lsn;
    return otherwise;
}

/* The horizon as far as nobody pins it. */
static uint64_t unpinned_horizon(struct plinth *db) {
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t window = history_window_lsn(&db->shard.history, db->shard.time_us);
    pthread_mutex_unlock(&db->sequence_mutex);
    uint64_t visible = engine_visible_lsn(db);
    return window < visible ? window : visible;
}

uint64_t engine_take_horizon(struct plinth *db) {
    uint64_t unpinned = unpinned_horizon(db);
    pthread_mutex_lock(&db->snapshot_mutex);
    uint64_t horizon = lowest_pinned(db, unpinned);
    if (horizon > db->horizon_lsn) db->horizon_lsn = horizon;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return horizon;
}

uint64_t engine_peek_horizon(struct plinth *db) {
    uint64_t unpinned = unpinned_horizon(db);
    pthread_mutex_lock(&db->snapshot_mutex);
    uint64_t horizon = lowest_pinned(db, unpinned);
    pthread_mutex_unlock(&db->snapshot_mutex);
    return horizon;
}

uint64_t engine_retention_time_us(struct plinth *db, uint64_t now_us) {
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t window_us = db->shard.history.window_us;
    pthread_mutex_unlock(&db->sequence_mutex);
    return now_us > window_us ? now_us - window_us : 0;
}

/* ---- expiry ---- */

uint64_t engine_now_us(struct plinth *db) {
    enum { TICK_AFTER_US = 100 * 1000 };
    uint64_t time_us = atomic_load_explicit(&db->shard_time_us, memory_order_acquire), lsn = 0;
    if (!atomic_load_explicit(&db->may_expire, memory_order_relaxed)) return time_us;
    if (engine_time_us(db) <= time_us + TICK_AFTER_US) return time_us;
    const struct record_header header = {.kind = CHANGE_TICK, .durability = RECORD_BUFFERED};
    struct decision decision;
    pthread_mutex_lock(&db->sequence_mutex);
    bool late = engine_time_us(db) > db->shard.time_us + TICK_AFTER_US; /* else somebody was faster */
    /* When nothing can be written, time stands still. */
    bool ticked =
        late && !engine_append_locked(db, &header, slice_of(NULL, 0), NULL, LOG_NO_WAIT, &lsn, &decision, NULL);
    time_us = db->shard.time_us;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (ticked) engine_sequenced(db, lsn);
    return time_us;
}

uint64_t engine_peek_expiry_us(struct plinth *db) {
    uint64_t expired_us = engine_retention_time_us(db, atomic_load_explicit(&db->shard_time_us, memory_order_acquire));
    pthread_mutex_lock(&db->snapshot_mutex);
    for (const struct plinth_snapshot *snapshot = db->snapshots; snapshot; snapshot = snapshot->next)
        if (snapshot->time_us < expired_us) expired_us = snapshot->time_us;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return expired_us;
}

uint64_t engine_take_expiry_us(struct plinth *db) {
    uint64_t expired_us = engine_retention_time_us(db, engine_now_us(db));
    pthread_mutex_lock(&db->snapshot_mutex);
    for (const struct plinth_snapshot *snapshot = db->snapshots; snapshot; snapshot = snapshot->next)
        if (snapshot->time_us < expired_us) expired_us = snapshot->time_us;
    if (expired_us > db->expired_us) db->expired_us = expired_us;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return expired_us;
}

/* The shard time of a state of the past, as near as the history has it: of the last moment that it noted before. */
static uint64_t past_time_us(struct plinth *db, uint64_t lsn) {
    uint64_t now_us = engine_now_us(db);
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t noted_us = history_find_lsn(&db->shard.history, lsn);
    pthread_mutex_unlock(&db->sequence_mutex);
    return noted_us ? noted_us : now_us;
}

static struct plinth_snapshot *find_named(struct plinth *db, struct slice name);

uint64_t engine_read_time_us(struct plinth *db, const struct plinth_read_options *options, uint64_t lsn) {
    if (options && options->snapshot) return options->snapshot->time_us;
    if (!atomic_load_explicit(&db->may_expire, memory_order_relaxed)) return 0;
    uint64_t time_us = 0;
    if (!options || (!options->as_of.lsn && !options->snapshot_name && !options->as_of_time_us))
        return engine_now_us(db);
    if (!options->snapshot_name) time_us = past_time_us(db, lsn);
    pthread_mutex_lock(&db->snapshot_mutex);
    const struct plinth_snapshot *named =
        options->snapshot_name ? find_named(db, slice_of_string(options->snapshot_name)) : NULL;
    if (named) time_us = named->time_us;
    if (time_us < db->expired_us) time_us = db->expired_us;
    pthread_mutex_unlock(&db->snapshot_mutex);
    return time_us;
}

/* ---- pins ---- */

static void link_in(struct plinth *db, struct plinth_snapshot *snapshot) {
    snapshot->next = db->snapshots;
    db->snapshots = snapshot;
    db->snapshot_count++;
}

/* Pins the LSN (0: the newest visible one); PLINTH_TOO_OLD below a horizon that has been given out. */
static enum plinth_status pin(struct plinth *db, struct plinth_snapshot *snapshot, uint64_t at,
                              struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    snapshot->time_us = at && at < engine_visible_lsn(db) ? past_time_us(db, at) : engine_now_us(db);
    pthread_mutex_lock(&db->snapshot_mutex);
    if (snapshot->time_us < db->expired_us) snapshot->time_us = db->expired_us;
    if (at && at < db->horizon_lsn)
        st = error_set(error, PLINTH_TOO_OLD, "the state at position %llu is gone; the oldest readable one is %llu",
                       (unsigned long long)at, (unsigned long long)db->horizon_lsn);
    if (!st) {
        snapshot->lsn = at ? at : engine_visible_lsn(db);
        link_in(db, snapshot);
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

static void snapshot_free(struct plinth_snapshot *snapshot) {
    free(snapshot->name);
    free(snapshot);
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
    snapshot_free(snapshot);
}

void engine_advance_snapshot(struct plinth_snapshot *snapshot, uint64_t lsn) {
    pthread_mutex_lock(&snapshot->db->snapshot_mutex);
    if (lsn > snapshot->lsn) snapshot->lsn = lsn;
    pthread_mutex_unlock(&snapshot->db->snapshot_mutex);
}

void engine_free_snapshots(struct plinth *db) {
    while (db->snapshots) {
        struct plinth_snapshot *first = db->snapshots;
        db->snapshots = first->next;
        snapshot_free(first);
    }
}

/* ---- named ones ---- */

/* snapshot_mutex is held. */
static struct plinth_snapshot *find_named(struct plinth *db, struct slice name) {
    for (struct plinth_snapshot *snapshot = db->snapshots; snapshot; snapshot = snapshot->next)
        if (snapshot->name && slice_equal(slice_of_string(snapshot->name), name)) return snapshot;
    return NULL;
}

static enum plinth_status hold_named(struct plinth *db, const struct named_snapshot *named,
                                     struct plinth_error *error) {
    struct plinth_snapshot *made = calloc(1, sizeof *made);
    if (!made || !(made->name = strdup(named->name))) {
        free(made);
        return error_no_memory(error, "named snapshot");
    }
    made->db = db;
    made->lsn = named->lsn;
    made->time_us = named->time_us;
    link_in(db, made);
    return PLINTH_OK;
}

enum plinth_status engine_hold_history(struct plinth *db, uint64_t *horizon_lsn, struct plinth_error *error) {
    const struct history *history = &db->shard.history;
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < history->name_count; i++) st = hold_named(db, &history->names[i], error);
    uint64_t window = history_window_lsn(history, db->shard.time_us);
    *horizon_lsn = lowest_pinned(db, window < db->shard.lsn ? window : db->shard.lsn);
    return st;
}

/* Appends a KEEP or HISTORY record, and waits until it is durable. `log_lsn`: from where on the log has to be there, or
 * UINT64_MAX. What it has before voids_from may be trimmed, and is of no use without its verdicts. */
static enum plinth_status append_history(struct plinth *db, enum change_kind kind, struct slice payload,
                                         uint64_t log_lsn, struct decision *decision, struct plinth_error *error) {
    struct record_header header = {.kind = (uint8_t)kind, .durability = RECORD_SYNCED};
    uint64_t lsn = 0;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->sequence_mutex);
    if (log_lsn < db->shard.voids_from)
        st = error_set(error, PLINTH_TOO_OLD,
                       "the log does not reach back to position %llu any more: a change feed cannot begin there",
                       (unsigned long long)log_lsn - 1);
    if (!st) st = engine_raise_feature_level(db, FEATURE_LEVEL_HISTORY, error);
    if (!st) st = engine_append_locked(db, &header, payload, NULL, 0, &lsn, decision, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (st) return st;
    engine_sequenced(db, lsn);
    return log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
}

static enum plinth_status append_keep(struct plinth *db, const struct keep_change *change, struct decision *decision,
                                      struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    uint64_t log_lsn = change->operation == KEEP_WITH_LOG ? change->lsn + 1 : UINT64_MAX;
    enum plinth_status st = keep_change_encode(&payload, change)
                                ? append_history(db, CHANGE_KEEP, buffer_slice(&payload), log_lsn, decision, error)
                                : error_no_memory(error, "log record");
    buffer_deinit(&payload);
    return st;
}

static enum plinth_status refuse_name(struct plinth *db, struct slice name, struct plinth_error *error) {
    pthread_mutex_lock(&db->snapshot_mutex);
    bool there = find_named(db, name) != NULL;
    pthread_mutex_unlock(&db->snapshot_mutex);
    if (there)
        return error_set(error, PLINTH_ALREADY_EXISTS, "snapshot \"%.*s\" exists already", (int)name.size, name.data);
    return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "%d named snapshots are kept already; drop some",
                     HISTORY_NAMES_MAX);
}

/* A snapshot of what reads with `of` see. */
static enum plinth_status snapshot_of(struct plinth *db, const struct plinth_read_options *of,
                                      struct plinth_snapshot **snapshot, struct plinth_error *error) {
    struct view *view;
    uint64_t lsn;
    *snapshot = NULL;
    if (!of) return plinth_snapshot_create(db, (struct plinth_position){0, 0}, snapshot, error);
    enum plinth_status st = engine_begin_read(db, of, &view, &lsn, error);
    if (st) return st;
    st = plinth_snapshot_create(db, engine_position(db, lsn), snapshot, error);
    view_unref(view);
    return st;
}

/* What the state says of a named snapshot's time; 0 when it is not there. */
static uint64_t noted_time_us(struct plinth *db, struct slice name) {
    pthread_mutex_lock(&db->sequence_mutex);
    const struct named_snapshot *named = history_find_name(&db->shard.history, name);
    uint64_t time_us = named ? named->time_us : 0;
    pthread_mutex_unlock(&db->sequence_mutex);
    return time_us;
}

enum plinth_status plinth_snapshot_keep(struct plinth *db, const char *name, const struct plinth_read_options *of,
                                        bool with_log, struct plinth_position *position, struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    error_clear(error);
    struct slice named = slice_of_string(name);
    struct plinth_snapshot *made = NULL;
    struct decision decision = {VERDICT_APPLIED, 0};
    char *copy = NULL;
    enum plinth_status st = catalog_check_name("snapshot", named, error);
    if (!st) st = engine_check(db, error);
    if (!st && !(copy = strdup(name))) st = error_no_memory(error, "named snapshot");
    if (!st) st = snapshot_of(db, of, &made, error); /* pinned before the log says so, and until it does */
    if (!st) {
        struct keep_change change = {
            .operation = with_log ? KEEP_WITH_LOG : KEEP_STATE, .name = named, .lsn = made->lsn};
        if (position) *position = plinth_snapshot_position(made);
        pthread_mutex_lock(&db->names_mutex);
        st = append_keep(db, &change, &decision, error);
        if (!st && decision.verdict != VERDICT_APPLIED) st = refuse_name(db, named, error);
        uint64_t noted_us = st ? 0 : noted_time_us(db, named);
        if (!st) {
            pthread_mutex_lock(&db->snapshot_mutex);
            made->name = copy;
            if (noted_us > made->time_us) made->time_us = noted_us; /* as after a restart */
            pthread_mutex_unlock(&db->snapshot_mutex);
        }
        pthread_mutex_unlock(&db->names_mutex);
    }
    if (!st) return PLINTH_OK;
    if (position) *position = (struct plinth_position){0, 0};
    plinth_snapshot_destroy(made);
    free(copy);
    return st;
}

static enum plinth_status no_such_name(struct slice name, struct plinth_error *error) {
    return error_set(error, PLINTH_NOT_FOUND, "snapshot \"%.*s\" does not exist",
                     (int)(name.size < PLINTH_NAME_BYTES_MAX ? name.size : PLINTH_NAME_BYTES_MAX), name.data);
}

enum plinth_status plinth_snapshot_drop(struct plinth *db, const char *name, struct plinth_error *error) {
    error_clear(error);
    struct slice named = slice_of_string(name);
    struct decision decision = {VERDICT_APPLIED, 0};
    struct keep_change change = {.operation = KEEP_DROP, .name = named};
    enum plinth_status st = catalog_check_name("snapshot", named, error);
    if (!st) st = engine_check(db, error);
    if (st) return st;
    pthread_mutex_lock(&db->names_mutex);
    pthread_mutex_lock(&db->snapshot_mutex);
    struct plinth_snapshot *there = find_named(db, named);
    pthread_mutex_unlock(&db->snapshot_mutex);
    st = there ? append_keep(db, &change, &decision, error) : no_such_name(named, error);
    if (!st && decision.verdict != VERDICT_APPLIED) st = no_such_name(named, error);
    if (!st) plinth_snapshot_destroy(there);
    pthread_mutex_unlock(&db->names_mutex);
    return st;
}

enum plinth_status plinth_snapshot_move(struct plinth *db, const char *name, struct plinth_position to,
                                        struct plinth_error *error) {
    error_clear(error);
    struct slice named = slice_of_string(name);
    struct decision decision = {VERDICT_APPLIED, 0};
    struct keep_change change = {.operation = KEEP_MOVE, .name = named, .lsn = to.lsn};
    uint64_t from = 0;
    enum plinth_status st = catalog_check_name("snapshot", named, error);
    if (!st) st = engine_check(db, error);
    if (!st) st = engine_check_position(db, to, error);
    if (!st && to.lsn > engine_visible_lsn(db))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "position %llu is not visible yet", (unsigned long long)to.lsn);
    if (st) return st;
    pthread_mutex_lock(&db->names_mutex);
    pthread_mutex_lock(&db->snapshot_mutex);
    struct plinth_snapshot *there = find_named(db, named);
    if (there) from = there->lsn;
    pthread_mutex_unlock(&db->snapshot_mutex);
    st = there ? append_keep(db, &change, &decision, error) : no_such_name(named, error);
    if (!st && decision.verdict != VERDICT_APPLIED)
        st = error_set(error, PLINTH_INVALID_ARGUMENT,
                       "snapshot \"%.*s\" is of position %llu: it moves forwards only, not to %llu", (int)named.size,
                       named.data, (unsigned long long)from, (unsigned long long)to.lsn);
    uint64_t noted_us = st ? 0 : noted_time_us(db, named);
    if (!st) {
        pthread_mutex_lock(&db->snapshot_mutex);
        if (noted_us > there->time_us) there->time_us = noted_us;
        there->lsn = to.lsn;
        pthread_mutex_unlock(&db->snapshot_mutex);
    }
    pthread_mutex_unlock(&db->names_mutex);
    return st;
}

enum plinth_status plinth_snapshot_list(struct plinth *db, plinth_snapshot_visitor *visit, void *context,
                                        struct plinth_error *error) {
    error_clear(error);
    struct buffer bytes = BUFFER_INIT;
    pthread_mutex_lock(&db->sequence_mutex);
    const struct history *history = &db->shard.history;
    bool ok = history_encode(&bytes, history);
    pthread_mutex_unlock(&db->sequence_mutex);
    struct history copy = {0};
    struct reader from = reader_of(buffer_slice(&bytes));
    ok = ok && history_decode(&from, &copy);
    for (uint64_t i = 0; ok && i < copy.name_count; i++)
        visit(context, copy.names[i].name, engine_position(db, copy.names[i].lsn), copy.names[i].time_us,
              copy.names[i].log_lsn != 0);
    history_deinit(&copy);
    buffer_deinit(&bytes);
    return ok ? PLINTH_OK : error_no_memory(error, "list of snapshots");
}

/* ---- the window ---- */

enum plinth_status plinth_history_keep(struct plinth *db, uint64_t seconds, struct plinth_error *error) {
    error_clear(error);
    uint8_t payload[VARINT_BYTES_MAX];
    struct decision decision = {VERDICT_APPLIED, 0};
    enum plinth_status st = engine_check(db, error);
    if (st) return st;
    if (seconds > HISTORY_WINDOW_US_MAX / 1000000)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a history of %llu s; at most %llu are allowed",
                         (unsigned long long)seconds, (unsigned long long)(HISTORY_WINDOW_US_MAX / 1000000));
    return append_history(db, CHANGE_HISTORY, slice_of(payload, varint_encode(payload, seconds * 1000000)), UINT64_MAX,
                          &decision, error);
}

enum plinth_status engine_find_past(struct plinth *db, const struct plinth_read_options *options, uint64_t *lsn,
                                    struct plinth_error *error) {
    if (options->memory_only) return error_set(error, PLINTH_WOULD_BLOCK, "a state of the past is looked up");
    if (options->snapshot_name) {
        pthread_mutex_lock(&db->snapshot_mutex);
        const struct plinth_snapshot *found = find_named(db, slice_of_string(options->snapshot_name));
        if (found) *lsn = found->lsn;
        pthread_mutex_unlock(&db->snapshot_mutex);
        return found ? PLINTH_OK : no_such_name(slice_of_string(options->snapshot_name), error);
    }
    pthread_mutex_lock(&db->sequence_mutex);
    bool kept = db->shard.history.window_us != 0;
    bool found = history_find_time(&db->shard.history, options->as_of_time_us, lsn);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (found) return PLINTH_OK;
    if (!kept) return error_set(error, PLINTH_TOO_OLD, "no history is kept: only positions can be read as of");
    return error_set(error, PLINTH_TOO_OLD, "the state %.3f s ago is gone or was never kept",
                     ((double)engine_time_us(db) - (double)options->as_of_time_us) / 1e6);
}
