/* See postings.h. Terms are gathered in a hash table (open addressing, at most half full) that points into one buffer
 * of their bytes; each has a bitmap that grows as rows come, in ascending order. */
#include "table/postings.h"

#include <inttypes.h>
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "expr/tokens.h"

enum { VERSION = 1, HEAD_BYTES = 8, SLOTS_FIRST = 256, TERM_MEMORY = 160 /* an entry and its bitmap, about */ };

/* ---- writing ---- */

struct posting {
    uint64_t hash;
    uint32_t term_offset, term_size;
    uint32_t last_row; /* the last one added, when there is one */
    roaring_bitmap_t *rows;
};

struct postings_builder {
    enum index_kind kind;
    bool has_overflowed;
    struct buffer terms;   /* the terms' bytes */
    struct buffer entries; /* struct posting */
    uint32_t *slots;       /* 1 + index in entries; 0: empty */
    uint32_t slot_count;
    uint64_t additions; /* rows in bitmaps: at most 2 bytes each */
    struct buffer term; /* of the value at hand */
};

struct postings_builder *postings_builder_create(enum index_kind kind) {
    struct postings_builder *builder = calloc(1, sizeof *builder);
    if (!builder) return NULL;
    builder->kind = kind;
    builder->slot_count = SLOTS_FIRST;
    builder->slots = calloc(SLOTS_FIRST, sizeof *builder->slots);
    if (builder->slots) return builder;
    free(builder);
    return NULL;
}

static struct posting *entries_of(const struct postings_builder *builder) {
    return (struct posting *)(void *)builder->entries.data;
}

static uint32_t entry_count(const struct postings_builder *builder) {
    return (uint32_t)(builder->entries.size / sizeof(struct posting));
}

static void forget(struct postings_builder *builder) {
    for (uint32_t i = 0; i < entry_count(builder); i++) roaring_bitmap_free(entries_of(builder)[i].rows);
    buffer_deinit(&builder->entries);
    buffer_deinit(&builder->terms);
    free(builder->slots);
    builder->slots = NULL;
}

void postings_builder_destroy(struct postings_builder *builder) {
    if (!builder) return;
    forget(builder);
    buffer_deinit(&builder->term);
    free(builder);
}

bool postings_builder_overflowed(const struct postings_builder *builder) { return builder->has_overflowed; }

static bool grow(struct postings_builder *builder) {
    uint32_t count = builder->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < entry_count(builder); i++) {
        uint32_t at = (uint32_t)entries_of(builder)[i].hash & (count - 1);
        while (slots[at]) at = (at + 1) & (count - 1);
        slots[at] = i + 1;
    }
    free(builder->slots);
    builder->slots = slots;
    builder->slot_count = count;
    return true;
}

static struct slice term_of(const struct postings_builder *builder, const struct posting *posting) {
    return slice_of(builder->terms.data + posting->term_offset, posting->term_size);
}

/* The entry of a term, made when it is new; null when memory is out. */
static struct posting *find_term(struct postings_builder *builder, struct slice term) {
    uint64_t hash = hash_fast(term.data, term.size);
    uint32_t mask = builder->slot_count - 1, at = (uint32_t)hash & mask;
    for (; builder->slots[at]; at = (at + 1) & mask) {
        struct posting *posting = &entries_of(builder)[builder->slots[at] - 1];
        if (posting->hash == hash && slice_equal(term_of(builder, posting), term)) return posting;
    }
    struct posting posting = {.hash = hash,
                              .term_offset = (uint32_t)builder->terms.size,
                              .term_size = (uint32_t)term.size,
                              .rows = roaring_bitmap_create()};
    if (!posting.rows) return NULL;
    if (!buffer_append(&builder->terms, term.data, term.size) ||
        !buffer_append(&builder->entries, &posting, sizeof posting)) {
        roaring_bitmap_free(posting.rows);
        return NULL;
    }
    builder->slots[at] = entry_count(builder);
    if (entry_count(builder) * 2 > builder->slot_count && !grow(builder)) return NULL;
    return &entries_of(builder)[entry_count(builder) - 1];
}

static bool is_over(const struct postings_builder *builder) {
    uint32_t count = entry_count(builder),
             most = builder->kind == INDEX_TOKEN ? POSTINGS_WORDS_MAX : POSTINGS_TERMS_MAX;
    uint64_t memory = (uint64_t)count * TERM_MEMORY + builder->terms.size + builder->additions * 2;
    return count > most || memory > POSTINGS_MEMORY_MAX;
}

static bool add_term(struct postings_builder *builder, struct slice term, uint32_t row) {
    struct posting *posting = find_term(builder, term);
    if (!posting) return false;
    if (posting->last_row == row && !roaring_bitmap_is_empty(posting->rows)) return true; /* a word twice in a text */
    roaring_bitmap_add(posting->rows, row);
    posting->last_row = row;
    builder->additions++;
    return true;
}

bool postings_append_term(struct buffer *into, const struct column *column, uint32_t row) {
    return row_key_append_part(into, column, row, ROW_KEY_PRIMARY, true);
}

static bool add_words(struct postings_builder *builder, struct slice text, uint32_t row) {
    struct token_reader tokens = {.text = text};
    uint8_t word[TOKEN_BYTES_MAX];
    size_t size;
    while (token_next(&tokens, word, &size))
        if (!add_term(builder, slice_of(word, size), row)) return false;
    return true;
}

static bool add_value(struct postings_builder *builder, const struct column *column, uint32_t i, uint32_t row) {
    if (builder->kind == INDEX_TOKEN) return add_words(builder, column_bytes_at(column, i), row);
    buffer_clear(&builder->term);
    return postings_append_term(&builder->term, column, i) && add_term(builder, buffer_slice(&builder->term), row);
}

bool postings_builder_add(struct postings_builder *builder, const struct column *column, uint32_t rows,
                          uint64_t first_row) {
    if (builder->has_overflowed) return true;
    bool fits_kind =
        builder->kind == INDEX_TOKEN ? column->type.kind == COLUMN_STRING : row_key_type_is_allowed(column->type);
    if (!fits_kind || first_row + rows > UINT32_MAX) builder->has_overflowed = true;
    for (uint32_t i = 0; i < rows && !builder->has_overflowed; i++) {
        if (column_is_null(column, i)) continue;
        if (!add_value(builder, column, i, (uint32_t)first_row + i)) return false;
        if (is_over(builder)) builder->has_overflowed = true;
    }
    if (builder->has_overflowed) forget(builder);
    return true;
}

static int compare_terms(const void *a, const void *b, void *context) {
    const struct postings_builder *builder = context;
    const struct posting *entries = entries_of(builder);
    return slice_compare(term_of(builder, &entries[*(const uint32_t *)a]),
                         term_of(builder, &entries[*(const uint32_t *)b]));
}

static bool append_offsets(struct buffer *into, const struct postings_builder *builder, const uint32_t *order) {
    const struct posting *entries = entries_of(builder);
    uint32_t count = entry_count(builder), term_offset = 0;
    uint64_t bitmap_offset = 0;
    bool ok = true;
    for (uint32_t i = 0; i <= count && ok; i++) {
        ok = buffer_append_u32(into, term_offset);
        if (i < count) term_offset += entries[order[i]].term_size;
    }
    for (uint32_t i = 0; i <= count && ok; i++) {
        ok = buffer_append_u64(into, bitmap_offset);
        if (i < count) bitmap_offset += roaring_bitmap_portable_size_in_bytes(entries[order[i]].rows);
    }
    return ok;
}

bool postings_builder_finish(struct postings_builder *builder, struct buffer *into) {
    uint32_t count = entry_count(builder);
    const uint8_t head[4] = {VERSION};
    uint32_t *order = malloc((count + (size_t)1) * sizeof *order);
    bool ok = order && buffer_append(into, head, sizeof head) && buffer_append_u32(into, count);
    for (uint32_t i = 0; ok && i < count; i++) {
        order[i] = i;
        roaring_bitmap_run_optimize(entries_of(builder)[i].rows);
    }
    if (ok && count) qsort_r(order, count, sizeof *order, compare_terms, builder);
    ok = ok && append_offsets(into, builder, order);
    for (uint32_t i = 0; ok && i < count; i++) {
        struct slice term = term_of(builder, &entries_of(builder)[order[i]]);
        ok = buffer_append(into, term.data, term.size);
    }
    for (uint32_t i = 0; ok && i < count; i++) {
        const roaring_bitmap_t *rows = entries_of(builder)[order[i]].rows;
        size_t size = roaring_bitmap_portable_size_in_bytes(rows);
        ok = buffer_reserve(into, size);
        if (ok) into->size += roaring_bitmap_portable_serialize(rows, (char *)into->data + into->size);
    }
    free(order);
    return ok;
}

/* ---- reading ---- */

static uint32_t term_offset(const struct postings_view *view, uint32_t i) {
    return load_u32(view->term_offsets + 4 * (size_t)i);
}
static uint64_t bitmap_offset(const struct postings_view *view, uint32_t i) {
    return load_u64(view->bitmap_offsets + 8 * (size_t)i);
}

struct slice postings_view_term(const struct postings_view *view, uint32_t number) {
    uint32_t begin = term_offset(view, number);
    return slice_of(view->term_bytes.data + begin, term_offset(view, number + 1) - begin);
}

/* Offsets ascend to the ends, and terms ascend. */
static bool view_is_right(const struct postings_view *view) {
    if (term_offset(view, 0) || bitmap_offset(view, 0)) return false;
    for (uint32_t i = 0; i < view->terms; i++)
        if (term_offset(view, i) > term_offset(view, i + 1) || bitmap_offset(view, i) > bitmap_offset(view, i + 1))
            return false;
    if (term_offset(view, view->terms) != view->term_bytes.size ||
        bitmap_offset(view, view->terms) != view->bitmap_bytes.size)
        return false;
    for (uint32_t i = 1; i < view->terms; i++)
        if (slice_compare(postings_view_term(view, i - 1), postings_view_term(view, i)) >= 0) return false;
    return true;
}

static bool view_parse(struct postings_view *view, struct slice bytes) {
    struct reader from = reader_of(bytes);
    if (reader_u32(&from) != VERSION) return false;
    view->terms = reader_u32(&from);
    view->term_offsets = reader_bytes(&from, 4 * ((uint64_t)view->terms + 1)).data;
    view->bitmap_offsets = reader_bytes(&from, 8 * ((uint64_t)view->terms + 1)).data;
    if (from.failed) return false;
    view->term_bytes = reader_bytes(&from, term_offset(view, view->terms));
    view->bitmap_bytes = reader_bytes(&from, reader_left(&from));
    return !from.failed && view_is_right(view);
}

enum plinth_status postings_view_create(struct slice bytes, struct buffer *owned, struct postings_view **view,
                                        struct plinth_error *error) {
    *view = NULL;
    struct postings_view *created = calloc(1, sizeof *created);
    if (!created) {
        buffer_deinit(owned);
        return error_no_memory(error, "postings");
    }
    created->owned = *owned;
    *owned = (struct buffer)BUFFER_INIT;
    if (!view_parse(created, bytes)) {
        postings_view_destroy(created);
        return error_set(error, PLINTH_CORRUPT, "malformed postings");
    }
    *view = created;
    return PLINTH_OK;
}

void postings_view_destroy(struct postings_view *view) {
    if (!view) return;
    buffer_deinit(&view->owned);
    free(view);
}

/* Roaring's portable format (RoaringFormatSpec): its own reader checks sizes, but not what stands in the containers. So
 * it is read here, and the bitmap made of what was found. */
enum { COOKIE_NO_RUNS = 12346, COOKIE_RUNS = 12347, NO_OFFSETS_BELOW = 4, ARRAY_MAX = 4096, CONTAINER_BITS = 65536 };

static bool add_array(struct reader *from, roaring_bitmap_t *rows, uint32_t base, uint32_t count) {
    struct slice values = reader_bytes(from, 2 * (uint64_t)count);
    uint32_t numbers[256], filled = 0;
    int64_t last = -1;
    for (uint32_t i = 0; !from->failed && i < count; i++) {
        uint16_t value = load_u16(values.data + 2 * (size_t)i);
        if (value <= last) return false;
        last = value;
        numbers[filled++] = base | value;
        if (filled == 256 || i + 1 == count) {
            roaring_bitmap_add_many(rows, filled, numbers);
            filled = 0;
        }
    }
    return !from->failed;
}

static bool add_bitset(struct reader *from, roaring_bitmap_t *rows, uint32_t base, uint32_t count) {
    struct slice words = reader_bytes(from, CONTAINER_BITS / 8);
    uint32_t found = 0;
    for (uint32_t i = 0; !from->failed && i < CONTAINER_BITS / 64; i++) {
        uint32_t numbers[64], filled = 0;
        for (uint64_t word = load_u64(words.data + 8 * (size_t)i); word; word &= word - 1)
            numbers[filled++] = base | (i * 64 + (uint32_t)__builtin_ctzll(word));
        if (filled) roaring_bitmap_add_many(rows, filled, numbers);
        found += filled;
    }
    return !from->failed && found == count;
}

static bool add_runs(struct reader *from, roaring_bitmap_t *rows, uint32_t base, uint32_t count) {
    struct slice head = reader_bytes(from, 2);
    uint32_t runs = from->failed ? 0 : load_u16(head.data), found = 0;
    struct slice bytes = reader_bytes(from, 4 * (uint64_t)runs);
    int64_t last = -1;
    for (uint32_t i = 0; !from->failed && i < runs; i++) {
        uint32_t first = load_u16(bytes.data + 4 * (size_t)i), more = load_u16(bytes.data + 4 * (size_t)i + 2);
        if (first <= last || first + more >= CONTAINER_BITS) return false;
        roaring_bitmap_add_range_closed(rows, base | first, base | (first + more));
        last = (int64_t)first + more;
        found += more + 1;
    }
    return !from->failed && found == count;
}

static bool add_containers(struct reader *from, roaring_bitmap_t *rows) {
    uint32_t cookie = reader_u32(from), count;
    struct slice run_flags = {0};
    if ((cookie & 0xFFFF) == COOKIE_RUNS) {
        count = (cookie >> 16) + 1;
        run_flags = reader_bytes(from, (count + 7) / 8);
    } else {
        count = reader_u32(from);
        if (cookie != COOKIE_NO_RUNS || count > CONTAINER_BITS) return false;
    }
    struct slice heads = reader_bytes(from, 4 * (uint64_t)count);
    if (!run_flags.data || count >= NO_OFFSETS_BELOW) (void)reader_bytes(from, 4 * (uint64_t)count);
    int64_t last = -1;
    for (uint32_t i = 0; !from->failed && i < count; i++) {
        uint32_t high = load_u16(heads.data + 4 * (size_t)i), size = load_u16(heads.data + 4 * (size_t)i + 2) + 1u;
        bool is_run = run_flags.data && bitmap_get(run_flags.data, i), ok;
        if (high <= last) return false;
        last = high;
        if (is_run)
            ok = add_runs(from, rows, high << 16, size);
        else
            ok = size <= ARRAY_MAX ? add_array(from, rows, high << 16, size) : add_bitset(from, rows, high << 16, size);
        if (!ok) return false;
    }
    return !from->failed && !reader_left(from);
}

enum plinth_status postings_view_rows(const struct postings_view *view, uint32_t number, uint64_t row_count,
                                      struct roaring_bitmap_s **rows, struct plinth_error *error) {
    uint64_t begin = bitmap_offset(view, number);
    struct reader from =
        reader_of(slice_of(view->bitmap_bytes.data + begin, (size_t)(bitmap_offset(view, number + 1) - begin)));
    *rows = roaring_bitmap_create();
    if (!*rows) return error_no_memory(error, "postings");
    if (add_containers(&from, *rows) && !roaring_bitmap_is_empty(*rows) && roaring_bitmap_maximum(*rows) < row_count)
        return PLINTH_OK;
    roaring_bitmap_free(*rows);
    *rows = NULL;
    return error_set(error, PLINTH_CORRUPT, "postings: the bitmap of term %" PRIu32 " is malformed", number);
}

enum plinth_status postings_view_find(const struct postings_view *view, struct slice term, uint64_t row_count,
                                      struct roaring_bitmap_s **rows, struct plinth_error *error) {
    uint32_t low = 0, high = view->terms;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(postings_view_term(view, middle), term) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < view->terms && slice_equal(postings_view_term(view, low), term))
        return postings_view_rows(view, low, row_count, rows, error);
    *rows = roaring_bitmap_create();
    return *rows ? PLINTH_OK : error_no_memory(error, "postings");
}
