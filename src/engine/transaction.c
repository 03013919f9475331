/* Transactions over key spaces: optimistic, judged by the log's order.
 *
 * A transaction reads one pinned LSN and keeps an account: the keys it got, the ranges it scanned, what it writes. Its
 * commit is one CONDITIONAL record (change.h); deciding that record checks the account against the conflict window, at
 * the record's own place in the log, so that every host comes to the same verdict. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/transaction.h"
#include "engine/write.h"

/* ---- commits -------------------------------------------------------------------------------------------------------
 */

static enum plinth_status check_reads(struct plinth *db, const struct plinth_reads *reads, struct plinth_error *error) {
    enum plinth_status st = engine_check_position(db, reads->snapshot, error);
    if (st) {
        error_prefix(error, "snapshot");
        return st;
    }
    for (size_t i = 0; !st && i < reads->key_count; i++) {
        st = engine_check_key(reads->keys[i].key, error);
        if (!st) st = write_check_space(db, reads->keys[i].space, error);
        if (st) error_prefix(error, "key %zu that was read", i);
    }
    for (size_t i = 0; !st && i < reads->range_count; i++) {
        st = write_check_space(db, reads->ranges[i].space, error);
        if (st) error_prefix(error, "range %zu that was read", i);
    }
    return st;
}

/* Appends a bound as it is stored; an empty upper one is the end of the space. */
static bool append_bound(struct buffer *into, struct buffer *stored, struct plinth_space space,
                         struct plinth_slice bound, bool upper) {
    buffer_clear(stored);
    if (!engine_stored_key(stored, table_in(space), slice_in(bound))) return false;
    if (!upper || bound.size) return buffer_append_string(into, buffer_slice(stored));
    struct buffer end = BUFFER_INIT;
    bool ok = prefix_successor(&end, buffer_slice(stored)) && buffer_append_string(into, buffer_slice(&end));
    buffer_deinit(&end);
    return ok;
}

static bool encode_reads(struct buffer *payload, const struct plinth_reads *reads) {
    struct buffer stored = BUFFER_INIT;
    bool ok = buffer_append_varint(payload, reads->snapshot.lsn) && buffer_append_varint(payload, reads->key_count);
    for (size_t i = 0; ok && i < reads->key_count; i++)
        ok = append_bound(payload, &stored, reads->keys[i].space, reads->keys[i].key, false);
    ok = ok && buffer_append_varint(payload, reads->range_count);
    for (size_t i = 0; ok && i < reads->range_count; i++) {
        const struct plinth_range_read *range = &reads->ranges[i];
        ok = append_bound(payload, &stored, range->space, range->lower, false) &&
             append_bound(payload, &stored, range->space, range->upper, true);
    }
    buffer_deinit(&stored);
    return ok;
}

static enum plinth_status encode_commit(struct buffer *payload, const struct plinth_reads *reads,
                                        const struct write_plan *plan, struct plinth_error *error) {
    if (!encode_reads(payload, reads) ||
        !buffer_append(payload, plan->operations_payload.data, plan->operations_payload.size))
        return error_no_memory(error, "log record");
    if (payload->size <= PLINTH_RECORD_BYTES_MAX) return PLINTH_OK;
    return error_set(error, PLINTH_TOO_LARGE,
                     "the commit takes %zu bytes in the log, %zu of them for what was read; at most %d are allowed",
                     payload->size, payload->size - plan->operations_payload.size, PLINTH_RECORD_BYTES_MAX);
}

/* Finds the key that made the commit lose, unless the window has forgotten it meanwhile. */
static bool name_conflict(struct plinth *db, struct slice payload, struct plinth_conflict *conflict) {
    struct condition condition;
    struct slice changed, key;
    struct table_id table;
    bool named = false;
    pthread_mutex_lock(&db->sequence_mutex);
    if (condition_decode(payload, &condition) &&
        shard_check_condition(&db->shard, &condition, &changed) == VERDICT_CONFLICT &&
        table_prefix_decode(changed, &table, &key)) {
        struct buffer copied = {conflict->key.data, 0, conflict->key.capacity};
        named = buffer_append(&copied, key.data, key.size);
        conflict->key = (struct plinth_buffer){copied.data, copied.size, copied.capacity};
        conflict->space = (struct plinth_space){table.tenant, table.database, table.table};
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    return named;
}

/* At most 64 bytes of a key, what is not printable as \xNN. */
static void print_key(const struct plinth_buffer *key, char text[4 * 64 + 4]) {
    static const char digits[] = "0123456789abcdef";
    size_t shown = key->size < 64 ? key->size : 64, at = 0;
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = key->data[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            text[at++] = (char)c;
            continue;
        }
        text[at++] = '\\';
        text[at++] = 'x';
        text[at++] = digits[c >> 4];
        text[at++] = digits[c & 15];
    }
    for (int i = 0; shown < key->size && i < 3; i++) text[at++] = '.';
    text[at] = 0;
}

static enum plinth_status refuse(struct plinth *db, const struct plinth_reads *reads, struct slice payload,
                                 enum verdict verdict, struct plinth_conflict *conflict, struct plinth_error *error) {
    struct plinth_conflict own = {0};
    unsigned long long lsn = reads->snapshot.lsn;
    char text[4 * 64 + 4];
    if (!conflict) conflict = &own;
    counter_add(&db->counters.conflicts, 1);
    conflict->too_old = verdict == VERDICT_TOO_OLD;
    if (conflict->too_old) {
        error_set(error, PLINTH_CONFLICT, "writes since position %llu are no longer all remembered", lsn);
    } else if (name_conflict(db, payload, conflict)) {
        print_key(&conflict->key, text);
        error_set(error, PLINTH_CONFLICT, "key \"%s\" was written after it was read at position %llu", text, lsn);
    } else {
        error_set(error, PLINTH_CONFLICT, "what was read at position %llu has been written since", lsn);
    }
    plinth_buffer_deinit(&own.key);
    return PLINTH_CONFLICT;
}

/* Whether the record's producer, not its snapshot, is what is too old. */
static bool producer_is_too_old(struct plinth *db, const struct record_header *header) {
    uint64_t first_lsn;
    pthread_mutex_lock(&db->sequence_mutex);
    bool too_old = shard_check_producer(&db->shard, header, (struct producer_part){0}, &first_lsn) == PRODUCER_TOO_OLD;
    pthread_mutex_unlock(&db->sequence_mutex);
    return too_old;
}

static enum plinth_status commit(struct plinth *db, const struct plinth_reads *reads, const struct write_plan *plan,
                                 const struct record_header *header, bool no_wait, uint64_t *lsn,
                                 struct plinth_conflict *conflict, struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    struct decision decision;
    enum plinth_status st = encode_commit(&payload, reads, plan, error);
    if (!st) st = write_sequence(db, header, buffer_slice(&payload), plan, no_wait, lsn, &decision, error);
    if (!st && (decision.verdict == VERDICT_CONFLICT ||
                (decision.verdict == VERDICT_TOO_OLD && !producer_is_too_old(db, header))))
        st = refuse(db, reads, buffer_slice(&payload), decision.verdict, conflict, error);
    else if (!st)
        st = write_check_verdict(header, &decision, error);
    buffer_deinit(&payload);
    return st;
}

enum plinth_status plinth_commit(struct plinth *db, const struct plinth_reads *reads,
                                 const struct plinth_operation *operations, size_t count,
                                 const struct plinth_write_options *options, struct plinth_position *position,
                                 struct plinth_conflict *conflict, struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    if (conflict) *conflict = (struct plinth_conflict){.key = {conflict->key.data, 0, conflict->key.capacity}};
    error_clear(error);
    struct record_header header;
    struct write_plan plan;
    uint64_t lsn = 0;
    enum plinth_status st = check_reads(db, reads, error);
    if (!st) st = write_header_init(db, options, CHANGE_CONDITIONAL, &header, error);
    if (!st) st = engine_check(db, error);
    if (!st) st = write_plan_init(db, operations, count, &plan, error);
    if (st) return st;
    st = commit(db, reads, &plan, &header, options && options->no_wait, &lsn, conflict, error);
    write_plan_deinit(&plan);
    if (!st) st = write_wait(db, &header, lsn, error);
    if (!st && position) *position = engine_position(db, lsn);
    return st;
}

/* ---- the account ---------------------------------------------------------------------------------------------------
 */

enum plinth_status plinth_transaction_begin(struct plinth *db, struct plinth_transaction **transaction,
                                            struct plinth_error *error) {
    *transaction = NULL;
    error_clear(error);
    struct plinth_transaction *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "transaction");
    made->db = db;
    touched_keys_init(&made->keys);
    enum plinth_status st = plinth_snapshot_create(db, (struct plinth_position){0, 0}, &made->snapshot, error);
    if (st)
        plinth_transaction_destroy(made);
    else
        *transaction = made;
    return st;
}

void plinth_transaction_destroy(struct plinth_transaction *transaction) {
    if (!transaction) return;
    for (size_t i = 0; i < transaction->range_count; i++) {
        buffer_deinit(&transaction->ranges[i].lower);
        buffer_deinit(&transaction->ranges[i].upper);
    }
    free(transaction->ranges);
    touched_keys_deinit(&transaction->keys);
    plinth_snapshot_destroy(transaction->snapshot);
    free(transaction);
}

enum plinth_status transaction_check(const struct plinth_transaction *transaction, struct plinth_error *error) {
    if (!transaction->committed) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "the transaction has been committed");
}

enum plinth_status plinth_transaction_get(struct plinth_transaction *transaction, struct plinth_space space,
                                          struct plinth_slice key, struct plinth_buffer *value,
                                          struct plinth_position *version, struct plinth_error *error) {
    if (version) *version = (struct plinth_position){0, 0};
    value->size = 0;
    error_clear(error);
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = engine_check_key(key, error);
    if (st) return st;
    struct touched_key *touched = touched_keys_add(&transaction->keys, space, slice_in(key));
    if (!touched) return error_no_memory(error, "transaction");
    if (touched->written) {
        if (touched->operation.kind == PLINTH_DELETE) return PLINTH_NOT_FOUND;
        struct buffer copied = {value->data, 0, value->capacity};
        bool ok = buffer_append(&copied, touched->operation.value.data, touched->operation.value.size);
        *value = (struct plinth_buffer){copied.data, copied.size, copied.capacity};
        return ok ? PLINTH_OK : error_no_memory(error, "value");
    }
    touched->read = true;
    struct plinth_read_options read = {.snapshot = transaction->snapshot};
    return plinth_get(transaction->db, space, key, &read, value, version, error);
}

enum plinth_status plinth_transaction_write(struct plinth_transaction *transaction,
                                            const struct plinth_operation *operation, struct plinth_error *error) {
    error_clear(error);
    struct write_plan plan;
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = write_plan_init(transaction->db, operation, 1, &plan, error);
    if (st) return st;
    write_plan_deinit(&plan);
    return touched_keys_write(&transaction->keys, operation) ? PLINTH_OK : error_no_memory(error, "transaction");
}

/* What plinth_commit takes, gathered; the arrays are one allocation. */
struct account {
    struct plinth_operation *operations;
    struct plinth_key_read *keys;
    struct plinth_range_read *ranges;
    size_t operation_count, key_count, range_count;
};

static bool gather(const struct plinth_transaction *transaction, struct account *account) {
    const struct touched_keys *keys = &transaction->keys;
    *account = (struct account){0};
    account->operations = calloc(1, keys->written * sizeof *account->operations + keys->count * sizeof *account->keys +
                                        transaction->range_count * sizeof *account->ranges + 1);
    if (!account->operations) return false;
    account->keys = (struct plinth_key_read *)(account->operations + keys->written);
    account->ranges = (struct plinth_range_read *)(account->keys + keys->count);
    for (const struct touched_key *key = keys->heads[0]; key; key = key->next[0]) {
        if (key->written) account->operations[account->operation_count++] = key->operation;
        if (key->read)
            account->keys[account->key_count++] = (struct plinth_key_read){
                key->space, plinth_bytes(key->stored.data + key->prefix_bytes, key->stored.size - key->prefix_bytes)};
    }
    for (size_t i = 0; i < transaction->range_count; i++) {
        const struct transaction_range *range = &transaction->ranges[i];
        if (range->read)
            account->ranges[account->range_count++] = (struct plinth_range_read){
                range->space, slice_out(buffer_slice(&range->lower)), slice_out(buffer_slice(&range->upper))};
    }
    return true;
}

enum plinth_status plinth_transaction_commit(struct plinth_transaction *transaction,
                                             const struct plinth_write_options *options,
                                             struct plinth_position *position, struct plinth_conflict *conflict,
                                             struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    error_clear(error);
    struct plinth_position snapshot = plinth_snapshot_position(transaction->snapshot);
    enum plinth_status st = transaction_check(transaction, error);
    if (!st && transaction->open_scans)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "the transaction has %zu open scans", transaction->open_scans);
    if (st) return st;
    if (transaction->keys.written == 0) {
        if (position) *position = snapshot;
        transaction->committed = true;
        return PLINTH_OK;
    }
    struct account account;
    if (!gather(transaction, &account)) return error_no_memory(error, "transaction");
    struct plinth_reads reads = {snapshot, account.keys, account.key_count, account.ranges, account.range_count};
    st = plinth_commit(transaction->db, &reads, account.operations, account.operation_count, options, position,
                       conflict, error);
    free(account.operations);
    if (!st) transaction->committed = true;
    return st;
}
