/* Growing arrays whose capacity is implied by their count: room for the next power of two. Removing elements in place
 * keeps that true. */
#ifndef PLINTH_ENGINE_ARRAY_H
#define PLINTH_ENGINE_ARRAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* `array` with room for one more element, or null (and `array` as it was). */
static inline void *array_grow(void *array, uint64_t count, size_t size) {
    if (count && (count & (count - 1)) != 0) return array;
    return realloc(array, (count ? count * 2 : 1) * size);
}

/* Appends a copy of `element`; false when memory is out. `array` and `count` are lvalues. */
#define ARRAY_PUSH(array, count, element)                                                                              \
    ({                                                                                                                 \
        void *grown_ = array_grow((array), (count), sizeof *(array));                                                  \
        if (grown_) {                                                                                                  \
            (array) = grown_;                                                                                          \
            (array)[(count)++] = (element);                                                                            \
        }                                                                                                              \
        grown_ != NULL;                                                                                                \
    })

#endif
