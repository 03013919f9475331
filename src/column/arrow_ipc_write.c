/* Columns -> messages. A record batch's metadata has a size that is known before its body is: it is written first, with
 * room for the places of the buffers, and these are filled in as the body is appended, so nothing is copied twice. */
#include "base/status.h"
#include "column/arrow_ipc_private.h"

enum { BODY_BATCH_SLACK_BYTES = 4096 };

/* ---- framing ---- */

static bool begin_message(struct buffer *into, struct flatbuffer_writer *writer) {
    if (!buffer_append_u32(into, CONTINUATION_MARKER) || !buffer_append_u32(into, 0)) return false;
    flatbuffer_begin(writer, into);
    return true;
}

/* Pads the metadata and sets its length. */
static bool end_metadata(struct flatbuffer_writer *writer) {
    struct buffer *into = writer->into;
    size_t size = into->size - writer->start;
    if (writer->is_out_of_memory || !buffer_append_zeros(into, ipc_align(size) - size)) return false;
    store_u32(into->data + writer->start - 4, (uint32_t)ipc_align(size));
    return true;
}

/* The root: version, type and place of the header, bytes of the body. */
static uint32_t write_message_table(struct flatbuffer_writer *writer, uint8_t header_type) {
    const struct flatbuffer_field fields[] = {{MESSAGE_VERSION, 2, METADATA_V5},
                                              {MESSAGE_HEADER_TYPE, 1, header_type},
                                              {MESSAGE_HEADER, 4, 0},
                                              {MESSAGE_BODY_LENGTH, 8, 0}};
    return flatbuffer_write_table(writer, fields, 4);
}

/* Where the field `id` of a table lies in it is known only by its vtable. */
static void set_body_length(struct flatbuffer_writer *writer, uint32_t message, uint64_t size) {
    const uint8_t *table = flatbuffer_at(writer, message);
    const uint8_t *entry = table - load_u32(table) + 4 + 2 * MESSAGE_BODY_LENGTH;
    store_u64(flatbuffer_at(writer, message + load_u16(entry)), size);
}

enum plinth_status arrow_write_schema(struct buffer *into, const struct arrow_schema *schema,
                                      struct plinth_error *error) {
    struct flatbuffer_writer writer;
    size_t start = into->size;
    error_clear(error);
    bool ok = begin_message(into, &writer);
    if (ok) {
        ipc_schema_write(&writer, write_message_table(&writer, HEADER_SCHEMA), MESSAGE_HEADER, schema);
        ok = end_metadata(&writer);
    }
    if (ok) return PLINTH_OK;
    into->size = start;
    return error_no_memory(error, "Arrow schema");
}

bool arrow_write_end(struct buffer *into) {
    uint8_t marker[PREFIX_BYTES] = {0xFF, 0xFF, 0xFF, 0xFF};
    return buffer_append(into, marker, sizeof marker);
}

/* ---- the body ---- */

struct body {
    struct buffer *into;
    size_t start;
    size_t next_node; /* where the next node and the place of the next buffer go in `into` */
    size_t next_buffer;
    enum arrow_compression compression;
    struct ipc_codec codec;
    struct buffer scratch;
};

static enum plinth_status append_compressed(struct body *body, struct slice bytes, struct plinth_error *error) {
    struct buffer *into = body->into;
    size_t start = into->size;
    if (!buffer_append_u64(into, bytes.size)) return error_no_memory(error, "Arrow body");
    enum plinth_status st = ipc_compress(&body->codec, body->compression, bytes, into, error);
    if (st || into->size - start - 8 < bytes.size) return st;
    store_u64(into->data + start, UINT64_MAX); /* -1: it does not shrink */
    into->size = start + 8;
    return buffer_append(into, bytes.data, bytes.size) ? PLINTH_OK : error_no_memory(error, "Arrow body");
}

static enum plinth_status append_buffer(struct body *body, struct slice bytes, struct plinth_error *error) {
    struct buffer *into = body->into;
    enum plinth_status st = PLINTH_OK;
    size_t start = into->size;
    if (body->compression && bytes.size)
        st = append_compressed(body, bytes, error);
    else if (!buffer_append(into, bytes.data, bytes.size))
        st = error_no_memory(error, "Arrow body");
    if (st) return st;
    store_u64(into->data + body->next_buffer, start - body->start);
    store_u64(into->data + body->next_buffer + 8, into->size - start);
    body->next_buffer += BUFFER_BYTES;
    size_t size = into->size - body->start;
    return buffer_append_zeros(into, ipc_align(size) - size) ? PLINTH_OK : error_no_memory(error, "Arrow body");
}

/* Copies bits [first, first + count) to the start of the scratch; zeros behind the last. */
static bool copy_bits(struct body *body, const uint8_t *bits, uint32_t first, uint32_t count) {
    buffer_clear(&body->scratch);
    if (!buffer_append_zeros(&body->scratch, ((size_t)count + 7) / 8)) return false;
    if (count) bitmap_copy(body->scratch.data, 0, bits, first, count);
    return true;
}

/* The node, and the validity: an empty buffer when nothing is null. */
static enum plinth_status append_validity(struct body *body, const struct column *column, uint32_t first,
                                          uint32_t count, struct plinth_error *error) {
    uint64_t null_count = 0;
    buffer_clear(&body->scratch);
    if (column->validity && column->null_count) {
        if (!copy_bits(body, column->validity, first, count)) return error_no_memory(error, "Arrow body");
        if (count) null_count = count - bitmap_count(body->scratch.data, count);
        if (null_count == 0) buffer_clear(&body->scratch);
    }
    store_u64(body->into->data + body->next_node, count);
    store_u64(body->into->data + body->next_node + 8, null_count);
    body->next_node += FIELD_NODE_BYTES;
    return append_buffer(body, buffer_slice(&body->scratch), error);
}

/* Offsets from 0. */
static enum plinth_status append_offsets(struct body *body, const struct column *column, uint32_t first, uint32_t count,
                                         struct plinth_error *error) {
    static const uint32_t zero = 0;
    if (count == 0) return append_buffer(body, slice_of(&zero, sizeof zero), error);
    const uint32_t *offsets = column->offsets + first;
    size_t size = ((size_t)count + 1) * sizeof *offsets;
    uint32_t base = offsets[0];
    if (base == 0) return append_buffer(body, slice_of(offsets, size), error);
    buffer_clear(&body->scratch);
    if (!buffer_reserve(&body->scratch, size)) return error_no_memory(error, "Arrow body");
    uint32_t *to = (uint32_t *)body->scratch.data;
    for (uint32_t i = 0; i <= count; i++) to[i] = offsets[i] - base;
    return append_buffer(body, slice_of(to, size), error);
}

static enum plinth_status append_fixed(struct body *body, const struct column *column, uint32_t first, uint32_t count,
                                       struct plinth_error *error) {
    size_t width = column_type_width(column->type);
    if (count == 0) return append_buffer(body, slice_of(NULL, 0), error);
    if (width)
        return append_buffer(body, slice_of((const uint8_t *)column->values + first * width, count * width), error);
    if (!copy_bits(body, column->values, first, count)) return error_no_memory(error, "Arrow body");
    return append_buffer(body, buffer_slice(&body->scratch), error);
}

/* Rows [first, first + count) of a column, and its child's. */
static enum plinth_status append_column(struct body *body, const struct column *column, uint32_t first, uint32_t count,
                                        struct plinth_error *error) {
    bool is_list = column->type.kind == COLUMN_LIST;
    enum plinth_status st = append_validity(body, column, first, count, error);
    if (st) return st;
    if (!is_list && !column_kind_is_bytes(column->type.kind)) return append_fixed(body, column, first, count, error);
    st = append_offsets(body, column, first, count, error);
    if (st) return st;
    uint32_t from = count ? column->offsets[first] : 0;
    uint32_t size = count ? column->offsets[first + count] - from : 0;
    if (!is_list) return append_buffer(body, slice_of(size ? column->bytes + from : NULL, size), error);
    const struct column none = {.type = column_type_element(column->type)};
    return append_column(body, column->child ? column->child : &none, from, size, error);
}

/* ---- a record batch ---- */

static uint32_t buffers_of(struct column_type type) {
    if (type.kind == COLUMN_LIST) return 2 + buffers_of(column_type_element(type));
    return column_kind_is_bytes(type.kind) ? 3 : 2;
}

/* The RecordBatch table; `nodes` and `buffers` receive the positions of their vectors' elements. */
static void write_batch_table(struct flatbuffer_writer *writer, uint32_t message, const struct batch *batch,
                              enum arrow_compression compression, uint32_t *nodes, uint32_t *buffers) {
    const struct flatbuffer_field fields[] = {
        {BATCH_LENGTH, 8, batch->rows}, {BATCH_NODES, 4, 0}, {BATCH_BUFFERS, 4, 0}, {BATCH_COMPRESSION, 4, 0}};
    uint32_t node_count = 0, buffer_count = 0;
    for (uint32_t i = 0; i < batch->column_count; i++) {
        node_count += batch->columns[i].type.kind == COLUMN_LIST ? 2 : 1;
        buffer_count += buffers_of(batch->columns[i].type);
    }
    uint32_t table = flatbuffer_write_table_at(writer, message, MESSAGE_HEADER, fields, compression ? 4 : 3);
    *nodes = flatbuffer_write_vector_at(writer, table, BATCH_NODES, node_count, FIELD_NODE_BYTES, 8);
    *buffers = flatbuffer_write_vector_at(writer, table, BATCH_BUFFERS, buffer_count, BUFFER_BYTES, 8);
    if (!compression) return;
    const struct flatbuffer_field how[] = {{COMPRESSION_CODEC, 1, compression == ARROW_ZSTD},
                                           {COMPRESSION_METHOD, 1, 0}};
    flatbuffer_write_table_at(writer, table, BATCH_COMPRESSION, how, 2);
}

enum plinth_status ipc_write_batch(struct buffer *into, const struct batch *batch, enum arrow_compression compression,
                                   uint64_t *metadata_bytes, uint64_t *body_bytes, struct plinth_error *error) {
    struct flatbuffer_writer writer;
    size_t start = into->size;
    uint32_t message = 0, nodes = 0, buffers = 0;
    *metadata_bytes = *body_bytes = 0;
    uint64_t expected = BODY_BATCH_SLACK_BYTES + batch->column_count * 128ull + (compression ? 0 : batch_bytes(batch));
    bool ok = buffer_reserve(into, expected) && begin_message(into, &writer);
    if (ok) {
        message = write_message_table(&writer, HEADER_RECORD_BATCH);
        write_batch_table(&writer, message, batch, compression, &nodes, &buffers);
        ok = end_metadata(&writer);
    }
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "Arrow batch");
    struct body body = {.into = into, .start = into->size, .compression = compression};
    body.next_node = writer.start + nodes;
    body.next_buffer = writer.start + buffers;
    for (uint32_t i = 0; i < batch->column_count && !st; i++)
        st = append_column(&body, &batch->columns[i], 0, batch->rows, error);
    ipc_codec_deinit(&body.codec);
    buffer_deinit(&body.scratch);
    if (st) {
        into->size = start;
        return st;
    }
    *metadata_bytes = body.start - start;
    *body_bytes = into->size - body.start;
    set_body_length(&writer, message, *body_bytes);
    return PLINTH_OK;
}

enum plinth_status arrow_write_batch(struct buffer *into, const struct batch *batch, enum arrow_compression compression,
                                     struct plinth_error *error) {
    uint64_t metadata_bytes, body_bytes;
    error_clear(error);
    return ipc_write_batch(into, batch, compression, &metadata_bytes, &body_bytes, error);
}
