/* Segments: the sorted, immutable Parquet files of one table.
 *
 * Columns of a key space:   key BINARY REQUIRED, value BINARY (null for deletes), _index BINARY (row.h's list; null for
 *                           none), _lsn INT64 REQUIRED, _op INT32 REQUIRED (enum row_operation). The value of a row
 *                           with a reference is null, too.
 * Columns of an index table: key BINARY (the index entry of key_encoding.h), _lsn, _op. Those of typed tables' indexes
 *                           had this form, too (the entry of row_key.h), and now have columns: row_segment_entries.h.
 *
 * Rows are in row order. All columns break pages at the same rows (row stripes: 256 rows or stripe_bytes of raw data),
 * so that stripe i of a row group is page i of each column. The page index of `key`, with untruncated bounds, is the
 * stripe index; a split-block bloom filter for each row group covers the keys (index tables have none). Versions of one
 * key may straddle stripes and row groups, not segments. Where the page index says that _op or _lsn are constant or
 * _index is null, those pages are not read.
 *
 * Key-value metadata, all decimal: plinth.format, plinth.tenant, plinth.database, plinth.table, plinth.lsn_min,
 * plinth.lsn_max, plinth.rows_deleted, plinth.rows_superseded ("0" when no key has two versions in the file). */
#ifndef PLINTH_TABLE_SEGMENT_H
#define PLINTH_TABLE_SEGMENT_H

#include "column/key_encoding.h"
#include "store/store.h"
#include "table/iterator.h"
#include "table/page_cache.h"

/* What the manifest knows of a segment; all memory is the holder's (segment_info_deinit). */
struct segment_info {
    char name[96]; /* the object's name in the store: segments/<job>/<table>-<random>.parquet */
    struct table_id table;
    uint64_t job;
    uint64_t lsn_min, lsn_max;
    uint64_t rows;
    uint64_t deletes;    /* rows with ROW_DELETE */
    uint64_t superseded; /* rows whose key has a newer row in the same segment */
    uint64_t bytes;
    uint32_t index_crc; /* CRC-32C of footer, page indexes and bloom filters; 0 until the segment was opened once */
    bool is_rows;       /* of a typed table (row_segment.h); else of a key space or an index */
    bool has_partition; /* all rows lie in partition `partition` of the table (table_schema.h) */
    int64_t partition;
    uint64_t purged_lsn; /* range deletes up to here hide nothing in it; 0: it has not been looked at */
    /* Rows with an expiry, the least and the greatest one; 0 without any. */
    uint64_t expiring, expires_min, expires_max;
    uint64_t references;            /* rows whose value lies in the store (row.h) */
    struct buffer key_min, key_max; /* without table prefix */
};

void segment_info_deinit(struct segment_info *info);
PLINTH_MUST_CHECK bool segment_info_copy(struct segment_info *to, const struct segment_info *from);
/* Bounds of more than 128 bytes together are left out: segment_open finds them in the file. */
PLINTH_MUST_CHECK bool segment_info_encode(struct buffer *into, const struct segment_info *info);
/* Defensive; false on malformed bytes or memory out (then `info` is empty). */
PLINTH_MUST_CHECK bool segment_info_decode(struct reader *from, struct segment_info *info);

/* What an object says of itself, for tools that look at one without its manifest: everything but `job`, index_crc and
 * the bounds, which are 0 and empty: segment_open takes it, and finds the bounds. PLINTH_NOT_FOUND when there is no
 * such object; PLINTH_CORRUPT when it is no segment. */
PLINTH_MUST_CHECK enum plinth_status segment_info_read(struct store *store, const char *name, struct segment_info *info,
                                                       struct plinth_error *error);

enum segment_codec {
    SEGMENT_LZ4 = 1,
    SEGMENT_ZSTD = 2,
    SEGMENT_UNCOMPRESSED = 3,
    SEGMENT_ZSTD_THOROUGH = 4, /* ZSTD with several times the work: for a merge that was asked for */
    SEGMENT_ZSTD_FAST = 5,     /* ZSTD with a fifth of the work: what is written will be merged again */
};

struct table_schema;
struct table_index;

struct segment_options {
    struct table_id table;
    bool index_table; /* no value and _index columns */
    /* Of a typed table's sorted index: what its keys are made of, and so what columns the file has. Borrowed until the
     * writer is gone; both or neither. */
    const struct table_schema *schema;
    const struct table_index *index;
    uint64_t job;
    enum segment_codec codec;
    uint32_t stripe_rows;     /* 0: 256 */
    uint32_t stripe_bytes;    /* 0: 32 KiB */
    uint64_t group_bytes_max; /* raw, of a row group, which is in memory until it ends; 0: 32 MiB, of entries 64 */
};

struct segment_writer;

/* Starts object `name` in the store. */
PLINTH_MUST_CHECK enum plinth_status segment_writer_open(struct store *store, const char *name,
                                                         const struct segment_options *options,
                                                         struct segment_writer **writer, struct plinth_error *error);
/* Adds the next row; rows come in row order (checked: PLINTH_INTERNAL otherwise). */
PLINTH_MUST_CHECK enum plinth_status segment_writer_add(struct segment_writer *writer, const struct row *row,
                                                        struct plinth_error *error);
/* Raw bytes added and rows added so far, to decide when to start the next file. */
uint64_t segment_writer_raw_bytes(const struct segment_writer *writer);
uint64_t segment_writer_rows(const struct segment_writer *writer);
/* Ends the file, makes it durable, frees the writer (also on failure, where the object is dropped). At least one row.
 */
PLINTH_MUST_CHECK enum plinth_status segment_writer_commit(struct segment_writer *writer, struct segment_info *info,
                                                           struct plinth_error *error);
/* Drops the unfinished object and frees the writer. Null is allowed. */
void segment_writer_abort(struct segment_writer *writer);

/* An open segment: parsed footer, stripe index and bloom filter in memory, once it was read. Immutable from then on,
 * reference-counted. */
struct segment;

/* Opens and checks against `info` (copied): table, rows, bounds, index_crc (an unset one is filled in, in the copy that
 * segment_info gives); PLINTH_CORRUPT names the object and the difference.
 * `cache` may be null. */
PLINTH_MUST_CHECK enum plinth_status segment_open(struct store *store, struct page_cache *cache,
                                                  const struct segment_info *info, struct segment **segment,
                                                  struct plinth_error *error);
/* The same, but the file is read when the segment first is: opening has to cost little where there are thousands. What
 * is wrong with the file is said then. An `info` without checksum or bounds has it read at once. */
PLINTH_MUST_CHECK enum plinth_status segment_open_lazily(struct store *store, struct page_cache *cache,
                                                         const struct segment_info *info, struct segment **segment,
                                                         struct plinth_error *error);
/* Reads footer and stripe index unless that was done before. All functions with an error do so themselves; others, but
 * those that only tell what segment_info does, need it done. After a failure the next call tries again. Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status segment_load(struct segment *segment, struct plinth_error *error);
struct segment *segment_ref(struct segment *segment);
/* The last one forgets its pages in the cache and closes the object. */
void segment_unref(struct segment *segment);
const struct segment_info *segment_info(const struct segment *segment);
/* Memory held by the open segment itself (footer, stripe index, bloom filter). */
uint64_t segment_memory_bytes(const struct segment *segment);

/* A row found by segment_get; `row`'s slices live until segment_hit_release. */
struct segment_hit {
    struct row row;
    struct page_cache_entry *pinned;
    struct segment *segment; /* where it is: the caller's reference, */
    uint32_t stripe;         /* which stripe of it, */
    uint32_t stripe_row;     /* and which row of that; for reading columns (row_segment.h) */
};
enum segment_get_flags {
    SEGMENT_MEMORY_ONLY = 1, /* PLINTH_WOULD_BLOCK when the stripe is not in the cache, or the segment not loaded */
    SEGMENT_LSN_ONLY = 2,    /* row.key, lsn and operation are enough (probing for a version) */
};
/* The newest version of `key` (without prefix) not above `lsn_max` (of a typed table without its columns, whatever the
 * flags); PLINTH_NOT_FOUND (error not filled) when there is
 * none. `key_hash` is hash_stable(key), computed once by the caller for all segments. Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status segment_get(struct segment *segment, struct slice key, uint64_t key_hash,
                                                 uint64_t lsn_max, unsigned flags, struct segment_hit *hit,
                                                 struct plinth_error *error);
void segment_hit_release(struct segment_hit *hit);

/* All versions in order. Decodes stripe by stripe into its own memory and leaves the cache alone, but for the stripe in
 * which a seek by key lands. `lsn_only` rows have no value and indexes. Holds a reference. */
PLINTH_MUST_CHECK enum plinth_status segment_iterator_open(struct segment *segment, bool lsn_only, struct iterator **it,
                                                           struct plinth_error *error);
/* Keys, LSNs and operations of the stripes that the page cache has: PLINTH_WOULD_BLOCK (error not filled) at others.
 * Forward only, and seeks for newest versions (UINT64_MAX) only. */
PLINTH_MUST_CHECK enum plinth_status segment_iterator_open_in_memory(struct segment *segment, struct iterator **it,
                                                                     struct plinth_error *error);

/* Reads every page and checks checksums, order, bounds, counts and statistics against footer, page index, bloom filter
 * and info. Each problem goes to `visit`; OK when it could run to its end, else the failure that stopped it (an I/O
 * error, say). */
typedef void segment_problem_visitor(void *context, const char *object, const char *problem);
PLINTH_MUST_CHECK enum plinth_status segment_verify(struct segment *segment, segment_problem_visitor *visit,
                                                    void *context, struct plinth_error *error);

#endif
