/* The user's own output files: FILE, .gz or .zst (by the name), or standard output. A file is written under
 * FILE.partial and renamed when it is whole. Plain streams and not env, as for file_source.h. */
#ifndef PLINTH_CMD_FILE_SINK_H
#define PLINTH_CMD_FILE_SINK_H

#include "base/bytes.h"

struct file_sink;

/* "-" is standard output, as it is. */
PLINTH_MUST_CHECK enum plinth_status file_sink_open(const char *path, struct file_sink **sink,
                                                    struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status file_sink_write(struct file_sink *sink, struct slice bytes,
                                                     struct plinth_error *error);
/* Ends and renames the file, and frees the sink (also on failure). */
PLINTH_MUST_CHECK enum plinth_status file_sink_commit(struct file_sink *sink, struct plinth_error *error);
/* Removes what was written, and frees. Null is allowed. */
void file_sink_abort(struct file_sink *sink);
/* Bytes that were given. */
uint64_t file_sink_bytes(const struct file_sink *sink);

#endif
