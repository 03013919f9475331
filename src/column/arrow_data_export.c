/* Batches -> arrays of the C Data interface. Every array, a list's elements included, holds its own reference of the
 * batch, since a consumer may move a child out of its parent and keep it longer. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "column/column_private.h"

/* What an exported array owns. */
struct exported_array {
    struct batch *batch;
    const void *buffers[3];
    struct ArrowArray *children[];
};

static void release_array(struct ArrowArray *array) {
    struct exported_array *exported = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    batch_unref(exported->batch);
    free(exported);
    array->release = NULL;
}

/* An array with room for `children`, of which it has none yet. */
static struct exported_array *export_node(struct batch *batch, uint32_t children, uint64_t rows,
                                          struct ArrowArray *to) {
    struct exported_array *exported = calloc(1, sizeof *exported + children * sizeof *exported->children);
    if (!exported) return NULL;
    exported->batch = batch_ref(batch);
    *to = (struct ArrowArray){.length = (int64_t)rows,
                              .buffers = exported->buffers,
                              .children = exported->children,
                              .release = release_array,
                              .private_data = exported};
    return exported;
}

static bool export_column(struct batch *batch, const struct column *column, uint32_t rows, bool is_element,
                          struct ArrowArray *to);

/* Adds a child; false when memory is out. */
static bool export_child(struct batch *batch, const struct column *column, uint32_t rows, bool is_element,
                         struct ArrowArray *parent) {
    struct ArrowArray *child = calloc(1, sizeof *child);
    if (!child || !export_column(batch, column, rows, is_element, child)) {
        free(child);
        return false;
    }
    parent->children[parent->n_children++] = child;
    return true;
}

static bool export_column(struct batch *batch, const struct column *column, uint32_t rows, bool is_element,
                          struct ArrowArray *to) {
    bool list = column->type.kind == COLUMN_LIST;
    struct exported_array *exported = export_node(batch, list, rows, to);
    if (!exported) return false;
    if (column->null_count) {
        /* The elements used may be fewer than the child's rows, so their nulls are not known here. */
        to->null_count = is_element ? -1 : (int64_t)column->null_count;
        exported->buffers[0] = column->validity;
    }
    const uint32_t *offsets = rows ? column->offsets : column_no_offsets;
    if (list || column_kind_is_bytes(column->type.kind))
        exported->buffers[1] = offsets;
    else
        exported->buffers[1] = column->values ? column->values : column_no_offsets;
    if (column_kind_is_bytes(column->type.kind))
        exported->buffers[2] = column->bytes ? column->bytes : (const void *)column_no_offsets;
    to->n_buffers = column_kind_is_bytes(column->type.kind) ? 3 : 2;
    if (!list || export_child(batch, column->child, offsets[rows], true, to)) return true;
    release_array(to);
    return false;
}

enum plinth_status arrow_export_batch(struct batch *batch, struct ArrowArray *to, struct plinth_error *error) {
    *to = (struct ArrowArray){0};
    if (!export_node(batch, batch->column_count, batch->rows, to)) return error_no_memory(error, "Arrow batch");
    to->n_buffers = 1; /* the struct's validity: every row is there */
    for (uint32_t i = 0; i < batch->column_count; i++) {
        if (export_child(batch, &batch->columns[i], batch->rows, false, to)) continue;
        release_array(to);
        return error_no_memory(error, "Arrow batch");
    }
    return PLINTH_OK;
}
