/* The index values of a row with the names of their indexes.
 *
 * A row stores the table ids of its indexes (table/row.h). Ids and names never change, so a reader keeps those it has
 * met and asks the catalog, under its lock, only for new ones. */
#ifndef PLINTH_ENGINE_ROW_INDEXES_H
#define PLINTH_ENGINE_ROW_INDEXES_H

#include "engine/engine.h"

struct index_name {
    uint32_t table;
    char *name; /* owned */
};

/* {0} is one that has met none. */
struct row_indexes {
    struct plinth_index_value *values; /* of the last row */
    size_t count, capacity;
    struct index_name *names; /* ordered by table */
    size_t name_count;
};

void row_indexes_deinit(struct row_indexes *indexes);
/* Fills `values` and `count`. Names are valid until deinit, values as long as the row. PLINTH_CORRUPT, naming the
 * position of the row, for a malformed list or an index that key space `space` does not have. */
PLINTH_MUST_CHECK enum plinth_status row_indexes_read(struct row_indexes *indexes, struct plinth *db, uint32_t space,
                                                      const struct row *row, struct plinth_error *error);

#endif
