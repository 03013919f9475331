/* A table of lists of every type beside a flat column, made from a seed: what round trips of lists write and compare.
 */
#ifndef PLINTH_TESTS_PARQUET_SAMPLE_LISTS_H
#define PLINTH_TESTS_PARQUET_SAMPLE_LISTS_H

#include "parquet/list_levels.h"
#include "sample_table.h"

enum {
    SAMPLE_LISTS_COLUMNS = SAMPLE_COLUMNS + 1, /* leaf 0: the flat column "row"; leaf 1 + c: lists of sample column c */
    SAMPLE_LISTS_NODES = 1 + 3 * SAMPLE_COLUMNS,
};

struct sample_lists_plan {
    uint64_t rows;
    uint32_t null_list_one_in, null_element_one_in; /* 0: REQUIRED */
    uint32_t empty_one_in;                          /* 0: no list is empty, but for null ones */
    uint32_t length_max;                            /* elements of the other lists: 1 to this */
    uint64_t long_row;                              /* a list 50 times longer than that; UINT64_MAX: none */
    uint64_t seed;
};

struct sample_lists {
    struct sample_lists_plan plan;
    struct parquet_node nodes[SAMPLE_LISTS_NODES];
    struct parquet_schema schema;
    struct arena arena;
    struct buffer row_numbers;
    struct sample_table elements;
    struct buffer offsets[SAMPLE_COLUMNS], validity[SAMPLE_COLUMNS]; /* of lists: other ones for each column */
    struct parquet_list_data lists[SAMPLE_COLUMNS];
};

void sample_lists_init(struct sample_lists *table, const struct sample_lists_plan *plan);
void sample_lists_deinit(struct sample_lists *table);
/* Rows begin .. begin + rows - 1 (begin a multiple of 8) of all columns, in the form that the writer takes; `levels`
 * has one buffer for each column and must live as long as `data`. */
void sample_lists_batch(const struct sample_lists *table, uint64_t begin, uint64_t rows,
                        struct parquet_column_buffer *levels, struct parquet_column_data *data);
/* Whether row `row` of the table's column equals row `read_row` of what was read. */
bool sample_lists_equal(const struct sample_lists *table, int column, uint64_t row,
                        const struct parquet_list_data *read, uint64_t read_row);

#endif
