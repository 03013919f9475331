/* A whole file of any bytes through the public library: arrays of any nesting come out that hold together, or an error;
 * and what came out can be written, and then says the same again. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plinth_parquet.h"

enum { MEMORY_BYTES_MAX = 1 << 20, BATCHES_MAX = 8, BATCH_ROWS = 1000, CHUNKS_MAX = 16 };

static uint64_t sum; /* so that what is read counts */

static void touch_bytes(const void *bytes, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) sum += ((const uint8_t *)bytes)[i];
}

/* Bytes a value of a fixed-width format; 0 for none. */
static uint64_t width_of(const char *format) {
    switch (format[0]) {
    case 'c':
    case 'C': return 1;
    case 's':
    case 'S':
    case 'e': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'l':
    case 'L':
    case 'g': return 8;
    case 'd': return strstr(format, ",256") ? 32 : 16;
    case 'w': return strtoull(format + 2, NULL, 10);
    case 't': return strcmp(format, "tdD") == 0 || strcmp(format, "ttm") == 0 ? 4 : 8;
    default: return 0;
    }
}

static void touch_offsets(const uint32_t *offsets, uint64_t length) {
    if (offsets[0] != 0 && length > 0) abort();
    for (uint64_t i = 0; i < length; i++)
        if (offsets[i + 1] < offsets[i]) abort();
}

/* Reads every byte that the array is said to have. */
static void touch(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    const char *format = schema->format;
    uint64_t length = (uint64_t)array->length, nulls = 0;
    if (array->length < 0 || array->offset || array->n_children != schema->n_children) abort();
    if (array->n_buffers > 0 && array->buffers[0]) {
        for (uint64_t i = 0; i < length; i++) nulls += !(((const uint8_t *)array->buffers[0])[i / 8] >> (i & 7) & 1);
        if (nulls != (uint64_t)array->null_count) abort();
    }
    if (format[0] == 'b') touch_bytes(array->buffers[1], (length + 7) / 8);
    if (format[0] == 'u' || format[0] == 'z') {
        touch_offsets(array->buffers[1], length);
        if (length > 0) touch_bytes(array->buffers[2], ((const uint32_t *)array->buffers[1])[length]);
    }
    if (format[0] != '+' && width_of(format)) touch_bytes(array->buffers[1], length * width_of(format));
    if (strcmp(format, "+l") == 0 || strcmp(format, "+m") == 0) {
        touch_offsets(array->buffers[1], length);
        if (((const uint32_t *)array->buffers[1])[length] != (uint64_t)array->children[0]->length) abort();
    } else if (strcmp(format, "+s") == 0) {
        for (int64_t i = 0; i < array->n_children; i++)
            if (array->children[i]->length != array->length) abort();
    }
    for (int64_t i = 0; i < array->n_children; i++) touch(schema->children[i], array->children[i]);
}

/* The chunks' levels, when they are told, are as many as the column has. */
static void touch_chunks(const struct plinth_parquet_file *file) {
    struct plinth_parquet_info info;
    struct plinth_error error;
    plinth_parquet_get_info(file, &info);
    for (uint32_t g = 0; g < info.row_group_count && g < CHUNKS_MAX; g++) {
        for (uint32_t c = 0; c < info.column_count && c < CHUNKS_MAX; c++) {
            struct plinth_parquet_column_info column;
            struct plinth_parquet_chunk_info chunk;
            if (plinth_parquet_get_column(file, c, &column, &error) ||
                plinth_parquet_get_chunk(file, g, c, &chunk, &error))
                abort();
            touch_bytes(chunk.min, chunk.min_size);
            touch_bytes(chunk.max, chunk.max_size);
            if (chunk.repetition_counts)
                touch_bytes(chunk.repetition_counts, (column.repetition_level_max + 1) * sizeof(uint64_t));
            if (chunk.definition_counts)
                touch_bytes(chunk.definition_counts, (column.definition_level_max + 1) * sizeof(uint64_t));
        }
    }
}

static enum plinth_status write_buffer(void *context, const void *bytes, size_t size, struct plinth_error *error) {
    (void)error;
    return buffer_append(context, bytes, size) ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
}

/* All batches of a file; they are written to `writer` when it is not null. */
static uint64_t read_stream(struct ArrowArrayStream *stream, const struct ArrowSchema *schema,
                            struct plinth_parquet_writer **writer) {
    struct plinth_error error;
    uint64_t rows = 0;
    for (int i = 0; i < BATCHES_MAX; i++) {
        struct ArrowArray batch;
        if (stream->get_next(stream, &batch)) {
            if (!stream->get_last_error(stream)) abort();
            break;
        }
        if (!batch.release) break;
        touch(schema, &batch);
        enum plinth_status st = *writer ? plinth_parquet_writer_write(*writer, &batch, &error) : PLINTH_OK;
        if (st) { /* keys that are null */
            plinth_parquet_writer_destroy(*writer);
            *writer = NULL;
        }
        rows += (uint64_t)batch.length;
        batch.release(&batch);
    }
    return rows;
}

static void check_again(struct slice bytes, uint64_t rows) {
    struct plinth_parquet_file *file;
    struct plinth_error error;
    struct plinth_parquet_info info;
    if (plinth_parquet_open_memory(bytes.data, bytes.size, NULL, &file, &error)) abort();
    plinth_parquet_get_info(file, &info);
    if (info.row_count != rows) abort();
    plinth_parquet_close(file);
}

static void read_file(const struct plinth_parquet_file *file, const struct plinth_parquet_selection *selection,
                      bool writes) {
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct plinth_error error;
    struct plinth_parquet_writer *writer = NULL;
    struct buffer written = BUFFER_INIT;
    if (plinth_parquet_read(file, selection, &stream, &error)) return;
    if (stream.get_schema(&stream, &schema)) abort();
    if (writes && plinth_parquet_writer_open_function(write_buffer, &written, &schema, NULL, &writer, &error))
        writer = NULL;
    uint64_t rows = read_stream(&stream, &schema, &writer);
    if (writer && plinth_parquet_writer_finish(writer, NULL, &error) == PLINTH_OK)
        check_again(buffer_slice(&written), rows);
    plinth_parquet_writer_destroy(writer);
    schema.release(&schema);
    stream.release(&stream);
    buffer_deinit(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plinth_parquet_open_options options = {.memory_bytes_max = MEMORY_BYTES_MAX};
    struct plinth_parquet_file *file;
    struct plinth_parquet_column_info column;
    struct plinth_error error;
    if (plinth_parquet_open_memory(data, size, &options, &file, &error)) return 0;
    read_file(file, &(struct plinth_parquet_selection){.batch_rows = BATCH_ROWS}, true);
    read_file(file, &(struct plinth_parquet_selection){.row_begin = 3, .row_end = 50, .batch_rows = 7}, false);
    static const struct plinth_parquet_rows ranges[] = {{1, 2}, {4, 5}, {5, 9}, {11, 12}, {14, 90}};
    static const uint8_t bitmap[] = {0x55, 0xaa, 0x0f, 0, 0, 0xff, 0xff, 0x10, 0x49, 0x92};
    read_file(file, &(struct plinth_parquet_selection){.ranges = ranges, .range_count = 5}, false);
    read_file(file, &(struct plinth_parquet_selection){.bitmap = bitmap, .bitmap_rows = 77, .batch_rows = 5}, false);
    touch_chunks(file);
    if (plinth_parquet_get_column(file, 0, &column, &error) == PLINTH_OK) {
        struct plinth_parquet_bounds bounds = {.column = column.path, .min = data, .max = data + size - 8};
        bounds.min_size = bounds.max_size = strcmp(column.physical_type, "INT32") == 0 ? 4 : 8;
        read_file(file, &(struct plinth_parquet_selection){.bounds = &bounds, .bounds_count = 1}, false);
    }
    plinth_parquet_close(file);
    return 0;
}
