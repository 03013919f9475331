#include "engine/rows_replay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/rows.h"
#include "engine/rows_record.h"
#include "engine/transaction_change.h"

static void parts_deinit(struct unit_parts *unit) {
    for (uint64_t i = 0; i < unit->count; i++) buffer_deinit(&unit->payloads[i]);
    free(unit->payloads);
    *unit = (struct unit_parts){0};
}

void rows_replay_deinit(struct rows_replay *replay) {
    for (uint64_t i = 0; i < replay->count; i++) parts_deinit(&replay->units[i]);
    free(replay->units);
    *replay = (struct rows_replay){0};
}

/* Takes the parts of a unit out; none when there are none. */
static struct unit_parts take_unit(struct rows_replay *replay, uint64_t id) {
    for (uint64_t i = 0; i < replay->count; i++) {
        if (replay->units[i].id != id) continue;
        struct unit_parts found = replay->units[i];
        replay->units[i] = replay->units[--replay->count];
        return found;
    }
    return (struct unit_parts){.id = id};
}

static enum plinth_status keep_part(struct rows_replay *replay, uint64_t id, struct slice payload,
                                    struct plinth_error *error) {
    struct unit_parts unit = take_unit(replay, id);
    struct buffer copy = BUFFER_INIT;
    bool ok = buffer_append(&copy, payload.data, payload.size) && ARRAY_PUSH(unit.payloads, unit.count, copy);
    if (!ok) buffer_deinit(&copy);
    if (ok) ok = ARRAY_PUSH(replay->units, replay->count, unit);
    if (ok) return PLINTH_OK;
    parts_deinit(&unit);
    return error_no_memory(error, "replay");
}

/* `ordinal`: rows that the write has before these; it is moved on. */
static enum plinth_status insert(struct plinth *db, struct memtable *memtable, struct slice payload, uint64_t lsn,
                                 uint64_t *ordinal, struct plinth_error *error) {
    struct rows_record record;
    struct row_block *block = NULL;
    enum plinth_status st = rows_record_decode(payload, &record, error);
    if (st) return st;
    uint64_t first = *ordinal;
    *ordinal += record.batch->rows;
    const struct table_schema *schema = shard_table_schema(&db->shard, record.change.table);
    if (!schema) goto done; /* dropped since */
    block = row_block_create(schema, record.batch, record.column_ids,
                             record.change.operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE);
    if (!block || !row_block_set_lsn(block, lsn, (uint32_t)first)) st = error_no_memory(error, "replay");
    if (!st) st = memtable_add_block(memtable, record.change.table, block, error);
done:
    row_block_unref(block);
    rows_record_deinit(&record);
    return st;
}

static enum plinth_status insert_unit(struct plinth *db, struct memtable *memtable, const struct unit_parts *unit,
                                      const struct record *record, struct plinth_error *error) {
    if (unit->count + 1 != record->header.chunk_count)
        return error_set(error, PLINTH_CORRUPT, "%" PRIu64 " of %u parts of an atomic write are in the log",
                         unit->count + 1, record->header.chunk_count);
    enum plinth_status st = PLINTH_OK;
    uint64_t ordinal = 0;
    for (uint64_t i = 0; !st && i < unit->count; i++)
        st = insert(db, memtable, buffer_slice(&unit->payloads[i]), record->lsn, &ordinal, error);
    if (!st) st = insert(db, memtable, record->payload, record->lsn, &ordinal, error);
    return st;
}

enum plinth_status rows_replay_add(struct rows_replay *replay, struct plinth *db, struct memtable *memtable,
                                   const struct record *record, bool applied, struct plinth_error *error) {
    struct rows_change change;
    enum plinth_status st = PLINTH_OK;
    uint64_t ordinal = 0;
    if (!rows_change_decode(record->payload, &change)) {
        if (applied) st = error_set(error, PLINTH_CORRUPT, "malformed head");
    } else if (!change.in_unit) {
        if (applied && memtable) st = insert(db, memtable, record->payload, record->lsn, &ordinal, error);
    } else if (applied && !change.last) {
        st = keep_part(replay, change.unit, record->payload, error);
    } else { /* complete, or void: then all of it is */
        struct unit_parts unit = take_unit(replay, change.unit);
        if (applied && memtable) st = insert_unit(db, memtable, &unit, record, error);
        parts_deinit(&unit);
    }
    if (st) error_prefix(error, "rows of record %" PRIu64, record->lsn);
    return st;
}

/* ---- transactions ---- */

static enum plinth_status insert_operations(struct memtable *memtable, struct slice operations, uint64_t lsn,
                                            struct plinth_error *error) {
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    struct buffer stored = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    while (!st && operation_next(&reader, &operation)) {
        buffer_clear(&stored);
        if (!engine_stored_key(&stored, operation.table, operation.key)) st = error_no_memory(error, "replay");
        if (!st) st = engine_insert(memtable, &operation, buffer_slice(&stored), lsn, error);
    }
    buffer_deinit(&stored);
    return st;
}

static enum plinth_status insert_body(struct plinth *db, struct memtable *memtable, struct slice body, uint64_t lsn,
                                      struct plinth_error *error) {
    struct transaction_change change;
    if (!transaction_change_decode(body, &change)) return error_set(error, PLINTH_CORRUPT, "malformed transaction");
    enum plinth_status st = insert_operations(memtable, change.condition.operations, lsn, error);
    struct reader rows = reader_of(change.rows);
    uint64_t ordinal = 0;
    for (uint64_t i = 0; !st && i < change.rows_count; i++)
        st = insert(db, memtable, reader_string(&rows), lsn, &ordinal, error);
    return st;
}

static enum plinth_status insert_transaction(struct plinth *db, struct memtable *memtable,
                                             const struct unit_parts *unit, const struct transaction_part *last,
                                             const struct record *record, struct plinth_error *error) {
    if (!last->in_unit) return insert_body(db, memtable, last->bytes, record->lsn, error);
    if (unit->count + 1 != record->header.chunk_count)
        return error_set(error, PLINTH_CORRUPT, "%" PRIu64 " of %u parts of a transaction are in the log",
                         unit->count + 1, record->header.chunk_count);
    struct buffer body = BUFFER_INIT;
    bool ok = true;
    for (uint64_t i = 0; ok && i < unit->count; i++)
        ok = buffer_append(&body, unit->payloads[i].data, unit->payloads[i].size);
    ok = ok && buffer_append(&body, last->bytes.data, last->bytes.size);
    enum plinth_status st =
        ok ? insert_body(db, memtable, buffer_slice(&body), record->lsn, error) : error_no_memory(error, "replay");
    buffer_deinit(&body);
    return st;
}

enum plinth_status rows_replay_transaction(struct rows_replay *replay, struct plinth *db, struct memtable *memtable,
                                           const struct record *record, bool applied, struct plinth_error *error) {
    enum change_kind kind = (enum change_kind)record->header.kind;
    struct transaction_part part;
    enum plinth_status st = PLINTH_OK;
    if (!transaction_part_decode(kind, record->payload, &part)) {
        if (applied) st = error_set(error, PLINTH_CORRUPT, "malformed head");
    } else if (applied && kind == CHANGE_TRANSACTION_PART) {
        st = keep_part(replay, part.unit, part.bytes, error);
    } else {
        struct unit_parts unit = {0};
        if (part.in_unit) unit = take_unit(replay, part.unit);
        if (applied && memtable) st = insert_transaction(db, memtable, &unit, &part, record, error);
        parts_deinit(&unit);
    }
    if (st) error_prefix(error, "transaction of record %" PRIu64, record->lsn);
    return st;
}
