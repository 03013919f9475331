/* Reads delimited text, row by row, from any source of bytes.
 *
 * CSV (RFC 4180): fields between delimiters, rows between line ends (LF or CRLF); a field in double quotes may hold
 * delimiters and line ends, and a quote inside is written twice. Any bytes are allowed in fields. With `quoting` off
 * (TSV) quotes are bytes like others. A byte-order mark at the start and empty lines are passed over.
 *
 * Strict where a mistake would be read as data: a quote in the middle of an unquoted field, text behind a closing
 * quote, and a quote that is never closed are errors that name line and column (both from 1; columns count bytes).
 * After such an error csv_skip_line goes on with the next line. */
#ifndef PLINTH_CMD_CSV_H
#define PLINTH_CMD_CSV_H

#include "base/bytes.h"
#include "table/table_schema.h"

/* Reads up to `size` bytes; `*got` is 0 only at the end. */
typedef enum plinth_status csv_source(void *context, void *into, size_t size, size_t *got, struct plinth_error *error);

enum { CSV_FIELDS_MAX = TABLE_COLUMNS_MAX, CSV_ROW_BYTES_MAX = 4 << 20 };

struct csv_field {
    struct slice bytes; /* without quotes; valid until the next csv_next */
    uint64_t line;      /* where it starts */
    uint64_t column;
    bool quoted;
};

struct csv {
    csv_source *source;
    void *context;
    char delimiter;
    bool quoting;
    uint8_t *input; /* CSV_INPUT_BYTES */
    size_t input_at;
    size_t input_end;
    bool input_over;
    uint64_t line;     /* of the next byte */
    uint64_t column;   /* of the next byte */
    struct buffer row; /* the fields' bytes, one after another */
    struct csv_field *fields;
    size_t *ends; /* of each field in `row` */
    size_t field_count;
    bool any_quoted; /* in this row */
    bool keeps_raw;  /* set by the caller: keep the row's bytes as they are in `raw` */
    struct buffer raw;
    uint64_t row_line;     /* where the row starts */
    uint64_t problem_line; /* of the last error; 0: it was none of the text */
    uint64_t problem_column;
    const char *problem;
};

PLINTH_MUST_CHECK enum plinth_status csv_init(struct csv *csv, csv_source *source, void *context, char delimiter,
                                              bool quoting, struct plinth_error *error);
void csv_deinit(struct csv *csv);
/* The next row into csv->fields and csv->field_count (at least 1); `*found` is false at the end. */
PLINTH_MUST_CHECK enum plinth_status csv_next(struct csv *csv, bool *found, struct plinth_error *error);
/* After an error of the text: passes over what is left of the line. */
PLINTH_MUST_CHECK enum plinth_status csv_skip_line(struct csv *csv, struct plinth_error *error);

#endif
