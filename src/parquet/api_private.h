/* What the files behind include/plinth_parquet.h share. */
#ifndef PLINTH_PARQUET_API_PRIVATE_H
#define PLINTH_PARQUET_API_PRIVATE_H

#include <stdatomic.h>

#include "base/env.h"
#include "parquet/reader.h"
#include "plinth_parquet.h"

struct plinth_parquet_file {
    atomic_uint references; /* the caller's, and one a stream */
    struct parquet_source source;
    struct env_file *file;              /* of a path */
    plinth_parquet_read_function *read; /* of the caller */
    void *context;
    struct parquet_reader *reader;
    struct arena arena; /* texts */
    /* What the last stream decoded pages with: making it anew costs as much as decoding a page. */
    _Atomic(struct parquet_scratch *) spare;
    const char *created_by;
    const char **keys, **values; /* of key-value metadata */
    uint64_t batch_bytes_enough, stream_bytes_max;
    bool allow_invalid_utf8;
    enum parquet_time_unit int96_unit;
};

/* Drops a reference; the last one closes. */
void api_file_unref(struct plinth_parquet_file *file);
/* Memory to decode with, and back again; the file keeps one, when it is small. Null is allowed. */
PLINTH_MUST_CHECK enum plinth_status
api_file_take_scratch(struct plinth_parquet_file *file, struct parquet_scratch **scratch, struct plinth_error *error);
void api_file_return_scratch(struct plinth_parquet_file *file, struct parquet_scratch *scratch);

#endif
