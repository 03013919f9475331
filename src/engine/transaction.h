/* The inside of a transaction, and of everything else that is judged by what it read.
 *
 * A conditional write of rows is made like this, by a transaction's commit and by whoever else has a condition: read at
 * an LSN S; keep account of what was read, of rows as `struct row_reads` (also of a unique index's own table: keys are
 * then values, as the entries begin with them, and conflict with what rows_runs_make says of the rows of others); then
 *
 *     struct transaction_content content = {.snapshot_lsn = S, .reads = ..., .rows = ...};
 *     do {
 *         st = transaction_append(db, &header, &content, no_wait, &lsn, &decision, conflict, error);
 *     } while (st == PLINTH_CONFLICT and it is worth reading again at a newer S);
 *     if (!st) st = write_wait(db, &header, lsn, error);
 *
 * which appends one TRANSACTION record, or several (transaction_change.h). The verdict is that of the record's own
 * place in the log, the same in every replay. */
#ifndef PLINTH_ENGINE_TRANSACTION_H
#define PLINTH_ENGINE_TRANSACTION_H

#include "engine/engine.h"
#include "engine/rows.h"
#include "engine/touched_keys.h"
#include "engine/write.h"

/* ---- what is appended (transaction_append.c) ---- */

/* Of a body: its parts with their heads fit into UNIT_BYTES_MAX. */
enum { TRANSACTION_BYTES_MAX = PLINTH_TRANSACTION_BYTES_MAX };

/* Sorted rows of one table. A key is at most once in all of a content's rows of a table. */
struct transaction_rows {
    const struct table_schema *schema; /* borrowed, as it was when the rows were matched to it */
    enum rows_operation operation;
    struct batch *batch; /* borrowed; a delete's has the key's columns only */
    const uint32_t *column_ids;
};

struct transaction_content {
    uint64_t snapshot_lsn;
    const struct plinth_reads *key_reads; /* of key spaces; null: none. Its snapshot is not looked at */
    const struct row_reads *reads;        /* of tables of rows, and of indexes */
    size_t read_count;
    const struct write_plan *plan; /* operations on key spaces; null: none */
    const struct transaction_rows *rows;
    size_t rows_count;
    uint32_t gate_held; /* the table whose gate the caller keeps closed; 0: none */
};

/* Appends the content as one, raising the feature level first where needed, and puts it into the memtable. `header` is
 * of kind CHANGE_TRANSACTION. `*lsn` is its place, or for a duplicate that of the first. PLINTH_CONFLICT: something
 * that was read has been written since, it is too long ago to tell, or a table's schema has changed since its rows were
 * matched; nothing was written, and `conflict` (may be null) says more. PLINTH_NOT_FOUND: a table is gone.
 * PLINTH_TOO_LARGE: beyond TRANSACTION_BYTES_MAX. Else as write_sequence. */
PLINTH_MUST_CHECK enum plinth_status transaction_append(struct plinth *db, const struct record_header *header,
                                                        const struct transaction_content *content, bool no_wait,
                                                        uint64_t *lsn, struct decision *decision,
                                                        struct plinth_conflict *conflict, struct plinth_error *error);
/* Raises the feature level so that the engine remembers which rows are written: above `*floor_lsn`. */
PLINTH_MUST_CHECK enum plinth_status transaction_raise_level(struct plinth *db, uint64_t *floor_lsn,
                                                             struct plinth_error *error);
/* Waits until everything in the log now is to be read: a transaction that has lost loses again before that. */
PLINTH_MUST_CHECK enum plinth_status transaction_wait_for_news(struct plinth *db, struct plinth_error *error);
/* Appends stored keys and bounds that were read, as CONDITIONAL and TRANSACTION records begin. */
PLINTH_MUST_CHECK bool transaction_encode_key_reads(struct buffer *into, uint64_t snapshot_lsn,
                                                    const struct plinth_reads *reads);
/* Fills `conflict` (emptied) for a key of a space, or a row, and says so in the error: PLINTH_CONFLICT. */
PLINTH_MUST_CHECK enum plinth_status transaction_refuse(struct plinth *db, uint64_t snapshot_lsn, enum verdict verdict,
                                                        const struct transaction_conflict *why,
                                                        struct plinth_conflict *conflict, struct plinth_error *error);
/* Whether what was matched to a table's schema `then` stands under `now`: at most nullable columns are new. */
bool transaction_schema_extends(const struct table_schema *now, const struct table_schema *then);
/* Whether the record's producer, not its snapshot, is what is too old. */
bool transaction_producer_is_too_old(struct plinth *db, const struct record_header *header);

/* ---- a transaction ---- */

/* What a scan has read: keys in [lower, upper); an empty upper is the end of the space. */
struct transaction_range {
    struct plinth_space space;
    struct buffer lower, upper;
    bool read; /* else the scan has not begun */
};

/* What it has to do with one table of rows. */
struct transaction_table {
    const struct table_schema *schema; /* of the first use; referenced */
    struct row_reads reads;
    struct row_reads *unique_reads; /* by index of the schema, once what is written was checked (rows_unique.h) */
    uint32_t unique_read_count;
    uint64_t checked_writes; /* `writes` when it was */
    /* Its own rows, oldest first. Their LSNs are above all others, and tell which is the newest of a key. */
    struct row_block **own;
    uint64_t own_count;
    uint64_t writes; /* blocks ever made: LSNs */
};

/* A range that it is going to delete, before any of `keys` is written. */
struct transaction_delete {
    struct plinth_space space;
    struct buffer lower, upper; /* stored; neither is empty */
    size_t prefix_bytes;
    bool to_end; /* of the space: no upper bound was given */
};

struct plinth_transaction {
    struct plinth *db;
    struct plinth_snapshot *snapshot; /* null: the caller reads, and says what */
    struct plinth_position position;  /* of the snapshot */
    struct touched_keys keys;
    struct transaction_range *ranges;
    size_t range_count;
    struct transaction_delete *deletes;
    size_t delete_count;
    size_t open_scans;
    struct transaction_table *tables;
    uint64_t table_count;
    uint64_t own_bytes; /* of rows written */
    bool remembers;     /* the feature level is high enough for rows */
    uint32_t gate_held; /* as in transaction_content */
    bool committed;
};

/* One at a state that the caller has read by itself ({0, 0}: it has read nothing); reads through it are not possible.
 */
PLINTH_MUST_CHECK enum plinth_status transaction_begin_at(struct plinth *db, struct plinth_position position,
                                                          struct plinth_transaction **transaction,
                                                          struct plinth_error *error);
/* PLINTH_INVALID_ARGUMENT once the transaction is committed. */
PLINTH_MUST_CHECK enum plinth_status transaction_check(const struct plinth_transaction *transaction,
                                                       struct plinth_error *error);
/* For transactions without a snapshot: notes what was read. */
PLINTH_MUST_CHECK enum plinth_status transaction_note_key(struct plinth_transaction *transaction,
                                                          struct plinth_space space, struct slice key,
                                                          struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status transaction_note_range(struct plinth_transaction *transaction,
                                                            struct plinth_space space, struct slice lower,
                                                            struct slice upper, struct plinth_error *error);

/* ---- rows in it (transaction_rows.c) ---- */

/* The part of the transaction that is about a table, made when it is new; valid until the next call of this.
 * PLINTH_CONFLICT when the table has changed since its first use. May move the snapshot of a transaction that has not
 * read anything yet. */
PLINTH_MUST_CHECK enum plinth_status transaction_table_of(struct plinth_transaction *transaction, const char *database,
                                                          const char *name, struct transaction_table **table,
                                                          struct plinth_error *error);
/* The same of a table known by its id. */
PLINTH_MUST_CHECK enum plinth_status transaction_table_by_id(struct plinth_transaction *transaction, struct table_id id,
                                                             struct transaction_table **table,
                                                             struct plinth_error *error);
/* Whether the transaction sees rows of the keys of a block: bits of `there`, all 0 before. They count as read. */
PLINTH_MUST_CHECK enum plinth_status transaction_rows_probe(struct plinth_transaction *transaction,
                                                            struct transaction_table *table,
                                                            const struct row_block *keys, uint8_t *there,
                                                            struct plinth_error *error);
/* Rows to upsert at the commit: matched to the table's schema, sorted, each key once. */
PLINTH_MUST_CHECK enum plinth_status transaction_rows_take(struct plinth_transaction *transaction,
                                                           struct transaction_table *table,
                                                           const struct table_schema *schema, struct batch *batch,
                                                           const uint32_t *column_ids, struct plinth_error *error);
/* Rows to write at the commit; borrowed for the call. One reject fails it: nothing was taken then. */
PLINTH_MUST_CHECK enum plinth_status transaction_rows_submit(struct plinth_transaction *transaction,
                                                             const char *database, const char *table,
                                                             const struct rows_write *write,
                                                             struct plinth_error *error);
/* The rows of these keys (a batch of the key's columns), as the transaction sees them, in the order of their keys; they
 * count as read. `*batch` has the columns `column_ids` and a row for each key that is there; null when none is. `found`
 * (may be null) has room for a bit a row of `keys`: whether it is there. */
PLINTH_MUST_CHECK enum plinth_status
transaction_rows_look_up(struct plinth_transaction *transaction, const char *database, const char *table,
                         const struct arrow_schema *schema, const struct batch *keys, const uint32_t *column_ids,
                         uint32_t column_count, struct batch **batch, uint8_t *found, struct plinth_error *error);
/* Notes the keys of a batch, as transaction_rows_look_up takes it, as read. */
PLINTH_MUST_CHECK enum plinth_status transaction_rows_note(struct plinth_transaction *transaction, const char *database,
                                                           const char *table, const struct arrow_schema *schema,
                                                           const struct batch *keys, struct plinth_error *error);
/* Looks at what is to be written, all of it in the table's order, for values that other rows have in its unique
 * indexes, and adds those that nobody has to the account. PLINTH_ALREADY_EXISTS names index, values and row; with
 * `unique` (whose view, LSN and schema are set here) rejects go where it says, and do not fail the call. */
struct unique_rows;
PLINTH_MUST_CHECK enum plinth_status transaction_check_unique(struct plinth_transaction *transaction,
                                                              struct transaction_table *table,
                                                              struct unique_rows *unique, struct plinth_error *error);
/* What is to be written of all tables, newest row of each key; the array and what it points to are freed with
 * transaction_rows_free. */
PLINTH_MUST_CHECK enum plinth_status transaction_rows_gather(const struct plinth_transaction *transaction,
                                                             struct transaction_rows **rows, uint64_t *count,
                                                             struct plinth_error *error);
void transaction_rows_free(struct transaction_rows *rows, uint64_t count);
void transaction_tables_deinit(struct plinth_transaction *transaction);

/* Whether a range delete of the transaction's own takes a stored key away. */
bool transaction_deletes(const struct plinth_transaction *transaction, struct slice stored);

#endif
