/* From arrays of the Arrow C Data interface to columns with levels: the opposite of arrow_read.h.
 *
 *     arrow_plan_init        an ArrowSchema: the nodes of the Parquet schema, and how each array goes there
 *       arrow_shred ...      some rows of a batch: what parquet_writer_write takes
 *     arrow_plan_deinit
 *
 *   Arrow                                          Parquet
 *   Null                                           INT32 NULL
 *   Bool; Int8..64, UInt8..64                      BOOLEAN; INT32, INT64 with INTEGER
 *   Float16; Float32, Float64                      FIXED(2) FLOAT16; FLOAT, DOUBLE
 *   Decimal32..256                                 INT32, INT64 or FIXED of as few bytes as the digits need, DECIMAL
 *   Utf8, LargeUtf8, Utf8View                      BYTE_ARRAY STRING
 *   Binary, LargeBinary, BinaryView                BYTE_ARRAY
 *   FixedSizeBinary                                FIXED
 *   Date32, Date64                                 INT32 DATE
 *   Time32, Time64 (seconds as milliseconds)       INT32, INT64 TIME
 *   Timestamp (seconds as milliseconds)            INT64 TIMESTAMP, of UTC when it has a zone
 *   Duration                                       INT64
 *   List, LargeList, FixedSizeList, (Large)ListView   three-level LIST
 *   Map; Struct                                    MAP; group
 *   a dictionary of values                         as the values
 *
 * Not: unions, intervals, run-end encoding, dictionaries of nested values, structs without fields.
 *
 * Shredding goes down the fields. At each it has *slots*: their levels so far, and the place in the field's array that
 * each stands for (none where something above is null or empty). A struct adds a level where it is not null; a list
 * makes a slot of each element; at a leaf the values are gathered to the slots. */
#ifndef PLINTH_PARQUET_ARROW_WRITE_H
#define PLINTH_PARQUET_ARROW_WRITE_H

#include "parquet/schema.h"
#include "plinth_arrow.h"

/* How the buffers of an array lie. */
enum arrow_layout {
    ARROW_LAYOUT_NULL,
    ARROW_LAYOUT_BITS,
    ARROW_LAYOUT_FIXED,
    ARROW_LAYOUT_BYTES_32,
    ARROW_LAYOUT_BYTES_64,
    ARROW_LAYOUT_BYTES_VIEW,
    ARROW_LAYOUT_STRUCT,
    ARROW_LAYOUT_LIST_32,
    ARROW_LAYOUT_LIST_64,
    ARROW_LAYOUT_LIST_FIXED,
    ARROW_LAYOUT_LIST_VIEW_32,
    ARROW_LAYOUT_LIST_VIEW_64,
};

/* What is done to a value of a fixed width. */
enum arrow_change {
    ARROW_CHANGE_NOTHING,
    ARROW_CHANGE_WIDEN_SIGNED,   /* 1, 2 bytes to 4 */
    ARROW_CHANGE_WIDEN_UNSIGNED, /* the same */
    ARROW_CHANGE_SECONDS,        /* to milliseconds; 4 or 8 bytes */
    ARROW_CHANGE_DATE_64,        /* milliseconds to days: 8 to 4 bytes */
    ARROW_CHANGE_DECIMAL,
};

struct arrow_field {
    const char *name;
    bool nullable;
    enum arrow_layout layout; /* of a dictionary: that of the values */
    enum arrow_change change;
    uint32_t width;       /* FIXED: bytes a value in Arrow */
    uint32_t fixed_count; /* LIST_FIXED: elements */
    char index_format;    /* of a dictionary's indices: one of "cCsSiIlL"; 0: no dictionary */
    uint8_t depth;        /* lists: repeated levels above their elements, less one */
    uint32_t first_leaf;
    struct arrow_field *children; /* STRUCT: its fields; lists: the element */
    uint32_t child_count;
};

struct arrow_plan {
    struct arena arena;
    struct buffer nodes;      /* struct parquet_node */
    struct arrow_field *root; /* a STRUCT */
    uint32_t leaf_count;
};

/* PLINTH_UNSUPPORTED, PLINTH_INVALID_ARGUMENT: the text names the field. `schema` is not referred to later. Deinit is
 * safe after a failure. */
PLINTH_MUST_CHECK enum plinth_status arrow_plan_init(struct arrow_plan *plan, const struct ArrowSchema *schema,
                                                     struct plinth_error *error);
void arrow_plan_deinit(struct arrow_plan *plan);

/* One column of some rows, with the memory that it may lie in (`data` may point into the arrays, too). */
struct arrow_shredded {
    struct parquet_column_data data;
    struct buffer values, offsets, validity, definition, repetition;
};
void arrow_shredded_deinit(struct arrow_shredded *shredded);

/* Rows begin .. begin + count - 1 of `batch` as columns: `columns` has plan->leaf_count entries, of `schema`, the
 * schema made of plan->nodes. PLINTH_INVALID_ARGUMENT: nulls where there may be none, offsets or indices that point
 * outside, a number out of range; PLINTH_TOO_LARGE: more than 2^31 slots or bytes in a column. */
PLINTH_MUST_CHECK enum plinth_status arrow_shred(const struct arrow_plan *plan, const struct parquet_schema *schema,
                                                 const struct ArrowArray *batch, uint64_t begin, uint64_t count,
                                                 struct arrow_shredded *columns, struct plinth_error *error);

#endif
