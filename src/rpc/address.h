/* "host:port" texts. */
#ifndef PLINTH_RPC_ADDRESS_H
#define PLINTH_RPC_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>

#include "plinth_status.h"

/* Resolves "127.0.0.1:50051", "[::1]:50051" or "name:50051" to a list that the caller frees with freeaddrinfo.
 * PLINTH_INVALID_ARGUMENT for a text that is none of these; PLINTH_UNAVAILABLE when the name has no address. May block
 * on DNS. */
PLINTH_MUST_CHECK enum plinth_status address_resolve(const char *text, bool to_listen, struct addrinfo **addresses,
                                                     struct plinth_error *error);

#endif
