/* The rows of an iterator that no range delete hides.
 *
 * Versions that a newer range delete covers, as a reader at the range view's LSN sees it, are left out. Over a run the
 * segments that have nothing but covered versions in a range are passed by their bounds, without being read. */
#ifndef PLINTH_TABLE_COVERED_H
#define PLINTH_TABLE_COVERED_H

#include "table/range_set.h"
#include "table/run.h"

/* Takes over `inner`, also on failure. `run` is what it iterates, or null; `ranges` is borrowed until it is closed. */
PLINTH_MUST_CHECK enum plinth_status covered_iterator_open(struct iterator *inner, const struct run *run,
                                                           const struct range_view *ranges, struct iterator **it,
                                                           struct plinth_error *error);

/* The rows of an iterator, with those that have expired at `time_us` as deletes. Takes over `inner`, also on failure.
 */
PLINTH_MUST_CHECK enum plinth_status expiring_iterator_open(struct iterator *inner, uint64_t time_us,
                                                            struct iterator **it, struct plinth_error *error);

#endif
