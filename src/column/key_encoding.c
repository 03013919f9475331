#include "column/key_encoding.h"

/* Ordered varint:
 *   first byte   bytes   values
 *   0..240       1       the byte
 *   241..248     2       240 + 256 * (first - 241) + second                    (to 2287)
 *   249          3       2288 + big-endian 16 bits                             (to 67823)
 *   250..255     4..9    big-endian 24, 32, 40, 48, 56, 64 bits, the shortest form that holds the value */
enum { ONE_BYTE_MAX = 240, TWO_BYTES_MAX = 2287, THREE_BYTES_MAX = 67823 };

static uint64_t load_big_endian(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | at[i];
    return value;
}

size_t ordered_varint_encode(uint8_t *at, uint64_t value) {
    if (value <= ONE_BYTE_MAX) {
        at[0] = (uint8_t)value;
        return 1;
    }
    if (value <= TWO_BYTES_MAX) {
        value -= ONE_BYTE_MAX;
        at[0] = (uint8_t)(241 + (value >> 8));
        at[1] = (uint8_t)value;
        return 2;
    }
    if (value <= THREE_BYTES_MAX) {
        value -= TWO_BYTES_MAX + 1;
        at[0] = 249;
        at[1] = (uint8_t)(value >> 8);
        at[2] = (uint8_t)value;
        return 3;
    }
    size_t size = 3;
    while (size < 8 && value >> (8 * size)) size++;
    at[0] = (uint8_t)(250 + size - 3);
    for (size_t i = 0; i < size; i++) at[1 + i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    return 1 + size;
}

uint64_t ordered_varint_decode(struct reader *reader) {
    uint8_t first = reader_u8(reader);
    if (first <= ONE_BYTE_MAX) return first;
    if (first <= 248) {
        uint64_t above = 256 * (uint64_t)(first - 241) + reader_u8(reader);
        if (above == 0) reader->failed = true; /* one byte holds it */
        return reader->failed ? 0 : ONE_BYTE_MAX + above;
    }
    size_t size = first == 249 ? 2 : (size_t)first - 247;
    struct slice bytes = reader_bytes(reader, size);
    if (reader->failed) return 0;
    uint64_t value = load_big_endian(bytes.data, size);
    if (first == 249) return TWO_BYTES_MAX + 1 + value;
    bool canonical = size == 3 ? value > THREE_BYTES_MAX : value >> (8 * (size - 1)) != 0;
    if (canonical) return value;
    reader->failed = true;
    return 0;
}

size_t table_prefix_encode(uint8_t *at, struct table_id table) {
    size_t size = ordered_varint_encode(at, table.tenant);
    size += ordered_varint_encode(at + size, table.database);
    return size + ordered_varint_encode(at + size, table.table);
}

bool table_prefix_decode(struct slice stored, struct table_id *table, struct slice *key) {
    *table = (struct table_id){0};
    *key = (struct slice){0};
    struct reader reader = reader_of(stored);
    uint64_t tenant = ordered_varint_decode(&reader);
    uint64_t database = ordered_varint_decode(&reader);
    uint64_t id = ordered_varint_decode(&reader);
    if (reader.failed || tenant > UINT32_MAX || database > UINT32_MAX || id > UINT32_MAX) return false;
    *table = (struct table_id){(uint32_t)tenant, (uint32_t)database, (uint32_t)id};
    *key = slice_of(reader.at, reader_left(&reader));
    return true;
}

/* ---- escaped bytes ---- */

static size_t count_zeros(struct slice value) {
    size_t zeros = 0;
    for (size_t i = 0; i < value.size; i++) zeros += value.data[i] == 0;
    return zeros;
}

/* Room must have been reserved. */
static void put_escaped(struct buffer *into, struct slice value) {
    for (size_t i = 0; i < value.size; i++) {
        into->data[into->size++] = value.data[i];
        if (value.data[i] == 0) into->data[into->size++] = 0xFF;
    }
}

bool escaped_append_prefix(struct buffer *into, struct slice value) {
    if (!buffer_reserve(into, value.size + count_zeros(value))) return false;
    put_escaped(into, value);
    return true;
}

bool escaped_append(struct buffer *into, struct slice value) {
    if (!buffer_reserve(into, value.size + count_zeros(value) + 2)) return false;
    put_escaped(into, value);
    into->data[into->size++] = 0x00;
    into->data[into->size++] = 0x01;
    return true;
}

bool escaped_decode(struct reader *reader, struct buffer *value) {
    size_t before = value->size;
    while (!reader->failed) {
        size_t left = reader_left(reader);
        const uint8_t *zero = left ? memchr(reader->at, 0, left) : NULL;
        if (!zero || zero + 1 == reader->end) break;
        size_t run = (size_t)(zero - reader->at);
        if (zero[1] == 0xFF) run++; /* the zero itself belongs to the value */
        if (!buffer_append(value, reader->at, run)) break;
        reader->at = zero + 2;
        if (zero[1] == 0x01) return true;
        if (zero[1] != 0xFF) break;
    }
    value->size = before;
    reader->failed = true;
    return false;
}

bool prefix_successor(struct buffer *into, struct slice prefix) {
    size_t size = prefix.size;
    while (size && prefix.data[size - 1] == 0xFF) size--;
    if (!size) return true;
    if (!buffer_append(into, prefix.data, size)) return false;
    into->data[into->size - 1]++;
    return true;
}
