/* Predicates as SQL that predicate_parse (query/predicate_text.h) reads back: bound values get the text form of their
 * type, quoted unless they are numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "expr/literal.h"
#include "expr/predicate_private.h"

enum { FORMAT_DEPTH_MAX = 2 * PREDICATE_DEPTH_MAX };

struct formatter {
    struct buffer *into;
    const struct predicate_column *columns;
};

static bool put(const struct formatter *formatter, const char *text) {
    return buffer_append(formatter->into, text, strlen(text));
}

/* The bytes between two `quote`s, with those inside doubled. */
static bool put_quoted(const struct formatter *formatter, struct slice bytes, uint8_t quote) {
    bool ok = buffer_append_u8(formatter->into, quote);
    for (size_t i = 0; ok && i < bytes.size; i++) {
        if (bytes.data[i] == quote) ok = buffer_append_u8(formatter->into, quote);
        ok = ok && buffer_append_u8(formatter->into, bytes.data[i]);
    }
    return ok && buffer_append_u8(formatter->into, quote);
}

static bool put_hex(const struct formatter *formatter, struct slice bytes) {
    bool ok = put(formatter, "x'");
    for (size_t i = 0; ok && i < bytes.size; i++) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", bytes.data[i]);
        ok = put(formatter, digits);
    }
    return ok && put(formatter, "'");
}

/* PostgreSQL's keywords that cannot be bare column names, sorted. */
static const char *const keywords[] = {"all",
                                       "analyse",
                                       "analyze",
                                       "and",
                                       "any",
                                       "array",
                                       "as",
                                       "asc",
                                       "asymmetric",
                                       "authorization",
                                       "binary",
                                       "both",
                                       "case",
                                       "cast",
                                       "check",
                                       "collate",
                                       "collation",
                                       "column",
                                       "concurrently",
                                       "constraint",
                                       "create",
                                       "cross",
                                       "current_catalog",
                                       "current_date",
                                       "current_role",
                                       "current_schema",
                                       "current_time",
                                       "current_timestamp",
                                       "current_user",
                                       "default",
                                       "deferrable",
                                       "desc",
                                       "distinct",
                                       "do",
                                       "else",
                                       "end",
                                       "except",
                                       "false",
                                       "fetch",
                                       "for",
                                       "foreign",
                                       "freeze",
                                       "from",
                                       "full",
                                       "grant",
                                       "group",
                                       "having",
                                       "ilike",
                                       "in",
                                       "initially",
                                       "inner",
                                       "intersect",
                                       "into",
                                       "is",
                                       "isnull",
                                       "join",
                                       "lateral",
                                       "leading",
                                       "left",
                                       "like",
                                       "limit",
                                       "localtime",
                                       "localtimestamp",
                                       "natural",
                                       "not",
                                       "notnull",
                                       "null",
                                       "offset",
                                       "on",
                                       "only",
                                       "or",
                                       "order",
                                       "outer",
                                       "overlaps",
                                       "placing",
                                       "primary",
                                       "references",
                                       "returning",
                                       "right",
                                       "select",
                                       "session_user",
                                       "similar",
                                       "some",
                                       "symmetric",
                                       "table",
                                       "tablesample",
                                       "then",
                                       "to",
                                       "trailing",
                                       "true",
                                       "union",
                                       "unique",
                                       "user",
                                       "using",
                                       "variadic",
                                       "verbose",
                                       "when",
                                       "where",
                                       "window",
                                       "with"};

static int compare_keywords(const void *a, const void *b) {
    const struct slice *name = a;
    return slice_compare(*name, slice_of_string(*(const char *const *)b));
}

static bool put_name(const struct formatter *formatter, const struct predicate *node);

static bool put_column(const struct formatter *formatter, const struct predicate *node) {
    struct buffer around = BUFFER_INIT;
    enum column_function function = node->function;
    struct slice name = slice_of_string("x");
    if (!function) return put_name(formatter, node);
    /* What is around the name: "lower(x)". */
    bool ok = column_function_format(&around, function, name);
    ok = ok && buffer_append(formatter->into, around.data, around.size - 2) && put_name(formatter, node) &&
         buffer_append(formatter->into, ")", 1);
    buffer_deinit(&around);
    return ok;
}

static bool put_name(const struct formatter *formatter, const struct predicate *node) {
    struct slice name = node->column_name;
    if (!name.data && formatter->columns) name = formatter->columns[node->column].name;
    bool plain = name.size > 0 && !(name.data[0] >= '0' && name.data[0] <= '9');
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.data[i];
        plain = plain && ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_');
    }
    plain = plain && !bsearch(&name, keywords, sizeof keywords / sizeof *keywords, sizeof *keywords, compare_keywords);
    return plain ? buffer_append(formatter->into, name.data, name.size) : put_quoted(formatter, name, '"');
}

static bool put_literal(const struct formatter *formatter, const struct literal *literal) {
    char text[LITERAL_TEXT_MAX];
    switch (literal->kind) {
    case LITERAL_TEXT: return put_quoted(formatter, literal->bytes, '\'');
    case LITERAL_BYTES: return put_hex(formatter, literal->bytes);
    case LITERAL_NUMBER: return buffer_append(formatter->into, literal->bytes.data, literal->bytes.size);
    case LITERAL_FLOAT:
        if (isfinite(literal->real)) break;
        return put(formatter, "'") && put(formatter, literal_format(literal, text)) && put(formatter, "'");
    default: break;
    }
    return put(formatter, literal_format(literal, text));
}

static bool put_value(const struct formatter *formatter, const struct column *values, uint32_t row) {
    struct scalar value = scalar_at(values, row);
    uint8_t kind = values->type.kind;
    if (kind == COLUMN_BOOL) return put(formatter, value.integer ? "TRUE" : "FALSE");
    if (kind == COLUMN_STRING) return put_quoted(formatter, value.bytes, '\'');
    if (kind == COLUMN_BYTES) return put_hex(formatter, value.bytes);
    if (column_kind_is_float(kind) && kind == COLUMN_FLOAT64 && isfinite(value.real)) {
        char text[REAL_TEXT_MAX];
        real_format(value.real, text);
        return put(formatter, text);
    }
    bool bare =
        column_kind_is_integer(kind) || kind == COLUMN_DECIMAL || (column_kind_is_float(kind) && isfinite(value.real));
    if (bare) return column_format(formatter->into, values, row);
    return put(formatter, "'") && column_format(formatter->into, values, row) && put(formatter, "'");
}

/* Operand i, bound or not. */
static bool put_operand(const struct formatter *formatter, const struct predicate *node, uint32_t i) {
    if (node->value_count) return put_value(formatter, &node->values, i);
    if (node->literal_count) return put_literal(formatter, &node->literals[i]);
    return put(formatter, "NULL"); /* CONTAINS of what no list can hold */
}

static bool put_in(const struct formatter *formatter, const struct predicate *node, bool negated) {
    uint32_t count = node->value_count ? node->value_count : node->literal_count;
    bool ok = put_column(formatter, node) && put(formatter, negated ? " NOT IN (" : " IN (");
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = (i == 0 || put(formatter, ", ")) && put_operand(formatter, node, i);
    }
    if (ok && node->has_null_literal) ok = put(formatter, count ? ", NULL" : "NULL");
    return ok && put(formatter, ")");
}

static bool put_leaf(const struct formatter *formatter, const struct predicate *node, bool negated) {
    static const char *const signs[] = {
        [COMPARE_EQ] = " = ",  [COMPARE_NE] = " <> ", [COMPARE_LT] = " < ",
        [COMPARE_LE] = " <= ", [COMPARE_GT] = " > ",  [COMPARE_GE] = " >= ",
    };
    const char *sign = signs[node->kind == PREDICATE_COMPARE ? node->comparison : COMPARE_EQ];
    switch (node->kind) {
    case PREDICATE_IN: return put_in(formatter, node, negated);
    case PREDICATE_IS_NULL: return put_column(formatter, node) && put(formatter, negated ? " IS NOT NULL" : " IS NULL");
    case PREDICATE_LIKE:
        return put_column(formatter, node) && put(formatter, negated ? " NOT LIKE " : " LIKE ") &&
               put_operand(formatter, node, 0);
    case PREDICATE_PREFIX: sign = " ^@ "; break;
    case PREDICATE_WORDS: sign = " @@ "; break;
    default: break;
    }
    if (negated && !put(formatter, "NOT ")) return false;
    if (node->kind == PREDICATE_CONTAINS) {
        return put_operand(formatter, node, 0) && put(formatter, " = ANY(") && put_column(formatter, node) &&
               put(formatter, ")");
    }
    return put_column(formatter, node) && put(formatter, sign) && put_operand(formatter, node, 0);
}

static bool put_node(const struct formatter *formatter, const struct predicate *node, uint32_t depth);

static bool put_group(const struct formatter *formatter, const struct predicate *node, uint32_t depth) {
    bool is_and = node->kind == PREDICATE_AND;
    if (node->child_count == 0) return put(formatter, is_and ? "TRUE" : "FALSE");
    bool ok = true;
    for (uint32_t i = 0; ok && i < node->child_count; i++) {
        bool is_group = node->children[i]->kind == PREDICATE_AND || node->children[i]->kind == PREDICATE_OR;
        ok = (i == 0 || put(formatter, is_and ? " AND " : " OR ")) && (!is_group || put(formatter, "(")) &&
             put_node(formatter, node->children[i], depth + 1) && (!is_group || put(formatter, ")"));
    }
    return ok;
}

static bool put_node(const struct formatter *formatter, const struct predicate *node, uint32_t depth) {
    static const char *const constants[] = {"FALSE", "TRUE", "NULL"};
    if (depth > FORMAT_DEPTH_MAX) return put(formatter, "...");
    switch (node->kind) {
    case PREDICATE_CONSTANT: return put(formatter, constants[node->constant <= TRUTH_UNKNOWN ? node->constant : 2]);
    case PREDICATE_AND:
    case PREDICATE_OR: return put_group(formatter, node, depth);
    case PREDICATE_NOT: break;
    default: return put_leaf(formatter, node, false);
    }
    const struct predicate *child = node->children[0];
    bool is_leaf = child->kind >= PREDICATE_COMPARE && child->kind != PREDICATE_COMPARE;
    if (is_leaf) return put_leaf(formatter, child, true);
    return put(formatter, "NOT (") && put_node(formatter, child, depth + 1) && put(formatter, ")");
}

bool predicate_format(struct buffer *into, const struct predicate *predicate, const struct predicate_column *columns) {
    size_t size = into->size;
    bool ok = put_node(&(struct formatter){into, columns}, predicate, 1);
    if (!ok) into->size = size;
    return ok;
}
