/* See row_segment_encoding.h.
 *
 * Every candidate encodes the same stretches of rows with the real Parquet writer; what its pages take is its cost. A
 * dictionary's own bytes are shared by all rows of a row group: how many entries it will have is estimated from the
 * values that the sample has once and twice (Chao 1984), and the sample pays its rows' share of them. */
#include "table/row_segment_encoding.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "table/row_segment_column.h"

enum {
    DICTIONARY_BYTES_MAX = 512 << 10,
    STRETCHES = 8,
    STRETCH_ROWS = 1024,
    GROUP_ROWS = 512 << 10, /* that a dictionary is expected to serve */
    SET_SLOTS = 4 * STRETCHES * STRETCH_ROWS,
    CANDIDATES_MAX = 4,
    ZSTD_LEVEL = 6, /* 1 % less than level 3; 12 is 1.5 % less again for twice the work */
};

/* Pages of the sample, in one encoding. */
struct candidate {
    enum parquet_encoding encoding;
    bool dictionary;
};

struct sample {
    struct arena arena;
    struct parquet_node node;
    struct parquet_column_data stretches[STRETCHES];
    uint32_t rows[STRETCHES];
    uint32_t count;
};

/* ---- the sample ---- */

static enum plinth_status add_stretch(struct sample *sample, const struct column *column, uint32_t first,
                                      uint32_t count, struct plinth_error *error) {
    struct column slice;
    if (!column_slice(&sample->arena, column, first, count, &slice)) return error_no_memory(error, "sample");
    sample->rows[sample->count] = count;
    return row_column_to_parquet(&sample->arena, &slice, count, NULL, NULL, &sample->stretches[sample->count++], error);
}

/* Stretches evenly spread over the rows, or all of them. */
static enum plinth_status take_sample(struct sample *sample, const struct row_sample_piece *pieces, uint32_t count,
                                      uint64_t rows, struct plinth_error *error) {
    uint64_t begin = 0, next = 0; /* of the piece, and of the stretch wanted next */
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < count && !st; i++) {
        const struct row_sample_piece *piece = &pieces[i];
        while (!st && sample->count < STRETCHES && next < begin + piece->count) {
            uint32_t at = next > begin ? (uint32_t)(next - begin) : 0;
            uint32_t left = piece->count - at, taken = left < STRETCH_ROWS ? left : STRETCH_ROWS;
            if (piece->column) st = add_stretch(sample, piece->column, piece->first + at, taken, error);
            uint64_t even = rows / STRETCHES, behind = begin + at + taken;
            next = begin + at + even > behind ? begin + at + even : behind;
        }
        begin += piece->count;
    }
    return st;
}

/* ---- what a candidate takes ---- */

static enum plinth_status swallow(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    (void)sink;
    (void)bytes;
    (void)error;
    return PLINTH_OK;
}

static enum plinth_status measure(const struct sample *sample, struct parquet_column_options options,
                                  struct candidate candidate, uint64_t *bytes, struct plinth_error *error) {
    struct parquet_sink sink = {swallow};
    struct parquet_writer *writer;
    options.encoding = candidate.encoding;
    options.dictionary = candidate.dictionary;
    options.statistics = options.page_index = false;
    *bytes = UINT64_MAX;
    enum plinth_status st = parquet_writer_create(&sink, &sample->node, 1, &options, NULL, &writer, error);
    if (st) return st;
    for (uint32_t i = 0; i < sample->count && !st; i++) {
        st = parquet_writer_write(writer, &sample->stretches[i], sample->rows[i], error);
        if (!st) st = parquet_writer_end_stripe(writer, error);
    }
    if (!st) *bytes = parquet_writer_row_group_bytes(writer);
    parquet_writer_destroy(writer);
    return st;
}

static struct slice value_bytes(const struct parquet_column_data *data, uint32_t width, uint32_t row) {
    if (!width) return parquet_column_data_bytes(data, row);
    return slice_of((const uint8_t *)data->values + (size_t)row * width, width);
}

/* Counts a value in the set, whose entries are hashes with their count, up to 3, in the lowest bits. Returns which time
 * it is; 0 from the fourth on. */
static uint64_t count_value(uint64_t *set, struct slice value) {
    uint64_t hash = hash_fast(value.data, value.size) | 3;
    uint32_t mask = SET_SLOTS - 1, at = (uint32_t)(hash >> 32) & mask;
    while (set[at] && (set[at] | 3) != hash) at = (at + 1) & mask;
    if (!set[at]) set[at] = hash & ~UINT64_C(3);
    if ((set[at] & 3) == 3) return 0;
    return ++set[at] & 3;
}

/* Bytes of the dictionary that the sample's rows have to pay for. False when memory is out. */
static bool dictionary_share(const struct sample *sample, uint64_t group_rows, uint64_t *share) {
    uint32_t width = parquet_type_width(sample->node.type, sample->node.type_length);
    uint64_t *set = calloc(SET_SLOTS, sizeof *set), rows = 0, bytes = 0, counts[4] = {0};
    if (!set) return false;
    for (uint32_t i = 0; i < sample->count; i++) {
        rows += sample->rows[i];
        for (uint32_t row = 0; row < sample->rows[i]; row++) {
            if (parquet_column_data_is_null(&sample->stretches[i], row)) continue;
            struct slice value = value_bytes(&sample->stretches[i], width, row);
            uint64_t count = count_value(set, value);
            counts[count]++;
            if (count == 1) bytes += value.size + (width ? 0 : sizeof(uint32_t));
        }
    }
    free(set);
    /* counts[n]: how many values came an n-th time */
    double distinct = (double)counts[1], once = distinct - (double)counts[2],
           twice = (double)counts[2] - (double)counts[3];
    double entries = distinct + once * (once - 1) / (2 * (twice + 1));
    if (entries > (double)group_rows) entries = (double)group_rows;
    *share = distinct > 0 ? (uint64_t)((double)bytes / distinct * entries * (double)rows / (double)group_rows) : 0;
    return true;
}

/* ---- choosing ---- */

static uint32_t list_candidates(enum parquet_type type, struct candidate into[CANDIDATES_MAX]) {
    static const struct candidate plain = {PARQUET_ENCODING_PLAIN, false};
    static const struct candidate split = {PARQUET_ENCODING_BYTE_STREAM_SPLIT, false};
    static const struct candidate delta = {PARQUET_ENCODING_DELTA_BINARY_PACKED, false};
    static const struct candidate delta_bytes = {PARQUET_ENCODING_DELTA_BYTE_ARRAY, false};
    static const struct candidate delta_length = {PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY, false};
    static const struct candidate runs = {PARQUET_ENCODING_RLE, false};
    uint32_t count = 0;
    into[count++] = plain;
    switch (type) {
    case PARQUET_TYPE_BOOLEAN: into[count++] = runs; break;
    case PARQUET_TYPE_INT32:
    case PARQUET_TYPE_INT64:
        into[count++] = delta;
        into[count++] = split;
        break;
    case PARQUET_TYPE_FLOAT:
    case PARQUET_TYPE_DOUBLE: into[count++] = split; break;
    case PARQUET_TYPE_BYTE_ARRAY:
        into[count++] = delta_length;
        into[count++] = delta_bytes;
        break;
    default: into[count++] = delta_bytes; break; /* not split: DuckDB has it for numbers only */
    }
    return count;
}

static enum plinth_status choose(const struct sample *sample, uint64_t group_rows,
                                 struct parquet_column_options *options, struct plinth_error *error) {
    struct candidate candidates[CANDIDATES_MAX];
    uint32_t count = list_candidates(sample->node.type, candidates);
    uint64_t least = UINT64_MAX, bytes, share = 0;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < count && !st; i++) {
        st = measure(sample, *options, candidates[i], &bytes, error);
        if (st || bytes >= least - least / 100) continue; /* 1 % is not worth the work of a later one */
        least = bytes;
        options->encoding = candidates[i].encoding;
    }
    if (st || sample->node.type == PARQUET_TYPE_BOOLEAN) return st;
    st = measure(sample, *options, (struct candidate){options->encoding, true}, &bytes, error);
    if (!st && !dictionary_share(sample, group_rows, &share)) st = error_no_memory(error, "sample");
    /* Dictionaries are cheap to read and to filter. */
    if (!st) options->dictionary = bytes + share < least + least / 100;
    return st;
}

static uint64_t count_values(const struct row_sample_piece *pieces, uint32_t count, uint64_t *rows) {
    uint64_t values = 0;
    *rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct column *column = pieces[i].column;
        *rows += pieces[i].count;
        if (column && column->null_count)
            values += bitmap_count_range(column->validity, pieces[i].first, pieces[i].count);
        else if (column)
            values += pieces[i].count;
    }
    return values;
}

/* The elements of the lists instead of these. */
static struct row_sample_piece *element_pieces(struct arena *arena, const struct row_sample_piece *pieces,
                                               uint32_t count) {
    struct row_sample_piece *elements = arena_zalloc(arena, count * sizeof *elements + 1);
    for (uint32_t i = 0; elements && i < count; i++) {
        const struct column *column = pieces[i].column;
        if (!column) continue;
        elements[i].column = column->child;
        elements[i].first = column->offsets[pieces[i].first];
        elements[i].count = column->offsets[pieces[i].first + pieces[i].count] - elements[i].first;
    }
    return elements;
}

enum plinth_status row_encoding_choose(struct column_type type, const struct row_sample_piece *pieces,
                                       uint32_t piece_count, bool are_all, enum parquet_codec codec,
                                       struct parquet_column_options *options, struct plinth_error *error) {
    struct parquet_node nodes[ROW_COLUMN_NODES_MAX];
    struct sample sample = {.count = 0};
    enum plinth_status st = PLINTH_OK;
    uint64_t rows;
    arena_init(&sample.arena);
    *options = parquet_column_options_default();
    options->codec = codec;
    if (codec == PARQUET_CODEC_ZSTD) options->codec_level = ZSTD_LEVEL;
    options->dictionary_bytes_max = DICTIONARY_BYTES_MAX;
    if (type.kind == COLUMN_LIST) {
        type = column_type_element(type);
        pieces = element_pieces(&sample.arena, pieces, piece_count);
        if (!pieces) st = error_no_memory(error, "sample");
    }
    options->dictionary = type.kind != COLUMN_BOOL;
    (void)row_column_nodes("sample", 0, type, false, nodes);
    sample.node = nodes[0];
    if (!st && count_values(pieces, piece_count, &rows) > 0) {
        uint64_t group_rows = are_all && rows < GROUP_ROWS ? rows : GROUP_ROWS;
        st = take_sample(&sample, pieces, piece_count, rows, error);
        if (!st) st = choose(&sample, group_rows, options, error);
    }
    arena_deinit(&sample.arena);
    return st;
}
