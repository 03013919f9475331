/* Reading a Parquet file.
 *
 * `struct parquet_reader` is the parsed footer over a source: immutable, used by any number of threads. Two ways
 * to the rows of a row group:
 *   - parquet_scan: batches of several columns in order;
 *   - parquet_reader_read_page: exactly page i of one column, found by the page index (a stripe read).
 * Both give struct parquet_column_data (types.h).
 *
 * Bytes are never trusted: whatever the file holds, a call gives rows or a status (PLINTH_CORRUPT, with the
 * offset and the column; PLINTH_UNSUPPORTED; PLINTH_OUT_OF_MEMORY when `memory_bytes_max` does not suffice). */
#ifndef PLINTH_PARQUET_READER_H
#define PLINTH_PARQUET_READER_H

#include "parquet/metadata.h"
#include "parquet/page_index.h"
#include "parquet/types.h"

/* Where the bytes come from. The caller embeds this struct in its own and keeps it until the reader is closed.
 * Called from all threads that read. */
struct parquet_source {
    uint64_t size;         /* of the file */
    const uint8_t *mapped; /* the whole file in memory, or null; then `read` is not called (and may be null) */
    /* Reads exactly `size` bytes at `offset` (inside the file), or fails. */
    enum plinth_status (*read)(struct parquet_source *source, uint64_t offset, void *into, size_t size,
                               struct plinth_error *error);
};

struct parquet_reader_options {
    /* Bounds the parsed footer, each page index, and each decoded page or dictionary. 0: 256 MiB. */
    uint64_t memory_bytes_max;
    bool no_checksums; /* do not check pages' CRC32 where they have one */
};

struct parquet_reader;

/* Parses the footer. `options` may be null. The reader keeps `source` until it is closed. */
PLINTH_MUST_CHECK enum plinth_status parquet_reader_open(struct parquet_source *source,
                                                         const struct parquet_reader_options *options,
                                                         struct parquet_reader **reader, struct plinth_error *error);
/* Frees the footer and what was borrowed from it. Null is allowed. */
void parquet_reader_close(struct parquet_reader *reader);
/* Schema, row groups, column chunks, statistics, key-value metadata: borrowed, valid until close. */
const struct parquet_metadata *parquet_reader_metadata(const struct parquet_reader *reader);
/* Memory held by the parsed footer. */
size_t parquet_reader_memory(const struct parquet_reader *reader);

/* Reads the page index of a column chunk; the caller deinits `*index` (also after a failure it is safe to).
 * PLINTH_NOT_FOUND when the file has no OffsetIndex for it. */
PLINTH_MUST_CHECK enum plinth_status parquet_reader_page_index(const struct parquet_reader *reader, uint32_t row_group,
                                                               uint32_t column, struct parquet_page_index *index,
                                                               struct plinth_error *error);

/* Memory that reading a page needs and that is worth keeping between pages: compressed bytes, codec states,
 * lengths. One a thread. */
struct parquet_scratch;
PLINTH_MUST_CHECK enum plinth_status parquet_scratch_create(struct parquet_scratch **scratch,
                                                            struct plinth_error *error);
void parquet_scratch_destroy(struct parquet_scratch *scratch);
size_t parquet_scratch_memory(const struct parquet_scratch *scratch);

/* Decodes a chunk's dictionary page into `*dictionary` (one slot an entry), for parquet_reader_read_page; the
 * result is immutable and may be shared by threads. PLINTH_NOT_FOUND when the chunk has none. */
PLINTH_MUST_CHECK enum plinth_status parquet_reader_dictionary(const struct parquet_reader *reader, uint32_t row_group,
                                                               uint32_t column, struct parquet_scratch *scratch,
                                                               struct parquet_column_buffer *dictionary,
                                                               struct plinth_error *error);
/* Whether the chunk has a dictionary page (some of its pages may still be encoded otherwise). */
bool parquet_reader_has_dictionary(const struct parquet_reader *reader, uint32_t row_group, uint32_t column);

/* A stripe read: decodes exactly page `page` of `index`, and checks that it holds the rows that the index says, into
 * `*into`, which keeps its memory from call to call. `dictionary` is what parquet_reader_dictionary gave; with null, it
 * is read and decoded when the page needs it. `into->data` is valid until `into` is used again or, for a mapped source,
 * unmapped. */
PLINTH_MUST_CHECK enum plinth_status
parquet_reader_read_page(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                         const struct parquet_page_index *index, uint32_t page,
                         const struct parquet_column_buffer *dictionary, struct parquet_scratch *scratch,
                         struct parquet_column_buffer *into, struct plinth_error *error);

/* Whether the chunk may hold the value, by its bloom filter: `*maybe` is false only when it certainly does not;
 * true when there is no filter. `value` is PLAIN-encoded (BYTE_ARRAY without its length). */
struct parquet_bloom; /* bloom.h */
PLINTH_MUST_CHECK enum plinth_status parquet_reader_bloom_check(const struct parquet_reader *reader, uint32_t row_group,
                                                                uint32_t column, struct slice value, bool *maybe,
                                                                struct plinth_error *error);
/* Loads the filter to be kept by the caller and asked with parquet_bloom_check (bloom.h); for a mapped source it
 * borrows the mapped bytes. PLINTH_NOT_FOUND when there is none. */
PLINTH_MUST_CHECK enum plinth_status parquet_reader_bloom(const struct parquet_reader *reader, uint32_t row_group,
                                                          uint32_t column, struct parquet_bloom *bloom,
                                                          struct plinth_error *error);

/* A scan gives the rows of one row group in batches that end where a column's page ends (in Plinth's own files:
 * with each stripe), at most `rows_max` rows each. Lists are whole, also where a file divides one between pages. */
struct parquet_scan;
/* `columns` are leaf numbers, at least one. */
PLINTH_MUST_CHECK enum plinth_status parquet_scan_create(const struct parquet_reader *reader, uint32_t row_group,
                                                         const uint32_t *columns, uint32_t column_count,
                                                         struct parquet_scan **scan, struct plinth_error *error);
/* The next rows: data[i] is columns[i], `data` is the caller's array of column_count; valid until the next call.
 * `*rows` is 0 at the end. `rows_max` 0: no bound. */
PLINTH_MUST_CHECK enum plinth_status parquet_scan_next(struct parquet_scan *scan, uint64_t rows_max,
                                                       struct parquet_column_data *data, uint64_t *rows,
                                                       struct plinth_error *error);
size_t parquet_scan_memory(const struct parquet_scan *scan);
void parquet_scan_destroy(struct parquet_scan *scan);

#endif
