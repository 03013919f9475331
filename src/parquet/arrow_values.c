/* Values of Arrow arrays. See arrow_values.h. */
#include "parquet/arrow_values.h"

#include "base/status.h"
#include "column/batch.h"

enum { MILLIS_A_DAY = 86400000, VIEW_BYTES = 16, VIEW_INLINE = 12, DECIMAL_BYTES_MAX = 32 };

bool arrow_array_is_valid(const struct ArrowArray *array, int64_t at) {
    return bitmap_get(array->buffers[0], (uint64_t)(array->offset + at));
}

int64_t arrow_array_index(const struct ArrowArray *array, char format, int64_t at) {
    int64_t i = array->offset + at;
    switch (format) {
    case 'c': return ((const int8_t *)array->buffers[1])[i];
    case 'C': return ((const uint8_t *)array->buffers[1])[i];
    case 's': return ((const int16_t *)array->buffers[1])[i];
    case 'S': return ((const uint16_t *)array->buffers[1])[i];
    case 'i': return ((const int32_t *)array->buffers[1])[i];
    case 'I': return ((const uint32_t *)array->buffers[1])[i];
    case 'l': return ((const int64_t *)array->buffers[1])[i];
    default: {
        uint64_t index = ((const uint64_t *)array->buffers[1])[i];
        return index > INT64_MAX ? -1 : (int64_t)index;
    }
    }
}

enum plinth_status arrow_values_init(struct arrow_values *values, const struct arrow_field *field,
                                     const struct parquet_column *column, struct arrow_shredded *to, uint64_t slots,
                                     struct plinth_error *error) {
    *values = (struct arrow_values){.field = field, .column = column, .to = to};
    buffer_clear(&to->values);
    buffer_clear(&to->offsets);
    bool is_ok = true;
    if (column->type == PARQUET_TYPE_BYTE_ARRAY)
        is_ok = buffer_reserve(&to->offsets, (size_t)(slots + 1) * sizeof(uint32_t)) &&
                buffer_append_u32(&to->offsets, 0) && buffer_reserve(&to->values, 1);
    else if (column->type == PARQUET_TYPE_BOOLEAN)
        is_ok = buffer_append_zeros(&to->values, (size_t)((slots + 7) / 8) + 1);
    return is_ok ? PLINTH_OK : error_no_memory(error, "Parquet values");
}

void arrow_values_finish(struct arrow_values *values, struct parquet_column_data *data) {
    struct arrow_shredded *to = values->to;
    if (values->is_borrowed) return;
    if (values->column->type == PARQUET_TYPE_BYTE_ARRAY) {
        data->offsets = (const uint32_t *)(void *)to->offsets.data;
        data->bytes = to->values.data;
    } else {
        data->values = to->values.data;
    }
}

enum plinth_status arrow_values_validity(const struct ArrowArray *array, int64_t at, uint64_t count,
                                         struct arrow_shredded *to, struct plinth_error *error) {
    if (!arrow_array_has_nulls(array) || count == 0) return PLINTH_OK;
    uint64_t first = (uint64_t)(array->offset + at);
    const uint8_t *bits = array->buffers[0];
    uint64_t nulls = count - bitmap_count_range(bits, first, count);
    if (nulls == 0) return PLINTH_OK;
    to->data.null_count = nulls;
    to->data.validity = bits + first / 8;
    if (first % 8 == 0) return PLINTH_OK;
    buffer_clear(&to->validity);
    if (!buffer_append_zeros(&to->validity, (size_t)((count + 7) / 8))) return error_no_memory(error, "Parquet levels");
    bitmap_copy(to->validity.data, 0, bits, first, count);
    to->data.validity = to->validity.data;
    return PLINTH_OK;
}

/* ---- As they are ---- */

static bool offsets_ascend(const int32_t *offsets, uint64_t count) {
    int32_t bad = offsets[0] < 0;
    for (uint64_t i = 0; i < count; i++) bad |= offsets[i + 1] < offsets[i];
    return !bad;
}

bool arrow_values_borrow(struct arrow_values *values, const struct ArrowArray *array, int64_t at, uint64_t count) {
    const struct arrow_field *field = values->field;
    struct parquet_column_data *data = &values->to->data;
    uint64_t first = (uint64_t)(array->offset + at);
    if (count == 0 || array->n_buffers < 2 || !array->buffers[1]) return false;
    if (field->layout == ARROW_LAYOUT_BYTES_32) {
        const int32_t *offsets = (const int32_t *)array->buffers[1] + first;
        if (!offsets_ascend(offsets, count) || !array->buffers[2]) return false;
        data->offsets = (const uint32_t *)offsets;
        data->bytes = array->buffers[2];
    } else if (field->layout == ARROW_LAYOUT_BITS && first % 8 == 0) {
        data->values = (const uint8_t *)array->buffers[1] + first / 8;
    } else if (field->layout == ARROW_LAYOUT_FIXED && field->change == ARROW_CHANGE_NOTHING) {
        data->values = (const uint8_t *)array->buffers[1] + first * field->width;
        if ((uintptr_t)data->values % (field->width == 8 || field->width == 4 ? field->width : 1)) return false;
    } else {
        return false;
    }
    values->is_borrowed = true;
    return true;
}

/* ---- Changed ---- */

static bool change_seconds(const uint8_t *from, uint32_t width, uint8_t *to) {
    int64_t seconds = width == 4 ? (int32_t)load_u32(from) : (int64_t)load_u64(from), millis;
    if (__builtin_mul_overflow(seconds, INT64_C(1000), &millis)) return false;
    if (width == 8) {
        store_u64(to, (uint64_t)millis);
        return true;
    }
    store_u32(to, (uint32_t)millis);
    return millis >= INT32_MIN && millis <= INT32_MAX;
}

static bool change_date(const uint8_t *from, uint8_t *to) {
    int64_t millis = (int64_t)load_u64(from), days = millis / MILLIS_A_DAY - (millis % MILLIS_A_DAY < 0);
    store_u32(to, (uint32_t)days);
    return days >= INT32_MIN && days <= INT32_MAX;
}

/* Little-endian of `from_width` bytes to a number, or to big-endian bytes. */
static bool change_decimal(const uint8_t *from, uint32_t from_width, const struct parquet_column *column, uint8_t *to) {
    uint32_t width = column->width;
    uint8_t sign = from[from_width - 1] & 0x80 ? 0xff : 0, little[DECIMAL_BYTES_MAX];
    for (uint32_t i = 0; i < width; i++) little[i] = i < from_width ? from[i] : sign;
    for (uint32_t i = width; i < from_width; i++)
        if (from[i] != sign) return false;
    if ((little[width - 1] & 0x80) != (sign & 0x80)) return false;
    for (uint32_t i = 0; i < width; i++) to[i] = little[column->type == PARQUET_TYPE_FIXED ? width - 1 - i : i];
    return true;
}

static bool change_value(const struct arrow_values *values, const uint8_t *from, uint8_t *to) {
    uint32_t width = values->field->width;
    switch (values->field->change) {
    case ARROW_CHANGE_SECONDS: return change_seconds(from, width, to);
    case ARROW_CHANGE_DATE_64: return change_date(from, to);
    case ARROW_CHANGE_DECIMAL: return change_decimal(from, width, values->column, to);
    default: memcpy(to, from, width); return true;
    }
}

/* Integers of one and two bytes; those of nulls, too, which nobody reads. */
static void widen(enum arrow_change change, uint32_t width, const uint8_t *from, uint64_t count, uint8_t *to) {
    if (change == ARROW_CHANGE_WIDEN_SIGNED && width == 1)
        for (uint64_t i = 0; i < count; i++) store_u32(to + i * 4, (uint32_t)(int8_t)from[i]);
    else if (change == ARROW_CHANGE_WIDEN_SIGNED)
        for (uint64_t i = 0; i < count; i++) store_u32(to + i * 4, (uint32_t)(int16_t)load_u16(from + i * 2));
    else if (width == 1)
        for (uint64_t i = 0; i < count; i++) store_u32(to + i * 4, from[i]);
    else
        for (uint64_t i = 0; i < count; i++) store_u32(to + i * 4, load_u16(from + i * 2));
}

static enum plinth_status append_fixed(struct arrow_values *values, const struct ArrowArray *array, int64_t at,
                                       uint64_t count, struct plinth_error *error) {
    uint32_t width = values->field->width, own_width = values->column->width;
    const uint8_t *from = (const uint8_t *)array->buffers[1] + (uint64_t)(array->offset + at) * width;
    struct buffer *to = &values->to->values;
    bool has_nulls = arrow_array_has_nulls(array);
    if (!buffer_reserve(to, (size_t)count * own_width)) return error_no_memory(error, "Parquet values");
    uint8_t *put = to->data + to->size;
    enum arrow_change change = values->field->change;
    bool is_plain = change == ARROW_CHANGE_NOTHING;
    bool widens = change == ARROW_CHANGE_WIDEN_SIGNED || change == ARROW_CHANGE_WIDEN_UNSIGNED;
    if (is_plain) memcpy(put, from, (size_t)count * own_width);
    if (widens) widen(change, width, from, count, put);
    for (uint64_t i = 0; !is_plain && !widens && i < count; i++) {
        bool is_valid = !has_nulls || arrow_array_is_valid(array, at + (int64_t)i);
        bool fits = change_value(values, from + i * width, put + i * own_width);
        if (!fits && is_valid) return error_set(error, PLINTH_INVALID_ARGUMENT, "a value that its type does not reach");
        if (!is_valid) memset(put + i * own_width, 0, own_width);
    }
    to->size += (size_t)count * own_width;
    return PLINTH_OK;
}

/* ---- Bytes ---- */

/* False when it points outside what can be told. */
static bool bytes_at(const struct arrow_field *field, const struct ArrowArray *array, int64_t at, struct slice *bytes) {
    int64_t i = array->offset + at;
    if (field->layout == ARROW_LAYOUT_BYTES_32) {
        const int32_t *offsets = array->buffers[1];
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i]) return false;
        *bytes = slice_of((const uint8_t *)array->buffers[2] + offsets[i], (size_t)(offsets[i + 1] - offsets[i]));
        return true;
    }
    if (field->layout == ARROW_LAYOUT_BYTES_64) {
        const int64_t *offsets = array->buffers[1];
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i]) return false;
        *bytes = slice_of((const uint8_t *)array->buffers[2] + offsets[i], (size_t)(offsets[i + 1] - offsets[i]));
        return true;
    }
    /* A view: the size, then the bytes, or a prefix, the number of the buffer and the place in it. The last buffer has
     * the sizes of the others. */
    const uint8_t *view = (const uint8_t *)array->buffers[1] + i * VIEW_BYTES;
    uint32_t size = load_u32(view), number = load_u32(view + 8), begin = load_u32(view + 12);
    if (size <= VIEW_INLINE) {
        *bytes = slice_of(view + 4, size);
        return true;
    }
    if (array->n_buffers < 4 || number >= (uint64_t)array->n_buffers - 3) return false;
    int64_t bytes_there = ((const int64_t *)array->buffers[array->n_buffers - 1])[number];
    if (size > INT32_MAX || bytes_there < 0 || (uint64_t)begin + size > (uint64_t)bytes_there) return false;
    *bytes = slice_of((const uint8_t *)array->buffers[2 + number] + begin, size);
    return true;
}

static enum plinth_status append_bytes(struct arrow_values *values, const struct ArrowArray *array, int64_t at,
                                       uint64_t count, struct plinth_error *error) {
    struct arrow_shredded *to = values->to;
    bool has_nulls = arrow_array_has_nulls(array);
    for (uint64_t i = 0; i < count; i++) {
        struct slice bytes = {0};
        bool is_valid = !has_nulls || arrow_array_is_valid(array, at + (int64_t)i);
        if (is_valid && !bytes_at(values->field, array, at + (int64_t)i, &bytes))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "offsets that go down or outside");
        if (to->values.size + bytes.size > INT32_MAX)
            return error_set(error, PLINTH_TOO_LARGE, "more than 2 GiB of bytes in a column of a batch");
        if ((bytes.size > 0 && !buffer_append(&to->values, bytes.data, bytes.size)) ||
            !buffer_append_u32(&to->offsets, (uint32_t)to->values.size))
            return error_no_memory(error, "Parquet values");
    }
    return PLINTH_OK;
}

enum plinth_status arrow_values_append(struct arrow_values *values, const struct ArrowArray *array, int64_t at,
                                       uint64_t count, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (count == 0) return PLINTH_OK;
    if (values->column->type == PARQUET_TYPE_BYTE_ARRAY) {
        st = append_bytes(values, array, at, count, error);
    } else if (values->field->layout == ARROW_LAYOUT_BITS) {
        bitmap_copy(values->to->values.data, values->count, array->buffers[1], (uint64_t)(array->offset + at), count);
    } else {
        st = append_fixed(values, array, at, count, error);
    }
    values->count += count;
    return st;
}

enum plinth_status arrow_values_append_empty(struct arrow_values *values, uint64_t count, struct plinth_error *error) {
    struct arrow_shredded *to = values->to;
    bool is_ok = true;
    if (values->column->type == PARQUET_TYPE_BYTE_ARRAY)
        for (uint64_t i = 0; is_ok && i < count; i++)
            is_ok = buffer_append_u32(&to->offsets, (uint32_t)to->values.size);
    else if (values->column->type != PARQUET_TYPE_BOOLEAN)
        is_ok = buffer_append_zeros(&to->values, (size_t)count * values->column->width);
    values->count += count;
    return is_ok ? PLINTH_OK : error_no_memory(error, "Parquet values");
}
