#include "cmd/file_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/status.h"

enum { OUTPUT_BYTES = 128 << 10, ZSTD_LEVEL = 3, GZIP_LEVEL = 4 };

struct file_sink {
    const char *path;
    char *partial; /* null: standard output */
    FILE *file;
    bool gzip;
    z_stream stream;
    ZSTD_CStream *zstd;
    uint8_t *output;
    uint64_t bytes;
};

static bool ends_with(const char *path, const char *suffix) {
    size_t size = strlen(path), suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(path + size - suffix_size, suffix) == 0;
}

static enum plinth_status begin(struct file_sink *sink, struct plinth_error *error) {
    if (strcmp(sink->path, "-") == 0) {
        sink->file = stdout;
        sink->path = "standard output";
        return PLINTH_OK;
    }
    if (asprintf(&sink->partial, "%s.partial", sink->path) < 0) {
        sink->partial = NULL;
        return error_no_memory(error, "output file");
    }
    sink->file = fopen(sink->partial, "we");
    if (!sink->file) return error_set_errno(error, errno, "%s: cannot write", sink->partial);
    sink->output = malloc(OUTPUT_BYTES);
    if (!sink->output) return error_no_memory(error, "output file");
    if (ends_with(sink->path, ".gz")) {
        if (deflateInit2(&sink->stream, GZIP_LEVEL, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
            return error_no_memory(error, "gzip encoder");
        sink->gzip = true;
    } else if (ends_with(sink->path, ".zst")) {
        sink->zstd = ZSTD_createCStream();
        if (!sink->zstd || ZSTD_isError(ZSTD_initCStream(sink->zstd, ZSTD_LEVEL)))
            return error_no_memory(error, "zstd encoder");
    }
    return PLINTH_OK;
}

enum plinth_status file_sink_open(const char *path, struct file_sink **sink, struct plinth_error *error) {
    *sink = NULL;
    struct file_sink *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "output file");
    made->path = path;
    enum plinth_status st = begin(made, error);
    if (st)
        file_sink_abort(made);
    else
        *sink = made;
    return st;
}

static enum plinth_status write_plain(struct file_sink *sink, const void *data, size_t size,
                                      struct plinth_error *error) {
    if (!size || fwrite(data, 1, size, sink->file) == size) return PLINTH_OK;
    return error_set_errno(error, errno, "%s: cannot write", sink->path);
}

static enum plinth_status write_gzip(struct file_sink *sink, struct slice bytes, int flush,
                                     struct plinth_error *error) {
    z_stream *stream = &sink->stream;
    stream->next_in = (Bytef *)(uintptr_t)bytes.data;
    stream->avail_in = (unsigned)bytes.size;
    do {
        stream->next_out = sink->output;
        stream->avail_out = OUTPUT_BYTES;
        (void)deflate(stream, flush);
        enum plinth_status st = write_plain(sink, sink->output, OUTPUT_BYTES - stream->avail_out, error);
        if (st) return st;
    } while (stream->avail_out == 0);
    return PLINTH_OK;
}

static enum plinth_status write_zstd(struct file_sink *sink, struct slice bytes, ZSTD_EndDirective how,
                                     struct plinth_error *error) {
    ZSTD_inBuffer in = {bytes.data, bytes.size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {sink->output, OUTPUT_BYTES, 0};
        left = ZSTD_compressStream2(sink->zstd, &out, &in, how);
        if (ZSTD_isError(left)) return error_set(error, PLINTH_INTERNAL, "%s: %s", sink->path, ZSTD_getErrorName(left));
        enum plinth_status st = write_plain(sink, sink->output, out.pos, error);
        if (st) return st;
    } while (how == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return PLINTH_OK;
}

enum plinth_status file_sink_write(struct file_sink *sink, struct slice bytes, struct plinth_error *error) {
    enum { PIECE = 1 << 30 };
    sink->bytes += bytes.size;
    if (sink->zstd) return write_zstd(sink, bytes, ZSTD_e_continue, error);
    if (!sink->gzip) return write_plain(sink, bytes.data, bytes.size, error);
    enum plinth_status st = PLINTH_OK;
    while (!st && bytes.size) {
        size_t piece = bytes.size < PIECE ? bytes.size : PIECE;
        st = write_gzip(sink, slice_of(bytes.data, piece), Z_NO_FLUSH, error);
        bytes = slice_of(bytes.data + piece, bytes.size - piece);
    }
    return st;
}

static void release(struct file_sink *sink) {
    if (sink->gzip) deflateEnd(&sink->stream);
    ZSTD_freeCStream(sink->zstd);
    free(sink->output);
    free(sink->partial);
    free(sink);
}

enum plinth_status file_sink_commit(struct file_sink *sink, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (sink->zstd)
        st = write_zstd(sink, slice_of("", 0), ZSTD_e_end, error);
    else if (sink->gzip)
        st = write_gzip(sink, slice_of("", 0), Z_FINISH, error);
    if (!st && fflush(sink->file)) st = error_set_errno(error, errno, "%s: cannot write", sink->path);
    if (st || !sink->partial) {
        if (st)
            file_sink_abort(sink);
        else
            release(sink);
        return st;
    }
    bool failed = fclose(sink->file) != 0;
    sink->file = NULL;
    if (failed)
        st = error_set_errno(error, errno, "%s: cannot write", sink->path);
    else if (rename(sink->partial, sink->path))
        st = error_set_errno(error, errno, "%s: cannot rename to %s", sink->partial, sink->path);
    if (st) unlink(sink->partial);
    release(sink);
    return st;
}

void file_sink_abort(struct file_sink *sink) {
    if (!sink) return;
    if (sink->partial && sink->file) {
        fclose(sink->file);
        unlink(sink->partial);
    }
    release(sink);
}

uint64_t file_sink_bytes(const struct file_sink *sink) { return sink->bytes; }
