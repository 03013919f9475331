/* Where a literal lies among the values of a column's type. The type may not be able to hold it (2.5 among integers,
 * a microsecond among milliseconds, 300 among int8), but it always lies somewhere. */
#ifndef PLINTH_EXPR_LITERAL_H
#define PLINTH_EXPR_LITERAL_H

#include "expr/predicate.h"
#include "expr/scalar.h"

enum position_kind {
    POSITION_EXACT = 1,   /* `value` is the literal */
    POSITION_BETWEEN = 2, /* `value` is the least value of the type above the literal; there is one below it, too */
    POSITION_BELOW = 3,   /* below all values of the type */
    POSITION_ABOVE = 4    /* above all values of the type */
};

struct position {
    enum position_kind kind;
    struct scalar value; /* bytes in the arena, or the literal's own */
};

/* The position of a literal that is not NULL. Floats take decimal text as the nearest value of their type, but a
 * LITERAL_FLOAT exactly; a float among decimals counts as its shortest decimal text.
 * PLINTH_INVALID_ARGUMENT: it is no value of the type at all ("'abc' is not a valid date"). */
PLINTH_MUST_CHECK enum plinth_status literal_position(const struct literal *literal, struct column_type type,
                                                      struct arena *arena, struct position *position,
                                                      struct plinth_error *error);

enum { LITERAL_TEXT_MAX = 96 };
/* The literal for people, cut when it is long. */
const char *literal_format(const struct literal *literal, char text[LITERAL_TEXT_MAX]);
/* The shortest decimal text that reads as this double; "inf", "-inf", "nan". */
enum { REAL_TEXT_MAX = 32 };
void real_format(double real, char text[REAL_TEXT_MAX]);

#endif
