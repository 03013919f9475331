/* The state of a shard: a deterministic function of its log.
 *
 * shard_decide takes the records in LSN order, each exactly once, and changes the state; it needs only CPU and memory,
 * does no I/O and reads no clock. What a record cannot do it does not do (its verdict is void), the same everywhere.
 * Rows are not here: the engine inserts them into memtables after the decision. Nor are open files: the state names
 * segments, and the engine opens them.
 *
 * A checkpoint is this state at an LSN (shard_encode). Records at or below it are replayed for their rows and for the
 * conflict window only (shard_replay); which of them were void is in the checkpoint.
 *
 * Not locked: the engine's sequencing lock guards it (engine/README.md, Locks). */
#ifndef PLINTH_ENGINE_SHARD_H
#define PLINTH_ENGINE_SHARD_H

#include "catalog/catalog.h"
#include "engine/change.h"
#include "engine/conflict.h"
#include "engine/history.h"
#include "engine/index_builds.h"
#include "engine/producers.h"
#include "engine/ranges.h"
#include "engine/rows_window.h"
#include "engine/transaction_change.h"
#include "engine/units.h"
#include "engine/value_objects.h"
#include "log/record.h"

/* Times further ahead than this count only from records that hosts have checked against their monotonic clock. */
#define TIME_JUMP_US_MAX (10ull * 1000 * 1000)

/* A sorted run of one table, as the manifest names it; of a partitioned table, of one partition. */
struct shard_run {
    /* LSN of the commit that made it: one commit makes at most one run of a table and partition. Merges change its
     * segments (merge_change.h). */
    uint64_t id;
    bool has_partition;
    int64_t partition;
    uint64_t level;
    struct segment_info *segments;
    uint64_t segment_count;
};

struct shard_table {
    struct table_id id;
    struct shard_run *runs; /* by partition (table/partition.h), newest first */
    uint64_t run_count;
};

struct shard_job {
    uint64_t id; /* LSN of its JOB_BEGIN */
    enum job_kind kind;
    uint64_t host;
    bool aborted; /* its prefix is collected until FILES_GONE names it */
};

struct shard_host {
    uint64_t id;
    uint64_t incarnation;
    uint64_t needed_lsn;
    bool expelled;
    /* Of hosts that share the log (shard_hosts.h). */
    bool joined;
    uint64_t needed_time_us;
    uint64_t expelled_us; /* shard time */
    char name[HOST_NAME_BYTES_MAX + 1];
};

/* A file that the log has declared garbage. */
struct shard_garbage {
    char name[sizeof(((struct segment_info *)0)->name)];
    uint64_t since_lsn;
};

/* Why a record did nothing. */
enum verdict {
    VERDICT_APPLIED = 0,
    VERDICT_DUPLICATE = 1, /* of its producer; `first_lsn` says where it was applied */
    VERDICT_TOO_OLD = 2,   /* the sequence or snapshot is no longer remembered */
    VERDICT_CONFLICT = 3,  /* what it read had changed */
    VERDICT_VOID = 4,    /* it names something that is not (any more): a cut, job, run, catalog version, table, unit */
    VERDICT_REFUSED = 5, /* malformed, or above the feature level: an alarm */
};

struct decision {
    enum verdict verdict;
    uint64_t first_lsn; /* VERDICT_DUPLICATE */
};

struct shard {
    uint64_t lsn; /* of the last decided record */
    uint32_t feature_level;
    uint64_t time_us;
    struct catalog catalog;
    struct conflict_window window;
    struct rows_window rows_window;
    struct producers producers;
    struct units units;
    struct history history;
    uint64_t paused_jobs; /* kinds of jobs that shall not begin: bits, 1 << enum plinth_job_kind */
    struct index_builds index_builds;
    struct ranges ranges; /* range deletes that may still hide something */
    struct value_objects values;

    uint64_t last_cut;    /* LSN of the newest cut; 0 for none */
    uint64_t flushed_lsn; /* every row at or below is in segments (or void) */
    uint64_t *cuts;       /* cuts above flushed_lsn, oldest first */
    uint64_t cut_count;
    struct shard_table *tables; /* ordered by id */
    uint64_t table_count;
    struct shard_job *jobs; /* ordered by id */
    uint64_t job_count;
    struct shard_host *hosts; /* ordered by id */
    uint64_t host_count;
    struct shard_garbage *garbage; /* ordered by since_lsn */
    uint64_t garbage_count;
    uint64_t *voids; /* data records that did nothing, ascending; known are those at or above voids_from */
    uint64_t void_count;
    uint64_t voids_from; /* how far back is the host's choice: no part of the state that hosts agree on */
    uint64_t alarms;     /* records refused */
    uint64_t time_alarms;
    uint64_t verdict_sum; /* of hashes of all verdicts but "applied", since hosts have joined */
};

/* What a data record writes, prepared and checked by the writer's thread so that deciding costs little under the
 * sequencing lock. */
struct write_keys {
    const struct slice *keys; /* stored */
    const uint64_t *hashes;   /* hash_stable of each */
    size_t count;
    const struct slice
        *uppers;           /* of range deletes, whose lower bounds are in `keys`; null data: a key. Null: no ranges */
    struct key_run **runs; /* of rows (rows_runs_make); what is registered is taken over */
    const struct transaction_change *transaction; /* of a TRANSACTION record: its body */
    bool has_references;                          /* some value lies in the store */
};

/* What made a transaction lose. */
struct transaction_conflict {
    bool rows; /* `key` is one of rows of `table`, or of an index; else a stored key */
    struct table_id table;
    struct slice key; /* valid until the state changes, or the transaction goes; may be empty for rows */
};

/* The state before the first record. */
PLINTH_MUST_CHECK enum plinth_status shard_init(struct shard *shard, struct plinth_error *error);
void shard_deinit(struct shard *shard);

/* Applies the next record. The status is PLINTH_OK whatever the verdict; PLINTH_OUT_OF_MEMORY leaves a state that must
 * not be used any more. `written` (may be null: the payload is read and checked then) is of data records. */
PLINTH_MUST_CHECK enum plinth_status shard_decide(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                                  struct slice payload, const struct write_keys *written,
                                                  struct decision *decision, struct plinth_error *error);
/* For records at or below the checkpoint that `shard` was decoded from: fills the conflict window again. */
void shard_replay(struct shard *shard, uint64_t lsn, const struct record_header *header, struct slice payload);
/* Whether a data record at or above voids_from did nothing. */
bool shard_is_void(const struct shard *shard, uint64_t lsn);
/* How many known void records there are below `lsn`. */
uint64_t shard_voids_below(const struct shard *shard, uint64_t lsn);
/* The first record whose verdict somebody needs: a replay, or a change feed behind a named snapshot. Checkpoints know
 * the verdicts from here on. */
uint64_t shard_verdicts_lsn(const struct shard *shard);
/* Forgets the verdicts of records below `lsn` that nobody needs. */
void shard_forget_voids(struct shard *shard, uint64_t lsn);

/* What a write of this producer would meet now; see producers.h. */
enum producer_verdict shard_check_producer(const struct shard *shard, const struct record_header *header,
                                           struct producer_part part, uint64_t *first_lsn);
/* What a conditional record would meet now: VERDICT_APPLIED, VERDICT_TOO_OLD, or VERDICT_CONFLICT. `changed` is then
 * the stored key that was written since its snapshot, valid until the state changes or `condition` goes. */
enum verdict shard_check_condition(const struct shard *shard, const struct condition *condition, struct slice *changed);
/* The same for a TRANSACTION; and VERDICT_VOID when a table that it read or writes is gone. */
enum verdict shard_check_transaction(const struct shard *shard, const struct transaction_change *change,
                                     struct transaction_conflict *conflict);
/* Which part of its producer's write a ROWS record is: to its producer a unit is one. */
struct producer_part rows_part_of(const struct record_header *header, const struct rows_change *change);

/* The stored upper bound of a range delete: of one without, the end of its table. False when memory is out. */
PLINTH_MUST_CHECK bool range_stored_upper(struct buffer *into, const struct operation *operation);
/* The schema of a typed table as it is now; null when there is none. */
const struct table_schema *shard_table_schema(const struct shard *shard, struct table_id table);
const struct shard_table *shard_find_table(const struct shard *shard, struct table_id id);
const struct shard_job *shard_find_job(const struct shard *shard, uint64_t id);

/* Where a replay has to start when this state is the checkpoint: min(F, V, the first part of a unit that is not in
 * segments), at least 1. */
uint64_t shard_replay_lsn(const struct shard *shard);

/* The checkpoint's bytes: magic, format, CRC32C, LSN, then the state. */
PLINTH_MUST_CHECK bool shard_encode(struct buffer *into, const struct shard *shard);
/* PLINTH_CORRUPT or PLINTH_UNSUPPORTED name what is wrong; `shard` is then empty. The window is empty at first:
 * replay fills it. */
PLINTH_MUST_CHECK enum plinth_status shard_decode(struct slice bytes, struct shard *shard, struct plinth_error *error);
/* A hash of everything that two replicas at the same LSN must agree on (shard_hash.h); 0 when memory is out. */
uint64_t shard_hash(const struct shard *shard);

#endif
