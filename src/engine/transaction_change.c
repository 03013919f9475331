#include "engine/transaction_change.h"

bool transaction_part_encode(struct buffer *into, const struct transaction_part *part) {
    return buffer_append_u8(into, part->in_unit) &&
           (!part->in_unit || (buffer_append_u64(into, part->unit) && buffer_append_varint(into, part->offset)));
}

bool transaction_part_decode(enum change_kind kind, struct slice payload, struct transaction_part *part) {
    struct reader from = reader_of(payload);
    uint8_t parts = reader_u8(&from);
    *part = (struct transaction_part){.in_unit = parts == 1};
    if (part->in_unit) {
        part->unit = reader_u64(&from);
        part->offset = reader_varint(&from);
    }
    part->bytes = slice_of(from.at, reader_left(&from));
    bool fits = part->in_unit || kind == CHANGE_TRANSACTION;
    return !from.failed && parts <= 1 && fits && part->bytes.size;
}

struct rows_change transaction_part_in_unit(const struct transaction_part *part, bool last) {
    return (struct rows_change){.operation = TRANSACTION_IN_UNIT,
                                .in_unit = true,
                                .last = last,
                                .unit = part->unit,
                                .first_ordinal = part->offset,
                                .rows = (uint32_t)part->bytes.size};
}

void row_reads_deinit(struct row_reads *reads) {
    buffer_deinit(&reads->keys);
    buffer_deinit(&reads->ranges);
    *reads = (struct row_reads){0};
}

bool row_reads_key(struct row_reads *reads, struct slice key) {
    if (!buffer_append_string(&reads->keys, key)) return false;
    reads->key_count++;
    return true;
}

bool row_reads_range(struct row_reads *reads, struct slice lower, struct slice upper) {
    if (!buffer_append_string(&reads->ranges, lower) || !buffer_append_string(&reads->ranges, upper)) return false;
    reads->range_count++;
    return true;
}

bool row_reads_encode(struct buffer *into, const struct row_reads *reads) {
    return buffer_append_varint(into, reads->table.tenant) && buffer_append_varint(into, reads->table.database) &&
           buffer_append_varint(into, reads->table.table) && buffer_append_varint(into, reads->key_count) &&
           buffer_append(into, reads->keys.data, reads->keys.size) && buffer_append_varint(into, reads->range_count) &&
           buffer_append(into, reads->ranges.data, reads->ranges.size);
}

static struct slice skip_strings(struct reader *from, uint64_t count) {
    const uint8_t *start = from->at;
    for (uint64_t i = 0; i < count && !from->failed; i++) reader_string(from);
    return from->failed ? slice_of(NULL, 0) : slice_of(start, (size_t)(from->at - start));
}

bool row_reads_next(struct reader *tables, uint64_t *left, struct row_reads_view *view) {
    if (!*left || tables->failed) return false;
    --*left;
    *view = (struct row_reads_view){0};
    view->table.tenant = reader_varint32(tables);
    view->table.database = reader_varint32(tables);
    view->table.table = reader_varint32(tables);
    view->key_count = reader_varint(tables);
    view->keys = skip_strings(tables, view->key_count);
    view->range_count = reader_varint(tables);
    if (view->range_count > UINT64_MAX / 2) tables->failed = true;
    view->ranges = skip_strings(tables, tables->failed ? 0 : 2 * view->range_count);
    return !tables->failed;
}

/* Moves `from` behind the operations. */
static struct slice skip_operations(struct reader *from) {
    const uint8_t *start = from->at;
    struct operation_reader reader = operation_reader_of(slice_of(from->at, reader_left(from)));
    struct operation operation;
    while (operation_next(&reader, &operation)) continue;
    *from = reader.from;
    return from->failed ? slice_of(NULL, 0) : slice_of(start, (size_t)(from->at - start));
}

bool transaction_change_decode(struct slice body, struct transaction_change *change) {
    *change = (struct transaction_change){0};
    if (!condition_decode(body, &change->condition)) return false;
    struct reader from = reader_of(change->condition.operations);
    change->table_count = reader_varint(&from);
    const uint8_t *start = from.at;
    struct row_reads_view view;
    for (uint64_t left = change->table_count; row_reads_next(&from, &left, &view);) continue;
    if (from.failed) return false;
    change->tables = slice_of(start, (size_t)(from.at - start));
    change->condition.operations = skip_operations(&from);
    change->rows_count = reader_varint(&from);
    change->rows = skip_strings(&from, change->rows_count);
    return !from.failed && reader_left(&from) == 0;
}
