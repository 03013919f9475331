/* Opening a segment of a typed table: which columns it has, and its stripe index. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/status.h"
#include "table/postings.h"
#include "table/row_segment_private.h"

/* ---- metadata ---- */

/* The next piece of a list, and what is behind the separator; false at the end. */
static bool next_piece(struct slice *list, char separator, struct slice *piece) {
    if (!list->size) return false;
    const uint8_t *end = memchr(list->data, separator, list->size);
    size_t size = end ? (size_t)(end - list->data) : list->size;
    *piece = slice_of(list->data, size);
    size_t behind = end ? size + 1 : size;
    *list = slice_of(list->data + behind, list->size - behind);
    return true;
}

static bool parse_id(struct slice text, uint32_t *id) {
    uint64_t number;
    if (!segment_parse_number(text, &number) || number == 0 || number >= ROW_COLUMN_ID_MAX) return false;
    *id = (uint32_t)number;
    return true;
}

static bool parse_block(struct slice text, struct hidden_block *block) {
    struct slice offset, bytes, crc;
    uint64_t number;
    if (!next_piece(&text, ',', &offset) || !next_piece(&text, ',', &bytes) || !next_piece(&text, ',', &crc) ||
        text.size || !segment_parse_number(offset, &block->offset) || !segment_parse_number(bytes, &block->bytes) ||
        !segment_parse_number(crc, &number) || number > UINT32_MAX)
        return false;
    block->crc = (uint32_t)number;
    return true;
}

static enum plinth_status bad_metadata(const char *key, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "metadata %s is missing or malformed", key);
}

static int compare_ids(const void *a, const void *b) {
    uint32_t id_a = ((const struct row_segment_column *)a)->id, id_b = ((const struct row_segment_column *)b)->id;
    return (id_a > id_b) - (id_a < id_b);
}

/* plinth.types: the columns, without their leaves. */
static enum plinth_status parse_types(struct segment *segment, struct plinth_error *error) {
    struct row_segment *rows = segment->rows;
    struct slice text, piece, id;
    uint32_t most = parquet_reader_metadata(segment->reader)->schema.column_count;
    if (!parquet_metadata_find(parquet_reader_metadata(segment->reader), SEGMENT_META_TYPES, &text))
        return bad_metadata(SEGMENT_META_TYPES, error);
    rows->columns = arena_zalloc(&segment->arena, most * sizeof *rows->columns);
    if (!rows->columns) return error_no_memory(error, "segment columns");
    while (next_piece(&text, ';', &piece)) {
        if (rows->column_count == most) return bad_metadata(SEGMENT_META_TYPES, error);
        struct row_segment_column *column = &rows->columns[rows->column_count++];
        if (!next_piece(&piece, ':', &id) || !parse_id(id, &column->id) ||
            column_type_parse(piece, &column->type, NULL))
            return bad_metadata(SEGMENT_META_TYPES, error);
        column->leaf = UINT32_MAX;
    }
    qsort(rows->columns, rows->column_count, sizeof *rows->columns, compare_ids);
    for (uint32_t i = 1; i < rows->column_count; i++)
        if (rows->columns[i - 1].id == rows->columns[i].id) return bad_metadata(SEGMENT_META_TYPES, error);
    return PLINTH_OK;
}

const struct row_segment_column *row_segment_find(const struct segment *segment, uint32_t column_id) {
    const struct row_segment *rows = segment->rows;
    uint32_t low = 0, high = rows->column_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rows->columns[middle].id < column_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < rows->column_count && rows->columns[low].id == column_id ? &rows->columns[low] : NULL;
}

/* ---- columns ---- */

/* How many nodes a top-level node and all below it are. */
static uint32_t subtree_size(const struct parquet_schema *schema, uint32_t node) {
    uint64_t left = 1, size = 0;
    while (left && node + size < schema->node_count) {
        left += schema->nodes[node + size].child_count;
        left--;
        size++;
    }
    return (uint32_t)size;
}

/* Finds the table's columns by their field ids; `leaf` is the node's first one. */
static enum plinth_status take_node(struct segment *segment, uint32_t node, uint32_t size, uint32_t leaf,
                                    struct plinth_error *error) {
    const struct parquet_node *nodes = parquet_reader_metadata(segment->reader)->schema.nodes + node;
    if (!nodes->has_field_id || nodes->field_id <= 0) return PLINTH_OK;
    struct row_segment_column *column =
        (struct row_segment_column *)row_segment_find(segment, (uint32_t)nodes->field_id);
    if (!column || column->leaf != UINT32_MAX || !row_column_nodes_match(column->type, nodes, size))
        return error_set(error, PLINTH_CORRUPT, "column %.100s is not what metadata %s says", nodes->name,
                         SEGMENT_META_TYPES);
    column->leaf = leaf;
    return PLINTH_OK;
}

static enum plinth_status find_columns(struct segment *segment, struct plinth_error *error) {
    const struct parquet_schema *schema = &parquet_reader_metadata(segment->reader)->schema;
    struct row_segment *rows = segment->rows;
    uint32_t leaf = 0;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t node = 0, size; node < schema->node_count && !st; node += size) {
        size = subtree_size(schema, node);
        while (leaf < schema->column_count && schema->columns[leaf].node < node) leaf++;
        if (leaf < schema->column_count) st = take_node(segment, node, size, leaf, error);
    }
    for (uint32_t i = 0; i < rows->column_count && !st; i++)
        if (rows->columns[i].leaf == UINT32_MAX)
            st = error_set(error, PLINTH_CORRUPT, "the column with the id %" PRIu32 " is missing", rows->columns[i].id);
    return st;
}

static enum plinth_status find_system_column(struct segment *segment, const char *name, enum parquet_type type,
                                             uint32_t *leaf, struct plinth_error *error) {
    const struct parquet_schema *schema = &parquet_reader_metadata(segment->reader)->schema;
    int32_t found = parquet_schema_find(schema, name);
    if (found < 0) return error_set(error, PLINTH_CORRUPT, "column %s is missing", name);
    const struct parquet_column *column = &schema->columns[found];
    if (column->type != type || column->repetition_level_max || column->definition_level_max || column->part_count != 1)
        return error_set(error, PLINTH_CORRUPT, "column %s has a wrong type", name);
    *leaf = (uint32_t)found;
    return PLINTH_OK;
}

static enum plinth_status find_system_columns(struct segment *segment, struct plinth_error *error) {
    static const enum segment_column columns[] = {SEGMENT_LSN, SEGMENT_OPERATION};
    enum plinth_status st = PLINTH_OK;
    for (int i = 0; i < 2 && !st; i++) {
        enum segment_column column = columns[i];
        st = find_system_column(segment, segment_column_names[column], i ? PARQUET_TYPE_INT32 : PARQUET_TYPE_INT64,
                                &segment->leaf[column], error);
        segment->has_column[column] = true;
    }
    if (!st && !segment->rows->key_count)
        st = find_system_column(segment, "_ord", PARQUET_TYPE_INT32, &segment->rows->ordinal_leaf, error);
    return st;
}

/* plinth.key: columns without nulls, of types that keys may have. */
static enum plinth_status parse_key(struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    struct row_segment *rows = segment->rows;
    struct slice text, piece;
    if (!parquet_metadata_find(metadata, SEGMENT_META_KEY, &text)) return bad_metadata(SEGMENT_META_KEY, error);
    while (next_piece(&text, ',', &piece)) {
        uint32_t id;
        const struct row_segment_column *column = parse_id(piece, &id) ? row_segment_find(segment, id) : NULL;
        if (!column || rows->key_count == ROW_KEY_PARTS_MAX || !row_key_type_is_allowed(column->type) ||
            metadata->schema.columns[column->leaf].definition_level_max)
            return bad_metadata(SEGMENT_META_KEY, error);
        rows->key[rows->key_count++] = (uint32_t)(column - rows->columns);
    }
    return PLINTH_OK;
}

/* plinth.index_key: columns of types that keys may have. */
static enum plinth_status parse_index_key(struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    struct row_segment *rows = segment->rows;
    struct slice text, piece;
    if (segment->info.is_rows) return PLINTH_OK;
    if (!parquet_metadata_find(metadata, SEGMENT_META_INDEX_KEY, &text))
        return bad_metadata(SEGMENT_META_INDEX_KEY, error);
    while (next_piece(&text, ',', &piece)) {
        uint32_t id;
        const struct row_segment_column *column = parse_id(piece, &id) ? row_segment_find(segment, id) : NULL;
        if (!column || rows->index_count == ROW_KEY_PARTS_MAX || !row_key_type_is_allowed(column->type))
            return bad_metadata(SEGMENT_META_INDEX_KEY, error);
        rows->index[rows->index_count++] = (uint32_t)(column - rows->columns);
    }
    if (!rows->index_count) return bad_metadata(SEGMENT_META_INDEX_KEY, error);
    if (parquet_metadata_find(metadata, SEGMENT_META_INDEX_INCLUDED, &text) &&
        (!parse_id(text, &rows->included_count) || rows->included_count >= rows->index_count))
        return bad_metadata(SEGMENT_META_INDEX_INCLUDED, error);
    return PLINTH_OK;
}

static enum plinth_status parse_no_nan(struct segment *segment, struct plinth_error *error) {
    struct slice text = {0}, piece;
    if (!parquet_metadata_find(parquet_reader_metadata(segment->reader), SEGMENT_META_NO_NAN, &text)) return PLINTH_OK;
    while (next_piece(&text, ',', &piece)) {
        uint32_t id;
        const struct row_segment_column *column = parse_id(piece, &id) ? row_segment_find(segment, id) : NULL;
        if (!column) return bad_metadata(SEGMENT_META_NO_NAN, error);

        segment->rows->columns[column - segment->rows->columns].has_no_nan = true;
    }
    return PLINTH_OK;
}

/* plinth.postings.<column id>.<b|t> */
static enum plinth_status parse_postings(struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    const struct slice prefix = slice_of_string(SEGMENT_META_POSTINGS);
    struct row_segment *rows = segment->rows;
    rows->postings = arena_zalloc(&segment->arena, metadata->key_value_count * sizeof *rows->postings);
    if (!rows->postings) return error_no_memory(error, "segment metadata");
    for (uint32_t i = 0; i < metadata->key_value_count; i++) {
        const struct parquet_key_value *pair = &metadata->key_values[i];
        if (!slice_starts_with(pair->key, prefix)) continue;
        struct slice name = slice_of(pair->key.data + prefix.size, pair->key.size - prefix.size), id;
        struct postings_block *postings = &rows->postings[rows->postings_count];
        if (!next_piece(&name, '.', &id) || !parse_id(id, &postings->column_id) || name.size != 1 ||
            (name.data[0] != 'b' && name.data[0] != 't') || !parse_block(pair->value, &postings->block))
            return bad_metadata(SEGMENT_META_POSTINGS, error);
        postings->kind = name.data[0] == 'b' ? INDEX_BITMAP : INDEX_TOKEN;
        rows->postings_count++;
    }
    return PLINTH_OK;
}

/* ---- hidden blocks ---- */

/* A fuzzer's changes shall get past here, to what the block says. */
static bool checksum_is_right(struct slice bytes, uint32_t crc) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)bytes, (void)crc;
    return true;
#else
    return crc32c(0, bytes.data, bytes.size) == crc;
#endif
}

enum plinth_status row_segment_read_block(struct segment *segment, const struct hidden_block *block,
                                          struct buffer *owned, struct slice *bytes, struct plinth_error *error) {
    struct store_object *object = segment->object;
    *bytes = (struct slice){0};
    if (block->offset > object->size || block->bytes > object->size - block->offset)
        return error_set(error, PLINTH_CORRUPT,
                         "a hidden block at offset %" PRIu64 " has %" PRIu64 " bytes: past the end", block->offset,
                         block->bytes);
    enum plinth_status st = PLINTH_OK;
    if (object->mapped) {
        *bytes = slice_of(object->mapped + block->offset, (size_t)block->bytes);
    } else {
        buffer_clear(owned);
        if (!buffer_reserve(owned, (size_t)block->bytes + 1)) return error_no_memory(error, "hidden block");
        st = object_read_at(object, block->offset, owned->data, (size_t)block->bytes, error);
        owned->size = (size_t)block->bytes;
        *bytes = buffer_slice(owned);
    }
    if (!st && !checksum_is_right(*bytes, block->crc))
        st = error_set(error, PLINTH_CORRUPT, "the hidden block at offset %" PRIu64 " has not the checksum %08x",
                       block->offset, block->crc);
    return st;
}

/* ---- stripe index ---- */

static enum plinth_status bad_index(const char *what, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "stripe index: %s", what);
}

/* Stripes and filter blocks of each row group. */
static enum plinth_status read_groups(struct segment *segment, struct reader *from, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    uint64_t stripes = 0, count = reader_varint(from), left = reader_left(from);
    if (from->failed || count != metadata->row_group_count)
        return bad_index("the row groups are not the footer's", error);
    segment->groups = arena_zalloc(&segment->arena, count * sizeof *segment->groups);
    if (!segment->groups) return error_no_memory(error, "stripe index");
    segment->group_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        struct segment_group *group = &segment->groups[i];
        uint64_t group_stripes = reader_varint(from), blocks = reader_varint(from);
        if (from->failed || group_stripes == 0 || group_stripes > left || stripes > left ||
            blocks > left / PARQUET_BLOOM_BLOCK_BYTES)
            return bad_index("more stripes than bytes", error);
        group->first_stripe = (uint32_t)stripes;
        group->stripe_count = (uint32_t)group_stripes;
        group->bloom.block_count = (uint32_t)blocks;
        stripes += group_stripes;
    }
    /* A stripe takes at least 4 bytes; and they are numbered with 31 bits. */
    if (stripes > left / 4 || stripes > INT32_MAX) return bad_index("more stripes than bytes", error);
    segment->stripes.count = (uint32_t)stripes;
    return PLINTH_OK;
}

static bool alloc_index(struct segment *segment) {
    struct stripe_index *index = &segment->stripes;
    struct arena *arena = &segment->arena;
    index->key_offsets = arena_alloc(arena, (index->count + (size_t)1) * sizeof *index->key_offsets);
    index->lsns = arena_zalloc(arena, index->count * sizeof *index->lsns);
    index->groups = arena_alloc(arena, index->count * sizeof *index->groups);
    index->first_rows = arena_alloc(arena, index->count * sizeof *index->first_rows);
    index->rows = arena_alloc(arena, index->count * sizeof *index->rows);
    index->flags = arena_alloc(arena, index->count * sizeof *index->flags);
    return index->key_offsets && index->lsns && index->groups && index->first_rows && index->rows && index->flags;
}

/* One stripe; its first key is appended to `keys`, the one before lies at `*last`. */
static enum plinth_status read_stripe(struct segment *segment, struct reader *from, uint32_t stripe, struct slice *last,
                                      struct buffer *keys, struct plinth_error *error) {
    struct stripe_index *index = &segment->stripes;
    uint64_t rows = reader_varint(from);
    uint8_t flags = reader_u8(from);
    uint64_t shared = reader_varint(from);
    struct slice rest = reader_string(from);
    if (from->failed || rows == 0 || rows > UINT32_MAX || flags & ~STRIPE_CONTINUES || shared > last->size)
        return bad_index("malformed", error);
    if (keys->size + shared + rest.size > UINT32_MAX) return bad_index("its keys are over 4 GiB", error);
    uint32_t begin = (uint32_t)keys->size, before = begin - (uint32_t)last->size;
    if (!buffer_reserve(keys, (size_t)shared + rest.size)) return error_no_memory(error, "stripe index");
    memcpy(keys->data + begin, keys->data + before, (size_t)shared);
    if (rest.size) memcpy(keys->data + begin + shared, rest.data, rest.size);
    keys->size += (size_t)shared + rest.size;
    struct slice key = slice_of(keys->data + begin, keys->size - begin);
    int order = stripe ? slice_compare(slice_of(keys->data + before, last->size), key) : -1;
    if (order > 0 || (order == 0 && !flags)) return bad_index("its keys are out of order", error);
    *last = key;
    index->key_offsets[stripe] = begin;
    index->rows[stripe] = (uint32_t)rows;
    index->flags[stripe] = stripe ? flags : 0;
    return PLINTH_OK;
}

static enum plinth_status read_stripes(struct segment *segment, struct reader *from, struct buffer *keys,
                                       struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    struct stripe_index *index = &segment->stripes;
    struct slice last = {0};
    enum plinth_status st = PLINTH_OK;
    /* Never null, however short the keys. */
    if (!alloc_index(segment) || !buffer_reserve(keys, 1)) return error_no_memory(error, "stripe index");
    for (uint32_t g = 0; g < segment->group_count && !st; g++) {
        const struct segment_group *group = &segment->groups[g];
        uint64_t rows = 0;
        for (uint32_t i = 0; i < group->stripe_count && !st; i++) {
            uint32_t stripe = group->first_stripe + i;
            index->groups[stripe] = g;
            index->first_rows[stripe] = (uint32_t)rows;
            st = read_stripe(segment, from, stripe, &last, keys, error);
            rows += st ? 0 : index->rows[stripe];
            if (!st && rows > UINT32_MAX) st = bad_index("a row group is too long", error);
        }
        if (!st && rows != metadata->row_groups[g].row_count)
            st = error_set(error, PLINTH_CORRUPT,
                           "stripe index: row group %u has %" PRIu64 " rows, the footer says %" PRIu64, g, rows,
                           metadata->row_groups[g].row_count);
    }
    if (st) return st;
    index->key_offsets[index->count] = (uint32_t)keys->size;
    index->keys = arena_alloc(&segment->arena, keys->size + 1);
    if (!index->keys) return error_no_memory(error, "stripe index");
    memcpy(index->keys, keys->data, keys->size);
    return PLINTH_OK;
}

static enum plinth_status read_filters(struct segment *segment, struct reader *from, struct plinth_error *error) {
    for (uint32_t g = 0; g < segment->group_count; g++) {
        struct parquet_bloom *bloom = &segment->groups[g].bloom;
        bloom->blocks = reader_bytes(from, (uint64_t)bloom->block_count * PARQUET_BLOOM_BLOCK_BYTES).data;
        segment->groups[g].has_bloom = bloom->block_count > 0;
        if (from->failed) return bad_index("a key filter is cut", error);
    }
    return reader_left(from) ? bad_index("there are bytes behind it", error) : PLINTH_OK;
}

static enum plinth_status load_stripe_index(struct segment *segment, struct plinth_error *error) {
    struct hidden_block block;
    struct slice text, bytes, last_key = {0};
    struct buffer keys = BUFFER_INIT;
    if (!parquet_metadata_find(parquet_reader_metadata(segment->reader), SEGMENT_META_STRIPE_INDEX, &text) ||
        !parse_block(text, &block))
        return bad_metadata(SEGMENT_META_STRIPE_INDEX, error);
    enum plinth_status st = row_segment_read_block(segment, &block, &segment->rows->stripe_index, &bytes, error);
    struct reader from = reader_of(bytes);
    if (!st) st = read_groups(segment, &from, error);
    if (!st && !segment->stripes.count) st = bad_index("there are no rows", error);
    if (!st) st = read_stripes(segment, &from, &keys, error);
    if (!st) last_key = reader_string(&from);
    if (!st &&
        (from.failed || slice_compare(stripe_first_key(&segment->stripes, segment->stripes.count - 1), last_key) > 0))
        st = bad_index("its last key is out of order", error);
    if (!st) st = read_filters(segment, &from, error);
    if (!st) st = segment_finish_index(segment, error);
    if (!st) st = segment_check_bounds(segment, last_key, error);
    buffer_deinit(&keys);
    return st;
}

/* ---- page indexes ---- */

static void pages_destroy(struct parquet_page_index *pages) {
    if (pages) parquet_page_index_deinit(pages);
    free(pages);
}

static uint64_t pages_memory(const struct parquet_page_index *pages) { return sizeof *pages + pages->arena.used_bytes; }

static enum plinth_status check_pages(const struct segment *segment, uint32_t number, uint32_t leaf,
                                      const struct parquet_page_index *pages, struct plinth_error *error) {
    const struct segment_group *group = &segment->groups[number];
    const struct stripe_index *index = &segment->stripes;
    const char *path = parquet_reader_metadata(segment->reader)->schema.columns[leaf].path;
    if (pages->page_count != group->stripe_count)
        return error_set(error, PLINTH_CORRUPT, "row group %u, column %.100s: %u pages, but %u stripes", number, path,
                         pages->page_count, group->stripe_count);
    for (uint32_t i = 0; i < pages->page_count; i++) {
        const struct parquet_page_location *location = &pages->locations[i];
        uint32_t stripe = group->first_stripe + i;
        if (location->first_row != index->first_rows[stripe] || location->row_count != index->rows[stripe])
            return error_set(error, PLINTH_CORRUPT, "row group %u, column %.100s, page %u: not the rows of its stripe",
                             number, path, i);
    }
    return PLINTH_OK;
}

enum plinth_status row_segment_pages(struct segment *segment, uint32_t group, uint32_t leaf,
                                     const struct parquet_page_index **pages, struct plinth_error *error) {
    struct row_segment *rows = segment->rows;
    _Atomic(struct parquet_page_index *) *slot = &rows->pages[(size_t)group * rows->leaf_count + leaf];
    /* acquire, with the release of whoever loaded it */
    struct parquet_page_index *loaded = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;
    *pages = loaded;
    if (loaded) return PLINTH_OK;
    loaded = calloc(1, sizeof *loaded);
    if (!loaded) return error_no_memory(error, "page index");
    enum plinth_status st = parquet_reader_page_index(segment->reader, group, leaf, loaded, error);
    if (!st) st = check_pages(segment, group, leaf, loaded, error);
    if (st) {
        pages_destroy(loaded);
        return st;
    }
    if (atomic_compare_exchange_strong_explicit(slot, &none, loaded, memory_order_acq_rel, memory_order_acquire)) {
        atomic_fetch_add_explicit(&rows->loaded_bytes, pages_memory(loaded), memory_order_relaxed);
    } else {
        pages_destroy(loaded);
        loaded = none;
    }
    *pages = loaded;
    return PLINTH_OK;
}

/* Which stripes have one LSN and one operation throughout. */
static enum plinth_status note_constants(struct segment *segment, enum segment_column column,
                                         struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t g = 0; g < segment->group_count && !st; g++) {
        const struct parquet_page_index *pages;
        uint32_t first = segment->groups[g].first_stripe;
        st = row_segment_pages(segment, g, segment->leaf[column], &pages, error);
        for (uint32_t i = 0; !st && pages->bounds && i < pages->page_count; i++)
            stripe_index_note_bounds(&segment->stripes.flags[first + i], &segment->stripes.lsns[first + i], column,
                                     &pages->bounds[i]);
    }
    return st;
}

/* ---- all of it ---- */

enum plinth_status row_segment_load(struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    struct row_segment *rows = segment->rows = arena_zalloc(&segment->arena, sizeof *rows);
    if (!rows) return error_no_memory(error, "segment");
    enum plinth_status st = parse_types(segment, error);
    if (!st) st = find_columns(segment, error);
    if (!st) st = parse_key(segment, error);
    if (!st) st = parse_index_key(segment, error);
    if (!st) st = find_system_columns(segment, error);
    if (!st) st = parse_no_nan(segment, error);
    if (!st) st = parse_postings(segment, error);
    if (!st) st = load_stripe_index(segment, error);
    if (st) return st;
    struct slice version;
    if (!parquet_metadata_find(metadata, SEGMENT_META_SCHEMA_VERSION, &version) ||
        !segment_parse_number(version, &rows->schema_version))
        rows->schema_version = 0;
    size_t count = (size_t)metadata->row_group_count * metadata->schema.column_count;
    rows->pages = arena_zalloc(&segment->arena, count * sizeof *rows->pages);
    if (!rows->pages) return error_no_memory(error, "segment");
    rows->leaf_count = metadata->schema.column_count;
    st = note_constants(segment, SEGMENT_LSN, error);
    if (!st) st = note_constants(segment, SEGMENT_OPERATION, error);
    return st;
}

enum plinth_status segment_schema_version(struct segment *segment, uint64_t *version, struct plinth_error *error) {
    *version = 0;
    enum plinth_status st = segment_load(segment, error);
    if (!st && segment->rows) *version = segment->rows->schema_version;
    return st;
}

void row_segment_unload(struct segment *segment) {
    struct row_segment *rows = segment->rows;
    if (!rows) return;
    size_t count = rows->pages ? (size_t)segment->group_count * rows->leaf_count : 0;
    for (size_t i = 0; i < count; i++) pages_destroy(atomic_load_explicit(&rows->pages[i], memory_order_relaxed));
    for (uint32_t i = 0; i < rows->postings_count; i++)
        postings_view_destroy(atomic_load_explicit(&rows->postings[i].loaded, memory_order_relaxed));
    buffer_deinit(&rows->stripe_index);
}

uint64_t row_segment_memory(const struct segment *segment) {
    struct row_segment *rows = segment->rows;
    return rows ? rows->stripe_index.capacity + atomic_load_explicit(&rows->loaded_bytes, memory_order_relaxed) : 0;
}

bool segment_is_rows(const struct segment *segment) { return segment->info.is_rows; }

bool segment_is_plain_at(const struct segment *segment, uint64_t lsn) {
    const struct segment_info *info = &segment->info;
    return info->superseded == 0 && info->deletes == 0 && info->lsn_max <= lsn;
}

uint32_t segment_stripe_count(const struct segment *segment) {
    assert(segment_is_loaded(segment));
    return segment->stripes.count;
}

enum { STRIPE_ROWS_GUESS = 1024 };

uint64_t segment_stripe_estimate(const struct segment *segment) {
    return segment_is_loaded(segment) ? segment->stripes.count : segment->info.rows / STRIPE_ROWS_GUESS + 1;
}

uint32_t segment_stripe_rows(const struct segment *segment, uint32_t stripe) { return segment->stripes.rows[stripe]; }

uint64_t segment_stripe_first_row(const struct segment *segment, uint32_t stripe) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    return metadata->row_groups[segment->stripes.groups[stripe]].first_row + segment->stripes.first_rows[stripe];
}

struct slice segment_stripe_first_key(const struct segment *segment, uint32_t stripe) {
    return stripe_first_key(&segment->stripes, stripe);
}

void segment_stripes_in(const struct segment *segment, struct slice lower, struct slice upper, uint32_t *first,
                        uint32_t *end) {
    const struct stripe_index *index = &segment->stripes;
    uint32_t last;
    assert(segment_is_loaded(segment));
    *first = 0;
    *end = index->count;
    /* All versions of `lower` count: from the first stripe that may hold one. */
    if (lower.size && !stripe_index_range(index, lower, first, &last)) *first = 0;
    if (lower.size && slice_compare(lower, buffer_slice(&segment->info.key_max)) > 0) *first = *end;
    if (upper.size) {
        *end = stripe_index_count_not_above(index, upper);
        /* Stripes that begin with `upper` itself have nothing below it. */
        while (*end > 0 && slice_equal(stripe_first_key(index, *end - 1), upper)) --*end;
    }
    if (*first > *end) *first = *end;
}
