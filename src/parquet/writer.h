/* Writing a Parquet file to a stream.
 *
 *     parquet_writer_create            schema, per-column options
 *       parquet_writer_write ...       batches of rows, columnar
 *       parquet_writer_end_stripe      optional: all columns end their page here
 *       parquet_writer_end_row_group   optional: the row group goes out
 *       parquet_writer_append_raw      optional: bytes that other readers pass over
 *       parquet_writer_add_key_value   optional
 *     parquet_writer_finish            page indexes and footer
 *     parquet_writer_destroy
 *
 * Stripes: all columns break their pages at the same rows, after `stripe_rows` rows or where the caller ends
 * a stripe, so that stripe i of a row group is page i of every column. A list is never divided between pages, however
 * many elements it has.
 *
 * Memory: the encoded pages of the open row group are held until it ends (a column chunk is contiguous in the
 * file). What is written depends only on the calls and options: the same input gives the same bytes.
 *
 * File: "PAR1", for each row group its bloom filters and then its column chunks, raw blocks where they were
 * appended, column indexes, offset indexes, footer, footer length, "PAR1".
 *
 * One thread at a time. After a failure every call but destroy returns the first status again. */
#ifndef PLINTH_PARQUET_WRITER_H
#define PLINTH_PARQUET_WRITER_H

#include "parquet/metadata.h"
#include "parquet/schema.h"
#include "parquet/types.h"

/* Where the bytes go. The caller embeds this struct in its own; the file begins with the first byte written. */
struct parquet_sink {
    /* Takes all of `bytes` in order, or fails. */
    enum plinth_status (*write)(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error);
};

enum { PARQUET_LEVEL_DEFAULT = 0 };
enum { PARQUET_STATISTICS_UNTRUNCATED = UINT32_MAX };

struct parquet_column_options {
    /* How values are encoded: PLAIN, RLE (BOOLEAN), or the delta and split encodings where the type allows
     * it. With `dictionary`, what is fallen back to. */
    enum parquet_encoding encoding;
    /* Start with RLE_DICTIONARY; fall back for the rest of the chunk when the dictionary grows beyond its cap
     * or saves nothing. Not for BOOLEAN. */
    bool dictionary;
    uint32_t dictionary_bytes_max; /* 0: 1 MiB */
    bool dictionary_pays;          /* known from more values than a page has: only the cap ends it */
    bool dictionary_aligned;       /* indices of whole bytes: more bits, in which a codec sees more */
    enum parquet_codec codec;
    int codec_level; /* PARQUET_LEVEL_DEFAULT: the codec's own; negative ones are zstd's fast levels */
    /* Min, max and null counts of chunk and pages. */
    bool statistics;
    /* BYTE_ARRAY bounds (but DECIMALs) longer than this are truncated (max rounded up); 0: 64 bytes;
     * PARQUET_STATISTICS_UNTRUNCATED: exact always. Other types are always exact. */
    uint32_t statistics_bytes_max;
    /* ColumnIndex (needs statistics) beside the OffsetIndex, which is always written with page_index. */
    bool page_index;
    bool bloom;
    uint64_t bloom_distinct; /* expected distinct values a row group; 0: sized by what was written */
    uint32_t bloom_bits;     /* bits a distinct value; 0: 10 (about 1 % false positives); the size is rounded
                                up to a power of two */
};

/* PLAIN, no dictionary, uncompressed, statistics and page index on, no bloom filter. */
struct parquet_column_options parquet_column_options_default(void);

struct parquet_writer_options {
    uint32_t stripe_rows;                         /* 0: 20,000 */
    uint64_t row_group_rows;                      /* 0: only where the caller ends them (and at most 2^31 - 1) */
    uint8_t data_page_version;                    /* 1 or 2; 0: the default, 2 */
    bool no_checksums;                            /* leave out the pages' CRC32 */
    const char *created_by;                       /* null: "plinth-parquet version <version>" */
    const char *root_name;                        /* null: "schema" */
    const struct parquet_sorting_column *sorting; /* how the caller's rows are sorted; copied */
    uint32_t sorting_count;
    uint32_t threads; /* that encode columns, the caller's included; 0: 1. The bytes are the same with any number */
};

struct parquet_writer;

/* `nodes` as in schema.h; `columns` has one entry for each leaf (null: defaults for all). All options are copied.
 * `sink` is borrowed until destroy. Nothing is written before the first row group or raw block.
 * PLINTH_INVALID_ARGUMENT names the column whose options do not fit its type. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_create(struct parquet_sink *sink, const struct parquet_node *nodes,
                                                           uint32_t node_count,
                                                           const struct parquet_column_options *columns,
                                                           const struct parquet_writer_options *options,
                                                           struct parquet_writer **writer, struct plinth_error *error);
/* Frees; a file that was not finished is not a Parquet file. Null is allowed. */
void parquet_writer_destroy(struct parquet_writer *writer);

/* Appends `rows` rows: columns[i] is leaf i, with at least `rows` slots. A REQUIRED column's validity is not read.
 * A column with levels (in lists and optional groups) needs its levels, and its `slots` must be exactly the slots of
 * these rows: as many rows as the batch has, whatever the number of slots. Its validity is not read, nor are the values
 * of slots without one.
 * (`rows` and, without repetition, `slots` of columns are not read.) PLINTH_INVALID_ARGUMENT names the column whose
 * levels do not fit.
 * The data is not referred to after the call. Full stripes inside a large batch are encoded from the caller's memory
 * without a copy. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_write(struct parquet_writer *writer,
                                                          const struct parquet_column_data *columns, uint64_t rows,
                                                          struct plinth_error *error);
/* Ends the page of every column, when rows have been written since the last one. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_end_stripe(struct parquet_writer *writer,
                                                               struct plinth_error *error);
/* Ends the stripe and writes out the row group, when it has rows. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_end_row_group(struct parquet_writer *writer,
                                                                  struct plinth_error *error);
/* Columns are encoded so from the next row group on; only between row groups. Of the options `encoding`, `dictionary`,
 * dictionary_pays and dictionary_aligned are taken. PLINTH_INVALID_ARGUMENT as parquet_writer_create, or when rows of
 * this row group have been written. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_set_encodings(struct parquet_writer *writer,
                                                                  const struct parquet_column_options *columns,
                                                                  struct plinth_error *error);
/* Ends the row group, then writes `bytes` as they are and tells their offset. Call it again to go on writing the
 * same block; the caller remembers offset and size (for example as key-value metadata). */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_append_raw(struct parquet_writer *writer, struct slice bytes,
                                                               uint64_t *offset, struct plinth_error *error);
/* File-level key-value metadata in order of the calls; both are copied. Allowed until finish. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_add_key_value(struct parquet_writer *writer, const char *key,
                                                                  struct slice value, struct plinth_error *error);
/* Ends the row group and writes page indexes and footer; `*file_bytes` (may be null) is the file's exact size. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_finish(struct parquet_writer *writer, uint64_t *file_bytes,
                                                           struct plinth_error *error);

/* Bytes given to the sink so far: the offset of the next one. */
uint64_t parquet_writer_position(const struct parquet_writer *writer);
/* Encoded and compressed bytes of the open row group: what ending it would add, dictionaries not counted. */
uint64_t parquet_writer_row_group_bytes(const struct parquet_writer *writer);
/* Raw bytes of the rows in the open stripe (for byte caps), and how many rows. */
uint64_t parquet_writer_stripe_bytes(const struct parquet_writer *writer);
uint32_t parquet_writer_stripe_rows(const struct parquet_writer *writer);
/* All memory held: open stripe, encoded pages, dictionaries, bloom filters, metadata. */
uint64_t parquet_writer_memory(const struct parquet_writer *writer);

#endif
