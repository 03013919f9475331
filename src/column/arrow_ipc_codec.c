/* One compressed buffer: an LZ4 frame or a ZSTD frame. */
#include <lz4frame.h>
#include <zstd.h>

#include "base/status.h"
#include "column/arrow_ipc_private.h"

enum { ZSTD_LEVEL = 1 };

void ipc_codec_deinit(struct ipc_codec *codec) {
    ZSTD_freeCCtx(codec->zstd_compress);
    ZSTD_freeDCtx(codec->zstd_decompress);
    LZ4F_freeDecompressionContext(codec->lz4_decompress);
    *codec = (struct ipc_codec){0};
}

enum plinth_status ipc_compress(struct ipc_codec *codec, enum arrow_compression compression, struct slice in,
                                struct buffer *into, struct plinth_error *error) {
    LZ4F_preferences_t preferences = {.frameInfo.contentSize = in.size, .frameInfo.blockSizeID = LZ4F_max256KB};
    bool is_zstd = compression == ARROW_ZSTD;
    size_t room = is_zstd ? ZSTD_compressBound(in.size) : LZ4F_compressFrameBound(in.size, &preferences);
    if (is_zstd && !codec->zstd_compress) codec->zstd_compress = ZSTD_createCCtx();
    if ((is_zstd && !codec->zstd_compress) || !buffer_reserve(into, room)) return error_no_memory(error, "Arrow body");
    uint8_t *out = into->data + into->size;
    size_t size = is_zstd ? ZSTD_compressCCtx(codec->zstd_compress, out, room, in.data, in.size, ZSTD_LEVEL)
                          : LZ4F_compressFrame(out, room, in.data, in.size, &preferences);
    if (is_zstd ? ZSTD_isError(size) : LZ4F_isError(size)) return error_no_memory(error, "compressed Arrow body");
    into->size += size;
    return PLINTH_OK;
}

static enum plinth_status wrong_size(uint64_t got, uint64_t size, struct plinth_error *error) {
    return error_set(error, PLINTH_INVALID_ARGUMENT, "decompressed to %llu bytes, not to the %llu it names",
                     (unsigned long long)got, (unsigned long long)size);
}

static enum plinth_status decompress_zstd(struct ipc_codec *codec, struct slice in, uint8_t *out, size_t size,
                                          struct plinth_error *error) {
    if (!codec->zstd_decompress) codec->zstd_decompress = ZSTD_createDCtx();
    if (!codec->zstd_decompress) return error_no_memory(error, "ZSTD");
    size_t got = ZSTD_decompressDCtx(codec->zstd_decompress, out, size, in.data, in.size);
    if (ZSTD_isError(got))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "malformed ZSTD (%s)", ZSTD_getErrorName(got));
    return got == size ? PLINTH_OK : wrong_size(got, size, error);
}

static enum plinth_status decompress_lz4(struct ipc_codec *codec, struct slice in, uint8_t *out, size_t size,
                                         struct plinth_error *error) {
    static const LZ4F_decompressOptions_t options = {.stableDst = 1};
    if (!codec->lz4_decompress && LZ4F_isError(LZ4F_createDecompressionContext(&codec->lz4_decompress, LZ4F_VERSION)))
        return error_no_memory(error, "LZ4");
    LZ4F_resetDecompressionContext(codec->lz4_decompress);
    size_t used = 0, got = 0;
    for (;;) {
        size_t from = in.size - used, to = size - got;
        size_t more = LZ4F_decompress(codec->lz4_decompress, out + got, &to, in.data + used, &from, &options);
        if (LZ4F_isError(more))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "malformed LZ4 frame (%s)", LZ4F_getErrorName(more));
        used += from;
        got += to;
        if (more == 0) break;
        if (from == 0 && to == 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "the LZ4 frame does not end, or holds more than it names");
    }
    if (used < in.size) return error_set(error, PLINTH_INVALID_ARGUMENT, "bytes follow the LZ4 frame");
    return got == size ? PLINTH_OK : wrong_size(got, size, error);
}

enum plinth_status ipc_decompress(struct ipc_codec *codec, enum arrow_compression compression, struct slice in,
                                  uint8_t *out, size_t size, struct plinth_error *error) {
    return compression == ARROW_ZSTD ? decompress_zstd(codec, in, out, size, error)
                                     : decompress_lz4(codec, in, out, size, error);
}
