/* What a log directory holds, and what to do about its end.
 *
 * Let S be the highest synced LSN that any valid block or header tells of. Files before the last one were complete
 * and synced when their successor was made (its header names their last LSN), so whatever is missing there is damage.
 * In the last file, the first place where the sequence of valid blocks stops expects some LSN L:
 *
 *   L <= S   acknowledged records are missing: damage. PLINTH_CORRUPT, nothing is changed.
 *   L >  S   a torn tail: blocks that were being written when the machine stopped. It is cut off, though valid
 *            blocks may follow behind the tear: nobody was told that they are durable.
 *
 * Damage within the last synced group cannot be told from a tear: no later block proves that it was synced. Valid
 * blocks above S are kept; as they may stand in the page cache only (even after a sync that failed), they are
 * written once more and synced.
 *
 * A log that was closed in order ends with a "clean end" block, and its epoch goes on. Any other log may have handed
 * out up to LOG_UNSYNCED_RECORDS_MAX LSNs that left no trace, so that a new epoch starts above them. */
#ifndef PLINTH_LOG_LOG_RECOVER_H
#define PLINTH_LOG_LOG_RECOVER_H

#include "base/env.h"
#include "log/log_file.h"

struct log_recovery {
    struct log_file **files; /* ascending; each holds one reference */
    size_t file_count;
    struct log_segment_header newest; /* the header of the last file; its epochs are the known ones */
    struct log_scan end;              /* of the last file */
    uint64_t bytes;                   /* written, in all files */
};

void log_recovery_deinit(struct log_recovery *recovery);
/* Reads and checks everything; changes nothing. No files at all is OK, with file_count 0. */
PLINTH_MUST_CHECK enum plinth_status log_recovery_scan(struct env *env, const char *directory,
                                                       struct log_recovery *recovery, struct plinth_error *error);
/* Cuts the torn tail and makes sure that what stays is on the disk; removes left-over temporary files. */
PLINTH_MUST_CHECK enum plinth_status log_recovery_repair(struct env *env, const char *directory,
                                                         struct log_recovery *recovery, struct plinth_error *error);
/* The first LSN above everything that may ever have been handed out; 0 when LSNs are used up. */
uint64_t log_recovery_next_base(const struct log_recovery *recovery);

#endif
