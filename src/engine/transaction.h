/* The inside of a transaction. */
#ifndef PLINTH_ENGINE_TRANSACTION_H
#define PLINTH_ENGINE_TRANSACTION_H

#include "engine/engine.h"
#include "engine/touched_keys.h"

/* What a scan has read: keys in [lower, upper); an empty upper is the end of the space. */
struct transaction_range {
    struct plinth_space space;
    struct buffer lower, upper;
    bool read; /* else the scan has not begun */
};

struct plinth_transaction {
    struct plinth *db;
    struct plinth_snapshot *snapshot;
    struct touched_keys keys;
    struct transaction_range *ranges;
    size_t range_count;
    size_t open_scans;
    bool committed;
};

/* PLINTH_INVALID_ARGUMENT once the transaction is committed. */
PLINTH_MUST_CHECK enum plinth_status transaction_check(const struct plinth_transaction *transaction,
                                                       struct plinth_error *error);

#endif
