#include "base/bytes.h"

#include <stdlib.h>

void buffer_deinit(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer)BUFFER_INIT;
}

bool buffer_reserve(struct buffer *buffer, size_t extra) {
    if (buffer->capacity - buffer->size >= extra) return true;
    if (extra > SIZE_MAX / 2 - buffer->size) return false;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity - buffer->size < extra) capacity += capacity;
    uint8_t *data = realloc(buffer->data, capacity);
    if (!data) return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_append(struct buffer *buffer, const void *data, size_t size) {
    if (!buffer_reserve(buffer, size)) return false;
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return true;
}

bool buffer_append_zeros(struct buffer *buffer, size_t size) {
    if (!buffer_reserve(buffer, size)) return false;
    if (size) memset(buffer->data + buffer->size, 0, size);
    buffer->size += size;
    return true;
}

bool buffer_append_u8(struct buffer *buffer, uint8_t value) { return buffer_append(buffer, &value, sizeof value); }
bool buffer_append_u32(struct buffer *buffer, uint32_t value) { return buffer_append(buffer, &value, sizeof value); }
bool buffer_append_u64(struct buffer *buffer, uint64_t value) { return buffer_append(buffer, &value, sizeof value); }

bool buffer_append_varint(struct buffer *buffer, uint64_t value) {
    if (!buffer_reserve(buffer, VARINT_BYTES_MAX)) return false;
    buffer->size += varint_encode(buffer->data + buffer->size, value);
    return true;
}

bool buffer_append_string(struct buffer *buffer, struct slice bytes) {
    if (bytes.size > SIZE_MAX / 4 || !buffer_reserve(buffer, VARINT_BYTES_MAX + bytes.size)) return false;
    buffer->size += varint_encode(buffer->data + buffer->size, bytes.size);
    if (bytes.size) memcpy(buffer->data + buffer->size, bytes.data, bytes.size);
    buffer->size += bytes.size;
    return true;
}

size_t varint_encode(uint8_t *at, uint64_t value) {
    size_t used = 0;
    while (value >= 0x80) {
        at[used++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[used++] = (uint8_t)value;
    return used;
}

size_t varint_size(uint64_t value) {
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

static bool reader_has(struct reader *reader, uint64_t size) {
    if (!reader->failed && size <= reader_left(reader)) return true;
    reader->failed = true;
    return false;
}

uint8_t reader_u8(struct reader *reader) {
    if (!reader_has(reader, 1)) return 0;
    return *reader->at++;
}

uint32_t reader_u32(struct reader *reader) {
    if (!reader_has(reader, 4)) return 0;
    uint32_t value = load_u32(reader->at);
    reader->at += 4;
    return value;
}

uint64_t reader_u64(struct reader *reader) {
    if (!reader_has(reader, 8)) return 0;
    uint64_t value = load_u64(reader->at);
    reader->at += 8;
    return value;
}

uint64_t reader_varint(struct reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!reader_has(reader, 1)) return 0;
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1) break; /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    reader->failed = true;
    return 0;
}

uint32_t reader_varint32(struct reader *reader) {
    uint64_t value = reader_varint(reader);
    if (value > UINT32_MAX) reader->failed = true;
    return reader->failed ? 0 : (uint32_t)value;
}

struct slice reader_bytes(struct reader *reader, uint64_t size) {
    if (!reader_has(reader, size)) return slice_of(NULL, 0);
    struct slice bytes = slice_of(reader->at, (size_t)size);
    if (size) reader->at += size;
    return bytes;
}

struct slice reader_string(struct reader *reader) {
    uint64_t size = reader_varint(reader);
    return reader_bytes(reader, size);
}
