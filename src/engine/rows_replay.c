#include "engine/rows_replay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/rows.h"
#include "engine/rows_record.h"

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

static enum plinth_status insert(struct plinth *db, struct memtable *memtable, struct slice payload, uint64_t lsn,
                                 struct plinth_error *error) {
    struct rows_record record;
    struct row_block *block = NULL;
    enum plinth_status st = rows_record_decode(payload, &record, error);
    if (st) return st;
    const struct table_schema *schema = shard_table_schema(&db->shard, record.change.table);
    if (!schema) goto done; /* dropped since */
    block = row_block_create(schema, record.batch, record.column_ids,
                             record.change.operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE);
    if (!block || !row_block_set_lsn(block, lsn, (uint32_t)record.change.first_ordinal))
        st = error_no_memory(error, "replay");
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
    for (uint64_t i = 0; !st && i < unit->count; i++)
        st = insert(db, memtable, buffer_slice(&unit->payloads[i]), record->lsn, error);
    if (!st) st = insert(db, memtable, record->payload, record->lsn, error);
    return st;
}

enum plinth_status rows_replay_add(struct rows_replay *replay, struct plinth *db, struct memtable *memtable,
                                   const struct record *record, bool applied, struct plinth_error *error) {
    struct rows_change change;
    enum plinth_status st = PLINTH_OK;
    if (!rows_change_decode(record->payload, &change)) {
        if (applied) st = error_set(error, PLINTH_CORRUPT, "malformed head");
    } else if (!change.in_unit) {
        if (applied && memtable) st = insert(db, memtable, record->payload, record->lsn, error);
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
