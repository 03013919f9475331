/* Rows of typed columns as people and programs want them: an aligned table, CSV, JSON Lines, a JSON array, an Arrow
 * stream, a Parquet file.
 *
 *     row_output_create → row_output_batch* → row_output_end → row_output_destroy
 *
 * What import reads comes back equal: in CSV a null is an empty field and an empty text "" in quotes, bytes are \x...,
 * lists {a,b,null}; in JSON lists are arrays, and numbers that JSON does not have (nan, inf) are texts. */
#ifndef PLINTH_CMD_ROW_OUTPUT_H
#define PLINTH_CMD_ROW_OUTPUT_H

#include "cmd/file_sink.h"
#include "column/arrow_ipc.h"

enum rows_format { ROWS_AS_TABLE, ROWS_AS_CSV, ROWS_AS_JSONL, ROWS_AS_JSON, ROWS_AS_ARROW, ROWS_AS_PARQUET };

struct row_output;

/* The sink is borrowed. ROWS_AS_TABLE writes to standard output and takes none; `one`: a row as lines "name  value". */
PLINTH_MUST_CHECK enum plinth_status row_output_create(enum rows_format format, bool one, struct file_sink *sink,
                                                       const struct arrow_schema *schema, struct row_output **output,
                                                       struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status row_output_batch(struct row_output *output, const struct batch *batch,
                                                      struct plinth_error *error);
/* What stands behind the rows. */
PLINTH_MUST_CHECK enum plinth_status row_output_end(struct row_output *output, struct plinth_error *error);
uint64_t row_output_rows(const struct row_output *output);
/* Null is allowed. */
void row_output_destroy(struct row_output *output);

/* One value as it stands in JSON and in CSV; false when memory is out. `scratch` is overwritten. */
PLINTH_MUST_CHECK bool row_value_json(struct buffer *into, const struct column *column, uint32_t row);
PLINTH_MUST_CHECK bool row_value_csv(struct buffer *into, const struct column *column, uint32_t row,
                                     struct buffer *scratch);

#endif
