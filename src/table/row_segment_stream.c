/* A segment of a typed table as a stream of blocks: a few stripes of one row group at a time become one block, without
 * work for single rows. Where the bounds cut the first and the last stripe is looked up once, in their keys. */
#include <stdlib.h>

#include "base/status.h"
#include "table/row_block_private.h"
#include "table/row_segment_read.h"

enum { BLOCK_ROWS = 8192 };

struct segment_stream {
    struct block_stream base;
    struct segment *segment;
    struct block_read read;
    uint32_t stripe, end; /* what is left of the stripes */
    uint32_t skip;        /* rows of the first one that are below `lower` */
    uint32_t last_rows;   /* rows of the last one that are below `upper` */
    struct stripe_decoder *decoder;
    struct row_dictionaries dictionaries;
};

/* ---- bounds ---- */

/* How many rows of a stripe come before `key`. */
static enum plinth_status rows_before(struct segment *segment, uint32_t number, struct slice key, uint32_t *rows,
                                      struct plinth_error *error) {
    struct stripe *stripe;
    enum plinth_status st = stripe_load(segment, number, STRIPE_KEYS_ONLY, &stripe, error);
    if (st) return st;
    *rows = stripe_find(stripe, key, UINT64_MAX);
    stripe_unref(stripe);
    return PLINTH_OK;
}

static enum plinth_status find_bounds(struct segment_stream *stream, struct plinth_error *error) {
    struct segment *segment = stream->segment;
    struct slice lower = stream->read.lower, upper = stream->read.upper;
    enum plinth_status st = PLINTH_OK;
    segment_stripes_in(segment, lower, upper, &stream->stripe, &stream->end);
    if (stream->stripe == stream->end) return PLINTH_OK;
    if (lower.size && slice_compare(lower, segment_stripe_first_key(segment, stream->stripe)) > 0) {
        st = rows_before(segment, stream->stripe, lower, &stream->skip, error);
        if (!st && stream->skip == segment->stripes.rows[stream->stripe]) { /* all of it is below */
            stream->stripe++;
            stream->skip = 0;
        }
    }
    if (st || stream->stripe == stream->end) return st;
    uint32_t last = stream->end - 1;
    stream->last_rows = segment->stripes.rows[last];
    bool is_cut =
        upper.size && slice_compare(upper, buffer_slice(&segment->info.key_max)) <= 0 &&
        (last + 1 == segment->stripes.count || slice_compare(upper, segment_stripe_first_key(segment, last + 1)) <= 0);
    if (is_cut) st = rows_before(segment, last, upper, &stream->last_rows, error);
    return st;
}

/* ---- blocks ---- */

/* The next stripes that go into one block. */
static uint32_t take_ranges(struct segment_stream *stream, struct stripe_range *ranges, uint32_t *rows) {
    const struct stripe_index *index = &stream->segment->stripes;
    uint32_t count = 0, group = index->groups[stream->stripe];
    *rows = 0;
    while (stream->stripe < stream->end && count < ROW_RANGES_MAX && index->groups[stream->stripe] == group) {
        uint32_t end = stream->stripe + 1 == stream->end ? stream->last_rows : index->rows[stream->stripe];
        uint32_t first = stream->skip < end ? stream->skip : end;
        if (count && *rows + (end - first) > BLOCK_ROWS) break;
        if (end > first) ranges[count++] = (struct stripe_range){stream->stripe, first, end - first};
        *rows += end - first;
        stream->stripe++;
        stream->skip = 0;
    }
    return count;
}

static enum plinth_status read_columns(struct segment_stream *stream, struct row_decoder *decoder,
                                       const struct row_read *read, struct batch *batch, struct plinth_error *error) {
    const struct table_schema *schema = stream->read.schema;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < stream->read.column_count && !st; i++) {
        uint32_t id = stream->read.column_ids[i];
        int32_t column = table_schema_find_id(schema, id);
        if (column < 0)
            st = error_set(error, PLINTH_INTERNAL, "table %s has no column with the id %u", schema->name, id);
        else
            st = row_decoder_table_column(decoder, read, &schema->columns[column], &batch->columns[i], error);
    }
    return st;
}

/* Deleted rows have no values, defaults neither. */
static bool hide_deleted(const struct segment_stream *stream, struct row_block *block) {
    for (uint32_t i = 0; i < stream->read.column_count && block->operations; i++) {
        uint32_t id = stream->read.column_ids[i];
        const struct table_schema *schema = stream->read.schema;
        bool is_default =
            schema->columns[table_schema_find_id(schema, id)].initial_default && !row_segment_find(stream->segment, id);
        if (is_default && !row_block_hide_deleted(&block->columns->arena, block->operations, block->rows,
                                                  &block->columns->columns[i]))
            return false;
    }
    return true;
}

static void note_lsns(struct row_block *block) {
    if (!block->lsns) return;
    block->lsn_min = UINT64_MAX;
    block->lsn_max = 0;
    for (uint32_t i = 0; i < block->rows; i++) {
        if (block->lsns[i] < block->lsn_min) block->lsn_min = block->lsns[i];
        if (block->lsns[i] > block->lsn_max) block->lsn_max = block->lsns[i];
    }
}

static enum plinth_status read_keys(struct segment_stream *stream, struct row_decoder *decoder,
                                    const struct row_read *read, struct row_block *block, struct plinth_error *error) {
    struct row_versions versions;
    enum plinth_status st = row_decoder_versions(decoder, read, &versions, error);
    if (!st)
        st = row_decoder_keys(decoder, read, &versions, stream->read.column_ids, block->columns->columns,
                              stream->read.column_count, &block->keys, error);
    if (st) return st;
    uint64_t *prefixes = arena_alloc(read->arena, (size_t)block->rows * sizeof *prefixes);
    uint8_t *operations = NULL;
    if (!versions.operations && versions.operation != ROW_SET) {
        operations = arena_alloc(read->arena, block->rows);
        if (operations) memset(operations, versions.operation, block->rows);
    }
    if (!prefixes || (!operations && !versions.operations && versions.operation != ROW_SET))
        return error_no_memory(error, "block of keys");
    for (uint32_t i = 0; i < block->rows; i++) prefixes[i] = row_key_prefix(row_block_key(block, i));
    block->prefixes = prefixes;
    block->lsns = versions.lsns;
    block->lsn_min = block->lsn_max = versions.lsn;
    block->operations = versions.operations ? versions.operations : operations;
    block->ordinals = versions.ordinals;
    note_lsns(block);
    return PLINTH_OK;
}

static enum plinth_status make_block(struct segment_stream *stream, const struct stripe_range *ranges, uint32_t count,
                                     uint32_t rows, struct row_block **block, struct plinth_error *error) {
    struct row_decoder *decoder;
    struct row_block *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "block of rows");
    atomic_init(&made->references, 1);
    arena_init(&made->arena);
    made->rows = rows;
    made->lsn_min = stream->segment->info.lsn_min;
    made->lsn_max = stream->segment->info.lsn_max;
    made->columns = batch_create(stream->read.column_count);
    uint32_t *ids = arena_alloc(&made->arena, stream->read.column_count * sizeof *ids + 1);
    if (ids && stream->read.column_count) memcpy(ids, stream->read.column_ids, stream->read.column_count * sizeof *ids);
    made->column_ids = ids;
    enum plinth_status st = made->columns && ids ? PLINTH_OK : error_no_memory(error, "block of rows");
    if (!st) st = stripe_decoder_rows(stream->decoder, &decoder, error);
    if (!st) {
        made->columns->rows = rows;
        struct row_read read = {.segment = stream->segment,
                                .ranges = ranges,
                                .range_count = count,
                                .rows = rows,
                                .arena = &made->columns->arena,
                                .dictionaries = &stream->dictionaries};
        st = read_columns(stream, decoder, &read, made->columns, error);
        read.arena = &made->arena;
        if (!st && stream->read.with_keys) st = read_keys(stream, decoder, &read, made, error);
        if (!st && !hide_deleted(stream, made)) st = error_no_memory(error, "block of rows");
    }
    if (st) {
        row_block_unref(made);
        return st;
    }
    *block = made;
    return PLINTH_OK;
}

static enum plinth_status segment_stream_next(struct block_stream *base, struct row_block **block,
                                              struct plinth_error *error) {
    struct segment_stream *stream = (struct segment_stream *)base;
    struct stripe_range ranges[ROW_RANGES_MAX];
    uint32_t count = 0, rows = 0;
    *block = NULL;
    while (!count && stream->stripe < stream->end) count = take_ranges(stream, ranges, &rows);
    return count ? make_block(stream, ranges, count, rows, block, error) : PLINTH_OK;
}

static void segment_stream_close(struct block_stream *base) {
    struct segment_stream *stream = (struct segment_stream *)base;
    row_dictionaries_deinit(&stream->dictionaries);
    stripe_decoder_release(stream->decoder);
    segment_unref(stream->segment);
    free(stream);
}

static const struct block_stream_ops segment_stream_ops = {
    .next = segment_stream_next,
    .close = segment_stream_close,
};

enum plinth_status segment_block_stream_open(struct segment *segment, const struct block_read *read,
                                             struct block_stream **stream, struct plinth_error *error) {
    *stream = NULL;
    enum plinth_status st = segment_load(segment, error);
    if (st) return st;
    struct segment_stream *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "stream of a segment");
    opened->base.ops = &segment_stream_ops;
    opened->segment = segment_ref(segment);
    opened->read = *read;
    if (!row_dictionaries_init(&opened->dictionaries, segment)) st = error_no_memory(error, "stream of a segment");
    if (!st) st = stripe_decoder_acquire(&opened->decoder, error);
    if (!st) st = find_bounds(opened, error);
    if (st) {
        segment_stream_close(&opened->base);
        return st;
    }
    *stream = &opened->base;
    return PLINTH_OK;
}
