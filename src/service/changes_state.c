#include "service/changes_state.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/rows.h"
#include "query/query.h"

enum { ITEM_KEYS = 256, ITEM_BYTES = 128 << 10 }; /* of a key space in one item */

struct changes_state {
    struct plinth *db;
    struct plinth_snapshot *snapshot;
    const struct feed_options *options;
    pthread_mutex_t *guard; /* of `query` */
    struct arena names;
    struct feed_table *tables;
    uint64_t table_count, next_table;
    bool out_of_memory;
    /* The table that is being read: */
    const char *database, *name;
    struct plinth_space space;
    struct plinth_scan *scan;
    const struct table_schema *schema;
    struct query *query;
    struct batch *batch;
    struct feed_rows rows;
    struct plinth_feed_operation *operations;
    uint64_t operation_count;
    struct arena arena; /* of the item */
};

static enum plinth_status no_memory(struct plinth_error *error) { return error_no_memory(error, "change feed"); }

/* ---- which tables ---- */

static void add_table(struct changes_state *state, struct slice database, struct slice name) {
    struct feed_table table = {slice_of(arena_copy(&state->names, database), database.size),
                               slice_of(arena_copy(&state->names, name), name.size)};
    if (!table.database.data || !table.name.data || !ARRAY_PUSH(state->tables, state->table_count, table))
        state->out_of_memory = true;
}

static void visit_table(void *context, const char *database, const char *name, bool is_space, uint32_t id) {
    (void)is_space, (void)id;
    add_table(context, slice_of_string(database), slice_of_string(name));
}

static enum plinth_status list_tables(struct changes_state *state, struct plinth_error *error) {
    const struct slice otherwise = slice_of_string("default");
    const struct feed_options *options = state->options;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < options->table_count; i++) {
        const struct feed_table *table = &options->tables[i];
        add_table(state, table->database.size ? table->database : otherwise,
                  table->name.size ? table->name : otherwise);
    }
    if (!options->table_count) st = plinth_table_list(state->db, visit_table, state, error);
    return !st && state->out_of_memory ? no_memory(error) : st;
}

enum plinth_status changes_state_open(struct plinth *db, struct plinth_snapshot *snapshot,
                                      const struct feed_options *options, pthread_mutex_t *guard,
                                      struct changes_state **state, struct plinth_error *error) {
    *state = NULL;
    struct changes_state *made = calloc(1, sizeof *made);
    if (!made) {
        plinth_snapshot_destroy(snapshot);
        return no_memory(error);
    }
    made->db = db;
    made->snapshot = snapshot;
    made->options = options;
    made->guard = guard;
    arena_init(&made->names);
    arena_init(&made->arena);
    enum plinth_status st = list_tables(made, error);
    if (st)
        changes_state_close(made);
    else
        *state = made;
    return st;
}

static void set_query(struct changes_state *state, struct query *query) {
    pthread_mutex_lock(state->guard);
    state->query = query;
    pthread_mutex_unlock(state->guard);
}

void changes_state_interrupt(struct changes_state *state) {
    if (state->query) query_cancel(state->query);
}

/* ---- a table ---- */

static void leave_table(struct changes_state *state) {
    struct query *query = state->query;
    set_query(state, NULL);
    batch_unref(state->batch);
    state->batch = NULL;
    query_close(query);
    plinth_scan_close(state->scan);
    state->scan = NULL;
    table_schema_unref(state->schema);
    state->schema = NULL;
}

void changes_state_close(struct changes_state *state) {
    if (!state) return;
    leave_table(state);
    plinth_snapshot_destroy(state->snapshot);
    free(state->operations);
    free(state->tables);
    arena_deinit(&state->names);
    arena_deinit(&state->arena);
    free(state);
}

static enum plinth_status open_space(struct changes_state *state, struct plinth_error *error) {
    struct plinth_scan_options options = {
        .prefix = slice_out(state->options->prefix), .with_indexes = true, .read = {.snapshot = state->snapshot}};
    if (state->options->predicate)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "initial_state: a predicate cannot be asked of the keys of \"%s\"; read them with a snapshot",
                         state->name);
    state->space = (struct plinth_space){state->schema->id.tenant, state->schema->id.database, state->schema->id.table};
    return plinth_scan_open(state->db, state->space, &options, &state->scan, error);
}

static enum plinth_status open_rows(struct changes_state *state, struct plinth_error *error) {
    const struct query_options options = {
        .predicate = state->options->predicate, .read = {.snapshot = state->snapshot}, .threads = 1};
    struct query *query = NULL;
    enum plinth_status st = query_open(state->db, state->schema, &options, &query, error);
    set_query(state, query);
    return st;
}

/* Tables that were dropped since the list was made have nothing to say. */
static enum plinth_status enter_table(struct changes_state *state, struct plinth_error *error) {
    const struct feed_table *table = &state->tables[state->next_table++];
    state->database = (const char *)table->database.data;
    state->name = (const char *)table->name.data;
    enum plinth_status st = engine_find_schema(state->db, state->database, state->name, &state->schema, error);
    if (!st) st = state->schema->kind == TABLE_SPACE ? open_space(state, error) : open_rows(state, error);
    return st == PLINTH_NOT_FOUND && !state->options->table_count ? PLINTH_OK : st;
}

/* ---- items ---- */

static bool copy(struct changes_state *state, struct plinth_slice *slice) {
    const uint8_t *made = arena_copy(&state->arena, slice_in(*slice));
    *slice = plinth_bytes(made, slice->size);
    return made != NULL;
}

static bool add_key(struct changes_state *state, const struct plinth_row *row) {
    struct plinth_feed_operation fed = {
        .operation = {.kind = PLINTH_SET, .space = state->space, .key = row->key, .value = row->value},
        .database = state->database,
        .table = state->name};
    struct plinth_index_value *indexes = arena_alloc(&state->arena, (row->index_count + 1) * sizeof *indexes);
    bool ok = indexes && copy(state, &fed.operation.key) && copy(state, &fed.operation.value);
    for (size_t i = 0; ok && i < row->index_count; i++) {
        indexes[i] = row->indexes[i];
        ok = copy(state, &indexes[i].name) && copy(state, &indexes[i].value);
    }
    fed.operation.indexes = indexes;
    fed.operation.index_count = row->index_count;
    return ok && ARRAY_PUSH(state->operations, state->operation_count, fed);
}

static enum plinth_status next_keys(struct changes_state *state, struct feed_item *item, struct plinth_error *error) {
    size_t bytes = 0;
    bool more = true;
    enum plinth_status st = PLINTH_OK;
    state->operation_count = 0;
    while (!st && more && state->operation_count < ITEM_KEYS && bytes < ITEM_BYTES) {
        struct plinth_row row;
        st = plinth_scan_next(state->scan, &row, &more, error);
        if (st || !more) break;
        bytes += row.key.size + row.value.size;
        if (!add_key(state, &row)) st = no_memory(error);
    }
    item->operations = state->operations;
    item->operation_count = state->operation_count;
    if (!more) leave_table(state);
    return st;
}

static enum plinth_status next_rows(struct changes_state *state, struct feed_item *item, struct plinth_error *error) {
    batch_unref(state->batch);
    state->batch = NULL;
    enum plinth_status st = query_next(state->query, &state->batch, error);
    if (st || !state->batch) {
        leave_table(state);
        return st;
    }
    state->rows = (struct feed_rows){.database = state->database,
                                     .table = state->name,
                                     .schema = *query_schema(state->query),
                                     .batch = state->batch};
    item->rows = &state->rows;
    return PLINTH_OK;
}

enum plinth_status changes_state_next(struct changes_state *state, struct feed_item *item, bool *found,
                                      struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *item = (struct feed_item){.last = true};
    *found = false;
    arena_reset(&state->arena);
    while (!st && !*found && (state->scan || state->query || state->next_table < state->table_count)) {
        if (state->scan)
            st = next_keys(state, item, error);
        else if (state->query)
            st = next_rows(state, item, error);
        else
            st = enter_table(state, error);
        *found = !st && (item->rows || item->operation_count);
    }
    return st;
}
