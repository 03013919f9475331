#include "engine/change.h"

#include <stdlib.h>

#include "base/status.h"
#include "plinth.h"
#include "table/partition.h"

static const char *const kind_names[] = {
    [CHANGE_WRITE] = "write",
    [CHANGE_CONDITIONAL] = "conditional",
    [CHANGE_CATALOG] = "catalog",
    [CHANGE_CUT] = "cut",
    [CHANGE_JOB_BEGIN] = "job_begin",
    [CHANGE_FLUSH_COMMIT] = "flush_commit",
    [CHANGE_COMPACT_COMMIT] = "compact_commit",
    [CHANGE_JOB_ABORT] = "job_abort",
    [CHANGE_FILES_GONE] = "files_gone",
    [CHANGE_HOST] = "host",
    [CHANGE_TICK] = "tick",
    [CHANGE_FEATURE_LEVEL] = "feature_level",
    [CHANGE_WINDOW] = "window",
    [CHANGE_ROWS] = "rows",
    [CHANGE_KEEP] = "keep",
    [CHANGE_HISTORY] = "history",
    [CHANGE_MERGE_COMMIT] = "merge_commit",
    [CHANGE_TRANSACTION] = "transaction",
    [CHANGE_TRANSACTION_PART] = "transaction_part",
    [CHANGE_JOBS] = "jobs",
    [CHANGE_RANGES_GONE] = "ranges_gone",
    [CHANGE_INDEX_STEP] = "index_step",
    [CHANGE_HOST_JOIN] = "host_join",
    [CHANGE_HOST_NEEDS] = "host_needs",
    [CHANGE_HOST_EXPEL] = "host_expel",
    [CHANGE_VALUES_DROPPED] = "values_dropped",
    [CHANGE_VALUES_GONE] = "values_gone",
};

const char *change_kind_name(enum change_kind kind) {
    bool known = (size_t)kind < sizeof kind_names / sizeof *kind_names && kind_names[kind];
    return known ? kind_names[kind] : "?";
}

static bool table_append(struct buffer *into, struct table_id table) {
    return buffer_append_varint(into, table.tenant) && buffer_append_varint(into, table.database) &&
           buffer_append_varint(into, table.table);
}

static struct table_id table_read(struct reader *from) {
    struct table_id table = {0};
    table.tenant = reader_varint32(from);
    table.database = reader_varint32(from);
    table.table = reader_varint32(from);
    return table;
}

bool operation_append(struct buffer *into, const struct operation *operation, const struct table_id *table_before) {
    bool same = table_before && table_id_compare(*table_before, operation->table) == 0;
    if (!buffer_append_u8(into, (uint8_t)(operation->kind | (same ? OPERATION_SAME_TABLE : 0)))) return false;
    if (!same && !table_append(into, operation->table)) return false;
    if (!buffer_append_string(into, operation->key)) return false;
    switch (operation->kind) {
    case OPERATION_SET:
        return buffer_append_string(into, operation->value) && buffer_append_string(into, operation->indexes);
    case OPERATION_SET_REFERENCE: return buffer_append_string(into, operation->indexes);
    case OPERATION_DELETE_RANGE: return buffer_append_string(into, operation->upper);
    default: return true;
    }
}

struct operation_reader operation_reader_of(struct slice operations) {
    struct operation_reader reader = {.from = reader_of(operations)};
    reader.left = reader_varint(&reader.from);
    return reader;
}

bool operation_next(struct operation_reader *reader, struct operation *operation) {
    struct reader *from = &reader->from;
    if (reader->left == 0 || from->failed) return false;
    reader->left--;
    uint8_t kind = reader_u8(from);
    *operation = (struct operation){.kind = (enum operation_kind)(kind & ~OPERATION_SAME_TABLE)};
    if (!(kind & OPERATION_SAME_TABLE)) reader->table = table_read(from);
    operation->table = reader->table;
    operation->key = reader_string(from);
    switch (operation->kind) {
    case OPERATION_SET:
        operation->value = reader_string(from);
        operation->indexes = reader_string(from);
        break;
    case OPERATION_DELETE: break;
    case OPERATION_DELETE_RANGE: operation->upper = reader_string(from); break;
    case OPERATION_SET_REFERENCE:
        operation->indexes = reader_string(from);
        if (!row_has_reference(operation->indexes)) from->failed = true;
        break;
    default: from->failed = true;
    }
    return !from->failed;
}

static struct slice skip_strings(struct reader *from, uint64_t count) {
    const uint8_t *start = from->at;
    for (uint64_t i = 0; i < count && !from->failed; i++) reader_string(from);
    return from->failed ? slice_of(NULL, 0) : slice_of(start, (size_t)(from->at - start));
}

bool condition_decode(struct slice payload, struct condition *condition) {
    struct reader from = reader_of(payload);
    condition->snapshot_lsn = reader_varint(&from);
    condition->key_count = reader_varint(&from);
    condition->keys = skip_strings(&from, condition->key_count);
    condition->range_count = reader_varint(&from);
    if (condition->range_count > payload.size) from.failed = true;
    condition->ranges = skip_strings(&from, from.failed ? 0 : 2 * condition->range_count);
    condition->operations = slice_of(from.at, reader_left(&from));
    return !from.failed;
}

enum { ROWS_IN_UNIT = 1, ROWS_LAST = 2, ROWS_CHUNKED = 4 };

bool rows_change_encode(struct buffer *into, const struct rows_change *change) {
    uint8_t flags = (uint8_t)((change->in_unit ? ROWS_IN_UNIT : 0) | (change->last ? ROWS_LAST : 0) |
                              (change->chunked ? ROWS_CHUNKED : 0));
    return table_append(into, change->table) && buffer_append_u8(into, change->operation) &&
           buffer_append_u8(into, flags) &&
           (!change->in_unit ||
            (buffer_append_u64(into, change->unit) && buffer_append_varint(into, change->first_ordinal))) &&
           (!change->chunked || buffer_append_u32(into, change->cut)) && buffer_append_varint(into, change->rows) &&
           buffer_append_varint(into, change->column_count);
}

bool rows_change_decode(struct slice payload, struct rows_change *change) {
    struct reader from = reader_of(payload);
    *change = (struct rows_change){.table = table_read(&from), .operation = reader_u8(&from)};
    uint8_t flags = reader_u8(&from);
    change->in_unit = (flags & ROWS_IN_UNIT) != 0;
    change->last = (flags & ROWS_LAST) != 0;
    change->chunked = (flags & ROWS_CHUNKED) != 0;
    if (change->in_unit) {
        change->unit = reader_u64(&from);
        change->first_ordinal = reader_varint(&from);
    }
    if (change->chunked) change->cut = reader_u32(&from);
    change->rows = reader_varint32(&from);
    change->column_count = reader_varint32(&from);
    change->columns = slice_of(from.at, reader_left(&from));
    bool known = flags <= (ROWS_IN_UNIT | ROWS_LAST) ? flags != ROWS_LAST : flags == ROWS_CHUNKED;
    bool in_range = change->rows && change->rows <= ROW_BLOCK_ROWS_MAX && change->column_count &&
                    change->column_count <= TABLE_COLUMNS_MAX && change->first_ordinal <= UINT32_MAX - change->rows;
    return !from.failed && known && in_range && (change->operation == 1 || change->operation == 2);
}

bool segments_make_run(const struct segment_info *a, const struct segment_info *b) {
    return table_id_compare(a->table, b->table) == 0 &&
           partition_compare(a->has_partition, a->partition, b->has_partition, b->partition) == 0;
}

void commit_deinit(struct commit *commit) {
    for (uint64_t i = 0; i < commit->segment_count; i++) segment_info_deinit(&commit->segments[i]);
    free(commit->segments);
    free(commit->inputs);
    *commit = (struct commit){0};
}

bool commit_encode(struct buffer *into, enum change_kind kind, const struct commit *commit) {
    bool ok = buffer_append_varint(into, commit->job);
    if (kind == CHANGE_FLUSH_COMMIT) {
        ok = ok && buffer_append_varint(into, commit->cut);
    } else {
        ok = ok && table_append(into, commit->table) && buffer_append_varint(into, commit->input_count);
        for (uint64_t i = 0; ok && i < commit->input_count; i++) ok = buffer_append_varint(into, commit->inputs[i]);
        ok = ok && buffer_append_varint(into, commit->level);
    }
    ok = ok && buffer_append_varint(into, commit->segment_count);
    for (uint64_t i = 0; ok && i < commit->segment_count; i++) ok = segment_info_encode(into, &commit->segments[i]);
    if (ok && kind == CHANGE_COMPACT_COMMIT && commit->has_partition)
        ok = buffer_append_u8(into, 1) && buffer_append_varint(into, zigzag_encode(commit->partition));
    return ok;
}

enum plinth_status commit_decode(enum change_kind kind, struct slice payload, struct commit *commit,
                                 struct plinth_error *error) {
    *commit = (struct commit){0};
    struct reader from = reader_of(payload);
    commit->job = reader_varint(&from);
    if (kind == CHANGE_FLUSH_COMMIT) {
        commit->cut = reader_varint(&from);
    } else {
        commit->table = table_read(&from);
        uint64_t inputs = reader_varint(&from);
        if (inputs > reader_left(&from)) from.failed = true; /* each takes a byte or more */
        if (!from.failed && inputs) {
            commit->inputs = malloc(inputs * sizeof *commit->inputs);
            if (!commit->inputs) return error_no_memory(error, "commit record");
            commit->input_count = inputs;
            for (uint64_t i = 0; i < inputs; i++) commit->inputs[i] = reader_varint(&from);
        }
        commit->level = reader_varint(&from);
    }
    uint64_t segments = reader_varint(&from);
    if (segments > reader_left(&from)) from.failed = true;
    if (!from.failed && segments) {
        commit->segments = calloc(segments, sizeof *commit->segments);
        if (!commit->segments) {
            commit_deinit(commit);
            return error_no_memory(error, "commit record");
        }
        for (; commit->segment_count < segments; commit->segment_count++)
            if (!segment_info_decode(&from, &commit->segments[commit->segment_count])) break;
        if (commit->segment_count < segments) from.failed = true;
    }
    if (kind == CHANGE_COMPACT_COMMIT && !from.failed && reader_left(&from)) {
        if (reader_u8(&from) != 1) from.failed = true;
        commit->has_partition = true;
        commit->partition = zigzag_decode(reader_varint(&from));
    }
    if (!from.failed) return PLINTH_OK;
    commit_deinit(commit);
    return error_set(error, PLINTH_CORRUPT, "malformed %s record", change_kind_name(kind));
}

/* ---- snapshots ---- */

bool keep_change_encode(struct buffer *into, const struct keep_change *change) {
    return buffer_append_u8(into, (uint8_t)change->operation) && buffer_append_string(into, change->name) &&
           (change->operation == KEEP_DROP || buffer_append_varint(into, change->lsn));
}

bool keep_change_decode(struct slice payload, struct keep_change *change) {
    struct reader from = reader_of(payload);
    *change = (struct keep_change){.operation = (enum keep_operation)reader_u8(&from)};
    change->name = reader_string(&from);
    if (change->operation != KEEP_DROP) change->lsn = reader_varint(&from);
    return !from.failed && reader_left(&from) == 0 && change->operation >= KEEP_STATE &&
           change->operation <= KEEP_MOVE && change->name.size && change->name.size <= PLINTH_NAME_BYTES_MAX &&
           !memchr(change->name.data, 0, change->name.size);
}

/* ---- range deletes ---- */

bool ranges_gone_encode(struct buffer *into, struct table_id table, const uint64_t *lsns, uint64_t count) {
    bool ok = table_append(into, table) && buffer_append_varint(into, count);
    for (uint64_t i = 0; ok && i < count; i++) ok = buffer_append_varint(into, lsns[i] - (i ? lsns[i - 1] : 0));
    return ok;
}

enum plinth_status ranges_gone_decode(struct slice payload, struct ranges_gone *gone, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    *gone = (struct ranges_gone){.table = table_read(&from)};
    uint64_t count = reader_varint(&from), lsn = 0;
    if (from.failed || !count || count > reader_left(&from)) /* each takes a byte or more */
        return error_set(error, PLINTH_CORRUPT, "malformed ranges_gone record");
    gone->lsns = malloc(count * sizeof *gone->lsns);
    if (!gone->lsns) return error_no_memory(error, "ranges_gone record");
    for (; gone->count < count; gone->count++) {
        uint64_t step = reader_varint(&from);
        if (!step) from.failed = true;
        gone->lsns[gone->count] = lsn += step;
    }
    if (!from.failed && !reader_left(&from)) return PLINTH_OK;
    free(gone->lsns);
    *gone = (struct ranges_gone){0};
    return error_set(error, PLINTH_CORRUPT, "malformed ranges_gone record");
}
