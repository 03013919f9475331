/* Producers: which (producer id, sequence, chunk) have been applied, and where, so that a retried write is answered
 * with its first position instead of being applied again. A write is one chunk, a batch of rows may be several; of one
 * that is not complete, it is known which chunks were applied.
 *
 * Of each producer the newest PRODUCER_WINDOW sequences below its highest one are remembered. At most PRODUCERS_MAX
 * producers are: the one that wrote longest ago goes first, and those silent for PRODUCER_TTL_US of shard time go as
 * others come. Part of the shard's deterministic state. Not locked. */
#ifndef PLINTH_ENGINE_PRODUCERS_H
#define PLINTH_ENGINE_PRODUCERS_H

#include "base/bytes.h"

enum { PRODUCER_WINDOW = 1024, PRODUCERS_MAX = 1 << 14, PRODUCER_CHUNKS_MAX = 1024 };
#define PRODUCER_TTL_US (24ull * 3600 * 1000 * 1000)

/* Which part of a write a record is. {0}: all of it. */
struct producer_part {
    uint32_t chunk;
    uint32_t count; /* of chunks, at most PRODUCER_CHUNKS_MAX; 0 means 1 */
    uint32_t cut;   /* a hash of where the write was cut into chunks: a retry must cut it alike */
};

/* The chunks of one sequence that were applied so far. */
struct producer_chunks {
    uint32_t count; /* of the write, 2 to PRODUCER_CHUNKS_MAX */
    uint32_t cut;
    uint32_t applied; /* fewer than count */
    uint8_t bits[PRODUCER_CHUNKS_MAX / 8];
};

struct producer_slot {
    uint64_t sequence;               /* 0: free */
    uint64_t lsn;                    /* of the last chunk that was applied */
    struct producer_chunks *partial; /* null: complete */
};

struct producer {
    uint64_t id;
    uint64_t highest;
    uint64_t last_lsn;
    uint64_t last_time_us;
    uint32_t slot_count;   /* a power of two up to PRODUCER_WINDOW; slot of s: s % slot_count */
    uint32_t newer, older; /* list by last_lsn: index + 1, 0 for none */
    struct producer_slot *slots;
};

struct producers {
    struct producer *all; /* dense; the order is no part of the state */
    uint32_t count, capacity;
    uint32_t *buckets; /* index + 1 by id, open addressing; bucket_count is a power of two */
    uint32_t bucket_count;
    uint32_t newest, oldest; /* index + 1 */
};

void producers_init(struct producers *producers);
void producers_deinit(struct producers *producers);

enum producer_verdict {
    PRODUCER_NEW,
    PRODUCER_DUPLICATE,
    PRODUCER_TOO_OLD,
    PRODUCER_OTHER, /* the sequence has begun as a write of other chunks */
};
/* Whether a part of the write (id, sequence) is new; for a duplicate, `*lsn` is the newest of the sequence's chunks
 * that were applied. */
enum producer_verdict producers_check(const struct producers *producers, uint64_t id, uint64_t sequence,
                                      struct producer_part part, uint64_t *lsn);
/* Remembers a new part. */
PLINTH_MUST_CHECK enum plinth_status producers_add(struct producers *producers, uint64_t id, uint64_t sequence,
                                                   struct producer_part part, uint64_t lsn, uint64_t shard_time_us,
                                                   struct plinth_error *error);

PLINTH_MUST_CHECK bool producers_encode(struct buffer *into, const struct producers *producers);
PLINTH_MUST_CHECK enum plinth_status producers_decode(struct reader *from, struct producers *producers,
                                                      struct plinth_error *error);

#endif
