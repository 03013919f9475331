#include "column/batch.h"

/* Whole bytes only. */
static uint64_t count_bytes(const uint8_t *bits, uint64_t bytes) {
    uint64_t ones = 0, i = 0;
    for (; i + 8 <= bytes; i += 8) ones += (uint64_t)__builtin_popcountll(load_u64(bits + i));
    for (; i < bytes; i++) ones += (uint64_t)__builtin_popcount(bits[i]);
    return ones;
}

uint64_t bitmap_count(const uint8_t *bits, uint64_t count) {
    uint64_t ones = count_bytes(bits, count / 8);
    if (count % 8) ones += (uint64_t)__builtin_popcount(bits[count / 8] & ((1u << (count % 8)) - 1));
    return ones;
}

uint64_t bitmap_count_range(const uint8_t *bits, uint64_t first, uint64_t count) {
    if (!count) return 0;
    uint64_t ones = 0, head = (8 - first % 8) % 8;
    if (head > count) head = count;
    if (head) ones = (uint64_t)__builtin_popcount(bits[first / 8] >> (first % 8) & ((1u << head) - 1));
    return count > head ? ones + bitmap_count(bits + (first + head) / 8, count - head) : ones;
}

/* Up to 8 bits from any position, without reading a byte that holds none of them. */
static unsigned bits_at(const uint8_t *bits, uint64_t at, unsigned count) {
    unsigned shift = at % 8;
    unsigned value = bits[at / 8] >> shift;
    if (shift + count > 8) value |= (unsigned)bits[at / 8 + 1] << (8 - shift);
    return value & ((1u << count) - 1);
}

static void put_bits(uint8_t *to, uint64_t at, unsigned value, unsigned count) {
    unsigned shift = at % 8, mask = ((1u << count) - 1) << shift;
    to[at / 8] = (uint8_t)((to[at / 8] & ~mask) | (value << shift));
}

void bitmap_copy(uint8_t *to, uint64_t to_bit, const uint8_t *from, uint64_t from_bit, uint64_t count) {
    if (!count) return;
    uint64_t head = (8 - to_bit % 8) % 8;
    if (head > count) head = count;
    if (head) put_bits(to, to_bit, bits_at(from, from_bit, (unsigned)head), (unsigned)head);
    to_bit += head;
    from_bit += head;
    count -= head;
    uint64_t bytes = count / 8;
    uint8_t *target = to + to_bit / 8;
    const uint8_t *source = from + from_bit / 8;
    unsigned shift = from_bit % 8;
    if (shift == 0) {
        if (bytes) memcpy(target, source, bytes);
    } else {
        uint64_t i = 0;
        for (; i + 8 <= bytes; i += 8) /* the ninth byte holds bits of these eight */
            store_u64(target + i, load_u64(source + i) >> shift | (uint64_t)source[i + 8] << (64 - shift));
        for (; i < bytes; i++) target[i] = (uint8_t)(source[i] >> shift | source[i + 1] << (8 - shift));
    }
    unsigned tail = count % 8;
    if (tail) put_bits(to, to_bit + bytes * 8, bits_at(from, from_bit + bytes * 8, tail), tail);
}
