/* Rows of all columns in memory, appended slot by slot from where they lie: for what puts rows into another order. For
 * this folder only. */
#ifndef PLINTH_PARQUET_ROW_BUFFER_H
#define PLINTH_PARQUET_ROW_BUFFER_H

#include "parquet/schema.h"

/* ---- One column ----
 *
 * Such a buffer holds what was appended and nothing else: `levels` has the definition levels, `page` the repetition
 * levels, of columns that have them; of `data` only `slots` counts until column_rows_view. */

/* Appends slots begin .. begin + count - 1. False when memory is out, or the bytes of a column reach 2 GiB. */
PLINTH_MUST_CHECK bool column_rows_append(const struct parquet_column *column, struct parquet_column_buffer *into,
                                          const struct parquet_column_data *from, uint64_t begin, uint64_t count);
/* Forgets the slots, keeps the memory. */
void column_rows_clear(struct parquet_column_buffer *buffer);
/* The slots as a view of `rows` rows, valid until the next append. */
void column_rows_view(const struct parquet_column *column, const struct parquet_column_buffer *buffer, uint64_t rows,
                      struct parquet_column_data *view);

/* The PLAIN-encoded value of a row of a flat column (BYTE_ARRAY without its length), borrowed; of BOOLEAN in `*bit`. */
static inline struct slice column_rows_value(const struct parquet_column *column,
                                             const struct parquet_column_data *data, uint64_t row, uint8_t *bit) {
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) return parquet_column_data_bytes(data, row);
    if (column->type != PARQUET_TYPE_BOOLEAN)
        return slice_of((const uint8_t *)data->values + row * column->width, column->width);
    *bit = ((const uint8_t *)data->values)[row >> 3] >> (row & 7) & 1;
    return slice_of(bit, 1);
}

/* ---- All columns ---- */

struct row_buffer {
    const struct parquet_schema *schema;
    struct parquet_column_buffer *columns;
    struct parquet_column_data *data; /* views of them, after row_buffer_view */
    uint64_t rows;
};

/* `schema` is borrowed. Deinit is safe after a failure. */
PLINTH_MUST_CHECK bool row_buffer_init(struct row_buffer *buffer, const struct parquet_schema *schema);
void row_buffer_deinit(struct row_buffer *buffer);
/* Forgets the rows, keeps the memory. */
void row_buffer_clear(struct row_buffer *buffer);
/* Appends slots begin .. begin + count - 1 of one column; the caller does the same for the others, and adds to `rows`.
 * False when memory is out, or the bytes of a column reach 2 GiB. */
PLINTH_MUST_CHECK bool row_buffer_append(struct row_buffer *buffer, uint32_t column,
                                         const struct parquet_column_data *from, uint64_t begin, uint64_t count);
/* Appends whole rows of all columns. */
PLINTH_MUST_CHECK bool row_buffer_append_rows(struct row_buffer *buffer, const struct parquet_column_data *from,
                                              uint64_t rows);
/* Sets `data`, valid until the next append. */
void row_buffer_view(struct row_buffer *buffer);
/* Bytes of the rows, and of the largest column of bytes. */
uint64_t row_buffer_bytes(const struct row_buffer *buffer);
uint64_t row_buffer_longest(const struct row_buffer *buffer);

#endif
