/* Compression of page bodies. See codec.h. */
#include "parquet/codec.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <lz4.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/status.h"

enum {
    GZIP_WINDOW_BITS = 15 + 16,     /* with gzip's header and trailer */
    GZIP_ANY_WINDOW_BITS = 15 + 32, /* reading: gzip or zlib, whichever it is */
    GZIP_LEVEL_DEFAULT = 6,
    ZSTD_CUT_BYTES = 32, /* more than a block's header and what is rounded up in front of it */
    BROTLI_LEVEL_DEFAULT = 5,
    ZSTD_LEVEL_DEFAULT = 3,
    LZ4_HC_LEVEL_MIN = 2,
    HADOOP_HEADER = 8,
};

void codec_state_deinit(struct codec_state *state) {
    ZSTD_freeCCtx(state->zstd_compress);
    ZSTD_freeDCtx(state->zstd_decompress);
    free(state->lz4);
    *state = (struct codec_state){0};
}

static size_t lz4_state_bytes(void) {
    int fast = LZ4_sizeofState(), high = LZ4_sizeofStateHC();
    return (size_t)(fast > high ? fast : high);
}

size_t codec_state_memory(const struct codec_state *state) {
    return (state->zstd_compress ? ZSTD_sizeof_CCtx(state->zstd_compress) : 0) +
           (state->zstd_decompress ? ZSTD_sizeof_DCtx(state->zstd_decompress) : 0) +
           (state->lz4 ? lz4_state_bytes() : 0);
}

bool codec_can_write(enum parquet_codec codec) {
    switch (codec) {
    case PARQUET_CODEC_UNCOMPRESSED:
    case PARQUET_CODEC_SNAPPY:
    case PARQUET_CODEC_GZIP:
    case PARQUET_CODEC_BROTLI:
    case PARQUET_CODEC_ZSTD:
    case PARQUET_CODEC_LZ4_RAW: return true;
    default: return false;
    }
}

bool codec_level_valid(enum parquet_codec codec, int level) {
    if (level == 0) return true;
    switch (codec) {
    case PARQUET_CODEC_GZIP: return level >= 1 && level <= 9;
    case PARQUET_CODEC_BROTLI: return level >= 1 && level <= BROTLI_MAX_QUALITY;
    case PARQUET_CODEC_ZSTD: return level >= ZSTD_minCLevel() && level <= ZSTD_maxCLevel();
    case PARQUET_CODEC_LZ4_RAW: return level >= 1 && level <= LZ4HC_CLEVEL_MAX;
    default: return false;
    }
}

/* ---- Compressing ---- */

static size_t compress_bound(enum parquet_codec codec, size_t size) {
    switch (codec) {
    case PARQUET_CODEC_SNAPPY: return snappy_max_compressed_length(size);
    case PARQUET_CODEC_GZIP: return compressBound(size) + 32;
    case PARQUET_CODEC_BROTLI: return BrotliEncoderMaxCompressedSize(size) + 16;
    case PARQUET_CODEC_ZSTD: return ZSTD_compressBound(size);
    default: return (size_t)LZ4_compressBound((int)size);
    }
}

/* The functions below return the compressed size, or 0 for a failure, which with room for the bound can only be a
 * lack of memory. */

static size_t compress_gzip(int level, struct slice in, uint8_t *out, size_t room) {
    z_stream stream = {0};
    if (deflateInit2(&stream, level ? level : GZIP_LEVEL_DEFAULT, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    stream.next_in = (Bytef *)(uintptr_t)in.data;
    stream.avail_in = (uInt)in.size;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    int result = deflate(&stream, Z_FINISH);
    size_t size = result == Z_STREAM_END ? room - stream.avail_out : 0;
    deflateEnd(&stream);
    return size;
}

static size_t compress_brotli(int level, struct slice in, uint8_t *out, size_t room) {
    size_t size = room;
    if (!BrotliEncoderCompress(level ? level : BROTLI_LEVEL_DEFAULT, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE,
                               in.size, in.data, &size, out))
        return 0;
    return size;
}

static size_t compress_zstd_blocks(ZSTD_CCtx *context, struct slice in, const struct codec_cuts *cuts, uint8_t *out,
                                   size_t room) {
    ZSTD_outBuffer to = {out, room, 0};
    ZSTD_inBuffer from = {in.data, 0, 0};
    if (ZSTD_isError(ZSTD_CCtx_reset(context, ZSTD_reset_session_only)) ||
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, in.size)))
        return 0;
    for (uint32_t i = 0; i <= cuts->count; i++) {
        bool is_last = i == cuts->count;
        from.size = is_last ? in.size : cuts->at[i];
        size_t left = ZSTD_compressStream2(context, &to, &from, is_last ? ZSTD_e_end : ZSTD_e_flush);
        if (ZSTD_isError(left) || left > 0) return 0; /* there is room for all of it */
    }
    return to.pos;
}

static size_t compress_zstd(struct codec_state *state, int level, struct slice in, const struct codec_cuts *cuts,
                            uint8_t *out, size_t room) {
    level = level ? level : ZSTD_LEVEL_DEFAULT;
    if (!state->zstd_compress) {
        state->zstd_compress = ZSTD_createCCtx();
        state->zstd_level = 0;
    }
    if (!state->zstd_compress) return 0;
    if (state->zstd_level != level) {
        if (ZSTD_isError(ZSTD_CCtx_setParameter(state->zstd_compress, ZSTD_c_compressionLevel, level))) return 0;
        state->zstd_level = level;
    }
    if (cuts && cuts->count) return compress_zstd_blocks(state->zstd_compress, in, cuts, out, room);
    size_t size = ZSTD_compress2(state->zstd_compress, out, room, in.data, in.size);
    return ZSTD_isError(size) ? 0 : size;
}

static size_t compress_lz4(struct codec_state *state, int level, struct slice in, uint8_t *out, size_t room) {
    if (!state->lz4) state->lz4 = malloc(lz4_state_bytes());
    if (!state->lz4) return 0;
    int size = level < LZ4_HC_LEVEL_MIN ? LZ4_compress_fast_extState(state->lz4, (const char *)in.data, (char *)out,
                                                                     (int)in.size, (int)room, 1)
                                        : LZ4_compress_HC_extStateHC(state->lz4, (const char *)in.data, (char *)out,
                                                                     (int)in.size, (int)room, level);
    return size > 0 ? (size_t)size : 0;
}

static size_t compress_snappy(struct slice in, uint8_t *out, size_t room) {
    size_t size = room;
    return snappy_compress((const char *)in.data, in.size, (char *)out, &size) == SNAPPY_OK ? size : 0;
}

enum plinth_status codec_compress(struct codec_state *state, enum parquet_codec codec, int level, struct slice in,
                                  struct buffer *out, struct plinth_error *error) {
    return codec_compress_cut(state, codec, level, in, NULL, out, error);
}

enum plinth_status codec_compress_cut(struct codec_state *state, enum parquet_codec codec, int level, struct slice in,
                                      const struct codec_cuts *cuts, struct buffer *out, struct plinth_error *error) {
    static const uint8_t nothing[1] = {0};
    size_t size = 0;
    if (!in.data) in.data = nothing;
    if (in.size > LZ4_MAX_INPUT_SIZE)
        return error_set(error, PLINTH_TOO_LARGE, "a page of %zu bytes is too large", in.size);
    size_t room = compress_bound(codec, in.size) + (cuts ? cuts->count * ZSTD_CUT_BYTES : 0);
    if (!buffer_reserve(out, room)) return error_no_memory(error, "compressed page");
    uint8_t *to = out->data + out->size;
    switch (codec) {
    case PARQUET_CODEC_SNAPPY: size = compress_snappy(in, to, room); break;
    case PARQUET_CODEC_GZIP: size = compress_gzip(level, in, to, room); break;
    case PARQUET_CODEC_BROTLI: size = compress_brotli(level, in, to, room); break;
    case PARQUET_CODEC_ZSTD: size = compress_zstd(state, level, in, cuts, to, room); break;
    case PARQUET_CODEC_LZ4_RAW: size = compress_lz4(state, level, in, to, room); break;
    default:
        return error_set(error, PLINTH_UNSUPPORTED, "pages are not written with codec %s", parquet_codec_name(codec));
    }
    if (size == 0) return error_no_memory(error, parquet_codec_name(codec));
    out->size += size;
    return PLINTH_OK;
}

/* ---- Decompressing: true when exactly `size` bytes came out ---- */

static bool decompress_snappy(struct slice in, uint8_t *out, size_t size) {
    size_t said = 0;
    return snappy_uncompressed_length((const char *)in.data, in.size, &said) == SNAPPY_OK && said == size &&
           snappy_uncompress((const char *)in.data, in.size, (char *)out, &said) == SNAPPY_OK && said == size;
}

static bool decompress_gzip(struct slice in, uint8_t *out, size_t size, bool *is_out_of_memory) {
    z_stream stream = {0};
    *is_out_of_memory = inflateInit2(&stream, GZIP_ANY_WINDOW_BITS) != Z_OK;
    if (*is_out_of_memory) return false;
    uint8_t nothing;
    stream.next_in = (Bytef *)(uintptr_t)in.data;
    stream.avail_in = (uInt)in.size;
    stream.next_out = size ? out : &nothing;
    stream.avail_out = (uInt)size;
    int result = inflate(&stream, Z_FINISH);
    while (result == Z_STREAM_END && stream.avail_in > 0 && stream.avail_out > 0) { /* the next member */
        if (inflateReset(&stream) != Z_OK) break;
        result = inflate(&stream, Z_FINISH);
    }
    bool is_whole = result == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    return is_whole;
}

static bool decompress_brotli(struct slice in, uint8_t *out, size_t size) {
    size_t got = size;
    return BrotliDecoderDecompress(in.size, in.data, &got, out) == BROTLI_DECODER_RESULT_SUCCESS && got == size;
}

static bool decompress_zstd(struct codec_state *state, struct slice in, uint8_t *out, size_t size,
                            bool *is_out_of_memory) {
    if (!state->zstd_decompress) state->zstd_decompress = ZSTD_createDCtx();
    *is_out_of_memory = !state->zstd_decompress;
    if (*is_out_of_memory) return false;
    size_t got = ZSTD_decompressDCtx(state->zstd_decompress, out, size, in.data, in.size);
    return !ZSTD_isError(got) && got == size;
}

static bool decompress_lz4(struct slice in, uint8_t *out, size_t size) {
    return in.size <= INT32_MAX && size <= INT32_MAX &&
           LZ4_decompress_safe((const char *)in.data, (char *)out, (int)in.size, (int)size) == (int)size;
}

static uint32_t load_big_endian_u32(const uint8_t *at) { return __builtin_bswap32(load_u32(at)); }

static bool decompress_lz4_hadoop(struct slice in, uint8_t *out, size_t size) {
    while (size > 0) {
        if (in.size < HADOOP_HEADER) return false;
        uint32_t block = load_big_endian_u32(in.data), packed = load_big_endian_u32(in.data + 4);
        in = slice_of(in.data + HADOOP_HEADER, in.size - HADOOP_HEADER);
        if (block == 0 || block > size || packed > in.size) return false;
        if (!decompress_lz4(slice_of(in.data, packed), out, block)) return false;
        in = slice_of(in.data + packed, in.size - packed);
        out += block;
        size -= block;
    }
    return in.size == 0;
}

enum plinth_status codec_decompress(struct codec_state *state, enum parquet_codec codec, struct slice in, uint8_t *out,
                                    size_t size, struct plinth_error *error) {
    bool is_whole = false, is_out_of_memory = false;
    switch (codec) {
    case PARQUET_CODEC_SNAPPY: is_whole = decompress_snappy(in, out, size); break;
    case PARQUET_CODEC_GZIP: is_whole = decompress_gzip(in, out, size, &is_out_of_memory); break;
    case PARQUET_CODEC_BROTLI: is_whole = decompress_brotli(in, out, size); break;
    case PARQUET_CODEC_ZSTD: is_whole = decompress_zstd(state, in, out, size, &is_out_of_memory); break;
    case PARQUET_CODEC_LZ4_RAW: is_whole = decompress_lz4(in, out, size); break;
    case PARQUET_CODEC_LZ4: is_whole = decompress_lz4_hadoop(in, out, size) || decompress_lz4(in, out, size); break;
    default:
        return error_set(error, PLINTH_UNSUPPORTED, "codec %s (%d) is not supported", parquet_codec_name(codec),
                         (int)codec);
    }
    if (is_whole) return PLINTH_OK;
    if (is_out_of_memory) return error_no_memory(error, parquet_codec_name(codec));
    return error_set(error, PLINTH_CORRUPT, "%zu bytes of %s do not decompress to %zu bytes", in.size,
                     parquet_codec_name(codec), size);
}
