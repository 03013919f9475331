/* Columns made of chosen rows or stretches of rows of other columns. Loops are by width, so that each is tight; nulls
 * cost only columns that have some. */
#include <stdlib.h>

#include "column/column_private.h"

void bitmap_rows(const uint8_t *selection, uint32_t rows, uint32_t *into) {
    uint32_t base = 0;
    for (; base + 64 <= rows; base += 64) {
        uint64_t word = load_u64(selection + base / 8);
        for (; word; word &= word - 1) *into++ = base + (uint32_t)__builtin_ctzll(word);
    }
    for (; base < rows; base++)
        if (bitmap_get(selection, base)) *into++ = base;
}

/* ---- gather ---- */

static uint8_t *gather_bits(struct arena *arena, const uint8_t *from, const uint32_t *rows, uint32_t count) {
    uint8_t *bits = arena_alloc(arena, bitmap_bytes(count));
    if (!bits) return NULL;
    uint32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        unsigned byte = 0;
        for (unsigned bit = 0; bit < 8; bit++) byte |= (unsigned)bitmap_get(from, rows[i + bit]) << bit;
        bits[i / 8] = (uint8_t)byte;
    }
    if (i == count) return bits;
    bits[i / 8] = 0;
    for (; i < count; i++)
        if (bitmap_get(from, rows[i])) bitmap_set(bits, i);
    return bits;
}

static bool gather_validity(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count,
                            struct column *out) {
    if (!from->null_count || !count) return true;
    uint8_t *bits = gather_bits(arena, from->validity, rows, count);
    if (!bits) return false;
    out->null_count = count - bitmap_count(bits, count);
    out->validity = out->null_count ? bits : NULL;
    return true;
}

static bool gather_fixed(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count,
                         uint32_t width, struct column *out) {
    uint8_t *values = arena_alloc(arena, (uint64_t)count * width);
    out->values = values;
    if (!values) return false;
    const uint8_t *source = from->values;
    switch (width) {
    case 1:
        for (uint32_t i = 0; i < count; i++) values[i] = source[rows[i]];
        break;
    case 2:
        for (uint32_t i = 0; i < count; i++) ((uint16_t *)values)[i] = ((const uint16_t *)source)[rows[i]];
        break;
    case 4:
        for (uint32_t i = 0; i < count; i++) ((uint32_t *)values)[i] = ((const uint32_t *)source)[rows[i]];
        break;
    case 8:
        for (uint32_t i = 0; i < count; i++) ((uint64_t *)values)[i] = ((const uint64_t *)source)[rows[i]];
        break;
    default:
        for (uint32_t i = 0; i < count; i++) memcpy(values + (uint64_t)i * 16, source + (uint64_t)rows[i] * 16, 16);
        break;
    }
    return true;
}

/* New offsets, from 0, of the gathered rows; a null takes nothing. Null when memory is out or they exceed the bound. */
static uint32_t *gather_offsets(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count) {
    uint32_t *offsets = arena_alloc(arena, ((uint64_t)count + 1) * sizeof *offsets);
    if (!offsets) return NULL;
    uint64_t total = 0;
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows[i];
        if (!from->null_count || bitmap_get(from->validity, row)) total += from->offsets[row + 1] - from->offsets[row];
        offsets[i + 1] = (uint32_t)total; /* a bound exceeded is found below, as total only grows */
    }
    return total <= COLUMN_BYTES_MAX ? offsets : NULL;
}

static bool gather_bytes(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count,
                         struct column *out) {
    uint32_t *offsets = gather_offsets(arena, from, rows, count);
    uint8_t *bytes = offsets ? arena_alloc(arena, offsets[count]) : NULL;
    if (!bytes) return false;
    for (uint32_t i = 0; i < count; i++)
        copy_short(bytes + offsets[i], from->bytes + from->offsets[rows[i]], offsets[i + 1] - offsets[i]);
    out->offsets = offsets;
    out->bytes = bytes;
    return true;
}

static bool gather_lists(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count,
                         struct column *out) {
    uint32_t *offsets = gather_offsets(arena, from, rows, count);
    struct column *child = arena_alloc(arena, sizeof *child);
    if (!offsets || !child) return false;
    uint32_t *elements = malloc(((size_t)offsets[count] + 1) * sizeof *elements);
    if (!elements) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < offsets[i + 1] - offsets[i]; j++) elements[at++] = from->offsets[rows[i]] + j;
    bool done = column_gather(arena, from->child, elements, at, child);
    free(elements);
    out->offsets = offsets;
    out->child = child;
    return done;
}

bool column_gather(struct arena *arena, const struct column *from, const uint32_t *rows, uint32_t count,
                   struct column *out) {
    *out = (struct column){.type = from->type};
    if (!gather_validity(arena, from, rows, count, out)) return false;
    if (from->type.kind == COLUMN_BOOL) return (out->values = gather_bits(arena, from->values, rows, count)) != NULL;
    if (from->type.kind == COLUMN_LIST) return gather_lists(arena, from, rows, count, out);
    uint32_t width = column_type_width(from->type);
    if (width) return gather_fixed(arena, from, rows, count, width, out);
    return gather_bytes(arena, from, rows, count, out);
}

bool column_filter(struct arena *arena, const struct column *from, const uint8_t *selection, uint32_t rows,
                   uint32_t count, struct column *out) {
    *out = (struct column){.type = from->type};
    uint32_t *chosen = malloc(((size_t)count + 1) * sizeof *chosen);
    if (!chosen) return false;
    bitmap_rows(selection, rows, chosen);
    bool done = column_gather(arena, from, chosen, count, out);
    free(chosen);
    return done;
}

/* ---- concat ---- */

struct concat {
    struct arena *arena;
    const struct column *const *sources;
    const struct row_stretch *stretches;
    uint32_t stretch_count;
    uint32_t rows;
};

static bool concat_has_nulls(const struct concat *concat) {
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct column *source = concat->sources[concat->stretches[i].source];
        if ((!source && concat->stretches[i].count) || (source && source->null_count)) return true;
    }
    return false;
}

static void clear_bits(uint8_t *bits, uint64_t first, uint64_t count) {
    for (; count && first % 8; count--) bitmap_clear(bits, first++);
    if (count / 8) memset(bits + first / 8, 0, count / 8);
    first += count / 8 * 8;
    for (count %= 8; count; count--) bitmap_clear(bits, first++);
}

static bool concat_validity(const struct concat *concat, struct column *out) {
    if (!concat_has_nulls(concat)) return true;
    uint8_t *bits = arena_alloc(concat->arena, bitmap_bytes(concat->rows));
    if (!bits) return false;
    memset(bits, 0xFF, bitmap_bytes(concat->rows));
    uint64_t row = 0;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct row_stretch *stretch = &concat->stretches[i];
        const struct column *source = concat->sources[stretch->source];
        if (!source)
            clear_bits(bits, row, stretch->count);
        else if (source->null_count && stretch->count == 1 && !bitmap_get(source->validity, stretch->first))
            bitmap_clear(bits, row);
        else if (source->null_count && stretch->count > 1)
            bitmap_copy(bits, row, source->validity, stretch->first, stretch->count);
        row += stretch->count;
    }
    out->null_count = concat->rows - bitmap_count(bits, concat->rows);
    out->validity = out->null_count ? bits : NULL;
    return true;
}

static bool concat_bools(const struct concat *concat, struct column *out) {
    uint8_t *bits = arena_zalloc(concat->arena, bitmap_bytes(concat->rows));
    out->values = bits;
    if (!bits) return false;
    uint64_t row = 0;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct row_stretch *stretch = &concat->stretches[i];
        const struct column *source = concat->sources[stretch->source];
        if (source) bitmap_copy(bits, row, source->values, stretch->first, stretch->count);
        row += stretch->count;
    }
    return true;
}

static inline void copy_value(uint8_t *to, const uint8_t *from, uint32_t width) {
    switch (width) {
    case 1: *to = *from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    default: memcpy(to, from, 16); break;
    }
}

static bool concat_fixed(const struct concat *concat, uint32_t width, struct column *out) {
    uint8_t *to = arena_alloc(concat->arena, (uint64_t)concat->rows * width);
    out->values = to;
    if (!to) return false;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct row_stretch *stretch = &concat->stretches[i];
        const struct column *source = concat->sources[stretch->source];
        size_t size = (size_t)stretch->count * width;
        const uint8_t *from =
            source && size ? (const uint8_t *)source->values + (uint64_t)stretch->first * width : NULL;
        if (!from)
            memset(to, 0, size);
        else if (stretch->count == 1)
            copy_value(to, from, width);
        else
            memcpy(to, from, size);
        to += size;
    }
    return true;
}

/* New offsets from 0; the ranges of nulls are kept. Null when memory is out or the bound exceeded. */
static uint32_t *concat_offsets(const struct concat *concat) {
    uint32_t *offsets = arena_alloc(concat->arena, ((uint64_t)concat->rows + 1) * sizeof *offsets);
    if (!offsets) return NULL;
    uint32_t *at = offsets;
    uint64_t total = 0;
    *at++ = 0;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct row_stretch *stretch = &concat->stretches[i];
        const struct column *source = concat->sources[stretch->source];
        if (!source) {
            for (uint32_t j = 0; j < stretch->count; j++) *at++ = (uint32_t)total;
        } else if (stretch->count) {
            const uint32_t *from = source->offsets + stretch->first;
            uint32_t shift = (uint32_t)total - from[0]; /* modulo 2^32, as it may be below 0 */
            for (uint32_t j = 1; j <= stretch->count; j++) *at++ = from[j] + shift;
            total += from[stretch->count] - from[0];
            if (total > COLUMN_BYTES_MAX) return NULL;
        }
    }
    return offsets;
}

static bool concat_bytes(const struct concat *concat, struct column *out) {
    uint32_t *offsets = concat_offsets(concat);
    uint8_t *to = offsets ? arena_alloc(concat->arena, offsets[concat->rows]) : NULL;
    out->offsets = offsets;
    out->bytes = to;
    if (!to) return false;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        const struct row_stretch *stretch = &concat->stretches[i];
        const struct column *source = concat->sources[stretch->source];
        if (!source || !stretch->count) continue;
        uint32_t first = source->offsets[stretch->first];
        uint32_t size = source->offsets[stretch->first + stretch->count] - first;
        copy_short(to, source->bytes + first, size);
        to += size;
    }
    return true;
}

/* The elements of the stretches' rows are stretches of the children. */
static bool concat_children(const struct concat *concat, struct column_type element, uint32_t elements,
                            struct column *out) {
    uint32_t source_count = 0;
    for (uint32_t i = 0; i < concat->stretch_count; i++)
        if (concat->stretches[i].source >= source_count) source_count = concat->stretches[i].source + 1;
    const struct column **children = calloc(source_count + 1, sizeof *children);
    struct row_stretch *stretches = malloc((concat->stretch_count + (size_t)1) * sizeof *stretches);
    bool done = false;
    if (!children || !stretches) goto done;
    for (uint32_t i = 0; i < concat->stretch_count; i++) {
        struct row_stretch stretch = concat->stretches[i];
        const struct column *source = concat->sources[stretch.source];
        if (source) children[stretch.source] = source->child;
        uint32_t first = source && stretch.count ? source->offsets[stretch.first] : 0;
        uint32_t end = source && stretch.count ? source->offsets[stretch.first + stretch.count] : 0;
        stretches[i] = (struct row_stretch){stretch.source, first, end - first};
    }
    done = column_concat(concat->arena, element, children, stretches, concat->stretch_count, elements, out);
done:
    free(stretches);
    free(children);
    return done;
}

static bool concat_lists(const struct concat *concat, struct column *out) {
    uint32_t *offsets = concat_offsets(concat);
    struct column *child = arena_alloc(concat->arena, sizeof *child);
    out->offsets = offsets;
    out->child = child;
    if (!offsets || !child) return false;
    return concat_children(concat, column_type_element(out->type), offsets[concat->rows], child);
}

bool column_concat(struct arena *arena, struct column_type type, const struct column *const *sources,
                   const struct row_stretch *stretches, uint32_t stretch_count, uint32_t rows, struct column *out) {
    const struct concat concat = {arena, sources, stretches, stretch_count, rows};
    *out = (struct column){.type = type};
    if (!concat_validity(&concat, out)) return false;
    if (type.kind == COLUMN_BOOL) return concat_bools(&concat, out);
    if (type.kind == COLUMN_LIST) return concat_lists(&concat, out);
    uint32_t width = column_type_width(type);
    return width ? concat_fixed(&concat, width, out) : concat_bytes(&concat, out);
}
