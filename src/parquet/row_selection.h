/* From bounds on values to the rows of a row group that lie between them. For this folder only.
 *
 * What is cheapest goes first: the chunk's statistics, its bloom filter (where both bounds are one value), the page
 * index; then the values of what is left are looked at. */
#ifndef PLINTH_PARQUET_ROW_SELECTION_H
#define PLINTH_PARQUET_ROW_SELECTION_H

#include "parquet/reader.h"
#include "parquet/row_ranges.h"
#include "parquet/statistics.h"

struct row_bounds {
    uint32_t column; /* in a list: rows of which any value lies between them */
    enum parquet_order order;
    bool has_min, has_max;
    struct slice min, max; /* PLAIN-encoded, both included */
    /* Looks at the values, and is then left where it stands, for whom reads the column; null: one of its own. Zeroed,
     * or deinited since the last row group. */
    struct column_cursor *cursor;
};

/* PLINTH_NOT_FOUND without such a column; PLINTH_UNSUPPORTED for one whose values have no order;
 * PLINTH_INVALID_ARGUMENT for values that are not of its size. Min and max are borrowed. */
PLINTH_MUST_CHECK enum plinth_status row_bounds_init(struct row_bounds *bounds, const struct parquet_schema *schema,
                                                     const char *path, const struct slice *min, const struct slice *max,
                                                     struct plinth_error *error);
/* Leaves of `ranges` (row_ranges.h) the rows that satisfy all bounds. */
PLINTH_MUST_CHECK enum plinth_status row_selection_find(const struct parquet_reader *reader, uint32_t row_group,
                                                        const struct row_bounds *bounds, uint32_t count,
                                                        struct parquet_scratch *scratch, struct buffer *ranges,
                                                        struct plinth_error *error);

#endif
