/* Arrays of levels. See levels.h. */
#include "parquet/levels.h"

#include "base/bytes.h"
#include "parquet/bits.h"

enum { STEP = 128 };

static uint64_t count_equal(const uint8_t *levels, uint64_t count, uint8_t level) {
    uint64_t equal = 0, i = 0;
    for (; count - i >= STEP; i += STEP) { /* sums in bytes, which the compiler vectorises */
        uint8_t sum = 0;
        for (int k = 0; k < STEP; k++) sum = (uint8_t)(sum + (levels[i + (uint64_t)k] == level));
        equal += sum;
    }
    for (; i < count; i++) equal += levels[i] == level;
    return equal;
}

uint64_t levels_count_zeros(const uint8_t *levels, uint64_t count) { return count_equal(levels, count, 0); }

void levels_add_counts(const uint8_t *levels, uint64_t count, uint8_t highest, uint64_t *slots) {
    enum { FEW = 8 };
    uint64_t left = count;
    if (highest > FEW) {
        for (uint64_t i = 0; i < count; i++) slots[levels[i]]++;
        return;
    }
    for (uint8_t level = 0; level < highest; level++) {
        uint64_t equal = count_equal(levels, count, level);
        slots[level] += equal;
        left -= equal;
    }
    slots[highest] += left;
}

uint64_t levels_find_row(const uint8_t *repetition, uint64_t count, uint64_t rows) {
    uint64_t at = 0, begun = 0;
    while (count - at >= STEP) {
        uint64_t more = levels_count_zeros(repetition + at, STEP);
        if (begun + more > rows) break;
        begun += more;
        at += STEP;
    }
    for (; at < count; at++)
        if (repetition[at] == 0 && begun++ == rows) break;
    return at;
}

uint64_t levels_count_continued(const uint8_t *repetition, uint64_t count) {
    const uint8_t *first = count ? memchr(repetition, 0, (size_t)count) : NULL;
    return first ? (uint64_t)(first - repetition) : count;
}

void levels_equal(const uint8_t *levels, uint64_t count, uint8_t level, uint8_t *bitmap) {
    bits_equal_u8(levels, count, level, bitmap);
}

/* Lists in lists: what goes on at a depth needs an element of that depth before it, and one itself. */
static bool deep_levels_are_consistent(const struct parquet_column *column, const uint8_t *definition,
                                       const uint8_t *repetition, uint64_t count) {
    uint8_t least[256], bad = repetition[0] != 0; /* by repetition level */
    memset(least, 0xff, sizeof least);
    least[0] = 0;
    memcpy(least + 1, column->element_levels, column->repetition_level_max);
    bad |= definition[0] > column->definition_level_max;
    for (uint64_t i = 1; i < count; i++) {
        uint8_t needed = least[repetition[i]];
        bad |= (uint8_t)((definition[i] > column->definition_level_max) | (definition[i] < needed) |
                         (definition[i - 1] < needed));
    }
    return !bad;
}

bool levels_are_consistent(const struct parquet_column *column, const uint8_t *definition, const uint8_t *repetition,
                           uint64_t count) {
    uint8_t highest = column->definition_level_max, element = column->element_level, bad = 0;
    if (count == 0) return true;
    if (repetition && column->repetition_level_max > 1)
        return deep_levels_are_consistent(column, definition, repetition, count);
    bad |= definition[0] > highest;
    for (uint64_t i = 1; i < count; i++) bad |= definition[i] > highest;
    if (!repetition) return !bad;
    bad |= repetition[0] != 0;
    for (uint64_t i = 1; i < count; i++) {
        uint8_t goes_on = repetition[i] > 0;
        uint8_t is_loose = (uint8_t)((definition[i] < element) | (definition[i - 1] < element));
        bad |= (uint8_t)((repetition[i] > column->repetition_level_max) | (goes_on & is_loose));
    }
    return !bad;
}
