/* See row_segment_encoding.h.
 *
 * Every candidate encodes the same rows with the real Parquet writer, in pages as long as the file's will be, as what a
 * codec gains depends on it; what the pages take is the candidate's cost. A dictionary's own bytes are shared by all
 * rows of a row group: its entries are counted in all the rows at hand (in the sample, where speed counts more than
 * size), those to come are expected to bring as many new ones as the second half did, and the sample pays its rows'
 * share of them. */
#include "table/row_segment_encoding.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "table/row_segment_column.h"

enum {
    DICTIONARY_BYTES_MAX = 512 << 10,
    SAMPLE_ROWS = 8 << 10,            /* in pages spread over the rows at hand; at least two */
    SAMPLE_ROWS_COMPACTED = 64 << 10, /* with ZSTD */
    GROUP_ROWS = 512 << 10,           /* that a dictionary is expected to serve */
    CANDIDATES_MAX = 4,
};

/* Pages of the sample, in one encoding. */
struct candidate {
    enum parquet_encoding encoding;
    bool dictionary, aligned;
};

/* Rows of a page of the sample, or some of them. */
struct sample_rows {
    struct parquet_column_data data;
    uint32_t rows;
    bool ends_page;
};

struct sample {
    struct arena arena;
    struct parquet_node node;
    struct buffer pieces; /* struct sample_rows */
    uint64_t rows;
};

static const struct sample_rows *pieces_of(const struct sample *sample, size_t *count) {
    *count = sample->pieces.size / sizeof(struct sample_rows);
    return (const struct sample_rows *)(const void *)sample->pieces.data;
}

/* ---- the sample ---- */

static enum plinth_status add_rows(struct sample *sample, const struct column *column, uint32_t first, uint32_t count,
                                   bool ends_page, struct plinth_error *error) {
    struct column slice;
    struct sample_rows taken = {.rows = count, .ends_page = ends_page};
    if (!column_slice(&sample->arena, column, first, count, &slice)) return error_no_memory(error, "sample");
    enum plinth_status st = row_column_to_parquet(&sample->arena, &slice, count, NULL, NULL, &taken.data, error);
    if (!st && !buffer_append(&sample->pieces, &taken, sizeof taken)) st = error_no_memory(error, "sample");
    sample->rows += count;
    return st;
}

/* Goes over the rows at hand, taking one page of every `step`. */
struct page_walk {
    const struct row_sample_piece *pieces;
    uint32_t count, page_rows;
    uint64_t step;
    uint32_t piece, done; /* rows of the piece */
    uint64_t at;
};

/* The next rows, which lie in one piece and one page and have a column; false at the end. */
static bool walk_next(struct page_walk *walk, const struct column **column, uint32_t *first, uint32_t *count,
                      bool *ends_page) {
    while (walk->piece < walk->count) {
        const struct row_sample_piece *piece = &walk->pieces[walk->piece];
        uint64_t page_left = walk->page_rows - walk->at % walk->page_rows, left = piece->count - walk->done;
        bool is_taken = left && piece->column && walk->at / walk->page_rows % walk->step == 0;
        *column = piece->column;
        *first = piece->first + walk->done;
        *count = (uint32_t)(left < page_left ? left : page_left);
        *ends_page = *count == page_left;
        walk->done += *count;
        walk->at += *count;
        if (walk->done == piece->count) {
            walk->piece++;
            walk->done = 0;
        }
        if (is_taken) return true;
    }
    return false;
}

static enum plinth_status take_sample(struct sample *sample, struct page_walk walk, struct plinth_error *error) {
    const struct column *column;
    uint32_t first, count;
    bool ends_page;
    enum plinth_status st = PLINTH_OK;
    while (!st && walk_next(&walk, &column, &first, &count, &ends_page))
        st = add_rows(sample, column, first, count, ends_page, error);
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
    size_t count;
    const struct sample_rows *pieces = pieces_of(sample, &count);
    options.encoding = candidate.encoding;
    options.dictionary = candidate.dictionary;
    options.dictionary_aligned = candidate.aligned;
    options.statistics = options.page_index = false;
    *bytes = UINT64_MAX;
    const struct parquet_writer_options whole = {.stripe_rows = UINT32_MAX};
    enum plinth_status st = parquet_writer_create(&sink, &sample->node, 1, &options, &whole, &writer, error);
    if (st) return st;
    for (size_t i = 0; i < count && !st; i++) {
        st = parquet_writer_write(writer, &pieces[i].data, pieces[i].rows, error);
        if (!st && (pieces[i].ends_page || i + 1 == count)) st = parquet_writer_end_stripe(writer, error);
    }
    if (!st) *bytes = parquet_writer_row_group_bytes(writer);
    parquet_writer_destroy(writer);
    return st;
}

/* ---- what a dictionary has ---- */

/* Distinct values, by hashes. */
struct counter {
    uint64_t *slots; /* 0: empty */
    uint32_t mask;
    uint64_t distinct, bytes; /* the PLAIN bytes of a dictionary of them */
};

static void count_value(struct counter *counter, struct slice value, uint32_t overhead) {
    uint64_t hash = hash_fast(value.data, value.size) | 1;
    uint32_t at = (uint32_t)(hash >> 32) & counter->mask;
    while (counter->slots[at] && counter->slots[at] != hash) at = (at + 1) & counter->mask;
    if (counter->slots[at]) return;
    counter->slots[at] = hash;
    counter->distinct++;
    counter->bytes += value.size + overhead;
}

static void count_rows(struct counter *counter, const struct column *column, uint32_t first, uint32_t count) {
    uint32_t width = column_type_width(column->type);
    for (uint32_t row = first; row < first + count; row++) {
        if (column_is_null(column, row)) continue;
        if (width)
            count_value(counter, slice_of((const uint8_t *)column->values + (size_t)row * width, width), 0);
        else
            count_value(counter, column_bytes_at(column, row), sizeof(uint32_t));
    }
}

/* What is expected of the dictionary of a row group. */
struct expected {
    uint64_t entries, bytes;
    uint64_t sample_share; /* of the bytes: what the sample's rows have to pay for */
};

/* Counts the rows of the walk, of which there are `rows`. False when memory is out. */
static bool expect_dictionary(const struct sample *sample, struct page_walk walk, uint64_t rows, uint64_t group_rows,
                              struct expected *expected) {
    uint64_t slots = 1024, counted = 0, half = 0, half_bytes = 0;
    const struct column *column;
    uint32_t first, count;
    bool ends_page;
    while (slots < 2 * rows) slots *= 2;
    struct counter counter = {.slots = calloc(slots, sizeof *counter.slots), .mask = (uint32_t)(slots - 1)};
    if (!counter.slots) return false;
    while (walk_next(&walk, &column, &first, &count, &ends_page)) {
        uint32_t before = counted < rows / 2 ? (uint32_t)(rows / 2 - counted) : 0; /* the second half */
        if (before > count) before = count;
        count_rows(&counter, column, first, before);
        if (before) {
            half = counter.distinct;
            half_bytes = counter.bytes;
        }
        count_rows(&counter, column, first + before, count - before);
        counted += count;
    }
    free(counter.slots);
    double more = group_rows > rows ? (double)(group_rows - rows) / ((double)rows / 2) : 0;
    expected->entries = counter.distinct + (uint64_t)(more * (double)(counter.distinct - half));
    expected->bytes = counter.bytes + (uint64_t)(more * (double)(counter.bytes - half_bytes));
    expected->sample_share = (uint64_t)((double)expected->bytes * (double)sample->rows / (double)group_rows);
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

/* Tries the dictionary beside the encoding that takes `least`. */
static enum plinth_status try_dictionary(const struct sample *sample, const struct expected *expected, uint64_t least,
                                         struct parquet_column_options *options, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    unsigned width = 0;
    while (width < 32 && expected->entries >> width > 1) width++;
    bool may_align = options->codec == PARQUET_CODEC_ZSTD && width % 8 && width < 16;
    if (expected->bytes > DICTIONARY_BYTES_MAX) return PLINTH_OK; /* the writer would have to leave it */
    for (int aligned = 0; aligned <= may_align && !st; aligned++) {
        uint64_t bytes;
        st = measure(sample, *options, (struct candidate){options->encoding, true, aligned}, &bytes, error);
        if (st) break;
        bytes += expected->sample_share;
        /* Dictionaries are cheap to read and to filter. */
        if (bytes >= (options->dictionary ? least - least / 100 : least + least / 100)) continue;
        least = bytes;
        options->dictionary = true;
        options->dictionary_aligned = aligned;
    }
    return st;
}

static enum plinth_status choose(const struct sample *sample, const struct expected *expected,
                                 struct parquet_column_options *options, struct plinth_error *error) {
    struct candidate candidates[CANDIDATES_MAX];
    uint32_t count = list_candidates(sample->node.type, candidates);
    uint64_t least = UINT64_MAX, bytes;
    enum plinth_status st = PLINTH_OK;
    options->dictionary = false;
    for (uint32_t i = 0; i < count && !st; i++) {
        st = measure(sample, *options, candidates[i], &bytes, error);
        if (st || bytes >= least - least / 100) continue; /* 1 % is not worth the work of a later one */
        least = bytes;
        options->encoding = candidates[i].encoding;
    }
    if (st || sample->node.type == PARQUET_TYPE_BOOLEAN) return st;
    return try_dictionary(sample, expected, least, options, error);
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

/* The element of a list, or the column itself. */
static enum plinth_status choose_for(struct column_type type, const struct row_sample_piece *pieces, uint32_t count,
                                     const struct row_sample_rows *about, struct parquet_column_options *options,
                                     struct plinth_error *error) {
    struct parquet_node nodes[ROW_COLUMN_NODES_MAX];
    struct sample sample = {.rows = 0};
    struct expected expected = {0};
    uint64_t rows;
    if (!count_values(pieces, count, &rows)) return PLINTH_OK;
    bool is_compacted = !about->is_quick;
    uint64_t group_rows = about->are_all && rows < GROUP_ROWS ? rows : GROUP_ROWS;
    uint64_t pages = (rows + about->page_rows - 1) / about->page_rows;
    uint64_t takes = (is_compacted ? SAMPLE_ROWS_COMPACTED : SAMPLE_ROWS) / about->page_rows;
    if (takes < 2) takes = 2;
    struct page_walk walk = {
        .pieces = pieces, .count = count, .page_rows = about->page_rows, .step = (pages + takes - 1) / takes};
    (void)row_column_nodes("sample", 0, type, false, nodes);
    sample.node = nodes[0];
    arena_init(&sample.arena);
    enum plinth_status st = take_sample(&sample, walk, error);
    if (is_compacted) walk.step = 1;
    if (!st && type.kind != COLUMN_BOOL &&
        !expect_dictionary(&sample, walk, is_compacted ? rows : sample.rows, group_rows, &expected))
        st = error_no_memory(error, "sample");
    if (!st) st = choose(&sample, &expected, options, error);
    buffer_deinit(&sample.pieces);
    arena_deinit(&sample.arena);
    return st;
}

enum plinth_status row_encoding_choose(struct column_type type, const struct row_sample_piece *pieces,
                                       uint32_t piece_count, const struct row_sample_rows *about,
                                       enum parquet_codec codec, struct parquet_column_options *options,
                                       struct plinth_error *error) {
    *options = parquet_column_options_default();
    options->codec = codec;
    options->codec_level = about->codec_level;
    options->dictionary_bytes_max = DICTIONARY_BYTES_MAX;
    options->dictionary_pays = codec == PARQUET_CODEC_ZSTD; /* the rows at hand are more than the writer looks at */
    if (type.kind != COLUMN_LIST) {
        options->dictionary = type.kind != COLUMN_BOOL;
        return choose_for(type, pieces, piece_count, about, options, error);
    }
    struct arena arena;
    arena_init(&arena);
    type = column_type_element(type);
    options->dictionary = type.kind != COLUMN_BOOL;
    pieces = element_pieces(&arena, pieces, piece_count);
    enum plinth_status st =
        pieces ? choose_for(type, pieces, piece_count, about, options, error) : error_no_memory(error, "sample");
    arena_deinit(&arena);
    return st;
}
