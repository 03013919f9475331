/* What compaction.c, compaction_group.c, compaction_take.c and compaction_whole.c share: plans and the state of them.
 *
 * A plan brings neighbouring runs of a group into the oldest of them, in steps; it lives in memory only. */
#ifndef PLINTH_ENGINE_COMPACTION_PLAN_H
#define PLINTH_ENGINE_COMPACTION_PLAN_H

#include "engine/compaction.h"
#include "engine/compaction_step.h"

enum { QUIET_SAMPLES = 64 };

/* A step under way. */
struct plan_step {
    struct plan_step *next;
    struct buffer key_min, key_max;
};

struct plan {
    struct plan *next;
    uint64_t id;
    struct table_id table;
    bool has_partition;
    int64_t partition;
    bool is_retention;
    bool is_exclusive; /* takes all of its group, in one merge that compaction_mutex has room for */
    uint64_t *runs;    /* ids, newest first */
    size_t run_count;
    const char *why;
    bool is_lasting, is_purging; /* as of struct merge */
    struct plan_step *steps;
    unsigned failures;
    uint64_t held_until_ns;
    uint64_t rows, started_us;
    atomic_ullong rows_done;
    atomic_bool cancelled;
};

struct quiet_sample {
    uint64_t ns, lsn;
};

/* `mutex` guards everything in here, the plans' steps included. */
struct compaction {
    pthread_mutex_t mutex;
    pthread_cond_t step_ended;
    struct plan *plans; /* oldest first */
    uint64_t next_plan;
    bool paused;
    /* Which LSNs are how old; newest first. */
    struct quiet_sample samples[QUIET_SAMPLES];
    size_t sample_count;
};

/* A plan for `count` neighbouring runs, newest first, of the partition that `of` is of; null when
 * memory is out. `why` is borrowed for good. */
struct plan *plan_create(struct plinth *db, struct table_id table, const struct view_run *of,
                         const struct view_run *taken, size_t count, const char *why);
/* These hold the mutex. */
void plan_append(struct compaction *compaction, struct plan *plan);
/* Frees it as well. */
void plan_remove(struct compaction *compaction, struct plan *plan);
bool plan_has_run(const struct plan *plan, uint64_t id);
/* Begins a step over a range of keys; null when memory is out. */
struct plan_step *step_begin(struct plan *plan, const struct step_range *range);
void step_end(struct plan *plan, struct plan_step *step);

#endif
