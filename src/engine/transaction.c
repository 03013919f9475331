/* Transactions: optimistic, judged by the log's order.
 *
 * A transaction reads one pinned LSN and keeps an account: the keys it got, the ranges it scanned, what it writes. Its
 * commit is one CONDITIONAL record (change.h), or with rows, or more than one record's worth, a TRANSACTION
 * (transaction_append.c); deciding that record checks the account against the conflict window, at the record's own
 * place in the log, so that every host comes to the same verdict. Rows: transaction_rows.c. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/rows_unique.h"
#include "engine/transaction.h"
#include "engine/value_store.h"

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

static enum plinth_status encode_commit(struct buffer *payload, const struct plinth_reads *reads,
                                        const struct write_plan *plan, struct plinth_error *error) {
    if (!transaction_encode_key_reads(payload, reads->snapshot.lsn, reads) ||
        !buffer_append(payload, plan->operations_payload.data, plan->operations_payload.size))
        return error_no_memory(error, "log record");
    if (payload->size <= PLINTH_RECORD_BYTES_MAX) return PLINTH_OK;
    return error_set(error, PLINTH_TOO_LARGE,
                     "the commit takes %zu bytes in the log, %zu of them for what was read; at most %d are allowed",
                     payload->size, payload->size - plan->operations_payload.size, PLINTH_RECORD_BYTES_MAX);
}

/* Finds the key that made the commit lose, unless the window has forgotten it meanwhile. */
static enum plinth_status refuse(struct plinth *db, const struct plinth_reads *reads, struct slice payload,
                                 enum verdict verdict, struct plinth_conflict *conflict, struct plinth_error *error) {
    struct transaction_conflict why = {0};
    struct condition condition;
    struct buffer key = BUFFER_INIT;
    pthread_mutex_lock(&db->sequence_mutex);
    if (condition_decode(payload, &condition) &&
        shard_check_condition(&db->shard, &condition, &why.key) == VERDICT_CONFLICT &&
        buffer_append(&key, why.key.data, why.key.size))
        why.key = buffer_slice(&key);
    else
        why.key = slice_of(NULL, 0);
    pthread_mutex_unlock(&db->sequence_mutex);
    enum plinth_status st = transaction_refuse(db, reads->snapshot.lsn, verdict, &why, conflict, error);
    buffer_deinit(&key);
    return st;
}

/* One CONDITIONAL record. */
static enum plinth_status commit_small(struct plinth *db, const struct plinth_reads *reads, struct write_plan *plan,
                                       const struct record_header *header, struct slice payload, bool no_wait,
                                       uint64_t *lsn, struct plinth_conflict *conflict, struct plinth_error *error) {
    struct decision decision;
    enum plinth_status st = write_sequence(db, header, payload, plan, no_wait, lsn, &decision, error);
    plan->is_referred = !st && decision.verdict == VERDICT_APPLIED;
    if (!st && (decision.verdict == VERDICT_CONFLICT ||
                (decision.verdict == VERDICT_TOO_OLD && !transaction_producer_is_too_old(db, header))))
        return refuse(db, reads, payload, decision.verdict, conflict, error);
    return st ? st : write_check_verdict(header, &decision, error);
}

static enum plinth_status commit(struct plinth *db, const struct plinth_reads *reads, struct write_plan *plan,
                                 const struct record_header *header, bool no_wait, uint64_t *lsn,
                                 struct plinth_conflict *conflict, struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    enum plinth_status st = values_put(db, header, plan, no_wait, error);
    if (!st) st = encode_commit(&payload, reads, plan, error);
    if (!st) st = commit_small(db, reads, plan, header, buffer_slice(&payload), no_wait, lsn, conflict, error);
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
    if (st) {
        plinth_transaction_destroy(made);
        return st;
    }
    made->position = plinth_snapshot_position(made->snapshot);
    *transaction = made;
    return PLINTH_OK;
}

enum plinth_status transaction_begin_at(struct plinth *db, struct plinth_position position,
                                        struct plinth_transaction **transaction, struct plinth_error *error) {
    *transaction = NULL;
    if (!position.epoch && !position.lsn) position = engine_position(db, engine_visible_lsn(db));
    enum plinth_status st = engine_check_position(db, position, error);
    if (st) {
        error_prefix(error, "snapshot");
        return st;
    }
    struct plinth_transaction *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "transaction");
    made->db = db;
    made->position = position;
    touched_keys_init(&made->keys);
    *transaction = made;
    return PLINTH_OK;
}

void plinth_transaction_destroy(struct plinth_transaction *transaction) {
    if (!transaction) return;
    for (size_t i = 0; i < transaction->range_count; i++) {
        buffer_deinit(&transaction->ranges[i].lower);
        buffer_deinit(&transaction->ranges[i].upper);
    }
    free(transaction->ranges);
    transaction_tables_deinit(transaction);
    for (size_t i = 0; i < transaction->delete_count; i++) {
        buffer_deinit(&transaction->deletes[i].lower);
        buffer_deinit(&transaction->deletes[i].upper);
    }
    free(transaction->deletes);
    touched_keys_deinit(&transaction->keys);
    plinth_snapshot_destroy(transaction->snapshot);
    free(transaction);
}

enum plinth_status transaction_check(const struct plinth_transaction *transaction, struct plinth_error *error) {
    if (!transaction->committed) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "the transaction has been committed");
}

static enum plinth_status no_snapshot(struct plinth_error *error) {
    return error_set(error, PLINTH_INVALID_ARGUMENT, "the transaction holds no state to be read");
}

enum plinth_status transaction_note_key(struct plinth_transaction *transaction, struct plinth_space space,
                                        struct slice key, struct plinth_error *error) {
    enum plinth_status st = engine_check_key(slice_out(key), error);
    if (!st) st = write_check_space(transaction->db, space, error);
    if (st) return st;
    struct touched_key *touched = touched_keys_add(&transaction->keys, space, key);
    if (!touched) return error_no_memory(error, "transaction");
    touched->read = true;
    return PLINTH_OK;
}

enum plinth_status transaction_note_range(struct plinth_transaction *transaction, struct plinth_space space,
                                          struct slice lower, struct slice upper, struct plinth_error *error) {
    struct transaction_range range = {.space = space, .read = true};
    enum plinth_status st = write_check_space(transaction->db, space, error);
    if (st) return st;
    bool ok = buffer_append(&range.lower, lower.data, lower.size) &&
              buffer_append(&range.upper, upper.data, upper.size) &&
              ARRAY_PUSH(transaction->ranges, transaction->range_count, range);
    if (ok) return PLINTH_OK;
    buffer_deinit(&range.lower);
    buffer_deinit(&range.upper);
    return error_no_memory(error, "transaction");
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
    if (transaction_deletes(transaction, touched->stored)) return PLINTH_NOT_FOUND;
    touched->read = true;
    if (!transaction->snapshot) return no_snapshot(error);
    struct plinth_read_options read = {.snapshot = transaction->snapshot};
    return plinth_get(transaction->db, space, key, &read, value, version, error);
}

bool transaction_deletes(const struct plinth_transaction *transaction, struct slice stored) {
    for (size_t i = 0; i < transaction->delete_count; i++)
        if (slice_compare(buffer_slice(&transaction->deletes[i].lower), stored) <= 0 &&
            slice_compare(stored, buffer_slice(&transaction->deletes[i].upper)) < 0)
            return true;
    return false;
}

static bool add_delete(struct plinth_transaction *transaction, const struct plinth_operation *operation,
                       const struct write_plan *plan) {
    struct transaction_delete made = {.space = operation->space, .to_end = operation->upper.size == 0};
    made.prefix_bytes = plan->keys[0].size - operation->key.size;
    bool ok = buffer_append(&made.lower, plan->keys[0].data, plan->keys[0].size) &&
              buffer_append(&made.upper, plan->uppers[0].data, plan->uppers[0].size) &&
              ARRAY_PUSH(transaction->deletes, transaction->delete_count, made);
    if (ok) {
        touched_keys_unwrite(&transaction->keys, plan->keys[0], plan->uppers[0]);
    } else {
        buffer_deinit(&made.lower);
        buffer_deinit(&made.upper);
    }
    return ok;
}

enum plinth_status plinth_transaction_write(struct plinth_transaction *transaction,
                                            const struct plinth_operation *operation, struct plinth_error *error) {
    error_clear(error);
    struct write_plan plan;
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = write_plan_init(transaction->db, operation, 1, &plan, error);
    if (st) return st;
    bool ok = operation->kind == PLINTH_DELETE_RANGE ? add_delete(transaction, operation, &plan)
                                                     : touched_keys_write(&transaction->keys, operation);
    write_plan_deinit(&plan);
    return ok ? PLINTH_OK : error_no_memory(error, "transaction");
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
    size_t written = keys->written + transaction->delete_count;
    account->operations = calloc(1, written * sizeof *account->operations + keys->count * sizeof *account->keys +
                                        transaction->range_count * sizeof *account->ranges + 1);
    if (!account->operations) return false;
    account->keys = (struct plinth_key_read *)(account->operations + written);
    account->ranges = (struct plinth_range_read *)(account->keys + keys->count);
    for (size_t i = 0; i < transaction->delete_count; i++) {
        const struct transaction_delete *range = &transaction->deletes[i];
        struct plinth_slice upper = plinth_bytes(range->upper.data + range->prefix_bytes,
                                                 range->to_end ? 0 : range->upper.size - range->prefix_bytes);
        account->operations[account->operation_count++] = (struct plinth_operation){
            .kind = PLINTH_DELETE_RANGE,
            .space = range->space,
            .key = plinth_bytes(range->lower.data + range->prefix_bytes, range->lower.size - range->prefix_bytes),
            .upper = upper};
    }
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

static enum plinth_status refuse_double(void *context, size_t number, uint32_t row, const char *reason,
                                        struct plinth_error *error) {
    const struct transaction_rows *rows = context;
    (void)row;
    return error_set(error, PLINTH_ALREADY_EXISTS, "table \"%s\": %s", rows[number].schema->name, reason);
}

/* What is to be written, against the unique indexes of its tables. A retry of what was logged is told so, whatever is
 * there now. */
static enum plinth_status check_unique(struct plinth_transaction *transaction, const struct record_header *header,
                                       struct transaction_rows *rows, uint64_t count, struct plinth_error *error) {
    struct plinth *db = transaction->db;
    uint64_t first_lsn;
    bool any = false;
    for (uint64_t i = 0; i < count; i++) any |= schema_has_unique(rows[i].schema);
    if (!any) return PLINTH_OK;
    pthread_mutex_lock(&db->sequence_mutex);
    bool repeated =
        shard_check_producer(&db->shard, header, (struct producer_part){0}, &first_lsn) == PRODUCER_DUPLICATE;
    pthread_mutex_unlock(&db->sequence_mutex);
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0, end; !repeated && !st && i < count; i = end) {
        struct transaction_table *table = NULL;
        for (end = i + 1; end < count && rows[end].schema == rows[i].schema; end++) continue;
        for (uint64_t t = 0; !table && t < transaction->table_count; t++)
            if (transaction->tables[t].schema == rows[i].schema) table = &transaction->tables[t];
        if (!table || !schema_has_unique(table->schema) || table->checked_writes == table->writes) continue;
        struct unique_rows unique = {.rows = rows + i, .count = end - i, .reject = refuse_double, .context = rows + i};
        st = transaction_check_unique(transaction, table, &unique, error);
    }
    return st;
}

/* What was read of tables and of unique indexes. */
static struct row_reads *gather_reads(const struct plinth_transaction *transaction, size_t *count) {
    size_t most = transaction->table_count;
    for (uint64_t t = 0; t < transaction->table_count; t++) most += transaction->tables[t].unique_read_count;
    struct row_reads *reads = calloc(most + 1, sizeof *reads);
    *count = 0;
    for (uint64_t t = 0; reads && t < transaction->table_count; t++) {
        const struct transaction_table *table = &transaction->tables[t];
        if (table->reads.key_count || table->reads.range_count) reads[(*count)++] = table->reads;
        for (uint32_t i = 0; i < table->unique_read_count; i++)
            if (table->unique_reads[i].key_count) reads[(*count)++] = table->unique_reads[i];
    }
    return reads;
}

/* As a TRANSACTION: with rows, or more than one record's worth of keys. */
static enum plinth_status commit_large(struct plinth_transaction *transaction, const struct account *account,
                                       const struct plinth_reads *reads, const struct plinth_write_options *options,
                                       uint64_t *lsn, struct plinth_conflict *conflict, struct plinth_error *error) {
    struct plinth *db = transaction->db;
    struct write_plan plan = {0};
    struct record_header header;
    struct decision decision;
    struct transaction_rows *rows = NULL;
    uint64_t rows_count = 0;
    struct row_reads *table_reads = NULL;
    struct transaction_content content = {
        .snapshot_lsn = reads->snapshot.lsn, .key_reads = reads, .gate_held = transaction->gate_held};
    enum plinth_status st = check_reads(db, reads, error);
    if (!st) st = write_header_init(db, options, CHANGE_TRANSACTION, &header, error);
    if (!st) st = engine_check(db, error);
    if (!st && account->operation_count)
        st = write_plan_init_large(db, account->operations, account->operation_count, TRANSACTION_BYTES_MAX, &plan,
                                   error);
    if (!st && account->operation_count) content.plan = &plan;
    if (!st) st = transaction_rows_gather(transaction, &rows, &rows_count, error);
    if (!st && content.plan) st = values_put(db, &header, &plan, options && options->no_wait, error);
    content.rows = rows;
    content.rows_count = rows_count;
    if (!st) st = check_unique(transaction, &header, rows, rows_count, error);
    if (!st && !(table_reads = gather_reads(transaction, &content.read_count)))
        st = error_no_memory(error, "transaction");
    content.reads = table_reads;
    if (!st)
        st = transaction_append(db, &header, &content, options && options->no_wait, lsn, &decision, conflict, error);
    plan.is_referred = !st && decision.verdict == VERDICT_APPLIED;
    transaction_rows_free(rows, rows_count);
    write_plan_deinit(&plan);
    free(table_reads);
    return st ? st : write_wait(db, &header, *lsn, error);
}

static bool writes_rows(const struct plinth_transaction *transaction) {
    for (uint64_t t = 0; t < transaction->table_count; t++)
        if (transaction->tables[t].own_count) return true;
    return false;
}

/* Whether the account fits into one CONDITIONAL record, about. */
static bool is_small(const struct plinth_transaction *transaction, const struct account *account) {
    size_t bytes = 0;
    if (transaction->table_count) return false;
    for (size_t i = 0; i < account->operation_count; i++) {
        const struct plinth_operation *operation = &account->operations[i];
        bytes += 32 + operation->key.size + operation->upper.size;
        bytes += operation->value.size < value_bytes_min(transaction->db) ? operation->value.size : ROW_REFERENCE_BYTES;
        for (size_t k = 0; k < operation->index_count; k++) bytes += 16 + operation->indexes[k].value.size;
    }
    for (size_t i = 0; i < account->key_count; i++) bytes += 32 + account->keys[i].key.size;
    for (size_t i = 0; i < account->range_count; i++)
        bytes += 64 + account->ranges[i].lower.size + account->ranges[i].upper.size;
    return bytes <= PLINTH_RECORD_BYTES_MAX;
}

enum plinth_status plinth_transaction_commit(struct plinth_transaction *transaction,
                                             const struct plinth_write_options *options,
                                             struct plinth_position *position, struct plinth_conflict *conflict,
                                             struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    if (conflict) *conflict = (struct plinth_conflict){.key = {conflict->key.data, 0, conflict->key.capacity}};
    error_clear(error);
    struct plinth_position snapshot = transaction->position;
    enum plinth_status st = transaction_check(transaction, error);
    if (!st && transaction->open_scans)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "the transaction has %zu open scans", transaction->open_scans);
    if (st) return st;
    if (transaction->keys.written == 0 && !transaction->delete_count && !writes_rows(transaction)) {
        if (position) *position = snapshot;
        transaction->committed = true;
        return PLINTH_OK;
    }
    struct account account;
    if (!gather(transaction, &account)) return error_no_memory(error, "transaction");
    struct plinth_reads reads = {snapshot, account.keys, account.key_count, account.ranges, account.range_count};
    if (is_small(transaction, &account)) {
        st = plinth_commit(transaction->db, &reads, account.operations, account.operation_count, options, position,
                           conflict, error);
    } else {
        uint64_t lsn = 0;
        st = commit_large(transaction, &account, &reads, options, &lsn, conflict, error);
        if (!st && position) *position = engine_position(transaction->db, lsn);
    }
    free(account.operations);
    if (!st) transaction->committed = true;
    return st;
}
