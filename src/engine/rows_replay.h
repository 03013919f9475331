/* Rows of the log into memtables again: the second half of recovery for ROWS and TRANSACTION records, once their
 * verdict is known. Parts of units are kept until the last one comes. */
#ifndef PLINTH_ENGINE_ROWS_REPLAY_H
#define PLINTH_ENGINE_ROWS_REPLAY_H

#include "engine/engine.h"

/* The parts of one unit that were read so far. */
struct unit_parts {
    uint64_t id;
    struct buffer *payloads;
    uint64_t count;
};

struct rows_replay {
    struct unit_parts *units;
    uint64_t count;
};

void rows_replay_deinit(struct rows_replay *replay);
/* Takes the next ROWS record. `applied`: its verdict. Rows go into `memtable` if that is not null (they are in segments
 * otherwise) and their table is still there. */
PLINTH_MUST_CHECK enum plinth_status rows_replay_add(struct rows_replay *replay, struct plinth *db,
                                                     struct memtable *memtable, const struct record *record,
                                                     bool applied, struct plinth_error *error);
/* The same for a TRANSACTION or TRANSACTION_PART record. */
PLINTH_MUST_CHECK enum plinth_status rows_replay_transaction(struct rows_replay *replay, struct plinth *db,
                                                             struct memtable *memtable, const struct record *record,
                                                             bool applied, struct plinth_error *error);

#endif
