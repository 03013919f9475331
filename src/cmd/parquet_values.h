/* Values of Parquet files as text: arrays of the Arrow C Data interface, nested ones too.
 *
 *     parquet_values_init (of a schema) → parquet_values_bind (to a batch) → parquet_value_json, _csv, _text of a row
 *
 * What tables have, too, looks as it does there (row_output.h). Times are hh:mm:ss with a fraction, decimals exact
 * whatever their digits; in JSON structs and maps are objects (a map's keys that are no texts are written as texts),
 * lists are arrays. In CSV and for people, nested values are their JSON. */
#ifndef PLINTH_CMD_PARQUET_VALUES_H
#define PLINTH_CMD_PARQUET_VALUES_H

#include "column/batch.h"
#include "parquet/schema.h"
#include "plinth_arrow.h"

enum parquet_value_form {
    VALUE_COLUMN, /* `view` says it all */
    VALUE_NULL,
    VALUE_TIME,
    VALUE_DECIMAL, /* 256 bits, or a scale that columns do not have */
    VALUE_HALF,
    VALUE_FIXED, /* bytes of one width */
    VALUE_STRUCT,
    VALUE_LIST,
    VALUE_MAP,
};

struct parquet_value {
    const char *name;
    enum parquet_value_form form;
    struct column view; /* of the bound batch; every form has its validity, lists their offsets */
    uint32_t width;     /* FIXED, DECIMAL: bytes; TIME: 4 or 8 */
    int32_t scale;      /* DECIMAL; TIME: digits of the fraction */
    struct parquet_value *children;
    uint32_t child_count;
};

struct parquet_values {
    struct arena arena;
    struct parquet_value root; /* a struct: its children are the columns */
    struct buffer scratch, key;
};

/* `schema` is a struct; it is not referred to later. `leaves` are the Parquet columns that its leaves are, in order;
 * with null, nothing is known of UUIDs. PLINTH_UNSUPPORTED names a field that the library does not make. */
PLINTH_MUST_CHECK enum plinth_status parquet_values_init(struct parquet_values *values,
                                                         const struct ArrowSchema *schema,
                                                         const struct parquet_column *const *leaves,
                                                         struct plinth_error *error);
void parquet_values_deinit(struct parquet_values *values);
/* `batch` is borrowed until the next one, and as the library makes it: no offsets, the schema's children. */
void parquet_values_bind(struct parquet_values *values, const struct ArrowArray *batch);

/* Append one value; false when memory is out. */
PLINTH_MUST_CHECK bool parquet_value_json(struct parquet_values *values, struct buffer *into,
                                          const struct parquet_value *value, uint32_t row);
/* As a field of CSV; nothing for a null. */
PLINTH_MUST_CHECK bool parquet_value_csv(struct parquet_values *values, struct buffer *into,
                                         const struct parquet_value *value, uint32_t row);
/* For people: text and bytes as they are (tables escape them), nothing for a null. */
PLINTH_MUST_CHECK bool parquet_value_text(struct parquet_values *values, struct buffer *into,
                                          const struct parquet_value *value, uint32_t row);
static inline bool parquet_value_is_null(const struct parquet_value *value, uint32_t row) {
    return value->form == VALUE_NULL || column_is_null(&value->view, row);
}

/* A single PLAIN-encoded value (BYTE_ARRAY without its length), as statistics have them: as JSON or for people. What is
 * no value of the column is shown as its bytes. */
PLINTH_MUST_CHECK bool parquet_plain_value(const struct parquet_schema *schema, uint32_t column, struct slice bytes,
                                           bool as_json, struct buffer *into);

#endif
