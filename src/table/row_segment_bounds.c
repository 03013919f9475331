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

/* A bound as a value of the table's column, which may have become wider since: that keeps the order. */
static enum plinth_status widen_bound(struct arena *arena, const struct table_column *wanted, struct column *bound,
                                      struct plinth_error *error) {
    struct column stored = *bound;
    return table_column_widen(arena, wanted, &stored, 1, bound, error);
}

static enum plinth_status set_values(struct arena *arena, const struct row_segment_column *column,
                                     const struct table_column *wanted, struct slice min, struct slice max,
                                     struct column_bounds *bounds, struct plinth_error *error) {
    if (!bounds_hold(column)) return PLINTH_OK;
    if (!row_column_plain_fits(column->type, min) || !row_column_plain_fits(column->type, max))
        return error_set(error, PLINTH_CORRUPT, "the bounds of the column with the id %u are malformed", column->id);
    if (!row_column_from_plain(arena, column->type, min, &bounds->min) ||
        !row_column_from_plain(arena, column->type, max, &bounds->max))
        return error_no_memory(error, "bounds");
    enum plinth_status st = widen_bound(arena, wanted, &bounds->min, error);
    if (!st) st = widen_bound(arena, wanted, &bounds->max, error);
    bounds->has_values = !st;
    return st;
}

/* The file has no such column: all its rows have the column's initial default, or null. */
static void set_absent(const struct table_column *wanted, uint64_t rows, struct column_bounds *bounds) {
    const struct column *value = wanted->initial_default;
    *bounds = (struct column_bounds){.has_nulls_known = true, .null_count = value ? 0 : rows, .rows = rows};
    if (!value) return;
    bounds->has_values = value->type.kind != COLUMN_LIST;
    bounds->min = bounds->max = *value;
}

static enum plinth_status find_wanted(const struct table_schema *schema, uint32_t column_id,
                                      const struct table_column **wanted, struct plinth_error *error) {
    int32_t at = table_schema_find_id(schema, column_id);
    *wanted = at < 0 ? NULL : &schema->columns[at];
    return *wanted
               ? PLINTH_OK
               : error_set(error, PLINTH_INTERNAL, "table %s has no column with the id %u", schema->name, column_id);
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
    const struct table_column *wanted;
    struct slice min = {0}, max = {0};
    *bounds = (struct column_bounds){.rows = segment->info.rows};
    enum plinth_status st = segment_load(segment, error);
    if (!st) st = find_wanted(schema, column_id, &wanted, error);
    if (st) return st;
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    if (!column) {
        set_absent(wanted, segment->info.rows, bounds);
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST) return PLINTH_OK; /* the statistics are those of the elements */
    if (!merge_groups(segment, column, &min, &max, bounds)) return PLINTH_OK;
    st = set_values(arena, column, wanted, min, max, bounds, error);
    return st ? segment_error(segment, st, error) : PLINTH_OK;
}

enum plinth_status segment_stripe_bounds(struct segment *segment, const struct table_schema *schema, uint32_t stripe,
                                         uint32_t column_id, struct arena *arena, struct column_bounds *bounds,
                                         struct plinth_error *error) {
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    const struct table_column *wanted;
    const struct parquet_page_index *pages;
    uint32_t rows = segment->stripes.rows[stripe], group = segment->stripes.groups[stripe];
    *bounds = (struct column_bounds){.rows = rows};
    enum plinth_status st = find_wanted(schema, column_id, &wanted, error);
    if (st) return st;
    if (!column) {
        set_absent(wanted, rows, bounds);
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST) return PLINTH_OK;
    st = row_segment_pages(segment, group, column->leaf, &pages, error);
    if (!st && pages->bounds) {
        const struct parquet_page_bounds *page = &pages->bounds[stripe - segment->groups[group].first_stripe];
        bounds->has_nulls_known = pages->has_null_counts || page->is_null_page;
        bounds->null_count = page->is_null_page ? rows : pages->has_null_counts ? page->null_count : 0;
        if (!page->is_null_page) st = set_values(arena, column, wanted, page->min, page->max, bounds, error);
    }
    return st ? segment_error(segment, st, error) : PLINTH_OK;
}

/* ---- values of a wider type ---- */

/* Values as the file has them, memory from `arena`; those that its type cannot hold, which no row of it has, are null.
 * False when the types never go together. */
static enum plinth_status as_stored(struct arena *arena, const struct row_segment_column *column,
                                    const struct column *values, uint32_t count, struct column *stored, bool *known,
                                    struct plinth_error *error) {
    *stored = *values;
    *known = column_type_equal(values->type, column->type);
    if (*known || !column_cast_is_possible(values->type, column->type)) return PLINTH_OK;
    uint8_t *rejected = arena_zalloc(arena, (size_t)count / 8 + 1);
    if (!rejected) return error_no_memory(error, "values");
    *known = true;
    return column_cast(arena, values, count, column->type, rejected, stored, error);
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

static enum plinth_status probe_bloom(struct segment *segment, uint32_t stripe, const struct row_segment_column *column,
                                      const struct column *value, bool *maybe, struct plinth_error *error) {
    uint8_t scratch[16];
    struct column stored;
    struct arena arena;
    bool known;
    arena_init(&arena);
    enum plinth_status st = as_stored(&arena, column, value, 1, &stored, &known, error);
    if (!st && known && column_is_null(&stored, 0))
        *maybe = false; /* no row of the file can have it */
    else if (!st && known)
        st = parquet_reader_bloom_check(segment->reader, segment->stripes.groups[stripe], column->leaf,
                                        row_column_to_plain(&stored, 0, scratch), maybe, error);
    arena_deinit(&arena);
    return st;
}

enum plinth_status segment_stripe_bloom(struct segment *segment, uint32_t stripe, uint32_t column_id,
                                        const struct column *value, bool *maybe, struct plinth_error *error) {
    const struct row_segment_column *column = row_segment_find(segment, column_id);
    *maybe = true;
    if (column_is_null(value, 0)) return PLINTH_OK;
    if (!column) { /* nothing but nulls */
        *maybe = false;
        return PLINTH_OK;
    }
    if (column->type.kind == COLUMN_LIST || column->type.kind == COLUMN_BOOL || has_many_forms(value)) return PLINTH_OK;
    enum plinth_status st = probe_bloom(segment, stripe, column, value, maybe, error);
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

static enum plinth_status find_rows(struct segment *segment, const struct row_segment_column *column,
                                    struct postings_block *postings, const struct column *values, uint32_t value_count,
                                    roaring_bitmap_t *found, bool *known, struct plinth_error *error) {
    const struct postings_view *view;
    struct column stored;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st = as_stored(&arena, column, values, value_count, &stored, known, error);
    if (!st && *known) st = load_postings(segment, postings, &view, error);
    if (!st && *known && postings->kind == INDEX_BITMAP)
        st = find_values(segment, view, &stored, value_count, found, error);
    else if (!st && *known && value_count && !column_is_null(&stored, 0))
        st = find_words(segment, view, column_bytes_at(&stored, 0), found, known, error);
    arena_deinit(&arena);
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
    bool known = true;
    if (!column) { /* nothing but nulls */
        *rows = roaring_bitmap_create();
        return *rows ? PLINTH_OK : error_no_memory(error, "postings");
    }
    if (!postings) return PLINTH_OK;
    if (kind == INDEX_TOKEN && column->type.kind != COLUMN_STRING) return PLINTH_OK; /* a file can say anything */
    roaring_bitmap_t *found = roaring_bitmap_create();
    st = found ? find_rows(segment, column, postings, values, value_count, found, &known, error)
               : error_no_memory(error, "postings");
    if (st || !known) {
        if (found) roaring_bitmap_free(found);
        return st ? segment_error(segment, st, error) : PLINTH_OK;
    }
    *rows = found;
    return PLINTH_OK;
}
