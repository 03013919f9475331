/* Row keys: the values of key columns as bytes whose memcmp order is the order of the values.
 *
 * A key is its parts one behind the other:
 *   BOOL               1 byte
 *   INT*, DATE,        big-endian, sign bit flipped
 *     TIMESTAMP
 *   UINT*              big-endian
 *   FLOAT*             big-endian total order: sign bit set -> all bits flipped, else sign bit flipped; -0 becomes 0,
 *                      every NaN the same one, above +inf
 *   DECIMAL            16 bytes big-endian, sign bit flipped
 *   UUID               16 bytes
 *   STRING, BYTES      escaped with terminator (key_encoding.h), but as the last part of a primary key the bytes as
 *                      they are: so a table with one BYTES key has the keys of a key space
 * In a primary key no part is null. In an index entry every part has a byte in front, 0x01 null, 0x02 a value, and none
 * is raw: the primary key follows.
 * Tables without a key: uint64 LSN, uint32 ordinal in the record, both big-endian (ROW_ID_BYTES). */
#ifndef PLINTH_COLUMN_ROW_KEY_H
#define PLINTH_COLUMN_ROW_KEY_H

#include "column/batch.h"

enum { ROW_KEY_PARTS_MAX = 16, ROW_ID_BYTES = 12 };

/* Whether columns of this type can be key or index parts: all but LIST. */
bool row_key_type_is_allowed(struct column_type type);

/* Keys of many rows. */
struct row_keys {
    uint32_t *offsets; /* rows + 1, offsets[0] = 0 */
    uint8_t *bytes;
};
static inline struct slice row_keys_at(const struct row_keys *keys, uint32_t row) {
    return slice_of(keys->bytes + keys->offsets[row], keys->offsets[row + 1] - keys->offsets[row]);
}

enum row_key_form { ROW_KEY_PRIMARY, ROW_KEY_INDEX };

/* Encodes the keys of all `rows` rows, memory from `arena`. parts[i] is the i-th key column. The caller has rejected
 * rows with null parts (PRIMARY; a null encodes as its slot's bytes). False when memory is out or keys exceed 4 GiB. */
PLINTH_MUST_CHECK bool row_keys_encode(struct arena *arena, const struct column *const *parts, uint32_t part_count,
                                       enum row_key_form form, uint32_t rows, struct row_keys *keys);
/* One row, appended. */
PLINTH_MUST_CHECK bool row_key_append(struct buffer *into, const struct column *const *parts, uint32_t part_count,
                                      enum row_key_form form, uint32_t row);
/* One part on its own (a bound); `last` as in the last part of a primary key. `column` null: a null (INDEX only). */
PLINTH_MUST_CHECK bool row_key_append_part(struct buffer *into, const struct column *column, uint32_t row,
                                           enum row_key_form form, bool last);
/* Decodes a key into builders (one value each) whose types are the parts'; moves `from` behind it. PRIMARY takes all
 * that is left for a last STRING or BYTES. False when malformed (nothing is appended then) or memory is out. */
struct column_builder;
PLINTH_MUST_CHECK bool row_key_decode(struct reader *from, struct column_builder *const *parts, uint32_t part_count,
                                      enum row_key_form form);
/* Decodes parts of many keys into columns (memory from `arena`), the inverse of row_keys_encode. at[i] is where in
 * keys->bytes the parts of key i begin, and is moved behind them. UTF-8 and the range of decimals are not checked: for
 * keys that were encoded here. PLINTH_CORRUPT: a key is malformed. */
PLINTH_MUST_CHECK enum plinth_status row_keys_decode(struct arena *arena, const struct row_keys *keys, uint32_t rows,
                                                     uint32_t *at, const struct column_type *types, uint32_t part_count,
                                                     enum row_key_form form, struct column *columns);
/* Moves `from` behind the parts of an INDEX key without decoding them: what is left is the primary key. */
PLINTH_MUST_CHECK bool row_key_skip(struct reader *from, const struct column_type *parts, uint32_t part_count);

/* The first 8 bytes as a big-endian number, zero-padded: decides most comparisons. */
uint64_t row_key_prefix(struct slice key);
/* A stable sort: order[i] is the row that comes i-th. `prefixes` (rows numbers, may be null) receives the prefixes in
 * sorted order. False when memory is out. Fast on keys that are sorted already or come as a few sorted stretches. */
PLINTH_MUST_CHECK bool row_keys_sort(const struct row_keys *keys, uint32_t rows, uint32_t *order, uint64_t *prefixes);

#endif
