/* Aggregates: count, min, max, sum and avg over groups of rows. Several aggregators over parts of the rows are merged
 * at the end; integers and decimals are summed in 128 bits, so the result does not depend on the order. */
#ifndef PLINTH_QUERY_AGGREGATE_H
#define PLINTH_QUERY_AGGREGATE_H

#include <stdatomic.h>

#include "column/batch.h"

enum { AGGREGATE_NO_COLUMN = UINT32_MAX };

struct aggregate_spec {
    int kind;        /* enum query_aggregate_kind */
    uint32_t column; /* index in the columns given to aggregator_add, or AGGREGATE_NO_COLUMN */
    struct column_type type;
    struct column_type result;
};

/* PLINTH_INVALID_ARGUMENT when the function cannot take the type ("sum of a string"). Sets *result. */
PLINTH_MUST_CHECK enum plinth_status aggregate_result_type(int kind, struct column_type type,
                                                           struct column_type *result, struct plinth_error *error);

/* What the aggregators of one query may use together; each counts what it has when it adds, and gives it back at the
 * end. {.bytes_max = ...} is a fresh one. */
struct aggregate_budget {
    atomic_ullong bytes;
    uint64_t bytes_max;
    struct plinth *db; /* may be null: whose queries share the memory limit */
};

struct aggregator;
/* The arrays and the budget are borrowed. `group_types[i]` is that of column group_columns[i]. */
PLINTH_MUST_CHECK enum plinth_status aggregator_create(const struct aggregate_spec *specs, uint32_t spec_count,
                                                       const uint32_t *group_columns,
                                                       const struct column_type *group_types, uint32_t group_count,
                                                       struct aggregate_budget *budget, struct aggregator **aggregator,
                                                       struct plinth_error *error);
void aggregator_destroy(struct aggregator *aggregator);
/* PLINTH_RESOURCE_EXHAUSTED when the budget is used up. Adds the rows whose bit is set (null: all). Columns that no
 * spec or group names may be missing (null). */
PLINTH_MUST_CHECK enum plinth_status aggregator_add(struct aggregator *aggregator, const struct column *const *columns,
                                                    uint32_t rows, const uint8_t *selection,
                                                    struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status aggregator_merge(struct aggregator *into, struct aggregator *from,
                                                      struct plinth_error *error);
/* The groups' columns, then the aggregates'; ordered by the group's columns (nulls first). Without groups: one row. */
PLINTH_MUST_CHECK enum plinth_status aggregator_finish(struct aggregator *aggregator, struct batch **batch,
                                                       struct plinth_error *error);

#endif
