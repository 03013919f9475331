/* The dictionary of a column chunk while it is written. See dictionary.h. */
#include "parquet/dictionary.h"

#include <stdlib.h>

#include "base/hash.h"

enum { SLOTS_FIRST = 1024 };

void dictionary_deinit(struct dictionary *dictionary) {
    buffer_deinit(&dictionary->bytes);
    buffer_deinit(&dictionary->offsets);
    buffer_deinit(&dictionary->hashes);
    free(dictionary->slots);
    *dictionary = (struct dictionary){.width = dictionary->width};
}

void dictionary_clear(struct dictionary *dictionary) {
    dictionary->count = 0;
    buffer_clear(&dictionary->bytes);
    buffer_clear(&dictionary->offsets);
    buffer_clear(&dictionary->hashes);
    if (dictionary->slots) memset(dictionary->slots, 0, dictionary->slot_count * sizeof *dictionary->slots);
}

static uint32_t load_integer(const struct buffer *buffer, uint32_t i) {
    return load_u32(buffer->data + (size_t)i * sizeof(uint32_t));
}

static struct slice entry_at(const struct dictionary *dictionary, uint32_t i) {
    if (dictionary->width) return slice_of(dictionary->bytes.data + (size_t)i * dictionary->width, dictionary->width);
    uint32_t begin = load_integer(&dictionary->offsets, i);
    return slice_of(dictionary->bytes.data + begin, load_integer(&dictionary->offsets, i + 1) - begin);
}

/* Doubles the slots, so that at most half of them are taken. */
static bool grow(struct dictionary *dictionary) {
    uint32_t slot_count = dictionary->slot_count ? dictionary->slot_count * 2 : SLOTS_FIRST;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < dictionary->count; i++) {
        uint32_t at = load_integer(&dictionary->hashes, i) & (slot_count - 1);
        while (slots[at]) at = (at + 1) & (slot_count - 1);
        slots[at] = i + 1;
    }
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->slot_count = slot_count;
    return true;
}

static bool append_entry(struct dictionary *dictionary, struct slice value, uint32_t hash) {
    if (!dictionary->width) {
        if (dictionary->offsets.size == 0 && !buffer_append_u32(&dictionary->offsets, 0)) return false;
        if (!buffer_append_u32(&dictionary->offsets, (uint32_t)(dictionary->bytes.size + value.size))) return false;
    }
    if ((value.size > 0 && !buffer_append(&dictionary->bytes, value.data, value.size)) ||
        !buffer_append_u32(&dictionary->hashes, hash))
        return false;
    dictionary->count++;
    return true;
}

static bool add_one(struct dictionary *dictionary, struct slice value, uint32_t *index) {
    uint32_t hash = (uint32_t)hash_fast(value.data, value.size);
    if (dictionary->count * 2 >= dictionary->slot_count && !grow(dictionary)) return false;
    uint32_t mask = dictionary->slot_count - 1, at = hash & mask;
    for (; dictionary->slots[at]; at = (at + 1) & mask) {
        *index = dictionary->slots[at] - 1;
        if (load_integer(&dictionary->hashes, *index) == hash && slice_equal(entry_at(dictionary, *index), value))
            return true;
    }
    *index = dictionary->count;
    if (!append_entry(dictionary, value, hash)) return false;
    dictionary->slots[at] = dictionary->count;
    return true;
}

bool dictionary_add(struct dictionary *dictionary, const struct bytes_view *values, uint32_t *indices) {
    for (uint32_t i = 0; i < values->count; i++)
        if (!add_one(dictionary, bytes_view_at(values, i), &indices[i])) return false;
    return true;
}

void dictionary_cut(struct dictionary *dictionary, uint32_t count) {
    if (count >= dictionary->count) return;
    dictionary->count = count;
    dictionary->hashes.size = (size_t)count * sizeof(uint32_t);
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
    return dictionary->bytes.capacity + dictionary->offsets.capacity + dictionary->hashes.capacity +
           dictionary->slot_count * sizeof *dictionary->slots;
}
