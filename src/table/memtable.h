/* Memtable: the newest writes of all tables, in a concurrent skip list over an arena.
 *
 * Keys carry their table prefix, so one skip list serves every table. Inserts run in parallel (each a compare-and-swap
 * a level, as LevelDB's and RocksDB's inline skip lists); reads take no lock; nothing is ever removed: the whole
 * memtable goes at once when its last reference does. */
#ifndef PLINTH_TABLE_MEMTABLE_H
#define PLINTH_TABLE_MEMTABLE_H

#include "column/key_encoding.h"
#include "table/iterator.h"

struct memtable;

PLINTH_MUST_CHECK enum plinth_status memtable_create(struct memtable **memtable, struct plinth_error *error);
struct memtable *memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable);

/* Copies one row in; `row->key` is the stored key (with table prefix). Visible to others on return. Thread-safe.
 * (key, LSN) must be new. Only PLINTH_OUT_OF_MEMORY can fail, and then nothing has changed. */
PLINTH_MUST_CHECK enum plinth_status memtable_insert(struct memtable *memtable, const struct row *row,
                                                     struct plinth_error *error);
/* The newest version of the stored key not above `lsn_max`. Its slices live as long as the memtable. */
bool memtable_get(struct memtable *memtable, struct slice stored_key, uint64_t lsn_max, struct row *row);
/* Memory of all rows (what is held is up to one arena chunk, 4 MiB, more), and rows inserted. */
uint64_t memtable_bytes(const struct memtable *memtable);
uint64_t memtable_rows(const struct memtable *memtable);

/* Over the rows of one table, keys without prefix. Holds a reference. Rows inserted while it is open may or may not
 * be seen: readers bound what they see by LSN. */
PLINTH_MUST_CHECK enum plinth_status memtable_iterator_open(struct memtable *memtable, struct table_id table,
                                                            struct iterator **it, struct plinth_error *error);
/* The first table at or after `from` that has rows; false when there is none. For flushing table by table. */
bool memtable_next_table(struct memtable *memtable, struct table_id from, struct table_id *found);

#endif
