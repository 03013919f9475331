/* The text is first read as tokens: those that can open what no filter has (SELECT, CASE, a semicolon, ...) are refused
 * by name, and the depth that the rest could give a parse tree is bounded, because libpg_query's writers and protobuf-c
 * recurse (about 2 KiB of stack a level). Only then PostgreSQL's grammar parses "SELECT 1 WHERE <text>", and the tree
 * of its WHERE clause becomes a predicate.
 *
 * The bound: every token adds at most one level to the expression that it stands in. AND, OR and commas start a new
 * expression beside the old one (the AND of a BETWEEN does not). So no level is deeper than the tokens of the open
 * expressions around it. */
#include "query/predicate_text.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/column_builder.h"

enum { TREE_DEPTH_MAX = 256, OPEN_PARENTHESES_MAX = 128, IDENTIFIER_BYTES_CUT = 60 };

static const char statement_start[] = "SELECT 1 WHERE ";
enum { START_BYTES = sizeof statement_start - 1 };

struct text_parser {
    struct slice sql; /* the whole statement, zero-terminated, in the arena */
    struct arena *arena;
    struct plinth_error *error;
};

/* ---- errors ---- */

/* The character (from 1) of the filter's text at a byte of the statement; 1 when the byte is not known. */
static size_t character_at(const struct text_parser *parser, int32_t location) {
    size_t character = 1;
    for (size_t i = START_BYTES; location > 0 && i < (size_t)location && i < parser->sql.size; i++) {
        character += (parser->sql.data[i] & 0xc0) != 0x80;
    }
    return character;
}

static enum plinth_status not_supported(const struct text_parser *parser, int32_t location, const char *what,
                                        struct slice name) {
    int shown = name.size > 64 ? 64 : (int)name.size;
    return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "%s%.*s%s at character %zu is not supported in a filter",
                     what, shown, name.size ? (const char *)name.data : "", strcmp(what, "function ") == 0 ? "()" : "",
                     character_at(parser, location));
}

static enum plinth_status no_memory(const struct text_parser *parser) {
    return error_no_memory(parser->error, "parsing a filter");
}

/* PostgreSQL's message, with its position in the statement turned into one in the text. */
static enum plinth_status syntax_error(const struct text_parser *parser, const PgQueryError *problem) {
    int character = problem->cursorpos - START_BYTES;
    return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the filter is not valid: %s (character %d)",
                     problem->message ? problem->message : "syntax error", character < 1 ? 1 : character);
}

/* ---- tokens ---- */

struct nesting {
    uint32_t tokens[OPEN_PARENTHESES_MAX + 1]; /* of the current expression, by level */
    uint32_t open_betweens[OPEN_PARENTHESES_MAX + 1];
    uint32_t level;
    uint32_t sum;
};

static void nesting_restart(struct nesting *nesting) {
    nesting->sum -= nesting->tokens[nesting->level];
    nesting->tokens[nesting->level] = 0;
}

static enum plinth_status nesting_add(struct nesting *nesting, const PgQuery__ScanToken *token,
                                      const struct text_parser *parser) {
    switch ((int)token->token) {
    case PG_QUERY__TOKEN__BETWEEN: nesting->open_betweens[nesting->level]++; break;
    case PG_QUERY__TOKEN__AND:
        if (nesting->open_betweens[nesting->level] == 0) {
            nesting_restart(nesting);
        } else {
            nesting->open_betweens[nesting->level]--;
        }
        break;
    case PG_QUERY__TOKEN__OR:
    case PG_QUERY__TOKEN__ASCII_44: /* , */
        nesting_restart(nesting);
        nesting->open_betweens[nesting->level] = 0;
        break;
    case PG_QUERY__TOKEN__ASCII_41: /* ) */
    case PG_QUERY__TOKEN__ASCII_93: /* ] */
        if (nesting->level == 0) {
            return error_set(parser->error, PLINTH_INVALID_ARGUMENT,
                             "the filter closes a bracket at character %zu "
                             "that it never opened",
                             character_at(parser, token->start));
        }
        nesting_restart(nesting);
        nesting->level--;
        break;
    default: break;
    }
    nesting->tokens[nesting->level]++;
    nesting->sum++;
    bool opens = token->token == PG_QUERY__TOKEN__ASCII_40 || token->token == PG_QUERY__TOKEN__ASCII_91;
    if (nesting->sum > TREE_DEPTH_MAX || (opens && nesting->level == OPEN_PARENTHESES_MAX)) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the filter is nested too deeply at character %zu",
                         character_at(parser, token->start));
    }
    if (opens) {
        nesting->level++;
        nesting->tokens[nesting->level] = nesting->open_betweens[nesting->level] = 0;
    }
    return PLINTH_OK;
}

/* Whether a keyword that can be no column's name may stand in a filter. */
static bool is_known_keyword(PgQuery__Token token) {
    switch ((int)token) {
    case PG_QUERY__TOKEN__AND:
    case PG_QUERY__TOKEN__OR:
    case PG_QUERY__TOKEN__NOT:
    case PG_QUERY__TOKEN__IN_P:
    case PG_QUERY__TOKEN__IS:
    case PG_QUERY__TOKEN__ISNULL:
    case PG_QUERY__TOKEN__NOTNULL:
    case PG_QUERY__TOKEN__LIKE:
    case PG_QUERY__TOKEN__NULL_P:
    case PG_QUERY__TOKEN__TRUE_P:
    case PG_QUERY__TOKEN__FALSE_P:
    case PG_QUERY__TOKEN__ANY:
    case PG_QUERY__TOKEN__CAST:
    case PG_QUERY__TOKEN__AS:
    case PG_QUERY__TOKEN__WITH: return true; /* TIMESTAMP WITH TIME ZONE */
    default: return false;
    }
}

static enum plinth_status check_token(const struct text_parser *parser, const PgQuery__ScanToken *token,
                                      struct nesting *nesting) {
    struct slice text = slice_of(parser->sql.data + token->start, (size_t)(token->end - token->start));
    bool can_be_name = token->keyword_kind != PG_QUERY__KEYWORD_KIND__RESERVED_KEYWORD &&
                       token->keyword_kind != PG_QUERY__KEYWORD_KIND__TYPE_FUNC_NAME_KEYWORD;
    if (token->token == PG_QUERY__TOKEN__ASCII_59) {
        return not_supported(parser, token->start, "a second statement behind ;", slice_of(NULL, 0));
    }
    if (token->token == PG_QUERY__TOKEN__PARAM) return not_supported(parser, token->start, "parameter ", text);
    if (!can_be_name && !is_known_keyword(token->token)) return not_supported(parser, token->start, "", text);
    return nesting_add(nesting, token, parser);
}

static enum plinth_status check_tokens(const struct text_parser *parser) {
    PgQueryScanResult scanned = pg_query_scan((const char *)parser->sql.data);
    PgQuery__ScanResult *tokens = NULL;
    enum plinth_status st = PLINTH_OK;
    struct nesting nesting = {0};
    size_t seen = 0;
    if (scanned.error) {
        st = syntax_error(parser, scanned.error);
        goto done;
    }
    tokens = pg_query__scan_result__unpack(NULL, scanned.pbuf.len, (const uint8_t *)scanned.pbuf.data);
    if (!tokens) {
        st = no_memory(parser);
        goto done;
    }
    for (size_t i = 0; i < tokens->n_tokens && !st; i++) {
        const PgQuery__ScanToken *token = tokens->tokens[i];
        bool is_comment = token->token == PG_QUERY__TOKEN__SQL_COMMENT || token->token == PG_QUERY__TOKEN__C_COMMENT;
        if (token->start < START_BYTES || is_comment) continue;
        st = check_token(parser, token, &nesting);
        seen++;
    }
    if (!st && !seen) st = error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the filter is empty");
done:
    if (tokens) pg_query__scan_result__free_unpacked(tokens, NULL);
    pg_query_free_scan_result(scanned);
    return st;
}

/* ---- naming what is not supported ---- */

static const char *string_of(const PgQuery__Node *node) {
    return node && node->node_case == PG_QUERY__NODE__NODE_STRING && node->string->sval ? node->string->sval : "";
}

static bool is_node(const PgQuery__Node *node, PgQuery__Node__NodeCase node_case) {
    return node && node->node_case == node_case;
}

static const char *operator_of(const PgQuery__AExpr *expression) {
    return expression->n_name ? string_of(expression->name[expression->n_name - 1]) : "";
}

static const char *function_of(const PgQuery__FuncCall *call) {
    return call->n_funcname ? string_of(call->funcname[call->n_funcname - 1]) : "";
}

static int32_t location_of(const PgQuery__Node *node) {
    if (!node) return 0;
    switch ((int)node->node_case) {
    case PG_QUERY__NODE__NODE_A_CONST: return node->a_const->location;
    case PG_QUERY__NODE__NODE_A_EXPR: return node->a_expr->location;
    case PG_QUERY__NODE__NODE_BOOL_EXPR: return node->bool_expr->location;
    case PG_QUERY__NODE__NODE_COLUMN_REF: return node->column_ref->location;
    case PG_QUERY__NODE__NODE_FUNC_CALL: return node->func_call->location;
    case PG_QUERY__NODE__NODE_NULL_TEST: return node->null_test->location;
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST: return node->boolean_test->location;
    case PG_QUERY__NODE__NODE_TYPE_CAST: return location_of(node->type_cast->arg);
    default: return 0;
    }
}

static enum plinth_status node_not_supported(const struct text_parser *parser, const PgQuery__Node *node) {
    int32_t location = location_of(node);
    struct slice nothing = slice_of(NULL, 0);
    switch (node ? (int)node->node_case : 0) {
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return not_supported(parser, location, "function ", slice_of_string(function_of(node->func_call)));
    case PG_QUERY__NODE__NODE_A_EXPR:
        return not_supported(parser, location, "operator ", slice_of_string(operator_of(node->a_expr)));
    case PG_QUERY__NODE__NODE_COLUMN_REF: return not_supported(parser, location, "a column", nothing);
    case PG_QUERY__NODE__NODE_A_CONST: return not_supported(parser, location, "a value", nothing);
    case PG_QUERY__NODE__NODE_TYPE_CAST: return not_supported(parser, location, "a cast", nothing);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return not_supported(parser, location, "a condition as an operand", nothing);
    default: return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "an expression of the filter is not supported");
    }
}

/* ---- columns ---- */

/* The identifier as it was written: PostgreSQL cuts names at 63 bytes, Plinth does not. */
static struct slice whole_identifier(const struct text_parser *parser, size_t at, uint8_t *into) {
    const uint8_t *sql = parser->sql.data;
    size_t size = 0;
    if (sql[at] == '"') {
        for (at++; at < parser->sql.size; at++) {
            if (sql[at] == '"' && sql[++at] != '"') break;
            into[size++] = sql[at];
        }
        return slice_of(into, size);
    }
    for (; at < parser->sql.size; at++) {
        uint8_t byte = sql[at];
        bool is_upper = byte >= 'A' && byte <= 'Z';
        bool inside = is_upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' ||
                      byte == '$' || byte >= 0x80;
        if (!inside) break;
        into[size++] = is_upper ? (uint8_t)(byte + 32) : byte;
    }
    return slice_of(into, size);
}

static enum plinth_status column_name(const struct text_parser *parser, const PgQuery__Node *node, struct slice *name);

/* lower(name), upper(name), date_trunc('unit', name), as predicate_bind knows them. */
static enum plinth_status function_name(const struct text_parser *parser, const PgQuery__Node *node,
                                        struct slice *name) {
    const PgQuery__FuncCall *call = node->func_call;
    const char *function = function_of(call);
    enum column_function which = strcmp(function, "lower") == 0   ? FUNCTION_LOWER
                                 : strcmp(function, "upper") == 0 ? FUNCTION_UPPER
                                                                  : FUNCTION_NONE;
    bool truncates = strcmp(function, "date_trunc") == 0;
    if (truncates && call->n_args == 2 && is_node(call->args[0], PG_QUERY__NODE__NODE_A_CONST) &&
        call->args[0]->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL)
        which = column_function_of_unit(slice_of_string(call->args[0]->a_const->sval->sval));
    if (!which || call->n_args != (truncates ? 2u : 1u)) return node_not_supported(parser, node);
    struct slice column;
    struct buffer text = BUFFER_INIT;
    enum plinth_status st = column_name(parser, call->args[truncates], &column);
    if (!st && !column_function_format(&text, which, column)) st = no_memory(parser);
    const uint8_t *copy = st ? NULL : arena_copy(parser->arena, buffer_slice(&text));
    if (!st && !copy) st = no_memory(parser);
    if (!st) *name = slice_of(copy, text.size);
    buffer_deinit(&text);
    return st;
}

static enum plinth_status column_name(const struct text_parser *parser, const PgQuery__Node *node, struct slice *name) {
    if (is_node(node, PG_QUERY__NODE__NODE_FUNC_CALL)) return function_name(parser, node, name);
    if (!is_node(node, PG_QUERY__NODE__NODE_COLUMN_REF)) return node_not_supported(parser, node);
    const PgQuery__ColumnRef *column = node->column_ref;
    if (column->n_fields != 1 || !is_node(column->fields[0], PG_QUERY__NODE__NODE_STRING)) {
        return not_supported(parser, column->location, "a qualified name or *", slice_of(NULL, 0));
    }
    *name = slice_of_string(string_of(column->fields[0]));
    bool is_cut = name->size >= IDENTIFIER_BYTES_CUT;
    uint8_t *copy = arena_alloc(parser->arena, is_cut ? parser->sql.size : name->size + 1);
    if (!copy) return no_memory(parser);
    if (is_cut && parser->sql.data[column->location + 1] != '&') { /* U&"..." stays cut */
        *name = whole_identifier(parser, (size_t)column->location, copy);
        return PLINTH_OK;
    }
    memcpy(copy, name->data, name->size);
    *name = slice_of(copy, name->size);
    return PLINTH_OK;
}

/* ---- literals ---- */

static enum plinth_status copy_bytes(const struct text_parser *parser, struct slice bytes, struct literal *literal) {
    const uint8_t *copy = arena_copy(parser->arena, bytes);
    literal->bytes = slice_of(copy, bytes.size);
    return copy ? PLINTH_OK : no_memory(parser);
}

/* Integers that fit 64 bits are such; every other number keeps its text. */
static enum plinth_status number_literal(const struct text_parser *parser, const char *text, struct literal *literal) {
    bool negative = text[0] == '-';
    const char *digits = text + negative;
    uint64_t value = 0;
    bool fits = *digits != 0;
    for (; fits && *digits; digits++) {
        fits = *digits >= '0' && *digits <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*digits - '0'), &value);
    }
    if (fits && value <= (uint64_t)INT64_MAX + negative) {
        literal->kind = LITERAL_INT;
        literal->integer = negative ? (int64_t)-value : (int64_t)value;
        return PLINTH_OK;
    }
    if (fits && !negative) {
        literal->kind = LITERAL_UINT;
        literal->unsigned_integer = value;
        return PLINTH_OK;
    }
    literal->kind = LITERAL_NUMBER;
    return copy_bytes(parser, slice_of_string(text), literal);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* "x0aff": whole bytes only. */
static enum plinth_status bit_string_literal(const struct text_parser *parser, const PgQuery__AConst *constant,
                                             struct literal *literal) {
    const char *text = constant->bsval->bsval ? constant->bsval->bsval : "";
    size_t digits = text[0] ? strlen(text + 1) : 0;
    if (text[0] != 'x') return not_supported(parser, constant->location, "a bit string", slice_of(NULL, 0));
    uint8_t *bytes = arena_alloc(parser->arena, digits / 2 + 1);
    if (!bytes) return no_memory(parser);
    bool ok = digits % 2 == 0;
    for (size_t i = 0; ok && i < digits; i += 2) {
        int high = hex_digit(text[1 + i]), low = hex_digit(text[2 + i]);
        ok = high >= 0 && low >= 0;
        bytes[i / 2] = (uint8_t)(ok ? high * 16 + low : 0);
    }
    if (!ok) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT,
                         "the bytes at character %zu are not pairs of hexadecimal digits",
                         character_at(parser, constant->location));
    }
    literal->kind = LITERAL_BYTES;
    literal->bytes = slice_of(bytes, digits / 2);
    return PLINTH_OK;
}

static enum plinth_status constant_literal(const struct text_parser *parser, const PgQuery__AConst *constant,
                                           struct literal *literal) {
    *literal = (struct literal){.kind = LITERAL_NULL};
    if (constant->isnull) return PLINTH_OK;
    switch ((int)constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL:
        literal->kind = LITERAL_INT;
        literal->integer = constant->ival->ival;
        return PLINTH_OK;
    case PG_QUERY__A__CONST__VAL_FVAL:
        return number_literal(parser, constant->fval->fval ? constant->fval->fval : "", literal);
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
        literal->kind = LITERAL_BOOL;
        literal->boolean = constant->boolval->boolval;
        return PLINTH_OK;
    case PG_QUERY__A__CONST__VAL_SVAL:
        literal->kind = LITERAL_TEXT;
        return copy_bytes(parser, slice_of_string(constant->sval->sval ? constant->sval->sval : ""), literal);
    case PG_QUERY__A__CONST__VAL_BSVAL: return bit_string_literal(parser, constant, literal);
    default: return not_supported(parser, constant->location, "a value", slice_of(NULL, 0));
    }
}

static enum plinth_status negate_literal(const struct text_parser *parser, const PgQuery__Node *node,
                                         struct literal *literal) {
    char text[32];
    switch (literal->kind) {
    case LITERAL_NULL: return PLINTH_OK;
    case LITERAL_FLOAT: literal->real = -literal->real; return PLINTH_OK;
    case LITERAL_INT:
        snprintf(text, sizeof text, "%s%llu", literal->integer > 0 ? "-" : "",
                 literal->integer > 0 ? (unsigned long long)literal->integer
                                      : 0 - (unsigned long long)literal->integer);
        return number_literal(parser, text, literal);
    case LITERAL_UINT:
        snprintf(text, sizeof text, "-%llu", (unsigned long long)literal->unsigned_integer);
        return number_literal(parser, text, literal);
    case LITERAL_NUMBER:
        if (literal->bytes.data[0] == '-') {
            literal->bytes = slice_of(literal->bytes.data + 1, literal->bytes.size - 1);
            return PLINTH_OK;
        }
        uint8_t *copy = arena_alloc(parser->arena, literal->bytes.size + 1);
        if (!copy) return no_memory(parser);
        copy[0] = '-';
        memcpy(copy + 1, literal->bytes.data, literal->bytes.size);
        literal->bytes = slice_of(copy, literal->bytes.size + 1);
        return PLINTH_OK;
    default: return node_not_supported(parser, node);
    }
}

/* ---- typed literals ---- */

/* Plinth's name of a type, or PostgreSQL's (which its grammar also puts for INT, VARCHAR and so on); kind 0: none. */
static struct column_type type_named(const char *name, bool is_postgres) {
    static const struct {
        const char *name;
        struct column_type type;
    } types[] = {
        {"bool", {.kind = COLUMN_BOOL}},
        {"int2", {.kind = COLUMN_INT16}},
        {"int4", {.kind = COLUMN_INT32}},
        {"int8", {.kind = COLUMN_INT64}},
        {"float4", {.kind = COLUMN_FLOAT32}},
        {"float8", {.kind = COLUMN_FLOAT64}},
        {"varchar", {.kind = COLUMN_STRING}},
        {"text", {.kind = COLUMN_STRING}},
        {"bytea", {.kind = COLUMN_BYTES}},
        {"numeric", {.kind = COLUMN_DECIMAL, .precision = DECIMAL_PRECISION_MAX}},
        {"decimal", {.kind = COLUMN_DECIMAL, .precision = DECIMAL_PRECISION_MAX}},
        {"timestamp", {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO}},
        {"timestamptz", {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true}},
    };
    struct column_type type = {0};
    if (!is_postgres && column_type_parse(slice_of_string(name), &type, NULL) == PLINTH_OK) return type;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) return types[i].type;
    }
    return (struct column_type){0};
}

static struct slice number_text(const struct literal *literal, char text[32]) {
    if (literal->kind == LITERAL_INT) {
        snprintf(text, 32, "%lld", (long long)literal->integer);
    } else if (literal->kind == LITERAL_UINT) {
        snprintf(text, 32, "%llu", (unsigned long long)literal->unsigned_integer);
    } else {
        return literal->bytes;
    }
    return slice_of_string(text);
}

/* The literal as the value of an integer, float, bool or bytes type that its text stands for. */
static enum plinth_status take_value(const struct text_parser *parser, const struct column *value,
                                     struct literal *literal) {
    uint8_t kind = value->type.kind;
    if (kind == COLUMN_BOOL) {
        *literal = (struct literal){.kind = LITERAL_BOOL, .boolean = bitmap_get(value->values, 0)};
    } else if (kind == COLUMN_FLOAT64) {
        *literal = (struct literal){.kind = LITERAL_FLOAT};
        memcpy(&literal->real, value->values, sizeof literal->real);
    } else if (kind == COLUMN_FLOAT32) {
        float real;
        memcpy(&real, value->values, sizeof real);
        *literal = (struct literal){.kind = LITERAL_FLOAT, .real = (double)real};
    } else if (kind == COLUMN_BYTES) {
        literal->kind = LITERAL_BYTES;
        return copy_bytes(parser, column_bytes_at(value, 0), literal);
    }
    return PLINTH_OK;
}

/* Checks the text against the type. Integers, strings, decimals, dates and times stay as they are: binding knows the
 * column's type and compares exactly. */
static enum plinth_status cast_literal(const struct text_parser *parser, const PgQuery__TypeCast *cast,
                                       struct column_type type, struct literal *literal) {
    char text[32], type_text[COLUMN_TYPE_TEXT_MAX];
    int32_t location = location_of(cast->arg);
    bool is_number = literal->kind == LITERAL_INT || literal->kind == LITERAL_UINT || literal->kind == LITERAL_NUMBER;
    bool takes_number = column_kind_is_integer(type.kind) || column_kind_is_float(type.kind);
    bool is_same = (type.kind == COLUMN_BOOL && literal->kind == LITERAL_BOOL) ||
                   (type.kind == COLUMN_BYTES && literal->kind == LITERAL_BYTES) ||
                   (type.kind == COLUMN_STRING && literal->kind == LITERAL_TEXT) ||
                   (type.kind == COLUMN_DECIMAL && is_number);
    if (literal->kind == LITERAL_NULL || is_same) return PLINTH_OK;
    if (literal->kind != LITERAL_TEXT && !(is_number && takes_number)) {
        return not_supported(parser, location, "this cast", slice_of(NULL, 0));
    }
    if (type.kind == COLUMN_TIMESTAMP || type.kind == COLUMN_DECIMAL) return PLINTH_OK;
    struct column_builder builder;
    if (!column_builder_init(&builder, type)) return no_memory(parser);
    enum plinth_status st = column_builder_text(&builder, number_text(literal, text), NULL);
    if (st == PLINTH_OUT_OF_MEMORY) {
        st = no_memory(parser);
    } else if (st) {
        st = error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the value at character %zu is not a valid %s",
                       character_at(parser, location), column_type_format(type, type_text));
    } else {
        struct column value = column_builder_view(&builder);
        st = take_value(parser, &value, literal);
    }
    column_builder_deinit(&builder);
    return st;
}

static enum plinth_status literal_of(const struct text_parser *parser, const PgQuery__Node *node,
                                     struct literal *literal);

static enum plinth_status typed_literal(const struct text_parser *parser, const PgQuery__TypeCast *cast,
                                        struct literal *literal) {
    enum plinth_status st = literal_of(parser, cast->arg, literal);
    if (st) return st;
    const PgQuery__TypeName *name = cast->type_name;
    const char *last = name && name->n_names ? string_of(name->names[name->n_names - 1]) : "";
    bool is_postgres = name && name->n_names == 2 && strcmp(string_of(name->names[0]), "pg_catalog") == 0;
    struct column_type type = {0};
    if (name && (name->n_names == 1 || is_postgres) && !name->n_typmods && !name->n_array_bounds && !name->setof) {
        type = type_named(last, is_postgres);
    }
    if (!type.kind || type.kind == COLUMN_LIST) {
        return not_supported(parser, location_of(cast->arg), "a value of type ", slice_of_string(last));
    }
    return cast_literal(parser, cast, type, literal);
}

static bool is_signed(const PgQuery__Node *node) {
    if (!is_node(node, PG_QUERY__NODE__NODE_A_EXPR)) return false;
    const PgQuery__AExpr *expression = node->a_expr;
    const char *sign = operator_of(expression);
    return expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && !expression->lexpr &&
           (strcmp(sign, "-") == 0 || strcmp(sign, "+") == 0);
}

static bool is_literal(const PgQuery__Node *node) {
    return is_node(node, PG_QUERY__NODE__NODE_A_CONST) || is_node(node, PG_QUERY__NODE__NODE_TYPE_CAST) ||
           is_signed(node);
}

static enum plinth_status literal_of(const struct text_parser *parser, const PgQuery__Node *node,
                                     struct literal *literal) {
    if (is_node(node, PG_QUERY__NODE__NODE_A_CONST)) return constant_literal(parser, node->a_const, literal);
    if (is_node(node, PG_QUERY__NODE__NODE_TYPE_CAST)) return typed_literal(parser, node->type_cast, literal);
    if (!is_signed(node)) return node_not_supported(parser, node);
    enum plinth_status st = literal_of(parser, node->a_expr->rexpr, literal);
    if (st) return st;
    bool is_number = literal->kind != LITERAL_TEXT && literal->kind != LITERAL_BYTES && literal->kind != LITERAL_BOOL;
    if (!is_number) return node_not_supported(parser, node);
    return operator_of(node->a_expr)[0] == '-' ? negate_literal(parser, node, literal) : PLINTH_OK;
}

/* ---- conditions ---- */

static struct predicate *node_create(const struct text_parser *parser, enum predicate_kind kind) {
    struct predicate *node = arena_zalloc(parser->arena, sizeof *node);
    if (node) node->kind = kind;
    return node;
}

/* A condition `kind` of a column with `count` literals, still to be filled in. */
static enum plinth_status leaf_create(const struct text_parser *parser, enum predicate_kind kind,
                                      const PgQuery__Node *column, uint32_t count, struct predicate **leaf,
                                      struct literal **literals) {
    *literals = NULL;
    *leaf = node_create(parser, kind);
    if (!*leaf) return no_memory(parser);
    enum plinth_status st = column_name(parser, column, &(*leaf)->column_name);
    if (st) return st;
    *literals = arena_zalloc(parser->arena, (size_t)count * sizeof **literals);
    if (!*literals) return no_memory(parser);
    (*leaf)->literals = *literals;
    (*leaf)->literal_count = count;
    return PLINTH_OK;
}

static enum plinth_status leaf_of(const struct text_parser *parser, enum predicate_kind kind,
                                  enum predicate_comparison comparison, const PgQuery__Node *column,
                                  const PgQuery__Node *literal, const struct predicate **predicate) {
    struct predicate *leaf;
    struct literal *literals;
    enum plinth_status st = leaf_create(parser, kind, column, 1, &leaf, &literals);
    if (st) return st;
    leaf->comparison = comparison;
    *predicate = leaf;
    return literal_of(parser, literal, literals);
}

static enum plinth_status group_of(const struct text_parser *parser, enum predicate_kind kind,
                                   const struct predicate *first, const struct predicate *second,
                                   const struct predicate **predicate) {
    struct predicate *node = node_create(parser, kind);
    const struct predicate **children = arena_alloc(parser->arena, 2 * sizeof *children);
    if (!node || !children) return no_memory(parser);
    children[0] = first;
    children[1] = second;
    node->children = children;
    node->child_count = second ? 2 : 1;
    *predicate = node;
    return PLINTH_OK;
}

static enum plinth_status negation_of(const struct text_parser *parser, const struct predicate **predicate) {
    return group_of(parser, PREDICATE_NOT, *predicate, NULL, predicate);
}

static enum plinth_status null_test(const struct text_parser *parser, const PgQuery__Node *column, bool is_null,
                                    const struct predicate **predicate) {
    struct predicate *leaf;
    struct literal *none;
    enum plinth_status st = leaf_create(parser, PREDICATE_IS_NULL, column, 0, &leaf, &none);
    if (st) return st;
    *predicate = leaf;
    return is_null ? PLINTH_OK : negation_of(parser, predicate);
}

/* column = truth, of a bare boolean column. */
static enum plinth_status bool_column(const struct text_parser *parser, const PgQuery__Node *column, bool truth,
                                      const struct predicate **predicate) {
    struct predicate *leaf;
    struct literal *literal;
    enum plinth_status st = leaf_create(parser, PREDICATE_COMPARE, column, 1, &leaf, &literal);
    if (st) return st;
    leaf->comparison = COMPARE_EQ;
    *literal = (struct literal){.kind = LITERAL_BOOL, .boolean = truth};
    *predicate = leaf;
    return PLINTH_OK;
}

/* flag IS TRUE is (flag = TRUE AND flag IS NOT NULL), which is false for null. */
static enum plinth_status boolean_test(const struct text_parser *parser, const PgQuery__BooleanTest *test,
                                       const struct predicate **predicate) {
    bool truth = test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_TRUE ||
                 test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE;
    bool negated = test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE ||
                   test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE;
    const struct predicate *equal, *known;
    if (!is_node(test->arg, PG_QUERY__NODE__NODE_COLUMN_REF)) {
        return not_supported(parser, test->location, "IS TRUE, FALSE or UNKNOWN of an expression", slice_of(NULL, 0));
    }
    if (test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN ||
        test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN) {
        return null_test(parser, test->arg, test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN, predicate);
    }
    enum plinth_status st = bool_column(parser, test->arg, truth, &equal);
    if (!st) st = null_test(parser, test->arg, false, &known);
    if (!st) st = group_of(parser, PREDICATE_AND, equal, known, predicate);
    return st || !negated ? st : negation_of(parser, predicate);
}

static enum predicate_comparison comparison_of(const char *sign, bool flipped) {
    static const struct {
        const char *sign;
        enum predicate_comparison comparison, flipped;
    } signs[] = {
        {"=", COMPARE_EQ, COMPARE_EQ},  {"<>", COMPARE_NE, COMPARE_NE}, {"<", COMPARE_LT, COMPARE_GT},
        {"<=", COMPARE_LE, COMPARE_GE}, {">", COMPARE_GT, COMPARE_LT},  {">=", COMPARE_GE, COMPARE_LE},
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (strcmp(signs[i].sign, sign) == 0) return flipped ? signs[i].flipped : signs[i].comparison;
    }
    return 0;
}

static enum plinth_status operator_condition(const struct text_parser *parser, const PgQuery__Node *node,
                                             const struct predicate **predicate) {
    const PgQuery__AExpr *expression = node->a_expr;
    const char *sign = operator_of(expression);
    bool flipped = is_literal(expression->lexpr);
    const PgQuery__Node *column = flipped ? expression->rexpr : expression->lexpr;
    const PgQuery__Node *literal = flipped ? expression->lexpr : expression->rexpr;
    if (!expression->lexpr || !expression->rexpr || expression->n_name != 1) return node_not_supported(parser, node);
    if (strcmp(sign, "^@") == 0 && !flipped) {
        return leaf_of(parser, PREDICATE_PREFIX, 0, column, literal, predicate);
    }
    if (strcmp(sign, "@@") == 0 && !flipped) return leaf_of(parser, PREDICATE_WORDS, 0, column, literal, predicate);
    enum predicate_comparison comparison = comparison_of(sign, flipped);
    if (!comparison) return node_not_supported(parser, node);
    if (is_literal(column) ||
        (is_node(column, PG_QUERY__NODE__NODE_COLUMN_REF) && is_node(literal, PG_QUERY__NODE__NODE_COLUMN_REF))) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT,
                         "the comparison at character %zu must be of a column with a literal",
                         character_at(parser, expression->location));
    }
    return leaf_of(parser, PREDICATE_COMPARE, comparison, column, literal, predicate);
}

static enum plinth_status in_condition(const struct text_parser *parser, const PgQuery__AExpr *expression,
                                       const struct predicate **predicate) {
    struct predicate *leaf;
    struct literal *literals;
    if (!is_node(expression->rexpr, PG_QUERY__NODE__NODE_LIST)) return node_not_supported(parser, expression->rexpr);
    const PgQuery__List *list = expression->rexpr->list;
    if (list->n_items > PREDICATE_LITERALS_MAX) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the IN at character %zu has more than %d values",
                         character_at(parser, expression->location), PREDICATE_LITERALS_MAX);
    }
    enum plinth_status st =
        leaf_create(parser, PREDICATE_IN, expression->lexpr, (uint32_t)list->n_items, &leaf, &literals);
    for (size_t i = 0; !st && i < list->n_items; i++) st = literal_of(parser, list->items[i], &literals[i]);
    *predicate = leaf;
    return !st && strcmp(operator_of(expression), "<>") == 0 ? negation_of(parser, predicate) : st;
}

static enum plinth_status between_condition(const struct text_parser *parser, const PgQuery__AExpr *expression,
                                            const struct predicate **predicate) {
    const struct predicate *low, *high;
    if (!is_node(expression->rexpr, PG_QUERY__NODE__NODE_LIST) || expression->rexpr->list->n_items != 2) {
        return node_not_supported(parser, expression->rexpr);
    }
    PgQuery__Node **ends = expression->rexpr->list->items;
    enum plinth_status st = leaf_of(parser, PREDICATE_COMPARE, COMPARE_GE, expression->lexpr, ends[0], &low);
    if (!st) st = leaf_of(parser, PREDICATE_COMPARE, COMPARE_LE, expression->lexpr, ends[1], &high);
    if (!st) st = group_of(parser, PREDICATE_AND, low, high, predicate);
    if (st || expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) return st;
    return negation_of(parser, predicate);
}

/* The pattern with backslash as its escape character instead of `escape` (null: none). */
static enum plinth_status use_backslash(const struct text_parser *parser, struct slice escape, struct slice *pattern) {
    uint8_t *bytes = arena_alloc(parser->arena, pattern->size * 2 + 1);
    if (!bytes) return no_memory(parser);
    size_t size = 0;
    for (size_t i = 0; i < pattern->size;) {
        struct slice rest = slice_of(pattern->data + i, pattern->size - i);
        if (escape.size && slice_starts_with(rest, escape)) {
            bytes[size++] = '\\';
            i += escape.size;
            if (i == pattern->size) break; /* binding finds the lone escape */
            bytes[size++] = pattern->data[i++];
            continue;
        }
        if (rest.data[0] == '\\') bytes[size++] = '\\';
        bytes[size++] = pattern->data[i++];
    }
    *pattern = slice_of(bytes, size);
    return PLINTH_OK;
}

static bool is_one_character(struct slice text) {
    size_t characters = 0;
    for (size_t i = 0; i < text.size; i++) characters += (text.data[i] & 0xc0) != 0x80;
    return characters <= 1;
}

static enum plinth_status like_pattern(const struct text_parser *parser, const PgQuery__Node *node,
                                       struct literal *pattern) {
    if (!is_node(node, PG_QUERY__NODE__NODE_FUNC_CALL)) return literal_of(parser, node, pattern);
    const PgQuery__FuncCall *call = node->func_call;
    struct literal escape;
    if (strcmp(function_of(call), "like_escape") != 0 || call->n_args != 2) return node_not_supported(parser, node);
    enum plinth_status st = literal_of(parser, call->args[0], pattern);
    if (!st) st = literal_of(parser, call->args[1], &escape);
    if (st) return st;
    if (escape.kind != LITERAL_TEXT || pattern->kind != LITERAL_TEXT || !is_one_character(escape.bytes)) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT,
                         "the ESCAPE at character %zu is not one character in quotes",
                         character_at(parser, location_of(call->args[1])));
    }
    return use_backslash(parser, escape.bytes, &pattern->bytes);
}

static enum plinth_status like_condition(const struct text_parser *parser, const PgQuery__AExpr *expression,
                                         const struct predicate **predicate) {
    struct predicate *leaf;
    struct literal *pattern;
    enum plinth_status st = leaf_create(parser, PREDICATE_LIKE, expression->lexpr, 1, &leaf, &pattern);
    if (!st) st = like_pattern(parser, expression->rexpr, pattern);
    if (st) return st;
    *predicate = leaf;
    return operator_of(expression)[0] == '!' ? negation_of(parser, predicate) : PLINTH_OK;
}

static enum plinth_status expression_condition(const struct text_parser *parser, const PgQuery__Node *node,
                                               const struct predicate **predicate) {
    const PgQuery__AExpr *expression = node->a_expr;
    switch ((int)expression->kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP: return operator_condition(parser, node, predicate);
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN: return in_condition(parser, expression, predicate);
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN: return between_condition(parser, expression, predicate);
    case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE: return like_condition(parser, expression, predicate);
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
        if (strcmp(operator_of(expression), "=") != 0) return node_not_supported(parser, node);
        return leaf_of(parser, PREDICATE_CONTAINS, 0, expression->rexpr, expression->lexpr, predicate);
    default: return node_not_supported(parser, node);
    }
}

static enum plinth_status condition(const struct text_parser *parser, const PgQuery__Node *node, uint32_t depth,
                                    const struct predicate **predicate);

static enum plinth_status boolean_condition(const struct text_parser *parser, const PgQuery__BoolExpr *expression,
                                            uint32_t depth, const struct predicate **predicate) {
    enum predicate_kind kind = expression->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR  ? PREDICATE_AND
                               : expression->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ? PREDICATE_OR
                                                                                         : PREDICATE_NOT;
    struct predicate *group = node_create(parser, kind);
    const struct predicate **children = arena_zalloc(parser->arena, expression->n_args * sizeof *children);
    if (!group || !children) return no_memory(parser);
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < expression->n_args; i++) {
        st = condition(parser, expression->args[i], depth + 1, &children[i]);
    }
    group->children = children;
    group->child_count = (uint32_t)expression->n_args;
    *predicate = group;
    return st;
}

static enum plinth_status constant_condition(const struct text_parser *parser, const PgQuery__Node *node,
                                             const struct predicate **predicate) {
    struct literal literal;
    enum plinth_status st = constant_literal(parser, node->a_const, &literal);
    if (st) return st;
    if (literal.kind != LITERAL_NULL && literal.kind != LITERAL_BOOL) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT,
                         "the value at character %zu of the filter is not a condition",
                         character_at(parser, node->a_const->location));
    }
    struct predicate *constant = node_create(parser, PREDICATE_CONSTANT);
    if (!constant) return no_memory(parser);
    constant->constant = literal.kind == LITERAL_NULL ? TRUTH_UNKNOWN : literal.boolean ? TRUTH_TRUE : TRUTH_FALSE;
    *predicate = constant;
    return PLINTH_OK;
}

static enum plinth_status condition(const struct text_parser *parser, const PgQuery__Node *node, uint32_t depth,
                                    const struct predicate **predicate) {
    if (depth > PREDICATE_DEPTH_MAX) {
        return error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the filter is nested more than %d levels deep",
                         PREDICATE_DEPTH_MAX);
    }
    switch (node ? (int)node->node_case : 0) {
    case PG_QUERY__NODE__NODE_BOOL_EXPR: return boolean_condition(parser, node->bool_expr, depth, predicate);
    case PG_QUERY__NODE__NODE_A_EXPR: return expression_condition(parser, node, predicate);
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST: return boolean_test(parser, node->boolean_test, predicate);
    case PG_QUERY__NODE__NODE_COLUMN_REF: return bool_column(parser, node, true, predicate);
    case PG_QUERY__NODE__NODE_A_CONST: return constant_condition(parser, node, predicate);
    case PG_QUERY__NODE__NODE_NULL_TEST:
        return null_test(parser, node->null_test->arg,
                         node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL, predicate);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        if (strcmp(function_of(node->func_call), "starts_with") != 0 || node->func_call->n_args != 2) {
            return node_not_supported(parser, node);
        }
        return leaf_of(parser, PREDICATE_PREFIX, 0, node->func_call->args[0], node->func_call->args[1], predicate);
    default: return node_not_supported(parser, node);
    }
}

/* ---- the whole ---- */

/* The WHERE clause, when that is all there is; the tokens have been checked, so anything else is a surprise. */
static const PgQuery__Node *where_clause(const PgQuery__ParseResult *tree) {
    if (tree->n_stmts != 1 || !is_node(tree->stmts[0]->stmt, PG_QUERY__NODE__NODE_SELECT_STMT)) return NULL;
    const PgQuery__SelectStmt *select = tree->stmts[0]->stmt->select_stmt;
    bool has_more = select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->n_from_clause ||
                    select->n_group_clause || select->having_clause || select->n_window_clause ||
                    select->n_sort_clause || select->limit_count || select->limit_offset || select->n_locking_clause ||
                    select->into_clause;
    return has_more ? NULL : select->where_clause;
}

static enum plinth_status parse_statement(const struct text_parser *parser, const struct predicate **predicate) {
    PgQueryProtobufParseResult parsed = pg_query_parse_protobuf((const char *)parser->sql.data);
    PgQuery__ParseResult *tree = NULL;
    enum plinth_status st = PLINTH_OK;
    if (parsed.error) {
        st = syntax_error(parser, parsed.error);
        goto done;
    }
    tree = pg_query__parse_result__unpack(NULL, parsed.parse_tree.len, (const uint8_t *)parsed.parse_tree.data);
    if (!tree) {
        st = no_memory(parser);
        goto done;
    }
    const PgQuery__Node *where = where_clause(tree);
    if (!where) {
        st = error_set(parser->error, PLINTH_INVALID_ARGUMENT, "the filter is more than one condition");
        goto done;
    }
    st = condition(parser, where, 1, predicate);
done:
    if (tree) pg_query__parse_result__free_unpacked(tree, NULL);
    pg_query_free_protobuf_parse_result(parsed);
    return st;
}

enum plinth_status predicate_parse(struct slice text, struct arena *arena, const struct predicate **predicate,
                                   struct plinth_error *error) {
    *predicate = NULL;
    if (text.size > PREDICATE_TEXT_BYTES_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter's text has %zu bytes, more than %d", text.size,
                         PREDICATE_TEXT_BYTES_MAX);
    }
    if (text.size && memchr(text.data, 0, text.size)) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter's text has a zero byte");
    }
    if (utf8_find_invalid(text) != SIZE_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter's text has invalid UTF-8 at byte %zu",
                         utf8_find_invalid(text));
    }
    uint8_t *sql = arena_alloc(arena, START_BYTES + text.size + 1);
    if (!sql) return error_no_memory(error, "parsing a filter");
    memcpy(sql, statement_start, START_BYTES);
    if (text.size) memcpy(sql + START_BYTES, text.data, text.size);
    sql[START_BYTES + text.size] = 0;
    struct text_parser parser = {slice_of(sql, START_BYTES + text.size), arena, error};
    const struct predicate *found = NULL;
    enum plinth_status st = check_tokens(&parser);
    if (!st) st = parse_statement(&parser, &found);
    if (!st) *predicate = found;
    return st;
}
