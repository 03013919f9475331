/* Postings: which rows of a segment have a value (INDEX_BITMAP) or a word (INDEX_TOKEN).
 *
 *   version u8 (2) | 3 zero bytes | terms u32 | blocks u32 | head bytes u32 | packed head bytes u32 | head | blocks
 * The head, numbers as varints: for each term, ascending, how many bytes it shares with the one before and the rest of
 * it (string), then 2 * bytes of its list, and 1 if that is of runs; for each block how many terms have their lists in
 * it, and its packed bytes. A list is of row numbers in the file, ascending: how many rows lie between one and the one
 * before (of runs: and how many more rows follow at once). Lists stand one behind the other in blocks of about 32 KiB;
 * head and blocks are ZSTD frames, or as they are where that is not smaller.
 * A value's term is its row key as the last part of a primary key (column/row_key.h), a word's is the word
 * (expr/tokens.h). Nulls have no term.
 *
 * Version 1, which is read as well: version u8 (1) | 3 zero bytes | terms u32 | then terms + 1 of each: uint32 where a
 * term's bytes begin, uint64 where its bitmap begins | the terms' bytes, ascending, none twice | the bitmaps: Roaring's
 * portable serialisation. Offsets count from the beginning of the bytes and of the bitmaps. */
#ifndef PLINTH_TABLE_POSTINGS_H
#define PLINTH_TABLE_POSTINGS_H

#include "column/batch.h"
#include "table/table_schema.h"

struct roaring_bitmap_s;

/* ---- writing ---- */

enum {
    POSTINGS_TERMS_MAX = 1 << 16,   /* of values */
    POSTINGS_WORDS_MAX = 1 << 20,   /* of words */
    POSTINGS_MEMORY_MAX = 64 << 20, /* both: about; beyond, the segment has no postings */
    POSTINGS_BLOCK_BYTES = 32 << 10,
    POSTINGS_RAW_BYTES_MAX = 256 << 20, /* what a head or block may say that it unpacks to */
};

struct postings_builder;
/* Null when memory is out. */
struct postings_builder *postings_builder_create(enum index_kind kind);
void postings_builder_destroy(struct postings_builder *builder);
/* Rows of the file from `first_row` on. False when memory is out. */
PLINTH_MUST_CHECK bool postings_builder_add(struct postings_builder *builder, const struct column *column,
                                            uint32_t rows, uint64_t first_row);
/* There were too many terms: it has forgotten everything and ignores what is added. */
bool postings_builder_overflowed(const struct postings_builder *builder);
/* Appends the block, packed at this level of ZSTD; 0: not at all. False when memory is out. */
PLINTH_MUST_CHECK bool postings_builder_finish(struct postings_builder *builder, int level, struct buffer *into);

/* ---- reading ---- */

/* A block of lists. */
struct postings_lists {
    struct slice packed;
    uint64_t raw_bytes; /* as many as packed: they are as they are */
    uint32_t first_term;
};

/* A block that was checked, with the memory it lies in (`owned`, or borrowed from a mapped file). */
struct postings_view {
    struct buffer owned, terms_owned, ends_owned, lists_owned;
    uint8_t version;
    uint32_t terms, block_count;
    const uint8_t *term_offsets, *bitmap_offsets; /* little-endian, maybe not aligned; version 2: where lists begin */
    struct slice term_bytes, bitmap_bytes;        /* the latter of version 1 */
    const struct postings_lists *blocks;          /* of version 2 */
};

/* Takes `owned` over. PLINTH_CORRUPT when offsets or terms are not in order. */
PLINTH_MUST_CHECK enum plinth_status postings_view_create(struct slice bytes, struct buffer *owned,
                                                          struct postings_view **view, struct plinth_error *error);
/* Null is allowed. */
void postings_view_destroy(struct postings_view *view);
uint64_t postings_view_memory(const struct postings_view *view);
/* The rows of a term below `row_count`, which the caller frees; an empty bitmap when the term is not there.
 * PLINTH_CORRUPT when the bitmap is malformed or names rows from `row_count` on. */
PLINTH_MUST_CHECK enum plinth_status postings_view_find(const struct postings_view *view, struct slice term,
                                                        uint64_t row_count, struct roaring_bitmap_s **rows,
                                                        struct plinth_error *error);
struct slice postings_view_term(const struct postings_view *view, uint32_t number);
PLINTH_MUST_CHECK enum plinth_status postings_view_rows(const struct postings_view *view, uint32_t number,
                                                        uint64_t row_count, struct roaring_bitmap_s **rows,
                                                        struct plinth_error *error);
/* The term of a value that is not null; appended. */
PLINTH_MUST_CHECK bool postings_append_term(struct buffer *into, const struct column *column, uint32_t row);

#endif
