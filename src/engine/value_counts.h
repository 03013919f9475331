/* How many references to values a flush or merge has read, less those it has written: what is left over is dropped. So
 * no way by which a version may get lost on has to be known here.
 *
 * Rows of a merge come in and go out side by side; folding what has been noted keeps only the difference in memory. */
#ifndef PLINTH_ENGINE_VALUE_COUNTS_H
#define PLINTH_ENGINE_VALUE_COUNTS_H

#include "engine/engine.h"
#include "table/iterator.h"

struct value_counts {
    struct value_count *all;
    size_t count, capacity;
    size_t fold_at;
};

void value_counts_deinit(struct value_counts *counts);
/* Notes `by` for the object that a row refers to, if it does. */
PLINTH_MUST_CHECK enum plinth_status value_counts_add(struct value_counts *counts, struct slice indexes, int by,
                                                      struct plinth_error *error);
/* One entry an object, in order, and none of 0. */
void value_counts_fold(struct value_counts *counts);
/* The rows of `inner` (taken over, also on failure), each of which counts when a step forwards gives it. Seeks other
 * than to the first row are not for this. */
PLINTH_MUST_CHECK enum plinth_status counting_iterator_open(struct iterator *inner, struct value_counts *counts,
                                                            struct iterator **it, struct plinth_error *error);
/* Says in the log what a job will have dropped; before its commit. */
PLINTH_MUST_CHECK enum plinth_status value_counts_append(struct value_counts *counts, struct plinth *db, uint64_t job,
                                                         struct plinth_error *error);

#endif
