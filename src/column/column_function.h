/* Functions of one column: what an index may be on, and a predicate test, instead of the column itself.
 *
 *   lower(c), upper(c)       of a string; ASCII letters only, so that the result does not hang on a locale
 *   date_trunc('UNIT', c)    of a timestamp or date, in UTC: second, minute, hour, day, week (from Monday on), month,
 *                            quarter, year
 *   the elements of a list   an index's only: an entry for each distinct element that is no null
 *
 * All but the last give a value of the column's type for every value, and null for null. */
#ifndef PLINTH_COLUMN_COLUMN_FUNCTION_H
#define PLINTH_COLUMN_COLUMN_FUNCTION_H

#include "column/batch.h"

/* Stored in the catalog: numbers never change. */
enum column_function {
    FUNCTION_NONE = 0, /* the column as it is */
    FUNCTION_LOWER = 1,
    FUNCTION_UPPER = 2,
    FUNCTION_TRUNC_SECOND = 3,
    FUNCTION_TRUNC_MINUTE = 4,
    FUNCTION_TRUNC_HOUR = 5,
    FUNCTION_TRUNC_DAY = 6,
    FUNCTION_TRUNC_WEEK = 7,
    FUNCTION_TRUNC_MONTH = 8,
    FUNCTION_TRUNC_QUARTER = 9,
    FUNCTION_TRUNC_YEAR = 10,
    FUNCTION_ELEMENTS = 11,
    FUNCTION_COUNT
};

/* Whether the function takes a column of this type. */
bool column_function_fits(enum column_function function, struct column_type type);
/* The type of its values. */
struct column_type column_function_type(enum column_function function, struct column_type type);
/* All rows; memory from `arena`, with what is shared with `from`. Not FUNCTION_ELEMENTS. False when memory is out. */
PLINTH_MUST_CHECK bool column_function_apply(struct arena *arena, enum column_function function,
                                             const struct column *from, uint32_t rows, struct column *out);

/* "lower(name)" and so on; of FUNCTION_NONE and FUNCTION_ELEMENTS the name alone. */
PLINTH_MUST_CHECK bool column_function_format(struct buffer *into, enum column_function function, struct slice column);
/* The inverse; spaces between words and letters' case do not matter but in the name, which may stand in double quotes
 * and is borrowed from the text. False: not the text of a function. */
bool column_function_parse(struct slice text, enum column_function *function, struct slice *column);
/* "second" to "year"; FUNCTION_NONE for others. */
enum column_function column_function_of_unit(struct slice unit);

#endif
