/* One version of one key: what memtables hold and segments store.
 *
 * Order everywhere: key ascending, then LSN descending, so that the newest version of a key comes first.
 * Within a table, keys are written without the table prefix (key_encoding.h); the memtable, which holds all tables,
 * keeps it in front. */
#ifndef PLINTH_TABLE_ROW_H
#define PLINTH_TABLE_ROW_H

#include "base/bytes.h"

enum row_operation { ROW_SET = 1, ROW_DELETE = 2 };

struct row {
    struct slice key;
    uint64_t lsn;
    enum row_operation operation;
    struct slice value;   /* empty for ROW_DELETE and in index tables */
    struct slice indexes; /* the key's index entries as stored with it (row_indexes below); empty for none */
};

static inline int row_order(struct slice a_key, uint64_t a_lsn, struct slice b_key, uint64_t b_lsn) {
    int order = slice_compare(a_key, b_key);
    return order ? order : (a_lsn < b_lsn) - (a_lsn > b_lsn);
}

/* `row.indexes` is a list of (varint index table id, varint length, value bytes), ordered by (id, value), no pair
 * twice. Reads one pair from the list; false at its end or when it is malformed (then list->failed is set). */
bool row_indexes_next(struct reader *list, uint32_t *index_table, struct slice *value);

#endif
