/* The file form, and whole streams and files in memory.
 *
 *   file = "ARROW1" 0 0 | stream with end marker | footer (a flatbuffer) | int32 footer bytes | "ARROW1"
 * The footer has the schema again and, for random access, where each dictionary batch and record batch lies. Reading
 * goes by the footer: dictionaries first. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_ipc_private.h"

/* ---- writing ---- */

struct arrow_file_writer {
    struct arrow_schema schema; /* a copy */
    struct arena arena;
    uint64_t offset;      /* bytes written so far */
    struct buffer blocks; /* BLOCK_BYTES for each record batch */
};

static bool copy_schema(struct arrow_file_writer *writer, const struct arrow_schema *schema) {
    struct arrow_field *fields = arena_zalloc(&writer->arena, schema->field_count * sizeof *fields);
    if (!fields) return false;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        fields[i] = schema->fields[i];
        fields[i].name = (const char *)arena_copy(&writer->arena, slice_of_string(schema->fields[i].name));
        if (!fields[i].name) return false;
    }
    writer->schema = (struct arrow_schema){fields, schema->field_count};
    return true;
}

void arrow_file_abort(struct arrow_file_writer *writer) {
    if (!writer) return;
    arena_deinit(&writer->arena);
    buffer_deinit(&writer->blocks);
    free(writer);
}

enum plinth_status arrow_file_begin(struct buffer *into, const struct arrow_schema *schema,
                                    struct arrow_file_writer **writer, struct plinth_error *error) {
    static const uint8_t head[FILE_HEAD_BYTES] = FILE_MAGIC;
    size_t start = into->size;
    error_clear(error);
    *writer = NULL;
    struct arrow_file_writer *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "Arrow file");
    arena_init(&made->arena);
    enum plinth_status st = PLINTH_OK;
    if (!copy_schema(made, schema) || !buffer_append(into, head, sizeof head))
        st = error_no_memory(error, "Arrow file");
    if (!st) st = arrow_write_schema(into, schema, error);
    if (st) {
        into->size = start;
        arrow_file_abort(made);
        return st;
    }
    made->offset = into->size - start;
    *writer = made;
    return PLINTH_OK;
}

enum plinth_status arrow_file_write(struct arrow_file_writer *writer, struct buffer *into, const struct batch *batch,
                                    enum arrow_compression compression, struct plinth_error *error) {
    uint64_t metadata, body;
    error_clear(error);
    if (!buffer_reserve(&writer->blocks, BLOCK_BYTES)) return error_no_memory(error, "Arrow file");
    enum plinth_status st = ipc_write_batch(into, batch, compression, &metadata, &body, error);
    if (st) return st;
    uint8_t *block = writer->blocks.data + writer->blocks.size;
    store_u64(block, writer->offset);
    store_u64(block + 8, metadata); /* int32 and padding */
    store_u64(block + 16, body);
    writer->blocks.size += BLOCK_BYTES;
    writer->offset += metadata + body;
    return PLINTH_OK;
}

static bool write_footer(const struct arrow_file_writer *writer, struct buffer *into) {
    static const struct flatbuffer_field fields[] = {{FOOTER_VERSION, 2, METADATA_V5},
                                                     {FOOTER_SCHEMA, 4, 0},
                                                     {FOOTER_DICTIONARIES, 4, 0},
                                                     {FOOTER_RECORD_BATCHES, 4, 0}};
    struct flatbuffer_writer footer;
    uint32_t count = (uint32_t)(writer->blocks.size / BLOCK_BYTES);
    flatbuffer_begin(&footer, into);
    uint32_t table = flatbuffer_write_table(&footer, fields, 4);
    ipc_schema_write(&footer, table, FOOTER_SCHEMA, &writer->schema);
    flatbuffer_write_vector_at(&footer, table, FOOTER_DICTIONARIES, 0, BLOCK_BYTES, 8);
    uint32_t blocks = flatbuffer_write_vector_at(&footer, table, FOOTER_RECORD_BATCHES, count, BLOCK_BYTES, 8);
    if (footer.is_out_of_memory) return false;
    if (count) memcpy(flatbuffer_at(&footer, blocks), writer->blocks.data, writer->blocks.size);
    uint32_t size = (uint32_t)(into->size - footer.start);
    return buffer_append_u32(into, size) && buffer_append(into, FILE_MAGIC, FILE_MAGIC_BYTES);
}

enum plinth_status arrow_file_end(struct arrow_file_writer *writer, struct buffer *into, struct plinth_error *error) {
    size_t start = into->size;
    error_clear(error);
    bool ok = arrow_write_end(into) && write_footer(writer, into);
    arrow_file_abort(writer);
    if (ok) return PLINTH_OK;
    into->size = start;
    return error_no_memory(error, "Arrow file");
}

/* ---- reading ---- */

struct visit {
    struct arrow_reader *reader;
    arrow_batch_visitor *visit;
    void *context;
    bool has_seen_batch;
    uint64_t block_bytes_left; /* of the file that no block has named */
};

static enum plinth_status visit_batch(struct visit *visit, struct batch *batch, struct plinth_error *error) {
    if (!batch) return PLINTH_OK;
    visit->has_seen_batch = true;
    enum plinth_status st = visit->visit(visit->context, arrow_reader_schema(visit->reader), batch, error);
    batch_unref(batch);
    return st;
}

/* A batch without rows, where there was none. */
static enum plinth_status visit_schema(struct visit *visit, struct plinth_error *error) {
    const struct arrow_schema *schema = arrow_reader_schema(visit->reader);
    struct batch *batch = batch_create(schema->field_count);
    bool ok = batch != NULL;
    for (uint32_t i = 0; i < schema->field_count && ok; i++)
        ok = column_make_nulls(&batch->arena, schema->fields[i].type, 0, &batch->columns[i]);
    if (ok) return visit_batch(visit, batch, error);
    batch_unref(batch);
    return error_no_memory(error, "Arrow batch");
}

static enum plinth_status read_stream(struct visit *visit, struct slice bytes, struct plinth_error *error) {
    size_t at = 0;
    bool is_end = false;
    while (at < bytes.size && !is_end) {
        size_t used;
        struct batch *batch;
        struct slice left = slice_of(bytes.data + at, bytes.size - at);
        enum plinth_status st = arrow_reader_next(visit->reader, left, &used, &batch, &is_end, error);
        if (!st && used == 0)
            st = error_set(error, PLINTH_INVALID_ARGUMENT, "the stream of %zu bytes ends inside this message",
                           bytes.size);
        if (st) {
            error_prefix(error, "Arrow message at byte %zu", at);
            return st;
        }
        st = visit_batch(visit, batch, error);
        if (st) return st;
        at += used;
    }
    if (!arrow_reader_schema(visit->reader))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an empty Arrow stream: no schema");
    if (at < bytes.size)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%zu bytes follow the end of the Arrow stream at byte %zu",
                         bytes.size - at, at);
    return PLINTH_OK;
}

/* Reads the message of a footer's block. */
static enum plinth_status read_block(struct visit *visit, struct slice bytes, const uint8_t *block, uint8_t header_type,
                                     struct plinth_error *error) {
    struct ipc_message message;
    struct batch *batch = NULL;
    bool is_complete;
    int64_t offset = (int64_t)load_u64(block), body = (int64_t)load_u64(block + 16);
    int32_t metadata = (int32_t)load_u32(block + 8);
    if (offset < FILE_HEAD_BYTES || metadata <= 0 || body < 0 || (uint64_t)offset > bytes.size ||
        (uint64_t)metadata > bytes.size - (uint64_t)offset ||
        (uint64_t)body > bytes.size - (uint64_t)offset - (uint64_t)metadata)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "a block at byte %lld with %d bytes of metadata and %lld of body lies outside the file",
                         (long long)offset, metadata, (long long)body);
    struct slice whole = slice_of(bytes.data + offset, (size_t)metadata + (size_t)body);
    if (whole.size > visit->block_bytes_left)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the footer's blocks overlap");
    visit->block_bytes_left -= whole.size;
    enum plinth_status st = ipc_message_read(whole, visit->reader->bytes_max, &message, &is_complete, error);
    if (!st && (!is_complete || message.is_end || message.metadata_bytes != (uint32_t)metadata ||
                message.body_bytes != (uint64_t)body))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "the footer tells another length of this message");
    if (!st && message.header_type != header_type)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "the footer tells another kind of message");
    if (!st) st = ipc_reader_message(visit->reader, &message, &batch, error);
    if (st) {
        error_prefix(error, "Arrow message at byte %lld", (long long)offset);
        return st;
    }
    return visit_batch(visit, batch, error);
}

static enum plinth_status read_file(struct visit *visit, struct slice bytes, struct plinth_error *error) {
    struct flatbuffer flatbuffer;
    uint64_t room = bytes.size - FILE_HEAD_BYTES; /* footer and tail */
    const uint8_t *end = bytes.data + bytes.size;
    if (bytes.size < FILE_HEAD_BYTES + FILE_TAIL_BYTES || memcmp(end - FILE_MAGIC_BYTES, FILE_MAGIC, FILE_MAGIC_BYTES))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow file of %zu bytes without a footer: cut short?",
                         bytes.size);
    uint32_t size = load_u32(end - FILE_TAIL_BYTES);
    if (size > room - FILE_TAIL_BYTES)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow file of %zu bytes with a footer of %u", bytes.size,
                         size);
    struct slice before = slice_of(bytes.data, bytes.size - FILE_TAIL_BYTES - size);
    struct flatbuffer_table footer = flatbuffer_open(&flatbuffer, slice_of(bytes.data + before.size, size));
    struct flatbuffer_vector dictionaries = flatbuffer_elements(footer, FOOTER_DICTIONARIES, BLOCK_BYTES);
    struct flatbuffer_vector batches = flatbuffer_elements(footer, FOOTER_RECORD_BATCHES, BLOCK_BYTES);
    if (flatbuffer.is_malformed)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the Arrow file's footer is malformed");
    visit->reader->is_file = true;
    visit->block_bytes_left = before.size;
    enum plinth_status st = ipc_reader_schema(visit->reader, flatbuffer_child(footer, FOOTER_SCHEMA), error);
    if (st) error_prefix(error, "the Arrow file's footer");
    for (uint32_t i = 0; i < dictionaries.count && !st; i++)
        st = read_block(visit, before, dictionaries.data + (size_t)i * BLOCK_BYTES, HEADER_DICTIONARY_BATCH, error);
    for (uint32_t i = 0; i < batches.count && !st; i++)
        st = read_block(visit, before, batches.data + (size_t)i * BLOCK_BYTES, HEADER_RECORD_BATCH, error);
    return st;
}

enum plinth_status arrow_read_all(struct slice bytes, const struct arrow_reader_options *options,
                                  arrow_batch_visitor *visit, void *context, struct plinth_error *error) {
    struct visit how = {.visit = visit, .context = context};
    enum plinth_status st = arrow_reader_create(options, &how.reader, error);
    if (st) return st;
    bool is_file = slice_starts_with(bytes, slice_of(FILE_MAGIC, FILE_MAGIC_BYTES));
    st = is_file ? read_file(&how, bytes, error) : read_stream(&how, bytes, error);
    if (!st && !how.has_seen_batch) st = visit_schema(&how, error);
    arrow_reader_destroy(how.reader);
    return st;
}
