/* What the log and checkpoints say of large values, from arbitrary bytes: what decodes, encodes to the same again. The
 * first byte chooses the form. */
#include <stdlib.h>

#include "engine/value_objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_state(struct slice bytes) {
    struct reader reader = reader_of(bytes);
    struct value_objects objects = {0}, again = {0};
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    if (value_objects_decode(&reader, &objects)) {
        if (!value_objects_encode(&once, &objects)) abort();
        reader = reader_of(buffer_slice(&once));
        if (!value_objects_decode(&reader, &again) || reader_left(&reader)) abort();
        if (!value_objects_encode(&twice, &again)) abort();
        if (!slice_equal(buffer_slice(&once), buffer_slice(&twice))) abort();
    }
    value_objects_deinit(&objects);
    value_objects_deinit(&again);
    buffer_deinit(&once);
    buffer_deinit(&twice);
}

static void check_payload(struct slice payload, bool is_dropped) {
    struct value_count *counts = NULL, *again = NULL;
    uint64_t job = 0, again_job = 0, count = 0, again_count = 0;
    struct plinth_error error = {0};
    struct buffer once = BUFFER_INIT;
    enum plinth_status st = is_dropped ? values_dropped_decode(payload, &job, &counts, &count, &error)
                                       : values_gone_decode(payload, &counts, &count, &error);
    if (!st) {
        bool ok =
            is_dropped ? values_dropped_encode(&once, job, counts, count) : values_gone_encode(&once, counts, count);
        if (!ok) abort();
        st = is_dropped ? values_dropped_decode(buffer_slice(&once), &again_job, &again, &again_count, &error)
                        : values_gone_decode(buffer_slice(&once), &again, &again_count, &error);
        if (st || again_job != job || again_count != count) abort();
        for (uint64_t i = 0; i < count; i++)
            if (value_count_compare(&counts[i], &again[i]) != 0 || counts[i].count != again[i].count) abort();
    }
    free(counts);
    free(again);
    buffer_deinit(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    if (data[0] % 3 == 0) check_state(bytes);
    if (data[0] % 3 == 1) check_payload(bytes, true);
    if (data[0] % 3 == 2) check_payload(bytes, false);
    return 0;
}
