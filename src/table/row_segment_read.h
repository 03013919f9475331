/* Decoding rows of a typed table's segment: from pages of several stripes to columns in one piece.
 *
 * A decoder has the memory that pages are decoded into; every page is then copied (and converted, where layouts differ)
 * to its place in the column that was asked for, while it is in the processor's cache. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_READ_H
#define PLINTH_TABLE_ROW_SEGMENT_READ_H

#include "table/row_segment_private.h"
#include "table/stripe.h"

enum { ROW_RANGES_MAX = 16 };

/* Rows [first, first + count) of a stripe. */
struct stripe_range {
    uint32_t stripe;
    uint32_t first;
    uint32_t count;
};

/* One thread at a time. */
struct row_decoder;
PLINTH_MUST_CHECK enum plinth_status row_decoder_create(struct row_decoder **decoder, struct plinth_error *error);
void row_decoder_destroy(struct row_decoder *decoder);
size_t row_decoder_memory(const struct row_decoder *decoder);

/* The dictionaries of the row group that is being read, for a decoder's caller to keep between calls: one slot a leaf
 * of the segment. They are referenced. `{0}` begins. */
struct row_dictionaries {
    uint32_t group;
    uint32_t count;
    struct page_cache_entry **entries;
};
PLINTH_MUST_CHECK bool row_dictionaries_init(struct row_dictionaries *dictionaries, const struct segment *segment);
void row_dictionaries_deinit(struct row_dictionaries *dictionaries);

/* What a decoder reads with. Ranges are in order, at most ROW_RANGES_MAX, of one row group, `rows` in all. */
struct row_read {
    struct segment *segment;
    const struct stripe_range *ranges;
    uint32_t range_count;
    uint32_t rows;
    bool every_page;                       /* also pages that the page index makes superfluous */
    struct arena *arena;                   /* what is read lies here */
    struct row_dictionaries *dictionaries; /* may be null: they are taken from the cache or read each time */
    struct segment_read_stats *stats;      /* may be null */
};

/* The rows of a column; nulls of type `type` when the file has none with this id. */
PLINTH_MUST_CHECK enum plinth_status row_decoder_column(struct row_decoder *decoder, const struct row_read *read,
                                                        uint32_t column_id, struct column_type type,
                                                        struct column *column, struct plinth_error *error);

/* The rows of a column of the table: what the file has, in the table's type; what a column that is not in the file is
 * read as. */
PLINTH_MUST_CHECK enum plinth_status row_decoder_table_column(struct row_decoder *decoder, const struct row_read *read,
                                                              const struct table_column *wanted, struct column *column,
                                                              struct plinth_error *error);

/* LSNs and operations. */
struct row_versions {
    const uint64_t *lsns; /* null: all `lsn` */
    uint64_t lsn;
    const uint8_t *operations; /* null: all `operation` */
    enum row_operation operation;
    const uint32_t *ordinals; /* null: the table has a key */
};
PLINTH_MUST_CHECK enum plinth_status row_decoder_versions(struct row_decoder *decoder, const struct row_read *read,
                                                          struct row_versions *versions, struct plinth_error *error);
/* The encoded keys; `columns` (with `column_ids`) may hold key columns that were read already. */
PLINTH_MUST_CHECK enum plinth_status row_decoder_keys(struct row_decoder *decoder, const struct row_read *read,
                                                      const struct row_versions *versions, const uint32_t *column_ids,
                                                      const struct column *columns, uint32_t column_count,
                                                      struct row_keys *keys, struct plinth_error *error);

/* The decoder inside a stripe decoder (stripe.h), made when first asked for. */
PLINTH_MUST_CHECK enum plinth_status stripe_decoder_rows(struct stripe_decoder *decoder, struct row_decoder **rows,
                                                         struct plinth_error *error);

#endif
