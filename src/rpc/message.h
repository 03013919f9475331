/* gRPC's length-prefixed messages inside HTTP/2 DATA:
 *
 *   1 byte   compressed flag, 0 or 1
 *   4 bytes  length, big-endian
 *   length   the message; with flag 1 compressed by the call's grpc-encoding
 *
 * Messages may be cut anywhere by DATA frames and several may share one. A message that lies whole in the bytes given
 * is handed out without a copy; only cut ones are gathered. */
#ifndef PLINTH_RPC_MESSAGE_H
#define PLINTH_RPC_MESSAGE_H

#include "base/bytes.h"

enum { MESSAGE_HEADER_BYTES = 5 };

enum message_result {
    MESSAGE_NONE,      /* all input is taken, no whole message yet */
    MESSAGE_READY,     /* one message; call again with the rest of the input */
    MESSAGE_TOO_LARGE, /* longer than bytes_max, before or after decompression */
    MESSAGE_MALFORMED, /* unknown flag, compressed without an encoding, or damaged compression */
    MESSAGE_NO_MEMORY,
};

struct message_reader {
    size_t bytes_max;
    bool gzip; /* flag 1 means gzip; otherwise flag 1 is an error */
    uint8_t header[MESSAGE_HEADER_BYTES];
    uint8_t header_size;
    uint32_t length; /* of the message being gathered */
    struct buffer body;
    struct buffer inflated;
};

/* Keeps `body` and `inflated` for the next call, unless they have grown over `keep_bytes_max`. */
void message_reader_reset(struct message_reader *reader, size_t bytes_max, size_t keep_bytes_max);
void message_reader_deinit(struct message_reader *reader);
/* Takes bytes from the front of `input`. After MESSAGE_READY `message` is valid until the next call (and as long as the
 * input's memory). After a failure the reader is not used again. */
enum message_result message_reader_next(struct message_reader *reader, struct slice *input, struct slice *message);
/* True between messages: the stream may end here. */
static inline bool message_reader_is_idle(const struct message_reader *reader) { return reader->header_size == 0; }
/* Bytes gathered for a message that is not whole yet. */
static inline size_t message_reader_held(const struct message_reader *reader) { return reader->body.size; }

void message_header_write(uint8_t at[MESSAGE_HEADER_BYTES], bool compressed, uint32_t length);

/* Appends the gzip form. */
PLINTH_MUST_CHECK bool gzip_deflate(struct buffer *into, struct slice bytes);
/* Appends at most `bytes_max` inflated bytes; MESSAGE_READY, or what is wrong. */
enum message_result gzip_inflate(struct buffer *into, struct slice bytes, size_t bytes_max);

#endif
