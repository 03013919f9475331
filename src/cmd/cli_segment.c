/* plinth segment cat, info: segment files as they lie in a data directory, without a server.
 *
 * A segment is a Parquet file; its rows are all versions in key order, with the hidden columns behind the table's own:
 * _lsn, _op (shown as set or delete), _ord. Those of key spaces have key, value and _index, the key's index entries,
 * which are shown as TABLE=VALUE. Keys of index segments are split into the indexed values and the key that they point
 * to. */
#include <stdlib.h>

#include "base/env.h"
#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/row_output.h"
#include "cmd/table_reader.h"
#include "column/column_builder.h"
#include "column/key_encoding.h"
#include "column/row_key.h"
#include "parquet/reader.h"
#include "table/row.h"

enum { CAT_ROWS = 8192, CAT_BYTES = 8 << 20 };

static bool make_strings(struct arena *arena, const struct column *from, uint32_t rows,
                         bool (*format)(struct buffer *, const struct column *, uint32_t), struct column *out) {
    struct column_builder builder;
    struct buffer text = BUFFER_INIT;
    if (!column_builder_init(&builder, column_type_of(COLUMN_STRING))) return false;
    bool ok = true;
    for (uint32_t row = 0; ok && row < rows; row++) {
        buffer_clear(&text);
        ok = column_is_null(from, row)
                 ? column_builder_null(&builder)
                 : format(&text, from, row) && column_builder_bytes_value(&builder, buffer_slice(&text));
    }
    struct column view = column_builder_view(&builder);
    const struct column *source = &view;
    const struct row_stretch all = {0, 0, rows};
    ok = ok && column_concat(arena, view.type, &source, &all, 1, rows, out);
    buffer_deinit(&text);
    column_builder_deinit(&builder);
    return ok;
}

static bool format_operation(struct buffer *into, const struct column *column, uint32_t row) {
    int32_t operation = ((const int32_t *)column->values)[row];
    const char *word = operation == ROW_SET ? "set" : operation == ROW_DELETE ? "delete" : "?";
    return buffer_append(into, word, strlen(word));
}

static bool append_indexes(struct buffer *into, struct slice bytes, bool escape) {
    struct reader list = reader_of(bytes);
    uint32_t table;
    struct slice value;
    bool ok = true;
    while (ok && row_indexes_next(&list, &table, &value)) {
        char number[16];
        snprintf(number, sizeof number, "%s%u=", into->size ? " " : "", table);
        ok = buffer_append(into, number, strlen(number)) &&
             (escape ? escaped_text_append(into, value) : buffer_append(into, value.data, value.size));
    }
    return ok && (!list.failed || buffer_append(into, "?", 1));
}

static bool format_indexes(struct buffer *into, const struct column *column, uint32_t row) {
    return append_indexes(into, column_bytes_at(column, row), true);
}

static bool format_raw_indexes(struct buffer *into, const struct column *column, uint32_t row) {
    return append_indexes(into, column_bytes_at(column, row), false);
}

static bool format_bytes(struct buffer *into, const struct column *column, uint32_t row) {
    return escaped_text_append(into, column_bytes_at(column, row));
}

/* Hidden columns, and keys and values that are bytes, in words. Tables escape bytes themselves. */
static enum plinth_status decode(struct table_rows *rows, bool escapes, struct arrow_field *fields,
                                 struct batch **decoded, struct plinth_error *error) {
    struct batch *made = batch_create(rows->schema.field_count);
    bool ok = made;
    for (uint32_t i = 0; ok && i < rows->schema.field_count; i++) {
        const struct column *column = &rows->batch->columns[i];
        const char *name = rows->schema.fields[i].name;
        fields[i] = rows->schema.fields[i];
        made->columns[i] = *column;
        bool (*format)(struct buffer *, const struct column *, uint32_t) = NULL;
        if (strcmp(name, "_op") == 0 && column->type.kind == COLUMN_INT32) format = format_operation;
        if (column->type.kind == COLUMN_BYTES && strcmp(name, "_index") == 0)
            format = escapes ? format_raw_indexes : format_indexes;
        else if (column->type.kind == COLUMN_BYTES && !escapes)
            format = format_bytes;
        if (!format) continue;
        fields[i].type = column_type_of(COLUMN_STRING);
        ok = make_strings(&made->arena, column, rows->batch->rows, format, &made->columns[i]);
    }
    if (!ok) {
        batch_unref(made);
        return error_no_memory(error, "segment");
    }
    made->rows = rows->batch->rows;
    *decoded = made;
    return PLINTH_OK;
}

/* ---- the file ---- */

struct segment_file {
    struct parquet_source source;
    struct parquet_reader *reader;
    struct env_file *file;
};

static enum plinth_status segment_file_open(const char *path, struct segment_file *opened, struct plinth_error *error) {
    *opened = (struct segment_file){0};
    enum plinth_status st = env_open(env_posix(), path, ENV_READ, &opened->file, error);
    if (!st) st = file_map(opened->file, &opened->source.mapped, &opened->source.size, error);
    if (st) return st;
    st = parquet_reader_open(&opened->source, NULL, &opened->reader, error);
    if (st) error_prefix(error, "%s", path);
    return st;
}

static void segment_file_close(struct segment_file *opened) {
    parquet_reader_close(opened->reader);
    file_close(opened->file);
}

/* ---- entries of indexes ---- */

/* What the keys of an index segment are made of that has keys: the indexed values, then the key of the row. */
struct entry_parts {
    struct arrow_field *fields;
    uint32_t index_count, count;
    bool is_space; /* of a key space: one escaped value, then the key */
};

static struct slice find_meta(const struct parquet_metadata *metadata, const char *name) {
    for (uint32_t i = 0; i < metadata->key_value_count; i++)
        if (slice_equal(metadata->key_values[i].key, slice_of_string(name))) return metadata->key_values[i].value;
    return (struct slice){0};
}

/* Lines of "type name" (segment_writer.c). False when one is none. */
static bool add_parts(struct entry_parts *parts, struct slice lines, struct arena *arena) {
    while (lines.size) {
        const uint8_t *end = memchr(lines.data, '\n', lines.size);
        const uint8_t *space = end ? memchr(lines.data, ' ', (size_t)(end - lines.data)) : NULL;
        struct column_type type;
        /* "timestamp(us, utc)" has a space of its own, behind a comma. */
        if (space && space > lines.data && space[-1] == ',') space = memchr(space + 1, ' ', (size_t)(end - space) - 1);
        if (!space || parts->count == 2 * ROW_KEY_PARTS_MAX ||
            column_type_parse(slice_of(lines.data, (size_t)(space - lines.data)), &type, NULL))
            return false;
        char *name = (char *)arena_copy(arena, slice_of(space + 1, (size_t)(end - space) - 1));
        if (!name) cli_no_memory();
        parts->fields[parts->count++] = (struct arrow_field){name, type, true};
        lines = slice_of(end + 1, lines.size - (size_t)(end - lines.data) - 1);
    }
    return true;
}

/* No parts: the segment is none of an index. */
static bool find_parts(const struct parquet_metadata *metadata, struct arena *arena, struct entry_parts *parts) {
    bool has_value = parquet_schema_find(&metadata->schema, "value") >= 0;
    *parts = (struct entry_parts){.fields = arena_zalloc(arena, 2 * ROW_KEY_PARTS_MAX * sizeof *parts->fields)};
    if (!parts->fields) cli_no_memory();
    if (slice_equal(find_meta(metadata, "plinth.kind"), slice_of_string("index"))) return true; /* columns already */
    if (find_meta(metadata, "plinth.index").size) {
        bool ok = add_parts(parts, find_meta(metadata, "plinth.index_parts"), arena);
        parts->index_count = parts->count;
        return ok && add_parts(parts, find_meta(metadata, "plinth.key_parts"), arena);
    }
    if (find_meta(metadata, "plinth.kind").size || has_value || !find_meta(metadata, "plinth.format").size) return true;
    parts->is_space = true;
    parts->fields[parts->count++] = (struct arrow_field){"index_value", column_type_of(COLUMN_BYTES), false};
    parts->fields[parts->count++] = (struct arrow_field){"key", column_type_of(COLUMN_BYTES), false};
    parts->index_count = 1;
    return true;
}

static enum plinth_status read_parts(const char *path, struct arena *arena, struct entry_parts *parts,
                                     struct plinth_error *error) {
    struct segment_file opened;
    enum plinth_status st = segment_file_open(path, &opened, error);
    if (!st && !find_parts(parquet_reader_metadata(opened.reader), arena, parts))
        st = error_set(error, PLINTH_CORRUPT, "%s: malformed plinth.index_parts or plinth.key_parts", path);
    segment_file_close(&opened);
    return st;
}

/* The row ids of tables without a key stand there as LSN and ordinal, and are shown as bytes. */
static bool split_entry(const struct entry_parts *parts, struct slice key, struct column_builder **builders) {
    struct reader from = reader_of(key);
    if (!parts->is_space)
        return row_key_decode(&from, builders, parts->index_count, ROW_KEY_INDEX) &&
               row_key_decode(&from, builders + parts->index_count, parts->count - parts->index_count, ROW_KEY_PRIMARY);
    struct buffer value = BUFFER_INIT;
    bool ok = escaped_decode(&from, &value) && column_builder_bytes_value(builders[0], buffer_slice(&value)) &&
              column_builder_bytes_value(builders[1], slice_of(from.at, reader_left(&from)));
    buffer_deinit(&value);
    return ok;
}

static void release_keys(struct batch *batch) { batch_unref(batch->release_context); }

/* Puts the parts of the keys in the place of the column `key`, which is the first. */
static enum plinth_status split_keys(const struct entry_parts *parts, const struct table_rows *rows,
                                     struct arrow_field *fields, struct batch **split, struct plinth_error *error) {
    uint32_t others = rows->schema.field_count - 1;
    struct column_builder builders[2 * ROW_KEY_PARTS_MAX], *list[2 * ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < parts->count; i++) {
        list[i] = &builders[i];
        if (!column_builder_init(list[i], parts->fields[i].type)) cli_no_memory();
    }
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < rows->batch->rows; row++)
        if (!split_entry(parts, column_bytes_at(&rows->batch->columns[0], row), list))
            st = error_set(error, PLINTH_CORRUPT, "row %u of a batch: the key is no entry of this index", row);
    struct batch *keys = st ? NULL : column_builders_finish(builders, parts->count);
    struct batch *made = keys ? batch_create(parts->count + others) : NULL;
    if (!st && !made) cli_no_memory();
    for (uint32_t i = 0; i < parts->count; i++) column_builder_deinit(&builders[i]);
    if (st) return st;
    made->rows = rows->batch->rows;
    for (uint32_t i = 0; i < parts->count + others; i++) {
        bool is_part = i < parts->count;
        fields[i] = is_part ? parts->fields[i] : rows->schema.fields[i - parts->count + 1];
        made->columns[i] = is_part ? keys->columns[i] : rows->batch->columns[i - parts->count + 1];
    }
    made->release_context = keys;
    made->release = release_keys;
    *split = made;
    return PLINTH_OK;
}

/* ---- cat ---- */

struct cat {
    enum rows_format format;
    uint64_t left;
    struct file_sink *sink;
    struct arrow_field *fields;
    struct entry_parts parts;
};

static enum plinth_status cat_rows(struct cat *cat, struct table_reader *reader, struct plinth_error *error) {
    struct table_rows rows = {0};
    struct row_output *output = NULL;
    enum plinth_status st = PLINTH_OK;
    bool end = false;
    while (!st && !end && cat->left) {
        st = table_reader_next(reader, &rows, &end, error);
        if (st || end) break;
        struct batch *batch = NULL;
        if (rows.batch->rows > cat->left) rows.batch->rows = (uint32_t)cat->left;
        cat->left -= rows.batch->rows;
        struct batch *split = NULL;
        struct arrow_field fields[2 * ROW_KEY_PARTS_MAX + 4];
        struct table_rows shown = rows;
        if (cat->parts.count && rows.schema.field_count <= 4) {
            st = split_keys(&cat->parts, &rows, fields, &split, error);
            if (st) break;
            shown.batch = split;
            shown.schema = (struct arrow_schema){fields, split->column_count};
        }
        st = decode(&shown, cat->format == ROWS_AS_TABLE, cat->fields, &batch, error);
        const struct arrow_schema schema = {cat->fields, shown.schema.field_count};
        if (!st && !output) st = row_output_create(cat->format, false, cat->sink, &schema, &output, error);
        if (!st) st = row_output_batch(output, batch, error);
        batch_unref(batch);
        batch_unref(split);
    }
    if (!st && output) st = row_output_end(output, error);
    row_output_destroy(output);
    table_rows_deinit(&rows);
    return st;
}

static int cat_file(struct cat *cat, const char *path) {
    const struct table_reader_options options = {
        .has_format = true, .format = TABLE_PARQUET, .batch_rows_max = CAT_ROWS, .batch_bytes_max = CAT_BYTES};
    struct table_reader *reader;
    const struct table_reader_column *columns;
    struct plinth_error error;
    size_t count = 0;
    enum plinth_status st = table_reader_open(path, &options, &reader, &error);
    if (!st) st = table_reader_guess(reader, &columns, &count, &error);
    if (!st) st = table_reader_bind(reader, columns, count, false, &error);
    struct arena arena;
    arena_init(&arena);
    if (!st) st = read_parts(path, &arena, &cat->parts, &error);
    cat->fields = calloc(count + 2 * ROW_KEY_PARTS_MAX + 1, sizeof *cat->fields);
    if (!cat->fields) cli_no_memory();
    if (!st) st = cat_rows(cat, reader, &error);
    free(cat->fields);
    arena_deinit(&arena);
    table_reader_close(reader);
    return st ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_OK;
}

int cli_segment_cat(struct cli *cli) {
    static const char *const formats[] = {"table", "csv", "jsonl", "json", NULL};
    const char *format = options_value(&cli->options, "format");
    struct cat cat = {.left = UINT64_MAX};
    struct plinth_error error;
    unsigned which = cli->format == OUTPUT_JSON  ? ROWS_AS_JSON
                     : cli->format == OUTPUT_CSV ? ROWS_AS_CSV
                                                 : ROWS_AS_TABLE;
    if (!cli_number(cli, "limit", 1, UINT64_MAX, &cat.left)) return CLI_USAGE;
    if (format && options_parse_word("format", format, formats, &which, &error))
        return cli_fail(CLI_USAGE, "%s", error.text);
    cat.format = (enum rows_format)which;
    if (file_sink_open("-", &cat.sink, &error)) return cli_fail(CLI_FAILED, "%s", error.text);
    int code = CLI_OK;
    for (int i = 0; !code && i < cli->options.operand_count; i++) code = cat_file(&cat, cli->options.operands[i]);
    if (file_sink_commit(cat.sink, &error) && !code) code = cli_fail(CLI_FAILED, "%s", error.text);
    return code;
}

/* ---- info ---- */

static bool show(struct output *output, const char *what, struct cell value) {
    struct cell cells[] = {cell_text(what), value};
    return output_row(output, cells);
}

static void show_columns(struct output *output, const struct parquet_metadata *metadata) {
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) {
        uint64_t bytes = 0;
        char name[300];
        for (uint32_t g = 0; g < metadata->row_group_count; g++)
            bytes += metadata->row_groups[g].columns[i].compressed_bytes;
        snprintf(name, sizeof name, "bytes of %.256s", metadata->schema.columns[i].path);
        if (!show(output, name, cell_number(bytes))) return;
    }
}

static bool print_info(const struct cli *cli, const char *path, uint64_t bytes,
                       const struct parquet_metadata *metadata) {
    static const char *const columns[] = {"what", "value", NULL};
    struct output output;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    bool more = show(&output, "file", cell_text(path)) && show(&output, "bytes", cell_number(bytes)) &&
                show(&output, "rows", cell_number(metadata->row_count)) &&
                show(&output, "row groups", cell_number(metadata->row_group_count));
    for (uint32_t i = 0; more && i < metadata->key_value_count; i++) {
        struct buffer key = BUFFER_INIT;
        const struct parquet_key_value *pair = &metadata->key_values[i];
        if (!buffer_append(&key, pair->key.data, pair->key.size) || !buffer_append_u8(&key, 0)) cli_no_memory();
        more = show(&output, (const char *)key.data, cell_bytes(pair->value.data, pair->value.size));
        buffer_deinit(&key);
    }
    if (more) show_columns(&output, metadata);
    return output_end(&output);
}

static int info_file(const struct cli *cli, const char *path) {
    struct segment_file opened;
    struct plinth_error error;
    enum plinth_status st = segment_file_open(path, &opened, &error);
    bool written = st || print_info(cli, path, opened.source.size, parquet_reader_metadata(opened.reader));
    segment_file_close(&opened);
    if (st) return cli_fail(CLI_FAILED, "%s", error.text);
    return written ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

int cli_segment_info(struct cli *cli) {
    int code = CLI_OK;
    for (int i = 0; !code && i < cli->options.operand_count; i++) code = info_file(cli, cli->options.operands[i]);
    return code;
}
