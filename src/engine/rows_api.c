/* Rows in the public API: the Arrow C Data Interface in front of rows_submit. */
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "engine/rows.h"

_Static_assert((int)PLINTH_ROWS_BYTES_MAX == (int)ROWS_BATCH_BYTES_MAX, "the public limit is the engine's");

/* Moves what the caller wants to know into its form. */
static enum plinth_status convert_result(struct rows_result *from, struct plinth_rows_result *to,
                                         struct plinth_error *error) {
    *to = (struct plinth_rows_result){.position = from->position,
                                      .rows_written = from->rows_written,
                                      .rows_rejected = from->rows_rejected,
                                      .duplicate = from->duplicate};
    if (!from->reject_count) return PLINTH_OK;
    struct plinth_row_reject *rejects = malloc(from->reject_count * sizeof *rejects);
    if (!rejects) return error_no_memory(error, "rejects");
    struct rows_result *kept = malloc(sizeof *kept);
    if (!kept) {
        free(rejects);
        return error_no_memory(error, "rejects");
    }
    *kept = *from; /* the reasons stay where they are */
    *from = (struct rows_result){0};
    for (uint32_t i = 0; i < kept->reject_count; i++)
        rejects[i] = (struct plinth_row_reject){kept->rejects[i].row, kept->rejects[i].status, kept->rejects[i].reason};
    to->rejects = rejects;
    to->reject_count = kept->reject_count;
    to->memory = kept;
    return PLINTH_OK;
}

void plinth_rows_result_deinit(struct plinth_rows_result *result) {
    if (result->memory) rows_result_deinit(result->memory);
    free(result->memory);
    free((void *)result->rejects);
    *result = (struct plinth_rows_result){0};
}

static enum plinth_status write_batch(struct plinth *db, struct table_id table, const struct rows_write *write,
                                      const struct plinth_write_options *options, struct plinth_rows_result *result,
                                      struct plinth_error *error) {
    struct rows_result told;
    enum plinth_status st = rows_submit(db, table, write, options, &told, error);
    if (!st) st = rows_wait(db, options, &told, error);
    if (result) {
        enum plinth_status converted = convert_result(&told, result, st ? NULL : error);
        if (!st) st = converted;
    }
    rows_result_deinit(&told);
    return st;
}

static enum plinth_status write_arrow(struct plinth *db, const char *database, const char *table,
                                      enum rows_operation operation, struct ArrowSchema *schema,
                                      struct ArrowArray *array, const struct plinth_rows_options *options,
                                      struct plinth_rows_result *result, struct plinth_error *error) {
    static const struct plinth_rows_options defaults = {0};
    if (result) *result = (struct plinth_rows_result){0};
    error_clear(error);
    if (!options) options = &defaults;
    struct arena arena;
    arena_init(&arena);
    struct arrow_schema names;
    struct batch *batch = NULL;
    const struct table_schema *found = NULL;
    enum plinth_status st = engine_find_schema(db, database, table, &found, error);
    if (!st) st = arrow_import_schema(schema, &arena, &names, error);
    if (!st) st = arrow_import_batch(array, schema, &batch, error);
    if (!st) {
        struct rows_write write = {.operation = operation,
                                   .schema = &names,
                                   .batch = batch,
                                   .atomic = options->atomic,
                                   .if_absent = options->if_absent,
                                   .no_reject = options->no_reject};
        st = write_batch(db, found->id, &write, &options->write, result, error);
    }
    batch_unref(batch);
    table_schema_unref(found);
    arena_deinit(&arena);
    if (array->release) array->release(array);
    if (schema->release) schema->release(schema);
    return st;
}

enum plinth_status plinth_rows_write(struct plinth *db, const char *database, const char *table,
                                     struct ArrowSchema *schema, struct ArrowArray *array,
                                     const struct plinth_rows_options *options, struct plinth_rows_result *result,
                                     struct plinth_error *error) {
    return write_arrow(db, database, table, ROWS_UPSERT, schema, array, options, result, error);
}

enum plinth_status plinth_rows_delete(struct plinth *db, const char *database, const char *table,
                                      struct ArrowSchema *schema, struct ArrowArray *array,
                                      const struct plinth_rows_options *options, struct plinth_rows_result *result,
                                      struct plinth_error *error) {
    return write_arrow(db, database, table, ROWS_DELETE, schema, array, options, result, error);
}
