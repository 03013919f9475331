/* Opening and closing an engine, and its numbers. */
#include "engine/engine.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log_event.h"
#include "base/machine.h"
#include "base/status.h"
#include "engine/compaction.h"
#include "engine/directory.h"
#include "engine/job_list.h"
#include "engine/table_ddl.h"
#include "engine/value_store.h"
#include "log/local_log.h"
#include "store/local_store.h"

const char *plinth_version(void) { return PLINTH_VERSION; }

static uint64_t or_default(uint64_t value, uint64_t otherwise) { return value ? value : otherwise; }

static enum plinth_status check_options(const struct plinth_options *given, struct plinth_options *options,
                                        struct plinth_error *error) {
    *options = given ? *given : (struct plinth_options){0};
    if (options->durability < PLINTH_DURABILITY_DEFAULT || options->durability > PLINTH_DURABILITY_SYNCED ||
        options->read_durability < PLINTH_DURABILITY_DEFAULT || options->read_durability > PLINTH_DURABILITY_SYNCED)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown durability in the options");
    if (!options->durability) options->durability = PLINTH_DURABILITY_SYNCED;
    if (!options->read_durability) options->read_durability = PLINTH_DURABILITY_SYNCED;
    options->log_segment_bytes = or_default(options->log_segment_bytes, 64 << 20);
    options->log_sync_interval_ms = (uint32_t)or_default(options->log_sync_interval_ms, 10);
    return PLINTH_OK;
}

/* ---- news from the log
 * ----------------------------------------------------------------------------------------------- */

static struct plinth *of_listener(struct log_listener *listener) {
    return (struct plinth *)((char *)listener - offsetof(struct plinth, log_listener));
}

void engine_tell(struct plinth *db) {
    pthread_mutex_lock(&db->advance_mutex);
    pthread_cond_broadcast(&db->advanced);
    pthread_mutex_unlock(&db->advance_mutex);
    pthread_mutex_lock(&db->listener_mutex);
    if (db->listener) db->listener(db->listener_context);
    pthread_mutex_unlock(&db->listener_mutex);
}

static void on_log_advanced(struct log_listener *listener, uint64_t written_lsn, uint64_t synced_lsn) {
    struct plinth *db = of_listener(listener);
    (void)written_lsn;
    /* Everything synced has been sequenced; its rows are in memory in a moment. Waiting here means that nobody has to
     * be told again. */
    (void)sequencer_wait(&db->sequencer, synced_lsn);
    engine_tell(db);
}

static void on_log_failed(struct log_listener *listener, const struct plinth_error *why) {
    struct plinth *db = of_listener(listener);
    engine_fail(db, why);
}

/* ---- opening
 * ----------------------------------------------------------------------------------------------------------- */

static void init_locks(struct plinth *db) {
    pthread_mutex_init(&db->sequence_mutex, NULL);
    condition_init(&db->memtable_flushed);
    /* The writer holds the sequencing lock: readers one after the other must not keep it waiting, and all writes. */
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&db->catalog_lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    pthread_mutex_init(&db->names_mutex, NULL);
    pthread_mutex_init(&db->snapshot_mutex, NULL);
    pthread_mutex_init(&db->advance_mutex, NULL);
    condition_init(&db->advanced);
    pthread_mutex_init(&db->listener_mutex, NULL);
    pthread_mutex_init(&db->failure_mutex, NULL);
    pthread_mutex_init(&db->job_mutex, NULL);
    condition_init(&db->job_wanted);
    condition_init(&db->job_ended);
    pthread_mutex_init(&db->compaction_mutex, NULL);
    pthread_mutex_init(&db->checkpoint_mutex, NULL);
    pthread_mutex_init(&db->garbage_mutex, NULL);
    view_list_init(&db->views);
    memory_use_init(&db->memory);
}

static void deinit_locks(struct plinth *db) {
    pthread_mutex_destroy(&db->sequence_mutex);
    pthread_cond_destroy(&db->memtable_flushed);
    pthread_rwlock_destroy(&db->catalog_lock);
    pthread_mutex_destroy(&db->names_mutex);
    pthread_mutex_destroy(&db->snapshot_mutex);
    pthread_mutex_destroy(&db->advance_mutex);
    pthread_cond_destroy(&db->advanced);
    pthread_mutex_destroy(&db->listener_mutex);
    pthread_mutex_destroy(&db->failure_mutex);
    pthread_mutex_destroy(&db->job_mutex);
    pthread_cond_destroy(&db->job_wanted);
    pthread_cond_destroy(&db->job_ended);
    pthread_mutex_destroy(&db->compaction_mutex);
    pthread_mutex_destroy(&db->checkpoint_mutex);
    pthread_mutex_destroy(&db->garbage_mutex);
    memory_use_deinit(&db->memory);
}

static enum plinth_status open_parts(struct plinth *db, const struct engine_parts *parts, bool fresh,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    char *log_path = directory_join(db->path, "log"), *store_path = directory_join(db->path, "store");
    if (!log_path || !store_path) st = error_no_memory(error, db->path);
    db->store = parts->store;
    db->log = parts->log;
    if (!st && !db->store) st = local_store_open(db->env, store_path, NULL, &db->store, error);
    if (!st && !db->log) {
        struct local_log_options options = {.segment_bytes = db->options.log_segment_bytes,
                                            .sync_interval_ms = db->options.log_sync_interval_ms,
                                            .must_exist = !fresh};
        st = local_log_open(db->env, log_path, &options, &db->log, error);
    }
    free(log_path);
    free(store_path);
    if (!st) st = page_cache_create(db->options.cache_bytes, &db->cache, error);
    return st;
}

/* Registers this process as the host of the shard; its time is the wall clock's, checked just now. */
static enum plinth_status register_host(struct plinth *db, struct plinth_error *error) {
    for (uint64_t i = 0; i < db->shard.host_count; i++)
        if (db->shard.hosts[i].id == ENGINE_HOST_ID) db->host_incarnation = db->shard.hosts[i].incarnation;
    db->host_incarnation++;
    uint8_t payload[2 * VARINT_BYTES_MAX + 9];
    store_u64(payload, ENGINE_HOST_ID);
    size_t size = 8 + varint_encode(payload + 8, db->host_incarnation);
    size += varint_encode(payload + size, db->shard.lsn);
    payload[size++] = 0;
    uint64_t lsn;
    struct decision decision;
    return engine_append(db, CHANGE_HOST, slice_of(payload, size), &lsn, &decision, error);
}

/* What former incarnations of this host left unfinished. Before this one's own jobs begin. */
static void clean_up_after_former(struct plinth *db) {
    while (db->shard.job_count) {
        uint64_t before = db->shard.job_count, job = db->shard.jobs[0].id;
        engine_abort_job(db, job);
        if (db->shard.job_count == before) break; /* it said why; the next open tries again */
    }
    for (uint64_t i = 0; i < db->shard.values.dead_count; i++) db->shard.values.dead[i].view_sequence = 0;
    for (uint64_t i = 0; i < db->shard.garbage_count; i++) engine_note_garbage(db, db->shard.garbage[i].name, 0);
}

static enum plinth_status start(struct plinth *db, bool fresh, struct plinth_error *error) {
    enum plinth_status st = engine_recover(db, error);
    if (st) return st;
    st = value_store_create(&db->values, error);
    if (st) return st;
    db->table_gates = table_gates_create();
    if (!db->table_gates) return error_no_memory(error, "engine");
    if (!sequencer_init(&db->sequencer, log_next_lsn(db->log) - 1, &db->failed))
        return error_no_memory(error, "engine");
    log_listen(db->log, &db->log_listener);
    if (!fresh && !db->checkpoint_newest)
        return error_set(error, PLINTH_CORRUPT,
                         "%s: store/checkpoints holds none of this log's: the log or the store is another one's, or has"
                         " lost its files",
                         db->path);
    if (fresh) { /* the first checkpoint: from now on there always is one */
        st = engine_checkpoint(db, error);
        if (!st) st = directory_complete(db->env, db->path, error);
    }
    if (!st) st = register_host(db, error);
    if (!st) st = engine_drop_unbuilt_indexes(db, error);
    if (st) return st;
    clean_up_after_former(db);
    bool has_cut = db->memtables_cut != 0;
    st = engine_start_jobs(db, error);
    if (st) return st;
    engine_want_compaction(db);
    if (has_cut) engine_want_flush(db);
    return PLINTH_OK;
}

/* Stops threads and frees everything; the log is marked clean when `orderly`. */
static void tear_down(struct plinth *db) {
    engine_stop_jobs(db);
    struct plinth_error error = {0};
    if (db->log && log_close(db->log, &error))
        log_event(LOG_WARN, "log_not_closed_cleanly", "reason=\"%s\"", error.text);
    engine_free_jobs(db);
    view_list_deinit(&db->views);
    engine_free_snapshots(db);
    if (db->active) memtable_unref(db->active);
    sequencer_deinit(&db->sequencer);
    table_gates_destroy(db->table_gates);
    value_store_destroy(db->values);
    shard_deinit(&db->shard);
    page_cache_destroy(db->cache);
    store_close(db->store);
    file_close(db->lock);
    deinit_locks(db);
    free(db->garbage);
    free(db->epochs);
    free(db->path);
    free(db);
}

static unsigned processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (unsigned)count;
}

enum plinth_status engine_open(const char *path, const struct plinth_options *options, const struct engine_parts *parts,
                               struct plinth **opened, struct plinth_error *error) {
    *opened = NULL;
    error_clear(error);
    struct plinth_options checked;
    enum plinth_status st = check_options(options, &checked, error);
    struct memory_plan plan;
    if (!st) st = memory_plan_make(&checked, machine_memory_bytes(parts->env), processors(), &plan, error);
    if (st) return st;
    checked.memory_limit_bytes = plan.limit;
    checked.memtable_bytes = plan.memtable_bytes;
    checked.cache_bytes = plan.cache_bytes;
    if (!path || !*path) return error_set(error, PLINTH_INVALID_ARGUMENT, "the data directory's path is empty");
    struct plinth *db = calloc(1, sizeof *db);
    if (!db) return error_no_memory(error, "engine");
    uint64_t began = env_monotonic_ns(parts->env);
    init_locks(db);
    db->options = checked;
    db->env = parts->env;
    db->memory.plan = plan;
    if (options && options->memory_limit_bytes) machine_spare_memory();
    db->memory.foreign_bytes = machine_resident_bytes(db->env);
    db->sizes = parts->sizes;
    db->time_base_us = env_wall_time_us(db->env);
    db->time_base_ns = began;
    db->log_listener = (struct log_listener){.advanced = on_log_advanced, .failed = on_log_failed};
    bool fresh = false;
    db->path = strdup(path);
    if (!db->path) st = error_no_memory(error, "engine");
    if (!st) st = directory_open(db->env, path, checked.must_exist, &db->lock, &fresh, error);
    if (!st) st = open_parts(db, parts, fresh, error);
    if (!st) st = start(db, fresh, error);
    if (st) {
        tear_down(db);
        return st;
    }
    db->open_us = (env_monotonic_ns(db->env) - began) / 1000;
    log_event(LOG_INFO, "engine_opened", "path=\"%s\" replayed=%llu ms=%.1f", path,
              (unsigned long long)db->replayed_records, (double)db->open_us / 1000);
    *opened = db;
    return PLINTH_OK;
}

enum plinth_status plinth_open(const char *path, const struct plinth_options *options, struct plinth **db,
                               struct plinth_error *error) {
    struct engine_parts parts = {.env = env_posix()};
    return engine_open(path, options, &parts, db, error);
}

void plinth_close(struct plinth *db) {
    if (!db) return;
    engine_stop_jobs(db);
    struct plinth_error error = {0};
    if (!atomic_load(&db->failed) && (engine_checkpoint(db, &error) || engine_trim_log(db, &error)))
        log_event(LOG_WARN, "last_checkpoint_failed", "reason=\"%s\"", error.text);
    tear_down(db);
}

/* ---- numbers
 * ----------------------------------------------------------------------------------------------------------- */

static void read_counters(struct plinth *db, struct plinth_stats *stats) {
    struct engine_counters *from = &db->counters;
    stats->sets = atomic_load(&from->sets);
    stats->deletes = atomic_load(&from->deletes);
    stats->gets = atomic_load(&from->gets);
    stats->gets_found = atomic_load(&from->gets_found);
    stats->scans = atomic_load(&from->scans);
    stats->scan_rows = atomic_load(&from->scan_rows);
    stats->conflicts = atomic_load(&from->conflicts);
    stats->rows_upserted = atomic_load(&from->rows_upserted);
    stats->rows_deleted = atomic_load(&from->rows_deleted);
    stats->rows_rejected = atomic_load(&from->rows_rejected);
    stats->flushes = atomic_load(&from->flushes);
    stats->flush_rows = atomic_load(&from->flush_rows);
    stats->flush_bytes = atomic_load(&from->flush_bytes);
    stats->flush_us = atomic_load(&from->flush_us);
    stats->compactions = atomic_load(&from->compactions);
    stats->compaction_moves = atomic_load(&from->compaction_moves);
    stats->compaction_bytes_moved = atomic_load(&from->compaction_bytes_moved);
    stats->compaction_rows_in = atomic_load(&from->compaction_rows_in);
    stats->compaction_rows_out = atomic_load(&from->compaction_rows_out);
    stats->compaction_bytes_in = atomic_load(&from->compaction_bytes_in);
    stats->compaction_bytes_out = atomic_load(&from->compaction_bytes_out);
    stats->compaction_us = atomic_load(&from->compaction_us);
    stats->checkpoints = atomic_load(&from->checkpoints);
    stats->checkpoint_lsn = atomic_load(&from->checkpoint_lsn);
    stats->write_stalls = atomic_load(&from->write_stalls);
    stats->write_stall_us = atomic_load(&from->write_stall_us);
    stats->write_delays = atomic_load(&from->write_delays);
    stats->write_delay_us = atomic_load(&from->write_delay_us);
}

static void read_view(struct plinth *db, struct plinth_stats *stats) {
    struct view *view = view_current(&db->views);
    stats->memtables = view->memtable_count;
    for (size_t i = 0; i < view->memtable_count; i++)
        stats->memtable_bytes += memtable_bytes(view->memtables[i].memtable);
    for (size_t t = 0; t < view->table_count; t++) {
        for (size_t r = 0; r < view->tables[t].run_count; r++) {
            const struct run *run = view->tables[t].runs[r].run;
            stats->segments += run_segment_count(run);
            stats->segment_bytes += run_bytes(run);
            stats->segment_rows += run_rows(run);
        }
    }
    view_unref(view);
}

void plinth_stats_read(struct plinth *db, struct plinth_stats *stats) {
    *stats = (struct plinth_stats){.replayed_records = db->replayed_records, .open_us = db->open_us};
    stats->acknowledged = engine_position(db, engine_visible_lsn(db));
    read_counters(db, stats);
    read_view(db, stats);
    struct log_stats log;
    log_stats(db->log, &log);
    stats->log_bytes = log.bytes;
    stats->log_segments = log.segments;
    stats->log_syncs = log.syncs;
    stats->log_groups = log.groups;
    stats->log_records = log.appended;
    struct page_cache_stats cache;
    page_cache_stats(db->cache, &cache);
    stats->cache_bytes = cache.bytes;
    stats->cache_hits = cache.hits;
    stats->cache_misses = cache.misses;
    struct compaction_load load;
    compaction_measure(db, &load);
    stats->compaction_pending = load.groups;
    stats->compaction_debt_bytes = load.debt_bytes;
    stats->runs_most = load.runs_most;
    pthread_mutex_lock(&db->snapshot_mutex);
    stats->snapshots = db->snapshot_count;
    pthread_mutex_unlock(&db->snapshot_mutex);
    pthread_mutex_lock(&db->sequence_mutex);
    stats->feature_level = db->shard.feature_level;
    stats->history_seconds = db->shard.history.window_us / 1000000;
    stats->write_rate_max = db->write_budget.rate;
    pthread_mutex_unlock(&db->sequence_mutex);
    stats->jobs_paused = job_kinds_paused(db);
    engine_memory_stats(db, stats);
    stats->writers_waiting_for_memory = atomic_load(&db->waiting_for_memory);
    stats->writable = !atomic_load(&db->failed);
}
