/* A table with a column of every type, its values made from a seed: what round trips write and compare. */
#ifndef PLINTH_TESTS_PARQUET_SAMPLE_TABLE_H
#define PLINTH_TESTS_PARQUET_SAMPLE_TABLE_H

#include "parquet/schema.h"
#include "parquet/types.h"

enum {
    SAMPLE_BOOLEAN,
    SAMPLE_INT32,
    SAMPLE_INT64,
    SAMPLE_INT96,
    SAMPLE_FLOAT,
    SAMPLE_DOUBLE,
    SAMPLE_STRING, /* few distinct values */
    SAMPLE_KEY,    /* ascending bytes with shared prefixes */
    SAMPLE_FIXED,  /* 5 bytes */
    SAMPLE_UUID,
    SAMPLE_DATE,
    SAMPLE_TIMESTAMP,
    SAMPLE_DECIMAL, /* FIXED, 9 bytes */
    SAMPLE_UINT32,
    SAMPLE_COLUMNS
};

struct sample_column {
    struct buffer values; /* or bytes */
    struct buffer offsets;
    struct buffer validity;
};

struct sample_table {
    struct parquet_node nodes[SAMPLE_COLUMNS];
    struct parquet_column_data data[SAMPLE_COLUMNS];
    struct sample_column columns[SAMPLE_COLUMNS];
    uint64_t rows;
};

/* One row in `null_one_in` of each column is null; 0: all columns are REQUIRED. */
void sample_table_init(struct sample_table *table, uint64_t rows, uint32_t null_one_in, uint64_t seed);
void sample_table_deinit(struct sample_table *table);
uint64_t sample_random(uint64_t *state);
/* Whether row `a_row` of `a` and row `b_row` of `b` are equal, both being of the column's type. */
bool sample_equal(const struct parquet_node *node, const struct parquet_column_data *a, uint64_t a_row,
                  const struct parquet_column_data *b, uint64_t b_row);

#endif
