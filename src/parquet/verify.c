/* A file against what it says of itself. See verify.h. */
#include "parquet/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/arrow_read.h"
#include "parquet/row_buffer.h"
#include "parquet/verify_private.h"

/* ---- Findings ---- */

void parquet_finding_format(const struct parquet_finding *finding, char *text, size_t size) {
    char place[400] = "";
    size_t used = 0;
#define ADD(...)                                                                                                       \
    if (used < sizeof place) used += (size_t)snprintf(place + used, sizeof place - used, __VA_ARGS__)
    if (finding->row_group >= 0) ADD("row group %" PRId64, finding->row_group);
    if (finding->column) ADD("%scolumn %.200s", used ? ", " : "", finding->column);
    if (finding->page >= 0) ADD("%spage %" PRId64, used ? ", " : "", finding->page);
    if (finding->offset >= 0) ADD("%soffset %" PRId64, used ? ", " : "", finding->offset);
#undef ADD
    snprintf(text, size, "%s%s%s", place, used ? ": " : "", finding->text);
}

void verify_report(struct verifier *verifier, struct verify_place place, const char *format, ...) {
    char text[PLINTH_ERROR_TEXT_MAX];
    va_list arguments;
    if (verifier->is_stopped) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    verifier->counts->findings++;
    const struct parquet_finding finding = {place.row_group, place.column, place.page, place.offset, text};
    if (verifier->options->report)
        verifier->is_stopped = !verifier->options->report(verifier->options->context, &finding);
}

enum plinth_status verify_status(struct verifier *verifier, struct verify_place place, enum plinth_status status,
                                 struct plinth_error *error) {
    if (status != PLINTH_CORRUPT) {
        if (status && place.column && place.offset >= 0)
            error_prefix(error, "row group %" PRId64 ", column %.100s, offset %" PRId64, place.row_group, place.column,
                         place.offset);
        return status;
    }
    verify_report(verifier, place, "%s", error->text);
    error_clear(error);
    return PLINTH_OK;
}

static void bytes_text(struct slice value, char text[VERIFY_VALUE_TEXT_MAX]) {
    enum { BYTES_MAX = 16 };
    size_t used = 0, size = value.size < BYTES_MAX ? value.size : BYTES_MAX;
    text[used++] = '"';
    for (size_t i = 0; i < size; i++) {
        bool is_plain = value.data[i] >= ' ' && value.data[i] < 0x7f && value.data[i] != '"' && value.data[i] != '\\';
        used += (size_t)snprintf(text + used, VERIFY_VALUE_TEXT_MAX - used, is_plain ? "%c" : "\\x%02x", value.data[i]);
    }
    snprintf(text + used, VERIFY_VALUE_TEXT_MAX - used, "%s\"", value.size > size ? "…" : "");
}

const char *verify_value_text(enum parquet_order order, struct slice value, char text[VERIFY_VALUE_TEXT_MAX]) {
    float single;
    double number;
    size_t width =
        order == PARQUET_ORDER_INT64 || order == PARQUET_ORDER_UINT64 || order == PARQUET_ORDER_DOUBLE ? 8 : 4;
    bool is_number = order >= PARQUET_ORDER_INT32 && order <= PARQUET_ORDER_DOUBLE && value.size == width;
    if (!is_number) {
        bytes_text(value, text);
        return text;
    }
    switch (order) {
    case PARQUET_ORDER_INT32: snprintf(text, VERIFY_VALUE_TEXT_MAX, "%d", (int32_t)load_u32(value.data)); break;
    case PARQUET_ORDER_UINT32: snprintf(text, VERIFY_VALUE_TEXT_MAX, "%u", load_u32(value.data)); break;
    case PARQUET_ORDER_INT64: snprintf(text, VERIFY_VALUE_TEXT_MAX, "%" PRId64, (int64_t)load_u64(value.data)); break;
    case PARQUET_ORDER_UINT64: snprintf(text, VERIFY_VALUE_TEXT_MAX, "%" PRIu64, load_u64(value.data)); break;
    case PARQUET_ORDER_FLOAT:
        memcpy(&single, value.data, sizeof single);
        snprintf(text, VERIFY_VALUE_TEXT_MAX, "%.9g", (double)single);
        break;
    default:
        memcpy(&number, value.data, sizeof number);
        snprintf(text, VERIFY_VALUE_TEXT_MAX, "%.17g", number);
        break;
    }
    return text;
}

/* ---- The order that sorting columns tell ---- */

/* The last row of a batch, for the first one of the next. */
struct sorted_row {
    bool is_null;
    struct buffer value;
};

struct sorting_check {
    const struct parquet_schema *schema;
    const struct parquet_sorting_column *sorting;
    uint32_t count;
    uint32_t *columns;
    struct parquet_column_data *data;
    struct sorted_row *last;
};

/* <0, 0, >0 as two values of a sorting column are ordered; `*is_known` is false when no rule says it. */
static int compare_sorted(const struct parquet_sorting_column *sorting, enum parquet_order order, bool a_is_null,
                          struct slice a, bool b_is_null, struct slice b, bool *is_known) {
    *is_known = true;
    if (a_is_null || b_is_null) return a_is_null == b_is_null ? 0 : a_is_null == sorting->nulls_first ? -1 : 1;
    bool is_floating = order == PARQUET_ORDER_FLOAT || order == PARQUET_ORDER_DOUBLE || order == PARQUET_ORDER_FLOAT16;
    if (is_floating && (statistics_value_is_nan(order, a.data) || statistics_value_is_nan(order, b.data)))
        *is_known = false;
    int result = parquet_value_compare(order, a, b);
    return sorting->is_descending ? -result : result;
}

/* Whether row `row` of the batch may stand behind the one before it. */
static bool is_in_order(const struct sorting_check *check, uint64_t row) {
    for (uint32_t i = 0; i < check->count; i++) {
        const struct parquet_column *column = &check->schema->columns[check->columns[i]];
        const struct parquet_column_data *data = &check->data[i];
        uint8_t bits[2];
        bool is_null = parquet_column_data_is_null(data, row), last_is_null, is_known;
        struct slice value = column_rows_value(column, data, row, &bits[0]), last;
        if (row > 0) {
            last_is_null = parquet_column_data_is_null(data, row - 1);
            last = column_rows_value(column, data, row - 1, &bits[1]);
        } else {
            last_is_null = check->last[i].is_null;
            last = buffer_slice(&check->last[i].value);
        }
        int result = compare_sorted(&check->sorting[i], parquet_column_order(column), last_is_null, last, is_null,
                                    value, &is_known);
        if (!is_known || result < 0) return true;
        if (result > 0) return false;
    }
    return true;
}

static bool keep_last(struct sorting_check *check, uint64_t row) {
    for (uint32_t i = 0; i < check->count; i++) {
        uint8_t bit;
        struct slice value = column_rows_value(&check->schema->columns[check->columns[i]], &check->data[i], row, &bit);
        check->last[i].is_null = parquet_column_data_is_null(&check->data[i], row);
        buffer_clear(&check->last[i].value);
        if (!check->last[i].is_null && !buffer_append(&check->last[i].value, value.data, value.size)) return false;
    }
    return true;
}

static enum plinth_status scan_sorted(struct verifier *verifier, uint32_t row_group, struct sorting_check *check,
                                      struct plinth_error *error) {
    struct parquet_scan *scan;
    uint64_t rows = 0, row = 0;
    struct verify_place place = {row_group, check->schema->columns[check->columns[0]].path, PARQUET_NOWHERE,
                                 PARQUET_NOWHERE};
    enum plinth_status st =
        parquet_scan_create(verifier->reader, row_group, check->columns, check->count, &scan, error);
    while (!st) {
        st = parquet_scan_next(scan, 0, check->data, &rows, error);
        if (st || rows == 0) break;
        uint64_t i = row == 0;
        while (i < rows && is_in_order(check, i)) i++;
        if (i < rows) {
            verify_report(verifier, place,
                          "the file says that the row group is sorted, but its row %" PRIu64
                          " does not belong behind the one before",
                          row + i);
            break;
        }
        row += rows;
        if (!keep_last(check, rows - 1)) st = error_no_memory(error, "Parquet rows");
    }
    parquet_scan_destroy(scan);
    return st == PLINTH_CORRUPT ? PLINTH_OK : st; /* told by the column's own check */
}

static enum plinth_status check_sorting(struct verifier *verifier, uint32_t row_group, struct plinth_error *error) {
    const struct parquet_metadata *metadata = &verifier->reader->metadata;
    const struct parquet_row_group *group = &metadata->row_groups[row_group];
    struct sorting_check check = {.schema = &metadata->schema, .sorting = group->sorting};
    struct verify_place place = {row_group, NULL, PARQUET_NOWHERE, PARQUET_NOWHERE};
    if (group->sorting_count == 0) return PLINTH_OK;
    check.columns = calloc(group->sorting_count, sizeof *check.columns);
    check.data = calloc(group->sorting_count, sizeof *check.data);
    check.last = calloc(group->sorting_count, sizeof *check.last);
    enum plinth_status st =
        check.columns && check.data && check.last ? PLINTH_OK : error_no_memory(error, "sorting columns");
    for (uint32_t i = 0; !st && i < group->sorting_count; i++) {
        uint32_t column = group->sorting[i].column;
        if (column >= metadata->schema.column_count) {
            verify_report(verifier, place, "sorted by column %u of %u", column, metadata->schema.column_count);
            break;
        }
        const struct parquet_column *about = &metadata->schema.columns[column];
        if (parquet_column_order(about) == PARQUET_ORDER_NONE || !parquet_column_is_flat(about)) break;
        check.columns[check.count++] = column;
    }
    if (!st && check.count > 0 && group->row_count > 0) st = scan_sorted(verifier, row_group, &check, error);
    for (uint32_t i = 0; check.last && i < check.count; i++) buffer_deinit(&check.last[i].value);
    free(check.columns);
    free(check.data);
    free(check.last);
    return st;
}

/* ---- Nested columns: whether the levels of those below one field agree ---- */

static enum plinth_status take_rows(struct arrow_reader *arrow, const struct parquet_fields *fields,
                                    struct parquet_scan *scan, struct parquet_column_data *data,
                                    struct plinth_error *error) {
    struct ArrowArray array;
    uint64_t rows = 1;
    enum plinth_status st = PLINTH_OK;
    while (!st && rows > 0) {
        st = parquet_scan_next(scan, 0, data, &rows, error);
        for (uint32_t i = 0; !st && rows > 0 && i < fields->leaf_count; i++)
            st = arrow_reader_append(arrow, i, &data[i], error);
        if (st || rows == 0) break;
        st = arrow_reader_take(arrow, rows, &array, error);
        if (!st) array.release(&array);
    }
    return st;
}

static enum plinth_status check_nesting(struct verifier *verifier, uint32_t row_group, struct plinth_error *error) {
    const struct parquet_metadata *metadata = &verifier->reader->metadata;
    const struct parquet_schema *schema = &metadata->schema;
    struct parquet_fields fields = {0};
    struct arrow_reader arrow = {0};
    struct parquet_scan *scan = NULL;
    struct parquet_column_data *data = NULL;
    struct arena arena;
    bool is_nested = false;
    arena_init(&arena);
    bool *selected = arena_zalloc(&arena, schema->column_count + 1);
    enum plinth_status st = selected ? PLINTH_OK : error_no_memory(error, "columns");
    for (uint32_t i = 0; !st && i < schema->column_count; i++)
        is_nested |= selected[i] = schema->columns[i].part_count > 1 || parquet_column_has_levels(&schema->columns[i]);
    if (st || !is_nested || metadata->row_groups[row_group].row_count == 0) goto done;
    st = parquet_fields_init(&fields, &arena, schema, selected, error);
    if (!st) st = arrow_reader_init(&arrow, schema, &fields, PARQUET_TIME_MILLIS, error);
    if (st) goto done;
    arrow.allow_invalid_utf8 = true; /* told by the column's own check */
    data = arena_zalloc(&arena, (fields.leaf_count + 1) * sizeof *data);
    if (!data) st = error_no_memory(error, "columns");
    if (!st) st = parquet_scan_create(verifier->reader, row_group, fields.leaves, fields.leaf_count, &scan, error);
    if (!st) st = take_rows(&arrow, &fields, scan, data, error);
    if (st == PLINTH_TOO_LARGE) st = PLINTH_OK; /* for Arrow, not for the file */
done:
    if (arrow.leaves) arrow_reader_deinit(&arrow);
    parquet_scan_destroy(scan);
    arena_deinit(&arena);
    const struct verify_place place = {row_group, NULL, PARQUET_NOWHERE, PARQUET_NOWHERE};
    return verify_status(verifier, place, st, error);
}

/* ---- Row groups ---- */

static void check_sums(struct verifier *verifier, uint32_t row_group) {
    const struct parquet_metadata *metadata = &verifier->reader->metadata;
    const struct parquet_row_group *group = &metadata->row_groups[row_group];
    struct verify_place place = {row_group, NULL, PARQUET_NOWHERE, PARQUET_NOWHERE};
    uint64_t compressed = 0, uncompressed = 0;
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) {
        compressed += group->columns[i].compressed_bytes;
        uncompressed += group->columns[i].uncompressed_bytes;
    }
    if (group->compressed_bytes && group->compressed_bytes != compressed)
        verify_report(verifier, place, "its columns have %" PRIu64 " bytes, but the footer says %" PRIu64, compressed,
                      group->compressed_bytes);
    /* Many writers have left it out, or put the compressed bytes there. */
    if (group->uncompressed_bytes && group->uncompressed_bytes != uncompressed &&
        group->uncompressed_bytes != compressed)
        verify_report(verifier, place, "its columns have %" PRIu64 " bytes uncompressed, but the footer says %" PRIu64,
                      uncompressed, group->uncompressed_bytes);
}

static enum plinth_status check_row_group(struct verifier *verifier, uint32_t row_group, struct plinth_error *error) {
    uint32_t columns = verifier->reader->metadata.schema.column_count;
    uint64_t findings = verifier->counts->findings;
    enum plinth_status st = PLINTH_OK;
    verifier->counts->row_groups++;
    check_sums(verifier, row_group);
    for (uint32_t i = 0; !st && !verifier->is_stopped && i < columns; i++)
        st = verify_chunk(verifier, row_group, i, error);
    if (!st && !verifier->is_stopped) st = check_sorting(verifier, row_group, error);
    /* Of broken columns nothing more is to be learned. */
    if (!st && verifier->counts->findings == findings) st = check_nesting(verifier, row_group, error);
    return st;
}

/* ---- The file ---- */

/* Bytes that something takes. */
struct extent {
    uint64_t begin, end;
    const char *what, *column;
    uint32_t row_group;
};

static int compare_extents(const void *a, const void *b) {
    const struct extent *first = a, *second = b;
    if (first->begin != second->begin) return first->begin < second->begin ? -1 : 1;
    return (first->end > second->end) - (first->end < second->end);
}

static bool add_extent(struct buffer *extents, uint64_t begin, uint64_t bytes, const char *what, const char *column,
                       uint32_t row_group) {
    const struct extent extent = {begin, begin + bytes, what, column, row_group};
    if (begin == 0 || bytes == 0 || extent.end < begin) return true;
    return buffer_append(extents, &extent, sizeof extent);
}

static bool add_chunk_extents(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                              struct buffer *extents) {
    const struct parquet_column_chunk *chunk = &reader->metadata.row_groups[row_group].columns[column];
    const char *path = reader->metadata.schema.columns[column].path;
    uint64_t begin = chunk->data_page_offset;
    if (chunk->dictionary_page_offset && chunk->dictionary_page_offset < begin) begin = chunk->dictionary_page_offset;
    return add_extent(extents, begin, chunk->compressed_bytes, "pages", path, row_group) &&
           add_extent(extents, chunk->bloom_offset, chunk->bloom_bytes, "bloom filter", path, row_group) &&
           add_extent(extents, chunk->offset_index_offset, chunk->offset_index_bytes, "offset index", path,
                      row_group) &&
           add_extent(extents, chunk->column_index_offset, chunk->column_index_bytes, "column index", path, row_group);
}

static enum plinth_status check_overlaps(struct verifier *verifier, struct plinth_error *error) {
    const struct parquet_metadata *metadata = &verifier->reader->metadata;
    struct buffer extents = BUFFER_INIT;
    bool is_ok = true;
    for (uint32_t g = 0; is_ok && g < metadata->row_group_count; g++)
        for (uint32_t c = 0; is_ok && c < metadata->schema.column_count; c++)
            is_ok = add_chunk_extents(verifier->reader, g, c, &extents);
    struct extent *list = (struct extent *)(void *)extents.data;
    size_t count = extents.size / sizeof *list;
    if (count > 0) qsort(list, count, sizeof *list, compare_extents);
    for (size_t i = 1; is_ok && i < count; i++) {
        const struct extent *before = &list[i - 1], *at = &list[i];
        struct verify_place place = {at->row_group, at->column, PARQUET_NOWHERE, (int64_t)at->begin};
        if (at->begin < before->end)
            verify_report(verifier, place, "the %s lie in those of row group %u, column %.100s (%s)", at->what,
                          before->row_group, before->column, before->what);
    }
    buffer_deinit(&extents);
    return is_ok ? PLINTH_OK : error_no_memory(error, "Parquet file");
}

enum plinth_status parquet_verify(const struct parquet_reader *reader, const struct parquet_verify_options *options,
                                  struct parquet_verify_counts *counts, struct plinth_error *error) {
    static const struct parquet_verify_options defaults = {0};
    const struct parquet_metadata *metadata = &reader->metadata;
    struct plinth_error own = {0};
    uint64_t rows = 0;
    *counts = (struct parquet_verify_counts){0};
    struct verifier verifier = {.reader = reader, .options = options ? options : &defaults, .counts = counts};
    if (!error) error = &own; /* findings are made of it */
    error_clear(error);
    enum plinth_status st = parquet_scratch_create(&verifier.scratch, error);
    for (uint32_t i = 0; i < metadata->row_group_count; i++) rows += metadata->row_groups[i].row_count;
    const struct verify_place place = {PARQUET_NOWHERE, NULL, PARQUET_NOWHERE, PARQUET_NOWHERE};
    if (!st && rows != metadata->row_count)
        verify_report(&verifier, place, "the row groups have %" PRIu64 " rows, but the footer says %" PRIu64, rows,
                      metadata->row_count);
    if (!st) st = check_overlaps(&verifier, error);
    for (uint32_t i = 0; !st && !verifier.is_stopped && i < metadata->row_group_count; i++)
        st = check_row_group(&verifier, i, error);
    parquet_scratch_destroy(verifier.scratch);
    return st;
}
