/* Streams that merge nothing: the rows of one block, and rows of an iterator as blocks; and views of blocks. */
#include <stdlib.h>

#include "base/status.h"
#include "table/row_block_private.h"

enum { SPACE_BLOCK_ROWS = 4096, SPACE_BLOCK_BYTES = 4 << 20, SPACE_KEY_ID = 1, SPACE_VALUE_ID = 2 };

enum plinth_status column_list_of(struct arena *arena, const struct block_read *read, struct column_list *columns,
                                  struct plinth_error *error) {
    *columns = (struct column_list){0};
    uint32_t *ids = arena_alloc(arena, read->column_count * sizeof *ids);
    struct column_type *types = arena_alloc(arena, read->column_count * sizeof *types);
    const struct table_column **of = arena_alloc(arena, read->column_count * sizeof *of);
    if (!ids || !types || !of) return error_no_memory(error, "columns");
    for (uint32_t i = 0; i < read->column_count; i++) {
        int32_t at = table_schema_find_id(read->schema, read->column_ids[i]);
        if (at < 0)
            return error_set(error, PLINTH_INTERNAL, "table %s has no column with id %u", read->schema->name,
                             read->column_ids[i]);
        ids[i] = read->column_ids[i];
        of[i] = &read->schema->columns[at];
        types[i] = of[i]->type;
    }
    *columns = (struct column_list){ids, types, of, read->column_count};
    return PLINTH_OK;
}

/* ---- views ---- */

static bool has_exactly(const struct row_block *block, const struct column_list *columns) {
    if (block->columns->column_count != columns->count) return false;
    for (uint32_t i = 0; i < columns->count; i++)
        if (block->column_ids[i] != columns->ids[i] ||
            !column_type_equal(block->columns->columns[i].type, columns->types[i]))
            return false;
    return true;
}

static void release_viewed(struct batch *columns) { row_block_unref(columns->release_context); }

bool row_block_hide_deleted(struct arena *arena, const uint8_t *operations, uint32_t rows, struct column *column) {
    uint8_t *validity = arena_zalloc(arena, ((size_t)rows + 7) / 8);
    uint32_t nulls = 0;
    for (uint32_t i = 0; validity && i < rows; i++) {
        if (operations[i] == ROW_SET && !column_is_null(column, i))
            bitmap_set(validity, i);
        else
            nulls++;
    }
    column->validity = validity;
    column->null_count = nulls;
    return validity != NULL;
}

/* Rows of a column that the block lacks. */
static bool view_absent(struct arena *arena, const struct row_block *from, uint32_t first, uint32_t count,
                        const struct table_column *of, struct column_type type, struct column *out) {
    if (!of || !of->initial_default) return column_make_nulls(arena, type, count, out);
    return table_column_absent(arena, of, count, out) &&
           (!from->operations || row_block_hide_deleted(arena, from->operations + first, count, out));
}

/* Rows [first, first + count) of a column as `type`; `of` may be null. */
static enum plinth_status view_column(struct arena *arena, const struct row_block *from, uint32_t first, uint32_t count,
                                      uint32_t id, const struct table_column *of, struct column_type type,
                                      struct column *out, struct plinth_error *error) {
    const struct column *source = row_block_column(from, id);
    bool ok = true;
    if (!source)
        ok = view_absent(arena, from, first, count, of, type, out);
    else if (first == 0 && count == from->rows)
        *out = *source;
    else
        ok = column_slice(arena, source, first, count, out);
    if (!ok) return error_no_memory(error, "columns of rows");
    if (!source || column_type_equal(source->type, type)) return PLINTH_OK;
    struct column as_stored = *out;
    enum plinth_status st = column_cast(arena, &as_stored, count, type, NULL, out, error);
    if (st) error_prefix(error, "column %u", id);
    return st;
}

/* A block of its own in any case. */
static enum plinth_status make_view(struct row_block *from, uint32_t first, uint32_t count,
                                    const struct column_list *columns, struct row_block **view,
                                    struct plinth_error *error) {
    *view = NULL;
    struct row_block *made = row_block_new(columns->count);
    struct arena *arena = made ? &made->columns->arena : NULL;
    uint32_t *ids = made ? arena_alloc(arena, columns->count * sizeof *ids) : NULL;
    enum plinth_status st = ids ? PLINTH_OK : error_no_memory(error, "view of rows");
    for (uint32_t i = 0; !st && i < columns->count; i++) {
        ids[i] = columns->ids[i];
        st = view_column(arena, from, first, count, ids[i], columns->of ? columns->of[i] : NULL, columns->types[i],
                         &made->columns->columns[i], error);
    }
    if (st) {
        row_block_unref(made);
        return st;
    }
    made->columns->release = release_viewed;
    made->columns->release_context = row_block_ref(from);
    made->columns->rows = made->rows = count;
    made->column_ids = ids;
    made->lsn_min = from->lsn_min;
    made->lsn_max = from->lsn_max;
    if (from->lsns) made->lsns = from->lsns + first;
    if (from->ordinals) made->ordinals = from->ordinals + first;
    if (from->operations) made->operations = from->operations + first;
    if (from->prefixes) made->prefixes = from->prefixes + first;
    if (from->keys.offsets) made->keys = (struct row_keys){from->keys.offsets + first, from->keys.bytes};
    *view = made;
    return PLINTH_OK;
}

enum plinth_status row_block_view(struct row_block *from, uint32_t first, uint32_t count,
                                  const struct column_list *columns, struct row_block **view,
                                  struct plinth_error *error) {
    if (first != 0 || count != from->rows || !has_exactly(from, columns))
        return make_view(from, first, count, columns, view, error);
    *view = row_block_ref(from);
    return PLINTH_OK;
}

struct row_block *row_block_settle(struct row_block *block, uint64_t lsn) {
    uint32_t count = block->columns->column_count;
    struct column_type *types = malloc((count + (size_t)1) * sizeof *types);
    struct row_block *settled = NULL;
    if (!types) return NULL;
    for (uint32_t i = 0; i < count; i++) types[i] = block->columns->columns[i].type;
    const struct column_list columns = {block->column_ids, types, NULL, count};
    enum plinth_status st = make_view(block, 0, block->rows, &columns, &settled, NULL);
    free(types);
    if (st) return NULL;
    uint64_t most = row_block_lsn(block, 0), *lsns = NULL;
    for (uint32_t i = 1; block->lsns && i < block->rows; i++)
        if (block->lsns[i] > most) most = block->lsns[i];
    if (most > lsn && block->lsns) {
        lsns = arena_alloc(&settled->arena, block->rows * sizeof *lsns);
        if (!lsns) {
            row_block_unref(settled);
            return NULL;
        }
        for (uint32_t i = 0; i < block->rows; i++) lsns[i] = block->lsns[i] > lsn ? block->lsns[i] : lsn;
    }
    settled->lsns = lsns;
    settled->lsn_max = most > lsn ? most : lsn;
    settled->lsn_min = lsns || most <= lsn ? lsn : most;
    return settled;
}

enum plinth_status row_block_read_column(struct arena *arena, const struct row_block *block,
                                         const struct table_column *wanted, struct column *out,
                                         struct plinth_error *error) {
    return view_column(arena, block, 0, block->rows, wanted->id, wanted, wanted->type, out, error);
}

/* ---- one block ---- */

struct one_block_stream {
    struct block_stream base;
    struct row_block *block; /* null: given */
};

static enum plinth_status one_block_next(struct block_stream *base, struct row_block **block,
                                         struct plinth_error *error) {
    (void)error;
    struct one_block_stream *stream = (struct one_block_stream *)base;
    *block = stream->block;
    stream->block = NULL;
    return PLINTH_OK;
}

static void one_block_close(struct block_stream *base) {
    struct one_block_stream *stream = (struct one_block_stream *)base;
    row_block_unref(stream->block);
    free(stream);
}

static const struct block_stream_ops one_block_ops = {.next = one_block_next, .close = one_block_close};

enum plinth_status row_block_stream_open(struct row_block *block, const struct block_read *read,
                                         struct block_stream **stream, struct plinth_error *error) {
    *stream = NULL;
    struct one_block_stream *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "stream of rows");
    opened->base.ops = &one_block_ops;
    uint32_t first = read->lower.size ? row_block_find(block, read->lower, UINT64_MAX) : 0;
    uint32_t end = read->upper.size ? row_block_find(block, read->upper, UINT64_MAX) : block->rows;
    struct arena arena;
    arena_init(&arena);
    struct column_list columns;
    enum plinth_status st = PLINTH_OK;
    if (first < end) st = column_list_of(&arena, read, &columns, error);
    if (!st && first < end) st = row_block_view(block, first, end - first, &columns, &opened->block, error);
    arena_deinit(&arena);
    if (st) {
        free(opened);
        return st;
    }
    *stream = &opened->base;
    return PLINTH_OK;
}

/* ---- rows of an iterator ---- */

struct space_stream {
    struct block_stream base;
    struct iterator *it;
    struct buffer upper;
    bool has_key, has_value; /* columns asked for */
    /* The block that is being filled. */
    struct buffer keys, values, key_offsets, value_offsets, lsns, operations;
    uint32_t rows, deletes;
};

static void space_stream_clear(struct space_stream *stream) {
    struct buffer *buffers[] = {&stream->keys,          &stream->values, &stream->key_offsets,
                                &stream->value_offsets, &stream->lsns,   &stream->operations};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_clear(buffers[i]);
    stream->rows = stream->deletes = 0;
}

static void space_stream_close(struct block_stream *base) {
    struct space_stream *stream = (struct space_stream *)base;
    struct buffer *buffers[] = {&stream->keys, &stream->values,     &stream->key_offsets, &stream->value_offsets,
                                &stream->lsns, &stream->operations, &stream->upper};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_deinit(buffers[i]);
    iterator_close(stream->it);
    free(stream);
}

static bool add_row(struct space_stream *stream, const struct row *row) {
    stream->rows++;
    stream->deletes += row->operation == ROW_DELETE;
    return buffer_append_u32(&stream->key_offsets, (uint32_t)stream->keys.size) &&
           buffer_append(&stream->keys, row->key.data, row->key.size) && buffer_append_u64(&stream->lsns, row->lsn) &&
           buffer_append_u8(&stream->operations, (uint8_t)row->operation) &&
           (!stream->has_value || (buffer_append_u32(&stream->value_offsets, (uint32_t)stream->values.size) &&
                                   buffer_append(&stream->values, row->value.data, row->value.size)));
}

static enum plinth_status collect(struct space_stream *stream, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    struct slice upper = buffer_slice(&stream->upper);
    while (!st && stream->it->valid && stream->rows < SPACE_BLOCK_ROWS &&
           stream->keys.size + stream->values.size < SPACE_BLOCK_BYTES) {
        const struct row *row = &stream->it->row;
        if (upper.size && slice_compare(row->key, upper) >= 0) break;
        if (!add_row(stream, row)) return error_no_memory(error, "rows of a key space");
        st = iterator_next(stream->it, error);
    }
    if (st || !stream->rows) return st;
    bool ok = buffer_append_u32(&stream->key_offsets, (uint32_t)stream->keys.size) &&
              (!stream->has_value || buffer_append_u32(&stream->value_offsets, (uint32_t)stream->values.size));
    return ok ? PLINTH_OK : error_no_memory(error, "rows of a key space");
}

static void *copy(struct arena *arena, const struct buffer *buffer) {
    void *to = arena_alloc(arena, buffer->size);
    if (to && buffer->size) memcpy(to, buffer->data, buffer->size);
    return to;
}

/* Validity of the values: null where the row is a delete. */
static const uint8_t *make_validity(struct arena *arena, const uint8_t *operations, uint32_t rows) {
    uint8_t *validity = arena_zalloc(arena, (rows + 7) / 8);
    for (uint32_t i = 0; validity && i < rows; i++)
        if (operations[i] == ROW_SET) bitmap_set(validity, i);
    return validity;
}

static bool fill_block(const struct space_stream *stream, struct row_block *block) {
    struct arena *arena = &block->columns->arena; /* the columns may outlive the block */
    uint32_t *ids = arena_alloc(arena, 2 * sizeof *ids), columns = 0;
    uint64_t *prefixes = arena_alloc(arena, stream->rows * sizeof *prefixes);
    block->lsns = copy(arena, &stream->lsns);
    block->operations = copy(arena, &stream->operations);
    block->keys = (struct row_keys){copy(arena, &stream->key_offsets), copy(arena, &stream->keys)};
    if (!ids || !prefixes || !block->lsns || !block->operations || !block->keys.offsets || !block->keys.bytes)
        return false;
    block->rows = block->columns->rows = stream->rows;
    block->lsn_min = UINT64_MAX;
    for (uint32_t i = 0; i < stream->rows; i++) {
        if (block->lsns[i] < block->lsn_min) block->lsn_min = block->lsns[i];
        if (block->lsns[i] > block->lsn_max) block->lsn_max = block->lsns[i];
        prefixes[i] = key_prefix(row_block_key(block, i));
    }
    block->prefixes = prefixes;
    block->column_ids = ids;
    if (stream->has_key) {
        ids[columns] = SPACE_KEY_ID;
        block->columns->columns[columns++] = (struct column){
            .type = column_type_of(COLUMN_BYTES), .offsets = block->keys.offsets, .bytes = block->keys.bytes};
    }
    if (stream->has_value) {
        struct column *value = &block->columns->columns[columns];
        ids[columns] = SPACE_VALUE_ID;
        *value = (struct column){.type = column_type_of(COLUMN_BYTES), .null_count = stream->deletes};
        value->offsets = copy(arena, &stream->value_offsets);
        value->bytes = copy(arena, &stream->values);
        if (stream->deletes) value->validity = make_validity(arena, block->operations, stream->rows);
        if (!value->offsets || !value->bytes || (stream->deletes && !value->validity)) return false;
    }
    if (!stream->deletes) block->operations = NULL;
    return true;
}

static enum plinth_status space_stream_next(struct block_stream *base, struct row_block **block,
                                            struct plinth_error *error) {
    struct space_stream *stream = (struct space_stream *)base;
    *block = NULL;
    space_stream_clear(stream);
    enum plinth_status st = collect(stream, error);
    if (st || !stream->rows) return st;
    struct row_block *made = row_block_new((uint32_t)stream->has_key + stream->has_value);
    if (!made || !fill_block(stream, made)) {
        row_block_unref(made);
        return error_no_memory(error, "rows of a key space");
    }
    *block = made;
    return PLINTH_OK;
}

static const struct block_stream_ops space_stream_ops = {.next = space_stream_next, .close = space_stream_close};

enum plinth_status space_block_stream_open(struct iterator *it, const struct block_read *read,
                                           struct block_stream **stream, struct plinth_error *error) {
    *stream = NULL;
    struct space_stream *opened = calloc(1, sizeof *opened);
    if (!opened) {
        iterator_close(it);
        return error_no_memory(error, "stream of a key space");
    }
    opened->base.ops = &space_stream_ops;
    opened->it = it;
    for (uint32_t i = 0; i < read->column_count; i++) {
        opened->has_key |= read->column_ids[i] == SPACE_KEY_ID;
        opened->has_value |= read->column_ids[i] == SPACE_VALUE_ID;
    }
    enum plinth_status st = PLINTH_OK;
    if (!buffer_append(&opened->upper, read->upper.data, read->upper.size))
        st = error_no_memory(error, "stream of a key space");
    if (!st) st = read->lower.size ? iterator_seek(it, read->lower, UINT64_MAX, error) : iterator_seek_first(it, error);
    if (st) {
        space_stream_close(&opened->base);
        return st;
    }
    *stream = &opened->base;
    return PLINTH_OK;
}
