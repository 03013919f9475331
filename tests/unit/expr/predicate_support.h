/* Predicates by hand, small tables, and the check that all ways of evaluating agree. */
#ifndef PLINTH_TESTS_UNIT_EXPR_PREDICATE_SUPPORT_H
#define PLINTH_TESTS_UNIT_EXPR_PREDICATE_SUPPORT_H

#include "support/test_support.h"

#include "column/column_builder.h"
#include "expr/predicate.h"

/* ---- literals ---- */

struct literal null_literal(void);
struct literal of_bool(bool value);
struct literal of_int(int64_t value);
struct literal of_uint(uint64_t value);
struct literal of_float(double value);
struct literal of_text(const char *text);
struct literal of_number(const char *text);
struct literal of_bytes(const void *bytes, size_t size);

/* ---- trees; made in one arena that predicates_reset empties ---- */

void predicates_reset(void);
struct arena *predicates_arena(void);
const struct predicate *constant(enum predicate_constant truth);
const struct predicate *compare(const char *column, enum predicate_comparison comparison, struct literal literal);
/* PREFIX, LIKE, WORDS, CONTAINS. */
const struct predicate *match(enum predicate_kind kind, const char *column, struct literal literal);
const struct predicate *in(const char *column, const struct literal *literals, uint32_t count);
#define in_list(column, ...)                                                                                           \
    in(column, (struct literal[]){__VA_ARGS__}, sizeof((struct literal[]){__VA_ARGS__}) / sizeof(struct literal))
const struct predicate *is_null(const char *column);
const struct predicate *negation(const struct predicate *child);
const struct predicate *group(enum predicate_kind kind, const struct predicate *const *children, uint32_t count);
const struct predicate *both(const struct predicate *a, const struct predicate *b);
const struct predicate *either(const struct predicate *a, const struct predicate *b);

/* ---- tables ---- */

enum { TABLE_COLUMNS_MAX = 20 };
struct table {
    uint32_t rows;
    uint32_t column_count;
    struct predicate_column schema[TABLE_COLUMNS_MAX];
    struct column_builder builders[TABLE_COLUMNS_MAX];
    struct column columns[TABLE_COLUMNS_MAX];
    const struct column *pointers[TABLE_COLUMNS_MAX];
};
void table_deinit(struct table *table);
/* Adds a column; its values are appended to the builder that comes back. */
struct column_builder *table_add(struct table *table, const char *name, struct column_type type);
/* When all values are there. */
void table_finish(struct table *table);

const struct predicate *bind(const struct table *table, const struct predicate *unbound);
/* Binding must fail with PLINTH_INVALID_ARGUMENT and a text that has `part` in it. */
void assert_refused(const struct table *table, const struct predicate *unbound, const char *part);
/* One letter a row, T, F or U: what the predicate is for it, by row, over columns, over columns among some rows, and
 * for NOT of it. */
void assert_truths(const struct table *table, const struct predicate *unbound, const char *truths);
/* The same for a bound predicate without NOT. */
void assert_bound_truths(const struct table *table, const struct predicate *bound, const char *truths);

#endif
