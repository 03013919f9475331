/* What takes all runs of a group at once: retention, plinth_compact, an index build. */
#ifndef PLINTH_ENGINE_COMPACTION_WHOLE_H
#define PLINTH_ENGINE_COMPACTION_WHOLE_H

#include "engine/engine.h"

/* Drops the first expired partition, unless a snapshot needs it. Entries of its rows in indexes are dead from then on.
 * compaction_mutex is held. */
PLINTH_MUST_CHECK enum plinth_status compaction_drop_expired(struct plinth *db, bool *dropped,
                                                             struct plinth_error *error);

#endif
