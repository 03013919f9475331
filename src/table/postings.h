/* Postings: which rows of a segment have a value (INDEX_BITMAP) or a word (INDEX_TOKEN).
 *
 *   version u8 (1) | 3 zero bytes | terms u32 | then terms + 1 of each: uint32 where a term's bytes begin, uint64 where
 *   its bitmap begins | the terms' bytes, ascending, none twice | the bitmaps
 * Offsets count from the beginning of the bytes and of the bitmaps. A bitmap is Roaring's portable serialisation of row
 * numbers in the file. A value's term is its row key as the last part of a primary key (column/row_key.h), a word's is
 * the word (expr/tokens.h). Nulls have no term. */
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
/* Appends the block. False when memory is out. */
PLINTH_MUST_CHECK bool postings_builder_finish(struct postings_builder *builder, struct buffer *into);

/* ---- reading ---- */

/* A block that was checked, with the memory it lies in (`owned`, or borrowed from a mapped file). */
struct postings_view {
    struct buffer owned;
    uint32_t terms;
    const uint8_t *term_offsets, *bitmap_offsets; /* little-endian, maybe not aligned */
    struct slice term_bytes, bitmap_bytes;
};

/* Takes `owned` over. PLINTH_CORRUPT when offsets or terms are not in order. */
PLINTH_MUST_CHECK enum plinth_status postings_view_create(struct slice bytes, struct buffer *owned,
                                                          struct postings_view **view, struct plinth_error *error);
/* Null is allowed. */
void postings_view_destroy(struct postings_view *view);
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
