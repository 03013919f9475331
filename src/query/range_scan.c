/* One task: the visible rows of a key range.
 *
 * Where all sources that overlap the range are segments of one run, and a reader at the query's LSN sees their rows as
 * they are (segment_is_plain_at), stripes are read directly: pruned by every column's bounds, bloom filters and
 * postings; first the predicate's columns, then, for stripes with a row that matches, the others. Else the sources are
 * merged, and stripes are pruned by the columns of the key only: a newer version of a row must hide the older one also
 * when only the older one matches. */
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

/* Rows that the task may still give. */
static bool has_enough(const struct worker *worker) {
    const struct query *query = worker->query;
    if (atomic_load_explicit(&query->stop, memory_order_relaxed)) return true;
    if (!query->options.limit || query->aggregates || query->options.reverse) return false;
    uint64_t rows = worker->pending_rows;
    for (uint32_t i = 0; i < worker->ready_count && rows < query->options.limit; i++) rows += worker->ready[i]->rows;
    return rows >= query->options.limit;
}

/* Whether no other task has come to this segment of a run. */
static bool is_first_visit(struct query *query, const struct run *run, size_t segment) {
    size_t at = segment;
    for (size_t i = 0; query->sources.runs[i].run != run; i++) at += run_segment_count(query->sources.runs[i].run);
    return !atomic_exchange_explicit(&query->visited[at], 1, memory_order_relaxed);
}

/* ---- pruning ---- */

struct pruner {
    struct query *query;
    struct segment *segment;
    bool key_only;
    uint32_t stripe;
    enum plinth_status status;
    struct plinth_error *error;
    struct arena *scratch;
};

static enum plinth_status prune_by_bounds(struct pruner *pruner, bool whole_file, enum prune_verdict *verdict) {
    struct query *query = pruner->query;
    const struct table_schema *schema = query->schema;
    *verdict = PRUNE_SOME;
    const struct column_bounds **bounds = arena_zalloc(pruner->scratch, schema->column_count * sizeof *bounds);
    if (!bounds) return error_no_memory(pruner->error, "query");
    bool any = false;
    for (uint32_t c = 0; c < schema->column_count; c++) {
        if (!query->predicate_uses[c]) continue;
        if (pruner->key_only && !table_schema_is_key(schema, schema->columns[c].id)) continue;
        struct column_bounds *known = arena_zalloc(pruner->scratch, sizeof *known);
        if (!known) return error_no_memory(pruner->error, "query");
        uint32_t id = schema->columns[c].id;
        enum plinth_status st =
            whole_file ? segment_column_bounds(pruner->segment, schema, id, pruner->scratch, known, pruner->error)
                       : segment_stripe_bounds(pruner->segment, schema, pruner->stripe, id, pruner->scratch, known,
                                               pruner->error);
        if (st) return st;
        bounds[c] = known;
        any = true;
    }
    if (any) *verdict = predicate_prune(query->predicate, bounds);
    return PLINTH_OK;
}

/* Whether a column that the file lacks is not null there. */
static bool reads_default(const struct segment *segment, const struct table_column *column) {
    return column->initial_default && !segment_has_column(segment, column->id);
}

static bool bloom_probe(void *context, uint32_t column, const struct column *values, uint32_t row) {
    struct pruner *pruner = context;
    if (pruner->status) return true;
    struct column value;
    bool maybe = true;
    if (reads_default(pruner->segment, &pruner->query->schema->columns[column])) return true; /* the bounds tell */
    if (!column_slice(pruner->scratch, values, row, 1, &value)) return true;
    pruner->status = segment_stripe_bloom(pruner->segment, pruner->stripe, pruner->query->schema->columns[column].id,
                                          &value, &maybe, pruner->error);
    return maybe;
}

static bool has_bloom(const struct query *query) {
    for (uint32_t i = 0; i < query->schema->index_count; i++)
        if (query->schema->indexes[i].kind == INDEX_BLOOM) return true;
    return false;
}

static enum plinth_status stripe_is_pruned(struct pruner *pruner, bool *pruned, enum prune_verdict *verdict) {
    struct query *query = pruner->query;
    enum plinth_status st = prune_by_bounds(pruner, false, verdict);
    *pruned = !st && *verdict == PRUNE_NONE;
    if (st || *pruned || !has_bloom(query)) return st;
    if (!predicate_may_match_values(query->predicate, bloom_probe, pruner) && !pruner->status) {
        *pruned = true;
        query_count(&query->counters.skipped_by_bloom, 1);
    }
    return pruner->status;
}

/* ---- postings ---- */

const struct table_index *query_postings_index(const struct query *query, const struct predicate *term) {
    enum index_kind kind;
    if (term->function) return NULL;
    if (term->kind == PREDICATE_WORDS)
        kind = INDEX_TOKEN;
    else if (term->kind == PREDICATE_IN || (term->kind == PREDICATE_COMPARE && term->comparison == COMPARE_EQ))
        kind = INDEX_BITMAP;
    else
        return NULL;
    uint32_t id = query->schema->columns[term->column].id;
    for (uint32_t i = 0; i < query->schema->index_count; i++) {
        const struct table_index *index = &query->schema->indexes[i];
        if (index->kind == kind && index->state == INDEX_READY && index->columns[0] == id) return index;
    }
    return NULL;
}

enum plinth_status query_segment_postings(struct query *query, struct segment *segment, struct roaring_bitmap_s **rows,
                                          struct plinth_error *error) {
    *rows = NULL;
    const struct predicate *whole = query->predicate;
    if (!whole || !query->schema->index_count) return PLINTH_OK;
    uint32_t count = whole->kind == PREDICATE_AND ? whole->child_count : 1;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < count; i++) {
        const struct predicate *term = whole->kind == PREDICATE_AND ? whole->children[i] : whole;
        const struct table_index *index = query_postings_index(query, term);
        if (!index) continue;
        roaring_bitmap_t *found = NULL;
        uint32_t values = term->kind == PREDICATE_IN ? term->value_count : 1;
        st = segment_postings(segment, index->columns[0], index->kind, &term->values, values, &found, error);
        if (!st && found && reads_default(segment, &query->schema->columns[term->column])) { /* the predicate tells */
            roaring_bitmap_free(found);
            found = roaring_bitmap_from_range(0, segment_info(segment)->rows, 1);
            if (!found) st = error_no_memory(error, "query");
        }
        if (st || !found) continue;
        if (*rows) {
            roaring_bitmap_and_inplace(*rows, found);
            roaring_bitmap_free(found);
        } else {
            *rows = found;
        }
    }
    if (st && *rows) {
        roaring_bitmap_free(*rows);
        *rows = NULL;
    }
    return st;
}

/* ---- direct ---- */

struct direct {
    struct worker *worker;
    struct segment *segment;
    struct slice lower, upper;
    struct segment_read_stats stats;
    roaring_bitmap_t *postings;
    const struct column **columns; /* by schema column */
    uint32_t pages_before;
};

/* `among` = the stripe's rows that lie in [lower, upper) and in the postings; *all when that is every row. */
static enum plinth_status stripe_rows_among(struct direct *direct, uint32_t stripe, uint8_t *among, uint32_t *left,
                                            struct plinth_error *error) {
    uint32_t rows = segment_stripe_rows(direct->segment, stripe), first = 0, end = rows;
    struct slice first_key = segment_stripe_first_key(direct->segment, stripe);
    bool cut_front = slice_compare(first_key, direct->lower) < 0;
    /* All keys of a stripe lie below the next stripe's first, or the segment's last. */
    bool cut_back = direct->upper.size != 0;
    if (cut_back) {
        struct slice behind = stripe + 1 < segment_stripe_count(direct->segment)
                                  ? segment_stripe_first_key(direct->segment, stripe + 1)
                                  : buffer_slice(&segment_info(direct->segment)->key_max);
        bool inclusive = stripe + 1 == segment_stripe_count(direct->segment);
        int order = slice_compare(behind, direct->upper);
        cut_back = inclusive ? order >= 0 : order > 0;
    }
    if (cut_front || cut_back) {
        struct row_block *keys = NULL;
        enum plinth_status st = segment_read_stripe_keys(direct->segment, stripe, true, &keys, &direct->stats, error);
        if (st) return st;
        if (cut_front) first = row_block_find(keys, direct->lower, UINT64_MAX);
        if (cut_back) end = row_block_find(keys, direct->upper, UINT64_MAX);
        row_block_unref(keys);
    }
    size_t bytes = ((size_t)rows + 7) / 8;
    memset(among, 0, bytes);
    *left = 0;
    if (direct->postings) {
        uint64_t base = segment_stripe_first_row(direct->segment, stripe);
        roaring_uint32_iterator_t at;
        roaring_init_iterator(direct->postings, &at);
        if (!roaring_move_uint32_iterator_equalorlarger(&at, (uint32_t)(base + first))) return PLINTH_OK;
        for (; at.has_value && at.current_value < base + end; roaring_advance_uint32_iterator(&at)) {
            bitmap_set(among, at.current_value - base);
            ++*left;
        }
        return PLINTH_OK;
    }
    for (uint32_t r = first; r < end;) {
        if ((r & 7) == 0 && end - r >= 8) {
            uint32_t whole = (end - r) / 8;
            memset(among + r / 8, 0xFF, whole);
            r += whole * 8;
        } else {
            bitmap_set(among, r++);
        }
    }
    *left = end > first ? end - first : 0;
    return PLINTH_OK;
}

/* Puts the predicate's columns and the others together as the wanted ones. */
static struct batch *join_columns(const struct query *query, struct batch *tested, struct batch *rest) {
    struct batch *whole = batch_create(query->wanted_count);
    if (!whole) return NULL;
    whole->rows = tested ? tested->rows : rest->rows;
    uint32_t t = 0, r = 0;
    for (uint32_t i = 0; i < query->wanted_count; i++) {
        if (t < query->predicate_count && query->predicate_ids[t] == query->wanted_ids[i])
            whole->columns[i] = tested->columns[t++];
        else
            whole->columns[i] = rest->columns[r++];
    }
    return whole;
}

static void release_two(struct batch *batch) {
    struct batch **both = batch->release_context;
    batch_unref(both[0]);
    batch_unref(both[1]);
}

/* Reads the other columns and emits. Takes `tested` over. */
static enum plinth_status emit_stripe(struct direct *direct, uint32_t stripe, struct batch *tested,
                                      const uint8_t *selection, uint32_t selected, struct plinth_error *error) {
    struct query *query = direct->worker->query;
    struct batch *rest = NULL, *whole = NULL;
    enum plinth_status st = PLINTH_OK;
    if (query->wanted_count == 0) { /* only the number of rows matters */
        whole = batch_create(0);
        if (!whole) st = error_no_memory(error, "query");
        if (whole) whole->rows = segment_stripe_rows(direct->segment, stripe);
    } else if (!tested || query->rest_count) {
        const uint32_t *ids = tested ? query->rest_ids : query->wanted_ids;
        uint32_t count = tested ? query->rest_count : query->wanted_count;
        st = segment_read_stripe(direct->segment, stripe, query->schema, ids, count, false, &rest, &direct->stats,
                                 error);
    }
    if (!st && !whole) {
        if (!tested || !rest) {
            whole = batch_ref(tested ? tested : rest);
        } else {
            whole = join_columns(query, tested, rest);
            struct batch **both = whole ? arena_alloc(&whole->arena, 2 * sizeof *both) : NULL;
            if (both) {
                both[0] = batch_ref(tested);
                both[1] = batch_ref(rest);
                whole->release_context = both;
                whole->release = release_two;
            } else {
                st = error_no_memory(error, "query");
            }
        }
    }
    if (!st) st = query_emit(direct->worker, whole, selection, selected, error);
    batch_unref(whole);
    batch_unref(rest);
    batch_unref(tested);
    return st;
}

static enum plinth_status scan_stripe(struct direct *direct, uint32_t stripe, bool file_matches,
                                      struct plinth_error *error) {
    struct worker *worker = direct->worker;
    struct query *query = worker->query;
    uint32_t rows = segment_stripe_rows(direct->segment, stripe), left, selected;
    arena_reset(&worker->scratch);
    enum prune_verdict verdict = file_matches ? PRUNE_ALL : PRUNE_SOME;
    enum plinth_status st = PLINTH_OK;
    query_count(&query->counters.stripes, 1);
    if (query->predicate && !file_matches) {
        struct pruner pruner = {query, direct->segment, false, stripe, PLINTH_OK, error, &worker->scratch};
        bool pruned;
        st = stripe_is_pruned(&pruner, &pruned, &verdict);
        if (st) return st;
        if (pruned) {
            query_count(&query->counters.stripes_skipped, 1);
            return PLINTH_OK;
        }
    }
    uint8_t *among = arena_alloc(&worker->scratch, ((size_t)rows + 7) / 8 + 8);
    uint8_t *selection = arena_alloc(&worker->scratch, ((size_t)rows + 7) / 8 + 8);
    if (!among || !selection) return error_no_memory(error, "query");
    st = stripe_rows_among(direct, stripe, among, &left, error);
    if (st) return st;
    if (!left) {
        query_count(&query->counters.stripes_skipped, 1);
        if (direct->postings) query_count(&query->counters.skipped_by_postings, 1);
        return PLINTH_OK;
    }
    query_count(&query->counters.rows_read, rows);
    if (!query->predicate || verdict == PRUNE_ALL) return emit_stripe(direct, stripe, NULL, among, left, error);
    struct batch *tested = NULL;
    if (query->predicate_count)
        st = segment_read_stripe(direct->segment, stripe, query->schema, query->predicate_ids, query->predicate_count,
                                 false, &tested, &direct->stats, error);
    if (st) return st;
    if (tested) query_bind_columns(query, tested, query->predicate_ids, query->predicate_count, direct->columns);
    if (!predicate_evaluate(query->predicate, direct->columns, rows, left == rows ? NULL : among, selection,
                            &worker->scratch))
        st = error_no_memory(error, "query");
    selected = st ? 0 : (uint32_t)bitmap_count(selection, rows);
    if (!selected) {
        batch_unref(tested);
        return st;
    }
    return emit_stripe(direct, stripe, tested, selection, selected, error);
}

static enum plinth_status scan_segment(struct worker *worker, const struct run *run, size_t number, struct slice lower,
                                       struct slice upper, struct plinth_error *error) {
    struct query *query = worker->query;
    struct segment *segment = run_segment(run, number);
    bool is_first = is_first_visit(query, run, number);
    struct direct direct = {.worker = worker, .segment = segment, .lower = lower, .upper = upper};
    uint32_t stripe, end;
    enum prune_verdict verdict = query->predicate ? PRUNE_SOME : PRUNE_ALL;
    enum plinth_status st = segment_load(segment, error);
    if (st) return st;
    segment_stripes_in(segment, lower, upper, &stripe, &end);
    query_count(&query->counters.segments, is_first);
    arena_reset(&worker->scratch);
    if (query->predicate) {
        struct pruner pruner = {query, segment, false, 0, PLINTH_OK, error, &worker->scratch};
        st = prune_by_bounds(&pruner, true, &verdict);
        if (st) return st;
    }
    if (verdict == PRUNE_NONE) {
        query_count(&query->counters.segments_skipped, is_first);
        query_count(&query->counters.stripes, end - stripe);
        query_count(&query->counters.stripes_skipped, end - stripe);
        return PLINTH_OK;
    }
    direct.columns = calloc(query->schema->column_count + 1, sizeof *direct.columns);
    if (!direct.columns) return error_no_memory(error, "query");
    if (verdict != PRUNE_ALL) st = query_segment_postings(query, segment, &direct.postings, error);
    for (; !st && stripe < end && !has_enough(worker); stripe++)
        st = scan_stripe(&direct, stripe, verdict == PRUNE_ALL, error);
    query_count(&query->counters.bytes_read, direct.stats.bytes_read);
    if (direct.postings) roaring_bitmap_free(direct.postings);
    free(direct.columns);
    return st;
}

/* ---- merged ---- */

struct inputs {
    struct block_stream **streams;
    size_t count;
    bool failed;
};

static enum plinth_status emit_merged(struct worker *worker, struct block_stream *stream, struct plinth_error *error) {
    struct query *query = worker->query;
    const struct column **columns = calloc(query->schema->column_count + 1, sizeof *columns);
    if (!columns) return error_no_memory(error, "query");
    enum plinth_status st = PLINTH_OK;
    while (!st && !has_enough(worker)) {
        struct row_block *block = NULL;
        st = block_stream_next(stream, &block, error);
        if (st || !block) break;
        arena_reset(&worker->scratch);
        query_count(&query->counters.rows_read, block->rows);
        uint8_t *selection = NULL;
        uint32_t selected = block->rows;
        if (query->predicate) {
            selection = arena_alloc(&worker->scratch, ((size_t)block->rows + 7) / 8 + 8);
            query_bind_columns(query, block->columns, query->wanted_ids, query->wanted_count, columns);
            if (!selection ||
                !predicate_evaluate(query->predicate, columns, block->rows, NULL, selection, &worker->scratch))
                st = error_no_memory(error, "query");
            if (!st) selected = (uint32_t)bitmap_count(selection, block->rows);
        }
        if (!st) st = query_emit(worker, block->columns, selection, selected, error);
        row_block_unref(block);
    }
    free(columns);
    return st;
}

static bool wants_run(const struct scan_task *task, const struct view_run *run) {
    if (!task->only_partition) return true;
    const struct segment_info *info = segment_info(run_segment(run->run, 0));
    return info->has_partition == task->has_partition && info->partition == task->partition;
}

/* Whether nothing of the segment's can match, by the columns of its key. */
static enum plinth_status key_bounds_exclude(struct worker *worker, struct segment *segment, bool *excluded,
                                             struct plinth_error *error) {
    enum prune_verdict verdict = PRUNE_SOME;
    enum plinth_status st = PLINTH_OK;
    if (worker->query->predicate) {
        arena_reset(&worker->scratch);
        struct pruner pruner = {worker->query, segment, true, 0, PLINTH_OK, error, &worker->scratch};
        st = prune_by_bounds(&pruner, true, &verdict);
    }
    *excluded = verdict == PRUNE_NONE;
    return st;
}

static bool own_overlap(const struct query *query, const struct scan_task *task) {
    for (uint64_t i = 0; i < query->options.own_count; i++)
        if (query_block_overlaps(query->own[i], task->lower, task->upper)) return true;
    return false;
}

/* The caller's own rows over those of the state, `*merged`. */
static enum plinth_status merge_own(struct query *query, const struct scan_task *task, const struct block_read *read,
                                    struct block_stream **merged, struct plinth_error *error) {
    struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = UINT64_MAX};
    struct block_stream **streams = calloc(query->options.own_count + 1, sizeof *streams);
    if (!streams) return error_no_memory(error, "query");
    size_t count = 1;
    enum plinth_status st = PLINTH_OK;
    streams[0] = *merged;
    for (uint64_t i = 0; !st && i < query->options.own_count; i++) {
        struct row_block *block = query->own[i];
        if (!query_block_overlaps(block, task->lower, task->upper)) continue;
        st = row_block_stream_open(block, read, &streams[count], error);
        count += !st;
    }
    *merged = NULL;
    if (!st)
        st = block_merge_open(streams, count, read, &options, merged, error);
    else
        for (size_t i = 0; i < count; i++) block_stream_close(streams[i]);
    free(streams);
    return st;
}

static enum plinth_status scan_merged(struct worker *worker, const struct scan_task *task, struct plinth_error *error) {
    struct query *query = worker->query;
    struct block_read read = {.schema = query->schema,
                              .column_ids = query->wanted_ids,
                              .column_count = query->wanted_count,
                              .with_keys = true,
                              .lower = task->lower,
                              .upper = task->upper};
    struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = query->lsn};
    struct block_stream **streams = NULL, *merged = NULL;
    size_t count = 0, capacity = 0;
    enum plinth_status st = PLINTH_OK;
    for (int pass = 0; !st && pass < 2; pass++) { /* count, then open */
        if (pass == 1) {
            streams = calloc(capacity + 1, sizeof *streams);
            if (!streams) return error_no_memory(error, "query");
        }
        for (size_t i = 0; !st && !task->only_partition && i < query->sources.block_count; i++) {
            struct row_block *block = query->sources.blocks[i];
            if (!query_block_overlaps(block, task->lower, task->upper)) continue;
            if (pass == 0) {
                capacity++;
                continue;
            }
            uint32_t first, end;
            query_block_rows(block, task->lower, task->upper, &first, &end);
            query_count(&query->counters.memory_rows, end - first);
            st = row_block_stream_open(block, &read, &streams[count], error);
            count += !st;
        }
        for (size_t i = 0; !st && i < query->sources.run_count; i++) {
            if (!wants_run(task, &query->sources.runs[i])) continue;
            size_t at, end;
            query_run_segments(query->sources.runs[i].run, task->lower, task->upper, &at, &end);
            for (; !st && at < end; at++) {
                struct segment *segment = run_segment(query->sources.runs[i].run, at);
                bool excluded = false;
                if (pass == 0) {
                    capacity++;
                    continue;
                }
                st = key_bounds_exclude(worker, segment, &excluded, error);
                if (is_first_visit(query, query->sources.runs[i].run, at)) {
                    query_count(&query->counters.segments, 1);
                    query_count(&query->counters.segments_skipped, excluded);
                }
                if (st || excluded) continue;
                st = segment_block_stream_open(segment, &read, &streams[count], error);
                count += !st;
            }
        }
    }
    if (!st)
        st = block_merge_open(streams, count, &read, &options, &merged, error);
    else
        for (size_t i = 0; i < count; i++) block_stream_close(streams[i]);
    free(streams);
    if (!st && own_overlap(query, task)) st = merge_own(query, task, &read, &merged, error);
    if (!st) st = emit_merged(worker, merged, error);
    block_stream_close(merged);
    return st;
}

/* ---- key spaces ---- */

static enum plinth_status scan_space(struct worker *worker, const struct scan_task *task, struct plinth_error *error) {
    struct query *query = worker->query;
    struct block_read read = {.schema = query->schema,
                              .column_ids = query->wanted_ids,
                              .column_count = query->wanted_count,
                              .with_keys = true,
                              .lower = task->lower,
                              .upper = task->upper};
    struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = query->lsn};
    struct iterator *it = NULL;
    struct block_stream *stream = NULL, *merged = NULL;
    struct range_view ranges;
    enum plinth_status st = view_ranges(query->view, query->schema->id, query->lsn, &ranges, error);
    if (st) return st;
    st = view_iterator_open(query->view, query->schema->id, &ranges, query->time_us, false, &it, error);
    if (!st) st = space_block_stream_open(it, &read, &stream, error);
    if (!st) st = block_merge_open(&stream, 1, &read, &options, &merged, error);
    if (!st) st = emit_merged(worker, merged, error);
    block_stream_close(merged);
    range_view_deinit(&ranges);
    return st;
}

enum plinth_status query_run_task(struct worker *worker, const struct scan_task *task, struct plinth_error *error) {
    struct query *query = worker->query;
    if (query->schema->kind == TABLE_SPACE) return scan_space(worker, task, error);
    const struct run *only = NULL;
    size_t first = 0, end = 0;
    bool direct = !own_overlap(query, task);
    for (size_t i = 0; direct && !task->only_partition && i < query->sources.block_count; i++)
        if (query_block_overlaps(query->sources.blocks[i], task->lower, task->upper)) direct = false;
    for (size_t i = 0; direct && i < query->sources.run_count; i++) {
        const struct view_run *run = &query->sources.runs[i];
        size_t run_first, run_end;
        if (!wants_run(task, run)) continue;
        query_run_segments(run->run, task->lower, task->upper, &run_first, &run_end);
        if (run_first == run_end) continue;
        if (only) direct = false;
        only = run->run;
        first = run_first;
        end = run_end;
        for (size_t s = first; direct && s < end; s++)
            if (!segment_is_plain_at(run_segment(only, s), query->lsn)) direct = false;
    }
    if (!direct) return scan_merged(worker, task, error);
    enum plinth_status st = PLINTH_OK;
    for (size_t s = first; !st && s < end && !has_enough(worker); s++)
        st = scan_segment(worker, only, s, task->lower, task->upper, error);
    return st;
}
