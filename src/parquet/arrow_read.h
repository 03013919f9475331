/* From columns with levels to arrays of the Arrow C Data interface: lists, maps and structs of any depth.
 *
 *     arrow_reader_init           fields, and a builder for each column below them
 *       arrow_reader_append ...   rows of each column, as cursors give them
 *       arrow_reader_take         all that was appended, as one struct array
 *     arrow_reader_deinit
 *
 * Each column keeps its entries (values and nulls at the place of the leaf) and, when it has them, the levels of all
 * its slots. What is above a leaf (validity of structs and lists, offsets) is made from the levels of the first column
 * below it; the other columns must have as many entries there, else the file is corrupt.
 *
 * One thread. */
#ifndef PLINTH_PARQUET_ARROW_READ_H
#define PLINTH_PARQUET_ARROW_READ_H

#include "parquet/arrow_type.h"
#include "parquet/field.h"
#include "plinth_arrow.h"

/* What of one column has been appended. */
struct arrow_leaf {
    const struct parquet_column *column;
    struct arrow_type type;
    uint64_t rows, slots, entries;
    bool has_validity;
    struct buffer values; /* or the bytes of BYTES */
    struct buffer offsets;
    struct buffer validity;
    struct buffer definition, repetition; /* of columns with levels */
};

struct arrow_reader {
    const struct parquet_fields *fields;
    struct arrow_leaf *leaves; /* fields->leaf_count */
    bool allow_invalid_utf8;
    struct buffer flags, list_offsets; /* scratch */
};

/* `fields` and `schema` are borrowed until deinit, which is safe after a failure. */
PLINTH_MUST_CHECK enum plinth_status arrow_reader_init(struct arrow_reader *reader, const struct parquet_schema *schema,
                                                       const struct parquet_fields *fields,
                                                       enum parquet_time_unit int96_unit, struct plinth_error *error);
void arrow_reader_deinit(struct arrow_reader *reader);
/* Appends rows of leaf `leaf` (as numbered in fields->leaves). PLINTH_CORRUPT: levels, UTF-8 or decimals that no writer
 * makes; PLINTH_TOO_LARGE: more than 2 GiB of bytes, or a time that the unit does not reach. */
PLINTH_MUST_CHECK enum plinth_status arrow_reader_append(struct arrow_reader *reader, uint32_t leaf,
                                                         const struct parquet_column_data *data,
                                                         struct plinth_error *error);
/* Bytes that the appended rows take. */
uint64_t arrow_reader_bytes(const struct arrow_reader *reader);
/* Moves what was appended into a struct array of `rows` rows with a child for each field; the reader is empty then,
 * also after a failure. Each array can be moved and released on its own. */
PLINTH_MUST_CHECK enum plinth_status arrow_reader_take(struct arrow_reader *reader, uint64_t rows,
                                                       struct ArrowArray *array, struct plinth_error *error);

/* The schema of those arrays: a struct of the fields. Names and formats are copied. Field ids are told as the metadata
 * "PARQUET:field_id". */
PLINTH_MUST_CHECK enum plinth_status arrow_schema_export(const struct parquet_schema *schema,
                                                         const struct parquet_fields *fields,
                                                         enum parquet_time_unit int96_unit, struct ArrowSchema *to,
                                                         struct plinth_error *error);

#endif
