/* Recovery: checkpoint, then the log behind it. Records at or below the checkpoint only refill memtables and conflict
 * window, with the verdicts they had; those above are decided as they were the first time. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/output.h"
#include "engine/rows_replay.h"
#include "engine/value_store.h"

/* A memtable that the replay fills. */
struct replayed {
    struct memtable *memtable;
    uint64_t cut_lsn; /* 0: still the active one */
};

struct replay {
    struct plinth *db;
    struct replayed *memtables; /* oldest first; the last one takes rows */
    uint64_t memtable_count;
    uint64_t checkpoint_lsn;
    struct buffer stored;
    struct rows_replay rows;
};

static enum plinth_status push_memtable(struct replay *replay, struct plinth_error *error) {
    struct replayed fresh = {0};
    enum plinth_status st = memtable_create(&fresh.memtable, error);
    if (!st && !ARRAY_PUSH(replay->memtables, replay->memtable_count, fresh)) {
        memtable_unref(fresh.memtable);
        st = error_no_memory(error, "replay");
    }
    return st;
}

static enum plinth_status cut_at(struct replay *replay, uint64_t lsn, struct plinth_error *error) {
    replay->memtables[replay->memtable_count - 1].cut_lsn = lsn;
    return push_memtable(replay, error);
}

/* A flush that the log has committed: its memtable, the oldest, is not needed. */
static void drop_flushed(struct replay *replay) {
    memtable_unref(replay->memtables[0].memtable);
    memmove(&replay->memtables[0], &replay->memtables[1], --replay->memtable_count * sizeof *replay->memtables);
}

static enum plinth_status insert_rows(struct replay *replay, const struct record *record, struct plinth_error *error) {
    struct condition condition = {.operations = record->payload};
    if (record->header.kind == CHANGE_CONDITIONAL && !condition_decode(record->payload, &condition))
        return error_set(error, PLINTH_CORRUPT, "malformed conditional record %" PRIu64, record->lsn);
    struct operation_reader reader = operation_reader_of(condition.operations);
    struct operation operation;
    struct memtable *memtable = replay->memtables[replay->memtable_count - 1].memtable;
    enum plinth_status st = PLINTH_OK;
    while (!st && operation_next(&reader, &operation)) {
        buffer_clear(&replay->stored);
        if (!engine_stored_key(&replay->stored, operation.table, operation.key))
            return error_no_memory(error, "replay");
        st = engine_insert(memtable, &operation, buffer_slice(&replay->stored), record->lsn, error);
    }
    replay->db->last_data_lsn = record->lsn;
    return st;
}

/* Rows at or below `flushed_lsn` are in segments; they may be parts of a unit that is not. */
static enum plinth_status replay_rows(struct replay *replay, const struct record *record, bool applied,
                                      uint64_t flushed_lsn, struct plinth_error *error) {
    bool inserts = record->lsn > flushed_lsn;
    struct memtable *memtable = replay->memtables[replay->memtable_count - 1].memtable;
    if (inserts && applied) replay->db->last_data_lsn = record->lsn;
    if (record->header.kind != CHANGE_ROWS)
        return rows_replay_transaction(&replay->rows, replay->db, inserts ? memtable : NULL, record, applied, error);
    return rows_replay_add(&replay->rows, replay->db, inserts ? memtable : NULL, record, applied, error);
}

static bool is_data(const struct record *record) {
    return record->header.kind == CHANGE_WRITE || record->header.kind == CHANGE_CONDITIONAL;
}

/* Records that may be parts of a write. */
static bool has_rows(const struct record *record) {
    return record->header.kind == CHANGE_ROWS || record->header.kind == CHANGE_TRANSACTION ||
           record->header.kind == CHANGE_TRANSACTION_PART;
}

static bool is_pending_cut(const struct shard *shard, uint64_t lsn) {
    for (uint64_t i = 0; i < shard->cut_count; i++)
        if (shard->cuts[i] == lsn) return true;
    return false;
}

static enum plinth_status replay_before_checkpoint(struct replay *replay, const struct record *record,
                                                   struct plinth_error *error) {
    struct shard *shard = &replay->db->shard;
    shard_replay(shard, record->lsn, &record->header, record->payload);
    if (has_rows(record))
        return replay_rows(replay, record, !shard_is_void(shard, record->lsn), shard->flushed_lsn, error);
    if (record->lsn <= shard->flushed_lsn) return PLINTH_OK;
    if (is_data(record) && !shard_is_void(shard, record->lsn)) return insert_rows(replay, record, error);
    if (is_pending_cut(shard, record->lsn)) return cut_at(replay, record->lsn, error);
    return PLINTH_OK;
}

static enum plinth_status replay_record(struct replay *replay, const struct record *record,
                                        struct plinth_error *error) {
    if (record->lsn <= replay->checkpoint_lsn) return replay_before_checkpoint(replay, record, error);
    struct decision decision;
    enum plinth_status st =
        shard_decide(&replay->db->shard, record->lsn, &record->header, record->payload, NULL, &decision, error);
    if (st) return st;
    if (decision.verdict == VERDICT_REFUSED)
        return error_set(
            error, PLINTH_UNSUPPORTED,
            "record %" PRIu64 " of kind %s is not understood at feature level %u: a newer version wrote it,"
            " or it is damaged",
            record->lsn, change_kind_name((enum change_kind)record->header.kind), replay->db->shard.feature_level);
    if (has_rows(record)) return replay_rows(replay, record, decision.verdict == VERDICT_APPLIED, 0, error);
    if (decision.verdict != VERDICT_APPLIED) return PLINTH_OK;
    if (is_data(record)) return insert_rows(replay, record, error);
    if (record->header.kind == CHANGE_CUT) return cut_at(replay, record->lsn, error);
    if (record->header.kind == CHANGE_FLUSH_COMMIT) drop_flushed(replay);
    return PLINTH_OK;
}

static enum plinth_status replay_log(struct replay *replay, struct plinth_error *error) {
    struct plinth *db = replay->db;
    struct log_reader *reader;
    uint64_t from = shard_replay_lsn(&db->shard);
    enum plinth_status st = log_read(db->log, from, &reader, error);
    if (st == PLINTH_TOO_OLD)
        return error_set(error, PLINTH_CORRUPT, "%s: log records from %" PRIu64 " on are missing", db->path, from);
    if (st) return st;
    bool found = true;
    while (!st && found) {
        struct record record;
        st = log_next(reader, &record, &found, error);
        if (st || !found) break;
        st = replay_record(replay, &record, error);
        db->replayed_records++;
    }
    log_reader_close(reader);
    return st;
}

/* ---- segments ---- */

/* Segments are read when they are needed, but a file that is missing, or shorter or longer than it was, is said now. */
struct found_object {
    const char *name;
    uint64_t size;
};

struct found_objects {
    struct arena names;
    struct found_object *objects; /* by name, once sorted */
    uint64_t count;
    bool out_of_memory;
};

static bool note_object(void *context, const char *name, uint64_t size) {
    struct found_objects *found = context;
    struct found_object object = {(const char *)arena_copy(&found->names, slice_of_string(name)), size};
    found->out_of_memory = !object.name || !ARRAY_PUSH(found->objects, found->count, object);
    return !found->out_of_memory;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct found_object *)a)->name, ((const struct found_object *)b)->name);
}

static enum plinth_status check_segment(const struct found_objects *found, const struct segment_info *info,
                                        struct plinth_error *error) {
    struct found_object wanted = {.name = info->name};
    const struct found_object *there =
        found->count ? bsearch(&wanted, found->objects, found->count, sizeof wanted, compare_names) : NULL;
    if (!there) return error_set(error, PLINTH_CORRUPT, "segment %s: the object is missing from the store", info->name);
    if (there->size == info->bytes) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "segment %s: the object has %" PRIu64 " bytes, the manifest says %" PRIu64,
                     info->name, there->size, info->bytes);
}

static enum plinth_status check_segments(struct plinth *db, struct plinth_error *error) {
    struct found_objects found = {.count = 0};
    const struct shard *shard = &db->shard;
    if (!shard->table_count) return PLINTH_OK;
    arena_init(&found.names);
    enum plinth_status st = store_list(db->store, "segments/", note_object, &found, error);
    if (!st && found.out_of_memory) st = error_no_memory(error, "list of segments");
    if (!st && found.count) qsort(found.objects, found.count, sizeof *found.objects, compare_names);
    for (uint64_t t = 0; !st && t < shard->table_count; t++)
        for (uint64_t r = 0; !st && r < shard->tables[t].run_count; r++)
            for (uint64_t s = 0; !st && s < shard->tables[t].runs[r].segment_count; s++)
                st = check_segment(&found, &shard->tables[t].runs[r].segments[s], error);
    free(found.objects);
    arena_deinit(&found.names);
    return st;
}

/* Whether rows of the table expire, in the present state or one that can be read. */
static bool rows_expire(const struct catalog_table *table) {
    bool any = table->schema && table->schema->expire_column;
    for (uint32_t i = 0; i < table->past_count; i++) any |= table->pasts[i].schema->expire_column != 0;
    return any;
}

/* The first view: replayed memtables, newest first, and the runs of the manifest. */
static enum plinth_status publish_view(struct replay *replay, struct plinth_error *error) {
    struct plinth *db = replay->db;
    struct view *view = view_edit(&db->views);
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "view");
    for (uint64_t i = 0; !st && i < replay->memtable_count; i++) {
        struct replayed *from = &replay->memtables[i];
        if (!view_push_memtable(view, memtable_ref(from->memtable), i ? replay->memtables[i - 1].cut_lsn : 0)) {
            memtable_unref(from->memtable);
            st = error_no_memory(error, "view");
        }
    }
    for (uint64_t t = 0; !st && t < db->shard.table_count; t++) {
        const struct shard_table *table = &db->shard.tables[t];
        for (uint64_t r = 0; !st && r < table->run_count; r++) {
            struct view_run run = {.id = table->runs[r].id,
                                   .level = table->runs[r].level,
                                   .has_partition = table->runs[r].has_partition,
                                   .partition = table->runs[r].partition};
            st = output_open_run(db, table->runs[r].segments, table->runs[r].segment_count, &run.run, error);
            if (!st && !view_insert_run(view, table->id, r, run)) {
                run_unref(run.run);
                st = error_no_memory(error, "view");
            }
        }
    }
    for (size_t t = 0; !st && t < view->table_count; t++)
        for (size_t r = 0; r < view->tables[t].run_count; r++)
            if (run_may_expire(view->tables[t].runs[r].run, UINT64_MAX)) atomic_store(&db->may_expire, true);
    for (uint32_t i = 0; !st && i < db->shard.catalog.table_count; i++)
        if (rows_expire(&db->shard.catalog.tables[i])) atomic_store(&db->may_expire, true);
    for (size_t i = 0; !st && i < view->memtable_count; i++)
        if (memtable_may_expire(view->memtables[i].memtable)) atomic_store(&db->may_expire, true);
    if (!st) st = ranges_take_over(db, view, 0, db->shard.flushed_lsn, error);
    if (st) {
        view_discard(view);
        return st;
    }
    /* What merges have purged is not in the manifest: no state can be promised but those that they had to keep. */
    st = engine_hold_history(db, &db->horizon_lsn, error);
    if (st) {
        view_discard(view);
        return st;
    }
    view->horizon_lsn = db->horizon_lsn;
    view_publish(&db->views, view);
    return PLINTH_OK;
}

static enum plinth_status read_epochs(struct plinth *db, struct plinth_error *error) {
    db->epochs = malloc(LOG_EPOCHS_MAX * sizeof *db->epochs);
    if (!db->epochs) return error_no_memory(error, "log epochs");
    db->epoch_count = log_epochs(db->log, db->epochs, LOG_EPOCHS_MAX);
    return PLINTH_OK;
}

enum plinth_status engine_recover(struct plinth *db, struct plinth_error *error) {
    struct replay replay = {.db = db};
    enum plinth_status st = read_epochs(db, error);
    if (!st) st = engine_load_checkpoint(db, error);
    if (!st) {
        replay.checkpoint_lsn = db->shard.lsn;
        st = push_memtable(&replay, error);
    }
    if (!st) st = replay_log(&replay, error);
    if (!st) st = check_segments(db, error);
    if (!st) st = values_check_objects(db, error);
    if (!st) st = publish_view(&replay, error);
    if (!st) {
        db->active = memtable_ref(replay.memtables[replay.memtable_count - 1].memtable);
        db->memtables_cut = replay.memtable_count - 1;
        for (uint64_t i = 0; i + 1 < replay.memtable_count; i++)
            memtable_charge(replay.memtables[i].memtable, &db->memory.cut_bytes);
        atomic_store(&db->flushed_lsn, db->shard.flushed_lsn);
        atomic_store(&db->remembers_rows, db->shard.feature_level >= FEATURE_LEVEL_TRANSACTIONS);
        atomic_store(&db->shard_time_us, db->shard.time_us);
    }
    for (uint64_t i = 0; i < replay.memtable_count; i++) memtable_unref(replay.memtables[i].memtable);
    free(replay.memtables);
    buffer_deinit(&replay.stored);
    rows_replay_deinit(&replay.rows);
    return st;
}
