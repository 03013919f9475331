/* A whole file of any bytes: everything that the reader offers, mapped and not, gives rows or a status. */
#include <stdlib.h>

#include "parquet/bloom.h"
#include "parquet/reader.h"
#include "parquet/statistics.h"

enum { MEMORY_BYTES_MAX = 1 << 20, CHUNKS_MAX = 64 };

struct fuzz_source {
    struct parquet_source source;
    const uint8_t *data;
};

static enum plinth_status read_source(struct parquet_source *source, uint64_t offset, void *into, size_t size,
                                      struct plinth_error *error) {
    (void)error;
    if (offset > source->size || size > source->size - offset) abort(); /* the reader promises to stay inside */
    if (size) memcpy(into, ((struct fuzz_source *)source)->data + offset, size);
    return PLINTH_OK;
}

/* Reads every byte that the rows are said to have. */
static uint64_t touch(const struct parquet_column *column, const struct parquet_column_data *data) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < data->rows; i++) {
        struct slice value;
        sum += parquet_column_data_is_null(data, i);
        if (column->type == PARQUET_TYPE_BYTE_ARRAY)
            value = parquet_column_data_bytes(data, i);
        else if (column->type == PARQUET_TYPE_BOOLEAN)
            value = slice_of((const uint8_t *)data->values + i / 8, 1);
        else
            value = slice_of((const uint8_t *)data->values + i * column->width, column->width);
        for (size_t k = 0; k < value.size; k++) sum += value.data[k];
        if (data->definition_levels) sum += (uint64_t)data->definition_levels[i] + data->repetition_levels[i];
    }
    return sum;
}

static void read_pages(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                       struct parquet_scratch *scratch, struct plinth_error *error) {
    const struct parquet_column *about = &parquet_reader_metadata(reader)->schema.columns[column];
    struct parquet_column_buffer page = {0};
    struct parquet_page_index index;
    struct parquet_bloom bloom;
    bool maybe;
    if (!parquet_reader_page_index(reader, group, column, &index, error)) {
        for (uint32_t i = 0; i < index.page_count; i++) {
            if (!parquet_reader_read_page(reader, group, column, &index, i, NULL, scratch, &page, error))
                touch(about, &page.data);
            if (index.bounds)
                parquet_value_compare(parquet_column_order(about), index.bounds[i].min, index.bounds[i].max);
        }
        parquet_page_index_find_row(&index, 5);
    }
    parquet_page_index_deinit(&index);
    parquet_column_buffer_deinit(&page);
    (void)!parquet_reader_bloom_check(reader, group, column, slice_of_string("key"), &maybe, error);
    if (!parquet_reader_bloom(reader, group, column, &bloom, error))
        parquet_bloom_check(&bloom, slice_of_string("key"));
    parquet_bloom_deinit(&bloom);
}

static void scan(const struct parquet_reader *reader, uint32_t group, uint32_t column, struct plinth_error *error) {
    const struct parquet_column *about = &parquet_reader_metadata(reader)->schema.columns[column];
    struct parquet_scan *scan;
    struct parquet_column_data data;
    uint64_t rows = 1;
    if (parquet_scan_create(reader, group, &column, 1, &scan, error)) return;
    while (!parquet_scan_next(scan, 7 + column * 1000, &data, &rows, error) && rows > 0) touch(about, &data);
    parquet_scan_destroy(scan);
}

static void read_all(struct parquet_source *source) {
    struct parquet_reader_options options = {.memory_bytes_max = MEMORY_BYTES_MAX};
    struct plinth_error error = {0};
    struct parquet_reader *reader;
    struct parquet_scratch *scratch;
    if (parquet_reader_open(source, &options, &reader, &error)) return;
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    if (parquet_scratch_create(&scratch, &error)) abort();
    uint32_t chunks = 0;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        for (uint32_t c = 0; c < metadata->schema.column_count && chunks < CHUNKS_MAX; c++, chunks++) {
            struct slice min, max;
            parquet_statistics_bounds(&metadata->schema.columns[c], &metadata->row_groups[g].columns[c].statistics,
                                      &min, &max);
            scan(reader, g, c, &error);
            read_pages(reader, g, c, scratch, &error);
        }
    }
    parquet_scratch_destroy(scratch);
    parquet_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_source mapped = {.source = {.size = size, .mapped = data}, .data = data};
    struct fuzz_source unmapped = {.source = {.size = size, .read = read_source}, .data = data};
    read_all(&mapped.source);
    read_all(&unmapped.source);
    return 0;
}
