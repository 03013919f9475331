/* Ranges of rows, and rows by a bitmap. See row_ranges.h. */
#include "parquet/row_ranges.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/encoding_bytes.h"
#include "parquet/nulls.h"

enum {
    SCATTERED_RANGES = 4,
    SCATTERED_ROWS = 64, /* from one range to the next */
    GAP_ROWS_MAX = 256,
};
/* Bitmaps are read by words. */
enum { MASK_SLACK = 16 };

bool row_ranges_add(struct buffer *ranges, uint64_t begin, uint64_t end) {
    struct row_range range = {begin, end};
    if (begin >= end) return true;
    if (ranges->size > 0) {
        struct row_range *last = (struct row_range *)(void *)(ranges->data + ranges->size) - 1;
        if (last->end == begin) {
            last->end = end;
            return true;
        }
    }
    return buffer_append(ranges, &range, sizeof range);
}

/* The first bit from `at` on that is `value`; `end` when there is none. */
static uint64_t find_bit(const uint8_t *bitmap, uint64_t at, uint64_t end, bool value) {
    uint8_t flip = value ? 0 : 0xff;
    while (at < end) {
        uint8_t rest = (uint8_t)((bitmap[at >> 3] ^ flip) >> (at & 7));
        if (rest) {
            at += (uint64_t)__builtin_ctz(rest);
            return at < end ? at : end;
        }
        at = (at | 7) + 1;
        while (at < end && end - at >= 64 && load_u64(bitmap + (at >> 3)) == (value ? 0 : UINT64_MAX)) at += 64;
    }
    return end;
}

bool row_ranges_add_bitmap(struct buffer *ranges, struct row_range range, const uint8_t *bitmap, uint64_t first,
                           uint64_t bits) {
    if (first >= bits || range.begin >= bits - first) return true;
    uint64_t end = range.end < bits - first ? first + range.end : bits;
    for (uint64_t at = first + range.begin; at < end;) {
        uint64_t begin = find_bit(bitmap, at, end, true);
        at = find_bit(bitmap, begin, end, false);
        if (!row_ranges_add(ranges, begin - first, at - first)) return false;
    }
    return true;
}

/* ---- Scattered rows ---- */

bool row_ranges_are_scattered(const struct buffer *ranges, size_t i) {
    if (row_ranges_count(ranges) - i < SCATTERED_RANGES) return false;
    const struct row_range *range = row_range_at(ranges, i);
    return range[SCATTERED_RANGES - 1].end - range[0].begin <= (uint64_t)SCATTERED_RANGES * SCATTERED_ROWS;
}

uint64_t row_ranges_mask(const struct buffer *ranges, size_t *i, uint64_t row, uint64_t rows, uint64_t kept_max,
                         struct buffer *mask, uint64_t *kept) {
    uint64_t at = row, end = row + rows;
    size_t count = row_ranges_count(ranges);
    *kept = 0;
    buffer_clear(mask);
    if (!buffer_append_zeros(mask, (size_t)bits_bytes(rows, 1) + MASK_SLACK)) return 0;
    while (*i < count && *kept < kept_max) {
        struct row_range range = *row_range_at(ranges, *i);
        bool is_far = *kept > 0 && range.begin > at && range.begin - at > GAP_ROWS_MAX;
        if (range.begin >= end || is_far) break;
        if (range.begin < at) range.begin = at;
        uint64_t stop = range.end < end ? range.end : end;
        if (stop - range.begin > kept_max - *kept) stop = range.begin + (kept_max - *kept);
        bits_fill(mask->data, range.begin - row, stop - range.begin, true);
        *kept += stop - range.begin;
        at = stop;
        if (stop < range.end) break;
        ++*i;
    }
    return at - row;
}

/* ---- Picking ---- */

void row_picker_deinit(struct row_picker *picker) {
    parquet_column_buffer_deinit(&picker->into);
    buffer_deinit(&picker->slots);
}

/* From rows to their slots; returns how many are kept. */
static bool mask_slots(const struct parquet_column_data *data, const uint8_t *rows, struct buffer *slots,
                       uint64_t *kept) {
    buffer_clear(slots);
    if (!buffer_append_zeros(slots, (size_t)bits_bytes(data->slots, 1) + MASK_SLACK)) return false;
    uint64_t row = UINT64_MAX;
    *kept = 0;
    for (uint64_t i = 0; i < data->slots; i++) {
        row += data->repetition_levels[i] == 0;
        uint8_t bit = rows[row >> 3] >> (row & 7) & 1;
        slots->data[i >> 3] |= (uint8_t)(bit << (i & 7));
        *kept += bit;
    }
    return true;
}

/* The bits at the places of the mask's set ones, one behind the other. */
static bool pick_bits(const uint8_t *bits, const uint8_t *mask, uint64_t count, uint64_t kept, struct buffer *out) {
    buffer_clear(out);
    if (!buffer_append_zeros(out, (size_t)bits_bytes(kept, 1) + 1)) return false;
    uint64_t to = 0;
    for (uint64_t i = 0; i < count; i += 8) {
        for (uint8_t left = mask[i >> 3]; left; left &= (uint8_t)(left - 1), to++)
            out->data[to >> 3] |= (uint8_t)((bits[i >> 3] >> __builtin_ctz(left) & 1) << (to & 7));
    }
    return true;
}

static bool pick_fixed(const void *values, const uint8_t *mask, uint64_t count, uint64_t kept, size_t width,
                       struct buffer *out) {
    buffer_clear(out);
    if (!buffer_reserve(out, (size_t)count * width + NULLS_SLACK)) return false;
    nulls_gather(values, count, width, mask, 0, out->data);
    out->size = (size_t)kept * width;
    return true;
}

static bool pick_bytes(const struct parquet_column_data *data, const uint8_t *mask, uint64_t kept,
                       struct parquet_column_buffer *into) {
    buffer_clear(&into->values);
    buffer_clear(&into->offsets);
    if (!buffer_reserve(&into->values, data->offsets[data->slots] - data->offsets[0] + COPY_SLACK) ||
        !buffer_reserve(&into->offsets, (size_t)(kept + 1) * sizeof(uint32_t)))
        return false;
    uint32_t *offsets = (uint32_t *)(void *)into->offsets.data, size = 0;
    const uint8_t *end = data->bytes + data->offsets[data->slots];
    for (uint64_t i = 0; i < data->slots; i += 8) {
        for (uint8_t left = mask[i >> 3]; left; left &= (uint8_t)(left - 1)) {
            const uint32_t *at = data->offsets + i + __builtin_ctz(left);
            *offsets++ = size;
            copy_within(into->values.data + size, data->bytes + at[0], at[1] - at[0], end);
            size += at[1] - at[0];
        }
    }
    *offsets = size;
    into->values.size = size;
    into->offsets.size = (size_t)(kept + 1) * sizeof(uint32_t);
    return true;
}

static bool pick_levels(const struct parquet_column_data *data, const uint8_t *mask, uint64_t kept,
                        struct parquet_column_buffer *into) {
    if (data->definition_levels && !pick_fixed(data->definition_levels, mask, data->slots, kept, 1, &into->levels))
        return false;
    return !data->repetition_levels || pick_fixed(data->repetition_levels, mask, data->slots, kept, 1, &into->page);
}

static bool pick_values(const struct parquet_column *column, const struct parquet_column_data *data,
                        const uint8_t *mask, uint64_t kept, struct parquet_column_buffer *into) {
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) return pick_bytes(data, mask, kept, into);
    if (column->type == PARQUET_TYPE_BOOLEAN) return pick_bits(data->values, mask, data->slots, kept, &into->values);
    return pick_fixed(data->values, mask, data->slots, kept, column->width, &into->values);
}

enum plinth_status row_picker_pick(struct row_picker *picker, const struct parquet_column *column,
                                   const struct buffer *mask, uint64_t kept, struct parquet_column_data *data,
                                   struct plinth_error *error) {
    struct parquet_column_buffer *into = &picker->into;
    const uint8_t *slots = mask->data;
    uint64_t kept_slots = kept;
    if (data->repetition_levels) {
        if (!mask_slots(data, mask->data, &picker->slots, &kept_slots)) return error_no_memory(error, "Parquet rows");
        slots = picker->slots.data;
    }
    if (!pick_values(column, data, slots, kept_slots, into) || !pick_levels(data, slots, kept_slots, into) ||
        (data->validity && !pick_bits(data->validity, slots, data->slots, kept_slots, &into->validity)))
        return error_no_memory(error, "Parquet rows");
    bool is_bytes = column->type == PARQUET_TYPE_BYTE_ARRAY;
    uint64_t nulls = data->validity ? kept_slots - bits_count(into->validity.data, 0, kept_slots) : 0;
    *data = (struct parquet_column_data){
        .rows = kept,
        .slots = kept_slots,
        .null_count = nulls,
        .validity = nulls ? into->validity.data : NULL,
        .values = is_bytes ? NULL : into->values.data,
        .offsets = is_bytes ? (const uint32_t *)(void *)into->offsets.data : NULL,
        .bytes = is_bytes ? into->values.data : NULL,
        .definition_levels = data->definition_levels ? into->levels.data : NULL,
        .repetition_levels = data->repetition_levels ? into->page.data : NULL,
    };
    return PLINTH_OK;
}
