/* The change feed: the log, read again, for those who want to know what was written.
 *
 * A feed reads records up to the visible LSN, leaves out those that did nothing (the shard knows which, back to where
 * any feed may begin), puts the parts of an atomic write together, and gives each write as one change. While it is open
 * its place holds the log, and with with_previous the versions, too. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "engine/array.h"
#include "engine/engine.h"
#include "engine/row_indexes.h"
#include "engine/rows.h"
#include "engine/rows_record.h"

/* A part of an atomic write whose last part has not come yet. */
struct held_part {
    uint64_t unit;
    struct buffer payload;
};

/* The rows of one record on their way out. */
struct fed_rows {
    struct ArrowSchema schema;
    struct ArrowArray array;
};

struct plinth_feed {
    struct plinth *db;
    struct plinth_feed *next;         /* snapshot_mutex */
    atomic_ullong lsn;                /* everything up to here is done with */
    struct plinth_snapshot *snapshot; /* with_previous: at `lsn` */
    struct log_reader *reader;
    uint64_t limit; /* records up to here may be given, and `voids` are the void ones among them */
    uint64_t *voids;
    size_t void_count, void_at;
    struct held_part *parts;
    uint64_t part_count;

    bool of_one; /* only the table `only` */
    struct table_id only;
    struct buffer prefix;
    bool with_previous;

    struct arena arena; /* of the last change */
    struct plinth_feed_operation *operations;
    uint64_t operation_count;
    struct plinth_feed_rows *rows;
    uint64_t rows_count;
};

/* ---- what feeds hold ---- */

uint64_t engine_feeds_lsn(struct plinth *db) {
    uint64_t lowest = UINT64_MAX;
    pthread_mutex_lock(&db->snapshot_mutex);
    for (const struct plinth_feed *feed = db->feeds; feed; feed = feed->next) {
        uint64_t lsn = atomic_load(&feed->lsn) + 1;
        if (lsn < lowest) lowest = lsn;
    }
    pthread_mutex_unlock(&db->snapshot_mutex);
    return lowest;
}

static void feed_link(struct plinth_feed *feed) {
    pthread_mutex_lock(&feed->db->snapshot_mutex);
    feed->next = feed->db->feeds;
    feed->db->feeds = feed;
    pthread_mutex_unlock(&feed->db->snapshot_mutex);
}

static void feed_unlink(struct plinth_feed *feed) {
    pthread_mutex_lock(&feed->db->snapshot_mutex);
    struct plinth_feed **link = &feed->db->feeds;
    while (*link != feed) link = &(*link)->next;
    *link = feed->next;
    pthread_mutex_unlock(&feed->db->snapshot_mutex);
}

static void release_rows(struct plinth_feed *feed) {
    for (uint64_t i = 0; i < feed->rows_count; i++) {
        struct plinth_feed_rows *rows = &feed->rows[i];
        if (rows->schema->release) rows->schema->release(rows->schema);
        if (rows->array->release) rows->array->release(rows->array);
    }
    feed->rows_count = feed->operation_count = 0;
}

static void drop_part(struct plinth_feed *feed, uint64_t at) {
    buffer_deinit(&feed->parts[at].payload);
    memmove(&feed->parts[at], &feed->parts[at + 1], (--feed->part_count - at) * sizeof *feed->parts);
}

/* ---- opening ---- */

static enum plinth_status find_only(struct plinth_feed *feed, const struct plinth_feed_options *options,
                                    struct plinth_error *error) {
    if (!options->table) return PLINTH_OK;
    struct plinth *db = feed->db;
    struct slice database = slice_of_string(options->database && *options->database ? options->database : "default");
    struct slice name = slice_of_string(*options->table ? options->table : "default");
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *in = catalog_find_database(&db->shard.catalog, CATALOG_TENANT_DEFAULT, database);
    const struct catalog_table *table = in ? catalog_find_table(&db->shard.catalog, in->id, name) : NULL;
    if (table) feed->only = table->id;
    pthread_rwlock_unlock(&db->catalog_lock);
    feed->of_one = true;
    if (table) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "table \"%.*s\" does not exist in database \"%.*s\"",
                     (int)(name.size < 128 ? name.size : 128), name.data,
                     (int)(database.size < 128 ? database.size : 128), database.data);
}

static enum plinth_status find_start(struct plinth_feed *feed, const struct plinth_feed_options *options,
                                     uint64_t *after, struct plinth_error *error) {
    if (options->snapshot_name) {
        struct plinth_read_options read = {.snapshot_name = options->snapshot_name};
        return engine_find_past(feed->db, &read, after, error);
    }
    bool given = options->after.epoch || options->after.lsn; /* LSN 0 of an epoch is before its first record */
    *after = given ? options->after.lsn : engine_visible_lsn(feed->db);
    return given ? engine_check_position(feed->db, options->after, error) : PLINTH_OK;
}

static enum plinth_status too_old(uint64_t after, struct plinth_error *error) {
    return error_set(error, PLINTH_TOO_OLD,
                     "the log does not reach back to position %" PRIu64 " any more: begin with a new snapshot", after);
}

static enum plinth_status start(struct plinth_feed *feed, const struct plinth_feed_options *options,
                                struct plinth_error *error) {
    struct plinth *db = feed->db;
    uint64_t after;
    enum plinth_status st = find_only(feed, options, error);
    if (!st) st = find_start(feed, options, &after, error);
    if (st) return st;
    atomic_store(&feed->lsn, after); /* from here on the log stays */
    pthread_mutex_lock(&db->sequence_mutex);
    bool known = after + 1 >= db->shard.voids_from;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!known) return too_old(after, error);
    if (!buffer_append(&feed->prefix, options->prefix.data, options->prefix.size))
        return error_no_memory(error, "change feed");
    feed->with_previous = options->with_previous;
    feed->limit = after;
    if (feed->with_previous) st = plinth_snapshot_create(db, engine_position(db, after), &feed->snapshot, error);
    if (!st) st = log_read(db->log, after + 1, &feed->reader, error);
    return st == PLINTH_TOO_OLD ? too_old(after, error) : st;
}

enum plinth_status plinth_feed_open(struct plinth *db, const struct plinth_feed_options *options,
                                    struct plinth_feed **feed, struct plinth_error *error) {
    static const struct plinth_feed_options defaults = {0};
    *feed = NULL;
    error_clear(error);
    struct plinth_feed *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "change feed");
    made->db = db;
    arena_init(&made->arena);
    atomic_init(&made->lsn, 0); /* holds all of the log until the place is known */
    feed_link(made);
    enum plinth_status st = start(made, options ? options : &defaults, error);
    if (st)
        plinth_feed_close(made);
    else
        *feed = made;
    return st;
}

void plinth_feed_close(struct plinth_feed *feed) {
    if (!feed) return;
    feed_unlink(feed);
    release_rows(feed);
    log_reader_close(feed->reader);
    plinth_snapshot_destroy(feed->snapshot);
    while (feed->part_count) drop_part(feed, feed->part_count - 1);
    free(feed->parts);
    free(feed->voids);
    free(feed->operations);
    free(feed->rows);
    buffer_deinit(&feed->prefix);
    arena_deinit(&feed->arena);
    free(feed);
}

struct plinth_position plinth_feed_position(const struct plinth_feed *feed) {
    return engine_position(feed->db, atomic_load(&feed->lsn));
}

/* ---- verdicts ---- */

/* Moves the limit to the visible LSN, and fetches the void records up to it. */
static enum plinth_status move_limit(struct plinth_feed *feed, struct plinth_error *error) {
    struct plinth *db = feed->db;
    uint64_t visible = engine_visible_lsn(db);
    if (visible <= feed->limit) return PLINTH_OK;
    bool ok = true;
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t first = shard_voids_below(&db->shard, feed->limit + 1), end = shard_voids_below(&db->shard, visible + 1);
    uint64_t left = feed->void_count - feed->void_at;
    if (end > first) {
        uint64_t *voids = malloc((left + end - first) * sizeof *voids);
        ok = voids != NULL;
        if (ok) {
            if (left) memcpy(voids, feed->voids + feed->void_at, left * sizeof *voids);
            memcpy(voids + left, db->shard.voids + first, (end - first) * sizeof *voids);
            free(feed->voids);
            feed->voids = voids;
            feed->void_at = 0;
            feed->void_count = left + end - first;
        }
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!ok) return error_no_memory(error, "change feed");
    feed->limit = visible;
    return PLINTH_OK;
}

static bool is_void(struct plinth_feed *feed, uint64_t lsn) {
    while (feed->void_at < feed->void_count && feed->voids[feed->void_at] < lsn) feed->void_at++;
    return feed->void_at < feed->void_count && feed->voids[feed->void_at] == lsn;
}

/* ---- keys ---- */

static bool copy_slice(struct plinth_feed *feed, struct slice from, struct plinth_slice *to) {
    const uint8_t *copy = arena_copy(&feed->arena, from);
    *to = plinth_bytes(copy, from.size);
    return copy != NULL;
}

/* The index values of a set, by name; those of indexes that are gone are left out. */
static enum plinth_status copy_indexes(struct plinth_feed *feed, const struct operation *operation,
                                       struct plinth_operation *into, struct plinth_error *error) {
    struct row row = {.key = operation->key, .indexes = operation->indexes};
    struct row_indexes indexes = {0};
    enum plinth_status st = row_indexes_read(&indexes, feed->db, operation->table.table, &row, error);
    struct plinth_index_value *values = NULL;
    if (!st && indexes.count) {
        values = arena_alloc(&feed->arena, indexes.count * sizeof *values);
        bool ok = values != NULL;
        for (size_t i = 0; ok && i < indexes.count; i++)
            ok = copy_slice(feed, slice_in(indexes.values[i].name), &values[i].name) &&
                 copy_slice(feed, slice_in(indexes.values[i].value), &values[i].value);
        if (!ok) st = error_no_memory(error, "change feed");
        into->indexes = values;
        into->index_count = indexes.count;
    }
    row_indexes_deinit(&indexes);
    return st;
}

static enum plinth_status read_previous(struct plinth_feed *feed, struct plinth_feed_operation *fed, uint64_t lsn,
                                        struct plinth_error *error) {
    struct plinth_buffer value = {0};
    struct view *view = view_current(&feed->db->views);
    enum plinth_status st =
        engine_get_at(feed->db, view, lsn - 1, fed->operation.space, fed->operation.key, false, &value, NULL, error);
    view_unref(view);
    fed->existed = !st;
    if (!st && !copy_slice(feed, slice_of(value.data, value.size), &fed->previous))
        st = error_no_memory(error, "change feed");
    plinth_buffer_deinit(&value);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static bool is_wanted(const struct plinth_feed *feed, struct table_id table) {
    return !feed->of_one || table_id_compare(table, feed->only) == 0;
}

static enum plinth_status take_operations(struct plinth_feed *feed, const struct record *record,
                                          struct plinth_error *error) {
    struct condition condition = {.operations = record->payload};
    if (record->header.kind == CHANGE_CONDITIONAL && !condition_decode(record->payload, &condition))
        return error_set(error, PLINTH_CORRUPT, "malformed conditional record %" PRIu64, record->lsn);
    struct operation_reader reader = operation_reader_of(condition.operations);
    struct operation operation;
    enum plinth_status st = PLINTH_OK;
    while (!st && operation_next(&reader, &operation)) {
        if (!is_wanted(feed, operation.table) || !slice_starts_with(operation.key, buffer_slice(&feed->prefix)))
            continue;
        struct plinth_feed_operation fed = {
            .operation = {.kind = operation.kind == OPERATION_SET ? PLINTH_SET : PLINTH_DELETE,
                          .space = {operation.table.tenant, operation.table.database, operation.table.table}}};
        if (!copy_slice(feed, operation.key, &fed.operation.key)) return error_no_memory(error, "change feed");
        if (operation.kind == OPERATION_SET) {
            if (!copy_slice(feed, operation.value, &fed.operation.value)) return error_no_memory(error, "change feed");
            st = copy_indexes(feed, &operation, &fed.operation, error);
        }
        if (!st && feed->with_previous) st = read_previous(feed, &fed, record->lsn, error);
        if (!st && !ARRAY_PUSH(feed->operations, feed->operation_count, fed))
            st = error_no_memory(error, "change feed");
    }
    return st;
}

/* ---- rows ---- */

/* Null when memory is out. */
static const char *copy_database_name(struct plinth_feed *feed, uint32_t id) {
    struct plinth *db = feed->db;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *database = catalog_database_by_id(&db->shard.catalog, id);
    const uint8_t *copy = arena_copy(&feed->arena, slice_of_string(database ? database->name : ""));
    pthread_rwlock_unlock(&db->catalog_lock);
    return (const char *)copy;
}

/* The columns' names and types, and the batch as it was written. */
static enum plinth_status export_rows(struct plinth_feed *feed, const struct rows_record *record,
                                      const struct table_schema *schema, struct plinth_feed_rows *rows,
                                      struct plinth_error *error) {
    uint32_t count = record->batch->column_count;
    struct arrow_field *fields = arena_zalloc(&feed->arena, (count + 1) * sizeof *fields);
    if (!fields) return error_no_memory(error, "change feed");
    for (uint32_t i = 0; i < count; i++) {
        int32_t at = table_schema_find_id(schema, record->column_ids[i]);
        if (at < 0)
            return error_set(error, PLINTH_CORRUPT, "column %u of table \"%s\" is not known", record->column_ids[i],
                             schema->name);
        fields[i] = (struct arrow_field){.name = schema->columns[at].name,
                                         .type = schema->columns[at].type,
                                         .nullable = schema->columns[at].nullable};
    }
    struct arrow_schema exported = {fields, count};
    enum plinth_status st = arrow_export_schema(&exported, rows->schema, error);
    if (!st) st = arrow_export_batch(record->batch, rows->array, error);
    return st;
}

static enum plinth_status take_rows(struct plinth_feed *feed, struct slice payload, struct plinth_error *error) {
    struct rows_record record;
    enum plinth_status st = rows_record_decode(payload, &record, error);
    if (st) return st;
    const struct table_schema *schema = NULL;
    st = engine_schema_by_id(feed->db, record.change.table.table, &schema, error);
    if (st == PLINTH_NOT_FOUND) { /* dropped since: nobody needs its rows */
        rows_record_deinit(&record);
        return PLINTH_OK;
    }
    struct fed_rows *fed = arena_zalloc(&feed->arena, sizeof *fed);
    struct plinth_feed_rows rows = {.deleted = record.change.operation == ROWS_DELETE};
    if (!st && !fed) st = error_no_memory(error, "change feed");
    if (!st) {
        rows.schema = &fed->schema;
        rows.array = &fed->array;
        rows.database = copy_database_name(feed, schema->id.database);
        rows.table = (const char *)arena_copy(&feed->arena, slice_of_string(schema->name));
        if (!rows.database || !rows.table || !ARRAY_PUSH(feed->rows, feed->rows_count, rows))
            st = error_no_memory(error, "change feed");
    }
    if (!st) st = export_rows(feed, &record, schema, &rows, error);
    table_schema_unref(schema);
    rows_record_deinit(&record);
    return st;
}

static enum plinth_status hold_part(struct plinth_feed *feed, uint64_t unit, struct slice payload,
                                    struct plinth_error *error) {
    struct held_part part = {.unit = unit};
    if (buffer_append(&part.payload, payload.data, payload.size) && ARRAY_PUSH(feed->parts, feed->part_count, part))
        return PLINTH_OK;
    buffer_deinit(&part.payload);
    return error_no_memory(error, "change feed");
}

static uint64_t count_parts(const struct plinth_feed *feed, uint64_t unit) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < feed->part_count; i++) count += feed->parts[i].unit == unit;
    return count;
}

static void drop_parts(struct plinth_feed *feed, uint64_t unit) {
    for (uint64_t i = feed->part_count; i > 0; i--)
        if (feed->parts[i - 1].unit == unit) drop_part(feed, i - 1);
}

/* Parts that lie before the place where the feed began are read again, from the log's first record on. */
static enum plinth_status find_parts(struct plinth_feed *feed, const struct record *last, uint64_t unit,
                                     struct plinth_error *error) {
    struct log_stats stats;
    struct log_reader *reader;
    drop_parts(feed, unit);
    log_stats(feed->db->log, &stats);
    enum plinth_status st = log_read(feed->db->log, stats.first_lsn, &reader, error);
    if (st) return st;
    for (bool found = true; !st && found;) {
        struct record record;
        struct rows_change change;
        st = log_next(reader, &record, &found, error);
        if (st || !found || record.lsn >= last->lsn) break;
        if (record.header.kind == CHANGE_ROWS && rows_change_decode(record.payload, &change) && change.in_unit &&
            change.unit == unit)
            st = hold_part(feed, unit, record.payload, error);
    }
    log_reader_close(reader);
    if (!st && count_parts(feed, unit) + 1 != last->header.chunk_count)
        st = error_set(error, PLINTH_TOO_OLD,
                       "the log has only %" PRIu64 " of the %u parts of the write at position %" PRIu64,
                       count_parts(feed, unit) + 1, last->header.chunk_count, last->lsn);
    return st;
}

static enum plinth_status take_rows_record(struct plinth_feed *feed, const struct record *record, bool applied,
                                           struct plinth_error *error) {
    struct rows_change change;
    if (!rows_change_decode(record->payload, &change))
        return applied ? error_set(error, PLINTH_CORRUPT, "malformed rows record %" PRIu64, record->lsn) : PLINTH_OK;
    if (!applied && change.in_unit) drop_parts(feed, change.unit);
    if (!applied || !is_wanted(feed, change.table)) return PLINTH_OK;
    if (change.in_unit && !change.last) return hold_part(feed, change.unit, record->payload, error);
    enum plinth_status st = PLINTH_OK;
    if (change.in_unit && count_parts(feed, change.unit) + 1 != record->header.chunk_count)
        st = find_parts(feed, record, change.unit, error);
    for (uint64_t i = 0; !st && change.in_unit && i < feed->part_count; i++)
        if (feed->parts[i].unit == change.unit) st = take_rows(feed, buffer_slice(&feed->parts[i].payload), error);
    if (change.in_unit) drop_parts(feed, change.unit);
    return st ? st : take_rows(feed, record->payload, error);
}

/* ---- next ---- */

static enum plinth_status take_record(struct plinth_feed *feed, const struct record *record,
                                      struct plinth_error *error) {
    bool applied = !is_void(feed, record->lsn);
    switch ((enum change_kind)record->header.kind) {
    case CHANGE_WRITE:
    case CHANGE_CONDITIONAL: return applied ? take_operations(feed, record, error) : PLINTH_OK;
    case CHANGE_ROWS: return take_rows_record(feed, record, applied, error);
    default: return PLINTH_OK;
    }
}

/* Waits until there is something above the limit; false when there is nothing before `deadline_ns`. */
static enum plinth_status wait_for_more(struct plinth_feed *feed, uint64_t deadline_ns, bool *more,
                                        struct plinth_error *error) {
    struct plinth *db = feed->db;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&db->advance_mutex);
    for (;;) {
        *more = engine_visible_lsn(db) > feed->limit;
        if (*more || env_monotonic_ns(db->env) >= deadline_ns) break;
        st = engine_check(db, error);
        if (st) break;
        condition_wait_us(&db->advanced, &db->advance_mutex, 2000);
    }
    pthread_mutex_unlock(&db->advance_mutex);
    return st;
}

/* The feed's place is behind `lsn` now; where it was, on failure. */
static enum plinth_status done_with(struct plinth_feed *feed, uint64_t lsn, struct plinth_error *error) {
    struct plinth_snapshot *moved = NULL;
    enum plinth_status st = PLINTH_OK;
    if (feed->with_previous) st = plinth_snapshot_create(feed->db, engine_position(feed->db, lsn), &moved, error);
    if (st) return st;
    plinth_snapshot_destroy(feed->snapshot);
    feed->snapshot = moved;
    atomic_store(&feed->lsn, lsn);
    return PLINTH_OK;
}

/* The next record below the limit, into the change; *taken is false when there is none now. After a failure it is read
 * again. */
static enum plinth_status advance(struct plinth_feed *feed, struct plinth_change *change, bool *taken,
                                  struct plinth_error *error) {
    struct record record;
    *taken = false;
    enum plinth_status st = move_limit(feed, error);
    if (st || atomic_load(&feed->lsn) >= feed->limit) return st;
    if (!feed->reader) st = log_read(feed->db->log, atomic_load(&feed->lsn) + 1, &feed->reader, error);
    if (!st) st = log_next(feed->reader, &record, taken, error);
    if (st == PLINTH_TOO_OLD) st = too_old(atomic_load(&feed->lsn), error);
    if (!st && !*taken) return PLINTH_OK;
    if (!st) st = take_record(feed, &record, error);
    if (!st) st = done_with(feed, record.lsn, error);
    if (st) {
        log_reader_close(feed->reader);
        feed->reader = NULL;
        return st;
    }
    *change = (struct plinth_change){.position = engine_position(feed->db, record.lsn),
                                     .time_us = record.header.time_us,
                                     .operations = feed->operations,
                                     .operation_count = feed->operation_count,
                                     .rows = feed->rows,
                                     .rows_count = feed->rows_count};
    return PLINTH_OK;
}

enum plinth_status plinth_feed_next(struct plinth_feed *feed, uint32_t wait_ms, struct plinth_change *change,
                                    bool *found, struct plinth_error *error) {
    uint64_t deadline_ns = env_monotonic_ns(feed->db->env) + (uint64_t)wait_ms * 1000000;
    *found = false;
    *change = (struct plinth_change){0};
    error_clear(error);
    for (;;) {
        bool taken, more;
        release_rows(feed);
        arena_reset(&feed->arena);
        enum plinth_status st = advance(feed, change, &taken, error);
        *found = !st && taken && (change->operation_count || change->rows_count);
        if (st || *found) return st;
        if (taken) continue;
        st = wait_for_more(feed, deadline_ns, &more, error);
        if (st || !more) return st;
    }
}
