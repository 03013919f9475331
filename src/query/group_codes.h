/* Codes of groups: the values of grouping columns as dense numbers, so that a row's group is found with a few probes of
 * small tables instead of an encoded key.
 *
 * Each column has a table of its values (its own numbers 0, 1, …; null is a value); the numbers of several columns are
 * folded pair by pair: (column 1, column 2) -> a number, (that, column 3) -> a number. What comes out is the row's
 * code. Codes are a cache of the real keys: bit patterns that mean the same (-0 and 0, two NaNs) have different codes,
 * and the caller maps both to one group. */
#ifndef PLINTH_QUERY_GROUP_CODES_H
#define PLINTH_QUERY_GROUP_CODES_H

#include "column/batch.h"

struct group_codes;

/* Null when memory is out. */
struct group_codes *group_codes_create(uint32_t column_count);
/* Null is allowed. */
void group_codes_destroy(struct group_codes *codes);
/* The codes of rows list[0..count) (null: 0 to count) of these columns; `scratch` has room for another `count`. Codes
 * are below group_codes_count. False when memory is out. */
PLINTH_MUST_CHECK bool group_codes_of(struct group_codes *codes, const struct column *const *columns,
                                      const uint32_t *list, uint32_t count, uint32_t *into, uint32_t *scratch);
uint32_t group_codes_count(const struct group_codes *codes);
uint64_t group_codes_bytes(const struct group_codes *codes);

#endif
