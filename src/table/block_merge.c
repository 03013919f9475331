/* Merging blocks by a binary heap of inputs, as merge.c does rows, with two differences.
 *
 * What comes out of the heap is not a row but a stretch: the top's rows in front of the challenger's row (the better of
 * the top's two children), found by galloping through the key prefixes. Interleaved inputs give stretches of a row,
 * disjoint ones whole blocks.
 *
 * Stretches are not copied when they are found. They are noted (source block, first row, count) until they make a
 * block; then each column is put together on its own, in one pass over the notes (column_concat). A stretch that is
 * long enough is handed on as a view of its block, without a copy.
 *
 * Which rows stay is judged a row at a time, but for stretches of blocks whose rows all stay, whatever stands beside
 * them (`plain`): there only the first row can be a version of the key before it. */
#include <stdlib.h>

#include "base/status.h"
#include "table/row_block_private.h"

enum {
    BLOCK_ROWS_DEFAULT = 8192,
    VIEW_ROWS_MIN = 1024,         /* stretches from here on are not copied */
    PENDING_BYTES_MAX = 32 << 20, /* about; of what is noted */
    NO_SOURCE = UINT32_MAX,
};

struct input {
    struct block_stream *stream; /* null: its first block is all */
    struct row_block *block;     /* null at the end */
    uint32_t row;
    uint32_t source; /* of `block` among the pending ones */
    bool plain;
    uint64_t row_bytes; /* of the block, on average */
};

struct heap_entry {
    uint64_t prefix; /* of the input's row */
    struct input *input;
};

/* Stretches that are going to be a block. */
struct pending {
    struct row_block **sources; /* referenced */
    uint32_t source_count, source_capacity;
    struct row_stretch *stretches;
    uint32_t stretch_count, stretch_capacity;
    uint32_t rows;
    uint64_t bytes;
};

struct block_merge {
    struct block_stream base;
    struct block_merge_options options;
    struct column_list columns;
    bool with_keys;
    bool copies; /* no views */
    struct arena arena;

    struct input *inputs;
    size_t count;
    struct heap_entry *heap;
    size_t heap_size;
    size_t challenger; /* heap index 1 or 2; 0: none */

    struct pending pending;
    struct row_block *ready[2]; /* blocks to give: what was pending, then a view */

    /* The key that the next row may be a version of. */
    struct row_block *last; /* an input's block, or else `last_is_held`; null before the first row */
    uint32_t last_row;
    bool last_is_held;
    bool hidden; /* its newest version at or below options.lsn has been seen */
};

/* ---- inputs ---- */

/* Whether no key stands in the block twice. */
static bool keys_differ(const struct row_block *block) {
    if (!block->lsns || block->ordinals) return true; /* (key, LSN) is unique */
    for (uint32_t i = 1; i < block->rows; i++) {
        struct slice key = row_block_key(block, i), before = row_block_key(block, i - 1);
        uint64_t prefix = block->prefixes ? block->prefixes[i] : key_prefix(key);
        uint64_t prefix_before = block->prefixes ? block->prefixes[i - 1] : key_prefix(before);
        if (prefix == prefix_before && slice_equal(key, before)) return false;
    }
    return true;
}

static bool block_is_plain(const struct block_merge_options *options, const struct row_block *block) {
    if (options->mode == MERGE_ALL) return true;
    if (options->mode == MERGE_SNAPSHOT && (block->lsn_max > options->lsn || block->operations)) return false;
    if (options->mode == MERGE_RETAIN && options->bottom && block->operations) return false;
    return keys_differ(block);
}

static void enter_block(struct block_merge *merge, struct input *input, struct row_block *block) {
    input->block = block;
    input->row = 0;
    input->source = NO_SOURCE;
    if (!block) return;
    input->plain = block_is_plain(&merge->options, block);
    input->row_bytes = merge->copies ? 0 : row_block_bytes(block) / block->rows;
}

static uint64_t input_prefix(const struct input *input) {
    const struct row_block *block = input->block;
    return block->prefixes ? block->prefixes[input->row] : key_prefix(row_block_key(block, input->row));
}

/* Drops the input's block, whose rows have all been taken, for the next one. */
static enum plinth_status next_block(struct block_merge *merge, struct input *input, struct plinth_error *error) {
    struct row_block *block = NULL;
    enum plinth_status st = input->stream ? block_stream_next(input->stream, &block, error) : PLINTH_OK;
    if (merge->last && merge->last == input->block)
        merge->last_is_held = true; /* takes the reference over */
    else
        row_block_unref(input->block);
    enter_block(merge, input, st ? NULL : block);
    return st;
}

/* ---- the heap ---- */

static inline bool comes_first(const struct heap_entry *a, const struct heap_entry *b) {
    if (a->prefix != b->prefix) return a->prefix < b->prefix;
    const struct row_block *block_a = a->input->block, *block_b = b->input->block;
    uint32_t row_a = a->input->row, row_b = b->input->row;
    int order = key_compare_behind_prefix(row_block_key(block_a, row_a), row_block_key(block_b, row_b));
    return order ? order < 0 : row_block_lsn(block_a, row_a) > row_block_lsn(block_b, row_b);
}

static void sift_down(struct block_merge *merge, size_t at) {
    struct heap_entry moving = merge->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merge->heap_size) break;
        if (child + 1 < merge->heap_size && comes_first(&merge->heap[child + 1], &merge->heap[child])) child++;
        if (!comes_first(&merge->heap[child], &moving)) break;
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = moving;
}

static void find_challenger(struct block_merge *merge) {
    merge->challenger = merge->heap_size > 1;
    if (merge->heap_size > 2 && comes_first(&merge->heap[2], &merge->heap[1])) merge->challenger = 2;
}

/* The top's row has moved on; its block may be at its end. */
static enum plinth_status settle_top(struct block_merge *merge, struct plinth_error *error) {
    struct input *top = merge->heap[0].input;
    if (top->row == top->block->rows) {
        enum plinth_status st = next_block(merge, top, error);
        if (st) return st;
    }
    if (top->block)
        merge->heap[0].prefix = input_prefix(top);
    else
        merge->heap[0] = merge->heap[--merge->heap_size];
    if (merge->heap_size) sift_down(merge, 0);
    find_challenger(merge);
    return PLINTH_OK;
}

static void build_heap(struct block_merge *merge) {
    for (size_t i = 0; i < merge->count; i++)
        if (merge->inputs[i].block)
            merge->heap[merge->heap_size++] = (struct heap_entry){input_prefix(&merge->inputs[i]), &merge->inputs[i]};
    for (size_t i = merge->heap_size / 2; i-- > 0;) sift_down(merge, i);
    find_challenger(merge);
}

/* Reads the first block of each stream. */
static enum plinth_status start(struct block_merge *merge, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < merge->count; i++)
        if (!merge->inputs[i].block) st = next_block(merge, &merge->inputs[i], error);
    if (!st) build_heap(merge);
    return st;
}

/* The end of the top's stretch: its first row behind the challenger's, at most `end`. */
static uint32_t stretch_end(const struct block_merge *merge, uint32_t end) {
    const struct input *top = merge->heap[0].input;
    const struct row_block *block = top->block;
    if (!merge->challenger) return end;
    const struct heap_entry *challenger = &merge->heap[merge->challenger];
    const struct row_block *other = challenger->input->block;
    struct slice key = row_block_key(other, challenger->input->row);
    uint64_t prefix = challenger->prefix, lsn = row_block_lsn(other, challenger->input->row);
    uint32_t low = top->row + 1, high = low, step = 1; /* rows below `low` are in the stretch */
    while (high < end && row_block_compare(block, high, prefix, key, lsn) < 0) {
        low = high + 1;
        high = end - high > step ? high + step : end;
        step *= 2;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (row_block_compare(block, middle, prefix, key, lsn) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- what is pending ---- */

static bool grow(void **array, uint32_t *capacity, size_t size) {
    uint32_t wanted = *capacity ? *capacity * 2 : 64;
    void *grown = realloc(*array, wanted * size);
    if (!grown) return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static void pending_clear(struct block_merge *merge) {
    struct pending *pending = &merge->pending;
    for (uint32_t i = 0; i < pending->source_count; i++) row_block_unref(pending->sources[i]);
    pending->source_count = pending->stretch_count = pending->rows = 0;
    pending->bytes = 0;
    for (size_t i = 0; i < merge->count; i++) merge->inputs[i].source = NO_SOURCE;
}

/* Notes rows [first, first + count) of the input's block. */
static bool note(struct block_merge *merge, struct input *input, uint32_t first, uint32_t count) {
    struct pending *pending = &merge->pending;
    if (input->source == NO_SOURCE) {
        if (pending->source_count == pending->source_capacity &&
            !grow((void **)&pending->sources, &pending->source_capacity, sizeof *pending->sources))
            return false;
        input->source = pending->source_count++;
        pending->sources[input->source] = row_block_ref(input->block);
    }
    struct row_stretch *before = pending->stretch_count ? &pending->stretches[pending->stretch_count - 1] : NULL;
    pending->rows += count;
    pending->bytes += count * input->row_bytes;
    if (before && before->source == input->source && before->first + before->count == first) {
        before->count += count;
        return true;
    }
    if (pending->stretch_count == pending->stretch_capacity &&
        !grow((void **)&pending->stretches, &pending->stretch_capacity, sizeof *pending->stretches))
        return false;
    pending->stretches[pending->stretch_count++] = (struct row_stretch){input->source, first, count};
    return true;
}

static bool concat_keys(struct arena *arena, const struct pending *pending, struct row_keys *keys) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        const uint32_t *offsets = pending->sources[stretch->source]->keys.offsets + stretch->first;
        bytes += offsets[stretch->count] - offsets[0];
    }
    if (bytes > UINT32_MAX) return false;
    keys->offsets = arena_alloc(arena, ((uint64_t)pending->rows + 1) * sizeof *keys->offsets);
    keys->bytes = arena_alloc(arena, bytes);
    if (!keys->offsets || !keys->bytes) return false;
    uint32_t at = 0, *offset = keys->offsets;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        const struct row_keys *from = &pending->sources[stretch->source]->keys;
        const uint32_t *offsets = from->offsets + stretch->first;
        uint32_t size = offsets[stretch->count] - offsets[0];
        memcpy(keys->bytes + at, from->bytes + offsets[0], size);
        for (uint32_t j = 0; j < stretch->count; j++) *offset++ = at + offsets[j] - offsets[0];
        at += size;
    }
    *offset = at;
    return true;
}

static bool concat_prefixes(struct row_block *block, const struct pending *pending) {
    uint64_t *prefixes = arena_alloc(&block->arena, (uint64_t)pending->rows * sizeof *prefixes), *to = prefixes;
    if (!prefixes) return false;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        const struct row_block *from = pending->sources[stretch->source];
        for (uint32_t j = stretch->first; j < stretch->first + stretch->count; j++)
            *to++ = from->prefixes ? from->prefixes[j] : key_prefix(row_block_key(from, j));
    }
    block->prefixes = prefixes;
    return true;
}

static bool concat_lsns(struct row_block *block, const struct pending *pending) {
    bool same = true;
    block->lsn_min = block->lsn_max = row_block_lsn(pending->sources[0], pending->stretches[0].first);
    for (uint32_t i = 0; i < pending->source_count; i++)
        same &= !pending->sources[i]->lsns && pending->sources[i]->lsn_max == block->lsn_max;
    if (same) return true;
    uint64_t *lsns = arena_alloc(&block->arena, (uint64_t)pending->rows * sizeof *lsns), *to = lsns;
    if (!lsns) return false;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        const struct row_block *from = pending->sources[stretch->source];
        for (uint32_t j = stretch->first; j < stretch->first + stretch->count; j++) *to++ = row_block_lsn(from, j);
    }
    for (uint32_t i = 0; i < pending->rows; i++) {
        if (lsns[i] < block->lsn_min) block->lsn_min = lsns[i];
        if (lsns[i] > block->lsn_max) block->lsn_max = lsns[i];
    }
    block->lsns = lsns;
    return true;
}

static bool concat_operations(struct row_block *block, const struct pending *pending) {
    bool any = false;
    for (uint32_t i = 0; i < pending->source_count; i++) any |= pending->sources[i]->operations != NULL;
    if (!any) return true;
    uint8_t *operations = arena_alloc(&block->arena, pending->rows), *to = operations;
    if (!operations) return false;
    unsigned deletes = 0;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        const struct row_block *from = pending->sources[stretch->source];
        for (uint32_t j = stretch->first; j < stretch->first + stretch->count; j++)
            deletes += (*to++ = (uint8_t)row_block_operation(from, j)) != ROW_SET;
    }
    if (deletes) block->operations = operations;
    return true;
}

static bool concat_ordinals(struct row_block *block, const struct pending *pending) {
    if (!pending->sources[0]->ordinals) return true;
    uint32_t *ordinals = arena_alloc(&block->arena, (uint64_t)pending->rows * sizeof *ordinals), *to = ordinals;
    if (!ordinals) return false;
    for (uint32_t i = 0; i < pending->stretch_count; i++) {
        const struct row_stretch *stretch = &pending->stretches[i];
        memcpy(to, pending->sources[stretch->source]->ordinals + stretch->first, stretch->count * sizeof *to);
        to += stretch->count;
    }
    block->ordinals = ordinals;
    return true;
}

/* Column `index` of a block; null when the block does not have it. */
static const struct column *source_column(const struct row_block *block, uint32_t index, uint32_t id) {
    if (index < block->columns->column_count && block->column_ids[index] == id) return &block->columns->columns[index];
    return row_block_column(block, id);
}

static bool concat_columns(struct row_block *block, const struct pending *pending, const struct column_list *columns) {
    const struct column **sources = malloc(((size_t)pending->source_count + 1) * sizeof *sources);
    bool ok = sources != NULL;
    for (uint32_t i = 0; ok && i < columns->count; i++) {
        for (uint32_t s = 0; s < pending->source_count; s++)
            sources[s] = source_column(pending->sources[s], i, columns->ids[i]);
        ok = column_concat(&block->columns->arena, columns->types[i], sources, pending->stretches,
                           pending->stretch_count, pending->rows, &block->columns->columns[i]);
    }
    free(sources);
    return ok;
}

/* A block of what is pending; null when memory is out. */
static struct row_block *make_block(const struct pending *pending, const struct column_list *columns, bool with_keys) {
    struct row_block *block = row_block_new(columns->count);
    uint32_t *ids = block ? arena_alloc(&block->arena, columns->count * sizeof *ids) : NULL;
    bool ok = ids != NULL;
    if (ok) {
        if (columns->count) memcpy(ids, columns->ids, columns->count * sizeof *ids);
        block->column_ids = ids;
        block->rows = block->columns->rows = pending->rows;
        ok = concat_columns(block, pending, columns);
    }
    if (ok && with_keys)
        ok = concat_keys(&block->arena, pending, &block->keys) && concat_prefixes(block, pending) &&
             concat_lsns(block, pending) && concat_operations(block, pending) && concat_ordinals(block, pending);
    if (ok) return block;
    row_block_unref(block);
    return NULL;
}

/* Makes a block of what is pending, and forgets that. */
static enum plinth_status build_block(struct block_merge *merge, struct row_block **built, struct plinth_error *error) {
    *built = make_block(&merge->pending, &merge->columns, merge->with_keys);
    pending_clear(merge);
    return *built ? PLINTH_OK : error_no_memory(error, "merge of rows");
}

struct row_block *row_block_select(struct row_block *block, const struct row_stretch *stretches,
                                   uint32_t stretch_count) {
    const struct batch *columns = block->columns;
    struct column_type *types = malloc((columns->column_count + 1) * sizeof *types);
    if (!types) return NULL;
    struct pending pending = {.sources = &block,
                              .source_count = 1,
                              .stretches = (struct row_stretch *)stretches,
                              .stretch_count = stretch_count};
    for (uint32_t i = 0; i < stretch_count; i++) pending.rows += stretches[i].count;
    for (uint32_t i = 0; i < columns->column_count; i++) types[i] = columns->columns[i].type;
    const struct column_list list = {block->column_ids, types, NULL, columns->column_count};
    struct row_block *selected = make_block(&pending, &list, true);
    free(types);
    return selected;
}

/* ---- which rows stay ---- */

static void set_last(struct block_merge *merge, struct row_block *block, uint32_t row) {
    if (merge->last_is_held) row_block_unref(merge->last);
    merge->last_is_held = false;
    merge->last = block;
    merge->last_row = row;
}

/* Judges the next row in row order; purge.h draws the rules of MERGE_RETAIN. */
static bool row_stays(struct block_merge *merge, struct row_block *block, uint32_t row) {
    const struct block_merge_options *options = &merge->options;
    if (options->mode == MERGE_ALL) return true;
    if (!merge->last || !slice_equal(row_block_key(merge->last, merge->last_row), row_block_key(block, row)))
        merge->hidden = false;
    set_last(merge, block, row);
    if (row_block_lsn(block, row) > options->lsn) return options->mode == MERGE_RETAIN;
    if (merge->hidden) return false;
    merge->hidden = true;
    return row_block_operation(block, row) != ROW_DELETE || (options->mode == MERGE_RETAIN && !options->bottom);
}

/* Takes rows [first, first + count), which stay: notes them, or makes a view ready. */
static enum plinth_status take(struct block_merge *merge, struct input *input, uint32_t first, uint32_t count,
                               struct plinth_error *error) {
    if (!count) return PLINTH_OK;
    if (merge->copies || count < VIEW_ROWS_MIN || merge->ready[0])
        return note(merge, input, first, count) ? PLINTH_OK : error_no_memory(error, "merge of rows");
    enum plinth_status st = merge->pending.rows ? build_block(merge, &merge->ready[0], error) : PLINTH_OK;
    if (st) return st;
    return row_block_view(input->block, first, count, &merge->columns, &merge->ready[merge->ready[0] != NULL], error);
}

/* Takes what stays of rows [first, end) of the top. */
static enum plinth_status take_stretch(struct block_merge *merge, struct input *top, uint32_t first, uint32_t end,
                                       struct plinth_error *error) {
    struct row_block *block = top->block;
    enum plinth_status st = PLINTH_OK;
    if (top->plain && merge->options.mode == MERGE_ALL) return take(merge, top, first, end - first, error);
    if (top->plain) {
        if (!row_stays(merge, block, first)) first++;
        if (first == end) return PLINTH_OK;
        set_last(merge, block, end - 1);
        merge->hidden = row_block_lsn(block, end - 1) <= merge->options.lsn;
        return take(merge, top, first, end - first, error);
    }
    for (uint32_t row = first; !st && row < end; row++) {
        if (row_stays(merge, block, row)) continue;
        st = take(merge, top, first, row - first, error);
        first = row + 1;
    }
    return st ? st : take(merge, top, first, end - first, error);
}

/* Takes one stretch of the top. */
static enum plinth_status step(struct block_merge *merge, struct plinth_error *error) {
    struct input *top = merge->heap[0].input;
    uint32_t first = top->row, end = top->block->rows;
    if (!merge->copies && end - first > merge->options.block_rows) {
        end = first + merge->options.block_rows;
        if ((end & ~7u) > first) end &= ~7u; /* views share bitmaps from whole bytes on */
    }
    end = stretch_end(merge, end);
    enum plinth_status st = take_stretch(merge, top, first, end, error);
    top->row = end;
    return st ? st : settle_top(merge, error);
}

/* ---- the stream ---- */

static bool pending_is_full(const struct block_merge *merge) {
    return merge->pending.rows >= merge->options.block_rows || merge->pending.bytes >= PENDING_BYTES_MAX;
}

static enum plinth_status merge_next(struct block_stream *base, struct row_block **block, struct plinth_error *error) {
    struct block_merge *merge = (struct block_merge *)base;
    enum plinth_status st = PLINTH_OK;
    *block = NULL;
    while (!st && !merge->ready[0] && merge->heap_size && !pending_is_full(merge)) st = step(merge, error);
    if (!st && !merge->ready[0] && merge->pending.rows) st = build_block(merge, &merge->ready[0], error);
    if (st) return st;
    *block = merge->ready[0];
    merge->ready[0] = merge->ready[1];
    merge->ready[1] = NULL;
    return PLINTH_OK;
}

static void merge_deinit(struct block_merge *merge) {
    pending_clear(merge);
    free(merge->pending.sources);
    free(merge->pending.stretches);
    for (size_t i = 0; i < merge->count; i++) {
        row_block_unref(merge->inputs[i].block);
        block_stream_close(merge->inputs[i].stream);
    }
    free(merge->inputs);
    free(merge->heap);
    row_block_unref(merge->ready[0]);
    row_block_unref(merge->ready[1]);
    if (merge->last_is_held) row_block_unref(merge->last);
    arena_deinit(&merge->arena);
}

static void merge_close(struct block_stream *base) {
    merge_deinit((struct block_merge *)base);
    free(base);
}

/* The first call reads the inputs' first blocks. */
static enum plinth_status merge_first(struct block_stream *base, struct row_block **block, struct plinth_error *error);

static const struct block_stream_ops merge_ops = {.next = merge_next, .close = merge_close};
static const struct block_stream_ops merge_first_ops = {.next = merge_first, .close = merge_close};

static enum plinth_status merge_first(struct block_stream *base, struct row_block **block, struct plinth_error *error) {
    *block = NULL;
    enum plinth_status st = start((struct block_merge *)base, error);
    if (st) return st;
    base->ops = &merge_ops;
    return merge_next(base, block, error);
}

static bool merge_init(struct block_merge *merge, size_t count, const struct block_merge_options *options) {
    *merge = (struct block_merge){.options = *options};
    arena_init(&merge->arena);
    if (!merge->options.block_rows) merge->options.block_rows = BLOCK_ROWS_DEFAULT;
    merge->inputs = calloc(count + 1, sizeof *merge->inputs);
    merge->heap = calloc(count + 1, sizeof *merge->heap);
    if (!merge->inputs || !merge->heap) return false;
    merge->count = count;
    return true;
}

enum plinth_status block_merge_open(struct block_stream **inputs, size_t count, const struct block_read *read,
                                    const struct block_merge_options *options, struct block_stream **merged,
                                    struct plinth_error *error) {
    *merged = NULL;
    if (count == 1 && options->mode == MERGE_ALL) {
        *merged = inputs[0];
        return PLINTH_OK;
    }
    struct block_merge *merge = malloc(sizeof *merge);
    bool made = merge && merge_init(merge, count, options);
    enum plinth_status st = made ? PLINTH_OK : error_no_memory(error, "merge of rows");
    if (!st) st = column_list_of(&merge->arena, read, &merge->columns, error);
    for (size_t i = 0; i < count; i++) {
        if (made)
            merge->inputs[i].stream = inputs[i];
        else
            block_stream_close(inputs[i]);
    }
    if (st) {
        if (merge) merge_deinit(merge);
        free(merge);
        return st;
    }
    merge->base.ops = &merge_first_ops;
    merge->with_keys = read->with_keys;
    *merged = &merge->base;
    return PLINTH_OK;
}

/* ---- blocks of the memtable ---- */

static bool has_id(const struct column_list *columns, uint32_t id) {
    for (uint32_t i = 0; i < columns->count; i++)
        if (columns->ids[i] == id) return true;
    return false;
}

/* All columns of the blocks, ascending by id; memory from `arena`. */
static bool all_columns(struct arena *arena, struct row_block *const *blocks, size_t count,
                        struct column_list *columns) {
    uint32_t most = 0;
    for (size_t b = 0; b < count; b++) most += blocks[b]->columns->column_count;
    uint32_t *ids = arena_alloc(arena, most * sizeof *ids);
    struct column_type *types = arena_alloc(arena, most * sizeof *types);
    if (!ids || !types) return false;
    *columns = (struct column_list){ids, types, NULL, 0};
    const struct row_block *before = NULL;
    for (size_t b = 0; b < count; b++) {
        const struct row_block *block = blocks[b];
        uint32_t block_columns = block->columns->column_count;
        /* Nearly always the ones of the block before. */
        if (before && before->columns->column_count == block_columns &&
            memcmp(before->column_ids, block->column_ids, block_columns * sizeof *ids) == 0)
            continue;
        before = block;
        for (uint32_t i = 0; i < block_columns; i++) {
            uint32_t id = block->column_ids[i], at = columns->count;
            if (has_id(columns, id)) continue;
            for (; at > 0 && ids[at - 1] > id; at--) {
                ids[at] = ids[at - 1];
                types[at] = types[at - 1];
            }
            ids[at] = id;
            types[at] = block->columns->columns[i].type;
            columns->count++;
        }
    }
    return true;
}

static enum plinth_status check_types(struct row_block *const *blocks, size_t count, const struct column_list *columns,
                                      struct plinth_error *error) {
    for (size_t b = 0; b < count; b++)
        for (uint32_t i = 0; i < columns->count; i++) {
            const struct column *column = source_column(blocks[b], i, columns->ids[i]);
            if (column && !column_type_equal(column->type, columns->types[i]))
                return error_set(error, PLINTH_INVALID_ARGUMENT, "column %u has two types", columns->ids[i]);
        }
    return PLINTH_OK;
}

enum plinth_status row_blocks_merge(struct row_block *const *blocks, size_t count, struct row_block **merged,
                                    struct plinth_error *error) {
    *merged = NULL;
    struct block_merge merge;
    const struct block_merge_options options = {.mode = MERGE_ALL};
    enum plinth_status st =
        merge_init(&merge, count, &options) ? PLINTH_OK : error_no_memory(error, "merge of rows in memory");
    if (!st && !all_columns(&merge.arena, blocks, count, &merge.columns))
        st = error_no_memory(error, "merge of rows in memory");
    if (!st) st = check_types(blocks, count, &merge.columns, error);
    if (!st) {
        merge.with_keys = merge.copies = true;
        for (size_t i = 0; i < count; i++) enter_block(&merge, &merge.inputs[i], row_block_ref(blocks[i]));
        build_heap(&merge);
        while (!st && merge.heap_size) st = step(&merge, error);
    }
    if (!st) st = build_block(&merge, merged, error);
    if (!st && !row_block_add_memory(*merged)) {
        row_block_unref(*merged);
        *merged = NULL;
        st = error_no_memory(error, "merge of rows in memory");
    }
    merge_deinit(&merge);
    return st;
}
