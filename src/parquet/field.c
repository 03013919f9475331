/* The schema as Arrow sees it. See field.h. */
#include "parquet/field.h"

#include <string.h>

#include "base/status.h"

struct field_builder {
    const struct parquet_schema *schema;
    const bool *selected;
    const uint32_t *ends; /* by node: the first node behind its subtree */
    struct arena *arena;
    struct parquet_fields *fields;
    uint32_t column; /* the next one in node order */
    bool is_out_of_memory;
};

/* Where a node stands. */
struct field_place {
    uint32_t node;
    uint8_t depth;
    uint8_t level;   /* definition level of what is above */
    uint8_t entry;   /* that from which there is an entry: of the innermost list's elements */
    bool is_element; /* the node is an element itself: that it repeats is said by the list */
};

/* The nodes are in pre-order, so a subtree ends where its last child's does. */
static void find_ends(const struct parquet_schema *schema, uint32_t *ends) {
    for (uint32_t i = schema->node_count; i-- > 0;) {
        uint32_t end = i + 1;
        for (uint32_t k = 0; k < schema->nodes[i].child_count; k++) end = ends[end];
        ends[i] = end;
    }
}

static struct parquet_field *alloc_fields(struct field_builder *builder, uint32_t count) {
    struct parquet_field *fields = arena_zalloc(builder->arena, (count ? count : 1) * sizeof *fields);
    if (!fields) builder->is_out_of_memory = true;
    return fields;
}

static bool build(struct field_builder *builder, struct field_place place, struct parquet_field *field);

/* The nodes below node `at` as children of `field`; false when none of them has columns. */
static bool build_children(struct field_builder *builder, uint32_t at, struct field_place below,
                           struct parquet_field *field) {
    const struct parquet_node *node = &builder->schema->nodes[at];
    field->children = alloc_fields(builder, node->child_count);
    if (!field->children) return false;
    below.node = at + 1;
    for (uint32_t i = 0; i < node->child_count; i++) {
        if (build(builder, below, &field->children[field->child_count])) field->child_count++;
        below.node = builder->ends[below.node];
    }
    return field->child_count > 0;
}

static bool build_leaf(struct field_builder *builder, struct parquet_field *field) {
    uint32_t column = builder->column++;
    if (builder->selected && !builder->selected[column]) return false;
    field->kind = PARQUET_FIELD_LEAF;
    builder->fields->leaves[builder->fields->leaf_count++] = column;
    return true;
}

/* Whether the repeated node is the element of the LIST group above it, and no mere wrapping. */
static bool is_old_element(const struct parquet_node *list, const struct parquet_node *repeated) {
    size_t length = strlen(list->name);
    if (!repeated->is_group || repeated->child_count != 1 || repeated[1].repetition == PARQUET_REPEATED) return true;
    if (repeated->logical.kind == PARQUET_LOGICAL_LIST || repeated->logical.kind == PARQUET_LOGICAL_MAP) return true;
    if (strcmp(repeated->name, "array") == 0) return true;
    return strncmp(repeated->name, list->name, length) == 0 && strcmp(repeated->name + length, "_tuple") == 0;
}

static bool build_element(struct field_builder *builder, struct field_place element, struct parquet_field *list) {
    list->children = alloc_fields(builder, 1);
    if (!list->children || !build(builder, element, &list->children[0])) return false;
    list->child_count = 1;
    return true;
}

static bool build_list(struct field_builder *builder, uint32_t at, struct parquet_field *field) {
    const struct parquet_node *repeated = &builder->schema->nodes[at + 1];
    struct field_place element = {.node = at + 1,
                                  .depth = (uint8_t)(field->depth + 1),
                                  .level = field->element_level,
                                  .entry = field->element_level};
    element.is_element = is_old_element(&builder->schema->nodes[at], repeated);
    if (!element.is_element) element.node++;
    field->kind = PARQUET_FIELD_LIST;
    return build_element(builder, element, field);
}

static bool build_map(struct field_builder *builder, uint32_t at, struct parquet_field *field) {
    struct field_place below = {
        .depth = (uint8_t)(field->depth + 1), .level = field->element_level, .entry = field->element_level};
    field->children = alloc_fields(builder, 1);
    if (!field->children) return false;
    struct parquet_field *entries = &field->children[0];
    *entries = (struct parquet_field){.name = builder->schema->nodes[at + 1].name,
                                      .kind = PARQUET_FIELD_STRUCT,
                                      .depth = below.depth,
                                      .entry_level = below.level,
                                      .value_level = below.level,
                                      .node = at + 1,
                                      .first_leaf = builder->fields->leaf_count};
    if (!build_children(builder, at + 1, below, entries)) return false;
    entries->leaf_count = builder->fields->leaf_count - entries->first_leaf;
    field->child_count = 1;
    field->kind = PARQUET_FIELD_MAP;
    if (entries->child_count == 2) return true;
    field->kind = PARQUET_FIELD_LIST; /* keys alone */
    field->children = entries->children;
    return true;
}

/* The one repeated child that a LIST or MAP must have. */
static const struct parquet_node *repeated_child(const struct parquet_node *node) {
    return node->is_group && node->child_count == 1 && node[1].repetition == PARQUET_REPEATED ? &node[1] : NULL;
}

static bool build_value(struct field_builder *builder, uint32_t at, struct parquet_field *field) {
    const struct parquet_node *node = &builder->schema->nodes[at], *repeated = repeated_child(node);
    if (!node->is_group) return build_leaf(builder, field);
    field->element_level = (uint8_t)(field->value_level + 1);
    if (repeated && node->logical.kind == PARQUET_LOGICAL_LIST && (!repeated->is_group || repeated->child_count > 0))
        return build_list(builder, at, field);
    if (repeated && node->logical.kind == PARQUET_LOGICAL_MAP && repeated->is_group &&
        (repeated->child_count == 1 || repeated->child_count == 2))
        return build_map(builder, at, field);
    field->kind = PARQUET_FIELD_STRUCT;
    struct field_place below = {.depth = field->depth, .level = field->value_level, .entry = field->entry_level};
    return build_children(builder, at, below, field);
}

/* False when the field has no columns; then the builder has passed it all the same. */
static bool build(struct field_builder *builder, struct field_place place, struct parquet_field *field) {
    const struct parquet_node *node = &builder->schema->nodes[place.node];
    bool is_bare_list = node->repetition == PARQUET_REPEATED && !place.is_element;
    *field = (struct parquet_field){.name = node->name,
                                    .nullable = node->repetition == PARQUET_OPTIONAL,
                                    .depth = place.depth,
                                    .entry_level = place.entry,
                                    .value_level = place.level,
                                    .node = place.node,
                                    .first_leaf = builder->fields->leaf_count};
    if (field->nullable) field->value_level++;
    bool has_columns;
    if (is_bare_list) {
        field->kind = PARQUET_FIELD_LIST;
        field->element_level = (uint8_t)(place.level + 1);
        has_columns = build_element(builder,
                                    (struct field_place){.node = place.node,
                                                         .depth = (uint8_t)(place.depth + 1),
                                                         .level = field->element_level,
                                                         .entry = field->element_level,
                                                         .is_element = true},
                                    field);
    } else {
        has_columns = build_value(builder, place.node, field);
    }
    field->leaf_count = builder->fields->leaf_count - field->first_leaf;
    return has_columns && !builder->is_out_of_memory;
}

enum plinth_status parquet_fields_init(struct parquet_fields *fields, struct arena *arena,
                                       const struct parquet_schema *schema, const bool *selected,
                                       struct plinth_error *error) {
    *fields = (struct parquet_fields){0};
    uint32_t *ends = arena_alloc(arena, (schema->node_count + 1) * sizeof *ends);
    fields->leaves = arena_alloc(arena, (schema->column_count + 1) * sizeof *fields->leaves);
    struct field_builder builder = {
        .schema = schema, .selected = selected, .ends = ends, .arena = arena, .fields = fields};
    fields->fields = alloc_fields(&builder, schema->node_count);
    if (!ends || !fields->leaves || !fields->fields) return error_no_memory(error, "Parquet fields");
    find_ends(schema, ends);
    for (uint32_t at = 0; at < schema->node_count && !builder.is_out_of_memory; at = ends[at])
        if (build(&builder, (struct field_place){.node = at}, &fields->fields[fields->field_count]))
            fields->field_count++;
    return builder.is_out_of_memory ? error_no_memory(error, "Parquet fields") : PLINTH_OK;
}
