/* Dictionary entries by their indices. See gather.h. */
#include "parquet/gather.h"

#include "base/bytes.h"

enum { STEP = 8 };

static inline __attribute__((always_inline)) void gather_width(const uint8_t *entries, const uint32_t *indices,
                                                               size_t count, size_t width, uint8_t *out) {
    size_t i = 0;
    for (; count - i >= STEP; i += STEP) {
#pragma GCC unroll 8
        for (size_t k = i; k < i + STEP; k++) memcpy(out + k * width, entries + indices[k] * width, width);
    }
    for (; i < count; i++) memcpy(out + i * width, entries + indices[i] * width, width);
}

void gather_fixed(const uint8_t *entries, const uint32_t *indices, size_t count, size_t width, uint8_t *out) {
    if (width == 4)
        gather_width(entries, indices, count, 4, out);
    else if (width == 8)
        gather_width(entries, indices, count, 8, out);
    else if (width == 16)
        gather_width(entries, indices, count, 16, out);
    else
        gather_width(entries, indices, count, width, out);
}

/* Begin and end of an entry in one load. */
static inline uint32_t entry_size(const uint32_t *entries, uint32_t index) {
    uint64_t both = load_u64((const uint8_t *)(entries + index));
    return (uint32_t)(both >> 32) - (uint32_t)both;
}

uint64_t gather_offsets(const uint32_t *entries, const uint32_t *indices, size_t count, uint32_t *out) {
    uint64_t total = 0;
    size_t i = 0;
    for (; count - i >= STEP; i += STEP) {
#pragma GCC unroll 8
        for (size_t k = i; k < i + STEP; k++) {
            out[k] = (uint32_t)total;
            total += entry_size(entries, indices[k]);
        }
    }
    for (; i < count; i++) {
        out[i] = (uint32_t)total;
        total += entry_size(entries, indices[i]);
    }
    out[count] = (uint32_t)total;
    return total;
}
