/* Sequential batches of several columns of a row group. See reader.h.
 *
 * Each column has a cursor with one decoded page. A batch is the rows up to the nearest page end of any column, so
 * that it is a view of every column's page; where all columns break at the same rows, a batch is a stripe. Only
 * bitmaps that do not begin on a byte are copied. */
#include <stdlib.h>

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/reader_private.h"

enum { WINDOW_BYTES = 512 << 10, HEADER_GUESS = 4096 };

struct column_cursor {
    uint32_t column;
    const struct parquet_column_chunk *chunk;
    uint64_t at, end;      /* the chunk's bytes that are not decoded yet */
    struct buffer window;  /* of a source that is not mapped: bytes read ahead */
    uint64_t window_begin; /* offset of window.data */
    uint64_t rows_decoded; /* up to the end of the page */
    uint64_t page_row;     /* the next row in the page */
    bool has_dictionary;
    struct parquet_column_buffer page;
    struct parquet_column_buffer dictionary;
    struct buffer aligned[2]; /* copies of bitmaps: validity, BOOLEAN values */
};

struct parquet_scan {
    const struct parquet_reader *reader;
    uint32_t row_group;
    uint64_t row_count, row;
    struct parquet_scratch *scratch;
    uint32_t column_count;
    struct column_cursor cursors[];
};

static enum plinth_status cursor_init(struct parquet_scan *scan, struct column_cursor *cursor, uint32_t column,
                                      struct plinth_error *error) {
    struct chunk_range range = {0};
    cursor->column = column;
    enum plinth_status st = reader_chunk(scan->reader, scan->row_group, column, &cursor->chunk, error);
    if (st) return st;
    const struct parquet_column *about = &scan->reader->metadata.schema.columns[column];
    if (!parquet_column_is_flat(about))
        return error_set(error, PLINTH_UNSUPPORTED, "column %.100s is repeated: a scan reads flat columns",
                         about->path);
    if (scan->row_count > 0) st = reader_chunk_range(scan->reader, cursor->chunk, &range, error);
    cursor->at = range.begin;
    cursor->end = range.end;
    return st;
}

enum plinth_status parquet_scan_create(const struct parquet_reader *reader, uint32_t row_group, const uint32_t *columns,
                                       uint32_t column_count, struct parquet_scan **scan_out,
                                       struct plinth_error *error) {
    *scan_out = NULL;
    if (row_group >= reader->metadata.row_group_count || column_count == 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "scan of row group %u of %u with %u columns", row_group,
                         reader->metadata.row_group_count, column_count);
    struct parquet_scan *scan = calloc(1, sizeof *scan + (size_t)column_count * sizeof scan->cursors[0]);
    if (!scan) return error_no_memory(error, "Parquet scan");
    scan->reader = reader;
    scan->row_group = row_group;
    scan->row_count = reader->metadata.row_groups[row_group].row_count;
    scan->column_count = column_count;
    enum plinth_status st = parquet_scratch_create(&scan->scratch, error);
    for (uint32_t i = 0; !st && i < column_count; i++) st = cursor_init(scan, &scan->cursors[i], columns[i], error);
    if (st)
        parquet_scan_destroy(scan);
    else
        *scan_out = scan;
    return st;
}

void parquet_scan_destroy(struct parquet_scan *scan) {
    if (!scan) return;
    for (uint32_t i = 0; i < scan->column_count; i++) {
        struct column_cursor *cursor = &scan->cursors[i];
        buffer_deinit(&cursor->window);
        parquet_column_buffer_deinit(&cursor->page);
        parquet_column_buffer_deinit(&cursor->dictionary);
        buffer_deinit(&cursor->aligned[0]);
        buffer_deinit(&cursor->aligned[1]);
    }
    parquet_scratch_destroy(scan->scratch);
    free(scan);
}

size_t parquet_scan_memory(const struct parquet_scan *scan) {
    size_t bytes = sizeof *scan + parquet_scratch_memory(scan->scratch);
    for (uint32_t i = 0; i < scan->column_count; i++) {
        const struct column_cursor *cursor = &scan->cursors[i];
        bytes += sizeof *cursor + cursor->window.capacity + parquet_column_buffer_size(&cursor->page) +
                 parquet_column_buffer_size(&cursor->dictionary) + cursor->aligned[0].capacity +
                 cursor->aligned[1].capacity;
    }
    return bytes;
}

/* At least `size` (at most what is left) of the chunk's next bytes; `*bytes` may be longer. */
static enum plinth_status cursor_peek(const struct parquet_scan *scan, struct column_cursor *cursor, uint64_t size,
                                      struct slice *bytes, struct plinth_error *error) {
    uint64_t left = cursor->end - cursor->at, skip = cursor->at - cursor->window_begin;
    if (scan->reader->source->mapped) return reader_fetch(scan->reader, cursor->at, left, NULL, bytes, error);
    if (cursor->window.size < skip || cursor->window.size - skip < size) {
        uint64_t wanted = size > WINDOW_BYTES ? size : left < WINDOW_BYTES ? left : WINDOW_BYTES;
        buffer_clear(&cursor->window);
        enum plinth_status st = reader_fetch(scan->reader, cursor->at, wanted, &cursor->window, bytes, error);
        if (st) return st;
        cursor->window_begin = cursor->at;
        skip = 0;
    }
    *bytes = slice_of(cursor->window.data + skip, cursor->window.size - (size_t)skip);
    return PLINTH_OK;
}

/* The next page's header and body; the cursor then stands behind it. */
static enum plinth_status cursor_next_page(const struct parquet_scan *scan, struct column_cursor *cursor,
                                           struct parquet_page_header *header, struct slice *body,
                                           struct plinth_error *error) {
    uint64_t left = cursor->end - cursor->at, size = left < HEADER_GUESS ? left : HEADER_GUESS;
    struct slice bytes;
    size_t header_bytes = 0;
    bool is_truncated = false;
    if (left == 0) return error_set(error, PLINTH_CORRUPT, "the column chunk ends before its rows do");
    for (;;) {
        enum plinth_status st = cursor_peek(scan, cursor, size, &bytes, error);
        if (st) return st;
        st = page_header_decode(bytes, header, &header_bytes, &is_truncated, error);
        if (!st) break;
        if (!is_truncated || bytes.size >= left) return st;
        size = (uint64_t)bytes.size * 4 < left ? (uint64_t)bytes.size * 4 : left;
    }
    size = header_bytes + (uint64_t)header->compressed_bytes;
    if (size > left)
        return error_set(error, PLINTH_CORRUPT, "a page of %llu bytes where %llu are left", (unsigned long long)size,
                         (unsigned long long)left);
    enum plinth_status st = cursor_peek(scan, cursor, size, &bytes, error);
    if (st) return st;
    *body = slice_of(bytes.data + header_bytes, header->compressed_bytes);
    cursor->at += size;
    return PLINTH_OK;
}

static enum plinth_status decode_next(const struct parquet_scan *scan, struct column_cursor *cursor,
                                      struct plinth_error *error) {
    struct page_context context =
        reader_page_context(scan->reader, cursor->column, cursor->chunk->codec, scan->scratch);
    struct parquet_page_header header;
    struct slice body;
    enum plinth_status st = cursor_next_page(scan, cursor, &header, &body, error);
    if (st) return st;
    if (header.type == PARQUET_PAGE_INDEX) return PLINTH_OK; /* never written by anyone, but allowed */
    if (header.type == PARQUET_PAGE_DICTIONARY) {
        if (cursor->has_dictionary) return error_set(error, PLINTH_CORRUPT, "a second dictionary page");
        st = page_decode_dictionary(&context, &header, body, &cursor->dictionary, error);
        cursor->has_dictionary = !st;
        return st;
    }
    if (header.value_count > scan->row_count - cursor->rows_decoded)
        return error_set(error, PLINTH_CORRUPT, "the page has %u rows, but the row group has %llu left",
                         header.value_count, (unsigned long long)(scan->row_count - cursor->rows_decoded));
    context.dictionary = cursor->has_dictionary ? &cursor->dictionary : NULL;
    st = page_decode(&context, &header, body, &cursor->page, error);
    if (st) return st;
    cursor->rows_decoded += header.value_count;
    cursor->page_row = 0;
    return PLINTH_OK;
}

/* Decodes pages until one has rows left. Every page takes bytes of the chunk, so empty ones end, too. */
static enum plinth_status cursor_fill(const struct parquet_scan *scan, struct column_cursor *cursor,
                                      struct plinth_error *error) {
    while (cursor->page_row >= cursor->page.data.rows) {
        uint64_t offset = cursor->at;
        enum plinth_status st = decode_next(scan, cursor, error);
        if (st) return reader_page_error(scan->reader, scan->row_group, cursor->column, offset, st, error);
    }
    return PLINTH_OK;
}

/* `rows` bits from bit `begin` on as a bitmap of its own: a view where that begins on a byte. */
static enum plinth_status view_bits(const uint8_t *bits, uint64_t begin, uint64_t rows, struct buffer *aligned,
                                    const uint8_t **view, struct plinth_error *error) {
    *view = bits + (begin >> 3);
    if ((begin & 7) == 0) return PLINTH_OK;
    buffer_clear(aligned);
    if (!buffer_append_zeros(aligned, (size_t)bits_bytes(rows, 1))) return error_no_memory(error, "Parquet bitmap");
    bitmap_copy(aligned->data, 0, bits, begin, rows);
    *view = aligned->data;
    return PLINTH_OK;
}

static enum plinth_status cursor_take(const struct parquet_scan *scan, struct column_cursor *cursor, uint64_t rows,
                                      struct parquet_column_data *data, struct plinth_error *error) {
    const struct parquet_column *column = &scan->reader->metadata.schema.columns[cursor->column];
    const struct parquet_column_data *page = &cursor->page.data;
    uint64_t begin = cursor->page_row;
    enum plinth_status st = PLINTH_OK;
    cursor->page_row += rows;
    *data = *page;
    if (rows == page->rows) return PLINTH_OK;
    data->rows = rows;
    if (page->definition_levels) data->definition_levels += begin;
    if (page->repetition_levels) data->repetition_levels += begin;
    if (page->offsets) data->offsets += begin;
    if (column->width) data->values = (const uint8_t *)page->values + begin * column->width;
    if (column->type == PARQUET_TYPE_BOOLEAN) {
        const uint8_t *bits;
        st = view_bits(page->values, begin, rows, &cursor->aligned[1], &bits, error);
        data->values = bits;
    }
    if (st || !page->validity) return st;
    st = view_bits(page->validity, begin, rows, &cursor->aligned[0], &data->validity, error);
    if (st) return st;
    data->null_count = rows - bitmap_count(data->validity, 0, rows);
    if (data->null_count == 0) data->validity = NULL;
    return PLINTH_OK;
}

enum plinth_status parquet_scan_next(struct parquet_scan *scan, uint64_t rows_max, struct parquet_column_data *data,
                                     uint64_t *rows, struct plinth_error *error) {
    uint64_t most = scan->row_count - scan->row;
    *rows = 0;
    if (rows_max && rows_max < most) most = rows_max;
    if (most == 0) return PLINTH_OK;
    for (uint32_t i = 0; i < scan->column_count; i++) {
        struct column_cursor *cursor = &scan->cursors[i];
        enum plinth_status st = cursor_fill(scan, cursor, error);
        if (st) return st;
        uint64_t left = cursor->page.data.rows - cursor->page_row;
        if (left < most) most = left;
    }
    for (uint32_t i = 0; i < scan->column_count; i++) {
        enum plinth_status st = cursor_take(scan, &scan->cursors[i], most, &data[i], error);
        if (st) return st;
    }
    scan->row += most;
    *rows = most;
    return PLINTH_OK;
}
