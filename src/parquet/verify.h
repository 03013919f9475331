/* Checking a whole file: whether all that it says of itself is true of the data in it.
 *
 * Of each column chunk every page is read and decoded, and compared are
 *   checksums, sizes, counts of values and rows, encodings          with what headers and footer say of them
 *   min, max, counts of nulls, NaN and distinct values, sizes       with the values and levels
 *   the offset index                                                with where the pages are, and their rows
 *   the column index (bounds, nulls, order of the pages)            with the values of each page
 *   the bloom filter                                                with all values
 *   strings                                                         with UTF-8
 * Of each row group, the sizes and the order that its sorting columns tell; of columns below one field, that they agree
 * on its entries; of the file, its number of rows, and that nothing in it overlaps.
 *
 * Bounds that no reader may rely on (NaN, an unknown order, old fields that were compared wrongly) are not checked, and
 * neither are orders for which the format has no rule (columns in lists, NaN). */
#ifndef PLINTH_PARQUET_VERIFY_H
#define PLINTH_PARQUET_VERIFY_H

#include "parquet/reader.h"

enum { PARQUET_NOWHERE = -1 };

struct parquet_finding {
    int64_t row_group;  /* or PARQUET_NOWHERE: of the whole file */
    const char *column; /* its path; null: of all */
    int64_t page;       /* data page of the chunk, from 0; or PARQUET_NOWHERE */
    int64_t offset;     /* in the file, or PARQUET_NOWHERE */
    const char *text;   /* valid during the call, as the column is */
};

struct parquet_verify_options {
    /* Called for each finding; false stops. May be null. */
    bool (*report)(void *context, const struct parquet_finding *finding);
    void *context;
};

struct parquet_verify_counts {
    uint64_t findings;
    uint64_t row_groups, chunks, pages; /* looked at; dictionary pages, too */
    uint64_t values;                    /* slots of data pages, nulls included */
    uint64_t bytes;                     /* of pages */
};

/* PLINTH_OK whatever was found: counts->findings says it. Another status: the file cannot be checked to its end
 * (encrypted, a codec that is not supported, more memory than `memory_bytes_max` of the reader, a failed read). */
PLINTH_MUST_CHECK enum plinth_status parquet_verify(const struct parquet_reader *reader,
                                                    const struct parquet_verify_options *options,
                                                    struct parquet_verify_counts *counts, struct plinth_error *error);
/* "row group 1, column a.b, page 2, offset 345: text", as much as fits. */
void parquet_finding_format(const struct parquet_finding *finding, char *text, size_t size);

#endif
