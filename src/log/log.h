/* log: the ordered, durable log under a shard. A record's position is its LSN, the only clock there is.
 *
 * LSN = base of the log epoch + record ordinal. LSNs start at 1; 0 means "none". Within an epoch they have no gaps;
 * a new epoch starts above every LSN that was ever handed out, written or not.
 *
 * Three marks move forward only: next (to be handed out), written (the operating system has everything up to it),
 * synced (the disk has). log_append only puts a record into memory; getting it written and synced is the work of
 * whoever waits (group commit: one waiter writes and syncs for all), or of the log's own thread for those who asked
 * with log_request, and of that thread anyway after `sync_interval_ms`.
 *
 * Poison: when a write or sync fails the log stops for good. Nothing is retried. Appends give the failure's status;
 * waits for records that had not reached their level give PLINTH_OUTCOME_UNKNOWN: the records may or may not be
 * there when the log is opened again. Reading what was written goes on working.
 *
 * Implementations: local_log.h (files), memory_log.h (memory, shared by several handles, with faults for tests).
 * All functions may be called from any thread unless they say otherwise. */
#ifndef PLINTH_LOG_LOG_H
#define PLINTH_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "log/record.h"

struct log;
struct log_reader;

#define LOG_WAIT_FOREVER UINT64_MAX

enum {
    LOG_ID_BYTES = 16,
    /* The most LSNs that are handed out beyond the synced one; what a new epoch skips. */
    LOG_UNSYNCED_RECORDS_MAX = 1 << 20,
};

enum log_append_flags {
    LOG_NO_WAIT = 1, /* PLINTH_WOULD_BLOCK instead of waiting for room */
};

/* A stretch of LSNs. */
struct log_epoch {
    uint64_t number; /* from 1 */
    uint64_t base;   /* its first LSN */
    uint64_t last;   /* its last LSN that survived, base - 1 when none did; UINT64_MAX in the current epoch */
};

struct log_stats {
    uint64_t segments;       /* files now */
    uint64_t bytes;          /* in them, without space reserved ahead */
    uint64_t spare_bytes;    /* of trimmed files that are kept for reuse */
    uint64_t first_lsn;      /* the oldest that can be read, or the next one when there is none */
    uint64_t appended;       /* records since open */
    uint64_t appended_bytes; /* their encoded bytes */
    uint64_t groups;         /* blocks written */
    uint64_t syncs;          /* fdatasync calls of the commit path */
    uint64_t full_waits;     /* appends that found no room and waited or were refused */
};

/* Told by the log's own thread, with no lock held; calls never overlap. Both may call the log, but not log_close. */
struct log_listener {
    /* The marks have moved. Called at once when that answers a log_request, else within the sync interval. */
    void (*advanced)(struct log_listener *, uint64_t written_lsn, uint64_t synced_lsn);
    /* The log is poisoned; called once. */
    void (*failed)(struct log_listener *, const struct plinth_error *);
};

struct log_ops {
    enum plinth_status (*append)(struct log *, const struct record_header *, const struct slice *parts, int part_count,
                                 unsigned flags, uint64_t *lsn, struct plinth_error *);
    enum plinth_status (*wait)(struct log *, uint64_t lsn, enum record_durability, uint64_t timeout_us,
                               struct plinth_error *);
    enum plinth_status (*wait_room)(struct log *, uint64_t timeout_us, struct plinth_error *);
    void (*request)(struct log *, uint64_t lsn, enum record_durability);
    void (*listen)(struct log *, struct log_listener *);
    uint64_t (*next_lsn)(struct log *);
    uint64_t (*written_lsn)(struct log *);
    uint64_t (*synced_lsn)(struct log *);
    enum plinth_status (*read)(struct log *, uint64_t from_lsn, struct log_reader **, struct plinth_error *);
    enum plinth_status (*trim)(struct log *, uint64_t before_lsn, struct plinth_error *);
    size_t (*epochs)(struct log *, struct log_epoch *into, size_t capacity);
    enum plinth_status (*space)(struct log *, struct plinth_error *);
    void (*stats)(struct log *, struct log_stats *);
    enum plinth_status (*close)(struct log *, struct plinth_error *);
};

struct log {
    const struct log_ops *ops;
    uint8_t id[LOG_ID_BYTES]; /* random, made with the log; constant while open */
};

struct log_reader_ops {
    enum plinth_status (*next)(struct log_reader *, struct record *, bool *found, struct plinth_error *);
    void (*close)(struct log_reader *);
};

struct log_reader {
    const struct log_reader_ops *ops;
};

/* Gives the record the next LSN and copies it into memory; never does I/O unless there is no room (see below), so it
 * may be called under the engine's sequencing lock. `header` may leave time_us 0: the log then fills in the wall
 * time. The payload is the parts one behind the other.
 *
 * Room: at most LOG_UNSYNCED_RECORDS_MAX records and `unsynced_bytes_max` bytes are unsynced, and every admitted
 * record has disk space reserved for it. Without room the call writes or syncs others' records itself, or gives
 * PLINTH_WOULD_BLOCK with LOG_NO_WAIT (then call log_wait_room without locks).
 * PLINTH_TOO_LARGE: the payload is over RECORD_PAYLOAD_BYTES_MAX. PLINTH_NO_SPACE: the disk is full; the log is
 * not poisoned and accepts again when space is there. PLINTH_READ_ONLY: opened so. Else: the log's poison. */
PLINTH_MUST_CHECK enum plinth_status log_append(struct log *log, const struct record_header *header,
                                                const struct slice *parts, int part_count, unsigned flags,
                                                uint64_t *lsn, struct plinth_error *error);
/* Waits until everything up to `lsn` is at `level`, doing the work for all waiters if nobody else does.
 * PLINTH_DEADLINE_EXCEEDED after `timeout_us` (not exact: a write or sync under way is finished first).
 * PLINTH_OUTCOME_UNKNOWN when the log was poisoned before. PLINTH_INVALID_ARGUMENT for an LSN not handed out yet. */
PLINTH_MUST_CHECK enum plinth_status log_wait(struct log *log, uint64_t lsn, enum record_durability level,
                                              uint64_t timeout_us, struct plinth_error *error);
/* Waits until an append of the largest record would find room. */
PLINTH_MUST_CHECK enum plinth_status log_wait_room(struct log *log, uint64_t timeout_us, struct plinth_error *error);
/* Asks the log's thread to bring everything up to `lsn` to `level`, and returns at once; the listener is told. Cheap:
 * an atomic maximum, and a wake-up only when that thread sleeps. */
void log_request(struct log *log, uint64_t lsn, enum record_durability level);
/* Sets the one listener, before the first append. It must live until log_close has returned. */
void log_listen(struct log *log, struct log_listener *listener);

uint64_t log_next_lsn(struct log *log);
uint64_t log_written_lsn(struct log *log); /* 0 or the last LSN of a former epoch when there is none in this one */
uint64_t log_synced_lsn(struct log *log);

/* Starts reading at the first record at or above `from_lsn`. PLINTH_TOO_OLD when that part was trimmed. The reader
 * sees what is written at the time of each log_next, and keeps the files it stands on. A reader is used by one
 * thread at a time. */
PLINTH_MUST_CHECK enum plinth_status log_read(struct log *log, uint64_t from_lsn, struct log_reader **reader,
                                              struct plinth_error *error);
/* The next record. `*found` is false at the written end; later calls go on from there. The payload is valid until
 * the next call. PLINTH_CORRUPT, naming file, offset and LSN, for damage; PLINTH_TOO_OLD when a trim has overtaken
 * the reader. */
PLINTH_MUST_CHECK enum plinth_status log_next(struct log_reader *reader, struct record *record, bool *found,
                                              struct plinth_error *error);
/* Null is allowed. Readers are closed before their log. */
void log_reader_close(struct log_reader *reader);

/* Deletes whole segments whose records are all below `before_lsn`; never the one being written. A failure harms
 * nothing, not even the log's other calls; the next trim goes on where this one stopped. */
PLINTH_MUST_CHECK enum plinth_status log_trim(struct log *log, uint64_t before_lsn, struct plinth_error *error);
/* Copies the known epochs, oldest first, at most `capacity`; returns how many there are. The newest is the one that
 * appends go to. Epochs older than LOG_EPOCHS_MAX ones are forgotten. */
size_t log_epochs(struct log *log, struct log_epoch *into, size_t capacity);
enum { LOG_EPOCHS_MAX = 128 };
/* PLINTH_OK, or why no space can be had for the next records: appends are refused for it, or will be once the present
 * file is full. The log goes on trying by itself. */
PLINTH_MUST_CHECK enum plinth_status log_space(struct log *log, struct plinth_error *error);
void log_stats(struct log *log, struct log_stats *stats);

/* Writes and syncs everything, marks the end as a clean one, ends the thread and frees. The handle is gone also on
 * failure, which only means that the next open cannot know that the end was clean. Null is allowed. No other call
 * may be running. */
enum plinth_status log_close(struct log *log, struct plinth_error *error);

#endif
