/* MERGE_COMMIT: segments of neighbouring runs of a table, or of one partition of it, are replaced. From feature level 4
 * on.
 *
 *   job | table: tenant, database, table | partition: 0, or 1 and its number (zigzag) | output level
 *   run count | runs, newest first: id, number of segments taken, their object names in the order of keys
 *   object name that the output comes before in the last run, empty: at its end
 *   output count | outputs in the order of keys: 0 and the name of a segment that was taken and stays as it is, or
 *                  1 and a segment info
 *
 * The output goes into the last (oldest) run, which keeps its id; runs without segments are gone. The commit is void
 * when a run or a segment that it names is not there (any more). That what is taken of the newer runs overlaps nothing
 * between them and the last one but what is taken, too, is for the writer to see to. */
#ifndef PLINTH_ENGINE_MERGE_CHANGE_H
#define PLINTH_ENGINE_MERGE_CHANGE_H

#include "engine/shard.h"

struct merge_change_run {
    uint64_t id;
    struct slice *taken; /* names; borrowed */
    uint64_t taken_count;
};

struct merge_change_output {
    struct slice moved; /* the name of a segment that was taken; empty: */
    struct segment_info info;
};

/* Owns its arrays and infos (merge_change_deinit), not what names point to. */
struct merge_change {
    uint64_t job;
    struct table_id table;
    bool has_partition;
    int64_t partition;
    uint64_t level;
    struct merge_change_run *runs;
    uint64_t run_count;
    struct slice before;
    struct merge_change_output *outputs;
    uint64_t output_count;
};

void merge_change_deinit(struct merge_change *change);
PLINTH_MUST_CHECK bool merge_change_encode(struct buffer *into, const struct merge_change *change);
/* PLINTH_CORRUPT on malformed bytes; names are borrowed from the payload. */
PLINTH_MUST_CHECK enum plinth_status merge_change_decode(struct slice payload, struct merge_change *change,
                                                         struct plinth_error *error);

/* Whether everything that the change names is there. Its job is the caller's to check. */
bool merge_change_is_valid(const struct shard *shard, const struct merge_change *change);
/* Applies a valid change; false when memory is out. */
PLINTH_MUST_CHECK bool merge_change_apply(struct shard *shard, uint64_t lsn, struct merge_change *change);

#endif
