/* A hash of a shard's state, part by part: two hosts that have applied the same records have equal ones, and where they
 * do not, the part says what differs.
 *
 * Each part is the sum of hashes of its elements, so it does not depend on their order in memory, and needs no copy of
 * the state. The conflict windows are hashed by their contents, which no checkpoint has: a replay must bring back the
 * same. What a host is free to choose (how far back it remembers verdicts) is left out. */
#ifndef PLINTH_ENGINE_SHARD_HASH_H
#define PLINTH_ENGINE_SHARD_HASH_H

#include "engine/shard.h"

enum shard_part {
    SHARD_PART_BASE, /* LSN, feature level, time, alarms, kinds of jobs that are paused */
    SHARD_PART_CATALOG,
    SHARD_PART_VERDICTS,  /* void records that somebody needs to know, and a sum over all verdicts since hosts joined */
    SHARD_PART_MEMTABLES, /* cuts */
    SHARD_PART_FILES,     /* runs and their segments; garbage */
    SHARD_PART_JOBS,
    SHARD_PART_HOSTS,
    SHARD_PART_WINDOW, /* of keys and of rows */
    SHARD_PART_PRODUCERS,
    SHARD_PART_UNITS,
    SHARD_PART_HISTORY,
    SHARD_PART_BUILDS, /* of indexes */
    SHARD_PART_RANGES,
    SHARD_PART_VALUES,
    SHARD_PARTS
};

struct shard_hashes {
    uint64_t parts[SHARD_PARTS];
};

/* False when memory is out. */
PLINTH_MUST_CHECK bool shard_hash_parts(const struct shard *shard, struct shard_hashes *hashes);
const char *shard_part_name(enum shard_part part);
/* What shard_decide adds to shard.verdict_sum for a record that did nothing. */
uint64_t shard_verdict_hash(uint64_t lsn, const struct decision *decision);

#endif
