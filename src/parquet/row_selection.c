/* Rows between bounds. See row_selection.h. */
#include "parquet/row_selection.h"

#include "base/status.h"
#include "parquet/column_cursor.h"
#include "parquet/statistics_private.h"

/* ---- Bounds ---- */

static uint32_t value_bytes(const struct parquet_column *column) {
    return column->type == PARQUET_TYPE_BOOLEAN ? 1 : column->width;
}

enum plinth_status row_bounds_init(struct row_bounds *bounds, const struct parquet_schema *schema, const char *path,
                                   const struct slice *min, const struct slice *max, struct plinth_error *error) {
    *bounds = (struct row_bounds){0};
    int32_t number = parquet_schema_find(schema, path);
    if (number < 0) return error_set(error, PLINTH_NOT_FOUND, "there is no column %.100s", path);
    const struct parquet_column *column = &schema->columns[number];
    uint32_t bytes = value_bytes(column);
    if (bytes && ((min && min->size != bytes) || (max && max->size != bytes)))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: a bound that has not %u bytes", path, bytes);
    *bounds = (struct row_bounds){.column = (uint32_t)number, .order = parquet_column_order(column)};
    if (bounds->order == PARQUET_ORDER_NONE)
        return error_set(error, PLINTH_UNSUPPORTED, "column %.100s: its values have no order", path);
    if (min) {
        bounds->has_min = true;
        bounds->min = *min;
    }
    if (max) {
        bounds->has_max = true;
        bounds->max = *max;
    }
    return PLINTH_OK;
}

static bool overlaps(const struct row_bounds *bounds, struct slice min, struct slice max) {
    return !(bounds->has_min && parquet_value_compare(bounds->order, max, bounds->min) < 0) &&
           !(bounds->has_max && parquet_value_compare(bounds->order, min, bounds->max) > 0);
}

/* One value, and of a type whose equal values have equal bytes. */
static bool asks_for_one_value(const struct row_bounds *bounds) {
    return bounds->has_min && bounds->has_max && slice_equal(bounds->min, bounds->max) &&
           !parquet_order_is_floating(bounds->order) && bounds->order != PARQUET_ORDER_DECIMAL_BYTES &&
           bounds->order != PARQUET_ORDER_BOOLEAN;
}

/* ---- The chunk and its pages ---- */

static enum plinth_status may_match(const struct parquet_reader *reader, uint32_t row_group,
                                    const struct row_bounds *bounds, bool *maybe, struct plinth_error *error) {
    const struct parquet_column *column = &reader->metadata.schema.columns[bounds->column];
    const struct parquet_column_chunk *chunk;
    struct slice min, max;
    *maybe = false;
    enum plinth_status st = reader_chunk(reader, row_group, bounds->column, &chunk, error);
    if (st) return st;
    const struct parquet_statistics *statistics = &chunk->statistics;
    uint64_t never = (statistics->has_null_count ? statistics->null_count : 0) +
                     (statistics->has_nan_count ? statistics->nan_count : 0);
    if (never == chunk->value_count) return PLINTH_OK; /* nulls and NaN */
    if (parquet_statistics_bounds(column, statistics, &min, &max) && !overlaps(bounds, min, max)) return PLINTH_OK;
    *maybe = true;
    if (!asks_for_one_value(bounds) || chunk->bloom_offset == 0) return PLINTH_OK;
    st = parquet_reader_bloom_check(reader, row_group, bounds->column, bounds->min, maybe, error);
    if (st == PLINTH_UNSUPPORTED) { /* a filter of another kind */
        error_clear(error);
        *maybe = true;
        st = PLINTH_OK;
    }
    return st;
}

/* Whether a page that is said to hold only nulls does: some files say so of pages of REQUIRED columns, or count other
 * nulls than rows. */
static bool holds_only_nulls(const struct parquet_column *column, const struct parquet_page_index *index,
                             uint32_t page) {
    if (column->definition_level_max == 0) return false;
    return !index->has_null_counts || !parquet_column_is_flat(column) ||
           index->bounds[page].null_count == index->locations[page].row_count;
}

static bool page_may_match(const struct row_bounds *bounds, const struct parquet_column *column,
                           const struct parquet_page_index *index, uint32_t number) {
    const struct parquet_page_bounds *page = &index->bounds[number];
    struct slice min = page->min, max = page->max;
    if (page->is_null_page) return !holds_only_nulls(column, index, number);
    if (parquet_order_is_floating(bounds->order)) {
        if (statistics_value_is_nan(bounds->order, min.data)) return false; /* nothing else, by the total order */
        min = statistics_widen_zero(bounds->order, min, true);
        max = statistics_widen_zero(bounds->order, max, false);
    }
    return overlaps(bounds, min, max);
}

/* The first page whose values are not all below the bounds; the pages' bounds ascend. */
static uint32_t find_page(const struct row_bounds *bounds, const struct parquet_page_index *index) {
    uint32_t low = 0, high = index->page_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (parquet_value_compare(bounds->order, index->bounds[middle].max, bounds->min) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the ranges what lies in pages that may hold matches. */
static bool clip_to_pages(const struct row_bounds *bounds, const struct parquet_column *column,
                          const struct page_index_view *view, const struct buffer *ranges, struct buffer *out) {
    const struct parquet_page_index *index = view->index;
    uint32_t first = view->ascends && bounds->has_min ? find_page(bounds, index) : 0;
    buffer_clear(out);
    for (size_t i = 0; i < row_ranges_count(ranges); i++) {
        const struct row_range *range = row_range_at(ranges, i);
        uint32_t p = parquet_page_index_find_row(index, range->begin);
        for (p = p < first ? first : p; p < index->page_count; p++) {
            const struct parquet_page_location *page = &index->locations[p];
            uint64_t begin = page->first_row, end = begin + page->row_count;
            bool matches = page_may_match(bounds, column, index, p);
            if (begin >= range->end || (view->ascends && !matches)) break;
            if (!matches) continue;
            if (!row_ranges_add(out, begin > range->begin ? begin : range->begin, end < range->end ? end : range->end))
                return false;
        }
    }
    return true;
}

/* ---- Values ---- */

static bool matches(const struct row_bounds *bounds, struct slice value) {
    if (parquet_order_is_floating(bounds->order) && statistics_value_is_nan(bounds->order, value.data)) return false;
    return overlaps(bounds, value, value);
}

static struct slice value_at(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t i,
                             uint8_t *truth) {
    const uint8_t *values = data->values;
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) return parquet_column_data_bytes(data, i);
    if (column->type != PARQUET_TYPE_BOOLEAN) return slice_of(values + i * column->width, column->width);
    *truth = values[i >> 3] >> (i & 7) & 1;
    return slice_of(truth, 1);
}

/* The first row from `i` on whose value lies between the bounds as integers do; nulls have any value. */
static uint64_t skip_integers(const struct row_bounds *bounds, const struct parquet_column_data *data, uint64_t i) {
    const uint8_t *values = data->values;
    if (bounds->order == PARQUET_ORDER_INT32) {
        int32_t min = bounds->has_min ? (int32_t)load_u32(bounds->min.data) : INT32_MIN;
        int32_t max = bounds->has_max ? (int32_t)load_u32(bounds->max.data) : INT32_MAX;
        for (; i < data->rows; i++) {
            int32_t value = (int32_t)load_u32(values + i * 4);
            if (value >= min && value <= max) break;
        }
    } else {
        int64_t min = bounds->has_min ? (int64_t)load_u64(bounds->min.data) : INT64_MIN;
        int64_t max = bounds->has_max ? (int64_t)load_u64(bounds->max.data) : INT64_MAX;
        for (; i < data->rows; i++) {
            int64_t value = (int64_t)load_u64(values + i * 8);
            if (value >= min && value <= max) break;
        }
    }
    return i;
}

/* The first row from `i` on whose first bytes lie between those of the bounds. */
static uint64_t skip_bytes(const struct row_bounds *bounds, const struct parquet_column_data *data, uint64_t i) {
    struct slice least = bounds->min, greatest = bounds->max;
    uint64_t min = bounds->has_min ? bytes_prefix(least, least.data + least.size) : 0;
    uint64_t max = bounds->has_max ? bytes_prefix(greatest, greatest.data + greatest.size) : UINT64_MAX;
    const uint8_t *end = data->bytes + data->offsets[data->rows];
    for (; i < data->rows; i++) {
        uint64_t prefix = bytes_prefix(parquet_column_data_bytes(data, i), end);
        if (prefix >= min && prefix <= max) break;
    }
    return i;
}

/* Passes over rows that quickly are seen not to match. */
static uint64_t skip_rows(const struct row_bounds *bounds, const struct parquet_column *column,
                          const struct parquet_column_data *data, uint64_t i) {
    if (bounds->order == PARQUET_ORDER_INT32 || bounds->order == PARQUET_ORDER_INT64)
        return skip_integers(bounds, data, i);
    if (bounds->order == PARQUET_ORDER_BYTES && column->type == PARQUET_TYPE_BYTE_ARRAY)
        return skip_bytes(bounds, data, i);
    return i;
}

static bool add_flat_matches(const struct row_bounds *bounds, const struct parquet_column *column,
                             const struct parquet_column_data *data, uint64_t row, struct buffer *out) {
    uint8_t truth;
    for (uint64_t i = 0; i < data->rows;) {
        uint64_t begin = i = skip_rows(bounds, column, data, i);
        while (i < data->rows && !parquet_column_data_is_null(data, i) &&
               matches(bounds, value_at(column, data, i, &truth)))
            i++;
        if (!row_ranges_add(out, row + begin, row + i)) return false;
        if (i < data->rows) i++;
    }
    return true;
}

/* A row matches when one of its values does. */
static bool add_list_matches(const struct row_bounds *bounds, const struct parquet_column *column,
                             const struct parquet_column_data *data, uint64_t row, struct buffer *out) {
    uint8_t truth;
    for (uint64_t i = 0; i < data->slots; row++) {
        bool found = false;
        do {
            if (!found && !parquet_column_data_is_null(data, i))
                found = matches(bounds, value_at(column, data, i, &truth));
        } while (++i < data->slots && data->repetition_levels[i] > 0);
        if (found && !row_ranges_add(out, row, row + 1)) return false;
    }
    return true;
}

static enum plinth_status add_matches(const struct parquet_reader *reader, const struct row_bounds *bounds,
                                      const struct parquet_column *column, const struct parquet_column_data *data,
                                      uint64_t row, struct buffer *out, struct plinth_error *error) {
    bool is_ok = parquet_column_is_flat(column) ? add_flat_matches(bounds, column, data, row, out)
                                                : add_list_matches(bounds, column, data, row, out);
    if (!is_ok) return error_no_memory(error, "row ranges");
    if (out->size > reader->memory_bytes_max)
        return error_set(error, PLINTH_OUT_OF_MEMORY,
                         "column %.100s: the ranges of rows between bounds are over the memory limit of %llu bytes",
                         column->path, (unsigned long long)reader->memory_bytes_max);
    return PLINTH_OK;
}

/* Of the ranges the rows whose values match. `index` may be null. */
static enum plinth_status look_at_values(const struct parquet_reader *reader, uint32_t row_group,
                                         const struct row_bounds *bounds, const struct parquet_page_index *index,
                                         const struct buffer *ranges, struct parquet_scratch *scratch,
                                         struct buffer *out, struct plinth_error *error) {
    struct column_cursor own = {0}, *cursor = bounds->cursor ? bounds->cursor : &own;
    struct parquet_column_data data;
    enum plinth_status st = PLINTH_OK;
    buffer_clear(out);
    if (!cursor->reader)
        st = column_cursor_init(cursor, reader, row_group, bounds->column, error);
    else if (row_ranges_count(ranges) > 0)
        column_cursor_restart(cursor, row_range_at(ranges, 0)->begin);
    for (size_t i = 0; !st && i < row_ranges_count(ranges); i++) {
        const struct row_range *range = row_range_at(ranges, i);
        uint64_t row = range->begin;
        if (index) column_cursor_expect(cursor, range->end, index);
        st = column_cursor_seek(cursor, row, index, scratch, error);
        while (!st && row < range->end) {
            st = column_cursor_fill(cursor, scratch, error);
            uint64_t left = column_cursor_rows_left(cursor), rows = range->end - row < left ? range->end - row : left;
            if (!st) st = column_cursor_take(cursor, rows, &data, error);
            if (!st) st = add_matches(reader, bounds, cursor->about, &data, row, out, error);
            row += rows;
        }
    }
    column_cursor_deinit(&own);
    return st;
}

static void swap(struct buffer *a, struct buffer *b) {
    struct buffer old = *a;
    *a = *b;
    *b = old;
}

static enum plinth_status apply(const struct parquet_reader *reader, uint32_t row_group,
                                const struct row_bounds *bounds, struct parquet_scratch *scratch, struct buffer *ranges,
                                struct buffer *spare, struct plinth_error *error) {
    struct page_index_view view;
    enum plinth_status st = page_index_view_init(&view, reader, row_group, bounds->column, error);
    if (!st && view.index && view.index->bounds) {
        const struct parquet_column *column = &reader->metadata.schema.columns[bounds->column];
        if (!clip_to_pages(bounds, column, &view, ranges, spare)) st = error_no_memory(error, "row ranges");
        swap(ranges, spare);
    }
    if (!st && ranges->size > 0) {
        st = look_at_values(reader, row_group, bounds, view.index, ranges, scratch, spare, error);
        swap(ranges, spare);
    }
    page_index_view_deinit(&view);
    return st;
}

enum plinth_status row_selection_find(const struct parquet_reader *reader, uint32_t row_group,
                                      const struct row_bounds *bounds, uint32_t count, struct parquet_scratch *scratch,
                                      struct buffer *ranges, struct plinth_error *error) {
    struct buffer spare = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    bool maybe = true;
    for (uint32_t i = 0; !st && maybe && i < count; i++) st = may_match(reader, row_group, &bounds[i], &maybe, error);
    if (!maybe) buffer_clear(ranges);
    for (uint32_t i = 0; !st && i < count && ranges->size > 0; i++)
        st = apply(reader, row_group, &bounds[i], scratch, ranges, &spare, error);
    buffer_deinit(&spare);
    if (st) buffer_clear(ranges);
    return st;
}
