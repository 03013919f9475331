/* Thrift's compact protocol, as far as Parquet uses it.
 *
 * A struct is a run of fields, each a byte (id delta << 4 | type; delta 0: the id follows as zigzag varint), then
 * the value; a zero byte ends it. Integers are zigzag varints, binary is a varint length and bytes, a bool field has
 * its value in its type, a list is (count << 4 | type) with count 15 meaning that a varint count follows.
 *
 * The reader is for untrusted bytes: after the first malformed one `failure` says what was wrong, everything reads as
 * 0 or empty and every struct ends, so that callers check once, at the end. */
#ifndef PLINTH_PARQUET_THRIFT_H
#define PLINTH_PARQUET_THRIFT_H

#include "base/bytes.h"
#include "parquet/bounded_arena.h"

enum thrift_type {
    THRIFT_STOP = 0,
    THRIFT_TRUE = 1,
    THRIFT_FALSE = 2,
    THRIFT_BYTE = 3,
    THRIFT_I16 = 4,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_DOUBLE = 7,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_SET = 10,
    THRIFT_MAP = 11,
    THRIFT_STRUCT = 12,
    THRIFT_UUID = 13,
};

struct thrift_reader {
    const uint8_t *at;
    const uint8_t *end;
    struct bounded_arena memory;
    const char *failure;   /* null: all well; static text */
    bool is_out_of_memory; /* the failure is the memory limit, not the bytes */
    bool is_truncated;     /* the failure is that the bytes end too early */
};

/* `{0}` before the first field of a struct. */
struct thrift_field {
    int32_t id;
    enum thrift_type type;
};

void thrift_reader_init(struct thrift_reader *reader, struct slice bytes, struct bounded_arena memory);
/* The first failure wins. */
void thrift_fail(struct thrift_reader *reader, const char *failure);
/* What the inline functions below leave over: everything that is not the usual. */
bool thrift_next_field_slow(struct thrift_reader *reader, struct thrift_field *field);
uint64_t thrift_read_varint_slow(struct thrift_reader *reader);

static inline uint64_t thrift_read_varint(struct thrift_reader *reader) {
    const uint8_t *at = reader->at;
    if (reader->end - at < 5) return thrift_read_varint_slow(reader);
    uint64_t value = *at & 0x7f;
    unsigned shift = 0;
    while (*at >= 0x80) {
        at++;
        shift += 7;
        value |= (uint64_t)(*at & 0x7f) << shift;
        if (shift == 28 && *at >= 0x80) return thrift_read_varint_slow(reader);
    }
    reader->at = at + 1;
    return value;
}

/* The next field of the struct; false at its end. The caller reads or skips its value. */
static inline bool thrift_next_field(struct thrift_reader *reader, struct thrift_field *field) {
    if (reader->at == reader->end) return thrift_next_field_slow(reader, field);
    uint8_t head = *reader->at, type = head & 15;
    int32_t id = field->id + (head >> 4);
    if (head < 16 || type == THRIFT_STOP || type > THRIFT_UUID || id > INT16_MAX)
        return thrift_next_field_slow(reader, field);
    reader->at++;
    field->id = id;
    field->type = (enum thrift_type)type;
    return true;
}

/* Passes over the value of a field. */
void thrift_skip(struct thrift_reader *reader, enum thrift_type type);
/* The value of a field; failure when the field is of another type. Integers of any width are taken. */
int64_t thrift_read_integer_slow(struct thrift_reader *reader, enum thrift_type type);
static inline int64_t thrift_read_integer(struct thrift_reader *reader, enum thrift_type type) {
    if (type != THRIFT_I32 && type != THRIFT_I64) return thrift_read_integer_slow(reader, type);
    return zigzag_decode(thrift_read_varint(reader));
}
static inline int32_t thrift_read_i32(struct thrift_reader *reader, enum thrift_type type) {
    int64_t value = thrift_read_integer(reader, type);
    if (value < INT32_MIN || value > INT32_MAX) {
        thrift_fail(reader, "has an integer of more than 32 bits");
        return 0;
    }
    return (int32_t)value;
}
bool thrift_read_bool(struct thrift_reader *reader, enum thrift_type type);
struct slice thrift_read_binary(struct thrift_reader *reader, enum thrift_type type);
/* An integer that may not be negative. */
static inline uint64_t thrift_read_size(struct thrift_reader *reader, enum thrift_type type) {
    int64_t value = thrift_read_integer(reader, type);
    if (value < 0) {
        thrift_fail(reader, "has a negative size, count or offset");
        return 0;
    }
    return (uint64_t)value;
}
/* One that fits into an i32, as most sizes of the format are. */
static inline uint32_t thrift_read_size_u32(struct thrift_reader *reader, enum thrift_type type) {
    uint64_t value = thrift_read_size(reader, type);
    if (value > INT32_MAX) {
        thrift_fail(reader, "has a size or count of more than 31 bits");
        return 0;
    }
    return (uint32_t)value;
}
/* True when the field is a struct; else a failure. */
bool thrift_is_struct(struct thrift_reader *reader, enum thrift_type type);
/* Begins a list; returns the number of elements, which are at least one byte each and all there, and their type.
 * `element` is the type wanted (THRIFT_TRUE for bools, THRIFT_I64 for any integer). */
uint32_t thrift_read_list(struct thrift_reader *reader, enum thrift_type type, enum thrift_type element);
/* One element of a list of bools. */
bool thrift_read_bool_element(struct thrift_reader *reader);
/* Zeroed memory for `count` items; null (and a failure) when it is over the limit. */
void *thrift_alloc(struct thrift_reader *reader, uint64_t count, size_t size);
/* The same, of any content. */
void *thrift_alloc_any(struct thrift_reader *reader, uint64_t count, size_t size);

/* The writer appends to `out`; `failed` is set when memory ran out. */
enum { THRIFT_WRITE_DEPTH_MAX = 8 };
struct thrift_writer {
    struct buffer *out;
    int32_t last_id[THRIFT_WRITE_DEPTH_MAX];
    int depth;
    bool failed;
};

void thrift_writer_init(struct thrift_writer *writer, struct buffer *out);
/* A struct as list element, or the outermost one; ended by thrift_end_struct. */
void thrift_begin_struct(struct thrift_writer *writer);
void thrift_begin_struct_field(struct thrift_writer *writer, int32_t id);
void thrift_end_struct(struct thrift_writer *writer);
void thrift_begin_list_field(struct thrift_writer *writer, int32_t id, enum thrift_type element, uint32_t count);
void thrift_write_bool_field(struct thrift_writer *writer, int32_t id, bool value);
void thrift_write_byte_field(struct thrift_writer *writer, int32_t id, int8_t value);
void thrift_write_i16_field(struct thrift_writer *writer, int32_t id, int16_t value);
void thrift_write_i32_field(struct thrift_writer *writer, int32_t id, int32_t value);
void thrift_write_i64_field(struct thrift_writer *writer, int32_t id, int64_t value);
void thrift_write_binary_field(struct thrift_writer *writer, int32_t id, struct slice value);
/* List elements. */
void thrift_write_integer(struct thrift_writer *writer, int64_t value);
void thrift_write_binary(struct thrift_writer *writer, struct slice value);
void thrift_write_bool(struct thrift_writer *writer, bool value);

#endif
