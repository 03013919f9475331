/* 64-bit hashes: XXH64 (the Parquet bloom filter's, and stable on disk) and XXH3 for hash tables in memory. */
#ifndef PLINTH_BASE_HASH_H
#define PLINTH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 with seed 0: part of file formats, never changes. */
uint64_t hash_stable(const void *data, size_t size);
/* XXH3: for memory only, may change between versions. */
uint64_t hash_fast(const void *data, size_t size);

#endif
