#include "cmd/row_output.h"

#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli_output.h"
#include "column/column_builder.h"
#include "parquet/writer.h"
#include "table/row_segment_column.h"

enum { ROW_GROUP_ROWS = 1 << 20, ROW_GROUP_BYTES = 128 << 20, FLUSH_BYTES = 256 << 10 };

struct row_output {
    struct parquet_sink parquet_sink; /* first: the writer's way to `sink` */
    enum rows_format format;
    struct file_sink *sink;
    struct arena arena;
    struct arrow_schema schema; /* copied */
    struct buffer bytes;        /* not yet written */
    uint64_t rows;
    /* table */
    struct output table;
    bool table_is_open;
    const char **names;
    struct cell *cells;
    struct buffer *texts;
    /* Parquet */
    struct parquet_writer *parquet;
    struct parquet_schema leaves;
    struct parquet_column_data *data;
    struct parquet_column_buffer *lists;
};

/* ---- values ---- */

static bool append_json_list(struct buffer *into, const struct column *column, uint32_t row) {
    bool ok = buffer_append_u8(into, '[');
    for (uint32_t i = column->offsets[row]; ok && i < column->offsets[row + 1]; i++)
        ok = (i == column->offsets[row] || buffer_append_u8(into, ',')) && row_value_json(into, column->child, i);
    return ok && buffer_append_u8(into, ']');
}

bool row_value_json(struct buffer *into, const struct column *column, uint32_t row) {
    uint8_t kind = column->type.kind;
    if (column_is_null(column, row)) return buffer_append(into, "null", 4);
    if (kind == COLUMN_LIST) return append_json_list(into, column, row);
    if (kind == COLUMN_STRING) return json_string_append(into, column_bytes_at(column, row));
    size_t start = into->size;
    bool bare =
        kind == COLUMN_BOOL || column_kind_is_integer(kind) || column_kind_is_float(kind) || kind == COLUMN_DECIMAL;
    if (!bare && !buffer_append_u8(into, '"')) return false;
    if (!column_format(into, column, row)) return false;
    if (!bare) {
        if (kind != COLUMN_BYTES) return buffer_append_u8(into, '"');
        struct buffer text = BUFFER_INIT;
        bool ok = buffer_append(&text, into->data + start + 1, into->size - start - 1);
        into->size = start;
        ok = ok && json_string_append(into, buffer_slice(&text));
        buffer_deinit(&text);
        return ok;
    }
    uint8_t last = into->data[into->size - 1];
    bool number = kind == COLUMN_BOOL || (last >= '0' && last <= '9');
    if (number) return true;
    if (!buffer_append(into, "\"", 1) || !buffer_append(into, "\"", 1)) return false; /* nan, inf */
    memmove(into->data + start + 1, into->data + start, into->size - start - 2);
    into->data[start] = '"';
    return true;
}

bool row_value_csv(struct buffer *into, const struct column *column, uint32_t row, struct buffer *scratch) {
    if (column_is_null(column, row)) return true;
    if (column->type.kind == COLUMN_STRING) {
        struct slice text = column_bytes_at(column, row);
        return text.size ? csv_field_append(into, text, ',') : buffer_append(into, "\"\"", 2);
    }
    buffer_clear(scratch);
    if (!column_format(scratch, column, row)) return false;
    if (!scratch->size) return buffer_append(into, "\"\"", 2);
    return csv_field_append(into, buffer_slice(scratch), ',');
}

/* ---- rows ---- */

static enum plinth_status flush(struct row_output *output, size_t from, struct plinth_error *error) {
    if (output->bytes.size < from || !output->bytes.size) return PLINTH_OK;
    enum plinth_status st = file_sink_write(output->sink, buffer_slice(&output->bytes), error);
    buffer_clear(&output->bytes);
    return st;
}

static enum plinth_status csv_batch(struct row_output *output, const struct batch *batch, struct plinth_error *error) {
    struct buffer *bytes = &output->bytes, scratch = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < batch->rows; row++) {
        bool ok = true;
        if (batch->column_count == 1 && column_is_null(&batch->columns[0], row)) {
            st = error_set(error, PLINTH_INVALID_ARGUMENT,
                           "CSV of one column cannot tell a null from an empty line; use --format jsonl");
            break;
        }
        for (uint32_t i = 0; ok && i < batch->column_count; i++)
            ok = (i == 0 || buffer_append_u8(bytes, ',')) && row_value_csv(bytes, &batch->columns[i], row, &scratch);
        st = ok && buffer_append_u8(bytes, '\n') ? flush(output, FLUSH_BYTES, error) : error_no_memory(error, "row");
    }
    buffer_deinit(&scratch);
    return st;
}

static enum plinth_status json_batch(struct row_output *output, const struct batch *batch, struct plinth_error *error) {
    struct buffer *bytes = &output->bytes;
    bool lines = output->format == ROWS_AS_JSONL;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < batch->rows; row++) {
        const char *before = lines ? "{" : output->rows + row ? ",\n {" : "\n {";
        bool ok = buffer_append(bytes, before, strlen(before));
        for (uint32_t i = 0; ok && i < batch->column_count; i++)
            ok = (i == 0 || buffer_append_u8(bytes, ',')) &&
                 json_string_append(bytes, slice_of_string(output->schema.fields[i].name)) &&
                 buffer_append_u8(bytes, ':') && row_value_json(bytes, &batch->columns[i], row);
        ok = ok && buffer_append(bytes, "}\n", lines ? 2 : 1);
        st = ok ? flush(output, FLUSH_BYTES, error) : error_no_memory(error, "row");
    }
    return st;
}

static enum plinth_status table_batch(struct row_output *output, const struct batch *batch,
                                      struct plinth_error *error) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        for (uint32_t i = 0; i < batch->column_count; i++) {
            const struct column *column = &batch->columns[i];
            buffer_clear(&output->texts[i]);
            output->cells[i] = (struct cell){.kind = CELL_NULL};
            if (column_is_null(column, row)) continue;
            bool text = column_kind_is_bytes(column->type.kind); /* unprintable bytes are escaped by the table */
            if (!text && !column_format(&output->texts[i], column, row)) return error_no_memory(error, "row");
            output->cells[i].kind = CELL_TEXT;
            output->cells[i].bytes = text ? column_bytes_at(column, row) : buffer_slice(&output->texts[i]);
        }
        if (!output_row(&output->table, output->cells))
            return error_set(error, PLINTH_IO_ERROR, "cannot write to standard output");
    }
    return PLINTH_OK;
}

/* ---- Parquet ---- */

static enum plinth_status parquet_write(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    return file_sink_write(((struct row_output *)sink)->sink, bytes, error);
}

static enum plinth_status parquet_begin(struct row_output *output, struct plinth_error *error) {
    const struct arrow_schema *schema = &output->schema;
    struct parquet_node *nodes = arena_zalloc(&output->arena, (schema->field_count + 1) * 3 * sizeof *nodes);
    struct parquet_column_options *columns = arena_zalloc(&output->arena, (schema->field_count + 1) * sizeof *columns);
    output->data = arena_zalloc(&output->arena, (schema->field_count + 1) * sizeof *output->data);
    output->lists = arena_zalloc(&output->arena, (schema->field_count + 1) * sizeof *output->lists);
    if (!nodes || !columns || !output->data || !output->lists) return error_no_memory(error, "Parquet file");
    uint32_t node_count = 0;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct arrow_field *field = &schema->fields[i];
        node_count += row_column_nodes(field->name, 0, field->type, !field->nullable && field->type.kind != COLUMN_LIST,
                                       nodes + node_count);
        columns[i] = parquet_column_options_default();
        columns[i].dictionary = field->type.kind != COLUMN_BOOL && field->type.element != COLUMN_BOOL;
        columns[i].codec = PARQUET_CODEC_ZSTD;
    }
    enum plinth_status st = parquet_schema_init(&output->leaves, &output->arena, "schema", nodes, node_count, error);
    const struct parquet_writer_options options = {0};
    output->parquet_sink.write = parquet_write;
    if (!st)
        st =
            parquet_writer_create(&output->parquet_sink, nodes, node_count, columns, &options, &output->parquet, error);
    return st;
}

static enum plinth_status parquet_batch(struct row_output *output, const struct batch *batch,
                                        struct plinth_error *error) {
    struct arena scratch;
    arena_init(&scratch);
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < batch->column_count; i++) {
        st = row_column_to_parquet(&scratch, &batch->columns[i], batch->rows, &output->leaves.columns[i],
                                   &output->lists[i], &output->data[i], error);
        if (st) error_prefix(error, "column %s", output->schema.fields[i].name);
    }
    if (!st) st = parquet_writer_write(output->parquet, output->data, batch->rows, error);
    bool full = (output->rows + batch->rows) / ROW_GROUP_ROWS != output->rows / ROW_GROUP_ROWS ||
                parquet_writer_row_group_bytes(output->parquet) > ROW_GROUP_BYTES;
    if (!st && full) st = parquet_writer_end_row_group(output->parquet, error);
    arena_deinit(&scratch);
    return st;
}

/* ---- the whole ---- */

static enum plinth_status copy_schema(struct row_output *output, const struct arrow_schema *schema,
                                      struct plinth_error *error) {
    struct arrow_field *fields = arena_zalloc(&output->arena, (schema->field_count + 1) * sizeof *fields);
    output->names = arena_zalloc(&output->arena, (schema->field_count + 1) * sizeof *output->names);
    if (!fields || !output->names) return error_no_memory(error, "output");
    for (uint32_t i = 0; i < schema->field_count; i++) {
        fields[i] = schema->fields[i];
        fields[i].name = (const char *)arena_copy(&output->arena, slice_of_string(schema->fields[i].name));
        if (!fields[i].name) return error_no_memory(error, "output");
        output->names[i] = fields[i].name;
    }
    output->schema = (struct arrow_schema){fields, schema->field_count};
    return PLINTH_OK;
}

static enum plinth_status table_begin(struct row_output *output, bool one, struct plinth_error *error) {
    uint32_t count = output->schema.field_count;
    if (count > OUTPUT_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%u columns are too many for a table, which has at most %d; choose some with --columns, or "
                         "another --format",
                         count, OUTPUT_COLUMNS_MAX);
    output->cells = arena_zalloc(&output->arena, (count + 1) * sizeof *output->cells);
    output->texts = arena_zalloc(&output->arena, (count + 1) * sizeof *output->texts);
    if (!output->cells || !output->texts) return error_no_memory(error, "output");
    output_begin(&output->table, stdout, OUTPUT_TABLE, BYTES_TEXT, one, output->names);
    output->table_is_open = true;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind = output->schema.fields[i].type.kind;
        output->table.numeric[i] = column_kind_is_integer(kind) || column_kind_is_float(kind) || kind == COLUMN_DECIMAL;
    }
    return PLINTH_OK;
}

static enum plinth_status csv_begin(struct row_output *output, struct plinth_error *error) {
    bool ok = true;
    for (uint32_t i = 0; ok && i < output->schema.field_count; i++)
        ok = (i == 0 || buffer_append_u8(&output->bytes, ',')) &&
             csv_field_append(&output->bytes, slice_of_string(output->schema.fields[i].name), ',');
    return ok && buffer_append_u8(&output->bytes, '\n') ? PLINTH_OK : error_no_memory(error, "header");
}

enum plinth_status row_output_create(enum rows_format format, bool one, struct file_sink *sink,
                                     const struct arrow_schema *schema, struct row_output **output,
                                     struct plinth_error *error) {
    *output = NULL;
    struct row_output *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "output");
    made->format = format;
    made->sink = sink;
    arena_init(&made->arena);
    enum plinth_status st = copy_schema(made, schema, error);
    if (!st) switch (format) {
        case ROWS_AS_TABLE: st = table_begin(made, one, error); break;
        case ROWS_AS_CSV: st = csv_begin(made, error); break;
        case ROWS_AS_JSON:
            st = buffer_append_u8(&made->bytes, '[') ? PLINTH_OK : error_no_memory(error, "output");
            break;
        case ROWS_AS_ARROW: st = arrow_write_schema(&made->bytes, &made->schema, error); break;
        case ROWS_AS_PARQUET: st = parquet_begin(made, error); break;
        default: break;
        }
    if (st)
        row_output_destroy(made);
    else
        *output = made;
    return st;
}

enum plinth_status row_output_batch(struct row_output *output, const struct batch *batch, struct plinth_error *error) {
    enum plinth_status st;
    switch (output->format) {
    case ROWS_AS_TABLE: st = table_batch(output, batch, error); break;
    case ROWS_AS_CSV: st = csv_batch(output, batch, error); break;
    case ROWS_AS_ARROW:
        st = arrow_write_batch(&output->bytes, batch, ARROW_UNCOMPRESSED, error);
        if (!st) st = flush(output, 0, error);
        break;
    case ROWS_AS_PARQUET: st = parquet_batch(output, batch, error); break;
    default: st = json_batch(output, batch, error);
    }
    output->rows += batch->rows;
    return st;
}

enum plinth_status row_output_end(struct row_output *output, struct plinth_error *error) {
    const char *end = output->rows ? "\n]\n" : "]\n";
    if (output->format == ROWS_AS_TABLE) {
        output->table_is_open = false;
        return output_end(&output->table) ? PLINTH_OK
                                          : error_set(error, PLINTH_IO_ERROR, "cannot write to standard output");
    }
    if (output->format == ROWS_AS_PARQUET) return parquet_writer_finish(output->parquet, NULL, error);
    if (output->format == ROWS_AS_JSON && !buffer_append(&output->bytes, end, strlen(end)))
        return error_no_memory(error, "output");
    if (output->format == ROWS_AS_ARROW && !arrow_write_end(&output->bytes)) return error_no_memory(error, "output");
    return flush(output, 0, error);
}

uint64_t row_output_rows(const struct row_output *output) { return output->rows; }

void row_output_destroy(struct row_output *output) {
    if (!output) return;
    if (output->table_is_open) (void)output_end(&output->table);
    for (uint32_t i = 0; output->texts && i < output->schema.field_count; i++) buffer_deinit(&output->texts[i]);
    for (uint32_t i = 0; output->lists && i < output->schema.field_count; i++)
        parquet_column_buffer_deinit(&output->lists[i]);
    parquet_writer_destroy(output->parquet);
    buffer_deinit(&output->bytes);
    arena_deinit(&output->arena);
    free(output);
}
