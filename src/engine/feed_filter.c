/* What a feed is asked for: tables, a prefix of keys, a predicate.
 *
 * A predicate is bound to the table as it is; when the table has changed it is bound anew. Deletes bring the key alone.
 * For them there is a second form of the predicate, in which every condition on other columns is unknown: in
 * three-valued logic it is FALSE only where no values of those columns could make the predicate true. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/feed_private.h"

/* ---- tables ---- */

static enum plinth_status find_table(struct feed_filter *filter, const struct feed_table *named,
                                     struct plinth_error *error) {
    struct plinth *db = filter->db;
    static const struct slice otherwise = {(const uint8_t *)"default", 7};
    struct slice database = named->database.size ? named->database : otherwise;
    struct slice name = named->name.size ? named->name : otherwise;
    struct table_id id = {0};
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_database *in = catalog_find_database(&db->shard.catalog, CATALOG_TENANT_DEFAULT, database);
    const struct catalog_table *table = in ? catalog_find_table(&db->shard.catalog, in->id, name) : NULL;
    if (table) id = table->id;
    pthread_rwlock_unlock(&db->catalog_lock);
    if (!table)
        return error_set(error, PLINTH_NOT_FOUND, "table \"%.*s\" does not exist in database \"%.*s\"",
                         (int)(name.size < 128 ? name.size : 128), name.data,
                         (int)(database.size < 128 ? database.size : 128), database.data);
    if (!ARRAY_PUSH(filter->tables, filter->table_count, id)) return error_no_memory(error, "change feed");
    if (!filter->predicate) return PLINTH_OK;
    const struct table_schema *schema = NULL;
    const struct feed_predicate *bound;
    enum plinth_status st = engine_schema_by_id(db, id.table, &schema, error);
    if (!st) st = feed_filter_bind(filter, schema, &bound, error); /* what is wrong is told at once */
    table_schema_unref(schema);
    return st;
}

enum plinth_status feed_filter_init(struct feed_filter *filter, struct plinth *db, const struct feed_options *options,
                                    struct plinth_error *error) {
    *filter = (struct feed_filter){.db = db, .all = !options->table_count, .predicate = options->predicate};
    if (filter->predicate && filter->all)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a predicate needs the tables whose rows it is about");
    if (!buffer_append(&filter->prefix, options->prefix.data, options->prefix.size))
        return error_no_memory(error, "change feed");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < options->table_count; i++) st = find_table(filter, &options->tables[i], error);
    return st;
}

static void free_bound(struct feed_predicate *bound) {
    table_schema_unref(bound->schema);
    arena_deinit(&bound->arena);
    free(bound);
}

void feed_filter_deinit(struct feed_filter *filter) {
    while (filter->bound) {
        struct feed_predicate *first = filter->bound;
        filter->bound = first->next;
        free_bound(first);
    }
    free(filter->tables);
    buffer_deinit(&filter->prefix);
    *filter = (struct feed_filter){0};
}

bool feed_filter_wants(const struct feed_filter *filter, struct table_id table) {
    if (filter->all) return true;
    for (uint64_t i = 0; i < filter->table_count; i++)
        if (table_id_compare(filter->tables[i], table) == 0) return true;
    return false;
}

/* ---- predicates ---- */

static bool is_key(const struct table_schema *schema, uint32_t column) {
    return table_schema_is_key(schema, schema->columns[column].id);
}

/* A copy of a bound predicate with what is not about the key unknown; null when memory is out. */
static const struct predicate *copy_by_key(const struct predicate *from, const struct table_schema *schema,
                                           struct arena *arena) {
    bool inner = from->kind == PREDICATE_AND || from->kind == PREDICATE_OR || from->kind == PREDICATE_NOT;
    if (from->kind == PREDICATE_CONSTANT || (!inner && is_key(schema, from->column))) return from;
    struct predicate *copy = arena_zalloc(arena, sizeof *copy);
    if (!copy) return NULL;
    if (!inner) {
        *copy = (struct predicate){.kind = PREDICATE_CONSTANT, .constant = TRUTH_UNKNOWN};
        return copy;
    }
    *copy = *from;
    copy->children = arena_alloc(arena, (from->child_count + 1) * sizeof *copy->children);
    for (uint32_t i = 0; copy->children && i < from->child_count; i++) {
        copy->children[i] = copy_by_key(from->children[i], schema, arena);
        if (!copy->children[i]) return NULL;
    }
    return copy->children ? copy : NULL;
}

static enum plinth_status bind(struct feed_filter *filter, const struct table_schema *schema,
                               struct feed_predicate *made, struct plinth_error *error) {
    struct predicate_column *columns = arena_alloc(&made->arena, (schema->column_count + 1) * sizeof *columns);
    if (!columns) return error_no_memory(error, "change feed");
    for (uint32_t i = 0; i < schema->column_count; i++)
        columns[i] = (struct predicate_column){slice_of_string(schema->columns[i].name), schema->columns[i].type};
    enum plinth_status st =
        predicate_bind(filter->predicate, columns, schema->column_count, &made->arena, &made->whole, error);
    if (st) {
        error_prefix(error, "table \"%s\"", schema->name);
        return st;
    }
    made->by_key = copy_by_key(made->whole, schema, &made->arena);
    if (!made->by_key) return error_no_memory(error, "change feed");
    made->schema = table_schema_ref(schema);
    return PLINTH_OK;
}

enum plinth_status feed_filter_bind(struct feed_filter *filter, const struct table_schema *schema,
                                    const struct feed_predicate **bound, struct plinth_error *error) {
    *bound = NULL;
    if (!filter->predicate) return PLINTH_OK;
    struct feed_predicate **link = &filter->bound;
    while (*link && table_id_compare((*link)->schema->id, schema->id) != 0) link = &(*link)->next;
    if (*link && (*link)->schema->version == schema->version) {
        *bound = *link;
        return PLINTH_OK;
    }
    struct feed_predicate *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "change feed");
    arena_init(&made->arena);
    enum plinth_status st = bind(filter, schema, made, error);
    if (st) {
        free_bound(made);
        return st;
    }
    if (*link) { /* of a version before */
        struct feed_predicate *old = *link;
        *link = old->next;
        free_bound(old);
    }
    made->next = filter->bound;
    filter->bound = made;
    *bound = made;
    return PLINTH_OK;
}
