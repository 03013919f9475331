/* Rows of typed tables that expire: a row is there until `expire_us` after the time in its table's expiry column
 * (table_schema.h), for ever where that is null. Readers go by one shard time each; merges by one that all readers have
 * reached (engine/README.md, invariant 8).
 *
 * An expired version is a delete: it hides older versions of its key. Comparing column values with one bound does it,
 * without overflow: value * unit + expire_us <= time is value <= floor((time - expire_us) / unit). */
#ifndef PLINTH_TABLE_EXPIRED_ROWS_H
#define PLINTH_TABLE_EXPIRED_ROWS_H

#include "table/block_stream.h"

/* The greatest value of the expiry column, in its unit, with which a row has expired at `time_us`; false: none has (the
 * table's rows do not expire, or `time_us` is 0). A date fits 32 bits. */
bool expired_rows_last(const struct table_schema *schema, uint64_t time_us, int64_t *last);
/* Whether a value of the expiry column is at or below `last`; nulls are not. */
bool expired_rows_has(const struct column *column, uint32_t row, int64_t last);

/* The rows of a stream, with those that have expired at `time_us` as deletes; of a table without a key, where a row
 * hides no other, they are left out. Takes `inner` over, also on failure; `read` is what that was opened with, and has
 * keys and the expiry column. */
PLINTH_MUST_CHECK enum plinth_status expired_rows_stream_open(struct block_stream *inner, const struct block_read *read,
                                                              uint64_t time_us, struct block_stream **stream,
                                                              struct plinth_error *error);

#endif
