/* Writing a file by the options of plinth_parquet.h from columns with levels, not from Arrow: what comes from another
 * Parquet file stays as it is, whatever Arrow has no form for. For this folder only; behind it is api_write.c.
 *
 *     column_file_open → column_file_choose → column_file_write* → [column_file_add_pair*] →
 * plinth_parquet_writer_finish
 */
#ifndef PLINTH_PARQUET_COLUMN_FILE_H
#define PLINTH_PARQUET_COLUMN_FILE_H

#include "parquet/schema.h"
#include "parquet/types.h"
#include "plinth_parquet.h"

/* As plinth_parquet_writer_open_function, for these nodes (without the root), which are copied. */
PLINTH_MUST_CHECK enum plinth_status
column_file_open(plinth_parquet_write_function *write, void *context, const struct parquet_node *nodes,
                 uint32_t node_count, const char *root_name, const struct plinth_parquet_write_options *options,
                 struct plinth_parquet_writer **writer, struct plinth_error *error);
/* Chooses the encodings by rows such as are to be written: `columns` has one entry a leaf. Once, before the first
 * write. */
PLINTH_MUST_CHECK enum plinth_status column_file_choose(struct plinth_parquet_writer *writer,
                                                        const struct parquet_column_data *columns,
                                                        struct plinth_error *error);
/* Appends rows (as parquet_writer_write takes them), at most column_file_rows_wanted. */
PLINTH_MUST_CHECK enum plinth_status column_file_write(struct plinth_parquet_writer *writer,
                                                       const struct parquet_column_data *columns, uint64_t rows,
                                                       struct plinth_error *error);
/* How many rows belong into one write: none behind the end of the open page, and not many bytes, by those before. */
uint64_t column_file_rows_wanted(const struct plinth_parquet_writer *writer);
/* Encoded bytes of the open row group. */
uint64_t column_file_row_group_bytes(const struct plinth_parquet_writer *writer);
/* File-level key-value metadata of any bytes; behind column_file_choose. */
PLINTH_MUST_CHECK enum plinth_status column_file_add_pair(struct plinth_parquet_writer *writer, const char *key,
                                                          struct slice value, struct plinth_error *error);

#endif
