/* Fields: the schema as Arrow sees it. Where the format spends up to three nodes on a list, a field tree has one list.
 *
 *     Parquet                                          field
 *     optional group a (LIST)                          a: LIST, nullable
 *       repeated group list                              element: LEAF, nullable
 *         optional int32 element
 *     optional group m (MAP)                           m: MAP, nullable
 *       repeated group key_value                         entries: STRUCT
 *         required binary key, optional int32 value        key: LEAF; value: LEAF, nullable
 *     repeated int32 r                                 r: LIST, its element not nullable
 *
 * The old forms of lists are told apart by the rules of LogicalTypes.md: the repeated node is the element itself when
 * it is a column, has several children or one that repeats, is a list or map, or is named "array" or like the list with
 * "_tuple". A map without values is a list of its keys. A LIST or MAP group of another shape is a STRUCT. Groups
 * without any (selected) column disappear, since nothing tells how many of them there are.
 *
 * Levels: at each slot of any column below a field
 *     an entry of the field begins   where repetition <= depth and definition >= entry_level
 *     it is not null                 where definition >= value_level
 *     LIST, MAP: an element begins   where repetition <= depth + 1 and definition >= element_level */
#ifndef PLINTH_PARQUET_FIELD_H
#define PLINTH_PARQUET_FIELD_H

#include "parquet/schema.h"

enum parquet_field_kind {
    PARQUET_FIELD_LEAF,
    PARQUET_FIELD_STRUCT,
    PARQUET_FIELD_LIST, /* children[0]: the elements */
    PARQUET_FIELD_MAP,  /* children[0]: a STRUCT of key and value */
};

struct parquet_field {
    const char *name;
    enum parquet_field_kind kind;
    bool nullable;
    uint8_t depth;
    uint8_t entry_level; /* also the children of a struct that is null have an entry for it */
    uint8_t value_level;
    uint8_t element_level; /* LIST, MAP */
    uint32_t node;         /* index in the schema's nodes; entries of a MAP: of the repeated node */
    uint32_t first_leaf;   /* of `leaves` of the fields */
    uint32_t leaf_count;   /* at least 1 */
    struct parquet_field *children;
    uint32_t child_count;
};

struct parquet_fields {
    struct parquet_field *fields; /* at the root */
    uint32_t field_count;
    uint32_t *leaves; /* the columns below the fields, in order: numbers in the schema */
    uint32_t leaf_count;
};

/* The fields of the columns whose entry in `selected` is true (null: all). Memory comes from `arena` and what is named
 * from the schema. PLINTH_OUT_OF_MEMORY only. */
PLINTH_MUST_CHECK enum plinth_status parquet_fields_init(struct parquet_fields *fields, struct arena *arena,
                                                         const struct parquet_schema *schema, const bool *selected,
                                                         struct plinth_error *error);

#endif
