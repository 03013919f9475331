/* Sorting row keys.
 *
 * First the rows are looked at for stretches that are sorted already: one stretch is the answer, a few are merged.
 * Else a radix sort, most significant word first: a range of keys that agree on all bytes before `depth` is sorted by
 * its next 8 bytes (big-endian, zeros behind the end), then each group of equal words by the 8 after these. Of a group,
 * the keys that end inside the word come first, shorter before longer, since what they lack is shown as zeros. A word
 * is sorted by its varying bytes only, least significant first (stable), small ranges by insertion. */
#include <stdlib.h>

#include "column/column_private.h"
#include "column/row_key.h"

enum { STRETCHES_MAX = 16, INSERTION_MAX = 24, RADIX_MIN = 256 };

struct sort_item {
    uint64_t word;
    uint32_t row;
};

struct sorter {
    const struct row_keys *keys;
    struct sort_item *items;
    struct sort_item *spare; /* as many */
};

uint64_t row_key_prefix(struct slice key) {
    if (key.size >= 8) return __builtin_bswap64(load_u64(key.data));
    uint64_t word = 0;
    for (size_t i = 0; i < key.size; i++) word |= (uint64_t)key.data[i] << (56 - 8 * i);
    return word;
}

static uint64_t word_at(const struct row_keys *keys, uint32_t row, size_t depth) {
    struct slice key = row_keys_at(keys, row);
    return key.size > depth ? row_key_prefix(slice_of(key.data + depth, key.size - depth)) : 0;
}

/* ---- sorting items by their words, stable ---- */

static void sort_by_insertion(struct sort_item *items, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        struct sort_item item = items[i];
        uint32_t at = i;
        for (; at && items[at - 1].word > item.word; at--) items[at] = items[at - 1];
        items[at] = item;
    }
}

static void merge_halves(const struct sort_item *from, uint32_t half, uint32_t count, struct sort_item *to) {
    uint32_t left = 0, right = half;
    for (uint32_t i = 0; i < count; i++)
        to[i] = right == count || (left < half && from[left].word <= from[right].word) ? from[left++] : from[right++];
}

static void sort_by_merging(struct sort_item *items, uint32_t count, struct sort_item *spare) {
    if (count <= INSERTION_MAX) {
        sort_by_insertion(items, count);
        return;
    }
    uint32_t half = count / 2;
    sort_by_merging(items, half, spare);
    sort_by_merging(items + half, count - half, spare);
    if (items[half - 1].word <= items[half].word) return;
    memcpy(spare, items, count * sizeof *items);
    merge_halves(spare, half, count, items);
}

/* `varying`: 1-bits where the words differ. */
static void sort_by_radix(struct sort_item *items, uint32_t count, struct sort_item *spare, uint64_t varying) {
    struct sort_item *from = items, *to = spare;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!(varying >> shift & 0xFF)) continue;
        uint32_t starts[256] = {0};
        for (uint32_t i = 0; i < count; i++) starts[from[i].word >> shift & 0xFF]++;
        uint32_t at = 0;
        for (unsigned digit = 0; digit < 256; digit++) {
            uint32_t size = starts[digit];
            starts[digit] = at;
            at += size;
        }
        for (uint32_t i = 0; i < count; i++) to[starts[from[i].word >> shift & 0xFF]++] = from[i];
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    if (from != items) memcpy(items, from, count * sizeof *items);
}

static void sort_words(struct sort_item *items, uint32_t count, struct sort_item *spare, uint64_t varying) {
    if (count <= INSERTION_MAX)
        sort_by_insertion(items, count);
    else if (count < RADIX_MIN)
        sort_by_merging(items, count, spare);
    else
        sort_by_radix(items, count, spare, varying);
}

/* ---- sorting ranges of keys ---- */

/* Loads the words at `depth` of items [first, first + count); returns the bits in which they differ. */
static uint64_t load_words(const struct sorter *sorter, uint32_t first, uint32_t count, size_t depth) {
    struct sort_item *items = sorter->items + first;
    uint64_t varying = 0, word = word_at(sorter->keys, items[0].row, depth);
    for (uint32_t i = 0; i < count; i++) {
        items[i].word = word_at(sorter->keys, items[i].row, depth);
        varying |= items[i].word ^ word;
    }
    return varying;
}

/* Of items with equal words at `depth`, puts those that end inside the word first, by size; returns how many. */
static uint32_t settle_ended(const struct sorter *sorter, uint32_t first, uint32_t count, size_t depth) {
    struct sort_item *items = sorter->items + first, *spare = sorter->spare + first;
    uint32_t ended = 0, going = 0;
    uint64_t varying = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = row_keys_at(sorter->keys, items[i].row);
        if (key.size > depth + 8) {
            spare[going++] = items[i];
        } else {
            items[ended] = items[i];
            items[ended].word = key.size;
            varying |= items[ended++].word ^ items[0].word;
        }
    }
    if (!ended) return 0;
    memcpy(items + ended, spare, going * sizeof *items);
    if (varying) sort_words(items, ended, spare, varying);
    return ended;
}

/* Sorts items [first, first + count), whose keys agree on their first `depth` bytes. The largest group is gone on with
 * here, the others (each at most half of the range) by recursion: so that is at most 32 deep. */
static void sort_range(const struct sorter *sorter, uint32_t first, uint32_t count, size_t depth) {
    while (count > 1) {
        uint64_t varying = load_words(sorter, first, count, depth);
        if (varying) sort_words(sorter->items + first, count, sorter->spare + first, varying);
        uint32_t largest = first, largest_count = 0, end = first + count;
        for (uint32_t at = first; at < end;) {
            uint64_t word = sorter->items[at].word;
            uint32_t size = 1;
            while (at + size < end && sorter->items[at + size].word == word) size++;
            uint32_t group = at;
            at += size;
            if (size == 1) continue;
            uint32_t ended = settle_ended(sorter, group, size, depth);
            group += ended;
            size -= ended;
            if (size > largest_count) {
                uint32_t former = largest, former_count = largest_count;
                largest = group;
                largest_count = size;
                group = former;
                size = former_count;
            }
            if (size > 1) sort_range(sorter, group, size, depth + 8);
        }
        first = largest;
        count = largest_count;
        depth += 8;
    }
}

static bool sort_all(const struct row_keys *keys, uint32_t rows, uint32_t *order) {
    struct sort_item *items = malloc((size_t)rows * 2 * sizeof *items);
    if (!items) return false;
    for (uint32_t i = 0; i < rows; i++) items[i].row = i;
    const struct sorter sorter = {keys, items, items + rows};
    sort_range(&sorter, 0, rows, 0);
    for (uint32_t i = 0; i < rows; i++) order[i] = items[i].row;
    free(items);
    return true;
}

/* ---- stretches that are sorted already ---- */

static bool is_below(const struct row_keys *keys, uint32_t a, uint32_t b) {
    struct slice a_key = row_keys_at(keys, a), b_key = row_keys_at(keys, b);
    uint64_t a_word = row_key_prefix(a_key), b_word = row_key_prefix(b_key);
    return a_word != b_word ? a_word < b_word : slice_compare(a_key, b_key) < 0;
}

/* Where sorted stretches start, and `rows` behind the last; 0 when there are more than STRETCHES_MAX. */
static uint32_t find_stretches(const struct row_keys *keys, uint32_t rows, uint32_t starts[STRETCHES_MAX + 1]) {
    uint32_t count = 1;
    starts[0] = 0;
    for (uint32_t i = 1; i < rows; i++) {
        if (!is_below(keys, i, i - 1)) continue;
        if (count == STRETCHES_MAX) return 0;
        starts[count++] = i;
    }
    starts[count] = rows;
    return count;
}

/* Merges the neighbours from[first, half) and from[half, end) into the same places of `to`. */
static void merge_stretches(const struct row_keys *keys, const uint32_t *from, uint32_t first, uint32_t half,
                            uint32_t end, uint32_t *to) {
    if (half == end || !is_below(keys, from[half], from[half - 1])) {
        memcpy(to + first, from + first, (end - first) * sizeof *to);
        return;
    }
    uint32_t left = first, right = half;
    for (uint32_t i = first; i < end; i++) {
        bool take_right = left == half || (right < end && is_below(keys, from[right], from[left]));
        to[i] = take_right ? from[right++] : from[left++];
    }
}

static bool merge_all(const struct row_keys *keys, uint32_t rows, uint32_t *order, uint32_t *starts, uint32_t count) {
    for (uint32_t i = 0; i < rows; i++) order[i] = i;
    if (count == 1) return true;
    uint32_t *spare = malloc((size_t)rows * sizeof *spare);
    if (!spare) return false;
    uint32_t *from = order, *to = spare;
    while (count > 1) {
        uint32_t merged = 0;
        for (uint32_t i = 0; i < count; i += 2) {
            uint32_t first = starts[i], half = starts[i + 1], end = i + 2 <= count ? starts[i + 2] : half;
            merge_stretches(keys, from, first, half, end, to);
            starts[merged++] = first;
        }
        starts[merged] = rows;
        count = merged;
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != order) memcpy(order, from, (size_t)rows * sizeof *order);
    free(spare);
    return true;
}

bool row_keys_sort(const struct row_keys *keys, uint32_t rows, uint32_t *order, uint64_t *prefixes) {
    if (!rows) return true;
    uint32_t starts[STRETCHES_MAX + 1];
    uint32_t count = find_stretches(keys, rows, starts);
    if (!(count ? merge_all(keys, rows, order, starts, count) : sort_all(keys, rows, order))) return false;
    for (uint32_t i = 0; i < rows && prefixes; i++) prefixes[i] = row_key_prefix(row_keys_at(keys, order[i]));
    return true;
}
