/* The plan: names to columns, the predicate bound, key ranges, and the access path by estimated cost. */
#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"
#include "table/expired_rows.h"

/* Relative costs of looking at one row: in a scan; through an index (look-up and fetch), or with the look-up only;
 * through postings. */
enum { COST_SCAN = 1, COST_INDEX = 40, COST_INDEX_ONLY = 25, COST_POSTINGS = 20 };

/* ---- names ---- */

static enum plinth_status find_column(const struct query *query, struct slice name, uint32_t *at,
                                      struct plinth_error *error) {
    int32_t found = table_schema_find(query->schema, name);
    if (found < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no column \"%.*s\"", query->schema->name,
                         (int)(name.size < 128 ? name.size : 128), name.data);
    *at = (uint32_t)found;
    return PLINTH_OK;
}

static enum plinth_status bind_predicate(struct query *query, struct plinth_error *error) {
    const struct table_schema *schema = query->schema;
    query->predicate_uses = arena_zalloc(&query->arena, (schema->column_count + 1) * sizeof(bool));
    struct predicate_column *columns = arena_alloc(&query->arena, (schema->column_count + 1) * sizeof *columns);
    if (!columns || !query->predicate_uses) return error_no_memory(error, "query");
    if (!query->options.predicate) return PLINTH_OK;
    for (uint32_t c = 0; c < schema->column_count; c++)
        columns[c] = (struct predicate_column){slice_of_string(schema->columns[c].name), schema->columns[c].type};
    enum plinth_status st = predicate_bind(query->options.predicate, columns, schema->column_count, &query->arena,
                                           &query->predicate, error);
    if (st) return st;
    predicate_columns(query->predicate, query->predicate_uses);
    if (!predicate_format(&query->predicate_text, query->predicate, columns) ||
        !buffer_append_u8(&query->predicate_text, 0))
        return error_no_memory(error, "query");
    if (query->predicate->kind == PREDICATE_CONSTANT && query->predicate->constant == TRUTH_TRUE)
        query->predicate = NULL;
    return PLINTH_OK;
}

/* The bound condition that a row has not expired: column > last, or null. */
static enum plinth_status add_expiry(struct query *query, struct plinth_error *error) {
    const struct table_schema *schema = query->schema;
    int64_t last;
    if (!expired_rows_last(schema, query->time_us, &last)) return PLINTH_OK;
    if (query->predicate && query->predicate->kind == PREDICATE_CONSTANT) return PLINTH_OK; /* no row is true anyway */
    uint32_t at = (uint32_t)table_schema_find_id(schema, schema->expire_column);
    const struct table_column *column = &schema->columns[at];
    const struct predicate *whole = query->predicate;
    uint32_t members = !whole ? 0 : whole->kind == PREDICATE_AND ? whole->child_count : 1;
    struct predicate *nodes = arena_zalloc(&query->arena, 4 * sizeof *nodes);
    const struct predicate **children = arena_zalloc(&query->arena, (members + 3) * sizeof *children);
    int64_t *value = arena_alloc(&query->arena, sizeof *value);
    if (!nodes || !children || !value) return error_no_memory(error, "query");
    if (column->type.kind == COLUMN_DATE)
        *(int32_t *)value = (int32_t)last;
    else
        *value = last;
    nodes[0] = (struct predicate){.kind = PREDICATE_COMPARE,
                                  .comparison = COMPARE_GT,
                                  .column = at,
                                  .values = {.type = column->type, .values = value},
                                  .value_count = 1};
    const struct predicate *alive = &nodes[0];
    if (column->nullable) {
        const struct predicate **either = children + members + 1;
        nodes[1] = (struct predicate){.kind = PREDICATE_IS_NULL, .column = at};
        either[0] = &nodes[0];
        either[1] = &nodes[1];
        nodes[2] = (struct predicate){.kind = PREDICATE_OR, .children = either, .child_count = 2};
        alive = &nodes[2];
    }
    query->predicate_uses[at] = true;
    query->predicate = alive;
    if (!members) return PLINTH_OK;
    if (whole->kind == PREDICATE_AND)
        memcpy(children, whole->children, members * sizeof *children);
    else
        children[0] = whole;
    children[members] = alive;
    nodes[3] = (struct predicate){.kind = PREDICATE_AND, .children = children, .child_count = members + 1};
    query->predicate = &nodes[3];
    return PLINTH_OK;
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Sorts the wanted columns by id and finds the places of the others in them. `wanted` is by schema column. */
static enum plinth_status choose_columns(struct query *query, const bool *wanted, struct plinth_error *error) {
    const struct table_schema *schema = query->schema;
    size_t room = schema->column_count + 1;
    query->wanted_ids = arena_alloc(&query->arena, room * sizeof(uint32_t));
    query->predicate_ids = arena_alloc(&query->arena, room * sizeof(uint32_t));
    query->rest_ids = arena_alloc(&query->arena, room * sizeof(uint32_t));
    query->wanted_at = arena_alloc(&query->arena, room * sizeof(int32_t));
    if (!query->wanted_ids || !query->predicate_ids || !query->rest_ids || !query->wanted_at)
        return error_no_memory(error, "query");
    for (uint32_t c = 0; c < schema->column_count; c++) {
        bool tested = query->predicate && query->predicate_uses[c];
        if (wanted[c] || tested) query->wanted_ids[query->wanted_count++] = schema->columns[c].id;
        if (tested) query->predicate_ids[query->predicate_count++] = schema->columns[c].id;
        if (wanted[c] && !tested) query->rest_ids[query->rest_count++] = schema->columns[c].id;
    }
    qsort(query->wanted_ids, query->wanted_count, sizeof(uint32_t), compare_ids);
    qsort(query->predicate_ids, query->predicate_count, sizeof(uint32_t), compare_ids);
    qsort(query->rest_ids, query->rest_count, sizeof(uint32_t), compare_ids);
    for (uint32_t c = 0; c < schema->column_count; c++) {
        query->wanted_at[c] = -1;
        for (uint32_t i = 0; i < query->wanted_count; i++)
            if (query->wanted_ids[i] == schema->columns[c].id) query->wanted_at[c] = (int32_t)i;
    }
    return PLINTH_OK;
}

static enum plinth_status plan_scan_output(struct query *query, bool *wanted, struct plinth_error *error) {
    const struct query_options *options = &query->options;
    const struct table_schema *schema = query->schema;
    uint32_t count = options->column_count ? options->column_count : schema->column_count;
    uint32_t *chosen = arena_alloc(&query->arena, (count + 1) * sizeof *chosen);
    struct arrow_field *fields = arena_alloc(&query->arena, (count + 1) * sizeof *fields);
    query->output = arena_alloc(&query->arena, (count + 1) * sizeof *query->output);
    if (!chosen || !fields || !query->output) return error_no_memory(error, "query");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < count; i++) {
        chosen[i] = i;
        if (options->column_count) st = find_column(query, options->columns[i], &chosen[i], error);
        if (st) return st;
        const struct table_column *column = &schema->columns[chosen[i]];
        fields[i] = (struct arrow_field){column->name, column->type, column->nullable};
        wanted[chosen[i]] = true;
    }
    st = choose_columns(query, wanted, error);
    for (uint32_t i = 0; !st && i < count; i++) query->output[i] = (uint32_t)query->wanted_at[chosen[i]];
    query->output_count = count;
    query->out_schema = (struct arrow_schema){fields, count};
    return st;
}

static const char *aggregate_name(struct query *query, const struct query_aggregate *aggregate) {
    static const char *const words[] = {"?", "count", "min", "max", "sum", "avg"};
    char text[TABLE_NAME_BYTES_MAX + 16];
    if (aggregate->column.size)
        snprintf(text, sizeof text, "%s_%.*s", words[aggregate->kind], (int)aggregate->column.size,
                 aggregate->column.data);
    else
        snprintf(text, sizeof text, "%s", words[aggregate->kind]);
    return (const char *)arena_copy(&query->arena, slice_of_string(text));
}

static enum plinth_status plan_aggregate(struct query *query, uint32_t number, bool *wanted, uint32_t *column,
                                         struct plinth_error *error) {
    const struct query_aggregate *asked = &query->options.aggregates[number];
    struct aggregate_spec *spec = &query->aggregates[number];
    *spec = (struct aggregate_spec){.kind = asked->kind, .column = AGGREGATE_NO_COLUMN};
    *column = UINT32_MAX;
    if (asked->kind < AGGREGATE_COUNT || asked->kind > AGGREGATE_AVG)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown aggregate function %d", (int)asked->kind);
    if (!asked->column.size) {
        if (asked->kind != AGGREGATE_COUNT)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "only count may be without a column");
        spec->result = column_type_of(COLUMN_INT64);
        return PLINTH_OK;
    }
    enum plinth_status st = find_column(query, asked->column, column, error);
    if (st) return st;
    spec->type = query->schema->columns[*column].type;
    wanted[*column] = true;
    st = aggregate_result_type(asked->kind, spec->type, &spec->result, error);
    if (st) error_prefix(error, "column \"%s\"", query->schema->columns[*column].name);
    return st;
}

static enum plinth_status plan_group_output(struct query *query, bool *wanted, struct plinth_error *error) {
    const struct query_options *options = &query->options;
    const struct table_schema *schema = query->schema;
    uint32_t groups = options->group_by_count, functions = options->aggregate_count;
    struct arrow_field *fields = arena_alloc(&query->arena, ((size_t)groups + functions + 1) * sizeof *fields);
    uint32_t *columns = arena_alloc(&query->arena, ((size_t)groups + functions + 1) * sizeof *columns);
    query->aggregates = arena_zalloc(&query->arena, (functions + 1) * sizeof *query->aggregates);
    query->group_columns = arena_alloc(&query->arena, (groups + 1) * sizeof *query->group_columns);
    if (!fields || !columns || !query->aggregates || !query->group_columns) return error_no_memory(error, "query");
    if (functions > QUERY_FUNCTIONS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%u functions; at most %d are allowed", functions,
                         (int)QUERY_FUNCTIONS_MAX);
    if (groups > ROW_KEY_PARTS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "rows can be grouped by at most %d columns; %u were given",
                         (int)ROW_KEY_PARTS_MAX, groups);
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < groups; i++) {
        st = find_column(query, options->group_by[i], &columns[i], error);
        if (st) return st;
        const struct table_column *column = &schema->columns[columns[i]];
        if (!row_key_type_is_allowed(column->type))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "rows cannot be grouped by the list column \"%s\"",
                             column->name);
        fields[i] = (struct arrow_field){column->name, column->type, column->nullable};
        wanted[columns[i]] = true;
    }
    for (uint32_t i = 0; !st && i < functions; i++) {
        st = plan_aggregate(query, i, wanted, &columns[groups + i], error);
        if (st) return st;
        fields[groups + i] =
            (struct arrow_field){aggregate_name(query, &options->aggregates[i]), query->aggregates[i].result,
                                 options->aggregates[i].kind != AGGREGATE_COUNT};
        if (!fields[groups + i].name) return error_no_memory(error, "query");
    }
    if (!st) st = choose_columns(query, wanted, error);
    for (uint32_t i = 0; !st && i < groups; i++) query->group_columns[i] = (uint32_t)query->wanted_at[columns[i]];
    for (uint32_t i = 0; !st && i < functions; i++)
        if (columns[groups + i] != UINT32_MAX)
            query->aggregates[i].column = (uint32_t)query->wanted_at[columns[groups + i]];
    query->out_schema = (struct arrow_schema){fields, groups + functions};
    return st;
}

/* ---- ranges and paths ---- */

static uint32_t key_parts(const struct query *query, const uint32_t *ids, uint32_t count, struct key_part *parts) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t column = (uint32_t)table_schema_find_id(query->schema, ids[i]);
        parts[i] = (struct key_part){column, query->schema->columns[column].type, FUNCTION_NONE};
    }
    return count;
}

static void index_parts(const struct query *query, const struct table_index *index, struct key_part *parts) {
    key_parts(query, index->columns, index->column_count, parts);
    for (uint32_t i = 0; i < index->column_count; i++) {
        parts[i].type = table_index_part_type(query->schema, index, i);
        parts[i].function = (enum column_function)index->functions[i];
    }
}

/* Whether the index names every row in the ranges, and none twice: of one on the elements of lists only where an
 * element is given. */
static bool ranges_fit(const struct table_index *index, const struct key_ranges *ranges) {
    int32_t elements = table_index_elements(index);
    return elements < 0 || ranges->parts_fixed > (uint32_t)elements;
}

static enum plinth_status no_path(const struct query *query, const char *why, struct plinth_error *error) {
    struct slice name = query->options.force_path;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "this query cannot use \"%.*s\": %s", (int)name.size, name.data,
                     why);
}

/* More ranges than these would have several tasks read the same rows. */
static uint32_t ranges_useful(const struct query *query) {
    uint64_t stripes = 0, memory_rows = 0;
    for (size_t i = 0; i < query->sources.run_count; i++) {
        const struct run *run = query->sources.runs[i].run;
        for (size_t s = 0; s < run_segment_count(run); s++) stripes += segment_stripe_estimate(run_segment(run, s));
    }
    for (size_t i = 0; i < query->sources.block_count; i++) memory_rows += query->sources.blocks[i]->rows;
    uint64_t useful = stripes + memory_rows / QUERY_RANGE_ROWS;
    return useful < QUERY_RANGES_MIN ? QUERY_RANGES_MIN : useful < KEY_RANGES_MAX ? (uint32_t)useful : KEY_RANGES_MAX;
}

/* Ranges of the primary key. */
static bool make_ranges(struct query *query) {
    const struct table_schema *schema = query->schema;
    struct key_part parts[ROW_KEY_PARTS_MAX];
    uint32_t count = key_parts(query, schema->key, schema->key_count, parts), ranges_max = KEY_RANGES_MAX;
    for (;;) {
        if (!key_ranges_make(query->predicate, parts, count, ROW_KEY_PRIMARY, ranges_max, &query->arena,
                             &query->ranges))
            return false;
        if (query->ranges.points || query->ranges.count <= QUERY_RANGES_MIN || ranges_max < KEY_RANGES_MAX) return true;
        ranges_max = ranges_useful(query);
        if (query->ranges.count <= ranges_max) return true;
    }
}

/* Leaves only what lies above options.key_after. */
static bool cut_ranges(struct query *query) {
    struct slice after = query->options.key_after;
    uint8_t *lower = arena_alloc(&query->arena, after.size + 1); /* the first key above it */
    struct key_range *kept = arena_alloc(&query->arena, (query->ranges.count + 1) * sizeof *kept);
    uint32_t count = 0;
    if (!lower || !kept) return false;
    memcpy(lower, after.data, after.size);
    lower[after.size] = 0;
    for (uint32_t i = 0; i < query->ranges.count; i++) {
        struct key_range range = query->ranges.ranges[i];
        if (range.upper.size && slice_compare(range.upper, slice_of(lower, after.size + 1)) <= 0) continue;
        bool cut = slice_compare(range.lower, slice_of(lower, after.size + 1)) < 0;
        if (cut) range.lower = slice_of(lower, after.size + 1);
        if (cut && query->ranges.points) continue; /* the key itself is below */
        kept[count++] = range;
    }
    query->ranges.ranges = kept;
    query->ranges.count = count;
    query->ranges.bounded = true;
    return true;
}

static uint64_t cost_of_entry(bool covers) { return covers ? COST_INDEX_ONLY : COST_INDEX; }

/* The cheapest sorted index; `best` stays closed when none is better than a scan of `rows` rows. */
static enum plinth_status try_indexes(struct query *query, uint64_t rows, struct index_scan *best,
                                      struct plinth_error *error) {
    struct slice forced = query->options.force_path;
    uint64_t cost = forced.size ? UINT64_MAX : rows * COST_SCAN;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < query->schema->index_count; i++) {
        const struct table_index *index = &query->schema->indexes[i];
        if (index->kind != INDEX_SORTED || index->state != INDEX_READY) continue;
        if (!engine_table_exists(query->db, index->id)) continue; /* dropped: its entries may be gone from the view */
        if (forced.size && !slice_equal(forced, slice_of_string(index->name))) continue;
        struct key_part parts[ROW_KEY_PARTS_MAX];
        struct key_ranges ranges;
        index_parts(query, index, parts);
        if (!key_ranges_make(query->predicate, parts, index->column_count, ROW_KEY_INDEX, KEY_RANGES_MAX, &query->arena,
                             &ranges))
            return error_no_memory(error, "query");
        if ((!ranges.bounded && !forced.size) || !ranges_fit(index, &ranges)) continue;
        struct index_scan scan;
        uint64_t entry_cost = cost_of_entry(query_index_covers(query, index));
        st = index_scan_open(query, index, ranges, cost / entry_cost, &scan, error);
        if (st) break;
        if (scan.estimate < cost / entry_cost || forced.size) {
            index_scan_close(best);
            *best = scan;
            cost = scan.estimate * entry_cost;
        } else {
            index_scan_close(&scan);
        }
    }
    return st;
}

/* Rows that postings leave, when every segment has some; UINT64_MAX when they say nothing. */
static enum plinth_status estimate_postings(struct query *query, uint64_t *rows, struct plinth_error *error) {
    *rows = 0;
    uint64_t segments = 0;
    for (size_t i = 0; i < query->sources.run_count; i++) {
        const struct run *run = query->sources.runs[i].run;
        for (size_t s = 0; s < run_segment_count(run); s++, segments++) {
            roaring_bitmap_t *found = NULL;
            enum plinth_status st = query_segment_postings(query, run_segment(run, s), &found, error);
            if (st) return st;
            if (!found) {
                *rows = UINT64_MAX;
                return PLINTH_OK;
            }
            *rows += roaring_bitmap_get_cardinality(found);
            roaring_bitmap_free(found);
        }
    }
    for (size_t i = 0; i < query->sources.block_count; i++) *rows += query->sources.blocks[i]->rows / COST_POSTINGS;
    if (!segments) *rows = UINT64_MAX;
    return PLINTH_OK;
}

/* The first index whose postings answer a member of the predicate; with `name`, only that one. */
static const struct table_index *find_postings_index(const struct query *query, struct slice name) {
    const struct predicate *whole = query->predicate;
    uint32_t count = !whole ? 0 : whole->kind == PREDICATE_AND ? whole->child_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct table_index *index =
            query_postings_index(query, whole->kind == PREDICATE_AND ? whole->children[i] : whole);
        if (index && (!name.size || slice_equal(name, slice_of_string(index->name)))) return index;
    }
    return NULL;
}

/* Several runs or memtables would have to be merged: then candidates from postings pay. Over one plain run the scan
 * uses them by itself. */
static bool is_one_plain_run(const struct query *query) {
    if (query->sources.block_count || query->sources.run_count != 1) return false;
    const struct run *run = query->sources.runs[0].run;
    for (size_t s = 0; s < run_segment_count(run); s++)
        if (!segment_is_plain_at(run_segment(run, s), query->lsn)) return false;
    return true;
}

/* Whether the term must be true of every row, and bloom filters of the index know its values. */
static bool bloom_answers(const struct query *query, const struct table_index *index, const struct predicate *term) {
    bool equality = term->kind == PREDICATE_IN || (term->kind == PREDICATE_COMPARE && term->comparison == COMPARE_EQ);
    return equality && !term->function && index->kind == INDEX_BLOOM && index->state == INDEX_READY &&
           query->schema->columns[term->column].id == index->columns[0];
}

/* The index whose filters a scan asks before it reads a stripe, to be told of; null: none. */
static const struct table_index *find_bloom_index(const struct query *query) {
    const struct predicate *whole = query->predicate;
    uint32_t count = !whole ? 0 : whole->kind == PREDICATE_AND ? whole->child_count : 1;
    for (uint32_t i = 0; i < query->schema->index_count; i++)
        for (uint32_t c = 0; c < count; c++)
            if (bloom_answers(query, &query->schema->indexes[i],
                              whole->kind == PREDICATE_AND ? whole->children[c] : whole))
                return &query->schema->indexes[i];
    return NULL;
}

static enum plinth_status choose_path(struct query *query, struct plinth_error *error) {
    struct slice forced = query->options.force_path;
    bool want_scan = slice_equal(forced, slice_of_string("scan"));
    bool want_key = slice_equal(forced, slice_of_string("key"));
    query->path = PATH_SCAN;
    if (query->options.read.memory_only && (!forced.size || want_scan || want_key)) return PLINTH_WOULD_BLOCK;
    if (want_scan) {
        /* The whole range, however much the predicate says about the key. */
        struct key_range *all = arena_zalloc(&query->arena, sizeof *all);
        if (!all) return error_no_memory(error, "query");
        query->ranges = (struct key_ranges){.ranges = all, .count = 1};
    }
    query->rows_estimated = query_estimate_rows(query);
    if (want_scan || query->schema->kind == TABLE_SPACE) {
        if (!want_scan && query->ranges.bounded) query->path = PATH_KEY;
        return PLINTH_OK;
    }
    if (want_key && !query->ranges.bounded)
        return no_path(query, "the predicate does not bound the key's first column", error);
    if (query->ranges.bounded && (want_key || !forced.size)) {
        query->path = PATH_KEY;
        if (query->ranges.points && !query->options.own_count) {
            query->rows_estimated = query->ranges.count;
            return query_candidates_from_points(query, error);
        }
    }
    /* Indexes do not know the caller's own rows, nor the order that key_after is about. */
    if (want_key || query->options.own_count || query->options.key_after.size) return PLINTH_OK;
    struct index_scan best = {0};
    enum plinth_status st = try_indexes(query, query->rows_estimated, &best, error);
    if (!st && query->options.read.memory_only && !best.index) return PLINTH_WOULD_BLOCK;
    uint64_t cost = best.index ? best.estimate * cost_of_entry(best.covers) : query->rows_estimated * COST_SCAN;
    const struct table_index *postings = find_postings_index(query, forced);
    if (!st && postings && (!best.index || !forced.size)) {
        uint64_t rows;
        st = estimate_postings(query, &rows, error);
        bool merged = !is_one_plain_run(query);
        if (!st && rows != UINT64_MAX && (forced.size || rows < cost / COST_POSTINGS)) {
            index_scan_close(&best);
            query->path = PATH_POSTINGS;
            query->index = postings;
            query->rows_estimated = rows;
            return merged ? query_candidates_from_postings(query, error) : PLINTH_OK;
        }
        if (!st && forced.size && rows == UINT64_MAX && !query->sources.run_count) {
            query->path = PATH_POSTINGS; /* everything is in memory, where the predicate itself is asked */
            query->index = postings;
            return query_candidates_from_postings(query, error);
        }
    }
    if (!st && best.index) {
        query->path = PATH_INDEX;
        query->index = best.index;
        query->rows_estimated = best.estimate;
        st = query_candidates_from_index(query, &best, error);
    }
    index_scan_close(&best);
    if (!st && forced.size && query->path != PATH_INDEX && query->path != PATH_POSTINGS)
        st = no_path(query, "no such index, or the predicate does not use it", error);
    return st;
}

enum plinth_status query_plan(struct query *query, struct plinth_error *error) {
    const struct table_schema *schema = query->schema;
    bool *wanted = arena_zalloc(&query->arena, (schema->column_count + 1) * sizeof *wanted);
    if (!wanted) return error_no_memory(error, "query");
    enum plinth_status st = bind_predicate(query, error);
    if (!st) st = add_expiry(query, error);
    if (!st)
        st = query->options.aggregate_count || query->options.group_by_count ? plan_group_output(query, wanted, error)
                                                                             : plan_scan_output(query, wanted, error);
    if (!st && schema->kind == TABLE_ROWS) st = view_row_sources(query->view, schema->id, &query->sources, error);
    if (!st && !make_ranges(query)) st = error_no_memory(error, "query");
    if (!st && query->options.key_after.size && !cut_ranges(query)) st = error_no_memory(error, "query");
    if (!st) st = choose_path(query, error);
    if (!st && !query->by_candidates && !query->index) query->index = find_bloom_index(query);
    if (!st && !query->by_candidates) st = query_make_tasks(query, error);
    return st;
}
