/* Every Thrift structure from any bytes. The first byte chooses which. What decodes as a footer is encoded and
 * decoded again, and must then be the same. */
#include <stdlib.h>
#include <string.h>

#include "parquet/metadata_private.h"

enum { MEMORY_BYTES_MAX = 4 << 20, PAGES_MAX = 100 };

static void fuzz_footer(struct slice bytes) {
    struct arena arenas[2];
    struct parquet_metadata first, second;
    struct plinth_error error = {0};
    struct buffer out = BUFFER_INIT;
    arena_init(&arenas[0]);
    arena_init(&arenas[1]);
    if (!metadata_decode(bytes, (struct bounded_arena){&arenas[0], MEMORY_BYTES_MAX}, &first, &error)) {
        if (!metadata_encode(&first, &out)) abort();
        enum plinth_status st =
            metadata_decode(buffer_slice(&out), (struct bounded_arena){&arenas[1], UINT64_MAX}, &second, &error);
        if (st || first.row_count != second.row_count || first.row_group_count != second.row_group_count ||
            first.schema.column_count != second.schema.column_count || first.key_value_count != second.key_value_count)
            abort();
    }
    buffer_deinit(&out);
    arena_deinit(&arenas[0]);
    arena_deinit(&arenas[1]);
}

/* Encodes the index and decodes that: the same again. */
static void encode_column_index(const struct parquet_page_index *index) {
    struct parquet_page_index again = {.page_count = index->page_count};
    struct plinth_error error = {0};
    struct buffer out = BUFFER_INIT;
    arena_init(&again.arena);
    struct bounded_arena memory = {&again.arena, UINT64_MAX};
    if (!column_index_encode(index, &out) || column_index_decode(buffer_slice(&out), memory, &again, &error)) abort();
    const struct parquet_level_counts *levels[][2] = {{&index->levels.repetition, &again.levels.repetition},
                                                      {&index->levels.definition, &again.levels.definition}};
    for (int k = 0; k < 2; k++)
        if (levels[k][0]->count != levels[k][1]->count ||
            (levels[k][0]->count > 0 &&
             memcmp(levels[k][0]->slots, levels[k][1]->slots, levels[k][0]->count * sizeof(uint64_t))))
            abort();
    for (uint32_t i = 0; i < index->page_count; i++) {
        const struct parquet_page_bounds *a = &index->bounds[i], *b = &again.bounds[i];
        if (!slice_equal(a->min, b->min) || !slice_equal(a->max, b->max) || a->is_null_page != b->is_null_page ||
            a->null_count != b->null_count || (index->has_nan_counts && a->nan_count != b->nan_count))
            abort();
    }
    buffer_deinit(&out);
    arena_deinit(&again.arena);
}

static void fuzz_index(struct slice bytes, bool is_column_index) {
    struct parquet_page_index index = {.page_count = bytes.size ? bytes.data[0] % PAGES_MAX : 0};
    struct plinth_error error = {0};
    arena_init(&index.arena);
    struct bounded_arena memory = {&index.arena, MEMORY_BYTES_MAX};
    if (is_column_index && bytes.size > 0) {
        bytes = slice_of(bytes.data + 1, bytes.size - 1);
        if (!column_index_decode(bytes, memory, &index, &error)) encode_column_index(&index);
    } else {
        (void)!offset_index_decode(bytes, memory, &index, &error);
    }
    arena_deinit(&index.arena);
}

static void fuzz_page_header(struct slice bytes) {
    struct parquet_page_header header;
    struct plinth_error error = {0};
    struct buffer out = BUFFER_INIT;
    size_t size;
    bool is_truncated;
    if (!page_header_decode(bytes, &header, &size, &is_truncated, &error)) {
        if (size > bytes.size) abort();
        if (header.type != PARQUET_PAGE_INDEX) {
            if (!page_header_encode(&header, &out) ||
                page_header_decode(buffer_slice(&out), &header, &size, &is_truncated, &error) || size != out.size)
                abort();
        }
    }
    buffer_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plinth_error error = {0};
    size_t header_bytes;
    uint32_t bitset_bytes;
    if (size == 0) return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0: fuzz_footer(bytes); break;
    case 1: fuzz_page_header(bytes); break;
    case 2: fuzz_index(bytes, false); break;
    case 3: fuzz_index(bytes, true); break;
    default: (void)!bloom_header_decode(bytes, &header_bytes, &bitset_bytes, &error); break;
    }
    return 0;
}
