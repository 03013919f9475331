/* The way of rows: plan (rows_plan.h), then chunk by chunk: encode, sequence, insert. As write.c for keys. */
#include "engine/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/rows_plan.h"
#include "engine/rows_record.h"
#include "engine/rows_unique.h"
#include "engine/table_ddl.h"
#include "engine/table_gate.h"
#include "engine/write.h"

_Static_assert((int)UNIT_BYTES_MAX == (int)ROWS_UNIT_BYTES_MAX, "what a unit may hold");

/* A write on its way. */
struct submission {
    struct plinth *db;
    const struct rows_plan *plan;
    struct rows_result *result;
    struct record_header header; /* chunk is of the record under way */
    struct rows_change change;   /* likewise */
    bool no_wait;                /* until something is in the log */
    struct buffer payload;
    struct key_run *runs;      /* of the record under way */
    struct row_block **blocks; /* of a unit: one a part; else the one under way */
    uint32_t block_count;
    uint32_t chunks_applied; /* now */
};

/* ---- one record ---- */

/* Under the sequencing lock: the record's place in the log, and what becomes of it. `*memtable` is referenced when rows
 * are to be inserted. `*lsn` is 0 when nothing was appended. */
static enum plinth_status sequence_locked(struct submission *submission, uint64_t *lsn, struct decision *decision,
                                          struct memtable **memtable, struct plinth_error *error) {
    struct plinth *db = submission->db;
    const struct rows_change *change = &submission->change;
    enum plinth_status st = write_wait_for_memory(db, submission->no_wait, error);
    if (st) return st;
    struct producer_part part = rows_part_of(&submission->header, change);
    switch (shard_check_producer(&db->shard, &submission->header, part, &decision->first_lsn)) {
    case PRODUCER_NEW: break;
    case PRODUCER_DUPLICATE: decision->verdict = VERDICT_DUPLICATE; return PLINTH_OK;
    case PRODUCER_TOO_OLD: decision->verdict = VERDICT_TOO_OLD; return PLINTH_OK;
    case PRODUCER_OTHER: decision->verdict = VERDICT_VOID; return PLINTH_OK;
    }
    if (!shard_table_schema(&db->shard, change->table))
        return error_set(error, PLINTH_NOT_FOUND, "table \"%s\" was dropped", submission->plan->schema->name);
    bool inserts = !change->in_unit || change->last;
    const struct write_keys sound = {.runs = &submission->runs};
    if (inserts) st = write_cut_full(db, error);
    if (!st)
        st = engine_append_locked(db, &submission->header, buffer_slice(&submission->payload), &sound, LOG_NO_WAIT, lsn,
                                  decision, error);
    if (st || decision->verdict != VERDICT_APPLIED || !inserts) return st;
    db->last_data_lsn = *lsn;
    *memtable = memtable_ref(db->active);
    return PLINTH_OK;
}

/* The blocks get the record's LSN and go into the memtable. */
static enum plinth_status insert_blocks(struct submission *submission, struct memtable *memtable, uint64_t lsn,
                                        struct plinth_error *error) {
    uint64_t ordinal = 0;
    for (uint32_t i = 0; i < submission->block_count; i++) {
        struct row_block *block = submission->blocks[i];
        if (!row_block_set_lsn(block, lsn, (uint32_t)ordinal)) return error_no_memory(error, "rows");
        enum plinth_status st = memtable_add_block(memtable, submission->change.table, block, error);
        if (st) return st;
        ordinal += block->rows;
    }
    return PLINTH_OK;
}

static void drop_blocks(struct submission *submission) {
    while (submission->block_count) row_block_unref(submission->blocks[--submission->block_count]);
}

/* Sequences the encoded record, and inserts when it completes something. */
static enum plinth_status sequence(struct submission *submission, struct decision *decision,
                                   struct plinth_error *error) {
    struct plinth *db = submission->db;
    struct memtable *memtable = NULL;
    uint64_t lsn = 0;
    enum plinth_status st;
    for (;;) {
        *decision = (struct decision){VERDICT_APPLIED, 0};
        pthread_mutex_lock(&db->sequence_mutex);
        st = sequence_locked(submission, &lsn, decision, &memtable, error);
        pthread_mutex_unlock(&db->sequence_mutex);
        if (st != PLINTH_WOULD_BLOCK || submission->no_wait) break;
        st = log_wait_room(db->log, LOG_WAIT_FOREVER, error);
        if (st) break;
    }
    if (st) return st;
    uint64_t known = decision->verdict == VERDICT_DUPLICATE ? decision->first_lsn : lsn;
    if (known > submission->result->last_lsn) submission->result->last_lsn = known;
    if (!lsn) return PLINTH_OK;
    submission->no_wait = false;
    if (memtable) st = insert_blocks(submission, memtable, lsn, error);
    if (memtable) memtable_unref(memtable);
    if (st) {
        /* The log has the rows and the memtable has not: they must not become visible half. */
        error_prefix(error, "record %" PRIu64, lsn);
        engine_fail(db, error);
        return error_set(error, PLINTH_OUTCOME_UNKNOWN, "out of memory after the rows were logged");
    }
    engine_sequenced(db, lsn);
    return PLINTH_OK;
}

/* ---- all records ---- */

static enum plinth_status check_verdict(const struct submission *submission, const struct decision *decision,
                                        struct plinth_error *error) {
    if (decision->verdict == VERDICT_VOID && submission->change.in_unit && submission->header.chunk)
        return error_set(error, PLINTH_UNAVAILABLE,
                         "the atomic write took too long, or too many are under way: nothing was written");
    return write_check_verdict(&submission->header, decision, error);
}

/* Makes block and record of one chunk. */
static enum plinth_status prepare_chunk(struct submission *submission, uint32_t chunk, struct plinth_error *error) {
    const struct rows_plan *plan = submission->plan;
    struct batch *batch;
    uint32_t *column_ids;
    enum plinth_status st = rows_plan_take(plan, chunk, &batch, &column_ids, error);
    if (st) return st;
    submission->change.rows = batch->rows;
    submission->change.column_count = batch->column_count;
    buffer_clear(&submission->payload);
    if (!buffer_reserve(&submission->payload, RECORD_PAYLOAD_BYTES_MAX) ||
        !rows_record_encode(&submission->payload, &submission->change, column_ids, batch)) {
        batch_unref(batch);
        return error_no_memory(error, "rows");
    }
    enum row_operation operation = plan->write->operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE;
    struct row_block *block = row_block_create(plan->schema, batch, column_ids, operation);
    batch_unref(batch);
    if (!block) return error_no_memory(error, "rows");
    submission->blocks[submission->block_count++] = block;
    key_runs_free(submission->runs);
    submission->runs = NULL;
    /* Of units always: the level may be raised before their last part. */
    if (!submission->change.in_unit && !atomic_load_explicit(&submission->db->remembers_rows, memory_order_relaxed))
        return PLINTH_OK;
    const struct rows_written written = {block->columns, block->column_ids,
                                         plan->schema->key_count ? &block->keys : NULL, plan->write->operation};
    return rows_runs_make(plan->schema, &written, &submission->runs, error);
}

/* Each chunk for itself. */
static enum plinth_status write_chunks(struct submission *submission, struct plinth_error *error) {
    uint32_t count = submission->plan->chunk_count;
    submission->header.chunk_count = count;
    submission->change.chunked = count > 1;
    submission->change.cut = submission->plan->cut;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < count; i++) {
        struct decision decision;
        submission->header.chunk = i;
        st = prepare_chunk(submission, i, error);
        if (!st) st = sequence(submission, &decision, error);
        if (!st) st = check_verdict(submission, &decision, error);
        if (!st && decision.verdict == VERDICT_APPLIED) submission->chunks_applied++;
        drop_blocks(submission);
        if (st && submission->chunks_applied) {
            /* Not "nothing was written": only the same producer and sequence again make it whole without doubles. */
            error_prefix(error, "behind %u of %u chunks, which were written: %s", i, count, plinth_status_name(st));
            if (error) error->status = PLINTH_OUTCOME_UNKNOWN;
            st = PLINTH_OUTCOME_UNKNOWN;
        }
    }
    submission->result->duplicate = !st && !submission->chunks_applied;
    return st;
}

/* All chunks as one unit. */
static enum plinth_status write_unit(struct submission *submission, struct plinth_error *error) {
    struct rows_change *change = &submission->change;
    uint32_t count = submission->plan->chunk_count;
    submission->header.chunk_count = count;
    change->in_unit = true;
    change->unit = env_random_u64(submission->db->env);
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < count; i++) {
        struct decision decision;
        submission->header.chunk = i;
        change->last = i + 1 == count;
        st = prepare_chunk(submission, i, error);
        if (!st) st = sequence(submission, &decision, error);
        if (!st) st = check_verdict(submission, &decision, error);
        if (!st && decision.verdict == VERDICT_DUPLICATE) {
            submission->result->duplicate = true;
            break;
        }
        change->first_ordinal += change->rows;
    }
    return st;
}

static enum plinth_status write_plan(struct plinth *db, struct rows_plan *plan, const struct record_header *header,
                                     bool no_wait, struct plinth_error *error) {
    struct submission submission = {
        .db = db, .plan = plan, .result = plan->result, .header = *header, .no_wait = no_wait};
    submission.change.table = plan->schema->id;
    submission.change.operation = (uint8_t)plan->write->operation;
    submission.blocks = malloc(plan->chunk_count * sizeof *submission.blocks);
    if (!submission.blocks) return error_no_memory(error, "rows");
    bool unit = plan->write->atomic && plan->chunk_count > 1;
    enum plinth_status st = unit ? write_unit(&submission, error) : write_chunks(&submission, error);
    drop_blocks(&submission);
    key_runs_free(submission.runs);
    free(submission.blocks);
    buffer_deinit(&submission.payload);
    return st;
}

/* ---- the call ---- */

static int reject_compare(const void *a, const void *b) {
    const struct rows_reject *left = a, *right = b;
    return (left->row > right->row) - (left->row < right->row);
}

/* Fails a write that takes no rejects because of one. */
static enum plinth_status check_rejects(const struct rows_plan *plan, struct plinth_error *error) {
    struct rows_result *result = plan->result;
    if (!result->rows_rejected) return PLINTH_OK;
    qsort(result->rejects, result->reject_count, sizeof *result->rejects, reject_compare);
    if (!plan->write->atomic && !plan->write->no_reject) return PLINTH_OK;
    const struct rows_reject *first = &result->rejects[0];
    return error_set(error, first->status, "row %u: %s (%" PRIu64 " of %u rows cannot be written)", first->row,
                     first->reason, result->rows_rejected, plan->rows);
}

static enum plinth_status check_unit(const struct rows_plan *plan, struct plinth_error *error) {
    if (!plan->write->atomic || (uint64_t)plan->chunk_count * RECORD_PAYLOAD_BYTES_MAX <= ROWS_UNIT_BYTES_MAX)
        return PLINTH_OK;
    return error_set(error, PLINTH_TOO_LARGE, "the atomic write takes %u log records; at most %d are allowed",
                     plan->chunk_count, ROWS_UNIT_BYTES_MAX / RECORD_PAYLOAD_BYTES_MAX);
}

/* The write against one version of the schema; inside of the table's gate. */
static enum plinth_status write_with(struct plinth *db, const struct table_schema *schema,
                                     const struct rows_write *write, const struct record_header *header, bool no_wait,
                                     struct rows_result *result, struct rows_unknown *unknown,
                                     struct plinth_error *error) {
    struct rows_plan plan;
    enum plinth_status st = rows_plan_match(&plan, schema, write, result, unknown, error);
    if (db->rows_record_bytes_max) plan.record_bytes_max = db->rows_record_bytes_max;
    if (!st && !unknown->count) {
        st = rows_plan_sort(&plan, error);
        if (!st) st = check_rejects(&plan, error);
        if (!st) st = check_unit(&plan, error);
        if (!st && plan.count) st = write_plan(db, &plan, header, no_wait, error);
        if (!st) result->rows_written = plan.rows - result->rows_rejected;
    }
    rows_plan_deinit(&plan);
    return st;
}

static enum plinth_status refuse_unknown(const struct table_schema *schema, const struct arrow_schema *given,
                                         const struct rows_unknown *unknown, struct plinth_error *error) {
    char names[300] = "";
    size_t used = 0;
    for (uint64_t i = 0; i < unknown->count && used < sizeof names - 1; i++) {
        int added = snprintf(names + used, sizeof names - used, "%s\"%.64s\"", i ? ", " : "",
                             given->fields[unknown->columns[i]].name);
        used += (size_t)added;
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no column %s", schema->name, names);
}

static enum plinth_status add_unknown(struct plinth *db, uint32_t table, const struct arrow_schema *given,
                                      const struct rows_unknown *unknown, struct plinth_error *error) {
    struct catalog_column *columns = calloc(unknown->count, sizeof *columns);
    if (!columns) return error_no_memory(error, "columns");
    for (uint64_t i = 0; i < unknown->count; i++) {
        const struct arrow_field *field = &given->fields[unknown->columns[i]];
        columns[i] = (struct catalog_column){slice_of_string(field->name), field->type, true};
    }
    enum plinth_status st = engine_add_columns(db, table, columns, (uint32_t)unknown->count, error);
    free(columns);
    return st;
}

enum plinth_status rows_settle_unknown(struct plinth *db, const struct table_schema *schema,
                                       const struct rows_write *write, const struct rows_unknown *unknown, bool *again,
                                       struct plinth_error *error) {
    bool adds = db && schema->adds_columns && write->operation == ROWS_UPSERT;
    enum plinth_status st = adds ? add_unknown(db, schema->id.table, write->schema, unknown, error)
                                 : refuse_unknown(schema, write->schema, unknown, error);
    if (st == PLINTH_CONFLICT) st = PLINTH_OK; /* another writer made one of the columns: match again */
    *again = adds && !st;
    return st;
}

/* One attempt; `*again` when the table has got new columns. `*checked`: nothing was done, for a unique index asks for a
 * transaction. */
static enum plinth_status attempt(struct plinth *db, struct table_id table, const struct rows_write *write,
                                  const struct record_header *header, bool no_wait, struct rows_result *result,
                                  bool *again, bool *checked, struct plinth_error *error) {
    struct rows_unknown unknown = {0};
    const struct table_schema *schema = NULL;
    *again = false;
    if (!engine_table_gate_enter(db, table.table, no_wait))
        return error_set(error, PLINTH_WOULD_BLOCK, "waiting for a change of the table");
    enum plinth_status st = engine_schema_by_id(db, table.table, &schema, error);
    if (!st && (schema->kind != TABLE_ROWS || table_id_compare(schema->id, table) != 0))
        st = error_set(error, PLINTH_NOT_FOUND, "no table of rows with id %u", table.table);
    *checked = !st && write->operation == ROWS_UPSERT && schema_has_unique(schema);
    if (!st && !*checked) st = write_with(db, schema, write, header, no_wait, result, &unknown, error);
    engine_table_gate_leave(db, table.table);
    if (!st && unknown.count) st = rows_settle_unknown(db, schema, write, &unknown, again, error);
    table_schema_unref(schema);
    free(unknown.columns);
    return st;
}

static void count_rows(struct plinth *db, const struct rows_write *write, const struct rows_result *result,
                       bool checked) {
    if (!result->duplicate && !checked) /* a transaction has counted its own */
        counter_add(write->operation == ROWS_UPSERT ? &db->counters.rows_upserted : &db->counters.rows_deleted,
                    result->rows_written);
    counter_add(&db->counters.rows_rejected, result->rows_rejected);
}

enum plinth_status rows_submit(struct plinth *db, struct table_id table, const struct rows_write *write,
                               const struct plinth_write_options *options, struct rows_result *result,
                               struct plinth_error *error) {
    *result = (struct rows_result){0};
    error_clear(error);
    struct record_header header;
    enum plinth_status st = write_header_init(db, options, CHANGE_ROWS, &header, error);
    if (!st) st = engine_check(db, error);
    bool again = !st, checked = write->if_absent, no_wait = options && options->no_wait;
    while (!st && again && !checked) st = attempt(db, table, write, &header, no_wait, result, &again, &checked, error);
    if (!st && checked && no_wait && !write->if_absent)
        st = error_set(error, PLINTH_WOULD_BLOCK, "a unique index has to be looked into");
    else if (!st && checked)
        st = rows_write_checked(db, table, write, options, result, error);
    if (result->last_lsn) {
        result->position = engine_position(db, result->last_lsn);
        log_request(db->log, result->last_lsn, header.durability);
    }
    if (!st) count_rows(db, write, result, checked);
    return st;
}

enum plinth_status rows_wait(struct plinth *db, const struct plinth_write_options *options,
                             const struct rows_result *result, struct plinth_error *error) {
    struct record_header header;
    enum plinth_status st = write_header_init(db, options, CHANGE_ROWS, &header, error);
    if (st || !result->last_lsn) return st;
    return write_wait(db, &header, result->last_lsn, error);
}

void rows_result_deinit(struct rows_result *result) {
    free(result->rejects);
    *result = (struct rows_result){0};
}
