/* The simplest thing that is right: rows in a sorted array. What the tests compare everything else with. */
#ifndef PLINTH_TESTS_UNIT_TABLE_ROW_MODEL_H
#define PLINTH_TESTS_UNIT_TABLE_ROW_MODEL_H

#include "base/arena.h"
#include "support/test_support.h"
#include "table/iterator.h"

struct row_model {
    struct arena arena;
    struct row *rows; /* in row order after row_model_sort */
    size_t count, capacity;
};

void row_model_init(struct row_model *model);
void row_model_deinit(struct row_model *model);
/* Copies the row in, at the end. */
void row_model_add(struct row_model *model, const struct row *row);
void row_model_sort(struct row_model *model);
/* Index of the first row at or behind (key, lsn); `count` for none. */
size_t row_model_find(const struct row_model *model, struct slice key, uint64_t lsn);
/* The newest version of `key` not above lsn_max, or null. */
const struct row *row_model_get(const struct row_model *model, struct slice key, uint64_t lsn_max);

/* What random rows look like. */
struct row_shape {
    size_t rows;
    uint64_t keys;        /* distinct keys, about */
    size_t key_bytes_max; /* 0 gives 8 */
    size_t value_bytes_max;
    unsigned delete_percent;
    unsigned index_percent;
    uint64_t lsn_first; /* LSNs ascend from here, one a row */
    bool one_lsn;       /* all rows have lsn_first; then every key is there once */
};
/* Adds random rows and sorts. */
void row_model_fill(struct row_model *model, const struct row_shape *shape, struct test_random *random);
/* A key near those of the model, or one of them; in `buffer`. */
struct slice row_model_random_key(const struct row_model *model, struct test_random *random, struct buffer *buffer);

/* An iterator over the model's rows, which must outlive it. */
struct iterator *row_model_iterator(const struct row_model *model);

void assert_row_equal(const struct row *got, const struct row *wanted, bool lsn_only);
/* `operations` random seeks and steps on `it`, each compared with the model. */
void assert_iterator_agrees(struct iterator *it, const struct row_model *model, struct test_random *random,
                            size_t operations, bool lsn_only);
/* All rows forwards, then all rows backwards. */
void assert_iterator_scans(struct iterator *it, const struct row_model *model, bool lsn_only);

#endif
