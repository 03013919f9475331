/* Requests: from untrusted bytes to checked options of the engine.
 *
 * Unpacking allocates from an arena with a bound, so that a message made of millions of empty parts cannot take more
 * memory than REQUEST_MEMORY_MAX. Before protobuf-c sees the bytes they are walked once: strings must be UTF-8 without
 * zero bytes (protobuf-c would cut them there), and what is malformed is named by message and byte. */
#ifndef PLINTH_SERVICE_REQUEST_H
#define PLINTH_SERVICE_REQUEST_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "plinth.h"
#include "plinth/v1/types.pb-c.h"

struct env;
struct pinned_snapshot;
struct rpc_call;
struct service;

enum {
    REQUEST_MEMORY_MAX = 72 << 20,
    REQUEST_VALUE_BYTES_MAX = PLINTH_VALUE_BYTES_MAX + (1 << 20), /* of a message with the largest value */
};

/* The message lives in `arena`, until it is reset. PLINTH_INVALID_ARGUMENT names the message type;
 * PLINTH_RESOURCE_EXHAUSTED when it has too many parts. */
PLINTH_MUST_CHECK enum plinth_status request_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes,
                                                    struct arena *arena, void *message, struct plinth_error *error);

static inline struct slice request_bytes(ProtobufCBinaryData data) { return slice_of(data.data, data.len); }
static inline struct plinth_slice request_slice(ProtobufCBinaryData data) { return plinth_bytes(data.data, data.len); }

/* A key of a request: PLINTH_INVALID_ARGUMENT when empty, PLINTH_TOO_LARGE when over its limit. */
PLINTH_MUST_CHECK enum plinth_status request_key(ProtobufCBinaryData key, struct plinth_error *error);

/* The space named; null and empty names mean "default". */
PLINTH_MUST_CHECK enum plinth_status request_space(struct service *service, const Plinth__V1__Space *named,
                                                   struct plinth_space *space, struct plinth_error *error);

/* Durability is made explicit. */
PLINTH_MUST_CHECK enum plinth_status request_write_options(const struct service *service,
                                                           const Plinth__V1__WriteOptions *given,
                                                           struct plinth_write_options *options,
                                                           struct plinth_error *error);

/* A state to read from; `pinned` keeps a snapshot of KeyValue.CreateSnapshot alive while it is read. */
struct request_read {
    struct plinth_read_options options;
    struct plinth_position snapshot; /* as given, {0, 0}: none */
    struct pinned_snapshot *pinned;
};
/* Ended by request_read_deinit, also after a failure. */
PLINTH_MUST_CHECK enum plinth_status request_read_init(struct service *service, const Plinth__V1__ReadOptions *given,
                                                       struct request_read *read, struct plinth_error *error);
void request_read_deinit(struct service *service, struct request_read *read);
/* How long a read of this call may wait for its position_min: until the call's deadline, at most 10 s; at least 1. */
uint32_t request_wait_ms(const struct rpc_call *call, struct env *env);

#endif
