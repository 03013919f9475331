/* The keys that a transaction has touched, in order: what it read, and what it is going to write.
 *
 * A skip list (Pugh 1990) for one thread, in an arena: nodes stay where they are, so that a scan can stand on one while
 * keys are added. A write that is replaced leaves its bytes behind until the end. */
#ifndef PLINTH_ENGINE_TOUCHED_KEYS_H
#define PLINTH_ENGINE_TOUCHED_KEYS_H

#include "base/arena.h"
#include "column/key_encoding.h"
#include "plinth.h"

enum { TOUCHED_LEVELS_MAX = 14 };

struct touched_key {
    struct plinth_space space;
    struct slice stored; /* table prefix and key */
    uint8_t prefix_bytes;
    bool read;
    bool written;
    struct plinth_operation operation; /* if written: owned by the arena */
    struct touched_key *next[];
};

struct touched_keys {
    struct arena arena;
    struct touched_key *heads[TOUCHED_LEVELS_MAX];
    uint64_t random;
    size_t count, written;
};

void touched_keys_init(struct touched_keys *keys);
void touched_keys_deinit(struct touched_keys *keys);

/* The first key that is at or above `stored`; null when there is none. */
struct touched_key *touched_keys_seek(const struct touched_keys *keys, struct slice stored);
/* The last key below `stored`; null when there is none. */
struct touched_key *touched_keys_seek_below(const struct touched_keys *keys, struct slice stored);
/* The key, added if it is new; null when memory is out. */
struct touched_key *touched_keys_add(struct touched_keys *keys, struct plinth_space space, struct slice key);
/* Makes `operation`, copied, what the transaction writes; false when memory is out. */
PLINTH_MUST_CHECK bool touched_keys_write(struct touched_keys *keys, const struct plinth_operation *operation);

/* What it was going to write of the keys in [lower, upper) it does not any more. */
void touched_keys_unwrite(struct touched_keys *keys, struct slice lower, struct slice upper);

#endif
