/* The plain implementation: a non-blocking TCP socket. */
#include "rpc/byte_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct byte_stream *socket_create(const struct byte_stream_ops *ops, int socket_fd, bool is_server) {
    (void)is_server;
    struct byte_stream *stream = malloc(sizeof *stream);
    if (stream) *stream = (struct byte_stream){ops, socket_fd};
    return stream;
}

static enum byte_io socket_read(struct byte_stream *stream, void *into, size_t size, size_t *moved) {
    for (;;) {
        ssize_t got = recv(stream->fd, into, size, 0);
        *moved = got > 0 ? (size_t)got : 0;
        if (got > 0) return BYTE_IO_DONE;
        if (got == 0) return BYTE_IO_END;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return BYTE_IO_WANT_READ;
        if (errno != EINTR) return BYTE_IO_ERROR;
    }
}

static enum byte_io socket_write(struct byte_stream *stream, const void *from, size_t size, size_t *moved) {
    for (;;) {
        ssize_t sent = send(stream->fd, from, size, MSG_NOSIGNAL);
        *moved = sent > 0 ? (size_t)sent : 0;
        if (sent > 0) return BYTE_IO_DONE;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return BYTE_IO_WANT_WRITE;
        if (errno != EINTR) return BYTE_IO_ERROR;
    }
}

static void socket_destroy(struct byte_stream *stream) {
    close(stream->fd);
    free(stream);
}

const struct byte_stream_ops byte_stream_socket_ops = {
    .create = socket_create,
    .read = socket_read,
    .write = socket_write,
    .destroy = socket_destroy,
    .short_read_is_empty = true,
};
