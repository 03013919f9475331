/* The bytes of changes and of the whole catalog; catalog.h says what they are. */
#include <stdlib.h>

#include "base/status.h"
#include "catalog/catalog_private.h"

enum { FLAG_ADDS_COLUMNS = 1, FLAG_EVOLVED = 2, FLAG_EXPIRES = 4, FLAG_UNIQUE = 1, INDEX_KIND_MORE = 0x80 };

/* ---- parts ---- */

static bool append_ids(struct buffer *into, const uint32_t *ids, uint32_t count) {
    bool ok = buffer_append_varint(into, count);
    for (uint32_t i = 0; ok && i < count; i++) ok = buffer_append_varint(into, ids[i]);
    return ok;
}

static void read_ids(struct reader *from, uint32_t ids[ROW_KEY_PARTS_MAX], uint32_t *count) {
    *count = reader_varint32(from);
    if (*count > ROW_KEY_PARTS_MAX) {
        from->failed = true;
        *count = 0;
    }
    for (uint32_t i = 0; i < *count; i++) ids[i] = reader_varint32(from);
}

static bool append_column(struct buffer *into, struct slice name, struct column_type type, bool nullable) {
    return buffer_append_string(into, name) && column_type_encode(into, type) && buffer_append_u8(into, nullable);
}

static struct catalog_column read_column(struct reader *from) {
    struct catalog_column column = {.name = reader_string(from)};
    if (!column_type_decode(from, &column.type)) return column;
    uint8_t nullable = reader_u8(from);
    if (nullable > 1) from->failed = true;
    column.nullable = nullable == 1;
    return column;
}

/* A default, or null for none. */
static bool append_value(struct buffer *into, const struct column *value) {
    return buffer_append_u8(into, value != NULL) && (!value || column_encode(into, value, 0, 1));
}

static const struct column *read_value(struct reader *from, struct arena *arena, struct column_type type) {
    uint8_t there = reader_u8(from);
    if (there > 1) from->failed = true;
    if (from->failed || !there) return NULL;
    struct column *value = arena_alloc(arena, sizeof *value);
    if (!value || column_decode(from, arena, type, 1, value, NULL)) {
        from->failed = true;
        return NULL;
    }
    return value;
}

/* Key, partition and options of a typed table. */
static bool append_options(struct buffer *into, const struct catalog_change *table, bool is_evolved) {
    return append_ids(into, table->key, table->key_count) && buffer_append_varint(into, table->partition_column) &&
           buffer_append_varint(into, table->partition_us) && buffer_append_varint(into, table->retention_us) &&
           buffer_append_u8(into, (uint8_t)table->codec) && buffer_append_varint(into, table->page_rows) &&
           buffer_append_u8(into, (table->adds_columns ? FLAG_ADDS_COLUMNS : 0) | (is_evolved ? FLAG_EVOLVED : 0) |
                                      (table->expire_column ? FLAG_EXPIRES : 0)) &&
           (!table->expire_column ||
            (buffer_append_varint(into, table->expire_column) && buffer_append_varint(into, table->expire_us)));
}

/* `is_evolved` null: it must not be. */
static void read_options(struct reader *from, struct catalog_change *table, bool *is_evolved) {
    read_ids(from, table->key, &table->key_count);
    table->partition_column = reader_varint32(from);
    table->partition_us = reader_varint(from);
    table->retention_us = reader_varint(from);
    table->codec = (enum table_codec)reader_u8(from);
    table->page_rows = reader_varint32(from);
    uint8_t flags = reader_u8(from);
    if (flags & ~(FLAG_ADDS_COLUMNS | FLAG_EXPIRES | (is_evolved ? FLAG_EVOLVED : 0))) from->failed = true;
    if (is_evolved) *is_evolved = (flags & FLAG_EVOLVED) != 0;
    table->adds_columns = (flags & FLAG_ADDS_COLUMNS) != 0;
    if (!(flags & FLAG_EXPIRES)) return;
    table->expire_column = reader_varint32(from);
    table->expire_us = reader_varint(from);
    if (!table->expire_column) from->failed = true;
}

static bool append_index(struct buffer *into, enum index_kind kind, enum index_state state, const uint32_t *columns,
                         uint32_t count) {
    return buffer_append_u8(into, (uint8_t)kind) && buffer_append_u8(into, (uint8_t)state) &&
           append_ids(into, columns, count);
}

/* What only BUILD_INDEX says of an index. */
static bool append_more(struct buffer *into, const struct table_index *index) {
    return buffer_append(into, index->functions, index->column_count) &&
           append_ids(into, index->included, index->included_count) &&
           buffer_append_u8(into, index->unique ? FLAG_UNIQUE : 0) && buffer_append_varint(into, index->replaces);
}

static void read_more(struct reader *from, struct table_index *index) {
    for (uint32_t i = 0; i < index->column_count; i++) index->functions[i] = reader_u8(from);
    read_ids(from, index->included, &index->included_count);
    uint8_t flags = reader_u8(from);
    if (flags & ~FLAG_UNIQUE) from->failed = true;
    index->unique = (flags & FLAG_UNIQUE) != 0;
    index->replaces = reader_varint32(from);
}

static bool has_more(const struct table_index *index) {
    bool any = index->included_count || index->unique || index->replaces;
    for (uint32_t i = 0; i < index->column_count; i++) any |= index->functions[i] != FUNCTION_NONE;
    return any;
}

/* ---- changes ---- */

static bool append_build(struct buffer *into, const struct catalog_change *change) {
    struct table_index index = {.column_count = change->key_count,
                                .included_count = change->included_count,
                                .unique = change->unique,
                                .replaces = change->replaces};
    memcpy(index.functions, change->functions, sizeof index.functions);
    memcpy(index.included, change->included, sizeof index.included);
    return append_index(into, change->index_kind, change->index_state, change->key, change->key_count) &&
           append_more(into, &index);
}

static void read_build(struct reader *from, struct catalog_change *change) {
    struct table_index index = {.column_count = change->key_count};
    read_more(from, &index);
    memcpy(change->functions, index.functions, sizeof index.functions);
    memcpy(change->included, index.included, sizeof index.included);
    change->included_count = index.included_count;
    change->unique = index.unique;
    change->replaces = index.replaces;
}

static bool append_columns(struct buffer *into, const struct catalog_change *change) {
    bool ok = buffer_append_varint(into, change->column_count);
    for (uint32_t i = 0; ok && i < change->column_count; i++)
        ok = append_column(into, change->columns[i].name, change->columns[i].type, change->columns[i].nullable);
    return ok;
}

static void read_columns(struct reader *from, struct arena *arena, struct catalog_change *change) {
    uint64_t count = reader_varint(from);
    if (count > TABLE_COLUMNS_MAX) from->failed = true;
    struct catalog_column *columns = from->failed ? NULL : arena_alloc(arena, (count + 1) * sizeof *columns);
    if (!columns) {
        from->failed = true;
        return;
    }
    for (uint64_t i = 0; i < count && !from->failed; i++) columns[i] = read_column(from);
    change->columns = columns;
    change->column_count = (uint32_t)count;
}

static bool append_alteration(struct buffer *into, const struct catalog_alteration *alteration) {
    const struct catalog_column *added = &alteration->added;
    if (!buffer_append_u8(into, (uint8_t)alteration->kind) || !buffer_append_varint(into, alteration->column))
        return false;
    switch (alteration->kind) {
    case CATALOG_ALTER_ADD_COLUMN:
        return append_column(into, added->name, added->type, added->nullable) && append_value(into, alteration->value);
    case CATALOG_ALTER_DROP_COLUMN: return buffer_append_u8(into, alteration->cascade);
    case CATALOG_ALTER_RENAME_COLUMN:
    case CATALOG_ALTER_RENAME_TABLE: return buffer_append_string(into, alteration->name);
    case CATALOG_ALTER_WIDEN_COLUMN: return column_type_encode(into, alteration->type);
    case CATALOG_ALTER_DROP_NOT_NULL: return true;
    case CATALOG_ALTER_SET_DEFAULT:
        return column_type_encode(into, alteration->type) && append_value(into, alteration->value);
    case CATALOG_ALTER_SET_OPTIONS:
        return buffer_append_u8(into, (uint8_t)alteration->options) &&
               buffer_append_u8(into, (uint8_t)alteration->codec) &&
               buffer_append_varint(into, alteration->page_rows) &&
               buffer_append_varint(into, alteration->retention_us) &&
               buffer_append_u8(into, alteration->adds_columns) &&
               (!(alteration->options & CATALOG_OPTION_EXPIRY) ||
                (buffer_append_varint(into, alteration->expire_column) &&
                 buffer_append_varint(into, alteration->expire_us)));
    }
    return false;
}

static bool read_flag(struct reader *from) {
    uint8_t flag = reader_u8(from);
    if (flag > 1) from->failed = true;
    return flag == 1;
}

static void read_alteration(struct reader *from, struct arena *arena, struct catalog_alteration *alteration) {
    *alteration = (struct catalog_alteration){.kind = (enum catalog_alteration_kind)reader_u8(from)};
    alteration->column = reader_varint32(from);
    switch (alteration->kind) {
    case CATALOG_ALTER_ADD_COLUMN:
        alteration->added = read_column(from);
        if (!from->failed) alteration->value = read_value(from, arena, alteration->added.type);
        break;
    case CATALOG_ALTER_DROP_COLUMN: alteration->cascade = read_flag(from); break;
    case CATALOG_ALTER_RENAME_COLUMN:
    case CATALOG_ALTER_RENAME_TABLE: alteration->name = reader_string(from); break;
    case CATALOG_ALTER_WIDEN_COLUMN: (void)column_type_decode(from, &alteration->type); break;
    case CATALOG_ALTER_DROP_NOT_NULL: break;
    case CATALOG_ALTER_SET_DEFAULT:
        if (column_type_decode(from, &alteration->type)) alteration->value = read_value(from, arena, alteration->type);
        break;
    case CATALOG_ALTER_SET_OPTIONS:
        alteration->options = reader_u8(from);
        alteration->codec = (enum table_codec)reader_u8(from);
        alteration->page_rows = reader_varint32(from);
        alteration->retention_us = reader_varint(from);
        alteration->adds_columns = read_flag(from);
        if (!(alteration->options & CATALOG_OPTION_EXPIRY)) break;
        alteration->expire_column = reader_varint32(from);
        alteration->expire_us = reader_varint(from);
        break;
    default: from->failed = true;
    }
}

static bool append_alterations(struct buffer *into, const struct catalog_change *change) {
    bool ok = buffer_append_varint(into, change->schema_version) && buffer_append_varint(into, change->horizon_lsn) &&
              buffer_append_varint(into, change->alteration_count);
    for (uint32_t i = 0; ok && i < change->alteration_count; i++) ok = append_alteration(into, &change->alterations[i]);
    return ok;
}

static void read_alterations(struct reader *from, struct arena *arena, struct catalog_change *change) {
    change->schema_version = reader_varint(from);
    change->horizon_lsn = reader_varint(from);
    uint64_t count = reader_varint(from);
    if (count > CATALOG_ALTERATIONS_MAX || count > reader_left(from)) from->failed = true;
    struct catalog_alteration *into = from->failed ? NULL : arena_alloc(arena, (count + 1) * sizeof *into);
    if (!into) {
        from->failed = true;
        return;
    }
    for (uint64_t i = 0; i < count && !from->failed; i++) read_alteration(from, arena, &into[i]);
    change->alterations = into;
    change->alteration_count = (uint32_t)count;
}

bool catalog_change_encode(struct buffer *into, const struct catalog_change *change) {
    bool ok = buffer_append_varint(into, change->version) && buffer_append_u8(into, (uint8_t)change->kind) &&
              buffer_append_varint(into, change->tenant) && buffer_append_varint(into, change->database) &&
              buffer_append_varint(into, change->space) && buffer_append_string(into, change->name);
    switch (change->kind) {
    case CATALOG_CREATE_TABLE: return ok && append_columns(into, change) && append_options(into, change, false);
    case CATALOG_ADD_COLUMNS: return ok && append_columns(into, change);
    case CATALOG_CREATE_TABLE_INDEX:
        return ok && append_index(into, change->index_kind, change->index_state, change->key, change->key_count);
    case CATALOG_SET_INDEX_STATE: return ok && buffer_append_u8(into, (uint8_t)change->index_state);
    case CATALOG_BUILD_INDEX: return ok && append_build(into, change);
    case CATALOG_ALTER_TABLE: return ok && append_alterations(into, change);
    default: return ok;
    }
}

bool catalog_change_decode(struct reader *from, struct arena *arena, struct catalog_change *change) {
    *change = (struct catalog_change){.version = reader_varint(from)};
    change->kind = (enum catalog_change_kind)reader_u8(from);
    change->tenant = reader_varint32(from);
    change->database = reader_varint32(from);
    change->space = reader_varint32(from);
    change->name = reader_string(from);
    if (change->kind == CATALOG_CREATE_TABLE || change->kind == CATALOG_ADD_COLUMNS) read_columns(from, arena, change);
    if (change->kind == CATALOG_CREATE_TABLE) read_options(from, change, NULL);
    if (change->kind == CATALOG_ALTER_TABLE) read_alterations(from, arena, change);
    bool makes_index = change->kind == CATALOG_CREATE_TABLE_INDEX || change->kind == CATALOG_BUILD_INDEX;
    if (makes_index) change->index_kind = (enum index_kind)reader_u8(from);
    if (makes_index || change->kind == CATALOG_SET_INDEX_STATE) change->index_state = (enum index_state)reader_u8(from);
    if (makes_index) read_ids(from, change->key, &change->key_count);
    if (change->kind == CATALOG_BUILD_INDEX) read_build(from, change);
    return !from->failed;
}

/* ---- the whole catalog ---- */

static bool has_default(const struct table_column *column) { return column->initial_default || column->write_default; }

static bool encode_defaults(struct buffer *into, const struct table_schema *schema) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < schema->column_count; i++) count += has_default(&schema->columns[i]);
    bool ok = buffer_append_varint(into, count);
    for (uint32_t i = 0; ok && i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        if (!has_default(column)) continue;
        ok = buffer_append_varint(into, column->id) && append_value(into, column->initial_default) &&
             append_value(into, column->write_default);
    }
    return ok;
}

/* `table` is what the schema is of; null for one of the past. */
static bool encode_schema(struct buffer *into, const struct table_schema *schema, const struct catalog_table *table) {
    bool is_evolved = table && table->past_count;
    bool ok = buffer_append_varint(into, schema->column_count);
    for (uint32_t i = 0; ok && i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        ok = buffer_append_varint(into, column->id) &&
             append_column(into, slice_of_string(column->name), column->type, column->nullable);
        is_evolved |= has_default(column);
    }
    struct catalog_change options = {.key_count = schema->key_count,
                                     .partition_column = schema->partition_column,
                                     .partition_us = schema->partition_us,
                                     .retention_us = schema->retention_us,
                                     .expire_column = schema->expire_column,
                                     .expire_us = schema->expire_us,
                                     .codec = schema->codec,
                                     .page_rows = schema->page_rows,
                                     .adds_columns = schema->adds_columns};
    memcpy(options.key, schema->key, sizeof options.key);
    ok = ok && buffer_append_varint(into, schema->next_column_id) && append_options(into, &options, is_evolved) &&
         buffer_append_varint(into, schema->version);
    if (!ok || !is_evolved) return ok;
    uint32_t past_count = table ? table->past_count : 0;
    ok = encode_defaults(into, schema) && buffer_append_varint(into, past_count);
    for (uint32_t i = 0; ok && i < past_count; i++)
        ok = buffer_append_varint(into, table->pasts[i].until_lsn) && encode_schema(into, table->pasts[i].schema, NULL);
    return ok;
}

static bool encode_table(struct buffer *into, const struct catalog *catalog, const struct catalog_table *table) {
    bool ok = buffer_append_varint(into, table->id.tenant) && buffer_append_varint(into, table->id.database) &&
              buffer_append_varint(into, table->id.table) && buffer_append_u8(into, (uint8_t)table->kind) &&
              buffer_append_varint(into, table->space) && buffer_append_varint(into, table->version) &&
              buffer_append_string(into, slice_of_string(table->name));
    if (!ok || table->kind == CATALOG_SPACE) return ok;
    if (table->kind == CATALOG_ROWS) return encode_schema(into, table->schema, table);
    const struct table_schema *schema = catalog_table_by_id(catalog, table->space)->schema;
    if (schema->kind == TABLE_SPACE) return true;
    const struct table_index *index = table_schema_find_index_id(schema, table->id.table);
    enum index_kind kind = (enum index_kind)(index->kind | (has_more(index) ? INDEX_KIND_MORE : 0));
    return append_index(into, kind, index->state, index->columns, index->column_count) &&
           (!has_more(index) || append_more(into, index));
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
    for (uint32_t i = 0; ok && i < catalog->table_count; i++) ok = encode_table(into, catalog, &catalog->tables[i]);
    return ok;
}

static bool decode_defaults(struct reader *from, struct table_schema *schema) {
    struct arena arena;
    arena_init(&arena);
    uint64_t count = reader_varint(from);
    bool ok = count <= schema->column_count;
    for (uint32_t last = 0; ok && count; count--) {
        uint32_t id = reader_varint32(from);
        int32_t at = from->failed ? -1 : table_schema_find_id(schema, id);
        ok = at >= 0 && id > last;
        last = id;
        if (!ok) break;
        const struct column *initial = read_value(from, &arena, schema->columns[at].type);
        const struct column *write = read_value(from, &arena, schema->columns[at].type);
        ok = !from->failed && table_schema_set_defaults(schema, (uint32_t)at, initial, write);
    }
    arena_deinit(&arena);
    return ok && !from->failed;
}

static struct table_schema *decode_schema(struct reader *from, struct table_id id, struct slice name,
                                          struct catalog_table *table);

static bool decode_pasts(struct reader *from, struct catalog_table *table, struct table_id id, struct slice name) {
    uint64_t count = reader_varint(from);
    if (from->failed || (count && !table)) return false; /* the past has none */
    for (uint64_t last = 0; count; count--) {
        uint64_t until_lsn = reader_varint(from);
        struct table_schema *past = from->failed || until_lsn <= last ? NULL : decode_schema(from, id, name, NULL);
        if (!past || !catalog_add_past(table, until_lsn, past)) return false;
        last = until_lsn;
    }
    return true;
}

/* Null when malformed, or memory is out. `table` takes the pasts, also on failure; null: there must be none. */
static struct table_schema *decode_schema(struct reader *from, struct table_id id, struct slice name,
                                          struct catalog_table *table) {
    uint64_t count = reader_varint(from);
    if (from->failed || count > TABLE_COLUMNS_MAX) return NULL;
    struct table_schema *schema = table_schema_create(id, TABLE_ROWS, name, (uint32_t)count, 0);
    if (!schema) return NULL;
    bool ok = true;
    for (uint64_t i = 0; ok && i < count; i++) {
        uint32_t column_id = reader_varint32(from);
        struct catalog_column column = read_column(from);
        ok = !from->failed && column_id >= schema->next_column_id;
        schema->next_column_id = column_id;
        ok = ok && table_schema_add_column(schema, column.name, column.type, column.nullable);
    }
    uint32_t next = reader_varint32(from);
    struct catalog_change options = {0};
    bool is_evolved = false;
    read_options(from, &options, &is_evolved);
    schema->version = reader_varint(from);
    if (ok && is_evolved) ok = !from->failed && decode_defaults(from, schema) && decode_pasts(from, table, id, name);
    if (!ok || from->failed || next < schema->next_column_id) {
        table_schema_unref(schema);
        return NULL;
    }
    schema->next_column_id = next;
    memcpy(schema->key, options.key, sizeof schema->key);
    schema->key_count = options.key_count;
    schema->partition_column = options.partition_column;
    schema->partition_us = options.partition_us;
    schema->retention_us = options.retention_us;
    schema->expire_column = options.expire_column;
    schema->expire_us = options.expire_us;
    schema->codec = options.codec;
    schema->page_rows = options.page_rows;
    schema->adds_columns = options.adds_columns;
    return schema;
}

/* Puts an index into the schema of its table `of`. */
static bool decode_index(struct reader *from, struct catalog_table *of, struct table_id id, struct slice name) {
    struct table_index index = {.id = id, .kind = INDEX_SPACE, .state = INDEX_READY};
    if (of->kind == CATALOG_ROWS) {
        uint8_t kind = reader_u8(from);
        index.kind = (enum index_kind)(kind & ~INDEX_KIND_MORE);
        index.state = (enum index_state)reader_u8(from);
        read_ids(from, index.columns, &index.column_count);
        if (kind & INDEX_KIND_MORE) read_more(from, &index);
        if (from->failed || of->schema->index_count >= TABLE_INDEXES_MAX) return false;
    }
    struct table_schema *schema = table_schema_copy(of->schema, 0, 1);
    if (!schema || !table_schema_add_index(schema, &index, name)) {
        table_schema_unref(schema);
        return false;
    }
    catalog_replace_schema(of, schema);
    return true;
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
    if (from->failed || table.id.table <= *last_id || table.id.table >= catalog->next_id) return false;
    *last_id = table.id.table;
    struct catalog_table *of = catalog_table_mutable(catalog, table.space);
    struct table_schema *schema = NULL;
    switch (table.kind) {
    case CATALOG_SPACE:
        schema = table_schema_create_space(table.id, name, 0);
        if (!schema) return false;
        schema->version = table.version;
        break;
    case CATALOG_ROWS:
        schema = decode_schema(from, table.id, name, &table);
        table.schema = schema;
        if (schema) break;
        catalog_free_table(&table);
        return false;
    case CATALOG_INDEX:
        if (!of || of->kind == CATALOG_INDEX || !decode_index(from, of, table.id, name)) return false;
        break;
    default: return false;
    }
    table.schema = schema;
    return catalog_add_table(catalog, table, name);
}

/* What a table was has its key and columns that it knows; the present schema's rules hold for it, too. */
static bool past_is_sound(const struct table_schema *past, const struct table_schema *present) {
    if (past->next_column_id > present->next_column_id || past->key_count != present->key_count ||
        past->partition_column != present->partition_column || past->partition_us != present->partition_us)
        return false;
    return memcmp(past->key, present->key, past->key_count * sizeof *past->key) == 0 &&
           !catalog_check_schema(past, NULL);
}

static bool table_is_sound(const struct catalog_table *table) {
    if (catalog_check_schema(table->schema, NULL)) return false;
    for (uint32_t i = 0; i < table->past_count; i++)
        if (!past_is_sound(table->pasts[i].schema, table->schema)) return false;
    return table->past_count <= CATALOG_PASTS_MAX;
}

/* The rules, once more: the bytes are not trusted. */
static bool schemas_are_sound(const struct catalog *catalog) {
    for (uint32_t i = 0; i < catalog->table_count; i++)
        if (catalog->tables[i].kind == CATALOG_ROWS && !table_is_sound(&catalog->tables[i])) return false;
    return true;
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
        ok = !from->failed && catalog_add_database(catalog, tenant, id, name);
    }
    uint64_t tables = ok ? reader_varint(from) : 0;
    uint32_t last_id = 0;
    for (uint64_t i = 0; ok && i < tables; i++) ok = decode_table(from, catalog, &last_id);
    if (ok && !from->failed && schemas_are_sound(catalog)) return PLINTH_OK;
    catalog_deinit(catalog);
    return error_set(error, PLINTH_CORRUPT, "malformed catalog");
}
