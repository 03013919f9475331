/* From a plan to a merge: which segments its next step takes, and where its output is cut. */
#ifndef PLINTH_ENGINE_COMPACTION_TAKE_H
#define PLINTH_ENGINE_COMPACTION_TAKE_H

#include "engine/compact.h"
#include "engine/compaction_group.h"

/* How many bytes a step should not read more than. */
uint64_t compaction_step_bytes(const struct plinth *db);
/* A merge of segments of the group's runs. `parts` are of `count` runs from position `first` of the table on; null: all
 * of them. The view is borrowed; merge_deinit also after a failure. */
PLINTH_MUST_CHECK enum plinth_status plan_make_merge(struct plinth *db, struct view *view, const struct group *group,
                                                     size_t first, size_t count, const struct step_part *parts,
                                                     const struct step_range *range, struct plan *plan,
                                                     struct merge *merge, struct plinth_error *error);

/* A step that has been chosen. */
struct work {
    struct plan *plan;
    struct plan_step *step;
    struct view *view;
    struct merge merge;
};

/* Takes the next step of a plan, if there is one now; work->step is null otherwise. A plan that has none left goes. The
 * mutex is held. */
PLINTH_MUST_CHECK enum plinth_status plan_take_step(struct plinth *db, struct view *view, struct plan *plan,
                                                    struct work *work, struct plinth_error *error);

#endif
