/* Rows as an Arrow C stream. See include/plinth_parquet.h.
 *
 * A stream goes from row group to row group. In each it first finds the ranges of rows that are wanted
 * (row_selection.h), then lets a cursor of each column go through them side by side; a batch ends where it is full, or
 * where its row group does. Columns are looked up in the page index only when rows are passed over. */
#include <errno.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/api_private.h"
#include "parquet/arrow_read.h"
#include "parquet/column_cursor.h"
#include "parquet/row_selection.h"

enum { BATCH_ROWS_DEFAULT = 65536, BATCH_ROWS_MAX = 1 << 30 };

struct read_column {
    struct column_cursor cursor;
    struct page_index_view index;
};

struct read_stream {
    struct plinth_parquet_file *file;
    const struct parquet_reader *reader;
    const struct parquet_metadata *metadata;
    struct arena arena; /* fields, and the selection's copies */
    struct parquet_fields fields;
    struct row_bounds *bounds;
    uint32_t bounds_count;
    uint64_t row_begin, row_end;
    const struct plinth_parquet_rows *chosen; /* null: all */
    uint64_t chosen_count, chosen_at;         /* the first one not behind */
    const uint8_t *bitmap;                    /* null: all */
    uint64_t bitmap_rows;
    uint64_t batch_rows;
    struct arrow_reader arrow;
    struct parquet_scratch *scratch;
    struct read_column *columns; /* fields.leaf_count */

    uint32_t row_group; /* the open one, or the next */
    bool is_open;
    struct buffer ranges; /* row_ranges.h */
    size_t range;
    struct buffer mask; /* of scattered ones */
    struct row_picker picker;
    uint64_t row; /* the next one, in the open row group */
    enum plinth_status failure;
    struct plinth_error error;
};

/* ---- Row groups ---- */

static void close_row_group(struct read_stream *stream) {
    for (uint32_t i = 0; stream->columns && i < stream->fields.leaf_count; i++) {
        column_cursor_deinit(&stream->columns[i].cursor);
        page_index_view_deinit(&stream->columns[i].index);
        stream->columns[i] = (struct read_column){0};
    }
    stream->is_open = false;
}

static const struct row_range *ranges_of(const struct read_stream *stream) { return row_range_at(&stream->ranges, 0); }
static size_t range_count(const struct read_stream *stream) { return row_ranges_count(&stream->ranges); }

static enum plinth_status open_column(struct read_stream *stream, uint32_t i, bool passes_over) {
    struct read_column *column = &stream->columns[i];
    uint32_t number = stream->fields.leaves[i];
    enum plinth_status st = PLINTH_OK;
    if (column->cursor.reader) /* it has looked for the rows */
        column_cursor_restart(&column->cursor, ranges_of(stream)->begin);
    else
        st = column_cursor_init(&column->cursor, stream->reader, stream->row_group, number, &stream->error);
    if (st || !passes_over) return st;
    return page_index_view_init(&column->index, stream->reader, stream->row_group, number, &stream->error);
}

/* Rows of the row group, where the bitmap has them. */
static bool choose_range(struct read_stream *stream, uint64_t first_row, uint64_t begin, uint64_t end) {
    if (begin >= end) return true;
    if (!stream->bitmap) return row_ranges_add(&stream->ranges, begin, end);
    return row_ranges_add_bitmap(&stream->ranges, (struct row_range){begin, end}, stream->bitmap, first_row,
                                 stream->bitmap_rows);
}

/* The rows that are asked for by their numbers, of those in `within`. */
static enum plinth_status choose_rows(struct read_stream *stream, uint64_t first_row, struct row_range within) {
    bool is_ok = true;
    buffer_clear(&stream->ranges);
    if (!stream->chosen) is_ok = choose_range(stream, first_row, within.begin, within.end);
    while (is_ok && stream->chosen_at < stream->chosen_count) {
        const struct plinth_parquet_rows *chosen = &stream->chosen[stream->chosen_at];
        uint64_t begin = chosen->begin > first_row ? chosen->begin - first_row : 0;
        uint64_t end = chosen->end > first_row ? chosen->end - first_row : 0;
        if (begin >= within.end) break;
        is_ok = choose_range(stream, first_row, begin > within.begin ? begin : within.begin,
                             end < within.end ? end : within.end);
        if (end > within.end) break;
        stream->chosen_at++;
    }
    return is_ok ? PLINTH_OK : error_no_memory(&stream->error, "row ranges");
}

/* Finds the wanted rows of the row group, which may be none. */
static enum plinth_status open_row_group(struct read_stream *stream) {
    const struct parquet_row_group *group = &stream->metadata->row_groups[stream->row_group];
    struct row_range within = {0, group->row_count};
    if (stream->row_begin > group->first_row) within.begin = stream->row_begin - group->first_row;
    if (stream->row_end < group->first_row + group->row_count)
        within.end = stream->row_end > group->first_row ? stream->row_end - group->first_row : 0;
    stream->range = 0;
    buffer_clear(&stream->ranges);
    if (within.begin >= within.end) return PLINTH_OK;
    enum plinth_status st = choose_rows(stream, group->first_row, within);
    if (!st && range_count(stream) > 0)
        st = row_selection_find(stream->reader, stream->row_group, stream->bounds, stream->bounds_count,
                                stream->scratch, &stream->ranges, &stream->error);
    stream->is_open = true;
    if (st || range_count(stream) == 0) return st;
    bool is_all =
        range_count(stream) == 1 && ranges_of(stream)->begin == 0 && ranges_of(stream)->end == group->row_count;
    stream->row = 0;
    for (uint32_t i = 0; !st && i < stream->fields.leaf_count; i++) st = open_column(stream, i, !is_all);
    return st;
}

/* ---- Rows ---- */

/* Every column to the next wanted rows. */
static enum plinth_status seek_columns(struct read_stream *stream, const struct row_range *range) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < stream->fields.leaf_count; i++) {
        struct read_column *column = &stream->columns[i];
        if (column->index.index) column_cursor_expect(&column->cursor, range->end, column->index.index);
        if (range->begin > stream->row)
            st =
                column_cursor_seek(&column->cursor, range->begin, column->index.index, stream->scratch, &stream->error);
    }
    stream->row = range->begin;
    return st;
}

/* Decodes until each column has rows; `*rows` of them all have. */
static enum plinth_status fill_columns(struct read_stream *stream, uint64_t *rows) {
    uint64_t held = arrow_reader_bytes(&stream->arrow), most = stream->file->stream_bytes_max;
    enum plinth_status st = PLINTH_OK;
    *rows = UINT64_MAX;
    for (uint32_t i = 0; !st && i < stream->fields.leaf_count; i++) {
        st = column_cursor_fill(&stream->columns[i].cursor, stream->scratch, &stream->error);
        held += column_cursor_memory(&stream->columns[i].cursor);
        if (!st && held > most)
            st = error_set(&stream->error, PLINTH_OUT_OF_MEMORY,
                           "row group %u: the decoded pages of %u columns and a batch are over the limit of %llu bytes",
                           stream->row_group, i + 1, (unsigned long long)most);
        uint64_t left = column_cursor_rows_left(&stream->columns[i].cursor);
        if (left < *rows) *rows = left;
    }
    return st;
}

/* Appends the next `rows` rows of all columns, or of these the `kept` ones that the mask has, when `is_masked`. */
static enum plinth_status append_rows(struct read_stream *stream, uint64_t rows, bool is_masked, uint64_t kept) {
    struct parquet_column_data data;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < stream->fields.leaf_count; i++) {
        struct column_cursor *cursor = &stream->columns[i].cursor;
        st = column_cursor_take(cursor, rows, &data, &stream->error);
        if (!st && is_masked)
            st = row_picker_pick(&stream->picker, cursor->about, &stream->mask, kept, &data, &stream->error);
        if (!st) st = arrow_reader_append(&stream->arrow, i, &data, &stream->error);
        if (st) error_prefix(&stream->error, "row group %u", stream->row_group);
    }
    stream->row += rows;
    return st;
}

/* Appends wanted rows, of those that are decoded, at most `most`; `*taken` is how many. The next row is one of them. */
static enum plinth_status append_wanted(struct read_stream *stream, uint64_t most, uint64_t *taken) {
    uint64_t decoded, end = ranges_of(stream)[stream->range].end;
    enum plinth_status st = fill_columns(stream, &decoded);
    if (st) return st;
    if (stream->fields.leaf_count > 0 && row_ranges_are_scattered(&stream->ranges, stream->range)) {
        uint64_t rows =
            row_ranges_mask(&stream->ranges, &stream->range, stream->row, decoded, most, &stream->mask, taken);
        return rows ? append_rows(stream, rows, true, *taken) : error_no_memory(&stream->error, "row ranges");
    }
    *taken = end - stream->row;
    if (*taken > most) *taken = most;
    if (*taken > decoded) *taken = decoded;
    st = append_rows(stream, *taken, false, 0);
    if (stream->row == end) stream->range++;
    return st;
}

/* Rows of the open row group for a batch. */
static enum plinth_status fill_batch(struct read_stream *stream, uint64_t *rows) {
    enum plinth_status st = PLINTH_OK;
    while (!st && *rows < stream->batch_rows && stream->range < range_count(stream) &&
           arrow_reader_bytes(&stream->arrow) < stream->file->batch_bytes_enough) {
        const struct row_range *range = &ranges_of(stream)[stream->range];
        uint64_t taken = 0;
        if (stream->row <= range->begin) st = seek_columns(stream, range);
        if (!st) st = append_wanted(stream, stream->batch_rows - *rows, &taken);
        *rows += taken;
    }
    return st;
}

/* `*rows` is 0 at the end. */
static enum plinth_status next_batch(struct read_stream *stream, struct ArrowArray *array) {
    enum plinth_status st = PLINTH_OK;
    uint64_t rows = 0;
    while (!st && rows == 0 && stream->row_group < stream->metadata->row_group_count) {
        if (!stream->is_open) st = open_row_group(stream);
        if (!st && stream->is_open) st = fill_batch(stream, &rows);
        if (st || stream->range < range_count(stream)) continue;
        close_row_group(stream);
        stream->row_group++;
    }
    if (st || rows == 0) return st;
    return arrow_reader_take(&stream->arrow, rows, array, &stream->error);
}

/* ---- The stream's callbacks ---- */

static int errno_of(enum plinth_status status) {
    switch (status) {
    case PLINTH_OK: return 0;
    case PLINTH_OUT_OF_MEMORY: return ENOMEM;
    case PLINTH_UNSUPPORTED: return ENOTSUP;
    case PLINTH_INVALID_ARGUMENT:
    case PLINTH_TOO_LARGE: return EINVAL;
    default: return EIO;
    }
}

static int stream_schema(struct ArrowArrayStream *self, struct ArrowSchema *schema) {
    struct read_stream *stream = self->private_data;
    return errno_of(arrow_schema_export(&stream->metadata->schema, &stream->fields, stream->file->int96_unit, schema,
                                        &stream->error));
}

static int stream_next(struct ArrowArrayStream *self, struct ArrowArray *array) {
    struct read_stream *stream = self->private_data;
    *array = (struct ArrowArray){0};
    if (!stream->failure) stream->failure = next_batch(stream, array);
    return errno_of(stream->failure);
}

static const char *stream_error(struct ArrowArrayStream *self) {
    const struct read_stream *stream = self->private_data;
    return stream->error.text[0] ? stream->error.text : NULL;
}

static void destroy(struct read_stream *stream) {
    close_row_group(stream);
    free(stream->columns);
    arrow_reader_deinit(&stream->arrow);
    api_file_return_scratch(stream->file, stream->scratch);
    buffer_deinit(&stream->ranges);
    buffer_deinit(&stream->mask);
    row_picker_deinit(&stream->picker);
    arena_deinit(&stream->arena);
    api_file_unref(stream->file);
    free(stream);
}

static void stream_release(struct ArrowArrayStream *self) {
    destroy(self->private_data);
    self->release = NULL;
}

/* ---- The selection ---- */

/* Whether `path` is the column's, or that of a group above it. */
static bool is_below(const struct parquet_column *column, const char *path) {
    size_t length = strlen(path);
    return strncmp(column->path, path, length) == 0 && (column->path[length] == 0 || column->path[length] == '.');
}

static enum plinth_status select_columns(struct read_stream *stream, const struct plinth_parquet_selection *selection,
                                         struct plinth_error *error) {
    const struct parquet_schema *schema = &stream->metadata->schema;
    bool *selected = NULL;
    if (selection->columns) {
        selected = arena_zalloc(&stream->arena, schema->column_count + 1);
        if (!selected) return error_no_memory(error, "Parquet stream");
    }
    for (uint32_t i = 0; selected && i < selection->column_count; i++) {
        bool is_known = false;
        for (uint32_t c = 0; c < schema->column_count; c++) {
            if (!is_below(&schema->columns[c], selection->columns[i])) continue;
            selected[c] = is_known = true;
        }
        if (!is_known) return error_set(error, PLINTH_NOT_FOUND, "there is no column %.100s", selection->columns[i]);
    }
    return parquet_fields_init(&stream->fields, &stream->arena, schema, selected, error);
}

static enum plinth_status copy_value(struct read_stream *stream, const void *value, size_t size, struct slice *copy,
                                     const struct slice **given, struct plinth_error *error) {
    *given = NULL;
    if (!value) return PLINTH_OK;
    *copy = slice_of(arena_copy(&stream->arena, slice_of(value, size)), size);
    *given = copy;
    return copy->data ? PLINTH_OK : error_no_memory(error, "Parquet stream");
}

static enum plinth_status copy_bounds(struct read_stream *stream, const struct plinth_parquet_selection *selection,
                                      struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    stream->bounds = arena_zalloc(&stream->arena, (selection->bounds_count + 1) * sizeof *stream->bounds);
    if (!stream->bounds) return error_no_memory(error, "Parquet stream");
    for (uint32_t i = 0; !st && i < selection->bounds_count; i++) {
        const struct plinth_parquet_bounds *bounds = &selection->bounds[i];
        struct slice min, max;
        const struct slice *has_min, *has_max;
        st = copy_value(stream, bounds->min, bounds->min_size, &min, &has_min, error);
        if (!st) st = copy_value(stream, bounds->max, bounds->max_size, &max, &has_max, error);
        if (!st)
            st =
                row_bounds_init(&stream->bounds[i], &stream->metadata->schema, bounds->column, has_min, has_max, error);
    }
    stream->bounds_count = selection->bounds_count;
    return st;
}

/* Columns that are read and bounded are decoded once, where one page is all that is wanted of them. */
static void share_cursors(struct read_stream *stream) {
    for (uint32_t b = 0; b < stream->bounds_count; b++)
        for (uint32_t i = 0; i < stream->fields.leaf_count; i++)
            if (stream->fields.leaves[i] == stream->bounds[b].column &&
                parquet_column_is_flat(&stream->metadata->schema.columns[stream->bounds[b].column]))
                stream->bounds[b].cursor = &stream->columns[i].cursor;
}

static enum plinth_status copy_rows(struct read_stream *stream, const struct plinth_parquet_selection *selection,
                                    struct plinth_error *error) {
    uint64_t end = 0;
    stream->row_begin = selection->row_begin;
    stream->row_end = selection->row_end ? selection->row_end : UINT64_MAX;
    for (uint64_t i = 0; selection->ranges && i < selection->range_count; i++) {
        const struct plinth_parquet_rows *range = &selection->ranges[i];
        if (range->begin < end || range->end < range->begin)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "row range %llu does not lie behind the one before it",
                             (unsigned long long)i);
        end = range->end;
    }
    if (selection->ranges) {
        size_t bytes = (size_t)selection->range_count * sizeof *selection->ranges;
        stream->chosen =
            (const struct plinth_parquet_rows *)(void *)arena_copy(&stream->arena, slice_of(selection->ranges, bytes));
        stream->chosen_count = selection->range_count;
    }
    if (selection->bitmap) {
        size_t bytes = (size_t)(selection->bitmap_rows / 8 + (selection->bitmap_rows % 8 > 0));
        stream->bitmap = arena_copy(&stream->arena, slice_of(selection->bitmap, bytes));
        stream->bitmap_rows = selection->bitmap_rows;
    }
    bool is_ok = (!selection->ranges || stream->chosen) && (!selection->bitmap || stream->bitmap);
    return is_ok ? PLINTH_OK : error_no_memory(error, "Parquet stream");
}

static enum plinth_status prepare(struct read_stream *stream, const struct plinth_parquet_selection *selection,
                                  struct plinth_error *error) {
    enum plinth_status st = select_columns(stream, selection, error);
    if (!st) st = copy_bounds(stream, selection, error);
    if (!st) st = copy_rows(stream, selection, error);
    if (!st)
        st = arrow_reader_init(&stream->arrow, &stream->metadata->schema, &stream->fields, stream->file->int96_unit,
                               error);
    if (!st) st = api_file_take_scratch(stream->file, &stream->scratch, error);
    if (st) return st;
    stream->arrow.allow_invalid_utf8 = stream->file->allow_invalid_utf8;
    stream->batch_rows = selection->batch_rows ? selection->batch_rows : BATCH_ROWS_DEFAULT;
    if (stream->batch_rows > BATCH_ROWS_MAX) stream->batch_rows = BATCH_ROWS_MAX;
    stream->columns = calloc(stream->fields.leaf_count + 1, sizeof *stream->columns);
    if (!stream->columns) return error_no_memory(error, "Parquet stream");
    share_cursors(stream);
    return PLINTH_OK;
}

enum plinth_status plinth_parquet_read(const struct plinth_parquet_file *file,
                                       const struct plinth_parquet_selection *selection,
                                       struct ArrowArrayStream *stream_out, struct plinth_error *error) {
    static const struct plinth_parquet_selection everything = {0};
    *stream_out = (struct ArrowArrayStream){0};
    error_clear(error);
    struct read_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return error_no_memory(error, "Parquet stream");
    stream->file = (struct plinth_parquet_file *)(uintptr_t)file; /* only its count of references changes */
    atomic_fetch_add_explicit(&stream->file->references, 1, memory_order_relaxed);
    stream->reader = file->reader;
    stream->metadata = parquet_reader_metadata(file->reader);
    arena_init(&stream->arena);
    enum plinth_status st = prepare(stream, selection ? selection : &everything, error);
    if (st) {
        destroy(stream);
        return st;
    }
    *stream_out = (struct ArrowArrayStream){.get_schema = stream_schema,
                                            .get_next = stream_next,
                                            .get_last_error = stream_error,
                                            .release = stream_release,
                                            .private_data = stream};
    return PLINTH_OK;
}
