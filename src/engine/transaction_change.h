/* What TRANSACTION records say (change.h): the end of a transaction over key spaces and typed tables.
 *
 *   TRANSACTION       parts u8 | several parts: unit id u64, offset varint | body, or the last part of it
 *   TRANSACTION_PART  parts u8 (1) | unit id u64 | offset varint | a part of the body, not the last
 *
 *   body   snapshot LSN
 *          key count, stored keys read; range count, (lower, upper) stored bounds read
 *          table count; each table that rows were read of, or index: tenant, database, table | key count, keys read |
 *            range count, (lower, upper) bounds read, an empty upper one for none; keys as row_key.h has them
 *          operation count, operations (change.h)
 *          rows count; as strings: ROWS payloads of upserts and deletes, not in units, none a chunk; rows of one table
 *            have a key once in all of them
 *
 * A body that does not fit into a record is cut into parts (chunks i of n in their headers), which are a unit
 * (units.h): the last one, the TRANSACTION record, decides, and everything takes its LSN. Ordinals of rows without a
 * key run on over all of the body. */
#ifndef PLINTH_ENGINE_TRANSACTION_CHANGE_H
#define PLINTH_ENGINE_TRANSACTION_CHANGE_H

#include "engine/change.h"

struct transaction_part {
    bool in_unit; /* one of several */
    uint64_t unit;
    uint64_t offset;    /* of `bytes` in the body */
    struct slice bytes; /* decoded ones */
};
enum { TRANSACTION_PART_HEAD_BYTES_MAX = 1 + 8 + VARINT_BYTES_MAX };
PLINTH_MUST_CHECK bool transaction_part_encode(struct buffer *into, const struct transaction_part *part); /* the head */
bool transaction_part_decode(enum change_kind kind, struct slice payload, struct transaction_part *part);
/* The part as units.h takes it. */
struct rows_change transaction_part_in_unit(const struct transaction_part *part, bool last);
enum { TRANSACTION_IN_UNIT = 3 }; /* the operation of such a unit */

/* What was read of one table of rows, or of one index. */
struct row_reads {
    struct table_id table;
    struct buffer keys, ranges; /* encoded strings */
    uint64_t key_count, range_count;
};
void row_reads_deinit(struct row_reads *reads);
PLINTH_MUST_CHECK bool row_reads_key(struct row_reads *reads, struct slice key);
/* Keys in [lower, upper); empty bounds are none. */
PLINTH_MUST_CHECK bool row_reads_range(struct row_reads *reads, struct slice lower, struct slice upper);
PLINTH_MUST_CHECK bool row_reads_encode(struct buffer *into, const struct row_reads *reads);

/* A decoded body; slices are borrowed. */
struct transaction_change {
    struct condition condition; /* but `operations` is only them */
    uint64_t table_count;
    struct slice tables;
    uint64_t rows_count;
    struct slice rows;
};
bool transaction_change_decode(struct slice body, struct transaction_change *change);

/* Reads of one table after the other; false at the end, and when malformed. */
struct row_reads_view {
    struct table_id table;
    uint64_t key_count, range_count;
    struct slice keys, ranges;
};
bool row_reads_next(struct reader *tables, uint64_t *left, struct row_reads_view *view);

#endif
