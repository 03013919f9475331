/* Bit-packed integers and bitmaps, both least significant bit first. */
#ifndef PLINTH_PARQUET_BITS_H
#define PLINTH_PARQUET_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that `count` values of `width` bits take. */
static inline uint64_t bits_bytes(uint64_t count, unsigned width) { return (count * width + 7) / 8; }
/* Bits that `value` needs: 0 for 0. */
static inline unsigned bits_width_u64(uint64_t value) { return value ? 64 - (unsigned)__builtin_clzll(value) : 0; }

/* Unpacks `count` values of `width` (0 to 32 or 64) bits. `in` holds at least bits_bytes(count, width) bytes; of the
 * `in_bytes` that are there none beyond is read. Those named _scalar do it without vector instructions: for tests. */
void bits_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out);
void bits_unpack_u32_scalar(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out);
void bits_unpack_u64(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out);
void bits_unpack_u64_scalar(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out);
/* Room behind the bytes that count, which the packers may overwrite by whole words. */
enum { BITS_PACK_SLACK = 8 };
/* Packs `count` values, which fit into `width` (0 to 64) bits; makes bits_bytes(count, width) bytes,
 * and may overwrite BITS_PACK_SLACK bytes behind them. */
void bits_pack_u64(const uint64_t *in, size_t count, unsigned width, uint8_t *out);
void bits_pack_u64_scalar(const uint64_t *in, size_t count, unsigned width, uint8_t *out);
void bits_pack_u32(const uint32_t *in, size_t count, unsigned width, uint8_t *out);
void bits_pack_u32_scalar(const uint32_t *in, size_t count, unsigned width, uint8_t *out);
/* The highest of `count` values, 0 of none. */
uint32_t bits_max_u32(const uint32_t *values, size_t count);
uint32_t bits_max_u32_scalar(const uint32_t *values, size_t count);
/* Makes each value the sum, modulo 2^32, of itself and all before it; returns the last one, 0 of none. */
uint32_t bits_sums_u32(uint32_t *values, size_t count);
uint32_t bits_sums_u32_scalar(uint32_t *values, size_t count);

static inline bool bitmap_get(const uint8_t *bitmap, uint64_t i) { return (bitmap[i >> 3] >> (i & 7)) & 1; }
static inline void bitmap_set(uint8_t *bitmap, uint64_t i) { bitmap[i >> 3] |= (uint8_t)(1u << (i & 7)); }
/* Sets or clears `count` bits from bit `begin` on. */
void bits_fill(uint8_t *bitmap, uint64_t begin, uint64_t count, bool value);
/* Makes bits 0 .. count - 1 of `bitmap` those of "byte i is `value`"; the rest of its last byte is 0. */
void bits_equal_u8(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap);
void bits_equal_u8_scalar(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap);
/* Copies `count` bits; the ranges do not overlap, other bits of `to` stay. */
void bits_copy(uint8_t *to, uint64_t to_begin, const uint8_t *from, uint64_t from_begin, uint64_t count);
/* How many of `count` bits from bit `begin` on are set. */
uint64_t bits_count(const uint8_t *bitmap, uint64_t begin, uint64_t count);

#endif
