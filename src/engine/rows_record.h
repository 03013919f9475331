/* ROWS records: a stretch of a table's rows as the payload of a log record (change.h has its layout). */
#ifndef PLINTH_ENGINE_ROWS_RECORD_H
#define PLINTH_ENGINE_ROWS_RECORD_H

#include "column/batch.h"
#include "engine/change.h"
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
/* Whether the payload is well-formed and keeps the rules of its table: known columns of its types, no nulls where there
 * must be none, rows in the order of their keys and no key twice. PLINTH_CORRUPT says what is wrong. */
PLINTH_MUST_CHECK enum plinth_status rows_record_check(const struct table_schema *schema, struct slice payload,
                                                       struct plinth_error *error);

#endif
