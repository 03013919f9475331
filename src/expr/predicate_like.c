/* LIKE patterns, compiled into segments.
 *
 * Every segment matches a fixed number of code points, so its earliest match is also the one that ends first, and
 * taking it never spoils a later segment: no backtracking over segments, at worst text * pattern steps. Literal
 * segments are found with memmem: UTF-8 never matches in the middle of a character. */
#include "base/status.h"
#include "expr/predicate_private.h"

enum { SHORT_TEXT_BYTES = 128 };

static bool is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* One segment's bytes from the pattern at `*at` up to the next % or the end. */
static enum plinth_status compile_segment(struct slice pattern, size_t *at, struct arena *arena,
                                          struct like_segment *segment, struct plinth_error *error) {
    uint8_t *bytes = arena_alloc(arena, pattern.size - *at + 1);
    bool *is_wildcard = arena_zalloc(arena, pattern.size - *at + 1);
    if (!bytes || !is_wildcard) return error_no_memory(error, "a LIKE pattern");
    size_t size = 0;
    bool has_wildcard = false;
    segment->character_count = 0;
    for (; *at < pattern.size && pattern.data[*at] != '%'; ++*at) {
        uint8_t byte = pattern.data[*at];
        if (byte == '_') {
            is_wildcard[size] = has_wildcard = true;
            byte = 0;
        } else if (byte == '\\') {
            if (++*at == pattern.size) {
                return error_set(error, PLINTH_INVALID_ARGUMENT, "a LIKE pattern ends with its escape character");
            }
            byte = pattern.data[*at];
        }
        segment->character_count += !is_continuation(byte);
        bytes[size++] = byte;
    }
    segment->bytes = slice_of(bytes, size);
    segment->is_wildcard = has_wildcard ? is_wildcard : NULL;
    return PLINTH_OK;
}

enum plinth_status like_compile(struct slice pattern, struct arena *arena, struct like_program *program,
                                struct plinth_error *error) {
    *program = (struct like_program){0};
    size_t most = 1;
    for (size_t i = 0; i < pattern.size; i++) most += pattern.data[i] == '%';
    struct like_segment *segments = arena_alloc(arena, most * sizeof *segments);
    if (!segments) return error_no_memory(error, "a LIKE pattern");
    uint32_t count = 0;
    for (size_t at = 0;;) {
        enum plinth_status st = compile_segment(pattern, &at, arena, &segments[count], error);
        if (st) return st;
        count++;
        if (at == pattern.size) break;
        while (at < pattern.size && pattern.data[at] == '%') at++;
    }
    *program = (struct like_program){segments, count};
    return PLINTH_OK;
}

/* The end of a match of the segment at `at`, or SIZE_MAX. */
static size_t match_at(const struct like_segment *segment, struct slice text, size_t at) {
    struct slice bytes = segment->bytes;
    if (!segment->is_wildcard) {
        bool fits =
            text.size - at >= bytes.size && (!bytes.size || memcmp(text.data + at, bytes.data, bytes.size) == 0);
        return fits ? at + bytes.size : SIZE_MAX;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        if (at == text.size || (!segment->is_wildcard[i] && text.data[at] != bytes.data[i])) return SIZE_MAX;
        at++;
        if (segment->is_wildcard[i]) {
            while (at < text.size && is_continuation(text.data[at])) at++;
        }
    }
    return at;
}

/* memmem prepares a table for each call, which short texts do not pay back. */
static const uint8_t *find_bytes(const uint8_t *text, size_t size, struct slice wanted) {
    if (size > SHORT_TEXT_BYTES) return memmem(text, size, wanted.data, wanted.size);
    for (size_t at = 0; at + wanted.size <= size; at++) {
        if (text[at] == wanted.data[0] && memcmp(text + at, wanted.data, wanted.size) == 0) return text + at;
    }
    return NULL;
}

/* The end of the first match at or behind `at`, or SIZE_MAX. */
static size_t find_from(const struct like_segment *segment, struct slice text, size_t at) {
    if (!segment->is_wildcard) {
        const uint8_t *found = find_bytes(text.data + at, text.size - at, segment->bytes);
        return found ? (size_t)(found - text.data) + segment->bytes.size : SIZE_MAX;
    }
    while (at < text.size) {
        size_t end = match_at(segment, text, at);
        if (end != SIZE_MAX) return end;
        at++;
        while (at < text.size && is_continuation(text.data[at])) at++;
    }
    return SIZE_MAX;
}

/* Whether the segment matches the last of its characters, not before `from`. */
static bool match_at_end(const struct like_segment *segment, struct slice text, size_t from) {
    size_t at = text.size;
    if (!segment->is_wildcard) {
        if (text.size - from < segment->bytes.size) return false;
        at -= segment->bytes.size;
    } else {
        for (uint32_t i = 0; i < segment->character_count; i++) {
            if (at <= from) return false;
            at--;
            while (at > from && is_continuation(text.data[at])) at--;
        }
    }
    return match_at(segment, text, at) == text.size;
}

bool like_match(const struct like_program *program, struct slice text) {
    static const uint8_t nothing[1];
    if (!text.data) text.data = nothing;
    size_t at = match_at(&program->segments[0], text, 0);
    if (at == SIZE_MAX) return false;
    uint32_t last = program->segment_count - 1;
    if (last == 0) return at == text.size;
    for (uint32_t i = 1; i < last; i++) {
        at = find_from(&program->segments[i], text, at);
        if (at == SIZE_MAX) return false;
    }
    return match_at_end(&program->segments[last], text, at);
}

struct slice like_prefix(const struct like_program *program) {
    const struct like_segment *first = &program->segments[0];
    size_t size = 0;
    while (size < first->bytes.size && !(first->is_wildcard && first->is_wildcard[size])) size++;
    return slice_of(first->bytes.data, size);
}

bool like_is_equality(const struct like_program *program) {
    return program->segment_count == 1 && !program->segments[0].is_wildcard;
}

bool like_is_prefix(const struct like_program *program) {
    return program->segment_count == 2 && !program->segments[0].is_wildcard && program->segments[1].bytes.size == 0;
}
