/* Verify: reads everything there is and checks it against itself.
 *
 * Log: every readable record decodes. Segments: pages, checksums, order, bounds, counts (segment_verify). Indexes:
 * every entry that its row carries is in the index, and every live entry has its row (typed tables: verify_rows.c).
 * Large values: verify_values.c.
 * What is found goes to the visitor; the check goes on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/cursor.h"
#include "engine/job_list.h"
#include "engine/verify_rows.h"
#include "engine/verify_values.h"

struct verify {
    struct plinth *db;
    plinth_verify_visitor *visit;
    void *context;
    struct plinth_verify_result *result;
    struct job_entry job;
};

static enum plinth_status check_cancelled(struct verify *verify, struct plinth_error *error) {
    return atomic_load(&verify->job.cancelled) ? error_set(error, PLINTH_CANCELLED, "the verification was cancelled")
                                               : PLINTH_OK;
}

static void report(struct verify *verify, const char *object, const char *problem) {
    verify->result->problems++;
    if (verify->visit) verify->visit(verify->context, object, problem);
}

/* Damage is a finding; anything else ends the check. */
static enum plinth_status report_damage(struct verify *verify, const char *object, enum plinth_status st,
                                        struct plinth_error *error) {
    if (st != PLINTH_CORRUPT) return st;
    report(verify, object, error ? error->text : "damaged");
    error_clear(error);
    return PLINTH_OK;
}

static enum plinth_status verify_log(struct verify *verify, struct plinth_error *error) {
    struct log_stats stats;
    log_stats(verify->db->log, &stats);
    struct log_reader *reader;
    enum plinth_status st = log_read(verify->db->log, stats.first_lsn, &reader, error);
    if (st == PLINTH_TOO_OLD) { /* trimmed since: the rest is read below */
        log_stats(verify->db->log, &stats);
        st = log_read(verify->db->log, stats.first_lsn, &reader, error);
    }
    if (st) return report_damage(verify, "log", st, error);
    uint64_t until = log_written_lsn(verify->db->log);
    for (bool found = true; !st && found;) {
        struct record record;
        st = log_next(reader, &record, &found, error);
        if (st || !found) break;
        verify->result->log_records++;
        verify->result->bytes += record.payload.size;
        if (record.lsn >= until) break;
    }
    log_reader_close(reader);
    if (st == PLINTH_TOO_OLD) st = PLINTH_OK; /* a checkpoint has made the rest unnecessary */
    return report_damage(verify, "log", st, error);
}

static void on_segment_problem(void *context, const char *object, const char *problem) {
    report(context, object, problem);
}

static enum plinth_status verify_segments(struct verify *verify, const struct view *view, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (size_t t = 0; !st && t < view->table_count; t++) {
        for (size_t r = 0; !st && r < view->tables[t].run_count; r++) {
            struct run *run = view->tables[t].runs[r].run;
            for (size_t s = 0; !st && s < run_segment_count(run); s++) {
                struct segment *segment = run_segment(run, s);
                const struct segment_info *info = segment_info(segment);
                st = segment_verify(segment, on_segment_problem, verify, error);
                st = report_damage(verify, info->name, st, error);
                verify->result->segments++;
                verify->result->bytes += info->bytes;
                atomic_fetch_add(&verify->job.done, info->rows);
                if (!st) st = check_cancelled(verify, error);
            }
        }
    }
    return st;
}

static void describe_entry(char *text, size_t size, const char *index, struct slice value, struct slice key) {
    int used = snprintf(text, size, "index %s value 0x", index);
    for (size_t i = 0; i < value.size && i < 16; i++)
        used += snprintf(text + used, size - (size_t)used, "%02x", value.data[i]);
    used += snprintf(text + used, size - (size_t)used, " key 0x");
    for (size_t i = 0; i < key.size && i < 24; i++)
        used += snprintf(text + used, size - (size_t)used, "%02x", key.data[i]);
}

/* The entries that one row carries must be in their indexes, with the row's LSN. */
static enum plinth_status verify_row(struct verify *verify, struct view *view, struct table_id space, uint64_t lsn,
                                     const struct row *row, struct buffer *stored, struct plinth_error *error) {
    struct reader list = reader_of(row->indexes);
    uint32_t index_table;
    struct slice value;
    enum plinth_status st = PLINTH_OK;
    char what[256];
    while (!st && row_indexes_next(&list, &index_table, &value)) {
        struct table_id index = {space.tenant, space.database, index_table};
        uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
        size_t prefix_size = table_prefix_encode(prefix, index);
        buffer_clear(stored);
        if (!engine_stored_key(stored, index, slice_of(NULL, 0)) || !escaped_append(stored, value) ||
            !buffer_append(stored, row->key.data, row->key.size))
            return error_no_memory(error, "verify");
        struct segment_hit hit;
        st = view_get(view, index, buffer_slice(stored), prefix_size, lsn, 0, SEGMENT_LSN_ONLY, &hit, error);
        bool there = !st && hit.row.lsn == row->lsn;
        if (!st) segment_hit_release(&hit);
        if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
        if (st || there) continue;
        char name[16];
        snprintf(name, sizeof name, "%u", index_table);
        describe_entry(what, sizeof what, name, value, row->key);
        report(verify, what, "the row has this entry and the index has not");
    }
    if (list.failed) {
        describe_entry(what, sizeof what, "?", slice_of(NULL, 0), row->key);
        report(verify, what, "the row's list of index entries is malformed");
    }
    return st;
}

static enum plinth_status verify_space(struct verify *verify, struct view *view, uint64_t lsn, struct table_id space,
                                       struct plinth_error *error) {
    struct cursor cursor;
    struct buffer stored = BUFFER_INIT;
    struct cursor_options all = {0};
    enum plinth_status st = cursor_init(&cursor, view_ref(view), space, lsn, &all, error);
    if (st) return st;
    while (!st) {
        st = cursor_next(&cursor, error);
        if (st || !cursor.valid) break;
        verify->result->rows++;
        st = verify_row(verify, view, space, lsn, &cursor.row, &stored, error);
    }
    cursor_deinit(&cursor);
    buffer_deinit(&stored);
    return report_damage(verify, "key space", st, error);
}

/* Whether the row carries this index value. */
static bool row_has(const struct row *row, uint32_t table, struct slice value) {
    struct reader list = reader_of(row->indexes);
    uint32_t index_table;
    struct slice carried;
    while (row_indexes_next(&list, &index_table, &carried))
        if (index_table == table && slice_equal(carried, value)) return true;
    return false;
}

/* A live entry (its key's visible version has its LSN) must be carried by that row. */
static enum plinth_status verify_entry(struct verify *verify, struct view *view, uint64_t lsn, struct table_id space,
                                       uint32_t index_table, const struct row *entry, struct buffer *value,
                                       struct buffer *stored, struct plinth_error *error) {
    char what[256], name[16];
    snprintf(name, sizeof name, "%u", index_table);
    struct reader reader = reader_of(entry->key);
    buffer_clear(value);
    buffer_clear(stored);
    if (!escaped_decode(&reader, value)) {
        describe_entry(what, sizeof what, name, entry->key, slice_of(NULL, 0));
        report(verify, what, "malformed entry");
        return PLINTH_OK;
    }
    struct slice key = slice_of(reader.at, reader_left(&reader));
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, space);
    if (!engine_stored_key(stored, space, key)) return error_no_memory(error, "verify");
    struct segment_hit hit;
    enum plinth_status st = view_get(view, space, buffer_slice(stored), prefix_size, lsn, 0, 0, &hit, error);
    if (st) return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
    if (hit.row.lsn == entry->lsn && hit.row.operation == ROW_SET &&
        !row_has(&hit.row, index_table, buffer_slice(value))) {
        describe_entry(what, sizeof what, name, buffer_slice(value), key);
        report(verify, what, "the index has this entry and the row has not");
    }
    segment_hit_release(&hit);
    return PLINTH_OK;
}

static enum plinth_status verify_index(struct verify *verify, struct view *view, uint64_t lsn, struct table_id index,
                                       uint32_t space_table, struct plinth_error *error) {
    struct cursor cursor;
    struct buffer value = BUFFER_INIT, stored = BUFFER_INIT;
    struct cursor_options all = {.lsn_only = true};
    struct table_id space = {index.tenant, index.database, space_table};
    enum plinth_status st = cursor_init(&cursor, view_ref(view), index, lsn, &all, error);
    if (st) return st;
    while (!st) {
        st = cursor_next(&cursor, error);
        if (st || !cursor.valid) break;
        verify->result->index_entries++;
        st = verify_entry(verify, view, lsn, space, index.table, &cursor.row, &value, &stored, error);
    }
    cursor_deinit(&cursor);
    buffer_deinit(&value);
    buffer_deinit(&stored);
    return report_damage(verify, "index", st, error);
}

static enum plinth_status verify_rows(struct verify *verify, struct view *view, uint64_t lsn,
                                      const struct table_schema *schema, struct plinth_error *error) {
    const uint64_t time_us = engine_read_time_us(verify->db, NULL, 0);
    struct rows_verify rows = {.report = on_segment_problem, .context = verify, .time_us = time_us};
    enum plinth_status st = rows_verify(&rows, view, lsn, schema, error);
    verify->result->rows += rows.rows;
    verify->result->index_entries += rows.index_entries;
    return report_damage(verify, "table", st, error);
}

static enum plinth_status verify_values(struct verify *verify, struct plinth_error *error) {
    struct values_verify values = {
        .report = on_segment_problem, .context = verify, .cancelled = &verify->job.cancelled};
    enum plinth_status st = values_verify(&values, verify->db, error);
    verify->result->bytes += values.bytes;
    return report_damage(verify, "values", st, error);
}

/* What is checked: one state of the rows, and the tables of the catalog at that state, copied (with references):
 * checking takes long, and the catalog's lock is for moments. */
struct checked_state {
    struct view *view;
    uint64_t lsn;
    uint64_t version; /* of the catalog */
    struct catalog_table *tables;
    uint32_t table_count;
};

static enum plinth_status copy_tables(struct plinth *db, struct checked_state *state, struct plinth_error *error) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    state->version = catalog->version;
    state->table_count = catalog->table_count;
    state->tables = malloc(catalog->table_count * sizeof *state->tables);
    if (state->tables) memcpy(state->tables, catalog->tables, catalog->table_count * sizeof *state->tables);
    for (uint32_t i = 0; state->tables && i < state->table_count; i++)
        if (state->tables[i].schema) table_schema_ref(state->tables[i].schema);
    pthread_rwlock_unlock(&db->catalog_lock);
    return state->tables ? PLINTH_OK : error_no_memory(error, "verify");
}

static void state_release(struct checked_state *state) {
    for (uint32_t i = 0; state->tables && i < state->table_count; i++) table_schema_unref(state->tables[i].schema);
    free(state->tables);
    if (state->view) view_unref(state->view);
    *state = (struct checked_state){0};
}

static uint64_t catalog_version(struct plinth *db) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    uint64_t version = db->shard.catalog.version;
    pthread_rwlock_unlock(&db->catalog_lock);
    return version;
}

/* Again when the catalog changed between copy and view: what a drop took out of the view would be missed else. */
static enum plinth_status state_take(struct plinth *db, struct checked_state *state, struct plinth_error *error) {
    enum plinth_status st;
    for (;;) {
        *state = (struct checked_state){0};
        st = copy_tables(db, state, error);
        if (!st) st = engine_begin_read(db, NULL, &state->view, &state->lsn, error);
        if (st || catalog_version(db) == state->version) return st;
        state_release(state);
    }
}

static bool is_typed(const struct catalog_table *tables, uint32_t count, uint32_t id) {
    for (uint32_t i = 0; i < count; i++)
        if (tables[i].id.table == id) return tables[i].kind == CATALOG_ROWS;
    return false;
}

enum plinth_status plinth_verify(struct plinth *db, plinth_verify_visitor *visit, void *context,
                                 struct plinth_verify_result *result, struct plinth_error *error) {
    struct plinth_verify_result ignored;
    struct plinth_error own;
    if (!error) error = &own;
    error_clear(error);
    struct verify verify = {.db = db, .visit = visit, .context = context, .result = result ? result : &ignored};
    *verify.result = (struct plinth_verify_result){0};
    job_enter(db, &verify.job, PLINTH_JOB_VERIFY, (struct table_id){0}, "asked for");
    struct checked_state state;
    enum plinth_status st = state_take(db, &state, error);
    if (!st) st = verify_log(&verify, error);
    if (!st) st = verify_segments(&verify, state.view, error);
    for (uint32_t i = 0; !st && i < state.table_count; i++) {
        const struct catalog_table *table = &state.tables[i];
        st = check_cancelled(&verify, error);
        if (st) break;
        if (table->kind == CATALOG_SPACE)
            st = verify_space(&verify, state.view, state.lsn, table->id, error);
        else if (table->kind == CATALOG_ROWS)
            st = verify_rows(&verify, state.view, state.lsn, table->schema, error);
        else if (!is_typed(state.tables, state.table_count, table->space)) /* else checked with its table */
            st = verify_index(&verify, state.view, state.lsn, table->id, table->space, error);
    }
    if (!st) st = verify_values(&verify, error);
    state_release(&state);
    job_leave(db, &verify.job, st, error);
    return st;
}
