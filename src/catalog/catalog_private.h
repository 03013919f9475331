/* What the files of this folder share. */
#ifndef PLINTH_CATALOG_CATALOG_PRIVATE_H
#define PLINTH_CATALOG_CATALOG_PRIVATE_H

#include "catalog/catalog.h"

/* The schema that the table of `change` has once it is applied (null where the change makes or changes none), or why it
 * cannot be. `id` is that of what is made. One reference. */
PLINTH_MUST_CHECK enum plinth_status catalog_make_schema(const struct catalog *catalog,
                                                         const struct catalog_change *change, struct table_id id,
                                                         struct table_schema **schema, struct plinth_error *error);
/* All rules of a typed table's schema. PLINTH_INVALID_ARGUMENT or PLINTH_RESOURCE_EXHAUSTED. */
PLINTH_MUST_CHECK enum plinth_status catalog_check_schema(const struct table_schema *schema,
                                                          struct plinth_error *error);

/* catalog_make_schema of ALTER_TABLE. */
PLINTH_MUST_CHECK enum plinth_status catalog_make_altered(const struct catalog *catalog,
                                                          const struct catalog_table *table,
                                                          const struct catalog_change *change,
                                                          struct table_schema **schema, struct plinth_error *error);
/* Frees what a table holds. */
void catalog_free_table(struct catalog_table *table);
/* Forgets what tables were up to `horizon_lsn`. */
void catalog_forget_pasts(struct catalog *catalog, uint64_t horizon_lsn);
/* Adds what a table was behind all that are known; takes over a reference, also on failure. */
PLINTH_MUST_CHECK bool catalog_add_past(struct catalog_table *table, uint64_t until_lsn,
                                        const struct table_schema *schema);

/* Null when there is none. */
struct catalog_table *catalog_table_mutable(const struct catalog *catalog, uint32_t table);
PLINTH_MUST_CHECK bool catalog_add_database(struct catalog *catalog, uint32_t tenant, uint32_t id, struct slice name);
/* Adds a table behind all others, taking over its schema (also on failure). An index is linked in front of its table's
 * list, whose schema it does not change. */
PLINTH_MUST_CHECK bool catalog_add_table(struct catalog *catalog, struct catalog_table table, struct slice name);
/* Puts a schema, taken over, in the place of the table's present one. */
void catalog_replace_schema(struct catalog_table *table, struct table_schema *schema);

#endif
