/* ROWS records: a stretch of a table's rows as the payload of a log record (change.h has its layout). */
#ifndef PLINTH_ENGINE_ROWS_RECORD_H
#define PLINTH_ENGINE_ROWS_RECORD_H

#include "column/batch.h"
#include "engine/change.h"
#include "engine/key_run.h"
#include "table/table_schema.h"

enum { ROWS_COLUMN_BYTES_MAX = 48 }; /* what a column takes besides its column_encoded_bytes, at most */

/* A decoded record. */
struct rows_record {
    struct rows_change change;
    struct batch *batch;        /* one reference; its arena holds everything */
    const uint32_t *column_ids; /* of batch->columns[i] */
};

/* Appends a whole payload: all rows of `batch`. False when memory is out. */
PLINTH_MUST_CHECK bool rows_record_encode(struct buffer *into, const struct rows_change *change,
                                          const uint32_t *column_ids, const struct batch *batch);
/* Copies what it needs of `payload`. PLINTH_CORRUPT when it is malformed. */
PLINTH_MUST_CHECK enum plinth_status rows_record_decode(struct slice payload, struct rows_record *record,
                                                        struct plinth_error *error);
void rows_record_deinit(struct rows_record *record);
/* Rows as they are written. */
struct rows_written {
    const struct batch *batch;
    const uint32_t *column_ids;
    const struct row_keys *keys; /* in order; null: the table has no key */
    enum rows_operation operation;
};
/* The key runs by which the conflict window knows the rows of one record: one of the table's keys; and of upserts one
 * for each unique index of the table, whose keys are the values that the rows have in it (heads of its entries, but
 * those with a null). Writers make them of the block that goes into the memtable, and a replay of the record, so both
 * must come to the same. */
PLINTH_MUST_CHECK enum plinth_status rows_runs_make(const struct table_schema *schema,
                                                    const struct rows_written *written, struct key_run **runs,
                                                    struct plinth_error *error);
/* The same of a record that was applied, under a schema that may have changed since but for the key. */
PLINTH_MUST_CHECK enum plinth_status rows_record_runs(const struct table_schema *schema, struct slice payload,
                                                      struct key_run **runs, struct plinth_error *error);
/* Whether the payload is well-formed and keeps the rules of its table: known columns of its types, no nulls where there
 * must be none, rows in the order of their keys and no key twice. PLINTH_CORRUPT says what is wrong. `runs` (may be
 * null) are then its key runs. */
PLINTH_MUST_CHECK enum plinth_status rows_record_check(const struct table_schema *schema, struct slice payload,
                                                       struct key_run **runs, struct plinth_error *error);

#endif
