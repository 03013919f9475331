/* The thin layer between a socket and an HTTP/2 session: moves bytes without blocking.
 *
 * A plain socket is one implementation (byte_stream_socket_ops); the tests have one that cuts reads and writes short;
 * TLS is another with the same four functions: it handshakes inside read and write, and says with WANT_READ or
 * WANT_WRITE what the socket must become before it can go on. */
#ifndef PLINTH_RPC_BYTE_STREAM_H
#define PLINTH_RPC_BYTE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plinth_status.h"

struct byte_stream;

enum byte_io {
    BYTE_IO_DONE,       /* `*moved` bytes, at least one */
    BYTE_IO_WANT_READ,  /* nothing moved; try again when the socket is readable */
    BYTE_IO_WANT_WRITE, /* nothing moved; try again when the socket is writable */
    BYTE_IO_END,        /* the peer closed its side */
    BYTE_IO_ERROR,      /* the connection is broken; errno says how */
};

struct byte_stream_ops {
    /* Wraps a connected (or connecting) non-blocking socket, which the stream then owns. Null when memory is out; the
     * socket is then still the caller's. `ops` is the table itself: an implementation with settings of its own (a TLS
     * context) puts the table into a larger struct and finds them from there. */
    struct byte_stream *(*create)(const struct byte_stream_ops *ops, int socket_fd, bool is_server);
    enum byte_io (*read)(struct byte_stream *stream, void *into, size_t size, size_t *moved);
    enum byte_io (*write)(struct byte_stream *stream, const void *from, size_t size, size_t *moved);
    /* Closes the socket and frees. */
    void (*destroy)(struct byte_stream *stream);
    /* A read that gave less than was asked for has emptied the stream, or epoll will report the rest. False for a layer
     * that holds decrypted bytes back: it is then read until it says WANT_READ. */
    bool short_read_is_empty;
};

/* Implementations begin with this. */
struct byte_stream {
    const struct byte_stream_ops *ops;
    int fd;
};

extern const struct byte_stream_ops byte_stream_socket_ops;

#endif
