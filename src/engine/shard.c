#include "engine/shard.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/merge_change.h"
#include "engine/rows_record.h"
#include "engine/shard_hash.h"
#include "engine/shard_hosts.h"
#include "engine/shard_private.h"
#include "table/partition.h"

enum plinth_status shard_init(struct shard *shard, struct plinth_error *error) {
    *shard = (struct shard){.feature_level = 1};
    producers_init(&shard->producers);
    enum plinth_status st = catalog_init(&shard->catalog, error);
    if (!st) st = conflict_window_init(&shard->window, CONFLICT_KEYS_DEFAULT, CONFLICT_BYTES_DEFAULT, 0, error);
    if (st) shard_deinit(shard);
    return st;
}

static void run_deinit(struct shard_run *run) {
    for (uint64_t i = 0; i < run->segment_count; i++) segment_info_deinit(&run->segments[i]);
    free(run->segments);
}

void shard_deinit(struct shard *shard) {
    for (uint64_t t = 0; t < shard->table_count; t++) {
        for (uint64_t r = 0; r < shard->tables[t].run_count; r++) run_deinit(&shard->tables[t].runs[r]);
        free(shard->tables[t].runs);
    }
    free(shard->tables);
    free(shard->cuts);
    free(shard->jobs);
    free(shard->hosts);
    free(shard->garbage);
    free(shard->voids);
    producers_deinit(&shard->producers);
    units_deinit(&shard->units);
    history_deinit(&shard->history);
    index_builds_deinit(&shard->index_builds);
    ranges_deinit(&shard->ranges);
    value_objects_deinit(&shard->values);
    conflict_window_deinit(&shard->window);
    rows_window_deinit(&shard->rows_window);
    catalog_deinit(&shard->catalog);
    *shard = (struct shard){0};
}

const struct shard_table *shard_find_table(const struct shard *shard, struct table_id id) {
    uint64_t low = 0, high = shard->table_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (table_id_compare(shard->tables[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < shard->table_count && table_id_compare(shard->tables[low].id, id) == 0 ? &shard->tables[low] : NULL;
}

static struct shard_table *table_make(struct shard *shard, struct table_id id) {
    struct shard_table *found = (struct shard_table *)shard_find_table(shard, id);
    if (found) return found;
    if (!ARRAY_PUSH(shard->tables, shard->table_count, ((struct shard_table){.id = id}))) return NULL;
    uint64_t at = shard->table_count - 1;
    struct shard_table made = shard->tables[at];
    for (; at > 0 && table_id_compare(shard->tables[at - 1].id, id) > 0; at--)
        shard->tables[at] = shard->tables[at - 1];
    shard->tables[at] = made;
    return &shard->tables[at];
}

const struct shard_job *shard_find_job(const struct shard *shard, uint64_t id) {
    for (uint64_t i = 0; i < shard->job_count; i++)
        if (shard->jobs[i].id == id) return &shard->jobs[i];
    return NULL;
}

static void job_remove(struct shard *shard, const struct shard_job *job) {
    uint64_t at = (uint64_t)(job - shard->jobs);
    memmove(&shard->jobs[at], &shard->jobs[at + 1], (--shard->job_count - at) * sizeof *shard->jobs);
}

enum producer_verdict shard_check_producer(const struct shard *shard, const struct record_header *header,
                                           struct producer_part part, uint64_t *first_lsn) {
    *first_lsn = 0;
    if (!header->producer) return PRODUCER_NEW;
    return producers_check(&shard->producers, header->producer, header->sequence, part, first_lsn);
}

struct producer_part rows_part_of(const struct record_header *header, const struct rows_change *change) {
    if (!change->chunked) return (struct producer_part){0};
    return (struct producer_part){header->chunk, header->chunk_count, change->cut};
}

uint64_t shard_replay_lsn(const struct shard *shard) {
    uint64_t flushed = shard->flushed_lsn + 1, window = shard->window.floor_lsn + 1;
    uint64_t first = flushed < window ? flushed : window, unit = units_first_lsn(&shard->units);
    return unit < first ? unit : first;
}

/* ---- data records --------------------------------------------------------------------------------------------------
 */

static bool stored_key(struct buffer *into, struct table_id table, struct slice key) {
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, table);
    buffer_clear(into);
    return buffer_append(into, prefix, prefix_size) && buffer_append(into, key.data, key.size);
}

bool range_stored_upper(struct buffer *into, const struct operation *operation) {
    struct buffer prefix = BUFFER_INIT;
    if (operation->upper.size) return stored_key(into, operation->table, operation->upper);
    buffer_clear(into);
    bool ok = stored_key(&prefix, operation->table, slice_of(NULL, 0)) && prefix_successor(into, buffer_slice(&prefix));
    buffer_deinit(&prefix);
    return ok;
}

bool shard_register_keys(struct shard *shard, uint64_t lsn, struct slice operations, const struct write_keys *written) {
    for (size_t i = 0; written && i < written->count; i++) {
        if (written->uppers && written->uppers[i].data)
            conflict_window_add_range(&shard->window, lsn, written->keys[i], written->uppers[i]);
        else
            conflict_window_add(&shard->window, lsn, written->keys[i], written->hashes[i]);
    }
    if (written) return true;
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    struct buffer stored = BUFFER_INIT, upper = BUFFER_INIT;
    bool ok = true;
    while (ok && operation_next(&reader, &operation)) {
        bool range = operation.kind == OPERATION_DELETE_RANGE;
        ok = stored_key(&stored, operation.table, operation.key) && (!range || range_stored_upper(&upper, &operation));
        if (ok && range)
            conflict_window_add_range(&shard->window, lsn, buffer_slice(&stored), buffer_slice(&upper));
        else if (ok)
            conflict_window_add(&shard->window, lsn, buffer_slice(&stored), hash_stable(stored.data, stored.size));
    }
    buffer_deinit(&stored);
    buffer_deinit(&upper);
    return ok && !reader.from.failed;
}

bool shard_note_ranges(struct shard *shard, uint64_t lsn, struct slice operations, const struct write_keys *written) {
    if (shard->feature_level < FEATURE_LEVEL_RANGES || (written && !written->uppers)) return true;
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    bool ok = true;
    while (ok && operation_next(&reader, &operation)) {
        struct deleted_range range = {operation.key, operation.upper, lsn};
        if (operation.kind == OPERATION_DELETE_RANGE && !shard_is_dropped(shard, operation.table))
            ok = ranges_add(&shard->ranges, operation.table, &range);
    }
    return ok;
}

bool shard_operations_are_sound(const struct shard *shard, struct slice operations) {
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    bool ranges = shard->feature_level >= FEATURE_LEVEL_RANGES, values = shard->feature_level >= FEATURE_LEVEL_VALUES;
    while (operation_next(&reader, &operation))
        if (operation.kind != OPERATION_SET && operation.kind != OPERATION_DELETE &&
            !(ranges && operation.kind == OPERATION_DELETE_RANGE) &&
            !(values && operation.kind == OPERATION_SET_REFERENCE))
            return false;
    return !reader.from.failed && reader_left(&reader.from) == 0;
}

enum verdict shard_check_condition(const struct shard *shard, const struct condition *condition,
                                   struct slice *changed) {
    struct reader keys = reader_of(condition->keys), ranges = reader_of(condition->ranges);
    enum conflict_verdict worst = CONFLICT_NONE;
    *changed = slice_of(NULL, 0);
    for (uint64_t i = 0; i < condition->key_count && worst == CONFLICT_NONE; i++) {
        struct slice key = *changed = reader_string(&keys);
        worst =
            conflict_window_check_key(&shard->window, condition->snapshot_lsn, key, hash_stable(key.data, key.size));
    }
    for (uint64_t i = 0; i < condition->range_count && worst == CONFLICT_NONE; i++) {
        struct slice lower = reader_string(&ranges), upper = reader_string(&ranges);
        worst = conflict_window_check_range(&shard->window, condition->snapshot_lsn, lower, upper, changed);
    }
    if (worst != CONFLICT_FOUND) *changed = slice_of(NULL, 0);
    switch (worst) {
    case CONFLICT_FOUND: return VERDICT_CONFLICT;
    case CONFLICT_TOO_OLD: return VERDICT_TOO_OLD;
    default: return VERDICT_APPLIED;
    }
}

enum verdict shard_judge_producer(const struct shard *shard, const struct record_header *header,
                                  struct producer_part part, uint64_t *first_lsn) {
    switch (shard_check_producer(shard, header, part, first_lsn)) {
    case PRODUCER_DUPLICATE: return VERDICT_DUPLICATE;
    case PRODUCER_TOO_OLD: return VERDICT_TOO_OLD;
    case PRODUCER_OTHER: return VERDICT_VOID;
    default: return VERDICT_APPLIED;
    }
}

enum plinth_status shard_add_producer(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                      struct producer_part part, struct plinth_error *error) {
    if (!header->producer) return PLINTH_OK;
    return producers_add(&shard->producers, header->producer, header->sequence, part, lsn, shard->time_us, error);
}

enum plinth_status shard_note_void(struct shard *shard, uint64_t lsn, struct plinth_error *error) {
    return ARRAY_PUSH(shard->voids, shard->void_count, lsn) ? PLINTH_OK : error_no_memory(error, "void records");
}

static enum plinth_status decide_data(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                      struct slice payload, const struct write_keys *written, struct decision *decision,
                                      struct plinth_error *error) {
    struct condition condition = {.operations = payload};
    bool conditional = header->kind == CHANGE_CONDITIONAL;
    const struct producer_part whole = {0};
    if ((conditional && !condition_decode(payload, &condition)) ||
        (!written && !shard_operations_are_sound(shard, condition.operations))) {
        decision->verdict = VERDICT_REFUSED;
    } else {
        decision->verdict = shard_judge_producer(shard, header, whole, &decision->first_lsn);
        struct slice changed;
        if (decision->verdict == VERDICT_APPLIED && !shard_references_are_valid(shard, condition.operations, written))
            decision->verdict = VERDICT_VOID;
        if (decision->verdict == VERDICT_APPLIED && conditional)
            decision->verdict = shard_check_condition(shard, &condition, &changed);
    }
    if (decision->verdict != VERDICT_APPLIED) return shard_note_void(shard, lsn, error);
    enum plinth_status st = shard_add_producer(shard, lsn, header, whole, error);
    if (st) return st;
    if (!shard_register_keys(shard, lsn, condition.operations, written))
        return error_no_memory(error, "conflict window");
    if (!shard_note_references(shard, lsn, condition.operations, written)) return error_no_memory(error, "values");
    return shard_note_ranges(shard, lsn, condition.operations, written) ? PLINTH_OK
                                                                        : error_no_memory(error, "range deletes");
}

static enum plinth_status decide_ranges_gone(struct shard *shard, struct slice payload, struct decision *decision,
                                             struct plinth_error *error) {
    struct ranges_gone gone;
    enum plinth_status st =
        shard->feature_level < FEATURE_LEVEL_RANGES ? PLINTH_CORRUPT : ranges_gone_decode(payload, &gone, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    ranges_remove(&shard->ranges, gone.table, gone.lsns, gone.count);
    free(gone.lsns);
    return PLINTH_OK;
}

const struct table_schema *shard_table_schema(const struct shard *shard, struct table_id table) {
    const struct catalog_table *found = catalog_table_by_id(&shard->catalog, table.table);
    bool takes_rows = found && found->kind == CATALOG_ROWS && table_id_compare(found->id, table) == 0;
    return takes_rows ? found->schema : NULL;
}

/* Whether the head is well-formed, of a kind that this feature level knows, and after the DDL that it rests on. */
static bool rows_head_is_sound(const struct shard *shard, const struct record_header *header, struct slice payload,
                               struct rows_change *change) {
    if (shard->feature_level < CATALOG_FEATURE_LEVEL_TABLES || !rows_change_decode(payload, change)) return false;
    uint32_t chunks = header->chunk_count ? header->chunk_count : 1;
    if (header->chunk >= chunks || chunks > PRODUCER_CHUNKS_MAX) return false;
    if (change->in_unit ? change->last != (header->chunk + 1 == chunks) : change->chunked != (chunks > 1)) return false;
    return header->schema_version <= (uint32_t)shard->catalog.version;
}

/* The verdict on a ROWS record, before its unit's. `runs` are its key runs when it was checked here. */
static enum plinth_status judge_rows(const struct shard *shard, const struct record_header *header,
                                     struct slice payload, const struct rows_change *change, bool sound,
                                     struct decision *decision, struct key_run **runs, struct plinth_error *error) {
    const struct table_schema *schema = shard_table_schema(shard, change->table);
    if (!schema) {
        decision->verdict = VERDICT_VOID;
        return PLINTH_OK;
    }
    /* Parts of a unit also below: the level may be raised before its last part. */
    bool remembered = shard->feature_level >= FEATURE_LEVEL_TRANSACTIONS || change->in_unit;
    enum plinth_status st = sound ? PLINTH_OK : rows_record_check(schema, payload, remembered ? runs : NULL, error);
    if (st == PLINTH_CORRUPT) {
        error_clear(error);
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (!st)
        decision->verdict = shard_judge_producer(shard, header, rows_part_of(header, change), &decision->first_lsn);
    return st;
}

/* ---- key runs ---- */

static bool is_known_index(const struct shard *shard, const struct record_header *header, uint32_t index) {
    const struct catalog_table *table = catalog_table_by_id(&shard->catalog, index);
    return table && table->kind == CATALOG_INDEX && table->version <= header->schema_version;
}

void shard_keep_runs(const struct shard *shard, const struct record_header *header, struct key_run **runs) {
    while (*runs) {
        struct key_run *run = *runs;
        const struct catalog_table *table = catalog_table_by_id(&shard->catalog, run->table.table);
        if (table && (table->kind != CATALOG_INDEX || is_known_index(shard, header, run->table.table))) {
            runs = &run->next;
        } else {
            *runs = run->next;
            free(run);
        }
    }
}

uint64_t shard_runs_wanted(const struct shard *shard, const struct record_header *header,
                           const struct table_schema *schema, uint8_t operation) {
    uint64_t wanted = 1;
    for (uint32_t i = 0; operation == ROWS_UPSERT && i < schema->index_count; i++)
        wanted += schema->indexes[i].unique && is_known_index(shard, header, schema->indexes[i].id.table);
    return wanted;
}

/* Takes the writer's runs, unless its schema was older: an index has come since, or the feature level has been raised.
 */
static enum plinth_status settle_runs(const struct shard *shard, const struct record_header *header,
                                      struct slice payload, const struct rows_change *change, struct key_run **runs,
                                      struct plinth_error *error) {
    const struct table_schema *schema = shard_table_schema(shard, change->table);
    shard_keep_runs(shard, header, runs);
    bool wanted = *runs || shard->feature_level >= FEATURE_LEVEL_TRANSACTIONS;
    if (!wanted || key_runs_count(*runs) == shard_runs_wanted(shard, header, schema, change->operation))
        return PLINTH_OK;
    key_runs_free(*runs);
    enum plinth_status st = rows_record_runs(schema, payload, runs, error);
    shard_keep_runs(shard, header, runs);
    return st;
}

/* Registers the key runs of an applied ROWS record (taken over), or keeps them until the last part of its unit comes.
 */
static enum plinth_status register_rows(struct shard *shard, uint64_t lsn, const struct rows_change *change,
                                        struct key_run *runs, struct plinth_error *error) {
    struct unit *unit = change->in_unit ? units_find(&shard->units, change->unit) : NULL;
    if (unit) {
        key_runs_append(&unit->runs, runs);
        if (!change->last) return PLINTH_OK;
        runs = unit->runs;
        unit->runs = NULL;
    }
    if (shard->feature_level < FEATURE_LEVEL_TRANSACTIONS) {
        key_runs_free(runs);
        return PLINTH_OK;
    }
    return rows_window_add(&shard->rows_window, lsn, runs) ? PLINTH_OK : error_no_memory(error, "conflict window");
}

static enum plinth_status decide_rows(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                      struct slice payload, const struct write_keys *written, struct decision *decision,
                                      struct plinth_error *error) {
    struct rows_change change;
    struct key_run *runs = NULL;
    if (!rows_head_is_sound(shard, header, payload, &change)) {
        decision->verdict = VERDICT_REFUSED;
        return shard_note_void(shard, lsn, error);
    }
    enum plinth_status st = judge_rows(shard, header, payload, &change, written != NULL, decision, &runs, error);
    if (!st && change.in_unit && decision->verdict == VERDICT_APPLIED) {
        bool valid;
        st = units_add(&shard->units, lsn, header, &change, payload.size, shard->time_us, &valid, error);
        if (!st && !valid) decision->verdict = VERDICT_VOID;
    } else if (!st && change.in_unit) {
        units_drop(&shard->units, change.unit);
    }
    if (st || decision->verdict != VERDICT_APPLIED) {
        key_runs_free(runs);
        return st ? st : shard_note_void(shard, lsn, error);
    }
    if (written && written->runs) {
        runs = *written->runs;
        *written->runs = NULL;
    }
    st = settle_runs(shard, header, payload, &change, &runs, error);
    if (st) return st;
    st = register_rows(shard, lsn, &change, runs, error);
    if (st || (change.in_unit && !change.last)) return st;
    return shard_add_producer(shard, lsn, header, rows_part_of(header, &change), error);
}

uint64_t shard_voids_below(const struct shard *shard, uint64_t lsn) {
    uint64_t low = 0, high = shard->void_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (shard->voids[middle] < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool shard_is_void(const struct shard *shard, uint64_t lsn) {
    uint64_t at = shard_voids_below(shard, lsn);
    return at < shard->void_count && shard->voids[at] == lsn;
}

uint64_t shard_verdicts_lsn(const struct shard *shard) {
    uint64_t replay = shard_replay_lsn(shard), log = history_log_lsn(&shard->history);
    return log < replay ? log : replay;
}

void shard_forget_voids(struct shard *shard, uint64_t lsn) {
    uint64_t kept_from = shard_verdicts_lsn(shard);
    if (lsn > kept_from) lsn = kept_from;
    if (lsn <= shard->voids_from) return;
    uint64_t dropped = shard_voids_below(shard, lsn);
    shard->voids_from = lsn;
    if (!dropped) return;
    shard->void_count -= dropped;
    memmove(shard->voids, shard->voids + dropped, shard->void_count * sizeof *shard->voids);
}

/* The key runs of a ROWS record again; the window has them if its record, or its unit's last one, is in it. */
static void replay_rows(struct shard *shard, uint64_t lsn, const struct record_header *header, struct slice payload) {
    struct rows_change change;
    struct key_run *runs;
    const struct table_schema *schema =
        rows_change_decode(payload, &change) ? shard_table_schema(shard, change.table) : NULL;
    if (!schema || (shard->feature_level < FEATURE_LEVEL_TRANSACTIONS && !change.in_unit)) return;
    struct unit *unit = change.in_unit ? units_find(&shard->units, change.unit) : NULL;
    if (!unit && lsn <= shard->rows_window.floor_lsn) return;
    if (change.in_unit && !unit) return; /* flushed, or forgotten */
    struct plinth_error error;
    if (rows_record_runs(schema, payload, &runs, &error)) return;
    shard_keep_runs(shard, header, &runs);
    (void)register_rows(shard, lsn, &change, runs, &error);
}

/* Who has looked into a unique index before a step of its build has not seen the step's entries: for the window a step
 * writes all values. */
static bool register_step(struct shard *shard, uint64_t lsn, const struct index_step *step) {
    const struct catalog_table *index = catalog_table_by_id(&shard->catalog, step->index.table);
    const struct catalog_table *table = index ? catalog_table_by_id(&shard->catalog, index->space) : NULL;
    const struct table_index *of =
        table && table->schema ? table_schema_find_index_id(table->schema, step->index.table) : NULL;
    if (!of || !of->unique || !step->segment_count) return true;
    struct key_run *run = key_run_create(step->index, NULL, 0);
    return run && rows_window_add(&shard->rows_window, lsn, run);
}

static void replay_index_step(struct shard *shard, uint64_t lsn, struct slice payload) {
    struct index_step step;
    if (lsn <= shard->rows_window.floor_lsn || index_step_decode(payload, &step, NULL)) return;
    (void)register_step(shard, lsn, &step);
    index_step_deinit(&step);
}

void shard_replay(struct shard *shard, uint64_t lsn, const struct record_header *header, struct slice payload) {
    if (shard_is_void(shard, lsn)) return;
    if (header->kind == CHANGE_ROWS) replay_rows(shard, lsn, header, payload);
    if (header->kind == CHANGE_INDEX_STEP) replay_index_step(shard, lsn, payload);
    if (header->kind == CHANGE_TRANSACTION || header->kind == CHANGE_TRANSACTION_PART)
        shard_replay_transaction(shard, lsn, header, payload);
    if (header->kind != CHANGE_WRITE && header->kind != CHANGE_CONDITIONAL) return;
    struct condition condition = {.operations = payload};
    if (header->kind == CHANGE_CONDITIONAL && !condition_decode(payload, &condition)) return;
    if (lsn > shard->window.floor_lsn) (void)shard_register_keys(shard, lsn, condition.operations, NULL);
}

/* ---- cuts, jobs and the manifest
 * -------------------------------------------------------------------------------------- */

static enum plinth_status decide_cut(struct shard *shard, uint64_t lsn, struct slice payload, struct decision *decision,
                                     struct plinth_error *error) {
    struct reader from = reader_of(payload);
    uint64_t before = reader_varint(&from);
    if (from.failed || before != shard->last_cut) {
        decision->verdict = from.failed ? VERDICT_REFUSED : VERDICT_VOID;
        return PLINTH_OK;
    }
    if (!ARRAY_PUSH(shard->cuts, shard->cut_count, lsn)) return error_no_memory(error, "cuts");
    shard->last_cut = lsn;
    return PLINTH_OK;
}

static enum plinth_status decide_job_begin(struct shard *shard, uint64_t lsn, struct slice payload,
                                           struct decision *decision, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    struct shard_job job = {.id = lsn, .kind = (enum job_kind)reader_varint(&from)};
    job.host = reader_u64(&from);
    const struct shard_host *host = shard_find_host(shard, job.host);
    if (from.failed || (host && host->expelled)) {
        decision->verdict = from.failed ? VERDICT_REFUSED : VERDICT_VOID;
        return PLINTH_OK;
    }
    return ARRAY_PUSH(shard->jobs, shard->job_count, job) ? PLINTH_OK : error_no_memory(error, "jobs");
}

static enum plinth_status decide_job_abort(struct shard *shard, struct slice payload, struct decision *decision) {
    struct reader from = reader_of(payload);
    uint64_t id = reader_varint(&from);
    struct shard_job *job = from.failed ? NULL : (struct shard_job *)shard_find_job(shard, id);
    if (job && !job->aborted) {
        job->aborted = true;
        value_objects_abandon(&shard->values, id);
    } else {
        decision->verdict = from.failed ? VERDICT_REFUSED : VERDICT_VOID;
    }
    return PLINTH_OK;
}

/* Puts a run of segments[0..count) (moved out of the array) at `position` of its table. */
static bool insert_run(struct shard *shard, struct table_id id, uint64_t position, uint64_t lsn, uint64_t level,
                       struct segment_info *segments, uint64_t count) {
    struct shard_table *table = table_make(shard, id);
    struct segment_info *owned = malloc(count * sizeof *owned);
    if (!table || !owned || !ARRAY_PUSH(table->runs, table->run_count, (struct shard_run){0})) {
        free(owned);
        return false;
    }
    memcpy(owned, segments, count * sizeof *owned);
    memset(segments, 0, count * sizeof *segments);
    memmove(&table->runs[position + 1], &table->runs[position],
            (table->run_count - 1 - position) * sizeof *table->runs);
    table->runs[position] = (struct shard_run){.id = lsn,
                                               .has_partition = owned->has_partition,
                                               .partition = owned->partition,
                                               .level = level,
                                               .segments = owned,
                                               .segment_count = count};
    return true;
}

static int run_partition_compare(const struct shard_run *run, bool has_partition, int64_t partition) {
    return partition_compare(run->has_partition, run->partition, has_partition, partition);
}

/* Where a partition's newest run belongs. */
static uint64_t newest_position(const struct shard *shard, const struct segment_info *segment) {
    const struct shard_table *table = shard_find_table(shard, segment->table);
    uint64_t at = 0;
    while (table && at < table->run_count &&
           run_partition_compare(&table->runs[at], segment->has_partition, segment->partition) < 0)
        at++;
    return at;
}

bool shard_is_dropped(const struct shard *shard, struct table_id table) {
    return shard->feature_level >= CATALOG_FEATURE_LEVEL_TABLES && !catalog_table_by_id(&shard->catalog, table.table);
}

/* Segments that are in no run, or not for long: they may go. */
static bool discard_segments(struct shard *shard, uint64_t lsn, const struct segment_info *segments, uint64_t count) {
    for (uint64_t s = 0; s < count; s++) {
        struct shard_garbage garbage = {.since_lsn = lsn};
        memcpy(garbage.name, segments[s].name, sizeof garbage.name);
        if (!ARRAY_PUSH(shard->garbage, shard->garbage_count, garbage)) return false;
    }
    return true;
}

/* A flush's segments, ordered by table, become the newest run of each of their tables; those of tables that were
 * dropped meanwhile are garbage. */
static bool apply_flush(struct shard *shard, uint64_t lsn, struct commit *commit) {
    for (uint64_t i = 0; i < commit->segment_count;) {
        struct table_id table = commit->segments[i].table;
        uint64_t end = i + 1;
        while (end < commit->segment_count && segments_make_run(&commit->segments[i], &commit->segments[end])) end++;
        uint64_t position = newest_position(shard, &commit->segments[i]);
        bool ok = shard_is_dropped(shard, table)
                      ? discard_segments(shard, lsn, &commit->segments[i], end - i)
                      : insert_run(shard, table, position, lsn, 0, &commit->segments[i], end - i);
        if (!ok) return false;
        i = end;
    }
    shard->flushed_lsn = commit->cut;
    /* Else a few thousand large values would keep gigabytes of log for their keys. */
    conflict_window_forget(&shard->window, commit->cut);
    if (shard->feature_level >= FEATURE_LEVEL_TRANSACTIONS) rows_window_forget(&shard->rows_window, commit->cut);
    units_flushed(&shard->units, commit->cut);
    memmove(shard->cuts, shard->cuts + 1, --shard->cut_count * sizeof *shard->cuts);
    return true;
}

/* The index of the compaction's first input, if its inputs are there, next to each other; else UINT64_MAX. */
static uint64_t find_inputs(const struct shard_table *table, const struct commit *commit) {
    for (uint64_t i = 0; table && commit->input_count && i + commit->input_count <= table->run_count; i++) {
        uint64_t same = 0;
        while (same < commit->input_count && table->runs[i + same].id == commit->inputs[same] &&
               run_partition_compare(&table->runs[i + same], commit->has_partition, commit->partition) == 0)
            same++;
        if (same == commit->input_count) return i;
    }
    return UINT64_MAX;
}

/* Whether what a compaction has made is of the partition of its inputs. */
static bool outputs_fit(const struct commit *commit) {
    for (uint64_t s = 0; s < commit->segment_count; s++) {
        const struct segment_info *segment = &commit->segments[s];
        if (partition_compare(segment->has_partition, segment->partition, commit->has_partition, commit->partition))
            return false;
    }
    return true;
}

/* Whether the commit, which names no inputs, is a further run of an index that is being built. */
static bool is_build(const struct shard *shard, const struct commit *commit) {
    const struct catalog_table *entries = catalog_table_by_id(&shard->catalog, commit->table.table);
    const struct catalog_table *of = entries ? catalog_table_by_id(&shard->catalog, entries->space) : NULL;
    if (commit->input_count || !commit->segment_count || !of || of->kind != CATALOG_ROWS) return false;
    const struct table_index *index = table_schema_find_index_id(of->schema, commit->table.table);
    return index->state == INDEX_BUILDING && table_id_compare(index->id, commit->table) == 0;
}

static bool apply_compaction(struct shard *shard, uint64_t lsn, struct commit *commit, uint64_t first) {
    if (!commit->input_count)
        return insert_run(shard, commit->table, 0, lsn, commit->level, commit->segments, commit->segment_count);
    struct shard_table *table = (struct shard_table *)shard_find_table(shard, commit->table);
    for (uint64_t r = first; r < first + commit->input_count; r++) {
        struct shard_run *run = &table->runs[r];
        if (!discard_segments(shard, lsn, run->segments, run->segment_count)) return false;
        run_deinit(run);
    }
    memmove(&table->runs[first], &table->runs[first + commit->input_count],
            (table->run_count - first - commit->input_count) * sizeof *table->runs);
    table->run_count -= commit->input_count;
    return !commit->segment_count ||
           insert_run(shard, commit->table, first, lsn, commit->level, commit->segments, commit->segment_count);
}

static enum plinth_status decide_commit(struct shard *shard, uint64_t lsn, enum change_kind kind, struct slice payload,
                                        struct decision *decision, struct plinth_error *error) {
    struct commit commit;
    enum plinth_status st = commit_decode(kind, payload, &commit, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    const struct shard_job *job = shard_find_job(shard, commit.job);
    uint64_t first = UINT64_MAX;
    bool valid = job && !job->aborted;
    if (valid && kind == CHANGE_FLUSH_COMMIT) valid = shard->cut_count && shard->cuts[0] == commit.cut;
    if (valid && kind == CHANGE_COMPACT_COMMIT) {
        first = is_build(shard, &commit) ? 0 : find_inputs(shard_find_table(shard, commit.table), &commit);
        valid = first != UINT64_MAX && outputs_fit(&commit);
        /* Merges may have changed what a run's id stands for. */
        if (shard->feature_level >= FEATURE_LEVEL_MERGES && commit.input_count) valid = false;
    }
    if (!valid) {
        decision->verdict = VERDICT_VOID;
    } else {
        job_remove(shard, job);
        bool applied = kind == CHANGE_FLUSH_COMMIT ? apply_flush(shard, lsn, &commit)
                                                   : apply_compaction(shard, lsn, &commit, first);
        applied = applied && value_objects_commit(&shard->values, commit.job, lsn);
        if (!applied) st = error_no_memory(error, "manifest");
    }
    commit_deinit(&commit);
    return st;
}

static enum plinth_status decide_merge(struct shard *shard, uint64_t lsn, struct slice payload,
                                       struct decision *decision, struct plinth_error *error) {
    struct merge_change change;
    enum plinth_status st =
        shard->feature_level < FEATURE_LEVEL_MERGES ? PLINTH_CORRUPT : merge_change_decode(payload, &change, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    const struct shard_job *job = shard_find_job(shard, change.job);
    if (!job || job->aborted || !merge_change_is_valid(shard, &change)) {
        decision->verdict = VERDICT_VOID;
    } else {
        job_remove(shard, job);
        if (!merge_change_apply(shard, lsn, &change) || !value_objects_commit(&shard->values, change.job, lsn))
            st = error_no_memory(error, "manifest");
    }
    merge_change_deinit(&change);
    return st;
}

/* Whether the step goes on with a build of this shard, with entries of its index only. */
static bool step_is_valid(const struct shard *shard, const struct index_step *step) {
    const struct index_build *build = index_builds_find(&shard->index_builds, step->index.table);
    const struct shard_job *job = step->job ? shard_find_job(shard, step->job) : NULL;
    if (!build || table_id_compare(build->index, step->index) || step->rows < build->rows) return false;
    if (step->job && (!job || job->aborted)) return false;
    for (uint64_t i = 0; i < step->segment_count; i++)
        if (table_id_compare(step->segments[i].table, step->index) || step->segments[i].has_partition) return false;
    return true;
}

static enum plinth_status decide_index_step(struct shard *shard, uint64_t lsn, struct slice payload,
                                            struct decision *decision, struct plinth_error *error) {
    struct index_step step = {0};
    enum plinth_status st =
        shard->feature_level < FEATURE_LEVEL_INDEX_BUILDS ? PLINTH_CORRUPT : index_step_decode(payload, &step, error);
    if (st == PLINTH_CORRUPT) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (st) return st;
    if (!step_is_valid(shard, &step)) {
        decision->verdict = VERDICT_VOID;
        st = shard_note_void(shard, lsn, error);
    } else {
        bool registered = register_step(shard, lsn, &step);
        bool ok = index_build_advance(index_builds_find(&shard->index_builds, step.index.table), &step);
        if (step.job) job_remove(shard, shard_find_job(shard, step.job));
        if (ok && step.segment_count) ok = insert_run(shard, step.index, 0, lsn, 0, step.segments, step.segment_count);
        if (!ok || !registered) st = error_no_memory(error, "index build");
    }
    index_step_deinit(&step);
    return st;
}

static void forget_garbage(struct shard *shard, struct slice name) {
    for (uint64_t i = 0; i < shard->garbage_count; i++) {
        if (!slice_equal(slice_of_string(shard->garbage[i].name), name)) continue;
        memmove(&shard->garbage[i], &shard->garbage[i + 1], (--shard->garbage_count - i) * sizeof *shard->garbage);
        return;
    }
}

static enum plinth_status decide_files_gone(struct shard *shard, struct slice payload, struct decision *decision) {
    struct reader from = reader_of(payload);
    for (uint64_t names = reader_varint(&from); names && !from.failed; names--)
        forget_garbage(shard, reader_string(&from));
    for (uint64_t jobs = reader_varint(&from); jobs && !from.failed; jobs--) {
        const struct shard_job *job = shard_find_job(shard, reader_varint(&from));
        if (job && job->aborted) job_remove(shard, job);
    }
    if (from.failed) decision->verdict = VERDICT_REFUSED;
    return PLINTH_OK;
}

/* ---- the rest
 * --------------------------------------------------------------------------------------------------------- */

static enum plinth_status decide_host(struct shard *shard, struct slice payload, struct decision *decision,
                                      struct plinth_error *error) {
    struct reader from = reader_of(payload);
    struct shard_host host = {.id = reader_u64(&from)};
    host.incarnation = reader_varint(&from);
    host.needed_lsn = reader_varint(&from);
    host.expelled = reader_u8(&from) != 0;
    if (from.failed) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    for (uint64_t i = 0; i < shard->host_count; i++) {
        if (shard->hosts[i].id != host.id) continue;
        if (shard->hosts[i].joined || host.incarnation < shard->hosts[i].incarnation)
            decision->verdict = VERDICT_VOID;
        else
            shard->hosts[i] = host;
        return PLINTH_OK;
    }
    if (!ARRAY_PUSH(shard->hosts, shard->host_count, host)) return error_no_memory(error, "hosts");
    for (uint64_t at = shard->host_count - 1; at > 0 && shard->hosts[at - 1].id > host.id; at--) {
        shard->hosts[at] = shard->hosts[at - 1];
        shard->hosts[at - 1] = host;
    }
    return PLINTH_OK;
}

static bool is_gone(const void *shard, struct table_id table) { return shard_is_dropped(shard, table); }

/* The files of tables that the change has dropped are garbage, and nothing of them is read any more. */
static bool forget_dropped(struct shard *shard, uint64_t lsn) {
    uint64_t kept = 0;
    bool ok = true;
    for (uint64_t t = 0; t < shard->table_count; t++) {
        struct shard_table *table = &shard->tables[t];
        if (!ok || !shard_is_dropped(shard, table->id)) {
            shard->tables[kept++] = *table;
            continue;
        }
        for (uint64_t r = 0; r < table->run_count; r++) {
            ok = ok && discard_segments(shard, lsn, table->runs[r].segments, table->runs[r].segment_count);
            run_deinit(&table->runs[r]);
        }
        free(table->runs);
    }
    shard->table_count = kept;
    ok = value_objects_drop_tables(&shard->values, lsn, is_gone, shard) && ok;
    rows_window_prune(&shard->rows_window, is_gone, shard);
    for (uint64_t i = 0; i < shard->ranges.count;) {
        struct table_id table = shard->ranges.all[i].table;
        if (shard_is_dropped(shard, table))
            ranges_remove(&shard->ranges, table, NULL, 0);
        else
            i++;
    }
    return ok;
}

static struct table_id newest_index(const struct catalog *catalog) {
    return catalog->tables[catalog->table_count - 1].id;
}

/* Forgets the builds of indexes that are ready, or dropped. */
static void end_builds(struct shard *shard) {
    for (uint64_t i = shard->index_builds.count; i > 0; i--) {
        uint32_t id = shard->index_builds.all[i - 1].index.table;
        const struct catalog_table *table = catalog_table_by_id(&shard->catalog, id);
        const struct catalog_table *of = table ? catalog_table_by_id(&shard->catalog, table->space) : NULL;
        const struct table_index *index = of ? table_schema_find_index_id(of->schema, id) : NULL;
        if (!index || index->state != INDEX_BUILDING) index_builds_end(&shard->index_builds, id);
    }
}

static enum plinth_status decide_catalog(struct shard *shard, uint64_t lsn, struct slice payload,
                                         struct decision *decision, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    struct catalog_change change;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st = PLINTH_OK;
    if (!catalog_change_decode(&from, &arena, &change) || shard->feature_level < catalog_change_level(&change)) {
        decision->verdict = VERDICT_REFUSED;
    } else {
        change.lsn = lsn;
        st = catalog_apply(&shard->catalog, &change, error);
    }
    if (st && st != PLINTH_OUT_OF_MEMORY) {
        decision->verdict = VERDICT_VOID;
        error_clear(error);
        st = PLINTH_OK;
    }
    bool applied = !st && decision->verdict == VERDICT_APPLIED;
    if (applied && catalog_change_drops(change.kind) && !forget_dropped(shard, lsn))
        st = error_no_memory(error, "manifest");
    if (applied && !st && change.kind == CATALOG_BUILD_INDEX &&
        !index_builds_begin(&shard->index_builds, newest_index(&shard->catalog), lsn))
        st = error_no_memory(error, "index build");
    if (applied && !st) end_builds(shard);
    arena_deinit(&arena);
    return st;
}

static enum plinth_status decide_feature_level(struct shard *shard, uint64_t lsn, struct slice payload,
                                               struct decision *decision) {
    struct reader from = reader_of(payload);
    uint64_t level = reader_varint(&from);
    if (from.failed || level > FEATURE_LEVEL) {
        decision->verdict = VERDICT_REFUSED;
    } else if (level > shard->feature_level) {
        bool begins = shard->feature_level < FEATURE_LEVEL_TRANSACTIONS && level >= FEATURE_LEVEL_TRANSACTIONS;
        shard->feature_level = (uint32_t)level;
        /* The window of rows begins here. */
        if (begins) rows_window_reset(&shard->rows_window, ROWS_WINDOW_RUNS_DEFAULT, ROWS_WINDOW_BYTES_DEFAULT, lsn);
    }
    return PLINTH_OK;
}

static enum plinth_status decide_window(struct shard *shard, uint64_t lsn, struct slice payload,
                                        struct decision *decision, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    uint64_t keys = reader_varint(&from), bytes = reader_varint(&from);
    if (from.failed || keys < 1 || keys > 1 << 26 || bytes < 1 << 17 || bytes > 1ull << 32) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    if (shard->feature_level >= FEATURE_LEVEL_TRANSACTIONS && reader_left(&from)) {
        uint64_t runs = reader_varint(&from), run_bytes = reader_varint(&from);
        if (from.failed || runs < 1 || runs > 1 << 26 || run_bytes < 1 << 17 || run_bytes > 1ull << 32) {
            decision->verdict = VERDICT_REFUSED;
            return PLINTH_OK;
        }
        rows_window_reset(&shard->rows_window, runs, run_bytes, lsn);
    }
    conflict_window_deinit(&shard->window);
    return conflict_window_init(&shard->window, keys, bytes, lsn, error);
}

static enum plinth_status decide_keep(struct shard *shard, uint64_t lsn, struct slice payload,
                                      struct decision *decision, struct plinth_error *error) {
    struct keep_change change;
    if (shard->feature_level < FEATURE_LEVEL_HISTORY || !keep_change_decode(payload, &change) || change.lsn > lsn) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    struct named_snapshot *there = (struct named_snapshot *)history_find_name(&shard->history, change.name);
    bool adds = change.operation == KEEP_STATE || change.operation == KEEP_WITH_LOG;
    /* Parts of units that are not finished yet belong to changes behind the snapshot. */
    uint64_t unit = units_first_lsn(&shard->units), log_lsn = change.lsn + 1 < unit ? change.lsn + 1 : unit;
    if (adds ? there || shard->history.name_count >= HISTORY_NAMES_MAX : !there) {
        decision->verdict = VERDICT_VOID;
    } else if (adds) {
        struct named_snapshot made = {.lsn = change.lsn, .time_us = shard->time_us};
        if (change.operation == KEEP_WITH_LOG) made.log_lsn = log_lsn;
        if (!history_add_name(&shard->history, change.name, &made)) return error_no_memory(error, "named snapshots");
    } else if (change.operation == KEEP_DROP) {
        history_drop_name(&shard->history, change.name);
    } else if (change.lsn < there->lsn) {
        decision->verdict = VERDICT_VOID;
    } else {
        there->lsn = change.lsn;
        there->time_us = shard->time_us;
        if (there->log_lsn && log_lsn > there->log_lsn) there->log_lsn = log_lsn;
    }
    return PLINTH_OK;
}

static enum plinth_status decide_history(struct shard *shard, uint64_t lsn, struct slice payload,
                                         struct decision *decision, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    uint64_t window_us = reader_varint(&from);
    if (shard->feature_level < FEATURE_LEVEL_HISTORY || from.failed || window_us > HISTORY_WINDOW_US_MAX) {
        decision->verdict = VERDICT_REFUSED;
        return PLINTH_OK;
    }
    return history_set_window(&shard->history, window_us, lsn, shard->time_us) ? PLINTH_OK
                                                                               : error_no_memory(error, "history");
}

static enum plinth_status decide_jobs(struct shard *shard, struct slice payload, struct decision *decision) {
    struct reader from = reader_of(payload);
    uint64_t paused = reader_varint(&from);
    if (shard->feature_level < FEATURE_LEVEL_JOBS || from.failed || paused & ~(uint64_t)JOBS_PAUSABLE)
        decision->verdict = VERDICT_REFUSED;
    else
        shard->paused_jobs = paused;
    return PLINTH_OK;
}

/* Shard time is the running maximum of record times. Far jumps count only from HOST and TICK records, whose times their
 * hosts have checked. */
static void advance_time(struct shard *shard, const struct record_header *header) {
    if (header->time_us <= shard->time_us) return;
    bool checked = header->kind == CHANGE_HOST || header->kind == CHANGE_TICK;
    if (header->time_us - shard->time_us <= TIME_JUMP_US_MAX || checked)
        shard->time_us = header->time_us;
    else
        shard->time_alarms++;
}

enum plinth_status shard_decide(struct shard *shard, uint64_t lsn, const struct record_header *header,
                                struct slice payload, const struct write_keys *written, struct decision *decision,
                                struct plinth_error *error) {
    *decision = (struct decision){VERDICT_APPLIED, 0};
    shard->lsn = lsn;
    advance_time(shard, header);
    units_expire(&shard->units, shard->time_us);
    if (!history_note(&shard->history, lsn, shard->time_us)) return error_no_memory(error, "history");
    enum plinth_status st = PLINTH_OK;
    switch ((enum change_kind)header->kind) {
    case CHANGE_WRITE:
    case CHANGE_CONDITIONAL: st = decide_data(shard, lsn, header, payload, written, decision, error); break;
    case CHANGE_ROWS: st = decide_rows(shard, lsn, header, payload, written, decision, error); break;
    case CHANGE_TRANSACTION:
    case CHANGE_TRANSACTION_PART:
        st = shard_decide_transaction(shard, lsn, header, payload, written, decision, error);
        break;
    case CHANGE_CATALOG: st = decide_catalog(shard, lsn, payload, decision, error); break;
    case CHANGE_CUT: st = decide_cut(shard, lsn, payload, decision, error); break;
    case CHANGE_JOB_BEGIN: st = decide_job_begin(shard, lsn, payload, decision, error); break;
    case CHANGE_FLUSH_COMMIT:
    case CHANGE_COMPACT_COMMIT:
        st = decide_commit(shard, lsn, (enum change_kind)header->kind, payload, decision, error);
        break;
    case CHANGE_MERGE_COMMIT: st = decide_merge(shard, lsn, payload, decision, error); break;
    case CHANGE_INDEX_STEP: st = decide_index_step(shard, lsn, payload, decision, error); break;
    case CHANGE_RANGES_GONE: st = decide_ranges_gone(shard, payload, decision, error); break;
    case CHANGE_VALUES_DROPPED: st = shard_decide_values_dropped(shard, payload, decision, error); break;
    case CHANGE_VALUES_GONE: st = shard_decide_values_gone(shard, payload, decision, error); break;
    case CHANGE_JOB_ABORT: st = decide_job_abort(shard, payload, decision); break;
    case CHANGE_FILES_GONE: st = decide_files_gone(shard, payload, decision); break;
    case CHANGE_HOST: st = decide_host(shard, payload, decision, error); break;
    case CHANGE_HOST_JOIN:
    case CHANGE_HOST_NEEDS:
    case CHANGE_HOST_EXPEL:
        st = shard_decide_hosts(shard, lsn, (enum change_kind)header->kind, payload, decision, error);
        break;
    case CHANGE_TICK: break;
    case CHANGE_FEATURE_LEVEL: st = decide_feature_level(shard, lsn, payload, decision); break;
    case CHANGE_WINDOW: st = decide_window(shard, lsn, payload, decision, error); break;
    case CHANGE_KEEP: st = decide_keep(shard, lsn, payload, decision, error); break;
    case CHANGE_HISTORY: st = decide_history(shard, lsn, payload, decision, error); break;
    case CHANGE_JOBS: st = decide_jobs(shard, payload, decision); break;
    default: decision->verdict = VERDICT_REFUSED;
    }
    if (decision->verdict != VERDICT_APPLIED && shard_has_hosts(shard))
        shard->verdict_sum += shard_verdict_hash(lsn, decision);
    if (decision->verdict == VERDICT_REFUSED) {
        shard->alarms++;
        log_event(LOG_ERROR, "record_refused", "lsn=%llu kind=%d feature_level=%u", (unsigned long long)lsn,
                  (int)header->kind, shard->feature_level);
    }
    return st;
}
