/* FlatBuffers (https://flatbuffers.dev/internals/), as much as Arrow's metadata needs: reading and writing.
 *
 * All numbers are little-endian. A buffer starts with a uint32, the distance to its root table.
 *   table   int32 distance back to its vtable, then its fields
 *   vtable  uint16 its own bytes, uint16 the table's bytes, then for each field id a uint16: where the field lies in
 * the table, 0 = absent (the schema's default holds) field   a number, or a uint32 distance forwards from itself to a
 * table, string or vector vector  uint32 count, elements; a string is a vector of bytes with a zero behind it union two
 * fields: a byte that says which table it is, and the table
 *
 * Reading trusts nothing: every distance, count and size is checked against the buffer, no alignment is assumed, and
 * what has been looked at is counted, so that bytes that are pointed to many times cannot multiply the work. Once
 * something was wrong, `is_malformed` stays set and everything reads as absent. Distances only go forwards (but for
 * vtables, which hold none), so there are no cycles. */
#ifndef PLINTH_COLUMN_FLATBUFFER_H
#define PLINTH_COLUMN_FLATBUFFER_H

#include "base/bytes.h"

/* ---- reading ---- */

struct flatbuffer {
    const uint8_t *data;
    uint32_t size;
    uint64_t visits_left; /* bytes that may still be looked at */
    bool is_malformed;
};

/* A table; `at` 0 is an absent one, whose fields are all absent. */
struct flatbuffer_table {
    struct flatbuffer *in;
    uint32_t at;
    uint32_t bytes;
    uint32_t vtable;
    uint32_t vtable_bytes;
};

/* A vector; absent ones have `data` null and `count` 0. */
struct flatbuffer_vector {
    const uint8_t *data;
    uint32_t count;
};

/* Starts reading; the bytes must stay. Returns the root table. */
struct flatbuffer_table flatbuffer_open(struct flatbuffer *buffer, struct slice bytes);
static inline bool flatbuffer_is_absent(struct flatbuffer_table table) { return table.at == 0; }

/* Field `id` as a signed or unsigned number; `absent` when it is not there. */
uint8_t flatbuffer_u8(struct flatbuffer_table table, uint16_t id, uint8_t absent);
int16_t flatbuffer_i16(struct flatbuffer_table table, uint16_t id, int16_t absent);
int32_t flatbuffer_i32(struct flatbuffer_table table, uint16_t id, int32_t absent);
int64_t flatbuffer_i64(struct flatbuffer_table table, uint16_t id, int64_t absent);
struct flatbuffer_table flatbuffer_child(struct flatbuffer_table table, uint16_t id);
/* Borrowed, without the zero; `data` null when absent. */
struct slice flatbuffer_string(struct flatbuffer_table table, uint16_t id);
/* Elements of `element_bytes` each, all within the buffer. */
struct flatbuffer_vector flatbuffer_elements(struct flatbuffer_table table, uint16_t id, uint32_t element_bytes);
/* Element i of a vector of tables (found with element_bytes 4). */
struct flatbuffer_table flatbuffer_element_table(struct flatbuffer *buffer, struct flatbuffer_vector vector,
                                                 uint32_t i);

/* ---- writing: front to back, appended to a buffer; parents before what they point to ---- */

struct flatbuffer_writer {
    struct buffer *into;
    size_t start; /* of the flatbuffer in `into`; alignment counts from here */
    bool is_out_of_memory;
};

/* A field of a table; `bytes` 1, 2, 4 or 8. A reference has bytes 4 and value 0; what it points to is written later, by
 * one of the calls ending in _at, each reference once. */
struct flatbuffer_field {
    uint16_t id;
    uint16_t bytes;
    uint64_t value;
};
enum { FLATBUFFER_FIELDS_MAX = 8 };

/* Starts; the next flatbuffer_write_table writes the root. */
void flatbuffer_begin(struct flatbuffer_writer *writer, struct buffer *into);
/* Writes the root table, fields in the order of their ids; returns its position. Positions count from `start`. */
uint32_t flatbuffer_write_table(struct flatbuffer_writer *writer, const struct flatbuffer_field *fields,
                                uint16_t field_count);
/* The next three write what the reference field `id` of the table at `table` points to. */
uint32_t flatbuffer_write_table_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id,
                                   const struct flatbuffer_field *fields, uint16_t field_count);
void flatbuffer_write_string_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id, struct slice string);
/* A vector of `count` zeroed elements whose bytes and alignment are given; returns the position of the first one. */
uint32_t flatbuffer_write_vector_at(struct flatbuffer_writer *writer, uint32_t table, uint16_t id, uint32_t count,
                                    uint32_t element_bytes, uint32_t alignment);
/* A table that element `slot` (a position) of a vector of references points to. */
uint32_t flatbuffer_write_element(struct flatbuffer_writer *writer, uint32_t slot,
                                  const struct flatbuffer_field *fields, uint16_t field_count);
/* The memory at a position, until the next write; null when memory was out. */
uint8_t *flatbuffer_at(struct flatbuffer_writer *writer, uint32_t position);

#endif
