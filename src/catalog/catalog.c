/* Databases and tables by name and id, and how changes are applied. The rules are in catalog_check.c, the bytes in
 * catalog_encode.c. */
#include <stdlib.h>

#include "base/status.h"
#include "catalog/catalog_private.h"

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

bool catalog_add_database(struct catalog *catalog, uint32_t tenant, uint32_t id, struct slice name) {
    if (!grow((void **)&catalog->databases, catalog->database_count, &catalog->database_capacity,
              sizeof *catalog->databases))
        return false;
    char *copy = copy_name(name);
    if (!copy) return false;
    catalog->databases[catalog->database_count++] = (struct catalog_database){tenant, id, copy};
    return true;
}

struct catalog_table *catalog_table_mutable(const struct catalog *catalog, uint32_t table) {
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

/* Links the index at `position` in front of its table's list. */
static void link_index(struct catalog *catalog, uint32_t position) {
    struct catalog_table *index = &catalog->tables[position], *of = catalog_table_mutable(catalog, index->space);
    index->next_index = of->next_index;
    of->next_index = position + 1;
}

void catalog_free_table(struct catalog_table *table) {
    table_schema_unref(table->schema);
    for (uint32_t i = 0; i < table->past_count; i++) table_schema_unref(table->pasts[i].schema);
    free(table->pasts);
    free(table->name);
}

bool catalog_add_past(struct catalog_table *table, uint64_t until_lsn, const struct table_schema *schema) {
    struct catalog_past *grown = realloc(table->pasts, (table->past_count + 1) * sizeof *grown);
    if (!grown) {
        table_schema_unref(schema);
        return false;
    }
    table->pasts = grown;
    grown[table->past_count++] = (struct catalog_past){until_lsn, schema};
    return true;
}

bool catalog_add_table(struct catalog *catalog, struct catalog_table table, struct slice name) {
    table.name = grow((void **)&catalog->tables, catalog->table_count, &catalog->table_capacity, sizeof table)
                     ? copy_name(name)
                     : NULL;
    if (!table.name) {
        catalog_free_table(&table);
        return false;
    }
    table.next_index = 0;
    catalog->tables[catalog->table_count++] = table;
    if (table.kind == CATALOG_INDEX) link_index(catalog, catalog->table_count - 1);
    return true;
}

void catalog_replace_schema(struct catalog_table *table, struct table_schema *schema) {
    table_schema_unref(table->schema);
    table->schema = schema;
}

/* Takes out a table with its indexes, or one index, and numbers the lists of indexes again. */
static void remove_table(struct catalog *catalog, uint32_t id) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < catalog->table_count; i++) {
        struct catalog_table *table = &catalog->tables[i];
        if (table->id.table == id || (table->kind == CATALOG_INDEX && table->space == id)) {
            catalog_free_table(table);
            continue;
        }
        catalog->tables[kept] = *table;
        catalog->tables[kept++].next_index = 0;
    }
    catalog->table_count = kept;
    for (uint32_t i = 0; i < kept; i++)
        if (catalog->tables[i].kind == CATALOG_INDEX) link_index(catalog, i);
}

enum plinth_status catalog_init(struct catalog *catalog, struct plinth_error *error) {
    *catalog = (struct catalog){.version = 1, .next_id = 3};
    struct slice name = slice_of_string("default");
    struct catalog_table space = {.id = {CATALOG_TENANT_DEFAULT, 1, 2}, .kind = CATALOG_SPACE, .version = 1};
    struct table_schema *schema = table_schema_create_space(space.id, name, 0);
    space.schema = schema;
    if (schema) schema->version = 1;
    if (schema && catalog_add_table(catalog, space, name) &&
        catalog_add_database(catalog, CATALOG_TENANT_DEFAULT, 1, name))
        return PLINTH_OK;
    catalog_deinit(catalog);
    return error_no_memory(error, "catalog");
}

void catalog_deinit(struct catalog *catalog) {
    for (uint32_t i = 0; i < catalog->database_count; i++) free(catalog->databases[i].name);
    for (uint32_t i = 0; i < catalog->table_count; i++) catalog_free_table(&catalog->tables[i]);
    free(catalog->databases);
    free(catalog->tables);
    *catalog = (struct catalog){0};
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

const struct catalog_table *catalog_find_table(const struct catalog *catalog, uint32_t database, struct slice name) {
    for (uint32_t i = 0; i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->kind != CATALOG_INDEX && table->id.database == database && name_is(table->name, name)) return table;
    }
    return NULL;
}

const struct catalog_table *catalog_find_space(const struct catalog *catalog, uint32_t database, struct slice name) {
    const struct catalog_table *table = catalog_find_table(catalog, database, name);
    return table && table->kind == CATALOG_SPACE ? table : NULL;
}

const struct catalog_table *catalog_find_index(const struct catalog *catalog, uint32_t space, struct slice name) {
    const struct catalog_table *table = catalog_table_mutable(catalog, space);
    for (uint32_t at = table ? table->next_index : 0; at; at = catalog->tables[at - 1].next_index)
        if (name_is(catalog->tables[at - 1].name, name)) return &catalog->tables[at - 1];
    return NULL;
}

const struct catalog_table *catalog_table_by_id(const struct catalog *catalog, uint32_t table) {
    return catalog_table_mutable(catalog, table);
}

const char *index_kind_name(enum index_kind kind) {
    static const char *const names[] = {"?", "space", "sorted", "bloom", "bitmap", "token"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

const char *index_state_name(enum index_state state) {
    static const char *const names[] = {"?", "building", "ready", "dropping"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

const char *table_codec_name(enum table_codec codec) {
    static const char *const names[] = {"default", "lz4", "zstd", "none"};
    return (unsigned)codec < sizeof names / sizeof *names ? names[codec] : "?";
}

/* ---- changes ---- */

static const char *kind_word(const struct catalog_table *table) {
    return table->kind == CATALOG_SPACE ? "key space" : "table";
}

static enum plinth_status exists(struct plinth_error *error, const char *what, struct slice name) {
    return error_set(error, PLINTH_ALREADY_EXISTS, "%s \"%.*s\" exists already", what, (int)name.size, name.data);
}

/* The name and that it is new. */
static enum plinth_status check_create(const struct catalog *catalog, const struct catalog_change *change,
                                       struct plinth_error *error) {
    static const char *const kinds[CATALOG_CHANGE_KIND_COUNT] = {
        [CATALOG_CREATE_DATABASE] = "database", [CATALOG_CREATE_SPACE] = "key space",
        [CATALOG_CREATE_INDEX] = "index",       [CATALOG_CREATE_TABLE] = "table",
        [CATALOG_CREATE_TABLE_INDEX] = "index", [CATALOG_BUILD_INDEX] = "index"};
    enum plinth_status st = catalog_check_name(kinds[change->kind], change->name, error);
    if (st) return st;
    const struct catalog_table *same = NULL;
    if (change->kind == CATALOG_CREATE_DATABASE) {
        if (catalog_find_database(catalog, change->tenant, change->name))
            return exists(error, "database", change->name);
    } else if (change->kind == CATALOG_CREATE_SPACE || change->kind == CATALOG_CREATE_TABLE) {
        same = catalog_find_table(catalog, change->database, change->name);
        if (same) return exists(error, kind_word(same), change->name);
    } else if (catalog_find_index(catalog, change->space, change->name)) {
        return exists(error, "index", change->name);
    }
    if (catalog->table_count >= CATALOG_TABLES_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "the catalog has its %d tables and indexes",
                         CATALOG_TABLES_MAX);
    return PLINTH_OK;
}

/* That what the change is about is there. */
static enum plinth_status check_subject(const struct catalog *catalog, const struct catalog_change *change,
                                        struct plinth_error *error) {
    if (change->kind == CATALOG_CREATE_DATABASE) return PLINTH_OK;
    const struct catalog_database *database = catalog_database_by_id(catalog, change->database);
    if (!database || database->tenant != change->tenant)
        return error_set(error, PLINTH_NOT_FOUND, "no database with id %u", change->database);
    if (change->kind == CATALOG_CREATE_SPACE || change->kind == CATALOG_CREATE_TABLE) return PLINTH_OK;
    const struct catalog_table *table = catalog_table_mutable(catalog, change->space);
    if (table && table->id.database != change->database) table = NULL;
    if (change->kind == CATALOG_CREATE_INDEX) {
        if (!table || table->kind != CATALOG_SPACE)
            return error_set(error, PLINTH_NOT_FOUND, "no key space with id %u", change->space);
    } else if (change->kind == CATALOG_SET_INDEX_STATE || change->kind == CATALOG_DROP_INDEX ||
               change->kind == CATALOG_REPLACE_INDEX) {
        const struct catalog_table *of = table ? catalog_table_mutable(catalog, table->space) : NULL;
        if (!of || of->kind != CATALOG_ROWS)
            return error_set(error, PLINTH_NOT_FOUND, "no index of a table with id %u", change->space);
    } else if (change->kind == CATALOG_DROP_TABLE) {
        if (!table || table->kind == CATALOG_INDEX)
            return error_set(error, PLINTH_NOT_FOUND, "no table with id %u", change->space);
        if (strcmp(table->name, "default") == 0 && strcmp(database->name, "default") == 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "the key space \"default\" of the database \"default\" always exists");
    } else if (!table || table->kind != CATALOG_ROWS) {
        return error_set(error, PLINTH_NOT_FOUND, "no table with id %u", change->space);
    }
    return PLINTH_OK;
}

bool catalog_change_is_known(enum catalog_change_kind kind) {
    return (kind >= CATALOG_CREATE_DATABASE && kind <= CATALOG_REPLACE_INDEX) || kind == CATALOG_ALTER_TABLE;
}

static bool is_create(enum catalog_change_kind kind) {
    return kind <= CATALOG_CREATE_TABLE || kind == CATALOG_CREATE_TABLE_INDEX || kind == CATALOG_BUILD_INDEX;
}

bool catalog_change_expires(const struct catalog_change *change) {
    if (change->kind == CATALOG_CREATE_TABLE) return change->expire_column != 0;
    for (uint32_t i = 0; change->kind == CATALOG_ALTER_TABLE && i < change->alteration_count; i++)
        if (change->alterations[i].kind == CATALOG_ALTER_SET_OPTIONS && change->alterations[i].expire_column)
            return true;
    return false;
}

uint32_t catalog_change_level(const struct catalog_change *change) {
    enum catalog_change_kind kind = change->kind;
    if (catalog_change_expires(change)) return CATALOG_FEATURE_LEVEL_EXPIRY;
    if (kind >= CATALOG_ALTER_TABLE) return CATALOG_FEATURE_LEVEL_ALTER;
    if (kind >= CATALOG_BUILD_INDEX) return CATALOG_FEATURE_LEVEL_INDEXES;
    return kind > CATALOG_CREATE_INDEX ? CATALOG_FEATURE_LEVEL_TABLES : 1;
}

bool catalog_change_drops(enum catalog_change_kind kind) {
    return kind == CATALOG_DROP_TABLE || kind == CATALOG_DROP_INDEX || kind == CATALOG_REPLACE_INDEX ||
           kind == CATALOG_ALTER_TABLE; /* indexes, with columns */
}

static enum plinth_status check(const struct catalog *catalog, const struct catalog_change *change,
                                struct table_schema **schema, struct plinth_error *error) {
    *schema = NULL;
    if (!catalog_change_is_known(change->kind))
        return error_set(error, PLINTH_UNSUPPORTED, "catalog change of kind %d", (int)change->kind);
    enum plinth_status st = check_subject(catalog, change, error);
    if (!st && is_create(change->kind)) st = check_create(catalog, change, error);
    if (!st && change->version != catalog->version + 1)
        st = error_set(error, PLINTH_CONFLICT, "catalog change %llu came behind version %llu",
                       (unsigned long long)change->version, (unsigned long long)catalog->version);
    struct table_id id = {change->tenant, change->database, catalog->next_id};
    return st ? st : catalog_make_schema(catalog, change, id, schema, error);
}

enum plinth_status catalog_check(const struct catalog *catalog, const struct catalog_change *change,
                                 struct plinth_error *error) {
    struct table_schema *schema;
    enum plinth_status st = check(catalog, change, &schema, error);
    table_schema_unref(schema);
    return st;
}

/* `index` gets the name that it has in the new schema, and what it replaces goes. */
static bool replace_index(struct catalog *catalog, struct catalog_table *index, struct table_schema *schema) {
    struct catalog_table *of = catalog_table_mutable(catalog, index->space);
    uint32_t replaced = table_schema_find_index_id(of->schema, index->id.table)->replaces;
    char *name = copy_name(slice_of_string(table_schema_find_index_id(schema, index->id.table)->name));
    if (!name) {
        table_schema_unref(schema);
        return false;
    }
    free(index->name);
    index->name = name;
    catalog_replace_schema(of, schema);
    if (catalog_table_by_id(catalog, replaced)) remove_table(catalog, replaced);
    return true;
}

/* Puts the altered schema, taken over, in the place of the present one, which is kept for readers of the past. Indexes
 * that it has not any more go. */
static bool apply_altered(struct catalog *catalog, const struct catalog_change *change, struct table_schema *schema) {
    struct catalog_table *table = catalog_table_mutable(catalog, change->space);
    uint32_t id = table->id.table, index_count = table->schema->index_count;
    char *name = copy_name(slice_of_string(schema->name));
    if (!name || !catalog_add_past(table, change->lsn, table_schema_ref(table->schema))) {
        free(name);
        table_schema_unref(schema);
        return false;
    }
    free(table->name);
    table->name = name;
    catalog_replace_schema(table, schema);
    catalog_forget_pasts(catalog, change->horizon_lsn);
    if (index_count == schema->index_count) return true;
    for (uint32_t i = catalog->table_count; i > 0; i--) {
        const struct catalog_table *index = &catalog->tables[i - 1];
        if (index->kind == CATALOG_INDEX && index->space == id && !table_schema_find_index_id(schema, index->id.table))
            remove_table(catalog, index->id.table);
    }
    return true;
}

/* Takes over `schema`. */
static bool apply(struct catalog *catalog, const struct catalog_change *change, struct table_schema *schema) {
    struct catalog_table made = {.id = {change->tenant, change->database, catalog->next_id},
                                 .version = change->version};
    struct catalog_table *table = catalog_table_mutable(catalog, change->space);
    switch (change->kind) {
    case CATALOG_CREATE_DATABASE: return catalog_add_database(catalog, change->tenant, catalog->next_id, change->name);
    case CATALOG_CREATE_SPACE:
    case CATALOG_CREATE_TABLE:
        made.kind = change->kind == CATALOG_CREATE_SPACE ? CATALOG_SPACE : CATALOG_ROWS;
        made.schema = schema;
        return catalog_add_table(catalog, made, change->name);
    case CATALOG_CREATE_INDEX:
    case CATALOG_CREATE_TABLE_INDEX:
    case CATALOG_BUILD_INDEX:
        made.kind = CATALOG_INDEX;
        made.space = change->space;
        catalog_replace_schema(table, schema);
        return catalog_add_table(catalog, made, change->name);
    case CATALOG_ADD_COLUMNS: catalog_replace_schema(table, schema); return true;
    case CATALOG_ALTER_TABLE: return apply_altered(catalog, change, schema);
    case CATALOG_SET_INDEX_STATE:
    case CATALOG_DROP_INDEX: catalog_replace_schema(catalog_table_mutable(catalog, table->space), schema); break;
    case CATALOG_REPLACE_INDEX: return replace_index(catalog, table, schema);
    default: break;
    }
    if (change->kind != CATALOG_SET_INDEX_STATE) remove_table(catalog, change->space);
    return true;
}

enum plinth_status catalog_apply(struct catalog *catalog, const struct catalog_change *change,
                                 struct plinth_error *error) {
    struct table_schema *schema;
    enum plinth_status st = check(catalog, change, &schema, error);
    if (st) return st;
    if (!apply(catalog, change, schema)) return error_no_memory(error, "catalog");
    if (is_create(change->kind)) catalog->next_id++;
    catalog->version = change->version;
    return PLINTH_OK;
}
