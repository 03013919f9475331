/* Altering tables: names and texts of the public API become steps of one catalog change.
 *
 * Each step is made on a copy of the schema first, for the next ones name what it leads to. The change names the
 * version that the copy was of; when the table has changed meanwhile all is made anew. Writers of rows are kept out
 * while the change is put into the log, so every row in the log is of the version that holds there, and the memtable is
 * cut before it (table_ddl.c). */
#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "column/column_builder.h"
#include "engine/rows_unique.h"
#include "engine/table_ddl.h"

_Static_assert((int)PLINTH_SET_OPTIONS == (int)CATALOG_ALTER_SET_OPTIONS &&
                   (int)PLINTH_ADD_COLUMN == (int)CATALOG_ALTER_ADD_COLUMN &&
                   (int)PLINTH_WIDEN_COLUMN == (int)CATALOG_ALTER_WIDEN_COLUMN &&
                   (int)PLINTH_SET_DEFAULT == (int)CATALOG_ALTER_SET_DEFAULT &&
                   (int)PLINTH_OPTION_ADDS_COLUMNS == (int)CATALOG_OPTION_ADDS_COLUMNS &&
                   (int)PLINTH_OPTION_EXPIRY == (int)CATALOG_OPTION_EXPIRY &&
                   (int)PLINTH_OPTION_RETENTION == (int)CATALOG_OPTION_RETENTION,
               "the public numbers are those of the catalog");

struct alter_plan {
    const struct table_schema *found;   /* the version that it is about */
    struct table_schema *steps;         /* that, with the steps made so far */
    struct catalog_alteration *changes; /* in the arena */
    struct arena arena;
};

static const char *text_or_empty(const char *text) { return text ? text : ""; }

static enum plinth_status find_column(const struct alter_plan *plan, const char *name, struct column_type *type,
                                      uint32_t *id, struct plinth_error *error) {
    int32_t at = table_schema_find(plan->steps, slice_of_string(text_or_empty(name)));
    if (at < 0)
        return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" has no column \"%.128s\"", plan->steps->name,
                         text_or_empty(name));
    *type = plan->steps->columns[at].type;
    *id = plan->steps->columns[at].id;
    return PLINTH_OK;
}

static enum plinth_status parse_default(struct alter_plan *plan, const char *column, const char *text,
                                        struct column_type type, const struct column **value,
                                        struct plinth_error *error) {
    static const struct row_stretch whole = {0, 0, 1};
    struct column_builder builder;
    struct column *made = arena_alloc(&plan->arena, sizeof *made);
    if (!made || !column_builder_init(&builder, type)) return error_no_memory(error, "default");
    enum plinth_status st = column_builder_text(&builder, slice_of_string(text), error);
    if (st) {
        error_prefix(error, "the default of column \"%.128s\"", text_or_empty(column));
    } else {
        struct column view = column_builder_view(&builder);
        const struct column *from = &view;
        if (!column_concat(&plan->arena, type, &from, &whole, 1, 1, made)) st = error_no_memory(error, "default");
    }
    column_builder_deinit(&builder);
    *value = made;
    return st;
}

static enum plinth_status parse_type(const struct plinth_alteration *given, struct column_type *type,
                                     struct plinth_error *error) {
    enum plinth_status st = column_type_parse(slice_of_string(text_or_empty(given->type)), type, error);
    if (st) error_prefix(error, "column \"%.128s\"", text_or_empty(given->column));
    return st;
}

/* Rows that had expired may be there again when the rule becomes later: beside rows that have got their values since.
 */
static enum plinth_status check_expiry(const struct table_schema *schema, const struct catalog_alteration *step,
                                       struct plinth_error *error) {
    bool later = step->expire_column != schema->expire_column || step->expire_us > schema->expire_us;
    if (!schema->expire_column || !later || !schema_has_unique(schema)) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "table \"%s\" has a unique index: rows that have expired would come back with values that others "
                     "have now; drop the index first, or let rows expire sooner",
                     schema->name);
}

static enum plinth_status find_expiry(const struct alter_plan *plan, const struct plinth_alteration *given,
                                      struct catalog_alteration *step, struct plinth_error *error) {
    struct column_type type;
    if (!(given->options & PLINTH_OPTION_EXPIRY)) return PLINTH_OK;
    step->expire_us = given->expire_us;
    enum plinth_status st = PLINTH_OK;
    if (*text_or_empty(given->expire_by)) st = find_column(plan, given->expire_by, &type, &step->expire_column, error);
    return st ? st : check_expiry(plan->steps, step, error);
}

/* One step with its names resolved. */
static enum plinth_status resolve(struct alter_plan *plan, const struct plinth_alteration *given,
                                  struct catalog_alteration *step, struct plinth_error *error) {
    *step = (struct catalog_alteration){.kind = (enum catalog_alteration_kind)given->kind,
                                        .name = slice_of_string(text_or_empty(given->new_name)),
                                        .cascade = given->kind == PLINTH_DROP_COLUMN && given->cascade,
                                        .options = given->options,
                                        .codec = (enum table_codec)given->codec,
                                        .page_rows = given->page_rows,
                                        .retention_us = given->retention_us,
                                        .adds_columns = given->adds_columns};
    struct column_type type = {0};
    enum plinth_status st = PLINTH_OK;
    switch (given->kind) {
    case PLINTH_ADD_COLUMN:
        step->added = (struct catalog_column){.name = slice_of_string(text_or_empty(given->column)),
                                              .nullable = !given->not_null};
        st = parse_type(given, &step->added.type, error);
        type = step->added.type;
        break;
    case PLINTH_DROP_COLUMN:
    case PLINTH_RENAME_COLUMN:
    case PLINTH_WIDEN_COLUMN:
    case PLINTH_DROP_NOT_NULL:
    case PLINTH_SET_DEFAULT:
        st = find_column(plan, given->column, &type, &step->column, error);
        if (!st && given->kind == PLINTH_WIDEN_COLUMN) st = parse_type(given, &step->type, error);
        if (given->kind == PLINTH_SET_DEFAULT) step->type = type;
        break;
    case PLINTH_RENAME_TABLE: break;
    case PLINTH_SET_OPTIONS: st = find_expiry(plan, given, step, error); break;
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown alteration %d", (int)given->kind);
    }
    if (!st && given->default_value && (given->kind == PLINTH_ADD_COLUMN || given->kind == PLINTH_SET_DEFAULT))
        st = parse_default(plan, given->column, given->default_value, type, &step->value, error);
    return st;
}

static enum plinth_status plan_init(struct alter_plan *plan, const struct plinth_alteration *given, size_t count,
                                    struct plinth_error *error) {
    plan->steps = table_schema_copy(plan->found, (uint32_t)count, 0);
    plan->changes = arena_alloc(&plan->arena, (count + 1) * sizeof *plan->changes);
    if (!plan->steps || !plan->changes) return error_no_memory(error, "alteration");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < count; i++) {
        st = resolve(plan, &given[i], &plan->changes[i], error);
        if (!st) st = catalog_alter_schema(plan->steps, &plan->changes[i], error);
    }
    return st;
}

static void plan_deinit(struct alter_plan *plan) {
    table_schema_unref(plan->found);
    table_schema_unref(plan->steps);
    arena_deinit(&plan->arena);
}

/* One attempt; *again when the table has changed meanwhile. */
static enum plinth_status attempt(struct plinth *db, const char *database, const char *name,
                                  const struct plinth_alteration *given, size_t count, uint64_t *lsn, bool *again,
                                  struct plinth_error *error) {
    struct alter_plan plan = {0};
    *again = false;
    arena_init(&plan.arena);
    enum plinth_status st =
        engine_find_rows_table(db, database, name, "its two columns and no others", &plan.found, error);
    if (!st) st = plan_init(&plan, given, count, error);
    if (!st) {
        struct catalog_change change = {.kind = CATALOG_ALTER_TABLE,
                                        .tenant = plan.found->id.tenant,
                                        .database = plan.found->id.database,
                                        .space = plan.found->id.table,
                                        .alterations = plan.changes,
                                        .alteration_count = (uint32_t)count,
                                        .schema_version = plan.found->version,
                                        .horizon_lsn = engine_take_horizon(db)};
        engine_table_gate_close(db, change.space);
        st = engine_change_catalog(db, &change, lsn, error);
        engine_table_gate_open(db, change.space);
        if (st == PLINTH_CONFLICT) {
            const struct table_schema *present;
            struct plinth_error ignored = {0};
            *again = !engine_schema_by_id(db, change.space, &present, &ignored);
            if (*again) {
                *again = present->version != plan.found->version;
                table_schema_unref(present);
            }
        }
    }
    plan_deinit(&plan);
    return st;
}

enum plinth_status plinth_table_alter(struct plinth *db, const char *database, const char *name,
                                      const struct plinth_alteration *alterations, size_t count,
                                      struct plinth_error *error) {
    error_clear(error);
    uint64_t lsn = 0;
    if (count > CATALOG_ALTERATIONS_MAX)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "%zu alterations at a time; at most %d are allowed", count,
                         (int)CATALOG_ALTERATIONS_MAX);
    enum plinth_status st;
    bool again;
    do {
        st = attempt(db, database, name, alterations, count, &lsn, &again, error);
    } while (again);
    if (!st) st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
    if (!st) error_clear(error);
    return st;
}
