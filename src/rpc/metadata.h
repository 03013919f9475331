/* Metadata: the custom header fields of a call, and the small encodings that gRPC puts into header fields.
 *
 *   name-bin: value     value is base64 (sent without padding, accepted with or without; several values may be joined
 *                       by commas)
 *   grpc-message        UTF-8, with bytes outside 0x20..0x7e and '%' written as %XX
 *   grpc-timeout        1 to 8 digits and a unit: H M S m u n */
#ifndef PLINTH_RPC_METADATA_H
#define PLINTH_RPC_METADATA_H

#include "base/bytes.h"
#include "rpc/call.h"

/* A list in order of arrival; names and values lie in one buffer, so that a pooled call reuses the memory. */
struct metadata_entry {
    uint32_t name_at;
    uint32_t name_size;
    uint32_t value_at;
    uint32_t value_size;
};
struct metadata {
    struct buffer bytes;
    struct metadata_entry *entries;
    size_t count;
    size_t capacity;
};

enum { METADATA_ENTRIES_MAX = 64 }; /* that one side may add to its own headers or trailers */

void metadata_deinit(struct metadata *metadata);
static inline void metadata_clear(struct metadata *metadata) {
    metadata->count = 0;
    buffer_clear(&metadata->bytes);
}
/* Borrowed until the next change. */
struct rpc_metadata metadata_at(const struct metadata *metadata, size_t i);
bool metadata_find(const struct metadata *metadata, struct slice name, struct slice *value);
PLINTH_MUST_CHECK bool metadata_add(struct metadata *metadata, struct slice name, struct slice value);

/* Adds a received field: "-bin" values are decoded and split at commas. PLINTH_INVALID_ARGUMENT for bad base64. */
PLINTH_MUST_CHECK enum plinth_status metadata_add_received(struct metadata *metadata, struct slice name,
                                                           struct slice value);
/* Adds a field to send, in the form in which it is sent. PLINTH_INVALID_ARGUMENT for a reserved or malformed name, a
 * value with bytes that a header field cannot have, or a full list. */
PLINTH_MUST_CHECK enum plinth_status metadata_add_to_send(struct metadata *metadata, struct slice name,
                                                          struct slice value);

PLINTH_MUST_CHECK bool base64_encode(struct buffer *into, struct slice bytes);
/* PLINTH_INVALID_ARGUMENT for anything that is not base64; `into` may then hold some bytes of it. */
PLINTH_MUST_CHECK enum plinth_status base64_decode(struct buffer *into, struct slice text);

PLINTH_MUST_CHECK bool percent_encode(struct buffer *into, struct slice text);
/* What is not a valid escape is kept as it stands, as the protocol demands. */
PLINTH_MUST_CHECK bool percent_decode(struct buffer *into, struct slice text);

/* False when malformed. UINT64_MAX for what does not fit. */
bool grpc_timeout_parse(struct slice text, uint64_t *timeout_ns);
enum { GRPC_TIMEOUT_TEXT_MAX = 10 };
/* The finest unit that fits 8 digits, rounded up. Returns the length, without a terminating zero. */
size_t grpc_timeout_format(uint64_t timeout_ns, char text[GRPC_TIMEOUT_TEXT_MAX]);

#endif
