/* Single values of a column, one at a time and compared exactly: what literals become, what bounds and single rows are
 * tested with. The kernels over whole columns are predicate_kernels.h. */
#ifndef PLINTH_EXPR_SCALAR_H
#define PLINTH_EXPR_SCALAR_H

#include "column/batch.h"

/* Aligned as arenas are. */
__extension__ typedef __int128 int128 __attribute__((aligned(8)));

/* Which field of a scalar a kind uses. */
enum scalar_class {
    SCALAR_INTEGER = 1, /* BOOL, integers, DATE, TIMESTAMP, DECIMAL (the unscaled value) */
    SCALAR_FLOAT = 2,
    SCALAR_BYTES = 3, /* STRING, BYTES, UUID */
    SCALAR_NONE = 4   /* LIST */
};

struct scalar {
    int128 integer;
    double real;
    struct slice bytes; /* borrowed */
};

enum scalar_class scalar_class_of(uint8_t kind);
/* The value at `row`, which is no null; bytes are borrowed from the column. Not for LIST. */
struct scalar scalar_at(const struct column *column, uint32_t row);
/* <0, 0, >0. Floats: NaN equals NaN and is above every number, -0 equals 0. */
int scalar_compare(enum scalar_class class, const struct scalar *a, const struct scalar *b);
/* A column of these values without nulls, with copies of their bytes. False when memory is out. */
PLINTH_MUST_CHECK bool column_of_scalars(struct arena *arena, struct column_type type, const struct scalar *scalars,
                                         uint32_t count, struct column *out);
/* The least and the greatest value of a kind of SCALAR_INTEGER. */
int128 integer_min_of(struct column_type type);
int128 integer_max_of(struct column_type type);

#endif
