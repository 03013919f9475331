/* A merge is read from its view, written under its job, and committed by a MERGE_COMMIT record that names every segment
 * taken: flushes may have put runs in front since, and merges of other keys may have changed the same runs. */
#include "engine/compact.h"

#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/merge_change.h"
#include "engine/purge.h"
#include "engine/table_ddl.h"
#include "engine/value_store.h"
#include "table/covered.h"

enum { ROWS_BETWEEN_CHECKS = 1024 };

/* Whether an entry of a key space's index, at or below the horizon, is still what its key's row says. Versions above
 * the horizon may go back to no older entry, so an entry that is dead at the horizon is dead for good. */
static enum plinth_status entry_is_live(struct merge *merge, const struct row *entry, struct buffer *stored,
                                        struct buffer *value, bool *live, struct plinth_error *error) {
    struct reader reader = reader_of(entry->key);
    buffer_clear(value);
    buffer_clear(stored);
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, merge->indexed);
    if (!escaped_decode(&reader, value))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index table %u at position %llu",
                         merge->table.table, (unsigned long long)entry->lsn);
    if (!engine_stored_key(stored, merge->indexed, slice_of(reader.at, reader_left(&reader))))
        return error_no_memory(error, "index entry");
    struct segment_hit hit;
    enum plinth_status st = view_get(merge->view, merge->indexed, buffer_slice(stored), prefix_size, merge->horizon_lsn,
                                     merge->expired_us, SEGMENT_LSN_ONLY, &hit, error);
    *live = !st && hit.row.lsn == entry->lsn && hit.row.operation == ROW_SET;
    if (!st) segment_hit_release(&hit);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

enum plinth_status merge_open_inputs(struct merge *merge, struct iterator **merged, struct plinth_error *error) {
    struct iterator **inputs = malloc(merge->count * sizeof *inputs);
    if (!inputs) return error_no_memory(error, "compaction");
    enum plinth_status st = PLINTH_OK;
    size_t opened = 0;
    for (size_t i = 0; !st && i < merge->count; i++) {
        if (!merge->inputs[i].part) continue;
        struct run *part = merge->inputs[i].part;
        st = run_iterator_open(part, false, &inputs[opened], error);
        bool counts = run_references(part) != 0; /* then every row is met, also where others could be passed */
        if (!st && counts) st = counting_iterator_open(inputs[opened], &merge->values, &inputs[opened], error);
        if (!st && merge->ranges.count)
            st = covered_iterator_open(inputs[opened], counts ? NULL : part, &merge->ranges, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = merge_open(inputs, opened, merged, error);
    else
        for (size_t i = 0; i < opened; i++) iterator_close(inputs[i]);
    free(inputs);
    return st;
}

enum plinth_status merge_check(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    engine_balance_memory_at_times(db);
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    if (closing) return error_set(error, PLINTH_CANCELLED, "the engine is closing");
    if (merge->cancelled && atomic_load(merge->cancelled))
        return error_set(error, PLINTH_CANCELLED, "the merge was cancelled");
    return PLINTH_OK;
}

void merge_note_rows(struct merge *merge, uint64_t rows) {
    merge->rows_in += rows;
    if (merge->progress) counter_add(merge->progress, rows);
}

void merge_note_dropped(struct merge *merge) {
    uint64_t all = 0;
    for (size_t i = 0; i < merge->count; i++) all += merge->inputs[i].part ? run_rows(merge->inputs[i].part) : 0;
    if (all > merge->rows_in) merge_note_rows(merge, all - merge->rows_in);
}

enum plinth_status merge_cut(struct merge *merge, struct output *output, struct slice key, size_t *cut,
                             struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (; !st && *cut < merge->cut_count && slice_compare(merge->cuts[*cut], key) <= 0; ++*cut)
        st = output_finish(output, error);
    return st;
}

static bool merge_may_expire(const struct merge *merge) {
    for (size_t i = 0; i < merge->count; i++)
        if (merge->inputs[i].part && run_may_expire(merge->inputs[i].part, merge->expired_us)) return true;
    return false;
}

static enum plinth_status merge_space(struct merge *merge, struct output *output, struct plinth_error *error) {
    struct iterator *merged = NULL;
    struct purge purge;
    struct buffer stored = BUFFER_INIT, value = BUFFER_INIT;
    bool index = merge->indexed.table != 0;
    uint64_t rows = 0;
    size_t cut = 0;
    purge_init(&purge, merge->horizon_lsn, merge->bottom);
    enum plinth_status st = output_begin_table(output, merge->table, index, error);
    if (merge->ranges.count) output->purged_lsn = merge->horizon_lsn;
    if (!st) st = merge_open_inputs(merge, &merged, error);
    if (!st && !index && merge_may_expire(merge))
        st = expiring_iterator_open(merged, merge->expired_us, &merged, error);
    if (!st) st = iterator_seek_first(merged, error);
    while (!st && merged->valid) {
        bool at_horizon, live = true;
        if (++rows % ROWS_BETWEEN_CHECKS == 0) {
            merge_note_rows(merge, ROWS_BETWEEN_CHECKS);
            st = merge_check(merge, error);
            if (st) break;
        }
        enum purge_verdict verdict = purge_judge(&purge, &merged->row, &at_horizon);
        if (verdict == PURGE_NO_MEMORY) st = error_no_memory(error, "compaction");
        if (verdict == PURGE_KEEP && index && at_horizon)
            st = entry_is_live(merge, &merged->row, &stored, &value, &live, error);
        if (!st && verdict == PURGE_KEEP && live) {
            st = merge_cut(merge, output, merged->row.key, &cut, error);
            if (!st) st = output_add(output, &merged->row, error);
        }
        if (!st) st = iterator_next(merged, error);
    }
    if (!st) st = output_finish(output, error);
    merge_note_rows(merge, rows % ROWS_BETWEEN_CHECKS);
    iterator_close(merged);
    purge_deinit(&purge);
    buffer_deinit(&stored);
    buffer_deinit(&value);
    return st;
}

/* The references of rows that are dropped unseen. */
static enum plinth_status count_values(struct merge *merge, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < merge->count; i++) {
        struct iterator *it;
        if (!merge->inputs[i].part || !run_references(merge->inputs[i].part)) continue;
        st = run_iterator_open(merge->inputs[i].part, false, &it, error);
        if (!st) st = counting_iterator_open(it, &merge->values, &it, error);
        if (st) break;
        uint64_t rows = 0;
        st = iterator_seek_first(it, error);
        while (!st && it->valid) {
            if (++rows % ROWS_BETWEEN_CHECKS == 0) st = merge_check(merge, error);
            if (!st) st = iterator_next(it, error);
        }
        iterator_close(it);
    }
    return st;
}

static enum plinth_status write_merged(struct merge *merge, struct output *output, struct plinth_error *error) {
    if (merge->is_move) return PLINTH_OK;
    if (merge->is_dropping || merge->is_covered) return count_values(merge, error);
    if (!merge->schema) return merge_space(merge, output, error);
    return merge->index ? merge_row_index(merge, output, error) : merge_rows(merge, output, error);
}

/* ---- commit ---- */

/* Segments that a run is made of, before it is. */
struct segment_list {
    struct segment **segments; /* a reference each */
    size_t count, capacity;
};

static bool list_add(struct segment_list *list, struct segment *segment) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct segment **grown = realloc(list->segments, capacity * sizeof *grown);
        if (!grown) return false;
        list->segments = grown;
        list->capacity = capacity;
    }
    list->segments[list->count++] = segment_ref(segment);
    return true;
}

/* Makes a run of the list, which is empty then; null for no segments. */
static enum plinth_status list_make_run(struct segment_list *list, struct run **run, struct plinth_error *error) {
    size_t count = list->count;
    *run = NULL;
    list->count = 0;
    return count ? run_create(list->segments, count, run, error) : PLINTH_OK;
}

static void list_deinit(struct segment_list *list) {
    for (size_t i = 0; i < list->count; i++) segment_unref(list->segments[i]);
    free(list->segments);
}

/* Where the run with this id stands; table->run_count when it is gone. */
static size_t find_input(const struct merge *merge, const struct view_table *table, uint64_t id) {
    size_t at = 0;
    while (at < table->run_count &&
           !(table->runs[at].id == id && partition_compare(table->runs[at].has_partition, table->runs[at].partition,
                                                           merge->has_partition, merge->partition) == 0))
        at++;
    return at;
}

/* What stays of an input's run, and in the last one the output in its place; `*before` is the segment behind that. */
static enum plinth_status list_segments(const struct merge *merge, const struct merge_input *input, struct run *now,
                                        struct run *made, struct segment_list *list, struct segment **before,
                                        struct plinth_error *error) {
    size_t taken = 0, put = made ? 0 : SIZE_MAX;
    bool ok = true;
    *before = NULL;
    for (size_t s = 0; ok && s < run_segment_count(now); s++) {
        struct segment *segment = run_segment(now, s);
        if (taken < input->taken.count && run_segment(input->part, taken) == segment) {
            taken++;
            continue;
        }
        if (put == 0 && slice_compare(buffer_slice(&segment_info(segment)->key_min),
                                      buffer_slice(&segment_info(run_segment(made, 0))->key_min)) > 0) {
            *before = segment;
            for (; ok && put < run_segment_count(made); put++) ok = list_add(list, run_segment(made, put));
        }
        ok = ok && list_add(list, segment);
    }
    for (; ok && made && put < run_segment_count(made); put++) ok = list_add(list, run_segment(made, put));
    if (!ok) return error_no_memory(error, "compaction");
    if (taken == input->taken.count) return PLINTH_OK;
    return error_set(error, PLINTH_CANCELLED, "segments of table %u were replaced while they were merged",
                     merge->table.table);
}

/* Changes the view: `made` (null: nothing) takes the place of what was taken. */
static enum plinth_status edit_view(const struct merge *merge, struct view *view, struct run *made,
                                    struct segment **before, struct plinth_error *error) {
    struct view_table *table = (struct view_table *)view_find_table(view, merge->table);
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < merge->count; i++) {
        const struct merge_input *input = &merge->inputs[i];
        size_t at = table ? find_input(merge, table, input->id) : 0;
        if (!table || at == table->run_count)
            return error_set(error, PLINTH_CANCELLED, "table %u was changed while it was merged", merge->table.table);
        bool last = i + 1 == merge->count;
        struct segment_list list = {0};
        struct run *run = NULL;
        st = list_segments(merge, input, table->runs[at].run, last ? made : NULL, &list, before, error);
        if (!st) st = list_make_run(&list, &run, error);
        list_deinit(&list);
        if (st) return st;
        if (run) {
            run_unref(table->runs[at].run);
            table->runs[at].run = run;
            if (last && table->runs[at].level < merge->level) table->runs[at].level = merge->level;
        } else {
            view_drop_runs(view, merge->table, at, 1);
        }
    }
    return st;
}

/* Describes the merge for the log. Names are borrowed from the segments. */
static bool describe_change(const struct merge *merge, const struct output *output, const struct segment *before,
                            struct merge_change *change) {
    *change = (struct merge_change){.job = merge->job,
                                    .table = merge->table,
                                    .has_partition = merge->has_partition,
                                    .partition = merge->partition,
                                    .level = merge->level};
    if (before) change->before = slice_of_string(segment_info(before)->name);
    change->runs = calloc(merge->count, sizeof *change->runs);
    const struct run *moved = NULL;
    for (size_t i = 0; change->runs && i < merge->count; i++) {
        struct merge_change_run *run = &change->runs[change->run_count++];
        const struct run *part = merge->inputs[i].part;
        run->id = merge->inputs[i].id;
        run->taken = calloc((part ? run_segment_count(part) : 0) + 1, sizeof *run->taken);
        for (size_t s = 0; run->taken && part && s < run_segment_count(part); s++)
            run->taken[run->taken_count++] = slice_of_string(segment_info(run_segment(part, s))->name);
        if (!run->taken) return false;
        if (merge->is_move && part) moved = part;
    }
    uint64_t count = moved ? run_segment_count(moved) : output->segment_count;
    change->outputs = calloc(count + 1, sizeof *change->outputs);
    for (; change->outputs && change->output_count < count; change->output_count++) {
        struct merge_change_output *to = &change->outputs[change->output_count];
        if (moved)
            to->moved = slice_of_string(segment_info(run_segment(moved, change->output_count))->name);
        else if (!segment_info_copy(&to->info, &output->segments[change->output_count]))
            return false;
    }
    return change->runs && change->outputs;
}

static enum plinth_status append_change(struct merge *merge, const struct output *output, const struct segment *before,
                                        uint64_t *lsn, struct decision *decision, struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    struct merge_change change;
    struct record_header header = {.kind = CHANGE_MERGE_COMMIT, .durability = RECORD_SYNCED};
    bool ok = describe_change(merge, output, before, &change) && merge_change_encode(&payload, &change);
    /* The first merge of a directory: an older version must not open it. */
    enum plinth_status st =
        ok ? engine_raise_feature_level(merge->db, FEATURE_LEVEL_MERGES, error) : error_no_memory(error, "compaction");
    if (!st) st = engine_append_locked(merge->db, &header, buffer_slice(&payload), NULL, 0, lsn, decision, error);
    merge_change_deinit(&change);
    buffer_deinit(&payload);
    return st;
}

/* The commit record and the new view. On success *view_sequence is the first view without the inputs. */
static enum plinth_status commit_merge(struct merge *merge, const struct output *output, struct run *made,
                                       uint64_t *lsn, uint64_t *view_sequence, struct plinth_error *error) {
    struct plinth *db = merge->db;
    struct decision decision = {VERDICT_APPLIED, 0};
    struct segment *before = NULL;
    *lsn = *view_sequence = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = view_edit(&db->views);
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "compaction");
    /* A snapshot that is made from here on shall see the new view: no state that one has seen is taken away. */
    if (merge->is_dropping) pthread_mutex_lock(&db->snapshot_mutex);
    if (!st && merge->is_dropping && db->snapshot_count)
        st = error_set(error, PLINTH_CANCELLED, "a snapshot needs what would be dropped");
    if (!st) st = edit_view(merge, view, made, &before, error);
    if (!st) st = append_change(merge, output, before, lsn, &decision, error);
    if (!st && decision.verdict != VERDICT_APPLIED)
        st = error_set(error, PLINTH_CONFLICT, "the log voided compaction %llu", (unsigned long long)merge->job);
    if (!st) {
        if (view->horizon_lsn < merge->horizon_lsn) view->horizon_lsn = merge->horizon_lsn;
        *view_sequence = view_publish(&db->views, view);
        values_note_view(db, *lsn, *view_sequence);
        view = NULL;
    }
    if (merge->is_dropping) pthread_mutex_unlock(&db->snapshot_mutex);
    pthread_mutex_unlock(&db->sequence_mutex);
    view_discard(view);
    if (*lsn && (!st || st == PLINTH_CONFLICT)) engine_sequenced(db, *lsn);
    return st;
}

static void note_inputs(struct merge *merge, uint64_t view_sequence) {
    for (size_t i = 0; i < merge->count; i++) {
        struct run *part = merge->inputs[i].part;
        for (size_t s = 0; part && s < run_segment_count(part); s++)
            engine_note_garbage(merge->db, segment_info(run_segment(part, s))->name, view_sequence);
    }
}

/* ---- the whole of it ---- */

/* What is merged: rows of a key space or typed table, or entries of an index of one. */
static enum plinth_status describe_table(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog *catalog = &db->shard.catalog;
    const struct catalog_table *table = catalog_table_by_id(catalog, merge->table.table), *of = table;
    if (table && table->kind == CATALOG_INDEX) {
        merge->indexed = (struct table_id){merge->table.tenant, merge->table.database, table->space};
        of = catalog_table_by_id(catalog, table->space);
    }
    bool has_rows = of && of->kind == CATALOG_ROWS;
    if (has_rows) merge->schema = catalog_schema_stored(of, merge->horizon_lsn);
    pthread_rwlock_unlock(&db->catalog_lock);
    if (has_rows && !merge->schema) return error_no_memory(error, "schema");
    if (merge->schema && merge->indexed.table) {
        merge->index = table_schema_find_index_id(merge->schema, merge->table.table);
        if (!merge->index) of = NULL;
    }
    return of ? PLINTH_OK : error_set(error, PLINTH_CANCELLED, "table %u was dropped", merge->table.table);
}

/* Makes the parts: of each input the segments taken. */
static enum plinth_status take_parts(struct merge *merge, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < merge->count; i++) {
        struct merge_input *input = &merge->inputs[i];
        struct segment_list list = {0};
        bool ok = true;
        for (size_t s = 0; ok && s < input->taken.count; s++)
            ok = list_add(&list, run_segment(input->run, input->taken.first + s));
        st = ok ? list_make_run(&list, &input->part, error) : error_no_memory(error, "compaction");
        list_deinit(&list);
        if (!st && input->part) merge->bytes_in += run_bytes(input->part);
    }
    return st;
}

/* The segments that are moved, as the run that goes into the last one. */
static struct run *moved_run(const struct merge *merge) {
    for (size_t i = 0; i < merge->count; i++)
        if (merge->inputs[i].part) return run_ref(merge->inputs[i].part);
    return NULL;
}

static void report(struct merge *merge, const struct output *output, uint64_t took_us) {
    struct engine_counters *counters = &merge->db->counters;
    if (merge->is_move) {
        counter_add(&counters->compaction_bytes_moved, merge->bytes_in);
        counter_add(&counters->compaction_moves, 1);
    } else {
        counter_add(&counters->compactions, 1);
        counter_add(&counters->compaction_rows_in, merge->rows_in);
        counter_add(&counters->compaction_rows_out, output->rows);
        counter_add(&counters->compaction_bytes_in, merge->bytes_in);
        counter_add(&counters->compaction_bytes_out, output->bytes);
        counter_add(&counters->compaction_us, took_us);
    }
    log_event(LOG_INFO,
              merge->is_dropping  ? "partition_dropped"
              : merge->is_covered ? "range_dropped"
              : merge->is_move    ? "segments_moved"
                                  : "runs_merged",
              "table=%u runs=%zu rows_in=%llu rows_out=%llu bytes_in=%llu bytes_out=%llu ms=%.1f why=\"%s\"",
              merge->table.table, merge->count, (unsigned long long)merge->rows_in, (unsigned long long)output->rows,
              (unsigned long long)merge->bytes_in, (unsigned long long)output->bytes, (double)took_us / 1000,
              merge->why ? merge->why : "");
}

/* A smaller table has nothing to gain that anybody would see. */
enum { THOROUGH_BYTES_MIN = 64 << 10 };

/* What something older overlaps is rewritten soon; at the bottom of a typed table that grows, each time it has doubled.
 * Level 6 of ZSTD costs several times as much as the rest of the merge, for a few percent. */
static enum segment_codec choose_codec(const struct merge *merge) {
    if (!merge->bottom) return SEGMENT_LZ4;
    if (merge->is_thorough && merge->bytes_in >= THOROUGH_BYTES_MIN) return SEGMENT_ZSTD_THOROUGH;
    return merge->is_lasting || !merge->schema ? SEGMENT_ZSTD : SEGMENT_ZSTD_FAST;
}

enum plinth_status merge_run(struct merge *merge, struct plinth_error *error) {
    struct plinth *db = merge->db;
    uint64_t began = env_monotonic_ns(db->env), lsn = 0, view_sequence = 0;
    struct run *made = NULL;
    struct output output = {0};
    enum plinth_status st = take_parts(merge, error);
    const bool writes = !merge->is_dropping && !merge->is_covered && !merge->is_move;
    if (!st) st = describe_table(merge, error);
    if (!st && writes) st = engine_take_merge_memory(db, merge->cancelled, error);
    if (st) return st;
    st = engine_begin_job(db, JOB_COMPACT, &merge->job, error);
    if (st) {
        if (writes) engine_give_merge_memory(db);
        return st;
    }
    uint64_t segment_bytes = db->sizes.segment_raw_bytes_max ? db->sizes.segment_raw_bytes_max : SEGMENT_RAW_BYTES_MAX;
    output_init(&output, db, merge->job, choose_codec(merge), segment_bytes);
    if (!merge->schema && !merge->indexed.table && !merge->is_covered && !merge->is_move)
        st = view_ranges(merge->view, merge->table, merge->horizon_lsn, &merge->ranges, error);
    if (!merge->schema || merge->schema->expire_column) merge->expired_us = engine_take_expiry_us(db);
    for (size_t i = 0; i < merge->count; i++)
        if (merge->inputs[i].part && run_references(merge->inputs[i].part)) output.values = &merge->values;
    if (!st) st = write_merged(merge, &output, error);
    if (!st) st = value_counts_append(&merge->values, db, merge->job, error);
    if (!st && merge->is_move) made = moved_run(merge);
    if (!st && output.segment_count) st = output_open_run(db, output.segments, output.segment_count, &made, error);
    if (!st) st = commit_merge(merge, &output, made, &lsn, &view_sequence, error);
    if (made) run_unref(made);
    if (!st) {
        /* The inputs may go only when the log cannot forget that they were replaced. */
        st = log_wait(db->log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, error);
        if (!st && !merge->is_move) note_inputs(merge, view_sequence);
        report(merge, &output, (env_monotonic_ns(db->env) - began) / 1000);
    } else if (!atomic_load(&db->failed)) {
        engine_abort_job(db, merge->job);
    }
    output_deinit(&output);
    if (writes) engine_give_merge_memory(db);
    return st;
}

void merge_deinit(struct merge *merge) {
    for (size_t i = 0; i < merge->count; i++) {
        run_unref(merge->inputs[i].part);
        run_unref(merge->inputs[i].read);
    }
    free(merge->inputs);
    range_view_deinit(&merge->ranges);
    value_counts_deinit(&merge->values);
    free(merge->cuts);
    table_schema_unref(merge->schema);
    *merge = (struct merge){0};
}
