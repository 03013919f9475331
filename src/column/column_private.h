/* What the files of this folder share. */
#ifndef PLINTH_COLUMN_COLUMN_PRIVATE_H
#define PLINTH_COLUMN_COLUMN_PRIVATE_H

#include "column/batch.h"

enum { COLUMN_BYTES_MAX = INT32_MAX };

typedef __int128 int128;
typedef unsigned __int128 uint128;

static inline uint64_t bitmap_bytes(uint64_t bits) { return (bits + 7) / 8; }

/* memcpy that is fast for the short values most strings are: no call up to 16 bytes. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t size) {
    if (size > 16) {
        memcpy(to, from, size);
    } else if (size >= 8) {
        uint64_t head = load_u64(from), tail = load_u64(from + size - 8);
        store_u64(to, head);
        store_u64(to + size - 8, tail);
    } else if (size >= 4) {
        uint32_t head = load_u32(from), tail = load_u32(from + size - 4);
        store_u32(to, head);
        store_u32(to + size - 4, tail);
    } else {
        for (size_t i = 0; i < size; i++) to[i] = from[i];
    }
}

/* 16-byte values lie at 8-byte alignment, so they are never read through a pointer to int128. */
static inline int128 load_int128(const void *values, uint64_t i) {
    int128 value;
    memcpy(&value, (const uint8_t *)values + i * 16, sizeof value);
    return value;
}
static inline void store_int128(void *values, uint64_t i, int128 value) {
    memcpy((uint8_t *)values + i * 16, &value, sizeof value);
}

/* 10^exponent, exponent 0 to 38. */
int128 decimal_power(unsigned exponent);
/* |value| < 10^precision */
bool decimal_fits(int128 value, unsigned precision);

/* The offsets of a column without rows. */
extern const uint32_t column_no_offsets[1];

#endif
