#include "cmd/csv.h"

#include <stdlib.h>

#include "base/status.h"

enum { CSV_INPUT_BYTES = 64 << 10, END = -1 };

enum plinth_status csv_init(struct csv *csv, csv_source *source, void *context, char delimiter, bool quoting,
                            struct plinth_error *error) {
    *csv = (struct csv){
        .source = source, .context = context, .delimiter = delimiter, .quoting = quoting, .line = 1, .column = 1};
    csv->input = malloc(CSV_INPUT_BYTES);
    csv->fields = malloc(CSV_FIELDS_MAX * sizeof *csv->fields);
    csv->ends = malloc(CSV_FIELDS_MAX * sizeof *csv->ends);
    if (csv->input && csv->fields && csv->ends) return PLINTH_OK;
    csv_deinit(csv);
    return error_no_memory(error, "reader of delimited text");
}

void csv_deinit(struct csv *csv) {
    free(csv->input);
    free(csv->fields);
    free(csv->ends);
    buffer_deinit(&csv->row);
    buffer_deinit(&csv->raw);
    *csv = (struct csv){0};
}

/* ---- bytes ---- */

static enum plinth_status fill(struct csv *csv, struct plinth_error *error) {
    if (csv->input_at < csv->input_end || csv->input_over) return PLINTH_OK;
    csv->input_at = csv->input_end = 0;
    enum plinth_status st = csv->source(csv->context, csv->input, CSV_INPUT_BYTES, &csv->input_end, error);
    if (!st && csv->input_end == 0) csv->input_over = true;
    return st;
}

/* The next byte without taking it, or END. */
static enum plinth_status peek(struct csv *csv, int *byte, struct plinth_error *error) {
    *byte = END;
    enum plinth_status st = fill(csv, error);
    if (!st && csv->input_at < csv->input_end) *byte = csv->input[csv->input_at];
    return st;
}

/* Bytes as they are in the input; without memory there are fewer of them, which only a report shows. */
static void keep_raw(struct csv *csv, const uint8_t *bytes, size_t size) {
    if (csv->keeps_raw && csv->raw.size + size <= CSV_ROW_BYTES_MAX) (void)!buffer_append(&csv->raw, bytes, size);
}

/* Takes the byte that peek has shown. */
static void take(struct csv *csv, int byte) {
    if (csv->keeps_raw) keep_raw(csv, &csv->input[csv->input_at], 1);
    csv->input_at++;
    csv->column++;
    if (byte != '\n') return;
    csv->line++;
    csv->column = 1;
}

static enum plinth_status wrong_at(struct csv *csv, uint64_t line, uint64_t column, struct plinth_error *error,
                                   const char *what) {
    csv->problem_line = line;
    csv->problem_column = column;
    csv->problem = what;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "line %llu, column %llu: %s", (unsigned long long)line,
                     (unsigned long long)column, what);
}

static enum plinth_status wrong(struct csv *csv, struct plinth_error *error, const char *what) {
    return wrong_at(csv, csv->line, csv->column, error, what);
}

static enum plinth_status keep(struct csv *csv, const uint8_t *bytes, size_t size, struct plinth_error *error) {
    if (csv->row.size + size > CSV_ROW_BYTES_MAX) return wrong(csv, error, "the row is longer than 4 MiB");
    return buffer_append(&csv->row, bytes, size) ? PLINTH_OK : error_no_memory(error, "row");
}

/* ---- fields ---- */

/* Takes a run of bytes that mean themselves, as far as the input reaches. */
static enum plinth_status keep_run(struct csv *csv, bool quoted, struct plinth_error *error) {
    const uint8_t *start = csv->input + csv->input_at, *end = csv->input + csv->input_end, *at = start;
    uint64_t line = csv->line, line_start = 0;
    for (; at < end; at++) {
        uint8_t byte = *at;
        if (byte == '"' && csv->quoting) break;
        if (!quoted && (byte == (uint8_t)csv->delimiter || byte == '\n' || byte == '\r')) break;
        if (byte != '\n') continue;
        line++;
        line_start = (uint64_t)(at + 1 - start);
    }
    enum plinth_status st = keep(csv, start, (size_t)(at - start), error);
    if (csv->keeps_raw) keep_raw(csv, start, (size_t)(at - start));
    csv->input_at += (size_t)(at - start);
    csv->column = line == csv->line ? csv->column + (uint64_t)(at - start) : (uint64_t)(at - start) - line_start + 1;
    csv->line = line;
    return st;
}

/* Behind the opening quote, up to and with the closing one. */
static enum plinth_status read_quoted(struct csv *csv, struct plinth_error *error) {
    uint64_t line = csv->line, column = csv->column - 1;
    for (;;) {
        int byte;
        enum plinth_status st = keep_run(csv, true, error);
        if (!st) st = peek(csv, &byte, error);
        if (st) return st;
        if (byte == END) return wrong_at(csv, line, column, error, "the quote is never closed");
        if (byte != '"') continue; /* the input was refilled */
        take(csv, byte);
        st = peek(csv, &byte, error);
        if (st || byte != '"') return st;
        take(csv, byte);
        st = keep(csv, (const uint8_t *)"\"", 1, error);
        if (st) return st;
    }
}

/* True at the end of a field; a carriage return counts only in front of a line feed or at the end of the input. */
static enum plinth_status at_end(struct csv *csv, bool *ended, struct plinth_error *error) {
    int byte;
    *ended = true;
    enum plinth_status st = peek(csv, &byte, error);
    if (st || byte == END || byte == '\n' || byte == (uint8_t)csv->delimiter) return st;
    *ended = false;
    if (byte != '\r') return PLINTH_OK;
    take(csv, byte);
    st = peek(csv, &byte, error);
    *ended = byte == '\n' || byte == END;
    return st || *ended ? st : keep(csv, (const uint8_t *)"\r", 1, error);
}

static enum plinth_status read_field(struct csv *csv, struct plinth_error *error) {
    _Static_assert(CSV_FIELDS_MAX == 1600, "the text says so");
    if (csv->field_count == CSV_FIELDS_MAX)
        return wrong(csv, error, "more than 1600 fields in a row: a table has at most so many columns");
    csv->fields[csv->field_count].line = csv->line;
    csv->fields[csv->field_count].column = csv->column;
    int byte;
    bool ended = false;
    enum plinth_status st = peek(csv, &byte, error);
    bool quoted = byte == '"' && csv->quoting;
    csv->fields[csv->field_count].quoted = quoted;
    if (!st && quoted) {
        csv->any_quoted = true;
        take(csv, byte);
        st = read_quoted(csv, error);
        size_t size = csv->row.size;
        if (!st) st = at_end(csv, &ended, error);
        if (!st && (!ended || csv->row.size != size)) return wrong(csv, error, "text behind a closing quote");
    }
    while (!st && !ended) {
        st = keep_run(csv, false, error);
        if (!st) st = peek(csv, &byte, error);
        if (!st && byte == '"' && csv->quoting) return wrong(csv, error, "a quote inside an unquoted field");
        if (!st) st = at_end(csv, &ended, error);
    }
    csv->ends[csv->field_count++] = csv->row.size;
    return st;
}

/* ---- rows ---- */

static enum plinth_status pass_over_mark(struct csv *csv, struct plinth_error *error) {
    enum plinth_status st = fill(csv, error);
    if (st || csv->line != 1 || csv->column != 1) return st;
    if (csv->input_end - csv->input_at >= 3 && memcmp(csv->input + csv->input_at, "\xef\xbb\xbf", 3) == 0)
        csv->input_at += 3;
    return PLINTH_OK;
}

static void place_fields(struct csv *csv) {
    size_t start = 0;
    for (size_t i = 0; i < csv->field_count; i++) {
        size_t size = csv->ends[i] - start;
        csv->fields[i].bytes = slice_of(size ? csv->row.data + start : NULL, size);
        start = csv->ends[i];
    }
}

static enum plinth_status read_row(struct csv *csv, bool *found, struct plinth_error *error) {
    int byte;
    buffer_clear(&csv->row);
    buffer_clear(&csv->raw);
    csv->row_line = csv->line;
    csv->problem_line = 0;
    csv->field_count = 0;
    csv->any_quoted = false;
    enum plinth_status st = peek(csv, &byte, error);
    *found = byte != END;
    while (!st && *found) {
        st = read_field(csv, error);
        if (!st) st = peek(csv, &byte, error);
        if (st) break;
        if (byte != END) take(csv, byte); /* the delimiter or the line end */
        if (byte != (uint8_t)csv->delimiter) break;
    }
    return st;
}

enum plinth_status csv_next(struct csv *csv, bool *found, struct plinth_error *error) {
    *found = false;
    enum plinth_status st = pass_over_mark(csv, error);
    bool empty_line = true;
    while (!st && empty_line) {
        st = read_row(csv, found, error);
        if (!*found) break;
        empty_line = csv->field_count == 1 && csv->row.size == 0 && !csv->any_quoted;
    }
    if (st) *found = false;
    if (*found) place_fields(csv);
    return st;
}

enum plinth_status csv_skip_line(struct csv *csv, struct plinth_error *error) {
    int byte;
    enum plinth_status st;
    while (!(st = peek(csv, &byte, error)) && byte != END) {
        take(csv, byte);
        if (byte == '\n') break;
    }
    return st;
}
