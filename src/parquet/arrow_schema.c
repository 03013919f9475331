/* Fields as an ArrowSchema. See arrow_read.h. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/arrow_read.h"

/* What a schema owns; the strings lie behind the children's pointers. */
struct schema_node {
    char format[24];
    char metadata[64];
    char *name;
    struct ArrowSchema *children[];
};

static void release_schema(struct ArrowSchema *schema) {
    struct schema_node *node = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    free(node->name);
    free(node);
    schema->release = NULL;
}

static struct schema_node *make_schema(struct ArrowSchema *schema, const char *name, const char *format,
                                       uint32_t children) {
    *schema = (struct ArrowSchema){0};
    struct schema_node *node = calloc(1, sizeof *node + children * sizeof *node->children);
    size_t name_bytes = strlen(name) + 1;
    char *copy = node ? malloc(name_bytes) : NULL;
    if (!copy) {
        free(node);
        return NULL;
    }
    memcpy(copy, name, name_bytes);
    node->name = copy;
    snprintf(node->format, sizeof node->format, "%s", format);
    *schema = (struct ArrowSchema){.format = node->format,
                                   .name = copy,
                                   .children = node->children,
                                   .release = release_schema,
                                   .private_data = node};
    return node;
}

/* Metadata is: count, then for each pair the sizes (int32) and bytes of key and value. */
static void put_field_id(struct ArrowSchema *schema, int32_t field_id) {
    static const char key[] = "PARQUET:field_id";
    struct schema_node *node = schema->private_data;
    char digits[12];
    uint32_t key_bytes = sizeof key - 1, value_bytes = (uint32_t)snprintf(digits, sizeof digits, "%d", field_id);
    uint8_t *at = (uint8_t *)node->metadata;
    store_u32(at, 1);
    store_u32(at + 4, key_bytes);
    memcpy(at + 8, key, key_bytes);
    store_u32(at + 8 + key_bytes, value_bytes);
    memcpy(at + 12 + key_bytes, digits, value_bytes);
    schema->metadata = node->metadata;
}

struct schema_exporter {
    const struct parquet_schema *schema;
    const uint32_t *leaves;
    enum parquet_time_unit int96_unit;
};

static bool export_field(const struct schema_exporter *exporter, const struct parquet_field *field,
                         struct ArrowSchema *to);

static bool export_children(const struct schema_exporter *exporter, const struct parquet_field *fields, uint32_t count,
                            struct ArrowSchema *to) {
    for (uint32_t i = 0; i < count; i++) {
        struct ArrowSchema *child = calloc(1, sizeof *child);
        if (!child) return false;
        to->children[to->n_children++] = child;
        if (!export_field(exporter, &fields[i], child)) return false;
    }
    return true;
}

static bool export_field(const struct schema_exporter *exporter, const struct parquet_field *field,
                         struct ArrowSchema *to) {
    static const char *const formats[] = {
        [PARQUET_FIELD_STRUCT] = "+s", [PARQUET_FIELD_LIST] = "+l", [PARQUET_FIELD_MAP] = "+m"};
    const struct parquet_node *node = &exporter->schema->nodes[field->node];
    const char *format = formats[field->kind];
    struct arrow_type type;
    if (field->kind == PARQUET_FIELD_LEAF) {
        type = arrow_type_of(&exporter->schema->columns[exporter->leaves[field->first_leaf]], exporter->int96_unit);
        format = type.format;
    }
    if (!make_schema(to, field->name, format, field->child_count)) return false;
    to->flags = field->nullable ? ARROW_FLAG_NULLABLE : 0;
    if (node->has_field_id) put_field_id(to, node->field_id);
    if (!export_children(exporter, field->children, field->child_count, to)) return false;
    if (field->kind == PARQUET_FIELD_MAP) to->children[0]->children[0]->flags &= ~ARROW_FLAG_NULLABLE;
    return true;
}

enum plinth_status arrow_schema_export(const struct parquet_schema *schema, const struct parquet_fields *fields,
                                       enum parquet_time_unit int96_unit, struct ArrowSchema *to,
                                       struct plinth_error *error) {
    struct schema_exporter exporter = {schema, fields->leaves, int96_unit};
    if (make_schema(to, "", "+s", fields->field_count) &&
        export_children(&exporter, fields->fields, fields->field_count, to))
        return PLINTH_OK;
    if (to->release) to->release(to);
    return error_no_memory(error, "Arrow schema");
}
