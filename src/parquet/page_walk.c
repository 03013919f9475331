/* Page after page. See page_walk.h. */
#include "parquet/crc32.h"
#include "parquet/page_walk_private.h"
#include "parquet/reader_private.h"

enum plinth_status parquet_page_walk_init(struct parquet_page_walk *walk, const struct parquet_reader *reader,
                                          uint32_t row_group, uint32_t column, struct plinth_error *error) {
    struct chunk_range range = {0};
    *walk = (struct parquet_page_walk){.reader = reader};
    enum plinth_status st = reader_chunk(reader, row_group, column, &walk->chunk, error);
    if (st) return st;
    struct parquet_column_chunk chunk = *walk->chunk;
    if (reader->metadata.row_groups[row_group].row_count == 0) {
        /* Some writers leave a dictionary page there, others nothing at all. */
        if (chunk.data_page_offset == 0) chunk.data_page_offset = chunk.dictionary_page_offset;
        if (chunk.data_page_offset == 0 || chunk.compressed_bytes == 0) return PLINTH_OK;
    }
    st = reader_chunk_range(reader, &chunk, &range, error);
    if (st) return st;
    walk->begin = walk->at = range.begin;
    walk->end = range.begin + chunk.compressed_bytes;
    walk->end_max = range.end;
    return PLINTH_OK;
}

void parquet_page_walk_deinit(struct parquet_page_walk *walk) { buffer_deinit(&walk->bytes); }

/* A chunk of old files says that it ends before its last page does (reader_chunk_range). */
static bool is_over(const struct parquet_page_walk *walk) {
    if (walk->at < walk->end) return false;
    return walk->at >= walk->end_max || walk->values >= walk->chunk->value_count;
}

enum plinth_status page_walk_step(struct parquet_page_walk *walk, struct parquet_page_header *header,
                                  struct slice *body, bool *found, struct plinth_error *error) {
    *found = false;
    if (is_over(walk)) return PLINTH_OK;
    enum plinth_status st = reader_fetch_page(walk->reader, walk->at, walk->end_max, &walk->bytes, header, body, error);
    if (st) return st;
    const uint8_t *page = walk->reader->source->mapped ? walk->reader->source->mapped + walk->at : walk->bytes.data;
    walk->at += (uint64_t)(body->data - page) + body->size;
    if (header->type == PARQUET_PAGE_DATA || header->type == PARQUET_PAGE_DATA_V2) walk->values += header->value_count;
    *found = true;
    return PLINTH_OK;
}

enum plinth_status parquet_page_walk_next(struct parquet_page_walk *walk, struct parquet_page_info *page, bool *found,
                                          struct plinth_error *error) {
    struct parquet_page_header header;
    struct slice body;
    uint64_t offset = walk->at;
    *page = (struct parquet_page_info){0};
    enum plinth_status st = page_walk_step(walk, &header, &body, found, error);
    if (st || !*found) return st;
    *page = (struct parquet_page_info){.offset = offset,
                                       .header_bytes = (uint32_t)(walk->at - offset - body.size),
                                       .compressed_bytes = header.compressed_bytes,
                                       .uncompressed_bytes = header.uncompressed_bytes,
                                       .kind = (enum parquet_page_kind)header.type,
                                       .encoding = header.encoding,
                                       .value_count = header.value_count,
                                       .has_crc = header.has_crc,
                                       .crc = header.crc,
                                       .crc_is_right = header.has_crc && crc32_of(body.data, body.size) == header.crc};
    if (header.type == PARQUET_PAGE_DATA_V2) {
        page->row_count = header.row_count;
        page->null_count = header.null_count;
    }
    return PLINTH_OK;
}

const char *parquet_page_kind_name(enum parquet_page_kind kind) {
    static const char *const names[] = {"data", "index", "dictionary", "data v2"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}
