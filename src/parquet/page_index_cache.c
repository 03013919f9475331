/* Page indexes that are kept. See page_index_cache.h. */
#include "parquet/page_index_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/reader_private.h"
#include "parquet/statistics.h"

struct kept_page_index {
    struct parquet_page_index index;
    bool ascends;
};

typedef _Atomic(struct kept_page_index *) slot;

struct page_index_cache {
    _Atomic(slot *) slots; /* row group by row group, column by column; made with the first index */
    atomic_uint_fast64_t bytes;
    uint64_t bytes_max;
};

enum plinth_status page_index_cache_create(uint64_t bytes_max, struct page_index_cache **cache,
                                           struct plinth_error *error) {
    *cache = calloc(1, sizeof **cache);
    if (!*cache) return error_no_memory(error, "Parquet page indexes");
    (*cache)->bytes_max = bytes_max;
    return PLINTH_OK;
}

static void destroy_index(struct kept_page_index *kept) {
    if (!kept) return;
    parquet_page_index_deinit(&kept->index);
    free(kept);
}

static size_t slot_count(const struct parquet_metadata *metadata) {
    return (size_t)metadata->row_group_count * metadata->schema.column_count;
}

void page_index_cache_destroy(struct page_index_cache *cache, const struct parquet_metadata *metadata) {
    if (!cache) return;
    slot *slots = atomic_load_explicit(&cache->slots, memory_order_acquire);
    for (size_t i = 0; slots && i < slot_count(metadata); i++)
        destroy_index(atomic_load_explicit(&slots[i], memory_order_acquire));
    free(slots);
    free(cache);
}

/* Null when memory is out. */
static slot *get_slots(struct page_index_cache *cache, const struct parquet_metadata *metadata) {
    slot *slots = atomic_load_explicit(&cache->slots, memory_order_acquire);
    if (slots) return slots;
    slot *made = calloc(slot_count(metadata), sizeof *made);
    if (!made) return NULL;
    if (atomic_compare_exchange_strong_explicit(&cache->slots, &slots, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    free(made); /* another thread was first */
    return slots;
}

static bool does_ascend(enum parquet_order order, const struct parquet_page_index *index) {
    if (!index->bounds || parquet_order_is_floating(order)) return false;
    for (uint32_t i = 0; i < index->page_count; i++) {
        const struct parquet_page_bounds *page = &index->bounds[i];
        if (page->is_null_page || parquet_value_compare(order, page->min, page->max) > 0) return false;
        if (i > 0 && (parquet_value_compare(order, page[-1].min, page->min) > 0 ||
                      parquet_value_compare(order, page[-1].max, page->max) > 0))
            return false;
    }
    return true;
}

static enum plinth_status make_index(const struct parquet_reader *reader, uint32_t row_group, uint32_t column,
                                     struct kept_page_index **kept_out, struct plinth_error *error) {
    struct kept_page_index *kept = calloc(1, sizeof *kept);
    *kept_out = NULL;
    if (!kept) return error_no_memory(error, "Parquet page index");
    enum plinth_status st = parquet_reader_page_index(reader, row_group, column, &kept->index, error);
    if (st) {
        free(kept);
        return st;
    }
    kept->ascends = does_ascend(parquet_column_order(&reader->metadata.schema.columns[column]), &kept->index);
    *kept_out = kept;
    return PLINTH_OK;
}

static void show(struct page_index_view *view, const struct kept_page_index *kept) {
    view->index = &kept->index;
    view->ascends = kept->ascends;
}

/* Hands the view's index to the reader, unless it may keep no more. */
static void keep(struct page_index_view *view, struct page_index_cache *cache, slot *at) {
    struct kept_page_index *other = NULL;
    uint64_t bytes = sizeof *view->own + view->own->index.arena.used_bytes;
    if (atomic_fetch_add_explicit(&cache->bytes, bytes, memory_order_relaxed) + bytes > cache->bytes_max) {
        atomic_fetch_sub_explicit(&cache->bytes, bytes, memory_order_relaxed);
        return;
    }
    if (atomic_compare_exchange_strong_explicit(at, &other, view->own, memory_order_acq_rel, memory_order_acquire)) {
        view->own = NULL;
        return;
    }
    atomic_fetch_sub_explicit(&cache->bytes, bytes, memory_order_relaxed);
    destroy_index(view->own);
    view->own = NULL;
    show(view, other);
}

enum plinth_status page_index_view_init(struct page_index_view *view, const struct parquet_reader *reader,
                                        uint32_t row_group, uint32_t column, struct plinth_error *error) {
    const struct parquet_column_chunk *chunk;
    *view = (struct page_index_view){0};
    enum plinth_status st = reader_chunk(reader, row_group, column, &chunk, error);
    if (st || chunk->offset_index_offset == 0) return st;
    slot *slots = get_slots(reader->indexes, &reader->metadata);
    if (!slots) return error_no_memory(error, "Parquet page indexes");
    slot *at = &slots[(size_t)row_group * reader->metadata.schema.column_count + column];
    const struct kept_page_index *kept = atomic_load_explicit(at, memory_order_acquire);
    if (kept) {
        show(view, kept);
        return PLINTH_OK;
    }
    st = make_index(reader, row_group, column, &view->own, error);
    if (st) return st;
    show(view, view->own);
    keep(view, reader->indexes, at);
    return PLINTH_OK;
}

void page_index_view_deinit(struct page_index_view *view) {
    destroy_index(view->own);
    *view = (struct page_index_view){0};
}
