/* The next step of a plan: which segments of its runs are merged, or moved, together. A pure function of key ranges.
 *
 * A plan brings neighbouring runs into the oldest of them. A step takes a few segments of one run, and of every older
 * run of the plan what overlaps them and what was taken of the runs between:
 *
 *     newest   [  a  ][  b  ][   c   ]              step: a
 *              [ d ][ e ][ f ]   [ g ]                    + d, e
 *     oldest   [h][ i ][ j ][ k ][  l  ]                  + h, i, j   ->  [ ][ ][ ]  in their place
 *
 * What is newer than what was taken stays above it and what is older goes with it, so the newest version of a key is
 * still met first. Steps of disjoint ranges may be made at the same time. A segment that overlaps nothing below it is
 * moved as it is, without being read. */
#ifndef PLINTH_ENGINE_COMPACTION_STEP_H
#define PLINTH_ENGINE_COMPACTION_STEP_H

#include "base/bytes.h"

struct step_segment {
    struct slice key_min, key_max;
    uint64_t bytes;
    bool may_move; /* it is fit to stay as it is */
};

struct step_run {
    const struct step_segment *segments;
    size_t count; /* 1 or more */
};

/* Keys from `key_min` to `key_max`, both inclusive. */
struct step_range {
    struct slice key_min, key_max;
};

/* Segments [first, first + count) of a run. */
struct step_part {
    size_t first, count;
};

struct compaction_step {
    bool is_move;            /* the segments of one run go into the oldest, which loses none */
    struct step_range range; /* of all keys taken; borrowed from the segments */
    uint64_t bytes;
};

/* `parts`: one a run, newest first. A step is of about `bytes_max` when runs are cut finely enough. False when there is
 * none now: all that is left is busy, or only one run is left. */
bool compaction_step_choose(const struct step_run *runs, size_t run_count, const struct step_range *busy,
                            size_t busy_count, uint64_t bytes_max, struct step_part *parts,
                            struct compaction_step *step);

/* Where to end the segments that a step writes, so that none of them overlaps much more than `overlap_max` bytes of the
 * runs behind the plan: else a later step, which takes all that a segment overlaps, could not be small. Cuts are at
 * borders of the largest of these runs, and not so close that the segments would be smaller than `bytes_min` when
 * `bytes` of output spread like the runs behind. Returns how many of `cuts` (at most `cuts_max`) were made: each is the
 * first key of the next segment, ascending, borrowed from the segments. */
size_t compaction_step_cut(const struct step_run *behind, size_t behind_count, const struct step_range *range,
                           uint64_t bytes, uint64_t overlap_max, uint64_t bytes_min, struct slice *cuts,
                           size_t cuts_max);

/* Where a segment with this range, which overlaps none of the run, belongs in it. */
size_t compaction_step_position(const struct step_run *run, struct slice key_min);

#endif
