/* The Arrow C Data and C Stream interfaces (https://arrow.apache.org/docs/format/CDataInterface.html): batches in and
 * out without a copy. The structs are the specification's, in include/plinth_arrow.h. */
#ifndef PLINTH_COLUMN_ARROW_DATA_H
#define PLINTH_COLUMN_ARROW_DATA_H

#include "column/arrow_ipc.h"
#include "plinth_arrow.h"

/* The schema of a struct array (a record batch). Names and types are copied into `arena`. PLINTH_UNSUPPORTED names the
 * field and format. Does not release `from`. */
PLINTH_MUST_CHECK enum plinth_status arrow_import_schema(const struct ArrowSchema *from, struct arena *arena,
                                                         struct arrow_schema *schema, struct plinth_error *error);
/* Moves the array (its release callback is taken over: *from is marked released) into a batch whose last unref
 * releases it; on failure *from is untouched. Checks offsets and UTF-8 (column_check). Dictionaries are decoded. */
PLINTH_MUST_CHECK enum plinth_status arrow_import_batch(struct ArrowArray *from, const struct ArrowSchema *schema,
                                                        struct batch **batch, struct plinth_error *error);
/* Exports; the consumer calls ->release. The array holds a reference of the batch. */
PLINTH_MUST_CHECK enum plinth_status arrow_export_schema(const struct arrow_schema *schema, struct ArrowSchema *to,
                                                         struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status arrow_export_batch(struct batch *batch, struct ArrowArray *to,
                                                        struct plinth_error *error);

#endif
