/* Choosing how a column is encoded. See encoding_choice.h. */
#include "parquet/encoding_choice.h"

#include <math.h>

#include "base/hash.h"
#include "parquet/bits.h"

enum {
    SAMPLE = PARQUET_ENCODING_SAMPLE_VALUES,
    RUNS = 8,
    TABLE_SLOTS = 2 * SAMPLE, /* a power of two */
    TRIAL_MIN = 16,           /* fewer values say nothing */
    MINIBLOCK = 32,
};

/* What is known of the sampled values. */
struct sample {
    const struct parquet_column *column;
    uint32_t count;
    uint64_t values[SAMPLE];      /* numbers, or hashes of anything longer */
    uint8_t follows[SAMPLE];      /* the value before it in the column is the one before it here */
    uint64_t bytes, shared_bytes; /* of strings; shared: with the one before */
    uint32_t distinct;
    uint32_t new_in_last_half; /* values first seen in the second half */
};

static bool has_value(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t slot) {
    if (data->definition_levels) return data->definition_levels[slot] == column->definition_level_max;
    return column->definition_level_max == 0 || !parquet_column_data_is_null(data, slot);
}

static struct slice value_at(const struct parquet_column *column, const struct parquet_column_data *data,
                             uint64_t slot) {
    if (column->type == PARQUET_TYPE_BYTE_ARRAY) return parquet_column_data_bytes(data, slot);
    return slice_of((const uint8_t *)data->values + slot * column->width, column->width);
}

static bool is_integer(enum parquet_type type) { return type == PARQUET_TYPE_INT32 || type == PARQUET_TYPE_INT64; }

static bool is_number(enum parquet_type type) {
    return is_integer(type) || type == PARQUET_TYPE_FLOAT || type == PARQUET_TYPE_DOUBLE;
}

static uint64_t shared_with(struct slice a, struct slice b) {
    uint64_t i = 0;
    while (i < a.size && i < b.size && a.data[i] == b.data[i]) i++;
    return i;
}

/* Adds the values of `most` slots from `begin` on. */
static void add_run(struct sample *sample, const struct parquet_column_data *data, uint64_t begin, uint64_t most) {
    const struct parquet_column *column = sample->column;
    struct slice last = slice_of(NULL, 0);
    bool is_first = true;
    for (uint64_t slot = begin; slot < begin + most; slot++) {
        if (!has_value(column, data, slot)) continue;
        struct slice value = value_at(column, data, slot);
        uint64_t number = 0;
        if (is_number(column->type))
            number = column->width == 4 ? (uint64_t)(int64_t)(int32_t)load_u32(value.data) : load_u64(value.data);
        else
            number = hash_fast(value.data, value.size);
        sample->follows[sample->count] = !is_first;
        sample->values[sample->count++] = number;
        sample->bytes += value.size;
        sample->shared_bytes += shared_with(last, value);
        last = value;
        is_first = false;
    }
}

static void count_distinct(struct sample *sample) {
    uint16_t table[TABLE_SLOTS] = {0}; /* number of a value and one */
    for (uint32_t i = 0; i < sample->count; i++) {
        uint64_t value = sample->values[i];
        uint32_t at = (uint32_t)(value * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (TABLE_SLOTS - 1);
        while (table[at] && sample->values[table[at] - 1] != value) at = (at + 1) & (TABLE_SLOTS - 1);
        if (table[at]) continue;
        table[at] = (uint16_t)(i + 1);
        sample->distinct++;
        sample->new_in_last_half += i >= sample->count / 2;
    }
}

static void sample_init(struct sample *sample, const struct parquet_column *column,
                        const struct parquet_column_data *data) {
    sample->column = column;
    sample->count = 0;
    sample->bytes = sample->shared_bytes = 0;
    sample->distinct = sample->new_in_last_half = 0;
    if (data->slots <= SAMPLE)
        add_run(sample, data, 0, data->slots);
    else
        for (uint64_t i = 0; i < RUNS; i++)
            add_run(sample, data, (data->slots - SAMPLE / RUNS) / (RUNS - 1) * i, SAMPLE / RUNS);
    count_distinct(sample);
}

/* ---- Bits a value ---- */

static double plain_bits(const struct sample *sample) {
    double bytes = (double)sample->bytes / sample->count;
    return 8 * (sample->column->type == PARQUET_TYPE_BYTE_ARRAY ? bytes + 4 : bytes);
}

/* How many values will be new is told by the second half of the sample: in the first, even those of a small dictionary
 * are. */
static double dictionary_bits(const struct sample *sample) {
    double is_new = (double)sample->new_in_last_half / (sample->count - sample->count / 2);
    /* A dictionary that still grows will have longer indices than now: as if by what a page's rows add. */
    double entries = sample->distinct + is_new * 20000;
    return ceil(log2(entries < 2 ? 2 : entries)) + is_new * plain_bits(sample);
}

static double delta_bits(const struct sample *sample) {
    bool is_32 = sample->column->type == PARQUET_TYPE_INT32;
    double bits = 0;
    for (uint32_t begin = 0; begin < sample->count; begin += MINIBLOCK) {
        uint32_t end = sample->count - begin < MINIBLOCK ? sample->count : begin + MINIBLOCK;
        int64_t least = INT64_MAX, greatest = INT64_MIN;
        for (uint32_t i = begin; i < end; i++) {
            if (!sample->follows[i]) continue;
            uint64_t difference = sample->values[i] - sample->values[i - 1];
            int64_t delta = is_32 ? (int32_t)(uint32_t)difference : (int64_t)difference;
            least = delta < least ? delta : least;
            greatest = delta > greatest ? delta : greatest;
        }
        if (least > greatest) continue;
        uint64_t range = (uint64_t)greatest - (uint64_t)least;
        unsigned width = bits_width_u64(is_32 ? (uint32_t)range : range);
        bits += (double)width * (end - begin) + 8 + 16; /* and the widths, and a share of the least one */
    }
    return bits / sample->count;
}

/* The entropy of each byte of the numbers, added up. */
static double split_bits(const struct sample *sample) {
    uint32_t width = sample->column->width;
    double bits = 0;
    for (uint32_t k = 0; k < width; k++) {
        uint32_t counts[256] = {0};
        for (uint32_t i = 0; i < sample->count; i++) counts[sample->values[i] >> (8 * k) & 0xff]++;
        for (int byte = 0; byte < 256; byte++)
            if (counts[byte]) bits -= counts[byte] * log2((double)counts[byte] / sample->count);
    }
    return bits / sample->count;
}

/* ---- The choice ---- */

static bool codes_by_frequency(enum parquet_codec codec) {
    return codec == PARQUET_CODEC_ZSTD || codec == PARQUET_CODEC_GZIP || codec == PARQUET_CODEC_BROTLI;
}

/* The encoding that goes without a dictionary, and its bits. */
static enum parquet_encoding choose_number(const struct sample *sample, enum parquet_codec codec, double *bits) {
    enum parquet_encoding encoding = PARQUET_ENCODING_PLAIN;
    *bits = plain_bits(sample);
    if (is_integer(sample->column->type)) {
        double delta = delta_bits(sample);
        if (delta < *bits * 0.9) {
            encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
            *bits = delta;
        }
    }
    if (codes_by_frequency(codec)) {
        double split = split_bits(sample);
        if (split < *bits * 0.85) {
            encoding = PARQUET_ENCODING_BYTE_STREAM_SPLIT;
            *bits = split;
        }
    }
    return encoding;
}

static enum parquet_encoding choose_bytes(const struct sample *sample, double *bits) {
    bool is_fixed = sample->column->type != PARQUET_TYPE_BYTE_ARRAY;
    double plain = plain_bits(sample), shared = 8.0 * (double)sample->shared_bytes / sample->count;
    *bits = is_fixed ? plain : plain - 24; /* lengths of a byte, not of four */
    if (sample->column->type != PARQUET_TYPE_INT96 && shared > 24 && shared > *bits / 4) {
        *bits -= shared - 8;
        return PARQUET_ENCODING_DELTA_BYTE_ARRAY;
    }
    return is_fixed ? PARQUET_ENCODING_PLAIN : PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY;
}

void parquet_encoding_choose(const struct parquet_column *column, const struct parquet_column_data *data,
                             struct parquet_column_options *options) {
    struct sample sample;
    double bits;
    options->dictionary = false;
    options->encoding = column->type == PARQUET_TYPE_BOOLEAN      ? PARQUET_ENCODING_RLE
                        : column->type == PARQUET_TYPE_BYTE_ARRAY ? PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY
                                                                  : PARQUET_ENCODING_PLAIN;
    if (column->type == PARQUET_TYPE_BOOLEAN) return;
    sample_init(&sample, column, data);
    if (sample.count < TRIAL_MIN) return;
    options->encoding =
        is_number(column->type) ? choose_number(&sample, options->codec, &bits) : choose_bytes(&sample, &bits);
    options->dictionary = sample.distinct <= sample.count / 2 && dictionary_bits(&sample) < bits * 0.9;
}
