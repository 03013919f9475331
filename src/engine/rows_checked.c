/* Rows that are written only when something holds: there is none of their key (if_absent), nobody else has their values
 * in a unique index. They are looked at against a state and committed as a transaction that has read what that rests
 * on, so that of two that cannot both be written one finds the other's row. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/rows_plan.h"
#include "engine/rows_unique.h"
#include "engine/table_gate.h"
#include "engine/transaction.h"

enum {
    ATTEMPTS_OPEN = 4, /* before the table's writers are kept out */
    ATTEMPTS_MAX = 32, /* a flush, or a step of an index build, that comes in between makes one lose, too */
};

/* A write on its way, at one state. */
struct inserting {
    struct plinth_transaction *transaction;
    const struct rows_write *write;
    struct rows_result *result;
    struct rows_plan *plan;
    struct transaction_rows *chunks; /* as they are sorted; of if_absent without those that are there */
    uint64_t chunk_count;
    uint32_t *arrival; /* the rows of the chunks, as they are numbered in the batch */
    uint32_t count;
};

static void inserting_deinit(struct inserting *inserting) {
    transaction_rows_free(inserting->chunks, inserting->chunk_count);
    free(inserting->arrival);
    inserting->chunks = NULL;
    inserting->arrival = NULL;
    inserting->chunk_count = inserting->count = 0;
}

static int compare_rejects(const void *a, const void *b) {
    const struct rows_reject *left = a, *right = b;
    return (left->row > right->row) - (left->row < right->row);
}

/* Fails a write that takes no rejects because of one. */
static enum plinth_status refuse_rejects(const struct inserting *inserting, uint32_t rows, struct plinth_error *error) {
    const struct rows_result *result = inserting->result;
    if (!result->rows_rejected) return PLINTH_OK;
    qsort(result->rejects, result->reject_count, sizeof *result->rejects, compare_rejects);
    if (!inserting->write->atomic && !inserting->write->no_reject) return PLINTH_OK;
    return error_set(error, result->rejects[0].status, "row %u: %s (%llu of %u rows cannot be written)",
                     result->rejects[0].row, result->rejects[0].reason, (unsigned long long)result->rows_rejected,
                     rows);
}

/* ---- if absent ---- */

/* Leaves of a batch the rows whose keys are new; rejects the others. `rows` are their numbers, and what is left. */
static enum plinth_status leave_absent(struct inserting *inserting, struct transaction_table *table,
                                       const uint32_t *ids, struct batch **batch, uint32_t *rows,
                                       struct plinth_error *error) {
    struct row_block *block = row_block_create(table->schema, *batch, ids, ROW_SET);
    uint8_t *there = calloc(1, (*batch)->rows / 8 + 1);
    uint32_t *fresh = malloc(((size_t)(*batch)->rows + 1) * sizeof *fresh), count = 0;
    enum plinth_status st = block && there && fresh ? PLINTH_OK : error_no_memory(error, "rows");
    if (!st) st = transaction_rows_probe(inserting->transaction, table, block, there, error);
    for (uint32_t i = 0; !st && i < (*batch)->rows; i++) {
        if (bitmap_get(there, i)) {
            st = rows_reject(inserting->plan, rows[i], PLINTH_ALREADY_EXISTS, error,
                             "a row with this key exists already");
            continue;
        }
        fresh[count] = i;
        rows[count++] = rows[i];
    }
    if (!st && count < (*batch)->rows) {
        struct batch *chosen = batch_gather(*batch, fresh, count);
        st = chosen ? PLINTH_OK : error_no_memory(error, "rows");
        batch_unref(*batch);
        *batch = chosen;
    }
    free(there);
    free(fresh);
    row_block_unref(block);
    return st;
}

/* ---- chunks ---- */

/* The rows of one chunk that may be written. */
static enum plinth_status take_chunk(struct inserting *inserting, struct transaction_table *table, uint32_t chunk,
                                     struct plinth_error *error) {
    const struct rows_plan *plan = inserting->plan;
    uint32_t *rows = inserting->arrival + inserting->count, *ids;
    struct batch *batch;
    enum plinth_status st = rows_plan_take(plan, chunk, &batch, &ids, error);
    if (st) return st;
    memcpy(rows, plan->order + plan->chunks[chunk].first, batch->rows * sizeof *rows);
    if (inserting->write->if_absent) st = leave_absent(inserting, table, plan->column_ids, &batch, rows, error);
    if (!st && batch->rows) {
        struct transaction_rows made = {plan->schema, ROWS_UPSERT, batch, plan->column_ids};
        inserting->count += batch->rows;
        if (ARRAY_PUSH(inserting->chunks, inserting->chunk_count, made)) return PLINTH_OK;
        st = error_no_memory(error, "rows");
    }
    batch_unref(batch);
    return st;
}

/* The transaction keeps copies of the ids. */
static enum plinth_status keep_chunk(struct inserting *inserting, struct transaction_table *table,
                                     const struct transaction_rows *rows, const uint32_t *arrival,
                                     struct plinth_error *error) {
    uint32_t *kept = malloc(((size_t)rows->batch->rows + 1) * sizeof *kept), count = 0;
    enum plinth_status st = kept ? PLINTH_OK : error_no_memory(error, "rows");
    for (uint32_t i = 0; !st && i < rows->batch->rows; i++)
        if (!bitmap_get(inserting->plan->rejected, arrival[i])) kept[count++] = i;
    struct batch *batch = NULL;
    if (!st && count) {
        batch = count == rows->batch->rows ? batch_ref(rows->batch) : batch_gather(rows->batch, kept, count);
        size_t id_bytes = rows->batch->column_count * sizeof *rows->column_ids;
        uint32_t *ids = batch ? arena_alloc(&batch->arena, id_bytes + 1) : NULL;
        if (ids) memcpy(ids, rows->column_ids, id_bytes);
        st = ids ? transaction_rows_take(inserting->transaction, table, rows->schema, batch, ids, error)
                 : error_no_memory(error, "rows");
    }
    batch_unref(batch);
    free(kept);
    return st;
}

static enum plinth_status reject_double(void *context, size_t number, uint32_t row, const char *reason,
                                        struct plinth_error *error) {
    struct inserting *inserting = context;
    uint64_t before = 0;
    for (size_t i = 0; i < number; i++) before += inserting->chunks[i].batch->rows;
    return rows_reject(inserting->plan, inserting->arrival[before + row], PLINTH_ALREADY_EXISTS, error, "%s", reason);
}

static enum plinth_status check_unique(struct inserting *inserting, struct transaction_table *table,
                                       struct plinth_error *error) {
    struct unique_rows unique = {.rows = inserting->chunks,
                                 .count = inserting->chunk_count,
                                 .arrival = inserting->arrival,
                                 .reject = reject_double,
                                 .context = inserting};
    if (!schema_has_unique(table->schema) || !inserting->count) return PLINTH_OK;
    return transaction_check_unique(inserting->transaction, table, &unique, error);
}

static enum plinth_status insert_chunks(struct inserting *inserting, struct transaction_table *table,
                                        struct plinth_error *error) {
    const struct rows_plan *plan = inserting->plan;
    enum plinth_status st = PLINTH_OK;
    inserting->arrival = malloc(((size_t)plan->count + 1) * sizeof *inserting->arrival);
    if (!inserting->arrival) return error_no_memory(error, "rows");
    for (uint32_t i = 0; !st && plan->count && i < plan->chunk_count; i++) st = take_chunk(inserting, table, i, error);
    if (!st) st = check_unique(inserting, table, error);
    const uint32_t *arrival = inserting->arrival;
    for (uint64_t i = 0; !st && i < inserting->chunk_count; i++) {
        st = keep_chunk(inserting, table, &inserting->chunks[i], arrival, error);
        arrival += inserting->chunks[i].batch->rows;
    }
    table->checked_writes = table->writes;
    return st;
}

static enum plinth_status insert_once(struct inserting *inserting, struct transaction_table *table,
                                      struct rows_unknown *unknown, struct plinth_error *error) {
    struct rows_plan plan;
    enum plinth_status st = rows_plan_match(&plan, table->schema, inserting->write, inserting->result, unknown, error);
    inserting->plan = &plan;
    if (!st && !unknown->count) {
        st = rows_plan_sort(&plan, error);
        if (!st) st = insert_chunks(inserting, table, error);
        if (!st) st = refuse_rejects(inserting, plan.rows, error);
        inserting->result->rows_written = plan.rows - inserting->result->rows_rejected;
    }
    inserting_deinit(inserting);
    rows_plan_deinit(&plan);
    return st;
}

/* ---- attempts ---- */

/* `*again`: the table has got columns. `*closed`: the caller keeps the table's gate closed; it is opened here when the
 * table has to change. */
static enum plinth_status attempt(struct plinth *db, struct table_id id, const struct rows_write *write,
                                  const struct plinth_write_options *options, bool *closed, struct rows_result *result,
                                  bool *again, struct plinth_error *error) {
    struct inserting inserting = {.write = write, .result = result};
    struct transaction_table *table;
    struct rows_unknown unknown = {0};
    struct plinth_position position;
    *again = false;
    enum plinth_status st = plinth_transaction_begin(db, &inserting.transaction, error);
    if (st) return st;
    inserting.transaction->gate_held = *closed ? id.table : 0;
    st = transaction_table_by_id(inserting.transaction, id, &table, error);
    if (!st && write->if_absent && !table->schema->key_count)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no key: its rows are never there already",
                       table->schema->name);
    if (!st) st = insert_once(&inserting, table, &unknown, error);
    if (!st && unknown.count && *closed) {
        engine_table_gate_open(db, id.table);
        *closed = false;
    }
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

enum plinth_status rows_write_checked(struct plinth *db, struct table_id table, const struct rows_write *write,
                                      const struct plinth_write_options *options, struct rows_result *result,
                                      struct plinth_error *error) {
    enum plinth_status st;
    if (write->operation != ROWS_UPSERT)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "if_absent is for upserts, not deletes");
    if (is_duplicate(db, options, result, &st, error)) {
        result->rows_written = write->batch->rows;
        return PLINTH_OK;
    }
    bool again = !st, closed = false;
    for (unsigned attempts = 0; !st && again; attempts++) {
        if (attempts == ATTEMPTS_OPEN) {
            engine_table_gate_close(db, table.table);
            closed = true;
        }
        rows_result_deinit(result);
        error_clear(error);
        st = attempt(db, table, write, options, &closed, result, &again, error);
        if (st == PLINTH_CONFLICT && attempts < ATTEMPTS_MAX) {
            error_clear(error);
            st = transaction_wait_for_news(db, error);
            again = true;
        }
    }
    if (closed) engine_table_gate_open(db, table.table);
    return st;
}
