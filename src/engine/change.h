/* Changes: what the payloads of log records say, by record kind.
 *
 * The log (log/record.h) gives every record its header: kind, producer id, sequence, chunk, durability, time, schema
 * version. This file gives the payloads a meaning. Kinds and fields are only ever added; what a reader may meet is
 * raised by a CHANGE_FEATURE_LEVEL record. All integers are varints unless said; strings are varint length + bytes.
 *
 *   WRITE           count, then operations (below)
 *   CONDITIONAL     snapshot LSN; key count, stored keys read; range count, (lower, upper) stored bounds read; then as
 *                   WRITE
 *   CATALOG         catalog_change (catalog/catalog.h)
 *   CUT             LSN of the cut before it (0: none)
 *   JOB_BEGIN       job kind, host id (u64); its own LSN is the job's id
 *   FLUSH_COMMIT    job, cut LSN, segment count, segment infos
 *   COMPACT_COMMIT  job, table, run count, run ids (newest first); output level; segment count, segment infos; when
 *                   the runs are of a partition of a typed table: 1, partition (zigzag), from feature level 2 on.
 *                   Without runs: a further run of a sorted index that is being built
 *   JOB_ABORT       job
 *   FILES_GONE      count, object names; count, job ids whose prefixes were collected
 *   HOST            host id (u64), incarnation, LSN it still needs, 1 when it is expelled
 *   TICK            nothing: carries time
 *   FEATURE_LEVEL   level
 *   WINDOW          conflict window bounds: keys, bytes; from feature level 5 on may follow: runs and bytes of the
 *                   window of rows (rows_window.h)
 *   MERGE_COMMIT    merge_change.h
 *   INDEX_STEP      index_builds.h
 *   HOST_JOIN, HOST_NEEDS, HOST_EXPEL  shard_hosts.h
 *   ROWS            table: tenant, database, table | operation u8 (1 upsert, 2 delete) | flags u8: 1 part of a unit,
 *                   2 its last one, 4 a chunk of a batch of several | part of a unit: unit id u64, rows of the parts
 *                   before it | chunk: u32 cut (producers.h) | row count | column count | columns: id, type
 * (column/type.h), values (column_encode, column/batch.h) Rows are in the order of their key and no key is there twice,
 * over all parts of a unit; without a key they are in the order of their arrival. From feature level 2 on.
 *
 *   KEEP            1 keep, 2 drop, 3 keep with the log behind it, 4 move | snapshot's name | but for 2: the LSN that
 * it is of. From feature level 3 on HISTORY         microseconds that every state stays readable for; 0: none. From
 * feature level 3 on
 *
 *   JOBS            the kinds of jobs that are paused, a bit for each (1 << enum plinth_job_kind), from level 5 on
 *
 *   TRANSACTION     transaction_change.h; so is TRANSACTION_PART. From feature level 5 on
 *   VALUES_DROPPED, VALUES_GONE  value_objects.h
 *   RANGES_GONE     table: tenant, database, table | count, LSNs of range deletes that hide nothing any more (the
 * first, then differences). From feature level 5 on
 *
 *   operation       kind u8 | table: tenant, database, table (absent with OPERATION_SAME_TABLE) | key string (without
 *                   table prefix) | SET: value string, index list string (table/row.h)
 *                   DELETE_RANGE: upper bound string (the key is the lower one; empty: to the end). From feature level
 * 5 on, and behind everything of its record that it deletes (which is left out)
 *                   SET_REFERENCE: index list string, which says where the value is (table/row.h). From feature level 5
 * on
 *
 * A unit is a write of several ROWS records (chunks i of n in their headers, all there is of it) that is applied as one
 * by its last part: all rows have the last part's LSN, and before it nothing is visible. */
#ifndef PLINTH_ENGINE_CHANGE_H
#define PLINTH_ENGINE_CHANGE_H

#include "catalog/catalog.h"
#include "table/segment.h"

enum change_kind {
    CHANGE_WRITE = 1,
    CHANGE_CONDITIONAL = 2,
    CHANGE_CATALOG = 3,
    CHANGE_CUT = 4,
    CHANGE_JOB_BEGIN = 5,
    CHANGE_FLUSH_COMMIT = 6,
    CHANGE_COMPACT_COMMIT = 7,
    CHANGE_JOB_ABORT = 8,
    CHANGE_FILES_GONE = 9,
    CHANGE_HOST = 10,
    CHANGE_TICK = 11,
    CHANGE_FEATURE_LEVEL = 12,
    CHANGE_WINDOW = 13,
    CHANGE_ROWS = 14,
    CHANGE_KEEP = 15,
    CHANGE_HISTORY = 16,
    CHANGE_MERGE_COMMIT = 17,
    CHANGE_TRANSACTION = 18,
    CHANGE_TRANSACTION_PART = 19,
    CHANGE_JOBS = 20,
    CHANGE_RANGES_GONE = 22,
    CHANGE_INDEX_STEP = 24,
    CHANGE_HOST_JOIN = 27,
    CHANGE_HOST_NEEDS = 28,
    CHANGE_HOST_EXPEL = 29,
    CHANGE_VALUES_DROPPED = 25,
    CHANGE_VALUES_GONE = 26,
};

/* Of a host's name. */
enum { HOST_NAME_BYTES_MAX = 63 };

const char *change_kind_name(enum change_kind kind);

/* The highest feature level that this code applies. Level 2: typed tables, their rows, and chunks of a sequence.
 * Level 3: named snapshots and history. Level 4: merges of parts of runs. Level 5: what is named FEATURE_LEVEL_* = 5
 * below. */
enum {
    FEATURE_LEVEL_HISTORY = 3,
    FEATURE_LEVEL_MERGES = 4,
    FEATURE_LEVEL_TRANSACTIONS = 5,
    FEATURE_LEVEL_JOBS = 5,
    FEATURE_LEVEL_INDEX_BUILDS = 5,
    FEATURE_LEVEL_RANGES = 5,
    FEATURE_LEVEL_EXPIRY = 5,
    FEATURE_LEVEL_HOSTS = 5,
    FEATURE_LEVEL_VALUES = 5,
    FEATURE_LEVEL = 5
};

/* The kinds that JOBS may name, as its bits: compaction, retention, checkpoint, trim, garbage. */
enum { JOBS_PAUSABLE = 0x7c };

enum operation_kind {
    OPERATION_SET = 1,
    OPERATION_DELETE = 2,
    OPERATION_SET_REFERENCE = 3, /* the value lies in the store */
    OPERATION_DELETE_RANGE = 4,
    OPERATION_SAME_TABLE = 0x80, /* flag: the table of the operation before */
};

/* One operation, its bytes borrowed. */
struct operation {
    enum operation_kind kind;
    struct table_id table;
    struct slice key;
    struct slice upper; /* OPERATION_DELETE_RANGE */
    struct slice
        value; /* of OPERATION_SET_REFERENCE what is to be put into the store, and empty once it is read again */
    struct slice indexes;
};

/* Reads operations one by one from a WRITE payload, or a CONDITIONAL one behind its read set. */
struct operation_reader {
    struct reader from;
    uint64_t left;
    struct table_id table;
};

PLINTH_MUST_CHECK bool operation_append(struct buffer *into, const struct operation *operation,
                                        const struct table_id *table_before);
struct operation_reader operation_reader_of(struct slice operations);
/* False at the end, and when malformed: then reader->from.failed is set. */
bool operation_next(struct operation_reader *reader, struct operation *operation);

/* The head of a CONDITIONAL payload; `operations` is what follows it. */
struct condition {
    uint64_t snapshot_lsn;
    uint64_t key_count;
    struct slice keys; /* key_count strings */
    uint64_t range_count;
    struct slice ranges; /* 2 * range_count strings */
    struct slice operations;
};
bool condition_decode(struct slice payload, struct condition *condition);

enum rows_operation { ROWS_UPSERT = 1, ROWS_DELETE = 2 /* the batch has the key's columns only */ };

/* The head of a ROWS payload; `columns` is what follows it (rows_record.h). */
struct rows_change {
    struct table_id table;
    uint8_t operation;      /* enum rows_operation */
    bool in_unit, last;     /* `last` only in a unit */
    bool chunked;           /* not in a unit */
    uint32_t cut;           /* of a chunked one */
    uint64_t unit;          /* its id */
    uint64_t first_ordinal; /* rows of the unit's parts before this one */
    uint32_t rows;          /* 1 or more */
    uint32_t column_count;  /* likewise */
    struct slice columns;
};
PLINTH_MUST_CHECK bool rows_change_encode(struct buffer *into, const struct rows_change *change); /* but `columns` */
/* Bytes that rows_change_encode takes at most. */
enum { ROWS_CHANGE_BYTES_MAX = 96 };
bool rows_change_decode(struct slice payload, struct rows_change *change);

/* A KEEP payload. */
enum keep_operation { KEEP_STATE = 1, KEEP_DROP = 2, KEEP_WITH_LOG = 3, KEEP_MOVE = 4 };
struct keep_change {
    enum keep_operation operation;
    struct slice name;
    uint64_t lsn; /* not of KEEP_DROP */
};
PLINTH_MUST_CHECK bool keep_change_encode(struct buffer *into, const struct keep_change *change);
bool keep_change_decode(struct slice payload, struct keep_change *change);

/* A RANGES_GONE payload. */
struct ranges_gone {
    struct table_id table;
    uint64_t *lsns; /* ascending; free() */
    uint64_t count;
};
PLINTH_MUST_CHECK bool ranges_gone_encode(struct buffer *into, struct table_id table, const uint64_t *lsns,
                                          uint64_t count);
/* PLINTH_CORRUPT on malformed bytes. */
PLINTH_MUST_CHECK enum plinth_status ranges_gone_decode(struct slice payload, struct ranges_gone *gone,
                                                        struct plinth_error *error);

enum job_kind { JOB_FLUSH = 1, JOB_COMPACT = 2, JOB_VALUES = 3 };

/* A decoded FLUSH_COMMIT or COMPACT_COMMIT; owns what it points to (commit_deinit). */
struct commit {
    uint64_t job;
    uint64_t cut;          /* flush */
    struct table_id table; /* compaction */
    uint64_t *inputs;      /* compaction: run ids, newest first */
    uint64_t input_count;
    bool has_partition; /* compaction: inputs and output are of one partition, and this one */
    int64_t partition;
    uint64_t level;
    struct segment_info *segments;
    uint64_t segment_count;
};
void commit_deinit(struct commit *commit);
/* Whether two segments of a flush, one behind the other, are of the same run: of one table and partition. */
bool segments_make_run(const struct segment_info *a, const struct segment_info *b);
PLINTH_MUST_CHECK bool commit_encode(struct buffer *into, enum change_kind kind, const struct commit *commit);
/* PLINTH_CORRUPT on malformed bytes. */
PLINTH_MUST_CHECK enum plinth_status commit_decode(enum change_kind kind, struct slice payload, struct commit *commit,
                                                   struct plinth_error *error);

#endif
