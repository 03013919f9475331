#include "table/row_segment_encoding.h"

enum { DICTIONARY_BYTES_MAX = 512 << 10 };

enum plinth_status row_encoding_choose(const struct column *column, struct column_type type, uint32_t first,
                                       uint32_t count, const struct row_encoding_hints *hints,
                                       struct parquet_column_options *options, struct plinth_error *error) {
    (void)column;
    (void)first;
    (void)count;
    (void)error;
    struct column_type value = type.kind == COLUMN_LIST ? column_type_element(type) : type;
    *options = parquet_column_options_default();
    options->codec = hints->codec;
    options->dictionary_bytes_max = DICTIONARY_BYTES_MAX;
    options->dictionary = value.kind != COLUMN_BOOL;
    switch (value.kind) {
    case COLUMN_BOOL:
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64:
    case COLUMN_DECIMAL:
    case COLUMN_UUID: break;
    case COLUMN_STRING:
    case COLUMN_BYTES:
        options->encoding =
            hints->is_leading_key ? PARQUET_ENCODING_DELTA_BYTE_ARRAY : PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY;
        break;
    default: options->encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED; break;
    }
    return PLINTH_OK;
}
