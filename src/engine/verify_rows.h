/* Checks a typed table against its sorted indexes. Other indexes lie in the segments (segment_verify). */
#ifndef PLINTH_ENGINE_VERIFY_ROWS_H
#define PLINTH_ENGINE_VERIFY_ROWS_H

#include "engine/engine.h"
#include "table/table_schema.h"

struct rows_verify {
    void (*report)(void *context, const char *object, const char *problem);
    void *context;
    uint64_t time_us;             /* of two rows with a value of a unique index none has expired then */
    uint64_t rows, index_entries; /* checked; counted on */
};

/* Every live entry has the values of its row, and each row has its entry in each index that is ready. What is found is
 * reported; PLINTH_CORRUPT when something cannot be read. */
PLINTH_MUST_CHECK enum plinth_status rows_verify(struct rows_verify *verify, struct view *view, uint64_t lsn,
                                                 const struct table_schema *schema, struct plinth_error *error);

#endif
