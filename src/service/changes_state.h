/* The state that a change feed begins behind, as items of it: keys that are set, rows that are upserted, table by
 * table, in no order that means anything. */
#ifndef PLINTH_SERVICE_CHANGES_STATE_H
#define PLINTH_SERVICE_CHANGES_STATE_H

#include <pthread.h>

#include "engine/feed.h"

struct changes_state;

/* Takes `snapshot` over, also on failure. Of `options` tables, prefix and predicate count; they are borrowed. `guard`
 * is the mutex under which changes_state_interrupt is called. PLINTH_INVALID_ARGUMENT: a predicate on a key space. */
PLINTH_MUST_CHECK enum plinth_status changes_state_open(struct plinth *db, struct plinth_snapshot *snapshot,
                                                        const struct feed_options *options, pthread_mutex_t *guard,
                                                        struct changes_state **state, struct plinth_error *error);
/* The next item, valid until the next call; *found is false at the end. Runs on a worker. */
PLINTH_MUST_CHECK enum plinth_status changes_state_next(struct changes_state *state, struct feed_item *item,
                                                        bool *found, struct plinth_error *error);
/* Makes a running or the next call return soon. `guard` is held. */
void changes_state_interrupt(struct changes_state *state);
/* Null is allowed. */
void changes_state_close(struct changes_state *state);

#endif
