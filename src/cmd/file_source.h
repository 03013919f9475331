/* The user's own input files: plain, .gz or .zst (told by their first bytes, not by their name), or standard input.
 *
 * Plain descriptors and not env: pipes have no offsets, and nothing here has to be durable. */
#ifndef PLINTH_CMD_FILE_SOURCE_H
#define PLINTH_CMD_FILE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "plinth_status.h"

struct file_source;

/* "-" is standard input. */
PLINTH_MUST_CHECK enum plinth_status file_source_open(const char *path, struct file_source **source,
                                                      struct plinth_error *error);
/* Up to `size` decompressed bytes; `*got` is 0 only at the end. PLINTH_CORRUPT for compressed bytes that
 * are damaged or cut off; the caller names the file. `source` is a struct file_source (void, to fit csv_source). */
PLINTH_MUST_CHECK enum plinth_status file_source_read(void *source, void *into, size_t size, size_t *got,
                                                      struct plinth_error *error);
/* The file's size on disk, 0 when unknown (a pipe); and how much of it was read. For progress. */
uint64_t file_source_size(const struct file_source *source);
uint64_t file_source_consumed(const struct file_source *source);
/* The path as given, "standard input" for "-". */
const char *file_source_name(const struct file_source *source);
/* Null is allowed. */
void file_source_close(struct file_source *source);

#endif
