/* What range deletes leave to do in files. */
#ifndef PLINTH_ENGINE_COMPACTION_RANGES_H
#define PLINTH_ENGINE_COMPACTION_RANGES_H

#include "engine/engine.h"

/* Drops segments that range deletes hide wholly, or else rewrites some that many of them hide in part; *done tells
 * whether there was something to do. Takes compaction_mutex. */
PLINTH_MUST_CHECK enum plinth_status compaction_apply_ranges(struct plinth *db, bool *done, struct plinth_error *error);

#endif
