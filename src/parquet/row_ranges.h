/* Rows of a row group that are wanted, as ranges: struct row_range in a buffer, in order, with gaps between them. And
 * what is left of decoded rows when those between short ranges are taken out, by a bitmap. For this folder only. */
#ifndef PLINTH_PARQUET_ROW_RANGES_H
#define PLINTH_PARQUET_ROW_RANGES_H

#include "parquet/schema.h"

struct row_range {
    uint64_t begin, end;
};

static inline const struct row_range *row_range_at(const struct buffer *ranges, size_t i) {
    return (const struct row_range *)(const void *)ranges->data + i;
}
static inline size_t row_ranges_count(const struct buffer *ranges) { return ranges->size / sizeof(struct row_range); }

/* Appends a range, joined to the last one where that ends at its begin; false when memory is out. */
PLINTH_MUST_CHECK bool row_ranges_add(struct buffer *ranges, uint64_t begin, uint64_t end);
/* Appends what of `range` the bitmap has, whose bit `first` is the row group's first row and which ends with bit
 * `bits`. */
PLINTH_MUST_CHECK bool row_ranges_add_bitmap(struct buffer *ranges, struct row_range range, const uint8_t *bitmap,
                                             uint64_t first, uint64_t bits);

/* Whether so many ranges from number `i` on are short and close to one another that rows are better taken together and
 * then picked by a bitmap. */
bool row_ranges_are_scattered(const struct buffer *ranges, size_t i);
/* Makes `mask` the bitmap of the wanted rows from `row` on, of at most `rows` rows and `kept_max` wanted ones, up to a
 * longer gap. Returns how many rows it is about; `*i` becomes the range that is not done with. */
uint64_t row_ranges_mask(const struct buffer *ranges, size_t *i, uint64_t row, uint64_t rows, uint64_t kept_max,
                         struct buffer *mask, uint64_t *kept);

/* Memory of picked rows. */
struct row_picker {
    struct parquet_column_buffer into;
    struct buffer slots; /* bitmap of the kept ones, of columns whose rows have several */
};

void row_picker_deinit(struct row_picker *picker);
/* Makes `data` the rows whose bit in `mask` is set, `kept` of them. PLINTH_OUT_OF_MEMORY. */
PLINTH_MUST_CHECK enum plinth_status row_picker_pick(struct row_picker *picker, const struct parquet_column *column,
                                                     const struct buffer *mask, uint64_t kept,
                                                     struct parquet_column_data *data, struct plinth_error *error);

#endif
