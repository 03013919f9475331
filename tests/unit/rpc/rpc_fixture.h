/* A small echo service, a client that records what happens to its calls, and a byte stream that cuts reads and writes
 * short. Shared by the programs of this folder. */
#ifndef PLINTH_TESTS_RPC_FIXTURE_H
#define PLINTH_TESTS_RPC_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "rpc/byte_stream.h"
#include "rpc/call.h"
#include "rpc/client.h"
#include "rpc/server.h"

/* The service test.Echo:
 *   Unary     unary: the request
 *   Space     unary: the request, by rpc_call_send_space
 *   Worker    unary: the request, answered by another thread, with its own reference
 *   Fail      unary: status 3 "wrong: ümlaut 100%", trailing metadata x-why and x-raw-bin
 *   Metadata  unary: initial metadata x-initial and trailing x-trailing-bin as the request had them
 *   Collect   client stream: 8 bytes count, 8 bytes total size of the messages
 *   Repeat    server stream: the request is 4 bytes count, 4 bytes size; as many messages, with back-pressure
 *   Chat      bidi: each message, then OK at the half-close
 *   Hold      bidi: nothing, until the call is cancelled
 *   Early     bidi: finishes OK at the first message, without waiting for the half-close
 *   Paused    bidi: pauses at the first message; resumed by fixture_resume_paused; echoes sizes */
extern const struct rpc_method fixture_methods[];
extern const size_t fixture_method_count;

/* What the handlers saw. Reset by fixture_server_start. */
struct fixture_record {
    atomic_uint started;
    atomic_uint cancelled;
    atomic_uint released;
    atomic_uint half_closed;
    atomic_int cancel_reason;
    atomic_size_t queued_max; /* longest queue that Repeat saw */
    atomic_uint writable;
    atomic_size_t paused_messages;
    atomic_bool saw_deadline;
};
extern struct fixture_record fixture_record;

struct fixture {
    struct rpc_server *server;
    char address[64];
};

/* Starts a server on a free port of 127.0.0.1. `options` may be null; addresses and methods are filled in. */
void fixture_server_start(struct fixture *fixture, const struct rpc_server_options *options);
void fixture_server_stop(struct fixture *fixture);
struct rpc_client *fixture_connect(struct fixture *fixture);
void fixture_resume_paused(void);
/* Waits until `*value` is at least `expected`; fails the test after 20 s. */
void fixture_wait_for(atomic_uint *value, unsigned expected);

/* A client's call and what became of it. */
struct recorded_call {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct rpc_call *call;
    bool ended;
    unsigned status_count;
    enum grpc_status code;
    char text[512];
    struct buffer messages; /* concatenated */
    unsigned message_count;
    size_t last_size;
    unsigned writable_count;
    bool has_initial;
    char initial[64];   /* x-initial */
    char trailing[64];  /* x-trailing-bin or x-why, at the end */
    bool keep_messages; /* false: count only */
    bool pause_at_first;
    bool released;
};
void recorded_call_init(struct recorded_call *recorded);
void recorded_call_deinit(struct recorded_call *recorded);
/* Starts a call; `options` has what differs from a plain one. */
void recorded_call_start(struct recorded_call *recorded, struct rpc_client *client, const char *path,
                         enum rpc_call_kind kind, const struct rpc_call_options *options);
/* Waits for the status; fails the test after 20 s. */
void recorded_call_wait(struct recorded_call *recorded);
void recorded_call_wait_messages(struct recorded_call *recorded, unsigned count);
/* Has the status come? */
bool recorded_call_has_ended(struct recorded_call *recorded);

/* A socket whose reads and writes move 1 to 7 bytes, or, every few calls, none at all. */
extern const struct byte_stream_ops short_stream_ops;

/* `size` bytes of a pattern that depends on `seed`. The caller frees. */
uint8_t *pattern_make(size_t size, unsigned seed);

#endif
