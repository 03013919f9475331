/* Rows of a typed table in a sorted array: what tests compare blocks and merges of them with. All that a row holds
 * follows from its key and LSN, so the array keeps only these. */
#ifndef PLINTH_TESTS_UNIT_TABLE_BLOCK_MODEL_H
#define PLINTH_TESTS_UNIT_TABLE_BLOCK_MODEL_H

#include "support/test_support.h"
#include "table/block_stream.h"

/* Columns of the table, by id. The key is (device, seq); `extra` came later. */
enum {
    COLUMN_DEVICE = 1, /* STRING */
    COLUMN_SEQ = 2,    /* INT64 */
    COLUMN_VALUE = 3,  /* FLOAT64, nullable, as all that follow */
    COLUMN_NOTE = 4,   /* STRING */
    COLUMN_FLAG = 5,   /* BOOL */
    COLUMN_TAGS = 6,   /* LIST of INT32 */
    COLUMN_AMOUNT = 7, /* DECIMAL(20,2) */
    COLUMN_EXTRA = 8,  /* INT16 */
    MODEL_COLUMNS = 8,
    MODEL_INDEX = 77, /* id of an index on (note, flag) */
};

struct model_row {
    uint32_t device;
    int64_t seq;
    uint64_t lsn;
    uint32_t ordinal; /* tables without a key */
    enum row_operation operation;
    bool has_extra; /* else the block does not have the column */
    size_t key_size;
    uint8_t key[40];
};
static inline struct slice model_key(const struct model_row *row) { return slice_of(row->key, row->key_size); }

struct block_model {
    struct table_schema *schema;
    bool keyless;
    uint64_t devices, seqs; /* keys are drawn from so many */
    struct model_row *rows;
    size_t count, capacity;
};

/* The table; `keyless`: without the key. */
struct table_schema *model_schema(bool keyless);
void block_model_init(struct block_model *model, bool keyless, uint64_t devices, uint64_t seqs);
void block_model_deinit(struct block_model *model);
/* A block of up to `rows` rows with different random keys at `lsn`, also added to the model. */
struct row_block *block_model_add(struct block_model *model, struct test_random *random, uint32_t rows, uint64_t lsn,
                                  enum row_operation operation);
/* The same, of consecutive seqs of one device. */
struct row_block *block_model_add_range(struct block_model *model, uint32_t device, int64_t first_seq, uint32_t rows,
                                        uint64_t lsn);
void block_model_sort(struct block_model *model);
/* The newest version of a key not above lsn_max, or null. The model is sorted. */
const struct model_row *block_model_get(const struct block_model *model, struct slice key, uint64_t lsn_max);

/* Row `row` of the block is what the model says: key, LSN, operation, and all columns that the block has. */
void assert_block_row(const struct row_block *block, uint32_t row, const struct model_row *wanted);
/* The rows of the stream, which is closed, are those; returns the number of blocks. */
size_t assert_stream_gives(struct block_stream *stream, const struct block_read *read, const struct model_row *rows,
                           size_t count);

#endif
