/* Checks large values in both directions: every reference has its object, with the right bytes, and every object is
 * referred to as often as the log says, dead, or of an upload that is under way. */
#ifndef PLINTH_ENGINE_VERIFY_VALUES_H
#define PLINTH_ENGINE_VERIFY_VALUES_H

#include "engine/engine.h"

struct values_verify {
    void (*report)(void *context, const char *object, const char *problem);
    void *context;
    const atomic_bool *cancelled; /* may be null */
    uint64_t bytes;               /* read */
};

PLINTH_MUST_CHECK enum plinth_status values_verify(struct values_verify *verify, struct plinth *db,
                                                   struct plinth_error *error);

#endif
