/* BYTE_STREAM_SPLIT: byte k of every value, then byte k + 1 of every value. It saves nothing by itself, but
 * bytes of like meaning compress better side by side. */
#ifndef PLINTH_PARQUET_ENCODING_SPLIT_H
#define PLINTH_PARQUET_ENCODING_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/* Gives the first `count` of the `stored` values in `in` (stored * width bytes). The ranges do not overlap. */
void split_decode(const uint8_t *in, size_t stored, size_t count, uint32_t width, uint8_t *out);
/* Takes and gives count * width bytes; the ranges do not overlap. */
void split_encode(const uint8_t *in, size_t count, uint32_t width, uint8_t *out);
/* The same byte by byte: for tests. */
void split_decode_scalar(const uint8_t *in, size_t stored, size_t count, uint32_t width, uint8_t *out);
void split_encode_scalar(const uint8_t *in, size_t count, uint32_t width, uint8_t *out);

#endif
