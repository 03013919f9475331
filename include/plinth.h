/* Plinth in process: the public C API of the embedded engine (libplinth).
 *
 *     struct plinth *db;
 *     struct plinth_error error;
 *     struct plinth_space space;
 *     if (plinth_open("./plinth-data", NULL, &db, &error)) die(error.text);
 *     if (plinth_space_find(db, "", "", &space, &error)) die(error.text);
 *     if (plinth_set(db, space, plinth_text("cat"), plinth_text("K AE1 T"), NULL, NULL, &error)) die(error.text);
 *     plinth_close(db);
 *
 * An engine is one directory: a log, immutable segments (Parquet) and checkpoints. A write is acknowledged
 * when the log has it durably (see enum plinth_durability). Every write has a position in the log; a read
 * sees one position, however long it takes and whatever is written meanwhile.
 *
 * Threads: all functions on `struct plinth` may be called from any number of threads at once; a scan or a
 * snapshot is used by one thread at a time. Strings are UTF-8; keys and values are any bytes.
 * Ownership: what a function hands out is freed by the matching deinit/destroy/close; slices are borrowed.
 * Errors: every function that can fail returns a status and describes it in `error`, which may be null. */
#ifndef PLINTH_H
#define PLINTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plinth_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes ---------------------------------------------------------------------------------------- */

/* Borrowed bytes. */
struct plinth_slice {
    const void *data;
    size_t size;
};

/* Bytes owned by the caller; start with {0}, reuse for many calls, free with plinth_buffer_deinit. */
struct plinth_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static inline struct plinth_slice plinth_bytes(const void *data, size_t size) {
    struct plinth_slice slice = {data, size};
    return slice;
}
static inline struct plinth_slice plinth_text(const char *text) { return plinth_bytes(text, strlen(text)); }
PLINTH_API void plinth_buffer_deinit(struct plinth_buffer *buffer);

/* ---- limits --------------------------------------------------------------------------------------- */

enum {
    PLINTH_KEY_BYTES_MAX = 64 << 10,   /* a key has 1 byte to 64 KiB */
    PLINTH_VALUE_BYTES_MAX = 64 << 20, /* a value has 0 bytes to 64 MiB */
    PLINTH_RECORD_BYTES_MAX = 1 << 20, /* one log record: one write, or one atomic batch */
    PLINTH_NAME_BYTES_MAX = 128,       /* of a database, key space or index: 1 to 128 bytes of [A-Za-z0-9_.-] */
    PLINTH_INDEX_VALUE_BYTES_MAX = 4 << 10,
};

/* ---- positions and durability --------------------------------------------------------------------- */

/* A place in the log. Opaque: compare only through the engine. {0, 0} means "none". It carries the log
 * epoch, so that a position from a log that has since lost its tail is recognised. */
struct plinth_position {
    uint64_t epoch;
    uint64_t lsn;
};

/* What has happened to a write when its call returns. */
enum plinth_durability {
    PLINTH_DURABILITY_DEFAULT = 0,  /* the engine's default, PLINTH_DURABILITY_SYNCED unless options say else */
    PLINTH_DURABILITY_BUFFERED = 1, /* in memory; a crash of the process loses the last milliseconds */
    PLINTH_DURABILITY_WRITTEN = 2,  /* handed to the operating system; a power cut loses the last milliseconds */
    PLINTH_DURABILITY_SYNCED = 3,   /* on the disk, by fdatasync */
};

/* ---- opening -------------------------------------------------------------------------------------- */

struct plinth;

/* Zero means "the default" in every field. */
struct plinth_options {
    bool must_exist;                        /* PLINTH_NOT_FOUND instead of making a new directory */
    bool no_background_compaction;          /* only plinth_compact merges segments */
    enum plinth_durability durability;      /* of writes that do not say; default SYNCED */
    enum plinth_durability read_durability; /* reads show writes that got this far; default SYNCED */
    /* All memory of the engine: memtables, caches, flushes, merges and queries; at least 192 MiB; default half of what
     * the machine or the process's control group has. What follows is divided from it unless it is given, and must fit
     * then. */
    uint64_t memory_limit_bytes;
    uint64_t memtable_bytes;       /* a memtable is cut at this size; default a 16th of the limit, at most 64 MiB */
    uint64_t cache_bytes;          /* decoded pages, at most; default what the rest leaves, without a limit 256 MiB */
    uint64_t log_segment_bytes;    /* default 64 MiB; below 1 MiB a hint */
    uint32_t log_sync_interval_ms; /* writes below SYNCED are synced after this anyway; default 10 */
    uint32_t compaction_threads;   /* that merge in the background; default half of the processors, at least 2 */
};

/* Opens or makes the engine in directory `path`, replaying the log. Failures among others:
 * PLINTH_LOCKED (another process has it open), PLINTH_UNSUPPORTED (another format version),
 * PLINTH_CORRUPT (a damaged file, named), PLINTH_READ_ONLY, PLINTH_NO_SPACE. Null options are the defaults. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_open(const char *path, const struct plinth_options *options,
                                                            struct plinth **db, struct plinth_error *error);
/* Finishes running background work, syncs the log, marks it cleanly closed and frees the engine. No other
 * call may be running; scans and snapshots are closed before. Null is allowed. */
PLINTH_API void plinth_close(struct plinth *db);
/* "0.1.0" */
PLINTH_API const char *plinth_version(void);

/* ---- databases and key spaces --------------------------------------------------------------------- */

/* A key space, found by name once and then used by value. */
struct plinth_space {
    uint32_t tenant;
    uint32_t database;
    uint32_t table;
};

/* Finds space `name` in `database`; null or "" mean "default", which always exist.
 * PLINTH_NOT_FOUND names what is missing. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_space_find(struct plinth *db, const char *database,
                                                                  const char *name, struct plinth_space *space,
                                                                  struct plinth_error *error);
/* Makes a key space, and its database when that is missing. PLINTH_ALREADY_EXISTS when it is there. Durable on
 * return. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_space_create(struct plinth *db, const char *database,
                                                                    const char *name, struct plinth_space *space,
                                                                    struct plinth_error *error);
/* Called for each space, ordered by database and name; the strings are valid during the call. */
typedef void plinth_space_visitor(void *context, const char *database, const char *name, struct plinth_space space);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_space_list(struct plinth *db, plinth_space_visitor *visit,
                                                                  void *context, struct plinth_error *error);
/* Called for each index of a space, in the order that they came to be; `name` is valid during the call. */
typedef void plinth_index_visitor(void *context, const char *name);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_index_list(struct plinth *db, struct plinth_space space,
                                                                  plinth_index_visitor *visit, void *context,
                                                                  struct plinth_error *error);

/* Drops a key space with its keys and indexes, durably. The space "default" of database "default" always exists. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_space_drop(struct plinth *db, const char *database,
                                                                  const char *name, struct plinth_error *error);

/* ---- typed tables --------------------------------------------------------------------------------- */

/* A table has columns of types, written as text: bool, int8 to int64, uint8 to uint64, float32, float64,
 * decimal(p,s), string, bytes, date, timestamp(s|ms|us|ns[, utc]), uuid, list<type>. Key spaces and tables of a
 * database share one set of names. Databases and names: null or "" mean "default". */

enum {
    PLINTH_COLUMNS_MAX = 1600,   /* of a table; a name is 1 to 128 bytes of UTF-8 and does not begin with '_' */
    PLINTH_KEY_COLUMNS_MAX = 16, /* of a primary key, and of a sorted index */
    PLINTH_TABLE_INDEXES_MAX = 64,
};

struct plinth_column {
    const char *name;
    const char *type;
    bool nullable; /* columns of the primary key never are */
    uint32_t id;   /* plinth_table_describe only; never reused within a table */
    /* What rows get that are written without the column, as text; null: none. Of plinth_table_alter and
     * plinth_table_describe; a table is made without. */
    const char *default_value;
};

enum plinth_codec { PLINTH_CODEC_DEFAULT = 0, PLINTH_CODEC_LZ4 = 1, PLINTH_CODEC_ZSTD = 2, PLINTH_CODEC_NONE = 3 };

/* What a table is; zero means the default everywhere. */
struct plinth_table_definition {
    const struct plinth_column *columns;
    size_t column_count;
    const char *const *key; /* the primary key's columns; none: every row is kept, in the order of arrival */
    size_t key_count;
    const char *partition_by; /* a date or timestamp: part of the key, or not null in a table without one */
    uint64_t partition_us;    /* length of a partition, 1 minute to 100 years */
    uint64_t retention_us;    /* partitions that ended longer ago are dropped; 0: never */
    enum plinth_codec codec;  /* of segments; default: LZ4 for fresh ones, ZSTD for merged ones */
    uint32_t page_rows;       /* rows that are read together, 16 to 65,536; default 1,024 */
    bool adds_columns;        /* writes may bring new columns */
    /* A date or timestamp column, null: none. A row is gone from `expire_us` (at most 100 years) after the time in it
     * on, by the engine's clock; never where it is null. */
    const char *expire_by;
    uint64_t expire_us;
};

enum plinth_index_kind {
    PLINTH_INDEX_SPACE = 1,  /* of a key space: values come with each set */
    PLINTH_INDEX_SORTED = 2, /* equality, ranges, order; one column or more */
    PLINTH_INDEX_BLOOM = 3,  /* equality: skips what cannot hold the value */
    PLINTH_INDEX_BITMAP = 4, /* equality on few distinct values */
    PLINTH_INDEX_TOKEN = 5,  /* words of a string */
};
enum plinth_index_state { PLINTH_INDEX_BUILDING = 1, PLINTH_INDEX_READY = 2, PLINTH_INDEX_DROPPING = 3 };

struct plinth_index {
    const char *name;
    enum plinth_index_kind kind;
    enum plinth_index_state state;
    const char *const *columns;
    size_t column_count;
    unsigned percent; /* plinth_table_describe only: how much of it is built */
    bool unique; /* of PLINTH_INDEX_SORTED: no two rows have the same values in all columns, but where one is null */
    /* Likewise: columns whose values the entries have, too, so that queries which need no others read no rows. */
    const char *const *included;
    size_t included_count;
};

/* Names of the kinds, states and codecs as commands write them ("sorted", "ready", "zstd"); "?" for others. */
PLINTH_API const char *plinth_index_kind_name(enum plinth_index_kind kind);
PLINTH_API const char *plinth_index_state_name(enum plinth_index_state state);
PLINTH_API const char *plinth_codec_name(enum plinth_codec codec);

/* Makes a table, and its database when that is missing; durable on return. PLINTH_ALREADY_EXISTS when there is a table
 * or key space of this name; PLINTH_INVALID_ARGUMENT names the column and what is wrong with it. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_create(struct plinth *db, const char *database,
                                                                    const char *name,
                                                                    const struct plinth_table_definition *definition,
                                                                    struct plinth_error *error);
/* Drops a table with its rows and indexes, durably. Reads that are running end as they began. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_drop(struct plinth *db, const char *database,
                                                                  const char *name, struct plinth_error *error);
/* Adds nullable columns, all or none, durably. PLINTH_ALREADY_EXISTS; PLINTH_CONFLICT when one exists with another
 * type.
 */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_table_add_columns(struct plinth *db, const char *database, const char *name, const struct plinth_column *columns,
                         size_t column_count, struct plinth_error *error);

enum plinth_alteration_kind {
    PLINTH_ADD_COLUMN = 1,    /* type, not_null, default_value: older rows have the default, or null */
    PLINTH_DROP_COLUMN = 2,   /* cascade: with the indexes that name it */
    PLINTH_RENAME_COLUMN = 3, /* new_name */
    PLINTH_WIDEN_COLUMN = 4,  /* type: one that has every value of the present one */
    PLINTH_DROP_NOT_NULL = 5,
    PLINTH_SET_DEFAULT = 6,  /* default_value; null: none. Rows that are there stay as they are */
    PLINTH_RENAME_TABLE = 7, /* new_name; `column` is not used */
    PLINTH_SET_OPTIONS = 8,  /* `options` says which of the options; they hold for what is written from now on */
};
enum {
    PLINTH_OPTION_CODEC = 1,
    PLINTH_OPTION_PAGE_ROWS = 2,
    PLINTH_OPTION_RETENTION = 4,
    PLINTH_OPTION_ADDS_COLUMNS = 8,
    PLINTH_OPTION_EXPIRY = 16, /* expire_by (null or "": rows do not expire) and expire_us: for all rows, at once */
};

struct plinth_alteration {
    enum plinth_alteration_kind kind;
    const char *column;
    const char *new_name;
    const char *type;
    const char *default_value;
    bool not_null;
    bool cascade;
    unsigned options;
    enum plinth_codec codec;
    uint32_t page_rows;
    uint64_t retention_us;
    bool adds_columns;
    const char *expire_by;
    uint64_t expire_us;
};
/* Alters a table that may have rows, while it is read and written; all steps, which see those before them, or none;
 * durably. Nothing is rewritten: columns have ids, what is stored stays as it is, and is read as the table's columns
 * are then. States of before are read with the columns and names that they had. Errors name column and rule:
 * PLINTH_NOT_FOUND, PLINTH_ALREADY_EXISTS, PLINTH_INVALID_ARGUMENT, and PLINTH_RESOURCE_EXHAUSTED when a table was
 * altered 256 times since the oldest state that is kept. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_alter(struct plinth *db, const char *database,
                                                                   const char *name,
                                                                   const struct plinth_alteration *alterations,
                                                                   size_t count, struct plinth_error *error);

/* A table or key space as it is; freed by plinth_table_description_deinit. */
struct plinth_table_description {
    const char *database;
    const char *name;
    uint32_t id;      /* names the table in segments */
    bool is_space;    /* a key space: columns key and value */
    uint64_t version; /* grows with every change */
    struct plinth_table_definition definition;
    const struct plinth_index *indexes; /* in the order that they came to be */
    size_t index_count;
    /* What lies in segments; rows that were overwritten and not yet merged away count. */
    uint64_t segments, rows, bytes;
    uint64_t index_bytes; /* of sorted indexes */
    uint64_t memory_rows; /* of a table: not yet in segments */
    void *memory;
};
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_describe(struct plinth *db, const char *database,
                                                                      const char *name,
                                                                      struct plinth_table_description *description,
                                                                      struct plinth_error *error);
PLINTH_API void plinth_table_description_deinit(struct plinth_table_description *description);
/* Called for each table and key space, ordered by database and name; the strings are valid during the call. Nothing of
 * the engine may be called meanwhile. */
typedef void plinth_table_visitor(void *context, const char *database, const char *name, bool is_space, uint32_t id);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_list(struct plinth *db, plinth_table_visitor *visit,
                                                                  void *context, struct plinth_error *error);

/* Makes an index (name, kind, columns) and returns when it covers all rows, durably. It is built in the background
 * while writes go on; until it is ready its state is PLINTH_INDEX_BUILDING and queries do without it. A build that was
 * interrupted by closing or a crash goes on at the next open, where it was. PLINTH_CANCELLED: somebody has cancelled
 * the job, and the index is dropped; PLINTH_NOT_FOUND: it was dropped. Other errors: the build fails, and is tried
 * again and again. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_index_create(struct plinth *db, const char *database,
                                                                          const char *table,
                                                                          const struct plinth_index *index,
                                                                          struct plinth_error *error);
/* The same, but returns when the build has begun, durably. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_index_begin(struct plinth *db, const char *database,
                                                                         const char *table,
                                                                         const struct plinth_index *index,
                                                                         struct plinth_error *error);
/* Builds an index that is ready anew, as "<name>.rebuild", which takes the name when it is done; the old one, which
 * serves queries meanwhile, is dropped then. `no_wait`: returns when the build has begun. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_index_rebuild(struct plinth *db, const char *database,
                                                                           const char *table, const char *index,
                                                                           bool no_wait, struct plinth_error *error);
/* Also while it is built. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_table_index_drop(struct plinth *db, const char *database,
                                                                        const char *table, const char *index,
                                                                        struct plinth_error *error);

/* ---- writing -------------------------------------------------------------------------------------- */

/* An entry of a secondary index, given with a set. An index comes to be with the first set that names it.
 * A set replaces all index values of its key; a delete removes them. */
struct plinth_index_value {
    struct plinth_slice name;
    struct plinth_slice value;
};

enum plinth_operation_kind {
    PLINTH_SET = 1,
    PLINTH_DELETE = 2,
    PLINTH_DELETE_RANGE = 3, /* all keys from `key` (empty: the first) up to `upper` (exclusive; empty: the last) */
};

struct plinth_operation {
    enum plinth_operation_kind kind;
    struct plinth_space space;
    struct plinth_slice key;
    struct plinth_slice value;                /* PLINTH_SET only */
    const struct plinth_index_value *indexes; /* PLINTH_SET only; may be null */
    size_t index_count;
    struct plinth_slice upper; /* PLINTH_DELETE_RANGE only */
    /* PLINTH_SET only, at most one of them: from this time on (microseconds since 1970, by the engine's clock), or
     * after this long, the key is not there. The next set of the key says anew whether it expires. */
    uint64_t expires_at_us, ttl_us;
};

/* Zero-initialise for the defaults. */
struct plinth_write_options {
    enum plinth_durability durability;
    /* Exactly-once: a write with a producer id and a sequence that were seen before is not applied again and is
     * answered with its first position. Both non-zero, or both zero. A producer uses each sequence once, may have
     * up to 1,024 of them open at a time, and gets PLINTH_TOO_OLD for one that is no longer remembered. */
    uint64_t producer_id;
    uint64_t sequence;
    bool no_wait; /* PLINTH_WOULD_BLOCK, with nothing done, instead of waiting for memory */
};

/* Applies the operations as one atomic write, in order (the last one on a key wins), and returns when they are
 * as durable as asked for and visible to reads that begin later. `position` may be null.
 * PLINTH_INVALID_ARGUMENT / PLINTH_TOO_LARGE name the operation and field; nothing is then written.
 * PLINTH_OUTCOME_UNKNOWN: the log failed underneath; the write may or may not be there after a restart. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_write(struct plinth *db, const struct plinth_operation *operations, size_t count,
             const struct plinth_write_options *options, struct plinth_position *position, struct plinth_error *error);
/* plinth_write of one set without index values / of one delete. Deleting what is not there is no error. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_set(struct plinth *db, struct plinth_space space, struct plinth_slice key, struct plinth_slice value,
           const struct plinth_write_options *options, struct plinth_position *position, struct plinth_error *error);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_delete(struct plinth *db, struct plinth_space space, struct plinth_slice key,
              const struct plinth_write_options *options, struct plinth_position *position, struct plinth_error *error);

/* plinth_write of one range delete: the keys from `lower` (inclusive; empty: from the first) up to `upper` (exclusive;
 * empty: to the last) are gone. It takes the same short time however many there are; reads skip what it has deleted,
 * and the room comes back with flushes and merges. PLINTH_INVALID_ARGUMENT when `upper` is not above `lower`. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_delete_range(struct plinth *db, struct plinth_space space, struct plinth_slice lower, struct plinth_slice upper,
                    const struct plinth_write_options *options, struct plinth_position *position,
                    struct plinth_error *error);
/* The same for the keys that begin with `prefix`, which is not empty. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_delete_prefix(struct plinth *db, struct plinth_space space,
                                                                     struct plinth_slice prefix,
                                                                     const struct plinth_write_options *options,
                                                                     struct plinth_position *position,
                                                                     struct plinth_error *error);

/* What must hold for a compare-and-set to be applied. */
enum plinth_expectation {
    PLINTH_EXPECT_ANYTHING = 0, /* always; for learning what was there before */
    PLINTH_EXPECT_ABSENT = 1,
    PLINTH_EXPECT_PRESENT = 2,
    PLINTH_EXPECT_VALUE = 3,   /* present, with exactly `expected_value` */
    PLINTH_EXPECT_VERSION = 4, /* present, last written at `expected_version` */
};

struct plinth_comparison {
    enum plinth_expectation expectation;
    struct plinth_slice expected_value;
    struct plinth_position expected_version;
};

/* What was there before a compare-and-set. `value` is only filled when it is present. */
struct plinth_previous {
    bool existed;
    struct plinth_position version;
    struct plinth_buffer value;
};

/* Applies `operation` if `comparison` holds at the operation's own place in the log (linearizable). When it does
 * not hold: PLINTH_CONFLICT, with `previous` telling what is there. `previous` (may be null) is deinited by the
 * caller with plinth_buffer_deinit(&previous->value). */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_compare_and_set(struct plinth *db, const struct plinth_operation *operation,
                       const struct plinth_comparison *comparison, const struct plinth_write_options *options,
                       struct plinth_position *position, struct plinth_previous *previous, struct plinth_error *error);

/* For event loops: plinth_write without the last wait. On OK the write has its place in the log; it is acknowledged
 * once plinth_acknowledged(db, durability) >= position.lsn. Until then it may still be lost. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_submit(struct plinth *db, const struct plinth_operation *operations, size_t count,
              const struct plinth_write_options *options, struct plinth_position *position, struct plinth_error *error);
/* All writes at or below this LSN are as durable as `durability` and visible. Never goes back. */
PLINTH_API uint64_t plinth_acknowledged(struct plinth *db, enum plinth_durability durability);
/* PLINTH_OK, or why no submitted write above plinth_acknowledged can be acknowledged any more (the log failed). */
PLINTH_API enum plinth_status plinth_log_status(struct plinth *db, struct plinth_error *error);
/* PLINTH_OK; or what is wrong at present, for people: what plinth_log_status says, or, until it has healed by itself,
 * why memory cannot be flushed or the log cannot grow: PLINTH_NO_SPACE with the path and the bytes that are free. */
PLINTH_API enum plinth_status plinth_health(struct plinth *db, struct plinth_error *error);
/* `listener` is called from a thread of the engine whenever plinth_acknowledged may have advanced, or the log
 * failed; it must return quickly and call nothing but plinth_acknowledged and plinth_log_status. One listener at a
 * time; null removes it, and has waited for a running call when it returns. */
typedef void plinth_commit_listener(void *context);
PLINTH_API void plinth_listen(struct plinth *db, plinth_commit_listener *listener, void *context);

/* ---- writing rows --------------------------------------------------------------------------------- */

/* Rows come as Arrow record batches through the Arrow C Data Interface (plinth_arrow.h has its structs; pyarrow,
 * nanoarrow, DuckDB, polars and others export them): a struct array whose children are the columns. */
struct ArrowSchema;
struct ArrowArray;
struct ArrowArrayStream;

enum { PLINTH_ROWS_BYTES_MAX = 64 << 20 }; /* of one batch in Arrow's layout, and of one atomic write in the log */

/* Zero-initialise for the defaults. */
struct plinth_rows_options {
    struct plinth_write_options write; /* a producer's sequence is for the whole batch */
    bool atomic;                       /* all rows or none, visible at once; else a crash may leave a part of them */
    bool no_reject; /* the first row that cannot be written fails the write, before anything is done */
    bool if_absent; /* plinth_rows_write: only rows whose key has none yet; others are rejected (PLINTH_ALREADY_EXISTS).
                       All rows that are written become visible at once */
};

struct plinth_row_reject {
    uint32_t row; /* in the batch, from 0 */
    enum plinth_status status;
    const char *reason; /* names the column */
};

struct plinth_rows_result {
    struct plinth_position position; /* read your writes: plinth_read_options.position_min */
    uint64_t rows_written;           /* accepted; rows that a later one of the batch replaced count, too */
    uint64_t rows_rejected;
    const struct plinth_row_reject *rejects; /* the first 1,000, by row */
    size_t reject_count;
    bool duplicate; /* this producer's sequence was written before: nothing was done now */
    void *memory;
};
PLINTH_API void plinth_rows_result_deinit(struct plinth_rows_result *result);

/* Writes the rows of a batch into a table: new keys are inserted, rows of keys that exist are replaced as a whole; of
 * several rows with one key the last counts. In a table without a key all rows are kept. Returns when they are as
 * durable as asked for and visible.
 *
 * Columns are found by name (as written, or with letters of another case if that is unique) in any order, and converted
 * where nothing is lost. Columns that are not given are null. Columns that the table has not are made when the table
 * was created so, else they are an error. Rows that cannot be written (null in a key or NOT NULL column, a value that
 * does not fit its column, too large) are left out and told in `result`, unless options say else.
 *
 * `schema` and `array` are taken over: they are released whatever comes back. `options` and `result` may be null; the
 * result is deinited by the caller, also after an error (its rejects say why). PLINTH_NOT_FOUND;
 * PLINTH_INVALID_ARGUMENT, PLINTH_UNSUPPORTED (name the column); PLINTH_TOO_LARGE; others as plinth_write. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_rows_write(struct plinth *db, const char *database, const char *table, struct ArrowSchema *schema,
                  struct ArrowArray *array, const struct plinth_rows_options *options,
                  struct plinth_rows_result *result, struct plinth_error *error);
/* Deletes the rows of these keys; the batch has the key's columns and no other. Keys that do not exist are no error. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_rows_delete(struct plinth *db, const char *database, const char *table, struct ArrowSchema *schema,
                   struct ArrowArray *array, const struct plinth_rows_options *options,
                   struct plinth_rows_result *result, struct plinth_error *error);

/* Zero-initialise for the defaults. */
struct plinth_where_options {
    struct plinth_write_options write; /* without producer when not_atomic */
    bool not_atomic;                   /* as several transactions, in the order of keys: for more than
                                          PLINTH_TRANSACTION_BYTES_MAX of rows */
};
struct plinth_where_result {
    struct plinth_position position; /* of the last transaction */
    uint64_t rows;
    uint64_t transactions;
    uint64_t conflicts; /* how often it had to be evaluated again */
};
/* Deletes the rows of which `where` is true (a condition as SQL; null: all rows), as one transaction: at the commit the
 * condition is true of exactly these rows, and all are gone at once. When others have written in the meantime what the
 * condition reads, it is evaluated again; in the end the table's writers wait for it. `options` and `result` may be
 * null. PLINTH_TOO_LARGE: more rows than a transaction takes, and not `not_atomic`; then, and when it fails midway,
 * `result` tells what was done. PLINTH_INVALID_ARGUMENT: the condition, or the table has no primary key. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_rows_delete_where(struct plinth *db, const char *database,
                                                                         const char *table, const char *where,
                                                                         const struct plinth_where_options *options,
                                                                         struct plinth_where_result *result,
                                                                         struct plinth_error *error);
/* What an update gives a column that is not part of the key. */
struct plinth_assignment {
    const char *column;
    const char *value; /* in the text form of its type; null: NULL */
    const char *from;  /* not null: instead, what this column held before */
};
/* Likewise sets columns of these rows. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_rows_update_where(struct plinth *db, const char *database, const char *table, const char *where,
                         const struct plinth_assignment *assignments, size_t count,
                         const struct plinth_where_options *options, struct plinth_where_result *result,
                         struct plinth_error *error);

/* ---- reading -------------------------------------------------------------------------------------- */

struct plinth_snapshot;

/* Holds the state at `at` ({0,0}: now) readable until plinth_snapshot_destroy. PLINTH_TOO_OLD when versions of
 * that time may be gone already. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_snapshot_create(struct plinth *db, struct plinth_position at,
                                                                       struct plinth_snapshot **snapshot,
                                                                       struct plinth_error *error);
PLINTH_API struct plinth_position plinth_snapshot_position(const struct plinth_snapshot *snapshot);
PLINTH_API void plinth_snapshot_destroy(struct plinth_snapshot *snapshot);

/* Zero-initialise for the defaults: the newest acknowledged state. */
struct plinth_read_options {
    const struct plinth_snapshot *snapshot; /* read exactly this state */
    struct plinth_position as_of;           /* or: exactly this one; PLINTH_TOO_OLD when it is gone */
    const char *snapshot_name;              /* or: this named one; PLINTH_NOT_FOUND */
    uint64_t as_of_time_us;                 /* or: that of this time (microseconds since 1970), as it was noted a second
                                               before at most (window / 4,096 for long windows); PLINTH_TOO_OLD when
                                               plinth_history_keep does not reach back to it */
    struct plinth_position position_min;    /* wait until at least this is visible (read your writes) */
    uint32_t wait_ms_max;                   /* for position_min; 0: 10,000; then PLINTH_DEADLINE_EXCEEDED */
    bool memory_only;                       /* PLINTH_WOULD_BLOCK instead of waiting or reading the disk */
};

/* Named snapshots: kept, also over restarts, until they are dropped, and read by plinth_read_options.snapshot_name.
 * Every version from the oldest one on takes room until then. At most 1,024. Both calls are durable on return. Tables
 * and indexes that are dropped are gone from snapshots, too; columns are not. */
/* The state that reads with `of` see (null: now), under `name`; `position` may be null. `with_log` keeps the log behind
 * it, too, so that a change feed can begin there (plinth_feed_open): the log then grows until the snapshot is moved or
 * dropped. PLINTH_ALREADY_EXISTS, PLINTH_TOO_OLD (with_log: the log has left that state behind), and what `of` may
 * give. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_snapshot_keep(struct plinth *db, const char *name,
                                                                     const struct plinth_read_options *of,
                                                                     bool with_log, struct plinth_position *position,
                                                                     struct plinth_error *error);
/* Moves it forwards to a later visible position: what a reader of changes does with the last one that it is done with.
 */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_snapshot_move(struct plinth *db, const char *name, struct plinth_position to, struct plinth_error *error);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_snapshot_drop(struct plinth *db, const char *name,
                                                                     struct plinth_error *error);
/* Called for each named snapshot, ordered by name: the state, when it was made or moved (microseconds since 1970), and
 * whether it keeps the log. */
typedef void plinth_snapshot_visitor(void *context, const char *name, struct plinth_position position, uint64_t time_us,
                                     bool with_log);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_snapshot_list(struct plinth *db, plinth_snapshot_visitor *visit,
                                                                     void *context, struct plinth_error *error);

/* Keeps every state of the last `seconds` readable, by position or by time, from now on; 0 ends that. It costs the room
 * of all versions of that time. Durable on return, and kept over restarts. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_history_keep(struct plinth *db, uint64_t seconds,
                                                                    struct plinth_error *error);

/* The value of `key` into `value` (cleared first, reused). PLINTH_NOT_FOUND when there is none (`error` is then empty,
 * misses are cheap). `version` (may be null) is where it was written. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_get(struct plinth *db, struct plinth_space space,
                                                           struct plinth_slice key,
                                                           const struct plinth_read_options *options,
                                                           struct plinth_buffer *value, struct plinth_position *version,
                                                           struct plinth_error *error);

/* One row of a scan; slices are valid until the next call on the scan. */
struct plinth_row {
    struct plinth_slice key;
    struct plinth_slice value;       /* empty when the scan asked for keys only */
    struct plinth_slice index_value; /* index scans only */
    struct plinth_position version;
    const struct plinth_index_value *indexes; /* with_indexes only: the key's entries, each index's ordered by value */
    size_t index_count;
};

struct plinth_scan;

/* All bounds are optional (size 0). prefix and lower/upper may be combined. */
struct plinth_scan_options {
    struct plinth_slice prefix;
    struct plinth_slice lower; /* inclusive */
    struct plinth_slice upper; /* exclusive */
    bool reverse;              /* from the highest key down */
    bool keys_only;
    bool with_indexes; /* the rows' index values too */
    uint64_t limit;    /* rows; 0: no limit */
    struct plinth_read_options read;
};

/* Starts a scan over one state of the space; costs no memory that grows with its length. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_scan_open(struct plinth *db, struct plinth_space space,
                                                                 const struct plinth_scan_options *options,
                                                                 struct plinth_scan **scan, struct plinth_error *error);

/* How an index scan matches index values. */
enum plinth_index_match {
    PLINTH_INDEX_EXACT = 0,  /* equal to `value` */
    PLINTH_INDEX_PREFIX = 1, /* starting with `value` */
    PLINTH_INDEX_RANGE = 2,  /* lower <= index value < upper; an empty upper is no bound */
};

struct plinth_index_scan_options {
    struct plinth_slice index; /* its name; PLINTH_NOT_FOUND when no set has named it yet */
    enum plinth_index_match match;
    struct plinth_slice value;
    struct plinth_slice lower;
    struct plinth_slice upper;
    bool with_values; /* else `value` of the rows is empty, which spares reading them */
    bool reverse;
    uint64_t limit;
    /* Continue behind this entry (both from a former row): for paging. Ignored when after_key is empty. */
    struct plinth_slice after_index_value;
    struct plinth_slice after_key;
    struct plinth_read_options read;
};

/* Rows ordered by (index value, key). An entry is seen exactly when its key's visible version carries it. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_index_scan_open(struct plinth *db, struct plinth_space space,
                                                                       const struct plinth_index_scan_options *options,
                                                                       struct plinth_scan **scan,
                                                                       struct plinth_error *error);
/* The next row; *found is false at the end. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_scan_next(struct plinth_scan *scan, struct plinth_row *row,
                                                                 bool *found, struct plinth_error *error);
/* The state that the scan sees. */
PLINTH_API struct plinth_position plinth_scan_position(const struct plinth_scan *scan);
PLINTH_API void plinth_scan_close(struct plinth_scan *scan);

/* ---- change feed ---------------------------------------------------------------------------------- */

/* What was written, in the order of the log, each acknowledged write once: what replayed onto the state that it begins
 * behind gives every later state. Writes that did nothing (a transaction that lost, a repeated sequence) are not in it.
 */
struct plinth_feed;

/* A table or key space; null and "" mean "default". */
struct plinth_feed_table {
    const char *database, *name;
};

/* Zero-initialise for the defaults: everything from now on. */
struct plinth_feed_options {
    struct plinth_position
        after;                 /* begin behind this one: of a read, a snapshot, or the last change that is done with */
    const char *snapshot_name; /* or: behind this named snapshot */
    const char *database, *table; /* only this table or key space; null table: all. Null database: "default" */
    struct plinth_slice prefix;   /* only keys that begin so; of key spaces */
    bool with_previous;           /* what keys and rows held before; holds their old versions while the feed is open */
    uint64_t as_of_time_us;       /* or: begin behind the state of this time (plinth_history_keep) */
    struct plinth_position until; /* end behind this position: plinth_feed_next then finds nothing at once */
    bool until_now;               /* end behind what is there when it is opened */
    const struct plinth_feed_table *tables; /* instead of `table`: several */
    size_t table_count;
    /* Only rows for which this SQL condition is true, of one table or more, all of which have its columns (key spaces:
     * key and value). It is asked of the new row, and with_previous of the old one, too: a row that leaves the
     * condition is given. Of a delete only the key is known without with_previous: it is given unless the key alone
     * says that the condition was not true. */
    const char *where;
};

/* One key, as it was written; or a range of keys that was deleted (without what it held), if one of them may be wanted.
 */
struct plinth_feed_operation {
    struct plinth_operation operation;
    bool existed; /* before; with_previous only */
    struct plinth_slice previous;
    const char *database, *table; /* the names of its key space */
};
/* Rows of one table: upserted with the columns that were written (the others became null), or deleted by key. They
 * belong to the change; `schema` and `array` may be moved out of it (set ->release to null), and so may the next two.
 *
 * with_previous, in tables with a key: row by row what was there before, with all columns of the table; a row whose key
 * is null was not there. Else both are null. */
struct plinth_feed_rows {
    const char *database, *table;
    bool deleted;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    struct ArrowSchema *previous_schema;
    struct ArrowArray *previous;
};
/* One write: all of it was applied at once. A batch of rows that is not atomic may come as several changes. Valid until
 * the next call on the feed. */
struct plinth_change {
    struct plinth_position position;
    uint64_t time_us; /* when it was written, microseconds since 1970 */
    const struct plinth_feed_operation *operations;
    size_t operation_count;
    const struct plinth_feed_rows *rows;
    size_t rows_count;
};

/* While a feed is open the log stays from its place on. PLINTH_TOO_OLD: the log, or with_previous the state, does not
 * reach back to that position any more, take a new snapshot; PLINTH_NOT_FOUND names what is missing. One thread at a
 * time may use a feed. Columns have their present names and types; what was dropped since is left out. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_feed_open(struct plinth *db,
                                                                 const struct plinth_feed_options *options,
                                                                 struct plinth_feed **feed, struct plinth_error *error);
/* The next change that is as durable as reads ask for; waits up to `wait_ms` for one, then *found is false. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_feed_next(struct plinth_feed *feed, uint32_t wait_ms,
                                                                 struct plinth_change *change, bool *found,
                                                                 struct plinth_error *error);
/* How far it has come: begin behind this to go on after the last change. It moves past what the options leave out. */
PLINTH_API struct plinth_position plinth_feed_position(const struct plinth_feed *feed);
PLINTH_API void plinth_feed_close(struct plinth_feed *feed);

/* ---- transactions --------------------------------------------------------------------------------- */

/* A transaction reads one state of key spaces and tables, with its own writes over it, and commits all of them or none,
 * at a place in the log where nothing that it read has changed: transactions are serializable. They take no locks. The
 * engine remembers the newest writes (65,536 keys or 4 MiB of keys, 65,536 batches of rows or 32 MiB of their keys,
 * less after a flush): a transaction whose state is older than that cannot be judged and has to begin again. Everything
 * that it read and writes must fit into PLINTH_TRANSACTION_BYTES_MAX. One thread at a time may use a transaction. */
struct plinth_transaction;
enum { PLINTH_TRANSACTION_BYTES_MAX = (64 << 20) - (4 << 10) };

/* Begins at the newest state that reads see; that state stays readable until plinth_transaction_destroy. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_transaction_begin(struct plinth *db, struct plinth_transaction **transaction, struct plinth_error *error);
/* As plinth_get; the key counts as read. `version` is {0, 0} for what the transaction itself has set. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_transaction_get(struct plinth_transaction *transaction, struct plinth_space space, struct plinth_slice key,
                       struct plinth_buffer *value, struct plinth_position *version, struct plinth_error *error);
/* As plinth_scan_open, without `options->read`; what lies between the bound it starts from and the place that it has
 * come to counts as read. A row that the transaction writes ahead of an open scan may or may not be seen by it. Close
 * the scan before the transaction ends. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_transaction_scan_open(struct plinth_transaction *transaction,
                                                                             struct plinth_space space,
                                                                             const struct plinth_scan_options *options,
                                                                             struct plinth_scan **scan,
                                                                             struct plinth_error *error);
/* Sets, deletes or deletes a range at the commit; copied. The last one on a key wins. Limits are checked here. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_transaction_write(struct plinth_transaction *transaction,
                                                                         const struct plinth_operation *operation,
                                                                         struct plinth_error *error);
/* Writes rows of a table, or deletes those of these keys, at the commit; the batches are as plinth_rows_write and
 * plinth_rows_delete take them, and taken over. One row that cannot be written fails the call, and then nothing of it
 * was taken. PLINTH_CONFLICT: the table was altered since the transaction first used it. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_transaction_rows_write(struct plinth_transaction *transaction, const char *database, const char *table,
                              struct ArrowSchema *schema, struct ArrowArray *array, struct plinth_error *error);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_transaction_rows_delete(struct plinth_transaction *transaction, const char *database, const char *table,
                               struct ArrowSchema *schema, struct ArrowArray *array, struct plinth_error *error);
/* The rows of these keys (a batch of the key's columns, taken over), each once and in the order of their keys, with the
 * columns named (none: all); keys without a row give none. The keys count as read. `schema` and `array` are the
 * caller's to release. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_transaction_rows_get(struct plinth_transaction *transaction, const char *database, const char *table,
                            struct ArrowSchema *key_schema, struct ArrowArray *keys, const char *const *columns,
                            size_t column_count, struct ArrowSchema *schema, struct ArrowArray *array,
                            struct plinth_error *error);
struct plinth_query_options;
/* As plinth_query on a table of rows, without `options->read`, in the state that the transaction sees. What counts as
 * read are the keys, or ranges of keys, that the condition leaves open: a condition on the key's first columns keeps
 * that small; without one it is the whole table. Rows written afterwards do not show in a stream that is open. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_transaction_query(struct plinth_transaction *transaction,
                                                                         const char *database, const char *table,
                                                                         const struct plinth_query_options *options,
                                                                         struct ArrowArrayStream *stream,
                                                                         struct plinth_error *error);
/* What a commit has met. Start with {0}; free with plinth_buffer_deinit(&conflict->key). */
struct plinth_conflict {
    bool too_old;              /* the state that was read is older than what the engine remembers */
    struct plinth_space space; /* else: the key that was written since, unless it is empty */
    struct plinth_buffer key;
    bool
        rows; /* a row of table `table`: `key` is its key's values as text, "host = a, time = 5"; `space` has its ids */
    char table[PLINTH_NAME_BYTES_MAX + 1];
};
/* Applies the writes as one, and returns as plinth_write does. PLINTH_CONFLICT: something that was read has been
 * written since, or it is too long ago to tell (`conflict`, which may be null, says more): nothing was written, and the
 * transaction should be begun again. Without writes it succeeds at once: what it read was one state. After
 * PLINTH_OUTCOME_UNKNOWN it may be called again with the same producer id and sequence. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_transaction_commit(struct plinth_transaction *transaction,
                                                                          const struct plinth_write_options *options,
                                                                          struct plinth_position *position,
                                                                          struct plinth_conflict *conflict,
                                                                          struct plinth_error *error);
/* Ends it; what was not committed is forgotten. Null is allowed. */
PLINTH_API void plinth_transaction_destroy(struct plinth_transaction *transaction);

/* What a commit rests on, for callers that keep their own account of what they read. */
struct plinth_key_read {
    struct plinth_space space;
    struct plinth_slice key;
};
struct plinth_range_read {
    struct plinth_space space;
    struct plinth_slice lower; /* inclusive */
    struct plinth_slice upper; /* exclusive; empty: to the end of the space */
};
struct plinth_reads {
    struct plinth_position snapshot; /* the state that was read */
    const struct plinth_key_read *keys;
    size_t key_count;
    const struct plinth_range_read *ranges;
    size_t range_count;
};
/* A transaction in one call: applies the operations if none of `reads` has changed since its snapshot. As
 * plinth_transaction_commit, but a commit without operations is refused. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_commit(struct plinth *db, const struct plinth_reads *reads, const struct plinth_operation *operations,
              size_t count, const struct plinth_write_options *options, struct plinth_position *position,
              struct plinth_conflict *conflict, struct plinth_error *error);

/* ---- reading rows --------------------------------------------------------------------------------- */

enum plinth_aggregate_kind {
    PLINTH_COUNT = 1, /* rows, or values of `column` that are not null */
    PLINTH_MIN = 2,
    PLINTH_MAX = 3,
    PLINTH_SUM = 4, /* exact for integers and decimals */
    PLINTH_AVG = 5, /* float64 */
};

struct plinth_aggregate {
    enum plinth_aggregate_kind kind;
    const char *column; /* null: COUNT of rows */
};

/* Zero-initialise for all rows and columns of the newest acknowledged state. */
struct plinth_query_options {
    const char *where; /* a condition as SQL: "origin = 'JFK' AND dep_delay > 30"; null: all rows */
    const char *const *columns;
    size_t column_count;                       /* 0: all */
    uint64_t limit;                            /* rows; 0: no limit */
    bool ordered;                              /* by primary key; in the order of arrival without one */
    bool reverse;                              /* with ordered */
    const struct plinth_aggregate *aggregates; /* instead of rows: one row a group, ordered by group_by */
    size_t aggregate_count;
    const char *const *group_by;
    size_t group_by_count;
    struct plinth_read_options read;
    unsigned threads;          /* 0: one per core */
    uint64_t memory_bytes_max; /* of the query; 0: 256 MiB; beyond it PLINTH_RESOURCE_EXHAUSTED */
};

/* Starts a query over a table (or key space: columns key and value) in one state and gives its result as an Arrow C
 * stream, which the caller releases, before plinth_close; null `database` means "default". Nothing of `options` is
 * kept but its snapshot. The stream is used by one thread at a time; get_next gives an errno, get_last_error the text.
 * PLINTH_NOT_FOUND names the table, PLINTH_INVALID_ARGUMENT the column, literal or place in the condition that is
 * wrong, PLINTH_TOO_OLD when the state is gone. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_query(struct plinth *db, const char *database, const char *table,
                                                             const struct plinth_query_options *options,
                                                             struct ArrowArrayStream *stream,
                                                             struct plinth_error *error);

/* ---- administration ------------------------------------------------------------------------------- */

/* plinth_jobs.h has the rest: work in the background, and files. */

/* Writes everything acknowledged so far into segments and returns when they are durable. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_flush(struct plinth *db, struct plinth_error *error);
/* Flushes, then merges until every table is one sorted run without versions that nobody can see. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_compact(struct plinth *db, struct plinth_error *error);

/* One finding of plinth_verify. */
typedef void plinth_verify_visitor(void *context, const char *object, const char *problem);

struct plinth_verify_result {
    uint64_t segments;
    uint64_t rows;
    uint64_t index_entries;
    uint64_t log_records;
    uint64_t bytes;
    uint64_t problems;
};

/* Reads every log segment, checkpoint and data segment, checks checksums, order, bounds and counts, and checks
 * index entries and rows against each other in both directions. Findings go to `visit` (may be null); the status is
 * PLINTH_OK when the check could run to its end, whatever it found. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_verify(struct plinth *db, plinth_verify_visitor *visit,
                                                              void *context, struct plinth_verify_result *result,
                                                              struct plinth_error *error);

/* Numbers at one moment. Counters count since open; *_bytes are bytes, *_us microseconds. */
/* Who has how much memory. */
struct plinth_memory {
    uint64_t limit_bytes;
    uint64_t resident_bytes; /* of the whole process, as the operating system counts it; 0: not known */
    uint64_t
        memtable_bytes; /* also of memtables that only a reader still holds, with the index entries made for readers */
    uint64_t cache_bytes;
    uint64_t segment_bytes; /* footers and indexes of segments */
    uint64_t flush_bytes, merge_bytes, query_bytes;
    uint64_t window_bytes; /* keys written lately, which conditional writes are checked against */
};

struct plinth_stats {
    struct plinth_position acknowledged;
    uint64_t sets, deletes, gets, gets_found, scans, scan_rows, conflicts;
    uint64_t rows_upserted, rows_deleted, rows_rejected;
    uint64_t log_bytes, log_segments, log_syncs, log_groups, log_records;
    uint64_t memtable_bytes, memtables;
    uint64_t segments, segment_bytes, segment_rows;
    uint64_t flushes, flush_rows, flush_bytes, flush_us;
    uint64_t compactions, compaction_rows_in, compaction_rows_out, compaction_bytes_in, compaction_bytes_out,
        compaction_us;
    uint64_t compaction_moves, compaction_bytes_moved; /* segments that became part of another run as they were */
    uint64_t compaction_pending;                       /* tables, indexes and partitions with something to merge */
    uint64_t compaction_debt_bytes;                    /* what merges have to read until there is nothing to do */
    uint64_t runs_most;                                /* that a look-up in one table may have to go through */
    uint64_t cache_bytes, cache_hits, cache_misses;
    struct plinth_memory memory;
    uint64_t writers_waiting_for_memory; /* now; write_stalls counts them */
    uint64_t checkpoints, checkpoint_lsn;
    uint64_t snapshots, history_seconds;
    uint64_t write_stalls, write_stall_us; /* writes that waited for memory */
    uint64_t write_delays, write_delay_us; /* writes that waited because merges were behind */
    uint64_t write_rate_max;               /* bytes a second that writers are slowed to; 0: they are free */
    uint64_t replayed_records, open_us;
    uint64_t jobs_paused; /* kinds of jobs that do not begin until they are resumed */
    uint32_t feature_level;
    bool writable; /* false once the log failed; plinth_log_status says why */
};
PLINTH_API void plinth_stats_read(struct plinth *db, struct plinth_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
