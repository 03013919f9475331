#include "catalog/catalog.h"

#include <stdlib.h>

#include "base/status.h"

static char *copy_name(struct slice name) {
    char *copy = malloc(name.size + 1);
    if (!copy) return NULL;
    if (name.size) memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    return copy;
}

/* Room for one more element of `size` bytes; the array doubles. */
static bool grow(void **array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return true;
    uint32_t larger = *capacity ? *capacity * 2 : 8;
    void *moved = realloc(*array, larger * size);
    if (!moved) return false;
    *array = moved;
    *capacity = larger;
    return true;
}

static bool add_database(struct catalog *catalog, uint32_t tenant, uint32_t id, struct slice name) {
    if (!grow((void **)&catalog->databases, catalog->database_count, &catalog->database_capacity,
              sizeof *catalog->databases))
        return false;
    char *copy = copy_name(name);
    if (!copy) return false;
    catalog->databases[catalog->database_count++] = (struct catalog_database){tenant, id, copy};
    return true;
}

static struct catalog_table *table_by_id(const struct catalog *catalog, uint32_t table) {
    uint32_t low = 0, high = catalog->table_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (catalog->tables[middle].id.table < table)
            low = middle + 1;
        else
            high = middle;
    }
    return low < catalog->table_count && catalog->tables[low].id.table == table ? &catalog->tables[low] : NULL;
}

/* Adds a table; an index is linked in front of its space's list. */
static bool add_table(struct catalog *catalog, struct catalog_table table, struct slice name) {
    if (!grow((void **)&catalog->tables, catalog->table_count, &catalog->table_capacity, sizeof *catalog->tables))
        return false;
    table.name = copy_name(name);
    if (!table.name) return false;
    table.next_index = 0;
    if (table.kind == CATALOG_INDEX) {
        struct catalog_table *space = table_by_id(catalog, table.space);
        table.next_index = space->next_index;
        space->next_index = catalog->table_count + 1;
    }
    catalog->tables[catalog->table_count++] = table;
    return true;
}

enum plinth_status catalog_init(struct catalog *catalog, struct plinth_error *error) {
    *catalog = (struct catalog){.version = 1, .next_id = 3};
    struct slice name = slice_of_string("default");
    struct catalog_table space = {.id = {CATALOG_TENANT_DEFAULT, 1, 2}, .kind = CATALOG_SPACE, .version = 1};
    if (add_database(catalog, CATALOG_TENANT_DEFAULT, 1, name) && add_table(catalog, space, name)) return PLINTH_OK;
    catalog_deinit(catalog);
    return error_no_memory(error, "catalog");
}

void catalog_deinit(struct catalog *catalog) {
    for (uint32_t i = 0; i < catalog->database_count; i++) free(catalog->databases[i].name);
    for (uint32_t i = 0; i < catalog->table_count; i++) free(catalog->tables[i].name);
    free(catalog->databases);
    free(catalog->tables);
    *catalog = (struct catalog){0};
}

enum plinth_status catalog_check_name(const char *what, struct slice name, struct plinth_error *error) {
    if (name.size == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "%s name is empty", what);
    if (name.size > CATALOG_NAME_BYTES_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s name has %zu bytes; at most %d are allowed", what,
                         name.size, CATALOG_NAME_BYTES_MAX);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
            c == '-')
            continue;
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "%s name has byte 0x%02x at offset %zu; letters, digits, '_', '.' and '-' are allowed", what,
                         c, i);
    }
    return PLINTH_OK;
}

static bool name_is(const char *name, struct slice wanted) {
    return strlen(name) == wanted.size && memcmp(name, wanted.data, wanted.size) == 0;
}

const struct catalog_database *catalog_find_database(const struct catalog *catalog, uint32_t tenant,
                                                     struct slice name) {
    for (uint32_t i = 0; i < catalog->database_count; i++) {
        const struct catalog_database *database = &catalog->databases[i];
        if (database->tenant == tenant && name_is(database->name, name)) return database;
    }
    return NULL;
}

const struct catalog_database *catalog_database_by_id(const struct catalog *catalog, uint32_t id) {
    for (uint32_t i = 0; i < catalog->database_count; i++)
        if (catalog->databases[i].id == id) return &catalog->databases[i];
    return NULL;
}

const struct catalog_table *catalog_find_space(const struct catalog *catalog, uint32_t database, struct slice name) {
    for (uint32_t i = 0; i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->kind == CATALOG_SPACE && table->id.database == database && name_is(table->name, name)) return table;
    }
    return NULL;
}

const struct catalog_table *catalog_find_index(const struct catalog *catalog, uint32_t space, struct slice name) {
    const struct catalog_table *table = table_by_id(catalog, space);
    for (uint32_t at = table ? table->next_index : 0; at; at = catalog->tables[at - 1].next_index)
        if (name_is(catalog->tables[at - 1].name, name)) return &catalog->tables[at - 1];
    return NULL;
}

const struct catalog_table *catalog_table_by_id(const struct catalog *catalog, uint32_t table) {
    return table_by_id(catalog, table);
}

static enum plinth_status exists(struct plinth_error *error, const char *what, struct slice name) {
    return error_set(error, PLINTH_ALREADY_EXISTS, "%s \"%.*s\" exists already", what, (int)name.size, name.data);
}

enum plinth_status catalog_check(const struct catalog *catalog, const struct catalog_change *change,
                                 struct plinth_error *error) {
    static const char *const kinds[] = {"", "database", "key space", "index"};
    if (change->kind < CATALOG_CREATE_DATABASE || change->kind > CATALOG_CREATE_INDEX)
        return error_set(error, PLINTH_UNSUPPORTED, "catalog change of kind %d", (int)change->kind);
    enum plinth_status st = catalog_check_name(kinds[change->kind], change->name, error);
    if (st) return st;
    if (change->kind == CATALOG_CREATE_DATABASE) {
        if (catalog_find_database(catalog, change->tenant, change->name))
            return exists(error, "database", change->name);
    } else {
        const struct catalog_database *database = catalog_database_by_id(catalog, change->database);
        if (!database || database->tenant != change->tenant)
            return error_set(error, PLINTH_NOT_FOUND, "no database with id %u", change->database);
        if (change->kind == CATALOG_CREATE_SPACE) {
            if (catalog_find_space(catalog, change->database, change->name))
                return exists(error, "key space", change->name);
        } else {
            const struct catalog_table *space = table_by_id(catalog, change->space);
            if (!space || space->kind != CATALOG_SPACE || space->id.database != change->database)
                return error_set(error, PLINTH_NOT_FOUND, "no key space with id %u", change->space);
            if (catalog_find_index(catalog, change->space, change->name)) return exists(error, "index", change->name);
        }
    }
    if (catalog->table_count >= CATALOG_TABLES_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "the catalog has its %d tables and indexes",
                         CATALOG_TABLES_MAX);
    if (change->version != catalog->version + 1)
        return error_set(error, PLINTH_CONFLICT, "catalog change %llu came behind version %llu",
                         (unsigned long long)change->version, (unsigned long long)catalog->version);
    return PLINTH_OK;
}

enum plinth_status catalog_apply(struct catalog *catalog, const struct catalog_change *change,
                                 struct plinth_error *error) {
    enum plinth_status st = catalog_check(catalog, change, error);
    if (st) return st;
    uint32_t id = catalog->next_id;
    struct catalog_table table = {.id = {change->tenant, change->database, id},
                                  .kind = change->kind == CATALOG_CREATE_SPACE ? CATALOG_SPACE : CATALOG_INDEX,
                                  .space = change->kind == CATALOG_CREATE_INDEX ? change->space : 0,
                                  .version = change->version};
    bool added = change->kind == CATALOG_CREATE_DATABASE ? add_database(catalog, change->tenant, id, change->name)
                                                         : add_table(catalog, table, change->name);
    if (!added) return error_no_memory(error, "catalog");
    catalog->next_id = id + 1;
    catalog->version = change->version;
    return PLINTH_OK;
}

bool catalog_change_encode(struct buffer *into, const struct catalog_change *change) {
    return buffer_append_varint(into, change->version) && buffer_append_u8(into, (uint8_t)change->kind) &&
           buffer_append_varint(into, change->tenant) && buffer_append_varint(into, change->database) &&
           buffer_append_varint(into, change->space) && buffer_append_string(into, change->name);
}

bool catalog_change_decode(struct reader *from, struct catalog_change *change) {
    change->version = reader_varint(from);
    change->kind = (enum catalog_change_kind)reader_u8(from);
    change->tenant = reader_varint32(from);
    change->database = reader_varint32(from);
    change->space = reader_varint32(from);
    change->name = reader_string(from);
    return !from->failed;
}

bool catalog_encode(struct buffer *into, const struct catalog *catalog) {
    bool ok = buffer_append_varint(into, catalog->version) && buffer_append_varint(into, catalog->next_id) &&
              buffer_append_varint(into, catalog->database_count);
    for (uint32_t i = 0; ok && i < catalog->database_count; i++) {
        const struct catalog_database *database = &catalog->databases[i];
        ok = buffer_append_varint(into, database->tenant) && buffer_append_varint(into, database->id) &&
             buffer_append_string(into, slice_of_string(database->name));
    }
    ok = ok && buffer_append_varint(into, catalog->table_count);
    for (uint32_t i = 0; ok && i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        ok = buffer_append_varint(into, table->id.tenant) && buffer_append_varint(into, table->id.database) &&
             buffer_append_varint(into, table->id.table) && buffer_append_u8(into, (uint8_t)table->kind) &&
             buffer_append_varint(into, table->space) && buffer_append_varint(into, table->version) &&
             buffer_append_string(into, slice_of_string(table->name));
    }
    return ok;
}

static bool decode_table(struct reader *from, struct catalog *catalog, uint32_t *last_id) {
    struct catalog_table table = {0};
    table.id.tenant = reader_varint32(from);
    table.id.database = reader_varint32(from);
    table.id.table = reader_varint32(from);
    table.kind = (enum catalog_table_kind)reader_u8(from);
    table.space = reader_varint32(from);
    table.version = reader_varint(from);
    struct slice name = reader_string(from);
    const struct catalog_table *space = table.kind == CATALOG_INDEX ? table_by_id(catalog, table.space) : NULL;
    bool sound = !from->failed && table.id.table > *last_id && table.id.table < catalog->next_id &&
                 (table.kind == CATALOG_SPACE || (space && space->kind == CATALOG_SPACE));
    *last_id = table.id.table;
    return sound && add_table(catalog, table, name);
}

enum plinth_status catalog_decode(struct reader *from, struct catalog *catalog, struct plinth_error *error) {
    *catalog = (struct catalog){0};
    catalog->version = reader_varint(from);
    catalog->next_id = reader_varint32(from);
    bool ok = !from->failed;
    uint64_t databases = ok ? reader_varint(from) : 0;
    for (uint64_t i = 0; ok && i < databases; i++) {
        uint32_t tenant = reader_varint32(from), id = reader_varint32(from);
        struct slice name = reader_string(from);
        ok = !from->failed && add_database(catalog, tenant, id, name);
    }
    uint64_t tables = ok ? reader_varint(from) : 0;
    uint32_t last_id = 0;
    for (uint64_t i = 0; ok && i < tables; i++) ok = decode_table(from, catalog, &last_id);
    if (ok && !from->failed) return PLINTH_OK;
    catalog_deinit(catalog);
    return error_set(error, PLINTH_CORRUPT, "malformed catalog");
}
