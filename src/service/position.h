/* Positions as clients see them: opaque bytes.
 *
 *     version (1 byte, 1) | varint epoch | varint lsn | check (1 byte: low byte of CRC-32C over what stands before)
 *
 * There is exactly one token for a position, so that clients may compare tokens for equality; a token that is not the
 * one this server would write is refused. The check byte catches tokens that were cut or mixed up, not forged ones: a
 * position grants nothing. */
#ifndef PLINTH_SERVICE_POSITION_H
#define PLINTH_SERVICE_POSITION_H

#include "base/bytes.h"
#include "plinth.h"

enum { POSITION_TOKEN_BYTES_MAX = 1 + 2 * VARINT_BYTES_MAX + 1 };

/* Writes the token of `position` and returns its size. */
size_t position_encode(struct plinth_position position, uint8_t token[POSITION_TOKEN_BYTES_MAX]);
/* PLINTH_INVALID_ARGUMENT, naming `field`, for bytes that position_encode never wrote. An empty token is {0, 0}: "not
 * given". */
PLINTH_MUST_CHECK enum plinth_status position_decode(struct slice token, const char *field,
                                                     struct plinth_position *position, struct plinth_error *error);

static inline bool position_given(struct plinth_position position) { return position.epoch || position.lsn; }

#endif
