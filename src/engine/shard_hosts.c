#include "engine/shard_hosts.h"

#include "base/status.h"
#include "engine/array.h"

/* ---- bytes ---- */

bool host_change_encode(struct buffer *into, enum change_kind kind, const struct host_change *change) {
    bool ok = buffer_append_u64(into, change->id) && buffer_append_varint(into, change->incarnation);
    if (kind == CHANGE_HOST_JOIN) ok = ok && buffer_append_string(into, change->name);
    if (kind == CHANGE_HOST_NEEDS)
        ok = ok && buffer_append_varint(into, change->needed_lsn) && buffer_append_varint(into, change->needed_time_us);
    return ok;
}

bool host_change_decode(enum change_kind kind, struct slice payload, struct host_change *change) {
    struct reader from = reader_of(payload);
    *change = (struct host_change){.id = reader_u64(&from)};
    change->incarnation = reader_varint(&from);
    if (kind == CHANGE_HOST_JOIN) change->name = reader_string(&from);
    if (kind == CHANGE_HOST_NEEDS) {
        change->needed_lsn = reader_varint(&from);
        change->needed_time_us = reader_varint(&from);
    }
    bool named = kind != CHANGE_HOST_JOIN || (change->name.size && change->name.size <= HOST_NAME_BYTES_MAX &&
                                              !memchr(change->name.data, 0, change->name.size));
    return !from.failed && reader_left(&from) == 0 && change->id && change->incarnation && named;
}

/* ---- look-ups ---- */

static struct shard_host *find(const struct shard *shard, uint64_t id) {
    for (uint64_t i = 0; i < shard->host_count; i++)
        if (shard->hosts[i].id == id) return &shard->hosts[i];
    return NULL;
}

static bool is_in(const struct shard_host *host) { return host->joined && !host->expelled; }

const struct shard_host *shard_find_host(const struct shard *shard, uint64_t id) {
    const struct shard_host *host = find(shard, id);
    return host && host->joined ? host : NULL;
}

bool shard_host_is_in(const struct shard *shard, uint64_t id, uint64_t incarnation) {
    const struct shard_host *host = find(shard, id);
    return host && is_in(host) && host->incarnation == incarnation;
}

uint64_t shard_needed_lsn(const struct shard *shard, uint64_t but) {
    uint64_t needed = UINT64_MAX;
    for (uint64_t i = 0; i < shard->host_count; i++) {
        const struct shard_host *host = &shard->hosts[i];
        if (is_in(host) && host->id != but && host->needed_lsn < needed) needed = host->needed_lsn;
    }
    return needed;
}

uint64_t shard_needed_time_us(const struct shard *shard, uint64_t but) {
    uint64_t needed = UINT64_MAX;
    for (uint64_t i = 0; i < shard->host_count; i++) {
        const struct shard_host *host = &shard->hosts[i];
        if (is_in(host) && host->id != but && host->needed_time_us < needed) needed = host->needed_time_us;
    }
    return needed;
}

uint64_t shard_hosts_in(const struct shard *shard) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < shard->host_count; i++) count += is_in(&shard->hosts[i]);
    return count;
}

uint64_t shard_lead_host(const struct shard *shard) {
    for (uint64_t i = 0; i < shard->host_count; i++) /* by id */
        if (is_in(&shard->hosts[i])) return shard->hosts[i].id;
    return 0;
}

/* ---- decisions ---- */

static void abort_jobs(struct shard *shard, uint64_t host) {
    for (uint64_t i = 0; i < shard->job_count; i++) {
        if (shard->jobs[i].host != host) continue;
        shard->jobs[i].aborted = true;
        value_objects_abandon(&shard->values, shard->jobs[i].id);
    }
}

/* The host of this id, made in its place if it is new; null when memory is out. */
static struct shard_host *make(struct shard *shard, uint64_t id) {
    struct shard_host *there = find(shard, id);
    if (there) return there;
    if (!ARRAY_PUSH(shard->hosts, shard->host_count, ((struct shard_host){.id = id}))) return NULL;
    uint64_t at = shard->host_count - 1;
    struct shard_host made = shard->hosts[at];
    for (; at > 0 && shard->hosts[at - 1].id > id; at--) shard->hosts[at] = shard->hosts[at - 1];
    shard->hosts[at] = made;
    return &shard->hosts[at];
}

static enum plinth_status join(struct shard *shard, uint64_t lsn, const struct host_change *change,
                               struct decision *decision, struct plinth_error *error) {
    const struct shard_host *there = find(shard, change->id);
    if (there && change->incarnation <= there->incarnation) {
        decision->verdict = VERDICT_VOID;
        return PLINTH_OK;
    }
    struct shard_host *host = make(shard, change->id);
    if (!host) return error_no_memory(error, "hosts");
    /* It reads nothing before it has applied this record. */
    *host = (struct shard_host){.id = change->id,
                                .incarnation = change->incarnation,
                                .needed_lsn = lsn,
                                .needed_time_us = shard->time_us,
                                .joined = true};
    memcpy(host->name, change->name.data, change->name.size);
    abort_jobs(shard, change->id);
    return PLINTH_OK;
}

enum plinth_status shard_decide_hosts(struct shard *shard, uint64_t lsn, enum change_kind kind, struct slice payload,
                                      struct decision *decision, struct plinth_error *error) {
    struct host_change change;
    if (shard->feature_level < FEATURE_LEVEL_HOSTS || !host_change_decode(kind, payload, &change)) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (kind == CHANGE_HOST_JOIN) return join(shard, lsn, &change, decision, error);
    struct shard_host *host = find(shard, change.id);
    if (!shard_host_is_in(shard, change.id, change.incarnation)) {
        decision->verdict = VERDICT_VOID;
    } else if (kind == CHANGE_HOST_EXPEL) {
        host->expelled = true;
        host->expelled_us = shard->time_us;
        abort_jobs(shard, change.id);
    } else if (change.needed_lsn < host->needed_lsn || change.needed_lsn > lsn ||
               change.needed_time_us < host->needed_time_us) {
        decision->verdict = VERDICT_VOID; /* what was given up does not come back */
    } else {
        host->needed_lsn = change.needed_lsn;
        host->needed_time_us = change.needed_time_us;
    }
    return PLINTH_OK;
}

/* ---- checkpoints ---- */

bool shard_has_hosts(const struct shard *shard) {
    for (uint64_t i = 0; i < shard->host_count; i++)
        if (shard->hosts[i].joined) return true;
    return false;
}

/* verdict sum (u64) | host count | hosts: id (u64), name string, time needed, time it was expelled */
bool shard_hosts_encode(struct buffer *into, const struct shard *shard) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < shard->host_count; i++) count += shard->hosts[i].joined;
    bool ok = buffer_append_u64(into, shard->verdict_sum) && buffer_append_varint(into, count);
    for (uint64_t i = 0; ok && i < shard->host_count; i++) {
        const struct shard_host *host = &shard->hosts[i];
        if (!host->joined) continue;
        ok = buffer_append_u64(into, host->id) && buffer_append_string(into, slice_of_string(host->name)) &&
             buffer_append_varint(into, host->needed_time_us) && buffer_append_varint(into, host->expelled_us);
    }
    return ok;
}

bool shard_hosts_decode(struct slice section, struct shard *shard) {
    struct reader from = reader_of(section);
    shard->verdict_sum = reader_u64(&from);
    for (uint64_t left = reader_varint(&from); left && !from.failed; left--) {
        struct shard_host *host = find(shard, reader_u64(&from));
        struct slice name = reader_string(&from);
        uint64_t needed_time_us = reader_varint(&from), expelled_us = reader_varint(&from);
        if (from.failed || !host || host->joined || !name.size || name.size > HOST_NAME_BYTES_MAX) return false;
        host->joined = true;
        host->needed_time_us = needed_time_us;
        host->expelled_us = expelled_us;
        memcpy(host->name, name.data, name.size);
    }
    return !from.failed && reader_left(&from) == 0;
}
