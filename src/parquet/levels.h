/* Arrays of levels, one byte each. For this folder only. */
#ifndef PLINTH_PARQUET_LEVELS_H
#define PLINTH_PARQUET_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parquet/schema.h"

/* How many of the levels are 0: of repetition levels, the rows that begin. */
uint64_t levels_count_zeros(const uint8_t *levels, uint64_t count);
/* Adds to slots[l] how many of the levels are `l`, for 0 .. highest, which none is above. */
void levels_add_counts(const uint8_t *levels, uint64_t count, uint8_t highest, uint64_t *slots);
/* Where row `rows` begins when row 0 begins at levels[0]: the slots of the first `rows` rows. `count` when there are
 * not more than that. */
uint64_t levels_find_row(const uint8_t *repetition, uint64_t count, uint64_t rows);
/* How many slots at the front continue a row that began before. */
uint64_t levels_count_continued(const uint8_t *repetition, uint64_t count);
/* Makes bits 0 .. count - 1 of `bitmap` those of "level i is `level`"; the rest of its last byte is 0. */
void levels_equal(const uint8_t *levels, uint64_t count, uint8_t level, uint8_t *bitmap);
/* Whether levels go together: none above the column's, the first begins a row, and a list of any depth goes on only
 * from element to element. */
bool levels_are_consistent(const struct parquet_column *column, const uint8_t *definition, const uint8_t *repetition,
                           uint64_t count);

#endif
