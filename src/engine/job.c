/* What flushes and merges have in common: a job is begun in the log before its first file is written, and its files
 * belong to it until a commit names them. */
#include <stdio.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/value_store.h"

enum plinth_status engine_begin_job(struct plinth *db, enum job_kind kind, uint64_t *job, struct plinth_error *error) {
    uint8_t payload[VARINT_BYTES_MAX + 8];
    size_t size = varint_encode(payload, kind);
    store_u64(payload + size, ENGINE_HOST_ID);
    struct decision decision;
    enum plinth_status st = engine_append(db, CHANGE_JOB_BEGIN, slice_of(payload, size + 8), job, &decision, error);
    if (!st) st = log_wait(db->log, *job, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    return st;
}

void engine_segment_name(struct plinth *db, uint64_t job, struct table_id table,
                         char name[sizeof(((struct segment_info *)0)->name)]) {
    snprintf(name, sizeof(((struct segment_info *)0)->name), "segments/%016llx/%u-%016llx.parquet",
             (unsigned long long)job, table.table, (unsigned long long)env_random_u64(db->env));
}

struct prefix_files {
    char (*names)[sizeof(((struct segment_info *)0)->name)];
    uint64_t count;
    bool out_of_memory;
};

static bool note_file(void *context, const char *name, uint64_t size) {
    (void)size;
    struct prefix_files *files = context;
    struct {
        char name[sizeof *files->names];
    } copy = {{0}};
    snprintf(copy.name, sizeof copy.name, "%s", name);
    void *grown = array_grow(files->names, files->count, sizeof *files->names);
    if (!grown) {
        files->out_of_memory = true;
        return false;
    }
    files->names = grown;
    memcpy(files->names[files->count++], copy.name, sizeof copy.name);
    return true;
}

/* Removes every object under the job's prefix. */
static enum plinth_status collect_prefix(struct plinth *db, uint64_t job, struct plinth_error *error) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "segments/%016llx/", (unsigned long long)job);
    struct prefix_files files = {0};
    enum plinth_status st = store_list(db->store, prefix, note_file, &files, error);
    if (!st && files.out_of_memory) st = error_no_memory(error, "list of files");
    for (uint64_t i = 0; !st && i < files.count; i++) {
        st = store_remove(db->store, files.names[i], error);
        if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
    }
    free(files.names);
    return st;
}

static bool is_of_values(struct plinth *db, uint64_t id) {
    pthread_mutex_lock(&db->sequence_mutex);
    const struct shard_job *job = shard_find_job(&db->shard, id);
    bool is = job && job->kind == JOB_VALUES;
    pthread_mutex_unlock(&db->sequence_mutex);
    return is;
}

enum plinth_status engine_end_job(struct plinth *db, uint64_t job, struct plinth_error *error) {
    uint8_t payload[2 * VARINT_BYTES_MAX + 2];
    uint64_t lsn;
    struct decision decision;
    enum plinth_status st =
        engine_append(db, CHANGE_JOB_ABORT, slice_of(payload, varint_encode(payload, job)), &lsn, &decision, error);
    if (!st) st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (!st) st = is_of_values(db, job) ? values_collect_job(db, job, error) : collect_prefix(db, job, error);
    if (st) return st;
    size_t size = varint_encode(payload, 0);
    size += varint_encode(payload + size, 1);
    size += varint_encode(payload + size, job);
    return engine_append(db, CHANGE_FILES_GONE, slice_of(payload, size), &lsn, &decision, error);
}

void engine_abort_job(struct plinth *db, uint64_t job) {
    struct plinth_error error = {0};
    if (engine_end_job(db, job, &error))
        log_event(LOG_WARN, "job_abort_failed", "job=%llu reason=\"%s\"", (unsigned long long)job, error.text);
}
