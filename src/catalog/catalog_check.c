/* The rules: names, and what a typed table and its indexes may be. One function makes the schema that a change leads
 * to, and one says whether a schema is sound; so a change is checked, applied and read from a checkpoint by the same
 * rules. */
#include <strings.h>

#include "base/status.h"
#include "catalog/catalog_private.h"

static enum plinth_status invalid(struct plinth_error *error, const char *column, const char *rule) {
    return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" %s", column, rule);
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

enum plinth_status catalog_check_column_name(struct slice name, struct plinth_error *error) {
    if (name.size == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "column name is empty");
    if (name.size > CATALOG_NAME_BYTES_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column name has %zu bytes; at most %d are allowed", name.size,
                         CATALOG_NAME_BYTES_MAX);
    size_t bad = utf8_find_invalid(name);
    if (bad != SIZE_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column name is not valid UTF-8 at offset %zu", bad);
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "column name has control character 0x%02x at offset %zu",
                             name.data[i], i);
    if (name.data[0] == '_')
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%.*s\": names that begin with an underscore are Plinth's own", (int)name.size,
                         name.data);
    return PLINTH_OK;
}

/* ---- a typed table ---- */

static enum plinth_status check_columns(const struct table_schema *schema, struct plinth_error *error) {
    if (schema->column_count == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "a table needs a column");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        st = catalog_check_column_name(slice_of_string(column->name), error);
        if (!st && !column_type_is_valid(column->type)) st = invalid(error, column->name, "has no valid type");
        for (uint32_t j = 0; !st && j < i; j++)
            if (strcasecmp(schema->columns[j].name, column->name) == 0)
                st = error_set(error, PLINTH_INVALID_ARGUMENT,
                               strcmp(schema->columns[j].name, column->name) == 0
                                   ? "column \"%s\" is there twice"
                                   : "column \"%s\" differs from column \"%s\" only by upper and lower case",
                               column->name, schema->columns[j].name);
    }
    return st;
}

static enum plinth_status check_key(const struct table_schema *schema, struct plinth_error *error) {
    for (uint32_t i = 0; i < schema->key_count; i++) {
        int32_t at = table_schema_find_id(schema, schema->key[i]);
        if (at < 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "primary key: no column with id %u", schema->key[i]);
        const struct table_column *column = &schema->columns[at];
        if (column->type.kind == COLUMN_LIST)
            return invalid(error, column->name, "is a list, which cannot be part of a primary key");
        if (column->nullable) return invalid(error, column->name, "is part of the primary key and cannot be null");
        for (uint32_t j = 0; j < i; j++)
            if (schema->key[j] == schema->key[i]) return invalid(error, column->name, "is twice in the primary key");
    }
    return PLINTH_OK;
}

static enum plinth_status check_partition(const struct table_schema *schema, struct plinth_error *error) {
    if (!schema->partition_column) {
        if (schema->partition_us)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "a partition's length without a column to partition by");
        if (schema->retention_us)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "retention drops whole partitions: it needs a column to partition by");
        return PLINTH_OK;
    }
    int32_t at = table_schema_find_id(schema, schema->partition_column);
    if (at < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "partition: no column with id %u", schema->partition_column);
    const struct table_column *column = &schema->columns[at];
    if (column->type.kind != COLUMN_DATE && column->type.kind != COLUMN_TIMESTAMP) {
        char type[COLUMN_TYPE_TEXT_MAX];
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is of type %s; partitions are made by a date or timestamp", column->name,
                         column_type_format(column->type, type));
    }
    if (schema->key_count && !table_schema_is_key(schema, column->id))
        return invalid(error, column->name, "partitions the table and so has to be part of its primary key");
    if (column->nullable) return invalid(error, column->name, "partitions the table and so has to be not null");
    if (schema->partition_us < CATALOG_PARTITION_US_MIN || schema->partition_us > CATALOG_PARTITION_US_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "a partition is 1 minute to 100 years long; %llu us are outside",
                         (unsigned long long)schema->partition_us);
    return PLINTH_OK;
}

static enum plinth_status check_expiry(const struct table_schema *schema, struct plinth_error *error) {
    if (!schema->expire_column) {
        if (!schema->expire_us) return PLINTH_OK;
        return error_set(error, PLINTH_INVALID_ARGUMENT, "rows expire after a time, but by no column");
    }
    int32_t at = table_schema_find_id(schema, schema->expire_column);
    if (at < 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "rows expire by a column with id %u, which is none",
                         schema->expire_column);
    const struct table_column *column = &schema->columns[at];
    if (column->type.kind != COLUMN_DATE && column->type.kind != COLUMN_TIMESTAMP) {
        char type[COLUMN_TYPE_TEXT_MAX];
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is of type %s; rows expire by a date or timestamp", column->name,
                         column_type_format(column->type, type));
    }
    if (schema->expire_us <= CATALOG_EXPIRE_US_MAX) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "rows expire at most 100 years after a time; %llu us are more",
                     (unsigned long long)schema->expire_us);
}

static enum plinth_status check_options(const struct table_schema *schema, struct plinth_error *error) {
    if (schema->codec < TABLE_CODEC_DEFAULT || schema->codec > TABLE_CODEC_NONE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown codec %d", (int)schema->codec);
    if (schema->page_rows && (schema->page_rows < CATALOG_PAGE_ROWS_MIN || schema->page_rows > CATALOG_PAGE_ROWS_MAX))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%u rows a page; %d to %d are allowed", schema->page_rows,
                         CATALOG_PAGE_ROWS_MIN, CATALOG_PAGE_ROWS_MAX);
    return PLINTH_OK;
}

/* Functions, included columns and uniqueness. */
static enum plinth_status check_sorted(const struct table_schema *schema, const struct table_index *index,
                                       struct plinth_error *error) {
    uint32_t elements = 0;
    for (uint32_t i = 0; i < index->column_count; i++) {
        const struct table_column *column = &schema->columns[table_schema_find_id(schema, index->columns[i])];
        char type[COLUMN_TYPE_TEXT_MAX];
        if (!column_function_fits((enum column_function)index->functions[i], column->type))
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             index->functions[i] == FUNCTION_NONE
                                 ? "index \"%s\": column \"%s\" is of type %s; a list cannot be indexed but by its "
                                   "elements"
                                 : "index \"%s\": column \"%s\" is of type %s, which the function does not take",
                             index->name, column->name, column_type_format(column->type, type));
        elements += index->functions[i] == FUNCTION_ELEMENTS;
    }
    if (elements > 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" is on the elements of several lists",
                         index->name);
    if (table_index_entry_parts(index) > ROW_KEY_PARTS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "index \"%s\" names and includes %u columns; at most %d are allowed together", index->name,
                         table_index_entry_parts(index), ROW_KEY_PARTS_MAX);
    for (uint32_t i = 0; i < index->included_count; i++) {
        int32_t at = table_schema_find_id(schema, index->included[i]);
        if (at < 0)
            return error_set(error, PLINTH_NOT_FOUND, "index \"%s\": no column with id %u", index->name,
                             index->included[i]);
        if (!row_key_type_is_allowed(schema->columns[at].type))
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "index \"%s\": column \"%s\" is a list, which cannot be included", index->name,
                             schema->columns[at].name);
        bool there = table_schema_is_key(schema, index->included[i]);
        for (uint32_t j = 0; j < i; j++) there |= index->included[j] == index->included[i];
        for (uint32_t j = 0; j < index->column_count; j++)
            there |= index->columns[j] == index->included[i] && index->functions[j] == FUNCTION_NONE;
        if (there)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" has column \"%s\" already", index->name,
                             schema->columns[at].name);
    }
    return PLINTH_OK;
}

static enum plinth_status check_index(const struct table_schema *schema, const struct table_index *index,
                                      struct plinth_error *error) {
    enum plinth_status st = catalog_check_name("index", slice_of_string(index->name), error);
    if (st) return st;
    if (index->kind < INDEX_SORTED || index->kind > INDEX_TOKEN)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\": unknown kind %d", index->name,
                         (int)index->kind);
    if (index->state < INDEX_BUILDING || index->state > INDEX_DROPPING)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\": unknown state %d", index->name,
                         (int)index->state);
    const char *kind = index_kind_name(index->kind);
    if (index->column_count == 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" names no column", index->name);
    if (index->column_count > (index->kind == INDEX_SORTED ? ROW_KEY_PARTS_MAX : 1))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" names %u columns; a %s index has %s%d",
                         index->name, index->column_count, kind, index->kind == INDEX_SORTED ? "at most " : "",
                         index->kind == INDEX_SORTED ? ROW_KEY_PARTS_MAX : 1);
    for (uint32_t i = 0; i < index->column_count; i++) {
        int32_t at = table_schema_find_id(schema, index->columns[i]);
        if (at < 0)
            return error_set(error, PLINTH_NOT_FOUND, "index \"%s\": no column with id %u", index->name,
                             index->columns[i]);
        const struct table_column *column = &schema->columns[at];
        char type[COLUMN_TYPE_TEXT_MAX];
        column_type_format(column->type, type);
        if (index->kind == INDEX_TOKEN && column->type.kind != COLUMN_STRING)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "index \"%s\": column \"%s\" is of type %s; a token index is of a string", index->name,
                             column->name, type);
        if (index->kind != INDEX_SORTED && column->type.kind == COLUMN_LIST)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "index \"%s\": column \"%s\" is of type %s; a list cannot be indexed", index->name,
                             column->name, type);
        if (index->kind != INDEX_SORTED && index->functions[i] != FUNCTION_NONE)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\": a %s index is of a column as it is",
                             index->name, kind);
        for (uint32_t j = 0; j < i; j++)
            if (index->columns[j] == index->columns[i] && index->functions[j] == index->functions[i])
                return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" names column \"%s\" twice", index->name,
                                 column->name);
    }
    if (index->kind == INDEX_SORTED) return check_sorted(schema, index, error);
    if (!index->included_count && !index->unique) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\": a %s index %s", index->name, kind,
                     index->unique ? "cannot be unique" : "includes no columns");
}

/* Defaults are of their columns' types; with bytes from outside they need not be. */
static enum plinth_status check_defaults(const struct table_schema *schema, struct plinth_error *error) {
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        const struct column *const values[] = {column->initial_default, column->write_default};
        for (int v = 0; v < 2; v++) {
            if (!values[v]) continue;
            if (!column_type_equal(values[v]->type, column->type) || column_is_null(values[v], 0))
                return invalid(error, column->name, "has a default that it cannot hold");
            if (column_encoded_bytes(values[v], 0, 1) > CATALOG_DEFAULT_BYTES_MAX)
                return invalid(error, column->name, "has a default of more than 4 KiB");
        }
    }
    return PLINTH_OK;
}

enum plinth_status catalog_check_schema(const struct table_schema *schema, struct plinth_error *error) {
    enum plinth_status st = check_columns(schema, error);
    if (!st) st = check_defaults(schema, error);
    if (!st) st = check_key(schema, error);
    if (!st) st = check_partition(schema, error);
    if (!st) st = check_expiry(schema, error);
    if (!st) st = check_options(schema, error);
    for (uint32_t i = 0; !st && i < schema->index_count; i++) {
        st = check_index(schema, &schema->indexes[i], error);
        for (uint32_t j = 0; !st && j < i; j++)
            if (strcmp(schema->indexes[j].name, schema->indexes[i].name) == 0)
                st = error_set(error, PLINTH_ALREADY_EXISTS, "index \"%s\" exists already", schema->indexes[i].name);
    }
    return st;
}

/* ---- the schema that a change leads to ---- */

static bool add_columns(struct table_schema *schema, const struct catalog_change *change) {
    for (uint32_t i = 0; i < change->column_count; i++)
        if (!table_schema_add_column(schema, change->columns[i].name, change->columns[i].type,
                                     change->columns[i].nullable))
            return false;
    return true;
}

static enum plinth_status too_many_columns(struct plinth_error *error) {
    return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "a table has at most %d columns", TABLE_COLUMNS_MAX);
}

static enum plinth_status make_table(const struct catalog_change *change, struct table_id id,
                                     struct table_schema **schema, struct plinth_error *error) {
    if (change->column_count > TABLE_COLUMNS_MAX) return too_many_columns(error);
    if (change->key_count > ROW_KEY_PARTS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the primary key has %u columns; at most %d are allowed",
                         change->key_count, ROW_KEY_PARTS_MAX);
    struct table_schema *made = table_schema_create(id, TABLE_ROWS, change->name, change->column_count, 0);
    if (!made || !add_columns(made, change)) {
        table_schema_unref(made);
        return error_no_memory(error, "schema");
    }
    memcpy(made->key, change->key, change->key_count * sizeof *made->key);
    made->key_count = change->key_count;
    for (uint32_t i = 0; i < made->key_count; i++) { /* NOT NULL is implied */
        int32_t at = table_schema_find_id(made, made->key[i]);
        if (at >= 0) made->columns[at].nullable = false;
    }
    made->partition_column = change->partition_column;
    made->partition_us = change->partition_us;
    made->retention_us = change->retention_us;
    made->expire_column = change->expire_column;
    made->expire_us = change->expire_us;
    made->codec = change->codec;
    made->page_rows = change->page_rows;
    made->adds_columns = change->adds_columns;
    *schema = made;
    return PLINTH_OK;
}

static enum plinth_status check_new_column(const struct table_schema *old, const struct catalog_column *column,
                                           struct plinth_error *error) {
    int32_t at = table_schema_find(old, column->name);
    if (at < 0) {
        if (column->nullable) return PLINTH_OK;
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%.*s\" has to be nullable: rows that are there already have no value for it",
                         (int)column->name.size, column->name.data);
    }
    char had[COLUMN_TYPE_TEXT_MAX], wanted[COLUMN_TYPE_TEXT_MAX];
    if (column_type_equal(old->columns[at].type, column->type))
        return error_set(error, PLINTH_ALREADY_EXISTS, "column \"%s\" exists already", old->columns[at].name);
    return error_set(error, PLINTH_CONFLICT, "column \"%s\" exists already with type %s, not %s", old->columns[at].name,
                     column_type_format(old->columns[at].type, had), column_type_format(column->type, wanted));
}

static enum plinth_status make_wider(const struct table_schema *old, const struct catalog_change *change,
                                     struct table_schema **schema, struct plinth_error *error) {
    if (change->column_count == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "no column to add is named");
    if (change->column_count > TABLE_COLUMNS_MAX - old->column_count) return too_many_columns(error);
    for (uint32_t i = 0; i < change->column_count; i++) {
        enum plinth_status st = check_new_column(old, &change->columns[i], error);
        if (st) return st;
    }
    struct table_schema *made = table_schema_copy(old, change->column_count, 0);
    if (!made || !add_columns(made, change)) {
        table_schema_unref(made);
        return error_no_memory(error, "schema");
    }
    *schema = made;
    return PLINTH_OK;
}

static enum plinth_status make_indexed(const struct table_schema *old, const struct catalog_change *change,
                                       struct table_id id, struct table_schema **schema, struct plinth_error *error) {
    bool typed = change->kind != CATALOG_CREATE_INDEX;
    if (change->included_count > INDEX_INCLUDED_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%.*s\" includes %u columns; at most %d are allowed",
                         (int)change->name.size, change->name.data, change->included_count, INDEX_INCLUDED_MAX);
    if (typed && old->index_count >= TABLE_INDEXES_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "a table has at most %d indexes", TABLE_INDEXES_MAX);
    if (change->key_count > ROW_KEY_PARTS_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%.*s\" names %u columns; at most %d are allowed",
                         (int)change->name.size, change->name.data, change->key_count, ROW_KEY_PARTS_MAX);
    struct table_index index = {.id = id,
                                .kind = typed ? change->index_kind : INDEX_SPACE,
                                .state = typed ? change->index_state : INDEX_READY,
                                .column_count = typed ? change->key_count : 0};
    if (typed) memcpy(index.columns, change->key, change->key_count * sizeof *index.columns);
    if (change->kind == CATALOG_BUILD_INDEX) {
        memcpy(index.functions, change->functions, sizeof index.functions);
        memcpy(index.included, change->included, sizeof index.included);
        index.included_count = change->included_count;
        index.unique = change->unique;
        index.replaces = change->replaces;
    }
    struct table_schema *made = table_schema_copy(old, 0, 1);
    if (!made || !table_schema_add_index(made, &index, change->name)) {
        table_schema_unref(made);
        return error_no_memory(error, "schema");
    }
    *schema = made;
    return PLINTH_OK;
}

static void remove_index(struct table_schema *schema, struct table_index *index) {
    size_t behind = (size_t)(schema->indexes + schema->index_count - (index + 1));
    memmove(index, index + 1, behind * sizeof *index);
    schema->index_count--;
}

/* The schema with its index `id` in another state, or (state 0) without it. */
static enum plinth_status make_with_state(const struct table_schema *old, uint32_t id, enum index_state state,
                                          struct table_schema **schema, struct plinth_error *error) {
    struct table_schema *made = table_schema_copy(old, 0, 0);
    if (!made) return error_no_memory(error, "schema");
    struct table_index *index = (struct table_index *)table_schema_find_index_id(made, id);
    if (state && (state < INDEX_BUILDING || state > INDEX_DROPPING || state <= index->state)) {
        enum plinth_status st = error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" cannot go from state %s to %s",
                                          index->name, index_state_name(index->state), index_state_name(state));
        table_schema_unref(made);
        return st;
    }
    if (state) {
        index->state = state;
        index->replaces = 0;
    } else {
        remove_index(made, index);
    }
    *schema = made;
    return PLINTH_OK;
}

/* The schema with index `id` ready, under the name of the one that it was built for, which is gone. */
static enum plinth_status make_with_replaced(const struct table_schema *old, uint32_t id, struct table_schema **schema,
                                             struct plinth_error *error) {
    struct table_schema *made = table_schema_copy(old, 0, 0);
    if (!made) return error_no_memory(error, "schema");
    struct table_index *index = (struct table_index *)table_schema_find_index_id(made, id);
    struct table_index *replaced = (struct table_index *)table_schema_find_index_id(made, index->replaces);
    if (!index->replaces || index->state != INDEX_BUILDING || !replaced) {
        enum plinth_status st = error_set(error, PLINTH_INVALID_ARGUMENT, "index \"%s\" replaces none", index->name);
        table_schema_unref(made);
        return st;
    }
    index->state = INDEX_READY;
    index->replaces = 0;
    index->name = replaced->name;
    remove_index(made, replaced);
    *schema = made;
    return PLINTH_OK;
}

enum plinth_status catalog_make_schema(const struct catalog *catalog, const struct catalog_change *change,
                                       struct table_id id, struct table_schema **schema, struct plinth_error *error) {
    *schema = NULL;
    enum plinth_status st = PLINTH_OK;
    const struct catalog_table *table = catalog_table_by_id(catalog, change->space);
    if (table && table->kind == CATALOG_INDEX) table = catalog_table_by_id(catalog, table->space);
    switch (change->kind) {
    case CATALOG_CREATE_SPACE:
        *schema = table_schema_create_space(id, change->name, 0);
        if (!*schema) st = error_no_memory(error, "schema");
        break;
    case CATALOG_CREATE_TABLE: st = make_table(change, id, schema, error); break;
    case CATALOG_ADD_COLUMNS: st = make_wider(table->schema, change, schema, error); break;
    case CATALOG_CREATE_INDEX:
    case CATALOG_CREATE_TABLE_INDEX:
    case CATALOG_BUILD_INDEX: st = make_indexed(table->schema, change, id, schema, error); break;
    case CATALOG_SET_INDEX_STATE:
        st = make_with_state(table->schema, change->space, change->index_state ? change->index_state : INDEX_BUILDING,
                             schema, error);
        break;
    case CATALOG_DROP_INDEX: st = make_with_state(table->schema, change->space, 0, schema, error); break;
    case CATALOG_REPLACE_INDEX: st = make_with_replaced(table->schema, change->space, schema, error); break;
    case CATALOG_ALTER_TABLE: st = catalog_make_altered(catalog, table, change, schema, error); break;
    default: break;
    }
    if (!*schema) return st;
    (*schema)->version = change->version;
    if ((*schema)->kind == TABLE_ROWS) st = catalog_check_schema(*schema, error);
    if (!st) return PLINTH_OK;
    table_schema_unref(*schema);
    *schema = NULL;
    return st;
}
