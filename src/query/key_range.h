/* Key ranges: what a predicate says about the leading parts of a key (primary or index), as ranges of encoded keys.
 *
 * Of the members of the top-level AND, those on key columns: = and IN fix a part (several values multiply), a
 * comparison, BETWEEN or prefix bounds the first part that is not fixed, and ends the list. More values than there may
 * be ranges are bounded in clusters: each range spans a few neighbours. The ranges cover every key whose row can be
 * true; whether rows in them are true is for the predicate to say. */
#ifndef PLINTH_QUERY_KEY_RANGE_H
#define PLINTH_QUERY_KEY_RANGE_H

#include "column/column_function.h"
#include "column/row_key.h"
#include "expr/predicate.h"

enum { KEY_RANGES_MAX = 10000 };

struct key_range {
    struct slice lower; /* inclusive; empty: from the first */
    struct slice upper; /* exclusive; empty: to the last */
};

struct key_ranges {
    struct key_range *ranges; /* ascending, disjoint; none: no row can match */
    uint32_t count;
    uint32_t parts_fixed; /* leading parts that are fixed in every range */
    bool bounded;         /* the predicate says something: not the one range of everything */
    bool points;          /* primary keys: every part is fixed; `lower` of each range is the key itself */
};

/* `parts`: for each key part the index of its column in the predicate's columns, and its type. Memory from `arena`.
 * `predicate` may be null. At most `ranges_max` ranges (KEY_RANGES_MAX, but for tests). False when memory is out. */
struct key_part {
    uint32_t column;
    struct column_type type;
    enum column_function function; /* of the column; of FUNCTION_ELEMENTS the part is fixed by PREDICATE_CONTAINS */
};
PLINTH_MUST_CHECK bool key_ranges_make(const struct predicate *predicate, const struct key_part *parts,
                                       uint32_t part_count, enum row_key_form form, uint32_t ranges_max,
                                       struct arena *arena, struct key_ranges *ranges);

#endif
