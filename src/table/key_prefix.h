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

/* <0, 0, >0: the order of two keys with the same prefix. By words: most keys are short, and a call of memcmp takes
 * longer than comparing them. The last word overlaps the one before it. */
static inline int key_compare_behind_prefix(struct slice a, struct slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    for (size_t at = KEY_PREFIX_BYTES; at < shared; at += 8) {
        size_t from = at + 8 <= shared ? at : shared - 8;
        uint64_t left = load_u64(a.data + from), right = load_u64(b.data + from);
        if (left != right) return __builtin_bswap64(left) < __builtin_bswap64(right) ? -1 : 1;
    }
    return (a.size > b.size) - (a.size < b.size);
}

#endif
