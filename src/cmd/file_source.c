#include "cmd/file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/status.h"

enum { INPUT_BYTES = 128 << 10 };

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct file_source {
    const char *name;
    int fd;
    enum compression compression;
    uint64_t size;
    uint64_t consumed;
    uint8_t *input;
    size_t input_at;
    size_t input_end;
    bool ended;      /* no more input */
    bool unfinished; /* inside a compressed frame */
    z_stream gzip;
    ZSTD_DStream *zstd;
};

static enum plinth_status fill(struct file_source *source, struct plinth_error *error) {
    if (source->input_at > 0) {
        memmove(source->input, source->input + source->input_at, source->input_end - source->input_at);
        source->input_end -= source->input_at;
        source->input_at = 0;
    }
    while (!source->ended && source->input_end < INPUT_BYTES) {
        ssize_t got = read(source->fd, source->input + source->input_end, INPUT_BYTES - source->input_end);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_set_errno(error, errno, "cannot read");
        if (got == 0) source->ended = true;
        source->input_end += (size_t)got;
        source->consumed += (uint64_t)got;
        if (got > 0) break; /* what is there, not what is to come: a pipe may wait */
    }
    return PLINTH_OK;
}

/* The first four bytes decide. */
static enum plinth_status detect(struct file_source *source, struct plinth_error *error) {
    static const uint8_t gzip_magic[] = {0x1f, 0x8b}, zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    while (!source->ended && source->input_end < sizeof zstd_magic) {
        enum plinth_status st = fill(source, error);
        if (st) return st;
    }
    if (source->input_end >= sizeof gzip_magic && memcmp(source->input, gzip_magic, sizeof gzip_magic) == 0) {
        source->compression = COMPRESSION_GZIP;
        if (inflateInit2(&source->gzip, 16 + MAX_WBITS) != Z_OK) return error_no_memory(error, "gzip decoder");
    } else if (source->input_end >= sizeof zstd_magic && memcmp(source->input, zstd_magic, sizeof zstd_magic) == 0) {
        source->compression = COMPRESSION_ZSTD;
        source->zstd = ZSTD_createDStream();
        if (!source->zstd) return error_no_memory(error, "zstd decoder");
    }
    return PLINTH_OK;
}

enum plinth_status file_source_open(const char *path, struct file_source **source, struct plinth_error *error) {
    *source = NULL;
    bool standard = strcmp(path, "-") == 0;
    struct file_source *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "input file");
    made->name = standard ? "standard input" : path;
    made->input = malloc(INPUT_BYTES);
    made->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    enum plinth_status st = PLINTH_OK;
    if (!made->input) {
        st = error_no_memory(error, "input file");
    } else if (made->fd < 0 || fstat(made->fd, &info)) {
        st = error_set_errno(error, errno, "%s: cannot open", made->name);
    } else if (S_ISDIR(info.st_mode)) {
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "%s: is a directory", made->name);
    } else {
        if (S_ISREG(info.st_mode)) made->size = (uint64_t)info.st_size;
        st = detect(made, error);
        if (st) error_prefix(error, "%s", made->name);
    }
    if (st) {
        file_source_close(made);
        return st;
    }
    *source = made;
    return PLINTH_OK;
}

void file_source_close(struct file_source *source) {
    if (!source) return;
    if (source->compression == COMPRESSION_GZIP) inflateEnd(&source->gzip);
    ZSTD_freeDStream(source->zstd);
    if (source->fd > STDIN_FILENO) close(source->fd);
    free(source->input);
    free(source);
}

/* ---- reading ---- */

static size_t read_plain(struct file_source *source, void *into, size_t size) {
    size_t left = source->input_end - source->input_at;
    size_t got = left < size ? left : size;
    memcpy(into, source->input + source->input_at, got);
    source->input_at += got;
    return got;
}

static enum plinth_status read_gzip(struct file_source *source, void *into, size_t size, size_t *got,
                                    struct plinth_error *error) {
    z_stream *gzip = &source->gzip;
    if (!source->unfinished && source->input_at < source->input_end) {
        inflateReset(gzip); /* the next member */
        source->unfinished = true;
    }
    gzip->next_in = source->input + source->input_at;
    gzip->avail_in = (unsigned)(source->input_end - source->input_at);
    gzip->next_out = into;
    gzip->avail_out = (unsigned)size;
    int result = inflate(gzip, Z_NO_FLUSH);
    source->input_at = source->input_end - gzip->avail_in;
    *got = size - gzip->avail_out;
    if (result == Z_STREAM_END)
        source->unfinished = false;
    else if (result != Z_OK && result != Z_BUF_ERROR)
        return error_set(error, PLINTH_CORRUPT, "damaged gzip data: %s", gzip->msg ? gzip->msg : "unknown error");
    return PLINTH_OK;
}

static enum plinth_status read_zstd(struct file_source *source, void *into, size_t size, size_t *got,
                                    struct plinth_error *error) {
    ZSTD_inBuffer in = {source->input, source->input_end, source->input_at};
    ZSTD_outBuffer out = {into, size, 0};
    size_t result = ZSTD_decompressStream(source->zstd, &out, &in);
    source->input_at = in.pos;
    *got = out.pos;
    if (ZSTD_isError(result))
        return error_set(error, PLINTH_CORRUPT, "damaged zstd data: %s", ZSTD_getErrorName(result));
    source->unfinished = result != 0;
    return PLINTH_OK;
}

enum plinth_status file_source_read(void *context, void *into, size_t size, size_t *got, struct plinth_error *error) {
    struct file_source *source = context;
    *got = 0;
    for (;;) {
        enum plinth_status st = PLINTH_OK;
        if (source->input_at == source->input_end) st = fill(source, error);
        if (st) return st;
        bool dry = source->input_at == source->input_end;
        if (dry && !source->unfinished) return PLINTH_OK;
        switch (source->compression) {
        case COMPRESSION_GZIP: st = read_gzip(source, into, size, got, error); break;
        case COMPRESSION_ZSTD: st = read_zstd(source, into, size, got, error); break;
        default: *got = read_plain(source, into, size);
        }
        if (st || *got) return st;
        if (dry && source->ended && source->unfinished)
            return error_set(error, PLINTH_CORRUPT, "the compressed data is cut off");
    }
}

uint64_t file_source_size(const struct file_source *source) { return source->size; }
uint64_t file_source_consumed(const struct file_source *source) {
    return source->consumed - (source->input_end - source->input_at);
}
const char *file_source_name(const struct file_source *source) { return source->name; }
