/* Names and sizes of the format's types. See types.h. */
#include "parquet/types.h"

void parquet_column_buffer_deinit(struct parquet_column_buffer *buffer) {
    buffer_deinit(&buffer->page);
    buffer_deinit(&buffer->values);
    buffer_deinit(&buffer->offsets);
    buffer_deinit(&buffer->validity);
    buffer_deinit(&buffer->levels);
    *buffer = (struct parquet_column_buffer){0};
}

size_t parquet_column_buffer_size(const struct parquet_column_buffer *buffer) {
    return buffer->page.capacity + buffer->values.capacity + buffer->offsets.capacity + buffer->validity.capacity +
           buffer->levels.capacity;
}

uint32_t parquet_type_width(enum parquet_type type, uint32_t type_length) {
    switch (type) {
    case PARQUET_TYPE_INT32:
    case PARQUET_TYPE_FLOAT: return 4;
    case PARQUET_TYPE_INT64:
    case PARQUET_TYPE_DOUBLE: return 8;
    case PARQUET_TYPE_INT96: return 12;
    case PARQUET_TYPE_FIXED: return type_length;
    default: return 0;
    }
}

const char *parquet_type_name(enum parquet_type type) {
    static const char *const names[] = {"BOOLEAN", "INT32",  "INT64",      "INT96",
                                        "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};
    return (unsigned)type < sizeof names / sizeof names[0] ? names[type] : "?";
}

const char *parquet_encoding_name(enum parquet_encoding encoding) {
    static const char *const names[] = {"PLAIN",
                                        "?",
                                        "PLAIN_DICTIONARY",
                                        "RLE",
                                        "BIT_PACKED",
                                        "DELTA_BINARY_PACKED",
                                        "DELTA_LENGTH_BYTE_ARRAY",
                                        "DELTA_BYTE_ARRAY",
                                        "RLE_DICTIONARY",
                                        "BYTE_STREAM_SPLIT"};
    return (unsigned)encoding < sizeof names / sizeof names[0] ? names[encoding] : "?";
}

const char *parquet_codec_name(enum parquet_codec codec) {
    static const char *const names[] = {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"};
    return (unsigned)codec < sizeof names / sizeof names[0] ? names[codec] : "?";
}
