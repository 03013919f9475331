/* One merge: segments of neighbouring runs become fewer, without the versions that nobody can see any more, and of an
 * index without entries whose rows have moved on. compaction.c says which; compact_rows.c merges rows of typed tables,
 * compact_index.c their entries. */
#ifndef PLINTH_ENGINE_COMPACT_H
#define PLINTH_ENGINE_COMPACT_H

#include "engine/compaction_step.h"
#include "engine/output.h"
#include "engine/value_counts.h"
#include "table/table_schema.h"

enum { SEGMENT_RAW_BYTES_MAX = 128 << 20 };

/* A run of which something is taken; borrowed from the merge's view. */
struct merge_input {
    uint64_t id;
    struct run *run;
    struct step_part taken;
    struct run *part; /* the segments taken, a reference; null: none */
    struct run *read; /* of rows of a typed table: those of them that are read, a reference; null: none */
};

/* Inputs are newest first; the output goes into the last one's run. */
struct merge {
    struct plinth *db;
    struct view *view;
    struct table_id table;
    bool has_partition;
    int64_t partition;
    struct merge_input *inputs;
    size_t count;
    bool bottom;        /* nothing older overlaps what is taken */
    bool is_all;        /* everything that the table has in segments is taken */
    bool is_move;       /* segments go into the last run as they are */
    bool is_dropping;   /* nothing is written: the partition is older than the table keeps */
    bool is_covered;    /* nothing is written: range deletes hide all of it from everybody */
    bool is_thorough;   /* someone asked for it: time counts less than size */
    bool is_lasting;    /* its output is not soon merged again */
    bool is_purging;    /* it is made for what it leaves out */
    struct slice *cuts; /* segments of the output end before these keys, ascending; borrowed from the inputs' view */
    size_t cut_count;
    const char *why;
    const atomic_bool *cancelled; /* may be null */
    atomic_ullong *progress;      /* rows read so far are added; may be null */

    struct table_id indexed;           /* of an index: the table whose keys it holds; else table.table is 0 */
    const struct table_schema *schema; /* of a typed table, or of the one that is indexed; else null */
    const struct table_index *index;   /* of a typed table; null: rows, or a key space's */
    uint64_t horizon_lsn, expired_us;  /* what has expired at that time is a delete */
    struct range_view ranges;          /* of a key space: what hides keys at the horizon; borrowed from the view */
    struct value_counts values;        /* of a key space: references that are left out */
    uint64_t level;
    uint64_t job;
    uint64_t rows_in, bytes_in;
};

/* Makes the merge: fills in what the second half of the struct describes. PLINTH_CANCELLED when the table was dropped
 * meanwhile, a snapshot needs what would be dropped, the engine closes or `cancelled` is set. */
PLINTH_MUST_CHECK enum plinth_status merge_run(struct merge *merge, struct plinth_error *error);
void merge_deinit(struct merge *merge);

/* ---- for compact_rows.c and compact_index.c ---- */

/* The rows of the inputs in order. */
PLINTH_MUST_CHECK enum plinth_status merge_open_inputs(struct merge *merge, struct iterator **merged,
                                                       struct plinth_error *error);
/* Ends the output's segment when the row that comes next is at or behind a cut. `*cut` begins with 0. */
PLINTH_MUST_CHECK enum plinth_status merge_cut(struct merge *merge, struct output *output, struct slice key,
                                               size_t *cut, struct plinth_error *error);
/* PLINTH_CANCELLED when the engine closes or the merge is cancelled; to be asked every few thousand rows. */
PLINTH_MUST_CHECK enum plinth_status merge_check(struct merge *merge, struct plinth_error *error);
void merge_note_rows(struct merge *merge, uint64_t rows);
/* When only rows that stay have been noted: notes the others. */
void merge_note_dropped(struct merge *merge);

/* Merges rows of a typed table. */
PLINTH_MUST_CHECK enum plinth_status merge_rows(struct merge *merge, struct output *output, struct plinth_error *error);
/* Merges entries of a sorted index of a typed table, where it pays leaving out those whose rows have moved on. */
PLINTH_MUST_CHECK enum plinth_status merge_row_index(struct merge *merge, struct output *output,
                                                     struct plinth_error *error);

#endif
