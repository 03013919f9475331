/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), by SSE4.2 or the ARM CRC instructions where the processor
 * has them, else by tables. */
#ifndef PLINTH_BASE_CRC32C_H
#define PLINTH_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Extends `crc` (0 to begin with) over `size` more bytes. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The table version, for tests that compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
