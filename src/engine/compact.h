/* One merge of neighbouring runs: what compact.c, which chooses and commits, shares with compact_rows.c, which merges
 * those of typed tables. */
#ifndef PLINTH_ENGINE_COMPACT_H
#define PLINTH_ENGINE_COMPACT_H

#include "engine/output.h"
#include "table/table_schema.h"

/* `count` runs of `table`, all of one partition, from position `first` on, newest first, as they are in `view`. */
struct merge {
    struct plinth *db;
    struct view *view;
    struct table_id table;
    struct table_id indexed;           /* of an index: the table whose keys it holds; else table.table is 0 */
    const struct table_schema *schema; /* of a typed table, or of the one that is indexed; else null */
    const struct table_index *index;   /* of a typed table; null: rows, or a key space's */
    const struct view_run *runs;
    size_t first, count;
    bool bottom;
    bool is_dropping; /* nothing is written: the partition is older than the table keeps */
    bool is_thorough; /* someone asked for it: time counts less than size */
    uint64_t horizon_lsn;
    uint64_t job;
    uint64_t rows_in, bytes_in;
    uint64_t level;
};

/* The rows of the inputs in order. */
PLINTH_MUST_CHECK enum plinth_status merge_open_inputs(struct merge *merge, struct iterator **merged,
                                                       struct plinth_error *error);
/* PLINTH_CANCELLED when the engine closes; to be asked every few thousand rows. */
PLINTH_MUST_CHECK enum plinth_status merge_check(struct merge *merge, struct plinth_error *error);

/* ---- compact_rows.c ---- */

/* Merges rows of a typed table. */
PLINTH_MUST_CHECK enum plinth_status merge_rows(struct merge *merge, struct output *output, struct plinth_error *error);
/* Merges entries of a sorted index of a typed table, leaving out those whose rows have moved on. */
PLINTH_MUST_CHECK enum plinth_status merge_row_index(struct merge *merge, struct output *output,
                                                     struct plinth_error *error);

#endif
