/* Values to their slots, and out of them: what a page stores are the values without the nulls between them. For this
 * folder only.
 *
 * They work by 8 slots at a time with vector instructions (base/simd.h) where the machine has them; the scalar twins do
 * the same and are for other machines, other widths and tests. */
#ifndef PLINTH_PARQUET_NULLS_H
#define PLINTH_PARQUET_NULLS_H

#include <stddef.h>
#include <stdint.h>

/* Room behind `slots` values that is read and written over. */
enum { NULLS_SLACK = 32 };

/* Moves the `count` values at the front of `values` to the slots whose bit in `validity` is set, of which there are as
 * many; the other slots get zeros. `values` has room for `slots` values and NULLS_SLACK bytes. */
void nulls_spread(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity);
void nulls_spread_scalar(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity);
/* offsets[0 .. count] are where `count` values begin, and where the last one ends; makes them offsets[0 .. slots], in
 * which a null is as long as nothing. Room as for nulls_spread. */
void nulls_spread_offsets(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity);
void nulls_spread_offsets_scalar(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity);
/* Bits to their slots: `dense` has as many as `validity` has ones. Writes whole bytes of `values`. */
void nulls_spread_bits(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values);
void nulls_spread_bits_scalar(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values);
/* Copies those of `slots` values at `from` whose bit, from bit `begin` of `validity` on, is set, to `to`, one behind
 * the other, and returns how many. `to` has room for `slots` values and NULLS_SLACK bytes; `from` is not read beyond.
 */
uint64_t nulls_gather(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin,
                      uint8_t *to);
uint64_t nulls_gather_scalar(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin,
                             uint8_t *to);

#endif
