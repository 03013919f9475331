/* Rows in memory. See row_buffer.h. */
#include "parquet/row_buffer.h"

#include <stdlib.h>

#include "parquet/bits.h"

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
    for (uint32_t i = 0; i < buffer->schema->column_count; i++) {
        struct parquet_column_buffer *column = &buffer->columns[i];
        column->data = (struct parquet_column_data){0};
        buffer_clear(&column->page);
        buffer_clear(&column->values);
        buffer_clear(&column->offsets);
        buffer_clear(&column->validity);
        buffer_clear(&column->levels);
    }
    buffer->rows = 0;
}

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

bool row_buffer_append(struct row_buffer *buffer, uint32_t column, const struct parquet_column_data *from,
                       uint64_t begin, uint64_t count) {
    const struct parquet_column *about = &buffer->schema->columns[column];
    struct parquet_column_buffer *into = &buffer->columns[column];
    uint64_t have = into->data.slots;
    bool ok = true;
    if (about->type == PARQUET_TYPE_BYTE_ARRAY)
        ok = append_bytes(into, from, begin, count);
    else if (about->type == PARQUET_TYPE_BOOLEAN)
        ok = append_bits(&into->values, have, from->values, begin, count);
    else
        ok = buffer_append(&into->values, (const uint8_t *)from->values + begin * about->width,
                           (size_t)count * about->width);
    if (about->definition_level_max > 0) ok = ok && append_bits(&into->validity, have, from->validity, begin, count);
    if (parquet_column_has_levels(about))
        ok = ok && buffer_append(&into->levels, from->definition_levels + begin, (size_t)count) &&
             buffer_append(&into->page, from->repetition_levels + begin, (size_t)count);
    if (ok) into->data.slots += count;
    return ok;
}

bool row_buffer_append_rows(struct row_buffer *buffer, const struct parquet_column_data *from, uint64_t rows) {
    for (uint32_t i = 0; i < buffer->schema->column_count; i++)
        if (!row_buffer_append(buffer, i, &from[i], 0, from[i].slots)) return false;
    buffer->rows += rows;
    return true;
}

void row_buffer_view(struct row_buffer *buffer) {
    static const uint64_t nothing[2] = {0};
    for (uint32_t i = 0; i < buffer->schema->column_count; i++) {
        const struct parquet_column *about = &buffer->schema->columns[i];
        struct parquet_column_buffer *column = &buffer->columns[i];
        struct parquet_column_data *data = &buffer->data[i];
        bool is_bytes = about->type == PARQUET_TYPE_BYTE_ARRAY;
        const void *values = column->values.data ? (const void *)column->values.data : nothing;
        *data = (struct parquet_column_data){.rows = buffer->rows, .slots = column->data.slots};
        data->values = is_bytes ? NULL : values;
        data->bytes = is_bytes ? values : NULL;
        data->offsets = !is_bytes              ? NULL
                        : column->offsets.data ? (const uint32_t *)(void *)column->offsets.data
                                               : (const uint32_t *)nothing;
        if (about->definition_level_max > 0 && data->slots > 0) {
            data->null_count = data->slots - bits_count(column->validity.data, 0, data->slots);
            data->validity = data->null_count ? column->validity.data : NULL;
        }
        if (!parquet_column_has_levels(about)) continue;
        data->definition_levels = column->levels.data;
        data->repetition_levels = column->page.data;
    }
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
