/* Set, Delete and Batch requests as operations of the engine. */
#ifndef PLINTH_SERVICE_WRITE_REQUEST_H
#define PLINTH_SERVICE_WRITE_REQUEST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "plinth.h"
#include "plinth/v1/key_value.pb-c.h"

struct service;

/* Lives in the arena it was parsed with. */
struct write_request {
    const struct plinth_operation *operations;
    size_t count;
    struct plinth_write_options options;
};

struct write_kind {
    enum plinth_status (*parse)(struct service *service, struct slice message, struct arena *arena,
                                struct write_request *request, struct plinth_error *error);
};

PLINTH_MUST_CHECK enum plinth_status write_request_parse_set(struct service *service, struct slice message,
                                                             struct arena *arena, struct write_request *request,
                                                             struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status write_request_parse_delete(struct service *service, struct slice message,
                                                                struct arena *arena, struct write_request *request,
                                                                struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status write_request_parse_delete_range(struct service *service, struct slice message,
                                                                      struct arena *arena,
                                                                      struct write_request *request,
                                                                      struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status write_request_parse_batch(struct service *service, struct slice message,
                                                               struct arena *arena, struct write_request *request,
                                                               struct plinth_error *error);

/* The operations of a batch or commit; `space` is that of the ones that name none. They borrow from `given`. */
PLINTH_MUST_CHECK enum plinth_status write_request_operations(struct service *service,
                                                              Plinth__V1__BatchRequest__Operation **given, size_t count,
                                                              struct plinth_space space, struct arena *arena,
                                                              struct write_request *request,
                                                              struct plinth_error *error);

/* A set of a batch or of a compare-and-set. The operation borrows from `set` and the arena. */
PLINTH_MUST_CHECK enum plinth_status write_request_set(const Plinth__V1__BatchRequest__Set *set, struct arena *arena,
                                                       struct plinth_operation *operation, struct plinth_error *error);

#endif
