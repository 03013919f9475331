/* Comparisons of a whole column with one value. Each kernel clears bits of `selection` (64 rows a word; bits behind the
 * last row are 0); words that are 0 are skipped. Nulls have been cleared before. */
#ifndef PLINTH_EXPR_PREDICATE_KERNELS_H
#define PLINTH_EXPR_PREDICATE_KERNELS_H

#include "expr/predicate.h"

/* Keeps the rows whose value compares so with row 0 of `constant`, which has the same type. Not for LIST. */
void kernel_compare(const struct column *column, uint32_t rows, enum predicate_comparison comparison,
                    const struct column *constant, uint64_t *selection);
/* Keeps the rows of a STRING or BYTES column that start with `prefix` (`wanted`), or do not. */
void kernel_prefix(const struct column *column, uint32_t rows, struct slice prefix, bool wanted, uint64_t *selection);
/* Keeps the rows whose bit is 1 (`wanted`) or 0. */
void kernel_bits(const uint8_t *bits, uint32_t rows, bool wanted, uint64_t *selection);
/* Keeps the rows that `match` says yes to (`wanted`), or no. */
typedef bool kernel_match(const void *context, struct slice text);
void kernel_filter_bytes(const struct column *column, uint32_t rows, kernel_match *match, const void *context,
                         bool wanted, uint64_t *selection);

#endif
