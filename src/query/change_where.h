/* Deletes and updates of the rows that a condition is true of.
 *
 * A host evaluates the condition at a state and appends what follows from it as a transaction: everything is visible at
 * once, and only if nothing that was read has been written since; else it is evaluated again. After some attempts the
 * table's writers are kept out for the next one, so that it comes to an end. */
#ifndef PLINTH_QUERY_CHANGE_WHERE_H
#define PLINTH_QUERY_CHANGE_WHERE_H

#include "engine/engine.h"
#include "expr/predicate.h"

struct where_assignment {
    struct slice column;
    struct literal value; /* cast as literals of conditions are; or */
    struct slice from;    /* (not empty) the value of this column before */
};

struct where_change {
    const struct predicate *predicate; /* unbound; null: all rows */
    const struct where_assignment *assignments;
    uint32_t assignment_count; /* 0: the rows are deleted */
    bool not_atomic;           /* as several transactions, in the order of keys, each of some MiB */
    struct plinth_write_options write;
};

/* Null `database` is "default". `result` is filled also when it fails midway (not_atomic). PLINTH_NOT_FOUND (table),
 * PLINTH_INVALID_ARGUMENT names the column, value or place in the condition; PLINTH_TOO_LARGE: more than a transaction
 * takes, and not `not_atomic`; PLINTH_CONFLICT: others changed the table all the time. */
PLINTH_MUST_CHECK enum plinth_status rows_change_where(struct plinth *db, const char *database, const char *table,
                                                       const struct where_change *change,
                                                       struct plinth_where_result *result, struct plinth_error *error);

#endif
