#include "cmd/json_line.h"

#include "base/hash.h"
#include "base/status.h"
#include "cmd/byte_text.h"

/* Where the parser is. */
struct json {
    struct slice text;
    size_t at;
    struct arena *arena;
    struct plinth_error *error;
    bool inside; /* an element of "indexes" */
    bool values; /* any value is taken as it is */
};

static enum plinth_status wrong(const struct json *json, size_t at, const char *what) {
    return error_set(json->error, PLINTH_INVALID_ARGUMENT, "column %zu: %s", at + 1, what);
}

static int peek(const struct json *json) { return json->at < json->text.size ? json->text.data[json->at] : -1; }

static void pass_over_spaces(struct json *json) {
    while (peek(json) == ' ' || peek(json) == '\t' || peek(json) == '\r' || peek(json) == '\n') json->at++;
}

static bool hex4(const struct json *json, size_t at, uint32_t *value) {
    *value = 0;
    if (json->text.size - at < 4) return false;
    for (size_t i = 0; i < 4; i++) {
        uint8_t byte = json->text.data[at + i];
        uint8_t lower = byte | 0x20;
        if (byte >= '0' && byte <= '9')
            *value = *value << 4 | (uint32_t)(byte - '0');
        else if (lower >= 'a' && lower <= 'f')
            *value = *value << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
    }
    return true;
}

static size_t utf8_encode(uint8_t *at, uint32_t value) {
    if (value < 0x80) {
        at[0] = (uint8_t)value;
        return 1;
    }
    size_t size = value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        at[i] = (uint8_t)(0x80 | (value & 0x3f));
        value >>= 6;
    }
    at[0] = (uint8_t)((0xf0 << (4 - size)) | value);
    return size;
}

/* Behind "\u": one code point, from a surrogate pair too. */
static enum plinth_status unescape_unicode(struct json *json, uint8_t *into, size_t *used) {
    uint32_t value, low;
    size_t start = json->at - 2;
    if (!hex4(json, json->at, &value)) return wrong(json, start, "\\u needs four hex digits");
    json->at += 4;
    if (value >= 0xd800 && value < 0xdc00) {
        bool pair = json->text.size - json->at >= 6 && json->text.data[json->at] == '\\' &&
                    json->text.data[json->at + 1] == 'u' && hex4(json, json->at + 2, &low) && low >= 0xdc00 &&
                    low < 0xe000;
        if (!pair) return wrong(json, start, "half of a surrogate pair");
        json->at += 6;
        value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
    } else if (value >= 0xdc00 && value < 0xe000) {
        return wrong(json, start, "half of a surrogate pair");
    }
    *used += utf8_encode(into + *used, value);
    return PLINTH_OK;
}

static enum plinth_status unescape(struct json *json, uint8_t *into, size_t *used) {
    static const char named[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    int byte = peek(json);
    const char *found = byte > 0 ? strchr(named, byte) : NULL;
    json->at++;
    if (byte == 'u') return unescape_unicode(json, into, used);
    if (!found) return wrong(json, json->at - 2, "an escape that JSON does not know");
    into[(*used)++] = (uint8_t)meant[found - named];
    return PLINTH_OK;
}

static enum plinth_status parse_string(struct json *json, struct slice *string) {
    size_t start = json->at++;
    const uint8_t *close = memchr(json->text.data + json->at, '"', json->text.size - json->at);
    size_t bound = json->text.size - json->at; /* unescaping never grows */
    if (close && !memchr(json->text.data + json->at, '\\', (size_t)(close - json->text.data) - json->at))
        bound = (size_t)(close - json->text.data) - json->at;
    uint8_t *into = arena_alloc(json->arena, bound + 1);
    size_t used = 0;
    if (!into) return error_no_memory(json->error, "JSON string");
    for (;;) {
        int byte = peek(json);
        if (byte < 0) return wrong(json, start, "the string is never closed");
        json->at++;
        if (byte == '"') break;
        if (byte < 0x20) return wrong(json, json->at - 1, "a control character inside a string");
        enum plinth_status st = PLINTH_OK;
        if (byte == '\\')
            st = unescape(json, into, &used);
        else
            into[used++] = (uint8_t)byte;
        if (st) return st;
    }
    *string = slice_of(into, used);
    if (!bytes_are_utf8(*string)) return wrong(json, start, "the string is not UTF-8");
    return PLINTH_OK;
}

/* A number or a word; `*missing` for null. */
static enum plinth_status parse_literal(struct json *json, struct slice *text, bool *missing) {
    size_t start = json->at;
    while (peek(json) > ' ' && peek(json) != ',' && peek(json) != '}' && peek(json) != ']') json->at++;
    *text = slice_of(json->text.data + start, json->at - start);
    *missing = slice_equal(*text, slice_of_string("null"));
    bool word = *missing || slice_equal(*text, slice_of_string("true")) || slice_equal(*text, slice_of_string("false"));
    bool number = text->size > 0 && (text->data[0] == '-' || (text->data[0] >= '0' && text->data[0] <= '9'));
    for (size_t i = 0; number && i < text->size; i++) number = strchr("0123456789+-.eE", text->data[i]) != NULL;
    if (!word && !number) return wrong(json, start, "not a string, a number, true, false or null");
    return PLINTH_OK;
}

/* An array or object, from its bracket to the one that closes it; what is inside is looked at when it is used. */
static enum plinth_status parse_nested(struct json *json, struct slice *text) {
    size_t start = json->at, depth = 0;
    bool quoted = false;
    for (; json->at < json->text.size; json->at++) {
        uint8_t byte = json->text.data[json->at];
        if (quoted) {
            if (byte == '\\')
                json->at++;
            else if (byte == '"')
                quoted = false;
            continue;
        }
        quoted = byte == '"';
        depth += byte == '[' || byte == '{';
        depth -= byte == ']' || byte == '}';
        if (depth) continue;
        json->at++;
        *text = slice_of(json->text.data + start, json->at - start);
        return bytes_are_utf8(*text) ? PLINTH_OK : wrong(json, start, "the value is not UTF-8");
    }
    json->at = json->text.size;
    return wrong(json, start, "the array or object is never closed");
}

/* Any value, with its kind. */
static enum plinth_status parse_any(struct json *json, struct json_member *member) {
    bool missing;
    member->column = json->at + 1;
    switch (peek(json)) {
    case '"': member->kind = JSON_TEXT; return parse_string(json, &member->value);
    case '[': member->kind = JSON_ARRAY; return parse_nested(json, &member->value);
    case '{': member->kind = JSON_OBJECT; return parse_nested(json, &member->value);
    default: break;
    }
    enum plinth_status st = parse_literal(json, &member->value, &missing);
    if (st) return st;
    uint8_t first = member->value.data[0];
    member->kind = missing ? JSON_NULL : first == 't' || first == 'f' ? JSON_BOOL : JSON_NUMBER;
    return PLINTH_OK;
}

static enum plinth_status parse_value(struct json *json, struct json_member *member, bool *missing) {
    static const char suffix[] = "_base64";
    const size_t suffix_size = sizeof suffix - 1;
    *missing = false;
    if (json->values) return parse_any(json, member);
    size_t at = json->at;
    member->column = at + 1;
    member->kind = JSON_TEXT;
    if (peek(json) == '{' || peek(json) == '[') return wrong(json, at, "objects and arrays inside are not read");
    if (peek(json) != '"') return parse_literal(json, &member->value, missing);
    enum plinth_status st = parse_string(json, &member->value);
    if (st || member->name.size <= suffix_size ||
        memcmp(member->name.data + member->name.size - suffix_size, suffix, suffix_size) != 0)
        return st;
    struct buffer decoded = BUFFER_INIT;
    member->name.size -= suffix_size;
    st = bytes_from_base64(&decoded, member->value, json->error);
    if (st) {
        error_prefix(json->error, "column %zu", at + 1);
    } else {
        const uint8_t *copy = arena_copy(json->arena, buffer_slice(&decoded));
        member->value = slice_of(copy, decoded.size);
        if (!copy) st = error_no_memory(json->error, "JSON string");
    }
    buffer_deinit(&decoded);
    return st;
}

static enum plinth_status parse_object(struct json *json, struct json_line *line);

static enum plinth_status parse_index(struct json *json, struct json_index *index) {
    struct json_line element;
    index->column = json->at + 1;
    json->inside = true;
    enum plinth_status st = parse_object(json, &element);
    json->inside = false;
    if (st) return st;
    const struct json_member *name = json_line_find(&element, "index"), *value = json_line_find(&element, "value");
    if (!name || !value || element.count != 2)
        return wrong(json, index->column - 1, "an index value has \"index\" and \"value\", and nothing else");
    index->index = name->value;
    index->value = value->value;
    return PLINTH_OK;
}

static enum plinth_status parse_indexes(struct json *json, struct json_line *line) {
    size_t capacity = 0;
    if (line->has_indexes) return wrong(json, json->at, "a second list of indexes");
    line->has_indexes = true;
    json->at++;
    pass_over_spaces(json);
    for (bool more = peek(json) != ']'; more;) {
        if (line->index_count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            struct json_index *grown = arena_alloc(json->arena, capacity * sizeof *grown);
            if (!grown) return error_no_memory(json->error, "index values");
            if (line->index_count) memcpy(grown, line->indexes, line->index_count * sizeof *grown);
            line->indexes = grown;
        }
        pass_over_spaces(json);
        enum plinth_status st = parse_index(json, &line->indexes[line->index_count++]);
        if (st) return st;
        pass_over_spaces(json);
        more = peek(json) == ',';
        if (more) json->at++;
    }
    if (peek(json) != ']') return wrong(json, json->at, "',' or ']' is expected");
    json->at++;
    return PLINTH_OK;
}

/* ---- members ---- */

enum { FEW_MEMBERS = 32 };

static uint16_t *slot_of(struct json_line *line, struct slice name) {
    uint64_t at = hash_stable(name.data, name.size);
    for (;; at++) {
        uint16_t *slot = &line->slots[at % JSON_SLOTS];
        if (!*slot || slice_equal(line->members[*slot - 1].name, name)) return slot;
    }
}

/* Adds a member unless one of its name is there. A few are looked through, more have a hash table. */
static bool add_member(struct json_line *line, const struct json_member *member) {
    uint16_t *slot = NULL;
    if (line->count == FEW_MEMBERS) {
        memset(line->slots, 0, sizeof line->slots);
        for (size_t i = 0; i < line->count; i++) *slot_of(line, line->members[i].name) = (uint16_t)(i + 1);
    }
    if (line->count >= FEW_MEMBERS && *(slot = slot_of(line, member->name))) return false;
    for (size_t i = 0; !slot && i < line->count; i++)
        if (slice_equal(line->members[i].name, member->name)) return false;
    line->members[line->count++] = *member;
    if (slot) *slot = (uint16_t)line->count;
    return true;
}

static enum plinth_status parse_member(struct json *json, struct json_line *line) {
    struct json_member member;
    bool missing;
    pass_over_spaces(json);
    size_t start = json->at;
    if (peek(json) != '"') return wrong(json, json->at, "a name in quotes is expected");
    enum plinth_status st = parse_string(json, &member.name);
    if (st) return st;
    pass_over_spaces(json);
    if (peek(json) != ':') return wrong(json, json->at, "':' is expected");
    json->at++;
    pass_over_spaces(json);
    if (!json->inside && !json->values && peek(json) == '[' && slice_equal(member.name, slice_of_string("indexes")))
        return parse_indexes(json, line);
    st = parse_value(json, &member, &missing);
    if (st || missing) return st;
    _Static_assert(JSON_MEMBERS_MAX == 1600, "the text says so");
    if (line->count == JSON_MEMBERS_MAX)
        return wrong(json, start, "more than 1600 members: a table has at most so many columns");
    return add_member(line, &member) ? PLINTH_OK : wrong(json, start, "this name was there already");
}

static enum plinth_status parse_object(struct json *json, struct json_line *line) {
    line->count = line->index_count = 0;
    line->indexes = NULL;
    line->has_indexes = false;
    if (peek(json) != '{') return wrong(json, json->at, "'{' is expected");
    json->at++;
    pass_over_spaces(json);
    for (bool more = peek(json) != '}'; more;) {
        enum plinth_status st = parse_member(json, line);
        if (st) return st;
        pass_over_spaces(json);
        more = peek(json) == ',';
        if (more) json->at++;
    }
    if (peek(json) != '}') return wrong(json, json->at, "',' or '}' is expected");
    json->at++;
    return PLINTH_OK;
}

static enum plinth_status parse_line(struct json_line *line, struct slice text, struct arena *arena, bool values,
                                     struct plinth_error *error) {
    struct json json = {.text = text, .arena = arena, .error = error, .values = values};
    pass_over_spaces(&json);
    enum plinth_status st = parse_object(&json, line);
    if (st) return st;
    pass_over_spaces(&json);
    return json.at < text.size ? wrong(&json, json.at, "text behind the object") : PLINTH_OK;
}

enum plinth_status json_line_parse(struct json_line *line, struct slice text, struct arena *arena,
                                   struct plinth_error *error) {
    return parse_line(line, text, arena, false, error);
}

enum plinth_status json_line_parse_values(struct json_line *line, struct slice text, struct arena *arena,
                                          struct plinth_error *error) {
    return parse_line(line, text, arena, true, error);
}

enum plinth_status json_array_parse(struct slice text, struct arena *arena, struct json_member **elements,
                                    size_t *count, struct plinth_error *error) {
    struct json json = {.text = text, .arena = arena, .error = error, .values = true};
    size_t capacity = 0;
    *elements = NULL;
    *count = 0;
    if (peek(&json) != '[') return wrong(&json, json.at, "'[' is expected");
    json.at++;
    pass_over_spaces(&json);
    for (bool more = peek(&json) != ']'; more;) {
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            struct json_member *grown = arena_alloc(arena, capacity * sizeof *grown);
            if (!grown) return error_no_memory(error, "JSON array");
            if (*count) memcpy(grown, *elements, *count * sizeof *grown);
            *elements = grown;
        }
        pass_over_spaces(&json);
        struct json_member *element = &(*elements)[(*count)++];
        *element = (struct json_member){0};
        enum plinth_status st = parse_any(&json, element);
        if (st) return st;
        pass_over_spaces(&json);
        more = peek(&json) == ',';
        if (more) json.at++;
    }
    return peek(&json) == ']' ? PLINTH_OK : wrong(&json, json.at, "',' or ']' is expected");
}

const struct json_member *json_line_find(const struct json_line *line, const char *name) {
    for (size_t i = 0; i < line->count; i++) {
        if (slice_equal(line->members[i].name, slice_of_string(name))) return &line->members[i];
    }
    return NULL;
}
