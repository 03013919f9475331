/* Byte slices (borrowed), growable buffers (owned), and the integer encodings of the formats.
 *
 * All fixed-width integers on disk and on the wire are little-endian. Varints are LEB128 as in
 * Protocol Buffers: 7 bits a byte, low bits first, at most 10 bytes. */
#ifndef PLINTH_BASE_BYTES_H
#define PLINTH_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plinth_status.h"

/* Borrowed bytes; `data` may be null when `size` is 0. */
struct slice {
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(const void *data, size_t size) {
    return (struct slice){(const uint8_t *)data, size};
}
static inline struct slice slice_of_string(const char *string) { return slice_of(string, strlen(string)); }
/* <0, 0, >0 as memcmp; a prefix sorts before what it starts. */
static inline int slice_compare(struct slice a, struct slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool slice_starts_with(struct slice whole, struct slice prefix) {
    return whole.size >= prefix.size && (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

/* Growable bytes owned by the holder. `{0}` is an empty buffer; buffer_deinit frees it. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

#define BUFFER_INIT                                                                                                    \
    { NULL, 0, 0 }

void buffer_deinit(struct buffer *buffer);
/* Keeps the memory, forgets the bytes. */
static inline void buffer_clear(struct buffer *buffer) { buffer->size = 0; }
static inline struct slice buffer_slice(const struct buffer *buffer) { return slice_of(buffer->data, buffer->size); }
/* Makes room for `extra` more bytes. False when memory is out; the buffer is then unchanged. */
PLINTH_MUST_CHECK bool buffer_reserve(struct buffer *buffer, size_t extra);
/* The appends below return false when memory is out; the buffer is then unchanged. */
PLINTH_MUST_CHECK bool buffer_append(struct buffer *buffer, const void *data, size_t size);
PLINTH_MUST_CHECK bool buffer_append_zeros(struct buffer *buffer, size_t size);
PLINTH_MUST_CHECK bool buffer_append_u8(struct buffer *buffer, uint8_t value);
PLINTH_MUST_CHECK bool buffer_append_u32(struct buffer *buffer, uint32_t value);
PLINTH_MUST_CHECK bool buffer_append_u64(struct buffer *buffer, uint64_t value);
PLINTH_MUST_CHECK bool buffer_append_varint(struct buffer *buffer, uint64_t value);
/* varint length, then the bytes */
PLINTH_MUST_CHECK bool buffer_append_string(struct buffer *buffer, struct slice bytes);

static inline void store_u16(uint8_t *at, uint16_t value) { memcpy(at, &value, sizeof value); }
static inline void store_u32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }
static inline void store_u64(uint8_t *at, uint64_t value) { memcpy(at, &value, sizeof value); }
static inline uint16_t load_u16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint32_t load_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint64_t load_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 and arm64 are little-endian; so are the formats");

enum { VARINT_BYTES_MAX = 10 };
/* Writes 1 to 10 bytes and returns how many. */
size_t varint_encode(uint8_t *at, uint64_t value);
size_t varint_size(uint64_t value);
static inline uint64_t zigzag_encode(int64_t value) { return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63); }
static inline int64_t zigzag_decode(uint64_t value) { return (int64_t)(value >> 1) ^ -(int64_t)(value & 1); }

/* A cursor over untrusted bytes: every read checks its bounds, and after the first read past the end
 * (or a malformed varint) `failed` stays set and every further read gives 0 or an empty slice. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(struct slice bytes) {
    return (struct reader){bytes.data, bytes.data ? bytes.data + bytes.size : NULL, false};
}
static inline size_t reader_left(const struct reader *reader) { return (size_t)(reader->end - reader->at); }
uint8_t reader_u8(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
uint64_t reader_varint(struct reader *reader);
/* A varint of at most 32 bits; a larger one fails. */
uint32_t reader_varint32(struct reader *reader);
/* `size` bytes, borrowed from what is read. */
struct slice reader_bytes(struct reader *reader, uint64_t size);
/* varint length, then that many bytes, borrowed. */
struct slice reader_string(struct reader *reader);

#endif
