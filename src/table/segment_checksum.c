/* The checksum of what a segment's pages are found with: footer, page indexes and bloom filters.
 *
 * Parquet has checksums for pages only. A flipped bit in a bloom filter would make a key vanish without an error, so
 * the manifest keeps a CRC-32C over these ranges, in this order: the footer with its length and magic, then of every
 * row group and column the column index, the offset index and the bloom filter. */
#include <inttypes.h>

#include "base/crc32c.h"
#include "base/status.h"
#include "table/segment_private.h"

enum { READ_BYTES = 64 << 10, FOOTER_TAIL_BYTES = 8 };

static enum plinth_status add_range(struct segment *segment, uint64_t offset, uint64_t size, uint32_t *crc,
                                    struct plinth_error *error) {
    struct store_object *object = segment->object;
    if (offset > object->size || size > object->size - offset)
        return error_set(error, PLINTH_CORRUPT, "an index at offset %" PRIu64 " has %" PRIu64 " bytes: past the end",
                         offset, size);
    if (object->mapped) {
        *crc = crc32c(*crc, object->mapped + offset, size);
        return PLINTH_OK;
    }
    uint8_t bytes[READ_BYTES];
    while (size) {
        size_t piece = size < sizeof bytes ? (size_t)size : sizeof bytes;
        enum plinth_status st = object_read_at(object, offset, bytes, piece, error);
        if (st) return st;
        *crc = crc32c(*crc, bytes, piece);
        offset += piece;
        size -= piece;
    }
    return PLINTH_OK;
}

static enum plinth_status add_footer(struct segment *segment, uint32_t *crc, struct plinth_error *error) {
    uint8_t tail[FOOTER_TAIL_BYTES];
    uint64_t size = segment->object->size; /* the reader has found a footer: there are at least 12 bytes */
    enum plinth_status st = object_read_at(segment->object, size - sizeof tail, tail, sizeof tail, error);
    if (st) return st;
    uint64_t footer = load_u32(tail) + (uint64_t)sizeof tail;
    return footer > size ? error_set(error, PLINTH_CORRUPT, "the footer is longer than the file")
                         : add_range(segment, size - footer, footer, crc, error);
}

enum plinth_status segment_check_indexes(struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    uint32_t crc = 0;
    enum plinth_status st = add_footer(segment, &crc, error);
    for (uint32_t g = 0; !st && g < metadata->row_group_count; g++) {
        for (uint32_t c = 0; !st && c < metadata->schema.column_count; c++) {
            const struct parquet_column_chunk *chunk = &metadata->row_groups[g].columns[c];
            st = add_range(segment, chunk->column_index_offset, chunk->column_index_bytes, &crc, error);
            if (!st) st = add_range(segment, chunk->offset_index_offset, chunk->offset_index_bytes, &crc, error);
            if (!st) st = add_range(segment, chunk->bloom_offset, chunk->bloom_bytes, &crc, error);
        }
    }
    if (st) return st;
    if (crc == 0) crc = 1; /* 0 means that nobody has looked yet */
    if (segment->info.index_crc == 0) segment->info.index_crc = crc;
    if (segment->info.index_crc == crc) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT,
                     "footer, page index or bloom filter are damaged: their checksum is %08x, the manifest says %08x",
                     crc, segment->info.index_crc);
}
