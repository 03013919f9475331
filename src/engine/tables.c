/* Tables in the public API: from names and texts to catalog changes, and back. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "column/column_builder.h"
#include "engine/index_build.h"
#include "engine/table_ddl.h"

_Static_assert((int)PLINTH_CODEC_NONE == (int)TABLE_CODEC_NONE && (int)PLINTH_CODEC_ZSTD == (int)TABLE_CODEC_ZSTD &&
                   (int)PLINTH_INDEX_TOKEN == (int)INDEX_TOKEN && (int)PLINTH_INDEX_SORTED == (int)INDEX_SORTED &&
                   (int)PLINTH_INDEX_DROPPING == (int)INDEX_DROPPING && (int)PLINTH_INDEX_READY == (int)INDEX_READY,
               "the public numbers are those of the catalog");
_Static_assert((int)PLINTH_COLUMNS_MAX == (int)TABLE_COLUMNS_MAX &&
                   (int)PLINTH_KEY_COLUMNS_MAX == (int)ROW_KEY_PARTS_MAX &&
                   (int)PLINTH_TABLE_INDEXES_MAX == (int)TABLE_INDEXES_MAX,
               "the public limits are those of the catalog");

const char *plinth_index_kind_name(enum plinth_index_kind kind) { return index_kind_name((enum index_kind)kind); }
const char *plinth_index_state_name(enum plinth_index_state state) { return index_state_name((enum index_state)state); }
const char *plinth_codec_name(enum plinth_codec codec) { return table_codec_name((enum table_codec)codec); }

static struct slice name_or_default(const char *name) { return slice_of_string(name && *name ? name : "default"); }

static enum plinth_status wait_durable(struct plinth *db, uint64_t lsn, struct plinth_error *error) {
    return log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
}

/* ---- making tables ---- */

/* The place of a column among those given, from 1; 0 when there is none. */
static uint32_t place_of(const struct plinth_column *columns, size_t count, const char *name) {
    for (size_t i = 0; name && i < count; i++)
        if (columns[i].name && strcmp(columns[i].name, name) == 0) return (uint32_t)i + 1;
    return 0;
}

/* Texts of columns as types. The result is the caller's to free. */
static enum plinth_status parse_columns(const struct plinth_column *columns, size_t count,
                                        struct catalog_column **parsed, struct plinth_error *error) {
    *parsed = NULL;
    for (size_t i = 0; i < count; i++)
        if (columns[i].default_value)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "column \"%.128s\" has a default: those are given by altering the table",
                             columns[i].name ? columns[i].name : "");
    if (count > PLINTH_COLUMNS_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "%zu columns are given; a table has at most %d", count,
                         PLINTH_COLUMNS_MAX);
    struct catalog_column *into = calloc(count + 1, sizeof *into);
    if (!into) return error_no_memory(error, "columns");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < count; i++) {
        into[i] = (struct catalog_column){.name = slice_of_string(columns[i].name ? columns[i].name : ""),
                                          .nullable = columns[i].nullable};
        st = catalog_check_column_name(into[i].name, error);
        if (st) break;
        st = column_type_parse(slice_of_string(columns[i].type ? columns[i].type : ""), &into[i].type, error);
        if (st) error_prefix(error, "column \"%s\"", columns[i].name);
    }
    if (st)
        free(into);
    else
        *parsed = into;
    return st;
}

static enum plinth_status resolve_names(const struct plinth_table_definition *definition, struct catalog_change *change,
                                        struct plinth_error *error) {
    if (definition->key_count > PLINTH_KEY_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the primary key has %zu columns; at most %d are allowed",
                         definition->key_count, PLINTH_KEY_COLUMNS_MAX);
    for (size_t i = 0; i < definition->key_count; i++) {
        const char *name = definition->key[i] ? definition->key[i] : "";
        uint32_t id = place_of(definition->columns, definition->column_count, name);
        if (!id)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "the primary key names \"%s\", which is no column", name);
        change->key[change->key_count++] = id;
    }
    const char *by = definition->expire_by;
    if (by && *by) {
        change->expire_column = place_of(definition->columns, definition->column_count, by);
        if (!change->expire_column)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "rows expire by \"%s\", which is no column", by);
    }
    by = definition->partition_by;
    if (!by || !*by) return PLINTH_OK;
    change->partition_column = place_of(definition->columns, definition->column_count, by);
    if (change->partition_column) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "the table is partitioned by \"%s\", which is no column", by);
}

enum plinth_status engine_ensure_database(struct plinth *db, struct slice name, uint32_t *id,
                                          struct plinth_error *error) {
    *id = 0;
    enum plinth_status st = catalog_check_name("database", name, error);
    while (!st) {
        pthread_rwlock_rdlock(&db->catalog_lock);
        const struct catalog_database *found = catalog_find_database(&db->shard.catalog, CATALOG_TENANT_DEFAULT, name);
        *id = found ? found->id : 0;
        pthread_rwlock_unlock(&db->catalog_lock);
        if (*id) break;
        uint64_t lsn;
        struct catalog_change change = {
            .kind = CATALOG_CREATE_DATABASE, .tenant = CATALOG_TENANT_DEFAULT, .name = name};
        st = engine_change_catalog(db, &change, &lsn, error);
        if (st == PLINTH_ALREADY_EXISTS) st = PLINTH_OK; /* another thread was first */
    }
    return st;
}

enum plinth_status plinth_table_create(struct plinth *db, const char *database, const char *name,
                                       const struct plinth_table_definition *definition, struct plinth_error *error) {
    error_clear(error);
    struct catalog_column *columns = NULL;
    uint64_t lsn = 0;
    struct catalog_change change = {.kind = CATALOG_CREATE_TABLE,
                                    .tenant = CATALOG_TENANT_DEFAULT,
                                    .name = slice_of_string(name ? name : ""),
                                    .column_count = (uint32_t)definition->column_count,
                                    .partition_us = definition->partition_us,
                                    .retention_us = definition->retention_us,
                                    .expire_us = definition->expire_us,
                                    .codec = (enum table_codec)definition->codec,
                                    .page_rows = definition->page_rows,
                                    .adds_columns = definition->adds_columns};
    enum plinth_status st = catalog_check_name("table", change.name, error);
    if (!st) st = parse_columns(definition->columns, definition->column_count, &columns, error);
    if (st) goto done;
    change.columns = columns;
    st = resolve_names(definition, &change, error);
    if (!st) st = engine_ensure_database(db, name_or_default(database), &change.database, error);
    if (!st) st = engine_change_catalog(db, &change, &lsn, error);
    if (!st) st = wait_durable(db, lsn, error);
done:
    free(columns);
    if (!st) error_clear(error);
    return st;
}

/* ---- changing tables ---- */

enum plinth_status engine_find_rows_table(struct plinth *db, const char *database, const char *name, const char *verb,
                                          const struct table_schema **schema, struct plinth_error *error) {
    enum plinth_status st = engine_find_schema(db, database, name, schema, error);
    if (st || (*schema)->kind == TABLE_ROWS) return st;
    st = error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\" is a key space: it has %s", (*schema)->name, verb);
    table_schema_unref(*schema);
    *schema = NULL;
    return st;
}

static enum plinth_status drop(struct plinth *db, const struct table_schema *schema, struct plinth_error *error) {
    uint64_t lsn;
    struct catalog_change change = {.kind = CATALOG_DROP_TABLE,
                                    .tenant = schema->id.tenant,
                                    .database = schema->id.database,
                                    .space = schema->id.table};
    table_schema_unref(schema);
    enum plinth_status st = engine_change_catalog(db, &change, &lsn, error);
    engine_want_index_builds(db);
    return st;
}

enum plinth_status plinth_table_drop(struct plinth *db, const char *database, const char *name,
                                     struct plinth_error *error) {
    error_clear(error);
    const struct table_schema *schema;
    enum plinth_status st =
        engine_find_rows_table(db, database, name, "a command of its own to drop it", &schema, error);
    return st ? st : drop(db, schema, error);
}

enum plinth_status plinth_space_drop(struct plinth *db, const char *database, const char *name,
                                     struct plinth_error *error) {
    error_clear(error);
    const struct table_schema *schema;
    enum plinth_status st = engine_find_schema(db, database, name, &schema, error);
    if (st) return st;
    if (schema->kind == TABLE_SPACE) return drop(db, schema, error);
    st = error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\" is a table, not a key space", schema->name);
    table_schema_unref(schema);
    return st;
}

enum plinth_status plinth_table_add_columns(struct plinth *db, const char *database, const char *name,
                                            const struct plinth_column *columns, size_t column_count,
                                            struct plinth_error *error) {
    error_clear(error);
    const struct table_schema *schema = NULL;
    struct catalog_column *parsed = NULL;
    uint64_t lsn = 0;
    enum plinth_status st = engine_find_rows_table(db, database, name, "its two columns and no others", &schema, error);
    if (!st) st = parse_columns(columns, column_count, &parsed, error);
    if (!st) {
        struct catalog_change change = {.kind = CATALOG_ADD_COLUMNS,
                                        .tenant = schema->id.tenant,
                                        .database = schema->id.database,
                                        .space = schema->id.table,
                                        .columns = parsed,
                                        .column_count = (uint32_t)column_count};
        st = engine_change_catalog(db, &change, &lsn, error);
    }
    if (!st) st = wait_durable(db, lsn, error);
    free(parsed);
    table_schema_unref(schema);
    return st;
}

/* ---- indexes ---- */

static enum plinth_status index_change(const struct table_schema *schema, const struct plinth_index *index,
                                       struct catalog_change *change, struct plinth_error *error) {
    *change = (struct catalog_change){.kind = CATALOG_BUILD_INDEX,
                                      .tenant = schema->id.tenant,
                                      .database = schema->id.database,
                                      .space = schema->id.table,
                                      .name = slice_of_string(index->name ? index->name : ""),
                                      .index_kind = (enum index_kind)index->kind,
                                      .unique = index->unique,
                                      .index_state = INDEX_BUILDING};
    if (index->column_count > PLINTH_KEY_COLUMNS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%.*s\" names %zu columns; at most %d are allowed",
                         (int)change->name.size, change->name.data, index->column_count, PLINTH_KEY_COLUMNS_MAX);
    for (size_t i = 0; i < index->column_count; i++) {
        const char *name = index->columns[i] ? index->columns[i] : "";
        enum column_function function = FUNCTION_NONE;
        struct slice column = slice_of_string(name);
        int32_t at = table_schema_find(schema, column);
        if (at < 0 && column_function_parse(column, &function, &column)) at = table_schema_find(schema, column);
        if (at < 0)
            return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no column \"%.128s\"", schema->name, name);
        if (schema->columns[at].type.kind == COLUMN_LIST && index->kind == PLINTH_INDEX_SORTED && !function)
            function = FUNCTION_ELEMENTS;
        change->functions[change->key_count] = (uint8_t)function;
        change->key[change->key_count++] = schema->columns[at].id;
    }
    if (index->included_count > INDEX_INCLUDED_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%.*s\" includes %zu columns; at most %d are allowed",
                         (int)change->name.size, change->name.data, index->included_count, INDEX_INCLUDED_MAX);
    for (size_t i = 0; i < index->included_count; i++) {
        const char *name = index->included[i] ? index->included[i] : "";
        int32_t at = table_schema_find(schema, slice_of_string(name));
        if (at < 0)
            return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no column \"%.128s\"", schema->name, name);
        change->included[change->included_count++] = schema->columns[at].id;
    }
    return PLINTH_OK;
}

/* What the catalog's change to this version made, under whichever name: a rebuild that is ready has another one. Null
 * when it was dropped. */
static const struct catalog_table *find_made_by(const struct catalog *catalog, uint64_t version) {
    for (uint32_t i = catalog->table_count; i > 0; i--)
        if (catalog->tables[i - 1].version == version) return &catalog->tables[i - 1];
    return NULL;
}

/* Appends the change; its entries are made of what is written from now on, and the builder makes the others. */
static enum plinth_status begin_build(struct plinth *db, struct catalog_change *change, struct table_id *index,
                                      struct plinth_error *error) {
    uint64_t lsn;
    enum plinth_status st = engine_change_catalog(db, change, &lsn, error);
    if (!st) st = wait_durable(db, lsn, error);
    *index = (struct table_id){.tenant = change->tenant, .database = change->database};
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *made = find_made_by(&db->shard.catalog, change->version);
    if (made) index->table = made->id.table; /* else it was dropped already */
    pthread_rwlock_unlock(&db->catalog_lock);
    engine_want_index_builds(db);
    return st;
}

static enum plinth_status create_index(struct plinth *db, const char *database, const char *table,
                                       const struct plinth_index *index, struct table_id *id,
                                       struct plinth_error *error) {
    error_clear(error);
    const struct table_schema *schema;
    struct catalog_change change;
    enum plinth_status st =
        engine_find_rows_table(db, database, table, "indexes that come with the sets that name them", &schema, error);
    if (st) return st;
    st = index_change(schema, index, &change, error);
    table_schema_unref(schema);
    return st ? st : begin_build(db, &change, id, error);
}

enum plinth_status plinth_table_index_create(struct plinth *db, const char *database, const char *table,
                                             const struct plinth_index *index, struct plinth_error *error) {
    struct table_id id;
    enum plinth_status st = create_index(db, database, table, index, &id, error);
    return st ? st : engine_wait_for_index(db, id, error);
}

enum plinth_status plinth_table_index_begin(struct plinth *db, const char *database, const char *table,
                                            const struct plinth_index *index, struct plinth_error *error) {
    struct table_id id;
    return create_index(db, database, table, index, &id, error);
}

static enum plinth_status no_index(const struct table_schema *schema, const char *name, struct plinth_error *error) {
    return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no index \"%.128s\"", schema->name, name ? name : "");
}

/* Its rebuild, or null. */
static const struct table_index *find_rebuild(const struct table_schema *schema, const struct table_index *of) {
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].replaces == of->id.table) return &schema->indexes[i];
    return NULL;
}

static enum plinth_status begin_rebuild(struct plinth *db, const struct table_schema *schema,
                                        const struct table_index *index, struct table_id *id,
                                        struct plinth_error *error) {
    char name[PLINTH_NAME_BYTES_MAX + 16];
    snprintf(name, sizeof name, "%.*s.rebuild", PLINTH_NAME_BYTES_MAX - 8, index->name);
    struct catalog_change change = {.kind = CATALOG_BUILD_INDEX,
                                    .tenant = schema->id.tenant,
                                    .database = schema->id.database,
                                    .space = schema->id.table,
                                    .name = slice_of_string(name),
                                    .index_kind = index->kind,
                                    .index_state = INDEX_BUILDING,
                                    .key_count = index->column_count,
                                    .included_count = index->included_count,
                                    .unique = index->unique,
                                    .replaces = index->id.table};
    memcpy(change.key, index->columns, sizeof index->columns);
    memcpy(change.functions, index->functions, sizeof index->functions);
    memcpy(change.included, index->included, sizeof index->included);
    return begin_build(db, &change, id, error);
}

enum plinth_status plinth_table_index_rebuild(struct plinth *db, const char *database, const char *table,
                                              const char *name, bool no_wait, struct plinth_error *error) {
    error_clear(error);
    const struct table_schema *schema;
    struct table_id id;
    enum plinth_status st =
        engine_find_rows_table(db, database, table, "indexes that are never rebuilt", &schema, error);
    if (st) return st;
    const struct table_index *index = table_schema_find_index(schema, slice_of_string(name ? name : ""));
    const struct table_index *under_way = index ? find_rebuild(schema, index) : NULL;
    if (!index)
        st = no_index(schema, name, error);
    else if (index->state != INDEX_READY)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" is being built", index->name);
    else if (under_way)
        id = under_way->id;
    else
        st = begin_rebuild(db, schema, index, &id, error);
    table_schema_unref(schema);
    return st || no_wait ? st : engine_wait_for_index(db, id, error);
}

static enum plinth_status drop_index(struct plinth *db, const struct table_index *index, struct plinth_error *error) {
    uint64_t lsn;
    struct catalog_change change = {.kind = CATALOG_DROP_INDEX,
                                    .tenant = index->id.tenant,
                                    .database = index->id.database,
                                    .space = index->id.table};
    enum plinth_status st = engine_change_catalog(db, &change, &lsn, error);
    engine_want_index_builds(db); /* who waits for it is told */
    return st;
}

enum plinth_status plinth_table_index_drop(struct plinth *db, const char *database, const char *table, const char *name,
                                           struct plinth_error *error) {
    bool dropped = false;
    enum plinth_status st;
    do { /* again when a rebuild has taken the index's place meanwhile: it is another one then */
        error_clear(error);
        const struct table_schema *schema;
        st = engine_find_rows_table(db, database, table, "indexes that go with the space", &schema, error);
        if (st) return st;
        const struct table_index *index = table_schema_find_index(schema, slice_of_string(name ? name : ""));
        const struct table_index *rebuild = index ? find_rebuild(schema, index) : NULL;
        bool found = index != NULL;
        if (!found && !dropped) st = no_index(schema, name, error);
        if (rebuild) st = drop_index(db, rebuild, error);
        if (rebuild && !st) dropped = true;
        if (found && (!st || st == PLINTH_NOT_FOUND)) st = drop_index(db, index, error);
        table_schema_unref(schema);
        if (!found) break;
    } while (st == PLINTH_NOT_FOUND);
    return st;
}

/* ---- describing ---- */

/* A description's memory. */
struct description_memory {
    struct arena arena;
    bool failed;
};

static void *take(struct description_memory *memory, size_t size) {
    void *taken = arena_zalloc(&memory->arena, size ? size : 1);
    memory->failed = memory->failed || !taken;
    return taken;
}

static const char *copy_text(struct description_memory *memory, const char *text) {
    const char *copy = (const char *)arena_copy(&memory->arena, slice_of_string(text));
    memory->failed = memory->failed || !copy;
    return copy;
}

static const char *column_name(struct description_memory *memory, const struct table_schema *schema, uint32_t id) {
    int32_t at = table_schema_find_id(schema, id);
    return at < 0 ? NULL : copy_text(memory, schema->columns[at].name);
}

/* A part as it was given when the index was made. */
static const char *part_text(struct description_memory *memory, const struct table_schema *schema,
                             const struct table_index *index, uint32_t part) {
    int32_t at = table_schema_find_id(schema, index->columns[part]);
    struct buffer text = BUFFER_INIT;
    bool ok = at >= 0 &&
              column_function_format(&text, (enum column_function)index->functions[part],
                                     slice_of_string(schema->columns[at].name)) &&
              buffer_append_u8(&text, 0);
    const char *copy = ok ? copy_text(memory, (const char *)text.data) : NULL;
    memory->failed = memory->failed || !copy;
    buffer_deinit(&text);
    return copy;
}

/* A value as text; null for null. */
static const char *value_text(struct description_memory *memory, const struct column *value) {
    struct buffer text = BUFFER_INIT;
    const char *copy = NULL;
    if (!value) return NULL;
    memory->failed = memory->failed || !column_format(&text, value, 0) || !buffer_append_u8(&text, 0);
    if (!memory->failed) copy = copy_text(memory, (const char *)text.data);
    buffer_deinit(&text);
    return copy;
}

static void describe_columns(struct description_memory *memory, const struct table_schema *schema,
                             struct plinth_table_definition *definition) {
    struct plinth_column *columns = take(memory, schema->column_count * sizeof *columns);
    const char **key = take(memory, schema->key_count * sizeof *key);
    for (uint32_t i = 0; !memory->failed && i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        char type[COLUMN_TYPE_TEXT_MAX];
        columns[i] = (struct plinth_column){.name = copy_text(memory, column->name),
                                            .type = copy_text(memory, column_type_format(column->type, type)),
                                            .nullable = column->nullable,
                                            .id = column->id,
                                            .default_value = value_text(memory, column->write_default)};
    }
    for (uint32_t i = 0; !memory->failed && i < schema->key_count; i++)
        key[i] = column_name(memory, schema, schema->key[i]);
    definition->columns = columns;
    definition->column_count = schema->column_count;
    definition->key = key;
    definition->key_count = schema->key_count;
}

static void describe_indexes(struct plinth *db, struct description_memory *memory, const struct table_schema *schema,
                             struct plinth_table_description *description) {
    struct plinth_index *indexes = take(memory, schema->index_count * sizeof *indexes);
    for (uint32_t i = 0; !memory->failed && i < schema->index_count; i++) {
        const struct table_index *index = &schema->indexes[i];
        const char **columns = take(memory, index->column_count * sizeof *columns);
        for (uint32_t c = 0; !memory->failed && c < index->column_count; c++)
            columns[c] = part_text(memory, schema, index, c);
        const char **included = take(memory, index->included_count * sizeof *included);
        for (uint32_t c = 0; !memory->failed && c < index->included_count; c++)
            included[c] = column_name(memory, schema, index->included[c]);
        indexes[i] = (struct plinth_index){
            .name = copy_text(memory, index->name),
            .kind = (enum plinth_index_kind)index->kind,
            .state = (enum plinth_index_state)index->state,
            .columns = columns,
            .column_count = index->column_count,
            .unique = index->unique,
            .included = included,
            .included_count = index->included_count,
            .percent = index->state == INDEX_BUILDING ? engine_index_percent(db, index->id) : 100};
    }
    description->indexes = indexes;
    description->index_count = schema->index_count;
}

static void add_runs(const struct view *view, struct table_id table, uint64_t *segments, uint64_t *rows,
                     uint64_t *bytes) {
    const struct view_table *found = view_find_table(view, table);
    for (size_t r = 0; found && r < found->run_count; r++) {
        const struct run *run = found->runs[r].run;
        *segments += run_segment_count(run);
        *rows += run_rows(run);
        *bytes += run_bytes(run);
    }
}

static void describe_sizes(struct plinth *db, const struct table_schema *schema,
                           struct plinth_table_description *description) {
    struct view *view = view_current(&db->views);
    add_runs(view, schema->id, &description->segments, &description->rows, &description->bytes);
    for (uint32_t i = 0; i < schema->index_count; i++) {
        uint64_t segments = 0, rows = 0;
        add_runs(view, schema->indexes[i].id, &segments, &rows, &description->index_bytes);
    }
    for (size_t m = 0; m < view->memtable_count; m++) {
        struct memtable_blocks blocks;
        memtable_blocks(view->memtables[m].memtable, schema->id, &blocks);
        for (size_t i = 0; i < blocks.count; i++) description->memory_rows += blocks.blocks[i]->rows;
        memtable_blocks_release(&blocks);
    }
    view_unref(view);
}

static const char *database_name(struct plinth *db, struct description_memory *memory, uint32_t id) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *database = catalog_database_by_id(&db->shard.catalog, id);
    const char *name = copy_text(memory, database ? database->name : "");
    pthread_rwlock_unlock(&db->catalog_lock);
    return name;
}

enum plinth_status plinth_table_describe(struct plinth *db, const char *database, const char *name,
                                         struct plinth_table_description *description, struct plinth_error *error) {
    *description = (struct plinth_table_description){0};
    error_clear(error);
    const struct table_schema *schema;
    enum plinth_status st = engine_find_schema(db, database, name, &schema, error);
    if (st) return st;
    struct description_memory *memory = calloc(1, sizeof *memory);
    if (memory) {
        arena_init(&memory->arena);
        description->memory = memory;
        description->database = database_name(db, memory, schema->id.database);
        description->name = copy_text(memory, schema->name);
        description->id = schema->id.table;
        description->is_space = schema->kind == TABLE_SPACE;
        description->version = schema->version;
        describe_columns(memory, schema, &description->definition);
        describe_indexes(db, memory, schema, description);
        struct plinth_table_definition *definition = &description->definition;
        definition->partition_by =
            schema->partition_column ? column_name(memory, schema, schema->partition_column) : NULL;
        definition->partition_us = schema->partition_us;
        definition->retention_us = schema->retention_us;
        definition->expire_by = schema->expire_column ? column_name(memory, schema, schema->expire_column) : NULL;
        definition->expire_us = schema->expire_us;
        definition->codec = (enum plinth_codec)schema->codec;
        definition->page_rows = schema->page_rows;
        definition->adds_columns = schema->adds_columns;
        describe_sizes(db, schema, description);
    }
    table_schema_unref(schema);
    if (memory && !memory->failed) return PLINTH_OK;
    plinth_table_description_deinit(description);
    return error_no_memory(error, "table description");
}

void plinth_table_description_deinit(struct plinth_table_description *description) {
    struct description_memory *memory = description->memory;
    if (memory) arena_deinit(&memory->arena);
    free(memory);
    *description = (struct plinth_table_description){0};
}

/* ---- listing ---- */

struct listed_table {
    const char *database;
    const struct catalog_table *table;
};

static int by_name(const void *a, const void *b) {
    const struct listed_table *left = a, *right = b;
    int order = strcmp(left->database, right->database);
    return order ? order : strcmp(left->table->name, right->table->name);
}

enum plinth_status plinth_table_list(struct plinth *db, plinth_table_visitor *visit, void *context,
                                     struct plinth_error *error) {
    error_clear(error);
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    struct listed_table *listed = malloc((catalog->table_count + 1) * sizeof *listed);
    uint32_t count = 0;
    for (uint32_t i = 0; listed && i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (table->kind == CATALOG_INDEX) continue;
        listed[count++] = (struct listed_table){catalog_database_by_id(catalog, table->id.database)->name, table};
    }
    enum plinth_status st = listed ? PLINTH_OK : error_no_memory(error, "list of tables");
    if (count) qsort(listed, count, sizeof *listed, by_name);
    for (uint32_t i = 0; i < count; i++)
        visit(context, listed[i].database, listed[i].table->name, listed[i].table->kind == CATALOG_SPACE,
              listed[i].table->id.table);
    pthread_rwlock_unlock(&db->catalog_lock);
    free(listed);
    return st;
}
