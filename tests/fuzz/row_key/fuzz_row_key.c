/* Row keys, columns and values as text from any bytes: what decodes encodes to the same bytes again, and what is read
 * from text formats to text that reads as the same value.
 *
 * Byte 0 says what is decoded: a primary key, an index key, a column, or text; of a key, byte 1 says of how many parts,
 * of a column of how many rows; then a byte a part for its type; the rest is decoded. */
#include <stdlib.h>

#include "column/column_builder.h"
#include "column/row_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

enum { PARTS_MAX = 4 };

/* A type from a byte: the kind, and its parameters from the high bits. */
static struct column_type type_of(uint8_t byte) {
    struct column_type type = {.kind = (uint8_t)(COLUMN_BOOL + byte % (COLUMN_KIND_COUNT - COLUMN_BOOL))};
    unsigned high = byte / (COLUMN_KIND_COUNT - COLUMN_BOOL);
    if (type.kind == COLUMN_LIST) {
        static const uint8_t elements[] = {COLUMN_INT16, COLUMN_STRING, COLUMN_BOOL, COLUMN_UUID};
        type.element = elements[high % 4];
    }
    if (type.kind == COLUMN_TIMESTAMP) {
        type.unit = high % 4;
        type.zoned = high / 4 % 2;
    }
    if (type.kind == COLUMN_DECIMAL) {
        type.precision = high % 2 ? 38 : 7;
        type.scale = high / 2 % 2 ? type.precision : 2;
    }
    return type;
}

static void check_key(struct slice bytes, const struct column_type *types, uint32_t part_count,
                      enum row_key_form form) {
    struct column_builder builders[PARTS_MAX], *into[PARTS_MAX];
    for (uint32_t i = 0; i < part_count; i++) {
        into[i] = &builders[i];
        require(column_builder_init(into[i], types[i]));
    }
    struct reader reader = reader_of(bytes);
    bool decoded = row_key_decode(&reader, into, part_count, form);
    if (decoded) {
        struct column columns[PARTS_MAX];
        const struct column *parts[PARTS_MAX];
        struct buffer again = BUFFER_INIT;
        for (uint32_t i = 0; i < part_count; i++) {
            columns[i] = column_builder_view(into[i]);
            parts[i] = &columns[i];
        }
        size_t used = (size_t)(reader.at - bytes.data);
        require(row_key_append(&again, parts, part_count, form, 0));
        require(slice_equal(buffer_slice(&again), slice_of(bytes.data, used)));
        buffer_deinit(&again);
        if (form == ROW_KEY_INDEX) {
            reader = reader_of(bytes);
            require(row_key_skip(&reader, types, part_count) && reader.at == bytes.data + used);
        }
    }
    for (uint32_t i = 0; i < part_count; i++) {
        require(builders[i].rows == decoded);
        column_builder_deinit(into[i]);
    }
}

static void check_column(struct slice bytes, struct column_type type, uint32_t rows) {
    struct arena arena;
    struct column column;
    struct reader reader = reader_of(bytes);
    arena_init(&arena);
    if (column_decode(&reader, &arena, type, rows, &column, NULL) == PLINTH_OK) {
        struct buffer again = BUFFER_INIT;
        require(column_encode(&again, &column, 0, rows));
        require(slice_equal(buffer_slice(&again), slice_of(bytes.data, (size_t)(reader.at - bytes.data))));
        buffer_clear(&again);
        for (uint32_t i = 0; i < rows; i++) require(column_format(&again, &column, i));
        buffer_deinit(&again);
    }
    arena_deinit(&arena);
}

static void check_text(struct slice text, struct column_type type) {
    struct column_builder builder, again_builder;
    struct buffer formatted = BUFFER_INIT, again = BUFFER_INIT;
    require(column_builder_init(&builder, type) && column_builder_init(&again_builder, type));
    if (column_builder_text(&builder, text, NULL) == PLINTH_OK) {
        struct column column = column_builder_view(&builder);
        require(column_format(&formatted, &column, 0));
        require(column_builder_text(&again_builder, buffer_slice(&formatted), NULL) == PLINTH_OK);
        column = column_builder_view(&again_builder);
        require(column_format(&again, &column, 0));
        require(slice_equal(buffer_slice(&formatted), buffer_slice(&again)));
    } else {
        require(builder.rows == 0 && (!builder.child || builder.child->rows == 0));
    }
    buffer_deinit(&formatted);
    buffer_deinit(&again);
    column_builder_deinit(&builder);
    column_builder_deinit(&again_builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 + PARTS_MAX) return 0;
    struct column_type types[PARTS_MAX];
    for (unsigned i = 0; i < PARTS_MAX; i++) types[i] = type_of(data[2 + i]);
    struct slice bytes = slice_of(data + 2 + PARTS_MAX, size - 2 - PARTS_MAX);
    switch (data[0] % 4) {
    case 0: check_key(bytes, types, 1 + data[1] % PARTS_MAX, ROW_KEY_PRIMARY); break;
    case 1: check_key(bytes, types, 1 + data[1] % PARTS_MAX, ROW_KEY_INDEX); break;
    case 2: check_column(bytes, types[0], data[1]); break;
    default: check_text(bytes, types[0]); break;
    }
    return 0;
}
