/* Manifest entries from arbitrary bytes: what decodes, encodes to something that decodes to the same. */
#include <stdlib.h>

#include "table/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reader reader = reader_of(slice_of(data, size));
    struct segment_info info, again_info;
    if (!segment_info_decode(&reader, &info)) return 0;
    struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
    if (!segment_info_encode(&once, &info)) abort();
    reader = reader_of(buffer_slice(&once));
    if (!segment_info_decode(&reader, &again_info) || reader_left(&reader)) abort();
    if (!segment_info_encode(&twice, &again_info)) abort();
    if (!slice_equal(buffer_slice(&once), buffer_slice(&twice))) abort();
    segment_info_deinit(&info);
    segment_info_deinit(&again_info);
    buffer_deinit(&once);
    buffer_deinit(&twice);
    return 0;
}
