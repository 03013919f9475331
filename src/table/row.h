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

/* A key that is to expire carries when, in front of its index entries: as one of index table 0, which no index has,
 * with the time (microseconds since 1970, u64). */
enum { ROW_EXPIRY_BYTES = 10 };
/* Writes ROW_EXPIRY_BYTES. */
void row_expiry_encode(uint8_t *at, uint64_t expires_us);
/* 0: never. */
static inline uint64_t row_expires_us(struct slice indexes) {
    bool expires = indexes.size >= ROW_EXPIRY_BYTES && indexes.data[0] == 0 && indexes.data[1] == 8;
    return expires ? load_u64(indexes.data + 2) : 0;
}
static inline bool row_is_expired(struct slice indexes, uint64_t time_us) {
    uint64_t expires_us = row_expires_us(indexes);
    return expires_us && expires_us <= time_us;
}

/* A value that is too large for a log record lies in the store, in an object of its own or with others of its write.
 * The row's value is empty then, and its list of index entries says where it is: as one of table 0 again, behind the
 * expiry if there is one, with job (u64), number (u32), offset (u32), length (u32), CRC-32C of the value (u32). The
 * object is the job's with this number. */
struct row_reference {
    uint64_t job;
    uint32_t number;
    uint32_t offset;
    uint32_t length;
    uint32_t crc;
};
enum { ROW_REFERENCE_BYTES = 26, ROW_OBJECT_NAME_BYTES = 48 };
/* Writes ROW_REFERENCE_BYTES. */
void row_reference_encode(uint8_t *at, const struct row_reference *reference);
/* False when the value is not in the store. */
bool row_reference_decode(struct slice indexes, struct row_reference *reference);
static inline bool row_has_reference(struct slice indexes) {
    if (indexes.size < ROW_REFERENCE_BYTES || indexes.data[0] != 0) return false;
    size_t at = indexes.data[1] == 8 ? ROW_EXPIRY_BYTES : 0;
    return indexes.size - at >= ROW_REFERENCE_BYTES && indexes.data[at] == 0 && indexes.data[at + 1] == 24;
}
/* "values/<job>/<number>.value" */
void row_object_name(uint64_t job, uint32_t number, char name[ROW_OBJECT_NAME_BYTES]);

/* `row.indexes` is a list of (varint index table id, varint length, value bytes), ordered by (id, value), no pair
 * twice. Reads one pair from the list, expiry and reference left out; false at its end or when it is malformed (then
 * list->failed is set). */
bool row_indexes_next(struct reader *list, uint32_t *index_table, struct slice *value);

#endif
