/* Decoding the values of a page, in any encoding, to one slot a row. For page_read.c. */
#ifndef PLINTH_PARQUET_VALUES_READ_H
#define PLINTH_PARQUET_VALUES_READ_H

#include "parquet/page_read.h"

/* Whether decoded values may be a view of the encoded bytes. */
bool values_may_borrow(const struct parquet_column *column, enum parquet_encoding encoding);
/* Decodes the `into->data.rows - into->data.null_count` values of `in` and spreads them to the slots that
 * into->data.validity says are not null. `can_borrow` tells that `in` outlives the rows. */
PLINTH_MUST_CHECK enum plinth_status values_decode(const struct page_context *context, enum parquet_encoding encoding,
                                                   struct slice in, bool can_borrow, struct parquet_column_buffer *into,
                                                   struct plinth_error *error);

#endif
