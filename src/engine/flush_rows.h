/* The rows of one typed table, from a memtable's blocks to segments, and the entries of its sorted indexes.
 *
 * The work is cut into tasks that share nothing but the blocks. First the rows, by ranges of keys: each range is merged
 * into segments of its own, and its index entries are collected and sorted. Then the indexes: of each, the ranges'
 * entries are merged into its segments. A small memtable is one range and stays on the caller's thread. */
#ifndef PLINTH_ENGINE_FLUSH_ROWS_H
#define PLINTH_ENGINE_FLUSH_ROWS_H

#include "engine/output.h"
#include "table/table_schema.h"

/* Adds the segments of the table's rows, partition after partition, and then those of its indexes, to `output`. What
 * readers at or above `horizon_lsn` cannot see is left out; `bottom`: nothing older of this table exists. */
PLINTH_MUST_CHECK enum plinth_status flush_rows(struct output *output, struct memtable *memtable,
                                                const struct table_schema *schema, uint64_t cut_lsn,
                                                uint64_t horizon_lsn, bool bottom, struct plinth_error *error);

#endif
