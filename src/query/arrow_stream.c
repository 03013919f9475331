/* plinth_query: a query's result as an Arrow C stream (plinth_arrow.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data.h"
#include "engine/transaction.h"
#include "plinth.h"
#include "query/key_range.h"
#include "query/predicate_text.h"
#include "query/query.h"

struct stream_state {
    struct query *query;
    struct plinth_error error;
};

static int errno_of(enum plinth_status status) {
    switch (status) {
    case PLINTH_OK: return 0;
    case PLINTH_OUT_OF_MEMORY:
    case PLINTH_RESOURCE_EXHAUSTED: return ENOMEM;
    case PLINTH_CANCELLED: return ECANCELED;
    case PLINTH_INVALID_ARGUMENT: return EINVAL;
    default: return EIO;
    }
}

static int stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    struct stream_state *state = stream->private_data;
    return errno_of(arrow_export_schema(query_schema(state->query), out, &state->error));
}

static int stream_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    struct stream_state *state = stream->private_data;
    struct batch *batch = NULL;
    *out = (struct ArrowArray){0}; /* released: the end */
    enum plinth_status st = query_next(state->query, &batch, &state->error);
    if (!st && batch) st = arrow_export_batch(batch, out, &state->error);
    batch_unref(batch);
    return errno_of(st);
}

static const char *stream_error(struct ArrowArrayStream *stream) {
    struct stream_state *state = stream->private_data;
    return state->error.text[0] ? state->error.text : NULL;
}

static void stream_release(struct ArrowArrayStream *stream) {
    struct stream_state *state = stream->private_data;
    query_close(state->query);
    free(state);
    stream->private_data = NULL;
    stream->release = NULL;
}

static struct slice *name_slices(struct arena *arena, const char *const *names, size_t count) {
    struct slice *slices = arena_alloc(arena, (count + 1) * sizeof *slices);
    for (size_t i = 0; slices && i < count; i++) slices[i] = slice_of_string(names[i]);
    return slices;
}

static enum plinth_status convert_options(const struct plinth_query_options *given, struct arena *arena,
                                          struct query_options *options, struct plinth_error *error) {
    struct query_aggregate *aggregates = arena_zalloc(arena, (given->aggregate_count + 1) * sizeof *aggregates);
    *options = (struct query_options){.columns = name_slices(arena, given->columns, given->column_count),
                                      .column_count = (uint32_t)given->column_count,
                                      .limit = given->limit,
                                      .ordered = given->ordered,
                                      .reverse = given->reverse,
                                      .aggregates = aggregates,
                                      .aggregate_count = (uint32_t)given->aggregate_count,
                                      .group_by = name_slices(arena, given->group_by, given->group_by_count),
                                      .group_by_count = (uint32_t)given->group_by_count,
                                      .read = given->read,
                                      .threads = given->threads,
                                      .memory_bytes_max = given->memory_bytes_max};
    if (!aggregates || !options->columns || !options->group_by) return error_no_memory(error, "query");
    for (size_t i = 0; i < given->aggregate_count; i++) {
        aggregates[i].kind = (enum query_aggregate_kind)given->aggregates[i].kind;
        if (given->aggregates[i].column) aggregates[i].column = slice_of_string(given->aggregates[i].column);
    }
    return given->where ? predicate_parse(slice_of_string(given->where), arena, &options->predicate, error) : PLINTH_OK;
}

static enum plinth_status open_stream(struct plinth *db, const struct table_schema *schema,
                                      const struct query_options *options, struct ArrowArrayStream *stream,
                                      struct query **query, struct plinth_error *error) {
    struct stream_state *state = calloc(1, sizeof *state);
    enum plinth_status st = state ? PLINTH_OK : error_no_memory(error, "query");
    if (!st) st = query_open(db, schema, options, &state->query, error);
    if (st) {
        free(state);
        return st;
    }
    *query = state->query;
    *stream = (struct ArrowArrayStream){stream_schema, stream_next, stream_error, stream_release, state};
    return PLINTH_OK;
}

enum plinth_status plinth_query(struct plinth *db, const char *database, const char *table,
                                const struct plinth_query_options *options, struct ArrowArrayStream *stream,
                                struct plinth_error *error) {
    static const struct plinth_query_options defaults = {0};
    const struct table_schema *schema = NULL;
    struct query_options converted;
    struct query *query;
    struct arena arena;
    *stream = (struct ArrowArrayStream){0};
    error_clear(error);
    arena_init(&arena);
    enum plinth_status st = engine_find_schema_read(db, database && *database ? database : "default", table,
                                                    options ? &options->read : NULL, &schema, error);
    if (!st) st = convert_options(options ? options : &defaults, &arena, &converted, error);
    if (!st) st = open_stream(db, schema, &converted, stream, &query, error);
    table_schema_unref(schema);
    arena_deinit(&arena);
    return st;
}

/* ---- in a transaction ---- */

enum plinth_status query_note_ranges(const struct key_ranges *ranges, struct row_reads *reads,
                                     struct plinth_error *error) {
    bool ok = true;
    for (uint32_t i = 0; ok && i < ranges->count; i++)
        ok = ranges->points ? row_reads_key(reads, ranges->ranges[i].lower)
                            : row_reads_range(reads, ranges->ranges[i].lower, ranges->ranges[i].upper);
    return ok ? PLINTH_OK : error_no_memory(error, "transaction");
}

enum plinth_status query_note_predicate(struct plinth *db, const struct table_schema *schema,
                                        const struct predicate *predicate, struct row_reads *reads,
                                        struct plinth_error *error) {
    struct query_options options = {.predicate = predicate, .explain_only = true};
    struct query *query;
    enum plinth_status st = query_open(db, schema, &options, &query, error);
    if (st) return st;
    st = query_note_ranges(query_key_ranges(query), reads, error);
    query_close(query);
    return st;
}

enum plinth_status plinth_transaction_query(struct plinth_transaction *transaction, const char *database,
                                            const char *table, const struct plinth_query_options *options,
                                            struct ArrowArrayStream *stream, struct plinth_error *error) {
    static const struct plinth_query_options defaults = {0};
    struct transaction_table *of;
    struct query_options converted;
    struct query *query;
    struct arena arena;
    *stream = (struct ArrowArrayStream){0};
    error_clear(error);
    arena_init(&arena);
    enum plinth_status st = transaction_table_of(transaction, database, table, &of, error);
    if (!st) st = convert_options(options ? options : &defaults, &arena, &converted, error);
    if (!st) {
        converted.read = (struct plinth_read_options){.snapshot = transaction->snapshot};
        converted.own = of->own;
        converted.own_count = of->own_count;
        st = open_stream(transaction->db, of->schema, &converted, stream, &query, error);
    }
    if (!st) {
        st = query_note_ranges(query_key_ranges(query), &of->reads, error);
        if (st) stream->release(stream);
    }
    arena_deinit(&arena);
    return st;
}
