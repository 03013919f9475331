/* What a segment of a typed table says of its rows without their being read: bounds, bloom filters, postings. */
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/status.h"
#include "expr/predicate.h"
#include "expr/tokens.h"
#include "parquet/statistics.h"
#include "table/postings.h"
#include "table/row_segment_private.h"

/* ---- bounds ---- */

/* Whether bounds hold for all values: floating-point ones pass NaN over. */
static bool bounds_hold(const struct row_segment_column *column) {
    return !column_kind_is_float(column->type.kind) || column->has_no_nan;
}

static enum plinth_status set_values(struct arena *arena, const struct row_segment_column *column, struct slice min,
                                     struct slice max, struct column_bounds *bounds, struct plinth_error *error) {
    if (!bounds_hold(column)) return PLINTH_OK;
    if (!row_column_plain_fits(column->type, min) || !row_column_plain_fits(column->type, max))
        return error_set(error, PLINTH_CORRUPT, "the bounds of the column with the id %u are malformed", column->id);
    if (!row_column_from_plain(arena, column->type, min, &bounds->min) ||
        !row_column_from_plain(arena, column->type, max, &bounds->max))
        return error_no_memory(error, "bounds");
    bounds->has_values = true;
    return PLINTH_OK;
}

/* The file has no such column: all its rows are null. */
static void set_absent(uint64_t rows, struct column_bounds *bounds) {
    *bounds = (struct column_bounds){.has_nulls_known = true, .null_count = rows, .rows = rows};
}

/* Least and greatest bound of all row groups, as far as each has some (or only nulls). */
static bool merge_groups(const struct segment *segment, const struct row_segment_column *column, struct slice *min,
                         struct slice *max, struct column_bounds *bounds) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    const struct parquet_column *leaf = &metadata->schema.columns[column->leaf];
    enum parquet_order order = parquet_column_order(leaf);
    bool has_any = false, has_all = true;
    bounds->has_nulls_known = true;
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        const struct parquet_row_group *group = &metadata->row_groups[g];
        const struct parquet_statistics *statistics = &group->columns[column->leaf].statistics;
        struct slice low, high;
        bounds->has_nulls_known &= statistics->has_null_count;
        bounds->null_count += statistics->null_count;
        if (statistics->has_null_count && statistics->null_count == group->row_count) continue;
        if (!parquet_statistics_bounds(leaf, statistics, &low, &high)) {
            has_all = false;
            continue;
        }
        if (!has_any || parquet_value_compare(order, low, *min) < 0) *min = low;
        if (!has_any || parquet_value_compare(order, high, *max) > 0) *max = high;
        has_any = true;
    }
    return has_any && has_all;
}

enum plinth_status segment_column_bounds(struct segment *segment, const struct table_schema *schema, uint32_t column_id,
                                         struct arena *arena, struct column_bounds *bounds,
                                         struct plinth_error *error) {
    struct slice min = {0}, max = {0};
    (void)schema;
    *bounds = (struct column_bounds){.rows = segment->info.rows};
    enum plinth_status st = segment_load(segment, error);
    if (st) return st;
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    if (!column) {
        set_absent(segment->info.rows, bounds);
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST) return PLINTH_OK; /* the statistics are those of the elements */
    if (!merge_groups(segment, column, &min, &max, bounds)) return PLINTH_OK;
    st = set_values(arena, column, min, max, bounds, error);
    return st ? segment_error(segment, st, error) : PLINTH_OK;
}

enum plinth_status segment_stripe_bounds(struct segment *segment, const struct table_schema *schema, uint32_t stripe,
                                         uint32_t column_id, struct arena *arena, struct column_bounds *bounds,
                                         struct plinth_error *error) {
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    const struct parquet_page_index *pages;
    uint32_t rows = segment->stripes.rows[stripe], group = segment->stripes.groups[stripe];
    (void)schema;
    *bounds = (struct column_bounds){.rows = rows};
    if (!column) {
        set_absent(rows, bounds);
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST) return PLINTH_OK;
    enum plinth_status st = row_segment_pages(segment, group, column->leaf, &pages, error);
    if (!st && pages->bounds) {
        const struct parquet_page_bounds *page = &pages->bounds[stripe - segment->groups[group].first_stripe];
        bounds->has_nulls_known = pages->has_null_counts || page->is_null_page;
        bounds->null_count = page->is_null_page ? rows : pages->has_null_counts ? page->null_count : 0;
        if (!page->is_null_page) st = set_values(arena, column, page->min, page->max, bounds, error);
    }
    return st ? segment_error(segment, st, error) : PLINTH_OK;
}

/* ---- bloom filters ---- */

/* A value whose bytes are not the only ones that it is equal to: -0 and 0, and NaNs. */
static bool has_many_forms(const struct column *value) {
    if (value->type.kind == COLUMN_FLOAT32) {
        float number;
        memcpy(&number, value->values, sizeof number);
        return number == 0 || number != number;
    }
    if (value->type.kind == COLUMN_FLOAT64) {
        double number;
        memcpy(&number, value->values, sizeof number);
        return number == 0 || number != number;
    }
    return false;
}

enum plinth_status segment_stripe_bloom(struct segment *segment, uint32_t stripe, uint32_t column_id,
                                        const struct column *value, bool *maybe, struct plinth_error *error) {
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    uint8_t scratch[16];
    *maybe = true;
    if (column_is_null(value, 0)) return PLINTH_OK;
    if (!column) { /* nothing but nulls */
        *maybe = false;
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST || column->type.kind == COLUMN_BOOL ||
        !column_type_equal(value->type, column->type) || has_many_forms(value))
        return PLINTH_OK;
    enum plinth_status st = parquet_reader_bloom_check(segment->reader, segment->stripes.groups[stripe], column->leaf,
                                                       row_column_to_plain(value, 0, scratch), maybe, error);
    return st ? segment_error(segment, st, error) : PLINTH_OK;
}

/* ---- postings ---- */

static enum plinth_status load_postings(struct segment *segment, struct postings_block *postings,
                                        const struct postings_view **view, struct plinth_error *error) {
    /* acquire, with the release of whoever loaded it */
    struct postings_view *loaded = atomic_load_explicit(&postings->loaded, memory_order_acquire), *none = NULL;
    *view = loaded;
    if (loaded) return PLINTH_OK;
    struct buffer owned = BUFFER_INIT;
    struct slice bytes;
    enum plinth_status st = row_segment_read_block(segment, &postings->block, &owned, &bytes, error);
    if (!st) st = postings_view_create(bytes, &owned, &loaded, error);
    buffer_deinit(&owned);
    if (st) return st;
    if (atomic_compare_exchange_strong_explicit(&postings->loaded, &none, loaded, memory_order_acq_rel,
                                                memory_order_acquire)) {
        atomic_fetch_add_explicit(&segment->rows->loaded_bytes, postings_view_memory(loaded), memory_order_relaxed);
    } else {
        postings_view_destroy(loaded);
        loaded = none;
    }
    *view = loaded;
    return PLINTH_OK;
}

static struct postings_block *find_postings(struct segment *segment, uint32_t column_id, enum index_kind kind) {
    struct row_segment *rows = segment->rows;
    for (uint32_t i = 0; i < rows->postings_count; i++)
        if (rows->postings[i].column_id == column_id && rows->postings[i].kind == kind) return &rows->postings[i];
    return NULL;
}

/* Rows with one of the values. */
static enum plinth_status find_values(const struct segment *segment, const struct postings_view *view,
                                      const struct column *values, uint32_t count, roaring_bitmap_t *rows,
                                      struct plinth_error *error) {
    struct buffer term = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < count && !st; i++) {
        roaring_bitmap_t *found;
        if (column_is_null(values, i)) continue;
        buffer_clear(&term);
        if (!postings_append_term(&term, values, i)) {
            st = error_no_memory(error, "postings");
            break;
        }
        st = postings_view_find(view, buffer_slice(&term), segment->info.rows, &found, error);
        if (!st) {
            roaring_bitmap_or_inplace(rows, found);
            roaring_bitmap_free(found);
        }
    }
    buffer_deinit(&term);
    return st;
}

/* Rows with every word; without words, all that have a term say nothing: the caller gets no postings. */
static enum plinth_status find_words(const struct segment *segment, const struct postings_view *view, struct slice text,
                                     roaring_bitmap_t *rows, bool *has_words, struct plinth_error *error) {
    struct token_reader tokens = {.text = text};
    uint8_t word[TOKEN_BYTES_MAX];
    size_t size;
    enum plinth_status st = PLINTH_OK;
    *has_words = false;
    while (!st && token_next(&tokens, word, &size)) {
        roaring_bitmap_t *found;
        st = postings_view_find(view, slice_of(word, size), segment->info.rows, &found, error);
        if (st) break;
        if (*has_words)
            roaring_bitmap_and_inplace(rows, found);
        else
            roaring_bitmap_or_inplace(rows, found);
        *has_words = true;
        roaring_bitmap_free(found);
    }
    return st;
}

enum plinth_status segment_postings(struct segment *segment, uint32_t column_id, enum index_kind kind,
                                    const struct column *values, uint32_t value_count, struct roaring_bitmap_s **rows,
                                    struct plinth_error *error) {
    *rows = NULL;
    enum plinth_status st = segment_load(segment, error);
    if (st) return st;
    struct postings_block *postings = find_postings(segment, column_id, kind);
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    const struct postings_view *view;
    bool has_words = true;
    if (!column) { /* nothing but nulls */
        *rows = roaring_bitmap_create();
        return *rows ? PLINTH_OK : error_no_memory(error, "postings");
    }
    if (!postings || !column_type_equal(values->type, column->type)) return PLINTH_OK;
    if (kind == INDEX_TOKEN && column->type.kind != COLUMN_STRING) return PLINTH_OK; /* a file can say anything */
    st = load_postings(segment, postings, &view, error);
    roaring_bitmap_t *found = st ? NULL : roaring_bitmap_create();
    if (!st && !found) st = error_no_memory(error, "postings");
    if (!st && kind == INDEX_BITMAP)
        st = find_values(segment, view, values, value_count, found, error);
    else if (!st && value_count && !column_is_null(values, 0))
        st = find_words(segment, view, column_bytes_at(values, 0), found, &has_words, error);
    if (st || !has_words) {
        if (found) roaring_bitmap_free(found);
        return st ? segment_error(segment, st, error) : PLINTH_OK;
    }
    *rows = found;
    return PLINTH_OK;
}
