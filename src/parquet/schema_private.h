/* What the schema shares with the metadata decoder. */
#ifndef PLINTH_PARQUET_SCHEMA_PRIVATE_H
#define PLINTH_PARQUET_SCHEMA_PRIVATE_H

#include "parquet/bounded_arena.h"
#include "parquet/schema.h"

/* Derives schema->columns from schema->nodes, whose memory the schema keeps. PLINTH_INVALID_ARGUMENT for a tree that
 * does not add up, PLINTH_OUT_OF_MEMORY at the limit. `*root_children` is the number of nodes below the root. */
PLINTH_MUST_CHECK enum plinth_status schema_derive(struct parquet_schema *schema, struct bounded_arena *memory,
                                                   uint32_t *root_children, struct plinth_error *error);
/* Whether the node's logical type may stand on its physical type (or group). */
bool schema_logical_fits(const struct parquet_node *node);

#endif
