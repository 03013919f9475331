/* Values of Arrow arrays in the layout of types.h. For this folder only: see arrow_write.h. */
#ifndef PLINTH_PARQUET_ARROW_VALUES_H
#define PLINTH_PARQUET_ARROW_VALUES_H

#include "parquet/arrow_write.h"

/* Places in an array do not count its offset. */
bool arrow_array_is_valid(const struct ArrowArray *array, int64_t at);
static inline bool arrow_array_has_nulls(const struct ArrowArray *array) {
    return array->null_count != 0 && array->n_buffers > 0 && array->buffers[0];
}
/* A dictionary index; -1 for one over 2^63. */
int64_t arrow_array_index(const struct ArrowArray *array, char format, int64_t at);

/* A column's values as they come together. */
struct arrow_values {
    const struct arrow_field *field;
    const struct parquet_column *column;
    struct arrow_shredded *to;
    uint64_t count;
    bool is_borrowed; /* to->data has them already */
};

/* Room for `slots` values in to->values and to->offsets, which are overwritten. */
PLINTH_MUST_CHECK enum plinth_status arrow_values_init(struct arrow_values *values, const struct arrow_field *field,
                                                       const struct parquet_column *column, struct arrow_shredded *to,
                                                       uint64_t slots, struct plinth_error *error);
/* Makes to->data point into the array, when the values lie there as they are to be. Offsets are checked first: with
 * wrong ones nothing is borrowed, and appending them tells what is wrong. */
bool arrow_values_borrow(struct arrow_values *values, const struct ArrowArray *array, int64_t at, uint64_t count);
PLINTH_MUST_CHECK enum plinth_status arrow_values_append(struct arrow_values *values, const struct ArrowArray *array,
                                                         int64_t at, uint64_t count, struct plinth_error *error);
/* Slots without a value. */
PLINTH_MUST_CHECK enum plinth_status arrow_values_append_empty(struct arrow_values *values, uint64_t count,
                                                               struct plinth_error *error);
void arrow_values_finish(struct arrow_values *values, struct parquet_column_data *data);

/* Validity of `count` rows of an array into to->data. */
PLINTH_MUST_CHECK enum plinth_status arrow_values_validity(const struct ArrowArray *array, int64_t at, uint64_t count,
                                                           struct arrow_shredded *to, struct plinth_error *error);

#endif
