/* Random columns of every type, and the comparisons that the tests hold the code against. */
#ifndef PLINTH_TESTS_COLUMN_MODEL_H
#define PLINTH_TESTS_COLUMN_MODEL_H

#include "support/test_support.h"

#include "column/column_builder.h"

/* All kinds, with parameters where they have some; lists last. */
enum { MODEL_TYPES = 26, MODEL_KEY_TYPES = 23 };
struct column_type model_type(unsigned i);

/* Appends a random value: edges (extremes, -0, NaN, infinities, empty, zeros inside, prefixes of others) are common,
 * and so are repetitions; a null in every `null_in`-th row or so, 0 for none. */
void model_append(struct test_random *random, struct column_builder *builder, unsigned null_in);
/* A builder with `rows` of these. */
struct column_builder model_builder(struct test_random *random, struct column_type type, uint32_t rows,
                                    unsigned null_in);

/* <0, 0, >0 in the order of the values: null first, -0 = 0, every NaN the same and above +inf. Not for lists. */
int model_compare(const struct column *a, uint32_t a_row, const struct column *b, uint32_t b_row);
/* Fails the test unless both rows hold the same value, to the bit; lists too. */
void model_assert_equal(const struct column *a, uint32_t a_row, const struct column *b, uint32_t b_row);
/* All rows; null counts too. */
void model_assert_columns_equal(const struct column *a, const struct column *b, uint32_t rows);

/* The seed of this run: PLINTH_TEST_SEED or a fixed one; printed, so that a failure can be repeated. */
uint64_t model_seed(void);

#endif
