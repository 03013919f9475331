#include "column/flatbuffer.h"

#include <assert.h>

/* ---- reading ---- */

enum { VISITS_PER_BYTE = 8, VISITS_AT_LEAST = 1 << 16, VTABLE_HEAD_BYTES = 4, REFERENCE_BYTES = 4 };

static const struct flatbuffer_table ABSENT_TABLE = {0};

static bool fail(struct flatbuffer *buffer) {
    buffer->is_malformed = true;
    return false;
}

/* Whether `size` bytes lie at `at`; counts them as looked at. */
static bool visit(struct flatbuffer *buffer, uint64_t at, uint64_t size) {
    if (buffer->is_malformed) return false;
    if (at > buffer->size || size > buffer->size - at || size > buffer->visits_left) return fail(buffer);
    buffer->visits_left -= size;
    return true;
}

static struct flatbuffer_table table_at(struct flatbuffer *buffer, uint64_t at) {
    struct flatbuffer_table table = {.in = buffer};
    if (at == 0) fail(buffer); /* where the root's distance stands */
    if (!visit(buffer, at, 4)) return table;
    int64_t vtable = (int64_t)at - (int32_t)load_u32(buffer->data + at);
    if (vtable < 0) {
        fail(buffer);
        return table;
    }
    if (!visit(buffer, (uint64_t)vtable, VTABLE_HEAD_BYTES)) return table;
    uint32_t vtable_bytes = load_u16(buffer->data + vtable);
    uint32_t bytes = load_u16(buffer->data + vtable + 2);
    if (vtable_bytes < VTABLE_HEAD_BYTES || vtable_bytes % 2 || bytes < 4) {
        fail(buffer);
        return table;
    }
    if (!visit(buffer, (uint64_t)vtable, vtable_bytes) || !visit(buffer, at, bytes)) return table;
    table.at = (uint32_t)at;
    table.bytes = bytes;
    table.vtable = (uint32_t)vtable;
    table.vtable_bytes = vtable_bytes;
    return table;
}

struct flatbuffer_table flatbuffer_open(struct flatbuffer *buffer, struct slice bytes) {
    *buffer = (struct flatbuffer){.data = bytes.data, .size = (uint32_t)bytes.size};
    buffer->visits_left = (uint64_t)bytes.size * VISITS_PER_BYTE + VISITS_AT_LEAST;
    if (bytes.size > INT32_MAX) fail(buffer);
    if (!visit(buffer, 0, REFERENCE_BYTES)) return (struct flatbuffer_table){.in = buffer};
    return table_at(buffer, load_u32(buffer->data));
}

/* Where field `id` lies in the buffer; 0 when absent. `size` bytes are there. */
static uint32_t field_at(struct flatbuffer_table table, uint16_t id, uint32_t size) {
    uint32_t entry = VTABLE_HEAD_BYTES + 2u * id;
    if (flatbuffer_is_absent(table) || table.in->is_malformed || entry + 2 > table.vtable_bytes) return 0;
    uint32_t offset = load_u16(table.in->data + table.vtable + entry);
    if (offset == 0) return 0;
    if (offset < 4 || offset > table.bytes || size > table.bytes - offset) {
        fail(table.in);
        return 0;
    }
    return table.at + offset;
}

uint8_t flatbuffer_u8(struct flatbuffer_table table, uint16_t id, uint8_t absent) {
    uint32_t at = field_at(table, id, 1);
    return at ? table.in->data[at] : absent;
}

int16_t flatbuffer_i16(struct flatbuffer_table table, uint16_t id, int16_t absent) {
    uint32_t at = field_at(table, id, 2);
    return at ? (int16_t)load_u16(table.in->data + at) : absent;
}

int32_t flatbuffer_i32(struct flatbuffer_table table, uint16_t id, int32_t absent) {
    uint32_t at = field_at(table, id, 4);
    return at ? (int32_t)load_u32(table.in->data + at) : absent;
}

int64_t flatbuffer_i64(struct flatbuffer_table table, uint16_t id, int64_t absent) {
    uint32_t at = field_at(table, id, 8);
    return at ? (int64_t)load_u64(table.in->data + at) : absent;
}

/* What the reference at `at` points to. */
static uint64_t target_of(const struct flatbuffer *buffer, uint32_t at) {
    return (uint64_t)at + load_u32(buffer->data + at);
}

struct flatbuffer_table flatbuffer_child(struct flatbuffer_table table, uint16_t id) {
    uint32_t at = field_at(table, id, REFERENCE_BYTES);
    return at ? table_at(table.in, target_of(table.in, at)) : ABSENT_TABLE;
}

struct flatbuffer_vector flatbuffer_elements(struct flatbuffer_table table, uint16_t id, uint32_t element_bytes) {
    static const struct flatbuffer_vector none = {0};
    uint32_t at = field_at(table, id, REFERENCE_BYTES);
    if (!at) return none;
    uint64_t target = target_of(table.in, at);
    if (!visit(table.in, target, 4)) return none;
    uint32_t count = load_u32(table.in->data + target);
    if (!visit(table.in, target + 4, (uint64_t)count * element_bytes)) return none;
    return (struct flatbuffer_vector){table.in->data + target + 4, count};
}

struct slice flatbuffer_string(struct flatbuffer_table table, uint16_t id) {
    struct flatbuffer_vector bytes = flatbuffer_elements(table, id, 1);
    return slice_of(bytes.data, bytes.count);
}

struct flatbuffer_table flatbuffer_element_table(struct flatbuffer *buffer, struct flatbuffer_vector vector,
                                                 uint32_t i) {
    if (buffer->is_malformed) return ABSENT_TABLE;
    assert(i < vector.count);
    uint32_t at = (uint32_t)(vector.data - buffer->data) + i * REFERENCE_BYTES;
    return table_at(buffer, target_of(buffer, at));
}

/* ---- writing ---- */

static uint32_t position(const struct flatbuffer_writer *writer) {
    return (uint32_t)(writer->into->size - writer->start);
}

uint8_t *flatbuffer_at(struct flatbuffer_writer *writer, uint32_t at) {
    return writer->is_out_of_memory ? NULL : writer->into->data + writer->start + at;
}

static bool append(struct flatbuffer_writer *writer, const void *data, size_t size) {
    if (!writer->is_out_of_memory) writer->is_out_of_memory = !buffer_append(writer->into, data, size);
    return !writer->is_out_of_memory;
}

static bool append_zeros(struct flatbuffer_writer *writer, size_t size) {
    if (!writer->is_out_of_memory) writer->is_out_of_memory = !buffer_append_zeros(writer->into, size);
    return !writer->is_out_of_memory;
}

/* Pads so that what comes `ahead` bytes later is aligned. */
static bool align(struct flatbuffer_writer *writer, uint32_t alignment, uint32_t ahead) {
    return append_zeros(writer, (alignment - (position(writer) + ahead) % alignment) % alignment);
}

/* Lets the reference at `slot` point to `target`. */
static void refer(struct flatbuffer_writer *writer, uint32_t slot, uint32_t target) {
    if (!writer->is_out_of_memory) store_u32(flatbuffer_at(writer, slot), target - slot);
}

/* The same for field `id` of a table that was written with it. */
static void refer_field(struct flatbuffer_writer *writer, uint32_t table, uint16_t id, uint32_t target) {
    if (writer->is_out_of_memory) return;
    uint32_t vtable = table - load_u32(flatbuffer_at(writer, table));
    refer(writer, table + load_u16(flatbuffer_at(writer, vtable + VTABLE_HEAD_BYTES + 2u * id)), target);
}

void flatbuffer_begin(struct flatbuffer_writer *writer, struct buffer *into) {
    *writer = (struct flatbuffer_writer){.into = into, .start = into->size};
    append_zeros(writer, REFERENCE_BYTES);
}

/* The vtable comes right before its table; the table starts at a multiple of 8. */
uint32_t flatbuffer_write_table(struct flatbuffer_writer *writer, const struct flatbuffer_field *fields,
                                uint16_t field_count) {
    uint8_t vtable[VTABLE_HEAD_BYTES + 2 * 16] = {0};
    uint8_t table[4 + 8 * (FLATBUFFER_FIELDS_MAX + 1)] = {0};
    assert(field_count <= FLATBUFFER_FIELDS_MAX);
    uint16_t vtable_bytes = VTABLE_HEAD_BYTES, at = 4;
    for (uint16_t i = 0; i < field_count; i++) {
        const struct flatbuffer_field *field = &fields[i];
        at = (uint16_t)((at + field->bytes - 1) / field->bytes * field->bytes);
        memcpy(table + at, &field->value, field->bytes);
        vtable_bytes = (uint16_t)(VTABLE_HEAD_BYTES + 2 * (field->id + 1));
        assert(vtable_bytes <= sizeof vtable);
        store_u16(vtable + vtable_bytes - 2, at);
        at = (uint16_t)(at + field->bytes);
    }
    store_u16(vtable, vtable_bytes);
    store_u16(vtable + 2, at);
    store_u32(table, vtable_bytes);
    bool is_root = position(writer) == REFERENCE_BYTES;
    if (!align(writer, 8, vtable_bytes) || !append(writer, vtable, vtable_bytes)) return 0;
    uint32_t written = position(writer);
    if (is_root) refer(writer, 0, written);
    return append(writer, table, at) ? written : 0;
}

uint32_t flatbuffer_write_table_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id,
                                   const struct flatbuffer_field *fields, uint16_t field_count) {
    uint32_t child = flatbuffer_write_table(writer, fields, field_count);
    refer_field(writer, table, id, child);
    return child;
}

uint32_t flatbuffer_write_element(struct flatbuffer_writer *writer, uint32_t slot,
                                  const struct flatbuffer_field *fields, uint16_t field_count) {
    uint32_t child = flatbuffer_write_table(writer, fields, field_count);
    refer(writer, slot, child);
    return child;
}

uint32_t flatbuffer_write_vector_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id, uint32_t count,
                                    uint32_t element_bytes, uint32_t alignment) {
    if (!align(writer, alignment < 4 ? 4 : alignment, 4)) return 0;
    refer_field(writer, table, id, position(writer));
    if (!append(writer, &count, sizeof count)) return 0;
    uint32_t first = position(writer);
    return append_zeros(writer, (size_t)count * element_bytes) ? first : 0;
}

void flatbuffer_write_string_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id, struct slice string) {
    uint32_t first = flatbuffer_write_vector_at(writer, table, id, (uint32_t)string.size, 1, 4);
    if (!append_zeros(writer, 1) || !string.size) return;
    memcpy(flatbuffer_at(writer, first), string.data, string.size);
}
