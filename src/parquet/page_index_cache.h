/* Page indexes that a reader keeps, so that looking for rows again and again does not decode them each time. They are
 * made when they are first asked for, published by an atomic pointer, and freed with the reader. When what is kept
 * reaches its limit, a view owns its index. For this folder only. */
#ifndef PLINTH_PARQUET_PAGE_INDEX_CACHE_H
#define PLINTH_PARQUET_PAGE_INDEX_CACHE_H

#include "parquet/page_index.h"
#include "parquet/reader.h"

struct page_index_cache;

/* A page index for as long as it is looked at. `{0}` is an empty one, of which deinit is allowed. */
struct page_index_view {
    const struct parquet_page_index *index; /* null: there is none */
    /* Looked at, not believed: every page has values, none of them NaN; bounds rise from page to page. */
    bool ascends;
    struct kept_page_index *own; /* null: the reader's */
};

PLINTH_MUST_CHECK enum plinth_status page_index_cache_create(uint64_t bytes_max, struct page_index_cache **cache,
                                                             struct plinth_error *error);
/* Null is allowed. */
void page_index_cache_destroy(struct page_index_cache *cache, const struct parquet_metadata *metadata);
/* view->index is null when the file has no OffsetIndex for the chunk. Thread-safe. */
PLINTH_MUST_CHECK enum plinth_status page_index_view_init(struct page_index_view *view,
                                                          const struct parquet_reader *reader, uint32_t row_group,
                                                          uint32_t column, struct plinth_error *error);
void page_index_view_deinit(struct page_index_view *view);

#endif
