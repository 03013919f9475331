#include "cmd/table_reader.h"

#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/table_reader_private.h"

/* ---- rows ---- */

void table_rows_deinit(struct table_rows *rows) {
    batch_unref(rows->batch);
    buffer_deinit(&rows->lines);
    buffer_deinit(&rows->raw);
    buffer_deinit(&rows->raw_ends);
    *rows = (struct table_rows){0};
}

uint64_t table_rows_line(const struct table_rows *rows, uint32_t row) {
    return row < rows->lines.size / 8 ? load_u64(rows->lines.data + row * 8) : rows->first_line + row;
}

struct slice table_rows_raw(const struct table_rows *rows, uint32_t row) {
    if (row >= rows->raw_ends.size / 8) return slice_of(NULL, 0);
    uint64_t start = row ? load_u64(rows->raw_ends.data + (row - 1) * 8) : 0;
    return slice_of(rows->raw.data + start, load_u64(rows->raw_ends.data + row * 8) - start);
}

/* ---- names ---- */

int64_t table_reader_find(const struct table_reader_column *columns, size_t count, struct slice name) {
    int64_t found = -1;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(columns[i].name);
        if (size != name.size || !size) continue;
        if (memcmp(columns[i].name, name.data, size) == 0) return (int64_t)i;
        if (found < 0 && strncasecmp(columns[i].name, (const char *)name.data, size) == 0) found = (int64_t)i;
    }
    return found;
}

struct slice table_reader_map(const struct table_reader_options *options, struct slice file) {
    for (size_t i = 0; i < options->map_count; i++)
        if (slice_equal(slice_of_string(options->maps[i].file), file)) return slice_of_string(options->maps[i].column);
    return file;
}

/* Every --map names a column of the file. */
static enum plinth_status check_maps(const struct table_reader *reader, struct plinth_error *error) {
    for (size_t i = 0; i < reader->options->map_count; i++) {
        bool found = false;
        for (size_t j = 0; j < reader->column_count && !found; j++)
            found = strcmp(reader->file_names[j], reader->options->maps[i].file) == 0;
        if (!found)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: no column '%s' for --map", reader->name,
                             reader->options->maps[i].file);
    }
    return PLINTH_OK;
}

enum plinth_status table_reader_name_columns(struct table_reader *reader, const struct slice *names, size_t count,
                                             struct plinth_error *error) {
    reader->columns = arena_zalloc(&reader->arena, (count + 1) * sizeof *reader->columns);
    reader->file_names = arena_zalloc(&reader->arena, (count + 1) * sizeof *reader->file_names);
    if (!reader->columns || !reader->file_names) return error_no_memory(error, "columns");
    for (size_t i = 0; i < count; i++) {
        struct slice mapped = table_reader_map(reader->options, names[i]);
        const uint8_t *name = arena_copy(&reader->arena, mapped), *own = arena_copy(&reader->arena, names[i]);
        if (!name || !own) return error_no_memory(error, "columns");
        if (!bytes_are_utf8(names[i]) || memchr(own, 0, names[i].size))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: the name of column %zu is no text in UTF-8",
                             reader->name, i + 1);
        if (!names[i].size && !mapped.size && reader->options->map_count == 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "%s: column %zu has no name; name it with --map '=NAME' or leave it out with --map '='",
                             reader->name, i + 1);
        for (size_t j = 0; mapped.size && j < i; j++)
            if (strcmp(reader->columns[j].name, (const char *)name) == 0)
                return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: columns %zu and %zu are both '%s'", reader->name,
                                 j + 1, i + 1, (const char *)name);
        reader->columns[i].name = (const char *)name;
        reader->file_names[i] = (const char *)own;
    }
    reader->column_count = count;
    reader->has_columns = true;
    return check_maps(reader, error);
}

/* ---- reports ---- */

enum plinth_status table_reader_reject(const struct table_reader *reader, uint64_t line, struct slice raw,
                                       const struct plinth_error *why, struct plinth_error *error) {
    const struct table_reader_options *options = reader->options;
    if (!options->on_reject) {
        if (!table_reader_has_lines(reader))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: row %llu: %s", reader->name, (unsigned long long)line,
                             why->text);
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s:%llu: %s", reader->name, (unsigned long long)line,
                         why->text);
    }
    options->on_reject(options->context, line, raw, why->text);
    return PLINTH_OK;
}

/* ---- opening ---- */

static bool ends_with(struct slice name, const char *suffix) {
    size_t size = strlen(suffix);
    return name.size >= size && strncasecmp((const char *)name.data + name.size - size, suffix, size) == 0;
}

static enum plinth_status format_of_name(const char *path, enum table_format *format, struct plinth_error *error) {
    static const struct {
        const char *suffix;
        enum table_format format;
    } known[] = {{".csv", TABLE_CSV},         {".tsv", TABLE_TSV},       {".jsonl", TABLE_JSONL},
                 {".ndjson", TABLE_JSONL},    {".json", TABLE_JSONL},    {".arrow", TABLE_ARROW},
                 {".arrows", TABLE_ARROW},    {".feather", TABLE_ARROW}, {".ipc", TABLE_ARROW},
                 {".parquet", TABLE_PARQUET}, {".pq", TABLE_PARQUET},    {".txt", TABLE_CSV}};
    struct slice name = slice_of_string(path);
    *format = TABLE_CSV;
    if (strcmp(path, "-") == 0) return PLINTH_OK;
    if (ends_with(name, ".gz")) name.size -= 3;
    if (ends_with(name, ".zst")) name.size -= 4;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!ends_with(name, known[i].suffix)) continue;
        *format = known[i].format;
        return PLINTH_OK;
    }
    return error_set(error, PLINTH_UNSUPPORTED,
                     "%s: the name does not tell the format; say --format csv, tsv, jsonl, arrow or parquet", path);
}

enum plinth_status table_reader_open(const char *path, const struct table_reader_options *options,
                                     struct table_reader **reader, struct plinth_error *error) {
    struct table_reader shape = {.options = options, .format = options->format};
    *reader = NULL;
    if (!options->has_format) {
        enum plinth_status st = format_of_name(path, &shape.format, error);
        if (st) return st;
    }
    switch (shape.format) {
    case TABLE_ARROW: return table_reader_arrow_open(path, &shape, reader, error);
    case TABLE_PARQUET: return table_reader_parquet_open(path, &shape, reader, error);
    default: return table_reader_text_open(path, &shape, reader, error);
    }
}

void table_reader_close(struct table_reader *reader) {
    if (!reader) return;
    struct arena arena = reader->arena;
    reader->ops->close(reader);
    arena_deinit(&arena);
}

enum plinth_status table_reader_guess(struct table_reader *reader, const struct table_reader_column **columns,
                                      size_t *count, struct plinth_error *error) {
    *columns = NULL;
    *count = 0;
    enum plinth_status st = reader->ops->guess(reader, error);
    if (st) return st;
    *columns = reader->columns;
    *count = reader->column_count;
    return PLINTH_OK;
}

/* ---- going together with the table ---- */

static enum plinth_status copy_table(struct table_reader *reader, const struct table_reader_column *columns,
                                     size_t count, struct plinth_error *error) {
    struct table_reader_column *copies = arena_zalloc(&reader->arena, (count + 1) * sizeof *copies);
    if (!copies) return error_no_memory(error, "columns");
    for (size_t i = 0; i < count; i++) {
        copies[i] = columns[i];
        copies[i].name = (const char *)arena_copy(&reader->arena, slice_of_string(columns[i].name));
        if (!copies[i].name) return error_no_memory(error, "columns");
    }
    reader->table = copies;
    reader->table_count = count;
    return PLINTH_OK;
}

static enum plinth_status check_missing(const struct table_reader *reader, struct plinth_error *error) {
    for (size_t i = 0; i < reader->table_count; i++) {
        const struct table_reader_column *column = &reader->table[i];
        bool found = !column->not_null || (column->has_default && !column->is_key);
        for (size_t j = 0; j < reader->column_count && !found; j++)
            found = strcmp(reader->bound[j].name, column->name) == 0;
        if (!found)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: no column for '%s', which %s; see --map",
                             reader->name, column->name, column->is_key ? "is part of the key" : "must not be null");
    }
    return PLINTH_OK;
}

enum plinth_status table_reader_bind(struct table_reader *reader, const struct table_reader_column *columns,
                                     size_t count, bool adds_columns, struct plinth_error *error) {
    bool guess = false;
    enum plinth_status st = copy_table(reader, columns, count, error);
    if (st) return st;
    reader->adds_columns = adds_columns;
    if (!reader->has_columns && adds_columns) st = reader->ops->guess(reader, error); /* JSON */
    if (st || !reader->has_columns) return st ? st : reader->ops->bind(reader, error);
    reader->bound = arena_zalloc(&reader->arena, (reader->column_count + 1) * sizeof *reader->bound);
    if (!reader->bound) return error_no_memory(error, "columns");
    for (size_t i = 0; i < reader->column_count; i++) {
        struct slice name = slice_of_string(reader->columns[i].name);
        int64_t at = table_reader_find(reader->table, count, name);
        if (at < 0 && name.size && !adds_columns)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "%s: the table has no column '%s'; rename it with --map '%s=COLUMN', leave it out with "
                             "--map '%s=', or let the table add columns",
                             reader->name, reader->columns[i].name, reader->file_names[i], reader->file_names[i]);
        guess = guess || (at < 0 && name.size && !reader->columns[i].type.kind);
        if (at >= 0) reader->bound[i] = reader->table[at];
        for (size_t j = 0; at >= 0 && j < i; j++)
            if (strcmp(reader->bound[j].name, reader->bound[i].name) == 0)
                return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: columns '%s' and '%s' are both '%s' of the table",
                                 reader->name, reader->file_names[j], reader->file_names[i], reader->bound[i].name);
        if (at < 0) reader->bound[i].name = reader->columns[i].name;
    }
    if (guess) st = reader->ops->guess(reader, error);
    for (size_t i = 0; !st && i < reader->column_count; i++)
        if (!reader->bound[i].type.kind) reader->bound[i].type = reader->columns[i].type;
    if (!st) st = check_missing(reader, error);
    return st ? st : reader->ops->bind(reader, error);
}

enum plinth_status table_reader_next(struct table_reader *reader, struct table_rows *rows, bool *end,
                                     struct plinth_error *error) {
    batch_unref(rows->batch);
    rows->batch = NULL;
    rows->first_line = 0;
    buffer_clear(&rows->lines);
    buffer_clear(&rows->raw);
    buffer_clear(&rows->raw_ends);
    *end = false;
    return reader->ops->next(reader, rows, end, error);
}

const char *table_reader_name(const struct table_reader *reader) { return reader->name; }
bool table_reader_has_lines(const struct table_reader *reader) { return reader->format <= TABLE_JSONL; }
uint64_t table_reader_size(const struct table_reader *reader) { return reader->ops->size(reader); }
uint64_t table_reader_consumed(const struct table_reader *reader) { return reader->ops->consumed(reader); }

/* ---- columnar files ---- */

uint32_t table_reader_slice_rows(const struct table_reader *reader, const struct batch *whole) {
    uint64_t bytes = batch_bytes(whole), rows = reader->options->batch_rows_max;
    if (bytes > reader->options->batch_bytes_max) {
        uint64_t fit = (uint64_t)whole->rows * reader->options->batch_bytes_max / bytes;
        if (fit < rows) rows = fit;
    }
    if (rows >= 8) rows &= ~7ull; /* bitmaps are then shared, not copied */
    return rows ? (uint32_t)rows : 1;
}

enum plinth_status table_reader_check_casts(const struct table_reader *reader, struct plinth_error *error) {
    for (size_t i = 0; i < reader->column_count; i++) {
        char from[COLUMN_TYPE_TEXT_MAX], to[COLUMN_TYPE_TEXT_MAX];
        const struct table_reader_column *bound = &reader->bound[i];
        if (!*bound->name || column_cast_is_possible(reader->columns[i].type, bound->type)) continue;
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%s: column %s: %s of the file does not become %s of the table", reader->name, bound->name,
                         column_type_format(reader->columns[i].type, from), column_type_format(bound->type, to));
    }
    return PLINTH_OK;
}

enum plinth_status table_reader_slice(struct table_reader *reader, struct batch *whole, uint32_t first, uint32_t count,
                                      uint64_t number, struct table_rows *rows, struct plinth_error *error) {
    uint32_t sent = 0;
    for (size_t i = 0; i < reader->column_count; i++) sent += *reader->bound[i].name != 0;
    struct batch *batch = batch_create(sent);
    if (!reader->fields) reader->fields = arena_zalloc(&reader->arena, (sent + 1) * sizeof *reader->fields);
    struct arrow_field *fields = reader->fields;
    bool ok = batch && fields;
    uint32_t at = 0;
    for (size_t i = 0; ok && i < reader->column_count; i++) {
        if (!*reader->bound[i].name) continue;
        fields[at] = (struct arrow_field){reader->bound[i].name, whole->columns[i].type, true};
        ok = column_slice(&batch->arena, &whole->columns[i], first, count, &batch->columns[at]);
        at++;
    }
    if (!ok) {
        batch_unref(batch);
        return error_no_memory(error, "batch");
    }
    batch->rows = count;
    rows->schema = (struct arrow_schema){fields, sent};
    rows->batch = batch;
    rows->first_line = number;
    return PLINTH_OK;
}
