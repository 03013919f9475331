/* Entries of a sorted index of a typed table, from rows in any order to a run of its table: they are collected and
 * sorted in pieces, and the pieces merged. Bounded by what is given: the rows of a memtable, or of one piece of a
 * build. */
#ifndef PLINTH_ENGINE_INDEX_OUTPUT_H
#define PLINTH_ENGINE_INDEX_OUTPUT_H

#include "engine/output.h"
#include "table/row_block.h"

struct index_output {
    const struct table_schema *schema;
    const struct table_index *index;
    struct arena work;
    /* Entries not sorted yet: keys with their ends, and LSNs. */
    struct buffer keys, ends, lsns;
    struct row_block **pieces; /* sorted, without columns */
    uint64_t piece_count;
};

/* `schema` and `index` are borrowed until index_output_deinit. */
void index_output_init(struct index_output *output, const struct table_schema *schema, const struct table_index *index);
void index_output_deinit(struct index_output *output);
/* Adds the entries of the block's rows that are no deletes; no row twice. */
PLINTH_MUST_CHECK enum plinth_status index_output_add(struct index_output *output, const struct row_block *block,
                                                      struct plinth_error *error);
/* Sorts what was added since the last piece; index_output_write does it, too. */
PLINTH_MUST_CHECK enum plinth_status index_output_sort(struct index_output *output, struct plinth_error *error);
/* Moves what `from`, of the same index, has sorted to `output`. No row is in both. */
PLINTH_MUST_CHECK enum plinth_status index_output_take(struct index_output *output, struct index_output *from,
                                                       struct plinth_error *error);
/* Writes all entries in order, as table `index->id` of `into`. Once, at the end. */
PLINTH_MUST_CHECK enum plinth_status index_output_write(struct index_output *output, struct output *into,
                                                        struct plinth_error *error);

#endif
