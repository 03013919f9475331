#include "engine/index_output.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

enum { PIECE_BYTES = 128 << 20 }; /* of keys */

void index_output_init(struct index_output *output, const struct table_schema *schema,
                       const struct table_index *index) {
    *output = (struct index_output){.schema = schema, .index = index};
    arena_init(&output->work);
}

void index_output_deinit(struct index_output *output) {
    for (uint64_t i = 0; i < output->piece_count; i++) row_block_unref(output->pieces[i]);
    free(output->pieces);
    buffer_deinit(&output->keys);
    buffer_deinit(&output->ends);
    buffer_deinit(&output->lsns);
    arena_deinit(&output->work);
}

static bool append_entries(struct index_output *output, const struct row_block *block,
                           const struct index_entries *entries) {
    uint32_t base = (uint32_t)output->keys.size, bytes = entries->keys.offsets[entries->count];
    if (!buffer_append(&output->keys, entries->keys.bytes, bytes) ||
        !buffer_reserve(&output->ends, entries->count * sizeof(uint32_t)) ||
        !buffer_reserve(&output->lsns, entries->count * sizeof(uint64_t)))
        return false;
    uint32_t *ends = (uint32_t *)(output->ends.data + output->ends.size);
    uint64_t *lsns = (uint64_t *)(output->lsns.data + output->lsns.size);
    for (uint32_t i = 0; i < entries->count; i++) {
        ends[i] = base + entries->keys.offsets[i + 1];
        lsns[i] = row_block_lsn(block, entries->rows[i]);
    }
    output->ends.size += entries->count * sizeof *ends;
    output->lsns.size += entries->count * sizeof *lsns;
    return true;
}

/* Copies the collected entries into `piece`, in order. */
static bool fill_piece(const struct index_output *output, const struct row_keys *keys, const uint32_t *order,
                       struct row_block *piece) {
    const uint64_t *lsns = (const uint64_t *)output->lsns.data;
    uint32_t *offsets = arena_alloc(&piece->arena, (piece->rows + 1) * sizeof *offsets), at = 0;
    uint8_t *bytes = arena_alloc(&piece->arena, output->keys.size);
    uint64_t *sorted_lsns = arena_alloc(&piece->arena, piece->rows * sizeof *sorted_lsns);
    if (!offsets || !bytes || !sorted_lsns) return false;
    for (uint32_t i = 0; i < piece->rows; i++) {
        struct slice key = row_keys_at(keys, order[i]);
        offsets[i] = at;
        memcpy(bytes + at, key.data, key.size);
        at += (uint32_t)key.size;
        sorted_lsns[i] = lsns[order[i]];
    }
    offsets[piece->rows] = at;
    piece->keys = (struct row_keys){offsets, bytes};
    piece->lsns = sorted_lsns;
    return true;
}

/* Versions of a row with the same entry stand next to each other; newest first. They were added in row order, and the
 * sort is stable, so they stand so already. */
enum plinth_status index_output_sort(struct index_output *output, struct plinth_error *error) {
    uint32_t count = (uint32_t)(output->ends.size / sizeof(uint32_t));
    if (!count) return PLINTH_OK;
    struct row_block *piece = calloc(1, sizeof *piece);
    uint32_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets), *order = malloc(count * sizeof *order);
    bool ok = piece && offsets && order;
    if (piece) {
        atomic_init(&piece->references, 1);
        arena_init(&piece->arena);
        piece->rows = count;
    }
    if (ok) {
        offsets[0] = 0;
        memcpy(offsets + 1, output->ends.data, count * sizeof *offsets);
        struct row_keys keys = {offsets, output->keys.data};
        ok = row_keys_sort(&keys, count, order, NULL) && fill_piece(output, &keys, order, piece);
    }
    if (ok) ok = ARRAY_PUSH(output->pieces, output->piece_count, piece);
    if (!ok) row_block_unref(piece);
    free(offsets);
    free(order);
    buffer_deinit(&output->keys); /* nearly always there comes nothing more */
    buffer_deinit(&output->ends);
    buffer_deinit(&output->lsns);
    return ok ? PLINTH_OK : error_no_memory(error, "index entries");
}

enum plinth_status index_output_add(struct index_output *output, const struct row_block *block,
                                    struct plinth_error *error) {
    struct index_entries entries;
    enum plinth_status st = output->keys.size >= PIECE_BYTES ? index_output_sort(output, error) : PLINTH_OK;
    if (st) return st;
    arena_reset(&output->work);
    if (!index_entries_encode(&output->work, block, output->schema, output->index, &entries))
        return error_no_memory(error, "index entries");
    uint32_t bytes = entries.count ? entries.keys.offsets[entries.count] : 0;
    if (bytes > UINT32_MAX - output->keys.size && (st = index_output_sort(output, error))) return st;
    return append_entries(output, block, &entries) ? PLINTH_OK : error_no_memory(error, "index entries");
}

enum plinth_status index_output_take(struct index_output *output, struct index_output *from,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st && from->piece_count) {
        if (ARRAY_PUSH(output->pieces, output->piece_count, from->pieces[from->piece_count - 1]))
            from->piece_count--;
        else
            st = error_no_memory(error, "index entries");
    }
    return st;
}

enum plinth_status index_output_write(struct index_output *output, struct output *into, struct plinth_error *error) {
    struct iterator *merged = NULL, **inputs = NULL;
    uint64_t opened = 0;
    enum plinth_status st = index_output_sort(output, error);
    buffer_deinit(&output->keys);
    if (!st) st = output_begin_index(into, output->schema, output->index, error);
    if (st || !output->piece_count) return st;
    inputs = malloc(output->piece_count * sizeof *inputs);
    if (!inputs) return error_no_memory(error, "index entries");
    for (; !st && opened < output->piece_count; opened += !st)
        st = row_block_key_iterator(output->pieces[opened], &inputs[opened], error);
    if (!st)
        st = merge_open(inputs, opened, &merged, error);
    else
        for (uint64_t i = 0; i < opened; i++) iterator_close(inputs[i]);
    free(inputs);
    if (!st) st = iterator_seek_first(merged, error);
    while (!st && merged->valid) {
        st = output_add(into, &merged->row, error);
        if (!st) st = iterator_next(merged, error);
    }
    iterator_close(merged);
    return st ? st : output_finish(into, error);
}
