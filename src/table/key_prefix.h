/* The first 8 bytes of a key as a big-endian number, padded with zeros: where two prefixes differ, their order is the
 * order of the keys; where they are the same, the bytes behind them and then the lengths decide. */
#ifndef PLINTH_TABLE_KEY_PREFIX_H
#define PLINTH_TABLE_KEY_PREFIX_H

#include "base/bytes.h"

enum { KEY_PREFIX_BYTES = 8 };

static inline uint64_t key_prefix(struct slice key) {
    uint64_t prefix = 0;
    if (key.size >= KEY_PREFIX_BYTES) return __builtin_bswap64(load_u64(key.data));
    if (key.size) memcpy(&prefix, key.data, key.size);
    return __builtin_bswap64(prefix);
}

/* What follows the first `skip` bytes; also of a null slice with nothing to skip. */
static inline struct slice key_behind(struct slice key, size_t skip) {
    return skip ? slice_of(key.data + skip, key.size - skip) : key;
}

/* <0, 0, >0: the order of two keys with the same prefix. */
static inline int key_compare_behind_prefix(struct slice a, struct slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    if (shared > KEY_PREFIX_BYTES) {
        int order = memcmp(a.data + KEY_PREFIX_BYTES, b.data + KEY_PREFIX_BYTES, shared - KEY_PREFIX_BYTES);
        if (order) return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

#endif
