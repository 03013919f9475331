/* Key spaces and their indexes: look-ups in the catalog, and how they are made. */
#include "base/status.h"
#include "engine/table_ddl.h"
#include "engine/write.h"

static struct slice name_or_default(const char *name) { return slice_of_string(name && *name ? name : "default"); }

/* 0 when there is no such database. */
static uint32_t find_database(struct plinth *db, struct slice name) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *database = catalog_find_database(&db->shard.catalog, CATALOG_TENANT_DEFAULT, name);
    uint32_t id = database ? database->id : 0;
    pthread_rwlock_unlock(&db->catalog_lock);
    return id;
}

static bool find_space(struct plinth *db, uint32_t database, struct slice name, struct plinth_space *space) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_find_space(&db->shard.catalog, database, name);
    if (table) *space = (struct plinth_space){table->id.tenant, table->id.database, table->id.table};
    pthread_rwlock_unlock(&db->catalog_lock);
    return table != NULL;
}

enum plinth_status plinth_space_find(struct plinth *db, const char *database, const char *name,
                                     struct plinth_space *space, struct plinth_error *error) {
    *space = (struct plinth_space){0};
    error_clear(error);
    struct slice database_name = name_or_default(database), space_name = name_or_default(name);
    uint32_t id = find_database(db, database_name);
    if (!id)
        return error_set(error, PLINTH_NOT_FOUND, "database \"%.*s\" does not exist",
                         (int)(database_name.size < 128 ? database_name.size : 128), database_name.data);
    if (find_space(db, id, space_name, space)) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "key space \"%.*s\" does not exist in database \"%.*s\"",
                     (int)(space_name.size < 128 ? space_name.size : 128), space_name.data, (int)database_name.size,
                     database_name.data);
}

enum plinth_status plinth_space_create(struct plinth *db, const char *database, const char *name,
                                       struct plinth_space *space, struct plinth_error *error) {
    *space = (struct plinth_space){0};
    error_clear(error);
    struct slice database_name = name_or_default(database), space_name = name_or_default(name);
    enum plinth_status st = catalog_check_name("database", database_name, error);
    if (!st) st = catalog_check_name("key space", space_name, error);
    if (st) return st;
    uint64_t lsn = 0;
    uint32_t id;
    st = engine_ensure_database(db, database_name, &id, error);
    if (st) return st;
    do {
        struct catalog_change change = {
            .kind = CATALOG_CREATE_SPACE, .tenant = CATALOG_TENANT_DEFAULT, .database = id, .name = space_name};
        st = engine_change_catalog(db, &change, &lsn, error);
    } while (st == PLINTH_CONFLICT);
    if (!st) st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (st) return st;
    error_clear(error);
    find_space(db, id, space_name, space);
    return PLINTH_OK;
}

enum plinth_status plinth_space_list(struct plinth *db, plinth_space_visitor *visit, void *context,
                                     struct plinth_error *error) {
    error_clear(error);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    /* Few and rarely asked for: pick the next one by (database, name) each time. */
    const char *last_database = "", *last_name = "";
    for (;;) {
        const struct catalog_table *next = NULL;
        const char *next_database = NULL;
        for (uint32_t i = 0; i < catalog->table_count; i++) {
            const struct catalog_table *table = &catalog->tables[i];
            if (table->kind != CATALOG_SPACE) continue;
            const char *database = catalog_database_by_id(catalog, table->id.database)->name;
            int behind = strcmp(database, last_database);
            if (behind < 0 || (behind == 0 && strcmp(table->name, last_name) <= 0)) continue;
            int before = next ? strcmp(database, next_database) : -1;
            if (before < 0 || (before == 0 && strcmp(table->name, next->name) < 0)) {
                next = table;
                next_database = database;
            }
        }
        if (!next) break;
        visit(context, next_database, next->name,
              (struct plinth_space){next->id.tenant, next->id.database, next->id.table});
        last_database = next_database;
        last_name = next->name;
    }
    pthread_rwlock_unlock(&db->catalog_lock);
    return PLINTH_OK;
}

enum plinth_status plinth_index_list(struct plinth *db, struct plinth_space space, plinth_index_visitor *visit,
                                     void *context, struct plinth_error *error) {
    error_clear(error);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_table *of = catalog_table_by_id(catalog, space.table);
    bool exists = of && of->kind == CATALOG_SPACE;
    for (uint32_t i = 0; exists && i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->kind == CATALOG_INDEX && table->space == space.table) visit(context, table->name);
    }
    pthread_rwlock_unlock(&db->catalog_lock);
    return exists ? PLINTH_OK : error_set(error, PLINTH_NOT_FOUND, "no key space with id %u", space.table);
}

static void copy_name(char to[PLINTH_NAME_BYTES_MAX + 1], const char *name) {
    size_t size = strlen(name);
    if (size > PLINTH_NAME_BYTES_MAX) size = PLINTH_NAME_BYTES_MAX;
    memcpy(to, name, size);
    to[size] = '\0';
}

enum plinth_status plinth_names_find(struct plinth *db, struct plinth_space space, struct plinth_names *names,
                                     struct plinth_error *error) {
    error_clear(error);
    *names = (struct plinth_names){0};
    pthread_rwlock_rdlock(&db->catalog_lock);
    bool found = engine_names_of(&db->shard.catalog, table_in(space), names);
    pthread_rwlock_unlock(&db->catalog_lock);
    return found ? PLINTH_OK : error_set(error, PLINTH_NOT_FOUND, "there is no table with id %u", space.table);
}

bool engine_names_of(const struct catalog *catalog, struct table_id id, struct plinth_names *names) {
    const struct catalog_table *found = catalog_table_by_id(catalog, id.table);
    const struct catalog_table *of =
        found && found->kind == CATALOG_INDEX ? catalog_table_by_id(catalog, found->space) : found;
    const struct catalog_database *database = of ? catalog_database_by_id(catalog, of->id.database) : NULL;
    if (!database || table_id_compare(found->id, id) != 0) return false;
    copy_name(names->database, database->name);
    copy_name(names->table, of->name);
    if (found != of) copy_name(names->index, found->name);
    if (of->schema) names->partition_us = of->schema->partition_us;
    return true;
}

enum plinth_status engine_ensure_index(struct plinth *db, struct table_id space, struct slice name,
                                       uint32_t *index_table, struct plinth_error *error) {
    for (;;) {
        pthread_rwlock_rdlock(&db->catalog_lock);
        const struct catalog_table *index = catalog_find_index(&db->shard.catalog, space.table, name);
        *index_table = index ? index->id.table : 0;
        pthread_rwlock_unlock(&db->catalog_lock);
        if (*index_table) return PLINTH_OK;
        struct catalog_change change = {.kind = CATALOG_CREATE_INDEX,
                                        .tenant = space.tenant,
                                        .database = space.database,
                                        .space = space.table,
                                        .name = name};
        uint64_t lsn;
        enum plinth_status st = engine_change_catalog(db, &change, &lsn, error);
        if (st && st != PLINTH_CONFLICT && st != PLINTH_ALREADY_EXISTS) return st;
    }
}
