/* A log in memory, for tests: one ordered log used through any number of handles (two engines at once), each
 * reader at its own pace, with faults to order. Nothing survives memory_log_destroy.
 *
 * Appending through one handle is seen by the readers, marks and listeners of all. Closing a handle loses nothing,
 * which is how a test "restarts" an engine. */
#ifndef PLINTH_LOG_MEMORY_LOG_H
#define PLINTH_LOG_MEMORY_LOG_H

#include "base/env.h"
#include "log/log.h"

struct memory_log;

/* `first_lsn` 0 means 1. `env` gives the time and the log id, and must outlive the log. */
PLINTH_MUST_CHECK enum plinth_status memory_log_create(struct env *env, uint64_t first_lsn, struct memory_log **shared,
                                                       struct plinth_error *error);
/* All handles must be closed. Null is allowed. */
void memory_log_destroy(struct memory_log *shared);
/* A handle; closed with log_close. */
PLINTH_MUST_CHECK enum plinth_status memory_log_open(struct memory_log *shared, struct log **log,
                                                     struct plinth_error *error);

enum memory_log_fault {
    MEMORY_LOG_LOST,      /* the record is not appended; log_append gives PLINTH_OUTCOME_UNKNOWN */
    MEMORY_LOG_UNKNOWN,   /* the record is appended; log_append gives PLINTH_OUTCOME_UNKNOWN */
    MEMORY_LOG_DUPLICATE, /* the record is appended twice in a row; the first LSN is returned */
    MEMORY_LOG_REFUSED,   /* the record is not appended; log_append gives PLINTH_IO_ERROR */
};
/* The append that comes after `skip` further ones, by whichever handle, meets `fault`, once. Up to 64 may be
 * ordered at a time. */
void memory_log_fault_at(struct memory_log *shared, uint64_t skip, enum memory_log_fault fault);
/* While held, the written and synced marks stand still: readers and waiters see nothing newer. */
void memory_log_hold(struct memory_log *shared, bool held);
/* Starts a new epoch: records above the synced mark are lost, and so may be what waits for them
 * (PLINTH_OUTCOME_UNKNOWN). Returns the new epoch's base. */
uint64_t memory_log_new_epoch(struct memory_log *shared);

#endif
