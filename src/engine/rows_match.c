/* A batch against the schema of its table: which column is which, casts, and rows whose values cannot be taken. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "column/column_builder.h"
#include "engine/array.h"
#include "engine/rows_plan.h"

enum { UNMATCHED = -1, VALUE_TEXT_MAX = 60 };

enum plinth_status rows_reject(struct rows_plan *plan, uint32_t row, enum plinth_status status,
                               struct plinth_error *error, const char *format, ...) {
    if (bitmap_get(plan->rejected, row)) return PLINTH_OK;
    bitmap_set(plan->rejected, row);
    struct rows_result *result = plan->result;
    result->rows_rejected++;
    if (result->reject_count == ROWS_REJECTS_MAX) return PLINTH_OK;
    struct rows_reject reject = {.row = row, .status = status};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reject.reason, sizeof reject.reason, format, arguments);
    va_end(arguments);
    size_t cut = utf8_find_invalid(slice_of_string(reject.reason)); /* within a character */
    if (cut != SIZE_MAX) reject.reason[cut] = '\0';
    return ARRAY_PUSH(result->rejects, result->reject_count, reject) ? PLINTH_OK : error_no_memory(error, "rejects");
}

/* ---- names ---- */

/* The column of this name: as it is written, or with letters of another case (no two columns of a table differ in
 * nothing else). `hint` is tried first, as batches mostly have the order of their table. */
static int32_t find_column(const struct table_schema *schema, const char *name, uint32_t hint) {
    if (hint < schema->column_count && strcmp(schema->columns[hint].name, name) == 0) return (int32_t)hint;
    int32_t exact = table_schema_find(schema, slice_of_string(name));
    if (exact >= 0) return exact;
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (strcasecmp(schema->columns[i].name, name) == 0) return (int32_t)i;
    return UNMATCHED;
}

/* sources[i] becomes the batch's column for the schema's i-th, or -1. */
static enum plinth_status match_names(const struct table_schema *schema, const struct arrow_schema *given,
                                      int32_t *sources, struct rows_unknown *unknown, struct plinth_error *error) {
    for (uint32_t i = 0; i < schema->column_count; i++) sources[i] = UNMATCHED;
    uint32_t hint = 0;
    for (uint32_t i = 0; i < given->field_count; i++) {
        const char *name = given->fields[i].name;
        int32_t at = find_column(schema, name, hint);
        if (at == UNMATCHED) {
            if (!ARRAY_PUSH(unknown->columns, unknown->count, i)) return error_no_memory(error, "rows");
            continue;
        }
        if (sources[at] != UNMATCHED)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "columns \"%.128s\" and \"%.128s\" are both column \"%s\"",
                             given->fields[sources[at]].name, name, schema->columns[at].name);
        sources[at] = (int32_t)i;
        hint = (uint32_t)at + 1;
    }
    return PLINTH_OK;
}

static enum plinth_status check_needed(const struct table_schema *schema, enum rows_operation operation,
                                       const int32_t *sources, struct plinth_error *error) {
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        bool key = table_schema_is_key(schema, column->id);
        if (operation == ROWS_DELETE && !key && sources[i] >= 0)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "column \"%s\" is not part of the key: a delete has the key's columns only", column->name);
        if (sources[i] >= 0 || (column->nullable && !key) || (operation == ROWS_DELETE && !key)) continue;
        if (column->write_default) continue;
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column \"%s\" is missing: it is %s", column->name,
                         key ? "part of the primary key" : "NOT NULL");
    }
    return PLINTH_OK;
}

/* ---- values ---- */

/* The value as text, shortened. */
static void describe(const struct column *column, uint32_t row, char text[VALUE_TEXT_MAX + 4]) {
    struct buffer bytes = BUFFER_INIT;
    text[0] = '\0';
    if (column_format(&bytes, column, row)) {
        size_t size = bytes.size < VALUE_TEXT_MAX ? bytes.size : VALUE_TEXT_MAX;
        while (size && size < bytes.size && (bytes.data[size] & 0xC0) == 0x80) size--; /* not within a character */
        snprintf(text, VALUE_TEXT_MAX + 4, "%.*s%s", (int)size, (const char *)bytes.data,
                 size < bytes.size ? "..." : "");
    }
    buffer_deinit(&bytes);
}

static enum plinth_status reject_uncast(struct rows_plan *plan, const struct table_column *to,
                                        const struct column *from, const uint8_t *failed, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < plan->rows; row++) {
        if (!bitmap_get(failed, row)) continue;
        char type[COLUMN_TYPE_TEXT_MAX], value[VALUE_TEXT_MAX + 4] = "";
        bool text = to->type.kind == COLUMN_STRING;
        if (!text && plan->result->reject_count < ROWS_REJECTS_MAX) describe(from, row, value);
        if (text)
            st = rows_reject(plan, row, PLINTH_INVALID_ARGUMENT, error, "column \"%s\": not valid UTF-8", to->name);
        else
            st = rows_reject(plan, row, PLINTH_INVALID_ARGUMENT, error, "column \"%s\": %s does not fit %s", to->name,
                             value, column_type_format(to->type, type));
    }
    return st;
}

static enum plinth_status cast(struct rows_plan *plan, const struct table_column *to, const struct column *from,
                               struct column *out, struct plinth_error *error) {
    if (column_type_equal(from->type, to->type)) {
        *out = *from;
        return PLINTH_OK;
    }
    uint8_t *failed = arena_zalloc(&plan->arena, plan->rows / 8 + 1);
    if (!failed) return error_no_memory(error, "rows");
    enum plinth_status st = column_cast(&plan->arena, from, plan->rows, to->type, failed, out, error);
    if (st) {
        error_prefix(error, "column \"%s\"", to->name);
        return st;
    }
    return reject_uncast(plan, to, from, failed, error);
}

static enum plinth_status reject_nulls(struct rows_plan *plan, const struct table_column *to,
                                       const struct column *column, struct plinth_error *error) {
    bool key = table_schema_is_key(plan->schema, to->id);
    if (!column->null_count || (to->nullable && !key)) return PLINTH_OK;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < plan->rows; row++)
        if (column_is_null(column, row))
            st = rows_reject(plan, row, PLINTH_INVALID_ARGUMENT, error, "column \"%s\" is null: it is %s", to->name,
                             key ? "part of the primary key" : "NOT NULL");
    return st;
}

/* Times are stored in milliseconds at least, and partitions are counted in microseconds: neither may overflow. */
static enum plinth_status reject_times(struct rows_plan *plan, const struct table_column *to,
                                       const struct column *column, struct plinth_error *error) {
    static const int64_t per_second[] = {[TIME_SECOND] = 1, [TIME_MILLI] = 1000};
    bool partitions = plan->schema->partition_column == to->id;
    if (to->type.kind != COLUMN_TIMESTAMP || to->type.unit > TIME_MILLI) return PLINTH_OK;
    if (to->type.unit == TIME_MILLI && !partitions) return PLINTH_OK;
    int64_t limit = INT64_MAX / ((partitions ? 1000000 : 1000) / per_second[to->type.unit]);
    const int64_t *values = column->values;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < plan->rows; row++)
        if ((values[row] > limit || values[row] < -limit) && !column_is_null(column, row))
            st = rows_reject(plan, row, PLINTH_INVALID_ARGUMENT, error,
                             "column \"%s\": time %" PRId64 " is out of range", to->name, values[row]);
    return st;
}

/* The index that bounds the size of a column's values, or null. */
static const struct table_index *bounding_index(const struct table_schema *schema, uint32_t column_id) {
    for (uint32_t i = 0; i < schema->index_count; i++) {
        const struct table_index *index = &schema->indexes[i];
        if (index->kind != INDEX_SORTED && index->kind != INDEX_BITMAP) continue;
        for (uint32_t k = 0; k < table_index_entry_parts(index); k++)
            if (table_index_part_column(index, k) == column_id) return index;
    }
    return NULL;
}

/* The same for the elements of lists. */
static enum plinth_status reject_elements(struct rows_plan *plan, const struct table_column *to,
                                          const struct column *column, struct plinth_error *error) {
    const struct table_index *index = bounding_index(plan->schema, to->id);
    enum plinth_status st = PLINTH_OK;
    if (!index || !column_kind_is_bytes(column->child->type.kind)) return PLINTH_OK;
    for (uint32_t row = 0; !st && row < plan->rows; row++) {
        uint32_t longest = 0;
        if (column_is_null(column, row)) continue;
        for (uint32_t i = column->offsets[row]; i < column->offsets[row + 1]; i++) {
            uint32_t size = column->child->offsets[i + 1] - column->child->offsets[i];
            if (size > longest) longest = size;
        }
        if (longest > PLINTH_INDEX_VALUE_BYTES_MAX)
            st = rows_reject(plan, row, PLINTH_TOO_LARGE, error,
                             "column \"%s\" has an element of %u bytes; index \"%s\" allows at most %d", to->name,
                             longest, index->name, PLINTH_INDEX_VALUE_BYTES_MAX);
    }
    return st;
}

static enum plinth_status reject_indexed(struct rows_plan *plan, const struct table_column *to,
                                         const struct column *column, struct plinth_error *error) {
    if (to->type.kind == COLUMN_LIST) return reject_elements(plan, to, column, error);
    if (!column_kind_is_bytes(to->type.kind)) return PLINTH_OK;
    const struct table_index *index = bounding_index(plan->schema, to->id);
    if (!index || column->offsets[plan->rows] - column->offsets[0] <= PLINTH_INDEX_VALUE_BYTES_MAX) return PLINTH_OK;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t row = 0; !st && row < plan->rows; row++) {
        uint32_t size = column->offsets[row + 1] - column->offsets[row];
        if (size > PLINTH_INDEX_VALUE_BYTES_MAX && !column_is_null(column, row))
            st = rows_reject(plan, row, PLINTH_TOO_LARGE, error,
                             "column \"%s\" has %u bytes; index \"%s\" allows at most %d", to->name, size, index->name,
                             PLINTH_INDEX_VALUE_BYTES_MAX);
    }
    return st;
}

static enum plinth_status take_column(struct rows_plan *plan, const struct table_column *to, const struct column *from,
                                      struct plinth_error *error) {
    struct column *out = &plan->columns[plan->column_count];
    enum plinth_status st = cast(plan, to, from, out, error);
    if (!st) st = reject_nulls(plan, to, out, error);
    if (!st) st = reject_times(plan, to, out, error);
    if (!st && plan->write->operation == ROWS_UPSERT) st = reject_indexed(plan, to, out, error);
    if (!st) plan->column_ids[plan->column_count++] = to->id;
    return st;
}

/* A column that the batch lacks: the default. Where rows that lack the column read as another one, nulls are written.
 */
static enum plinth_status take_default(struct rows_plan *plan, const struct table_column *to,
                                       struct plinth_error *error) {
    struct column *out = &plan->columns[plan->column_count];
    if (!to->write_default && !to->initial_default) return PLINTH_OK;
    const struct table_column stands_for = {.id = to->id, .type = to->type, .initial_default = to->write_default};
    if (!table_column_absent(&plan->arena, &stands_for, plan->rows, out)) return error_no_memory(error, "rows");
    plan->column_ids[plan->column_count++] = to->id;
    return PLINTH_OK;
}

/* ---- the batch ---- */

static enum plinth_status reject_unfit(struct rows_plan *plan, struct plinth_error *error) {
    const struct rows_unfit *unfit = &plan->write->unfit;
    enum plinth_status st = PLINTH_OK;
    uint32_t told = 0;
    for (uint32_t row = 0; !st && unfit->rows && row < plan->rows; row++) {
        if (!bitmap_get(unfit->rows, row)) continue;
        const struct rows_reject *known = told < unfit->reason_count ? &unfit->reasons[told++] : NULL;
        st = rows_reject(plan, row, known ? known->status : PLINTH_INVALID_ARGUMENT, error, "%s",
                         known ? known->reason : "");
    }
    return st;
}

static enum plinth_status check_batch(const struct rows_write *write, struct plinth_error *error) {
    const struct batch *batch = write->batch;
    if (write->operation != ROWS_UPSERT && write->operation != ROWS_DELETE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown operation %d on rows", (int)write->operation);
    if (batch->column_count != write->schema->field_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the batch has %u columns, its schema %u", batch->column_count,
                         write->schema->field_count);
    if (!batch->column_count) return error_set(error, PLINTH_INVALID_ARGUMENT, "the batch has no columns");
    if (batch->rows > BATCH_ROWS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "the batch has %u rows; at most %d are allowed", batch->rows,
                         BATCH_ROWS_MAX);
    uint64_t bytes = batch_bytes(batch);
    if (bytes > ROWS_BATCH_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "the batch has %" PRIu64 " bytes; at most %d are allowed", bytes,
                         ROWS_BATCH_BYTES_MAX);
    return PLINTH_OK;
}

enum plinth_status rows_plan_match(struct rows_plan *plan, const struct table_schema *schema,
                                   const struct rows_write *write, struct rows_result *result,
                                   struct rows_unknown *unknown, struct plinth_error *error) {
    *plan = (struct rows_plan){.schema = schema, .write = write, .result = result, .rows = write->batch->rows};
    plan->record_bytes_max = RECORD_PAYLOAD_BYTES_MAX;
    *unknown = (struct rows_unknown){0};
    arena_init(&plan->arena);
    enum plinth_status st = check_batch(write, error);
    if (st) return st;
    if (write->operation == ROWS_DELETE && !schema->key_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no key to delete rows by", schema->name);
    int32_t *sources = arena_alloc(&plan->arena, (schema->column_count + 1) * sizeof *sources);
    plan->columns = arena_zalloc(&plan->arena, (schema->column_count + 1) * sizeof *plan->columns);
    plan->column_ids = arena_alloc(&plan->arena, (schema->column_count + 1) * sizeof *plan->column_ids);
    plan->rejected = arena_zalloc(&plan->arena, plan->rows / 8 + 1);
    if (!sources || !plan->columns || !plan->column_ids || !plan->rejected) return error_no_memory(error, "rows");
    st = match_names(schema, write->schema, sources, unknown, error);
    if (st || (unknown->count && !schema->adds_columns)) return st;
    st = check_needed(schema, write->operation, sources, error);
    if (st || unknown->count) return st;
    st = reject_unfit(plan, error);
    for (uint32_t i = 0; !st && i < schema->column_count; i++)
        if (sources[i] >= 0)
            st = take_column(plan, &schema->columns[i], &write->batch->columns[sources[i]], error);
        else if (write->operation == ROWS_UPSERT)
            st = take_default(plan, &schema->columns[i], error);
    return st;
}

void rows_plan_deinit(struct rows_plan *plan) {
    arena_deinit(&plan->arena);
    *plan = (struct rows_plan){0};
}
