/* A whole file of any bytes: everything that the reader offers, mapped and not, gives rows or a status. */
#include <stdlib.h>

#include "parquet/bloom.h"
#include "parquet/list_levels.h"
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

static uint64_t touch_slots(const struct parquet_column *column, const struct parquet_column_data *data) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < data->slots; i++) {
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

/* Levels that make lists come back from them, but that a missing group becomes a null list or element. */
static void touch_lists(const struct parquet_column *column, const struct parquet_column_data *data) {
    struct parquet_list_buffer lists = {0};
    struct parquet_column_buffer back = {0};
    struct plinth_error error = {0};
    if (!parquet_list_from_levels(column, data, &lists, &error)) {
        if (lists.data.rows != data->rows) abort();
        touch_slots(column, &lists.data.elements);
        if (parquet_list_to_levels(column, &lists.data, &back, &error) == PLINTH_OK) {
            const struct parquet_column_data *again = &back.data;
            if (again->rows != data->rows || again->slots != data->slots) abort();
            if (data->slots && memcmp(again->repetition_levels, data->repetition_levels, data->slots)) abort();
            if (column->element_level <= 2 && column->definition_level_max <= column->element_level + 1 &&
                data->slots && memcmp(again->definition_levels, data->definition_levels, data->slots))
                abort();
            touch_slots(column, again);
        }
    }
    parquet_list_buffer_deinit(&lists);
    parquet_column_buffer_deinit(&back);
}

/* Reads every byte that the rows are said to have. */
static void touch(const struct parquet_column *column, const struct parquet_column_data *data) {
    uint64_t rows = data->slots;
    touch_slots(column, data);
    if (!parquet_column_is_flat(column)) {
        rows = 0;
        for (uint64_t i = 0; i < data->slots; i++) rows += data->repetition_levels[i] == 0;
        if (data->slots && data->repetition_levels[0]) abort(); /* rows are given whole */
        touch_lists(column, data);
    }
    if (rows != data->rows) abort();
}

/* Levels that are told are as many as the pages have. */
static void touch_levels(const struct parquet_column *column, const struct parquet_page_index *index) {
    const struct parquet_level_counts *counts[] = {&index->levels.repetition, &index->levels.definition};
    uint32_t highest[] = {column->repetition_level_max, column->definition_level_max};
    uint64_t sum = 0;
    for (int k = 0; k < 2; k++) {
        if (counts[k]->count > 0 && counts[k]->count != index->page_count * (highest[k] + 1)) abort();
        for (uint32_t i = 0; i < counts[k]->count; i++) sum += counts[k]->slots[i];
    }
    for (uint32_t i = 0; index->unencoded_bytes && i < index->page_count; i++) sum += index->unencoded_bytes[i];
    (void)sum;
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
        touch_levels(about, &index);
    }
    parquet_page_index_deinit(&index);
    parquet_column_buffer_deinit(&page);
    (void)!parquet_reader_bloom_check(reader, group, column, slice_of_string("key"), &maybe, error);
    if (!parquet_reader_bloom(reader, group, column, &bloom, error))
        parquet_bloom_check(&bloom, slice_of_string("key"));
    parquet_bloom_deinit(&bloom);
}

/* Columns `first` to `first + count - 1` together. */
static void scan(const struct parquet_reader *reader, uint32_t group, uint32_t first, uint32_t count,
                 struct plinth_error *error) {
    enum { COLUMNS_MAX = 8 };
    const struct parquet_schema *schema = &parquet_reader_metadata(reader)->schema;
    struct parquet_scan *scan;
    struct parquet_column_data data[COLUMNS_MAX];
    uint32_t columns[COLUMNS_MAX];
    uint64_t rows = 1;
    if (count > COLUMNS_MAX) count = COLUMNS_MAX;
    for (uint32_t i = 0; i < count; i++) columns[i] = first + i;
    if (parquet_scan_create(reader, group, columns, count, &scan, error)) return;
    while (!parquet_scan_next(scan, 7 + first * 1000, data, &rows, error) && rows > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (data[i].rows != rows) abort();
            touch(&schema->columns[columns[i]], &data[i]);
        }
    }
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
            scan(reader, g, c, 1, &error);
            read_pages(reader, g, c, scratch, &error);
        }
        if (chunks < CHUNKS_MAX) scan(reader, g, 0, metadata->schema.column_count, &error);
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
