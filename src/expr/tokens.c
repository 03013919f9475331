#include "expr/tokens.h"

static bool is_word_byte(uint8_t byte) {
    return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static uint8_t lowered(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte; }

bool token_next(struct token_reader *reader, uint8_t word[TOKEN_BYTES_MAX], size_t *size) {
    const uint8_t *data = reader->text.data;
    size_t at = reader->at, end = reader->text.size, kept = 0;
    while (at < end && !is_word_byte(data[at])) at++;
    for (; at < end && is_word_byte(data[at]); at++) {
        if (kept < TOKEN_BYTES_MAX) word[kept++] = lowered(data[at]);
    }
    reader->at = at;
    *size = kept;
    return kept > 0;
}

static bool contains_word(struct slice text, struct slice wanted) {
    struct token_reader reader = {text, 0};
    uint8_t word[TOKEN_BYTES_MAX];
    size_t size;
    while (token_next(&reader, word, &size)) {
        if (slice_equal(slice_of(word, size), wanted)) return true;
    }
    return false;
}

bool tokens_contain(struct slice text, struct slice words) {
    struct token_reader reader = {words, 0};
    uint8_t word[TOKEN_BYTES_MAX];
    size_t size;
    while (token_next(&reader, word, &size)) {
        if (!contains_word(text, slice_of(word, size))) return false;
    }
    return true;
}
