/* Row blocks: sorted rows of one typed table as columns. What a write becomes in the memtable, what segments are
 * decoded into, what merges take and give.
 *
 * Rows are ordered by key ascending, then LSN descending (row.h's order); no two rows have the same (key, LSN). A
 * deleted row (ROW_DELETE) has its key columns; the others are null. Immutable once shared, reference-counted.
 *
 * Tables without a key: the key is the row id (row_key.h: LSN, ordinal); `ordinals` is set. */
#ifndef PLINTH_TABLE_ROW_BLOCK_H
#define PLINTH_TABLE_ROW_BLOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include "column/row_key.h"
#include "table/iterator.h"
#include "table/table_schema.h"

enum { ROW_BLOCK_ROWS_MAX = 1 << 20 };

struct row_block {
    atomic_uint references;
    uint32_t rows;
    uint64_t lsn_min, lsn_max;
    const uint64_t *lsns;            /* null: all lsn_max */
    const uint32_t *ordinals;        /* null: the table has a key */
    const uint8_t *operations;       /* enum row_operation; null: all ROW_SET */
    struct row_keys keys;            /* offsets null: not decoded (a stream without keys); offsets[0] need not be 0 */
    const uint64_t *prefixes;        /* row_key_prefix of each key; may be null */
    const uint32_t *column_ids;      /* of columns->columns[i] */
    struct batch *columns;           /* rows of it = rows; a reference is held */
    struct arena arena;              /* what the block owns */
    struct row_block_memory *memory; /* memtable blocks: bloom filter, index entries (row_block.c); else null */
};

struct row_block *row_block_ref(struct row_block *block);
/* Null is allowed. */
void row_block_unref(struct row_block *block);
uint64_t row_block_bytes(const struct row_block *block);
/* Memory of the index entries that are kept with the block. */
uint64_t row_block_entries_bytes(const struct row_block *block);

static inline uint64_t row_block_lsn(const struct row_block *block, uint32_t row) {
    return block->lsns ? block->lsns[row] : block->lsn_max;
}
static inline enum row_operation row_block_operation(const struct row_block *block, uint32_t row) {
    return block->operations ? (enum row_operation)block->operations[row] : ROW_SET;
}
static inline struct slice row_block_key(const struct row_block *block, uint32_t row) {
    return row_keys_at(&block->keys, row);
}
/* The column with this id, or null. */
const struct column *row_block_column(const struct row_block *block, uint32_t column_id);
/* All rows of a column as the table has it: in its present type, with its default where the block lacks it. Memory is
 * shared with the block, or from `arena`. */
PLINTH_MUST_CHECK enum plinth_status row_block_read_column(struct arena *arena, const struct row_block *block,
                                                           const struct table_column *wanted, struct column *out,
                                                           struct plinth_error *error);

/* Makes a block of a batch that is sorted already and has no key twice: columns are shared (a reference is taken),
 * keys are encoded here. Everything but LSNs: row_block_set_lsn before it is shared. `operation` is that of all rows.
 * The batch's columns have the ids `column_ids`, and contain the key's columns without nulls. Null: memory is out. */
struct row_block *row_block_create(const struct table_schema *schema, struct batch *sorted, const uint32_t *column_ids,
                                   enum row_operation operation);
/* All rows get this LSN; rows of tables without a key get ordinals from `first_ordinal` on, and their keys. False when
 * memory is out. */
PLINTH_MUST_CHECK bool row_block_set_lsn(struct row_block *block, uint64_t lsn, uint32_t first_ordinal);

/* A copy of stretches of rows (at least one), in the order given; their `source` is 0. Null: memory is out. */
struct row_block *row_block_select(struct row_block *block, const struct row_stretch *stretches,
                                   uint32_t stretch_count);

/* One block of all versions of several blocks (at least one), with a bloom filter, sharing no memory with them; the
 * columns are all that any of them has. PLINTH_INVALID_ARGUMENT when a column has different types in them. */
PLINTH_MUST_CHECK enum plinth_status row_blocks_merge(struct row_block *const *blocks, size_t count,
                                                      struct row_block **merged, struct plinth_error *error);
/* The same rows, but versions at or below `lsn` have this LSN: at most one of each key may be. Memory is shared. Null:
 * memory is out. */
struct row_block *row_block_settle(struct row_block *block, uint64_t lsn);

/* Index of the first row at or behind (key, lsn) in row order, at most `rows`. */
uint32_t row_block_find(const struct row_block *block, struct slice key, uint64_t lsn);
/* The newest version of `key` not above `lsn_max`; false when there is none. `key_hash` is hash_stable(key): memtable
 * blocks ask their bloom filter first. */
bool row_block_get(const struct row_block *block, struct slice key, uint64_t key_hash, uint64_t lsn_max, uint32_t *row);

/* Iterators over a block as an index table or as keys (lsn_only rows: key, LSN, operation): the block is referenced.
 * Index entries (row_key.h, INDEX form, then the primary key) are sorted on first use and kept with the block;
 * thread-safe. Deleted rows have no entries. Both directions as every iterator. */
PLINTH_MUST_CHECK enum plinth_status row_block_index_iterator(struct row_block *block,
                                                              const struct table_schema *schema,
                                                              const struct table_index *index, struct iterator **it,
                                                              struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status row_block_key_iterator(struct row_block *block, struct iterator **it,
                                                            struct plinth_error *error);

/* What an index's entries begin with, their encoded parts (row_key.h, INDEX form): head i is of row rows[i], or of row
 * i where `rows` is null. Rows of an index on a list's elements have as many as the list has distinct ones that are no
 * nulls. */
struct index_heads {
    uint32_t count;
    struct row_keys keys;
    uint32_t *rows;
};
/* The first `part_count` parts: index->column_count for what it is sorted by, table_index_entry_parts for all.
 * columns[i] is the column of part i; null: nulls. Memory from `arena`. False when it is out. */
PLINTH_MUST_CHECK bool index_heads_encode(struct arena *arena, const struct table_schema *schema,
                                          const struct table_index *index, uint32_t part_count,
                                          const struct column *const *columns, uint32_t rows,
                                          struct index_heads *heads);

/* Moves `entry` behind the parts that the index is sorted by; *has_null when one of them is null. False when it is
 * malformed. */
PLINTH_MUST_CHECK bool index_head_skip(struct reader *entry, const struct table_schema *schema,
                                       const struct table_index *index, bool *has_null);

/* Moves `entry` from there on behind the included columns: what is left is the primary key. */
PLINTH_MUST_CHECK bool index_included_skip(struct reader *entry, const struct table_schema *schema,
                                           const struct table_index *index);

/* The sorted index entries of the rows of a block that are ROW_SET: entry i is of row rows[i]. Memory from `arena`. */
struct index_entries {
    uint32_t count;
    struct row_keys keys;
    uint32_t *rows;
};
PLINTH_MUST_CHECK bool index_entries_make(struct arena *arena, const struct row_block *block,
                                          const struct table_schema *schema, const struct table_index *index,
                                          struct index_entries *entries);
/* The same entries in the order of the rows. */
PLINTH_MUST_CHECK bool index_entries_encode(struct arena *arena, const struct row_block *block,
                                            const struct table_schema *schema, const struct table_index *index,
                                            struct index_entries *entries);

#endif
