/* See row_segment_read.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/row_segment_read.h"

/* Kinds of cache keys besides stripes (stripe.c), which are below 2^32. */
#define DICTIONARY_KEY (UINT64_C(1) << 63)

struct row_decoder {
    struct parquet_scratch *scratch;
    struct parquet_column_buffer pages[ROW_RANGES_MAX];
    struct parquet_list_buffer lists[ROW_RANGES_MAX];
    struct arena arena; /* of one stripe, for row_stripe_decode */
};

enum plinth_status row_decoder_create(struct row_decoder **decoder, struct plinth_error *error) {
    *decoder = NULL;
    struct row_decoder *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "row decoder");
    arena_init(&created->arena);
    enum plinth_status st = parquet_scratch_create(&created->scratch, error);
    if (st) {
        free(created);
        return st;
    }
    *decoder = created;
    return PLINTH_OK;
}

void row_decoder_destroy(struct row_decoder *decoder) {
    if (!decoder) return;
    parquet_scratch_destroy(decoder->scratch);
    for (int i = 0; i < ROW_RANGES_MAX; i++) {
        parquet_column_buffer_deinit(&decoder->pages[i]);
        parquet_list_buffer_deinit(&decoder->lists[i]);
    }
    arena_deinit(&decoder->arena);
    free(decoder);
}

size_t row_decoder_memory(const struct row_decoder *decoder) {
    size_t bytes = sizeof *decoder + parquet_scratch_memory(decoder->scratch) + decoder->arena.used_bytes;
    for (int i = 0; i < ROW_RANGES_MAX; i++)
        bytes += parquet_column_buffer_size(&decoder->pages[i]) + parquet_list_buffer_size(&decoder->lists[i]);
    return bytes;
}

/* ---- dictionaries ---- */

struct cached_dictionary {
    struct page_cache_entry entry;
    struct parquet_column_buffer buffer;
};

static void dictionary_destroy(struct page_cache_entry *entry) {
    struct cached_dictionary *dictionary = (struct cached_dictionary *)entry;
    parquet_column_buffer_deinit(&dictionary->buffer);
    free(dictionary);
}

/* From the cache, or decoded and put there; referenced. */
static enum plinth_status load_dictionary(struct segment *segment, uint32_t group, uint32_t leaf,
                                          struct parquet_scratch *scratch, struct page_cache_entry **entry,
                                          struct plinth_error *error) {
    struct page_cache_key key = {segment->id, DICTIONARY_KEY | (uint64_t)leaf << 32 | group};
    *entry = segment->cache ? page_cache_find(segment->cache, key) : NULL;
    if (*entry) return PLINTH_OK;
    struct cached_dictionary *dictionary = calloc(1, sizeof *dictionary);
    if (!dictionary) return error_no_memory(error, "dictionary");
    enum plinth_status st =
        parquet_reader_dictionary(segment->reader, group, leaf, scratch, &dictionary->buffer, error);
    if (st) {
        dictionary_destroy(&dictionary->entry);
        return st;
    }
    dictionary->entry.key = key;
    dictionary->entry.bytes = sizeof *dictionary + parquet_column_buffer_size(&dictionary->buffer);
    dictionary->entry.destroy = dictionary_destroy;
    atomic_init(&dictionary->entry.references, 1);
    *entry = segment->cache ? page_cache_insert(segment->cache, &dictionary->entry) : &dictionary->entry;
    return PLINTH_OK;
}

bool row_dictionaries_init(struct row_dictionaries *dictionaries, const struct segment *segment) {
    *dictionaries = (struct row_dictionaries){.group = UINT32_MAX, .count = segment->rows->leaf_count};
    dictionaries->entries = calloc(dictionaries->count + (size_t)1, sizeof *dictionaries->entries);
    return dictionaries->entries != NULL;
}

static void drop_dictionaries(struct row_dictionaries *dictionaries) {
    for (uint32_t i = 0; i < dictionaries->count; i++) {
        page_cache_unref(dictionaries->entries[i]);
        dictionaries->entries[i] = NULL;
    }
}

void row_dictionaries_deinit(struct row_dictionaries *dictionaries) {
    if (dictionaries->entries) drop_dictionaries(dictionaries);
    free(dictionaries->entries);
    *dictionaries = (struct row_dictionaries){0};
}

/* The chunk's dictionary in `*entry`, or null when it has none. `*owned` says that the caller gives it back. */
static enum plinth_status find_dictionary(struct row_decoder *decoder, const struct row_read *read, uint32_t group,
                                          uint32_t leaf, struct page_cache_entry **entry, bool *owned,
                                          struct plinth_error *error) {
    struct row_dictionaries *kept = read->dictionaries;
    *entry = NULL;
    *owned = !kept;
    if (kept && kept->group != group) {
        drop_dictionaries(kept);
        kept->group = group;
    }
    if (kept && (*entry = kept->entries[leaf])) return PLINTH_OK;
    if (!parquet_reader_has_dictionary(read->segment->reader, group, leaf)) return PLINTH_OK;
    enum plinth_status st = load_dictionary(read->segment, group, leaf, decoder->scratch, entry, error);
    if (kept) kept->entries[leaf] = *entry;
    return st;
}

/* ---- pages ---- */

/* Whether the page index says that there are only nulls. */
static bool is_null_page(const struct parquet_page_index *pages, uint32_t page) {
    return pages->bounds && pages->bounds[page].is_null_page;
}

static enum plinth_status read_page(struct row_decoder *decoder, const struct row_read *read, uint32_t range,
                                    uint32_t leaf, const struct parquet_page_index *pages,
                                    const struct page_cache_entry *dictionary, struct plinth_error *error) {
    struct segment *segment = read->segment;
    uint32_t stripe = read->ranges[range].stripe, group = segment->stripes.groups[stripe];
    uint32_t page = stripe - segment->groups[group].first_stripe;
    const struct parquet_column_buffer *entries =
        dictionary ? &((const struct cached_dictionary *)dictionary)->buffer : NULL;
    struct parquet_column_buffer *into = &decoder->pages[range];
    enum plinth_status st =
        parquet_reader_read_page(segment->reader, group, leaf, pages, page, entries, decoder->scratch, into, error);
    if (!st && into->data.rows != segment->stripes.rows[stripe])
        st = error_set(error, PLINTH_CORRUPT, "column %.100s has %" PRIu64 " rows, the stripe has %u",
                       parquet_reader_metadata(segment->reader)->schema.columns[leaf].path, into->data.rows,
                       segment->stripes.rows[stripe]);
    if (!st && read->stats) {
        read->stats->pages_read++;
        read->stats->bytes_read += pages->locations[page].bytes;
    }
    if (st && error) (void)error_prefix(error, "stripe %u", stripe);
    return st;
}

/* Decodes the pages of a leaf in all ranges. */
static enum plinth_status read_pages(struct row_decoder *decoder, const struct row_read *read, uint32_t leaf,
                                     struct page_piece *pieces, struct plinth_error *error) {
    struct segment *segment = read->segment;
    uint32_t group = segment->stripes.groups[read->ranges[0].stripe];
    const struct parquet_column *column = &parquet_reader_metadata(segment->reader)->schema.columns[leaf];
    const struct parquet_page_index *pages;
    struct page_cache_entry *dictionary = NULL;
    bool owned = false, has_dictionary = false;
    enum plinth_status st = row_segment_pages(segment, group, leaf, &pages, error);
    for (uint32_t i = 0; i < read->range_count && !st; i++) {
        const struct stripe_range *range = &read->ranges[i];
        pieces[i] = (struct page_piece){.first = range->first, .count = range->count};
        uint32_t page = range->stripe - segment->groups[group].first_stripe;
        if (is_null_page(pages, page) && !read->every_page && !parquet_column_has_levels(column)) continue;
        if (!has_dictionary) st = find_dictionary(decoder, read, group, leaf, &dictionary, &owned, error);
        has_dictionary = true;
        if (!st) st = read_page(decoder, read, i, leaf, pages, dictionary, error);
        pieces[i].data = &decoder->pages[i].data;
    }
    if (owned) page_cache_unref(dictionary);
    return st;
}

static enum plinth_status pages_to_lists(struct row_decoder *decoder, const struct row_read *read, uint32_t leaf,
                                         struct page_piece *pieces, struct plinth_error *error) {
    const struct parquet_column *column = &parquet_reader_metadata(read->segment->reader)->schema.columns[leaf];
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < read->range_count && !st; i++) {
        if (!pieces[i].data) continue;
        st = parquet_list_from_levels(column, pieces[i].data, &decoder->lists[i], error);
        pieces[i].list = &decoder->lists[i].data;
        if (st && error) (void)error_prefix(error, "stripe %u, column %.100s", read->ranges[i].stripe, column->path);
    }
    return st;
}

enum plinth_status row_decoder_column(struct row_decoder *decoder, const struct row_read *read, uint32_t column_id,
                                      struct column_type type, struct column *column, struct plinth_error *error) {
    const struct row_segment_column *found = row_segment_find(read->segment, column_id);
    struct page_piece pieces[ROW_RANGES_MAX];
    *column = (struct column){.type = type};
    enum plinth_status st = PLINTH_OK;
    if (!found)
        return column_make_nulls(read->arena, type, read->rows, column) ? PLINTH_OK
                                                                        : error_no_memory(error, "segment columns");
    if (!column_type_equal(found->type, type)) {
        char has[COLUMN_TYPE_TEXT_MAX], wanted[COLUMN_TYPE_TEXT_MAX];
        st = error_set(error, PLINTH_CORRUPT, "the column with the id %" PRIu32 " is %s, but the table's is %s",
                       column_id, column_type_format(found->type, has), column_type_format(type, wanted));
    }
    if (!st) st = read_pages(decoder, read, found->leaf, pieces, error);
    if (!st && type.kind == COLUMN_LIST) st = pages_to_lists(decoder, read, found->leaf, pieces, error);
    if (st) return segment_error(read->segment, st, error);
    return row_column_from_parquet(read->arena, type, pieces, read->range_count, read->rows, column)
               ? PLINTH_OK
               : error_no_memory(error, "segment columns");
}

enum plinth_status row_decoder_table_column(struct row_decoder *decoder, const struct row_read *read,
                                            const struct table_column *wanted, struct column *column,
                                            struct plinth_error *error) {
    const struct row_segment_column *found = row_segment_find(read->segment, wanted->id);
    struct column stored;
    if (!found)
        return table_column_absent(read->arena, wanted, read->rows, column) ? PLINTH_OK
                                                                            : error_no_memory(error, "segment columns");
    if (column_type_equal(found->type, wanted->type))
        return row_decoder_column(decoder, read, wanted->id, wanted->type, column, error);
    enum plinth_status st = row_decoder_column(decoder, read, wanted->id, found->type, &stored, error);
    if (st) return st;
    st = table_column_widen(read->arena, wanted, &stored, read->rows, column, error);
    return st ? segment_error(read->segment, st, error) : PLINTH_OK;
}

/* ---- versions ---- */

/* Copies the rows of a 4- or 8-byte leaf into `to`; constant stripes are left to the caller (`skip` says which). */
static enum plinth_status copy_leaf(struct row_decoder *decoder, const struct row_read *read, uint32_t leaf,
                                    uint32_t range, uint32_t width, uint8_t *to, struct plinth_error *error) {
    const struct row_read one = {.segment = read->segment,
                                 .ranges = &read->ranges[range],
                                 .range_count = 1,
                                 .rows = read->ranges[range].count,
                                 .every_page = true,
                                 .dictionaries = read->dictionaries,
                                 .stats = read->stats};
    struct page_piece piece;
    enum plinth_status st = read_pages(decoder, &one, leaf, &piece, error);
    if (!st) memcpy(to, (const uint8_t *)piece.data->values + (size_t)piece.first * width, (size_t)piece.count * width);
    return st;
}

static enum plinth_status read_lsns(struct row_decoder *decoder, const struct row_read *read,
                                    struct row_versions *versions, struct plinth_error *error) {
    const struct stripe_index *index = &read->segment->stripes;
    bool is_constant = !read->every_page;
    versions->lsn = index->lsns[read->ranges[0].stripe];
    for (uint32_t i = 0; i < read->range_count; i++) {
        uint32_t stripe = read->ranges[i].stripe;
        if (!(index->flags[stripe] & STRIPE_LSN_CONSTANT) || index->lsns[stripe] != versions->lsn) is_constant = false;
    }
    if (is_constant) return PLINTH_OK;
    uint64_t *lsns = arena_alloc(read->arena, (size_t)read->rows * sizeof *lsns + 1), *at = lsns;
    if (!lsns) return error_no_memory(error, "LSNs");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < read->range_count && !st; i++) {
        const struct stripe_range *range = &read->ranges[i];
        if ((index->flags[range->stripe] & STRIPE_LSN_CONSTANT) && !read->every_page) {
            for (uint32_t k = 0; k < range->count; k++) at[k] = index->lsns[range->stripe];
        } else {
            st = copy_leaf(decoder, read, read->segment->leaf[SEGMENT_LSN], i, sizeof *at, (uint8_t *)at, error);
        }
        at += range->count;
    }
    versions->lsns = lsns;
    return st;
}

static enum plinth_status read_operations(struct row_decoder *decoder, const struct row_read *read,
                                          struct row_versions *versions, struct plinth_error *error) {
    const struct stripe_index *index = &read->segment->stripes;
    bool is_constant = !read->every_page;
    uint8_t first = index->flags[read->ranges[0].stripe] >> STRIPE_OPERATION_SHIFT;
    versions->operation = (enum row_operation)first;
    for (uint32_t i = 0; i < read->range_count; i++) {
        uint8_t flags = index->flags[read->ranges[i].stripe];
        if (!(flags & STRIPE_OPERATION_CONSTANT) || flags >> STRIPE_OPERATION_SHIFT != first) is_constant = false;
    }
    if (is_constant) return PLINTH_OK;
    uint8_t *operations = arena_alloc(read->arena, read->rows + (size_t)1), *at = operations;
    uint32_t *wide = arena_alloc(read->arena, (size_t)read->rows * sizeof *wide + 1);
    if (!operations || !wide) return error_no_memory(error, "operations");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < read->range_count && !st; i++) {
        const struct stripe_range *range = &read->ranges[i];
        st = copy_leaf(decoder, read, read->segment->leaf[SEGMENT_OPERATION], i, sizeof *wide, (uint8_t *)wide, error);
        for (uint32_t k = 0; k < range->count && !st; k++) {
            if (wide[k] != ROW_SET && wide[k] != ROW_DELETE)
                st = error_set(error, PLINTH_CORRUPT, "stripe %u, column _op: row %u has the unknown operation %u",
                               range->stripe, range->first + k, wide[k]);
            at[k] = (uint8_t)wide[k];
        }
        at += range->count;
    }
    versions->operations = operations;
    return st;
}

static enum plinth_status read_ordinals(struct row_decoder *decoder, const struct row_read *read,
                                        struct row_versions *versions, struct plinth_error *error) {
    if (read->segment->rows->key_count) return PLINTH_OK;
    uint32_t *ordinals = arena_alloc(read->arena, (size_t)read->rows * sizeof *ordinals + 1), *at = ordinals;
    if (!ordinals) return error_no_memory(error, "ordinals");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < read->range_count && !st; i++) {
        st = copy_leaf(decoder, read, read->segment->rows->ordinal_leaf, i, sizeof *at, (uint8_t *)at, error);
        at += read->ranges[i].count;
    }
    versions->ordinals = ordinals;
    return st;
}

enum plinth_status row_decoder_versions(struct row_decoder *decoder, const struct row_read *read,
                                        struct row_versions *versions, struct plinth_error *error) {
    *versions = (struct row_versions){0};
    enum plinth_status st = read_lsns(decoder, read, versions, error);
    if (!st) st = read_operations(decoder, read, versions, error);
    if (!st) st = read_ordinals(decoder, read, versions, error);
    return st ? segment_error(read->segment, st, error) : PLINTH_OK;
}

/* ---- keys ---- */

static bool make_row_ids(const struct row_read *read, const struct row_versions *versions, struct row_keys *keys) {
    keys->offsets = arena_alloc(read->arena, (read->rows + (size_t)1) * sizeof *keys->offsets);
    keys->bytes = arena_alloc(read->arena, (size_t)read->rows * ROW_ID_BYTES + 1);
    if (!keys->offsets || !keys->bytes) return false;
    keys->offsets[0] = 0;
    for (uint32_t i = 0; i < read->rows; i++) {
        uint64_t lsn = versions->lsns ? versions->lsns[i] : versions->lsn;
        uint8_t *at = keys->bytes + (size_t)i * ROW_ID_BYTES;
        store_u64(at, __builtin_bswap64(lsn));
        store_u32(at + 8, __builtin_bswap32(versions->ordinals[i]));
        keys->offsets[i + 1] = (i + 1) * ROW_ID_BYTES;
    }
    return true;
}

/* Each stripe that is read from its start on begins with the key that the stripe index says. */
static enum plinth_status check_first_keys(const struct row_read *read, const struct row_keys *keys,
                                           struct plinth_error *error) {
    uint32_t row = 0;
    for (uint32_t i = 0; i < read->range_count; i++) {
        const struct stripe_range *range = &read->ranges[i];
        if (range->count && range->first == 0 &&
            !slice_equal(row_keys_at(keys, row), stripe_first_key(&read->segment->stripes, range->stripe)))
            return error_set(error, PLINTH_CORRUPT, "stripe %u: the first key is not the stripe index's",
                             range->stripe);
        row += range->count;
    }
    return PLINTH_OK;
}

/* The parts of keys: a column each, of those that the caller has or decoded here. */
struct key_parts {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    struct column own[ROW_KEY_PARTS_MAX];
};

static enum plinth_status find_parts(struct row_decoder *decoder, const struct row_read *read, const uint32_t *numbers,
                                     uint32_t count, const uint32_t *column_ids, const struct column *columns,
                                     uint32_t column_count, struct key_parts *found, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < count && !st; i++) {
        const struct row_segment_column *part = &read->segment->rows->columns[numbers[i]];
        found->parts[i] = NULL;
        for (uint32_t k = 0; k < column_count; k++)
            if (column_ids[k] == part->id) found->parts[i] = &columns[k];
        if (found->parts[i]) continue;
        st = row_decoder_column(decoder, read, part->id, part->type, &found->own[i], error);
        found->parts[i] = &found->own[i];
    }
    return st;
}

/* Puts the heads of index entries in front of the keys of their rows. */
static bool join_keys(const struct row_read *read, const struct row_keys *heads, struct row_keys *keys) {
    uint64_t bytes = (uint64_t)heads->offsets[read->rows] + keys->offsets[read->rows];
    struct row_keys joined = {arena_alloc(read->arena, (read->rows + (size_t)1) * sizeof *joined.offsets),
                              bytes <= UINT32_MAX ? arena_alloc(read->arena, bytes + 1) : NULL};
    if (!joined.offsets || !joined.bytes) return false;
    uint8_t *at = joined.bytes;
    joined.offsets[0] = 0;
    for (uint32_t i = 0; i < read->rows; i++) {
        struct slice head = row_keys_at(heads, i), key = row_keys_at(keys, i);
        memcpy(at, head.data, head.size);
        memcpy(at + head.size, key.data, key.size);
        at += head.size + key.size;
        joined.offsets[i + 1] = (uint32_t)(at - joined.bytes);
    }
    *keys = joined;
    return true;
}

/* What index entries begin with. */
static enum plinth_status add_heads(struct row_decoder *decoder, const struct row_read *read,
                                    const uint32_t *column_ids, const struct column *columns, uint32_t column_count,
                                    struct row_keys *keys, struct plinth_error *error) {
    const struct row_segment *rows = read->segment->rows;
    struct key_parts found;
    struct row_keys heads;
    enum plinth_status st =
        find_parts(decoder, read, rows->index, rows->index_count, column_ids, columns, column_count, &found, error);
    if (st) return st;
    for (uint32_t i = rows->index_count - rows->included_count; i < rows->index_count; i++) {
        struct column bits = *found.parts[i]; /* table_included_type */
        bits.type = table_included_type(bits.type);
        found.own[i] = bits;
        found.parts[i] = &found.own[i];
    }
    bool ok = row_keys_encode(read->arena, found.parts, rows->index_count, ROW_KEY_INDEX, read->rows, &heads) &&
              join_keys(read, &heads, keys);
    return ok ? PLINTH_OK : error_no_memory(error, "keys");
}

enum plinth_status row_decoder_keys(struct row_decoder *decoder, const struct row_read *read,
                                    const struct row_versions *versions, const uint32_t *column_ids,
                                    const struct column *columns, uint32_t column_count, struct row_keys *keys,
                                    struct plinth_error *error) {
    const struct row_segment *rows = read->segment->rows;
    struct key_parts found;
    *keys = (struct row_keys){0};
    enum plinth_status st =
        find_parts(decoder, read, rows->key, rows->key_count, column_ids, columns, column_count, &found, error);
    if (st) return st;
    bool ok = rows->key_count
                  ? row_keys_encode(read->arena, found.parts, rows->key_count, ROW_KEY_PRIMARY, read->rows, keys)
                  : make_row_ids(read, versions, keys);
    st = ok ? PLINTH_OK : error_no_memory(error, "keys");
    if (!st && rows->index_count) st = add_heads(decoder, read, column_ids, columns, column_count, keys, error);
    if (!st) st = check_first_keys(read, keys, error);
    return st ? segment_error(read->segment, st, error) : PLINTH_OK;
}

/* ---- stripes ---- */

enum plinth_status row_stripe_decode(struct segment *segment, uint32_t stripe, unsigned parts,
                                     struct stripe_decoder *stripe_decoder, struct stripe_rows *rows,
                                     struct plinth_error *error) {
    struct row_decoder *decoder;
    struct row_versions versions;
    struct row_keys keys;
    const struct stripe_range range = {stripe, 0, segment->stripes.rows[stripe]};
    *rows = (struct stripe_rows){0};
    enum plinth_status st = stripe_decoder_rows(stripe_decoder, &decoder, error);
    if (st) return st;
    arena_reset(&decoder->arena);
    const struct row_read read = {.segment = segment,
                                  .ranges = &range,
                                  .range_count = 1,
                                  .rows = range.count,
                                  .every_page = parts & STRIPE_EVERY_PAGE,
                                  .arena = &decoder->arena};
    st = row_decoder_versions(decoder, &read, &versions, error);
    if (!st) st = row_decoder_keys(decoder, &read, &versions, NULL, NULL, 0, &keys, error);
    if (st) return st;
    *rows = (struct stripe_rows){.count = range.count,
                                 .key_offsets = keys.offsets,
                                 .keys = keys.bytes,
                                 .lsns = versions.lsns,
                                 .operations = versions.operations,
                                 .lsn = versions.lsn,
                                 .operation = versions.operation};
    return PLINTH_OK;
}
