/* One column chunk against what the file says of it. See verify.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/batch.h"
#include "parquet/bloom.h"
#include "parquet/nulls.h"
#include "parquet/page_walk_private.h"
#include "parquet/verify_private.h"

/* Distinct values, by 64-bit hashes, in an open table. */
struct hash_set {
    uint64_t *slots; /* 0: empty */
    size_t capacity, count;
};

/* How many slots have each level. */
struct level_tally {
    uint64_t repetition[256], definition[256];
};

struct chunk_check {
    struct verifier *verifier;
    uint32_t row_group, column;
    const struct parquet_column *about;
    const struct parquet_column_chunk *chunk;
    enum parquet_order order;
    struct parquet_page_walk walk;
    struct parquet_page_index index;
    bool has_index;
    struct parquet_bloom bloom;
    bool has_bloom;
    struct hash_set distinct;
    bool counts_distinct;
    struct parquet_column_buffer dictionary, page;
    bool has_dictionary;
    struct buffer dense, dense_offsets; /* values without nulls */

    /* So far. */
    uint64_t slots, rows, nulls, null_elements, nans, uncompressed_bytes, unencoded_bytes;
    struct level_tally levels;
    uint32_t pages;                                /* data pages */
    uint32_t encodings[2][PARQUET_ENCODING_COUNT]; /* pages of each; [1]: dictionary pages */
    bool has_values;                               /* one that is not null */
    bool has_bounds;
    struct buffer min, max;
    bool is_complete; /* all pages were decoded */
};

static struct verify_place place_of(const struct chunk_check *check) {
    return (struct verify_place){check->row_group, check->about->path, PARQUET_NOWHERE, PARQUET_NOWHERE};
}

static struct verify_place page_place(const struct chunk_check *check, uint64_t offset) {
    return (struct verify_place){check->row_group, check->about->path, check->pages, (int64_t)offset};
}

/* ---- Distinct values ---- */

static void hash_put(uint64_t *slots, size_t capacity, uint64_t hash) {
    size_t at = (size_t)hash & (capacity - 1);
    while (slots[at]) at = (at + 1) & (capacity - 1);
    slots[at] = hash;
}

static bool hash_grow(struct hash_set *set) {
    size_t capacity = set->capacity ? set->capacity * 2 : 1024;
    uint64_t *slots = calloc(capacity, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i]) hash_put(slots, capacity, set->slots[i]);
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return true;
}

static bool hash_add(struct hash_set *set, uint64_t hash) {
    hash |= hash == 0;
    if (set->count * 2 >= set->capacity && !hash_grow(set)) return false;
    for (size_t at = (size_t)hash & (set->capacity - 1); set->slots[at]; at = (at + 1) & (set->capacity - 1))
        if (set->slots[at] == hash) return true;
    hash_put(set->slots, set->capacity, hash);
    set->count++;
    return true;
}

/* ---- Values without their nulls ---- */

static bool dense_bits(struct chunk_check *check, const struct parquet_column_data *data) {
    uint64_t to = 0;
    const uint8_t *values = data->values;
    if (!buffer_append_zeros(&check->dense, (size_t)(data->slots + 7) / 8 + 1)) return false;
    for (uint64_t i = 0; i < data->slots; i++) {
        if (parquet_column_data_is_null(data, i)) continue;
        if (bitmap_get(values, i)) bitmap_set(check->dense.data, to);
        to++;
    }
    return true;
}

static bool dense_offsets(struct chunk_check *check, const struct parquet_column_data *data, struct bytes_view *view) {
    uint32_t count = 0;
    buffer_clear(&check->dense_offsets);
    if (!buffer_reserve(&check->dense_offsets, ((size_t)view->count + 1) * sizeof(uint32_t))) return false;
    uint32_t *to = (uint32_t *)(void *)check->dense_offsets.data;
    for (uint64_t i = 0; i < data->slots; i++) /* the ranges of nulls are empty */
        if (!parquet_column_data_is_null(data, i)) to[count++] = data->offsets[i];
    to[count] = data->offsets[data->slots];
    view->offsets = to;
    return true;
}

static bool make_dense(struct chunk_check *check, const struct parquet_column_data *data, struct bytes_view *view) {
    bool has_nulls = data->validity && data->null_count > 0;
    buffer_clear(&check->dense);
    *view = (struct bytes_view){
        .bytes = data->values, .width = check->about->width, .count = (uint32_t)(data->slots - data->null_count)};
    if (check->about->type == PARQUET_TYPE_BYTE_ARRAY) {
        view->bytes = data->bytes ? data->bytes : (const uint8_t *)"";
        view->offsets = data->offsets;
        return !has_nulls || dense_offsets(check, data, view);
    }
    if (!has_nulls) return true;
    if (check->about->type == PARQUET_TYPE_BOOLEAN) {
        if (!dense_bits(check, data)) return false;
    } else {
        if (!buffer_reserve(&check->dense, (size_t)data->slots * view->width + NULLS_SLACK)) return false;
        nulls_gather(data->values, data->slots, view->width, data->validity, 0, check->dense.data);
    }
    view->bytes = check->dense.data;
    return true;
}

/* ---- The values of a page ---- */

static void check_bloom(struct chunk_check *check, const struct bytes_view *view, struct verify_place place) {
    uint32_t missing = 0;
    if (!check->has_bloom || check->about->type == PARQUET_TYPE_BOOLEAN) return;
    for (uint32_t i = 0; i < view->count; i++) missing += !parquet_bloom_check(&check->bloom, bytes_view_at(view, i));
    if (missing)
        verify_report(check->verifier, place, "the bloom filter at offset %" PRIu64 " lacks %u of the page's %u values",
                      check->chunk->bloom_offset, missing, view->count);
}

static bool count_distinct(struct chunk_check *check, const struct bytes_view *view) {
    bool is_bits = check->about->type == PARQUET_TYPE_BOOLEAN;
    for (uint32_t i = 0; check->counts_distinct && i < view->count; i++) {
        uint64_t hash = is_bits ? 1u + bitmap_get(view->bytes, i) : parquet_bloom_hash(bytes_view_at(view, i));
        if (!hash_add(&check->distinct, hash)) return false;
    }
    return true;
}

static void check_utf8(struct chunk_check *check, const struct bytes_view *view, struct verify_place place) {
    const struct parquet_column *about = check->about;
    bool is_text = about->logical.kind == PARQUET_LOGICAL_STRING || about->logical.kind == PARQUET_LOGICAL_ENUM ||
                   about->logical.kind == PARQUET_LOGICAL_JSON;
    if (!is_text || about->type != PARQUET_TYPE_BYTE_ARRAY) return;
    for (uint32_t i = 0; i < view->count; i++) {
        struct slice text = bytes_view_at(view, i);
        size_t at = utf8_find_invalid(text);
        if (at == SIZE_MAX) continue;
        verify_report(check->verifier, place, "value %u of the page is no UTF-8 from its byte %zu on", i, at);
        return;
    }
}

/* Slots of a list without a value that are elements: some writers count those alone, others empty and null lists too.
 */
static uint64_t count_null_elements(const struct chunk_check *check, const struct parquet_column_data *data) {
    uint64_t elements = 0;
    if (check->about->element_level == 0) return data->null_count;
    for (uint64_t i = 0; i < data->slots; i++)
        elements += data->definition_levels[i] >= check->about->element_level &&
                    data->definition_levels[i] < check->about->definition_level_max;
    return elements;
}

/* The bounds of the column index. */
static void check_page_bounds(struct chunk_check *check, const struct value_bounds *seen, uint64_t null_elements,
                              uint64_t values, struct verify_place place) {
    uint64_t nulls = check->page.data.null_count;
    char text[2][VERIFY_VALUE_TEXT_MAX];
    struct verifier *verifier = check->verifier;
    if (!check->has_index || !check->index.bounds || check->pages >= check->index.page_count) return;
    const struct parquet_page_bounds *bounds = &check->index.bounds[check->pages];
    if (check->index.has_null_counts && bounds->null_count != nulls && bounds->null_count != null_elements)
        verify_report(verifier, place, "the column index says %" PRIu64 " nulls, but the page has %" PRIu64,
                      bounds->null_count, nulls);
    if (bounds->is_null_page != (values == 0)) {
        verify_report(verifier, place,
                      bounds->is_null_page ? "the column index says that there are only nulls, but the page has values"
                                           : "the column index has bounds of a page without values");
        return;
    }
    if (bounds->is_null_page || !seen->has) return;
    if (parquet_value_compare(check->order, seen->min, bounds->min) < 0)
        verify_report(verifier, place, "the page has a value %s below %s, its min in the column index",
                      verify_value_text(check->order, seen->min, text[0]),
                      verify_value_text(check->order, bounds->min, text[1]));
    if (parquet_value_compare(check->order, seen->max, bounds->max) > 0)
        verify_report(verifier, place, "the page has a value %s above %s, its max in the column index",
                      verify_value_text(check->order, seen->max, text[0]),
                      verify_value_text(check->order, bounds->max, text[1]));
}

/* ---- Size statistics ---- */

static void tally_levels(const struct chunk_check *check, struct level_tally *tally) {
    const struct parquet_column_data *data = &check->page.data;
    *tally = (struct level_tally){0};
    if (!parquet_column_has_levels(check->about)) { /* validity says it all */
        tally->repetition[0] = data->slots;
        tally->definition[0] = data->null_count;
        tally->definition[check->about->definition_level_max] += data->slots - data->null_count;
        return;
    }
    for (uint64_t i = 0; i < data->slots; i++) {
        tally->repetition[data->repetition_levels[i]]++;
        tally->definition[data->definition_levels[i]]++;
    }
}

static void add_levels(struct level_tally *sum, const struct level_tally *more) {
    for (int i = 0; i < 256; i++) {
        sum->repetition[i] += more->repetition[i];
        sum->definition[i] += more->definition[i];
    }
}

/* `said` has the counts of `pages` pages, of which `page` is looked at. */
static void check_level_counts(struct chunk_check *check, const char *name, const struct parquet_level_counts *said,
                               uint8_t level_max, uint64_t page, uint64_t pages, const uint64_t *tally,
                               struct verify_place place) {
    uint64_t levels = level_max + UINT64_C(1);
    if (!said->slots || said->count == 0) return;
    if (said->count != levels * pages) {
        verify_report(check->verifier, place, "there are %u counts of %s levels where %" PRIu64 " belong", said->count,
                      name, levels * pages);
        return;
    }
    for (uint64_t level = 0; level < levels; level++) {
        uint64_t slots = said->slots[page * levels + level];
        if (slots == tally[level]) continue;
        verify_report(check->verifier, place,
                      "%" PRIu64 " slots have %s level %" PRIu64 ", but the size statistics say %" PRIu64, tally[level],
                      name, level, slots);
        return;
    }
}

static void check_levels(struct chunk_check *check, const struct parquet_level_statistics *said, uint64_t page,
                         uint64_t pages, const struct level_tally *tally, struct verify_place place) {
    check_level_counts(check, "repetition", &said->repetition, check->about->repetition_level_max, page, pages,
                       tally->repetition, place);
    check_level_counts(check, "definition", &said->definition, check->about->definition_level_max, page, pages,
                       tally->definition, place);
}

static void check_unencoded(struct chunk_check *check, uint64_t bytes, uint64_t said, struct verify_place place) {
    if (bytes != said)
        verify_report(check->verifier, place, "the values have %" PRIu64 " bytes, but the size statistics say %" PRIu64,
                      bytes, said);
}

static void check_page_sizes(struct chunk_check *check, const struct bytes_view *view, struct verify_place place) {
    const struct parquet_page_index *index = &check->index;
    bool is_indexed = check->has_index && check->pages < index->page_count;
    struct level_tally tally;
    tally_levels(check, &tally);
    add_levels(&check->levels, &tally);
    if (is_indexed) check_levels(check, &index->levels, check->pages, index->page_count, &tally, place);
    if (check->about->type != PARQUET_TYPE_BYTE_ARRAY) return;
    uint64_t bytes = check->page.data.slots ? view->offsets[view->count] - view->offsets[0] : 0;
    check->unencoded_bytes += bytes;
    if (is_indexed && index->unencoded_bytes)
        check_unencoded(check, bytes, index->unencoded_bytes[check->pages], place);
}

static uint64_t count_nans(const struct chunk_check *check, const struct bytes_view *view) {
    enum parquet_order order = check->order;
    uint64_t nans = 0;
    if (order != PARQUET_ORDER_FLOAT && order != PARQUET_ORDER_DOUBLE && order != PARQUET_ORDER_FLOAT16) return 0;
    for (uint32_t i = 0; i < view->count; i++) nans += statistics_value_is_nan(order, bytes_view_at(view, i).data);
    return nans;
}

/* ---- Bounds ---- */

static bool keep_bound(struct buffer *bound, struct slice value) {
    buffer_clear(bound);
    return buffer_append(bound, value.data, value.size);
}

static bool merge_bounds(struct chunk_check *check, const struct value_bounds *seen) {
    if (!seen->has) return true;
    if (!check->has_bounds) {
        check->has_bounds = true;
        return keep_bound(&check->min, seen->min) && keep_bound(&check->max, seen->max);
    }
    bool is_ok = true;
    if (parquet_value_compare(check->order, seen->min, buffer_slice(&check->min)) < 0)
        is_ok = keep_bound(&check->min, seen->min);
    if (parquet_value_compare(check->order, seen->max, buffer_slice(&check->max)) > 0)
        is_ok = is_ok && keep_bound(&check->max, seen->max);
    return is_ok;
}

static enum plinth_status check_values(struct chunk_check *check, struct verify_place place,
                                       struct plinth_error *error) {
    const struct parquet_column_data *data = &check->page.data;
    struct bytes_view view;
    if (!make_dense(check, data, &view)) return error_no_memory(error, "Parquet values");
    struct value_bounds seen = statistics_bounds(check->order, &view);
    uint64_t null_elements = count_null_elements(check, data);
    check_page_bounds(check, &seen, null_elements, view.count, place);
    uint64_t nans = count_nans(check, &view);
    if (check->has_index && check->index.bounds && check->index.has_nan_counts &&
        check->pages < check->index.page_count && check->index.bounds[check->pages].nan_count != nans)
        verify_report(check->verifier, place, "the column index says %" PRIu64 " NaN, but the page has %" PRIu64,
                      check->index.bounds[check->pages].nan_count, nans);
    check->nans += nans;
    check_page_sizes(check, &view, place);
    check_bloom(check, &view, place);
    check_utf8(check, &view, place);
    check->has_values |= view.count > 0;
    check->nulls += data->null_count;
    check->null_elements += null_elements;
    if (count_distinct(check, &view) && merge_bounds(check, &seen)) return PLINTH_OK;
    return error_no_memory(error, "Parquet values");
}

/* ---- Pages ---- */

static void check_location(struct chunk_check *check, uint64_t offset, uint64_t bytes, struct verify_place place) {
    if (!check->has_index || check->pages >= check->index.page_count) return;
    const struct parquet_page_location *location = &check->index.locations[check->pages];
    if (location->offset != offset || location->bytes != bytes)
        verify_report(check->verifier, place,
                      "the page has %" PRIu64 " bytes, but the offset index says %u bytes at offset %" PRIu64, bytes,
                      location->bytes, location->offset);
}

static void check_rows(struct chunk_check *check, const struct parquet_page_header *header, struct verify_place place) {
    const struct parquet_column_data *data = &check->page.data;
    bool is_v2 = header->type == PARQUET_PAGE_DATA_V2;
    if (is_v2 && header->row_count != data->rows)
        verify_report(check->verifier, place, "the page has %" PRIu64 " rows, but its header says %u", data->rows,
                      header->row_count);
    if (is_v2 && header->null_count != data->null_count)
        verify_report(check->verifier, place, "the page has %" PRIu64 " nulls, but its header says %u",
                      data->null_count, header->null_count);
    if (data->repetition_levels && data->slots && data->repetition_levels[0] > 0 &&
        (is_v2 || check->has_index || check->slots == 0))
        verify_report(check->verifier, place, "the page begins inside a row");
    if (!check->has_index || check->pages >= check->index.page_count || !check->is_complete) return;
    const struct parquet_page_location *location = &check->index.locations[check->pages];
    if (location->first_row != check->rows || location->row_count != data->rows)
        verify_report(check->verifier, place,
                      "the page has rows %" PRIu64 " to %" PRIu64
                      " of the row group, but the offset index says %" PRIu64 " to %" PRIu64,
                      check->rows, check->rows + data->rows, location->first_row,
                      location->first_row + location->row_count);
}

static struct page_context context_of(const struct chunk_check *check) {
    struct page_context context =
        reader_page_context(check->verifier->reader, check->column, check->chunk->codec, check->verifier->scratch);
    context.check_checksums = true;
    context.dictionary = check->has_dictionary ? &check->dictionary : NULL;
    return context;
}

/* One that is not known is told when the page is decoded. */
static void count_encoding(struct chunk_check *check, const struct parquet_page_header *header, bool is_dictionary) {
    if ((unsigned)header->encoding < PARQUET_ENCODING_COUNT) check->encodings[is_dictionary][header->encoding]++;
}

static enum plinth_status check_dictionary(struct chunk_check *check, const struct parquet_page_header *header,
                                           struct slice body, uint64_t offset, struct plinth_error *error) {
    struct verify_place place = place_of(check);
    struct page_context context = context_of(check);
    const struct parquet_column_chunk *chunk = check->chunk;
    place.offset = (int64_t)offset;
    count_encoding(check, header, true);
    if (check->has_dictionary || check->pages > 0) {
        verify_report(check->verifier, place, "a dictionary page behind another page");
        return PLINTH_OK;
    }
    if (chunk->dictionary_page_offset && chunk->dictionary_page_offset != offset)
        verify_report(check->verifier, place, "the dictionary page is not where the footer says: at offset %" PRIu64,
                      chunk->dictionary_page_offset);
    enum plinth_status st = page_decode_dictionary(&context, header, body, &check->dictionary, error);
    check->has_dictionary = !st;
    if (st) {
        error_prefix(error, "the dictionary page");
        check->is_complete = false;
    }
    return verify_status(check->verifier, place, st, error);
}

static enum plinth_status check_data_page(struct chunk_check *check, const struct parquet_page_header *header,
                                          struct slice body, uint64_t offset, struct plinth_error *error) {
    struct verify_place place = page_place(check, offset);
    struct page_context context = context_of(check);
    const struct parquet_column_chunk *chunk = check->chunk;
    if (check->pages == 0 && offset != chunk->data_page_offset &&
        (chunk->dictionary_page_offset || !check->has_dictionary))
        verify_report(check->verifier, place, "the first data page is not where the footer says: at offset %" PRIu64,
                      chunk->data_page_offset);
    check_location(check, offset, check->walk.at - offset, place);
    count_encoding(check, header, false);
    enum plinth_status st = page_decode(&context, header, body, &check->page, error);
    if (st) {
        check->is_complete = false;
        return verify_status(check->verifier, place, st, error);
    }
    check_rows(check, header, place);
    check->slots += check->page.data.slots;
    check->rows += check->page.data.rows;
    return check_values(check, place, error);
}

static enum plinth_status check_pages(struct chunk_check *check, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    struct parquet_page_header header;
    struct slice body;
    bool found = true;
    check->is_complete = true;
    while (!st && found && !check->verifier->is_stopped) {
        uint64_t offset = check->walk.at;
        st = page_walk_step(&check->walk, &header, &body, &found, error);
        if (st) {
            check->is_complete = false;
            return verify_status(check->verifier, page_place(check, offset), st, error);
        }
        if (!found) break;
        check->verifier->counts->pages++;
        check->verifier->counts->bytes += check->walk.at - offset;
        check->uncompressed_bytes += check->walk.at - offset - body.size + header.uncompressed_bytes;
        if (header.type == PARQUET_PAGE_DICTIONARY) {
            st = check_dictionary(check, &header, body, offset, error);
        } else if (header.type != PARQUET_PAGE_INDEX) {
            st = check_data_page(check, &header, body, offset, error);
            check->verifier->counts->values += header.value_count;
            check->pages++;
        }
    }
    return st;
}

/* ---- What the footer says ---- */

static void check_counts(struct chunk_check *check) {
    struct verifier *verifier = check->verifier;
    const struct parquet_column_chunk *chunk = check->chunk;
    uint64_t rows = verifier->reader->metadata.row_groups[check->row_group].row_count;
    struct verify_place place = place_of(check);
    if (check->slots != chunk->value_count)
        verify_report(verifier, place, "the pages have %" PRIu64 " values, but the footer says %" PRIu64, check->slots,
                      chunk->value_count);
    if (check->rows != rows)
        verify_report(verifier, place, "the pages have %" PRIu64 " rows, but the row group has %" PRIu64, check->rows,
                      rows);
    if (check->walk.at != check->walk.end && check->walk.end_max == check->walk.end)
        verify_report(verifier, place, "the pages have %" PRIu64 " bytes, but the footer says %" PRIu64,
                      check->walk.at - check->walk.begin, chunk->compressed_bytes);
    if (check->uncompressed_bytes != chunk->uncompressed_bytes && check->walk.end_max == check->walk.end)
        verify_report(verifier, place, "the pages have %" PRIu64 " bytes uncompressed, but the footer says %" PRIu64,
                      check->uncompressed_bytes, chunk->uncompressed_bytes);
    if (check->has_index && check->index.page_count != check->pages)
        verify_report(verifier, place, "there are %u data pages, but the offset index has %u", check->pages,
                      check->index.page_count);
}

static void check_encodings(struct chunk_check *check) {
    const struct parquet_column_chunk *chunk = check->chunk;
    struct verify_place place = place_of(check);
    for (unsigned is_dictionary = 0; is_dictionary < 2; is_dictionary++) {
        for (uint32_t encoding = 0; encoding < PARQUET_ENCODING_COUNT; encoding++) {
            uint32_t pages = check->encodings[is_dictionary][encoding], counted = 0;
            for (uint32_t i = 0; i < chunk->encoding_count_count; i++) {
                const struct parquet_encoding_count *count = &chunk->encoding_counts[i];
                if (count->is_dictionary_page == is_dictionary && count->encoding == encoding) counted += count->pages;
            }
            const char *name = parquet_encoding_name((enum parquet_encoding)encoding);
            if (pages && !(chunk->encodings >> encoding & 1))
                verify_report(check->verifier, place, "%u pages are encoded as %s, which the footer does not list",
                              pages, name);
            if (chunk->encoding_count_count && counted != pages)
                verify_report(check->verifier, place, "%u %spages are encoded as %s, but the footer says %u", pages,
                              is_dictionary ? "dictionary " : "data ", name, counted);
        }
    }
}

/* Whether the bounds have the size of the column's values. */
static bool check_bound_size(struct chunk_check *check, const char *what, struct slice bound,
                             struct verify_place place) {
    const struct parquet_column *about = check->about;
    uint32_t width = about->type == PARQUET_TYPE_BOOLEAN ? 1 : about->width;
    if (about->type == PARQUET_TYPE_FIXED && check->order == PARQUET_ORDER_BYTES) return true; /* may be truncated */
    if (about->type == PARQUET_TYPE_BYTE_ARRAY || bound.size == width) return true;
    verify_report(check->verifier, place, "the %s has %zu bytes where a value has %u", what, bound.size, width);
    return false;
}

static void check_bound(struct chunk_check *check, bool is_max, struct slice bound, bool is_exact) {
    char text[2][VERIFY_VALUE_TEXT_MAX];
    const char *name = is_max ? "max" : "min";
    struct slice seen = buffer_slice(is_max ? &check->max : &check->min);
    int order = parquet_value_compare(check->order, seen, bound);
    if (is_max ? order > 0 : order < 0)
        verify_report(check->verifier, place_of(check), "there is a value %s %s %s, the %s of the statistics",
                      verify_value_text(check->order, seen, text[0]), is_max ? "above" : "below",
                      verify_value_text(check->order, bound, text[1]), name);
    else if (is_exact && order != 0 && check->is_complete)
        verify_report(check->verifier, place_of(check), "the statistics say that %s is exactly the %s, but that is %s",
                      verify_value_text(check->order, bound, text[1]), name,
                      verify_value_text(check->order, seen, text[0]));
}

static void check_statistics(struct chunk_check *check) {
    const struct parquet_statistics *statistics = &check->chunk->statistics;
    struct verify_place place = place_of(check);
    struct slice min, max;
    if (check->is_complete && statistics->has_null_count && statistics->null_count != check->nulls &&
        statistics->null_count != check->null_elements)
        verify_report(check->verifier, place, "there are %" PRIu64 " nulls, but the statistics say %" PRIu64,
                      check->nulls, statistics->null_count);
    if (check->is_complete && check->counts_distinct && statistics->distinct_count != check->distinct.count)
        verify_report(check->verifier, place, "there are %zu distinct values, but the statistics say %" PRIu64,
                      check->distinct.count, statistics->distinct_count);
    if (check->is_complete && statistics->has_nan_count && statistics->nan_count != check->nans)
        verify_report(check->verifier, place, "there are %" PRIu64 " NaN, but the statistics say %" PRIu64, check->nans,
                      statistics->nan_count);
    if (check->is_complete && check->chunk->has_unencoded_bytes && check->about->type == PARQUET_TYPE_BYTE_ARRAY)
        check_unencoded(check, check->unencoded_bytes, check->chunk->unencoded_bytes, place);
    if (check->is_complete && check->chunk->levels)
        check_levels(check, check->chunk->levels, 0, 1, &check->levels, place);
    if (check->order == PARQUET_ORDER_NONE) return;
    if (statistics->has_min && !check_bound_size(check, "min of the statistics", statistics->min, place)) return;
    if (statistics->has_max && !check_bound_size(check, "max of the statistics", statistics->max, place)) return;
    if (check->is_complete && !check->has_values && check->slots > 0 && statistics->has_min)
        verify_report(check->verifier, place, "the statistics have bounds, but there are only nulls");
    if (!check->has_bounds || !parquet_statistics_bounds(check->about, statistics, &min, &max)) return;
    check_bound(check, false, min, statistics->min_exact);
    check_bound(check, true, max, statistics->max_exact);
}

/* ---- The page index as a whole ---- */

static void check_boundary_order(struct chunk_check *check) {
    const struct parquet_page_index *index = &check->index;
    const struct parquet_page_bounds *last = NULL;
    struct verify_place place = place_of(check);
    if (!check->has_index || !index->bounds || index->order == PARQUET_UNORDERED) return;
    for (uint32_t i = 0; i < index->page_count; i++) {
        const struct parquet_page_bounds *bounds = &index->bounds[i];
        if (bounds->is_null_page) continue;
        int min = last ? parquet_value_compare(check->order, last->min, bounds->min) : 0;
        int max = last ? parquet_value_compare(check->order, last->max, bounds->max) : 0;
        if (index->order == PARQUET_ASCENDING ? min > 0 || max > 0 : min < 0 || max < 0) {
            place.page = i;
            place.offset = (int64_t)index->locations[i].offset;
            verify_report(check->verifier, place, "the column index says that its bounds are %s, but they are not here",
                          index->order == PARQUET_ASCENDING ? "ascending" : "descending");
            return;
        }
        last = bounds;
    }
}

/* The reader leaves out bounds that cannot be used: those of a wrong size are wrong, too. */
static enum plinth_status check_dropped_bounds(struct chunk_check *check, struct plinth_error *error) {
    const struct parquet_reader *reader = check->verifier->reader;
    const struct parquet_column_chunk *chunk = check->chunk;
    if (!check->has_index || check->index.bounds || !chunk->column_index_offset || check->order == PARQUET_ORDER_NONE)
        return PLINTH_OK;
    struct parquet_page_index raw = {.page_count = check->index.page_count};
    struct buffer bytes = BUFFER_INIT;
    struct slice encoded;
    arena_init(&raw.arena);
    enum plinth_status st =
        reader_fetch(reader, chunk->column_index_offset, chunk->column_index_bytes, &bytes, &encoded, error);
    if (!st)
        st = column_index_decode(encoded, (struct bounded_arena){&raw.arena, reader->memory_bytes_max}, &raw, error);
    struct verify_place place = place_of(check);
    for (uint32_t i = 0; !st && raw.bounds && i < raw.page_count; i++) {
        place.page = i;
        if (raw.bounds[i].is_null_page) continue;
        if (!check_bound_size(check, "min in the column index", raw.bounds[i].min, place)) continue;
        if (!check_bound_size(check, "max in the column index", raw.bounds[i].max, place)) continue;
    }
    parquet_page_index_deinit(&raw);
    buffer_deinit(&bytes);
    return verify_status(check->verifier, place_of(check), st, error);
}

/* ---- The chunk ---- */

static enum plinth_status load_index(struct chunk_check *check, struct plinth_error *error) {
    struct verify_place place = place_of(check);
    enum plinth_status st =
        parquet_reader_page_index(check->verifier->reader, check->row_group, check->column, &check->index, error);
    check->has_index = !st;
    if (st == PLINTH_NOT_FOUND) {
        error_clear(error);
        return PLINTH_OK;
    }
    place.offset = (int64_t)check->chunk->offset_index_offset;
    st = verify_status(check->verifier, place, st, error);
    return st ? st : check_dropped_bounds(check, error);
}

static enum plinth_status load_bloom(struct chunk_check *check, struct plinth_error *error) {
    struct verify_place place = place_of(check);
    if (!check->chunk->bloom_offset) return PLINTH_OK;
    enum plinth_status st =
        parquet_reader_bloom(check->verifier->reader, check->row_group, check->column, &check->bloom, error);
    check->has_bloom = !st;
    place.offset = (int64_t)check->chunk->bloom_offset;
    uint64_t bytes = (uint64_t)check->bloom.block_count * PARQUET_BLOOM_BLOCK_BYTES;
    if (!st && check->chunk->bloom_bytes && bytes > check->chunk->bloom_bytes)
        verify_report(check->verifier, place, "the bloom filter has %" PRIu64 " bytes, but the footer says %" PRIu64,
                      bytes, check->chunk->bloom_bytes);
    return verify_status(check->verifier, place, st, error);
}

static void deinit(struct chunk_check *check) {
    parquet_page_walk_deinit(&check->walk);
    if (check->has_index) parquet_page_index_deinit(&check->index);
    parquet_bloom_deinit(&check->bloom);
    free(check->distinct.slots);
    parquet_column_buffer_deinit(&check->dictionary);
    parquet_column_buffer_deinit(&check->page);
    buffer_deinit(&check->dense);
    buffer_deinit(&check->dense_offsets);
    buffer_deinit(&check->min);
    buffer_deinit(&check->max);
}

enum plinth_status verify_chunk(struct verifier *verifier, uint32_t row_group, uint32_t column,
                                struct plinth_error *error) {
    const struct parquet_metadata *metadata = &verifier->reader->metadata;
    struct chunk_check check = {.verifier = verifier,
                                .row_group = row_group,
                                .column = column,
                                .about = &metadata->schema.columns[column],
                                .chunk = &metadata->row_groups[row_group].columns[column]};
    check.order = parquet_column_order(check.about);
    check.counts_distinct = check.chunk->statistics.has_distinct_count;
    enum plinth_status st = parquet_page_walk_init(&check.walk, verifier->reader, row_group, column, error);
    if (st == PLINTH_CORRUPT) {
        deinit(&check);
        return verify_status(verifier, place_of(&check), st, error);
    }
    verifier->counts->chunks++;
    if (!st) st = load_index(&check, error);
    if (!st) st = load_bloom(&check, error);
    if (!st) st = check_pages(&check, error);
    if (!st && !verifier->is_stopped) {
        bool is_nothing = check.walk.begin == check.walk.end && check.chunk->value_count == 0; /* no rows, no pages */
        if (check.is_complete && !is_nothing) check_counts(&check);
        if (check.is_complete && !is_nothing) check_encodings(&check);
        check_statistics(&check);
        check_boundary_order(&check);
    }
    deinit(&check);
    return st;
}
