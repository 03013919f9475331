/* Partitions of typed tables: stretches of time, by the table's partition column. A segment, and so a run, holds rows
 * of one partition; as the column is part of the key, partitions hold different keys. */
#ifndef PLINTH_TABLE_PARTITION_H
#define PLINTH_TABLE_PARTITION_H

#include "table/row_block.h"

/* The order of partitions: none at all, then ascending. */
static inline int partition_compare(bool a_has, int64_t a, bool b_has, int64_t b) {
    if (a_has != b_has) return a_has ? 1 : -1;
    return a_has ? (a > b) - (a < b) : 0;
}

/* The partition of each row of the block, into `partitions`. False when the block lacks the partition column (of the
 * schema that it was written with, a batch always has it). */
bool partitions_of(const struct table_schema *schema, const struct row_block *block, int64_t *partitions);
/* Whether all of a partition is older than what the table keeps at this time. */
bool partition_is_expired(const struct table_schema *schema, int64_t partition, uint64_t time_us);

#endif
