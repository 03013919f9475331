/* Alterations: what may become of a table that has rows. Each is checked and made on a schema that nobody shares yet;
 * so whoever puts a change together can make its first steps to know what the next ones meet.
 *
 * Columns keep their ids. What is stored is not touched: readers map it by id, widen it, and give what lacks a column
 * its initial default. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "catalog/catalog_private.h"

static enum plinth_status find_column(const struct table_schema *schema, uint32_t id, uint32_t *at,
                                      struct plinth_error *error) {
    int32_t found = table_schema_find_id(schema, id);
    *at = (uint32_t)found;
    if (found >= 0) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no column with id %u", schema->name, id);
}

static bool includes(const struct table_index *index, uint32_t column_id) {
    for (uint32_t i = 0; i < index->included_count; i++)
        if (index->included[i] == column_id) return true;
    return false;
}

static bool index_names(const struct table_index *index, uint32_t column_id) {
    for (uint32_t i = 0; i < index->column_count; i++)
        if (index->columns[i] == column_id) return true;
    return includes(index, column_id);
}

/* A value of the column's type, or null for none. */
static enum plinth_status check_value(const struct table_column *column, const struct column *value,
                                      struct plinth_error *error) {
    char had[COLUMN_TYPE_TEXT_MAX], wanted[COLUMN_TYPE_TEXT_MAX];
    if (!value) return PLINTH_OK;
    if (!column_type_equal(value->type, column->type))
        return error_set(error, PLINTH_CONFLICT, "the default of column \"%s\" is of type %s, the column of type %s",
                         column->name, column_type_format(value->type, had), column_type_format(column->type, wanted));
    if (column_is_null(value, 0))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the default of column \"%s\" is null: leave it out",
                         column->name);
    return PLINTH_OK;
}

static enum plinth_status check_free(const struct table_schema *schema, struct slice name, struct plinth_error *error) {
    enum plinth_status st = catalog_check_column_name(name, error);
    int32_t at = st ? -1 : table_schema_find(schema, name);
    if (st || at < 0) return st;
    return error_set(error, PLINTH_ALREADY_EXISTS, "column \"%s\" exists already", schema->columns[at].name);
}

static enum plinth_status add_column(struct table_schema *schema, const struct catalog_alteration *alteration,
                                     struct plinth_error *error) {
    const struct catalog_column *column = &alteration->added;
    enum plinth_status st = check_free(schema, column->name, error);
    if (st) return st;
    if (schema->column_count >= TABLE_COLUMNS_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "a table has at most %d columns", TABLE_COLUMNS_MAX);
    if (!column->nullable && !alteration->value)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%.*s\" has to be nullable or to have a default: rows that are there already have no "
                         "value for it",
                         (int)column->name.size, column->name.data);
    if (!table_schema_add_column(schema, column->name, column->type, column->nullable))
        return error_no_memory(error, "schema");
    uint32_t at = schema->column_count - 1;
    st = check_value(&schema->columns[at], alteration->value, error);
    if (!st && !table_schema_set_defaults(schema, at, alteration->value, alteration->value))
        st = error_no_memory(error, "schema");
    return st;
}

static void remove_index(struct table_schema *schema, uint32_t at) {
    schema->index_count--;
    memmove(&schema->indexes[at], &schema->indexes[at + 1], (schema->index_count - at) * sizeof *schema->indexes);
}

static enum plinth_status drop_column(struct table_schema *schema, const struct catalog_alteration *alteration,
                                      struct plinth_error *error) {
    uint32_t at;
    enum plinth_status st = find_column(schema, alteration->column, &at, error);
    if (st) return st;
    const char *name = schema->columns[at].name;
    if (table_schema_is_key(schema, alteration->column))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is part of the primary key: it cannot be dropped", name);
    if (schema->partition_column == alteration->column)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" partitions the table: it cannot be dropped",
                         name);
    if (schema->expire_column == alteration->column)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "the rows of the table expire by column \"%s\": it cannot be "
                         "dropped",
                         name);
    for (uint32_t i = schema->index_count; i > 0; i--) {
        if (!index_names(&schema->indexes[i - 1], alteration->column)) continue;
        if (!alteration->cascade)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "column \"%s\" is indexed by \"%s\": drop the index first, or with the column (cascade)",
                             name, schema->indexes[i - 1].name);
        remove_index(schema, i - 1);
    }
    schema->column_count--;
    memmove(&schema->columns[at], &schema->columns[at + 1], (schema->column_count - at) * sizeof *schema->columns);
    return PLINTH_OK;
}

static enum plinth_status rename_column(struct table_schema *schema, const struct catalog_alteration *alteration,
                                        struct plinth_error *error) {
    uint32_t at;
    enum plinth_status st = find_column(schema, alteration->column, &at, error);
    if (!st) st = check_free(schema, alteration->name, error);
    if (st) return st;
    const char *name = (const char *)arena_copy(schema->memory, alteration->name);
    if (!name) return error_no_memory(error, "schema");
    schema->columns[at].name = name;
    return PLINTH_OK;
}

/* Keys and the entries of sorted indexes are stored as they were encoded, and so are partitions chosen by them. */
static enum plinth_status check_wider(const struct table_schema *schema, const struct table_column *column,
                                      struct column_type type, struct plinth_error *error) {
    char had[COLUMN_TYPE_TEXT_MAX], wanted[COLUMN_TYPE_TEXT_MAX];
    column_type_format(column->type, had);
    column_type_format(type, wanted);
    if (!column_type_is_valid(type) || !column_type_widens(column->type, type))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is of type %s, which does not become %s: only a wider type keeps every value",
                         column->name, had, wanted);
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (includes(&schema->indexes[i], column->id))
            return error_set(
                error, PLINTH_INVALID_ARGUMENT,
                "column \"%s\" is included in index \"%s\", whose entries have it as %s: drop the index first",
                column->name, schema->indexes[i].name, had);
    for (uint32_t i = 0; i < schema->index_count; i++)
        for (uint32_t p = 0; p < schema->indexes[i].column_count; p++)
            if (schema->indexes[i].columns[p] == column->id && schema->indexes[i].functions[p])
                return error_set(error, PLINTH_INVALID_ARGUMENT,
                                 "index \"%s\" is on a function of column \"%s\" as %s: drop the index first",
                                 schema->indexes[i].name, column->name, had);
    if (column_type_same_keys(column->type, type)) return PLINTH_OK;
    if (table_schema_is_key(schema, column->id))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "column \"%s\" is part of the primary key, and %s has other keys than %s", column->name,
                         wanted, had);
    if (schema->partition_column == column->id)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" partitions the table: its type stays %s",
                         column->name, had);
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].kind == INDEX_SORTED && index_names(&schema->indexes[i], column->id))
            return error_set(
                error, PLINTH_INVALID_ARGUMENT,
                "column \"%s\" is indexed by \"%s\", whose entries have the keys of %s: drop the index first",
                column->name, schema->indexes[i].name, had);
    return PLINTH_OK;
}

static enum plinth_status widen_value(struct table_schema *schema, const struct column *value, struct column_type type,
                                      struct column *wider, const struct column **out, struct plinth_error *error) {
    *out = NULL;
    if (!value) return PLINTH_OK;
    *out = wider;
    return column_cast(schema->memory, value, 1, type, NULL, wider, error);
}

static enum plinth_status widen_column(struct table_schema *schema, const struct catalog_alteration *alteration,
                                       struct plinth_error *error) {
    uint32_t at;
    struct column initial, write;
    const struct column *initial_default, *write_default;
    enum plinth_status st = find_column(schema, alteration->column, &at, error);
    if (st) return st;
    struct table_column *column = &schema->columns[at];
    st = check_wider(schema, column, alteration->type, error);
    if (!st) st = widen_value(schema, column->initial_default, alteration->type, &initial, &initial_default, error);
    if (!st) st = widen_value(schema, column->write_default, alteration->type, &write, &write_default, error);
    if (st) return st;
    column->type = alteration->type;
    return table_schema_set_defaults(schema, at, initial_default, write_default) ? PLINTH_OK
                                                                                 : error_no_memory(error, "schema");
}

static enum plinth_status drop_not_null(struct table_schema *schema, const struct catalog_alteration *alteration,
                                        struct plinth_error *error) {
    uint32_t at;
    enum plinth_status st = find_column(schema, alteration->column, &at, error);
    if (st) return st;
    const char *name = schema->columns[at].name;
    if (table_schema_is_key(schema, alteration->column))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" is part of the primary key and cannot be null",
                         name);
    schema->columns[at].nullable = true; /* catalog_check_schema knows what else keeps it from being so */
    return PLINTH_OK;
}

static enum plinth_status set_default(struct table_schema *schema, const struct catalog_alteration *alteration,
                                      struct plinth_error *error) {
    uint32_t at;
    enum plinth_status st = find_column(schema, alteration->column, &at, error);
    if (!st) st = check_value(&schema->columns[at], alteration->value, error);
    if (st) return st;
    if (alteration->value && table_schema_is_key(schema, alteration->column))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" is part of the primary key: it has no default",
                         schema->columns[at].name);
    /* Deep copies: the initial one is copied from itself. */
    return table_schema_set_defaults(schema, at, schema->columns[at].initial_default, alteration->value)
               ? PLINTH_OK
               : error_no_memory(error, "schema");
}

static enum plinth_status rename_table(struct table_schema *schema, const struct catalog_alteration *alteration,
                                       struct plinth_error *error) {
    enum plinth_status st = catalog_check_name("table", alteration->name, error);
    if (st) return st;
    const char *name = (const char *)arena_copy(schema->memory, alteration->name);
    if (!name) return error_no_memory(error, "schema");
    schema->name = name;
    return PLINTH_OK;
}

static enum plinth_status set_options(struct table_schema *schema, const struct catalog_alteration *alteration) {
    if (alteration->options & CATALOG_OPTION_CODEC) schema->codec = alteration->codec;
    if (alteration->options & CATALOG_OPTION_PAGE_ROWS) schema->page_rows = alteration->page_rows;
    if (alteration->options & CATALOG_OPTION_RETENTION) schema->retention_us = alteration->retention_us;
    if (alteration->options & CATALOG_OPTION_ADDS_COLUMNS) schema->adds_columns = alteration->adds_columns;
    if (alteration->options & CATALOG_OPTION_EXPIRY) {
        schema->expire_column = alteration->expire_column;
        schema->expire_us = alteration->expire_us;
    }
    return PLINTH_OK;
}

enum plinth_status catalog_alter_schema(struct table_schema *schema, const struct catalog_alteration *alteration,
                                        struct plinth_error *error) {
    switch (alteration->kind) {
    case CATALOG_ALTER_ADD_COLUMN: return add_column(schema, alteration, error);
    case CATALOG_ALTER_DROP_COLUMN: return drop_column(schema, alteration, error);
    case CATALOG_ALTER_RENAME_COLUMN: return rename_column(schema, alteration, error);
    case CATALOG_ALTER_WIDEN_COLUMN: return widen_column(schema, alteration, error);
    case CATALOG_ALTER_DROP_NOT_NULL: return drop_not_null(schema, alteration, error);
    case CATALOG_ALTER_SET_DEFAULT: return set_default(schema, alteration, error);
    case CATALOG_ALTER_RENAME_TABLE: return rename_table(schema, alteration, error);
    case CATALOG_ALTER_SET_OPTIONS: return set_options(schema, alteration);
    }
    return error_set(error, PLINTH_UNSUPPORTED, "alteration of kind %d", (int)alteration->kind);
}

enum plinth_status catalog_make_altered(const struct catalog *catalog, const struct catalog_table *table,
                                        const struct catalog_change *change, struct table_schema **schema,
                                        struct plinth_error *error) {
    const struct table_schema *old = table->schema;
    *schema = NULL;
    if (change->schema_version != old->version)
        return error_set(error, PLINTH_CONFLICT, "table \"%s\" has changed meanwhile", old->name);
    if (!change->alteration_count) return error_set(error, PLINTH_INVALID_ARGUMENT, "no alteration is named");
    uint32_t kept = 0;
    for (uint32_t i = 0; i < table->past_count; i++) kept += table->pasts[i].until_lsn > change->horizon_lsn;
    if (kept >= CATALOG_PASTS_MAX)
        return error_set(
            error, PLINTH_RESOURCE_EXHAUSTED,
            "table \"%s\" was altered %u times since the oldest state that is kept; at most %d are allowed", old->name,
            kept, CATALOG_PASTS_MAX);
    struct table_schema *made = table_schema_copy(old, change->alteration_count, 0);
    enum plinth_status st = made ? PLINTH_OK : error_no_memory(error, "schema");
    for (uint32_t i = 0; !st && i < change->alteration_count; i++)
        st = catalog_alter_schema(made, &change->alterations[i], error);
    if (!st && strcmp(made->name, old->name) != 0 &&
        catalog_find_table(catalog, change->database, slice_of_string(made->name)))
        st = error_set(error, PLINTH_ALREADY_EXISTS, "table \"%s\" exists already", made->name);
    if (st)
        table_schema_unref(made);
    else
        *schema = made;
    return st;
}

/* ---- the past ---- */

void catalog_forget_pasts(struct catalog *catalog, uint64_t horizon_lsn) {
    for (uint32_t t = 0; t < catalog->table_count; t++) {
        struct catalog_table *table = &catalog->tables[t];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < table->past_count; i++) {
            if (table->pasts[i].until_lsn > horizon_lsn)
                table->pasts[kept++] = table->pasts[i];
            else
                table_schema_unref(table->pasts[i].schema);
        }
        table->past_count = kept;
    }
}

/* The newest definition of a column that the table has, or had and still keeps. */
static const struct table_column *newest_column(const struct catalog_table *table, uint32_t id) {
    int32_t at = table_schema_find_id(table->schema, id);
    if (at >= 0) return &table->schema->columns[at];
    for (uint32_t i = table->past_count; i > 0; i--) {
        const struct table_schema *past = table->pasts[i - 1].schema;
        at = table_schema_find_id(past, id);
        if (at >= 0) return &past->columns[at];
    }
    return NULL;
}

static bool copy_column(struct table_schema *into, const struct table_column *column, const char *name, bool nullable) {
    into->next_column_id = column->id;
    return table_schema_add_column(into, slice_of_string(name), column->type, nullable) &&
           table_schema_set_defaults(into, into->column_count - 1, column->initial_default, column->write_default);
}

/* A schema without columns with everything else of `from`. */
static struct table_schema *copy_without_columns(const struct table_schema *from, uint32_t columns_max) {
    struct table_schema *made =
        table_schema_create(from->id, from->kind, slice_of_string(from->name), columns_max, from->index_count);
    if (!made) return NULL;
    made->version = from->version;
    memcpy(made->key, from->key, sizeof made->key);
    made->key_count = from->key_count;
    made->partition_column = from->partition_column;
    made->partition_us = from->partition_us;
    made->retention_us = from->retention_us;
    made->expire_column = from->expire_column;
    made->expire_us = from->expire_us;
    made->codec = from->codec;
    made->page_rows = from->page_rows;
    made->adds_columns = from->adds_columns;
    return made;
}

/* The present indexes as far as `into` has their columns. */
static bool copy_indexes(struct table_schema *into, const struct table_schema *present) {
    bool ok = true;
    for (uint32_t i = 0; ok && i < present->index_count; i++) {
        const struct table_index *index = &present->indexes[i];
        bool all = true;
        for (uint32_t c = 0; c < index->column_count; c++)
            all = all && table_schema_find_id(into, index->columns[c]) >= 0;
        for (uint32_t c = 0; c < index->included_count; c++)
            all = all && table_schema_find_id(into, index->included[c]) >= 0;
        if (all) ok = table_schema_add_index(into, index, slice_of_string(index->name));
    }
    return ok;
}

static const struct table_schema *finish(struct table_schema *made, bool ok, const struct table_schema *present) {
    if (made) made->next_column_id = present->next_column_id;
    if (ok) return made;
    table_schema_unref(made);
    return NULL;
}

const struct table_schema *catalog_schema_at(const struct catalog_table *table, uint64_t lsn) {
    const struct table_schema *past = NULL, *present = table->schema;
    for (uint32_t i = table->past_count; i > 0; i--)
        if (table->pasts[i - 1].until_lsn > lsn) past = table->pasts[i - 1].schema;
    if (!past) return table_schema_ref(present);
    struct table_schema *made = copy_without_columns(present, past->column_count);
    bool ok = made != NULL;
    if (made) {
        made->version = past->version;
        made->expire_column = past->expire_column;
        made->expire_us = past->expire_us;
    }
    for (uint32_t i = 0; ok && i < past->column_count; i++) {
        const struct table_column *then = &past->columns[i];
        ok = copy_column(made, newest_column(table, then->id), then->name, then->nullable);
    }
    return finish(made, ok && copy_indexes(made, present), present);
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Ids of the columns that readers from `horizon_lsn` on may ask for, ascending; null when memory is out. */
static uint32_t *stored_ids(const struct catalog_table *table, uint64_t horizon_lsn, uint32_t *count) {
    size_t most = table->schema->column_count;
    for (uint32_t i = 0; i < table->past_count; i++) most += table->pasts[i].schema->column_count;
    uint32_t *ids = malloc((most + 1) * sizeof *ids);
    *count = 0;
    if (!ids) return NULL;
    size_t used = 0, kept = 0;
    for (uint32_t i = 0; i <= table->past_count; i++) {
        const struct table_schema *schema = i < table->past_count ? table->pasts[i].schema : table->schema;
        if (i < table->past_count && table->pasts[i].until_lsn <= horizon_lsn) continue;
        for (uint32_t c = 0; c < schema->column_count; c++) ids[used++] = schema->columns[c].id;
    }
    qsort(ids, used, sizeof *ids, compare_ids);
    for (size_t i = 0; i < used; i++)
        if (!kept || ids[kept - 1] != ids[i]) ids[kept++] = ids[i];
    *count = (uint32_t)kept;
    return ids;
}

/* Whether rows expire in the same way in all states from `horizon_lsn` on. */
static bool expires_alike(const struct catalog_table *table, uint64_t horizon_lsn) {
    const struct table_schema *present = table->schema;
    bool alike = true;
    for (uint32_t i = 0; i < table->past_count; i++) {
        const struct table_schema *past = table->pasts[i].schema;
        if (table->pasts[i].until_lsn > horizon_lsn)
            alike &= past->expire_column == present->expire_column && past->expire_us == present->expire_us;
    }
    return alike;
}

static void forget_expiry(struct table_schema *schema) {
    schema->expire_column = 0;
    schema->expire_us = 0;
}

const struct table_schema *catalog_schema_stored(const struct catalog_table *table, uint64_t horizon_lsn) {
    const struct table_schema *present = table->schema;
    if (!table->past_count) return table_schema_ref(present);
    bool alike = expires_alike(table, horizon_lsn);
    uint32_t count, *ids = stored_ids(table, horizon_lsn, &count);
    if (!ids || count == present->column_count) { /* none was dropped */
        bool ok = ids != NULL;
        free(ids);
        if (!ok || alike) return ok ? table_schema_ref(present) : NULL;
        struct table_schema *lasting = table_schema_copy(present, 0, 0);
        if (lasting) forget_expiry(lasting);
        return lasting;
    }
    struct table_schema *made = copy_without_columns(present, count);
    if (made && !alike) forget_expiry(made);
    bool ok = made != NULL;
    for (uint32_t i = 0; ok && i < count; i++) {
        bool is_present = table_schema_find_id(present, ids[i]) >= 0;
        const struct table_column *column = newest_column(table, ids[i]);
        char dropped[32];
        snprintf(dropped, sizeof dropped, "_dropped_%u", ids[i]);
        ok = copy_column(made, column, is_present ? column->name : dropped, !is_present || column->nullable);
    }
    free(ids);
    return finish(made, ok && copy_indexes(made, present), present);
}
