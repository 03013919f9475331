/* Split-block bloom filters. See bloom.h. */
#include "parquet/bloom.h"

#include "base/hash.h"
#include "base/status.h"
#include "parquet/bloom_private.h"

enum { WORDS = 8, BITS_DEFAULT = 10 };

/* The odd constants of the format. */
static const uint32_t salts[WORDS] = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                                      0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

void parquet_bloom_deinit(struct parquet_bloom *bloom) {
    buffer_deinit(&bloom->owned);
    *bloom = (struct parquet_bloom){0};
}

uint64_t parquet_bloom_hash(struct slice value) { return hash_stable(value.data, value.size); }

static size_t block_offset(const struct parquet_bloom *bloom, uint64_t hash) {
    return (size_t)((hash >> 32) * bloom->block_count >> 32) * PARQUET_BLOOM_BLOCK_BYTES;
}

bool bloom_check_block(const uint8_t *block, uint64_t hash) {
    uint32_t missing = 0;
    for (int i = 0; i < WORDS; i++) {
        uint32_t bit = 1u << ((uint32_t)hash * salts[i] >> 27);
        missing |= bit & ~load_u32(block + 4 * i);
    }
    return missing == 0;
}

bool parquet_bloom_check_hash(const struct parquet_bloom *bloom, uint64_t hash) {
    if (bloom->block_count == 0) return true;
    return bloom_check_block(bloom->blocks + block_offset(bloom, hash), hash);
}

enum plinth_status parquet_bloom_init(struct parquet_bloom *bloom, uint64_t distinct, uint32_t bits,
                                      struct plinth_error *error) {
    uint64_t bytes = PARQUET_BLOOM_BLOCK_BYTES;
    bits = bits ? bits : BITS_DEFAULT;
    while (bytes < PARQUET_BLOOM_BYTES_MAX && bytes * 8 / bits < distinct) bytes *= 2;
    return parquet_bloom_init_blocks(bloom, (uint32_t)(bytes / PARQUET_BLOOM_BLOCK_BYTES), error);
}

enum plinth_status parquet_bloom_init_blocks(struct parquet_bloom *bloom, uint32_t block_count,
                                             struct plinth_error *error) {
    *bloom = (struct parquet_bloom){0};
    if (!buffer_append_zeros(&bloom->owned, (size_t)block_count * PARQUET_BLOOM_BLOCK_BYTES))
        return error_no_memory(error, "bloom filter");
    bloom->blocks = bloom->owned.data;
    bloom->block_count = block_count;
    return PLINTH_OK;
}

void parquet_bloom_insert_hash(struct parquet_bloom *bloom, uint64_t hash) {
    uint8_t *block = bloom->owned.data + block_offset(bloom, hash);
    for (int i = 0; i < WORDS; i++) {
        uint32_t bit = 1u << ((uint32_t)hash * salts[i] >> 27);
        store_u32(block + 4 * i, load_u32(block + 4 * i) | bit);
    }
}
