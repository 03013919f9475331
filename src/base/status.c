#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[PLINTH_STATUS_COUNT] = {
    [PLINTH_OK] = "ok",
    [PLINTH_INVALID_ARGUMENT] = "invalid_argument",
    [PLINTH_NOT_FOUND] = "not_found",
    [PLINTH_ALREADY_EXISTS] = "already_exists",
    [PLINTH_CONFLICT] = "conflict",
    [PLINTH_TOO_LARGE] = "too_large",
    [PLINTH_TOO_OLD] = "too_old",
    [PLINTH_UNSUPPORTED] = "unsupported",
    [PLINTH_CORRUPT] = "corrupt",
    [PLINTH_IO_ERROR] = "io_error",
    [PLINTH_NO_SPACE] = "no_space",
    [PLINTH_READ_ONLY] = "read_only",
    [PLINTH_LOCKED] = "locked",
    [PLINTH_OUT_OF_MEMORY] = "out_of_memory",
    [PLINTH_WOULD_BLOCK] = "would_block",
    [PLINTH_CANCELLED] = "cancelled",
    [PLINTH_DEADLINE_EXCEEDED] = "deadline_exceeded",
    [PLINTH_OUTCOME_UNKNOWN] = "outcome_unknown",
    [PLINTH_UNAVAILABLE] = "unavailable",
    [PLINTH_PERMISSION_DENIED] = "permission_denied",
    [PLINTH_UNAUTHENTICATED] = "unauthenticated",
    [PLINTH_RESOURCE_EXHAUSTED] = "resource_exhausted",
    [PLINTH_INTERNAL] = "internal",
};

const char *plinth_status_name(enum plinth_status status) {
    return (unsigned)status < PLINTH_STATUS_COUNT ? status_names[status] : "unknown_status";
}

void error_clear(struct plinth_error *error) {
    if (!error) return;
    error->status = PLINTH_OK;
    error->text[0] = '\0';
}

enum plinth_status error_set(struct plinth_error *error, enum plinth_status status, const char *format, ...) {
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

enum plinth_status error_prefix(struct plinth_error *error, const char *format, ...) {
    if (!error) return PLINTH_INTERNAL;
    char prefix[PLINTH_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    size_t used = strlen(prefix);
    if (used > sizeof error->text - 3) used = sizeof error->text - 3;
    size_t kept = strnlen(error->text, sizeof error->text - 3 - used);
    memmove(error->text + used + 2, error->text, kept);
    memcpy(error->text, prefix, used);
    memcpy(error->text + used, ": ", 2);
    error->text[used + 2 + kept] = '\0';
    return error->status;
}

enum plinth_status status_from_errno(int error_number) {
    switch (error_number) {
    case ENOSPC:
    case EDQUOT: return PLINTH_NO_SPACE;
    case EROFS:
    case EACCES:
    case EPERM: return PLINTH_READ_ONLY;
    case ENOTDIR:
    case ENOENT: return PLINTH_NOT_FOUND;
    case EEXIST: return PLINTH_ALREADY_EXISTS;
    case ENOMEM: return PLINTH_OUT_OF_MEMORY;
    default: return PLINTH_IO_ERROR;
    }
}

enum plinth_status error_set_errno(struct plinth_error *error, int error_number, const char *format, ...) {
    enum plinth_status status = status_from_errno(error_number);
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->status = status;
    if (used < 0 || (size_t)used >= sizeof error->text) return status;
    char reason[128];
    const char *named = strerror_r(error_number, reason, sizeof reason);
    snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s", named);
    return status;
}

enum plinth_status error_no_memory(struct plinth_error *error, const char *what) {
    return error_set(error, PLINTH_OUT_OF_MEMORY, "out of memory: %s", what);
}
