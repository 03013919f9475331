/* Rows that are inserted only where there is none of their key: looked up at a state and committed as a transaction
 * that has read these keys, so that of two that insert the same key one finds the other's row. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/rows_plan.h"
#include "engine/transaction.h"

enum { ATTEMPTS_MAX = 16 };

/* A write on its way, at one state. */
struct inserting {
    struct plinth_transaction *transaction;
    const struct rows_write *write;
    struct rows_result *result;
};

static enum plinth_status refuse_rejects(const struct inserting *inserting, uint32_t rows, struct plinth_error *error) {
    const struct rows_result *result = inserting->result;
    bool whole = inserting->write->atomic || inserting->write->no_reject;
    if (!result->rows_rejected || !whole) return PLINTH_OK;
    const struct rows_reject *first = &result->rejects[0];
    for (uint32_t i = 1; i < result->reject_count; i++)
        if (result->rejects[i].row < first->row) first = &result->rejects[i];
    return error_set(error, first->status, "row %u: %s (%llu of %u rows cannot be written)", first->row, first->reason,
                     (unsigned long long)result->rows_rejected, rows);
}

/* Takes what is new of one chunk; rejects the others. */
static enum plinth_status insert_chunk(struct inserting *inserting, struct transaction_table *table,
                                       struct rows_plan *plan, uint32_t chunk, struct plinth_error *error) {
    struct batch *batch;
    uint32_t *ids;
    enum plinth_status st = rows_plan_take(plan, chunk, &batch, &ids, error);
    if (st) return st;
    struct row_block *block = row_block_create(plan->schema, batch, ids, ROW_SET);
    uint8_t *there = calloc(1, batch->rows / 8 + 1);
    uint32_t *fresh = malloc(((size_t)batch->rows + 1) * sizeof *fresh), count = 0;
    if (!block || !there || !fresh) st = error_no_memory(error, "rows");
    if (!st) st = transaction_rows_probe(inserting->transaction, table, block, there, error);
    for (uint32_t i = 0; !st && i < batch->rows; i++) {
        if (!bitmap_get(there, i))
            fresh[count++] = i;
        else
            st = rows_reject(plan, plan->order[plan->chunks[chunk].first + i], PLINTH_ALREADY_EXISTS, error,
                             "a row with this key exists already");
    }
    if (!st && count) {
        struct batch *chosen = batch_gather(batch, fresh, count);
        st = chosen ? transaction_rows_take(inserting->transaction, table, plan->schema, chosen, ids, error)
                    : error_no_memory(error, "rows");
        batch_unref(chosen);
    }
    free(there);
    free(fresh);
    row_block_unref(block);
    batch_unref(batch);
    return st;
}

static enum plinth_status insert_once(struct inserting *inserting, struct transaction_table *table,
                                      struct rows_unknown *unknown, struct plinth_error *error) {
    struct rows_plan plan;
    struct rows_write write = *inserting->write;
    enum plinth_status st = rows_plan_match(&plan, table->schema, &write, inserting->result, unknown, error);
    if (!st && !unknown->count) {
        st = rows_plan_sort(&plan, error);
        for (uint32_t i = 0; !st && plan.count && i < plan.chunk_count; i++)
            st = insert_chunk(inserting, table, &plan, i, error);
        if (!st) st = refuse_rejects(inserting, plan.rows, error);
        inserting->result->rows_written = plan.rows - inserting->result->rows_rejected;
    }
    rows_plan_deinit(&plan);
    return st;
}

/* `*again`: the table has got columns. */
static enum plinth_status attempt(struct plinth *db, struct table_id id, const struct rows_write *write,
                                  const struct plinth_write_options *options, struct rows_result *result, bool *again,
                                  struct plinth_error *error) {
    struct inserting inserting = {.write = write, .result = result};
    struct transaction_table *table;
    struct rows_unknown unknown = {0};
    struct plinth_position position;
    *again = false;
    enum plinth_status st = plinth_transaction_begin(db, &inserting.transaction, error);
    if (st) return st;
    st = transaction_table_by_id(inserting.transaction, id, &table, error);
    if (!st && !table->schema->key_count)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no key: its rows are never there already",
                       table->schema->name);
    if (!st) st = insert_once(&inserting, table, &unknown, error);
    if (!st && unknown.count) st = rows_settle_unknown(db, table->schema, write, &unknown, again, error);
    if (!st && !*again) {
        st = plinth_transaction_commit(inserting.transaction, options, &position, NULL, error);
        if (!st) result->last_lsn = position.lsn;
    }
    free(unknown.columns);
    plinth_transaction_destroy(inserting.transaction);
    return st;
}

/* A retry finds the rows that it has written itself, so its producer is asked first. */
static bool is_duplicate(struct plinth *db, const struct plinth_write_options *options, struct rows_result *result,
                         enum plinth_status *st, struct plinth_error *error) {
    struct record_header header;
    *st = write_header_init(db, options, CHANGE_TRANSACTION, &header, error);
    if (*st) return false;
    pthread_mutex_lock(&db->sequence_mutex);
    result->duplicate =
        shard_check_producer(&db->shard, &header, (struct producer_part){0}, &result->last_lsn) == PRODUCER_DUPLICATE;
    pthread_mutex_unlock(&db->sequence_mutex);
    return result->duplicate;
}

enum plinth_status rows_insert_absent(struct plinth *db, struct table_id table, const struct rows_write *write,
                                      const struct plinth_write_options *options, struct rows_result *result,
                                      struct plinth_error *error) {
    enum plinth_status st;
    if (write->operation != ROWS_UPSERT)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "if_absent is for upserts, not deletes");
    if (is_duplicate(db, options, result, &st, error)) {
        result->rows_written = write->batch->rows;
        return PLINTH_OK;
    }
    bool again = !st;
    for (unsigned attempts = 0; !st && again; attempts++) {
        rows_result_deinit(result);
        error_clear(error);
        st = attempt(db, table, write, options, result, &again, error);
        if (st == PLINTH_CONFLICT && attempts < ATTEMPTS_MAX) {
            error_clear(error);
            st = transaction_wait_for_news(db, error);
            again = true;
        }
    }
    return st;
}
