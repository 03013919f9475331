/* Key runs: which keys of a typed table, or of an index, one record wrote. What the conflict window of rows is made of.
 *
 * A run is one piece of memory with a copy of the keys, in their order, so that a look-up is a binary search and a
 * range a look at two of them. The writer's thread makes it before any lock is taken. Tables without a key have runs
 * that say no more than that there were rows (`everything`). */
#ifndef PLINTH_ENGINE_KEY_RUN_H
#define PLINTH_ENGINE_KEY_RUN_H

#include "column/key_encoding.h"
#include "column/row_key.h"

struct key_run {
    struct key_run *next; /* in a list of them */
    uint64_t lsn;         /* set when it is registered */
    struct table_id table;
    bool everything;
    uint32_t count;
    uint64_t bytes; /* of memory: a function of the keys */
    struct row_keys keys;
};

/* `keys` are copied; null: a run of everything. Null when memory is out. */
struct key_run *key_run_create(struct table_id table, const struct row_keys *keys, uint32_t count);
/* Frees a list; null is allowed. */
void key_runs_free(struct key_run *runs);
void key_runs_append(struct key_run **runs, struct key_run *more);
uint64_t key_runs_count(const struct key_run *runs);

/* The first key of the run in [lower, upper) (an empty upper is no bound); false when there is none. A run of
 * everything has every key, and gives an empty one. */
bool key_run_find(const struct key_run *run, struct slice lower, struct slice upper, struct slice *found);
/* Whether the run has this key. */
bool key_run_has(const struct key_run *run, struct slice key);

#endif
