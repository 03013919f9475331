/* A write of rows, made ready before any lock is taken: matched to the table's schema, checked row by row, sorted, and
 * cut into chunks that fit a log record. rows_match.c is the first half, rows_sort.c the second. */
#ifndef PLINTH_ENGINE_ROWS_PLAN_H
#define PLINTH_ENGINE_ROWS_PLAN_H

#include "base/arena.h"
#include "engine/rows.h"
#include "table/row_block.h"

/* Rows order[first .. first + count). */
struct rows_chunk {
    uint32_t first;
    uint32_t count;
    uint64_t bits; /* in the log, about */
};

struct rows_plan {
    const struct table_schema *schema; /* borrowed */
    const struct rows_write *write;    /* borrowed */
    struct rows_result *result;        /* takes the rejects */
    struct arena arena;
    uint32_t record_bytes_max; /* of one chunk */
    uint32_t rows;             /* of the batch */
    uint8_t *rejected;         /* bitmap of them */

    struct column *columns; /* cast; in the schema's order */
    uint32_t *column_ids;
    uint32_t column_count;

    uint32_t *order; /* the rows to be written, in the order of their keys */
    uint32_t count;
    bool in_order;       /* order[i] is order[0] + i */
    uint64_t fixed_bits; /* in the log, of every row; */
    uint32_t *sizes;     /* and bytes besides, of each row of the batch; null: none */
    struct rows_chunk *chunks;
    uint32_t chunk_count;
    uint32_t cut; /* a hash of the chunks: producers.h */
};

/* Columns of the batch that the table has not. */
struct rows_unknown {
    uint32_t *columns; /* indexes into write->schema->fields; freed by the caller */
    uint64_t count;
};

/* Pairs the batch's columns with the schema's, casts them and rejects rows whose values cannot stand in their columns.
 * When the batch has columns that the table has not, `unknown` names them and nothing else was done. The plan is to be
 * deinited whatever comes back. */
PLINTH_MUST_CHECK enum plinth_status rows_plan_match(struct rows_plan *plan, const struct table_schema *schema,
                                                     const struct rows_write *write, struct rows_result *result,
                                                     struct rows_unknown *unknown, struct plinth_error *error);
/* Encodes keys, rejects rows that are too large, sorts, collapses equal keys to the last, and cuts chunks. */
PLINTH_MUST_CHECK enum plinth_status rows_plan_sort(struct rows_plan *plan, struct plinth_error *error);
/* A chunk's rows as a batch that owns its memory, and the ids of its columns in the batch's arena. */
PLINTH_MUST_CHECK enum plinth_status rows_plan_take(const struct rows_plan *plan, uint32_t chunk, struct batch **batch,
                                                    uint32_t **column_ids, struct plinth_error *error);
/* What becomes of columns that the table has not: made by DDL when the table and the write allow it (*again: the batch
 * is to be matched once more), else PLINTH_INVALID_ARGUMENT names them. Not within the table's gate. `db` null: never
 * made.
 */
PLINTH_MUST_CHECK enum plinth_status rows_settle_unknown(struct plinth *db, const struct table_schema *schema,
                                                         const struct rows_write *write,
                                                         const struct rows_unknown *unknown, bool *again,
                                                         struct plinth_error *error);
void rows_plan_deinit(struct rows_plan *plan);

/* Counts `row` as rejected, and keeps the reason while there is room, unless it was rejected before. */
PLINTH_MUST_CHECK enum plinth_status rows_reject(struct rows_plan *plan, uint32_t row, enum plinth_status status,
                                                 struct plinth_error *error, const char *format, ...)
    PLINTH_PRINTF(5, 6);

#endif
