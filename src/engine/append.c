/* Records into the log, one after the other: the sequencing lock is held from the LSN to the decision, so that records
 * are decided in LSN order. */
#include "base/log_event.h"
#include "base/status.h"
#include "engine/engine.h"

uint64_t engine_time_us(struct plinth *db) {
    return db->time_base_us + (env_monotonic_ns(db->env) - db->time_base_ns) / 1000;
}

void engine_fail(struct plinth *db, const struct plinth_error *why) {
    pthread_mutex_lock(&db->failure_mutex);
    bool first = !atomic_load(&db->failed);
    if (first) {
        if (why)
            db->failure = *why;
        else
            error_set(&db->failure, PLINTH_INTERNAL, "a record could not be applied");
        atomic_store(&db->failed, true);
    }
    pthread_mutex_unlock(&db->failure_mutex);
    if (!first) return;
    log_event(LOG_ERROR, "writes_stopped", "reason=\"%s\"", db->failure.text);
    engine_tell(db); /* whoever waits for a write learns that it will not come */
}

enum plinth_status engine_check(struct plinth *db, struct plinth_error *error) {
    if (!atomic_load_explicit(&db->failed, memory_order_acquire)) return PLINTH_OK;
    pthread_mutex_lock(&db->failure_mutex);
    struct plinth_error failure = db->failure;
    pthread_mutex_unlock(&db->failure_mutex);
    return error_set(error, PLINTH_UNAVAILABLE, "no writes are accepted since: %s", failure.text);
}

/* Shard time takes a far jump from a TICK only, so after an idle gap one goes ahead of the next record. The gap is the
 * monotonic clock's, and so a checked one. */
static enum plinth_status tick_after_gap(struct plinth *db, enum change_kind next, unsigned log_flags,
                                         struct plinth_error *error) {
    if (next == CHANGE_HOST || next == CHANGE_TICK) return PLINTH_OK;
    if (engine_time_us(db) <= db->shard.time_us + TIME_JUMP_US_MAX / 2) return PLINTH_OK;
    struct record_header header = {.kind = CHANGE_TICK, .durability = RECORD_BUFFERED};
    struct decision decision;
    uint64_t lsn;
    enum plinth_status st =
        engine_append_locked(db, &header, slice_of(NULL, 0), NULL, log_flags, &lsn, &decision, error);
    if (!st) engine_sequenced(db, lsn);
    return st;
}

enum plinth_status engine_append_locked(struct plinth *db, const struct record_header *header, struct slice payload,
                                        const struct write_keys *written, unsigned log_flags, uint64_t *lsn,
                                        struct decision *decision, struct plinth_error *error) {
    enum plinth_status st = engine_check(db, error);
    if (!st) st = tick_after_gap(db, (enum change_kind)header->kind, log_flags, error);
    if (st) return st;
    struct record_header stamped = *header;
    stamped.time_us = engine_time_us(db);
    stamped.schema_version = (uint32_t)db->shard.catalog.version;
    st = log_append(db->log, &stamped, &payload, 1, log_flags, lsn, error);
    if (st) return st;
    bool changes_catalog = header->kind == CHANGE_CATALOG;
    if (changes_catalog) pthread_rwlock_wrlock(&db->catalog_lock);
    st = shard_decide(&db->shard, *lsn, &stamped, payload, written, decision, error);
    if (changes_catalog) pthread_rwlock_unlock(&db->catalog_lock);
    if (header->kind == CHANGE_FEATURE_LEVEL && db->shard.feature_level >= FEATURE_LEVEL_TRANSACTIONS)
        atomic_store_explicit(&db->remembers_rows, true, memory_order_relaxed);
    atomic_store_explicit(&db->shard_time_us, db->shard.time_us, memory_order_release);
    if (st) {
        /* The log has the record and this process cannot follow it: only a restart brings the two together. */
        error_prefix(error, "applying record %llu", (unsigned long long)*lsn);
        engine_fail(db, error);
    }
    return st;
}

enum plinth_status engine_raise_feature_level(struct plinth *db, uint32_t level, struct plinth_error *error) {
    if (db->shard.feature_level >= level) return PLINTH_OK;
    uint8_t payload[VARINT_BYTES_MAX];
    struct record_header header = {.kind = CHANGE_FEATURE_LEVEL, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    uint64_t lsn;
    size_t size = varint_encode(payload, level);
    enum plinth_status st = engine_append_locked(db, &header, slice_of(payload, size), NULL, 0, &lsn, &decision, error);
    if (!st) engine_sequenced(db, lsn);
    return st;
}

void engine_sequenced(struct plinth *db, uint64_t lsn) {
    if (sequencer_reserve(&db->sequencer, lsn)) sequencer_done(&db->sequencer, lsn);
}

enum plinth_status engine_append(struct plinth *db, enum change_kind kind, struct slice payload, uint64_t *lsn,
                                 struct decision *decision, struct plinth_error *error) {
    struct record_header header = {.kind = (uint8_t)kind, .durability = RECORD_SYNCED};
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = engine_append_locked(db, &header, payload, NULL, 0, lsn, decision, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (st) return st;
    engine_sequenced(db, *lsn);
    return PLINTH_OK;
}

enum plinth_status engine_cut_locked(struct plinth *db, uint64_t *cut, struct plinth_error *error) {
    *cut = db->shard.last_cut;
    if (db->last_data_lsn <= *cut) return PLINTH_OK;
    struct memtable *fresh = NULL;
    struct view *view = NULL;
    enum plinth_status st = memtable_create(&fresh, error);
    if (st) return st;
    uint8_t payload[VARINT_BYTES_MAX];
    struct record_header header = {.kind = CHANGE_CUT, .durability = RECORD_WRITTEN};
    struct decision decision;
    uint64_t lsn = 0;
    view = view_edit(&db->views);
    if (!view || !view_push_memtable(view, memtable_ref(fresh), 0)) {
        st = error_no_memory(error, "memtable");
        if (view) memtable_unref(fresh); /* the reference that the view did not take */
        goto done;
    }
    st = engine_append_locked(db, &header, slice_of(payload, varint_encode(payload, db->shard.last_cut)), NULL, 0, &lsn,
                              &decision, error);
    if (st) goto done;
    view->memtables[1].cut_lsn = lsn;
    view_publish(&db->views, view);
    view = NULL;
    db->bytes_cut += memtable_bytes(db->active);
    memtable_charge(db->active, &db->memory.cut_bytes);
    memtable_unref(db->active);
    db->active = fresh;
    fresh = NULL;
    db->memtables_cut++;
    *cut = lsn;
    engine_sequenced(db, lsn);
done:
    view_discard(view);
    if (fresh) memtable_unref(fresh);
    return st;
}

bool engine_stored_key(struct buffer *into, struct table_id table, struct slice key) {
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, table);
    return buffer_append(into, prefix, prefix_size) && buffer_append(into, key.data, key.size);
}

enum plinth_status engine_insert(struct memtable *memtable, const struct operation *operation, struct slice stored,
                                 uint64_t lsn, struct plinth_error *error) {
    if (operation->kind == OPERATION_DELETE_RANGE) {
        const struct deleted_range range = {operation->key, operation->upper, lsn};
        return memtable_delete_range(memtable, operation->table, &range, error);
    }
    struct row row = {.key = stored,
                      .lsn = lsn,
                      .operation = operation->kind == OPERATION_DELETE ? ROW_DELETE : ROW_SET,
                      .value = operation->kind == OPERATION_SET ? operation->value : slice_of(NULL, 0),
                      .indexes = operation->indexes};
    enum plinth_status st = memtable_insert(memtable, &row, error);
    if (st || operation->indexes.size == 0) return st;
    struct buffer key = BUFFER_INIT;
    struct reader list = reader_of(operation->indexes);
    uint32_t index_table;
    struct slice value;
    while (!st && row_indexes_next(&list, &index_table, &value)) {
        struct table_id index = {operation->table.tenant, operation->table.database, index_table};
        buffer_clear(&key);
        if (!engine_stored_key(&key, index, slice_of(NULL, 0)) || !escaped_append(&key, value) ||
            !buffer_append(&key, operation->key.data, operation->key.size)) {
            st = error_no_memory(error, "memtable");
        } else {
            struct row entry = {.key = buffer_slice(&key), .lsn = lsn, .operation = ROW_SET};
            st = memtable_insert(memtable, &entry, error);
        }
    }
    buffer_deinit(&key);
    return st;
}
