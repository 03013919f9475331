/* How a column of a typed table is encoded: chosen for each file by trying the encodings that its type has on a sample
 * of its first rows, compressed as they will be. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_ENCODING_H
#define PLINTH_TABLE_ROW_SEGMENT_ENCODING_H

#include "column/batch.h"
#include "parquet/writer.h"

/* Some rows that the sample may be taken of. */
struct row_sample_piece {
    const struct column *column; /* null: they are null */
    uint32_t first;
    uint32_t count;
};

/* What there is to know of the pieces. */
struct row_sample_rows {
    bool are_all;       /* there are no other rows in the file */
    uint32_t page_rows; /* of the file's pages */
    int codec_level;
    bool is_quick; /* a small sample has to do */
};

/* Options of the column, statistics and page index included. */
PLINTH_MUST_CHECK enum plinth_status row_encoding_choose(struct column_type type, const struct row_sample_piece *pieces,
                                                         uint32_t piece_count, const struct row_sample_rows *about,
                                                         enum parquet_codec codec,
                                                         struct parquet_column_options *options,
                                                         struct plinth_error *error);

#endif
