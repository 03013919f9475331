/* Reading the page index. See page_index.h. */
#include "parquet/page_index.h"

#include <stdlib.h>

#include "base/status.h"
#include "parquet/reader_private.h"
#include "parquet/statistics_private.h"

void parquet_page_index_deinit(struct parquet_page_index *index) {
    arena_deinit(&index->arena);
    *index = (struct parquet_page_index){0};
}

uint32_t parquet_page_index_find_row(const struct parquet_page_index *index, uint64_t row) {
    uint32_t low = 0, high = index->page_count; /* the first page that begins behind the row */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->locations[middle].first_row <= row)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : 0;
}

/* The bytes of an index, copied into the arena so that they live as long as what points into them. */
static enum plinth_status load(const struct parquet_reader *reader, uint64_t offset, uint32_t size,
                               struct bounded_arena *memory, struct slice *bytes, struct plinth_error *error) {
    uint64_t file = reader->source->size;
    *bytes = slice_of(NULL, 0);
    if (offset > file || size > file - offset)
        return error_set(error, PLINTH_CORRUPT, "the page index of %u bytes at offset %llu does not lie in the file",
                         size, (unsigned long long)offset);
    uint8_t *copy = bounded_arena_alloc(memory, size, 1);
    if (!copy) return error_set(error, PLINTH_OUT_OF_MEMORY, "a page index of %u bytes is over the memory limit", size);
    enum plinth_status st = PLINTH_OK;
    if (reader->source->mapped)
        memcpy(copy, reader->source->mapped + offset, size);
    else
        st = reader->source->read(reader->source, offset, copy, size, error);
    if (!st) *bytes = slice_of(copy, size);
    return st;
}

static enum plinth_status check_locations(const struct parquet_reader *reader, const struct parquet_column_chunk *chunk,
                                          uint64_t rows, struct parquet_page_index *index, struct plinth_error *error) {
    struct chunk_range range;
    enum plinth_status st = reader_chunk_range(reader, chunk, &range, error);
    if (st) return st;
    uint64_t at = range.begin;
    for (uint32_t i = 0; i < index->page_count; i++) {
        struct parquet_page_location *location = &index->locations[i];
        uint64_t end_row = i + 1 < index->page_count ? index->locations[i + 1].first_row : rows;
        bool is_inside = location->offset >= at && location->offset <= range.end && location->bytes > 0 &&
                         location->bytes <= range.end - location->offset;
        if (!is_inside)
            return error_set(error, PLINTH_CORRUPT,
                             "the offset index puts page %u, %u bytes, at offset %llu, outside its chunk or over the "
                             "page before it",
                             i, location->bytes, (unsigned long long)location->offset);
        if (end_row < location->first_row || end_row > rows || (i == 0 && location->first_row != 0))
            return error_set(error, PLINTH_CORRUPT, "the offset index gives page %u rows %llu to %llu of %llu", i,
                             (unsigned long long)location->first_row, (unsigned long long)end_row,
                             (unsigned long long)rows);
        location->row_count = end_row - location->first_row;
        at = location->offset + location->bytes;
    }
    if (index->page_count == 0 && rows > 0)
        return error_set(error, PLINTH_CORRUPT, "the offset index has no pages for %llu rows",
                         (unsigned long long)rows);
    return PLINTH_OK;
}

/* Bounds that no comparison may be based on are dropped. */
static void drop_unusable_bounds(const struct parquet_column *column, struct parquet_page_index *index) {
    enum parquet_order order = parquet_column_order(column);
    bool is_usable = parquet_column_bounds_are_ordered(column);
    uint32_t width = column->type == PARQUET_TYPE_BOOLEAN ? 1 : column->type == PARQUET_TYPE_FIXED ? 0 : column->width;
    bool is_half = order == PARQUET_ORDER_FLOAT16;
    if (is_half) width = 2;
    for (uint32_t i = 0; is_usable && index->bounds && i < index->page_count; i++) {
        const struct parquet_page_bounds *bounds = &index->bounds[i];
        if (bounds->is_null_page) continue;
        if (width && (bounds->min.size != width || bounds->max.size != width))
            is_usable = false;
        else if (width && column->bounds_order != PARQUET_BOUNDS_TOTAL &&
                 (statistics_value_is_nan(order, bounds->min.data) || statistics_value_is_nan(order, bounds->max.data)))
            is_usable = false;
    }
    if (!is_usable) index->bounds = NULL;
}

static void drop_impossible_levels(const struct parquet_column *column, struct parquet_page_index *index) {
    struct parquet_level_statistics *levels = &index->levels;
    uint64_t pages = index->page_count;
    if (levels->repetition.count != pages * (column->repetition_level_max + 1u)) levels->repetition.count = 0;
    if (levels->definition.count != pages * (column->definition_level_max + 1u)) levels->definition.count = 0;
}

static enum plinth_status read_index(const struct parquet_reader *reader, const struct parquet_column_chunk *chunk,
                                     uint32_t row_group, uint32_t column, struct parquet_page_index *index,
                                     struct plinth_error *error) {
    struct bounded_arena memory = {&index->arena, reader->memory_bytes_max};
    struct slice bytes;
    if (chunk->offset_index_offset == 0) return error_set(error, PLINTH_NOT_FOUND, "there is no offset index");
    enum plinth_status st = load(reader, chunk->offset_index_offset, chunk->offset_index_bytes, &memory, &bytes, error);
    if (!st) st = offset_index_decode(bytes, memory, index, error);
    if (!st) st = check_locations(reader, chunk, reader->metadata.row_groups[row_group].row_count, index, error);
    if (st || chunk->column_index_offset == 0) return st;
    st = load(reader, chunk->column_index_offset, chunk->column_index_bytes, &memory, &bytes, error);
    if (!st) st = column_index_decode(bytes, memory, index, error);
    if (!st) drop_unusable_bounds(&reader->metadata.schema.columns[column], index);
    if (!st) drop_impossible_levels(&reader->metadata.schema.columns[column], index);
    return st;
}

enum plinth_status parquet_reader_page_index(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                             struct parquet_page_index *index, struct plinth_error *error) {
    const struct parquet_column_chunk *chunk;
    *index = (struct parquet_page_index){0};
    arena_init(&index->arena);
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (!st) {
        st = read_index(reader, chunk, row_group, column, index, error);
        if (st)
            error_prefix(error, "row group %u, column %.100s", row_group, reader->metadata.schema.columns[column].path);
    }
    if (st) parquet_page_index_deinit(index);
    return st;
}
