/* Rows in the order of their keys, no key twice, in chunks that fit a log record. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/rows_plan.h"
#include "engine/rows_record.h"

enum { COLUMN_BYTES_EXTRA = 32 }; /* of a column in memory besides its rows' bytes: its id, the last offset, rounding */

/* ---- sizes in the log ---- */

static void add_lengths(const uint32_t *offsets, uint32_t rows, uint32_t *sizes) {
    for (uint32_t i = 0; i < rows; i++) sizes[i] += offsets[i + 1] - offsets[i];
}

static void add_list_bytes(const struct column *column, uint32_t rows, uint32_t *sizes) {
    const struct column *child = column->child;
    uint32_t width = column_type_width(child->type), element = width ? width + 1 : 1; /* and a bit for null */
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t first = column->offsets[i], end = column->offsets[i + 1];
        uint64_t bytes = (uint64_t)(end - first) * (element + (column_kind_is_bytes(child->type.kind) ? 4 : 0));
        if (column_kind_is_bytes(child->type.kind)) bytes += child->offsets[end] - child->offsets[first];
        uint64_t total = sizes[i] + bytes; /* anything over a record's limit is alike */
        sizes[i] = total < UINT32_MAX / 2 ? (uint32_t)total : UINT32_MAX / 2;
    }
}

static enum plinth_status measure(struct rows_plan *plan, struct plinth_error *error) {
    for (uint32_t c = 0; c < plan->column_count; c++) {
        const struct column *column = &plan->columns[c];
        uint32_t width = column_type_width(column->type);
        bool fixed = width || column->type.kind == COLUMN_BOOL;
        if (column->null_count) plan->fixed_bits++;
        plan->fixed_bits += width ? 8 * width : fixed ? 1 : 32;
        if (fixed) continue;
        if (!plan->sizes) plan->sizes = arena_zalloc(&plan->arena, ((uint64_t)plan->rows + 1) * sizeof *plan->sizes);
        if (!plan->sizes) return error_no_memory(error, "rows");
        if (column->type.kind == COLUMN_LIST)
            add_list_bytes(column, plan->rows, plan->sizes);
        else
            add_lengths(column->offsets, plan->rows, plan->sizes);
    }
    return PLINTH_OK;
}

/* Bytes of one chunk's payload that rows may fill. */
static uint64_t chunk_room(const struct rows_plan *plan) {
    uint64_t overhead = ROWS_CHANGE_BYTES_MAX + (uint64_t)plan->column_count * ROWS_COLUMN_BYTES_MAX;
    return plan->record_bytes_max > 2 * overhead ? plan->record_bytes_max - overhead : overhead;
}

static uint64_t row_bits(const struct rows_plan *plan, uint32_t row) {
    return plan->fixed_bits + (plan->sizes ? 8ull * plan->sizes[row] : 0);
}

static enum plinth_status reject_large(struct rows_plan *plan, struct plinth_error *error) {
    uint64_t room = chunk_room(plan);
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; plan->sizes && !st && row < plan->rows; row++)
        if (row_bits(plan, row) > 8 * room)
            st = rows_reject(plan, row, PLINTH_TOO_LARGE, error,
                             "the row takes %llu bytes in the log; at most %llu are allowed",
                             (unsigned long long)(row_bits(plan, row) / 8), (unsigned long long)room);
    return st;
}

/* ---- order ---- */

static const struct column *column_by_id(const struct rows_plan *plan, uint32_t id) {
    for (uint32_t i = 0; i < plan->column_count; i++)
        if (plan->column_ids[i] == id) return &plan->columns[i];
    return NULL;
}

static enum plinth_status encode_keys(struct rows_plan *plan, struct row_keys *keys, struct plinth_error *error) {
    const struct table_schema *schema = plan->schema;
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++) parts[i] = column_by_id(plan, schema->key[i]);
    if (!row_keys_encode(&plan->arena, parts, schema->key_count, ROW_KEY_PRIMARY, plan->rows, keys))
        return error_no_memory(error, "keys of rows");
    enum plinth_status st = PLINTH_OK;
    if (keys->offsets[plan->rows] <= PLINTH_KEY_BYTES_MAX) return st;
    for (uint32_t row = 0; !st && row < plan->rows; row++) {
        uint32_t size = keys->offsets[row + 1] - keys->offsets[row];
        if (size > PLINTH_KEY_BYTES_MAX)
            st = rows_reject(plan, row, PLINTH_TOO_LARGE, error,
                             "the primary key (column \"%s\"%s) takes %u bytes; at most %d are allowed",
                             schema->columns[table_schema_find_id(schema, schema->key[0])].name,
                             schema->key_count > 1 ? " and others" : "", size, PLINTH_KEY_BYTES_MAX);
    }
    return st;
}

/* Takes rows out of plan->order that were rejected or have the key of the row behind them. `prefixes` are of the rows
 * in order. */
static void collapse(struct rows_plan *plan, const struct row_keys *keys, const uint64_t *prefixes) {
    bool rejects = plan->result->rows_rejected != 0;
    uint64_t last = 0;
    plan->count = 0;
    for (uint32_t i = 0; i < plan->rows; i++) {
        uint32_t row = plan->order[i];
        if (rejects && bitmap_get(plan->rejected, row)) continue;
        bool same = plan->count && prefixes[i] == last &&
                    slice_equal(row_keys_at(keys, plan->order[plan->count - 1]), row_keys_at(keys, row));
        if (same) plan->count--; /* rows with equal keys come in the batch's order */
        plan->order[plan->count++] = row;
        last = prefixes[i];
    }
}

static enum plinth_status sort_by_key(struct rows_plan *plan, struct plinth_error *error) {
    struct row_keys keys;
    uint64_t *prefixes = arena_alloc(&plan->arena, ((uint64_t)plan->rows + 1) * sizeof *prefixes);
    if (!prefixes) return error_no_memory(error, "rows");
    enum plinth_status st = encode_keys(plan, &keys, error);
    if (st) return st;
    if (!row_keys_sort(&keys, plan->rows, plan->order, prefixes)) return error_no_memory(error, "rows");
    collapse(plan, &keys, prefixes);
    return PLINTH_OK;
}

static void keep_arrival(struct rows_plan *plan) {
    for (uint32_t row = 0; row < plan->rows; row++)
        if (!bitmap_get(plan->rejected, row)) plan->order[plan->count++] = row;
}

/* ---- chunks ---- */

/* Chunks of about the same size: as many as are needed, and one more when single rows are large. The cut depends on the
 * rows alone, so that a retry has the same chunks. */
static enum plinth_status cut_chunks(struct rows_plan *plan, struct plinth_error *error) {
    uint64_t total = 0, room = 8 * chunk_room(plan);
    for (uint32_t i = 0; i < plan->count; i++) total += row_bits(plan, plan->order[i]);
    uint64_t wanted = total / ((total + room - 1) / room) + 1;
    uint64_t chunks_max = 2 * (total / wanted) + plan->count / ROW_BLOCK_ROWS_MAX + 2;
    plan->chunks = arena_alloc(&plan->arena, chunks_max * sizeof *plan->chunks);
    if (!plan->chunks) return error_no_memory(error, "rows");
    struct rows_chunk chunk = {0};
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t bits = row_bits(plan, plan->order[i]);
        if (chunk.count && (chunk.bits >= wanted || chunk.bits + bits > room || chunk.count == ROW_BLOCK_ROWS_MAX)) {
            plan->chunks[plan->chunk_count++] = chunk;
            chunk = (struct rows_chunk){.first = i};
        }
        chunk.count++;
        chunk.bits += bits;
    }
    plan->chunks[plan->chunk_count++] = chunk;
    plan->cut = (uint32_t)hash_stable(plan->chunks, plan->chunk_count * sizeof *plan->chunks);
    if (plan->chunk_count <= PRODUCER_CHUNKS_MAX) return PLINTH_OK;
    return error_set(error, PLINTH_TOO_LARGE, "the batch takes %u log records; at most %d are allowed",
                     plan->chunk_count, PRODUCER_CHUNKS_MAX);
}

enum plinth_status rows_plan_sort(struct rows_plan *plan, struct plinth_error *error) {
    plan->order = arena_alloc(&plan->arena, ((uint64_t)plan->rows + 1) * sizeof *plan->order);
    if (!plan->order) return error_no_memory(error, "rows");
    enum plinth_status st = measure(plan, error);
    if (!st) st = reject_large(plan, error);
    if (!st && plan->schema->key_count) st = sort_by_key(plan, error);
    if (st) return st;
    if (!plan->schema->key_count) keep_arrival(plan);
    plan->in_order = true;
    for (uint32_t i = 1; i < plan->count && plan->in_order; i++)
        plan->in_order = plan->order[i] == plan->order[i - 1] + 1;
    return plan->count ? cut_chunks(plan, error) : PLINTH_OK;
}

enum plinth_status rows_plan_take(const struct rows_plan *plan, uint32_t chunk, struct batch **taken,
                                  uint32_t **column_ids, struct plinth_error *error) {
    const uint32_t *rows = plan->order + plan->chunks[chunk].first;
    uint32_t count = plan->chunks[chunk].count;
    *taken = NULL;
    uint64_t bytes = plan->chunks[chunk].bits / 8 + (uint64_t)plan->column_count * COLUMN_BYTES_EXTRA;
    struct batch *batch = batch_create_sized(plan->column_count, bytes);
    if (!batch) return error_no_memory(error, "rows");
    batch->rows = count;
    *column_ids = arena_alloc(&batch->arena, plan->column_count * sizeof **column_ids);
    bool ok = *column_ids != NULL;
    if (ok) memcpy(*column_ids, plan->column_ids, plan->column_count * sizeof **column_ids);
    for (uint32_t c = 0; ok && c < plan->column_count; c++) {
        const struct column *from = &plan->columns[c];
        if (plan->in_order)
            ok = column_concat(&batch->arena, from->type, &from, &(struct row_stretch){0, rows[0], count}, 1, count,
                               &batch->columns[c]);
        else
            ok = column_gather(&batch->arena, from, rows, count, &batch->columns[c]);
    }
    if (!ok) {
        batch_unref(batch);
        return error_no_memory(error, "rows");
    }
    *taken = batch;
    return PLINTH_OK;
}
