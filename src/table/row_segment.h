/* Segments of typed tables: Parquet files of the table's own columns.
 *
 * Columns, in this order: the table's columns by name, each with its column id as field id (REQUIRED in the key, else
 * OPTIONAL, as deletes have no values), `_lsn` INT64 REQUIRED, `_op` INT32 REQUIRED (enum row_operation), and `_ord`
 * INT32 REQUIRED in tables without a key. Names that begin with an underscore are not allowed for users' columns. Rows
 * are in row order. Row stripes as in segment.h, of schema->page_rows rows and a byte cap; where that is 0, of 1,024
 * rows, in ZSTD files of up to 16,384 where rows are small, in those of SEGMENT_ZSTD_THOROUGH of up to 65,536. Where
 * all rows of a page have one _lsn or _op, or a column is null throughout, the page index says so and the page is not
 * read.
 *
 * What composite keys need on top is one hidden block (parquet_writer_append_raw) in front of the page indexes, at
 * plinth.stripe_index = "offset,bytes,crc32c": for each stripe its first key, and for each row group a split-block
 * bloom filter over the hashes (hash_stable) of its encoded keys, left out where it is of little use (without a key; in
 * ZSTD files of small rows). INDEX_BITMAP and INDEX_TOKEN postings are further hidden blocks (postings.h;
 * plinth.postings.<column id>.<b|t> = "offset,bytes,crc32c"): sorted terms (encoded value, or word), each with a
 * list of row numbers in the file; left out beyond 65,536 values, 2^20 words, or 64 MiB.
 *
 * Key-value metadata besides segment.h's: plinth.kind = "rows", plinth.schema_version, plinth.key (column ids,
 * comma-separated), plinth.types (column id:type text;…), plinth.no_nan (ids of floating-point columns without NaN,
 * whose bounds count), plinth.partition.
 *
 * An open row segment is a struct segment: segment_open tells the kinds apart, and segment_get, the lsn_only iterator,
 * run.h and segment_verify work on both; what needs columns is here. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_H
#define PLINTH_TABLE_ROW_SEGMENT_H

#include "parquet/bloom.h"
#include "table/block_stream.h"
#include "table/segment.h"

struct row_segment_options {
    const struct table_schema *schema; /* which columns, key, codec, page rows; indexes that live in segments */
    const struct table_index *index;   /* null, or what the rows are the entries of (row_segment_entries.h) */
    uint64_t job;
    enum segment_codec codec; /* where the table's is TABLE_CODEC_DEFAULT */
    bool has_partition;
    int64_t partition;
    uint64_t group_bytes_max; /* raw, of a row group, which is in memory until it ends; 0: 64 MiB */
};

struct row_segment_writer;

PLINTH_MUST_CHECK enum plinth_status row_segment_writer_open(struct store *store, const char *name,
                                                             const struct row_segment_options *options,
                                                             struct row_segment_writer **writer,
                                                             struct plinth_error *error);
/* Adds rows [first, first + count) of a block that has keys; in row order across calls. Columns that the block lacks
 * are null. The first blocks are referenced until there are enough rows to choose encodings by. */
PLINTH_MUST_CHECK enum plinth_status row_segment_writer_add(struct row_segment_writer *writer,
                                                            const struct row_block *block, uint32_t first,
                                                            uint32_t count, struct plinth_error *error);
uint64_t row_segment_writer_raw_bytes(const struct row_segment_writer *writer);
uint64_t row_segment_writer_rows(const struct row_segment_writer *writer);
/* As segment_writer_commit and segment_writer_abort. */
PLINTH_MUST_CHECK enum plinth_status row_segment_writer_commit(struct row_segment_writer *writer,
                                                               struct segment_info *info, struct plinth_error *error);
void row_segment_writer_abort(struct row_segment_writer *writer);

/* ---- an open segment of a typed table ---- */

bool segment_is_rows(const struct segment *segment);
/* The version of the table's schema that it was written with; 0: the file does not say. Reads the footer if need be. */
PLINTH_MUST_CHECK enum plinth_status segment_schema_version(struct segment *segment, uint64_t *version,
                                                            struct plinth_error *error);
/* Whether a reader at `lsn` sees all its rows as they are: no version of a key twice, no delete, nothing above. */
bool segment_is_plain_at(const struct segment *segment, uint64_t lsn);

/* What was done, summed over a scan; for --explain. */
struct segment_read_stats {
    uint64_t stripes_read, stripes_skipped, rows_read, pages_read, bytes_read;
};

/* From here to segment_read_stripe: of a loaded segment (segment_load). */
uint32_t segment_stripe_count(const struct segment *segment);
uint32_t segment_stripe_rows(const struct segment *segment, uint32_t stripe);
/* Number, in the file, of the stripe's first row. */
uint64_t segment_stripe_first_row(const struct segment *segment, uint32_t stripe);
struct slice segment_stripe_first_key(const struct segment *segment, uint32_t stripe);
/* The stripes that may hold keys of [lower, upper): [*first, *end). */
void segment_stripes_in(const struct segment *segment, struct slice lower, struct slice upper, uint32_t *first,
                        uint32_t *end);

/* About how many stripes there are, without loading the segment. */
uint64_t segment_stripe_estimate(const struct segment *segment);

/* Decodes columns of one stripe into a batch (columns in the order asked for, in the types that `schema` has; missing
 * ones as table_column_absent). `cached`: through the page cache, column by column (point reads), else into fresh
 * memory of the batch.
 */
PLINTH_MUST_CHECK enum plinth_status segment_read_stripe(struct segment *segment, uint32_t stripe,
                                                         const struct table_schema *schema, const uint32_t *column_ids,
                                                         uint32_t column_count, bool cached, struct batch **batch,
                                                         struct segment_read_stats *stats, struct plinth_error *error);
/* Whether segment_read_stripe would find all of these columns in the page cache. */
bool segment_stripe_is_cached(struct segment *segment, uint32_t stripe, const uint32_t *column_ids,
                              uint32_t column_count);
/* Columns of a stripe from the page cache, for look-ups that take a row of each of many stripes: columns[i] lies in
 * entries[i], which is the caller's to unref; both are null where the cache, or the file, has not got the column. Types
 * are those of the file: table_column_widen. */
void segment_find_columns(struct segment *segment, uint32_t stripe, const uint32_t *column_ids, uint32_t column_count,
                          struct page_cache_entry **entries, const struct column **columns);
bool segment_has_column(const struct segment *segment, uint32_t column_id);
/* Whether a loaded segment has columns of a typed table, be it of rows or of entries. */
bool segment_has_columns(const struct segment *segment);
/* LSNs, operations and keys of one stripe as a block without columns. They come from the page
 * cache whatever `cached` says, as whoever reads them once does it again. */
PLINTH_MUST_CHECK enum plinth_status segment_read_stripe_keys(struct segment *segment, uint32_t stripe, bool cached,
                                                              struct row_block **block,
                                                              struct segment_read_stats *stats,
                                                              struct plinth_error *error);
/* All versions in order, as blocks of a few stripes each: about 8,192 rows. */
PLINTH_MUST_CHECK enum plinth_status segment_block_stream_open(struct segment *segment, const struct block_read *read,
                                                               struct block_stream **stream,
                                                               struct plinth_error *error);

/* Bounds of a column in a stripe, a row group or the whole file, for predicate_prune: memory from `arena`; has_values
 * and has_nulls_known are false where the file does not tell. Whole-file and row-group bounds are in memory; a stripe's
 * come from the page index (loaded once, kept with the segment). */
struct column_bounds; /* expr/predicate.h */
PLINTH_MUST_CHECK enum plinth_status segment_column_bounds(struct segment *segment, const struct table_schema *schema,
                                                           uint32_t column_id, struct arena *arena,
                                                           struct column_bounds *bounds, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status segment_stripe_bounds(struct segment *segment, const struct table_schema *schema,
                                                           uint32_t stripe, uint32_t column_id, struct arena *arena,
                                                           struct column_bounds *bounds, struct plinth_error *error);
/* Whether a row group's bloom filter (INDEX_BLOOM) rules the value out for the stripe's row group; true: may be there.
 */
PLINTH_MUST_CHECK enum plinth_status segment_stripe_bloom(struct segment *segment, uint32_t stripe, uint32_t column_id,
                                                          const struct column *value, bool *maybe,
                                                          struct plinth_error *error);
/* The rows of the file with one of the values (INDEX_BITMAP) or with every word (INDEX_TOKEN: `values` has one row, a
 * text), by the segment's postings. *rows is a roaring_bitmap_t that the caller frees; null: the segment has no such
 * postings (written before the index was made, or too many terms), or the text has no words. Superset-free: exact for
 * the versions stored. */
struct roaring_bitmap_s;
PLINTH_MUST_CHECK enum plinth_status segment_postings(struct segment *segment, uint32_t column_id, enum index_kind kind,
                                                      const struct column *values, uint32_t value_count,
                                                      struct roaring_bitmap_s **rows, struct plinth_error *error);

#endif
