/* The log in local files: see log_segment.h for their format, local_log.c for group commit, log_recover.c for what
 * open does with a torn or damaged end. */
#ifndef PLINTH_LOG_LOCAL_LOG_H
#define PLINTH_LOG_LOCAL_LOG_H

#include "base/env.h"
#include "log/log.h"

struct local_log_options {
    uint64_t segment_bytes;      /* 0: 64 MiB; 16 KiB to 1 GiB */
    uint64_t unsynced_bytes_max; /* 0: 64 MiB */
    uint32_t sync_interval_ms;   /* 0: 10 */
    bool no_preparation;         /* do not write zeros into the next segment ahead of time (tests, small disks) */
    bool must_exist;             /* no log is PLINTH_CORRUPT, and none is made */
    bool read_only;              /* look only: nothing is written, a torn tail is passed over; no appends, no thread;
                                    "synced" is what the files themselves prove to be so */
};

/* Opens the log in `directory`, making the directory (not its parent) and a new log when there is none. `options`
 * may be null. `env` must outlive the log. Only one writing handle may use the directory; the caller holds a lock.
 *
 * PLINTH_CORRUPT, naming file, offset and LSN: records that were acknowledged as synced are damaged; nothing has
 * been changed. A torn tail is cut. PLINTH_UNSUPPORTED: a newer version wrote it, both versions are named. */
PLINTH_MUST_CHECK enum plinth_status local_log_open(struct env *env, const char *directory,
                                                    const struct local_log_options *options, struct log **log,
                                                    struct plinth_error *error);

#endif
