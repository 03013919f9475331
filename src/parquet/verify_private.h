/* What the files of verify.h share. For this folder only. */
#ifndef PLINTH_PARQUET_VERIFY_PRIVATE_H
#define PLINTH_PARQUET_VERIFY_PRIVATE_H

#include "parquet/reader_private.h"
#include "parquet/statistics_private.h"
#include "parquet/verify.h"

struct verifier {
    const struct parquet_reader *reader;
    const struct parquet_verify_options *options;
    struct parquet_verify_counts *counts;
    struct parquet_scratch *scratch;
    bool is_stopped; /* the caller wants no more */
};

/* Where a finding is; `{row_group, column, PARQUET_NOWHERE, PARQUET_NOWHERE}`. */
struct verify_place {
    int64_t row_group;
    const char *column;
    int64_t page;
    int64_t offset;
};

void verify_report(struct verifier *verifier, struct verify_place place, const char *format, ...) PLINTH_PRINTF(3, 4);
/* What `status` says of the file: PLINTH_CORRUPT is a finding with the error's text, and PLINTH_OK is returned. */
PLINTH_MUST_CHECK enum plinth_status verify_status(struct verifier *verifier, struct verify_place place,
                                                   enum plinth_status status, struct plinth_error *error);

enum { VERIFY_VALUE_TEXT_MAX = 80 };
/* A PLAIN-encoded value for people; returns `text`. */
const char *verify_value_text(enum parquet_order order, struct slice value, char text[VERIFY_VALUE_TEXT_MAX]);

/* Everything of one column chunk. */
PLINTH_MUST_CHECK enum plinth_status verify_chunk(struct verifier *verifier, uint32_t row_group, uint32_t column,
                                                  struct plinth_error *error);

#endif
