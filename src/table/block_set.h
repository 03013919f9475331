/* The blocks of a memtable: a list of blocks for each table, and the merging that keeps the lists short.
 *
 * Blocks are in tiers by their rows: fewer than 16, 256, 4,096, and more. Whoever adds the 16th block of a tier takes
 * these 16 out of its count, merges them without holding a lock while the list still has them, and then puts the result
 * in their place; 16 blocks of a tier give one of a higher tier. So a row is copied once a tier, and a list has few
 * blocks but those of the highest tier, which are never merged: there are as many as fit into a memtable. */
#ifndef PLINTH_TABLE_BLOCK_SET_H
#define PLINTH_TABLE_BLOCK_SET_H

#include "table/memtable.h"

enum { BLOCK_SET_BUCKETS = 64 };

struct block_set {
    _Atomic(struct block_table *) buckets[BLOCK_SET_BUCKETS]; /* lists; tables are only ever added, at the front */
    atomic_uint_fast64_t rows;
    atomic_uint_fast64_t bytes;
};

void block_set_init(struct block_set *set);
void block_set_deinit(struct block_set *set);
/* As memtable_add_block. */
PLINTH_MUST_CHECK enum plinth_status block_set_add(struct block_set *set, struct table_id table,
                                                   struct row_block *block, struct plinth_error *error);
/* As memtable_blocks. */
void block_set_blocks(struct block_set *set, struct table_id table, struct memtable_blocks *blocks);
/* The first table at or after `from` that has blocks; false when there is none. */
bool block_set_next_table(struct block_set *set, struct table_id from, struct table_id *found);

#endif
