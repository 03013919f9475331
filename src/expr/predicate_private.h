/* What binding prepares for evaluation and pruning. Bound trees are in negation normal form: NOT stands only above IN,
 * IS_NULL, PREFIX, LIKE, WORDS and CONTAINS. So the rows that are true follow from the rows that its children make
 * true, and evaluation carries one bitmap, not two. */
#ifndef PLINTH_EXPR_PREDICATE_PRIVATE_H
#define PLINTH_EXPR_PREDICATE_PRIVATE_H

#include "expr/predicate.h"
#include "expr/scalar.h"
#include "expr/tokens.h"

/* ---- LIKE (predicate_like.c) ---- */

struct like_segment {
    struct slice bytes;       /* escapes resolved; a wildcard's byte is 0 */
    const bool *is_wildcard;  /* by byte of `bytes`; null: there is no `_` */
    uint32_t character_count; /* code points, wildcards included */
};
/* Segments lie between runs of %. The first is matched at the start, the last at the end (empty when the pattern begins
 * or ends with %); the middle ones, never empty, where they first fit. One segment: the pattern has no %. */
struct like_program {
    const struct like_segment *segments;
    uint32_t segment_count;
};
/* PLINTH_INVALID_ARGUMENT: the pattern ends with a lone backslash. */
PLINTH_MUST_CHECK enum plinth_status like_compile(struct slice pattern, struct arena *arena,
                                                  struct like_program *program, struct plinth_error *error);
bool like_match(const struct like_program *program, struct slice text);
/* Bytes that every match starts with. */
struct slice like_prefix(const struct like_program *program);
bool like_is_equality(const struct like_program *program); /* no wildcard at all: prefix is the value */
bool like_is_prefix(const struct like_program *program);   /* literal, then one trailing % */

/* ---- words ---- */

enum { PREDICATE_WORDS_MAX = 256 };
struct word_list {
    const struct slice *words; /* sorted, distinct, lowered */
    uint32_t count;
};
bool word_list_match(const struct word_list *list, struct slice text);

/* ---- IN (value_set.c) ---- */

struct value_set;
/* A set of the values of a column without nulls; borrows them. Null when memory is out. */
const struct value_set *value_set_create(struct arena *arena, const struct column *values, uint32_t count);
/* Clears the bits in `selection` of the rows whose value is in the set (`wanted` false) or is not (`wanted` true). */
void value_set_narrow(const struct value_set *set, const struct column *column, uint32_t rows, bool wanted,
                      uint64_t *selection);

#endif
