/* The change feed: the log, read again, for those who want to know what was written.
 *
 * A feed reads records up to the visible LSN, leaves out those that did nothing (the shard knows which, back to where
 * any feed may begin), and gives those that are shown as items. A write of several records (a unit) is given when its
 * last record comes: its parts are then read again by a second reader, from the first one on; the log stays that far
 * while the feed is open. A feed that began inside of a unit looks for its parts from the log's first record on. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/feed_private.h"
#include "engine/transaction_change.h"
#include "engine/units.h"

enum { TURN_RECORDS = 2048, TURN_BYTES = 4 << 20 }; /* read by one call that finds nothing */

/* ---- what feeds hold ---- */

uint64_t engine_feeds_lsn(struct plinth *db) {
    uint64_t lowest = UINT64_MAX;
    pthread_mutex_lock(&db->snapshot_mutex);
    for (const struct feed *feed = db->feeds; feed; feed = feed->next) {
        uint64_t lsn = atomic_load(&feed->log_lsn);
        if (lsn < lowest) lowest = lsn;
    }
    pthread_mutex_unlock(&db->snapshot_mutex);
    return lowest;
}

static void feed_link(struct feed *feed) {
    pthread_mutex_lock(&feed->db->snapshot_mutex);
    feed->next = feed->db->feeds;
    feed->db->feeds = feed;
    pthread_mutex_unlock(&feed->db->snapshot_mutex);
}

static void feed_unlink(struct feed *feed) {
    pthread_mutex_lock(&feed->db->snapshot_mutex);
    struct feed **link = &feed->db->feeds;
    while (*link != feed) link = &(*link)->next;
    *link = feed->next;
    pthread_mutex_unlock(&feed->db->snapshot_mutex);
}

/* ---- opening ---- */

uint64_t feed_visible_lsn(struct plinth *db) { return engine_position(db, engine_visible_lsn(db)).lsn; }

static enum plinth_status find_start(struct feed *feed, const struct feed_options *options, uint64_t *after,
                                     struct plinth_error *error) {
    bool given = options->after.epoch || options->after.lsn; /* LSN 0 of an epoch is before its first record */
    if (given + (options->snapshot_name != NULL) + (options->as_of_time_us != 0) > 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "only one of a position, a named snapshot and a time can be where a change feed begins");
    if (options->snapshot_name || options->as_of_time_us) {
        struct plinth_read_options read = {.snapshot_name = options->snapshot_name,
                                           .as_of_time_us = options->as_of_time_us};
        return engine_find_past(feed->db, &read, after, error);
    }
    *after = given ? options->after.lsn : feed_visible_lsn(feed->db);
    return given ? engine_check_position(feed->db, options->after, error) : PLINTH_OK;
}

static enum plinth_status find_end(struct feed *feed, const struct feed_options *options, struct plinth_error *error) {
    bool given = options->until.epoch || options->until.lsn;
    feed->until_lsn = options->until_now ? feed_visible_lsn(feed->db) : given ? options->until.lsn : UINT64_MAX;
    if (options->until_now && given)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a change feed ends at a position or at what is there now");
    return given ? engine_check_position(feed->db, options->until, error) : PLINTH_OK;
}

static enum plinth_status too_old(uint64_t after, struct plinth_error *error) {
    return error_set(error, PLINTH_TOO_OLD,
                     "the log does not reach back to position %" PRIu64 " any more: begin with a new snapshot", after);
}

/* The state at the place, for what was there before; nothing was there before the first record, so that its own state
 * is the oldest one needed. */
static enum plinth_status hold_state(struct feed *feed, uint64_t after, struct plinth_error *error) {
    uint64_t visible = engine_visible_lsn(feed->db);
    if (after > visible)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "position %" PRIu64 " is not visible yet", after);
    if (!after && visible) after = 1;
    enum plinth_status st = plinth_snapshot_create(feed->db, engine_position(feed->db, after), &feed->snapshot, error);
    if (st == PLINTH_TOO_OLD)
        error_prefix(error, "what was there before cannot be told from position %" PRIu64 " on", after);
    return st;
}

static enum plinth_status start(struct feed *feed, const struct feed_options *options, struct plinth_error *error) {
    struct plinth *db = feed->db;
    uint64_t after = 0;
    enum plinth_status st = feed_filter_init(&feed->filter, db, options, error);
    if (!st) st = find_start(feed, options, &after, error);
    if (!st) st = find_end(feed, options, error);
    if (st) return st;
    atomic_store(&feed->lsn, after);
    atomic_store(&feed->given_lsn, after);
    atomic_store(&feed->log_lsn, after + 1); /* from here on the log stays */
    pthread_mutex_lock(&db->sequence_mutex);
    bool known = after + 1 >= db->shard.voids_from;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!known) return too_old(after, error);
    feed->with_previous = options->with_previous;
    feed->limit = after;
    if (feed->with_previous) st = hold_state(feed, after, error);
    if (!st) {
        st = log_read(db->log, after + 1, &feed->reader, error);
        if (st == PLINTH_TOO_OLD) st = too_old(after, error);
    }
    return st;
}

enum plinth_status feed_open(struct plinth *db, const struct feed_options *options, struct feed **feed,
                             struct plinth_error *error) {
    *feed = NULL;
    error_clear(error);
    struct feed *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "change feed");
    made->db = db;
    feed_rows_init(&made->rows);
    arena_init(&made->keys.arena);
    atomic_init(&made->lsn, 0);
    atomic_init(&made->given_lsn, 0);
    atomic_init(&made->log_lsn, 1); /* holds all of the log until the place is known */
    feed_link(made);
    enum plinth_status st = start(made, options, error);
    if (st)
        feed_close(made);
    else
        *feed = made;
    return st;
}

void feed_close(struct feed *feed) {
    if (!feed) return;
    feed_unlink(feed);
    feed_rows_deinit(&feed->rows);
    feed_keys_deinit(&feed->keys);
    buffer_deinit(&feed->body);
    log_reader_close(feed->part_reader);
    log_reader_close(feed->reader);
    plinth_snapshot_destroy(feed->snapshot);
    feed_filter_deinit(&feed->filter);
    free(feed->units);
    free(feed->voids);
    free(feed);
}

struct plinth_position feed_position(const struct feed *feed) {
    uint64_t given = atomic_load(&feed->given_lsn), whole = atomic_load(&feed->log_lsn) - 1;
    return engine_position(feed->db, given > whole ? given : whole);
}

uint64_t feed_limit(const struct feed *feed) { return feed->limit; }

/* ---- verdicts ---- */

/* Moves the limit to the visible LSN, and fetches the void records up to it. */
static enum plinth_status move_limit(struct feed *feed, struct plinth_error *error) {
    struct plinth *db = feed->db;
    uint64_t visible = feed_visible_lsn(db);
    if (visible > feed->until_lsn) visible = feed->until_lsn;
    if (visible <= feed->limit) return PLINTH_OK;
    bool ok = true;
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t first = shard_voids_below(&db->shard, feed->limit + 1), end = shard_voids_below(&db->shard, visible + 1);
    uint64_t left = feed->void_count - feed->void_at;
    if (end > first) {
        uint64_t *voids = malloc((left + end - first) * sizeof *voids);
        ok = voids != NULL;
        if (ok) {
            if (left) memcpy(voids, feed->voids + feed->void_at, left * sizeof *voids);
            memcpy(voids + left, db->shard.voids + first, (end - first) * sizeof *voids);
            free(feed->voids);
            feed->voids = voids;
            feed->void_at = 0;
            feed->void_count = left + end - first;
        }
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!ok) return error_no_memory(error, "change feed");
    feed->limit = visible;
    return PLINTH_OK;
}

static bool is_void(struct feed *feed, uint64_t lsn) {
    while (feed->void_at < feed->void_count && feed->voids[feed->void_at] < lsn) feed->void_at++;
    return feed->void_at < feed->void_count && feed->voids[feed->void_at] == lsn;
}

/* ---- units ---- */

static struct feed_unit *find_unit(struct feed *feed, uint64_t id) {
    for (uint64_t i = 0; i < feed->unit_count; i++)
        if (feed->units[i].id == id) return &feed->units[i];
    return NULL;
}

static void drop_unit(struct feed *feed, uint64_t id) {
    struct feed_unit *unit = find_unit(feed, id);
    if (unit) *unit = feed->units[--feed->unit_count];
}

static enum plinth_status note_part(struct feed *feed, uint64_t id, uint64_t lsn, struct plinth_error *error) {
    struct feed_unit *unit = find_unit(feed, id);
    if (unit) {
        unit->parts++;
        return PLINTH_OK;
    }
    struct feed_unit made = {.id = id, .first_lsn = lsn, .time_us = feed->record.header.time_us, .parts = 1};
    return ARRAY_PUSH(feed->units, feed->unit_count, made) ? PLINTH_OK : error_no_memory(error, "change feed");
}

static bool is_part(const struct record *record, uint64_t unit) {
    struct rows_change change;
    struct transaction_part part;
    if (record->header.kind == CHANGE_TRANSACTION_PART)
        return transaction_part_decode(CHANGE_TRANSACTION_PART, record->payload, &part) && part.unit == unit;
    return record->header.kind == CHANGE_ROWS && rows_change_decode(record->payload, &change) && change.in_unit &&
           !change.last && change.unit == unit;
}

/* Parts that lie before the place where the feed began: looked for from the log's first record on. */
static enum plinth_status search_unit(struct feed *feed, uint64_t id, uint64_t last_lsn, struct feed_unit *found,
                                      struct plinth_error *error) {
    struct log_stats stats;
    struct log_reader *reader;
    *found = (struct feed_unit){.id = id};
    log_stats(feed->db->log, &stats);
    enum plinth_status st = log_read(feed->db->log, stats.first_lsn, &reader, error);
    if (st) return st;
    for (bool more = true; !st && more;) {
        struct record record;
        st = log_next(reader, &record, &more, error);
        if (st || !more || record.lsn >= last_lsn) break;
        if (!is_part(&record, id)) continue;
        if (!found->parts++) found->first_lsn = record.lsn;
    }
    log_reader_close(reader);
    return st;
}

/* The last part of a unit has come: the others are to be given ahead of it. */
static enum plinth_status begin_unit(struct feed *feed, uint64_t id, struct plinth_error *error) {
    uint64_t parts = feed->record.header.chunk_count ? feed->record.header.chunk_count - 1 : 0;
    struct feed_unit unit, *known = find_unit(feed, id);
    enum plinth_status st = PLINTH_OK;
    if (!parts) return PLINTH_OK;
    if (known && known->parts == parts)
        unit = *known;
    else
        st = search_unit(feed, id, feed->record.lsn, &unit, error);
    if (!st && unit.parts != parts)
        st = error_set(error, PLINTH_TOO_OLD,
                       "the log has only %" PRIu64 " of the %u parts of the write at position %" PRIu64
                       ": begin with a new snapshot",
                       unit.parts + 1, feed->record.header.chunk_count, feed->record.lsn);
    if (!st) st = log_read(feed->db->log, unit.first_lsn, &feed->part_reader, error);
    if (!st) feed->parts_left = parts;
    return st;
}

/* Reads the next part of the unit. */
static enum plinth_status read_part(struct feed *feed, uint64_t unit, struct record *record,
                                    struct plinth_error *error) {
    bool found;
    do {
        enum plinth_status st = log_next(feed->part_reader, record, &found, error);
        if (st) return st;
        if (!found || record->lsn >= feed->record.lsn)
            return error_set(error, PLINTH_CORRUPT, "parts of the write at position %" PRIu64 " are missing",
                             feed->record.lsn);
    } while (!is_part(record, unit));
    feed->parts_left--;
    return PLINTH_OK;
}

/* The next part of a unit of rows into the reader of rows. */
static enum plinth_status take_part(struct feed *feed, struct plinth_error *error) {
    struct rows_change change;
    struct record record;
    if (!rows_change_decode(feed->record.payload, &change))
        return error_set(error, PLINTH_CORRUPT, "malformed rows record %" PRIu64, feed->record.lsn);
    enum plinth_status st = read_part(feed, change.unit, &record, error);
    if (st) return st;
    return feed_rows_begin(&feed->rows, &feed->filter, record.payload, feed->record.lsn, feed->with_previous, error);
}

/* ---- records ---- */

bool feed_shows(enum change_kind kind) {
    switch (kind) {
    case CHANGE_WRITE:
    case CHANGE_CONDITIONAL:
    case CHANGE_ROWS:
    case CHANGE_TRANSACTION: return true;
    case CHANGE_TRANSACTION_PART:
    case CHANGE_CATALOG:
    case CHANGE_CUT:
    case CHANGE_JOB_BEGIN:
    case CHANGE_FLUSH_COMMIT:
    case CHANGE_COMPACT_COMMIT:
    case CHANGE_MERGE_COMMIT:
    case CHANGE_RANGES_GONE:
    case CHANGE_VALUES_DROPPED:
    case CHANGE_VALUES_GONE:
    case CHANGE_JOB_ABORT:
    case CHANGE_FILES_GONE:
    case CHANGE_HOST:
    case CHANGE_TICK:
    case CHANGE_FEATURE_LEVEL:
    case CHANGE_WINDOW:
    case CHANGE_KEEP:
    case CHANGE_HISTORY:
    case CHANGE_JOBS:
    case CHANGE_INDEX_STEP:
    case CHANGE_HOST_JOIN:
    case CHANGE_HOST_NEEDS:
    case CHANGE_HOST_EXPEL: return false;
    }
    return false;
}

static bool is_transaction(const struct record *record) {
    return record->header.kind == CHANGE_TRANSACTION || record->header.kind == CHANGE_TRANSACTION_PART;
}

static enum plinth_status malformed(const struct record *record, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "malformed transaction record %" PRIu64, record->lsn);
}

/* A ROWS record has come: what does it begin? `*wanted` is false when nothing of it is to be given now. */
static enum plinth_status meet_rows(struct feed *feed, bool applied, bool *wanted, struct plinth_error *error) {
    struct rows_change change;
    const struct record *record = &feed->record;
    *wanted = false;
    if (!rows_change_decode(record->payload, &change))
        return applied ? error_set(error, PLINTH_CORRUPT, "malformed rows record %" PRIu64, record->lsn) : PLINTH_OK;
    if (!applied && change.in_unit) drop_unit(feed, change.unit);
    if (!applied || !feed_filter_wants(&feed->filter, change.table)) return PLINTH_OK;
    if (change.in_unit && !change.last) return note_part(feed, change.unit, record->lsn, error);
    *wanted = true;
    return change.in_unit ? begin_unit(feed, change.unit, error) : PLINTH_OK;
}

/* The same for a TRANSACTION or TRANSACTION_PART. */
static enum plinth_status meet_transaction(struct feed *feed, bool applied, bool *wanted, struct plinth_error *error) {
    const struct record *record = &feed->record;
    enum change_kind kind = (enum change_kind)record->header.kind;
    struct transaction_part part;
    *wanted = false;
    if (!transaction_part_decode(kind, record->payload, &part)) return applied ? malformed(record, error) : PLINTH_OK;
    if (!applied && part.in_unit) drop_unit(feed, part.unit);
    if (!applied) return PLINTH_OK;
    if (kind == CHANGE_TRANSACTION_PART) return note_part(feed, part.unit, record->lsn, error);
    *wanted = true;
    return part.in_unit ? begin_unit(feed, part.unit, error) : PLINTH_OK;
}

static enum plinth_status meet_record(struct feed *feed, bool *wanted, struct plinth_error *error) {
    bool applied = !is_void(feed, feed->record.lsn);
    enum change_kind kind = (enum change_kind)feed->record.header.kind;
    *wanted = applied && feed_shows(kind);
    if (is_transaction(&feed->record)) return meet_transaction(feed, applied, wanted, error);
    return kind == CHANGE_ROWS ? meet_rows(feed, applied, wanted, error) : PLINTH_OK;
}

/* Begins the next rows of a TRANSACTION that are wanted. */
static enum plinth_status take_body_rows(struct feed *feed, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st && feed->body_rows_left && !feed_rows_are_left(&feed->rows)) {
        struct rows_change head;
        struct slice payload = reader_string(&feed->body_rows);
        feed->body_rows_left--;
        if (rows_change_decode(payload, &head) && feed_filter_wants(&feed->filter, head.table))
            st = feed_rows_begin(&feed->rows, &feed->filter, payload, feed->record.lsn, feed->with_previous, error);
    }
    return st;
}

/* Puts a TRANSACTION together, and begins its keys and rows. */
static enum plinth_status take_body(struct feed *feed, struct plinth_error *error) {
    struct transaction_part part;
    struct transaction_change change;
    enum plinth_status st = PLINTH_OK;
    if (!transaction_part_decode(CHANGE_TRANSACTION, feed->record.payload, &part))
        return malformed(&feed->record, error);
    struct slice body = part.bytes;
    buffer_clear(&feed->body);
    while (!st && feed->parts_left) {
        struct record record;
        struct transaction_part before;
        st = read_part(feed, part.unit, &record, error);
        if (!st && (!transaction_part_decode(CHANGE_TRANSACTION_PART, record.payload, &before) ||
                    !buffer_append(&feed->body, before.bytes.data, before.bytes.size)))
            st = error_no_memory(error, "change feed");
    }
    if (!st && feed->body.size) {
        if (!buffer_append(&feed->body, part.bytes.data, part.bytes.size)) st = error_no_memory(error, "change feed");
        body = buffer_slice(&feed->body);
    }
    if (!st && !transaction_change_decode(body, &change)) st = malformed(&feed->record, error);
    if (st) return st;
    feed->taken = true;
    feed->body_rows = reader_of(change.rows);
    feed->body_rows_left = change.rows_count;
    st = feed_keys_take(&feed->keys, &feed->filter, change.condition.operations, feed->record.lsn, feed->with_previous,
                        error);
    return st ? st : take_body_rows(feed, error);
}

/* Begins the record's own rows or keys. */
static enum plinth_status take_record(struct feed *feed, struct plinth_error *error) {
    feed->taken = true;
    if (feed->record.header.kind == CHANGE_ROWS)
        return feed_rows_begin(&feed->rows, &feed->filter, feed->record.payload, feed->record.lsn, feed->with_previous,
                               error);
    return feed_keys_read(&feed->keys, &feed->filter, &feed->record, feed->with_previous, error);
}

/* ---- next ---- */

/* The write at `lsn` is done with. */
static void done_with(struct feed *feed, uint64_t lsn) {
    struct rows_change change;
    if (feed->record.header.kind == CHANGE_ROWS && rows_change_decode(feed->record.payload, &change) &&
        change.in_unit && change.last)
        drop_unit(feed, change.unit);
    struct transaction_part part;
    if (feed->record.header.kind == CHANGE_TRANSACTION &&
        transaction_part_decode(CHANGE_TRANSACTION, feed->record.payload, &part) && part.in_unit)
        drop_unit(feed, part.unit);
    uint64_t log_lsn = lsn + 1;
    for (uint64_t i = feed->unit_count; i-- > 0;) {
        if (feed->units[i].time_us + 2 * UNIT_TTL_US < feed->record.header.time_us)
            feed->units[i] = feed->units[--feed->unit_count]; /* nobody goes on with it */
        else if (feed->units[i].first_lsn < log_lsn)
            log_lsn = feed->units[i].first_lsn;
    }
    if (feed->snapshot) engine_advance_snapshot(feed->snapshot, lsn);
    atomic_store(&feed->log_lsn, log_lsn);
    atomic_store(&feed->lsn, lsn);
    log_reader_close(feed->part_reader);
    feed->part_reader = NULL;
    buffer_deinit(&feed->body); /* it may be large */
    feed->has_record = feed->taken = feed->begun = false;
}

/* After a failure: the record is read again, and the write given from its first item on. */
static void step_back(struct feed *feed) {
    log_reader_close(feed->reader);
    log_reader_close(feed->part_reader);
    feed->reader = feed->part_reader = NULL;
    feed->has_record = feed->taken = feed->begun = false;
    feed->parts_left = feed->body_rows_left = 0;
    feed_keys_reset(&feed->keys);
    feed_rows_reset(&feed->rows);
}

/* Reads the next record; *read is false when there is none up to the limit. Records that give nothing are done with. */
static enum plinth_status read_record(struct feed *feed, bool *read, uint64_t *bytes, struct plinth_error *error) {
    *read = false;
    enum plinth_status st = move_limit(feed, error);
    uint64_t lsn = atomic_load(&feed->lsn);
    if (st || lsn >= feed->limit) return st;
    if (!feed->reader) st = log_read(feed->db->log, lsn + 1, &feed->reader, error);
    if (!st) st = log_next(feed->reader, &feed->record, read, error);
    if (st == PLINTH_TOO_OLD) return too_old(lsn, error);
    if (st || !*read) return st;
    bool wanted;
    *bytes += feed->record.payload.size;
    st = meet_record(feed, &wanted, error);
    if (st) return st;
    if (wanted)
        feed->has_record = true;
    else
        done_with(feed, feed->record.lsn);
    return PLINTH_OK;
}

static bool is_at_end(const struct feed *feed) {
    return feed->limit >= feed->until_lsn && atomic_load(&feed->lsn) >= feed->limit;
}

/* The next stretch of the record that is being given; *given is false when it was not wanted. */
static enum plinth_status next_item(struct feed *feed, struct feed_item *item, bool *given,
                                    struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *given = false;
    if (feed_keys_are_left(&feed->keys)) {
        st = feed_keys_next(&feed->keys, &feed->filter, error);
    } else if (!feed_rows_are_left(&feed->rows)) {
        if (is_transaction(&feed->record))
            st = feed->taken ? take_body_rows(feed, error) : take_body(feed, error);
        else if (feed->parts_left)
            st = take_part(feed, error);
        else if (!feed->taken)
            st = take_record(feed, error);
    }
    if (!st && !feed_keys_are_left(&feed->keys) && feed_rows_are_left(&feed->rows))
        st = feed_rows_next(&feed->rows, feed->db, &item->rows, error);
    if (st) return st;
    item->operations = feed->keys.operations;
    item->operation_count = feed->keys.count;
    item->position = engine_position(feed->db, feed->record.lsn);
    item->time_us = feed->record.header.time_us;
    item->last =
        feed->taken && !feed_keys_are_left(&feed->keys) && !feed_rows_are_left(&feed->rows) && !feed->body_rows_left;
    *given = item->rows || item->operation_count || (item->last && feed->begun);
    feed->begun |= *given;
    if (*given && item->last) atomic_store(&feed->given_lsn, feed->record.lsn);
    if (item->last) done_with(feed, feed->record.lsn);
    return PLINTH_OK;
}

enum plinth_status feed_next(struct feed *feed, struct feed_item *item, enum feed_found *found,
                             struct plinth_error *error) {
    uint64_t bytes = 0;
    enum plinth_status st = PLINTH_OK;
    *item = (struct feed_item){0};
    *found = FEED_MORE;
    error_clear(error);
    feed->keys.count = 0;
    for (unsigned records = 0; !st && *found == FEED_MORE && records < TURN_RECORDS && bytes < TURN_BYTES; records++) {
        bool read = true, given = false;
        if (!feed->has_record) st = read_record(feed, &read, &bytes, error);
        if (!st && !read) *found = is_at_end(feed) ? FEED_END : FEED_NOTHING;
        if (!st && feed->has_record) st = next_item(feed, item, &given, error);
        if (!st && given) *found = FEED_ITEM;
    }
    if (st) {
        step_back(feed);
        *found = FEED_MORE;
    }
    if (*found != FEED_ITEM) *item = (struct feed_item){0};
    return st;
}
