/* CSV, TSV and JSON Lines as typed rows (table_reader.h).
 *
 * The bytes come through a replay, which records what is read until the columns' types are known: guessing reads the
 * first rows, then reading begins anew with the recorded bytes. So standard input can be guessed, too. */
#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/csv.h"
#include "cmd/table_reader_private.h"

enum { UNBOUND = UINT32_MAX };

/* Bytes that were read and may be read again. */
struct replay {
    struct file_source *source;
    struct buffer recorded;
    size_t at;
    bool recording;
};

/* A column that is sent: where its values go. */
struct sent_column {
    struct column_builder builder;
    const struct table_reader_column *column;
};

struct text_reader {
    struct table_reader base;
    struct replay replay;
    struct csv csv;
    bool csv_is_open;
    bool at_end;
    struct sent_column *sent;
    uint32_t sent_count;
    uint32_t *fields;                 /* CSV: the column of each field, or UNBOUND */
    struct arena row_arena;           /* JSON: of one row */
    struct json_line *json;           /* JSON only */
    const struct json_member **found; /* JSON: of each sent column */
};

static struct text_reader *text_reader_of(struct table_reader *reader) { return (struct text_reader *)reader; }
static bool is_json(const struct text_reader *reader) { return reader->base.format == TABLE_JSONL; }

static enum plinth_status replay_read(void *context, void *into, size_t size, size_t *got, struct plinth_error *error) {
    struct replay *replay = context;
    *got = replay->recorded.size - replay->at;
    if (*got) {
        if (*got > size) *got = size;
        memcpy(into, replay->recorded.data + replay->at, *got);
        replay->at += *got;
        return PLINTH_OK;
    }
    if (!replay->recording) buffer_deinit(&replay->recorded);
    if (!replay->recording) replay->at = 0;
    enum plinth_status st = file_source_read(replay->source, into, size, got, error);
    if (st || !replay->recording) return st;
    if (!buffer_append(&replay->recorded, into, *got)) return error_no_memory(error, "first rows");
    replay->at += *got;
    return PLINTH_OK;
}

/* ---- reading rows of text ---- */

static enum plinth_status begin(struct text_reader *reader, struct plinth_error *error) {
    static const char delimiters[] = {[TABLE_CSV] = ',', [TABLE_TSV] = '\t', [TABLE_JSONL] = '\0'};
    const struct table_reader_options *options = reader->base.options;
    char delimiter = options->delimiter && !is_json(reader) ? options->delimiter : delimiters[reader->base.format];
    if (reader->csv_is_open) csv_deinit(&reader->csv);
    enum plinth_status st =
        csv_init(&reader->csv, replay_read, &reader->replay, delimiter, reader->base.format == TABLE_CSV, error);
    reader->csv_is_open = !st;
    reader->csv.keeps_raw = options->keeps_raw && !is_json(reader);
    return st;
}

/* An error of the text with the file's name in front; others (of the file) likewise. */
static enum plinth_status name_file(struct text_reader *reader, enum plinth_status st, struct plinth_error *error) {
    if (!st) return st;
    if (!reader->csv.problem_line) {
        error_prefix(error, "%s", reader->base.name);
        return st;
    }
    return error_set(error, st, "%s:%llu: byte %llu of the line: %s", reader->base.name,
                     (unsigned long long)reader->csv.problem_line, (unsigned long long)reader->csv.problem_column,
                     reader->csv.problem);
}

static enum plinth_status read_header(struct text_reader *reader, struct plinth_error *error) {
    bool found;
    enum plinth_status st = csv_next(&reader->csv, &found, error);
    if (st) return name_file(reader, st, error);
    if (!found)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%s: empty: a header line is expected (or its columns by --columns)", reader->base.name);
    if (reader->base.has_columns) return PLINTH_OK; /* read again */
    size_t count = reader->csv.field_count;
    struct slice *names = malloc((count + 1) * sizeof *names);
    if (!names) return error_no_memory(error, "header");
    for (size_t i = 0; i < count; i++) names[i] = reader->csv.fields[i].bytes;
    st = table_reader_name_columns(&reader->base, names, count, error);
    free(names);
    return st;
}

static enum plinth_status begin_rows(struct text_reader *reader, struct plinth_error *error) {
    const struct table_reader_options *options = reader->base.options;
    enum plinth_status st = begin(reader, error);
    if (st || is_json(reader)) return st;
    if (!options->columns) return read_header(reader, error);
    if (reader->base.has_columns) return PLINTH_OK;
    struct slice *names = malloc((options->column_count + 1) * sizeof *names);
    if (!names) return error_no_memory(error, "columns");
    for (size_t i = 0; i < options->column_count; i++) names[i] = slice_of_string(options->columns[i]);
    st = table_reader_name_columns(&reader->base, names, options->column_count, error);
    free(names);
    return st;
}

/* ---- guessing ---- */

static enum plinth_status guess_csv(struct text_reader *reader, struct type_guess *guesses,
                                    struct plinth_error *error) {
    const struct table_reader *base = &reader->base;
    const struct text_format *format = &base->options->text;
    for (uint32_t row = 0; row < base->options->guess_rows_max; row++) {
        bool found;
        enum plinth_status st = csv_next(&reader->csv, &found, error);
        if (st && reader->csv.problem_line)
            st = csv_skip_line(&reader->csv, error); /* told when it is read */
        else if (!st && !found)
            break;
        if (st) return name_file(reader, st, error);
        if (reader->csv.field_count != base->column_count) continue;
        for (size_t i = 0; found && i < base->column_count; i++) {
            const struct csv_field *field = &reader->csv.fields[i];
            if (!text_is_null(format, field->bytes, field->quoted, (struct column_type){0}))
                guess_text(&guesses[i], format, field->bytes);
        }
    }
    return PLINTH_OK;
}

/* Members that the rows have, in the order in which they come up. */
struct members {
    struct slice *names;
    struct type_guess *guesses;
    size_t count, capacity;
};

static bool find_member(struct members *members, struct arena *arena, struct slice name, size_t hint, size_t *at) {
    if (hint < members->count && slice_equal(members->names[hint], name)) {
        *at = hint;
        return true;
    }
    for (*at = 0; *at < members->count; ++*at)
        if (slice_equal(members->names[*at], name)) return true;
    if (members->count == members->capacity) {
        size_t capacity = members->capacity ? members->capacity * 2 : 32;
        void *names = realloc(members->names, capacity * sizeof *members->names);
        if (names) members->names = names;
        void *guesses = realloc(members->guesses, capacity * sizeof *members->guesses);
        if (guesses) members->guesses = guesses;
        if (!names || !guesses) return false;
        members->capacity = capacity;
    }
    const uint8_t *copy = arena_copy(arena, name);
    members->names[members->count] = slice_of(copy, name.size);
    members->guesses[members->count++] = (struct type_guess){0};
    return copy != NULL;
}

static enum plinth_status guess_json_row(struct text_reader *reader, struct members *members,
                                         struct plinth_error *error) {
    const struct json_line *json = reader->json;
    for (size_t i = 0; i < json->count; i++) {
        size_t at;
        if (!find_member(members, &reader->base.arena, json->members[i].name, i, &at))
            return error_no_memory(error, "first rows");
        guess_json(&members->guesses[at], &reader->base.options->text, &json->members[i], &reader->row_arena);
    }
    return PLINTH_OK;
}

static enum plinth_status guess_members(struct text_reader *reader, struct members *members,
                                        struct plinth_error *error) {
    struct plinth_error why; /* of the first line that is no object */
    uint64_t why_line = 0;
    for (uint32_t row = 0; row < reader->base.options->guess_rows_max; row++) {
        bool found;
        struct plinth_error wrong;
        arena_reset(&reader->row_arena);
        enum plinth_status st = csv_next(&reader->csv, &found, error);
        if (!st && !found) break;
        if (st && reader->csv.problem_line) st = csv_skip_line(&reader->csv, error);
        if (st) return name_file(reader, st, error);
        if (!found || reader->csv.field_count != 1) continue;
        st = json_line_parse_values(reader->json, reader->csv.fields[0].bytes, &reader->row_arena, &wrong);
        if (st && !why_line) {
            why = wrong;
            why_line = reader->csv.row_line;
        }
        if (st) continue;
        st = guess_json_row(reader, members, error);
        if (st) return st;
    }
    if (members->count) return PLINTH_OK;
    if (why_line)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%s:%llu: %.300s; no object among the first lines tells of columns", reader->base.name,
                         (unsigned long long)why_line, why.text);
    return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: no object among the first lines tells of columns",
                     reader->base.name);
}

/* Columns that are bound have their table's type; only the others' are guessed. */
static void set_types(struct text_reader *reader, const struct type_guess *guesses) {
    for (size_t i = 0; i < reader->base.column_count; i++) reader->base.columns[i].type = guess_type(&guesses[i]);
}

static enum plinth_status text_guess(struct table_reader *base, struct plinth_error *error) {
    struct text_reader *reader = text_reader_of(base);
    struct members members = {0};
    enum plinth_status st;
    if (is_json(reader)) {
        st = guess_members(reader, &members, error);
        if (!st && !base->has_columns) st = table_reader_name_columns(base, members.names, members.count, error);
        if (!st) set_types(reader, members.guesses);
    } else {
        members.guesses = calloc(base->column_count + 1, sizeof *members.guesses);
        st = members.guesses ? guess_csv(reader, members.guesses, error) : error_no_memory(error, "first rows");
        if (!st) set_types(reader, members.guesses);
    }
    free(members.names);
    free(members.guesses);
    reader->replay.at = 0; /* and once more from the start */
    return st ? st : begin_rows(reader, error);
}

/* ---- binding ---- */

static enum plinth_status add_sent(struct text_reader *reader, const struct table_reader_column *column,
                                   struct plinth_error *error) {
    struct sent_column *sent = &reader->sent[reader->sent_count];
    if (!column_builder_init(&sent->builder, column->type)) return error_no_memory(error, "columns");
    reader->base.fields[reader->sent_count++] = (struct arrow_field){column->name, column->type, !column->not_null};
    sent->column = column;
    return PLINTH_OK;
}

static enum plinth_status text_bind(struct table_reader *base, struct plinth_error *error) {
    struct text_reader *reader = text_reader_of(base);
    bool whole = !base->has_columns; /* JSON: any member that the table has */
    size_t count = whole ? base->table_count : base->column_count;
    reader->sent = arena_zalloc(&base->arena, (count + 1) * sizeof *reader->sent);
    reader->fields = arena_zalloc(&base->arena, (count + 1) * sizeof *reader->fields);
    reader->found = arena_zalloc(&base->arena, (count + 1) * sizeof *reader->found);
    base->fields = arena_zalloc(&base->arena, (count + 1) * sizeof *base->fields);
    if (!reader->sent || !reader->fields || !reader->found || !base->fields) return error_no_memory(error, "columns");
    for (size_t i = 0; i < count; i++) {
        const struct table_reader_column *column = whole ? &base->table[i] : &base->bound[i];
        reader->fields[i] = *column->name ? reader->sent_count : UNBOUND;
        enum plinth_status st = *column->name ? add_sent(reader, column, error) : PLINTH_OK;
        if (st) return st;
    }
    reader->replay.recording = false;
    return PLINTH_OK;
}

/* ---- rows into columns ---- */

static enum plinth_status null_append(struct sent_column *sent, struct plinth_error *error) {
    if (sent->column->not_null)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "is null, but %s",
                         sent->column->is_key ? "it is part of the key" : "must not be");
    return column_builder_null(&sent->builder) ? PLINTH_OK : error_no_memory(error, "column");
}

static enum plinth_status append_csv_row(struct text_reader *reader, struct plinth_error *error) {
    const struct csv *csv = &reader->csv;
    const struct text_format *format = &reader->base.options->text;
    if (csv->field_count != reader->base.column_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%zu fields, %s %zu", csv->field_count,
                         reader->base.options->columns ? "--columns names" : "the header has",
                         reader->base.column_count);
    for (size_t i = 0; i < csv->field_count; i++) {
        if (reader->fields[i] == UNBOUND) continue;
        struct sent_column *sent = &reader->sent[reader->fields[i]];
        const struct csv_field *field = &csv->fields[i];
        enum plinth_status st = text_is_null(format, field->bytes, field->quoted, sent->builder.type)
                                    ? null_append(sent, error)
                                    : text_append(&sent->builder, format, field->bytes, error);
        if (!st) continue;
        error_prefix(error, "column %s", sent->column->name);
        return st;
    }
    return PLINTH_OK;
}

/* Where a member of JSON goes; bytes that are no text come under NAME_base64. */
static int64_t find_sent(const struct text_reader *reader, struct slice name, size_t hint) {
    if (hint < reader->sent_count && slice_equal(slice_of_string(reader->sent[hint].column->name), name))
        return (int64_t)hint;
    for (uint32_t i = 0; i < reader->sent_count; i++)
        if (slice_equal(slice_of_string(reader->sent[i].column->name), name)) return i;
    for (uint32_t i = 0; i < reader->sent_count; i++) {
        const char *own = reader->sent[i].column->name;
        if (strlen(own) == name.size && strncasecmp(own, (const char *)name.data, name.size) == 0) return i;
    }
    return -1;
}

static enum plinth_status decode_base64(struct text_reader *reader, struct json_member *member,
                                        struct plinth_error *error) {
    struct buffer decoded = BUFFER_INIT;
    enum plinth_status st = bytes_from_base64(&decoded, member->value, error);
    if (!st) {
        const uint8_t *copy = arena_copy(&reader->row_arena, buffer_slice(&decoded));
        member->value = slice_of(copy, decoded.size);
        if (!copy) st = error_no_memory(error, "JSON string");
    }
    buffer_deinit(&decoded);
    return st;
}

static enum plinth_status place_member(struct text_reader *reader, struct json_member *member, size_t hint,
                                       bool *is_bytes, struct plinth_error *error) {
    static const char suffix[] = "_base64";
    const size_t suffix_size = sizeof suffix - 1;
    struct slice name = table_reader_map(reader->base.options, member->name);
    if (!name.size && member->name.size) return PLINTH_OK; /* left out */
    int64_t at = find_sent(reader, name, hint);
    if (at < 0 && name.size > suffix_size && memcmp(name.data + name.size - suffix_size, suffix, suffix_size) == 0) {
        at = find_sent(reader, slice_of(name.data, name.size - suffix_size), hint);
        if (at >= 0 && reader->sent[at].column->type.kind != COLUMN_BYTES) at = -1;
        *is_bytes = at >= 0 && member->kind == JSON_TEXT;
        if (*is_bytes) {
            enum plinth_status st = decode_base64(reader, member, error);
            if (st) return st;
        }
    }
    if (at < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "no column '%.*s'; leave it out with --map '%.*s='",
                         (int)(name.size > 128 ? 128 : name.size), name.size ? (const char *)name.data : "",
                         (int)(member->name.size > 128 ? 128 : member->name.size),
                         member->name.size ? (const char *)member->name.data : "");
    if (reader->found[at])
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %s is given twice", reader->sent[at].column->name);
    reader->found[at] = member;
    return PLINTH_OK;
}

static enum plinth_status append_member(struct text_reader *reader, uint32_t at, bool is_bytes,
                                        struct plinth_error *error) {
    struct sent_column *sent = &reader->sent[at];
    const struct json_member *member = reader->found[at];
    const struct text_format *format = &reader->base.options->text;
    bool null =
        !member || member->kind == JSON_NULL ||
        (member->kind == JSON_TEXT && !is_bytes && text_is_null(format, member->value, true, sent->builder.type));
    enum plinth_status st;
    if (null)
        st = null_append(sent, error);
    else if (is_bytes)
        st = column_builder_bytes_value(&sent->builder, member->value) ? PLINTH_OK : error_no_memory(error, "column");
    else
        st = json_append(&sent->builder, format, member, &reader->row_arena, error);
    if (st) error_prefix(error, "column %s", sent->column->name);
    return st;
}

static enum plinth_status append_json_row(struct text_reader *reader, struct plinth_error *error) {
    struct json_line *json = reader->json;
    bool *bytes = NULL;
    arena_reset(&reader->row_arena);
    if (reader->csv.field_count != 1) return error_set(error, PLINTH_INVALID_ARGUMENT, "a zero byte");
    enum plinth_status st = json_line_parse_values(json, reader->csv.fields[0].bytes, &reader->row_arena, error);
    if (st) return st;
    memset(reader->found, 0, reader->sent_count * sizeof *reader->found);
    bytes = arena_zalloc(&reader->row_arena, json->count + 1);
    if (!bytes) return error_no_memory(error, "row");
    for (size_t i = 0; !st && i < json->count; i++) st = place_member(reader, &json->members[i], i, &bytes[i], error);
    for (uint32_t i = 0; !st && i < reader->sent_count; i++) {
        const struct json_member *member = reader->found[i];
        st = append_member(reader, i, member && bytes[member - json->members], error);
    }
    return st;
}

static struct slice raw_row(const struct text_reader *reader) {
    struct slice raw = is_json(reader) ? reader->csv.field_count ? reader->csv.fields[0].bytes : slice_of(NULL, 0)
                                       : buffer_slice(&reader->csv.raw);
    while (raw.size && (raw.data[raw.size - 1] == '\n' || raw.data[raw.size - 1] == '\r')) raw.size--;
    return raw;
}

/* The next row into the builders; *found is false at the end of the file, *good when it is in them. */
static enum plinth_status read_row(struct text_reader *reader, uint32_t rows, bool *found, bool *good,
                                   struct plinth_error *error) {
    struct plinth_error why = {0};
    uint64_t line;
    *good = false;
    enum plinth_status st = csv_next(&reader->csv, found, &why);
    if (st && !reader->csv.problem_line) { /* of the file */
        error_set(error, st, "%s", why.text);
        return name_file(reader, st, error);
    }
    if (st) {
        line = reader->csv.problem_line;
        error_set(&why, st, "byte %llu of the line: %s", (unsigned long long)reader->csv.problem_column,
                  reader->csv.problem);
        st = reader->base.options->on_reject ? csv_skip_line(&reader->csv, error) : PLINTH_OK;
        if (st) return name_file(reader, st, error);
        reader->csv.field_count = 0;
        *found = true;
        return table_reader_reject(&reader->base, line, raw_row(reader), &why, error);
    }
    if (!*found) return PLINTH_OK;
    line = reader->csv.fields[0].line;
    error_clear(&why);
    st = is_json(reader) ? append_json_row(reader, &why) : append_csv_row(reader, &why);
    *good = !st;
    if (!st) return PLINTH_OK;
    if (st == PLINTH_OUT_OF_MEMORY) return error_set(error, st, "%s", why.text);
    for (uint32_t i = 0; i < reader->sent_count; i++)
        if (reader->sent[i].builder.rows > rows) column_builder_truncate(&reader->sent[i].builder, rows);
    return table_reader_reject(&reader->base, line, raw_row(reader), &why, error);
}

static bool note_row(const struct text_reader *reader, struct table_rows *rows) {
    uint64_t line = reader->csv.fields[0].line;
    if (!rows->lines.size) rows->first_line = line;
    if (!buffer_append_u64(&rows->lines, line)) return false;
    if (!reader->base.options->keeps_raw) return true;
    struct slice raw = raw_row(reader);
    return buffer_append(&rows->raw, raw.data, raw.size) && buffer_append_u64(&rows->raw_ends, rows->raw.size);
}

static uint64_t built_bytes(const struct text_reader *reader) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < reader->sent_count; i++) bytes += column_builder_bytes(&reader->sent[i].builder);
    return bytes;
}

static enum plinth_status text_next(struct table_reader *base, struct table_rows *rows, bool *end,
                                    struct plinth_error *error) {
    enum { BYTES_LOOKED_AT_EVERY = 16 };
    struct text_reader *reader = text_reader_of(base);
    uint32_t count = 0;
    for (uint32_t i = 0; i < reader->sent_count; i++) column_builder_clear(&reader->sent[i].builder);
    while (!reader->at_end && count < base->options->batch_rows_max) {
        bool found, good;
        enum plinth_status st = read_row(reader, count, &found, &good, error);
        if (st) return st;
        reader->at_end = !found;
        if (!good) continue;
        count++;
        if (!note_row(reader, rows)) return error_no_memory(error, "batch");
        if ((count % BYTES_LOOKED_AT_EVERY == 0 || reader->csv.row.size > base->options->batch_bytes_max / 64) &&
            built_bytes(reader) >= base->options->batch_bytes_max)
            break;
    }
    *end = !count;
    if (!count) return PLINTH_OK;
    rows->batch = batch_create(reader->sent_count);
    if (!rows->batch) return error_no_memory(error, "batch");
    for (uint32_t i = 0; i < reader->sent_count; i++)
        rows->batch->columns[i] = column_builder_view(&reader->sent[i].builder);
    rows->batch->rows = count;
    rows->schema = (struct arrow_schema){base->fields, reader->sent_count};
    return PLINTH_OK;
}

/* ---- the whole ---- */

static uint64_t text_consumed(const struct table_reader *base) {
    return file_source_consumed(((const struct text_reader *)base)->replay.source);
}
static uint64_t text_size(const struct table_reader *base) {
    return file_source_size(((const struct text_reader *)base)->replay.source);
}

static void text_close(struct table_reader *base) {
    struct text_reader *reader = text_reader_of(base);
    for (uint32_t i = 0; i < reader->sent_count; i++) column_builder_deinit(&reader->sent[i].builder);
    if (reader->csv_is_open) csv_deinit(&reader->csv);
    file_source_close(reader->replay.source);
    buffer_deinit(&reader->replay.recorded);
    arena_deinit(&reader->row_arena);
    free(reader->json);
    free(reader);
}

static const struct table_reader_ops text_ops = {.guess = text_guess,
                                                 .bind = text_bind,
                                                 .next = text_next,
                                                 .consumed = text_consumed,
                                                 .size = text_size,
                                                 .close = text_close};

enum plinth_status table_reader_text_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                          struct plinth_error *error) {
    struct text_reader *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "import");
    made->base = *shape;
    made->base.ops = &text_ops;
    arena_init(&made->base.arena);
    arena_init(&made->row_arena);
    made->replay.recording = true;
    made->json = malloc(sizeof *made->json);
    enum plinth_status st = made->json ? PLINTH_OK : error_no_memory(error, "import");
    if (!st) st = file_source_open(path, &made->replay.source, error);
    if (!st) made->base.name = file_source_name(made->replay.source);
    if (!st) st = begin_rows(made, error);
    if (st) {
        table_reader_close(&made->base);
        return st;
    }
    *reader = &made->base;
    return PLINTH_OK;
}
