/* Reading postings of both versions. See postings.h. */
#include <inttypes.h>
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/codec.h"
#include "table/postings.h"

enum { VERSION_BITMAPS = 1, VERSION = 2 };

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

static bool parse_bitmaps(struct postings_view *view, struct slice bytes) {
    struct reader from = reader_of(bytes);
    if (reader_u32(&from) != VERSION_BITMAPS) return false;
    view->terms = reader_u32(&from);
    view->term_offsets = reader_bytes(&from, 4 * ((uint64_t)view->terms + 1)).data;
    view->bitmap_offsets = reader_bytes(&from, 8 * ((uint64_t)view->terms + 1)).data;
    if (from.failed) return false;
    view->term_bytes = reader_bytes(&from, term_offset(view, view->terms));
    view->bitmap_bytes = reader_bytes(&from, reader_left(&from));
    return !from.failed && view_is_right(view);
}

/* ---- version 1 ---- */

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

/* ---- version 2 ---- */

/* A frame, or the bytes themselves where they are as many. `scratch` holds what comes out of a frame. */
static enum plinth_status unpack(struct codec_state *codec, struct slice packed, uint64_t raw_bytes,
                                 struct buffer *scratch, struct slice *raw, struct plinth_error *error) {
    *raw = packed;
    if (packed.size == raw_bytes) return PLINTH_OK;
    if (packed.size > raw_bytes || raw_bytes > POSTINGS_RAW_BYTES_MAX)
        return error_set(error, PLINTH_CORRUPT, "malformed postings");
    buffer_clear(scratch);
    if (!buffer_reserve(scratch, (size_t)raw_bytes)) return error_no_memory(error, "postings");
    scratch->size = (size_t)raw_bytes;
    *raw = buffer_slice(scratch);
    return codec_decompress(codec, PARQUET_CODEC_ZSTD, packed, scratch->data, scratch->size, error);
}

/* The terms, and as 64-bit numbers where their lists begin if all stood one behind the other, with the kind of the list
 * in the lowest bit. */
static enum plinth_status parse_terms(struct postings_view *view, struct reader *from) {
    size_t last = 0, count = view->terms; /* where the last term begins */
    uint64_t at = 0;
    if (count > reader_left(from)) return PLINTH_CORRUPT; /* each takes more than a byte */
    if (!buffer_reserve(&view->ends_owned, (count + 1) * (sizeof(uint32_t) + sizeof(uint64_t))))
        return PLINTH_OUT_OF_MEMORY;
    uint8_t *term_offsets = view->ends_owned.data, *lists = term_offsets + (count + 1) * sizeof(uint32_t);
    for (size_t i = 0; i < count; i++) {
        struct buffer *bytes = &view->terms_owned;
        uint64_t shared = reader_varint(from);
        struct slice rest = reader_string(from);
        uint64_t list = reader_varint(from);
        size_t begin = bytes->size;
        if (from->failed || shared > begin - last || list / 2 > POSTINGS_RAW_BYTES_MAX ||
            begin + shared + rest.size > POSTINGS_RAW_BYTES_MAX)
            return PLINTH_CORRUPT;
        if (!buffer_reserve(bytes, shared + rest.size + 1)) return PLINTH_OUT_OF_MEMORY;
        memcpy(bytes->data + begin, bytes->data + last, shared);
        memcpy(bytes->data + begin + shared, rest.data, rest.size);
        bytes->size += shared + rest.size;
        store_u32(term_offsets + 4 * i, (uint32_t)begin);
        store_u64(lists + 8 * i, 2 * at + (list & 1));
        at += list / 2;
        last = begin;
    }
    store_u32(term_offsets + 4 * count, (uint32_t)view->terms_owned.size);
    store_u64(lists + 8 * count, 2 * at);
    view->term_offsets = term_offsets;
    view->bitmap_offsets = lists;
    view->term_bytes = buffer_slice(&view->terms_owned);
    for (uint32_t i = 1; i < view->terms; i++)
        if (slice_compare(postings_view_term(view, i - 1), postings_view_term(view, i)) >= 0) return PLINTH_CORRUPT;
    return PLINTH_OK;
}

static uint64_t list_offset(const struct postings_view *view, uint32_t i) { return bitmap_offset(view, i) / 2; }

/* The blocks: they have all lists, and nothing is behind them. */
static enum plinth_status parse_blocks(struct postings_view *view, struct reader *sizes, struct reader *from) {
    uint64_t term = 0;
    if (view->block_count > view->terms) return PLINTH_CORRUPT;
    if (!buffer_reserve(&view->lists_owned, (view->block_count + (size_t)1) * sizeof(struct postings_lists)))
        return PLINTH_OUT_OF_MEMORY;
    struct postings_lists *blocks = (struct postings_lists *)(void *)view->lists_owned.data;
    for (uint32_t i = 0; i < view->block_count; i++) {
        uint64_t count = reader_varint(sizes), bytes = reader_varint(sizes);
        if (sizes->failed || count == 0 || count > view->terms - term) return PLINTH_CORRUPT;
        blocks[i].first_term = (uint32_t)term;
        blocks[i].raw_bytes = list_offset(view, (uint32_t)(term + count)) - list_offset(view, (uint32_t)term);
        blocks[i].packed = reader_bytes(from, bytes);
        term += count;
    }
    view->blocks = blocks;
    bool is_all = !sizes->failed && !reader_left(sizes) && !from->failed && !reader_left(from) && term == view->terms;
    return is_all ? PLINTH_OK : PLINTH_CORRUPT;
}

static enum plinth_status parse_lists(struct postings_view *view, struct slice bytes, struct plinth_error *error) {
    struct reader from = reader_of(bytes);
    struct buffer scratch = BUFFER_INIT;
    struct codec_state codec = {0};
    struct slice head = {0};
    bool is_ours = reader_u32(&from) == VERSION;
    view->terms = reader_u32(&from);
    view->block_count = reader_u32(&from);
    uint32_t head_bytes = reader_u32(&from), packed_bytes = reader_u32(&from);
    struct slice packed = reader_bytes(&from, packed_bytes);
    enum plinth_status st = PLINTH_OK;
    if (!is_ours || from.failed || view->terms == UINT32_MAX)
        st = error_set(error, PLINTH_CORRUPT, "malformed postings");
    if (!st) st = unpack(&codec, packed, head_bytes, &scratch, &head, error);
    struct reader of_head = reader_of(head);
    enum plinth_status parsed = st ? st : parse_terms(view, &of_head);
    if (!parsed) parsed = parse_blocks(view, &of_head, &from);
    if (!st && parsed == PLINTH_OUT_OF_MEMORY) st = error_no_memory(error, "postings");
    if (!st && parsed) st = error_set(error, parsed, "malformed postings");
    codec_state_deinit(&codec);
    buffer_deinit(&scratch);
    return st;
}

static bool add_listed(struct slice list, bool is_runs, uint64_t row_count, roaring_bitmap_t *rows) {
    struct reader from = reader_of(list);
    uint32_t numbers[256], filled = 0;
    uint64_t next = 0;
    while (reader_left(&from)) {
        uint64_t gap = reader_varint(&from), more = is_runs ? reader_varint(&from) : 0;
        if (from.failed || gap >= row_count - next || more >= row_count - next - gap) return false;
        next += gap;
        if (is_runs) {
            roaring_bitmap_add_range_closed(rows, (uint32_t)next, (uint32_t)(next + more));
        } else {
            numbers[filled++] = (uint32_t)next;
            if (filled == sizeof numbers / sizeof *numbers || !reader_left(&from)) {
                roaring_bitmap_add_many(rows, filled, numbers);
                filled = 0;
            }
        }
        next += more + 1;
        if (next == row_count) break;
    }
    if (filled) roaring_bitmap_add_many(rows, filled, numbers);
    return !reader_left(&from);
}

/* The rows of a term, added to an empty bitmap. */
static enum plinth_status read_list(const struct postings_view *view, uint32_t number, uint64_t row_count,
                                    roaring_bitmap_t *rows, struct plinth_error *error) {
    uint32_t low = 0, high = view->block_count; /* the last block that does not begin behind the term */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (view->blocks[middle].first_term <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const struct postings_lists *block = &view->blocks[low];
    struct codec_state codec = {0};
    struct buffer scratch = BUFFER_INIT;
    struct slice raw;
    enum plinth_status st = unpack(&codec, block->packed, block->raw_bytes, &scratch, &raw, error);
    if (!st) {
        uint64_t begin = list_offset(view, number) - list_offset(view, block->first_term);
        uint64_t end = list_offset(view, number + 1) - list_offset(view, block->first_term);
        bool is_runs = bitmap_offset(view, number) & 1;
        if (!add_listed(slice_of(raw.data + begin, (size_t)(end - begin)), is_runs, row_count, rows))
            st = error_set(error, PLINTH_CORRUPT, "postings: the list of term %" PRIu32 " is malformed", number);
    }
    codec_state_deinit(&codec);
    buffer_deinit(&scratch);
    return st;
}

/* ---- both ---- */

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
    created->version = bytes.size ? bytes.data[0] : 0;
    enum plinth_status st = PLINTH_OK;
    if (created->version == VERSION)
        st = parse_lists(created, bytes, error);
    else if (!parse_bitmaps(created, bytes))
        st = error_set(error, PLINTH_CORRUPT, "malformed postings");
    if (st) {
        postings_view_destroy(created);
        return st;
    }
    *view = created;
    return PLINTH_OK;
}

void postings_view_destroy(struct postings_view *view) {
    if (!view) return;
    buffer_deinit(&view->owned);
    buffer_deinit(&view->terms_owned);
    buffer_deinit(&view->ends_owned);
    buffer_deinit(&view->lists_owned);
    free(view);
}

uint64_t postings_view_memory(const struct postings_view *view) {
    return sizeof *view + view->owned.capacity + view->terms_owned.capacity + view->ends_owned.capacity +
           view->lists_owned.capacity;
}

enum plinth_status postings_view_rows(const struct postings_view *view, uint32_t number, uint64_t row_count,
                                      struct roaring_bitmap_s **rows, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *rows = roaring_bitmap_create();
    if (!*rows) return error_no_memory(error, "postings");
    if (view->version == VERSION) {
        st = read_list(view, number, row_count, *rows, error);
    } else {
        uint64_t begin = bitmap_offset(view, number), end = bitmap_offset(view, number + 1);
        struct reader from = reader_of(slice_of(view->bitmap_bytes.data + begin, (size_t)(end - begin)));
        bool ok = add_containers(&from, *rows);
        if (!ok || (!roaring_bitmap_is_empty(*rows) && roaring_bitmap_maximum(*rows) >= row_count))
            st = error_set(error, PLINTH_CORRUPT, "postings: the bitmap of term %" PRIu32 " is malformed", number);
    }
    if (!st && roaring_bitmap_is_empty(*rows))
        st = error_set(error, PLINTH_CORRUPT, "postings: term %" PRIu32 " has no rows", number);
    if (!st) return PLINTH_OK;
    roaring_bitmap_free(*rows);
    *rows = NULL;
    return st;
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
