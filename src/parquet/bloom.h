/* Split-block bloom filters (parquet-format BloomFilter.md) over XXH64 of the PLAIN-encoded value.
 *
 * A filter is a run of 32-byte blocks of eight 32-bit words. The hash's upper half chooses the block, its lower
 * half times eight odd constants one bit in each word. */
#ifndef PLINTH_PARQUET_BLOOM_H
#define PLINTH_PARQUET_BLOOM_H

#include "base/bytes.h"
#include "plinth_status.h"

enum {
    PARQUET_BLOOM_BLOCK_BYTES = 32,
    PARQUET_BLOOM_BYTES_MAX = 128 << 20, /* what other readers accept */
};

struct parquet_bloom {
    const uint8_t *blocks; /* block_count * 32 bytes: in `owned`, or borrowed from a mapped file */
    uint32_t block_count;
    struct buffer owned;
};

void parquet_bloom_deinit(struct parquet_bloom *bloom);
/* The hash of a value: PLAIN-encoded, BYTE_ARRAY without its length. */
uint64_t parquet_bloom_hash(struct slice value);
bool parquet_bloom_check_hash(const struct parquet_bloom *bloom, uint64_t hash);
static inline bool parquet_bloom_check(const struct parquet_bloom *bloom, struct slice value) {
    return parquet_bloom_check_hash(bloom, parquet_bloom_hash(value));
}

/* An empty filter for `distinct` values at `bits` bits each, rounded up to a power of two of bytes. */
PLINTH_MUST_CHECK enum plinth_status parquet_bloom_init(struct parquet_bloom *bloom, uint64_t distinct, uint32_t bits,
                                                        struct plinth_error *error);
/* An empty filter of so many blocks, for one that is stored elsewhere than in Parquet's place for them: there sizes are
 * powers of two. */
PLINTH_MUST_CHECK enum plinth_status parquet_bloom_init_blocks(struct parquet_bloom *bloom, uint32_t block_count,
                                                               struct plinth_error *error);
/* Only for a filter made by one of these. */
void parquet_bloom_insert_hash(struct parquet_bloom *bloom, uint64_t hash);

#endif
