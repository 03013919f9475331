/* libplinth-parquet: the Parquet format by itself, in and out as Arrow.
 *
 *     struct plinth_error error;
 *     struct plinth_parquet_file *file;
 *     struct ArrowArrayStream rows;
 *     if (plinth_parquet_open("flights.parquet", NULL, &file, &error)) ...
 *     if (plinth_parquet_read(file, &(struct plinth_parquet_selection){.columns = names, .column_count = 2}, &rows,
 *                             &error)) ...
 *     while (!rows.get_next(&rows, &batch) && batch.release) ...
 *
 * Rows come and go by the Arrow C Stream interface (plinth_arrow.h): nested columns of any depth as structs, lists and
 * maps. docs/parquet.md has the table of what is read and written.
 *
 * Bytes of a file are never trusted: whatever it holds, a call gives rows or a status, and the text names the row
 * group, column and offset that was wrong. Structs are zero-initialised for the defaults, and may get more fields at
 * their end with a new version of the library's soname only.
 *
 * Threads: a file is immutable and may be read by any number of streams on any threads; a stream and a writer belong to
 * one thread at a time. */
#ifndef PLINTH_PARQUET_H
#define PLINTH_PARQUET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plinth_arrow.h"
#include "plinth_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Reading ---- */

struct plinth_parquet_file;

/* What an INT96 time stamp becomes. Nanoseconds reach from 1677 to 2262; a time beyond is PLINTH_TOO_LARGE. */
enum plinth_parquet_int96 {
    PLINTH_PARQUET_INT96_NANOS = 0,
    PLINTH_PARQUET_INT96_MICROS = 1,
    PLINTH_PARQUET_INT96_MILLIS = 2,
};

struct plinth_parquet_open_options {
    uint64_t memory_bytes_max; /* bounds the footer, each page index, and each decoded page or dictionary; 0: 256 MiB */
    bool no_checksums;         /* do not check pages' CRC32 where they have one */
    bool allow_invalid_utf8;   /* strings are not checked; else a wrong one is PLINTH_CORRUPT */
    enum plinth_parquet_int96 int96;
    /* bounds what a stream holds in all: decoded pages and dictionaries of all its columns, and the batch that they go
     * to; 0: 16 times memory_bytes_max (4 GiB) */
    uint64_t stream_bytes_max;
};

/* Opens a file and parses its footer. `options` may be null. PLINTH_UNSUPPORTED: an encrypted footer. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_open(const char *path,
                                                                    const struct plinth_parquet_open_options *options,
                                                                    struct plinth_parquet_file **file,
                                                                    struct plinth_error *error);
/* The same for bytes in memory, which must stay there until the last stream of the file is released. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_open_memory(const void *bytes, size_t size, const struct plinth_parquet_open_options *options,
                           struct plinth_parquet_file **file, struct plinth_error *error);
/* Reads exactly `size` bytes at `offset`, or fails. Called by all threads that read the file. */
typedef enum plinth_status plinth_parquet_read_function(void *context, uint64_t offset, void *into, size_t size,
                                                        struct plinth_error *error);
/* The same for what the caller reads: a file of `size` bytes. `context` must stay until the last stream of the file is
 * released. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_open_function(plinth_parquet_read_function *read, void *context, uint64_t size,
                             const struct plinth_parquet_open_options *options, struct plinth_parquet_file **file,
                             struct plinth_error *error);
/* Null is allowed. Streams that are still open keep what they need. */
PLINTH_API void plinth_parquet_close(struct plinth_parquet_file *file);

struct plinth_parquet_info {
    uint64_t row_count;
    uint32_t row_group_count;
    uint32_t column_count; /* leaves of the schema */
    uint32_t key_value_count;
    int32_t version;
    const char *created_by; /* "" when not said; as all texts, valid until the file is closed */
};
PLINTH_API void plinth_parquet_get_info(const struct plinth_parquet_file *file, struct plinth_parquet_info *info);
/* Key-value metadata `i` (< key_value_count); `*value` is null when it has none. Zero bytes in a value end it here. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_get_key_value(const struct plinth_parquet_file *file,
                                                                             uint32_t i, const char **key,
                                                                             const char **value,
                                                                             struct plinth_error *error);

struct plinth_parquet_column_info {
    const char *path;          /* "a.list.element" */
    const char *physical_type; /* "INT64" */
    uint32_t type_length;      /* FIXED_LEN_BYTE_ARRAY: bytes a value */
    uint32_t definition_level_max, repetition_level_max;
};
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_get_column(const struct plinth_parquet_file *file,
                                                                          uint32_t column,
                                                                          struct plinth_parquet_column_info *info,
                                                                          struct plinth_error *error);

/* One column in one row group. Bounds are PLAIN-encoded, BYTE_ARRAY without its length; null when there are none that a
 * comparison may rely on (NaN, an unknown order, old fields that were compared wrongly). */
struct plinth_parquet_chunk_info {
    uint64_t row_count;
    uint64_t value_count; /* nulls included; of lists, each element and each list without any */
    const char *codec;    /* "ZSTD" */
    uint32_t encodings;   /* bit 1 << number of the encoding */
    uint64_t offset, compressed_bytes, uncompressed_bytes;
    bool has_null_count;
    uint64_t null_count;
    const void *min, *max;
    size_t min_size, max_size;
    bool min_exact, max_exact;
    bool has_page_index, has_bloom_filter, is_encrypted;
    bool has_nan_count, has_unencoded_bytes;
    uint64_t nan_count;       /* of floating-point columns */
    uint64_t unencoded_bytes; /* BYTE_ARRAY: of all values, without their lengths */
    /* How many values have each level, from 0 to the column's highest; null when not said. */
    const uint64_t *repetition_counts, *definition_counts;
};
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_get_chunk(const struct plinth_parquet_file *file,
                                                                         uint32_t row_group, uint32_t column,
                                                                         struct plinth_parquet_chunk_info *info,
                                                                         struct plinth_error *error);

/* The schema of all columns, a struct; the caller releases it. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_get_schema(const struct plinth_parquet_file *file,
                                                                          struct ArrowSchema *schema,
                                                                          struct plinth_error *error);

/* Rows whose value of a column lies between two values, both included; a null pointer is no bound on that side. Nulls
 * and NaN never match. Values are in the column's physical form: 4, 8, 12 or type_length bytes little-endian, a byte
 * for BOOLEAN, the bytes of BYTE_ARRAY; INT96 is compared as a time. A row of a column in lists matches when one of its
 * values does. */
struct plinth_parquet_bounds {
    const char *column; /* path of a leaf */
    const void *min, *max;
    size_t min_size, max_size;
};

/* Rows of the file, end excluded. */
struct plinth_parquet_rows {
    uint64_t begin, end;
};

/* Which rows and columns. All conditions must hold. Row groups, pages and bloom filters that cannot hold matching rows
 * are not read; of the columns asked for, only pages with matching rows are decoded where the file has a page index. */
struct plinth_parquet_selection {
    /* Paths of fields ("a", or "a.b" for a part of a struct); in any order, rows come in the file's. Null: all. */
    const char *const *columns;
    uint32_t column_count;
    uint64_t row_begin, row_end; /* rows of the file, end excluded; row_end 0: to the end */
    const struct plinth_parquet_bounds *bounds;
    uint32_t bounds_count;
    uint32_t batch_rows; /* at most so many rows a batch; 0: 65,536. A batch lies in one row group. */
    /* Rows chosen one by one: by ranges that ascend and do not overlap, or by bits (row i is bit i % 8 of byte i / 8;
     * rows behind the bitmap are not wanted), or both. Null: all. */
    const struct plinth_parquet_rows *ranges;
    uint64_t range_count;
    const uint8_t *bitmap;
    uint64_t bitmap_rows;
};

/* A stream of the rows; the caller releases it. `selection` may be null, is copied, and is checked here:
 * PLINTH_NOT_FOUND names a column that is missing. Errors of the file itself come from the stream. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_read(const struct plinth_parquet_file *file,
                                                                    const struct plinth_parquet_selection *selection,
                                                                    struct ArrowArrayStream *stream,
                                                                    struct plinth_error *error);

/* ---- Checking ---- */

struct plinth_parquet_finding {
    int64_t row_group;  /* -1: of the whole file */
    const char *column; /* path of a leaf; null: of all */
    int64_t page;       /* data page of the column in the row group, from 0; -1: none */
    int64_t offset;     /* in the file; -1: none */
    const char *text;   /* valid during the call, as the column is */
};
/* Called for each finding; false stops. */
typedef bool plinth_parquet_finding_function(void *context, const struct plinth_parquet_finding *finding);

/* Whether what the file says of itself is true of its data: sizes, counts, checksums, statistics, page indexes, bloom
 * filters, the order of sorting columns, UTF-8. All pages are read and decoded. `*findings` (may be null) is how many
 * there were; PLINTH_OK whatever that is. Another status: the file cannot be checked to its end (encrypted, not
 * supported, over `memory_bytes_max`, a failed read). `report` may be null. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_verify(const struct plinth_parquet_file *file,
                                                                      plinth_parquet_finding_function *report,
                                                                      void *context, uint64_t *findings,
                                                                      struct plinth_error *error);

/* ---- Writing ---- */

/* As the format numbers them. */
enum plinth_parquet_codec {
    PLINTH_PARQUET_UNCOMPRESSED = 0,
    PLINTH_PARQUET_SNAPPY = 1,
    PLINTH_PARQUET_GZIP = 2,
    PLINTH_PARQUET_BROTLI = 4,
    PLINTH_PARQUET_ZSTD = 6,
    PLINTH_PARQUET_LZ4_RAW = 7,
};

enum plinth_parquet_encoding {
    PLINTH_PARQUET_CHOOSE = -1, /* by a sample of the first rows */
    PLINTH_PARQUET_PLAIN = 0,
    PLINTH_PARQUET_RLE = 3,
    PLINTH_PARQUET_DELTA_BINARY_PACKED = 5,
    PLINTH_PARQUET_DELTA_LENGTH_BYTE_ARRAY = 6,
    PLINTH_PARQUET_DELTA_BYTE_ARRAY = 7,
    PLINTH_PARQUET_DICTIONARY = 8, /* falls back to PLAIN where it saves nothing */
    PLINTH_PARQUET_BYTE_STREAM_SPLIT = 9,
};

/* What is said of a column goes before what is said of the file. */
struct plinth_parquet_column_options {
    const char *column; /* path of a field; holds for all leaves below it */
    bool has_codec;
    enum plinth_parquet_codec codec;
    int codec_level;
    bool has_encoding;
    enum plinth_parquet_encoding encoding; /* must fit the physical types */
    bool bloom_filter;
};

struct plinth_parquet_sorting {
    const char *column; /* path of a leaf */
    bool is_descending;
    bool nulls_first;
};

struct plinth_parquet_write_options {
    enum plinth_parquet_codec codec;
    int codec_level;                       /* 0: the codec's own */
    enum plinth_parquet_encoding encoding; /* of all columns that it fits; the others, and CHOOSE, by measurement */
    uint32_t page_rows;                    /* 0: 20,000 */
    uint64_t row_group_rows;               /* 0: 1,048,576 */
    int data_page_version;                 /* 1 or 2; 0: 2 */
    bool no_statistics, no_page_index, no_checksums;
    bool no_dictionary; /* CHOOSE never takes one */
    const struct plinth_parquet_column_options *columns;
    uint32_t column_count;
    const struct plinth_parquet_sorting *sorting; /* how the caller's rows are sorted; not checked */
    uint32_t sorting_count;
    const char *created_by; /* null: this library and its version */
    /* A dictionary that would be larger is given up. A row that is read by itself costs the decoding of the
     * dictionaries of its columns, so that small ones are better there. 0: 1 MiB. */
    uint32_t dictionary_bytes_max;
    uint32_t threads; /* that encode columns, the caller's included; 0: 1. The bytes are the same with any number. */
};
/* ZSTD, encodings by measurement. */
PLINTH_API struct plinth_parquet_write_options plinth_parquet_write_options_default(void);

/* Where a file goes: takes all of the bytes, in order, or fails. */
typedef enum plinth_status plinth_parquet_write_function(void *context, const void *bytes, size_t size,
                                                         struct plinth_error *error);

struct plinth_parquet_writer;

/* Begins a file of rows of that schema (a struct; not released). `options` may be null, and is copied. The file is made
 * anew. PLINTH_UNSUPPORTED names a field whose type Parquet has no form for. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_writer_open(const char *path, const struct ArrowSchema *schema,
                           const struct plinth_parquet_write_options *options, struct plinth_parquet_writer **writer,
                           struct plinth_error *error);
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_writer_open_function(plinth_parquet_write_function *write, void *context,
                                    const struct ArrowSchema *schema,
                                    const struct plinth_parquet_write_options *options,
                                    struct plinth_parquet_writer **writer, struct plinth_error *error);
/* Appends a batch (a struct array of the schema; not released, not referred to after the call). The lengths of its
 * buffers are the caller's word; offsets and indices inside them are checked. After a failure only destroy is allowed.
 */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status plinth_parquet_writer_write(struct plinth_parquet_writer *writer,
                                                                            const struct ArrowArray *batch,
                                                                            struct plinth_error *error);
/* Ends the row group here. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_writer_end_row_group(struct plinth_parquet_writer *writer, struct plinth_error *error);
/* File-level key-value metadata; both are copied. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_writer_add_key_value(struct plinth_parquet_writer *writer, const char *key, const char *value,
                                    struct plinth_error *error);
/* Writes what is left and the footer (does not sync); the writer is then good for destroy only. `file_bytes` may be
 * null. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_writer_finish(struct plinth_parquet_writer *writer, uint64_t *file_bytes, struct plinth_error *error);
/* A file that was not finished stays as it is, and is no Parquet file. Null is allowed. */
PLINTH_API void plinth_parquet_writer_destroy(struct plinth_parquet_writer *writer);

/* All of a stream into a file: open, write, finish. The stream is not released. */
PLINTH_API PLINTH_MUST_CHECK enum plinth_status
plinth_parquet_write_stream(const char *path, struct ArrowArrayStream *stream,
                            const struct plinth_parquet_write_options *options, struct plinth_error *error);

#ifdef __cplusplus
}
#endif

#endif
