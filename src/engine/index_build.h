/* Building indexes of typed tables while writes go on: one thread, one step at a time (index_builds.h has what the log
 * says of it). What fails is tried again, after longer and longer whiles; closing, or a crash, leaves a build where its
 * last step ended, and the next open goes on. */
#ifndef PLINTH_ENGINE_INDEX_BUILD_H
#define PLINTH_ENGINE_INDEX_BUILD_H

#include "engine/engine.h"

struct index_builder;

PLINTH_MUST_CHECK enum plinth_status index_builder_start(struct plinth *db, struct plinth_error *error);
/* Ends the thread once db->closing is set; who waits for an index gets PLINTH_CANCELLED. */
void index_builder_stop(struct plinth *db);
void index_builder_free(struct plinth *db);
/* There may be something to build, or to stop building. */
void engine_want_index_builds(struct plinth *db);
/* Waits until the index is ready. PLINTH_NOT_FOUND: it was dropped meanwhile; PLINTH_CANCELLED: the build was cancelled
 * (the index is dropped then), or the engine closes; else why a build that is tried again and again fails. */
PLINTH_MUST_CHECK enum plinth_status engine_wait_for_index(struct plinth *db, struct table_id index,
                                                           struct plinth_error *error);
/* How much of a build is done, of 100. */
unsigned engine_index_percent(struct plinth *db, struct table_id index);
/* Whether the rows of a memtable that was cut at `cut_lsn` are left to the build of this index. */
bool engine_build_covers(struct plinth *db, struct table_id index, uint64_t cut_lsn);

#endif
