/* Order-preserving key encoding: memcmp order of the encoded bytes is the order of the values.
 *
 *   stored key     = table prefix | key
 *   table prefix   = ordered varint tenant | ordered varint database | ordered varint table
 *   index entry    = (stored under the index's own table prefix) escaped index value | primary key
 *
 * Ordered varint (the scheme of SQLite4's "varint"): one byte up to 240, then 2 to 9 bytes, big-endian payload.
 * Escaped bytes (as FoundationDB's tuple layer): 0x00 -> 0x00 0xFF, ended by 0x00 0x01; so a value never is a
 * prefix of another one and what follows does not change the order. */
#ifndef PLINTH_COLUMN_KEY_ENCODING_H
#define PLINTH_COLUMN_KEY_ENCODING_H

#include "base/bytes.h"

enum { ORDERED_VARINT_BYTES_MAX = 9, TABLE_PREFIX_BYTES_MAX = 3 * 5 };

/* Which table a key belongs to. A key space is a table, and so is each of its indexes. */
struct table_id {
    uint32_t tenant;
    uint32_t database;
    uint32_t table;
};

static inline int table_id_compare(struct table_id a, struct table_id b) {
    if (a.tenant != b.tenant) return a.tenant < b.tenant ? -1 : 1;
    if (a.database != b.database) return a.database < b.database ? -1 : 1;
    return (a.table > b.table) - (a.table < b.table);
}

/* Writes 1 to 9 bytes and returns how many. */
size_t ordered_varint_encode(uint8_t *at, uint64_t value);
/* Sets reader->failed on a cut or non-canonical encoding. */
uint64_t ordered_varint_decode(struct reader *reader);

/* Writes at most TABLE_PREFIX_BYTES_MAX bytes and returns how many. */
size_t table_prefix_encode(uint8_t *at, struct table_id table);
/* Splits a stored key; false when the prefix is malformed. `key` is borrowed from `stored`. */
bool table_prefix_decode(struct slice stored, struct table_id *table, struct slice *key);

/* Appends the escaped form of `value`, with its terminator. */
PLINTH_MUST_CHECK bool escaped_append(struct buffer *into, struct slice value);
/* Appends the escaped form without terminator: a bound that all values starting with `value` share. */
PLINTH_MUST_CHECK bool escaped_append_prefix(struct buffer *into, struct slice value);
/* Decodes one escaped value into `value` (appended) and moves `reader` behind its terminator; false when malformed. */
PLINTH_MUST_CHECK bool escaped_decode(struct reader *reader, struct buffer *value);

/* The first byte string that sorts after all strings with this prefix: appended to `into`; an empty result (nothing
 * appended) means there is none (the prefix is empty or all 0xFF). */
PLINTH_MUST_CHECK bool prefix_successor(struct buffer *into, struct slice prefix);

#endif
