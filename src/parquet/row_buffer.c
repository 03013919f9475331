/* Rows in memory. See row_buffer.h. */
#include "parquet/row_buffer.h"

#include <stdlib.h>

#include "parquet/bits.h"

/* ---- One column ---- */

/* `bits` null: all set. */
static bool append_bits(struct buffer *bitmap, uint64_t have, const uint8_t *bits, uint64_t begin, uint64_t count) {
    size_t bytes = (size_t)bits_bytes(have + count, 1);
    if (bytes > bitmap->size && !buffer_append_zeros(bitmap, bytes - bitmap->size)) return false;
    if (bits)
        bits_copy(bitmap->data, have, bits, begin, count);
    else
        bits_fill(bitmap->data, have, count, true);
    return true;
}

static bool append_bytes(struct parquet_column_buffer *into, const struct parquet_column_data *from, uint64_t begin,
                         uint64_t count) {
    uint32_t first = from->offsets[begin], size = from->offsets[begin + count] - first;
    if (into->values.size + size > INT32_MAX) return false;
    uint32_t base = (uint32_t)into->values.size;
    if (into->offsets.size == 0 && !buffer_append_u32(&into->offsets, 0)) return false;
    if (size > 0 && !buffer_append(&into->values, from->bytes + first, size)) return false;
    if (!buffer_reserve(&into->offsets, (size_t)count * sizeof(uint32_t))) return false;
    uint32_t *to = (uint32_t *)(void *)(into->offsets.data + into->offsets.size);
    for (uint64_t i = 0; i < count; i++) to[i] = base + (from->offsets[begin + i + 1] - first);
    into->offsets.size += (size_t)count * sizeof(uint32_t);
    return true;
}

bool column_rows_append(const struct parquet_column *column, struct parquet_column_buffer *into,
                        const struct parquet_column_data *from, uint64_t begin, uint64_t count) {
    uint64_t have = into->data.slots;
    bool ok = true;
    if (column->type == PARQUET_TYPE_BYTE_ARRAY)
        ok = append_bytes(into, from, begin, count);
    else if (column->type == PARQUET_TYPE_BOOLEAN)
        ok = append_bits(&into->values, have, from->values, begin, count);
    else
        ok = buffer_append(&into->values, (const uint8_t *)from->values + begin * column->width,
                           (size_t)count * column->width);
    if (column->definition_level_max > 0) ok = ok && append_bits(&into->validity, have, from->validity, begin, count);
    if (parquet_column_has_levels(column))
        ok = ok && buffer_append(&into->levels, from->definition_levels + begin, (size_t)count) &&
             buffer_append(&into->page, from->repetition_levels + begin, (size_t)count);
    if (ok) into->data.slots += count;
    return ok;
}

void column_rows_clear(struct parquet_column_buffer *buffer) {
    buffer->data = (struct parquet_column_data){0};
    buffer_clear(&buffer->page);
    buffer_clear(&buffer->values);
    buffer_clear(&buffer->offsets);
    buffer_clear(&buffer->validity);
    buffer_clear(&buffer->levels);
}

void column_rows_view(const struct parquet_column *column, const struct parquet_column_buffer *buffer, uint64_t rows,
                      struct parquet_column_data *view) {
    static const uint64_t nothing[2] = {0};
    bool is_bytes = column->type == PARQUET_TYPE_BYTE_ARRAY;
    const void *values = buffer->values.data ? (const void *)buffer->values.data : nothing;
    const void *offsets = buffer->offsets.data ? (const void *)buffer->offsets.data : nothing;
    uint64_t slots = buffer->data.slots;
    *view = (struct parquet_column_data){.rows = rows,
                                         .slots = slots,
                                         .values = is_bytes ? NULL : values,
                                         .bytes = is_bytes ? values : NULL,
                                         .offsets = is_bytes ? offsets : NULL};
    if (column->definition_level_max > 0 && slots > 0) {
        view->null_count = slots - bits_count(buffer->validity.data, 0, slots);
        view->validity = view->null_count ? buffer->validity.data : NULL;
    }
    if (!parquet_column_has_levels(column)) return;
    view->definition_levels = buffer->levels.data;
    view->repetition_levels = buffer->page.data;
}

/* ---- All columns ---- */

bool row_buffer_init(struct row_buffer *buffer, const struct parquet_schema *schema) {
    *buffer = (struct row_buffer){.schema = schema};
    buffer->columns = calloc(schema->column_count + 1, sizeof *buffer->columns);
    buffer->data = calloc(schema->column_count + 1, sizeof *buffer->data);
    return buffer->columns && buffer->data;
}

void row_buffer_deinit(struct row_buffer *buffer) {
    for (uint32_t i = 0; buffer->columns && i < buffer->schema->column_count; i++)
        parquet_column_buffer_deinit(&buffer->columns[i]);
    free(buffer->columns);
    free(buffer->data);
    *buffer = (struct row_buffer){0};
}

void row_buffer_clear(struct row_buffer *buffer) {
    for (uint32_t i = 0; i < buffer->schema->column_count; i++) column_rows_clear(&buffer->columns[i]);
    buffer->rows = 0;
}

bool row_buffer_append(struct row_buffer *buffer, uint32_t column, const struct parquet_column_data *from,
                       uint64_t begin, uint64_t count) {
    return column_rows_append(&buffer->schema->columns[column], &buffer->columns[column], from, begin, count);
}

bool row_buffer_append_rows(struct row_buffer *buffer, const struct parquet_column_data *from, uint64_t rows) {
    for (uint32_t i = 0; i < buffer->schema->column_count; i++)
        if (!row_buffer_append(buffer, i, &from[i], 0, from[i].slots)) return false;
    buffer->rows += rows;
    return true;
}

void row_buffer_view(struct row_buffer *buffer) {
    for (uint32_t i = 0; i < buffer->schema->column_count; i++)
        column_rows_view(&buffer->schema->columns[i], &buffer->columns[i], buffer->rows, &buffer->data[i]);
}

uint64_t row_buffer_bytes(const struct row_buffer *buffer) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < buffer->schema->column_count; i++) {
        const struct parquet_column_buffer *column = &buffer->columns[i];
        bytes += column->values.size + column->offsets.size + column->validity.size + column->levels.size +
                 column->page.size;
    }
    return bytes;
}

uint64_t row_buffer_longest(const struct row_buffer *buffer) {
    uint64_t longest = 0;
    for (uint32_t i = 0; i < buffer->schema->column_count; i++)
        if (buffer->columns[i].values.size > longest) longest = buffer->columns[i].values.size;
    return longest;
}
