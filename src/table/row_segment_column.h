/* Columns of typed tables in Parquet: which nodes a type becomes, and the way of values there and back.
 *
 *   INT8..32, UINT8..32, DATE   INT32, the narrow ones widened
 *   INT64, UINT64, TIMESTAMP    INT64; seconds become milliseconds, as Parquet has none
 *   DECIMAL                     FIXED(16), big-endian
 *   UUID                        FIXED(16)
 *   LIST                        OPTIONAL group, REPEATED group "list", OPTIONAL "element"
 * Everything else has the same layout on both sides (batch.h, parquet/types.h). */
#ifndef PLINTH_TABLE_ROW_SEGMENT_COLUMN_H
#define PLINTH_TABLE_ROW_SEGMENT_COLUMN_H

#include "column/batch.h"
#include "parquet/list_levels.h"
#include "parquet/schema.h"

enum { ROW_COLUMN_NODES_MAX = 3 };

/* Fills in the nodes of a column and returns how many. Names are borrowed. */
uint32_t row_column_nodes(const char *name, uint32_t column_id, struct column_type type, bool is_required,
                          struct parquet_node nodes[ROW_COLUMN_NODES_MAX]);
/* Whether a top-level node of a file, with `count` nodes in all, is what row_column_nodes makes. */
bool row_column_nodes_match(struct column_type type, const struct parquet_node *nodes, uint32_t count);

/* `rows` rows as the Parquet writer takes them; what must be converted gets memory from `arena`, the rest is borrowed.
 * `leaf` and `lists` are for LIST columns only: the schema's column, and memory that the data lies in.
 * PLINTH_INVALID_ARGUMENT: a time stamp in seconds that milliseconds cannot express. */
PLINTH_MUST_CHECK enum plinth_status row_column_to_parquet(struct arena *arena, const struct column *column,
                                                           uint32_t rows, const struct parquet_column *leaf,
                                                           struct parquet_column_buffer *lists,
                                                           struct parquet_column_data *data,
                                                           struct plinth_error *error);

/* Some rows of a decoded page. */
struct page_piece {
    const struct parquet_column_data *data; /* null: these rows are null */
    const struct parquet_list_data *list;   /* of LIST columns, instead of data */
    uint32_t first;
    uint32_t count;
};

/* The pieces one behind the other, `rows` in all, copied into memory from `arena`. False when it is out or bytes exceed
 * INT32_MAX. */
PLINTH_MUST_CHECK bool row_column_from_parquet(struct arena *arena, struct column_type type,
                                               const struct page_piece *pieces, uint32_t piece_count, uint32_t rows,
                                               struct column *out);

/* Whether a PLAIN-encoded value (a bound) can be one of the type, by its size. */
bool row_column_plain_fits(struct column_type type, struct slice plain);
/* Such a value as a column of one row; false when memory is out. */
PLINTH_MUST_CHECK bool row_column_from_plain(struct arena *arena, struct column_type type, struct slice plain,
                                             struct column *out);
/* The PLAIN encoding of a value that is not null, as bloom filters take it: in `scratch` or borrowed. */
struct slice row_column_to_plain(const struct column *column, uint32_t row, uint8_t scratch[16]);

#endif
