/* The one place where it is decided whether a caller may use a method.
 *
 * Every method has a row in the table of access.c that says which right it takes; a method without a row is refused
 * (PERMISSION_DENIED), so forgetting one closes the door instead of leaving it open. Until there are users and roles
 * every caller holds every right in the table. Authentication, per-tenant rights and quotas go into access_check: it
 * sees each call before any of its messages, with its metadata, peer and deadline. */
#ifndef PLINTH_SERVICE_ACCESS_H
#define PLINTH_SERVICE_ACCESS_H

#include "plinth_status.h"

struct rpc_call;

enum access_right {
    ACCESS_NONE = 0, /* nobody: the method has no row */
    ACCESS_PUBLIC,   /* health and the contract itself */
    ACCESS_READ,     /* keys, values, index entries */
    ACCESS_WRITE,
    ACCESS_OBSERVE, /* status and names */
    ACCESS_OPERATE, /* flush, compact, verify, making and dropping key spaces, tables and indexes */
};

/* The right that the method at `path` takes. */
enum access_right access_right_of(const char *path);
/* PLINTH_OK, or why this call is refused. Loop thread, once a call, before its first message. */
PLINTH_MUST_CHECK enum plinth_status access_check(const struct rpc_call *call, const char *path,
                                                  enum access_right right, struct plinth_error *error);

#endif
