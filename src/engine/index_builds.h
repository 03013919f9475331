/* Index builds: indexes of typed tables that are state BUILDING, and how far they have come (index_build.c makes them).
 *
 * A build begins with the catalog's BUILD_INDEX record, at its LSN: a cut goes ahead of it, so that no memtable has
 * rows on both sides. Flushes make the entries of what is written behind it; the build makes those of what is at or
 * below it, in steps in the order of (partition, key, newest version first). INDEX_STEP commits a step: its entries as
 * a run of the index's table, and the place of the last row that was looked at. So each version of a row gets its entry
 * once, and after a crash a build goes on behind its last step.
 *
 *   INDEX_STEP  index: tenant, database, table | job, 0 when there are no entries | rows looked at since the build
 * began | 0 at the begin of the table, else 1 (no partition) or 2 and the partition (zigzag), key string, LSN | segment
 * count, segment infos. From feature level 5 on
 *
 * Part of the shard's deterministic state. Not locked. */
#ifndef PLINTH_ENGINE_INDEX_BUILDS_H
#define PLINTH_ENGINE_INDEX_BUILDS_H

#include "engine/change.h"

/* A row's place in the order of a build. */
struct build_place {
    bool is_set; /* else in front of all rows */
    bool has_partition;
    int64_t partition;
    struct slice key;
    uint64_t lsn;
};

struct index_build {
    struct table_id index;
    uint64_t from_lsn; /* of the BUILD_INDEX record */
    uint64_t rows;     /* looked at */
    struct build_place place;
    uint8_t *key; /* what place.key points to */
};

struct index_builds {
    struct index_build *all; /* by index id */
    uint64_t count;
};

void index_builds_deinit(struct index_builds *builds);
/* False when memory is out. */
PLINTH_MUST_CHECK bool index_builds_begin(struct index_builds *builds, struct table_id index, uint64_t lsn);
/* Forgets a build, if there is one. */
void index_builds_end(struct index_builds *builds, uint32_t index);
/* Null when there is none. */
struct index_build *index_builds_find(const struct index_builds *builds, uint32_t index);

/* An INDEX_STEP payload; owns its segments (index_step_deinit), not the key. */
struct index_step {
    struct table_id index;
    uint64_t job;
    uint64_t rows;
    struct build_place place;
    struct segment_info *segments;
    uint64_t segment_count;
};
void index_step_deinit(struct index_step *step);
PLINTH_MUST_CHECK bool index_step_encode(struct buffer *into, const struct index_step *step);
/* PLINTH_CORRUPT on malformed bytes. */
PLINTH_MUST_CHECK enum plinth_status index_step_decode(struct slice payload, struct index_step *step,
                                                       struct plinth_error *error);
/* Moves the build to where the step ends; false when memory is out. */
PLINTH_MUST_CHECK bool index_build_advance(struct index_build *build, const struct index_step *step);

PLINTH_MUST_CHECK bool index_builds_encode(struct buffer *into, const struct index_builds *builds);
/* False on malformed bytes or when memory is out. */
PLINTH_MUST_CHECK bool index_builds_decode(struct reader *from, struct index_builds *builds);

#endif
