/* Changes of the catalog as log records: numbered, checked and appended under the sequencing lock. */
#include "engine/table_ddl.h"

#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/value_store.h"
#include "engine/write.h"

/* ---- one change ---- */

/* Blocks of a memtable are of one version of their table, so that they can be merged by their columns alone; and what
 * is older than an index lies in memtables of its own. */
static enum plinth_status cut_before(struct plinth *db, const struct catalog_change *change,
                                     struct plinth_error *error) {
    uint64_t cut;
    if (change->kind != CATALOG_ALTER_TABLE && change->kind != CATALOG_BUILD_INDEX) return PLINTH_OK;
    enum plinth_status st = engine_cut_locked(db, &cut, error);
    if (!st) engine_want_flush(db);
    return st;
}

/* What a drop leaves to be deleted. */
struct dropped_files {
    struct shard_garbage *files;
    uint64_t count;
    uint64_t view_sequence; /* the first view without them */
};

/* Appends a change that drops, publishes a view without what it dropped, and copies the names of its files: the shard
 * has declared them garbage at this LSN. */
static enum plinth_status append_drop(struct plinth *db, const struct record_header *header, struct slice payload,
                                      uint64_t *lsn, struct decision *decision, struct dropped_files *dropped,
                                      struct plinth_error *error) {
    struct view *view = view_edit(&db->views);
    if (!view) return error_no_memory(error, "view");
    enum plinth_status st = engine_append_locked(db, header, payload, NULL, 0, lsn, decision, error);
    if (st || decision->verdict != VERDICT_APPLIED) {
        view_discard(view);
        return st;
    }
    for (size_t t = view->table_count; t > 0; t--)
        if (!catalog_table_by_id(&db->shard.catalog, view->tables[t - 1].id.table))
            view_drop_table(view, view->tables[t - 1].id);
    dropped->view_sequence = view_publish(&db->views, view);
    values_note_view(db, *lsn, dropped->view_sequence);
    for (uint64_t i = 0; i < db->shard.garbage_count; i++)
        if (db->shard.garbage[i].since_lsn == *lsn) /* Without memory the file stays until the next open. */
            (void)ARRAY_PUSH(dropped->files, dropped->count, db->shard.garbage[i]);
    return PLINTH_OK;
}

/* Files may go only when the log cannot forget that they were dropped. */
static enum plinth_status note_dropped(struct plinth *db, uint64_t lsn, const struct dropped_files *dropped,
                                       struct plinth_error *error) {
    enum plinth_status st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (st) return st;
    for (uint64_t i = 0; i < dropped->count; i++)
        engine_note_garbage(db, dropped->files[i].name, dropped->view_sequence);
    engine_want_compaction(db); /* whose thread collects garbage */
    return PLINTH_OK;
}

enum plinth_status engine_change_catalog(struct plinth *db, struct catalog_change *change, uint64_t *lsn,
                                         struct plinth_error *error) {
    *lsn = 0;
    struct buffer payload = BUFFER_INIT;
    struct record_header header = {.kind = CHANGE_CATALOG, .durability = RECORD_SYNCED};
    struct decision decision = {VERDICT_APPLIED, 0};
    struct dropped_files dropped = {0};
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = change->kind == CATALOG_ALTER_TABLE ? write_wait_for_memory(db, false, error) : PLINTH_OK;
    change->version = db->shard.catalog.version + 1;
    if (!st) st = catalog_check(&db->shard.catalog, change, error);
    if (!st && !catalog_change_encode(&payload, change)) st = error_no_memory(error, "catalog change");
    if (!st && payload.size > PLINTH_RECORD_BYTES_MAX)
        st = error_set(error, PLINTH_TOO_LARGE, "the change of the catalog takes %zu bytes; at most %d are allowed",
                       payload.size, PLINTH_RECORD_BYTES_MAX);
    if (!st) st = engine_raise_feature_level(db, catalog_change_level(change), error);
    if (!st && catalog_change_expires(change)) atomic_store(&db->may_expire, true); /* before a reader sees it */
    if (!st) st = cut_before(db, change, error);
    if (!st && catalog_change_drops(change->kind))
        st = append_drop(db, &header, buffer_slice(&payload), lsn, &decision, &dropped, error);
    else if (!st)
        st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, lsn, &decision, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    buffer_deinit(&payload);
    if (!st) engine_sequenced(db, *lsn);
    if (!st && decision.verdict != VERDICT_APPLIED)
        st = error_set(error, PLINTH_CONFLICT, "the catalog has changed meanwhile");
    if (!st && catalog_change_drops(change->kind)) st = note_dropped(db, *lsn, &dropped, error);
    free(dropped.files);
    return st;
}

/* ---- look-ups ---- */

static struct slice name_or_default(const char *name) { return slice_of_string(name && *name ? name : "default"); }

enum plinth_status engine_find_schema(struct plinth *db, const char *database, const char *name,
                                      const struct table_schema **schema, struct plinth_error *error) {
    *schema = NULL;
    struct slice database_name = name_or_default(database), table_name = name_or_default(name);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_database *in = catalog_find_database(catalog, CATALOG_TENANT_DEFAULT, database_name);
    const struct catalog_table *table = in ? catalog_find_table(catalog, in->id, table_name) : NULL;
    if (table) *schema = table_schema_ref(table->schema);
    pthread_rwlock_unlock(&db->catalog_lock);
    if (*schema) return PLINTH_OK;
    int database_size = (int)(database_name.size < 128 ? database_name.size : 128);
    if (!in)
        return error_set(error, PLINTH_NOT_FOUND, "database \"%.*s\" does not exist", database_size,
                         database_name.data);
    return error_set(error, PLINTH_NOT_FOUND, "table \"%.*s\" does not exist in database \"%.*s\"",
                     (int)(table_name.size < 128 ? table_name.size : 128), table_name.data, database_size,
                     database_name.data);
}

enum plinth_status engine_schema_by_id(struct plinth *db, uint32_t id, const struct table_schema **schema,
                                       struct plinth_error *error) {
    *schema = NULL;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, id);
    if (table && table->schema) *schema = table_schema_ref(table->schema);
    pthread_rwlock_unlock(&db->catalog_lock);
    return *schema ? PLINTH_OK : error_set(error, PLINTH_NOT_FOUND, "no table with id %u", id);
}

enum plinth_status engine_schema_at(struct plinth *db, struct table_id id, uint64_t lsn,
                                    const struct table_schema **schema, struct plinth_error *error) {
    *schema = NULL;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, id.table);
    bool exists = table && table->schema && table_id_compare(table->id, id) == 0;
    if (exists) *schema = catalog_schema_at(table, lsn);
    pthread_rwlock_unlock(&db->catalog_lock);
    if (*schema) return PLINTH_OK;
    return exists ? error_no_memory(error, "schema")
                  : error_set(error, PLINTH_NOT_FOUND, "no table with id %u", id.table);
}

const struct table_schema *engine_schema_stored(struct plinth *db, struct table_id id, uint64_t horizon_lsn,
                                                bool *exists) {
    const struct table_schema *schema = NULL;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, id.table);
    *exists = table && table->kind == CATALOG_ROWS && table_id_compare(table->id, id) == 0;
    if (*exists) schema = catalog_schema_stored(table, horizon_lsn);
    pthread_rwlock_unlock(&db->catalog_lock);
    return schema;
}

enum plinth_status engine_find_schema_read(struct plinth *db, const char *database, const char *name,
                                           const struct plinth_read_options *read, const struct table_schema **schema,
                                           struct plinth_error *error) {
    uint64_t lsn = 0;
    const struct table_schema *present;
    enum plinth_status st = engine_find_schema(db, database, name, schema, error);
    if (st || !read) return st;
    if (read->snapshot)
        lsn = plinth_snapshot_position(read->snapshot).lsn;
    else if (read->as_of.lsn)
        lsn = read->as_of.lsn;
    else if (read->snapshot_name || read->as_of_time_us)
        st = engine_find_past(db, read, &lsn, error);
    if (!st && !lsn) return PLINTH_OK;
    present = *schema;
    *schema = NULL;
    if (!st) st = engine_schema_at(db, present->id, lsn, schema, error);
    table_schema_unref(present);
    return st;
}

bool engine_table_exists(struct plinth *db, struct table_id table) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    bool exists = catalog_table_by_id(&db->shard.catalog, table.table) != NULL;
    pthread_rwlock_unlock(&db->catalog_lock);
    return exists;
}

/* ---- columns ---- */

enum plinth_status engine_add_columns(struct plinth *db, uint32_t table, const struct catalog_column *columns,
                                      uint32_t count, struct plinth_error *error) {
    struct catalog_column *missing = malloc((count + 1) * sizeof *missing);
    if (!missing) return error_no_memory(error, "columns");
    enum plinth_status st = PLINTH_ALREADY_EXISTS;
    while (st == PLINTH_ALREADY_EXISTS) { /* another writer's columns came between look-up and change */
        const struct table_schema *schema;
        uint32_t missing_count = 0;
        st = engine_schema_by_id(db, table, &schema, error);
        if (st) break;
        for (uint32_t i = 0; i < count; i++) {
            int32_t at = table_schema_find(schema, columns[i].name);
            if (at < 0 || !column_type_equal(schema->columns[at].type, columns[i].type))
                missing[missing_count++] = columns[i];
        }
        struct catalog_change change = {.kind = CATALOG_ADD_COLUMNS,
                                        .tenant = schema->id.tenant,
                                        .database = schema->id.database,
                                        .space = table,
                                        .columns = missing,
                                        .column_count = missing_count};
        table_schema_unref(schema);
        uint64_t lsn;
        if (missing_count) st = engine_change_catalog(db, &change, &lsn, error);
    }
    if (!st) error_clear(error);
    free(missing);
    return st;
}

/* ---- indexes left behind ---- */

/* One index in state BUILDING that no build goes on with, as versions before left them, or DROPPING; false when there
 * is none. */
static bool find_unbuilt(struct plinth *db, struct catalog_change *drop, struct buffer *name) {
    bool found = false;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    for (uint32_t t = 0; !found && t < catalog->table_count; t++) {
        const struct table_schema *schema = catalog->tables[t].schema;
        for (uint32_t i = 0; schema && !found && i < schema->index_count; i++) {
            const struct table_index *index = &schema->indexes[i];
            if (index->state == INDEX_READY || index_builds_find(&db->shard.index_builds, index->id.table)) continue;
            *drop = (struct catalog_change){.kind = CATALOG_DROP_INDEX,
                                            .tenant = index->id.tenant,
                                            .database = index->id.database,
                                            .space = index->id.table};
            buffer_clear(name);
            found = buffer_append(name, index->name, strlen(index->name) + 1);
        }
    }
    pthread_rwlock_unlock(&db->catalog_lock);
    return found;
}

enum plinth_status engine_drop_unbuilt_indexes(struct plinth *db, struct plinth_error *error) {
    struct catalog_change drop;
    struct buffer name = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    while (!st && find_unbuilt(db, &drop, &name)) {
        uint64_t lsn;
        st = engine_change_catalog(db, &drop, &lsn, error);
        if (!st) log_event(LOG_WARN, "unbuilt_index_dropped", "index=\"%s\" table=%u", (char *)name.data, drop.space);
    }
    buffer_deinit(&name);
    return st;
}
