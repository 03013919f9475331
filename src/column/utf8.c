/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "column/batch.h"

static const uint64_t HIGH_BITS = UINT64_C(0x8080808080808080);

/* Bytes of the sequence that starts here, 0 when it is not valid. */
static size_t sequence_size(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || left < 2) return 0;
    if (lead < 0xE0) return (at[1] & 0xC0) == 0x80 ? 2 : 0;
    if (lead < 0xF0) {
        if (left < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) return 0;
        if (lead == 0xE0 && at[1] < 0xA0) return 0;  /* overlong */
        if (lead == 0xED && at[1] >= 0xA0) return 0; /* surrogate */
        return 3;
    }
    if (lead > 0xF4 || left < 4) return 0;
    if ((at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 || (at[3] & 0xC0) != 0x80) return 0;
    if (lead == 0xF0 && at[1] < 0x90) return 0;
    if (lead == 0xF4 && at[1] >= 0x90) return 0;
    return 4;
}

size_t utf8_find_invalid(struct slice text) {
    size_t i = 0;
    while (i < text.size) {
        const uint8_t *at = text.data + i;
        size_t left = text.size - i;
        if (left >= 32 && !((load_u64(at) | load_u64(at + 8) | load_u64(at + 16) | load_u64(at + 24)) & HIGH_BITS)) {
            i += 32;
        } else if (left >= 8 && !(load_u64(at) & HIGH_BITS)) {
            i += 8;
        } else {
            /* To the end of these eight bytes one sequence at a time, then words again. */
            size_t stop = left < 8 ? text.size : i + 8;
            while (i < stop) {
                size_t size = sequence_size(text.data + i, text.size - i);
                if (!size) return i;
                i += size;
            }
        }
    }
    return SIZE_MAX;
}
