/* From rows to the bytes of a page: nulls out, statistics, encoding, levels, compression, checksum. See page_read.h for
 * how a page is laid out. */
#ifndef PLINTH_PARQUET_PAGE_WRITE_H
#define PLINTH_PARQUET_PAGE_WRITE_H

#include "parquet/column_writer.h"

/* Raw bytes of a page: far enough below 2^31 that no encoding of them is over it. */
enum { PARQUET_PAGE_BYTES_MAX = 1 << 30 };

/* Appends a data page to writer->pages and its record to writer->records. */
PLINTH_MUST_CHECK enum plinth_status page_write(struct column_writer *writer, const struct parquet_column_data *data,
                                                const struct slot_range *range, struct encode_scratch *scratch,
                                                struct arena *index_arena, struct plinth_error *error);
/* Makes writer->dictionary_page of the dictionary. */
PLINTH_MUST_CHECK enum plinth_status page_write_dictionary(struct column_writer *writer, struct encode_scratch *scratch,
                                                           struct plinth_error *error);
/* Puts `bounds`, truncated as the column's options say, into record->bounds. False when memory is out. */
PLINTH_MUST_CHECK bool page_record_bounds(const struct column_writer *writer, const struct value_bounds *bounds,
                                          struct arena *arena, struct page_record *record);

#endif
