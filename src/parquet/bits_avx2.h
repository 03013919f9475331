/* Bit unpacking with AVX2, where the machine has it. For bits.c and its tests only. */
#ifndef PLINTH_PARQUET_BITS_AVX2_H
#define PLINTH_PARQUET_BITS_AVX2_H

#include <stddef.h>
#include <stdint.h>

/* Unpacks a multiple of 8 of the `count` values, as many as can be read without touching bytes behind `in_bytes`, and
 * returns how many. `width` is 1 to 32; 0 is returned where it is over 25 or the machine has no AVX2. */
size_t bits_avx2_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out);

#endif
