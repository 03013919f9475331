/* The status codes of gRPC, and what each plinth_status is called on the wire. gRPC codes appear in this room only;
 * the rooms below speak enum plinth_status. */
#ifndef PLINTH_RPC_GRPC_STATUS_H
#define PLINTH_RPC_GRPC_STATUS_H

#include "plinth_status.h"

/* Numbers fixed by the gRPC protocol. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    GRPC_STATUS_COUNT
};

/* "NOT_FOUND" and so on; "UNKNOWN" for a number that is none. Static storage. */
const char *grpc_status_name(enum grpc_status code);

/* The code a server answers with for a status of Plinth's own. */
enum grpc_status grpc_status_from_plinth(enum plinth_status status);

/* The other way, for a client that turns an answer into a status (not an exact inverse: several statuses share a
 * code). Numbers outside the enum give PLINTH_INTERNAL. */
enum plinth_status grpc_status_to_plinth(enum grpc_status code);

#endif
