/* How much of the runs of a table has expired, by the bounds of its expiry column: what is due to be merged for the
 * room that it takes, and which segments need not be read for it (table/expired_rows.h). */
#ifndef PLINTH_ENGINE_EXPIRED_RUNS_H
#define PLINTH_ENGINE_EXPIRED_RUNS_H

#include "engine/compact.h"

/* Rows of the run that have expired at `time_us`, about: as if values lay evenly between the bounds of each segment (of
 * many, some are looked at). 0 when the schema's rows do not expire, or nothing has. Segments with deletes that the
 * horizon holds back count as nothing: a merge has written what had expired as such, and would do so again. Reads
 * footers of segments that were not read yet; one that cannot be read counts as nothing, too. */
uint64_t expired_rows_in_run(const struct table_schema *schema, const struct run *run, uint64_t horizon_lsn,
                             uint64_t time_us);

/* Chooses what is read of the merge's parts: all, but segments of which every row has expired at merge->expired_us and
 * which hide nothing: at the bottom, when nothing that is read of an older part overlaps. */
PLINTH_MUST_CHECK enum plinth_status merge_choose_read(struct merge *merge, struct plinth_error *error);

#endif
