/* Words of a text, as token indexes and PREDICATE_WORDS see them: maximal runs of ASCII letters, digits and bytes >=
 * 0x80 (so that every UTF-8 letter counts), ASCII letters lowered, cut after TOKEN_BYTES_MAX bytes. */
#ifndef PLINTH_EXPR_TOKENS_H
#define PLINTH_EXPR_TOKENS_H

#include "base/bytes.h"

enum { TOKEN_BYTES_MAX = 64 };

struct token_reader {
    struct slice text;
    size_t at;
};
/* The next word, lowered, into `word` (size in `*size`); false at the end. */
bool token_next(struct token_reader *reader, uint8_t word[TOKEN_BYTES_MAX], size_t *size);
/* Whether `text` has every word of `words`. */
bool tokens_contain(struct slice text, struct slice words);

#endif
