/* The entries of one column on their way into an Arrow array. For this folder only: see arrow_read.h. */
#ifndef PLINTH_PARQUET_ARROW_LEAF_H
#define PLINTH_PARQUET_ARROW_LEAF_H

#include "parquet/arrow_read.h"

void arrow_leaf_deinit(struct arrow_leaf *leaf);
void arrow_leaf_clear(struct arrow_leaf *leaf);
uint64_t arrow_leaf_bytes(const struct arrow_leaf *leaf);
PLINTH_MUST_CHECK enum plinth_status arrow_leaf_append(struct arrow_leaf *leaf, const struct parquet_column_data *data,
                                                       bool check_utf8, struct plinth_error *error);

#endif
