/* A Parquet file in memory: a sink for the writer and a source for the reader, mapped or not. */
#ifndef PLINTH_TESTS_PARQUET_MEMORY_FILE_H
#define PLINTH_TESTS_PARQUET_MEMORY_FILE_H

#include <stdio.h>
#include <string.h>

#include "parquet/reader.h"
#include "parquet/writer.h"

enum { MEMORY_FILE_HOLE_BYTES = 16 << 20 };

struct memory_file {
    struct parquet_sink sink;
    struct parquet_source source;
    struct buffer bytes;
    uint64_t write_bytes_max; /* the sink fails beyond; 0: never */
    /* Blocks of MEMORY_FILE_HOLE_BYTES and more, all behind one another, are only counted, and cannot be read. */
    uint64_t hole_at, hole_bytes;
};

static inline enum plinth_status memory_file_write(struct parquet_sink *sink, struct slice bytes,
                                                   struct plinth_error *error) {
    struct memory_file *file = (struct memory_file *)sink;
    (void)error;
    if (file->write_bytes_max && file->bytes.size + bytes.size > file->write_bytes_max) return PLINTH_NO_SPACE;
    if (bytes.size >= MEMORY_FILE_HOLE_BYTES) {
        file->hole_at = file->bytes.size;
        file->hole_bytes += bytes.size;
        return PLINTH_OK;
    }
    return buffer_append(&file->bytes, bytes.data, bytes.size) ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
}

static inline enum plinth_status memory_file_read(struct parquet_source *source, uint64_t offset, void *into,
                                                  size_t size, struct plinth_error *error) {
    struct memory_file *file = (struct memory_file *)((char *)source - offsetof(struct memory_file, source));
    (void)error;
    if (file->hole_bytes > 0 && offset + size > file->hole_at) {
        if (offset < file->hole_at + file->hole_bytes) return PLINTH_INTERNAL;
        offset -= file->hole_bytes;
    }
    if (offset > file->bytes.size || size > file->bytes.size - offset) return PLINTH_INTERNAL;
    if (size) memcpy(into, file->bytes.data + offset, size);
    return PLINTH_OK;
}

static inline void memory_file_init(struct memory_file *file) {
    *file = (struct memory_file){.sink = {memory_file_write}, .source = {.read = memory_file_read}};
}

/* To be called before reading, once the bytes are complete. */
static inline struct parquet_source *memory_file_source(struct memory_file *file, bool is_mapped) {
    file->source.size = file->bytes.size + file->hole_bytes;
    file->source.mapped = is_mapped ? file->bytes.data : NULL;
    return &file->source;
}

static inline void memory_file_deinit(struct memory_file *file) { buffer_deinit(&file->bytes); }

#endif
