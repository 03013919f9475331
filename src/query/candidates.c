/* Candidates: primary keys that an index, postings or the predicate itself name, each with the LSN that its row must
 * have for the finding to count. They are looked up in key order, fetched, checked against the whole predicate and
 * emitted in their own order. */
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

void candidates_clear(struct candidates *candidates) {
    arena_reset(&candidates->arena);
    candidates->count = 0;
}

void candidates_deinit(struct candidates *candidates) {
    arena_deinit(&candidates->arena);
    free(candidates->list);
    *candidates = (struct candidates){0};
}

/* `head_bytes` in front of the key are kept with it. */
static bool candidates_add_entry(struct candidates *candidates, struct slice key, uint32_t head_bytes, uint64_t lsn) {
    if (candidates->count == candidates->capacity) {
        uint32_t larger = candidates->capacity ? candidates->capacity * 2 : 64;
        struct candidate *grown = realloc(candidates->list, larger * sizeof *grown);
        if (!grown) return false;
        candidates->list = grown;
        candidates->capacity = larger;
    }
    const uint8_t *copy = arena_copy(&candidates->arena, slice_of(key.data - head_bytes, key.size + head_bytes));
    if (!copy) return false;
    candidates->list[candidates->count++] = (struct candidate){slice_of(copy + head_bytes, key.size), lsn, head_bytes};
    return true;
}

static bool candidates_add(struct candidates *candidates, struct slice key, uint64_t lsn) {
    return candidates_add_entry(candidates, key, 0, lsn);
}

static int candidate_compare(const void *a, const void *b) {
    return slice_compare(((const struct candidate *)a)->key, ((const struct candidate *)b)->key);
}

static enum plinth_status check_memory(struct query *query, const struct candidates *candidates,
                                       struct plinth_error *error) {
    uint64_t bytes = candidates->arena.used_bytes + candidates->capacity * sizeof *candidates->list;
    if (bytes <= query->options.memory_bytes_max) return query_take_memory(query, bytes, error);
    return error_set(error, PLINTH_RESOURCE_EXHAUSTED,
                     "the keys to be sorted take more than the %llu bytes that the query may use",
                     (unsigned long long)query->options.memory_bytes_max);
}

/* Sorted by key as an ordered query asks for. */
static void order_candidates(struct query *query) {
    struct candidates *found = &query->entries.found;
    if (found->count) qsort(found->list, found->count, sizeof *found->list, candidate_compare);
    for (uint32_t i = 0, j = found->count; query->options.reverse && i + 1 < j; i++) {
        struct candidate swapped = found->list[i];
        found->list[i] = found->list[--j];
        found->list[j] = swapped;
    }
}

/* ---- sorted indexes ---- */

/* Reads entries until there are `count_max` candidates or the ranges end. */
static enum plinth_status read_entries(struct query *query, struct index_scan *scan, uint32_t count_max,
                                       struct plinth_error *error) {
    struct column_type parts[ROW_KEY_PARTS_MAX];
    uint32_t part_count = table_index_entry_parts(scan->index);
    for (uint32_t i = 0; i < part_count; i++) parts[i] = table_index_part_type(query->schema, scan->index, i);
    enum plinth_status st = PLINTH_OK;
    while (!st && scan->entries && scan->found.count < count_max) {
        struct iterator *it = scan->entries;
        if (!scan->in_range) {
            if (scan->range == scan->ranges.count) {
                iterator_close(it);
                scan->entries = NULL;
                break;
            }
            st = iterator_seek(it, scan->ranges.ranges[scan->range].lower, UINT64_MAX, error);
            scan->in_range = !st;
            continue;
        }
        struct slice upper = scan->ranges.ranges[scan->range].upper;
        if (!it->valid || (upper.size && slice_compare(it->row.key, upper) >= 0)) {
            scan->in_range = false;
            scan->range++;
            continue;
        }
        if (it->row.lsn <= query->lsn && it->row.operation == ROW_SET) {
            struct reader entry = reader_of(it->row.key);
            if (!row_key_skip(&entry, parts, part_count))
                return error_set(error, PLINTH_CORRUPT, "malformed entry in index \"%s\" at position %llu",
                                 scan->index->name, (unsigned long long)it->row.lsn);
            uint32_t head_bytes = scan->covers ? (uint32_t)(entry.at - it->row.key.data) : 0;
            if (!candidates_add_entry(&scan->found, slice_of(entry.at, reader_left(&entry)), head_bytes, it->row.lsn))
                return error_no_memory(error, "index entries");
            query_count(&query->counters.entries_read, 1);
        }
        st = iterator_next(it, error);
    }
    return st;
}

enum plinth_status index_scan_open(struct query *query, const struct table_index *index, struct key_ranges ranges,
                                   uint64_t entries_useful, struct index_scan *scan, struct plinth_error *error) {
    uint32_t peek = entries_useful > QUERY_PEEK_ENTRIES_MAX ? QUERY_PEEK_ENTRIES_MAX : (uint32_t)entries_useful + 1;
    if (peek < QUERY_PEEK_ENTRIES || query->options.force_path.size) peek = QUERY_PEEK_ENTRIES;
    bool in_memory = query->options.read.memory_only;
    if (in_memory) peek = QUERY_AT_ONCE_CELLS_MAX / (query->wanted_count + 1) + 1;
    *scan = (struct index_scan){.index = index, .covers = query_index_covers(query, index), .ranges = ranges};
    arena_init(&scan->found.arena);
    enum plinth_status st = (in_memory ? view_index_iterator_in_memory
                                       : view_index_iterator)(query->view, query->schema, index, &scan->entries, error);
    if (!st) st = read_entries(query, scan, peek, error);
    if (!st && in_memory && scan->entries) st = PLINTH_WOULD_BLOCK; /* there are many */
    if (st) {
        index_scan_close(scan);
        return st;
    }
    scan->estimate = scan->found.count;
    if (!scan->entries) return PLINTH_OK;
    const struct view_table *table = view_find_table(query->view, index->id);
    uint64_t stored = 0;
    for (size_t i = 0; table && i < table->run_count; i++)
        for (uint32_t r = 0; r < ranges.count; r++)
            stored += query_run_rows(table->runs[i].run, ranges.ranges[r].lower, ranges.ranges[r].upper);
    scan->estimate = stored > 2 * (uint64_t)peek ? stored : 2 * (uint64_t)peek;
    return PLINTH_OK;
}

void index_scan_close(struct index_scan *scan) {
    iterator_close(scan->entries);
    candidates_deinit(&scan->found);
    *scan = (struct index_scan){0};
}

enum plinth_status query_candidates_from_index(struct query *query, struct index_scan *scan,
                                               struct plinth_error *error) {
    query->entries = *scan;
    *scan = (struct index_scan){0};
    query->by_candidates = true;
    if (!query->options.ordered) return PLINTH_OK;
    enum plinth_status st = PLINTH_OK;
    while (!st && query->entries.entries) {
        st = read_entries(query, &query->entries, query->entries.found.count + QUERY_CANDIDATES, error);
        if (!st) st = check_memory(query, &query->entries.found, error);
    }
    order_candidates(query);
    return st;
}

/* ---- key values, postings ---- */

enum plinth_status query_candidates_from_points(struct query *query, struct plinth_error *error) {
    query->by_candidates = true;
    for (uint32_t i = 0; i < query->ranges.count; i++)
        if (!candidates_add(&query->entries.found, query->ranges.ranges[i].lower, 0))
            return error_no_memory(error, "query");
    if (query->options.reverse) order_candidates(query);
    return PLINTH_OK;
}

/* Rows of one stripe, as candidates: their keys are read from the file. */
static enum plinth_status add_stripe_rows(struct query *query, struct segment *segment, uint32_t stripe,
                                          roaring_uint32_iterator_t *at, struct plinth_error *error) {
    uint64_t base = segment_stripe_first_row(segment, stripe), end = base + segment_stripe_rows(segment, stripe);
    struct row_block *keys = NULL;
    struct segment_read_stats stats = {0};
    enum plinth_status st = segment_read_stripe_keys(segment, stripe, true, &keys, &stats, error);
    query_count(&query->counters.bytes_read, stats.bytes_read);
    for (; !st && at->has_value && at->current_value < end; roaring_advance_uint32_iterator(at)) {
        uint32_t row = (uint32_t)(at->current_value - base);
        if (row_block_lsn(keys, row) > query->lsn || row_block_operation(keys, row) != ROW_SET) continue;
        if (!candidates_add(&query->entries.found, row_block_key(keys, row), row_block_lsn(keys, row)))
            st = error_no_memory(error, "query");
    }
    row_block_unref(keys);
    return st;
}

static enum plinth_status add_segment(struct query *query, struct segment *segment, struct plinth_error *error) {
    roaring_bitmap_t *rows = NULL;
    enum plinth_status st = query_segment_postings(query, segment, &rows, error);
    if (st) return st;
    if (!rows)
        return error_set(error, PLINTH_INTERNAL, "%s has no postings of an index that is ready",
                         segment_info(segment)->name);
    roaring_uint32_iterator_t at;
    roaring_init_iterator(rows, &at);
    for (uint32_t stripe = 0; !st && stripe < segment_stripe_count(segment); stripe++) {
        query_count(&query->counters.stripes, 1);
        if (at.has_value &&
            at.current_value < segment_stripe_first_row(segment, stripe) + segment_stripe_rows(segment, stripe)) {
            st = add_stripe_rows(query, segment, stripe, &at, error);
        } else {
            query_count(&query->counters.stripes_skipped, 1);
            query_count(&query->counters.skipped_by_postings, 1);
        }
    }
    roaring_bitmap_free(rows);
    if (!st) st = check_memory(query, &query->entries.found, error);
    return st;
}

static enum plinth_status add_block(struct query *query, struct row_block *block, struct plinth_error *error) {
    const struct column **columns = calloc(query->schema->column_count + 1, sizeof *columns);
    uint8_t *selection = malloc(((size_t)block->rows + 7) / 8 + 8);
    struct arena scratch;
    arena_init(&scratch);
    enum plinth_status st = columns && selection ? PLINTH_OK : error_no_memory(error, "query");
    for (uint32_t c = 0; !st && c < query->schema->column_count; c++) {
        if (!query->predicate_uses[c]) continue;
        struct column *column = arena_zalloc(&scratch, sizeof *column);
        st = column ? row_block_read_column(&scratch, block, &query->schema->columns[c], column, error)
                    : error_no_memory(error, "query");
        columns[c] = column;
    }
    if (!st && !predicate_evaluate(query->predicate, columns, block->rows, NULL, selection, &scratch))
        st = error_no_memory(error, "query");
    for (uint32_t row = 0; !st && row < block->rows; row++) {
        if (!bitmap_get(selection, row) || row_block_lsn(block, row) > query->lsn) continue;
        if (row_block_operation(block, row) != ROW_SET) continue;
        if (!candidates_add(&query->entries.found, row_block_key(block, row), row_block_lsn(block, row)))
            st = error_no_memory(error, "query");
    }
    arena_deinit(&scratch);
    free(columns);
    free(selection);
    return st;
}

enum plinth_status query_candidates_from_postings(struct query *query, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    query->by_candidates = true;
    for (size_t i = 0; !st && i < query->sources.block_count; i++)
        st = add_block(query, query->sources.blocks[i], error);
    for (size_t i = 0; !st && i < query->sources.run_count; i++) {
        const struct run *run = query->sources.runs[i].run;
        for (size_t s = 0; !st && s < run_segment_count(run); s++) {
            query_count(&query->counters.segments, 1);
            st = add_segment(query, run_segment(run, s), error);
        }
    }
    /* Also for lookups in key order, which read each stripe once. */
    if (!st) order_candidates(query);
    return st;
}

/* ---- looking them up ---- */

struct lookup {
    uint32_t count; /* candidates */
    const struct candidate *list;
    uint32_t *order;    /* candidates by key */
    uint32_t *key_of;   /* by candidate: index in keys */
    struct slice *keys; /* distinct, ascending */
    uint32_t key_count;
    struct row_place *places;            /* by key */
    struct row_place *valid;             /* borrowed, in the order of candidates */
    const struct candidate **valid_list; /* likewise */
    uint32_t valid_count;
};

static int order_by_key(const void *a, const void *b, void *list) {
    const struct candidate *candidates = list;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = slice_compare(candidates[left].key, candidates[right].key);
    return order ? order : (left > right) - (left < right);
}

static bool lookup_init(struct lookup *lookup, const struct candidate *list, uint32_t count) {
    *lookup = (struct lookup){.count = count, .list = list};
    lookup->order = malloc((count + 1) * sizeof *lookup->order);
    lookup->key_of = malloc((count + 1) * sizeof *lookup->key_of);
    lookup->keys = malloc((count + 1) * sizeof *lookup->keys);
    lookup->places = calloc(count + 1, sizeof *lookup->places);
    lookup->valid = malloc((count + 1) * sizeof *lookup->valid);
    lookup->valid_list = malloc((count + 1) * sizeof *lookup->valid_list);
    if (!lookup->order || !lookup->key_of || !lookup->keys || !lookup->places || !lookup->valid || !lookup->valid_list)
        return false;
    bool sorted = true; /* as entries of one index value are */
    for (uint32_t i = 0; i < count; i++) {
        lookup->order[i] = i;
        sorted &= !i || slice_compare(list[i - 1].key, list[i].key) <= 0;
    }
    if (!sorted) qsort_r(lookup->order, count, sizeof *lookup->order, order_by_key, (void *)list);
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = list[lookup->order[i]].key;
        if (!lookup->key_count || !slice_equal(lookup->keys[lookup->key_count - 1], key))
            lookup->keys[lookup->key_count++] = key;
        lookup->key_of[lookup->order[i]] = lookup->key_count - 1;
    }
    return true;
}

static void lookup_deinit(struct lookup *lookup) {
    for (uint32_t i = 0; lookup->places && i < lookup->key_count; i++) row_place_release(&lookup->places[i]);
    free(lookup->order);
    free(lookup->key_of);
    free(lookup->keys);
    free(lookup->places);
    free(lookup->valid);
    free(lookup->valid_list);
}

static enum plinth_status emit_rows(struct query *query, struct worker *worker, struct batch *batch,
                                    struct plinth_error *error) {
    uint8_t *selection = NULL;
    uint32_t selected = batch->rows;
    arena_reset(&worker->scratch);
    if (query->predicate) {
        const struct column **columns =
            arena_zalloc(&worker->scratch, (query->schema->column_count + 1) * sizeof *columns);
        selection = arena_alloc(&worker->scratch, ((size_t)batch->rows + 7) / 8 + 8);
        if (!columns || !selection) return error_no_memory(error, "query");
        query_bind_columns(query, batch, query->wanted_ids, query->wanted_count, columns);
        if (!predicate_evaluate(query->predicate, columns, batch->rows, NULL, selection, &worker->scratch))
            return error_no_memory(error, "query");
        selected = (uint32_t)bitmap_count(selection, batch->rows);
    }
    return query_emit(worker, batch, selection, selected, error);
}

static enum plinth_status look_up(struct query *query, struct worker *worker, const struct candidate *list,
                                  uint32_t count, struct plinth_error *error) {
    struct lookup lookup;
    struct batch *batch = NULL;
    uint64_t memory_rows = 0;
    bool in_memory = query->options.read.memory_only;
    enum plinth_status st = lookup_init(&lookup, list, count) ? PLINTH_OK : error_no_memory(error, "query");
    if (!st)
        st = query->path == PATH_INDEX ? view_find_entries(query->view, query->schema, lookup.keys, lookup.key_count,
                                                           query->lsn, in_memory, lookup.places, error)
                                       : view_find_rows(query->view, query->schema, lookup.keys, lookup.key_count,
                                                        query->lsn, lookup.places, error);
    for (uint32_t i = 0; !st && i < count; i++) {
        const struct row_place *place = &lookup.places[lookup.key_of[i]];
        bool there = place->lsn && place->operation == ROW_SET;
        if (there && (!list[i].lsn || list[i].lsn >= place->lsn)) {
            lookup.valid_list[lookup.valid_count] = &list[i];
            lookup.valid[lookup.valid_count++] = *place;
            memory_rows += place->block != NULL;
        } else if (list[i].lsn) {
            query_count(&query->counters.entries_dead, 1);
        }
    }
    bool covers = query->path == PATH_INDEX && query->entries.covers;
    if (!covers) query_count(&query->counters.memory_rows, memory_rows);
    if (!st && lookup.valid_count && covers)
        st = query_read_entries(query, lookup.valid_list, lookup.valid_count, &batch, error);
    else if (!st && lookup.valid_count)
        st = (in_memory ? row_places_read_in_memory : row_places_read)(
            lookup.valid, lookup.valid_count, query->schema, query->wanted_ids, query->wanted_count, &batch, error);
    if (batch && !covers) query_count(&query->counters.rows_read, batch->rows);
    if (!st && batch) st = emit_rows(query, worker, batch, error);
    batch_unref(batch);
    lookup_deinit(&lookup);
    return st;
}

enum plinth_status query_next_candidates(struct query *query, struct worker *worker, bool *end,
                                         struct plinth_error *error) {
    struct candidates *found = &query->entries.found;
    *end = false;
    if (query->candidate_next == found->count && query->entries.entries) {
        candidates_clear(found);
        query->candidate_next = 0;
        enum plinth_status st = read_entries(query, &query->entries, QUERY_CANDIDATES, error);
        if (st) return st;
    }
    uint32_t count = found->count - query->candidate_next;
    if (!count) {
        *end = true;
        return PLINTH_OK;
    }
    if (count > QUERY_CANDIDATES) count = QUERY_CANDIDATES;
    /* The first rows of a limited query come from few look-ups. */
    uint64_t limit = query->aggregates ? 0 : query->options.limit;
    uint64_t few = limit < QUERY_LOOKUPS_MIN / 2 ? QUERY_LOOKUPS_MIN : 2 * limit;
    if (limit && count > few) count = (uint32_t)few;
    const struct candidate *list = found->list + query->candidate_next;
    query->candidate_next += count;
    return look_up(query, worker, list, count, error);
}
