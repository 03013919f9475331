/* The schema tree and its columns. See schema.h. */
#include "parquet/schema.h"

#include <string.h>

#include "base/status.h"
#include "parquet/schema_private.h"

static bool decimal_fits(const struct parquet_node *node) {
    int32_t precision = node->logical.precision;
    if (precision < 1 || node->logical.scale < 0 || node->logical.scale > precision) return false;
    switch (node->type) {
    case PARQUET_TYPE_INT32: return precision <= 9;
    case PARQUET_TYPE_INT64: return precision <= 18;
    case PARQUET_TYPE_BYTE_ARRAY: return true;
    case PARQUET_TYPE_FIXED: return (uint64_t)precision <= (uint64_t)node->type_length * 241 / 100; /* log10(256) */
    default: return false;
    }
}

static bool leaf_logical_fits(const struct parquet_node *node) {
    const struct parquet_logical_type *logical = &node->logical;
    bool is_time_32 = logical->unit == PARQUET_TIME_MILLIS;
    bool has_unit = logical->unit >= PARQUET_TIME_MILLIS && logical->unit <= PARQUET_TIME_NANOS;
    switch (logical->kind) {
    case PARQUET_LOGICAL_STRING:
    case PARQUET_LOGICAL_JSON:
    case PARQUET_LOGICAL_BSON:
    case PARQUET_LOGICAL_GEOMETRY:
    case PARQUET_LOGICAL_GEOGRAPHY: return node->type == PARQUET_TYPE_BYTE_ARRAY;
    case PARQUET_LOGICAL_ENUM: return node->type == PARQUET_TYPE_BYTE_ARRAY;
    case PARQUET_LOGICAL_DECIMAL: return decimal_fits(node);
    case PARQUET_LOGICAL_DATE: return node->type == PARQUET_TYPE_INT32;
    case PARQUET_LOGICAL_TIME: return has_unit && node->type == (is_time_32 ? PARQUET_TYPE_INT32 : PARQUET_TYPE_INT64);
    case PARQUET_LOGICAL_TIMESTAMP: return has_unit && node->type == PARQUET_TYPE_INT64;
    case PARQUET_LOGICAL_INTEGER:
        if (logical->bits == 64) return node->type == PARQUET_TYPE_INT64;
        return (logical->bits == 8 || logical->bits == 16 || logical->bits == 32) && node->type == PARQUET_TYPE_INT32;
    case PARQUET_LOGICAL_UUID: return node->type == PARQUET_TYPE_FIXED && node->type_length == 16;
    case PARQUET_LOGICAL_FLOAT16: return node->type == PARQUET_TYPE_FIXED && node->type_length == 2;
    case PARQUET_LOGICAL_INTERVAL: return node->type == PARQUET_TYPE_FIXED && node->type_length == 12;
    case PARQUET_LOGICAL_NONE:
    case PARQUET_LOGICAL_NULL:
    case PARQUET_LOGICAL_OTHER: return true;
    default: return false;
    }
}

bool schema_logical_fits(const struct parquet_node *node) {
    enum parquet_logical_kind kind = node->logical.kind;
    if (!node->is_group) return leaf_logical_fits(node);
    return kind == PARQUET_LOGICAL_NONE || kind == PARQUET_LOGICAL_LIST || kind == PARQUET_LOGICAL_MAP ||
           kind == PARQUET_LOGICAL_VARIANT || kind == PARQUET_LOGICAL_OTHER;
}

/* The open groups above a node, outermost first. */
struct ancestors {
    const struct parquet_node *nodes[PARQUET_SCHEMA_DEPTH_MAX];
    uint32_t children_left[PARQUET_SCHEMA_DEPTH_MAX];
    uint32_t depth;
};

static bool column_init(struct parquet_column *column, const struct parquet_schema *schema, uint32_t node_index,
                        const struct ancestors *above, struct bounded_arena *memory) {
    const struct parquet_node *node = &schema->nodes[node_index];
    uint32_t part_count = above->depth + 1;
    const char **parts = bounded_arena_alloc(memory, part_count, sizeof *parts);
    uint8_t *element_levels = bounded_arena_alloc(memory, part_count, 1);
    if (!parts || !element_levels) return false;
    *column = (struct parquet_column){.name = node->name,
                                      .path = node->name,
                                      .parts = parts,
                                      .element_levels = element_levels,
                                      .part_count = part_count,
                                      .node = node_index,
                                      .type = node->type,
                                      .type_length = node->type_length,
                                      .width = parquet_type_width(node->type, node->type_length),
                                      .logical = node->logical};
    size_t path_bytes = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        const struct parquet_node *part = i < above->depth ? above->nodes[i] : node;
        parts[i] = part->name;
        path_bytes += strlen(part->name) + 1;
        if (part->repetition != PARQUET_REQUIRED) column->definition_level_max++;
        if (part->repetition != PARQUET_REPEATED) continue;
        element_levels[column->repetition_level_max++] = column->definition_level_max;
        column->element_level = column->definition_level_max;
    }
    if (part_count == 1) return true;
    char *path = bounded_arena_alloc(memory, path_bytes, 1);
    if (!path) return false;
    char *at = path;
    for (uint32_t i = 0; i < part_count; i++) {
        at = stpcpy(at, parts[i]);
        if (i + 1 < part_count) *at++ = '.';
    }
    column->path = path;
    return true;
}

enum plinth_status schema_derive(struct parquet_schema *schema, struct bounded_arena *memory, uint32_t *root_children,
                                 struct plinth_error *error) {
    *root_children = 0;
    schema->column_count = 0;
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < schema->node_count; i++) leaves += !schema->nodes[i].is_group;
    schema->columns = bounded_arena_alloc(memory, leaves, sizeof *schema->columns);
    if (!schema->columns) return error_no_memory(error, "Parquet schema (memory limit)");
    struct ancestors above = {.depth = 0};
    for (uint32_t i = 0; i < schema->node_count; i++) {
        const struct parquet_node *node = &schema->nodes[i];
        if (above.depth == 0)
            (*root_children)++;
        else
            above.children_left[above.depth - 1]--;
        if (!node->is_group) {
            if (!column_init(&schema->columns[schema->column_count++], schema, i, &above, memory))
                return error_no_memory(error, "Parquet schema (memory limit)");
        } else if (node->child_count > 0) {
            if (above.depth == PARQUET_SCHEMA_DEPTH_MAX - 1)
                return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: \"%.100s\" is nested too deep", node->name);
            above.nodes[above.depth] = node;
            above.children_left[above.depth++] = node->child_count;
        }
        while (above.depth > 0 && above.children_left[above.depth - 1] == 0) above.depth--;
    }
    if (above.depth > 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: the children of \"%.100s\" are missing",
                         above.nodes[above.depth - 1]->name);
    return PLINTH_OK;
}

static enum plinth_status node_check(const struct parquet_node *node, struct plinth_error *error) {
    if (node->is_group != (node->child_count > 0))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: \"%.100s\" must be a group with children or a column",
                         node->name);
    if ((unsigned)node->repetition > PARQUET_REPEATED || (unsigned)node->type >= PARQUET_TYPE_COUNT)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: \"%.100s\" has an unknown type or repetition",
                         node->name);
    if (!node->is_group && node->type == PARQUET_TYPE_FIXED &&
        (node->type_length == 0 || node->type_length > PARQUET_FIXED_LENGTH_MAX))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: \"%.100s\" needs a length of 1 to %d bytes",
                         node->name, PARQUET_FIXED_LENGTH_MAX);
    if (!schema_logical_fits(node))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: the logical type of \"%.100s\" does not fit %s",
                         node->name, node->is_group ? "a group" : parquet_type_name(node->type));
    return PLINTH_OK;
}

enum plinth_status parquet_schema_init(struct parquet_schema *schema, struct arena *arena, const char *root_name,
                                       const struct parquet_node *nodes, uint32_t node_count,
                                       struct plinth_error *error) {
    *schema = (struct parquet_schema){0};
    if (node_count == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "schema: there are no columns");
    struct parquet_node *copies = arena_alloc(arena, node_count * sizeof *copies);
    char *root = (char *)arena_copy(arena, slice_of_string(root_name));
    if (!copies || !root) return error_no_memory(error, "Parquet schema");
    for (uint32_t i = 0; i < node_count; i++) {
        enum plinth_status st = node_check(&nodes[i], error);
        if (st) return st;
        copies[i] = nodes[i];
        if (copies[i].type != PARQUET_TYPE_FIXED) copies[i].type_length = 0;
        copies[i].name = (char *)arena_copy(arena, slice_of_string(nodes[i].name));
        if (!copies[i].name) return error_no_memory(error, "Parquet schema");
    }
    *schema = (struct parquet_schema){.root_name = root, .nodes = copies, .node_count = node_count};
    uint32_t root_children;
    return schema_derive(schema, &(struct bounded_arena){arena, UINT64_MAX}, &root_children, error);
}

int32_t parquet_schema_find(const struct parquet_schema *schema, const char *path) {
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (strcmp(schema->columns[i].path, path) == 0) return (int32_t)i;
    return -1;
}
