#include "engine/verify_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/value_counts.h"
#include "engine/value_store.h"

/* One state: the objects that are live in it, the key spaces, and all versions up to its LSN. */
struct values_state {
    struct view *view;
    uint64_t lsn;
    struct value_object *objects;
    uint64_t object_count;
    struct table_id *spaces;
    uint64_t space_count;
};

static enum plinth_status state_take(struct plinth *db, struct values_state *state, struct plinth_error *error) {
    *state = (struct values_state){0};
    pthread_mutex_lock(&db->sequence_mutex);
    const struct value_objects *from = &db->shard.values;
    const struct catalog *catalog = &db->shard.catalog;
    state->view = view_current(&db->views);
    state->lsn = db->shard.lsn;
    state->objects = malloc((from->count + 1) * sizeof *state->objects);
    bool ok = state->objects != NULL;
    if (ok && from->count) memcpy(state->objects, from->all, from->count * sizeof *state->objects);
    state->object_count = from->count;
    for (uint32_t i = 0; ok && i < catalog->table_count; i++)
        if (catalog->tables[i].kind == CATALOG_SPACE)
            ok = ARRAY_PUSH(state->spaces, state->space_count, catalog->tables[i].id);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!ok) return error_no_memory(error, "verify");
    return sequencer_wait(&db->sequencer, state->lsn) ? PLINTH_OK : engine_check(db, error);
}

static void state_release(struct values_state *state) {
    view_unref(state->view);
    free(state->objects);
    free(state->spaces);
}

/* Reads the value of a version, and counts its reference. */
static enum plinth_status check_row(struct values_verify *verify, struct plinth *db, const struct row *row,
                                    struct value_counts *counts, struct plinth_error *error) {
    struct row_reference reference;
    if (!row_reference_decode(row->indexes, &reference)) return PLINTH_OK;
    struct buffer memory = BUFFER_INIT;
    struct slice value;
    enum plinth_status st = values_of_row(db, row, false, &memory, &value, error);
    verify->bytes += value.size;
    if (st == PLINTH_CORRUPT) {
        char name[ROW_OBJECT_NAME_BYTES];
        row_object_name(reference.job, reference.number, name);
        verify->report(verify->context, name, error->text);
        error_clear(error);
        st = PLINTH_OK;
    }
    buffer_deinit(&memory);
    return st ? st : value_counts_add(counts, row->indexes, 1, error);
}

/* Takes the iterator. */
static enum plinth_status check_rows(struct values_verify *verify, struct plinth *db, struct iterator *it, uint64_t lsn,
                                     struct value_counts *counts, struct plinth_error *error) {
    enum plinth_status st = iterator_seek_first(it, error);
    while (!st && it->valid) {
        if (it->row.lsn <= lsn) st = check_row(verify, db, &it->row, counts, error);
        if (!st && verify->cancelled && atomic_load(verify->cancelled))
            st = error_set(error, PLINTH_CANCELLED, "the verification was cancelled");
        if (!st) st = iterator_next(it, error);
    }
    iterator_close(it);
    return st;
}

static enum plinth_status check_space(struct values_verify *verify, struct plinth *db, const struct values_state *state,
                                      struct table_id space, struct value_counts *counts, struct plinth_error *error) {
    const struct view_table *table = view_find_table(state->view, space);
    enum plinth_status st = PLINTH_OK;
    struct iterator *it;
    for (size_t i = 0; !st && i < state->view->memtable_count; i++) {
        struct memtable *memtable = state->view->memtables[i].memtable;
        if (!memtable_has_references(memtable)) continue;
        st = memtable_iterator_open(memtable, space, &it, error);
        if (!st) st = check_rows(verify, db, it, state->lsn, counts, error);
    }
    for (size_t r = 0; !st && table && r < table->run_count; r++) {
        if (!run_references(table->runs[r].run)) continue;
        st = run_iterator_open(table->runs[r].run, false, &it, error);
        if (!st) st = check_rows(verify, db, it, state->lsn, counts, error);
    }
    return st;
}

static void report_count(struct values_verify *verify, uint64_t job, uint32_t number, int64_t found, int64_t known) {
    char name[ROW_OBJECT_NAME_BYTES], problem[128];
    if (found == known) return;
    row_object_name(job, number, name);
    snprintf(problem, sizeof problem, "%" PRId64 " versions refer to it, the log knows of %" PRId64, found, known);
    verify->report(verify->context, name, problem);
}

/* Both are in the order of objects. */
static void compare_counts(struct values_verify *verify, const struct values_state *state,
                           const struct value_counts *counts) {
    size_t next = 0;
    for (uint64_t i = 0; i < state->object_count; i++) {
        const struct value_object *object = &state->objects[i];
        const struct value_count wanted = {.job = object->job, .number = object->number};
        while (next < counts->count && value_count_compare(&counts->all[next], &wanted) < 0) {
            report_count(verify, counts->all[next].job, counts->all[next].number, counts->all[next].count, 0);
            next++;
        }
        bool found = next < counts->count && value_count_compare(&counts->all[next], &wanted) == 0;
        report_count(verify, object->job, object->number, found ? counts->all[next++].count : 0, object->references);
    }
    for (; next < counts->count; next++)
        report_count(verify, counts->all[next].job, counts->all[next].number, counts->all[next].count, 0);
}

static void report_stray(void *context, const char *name) {
    struct values_verify *verify = context;
    verify->report(verify->context, name, "nothing refers to it, and the log does not know it");
}

enum plinth_status values_verify(struct values_verify *verify, struct plinth *db, struct plinth_error *error) {
    struct values_state state;
    struct value_counts counts = {0};
    enum plinth_status st = state_take(db, &state, error);
    for (uint64_t i = 0; !st && i < state.space_count; i++)
        st = check_space(verify, db, &state, state.spaces[i], &counts, error);
    if (!st) {
        value_counts_fold(&counts);
        compare_counts(verify, &state, &counts);
        st = values_visit_strays(db, report_stray, verify, error);
    }
    value_counts_deinit(&counts);
    state_release(&state);
    return st;
}
