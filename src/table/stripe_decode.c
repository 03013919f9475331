/* From the pages of a stripe to columns in memory. */
#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/row_segment_read.h"
#include "table/stripe.h"

enum { POOL_DECODERS_MAX = 16, POOLED_BYTES_MAX = 4 * 1024 * 1024 };

struct stripe_decoder {
    struct stripe_decoder *next; /* in the pool */
    struct parquet_scratch *scratch;
    struct parquet_column_buffer columns[SEGMENT_COLUMNS];
    bool has_read[SEGMENT_COLUMNS];
    struct buffer operations; /* one byte a row */
    struct row_decoder *rows; /* of typed tables; made when first needed */
};

/* Decoders that nobody uses at the moment. They hold a stripe's worth of memory each; keeping them saves a page fault
 * for every few KiB decoded. */
static struct {
    pthread_mutex_t mutex;
    struct stripe_decoder *first;
    unsigned count;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void decoder_destroy(struct stripe_decoder *decoder) {
    parquet_scratch_destroy(decoder->scratch);
    for (int i = 0; i < SEGMENT_COLUMNS; i++) parquet_column_buffer_deinit(&decoder->columns[i]);
    buffer_deinit(&decoder->operations);
    row_decoder_destroy(decoder->rows);
    free(decoder);
}

static size_t decoder_bytes(const struct stripe_decoder *decoder) {
    size_t bytes = parquet_scratch_memory(decoder->scratch) + decoder->operations.capacity;
    for (int i = 0; i < SEGMENT_COLUMNS; i++) bytes += parquet_column_buffer_size(&decoder->columns[i]);
    return decoder->rows ? bytes + row_decoder_memory(decoder->rows) : bytes;
}

enum plinth_status stripe_decoder_acquire(struct stripe_decoder **decoder, struct plinth_error *error) {
    pthread_mutex_lock(&pool.mutex);
    *decoder = pool.first;
    if (*decoder) {
        pool.first = (*decoder)->next;
        pool.count--;
    }
    pthread_mutex_unlock(&pool.mutex);
    if (*decoder) return PLINTH_OK;
    struct stripe_decoder *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "stripe decoder");
    enum plinth_status st = parquet_scratch_create(&created->scratch, error);
    if (st) {
        free(created);
        return st;
    }
    *decoder = created;
    return PLINTH_OK;
}

void stripe_decoder_release(struct stripe_decoder *decoder) {
    if (!decoder) return;
    if (decoder_bytes(decoder) <= POOLED_BYTES_MAX) {
        pthread_mutex_lock(&pool.mutex);
        if (pool.count < POOL_DECODERS_MAX) {
            decoder->next = pool.first;
            pool.first = decoder;
            pool.count++;
            decoder = NULL;
        }
        pthread_mutex_unlock(&pool.mutex);
    }
    if (decoder) decoder_destroy(decoder);
}

enum plinth_status stripe_decoder_rows(struct stripe_decoder *decoder, struct row_decoder **rows,
                                       struct plinth_error *error) {
    enum plinth_status st = decoder->rows ? PLINTH_OK : row_decoder_create(&decoder->rows, error);
    *rows = decoder->rows;
    return st;
}

const uint8_t *stripe_decoder_validity(const struct stripe_decoder *decoder, enum segment_column column) {
    return decoder->has_read[column] ? decoder->columns[column].data.validity : NULL;
}

bool stripe_decoder_has_read(const struct stripe_decoder *decoder, enum segment_column column) {
    return decoder->has_read[column];
}

/* ---- one stripe ---- */

static enum plinth_status read_column(struct segment *segment, uint32_t stripe, enum segment_column column,
                                      struct stripe_decoder *decoder, struct plinth_error *error) {
    const struct stripe_index *index = &segment->stripes;
    uint32_t group_number = index->groups[stripe];
    const struct segment_group *group = &segment->groups[group_number];
    const struct page_place *place = &group->places[column][stripe - group->first_stripe];
    struct parquet_page_location location = {place->offset, place->bytes, index->first_rows[stripe],
                                             index->rows[stripe]};
    const struct parquet_page_index only_this = {.page_count = 1, .locations = &location};
    struct parquet_column_buffer *into = &decoder->columns[column];
    enum plinth_status st = parquet_reader_read_page(segment->reader, group_number, segment->leaf[column], &only_this,
                                                     0, NULL, decoder->scratch, into, error);
    if (st) return st;
    decoder->has_read[column] = true;
    if (into->data.rows == index->rows[stripe]) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "column %s: the page at offset %llu has %llu rows, its index says %u",
                     segment_column_names[column], (unsigned long long)place->offset,
                     (unsigned long long)into->data.rows, index->rows[stripe]);
}

static bool wants_column(const struct segment *segment, uint32_t stripe, enum segment_column column, unsigned parts) {
    if (!segment->has_column[column]) return false;
    if (parts & STRIPE_EVERY_PAGE) return true;
    uint8_t flags = segment->stripes.flags[stripe];
    switch (column) {
    case SEGMENT_VALUE: return parts & STRIPE_VALUES;
    case SEGMENT_INDEXES: return (parts & STRIPE_VALUES) && !(flags & STRIPE_NO_INDEXES);
    case SEGMENT_LSN: return !(flags & STRIPE_LSN_CONSTANT);
    case SEGMENT_OPERATION: return !(flags & STRIPE_OPERATION_CONSTANT);
    default: return true;
    }
}

/* The operations as bytes; each must be one there is. */
static enum plinth_status take_operations(struct stripe_decoder *decoder, struct stripe_rows *rows,
                                          struct plinth_error *error) {
    const uint8_t *values = decoder->columns[SEGMENT_OPERATION].data.values;
    buffer_clear(&decoder->operations);
    if (!buffer_reserve(&decoder->operations, rows->count)) return error_no_memory(error, "stripe operations");
    uint8_t *operations = decoder->operations.data;
    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t operation = load_u32(values + 4 * (size_t)i);
        if (operation != ROW_SET && operation != ROW_DELETE)
            return error_set(error, PLINTH_CORRUPT, "column _op: row %u has the unknown operation %u", i, operation);
        operations[i] = (uint8_t)operation;
    }
    decoder->operations.size = rows->count;
    rows->operations = operations;
    return PLINTH_OK;
}

static enum plinth_status take_columns(struct segment *segment, uint32_t stripe, struct stripe_decoder *decoder,
                                       struct stripe_rows *rows, struct plinth_error *error) {
    const struct parquet_column_data *keys = &decoder->columns[SEGMENT_KEY].data;
    uint8_t flags = segment->stripes.flags[stripe];
    *rows = (struct stripe_rows){.count = segment->stripes.rows[stripe],
                                 .key_offsets = keys->offsets,
                                 .keys = keys->bytes,
                                 .lsn = segment->stripes.lsns[stripe],
                                 .operation = (enum row_operation)(flags >> STRIPE_OPERATION_SHIFT)};
    if (decoder->has_read[SEGMENT_LSN]) rows->lsns = decoder->columns[SEGMENT_LSN].data.values;
    if (decoder->has_read[SEGMENT_VALUE]) {
        rows->value_offsets = decoder->columns[SEGMENT_VALUE].data.offsets;
        rows->values = decoder->columns[SEGMENT_VALUE].data.bytes;
    }
    if (decoder->has_read[SEGMENT_INDEXES]) {
        rows->indexes_offsets = decoder->columns[SEGMENT_INDEXES].data.offsets;
        rows->indexes = decoder->columns[SEGMENT_INDEXES].data.bytes;
    }
    if (!slice_equal(stripe_rows_key(rows, 0), stripe_first_key(&segment->stripes, stripe)))
        return error_set(error, PLINTH_CORRUPT, "column key: the first key is not the page index's");
    return decoder->has_read[SEGMENT_OPERATION] ? take_operations(decoder, rows, error) : PLINTH_OK;
}

enum plinth_status stripe_decode(struct segment *segment, uint32_t stripe, unsigned parts,
                                 struct stripe_decoder *decoder, struct stripe_rows *rows, struct plinth_error *error) {
    *rows = (struct stripe_rows){0};
    memset(decoder->has_read, 0, sizeof decoder->has_read);
    if (segment->rows) return row_stripe_decode(segment, stripe, parts, decoder, rows, error);
    enum plinth_status st = PLINTH_OK;
    for (enum segment_column column = 0; column < SEGMENT_COLUMNS && !st; column++) {
        if (wants_column(segment, stripe, column, parts)) st = read_column(segment, stripe, column, decoder, error);
    }
    if (!st) st = take_columns(segment, stripe, decoder, rows, error);
    if (st) {
        if (error) (void)error_prefix(error, "stripe %u", stripe);
        st = segment_error(segment, st, error);
        *rows = (struct stripe_rows){0};
    }
    return st;
}

uint32_t stripe_rows_find(const struct stripe_rows *rows, struct slice key, uint64_t lsn) {
    uint32_t low = 0, high = rows->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (row_order(stripe_rows_key(rows, middle), stripe_rows_lsn(rows, middle), key, lsn) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
