/* Library of tests/integration/test_arrow_data.py: takes a record batch through the C Data interface and hands it back
 * out, sliced. */
#include <stdio.h>

#include "column/arrow_data.h"

PLINTH_API int arrow_data_echo(struct ArrowArray *array, struct ArrowSchema *schema, uint32_t first, uint32_t count,
                               struct ArrowArray *array_out, struct ArrowSchema *schema_out, char *text);

/* Consumes `array` when it is fine; the caller keeps `schema`. The status; `text` takes PLINTH_ERROR_TEXT_MAX bytes. */
int arrow_data_echo(struct ArrowArray *array, struct ArrowSchema *schema, uint32_t first, uint32_t count,
                    struct ArrowArray *array_out, struct ArrowSchema *schema_out, char *text) {
    struct plinth_error error = {0};
    struct arrow_schema read;
    struct batch *batch = NULL, *slice = NULL;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status status = arrow_import_schema(schema, &arena, &read, &error);
    if (!status) status = arrow_import_batch(array, schema, &batch, &error);
    if (!status && !(slice = batch_slice(batch, first, count))) status = PLINTH_OUT_OF_MEMORY;
    if (!status) status = arrow_export_schema(&read, schema_out, &error);
    if (!status) {
        status = arrow_export_batch(slice, array_out, &error);
        if (status) schema_out->release(schema_out);
    }
    batch_unref(slice);
    batch_unref(batch);
    arena_deinit(&arena);
    snprintf(text, PLINTH_ERROR_TEXT_MAX, "%s", error.text);
    return (int)status;
}
