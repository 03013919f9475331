/* Row segments of a typed table, from blocks in row order: one segment a partition at a time, and a next one when the
 * last has its size. */
#ifndef PLINTH_ENGINE_ROW_OUTPUT_H
#define PLINTH_ENGINE_ROW_OUTPUT_H

#include "engine/output.h"
#include "table/row_segment.h"

/* The segment that takes a partition's rows. */
struct row_output_segment {
    bool has_partition;
    int64_t partition;
    struct row_segment_writer *writer;
    struct buffer last_key;        /* of its last row */
    struct row_stretch *stretches; /* of the block at hand that go here */
    uint32_t stretch_count, stretch_capacity;
    uint32_t rows; /* in the stretches */
};

struct row_output {
    struct output *into; /* segments are listed there; its table is not used */
    const struct table_schema *schema;
    const struct table_index *index; /* of whose entries the segments are; else null */
    struct row_output_segment *open; /* ordered by partition */
    uint64_t open_count;
    bool fixed;          /* all rows are of open[0]'s partition */
    int64_t *partitions; /* of the rows of the block at hand */
    uint32_t partitions_capacity;
};

/* `into` and `schema` are borrowed until row_output_deinit. */
void row_output_init(struct row_output *output, struct output *into, const struct table_schema *schema);
/* The same for entries of a sorted index: `schema` is that of the entries (row_entries_schema). */
void row_output_init_entries(struct row_output *output, struct output *into, const struct table_schema *schema,
                             const struct table_index *index);
/* All rows are of this partition (or of none): it is not looked up. */
PLINTH_MUST_CHECK enum plinth_status row_output_fix_partition(struct row_output *output, bool has_partition,
                                                              int64_t partition, struct plinth_error *error);
/* Only rows of these partitions are wanted, the others passed over: at most as many as segments may be open at once.
 * For partitioned tables either this or row_output_fix_partition. */
PLINTH_MUST_CHECK enum plinth_status row_output_choose_partitions(struct row_output *output, const int64_t *partitions,
                                                                  uint64_t count, struct plinth_error *error);
enum { ROW_OUTPUT_PARTITIONS_MAX = 64 };
PLINTH_MUST_CHECK enum plinth_status row_output_add(struct row_output *output, struct row_block *block,
                                                    struct plinth_error *error);
/* Ends the open segments, in the order of partitions. */
PLINTH_MUST_CHECK enum plinth_status row_output_finish(struct row_output *output, struct plinth_error *error);
/* Drops unfinished segments. */
void row_output_deinit(struct row_output *output);

#endif
