/* A scan's way through the pages of one column chunk: the rows of the page it stands in, and how far they are taken.
 * For this folder only.
 *
 * Lists: a page of version 1 may end in the middle of a row when the file has no page index. Then the page behind it is
 * decoded too, and the slots that belong to the row are joined to it. */
#ifndef PLINTH_PARQUET_COLUMN_CURSOR_H
#define PLINTH_PARQUET_COLUMN_CURSOR_H

#include "parquet/page_index.h"
#include "parquet/reader_private.h"

struct column_cursor {
    const struct parquet_reader *reader;
    const struct parquet_column *about;
    const struct parquet_column_chunk *chunk;
    uint32_t row_group, column;
    uint64_t row_count;    /* of the row group */
    uint64_t begin;        /* of the chunk's bytes */
    uint64_t at, end;      /* those that are not decoded yet */
    struct buffer window;  /* of a source that is not mapped: bytes read ahead */
    uint64_t window_begin; /* offset of window.data */
    uint64_t expected_end; /* bytes behind it are not read ahead; 0: not known */

    uint64_t rows_decoded;  /* up to the end of `rows` */
    uint64_t slots_decoded; /* of all decoded pages */
    bool may_go_on;         /* the last decoded page may end in the middle of a row */
    bool has_dictionary;
    uint64_t dictionary_end; /* of a dictionary page that was jumped over; 0: none */
    struct parquet_column_buffer dictionary;
    struct parquet_column_buffer page;
    struct parquet_column_buffer ahead; /* the page behind, when it was needed to end the last row */
    bool has_ahead;
    uint64_t ahead_slot;                 /* where the first row begins there */
    struct parquet_column_buffer joined; /* slots of several pages */

    struct parquet_column_data rows; /* of `page` or of `joined` */
    uint64_t row, slot;              /* the next one to be taken */
    struct buffer aligned[2];        /* copies of bitmaps: validity, BOOLEAN values */
};

/* The cursor is zeroed storage; deinit is safe at any time after that. */
PLINTH_MUST_CHECK enum plinth_status column_cursor_init(struct column_cursor *cursor,
                                                        const struct parquet_reader *reader, uint32_t row_group,
                                                        uint32_t column, struct plinth_error *error);
void column_cursor_deinit(struct column_cursor *cursor);
size_t column_cursor_memory(const struct column_cursor *cursor);
/* Decodes until there are rows left to take; not to be called when all rows of the row group are taken. */
PLINTH_MUST_CHECK enum plinth_status column_cursor_fill(struct column_cursor *cursor, struct parquet_scratch *scratch,
                                                        struct plinth_error *error);
/* Goes on to `row` of the row group, at or behind the next one to be taken. Pages before it are passed over without
 * being decoded, where `index` (may be null) or, of flat columns, their headers say what rows they have. */
PLINTH_MUST_CHECK enum plinth_status column_cursor_seek(struct column_cursor *cursor, uint64_t row,
                                                        const struct parquet_page_index *index,
                                                        struct parquet_scratch *scratch, struct plinth_error *error);
/* Tells that rows up to `row` (excluded) will be read before the next seek, so that no more is read ahead. */
void column_cursor_expect(struct column_cursor *cursor, uint64_t row, const struct parquet_page_index *index);
/* Begins anew, so that any row may be sought, at `row` or behind. Of a flat column the decoded page is kept when it
 * holds the row. */
void column_cursor_restart(struct column_cursor *cursor, uint64_t row);
static inline uint64_t column_cursor_rows_left(const struct column_cursor *cursor) {
    return cursor->rows.rows - cursor->row;
}
/* A view of the next `rows` rows (of those that are left), valid until the cursor is filled again. */
PLINTH_MUST_CHECK enum plinth_status column_cursor_take(struct column_cursor *cursor, uint64_t rows,
                                                        struct parquet_column_data *data, struct plinth_error *error);

#endif
