/* Groups: the runs of one partition of a table, or of all of a table without partitions; and what the policy
 * (compaction_policy.h) has to know of them. */
#ifndef PLINTH_ENGINE_COMPACTION_GROUP_H
#define PLINTH_ENGINE_COMPACTION_GROUP_H

#include "engine/compaction_plan.h"
#include "engine/compaction_policy.h"

struct group {
    const struct view_table *table;
    size_t begin, end;
};

/* The group behind `group`, or the first one of the view for {0}. Tables that are in the view only because they had
 * runs have none. */
bool group_next(const struct view *view, struct group *group);
static inline const struct view_run *group_run(const struct group *group) { return &group->table->runs[group->begin]; }

bool plan_is_of(const struct plan *plan, const struct group *group);
/* The group of a plan; false when it has no runs any more. */
bool group_find(const struct view *view, const struct plan *plan, struct group *group);

/* Notes how old the newest LSN is, now and then. The mutex is held. */
void compaction_take_sample(struct plinth *db);
/* The group as the policy sees it; false when memory is out. `runs` is the caller's to free. The mutex is held. */
PLINTH_MUST_CHECK bool group_describe(struct plinth *db, const struct view *view, const struct group *group,
                                      uint64_t time_us, uint64_t horizon_lsn, struct compaction_run **runs,
                                      struct compaction_group *described);

#endif
