/* Arrays of the C Data interface -> batches, without a copy where rows begin at a byte and values are aligned.
 *
 * An array says nothing about the sizes of its buffers, so these are believed, as the interface means it; what they
 * hold is checked as everything from outside is (column_check). Our columns have no offset: an array's offset, and that
 * of the struct around it, moves the buffers' starts. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data_private.h"
#include "column/column_private.h"

/* One array on its way to a column: rows [first, first + rows) of its buffers. */
struct import {
    struct arena *arena;
    const struct ArrowArray *array;
    const struct ArrowSchema *schema;
    struct data_format format;
    uint64_t first;
    uint32_t rows;
    struct plinth_error *error;
};

static const uint64_t NOTHING[2];

static enum plinth_status no_memory(const struct import *import) {
    return error_no_memory(import->error, "Arrow batch");
}

/* Buffer i; what is empty points to zeros. PLINTH_INVALID_ARGUMENT when it is missing. */
static enum plinth_status buffer_at(const struct import *import, int64_t i, const uint8_t **buffer) {
    const struct ArrowArray *array = import->array;
    *buffer = (const uint8_t *)NOTHING;
    if (i >= array->n_buffers || !array->buffers)
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow array of format \"%.60s\" with %lld buffers",
                         import->schema->format, (long long)array->n_buffers);
    if (array->buffers[i])
        *buffer = array->buffers[i];
    else if (import->rows)
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "buffer %lld of an Arrow array is missing",
                         (long long)i);
    return PLINTH_OK;
}

/* A bitmap whose first bit is the first row's; null when memory is out. */
static const uint8_t *bits_from(const struct import *import, const uint8_t *bits) {
    if (import->first % 8 == 0) return bits + import->first / 8;
    uint8_t *copy = arena_zalloc(import->arena, bitmap_bytes(import->rows));
    if (copy) bitmap_copy(copy, 0, bits, import->first, import->rows);
    return copy;
}

static enum plinth_status import_validity(const struct import *import, const uint8_t **validity) {
    const struct ArrowArray *array = import->array;
    *validity = NULL;
    if (!import->rows || array->null_count == 0) return PLINTH_OK;
    if (array->n_buffers < 1 || !array->buffers || !array->buffers[0]) return PLINTH_OK;
    *validity = bits_from(import, array->buffers[0]);
    return *validity ? PLINTH_OK : no_memory(import);
}

static enum plinth_status import_fixed(const struct import *import, struct column *out) {
    const uint8_t *values;
    enum plinth_status status = buffer_at(import, 1, &values);
    if (status || !import->rows) return status;
    uint32_t width = column_type_width(out->type);
    if (!width) return (out->values = bits_from(import, values)) ? PLINTH_OK : no_memory(import);
    out->values = values += import->first * width;
    if ((uintptr_t)values % (width < 8 ? width : 8) == 0) return PLINTH_OK;
    uint8_t *copy = arena_alloc(import->arena, (uint64_t)import->rows * width);
    if (!copy) return no_memory(import);
    memcpy(copy, values, (size_t)import->rows * width);
    out->values = copy;
    return PLINTH_OK;
}

/* ---- offsets ---- */

/* 64-bit offsets less the first of them, which is given to `base`. */
static enum plinth_status narrow_offsets(const struct import *import, const uint8_t *from, uint32_t *to,
                                         uint64_t *base) {
    *base = load_u64(from);
    for (uint64_t i = 0; i <= import->rows; i++) {
        uint64_t offset = load_u64(from + 8 * i) - *base; /* below the first: huge */
        if (*base > INT64_MAX || offset > COLUMN_BYTES_MAX)
            return error_set(import->error, PLINTH_TOO_LARGE, "row %llu: offset %lld; at most %d behind the first",
                             (unsigned long long)i, (long long)load_u64(from + 8 * i), COLUMN_BYTES_MAX);
        to[i] = (uint32_t)offset;
    }
    return PLINTH_OK;
}

/* Offsets from which `base` was taken away. */
static enum plinth_status import_offsets(const struct import *import, bool wide, struct column *out, uint64_t *base) {
    const uint8_t *from;
    *base = 0;
    out->offsets = column_no_offsets;
    if (!import->rows) return PLINTH_OK; /* an array without rows may lack the buffer */
    enum plinth_status status = buffer_at(import, 1, &from);
    if (status) return status;
    from += import->first * (wide ? 8 : 4);
    out->offsets = (const uint32_t *)(const void *)from;
    if (!wide && (uintptr_t)from % 4 == 0) return PLINTH_OK;
    uint32_t *offsets = arena_alloc(import->arena, ((uint64_t)import->rows + 1) * sizeof *offsets);
    if (!offsets) return no_memory(import);
    out->offsets = offsets;
    if (wide) return narrow_offsets(import, from, offsets, base);
    memcpy(offsets, from, ((size_t)import->rows + 1) * sizeof *offsets);
    return PLINTH_OK;
}

/* Offsets of rows of one size each, from 0. */
static enum plinth_status make_offsets(const struct import *import, struct column *out) {
    uint64_t step = import->format.fixed_count;
    if (step * import->rows > COLUMN_BYTES_MAX)
        return error_set(import->error, PLINTH_TOO_LARGE, "%u rows of %llu are more than %d", import->rows,
                         (unsigned long long)step, COLUMN_BYTES_MAX);
    uint32_t *offsets = arena_alloc(import->arena, ((uint64_t)import->rows + 1) * sizeof *offsets);
    if (!offsets) return no_memory(import);
    for (uint32_t i = 0; i <= import->rows; i++) offsets[i] = (uint32_t)(i * step);
    out->offsets = offsets;
    return PLINTH_OK;
}

static enum plinth_status import_bytes(const struct import *import, struct column *out) {
    bool fixed = import->format.layout == DATA_BYTES_FIXED;
    uint64_t base = import->first * import->format.fixed_count;
    enum plinth_status status =
        fixed ? make_offsets(import, out) : import_offsets(import, import->format.layout == DATA_BYTES_64, out, &base);
    out->bytes = (const uint8_t *)NOTHING;
    if (status || !import->rows) return status;
    /* A column of empty values may have no bytes at all. */
    const struct ArrowArray *array = import->array;
    int64_t data = fixed ? 1 : 2;
    if (data >= array->n_buffers || !array->buffers || (!array->buffers[data] && out->offsets[import->rows]))
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow array without its data buffer");
    if (array->buffers[data]) out->bytes = (const uint8_t *)array->buffers[data] + base;
    return PLINTH_OK;
}

/* ---- lists, dictionaries ---- */

static enum plinth_status import_column(struct arena *arena, const struct ArrowArray *array,
                                        const struct ArrowSchema *schema, uint64_t first, uint64_t rows,
                                        struct column *out, struct plinth_error *error);

/* Of the elements only those up to the last row's are looked at. */
static enum plinth_status import_list(const struct import *import, struct column *out, uint32_t *elements) {
    const struct ArrowArray *array = import->array;
    if (array->n_children != 1 || !array->children || !array->children[0])
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow list with %lld children",
                         (long long)array->n_children);
    bool fixed = import->format.layout == DATA_LIST_FIXED;
    uint64_t base = import->first * import->format.fixed_count;
    enum plinth_status status =
        fixed ? make_offsets(import, out) : import_offsets(import, import->format.layout == DATA_LIST_64, out, &base);
    if (status) return status;
    const struct ArrowArray *child_array = array->children[0];
    *elements = out->offsets[import->rows];
    if (child_array->length < 0 || *elements > COLUMN_BYTES_MAX || base + *elements > (uint64_t)child_array->length)
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow list up to element %llu of %lld",
                         (unsigned long long)(base + *elements), (long long)child_array->length);
    struct column *child = arena_alloc(import->arena, sizeof *child);
    if (!child) return no_memory(import);
    out->child = child;
    return import_column(import->arena, child_array, import->schema->children[0], base, *elements, child,
                         import->error);
}

/* Index of row i; a negative one is huge. */
static uint64_t index_at(const struct column *indexes, uint32_t i) {
    switch (indexes->type.kind) {
    case COLUMN_INT8: return (uint64_t)((const int8_t *)indexes->values)[i];
    case COLUMN_INT16: return (uint64_t)((const int16_t *)indexes->values)[i];
    case COLUMN_INT32: return (uint64_t)((const int32_t *)indexes->values)[i];
    case COLUMN_UINT8: return ((const uint8_t *)indexes->values)[i];
    case COLUMN_UINT16: return ((const uint16_t *)indexes->values)[i];
    case COLUMN_UINT32: return ((const uint32_t *)indexes->values)[i];
    default: return ((const uint64_t *)indexes->values)[i];
    }
}

/* Puts a null behind the dictionary's values, to which null indexes point; so one gather does it all. */
static enum plinth_status decode_dictionary(const struct import *import, const struct column *indexes,
                                            const struct column *values, uint32_t value_count, struct column *out) {
    const struct column *const sources[] = {values, NULL};
    const struct row_stretch stretches[] = {{0, 0, value_count}, {1, 0, 1}};
    struct column with_null;
    if (!column_concat(import->arena, values->type, sources, stretches, 2, value_count + 1, &with_null))
        return no_memory(import);
    uint32_t *rows = malloc(((size_t)import->rows + 1) * sizeof *rows);
    if (!rows) return no_memory(import);
    enum plinth_status status = PLINTH_OK;
    for (uint32_t i = 0; i < import->rows; i++) {
        uint64_t index = column_is_null(indexes, i) ? value_count : index_at(indexes, i);
        rows[i] = (uint32_t)index;
        if (index < value_count || column_is_null(indexes, i)) continue;
        status = error_set(import->error, PLINTH_INVALID_ARGUMENT, "row %u: index %lld into a dictionary of %u values",
                           i, (long long)index, value_count);
        goto done;
    }
    if (!column_gather(import->arena, &with_null, rows, import->rows, out))
        status =
            error_set(import->error, PLINTH_TOO_LARGE, "a dictionary-encoded column is above 2 GiB, or memory is out");
done:
    free(rows);
    return status;
}

static enum plinth_status import_encoded(struct import *import, struct column *out) {
    struct column indexes = {.type = import->format.type}, values;
    const struct ArrowArray *dictionary = import->array->dictionary;
    if (!dictionary) return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow array without its dictionary");
    enum plinth_status status = import_validity(import, &indexes.validity);
    if (!status) status = import_fixed(import, &indexes);
    if (!status) status = column_check(&indexes, import->rows, 0, 0, import->error);
    if (status) return status;
    if (dictionary->length < 0 || dictionary->length >= COLUMN_BYTES_MAX)
        return error_set(import->error, PLINTH_INVALID_ARGUMENT, "an Arrow dictionary of %lld values",
                         (long long)dictionary->length);
    status = import_column(import->arena, dictionary, import->schema->dictionary, 0, (uint64_t)dictionary->length,
                           &values, import->error);
    if (status) {
        error_prefix(import->error, "dictionary");
        return status;
    }
    return decode_dictionary(import, &indexes, &values, (uint32_t)dictionary->length, out);
}

/* ---- columns and batches ---- */

/* Rows [first, first + rows) of an array as its consumer counts them; checked. */
static enum plinth_status import_column(struct arena *arena, const struct ArrowArray *array,
                                        const struct ArrowSchema *schema, uint64_t first, uint64_t rows,
                                        struct column *out, struct plinth_error *error) {
    struct import import = {.arena = arena, .array = array, .schema = schema, .error = error};
    struct column_type type;
    *out = (struct column){0};
    enum plinth_status status = data_field_type(schema, &type, error);
    if (!status) status = data_format_parse(schema, &import.format, error);
    if (status) return status;
    if (array->length < 0 || array->offset < 0 || array->offset > INT64_MAX / 64 || first > (uint64_t)array->length ||
        rows > (uint64_t)array->length - first)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow array of length %lld and offset %lld",
                         (long long)array->length, (long long)array->offset);
    import.first = (uint64_t)array->offset + first;
    import.rows = (uint32_t)rows;
    *out = (struct column){.type = type};
    if (schema->dictionary) return import_encoded(&import, out);
    if (import.format.layout == DATA_NULL) {
        bool made = column_make_nulls(arena, type, import.rows, out);
        return made ? PLINTH_OK : error_no_memory(error, "Arrow batch");
    }
    uint32_t elements = 0;
    status = import_validity(&import, &out->validity);
    if (status) return status;
    if (type.kind == COLUMN_LIST)
        status = import_list(&import, out, &elements);
    else if (column_kind_is_bytes(type.kind))
        status = import_bytes(&import, out);
    else
        status = import_fixed(&import, out);
    return status ? status : column_check(out, import.rows, COLUMN_BYTES_MAX, elements, error);
}

static void release_imported(struct batch *batch) {
    struct ArrowArray *array = batch->release_context;
    if (array->release) array->release(array);
}

static enum plinth_status check_batch_array(const struct ArrowArray *array, const struct ArrowSchema *schema,
                                            struct plinth_error *error) {
    enum plinth_status status = data_check_batch_schema(schema, error);
    if (status) return status;
    if (!array->release) return error_set(error, PLINTH_INVALID_ARGUMENT, "the Arrow array was released already");
    if (array->n_children != schema->n_children || (array->n_children && !array->children))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow struct of %lld columns whose schema has %lld",
                         (long long)array->n_children, (long long)schema->n_children);
    if (array->length < 0 || array->offset < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow array of length %lld and offset %lld",
                         (long long)array->length, (long long)array->offset);
    if (array->length > BATCH_ROWS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "an Arrow batch of %lld rows; at most %d", (long long)array->length,
                         BATCH_ROWS_MAX);
    bool validity = array->null_count && array->n_buffers > 0 && array->buffers && array->buffers[0];
    uint64_t first = (uint64_t)array->offset, rows = (uint64_t)array->length;
    if (validity && bitmap_count_range(array->buffers[0], first, rows) < rows)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow batch with rows that are null as a whole");
    return PLINTH_OK;
}

enum plinth_status arrow_import_batch(struct ArrowArray *from, const struct ArrowSchema *schema, struct batch **batch,
                                      struct plinth_error *error) {
    *batch = NULL;
    enum plinth_status status = check_batch_array(from, schema, error);
    if (status) return status;
    struct batch *made = batch_create((uint32_t)from->n_children);
    struct ArrowArray *moved = made ? arena_alloc(&made->arena, sizeof *moved) : NULL;
    if (!moved) status = error_no_memory(error, "Arrow batch");
    for (int64_t i = 0; i < from->n_children && !status; i++) {
        if (!from->children[i]) {
            status = error_set(error, PLINTH_INVALID_ARGUMENT, "Arrow column %lld is missing", (long long)i);
            break;
        }
        status = import_column(&made->arena, from->children[i], schema->children[i], (uint64_t)from->offset,
                               (uint64_t)from->length, &made->columns[i], error);
        if (status) error_prefix(error, "column '%.100s'", schema->children[i]->name ? schema->children[i]->name : "");
    }
    if (status) {
        batch_unref(made); /* it borrowed, and owns nothing of `from` yet */
        return status;
    }
    *moved = *from;
    from->release = NULL;
    made->rows = (uint32_t)moved->length;
    made->release = release_imported;
    made->release_context = moved;
    *batch = made;
    return PLINTH_OK;
}
