#include "cmd/batch_builder.h"

/* BatchRequest { operations = 1; space = 2; write = 3 }, Operation { set = 1; delete = 2 },
 * Set { key = 1; value = 2; indexes = 3 }, Delete { key = 1 }, IndexValue { index = 1; value = 2 } */
enum { OPERATIONS = 1, SPACE = 2, WRITE = 3, SET = 1, DELETE = 2, KEY = 1, VALUE = 2, INDEXES = 3, NAME = 1 };

void batch_builder_deinit(struct batch_builder *batch) {
    buffer_deinit(&batch->request);
    batch->operations = 0;
}

void batch_builder_clear(struct batch_builder *batch) {
    buffer_clear(&batch->request);
    batch->operations = 0;
}

static size_t field_size(size_t size) { return 1 + varint_size(size) + size; }

static bool append_head(struct buffer *into, unsigned field, size_t size) {
    return buffer_append_u8(into, (uint8_t)(field << 3 | 2)) && buffer_append_varint(into, size);
}

static bool append_field(struct buffer *into, unsigned field, struct slice bytes) {
    return append_head(into, field, bytes.size) && buffer_append(into, bytes.data, bytes.size);
}

static size_t index_size(const struct batch_index_value *index) {
    return field_size(index->name.size) + field_size(index->value.size);
}

bool batch_builder_set(struct batch_builder *batch, struct slice key, struct slice value,
                       const struct batch_index_value *indexes, size_t index_count) {
    struct buffer *into = &batch->request;
    size_t set_size = field_size(key.size) + field_size(value.size);
    for (size_t i = 0; i < index_count; i++) set_size += field_size(index_size(&indexes[i]));
    bool ok = append_head(into, OPERATIONS, field_size(set_size)) && append_head(into, SET, set_size) &&
              append_field(into, KEY, key) && append_field(into, VALUE, value);
    for (size_t i = 0; ok && i < index_count; i++)
        ok = append_head(into, INDEXES, index_size(&indexes[i])) && append_field(into, NAME, indexes[i].name) &&
             append_field(into, VALUE, indexes[i].value);
    batch->operations++;
    return ok;
}

bool batch_builder_delete(struct batch_builder *batch, struct slice key) {
    struct buffer *into = &batch->request;
    size_t delete_size = field_size(key.size);
    batch->operations++;
    return append_head(into, OPERATIONS, field_size(delete_size)) && append_head(into, DELETE, delete_size) &&
           append_field(into, KEY, key);
}

static bool append_message(struct buffer *into, unsigned field, const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    if (!append_head(into, field, size) || !buffer_reserve(into, size)) return false;
    into->size += protobuf_c_message_pack(message, into->data + into->size);
    return true;
}

bool batch_builder_finish(struct batch_builder *batch, const Plinth__V1__Space *space,
                          const Plinth__V1__WriteOptions *write) {
    return (!space || append_message(&batch->request, SPACE, &space->base)) &&
           (!write || append_message(&batch->request, WRITE, &write->base));
}
