/* Columns and keys of single stripes: fresh, or through the page cache. */
#include <stdlib.h>

#include "base/status.h"
#include "table/row_segment_read.h"

/* ---- one column of a stripe in the cache ---- */

/* Cache keys of columns; stripes' (stripe.c) are below 2^32, dictionaries have the highest bit. */
#define COLUMN_KEY (UINT64_C(1) << 62)

/* One allocation: this, then the column's arrays. */
struct column_page {
    struct page_cache_entry entry;
    struct column column;
};

static void column_page_destroy(struct page_cache_entry *entry) { free(entry); }

static size_t round_up_8(size_t size) { return (size + 7) & ~(size_t)7; }

/* Bytes that copy_column takes, of columns whose offsets begin at 0. */
static size_t copy_size(const struct column *column, uint32_t rows) {
    size_t bitmap = round_up_8((rows + (size_t)7) / 8), size = column->validity ? bitmap : 0;
    uint32_t width = column_type_width(column->type);
    if (column->type.kind == COLUMN_BOOL) return size + bitmap;
    if (width) return size + round_up_8((size_t)rows * width);
    size += round_up_8((rows + (size_t)1) * sizeof(uint32_t));
    if (column->type.kind != COLUMN_LIST) return size + round_up_8(column->offsets[rows]);
    return size + round_up_8(sizeof(struct column)) + copy_size(column->child, column->offsets[rows]);
}

static void *put(uint8_t **at, const void *bytes, size_t size) {
    uint8_t *copy = *at;
    if (size) memcpy(copy, bytes, size);
    *at += round_up_8(size);
    return copy;
}

static void copy_column(uint8_t **at, const struct column *from, uint32_t rows, struct column *to) {
    size_t bitmap = (rows + (size_t)7) / 8;
    uint32_t width = column_type_width(from->type);
    *to = (struct column){.type = from->type, .null_count = from->null_count};
    if (from->validity) to->validity = put(at, from->validity, bitmap);
    if (from->type.kind == COLUMN_BOOL) {
        to->values = put(at, from->values, bitmap);
    } else if (width) {
        to->values = put(at, from->values, (size_t)rows * width);
    } else {
        to->offsets = put(at, from->offsets, (rows + (size_t)1) * sizeof(uint32_t));
        if (from->type.kind == COLUMN_LIST) {
            struct column *child = (struct column *)(void *)*at;
            *at += round_up_8(sizeof *child);
            to->child = child;
            copy_column(at, from->child, from->offsets[rows], child);
        } else {
            to->bytes = put(at, from->bytes, from->offsets[rows]);
        }
    }
}

static struct column_page *column_page_create(struct page_cache_key key, const struct column *column, uint32_t rows) {
    size_t size = sizeof(struct column_page) + copy_size(column, rows);
    struct column_page *page = calloc(1, size);
    if (!page) return NULL;
    uint8_t *at = (uint8_t *)(page + 1);
    copy_column(&at, column, rows, &page->column);
    page->entry.key = key;
    page->entry.bytes = size;
    page->entry.destroy = column_page_destroy;
    atomic_init(&page->entry.references, 1);
    return page;
}

static struct page_cache_key column_key(const struct segment *segment, uint32_t column_id, uint32_t stripe) {
    return (struct page_cache_key){segment->id, COLUMN_KEY | (uint64_t)column_id << 32 | stripe};
}

/* Decodes a column of a stripe, in the type that the file has, and puts it into the cache; referenced. */
static enum plinth_status load_column(struct segment *segment, uint32_t stripe, const struct row_segment_column *stored,
                                      struct segment_read_stats *stats, struct column_page **page,
                                      struct plinth_error *error) {
    struct stripe_decoder *pooled;
    struct row_decoder *decoder;
    struct column column;
    struct arena arena;
    const struct stripe_range range = {stripe, 0, segment->stripes.rows[stripe]};
    const struct row_read read = {
        .segment = segment, .ranges = &range, .range_count = 1, .rows = range.count, .arena = &arena, .stats = stats};
    *page = NULL;
    enum plinth_status st = stripe_decoder_acquire(&pooled, error);
    if (st) return st;
    arena_init(&arena);
    st = stripe_decoder_rows(pooled, &decoder, error);
    if (!st) st = row_decoder_column(decoder, &read, stored->id, stored->type, &column, error);
    if (!st && !(*page = column_page_create(column_key(segment, stored->id, stripe), &column, range.count)))
        st = error_no_memory(error, "cached column");
    if (!st) *page = (struct column_page *)page_cache_insert(segment->cache, &(*page)->entry);
    arena_deinit(&arena);
    stripe_decoder_release(pooled);
    return st;
}

/* ---- columns of a stripe ---- */

/* What a batch of cached columns refers to. */
struct cached_batch {
    uint32_t count;
    struct page_cache_entry *entries[];
};

static void release_cached(struct batch *batch) {
    struct cached_batch *cached = batch->release_context;
    for (uint32_t i = 0; i < cached->count; i++) page_cache_unref(cached->entries[i]);
}

/* A column that the cache did not have, or that the file has not. */
static enum plinth_status read_missing(struct segment *segment, uint32_t stripe, const struct table_column *wanted,
                                       struct batch *batch, struct column *column, struct page_cache_entry **entry,
                                       struct segment_read_stats *stats, struct plinth_error *error) {
    const struct row_segment_column *stored = row_segment_find(segment, wanted->id);
    if (!stored)
        return table_column_absent(&batch->arena, wanted, batch->rows, column)
                   ? PLINTH_OK
                   : error_no_memory(error, "stripe of columns");
    struct column_page *page;
    enum plinth_status st = load_column(segment, stripe, stored, stats, &page, error);
    *entry = st ? NULL : &page->entry;
    return st;
}

static enum plinth_status read_cached(struct segment *segment, uint32_t stripe,
                                      const struct table_column *const *wanted, const uint32_t *column_ids,
                                      uint32_t column_count, struct batch *batch, struct segment_read_stats *stats,
                                      struct plinth_error *error) {
    struct cached_batch *cached =
        arena_zalloc(&batch->arena, sizeof *cached + column_count * sizeof cached->entries[0]);
    if (!cached) return error_no_memory(error, "stripe of columns");
    cached->count = column_count;
    batch->release_context = cached;
    batch->release = release_cached;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t first = 0; first < column_count; first += PAGE_CACHE_KEYS_MAX) {
        struct page_cache_key keys[PAGE_CACHE_KEYS_MAX];
        uint32_t left = column_count - first, count = left < PAGE_CACHE_KEYS_MAX ? left : PAGE_CACHE_KEYS_MAX;
        for (uint32_t i = 0; i < count; i++) keys[i] = column_key(segment, column_ids[first + i], stripe);
        page_cache_find_all(segment->cache, keys, count, &cached->entries[first]);
    }
    for (uint32_t i = 0; i < column_count && !st; i++) {
        struct page_cache_entry **entry = &cached->entries[i];
        if (!*entry) st = read_missing(segment, stripe, wanted[i], batch, &batch->columns[i], entry, stats, error);
        if (!st && *entry)
            st = table_column_widen(&batch->arena, wanted[i], &((struct column_page *)*entry)->column, batch->rows,
                                    &batch->columns[i], error);
    }
    return st;
}

static enum plinth_status read_fresh(struct segment *segment, uint32_t stripe, const struct table_column *const *wanted,
                                     uint32_t column_count, struct batch *batch, struct segment_read_stats *stats,
                                     struct plinth_error *error) {
    struct stripe_decoder *pooled;
    struct row_decoder *decoder;
    const struct stripe_range range = {stripe, 0, batch->rows};
    const struct row_read read = {.segment = segment,
                                  .ranges = &range,
                                  .range_count = 1,
                                  .rows = range.count,
                                  .arena = &batch->arena,
                                  .stats = stats};
    enum plinth_status st = stripe_decoder_acquire(&pooled, error);
    if (st) return st;
    st = stripe_decoder_rows(pooled, &decoder, error);
    for (uint32_t i = 0; i < column_count && !st; i++)
        st = row_decoder_table_column(decoder, &read, wanted[i], &batch->columns[i], error);
    stripe_decoder_release(pooled);
    return st;
}

enum plinth_status segment_read_stripe(struct segment *segment, uint32_t stripe, const struct table_schema *schema,
                                       const uint32_t *column_ids, uint32_t column_count, bool cached,
                                       struct batch **batch, struct segment_read_stats *stats,
                                       struct plinth_error *error) {
    *batch = NULL;
    struct batch *created = batch_create(column_count);
    if (!created) return error_no_memory(error, "stripe of columns");
    const struct table_column **wanted = arena_alloc(&created->arena, column_count * sizeof *wanted + 1);
    enum plinth_status st = wanted ? PLINTH_OK : error_no_memory(error, "stripe of columns");
    created->rows = segment->stripes.rows[stripe];
    for (uint32_t i = 0; i < column_count && !st; i++) {
        int32_t column = table_schema_find_id(schema, column_ids[i]);
        if (column < 0)
            st =
                error_set(error, PLINTH_INTERNAL, "table %s has no column with the id %u", schema->name, column_ids[i]);
        else
            wanted[i] = &schema->columns[column];
    }
    if (!st && cached && segment->cache)
        st = read_cached(segment, stripe, wanted, column_ids, column_count, created, stats, error);
    else if (!st)
        st = read_fresh(segment, stripe, wanted, column_count, created, stats, error);
    if (st) {
        batch_unref(created);
        return st;
    }
    if (stats) {
        stats->stripes_read++;
        stats->rows_read += created->rows;
    }
    *batch = created;
    return PLINTH_OK;
}

bool segment_stripe_is_cached(struct segment *segment, uint32_t stripe, const uint32_t *column_ids,
                              uint32_t column_count) {
    for (uint32_t i = 0; i < column_count; i++) {
        if (!row_segment_find(segment, column_ids[i])) continue; /* nulls need no page */
        struct page_cache_entry *entry =
            segment->cache ? page_cache_find(segment->cache, column_key(segment, column_ids[i], stripe)) : NULL;
        if (!entry) return false;
        page_cache_unref(entry);
    }
    return true;
}

void segment_find_columns(struct segment *segment, uint32_t stripe, const uint32_t *column_ids, uint32_t column_count,
                          struct page_cache_entry **entries, const struct column **columns) {
    for (uint32_t first = 0; first < column_count; first += PAGE_CACHE_KEYS_MAX) {
        struct page_cache_key keys[PAGE_CACHE_KEYS_MAX];
        uint32_t left = column_count - first, count = left < PAGE_CACHE_KEYS_MAX ? left : PAGE_CACHE_KEYS_MAX;
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = column_key(segment, column_ids[first + i], stripe);
            entries[first + i] = NULL;
        }
        if (segment->cache) page_cache_find_all(segment->cache, keys, count, &entries[first]);
    }
    for (uint32_t i = 0; i < column_count; i++)
        columns[i] = entries[i] ? &((const struct column_page *)entries[i])->column : NULL;
}

bool segment_has_column(const struct segment *segment, uint32_t column_id) {
    return row_segment_find(segment, column_id) != NULL;
}

bool segment_has_columns(const struct segment *segment) { return segment->rows != NULL; }

/* ---- keys of a stripe ---- */

/* A block's memory that is a cached stripe. */
static void release_stripe(struct batch *batch) { stripe_unref(batch->release_context); }

/* Fills a block without columns from a stripe, which it refers to. */
static bool take_stripe(struct row_block *block, const struct stripe *stripe) {
    const struct stripe_rows *rows = &stripe->rows;
    block->lsns = rows->lsns;
    block->operations = rows->operations;
    block->lsn_min = block->lsn_max = rows->lsn;
    block->keys.offsets = (uint32_t *)rows->key_offsets;
    block->keys.bytes = (uint8_t *)rows->keys;
    if (rows->lsns) {
        block->lsn_min = UINT64_MAX;
        block->lsn_max = 0;
        for (uint32_t i = 0; i < rows->count; i++) {
            if (rows->lsns[i] < block->lsn_min) block->lsn_min = rows->lsns[i];
            if (rows->lsns[i] > block->lsn_max) block->lsn_max = rows->lsns[i];
        }
    }
    if (rows->operations || rows->operation == ROW_SET) return true;
    uint8_t *operations = arena_alloc(&block->arena, rows->count);
    if (operations) memset(operations, rows->operation, rows->count);
    block->operations = operations;
    return operations != NULL;
}

/* Row ids end with the ordinals. */
static bool take_ordinals(struct row_block *block) {
    uint32_t *ordinals = arena_alloc(&block->arena, (size_t)block->rows * sizeof *ordinals);
    block->ordinals = ordinals;
    for (uint32_t i = 0; ordinals && i < block->rows; i++)
        ordinals[i] = __builtin_bswap32(load_u32(row_block_key(block, i).data + 8));
    return ordinals != NULL;
}

enum plinth_status segment_read_stripe_keys(struct segment *segment, uint32_t stripe, bool cached,
                                            struct row_block **block, struct segment_read_stats *stats,
                                            struct plinth_error *error) {
    *block = NULL;
    struct row_block *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "block of keys");
    atomic_init(&created->references, 1);
    arena_init(&created->arena);
    created->columns = batch_create(0);
    created->rows = segment->stripes.rows[stripe];
    enum plinth_status st = created->columns ? PLINTH_OK : error_no_memory(error, "block of keys");
    struct stripe *loaded = NULL;
    (void)cached;
    if (!st) st = stripe_load(segment, stripe, STRIPE_KEYS_ONLY, &loaded, error);
    if (!st) {
        created->columns->rows = created->rows;
        created->columns->release = release_stripe;
        created->columns->release_context = loaded;
        if (!take_stripe(created, loaded) || (!segment->rows->key_count && !take_ordinals(created)))
            st = error_no_memory(error, "block of keys");
    }
    if (st) {
        row_block_unref(created);
        return st;
    }
    if (stats) stats->stripes_read++;
    *block = created;
    return PLINTH_OK;
}
