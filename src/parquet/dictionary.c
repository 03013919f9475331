/* The dictionary of a column chunk while it is written. See dictionary.h. */
#include "parquet/dictionary.h"

#include <stdlib.h>

#include "base/hash.h"

enum { SLOTS_FIRST = 1024 };

void dictionary_deinit(struct dictionary *dictionary) {
    buffer_deinit(&dictionary->bytes);
    buffer_deinit(&dictionary->offsets);
    free(dictionary->slots);
    *dictionary = (struct dictionary){.width = dictionary->width};
}

void dictionary_clear(struct dictionary *dictionary) {
    dictionary->count = 0;
    buffer_clear(&dictionary->bytes);
    buffer_clear(&dictionary->offsets);
    if (dictionary->slots) memset(dictionary->slots, 0, dictionary->slot_count * sizeof *dictionary->slots);
}

static uint32_t load_integer(const struct buffer *buffer, uint32_t i) {
    return load_u32(buffer->data + (size_t)i * sizeof(uint32_t));
}

/* Doubles the slots, so that at most a third of them is taken. */
static bool grow(struct dictionary *dictionary) {
    uint32_t slot_count = dictionary->slot_count ? dictionary->slot_count * 2 : SLOTS_FIRST;
    uint64_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < dictionary->slot_count; i++) {
        uint64_t slot = dictionary->slots[i];
        uint32_t at = (uint32_t)(slot >> 32) & (slot_count - 1);
        if (slot == 0) continue;
        while (slots[at]) at = (at + 1) & (slot_count - 1);
        slots[at] = slot;
    }
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->slot_count = slot_count;
    return true;
}

/* Puts a value that was not found into the empty slot `at`. */
static bool add_entry(struct dictionary *dictionary, struct slice value, uint32_t hash, uint32_t at) {
    if (!dictionary->width) {
        if (dictionary->offsets.size == 0 && !buffer_append_u32(&dictionary->offsets, 0)) return false;
        if (!buffer_append_u32(&dictionary->offsets, (uint32_t)(dictionary->bytes.size + value.size))) return false;
    }
    if (!buffer_append(&dictionary->bytes, value.data, value.size)) return false;
    dictionary->count++;
    dictionary->slots[at] = (uint64_t)hash << 32 | dictionary->count;
    return dictionary->count * 3 < dictionary->slot_count || grow(dictionary);
}

/* ---- Numbers of 4 and 8 bytes: a multiplication as hash, and comparison as numbers ---- */

static inline uint32_t hash_number(uint64_t value) {
    value *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(value >> 32 ^ value >> 52);
}

static inline uint64_t load_number(const uint8_t *at, uint32_t width) {
    return width == 4 ? load_u32(at) : load_u64(at);
}

/* The fields that looking up needs, which stores to `indices` cannot change; they are taken anew when one is added. */
struct lookup {
    const uint64_t *slots;
    const uint8_t *bytes;
    const uint32_t *offsets;
    uint32_t mask;
};

static inline struct lookup lookup_of(const struct dictionary *dictionary) {
    return (struct lookup){dictionary->slots, dictionary->bytes.data,
                           (const uint32_t *)(const void *)dictionary->offsets.data, dictionary->slot_count - 1};
}

static inline __attribute__((always_inline)) bool
add_numbers(struct dictionary *dictionary, const struct bytes_view *values, uint32_t width, uint32_t *indices) {
    struct lookup lookup = lookup_of(dictionary);
    const uint8_t *from = values->bytes;
    uint32_t count = values->count, last_index = UINT32_MAX;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++, from += width) {
        uint64_t value = load_number(from, width);
        if (value == last && last_index != UINT32_MAX) {
            indices[i] = last_index;
            continue;
        }
        uint32_t hash = hash_number(value), at = hash & lookup.mask, entry;
        while ((entry = (uint32_t)lookup.slots[at]) != 0 &&
               load_number(lookup.bytes + (size_t)(entry - 1) * width, width) != value)
            at = (at + 1) & lookup.mask;
        if (entry == 0) {
            if (!add_entry(dictionary, slice_of(from, width), hash, at)) return false;
            entry = dictionary->count;
            lookup = lookup_of(dictionary);
        }
        indices[i] = last_index = entry - 1;
        last = value;
    }
    return true;
}

/* ---- Anything else ---- */

/* Strings of up to 16 bytes as two words that overlap: equal when the strings are of one size and equal. */
struct words {
    uint64_t low, high;
};

static inline struct words load_words(const uint8_t *at, size_t size) {
    if (size >= 8) return (struct words){load_u64(at), load_u64(at + size - 8)};
    if (size >= 4) return (struct words){load_u32(at), load_u32(at + size - 4)};
    if (size == 0) return (struct words){0, 0};
    return (struct words){at[0], (uint64_t)at[size / 2] << 8 | at[size - 1]};
}

static inline uint64_t mix(struct words words, uint64_t with) {
    __uint128_t product =
        (__uint128_t)(words.low ^ UINT64_C(0xa0761d6478bd642f)) * (words.high ^ with ^ UINT64_C(0xe7037ed1a0b428db));
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Of short strings without a call; those of up to 32 bytes are two of up to 16 that overlap. */
static inline uint32_t hash_bytes(struct slice value) {
    uint64_t hash;
    if (value.size <= 16) {
        hash = mix(load_words(value.data, value.size), value.size);
    } else if (value.size <= 32) {
        hash = mix(load_words(value.data, 16), value.size);
        hash = mix(load_words(value.data + value.size - 16, 16), hash);
    } else {
        return (uint32_t)hash_fast(value.data, value.size);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static inline bool words_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    struct words left = load_words(a, size), right = load_words(b, size);
    return left.low == right.low && left.high == right.high;
}

static inline bool is_equal(struct slice a, struct slice b) {
    if (a.size != b.size) return false;
    if (a.size <= 16) return words_equal(a.data, b.data, a.size);
    if (a.size > 32) return memcmp(a.data, b.data, a.size) == 0;
    return words_equal(a.data, b.data, 16) && words_equal(a.data + a.size - 16, b.data + a.size - 16, 16);
}

static inline struct slice lookup_entry(const struct lookup *lookup, uint32_t width, uint32_t i) {
    if (width) return slice_of(lookup->bytes + (size_t)i * width, width);
    return slice_of(lookup->bytes + lookup->offsets[i], lookup->offsets[i + 1] - lookup->offsets[i]);
}

static bool add_bytes(struct dictionary *dictionary, const struct bytes_view *values, uint32_t *indices) {
    struct lookup lookup = lookup_of(dictionary);
    const struct bytes_view view = *values;
    uint32_t width = dictionary->width;
    for (uint32_t i = 0; i < view.count; i++) {
        struct slice value = bytes_view_at(&view, i);
        uint32_t hash = hash_bytes(value), at = hash & lookup.mask;
        uint64_t slot;
        while ((slot = lookup.slots[at]) != 0 &&
               (slot >> 32 != hash || !is_equal(lookup_entry(&lookup, width, (uint32_t)slot - 1), value)))
            at = (at + 1) & lookup.mask;
        if (slot == 0) {
            if (!add_entry(dictionary, value, hash, at)) return false;
            lookup = lookup_of(dictionary);
        }
        indices[i] = slot ? (uint32_t)slot - 1 : dictionary->count - 1;
    }
    return true;
}

bool dictionary_add(struct dictionary *dictionary, const struct bytes_view *values, uint32_t *indices) {
    if (dictionary->slot_count == 0 && !grow(dictionary)) return false;
    if (dictionary->width == 4) return add_numbers(dictionary, values, 4, indices);
    if (dictionary->width == 8) return add_numbers(dictionary, values, 8, indices);
    return add_bytes(dictionary, values, indices);
}

void dictionary_cut(struct dictionary *dictionary, uint32_t count) {
    if (count >= dictionary->count) return;
    dictionary->count = count;
    if (dictionary->width) {
        dictionary->bytes.size = (size_t)count * dictionary->width;
    } else {
        dictionary->bytes.size = load_integer(&dictionary->offsets, count);
        dictionary->offsets.size = ((size_t)count + 1) * sizeof(uint32_t);
    }
}

uint64_t dictionary_bytes(const struct dictionary *dictionary) {
    return dictionary->bytes.size + (dictionary->width ? 0 : (uint64_t)dictionary->count * 4);
}

struct bytes_view dictionary_view(const struct dictionary *dictionary) {
    return (struct bytes_view){.bytes = dictionary->bytes.data,
                               .offsets = dictionary->width ? NULL : (const uint32_t *)(void *)dictionary->offsets.data,
                               .width = dictionary->width,
                               .count = dictionary->count};
}

size_t dictionary_memory(const struct dictionary *dictionary) {
    return dictionary->bytes.capacity + dictionary->offsets.capacity +
           dictionary->slot_count * sizeof *dictionary->slots;
}
