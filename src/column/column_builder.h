/* Builds a column value by value: for parsed text, protobuf rows and tests. Not for the hot columnar path. */
#ifndef PLINTH_COLUMN_COLUMN_BUILDER_H
#define PLINTH_COLUMN_COLUMN_BUILDER_H

#include "column/batch.h"

struct column_builder {
    struct column_type type;
    uint32_t rows;
    uint64_t null_count;
    struct buffer validity; /* empty until the first null */
    struct buffer values;   /* values, bitmap, or bytes */
    struct buffer offsets;
    struct column_builder *child; /* LIST */
    struct column *child_view;    /* LIST: where column_builder_view puts the child's */
};

/* False when memory is out (LIST only). */
PLINTH_MUST_CHECK bool column_builder_init(struct column_builder *builder, struct column_type type);
void column_builder_deinit(struct column_builder *builder);
/* Forgets the rows, keeps the memory. */
void column_builder_clear(struct column_builder *builder);
/* Takes the last row back. */
void column_builder_pop(struct column_builder *builder);
/* Takes back all rows from `rows` on. */
void column_builder_truncate(struct column_builder *builder, uint32_t rows);
uint64_t column_builder_bytes(const struct column_builder *builder);

/* False when memory is out (or a column's bytes exceed INT32_MAX). The appended form must fit the type. */
PLINTH_MUST_CHECK bool column_builder_null(struct column_builder *builder);
PLINTH_MUST_CHECK bool column_builder_bool(struct column_builder *builder, bool value);
/* Integers of all widths, DATE, TIMESTAMP: the low bytes of `value`. */
PLINTH_MUST_CHECK bool column_builder_integer(struct column_builder *builder, int64_t value);
PLINTH_MUST_CHECK bool column_builder_float(struct column_builder *builder, double value);
/* STRING, BYTES; DECIMAL and UUID: the 16 bytes as they lie in memory. */
PLINTH_MUST_CHECK bool column_builder_bytes_value(struct column_builder *builder, struct slice value);
/* LIST: elements are appended to builder->child first, then this closes the row over those since the last one. */
PLINTH_MUST_CHECK bool column_builder_list(struct column_builder *builder);

/* Parses the text form of a value of the builder's type and appends it: integers, floats (inf, nan), true/false/t/f/
 * 1/0/yes/no, decimals (exactly; too many digits are an error), dates YYYY-MM-DD, time stamps ISO 8601 with 'T' or
 * space, optional fraction and zone (Z, +hh:mm; required to be absent or converted to UTC for zoned columns; an error
 * on unzoned ones unless Z), UUIDs, BYTES as "\x…" hex or raw text, lists as {a,b,null}.
 * PLINTH_INVALID_ARGUMENT says what is wrong with which text; nothing is appended then. */
PLINTH_MUST_CHECK enum plinth_status column_builder_text(struct column_builder *builder, struct slice text,
                                                         struct plinth_error *error);

/* A view of what was built, valid until the builder changes. */
struct column column_builder_view(const struct column_builder *builder);
/* A batch of these builders' columns with copies of their memory; all have the same number of rows. Null when memory is
 * out. */
struct batch *column_builders_finish(struct column_builder *builders, uint32_t count);

/* The text form of one value, the inverse of column_builder_text; appended. null gives nothing: the caller decides. */
PLINTH_MUST_CHECK bool column_format(struct buffer *into, const struct column *column, uint32_t row);

#endif
