#include "cmd/row_reader.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/csv.h"
#include "cmd/file_source.h"
#include "cmd/json_line.h"
#include "plinth.h"

enum row_format { ROWS_CSV, ROWS_TSV, ROWS_JSONL };
enum column_role { COLUMN_IGNORED, COLUMN_KEY, COLUMN_VALUE, COLUMN_INDEX };

struct row_reader {
    struct file_source *source;
    struct csv csv; /* of JSON Lines too: each line is a row of one field */
    enum row_format format;
    enum bytes_format bytes;
    const char *key_column;
    const char *value_column;
    const struct options *options; /* for --index */
    bool choose_indexes;           /* only those of --index */
    struct arena names;            /* of the header's columns */
    struct slice *columns;
    enum column_role *roles;
    size_t column_count;
    struct arena arena; /* of one row */
    struct json_line *json;
    struct batch_index_value *indexes; /* of one row */
    size_t index_capacity;
};

/* ---- columns ---- */

static bool is_chosen_index(const struct row_reader *reader, struct slice name) {
    if (!reader->choose_indexes) return true;
    for (size_t i = 0; i < reader->options->given_count; i++) {
        const struct option_given *given = &reader->options->given[i];
        if (strcmp(given->spec->name, "index") == 0 && slice_equal(slice_of_string(given->value), name)) return true;
    }
    return false;
}

static enum column_role role_of(const struct row_reader *reader, struct slice name) {
    if (slice_equal(name, slice_of_string(reader->key_column))) return COLUMN_KEY;
    if (slice_equal(name, slice_of_string(reader->value_column))) return COLUMN_VALUE;
    return is_chosen_index(reader, name) ? COLUMN_INDEX : COLUMN_IGNORED;
}

static bool is_index_name(struct slice name) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    for (size_t i = 0; i < name.size; i++) {
        if (!name.data[i] || !strchr(allowed, name.data[i])) return false;
    }
    return name.size > 0 && name.size <= PLINTH_NAME_BYTES_MAX;
}

static enum plinth_status check_index_name(struct slice name, struct plinth_error *error) {
    if (is_index_name(name)) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "'%.*s' cannot be the name of an index (1 to 128 of A-Z a-z 0-9 _ . -); choose index columns with "
                     "--index",
                     name.size > 64 ? 64 : (int)name.size, name.size ? (const char *)name.data : "");
}

/* Every column that the options name must be there, and the key's. */
static enum plinth_status check_columns(const struct row_reader *reader, struct plinth_error *error) {
    bool key = false, value = false;
    for (size_t i = 0; i < reader->column_count; i++) {
        key = key || reader->roles[i] == COLUMN_KEY;
        value = value || reader->roles[i] == COLUMN_VALUE;
    }
    if (!key || !value)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "line 1: no column '%s'; name it with --%s-column",
                         key ? reader->value_column : reader->key_column, key ? "value" : "key");
    for (size_t i = 0; i < reader->options->given_count; i++) {
        const struct option_given *given = &reader->options->given[i];
        bool found = strcmp(given->spec->name, "index") != 0;
        for (size_t j = 0; j < reader->column_count && !found; j++)
            found = slice_equal(reader->columns[j], slice_of_string(given->value));
        if (!found)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "line 1: no column '%s' for --index", given->value);
    }
    return PLINTH_OK;
}

static enum plinth_status read_header(struct row_reader *reader, struct plinth_error *error) {
    bool found;
    enum plinth_status st = csv_next(&reader->csv, &found, error);
    if (st) return st;
    if (!found) return error_set(error, PLINTH_INVALID_ARGUMENT, "empty: a header line is expected");
    size_t count = reader->csv.field_count;
    reader->columns = calloc(count, sizeof *reader->columns);
    reader->roles = calloc(count, sizeof *reader->roles);
    if (!reader->columns || !reader->roles) return error_no_memory(error, "header");
    for (size_t i = 0; i < count; i++) {
        const struct csv_field *field = &reader->csv.fields[i];
        const uint8_t *name = arena_copy(&reader->names, field->bytes);
        if (!name) return error_no_memory(error, "header");
        reader->columns[i] = slice_of(name, field->bytes.size);
        reader->roles[i] = role_of(reader, reader->columns[i]);
        if (reader->roles[i] == COLUMN_INDEX) st = check_index_name(reader->columns[i], error);
        for (size_t j = 0; j < i && !st; j++) {
            if (slice_equal(reader->columns[i], reader->columns[j]))
                st = error_set(error, PLINTH_INVALID_ARGUMENT, "this column was there already");
        }
        if (st) {
            error_prefix(error, "line %llu, column %llu", (unsigned long long)field->line,
                         (unsigned long long)field->column);
            return st;
        }
    }
    reader->column_count = count;
    return check_columns(reader, error);
}

/* ---- fields ---- */

static enum plinth_status decode(struct row_reader *reader, struct slice *bytes, struct plinth_error *error) {
    if (reader->bytes == BYTES_TEXT) return PLINTH_OK;
    struct buffer decoded = BUFFER_INIT;
    enum plinth_status st = reader->bytes == BYTES_HEX ? bytes_from_hex(&decoded, *bytes, error)
                                                       : bytes_from_base64(&decoded, *bytes, error);
    if (!st) {
        const uint8_t *copy = arena_copy(&reader->arena, buffer_slice(&decoded));
        if (!copy) st = error_no_memory(error, "field");
        *bytes = slice_of(copy, decoded.size);
    }
    buffer_deinit(&decoded);
    return st;
}

static enum plinth_status check_size(const char *what, struct slice bytes, size_t least, size_t most,
                                     struct plinth_error *error) {
    if (bytes.size < least) return error_set(error, PLINTH_INVALID_ARGUMENT, "the %s is empty", what);
    if (bytes.size <= most) return PLINTH_OK;
    return error_set(error, PLINTH_TOO_LARGE, "the %s has %zu bytes, at most %zu are allowed", what, bytes.size, most);
}

static enum plinth_status add_index(struct row_reader *reader, struct import_row *row, struct slice name,
                                    struct slice value, struct plinth_error *error) {
    if (row->index_count == reader->index_capacity) {
        size_t capacity = reader->index_capacity ? reader->index_capacity * 2 : 16;
        void *grown = realloc(reader->indexes, capacity * sizeof *reader->indexes);
        if (!grown) return error_no_memory(error, "index values");
        reader->indexes = grown;
        reader->index_capacity = capacity;
    }
    reader->indexes[row->index_count++] = (struct batch_index_value){name, value};
    row->indexes = reader->indexes;
    return check_size("index value", value, 0, PLINTH_INDEX_VALUE_BYTES_MAX, error);
}

/* One field in its role. */
static enum plinth_status place(struct row_reader *reader, struct import_row *row, enum column_role role,
                                struct slice name, struct slice bytes, struct plinth_error *error) {
    if (role == COLUMN_IGNORED || (role == COLUMN_INDEX && !bytes.size)) return PLINTH_OK;
    enum plinth_status st = decode(reader, &bytes, error);
    if (st) return st;
    switch (role) {
    case COLUMN_KEY: row->key = bytes; return check_size("key", bytes, 1, PLINTH_KEY_BYTES_MAX, error);
    case COLUMN_VALUE: row->value = bytes; return check_size("value", bytes, 0, PLINTH_VALUE_BYTES_MAX, error);
    default: return add_index(reader, row, name, bytes, error);
    }
}

/* The list "indexes": other than in fields, an empty value is an entry. */
static enum plinth_status place_list(struct row_reader *reader, struct import_row *row, struct plinth_error *error) {
    const struct json_line *json = reader->json;
    for (size_t i = 0; i < json->index_count; i++) {
        struct slice name = json->indexes[i].index, value = json->indexes[i].value;
        if (!is_chosen_index(reader, name)) continue;
        enum plinth_status st = check_index_name(name, error);
        if (!st) st = decode(reader, &value, error);
        if (!st) st = add_index(reader, row, name, value, error);
        if (st) {
            error_prefix(error, "column %zu", json->indexes[i].column);
            return st;
        }
    }
    return PLINTH_OK;
}

static enum plinth_status next_delimited(struct row_reader *reader, struct import_row *row,
                                         struct plinth_error *error) {
    const struct csv *csv = &reader->csv;
    if (csv->field_count != reader->column_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "line %llu: %zu fields, the header has %zu",
                         (unsigned long long)row->line, csv->field_count, reader->column_count);
    for (size_t i = 0; i < csv->field_count; i++) {
        enum plinth_status st = place(reader, row, reader->roles[i], reader->columns[i], csv->fields[i].bytes, error);
        if (!st) continue;
        error_prefix(error, "line %llu, column %llu", (unsigned long long)csv->fields[i].line,
                     (unsigned long long)csv->fields[i].column);
        return st;
    }
    return PLINTH_OK;
}

static enum plinth_status next_json(struct row_reader *reader, struct import_row *row, struct plinth_error *error) {
    struct json_line *json = reader->json;
    if (reader->csv.field_count > 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "line %llu: a zero byte", (unsigned long long)row->line);
    enum plinth_status st = json_line_parse(json, reader->csv.fields[0].bytes, &reader->arena, error);
    const struct json_member *key = st ? NULL : json_line_find(json, reader->key_column);
    const struct json_member *value = st ? NULL : json_line_find(json, reader->value_column);
    if (!st && (!key || !value))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "no \"%s\" in the object",
                       key ? reader->value_column : reader->key_column);
    for (size_t i = 0; !st && i < json->count; i++) {
        const struct json_member *member = &json->members[i];
        enum column_role role = role_of(reader, member->name);
        if (role == COLUMN_INDEX) st = check_index_name(member->name, error);
        if (!st) st = place(reader, row, role, member->name, member->value, error);
        if (st) error_prefix(error, "column %zu", member->column);
    }
    if (!st) st = place_list(reader, row, error);
    if (st) error_prefix(error, "line %llu", (unsigned long long)row->line);
    return st;
}

enum plinth_status row_reader_next(struct row_reader *reader, struct import_row *row, bool *end,
                                   struct plinth_error *error) {
    bool found;
    *row = (struct import_row){0};
    arena_reset(&reader->arena);
    enum plinth_status st = csv_next(&reader->csv, &found, error);
    *end = !st && !found;
    if (st || *end) return st;
    row->line = reader->csv.fields[0].line;
    return reader->format == ROWS_JSONL ? next_json(reader, row, error) : next_delimited(reader, row, error);
}

/* ---- opening ---- */

static bool ends_with(struct slice name, const char *suffix) {
    size_t size = strlen(suffix);
    return name.size >= size && memcmp(name.data + name.size - size, suffix, size) == 0;
}

static enum row_format format_of_name(const char *path) {
    struct slice name = slice_of_string(path);
    if (ends_with(name, ".gz")) name.size -= 3;
    if (ends_with(name, ".zst")) name.size -= 4;
    if (ends_with(name, ".tsv")) return ROWS_TSV;
    return ends_with(name, ".jsonl") || ends_with(name, ".ndjson") ? ROWS_JSONL : ROWS_CSV;
}

static enum plinth_status read_settings(struct row_reader *reader, const char *path, const struct options *options,
                                        struct plinth_error *error) {
    static const char *const formats[] = {"csv", "tsv", "jsonl", NULL};
    const char *format = options_value(options, "format");
    const char *key = options_value(options, "key-column"), *value = options_value(options, "value-column");
    unsigned which = format_of_name(path);
    reader->options = options;
    reader->key_column = key ? key : "key";
    reader->value_column = value ? value : "value";
    reader->choose_indexes = options_value(options, "index") != NULL;
    if (format && options_parse_word("format", format, formats, &which, error)) return PLINTH_UNSUPPORTED;
    reader->format = (enum row_format)which;
    return PLINTH_OK;
}

enum plinth_status row_reader_open(const char *path, const struct options *options, enum bytes_format bytes,
                                   struct row_reader **reader, struct plinth_error *error) {
    *reader = NULL;
    struct row_reader *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "import");
    made->bytes = bytes;
    arena_init(&made->names);
    arena_init(&made->arena);
    made->json = malloc(sizeof *made->json);
    enum plinth_status st = PLINTH_OK;
    if (!made->json) st = error_no_memory(error, "import");
    if (!st) st = read_settings(made, path, options, error);
    if (!st) st = file_source_open(path, &made->source, error);
    /* A line of JSON is a row of one field: no quoting, and a delimiter that JSON text cannot hold. */
    const char delimiters[] = {[ROWS_CSV] = ',', [ROWS_TSV] = '\t', [ROWS_JSONL] = '\0'};
    if (!st)
        st = csv_init(&made->csv, file_source_read, made->source, delimiters[made->format], made->format == ROWS_CSV,
                      error);
    if (!st && made->format != ROWS_JSONL) {
        st = read_header(made, error);
        if (st) error_prefix(error, "%s", file_source_name(made->source));
    }
    if (st) {
        row_reader_close(made);
        return st;
    }
    *reader = made;
    return PLINTH_OK;
}

void row_reader_close(struct row_reader *reader) {
    if (!reader) return;
    csv_deinit(&reader->csv);
    file_source_close(reader->source);
    arena_deinit(&reader->names);
    arena_deinit(&reader->arena);
    free(reader->columns);
    free(reader->roles);
    free(reader->json);
    free(reader->indexes);
    free(reader);
}

const char *row_reader_name(const struct row_reader *reader) { return file_source_name(reader->source); }
uint64_t row_reader_size(const struct row_reader *reader) { return file_source_size(reader->source); }
uint64_t row_reader_consumed(const struct row_reader *reader) { return file_source_consumed(reader->source); }
