/* Compressed bodies of any bytes: exactly the bytes that were asked for, or a status. What is compressed here comes
 * back. The first three bytes choose the codec and the size. */
#include <stdlib.h>
#include <string.h>

#include "parquet/codec.h"
#include "parquet/writer.h"

enum { HEAD_BYTES = 3, OUT_MAX = 1 << 16 };

static struct codec_state state;
static uint8_t out[OUT_MAX];

static void round_trip(enum parquet_codec codec, struct slice in) {
    struct buffer packed = BUFFER_INIT;
    struct plinth_error error;
    if (codec == PARQUET_CODEC_UNCOMPRESSED || !codec_can_write(codec) || in.size > OUT_MAX) return;
    if (codec_compress(&state, codec, PARQUET_LEVEL_DEFAULT, in, &packed, &error)) abort();
    memset(out, 0xaa, in.size);
    if (codec_decompress(&state, codec, buffer_slice(&packed), out, in.size, &error)) abort();
    if (in.size > 0 && memcmp(out, in.data, in.size)) abort();
    buffer_deinit(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plinth_error error;
    if (size < HEAD_BYTES) return 0;
    enum parquet_codec codec = (enum parquet_codec)(data[0] % PARQUET_CODEC_COUNT);
    struct slice body = slice_of(data + HEAD_BYTES, size - HEAD_BYTES);
    size_t wanted = load_u16(data + 1);
    uint8_t *exact = malloc(wanted ? wanted : 1); /* so that a byte too many is seen */
    if (!exact) abort();
    if (codec != PARQUET_CODEC_UNCOMPRESSED && !codec_decompress(&state, codec, body, exact, wanted, &error))
        for (size_t i = 0; i < wanted; i++) out[i] = exact[i];
    free(exact);
    round_trip(codec, body);
    return 0;
}
