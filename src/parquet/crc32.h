/* CRC-32 (the polynomial of zlib and gzip), which Parquet keeps of every page: by carry-less multiplication on x86-64
 * or the ARM CRC instructions where the processor has them, else by zlib. */
#ifndef PLINTH_PARQUET_CRC32_H
#define PLINTH_PARQUET_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Of `size` bytes. */
uint32_t crc32_of(const void *data, size_t size);
/* Of the bytes that `crc` is of, and these behind them. */
uint32_t crc32_extend(uint32_t crc, const void *data, size_t size);

#endif
