/* The text form of predicates: an SQL boolean expression, parsed by PostgreSQL's own grammar (libpg_query).
 *
 * Understood: comparisons of a column with a literal (either way round), [NOT] IN (...), [NOT] BETWEEN, IS [NOT] NULL,
 * [NOT] LIKE [ESCAPE 'c'], starts_with(col, 'x') and col ^@ 'x' (prefix), col @@ 'words' (words), 'x' = ANY(col) (list
 * contains), bare boolean columns, IS [NOT] TRUE/FALSE/UNKNOWN, AND, OR, NOT, parentheses; literals: numbers (with
 * sign), strings, TRUE, FALSE, NULL, typed ones (DATE '2020-01-01', TIMESTAMP '...', x'..', '...'::type, CAST), quoted
 * identifiers. Anything else is PLINTH_INVALID_ARGUMENT with the construct's name and position ("function lower() at
 * character 7 is not supported in a filter"). */
#ifndef PLINTH_QUERY_PREDICATE_TEXT_H
#define PLINTH_QUERY_PREDICATE_TEXT_H

#include "expr/predicate.h"

enum { PREDICATE_TEXT_BYTES_MAX = 1 << 20 };

/* Parses `text` into an unbound predicate in `arena` (which also gets copies of all strings). Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status predicate_parse(struct slice text, struct arena *arena,
                                                     const struct predicate **predicate, struct plinth_error *error);

#endif
