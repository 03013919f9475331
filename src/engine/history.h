/* What of the past a shard keeps: named snapshots, and a window of time in which every state is readable.
 *
 * Part of the shard's state. Named snapshots are LSNs that stay readable until they are dropped; some keep the log
 * behind them, too, so that a change feed can begin there. The window is kept by
 * moments: pairs of a shard time and the last LSN that had it, noted about every second (of a long window less often),
 * so that a time can be turned into a state. The newest record's pair is always known: after it nothing has changed. */
#ifndef PLINTH_ENGINE_HISTORY_H
#define PLINTH_ENGINE_HISTORY_H

#include "base/bytes.h"

enum { HISTORY_NAMES_MAX = 1024 };
#define HISTORY_WINDOW_US_MAX (366ull * 24 * 3600 * 1000000)

struct named_snapshot {
    char *name;
    uint64_t lsn;
    uint64_t time_us; /* shard time when it was made, or moved here */
    uint64_t log_lsn; /* the log is kept from here on, for change feeds; 0: it need not be */
};

struct moment {
    uint64_t time_us;
    uint64_t lsn;
};

struct history {
    struct named_snapshot *names; /* ordered by name */
    uint64_t name_count;
    uint64_t window_us;     /* 0: none */
    uint64_t floor_lsn;     /* the window reaches no further back */
    struct moment *moments; /* ascending */
    uint64_t moment_count;
    struct moment newest; /* of the newest record; while there is a window */
};

void history_deinit(struct history *history);

const struct named_snapshot *history_find_name(const struct history *history, struct slice name);
/* Adds a copy of `snapshot`, whose name is new. False when memory is out. */
PLINTH_MUST_CHECK bool history_add_name(struct history *history, struct slice name,
                                        const struct named_snapshot *snapshot);
/* False when there is no such name. */
bool history_drop_name(struct history *history, struct slice name);
/* The first LSN of the log that a named snapshot needs; UINT64_MAX when none does. */
uint64_t history_log_lsn(const struct history *history);

/* Sets the window from the record `lsn` on; states before what the former window kept stay gone. False when memory is
 * out. */
PLINTH_MUST_CHECK bool history_set_window(struct history *history, uint64_t window_us, uint64_t lsn, uint64_t time_us);
/* Notes that record `lsn` brought the shard's time to `time_us`; once for each record. False when memory is out. */
PLINTH_MUST_CHECK bool history_note(struct history *history, uint64_t lsn, uint64_t time_us);
/* The oldest state that the window keeps at `time_us`; UINT64_MAX without a window. */
uint64_t history_window_lsn(const struct history *history, uint64_t time_us);
/* The last LSN known to be of `time_us` or before; false when that is before everything that is kept. */
bool history_find_time(const struct history *history, uint64_t time_us, uint64_t *lsn);

/* The time of the last moment that was noted at or before `lsn`; 0 when there is none. */
uint64_t history_find_lsn(const struct history *history, uint64_t lsn);

PLINTH_MUST_CHECK bool history_encode(struct buffer *into, const struct history *history);
/* False when malformed or memory is out; `history` is to be deinited in any case. */
PLINTH_MUST_CHECK bool history_decode(struct reader *from, struct history *history);

#endif
