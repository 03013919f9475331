/* What the reader's files share. For this folder only. */
#ifndef PLINTH_PARQUET_READER_PRIVATE_H
#define PLINTH_PARQUET_READER_PRIVATE_H

#include "parquet/page_index_cache.h"
#include "parquet/page_read.h"
#include "parquet/reader.h"

struct parquet_reader {
    struct parquet_source *source;
    struct arena arena;   /* the parsed footer */
    struct buffer footer; /* its bytes, when the source is not mapped */
    struct parquet_metadata metadata;
    struct page_index_cache *indexes; /* those that were asked for */
    uint64_t data_end;                /* where the footer begins */
    uint64_t memory_bytes_max;
    bool check_checksums;
};

/* Where a column chunk's pages lie. */
struct chunk_range {
    uint64_t begin;
    uint64_t end;
};

/* PLINTH_INVALID_ARGUMENT when there is no such chunk, PLINTH_UNSUPPORTED when it is encrypted. */
PLINTH_MUST_CHECK enum plinth_status reader_chunk(const struct parquet_reader *reader, uint32_t row_group,
                                                  uint32_t column, const struct parquet_column_chunk **chunk,
                                                  struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status reader_chunk_range(const struct parquet_reader *reader,
                                                        const struct parquet_column_chunk *chunk,
                                                        struct chunk_range *range, struct plinth_error *error);
/* `size` bytes at `offset`, which must lie in the file: from the mapping, or read into `into` (overwritten). */
PLINTH_MUST_CHECK enum plinth_status reader_fetch(const struct parquet_reader *reader, uint64_t offset, uint64_t size,
                                                  struct buffer *into, struct slice *bytes, struct plinth_error *error);
/* Reads the page at `offset` that ends before `end`; `into` as for reader_fetch. The header lies before the body. */
PLINTH_MUST_CHECK enum plinth_status reader_fetch_page(const struct parquet_reader *reader, uint64_t offset,
                                                       uint64_t end, struct buffer *into,
                                                       struct parquet_page_header *header, struct slice *body,
                                                       struct plinth_error *error);
struct page_context reader_page_context(const struct parquet_reader *reader, uint32_t column, enum parquet_codec codec,
                                        struct parquet_scratch *scratch);
/* Puts "row group G, column C, page at OFFSET" before the error's text; returns `status`. */
enum plinth_status reader_page_error(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                     uint64_t offset, enum plinth_status status, struct plinth_error *error);

#endif
