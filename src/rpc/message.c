#include "rpc/message.h"

#include <zlib.h>

/* A gathered body reserves its whole length at once only up to here; longer ones grow with what really arrives, so
 * that a length alone costs the sender's peer nothing. */
enum { BODY_RESERVE_BYTES_MAX = 64 * 1024 };
enum { GZIP_WINDOW_BITS = 15 + 16 }; /* zlib's way to say "gzip wrapper, 32 KiB window" */

void message_reader_reset(struct message_reader *reader, size_t bytes_max, size_t keep_bytes_max) {
    if (reader->body.capacity > keep_bytes_max) buffer_deinit(&reader->body);
    if (reader->inflated.capacity > keep_bytes_max) buffer_deinit(&reader->inflated);
    buffer_clear(&reader->body);
    buffer_clear(&reader->inflated);
    reader->bytes_max = bytes_max;
    reader->gzip = false;
    reader->header_size = 0;
    reader->length = 0;
}

void message_reader_deinit(struct message_reader *reader) {
    buffer_deinit(&reader->body);
    buffer_deinit(&reader->inflated);
}

static struct slice take(struct slice *input, size_t size) {
    if (size > input->size) size = input->size;
    struct slice taken = slice_of(input->data, size);
    if (size) *input = slice_of(input->data + size, input->size - size);
    return taken;
}

/* Takes what is missing of the five bytes; MESSAGE_READY when they are complete and sound. */
static enum message_result take_header(struct message_reader *reader, struct slice *input) {
    struct slice part = take(input, (size_t)MESSAGE_HEADER_BYTES - reader->header_size);
    if (part.size) memcpy(reader->header + reader->header_size, part.data, part.size);
    reader->header_size += (uint8_t)part.size;
    if (reader->header_size < MESSAGE_HEADER_BYTES) return MESSAGE_NONE;
    const uint8_t *h = reader->header;
    reader->length = (uint32_t)h[1] << 24 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 8 | h[4];
    if (h[0] > 1 || (h[0] == 1 && !reader->gzip)) return MESSAGE_MALFORMED;
    return reader->length > reader->bytes_max ? MESSAGE_TOO_LARGE : MESSAGE_READY;
}

/* MESSAGE_READY with the still compressed body when it is whole. */
static enum message_result take_body(struct message_reader *reader, struct slice *input, struct slice *body) {
    struct buffer *held = &reader->body;
    if (held->size == 0 && input->size >= reader->length) {
        *body = take(input, reader->length);
        return MESSAGE_READY;
    }
    if (held->size == 0 && reader->length <= BODY_RESERVE_BYTES_MAX && !buffer_reserve(held, reader->length))
        return MESSAGE_NO_MEMORY;
    struct slice part = take(input, reader->length - held->size);
    if (!buffer_append(held, part.data, part.size)) return MESSAGE_NO_MEMORY;
    if (held->size < reader->length) return MESSAGE_NONE;
    *body = buffer_slice(held);
    return MESSAGE_READY;
}

enum message_result message_reader_next(struct message_reader *reader, struct slice *input, struct slice *message) {
    *message = slice_of(NULL, 0);
    if (reader->header_size == 0) buffer_clear(&reader->body); /* the message handed out before */
    if (reader->header_size < MESSAGE_HEADER_BYTES) {
        if (input->size == 0) return MESSAGE_NONE;
        enum message_result result = take_header(reader, input);
        if (result != MESSAGE_READY) return result;
    }
    struct slice body;
    enum message_result result = take_body(reader, input, &body);
    if (result != MESSAGE_READY) return result;
    reader->header_size = 0;
    if (reader->header[0] == 0) {
        *message = body;
        return MESSAGE_READY;
    }
    buffer_clear(&reader->inflated);
    result = gzip_inflate(&reader->inflated, body, reader->bytes_max);
    if (result == MESSAGE_READY) *message = buffer_slice(&reader->inflated);
    return result;
}

void message_header_write(uint8_t at[MESSAGE_HEADER_BYTES], bool compressed, uint32_t length) {
    at[0] = compressed;
    at[1] = (uint8_t)(length >> 24);
    at[2] = (uint8_t)(length >> 16);
    at[3] = (uint8_t)(length >> 8);
    at[4] = (uint8_t)length;
}

bool gzip_deflate(struct buffer *into, struct slice bytes) {
    z_stream z = {0};
    if (bytes.size > UINT32_MAX / 2) return false;
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong bound = deflateBound(&z, (uLong)bytes.size);
    bool done = buffer_reserve(into, bound);
    if (done) {
        z.next_in = (Bytef *)(uintptr_t)bytes.data;
        z.avail_in = (uInt)bytes.size;
        z.next_out = into->data + into->size;
        z.avail_out = (uInt)bound;
        done = deflate(&z, Z_FINISH) == Z_STREAM_END;
        if (done) into->size += z.total_out;
    }
    deflateEnd(&z);
    return done;
}

static enum message_result inflate_all(z_stream *z, struct buffer *into, size_t bytes_max) {
    size_t start = into->size;
    for (;;) {
        /* one byte over the limit is room enough to see that it is passed */
        size_t room = bytes_max + 1 - (into->size - start);
        size_t step = into->size == start ? 4096 : into->size - start;
        if (step > room) step = room;
        if (!buffer_reserve(into, step)) return MESSAGE_NO_MEMORY;
        z->next_out = into->data + into->size;
        z->avail_out = (uInt)step;
        int result = inflate(z, Z_NO_FLUSH);
        into->size += step - z->avail_out;
        if (into->size - start > bytes_max) return MESSAGE_TOO_LARGE;
        if (result == Z_STREAM_END) return z->avail_in == 0 ? MESSAGE_READY : MESSAGE_MALFORMED;
        if (result == Z_MEM_ERROR) return MESSAGE_NO_MEMORY;
        if (result != Z_OK || (z->avail_in == 0 && z->avail_out > 0)) return MESSAGE_MALFORMED; /* damaged or cut */
    }
}

enum message_result gzip_inflate(struct buffer *into, struct slice bytes, size_t bytes_max) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
    if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK) return MESSAGE_NO_MEMORY;
    enum message_result result = inflate_all(&z, into, bytes_max);
    inflateEnd(&z);
    return result;
}
