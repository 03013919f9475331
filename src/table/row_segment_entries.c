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

struct row_entries_writer {
    struct table_schema *entries; /* what the file's columns are */
    const struct table_schema *schema;
    const struct table_index *index;
    struct row_segment_writer *rows;
    uint64_t raw_bytes, row_count;
    uint32_t column_ids[2 * ROW_KEY_PARTS_MAX];
    struct column_type types[2 * ROW_KEY_PARTS_MAX]; /* of the entry's parts */
    /* Entries that wait for their block. */
    uint32_t count;
    struct buffer keys, ends, lsns;
};

static bool is_part(const struct row_entries_writer *writer, uint32_t column_id) {
    bool found = table_schema_is_key(writer->schema, column_id);
    for (uint32_t i = 0; i < writer->index->column_count && !found; i++) found = writer->index->columns[i] == column_id;
    return found;
}

/* The columns of the file: those of the entry's parts, in the table's order. */
static bool add_columns(struct row_entries_writer *writer) {
    struct table_schema *entries = writer->entries;
    bool ok = true;
    for (uint32_t i = 0; i < writer->schema->column_count && ok; i++) {
        const struct table_column *column = &writer->schema->columns[i];
        if (!is_part(writer, column->id)) continue;
        entries->next_column_id = column->id;
        writer->column_ids[entries->column_count] = column->id;
        ok = table_schema_add_column(entries, slice_of_string(column->name), column->type, column->nullable);
    }
    return ok;
}

static enum plinth_status make_schema(struct row_entries_writer *writer, struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    const struct table_index *index = writer->index;
    uint32_t parts = index->column_count + schema->key_count;
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t id = i < index->column_count ? index->columns[i] : schema->key[i - index->column_count];
        int32_t at = table_schema_find_id(schema, id);
        if (at < 0)
            return error_set(error, PLINTH_INTERNAL, "index %s is on a column that table %s does not have", index->name,
                             schema->name);
        writer->types[i] = schema->columns[at].type;
    }
    writer->entries = table_schema_create(index->id, TABLE_ROWS, slice_of_string(index->name), parts, 0);
    if (!writer->entries || !add_columns(writer)) return error_no_memory(error, "segment writer");
    writer->entries->version = schema->version;
    writer->entries->key_count = schema->key_count;
    memcpy(writer->entries->key, schema->key, sizeof schema->key);
    return PLINTH_OK;
}

static void writer_destroy(struct row_entries_writer *writer) {
    table_schema_unref(writer->entries);
    buffer_deinit(&writer->keys);
    buffer_deinit(&writer->ends);
    buffer_deinit(&writer->lsns);
    free(writer);
}

enum plinth_status row_entries_writer_open(struct store *store, const char *name, const struct segment_options *options,
                                           struct row_entries_writer **writer, struct plinth_error *error) {
    *writer = NULL;
    struct row_entries_writer *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "segment writer");
    opened->schema = options->schema;
    opened->index = options->index;
    enum plinth_status st = make_schema(opened, error);
    const struct row_segment_options rows = {
        .schema = opened->entries, .index = options->index, .job = options->job, .codec = options->codec};
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
static bool fill_block(const struct row_entries_writer *writer, struct row_block *block) {
    uint32_t *offsets = arena_alloc(&block->arena, (writer->count + (size_t)1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(&block->arena, writer->keys.size + 1);
    uint64_t *lsns = arena_alloc(&block->arena, writer->count * sizeof *lsns);
    uint32_t *ordinals =
        writer->schema->key_count ? NULL : arena_alloc(&block->arena, writer->count * sizeof *ordinals);
    if (!offsets || !bytes || !lsns || (!writer->schema->key_count && !ordinals)) return false;
    offsets[0] = 0;
    memcpy(offsets + 1, writer->ends.data, writer->ends.size);
    memcpy(bytes, writer->keys.data, writer->keys.size);
    memcpy(lsns, writer->lsns.data, writer->lsns.size);
    for (uint32_t i = 0; ordinals && i < writer->count; i++)
        ordinals[i] = __builtin_bswap32(load_u32(bytes + offsets[i + 1] - sizeof *ordinals));
    block->rows = writer->count;
    block->keys = (struct row_keys){offsets, bytes};
    block->lsns = lsns;
    block->ordinals = ordinals;
    block->column_ids = writer->column_ids;
    return true;
}

/* The file's columns from the entries' parts. Parts of the primary key that are indexed are there twice, and equal. */
static enum plinth_status fill_columns(const struct row_entries_writer *writer, const struct row_block *block) {
    uint32_t heads = writer->index->column_count, key_count = writer->schema->key_count;
    struct batch *batch = block->columns;
    struct column parts[2 * ROW_KEY_PARTS_MAX];
    uint32_t *at = arena_alloc(&batch->arena, block->rows * sizeof *at);
    if (!at) return PLINTH_OUT_OF_MEMORY;
    memcpy(at, block->keys.offsets, block->rows * sizeof *at);
    enum plinth_status st =
        row_keys_decode(&batch->arena, &block->keys, block->rows, at, writer->types, heads, ROW_KEY_INDEX, parts);
    if (!st)
        st = row_keys_decode(&batch->arena, &block->keys, block->rows, at, writer->types + heads, key_count,
                             ROW_KEY_PRIMARY, parts + heads);
    for (uint32_t i = 0; !st && i < block->rows; i++)
        if (block->keys.offsets[i + 1] - at[i] != (key_count ? 0 : ROW_ID_BYTES)) st = PLINTH_CORRUPT;
    for (uint32_t i = 0; !st && i < heads + key_count; i++) {
        uint32_t id = i < heads ? writer->index->columns[i] : writer->schema->key[i - heads];
        batch->columns[table_schema_find_id(writer->entries, id)] = parts[i];
    }
    return st;
}

static enum plinth_status write_block(struct row_entries_writer *writer, struct plinth_error *error) {
    if (!writer->count) return PLINTH_OK;
    struct row_block *block = row_block_new(writer->entries->column_count);
    if (!block || !fill_block(writer, block)) {
        row_block_unref(block);
        return error_no_memory(error, "index entries");
    }
    block->columns->rows = block->rows;
    enum plinth_status st = fill_columns(writer, block);
    if (st == PLINTH_OUT_OF_MEMORY)
        st = error_no_memory(error, "index entries");
    else if (st)
        st = error_set(error, st, "index %s: malformed entries", writer->index->name);
    if (!st) st = row_segment_writer_add(writer->rows, block, 0, block->rows, error);
    row_block_unref(block);
    writer->count = 0;
    buffer_clear(&writer->keys);
    buffer_clear(&writer->ends);
    buffer_clear(&writer->lsns);
    return st;
}

/* ---- rows ---- */

enum plinth_status row_entries_writer_add(struct row_entries_writer *writer, const struct row *row,
                                          struct plinth_error *error) {
    bool ends_block = writer->count == BLOCK_ROWS || writer->keys.size + row->key.size > BLOCK_BYTES;
    enum plinth_status st = ends_block ? write_block(writer, error) : PLINTH_OK;
    if (st) return st;
    if (row->operation != ROW_SET)
        return error_set(error, PLINTH_INTERNAL, "index %s: an entry that is none", writer->index->name);
    if (row->key.size > INT32_MAX / 2 || !buffer_append(&writer->keys, row->key.data, row->key.size) ||
        !buffer_append_u32(&writer->ends, (uint32_t)writer->keys.size) || !buffer_append_u64(&writer->lsns, row->lsn))
        return error_no_memory(error, "index entries");
    writer->count++;
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
