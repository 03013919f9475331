/* Filling in a caller-owned plinth_error. The first failure wins: clean-up must not overwrite it. */
#ifndef PLINTH_BASE_STATUS_H
#define PLINTH_BASE_STATUS_H

#include "plinth_status.h"

/* Resets `error` to PLINTH_OK with an empty text. Null is allowed. */
void error_clear(struct plinth_error *error);

/* Stores `status` and the formatted text (cut at PLINTH_ERROR_TEXT_MAX - 1 bytes) and returns
 * `status`, so that a failing function can end with `return error_set(...)`. Null `error` is allowed. */
enum plinth_status error_set(struct plinth_error *error, enum plinth_status status, const char *format, ...)
    PLINTH_PRINTF(3, 4);

/* Puts "<formatted text>: " before the text that is already there; returns the error's status
 * (PLINTH_INTERNAL for a null `error`, so prefer `status = f(...); error_prefix(...); return status;`). */
enum plinth_status error_prefix(struct plinth_error *error, const char *format, ...) PLINTH_PRINTF(2, 3);

/* The status that describes an errno value: ENOSPC, EDQUOT -> NO_SPACE; EROFS, EACCES, EPERM -> READ_ONLY;
 * ENOENT, ENOTDIR -> NOT_FOUND; EEXIST -> ALREADY_EXISTS; ENOMEM -> OUT_OF_MEMORY; others -> IO_ERROR. */
enum plinth_status status_from_errno(int error_number);

/* error_set with ": <strerror>" added; the status comes from status_from_errno(error_number). */
enum plinth_status error_set_errno(struct plinth_error *error, int error_number, const char *format, ...)
    PLINTH_PRINTF(3, 4);

/* The usual answer to a null from malloc: PLINTH_OUT_OF_MEMORY and "out of memory: <what>". */
enum plinth_status error_no_memory(struct plinth_error *error, const char *what);

#endif
