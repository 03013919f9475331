/* Values that are more than once in a unique index, all of whose entries are looked through (rows_unique.h). */
#ifndef PLINTH_ENGINE_INDEX_DOUBLES_H
#define PLINTH_ENGINE_INDEX_DOUBLES_H

#include "engine/engine.h"

/* What a look through an index has found. */
struct index_doubles {
    uint64_t values;     /* that several rows have */
    struct buffer first; /* one of them, as text, with the keys of two of its rows; empty: none */
};

/* Looks through the index as the state at `lsn` has it, but for rows that have expired at `time_us`; the caller deinits
 * `doubles->first`. */
PLINTH_MUST_CHECK enum plinth_status view_find_doubles(struct view *view, uint64_t lsn, uint64_t time_us,
                                                       const struct table_schema *schema,
                                                       const struct table_index *index, struct index_doubles *doubles,
                                                       struct plinth_error *error);
/* PLINTH_ALREADY_EXISTS, saying how many and naming one, when rows have the same values in an index whose entries have
 * all been made. Closes the table's gate for a moment. */
PLINTH_MUST_CHECK enum plinth_status engine_check_doubles(struct plinth *db, const struct table_schema *schema,
                                                          const struct table_index *index, struct plinth_error *error);

#endif
