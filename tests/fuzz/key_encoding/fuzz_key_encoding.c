/* Decoding then encoding gives the same bytes back: every accepted encoding is the only one of its value. */
#include <stdlib.h>

#include "column/key_encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void check_prefix(struct slice stored) {
    struct table_id table;
    struct slice key;
    if (!table_prefix_decode(stored, &table, &key)) return;
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, table);
    require(prefix_size + key.size == stored.size && memcmp(prefix, stored.data, prefix_size) == 0);
}

static void check_varint(struct slice bytes) {
    struct reader reader = reader_of(bytes);
    uint64_t value = ordered_varint_decode(&reader);
    if (reader.failed) return;
    uint8_t again[ORDERED_VARINT_BYTES_MAX];
    size_t size = ordered_varint_encode(again, value);
    require(size == (size_t)(reader.at - bytes.data) && memcmp(again, bytes.data, size) == 0);
}

static void check_escaped(struct slice bytes) {
    struct reader reader = reader_of(bytes);
    struct buffer value = BUFFER_INIT, again = BUFFER_INIT;
    if (escaped_decode(&reader, &value)) {
        require(escaped_append(&again, buffer_slice(&value)));
        require(slice_equal(buffer_slice(&again), slice_of(bytes.data, (size_t)(reader.at - bytes.data))));
    }
    buffer_deinit(&value);
    buffer_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of(data, size);
    check_prefix(bytes);
    check_varint(bytes);
    check_escaped(bytes);
    return 0;
}
