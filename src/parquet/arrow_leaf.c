/* Slots of a column to the entries of an Arrow array. See arrow_read.h. */
#include "parquet/arrow_leaf.h"

#include "base/status.h"
#include "column/batch.h"
#include "parquet/levels.h"

enum { SECONDS_A_DAY = 86400, JULIAN_DAY_1970 = 2440588, NANOS_A_SECOND = 1000000000 };

void arrow_leaf_deinit(struct arrow_leaf *leaf) {
    buffer_deinit(&leaf->values);
    buffer_deinit(&leaf->offsets);
    buffer_deinit(&leaf->validity);
    buffer_deinit(&leaf->definition);
    buffer_deinit(&leaf->repetition);
}

void arrow_leaf_clear(struct arrow_leaf *leaf) {
    leaf->rows = leaf->slots = leaf->entries = 0;
    leaf->has_validity = false;
    buffer_clear(&leaf->values);
    buffer_clear(&leaf->offsets);
    buffer_clear(&leaf->validity);
    buffer_clear(&leaf->definition);
    buffer_clear(&leaf->repetition);
}

uint64_t arrow_leaf_bytes(const struct arrow_leaf *leaf) {
    return (uint64_t)leaf->values.size + leaf->offsets.size + leaf->definition.size + leaf->repetition.size;
}

/* ---- Values ---- */

/* `count` more bits, all `value`, behind the `have` bits of a bitmap. */
static bool append_bits(struct buffer *bitmap, uint64_t have, const uint8_t *bits, uint64_t begin, uint64_t count) {
    size_t bytes = (size_t)((have + count + 7) / 8);
    if (bytes > bitmap->size && !buffer_append_zeros(bitmap, bytes - bitmap->size)) return false;
    if (bits) {
        bitmap_copy(bitmap->data, have, bits, begin, count);
        return true;
    }
    uint64_t i = have, end = have + count;
    for (; i < end && (i & 7); i++) bitmap_set(bitmap->data, i);
    if (end > i) memset(bitmap->data + i / 8, 0xff, (size_t)((end - i) / 8));
    for (i += (end - i) / 8 * 8; i < end; i++) bitmap_set(bitmap->data, i);
    return true;
}

static enum plinth_status append_validity(struct arrow_leaf *leaf, const struct parquet_column_data *data,
                                          uint64_t begin, uint64_t count, struct plinth_error *error) {
    if (!leaf->has_validity && !data->validity) return PLINTH_OK;
    bool is_first = !leaf->has_validity;
    leaf->has_validity = true;
    if ((is_first && !append_bits(&leaf->validity, 0, NULL, 0, leaf->entries)) ||
        !append_bits(&leaf->validity, leaf->entries, data->validity, begin, count))
        return error_no_memory(error, "Arrow validity");
    return PLINTH_OK;
}

/* The values one behind the other are valid, and none of them begins inside a character. */
static bool is_valid_utf8(const uint8_t *bytes, const uint32_t *offsets, uint64_t count) {
    uint32_t first = offsets[0], end = offsets[count];
    uint8_t is_inside = 0;
    if (utf8_find_invalid(slice_of(bytes + first, end - first)) != SIZE_MAX) return false;
    for (uint64_t i = 0; i < count && offsets[i] < end; i++) is_inside |= (bytes[offsets[i]] & 0xc0) == 0x80;
    return !is_inside;
}

static enum plinth_status append_bytes(struct arrow_leaf *leaf, const struct parquet_column_data *data, uint64_t begin,
                                       uint64_t count, bool check_utf8, struct plinth_error *error) {
    const uint32_t *from = data->offsets + begin;
    uint32_t first = from[0], size = from[count] - first;
    if (check_utf8 && leaf->type.is_utf8 && !is_valid_utf8(data->bytes, from, count))
        return error_set(error, PLINTH_CORRUPT, "column %.100s: a string that is not valid UTF-8", leaf->column->path);
    if (leaf->values.size + size > INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: a batch has over 2 GiB of bytes; ask for fewer rows",
                         leaf->column->path);
    uint32_t shift = (uint32_t)leaf->values.size - first;
    if ((leaf->offsets.size == 0 && !buffer_append_u32(&leaf->offsets, 0)) ||
        !buffer_reserve(&leaf->offsets, (size_t)count * sizeof(uint32_t)) ||
        (size > 0 && !buffer_append(&leaf->values, data->bytes + first, size)))
        return error_no_memory(error, "Arrow values");
    uint32_t *to = (uint32_t *)(void *)(leaf->offsets.data + leaf->offsets.size);
    for (uint64_t i = 0; i < count; i++) to[i] = from[i + 1] + shift;
    leaf->offsets.size += (size_t)count * sizeof(uint32_t);
    return PLINTH_OK;
}

static void narrow(const uint8_t *from, uint64_t count, uint32_t width, uint8_t *to) {
    if (width == 1)
        for (uint64_t i = 0; i < count; i++) to[i] = from[i * 4];
    else
        for (uint64_t i = 0; i < count; i++) memcpy(to + i * 2, from + i * 4, 2);
}

/* Nanoseconds of the day, and the Julian day. In microseconds and milliseconds the days go round at 2^64: Spark lets
 * times of the year 290,000 run over a Julian day of 32 bits, and that brings them back. */
static bool convert_int96(const uint8_t *from, uint64_t count, uint32_t units, uint8_t *to) {
    bool may_go_round = units < NANOS_A_SECOND;
    for (uint64_t i = 0; i < count; i++, from += 12) {
        int64_t nanos = (int64_t)load_u64(from), days = (int64_t)(int32_t)load_u32(from + 8) - JULIAN_DAY_1970, time;
        if (nanos == 0 && load_u32(from + 8) == 0) days = 0; /* the slot of a null */
        bool overflows = __builtin_mul_overflow(days * SECONDS_A_DAY, (int64_t)units, &time);
        overflows |= __builtin_add_overflow(time, nanos / (NANOS_A_SECOND / (int64_t)units), &time);
        if (overflows && !may_go_round) return false;
        store_u64(to + i * 8, (uint64_t)time);
    }
    return true;
}

/* Big-endian bytes of any length to little-endian of `width`. */
static bool convert_big_endian(const uint8_t *from, size_t size, uint32_t width, uint8_t *to) {
    uint8_t sign = size > 0 && from[0] & 0x80 ? 0xff : 0;
    for (; size > width; from++, size--)
        if (from[0] != sign) return false;
    if (size == width && size > 0 && (from[0] & 0x80) != (sign & 0x80)) return false;
    for (size_t i = 0; i < size; i++) to[i] = from[size - 1 - i];
    memset(to + size, sign, width - size);
    return true;
}

/* Values from slot `begin` on; null for BYTE_ARRAY. */
static const uint8_t *values_from(const struct parquet_column *column, const struct parquet_column_data *data,
                                  uint64_t begin) {
    return data->values ? (const uint8_t *)data->values + begin * column->width : NULL;
}

static bool convert_decimals(const struct parquet_column *column, const struct parquet_column_data *data,
                             uint64_t begin, uint64_t count, uint32_t width, uint8_t *to) {
    const uint8_t *from = values_from(column, data, begin);
    for (uint64_t i = 0; i < count; i++, to += width) {
        if (column->type == PARQUET_TYPE_BYTE_ARRAY || column->type == PARQUET_TYPE_FIXED) {
            struct slice value = column->type == PARQUET_TYPE_FIXED ? slice_of(from + i * column->width, column->width)
                                                                    : parquet_column_data_bytes(data, begin + i);
            if (!convert_big_endian(value.data, value.size, width, to)) return false;
            continue;
        }
        int64_t value = column->width == 4 ? (int32_t)load_u32(from + i * 4) : (int64_t)load_u64(from + i * 8);
        store_u64(to, (uint64_t)value);
        memset(to + 8, value < 0 ? 0xff : 0, width - 8);
    }
    return true;
}

static enum plinth_status append_converted(struct arrow_leaf *leaf, const struct parquet_column_data *data,
                                           uint64_t begin, uint64_t count, struct plinth_error *error) {
    const struct parquet_column *column = leaf->column;
    const uint8_t *from = values_from(column, data, begin);
    size_t bytes = (size_t)(count * leaf->type.width);
    if (!buffer_reserve(&leaf->values, bytes + 1)) return error_no_memory(error, "Arrow values");
    uint8_t *to = leaf->values.data + leaf->values.size;
    leaf->values.size += bytes;
    switch (leaf->type.conversion) {
    case ARROW_CONVERT_NARROW: narrow(from, count, leaf->type.width, to); return PLINTH_OK;
    case ARROW_CONVERT_INT96:
        if (convert_int96(from, count, leaf->type.int96_units, to)) return PLINTH_OK;
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: an INT96 time that its unit does not reach",
                         column->path);
    case ARROW_CONVERT_DECIMAL:
        if (convert_decimals(column, data, begin, count, leaf->type.width, to)) return PLINTH_OK;
        return error_set(error, PLINTH_CORRUPT, "column %.100s: a decimal of more than %u bytes", column->path,
                         leaf->type.width);
    default: memcpy(to, from, bytes); return PLINTH_OK;
    }
}

/* Slots that all are entries. */
static enum plinth_status append_run(struct arrow_leaf *leaf, const struct parquet_column_data *data, uint64_t begin,
                                     uint64_t count, bool check_utf8, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (count == 0 || leaf->type.conversion == ARROW_CONVERT_NOTHING) {
        leaf->entries += count;
        return PLINTH_OK;
    }
    if (leaf->type.conversion == ARROW_CONVERT_BYTES)
        st = append_bytes(leaf, data, begin, count, check_utf8, error);
    else if (leaf->type.conversion != ARROW_CONVERT_BITS)
        st = append_converted(leaf, data, begin, count, error);
    else if (!append_bits(&leaf->values, leaf->entries, data->values, begin, count))
        st = error_no_memory(error, "Arrow values");
    if (!st) st = append_validity(leaf, data, begin, count, error);
    leaf->entries += count;
    return st;
}

/* ---- Slots ---- */

static enum plinth_status append_levels(struct arrow_leaf *leaf, const struct parquet_column_data *data,
                                        struct plinth_error *error) {
    bool repeats = leaf->column->repetition_level_max > 0;
    if (!levels_are_consistent(leaf->column, data->definition_levels, repeats ? data->repetition_levels : NULL,
                               data->slots))
        return error_set(error, PLINTH_CORRUPT, "column %.100s: levels that do not go together", leaf->column->path);
    if (!buffer_append(&leaf->definition, data->definition_levels, (size_t)data->slots) ||
        (repeats && !buffer_append(&leaf->repetition, data->repetition_levels, (size_t)data->slots)))
        return error_no_memory(error, "Parquet levels");
    return PLINTH_OK;
}

enum plinth_status arrow_leaf_append(struct arrow_leaf *leaf, const struct parquet_column_data *data, bool check_utf8,
                                     struct plinth_error *error) {
    uint8_t least = leaf->column->element_level;
    enum plinth_status st = PLINTH_OK;
    if (data->slots == 0) return PLINTH_OK;
    if (parquet_column_has_levels(leaf->column)) st = append_levels(leaf, data, error);
    if (!st && least == 0) st = append_run(leaf, data, 0, data->slots, check_utf8, error);
    for (uint64_t i = 0; !st && least > 0 && i < data->slots;) {
        uint64_t begin = i;
        while (i < data->slots && data->definition_levels[i] >= least) i++;
        st = append_run(leaf, data, begin, i - begin, check_utf8, error);
        while (i < data->slots && data->definition_levels[i] < least) i++;
    }
    leaf->rows += data->rows;
    leaf->slots += data->slots;
    return st;
}
