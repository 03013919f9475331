/* Messages of an Arrow stream.
 *
 *   message = 0xFFFFFFFF | int32 metadata bytes | metadata (a flatbuffer, padded to 8) | body
 *   end     = 0xFFFFFFFF | int32 0
 * Before Arrow 0.15 there was no 0xFFFFFFFF.
 *
 * A stream is a schema, then dictionary batches and record batches; a dictionary comes before the first batch that
 * uses it, a later one with the same id takes its place or, as a delta, continues it. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_ipc_private.h"

enum { METADATA_BYTES_MAX = 64 << 20, LEGACY_PREFIX_BYTES = 4 };
#define BYTES_MAX_DEFAULT (1ull << 30)

/* Arrow 0.17 compressed in another way, marked by this key of a message. */
static const char EXPERIMENTAL_COMPRESSION_KEY[] = "ARROW:experimental_compression";

/* ---- framing ---- */

/* The bytes of prefix and metadata; 0 when they are not all there to tell. */
static enum plinth_status read_prefix(struct slice bytes, uint64_t bytes_max, uint32_t *prefix, uint32_t *metadata,
                                      struct plinth_error *error) {
    *prefix = *metadata = 0;
    if (bytes.size < LEGACY_PREFIX_BYTES) return PLINTH_OK;
    uint32_t size = load_u32(bytes.data);
    bool is_marked = size == CONTINUATION_MARKER;
    if (is_marked && bytes.size < PREFIX_BYTES) return PLINTH_OK;
    if (is_marked) size = load_u32(bytes.data + 4);
    if (size > INT32_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a message with metadata of %d bytes: not an Arrow stream?",
                         (int32_t)size);
    if (size > METADATA_BYTES_MAX || size > bytes_max)
        return error_set(error, is_marked ? PLINTH_TOO_LARGE : PLINTH_INVALID_ARGUMENT,
                         "a message with metadata of %u bytes: not an Arrow stream?", size);
    *prefix = is_marked ? PREFIX_BYTES : LEGACY_PREFIX_BYTES;
    *metadata = size;
    return PLINTH_OK;
}

static bool has_experimental_compression(struct flatbuffer_table message) {
    struct flatbuffer_vector metadata = flatbuffer_elements(message, MESSAGE_METADATA, 4);
    for (uint32_t i = 0; i < metadata.count && !message.in->is_malformed; i++) {
        struct slice key = flatbuffer_string(flatbuffer_element_table(message.in, metadata, i), KEY_VALUE_KEY);
        if (slice_equal(key, slice_of_string(EXPERIMENTAL_COMPRESSION_KEY))) return true;
    }
    return false;
}

static enum plinth_status read_metadata(struct ipc_message *message, struct slice metadata, uint64_t bytes_max,
                                        struct plinth_error *error) {
    struct flatbuffer_table root = flatbuffer_open(&message->flatbuffer, metadata);
    int16_t version = flatbuffer_i16(root, MESSAGE_VERSION, 0);
    int64_t body = flatbuffer_i64(root, MESSAGE_BODY_LENGTH, 0);
    message->header_type = flatbuffer_u8(root, MESSAGE_HEADER_TYPE, 0);
    message->header = flatbuffer_child(root, MESSAGE_HEADER);
    bool is_experimental = version == METADATA_V4 && has_experimental_compression(root);
    if (message->flatbuffer.is_malformed)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a message with malformed metadata: not an Arrow stream?");
    if (version != METADATA_V4 && version != METADATA_V5)
        return error_set(error, PLINTH_UNSUPPORTED, "metadata version %d is not supported, only 4 and 5", version + 1);
    if (is_experimental)
        return error_set(error, PLINTH_UNSUPPORTED, "the experimental compression of Arrow 0.17 is not supported");
    if (body < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a message with a body of %lld bytes", (long long)body);
    if ((uint64_t)body > bytes_max)
        return error_set(error, PLINTH_TOO_LARGE, "a message with a body of %lld bytes; at most %llu", (long long)body,
                         (unsigned long long)bytes_max);
    message->body_bytes = (uint64_t)body;
    return PLINTH_OK;
}

enum plinth_status ipc_message_read(struct slice bytes, uint64_t bytes_max, struct ipc_message *message,
                                    bool *is_complete, struct plinth_error *error) {
    uint32_t prefix, metadata;
    *message = (struct ipc_message){0};
    *is_complete = false;
    enum plinth_status st = read_prefix(bytes, bytes_max, &prefix, &metadata, error);
    if (st || prefix == 0 || bytes.size - prefix < metadata) return st;
    message->metadata_bytes = prefix + metadata;
    message->is_end = metadata == 0;
    if (!message->is_end) st = read_metadata(message, slice_of(bytes.data + prefix, metadata), bytes_max, error);
    if (st || bytes.size - message->metadata_bytes < message->body_bytes) return st;
    message->body = slice_of(bytes.data + message->metadata_bytes, message->body_bytes);
    *is_complete = true;
    return PLINTH_OK;
}

/* ---- dictionaries ---- */

static uint64_t dictionaries_bytes(const struct ipc_schema *schema) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < schema->dictionary_count; i++)
        bytes += column_builder_bytes(&schema->dictionaries[i].builder);
    return bytes;
}

static struct ipc_source source_of(struct arrow_reader *reader, struct arena *arena) {
    struct ipc_source source = {.schema = &reader->schema, .codec = &reader->codec, .scratch = &reader->scratch};
    uint64_t kept = dictionaries_bytes(&reader->schema);
    source.arena = arena;
    source.bytes_left = reader->bytes_max > kept ? reader->bytes_max - kept : 0;
    return source;
}

static bool append_row(struct column_builder *to, const struct column *from, uint32_t row) {
    const uint8_t *values = from->values;
    if (column_is_null(from, row)) return column_builder_null(to);
    if (column_kind_is_bytes(from->type.kind)) return column_builder_bytes_value(to, column_bytes_at(from, row));
    switch (column_type_width(from->type)) {
    case 1: return column_builder_integer(to, values[row]);
    case 2: return column_builder_integer(to, load_u16(values + 2 * (size_t)row));
    case 4: return column_builder_integer(to, load_u32(values + 4 * (size_t)row)); /* floats, too: as their bits */
    case 8: return column_builder_integer(to, (int64_t)load_u64(values + 8 * (size_t)row));
    case 16: return column_builder_bytes_value(to, slice_of(values + 16 * (size_t)row, 16));
    default: break;
    }
    if (from->type.kind == COLUMN_BOOL) return column_builder_bool(to, bitmap_get(values, row));
    for (uint32_t i = from->offsets[row]; i < from->offsets[row + 1]; i++)
        if (!append_row(to->child, from->child, i)) return false;
    return column_builder_list(to);
}

static bool append_rows(struct column_builder *to, const struct column *from, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        if (!append_row(to, from, i)) return false;
    return column_builder_null(to);
}

/* Makes `values` the dictionary, or puts them behind those that it has, and a null behind all. */
static enum plinth_status dictionary_set(struct ipc_dictionary *dictionary, const struct column *values, uint32_t rows,
                                         bool is_delta, uint64_t bytes_left, struct plinth_error *error) {
    struct column_builder *builder = &dictionary->builder;
    uint32_t kept = is_delta ? dictionary->rows : 0;
    uint64_t bytes = column_bytes(values, rows) + (kept ? column_builder_bytes(builder) : 0);
    if (column_bytes(values, rows) > bytes_left || bytes > INT32_MAX || kept + rows > BATCH_ROWS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "%u values take %llu bytes", kept + rows, (unsigned long long)bytes);
    bool is_new = !builder->type.kind;
    dictionary->is_known = false; /* should it fail in the middle */
    dictionary->rows = 0;
    if (is_new && !column_builder_init(builder, dictionary->field->type)) {
        *builder = (struct column_builder){0};
        return error_no_memory(error, "Arrow dictionary");
    }
    column_builder_truncate(builder, kept);
    if (!append_rows(builder, values, rows)) return error_no_memory(error, "Arrow dictionary");
    dictionary->rows = kept + rows;
    dictionary->column = column_builder_view(builder);
    dictionary->is_known = true;
    return PLINTH_OK;
}

static enum plinth_status read_dictionary(struct arrow_reader *reader, const struct ipc_message *message,
                                          struct plinth_error *error) {
    int64_t id = flatbuffer_i64(message->header, DICTIONARY_BATCH_ID, 0);
    bool is_delta = flatbuffer_u8(message->header, DICTIONARY_BATCH_IS_DELTA, 0);
    struct ipc_dictionary *dictionary = ipc_schema_dictionary(&reader->schema, id);
    if (!dictionary)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "no column of the schema has dictionary %lld", (long long)id);
    if (reader->is_file && dictionary->is_known && !is_delta)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "dictionary %lld comes twice in a file", (long long)id);
    struct arena arena;
    struct column values;
    arena_init(&arena);
    struct ipc_source source = source_of(reader, &arena);
    enum plinth_status st =
        ipc_source_init(&source, flatbuffer_child(message->header, DICTIONARY_BATCH_DATA), message->body, error);
    if (!st) st = ipc_source_column(&source, dictionary->field, true, &values, error);
    if (!st) st = ipc_source_finish(&source, error);
    if (!st) st = dictionary_set(dictionary, &values, source.rows, is_delta, source.bytes_left, error);
    if (st) error_prefix(error, "dictionary %lld", (long long)id);
    arena_deinit(&arena);
    return st;
}

/* ---- record batches ---- */

static enum plinth_status read_batch(struct arrow_reader *reader, const struct ipc_message *message, struct batch **out,
                                     struct plinth_error *error) {
    uint32_t column_count = reader->schema.schema.field_count;
    struct batch *batch = batch_create(column_count);
    if (!batch) return error_no_memory(error, "Arrow batch");
    struct ipc_source source = source_of(reader, &batch->arena);
    enum plinth_status st = ipc_source_init(&source, message->header, message->body, error);
    for (uint32_t i = 0; i < column_count && !st; i++)
        st = ipc_source_column(&source, &reader->schema.fields[i], false, &batch->columns[i], error);
    if (!st) st = ipc_source_finish(&source, error);
    if (st) {
        batch_unref(batch);
        return st;
    }
    batch->rows = source.rows;
    *out = batch;
    return PLINTH_OK;
}

/* ---- the reader ---- */

enum plinth_status arrow_reader_create(const struct arrow_reader_options *options, struct arrow_reader **reader,
                                       struct plinth_error *error) {
    error_clear(error);
    *reader = calloc(1, sizeof **reader);
    if (!*reader) return error_no_memory(error, "Arrow reader");
    (*reader)->bytes_max = options && options->bytes_max ? options->bytes_max : BYTES_MAX_DEFAULT;
    arena_init(&(*reader)->arena);
    return PLINTH_OK;
}

void arrow_reader_destroy(struct arrow_reader *reader) {
    if (!reader) return;
    for (uint32_t i = 0; i < reader->schema.dictionary_count; i++)
        column_builder_deinit(&reader->schema.dictionaries[i].builder);
    arena_deinit(&reader->arena);
    ipc_codec_deinit(&reader->codec);
    buffer_deinit(&reader->scratch);
    free(reader);
}

const struct arrow_schema *arrow_reader_schema(const struct arrow_reader *reader) {
    return reader->has_schema ? &reader->schema.schema : NULL;
}

enum plinth_status ipc_reader_schema(struct arrow_reader *reader, struct flatbuffer_table table,
                                     struct plinth_error *error) {
    if (reader->has_schema) return error_set(error, PLINTH_INVALID_ARGUMENT, "a second schema in a stream");
    enum plinth_status st = ipc_schema_read(table, &reader->arena, &reader->schema, error);
    if (st) { /* what was read of it goes with the arena */
        reader->schema = (struct ipc_schema){0};
        arena_deinit(&reader->arena);
    }
    reader->has_schema = !st;
    return st;
}

enum plinth_status ipc_reader_message(struct arrow_reader *reader, const struct ipc_message *message,
                                      struct batch **batch, struct plinth_error *error) {
    *batch = NULL;
    if (message->header_type == HEADER_SCHEMA) return ipc_reader_schema(reader, message->header, error);
    if (message->header_type != HEADER_DICTIONARY_BATCH && message->header_type != HEADER_RECORD_BATCH)
        return error_set(error, PLINTH_UNSUPPORTED, "messages of type %u (tensors) are not supported",
                         message->header_type);
    if (!reader->has_schema) return error_set(error, PLINTH_INVALID_ARGUMENT, "a batch before the schema");
    if (message->header_type == HEADER_DICTIONARY_BATCH) return read_dictionary(reader, message, error);
    return read_batch(reader, message, batch, error);
}

enum plinth_status arrow_reader_next(struct arrow_reader *reader, struct slice bytes, size_t *used,
                                     struct batch **batch, bool *end, struct plinth_error *error) {
    struct ipc_message message;
    bool is_complete;
    error_clear(error);
    *used = 0;
    *batch = NULL;
    *end = false;
    enum plinth_status st = ipc_message_read(bytes, reader->bytes_max, &message, &is_complete, error);
    if (st || !is_complete) return st;
    if (message.is_end && !reader->has_schema)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the stream ends before its schema");
    if (!message.is_end) st = ipc_reader_message(reader, &message, batch, error);
    if (st) return st;
    *end = message.is_end;
    *used = message.metadata_bytes + message.body_bytes;
    return PLINTH_OK;
}
