/* Values of the wire (predicate.proto) as literals and columns, and batches as values of the wire. */
#ifndef PLINTH_SERVICE_ROW_VALUE_H
#define PLINTH_SERVICE_ROW_VALUE_H

#include "engine/rows.h"
#include "expr/predicate.h"
#include "plinth/v1/ingestion.pb-c.h"
#include "plinth/v1/predicate.pb-c.h"
#include "plinth/v1/query.pb-c.h"

/* A literal that borrows from `value`. PLINTH_INVALID_ARGUMENT for a list. */
PLINTH_MUST_CHECK enum plinth_status row_value_literal(const Plinth__V1__Value *value, struct literal *literal,
                                                       struct plinth_error *error);
/* What a RowFormat means: `values`, or Arrow with this compression. */
PLINTH_MUST_CHECK enum plinth_status row_value_format(Plinth__V1__RowFormat format, enum arrow_compression *compression,
                                                      bool *values, struct plinth_error *error);
/* An unbound predicate in `arena`, borrowing strings from `given`; null gives null. */
PLINTH_MUST_CHECK enum plinth_status row_value_predicate(const Plinth__V1__Predicate *given, struct arena *arena,
                                                         const struct predicate **predicate,
                                                         struct plinth_error *error);

/* The rows as columns of the types that `types` gives by name (a table's columns; unknown names give an error).
 * `schema` and `unfit` live in `arena`, the batch is the caller's. A row with a value that its column cannot have, or
 * with too few or many of them, is nulls in the batch and `unfit`. */
struct named_type {
    const char *name;
    struct column_type type;
};
PLINTH_MUST_CHECK enum plinth_status row_value_batch(const Plinth__V1__RowSet *rows, const struct named_type *types,
                                                     uint32_t type_count, struct arena *arena,
                                                     struct arrow_schema *schema, struct batch **batch,
                                                     struct rows_unfit *unfit, struct plinth_error *error);

/* Appends a RowSet message of rows [first, first + count): column names, then rows with values in their natural kind;
 * decimals, dates, time stamps and UUIDs as text. False when memory is out. */
PLINTH_MUST_CHECK bool row_value_encode(struct buffer *into, const struct arrow_schema *schema,
                                        const struct batch *batch, uint32_t first, uint32_t count);

#endif
