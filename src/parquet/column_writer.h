/* One column of the open row group: rows come in, encoded and compressed pages come out into memory, together with
 * their statistics, dictionary and bloom filter. Columns share nothing but the scratch. */
#ifndef PLINTH_PARQUET_COLUMN_WRITER_H
#define PLINTH_PARQUET_COLUMN_WRITER_H

#include "parquet/bloom.h"
#include "parquet/codec.h"
#include "parquet/dictionary.h"
#include "parquet/metadata_private.h"
#include "parquet/statistics_private.h"
#include "parquet/writer.h"

/* Memory for the page that is being encoded, shared by the columns of a writer. */
struct encode_scratch {
    struct codec_state codec;
    struct buffer dense;    /* values without their nulls */
    struct buffer offsets;  /* theirs */
    struct buffer integers; /* uint32: lengths, dictionary indices */
    struct buffer validity; /* bitmap, of columns with levels */
    struct buffer levels;   /* encoded */
    struct buffer values;   /* encoded */
    struct codec_cuts cuts; /* in them */
    struct buffer body;     /* of the page, as it goes out */
};

void encode_scratch_deinit(struct encode_scratch *scratch);
size_t encode_scratch_memory(const struct encode_scratch *scratch);

/* What is remembered of a page until the page index is written. */
struct page_record {
    struct parquet_page_location location; /* offset: in the chunk's pages until they are written, then in the file */
    struct parquet_page_bounds bounds;     /* in the index arena */
    uint64_t unencoded_bytes;
    bool has_bounds;
};

/* Some rows of a batch, and the slots that they take in one column. */
struct slot_range {
    uint64_t begin; /* the first slot */
    uint32_t rows;
    uint32_t slots;
};

struct column_writer {
    const struct parquet_column *column;
    struct parquet_column_options options;
    enum parquet_order order;
    uint8_t data_page_version;
    bool has_checksums;
    uint64_t batch_slot; /* the first slot of the batch that has not been taken yet */

    /* The rows of the open stripe. */
    uint32_t stripe_rows;
    uint32_t stripe_slots;
    uint64_t stripe_nulls;       /* of columns without levels */
    struct buffer stripe_values; /* or bytes */
    struct buffer stripe_offsets;
    struct buffer stripe_validity;
    struct buffer stripe_definition, stripe_repetition; /* of columns with levels */

    /* The open column chunk. */
    struct buffer pages;
    struct buffer records;      /* struct page_record */
    struct buffer level_counts; /* uint64: a page's counts of repetition levels, then of definition levels */
    uint64_t rows, slots, null_count, nan_count, uncompressed_bytes, unencoded_bytes;
    uint32_t encodings;
    uint32_t incompressible_pages; /* in a row, of this encoding */
    enum parquet_encoding compressed_encoding;
    uint32_t dictionary_pages, plain_pages; /* data pages encoded by the dictionary, and otherwise */
    bool uses_dictionary;                   /* for the next page */
    struct dictionary dictionary;
    struct buffer dictionary_page; /* header and body, made at the chunk's end */
    struct buffer min, max;        /* the chunk's exact bounds */
    bool has_bounds;
    struct parquet_bloom bloom;
    struct buffer hashes; /* uint64 each: for a filter that is sized when all are known */
};

/* How many counts a page has: those that other counts do not say already, so none for columns without levels. */
uint32_t column_writer_repetition_counts(const struct column_writer *writer);
uint32_t column_writer_definition_counts(const struct column_writer *writer);

/* Whether the encoding (no dictionary) is written for the type. */
bool column_encoding_fits(enum parquet_type type, enum parquet_encoding encoding);

/* PLINTH_INVALID_ARGUMENT when the options do not fit the column. */
PLINTH_MUST_CHECK enum plinth_status column_writer_init(struct column_writer *writer,
                                                        const struct parquet_column *column,
                                                        const struct parquet_column_options *options,
                                                        uint8_t data_page_version, bool has_checksums,
                                                        struct plinth_error *error);
void column_writer_deinit(struct column_writer *writer);
/* How the next chunk is encoded: between chunks. PLINTH_INVALID_ARGUMENT as column_writer_init. */
PLINTH_MUST_CHECK enum plinth_status column_writer_set_encoding(struct column_writer *writer,
                                                                const struct parquet_column_options *options,
                                                                struct plinth_error *error);
/* Begins a batch of `rows` rows. PLINTH_INVALID_ARGUMENT when the column's levels are missing, do not go together or
 * are of another number of rows. */
PLINTH_MUST_CHECK enum plinth_status column_writer_begin_batch(struct column_writer *writer,
                                                               const struct parquet_column_data *data, uint64_t rows,
                                                               struct plinth_error *error);
/* Copies the batch's next `rows` rows to the open stripe. */
PLINTH_MUST_CHECK enum plinth_status column_writer_append(struct column_writer *writer,
                                                          const struct parquet_column_data *data, uint32_t rows,
                                                          struct plinth_error *error);
/* Encodes the open stripe as a page, when it has rows. Min and max for the page index go to `index_arena`. */
PLINTH_MUST_CHECK enum plinth_status column_writer_end_stripe(struct column_writer *writer,
                                                              struct encode_scratch *scratch, struct arena *index_arena,
                                                              struct plinth_error *error);
/* Encodes the batch's next `rows` rows as a page right from `data`; the open stripe must be empty. */
PLINTH_MUST_CHECK enum plinth_status column_writer_write_page(struct column_writer *writer,
                                                              const struct parquet_column_data *data, uint32_t rows,
                                                              struct encode_scratch *scratch, struct arena *index_arena,
                                                              struct plinth_error *error);
/* Makes the dictionary page and the bloom filter; nothing may be written to the chunk any more. */
PLINTH_MUST_CHECK enum plinth_status
column_writer_end_chunk(struct column_writer *writer, struct encode_scratch *scratch, struct plinth_error *error);
/* Begins a file with `rows` rows of whole stripes: columns that are encoded already (`begun`, emptied, of this file's
 * options, with page bounds that live as long as the writer; null: not so), the others from `columns`, which may have
 * more rows. */
PLINTH_MUST_CHECK enum plinth_status parquet_writer_begin_with(struct parquet_writer *writer,
                                                               struct column_writer *const *begun,
                                                               const struct parquet_column_data *columns, uint64_t rows,
                                                               struct plinth_error *error);
/* Begins the next chunk. */
void column_writer_clear(struct column_writer *writer);
/* Raw bytes in the open stripe; all memory held. */
uint64_t column_writer_stripe_bytes(const struct column_writer *writer);
size_t column_writer_memory(const struct column_writer *writer);

#endif
