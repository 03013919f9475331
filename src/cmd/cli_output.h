/* Results of commands as a table for people, as CSV or as JSON for programs.
 *
 *     output_begin(columns) → output_row(cells)* → output_end
 *
 * table: aligned columns; the widths come from the first rows, later rows that are wider push their line out.
 * csv:   a header, then RFC 4180 lines.
 * json:  an array of objects; with OUTPUT_ONE a single object.
 *
 * Bytes are shown as --hex or --base64 say; without either as text: escaped in tables, raw in CSV, and in JSON as a
 * string when they are UTF-8, else as base64 under the column's name with "_base64" behind it. */
#ifndef PLINTH_CMD_CLI_OUTPUT_H
#define PLINTH_CMD_CLI_OUTPUT_H

#include <stdio.h>

#include "base/bytes.h"

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };
enum bytes_format { BYTES_TEXT, BYTES_HEX, BYTES_BASE64 };

enum cell_kind { CELL_NULL, CELL_BYTES, CELL_TEXT, CELL_NUMBER, CELL_BOOL };

struct cell {
    enum cell_kind kind;
    struct slice bytes; /* BYTES and TEXT (UTF-8) */
    uint64_t number;    /* NUMBER; BOOL: 0 or 1 */
};

static inline struct cell cell_bytes(const void *data, size_t size) {
    return (struct cell){CELL_BYTES, slice_of(data, size), 0};
}
static inline struct cell cell_text(const char *text) { return (struct cell){CELL_TEXT, slice_of_string(text), 0}; }
static inline struct cell cell_number(uint64_t number) { return (struct cell){CELL_NUMBER, {0}, number}; }
static inline struct cell cell_bool(bool value) { return (struct cell){CELL_BOOL, {0}, value}; }

enum { OUTPUT_COLUMNS_MAX = 96 };

struct output {
    FILE *file;
    enum output_format format;
    enum bytes_format bytes;
    bool one; /* a single object; as a table: one "name  value" line a column */
    const char *const *columns;
    size_t column_count;
    uint64_t rows;
    struct buffer line;  /* scratch */
    struct buffer *held; /* table: cells of the first rows, until the widths are known */
    size_t held_rows;
    size_t widths[OUTPUT_COLUMNS_MAX];
    bool numeric[OUTPUT_COLUMNS_MAX]; /* right-aligned */
    bool failed;                      /* a write failed or memory ran out; told by output_end */
};

/* `columns` are borrowed, null at the end, at most OUTPUT_COLUMNS_MAX. */
void output_begin(struct output *output, FILE *file, enum output_format format, enum bytes_format bytes, bool one,
                  const char *const *columns);
/* False when the output cannot be written any more: stop. */
bool output_row(struct output *output, const struct cell *cells);
/* Writes what is left and frees. False when anything could not be written. */
bool output_end(struct output *output);

/* One JSON object member, `"name":value` or `"name_base64":"..."`. False when memory is out. */
PLINTH_MUST_CHECK bool output_append_json_member(struct buffer *into, const char *name, const struct cell *cell,
                                                 enum bytes_format bytes);

#endif
