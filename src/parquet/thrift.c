/* Thrift's compact protocol. See thrift.h. */
#include "parquet/thrift.h"

enum { SKIP_DEPTH_MAX = 32 };

void thrift_reader_init(struct thrift_reader *reader, struct slice bytes, struct bounded_arena memory) {
    *reader =
        (struct thrift_reader){bytes.data, bytes.data ? bytes.data + bytes.size : NULL, memory, NULL, false, false};
}

void thrift_fail(struct thrift_reader *reader, const char *failure) {
    if (!reader->failure) reader->failure = failure;
    reader->at = reader->end;
}

static void fail_truncated(struct thrift_reader *reader) {
    if (!reader->failure) reader->is_truncated = true;
    thrift_fail(reader, "ends too early");
}

static size_t bytes_left(const struct thrift_reader *reader) { return (size_t)(reader->end - reader->at); }

static uint8_t read_byte(struct thrift_reader *reader) {
    if (reader->at == reader->end) {
        fail_truncated(reader);
        return 0;
    }
    return *reader->at++;
}

uint64_t thrift_read_varint_slow(struct thrift_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->at == reader->end) {
            fail_truncated(reader);
            return 0;
        }
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    thrift_fail(reader, "holds an integer of more than 64 bits");
    return 0;
}

static struct slice read_bytes(struct thrift_reader *reader, uint64_t size) {
    if (size > bytes_left(reader)) {
        fail_truncated(reader);
        return slice_of(NULL, 0);
    }
    struct slice bytes = slice_of(reader->at, (size_t)size);
    reader->at += size;
    return bytes;
}

bool thrift_next_field_slow(struct thrift_reader *reader, struct thrift_field *field) {
    uint8_t head = read_byte(reader);
    if (reader->failure || head == THRIFT_STOP) return false;
    unsigned delta = head >> 4;
    int64_t id = delta ? field->id + (int64_t)delta : zigzag_decode(thrift_read_varint(reader));
    if (reader->failure) return false;
    if (id < INT16_MIN || id > INT16_MAX) {
        thrift_fail(reader, "has a field number out of range");
        return false;
    }
    field->id = (int32_t)id;
    field->type = (enum thrift_type)(head & 15);
    if (field->type == THRIFT_STOP || field->type > THRIFT_UUID) {
        thrift_fail(reader, "has a field of unknown type");
        return false;
    }
    return true;
}

static void skip_value(struct thrift_reader *reader, enum thrift_type type, int depth);

static void skip_list(struct thrift_reader *reader, int depth) {
    uint8_t head = read_byte(reader);
    uint64_t count = head >> 4;
    enum thrift_type element = (enum thrift_type)(head & 15);
    if (count == 15) count = thrift_read_varint(reader);
    if (count > bytes_left(reader)) {
        fail_truncated(reader);
        return;
    }
    for (uint64_t i = 0; i < count && !reader->failure; i++) {
        if (element == THRIFT_TRUE || element == THRIFT_FALSE)
            read_byte(reader);
        else
            skip_value(reader, element, depth);
    }
}

static void skip_map(struct thrift_reader *reader, int depth) {
    uint64_t count = thrift_read_varint(reader);
    if (count == 0) return;
    uint8_t types = read_byte(reader);
    if (count > bytes_left(reader)) {
        fail_truncated(reader);
        return;
    }
    enum thrift_type of_pair[2] = {(enum thrift_type)(types >> 4), (enum thrift_type)(types & 15)};
    for (uint64_t i = 0; i < 2 * count && !reader->failure; i++) {
        if (of_pair[i & 1] == THRIFT_TRUE || of_pair[i & 1] == THRIFT_FALSE)
            read_byte(reader);
        else
            skip_value(reader, of_pair[i & 1], depth);
    }
}

static void skip_value(struct thrift_reader *reader, enum thrift_type type, int depth) {
    if (depth > SKIP_DEPTH_MAX) {
        thrift_fail(reader, "is nested too deep");
        return;
    }
    struct thrift_field field = {0};
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE: return;
    case THRIFT_BYTE: read_byte(reader); return;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64: thrift_read_varint(reader); return;
    case THRIFT_DOUBLE: read_bytes(reader, 8); return;
    case THRIFT_UUID: read_bytes(reader, 16); return;
    case THRIFT_BINARY: read_bytes(reader, thrift_read_varint(reader)); return;
    case THRIFT_LIST:
    case THRIFT_SET: skip_list(reader, depth + 1); return;
    case THRIFT_MAP: skip_map(reader, depth + 1); return;
    case THRIFT_STRUCT:
        while (thrift_next_field(reader, &field)) skip_value(reader, field.type, depth + 1);
        return;
    default: thrift_fail(reader, "has a value of unknown type"); return;
    }
}

void thrift_skip(struct thrift_reader *reader, enum thrift_type type) { skip_value(reader, type, 0); }

int64_t thrift_read_integer_slow(struct thrift_reader *reader, enum thrift_type type) {
    if (type == THRIFT_BYTE) return (int8_t)read_byte(reader);
    if (type == THRIFT_I16 || type == THRIFT_I32 || type == THRIFT_I64)
        return zigzag_decode(thrift_read_varint(reader));
    thrift_fail(reader, "has a field that should be an integer");
    return 0;
}

bool thrift_read_bool(struct thrift_reader *reader, enum thrift_type type) {
    if (type != THRIFT_TRUE && type != THRIFT_FALSE) thrift_fail(reader, "has a field that should be a bool");
    return type == THRIFT_TRUE;
}

struct slice thrift_read_binary(struct thrift_reader *reader, enum thrift_type type) {
    if (type != THRIFT_BINARY) {
        thrift_fail(reader, "has a field that should be a string");
        return slice_of(NULL, 0);
    }
    return read_bytes(reader, thrift_read_varint(reader));
}

bool thrift_is_struct(struct thrift_reader *reader, enum thrift_type type) {
    if (type == THRIFT_STRUCT) return true;
    thrift_fail(reader, "has a field that should be a struct");
    return false;
}

static bool element_fits(enum thrift_type is, enum thrift_type wanted) {
    if (wanted == THRIFT_TRUE) return is == THRIFT_TRUE || is == THRIFT_FALSE;
    if (wanted == THRIFT_I64) return is == THRIFT_I16 || is == THRIFT_I32 || is == THRIFT_I64;
    return is == wanted;
}

uint32_t thrift_read_list(struct thrift_reader *reader, enum thrift_type type, enum thrift_type element) {
    if (type != THRIFT_LIST && type != THRIFT_SET) {
        thrift_fail(reader, "has a field that should be a list");
        return 0;
    }
    uint8_t head = read_byte(reader);
    uint64_t count = head >> 4;
    if (count == 15) count = thrift_read_varint(reader);
    if (reader->failure) return 0;
    if (count > bytes_left(reader) || count > UINT32_MAX) {
        fail_truncated(reader);
        return 0;
    }
    /* Some writers give an empty list the element type 0. */
    if (count > 0 && !element_fits((enum thrift_type)(head & 15), element)) {
        thrift_fail(reader, "has a list with elements of the wrong type");
        return 0;
    }
    return (uint32_t)count;
}

bool thrift_read_bool_element(struct thrift_reader *reader) { return read_byte(reader) == THRIFT_TRUE; }

static void *check_memory(struct thrift_reader *reader, void *memory) {
    if (!memory && !reader->failure) {
        reader->is_out_of_memory = true;
        thrift_fail(reader, "needs more memory than the limit allows");
    }
    return memory;
}

void *thrift_alloc(struct thrift_reader *reader, uint64_t count, size_t size) {
    return check_memory(reader, reader->failure ? NULL : bounded_arena_alloc(&reader->memory, count, size));
}

void *thrift_alloc_any(struct thrift_reader *reader, uint64_t count, size_t size) {
    return check_memory(reader, reader->failure ? NULL : bounded_arena_alloc_any(&reader->memory, count, size));
}

void thrift_writer_init(struct thrift_writer *writer, struct buffer *out) {
    *writer = (struct thrift_writer){.out = out, .depth = -1};
}

static void put_byte(struct thrift_writer *writer, uint8_t byte) {
    if (!buffer_append_u8(writer->out, byte)) writer->failed = true;
}

static void put_varint(struct thrift_writer *writer, uint64_t value) {
    if (!buffer_append_varint(writer->out, value)) writer->failed = true;
}

static void put_field(struct thrift_writer *writer, int32_t id, enum thrift_type type) {
    int32_t delta = id - writer->last_id[writer->depth];
    if (delta > 0 && delta <= 15) {
        put_byte(writer, (uint8_t)(delta << 4 | (int)type));
    } else {
        put_byte(writer, (uint8_t)type);
        put_varint(writer, zigzag_encode(id));
    }
    writer->last_id[writer->depth] = id;
}

void thrift_begin_struct(struct thrift_writer *writer) { writer->last_id[++writer->depth] = 0; }

void thrift_begin_struct_field(struct thrift_writer *writer, int32_t id) {
    put_field(writer, id, THRIFT_STRUCT);
    thrift_begin_struct(writer);
}

void thrift_end_struct(struct thrift_writer *writer) {
    put_byte(writer, THRIFT_STOP);
    writer->depth--;
}

void thrift_begin_list_field(struct thrift_writer *writer, int32_t id, enum thrift_type element, uint32_t count) {
    put_field(writer, id, THRIFT_LIST);
    if (count < 15) {
        put_byte(writer, (uint8_t)(count << 4 | element));
    } else {
        put_byte(writer, (uint8_t)(0xf0 | element));
        put_varint(writer, count);
    }
}

void thrift_write_bool_field(struct thrift_writer *writer, int32_t id, bool value) {
    put_field(writer, id, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void thrift_write_byte_field(struct thrift_writer *writer, int32_t id, int8_t value) {
    put_field(writer, id, THRIFT_BYTE);
    put_byte(writer, (uint8_t)value);
}

void thrift_write_i16_field(struct thrift_writer *writer, int32_t id, int16_t value) {
    put_field(writer, id, THRIFT_I16);
    thrift_write_integer(writer, value);
}

void thrift_write_i32_field(struct thrift_writer *writer, int32_t id, int32_t value) {
    put_field(writer, id, THRIFT_I32);
    thrift_write_integer(writer, value);
}

void thrift_write_i64_field(struct thrift_writer *writer, int32_t id, int64_t value) {
    put_field(writer, id, THRIFT_I64);
    thrift_write_integer(writer, value);
}

void thrift_write_binary_field(struct thrift_writer *writer, int32_t id, struct slice value) {
    put_field(writer, id, THRIFT_BINARY);
    thrift_write_binary(writer, value);
}

void thrift_write_integer(struct thrift_writer *writer, int64_t value) { put_varint(writer, zigzag_encode(value)); }

void thrift_write_binary(struct thrift_writer *writer, struct slice value) {
    if (!buffer_append_string(writer->out, value)) writer->failed = true;
}

void thrift_write_bool(struct thrift_writer *writer, bool value) {
    put_byte(writer, value ? THRIFT_TRUE : THRIFT_FALSE);
}
