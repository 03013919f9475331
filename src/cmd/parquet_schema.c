/* plinth parquet schema: the schema of a Parquet file in the form of the format's own message schemas, as JSON, or a
 * line a column. */
#include <inttypes.h>

#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/json_out.h"
#include "cmd/parquet_input.h"
#include "cmd/parquet_tool.h"

static const char *const repetitions[] = {"required", "optional", "repeated"};

static const char *unit_name(enum parquet_time_unit unit) {
    return unit == PARQUET_TIME_MILLIS ? "MILLIS" : unit == PARQUET_TIME_MICROS ? "MICROS" : "NANOS";
}

const char *parquet_logical_text(const struct parquet_logical_type *logical, char text[PARQUET_LOGICAL_TEXT_MAX]) {
    static const char *const names[] = {[PARQUET_LOGICAL_NONE] = "",
                                        [PARQUET_LOGICAL_STRING] = "STRING",
                                        [PARQUET_LOGICAL_MAP] = "MAP",
                                        [PARQUET_LOGICAL_LIST] = "LIST",
                                        [PARQUET_LOGICAL_ENUM] = "ENUM",
                                        [PARQUET_LOGICAL_DATE] = "DATE",
                                        [PARQUET_LOGICAL_NULL] = "UNKNOWN",
                                        [PARQUET_LOGICAL_JSON] = "JSON",
                                        [PARQUET_LOGICAL_BSON] = "BSON",
                                        [PARQUET_LOGICAL_UUID] = "UUID",
                                        [PARQUET_LOGICAL_FLOAT16] = "FLOAT16",
                                        [PARQUET_LOGICAL_VARIANT] = "VARIANT",
                                        [PARQUET_LOGICAL_GEOMETRY] = "GEOMETRY",
                                        [PARQUET_LOGICAL_GEOGRAPHY] = "GEOGRAPHY"};
    const char *is_utc = logical->is_utc ? "true" : "false";
    switch (logical->kind) {
    case PARQUET_LOGICAL_DECIMAL:
        snprintf(text, PARQUET_LOGICAL_TEXT_MAX, "DECIMAL(%d,%d)", logical->precision, logical->scale);
        break;
    case PARQUET_LOGICAL_TIME:
    case PARQUET_LOGICAL_TIMESTAMP:
        snprintf(text, PARQUET_LOGICAL_TEXT_MAX, "%s(%s,%s)",
                 logical->kind == PARQUET_LOGICAL_TIME ? "TIME" : "TIMESTAMP", unit_name(logical->unit), is_utc);
        break;
    case PARQUET_LOGICAL_INTEGER:
        snprintf(text, PARQUET_LOGICAL_TEXT_MAX, "INTEGER(%u,%s)", logical->bits,
                 logical->is_signed ? "true" : "false");
        break;
    case PARQUET_LOGICAL_INTERVAL: snprintf(text, PARQUET_LOGICAL_TEXT_MAX, "INTERVAL"); break;
    default: {
        bool is_known = (unsigned)logical->kind < sizeof names / sizeof names[0] && names[logical->kind];
        snprintf(text, PARQUET_LOGICAL_TEXT_MAX, "%s", is_known ? names[logical->kind] : "");
    }
    }
    return text;
}

/* ---- As a message ---- */

static bool put_type(struct buffer *line, const struct parquet_node *node) {
    static const char *const names[] = {"boolean", "int32", "int64", "int96", "float", "double", "binary"};
    char text[64];
    if (node->is_group)
        snprintf(text, sizeof text, "group");
    else if (node->type == PARQUET_TYPE_FIXED)
        snprintf(text, sizeof text, "fixed_len_byte_array(%u)", node->type_length);
    else
        snprintf(text, sizeof text, "%s", names[node->type]);
    return buffer_append(line, text, strlen(text));
}

static bool put_node_line(struct buffer *line, const struct parquet_node *node, unsigned depth) {
    char logical[PARQUET_LOGICAL_TEXT_MAX], text[PARQUET_LOGICAL_TEXT_MAX + 32] = "";
    bool ok = true;
    buffer_clear(line);
    for (unsigned i = 0; ok && i < depth; i++) ok = buffer_append(line, "  ", 2);
    ok = ok && buffer_append(line, repetitions[node->repetition], 8) && buffer_append(line, " ", 1) &&
         put_type(line, node) && buffer_append(line, " ", 1) && escaped_text_append(line, slice_of_string(node->name));
    if (*parquet_logical_text(&node->logical, logical)) {
        snprintf(text, sizeof text, " (%s)", logical);
        ok = ok && buffer_append(line, text, strlen(text));
    }
    if (node->has_field_id) {
        snprintf(text, sizeof text, " = %d", node->field_id);
        ok = ok && buffer_append(line, text, strlen(text));
    }
    return ok && buffer_append(line, node->is_group ? " {\n" : ";\n", node->is_group ? 3 : 2);
}

/* Node `at` with what is below it; gives the next one. */
static uint32_t print_node(const struct parquet_schema *schema, uint32_t at, unsigned depth, struct buffer *line) {
    const struct parquet_node *node = &schema->nodes[at++];
    if (!put_node_line(line, node, depth)) cli_no_memory();
    fwrite(line->data, 1, line->size, stdout);
    for (uint32_t i = 0; i < node->child_count; i++) at = print_node(schema, at, depth + 1, line);
    if (node->is_group) printf("%*s}\n", (int)(2 * depth), "");
    return at;
}

static bool print_message(const struct parquet_schema *schema) {
    struct buffer line = BUFFER_INIT;
    if (!escaped_text_append(&line, slice_of_string(schema->root_name))) cli_no_memory();
    printf("message %.*s {\n", (int)line.size, (const char *)line.data);
    for (uint32_t at = 0; at < schema->node_count;) at = print_node(schema, at, 1, &line);
    printf("}\n");
    buffer_deinit(&line);
    return !fflush(stdout) && !ferror(stdout);
}

/* ---- As JSON ---- */

_Static_assert(2 * PARQUET_SCHEMA_DEPTH_MAX + 2 <= JSON_OUT_DEPTH_MAX, "an object and an array for each group");

static uint32_t node_json(struct json_out *out, const struct parquet_schema *schema, uint32_t at) {
    const struct parquet_node *node = &schema->nodes[at++];
    char logical[PARQUET_LOGICAL_TEXT_MAX];
    json_begin(out, NULL, '{');
    json_text(out, "name", slice_of_string(node->name));
    json_text(out, "repetition", slice_of_string(repetitions[node->repetition]));
    if (!node->is_group) json_text(out, "type", slice_of_string(parquet_type_name(node->type)));
    if (!node->is_group && node->type == PARQUET_TYPE_FIXED) json_number(out, "type_length", node->type_length);
    if (*parquet_logical_text(&node->logical, logical)) json_text(out, "logical_type", slice_of_string(logical));
    if (node->has_field_id) json_integer(out, "field_id", node->field_id);
    if (node->is_group) {
        json_begin(out, "fields", '[');
        for (uint32_t i = 0; i < node->child_count; i++) at = node_json(out, schema, at);
        json_end(out);
    }
    json_end(out);
    return at;
}

static bool print_json(const struct parquet_schema *schema) {
    struct json_out out;
    json_out_init(&out, stdout);
    json_begin(&out, NULL, '{');
    json_text(&out, "name", slice_of_string(schema->root_name));
    json_begin(&out, "fields", '[');
    for (uint32_t at = 0; at < schema->node_count;) at = node_json(&out, schema, at);
    json_end(&out);
    json_end(&out);
    return json_finish(&out);
}

/* ---- As CSV: the columns ---- */

static bool print_csv(const struct parquet_schema *schema) {
    static const char *const names[] = {
        "column",   "type", "type_length", "logical_type", "repetition", "definition_level_max", "repetition_level_max",
        "field_id", NULL};
    struct output output;
    output_begin(&output, stdout, OUTPUT_CSV, BYTES_TEXT, false, names);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const struct parquet_column *column = &schema->columns[i];
        const struct parquet_node *node = &schema->nodes[column->node];
        char logical[PARQUET_LOGICAL_TEXT_MAX], id[16] = "";
        if (node->has_field_id) snprintf(id, sizeof id, "%d", node->field_id);
        const struct cell cells[] = {cell_text(column->path),
                                     cell_text(parquet_type_name(column->type)),
                                     cell_number(column->type_length),
                                     cell_text(parquet_logical_text(&column->logical, logical)),
                                     cell_text(repetitions[node->repetition]),
                                     cell_number(column->definition_level_max),
                                     cell_number(column->repetition_level_max),
                                     cell_text(id)};
        if (!output_row(&output, cells)) break;
    }
    return output_end(&output);
}

int cli_parquet_schema(struct cli *cli) {
    struct parquet_input input;
    struct plinth_error error;
    bool is_written = true;
    enum plinth_status st = parquet_input_open(&input, cli->options.operands[0], NULL, &error);
    if (!st) {
        const struct parquet_schema *schema = &parquet_reader_metadata(input.reader)->schema;
        is_written = cli->format == OUTPUT_JSON  ? print_json(schema)
                     : cli->format == OUTPUT_CSV ? print_csv(schema)
                                                 : print_message(schema);
    }
    parquet_input_close(&input);
    if (st) return cli_fail(CLI_FAILED, "%s", error.text);
    return is_written ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}
