/* Unique indexes of typed tables: no two rows have the same values in all of an index's parts, but where one is null.
 *
 * Upserts to such a table are transactions, also those of one call. What is to be written is looked at against the
 * state that the transaction reads: whose values another row has in the index, and keeps, cannot be written. The values
 * themselves go into the account as keys read of the index; and a record that upserts rows is known to the conflict
 * window by the values that it gives them (rows_record.h). So of two transactions that give the same value to
 * different rows the second one in the log loses, on every host and in every replay, and looks again.
 *
 * That is so from the record that makes the index on, while it is built, too: a row that is not in the index yet is not
 * found then. A step of the build that adds entries counts as one that writes all values (shard.c), so who has looked
 * before loses. When all entries are there they are looked through, and the index becomes ready only when no value is
 * there twice: what is there twice stays there, until somebody deletes or changes it. */
#ifndef PLINTH_ENGINE_ROWS_UNIQUE_H
#define PLINTH_ENGINE_ROWS_UNIQUE_H

#include "engine/rows.h"
#include "engine/transaction.h"

bool schema_has_unique(const struct table_schema *schema);

/* What is written of one table, all of it, and the state that it is looked at against. */
struct unique_rows {
    struct view *view;
    uint64_t lsn, time_us; /* rows that have expired then keep nothing */
    const struct table_schema *schema;
    const struct transaction_rows *rows; /* each key once in all of them */
    size_t count;
    const uint32_t *arrival; /* of all rows, one behind the other: of two that clash the one with the lower number is
                                written. Null: in their order */
    /* Called once for each row that cannot be written: row `row` of rows[number]. */
    enum plinth_status (*reject)(void *context, size_t number, uint32_t row, const char *reason,
                                 struct plinth_error *error);
    void *context;
};
/* Finds the rows that cannot be written because another one has their values: one of the table that is not written now,
 * or is rejected, or one of those that are written. reads[i] gets what was read of index i of the schema, for those
 * that can be; the array is the caller's to deinit, whatever comes back. */
PLINTH_MUST_CHECK enum plinth_status rows_check_unique(const struct unique_rows *unique, struct row_reads *reads,
                                                       struct plinth_error *error);

#endif
