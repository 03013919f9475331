/* What takes all runs of a group at once: retention, plinth_compact, an index build. */
#ifndef PLINTH_ENGINE_COMPACTION_WHOLE_H
#define PLINTH_ENGINE_COMPACTION_WHOLE_H

#include "engine/compaction_group.h"
#include "engine/engine.h"

/* Drops the first expired partition, unless a snapshot needs it. Entries of its rows in indexes are dead from then on.
 * compaction_mutex is held. */
PLINTH_MUST_CHECK enum plinth_status compaction_drop_expired(struct plinth *db, bool *dropped,
                                                             struct plinth_error *error);

/* Adds a plan for all of the group and waits until no step is under way in it; then those plans go. Null when memory is
 * out. compaction_mutex is held. `drop`: it is retention. */
struct plan *compaction_begin_exclusive(struct plinth *db, const struct group *group, bool drop, const char *why);
void compaction_end_exclusive(struct plinth *db, struct plan *plan);

#endif
