/* Rows into typed tables: check, reject, sort, encode, sequence, insert. A batch stays columnar the whole way.
 *
 *   batch (columns by name) ─ match to the schema: cast, new columns by DDL where the table allows it
 *   ─ rejects, row by row ─ encode keys, sort, collapse equal keys to the last ─ chunks of at most one log record
 *   ─ each chunk: log record CHANGE_ROWS, LSN, row block into the memtable
 *
 * Each chunk is acknowledged alone and may be all that survives a crash, unless `atomic`: then the chunks are one
 * multi-record unit (records with one unit id; the last one decides, all rows take its LSN and ordinals run on; readers
 * see nothing before), at most ROWS_UNIT_BYTES_MAX. Exactly-once: all chunks carry the producer's id and sequence and
 * their chunk number; a batch that is sent again is not applied again, chunk by chunk, and answers the first
 * position. */
#ifndef PLINTH_ENGINE_ROWS_H
#define PLINTH_ENGINE_ROWS_H

#include "column/arrow_ipc.h"
#include "engine/engine.h"
#include "table/table_schema.h"

enum {
    ROWS_BATCH_BYTES_MAX = 64 << 20, /* of one write, in Arrow's layout */
    ROWS_UNIT_BYTES_MAX = 64 << 20,
    ROWS_REJECTS_MAX = 1000,            /* whose reasons are told; all are counted */
    ROWS_AT_ONCE_BYTES_MAX = 256 << 10, /* of rows that a thread which must not wait copies */
};

struct rows_reject {
    uint32_t row; /* in the batch */
    enum plinth_status status;
    char reason[200]; /* names the column; UTF-8 */
};

/* Rows that the caller knows not to be writable: they are rejected as others are, whatever the batch has for them. */
struct rows_unfit {
    const uint8_t *rows;               /* bitmap; null: none */
    const struct rows_reject *reasons; /* of the first ROWS_REJECTS_MAX of them, in order */
    uint32_t reason_count;
};

struct rows_write {
    enum rows_operation operation;
    const struct arrow_schema *schema; /* names and types of the batch's columns */
    const struct batch *batch;         /* borrowed for the call */
    bool atomic;                       /* all rows or none: one reject fails the write; visible at once */
    bool no_reject;                    /* one reject fails the write before anything is logged (but not `atomic`) */
    struct rows_unfit unfit;
    bool if_absent; /* upsert: rows whose key has one already are rejected; all as one */
};

struct rows_result {
    struct plinth_position position; /* of the last chunk; all are visible when it is */
    uint64_t last_lsn;
    uint64_t rows_written; /* accepted; rows that a later one of the same batch replaced count, too */
    uint64_t rows_rejected;
    struct rows_reject *rejects; /* the first ROWS_REJECTS_MAX */
    uint32_t reject_count;
    bool duplicate; /* seen before: nothing was applied now */
};
void rows_result_deinit(struct rows_result *result);

/* Writes and returns without waiting for durability (plinth_acknowledged tells; wait with rows_wait). Errors fail the
 * whole write with nothing done: PLINTH_NOT_FOUND no such table (dropped), PLINTH_INVALID_ARGUMENT unknown or missing
 * columns, types that never go together, a table without key for ROWS_DELETE; PLINTH_TOO_LARGE; PLINTH_WOULD_BLOCK with
 * options->no_wait; PLINTH_OUTCOME_UNKNOWN when a part of the chunks was written: the same producer and sequence again
 * write the rest; a schema that changed meanwhile is read again. PLINTH_CONFLICT only as rows_write_checked gives it.
 */
PLINTH_MUST_CHECK enum plinth_status rows_submit(struct plinth *db, struct table_id table,
                                                 const struct rows_write *write,
                                                 const struct plinth_write_options *options, struct rows_result *result,
                                                 struct plinth_error *error);
/* rows_submit of a write with `if_absent`, or of upserts to a table with a unique index (rows_checked.c): waits until
 * it is as durable as asked for. PLINTH_CONFLICT when it lost against others again and again. */
PLINTH_MUST_CHECK enum plinth_status rows_write_checked(struct plinth *db, struct table_id table,
                                                        const struct rows_write *write,
                                                        const struct plinth_write_options *options,
                                                        struct rows_result *result, struct plinth_error *error);
/* Waits until the result's rows are durable as asked and visible. */
PLINTH_MUST_CHECK enum plinth_status rows_wait(struct plinth *db, const struct plinth_write_options *options,
                                               const struct rows_result *result, struct plinth_error *error);

/* ---- the schema of a table, for everybody above ---- */

/* By name in a database, or by id; referenced. PLINTH_NOT_FOUND names it. Key spaces have one, too. */
PLINTH_MUST_CHECK enum plinth_status engine_find_schema(struct plinth *db, const char *database, const char *name,
                                                        const struct table_schema **schema, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status
engine_schema_by_id(struct plinth *db, uint32_t table, const struct table_schema **schema, struct plinth_error *error);

/* As the state at `lsn` has it (catalog_schema_at). A reader takes its LSN and its view, and then this: names that it
 * was given are those of that state. PLINTH_NOT_FOUND when the table was dropped. */
PLINTH_MUST_CHECK enum plinth_status engine_schema_at(struct plinth *db, struct table_id id, uint64_t lsn,
                                                      const struct table_schema **schema, struct plinth_error *error);
/* engine_find_schema (so by the table's present name), then engine_schema_at the state that `read` (may be null) names.
 * PLINTH_WOULD_BLOCK where `read` must not wait. */
PLINTH_MUST_CHECK enum plinth_status engine_find_schema_read(struct plinth *db, const char *database, const char *name,
                                                             const struct plinth_read_options *read,
                                                             const struct table_schema **schema,
                                                             struct plinth_error *error);
/* What segments of a typed table are to hold when the horizon is this (catalog_schema_stored). Null when there is no
 * such table, or, with *exists, when memory is out. */
const struct table_schema *engine_schema_stored(struct plinth *db, struct table_id id, uint64_t horizon_lsn,
                                                bool *exists);

/* Whether a table, or the table of an index, is in the catalog still. A reader takes schema, then view, then asks: so
 * what was dropped in between, and left the view, is not taken for empty. */
bool engine_table_exists(struct plinth *db, struct table_id table);

/* ---- reading rows at a view (rows_read.c) ---- */

/* Where the visible version of a row lies. */
struct row_place {
    struct row_block *block; /* in memory (referenced); or */
    struct segment *segment; /* (referenced) */
    uint32_t stripe;
    uint32_t row; /* in the block or stripe */
    uint64_t lsn;
    enum row_operation operation;
};
void row_place_release(struct row_place *place);

/* The newest version not above `lsn` of each of `count` encoded keys, in ascending order of keys; found[i].lsn is 0
 * where there is none. Deletes are found as such. */
PLINTH_MUST_CHECK enum plinth_status view_find_rows(struct view *view, const struct table_schema *schema,
                                                    const struct slice *keys, uint32_t count, uint64_t lsn,
                                                    struct row_place *found, struct plinth_error *error);
/* The same; PLINTH_WOULD_BLOCK (error not filled) instead of reading the disk. */
PLINTH_MUST_CHECK enum plinth_status view_find_rows_in_memory(struct view *view, const struct table_schema *schema,
                                                              const struct slice *keys, uint32_t count, uint64_t lsn,
                                                              struct row_place *found, struct plinth_error *error);
/* Either of them for keys that entries of an index name, so that most are there. */
PLINTH_MUST_CHECK enum plinth_status view_find_entries(struct view *view, const struct table_schema *schema,
                                                       const struct slice *keys, uint32_t count, uint64_t lsn,
                                                       bool in_memory, struct row_place *found,
                                                       struct plinth_error *error);
/* Columns of rows found, as a batch in the order of `places`. */
PLINTH_MUST_CHECK enum plinth_status row_places_read(const struct row_place *places, uint32_t count,
                                                     const struct table_schema *schema, const uint32_t *column_ids,
                                                     uint32_t column_count, struct batch **batch,
                                                     struct plinth_error *error);
/* The same; PLINTH_WOULD_BLOCK (error not filled) instead of reading the disk, or when the rows are large: more than
 * ROWS_AT_ONCE_BYTES_MAX together, about. */
PLINTH_MUST_CHECK enum plinth_status row_places_read_in_memory(const struct row_place *places, uint32_t count,
                                                               const struct table_schema *schema,
                                                               const uint32_t *column_ids, uint32_t column_count,
                                                               struct batch **batch, struct plinth_error *error);
/* Rows found that have expired at `time_us` (0: nothing has) become deletes; the schema is that of the state that is
 * read. `in_memory`: PLINTH_WOULD_BLOCK as row_places_read_in_memory. */
PLINTH_MUST_CHECK enum plinth_status row_places_expire(struct row_place *places, uint32_t count,
                                                       const struct table_schema *schema, uint64_t time_us,
                                                       bool in_memory, struct plinth_error *error);
/* Entries of an INDEX_SORTED index in order: memtables and segments merged, not validated (an entry counts when
 * view_find_rows of its primary key gives no LSN above its own). */
PLINTH_MUST_CHECK enum plinth_status view_index_iterator(struct view *view, const struct table_schema *schema,
                                                         const struct table_index *index, struct iterator **it,
                                                         struct plinth_error *error);
/* The same; PLINTH_WOULD_BLOCK (error not filled) instead of reading the disk. For seeks to newest versions
 * (UINT64_MAX) and steps forward. */
PLINTH_MUST_CHECK enum plinth_status view_index_iterator_in_memory(struct view *view, const struct table_schema *schema,
                                                                   const struct table_index *index,
                                                                   struct iterator **it, struct plinth_error *error);
/* All sources of a table in a view, newest first: blocks of memtables, then runs. The arrays are the caller's to free;
 * blocks are referenced, runs borrowed from the view. */
struct row_sources {
    struct row_block **blocks;
    size_t block_count;
    const struct view_run *runs;
    size_t run_count;
};
PLINTH_MUST_CHECK enum plinth_status view_row_sources(struct view *view, struct table_id table,
                                                      struct row_sources *sources, struct plinth_error *error);
void row_sources_deinit(struct row_sources *sources);

#endif
