#include "engine/shard_hash.h"

#include <stdlib.h>

#include "base/hash.h"

/* The hash of a few numbers. */
#define HASH_OF(...) hash_stable((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}))

static uint64_t hash_bytes(struct buffer *bytes) {
    uint64_t hash = hash_stable(bytes->data, bytes->size);
    buffer_clear(bytes);
    return hash;
}

uint64_t shard_verdict_hash(uint64_t lsn, const struct decision *decision) {
    return HASH_OF(lsn, decision->verdict, decision->first_lsn);
}

static uint64_t hash_verdicts(const struct shard *shard) {
    uint64_t sum = shard->verdict_sum;
    for (uint64_t i = shard_voids_below(shard, shard_verdicts_lsn(shard)); i < shard->void_count; i++)
        sum += HASH_OF(shard->voids[i]);
    return sum;
}

static uint64_t hash_memtables(const struct shard *shard) {
    uint64_t sum = HASH_OF(shard->last_cut, shard->flushed_lsn);
    for (uint64_t i = 0; i < shard->cut_count; i++) sum += HASH_OF(shard->cuts[i]);
    return sum;
}

static bool hash_files(const struct shard *shard, struct buffer *bytes, uint64_t *sum) {
    bool ok = true;
    for (uint64_t t = 0; ok && t < shard->table_count; t++) {
        const struct shard_table *table = &shard->tables[t];
        for (uint64_t r = 0; ok && r < table->run_count; r++) {
            const struct shard_run *run = &table->runs[r];
            /* Their order counts. */
            uint64_t place = HASH_OF(table->id.tenant, table->id.database, table->id.table, r, run->id, run->level);
            for (uint64_t s = 0; ok && s < run->segment_count; s++) {
                ok = segment_info_encode(bytes, &run->segments[s]);
                *sum += HASH_OF(place, s, hash_bytes(bytes));
            }
        }
    }
    for (uint64_t i = 0; i < shard->garbage_count; i++) {
        const struct shard_garbage *garbage = &shard->garbage[i];
        *sum += HASH_OF(hash_stable(garbage->name, strlen(garbage->name)), garbage->since_lsn);
    }
    return ok;
}

static uint64_t hash_jobs(const struct shard *shard) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < shard->job_count; i++) {
        const struct shard_job *job = &shard->jobs[i];
        sum += HASH_OF(job->id, job->kind, job->host, job->aborted);
    }
    return sum;
}

static uint64_t hash_hosts(const struct shard *shard) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < shard->host_count; i++) {
        const struct shard_host *host = &shard->hosts[i];
        sum += HASH_OF(host->id, host->incarnation, host->needed_lsn, host->needed_time_us, host->expelled,
                       host->expelled_us, host->joined, hash_stable(host->name, strlen(host->name)));
    }
    return sum;
}

static uint64_t hash_windows(const struct shard *shard) {
    const struct conflict_window *keys = &shard->window;
    const struct rows_window *rows = &shard->rows_window;
    uint64_t sum = HASH_OF(keys->keys_max, keys->bytes_max, keys->floor_lsn, rows->runs_max, rows->bytes_max,
                           rows->floor_lsn, rows->end - rows->begin, rows->bytes_held);
    for (uint64_t i = keys->keys_begin; i != keys->keys_end; i++) {
        const struct conflict_key *key = &keys->keys[i % keys->keys_max];
        sum += HASH_OF(key->lsn, key->hash, key->size, key->lower_size);
    }
    return sum;
}

bool shard_hash_parts(const struct shard *shard, struct shard_hashes *hashes) {
    struct buffer bytes = BUFFER_INIT;
    uint64_t *parts = hashes->parts;
    *hashes = (struct shard_hashes){{0}};
    parts[SHARD_PART_BASE] = HASH_OF(shard->lsn, shard->feature_level, shard->time_us, shard->alarms,
                                     shard->time_alarms, shard->paused_jobs);
    parts[SHARD_PART_VERDICTS] = hash_verdicts(shard);
    parts[SHARD_PART_MEMTABLES] = hash_memtables(shard);
    parts[SHARD_PART_JOBS] = hash_jobs(shard);
    parts[SHARD_PART_HOSTS] = hash_hosts(shard);
    parts[SHARD_PART_WINDOW] = hash_windows(shard);
    bool ok = catalog_encode(&bytes, &shard->catalog);
    parts[SHARD_PART_CATALOG] = hash_bytes(&bytes);
    ok = ok && hash_files(shard, &bytes, &parts[SHARD_PART_FILES]) && producers_encode(&bytes, &shard->producers);
    parts[SHARD_PART_PRODUCERS] = hash_bytes(&bytes);
    ok = ok && units_encode(&bytes, &shard->units);
    parts[SHARD_PART_UNITS] = hash_bytes(&bytes);
    ok = ok && history_encode(&bytes, &shard->history);
    parts[SHARD_PART_HISTORY] = hash_bytes(&bytes);
    ok = ok && index_builds_encode(&bytes, &shard->index_builds);
    parts[SHARD_PART_BUILDS] = hash_bytes(&bytes);
    ok = ok && ranges_encode(&bytes, &shard->ranges);
    parts[SHARD_PART_RANGES] = hash_bytes(&bytes);
    ok = ok && value_objects_encode(&bytes, &shard->values);
    parts[SHARD_PART_VALUES] = hash_bytes(&bytes);
    buffer_deinit(&bytes);
    return ok;
}

const char *shard_part_name(enum shard_part part) {
    static const char *const names[SHARD_PARTS] = {
        [SHARD_PART_BASE] = "base",           [SHARD_PART_CATALOG] = "catalog", [SHARD_PART_VERDICTS] = "verdicts",
        [SHARD_PART_MEMTABLES] = "memtables", [SHARD_PART_FILES] = "files",     [SHARD_PART_JOBS] = "jobs",
        [SHARD_PART_HOSTS] = "hosts",         [SHARD_PART_WINDOW] = "window",   [SHARD_PART_PRODUCERS] = "producers",
        [SHARD_PART_UNITS] = "units",         [SHARD_PART_HISTORY] = "history", [SHARD_PART_BUILDS] = "builds",
        [SHARD_PART_RANGES] = "ranges",       [SHARD_PART_VALUES] = "values"};
    return names[part];
}

uint64_t shard_hash(const struct shard *shard) {
    struct shard_hashes hashes;
    return shard_hash_parts(shard, &hashes) ? hash_stable(hashes.parts, sizeof hashes.parts) : 0;
}
