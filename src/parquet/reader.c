/* The footer, single pages, dictionaries and bloom filters. See reader.h. */
#include "parquet/reader.h"

#include <stdlib.h>

#include "base/status.h"
#include "parquet/bloom_private.h"
#include "parquet/reader_private.h"

enum {
    MAGIC_BYTES = 4,
    TRAILER_BYTES = 8, /* footer length, magic */
    BLOOM_HEADER_MAX = 64,
    DICTIONARY_HEADER_MAX = 100,
    PAGE_HEADER_GUESS = 64 << 10,
    MEMORY_BYTES_MAX_DEFAULT = 256 << 20,
    INDEXES_BYTES_MAX = 64 << 20,
    HUGE_PAGE_BYTES = 2 << 20,
    ARENA_HEADER_BYTES_MAX = 64,
};

/* ---- Opening ---- */

enum plinth_status reader_fetch(const struct parquet_reader *reader, uint64_t offset, uint64_t size,
                                struct buffer *into, struct slice *bytes, struct plinth_error *error) {
    struct parquet_source *source = reader->source;
    *bytes = slice_of(NULL, 0);
    if (offset > source->size || size > source->size - offset)
        return error_set(error, PLINTH_CORRUPT, "%llu bytes at offset %llu reach beyond the file's %llu",
                         (unsigned long long)size, (unsigned long long)offset, (unsigned long long)source->size);
    if (source->mapped) {
        *bytes = slice_of(source->mapped + offset, (size_t)size);
        return PLINTH_OK;
    }
    if (size > reader->memory_bytes_max)
        return error_set(error, PLINTH_OUT_OF_MEMORY, "%llu bytes at offset %llu are over the memory limit",
                         (unsigned long long)size, (unsigned long long)offset);
    buffer_clear(into);
    if (!buffer_reserve(into, (size_t)size + 1)) return error_no_memory(error, "Parquet file");
    enum plinth_status st = source->read(source, offset, into->data, (size_t)size, error);
    if (st) return st;
    into->size = (size_t)size;
    *bytes = buffer_slice(into);
    return PLINTH_OK;
}

static enum plinth_status check_magic(const uint8_t *magic, struct plinth_error *error) {
    if (memcmp(magic, "PAR1", MAGIC_BYTES) == 0) return PLINTH_OK;
    if (memcmp(magic, "PARE", MAGIC_BYTES) == 0)
        return error_set(error, PLINTH_UNSUPPORTED, "the file's footer is encrypted");
    return error_set(error, PLINTH_CORRUPT, "not a Parquet file: it does not end on \"PAR1\"");
}

/* The footer's bytes, which the parsed footer points into. A long one and what it becomes get their memory at once, in
 * huge pages where the system has them: half of the time would go into making small ones. */
static enum plinth_status load_footer(struct parquet_reader *reader, uint64_t footer_bytes, struct slice *bytes,
                                      struct plinth_error *error) {
    bool is_mapped = reader->source->mapped != NULL;
    uint64_t memory = (is_mapped ? 2 : 3) * footer_bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (memory > 0 && memory < reader->memory_bytes_max / 4)
        arena_init_sized(&reader->arena, (size_t)memory - ARENA_HEADER_BYTES_MAX);
    if (is_mapped) return reader_fetch(reader, reader->data_end, footer_bytes, NULL, bytes, error);
    struct bounded_arena bounded = {&reader->arena, reader->memory_bytes_max};
    if (!bounded_arena_fits(&bounded, footer_bytes))
        return error_set(error, PLINTH_OUT_OF_MEMORY, "a footer of %llu bytes is over the memory limit",
                         (unsigned long long)footer_bytes);
    uint8_t *copy = arena_alloc(&reader->arena, (size_t)footer_bytes);
    if (!copy) return error_no_memory(error, "Parquet footer");
    *bytes = slice_of(copy, (size_t)footer_bytes);
    return reader->source->read(reader->source, reader->data_end, copy, (size_t)footer_bytes, error);
}

static enum plinth_status read_footer(struct parquet_reader *reader, struct plinth_error *error) {
    uint64_t size = reader->source->size;
    struct slice bytes;
    if (size < MAGIC_BYTES + TRAILER_BYTES)
        return error_set(error, PLINTH_CORRUPT, "not a Parquet file: it has %llu bytes", (unsigned long long)size);
    enum plinth_status st = reader_fetch(reader, size - TRAILER_BYTES, TRAILER_BYTES, &reader->footer, &bytes, error);
    if (!st) st = check_magic(bytes.data + 4, error);
    if (st) return st;
    uint64_t footer_bytes = load_u32(bytes.data);
    if (footer_bytes > size - TRAILER_BYTES - MAGIC_BYTES)
        return error_set(error, PLINTH_CORRUPT, "the footer of %llu bytes is longer than the file's %llu",
                         (unsigned long long)footer_bytes, (unsigned long long)size);
    reader->data_end = size - TRAILER_BYTES - footer_bytes;
    st = load_footer(reader, footer_bytes, &bytes, error);
    if (st) return st;
    return metadata_decode(bytes, (struct bounded_arena){&reader->arena, reader->memory_bytes_max}, &reader->metadata,
                           error);
}

enum plinth_status parquet_reader_open(struct parquet_source *source, const struct parquet_reader_options *options,
                                       struct parquet_reader **reader_out, struct plinth_error *error) {
    static const struct parquet_reader_options defaults = {0};
    *reader_out = NULL;
    if (!options) options = &defaults;
    struct parquet_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return error_no_memory(error, "Parquet reader");
    arena_init(&reader->arena);
    reader->source = source;
    reader->memory_bytes_max = options->memory_bytes_max ? options->memory_bytes_max : MEMORY_BYTES_MAX_DEFAULT;
    reader->check_checksums = !options->no_checksums;
    uint64_t most = reader->memory_bytes_max < INDEXES_BYTES_MAX ? reader->memory_bytes_max : INDEXES_BYTES_MAX;
    enum plinth_status st = page_index_cache_create(most, &reader->indexes, error);
    if (!st) st = read_footer(reader, error);
    if (st) {
        parquet_reader_close(reader);
        return st;
    }
    *reader_out = reader;
    return PLINTH_OK;
}

void parquet_reader_close(struct parquet_reader *reader) {
    if (!reader) return;
    page_index_cache_destroy(reader->indexes, &reader->metadata);
    arena_deinit(&reader->arena);
    buffer_deinit(&reader->footer);
    free(reader);
}

const struct parquet_metadata *parquet_reader_metadata(const struct parquet_reader *reader) {
    return &reader->metadata;
}

size_t parquet_reader_memory(const struct parquet_reader *reader) {
    return sizeof *reader + reader->arena.used_bytes + reader->footer.capacity;
}

enum plinth_status parquet_scratch_create(struct parquet_scratch **scratch, struct plinth_error *error) {
    *scratch = calloc(1, sizeof **scratch);
    return *scratch ? PLINTH_OK : error_no_memory(error, "Parquet scratch");
}

void parquet_scratch_destroy(struct parquet_scratch *scratch) {
    if (!scratch) return;
    codec_state_deinit(&scratch->codec);
    buffer_deinit(&scratch->fetched);
    buffer_deinit(&scratch->page);
    buffer_deinit(&scratch->integers);
    buffer_deinit(&scratch->bits);
    parquet_column_buffer_deinit(&scratch->dictionary);
    free(scratch);
}

size_t parquet_scratch_memory(const struct parquet_scratch *scratch) {
    return sizeof *scratch + codec_state_memory(&scratch->codec) + scratch->fetched.capacity + scratch->page.capacity +
           scratch->integers.capacity + scratch->bits.capacity + parquet_column_buffer_size(&scratch->dictionary);
}

/* ---- Column chunks ---- */

enum plinth_status reader_chunk(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                const struct parquet_column_chunk **chunk, struct plinth_error *error) {
    const struct parquet_metadata *metadata = &reader->metadata;
    *chunk = NULL;
    if (row_group >= metadata->row_group_count || column >= metadata->schema.column_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "row group %u, column %u: the file has %u and %u", row_group,
                         column, metadata->row_group_count, metadata->schema.column_count);
    *chunk = &metadata->row_groups[row_group].columns[column];
    if (!(*chunk)->is_encrypted) return PLINTH_OK;
    return error_set(error, PLINTH_UNSUPPORTED, "row group %u, column %s: encrypted, or in another file", row_group,
                     metadata->schema.columns[column].path);
}

enum plinth_status reader_chunk_range(const struct parquet_reader *reader, const struct parquet_column_chunk *chunk,
                                      struct chunk_range *range, struct plinth_error *error) {
    uint64_t begin = chunk->data_page_offset;
    if (chunk->dictionary_page_offset && chunk->dictionary_page_offset < begin) begin = chunk->dictionary_page_offset;
    *range = (struct chunk_range){begin, begin};
    if (begin < MAGIC_BYTES || begin > reader->data_end || chunk->compressed_bytes > reader->data_end - begin)
        return error_set(error, PLINTH_CORRUPT, "column chunk of %llu bytes at offset %llu does not lie in the file",
                         (unsigned long long)chunk->compressed_bytes, (unsigned long long)begin);
    range->end = begin + chunk->compressed_bytes;
    /* Old versions of parquet-mr left the dictionary page's header out of the size. */
    if (slice_starts_with(reader->metadata.created_by, slice_of_string("parquet-mr"))) {
        uint64_t behind = reader->data_end - range->end;
        range->end += behind < DICTIONARY_HEADER_MAX ? behind : DICTIONARY_HEADER_MAX;
    }
    return PLINTH_OK;
}

struct page_context reader_page_context(const struct parquet_reader *reader, uint32_t column, enum parquet_codec codec,
                                        struct parquet_scratch *scratch) {
    return (struct page_context){.column = &reader->metadata.schema.columns[column],
                                 .codec = codec,
                                 .memory_bytes_max = reader->memory_bytes_max,
                                 .check_checksums = reader->check_checksums,
                                 .can_borrow = reader->source->mapped != NULL,
                                 .scratch = scratch};
}

enum plinth_status reader_page_error(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                     uint64_t offset, enum plinth_status status, struct plinth_error *error) {
    if (status)
        error_prefix(error, "row group %u, column %.100s, page at offset %llu", row_group,
                     reader->metadata.schema.columns[column].path, (unsigned long long)offset);
    return status;
}

bool parquet_reader_has_dictionary(const struct parquet_reader *reader, uint32_t row_group, uint32_t column) {
    const struct parquet_column_chunk *chunk;
    const uint32_t mask = 1u << PARQUET_ENCODING_PLAIN_DICTIONARY | 1u << PARQUET_ENCODING_RLE_DICTIONARY;
    if (reader_chunk(reader, row_group, column, &chunk, NULL)) return false;
    return chunk->dictionary_page_offset || (chunk->encodings & mask);
}

/* A page header's size is not known beforehand, so more is asked for when the guess was too small. */
enum plinth_status reader_fetch_page(const struct parquet_reader *reader, uint64_t offset, uint64_t end,
                                     struct buffer *into, struct parquet_page_header *header, struct slice *body,
                                     struct plinth_error *error) {
    uint64_t left = end - offset, guess = PAGE_HEADER_GUESS;
    struct slice bytes;
    size_t header_bytes = 0;
    bool is_truncated = false;
    enum plinth_status st;
    do {
        guess = reader->source->mapped || guess > left ? left : guess;
        st = reader_fetch(reader, offset, guess, into, &bytes, error);
        if (st) return st;
        st = page_header_decode(bytes, header, &header_bytes, &is_truncated, error);
        if (st && !(is_truncated && guess < left)) return st;
        if (!st && header_bytes + (uint64_t)header->compressed_bytes > left)
            return error_set(error, PLINTH_CORRUPT, "a page of %u bytes where %llu are left", header->compressed_bytes,
                             (unsigned long long)(left - header_bytes));
        if (st)
            guess *= 16;
        else
            guess = header_bytes + header->compressed_bytes;
    } while (st || bytes.size < guess);
    *body = slice_of(bytes.data + header_bytes, header->compressed_bytes);
    return PLINTH_OK;
}

enum plinth_status parquet_reader_dictionary(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                             struct parquet_scratch *scratch, struct parquet_column_buffer *dictionary,
                                             struct plinth_error *error) {
    const struct parquet_column_chunk *chunk;
    struct chunk_range range = {0};
    struct parquet_page_header header;
    struct slice body;
    dictionary->data = (struct parquet_column_data){0};
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (!st) st = reader_chunk_range(reader, chunk, &range, error);
    if (!st && range.begin == range.end)
        st = error_set(error, PLINTH_NOT_FOUND, "row group %u, column %u: no pages", row_group, column);
    if (st) return st;
    st = reader_fetch_page(reader, range.begin, range.end, &scratch->fetched, &header, &body, error);
    if (!st && header.type != PARQUET_PAGE_DICTIONARY)
        st = error_set(error, PLINTH_NOT_FOUND, "there is no dictionary page");
    if (!st) {
        struct page_context context = reader_page_context(reader, column, chunk->codec, scratch);
        st = page_decode_dictionary(&context, &header, body, dictionary, error);
    }
    return reader_page_error(reader, row_group, column, range.begin, st, error);
}

/* ---- Stripe reads ---- */

/* The page must hold the rows that the offset index says, and whole ones. */
static enum plinth_status check_rows(const struct parquet_page_location *location, struct parquet_column_buffer *into,
                                     struct plinth_error *error) {
    const struct parquet_column_data *data = &into->data;
    uint64_t rows = data->rows;
    bool begins_row = !data->repetition_levels || data->slots == 0 || data->repetition_levels[0] == 0;
    if (rows == location->row_count && begins_row) return PLINTH_OK;
    into->data = (struct parquet_column_data){0};
    if (!begins_row) return error_set(error, PLINTH_CORRUPT, "the page begins inside a row");
    return error_set(error, PLINTH_CORRUPT, "the page has %llu rows, but the offset index says %llu",
                     (unsigned long long)rows, (unsigned long long)location->row_count);
}

static enum plinth_status decode_stripe(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                        const struct parquet_page_location *location, enum parquet_codec codec,
                                        const struct parquet_column_buffer *dictionary, struct parquet_scratch *scratch,
                                        struct parquet_column_buffer *into, struct plinth_error *error) {
    struct page_context context = reader_page_context(reader, column, codec, scratch);
    struct parquet_page_header header;
    struct slice body;
    enum plinth_status st = reader_fetch_page(reader, location->offset, location->offset + location->bytes,
                                              &scratch->fetched, &header, &body, error);
    if (st) return st;
    if (header.type != PARQUET_PAGE_DATA && header.type != PARQUET_PAGE_DATA_V2)
        return error_set(error, PLINTH_CORRUPT, "the offset index points to something that is no data page");
    context.dictionary = dictionary;
    if (page_needs_dictionary(&header) && !dictionary) {
        struct buffer fetched = scratch->fetched; /* holds the page while the dictionary is read */
        scratch->fetched = (struct buffer)BUFFER_INIT;
        st = parquet_reader_dictionary(reader, row_group, column, scratch, &scratch->dictionary, error);
        buffer_deinit(&scratch->fetched);
        scratch->fetched = fetched;
        if (st) return st == PLINTH_NOT_FOUND ? error_set(error, PLINTH_CORRUPT, "the dictionary page is missing") : st;
        context.dictionary = &scratch->dictionary;
    }
    st = page_decode(&context, &header, body, into, error);
    return st ? st : check_rows(location, into, error);
}

enum plinth_status parquet_reader_read_page(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                            const struct parquet_page_index *index, uint32_t page,
                                            const struct parquet_column_buffer *dictionary,
                                            struct parquet_scratch *scratch, struct parquet_column_buffer *into,
                                            struct plinth_error *error) {
    const struct parquet_column_chunk *chunk;
    into->data = (struct parquet_column_data){0};
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (st) return st;
    if (page >= index->page_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "page %u: the column chunk has %u", page, index->page_count);
    const struct parquet_page_location *location = &index->locations[page];
    st = decode_stripe(reader, row_group, column, location, chunk->codec, dictionary, scratch, into, error);
    return reader_page_error(reader, row_group, column, location->offset, st, error);
}

/* ---- Bloom filters ---- */

/* Reads the filter's header; `*bitset` is the offset of the blocks. PLINTH_NOT_FOUND when there is no filter. */
static enum plinth_status find_bloom(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                     uint64_t *bitset, uint32_t *bitset_bytes, struct plinth_error *error) {
    const struct parquet_column_chunk *chunk;
    uint8_t head[BLOOM_HEADER_MAX];
    size_t header_bytes = 0;
    *bitset = 0;
    *bitset_bytes = 0;
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (st) return st;
    uint64_t offset = chunk->bloom_offset, size = reader->source->size;
    if (offset == 0)
        return error_set(error, PLINTH_NOT_FOUND, "row group %u, column %u: no bloom filter", row_group, column);
    if (offset >= reader->data_end)
        return error_set(error, PLINTH_CORRUPT, "the bloom filter at offset %llu does not lie in the file",
                         (unsigned long long)offset);
    size_t head_bytes = size - offset < sizeof head ? (size_t)(size - offset) : sizeof head;
    if (reader->source->mapped)
        memcpy(head, reader->source->mapped + offset, head_bytes);
    else
        st = reader->source->read(reader->source, offset, head, head_bytes, error);
    if (!st) st = bloom_header_decode(slice_of(head, head_bytes), &header_bytes, bitset_bytes, error);
    if (st) return st;
    *bitset = offset + header_bytes;
    if (*bitset_bytes > size - *bitset)
        return error_set(error, PLINTH_CORRUPT, "the bloom filter of %u bytes at offset %llu does not lie in the file",
                         *bitset_bytes, (unsigned long long)*bitset);
    return PLINTH_OK;
}

enum plinth_status parquet_reader_bloom_check(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                              struct slice value, bool *maybe, struct plinth_error *error) {
    uint64_t bitset;
    uint32_t bitset_bytes;
    uint8_t block[PARQUET_BLOOM_BLOCK_BYTES];
    *maybe = true;
    const struct parquet_column_chunk *chunk;
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (st || chunk->bloom_offset == 0) return st;
    st = find_bloom(reader, row_group, column, &bitset, &bitset_bytes, error);
    if (st) return st;
    uint64_t hash = parquet_bloom_hash(value);
    uint64_t at = bitset + ((hash >> 32) * (bitset_bytes / sizeof block) >> 32) * sizeof block;
    if (reader->source->mapped)
        memcpy(block, reader->source->mapped + at, sizeof block);
    else
        st = reader->source->read(reader->source, at, block, sizeof block, error);
    if (!st) *maybe = bloom_check_block(block, hash);
    return st;
}

enum plinth_status parquet_reader_bloom(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                        struct parquet_bloom *bloom, struct plinth_error *error) {
    uint64_t bitset;
    uint32_t bitset_bytes;
    struct slice blocks;
    *bloom = (struct parquet_bloom){0};
    enum plinth_status st = find_bloom(reader, row_group, column, &bitset, &bitset_bytes, error);
    if (!st) st = reader_fetch(reader, bitset, bitset_bytes, &bloom->owned, &blocks, error);
    if (st) {
        parquet_bloom_deinit(bloom);
        return st;
    }
    bloom->blocks = blocks.data;
    bloom->block_count = bitset_bytes / PARQUET_BLOOM_BLOCK_BYTES;
    return PLINTH_OK;
}
