/* Predicates: conditions on the columns of a row, with SQL's three-valued logic.
 *
 * One tree, in three places: made unbound (columns by name, literals as they came) from a protobuf message, from SQL
 * text, or by hand; bound to a table's columns (names resolved, literals cast to the column's type, so that evaluation
 * compares like with like); then evaluated over batches, or against bounds for pruning. Trees live in an arena and are
 * immutable once bound.
 *
 * Semantics: a comparison with null, or of a null, is unknown; NOT unknown is unknown; AND/OR as in SQL; a row is
 * selected when the whole is true. Strings compare by bytes (UTF-8 code point order). NaN equals NaN and is above every
 * number (as in PostgreSQL and DuckDB); -0 equals 0. LIKE: % any run of characters, _ one character (a code point),
 * backslash escapes. x IN (..., NULL) is unknown where it is not true. */
#ifndef PLINTH_EXPR_PREDICATE_H
#define PLINTH_EXPR_PREDICATE_H

#include "column/column_function.h"

enum predicate_kind {
    PREDICATE_CONSTANT = 1, /* `constant` */
    PREDICATE_AND = 2,      /* all children; none: true */
    PREDICATE_OR = 3,       /* any child; none: false */
    PREDICATE_NOT = 4,      /* one child */
    PREDICATE_COMPARE = 5,  /* column `comparison` literals[0] */
    PREDICATE_IN = 6,       /* column = any of literals */
    PREDICATE_IS_NULL = 7,  /* column IS NULL */
    PREDICATE_PREFIX = 8,   /* STRING, BYTES column starts with literals[0] */
    PREDICATE_LIKE = 9,     /* STRING column LIKE literals[0] */
    PREDICATE_WORDS = 10,   /* STRING column contains every word of literals[0] (tokens.h) */
    PREDICATE_CONTAINS = 11 /* LIST column has an element equal to literals[0]; unknown when only a null could be it */
};
/* BETWEEN is AND of two comparisons; IS NOT NULL, <>, NOT IN, NOT LIKE are NOT of the others (<> also a comparison). */

enum predicate_comparison {
    COMPARE_EQ = 1,
    COMPARE_NE = 2,
    COMPARE_LT = 3,
    COMPARE_LE = 4,
    COMPARE_GT = 5,
    COMPARE_GE = 6
};

enum predicate_constant { TRUTH_FALSE = 0, TRUTH_TRUE = 1, TRUTH_UNKNOWN = 2 };

enum literal_kind {
    LITERAL_NULL = 1,
    LITERAL_BOOL = 2,
    LITERAL_INT = 3,   /* integer */
    LITERAL_UINT = 4,  /* unsigned_integer, above INT64_MAX */
    LITERAL_FLOAT = 5, /* real */
    LITERAL_TEXT = 6,  /* bytes: text, cast to the column's type by its text form; decimals come so, too */
    LITERAL_BYTES = 7, /* bytes: raw */
    LITERAL_NUMBER = 8 /* bytes: the text of a number, exact ("-12.50", "1e6"); no value for a STRING column */
};

struct literal {
    enum literal_kind kind;
    bool boolean;
    int64_t integer;
    uint64_t unsigned_integer;
    double real;
    struct slice bytes;
};

enum { PREDICATE_DEPTH_MAX = 64, PREDICATE_NODES_MAX = 10000, PREDICATE_LITERALS_MAX = 100000 };

struct predicate {
    enum predicate_kind kind;
    enum predicate_constant constant;
    enum predicate_comparison comparison;
    const struct predicate **children;
    uint32_t child_count;
    struct slice column_name;       /* unbound */
    const struct literal *literals; /* unbound */
    uint32_t literal_count;
    /* Bound: */
    uint32_t column;               /* index in the `columns` that it was bound to */
    enum column_function function; /* what is tested is this of the column; its name was "lower(name)" */
    struct column values; /* the literals in the column's (LIST: the element's) type; IN: sorted, distinct, no nulls */
    uint32_t value_count;
    bool has_null_literal; /* IN with a NULL */
    const void *compiled;  /* evaluation's own: LIKE programs, IN hash tables */
};

/* What a predicate is bound to: the columns of a table in some order. */
struct predicate_column {
    struct slice name;
    struct column_type type;
};

/* A bound copy in `arena`. Literals that the column's type cannot hold exactly are rewritten so that the answer stays
 * right (int column > 2.5 becomes >= 3; = 2.5 becomes false for values, unknown for nulls; out of range likewise).
 * Folds constants, flattens AND/OR, pushes NOT down where that keeps three-valued logic.
 * PLINTH_INVALID_ARGUMENT: no such column (names near ones), a literal that is no value of the type ("'abc' is not a
 * date"), an operator that the type has not, too deep or large. */
PLINTH_MUST_CHECK enum plinth_status predicate_bind(const struct predicate *unbound,
                                                    const struct predicate_column *columns, uint32_t column_count,
                                                    struct arena *arena, const struct predicate **bound,
                                                    struct plinth_error *error);
/* Sets uses[i] for every column that the bound predicate looks at. */
void predicate_columns(const struct predicate *bound, bool *uses);

/* Evaluates over columns (columns[i] is the bound column i; only used ones need to be there): bit r of `selected` is 1
 * exactly when row r is true. Rows whose bit is 0 in `among` (may be null: all) are not looked at and get 0.
 * `scratch` is reset by the caller when it likes. Returns false when memory is out. */
PLINTH_MUST_CHECK bool predicate_evaluate(const struct predicate *bound, const struct column *const *columns,
                                          uint32_t rows, const uint8_t *among, uint8_t *selected,
                                          struct arena *scratch);
/* The same for one row; enum predicate_constant. For tests and for single rows. */
enum predicate_constant predicate_evaluate_row(const struct predicate *bound, const struct column *const *columns,
                                               uint32_t row);

/* What is known of one column in a stretch of rows (a file, a row group, a page). */
struct column_bounds {
    bool has_nulls_known;
    uint64_t null_count; /* with has_nulls_known */
    uint64_t rows;
    bool has_values;        /* min and max are set: every value that is not null (NaN too) lies between them */
    struct column min, max; /* of one row each, in the column's type */
};
enum prune_verdict { PRUNE_NONE = 0 /* no row is true */, PRUNE_SOME = 1, PRUNE_ALL = 2 /* every row is true */ };
/* bounds[i] is column i's, null when nothing is known. */
enum prune_verdict predicate_prune(const struct predicate *bound, const struct column_bounds *const *bounds);
/* For bloom filters: calls `maybe(context, column, values, row)` for equality terms that must hold (top-level AND
 * members: =, IN with every value); false when one of those terms has no value that may be there. */
typedef bool predicate_value_probe(void *context, uint32_t column, const struct column *values, uint32_t row);
bool predicate_may_match_values(const struct predicate *bound, predicate_value_probe *maybe, void *context);

/* SQL text of a (bound or unbound) predicate, for --explain and errors; appended. */
PLINTH_MUST_CHECK bool predicate_format(struct buffer *into, const struct predicate *predicate,
                                        const struct predicate_column *columns);

#endif
