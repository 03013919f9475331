#include "table/expired_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "table/row_block_private.h"

static int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0); }

bool expired_rows_last(const struct table_schema *schema, uint64_t time_us, int64_t *last) {
    *last = 0;
    if (!schema->expire_column || !time_us) return false;
    struct column_type type = schema->columns[table_schema_find_id(schema, schema->expire_column)].type;
    int64_t time = time_us > INT64_MAX ? INT64_MAX : (int64_t)time_us;
    int64_t latest = time - (int64_t)schema->expire_us; /* at most 100 years: no overflow */
    if (type.kind == COLUMN_DATE) {
        *last = floor_divide(latest, INT64_C(86400) * 1000 * 1000);
        if (*last > INT32_MAX) *last = INT32_MAX;
        return true;
    }
    switch (type.unit) {
    case TIME_SECOND: *last = floor_divide(latest, 1000 * 1000); return true;
    case TIME_MILLI: *last = floor_divide(latest, 1000); return true;
    case TIME_MICRO: *last = latest; return true;
    default:
        if (__builtin_mul_overflow(latest, 1000, last)) *last = latest < 0 ? INT64_MIN : INT64_MAX;
        return true;
    }
}

bool expired_rows_has(const struct column *column, uint32_t row, int64_t last) {
    if (column_is_null(column, row)) return false;
    int64_t value = column->type.kind == COLUMN_DATE ? ((const int32_t *)column->values)[row]
                                                     : ((const int64_t *)column->values)[row];
    return value <= last;
}

/* ---- the stream ---- */

struct expired_stream {
    struct block_stream base;
    struct block_stream *inner;
    const struct table_schema *schema;
    int64_t last;
    uint8_t *operations; /* of the block at hand */
    struct row_stretch *stretches;
    uint32_t capacity;
};

static bool reserve(struct expired_stream *stream, uint32_t rows) {
    if (rows <= stream->capacity) return true;
    stream->capacity = 0;
    free(stream->operations);
    free(stream->stretches);
    stream->operations = malloc(rows);
    stream->stretches = malloc(rows * sizeof *stream->stretches);
    if (!stream->operations || !stream->stretches) return false;
    stream->capacity = rows;
    return true;
}

/* The operations that the rows have now; gives how many have expired. */
static uint32_t judge(struct expired_stream *stream, const struct row_block *block, const struct column *column) {
    uint32_t expired = 0;
    for (uint32_t i = 0; i < block->rows; i++) {
        enum row_operation operation = row_block_operation(block, i);
        bool gone = operation == ROW_SET && expired_rows_has(column, i, stream->last);
        stream->operations[i] = (uint8_t)(gone ? ROW_DELETE : operation);
        expired += gone;
    }
    return expired;
}

/* What is left of the block; null when nothing is. */
static struct row_block *without_expired(struct expired_stream *stream, struct row_block *block, bool *ok) {
    uint32_t stretches = 0;
    for (uint32_t first = 0, end; first < block->rows; first = end) {
        bool gone = stream->operations[first] == ROW_DELETE && row_block_operation(block, first) == ROW_SET;
        for (end = first + 1; end < block->rows; end++)
            if (gone != (stream->operations[end] == ROW_DELETE && row_block_operation(block, end) == ROW_SET)) break;
        if (!gone) stream->stretches[stretches++] = (struct row_stretch){0, first, end - first};
    }
    struct row_block *left = stretches ? row_block_select(block, stream->stretches, stretches) : NULL;
    *ok = left || !stretches;
    return left;
}

/* A copy with other operations, whose deletes have the key's columns only. */
static struct row_block *with_deletes(struct expired_stream *stream, struct row_block *block) {
    const struct row_stretch whole = {0, 0, block->rows};
    struct row_block *made = row_block_select(block, &whole, 1);
    uint8_t *operations = made ? arena_alloc(&made->arena, block->rows) : NULL;
    bool ok = operations != NULL;
    if (ok) memcpy(operations, stream->operations, block->rows);
    for (uint32_t i = 0; ok && i < made->columns->column_count; i++)
        if (!table_schema_is_key(stream->schema, made->column_ids[i]))
            ok = row_block_hide_deleted(&made->columns->arena, operations, made->rows, &made->columns->columns[i]);
    if (ok) {
        made->operations = operations;
        return made;
    }
    row_block_unref(made);
    return NULL;
}

static enum plinth_status expired_next(struct block_stream *base, struct row_block **block,
                                       struct plinth_error *error) {
    struct expired_stream *stream = (struct expired_stream *)base;
    for (;;) {
        enum plinth_status st = block_stream_next(stream->inner, block, error);
        if (st || !*block) return st;
        struct row_block *from = *block;
        const struct column *column = row_block_column(from, stream->schema->expire_column);
        if (!column) return PLINTH_OK;
        if (!reserve(stream, from->rows)) break;
        if (!judge(stream, from, column)) return PLINTH_OK;
        bool ok = true;
        *block = stream->schema->key_count ? with_deletes(stream, from) : without_expired(stream, from, &ok);
        ok = ok && (*block || !stream->schema->key_count);
        row_block_unref(from);
        if (*block) return PLINTH_OK;
        if (!ok) return error_no_memory(error, "expired rows");
    }
    row_block_unref(*block);
    *block = NULL;
    return error_no_memory(error, "expired rows");
}

static void expired_close(struct block_stream *base) {
    struct expired_stream *stream = (struct expired_stream *)base;
    block_stream_close(stream->inner);
    free(stream->operations);
    free(stream->stretches);
    free(stream);
}

static const struct block_stream_ops expired_ops = {.next = expired_next, .close = expired_close};

enum plinth_status expired_rows_stream_open(struct block_stream *inner, const struct block_read *read, uint64_t time_us,
                                            struct block_stream **stream, struct plinth_error *error) {
    int64_t last;
    *stream = inner;
    if (!expired_rows_last(read->schema, time_us, &last)) return PLINTH_OK;
    struct expired_stream *opened = calloc(1, sizeof *opened);
    *stream = NULL;
    if (!opened) {
        block_stream_close(inner);
        return error_no_memory(error, "expired rows");
    }
    *opened = (struct expired_stream){.base.ops = &expired_ops, .inner = inner, .schema = read->schema, .last = last};
    *stream = &opened->base;
    return PLINTH_OK;
}
