/* What the files row_segment*.c and postings.c share: the additions of a typed table's open segment to
 * segment_private.h.
 *
 * The hidden block behind plinth.stripe_index, numbers as varints unless said:
 *   row groups | for each: stripes, blocks of the key filter
 *   for each stripe: rows, flags u8 (STRIPE_CONTINUES), bytes shared with the stripe before's first key, the rest of
 *     its own first key (string)
 *   the file's last key (string)
 *   for each row group: the blocks of its filter (parquet/bloom.h) over hash_stable of the encoded keys */
#ifndef PLINTH_TABLE_ROW_SEGMENT_PRIVATE_H
#define PLINTH_TABLE_ROW_SEGMENT_PRIVATE_H

#include "table/row_segment.h"
#include "table/row_segment_column.h"
#include "table/segment_private.h"

/* Column ids are below this (table_schema.h has at most TABLE_COLUMNS_MAX at a time, ids are never used again). */
enum { ROW_COLUMN_ID_MAX = 1 << 24 };

/* A stripe's raw bytes are at most this many, if it has more than one row; twice as many in SEGMENT_ZSTD_THOROUGH. */
enum { ROW_STRIPE_BYTES_MAX = 1 << 20 };

struct row_segment_column {
    uint32_t id;
    struct column_type type;
    uint32_t leaf;
    bool has_no_nan; /* floating point: no value is NaN */
};

/* A hidden block in the file. */
struct hidden_block {
    uint64_t offset, bytes;
    uint32_t crc;
};

struct postings_block {
    uint32_t column_id;
    enum index_kind kind;
    struct hidden_block block;
    _Atomic(struct postings_view *) loaded;
};

struct row_segment {
    uint32_t column_count;
    struct row_segment_column *columns; /* ids ascend */
    uint32_t key_count;
    uint32_t key[ROW_KEY_PARTS_MAX]; /* indexes in `columns`; key_count 0: keys are row ids */
    uint32_t index_count;            /* of entries: the index's columns, which their keys begin with */
    uint32_t index[ROW_KEY_PARTS_MAX];
    uint32_t included_count; /* of these, at the end */
    uint32_t ordinal_leaf;   /* with key_count 0 */
    uint32_t leaf_count;
    /* Page indexes by row group * leaf_count + leaf, read when first needed. */
    _Atomic(struct parquet_page_index *) *pages;
    atomic_size_t loaded_bytes; /* page indexes and postings */
    struct buffer stripe_index; /* the hidden block, when the file is not mapped: key filters lie in it */
    uint64_t schema_version;    /* of the schema it was written with; 0: not said */
    uint32_t postings_count;
    struct postings_block *postings;
};

/* Finds the columns, reads the stripe index and checks both; fills in segment->rows, groups and stripes. */
PLINTH_MUST_CHECK enum plinth_status row_segment_load(struct segment *segment, struct plinth_error *error);
/* Frees what row_segment_load and reading made. Of any segment. */
void row_segment_unload(struct segment *segment);
/* Beyond arena and reader. Of any segment. */
uint64_t row_segment_memory(const struct segment *segment);

/* The column with this id, or null. */
const struct row_segment_column *row_segment_find(const struct segment *segment, uint32_t column_id);
/* The page index of a column chunk, checked against the stripes; kept with the segment. Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status row_segment_pages(struct segment *segment, uint32_t group, uint32_t leaf,
                                                       const struct parquet_page_index **pages,
                                                       struct plinth_error *error);
/* Reads a hidden block and checks it: `*bytes` lies in the mapped file, or in `owned`. */
PLINTH_MUST_CHECK enum plinth_status row_segment_read_block(struct segment *segment, const struct hidden_block *block,
                                                            struct buffer *owned, struct slice *bytes,
                                                            struct plinth_error *error);

/* Key parts of all rows of a stripe (or the row ids), LSNs and operations: stripe_decode for typed tables. */
struct stripe_decoder;
struct stripe_rows;
PLINTH_MUST_CHECK enum plinth_status row_stripe_decode(struct segment *segment, uint32_t stripe, unsigned parts,
                                                       struct stripe_decoder *decoder, struct stripe_rows *rows,
                                                       struct plinth_error *error);

#endif
