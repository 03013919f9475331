/* A scan's way through one column chunk. See column_cursor.h. */
#include "parquet/column_cursor.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/levels.h"
#include "parquet/row_buffer.h"

enum { WINDOW_BYTES = 512 << 10, HEADER_GUESS = 4096 };

enum plinth_status column_cursor_init(struct column_cursor *cursor, const struct parquet_reader *reader,
                                      uint32_t row_group, uint32_t column, struct plinth_error *error) {
    struct chunk_range range = {0};
    cursor->reader = reader;
    cursor->row_group = row_group;
    cursor->column = column;
    enum plinth_status st = reader_chunk(reader, row_group, column, &cursor->chunk, error);
    if (st) return st;
    cursor->about = &reader->metadata.schema.columns[column];
    cursor->row_count = reader->metadata.row_groups[row_group].row_count;
    if (cursor->row_count > 0) st = reader_chunk_range(reader, cursor->chunk, &range, error);
    cursor->begin = cursor->at = range.begin;
    cursor->end = range.end;
    return st;
}

void column_cursor_deinit(struct column_cursor *cursor) {
    buffer_deinit(&cursor->window);
    parquet_column_buffer_deinit(&cursor->page);
    parquet_column_buffer_deinit(&cursor->ahead);
    parquet_column_buffer_deinit(&cursor->joined);
    parquet_column_buffer_deinit(&cursor->dictionary);
    buffer_deinit(&cursor->aligned[0]);
    buffer_deinit(&cursor->aligned[1]);
}

size_t column_cursor_memory(const struct column_cursor *cursor) {
    return sizeof *cursor + cursor->window.capacity + parquet_column_buffer_size(&cursor->page) +
           parquet_column_buffer_size(&cursor->ahead) + parquet_column_buffer_size(&cursor->joined) +
           parquet_column_buffer_size(&cursor->dictionary) + cursor->aligned[0].capacity + cursor->aligned[1].capacity;
}

/* ---- Pages ---- */

/* At least `size` (at most what is left) of the chunk's next bytes; `*bytes` may be longer. */
static enum plinth_status peek(struct column_cursor *cursor, uint64_t size, struct slice *bytes,
                               struct plinth_error *error) {
    uint64_t left = cursor->end - cursor->at, skip = cursor->at - cursor->window_begin;
    if (cursor->reader->source->mapped) return reader_fetch(cursor->reader, cursor->at, left, NULL, bytes, error);
    if (cursor->window.size < skip || cursor->window.size - skip < size) {
        uint64_t ahead = cursor->expected_end > cursor->at ? cursor->expected_end - cursor->at : left;
        if (ahead > left) ahead = left;
        if (ahead > WINDOW_BYTES) ahead = WINDOW_BYTES;
        uint64_t wanted = size > ahead ? size : ahead;
        buffer_clear(&cursor->window);
        enum plinth_status st = reader_fetch(cursor->reader, cursor->at, wanted, &cursor->window, bytes, error);
        if (st) return st;
        cursor->window_begin = cursor->at;
        skip = 0;
    }
    *bytes = slice_of(cursor->window.data + skip, cursor->window.size - (size_t)skip);
    return PLINTH_OK;
}

/* The next page's header and body; the cursor then stands behind it. */
static enum plinth_status next_page(struct column_cursor *cursor, struct parquet_page_header *header,
                                    struct slice *body, struct plinth_error *error) {
    uint64_t left = cursor->end - cursor->at, size = left < HEADER_GUESS ? left : HEADER_GUESS;
    struct slice bytes;
    size_t header_bytes = 0;
    bool is_truncated = false;
    if (left == 0) return error_set(error, PLINTH_CORRUPT, "the column chunk ends before its rows do");
    if (cursor->expected_end > cursor->at && cursor->expected_end - cursor->at < size)
        size = cursor->expected_end - cursor->at;
    for (;;) {
        enum plinth_status st = peek(cursor, size, &bytes, error);
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
    enum plinth_status st = peek(cursor, size, &bytes, error);
    if (st) return st;
    *body = slice_of(bytes.data + header_bytes, header->compressed_bytes);
    cursor->at += size;
    return PLINTH_OK;
}

/* Slots that data pages may still have. */
static uint64_t slots_left(const struct column_cursor *cursor) {
    uint64_t slots = parquet_column_is_flat(cursor->about) ? cursor->row_count : cursor->chunk->value_count;
    return slots < cursor->slots_decoded ? 0 : slots - cursor->slots_decoded;
}

/* Decodes the dictionary page that was jumped over. */
static enum plinth_status catch_up_dictionary(struct column_cursor *cursor, const struct page_context *context,
                                              struct plinth_error *error) {
    struct parquet_page_header header;
    struct slice body;
    uint64_t end = cursor->dictionary_end;
    cursor->dictionary_end = 0;
    enum plinth_status st =
        reader_fetch_page(cursor->reader, cursor->begin, end, &context->scratch->fetched, &header, &body, error);
    if (st || header.type != PARQUET_PAGE_DICTIONARY) return st;
    st = page_decode_dictionary(context, &header, body, &cursor->dictionary, error);
    cursor->has_dictionary = !st;
    return st;
}

static enum plinth_status decode_page(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                      struct parquet_column_buffer *into, struct plinth_error *error) {
    struct page_context context = reader_page_context(cursor->reader, cursor->column, cursor->chunk->codec, scratch);
    struct parquet_page_header header;
    struct slice body;
    enum plinth_status st = next_page(cursor, &header, &body, error);
    if (st) return st;
    if (header.type == PARQUET_PAGE_INDEX) return PLINTH_OK; /* never written by anyone, but allowed */
    if (header.type == PARQUET_PAGE_DICTIONARY) {
        if (cursor->has_dictionary) return error_set(error, PLINTH_CORRUPT, "a second dictionary page");
        st = page_decode_dictionary(&context, &header, body, &cursor->dictionary, error);
        cursor->has_dictionary = !st;
        return st;
    }
    if (header.value_count > slots_left(cursor))
        return error_set(error, PLINTH_CORRUPT, "the page has %u values, but its column chunk has %llu left",
                         header.value_count, (unsigned long long)slots_left(cursor));
    if (page_needs_dictionary(&header) && cursor->dictionary_end > 0) st = catch_up_dictionary(cursor, &context, error);
    if (st) return st;
    context.dictionary = cursor->has_dictionary ? &cursor->dictionary : NULL;
    st = page_decode(&context, &header, body, into, error);
    if (st) return st;
    cursor->slots_decoded += into->data.slots;
    /* Pages with an offset index, and those of version 2, hold whole rows. */
    cursor->may_go_on = header.type == PARQUET_PAGE_DATA && cursor->chunk->offset_index_offset == 0 &&
                        !parquet_column_is_flat(cursor->about);
    return PLINTH_OK;
}

/* The next data page that has slots. Every page takes bytes of the chunk, so empty ones end, too. */
static enum plinth_status decode_data_page(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                           struct parquet_column_buffer *into, struct plinth_error *error) {
    into->data = (struct parquet_column_data){0};
    while (into->data.slots == 0) {
        uint64_t offset = cursor->at;
        enum plinth_status st = decode_page(cursor, scratch, into, error);
        if (st) return reader_page_error(cursor->reader, cursor->row_group, cursor->column, offset, st, error);
    }
    return PLINTH_OK;
}

/* ---- Rows that go on in the next page ---- */

/* About the bytes that the first `count` slots take. */
static uint64_t bytes_of(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t count) {
    uint64_t bytes = data->offsets ? data->offsets[count] - data->offsets[0] : 0;
    return bytes + count * (column->width ? column->width : sizeof(uint32_t));
}

static enum plinth_status join_ahead(struct column_cursor *cursor, uint64_t slots, struct plinth_error *error) {
    struct parquet_column_buffer *joined = &cursor->joined;
    bool is_first = cursor->rows.definition_levels != joined->levels.data;
    uint64_t most = cursor->reader->memory_bytes_max < INT32_MAX ? cursor->reader->memory_bytes_max : INT32_MAX;
    if (bytes_of(cursor->about, &cursor->rows, cursor->rows.slots) +
            bytes_of(cursor->about, &cursor->ahead.data, slots) >
        most)
        return error_set(error, PLINTH_OUT_OF_MEMORY, "column %.100s: a row is over the memory limit of %llu bytes",
                         cursor->about->path, (unsigned long long)most);
    uint64_t rows = cursor->rows.rows; /* which begin in `rows`: none begins in what is joined to them */
    if (is_first) column_rows_clear(joined);
    if ((is_first && !column_rows_append(cursor->about, joined, &cursor->rows, 0, cursor->rows.slots)) ||
        !column_rows_append(cursor->about, joined, &cursor->ahead.data, 0, slots))
        return error_no_memory(error, "Parquet rows");
    column_rows_view(cursor->about, joined, rows, &cursor->rows);
    return PLINTH_OK;
}

/* Completes the last row from the pages behind, when it may go on there. */
static enum plinth_status complete_last_row(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                            struct plinth_error *error) {
    while (cursor->may_go_on && slots_left(cursor) > 0) {
        enum plinth_status st = decode_data_page(cursor, scratch, &cursor->ahead, error);
        if (st) return st;
        const struct parquet_column_data *ahead = &cursor->ahead.data;
        uint64_t slots = levels_count_continued(ahead->repetition_levels, ahead->slots);
        if (slots > 0) st = join_ahead(cursor, slots, error);
        if (st) return st;
        cursor->has_ahead = slots < ahead->slots;
        cursor->ahead_slot = slots;
        if (cursor->has_ahead) break;
    }
    return PLINTH_OK;
}

/* ---- Rows ---- */

static void turn_to_ahead(struct column_cursor *cursor) {
    struct parquet_column_buffer page = cursor->page;
    cursor->page = cursor->ahead;
    cursor->ahead = page;
    cursor->has_ahead = false;
    cursor->slot = cursor->ahead_slot;
}

static enum plinth_status next_rows(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                    struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t offset = cursor->at;
    cursor->row = cursor->slot = 0;
    cursor->rows = (struct parquet_column_data){0};
    if (cursor->has_ahead)
        turn_to_ahead(cursor);
    else
        st = decode_data_page(cursor, scratch, &cursor->page, error);
    if (st) return st;
    const struct parquet_column_data *page = &cursor->page.data;
    if (page->repetition_levels && page->repetition_levels[cursor->slot] > 0)
        st = error_set(error, PLINTH_CORRUPT, "the page begins inside a row");
    else if (page->rows > cursor->row_count - cursor->rows_decoded)
        st = error_set(error, PLINTH_CORRUPT, "the page has %llu rows, but the row group has %llu left",
                       (unsigned long long)page->rows, (unsigned long long)(cursor->row_count - cursor->rows_decoded));
    if (st) return reader_page_error(cursor->reader, cursor->row_group, cursor->column, offset, st, error);
    cursor->rows_decoded += page->rows;
    cursor->rows = *page;
    return complete_last_row(cursor, scratch, error);
}

enum plinth_status column_cursor_fill(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                      struct plinth_error *error) {
    while (column_cursor_rows_left(cursor) == 0) {
        enum plinth_status st = next_rows(cursor, scratch, error);
        if (st) {
            cursor->rows = (struct parquet_column_data){0};
            cursor->row = cursor->slot = 0;
            return st;
        }
    }
    return PLINTH_OK;
}

/* ---- Seeking ---- */

static void pass_rows(struct column_cursor *cursor, uint64_t rows) {
    const struct parquet_column_data *from = &cursor->rows;
    uint64_t slots = rows;
    if (from->repetition_levels)
        slots = levels_find_row(from->repetition_levels + cursor->slot, from->slots - cursor->slot, rows);
    cursor->row += rows;
    cursor->slot += slots;
}

/* Right to the page that holds the row. */
static void jump(struct column_cursor *cursor, uint64_t row, const struct parquet_page_index *index) {
    const struct parquet_page_location *location = &index->locations[parquet_page_index_find_row(index, row)];
    if (location->first_row <= cursor->rows_decoded || location->offset <= cursor->at) return;
    if (!cursor->has_dictionary && cursor->at == cursor->begin && index->locations[0].offset > cursor->begin)
        cursor->dictionary_end = index->locations[0].offset;
    cursor->has_ahead = cursor->may_go_on = false;
    cursor->at = location->offset;
    cursor->rows_decoded = location->first_row;
}

void column_cursor_expect(struct column_cursor *cursor, uint64_t row, const struct parquet_page_index *index) {
    cursor->expected_end = 0;
    if (row == 0 || index->page_count == 0) return;
    const struct parquet_page_location *last = &index->locations[parquet_page_index_find_row(index, row - 1)];
    cursor->expected_end = last->offset + last->bytes;
}

void column_cursor_restart(struct column_cursor *cursor, uint64_t row) {
    cursor->row = cursor->slot = 0;
    cursor->expected_end = 0;
    if (parquet_column_is_flat(cursor->about) && row < cursor->rows_decoded &&
        row >= cursor->rows_decoded - cursor->rows.rows)
        return;
    cursor->rows = (struct parquet_column_data){0};
    cursor->has_ahead = cursor->may_go_on = false;
    cursor->at = cursor->begin;
    cursor->rows_decoded = cursor->slots_decoded = 0;
    cursor->has_dictionary = false;
    cursor->dictionary_end = 0;
}

/* Passes over the next page when it ends before the row. */
static enum plinth_status pass_page(struct column_cursor *cursor, uint64_t row, bool *has_passed,
                                    struct plinth_error *error) {
    struct parquet_page_header header;
    struct slice body;
    uint64_t begin = cursor->at;
    *has_passed = false;
    if (!parquet_column_is_flat(cursor->about)) return PLINTH_OK;
    enum plinth_status st = next_page(cursor, &header, &body, error);
    if (st) return reader_page_error(cursor->reader, cursor->row_group, cursor->column, begin, st, error);
    *has_passed = (header.type == PARQUET_PAGE_DATA || header.type == PARQUET_PAGE_DATA_V2) &&
                  header.value_count <= row - cursor->rows_decoded;
    if (*has_passed) {
        cursor->rows_decoded += header.value_count;
        cursor->slots_decoded += header.value_count;
    } else {
        cursor->at = begin;
    }
    return PLINTH_OK;
}

enum plinth_status column_cursor_seek(struct column_cursor *cursor, uint64_t row,
                                      const struct parquet_page_index *index, struct parquet_scratch *scratch,
                                      struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (row >= cursor->row_count || row < cursor->rows_decoded - column_cursor_rows_left(cursor))
        return error_set(error, PLINTH_INTERNAL, "a seek to row %llu, which was passed", (unsigned long long)row);
    if (row >= cursor->rows_decoded) {
        cursor->rows = (struct parquet_column_data){0};
        cursor->row = cursor->slot = 0;
        if (index && index->page_count > 0) jump(cursor, row, index);
    }
    while (!st && row >= cursor->rows_decoded) {
        bool has_passed;
        st = pass_page(cursor, row, &has_passed, error);
        if (st || has_passed) continue;
        cursor->rows = (struct parquet_column_data){0};
        cursor->row = cursor->slot = 0;
        st = column_cursor_fill(cursor, scratch, error);
    }
    if (!st) pass_rows(cursor, row - (cursor->rows_decoded - column_cursor_rows_left(cursor)));
    return st;
}

/* `count` bits from bit `begin` on as a bitmap of its own: a view where that begins on a byte. */
static enum plinth_status view_bits(const uint8_t *bits, uint64_t begin, uint64_t count, struct buffer *aligned,
                                    const uint8_t **view, struct plinth_error *error) {
    *view = bits + (begin >> 3);
    if ((begin & 7) == 0) return PLINTH_OK;
    buffer_clear(aligned);
    if (!buffer_append_zeros(aligned, (size_t)bits_bytes(count, 1))) return error_no_memory(error, "Parquet bitmap");
    bits_copy(aligned->data, 0, bits, begin, count);
    *view = aligned->data;
    return PLINTH_OK;
}

enum plinth_status column_cursor_take(struct column_cursor *cursor, uint64_t rows, struct parquet_column_data *data,
                                      struct plinth_error *error) {
    const struct parquet_column_data *from = &cursor->rows;
    uint64_t begin = cursor->slot, slots = rows;
    enum plinth_status st = PLINTH_OK;
    if (from->repetition_levels) slots = levels_find_row(from->repetition_levels + begin, from->slots - begin, rows);
    cursor->row += rows;
    cursor->slot += slots;
    *data = *from;
    if (slots == from->slots) return PLINTH_OK;
    data->rows = rows;
    data->slots = slots;
    if (from->definition_levels) data->definition_levels += begin;
    if (from->repetition_levels) data->repetition_levels += begin;
    if (from->offsets) data->offsets += begin;
    if (cursor->about->width) data->values = (const uint8_t *)from->values + begin * cursor->about->width;
    if (cursor->about->type == PARQUET_TYPE_BOOLEAN) {
        const uint8_t *bits;
        st = view_bits(from->values, begin, slots, &cursor->aligned[1], &bits, error);
        data->values = bits;
    }
    if (st || !from->validity) return st;
    st = view_bits(from->validity, begin, slots, &cursor->aligned[0], &data->validity, error);
    if (st) return st;
    data->null_count = slots - bits_count(data->validity, 0, slots);
    if (data->null_count == 0) data->validity = NULL;
    return PLINTH_OK;
}
