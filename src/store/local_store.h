/* A store in a directory of a file system. Object "a/b/c" is the file <directory>/a/b/c.
 *
 * Writing: a file "<name>.<random>.tmp" beside the final one, file_sync, rename, sync of the directory; each newly
 * made directory is made durable by a sync of its parent before anything is put into it. A crash leaves at most
 * ".tmp" files, which local_store_open removes. */
#ifndef PLINTH_STORE_LOCAL_STORE_H
#define PLINTH_STORE_LOCAL_STORE_H

#include "store/store.h"

struct local_store_options {
    bool map;             /* map objects into memory when they are opened, where the env can */
    uint32_t handles_max; /* files of open objects that are open at a time (handle_cache.h); 0: half of what the process
                             may have, at most 16,384. Mapped objects stay open and do not count */
    bool read_only;       /* nothing is created or removed, not even left-over temporary files */
};

/* Opens `directory`, making it (not its parent) durably when it is missing. `env` must outlive the store. Only one
 * writing store may use the directory at a time; the caller holds a lock (env_lock) for that. */
PLINTH_MUST_CHECK enum plinth_status local_store_open(struct env *env, const char *directory,
                                                      const struct local_store_options *options, struct store **store,
                                                      struct plinth_error *error);

#endif
