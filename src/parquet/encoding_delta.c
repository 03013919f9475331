/* DELTA_BINARY_PACKED. See encoding_delta.h. */
#include "parquet/encoding_delta.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/encoding_delta_sums.h"

enum { STEP = 32 };

/* ---- Decoding ---- */

/* Where decoded values go: 32 or 64 bits wide, with the running value. */
struct delta_out {
    int64_t *i64;
    int32_t *i32;
    uint32_t at;
    uint64_t last;
};

static void put_first(struct delta_out *out, uint64_t value) {
    out->last = value;
    if (out->i64)
        out->i64[out->at++] = (int64_t)value;
    else
        out->i32[out->at++] = (int32_t)value;
}

/* Values of a miniblock, or of what there is of it. */
static void put_deltas(struct delta_out *out, const struct delta_packed *packed) {
    if (out->i64)
        out->last = delta_sums_i64(packed, out->last, out->i64 + out->at);
    else
        out->last = delta_sums_i32(packed, out->last, out->i32 + out->at);
    out->at += (uint32_t)packed->count;
}

static enum plinth_status truncated(struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "DELTA_BINARY_PACKED data ends too early");
}

static enum plinth_status decode_block(struct reader *reader, struct delta_out *out, uint32_t count,
                                       uint64_t miniblocks, uint64_t per_miniblock, struct plinth_error *error) {
    uint64_t least = (uint64_t)zigzag_decode(reader_varint(reader));
    struct slice widths = reader_bytes(reader, miniblocks);
    if (reader->failed) return truncated(error);
    for (uint64_t i = 0; i < miniblocks && out->at < count; i++) {
        unsigned width = widths.data[i];
        uint32_t values = count - out->at < per_miniblock ? count - out->at : (uint32_t)per_miniblock;
        if (width > 64)
            return error_set(error, PLINTH_CORRUPT, "DELTA_BINARY_PACKED data has a miniblock of %u bits a value",
                             width);
        /* Some writers cut the padding of the last miniblock off. */
        uint64_t whole = bits_bytes(per_miniblock, width), needed = bits_bytes(values, width);
        size_t left = reader_left(reader);
        if (needed > left) return truncated(error);
        /* Unpacking may read more than it needs of what is there. */
        put_deltas(out, &(struct delta_packed){reader->at, left, width, least, values});
        reader->at += whole < left ? whole : left;
    }
    return PLINTH_OK;
}

static enum plinth_status decode(struct slice in, struct delta_out *out, uint32_t count, size_t *used,
                                 struct plinth_error *error) {
    struct reader reader = reader_of(in);
    uint64_t block = reader_varint(&reader), miniblocks = reader_varint(&reader), total = reader_varint(&reader);
    uint64_t first = (uint64_t)zigzag_decode(reader_varint(&reader));
    if (used) *used = 0;
    if (reader.failed) return truncated(error);
    if (block == 0 || block > UINT32_MAX || miniblocks == 0 || miniblocks > block || block % miniblocks ||
        (block / miniblocks) % STEP)
        return error_set(error, PLINTH_CORRUPT, "DELTA_BINARY_PACKED data has blocks of %llu values in %llu miniblocks",
                         (unsigned long long)block, (unsigned long long)miniblocks);
    if (total != count)
        return error_set(error, PLINTH_CORRUPT, "DELTA_BINARY_PACKED data has %llu values, but the page has %u",
                         (unsigned long long)total, count);
    if (count > 0) put_first(out, first);
    while (out->at < count) {
        enum plinth_status st = decode_block(&reader, out, count, miniblocks, block / miniblocks, error);
        if (st) return st;
    }
    if (used) *used = (size_t)(reader.at - in.data);
    return PLINTH_OK;
}

enum plinth_status delta_decode_i64(struct slice in, uint32_t count, int64_t *out, size_t *used,
                                    struct plinth_error *error) {
    struct delta_out to = {.i64 = out};
    int64_t nothing;
    if (count == 0) to.i64 = &nothing;
    return decode(in, &to, count, used, error);
}

enum plinth_status delta_decode_i32(struct slice in, uint32_t count, int32_t *out, size_t *used,
                                    struct plinth_error *error) {
    struct delta_out to = {.i32 = out};
    return decode(in, &to, count, used, error);
}

/* ---- Encoding ---- */

static bool put_header(struct buffer *out, uint32_t count, int64_t first) {
    return buffer_append_varint(out, DELTA_BLOCK) && buffer_append_varint(out, DELTA_MINIBLOCKS) &&
           buffer_append_varint(out, count) && buffer_append_varint(out, zigzag_encode(first));
}

static bool put_block(struct buffer *out, const struct delta_block *block, bool is_u64) {
    const uint32_t *narrow = (const uint32_t *)block->deltas;
    uint8_t widths[DELTA_MINIBLOCKS];
    size_t bytes = 0;
    for (uint32_t i = 0; i < DELTA_MINIBLOCKS; i++) {
        widths[i] = (uint8_t)bits_width_u64(block->used_bits[i]);
        bytes += DELTA_MINIBLOCK / 8 * widths[i];
    }
    if (!buffer_append_varint(out, zigzag_encode(block->least)) || !buffer_append(out, widths, sizeof widths) ||
        !buffer_reserve(out, bytes + BITS_PACK_SLACK))
        return false;
    for (uint32_t i = 0; i < DELTA_MINIBLOCKS; i++) {
        uint8_t *to = out->data + out->size;
        if (is_u64)
            bits_pack_u64(block->deltas + i * DELTA_MINIBLOCK, DELTA_MINIBLOCK, widths[i], to);
        else
            bits_pack_u32(narrow + i * DELTA_MINIBLOCK, DELTA_MINIBLOCK, widths[i], to);
        out->size += DELTA_MINIBLOCK / 8 * widths[i];
    }
    return true;
}

static uint32_t in_block(uint32_t begin, uint32_t count) {
    return count - begin < DELTA_BLOCK ? count - begin : DELTA_BLOCK;
}

bool delta_encode_i64(const int64_t *values, uint32_t count, struct buffer *out) {
    struct delta_block block;
    if (!put_header(out, count, count ? values[0] : 0)) return false;
    for (uint32_t begin = 1; begin < count; begin += DELTA_BLOCK) {
        delta_block_i64(values + begin, in_block(begin, count), &block);
        if (!put_block(out, &block, true)) return false;
    }
    return true;
}

bool delta_encode_i32(const int32_t *values, uint32_t count, struct buffer *out) {
    struct delta_block block;
    if (!put_header(out, count, count ? values[0] : 0)) return false;
    for (uint32_t begin = 1; begin < count; begin += DELTA_BLOCK) {
        delta_block_i32(values + begin, in_block(begin, count), &block);
        if (!put_block(out, &block, false)) return false;
    }
    return true;
}
