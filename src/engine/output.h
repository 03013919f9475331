/* What a flush or merge writes: rows of one table after the other, into as many segments as their size asks for. */
#ifndef PLINTH_ENGINE_OUTPUT_H
#define PLINTH_ENGINE_OUTPUT_H

#include "engine/value_counts.h"
#include "table/table_schema.h"

struct output {
    struct plinth *db;
    uint64_t job;
    struct table_id table;
    bool index_table;
    const struct table_schema *schema; /* of a typed table whose sorted index is written; else null */
    const struct table_index *index;
    enum segment_codec codec;
    uint64_t purged_lsn;        /* of the segments: range deletes up to here have been applied */
    uint64_t segment_bytes_max; /* raw bytes; a segment ends behind the key that reaches it */
    struct segment_writer *writer;
    struct value_counts *values; /* references of rows that are added are taken off; may be null; borrowed */
    struct buffer last_key;
    struct segment_info *segments; /* done so far, of all tables */
    uint64_t segment_count;
    uint64_t rows, bytes;
};

void output_init(struct output *output, struct plinth *db, uint64_t job, enum segment_codec codec,
                 uint64_t segment_bytes_max);
/* Drops an unfinished segment; finished ones stay in the store (the job's abort collects them). */
void output_deinit(struct output *output);
/* The rows that follow are of this table. Ends the segment of the one before. */
PLINTH_MUST_CHECK enum plinth_status output_begin_table(struct output *output, struct table_id table, bool index_table,
                                                        struct plinth_error *error);
/* The same for a sorted index of a typed table, one of the schema's own; the schema is referenced. */
PLINTH_MUST_CHECK enum plinth_status output_begin_index(struct output *output, const struct table_schema *schema,
                                                        const struct table_index *index, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status output_add(struct output *output, const struct row *row,
                                                struct plinth_error *error);
/* Ends the last segment. */
PLINTH_MUST_CHECK enum plinth_status output_finish(struct output *output, struct plinth_error *error);
/* Notes a segment that is done; takes over what `info` owns, also on failure. */
PLINTH_MUST_CHECK enum plinth_status output_push_segment(struct output *output, struct segment_info *info,
                                                         struct plinth_error *error);
/* Moves the segments of `from`, which has finished, behind those of `output`. */
PLINTH_MUST_CHECK enum plinth_status output_take(struct output *output, struct output *from,
                                                 struct plinth_error *error);
/* Opens segments as one run, and notes their index checksums in `segments`. New ones are read; those with a checksum
 * when they are needed. */
PLINTH_MUST_CHECK enum plinth_status output_open_run(struct plinth *db, struct segment_info *segments, uint64_t count,
                                                     struct run **run, struct plinth_error *error);

#endif
