#include "service/page_token.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/status.h"

enum { PAGE_TOKEN_VERSION = 1 };

/* Parts go in with their sizes, so that no two requests give the same bytes. */
static uint64_t hash_part(uint64_t hash, struct slice part) {
    uint64_t sizes[3] = {hash, part.size, part.size ? hash_stable(part.data, part.size) : 0};
    return hash_stable(sizes, sizeof sizes);
}

static uint64_t hash_slice(uint64_t hash, struct plinth_slice part) {
    return hash_part(hash, slice_of(part.data, part.size));
}

uint64_t page_request_hash(struct plinth_space space, const struct plinth_index_scan_options *options,
                           struct plinth_position snapshot) {
    uint64_t fixed[] = {space.tenant,         space.database,   space.table,    (uint64_t)options->match,
                        options->with_values, options->reverse, snapshot.epoch, snapshot.lsn};
    uint64_t hash = hash_stable(fixed, sizeof fixed);
    hash = hash_slice(hash, options->index);
    hash = hash_slice(hash, options->value);
    hash = hash_slice(hash, options->lower);
    return hash_slice(hash, options->upper);
}

bool page_token_append(struct buffer *into, uint64_t request_hash, struct page_token token) {
    size_t start = into->size;
    bool ok = buffer_append_u8(into, PAGE_TOKEN_VERSION) && buffer_append_u64(into, request_hash) &&
              buffer_append_string(into, token.index_value) && buffer_append_string(into, token.key) &&
              buffer_append_u32(into, crc32c(0, into->data + start, into->size - start));
    if (!ok) into->size = start;
    return ok;
}

enum plinth_status page_token_parse(struct slice bytes, uint64_t request_hash, struct page_token *token,
                                    struct plinth_error *error) {
    *token = (struct page_token){0};
    struct reader reader = reader_of(bytes);
    uint8_t version = reader_u8(&reader);
    uint64_t hash = reader_u64(&reader);
    struct page_token read = {0};
    read.index_value = reader_string(&reader);
    read.key = reader_string(&reader);
    uint32_t check = reader_u32(&reader);
    if (reader.failed || reader_left(&reader) || version != PAGE_TOKEN_VERSION || !read.key.size ||
        check != crc32c(0, bytes.data, bytes.size - sizeof check))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "page_token: not a page token of this server (%zu bytes)",
                         bytes.size);
    if (hash != request_hash)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "page_token: belongs to another request (index, match, bounds, direction, with_values, space "
                         "and snapshot must stay as they were)");
    *token = read;
    return PLINTH_OK;
}
