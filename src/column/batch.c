#include "column/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "column/column_private.h"

const uint32_t column_no_offsets[1] = {0};

struct batch *batch_create(uint32_t column_count) {
    return batch_create_sized(column_count, 0);
}

struct batch *batch_create_sized(uint32_t column_count, uint64_t bytes) {
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    atomic_init(&batch->references, 1);
    arena_init_sized(&batch->arena, bytes ? bytes + column_count * sizeof *batch->columns : 0);
    batch->column_count = column_count;
    batch->columns = arena_zalloc(&batch->arena, column_count * sizeof *batch->columns);
    if (batch->columns) return batch;
    free(batch);
    return NULL;
}

struct batch *batch_ref(struct batch *batch) {
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
    return batch;
}

void batch_unref(struct batch *batch) {
    /* acq_rel: whoever frees has seen everything the other holders did. */
    if (!batch || atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1) return;
    if (batch->release) batch->release(batch);
    arena_deinit(&batch->arena);
    free(batch);
}

uint64_t column_bytes(const struct column *column, uint32_t rows) {
    uint64_t bytes = column->validity ? bitmap_bytes(rows) : 0;
    if (column->type.kind == COLUMN_BOOL) return bytes + bitmap_bytes(rows);
    uint32_t width = column_type_width(column->type);
    if (width) return bytes + (uint64_t)rows * width;
    if (rows == 0) return bytes;
    uint32_t inside = column->offsets[rows] - column->offsets[0];
    bytes += ((uint64_t)rows + 1) * sizeof(uint32_t);
    return bytes + (column->type.kind == COLUMN_LIST ? column_bytes(column->child, inside) : inside);
}

uint64_t batch_bytes(const struct batch *batch) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < batch->column_count; i++) bytes += column_bytes(&batch->columns[i], batch->rows);
    return bytes;
}

/* ---- nulls and slices ---- */

bool column_make_nulls(struct arena *arena, struct column_type type, uint32_t rows, struct column *out) {
    *out = (struct column){.type = type, .null_count = rows};
    if (!(out->validity = arena_zalloc(arena, bitmap_bytes(rows)))) return false;
    if (type.kind == COLUMN_BOOL) {
        out->values = out->validity; /* zeros, too */
        return true;
    }
    uint32_t width = column_type_width(type);
    if (width) return (out->values = arena_zalloc(arena, (uint64_t)rows * width)) != NULL;
    out->offsets = arena_zalloc(arena, ((uint64_t)rows + 1) * sizeof *out->offsets);
    out->bytes = (const uint8_t *)out->offsets; /* no byte of it is a value's */
    if (!out->offsets || type.kind != COLUMN_LIST) return out->offsets != NULL;
    struct column *child = arena_alloc(arena, sizeof *child);
    out->bytes = NULL;
    out->child = child;
    return child && column_make_nulls(arena, column_type_element(type), 0, child);
}

/* Bits [first, first + count): shared when they begin at a byte. Null when memory is out. */
static const uint8_t *slice_bits(struct arena *arena, const uint8_t *bits, uint32_t first, uint32_t count) {
    if (first % 8 == 0) return bits + first / 8;
    uint8_t *copy = arena_zalloc(arena, bitmap_bytes(count));
    if (copy) bitmap_copy(copy, 0, bits, first, count);
    return copy;
}

bool column_slice(struct arena *arena, const struct column *from, uint32_t first, uint32_t count, struct column *out) {
    *out = *from;
    uint64_t valid = from->null_count ? bitmap_count_range(from->validity, first, count) : count;
    out->null_count = count - valid;
    out->validity = NULL;
    if (out->null_count && !(out->validity = slice_bits(arena, from->validity, first, count))) return false;
    if (count == 0) { /* `from` may have no buffers then */
        out->offsets = column_no_offsets;
        return true;
    }
    if (from->type.kind == COLUMN_BOOL) return (out->values = slice_bits(arena, from->values, first, count)) != NULL;
    if (from->offsets)
        out->offsets = from->offsets + first;
    else
        out->values = (const uint8_t *)from->values + (uint64_t)first * column_type_width(from->type);
    return true;
}

/* ---- whole batches ---- */

static struct batch *finish_or_drop(struct batch *batch, bool done) {
    if (done) return batch;
    batch_unref(batch);
    return NULL;
}

struct batch *batch_gather(const struct batch *from, const uint32_t *rows, uint32_t count) {
    struct batch *batch = batch_create(from->column_count);
    if (!batch) return NULL;
    batch->rows = count;
    bool done = true;
    for (uint32_t i = 0; i < from->column_count && done; i++)
        done = column_gather(&batch->arena, &from->columns[i], rows, count, &batch->columns[i]);
    return finish_or_drop(batch, done);
}

struct batch *batch_filter(const struct batch *from, const uint8_t *selection, uint32_t count) {
    struct batch *batch = batch_create(from->column_count);
    if (!batch) return NULL;
    batch->rows = count;
    uint32_t *rows = malloc(((size_t)count + 1) * sizeof *rows);
    bool done = rows != NULL;
    if (done) bitmap_rows(selection, from->rows, rows);
    for (uint32_t i = 0; i < from->column_count && done; i++)
        done = column_gather(&batch->arena, &from->columns[i], rows, count, &batch->columns[i]);
    free(rows);
    return finish_or_drop(batch, done);
}

static void release_sliced(struct batch *batch) { batch_unref(batch->release_context); }

struct batch *batch_slice(struct batch *from, uint32_t first, uint32_t count) {
    struct batch *batch = batch_create(from->column_count);
    if (!batch) return NULL;
    batch->rows = count;
    batch->release = release_sliced;
    batch->release_context = batch_ref(from);
    bool done = true;
    for (uint32_t i = 0; i < from->column_count && done; i++)
        done = column_slice(&batch->arena, &from->columns[i], first, count, &batch->columns[i]);
    return finish_or_drop(batch, done);
}

struct batch *batch_concat(struct batch *const *batches, uint32_t count) {
    if (count == 1) return batch_ref(batches[0]);
    uint32_t column_count = batches[0]->column_count;
    struct batch *whole = batch_create(column_count);
    const struct column **sources = malloc(count * sizeof *sources);
    struct row_stretch *stretches = malloc(count * sizeof *stretches);
    uint64_t rows = 0;
    bool done = whole && sources && stretches;
    for (uint32_t i = 0; i < count && done; i++) {
        assert(batches[i]->column_count == column_count);
        stretches[i] = (struct row_stretch){i, 0, batches[i]->rows};
        rows += batches[i]->rows;
        done = rows <= UINT32_MAX;
    }
    if (done) whole->rows = (uint32_t)rows;
    for (uint32_t c = 0; c < column_count && done; c++) {
        for (uint32_t i = 0; i < count; i++) sources[i] = &batches[i]->columns[c];
        done =
            column_concat(&whole->arena, sources[0]->type, sources, stretches, count, whole->rows, &whole->columns[c]);
    }
    free(sources);
    free(stretches);
    return finish_or_drop(whole, done);
}
