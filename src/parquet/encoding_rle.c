/* The RLE / bit-packed hybrid. See encoding_rle.h. */
#include "parquet/encoding_rle.h"

#include "base/status.h"
#include "parquet/bits.h"

/* The runs of untrusted bytes, one after the other. */
struct run_cursor {
    const uint8_t *at;
    const uint8_t *end;
    unsigned width;
};

struct run {
    uint32_t count;
    bool is_packed;
    uint32_t value;      /* of a repeated run */
    struct slice packed; /* of a packed one: at least `count` values */
};

static enum plinth_status truncated(struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "RLE data ends too early");
}

static bool next_header(struct run_cursor *cursor, uint32_t *header) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *header = (uint32_t)value;
            return value <= UINT32_MAX;
        }
    }
    return false;
}

/* The next run, cut to the `wanted` (> 0) values that are still needed. Every call takes at least one byte of input, so
 * that empty runs end too. */
static enum plinth_status next_run(struct run_cursor *cursor, uint32_t wanted, struct run *run,
                                   struct plinth_error *error) {
    uint32_t header;
    *run = (struct run){0};
    if (!next_header(cursor, &header)) return truncated(error);
    size_t left = (size_t)(cursor->end - cursor->at);
    uint64_t count = header & 1 ? (uint64_t)(header >> 1) * 8 : header >> 1;
    run->count = count < wanted ? (uint32_t)count : wanted;
    run->is_packed = header & 1;
    if (run->is_packed) {
        if (bits_bytes(run->count, cursor->width) > left) return truncated(error);
        uint64_t bytes = bits_bytes(count, cursor->width);
        run->packed = slice_of(cursor->at, left); /* of which unpacking may read more than it needs */
        cursor->at += bytes < left ? (size_t)bytes : left;
        return PLINTH_OK;
    }
    unsigned value_bytes = (cursor->width + 7) / 8;
    if (value_bytes > left) return truncated(error);
    for (unsigned i = 0; i < value_bytes; i++) run->value |= (uint32_t)*cursor->at++ << (8 * i);
    if (cursor->width < 32 && run->value >> cursor->width)
        return error_set(error, PLINTH_CORRUPT, "RLE data repeats the value %u, which is longer than %u bits",
                         run->value, cursor->width);
    return PLINTH_OK;
}

static struct run_cursor cursor_of(struct slice in, unsigned width) {
    return (struct run_cursor){in.data, in.data ? in.data + in.size : NULL, width};
}

enum plinth_status rle_decode_u32(struct slice in, unsigned width, uint32_t count, uint32_t *out,
                                  struct plinth_error *error) {
    struct run_cursor cursor = cursor_of(in, width);
    struct run run;
    for (uint32_t i = 0; i < count; i += run.count) {
        enum plinth_status st = next_run(&cursor, count - i, &run, error);
        if (st) return st;
        if (run.is_packed)
            bits_unpack_u32(run.packed.data, run.packed.size, width, run.count, out + i);
        else
            for (uint32_t k = 0; k < run.count; k++) out[i + k] = run.value;
    }
    return PLINTH_OK;
}

/* Eight levels of 1 or 2 bits spread to bytes. */
static inline uint64_t spread_1(uint64_t packed) {
    uint64_t in_place = packed * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
    return (in_place + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & UINT64_C(0x0101010101010101);
}

static inline uint64_t spread_2(uint64_t packed) {
    packed = (packed | packed << 24) & UINT64_C(0x000000ff000000ff);
    packed = (packed | packed << 12) & UINT64_C(0x000f000f000f000f);
    return (packed | packed << 6) & UINT64_C(0x0303030303030303);
}

/* Unpacks whole groups of eight levels of 1 or 2 bits; returns how many levels. */
static uint32_t unpack_narrow_levels(const uint8_t *packed, unsigned width, uint32_t count, uint8_t *out) {
    uint32_t groups = count / 8;
    if (width == 1)
        for (uint32_t i = 0; i < groups; i++) store_u64(out + i * 8, spread_1(packed[i]));
    else if (width == 2)
        for (uint32_t i = 0; i < groups; i++) store_u64(out + i * 8, spread_2(load_u16(packed + i * 2)));
    else
        return 0;
    return groups * 8;
}

static void unpack_levels(struct slice packed, unsigned width, uint32_t count, uint8_t *out) {
    enum { STEP = 256 };
    uint32_t unpacked[STEP];
    for (uint32_t i = unpack_narrow_levels(packed.data, width, count, out); i < count; i += STEP) {
        uint32_t step = count - i < STEP ? count - i : STEP; /* begins on a byte */
        size_t skip = (size_t)bits_bytes(i, width);
        bits_unpack_u32(packed.data + skip, packed.size - skip, width, step, unpacked);
        for (uint32_t j = 0; j < step; j++) out[i + j] = (uint8_t)unpacked[j];
    }
}

static uint8_t highest_level(const uint8_t *levels, uint32_t count) {
    typedef uint8_t lanes __attribute__((vector_size(16)));
    lanes highest = {0};
    uint32_t i = 0;
    uint8_t level = 0;
    for (; count - i >= sizeof highest; i += sizeof highest) {
        lanes here;
        memcpy(&here, levels + i, sizeof here);
        lanes is_higher = here > highest;
        highest = (here & is_higher) | (highest & ~is_higher);
    }
    for (; i < count; i++) level = levels[i] > level ? levels[i] : level;
    for (size_t k = 0; k < sizeof highest; k++) level = highest[k] > level ? highest[k] : level;
    return level;
}

enum plinth_status rle_decode_levels(struct slice in, uint8_t level_max, uint32_t count, uint8_t *out,
                                     struct plinth_error *error) {
    struct run_cursor cursor = cursor_of(in, bits_width_u64(level_max));
    struct run run;
    for (uint32_t i = 0; i < count; i += run.count) {
        enum plinth_status st = next_run(&cursor, count - i, &run, error);
        if (st) return st;
        if (run.is_packed)
            unpack_levels(run.packed, cursor.width, run.count, out + i);
        else if (run.count)
            memset(out + i, (int)run.value, run.count);
    }
    uint8_t highest = level_max == (1u << cursor.width) - 1 ? 0 : highest_level(out, count); /* or none can be above */
    if (highest > level_max)
        return error_set(error, PLINTH_CORRUPT, "a level is %u, but at most %u is possible", highest, level_max);
    return PLINTH_OK;
}

enum plinth_status rle_decode_bitmap(struct slice in, uint32_t count, uint8_t *bitmap, struct plinth_error *error) {
    struct run_cursor cursor = cursor_of(in, 1);
    struct run run;
    if (count > 0) bitmap[(count - 1) >> 3] = 0;
    for (uint32_t i = 0; i < count; i += run.count) {
        enum plinth_status st = next_run(&cursor, count - i, &run, error);
        if (st) return st;
        if (run.is_packed)
            bits_copy(bitmap, i, run.packed.data, 0, run.count);
        else
            bits_fill(bitmap, i, run.count, run.value != 0);
    }
    return PLINTH_OK;
}

enum plinth_status bit_packed_decode_levels(struct slice in, uint8_t level_max, uint32_t count, uint8_t *out,
                                            struct plinth_error *error) {
    unsigned width = bits_width_u64(level_max);
    if (bits_bytes(count, width) > in.size) return truncated(error);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        unsigned level = 0;
        for (unsigned bit = 0; bit < width; bit++, at++)
            level = level << 1 | ((in.data[at >> 3] >> (7 - (at & 7))) & 1);
        if (level > level_max)
            return error_set(error, PLINTH_CORRUPT, "a level is %u, but at most %u is possible", level, level_max);
        out[i] = (uint8_t)level;
    }
    return PLINTH_OK;
}

static bool put_packed(const uint32_t *values, uint32_t count, unsigned width, struct buffer *out) {
    uint32_t groups = (count + 7) / 8;
    if (count == 0) return true;
    size_t bytes = (size_t)groups * width;
    if (!buffer_append_varint(out, (uint64_t)groups << 1 | 1) || !buffer_reserve(out, bytes + BITS_PACK_SLACK))
        return false;
    uint8_t *packed = out->data + out->size;
    memset(packed + bytes - width, 0, width); /* the padding of the last group */
    bits_pack_u32(values, count, width, packed);
    out->size += bytes;
    return true;
}

static bool put_repeated(uint32_t value, uint32_t count, unsigned width, struct buffer *out) {
    return buffer_append_varint(out, (uint64_t)count << 1) && buffer_append(out, &value, (width + 7) / 8);
}

/* A packed run holds a multiple of 8 values, so a repetition first fills up the packed values before it, and is
 * worth a run of its own when 8 are left then. */
static uint32_t fill_of(uint32_t packed) { return (8 - packed % 8) % 8; }

bool rle_encode_u32(const uint32_t *values, uint32_t count, unsigned width, struct buffer *out) {
    uint32_t packed_begin = 0, i = 0;
    while (i < count) {
        /* No run of 8 begins here, or ends before what is compared: another run begins there. */
        while (count - i > 8 && values[i + 6] != values[i + 7]) i += 7;
        uint32_t run = 1;
        while (run < count - i && values[i + run] == values[i]) run++;
        uint32_t fill = fill_of(i - packed_begin);
        if (run >= fill + 8) {
            if (!put_packed(values + packed_begin, i + fill - packed_begin, width, out) ||
                !put_repeated(values[i], run - fill, width, out))
                return false;
            packed_begin = i + run;
        }
        i += run;
    }
    return put_packed(values + packed_begin, count - packed_begin, width, out);
}

/* Eight levels at a time, each group of them in `width` bytes. */
static void pack_levels(const uint8_t *levels, uint32_t count, unsigned width, uint8_t *out) {
    for (uint32_t i = 0; i < count; i += 8, out += width) {
        uint64_t group = 0;
        uint32_t many = count - i < 8 ? count - i : 8;
        for (uint32_t k = 0; k < many; k++) group |= (uint64_t)levels[i + k] << (k * width);
        memcpy(out, &group, width);
    }
}

static bool put_packed_levels(const uint8_t *levels, uint32_t count, unsigned width, struct buffer *out) {
    uint32_t groups = (count + 7) / 8;
    if (count == 0) return true;
    if (!buffer_append_varint(out, (uint64_t)groups << 1 | 1) || !buffer_reserve(out, (size_t)groups * width))
        return false;
    pack_levels(levels, count, width, out->data + out->size);
    out->size += (size_t)groups * width;
    return true;
}

/* How many levels equal the first one, compared in words. */
static uint32_t level_run(const uint8_t *levels, uint32_t most) {
    const uint64_t all = levels[0] * UINT64_C(0x0101010101010101);
    uint32_t run = 1;
    while (most - run >= 8) {
        uint64_t differs = load_u64(levels + run) ^ all;
        if (differs) return run + (uint32_t)__builtin_ctzll(differs) / 8;
        run += 8;
    }
    while (run < most && levels[run] == levels[0]) run++;
    return run;
}

bool rle_encode_levels(const uint8_t *levels, uint32_t count, uint8_t level_max, struct buffer *out) {
    unsigned width = bits_width_u64(level_max);
    uint32_t packed_begin = 0, i = 0;
    while (i < count) {
        uint32_t run = level_run(levels + i, count - i), fill = fill_of(i - packed_begin);
        if (run >= fill + 32 / width) { /* short repetitions are not worth a break */
            if (!put_packed_levels(levels + packed_begin, i + fill - packed_begin, width, out) ||
                !put_repeated(levels[i], run - fill, width, out))
                return false;
            packed_begin = i + run;
        }
        i += run;
    }
    return put_packed_levels(levels + packed_begin, count - packed_begin, width, out);
}

static bool put_packed_bits(const uint8_t *bitmap, uint64_t begin, uint32_t count, struct buffer *out) {
    uint32_t groups = (count + 7) / 8;
    if (count == 0) return true;
    if (!buffer_append_varint(out, (uint64_t)groups << 1 | 1) || !buffer_append_zeros(out, groups)) return false;
    bits_copy(out->data + out->size - groups, 0, bitmap, begin, count);
    return true;
}

/* Eight bits from bit `at` on. */
static inline uint8_t group_at(const uint8_t *bitmap, uint64_t at) {
    unsigned shift = (unsigned)(at & 7);
    uint8_t low = (uint8_t)(bitmap[at >> 3] >> shift);
    return shift ? (uint8_t)(low | bitmap[(at >> 3) + 1] << (8 - shift)) : low;
}

/* By groups of eight bits, in which packed runs end anyway: four groups of one kind are worth a run of their own, as a
 * packed one costs a byte a group. */
bool rle_encode_bitmap(const uint8_t *bitmap, uint64_t begin, uint32_t count, struct buffer *out) {
    enum { GROUPS_MIN = 4 };
    uint32_t whole = count / 8 * 8, packed_begin = 0, i = 0;
    if (!bitmap) return count == 0 || put_repeated(1, count, 1, out);
    while (i < whole) {
        uint8_t group = group_at(bitmap, begin + i);
        uint32_t run = 8;
        if (group != 0 && group != 0xff) {
            i += 8;
            continue;
        }
        while (i + run < whole && group_at(bitmap, begin + i + run) == group) run += 8;
        if (run >= GROUPS_MIN * 8) {
            /* and what is left behind the last group */
            while (i + run >= whole && i + run < count && bitmap_get(bitmap, begin + i + run) == (group & 1)) run++;
            if (!put_packed_bits(bitmap, begin + packed_begin, i - packed_begin, out) ||
                !put_repeated(group & 1, run, 1, out))
                return false;
            packed_begin = i + run;
        }
        i += run;
    }
    return put_packed_bits(bitmap, begin + packed_begin, count - packed_begin, out);
}
