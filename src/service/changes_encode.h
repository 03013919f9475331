/* Items of a change feed as bytes of a ChangesResponse (api/plinth/v1/change_feed.proto), by hand as the other hot
 * answers. */
#ifndef PLINTH_SERVICE_CHANGES_ENCODE_H
#define PLINTH_SERVICE_CHANGES_ENCODE_H

#include "engine/feed.h"

enum { CHANGES_PIECE_BYTES = 1 << 20 }; /* of rows in one Change, about: clients accept messages of 4 MiB */

struct changes_format {
    bool values; /* else Arrow, with: */
    enum arrow_compression compression;
    bool with_previous;
};

/* How far an item is encoded; {0}: not at all. */
struct changes_progress {
    uint64_t operations;
    uint32_t rows;
};

/* Scratch memory that is kept between calls. */
struct changes_scratch {
    struct buffer change, part, inner;
};
void changes_scratch_deinit(struct changes_scratch *scratch);

/* Appends the next part of the item as one Change, of about CHANGES_PIECE_BYTES at most; *done when nothing is left. */
PLINTH_MUST_CHECK enum plinth_status changes_encode(struct buffer *message, const struct feed_item *item,
                                                    const struct changes_format *format,
                                                    struct changes_progress *progress, bool *done,
                                                    struct changes_scratch *scratch, struct plinth_error *error);
/* Appends that the changes are of the state where the feed begins. */
PLINTH_MUST_CHECK bool changes_encode_initial(struct buffer *message);
/* Appends the message's own position. */
PLINTH_MUST_CHECK bool changes_encode_position(struct buffer *message, struct plinth_position position);

#endif
