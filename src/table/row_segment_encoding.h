/* How a column of a typed table is encoded: chosen for each file, by type and by a sample of its rows. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_ENCODING_H
#define PLINTH_TABLE_ROW_SEGMENT_ENCODING_H

#include "column/batch.h"
#include "parquet/writer.h"

struct row_encoding_hints {
    enum parquet_codec codec;
    bool is_key;
    bool is_leading_key; /* rows are sorted by it */
};

/* Options of the column, statistics and page index included; rows [first, first + count) are the sample. `column` null:
 * they are null. */
PLINTH_MUST_CHECK enum plinth_status row_encoding_choose(const struct column *column, struct column_type type,
                                                         uint32_t first, uint32_t count,
                                                         const struct row_encoding_hints *hints,
                                                         struct parquet_column_options *options,
                                                         struct plinth_error *error);

#endif
