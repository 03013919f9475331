/* Changes of the catalog as log records, and the schemas that they lead to. engine/rows.h has the look-ups. */
#ifndef PLINTH_ENGINE_TABLE_DDL_H
#define PLINTH_ENGINE_TABLE_DDL_H

#include "engine/engine.h"
#include "engine/rows.h"
#include "engine/table_gate.h"

/* Numbers `change` behind the present version, checks it and appends it (and before it what raises the feature level,
 * where it needs that). Tables that it drops leave the view, and their files go once no reader needs them. Not durable
 * on return: wait for `*lsn`. Errors are those of catalog_check. */
PLINTH_MUST_CHECK enum plinth_status engine_change_catalog(struct plinth *db, struct catalog_change *change,
                                                           uint64_t *lsn, struct plinth_error *error);

/* The schema of a typed table; `verb` tells what a key space has instead. */
PLINTH_MUST_CHECK enum plinth_status engine_find_rows_table(struct plinth *db, const char *database, const char *name,
                                                            const char *verb, const struct table_schema **schema,
                                                            struct plinth_error *error);
/* The database's id; makes it when it is missing. */
PLINTH_MUST_CHECK enum plinth_status engine_ensure_database(struct plinth *db, struct slice name, uint32_t *id,
                                                            struct plinth_error *error);

/* Makes the columns that the table lacks. Columns that it has with the same type are no error, so writers that find the
 * same new column at once all succeed; with another type: PLINTH_CONFLICT names column and both types. They are in the
 * log before any row that is written after the return. Not inside of the table's gate. */
PLINTH_MUST_CHECK enum plinth_status engine_add_columns(struct plinth *db, uint32_t table,
                                                        const struct catalog_column *columns, uint32_t count,
                                                        struct plinth_error *error);

/* Drops indexes that a former process of an older version has left half built. At open. */
PLINTH_MUST_CHECK enum plinth_status engine_drop_unbuilt_indexes(struct plinth *db, struct plinth_error *error);

#endif
