/* The dictionary of a column chunk while it is written: its distinct values, numbered in order of appearance, found
 * by open addressing. */
#ifndef PLINTH_PARQUET_DICTIONARY_H
#define PLINTH_PARQUET_DICTIONARY_H

#include "parquet/encoding_bytes.h"

struct dictionary {
    uint32_t width; /* bytes a value; 0: BYTE_ARRAY */
    uint32_t count;
    struct buffer bytes;   /* the values, one behind the other */
    struct buffer offsets; /* BYTE_ARRAY: count + 1 uint32 */
    uint64_t *slots;       /* hash << 32 | entry + 1; 0: empty */
    uint32_t slot_count;   /* a power of two */
};

/* `{0}` with `width` set is an empty dictionary. */
void dictionary_deinit(struct dictionary *dictionary);
/* Forgets the values, keeps the memory. */
void dictionary_clear(struct dictionary *dictionary);
/* Puts the number of each value into `indices`, adding those that are new. False when memory is out. */
PLINTH_MUST_CHECK bool dictionary_add(struct dictionary *dictionary, const struct bytes_view *values,
                                      uint32_t *indices);
/* Forgets all but the first `count` entries. Nothing may be added afterwards until it is cleared. */
void dictionary_cut(struct dictionary *dictionary, uint32_t count);
/* Bytes of the PLAIN encoded dictionary page. */
uint64_t dictionary_bytes(const struct dictionary *dictionary);
struct bytes_view dictionary_view(const struct dictionary *dictionary);
size_t dictionary_memory(const struct dictionary *dictionary);

#endif
