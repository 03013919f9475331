/* What row_block.c, row_block_stream.c, block_merge.c and memtable_blocks.c share. */
#ifndef PLINTH_TABLE_ROW_BLOCK_PRIVATE_H
#define PLINTH_TABLE_ROW_BLOCK_PRIVATE_H

#include "table/block_stream.h"
#include "table/key_prefix.h"

/* The columns that blocks are to have, ascending by id. */
struct column_list {
    const uint32_t *ids;
    const struct column_type *types;
    const struct table_column *const *of; /* the table's columns; null where nothing is known but types */
    uint32_t count;
};

/* A block with everything null, its batch without rows and with room for `column_count` columns; null when memory is
 * out. */
struct row_block *row_block_new(uint32_t column_count);
/* Builds the bloom filter of a block of the memtable; its keys are there. False when memory is out. */
PLINTH_MUST_CHECK bool row_block_add_memory(struct row_block *block);
/* Memory that goes with the block, waste included: what a memtable counts. */
uint64_t row_block_memory_bytes(const struct row_block *block);

/* Rows [first, first + count) of a block with these columns, memory shared: `from` itself where that is all of it.
 * Columns of a narrower type are cast, missing ones have their initial default, else null. */
PLINTH_MUST_CHECK enum plinth_status row_block_view(struct row_block *from, uint32_t first, uint32_t count,
                                                    const struct column_list *columns, struct row_block **view,
                                                    struct plinth_error *error);

/* Makes values of deleted rows null. False when memory is out. */
PLINTH_MUST_CHECK bool row_block_hide_deleted(struct arena *arena, const uint8_t *operations, uint32_t rows,
                                              struct column *column);

/* The order of row `row` of the block to (key, lsn). */
static inline int row_block_compare(const struct row_block *block, uint32_t row, uint64_t prefix, struct slice key,
                                    uint64_t lsn) {
    struct slice own = row_block_key(block, row);
    uint64_t own_prefix = block->prefixes ? block->prefixes[row] : key_prefix(own);
    if (own_prefix != prefix) return own_prefix < prefix ? -1 : 1;
    int order = key_compare_behind_prefix(own, key);
    if (order) return order;
    uint64_t own_lsn = row_block_lsn(block, row);
    return (own_lsn < lsn) - (own_lsn > lsn);
}

/* A read's columns; memory from `arena`. PLINTH_INTERNAL for an id that the schema does not have. */
PLINTH_MUST_CHECK enum plinth_status column_list_of(struct arena *arena, const struct block_read *read,
                                                    struct column_list *columns, struct plinth_error *error);

#endif
