/* Point reads: choose an LSN, take a view, look through memtables and runs. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/value_store.h"

enum { POSITION_WAIT_MS_DEFAULT = 10000 };

/* Waits until `lsn` is visible. */
static enum plinth_status wait_visible(struct plinth *db, uint64_t lsn, const struct plinth_read_options *options,
                                       struct plinth_error *error) {
    if (engine_visible_lsn(db) >= lsn) return PLINTH_OK;
    if (options->memory_only) return error_set(error, PLINTH_WOULD_BLOCK, "position is not visible yet");
    uint64_t wait_ms = options->wait_ms_max ? options->wait_ms_max : POSITION_WAIT_MS_DEFAULT;
    uint64_t deadline = env_monotonic_ns(db->env) + wait_ms * 1000000;
    log_request(db->log, lsn, (enum record_durability)db->options.read_durability);
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->advance_mutex);
    while (!st && engine_visible_lsn(db) < lsn) {
        uint64_t now = env_monotonic_ns(db->env);
        st = engine_check(db, error);
        if (!st && now >= deadline)
            st = error_set(error, PLINTH_DEADLINE_EXCEEDED, "position %llu was not visible after %llu ms",
                           (unsigned long long)lsn, (unsigned long long)wait_ms);
        /* The mark may move between the check and the wait without a signal being due: wake up often enough. */
        if (!st) condition_wait_us(&db->advanced, &db->advance_mutex, 2000);
    }
    pthread_mutex_unlock(&db->advance_mutex);
    return st;
}

static enum plinth_status wait_for_position_min(struct plinth *db, const struct plinth_read_options *options,
                                                struct plinth_error *error) {
    if (!options->position_min.lsn) return PLINTH_OK;
    enum plinth_status st = engine_check_position(db, options->position_min, error);
    if (!st) st = wait_visible(db, options->position_min.lsn, options, error);
    if (st) error_prefix(error, "minimum position");
    return st;
}

/* The state at `past`, if it is there still. */
static enum plinth_status begin_read_of(struct plinth *db, uint64_t past, const struct plinth_read_options *options,
                                        struct view **view, uint64_t *lsn, struct plinth_error *error) {
    enum plinth_status st = wait_visible(db, past, options, error);
    if (st) {
        error_prefix(error, "snapshot position");
        return st;
    }
    *lsn = past;
    *view = view_current(&db->views);
    if (past >= (*view)->horizon_lsn) return PLINTH_OK;
    st = error_set(error, PLINTH_TOO_OLD, "the state at position %llu is gone; the oldest readable one is %llu",
                   (unsigned long long)past, (unsigned long long)(*view)->horizon_lsn);
    view_unref(*view);
    *view = NULL;
    return st;
}

enum plinth_status engine_begin_read(struct plinth *db, const struct plinth_read_options *options, struct view **view,
                                     uint64_t *lsn, struct plinth_error *error) {
    static const struct plinth_read_options defaults = {0};
    if (!options) options = &defaults;
    *view = NULL;
    enum plinth_status st = wait_for_position_min(db, options, error);
    if (st) return st;
    if (options->snapshot) {
        *lsn = plinth_snapshot_position(options->snapshot).lsn;
        *view = view_current(&db->views);
        return PLINTH_OK;
    }
    if (options->as_of.lsn) {
        st = engine_check_position(db, options->as_of, error);
        if (!st) return begin_read_of(db, options->as_of.lsn, options, view, lsn, error);
        error_prefix(error, "snapshot position");
        return st;
    }
    if (options->snapshot_name || options->as_of_time_us) {
        uint64_t past;
        st = engine_find_past(db, options, &past, error);
        return st ? st : begin_read_of(db, past, options, view, lsn, error);
    }
    /* The LSN first: every row up to it is in a memtable of the view taken afterwards, or in its segments. A merge
     * published in between may have purged what that LSN sees; then take a newer one. */
    for (;;) {
        *lsn = engine_visible_lsn(db);
        *view = view_current(&db->views);
        if (*lsn >= (*view)->horizon_lsn) return PLINTH_OK;
        view_unref(*view);
    }
}

/* The newest version among the blocks of a memtable; `hit` has no columns, and the caller's key. */
static bool get_in_blocks(struct memtable *memtable, struct table_id table, struct slice key, uint64_t lsn,
                          struct segment_hit *hit) {
    struct memtable_blocks blocks;
    memtable_blocks(memtable, table, &blocks);
    if (!blocks.count) {
        memtable_blocks_release(&blocks);
        return false;
    }
    uint32_t row;
    size_t found = memtable_blocks_find(&blocks, key, hash_stable(key.data, key.size), lsn, &row);
    if (found != SIZE_MAX)
        hit->row = (struct row){.key = key,
                                .lsn = row_block_lsn(blocks.blocks[found], row),
                                .operation = row_block_operation(blocks.blocks[found], row)};
    memtable_blocks_release(&blocks);
    return found != SIZE_MAX;
}

/* What a range delete hides is not there; what has expired is a delete. */
static enum plinth_status judge_hit(struct segment_hit *hit, uint64_t covered_lsn, uint64_t time_us) {
    if (hit->row.lsn < covered_lsn) {
        segment_hit_release(hit);
        return PLINTH_NOT_FOUND;
    }
    if (row_is_expired(hit->row.indexes, time_us)) hit->row.operation = ROW_DELETE;
    return PLINTH_OK;
}

bool view_may_expire(const struct view *view, struct table_id table, uint64_t time_us) {
    for (size_t i = 0; i < view->memtable_count; i++)
        if (memtable_may_expire(view->memtables[i].memtable)) return true;
    const struct view_table *found = view_find_table(view, table);
    for (size_t r = 0; found && r < found->run_count; r++)
        if (run_may_expire(found->runs[r].run, time_us)) return true;
    return false;
}

enum plinth_status view_get(struct view *view, struct table_id table, struct slice stored, size_t prefix_size,
                            uint64_t lsn, uint64_t time_us, unsigned flags, struct segment_hit *hit,
                            struct plinth_error *error) {
    *hit = (struct segment_hit){0};
    struct slice key = slice_of(stored.data + prefix_size, stored.size - prefix_size);
    uint64_t covered_lsn = view_covered_lsn(view, table, key, lsn); /* older versions are hidden */
    for (size_t i = 0; i < view->memtable_count; i++) {
        struct memtable *memtable = view->memtables[i].memtable;
        if (get_in_blocks(memtable, table, key, lsn, hit) || memtable_get(memtable, stored, lsn, &hit->row))
            return judge_hit(hit, covered_lsn, time_us);
    }
    const struct view_table *runs = view_find_table(view, table);
    if (!runs || runs->run_count == 0) return PLINTH_NOT_FOUND;
    uint64_t hash = hash_stable(key.data, key.size);
    for (size_t i = 0; i < runs->run_count; i++) {
        struct run *run = runs->runs[i].run;
        if (run_lsn_max(run) < covered_lsn) continue;
        unsigned needed = run_may_expire(run, time_us) ? flags & ~(unsigned)SEGMENT_LSN_ONLY : flags;
        enum plinth_status st = run_get(run, key, hash, lsn, needed, hit, error);
        if (!st) return judge_hit(hit, covered_lsn, time_us);
        if (st != PLINTH_NOT_FOUND) return st;
    }
    return PLINTH_NOT_FOUND;
}

void plinth_buffer_deinit(struct plinth_buffer *buffer) {
    free(buffer->data);
    *buffer = (struct plinth_buffer){0};
}

/* The value of a row that was found into the caller's buffer. */
static enum plinth_status take_value(struct plinth *db, const struct row *row, bool memory_only,
                                     struct plinth_buffer *to, struct plinth_error *error) {
    struct buffer into = {to->data, 0, to->capacity};
    struct slice value;
    enum plinth_status st = values_of_row(db, row, memory_only, &into, &value, error);
    if (!st && value.data != into.data && !buffer_append(&into, value.data, value.size))
        st = error_no_memory(error, "value");
    *to = (struct plinth_buffer){into.data, st ? 0 : into.size, into.capacity};
    return st;
}

enum plinth_status engine_check_key(struct plinth_slice key, struct plinth_error *error) {
    if (key.size == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "key is empty");
    if (key.size > PLINTH_KEY_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "key has %zu bytes; at most %d are allowed", key.size,
                         PLINTH_KEY_BYTES_MAX);
    return PLINTH_OK;
}

enum plinth_status engine_get_at(struct plinth *db, struct view *view, uint64_t lsn, uint64_t time_us,
                                 struct plinth_space space, struct plinth_slice key, bool memory_only,
                                 struct plinth_buffer *value, struct plinth_position *version,
                                 struct plinth_error *error) {
    uint8_t small[256];
    struct buffer large = BUFFER_INIT;
    struct slice stored;
    size_t prefix_size = table_prefix_encode(small, table_in(space));
    if (prefix_size + key.size <= sizeof small) {
        memcpy(small + prefix_size, key.data, key.size);
        stored = slice_of(small, prefix_size + key.size);
    } else {
        if (!engine_stored_key(&large, table_in(space), slice_in(key))) return error_no_memory(error, "key");
        stored = buffer_slice(&large);
    }
    struct segment_hit hit;
    enum plinth_status st = view_get(view, table_in(space), stored, prefix_size, lsn, time_us,
                                     memory_only ? SEGMENT_MEMORY_ONLY : 0, &hit, error);
    buffer_deinit(&large);
    if (st) return st;
    if (hit.row.operation == ROW_DELETE) {
        st = PLINTH_NOT_FOUND;
    } else {
        if (version) *version = engine_position(db, hit.row.lsn);
        hit.row.key = slice_in(key); /* without its table, for errors */
        st = take_value(db, &hit.row, memory_only, value, error);
    }
    segment_hit_release(&hit);
    return st;
}

enum plinth_status plinth_get(struct plinth *db, struct plinth_space space, struct plinth_slice key,
                              const struct plinth_read_options *options, struct plinth_buffer *value,
                              struct plinth_position *version, struct plinth_error *error) {
    value->size = 0;
    if (version) *version = (struct plinth_position){0, 0};
    error_clear(error);
    struct view *view;
    uint64_t lsn;
    enum plinth_status st = engine_check_key(key, error);
    if (!st) st = engine_begin_read(db, options, &view, &lsn, error);
    if (st) return st;
    st = engine_get_at(db, view, lsn, engine_read_time_us(db, options, lsn), space, key,
                       options && options->memory_only, value, version, error);
    view_unref(view);
    counter_add(&db->counters.gets, 1);
    if (!st) counter_add(&db->counters.gets_found, 1);
    return st;
}
