/* The page index of one column chunk: OffsetIndex (where each data page lies, and its first row) joined with
 * ColumnIndex (its min, max and nulls).
 *
 * Invariants, checked on reading: pages lie in ascending order without overlap inside the chunk, first rows
 * ascend from 0 (an empty page has the first row of the next) up to the row group's rows. */
#ifndef PLINTH_PARQUET_PAGE_INDEX_H
#define PLINTH_PARQUET_PAGE_INDEX_H

#include "base/arena.h"
#include "parquet/metadata.h"

enum parquet_boundary_order {
    PARQUET_UNORDERED = 0,
    PARQUET_ASCENDING = 1, /* both the mins and the maxes of the pages that have values */
    PARQUET_DESCENDING = 2,
};

struct parquet_page_location {
    uint64_t offset;    /* of the page header in the file */
    uint32_t bytes;     /* header and compressed body */
    uint64_t first_row; /* in the row group */
    uint64_t row_count;
};

struct parquet_page_bounds {
    struct slice min, max; /* PLAIN-encoded, maybe truncated: bounds; empty when is_null_page */
    bool is_null_page;     /* only nulls */
    uint64_t null_count;   /* when has_null_counts */
    uint64_t nan_count;    /* when has_nan_counts */
};

struct parquet_page_index {
    uint32_t page_count;
    struct parquet_page_location *locations;
    struct parquet_page_bounds *bounds; /* null: no ColumnIndex, or one that nothing may be based on */
    enum parquet_boundary_order order;
    bool has_null_counts, has_nan_counts;
    const uint64_t *unencoded_bytes;        /* BYTE_ARRAY, one a page: its values without lengths; null: not said */
    struct parquet_level_statistics levels; /* page by page */
    struct arena arena;                     /* holds all of the above */
};

void parquet_page_index_deinit(struct parquet_page_index *index);
/* The page that holds `row` of the row group (row < its rows). */
uint32_t parquet_page_index_find_row(const struct parquet_page_index *index, uint64_t row);

#endif
