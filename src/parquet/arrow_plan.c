/* An ArrowSchema as a Parquet schema. See arrow_write.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/arrow_write.h"

enum { PLAN_DEPTH_MAX = 40, /* three nodes a list, all within the schema's depth */ FIELDS_MAX = 1 << 20 };

struct planner {
    struct arrow_plan *plan;
    struct plinth_error *error;
};

static enum plinth_status unsupported(struct planner *planner, const struct ArrowSchema *schema, const char *why) {
    return error_set(planner->error, PLINTH_UNSUPPORTED, "field \"%.100s\": %s (Arrow format \"%.40s\")",
                     schema->name ? schema->name : "", why, schema->format ? schema->format : "");
}

static enum plinth_status no_memory(struct planner *planner) { return error_no_memory(planner->error, "Arrow schema"); }

/* ---- Leaves ---- */

static void set_integer(struct parquet_node *node, uint8_t bits, bool is_signed) {
    node->type = bits == 64 ? PARQUET_TYPE_INT64 : PARQUET_TYPE_INT32;
    if (is_signed && bits >= 32) return; /* what the physical type says alone */
    node->logical =
        (struct parquet_logical_type){.kind = PARQUET_LOGICAL_INTEGER, .bits = bits, .is_signed = is_signed};
}

static void set_time(struct parquet_node *node, enum parquet_logical_kind kind, enum parquet_time_unit unit,
                     bool is_utc) {
    bool is_32 = kind == PARQUET_LOGICAL_TIME && unit == PARQUET_TIME_MILLIS;
    node->type = is_32 ? PARQUET_TYPE_INT32 : PARQUET_TYPE_INT64;
    node->logical = (struct parquet_logical_type){.kind = kind, .unit = unit, .is_utc = is_utc};
}

/* One-letter formats; false when it is none of them. */
static bool plan_primitive(char format, struct arrow_field *field, struct parquet_node *node) {
    static const char integers[] = "cCsSiIlL";
    const char *at = strchr(integers, format);
    field->layout = ARROW_LAYOUT_FIXED;
    if (format && at) {
        uint8_t bits = (uint8_t)(8 << ((at - integers) / 2));
        bool is_signed = (at - integers) % 2 == 0;
        field->width = bits / 8;
        if (bits < 32) field->change = is_signed ? ARROW_CHANGE_WIDEN_SIGNED : ARROW_CHANGE_WIDEN_UNSIGNED;
        set_integer(node, bits, is_signed);
        return true;
    }
    switch (format) {
    case 'n':
        field->layout = ARROW_LAYOUT_NULL;
        field->nullable = true;
        node->repetition = PARQUET_OPTIONAL;
        node->type = PARQUET_TYPE_INT32;
        node->logical.kind = PARQUET_LOGICAL_NULL;
        return true;
    case 'b':
        field->layout = ARROW_LAYOUT_BITS;
        node->type = PARQUET_TYPE_BOOLEAN;
        return true;
    case 'e':
        field->width = node->type_length = 2;
        node->type = PARQUET_TYPE_FIXED;
        node->logical.kind = PARQUET_LOGICAL_FLOAT16;
        return true;
    case 'f':
        field->width = 4;
        node->type = PARQUET_TYPE_FLOAT;
        return true;
    case 'g':
        field->width = 8;
        node->type = PARQUET_TYPE_DOUBLE;
        return true;
    case 'z':
    case 'Z':
    case 'u':
    case 'U':
        field->layout = format == 'z' || format == 'u' ? ARROW_LAYOUT_BYTES_32 : ARROW_LAYOUT_BYTES_64;
        node->type = PARQUET_TYPE_BYTE_ARRAY;
        if (format == 'u' || format == 'U') node->logical.kind = PARQUET_LOGICAL_STRING;
        return true;
    default: return false;
    }
}

/* "tdD", "ttm", "tsu:zone", "tDn" */
static bool plan_temporal(const char *format, struct arrow_field *field, struct parquet_node *node) {
    static const char units[] = "smun";
    const char *unit_at = format[1] && format[2] ? strchr(units, format[2]) : NULL;
    int unit = unit_at ? (int)(unit_at - units) : -1;
    enum parquet_time_unit own = unit <= 0 ? PARQUET_TIME_MILLIS : (enum parquet_time_unit)unit;
    field->layout = ARROW_LAYOUT_FIXED;
    field->width = 8;
    if (format[1] == 'd' && (format[2] == 'D' || format[2] == 'm')) {
        field->width = format[2] == 'D' ? 4 : 8;
        field->change = format[2] == 'D' ? ARROW_CHANGE_NOTHING : ARROW_CHANGE_DATE_64;
        node->type = PARQUET_TYPE_INT32;
        node->logical.kind = PARQUET_LOGICAL_DATE;
        return true;
    }
    if (unit < 0) return false;
    if (unit == 0) field->change = ARROW_CHANGE_SECONDS;
    if (format[1] == 't') {
        field->width = unit <= 1 ? 4 : 8;
        set_time(node, PARQUET_LOGICAL_TIME, own, true);
        return true;
    }
    if (format[1] == 's' && format[3] == ':') {
        set_time(node, PARQUET_LOGICAL_TIMESTAMP, own, format[4] != 0);
        return true;
    }
    field->change = ARROW_CHANGE_NOTHING;
    node->type = PARQUET_TYPE_INT64;
    return format[1] == 'D';
}

/* Bytes that a signed number of so many digits takes. */
static uint32_t decimal_bytes(int precision) {
    static const uint8_t digits[] = {0,  2,  4,  6,  9,  11, 14, 16, 18, 21, 23, 26, 28, 31, 33, 35, 38,
                                     40, 43, 45, 47, 50, 52, 55, 57, 59, 62, 64, 67, 69, 71, 74, 76};
    uint32_t bytes = 1;
    while (digits[bytes] < precision) bytes++;
    return bytes;
}

/* "d:precision,scale" and maybe ",bits" */
static bool plan_decimal(const char *format, struct arrow_field *field, struct parquet_node *node) {
    int precision = 0, scale = 0, bits = 128;
    if (sscanf(format, "d:%d,%d,%d", &precision, &scale, &bits) < 2) return false;
    bool is_known = bits == 32 || bits == 64 || bits == 128 || bits == 256;
    if (!is_known || precision < 1 || precision > 76 || scale < 0 || scale > precision) return false;
    field->layout = ARROW_LAYOUT_FIXED;
    field->change = ARROW_CHANGE_DECIMAL;
    field->width = (uint32_t)bits / 8;
    node->type = precision <= 9 ? PARQUET_TYPE_INT32 : precision <= 18 ? PARQUET_TYPE_INT64 : PARQUET_TYPE_FIXED;
    if (node->type == PARQUET_TYPE_FIXED) node->type_length = decimal_bytes(precision);
    node->logical =
        (struct parquet_logical_type){.kind = PARQUET_LOGICAL_DECIMAL, .precision = precision, .scale = scale};
    return true;
}

static bool plan_leaf(const char *format, struct arrow_field *field, struct parquet_node *node) {
    size_t length = strlen(format);
    if (length == 1) return plan_primitive(format[0], field, node);
    if (format[0] == 't') return plan_temporal(format, field, node);
    if (format[0] == 'd') return plan_decimal(format, field, node);
    if (format[0] == 'w' && format[1] == ':') {
        long width = strtol(format + 2, NULL, 10);
        if (width < 1 || width > PARQUET_FIXED_LENGTH_MAX) return false;
        field->layout = ARROW_LAYOUT_FIXED;
        field->width = node->type_length = (uint32_t)width;
        node->type = PARQUET_TYPE_FIXED;
        return true;
    }
    if (strcmp(format, "vu") && strcmp(format, "vz")) return false;
    plan_primitive(format[1], field, node);
    field->layout = ARROW_LAYOUT_BYTES_VIEW;
    return true;
}

/* ---- Fields ---- */

static enum plinth_status plan_field(struct planner *planner, const struct ArrowSchema *schema, const char *name,
                                     uint32_t depth, uint8_t lists, bool is_required, struct arrow_field *field);

static const char *copy_name(struct planner *planner, const char *name) {
    return (const char *)arena_copy(&planner->plan->arena, slice_of_string(name));
}

static bool add_node(struct planner *planner, const struct parquet_node *node) {
    return buffer_append(&planner->plan->nodes, node, sizeof *node);
}

static enum plinth_status plan_children(struct planner *planner, const struct ArrowSchema *schema, uint32_t depth,
                                        uint8_t lists, struct arrow_field *field) {
    enum plinth_status st = PLINTH_OK;
    field->child_count = (uint32_t)schema->n_children;
    field->children = arena_zalloc(&planner->plan->arena, field->child_count * sizeof *field->children);
    if (!field->children) return no_memory(planner);
    for (uint32_t i = 0; !st && i < field->child_count; i++) {
        const char *name = schema->children[i]->name ? schema->children[i]->name : "";
        st = plan_field(planner, schema->children[i], name, depth + 1, lists, false, &field->children[i]);
    }
    return st;
}

static enum plinth_status plan_struct(struct planner *planner, const struct ArrowSchema *schema,
                                      struct parquet_node *node, uint32_t depth, uint8_t lists,
                                      struct arrow_field *field) {
    if (schema->n_children < 1 || schema->n_children > FIELDS_MAX)
        return unsupported(planner, schema, "a struct without fields has no form in Parquet");
    field->layout = ARROW_LAYOUT_STRUCT;
    node->is_group = true;
    node->child_count = (uint32_t)schema->n_children;
    if (!add_node(planner, node)) return no_memory(planner);
    return plan_children(planner, schema, depth, lists, field);
}

static enum plinth_status plan_list(struct planner *planner, const struct ArrowSchema *schema,
                                    struct parquet_node *node, uint32_t depth, uint8_t lists,
                                    struct arrow_field *field) {
    const struct parquet_node repeated = {
        .name = "list", .repetition = PARQUET_REPEATED, .is_group = true, .child_count = 1};
    if (schema->n_children != 1) return unsupported(planner, schema, "a list must have one child");
    node->is_group = true;
    node->child_count = 1;
    node->logical.kind = PARQUET_LOGICAL_LIST;
    field->depth = lists;
    field->child_count = 1;
    field->children = arena_zalloc(&planner->plan->arena, sizeof *field->children);
    if (!field->children || !add_node(planner, node) || !add_node(planner, &repeated)) return no_memory(planner);
    return plan_field(planner, schema->children[0], "element", depth + 2, (uint8_t)(lists + 1), false, field->children);
}

static enum plinth_status plan_map(struct planner *planner, const struct ArrowSchema *schema, struct parquet_node *node,
                                   uint32_t depth, uint8_t lists, struct arrow_field *field) {
    const struct parquet_node repeated = {
        .name = "key_value", .repetition = PARQUET_REPEATED, .is_group = true, .child_count = 2};
    if (schema->n_children != 1 || schema->children[0]->n_children != 2)
        return unsupported(planner, schema, "a map must have a child with keys and values");
    const struct ArrowSchema *entries = schema->children[0];
    node->is_group = true;
    node->child_count = 1;
    node->logical.kind = PARQUET_LOGICAL_MAP;
    field->layout = ARROW_LAYOUT_LIST_32;
    field->depth = lists++;
    field->child_count = 1;
    field->children = arena_zalloc(&planner->plan->arena, 3 * sizeof *field->children);
    if (!field->children || !add_node(planner, node) || !add_node(planner, &repeated)) return no_memory(planner);
    struct arrow_field *pair = field->children;
    *pair = (struct arrow_field){.name = "key_value",
                                 .layout = ARROW_LAYOUT_STRUCT,
                                 .first_leaf = planner->plan->leaf_count,
                                 .children = pair + 1,
                                 .child_count = 2};
    enum plinth_status st =
        plan_field(planner, entries->children[0], "key", depth + 2, lists, true, &pair->children[0]);
    return st ? st : plan_field(planner, entries->children[1], "value", depth + 2, lists, false, &pair->children[1]);
}

static enum plinth_status plan_nested(struct planner *planner, const struct ArrowSchema *schema,
                                      struct parquet_node *node, uint32_t depth, uint8_t lists,
                                      struct arrow_field *field) {
    static const struct {
        const char *format;
        enum arrow_layout layout;
    } layouts[] = {{"+l", ARROW_LAYOUT_LIST_32},
                   {"+L", ARROW_LAYOUT_LIST_64},
                   {"+vl", ARROW_LAYOUT_LIST_VIEW_32},
                   {"+vL", ARROW_LAYOUT_LIST_VIEW_64}};
    if (depth >= PLAN_DEPTH_MAX * 3) return unsupported(planner, schema, "nested too deep");
    if (schema->dictionary) return unsupported(planner, schema, "dictionaries of nested values are not written");
    if (strcmp(schema->format, "+s") == 0) return plan_struct(planner, schema, node, depth, lists, field);
    if (strcmp(schema->format, "+m") == 0) return plan_map(planner, schema, node, depth, lists, field);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (strcmp(schema->format, layouts[i].format)) continue;
        field->layout = layouts[i].layout;
        return plan_list(planner, schema, node, depth, lists, field);
    }
    if (strncmp(schema->format, "+w:", 3)) return unsupported(planner, schema, "the type has no form in Parquet");
    long count = strtol(schema->format + 3, NULL, 10);
    if (count < 0 || count > INT32_MAX) return unsupported(planner, schema, "a list of impossible length");
    field->layout = ARROW_LAYOUT_LIST_FIXED;
    field->fixed_count = (uint32_t)count;
    return plan_list(planner, schema, node, depth, lists, field);
}

/* `schema` is a dictionary's values when `indices` are those of a field. */
static enum plinth_status plan_value(struct planner *planner, const struct ArrowSchema *schema,
                                     struct parquet_node *node, struct arrow_field *field) {
    const struct ArrowSchema *values = schema->dictionary ? schema->dictionary : schema;
    if (schema->dictionary) {
        if (strlen(schema->format) != 1 || !strchr("cCsSiIlL", schema->format[0]))
            return unsupported(planner, schema, "dictionary indices must be integers");
        field->index_format = schema->format[0];
    }
    if (!values->format || values->dictionary || !plan_leaf(values->format, field, node))
        return unsupported(planner, values, "the type has no form in Parquet");
    planner->plan->leaf_count++;
    return add_node(planner, node) ? PLINTH_OK : no_memory(planner);
}

static enum plinth_status plan_field(struct planner *planner, const struct ArrowSchema *schema, const char *name,
                                     uint32_t depth, uint8_t lists, bool is_required, struct arrow_field *field) {
    bool nullable = (schema->flags & ARROW_FLAG_NULLABLE) && !is_required;
    *field = (struct arrow_field){
        .name = copy_name(planner, name), .nullable = nullable, .first_leaf = planner->plan->leaf_count};
    if (!field->name) return no_memory(planner);
    if (!schema->format) return unsupported(planner, schema, "it has no format");
    struct parquet_node node = {.name = field->name, .repetition = nullable ? PARQUET_OPTIONAL : PARQUET_REQUIRED};
    if (schema->format[0] == '+') return plan_nested(planner, schema, &node, depth, lists, field);
    return plan_value(planner, schema, &node, field);
}

enum plinth_status arrow_plan_init(struct arrow_plan *plan, const struct ArrowSchema *schema,
                                   struct plinth_error *error) {
    struct planner planner = {plan, error};
    *plan = (struct arrow_plan){0};
    arena_init(&plan->arena);
    if (!schema->format || strcmp(schema->format, "+s"))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the schema of a batch must be a struct");
    if (schema->n_children < 1 || schema->n_children > FIELDS_MAX)
        return error_set(error, PLINTH_UNSUPPORTED, "a file must have columns");
    plan->root = arena_zalloc(&plan->arena, sizeof *plan->root);
    if (!plan->root) return no_memory(&planner);
    *plan->root = (struct arrow_field){.name = "", .layout = ARROW_LAYOUT_STRUCT};
    return plan_children(&planner, schema, 0, 0, plan->root);
}

void arrow_plan_deinit(struct arrow_plan *plan) {
    buffer_deinit(&plan->nodes);
    arena_deinit(&plan->arena);
    *plan = (struct arrow_plan){0};
}
