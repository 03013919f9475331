#include "column/column_builder.h"

#include <stdlib.h>

#include "column/column_private.h"

bool column_builder_init(struct column_builder *builder, struct column_type type) {
    *builder = (struct column_builder){.type = type};
    if (type.kind != COLUMN_LIST) return true;
    builder->child = malloc(sizeof *builder->child);
    builder->child_view = malloc(sizeof *builder->child_view);
    if (builder->child && builder->child_view && column_builder_init(builder->child, column_type_element(type)))
        return true;
    free(builder->child);
    free(builder->child_view);
    *builder = (struct column_builder){.type = type};
    return false;
}

void column_builder_deinit(struct column_builder *builder) {
    buffer_deinit(&builder->validity);
    buffer_deinit(&builder->values);
    buffer_deinit(&builder->offsets);
    if (builder->child) column_builder_deinit(builder->child);
    free(builder->child);
    free(builder->child_view);
    *builder = (struct column_builder){.type = builder->type};
}

void column_builder_clear(struct column_builder *builder) {
    builder->rows = 0;
    builder->null_count = 0;
    buffer_clear(&builder->validity);
    buffer_clear(&builder->values);
    buffer_clear(&builder->offsets);
    if (builder->child) column_builder_clear(builder->child);
}

static bool has_offsets(const struct column_builder *builder) {
    return builder->child || column_kind_is_bytes(builder->type.kind);
}

static uint32_t offset_at(const struct column_builder *builder, uint32_t row) {
    return builder->rows ? load_u32(builder->offsets.data + row * sizeof(uint32_t)) : 0;
}

void column_builder_truncate(struct column_builder *builder, uint32_t rows) {
    if (rows >= builder->rows) return;
    uint32_t inside = has_offsets(builder) ? offset_at(builder, rows) : 0;
    if (builder->null_count)
        builder->null_count -=
            builder->rows - rows - bitmap_count_range(builder->validity.data, rows, builder->rows - rows);
    builder->rows = rows;
    if (builder->validity.size) builder->validity.size = bitmap_bytes(rows);
    if (has_offsets(builder)) {
        builder->offsets.size = rows ? (rows + (size_t)1) * sizeof(uint32_t) : 0;
        if (builder->child)
            column_builder_truncate(builder->child, inside);
        else
            builder->values.size = inside;
    } else if (builder->type.kind == COLUMN_BOOL) {
        builder->values.size = bitmap_bytes(rows);
    } else {
        builder->values.size = (size_t)rows * column_type_width(builder->type);
    }
}

void column_builder_pop(struct column_builder *builder) {
    if (builder->rows) column_builder_truncate(builder, builder->rows - 1);
}

uint64_t column_builder_bytes(const struct column_builder *builder) {
    uint64_t bytes = builder->validity.size + builder->values.size + builder->offsets.size;
    return bytes + (builder->child ? column_builder_bytes(builder->child) : 0);
}

/* ---- appending: each reserves all it needs, then cannot fail ---- */

static bool append_bit(struct buffer *bits, uint32_t row, bool value) {
    if (row % 8 == 0 && !buffer_append_u8(bits, 0)) return false;
    if (value)
        bitmap_set(bits->data, row);
    else
        bitmap_clear(bits->data, row);
    return true;
}

/* Makes room in the validity bitmap for one more row. It starts to exist with the first null. */
static bool reserve_row(struct column_builder *builder, bool null) {
    if (builder->rows == UINT32_MAX) return false;
    if (!builder->validity.size && !null) return true;
    return buffer_reserve(&builder->validity, bitmap_bytes((uint64_t)builder->rows + 1) - builder->validity.size);
}

static void close_row(struct column_builder *builder, bool null) {
    struct buffer *validity = &builder->validity;
    if (null && !validity->size) { /* all rows before are values */
        validity->size = bitmap_bytes((uint64_t)builder->rows + 1);
        memset(validity->data, 0xFF, validity->size);
    } else if (validity->size && builder->rows % 8 == 0) {
        validity->data[validity->size++] = 0xFF;
    }
    if (validity->size && null)
        bitmap_clear(validity->data, builder->rows);
    else if (validity->size)
        bitmap_set(validity->data, builder->rows);
    builder->null_count += null;
    builder->rows++;
}

/* Ends a row of variable size at `end`; room for two offsets has been made. */
static void close_offset(struct column_builder *builder, uint32_t end) {
    if (!builder->offsets.size) {
        store_u32(builder->offsets.data, 0);
        builder->offsets.size = sizeof(uint32_t);
    }
    store_u32(builder->offsets.data + builder->offsets.size, end);
    builder->offsets.size += sizeof(uint32_t);
}

static bool append_variable(struct column_builder *builder, struct slice value, bool null) {
    if (value.size > COLUMN_BYTES_MAX - builder->values.size) return false;
    if (!reserve_row(builder, null) || !buffer_reserve(&builder->offsets, 2 * sizeof(uint32_t))) return false;
    if (value.size && !buffer_append(&builder->values, value.data, value.size)) return false;
    close_offset(builder, (uint32_t)builder->values.size);
    close_row(builder, null);
    return true;
}

static bool append_fixed(struct column_builder *builder, const void *value, uint32_t width, bool null) {
    if (!reserve_row(builder, null) || !buffer_append(&builder->values, value, width)) return false;
    close_row(builder, null);
    return true;
}

static bool append_bool(struct column_builder *builder, bool value, bool null) {
    if (!reserve_row(builder, null) || !append_bit(&builder->values, builder->rows, value)) return false;
    close_row(builder, null);
    return true;
}

static bool append_list(struct column_builder *builder, bool null) {
    if (builder->child->rows > COLUMN_BYTES_MAX) return false;
    if (!reserve_row(builder, null) || !buffer_reserve(&builder->offsets, 2 * sizeof(uint32_t))) return false;
    close_offset(builder, builder->child->rows);
    close_row(builder, null);
    return true;
}

bool column_builder_null(struct column_builder *builder) {
    static const uint8_t zeros[16];
    if (builder->type.kind == COLUMN_BOOL) return append_bool(builder, false, true);
    if (builder->type.kind == COLUMN_LIST) return append_list(builder, true);
    uint32_t width = column_type_width(builder->type);
    return width ? append_fixed(builder, zeros, width, true) : append_variable(builder, slice_of(NULL, 0), true);
}

bool column_builder_bool(struct column_builder *builder, bool value) { return append_bool(builder, value, false); }

bool column_builder_integer(struct column_builder *builder, int64_t value) {
    return append_fixed(builder, &value, column_type_width(builder->type), false); /* little-endian: low bytes first */
}

bool column_builder_float(struct column_builder *builder, double value) {
    if (builder->type.kind == COLUMN_FLOAT64) return append_fixed(builder, &value, sizeof value, false);
    float narrow = (float)value;
    return append_fixed(builder, &narrow, sizeof narrow, false);
}

bool column_builder_bytes_value(struct column_builder *builder, struct slice value) {
    if (column_kind_is_bytes(builder->type.kind)) return append_variable(builder, value, false);
    return value.size == 16 && append_fixed(builder, value.data, 16, false);
}

bool column_builder_list(struct column_builder *builder) { return append_list(builder, false); }

/* ---- the finished column ---- */

struct column column_builder_view(const struct column_builder *builder) {
    struct column column = {.type = builder->type, .null_count = builder->null_count};
    if (builder->null_count) column.validity = builder->validity.data;
    if (!has_offsets(builder)) {
        column.values = builder->values.data;
        return column;
    }
    column.offsets = builder->rows ? (const uint32_t *)builder->offsets.data : column_no_offsets;
    if (builder->child) {
        *builder->child_view = column_builder_view(builder->child);
        column.child = builder->child_view;
    } else {
        column.bytes = builder->values.size ? builder->values.data : (const uint8_t *)column_no_offsets;
    }
    return column;
}

static bool copy_column(struct arena *arena, const struct column_builder *builder, struct column *out) {
    const struct column view = column_builder_view(builder);
    const struct column *source = &view;
    const struct row_stretch all = {0, 0, builder->rows};
    return column_concat(arena, builder->type, &source, &all, 1, builder->rows, out);
}

struct batch *column_builders_finish(struct column_builder *builders, uint32_t count) {
    struct batch *batch = batch_create(count);
    if (!batch) return NULL;
    batch->rows = count ? builders[0].rows : 0;
    for (uint32_t i = 0; i < count; i++) {
        if (copy_column(&batch->arena, &builders[i], &batch->columns[i])) continue;
        batch_unref(batch);
        return NULL;
    }
    return batch;
}
