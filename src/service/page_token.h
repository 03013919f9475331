/* Page tokens of GetByIndex: where the former page ended, bound to the request that it belongs to.
 *
 *     version (1 byte, 1) | request hash (8 bytes) | varint size, index value | varint size, key | CRC-32C (4 bytes)
 *
 * The hash covers every field that decides which entries there are and in which order, so that a token used with
 * another request is refused instead of giving a page that makes no sense. */
#ifndef PLINTH_SERVICE_PAGE_TOKEN_H
#define PLINTH_SERVICE_PAGE_TOKEN_H

#include "base/bytes.h"
#include "plinth.h"

/* The last entry of the former page; slices into the token. */
struct page_token {
    struct slice index_value;
    struct slice key;
};

/* The fields of `options` (index, match, bounds, direction, with_values), the space, and the snapshot read from. */
uint64_t page_request_hash(struct plinth_space space, const struct plinth_index_scan_options *options,
                           struct plinth_position snapshot);
/* Appends the token to `into`; false when memory is out. */
PLINTH_MUST_CHECK bool page_token_append(struct buffer *into, uint64_t request_hash, struct page_token token);
/* PLINTH_INVALID_ARGUMENT when `bytes` is no token, or one of another request. */
PLINTH_MUST_CHECK enum plinth_status page_token_parse(struct slice bytes, uint64_t request_hash,
                                                      struct page_token *token, struct plinth_error *error);

#endif
