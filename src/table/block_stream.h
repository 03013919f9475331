/* Streams of row blocks: the scan interface over memtable blocks, segments and merges of them. Each block's rows follow
 * those of the block before it in row order. One thread at a time. */
#ifndef PLINTH_TABLE_BLOCK_STREAM_H
#define PLINTH_TABLE_BLOCK_STREAM_H

#include "table/row_block.h"

struct block_stream;

struct block_stream_ops {
    enum plinth_status (*next)(struct block_stream *, struct row_block **, struct plinth_error *);
    void (*close)(struct block_stream *);
};
struct block_stream {
    const struct block_stream_ops *ops;
};

/* What is read of each row, and which rows. Borrowed until the stream is closed. */
struct block_read {
    const struct table_schema *schema;
    const uint32_t *column_ids; /* wanted, ascending; blocks have exactly these, nulls where a column came later */
    uint32_t column_count;
    bool with_keys;            /* also keys (with prefixes), LSNs and operations; else only what is asked for */
    struct slice lower, upper; /* encoded keys, inclusive and exclusive; empty: no bound */
};

/* The next block (one reference, at least one row), or null at the end. */
PLINTH_MUST_CHECK static inline enum plinth_status
block_stream_next(struct block_stream *stream, struct row_block **block, struct plinth_error *error) {
    return stream->ops->next(stream, block, error);
}
/* Null is allowed. */
static inline void block_stream_close(struct block_stream *stream) {
    if (stream) stream->ops->close(stream);
}

/* A stream of the rows of one block in [lower, upper) with the columns asked for (shared, not copied). */
PLINTH_MUST_CHECK enum plinth_status row_block_stream_open(struct row_block *block, const struct block_read *read,
                                                           struct block_stream **stream, struct plinth_error *error);

enum block_merge_mode {
    /* What a reader at `lsn` sees: of each key the newest version not above it, if that is no delete. */
    MERGE_SNAPSHOT,
    /* What must be kept when `lsn` is the horizon: versions above it, and of those at or below it the newest of each
     * key; with `bottom` not even that one if it is a delete. */
    MERGE_RETAIN,
    /* Everything. */
    MERGE_ALL,
};

struct block_merge_options {
    enum block_merge_mode mode;
    uint64_t lsn;
    bool bottom;
    uint32_t block_rows; /* rows of the blocks given, about; 0: 8,192 */
};

/* Merges streams (taken over, also on failure) that all have keys. No two hold the same (key, LSN). Stretches that come
 * from one input are copied as stretches; an input block that needs no change is passed through. */
PLINTH_MUST_CHECK enum plinth_status block_merge_open(struct block_stream **inputs, size_t count,
                                                      const struct block_read *read,
                                                      const struct block_merge_options *options,
                                                      struct block_stream **merged, struct plinth_error *error);

/* The rows of a key space, or any iterator of row.h rows, as blocks with the columns key (id 1) and value (id 2). Takes
 * the iterator over. */
PLINTH_MUST_CHECK enum plinth_status space_block_stream_open(struct iterator *it, const struct block_read *read,
                                                             struct block_stream **stream, struct plinth_error *error);

#endif
