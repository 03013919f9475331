/* Deciding transactions: TRANSACTION records, and the parts of those that take several (transaction_change.h). */
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/rows_record.h"
#include "engine/shard_private.h"

/* ---- what was read ---- */

static enum verdict verdict_of(enum conflict_verdict worst) {
    switch (worst) {
    case CONFLICT_FOUND: return VERDICT_CONFLICT;
    case CONFLICT_TOO_OLD: return VERDICT_TOO_OLD;
    default: return VERDICT_APPLIED;
    }
}

/* The reads in order; false when memory is out. */
static bool set_of_reads(const struct row_reads_view *reads, struct rows_read_set *set) {
    struct reader keys = reader_of(reads->keys), ranges = reader_of(reads->ranges);
    *set = (struct rows_read_set){.keys = calloc(reads->key_count + 1, sizeof *set->keys),
                                  .ranges = calloc(reads->range_count + 1, sizeof *set->ranges)};
    if (!set->keys || !set->ranges) return false;
    while (set->key_count < reads->key_count) set->keys[set->key_count++] = reader_string(&keys);
    while (set->range_count < reads->range_count) {
        struct slice lower = reader_string(&ranges);
        set->ranges[set->range_count++] = (struct rows_read_range){lower, reader_string(&ranges)};
    }
    rows_read_set_sort(set);
    return true;
}

static enum conflict_verdict check_one_by_one(const struct shard *shard, uint64_t snapshot_lsn,
                                              const struct row_reads_view *reads, struct slice *key) {
    struct reader keys = reader_of(reads->keys), ranges = reader_of(reads->ranges);
    enum conflict_verdict worst = CONFLICT_NONE;
    for (uint64_t i = 0; i < reads->key_count && worst == CONFLICT_NONE; i++) {
        *key = reader_string(&keys);
        worst = rows_window_check_key(&shard->rows_window, snapshot_lsn, reads->table, *key);
    }
    for (uint64_t i = 0; i < reads->range_count && worst == CONFLICT_NONE; i++) {
        struct slice lower = reader_string(&ranges), upper = reader_string(&ranges);
        worst = rows_window_check_range(&shard->rows_window, snapshot_lsn, reads->table, lower, upper, key);
    }
    return worst;
}

/* Many reads are checked together: this is under the sequencing lock, and thousands of reads may meet tens of thousands
 * of writes. */
static enum conflict_verdict check_table(const struct shard *shard, uint64_t snapshot_lsn,
                                         const struct row_reads_view *reads, struct slice *key) {
    enum { READS_FEW = 8 };
    struct rows_read_set set = {0};
    enum conflict_verdict worst;
    bool many = reads->key_count > READS_FEW || reads->range_count > READS_FEW;
    if (many && set_of_reads(reads, &set))
        worst = rows_window_check_set(&shard->rows_window, snapshot_lsn, reads->table, &set, key);
    else
        worst = check_one_by_one(shard, snapshot_lsn, reads, key);
    free(set.keys);
    free(set.ranges);
    return worst;
}

enum verdict shard_check_transaction(const struct shard *shard, const struct transaction_change *change,
                                     struct transaction_conflict *conflict) {
    *conflict = (struct transaction_conflict){0};
    enum verdict verdict = shard_check_condition(shard, &change->condition, &conflict->key);
    struct reader tables = reader_of(change->tables);
    struct row_reads_view reads;
    for (uint64_t left = change->table_count; verdict == VERDICT_APPLIED && row_reads_next(&tables, &left, &reads);) {
        if (!catalog_table_by_id(&shard->catalog, reads.table.table)) return VERDICT_VOID;
        struct slice key = slice_of(NULL, 0);
        verdict = verdict_of(check_table(shard, change->condition.snapshot_lsn, &reads, &key));
        if (verdict == VERDICT_CONFLICT)
            *conflict = (struct transaction_conflict){.rows = true, .table = reads.table, .key = key};
    }
    struct reader rows = reader_of(change->rows);
    for (uint64_t i = 0; verdict == VERDICT_APPLIED && i < change->rows_count; i++) {
        struct rows_change head;
        if (rows_change_decode(reader_string(&rows), &head) && !shard_table_schema(shard, head.table))
            verdict = VERDICT_VOID;
    }
    return verdict;
}

/* ---- what is written ---- */

/* Checks the rows of a replayed transaction, and makes their key runs. */
static enum plinth_status check_rows(const struct shard *shard, const struct transaction_change *change,
                                     struct decision *decision, struct key_run **runs, struct plinth_error *error) {
    struct reader rows = reader_of(change->rows);
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < change->rows_count && decision->verdict == VERDICT_APPLIED; i++) {
        struct slice payload = reader_string(&rows);
        struct rows_change head;
        struct key_run *more = NULL;
        bool sound = rows_change_decode(payload, &head) && !head.in_unit && !head.chunked;
        const struct table_schema *schema = sound ? shard_table_schema(shard, head.table) : NULL;
        if (!sound)
            decision->verdict = VERDICT_REFUSED;
        else if (!schema)
            decision->verdict = VERDICT_VOID;
        else
            st = rows_record_check(schema, payload, &more, error);
        if (st == PLINTH_CORRUPT) {
            error_clear(error);
            decision->verdict = VERDICT_REFUSED;
            st = PLINTH_OK;
        }
        key_runs_append(runs, more);
    }
    return st;
}

static enum plinth_status decide_body(struct shard *shard, const struct record_header *header,
                                      const struct transaction_change *change, const struct write_keys *written,
                                      struct decision *decision, struct key_run **runs, struct plinth_error *error) {
    struct transaction_conflict conflict;
    const bool sound = written != NULL;
    if (!sound && !shard_operations_are_sound(shard, change->condition.operations)) decision->verdict = VERDICT_REFUSED;
    enum plinth_status st = sound ? PLINTH_OK : check_rows(shard, change, decision, runs, error);
    if (st || decision->verdict != VERDICT_APPLIED) return st;
    decision->verdict = shard_judge_producer(shard, header, (struct producer_part){0}, &decision->first_lsn);
    if (decision->verdict == VERDICT_APPLIED &&
        !shard_references_are_valid(shard, change->condition.operations, written))
        decision->verdict = VERDICT_VOID;
    if (decision->verdict == VERDICT_APPLIED) decision->verdict = shard_check_transaction(shard, change, &conflict);
    return PLINTH_OK;
}

/* ---- parts ---- */

static enum plinth_status keep_part(struct shard *shard, const struct transaction_part *part,
                                    struct plinth_error *error) {
    struct unit *unit = units_find(&shard->units, part->unit);
    if (!unit || buffer_append(&unit->body, part->bytes.data, part->bytes.size)) return PLINTH_OK;
    return error_no_memory(error, "parts of a transaction");
}

/* The body of a replayed TRANSACTION record: `*whole` owns it when it is of several. */
static enum plinth_status take_body(struct shard *shard, const struct transaction_part *part, struct buffer *whole,
                                    struct slice *body, struct plinth_error *error) {
    *body = part->bytes;
    struct unit *unit = part->in_unit ? units_find(&shard->units, part->unit) : NULL;
    if (!unit) return PLINTH_OK;
    *whole = unit->body;
    unit->body = (struct buffer)BUFFER_INIT;
    if (!buffer_append(whole, part->bytes.data, part->bytes.size))
        return error_no_memory(error, "parts of a transaction");
    *body = buffer_slice(whole);
    return PLINTH_OK;
}

/* Takes the part into its unit; `verdict` is what the record has met so far. */
static enum plinth_status add_part(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                   const struct transaction_part *part, size_t payload_bytes, bool last,
                                   struct decision *decision, struct plinth_error *error) {
    bool valid = true;
    struct rows_change change = transaction_part_in_unit(part, last);
    if (!part->in_unit) return PLINTH_OK;
    if (decision->verdict != VERDICT_APPLIED) {
        units_drop(&shard->units, part->unit);
        return PLINTH_OK;
    }
    enum plinth_status st =
        units_add(&shard->units, lsn, header, &change, payload_bytes, shard->time_us, &valid, error);
    if (!st && !valid) decision->verdict = VERDICT_VOID;
    return st;
}

/* Whether the unit waits for this part. */
static bool is_awaited(const struct shard *shard, const struct transaction_part *part) {
    const struct unit *unit = part->in_unit ? units_find(&shard->units, part->unit) : NULL;
    return !part->in_unit || (unit && !unit->last_lsn && unit->rows == part->offset);
}

static enum plinth_status decide_part(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                      const struct transaction_part *part, size_t payload_bytes, bool live,
                                      struct decision *decision, struct plinth_error *error) {
    decision->verdict = shard_judge_producer(shard, header, (struct producer_part){0}, &decision->first_lsn);
    enum plinth_status st = add_part(shard, lsn, header, part, payload_bytes, false, decision, error);
    if (!st && decision->verdict == VERDICT_APPLIED && !live) st = keep_part(shard, part, error);
    return st;
}

/* The runs of all rows of a change, from its bytes. Rows of tables dropped since have no place in the window. */
static struct key_run *runs_of_change(const struct shard *shard, const struct record_header *header,
                                      const struct transaction_change *change) {
    struct reader rows = reader_of(change->rows);
    struct key_run *runs = NULL;
    for (uint64_t i = 0; i < change->rows_count; i++) {
        struct slice payload = reader_string(&rows);
        struct rows_change head;
        struct key_run *more;
        struct plinth_error error;
        const struct table_schema *schema =
            rows_change_decode(payload, &head) ? shard_table_schema(shard, head.table) : NULL;
        if (schema && !rows_record_runs(schema, payload, &more, &error)) key_runs_append(&runs, more);
    }
    shard_keep_runs(shard, header, &runs);
    return runs;
}

static uint64_t runs_wanted(const struct shard *shard, const struct record_header *header,
                            const struct transaction_change *change) {
    struct reader rows = reader_of(change->rows);
    uint64_t wanted = 0;
    for (uint64_t i = 0; i < change->rows_count; i++) {
        struct rows_change head;
        const struct table_schema *schema =
            rows_change_decode(reader_string(&rows), &head) ? shard_table_schema(shard, head.table) : NULL;
        if (schema) wanted += shard_runs_wanted(shard, header, schema, head.operation);
    }
    return wanted;
}

static enum plinth_status apply(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                const struct transaction_change *change, const struct write_keys *written,
                                struct key_run **runs, struct plinth_error *error) {
    enum plinth_status st = shard_add_producer(shard, lsn, header, (struct producer_part){0}, error);
    if (st) return st;
    if (!shard_register_keys(shard, lsn, change->condition.operations, written))
        return error_no_memory(error, "conflict window");
    if (!shard_note_ranges(shard, lsn, change->condition.operations, written))
        return error_no_memory(error, "range deletes");
    if (!shard_note_references(shard, lsn, change->condition.operations, written))
        return error_no_memory(error, "values");
    struct key_run *taken = *runs;
    *runs = NULL;
    shard_keep_runs(shard, header, &taken);
    uint64_t wanted = runs_wanted(shard, header, change);
    if (key_runs_count(taken) != wanted) { /* a unique index has come since the writer took its schema */
        key_runs_free(taken);
        taken = runs_of_change(shard, header, change);
        if (key_runs_count(taken) != wanted) {
            key_runs_free(taken);
            return error_no_memory(error, "conflict window");
        }
    }
    return rows_window_add(&shard->rows_window, lsn, taken) ? PLINTH_OK : error_no_memory(error, "conflict window");
}

static enum plinth_status decide_whole(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                       const struct transaction_part *part, size_t payload_bytes,
                                       const struct write_keys *written, struct decision *decision,
                                       struct plinth_error *error) {
    struct transaction_change decoded;
    const struct transaction_change *change = written ? written->transaction : &decoded;
    struct key_run *own = NULL, **runs = written && written->runs ? written->runs : &own;
    struct buffer whole = BUFFER_INIT;
    struct slice body;
    enum plinth_status st = PLINTH_OK;
    if (!is_awaited(shard, part)) {
        decision->verdict = VERDICT_VOID;
    } else if (!written) {
        st = take_body(shard, part, &whole, &body, error);
        if (!st && !transaction_change_decode(body, &decoded)) decision->verdict = VERDICT_REFUSED;
    }
    if (!st && decision->verdict == VERDICT_APPLIED)
        st = decide_body(shard, header, change, written, decision, runs, error);
    if (!st) st = add_part(shard, lsn, header, part, payload_bytes, true, decision, error);
    if (!st && decision->verdict == VERDICT_APPLIED) st = apply(shard, lsn, header, change, written, runs, error);
    key_runs_free(own);
    buffer_deinit(&whole);
    return st;
}

enum plinth_status shard_decide_transaction(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                            struct slice payload, const struct write_keys *written,
                                            struct decision *decision, struct plinth_error *error) {
    enum change_kind kind = (enum change_kind)header->kind;
    struct transaction_part part;
    uint32_t chunks = header->chunk_count ? header->chunk_count : 1;
    bool sound = shard->feature_level >= FEATURE_LEVEL_TRANSACTIONS && transaction_part_decode(kind, payload, &part) &&
                 header->schema_version <= (uint32_t)shard->catalog.version && header->chunk < chunks &&
                 part.in_unit == (chunks > 1) && (kind == CHANGE_TRANSACTION) == (header->chunk + 1 == chunks);
    enum plinth_status st = PLINTH_OK;
    if (!sound)
        decision->verdict = VERDICT_REFUSED;
    else if (kind == CHANGE_TRANSACTION_PART)
        st = decide_part(shard, lsn, header, &part, payload.size, written != NULL, decision, error);
    else
        st = decide_whole(shard, lsn, header, &part, payload.size, written, decision, error);
    return st || decision->verdict == VERDICT_APPLIED ? st : shard_note_void(shard, lsn, error);
}

void shard_replay_transaction(struct shard *shard, uint64_t lsn, const struct record_header *header,
                              struct slice payload) {
    struct transaction_part part;
    struct transaction_change change;
    struct buffer whole = BUFFER_INIT;
    struct slice body;
    struct plinth_error error;
    if (!transaction_part_decode((enum change_kind)header->kind, payload, &part)) return;
    if (header->kind == CHANGE_TRANSACTION_PART) {
        (void)!keep_part(shard, &part, &error);
        return;
    }
    if (!take_body(shard, &part, &whole, &body, &error) && transaction_change_decode(body, &change)) {
        if (lsn > shard->window.floor_lsn) (void)shard_register_keys(shard, lsn, change.condition.operations, NULL);
        if (lsn > shard->rows_window.floor_lsn)
            (void)!rows_window_add(&shard->rows_window, lsn, runs_of_change(shard, header, &change));
    }
    buffer_deinit(&whole);
}
