/* For this folder only. */
#ifndef PLINTH_PARQUET_BLOOM_PRIVATE_H
#define PLINTH_PARQUET_BLOOM_PRIVATE_H

#include "parquet/bloom.h"

/* Checks the hash against the one block (32 bytes) that it falls into. */
bool bloom_check_block(const uint8_t *block, uint64_t hash);

#endif
