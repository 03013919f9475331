/* The conflict window: which keys the newest records wrote, so that a conditional record can be judged at its own
 * place in the log (DESIGN: FoundationDB's resolver; here with the log as the only clock).
 *
 * A record evaluated at snapshot S conflicts when any key it read was written at an LSN above S. The window forgets its
 * oldest keys when it is over its bounds, and those that a flush has put into segments (so that the log need not be
 * kept for them); a record with S below what is left is TOO_OLD. Bounds come from log records, never from a host, so
 * that every host judges alike. Registering a key is O(1); a check looks only at what was written since S, at 16 bytes
 * a key, and compares bytes where the hashes are equal.
 *
 * Not locked: used under the engine's sequencing lock. */
#ifndef PLINTH_ENGINE_CONFLICT_H
#define PLINTH_ENGINE_CONFLICT_H

#include "base/bytes.h"

enum {
    CONFLICT_KEYS_DEFAULT = 1 << 16,
    CONFLICT_BYTES_DEFAULT = 4 << 20,
    CONFLICT_KEY_BYTES_MAX = 2 * ((64 << 10) + 64)
};

struct conflict_key {
    uint64_t lsn;
    uint64_t hash;
    uint64_t offset; /* into the byte ring, counted without wrapping */
    uint32_t size;
    uint32_t lower_size; /* 0: a key; else a range: its lower bound has this many of the bytes, the rest is the upper */
};

struct conflict_window {
    struct conflict_key *keys; /* ring of keys_max */
    uint8_t *bytes;            /* ring of bytes_max and room for the gap at its end */
    uint64_t keys_max, bytes_max;
    uint64_t keys_begin, keys_end; /* counted without wrapping */
    uint64_t bytes_end;            /* likewise */
    uint64_t bytes_held;           /* sum of the keys' sizes: what the bound is about, whatever the ring's state */
    uint64_t floor_lsn;            /* everything above this LSN is in the window, nothing else */
};

/* `floor_lsn`: nothing up to here is known. */
PLINTH_MUST_CHECK enum plinth_status conflict_window_init(struct conflict_window *window, uint64_t keys_max,
                                                          uint64_t bytes_max, uint64_t floor_lsn,
                                                          struct plinth_error *error);
void conflict_window_deinit(struct conflict_window *window);

/* Registers one stored key written at `lsn` (not below the last one's). `hash` is hash_stable of it. What is over
 * the bounds goes oldest record first, whole records at a time, so that the window depends on the log alone. */
void conflict_window_add(struct conflict_window *window, uint64_t lsn, struct slice key, uint64_t hash);

/* The same for a range of stored keys that was deleted, [lower, upper): neither is empty. `found` of a check that meets
 * it is its lower bound. */
void conflict_window_add_range(struct conflict_window *window, uint64_t lsn, struct slice lower, struct slice upper);

/* Forgets what was written up to `lsn`. */
void conflict_window_forget(struct conflict_window *window, uint64_t lsn);

enum conflict_verdict { CONFLICT_NONE, CONFLICT_FOUND, CONFLICT_TOO_OLD };
/* Whether `key` was written above `snapshot_lsn`. */
enum conflict_verdict conflict_window_check_key(const struct conflict_window *window, uint64_t snapshot_lsn,
                                                struct slice key, uint64_t hash);
/* Whether any key in [lower, upper) was (an empty upper is no bound). `found` (may be null) is then the first such key,
 * valid until the window changes. */
enum conflict_verdict conflict_window_check_range(const struct conflict_window *window, uint64_t snapshot_lsn,
                                                  struct slice lower, struct slice upper, struct slice *found);

#endif
