/* Compare-and-set: looked up here, judged again at its own place in the log.
 *
 * The condition is evaluated at the newest applied LSN, S. The record says "at S I read this key"; apply voids it when
 * the key was written between S and the record, and then the evaluation starts over. Applied is newer than durable: an
 * answer that a condition does not hold waits until what it was read from is durable. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/value_store.h"

static enum plinth_status check_comparison(struct plinth *db, const struct plinth_operation *operation,
                                           const struct plinth_comparison *comparison, struct plinth_error *error) {
    if (operation->kind == PLINTH_DELETE_RANGE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a compare-and-set is of one key; use a transaction");
    if (comparison->expectation < PLINTH_EXPECT_ANYTHING || comparison->expectation > PLINTH_EXPECT_VERSION)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown expectation %d", (int)comparison->expectation);
    if (comparison->expectation != PLINTH_EXPECT_VERSION) return PLINTH_OK;
    enum plinth_status st = engine_check_position(db, comparison->expected_version, error);
    if (st) error_prefix(error, "expected version");
    return st;
}

static bool holds(const struct plinth_comparison *comparison, const struct plinth_previous *found) {
    switch (comparison->expectation) {
    case PLINTH_EXPECT_ABSENT: return !found->existed;
    case PLINTH_EXPECT_PRESENT: return found->existed;
    case PLINTH_EXPECT_VALUE:
        return found->existed &&
               slice_equal(slice_of(found->value.data, found->value.size), slice_in(comparison->expected_value));
    case PLINTH_EXPECT_VERSION: return found->existed && found->version.lsn == comparison->expected_version.lsn;
    default: return true;
    }
}

/* What the key holds at the newest applied LSN. */
static enum plinth_status look_up(struct plinth *db, const struct plinth_operation *operation, uint64_t *lsn,
                                  struct plinth_previous *found, struct plinth_error *error) {
    struct view *view;
    for (;;) { /* as engine_begin_read: a merge published in between may have purged what this LSN sees */
        *lsn = sequencer_applied(&db->sequencer);
        view = view_current(&db->views);
        if (*lsn >= view->horizon_lsn) break;
        view_unref(view);
    }
    enum plinth_status st = engine_get_at(db, view, *lsn, engine_now_us(db), operation->space, operation->key, false,
                                          &found->value, &found->version, error);
    view_unref(view);
    found->existed = st == PLINTH_OK;
    if (!found->existed) {
        found->value.size = 0;
        found->version = (struct plinth_position){0, 0};
    }
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static bool encode_condition(struct buffer *payload, uint64_t snapshot_lsn, const struct write_plan *plan) {
    buffer_clear(payload);
    return buffer_append_varint(payload, snapshot_lsn) && buffer_append_varint(payload, 1) &&
           buffer_append_string(payload, plan->keys[0]) && buffer_append_varint(payload, 0) &&
           buffer_append(payload, plan->operations_payload.data, plan->operations_payload.size);
}

/* The answer "it does not hold" must not rest on what a crash could still take back. */
static enum plinth_status refuse(struct plinth *db, uint64_t lsn, const struct plinth_previous *found,
                                 struct plinth_error *error) {
    enum record_durability level = (enum record_durability)db->options.read_durability;
    if (level > RECORD_BUFFERED) {
        enum plinth_status st = log_wait(db->log, lsn, level, LOG_WAIT_FOREVER, error);
        if (st) return st;
    }
    counter_add(&db->counters.conflicts, 1);
    if (!found->existed) return error_set(error, PLINTH_CONFLICT, "the condition does not hold: the key has no value");
    return error_set(error, PLINTH_CONFLICT,
                     "the condition does not hold: the key has a value of %zu bytes, written at position %llu",
                     found->value.size, (unsigned long long)found->version.lsn);
}

static enum plinth_status compare_and_set(struct plinth *db, const struct plinth_operation *operation,
                                          const struct plinth_comparison *comparison,
                                          const struct record_header *header, struct write_plan *plan, bool no_wait,
                                          uint64_t *lsn, struct plinth_previous *found, struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    for (bool settled = false; !st && !settled;) {
        uint64_t snapshot_lsn;
        struct decision decision = {VERDICT_APPLIED, 0};
        pthread_mutex_lock(&db->sequence_mutex);
        enum producer_verdict seen =
            shard_check_producer(&db->shard, header, (struct producer_part){0}, &decision.first_lsn);
        pthread_mutex_unlock(&db->sequence_mutex);
        st = look_up(db, operation, &snapshot_lsn, found, error);
        if (st) break;
        if (seen == PRODUCER_NEW && !holds(comparison, found)) {
            st = refuse(db, snapshot_lsn, found, error);
            break;
        }
        if (!plan->session && (st = values_put(db, header, plan, no_wait, error))) break;
        if (!encode_condition(&payload, snapshot_lsn, plan)) {
            st = error_no_memory(error, "log record");
            break;
        }
        st = write_sequence(db, header, buffer_slice(&payload), plan, no_wait, lsn, &decision, error);
        if (st) break;
        settled = decision.verdict == VERDICT_APPLIED || decision.verdict == VERDICT_DUPLICATE;
        plan->is_referred = decision.verdict == VERDICT_APPLIED;
        if (seen == PRODUCER_TOO_OLD || decision.verdict == VERDICT_VOID)
            st = write_check_verdict(header, &decision, error);
    }
    buffer_deinit(&payload);
    return st;
}

enum plinth_status plinth_compare_and_set(struct plinth *db, const struct plinth_operation *operation,
                                          const struct plinth_comparison *comparison,
                                          const struct plinth_write_options *options, struct plinth_position *position,
                                          struct plinth_previous *previous, struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    struct plinth_previous found = {0};
    error_clear(error);
    struct record_header header;
    struct write_plan plan;
    uint64_t lsn = 0;
    enum plinth_status st = check_comparison(db, operation, comparison, error);
    if (!st) st = write_header_init(db, options, CHANGE_CONDITIONAL, &header, error);
    if (!st) st = engine_check(db, error);
    if (!st) st = write_plan_init(db, operation, 1, &plan, error);
    if (st) return st;
    st = compare_and_set(db, operation, comparison, &header, &plan, options && options->no_wait, &lsn, &found, error);
    write_plan_deinit(&plan);
    if (!st) st = write_wait(db, &header, lsn, error);
    if (!st && position) *position = engine_position(db, lsn);
    if (previous && (!st || st == PLINTH_CONFLICT)) {
        plinth_buffer_deinit(&previous->value);
        *previous = found;
    } else {
        plinth_buffer_deinit(&found.value);
    }
    return st;
}
