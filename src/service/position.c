#include "service/position.h"

#include "base/crc32c.h"
#include "base/status.h"

enum { POSITION_TOKEN_VERSION = 1 };

size_t position_encode(struct plinth_position position, uint8_t token[POSITION_TOKEN_BYTES_MAX]) {
    size_t size = 0;
    token[size++] = POSITION_TOKEN_VERSION;
    size += varint_encode(token + size, position.epoch);
    size += varint_encode(token + size, position.lsn);
    token[size] = (uint8_t)crc32c(0, token, size);
    return size + 1;
}

enum plinth_status position_decode(struct slice token, const char *field, struct plinth_position *position,
                                   struct plinth_error *error) {
    *position = (struct plinth_position){0};
    if (token.size == 0) return PLINTH_OK;
    struct reader reader = reader_of(token);
    uint8_t version = reader_u8(&reader);
    struct plinth_position read = {0};
    read.epoch = reader_varint(&reader);
    read.lsn = reader_varint(&reader);
    uint8_t canonical[POSITION_TOKEN_BYTES_MAX];
    size_t size = position_encode(read, canonical);
    if (reader.failed || version != POSITION_TOKEN_VERSION || !slice_equal(token, slice_of(canonical, size)))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: not a position of this server (%zu bytes)", field,
                         token.size);
    *position = read;
    return PLINTH_OK;
}
