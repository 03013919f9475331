/* The data directory: what lies in it, and whether it is one.
 *
 *   FORMAT   "plinth directory 1\n": written last when a directory is made, so its presence means "complete"
 *   LOCK     held by the process that has the directory open
 *   log/     the log's segments
 *   store/   segments/<job>/..., checkpoints/<log id>/... */
#ifndef PLINTH_ENGINE_DIRECTORY_H
#define PLINTH_ENGINE_DIRECTORY_H

#include "base/env.h"

/* Makes `path` when it is missing (not its parents) and takes its lock. `*fresh` tells whether FORMAT is still to be
 * written. PLINTH_UNSUPPORTED: another format version; PLINTH_INVALID_ARGUMENT: something else lies there;
 * PLINTH_NOT_FOUND: `must_exist` and it is no complete directory. */
PLINTH_MUST_CHECK enum plinth_status directory_open(struct env *env, const char *path, bool must_exist,
                                                    struct env_file **lock, bool *fresh, struct plinth_error *error);
/* Writes FORMAT durably. */
PLINTH_MUST_CHECK enum plinth_status directory_complete(struct env *env, const char *path, struct plinth_error *error);
/* "<path>/<name>", to be freed; null when memory is out. */
char *directory_join(const char *path, const char *name);

#endif
