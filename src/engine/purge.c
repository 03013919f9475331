#include "engine/purge.h"

void purge_init(struct purge *purge, uint64_t horizon_lsn, bool bottom) {
    *purge = (struct purge){.horizon_lsn = horizon_lsn, .bottom = bottom};
}

void purge_deinit(struct purge *purge) { buffer_deinit(&purge->key); }

enum purge_verdict purge_judge(struct purge *purge, const struct row *row, bool *at_horizon) {
    *at_horizon = false;
    if (!purge->has_key || !slice_equal(buffer_slice(&purge->key), row->key)) {
        buffer_clear(&purge->key);
        if (!buffer_append(&purge->key, row->key.data, row->key.size)) return PURGE_NO_MEMORY;
        purge->has_key = true;
        purge->hidden = false;
    }
    if (row->lsn > purge->horizon_lsn) return PURGE_KEEP;
    if (purge->hidden) return PURGE_DROP;
    purge->hidden = true;
    *at_horizon = true;
    return row->operation == ROW_DELETE && purge->bottom ? PURGE_DROP : PURGE_KEEP;
}
