/* The body of a page, of any type, encoding, codec and version, from any bytes. The first eight bytes choose:
 * type, encoding, codec, page version and repetition, slots (two bytes), uncompressed size (two bytes). */
#include <stdlib.h>

#include "parquet/page_read.h"
#include "parquet/reader.h"

enum { HEAD_BYTES = 8, MEMORY_BYTES_MAX = 1 << 20, ENTRIES = 100 };

static struct parquet_column column_of(uint8_t type, uint8_t shape) {
    struct parquet_column column = {.type = (enum parquet_type)(type % PARQUET_TYPE_COUNT), .type_length = 3};
    column.width = parquet_type_width(column.type, column.type_length);
    column.definition_level_max = shape & 3;
    column.repetition_level_max = shape & 4 ? 1 : 0;
    return column;
}

/* A dictionary of 100 entries for any type. */
static void make_dictionary(struct parquet_column_buffer *dictionary) {
    static uint8_t bytes[ENTRIES * 12];
    static uint32_t offsets[ENTRIES + 1];
    for (uint32_t i = 0; i <= ENTRIES; i++) offsets[i] = i * 2;
    *dictionary =
        (struct parquet_column_buffer){.data = {.rows = ENTRIES, .values = bytes, .offsets = offsets, .bytes = bytes}};
}

/* Reads every byte that the rows are said to have. */
static uint64_t touch(const struct parquet_column *column, const struct parquet_column_data *data) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < data->rows; i++) {
        sum += parquet_column_data_is_null(data, i);
        if (column->type == PARQUET_TYPE_BYTE_ARRAY) {
            struct slice value = parquet_column_data_bytes(data, i);
            for (size_t k = 0; k < value.size; k++) sum += value.data[k];
        } else if (column->type == PARQUET_TYPE_BOOLEAN) {
            sum += ((const uint8_t *)data->values)[i / 8];
        } else {
            for (size_t k = 0; k < column->width; k++) sum += ((const uint8_t *)data->values)[i * column->width + k];
        }
        if (data->definition_levels) sum += (uint64_t)data->definition_levels[i] + data->repetition_levels[i];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < HEAD_BYTES) return 0;
    struct parquet_column column = column_of(data[0], data[3] >> 2);
    struct slice body = slice_of(data + HEAD_BYTES, size - HEAD_BYTES);
    bool is_uncompressed = data[2] % PARQUET_CODEC_COUNT == PARQUET_CODEC_UNCOMPRESSED;
    struct parquet_page_header header = {
        .type = data[3] & 1 ? PARQUET_PAGE_DATA_V2 : PARQUET_PAGE_DATA,
        .uncompressed_bytes = is_uncompressed ? (uint32_t)body.size : load_u16(data + 6),
        .compressed_bytes = (uint32_t)body.size,
        .value_count = load_u16(data + 4),
        .encoding = (enum parquet_encoding)(data[1] % PARQUET_ENCODING_COUNT),
        .definition_encoding = data[3] & 2 ? PARQUET_ENCODING_BIT_PACKED : PARQUET_ENCODING_RLE,
        .repetition_encoding = PARQUET_ENCODING_RLE,
        .is_compressed = !is_uncompressed,
        .definition_bytes = data[7] & 15};
    if (header.definition_bytes > header.uncompressed_bytes || header.definition_bytes > body.size)
        header.definition_bytes = 0;
    struct parquet_scratch *scratch;
    struct parquet_column_buffer into = {0}, dictionary, decoded = {0};
    struct plinth_error error = {0};
    if (parquet_scratch_create(&scratch, &error)) abort();
    make_dictionary(&dictionary);
    struct page_context context = {.column = &column,
                                   .codec = (enum parquet_codec)(data[2] % PARQUET_CODEC_COUNT),
                                   .dictionary = &dictionary,
                                   .memory_bytes_max = MEMORY_BYTES_MAX,
                                   .can_borrow = true,
                                   .scratch = scratch};
    if (!page_decode(&context, &header, body, &into, &error)) touch(&column, &into.data);
    if (!page_decode_dictionary(&context, &header, body, &decoded, &error)) touch(&column, &decoded.data);
    parquet_column_buffer_deinit(&into);
    parquet_column_buffer_deinit(&decoded);
    parquet_scratch_destroy(scratch);
    return 0;
}
