/* Lists between Arrow's layout and the levels of a column.
 *
 *     rows          [1, 2]   null   []   [null]
 *     offsets       0 2 2 2 3              element validity  1 1 0        list validity  1 0 1 1
 *     slots         1  2  -  -  -
 *     repetition    0  1  0  0  0
 *     definition    3  3  0  1  2          (OPTIONAL list of OPTIONAL elements)
 *
 * Elements in Arrow's layout have no place for empty and null lists; slots have. Values are copied only where that
 * makes a difference, and the bytes of BYTE_ARRAY never.
 *
 * For columns with one repeated level, also those that are not in a LIST group, and inside optional groups (a group
 * that is missing makes a null list). */
#ifndef PLINTH_PARQUET_LIST_LEVELS_H
#define PLINTH_PARQUET_LIST_LEVELS_H

#include "parquet/schema.h"
#include "parquet/types.h"

/* A borrowed view of some rows of a list column: row i is elements offsets[i] .. offsets[i + 1] - 1. */
struct parquet_list_data {
    uint64_t rows;
    uint64_t null_count;     /* lists that are null; not read */
    const uint8_t *validity; /* bitmap or null: no list is null */
    const uint32_t *offsets; /* rows + 1, non-decreasing; offsets[0] need not be 0 */
    /* One slot an element, without levels. Elements that are in no list, or in a null one, are passed over. */
    struct parquet_column_data elements;
};

/* Lists with the memory they lie in. `{0}` is an empty one; used again, it keeps its memory. */
struct parquet_list_buffer {
    struct parquet_list_data data;
    struct buffer validity; /* of lists */
    struct buffer offsets;
    struct buffer values; /* of elements: fixed width and BOOLEAN */
    struct buffer element_offsets;
    struct buffer element_validity;
    struct buffer flags; /* scratch: a byte a row or element */
};

void parquet_list_buffer_deinit(struct parquet_list_buffer *buffer);
size_t parquet_list_buffer_size(const struct parquet_list_buffer *buffer);

/* What parquet_writer_write takes for the lists. into->data points into `into` and into `list`. Validity that the
 * column does not have (REQUIRED lists, REQUIRED elements) is not read.
 * PLINTH_INVALID_ARGUMENT: offsets that go down or beyond the elements; PLINTH_TOO_LARGE: 2^31 slots or more;
 * PLINTH_UNSUPPORTED: the column does not have exactly one repeated level. */
PLINTH_MUST_CHECK enum plinth_status parquet_list_to_levels(const struct parquet_column *column,
                                                            const struct parquet_list_data *list,
                                                            struct parquet_column_buffer *into,
                                                            struct plinth_error *error);
/* The lists of rows that were read. into->data points into `into` and into `data`; its offsets begin with 0.
 * PLINTH_CORRUPT: levels that no writer makes; the rest as above. */
PLINTH_MUST_CHECK enum plinth_status parquet_list_from_levels(const struct parquet_column *column,
                                                              const struct parquet_column_data *data,
                                                              struct parquet_list_buffer *into,
                                                              struct plinth_error *error);

#endif
