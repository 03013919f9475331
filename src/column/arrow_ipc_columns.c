/* The nodes and buffers of a record batch -> columns.
 *
 * A RecordBatch lists, for all fields in order and each field before its child, a node (length, null count) and as many
 * buffers (offset and length in the body) as the field's layout has. A compressed buffer is an int64, the bytes it
 * becomes (-1: what follows is not compressed), and a frame. Everything that a column points to has been checked
 * when it leaves here: the sizes of buffers first, and their contents, when all are there, by column_check. */
#include "base/status.h"
#include "column/arrow_ipc_private.h"

enum { COMPRESSED_PREFIX_BYTES = 8, OFFSET_BYTES_MAX = 8 };

/* What buffers of size 0 point to; one offset of an empty column as well. */
static const uint64_t NOTHING[2];

enum plinth_status ipc_source_init(struct ipc_source *source, struct flatbuffer_table table, struct slice body,
                                   struct plinth_error *error) {
    int64_t rows = flatbuffer_i64(table, BATCH_LENGTH, 0);
    struct flatbuffer_table compression = flatbuffer_child(table, BATCH_COMPRESSION);
    source->nodes = flatbuffer_elements(table, BATCH_NODES, FIELD_NODE_BYTES);
    source->buffers = flatbuffer_elements(table, BATCH_BUFFERS, BUFFER_BYTES);
    source->body = body;
    source->compression = ARROW_UNCOMPRESSED;
    if (!flatbuffer_is_absent(compression)) {
        uint8_t codec = flatbuffer_u8(compression, COMPRESSION_CODEC, 0);
        if (codec > 1 || flatbuffer_u8(compression, COMPRESSION_METHOD, 0) != 0)
            return error_set(error, PLINTH_UNSUPPORTED, "compression %u of record batches is not known", codec);
        source->compression = codec ? ARROW_ZSTD : ARROW_LZ4_FRAME;
    }
    if (flatbuffer_is_absent(table) || table.in->is_malformed)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "malformed metadata (its offsets do not hold)");
    if (rows < 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "a record batch of %lld rows", (long long)rows);
    if (rows > BATCH_ROWS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "a record batch of %lld rows; at most %d", (long long)rows,
                         BATCH_ROWS_MAX);
    source->rows = (uint32_t)rows;
    return PLINTH_OK;
}

enum plinth_status ipc_source_finish(const struct ipc_source *source, struct plinth_error *error) {
    if (source->next_node != source->nodes.count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%u field nodes; the schema's columns have %u",
                         source->nodes.count, source->next_node);
    if (source->next_buffer != source->buffers.count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%u buffers; the schema's columns have %u",
                         source->buffers.count, source->next_buffer);
    return PLINTH_OK;
}

/* ---- memory ---- */

static enum plinth_status take(struct ipc_source *source, uint64_t size, struct plinth_error *error) {
    if (size > source->bytes_left)
        return error_set(error, PLINTH_TOO_LARGE,
                         "decoding takes more memory than the limit leaves (%llu of %llu bytes)",
                         (unsigned long long)size, (unsigned long long)source->bytes_left);
    source->bytes_left -= size;
    return PLINTH_OK;
}

static enum plinth_status alloc(struct ipc_source *source, uint64_t size, uint8_t **out, struct plinth_error *error) {
    *out = NULL;
    enum plinth_status st = take(source, size, error);
    if (st) return st;
    *out = arena_alloc(source->arena, size);
    return *out ? PLINTH_OK : error_no_memory(error, "Arrow batch");
}

/* ---- nodes and buffers ---- */

static enum plinth_status next_node(struct ipc_source *source, uint32_t *rows, uint64_t *null_count,
                                    struct plinth_error *error) {
    if (source->next_node >= source->nodes.count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the record batch has too few field nodes (%u)",
                         source->nodes.count);
    const uint8_t *node = source->nodes.data + (size_t)source->next_node++ * FIELD_NODE_BYTES;
    int64_t length = (int64_t)load_u64(node), nulls = (int64_t)load_u64(node + 8);
    if (length < 0 || nulls < 0 || nulls > length)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a field node of length %lld with %lld nulls",
                         (long long)length, (long long)nulls);
    if (length >= INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "a field node of length %lld; at most %d", (long long)length,
                         INT32_MAX - 1);
    *rows = (uint32_t)length;
    *null_count = (uint64_t)nulls;
    return PLINTH_OK;
}

/* The next buffer as it lies in the body. */
static enum plinth_status next_raw_buffer(struct ipc_source *source, const char *what, struct slice *out,
                                          struct plinth_error *error) {
    *out = slice_of(NOTHING, 0);
    if (source->next_buffer >= source->buffers.count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the record batch has too few buffers (%u)",
                         source->buffers.count);
    const uint8_t *buffer = source->buffers.data + (size_t)source->next_buffer++ * BUFFER_BYTES;
    int64_t offset = (int64_t)load_u64(buffer), length = (int64_t)load_u64(buffer + 8);
    if (offset < 0 || length < 0 || (uint64_t)offset > source->body.size ||
        (uint64_t)length > source->body.size - (uint64_t)offset)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "the %s buffer (offset %lld, length %lld) lies outside the body of %zu bytes", what,
                         (long long)offset, (long long)length, source->body.size);
    if (length > 0) *out = slice_of(source->body.data + offset, (size_t)length);
    return PLINTH_OK;
}

/* Replaces a compressed buffer with what it holds. */
static enum plinth_status decompress(struct ipc_source *source, const char *what, struct slice *bytes,
                                     struct plinth_error *error) {
    if (bytes->size < COMPRESSED_PREFIX_BYTES)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the compressed %s buffer has only %zu bytes", what,
                         bytes->size);
    int64_t size = (int64_t)load_u64(bytes->data);
    struct slice rest = slice_of(bytes->data + COMPRESSED_PREFIX_BYTES, bytes->size - COMPRESSED_PREFIX_BYTES);
    if (size == -1) {
        *bytes = rest;
        return PLINTH_OK;
    }
    if (size < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the compressed %s buffer names %lld bytes", what,
                         (long long)size);
    uint8_t *out;
    enum plinth_status st = alloc(source, (uint64_t)size, &out, error);
    if (!st) st = ipc_decompress(source->codec, source->compression, rest, out, (size_t)size, error);
    if (st) error_prefix(error, "the %s buffer", what);
    *bytes = slice_of(out, (size_t)size);
    return st;
}

/* The next buffer, with at least `needed` bytes, aligned to `alignment` (a copy if it is not). */
static enum plinth_status next_buffer(struct ipc_source *source, const char *what, uint64_t needed, uint32_t alignment,
                                      struct slice *out, struct plinth_error *error) {
    enum plinth_status st = next_raw_buffer(source, what, out, error);
    if (!st && out->size && source->compression) st = decompress(source, what, out, error);
    if (st) return st;
    if (out->size < needed)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the %s buffer has %zu bytes, not the %llu it needs", what,
                         out->size, (unsigned long long)needed);
    if ((uintptr_t)out->data % alignment == 0) return PLINTH_OK;
    uint8_t *copy;
    st = alloc(source, needed, &copy, error);
    if (st) return st;
    memcpy(copy, out->data, needed);
    *out = slice_of(copy, needed);
    return PLINTH_OK;
}

/* A node's validity: the buffer of a column without nulls may be missing and is not looked at. */
static enum plinth_status next_validity(struct ipc_source *source, uint32_t rows, uint64_t null_count,
                                        const uint8_t **validity, struct plinth_error *error) {
    struct slice bytes;
    *validity = NULL;
    if (null_count == 0) return next_raw_buffer(source, "validity", &bytes, error);
    enum plinth_status st = next_buffer(source, "validity", ((uint64_t)rows + 7) / 8, 1, &bytes, error);
    if (!st) *validity = bytes.data;
    return st;
}

/* ---- offsets ---- */

/* Offsets i * step of `rows` rows. */
static enum plinth_status make_offsets(struct ipc_source *source, uint32_t rows, uint32_t step,
                                       const uint32_t **offsets, struct plinth_error *error) {
    uint8_t *memory;
    if ((uint64_t)rows * step > INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "%u rows of %u are more than %d", rows, step, INT32_MAX);
    enum plinth_status st = alloc(source, ((uint64_t)rows + 1) * 4, &memory, error);
    if (st) return st;
    uint32_t *to = (uint32_t *)memory;
    for (uint32_t i = 0; i <= rows; i++) to[i] = i * step;
    *offsets = to;
    return PLINTH_OK;
}

/* 64-bit offsets as 32-bit ones, all of them less `*base`, the first of them (0 when it is a list's). */
static enum plinth_status narrow_offsets(struct ipc_source *source, struct slice bytes, uint32_t rows, bool is_list,
                                         uint64_t *base, const uint32_t **offsets, struct plinth_error *error) {
    uint8_t *memory;
    *base = is_list ? 0 : load_u64(bytes.data);
    enum plinth_status st = alloc(source, ((uint64_t)rows + 1) * 4, &memory, error);
    if (st) return st;
    uint32_t *to = (uint32_t *)memory;
    for (uint64_t i = 0; i <= rows; i++) {
        uint64_t offset = load_u64(bytes.data + 8 * i) - *base; /* a negative or smaller one becomes huge */
        if (offset > INT32_MAX)
            return error_set(error, (int64_t)offset < 0 ? PLINTH_INVALID_ARGUMENT : PLINTH_TOO_LARGE,
                             "row %llu has the offset %lld, from the first on", (unsigned long long)(i ? i - 1 : 0),
                             (long long)offset);
        to[i] = (uint32_t)offset;
    }
    *offsets = to;
    return PLINTH_OK;
}

/* The offsets buffer of a column of bytes or lists. A column without rows may have none. */
static enum plinth_status next_offsets(struct ipc_source *source, uint32_t rows, bool is_wide, bool is_list,
                                       uint64_t *base, const uint32_t **offsets, struct plinth_error *error) {
    uint32_t width = is_wide ? OFFSET_BYTES_MAX : 4;
    struct slice bytes;
    *base = 0;
    uint64_t needed = rows ? ((uint64_t)rows + 1) * width : 0;
    enum plinth_status st = next_buffer(source, "offsets", needed, is_wide ? 1 : 4, &bytes, error);
    if (st) return st;
    if (rows == 0)
        *offsets = (const uint32_t *)NOTHING;
    else if (is_wide)
        st = narrow_offsets(source, bytes, rows, is_list, base, offsets, error);
    else
        *offsets = (const uint32_t *)(const void *)bytes.data;
    return st;
}

/* ---- values, by layout ---- */

static enum plinth_status read_null(struct ipc_source *source, uint32_t rows, struct column *out,
                                    struct plinth_error *error) {
    enum plinth_status st = take(source, ((uint64_t)rows + 1) * 4 + rows / 8 + 1, error);
    if (st) return st;
    return column_make_nulls(source->arena, out->type, rows, out) ? PLINTH_OK : error_no_memory(error, "Arrow batch");
}

static enum plinth_status read_fixed(struct ipc_source *source, uint32_t rows, struct column *out,
                                     struct plinth_error *error) {
    uint32_t width = column_type_width(out->type);
    struct slice bytes;
    enum plinth_status st =
        width ? next_buffer(source, "values", (uint64_t)rows * width, width < 8 ? width : 8, &bytes, error)
              : next_buffer(source, "values", ((uint64_t)rows + 7) / 8, 1, &bytes, error);
    if (st) return st;
    out->values = bytes.data;
    return PLINTH_OK;
}

static enum plinth_status read_bytes(struct ipc_source *source, const struct ipc_field *field, uint32_t rows,
                                     struct column *out, uint64_t *bytes_size, struct plinth_error *error) {
    uint64_t base;
    struct slice bytes;
    enum plinth_status st =
        next_offsets(source, rows, field->layout == IPC_BYTES_64, false, &base, &out->offsets, error);
    if (!st) st = next_buffer(source, "data", 0, 1, &bytes, error);
    if (st) return st;
    if (base > bytes.size)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the first offset, %llu, lies behind the data of %zu bytes",
                         (unsigned long long)base, bytes.size);
    out->bytes = bytes.data + base;
    *bytes_size = bytes.size - base;
    return PLINTH_OK;
}

static enum plinth_status read_fixed_bytes(struct ipc_source *source, const struct ipc_field *field, uint32_t rows,
                                           struct column *out, uint64_t *bytes_size, struct plinth_error *error) {
    struct slice bytes;
    enum plinth_status st = next_buffer(source, "values", (uint64_t)rows * field->fixed_count, 1, &bytes, error);
    if (!st) st = make_offsets(source, rows, field->fixed_count, &out->offsets, error);
    if (st) return st;
    out->bytes = bytes.data;
    *bytes_size = bytes.size;
    return PLINTH_OK;
}

/* What of a column is known besides itself, for column_check. */
struct extent {
    uint32_t rows;
    uint64_t bytes_size; /* STRING, BYTES, and LIST of these */
    uint32_t child_rows; /* LIST */
    bool is_checked;     /* made of a dictionary */
};

static enum plinth_status read_column(struct ipc_source *source, const struct ipc_field *field, bool as_values,
                                      struct column *out, struct extent *extent, struct plinth_error *error);

static enum plinth_status read_list(struct ipc_source *source, const struct ipc_field *field, struct column *out,
                                    struct extent *extent, struct plinth_error *error) {
    uint64_t base;
    struct extent child_extent = {0};
    enum plinth_status st;
    if (field->layout == IPC_LIST_FIXED)
        st = make_offsets(source, extent->rows, field->fixed_count, &out->offsets, error);
    else
        st = next_offsets(source, extent->rows, field->layout == IPC_LIST_64, true, &base, &out->offsets, error);
    if (st) return st;
    struct column *child = arena_zalloc(source->arena, sizeof *child);
    if (!child) return error_no_memory(error, "Arrow batch");
    st = read_column(source, field->child, false, child, &child_extent, error);
    if (st) {
        error_prefix(error, "list elements");
        return st;
    }
    out->child = child;
    extent->bytes_size = child_extent.bytes_size;
    extent->child_rows = child_extent.rows;
    return PLINTH_OK;
}

/* ---- dictionaries ---- */

/* Memory that these rows of `from` take, about. */
static uint64_t gathered_bytes(const struct column *from, const uint32_t *rows, uint32_t count) {
    uint64_t width = column_type_width(from->type), elements = 0, bytes = 0;
    if (!from->offsets) return count * (width ? width : 1);
    const struct column *child = from->child;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = from->offsets[rows[i]], end = from->offsets[rows[i] + 1];
        elements += end - first;
        if (child && child->offsets) bytes += child->offsets[end] - child->offsets[first];
    }
    width = child ? column_type_width(child->type) : 1;
    return bytes + elements * (width ? width : 5) + count * 5ull;
}

/* Index i of the given kind; UINT64_MAX for a negative one. */
static uint64_t index_at(const uint8_t *values, uint8_t kind, uint32_t i) {
    switch (kind) {
    case COLUMN_INT8: return (uint64_t)(int64_t)(int8_t)values[i];
    case COLUMN_UINT8: return values[i];
    case COLUMN_INT16: return (uint64_t)(int64_t)(int16_t)load_u16(values + 2 * (size_t)i);
    case COLUMN_UINT16: return load_u16(values + 2 * (size_t)i);
    case COLUMN_INT32: return (uint64_t)(int64_t)(int32_t)load_u32(values + 4 * (size_t)i);
    case COLUMN_UINT32: return load_u32(values + 4 * (size_t)i);
    default: return load_u64(values + 8 * (size_t)i);
    }
}

static enum plinth_status read_indexes(const struct ipc_dictionary *dictionary, const struct ipc_field *field,
                                       const uint8_t *values, const uint8_t *validity, uint32_t rows, uint32_t *indexes,
                                       struct plinth_error *error) {
    for (uint32_t i = 0; i < rows; i++) {
        indexes[i] = dictionary->rows; /* the null behind the values */
        if (validity && !bitmap_get(validity, i)) continue;
        uint64_t index = index_at(values, field->index_kind, i);
        if (index >= dictionary->rows) {
            const char *about = dictionary->is_known ? "" : " (no dictionary batch came before)";
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "row %u has index %lld into dictionary %lld, which has %u values%s", i, (long long)index,
                             (long long)dictionary->id, dictionary->rows, about);
        }
        indexes[i] = (uint32_t)index;
    }
    return PLINTH_OK;
}

static enum plinth_status read_encoded(struct ipc_source *source, const struct ipc_field *field,
                                       const uint8_t *validity, struct column *out, struct extent *extent,
                                       struct plinth_error *error) {
    uint32_t rows = extent->rows;
    const struct ipc_dictionary *dictionary = &source->schema->dictionaries[field->dictionary];
    uint32_t width = column_type_width(column_type_of(field->index_kind));
    struct slice values;
    enum plinth_status st = next_buffer(source, "index", (uint64_t)rows * width, 1, &values, error);
    if (st) return st;
    buffer_clear(source->scratch);
    if (!buffer_reserve(source->scratch, rows * sizeof(uint32_t) + 1)) return error_no_memory(error, "Arrow batch");
    uint32_t *indexes = (uint32_t *)source->scratch->data;
    st = read_indexes(dictionary, field, values.data, validity, rows, indexes, error);
    if (st) return st;
    extent->is_checked = true;
    if (!dictionary->is_known || dictionary->rows == 0) { /* all null, as no index was out of range */
        st = take(source, rows * (column_type_width(field->type) + 5ull), error);
        if (st) return st;
        return column_make_nulls(source->arena, field->type, rows, out) ? PLINTH_OK
                                                                        : error_no_memory(error, "Arrow batch");
    }
    uint64_t bytes = gathered_bytes(&dictionary->column, indexes, rows);
    st = take(source, bytes, error);
    if (!st && bytes > INT32_MAX) st = error_set(error, PLINTH_TOO_LARGE, "decoding its dictionary takes above 2 GiB");
    if (st) return st;
    if (!column_gather(source->arena, &dictionary->column, indexes, rows, out))
        return error_no_memory(error, "Arrow batch");
    if (out->null_count == 0) out->validity = NULL;
    if (column_kind_is_bytes(out->type.kind)) extent->bytes_size = out->offsets[rows];
    return PLINTH_OK;
}

/* ---- a column ---- */

static enum plinth_status read_values(struct ipc_source *source, const struct ipc_field *field, struct column *out,
                                      struct extent *extent, struct plinth_error *error) {
    switch (field->layout) {
    case IPC_BYTES_32:
    case IPC_BYTES_64: return read_bytes(source, field, extent->rows, out, &extent->bytes_size, error);
    case IPC_BYTES_FIXED: return read_fixed_bytes(source, field, extent->rows, out, &extent->bytes_size, error);
    case IPC_LIST_32:
    case IPC_LIST_64:
    case IPC_LIST_FIXED: return read_list(source, field, out, extent, error);
    default: return read_fixed(source, extent->rows, out, error);
    }
}

static enum plinth_status read_column(struct ipc_source *source, const struct ipc_field *field, bool as_values,
                                      struct column *out, struct extent *extent, struct plinth_error *error) {
    bool is_encoded = field->is_dictionary && !as_values;
    const uint8_t *validity = NULL;
    uint64_t null_count = 0;
    enum plinth_status st = next_node(source, &extent->rows, &null_count, error);
    if (st) return st;
    *out = (struct column){.type = field->type};
    if (field->layout == IPC_NULL && !is_encoded) return read_null(source, extent->rows, out, error);
    st = next_validity(source, extent->rows, null_count, &validity, error);
    if (st) return st;
    if (is_encoded) return read_encoded(source, field, validity, out, extent, error);
    out->validity = validity;
    out->null_count = null_count;
    return read_values(source, field, out, extent, error);
}

enum plinth_status ipc_source_column(struct ipc_source *source, const struct ipc_field *field, bool as_values,
                                     struct column *out, struct plinth_error *error) {
    struct extent extent = {0};
    enum plinth_status st = read_column(source, field, as_values, out, &extent, error);
    if (!st && extent.rows != source->rows)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "%u values in a record batch of %u rows", extent.rows,
                       source->rows);
    if (!st && !extent.is_checked) st = column_check(out, extent.rows, extent.bytes_size, extent.child_rows, error);
    return st ? ipc_error_in_column(st, field->name, error) : PLINTH_OK;
}
