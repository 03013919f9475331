/* Bit-packed integers and bitmaps. See bits.h. */
#include "parquet/bits.h"

#include <string.h>

#include "base/bytes.h"
#include "parquet/bits_vector.h"

/* Values whose bytes are the last ones are unpacked from a copy with bytes behind. */
enum { TAIL_BYTES = 64, TAIL_SLACK = 32 };

/* The value whose first bit is bit `at` of `in`, near the end of the input: touches only bytes it needs. */
static uint64_t unpack_careful(const uint8_t *in, uint64_t at, unsigned width) {
    uint64_t value = 0;
    for (unsigned got = 0; got < width;) {
        unsigned shift = (unsigned)((at + got) & 7);
        unsigned take = 8 - shift < width - got ? 8 - shift : width - got;
        uint64_t part = (uint64_t)(in[(at + got) >> 3] >> shift) & ((1u << take) - 1);
        value |= part << got;
        got += take;
    }
    return value;
}

/* How many of `count` values may be read by an 8-byte load at their first byte (9 with `extra` 1). */
static size_t count_fast(size_t in_bytes, unsigned width, size_t count, unsigned extra) {
    size_t load = 8 + extra;
    if (in_bytes < load) return 0;
    uint64_t fast = ((uint64_t)(in_bytes - load) * 8 + 7) / width + 1;
    return fast < count ? (size_t)fast : count;
}

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE size_t unpack_vectors(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, void *out,
                                           bool is_u64) {
    return is_u64 ? bits_vector_unpack_u64(in, in_bytes, width, count, out)
                  : bits_vector_unpack_u32(in, in_bytes, width, count, out);
}

/* Values of 1 bit and more. */
static ALWAYS_INLINE void unpack(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint8_t *out,
                                 bool is_u64) {
    uint8_t tail[TAIL_BYTES + TAIL_SLACK];
    size_t value_bytes = is_u64 ? sizeof(uint64_t) : sizeof(uint32_t);
    size_t done = unpack_vectors(in, in_bytes, width, count, out, is_u64);
    if (done == count) return;
    in += done / 8 * width;
    in_bytes -= done / 8 * width;
    out += done * value_bytes;
    count -= done;
    size_t bytes = (size_t)bits_bytes(count, width);
    if (bytes <= TAIL_BYTES && in_bytes < bytes + TAIL_SLACK) { /* with room behind it */
        memcpy(tail, in, bytes);
        memset(tail + bytes, 0, TAIL_SLACK);
        in_bytes = bytes + TAIL_SLACK;
        done = unpack_vectors(tail, in_bytes, width, count, out, is_u64);
        in = tail + done / 8 * width;
        in_bytes -= done / 8 * width;
        out += done * value_bytes;
        count -= done;
    }
    if (is_u64)
        bits_unpack_u64_scalar(in, in_bytes, width, count, (uint64_t *)(void *)out);
    else
        bits_unpack_u32_scalar(in, in_bytes, width, count, (uint32_t *)(void *)out);
}

void bits_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    if (width == 0)
        memset(out, 0, count * sizeof *out);
    else
        unpack(in, in_bytes, width, count, (uint8_t *)out, false);
}

void bits_unpack_u64(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out) {
    if (width == 0)
        memset(out, 0, count * sizeof *out);
    else if (width == 64)
        memcpy(out, in, count * sizeof *out);
    else
        unpack(in, in_bytes, width, count, (uint8_t *)out, true);
}

void bits_unpack_u32_scalar(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    if (width == 0) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    uint64_t mask = (UINT64_C(1) << width) - 1;
    size_t fast = count_fast(in_bytes, width, count, 0);
    uint64_t at = 0;
    size_t i = 0;
    for (; i < fast; i++, at += width) out[i] = (uint32_t)((load_u64(in + (at >> 3)) >> (at & 7)) & mask);
    for (; i < count; i++, at += width) out[i] = (uint32_t)unpack_careful(in, at, width);
}

static void unpack_wide(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out) {
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    size_t fast = count_fast(in_bytes, width, count, 1);
    uint64_t at = 0;
    size_t i = 0;
    for (; i < fast; i++, at += width) {
        const uint8_t *from = in + (at >> 3);
        unsigned shift = (unsigned)(at & 7);
        uint64_t value = load_u64(from) >> shift;
        if (shift) value |= (uint64_t)from[8] << (64 - shift);
        out[i] = value & mask;
    }
    for (; i < count; i++, at += width) out[i] = unpack_careful(in, at, width);
}

void bits_unpack_u64_scalar(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out) {
    if (width == 0) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    if (width > 57) { /* shifted by up to 7 bits it may not fit into one load */
        unpack_wide(in, in_bytes, width, count, out);
        return;
    }
    uint64_t mask = (UINT64_C(1) << width) - 1;
    size_t fast = count_fast(in_bytes, width, count, 0);
    uint64_t at = 0;
    size_t i = 0;
    for (; i < fast; i++, at += width) out[i] = (load_u64(in + (at >> 3)) >> (at & 7)) & mask;
    for (; i < count; i++, at += width) out[i] = unpack_careful(in, at, width);
}

/* Bits wait in `word` until they are whole bytes; each put writes a whole word over them. */
struct packer {
    uint8_t *out;
    uint64_t word;
    unsigned filled; /* below 8 */
};

/* `width` up to 56. Without branches. */
static inline void packer_put(struct packer *packer, uint64_t value, unsigned width) {
    packer->word |= value << packer->filled;
    store_u64(packer->out, packer->word);
    packer->filled += width;
    packer->out += packer->filled >> 3;
    packer->word >>= packer->filled & ~7u;
    packer->filled &= 7;
}

static ALWAYS_INLINE uint64_t value_at(const void *in, bool is_u64, size_t i) {
    return is_u64 ? ((const uint64_t *)in)[i] : ((const uint32_t *)in)[i];
}

/* Four or two values at a time where they fit into one put; wide ones in two parts. */
static ALWAYS_INLINE void pack(const void *in, bool is_u64, size_t count, unsigned width, uint8_t *out) {
    struct packer packer = {out, 0, 0};
    size_t i = 0;
    if (width <= 14) {
        for (; count - i >= 4; i += 4) {
            uint64_t low = value_at(in, is_u64, i) | value_at(in, is_u64, i + 1) << width;
            uint64_t high = value_at(in, is_u64, i + 2) | value_at(in, is_u64, i + 3) << width;
            packer_put(&packer, low | high << 2 * width, 4 * width);
        }
    }
    if (width <= 28) {
        for (; count - i >= 2; i += 2)
            packer_put(&packer, value_at(in, is_u64, i) | value_at(in, is_u64, i + 1) << width, 2 * width);
    }
    for (; i < count; i++) {
        uint64_t value = value_at(in, is_u64, i);
        packer_put(&packer, (uint32_t)value, width < 32 ? width : 32);
        if (width > 32) packer_put(&packer, value >> 32, width - 32);
    }
    store_u64(packer.out, packer.word);
}

void bits_pack_u64_scalar(const uint64_t *in, size_t count, unsigned width, uint8_t *out) {
    if (width > 0) pack(in, true, count, width, out);
}

void bits_pack_u32_scalar(const uint32_t *in, size_t count, unsigned width, uint8_t *out) {
    if (width > 0) pack(in, false, count, width, out);
}

void bits_pack_u64(const uint64_t *in, size_t count, unsigned width, uint8_t *out) {
    size_t done = bits_vector_pack_u64(in, count, width, out);
    bits_pack_u64_scalar(in + done, count - done, width, out + done / 8 * width);
}

void bits_pack_u32(const uint32_t *in, size_t count, unsigned width, uint8_t *out) {
    size_t done = bits_vector_pack_u32(in, count, width, out);
    bits_pack_u32_scalar(in + done, count - done, width, out + done / 8 * width);
}

static void fill_in_byte(uint8_t *byte, unsigned begin, unsigned end, bool value) {
    uint8_t mask = (uint8_t)((0xffu << begin) & (0xffu >> (8 - end)));
    *byte = value ? *byte | mask : *byte & (uint8_t)~mask;
}

void bits_fill(uint8_t *bitmap, uint64_t begin, uint64_t count, bool value) {
    uint64_t end = begin + count;
    if (count == 0) return;
    uint64_t first = begin >> 3, last = (end - 1) >> 3;
    unsigned end_bit = (unsigned)((end - 1) & 7) + 1;
    if (first == last) {
        fill_in_byte(&bitmap[first], (unsigned)(begin & 7), end_bit, value);
        return;
    }
    fill_in_byte(&bitmap[first], (unsigned)(begin & 7), 8, value);
    memset(bitmap + first + 1, value ? 0xff : 0, last - first - 1);
    fill_in_byte(&bitmap[last], 0, end_bit, value);
}

void bits_copy(uint8_t *to, uint64_t to_begin, const uint8_t *from, uint64_t from_begin, uint64_t count) {
    uint64_t i = 0;
    for (; i < count && ((to_begin + i) & 7); i++) bits_fill(to, to_begin + i, 1, bitmap_get(from, from_begin + i));
    uint64_t whole = (count - i) / 8;
    uint8_t *out = to + ((to_begin + i) >> 3);
    const uint8_t *in = from + ((from_begin + i) >> 3);
    unsigned shift = (unsigned)((from_begin + i) & 7);
    if (shift == 0) {
        if (whole) memcpy(out, in, whole);
    } else {
        for (uint64_t k = 0; k < whole; k++) out[k] = (uint8_t)(in[k] >> shift | in[k + 1] << (8 - shift));
    }
    for (i += whole * 8; i < count; i++) bits_fill(to, to_begin + i, 1, bitmap_get(from, from_begin + i));
}

uint64_t bits_count(const uint8_t *bitmap, uint64_t begin, uint64_t count) {
    uint64_t set = 0, i = begin, end = begin + count;
    for (; i < end && (i & 7); i++) set += bitmap_get(bitmap, i);
    for (; end - i >= 64; i += 64) set += (uint64_t)__builtin_popcountll(load_u64(bitmap + (i >> 3)));
    for (; i < end; i++) set += bitmap_get(bitmap, i);
    return set;
}
