/* The file's metadata: what the footer, the page headers and the page index say, in their final C form.
 *
 * Decoding goes straight from Thrift's compact protocol into these structs; strings and min/max values are
 * borrowed from the decoded bytes, arrays come from the arena. Every count is checked against the bytes that
 * are there and every allocation against `memory_bytes_max`; unknown fields are skipped, to a bounded depth. */
#ifndef PLINTH_PARQUET_METADATA_H
#define PLINTH_PARQUET_METADATA_H

#include "base/arena.h"
#include "base/bytes.h"
#include "parquet/schema.h"
#include "parquet/types.h"

struct parquet_key_value {
    struct slice key;
    struct slice value;
    bool has_value;
};

/* Min and max are PLAIN-encoded (BYTE_ARRAY without its length). */
struct parquet_statistics {
    bool has_min, has_max;
    bool min_exact, max_exact; /* false: truncated, or not known: only a bound */
    bool has_null_count, has_distinct_count;
    bool has_nan_count; /* of FLOAT, DOUBLE and FLOAT16 */
    bool is_legacy;     /* from the deprecated fields, which were compared as signed */
    struct slice min, max;
    uint64_t null_count;
    uint64_t distinct_count;
    uint64_t nan_count;
};

/* How many slots have each level, from 0 to the column's highest; `count` is that highest level + 1 (in a page index so
 * many for each page), or 0: not said. */
struct parquet_level_counts {
    const uint64_t *slots;
    uint32_t count;
};

struct parquet_level_statistics {
    struct parquet_level_counts repetition, definition;
};

struct parquet_sorting_column {
    uint32_t column;
    bool is_descending;
    bool nulls_first;
};

/* How many pages of a kind a chunk has in an encoding. */
struct parquet_encoding_count {
    bool is_dictionary_page; /* else a data page */
    enum parquet_encoding encoding;
    uint32_t pages;
};

struct parquet_column_chunk {
    enum parquet_codec codec;
    uint32_t encodings;                            /* bit 1 << enum parquet_encoding */
    uint64_t value_count;                          /* slots, nulls included */
    uint64_t uncompressed_bytes, compressed_bytes; /* page headers included */
    uint64_t data_page_offset;
    uint64_t dictionary_page_offset; /* 0: none */
    struct parquet_statistics statistics;
    uint64_t bloom_offset;                             /* 0: none */
    uint64_t bloom_bytes;                              /* header included; 0: not said */
    uint64_t offset_index_offset, column_index_offset; /* 0: none */
    uint32_t offset_index_bytes, column_index_bytes;
    bool has_unencoded_bytes;
    uint64_t unencoded_bytes;                      /* BYTE_ARRAY: the values' bytes without lengths */
    const struct parquet_level_statistics *levels; /* null: not said */
    struct parquet_encoding_count *encoding_counts;
    uint32_t encoding_count_count;
    struct parquet_key_value *key_values;
    uint32_t key_value_count;
    bool is_encrypted; /* or in another file: not readable */
};

struct parquet_row_group {
    struct parquet_column_chunk *columns; /* schema.column_count of them */
    uint64_t row_count;
    uint64_t first_row; /* in the file */
    uint64_t uncompressed_bytes, compressed_bytes;
    uint64_t file_offset;
    struct parquet_sorting_column *sorting;
    uint32_t sorting_count;
};

struct parquet_metadata {
    int32_t version;
    uint64_t row_count;
    struct parquet_schema schema;
    struct parquet_row_group *row_groups;
    uint32_t row_group_count;
    struct parquet_key_value *key_values;
    uint32_t key_value_count;
    struct slice created_by;
};

/* The value of a key in the file's key-value metadata; false when it is missing. */
bool parquet_metadata_find(const struct parquet_metadata *metadata, const char *key, struct slice *value);

#endif
