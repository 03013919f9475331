/* The schema: a tree, given and stored as its nodes in pre-order, each with its number of children. The
 * leaves are the columns, numbered in the same order. A flat table is a list of nodes without children.
 *
 * Levels: a column's `definition_level_max` counts the OPTIONAL and REPEATED nodes from the root to the leaf,
 * `repetition_level_max` the REPEATED ones.
 *
 * A list is three nodes: an OPTIONAL or REQUIRED group with the logical type LIST, in it one REPEATED group "list", in
 * that the OPTIONAL or REQUIRED "element". From the top definition level of such a column down: there is a value; a
 * null element (when OPTIONAL); an empty list; no list (when OPTIONAL). */
#ifndef PLINTH_PARQUET_SCHEMA_H
#define PLINTH_PARQUET_SCHEMA_H

#include "base/arena.h"
#include "parquet/types.h"
#include "plinth_status.h"

enum {
    PARQUET_SCHEMA_DEPTH_MAX = 128, /* keeps levels in a byte and recursion short */
    PARQUET_FIXED_LENGTH_MAX = 1 << 20,
};

struct parquet_node {
    const char *name; /* zero-terminated UTF-8 */
    enum parquet_repetition repetition;
    uint32_t child_count; /* 0: a column (or, from a file, an empty group) */
    bool is_group;        /* has no type; set when child_count > 0 */
    enum parquet_type type;
    uint32_t type_length; /* FIXED: bytes a value */
    struct parquet_logical_type logical;
    bool has_field_id;
    int32_t field_id;
};

/* How a file compared the bounds of a column: what its column_orders say. */
enum parquet_bounds_order {
    PARQUET_BOUNDS_BY_TYPE = 0, /* parquet_column_order (statistics.h) */
    PARQUET_BOUNDS_TOTAL,       /* floating point, by IEEE 754: bounds are NaN where all values are */
    PARQUET_BOUNDS_NOT_SAID,
    PARQUET_BOUNDS_UNKNOWN, /* in a way that this version does not know */
};

struct parquet_column {
    const char *name;         /* of the leaf */
    const char *path;         /* "a.b.c" from below the root */
    const char *const *parts; /* the names of the path */
    uint32_t part_count;      /* 1 for a flat column */
    uint32_t node;            /* index of the leaf in `nodes` */
    enum parquet_type type;
    uint32_t type_length;
    uint32_t width; /* parquet_type_width */
    struct parquet_logical_type logical;
    uint8_t definition_level_max;
    uint8_t repetition_level_max;
    uint8_t element_level; /* the least definition level at which the innermost list has an element; 0: no list */
    const uint8_t *element_levels; /* the same for each list, outermost first: repetition_level_max of them */
    enum parquet_bounds_order bounds_order;
};

struct parquet_schema {
    const char *root_name;
    struct parquet_node *nodes; /* without the root */
    uint32_t node_count;
    struct parquet_column *columns;
    uint32_t column_count;
};

/* Flat columns (and columns of optional groups) have one slot a row: no repetition. */
static inline bool parquet_column_is_flat(const struct parquet_column *column) {
    return column->repetition_level_max == 0;
}
/* Whether rows of the column have levels beside their slots; else validity says all. */
static inline bool parquet_column_has_levels(const struct parquet_column *column) {
    return column->repetition_level_max > 0 || column->definition_level_max > 1;
}

/* Copies and checks `nodes` (without the root) and derives the columns; all memory comes from `arena`.
 * PLINTH_INVALID_ARGUMENT names the node: child counts that do not add up, a type without its length, a
 * logical type on the wrong physical type, too deep, an empty schema. */
PLINTH_MUST_CHECK enum plinth_status parquet_schema_init(struct parquet_schema *schema, struct arena *arena,
                                                         const char *root_name, const struct parquet_node *nodes,
                                                         uint32_t node_count, struct plinth_error *error);
/* The column with this path ("a.b"), or -1. */
int32_t parquet_schema_find(const struct parquet_schema *schema, const char *path);

#endif
