/* Sorting the rows of a file, whatever their number, within a limit of memory. For this folder only.
 *
 *     row_sort_init → row_sort_add* → row_sort_finish → (row_sort_next* → [row_sort_rewind])* → row_sort_deinit
 *
 * Rows are collected until they take a third of the limit; then their numbers are sorted, and they are written to a
 * file of their own (a run: Parquet again, LZ4), which has no name, so that nothing is left of it, whatever happens. At
 * the end the runs are merged; more than MERGE_RUNS_MAX at once are merged to longer ones first. When all rows fit, no
 * file is made.
 *
 * The order is that of the sorting columns (by parquet_value_compare, NaN above all numbers), and of equal rows the one
 * in which they came. */
#ifndef PLINTH_PARQUET_ROW_SORT_H
#define PLINTH_PARQUET_ROW_SORT_H

#include "base/env.h"
#include "parquet/reader.h"
#include "parquet/row_buffer.h"

struct sorted_run;
struct row_merge;

struct row_sort {
    const struct parquet_schema *schema;
    const struct parquet_sorting_column *sorting;
    uint32_t sorting_count;
    uint64_t memory_bytes_max;
    struct env *env;
    const char *scratch_path; /* runs are made as SCRATCH_PATH.N, and lose that name at once */
    struct row_buffer rows;
    struct buffer order;      /* struct sort_entry: of `rows` */
    struct buffer *row_slots; /* uint32 for each row, and the end: columns in lists only */
    struct buffer runs;       /* struct sorted_run pointers */
    uint32_t run_page_rows;   /* by the first run */
    uint64_t run_number, rows_total;
    uint64_t at;             /* the next row, without runs */
    struct row_merge *merge; /* with runs */
    struct row_buffer out;
};

/* Schema, sorting and path are borrowed. PLINTH_INVALID_ARGUMENT: a sorting column is in a list; PLINTH_UNSUPPORTED: it
 * has no order. Deinit is safe after a failure. */
PLINTH_MUST_CHECK enum plinth_status row_sort_init(struct row_sort *sort, const struct parquet_schema *schema,
                                                   const struct parquet_sorting_column *sorting, uint32_t sorting_count,
                                                   uint64_t memory_bytes_max, struct env *env, const char *scratch_path,
                                                   struct plinth_error *error);
void row_sort_deinit(struct row_sort *sort);
PLINTH_MUST_CHECK enum plinth_status row_sort_add(struct row_sort *sort, const struct parquet_column_data *columns,
                                                  uint64_t rows, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status row_sort_finish(struct row_sort *sort, struct plinth_error *error);
/* The next rows, at most `rows_max`: `*columns` has an entry a column and is valid until the next call. `*rows` is 0 at
 * the end. */
PLINTH_MUST_CHECK enum plinth_status row_sort_next(struct row_sort *sort, uint64_t rows_max,
                                                   const struct parquet_column_data **columns, uint64_t *rows,
                                                   struct plinth_error *error);
/* From the first row again. */
PLINTH_MUST_CHECK enum plinth_status row_sort_rewind(struct row_sort *sort, struct plinth_error *error);
/* How many runs were written. */
static inline uint64_t row_sort_runs(const struct row_sort *sort) { return sort->run_number; }

#endif
