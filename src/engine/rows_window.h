/* The conflict window of rows: which keys of typed tables the newest records wrote, as conflict.h has it for key
 * spaces.
 *
 * It holds a key run for each table that a record wrote to, in the order of the log. Registering a run is O(1); a check
 * looks into the runs since its snapshot. Bounded by runs and by their bytes, both set by the log; what a flush has put
 * into segments is forgotten. From feature level 5 on: before, nothing can ask.
 *
 * Not locked: used under the engine's sequencing lock. */
#ifndef PLINTH_ENGINE_ROWS_WINDOW_H
#define PLINTH_ENGINE_ROWS_WINDOW_H

#include "engine/conflict.h"
#include "engine/key_run.h"

enum { ROWS_WINDOW_RUNS_DEFAULT = 1 << 16, ROWS_WINDOW_BYTES_DEFAULT = 32 << 20 };

struct rows_window {
    struct key_run **runs; /* ring of `capacity`, a power of two */
    uint64_t capacity;
    uint64_t begin, end; /* counted without wrapping */
    uint64_t bytes_held;
    uint64_t runs_max, bytes_max;
    uint64_t floor_lsn; /* everything above this LSN is in the window, nothing else */
};

/* Forgets everything up to `floor_lsn`, and sets the bounds. */
void rows_window_reset(struct rows_window *window, uint64_t runs_max, uint64_t bytes_max, uint64_t floor_lsn);
void rows_window_deinit(struct rows_window *window);

/* Registers the runs of a record (taken over). What is over the bounds goes oldest record first, whole records at a
 * time. False when memory is out. */
PLINTH_MUST_CHECK bool rows_window_add(struct rows_window *window, uint64_t lsn, struct key_run *runs);
/* Forgets what was written up to `lsn`. */
void rows_window_forget(struct rows_window *window, uint64_t lsn);
/* Forgets what was written to tables and indexes that are gone. */
void rows_window_prune(struct rows_window *window, bool (*is_gone)(const void *context, struct table_id table),
                       const void *context);

/* Whether a key was written above `snapshot_lsn`. */
enum conflict_verdict rows_window_check_key(const struct rows_window *window, uint64_t snapshot_lsn,
                                            struct table_id table, struct slice key);
/* Whether any key in [lower, upper) was (an empty upper is no bound). `found` is then such a key, valid until the
 * window changes; empty for tables without a key. */
enum conflict_verdict rows_window_check_range(const struct rows_window *window, uint64_t snapshot_lsn,
                                              struct table_id table, struct slice lower, struct slice upper,
                                              struct slice *found);

/* What was read of one table, for a check of much at once: in order, and no range meets another. */
struct rows_read_range {
    struct slice lower, upper;
};
struct rows_read_set {
    struct slice *keys;
    struct rows_read_range *ranges;
    uint64_t key_count, range_count;
};
/* Brings keys and ranges (with room for them all) into that order; joins ranges, drops those of nothing. */
void rows_read_set_sort(struct rows_read_set *set);
/* The same as checking key by key and range by range, but with the cost of what is less: what was read, or what was
 * written since. Not for a set of nothing. */
enum conflict_verdict rows_window_check_set(const struct rows_window *window, uint64_t snapshot_lsn,
                                            struct table_id table, const struct rows_read_set *set,
                                            struct slice *found);

#endif
