#include "cmd/cli_output.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cmd/byte_text.h"

enum { HELD_ROWS_MAX = 200, COLUMN_WIDTH_MAX = 60 };

static bool append_text(struct buffer *into, const char *text) { return buffer_append(into, text, strlen(text)); }

static bool append_encoded(struct buffer *into, struct slice bytes, enum bytes_format format) {
    return format == BYTES_HEX ? hex_text_append(into, bytes) : base64_text_append(into, bytes);
}

/* Everything but bytes and text. */
static bool append_plain(struct buffer *into, const struct cell *cell, const char *null_text) {
    char number[24];
    switch (cell->kind) {
    case CELL_NUMBER: snprintf(number, sizeof number, "%" PRIu64, cell->number); return append_text(into, number);
    case CELL_BOOL: return append_text(into, cell->number ? "true" : "false");
    default: return append_text(into, null_text);
    }
}

static bool is_bytes(const struct cell *cell) { return cell->kind == CELL_BYTES || cell->kind == CELL_TEXT; }

static bool append_table_cell(struct buffer *into, const struct cell *cell, enum bytes_format format) {
    if (!is_bytes(cell)) return append_plain(into, cell, "-");
    if (cell->kind == CELL_BYTES && format != BYTES_TEXT) return append_encoded(into, cell->bytes, format);
    return escaped_text_append(into, cell->bytes);
}

static bool append_csv_cell(struct buffer *into, const struct cell *cell, enum bytes_format format) {
    if (!is_bytes(cell)) return append_plain(into, cell, "");
    if (cell->kind == CELL_BYTES && format != BYTES_TEXT) return append_encoded(into, cell->bytes, format);
    return csv_field_append(into, cell->bytes, ',');
}

bool output_append_json_member(struct buffer *into, const char *name, const struct cell *cell,
                               enum bytes_format bytes) {
    bool encoded = cell->kind == CELL_BYTES && bytes != BYTES_TEXT;
    bool binary = is_bytes(cell) && !encoded && !bytes_are_utf8(cell->bytes);
    bool ok = append_text(into, "\"") && append_text(into, name) && append_text(into, binary ? "_base64\":" : "\":");
    if (!ok) return false;
    if (!is_bytes(cell)) return append_plain(into, cell, "null");
    if (encoded || binary)
        return append_text(into, "\"") && append_encoded(into, cell->bytes, binary ? BYTES_BASE64 : bytes) &&
               append_text(into, "\"");
    return json_string_append(into, cell->bytes);
}

static void write_line(struct output *output) {
    if (fwrite(output->line.data, 1, output->line.size, output->file) != output->line.size) output->failed = true;
    buffer_clear(&output->line);
}

/* ---- tables ---- */

static bool append_padded(struct output *output, size_t column, struct slice text, bool last) {
    size_t width = text_width(text);
    size_t padding = width < output->widths[column] ? output->widths[column] - width : 0;
    bool ok = true;
    for (size_t i = 0; ok && output->numeric[column] && i < padding; i++) ok = buffer_append_u8(&output->line, ' ');
    ok = ok && buffer_append(&output->line, text.data, text.size);
    for (size_t i = 0; ok && !last && !output->numeric[column] && i < padding; i++)
        ok = buffer_append_u8(&output->line, ' ');
    return ok && append_text(&output->line, last ? "\n" : "  ");
}

static void table_widen(struct output *output, size_t column, struct slice text) {
    size_t width = text_width(text);
    if (width > COLUMN_WIDTH_MAX) width = COLUMN_WIDTH_MAX;
    if (width > output->widths[column]) output->widths[column] = width;
}

/* Writes the header and the rows held back. */
static void table_release(struct output *output) {
    size_t columns = output->column_count;
    bool ok = true;
    for (size_t i = 0; i < columns; i++) table_widen(output, i, slice_of_string(output->columns[i]));
    for (size_t i = 0; ok && i < columns; i++)
        ok = append_padded(output, i, slice_of_string(output->columns[i]), i + 1 == columns);
    for (size_t row = 0; ok && row < output->held_rows; row++) {
        for (size_t i = 0; ok && i < columns; i++)
            ok = append_padded(output, i, buffer_slice(&output->held[row * columns + i]), i + 1 == columns);
    }
    if (!ok) output->failed = true;
    write_line(output);
    for (size_t i = 0; i < output->held_rows * columns; i++) buffer_deinit(&output->held[i]);
    free(output->held);
    output->held = NULL;
}

static bool table_hold(struct output *output, const struct cell *cells) {
    size_t columns = output->column_count;
    for (size_t i = 0; i < columns; i++) {
        struct buffer *held = &output->held[output->held_rows * columns + i];
        if (!append_table_cell(held, &cells[i], output->bytes)) return false;
        table_widen(output, i, buffer_slice(held));
        if (output->held_rows == 0) output->numeric[i] = output->numeric[i] || cells[i].kind == CELL_NUMBER;
    }
    output->held_rows++;
    return true;
}

static bool table_write(struct output *output, const struct cell *cells) {
    struct buffer text = BUFFER_INIT;
    bool ok = true;
    for (size_t i = 0; ok && i < output->column_count; i++) {
        buffer_clear(&text);
        ok = append_table_cell(&text, &cells[i], output->bytes) &&
             append_padded(output, i, buffer_slice(&text), i + 1 == output->column_count);
    }
    buffer_deinit(&text);
    write_line(output);
    return ok;
}

static bool table_row(struct output *output, const struct cell *cells) {
    if (output->held && output->held_rows < HELD_ROWS_MAX) return table_hold(output, cells);
    if (output->held) table_release(output);
    return table_write(output, cells);
}

/* "name  value", a line each. */
static bool table_one(struct output *output, const struct cell *cells) {
    bool ok = true;
    for (size_t i = 0; i < output->column_count; i++) table_widen(output, 0, slice_of_string(output->columns[i]));
    for (size_t i = 0; ok && i < output->column_count; i++)
        ok = append_padded(output, 0, slice_of_string(output->columns[i]), false) &&
             append_table_cell(&output->line, &cells[i], output->bytes) && append_text(&output->line, "\n");
    write_line(output);
    return ok;
}

/* ---- all formats ---- */

void output_begin(struct output *output, FILE *file, enum output_format format, enum bytes_format bytes, bool one,
                  const char *const *columns) {
    *output = (struct output){.file = file, .format = format, .bytes = bytes, .one = one, .columns = columns};
    while (columns[output->column_count]) output->column_count++;
    if (format == OUTPUT_TABLE && !one) {
        output->held = calloc(HELD_ROWS_MAX * output->column_count, sizeof *output->held);
        output->failed = !output->held;
    } else if (format == OUTPUT_CSV) {
        for (size_t i = 0; i < output->column_count; i++) fprintf(file, "%s%s", i ? "," : "", columns[i]);
        fputc('\n', file);
    } else if (format == OUTPUT_JSON && !one) {
        fputc('[', file);
    }
}

static bool json_row(struct output *output, const struct cell *cells) {
    bool ok = append_text(&output->line, output->one ? "{" : output->rows ? ",\n {" : "\n {");
    for (size_t i = 0; ok && i < output->column_count; i++)
        ok = (i == 0 || append_text(&output->line, ",")) &&
             output_append_json_member(&output->line, output->columns[i], &cells[i], output->bytes);
    ok = ok && append_text(&output->line, output->one ? "}\n" : "}");
    write_line(output);
    return ok;
}

static bool csv_row(struct output *output, const struct cell *cells) {
    bool ok = true;
    for (size_t i = 0; ok && i < output->column_count; i++)
        ok = (i == 0 || append_text(&output->line, ",")) && append_csv_cell(&output->line, &cells[i], output->bytes);
    ok = ok && append_text(&output->line, "\n");
    write_line(output);
    return ok;
}

bool output_row(struct output *output, const struct cell *cells) {
    bool ok;
    if (output->failed) return false;
    switch (output->format) {
    case OUTPUT_JSON: ok = json_row(output, cells); break;
    case OUTPUT_CSV: ok = csv_row(output, cells); break;
    default: ok = output->one ? table_one(output, cells) : table_row(output, cells);
    }
    output->rows++;
    if (!ok) output->failed = true;
    return !output->failed;
}

bool output_end(struct output *output) {
    if (output->format == OUTPUT_TABLE && output->held) table_release(output);
    if (output->format == OUTPUT_JSON && !output->one) fputs(output->rows ? "\n]\n" : "]\n", output->file);
    if (fflush(output->file) || ferror(output->file)) output->failed = true;
    buffer_deinit(&output->line);
    return !output->failed;
}
