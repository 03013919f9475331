/* What lies in a data directory, and what needs it.
 *
 * An inventory is a copy of the shard's state and of what holds the log, made by an open engine (plinth_files_visit) or
 * from the directory itself: the newest good checkpoint and the log behind it, read and not replayed into memtables.
 * The latter changes nothing and needs no lock, so it can be made beside a running server; it then shows what is
 * durable, and knows of no reads and change feeds. */
#ifndef PLINTH_ENGINE_INVENTORY_H
#define PLINTH_ENGINE_INVENTORY_H

#include "engine/engine.h"

struct inventory {
    struct env *env;
    char *path; /* the data directory */
    struct shard shard;
    bool is_open; /* made by the engine that has the directory open */
    uint8_t log_id[LOG_ID_BYTES];
    uint64_t replay_newest, replay_second; /* where replays from the two newest checkpoints start; 0: there is none */
    uint64_t feeds_lsn;                    /* the first record that an open change feed needs; UINT64_MAX: none */
    char **in_use;                         /* replaced segments that a read still looks at */
    uint64_t in_use_count;
};

/* Of a directory, by looking only. PLINTH_NOT_FOUND when it is none. `*log` (may be null) is the log, open for reading;
 * the caller's to close. A trim that comes between makes it begin again, a few times. */
PLINTH_MUST_CHECK enum plinth_status inventory_read(struct env *env, const char *path, struct inventory *inventory,
                                                    struct log **log, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status inventory_of_engine(struct plinth *db, struct inventory *inventory,
                                                         struct plinth_error *error);
void inventory_deinit(struct inventory *inventory);

/* As plinth_files_visit. */
PLINTH_MUST_CHECK enum plinth_status inventory_visit(const struct inventory *inventory, plinth_file_visitor *visit,
                                                     void *context, struct plinth_error *error);

#endif
