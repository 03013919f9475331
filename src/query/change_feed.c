/* plinth_feed_*: change feeds for programs that embed the engine: whole writes, rows as Arrow arrays, and a call that
 * waits. The engine gives a large write in several items (engine/feed.h); here they are put together. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "engine/array.h"
#include "engine/engine.h"
#include "engine/feed.h"
#include "query/predicate_text.h"

/* Rows of a change on their way out. */
struct exported_rows {
    struct ArrowSchema schema, previous_schema;
    struct ArrowArray array, previous;
};

struct plinth_feed {
    struct plinth *db;
    struct feed *feed;
    struct arena predicate_arena;
    struct arena arena; /* of the last change */
    struct plinth_feed_operation *operations;
    uint64_t operation_count;
    struct plinth_feed_rows *rows;
    uint64_t rows_count;
};

static enum plinth_status no_memory(struct plinth_error *error) { return error_no_memory(error, "change feed"); }

/* ---- opening ---- */

static struct slice slice_of_name(const char *name) { return name ? slice_of_string(name) : slice_of(NULL, 0); }

static enum plinth_status convert_tables(struct plinth_feed *feed, const struct plinth_feed_options *given,
                                         struct feed_options *options, struct plinth_error *error) {
    if (given->table && given->table_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a change feed has one table or a list of them");
    size_t count = given->table ? 1 : given->table_count;
    struct feed_table *tables = arena_alloc(&feed->arena, (count + 1) * sizeof *tables);
    if (!tables) return no_memory(error);
    for (size_t i = 0; i < given->table_count; i++)
        tables[i] = (struct feed_table){slice_of_name(given->tables[i].database), slice_of_name(given->tables[i].name)};
    if (given->table) tables[0] = (struct feed_table){slice_of_name(given->database), slice_of_name(given->table)};
    options->tables = tables;
    options->table_count = (uint32_t)count;
    return PLINTH_OK;
}

static enum plinth_status start(struct plinth_feed *feed, const struct plinth_feed_options *given,
                                struct plinth_error *error) {
    struct feed_options options = {.after = given->after,
                                   .snapshot_name = given->snapshot_name,
                                   .as_of_time_us = given->as_of_time_us,
                                   .until = given->until,
                                   .until_now = given->until_now,
                                   .prefix = slice_in(given->prefix),
                                   .with_previous = given->with_previous};
    enum plinth_status st = convert_tables(feed, given, &options, error);
    if (!st && given->where)
        st = predicate_parse(slice_of_string(given->where), &feed->predicate_arena, &options.predicate, error);
    if (!st) st = feed_open(feed->db, &options, &feed->feed, error);
    arena_reset(&feed->arena);
    return st;
}

enum plinth_status plinth_feed_open(struct plinth *db, const struct plinth_feed_options *options,
                                    struct plinth_feed **feed, struct plinth_error *error) {
    static const struct plinth_feed_options defaults = {0};
    *feed = NULL;
    error_clear(error);
    struct plinth_feed *made = calloc(1, sizeof *made);
    if (!made) return no_memory(error);
    made->db = db;
    arena_init(&made->arena);
    arena_init(&made->predicate_arena);
    enum plinth_status st = start(made, options ? options : &defaults, error);
    if (st)
        plinth_feed_close(made);
    else
        *feed = made;
    return st;
}

static void release_change(struct plinth_feed *feed) {
    for (uint64_t i = 0; i < feed->rows_count; i++) {
        struct exported_rows *rows = (struct exported_rows *)feed->rows[i].schema;
        if (rows->schema.release) rows->schema.release(&rows->schema);
        if (rows->array.release) rows->array.release(&rows->array);
        if (rows->previous_schema.release) rows->previous_schema.release(&rows->previous_schema);
        if (rows->previous.release) rows->previous.release(&rows->previous);
    }
    feed->rows_count = feed->operation_count = 0;
    arena_reset(&feed->arena);
}

void plinth_feed_close(struct plinth_feed *feed) {
    if (!feed) return;
    release_change(feed);
    feed_close(feed->feed);
    free(feed->operations);
    free(feed->rows);
    arena_deinit(&feed->arena);
    arena_deinit(&feed->predicate_arena);
    free(feed);
}

struct plinth_position plinth_feed_position(const struct plinth_feed *feed) {
    return feed_position(feed->feed);
}

/* ---- a change, item by item ---- */

static bool copy_slice(struct plinth_feed *feed, struct plinth_slice *slice) {
    const uint8_t *copy = arena_copy(&feed->arena, slice_in(*slice));
    *slice = plinth_bytes(copy, slice->size);
    return copy != NULL;
}

static bool copy_name(struct plinth_feed *feed, const char **name) {
    *name = (const char *)arena_copy(&feed->arena, slice_of_string(*name));
    return *name != NULL;
}

static bool copy_operation(struct plinth_feed *feed, const struct plinth_feed_operation *from) {
    struct plinth_feed_operation copy = *from;
    struct plinth_operation *operation = &copy.operation;
    struct plinth_index_value *indexes = arena_alloc(&feed->arena, (operation->index_count + 1) * sizeof *indexes);
    bool ok = indexes && copy_slice(feed, &operation->key) && copy_slice(feed, &operation->value) &&
              copy_slice(feed, &copy.previous) && copy_name(feed, &copy.database) && copy_name(feed, &copy.table);
    for (size_t i = 0; ok && i < operation->index_count; i++) {
        indexes[i] = operation->indexes[i];
        ok = copy_slice(feed, &indexes[i].name) && copy_slice(feed, &indexes[i].value);
    }
    if (ok && operation->index_count) operation->indexes = indexes;
    return ok && ARRAY_PUSH(feed->operations, feed->operation_count, copy);
}

static enum plinth_status add_rows(struct plinth_feed *feed, const struct feed_rows *from, struct plinth_error *error) {
    struct exported_rows *exported = arena_zalloc(&feed->arena, sizeof *exported);
    struct plinth_feed_rows rows = {.database = from->database, .table = from->table, .deleted = from->deleted};
    _Static_assert(offsetof(struct exported_rows, schema) == 0, "release_change finds it by its schema");
    if (!exported || !copy_name(feed, &rows.database) || !copy_name(feed, &rows.table)) return no_memory(error);
    rows.schema = &exported->schema;
    rows.array = &exported->array;
    if (from->previous) {
        rows.previous_schema = &exported->previous_schema;
        rows.previous = &exported->previous;
    }
    if (!ARRAY_PUSH(feed->rows, feed->rows_count, rows)) return no_memory(error);
    enum plinth_status st = arrow_export_schema(&from->schema, rows.schema, error);
    if (!st) st = arrow_export_batch(from->batch, rows.array, error);
    if (!st && from->previous) st = arrow_export_schema(&from->previous_schema, rows.previous_schema, error);
    if (!st && from->previous) st = arrow_export_batch(from->previous, rows.previous, error);
    return st;
}

static enum plinth_status add_item(struct plinth_feed *feed, const struct feed_item *item, struct plinth_error *error) {
    for (uint64_t i = 0; i < item->operation_count; i++)
        if (!copy_operation(feed, &item->operations[i])) return no_memory(error);
    return item->rows ? add_rows(feed, item->rows, error) : PLINTH_OK;
}

/* A whole change, or none. */
static enum plinth_status read_change(struct plinth_feed *feed, struct plinth_change *change, enum feed_found *found,
                                      struct plinth_error *error) {
    struct feed_item item;
    bool first = true;
    enum plinth_status st;
    do {
        st = feed_next(feed->feed, &item, found, error);
        if (st || *found != FEED_ITEM) continue;
        if (first && item.last && !item.rows) { /* most writes: nothing needs to be copied */
            *change = (struct plinth_change){.position = item.position,
                                             .time_us = item.time_us,
                                             .operations = item.operations,
                                             .operation_count = item.operation_count};
            return PLINTH_OK;
        }
        first = false;
        st = add_item(feed, &item, error);
    } while (!st && (*found == FEED_MORE || (*found == FEED_ITEM && !item.last)));
    if (!st && *found == FEED_ITEM)
        *change = (struct plinth_change){.position = item.position,
                                         .time_us = item.time_us,
                                         .operations = feed->operations,
                                         .operation_count = feed->operation_count,
                                         .rows = feed->rows,
                                         .rows_count = feed->rows_count};
    return st;
}

/* Waits until there is something above the limit; false when there is nothing before `deadline_ns`. */
static enum plinth_status wait_for_more(struct plinth_feed *feed, uint64_t deadline_ns, bool *more,
                                        struct plinth_error *error) {
    struct plinth *db = feed->db;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->advance_mutex);
    for (;;) {
        *more = feed_visible_lsn(db) > feed_limit(feed->feed);
        if (*more || env_monotonic_ns(db->env) >= deadline_ns) break;
        st = engine_check(db, error);
        if (st) break;
        condition_wait_us(&db->advanced, &db->advance_mutex, 2000);
    }
    pthread_mutex_unlock(&db->advance_mutex);
    return st;
}

enum plinth_status plinth_feed_next(struct plinth_feed *feed, uint32_t wait_ms, struct plinth_change *change,
                                    bool *found, struct plinth_error *error) {
    uint64_t deadline_ns = env_monotonic_ns(feed->db->env) + (uint64_t)wait_ms * 1000000;
    *found = false;
    *change = (struct plinth_change){0};
    error_clear(error);
    for (;;) {
        enum feed_found outcome;
        bool more;
        release_change(feed);
        enum plinth_status st = read_change(feed, change, &outcome, error);
        *found = !st && outcome == FEED_ITEM;
        if (st || *found || outcome == FEED_END) return st;
        st = wait_for_more(feed, deadline_ns, &more, error);
        if (st || !more) return st;
    }
}
