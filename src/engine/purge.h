/* Which versions a flush or compaction may leave out. Time runs downwards, newest first; H is the horizon: no reader
 * needs a state below it any more.
 *
 *     k@90 set      > H: kept, some snapshot may be between the two
 *     k@70 set      > H: kept
 *     ------------- H = 60
 *     k@55 set      newest at or below H: kept (it is what readers at H see)
 *     k@40 delete   hidden by k@55: dropped
 *     k@20 set      hidden: dropped
 *
 * When the newest at or below H is a delete, it hides nothing any more once the output is the bottom run of its table:
 * then it is dropped too. */
#ifndef PLINTH_ENGINE_PURGE_H
#define PLINTH_ENGINE_PURGE_H

#include "table/row.h"

struct purge {
    uint64_t horizon_lsn;
    bool bottom;
    struct buffer key; /* of the row before */
    bool has_key;
    bool hidden; /* a version at or below the horizon has been seen for this key */
};

void purge_init(struct purge *purge, uint64_t horizon_lsn, bool bottom);
void purge_deinit(struct purge *purge);

enum purge_verdict { PURGE_KEEP, PURGE_DROP, PURGE_NO_MEMORY };
/* Judges the next row in row order. `*at_horizon` tells whether it is what readers at the horizon see. */
enum purge_verdict purge_judge(struct purge *purge, const struct row *row, bool *at_horizon);

#endif
