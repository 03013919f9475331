#include "table/table_schema.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"

struct table_schema *table_schema_create(struct table_id id, enum table_kind kind, struct slice name,
                                         uint32_t columns_max, uint32_t indexes_max) {
    struct table_schema *schema = calloc(1, sizeof *schema);
    if (!schema) return NULL;
    atomic_init(&schema->references, 1);
    schema->id = id;
    schema->kind = kind;
    schema->next_column_id = 1;
    schema->memory = malloc(sizeof *schema->memory);
    if (schema->memory) {
        arena_init(schema->memory);
        schema->name = (const char *)arena_copy(schema->memory, name);
        schema->columns = arena_zalloc(schema->memory, columns_max * sizeof *schema->columns);
        schema->indexes = arena_zalloc(schema->memory, indexes_max * sizeof *schema->indexes);
        if (schema->name && schema->columns && schema->indexes) return schema;
    }
    table_schema_unref(schema);
    return NULL;
}

bool table_schema_add_column(struct table_schema *schema, struct slice name, struct column_type type, bool nullable) {
    const char *copy = (const char *)arena_copy(schema->memory, name);
    if (!copy) return false;
    schema->columns[schema->column_count++] =
        (struct table_column){.id = schema->next_column_id++, .type = type, .nullable = nullable, .name = copy};
    return true;
}

bool table_schema_add_index(struct table_schema *schema, const struct table_index *index, struct slice name) {
    const char *copy = (const char *)arena_copy(schema->memory, name);
    if (!copy) return false;
    struct table_index *added = &schema->indexes[schema->index_count++];
    *added = *index;
    added->name = copy;
    return true;
}

/* A copy in `arena`; null for null. False when memory is out. */
static bool copy_value(struct arena *arena, const struct column *value, const struct column **copy) {
    static const struct row_stretch whole = {0, 0, 1};
    *copy = NULL;
    if (!value) return true;
    struct column *made = arena_alloc(arena, sizeof *made);
    *copy = made;
    return made && column_concat(arena, value->type, &value, &whole, 1, 1, made);
}

bool table_schema_set_defaults(struct table_schema *schema, uint32_t at, const struct column *initial,
                               const struct column *write) {
    struct table_column *column = &schema->columns[at];
    return copy_value(schema->memory, initial, &column->initial_default) &&
           copy_value(schema->memory, write, &column->write_default);
}

struct table_schema *table_schema_create_space(struct table_id id, struct slice name, uint32_t indexes_max) {
    struct table_schema *schema = table_schema_create(id, TABLE_SPACE, name, 2, indexes_max);
    if (!schema) return NULL;
    if (table_schema_add_column(schema, slice_of_string("key"), column_type_of(COLUMN_BYTES), false) &&
        table_schema_add_column(schema, slice_of_string("value"), column_type_of(COLUMN_BYTES), true)) {
        schema->key[0] = 1;
        schema->key_count = 1;
        return schema;
    }
    table_schema_unref(schema);
    return NULL;
}

struct table_schema *table_schema_ref(const struct table_schema *schema) {
    struct table_schema *mine = (struct table_schema *)schema;
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

void table_schema_unref(const struct table_schema *schema) {
    struct table_schema *mine = (struct table_schema *)schema;
    if (!mine || atomic_fetch_sub_explicit(&mine->references, 1, memory_order_acq_rel) != 1) return;
    if (mine->memory) arena_deinit(mine->memory);
    free(mine->memory);
    free(mine);
}

struct table_schema *table_schema_copy(const struct table_schema *from, uint32_t extra_columns,
                                       uint32_t extra_indexes) {
    struct table_schema *copy =
        table_schema_create(from->id, from->kind, slice_of_string(from->name), from->column_count + extra_columns,
                            from->index_count + extra_indexes);
    bool ok = copy != NULL;
    for (uint32_t i = 0; ok && i < from->column_count; i++) {
        const struct table_column *column = &from->columns[i];
        copy->next_column_id = column->id;
        ok = table_schema_add_column(copy, slice_of_string(column->name), column->type, column->nullable) &&
             table_schema_set_defaults(copy, i, column->initial_default, column->write_default);
    }
    for (uint32_t i = 0; ok && i < from->index_count; i++)
        ok = table_schema_add_index(copy, &from->indexes[i], slice_of_string(from->indexes[i].name));
    if (!ok) {
        table_schema_unref(copy);
        return NULL;
    }
    copy->version = from->version;
    copy->next_column_id = from->next_column_id;
    memcpy(copy->key, from->key, sizeof copy->key);
    copy->key_count = from->key_count;
    copy->partition_column = from->partition_column;
    copy->partition_us = from->partition_us;
    copy->retention_us = from->retention_us;
    copy->expire_column = from->expire_column;
    copy->expire_us = from->expire_us;
    copy->codec = from->codec;
    copy->page_rows = from->page_rows;
    copy->adds_columns = from->adds_columns;
    return copy;
}

static bool name_is(const char *name, struct slice wanted) {
    return strlen(name) == wanted.size && memcmp(name, wanted.data, wanted.size) == 0;
}

int32_t table_schema_find(const struct table_schema *schema, struct slice name) {
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (name_is(schema->columns[i].name, name)) return (int32_t)i;
    return -1;
}

int32_t table_schema_find_id(const struct table_schema *schema, uint32_t column_id) {
    /* Ids grow in the order of definition. */
    uint32_t low = 0, high = schema->column_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (schema->columns[middle].id < column_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < schema->column_count && schema->columns[low].id == column_id ? (int32_t)low : -1;
}

const struct table_index *table_schema_find_index(const struct table_schema *schema, struct slice name) {
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (name_is(schema->indexes[i].name, name)) return &schema->indexes[i];
    return NULL;
}

const struct table_index *table_schema_find_index_id(const struct table_schema *schema, uint32_t index_table) {
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].id.table == index_table) return &schema->indexes[i];
    return NULL;
}

bool table_schema_is_key(const struct table_schema *schema, uint32_t column_id) {
    for (uint32_t i = 0; i < schema->key_count; i++)
        if (schema->key[i] == column_id) return true;
    return false;
}

struct column_type table_included_type(struct column_type type) {
    if (type.kind == COLUMN_FLOAT32) return (struct column_type){.kind = COLUMN_INT32};
    return type.kind == COLUMN_FLOAT64 ? (struct column_type){.kind = COLUMN_INT64} : type;
}

struct column_type table_index_part_type(const struct table_schema *schema, const struct table_index *index,
                                         uint32_t part) {
    int32_t at = table_schema_find_id(schema, table_index_part_column(index, part));
    struct column_type type = at < 0 ? (struct column_type){0} : schema->columns[at].type;
    if (part >= index->column_count) return table_included_type(type);
    return column_function_type((enum column_function)index->functions[part], type);
}

uint32_t table_index_part_id(const struct table_index *index, uint32_t part) {
    bool is_column = part >= index->column_count || index->functions[part] == FUNCTION_NONE;
    return is_column ? table_index_part_column(index, part) : INDEX_PART_ID + part;
}

int32_t table_index_elements(const struct table_index *index) {
    for (uint32_t i = 0; i < index->column_count; i++)
        if (index->functions[i] == FUNCTION_ELEMENTS) return (int32_t)i;
    return -1;
}

uint32_t table_index_columns(const struct table_index *index, uint32_t ids[ROW_KEY_PARTS_MAX]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < table_index_entry_parts(index); i++) {
        uint32_t at = count, id = table_index_part_column(index, i);
        while (at > 0 && ids[at - 1] > id) at--;
        if (at > 0 && ids[at - 1] == id) continue;
        memmove(&ids[at + 1], &ids[at], (count - at) * sizeof *ids);
        ids[at] = id;
        count++;
    }
    return count;
}

/* ---- what is stored ---- */

bool table_column_absent(struct arena *arena, const struct table_column *column, uint32_t rows, struct column *out) {
    if (!column->initial_default) return column_make_nulls(arena, column->type, rows, out);
    const uint32_t *firsts = arena_zalloc(arena, ((size_t)rows + 1) * sizeof *firsts);
    return firsts && column_gather(arena, column->initial_default, firsts, rows, out);
}

enum plinth_status table_column_widen(struct arena *arena, const struct table_column *column,
                                      const struct column *stored, uint32_t rows, struct column *out,
                                      struct plinth_error *error) {
    char had[COLUMN_TYPE_TEXT_MAX], has[COLUMN_TYPE_TEXT_MAX];
    if (column_type_equal(stored->type, column->type)) {
        *out = *stored;
        return PLINTH_OK;
    }
    if (!column_type_widens(stored->type, column->type))
        return error_set(error, PLINTH_CORRUPT, "the column with the id %u is stored as %s, but the table's is %s",
                         column->id, column_type_format(stored->type, had), column_type_format(column->type, has));
    return column_cast(arena, stored, rows, column->type, NULL, out, error);
}
