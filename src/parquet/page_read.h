/* From the bytes of a page to rows: checksum, decompression, levels, values, and the nulls put back in.
 *
 * Page v1: the body is compressed as a whole; it holds repetition levels, definition levels (each, when the column has
 * such levels, a uint32 length and RLE data) and values. Page v2: the levels come first, uncompressed and without
 * lengths (those are in the header), then the values, compressed or not. */
#ifndef PLINTH_PARQUET_PAGE_READ_H
#define PLINTH_PARQUET_PAGE_READ_H

#include "parquet/codec.h"
#include "parquet/metadata_private.h"

struct parquet_scratch {
    struct codec_state codec;
    struct buffer fetched;  /* bytes as they lie in the file, when the source is not mapped */
    struct buffer page;     /* decompressed bytes that are decoded to somewhere else */
    struct buffer integers; /* uint32: dictionary indices, lengths */
    struct buffer bits;     /* BOOLEAN values without their nulls */
    struct parquet_column_buffer dictionary;
};

struct page_context {
    const struct parquet_column *column;
    enum parquet_codec codec;
    const struct parquet_column_buffer *dictionary; /* null: there is none */
    uint64_t memory_bytes_max;
    bool check_checksums;
    bool can_borrow; /* the body's bytes outlive the decoded rows */
    struct parquet_scratch *scratch;
};

/* Whether decoding the page needs its chunk's dictionary. */
static inline bool page_needs_dictionary(const struct parquet_page_header *header) {
    return header->encoding == PARQUET_ENCODING_PLAIN_DICTIONARY || header->encoding == PARQUET_ENCODING_RLE_DICTIONARY;
}

/* Decodes a data page (v1 or v2) into `*into`. `body` has header->compressed_bytes. */
PLINTH_MUST_CHECK enum plinth_status page_decode(const struct page_context *context,
                                                 const struct parquet_page_header *header, struct slice body,
                                                 struct parquet_column_buffer *into, struct plinth_error *error);
/* Decodes a dictionary page, one slot an entry. Never borrows. */
PLINTH_MUST_CHECK enum plinth_status page_decode_dictionary(const struct page_context *context,
                                                            const struct parquet_page_header *header, struct slice body,
                                                            struct parquet_column_buffer *into,
                                                            struct plinth_error *error);

#endif
