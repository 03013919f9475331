/* How many entries of a sorted index must be dead, as far as counting tells: every version of a row that a flush or
 * merge keeps has brought one entry, so entries without a version that could be live are dead. That some of the
 * versions counted are dead, too, only merging the rows tells: then there are fewer of them, and more is known. */
#ifndef PLINTH_ENGINE_DEAD_ENTRIES_H
#define PLINTH_ENGINE_DEAD_ENTRIES_H

#include "engine/view.h"

/* Of the runs in the view; 0 while a snapshot holds some of them back. `*entries`: how many there are, may be null.
 * `one_entry_a_row`: false of key spaces, whose rows have any number. */
uint64_t dead_entries_least(const struct view *view, struct table_id index, struct table_id indexed,
                            bool one_entry_a_row, uint64_t horizon_lsn, uint64_t *entries);

#endif
