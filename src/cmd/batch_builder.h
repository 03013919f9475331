/* A plinth.v1.BatchRequest written operation by operation straight into the bytes that are sent (and kept, for sending
 * them again). Field numbers are those of api/plinth/v1/key_value.proto. */
#ifndef PLINTH_CMD_BATCH_BUILDER_H
#define PLINTH_CMD_BATCH_BUILDER_H

#include "base/bytes.h"
#include "plinth/v1/types.pb-c.h"

struct batch_index_value {
    struct slice name;
    struct slice value;
};

/* {0} is an empty batch. */
struct batch_builder {
    struct buffer request;
    uint64_t operations;
};

void batch_builder_deinit(struct batch_builder *batch);
/* Keeps the memory. */
void batch_builder_clear(struct batch_builder *batch);
/* These return false when memory is out. */
PLINTH_MUST_CHECK bool batch_builder_set(struct batch_builder *batch, struct slice key, struct slice value,
                                         const struct batch_index_value *indexes, size_t index_count);
PLINTH_MUST_CHECK bool batch_builder_delete(struct batch_builder *batch, struct slice key);
/* The last step: the fields behind the operations. Both may be null. */
PLINTH_MUST_CHECK bool batch_builder_finish(struct batch_builder *batch, const Plinth__V1__Space *space,
                                            const Plinth__V1__WriteOptions *write);

#endif
