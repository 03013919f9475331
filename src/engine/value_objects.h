/* Objects in the store that hold large values, as the shard's state knows them.
 *
 * A write puts its large values into an object (of one table each) under a job of kind JOB_VALUES, and makes it durable
 * before its record, which has references in place of them (table/row.h). Deciding the record makes the object live,
 * with a count of references: the versions of rows that refer to it. A record whose job is gone or aborted is void.
 *
 * Versions only go where flushes and merges leave them out, and with their table. What a flush or merge leaves out is
 * said by VALUES_DROPPED records ahead of its commit, and counts once the commit is applied; if its job is aborted it
 * never does. An object without references is dead from that LSN on: it is deleted when no view and no change feed
 * looks at it any more, and forgotten by a VALUES_GONE record. Objects of a job that are neither live nor dead are
 * uploads whose record never came: they go when the job has been aborted.
 *
 *   VALUES_DROPPED  job of the flush or merge | count, (object, references) of each
 *   VALUES_GONE     count, objects
 *   object          job: difference to the one before | number: difference to the one before, of the same job
 *
 * In the order of (job, number), each once. Both from FEATURE_LEVEL_VALUES on. */
#ifndef PLINTH_ENGINE_VALUE_OBJECTS_H
#define PLINTH_ENGINE_VALUE_OBJECTS_H

#include "column/key_encoding.h"
#include "table/row.h"

struct value_object {
    uint64_t job;
    uint32_t number;
    uint32_t references;
    struct table_id table;
    uint64_t lsn; /* of the record that refers to it */
    uint64_t bytes;
};

struct dead_value {
    uint64_t job;
    uint32_t number;
    uint64_t bytes;
    uint64_t lsn;
    uint64_t since_lsn;
    /* The host's, no part of the state: the first view that does not refer to it (UINT64_MAX: not known yet), and
     * whether it is being deleted. */
    uint64_t view_sequence;
    bool is_taken;
};

/* References of one object. */
struct value_count {
    uint64_t job;
    uint32_t number;
    int64_t count;
};

/* What a flush or merge will have dropped. */
struct value_drop {
    uint64_t job; /* of the flush or merge */
    struct value_count *counts;
    uint64_t count;
};

struct value_objects {
    struct value_object *all; /* by (job, number) */
    uint64_t count;
    struct dead_value *dead; /* by since_lsn */
    uint64_t dead_count;
    struct value_drop *drops;
    uint64_t drop_count;
};

void value_objects_deinit(struct value_objects *objects);
/* Null when it is not live. */
const struct value_object *value_objects_find(const struct value_objects *objects, uint64_t job, uint32_t number);
bool value_objects_is_dead(const struct value_objects *objects, uint64_t job, uint32_t number);

/* The following return false when memory is out. */

/* One more reference, by the record at `lsn`. */
PLINTH_MUST_CHECK bool value_objects_refer(struct value_objects *objects, uint64_t lsn, struct table_id table,
                                           const struct row_reference *reference);
/* Takes over `counts`, which `job` will have dropped; also on failure. */
PLINTH_MUST_CHECK bool value_objects_drop(struct value_objects *objects, uint64_t job, struct value_count *counts,
                                          uint64_t count);
/* The job's commit was applied at `lsn`. */
PLINTH_MUST_CHECK bool value_objects_commit(struct value_objects *objects, uint64_t job, uint64_t lsn);
/* The job was aborted. */
void value_objects_abandon(struct value_objects *objects, uint64_t job);
/* Everything of tables of which `is_gone` says true is dead. */
PLINTH_MUST_CHECK bool value_objects_drop_tables(struct value_objects *objects, uint64_t lsn,
                                                 bool (*is_gone)(const void *context, struct table_id table),
                                                 const void *context);
/* Dead ones, in order, that have been deleted. */
void value_objects_gone(struct value_objects *objects, const struct value_count *gone, uint64_t count);

/* ---- bytes ---- */

bool value_objects_is_empty(const struct value_objects *objects);
PLINTH_MUST_CHECK bool value_objects_encode(struct buffer *into, const struct value_objects *objects);
/* False on malformed bytes or when memory is out. */
bool value_objects_decode(struct reader *from, struct value_objects *objects);

/* Payloads. `job` is 0 for VALUES_GONE. Decoding gives PLINTH_CORRUPT on malformed bytes, and counts to free(). */
PLINTH_MUST_CHECK bool values_dropped_encode(struct buffer *into, uint64_t job, const struct value_count *counts,
                                             uint64_t count);
PLINTH_MUST_CHECK enum plinth_status values_dropped_decode(struct slice payload, uint64_t *job,
                                                           struct value_count **counts, uint64_t *count,
                                                           struct plinth_error *error);
PLINTH_MUST_CHECK bool values_gone_encode(struct buffer *into, const struct value_count *gone, uint64_t count);
PLINTH_MUST_CHECK enum plinth_status values_gone_decode(struct slice payload, struct value_count **gone,
                                                        uint64_t *count, struct plinth_error *error);

/* The order of objects. */
int value_count_compare(const void *a, const void *b);

#endif
