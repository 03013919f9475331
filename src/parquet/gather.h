/* Dictionary entries by their indices, which are below the number of entries (decode_indices checks them). For this
 * folder only.
 *
 * Eight at a time in plain code: the gather instructions of AVX2 were 1.26 times as fast for 4 bytes and 0.9 times for
 * 8 (bench_kernels), and machines that are guarded against Downfall take several times as long for them. */
#ifndef PLINTH_PARQUET_GATHER_H
#define PLINTH_PARQUET_GATHER_H

#include <stddef.h>
#include <stdint.h>

/* Copies `count` entries of `width` bytes. */
void gather_fixed(const uint8_t *entries, const uint32_t *indices, size_t count, size_t width, uint8_t *out);
/* Where the bytes of each entry begin when they stand one behind the other: out[0 .. count], modulo 2^32. Entry i is
 * from entries[i] to entries[i + 1]. Returns the sum of their sizes. */
uint64_t gather_offsets(const uint32_t *entries, const uint32_t *indices, size_t count, uint32_t *out);

#endif
