#include "engine/dead_entries.h"

/* Versions that may be live. */
static uint64_t versions_most(const struct view *view, struct table_id id, uint64_t horizon_lsn) {
    const struct view_table *table = view_find_table(view, id);
    uint64_t rows = 0;
    for (size_t i = 0; table && i < table->run_count; i++) {
        const struct run *run = table->runs[i].run;
        if (run_lsn_max(run) > horizon_lsn) return UINT64_MAX;
        for (size_t s = 0; s < run_segment_count(run); s++) {
            const struct segment_info *info = segment_info(run_segment(run, s));
            uint64_t dead = info->deletes + info->superseded;
            rows += info->rows > dead ? info->rows - dead : 0;
        }
    }
    return rows;
}

uint64_t dead_entries_least(const struct view *view, struct table_id index, struct table_id indexed,
                            bool one_entry_a_row, uint64_t horizon_lsn, uint64_t *entries) {
    const struct view_table *table = view_find_table(view, index);
    uint64_t count = 0, versions = versions_most(view, indexed, horizon_lsn);
    bool is_held = false;
    for (size_t i = 0; table && i < table->run_count; i++) {
        is_held |= run_lsn_max(table->runs[i].run) > horizon_lsn;
        count += run_rows(table->runs[i].run);
    }
    if (entries) *entries = count;
    if (is_held || (versions && !one_entry_a_row)) return 0;
    return count > versions ? count - versions : 0;
}
