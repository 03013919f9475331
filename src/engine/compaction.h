/* What is merged when: plans and their steps.
 *
 * The policy (compaction_policy.h) chooses neighbouring runs of a group, which become a plan; its steps
 * (compaction_step.h) bring them into the oldest of them, each a merge with a commit of its own. Any number of threads
 * take steps: of different plans, whose runs are disjoint, or of one plan, whose ranges of keys are. Plans live in
 * memory only: after a restart the policy looks at what there is.
 *
 * What takes all of a group (plinth_compact, retention, an index build) waits until the steps in it have ended, and
 * none begins meanwhile. */
#ifndef PLINTH_ENGINE_COMPACTION_H
#define PLINTH_ENGINE_COMPACTION_H

#include "engine/engine.h"

struct compaction;

PLINTH_MUST_CHECK enum plinth_status compaction_create(struct plinth *db, struct compaction **compaction,
                                                       struct plinth_error *error);
/* No merge is running. Null is allowed. */
void compaction_destroy(struct compaction *compaction);

/* A plan, for people. */
struct compaction_plan_info {
    uint64_t id;
    struct table_id table;
    bool has_partition;
    int64_t partition;
    const char *why;
    unsigned steps; /* under way */
    unsigned failures;
    bool is_retention;
    bool is_held; /* waits after a failure or a cancel */
    uint64_t rows, rows_done;
    uint64_t started_us; /* record time */
};
typedef void compaction_plan_visitor(void *context, const struct compaction_plan_info *info);
void compaction_visit_plans(struct plinth *db, compaction_plan_visitor *visit, void *context);
/* Ends the plan's steps; its runs are left alone for a while. False when there is no such plan. */
bool compaction_cancel(struct plinth *db, uint64_t plan);
/* Waits until a step that is under way ends, at most for so long; false at once when there is none. */
bool compaction_wait_step(struct plinth *db, uint64_t timeout_us);
/* While paused no step begins; what is under way ends. plinth_compact and retention go on. */
void compaction_pause(struct plinth *db, bool paused);
bool compaction_is_paused(struct plinth *db);

/* How much there is to do, for the writers (write_delay.h). */
struct compaction_load {
    uint64_t debt_bytes; /* to be read until nothing is to be done */
    uint64_t runs_most;  /* of a group */
    uint64_t groups;     /* with something to do */
};
void compaction_measure(struct plinth *db, struct compaction_load *load);

#endif
