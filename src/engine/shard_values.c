/* Deciding what records say of large values (value_objects.h). */
#include <stdlib.h>

#include "base/status.h"
#include "engine/shard_private.h"

bool shard_references_are_valid(const struct shard *shard, struct slice operations, const struct write_keys *written) {
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    struct row_reference reference;
    if (written && !written->has_references) return true;
    while (operation_next(&reader, &operation)) {
        if (operation.kind != OPERATION_SET_REFERENCE || !row_reference_decode(operation.indexes, &reference)) continue;
        const struct shard_job *job = shard_find_job(shard, reference.job);
        if (!job || job->kind != JOB_VALUES || job->aborted) return false;
    }
    return true;
}

bool shard_note_references(struct shard *shard, uint64_t lsn, struct slice operations,
                           const struct write_keys *written) {
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    struct row_reference reference;
    bool ok = true;
    if (shard->feature_level < FEATURE_LEVEL_VALUES || (written && !written->has_references)) return true;
    while (ok && operation_next(&reader, &operation))
        if (operation.kind == OPERATION_SET_REFERENCE && row_reference_decode(operation.indexes, &reference) &&
            !shard_is_dropped(shard, operation.table))
            ok = value_objects_refer(&shard->values, lsn, operation.table, &reference);
    return ok;
}

enum plinth_status shard_decide_values_dropped(struct shard *shard, struct slice payload, struct decision *decision,
                                               struct plinth_error *error) {
    struct value_count *counts;
    uint64_t id, count;
    enum plinth_status st = shard->feature_level < FEATURE_LEVEL_VALUES
                                ? PLINTH_CORRUPT
                                : values_dropped_decode(payload, &id, &counts, &count, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    const struct shard_job *job = shard_find_job(shard, id);
    if (!job || job->aborted) {
        decision->verdict = VERDICT_VOID;
        free(counts);
        return PLINTH_OK;
    }
    return value_objects_drop(&shard->values, id, counts, count) ? PLINTH_OK : error_no_memory(error, "values");
}

enum plinth_status shard_decide_values_gone(struct shard *shard, struct slice payload, struct decision *decision,
                                            struct plinth_error *error) {
    struct value_count *gone;
    uint64_t count;
    enum plinth_status st = shard->feature_level < FEATURE_LEVEL_VALUES
                                ? PLINTH_CORRUPT
                                : values_gone_decode(payload, &gone, &count, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    value_objects_gone(&shard->values, gone, count);
    free(gone);
    return PLINTH_OK;
}
