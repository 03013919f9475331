/* See postings.h. Terms are gathered in a hash table (open addressing, at most half full) that points into one buffer
 * of their bytes; each has a bitmap that grows as rows come, in ascending order. What the bytes are: postings.h. */
#include "table/postings.h"

#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "expr/tokens.h"
#include "parquet/codec.h"

enum { VERSION = 2, LONG_LIST_ROWS = 4096, SLOTS_FIRST = 256, TERM_MEMORY = 160 /* an entry and its bitmap, about */ };

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

/* ---- lists ---- */

/* What is gathered of the block that is written. */
struct packer {
    const struct postings_builder *builder;
    int level;
    struct codec_state codec;
    struct buffer head, sizes, lists, list, packed, blocks;
    uint32_t block_terms, block_count;
    struct slice last_term;
};

static void packer_deinit(struct packer *packer) {
    struct buffer *buffers[] = {&packer->head, &packer->sizes,  &packer->lists,
                                &packer->list, &packer->packed, &packer->blocks};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_deinit(buffers[i]);
    codec_state_deinit(&packer->codec);
}

/* The bytes, or a frame of them where that is smaller. False when memory is out. */
static bool pack(struct packer *packer, struct slice bytes, struct slice *packed) {
    *packed = bytes;
    if (!packer->level || !bytes.size) return true;
    buffer_clear(&packer->packed);
    if (codec_compress(&packer->codec, PARQUET_CODEC_ZSTD, packer->level, bytes, &packer->packed, NULL)) return false;
    if (packer->packed.size < bytes.size) *packed = buffer_slice(&packer->packed);
    return true;
}

static bool end_block(struct packer *packer) {
    struct slice packed;
    if (!packer->block_terms) return true;
    bool ok = pack(packer, buffer_slice(&packer->lists), &packed) &&
              buffer_append_varint(&packer->sizes, packer->block_terms) &&
              buffer_append_varint(&packer->sizes, packed.size) &&
              buffer_append(&packer->blocks, packed.data, packed.size);
    packer->block_count++;
    packer->block_terms = 0;
    buffer_clear(&packer->lists);
    return ok;
}

/* The rows of a list as gaps, or as gaps and lengths of runs. */
static bool append_rows(struct buffer *into, const roaring_bitmap_t *rows, bool as_runs) {
    roaring_uint32_iterator_t it;
    uint64_t next = 0; /* behind the last row */
    bool ok = true;
    roaring_init_iterator(rows, &it);
    while (it.has_value && ok) {
        uint32_t first = it.current_value, count = 0;
        do {
            count++;
        } while (roaring_advance_uint32_iterator(&it) && as_runs && it.current_value == first + count);
        ok = buffer_append_varint(into, first - next) && (!as_runs || buffer_append_varint(into, count - 1));
        next = (uint64_t)first + count;
    }
    return ok;
}

static bool add_list(struct packer *packer, const struct posting *posting) {
    const struct postings_builder *builder = packer->builder;
    /* A long list has gaps of its own kind: it begins a block. */
    bool is_long = roaring_bitmap_get_cardinality(posting->rows) >= LONG_LIST_ROWS;
    if (is_long && packer->block_terms && !end_block(packer)) return false;
    struct slice term = term_of(builder, posting);
    size_t shared = 0, before = packer->lists.size;
    while (shared < term.size && shared < packer->last_term.size && term.data[shared] == packer->last_term.data[shared])
        shared++;
    buffer_clear(&packer->list);
    if (!append_rows(&packer->lists, posting->rows, false) || !append_rows(&packer->list, posting->rows, true))
        return false;
    bool as_runs = packer->list.size < packer->lists.size - before;
    if (as_runs) packer->lists.size = before;
    if (as_runs && !buffer_append(&packer->lists, packer->list.data, packer->list.size)) return false;
    packer->last_term = term;
    packer->block_terms++;
    return buffer_append_varint(&packer->head, shared) &&
           buffer_append_string(&packer->head, slice_of(term.data + shared, term.size - shared)) &&
           buffer_append_varint(&packer->head, 2 * (uint64_t)(packer->lists.size - before) + as_runs) &&
           (packer->lists.size < POSTINGS_BLOCK_BYTES || end_block(packer));
}

static bool put_together(struct packer *packer, uint32_t count, struct buffer *into) {
    const uint8_t version[4] = {VERSION};
    struct slice head;
    return buffer_append(&packer->head, packer->sizes.data, packer->sizes.size) &&
           packer->head.size <= POSTINGS_RAW_BYTES_MAX && pack(packer, buffer_slice(&packer->head), &head) &&
           buffer_append(into, version, sizeof version) && buffer_append_u32(into, count) &&
           buffer_append_u32(into, packer->block_count) && buffer_append_u32(into, (uint32_t)packer->head.size) &&
           buffer_append_u32(into, (uint32_t)head.size) && buffer_append(into, head.data, head.size) &&
           buffer_append(into, packer->blocks.data, packer->blocks.size);
}

bool postings_builder_finish(struct postings_builder *builder, int level, struct buffer *into) {
    uint32_t count = entry_count(builder);
    struct packer packer = {.builder = builder, .level = level};
    uint32_t *order = malloc((count + (size_t)1) * sizeof *order);
    bool ok = order != NULL;
    for (uint32_t i = 0; ok && i < count; i++) order[i] = i;
    if (ok && count) qsort_r(order, count, sizeof *order, compare_terms, builder);
    for (uint32_t i = 0; ok && i < count; i++) ok = add_list(&packer, &entries_of(builder)[order[i]]);
    ok = ok && end_block(&packer) && put_together(&packer, count, into);
    packer_deinit(&packer);
    free(order);
    return ok;
}
