/* Trying an encoding on the first rows of a column, to know what it makes of them. What the best one made need not be
 * made again: its pages are the first ones of the file (parquet_writer_begin_with). For this folder only. */
#ifndef PLINTH_PARQUET_ENCODING_TRIAL_H
#define PLINTH_PARQUET_ENCODING_TRIAL_H

#include "parquet/column_writer.h"

struct encoding_trial {
    struct column_writer writer; /* with the pages */
    uint64_t bytes;              /* of them and the dictionary; UINT64_MAX: given up */
};

/* Encodes the first `rows` rows of `data`, a flat column, in pages as `file` says. Given up when there are more than
 * `bytes_max` bytes, or a dictionary of little but new values. Page bounds go to `index_arena`. `*trial` is zeroed, or
 * deinited; deinit is allowed after a failure. */
PLINTH_MUST_CHECK enum plinth_status
encoding_trial_run(struct encoding_trial *trial, const struct parquet_column *column,
                   const struct parquet_column_options *options, const struct parquet_writer_options *file,
                   const struct parquet_column_data *data, uint64_t rows, uint64_t bytes_max,
                   struct encode_scratch *scratch, struct arena *index_arena, struct plinth_error *error);
void encoding_trial_deinit(struct encoding_trial *trial);

#endif
