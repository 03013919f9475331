/* The hot answers, written by hand straight into the bytes that are sent: protobuf's wire format needs no more than a
 * tag, a size and a copy. Field numbers are those of api/plinth/v1; tests compare with protobuf-c. */
#ifndef PLINTH_SERVICE_ENCODE_H
#define PLINTH_SERVICE_ENCODE_H

#include "base/bytes.h"
#include "plinth.h"
#include "service/position.h"

/* tag, size and bytes of a Position in a field below 16 */
enum { ENCODED_POSITION_BYTES_MAX = 2 + 2 + POSITION_TOKEN_BYTES_MAX };

/* Position `field` of some message. Returns the bytes written, at most ENCODED_POSITION_BYTES_MAX. */
size_t encode_position(uint8_t *at, unsigned field, struct plinth_position position);

/* The size of a bytes field (number below 16), 0 when it is empty: proto3 leaves those out. */
static inline size_t encoded_bytes_size(size_t size) { return size ? 1 + varint_size(size) + size : 0; }
/* Writes it; returns the bytes written. */
size_t encode_bytes(uint8_t *at, unsigned field, struct slice bytes);

/* A row of a ScanResponse or an entry of a GetByIndexResponse, as field 1 of its message. The three slices, the
 * version and the index values take the field numbers given; 0 leaves a part out. False when memory is out. */
struct encoded_row {
    unsigned index_value_field, key_field, value_field, version_field, indexes_field;
};
PLINTH_MUST_CHECK bool encode_row(struct buffer *into, const struct encoded_row *fields, const struct plinth_row *row);

#endif
