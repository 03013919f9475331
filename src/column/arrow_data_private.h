/* What the files of the C Data interface share; for this folder only. */
#ifndef PLINTH_COLUMN_ARROW_DATA_PRIVATE_H
#define PLINTH_COLUMN_ARROW_DATA_PRIVATE_H

#include "column/arrow_data.h"

/* How the buffers of a foreign array lie, next to what its column becomes. */
enum data_layout {
    DATA_NULL,        /* no buffers */
    DATA_FIXED,       /* validity, values (BOOL: a bitmap) */
    DATA_BYTES_32,    /* validity, int32 offsets, bytes */
    DATA_BYTES_64,    /* validity, int64 offsets, bytes */
    DATA_BYTES_FIXED, /* validity, bytes */
    DATA_LIST_32,     /* validity, int32 offsets; child */
    DATA_LIST_64,     /* validity, int64 offsets; child */
    DATA_LIST_FIXED   /* validity; child */
};

/* What a format string says. Of a dictionary-encoded array this describes the indexes. */
struct data_format {
    struct column_type type; /* LIST: kind alone; the child has its own format */
    enum data_layout layout;
    uint32_t fixed_count; /* DATA_BYTES_FIXED: bytes; DATA_LIST_FIXED: elements */
};
/* PLINTH_UNSUPPORTED names the format. */
PLINTH_MUST_CHECK enum plinth_status data_format_parse(const struct ArrowSchema *schema, struct data_format *format,
                                                       struct plinth_error *error);
/* The type that a field's column gets: of the dictionary's values, with the list's element. Refuses lists of lists. */
PLINTH_MUST_CHECK enum plinth_status data_field_type(const struct ArrowSchema *schema, struct column_type *type,
                                                     struct plinth_error *error);
/* Whether `schema` is the struct of a record batch, with all its children. */
PLINTH_MUST_CHECK enum plinth_status data_check_batch_schema(const struct ArrowSchema *schema,
                                                             struct plinth_error *error);

#endif
