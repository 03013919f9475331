#include "rpc/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/status.h"

enum { HOST_TEXT_MAX = 256 };

static bool is_port(const char *text) {
    size_t length = strlen(text);
    return length >= 1 && length <= 5 && strspn(text, "0123456789") == length && atoi(text) <= 65535;
}

/* Splits at the last colon; brackets around an IPv6 address are taken off. */
static bool split(const char *text, char host[HOST_TEXT_MAX], const char **port) {
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !is_port(colon + 1)) return false;
    const char *start = text, *end = colon;
    if (*start == '[') {
        if (end[-1] != ']' || end - start < 3) return false;
        start++, end--;
    } else if (memchr(start, ':', (size_t)(end - start))) {
        return false; /* an IPv6 address needs its brackets */
    }
    if (end - start >= HOST_TEXT_MAX) return false;
    snprintf(host, HOST_TEXT_MAX, "%.*s", (int)(end - start), start);
    *port = colon + 1;
    return true;
}

enum plinth_status address_resolve(const char *text, bool to_listen, struct addrinfo **addresses,
                                   struct plinth_error *error) {
    char host[HOST_TEXT_MAX];
    const char *port;
    *addresses = NULL;
    if (!text || !split(text, host, &port))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\" is not an address of the form host:port",
                         text ? text : "");
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0)};
    int result = getaddrinfo(host, port, &hints, addresses);
    if (result == 0) return PLINTH_OK;
    *addresses = NULL;
    return error_set(error, PLINTH_UNAVAILABLE, "%s: %s", text, gai_strerror(result));
}
