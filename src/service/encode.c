#include "service/encode.h"

enum { WIRE_BYTES = 2 };

static uint8_t tag_of(unsigned field) { return (uint8_t)(field << 3 | WIRE_BYTES); }

size_t encode_position(uint8_t *at, unsigned field, struct plinth_position position) {
    /* message { bytes token = 1 }; both sizes fit into one byte */
    _Static_assert(POSITION_TOKEN_BYTES_MAX + 2 < 0x80, "one-byte sizes");
    size_t token = position_encode(position, at + 4);
    at[0] = tag_of(field);
    at[1] = (uint8_t)(token + 2);
    at[2] = tag_of(1);
    at[3] = (uint8_t)token;
    return 4 + token;
}

size_t encode_bytes(uint8_t *at, unsigned field, struct slice bytes) {
    if (!bytes.size) return 0;
    size_t used = 0;
    at[used++] = tag_of(field);
    used += varint_encode(at + used, bytes.size);
    memcpy(at + used, bytes.data, bytes.size);
    return used + bytes.size;
}

static struct slice part(unsigned field, struct plinth_slice bytes) {
    return field ? slice_of(bytes.data, bytes.size) : slice_of(NULL, 0);
}

/* message IndexValue { string index = 1; bytes value = 2; }, without tag and size */
static size_t index_size(const struct plinth_index_value *index) {
    return encoded_bytes_size(index->name.size) + encoded_bytes_size(index->value.size);
}

static size_t indexes_size(const struct plinth_row *row) {
    size_t size = 0;
    for (size_t i = 0; i < row->index_count; i++) {
        size_t one = index_size(&row->indexes[i]);
        size += 1 + varint_size(one) + one;
    }
    return size;
}

static size_t encode_indexes(uint8_t *at, unsigned field, const struct plinth_row *row) {
    uint8_t *start = at;
    for (size_t i = 0; i < row->index_count; i++) {
        const struct plinth_index_value *index = &row->indexes[i];
        *at++ = tag_of(field);
        at += varint_encode(at, index_size(index));
        at += encode_bytes(at, 1, slice_of(index->name.data, index->name.size));
        at += encode_bytes(at, 2, slice_of(index->value.data, index->value.size));
    }
    return (size_t)(at - start);
}

bool encode_row(struct buffer *into, const struct encoded_row *fields, const struct plinth_row *row) {
    struct slice index_value = part(fields->index_value_field, row->index_value);
    struct slice key = part(fields->key_field, row->key);
    struct slice value = part(fields->value_field, row->value);
    uint8_t version[ENCODED_POSITION_BYTES_MAX];
    size_t version_size = encode_position(version, fields->version_field, row->version);
    size_t size = encoded_bytes_size(index_value.size) + encoded_bytes_size(key.size) + encoded_bytes_size(value.size) +
                  version_size + (fields->indexes_field ? indexes_size(row) : 0);
    if (!buffer_reserve(into, 1 + VARINT_BYTES_MAX + size)) return false;
    uint8_t *at = into->data + into->size;
    *at++ = tag_of(1);
    at += varint_encode(at, size);
    at += encode_bytes(at, fields->index_value_field, index_value);
    at += encode_bytes(at, fields->key_field, key);
    at += encode_bytes(at, fields->value_field, value);
    memcpy(at, version, version_size);
    at += version_size;
    if (fields->indexes_field) at += encode_indexes(at, fields->indexes_field, row);
    into->size = (size_t)(at - into->data);
    return true;
}
