/* Decoding and encoding of everything that is Thrift in a Parquet file. For this folder only. */
#ifndef PLINTH_PARQUET_METADATA_PRIVATE_H
#define PLINTH_PARQUET_METADATA_PRIVATE_H

#include "parquet/bloom.h"
#include "parquet/bounded_arena.h"
#include "parquet/metadata.h"
#include "parquet/page_index.h"

enum parquet_page_type {
    PARQUET_PAGE_DATA = 0,
    PARQUET_PAGE_INDEX = 1,
    PARQUET_PAGE_DICTIONARY = 2,
    PARQUET_PAGE_DATA_V2 = 3,
};

struct parquet_page_header {
    enum parquet_page_type type;
    uint32_t uncompressed_bytes;
    uint32_t compressed_bytes;
    bool has_crc;
    uint32_t crc;
    uint32_t value_count; /* slots, nulls included; entries of a dictionary */
    enum parquet_encoding encoding;
    enum parquet_encoding definition_encoding, repetition_encoding; /* v1 */
    uint32_t null_count, row_count;                                 /* v2 */
    uint32_t definition_bytes, repetition_bytes;                    /* v2 */
    bool is_compressed;                                             /* v2 */
};

/* Decodes the footer. Strings are borrowed from `bytes`, the rest comes from `memory`. */
PLINTH_MUST_CHECK enum plinth_status metadata_decode(struct slice bytes, struct bounded_arena memory,
                                                     struct parquet_metadata *metadata, struct plinth_error *error);
/* Decodes a page header at the start of `bytes`; `*header_bytes` is its size. PLINTH_CORRUPT; `*is_truncated` tells
 * that more bytes than given might have made it whole. */
PLINTH_MUST_CHECK enum plinth_status page_header_decode(struct slice bytes, struct parquet_page_header *header,
                                                        size_t *header_bytes, bool *is_truncated,
                                                        struct plinth_error *error);
/* Fills locations (offset, bytes, first_row), page_count and unencoded_bytes. */
PLINTH_MUST_CHECK enum plinth_status offset_index_decode(struct slice bytes, struct bounded_arena memory,
                                                         struct parquet_page_index *index, struct plinth_error *error);
/* Fills the rest, index->page_count must be known. Values are borrowed from `bytes`; the numbers of levels are not
 * checked. */
PLINTH_MUST_CHECK enum plinth_status column_index_decode(struct slice bytes, struct bounded_arena memory,
                                                         struct parquet_page_index *index, struct plinth_error *error);
/* Decodes the filter's header; `*bitset_bytes` follow it. PLINTH_UNSUPPORTED for other algorithms. */
PLINTH_MUST_CHECK enum plinth_status bloom_header_decode(struct slice bytes, size_t *header_bytes,
                                                         uint32_t *bitset_bytes, struct plinth_error *error);

/* The encoders append to `out`; false when memory is out. */
PLINTH_MUST_CHECK bool metadata_encode(const struct parquet_metadata *metadata, struct buffer *out);
PLINTH_MUST_CHECK bool page_header_encode(const struct parquet_page_header *header, struct buffer *out);
PLINTH_MUST_CHECK bool offset_index_encode(const struct parquet_page_location *locations,
                                           const uint64_t *unencoded_bytes, uint32_t count, struct buffer *out);
/* `index`: bounds, order, NaN counts and levels of all its pages. */
PLINTH_MUST_CHECK bool column_index_encode(const struct parquet_page_index *index, struct buffer *out);
PLINTH_MUST_CHECK bool bloom_header_encode(uint32_t bitset_bytes, struct buffer *out);

#endif
