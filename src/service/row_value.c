#include "service/row_value.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/column_builder.h"
#include "query/predicate_text.h"
#include "service/request.h"

/* ---- literals and predicates ---- */

enum plinth_status row_value_literal(const Plinth__V1__Value *value, struct literal *literal,
                                     struct plinth_error *error) {
    *literal = (struct literal){.kind = LITERAL_NULL};
    if (!value) return PLINTH_OK;
    switch (value->kind_case) {
    case PLINTH__V1__VALUE__KIND_BOOL_VALUE:
        literal->kind = LITERAL_BOOL;
        literal->boolean = value->bool_value;
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_INT_VALUE:
        literal->kind = LITERAL_INT;
        literal->integer = value->int_value;
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_UINT_VALUE:
        literal->kind = value->uint_value > INT64_MAX ? LITERAL_UINT : LITERAL_INT;
        literal->integer = (int64_t)value->uint_value;
        literal->unsigned_integer = value->uint_value;
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_FLOAT_VALUE:
        literal->kind = LITERAL_FLOAT;
        literal->real = value->float_value;
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_TEXT_VALUE:
        literal->kind = LITERAL_TEXT;
        literal->bytes = slice_of_string(value->text_value);
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_BYTES_VALUE:
        literal->kind = LITERAL_BYTES;
        literal->bytes = request_bytes(value->bytes_value);
        return PLINTH_OK;
    case PLINTH__V1__VALUE__KIND_LIST_VALUE:
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a list cannot be compared with");
    default: return PLINTH_OK;
    }
}

static enum plinth_status out_of_memory(struct plinth_error *error) { return error_no_memory(error, "predicate"); }

static struct predicate *node(struct arena *arena, enum predicate_kind kind, const char *column,
                              uint32_t literal_count) {
    struct predicate *made = arena_zalloc(arena, sizeof *made);
    struct literal *literals = arena_zalloc(arena, (literal_count + 1) * sizeof *literals);
    if (!made || !literals) return NULL;
    made->kind = kind;
    if (column) made->column_name = slice_of_string(column);
    made->literals = literals;
    made->literal_count = literal_count;
    return made;
}

static enum plinth_status set_literal(struct predicate *made, uint32_t i, const Plinth__V1__Value *value,
                                      struct plinth_error *error) {
    enum plinth_status st = row_value_literal(value, (struct literal *)&made->literals[i], error);
    if (st) error_prefix(error, "predicate on column \"%.*s\"", (int)made->column_name.size, made->column_name.data);
    return st;
}

static enum plinth_status comparison(struct arena *arena, const char *column, enum predicate_comparison op,
                                     const Plinth__V1__Value *value, struct predicate **made,
                                     struct plinth_error *error) {
    *made = node(arena, PREDICATE_COMPARE, column, 1);
    if (!*made) return out_of_memory(error);
    (*made)->comparison = op;
    return set_literal(*made, 0, value, error);
}

static enum plinth_status convert(const Plinth__V1__Predicate *given, struct arena *arena, unsigned depth,
                                  const struct predicate **predicate, struct plinth_error *error);

static enum plinth_status members(struct arena *arena, enum predicate_kind kind, Plinth__V1__Predicate **given,
                                  size_t count, unsigned depth, struct predicate **made, struct plinth_error *error) {
    *made = node(arena, kind, NULL, 0);
    if (!*made) return out_of_memory(error);
    const struct predicate **children = arena_alloc(arena, (count + 1) * sizeof *children);
    if (!children) return out_of_memory(error);
    (*made)->children = children;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < count; i++) {
        st = convert(given[i], arena, depth + 1, &children[i], error);
        (*made)->child_count++;
    }
    return st;
}

static enum plinth_status between(const Plinth__V1__Between *given, struct arena *arena, struct predicate **made,
                                  struct plinth_error *error) {
    struct predicate *lower, *upper;
    enum plinth_status st = comparison(arena, given->column, COMPARE_GE, given->lower, &lower, error);
    if (!st) st = comparison(arena, given->column, COMPARE_LE, given->upper, &upper, error);
    if (st) return st;
    *made = node(arena, PREDICATE_AND, NULL, 0);
    const struct predicate **children = arena_alloc(arena, 2 * sizeof *children);
    if (!*made || !children) return out_of_memory(error);
    children[0] = lower;
    children[1] = upper;
    (*made)->children = children;
    (*made)->child_count = 2;
    return PLINTH_OK;
}

static enum plinth_status text_match(const Plinth__V1__TextMatch *given, enum predicate_kind kind, struct arena *arena,
                                     struct predicate **made, struct plinth_error *error) {
    *made = node(arena, kind, given->column, 1);
    if (!*made) return out_of_memory(error);
    struct literal *literal = (struct literal *)(*made)->literals;
    *literal = (struct literal){.kind = LITERAL_TEXT, .bytes = slice_of_string(given->text)};
    return PLINTH_OK;
}

static enum plinth_status in_list(const Plinth__V1__In *given, struct arena *arena, struct predicate **made,
                                  struct plinth_error *error) {
    if (given->n_values > PREDICATE_LITERALS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "predicate: %zu values; at most %d are allowed", given->n_values,
                         (int)PREDICATE_LITERALS_MAX);
    *made = node(arena, PREDICATE_IN, given->column, (uint32_t)given->n_values);
    enum plinth_status st = *made ? PLINTH_OK : out_of_memory(error);
    for (uint32_t i = 0; !st && i < given->n_values; i++) st = set_literal(*made, i, given->values[i], error);
    return st;
}

static enum plinth_status convert(const Plinth__V1__Predicate *given, struct arena *arena, unsigned depth,
                                  const struct predicate **predicate, struct plinth_error *error) {
    struct predicate *made = NULL;
    enum plinth_status st = PLINTH_OK;
    if (depth > PREDICATE_DEPTH_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "predicate: more than %d levels", (int)PREDICATE_DEPTH_MAX);
    switch (given->kind_case) {
    case PLINTH__V1__PREDICATE__KIND_AND:
        st = members(arena, PREDICATE_AND, given->and_->members, given->and_->n_members, depth, &made, error);
        break;
    case PLINTH__V1__PREDICATE__KIND_OR:
        st = members(arena, PREDICATE_OR, given->or_->members, given->or_->n_members, depth, &made, error);
        break;
    case PLINTH__V1__PREDICATE__KIND_NOT:
        st = members(arena, PREDICATE_NOT, (Plinth__V1__Predicate **)&given->not_, 1, depth, &made, error);
        break;
    case PLINTH__V1__PREDICATE__KIND_COMPARE:
        if (given->compare->op < 1 || (int)given->compare->op > COMPARE_GE)
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "predicate on column \"%s\": op %d is none of this version", given->compare->column,
                             (int)given->compare->op);
        st = comparison(arena, given->compare->column, (enum predicate_comparison)given->compare->op,
                        given->compare->value, &made, error);
        break;
    case PLINTH__V1__PREDICATE__KIND_IN: st = in_list(given->in, arena, &made, error); break;
    case PLINTH__V1__PREDICATE__KIND_BETWEEN: st = between(given->between, arena, &made, error); break;
    case PLINTH__V1__PREDICATE__KIND_IS_NULL:
        made = node(arena, PREDICATE_IS_NULL, given->is_null, 0);
        if (!made) st = out_of_memory(error);
        break;
    case PLINTH__V1__PREDICATE__KIND_PREFIX:
        st = text_match(given->prefix, PREDICATE_PREFIX, arena, &made, error);
        break;
    case PLINTH__V1__PREDICATE__KIND_LIKE: st = text_match(given->like, PREDICATE_LIKE, arena, &made, error); break;
    case PLINTH__V1__PREDICATE__KIND_WORDS: st = text_match(given->words, PREDICATE_WORDS, arena, &made, error); break;
    case PLINTH__V1__PREDICATE__KIND_CONTAINS:
        made = node(arena, PREDICATE_CONTAINS, given->contains->column, 1);
        st = made ? set_literal(made, 0, given->contains->value, error) : out_of_memory(error);
        break;
    case PLINTH__V1__PREDICATE__KIND_SQL: return predicate_parse(slice_of_string(given->sql), arena, predicate, error);
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "predicate: a node without a kind");
    }
    *predicate = made;
    return st;
}

enum plinth_status row_value_predicate(const Plinth__V1__Predicate *given, struct arena *arena,
                                       const struct predicate **predicate, struct plinth_error *error) {
    *predicate = NULL;
    return given ? convert(given, arena, 0, predicate, error) : PLINTH_OK;
}

/* ---- rows to columns ---- */

static bool append_raw(struct column_builder *builder, struct slice value) {
    if (column_kind_is_bytes(builder->type.kind)) return column_builder_bytes_value(builder, value);
    return false;
}

static enum plinth_status append_value(struct column_builder *builder, const Plinth__V1__Value *value,
                                       struct plinth_error *error);

static enum plinth_status append_list(struct column_builder *builder, const Plinth__V1__ValueList *list,
                                      struct plinth_error *error) {
    if (builder->type.kind != COLUMN_LIST)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a list for a column of another type");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < list->n_values; i++) st = append_value(builder->child, list->values[i], error);
    if (!st && !column_builder_list(builder)) st = error_no_memory(error, "rows");
    return st;
}

/* Numbers go by their text form: it is exact, and checks the range of the column's type. */
static enum plinth_status append_number(struct column_builder *builder, const Plinth__V1__Value *value,
                                        struct plinth_error *error) {
    char text[64];
    uint8_t kind = builder->type.kind;
    bool whole = value->kind_case != PLINTH__V1__VALUE__KIND_FLOAT_VALUE;
    if (whole && (kind == COLUMN_DATE || kind == COLUMN_TIMESTAMP)) {
        int64_t number =
            value->kind_case == PLINTH__V1__VALUE__KIND_INT_VALUE ? value->int_value : (int64_t)value->uint_value;
        if ((value->kind_case == PLINTH__V1__VALUE__KIND_UINT_VALUE && value->uint_value > INT64_MAX) ||
            (kind == COLUMN_DATE && (number < INT32_MIN || number > INT32_MAX)))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "a number that is no date");
        return column_builder_integer(builder, number) ? PLINTH_OK : error_no_memory(error, "rows");
    }
    if (!whole && column_kind_is_float(kind))
        return column_builder_float(builder, value->float_value) ? PLINTH_OK : error_no_memory(error, "rows");
    if (!column_kind_is_integer(kind) && !column_kind_is_float(kind) && kind != COLUMN_DECIMAL)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a number for a column of another type");
    if (value->kind_case == PLINTH__V1__VALUE__KIND_INT_VALUE)
        snprintf(text, sizeof text, "%lld", (long long)value->int_value);
    else if (whole)
        snprintf(text, sizeof text, "%llu", (unsigned long long)value->uint_value);
    else
        snprintf(text, sizeof text, "%.17g", value->float_value);
    return column_builder_text(builder, slice_of_string(text), error);
}

static enum plinth_status append_value(struct column_builder *builder, const Plinth__V1__Value *value,
                                       struct plinth_error *error) {
    bool ok = true;
    switch (value->kind_case) {
    case PLINTH__V1__VALUE__KIND_BOOL_VALUE:
        if (builder->type.kind != COLUMN_BOOL)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "a bool for a column of another type");
        ok = column_builder_bool(builder, value->bool_value);
        break;
    case PLINTH__V1__VALUE__KIND_INT_VALUE:
    case PLINTH__V1__VALUE__KIND_UINT_VALUE:
    case PLINTH__V1__VALUE__KIND_FLOAT_VALUE: return append_number(builder, value, error);
    case PLINTH__V1__VALUE__KIND_TEXT_VALUE: {
        struct slice text = slice_of_string(value->text_value);
        if (column_kind_is_bytes(builder->type.kind))
            ok = column_builder_bytes_value(builder, text);
        else
            return column_builder_text(builder, text, error);
        break;
    }
    case PLINTH__V1__VALUE__KIND_BYTES_VALUE: {
        struct slice bytes = request_bytes(value->bytes_value);
        if (builder->type.kind == COLUMN_UUID && bytes.size == 16) {
            ok = column_builder_bytes_value(builder, bytes);
        } else if (builder->type.kind == COLUMN_STRING && utf8_find_invalid(bytes) != SIZE_MAX) {
            return error_set(error, PLINTH_INVALID_ARGUMENT, "not UTF-8 at byte %zu", utf8_find_invalid(bytes));
        } else if (!column_kind_is_bytes(builder->type.kind)) {
            return error_set(error, PLINTH_INVALID_ARGUMENT, "bytes for a column of another type");
        } else {
            ok = append_raw(builder, bytes);
        }
        break;
    }
    case PLINTH__V1__VALUE__KIND_LIST_VALUE: return append_list(builder, value->list_value, error);
    default: ok = column_builder_null(builder);
    }
    return ok ? PLINTH_OK : error_no_memory(error, "rows");
}

static enum plinth_status find_types(const Plinth__V1__RowSet *rows, const struct named_type *types,
                                     uint32_t type_count, struct arrow_field *fields, struct plinth_error *error) {
    for (size_t c = 0; c < rows->n_columns; c++) {
        uint32_t t = 0;
        while (t < type_count && strcmp(types[t].name, rows->columns[c]) != 0) t++;
        if (t == type_count)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "rows.columns: the table has no column \"%.128s\"",
                             rows->columns[c]);
        fields[c] = (struct arrow_field){rows->columns[c], types[t].type, true};
    }
    return PLINTH_OK;
}

struct row_appender {
    const Plinth__V1__RowSet *rows;
    struct column_builder *builders; /* a column each */
    struct arena *arena;
    uint8_t *unfit;
    struct rows_reject *reasons;
    uint32_t reason_count;
};

static enum plinth_status append_row(struct row_appender *appender, size_t r, struct plinth_error *error) {
    const Plinth__V1__Row *row = appender->rows->rows[r];
    enum plinth_status st = PLINTH_OK;
    if (row->n_values != appender->rows->n_columns)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%zu values for %zu columns", row->n_values,
                         appender->rows->n_columns);
    for (size_t c = 0; !st && c < row->n_values; c++) {
        st = append_value(&appender->builders[c], row->values[c], error);
        if (st) error_prefix(error, "column \"%.128s\"", appender->rows->columns[c]);
    }
    return st;
}

/* Notes the reason that `error` has, and puts nulls in the row's place. */
static enum plinth_status reject_row(struct row_appender *appender, uint32_t r, struct plinth_error *error) {
    if (!appender->unfit) {
        appender->unfit = arena_zalloc(appender->arena, appender->rows->n_rows / 8 + 1);
        appender->reasons = arena_alloc(appender->arena, ROWS_REJECTS_MAX * sizeof *appender->reasons);
        if (!appender->unfit || !appender->reasons) return error_no_memory(error, "rejects");
    }
    bitmap_set(appender->unfit, r);
    if (appender->reason_count < ROWS_REJECTS_MAX) {
        struct rows_reject *reject = &appender->reasons[appender->reason_count++];
        *reject = (struct rows_reject){.row = r, .status = PLINTH_INVALID_ARGUMENT};
        snprintf(reject->reason, sizeof reject->reason, "%.*s", (int)sizeof reject->reason - 1, error->text);
    }
    for (size_t c = 0; c < appender->rows->n_columns; c++) {
        column_builder_truncate(&appender->builders[c], r);
        if (!column_builder_null(&appender->builders[c])) return error_no_memory(error, "rows");
    }
    return PLINTH_OK;
}

enum plinth_status row_value_batch(const Plinth__V1__RowSet *rows, const struct named_type *types, uint32_t type_count,
                                   struct arena *arena, struct arrow_schema *schema, struct batch **batch,
                                   struct rows_unfit *unfit, struct plinth_error *error) {
    size_t count = rows->n_columns;
    struct arrow_field *fields = arena_zalloc(arena, (count + 1) * sizeof *fields);
    struct column_builder *builders = arena_zalloc(arena, (count + 1) * sizeof *builders);
    struct row_appender appender = {.rows = rows, .builders = builders, .arena = arena};
    size_t made = 0;
    *batch = NULL;
    if (!fields || !builders) return error_no_memory(error, "rows");
    if (count == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "rows.columns: no column is named");
    enum plinth_status st = find_types(rows, types, type_count, fields, error);
    for (; !st && made < count; made++)
        if (!column_builder_init(&builders[made], fields[made].type)) st = error_no_memory(error, "rows");
    for (size_t r = 0; !st && r < rows->n_rows; r++) {
        struct plinth_error why;
        st = append_row(&appender, r, &why);
        if (st == PLINTH_INVALID_ARGUMENT) st = reject_row(&appender, (uint32_t)r, &why);
        if (st && error) *error = why;
    }
    if (!st && !(*batch = column_builders_finish(builders, (uint32_t)count))) st = error_no_memory(error, "rows");
    for (size_t c = 0; c < made; c++) column_builder_deinit(&builders[c]);
    *schema = (struct arrow_schema){fields, (uint32_t)count};
    *unfit = (struct rows_unfit){appender.unfit, appender.reasons, appender.reason_count};
    return st;
}

/* ---- columns to rows ---- */

enum {
    ROW_SET_COLUMNS = 1,
    ROW_SET_ROWS = 2,
    ROW_VALUES = 1,
    LIST_VALUES = 1,
    VALUE_NULL = 1,
    VALUE_BOOL = 2,
    VALUE_INT = 3,
    VALUE_UINT = 4,
    VALUE_FLOAT = 5,
    VALUE_TEXT = 6,
    VALUE_BYTES = 7,
    VALUE_LIST = 8,
};

static bool put_tag(struct buffer *into, unsigned field, unsigned wire) {
    return buffer_append_varint(into, field << 3 | wire);
}
static bool put_bytes(struct buffer *into, unsigned field, struct slice bytes) {
    return put_tag(into, field, 2) && buffer_append_string(into, bytes);
}
static bool put_number(struct buffer *into, unsigned field, uint64_t value) {
    return put_tag(into, field, 0) && buffer_append_varint(into, value);
}

static int64_t integer_at(const struct column *column, uint32_t row) {
    switch (column_type_width(column->type)) {
    case 1: return ((const int8_t *)column->values)[row];
    case 2: return ((const int16_t *)column->values)[row];
    case 4: return ((const int32_t *)column->values)[row];
    default: return ((const int64_t *)column->values)[row];
    }
}

static uint64_t unsigned_at(const struct column *column, uint32_t row) {
    switch (column_type_width(column->type)) {
    case 1: return ((const uint8_t *)column->values)[row];
    case 2: return ((const uint16_t *)column->values)[row];
    case 4: return ((const uint32_t *)column->values)[row];
    default: return ((const uint64_t *)column->values)[row];
    }
}

static bool put_value(struct buffer *into, unsigned field, const struct column *column, uint32_t row);

static bool put_list(struct buffer *value, const struct column *column, uint32_t row) {
    struct buffer list = BUFFER_INIT;
    bool ok = true;
    for (uint32_t i = column->offsets[row]; ok && i < column->offsets[row + 1]; i++)
        ok = put_value(&list, LIST_VALUES, column->child, i);
    ok = ok && put_bytes(value, VALUE_LIST, buffer_slice(&list));
    buffer_deinit(&list);
    return ok;
}

static bool put_kind(struct buffer *value, const struct column *column, uint32_t row) {
    if (column_is_null(column, row)) return put_number(value, VALUE_NULL, 1);
    double real;
    switch (column->type.kind) {
    case COLUMN_BOOL: return put_number(value, VALUE_BOOL, bitmap_get(column->values, row));
    case COLUMN_INT8:
    case COLUMN_INT16:
    case COLUMN_INT32:
    case COLUMN_INT64: return put_number(value, VALUE_INT, zigzag_encode(integer_at(column, row)));
    case COLUMN_UINT8:
    case COLUMN_UINT16:
    case COLUMN_UINT32:
    case COLUMN_UINT64: return put_number(value, VALUE_UINT, unsigned_at(column, row));
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64:
        real = column->type.kind == COLUMN_FLOAT32 ? (double)((const float *)column->values)[row]
                                                   : ((const double *)column->values)[row];
        return put_tag(value, VALUE_FLOAT, 1) && buffer_append(value, &real, sizeof real);
    case COLUMN_STRING: return put_bytes(value, VALUE_TEXT, column_bytes_at(column, row));
    case COLUMN_BYTES: return put_bytes(value, VALUE_BYTES, column_bytes_at(column, row));
    case COLUMN_LIST: return put_list(value, column, row);
    default: {
        struct buffer text = BUFFER_INIT;
        bool ok = column_format(&text, column, row) && put_bytes(value, VALUE_TEXT, buffer_slice(&text));
        buffer_deinit(&text);
        return ok;
    }
    }
}

static bool put_value(struct buffer *into, unsigned field, const struct column *column, uint32_t row) {
    struct buffer value = BUFFER_INIT;
    bool ok = put_kind(&value, column, row) && put_bytes(into, field, buffer_slice(&value));
    buffer_deinit(&value);
    return ok;
}

enum plinth_status row_value_format(Plinth__V1__RowFormat format, enum arrow_compression *compression, bool *values,
                                    struct plinth_error *error) {
    *values = format == PLINTH__V1__ROW_FORMAT__ROW_FORMAT_VALUES;
    *compression = format == PLINTH__V1__ROW_FORMAT__ROW_FORMAT_ARROW_LZ4    ? ARROW_LZ4_FRAME
                   : format == PLINTH__V1__ROW_FORMAT__ROW_FORMAT_ARROW_ZSTD ? ARROW_ZSTD
                                                                             : ARROW_UNCOMPRESSED;
    if ((int)format >= 0 && (int)format <= PLINTH__V1__ROW_FORMAT__ROW_FORMAT_VALUES) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "format: %d is none of this version", (int)format);
}

bool row_value_encode(struct buffer *into, const struct arrow_schema *schema, const struct batch *batch, uint32_t first,
                      uint32_t count) {
    struct buffer row = BUFFER_INIT;
    bool ok = true;
    for (uint32_t c = 0; ok && c < schema->field_count; c++)
        ok = put_bytes(into, ROW_SET_COLUMNS, slice_of_string(schema->fields[c].name));
    for (uint32_t r = first; ok && r < first + count; r++) {
        buffer_clear(&row);
        for (uint32_t c = 0; ok && c < batch->column_count; c++)
            ok = put_value(&row, ROW_VALUES, &batch->columns[c], r);
        ok = ok && put_bytes(into, ROW_SET_ROWS, buffer_slice(&row));
    }
    buffer_deinit(&row);
    return ok;
}
