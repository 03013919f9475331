#include "service/changes_encode.h"

#include "base/status.h"
#include "service/encode.h"
#include "service/position.h"
#include "service/row_value.h"

/* Field numbers of change_feed.proto. */
enum { RESPONSE_POSITION = 1, RESPONSE_CHANGES = 2, RESPONSE_INITIAL = 3 };
enum { CHANGE_POSITION = 1, CHANGE_TIME_US = 2, CHANGE_KEYS = 3, CHANGE_ROWS_OF = 4, CHANGE_CONTINUES = 5 };
enum {
    KEY_SPACE = 1,
    KEY_KIND = 2,
    KEY_KEY = 3,
    KEY_VALUE = 4,
    KEY_INDEXES = 5,
    KEY_EXISTED = 6,
    KEY_PREVIOUS = 7,
    KEY_UPPER = 8,
    KEY_EXPIRES = 9,
};
enum { ROWS_TABLE = 1, ROWS_DELETED = 2, ROWS_ARROW = 3, ROWS_VALUES = 4, ROWS_PREVIOUS_ARROW = 5, ROWS_PREVIOUS = 6 };
enum { KIND_SET = 1, KIND_DELETE = 2, KIND_DELETE_RANGE = 3 };
enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

void changes_scratch_deinit(struct changes_scratch *scratch) {
    buffer_deinit(&scratch->change);
    buffer_deinit(&scratch->part);
    buffer_deinit(&scratch->inner);
}

/* ---- the wire ---- */

static bool put_bytes(struct buffer *into, unsigned field, struct slice bytes) {
    if (!buffer_reserve(into, encoded_bytes_size(bytes.size) + 1)) return false;
    into->size += encode_bytes(into->data + into->size, field, bytes);
    return true;
}

/* A message, also an empty one. */
static bool put_message(struct buffer *into, unsigned field, struct slice message) {
    return buffer_append_u8(into, (uint8_t)(field << 3 | WIRE_BYTES)) && buffer_append_string(into, message);
}

static bool put_number(struct buffer *into, unsigned field, uint64_t number) {
    return !number ||
           (buffer_append_u8(into, (uint8_t)(field << 3 | WIRE_VARINT)) && buffer_append_varint(into, number));
}

static bool put_position(struct buffer *into, unsigned field, struct plinth_position position) {
    if (!buffer_reserve(into, ENCODED_POSITION_BYTES_MAX)) return false;
    into->size += encode_position(into->data + into->size, field, position);
    return true;
}

/* Space and Table: both are a database (1) and a name (2). */
static bool put_names(struct buffer *into, unsigned field, const char *database, const char *name,
                      struct buffer *inner) {
    buffer_clear(inner);
    return put_bytes(inner, 1, slice_of_string(database)) && put_bytes(inner, 2, slice_of_string(name)) &&
           put_message(into, field, buffer_slice(inner));
}

bool changes_encode_position(struct buffer *message, struct plinth_position position) {
    return put_position(message, RESPONSE_POSITION, position);
}

bool changes_encode_initial(struct buffer *message) { return put_number(message, RESPONSE_INITIAL, 1); }

/* ---- keys ---- */

static struct slice slice_from(struct plinth_slice slice) { return slice_of(slice.data, slice.size); }

static bool put_indexes(struct buffer *into, const struct plinth_operation *operation, struct buffer *inner) {
    bool ok = true;
    for (size_t i = 0; ok && i < operation->index_count; i++) {
        buffer_clear(inner);
        ok = put_bytes(inner, 1, slice_from(operation->indexes[i].name)) &&
             put_bytes(inner, 2, slice_from(operation->indexes[i].value)) &&
             put_message(into, KEY_INDEXES, buffer_slice(inner));
    }
    return ok;
}

static unsigned kind_of(enum plinth_operation_kind kind) {
    if (kind == PLINTH_DELETE_RANGE) return KIND_DELETE_RANGE;
    return kind == PLINTH_SET ? KIND_SET : KIND_DELETE;
}

static bool put_key(struct buffer *change, const struct plinth_feed_operation *fed, struct changes_scratch *scratch) {
    const struct plinth_operation *operation = &fed->operation;
    struct buffer *part = &scratch->part;
    buffer_clear(part);
    return put_names(part, KEY_SPACE, fed->database, fed->table, &scratch->inner) &&
           put_number(part, KEY_KIND, kind_of(operation->kind)) &&
           put_bytes(part, KEY_KEY, slice_from(operation->key)) &&
           put_bytes(part, KEY_VALUE, slice_from(operation->value)) && put_indexes(part, operation, &scratch->inner) &&
           put_number(part, KEY_EXISTED, fed->existed) && put_bytes(part, KEY_PREVIOUS, slice_from(fed->previous)) &&
           put_bytes(part, KEY_UPPER, slice_from(operation->upper)) &&
           put_number(part, KEY_EXPIRES, operation->expires_at_us) &&
           put_message(change, CHANGE_KEYS, buffer_slice(part));
}

/* ---- rows ---- */

static enum plinth_status put_batch(struct buffer *part, unsigned arrow_field, unsigned values_field,
                                    const struct arrow_schema *schema, struct batch *batch, uint32_t first,
                                    uint32_t count, const struct changes_format *format, struct buffer *inner,
                                    struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    bool ok = true;
    buffer_clear(inner);
    if (format->values) {
        ok = row_value_encode(inner, schema, batch, first, count);
    } else {
        bool whole = count == batch->rows;
        struct batch *piece = whole ? batch_ref(batch) : batch_slice(batch, first, count);
        st = piece ? arrow_write_schema(inner, schema, error) : error_no_memory(error, "rows");
        if (!st) st = arrow_write_batch(inner, piece, format->compression, error);
        if (!st) ok = arrow_write_end(inner);
        batch_unref(piece);
    }
    if (!st && ok) ok = put_message(part, format->values ? values_field : arrow_field, buffer_slice(inner));
    return st || ok ? st : error_no_memory(error, "rows");
}

/* Rows of which the piece takes about CHANGES_PIECE_BYTES. */
static uint32_t rows_of_piece(const struct feed_rows *rows, uint32_t left, bool values) {
    uint64_t bytes = batch_bytes(rows->batch) + (rows->previous ? batch_bytes(rows->previous) : 0);
    if (values) bytes *= 3; /* tags and texts */
    uint64_t count = bytes > CHANGES_PIECE_BYTES ? (uint64_t)rows->batch->rows * CHANGES_PIECE_BYTES / bytes + 1 : left;
    return count < left ? (uint32_t)count : left;
}

static enum plinth_status put_rows(struct buffer *change, const struct feed_rows *rows,
                                   const struct changes_format *format, struct changes_progress *progress,
                                   struct changes_scratch *scratch, struct plinth_error *error) {
    struct buffer *part = &scratch->part;
    uint32_t first = progress->rows, count = rows_of_piece(rows, rows->batch->rows - first, format->values);
    buffer_clear(part);
    if (!put_names(part, ROWS_TABLE, rows->database, rows->table, &scratch->inner) ||
        !put_number(part, ROWS_DELETED, rows->deleted))
        return error_no_memory(error, "rows");
    enum plinth_status st = put_batch(part, ROWS_ARROW, ROWS_VALUES, &rows->schema, rows->batch, first, count, format,
                                      &scratch->inner, error);
    if (!st && rows->previous)
        st = put_batch(part, ROWS_PREVIOUS_ARROW, ROWS_PREVIOUS, &rows->previous_schema, rows->previous, first, count,
                       format, &scratch->inner, error);
    progress->rows += count;
    if (!st && !put_message(change, CHANGE_ROWS_OF, buffer_slice(part))) st = error_no_memory(error, "rows");
    return st;
}

/* ---- changes ---- */

enum plinth_status changes_encode(struct buffer *message, const struct feed_item *item,
                                  const struct changes_format *format, struct changes_progress *progress, bool *done,
                                  struct changes_scratch *scratch, struct plinth_error *error) {
    struct buffer *change = &scratch->change;
    enum plinth_status st = PLINTH_OK;
    buffer_clear(change);
    bool ok = (!position_given(item->position) || put_position(change, CHANGE_POSITION, item->position)) &&
              put_number(change, CHANGE_TIME_US, item->time_us);
    while (ok && progress->operations < item->operation_count && change->size < CHANGES_PIECE_BYTES)
        ok = put_key(change, &item->operations[progress->operations++], scratch);
    bool keys_done = progress->operations == item->operation_count;
    if (ok && keys_done && item->rows && change->size < CHANGES_PIECE_BYTES)
        st = put_rows(change, item->rows, format, progress, scratch, error);
    *done = keys_done && (!item->rows || progress->rows == item->rows->batch->rows);
    ok = ok && put_number(change, CHANGE_CONTINUES, !*done || !item->last) &&
         put_message(message, RESPONSE_CHANGES, buffer_slice(change));
    return st || ok ? st : error_no_memory(error, "changes");
}
