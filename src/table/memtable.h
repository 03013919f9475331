/* Memtable: the newest writes of all tables. Sets are in a concurrent skip list over an arena, the rows of typed tables
 * beside it as row blocks.
 *
 * Keys in the skip list carry their table prefix, so one serves every table. Inserts run in parallel (each a
 * compare-and-swap a level, as LevelDB's and RocksDB's inline skip lists); reads take no lock; nothing is ever removed:
 * the whole memtable goes at once when its last reference does.
 *
 * Range deletes stand beside the rows, as sets (range_set.h) whose sizes at least halve from one to the next: adding
 * one merges a few small sets, and readers look into a logarithm of them. Every add makes a new list that readers find
 * by one atomic load; old lists stay until the memtable goes.
 *
 * Blocks of a table are a list that readers take as it stands. Small ones do not pile up: whoever adds one that makes
 * 16 of similar size merges these into one block of all their versions, outside any lock. So blocks of a table overlap
 * in keys and in LSNs: a reader looks into all of them, and bounds what it sees by LSN. */
#ifndef PLINTH_TABLE_MEMTABLE_H
#define PLINTH_TABLE_MEMTABLE_H

#include "column/key_encoding.h"
#include "table/iterator.h"
#include "table/range_set.h"
#include "table/row_block.h"

struct memtable;

PLINTH_MUST_CHECK enum plinth_status memtable_create(struct memtable **memtable, struct plinth_error *error);
struct memtable *memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable);

/* Copies one row in; `row->key` is the stored key (with table prefix). Visible to others on return. Thread-safe.
 * (key, LSN) must be new. Only PLINTH_OUT_OF_MEMORY can fail, and then nothing has changed. */
PLINTH_MUST_CHECK enum plinth_status memtable_insert(struct memtable *memtable, const struct row *row,
                                                     struct plinth_error *error);
/* Adds the rows of a typed table; the block's LSN is set, and a reference is taken. Visible to others on return.
 * Thread-safe. May merge blocks added earlier, which leaves what they hold as it is. (key, LSN) must be new. Only
 * PLINTH_OUT_OF_MEMORY can fail, and then nothing has changed. */
PLINTH_MUST_CHECK enum plinth_status memtable_add_block(struct memtable *memtable, struct table_id table,
                                                        struct row_block *block, struct plinth_error *error);
/* Adds a range delete of a table, copied; keys without table prefix. Visible to others on return. Thread-safe. Only
 * PLINTH_OUT_OF_MEMORY can fail, and then nothing has changed. */
PLINTH_MUST_CHECK enum plinth_status memtable_delete_range(struct memtable *memtable, struct table_id table,
                                                           const struct deleted_range *range,
                                                           struct plinth_error *error);
/* The newest range delete not above `lsn_max` that covers the key (without prefix), if it is newer than `*best` (may be
 * null). It lives as long as the memtable. Takes no lock. */
void memtable_find_range(struct memtable *memtable, struct table_id table, struct slice key, uint64_t lsn_max,
                         const struct deleted_range **best);
/* Adds the range deletes of a table as they stand. They live as long as the memtable. False when memory is out. */
PLINTH_MUST_CHECK bool memtable_ranges(struct memtable *memtable, struct table_id table, struct range_view *view);
/* The blocks of a table as they stand, in no order; held until they are released, also when the memtable goes. */
struct memtable_blocks {
    struct row_block *const *blocks;
    size_t count;
    struct block_list *list;
};
void memtable_blocks(struct memtable *memtable, struct table_id table, struct memtable_blocks *blocks);
void memtable_blocks_release(struct memtable_blocks *blocks);
/* The newest version of a key not above `lsn_max` among blocks: the place of its block, whose row is `*row`; SIZE_MAX
 * when there is none. `key_hash` is hash_stable(key). */
size_t memtable_blocks_find(const struct memtable_blocks *blocks, struct slice key, uint64_t key_hash, uint64_t lsn_max,
                            uint32_t *row);
/* The newest version of the stored key not above `lsn_max`. Its slices live as long as the memtable. */
bool memtable_get(struct memtable *memtable, struct slice stored_key, uint64_t lsn_max, struct row *row);
/* Whether some row has an expiry (row.h). */
bool memtable_may_expire(const struct memtable *memtable);
/* Whether it has rows whose values lie in the store. */
bool memtable_has_references(const struct memtable *memtable);
/* Of the values in the store that its rows refer to. */
uint64_t memtable_value_bytes(const struct memtable *memtable);
/* Memory of all rows (what is held is up to one arena chunk, 4 MiB, more, and what merges of blocks are at), and rows
 * inserted, those in blocks included. */
uint64_t memtable_bytes(const struct memtable *memtable);
uint64_t memtable_rows(const struct memtable *memtable);

/* Adds the memtable's bytes as they are now to `account`, and takes them off when the memtable goes; once, before which
 * `account` does not. For memtables that take few more rows. */
void memtable_charge(struct memtable *memtable, atomic_uint_fast64_t *account);
/* Of index entries that readers had made for its blocks. */
uint64_t memtable_entries_bytes(struct memtable *memtable);

/* Over the rows of one table in the skip list, keys without prefix. Holds a reference. Rows inserted while it is open
 * may or may not be seen: readers bound what they see by LSN. */
PLINTH_MUST_CHECK enum plinth_status memtable_iterator_open(struct memtable *memtable, struct table_id table,
                                                            struct iterator **it, struct plinth_error *error);
/* The first table at or after `from` that has rows or blocks; false when there is none. For flushing table by table. */
bool memtable_next_table(struct memtable *memtable, struct table_id from, struct table_id *found);

#endif
