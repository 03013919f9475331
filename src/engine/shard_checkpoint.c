/* The bytes of a checkpoint:
 *
 *   magic "PLINCKPT" | u32 format | u32 CRC-32C of the format and everything behind | u64 LSN | feature level | shard
 * time | catalog | producers | window: keys, bytes, floor LSN | last cut | flushed LSN | cuts | tables: runs: segments
 * | jobs | hosts | garbage | voids | 0 | time alarms, alarms | from feature level 2 on: units | from feature level 3
 * on: history | from feature level 5 on: kinds of jobs that are paused, window of rows: runs, bytes, floor LSN, index
 * builds | range deletes | sections, ascending by number: number, string
 *
 * Sections are of what only some directories have; one without has none of them. 1: hosts (shard_hosts.c).
 * 2: large values (value_objects.h).
 *
 * Magic, format and checksum stand like this in every format, so that damage is told from a newer version.
 * Counts and numbers are varints where no width is said. */
#include "base/crc32c.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/shard_hosts.h"

static const char magic[8] = {'P', 'L', 'I', 'N', 'C', 'K', 'P', 'T'};
enum { CHECKPOINT_FORMAT = 1, CHECKPOINT_HEAD_BYTES = 16, RESERVED = 0 };
enum section { SECTION_HOSTS = 1, SECTION_VALUES = 2 };

static bool encode_tables(struct buffer *into, const struct shard *shard) {
    bool ok = buffer_append_varint(into, shard->table_count);
    for (uint64_t t = 0; ok && t < shard->table_count; t++) {
        const struct shard_table *table = &shard->tables[t];
        ok = buffer_append_varint(into, table->id.tenant) && buffer_append_varint(into, table->id.database) &&
             buffer_append_varint(into, table->id.table) && buffer_append_varint(into, table->run_count);
        for (uint64_t r = 0; ok && r < table->run_count; r++) {
            const struct shard_run *run = &table->runs[r];
            ok = buffer_append_varint(into, run->id) && buffer_append_varint(into, run->level) &&
                 buffer_append_varint(into, run->segment_count);
            for (uint64_t s = 0; ok && s < run->segment_count; s++) ok = segment_info_encode(into, &run->segments[s]);
        }
    }
    return ok;
}

static bool encode_lists(struct buffer *into, const struct shard *shard) {
    bool ok = buffer_append_varint(into, shard->job_count);
    for (uint64_t i = 0; ok && i < shard->job_count; i++) {
        const struct shard_job *job = &shard->jobs[i];
        ok = buffer_append_varint(into, job->id) && buffer_append_varint(into, job->kind) &&
             buffer_append_u64(into, job->host) && buffer_append_u8(into, job->aborted);
    }
    ok = ok && buffer_append_varint(into, shard->host_count);
    for (uint64_t i = 0; ok && i < shard->host_count; i++) {
        const struct shard_host *host = &shard->hosts[i];
        ok = buffer_append_u64(into, host->id) && buffer_append_varint(into, host->incarnation) &&
             buffer_append_varint(into, host->needed_lsn) && buffer_append_u8(into, host->expelled);
    }
    ok = ok && buffer_append_varint(into, shard->garbage_count);
    for (uint64_t i = 0; ok && i < shard->garbage_count; i++)
        ok = buffer_append_string(into, slice_of_string(shard->garbage[i].name)) &&
             buffer_append_varint(into, shard->garbage[i].since_lsn);
    uint64_t first = shard_voids_below(shard, shard_verdicts_lsn(shard));
    ok = ok && buffer_append_varint(into, shard->void_count - first);
    for (uint64_t i = first; ok && i < shard->void_count; i++) ok = buffer_append_varint(into, shard->voids[i]);
    return ok && buffer_append_varint(into, RESERVED) && buffer_append_varint(into, shard->time_alarms) &&
           buffer_append_varint(into, shard->alarms);
}

static bool encode_section(struct buffer *into, enum section section, const struct shard *shard,
                           bool (*encode)(struct buffer *, const struct shard *)) {
    struct buffer bytes = BUFFER_INIT;
    bool ok = encode(&bytes, shard) && buffer_append_varint(into, section) &&
              buffer_append_string(into, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return ok;
}

static bool encode_values(struct buffer *into, const struct shard *shard) {
    return value_objects_encode(into, &shard->values);
}

static bool encode_sections(struct buffer *into, const struct shard *shard) {
    return (!shard_has_hosts(shard) || encode_section(into, SECTION_HOSTS, shard, shard_hosts_encode)) &&
           (value_objects_is_empty(&shard->values) || encode_section(into, SECTION_VALUES, shard, encode_values));
}

static bool encode_state(struct buffer *into, const struct shard *shard) {
    bool ok = buffer_append_varint(into, shard->feature_level) && buffer_append_varint(into, shard->time_us) &&
              catalog_encode(into, &shard->catalog) && producers_encode(into, &shard->producers) &&
              buffer_append_varint(into, shard->window.keys_max) &&
              buffer_append_varint(into, shard->window.bytes_max) &&
              buffer_append_varint(into, shard->window.floor_lsn) && buffer_append_varint(into, shard->last_cut) &&
              buffer_append_varint(into, shard->flushed_lsn) && buffer_append_varint(into, shard->cut_count);
    for (uint64_t i = 0; ok && i < shard->cut_count; i++) ok = buffer_append_varint(into, shard->cuts[i]);
    ok = ok && encode_tables(into, shard) && encode_lists(into, shard);
    ok = ok && (shard->feature_level < CATALOG_FEATURE_LEVEL_TABLES || units_encode(into, &shard->units));
    ok = ok && (shard->feature_level < FEATURE_LEVEL_HISTORY || history_encode(into, &shard->history));
    ok = ok && (shard->feature_level < FEATURE_LEVEL_JOBS || buffer_append_varint(into, shard->paused_jobs));
    const struct rows_window *rows = &shard->rows_window;
    ok = ok && (shard->feature_level < FEATURE_LEVEL_TRANSACTIONS ||
                (buffer_append_varint(into, rows->runs_max) && buffer_append_varint(into, rows->bytes_max) &&
                 buffer_append_varint(into, rows->floor_lsn)));
    ok = ok && (shard->feature_level < FEATURE_LEVEL_INDEX_BUILDS || index_builds_encode(into, &shard->index_builds));
    ok = ok && (shard->feature_level < FEATURE_LEVEL_RANGES || ranges_encode(into, &shard->ranges));
    return ok && encode_sections(into, shard);
}

/* `bytes` is a whole checkpoint. */
static uint32_t checksum_of(struct slice bytes) {
    uint32_t crc = crc32c(0, bytes.data + sizeof magic, 4);
    return crc32c(crc, bytes.data + CHECKPOINT_HEAD_BYTES, bytes.size - CHECKPOINT_HEAD_BYTES);
}

bool shard_encode(struct buffer *into, const struct shard *shard) {
    size_t start = into->size;
    bool ok = buffer_append(into, magic, sizeof magic) && buffer_append_u32(into, CHECKPOINT_FORMAT) &&
              buffer_append_u32(into, 0) && buffer_append_u64(into, shard->lsn) && encode_state(into, shard);
    if (!ok) return false;
    uint8_t *head = into->data + start;
    store_u32(head + 12, checksum_of(slice_of(head, into->size - start)));
    return true;
}

static bool decode_run(struct reader *from, struct shard_run *run) {
    run->id = reader_varint(from);
    run->level = reader_varint(from);
    uint64_t segments = reader_varint(from);
    for (uint64_t s = 0; s < segments && !from->failed; s++) {
        struct segment_info info = {0};
        if (!segment_info_decode(from, &info)) return false;
        if (!ARRAY_PUSH(run->segments, run->segment_count, info)) {
            segment_info_deinit(&info);
            return false;
        }
    }
    if (from->failed || !run->segment_count) return false;
    run->has_partition = run->segments[0].has_partition;
    run->partition = run->segments[0].partition;
    return true;
}

static bool decode_tables(struct reader *from, struct shard *shard) {
    uint64_t tables = reader_varint(from);
    for (uint64_t t = 0; t < tables && !from->failed; t++) {
        struct table_id id = {0};
        id.tenant = reader_varint32(from);
        id.database = reader_varint32(from);
        id.table = reader_varint32(from);
        if (shard->table_count && table_id_compare(shard->tables[shard->table_count - 1].id, id) >= 0) return false;
        if (!ARRAY_PUSH(shard->tables, shard->table_count, ((struct shard_table){.id = id}))) return false;
        struct shard_table *table = &shard->tables[shard->table_count - 1];
        uint64_t runs = reader_varint(from);
        for (uint64_t r = 0; r < runs && !from->failed; r++) {
            if (!ARRAY_PUSH(table->runs, table->run_count, (struct shard_run){0})) return false;
            if (!decode_run(from, &table->runs[table->run_count - 1])) return false;
        }
    }
    return !from->failed;
}

static bool decode_lists(struct reader *from, struct shard *shard) {
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct shard_job job = {.id = reader_varint(from), .kind = (enum job_kind)reader_varint(from)};
        job.host = reader_u64(from);
        job.aborted = reader_u8(from) != 0;
        if (!ARRAY_PUSH(shard->jobs, shard->job_count, job)) return false;
    }
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct shard_host host = {.id = reader_u64(from)};
        host.incarnation = reader_varint(from);
        host.needed_lsn = reader_varint(from);
        host.expelled = reader_u8(from) != 0;
        if (!ARRAY_PUSH(shard->hosts, shard->host_count, host)) return false;
    }
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct shard_garbage garbage = {0};
        struct slice name = reader_string(from);
        garbage.since_lsn = reader_varint(from);
        if (from->failed || name.size >= sizeof garbage.name) return false;
        memcpy(garbage.name, name.data, name.size);
        if (!ARRAY_PUSH(shard->garbage, shard->garbage_count, garbage)) return false;
    }
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        uint64_t lsn = reader_varint(from);
        if (!ARRAY_PUSH(shard->voids, shard->void_count, lsn)) return false;
    }
    if (reader_varint(from) != RESERVED) from->failed = true;
    shard->time_alarms = reader_varint(from);
    shard->alarms = reader_varint(from);
    return !from->failed;
}

static bool decode_paused(struct reader *from, struct shard *shard) {
    if (shard->feature_level >= FEATURE_LEVEL_JOBS) shard->paused_jobs = reader_varint(from);
    return !from->failed && !(shard->paused_jobs & ~(uint64_t)JOBS_PAUSABLE);
}

static bool decode_rows_window(struct reader *from, struct shard *shard) {
    uint64_t runs = reader_varint(from), bytes = reader_varint(from), floor = reader_varint(from);
    if (from->failed || runs < 1 || runs > 1 << 26 || bytes < 1 << 17 || bytes > 1ull << 32) return false;
    rows_window_reset(&shard->rows_window, runs, bytes, floor);
    return true;
}

static bool decode_section(uint64_t section, struct slice bytes, struct shard *shard) {
    struct reader from = reader_of(bytes);
    switch (section) {
    case SECTION_HOSTS: return shard_hosts_decode(bytes, shard);
    case SECTION_VALUES: return value_objects_decode(&from, &shard->values) && !reader_left(&from);
    default: return false;
    }
}

static bool decode_sections(struct reader *from, struct shard *shard) {
    uint64_t before = 0;
    while (reader_left(from) && !from->failed) {
        uint64_t section = reader_varint(from);
        struct slice bytes = reader_string(from);
        if (from->failed || section <= before) return false;
        before = section;
        if (!decode_section(section, bytes, shard)) return false;
    }
    return !from->failed;
}

static enum plinth_status decode_state(struct reader *from, struct shard *shard, struct plinth_error *error) {
    shard->feature_level = reader_varint32(from);
    shard->time_us = reader_varint(from);
    if (shard->feature_level > FEATURE_LEVEL)
        return error_set(error, PLINTH_UNSUPPORTED, "feature level %u is above this version's %d", shard->feature_level,
                         FEATURE_LEVEL);
    enum plinth_status st = catalog_decode(from, &shard->catalog, error);
    if (!st) st = producers_decode(from, &shard->producers, error);
    if (st) return st;
    uint64_t keys_max = reader_varint(from), bytes_max = reader_varint(from), floor = reader_varint(from);
    if (keys_max < 1 || keys_max > 1 << 26 || bytes_max < 1 << 17 || bytes_max > 1ull << 32) from->failed = true;
    if (!from->failed) st = conflict_window_init(&shard->window, keys_max, bytes_max, floor, error);
    if (st) return st;
    shard->last_cut = reader_varint(from);
    shard->flushed_lsn = reader_varint(from);
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        uint64_t cut = reader_varint(from);
        if (!ARRAY_PUSH(shard->cuts, shard->cut_count, cut)) return error_no_memory(error, "checkpoint");
    }
    bool units_follow = shard->feature_level >= CATALOG_FEATURE_LEVEL_TABLES;
    bool ranges_follow = shard->feature_level >= FEATURE_LEVEL_RANGES;
    bool history_follows = shard->feature_level >= FEATURE_LEVEL_HISTORY;
    bool builds_follow = shard->feature_level >= FEATURE_LEVEL_INDEX_BUILDS;
    if (!from->failed && decode_tables(from, shard) && decode_lists(from, shard) &&
        (!units_follow || units_decode(from, &shard->units)) &&
        (!history_follows || history_decode(from, &shard->history)) && decode_paused(from, shard) &&
        (shard->feature_level < FEATURE_LEVEL_TRANSACTIONS || decode_rows_window(from, shard)) &&
        (!builds_follow || index_builds_decode(from, &shard->index_builds)) &&
        (!ranges_follow || ranges_decode(from, &shard->ranges)) && decode_sections(from, shard))
        return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "malformed checkpoint");
}

enum plinth_status shard_decode(struct slice bytes, struct shard *shard, struct plinth_error *error) {
    *shard = (struct shard){0};
    if (bytes.size < CHECKPOINT_HEAD_BYTES + 8 || memcmp(bytes.data, magic, sizeof magic) != 0)
        return error_set(error, PLINTH_CORRUPT, "not a checkpoint");
    if (checksum_of(bytes) != load_u32(bytes.data + 12))
        return error_set(error, PLINTH_CORRUPT, "checksum of checkpoint does not match");
    uint32_t format = load_u32(bytes.data + 8);
    if (format != CHECKPOINT_FORMAT)
        return error_set(error, PLINTH_UNSUPPORTED, "checkpoint format %u; this version reads %d", format,
                         CHECKPOINT_FORMAT);
    struct reader from = reader_of(slice_of(bytes.data + CHECKPOINT_HEAD_BYTES, bytes.size - CHECKPOINT_HEAD_BYTES));
    shard->lsn = reader_u64(&from);
    enum plinth_status st = decode_state(&from, shard, error);
    if (st)
        shard_deinit(shard);
    else
        shard->voids_from = shard_verdicts_lsn(shard);
    return st;
}
