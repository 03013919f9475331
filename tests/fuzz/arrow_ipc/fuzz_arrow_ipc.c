/* An Arrow stream or file of any bytes: batches that can be walked through and written again, or a status. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_ipc.h"

enum { MEMORY_BYTES_MAX = 1 << 20 };

static const struct arrow_reader_options OPTIONS = {.bytes_max = MEMORY_BYTES_MAX};

/* Reads every byte that rows [first, end) are said to have. */
static uint64_t touch(const struct column *column, uint32_t first, uint32_t end) {
    uint64_t sum = 0;
    uint32_t width = column_type_width(column->type);
    if (first < end && width && (uintptr_t)column->values % (width < 8 ? width : 8)) abort();
    for (uint32_t i = first; i < end; i++) {
        struct slice value = {0};
        if (column_is_null(column, i)) sum += 1000;
        if (column_kind_is_bytes(column->type.kind))
            value = column_bytes_at(column, i);
        else if (width)
            value = slice_of((const uint8_t *)column->values + (size_t)i * width, width);
        else if (column->type.kind == COLUMN_BOOL)
            sum += bitmap_get(column->values, i);
        for (size_t k = 0; k < value.size; k++) sum += value.data[k];
    }
    if (column->type.kind != COLUMN_LIST || first == end) return sum;
    return sum + touch(column->child, column->offsets[first], column->offsets[end]);
}

static uint64_t touch_batch(const struct batch *batch) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < batch->column_count; i++) {
        const struct column *column = &batch->columns[i];
        uint64_t nulls = 0;
        for (uint32_t row = 0; row < batch->rows; row++) nulls += column_is_null(column, row);
        if (nulls != column->null_count) abort();
        sum = sum * 31 + touch(column, 0, batch->rows);
    }
    return sum;
}

/* What was read can be written, and what was written is read as the same. */
static enum plinth_status check_again(void *context, const struct arrow_schema *schema, struct batch *batch,
                                      struct plinth_error *error) {
    const struct batch *wanted = context;
    (void)schema, (void)error;
    if (batch->rows != wanted->rows || batch->column_count != wanted->column_count) abort();
    if (touch_batch(batch) != touch_batch(wanted)) abort();
    return PLINTH_OK;
}

static enum plinth_status visit(void *context, const struct arrow_schema *schema, struct batch *batch,
                                struct plinth_error *error) {
    uint32_t *batches_left = context;
    struct buffer written = BUFFER_INIT;
    if ((*batches_left)-- == 0) return error_set(error, PLINTH_CANCELLED, "enough");
    if (batch->column_count != schema->field_count) abort();
    touch_batch(batch);
    enum arrow_compression compression = (batch->rows + batch->column_count) % 3;
    if (arrow_write_schema(&written, schema, error) || arrow_write_batch(&written, batch, compression, error) ||
        !arrow_write_end(&written) || arrow_read_all(buffer_slice(&written), NULL, check_again, batch, error))
        abort();
    buffer_deinit(&written);
    return PLINTH_OK;
}

/* In pieces, each in memory of its own. */
static void read_pieces(const uint8_t *data, size_t size, size_t piece_bytes) {
    struct plinth_error error;
    struct arrow_reader *reader;
    size_t at = 0, window = piece_bytes;
    uint32_t batches_left = 20;
    bool end = false;
    if (arrow_reader_create(&OPTIONS, &reader, &error)) abort();
    while (at < size && !end) {
        size_t have = window < size - at ? window : size - at, used;
        uint8_t *piece = malloc(have);
        struct batch *batch = NULL;
        if (!piece) abort();
        memcpy(piece, data + at, have);
        enum plinth_status st = arrow_reader_next(reader, slice_of(piece, have), &used, &batch, &end, &error);
        if (used > have || (st && (used || batch))) abort();
        if (batch) st = visit(&batches_left, arrow_reader_schema(reader), batch, &error);
        batch_unref(batch);
        free(piece);
        if (st || (used == 0 && have == size - at)) break;
        at += used;
        window = used ? piece_bytes : window * 2;
    }
    arrow_reader_destroy(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plinth_error error;
    uint32_t batches_left = 20;
    enum plinth_status st = arrow_read_all(slice_of(data, size), &OPTIONS, visit, &batches_left, &error);
    if (st != error.status || (st && !error.text[0])) abort();
    if (size && data[0] != 'A') read_pieces(data, size, 64);
    return 0;
}
