/* Unique indexes of typed tables: no two rows have the same values in all of an index's parts, but where one is null.
 *
 * Writers of such a table take turns: they close its gate (table_gate.h), so that every row decided before is in a
 * memtable or segment, look for rows that have the values already, reject their own rows that do, and write the others.
 * That is so from the record that makes the index on, while it is built, too: a row that is not in the index yet is not
 * found then. So when all entries are there they are looked through, and the index becomes ready only when no value is
 * there twice: what is there twice stays there, until somebody deletes or changes it. */
#ifndef PLINTH_ENGINE_ROWS_UNIQUE_H
#define PLINTH_ENGINE_ROWS_UNIQUE_H

#include "engine/rows_plan.h"

bool schema_has_unique(const struct table_schema *schema);
/* Rejects rows of a matched plan whose values another row has, in the table or before them in the batch:
 * PLINTH_ALREADY_EXISTS. The table's gate is closed. */
PLINTH_MUST_CHECK enum plinth_status rows_check_unique(struct plinth *db, struct rows_plan *plan,
                                                       struct plinth_error *error);
/* PLINTH_ALREADY_EXISTS, saying how many and naming one, when rows have the same values in the index, all of whose
 * entries are there. Closes the table's gate for a moment. */
PLINTH_MUST_CHECK enum plinth_status engine_find_doubles(struct plinth *db, const struct table_schema *schema,
                                                         const struct table_index *index, struct plinth_error *error);

#endif
