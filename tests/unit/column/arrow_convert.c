/* arrow_convert [options] IN OUT: reads an Arrow stream or file and writes it again, all by Plinth's reader and writer.
 *
 *   --file             writes the file form (else a stream)
 *   --compression C    none, lz4, zstd
 *   --pieces N         reads a stream in pieces: every call sees N bytes more, in memory of its own
 *   --misalign         reads from an odd address
 *   --slice FIRST N    writes rows [FIRST, FIRST + N) of every batch (as far as there are)
 *   --bytes-max N      the reader's limit
 *
 * Program of tests/integration/test_arrow_ipc.py. A failure prints the status and the text and exits with 1. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_ipc.h"

struct conversion {
    bool is_file;
    enum arrow_compression compression;
    size_t piece_bytes;
    bool is_misaligned;
    bool is_slice;
    uint32_t first;
    uint32_t count;
    struct arrow_reader_options options;
    const char *in_path;
    const char *out_path;
    struct buffer out;
    bool has_begun;
    struct arrow_file_writer *writer;
};

static void die(const char *what) {
    fprintf(stderr, "arrow_convert: %s\n", what);
    exit(2);
}

static bool parse(struct conversion *to, int argc, char **argv) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *option = argv[i];
        if (!strcmp(option, "--file")) {
            to->is_file = true;
        } else if (!strcmp(option, "--misalign")) {
            to->is_misaligned = true;
        } else if (!strcmp(option, "--compression") && i + 1 < argc) {
            const char *name = argv[++i];
            to->compression = !strcmp(name, "lz4") ? ARROW_LZ4_FRAME : !strcmp(name, "zstd") ? ARROW_ZSTD : 0;
        } else if (!strcmp(option, "--pieces") && i + 1 < argc) {
            to->piece_bytes = strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(option, "--bytes-max") && i + 1 < argc) {
            to->options.bytes_max = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(option, "--slice") && i + 2 < argc) {
            to->is_slice = true;
            to->first = (uint32_t)strtoul(argv[++i], NULL, 10);
            to->count = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    if (argc - i != 2) return false;
    to->in_path = argv[i];
    to->out_path = argv[i + 1];
    return true;
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot open the input");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size) die("cannot read the input");
    fclose(file);
    return bytes;
}

static enum plinth_status begin(struct conversion *to, const struct arrow_schema *schema, struct plinth_error *error) {
    if (to->has_begun) return PLINTH_OK;
    to->has_begun = true;
    if (to->is_file) return arrow_file_begin(&to->out, schema, &to->writer, error);
    return arrow_write_schema(&to->out, schema, error);
}

static enum plinth_status write_batch(void *context, const struct arrow_schema *schema, struct batch *batch,
                                      struct plinth_error *error) {
    struct conversion *to = context;
    enum plinth_status st = begin(to, schema, error);
    if (st) return st;
    struct batch *slice = batch_ref(batch);
    if (to->is_slice) {
        uint32_t first = to->first < batch->rows ? to->first : batch->rows;
        uint32_t count = to->count < batch->rows - first ? to->count : batch->rows - first;
        batch_unref(slice);
        slice = batch_slice(batch, first, count);
        if (!slice) die("out of memory");
    }
    st = to->is_file ? arrow_file_write(to->writer, &to->out, slice, to->compression, error)
                     : arrow_write_batch(&to->out, slice, to->compression, error);
    batch_unref(slice);
    return st;
}

/* What is between messages is the caller's: each call gets its own copy, freed after it. */
static enum plinth_status read_pieces(struct conversion *to, struct slice bytes, struct plinth_error *error) {
    struct arrow_reader *reader;
    enum plinth_status st = arrow_reader_create(&to->options, &reader, error);
    size_t at = 0, window = to->piece_bytes;
    bool is_end = false;
    while (!st && !is_end && at < bytes.size) {
        size_t size = window < bytes.size - at ? window : bytes.size - at, used;
        struct batch *batch;
        uint8_t *piece = malloc(size);
        if (!piece) die("out of memory");
        memcpy(piece, bytes.data + at, size);
        st = arrow_reader_next(reader, slice_of(piece, size), &used, &batch, &is_end, error);
        if (!st && used == 0 && size == bytes.size - at)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "the stream ends inside a message");
        if (!st && batch) st = write_batch(to, arrow_reader_schema(reader), batch, error);
        batch_unref(batch);
        free(piece);
        at += used;
        window = used ? to->piece_bytes : window + to->piece_bytes;
    }
    if (!st && arrow_reader_schema(reader)) st = begin(to, arrow_reader_schema(reader), error);
    arrow_reader_destroy(reader);
    return st;
}

static enum plinth_status convert(struct conversion *to, struct plinth_error *error) {
    size_t size;
    uint8_t *memory = read_whole(to->in_path, &size);
    struct slice bytes = slice_of(memory, size);
    if (to->is_misaligned) {
        memmove(memory + 1, memory, size);
        bytes.data++;
    }
    enum plinth_status st =
        to->piece_bytes ? read_pieces(to, bytes, error) : arrow_read_all(bytes, &to->options, write_batch, to, error);
    if (!st && to->is_file) {
        st = arrow_file_end(to->writer, &to->out, error);
        to->writer = NULL;
    } else if (!st && !arrow_write_end(&to->out)) {
        die("out of memory");
    }
    arrow_file_abort(to->writer);
    free(memory);
    return st;
}

int main(int argc, char **argv) {
    struct conversion conversion = {0};
    struct plinth_error error = {0};
    if (!parse(&conversion, argc, argv)) die("usage: arrow_convert [options] IN OUT (see the source)");
    enum plinth_status st = convert(&conversion, &error);
    if (st) {
        fprintf(stderr, "%s: %s\n", plinth_status_name(st), error.text);
    } else {
        FILE *file = fopen(conversion.out_path, "wb");
        if (!file || fwrite(conversion.out.data, 1, conversion.out.size, file) != conversion.out.size || fclose(file))
            die("cannot write the output");
    }
    buffer_deinit(&conversion.out);
    return st ? 1 : 0;
}
