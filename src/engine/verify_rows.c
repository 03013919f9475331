#include "engine/verify_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/index_doubles.h"
#include "engine/rows.h"

enum { BATCH_ENTRIES = 4096 };

/* ---- rows ---- */

static enum plinth_status open_scan(struct view *view, uint64_t lsn, const struct block_read *read,
                                    struct block_stream **merged, struct plinth_error *error) {
    struct row_sources sources;
    size_t opened = 0;
    const struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = lsn};
    enum plinth_status st = view_row_sources(view, read->schema->id, &sources, error);
    if (st) return st;
    struct block_stream **inputs = malloc((sources.block_count + sources.run_count + 1) * sizeof *inputs);
    if (!inputs) st = error_no_memory(error, "verify");
    for (size_t i = 0; !st && i < sources.block_count; i++) {
        st = row_block_stream_open(sources.blocks[i], read, &inputs[opened], error);
        opened += !st;
    }
    for (size_t i = 0; !st && i < sources.run_count; i++) {
        st = run_block_stream_open(sources.runs[i].run, read, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    row_sources_deinit(&sources);
    return st;
}

static enum plinth_status count_rows(struct view *view, uint64_t lsn, const struct table_schema *schema, uint64_t *rows,
                                     struct plinth_error *error) {
    struct block_stream *merged = NULL;
    const struct block_read read = {.schema = schema, .with_keys = true};
    enum plinth_status st = open_scan(view, lsn, &read, &merged, error);
    *rows = 0;
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        *rows += block->rows;
        row_block_unref(block);
    }
    block_stream_close(merged);
    return st;
}

/* ---- entries ---- */

struct checked_entry {
    struct slice head, row_key; /* the values, and the key of the row */
    uint64_t lsn;
};

struct index_check {
    struct rows_verify *verify;
    struct view *view;
    uint64_t lsn;
    const struct table_schema *schema;
    const struct table_index *index;
    struct column_type types[ROW_KEY_PARTS_MAX];
    struct arena arena;
    struct checked_entry entries[BATCH_ENTRIES];
    uint32_t count;
    struct slice keys[BATCH_ENTRIES];
    struct row_place places[BATCH_ENTRIES], live[BATCH_ENTRIES];
    const struct checked_entry *of[BATCH_ENTRIES]; /* of live[i] */
    uint64_t live_entries;
};

static void report_entry(const struct index_check *check, const struct checked_entry *entry, const char *problem) {
    char what[256];
    int used = snprintf(what, sizeof what, "index \"%.64s\" of table \"%.64s\", row 0x", check->index->name,
                        check->schema->name);
    for (size_t i = 0; i < entry->row_key.size && i < 24; i++)
        used += snprintf(what + used, sizeof what - (size_t)used, "%02x", entry->row_key.data[i]);
    check->verify->report(check->verify->context, what, problem);
}

static int compare_entries(const void *a, const void *b) {
    return slice_compare(((const struct checked_entry *)a)->row_key, ((const struct checked_entry *)b)->row_key);
}

/* The heads of rows in a batch that has the index's columns, by id. */
static bool heads_of(struct arena *arena, const struct table_schema *schema, const struct table_index *index,
                     const struct batch *rows, const uint32_t *ids, uint32_t id_count, struct index_heads *heads) {
    const struct column *columns[ROW_KEY_PARTS_MAX] = {0};
    uint32_t parts = table_index_entry_parts(index);
    for (uint32_t i = 0; i < parts; i++)
        for (uint32_t c = 0; c < id_count; c++)
            if (ids[c] == table_index_part_column(index, i)) columns[i] = &rows->columns[c];
    return index_heads_encode(arena, schema, index, parts, columns, rows->rows, heads);
}

/* Compares the live entries with the values of their rows. */
static enum plinth_status compare_values(struct index_check *check, uint32_t live, struct plinth_error *error) {
    struct batch *rows = NULL;
    struct index_heads heads = {0};
    struct arena arena;
    uint32_t ids[ROW_KEY_PARTS_MAX], id_count = table_index_columns(check->index, ids);
    arena_init(&arena);
    enum plinth_status st = row_places_read(check->live, live, check->schema, ids, id_count, &rows, error);
    if (!st && !heads_of(&arena, check->schema, check->index, rows, ids, id_count, &heads))
        st = error_no_memory(error, "verify");
    for (uint32_t i = 0, at = 0; !st && i < live; i++) {
        bool same = !heads.rows && slice_equal(row_keys_at(&heads.keys, i), check->of[i]->head);
        while (heads.rows && at < heads.count && heads.rows[at] < i) at++;
        for (uint32_t h = at; heads.rows && h < heads.count && heads.rows[h] == i && !same; h++)
            same = slice_equal(row_keys_at(&heads.keys, h), check->of[i]->head);
        if (!same) report_entry(check, check->of[i], "the entry has other values than the row");
    }
    batch_unref(rows);
    arena_deinit(&arena);
    return st;
}

/* How many entries the rows ask for: as many as there are, but of an index on the elements of lists. */
static enum plinth_status count_entries(struct view *view, uint64_t lsn, const struct table_schema *schema,
                                        const struct table_index *index, uint64_t rows, uint64_t *entries,
                                        struct plinth_error *error) {
    uint32_t ids[ROW_KEY_PARTS_MAX], id_count = table_index_columns(index, ids);
    struct block_stream *merged = NULL;
    const struct block_read read = {.schema = schema, .column_ids = ids, .column_count = id_count, .with_keys = true};
    struct arena arena;
    *entries = rows;
    if (table_index_elements(index) < 0) return PLINTH_OK;
    *entries = 0;
    arena_init(&arena);
    enum plinth_status st = open_scan(view, lsn, &read, &merged, error);
    while (!st) {
        struct row_block *block;
        struct index_heads heads;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        arena_reset(&arena);
        if (heads_of(&arena, schema, index, block->columns, block->column_ids, id_count, &heads))
            *entries += heads.count;
        else
            st = error_no_memory(error, "verify");
        row_block_unref(block);
    }
    block_stream_close(merged);
    arena_deinit(&arena);
    return st;
}

static enum plinth_status check_batch(struct index_check *check, struct plinth_error *error) {
    qsort(check->entries, check->count, sizeof *check->entries, compare_entries);
    for (uint32_t i = 0; i < check->count; i++) check->keys[i] = check->entries[i].row_key;
    enum plinth_status st =
        view_find_rows(check->view, check->schema, check->keys, check->count, check->lsn, check->places, error);
    if (st) return st;
    uint32_t live = 0;
    for (uint32_t i = 0; i < check->count; i++) {
        const struct row_place *place = &check->places[i];
        if (!place->lsn || place->lsn > check->entries[i].lsn || place->operation != ROW_SET) continue;
        check->of[live] = &check->entries[i];
        check->live[live++] = check->places[i];
    }
    if (live) st = compare_values(check, live, error);
    for (uint32_t i = 0; i < check->count; i++) row_place_release(&check->places[i]);
    check->live_entries += live;
    check->count = 0;
    arena_reset(&check->arena);
    return st;
}

/* An entry above the LSN read is not looked at. */
static enum plinth_status add_entry(struct index_check *check, const struct row *row, struct plinth_error *error) {
    if (row->lsn > check->lsn) return PLINTH_OK;
    const uint8_t *bytes = arena_copy(&check->arena, row->key);
    if (!bytes) return error_no_memory(error, "verify");
    struct checked_entry *entry = &check->entries[check->count];
    *entry = (struct checked_entry){.row_key = slice_of(bytes, row->key.size), .lsn = row->lsn};
    check->verify->index_entries++;
    struct reader reader = reader_of(entry->row_key);
    if (!row_key_skip(&reader, check->types, table_index_entry_parts(check->index))) {
        report_entry(check, entry, "malformed entry");
        return PLINTH_OK;
    }
    entry->head = slice_of(bytes, (size_t)(reader.at - bytes));
    entry->row_key = slice_of(reader.at, reader_left(&reader));
    return ++check->count == BATCH_ENTRIES ? check_batch(check, error) : PLINTH_OK;
}

/* Values that several rows have. */
static enum plinth_status check_doubles(const struct index_check *check, struct plinth_error *error) {
    struct index_doubles doubles;
    char what[256], problem[512];
    enum plinth_status st = view_find_doubles(check->view, check->lsn, check->verify->time_us, check->schema,
                                              check->index, &doubles, error);
    if (!st && doubles.values) {
        snprintf(what, sizeof what, "unique index \"%.64s\" of table \"%.64s\"", check->index->name,
                 check->schema->name);
        snprintf(problem, sizeof problem, "%" PRIu64 " values are there more than once: %.*s", doubles.values,
                 (int)(doubles.first.size < 400 ? doubles.first.size : 400), (const char *)doubles.first.data);
        check->verify->report(check->verify->context, what, problem);
    }
    buffer_deinit(&doubles.first);
    return st;
}

static enum plinth_status check_index(struct index_check *check, uint64_t rows, struct plinth_error *error) {
    struct iterator *it = NULL;
    for (uint32_t i = 0; i < table_index_entry_parts(check->index); i++)
        check->types[i] = table_index_part_type(check->schema, check->index, i);
    enum plinth_status st = view_index_iterator(check->view, check->schema, check->index, &it, error);
    if (!st) st = iterator_seek_first(it, error);
    while (!st && it->valid) {
        st = add_entry(check, &it->row, error);
        if (!st) st = iterator_next(it, error);
    }
    if (!st) st = check_batch(check, error);
    iterator_close(it);
    uint64_t entries = rows;
    if (!st) st = count_entries(check->view, check->lsn, check->schema, check->index, rows, &entries, error);
    if (!st && check->index->unique) st = check_doubles(check, error);
    if (st || check->live_entries == entries) return st;
    char what[256], problem[128];
    snprintf(what, sizeof what, "index \"%.64s\" of table \"%.64s\"", check->index->name, check->schema->name);
    snprintf(problem, sizeof problem, "%" PRIu64 " live entries, and the rows ask for %" PRIu64, check->live_entries,
             entries);
    check->verify->report(check->verify->context, what, problem);
    return PLINTH_OK;
}

enum plinth_status rows_verify(struct rows_verify *verify, struct view *view, uint64_t lsn,
                               const struct table_schema *schema, struct plinth_error *error) {
    uint64_t rows;
    enum plinth_status st = count_rows(view, lsn, schema, &rows, error);
    if (!st) verify->rows += rows;
    for (uint32_t i = 0; !st && i < schema->index_count; i++) {
        if (schema->indexes[i].kind != INDEX_SORTED || schema->indexes[i].state != INDEX_READY) continue;
        struct index_check *check = calloc(1, sizeof *check);
        if (!check) return error_no_memory(error, "verify");
        *check = (struct index_check){
            .verify = verify, .view = view, .lsn = lsn, .schema = schema, .index = &schema->indexes[i]};
        arena_init(&check->arena);
        st = check_index(check, rows, error);
        arena_deinit(&check->arena);
        free(check);
    }
    return st;
}
