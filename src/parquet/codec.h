/* Compression of page bodies. The size of the decompressed bytes is always known (the page header says it) and anything
 * else is corruption.
 *
 * GZIP bodies may be several members, one behind the other. LZ4 (deprecated, read only) is either Hadoop's
 * framing, blocks of (big-endian decompressed size, big-endian compressed size, LZ4 block), or one bare LZ4 block. */
#ifndef PLINTH_PARQUET_CODEC_H
#define PLINTH_PARQUET_CODEC_H

#include "base/bytes.h"
#include "parquet/types.h"
#include "plinth_status.h"

/* The libraries' states, made when first needed. `{0}` is an empty one; one a thread. */
struct codec_state {
    void *zstd_compress;
    void *zstd_decompress;
    void *lz4;
    int zstd_level; /* set in zstd_compress */
};

void codec_state_deinit(struct codec_state *state);
size_t codec_state_memory(const struct codec_state *state);

bool codec_can_write(enum parquet_codec codec);
/* Whether `level` is one that the codec knows (PARQUET_LEVEL_DEFAULT always is). */
bool codec_level_valid(enum parquet_codec codec, int level);
/* Where bytes of one kind end and those of another begin: ascending offsets. */
struct codec_cuts {
    size_t at[8];
    uint32_t count;
};
/* Appends the compressed form of `in` to `out`. Not for UNCOMPRESSED. ZSTD begins a block at each cut (null: there are
 * none), so that what differs in kind has codes of its own; any decoder reads it. */
PLINTH_MUST_CHECK enum plinth_status codec_compress_cut(struct codec_state *state, enum parquet_codec codec, int level,
                                                        struct slice in, const struct codec_cuts *cuts,
                                                        struct buffer *out, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status codec_compress(struct codec_state *state, enum parquet_codec codec, int level,
                                                    struct slice in, struct buffer *out, struct plinth_error *error);
/* Fills exactly `size` bytes at `out`. Not for UNCOMPRESSED. */
PLINTH_MUST_CHECK enum plinth_status codec_decompress(struct codec_state *state, enum parquet_codec codec,
                                                      struct slice in, uint8_t *out, size_t size,
                                                      struct plinth_error *error);

#endif
