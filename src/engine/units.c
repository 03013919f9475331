#include "engine/units.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

static void forget_contents(struct unit *unit) {
    key_runs_free(unit->runs);
    unit->runs = NULL;
    buffer_deinit(&unit->body);
}

void units_deinit(struct units *units) {
    for (uint64_t i = 0; i < units->count; i++) forget_contents(&units->all[i]);
    free(units->all);
    *units = (struct units){0};
}

static struct unit *find_open(const struct units *units, uint64_t id) {
    for (uint64_t i = units->count; i-- > 0;)
        if (units->all[i].id == id && !units->all[i].last_lsn) return &units->all[i];
    return NULL;
}

struct unit *units_find(const struct units *units, uint64_t id) {
    for (uint64_t i = units->count; i-- > 0;)
        if (units->all[i].id == id) return &units->all[i];
    return NULL;
}

static void remove_at(struct units *units, uint64_t at) {
    forget_contents(&units->all[at]);
    if (!units->all[at].last_lsn) {
        units->open_count--;
        units->open_bytes -= units->all[at].bytes;
    }
    memmove(&units->all[at], &units->all[at + 1], (--units->count - at) * sizeof *units->all);
}

void units_drop(struct units *units, uint64_t id) {
    struct unit *unit = find_open(units, id);
    if (unit) remove_at(units, (uint64_t)(unit - units->all));
}

void units_expire(struct units *units, uint64_t shard_time_us) {
    for (uint64_t i = 0; units->open_count && i < units->count;) {
        const struct unit *unit = &units->all[i];
        if (!unit->last_lsn && unit->time_us + UNIT_TTL_US < shard_time_us)
            remove_at(units, i);
        else
            i++;
    }
}

void units_flushed(struct units *units, uint64_t flushed_lsn) {
    for (uint64_t i = 0; i < units->count;) {
        if (units->all[i].last_lsn && units->all[i].last_lsn <= flushed_lsn)
            remove_at(units, i);
        else
            i++;
    }
}

uint64_t units_first_lsn(const struct units *units) { return units->count ? units->all[0].first_lsn : UINT64_MAX; }

/* Whether this is the part that the unit waits for. */
static bool follows(const struct unit *unit, const struct record_header *header, const struct rows_change *change) {
    return header->chunk == unit->parts && header->chunk_count == unit->part_count &&
           change->first_ordinal == unit->rows && change->operation == unit->operation &&
           table_id_compare(change->table, unit->table) == 0 && change->last == (header->chunk + 1 == unit->part_count);
}

enum plinth_status units_add(struct units *units, uint64_t lsn, const struct record_header *header,
                             const struct rows_change *change, size_t payload_bytes, uint64_t shard_time_us,
                             bool *valid, struct plinth_error *error) {
    *valid = false;
    struct unit *unit = find_open(units, change->unit);
    if (!unit && header->chunk == 0 && units->open_count < UNITS_MAX) {
        struct unit fresh = {.id = change->unit,
                             .first_lsn = lsn,
                             .time_us = shard_time_us,
                             .part_count = header->chunk_count,
                             .table = change->table,
                             .operation = change->operation};
        if (!ARRAY_PUSH(units->all, units->count, fresh)) return error_no_memory(error, "units");
        units->open_count++;
        unit = &units->all[units->count - 1];
    }
    if (!unit) return PLINTH_OK;
    if (!follows(unit, header, change) || unit->bytes + payload_bytes > UNIT_BYTES_MAX ||
        units->open_bytes + payload_bytes > UNITS_BYTES_MAX) {
        remove_at(units, (uint64_t)(unit - units->all));
        return PLINTH_OK;
    }
    unit->parts++;
    unit->rows += change->rows;
    unit->bytes += payload_bytes;
    units->open_bytes += payload_bytes;
    if (change->last) {
        unit->last_lsn = lsn;
        units->open_count--;
        units->open_bytes -= unit->bytes;
    }
    *valid = true;
    return PLINTH_OK;
}

/* count, then of each: id u64 | first LSN | last LSN | time | bytes | rows | parts | part count | table | operation u8
 */
bool units_encode(struct buffer *into, const struct units *units) {
    bool ok = buffer_append_varint(into, units->count);
    for (uint64_t i = 0; ok && i < units->count; i++) {
        const struct unit *unit = &units->all[i];
        ok = buffer_append_u64(into, unit->id) && buffer_append_varint(into, unit->first_lsn) &&
             buffer_append_varint(into, unit->last_lsn) && buffer_append_varint(into, unit->time_us) &&
             buffer_append_varint(into, unit->bytes) && buffer_append_varint(into, unit->rows) &&
             buffer_append_varint(into, unit->parts) && buffer_append_varint(into, unit->part_count) &&
             buffer_append_varint(into, unit->table.tenant) && buffer_append_varint(into, unit->table.database) &&
             buffer_append_varint(into, unit->table.table) && buffer_append_u8(into, unit->operation);
    }
    return ok;
}

bool units_decode(struct reader *from, struct units *units) {
    *units = (struct units){0};
    uint64_t first_lsn = 0;
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct unit unit = {.id = reader_u64(from), .first_lsn = reader_varint(from)};
        unit.last_lsn = reader_varint(from);
        unit.time_us = reader_varint(from);
        unit.bytes = reader_varint(from);
        unit.rows = reader_varint(from);
        unit.parts = reader_varint32(from);
        unit.part_count = reader_varint32(from);
        unit.table.tenant = reader_varint32(from);
        unit.table.database = reader_varint32(from);
        unit.table.table = reader_varint32(from);
        unit.operation = reader_u8(from);
        if (unit.first_lsn <= first_lsn || unit.bytes > UNIT_BYTES_MAX || from->failed) return false;
        first_lsn = unit.first_lsn;
        if (!ARRAY_PUSH(units->all, units->count, unit)) return false;
        if (unit.last_lsn) continue;
        units->open_count++;
        units->open_bytes += unit.bytes;
    }
    return !from->failed;
}
