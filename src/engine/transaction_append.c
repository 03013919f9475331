/* A transaction's content into the log and the memtable (transaction.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/row_text.h"
#include "engine/rows_record.h"
#include "engine/rows_unique.h"
#include "engine/table_gate.h"
#include "engine/transaction.h"

/* ---- what a conflict says ---- */

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

static bool set_key(struct plinth_conflict *conflict, struct slice key) {
    struct buffer copied = {conflict->key.data, 0, conflict->key.capacity};
    bool ok = buffer_append(&copied, key.data, key.size);
    conflict->key = (struct plinth_buffer){copied.data, copied.size, copied.capacity};
    return ok;
}

/* The table, and the key as text; of an index the values that were read, with its name. */
static void name_row(struct plinth *db, const struct transaction_conflict *why, struct plinth_conflict *conflict) {
    const struct table_schema *schema = NULL;
    struct buffer text = BUFFER_INIT;
    conflict->rows = true;
    conflict->space = (struct plinth_space){why->table.tenant, why->table.database, why->table.table};
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, why->table.table);
    if (table && table->kind == CATALOG_INDEX) table = catalog_table_by_id(&db->shard.catalog, table->space);
    if (table && table->schema) schema = table_schema_ref(table->schema);
    pthread_rwlock_unlock(&db->catalog_lock);
    if (!schema) return;
    conflict->space.table = schema->id.table;
    const struct table_index *index = table_schema_find_index_id(schema, why->table.table);
    snprintf(conflict->table, sizeof conflict->table, "%s", schema->name);
    bool ok = why->key.size &&
              (index ? row_text_head(schema, index, why->key, &text) && buffer_append(&text, " in index ", 10) &&
                           buffer_append(&text, index->name, strlen(index->name))
                     : row_text_key(schema, why->key, &text));
    if (ok) (void)!set_key(conflict, buffer_slice(&text));
    buffer_deinit(&text);
    table_schema_unref(schema);
}

enum plinth_status transaction_refuse(struct plinth *db, uint64_t snapshot_lsn, enum verdict verdict,
                                      const struct transaction_conflict *why, struct plinth_conflict *conflict,
                                      struct plinth_error *error) {
    struct plinth_conflict own = {0};
    struct slice key;
    struct table_id table;
    unsigned long long lsn = snapshot_lsn;
    char text[4 * 64 + 4];
    if (!conflict) conflict = &own;
    *conflict = (struct plinth_conflict){.key = {conflict->key.data, 0, conflict->key.capacity}};
    counter_add(&db->counters.conflicts, 1);
    conflict->too_old = verdict == VERDICT_TOO_OLD;
    if (conflict->too_old) {
        error_set(error, PLINTH_CONFLICT, "writes since position %llu are no longer all remembered", lsn);
    } else if (why->rows) {
        name_row(db, why, conflict);
        error_set(error, PLINTH_CONFLICT, "table \"%s\": %s%.*s%s written after it was read at position %llu",
                  conflict->table, conflict->key.size ? "the row with " : "rows", (int)conflict->key.size,
                  conflict->key.size ? (const char *)conflict->key.data : "", conflict->key.size ? " was" : " were",
                  lsn);
    } else if (table_prefix_decode(why->key, &table, &key) && set_key(conflict, key)) {
        conflict->space = (struct plinth_space){table.tenant, table.database, table.table};
        print_key(&conflict->key, text);
        error_set(error, PLINTH_CONFLICT, "key \"%s\" was written after it was read at position %llu", text, lsn);
    } else {
        error_set(error, PLINTH_CONFLICT, "what was read at position %llu has been written since", lsn);
    }
    plinth_buffer_deinit(&own.key);
    return PLINTH_CONFLICT;
}

bool transaction_producer_is_too_old(struct plinth *db, const struct record_header *header) {
    uint64_t first_lsn;
    pthread_mutex_lock(&db->sequence_mutex);
    bool too_old = shard_check_producer(&db->shard, header, (struct producer_part){0}, &first_lsn) == PRODUCER_TOO_OLD;
    pthread_mutex_unlock(&db->sequence_mutex);
    return too_old;
}

/* ---- the body ---- */

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

bool transaction_encode_key_reads(struct buffer *into, uint64_t snapshot_lsn, const struct plinth_reads *reads) {
    static const struct plinth_reads none = {0};
    if (!reads) reads = &none;
    struct buffer stored = BUFFER_INIT;
    bool ok = buffer_append_varint(into, snapshot_lsn) && buffer_append_varint(into, reads->key_count);
    for (size_t i = 0; ok && i < reads->key_count; i++)
        ok = append_bound(into, &stored, reads->keys[i].space, reads->keys[i].key, false);
    ok = ok && buffer_append_varint(into, reads->range_count);
    for (size_t i = 0; ok && i < reads->range_count; i++) {
        const struct plinth_range_read *range = &reads->ranges[i];
        ok = append_bound(into, &stored, range->space, range->lower, false) &&
             append_bound(into, &stored, range->space, range->upper, true);
    }
    buffer_deinit(&stored);
    return ok;
}

/* A commit on its way. */
struct appending {
    struct plinth *db;
    const struct transaction_content *content;
    struct record_header header;
    struct buffer body;
    struct transaction_change change; /* the body, decoded */
    struct row_block **blocks;        /* by content->rows */
    size_t block_count;
    struct key_run *runs;
    uint32_t parts;
    uint64_t unit;
    bool no_wait; /* until something is in the log */
    struct transaction_conflict conflict;
    struct buffer conflict_key;
};

static enum plinth_status add_rows(struct appending *appending, const struct transaction_rows *rows,
                                   struct buffer *payload, struct plinth_error *error) {
    struct rows_change change = {.table = rows->schema->id,
                                 .operation = (uint8_t)rows->operation,
                                 .rows = rows->batch->rows,
                                 .column_count = rows->batch->column_count};
    struct key_run *runs;
    buffer_clear(payload);
    bool ok = rows_record_encode(payload, &change, rows->column_ids, rows->batch) &&
              buffer_append_string(&appending->body, buffer_slice(payload));
    struct row_block *block = ok ? row_block_create(rows->schema, rows->batch, rows->column_ids,
                                                    rows->operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE)
                                 : NULL;
    if (!block) return error_no_memory(error, "transaction");
    appending->blocks[appending->block_count++] = block;
    const struct rows_written written = {rows->batch, rows->column_ids, rows->schema->key_count ? &block->keys : NULL,
                                         rows->operation};
    enum plinth_status st = rows_runs_make(rows->schema, &written, &runs, error);
    if (!st) key_runs_append(&appending->runs, runs);
    return st;
}

static enum plinth_status encode(struct appending *appending, struct plinth_error *error) {
    const struct transaction_content *content = appending->content;
    struct buffer *body = &appending->body, payload = BUFFER_INIT;
    bool ok = transaction_encode_key_reads(body, content->snapshot_lsn, content->key_reads) &&
              buffer_append_varint(body, content->read_count);
    for (size_t i = 0; ok && i < content->read_count; i++) ok = row_reads_encode(body, &content->reads[i]);
    size_t read_bytes = body->size;
    ok = ok && (content->plan ? buffer_append(body, content->plan->operations_payload.data,
                                              content->plan->operations_payload.size)
                              : buffer_append_varint(body, 0));
    ok = ok && buffer_append_varint(body, content->rows_count);
    appending->blocks = malloc((content->rows_count + 1) * sizeof *appending->blocks);
    enum plinth_status st = ok && appending->blocks ? PLINTH_OK : error_no_memory(error, "transaction");
    for (size_t i = 0; !st && i < content->rows_count && body->size <= TRANSACTION_BYTES_MAX; i++)
        st = add_rows(appending, &content->rows[i], &payload, error);
    buffer_deinit(&payload);
    if (!st && body->size > TRANSACTION_BYTES_MAX)
        st = error_set(error, PLINTH_TOO_LARGE,
                       "the transaction takes more than %d bytes in the log, %zu of them for what was read",
                       TRANSACTION_BYTES_MAX, read_bytes);
    if (!st && !transaction_change_decode(buffer_slice(body), &appending->change))
        st = error_set(error, PLINTH_INTERNAL, "a transaction that cannot be read again");
    return st;
}

/* ---- gates ---- */

static int compare_gates(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a % TABLE_GATES, right = *(const uint32_t *)b % TABLE_GATES;
    return (left > right) - (left < right);
}

/* Enters the gates of all tables written to, each once and in their order; `*tables` are what to leave. */
static enum plinth_status enter_gates(struct appending *appending, uint32_t **tables, size_t *count,
                                      struct plinth_error *error) {
    const struct transaction_content *content = appending->content;
    *count = 0;
    *tables = malloc((content->rows_count + 1) * sizeof **tables);
    if (!*tables) return error_no_memory(error, "transaction");
    for (size_t i = 0; i < content->rows_count; i++) (*tables)[i] = content->rows[i].schema->id.table;
    qsort(*tables, content->rows_count, sizeof **tables, compare_gates);
    uint32_t held = content->gate_held % TABLE_GATES;
    for (size_t i = 0; i < content->rows_count; i++) {
        uint32_t table = (*tables)[i];
        if (*count && (*tables)[*count - 1] % TABLE_GATES == table % TABLE_GATES) continue;
        if (content->gate_held && table % TABLE_GATES == held) continue;
        if (!engine_table_gate_enter(appending->db, table, appending->no_wait))
            return error_set(error, PLINTH_WOULD_BLOCK, "waiting for a change of a table");
        (*tables)[(*count)++] = table;
    }
    return PLINTH_OK;
}

/* Whether each unique index of `a` is one of `b`. */
static bool has_unique_of(const struct table_schema *a, const struct table_schema *b) {
    for (uint32_t i = 0; i < a->index_count; i++)
        if (a->indexes[i].unique && !table_schema_find_index_id(b, a->indexes[i].id.table)) return false;
    return true;
}

bool transaction_schema_extends(const struct table_schema *now, const struct table_schema *then) {
    if (now->version == then->version) return true;
    if (!has_unique_of(now, then) || !has_unique_of(then, now)) return false;
    bool same_key =
        now->key_count == then->key_count && memcmp(now->key, then->key, now->key_count * sizeof *now->key) == 0;
    for (uint32_t i = 0; same_key && i < then->column_count; i++) {
        int32_t at = table_schema_find_id(now, then->columns[i].id);
        if (at < 0 || !column_type_equal(now->columns[at].type, then->columns[i].type) ||
            now->columns[at].nullable != then->columns[i].nullable)
            return false;
    }
    for (uint32_t i = 0; same_key && i < now->column_count; i++) {
        const struct table_column *column = &now->columns[i];
        if (table_schema_find_id(then, column->id) >= 0) continue;
        if (!column->nullable || column->initial_default || column->write_default) return false;
    }
    return same_key;
}

/* Inside of the gates: whether rows are still written under the schemas that they were matched to. */
static enum plinth_status check_schemas(const struct appending *appending, struct plinth_error *error) {
    const struct transaction_content *content = appending->content;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < content->rows_count; i++) {
        const struct table_schema *known = content->rows[i].schema, *now = NULL;
        if (i && known == content->rows[i - 1].schema) continue;
        st = engine_schema_by_id(appending->db, known->id.table, &now, error);
        if (!st && !transaction_schema_extends(now, known))
            st = error_set(error, PLINTH_CONFLICT, "table \"%s\" has changed since its rows were written", known->name);
        table_schema_unref(now);
    }
    return st;
}

/* ---- into the log ---- */

/* Keeps what made it lose, for the state that it points into may change. */
static void note_conflict(struct appending *appending, const struct transaction_conflict *conflict) {
    buffer_clear(&appending->conflict_key);
    appending->conflict = *conflict;
    appending->conflict.key = slice_of(NULL, 0);
    if (buffer_append(&appending->conflict_key, conflict->key.data, conflict->key.size))
        appending->conflict.key = buffer_slice(&appending->conflict_key);
}

/* Under the sequencing lock, as write.c's. What has begun in the log is ended there, also when it is going to lose. */
static enum plinth_status sequence_locked(struct appending *appending, struct slice payload, uint64_t *lsn,
                                          struct decision *decision, struct memtable **memtable,
                                          struct plinth_error *error) {
    struct plinth *db = appending->db;
    const struct record_header *header = &appending->header;
    bool last = header->chunk + 1 == appending->parts;
    enum plinth_status st = write_wait_for_memory(db, appending->no_wait, error);
    if (!st) st = engine_raise_feature_level(db, FEATURE_LEVEL_TRANSACTIONS, error);
    if (st) return st;
    switch (shard_check_producer(&db->shard, header, (struct producer_part){0}, &decision->first_lsn)) {
    case PRODUCER_NEW: break;
    case PRODUCER_DUPLICATE: decision->verdict = VERDICT_DUPLICATE; return PLINTH_OK;
    case PRODUCER_TOO_OLD: decision->verdict = VERDICT_TOO_OLD; return PLINTH_OK;
    case PRODUCER_OTHER: decision->verdict = VERDICT_VOID; return PLINTH_OK;
    }
    struct transaction_conflict conflict;
    enum verdict verdict = VERDICT_APPLIED; /* of parts between the first and the last nobody asks */
    if (last || header->chunk == 0) verdict = shard_check_transaction(&db->shard, &appending->change, &conflict);
    if (verdict != VERDICT_APPLIED) note_conflict(appending, &conflict);
    if (verdict != VERDICT_APPLIED && header->chunk == 0) {
        decision->verdict = verdict;
        return PLINTH_OK;
    }
    const struct write_plan *plan = appending->content->plan;
    struct write_keys written = {.runs = &appending->runs, .transaction = &appending->change};
    if (plan) {
        written.keys = plan->keys;
        written.hashes = plan->hashes;
        written.count = plan->count;
        written.uppers = plan->uppers;
        written.has_references = plan->reference_count != 0;
    }
    if (last) st = write_cut_full(db, error);
    if (!st) st = engine_append_locked(db, header, payload, &written, LOG_NO_WAIT, lsn, decision, error);
    if (st || !last || decision->verdict != VERDICT_APPLIED) return st;
    db->last_data_lsn = *lsn;
    *memtable = memtable_ref(db->active);
    return PLINTH_OK;
}

static enum plinth_status insert(struct appending *appending, struct memtable *memtable, uint64_t lsn,
                                 struct plinth_error *error) {
    struct plinth *db = appending->db;
    const struct write_plan *plan = appending->content->plan;
    enum plinth_status st = PLINTH_OK;
    if (plan && plan->expires) atomic_store(&db->may_expire, true);
    for (size_t i = 0; plan && !st && i < plan->count; i++) {
        st = engine_insert(memtable, &plan->operations[i], plan->keys[i], lsn, error);
        bool sets = plan->operations[i].kind == OPERATION_SET || plan->operations[i].kind == OPERATION_SET_REFERENCE;
        counter_add(sets ? &db->counters.sets : &db->counters.deletes, 1);
    }
    uint64_t ordinal = 0;
    for (size_t i = 0; !st && i < appending->block_count; i++) {
        struct row_block *block = appending->blocks[i];
        const struct transaction_rows *rows = &appending->content->rows[i];
        if (!row_block_set_lsn(block, lsn, (uint32_t)ordinal)) return error_no_memory(error, "rows");
        ordinal += block->rows;
        st = memtable_add_block(memtable, rows->schema->id, block, error);
        counter_add(rows->operation == ROWS_UPSERT ? &db->counters.rows_upserted : &db->counters.rows_deleted,
                    block->rows);
    }
    return st;
}

static enum plinth_status sequence(struct appending *appending, struct slice payload, uint64_t *lsn,
                                   struct decision *decision, struct plinth_error *error) {
    struct plinth *db = appending->db;
    struct memtable *memtable = NULL;
    enum plinth_status st;
    *lsn = 0;
    for (;;) {
        *decision = (struct decision){VERDICT_APPLIED, 0};
        pthread_mutex_lock(&db->sequence_mutex);
        st = sequence_locked(appending, payload, lsn, decision, &memtable, error);
        pthread_mutex_unlock(&db->sequence_mutex);
        if (st != PLINTH_WOULD_BLOCK || appending->no_wait) break;
        st = log_wait_room(db->log, LOG_WAIT_FOREVER, error);
        if (st) break;
    }
    if (st || !*lsn) return st;
    appending->no_wait = false;
    if (memtable) st = insert(appending, memtable, *lsn, error);
    if (memtable) memtable_unref(memtable);
    if (st) {
        /* The log has the write and the memtable has not: it must not become visible half. */
        error_prefix(error, "record %" PRIu64, *lsn);
        engine_fail(db, error);
        return error_set(error, PLINTH_OUTCOME_UNKNOWN, "out of memory after the transaction was logged");
    }
    engine_sequenced(db, *lsn);
    return PLINTH_OK;
}

/* All parts, until one has met something. */
static enum plinth_status append_parts(struct appending *appending, uint64_t *lsn, struct decision *decision,
                                       struct plinth_error *error) {
    enum { PART_BYTES = RECORD_PAYLOAD_BYTES_MAX - TRANSACTION_PART_HEAD_BYTES_MAX };
    struct slice body = buffer_slice(&appending->body);
    appending->parts = (uint32_t)((body.size + PART_BYTES - 1) / PART_BYTES);
    if (appending->parts > 1) appending->unit = env_random_u64(appending->db->env);
    appending->header.chunk_count = appending->parts;
    struct buffer payload = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    *decision = (struct decision){VERDICT_APPLIED, 0};
    for (uint32_t i = 0; !st && i < appending->parts && decision->verdict == VERDICT_APPLIED; i++) {
        uint64_t offset = (uint64_t)i * PART_BYTES;
        struct transaction_part part = {.in_unit = appending->parts > 1, .unit = appending->unit, .offset = offset};
        size_t size = i + 1 < appending->parts ? PART_BYTES : body.size - offset;
        appending->header.chunk = i;
        appending->header.kind = i + 1 < appending->parts ? CHANGE_TRANSACTION_PART : CHANGE_TRANSACTION;
        buffer_clear(&payload);
        if (!transaction_part_encode(&payload, &part) || !buffer_append(&payload, body.data + offset, size))
            st = error_no_memory(error, "log record");
        if (!st) st = sequence(appending, buffer_slice(&payload), lsn, decision, error);
    }
    buffer_deinit(&payload);
    if (!st && decision->verdict == VERDICT_DUPLICATE) *lsn = decision->first_lsn;
    return st;
}

/* Whether an index that was looked into has been dropped, and no table: an index may go inside of the gates, too. */
static bool lost_index(const struct appending *appending) {
    const struct transaction_content *content = appending->content;
    bool lost = false;
    for (size_t i = 0; i < content->rows_count; i++)
        if (!engine_table_exists(appending->db, content->rows[i].schema->id)) return false;
    for (size_t i = 0; i < content->read_count; i++) {
        if (engine_table_exists(appending->db, content->reads[i].table)) continue;
        bool is_index = false;
        for (size_t r = 0; r < content->rows_count && !is_index; r++)
            is_index = table_schema_find_index_id(content->rows[r].schema, content->reads[i].table.table) != NULL;
        if (!is_index) return false;
        lost = true;
    }
    return lost;
}

static enum plinth_status judge(struct appending *appending, const struct decision *decision,
                                struct plinth_conflict *conflict, struct plinth_error *error) {
    const struct record_header *header = &appending->header;
    struct plinth *db = appending->db;
    uint64_t snapshot_lsn = appending->content->snapshot_lsn;
    bool too_old = decision->verdict == VERDICT_TOO_OLD && !transaction_producer_is_too_old(db, header);
    if (decision->verdict == VERDICT_CONFLICT || too_old)
        return transaction_refuse(db, snapshot_lsn, decision->verdict, &appending->conflict, conflict, error);
    if (decision->verdict == VERDICT_VOID && lost_index(appending))
        return error_set(error, PLINTH_CONFLICT, "a unique index that the transaction looked into has been dropped");
    enum plinth_status st = write_check_verdict(header, decision, error);
    if (st || decision->verdict != VERDICT_VOID) return st;
    if (header->chunk)
        return error_set(error, PLINTH_UNAVAILABLE,
                         "the transaction took too long, or too many are under way: nothing was written");
    return error_set(error, PLINTH_NOT_FOUND, "a table of the transaction was dropped");
}

enum plinth_status transaction_append(struct plinth *db, const struct record_header *header,
                                      const struct transaction_content *content, bool no_wait, uint64_t *lsn,
                                      struct decision *decision, struct plinth_conflict *conflict,
                                      struct plinth_error *error) {
    struct appending appending = {.db = db, .content = content, .header = *header, .no_wait = no_wait};
    uint32_t *gates = NULL;
    size_t gate_count = 0;
    *lsn = 0;
    enum plinth_status st = encode(&appending, error);
    if (!st) st = enter_gates(&appending, &gates, &gate_count, error);
    if (!st) st = check_schemas(&appending, error);
    if (!st) st = append_parts(&appending, lsn, decision, error);
    while (gate_count) engine_table_gate_leave(db, gates[--gate_count]);
    if (!st) st = judge(&appending, decision, conflict, error);
    for (size_t i = 0; i < appending.block_count; i++) row_block_unref(appending.blocks[i]);
    free(gates);
    free(appending.blocks);
    key_runs_free(appending.runs);
    buffer_deinit(&appending.body);
    buffer_deinit(&appending.conflict_key);
    return st;
}

enum plinth_status transaction_raise_level(struct plinth *db, uint64_t *floor_lsn, struct plinth_error *error) {
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = engine_raise_feature_level(db, FEATURE_LEVEL_TRANSACTIONS, error);
    *floor_lsn = db->shard.rows_window.floor_lsn;
    pthread_mutex_unlock(&db->sequence_mutex);
    if (st || engine_visible_lsn(db) >= *floor_lsn) return st;
    struct record_header header = {.durability = RECORD_SYNCED};
    return write_wait(db, &header, *floor_lsn, error);
}

enum plinth_status transaction_wait_for_news(struct plinth *db, struct plinth_error *error) {
    struct record_header header = {.durability = RECORD_SYNCED};
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t lsn = db->shard.lsn;
    pthread_mutex_unlock(&db->sequence_mutex);
    return write_wait(db, &header, lsn, error);
}
