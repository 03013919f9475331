/* Reading rows of typed tables at a view: where they are, their columns, and the entries of their indexes. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/rows.h"
#include "table/expired_rows.h"
#include "table/row_segment.h"

/* ---- finding ---- */

void row_place_release(struct row_place *place) {
    row_block_unref(place->block);
    segment_unref(place->segment);
    *place = (struct row_place){0};
}

static void found_in_block(struct row_place *place, struct row_block *block, uint32_t row) {
    *place = (struct row_place){.block = row_block_ref(block),
                                .row = row,
                                .lsn = row_block_lsn(block, row),
                                .operation = row_block_operation(block, row)};
}

/* Looks for the keys not found yet among a memtable's blocks; gives how many are still missing. */
static uint32_t find_in_memtable(struct memtable *memtable, struct table_id table, const struct slice *keys,
                                 const uint64_t *hashes, uint32_t count, uint64_t lsn, struct row_place *found) {
    struct memtable_blocks blocks;
    uint32_t missing = 0, row;
    memtable_blocks(memtable, table, &blocks);
    for (uint32_t i = 0; i < count; i++) {
        if (found[i].lsn) continue;
        size_t at = blocks.count ? memtable_blocks_find(&blocks, keys[i], hashes[i], lsn, &row) : SIZE_MAX;
        if (at == SIZE_MAX)
            missing++;
        else
            found_in_block(&found[i], blocks.blocks[at], row);
    }
    memtable_blocks_release(&blocks);
    return missing;
}

static void found_in_segment(struct row_place *place, const struct segment_hit *hit) {
    *place = (struct row_place){.segment = segment_ref(hit->segment),
                                .stripe = hit->stripe,
                                .row = hit->stripe_row,
                                .lsn = hit->row.lsn,
                                .operation = hit->row.operation};
}

static enum plinth_status find_in_run(struct run *run, const struct slice *keys, const uint64_t *hashes, uint32_t count,
                                      uint64_t lsn, unsigned flags, struct row_place *found, uint32_t *missing,
                                      struct plinth_error *error) {
    for (uint32_t i = 0; i < count; i++) {
        if (found[i].lsn) continue;
        struct segment_hit hit;
        enum plinth_status st = run_get(run, keys[i], hashes[i], lsn, flags, &hit, error);
        if (st == PLINTH_NOT_FOUND) continue;
        if (st) return st;
        found_in_segment(&found[i], &hit);
        segment_hit_release(&hit);
        --*missing;
    }
    return PLINTH_OK;
}

/* The same for keys that are most likely there. */
static enum plinth_status find_likely_in_run(struct run *run, const struct slice *keys, const uint64_t *hashes,
                                             uint32_t count, uint64_t lsn, unsigned flags, struct row_place *found,
                                             struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t next = 0; !st && next < count;) {
        struct slice some_keys[RUN_GET_KEYS_MAX];
        uint64_t some_hashes[RUN_GET_KEYS_MAX];
        uint32_t of[RUN_GET_KEYS_MAX], some = 0;
        struct segment_hit hits[RUN_GET_KEYS_MAX];
        for (; next < count && some < RUN_GET_KEYS_MAX; next++) {
            if (found[next].lsn) continue;
            some_keys[some] = keys[next];
            some_hashes[some] = hashes[next];
            of[some++] = next;
        }
        st = run_get_likely(run, some_keys, some_hashes, some, lsn, flags, hits, error);
        for (uint32_t i = 0; !st && i < some; i++) {
            if (hits[i].segment) found_in_segment(&found[of[i]], &hits[i]);
            segment_hit_release(&hits[i]);
        }
    }
    return st;
}

static enum plinth_status find_rows(struct view *view, const struct table_schema *schema, const struct slice *keys,
                                    uint32_t count, uint64_t lsn, unsigned flags, bool likely, struct row_place *found,
                                    struct plinth_error *error) {
    memset(found, 0, count * sizeof *found);
    uint64_t few[64], *hashes = count <= 64 ? few : malloc(count * sizeof *hashes);
    if (!hashes) return error_no_memory(error, "rows to find");
    for (uint32_t i = 0; i < count; i++) hashes[i] = hash_stable(keys[i].data, keys[i].size);
    uint32_t missing = count;
    for (size_t m = 0; missing && m < view->memtable_count; m++)
        missing = find_in_memtable(view->memtables[m].memtable, schema->id, keys, hashes, count, lsn, found);
    const struct view_table *table = view_find_table(view, schema->id);
    enum plinth_status st = PLINTH_OK;
    for (size_t r = 0; !st && missing && table && r < table->run_count; r++) {
        struct run *run = table->runs[r].run;
        if (likely && r + 1 == table->run_count) /* what no other one has */
            st = find_likely_in_run(run, keys, hashes, count, lsn, flags, found, error);
        else
            st = find_in_run(run, keys, hashes, count, lsn, flags, found, &missing, error);
    }
    if (hashes != few) free(hashes);
    if (st)
        for (uint32_t i = 0; i < count; i++) row_place_release(&found[i]);
    return st;
}

enum plinth_status view_find_rows(struct view *view, const struct table_schema *schema, const struct slice *keys,
                                  uint32_t count, uint64_t lsn, struct row_place *found, struct plinth_error *error) {
    return find_rows(view, schema, keys, count, lsn, SEGMENT_LSN_ONLY, false, found, error);
}

enum plinth_status view_find_rows_in_memory(struct view *view, const struct table_schema *schema,
                                            const struct slice *keys, uint32_t count, uint64_t lsn,
                                            struct row_place *found, struct plinth_error *error) {
    return find_rows(view, schema, keys, count, lsn, SEGMENT_LSN_ONLY | SEGMENT_MEMORY_ONLY, false, found, error);
}

enum plinth_status view_find_entries(struct view *view, const struct table_schema *schema, const struct slice *keys,
                                     uint32_t count, uint64_t lsn, bool in_memory, struct row_place *found,
                                     struct plinth_error *error) {
    unsigned flags = in_memory ? SEGMENT_LSN_ONLY | SEGMENT_MEMORY_ONLY : SEGMENT_LSN_ONLY;
    return find_rows(view, schema, keys, count, lsn, flags, true, found, error);
}

/* ---- columns of rows found ---- */

/* One block or stripe that places lie in. */
struct place_source {
    const void *holder; /* block or segment; null: nowhere */
    uint32_t stripe;
    bool is_stripe;
    struct batch *decoded; /* of a stripe whose columns the cache had not got all */
};

struct places_reader {
    const struct row_place *places;
    uint32_t count;
    const struct table_schema *schema;
    const uint32_t *column_ids;
    uint32_t column_count;
    bool in_memory;
    struct place_source *sources;
    uint32_t source_count;
    struct page_cache_entry **entries; /* by source and column: what `columns` lie in; null: nothing to unref */
    const struct column **columns;     /* likewise, of stripes; null: the file has no such column */
    struct row_stretch *stretches;
    uint32_t stretch_count;
    uint64_t bytes; /* of the rows in stripes, about */
};

struct place_order {
    const void *holder;
    uint32_t stripe;
    uint32_t place;
};

static int compare_places(const void *a, const void *b) {
    const struct place_order *left = a, *right = b;
    if (left->holder != right->holder) return (uintptr_t)left->holder < (uintptr_t)right->holder ? -1 : 1;
    if (left->stripe != right->stripe) return left->stripe < right->stripe ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

static const void *holder_of(const struct row_place *place) {
    return place->block ? (const void *)place->block : (const void *)place->segment;
}

/* Numbers the blocks and stripes, and notes each place's as the `source` of its stretch. */
static enum plinth_status group_places(struct places_reader *reader, struct plinth_error *error) {
    struct place_order *order = malloc((reader->count + 1) * sizeof *order);
    reader->sources = calloc(reader->count + 1, sizeof *reader->sources);
    reader->stretches = malloc((reader->count + 1) * sizeof *reader->stretches);
    if (!order || !reader->sources || !reader->stretches) {
        free(order);
        return error_no_memory(error, "rows to read");
    }
    bool sorted = true;
    for (uint32_t i = 0; i < reader->count; i++) {
        order[i] = (struct place_order){holder_of(&reader->places[i]), reader->places[i].stripe, i};
        sorted &= !i || compare_places(&order[i - 1], &order[i]) < 0;
    }
    if (!sorted) qsort(order, reader->count, sizeof *order, compare_places);
    for (uint32_t i = 0; i < reader->count; i++) {
        if (!i || order[i].holder != order[i - 1].holder || order[i].stripe != order[i - 1].stripe)
            reader->sources[reader->source_count++] =
                (struct place_source){.holder = order[i].holder,
                                      .stripe = order[i].stripe,
                                      .is_stripe = reader->places[order[i].place].segment != NULL};
        reader->stretches[order[i].place] =
            (struct row_stretch){reader->source_count - 1, reader->places[order[i].place].row, 1};
    }
    free(order);
    return PLINTH_OK;
}

/* Finds the columns of a stripe in the cache, or reads them. */
static enum plinth_status load_stripe(struct places_reader *reader, uint32_t number, struct plinth_error *error) {
    struct place_source *source = &reader->sources[number];
    struct segment *segment = (struct segment *)source->holder;
    const struct column **columns = &reader->columns[(size_t)number * reader->column_count];
    struct page_cache_entry **entries = &reader->entries[(size_t)number * reader->column_count];
    segment_find_columns(segment, source->stripe, reader->column_ids, reader->column_count, entries, columns);
    bool all = true;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < reader->column_count; i++) {
        if (!entries[i] && segment_has_column(segment, reader->column_ids[i])) all = false;
        if (entries[i]) bytes += entries[i]->bytes;
    }
    reader->bytes += bytes / segment_stripe_rows(segment, source->stripe);
    if (reader->in_memory && (!all || reader->bytes > ROWS_AT_ONCE_BYTES_MAX)) return PLINTH_WOULD_BLOCK;
    if (all) return PLINTH_OK;
    enum plinth_status st = segment_read_stripe(segment, source->stripe, reader->schema, reader->column_ids,
                                                reader->column_count, true, &source->decoded, NULL, error);
    for (uint32_t i = 0; !st && i < reader->column_count; i++) columns[i] = &source->decoded->columns[i];
    return st;
}

/* Loads the sources; neighbours that follow each other in theirs become one stretch. */
static enum plinth_status load_sources(struct places_reader *reader, struct plinth_error *error) {
    size_t cells = (size_t)reader->source_count * reader->column_count + 1;
    reader->entries = calloc(cells, sizeof *reader->entries);
    reader->columns = calloc(cells, sizeof *reader->columns);
    if (!reader->entries || !reader->columns) return error_no_memory(error, "rows to read");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < reader->source_count; i++)
        if (reader->sources[i].is_stripe) st = load_stripe(reader, i, error);
    for (uint32_t i = 0; !st && i < reader->count; i++) {
        struct row_stretch *stretch = &reader->stretches[i];
        struct row_stretch *before = reader->stretch_count ? &reader->stretches[reader->stretch_count - 1] : NULL;
        if (before && before->source == stretch->source && before->first + before->count == stretch->first)
            before->count++;
        else
            reader->stretches[reader->stretch_count++] = *stretch;
    }
    return st;
}

static void places_reader_deinit(struct places_reader *reader) {
    for (uint32_t s = 0; s < reader->source_count; s++) batch_unref(reader->sources[s].decoded);
    for (size_t i = 0; reader->entries && i < (size_t)reader->source_count * reader->column_count; i++)
        page_cache_unref(reader->entries[i]);
    free(reader->entries);
    free(reader->columns);
    free(reader->sources);
    free(reader->stretches);
}

/* Column `index` of a source as the table has it; null: nulls. */
static enum plinth_status source_column(const struct places_reader *reader, uint32_t number, uint32_t index,
                                        const struct table_column *wanted, struct arena *arena,
                                        const struct column **column, struct plinth_error *error) {
    const struct place_source *source = &reader->sources[number];
    const struct column *stored = NULL;
    uint32_t rows = 0;
    *column = NULL;
    if (!source->holder) return PLINTH_OK;
    if (source->is_stripe) {
        stored = reader->columns[(size_t)number * reader->column_count + index];
        rows = segment_stripe_rows(source->holder, source->stripe);
    } else {
        const struct row_block *block = source->holder;
        stored = row_block_column(block, wanted->id);
        rows = block->rows;
    }
    if (!stored ? !wanted->initial_default : column_type_equal(stored->type, wanted->type)) {
        *column = stored;
        return PLINTH_OK;
    }
    struct column *made = arena_alloc(arena, sizeof *made);
    if (!made) return error_no_memory(error, "rows to read");
    *column = made;
    if (stored) return table_column_widen(arena, wanted, stored, rows, made, error);
    return table_column_absent(arena, wanted, rows, made) ? PLINTH_OK : error_no_memory(error, "rows to read");
}

static enum plinth_status read_column(const struct places_reader *reader, uint32_t index, const struct column **sources,
                                      struct batch *batch, struct plinth_error *error) {
    int32_t at = table_schema_find_id(reader->schema, reader->column_ids[index]);
    if (at < 0)
        return error_set(error, PLINTH_INTERNAL, "table %s has no column with id %u", reader->schema->name,
                         reader->column_ids[index]);
    const struct table_column *wanted = &reader->schema->columns[at];
    enum plinth_status st = PLINTH_OK;
    for (uint32_t s = 0; !st && s < reader->source_count; s++)
        st = source_column(reader, s, index, wanted, &batch->arena, &sources[s], error);
    if (!st && !column_concat(&batch->arena, wanted->type, sources, reader->stretches, reader->stretch_count,
                              reader->count, &batch->columns[index]))
        st = error_no_memory(error, "rows to read");
    return st;
}

static enum plinth_status read_places(struct places_reader *reader, struct batch **batch, struct plinth_error *error) {
    *batch = NULL;
    struct batch *made = batch_create(reader->column_count);
    const struct column **sources = malloc((reader->count + 1) * sizeof *sources);
    enum plinth_status st = made && sources ? PLINTH_OK : error_no_memory(error, "rows to read");
    if (!st) st = group_places(reader, error);
    if (!st) st = load_sources(reader, error);
    for (uint32_t i = 0; !st && i < reader->column_count; i++) st = read_column(reader, i, sources, made, error);
    places_reader_deinit(reader);
    free(sources);
    if (st) {
        batch_unref(made);
        return st;
    }
    made->rows = reader->count;
    *batch = made;
    return PLINTH_OK;
}

enum plinth_status row_places_read(const struct row_place *places, uint32_t count, const struct table_schema *schema,
                                   const uint32_t *column_ids, uint32_t column_count, struct batch **batch,
                                   struct plinth_error *error) {
    struct places_reader reader = {
        .places = places, .count = count, .schema = schema, .column_ids = column_ids, .column_count = column_count};
    return read_places(&reader, batch, error);
}

enum plinth_status row_places_read_in_memory(const struct row_place *places, uint32_t count,
                                             const struct table_schema *schema, const uint32_t *column_ids,
                                             uint32_t column_count, struct batch **batch, struct plinth_error *error) {
    struct places_reader reader = {.places = places,
                                   .count = count,
                                   .schema = schema,
                                   .column_ids = column_ids,
                                   .column_count = column_count,
                                   .in_memory = true};
    return read_places(&reader, batch, error);
}

/* ---- expiry ---- */

enum plinth_status row_places_expire(struct row_place *places, uint32_t count, const struct table_schema *schema,
                                     uint64_t time_us, bool in_memory, struct plinth_error *error) {
    int64_t last;
    if (!count || !expired_rows_last(schema, time_us, &last)) return PLINTH_OK;
    struct row_place *live = malloc(count * sizeof *live); /* borrowed */
    uint32_t *of = malloc(count * sizeof *of), live_count = 0;
    struct batch *batch = NULL;
    enum plinth_status st = live && of ? PLINTH_OK : error_no_memory(error, "rows to read");
    for (uint32_t i = 0; !st && i < count; i++) {
        if (!places[i].lsn || places[i].operation != ROW_SET) continue;
        live[live_count] = places[i];
        of[live_count++] = i;
    }
    if (!st && live_count)
        st = (in_memory ? row_places_read_in_memory : row_places_read)(live, live_count, schema, &schema->expire_column,
                                                                       1, &batch, error);
    for (uint32_t i = 0; !st && i < live_count; i++)
        if (expired_rows_has(&batch->columns[0], i, last)) places[of[i]].operation = ROW_DELETE;
    batch_unref(batch);
    free(live);
    free(of);
    return st;
}

/* ---- sources and index entries ---- */

void row_sources_deinit(struct row_sources *sources) {
    for (size_t i = 0; i < sources->block_count; i++) row_block_unref(sources->blocks[i]);
    free(sources->blocks);
    *sources = (struct row_sources){0};
}

static bool push_blocks(struct row_sources *sources, const struct memtable_blocks *blocks) {
    struct row_block **grown = realloc(sources->blocks, (sources->block_count + blocks->count + 1) * sizeof *grown);
    if (!grown) return false;
    sources->blocks = grown;
    for (size_t i = 0; i < blocks->count; i++) grown[sources->block_count++] = row_block_ref(blocks->blocks[i]);
    return true;
}

enum plinth_status view_row_sources(struct view *view, struct table_id table, struct row_sources *sources,
                                    struct plinth_error *error) {
    *sources = (struct row_sources){0};
    bool ok = true;
    for (size_t m = 0; ok && m < view->memtable_count; m++) {
        struct memtable_blocks blocks;
        memtable_blocks(view->memtables[m].memtable, table, &blocks);
        ok = !blocks.count || push_blocks(sources, &blocks);
        memtable_blocks_release(&blocks);
    }
    if (!ok) {
        row_sources_deinit(sources);
        return error_no_memory(error, "rows in memory");
    }
    const struct view_table *runs = view_find_table(view, table);
    if (runs) {
        sources->runs = runs->runs;
        sources->run_count = runs->run_count;
    }
    return PLINTH_OK;
}

static enum plinth_status open_index_iterator(struct view *view, const struct table_schema *schema,
                                              const struct table_index *index, bool in_memory, struct iterator **it,
                                              struct plinth_error *error) {
    *it = NULL;
    struct row_sources sources;
    enum plinth_status st = view_row_sources(view, schema->id, &sources, error);
    if (st) return st;
    const struct view_table *runs = view_find_table(view, index->id);
    size_t run_count = runs ? runs->run_count : 0, opened = 0;
    struct iterator **inputs = malloc((sources.block_count + run_count + 1) * sizeof *inputs);
    if (!inputs) st = error_no_memory(error, "index entries");
    for (size_t i = 0; !st && i < sources.block_count; i++) {
        st = row_block_index_iterator(sources.blocks[i], schema, index, &inputs[opened], error);
        opened += !st;
    }
    for (size_t i = 0; !st && i < run_count; i++) {
        struct run *run = runs->runs[i].run;
        st = in_memory ? run_iterator_open_in_memory(run, &inputs[opened], error)
                       : run_iterator_open(run, true, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = merge_open(inputs, opened, it, error);
    else
        for (size_t i = 0; i < opened; i++) iterator_close(inputs[i]);
    free(inputs);
    row_sources_deinit(&sources);
    return st;
}

enum plinth_status view_index_iterator(struct view *view, const struct table_schema *schema,
                                       const struct table_index *index, struct iterator **it,
                                       struct plinth_error *error) {
    return open_index_iterator(view, schema, index, false, it, error);
}

enum plinth_status view_index_iterator_in_memory(struct view *view, const struct table_schema *schema,
                                                 const struct table_index *index, struct iterator **it,
                                                 struct plinth_error *error) {
    return open_index_iterator(view, schema, index, true, it, error);
}
