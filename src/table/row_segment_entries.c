/* See row_segment_entries.h. Entries come as keys; a few thousand at a time are decoded into columns, one part of all
 * of them after the other, and go to the writer of row segments as a block. */
#include "table/row_segment_entries.h"

#include <stdlib.h>

#include "base/status.h"
#include "table/row_block_private.h"
#include "table/row_segment.h"

enum {
    BLOCK_ROWS = 16 << 10,
    BLOCK_BYTES = 4 << 20,
    ENTRY_FIXED_BYTES = 9, /* LSN and operation, in raw bytes */
};

/* Entries that wait for their block. */
struct gathered {
    struct table_schema *entries; /* what the block's columns are */
    const struct table_schema *schema;
    const struct table_index *index;
    uint32_t column_ids[2 * ROW_KEY_PARTS_MAX];
    struct column_type types[2 * ROW_KEY_PARTS_MAX]; /* of the entry's parts */
    uint32_t count;
    struct buffer keys, ends, lsns;
};

struct row_entries_writer {
    struct gathered gathered;
    struct row_segment_writer *rows;
    uint64_t raw_bytes, row_count;
};

static bool is_part(const struct gathered *gathered, uint32_t column_id) {
    bool found = table_schema_is_key(gathered->schema, column_id);
    for (uint32_t i = 0; i < table_index_entry_parts(gathered->index) && !found; i++)
        found = table_index_part_id(gathered->index, i) == column_id;
    return found;
}

/* The column of a part that is a function of one, named by its text. */
static bool add_function(struct gathered *gathered, uint32_t part) {
    const struct table_index *index = gathered->index;
    const char *column = gathered->schema->columns[table_schema_find_id(gathered->schema, index->columns[part])].name;
    struct buffer name = BUFFER_INIT;
    uint32_t id = table_index_part_id(index, part);
    gathered->entries->next_column_id = id;
    gathered->column_ids[gathered->entries->column_count] = id;
    bool elements = index->functions[part] == FUNCTION_ELEMENTS;
    bool ok = (!elements || buffer_append(&name, "element of ", 11)) &&
              column_function_format(&name, (enum column_function)index->functions[part], slice_of_string(column)) &&
              table_schema_add_column(gathered->entries, buffer_slice(&name), gathered->types[part], true);
    buffer_deinit(&name);
    return ok;
}

/* The columns of the file: those of the entry's parts, in the table's order, then the functions. */
static bool add_columns(struct gathered *gathered) {
    struct table_schema *entries = gathered->entries;
    bool ok = true;
    for (uint32_t i = 0; i < gathered->schema->column_count && ok; i++) {
        const struct table_column *column = &gathered->schema->columns[i];
        if (!is_part(gathered, column->id)) continue;
        entries->next_column_id = column->id;
        gathered->column_ids[entries->column_count] = column->id;
        ok = table_schema_add_column(entries, slice_of_string(column->name), column->type, column->nullable);
    }
    for (uint32_t i = 0; i < gathered->index->column_count && ok; i++)
        if (gathered->index->functions[i] != FUNCTION_NONE) ok = add_function(gathered, i);
    return ok;
}

static enum plinth_status make_schema(struct gathered *gathered, struct plinth_error *error) {
    const struct table_schema *schema = gathered->schema;
    const struct table_index *index = gathered->index;
    uint32_t heads = table_index_entry_parts(index), parts = heads + schema->key_count;
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t id = i < heads ? table_index_part_column(index, i) : schema->key[i - heads];
        int32_t at = table_schema_find_id(schema, id);
        if (at < 0)
            return error_set(error, PLINTH_INTERNAL, "index %s is on a column that table %s does not have", index->name,
                             schema->name);
        gathered->types[i] = i < heads ? table_index_part_type(schema, index, i) : schema->columns[at].type;
    }
    gathered->entries = table_schema_create(index->id, TABLE_ROWS, slice_of_string(index->name), parts, 0);
    if (!gathered->entries || !add_columns(gathered)) return error_no_memory(error, "index entries");
    gathered->entries->version = schema->version;
    gathered->entries->key_count = schema->key_count;
    memcpy(gathered->entries->key, schema->key, sizeof schema->key);
    return PLINTH_OK;
}

static enum plinth_status gathered_init(struct gathered *gathered, const struct table_schema *schema,
                                        const struct table_index *index, struct plinth_error *error) {
    *gathered = (struct gathered){.schema = schema, .index = index};
    return make_schema(gathered, error);
}

static void gathered_deinit(struct gathered *gathered) {
    table_schema_unref(gathered->entries);
    buffer_deinit(&gathered->keys);
    buffer_deinit(&gathered->ends);
    buffer_deinit(&gathered->lsns);
}

enum plinth_status row_entries_schema(const struct table_schema *schema, const struct table_index *index,
                                      struct table_schema **entries, struct plinth_error *error) {
    struct gathered gathered;
    *entries = NULL;
    enum plinth_status st = gathered_init(&gathered, schema, index, error);
    if (!st) *entries = table_schema_ref(gathered.entries);
    gathered_deinit(&gathered);
    return st;
}

static void writer_destroy(struct row_entries_writer *writer) {
    gathered_deinit(&writer->gathered);
    free(writer);
}

enum plinth_status row_entries_writer_open(struct store *store, const char *name, const struct segment_options *options,
                                           struct row_entries_writer **writer, struct plinth_error *error) {
    *writer = NULL;
    struct row_entries_writer *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "segment writer");
    enum plinth_status st = gathered_init(&opened->gathered, options->schema, options->index, error);
    const struct row_segment_options rows = {.schema = opened->gathered.entries,
                                             .index = options->index,
                                             .job = options->job,
                                             .codec = options->codec,
                                             .group_bytes_max = options->group_bytes_max};
    if (!st) st = row_segment_writer_open(store, name, &rows, &opened->rows, error);
    if (st) {
        writer_destroy(opened);
        return st;
    }
    *writer = opened;
    return PLINTH_OK;
}

void row_entries_writer_abort(struct row_entries_writer *writer) {
    if (!writer) return;
    row_segment_writer_abort(writer->rows);
    writer_destroy(writer);
}

/* ---- blocks ---- */

/* Keys and LSNs of the entries that wait, and where the row ids say ordinals, these. */
static bool fill_block(const struct gathered *gathered, struct row_block *block) {
    uint32_t *offsets = arena_alloc(&block->arena, (gathered->count + (size_t)1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(&block->arena, gathered->keys.size + 1);
    uint64_t *lsns = arena_alloc(&block->arena, gathered->count * sizeof *lsns);
    uint32_t *ordinals =
        gathered->schema->key_count ? NULL : arena_alloc(&block->arena, gathered->count * sizeof *ordinals);
    if (!offsets || !bytes || !lsns || (!gathered->schema->key_count && !ordinals)) return false;
    offsets[0] = 0;
    memcpy(offsets + 1, gathered->ends.data, gathered->ends.size);
    memcpy(bytes, gathered->keys.data, gathered->keys.size);
    memcpy(lsns, gathered->lsns.data, gathered->lsns.size);
    for (uint32_t i = 0; ordinals && i < gathered->count; i++)
        ordinals[i] = __builtin_bswap32(load_u32(bytes + offsets[i + 1] - sizeof *ordinals));
    block->rows = gathered->count;
    block->keys = (struct row_keys){offsets, bytes};
    block->lsns = lsns;
    block->lsn_min = block->lsn_max = lsns[0];
    for (uint32_t i = 1; i < block->rows; i++) {
        if (lsns[i] < block->lsn_min) block->lsn_min = lsns[i];
        if (lsns[i] > block->lsn_max) block->lsn_max = lsns[i];
    }
    block->ordinals = ordinals;
    block->column_ids = gathered->column_ids;
    return true;
}

/* The file's columns from the entries' parts. Parts of the primary key that are indexed are there twice, and equal. */
static enum plinth_status fill_columns(const struct gathered *gathered, const struct row_block *block) {
    uint32_t heads = table_index_entry_parts(gathered->index), key_count = gathered->schema->key_count;
    struct batch *batch = block->columns;
    struct column parts[2 * ROW_KEY_PARTS_MAX];
    uint32_t *at = arena_alloc(&batch->arena, block->rows * sizeof *at);
    if (!at) return PLINTH_OUT_OF_MEMORY;
    memcpy(at, block->keys.offsets, block->rows * sizeof *at);
    enum plinth_status st =
        row_keys_decode(&batch->arena, &block->keys, block->rows, at, gathered->types, heads, ROW_KEY_INDEX, parts);
    if (!st)
        st = row_keys_decode(&batch->arena, &block->keys, block->rows, at, gathered->types + heads, key_count,
                             ROW_KEY_PRIMARY, parts + heads);
    for (uint32_t i = 0; !st && i < block->rows; i++)
        if (block->keys.offsets[i + 1] - at[i] != (key_count ? 0 : ROW_ID_BYTES)) st = PLINTH_CORRUPT;
    for (uint32_t i = 0; !st && i < heads + key_count; i++) {
        uint32_t id = i < heads ? table_index_part_id(gathered->index, i) : gathered->schema->key[i - heads];
        int32_t column = table_schema_find_id(gathered->entries, id);
        batch->columns[column] = parts[i];
        batch->columns[column].type = gathered->entries->columns[column].type; /* of bits, the numbers again */
    }
    return st;
}

/* The entries that wait as a block, which is the caller's; then none wait. */
static enum plinth_status take_block(struct gathered *gathered, struct row_block **taken, struct plinth_error *error) {
    *taken = NULL;
    struct row_block *block = row_block_new(gathered->entries->column_count);
    if (!block || !fill_block(gathered, block)) {
        row_block_unref(block);
        return error_no_memory(error, "index entries");
    }
    block->columns->rows = block->rows;
    enum plinth_status st = fill_columns(gathered, block);
    if (st == PLINTH_OUT_OF_MEMORY)
        st = error_no_memory(error, "index entries");
    else if (st)
        st = error_set(error, st, "index %s: malformed entries", gathered->index->name);
    gathered->count = 0;
    buffer_clear(&gathered->keys);
    buffer_clear(&gathered->ends);
    buffer_clear(&gathered->lsns);
    if (st) {
        row_block_unref(block);
        return st;
    }
    *taken = block;
    return PLINTH_OK;
}

static enum plinth_status write_block(struct row_entries_writer *writer, struct plinth_error *error) {
    struct row_block *block;
    if (!writer->gathered.count) return PLINTH_OK;
    enum plinth_status st = take_block(&writer->gathered, &block, error);
    if (!st) st = row_segment_writer_add(writer->rows, block, 0, block->rows, error);
    row_block_unref(block);
    return st;
}

/* ---- rows ---- */

static bool is_full(const struct gathered *gathered, const struct row *next) {
    return gathered->count == BLOCK_ROWS || gathered->keys.size + next->key.size > BLOCK_BYTES;
}

static enum plinth_status gather(struct gathered *gathered, const struct row *row, struct plinth_error *error) {
    if (row->operation != ROW_SET)
        return error_set(error, PLINTH_INTERNAL, "index %s: an entry that is none", gathered->index->name);
    if (row->key.size > INT32_MAX / 2 || !buffer_append(&gathered->keys, row->key.data, row->key.size) ||
        !buffer_append_u32(&gathered->ends, (uint32_t)gathered->keys.size) ||
        !buffer_append_u64(&gathered->lsns, row->lsn))
        return error_no_memory(error, "index entries");
    gathered->count++;
    return PLINTH_OK;
}

enum plinth_status row_entries_writer_add(struct row_entries_writer *writer, const struct row *row,
                                          struct plinth_error *error) {
    bool ends_block = writer->gathered.count && is_full(&writer->gathered, row);
    enum plinth_status st = ends_block ? write_block(writer, error) : PLINTH_OK;
    if (!st) st = gather(&writer->gathered, row, error);
    if (st) return st;
    writer->row_count++;
    writer->raw_bytes += row->key.size + ENTRY_FIXED_BYTES;
    return PLINTH_OK;
}

uint64_t row_entries_writer_raw_bytes(const struct row_entries_writer *writer) { return writer->raw_bytes; }
uint64_t row_entries_writer_rows(const struct row_entries_writer *writer) { return writer->row_count; }

enum plinth_status row_entries_writer_commit(struct row_entries_writer *writer, struct segment_info *info,
                                             struct plinth_error *error) {
    *info = (struct segment_info){0};
    enum plinth_status st = write_block(writer, error);
    if (st)
        row_segment_writer_abort(writer->rows);
    else
        st = row_segment_writer_commit(writer->rows, info, error);
    writer_destroy(writer);
    return st;
}

/* ---- entries of an iterator as blocks ---- */

struct entries_stream {
    struct block_stream base;
    struct gathered gathered;
    struct iterator *it;
    struct buffer upper;
};

static bool is_inside(const struct entries_stream *stream) {
    return stream->it->valid &&
           (!stream->upper.size || slice_compare(stream->it->row.key, buffer_slice(&stream->upper)) < 0);
}

static enum plinth_status entries_stream_next(struct block_stream *base, struct row_block **block,
                                              struct plinth_error *error) {
    struct entries_stream *stream = (struct entries_stream *)base;
    struct gathered *gathered = &stream->gathered;
    enum plinth_status st = PLINTH_OK;
    *block = NULL;
    while (!st && is_inside(stream) && !(gathered->count && is_full(gathered, &stream->it->row))) {
        st = gather(gathered, &stream->it->row, error);
        if (!st) st = iterator_next(stream->it, error);
    }
    return st || !gathered->count ? st : take_block(gathered, block, error);
}

static void entries_stream_close(struct block_stream *base) {
    struct entries_stream *stream = (struct entries_stream *)base;
    iterator_close(stream->it);
    gathered_deinit(&stream->gathered);
    buffer_deinit(&stream->upper);
    free(stream);
}

static const struct block_stream_ops entries_stream_ops = {.next = entries_stream_next, .close = entries_stream_close};

enum plinth_status row_entries_stream_open(struct iterator *it, const struct table_schema *schema,
                                           const struct table_index *index, const struct block_read *read,
                                           struct block_stream **stream, struct plinth_error *error) {
    *stream = NULL;
    struct entries_stream *opened = calloc(1, sizeof *opened);
    if (!opened) {
        iterator_close(it);
        return error_no_memory(error, "index entries");
    }
    opened->base.ops = &entries_stream_ops;
    opened->it = it;
    enum plinth_status st = gathered_init(&opened->gathered, schema, index, error);
    if (!st && !buffer_append(&opened->upper, read->upper.data, read->upper.size))
        st = error_no_memory(error, "index entries");
    if (!st) st = read->lower.size ? iterator_seek(it, read->lower, UINT64_MAX, error) : iterator_seek_first(it, error);
    if (st) {
        entries_stream_close(&opened->base);
        return st;
    }
    *stream = &opened->base;
    return PLINTH_OK;
}
