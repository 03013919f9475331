/* A file written anew from another: other codec, encodings, pages and row groups, in another order, with fewer columns.
 * Columns go over with their levels, so that the schema stays what it is: logical types, field ids, the form of lists.
 *
 * Memory: without sorting, a page of each column and the encoded row group; with sorting, `memory_bytes_max` beside
 * them, and files without a name at `scratch_path` for what does not fit (row_sort.h). */
#ifndef PLINTH_PARQUET_REWRITE_H
#define PLINTH_PARQUET_REWRITE_H

#include "base/env.h"
#include "parquet/reader.h"
#include "plinth_parquet.h"

struct parquet_rewrite_options {
    struct plinth_parquet_write_options write; /* `sorting` says what the rows are sorted by */
    const bool *selected;                      /* one a column; null: all */
    /* Row groups end where they do in the input (and where they are full); what it says of its order stays true then,
     * and is kept. Without effect on rows that are sorted. */
    bool keeps_row_groups;
    uint64_t memory_bytes_max; /* 0: 1 GiB */
    struct env *env;           /* null: that of the operating system */
    const char *scratch_path;  /* to be given with sorting */
    /* Added to the input's key-value metadata, in place of those of the same key. */
    const struct parquet_key_value *key_values;
    uint32_t key_value_count;
    /* Those of the input's that begin so are left out, as they speak of places in the file. Null at the end; may be
     * null. */
    const char *const *dropped_keys;
};

struct parquet_rewrite_counts {
    uint64_t rows, bytes; /* of the output */
    uint64_t runs;        /* files that sorting needed */
};

/* `write` takes the bytes of the new file in order. PLINTH_UNSUPPORTED: a logical type of which more is in the file
 * than is kept of it (geometries). Errors of the input name row group, column and offset. */
PLINTH_MUST_CHECK enum plinth_status parquet_rewrite(const struct parquet_reader *reader,
                                                     plinth_parquet_write_function *write, void *context,
                                                     const struct parquet_rewrite_options *options,
                                                     struct parquet_rewrite_counts *counts, struct plinth_error *error);

#endif
