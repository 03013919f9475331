/* Stripes in memory: a few hundred rows of a segment, decoded.
 *
 * `struct stripe_rows` is a view of them as columns. It lies over a decoder's buffers (iterators: valid until the
 * decoder's next read) or inside a `struct stripe`, which is one allocation, holds everything that a point read needs
 * and lives in the page cache. */
#ifndef PLINTH_TABLE_STRIPE_H
#define PLINTH_TABLE_STRIPE_H

#include "table/segment_private.h"

struct stripe_rows {
    uint32_t count;
    const uint32_t *key_offsets;
    const uint8_t *keys;
    const uint64_t *lsns;      /* null: all `lsn` */
    const uint8_t *operations; /* null: all `operation` */
    uint64_t lsn;
    enum row_operation operation;
    const uint32_t *value_offsets; /* null: all values are empty or were not asked for */
    const uint8_t *values;
    const uint32_t *indexes_offsets; /* null: as above */
    const uint8_t *indexes;
};

static inline struct slice stripe_rows_key(const struct stripe_rows *rows, uint32_t row) {
    uint32_t begin = rows->key_offsets[row];
    return slice_of(rows->keys + begin, rows->key_offsets[row + 1] - begin);
}
static inline uint64_t stripe_rows_lsn(const struct stripe_rows *rows, uint32_t row) {
    return rows->lsns ? rows->lsns[row] : rows->lsn;
}
static inline void stripe_rows_get(const struct stripe_rows *rows, uint32_t row, struct row *into) {
    into->key = stripe_rows_key(rows, row);
    into->lsn = stripe_rows_lsn(rows, row);
    into->operation = rows->operations ? (enum row_operation)rows->operations[row] : rows->operation;
    into->value = into->indexes = (struct slice){0};
    if (rows->value_offsets) {
        uint32_t begin = rows->value_offsets[row];
        into->value = slice_of(rows->values + begin, rows->value_offsets[row + 1] - begin);
    }
    if (rows->indexes_offsets) {
        uint32_t begin = rows->indexes_offsets[row];
        into->indexes = slice_of(rows->indexes + begin, rows->indexes_offsets[row + 1] - begin);
    }
}
/* Index of the first row at or behind (key, lsn), at most `count`. */
uint32_t stripe_rows_find(const struct stripe_rows *rows, struct slice key, uint64_t lsn);

/* ---- decoding ---- */

enum stripe_parts {
    STRIPE_KEYS_ONLY = 0,  /* key, LSN, operation */
    STRIPE_VALUES = 1,     /* and value and indexes */
    STRIPE_EVERY_PAGE = 2, /* also the pages that the page index makes superfluous */
};

/* Buffers for decoding stripes, one stripe at a time, one thread at a time. */
struct stripe_decoder;
/* From a small pool that all segments share, or new. */
PLINTH_MUST_CHECK enum plinth_status stripe_decoder_acquire(struct stripe_decoder **decoder,
                                                            struct plinth_error *error);
/* Null is allowed. */
void stripe_decoder_release(struct stripe_decoder *decoder);
/* Reads and decodes the pages of a stripe; `parts` is a sum of enum stripe_parts. `rows` is valid until the next read
 * with this decoder. Checked are checksums, counts, operations and the first key; errors name the object. */
PLINTH_MUST_CHECK enum plinth_status stripe_decode(struct segment *segment, uint32_t stripe, unsigned parts,
                                                   struct stripe_decoder *decoder, struct stripe_rows *rows,
                                                   struct plinth_error *error);
/* The validity of value and _index as they stand in the pages just read, for segment_verify: null when all rows have
 * one (or the page was not read). */
const uint8_t *stripe_decoder_validity(const struct stripe_decoder *decoder, enum segment_column column);
/* Whether the last read decoded a page of this column. */
bool stripe_decoder_has_read(const struct stripe_decoder *decoder, enum segment_column column);

/* ---- cached stripes ---- */

struct stripe {
    struct page_cache_entry entry;
    struct stripe_rows rows;
    uint32_t common;    /* bytes that all its keys begin with */
    uint64_t *prefixes; /* key_prefix of what follows them */
};

/* The stripe from the cache; null when it is not there. With `parts` STRIPE_KEYS_ONLY a whole stripe serves, too. */
struct stripe *stripe_find_cached(struct segment *segment, uint32_t stripe, unsigned parts);
/* From the cache, or decoded and put there. Referenced; released by stripe_unref. */
PLINTH_MUST_CHECK enum plinth_status stripe_load(struct segment *segment, uint32_t stripe, unsigned parts,
                                                 struct stripe **loaded, struct plinth_error *error);
static inline void stripe_unref(struct stripe *stripe) {
    if (stripe) page_cache_unref(&stripe->entry);
}
/* As stripe_rows_find, by the prefixes. */
uint32_t stripe_find(const struct stripe *stripe, struct slice key, uint64_t lsn);
/* Asks the processor for the memory that stripe_find will look at first: of several stripes at once, before any of them
 * is searched. Two steps, as the second looks at what the first has asked for. */
void stripe_prefetch_ends(const struct stripe *stripe);
void stripe_prefetch_guess(const struct stripe *stripe, struct slice key);

#endif
