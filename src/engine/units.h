/* Units: writes of several records that are applied as one by the last of them (change.h, ROWS).
 *
 * Known are those that are not finished, and the finished ones whose rows are not in segments yet: a replay reads the
 * parts of both again, so it has to start at or below their first part. What is not finished UNIT_TTL_US of shard time
 * after it began is forgotten, and so are all together when they are over their bounds: its later parts are void.
 * Part of the shard's deterministic state. Not locked. */
#ifndef PLINTH_ENGINE_UNITS_H
#define PLINTH_ENGINE_UNITS_H

#include "engine/change.h"
#include "engine/key_run.h"
#include "log/record.h"

enum {
    UNIT_BYTES_MAX = 64 << 20,   /* payloads of one unit */
    UNITS_BYTES_MAX = 256 << 20, /* of all unfinished ones */
    UNITS_MAX = 1024,            /* unfinished */
};
#define UNIT_TTL_US (60ull * 1000 * 1000)

struct unit {
    uint64_t id;
    uint64_t first_lsn;
    uint64_t last_lsn; /* 0: not finished */
    uint64_t time_us;  /* shard time when it began */
    uint64_t bytes, rows;
    uint32_t parts, part_count;
    struct table_id table;
    uint8_t operation;
    /* Not in checkpoints, whose replay brings them again: the keys of a unit of rows, and of a transaction that is
     * replayed the parts before the last. */
    struct key_run *runs;
    struct buffer body;
};

struct units {
    struct unit *all; /* in the order of first_lsn */
    uint64_t count;
    uint64_t open_count, open_bytes; /* of the unfinished ones */
};

void units_deinit(struct units *units);
/* Takes the next part of a unit. `*valid` is false when it cannot be one: the unit is then forgotten. A valid part with
 * change->last finishes it. Only memory can fail. */
PLINTH_MUST_CHECK enum plinth_status units_add(struct units *units, uint64_t lsn, const struct record_header *header,
                                               const struct rows_change *change, size_t payload_bytes,
                                               uint64_t shard_time_us, bool *valid, struct plinth_error *error);
/* The unit of this id, finished or not; null when there is none. Valid until the next change. */
struct unit *units_find(const struct units *units, uint64_t id);
/* Forgets an unfinished unit, if there is one of this id. */
void units_drop(struct units *units, uint64_t id);
void units_expire(struct units *units, uint64_t shard_time_us);
/* Forgets the finished ones at or below `flushed_lsn`. */
void units_flushed(struct units *units, uint64_t flushed_lsn);
/* The first record that a replay must read for them; UINT64_MAX when there are none. */
uint64_t units_first_lsn(const struct units *units);

PLINTH_MUST_CHECK bool units_encode(struct buffer *into, const struct units *units);
/* False on malformed bytes or when memory is out. */
bool units_decode(struct reader *from, struct units *units);

#endif
