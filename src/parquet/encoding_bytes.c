/* The encodings of byte strings. See encoding_bytes.h. */
#include "parquet/encoding_bytes.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/encoding_delta.h"

/* Copies what a value shares with the one in front of it, which is not shorter; both sides have COPY_SLACK bytes
 * behind. The ranges may overlap behind the bytes that count. */
static inline void copy_back(uint8_t *to, const uint8_t *from, size_t size) {
    uint64_t words[COPY_SLACK / 8];
    if (size > COPY_SLACK) {
        memcpy(to, from, size);
        return;
    }
    memcpy(words, from, sizeof words);
    memcpy(to, words, sizeof words);
}

static enum plinth_status truncated(const char *encoding, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "%s data ends too early", encoding);
}

enum plinth_status plain_bytes_decode(struct slice in, uint32_t count, uint32_t *offsets, struct buffer *bytes,
                                      struct plinth_error *error) {
    const uint8_t *at = in.data, *end = in.data ? in.data + in.size : NULL;
    buffer_clear(bytes);
    if (in.size > UINT32_MAX / 2) return error_set(error, PLINTH_CORRUPT, "PLAIN data is longer than a page can be");
    if (!buffer_reserve(bytes, in.size + COPY_SLACK)) return error_no_memory(error, "Parquet values");
    uint8_t *begin = bytes->data, *to = begin;
    const uint8_t *last = in.size >= 4 + COPY_SLACK ? end - 4 - COPY_SLACK : NULL;
    uint32_t i = 0;
    /* Short values that are not at the end of the page need no check of their own. */
    for (; i < count && last && at <= last; i++) {
        size_t size = load_u32(at);
        at += 4;
        offsets[i] = (uint32_t)(to - begin);
        memcpy(to, at, COPY_SLACK);
        if (__builtin_expect(size > COPY_SLACK, 0)) {
            if (size > (size_t)(end - at)) return truncated("PLAIN", error);
            memcpy(to + COPY_SLACK, at + COPY_SLACK, size - COPY_SLACK);
        }
        to += size;
        at += size;
    }
    for (; i < count; i++) {
        if ((size_t)(end - at) < 4) return truncated("PLAIN", error);
        size_t size = load_u32(at);
        at += 4;
        if (size > (size_t)(end - at)) return truncated("PLAIN", error);
        offsets[i] = (uint32_t)(to - begin);
        if (size > 0) memcpy(to, at, size);
        to += size;
        at += size;
    }
    bytes->size = (size_t)(to - begin);
    offsets[count] = (uint32_t)bytes->size;
    return PLINTH_OK;
}

/* Turns offsets[1 .. count], which hold lengths, into offsets; their sum may be `bytes_max` at most. */
static enum plinth_status offsets_from_lengths(uint32_t *offsets, uint32_t count, uint64_t bytes_max,
                                               const char *encoding, struct plinth_error *error) {
    uint32_t longest = bits_max_u32(offsets + 1, count);
    uint64_t sum = 0;
    offsets[0] = 0;
    if (longest > INT32_MAX) return error_set(error, PLINTH_CORRUPT, "%s data has a negative length", encoding);
    if ((uint64_t)longest * count <= UINT32_MAX) {
        sum = bits_sums_u32(offsets + 1, count);
    } else {
        for (uint32_t i = 1; i <= count; i++) offsets[i] = (uint32_t)(sum += offsets[i]);
    }
    if (sum > bytes_max) return truncated(encoding, error);
    return PLINTH_OK;
}

enum plinth_status delta_length_decode(struct slice in, uint32_t count, uint32_t *offsets, struct slice *bytes,
                                       struct plinth_error *error) {
    size_t used = 0;
    *bytes = slice_of(NULL, 0);
    if (in.size > UINT32_MAX / 2)
        return error_set(error, PLINTH_CORRUPT, "DELTA_LENGTH_BYTE_ARRAY data is longer than a page can be");
    enum plinth_status st = delta_decode_i32(in, count, (int32_t *)offsets + 1, &used, error);
    if (!st) st = offsets_from_lengths(offsets, count, in.size - used, "DELTA_LENGTH_BYTE_ARRAY", error);
    if (!st) *bytes = slice_of(in.data + used, offsets[count]);
    return st;
}

/* Says which value is wrong. */
static enum plinth_status refuse_delta_bytes(const uint32_t *prefixes, const uint32_t *suffixes, uint32_t count,
                                             uint32_t width, struct plinth_error *error) {
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = (uint64_t)prefixes[i] + suffixes[i];
        if (prefixes[i] > last || suffixes[i] > INT32_MAX) break;
        if (width && size != width)
            return error_set(error, PLINTH_CORRUPT, "DELTA_BYTE_ARRAY data has a value of %llu bytes, not %u",
                             (unsigned long long)size, width);
        last = size;
    }
    return error_set(error, PLINTH_CORRUPT, "DELTA_BYTE_ARRAY data has a value sharing more bytes than there are");
}

/* Checks the lengths (each value's shared part is no longer than the value before it) and adds them up. */
static enum plinth_status check_delta_bytes(const uint32_t *prefixes, const uint32_t *suffixes, uint32_t count,
                                            uint32_t width, size_t suffix_bytes, uint64_t bytes_max, uint64_t *bytes,
                                            struct plinth_error *error) {
    uint64_t total = 0, suffix_total = 0, last = 0, other_sizes = 0;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = (uint64_t)prefixes[i] + suffixes[i];
        wrong |= (uint32_t)(prefixes[i] > last) | suffixes[i] >> 31;
        other_sizes |= size ^ width;
        suffix_total += suffixes[i];
        total += size;
        last = size;
    }
    if (wrong || (width && other_sizes)) return refuse_delta_bytes(prefixes, suffixes, count, width, error);
    if (suffix_total > suffix_bytes) return truncated("DELTA_BYTE_ARRAY", error);
    if (total > bytes_max || total > INT32_MAX)
        return error_set(error, PLINTH_OUT_OF_MEMORY, "DELTA_BYTE_ARRAY data unfolds to %llu bytes, over the limit",
                         (unsigned long long)total);
    *bytes = total;
    return PLINTH_OK;
}

/* Values of up to 32 bytes are made in a register: what the last one was is kept below the shared size, and what
 * follows in the input is loaded so that its first byte is above it. A load of what was just stored in two parts would
 * wait for both stores. */
typedef int8_t bytes16 __attribute__((vector_size(16)));
struct short_value {
    bytes16 halves[2];
};
_Static_assert(sizeof(struct short_value) == COPY_SLACK, "what is copied at once");

static inline void make_short(struct short_value *value, const uint8_t *suffix, uint32_t prefix) {
    const bytes16 first = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    bytes16 shared, low, high;
    memset(&shared, (int)prefix, sizeof shared);
    memcpy(&low, suffix - prefix, sizeof low);
    memcpy(&high, suffix - prefix + sizeof low, sizeof high);
    bytes16 low_is_shared = first < shared;
    bytes16 high_is_shared = first + 16 < shared;
    value->halves[0] = (value->halves[0] & low_is_shared) | (low & ~low_is_shared);
    value->halves[1] = (value->halves[1] & high_is_shared) | (high & ~high_is_shared);
}

static void unfold(const uint32_t *prefixes, const uint32_t *suffixes, uint32_t count, struct slice in,
                   uint32_t *offsets, uint8_t *out) {
    const uint8_t *from = in.data, *end = in.data + in.size;
    uint8_t *last = out, *to = out;
    struct short_value value = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t prefix = prefixes[i], suffix = suffixes[i];
        if (offsets) offsets[i] = (uint32_t)(to - out);
        if (prefix + suffix <= COPY_SLACK && (size_t)(from - in.data) >= prefix &&
            (size_t)(end - from) + prefix >= COPY_SLACK) {
            make_short(&value, from, prefix);
            memcpy(to, &value, sizeof value);
        } else {
            copy_back(to, last, prefix);
            copy_within(to + prefix, from, suffix, end);
            memcpy(&value, to, sizeof value);
        }
        from += suffix;
        last = to;
        to += prefix + suffix;
    }
    if (offsets) offsets[count] = (uint32_t)(to - out);
}

enum plinth_status delta_bytes_decode(struct slice in, uint32_t count, uint32_t width, uint64_t bytes_max,
                                      uint32_t *offsets, struct buffer *bytes, struct buffer *lengths,
                                      struct plinth_error *error) {
    size_t prefix_used = 0, suffix_used = 0;
    uint64_t total = 0;
    buffer_clear(bytes);
    buffer_clear(lengths);
    if (!buffer_reserve(lengths, (size_t)count * 2 * sizeof(uint32_t) + 1))
        return error_no_memory(error, "Parquet lengths");
    uint32_t *prefixes = (uint32_t *)(void *)lengths->data, *suffixes = prefixes + count;
    enum plinth_status st = delta_decode_i32(in, count, (int32_t *)prefixes, &prefix_used, error);
    if (st) return st;
    struct slice rest = slice_of(in.data + prefix_used, in.size - prefix_used);
    st = delta_decode_i32(rest, count, (int32_t *)suffixes, &suffix_used, error);
    if (st) return st;
    rest = slice_of(rest.data + suffix_used, rest.size - suffix_used);
    st = check_delta_bytes(prefixes, suffixes, count, width, rest.size, bytes_max, &total, error);
    if (st) return st;
    if (!buffer_reserve(bytes, (size_t)total + 2 * COPY_SLACK)) return error_no_memory(error, "Parquet values");
    unfold(prefixes, suffixes, count, rest, offsets, bytes->data);
    bytes->size = (size_t)total;
    return PLINTH_OK;
}

/* ---- Encoding ---- */

static size_t view_bytes(const struct bytes_view *view) {
    if (!view->offsets) return (size_t)view->count * view->width;
    return view->offsets[view->count] - view->offsets[0];
}

bool plain_bytes_encode(const struct bytes_view *values, struct buffer *out) {
    const struct bytes_view view = *values; /* what is stored cannot change a copy */
    if (!buffer_reserve(out, view_bytes(values) + (size_t)view.count * 4 + COPY_SLACK)) return false;
    uint8_t *at = out->data + out->size;
    const uint8_t *end = view.bytes + (view.offsets ? view.offsets[view.count] : view_bytes(values));
    uint32_t i = 0;
    for (; i < view.count; i++) { /* until so near to the end that whole words reach over it */
        struct slice value = bytes_view_at(&view, i);
        if ((size_t)(end - value.data) < COPY_SLACK) break;
        store_u32(at, (uint32_t)value.size);
        copy_over(at + 4, value.data, value.size);
        at += 4 + value.size;
    }
    for (; i < view.count; i++) {
        struct slice value = bytes_view_at(&view, i);
        store_u32(at, (uint32_t)value.size);
        if (value.size > 0) memcpy(at + 4, value.data, value.size);
        at += 4 + value.size;
    }
    out->size = (size_t)(at - out->data);
    return true;
}

bool delta_length_encode(const struct bytes_view *view, struct buffer *lengths, struct buffer *out) {
    const uint32_t *offsets = view->offsets;
    uint32_t count = view->count, width = view->width;
    buffer_clear(lengths);
    if (!buffer_reserve(lengths, (size_t)count * sizeof(int32_t) + 1)) return false;
    int32_t *sizes = (int32_t *)(void *)lengths->data;
    if (offsets)
        for (uint32_t i = 0; i < count; i++) sizes[i] = (int32_t)(offsets[i + 1] - offsets[i]);
    else
        for (uint32_t i = 0; i < count; i++) sizes[i] = (int32_t)width;
    if (!delta_encode_i32(sizes, count, out)) return false;
    const uint8_t *first = offsets ? view->bytes + offsets[0] : view->bytes;
    return view_bytes(view) == 0 || buffer_append(out, first, view_bytes(view));
}

static uint32_t shared_bytes(struct slice a, struct slice b) {
    size_t most = a.size < b.size ? a.size : b.size, i = 0;
    for (; most - i >= 8; i += 8) {
        uint64_t differ = load_u64(a.data + i) ^ load_u64(b.data + i);
        if (differ) return (uint32_t)(i + (size_t)__builtin_ctzll(differ) / 8);
    }
    while (i < most && a.data[i] == b.data[i]) i++;
    return (uint32_t)i;
}

bool delta_bytes_encode(const struct bytes_view *values, struct buffer *lengths, struct buffer *out) {
    const struct bytes_view view = *values;
    buffer_clear(lengths);
    if (!buffer_reserve(lengths, (size_t)view.count * 2 * sizeof(int32_t) + 1)) return false;
    int32_t *prefixes = (int32_t *)(void *)lengths->data, *suffixes = prefixes + view.count;
    struct slice last = slice_of(NULL, 0);
    size_t suffix_bytes = 0;
    for (uint32_t i = 0; i < view.count; i++) {
        struct slice value = bytes_view_at(&view, i);
        prefixes[i] = (int32_t)shared_bytes(last, value);
        suffixes[i] = (int32_t)value.size - prefixes[i];
        suffix_bytes += (size_t)suffixes[i];
        last = value;
    }
    if (!delta_encode_i32(prefixes, view.count, out) || !delta_encode_i32(suffixes, view.count, out) ||
        !buffer_reserve(out, suffix_bytes + COPY_SLACK))
        return false;
    const uint8_t *end = last.data + last.size;
    uint8_t *to = out->data + out->size;
    for (uint32_t i = 0; i < view.count; i++) {
        struct slice value = bytes_view_at(&view, i);
        copy_within(to, value.data + prefixes[i], (size_t)suffixes[i], end);
        to += suffixes[i];
    }
    out->size = (size_t)(to - out->data);
    return true;
}
