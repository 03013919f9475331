#include "cmd/table_text.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/status.h"

/* ---- lengths of time ---- */

static const struct {
    const char *words[6];
    uint64_t us;
} units[] = {
    {{"week", "weeks", "w"}, 604800000000},
    {{"day", "days", "d"}, 86400000000},
    {{"hour", "hours", "h", "hr", "hrs"}, 3600000000},
    {{"minute", "minutes", "m", "min", "mins"}, 60000000},
    {{"second", "seconds", "s", "sec", "secs"}, 1000000},
    {{"millisecond", "milliseconds", "ms"}, 1000},
    {{"microsecond", "microseconds", "us"}, 1},
};
enum { UNITS = sizeof units / sizeof *units };

static uint64_t unit_us(struct slice word) {
    for (int u = 0; u < UNITS; u++)
        for (int w = 0; w < 6 && units[u].words[w]; w++)
            if (strlen(units[u].words[w]) == word.size &&
                strncasecmp(units[u].words[w], (const char *)word.data, word.size) == 0)
                return units[u].us;
    return 0;
}

static void skip_spaces(struct slice *text) {
    while (text->size && isspace(*text->data)) *text = slice_of(text->data + 1, text->size - 1);
}

/* What of the start of `text` is such characters, taken off. */
static struct slice take_while(struct slice *text, int (*is)(int)) {
    size_t size = 0;
    while (size < text->size && is(text->data[size])) size++;
    struct slice taken = slice_of(text->data, size);
    *text = slice_of(text->data + size, text->size - size);
    return taken;
}

enum plinth_status interval_parse(struct slice text, uint64_t *us, struct plinth_error *error) {
    struct slice left = text;
    bool ok = true;
    *us = 0;
    skip_spaces(&left);
    do {
        struct slice digits = take_while(&left, isdigit);
        uint64_t number = 0, product;
        ok = digits.size > 0;
        for (size_t i = 0; ok && i < digits.size; i++)
            ok = !__builtin_mul_overflow(number, 10, &number) &&
                 !__builtin_add_overflow(number, (uint64_t)(digits.data[i] - '0'), &number);
        skip_spaces(&left);
        uint64_t unit = ok ? unit_us(take_while(&left, isalpha)) : 0;
        ok = ok && unit && !__builtin_mul_overflow(number, unit, &product) && !__builtin_add_overflow(*us, product, us);
        skip_spaces(&left);
    } while (ok && left.size);
    if (ok && *us) return PLINTH_OK;
    *us = 0;
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "'%.*s' is no length of time; write a number with a unit, such as '1 day', '12 hours' or '15m'",
                     (int)(text.size < 60 ? text.size : 60), (const char *)text.data);
}

const char *interval_format(uint64_t us, char text[INTERVAL_TEXT_MAX]) {
    int u = 0;
    while (u < UNITS - 1 && (us % units[u].us != 0 || us == 0)) u++;
    uint64_t number = us / units[u].us;
    snprintf(text, INTERVAL_TEXT_MAX, "%llu %s", (unsigned long long)number, units[u].words[number == 1 ? 0 : 1]);
    return text;
}

enum plinth_status expiry_text_parse(struct arena *arena, const char *text, char **column, uint64_t *us,
                                     struct plinth_error *error) {
    const char *plus = strrchr(text, '+');
    struct slice name = plus ? slice_of(text, (size_t)(plus - text)) : slice_of_string(text);
    *us = 0;
    skip_spaces(&name);
    while (name.size && name.data[name.size - 1] == ' ') name.size--;
    if (name.size > 1 && name.data[0] == '"' && name.data[name.size - 1] == '"')
        name = slice_of(name.data + 1, name.size - 2);
    *column = name.size ? (char *)arena_copy(arena, name) : NULL;
    if (!name.size)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "'%.60s' names no column; write 'at' or 'at + 30 days'", text);
    if (!*column) return error_no_memory(error, "name");
    return plus ? interval_parse(slice_of_string(plus + 1), us, error) : PLINTH_OK;
}

/* ---- columns ---- */

struct parser {
    struct arena *arena;
    struct slice left;
    struct plinth_error *error;
};

static enum plinth_status wrong(struct parser *parser, const char *expected) {
    struct slice at = parser->left;
    skip_spaces(&at);
    if (!at.size) return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "columns: %s expected at the end", expected);
    return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "columns: %s expected at '%.*s'", expected,
                     (int)(at.size < 40 ? at.size : 40), (const char *)at.data);
}

static int is_word_byte(int c) { return isalnum(c) || c == '_' || c >= 0x80; }

/* The next word when it is `word`: then it is taken off. */
static bool take_word(struct parser *parser, const char *word) {
    struct slice rest = parser->left;
    skip_spaces(&rest);
    struct slice found = take_while(&rest, is_word_byte);
    if (found.size != strlen(word) || strncasecmp((const char *)found.data, word, found.size) != 0) return false;
    parser->left = rest;
    return true;
}

/* The two words, or none of them. */
static bool take_words(struct parser *parser, const char *first, const char *second) {
    struct slice before = parser->left;
    if (take_word(parser, first) && take_word(parser, second)) return true;
    parser->left = before;
    return false;
}

static bool take_byte(struct parser *parser, char byte) {
    skip_spaces(&parser->left);
    if (!parser->left.size || parser->left.data[0] != (uint8_t)byte) return false;
    parser->left = slice_of(parser->left.data + 1, parser->left.size - 1);
    return true;
}

static enum plinth_status no_memory(struct parser *parser) { return error_no_memory(parser->error, "columns"); }

/* Text between quotes, a doubled quote standing for one. The opening quote has been taken. */
static enum plinth_status take_quoted(struct parser *parser, char quote, const char **text) {
    char *into = arena_alloc(parser->arena, parser->left.size + 1);
    if (!into) return no_memory(parser);
    const uint8_t *at = parser->left.data, *end = at + parser->left.size;
    for (size_t size = 0; at < end; size++) {
        if (*at == (uint8_t)quote && (at + 1 == end || at[1] != (uint8_t)quote)) {
            into[size] = '\0';
            *text = into;
            parser->left = slice_of(at + 1, (size_t)(end - at - 1));
            return PLINTH_OK;
        }
        into[size] = (char)*at;
        at += *at == (uint8_t)quote ? 2 : 1;
    }
    return wrong(parser, quote == '"' ? "a name that ends with a double quote" : "a text that ends with a quote");
}

static enum plinth_status take_name(struct parser *parser, const char **name) {
    if (take_byte(parser, '"')) return take_quoted(parser, '"', name);
    struct slice rest = parser->left, word = take_while(&rest, is_word_byte);
    if (!word.size) return wrong(parser, "the name of a column");
    *name = (const char *)arena_copy(parser->arena, word);
    if (!*name) return no_memory(parser);
    parser->left = rest;
    return PLINTH_OK;
}

/* Whether the words that end a type come next. */
static bool at_end_of_type(const struct parser *parser) {
    struct parser ahead = *parser;
    return take_words(&ahead, "not", "null") || take_word(&ahead, "null") || take_words(&ahead, "primary", "key") ||
           take_words(&ahead, "partition", "by") || take_word(&ahead, "default");
}

/* A type: up to a comma or a word that ends it, outside of parentheses and angle brackets. */
static enum plinth_status take_type(struct parser *parser, const char **type) {
    skip_spaces(&parser->left);
    const uint8_t *start = parser->left.data;
    int depth = 0;
    while (parser->left.size) {
        uint8_t c = parser->left.data[0];
        bool word = is_word_byte(c);
        if (depth == 0 && (c == ',' || c == ')' || (word && at_end_of_type(parser)))) break;
        depth += (c == '(' || c == '<') - (c == ')' || c == '>');
        if (word)
            (void)take_while(&parser->left, is_word_byte);
        else
            parser->left = slice_of(parser->left.data + 1, parser->left.size - 1);
    }
    size_t size = (size_t)(parser->left.data - start);
    while (size && isspace(start[size - 1])) size--;
    if (!size) return wrong(parser, "a type");
    *type = (const char *)arena_copy(parser->arena, slice_of(start, size));
    return *type ? PLINTH_OK : no_memory(parser);
}

/* Adds a name to an array in the arena. */
static enum plinth_status add_name(struct parser *parser, const char ***names, size_t *count, const char *name) {
    if ((*count & (*count - 1)) == 0) { /* full at every power of two */
        const char **grown = arena_alloc(parser->arena, (*count ? *count * 2 : 1) * sizeof *grown);
        if (!grown) return no_memory(parser);
        if (*count) memcpy(grown, *names, *count * sizeof *grown);
        *names = grown;
    }
    (*names)[(*count)++] = name;
    return PLINTH_OK;
}

static enum plinth_status take_names(struct parser *parser, const char ***names, size_t *count) {
    enum plinth_status st;
    do {
        const char *name;
        st = take_name(parser, &name);
        if (!st) st = add_name(parser, names, count, name);
    } while (!st && take_byte(parser, ','));
    return st;
}

static enum plinth_status set_key(struct parser *parser, const struct table_text *table) {
    if (!table->key_count) return PLINTH_OK;
    return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "columns: there are two primary keys");
}

static int is_value_byte(int c) { return !isspace(c) && c != ',' && c != ')' && c != '('; }

/* A default; the types of values are known to the server. */
static enum plinth_status take_value(struct parser *parser, const char **value) {
    if (take_byte(parser, '\'')) return take_quoted(parser, '\'', value);
    struct slice rest = parser->left, word = take_while(&rest, is_value_byte);
    if (!word.size) return wrong(parser, "a default");
    *value = (const char *)arena_copy(parser->arena, word);
    if (!*value) return no_memory(parser);
    parser->left = rest;
    return PLINTH_OK;
}

static enum plinth_status take_column(struct parser *parser, struct table_text *table) {
    struct table_text_column column = {0};
    enum plinth_status st = take_name(parser, &column.name);
    if (!st) st = take_type(parser, &column.type);
    while (!st) {
        if (take_words(parser, "not", "null")) {
            column.not_null = true;
        } else if (take_words(parser, "primary", "key")) {
            st = set_key(parser, table);
            if (!st) st = add_name(parser, &table->key, &table->key_count, column.name);
        } else if (take_word(parser, "default")) {
            st = take_value(parser, &column.default_value);
        } else if (!take_word(parser, "null")) {
            break;
        }
    }
    if (st) return st;
    size_t count = table->column_count;
    if ((count & (count - 1)) == 0) {
        struct table_text_column *grown = arena_alloc(parser->arena, (count ? count * 2 : 1) * sizeof *grown);
        if (!grown) return no_memory(parser);
        if (count) memcpy(grown, table->columns, count * sizeof *grown);
        table->columns = grown;
    }
    table->columns[table->column_count++] = column;
    return PLINTH_OK;
}

static enum plinth_status take_item(struct parser *parser, struct table_text *table) {
    if (!take_words(parser, "primary", "key")) return take_column(parser, table);
    enum plinth_status st = set_key(parser, table);
    if (!st && !take_byte(parser, '(')) return wrong(parser, "'(' and the key's columns");
    if (!st) st = take_names(parser, &table->key, &table->key_count);
    if (!st && !take_byte(parser, ')')) st = wrong(parser, "')'");
    return st;
}

static enum plinth_status take_partition(struct parser *parser, struct table_text *table) {
    const char *interval;
    enum plinth_status st = take_name(parser, &table->partition_by);
    if (st) return st;
    if (!take_byte(parser, '\'')) return wrong(parser, "a partition's length, such as '1 day',");
    st = take_quoted(parser, '\'', &interval);
    return st ? st : interval_parse(slice_of_string(interval), &table->partition_us, parser->error);
}

enum plinth_status table_text_parse(struct arena *arena, const char *text, struct table_text *table,
                                    struct plinth_error *error) {
    *table = (struct table_text){0};
    struct parser parser = {arena, slice_of_string(text), error};
    bool enclosed = take_byte(&parser, '(');
    enum plinth_status st;
    do st = take_item(&parser, table);
    while (!st && take_byte(&parser, ','));
    if (!st && enclosed && !take_byte(&parser, ')')) st = wrong(&parser, "',' or ')'");
    if (!st && take_words(&parser, "partition", "by")) st = take_partition(&parser, table);
    skip_spaces(&parser.left);
    if (!st && parser.left.size) st = wrong(&parser, "a comma or the end");
    return st;
}

enum plinth_status table_text_parts(struct arena *arena, const char *text, const char ***parts, size_t *count,
                                    struct plinth_error *error) {
    *parts = NULL;
    *count = 0;
    struct parser parser = {arena, slice_of_string(text), error};
    enum plinth_status st = PLINTH_OK;
    for (const char *at = text, *begin = text, *quote = NULL; !st; at++) {
        if (*at && quote && *at == *quote)
            quote = NULL;
        else if ((*at == '\'' || *at == '"' || *at == '(') && !quote)
            quote = *at == '(' ? ")" : *at == '"' ? "\"" : "'";
        if (*at && (quote || *at != ',')) continue;
        struct slice part = slice_of(begin, (size_t)(at - begin));
        while (part.size && part.data[0] == ' ') part = slice_of(part.data + 1, part.size - 1);
        while (part.size && part.data[part.size - 1] == ' ') part.size--;
        bool quoted = part.size > 1 && part.data[0] == '"' && part.data[part.size - 1] == '"';
        if (quoted) part = slice_of(part.data + 1, part.size - 2);
        const char *copy = (const char *)arena_copy(arena, part);
        if (!part.size)
            st = wrong(&parser, "a column");
        else if (!copy)
            st = error_no_memory(error, "columns");
        else
            st = add_name(&parser, parts, count, copy);
        begin = at + 1;
        if (!*at) break;
    }
    return st;
}

enum plinth_status table_text_names(struct arena *arena, const char *text, const char ***names, size_t *count,
                                    struct plinth_error *error) {
    *names = NULL;
    *count = 0;
    struct parser parser = {arena, slice_of_string(text), error};
    enum plinth_status st = take_names(&parser, names, count);
    skip_spaces(&parser.left);
    if (!st && parser.left.size) st = wrong(&parser, "a comma or the end");
    return st;
}
