/* The stripe index of an open segment: built from the page indexes, searched by every read. */
#include <stdlib.h>

#include "base/status.h"
#include "parquet/page_index.h"
#include "table/key_prefix.h"
#include "table/segment_private.h"

const char *const segment_column_names[SEGMENT_COLUMNS] = {"key", "value", "_index", "_lsn", "_op"};

/* ---- search ---- */

/* How many numbers are below `prefix`; without branches on them, as they are as good as random. */
static uint32_t count_below(const uint64_t *prefixes, uint32_t count, uint64_t prefix) {
    const uint64_t *base = prefixes;
    while (count > 1) {
        uint32_t half = count / 2;
        base += base[half - 1] < prefix ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - prefixes) + (count && *base < prefix);
}

static struct slice first_key_rest(const struct stripe_index *index, uint32_t stripe) {
    return key_behind(stripe_first_key(index, stripe), index->common);
}

uint32_t stripe_index_count_not_above(const struct stripe_index *index, struct slice key) {
    struct slice common = slice_of(index->keys, index->common); /* the first first key's first bytes */
    if (!slice_starts_with(key, common)) return slice_compare(key, common) < 0 ? 0 : index->count;
    struct slice rest = key_behind(key, common.size);
    uint64_t prefix = key_prefix(rest);
    uint32_t low = count_below(index->prefixes, index->count, prefix), high = low;
    while (high < index->count && index->prefixes[high] == prefix) high++;
    while (low < high) { /* among those with the same prefix */
        uint32_t middle = low + (high - low) / 2;
        if (key_compare_behind_prefix(first_key_rest(index, middle), rest) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool stripe_index_range(const struct stripe_index *index, struct slice key, uint32_t *first, uint32_t *last) {
    uint32_t count = stripe_index_count_not_above(index, key);
    *first = *last = count ? count - 1 : 0;
    if (!count) return false;
    while (*first > 0 && (index->flags[*first] & STRIPE_CONTINUES) && slice_equal(stripe_first_key(index, *first), key))
        --*first;
    return true;
}

/* ---- building ---- */

/* The arrays of struct stripe_index while their length is not known yet. */
struct builder {
    struct buffer prefixes, key_offsets, keys, lsns, groups, first_rows, rows, flags;
    struct buffer last_key; /* of the stripe before */
    bool has_last_key;
};

static void builder_deinit(struct builder *builder) {
    struct buffer *all[] = {&builder->prefixes, &builder->key_offsets, &builder->keys,
                            &builder->lsns,     &builder->groups,      &builder->first_rows,
                            &builder->rows,     &builder->flags,       &builder->last_key};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_deinit(all[i]);
}

static enum plinth_status page_error(enum segment_column column, uint32_t group, uint32_t page, const char *what,
                                     struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "row group %u, column %s, page %u: %s", group, segment_column_names[column],
                     page, what);
}

/* One stripe, by its page in the key column. */
static enum plinth_status add_stripe(struct builder *builder, uint32_t group, uint32_t page,
                                     const struct parquet_page_index *keys, struct plinth_error *error) {
    const struct parquet_page_location *location = &keys->locations[page];
    const struct parquet_page_bounds *bounds = &keys->bounds[page];
    if (bounds->is_null_page || location->row_count == 0 || location->row_count > UINT32_MAX ||
        location->first_row > UINT32_MAX)
        return page_error(SEGMENT_KEY, group, page, "not a page of keys", error);
    int order = builder->has_last_key ? slice_compare(buffer_slice(&builder->last_key), bounds->min) : -1;
    if (order > 0 || slice_compare(bounds->min, bounds->max) > 0)
        return page_error(SEGMENT_KEY, group, page, "the bounds are out of order", error);
    if (builder->keys.size + bounds->min.size > UINT32_MAX)
        return page_error(SEGMENT_KEY, group, page, "the page index is over 4 GiB", error);
    bool ok = buffer_append_u32(&builder->key_offsets, (uint32_t)builder->keys.size) &&
              buffer_append(&builder->keys, bounds->min.data, bounds->min.size) &&
              buffer_append_u64(&builder->lsns, 0) && buffer_append_u32(&builder->groups, group) &&
              buffer_append_u32(&builder->first_rows, (uint32_t)location->first_row) &&
              buffer_append_u32(&builder->rows, (uint32_t)location->row_count) &&
              buffer_append_u8(&builder->flags, order == 0 ? STRIPE_CONTINUES : 0);
    buffer_clear(&builder->last_key);
    ok = ok && buffer_append(&builder->last_key, bounds->max.data, bounds->max.size);
    builder->has_last_key = true;
    return ok ? PLINTH_OK : error_no_memory(error, "stripe index");
}

/* What the bounds of the other columns save reading. */
void stripe_index_note_bounds(uint8_t *flags, uint64_t *lsn, enum segment_column column,
                              const struct parquet_page_bounds *bounds) {
    if (column == SEGMENT_INDEXES && bounds->is_null_page) *flags |= STRIPE_NO_INDEXES;
    if (bounds->is_null_page || !slice_equal(bounds->min, bounds->max)) return;
    if (column == SEGMENT_LSN && bounds->min.size == 8) {
        *lsn = load_u64(bounds->min.data);
        *flags |= STRIPE_LSN_CONSTANT;
    }
    uint32_t operation = column == SEGMENT_OPERATION && bounds->min.size == 4 ? load_u32(bounds->min.data) : 0;
    if (operation == ROW_SET || operation == ROW_DELETE)
        *flags |= (uint8_t)(STRIPE_OPERATION_CONSTANT | operation << STRIPE_OPERATION_SHIFT);
}

static enum plinth_status keep_places(struct segment *segment, struct segment_group *group, enum segment_column column,
                                      const struct parquet_page_index *index, struct plinth_error *error) {
    struct page_place *places = arena_alloc(&segment->arena, index->page_count * sizeof *places);
    if (!places) return error_no_memory(error, "stripe index");
    for (uint32_t i = 0; i < index->page_count; i++)
        places[i] = (struct page_place){index->locations[i].offset, index->locations[i].bytes};
    group->places[column] = places;
    return PLINTH_OK;
}

static enum plinth_status load_keys(struct segment *segment, struct builder *builder, uint32_t number,
                                    struct plinth_error *error) {
    struct segment_group *group = &segment->groups[number];
    struct parquet_page_index index;
    enum plinth_status st =
        parquet_reader_page_index(segment->reader, number, segment->leaf[SEGMENT_KEY], &index, error);
    if (st) return st;
    group->first_stripe = (uint32_t)builder->flags.size;
    group->stripe_count = index.page_count;
    if (!index.bounds) st = error_set(error, PLINTH_CORRUPT, "row group %u, column key: no column index", number);
    if (!st && index.page_count > UINT32_MAX / 4 - group->first_stripe)
        st = error_set(error, PLINTH_CORRUPT, "row group %u: too many pages", number);
    for (uint32_t page = 0; page < index.page_count && !st; page++)
        st = add_stripe(builder, number, page, &index, error);
    if (!st) st = keep_places(segment, group, SEGMENT_KEY, &index, error);
    parquet_page_index_deinit(&index);
    return st;
}

/* Pages of another column: at the same rows as the keys'. */
static enum plinth_status load_column(struct segment *segment, struct builder *builder, uint32_t number,
                                      enum segment_column column, struct plinth_error *error) {
    struct segment_group *group = &segment->groups[number];
    struct parquet_page_index index;
    enum plinth_status st = parquet_reader_page_index(segment->reader, number, segment->leaf[column], &index, error);
    if (st) return st;
    if (index.page_count != group->stripe_count)
        st = page_error(column, number, index.page_count, "the pages are not those of the keys", error);
    for (uint32_t page = 0; page < index.page_count && !st; page++) {
        uint32_t stripe = group->first_stripe + page;
        const struct parquet_page_location *location = &index.locations[page];
        if (location->first_row != load_u32(builder->first_rows.data + 4 * (size_t)stripe) ||
            location->row_count != load_u32(builder->rows.data + 4 * (size_t)stripe)) {
            st = page_error(column, number, page, "its rows are not those of the keys", error);
        } else if (index.bounds) {
            stripe_index_note_bounds(&builder->flags.data[stripe], (uint64_t *)(void *)builder->lsns.data + stripe,
                                     column, &index.bounds[page]);
        }
    }
    if (!st) st = keep_places(segment, group, column, &index, error);
    parquet_page_index_deinit(&index);
    return st;
}

static enum plinth_status load_bloom(struct segment *segment, uint32_t number, struct plinth_error *error) {
    struct segment_group *group = &segment->groups[number];
    enum plinth_status st =
        parquet_reader_bloom(segment->reader, number, segment->leaf[SEGMENT_KEY], &group->bloom, error);
    if (st == PLINTH_NOT_FOUND) {
        error_clear(error);
        return PLINTH_OK;
    }
    group->has_bloom = !st && group->bloom.block_count > 0;
    return st;
}

static void *keep(struct segment *segment, const struct buffer *buffer) {
    void *copy = arena_alloc(&segment->arena, buffer->size);
    if (copy && buffer->size) memcpy(copy, buffer->data, buffer->size);
    return copy;
}

static size_t shared_bytes(struct slice a, struct slice b) {
    size_t most = a.size < b.size ? a.size : b.size, shared = 0;
    while (shared < most && a.data[shared] == b.data[shared]) shared++;
    return shared;
}

static enum plinth_status finish(struct segment *segment, struct builder *builder, struct plinth_error *error) {
    struct stripe_index *index = &segment->stripes;
    index->count = (uint32_t)builder->flags.size;
    if (!index->count) return error_set(error, PLINTH_CORRUPT, "there are no rows");
    if (!buffer_append_u32(&builder->key_offsets, (uint32_t)builder->keys.size))
        return error_no_memory(error, "stripe index");
    index->key_offsets = keep(segment, &builder->key_offsets);
    index->keys = keep(segment, &builder->keys);
    index->lsns = keep(segment, &builder->lsns);
    index->groups = keep(segment, &builder->groups);
    index->first_rows = keep(segment, &builder->first_rows);
    index->rows = keep(segment, &builder->rows);
    index->flags = keep(segment, &builder->flags);
    if (!index->key_offsets || !index->keys || !index->lsns || !index->groups || !index->first_rows || !index->rows ||
        !index->flags)
        return error_no_memory(error, "stripe index");
    return segment_finish_index(segment, error);
}

enum plinth_status segment_finish_index(struct segment *segment, struct plinth_error *error) {
    struct stripe_index *index = &segment->stripes;
    index->prefixes = arena_alloc(&segment->arena, index->count * sizeof *index->prefixes);
    if (!index->prefixes) return error_no_memory(error, "stripe index");
    /* They ascend, so what the first and the last share, all do. */
    index->common = (uint32_t)shared_bytes(stripe_first_key(index, 0), stripe_first_key(index, index->count - 1));
    for (uint32_t i = 0; i < index->count; i++) index->prefixes[i] = key_prefix(first_key_rest(index, i));
    return PLINTH_OK;
}

/* Long ones the manifest leaves to the file. */
enum plinth_status segment_check_bounds(struct segment *segment, struct slice last, struct plinth_error *error) {
    struct slice first = stripe_first_key(&segment->stripes, 0);
    if (segment->info.key_min.size == 0 && segment->info.key_max.size == 0)
        return buffer_append(&segment->info.key_min, first.data, first.size) &&
                       buffer_append(&segment->info.key_max, last.data, last.size)
                   ? PLINTH_OK
                   : error_no_memory(error, "key bounds");
    if (!slice_equal(first, buffer_slice(&segment->info.key_min)))
        return error_set(error, PLINTH_CORRUPT, "the first key differs from the manifest's");
    if (!slice_equal(last, buffer_slice(&segment->info.key_max)))
        return error_set(error, PLINTH_CORRUPT, "the last key differs from the manifest's");
    return PLINTH_OK;
}

enum plinth_status segment_load_index(struct segment *segment, struct plinth_error *error) {
    struct builder builder = {0};
    uint32_t count = parquet_reader_metadata(segment->reader)->row_group_count;
    segment->groups = arena_zalloc(&segment->arena, count * sizeof *segment->groups);
    if (!segment->groups) return error_no_memory(error, "stripe index");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t group = 0; group < count && !st; group++) {
        segment->group_count = group + 1;
        st = load_keys(segment, &builder, group, error);
        for (enum segment_column column = SEGMENT_KEY + 1; column < SEGMENT_COLUMNS && !st; column++)
            if (segment->has_column[column]) st = load_column(segment, &builder, group, column, error);
        if (!st) st = load_bloom(segment, group, error);
    }
    if (!st) st = finish(segment, &builder, error);
    if (!st) st = segment_check_bounds(segment, buffer_slice(&builder.last_key), error);
    builder_deinit(&builder);
    return st;
}
