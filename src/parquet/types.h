/* The words of the Parquet format, and the one memory layout in which columns go in and come out.
 *
 * Enumerators have the numbers of the format's parquet.thrift, so that they are written as they are.
 *
 * Layout (that of Arrow): a column of `rows` rows has one slot a row, nulls included.
 *   fixed width   values: rows * width bytes, little-endian, naturally aligned; the slot of a null holds zeros
 *   BOOLEAN       values: a bitmap, bit i % 8 of byte i / 8, as Arrow's
 *   BYTE_ARRAY    offsets: rows + 1 non-decreasing uint32; row i is bytes[offsets[i] .. offsets[i + 1]);
 *                 offsets[0] need not be 0; a null's range is empty
 *   validity      a bitmap, 1 = there is a value; the null pointer means that there are no nulls
 *
 * Columns with levels (inside a repeated or a second optional node: lists) have one slot for every value and for every
 * null of any depth; a row may then take several slots, and an empty or null list takes one. Everything above goes by
 * slot, not by row. list_levels.h goes from there to Arrow's lists and back. */
#ifndef PLINTH_PARQUET_TYPES_H
#define PLINTH_PARQUET_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum parquet_type {
    PARQUET_TYPE_BOOLEAN = 0,
    PARQUET_TYPE_INT32 = 1,
    PARQUET_TYPE_INT64 = 2,
    PARQUET_TYPE_INT96 = 3, /* 12 bytes; deprecated time stamps */
    PARQUET_TYPE_FLOAT = 4,
    PARQUET_TYPE_DOUBLE = 5,
    PARQUET_TYPE_BYTE_ARRAY = 6,
    PARQUET_TYPE_FIXED = 7, /* FIXED_LEN_BYTE_ARRAY: type_length bytes */
    PARQUET_TYPE_COUNT
};

enum parquet_repetition {
    PARQUET_REQUIRED = 0,
    PARQUET_OPTIONAL = 1,
    PARQUET_REPEATED = 2,
};

enum parquet_encoding {
    PARQUET_ENCODING_PLAIN = 0,
    PARQUET_ENCODING_PLAIN_DICTIONARY = 2,        /* the old name of RLE_DICTIONARY; read only */
    PARQUET_ENCODING_RLE = 3,                     /* levels, and BOOLEAN values */
    PARQUET_ENCODING_BIT_PACKED = 4,              /* deprecated levels; read only */
    PARQUET_ENCODING_DELTA_BINARY_PACKED = 5,     /* INT32, INT64 */
    PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6, /* BYTE_ARRAY */
    PARQUET_ENCODING_DELTA_BYTE_ARRAY = 7,        /* BYTE_ARRAY, FIXED */
    PARQUET_ENCODING_RLE_DICTIONARY = 8,
    PARQUET_ENCODING_BYTE_STREAM_SPLIT = 9, /* INT32, INT64, FLOAT, DOUBLE, FIXED */
    PARQUET_ENCODING_COUNT
};

enum parquet_codec {
    PARQUET_CODEC_UNCOMPRESSED = 0,
    PARQUET_CODEC_SNAPPY = 1,
    PARQUET_CODEC_GZIP = 2,
    PARQUET_CODEC_LZO = 3, /* not supported */
    PARQUET_CODEC_BROTLI = 4,
    PARQUET_CODEC_LZ4 = 5, /* deprecated framing; not written */
    PARQUET_CODEC_ZSTD = 6,
    PARQUET_CODEC_LZ4_RAW = 7,
    PARQUET_CODEC_COUNT
};

/* What the bytes mean; the numbers are the field ids of parquet.thrift's LogicalType union. */
enum parquet_logical_kind {
    PARQUET_LOGICAL_NONE = 0,
    PARQUET_LOGICAL_STRING = 1,
    PARQUET_LOGICAL_MAP = 2,
    PARQUET_LOGICAL_LIST = 3,
    PARQUET_LOGICAL_ENUM = 4,
    PARQUET_LOGICAL_DECIMAL = 5,
    PARQUET_LOGICAL_DATE = 6,
    PARQUET_LOGICAL_TIME = 7,
    PARQUET_LOGICAL_TIMESTAMP = 8,
    PARQUET_LOGICAL_INTEGER = 10,
    PARQUET_LOGICAL_NULL = 11, /* always null */
    PARQUET_LOGICAL_JSON = 12,
    PARQUET_LOGICAL_BSON = 13,
    PARQUET_LOGICAL_UUID = 14,
    PARQUET_LOGICAL_FLOAT16 = 15,
    PARQUET_LOGICAL_VARIANT = 16,
    PARQUET_LOGICAL_GEOMETRY = 17,
    PARQUET_LOGICAL_GEOGRAPHY = 18,
    PARQUET_LOGICAL_INTERVAL = 100, /* only in the old ConvertedType */
    PARQUET_LOGICAL_OTHER = 101,    /* a kind that this version does not know; read as NONE */
};

enum parquet_time_unit {
    PARQUET_TIME_MILLIS = 1,
    PARQUET_TIME_MICROS = 2,
    PARQUET_TIME_NANOS = 3,
};

struct parquet_logical_type {
    enum parquet_logical_kind kind;
    uint8_t bits;                /* INTEGER: 8, 16, 32, 64 */
    bool is_signed;              /* INTEGER */
    bool is_utc;                 /* TIME, TIMESTAMP: isAdjustedToUTC */
    enum parquet_time_unit unit; /* TIME, TIMESTAMP */
    int32_t scale;               /* DECIMAL */
    int32_t precision;           /* DECIMAL */
};

/* A borrowed view of some rows of one column, in the layout above: what the writer takes and the reader
 * gives. For REQUIRED columns and for OPTIONAL columns at the root the level fields are null. */
struct parquet_column_data {
    uint64_t rows;
    uint64_t slots;          /* equal to `rows` when no level repeats */
    uint64_t null_count;     /* bits that are 0 in `validity`; 0 when it is null (the writer counts itself) */
    const uint8_t *validity; /* bitmap or null */
    const void *values;      /* all but BYTE_ARRAY */
    const uint32_t *offsets; /* BYTE_ARRAY */
    const uint8_t *bytes;    /* BYTE_ARRAY */
    /* Columns with levels (parquet_column_has_levels): one of each a slot. A slot has a value when its definition
     * level is the column's highest; repetition level 0 begins a new row. */
    const uint8_t *definition_levels;
    const uint8_t *repetition_levels;
};

/* Slot i of a BYTE_ARRAY column, borrowed. */
static inline struct slice parquet_column_data_bytes(const struct parquet_column_data *data, uint64_t row) {
    return slice_of(data->bytes + data->offsets[row], data->offsets[row + 1] - data->offsets[row]);
}
static inline bool parquet_column_data_is_null(const struct parquet_column_data *data, uint64_t row) {
    return data->validity && !((data->validity[row >> 3] >> (row & 7)) & 1);
}

/* Decoded rows with the memory they lie in. `{0}` is an empty one; used again, it keeps its memory.
 * `data` may point into the buffers or, for uncompressed pages of a mapped source, into the source. */
struct parquet_column_buffer {
    struct parquet_column_data data;
    struct buffer page;     /* the decompressed page, when `data` points into it */
    struct buffer values;   /* values, or the bytes of BYTE_ARRAY */
    struct buffer offsets;  /* uint32 */
    struct buffer validity; /* bitmap */
    struct buffer levels;   /* definition, then repetition levels, of columns that have them */
};

void parquet_column_buffer_deinit(struct parquet_column_buffer *buffer);
/* Memory held by the buffers (not what lies in a mapped source). */
size_t parquet_column_buffer_size(const struct parquet_column_buffer *buffer);

/* Bytes a value of `type` in `values`: 4, 8, 12 or `type_length`; 0 for BOOLEAN (bits) and BYTE_ARRAY. */
uint32_t parquet_type_width(enum parquet_type type, uint32_t type_length);
/* Upper-case names as in the format ("INT64", "DELTA_BYTE_ARRAY", "LZ4_RAW"); "?" when unknown. */
const char *parquet_type_name(enum parquet_type type);
const char *parquet_encoding_name(enum parquet_encoding encoding);
const char *parquet_codec_name(enum parquet_codec codec);

#endif
