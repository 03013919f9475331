/* Merging typed tables: rows as blocks, and the entries of sorted indexes.
 *
 * An entry at or below the horizon is live when the newest version of its row has an LSN not above the entry's: its
 * own, or, of an entry that a merge has settled, an older one. Settling is to give an entry that is live at the horizon
 * the horizon's LSN: whoever may read it sees the same, and LSNs that are all alike take no room. Any later version of
 * the row is above. Asking for one row
 * after the other in the order of the entries would decode a stripe for each; so entries are taken in batches, and the
 * rows of a batch looked up in the order of their keys, which reads each stripe once. */
#include "engine/compact.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/purge.h"
#include "engine/row_output.h"
#include "engine/rows.h"

enum { BATCH_ENTRIES = 64 * 1024, BATCH_BYTES = 16 << 20, ROWS_BETWEEN_NOTES = 1024 };

/* ---- rows ---- */

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status open_merge(struct merge *merge, const struct block_read *read, struct block_stream **merged,
                                     struct plinth_error *error) {
    const struct block_merge_options options = {
        .mode = MERGE_RETAIN, .lsn = merge->horizon_lsn, .bottom = merge->bottom};
    struct block_stream **inputs = malloc((merge->count + 1) * sizeof *inputs);
    enum plinth_status st = inputs ? PLINTH_OK : error_no_memory(error, "compaction");
    size_t opened = 0;
    for (size_t i = 0; !st && i < merge->count; i++) {
        if (!merge->inputs[i].part) continue;
        st = run_block_stream_open(merge->inputs[i].part, read, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    return st;
}

/* The rows between two cuts. */
static enum plinth_status merge_range(struct merge *merge, const struct block_read *read, struct row_output *rows,
                                      struct plinth_error *error) {
    struct block_stream *merged = NULL;
    enum plinth_status st = open_merge(merge, read, &merged, error);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = row_output_add(rows, block, error);
        merge_note_rows(merge, block->rows);
        row_block_unref(block);
        if (!st) st = merge_check(merge, error);
    }
    block_stream_close(merged);
    return st ? st : row_output_finish(rows, error);
}

enum plinth_status merge_rows(struct merge *merge, struct output *output, struct plinth_error *error) {
    const struct table_schema *schema = merge->schema;
    struct row_output rows;
    uint32_t *ids = malloc((schema->column_count + 1) * sizeof *ids);
    enum plinth_status st = ids ? PLINTH_OK : error_no_memory(error, "compaction");
    for (uint32_t i = 0; !st && i < schema->column_count; i++) ids[i] = schema->columns[i].id;
    if (!st) qsort(ids, schema->column_count, sizeof *ids, compare_ids);
    row_output_init(&rows, output, schema);
    if (!st) st = row_output_fix_partition(&rows, merge->has_partition, merge->partition, error);
    for (size_t cut = 0; !st && cut <= merge->cut_count; cut++) {
        const struct block_read read = {.schema = schema,
                                        .column_ids = ids,
                                        .column_count = schema->column_count,
                                        .with_keys = true,
                                        .lower = cut ? merge->cuts[cut - 1] : slice_of(NULL, 0),
                                        .upper = cut < merge->cut_count ? merge->cuts[cut] : slice_of(NULL, 0)};
        st = merge_range(merge, &read, &rows, error);
    }
    /* So far those that stay have been counted. */
    uint64_t all = 0;
    for (size_t i = 0; i < merge->count; i++) all += merge->inputs[i].part ? run_rows(merge->inputs[i].part) : 0;
    if (all > merge->rows_in) merge_note_rows(merge, all - merge->rows_in);
    row_output_deinit(&rows);
    free(ids);
    return st;
}

/* ---- entries ---- */

struct entry {
    struct slice key;
    struct slice row_key; /* of what is indexed: the end of `key` */
    uint64_t lsn;
    bool is_settled, is_dead;
};

struct entry_batch {
    struct merge *merge;
    struct output *output;
    struct column_type types[ROW_KEY_PARTS_MAX]; /* of the index's columns */
    struct arena arena;                          /* keys */
    struct entry *entries;                       /* BATCH_ENTRIES */
    uint32_t count;
    uint64_t bytes;
    struct entry **probes; /* those that may be dead, by row_key */
    uint32_t probe_count;
    struct slice *keys;
    struct row_place *places;
    size_t cut; /* the next one of the merge's */
};

static enum plinth_status batch_init(struct entry_batch *batch, struct merge *merge, struct output *output,
                                     struct plinth_error *error) {
    *batch = (struct entry_batch){.merge = merge, .output = output};
    arena_init(&batch->arena);
    batch->entries = malloc(BATCH_ENTRIES * sizeof *batch->entries);
    batch->probes = malloc(BATCH_ENTRIES * sizeof *batch->probes);
    batch->keys = malloc(BATCH_ENTRIES * sizeof *batch->keys);
    batch->places = malloc(BATCH_ENTRIES * sizeof *batch->places);
    if (!batch->entries || !batch->probes || !batch->keys || !batch->places)
        return error_no_memory(error, "index entries");
    for (uint32_t i = 0; i < merge->index->column_count; i++) {
        int32_t at = table_schema_find_id(merge->schema, merge->index->columns[i]);
        if (at < 0)
            return error_set(error, PLINTH_INTERNAL, "index %s is on a column that table %s does not have",
                             merge->index->name, merge->schema->name);
        batch->types[i] = merge->schema->columns[at].type;
    }
    return PLINTH_OK;
}

static void batch_deinit(struct entry_batch *batch) {
    free(batch->entries);
    free(batch->probes);
    free(batch->keys);
    free(batch->places);
    arena_deinit(&batch->arena);
}

static enum plinth_status batch_add(struct entry_batch *batch, const struct row *row, bool settles, bool may_be_dead,
                                    struct plinth_error *error) {
    struct entry *entry = &batch->entries[batch->count];
    const uint8_t *key = arena_copy(&batch->arena, row->key);
    if (!key) return error_no_memory(error, "index entries");
    *entry = (struct entry){.key = slice_of(key, row->key.size), .lsn = row->lsn, .is_settled = settles};
    struct reader reader = reader_of(entry->key);
    if (!row_key_skip(&reader, batch->types, batch->merge->index->column_count))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index table %u at position %llu",
                         batch->merge->table.table, (unsigned long long)row->lsn);
    entry->row_key = slice_of(reader.at, reader_left(&reader));
    if (may_be_dead) batch->probes[batch->probe_count++] = entry;
    batch->count++;
    batch->bytes += row->key.size;
    return PLINTH_OK;
}

static int compare_probes(const void *a, const void *b) {
    return slice_compare((*(struct entry *const *)a)->row_key, (*(struct entry *const *)b)->row_key);
}

/* Finds the dead entries of the batch. */
static enum plinth_status probe_rows(struct entry_batch *batch, struct plinth_error *error) {
    struct merge *merge = batch->merge;
    if (!batch->probe_count) return PLINTH_OK;
    qsort(batch->probes, batch->probe_count, sizeof *batch->probes, compare_probes);
    for (uint32_t i = 0; i < batch->probe_count; i++) batch->keys[i] = batch->probes[i]->row_key;
    enum plinth_status st = view_find_rows(merge->view, merge->schema, batch->keys, batch->probe_count,
                                           merge->horizon_lsn, batch->places, error);
    for (uint32_t i = 0; !st && i < batch->probe_count; i++) {
        const struct row_place *place = &batch->places[i];
        batch->probes[i]->is_dead = !place->lsn || place->lsn > batch->probes[i]->lsn || place->operation != ROW_SET;
        row_place_release(&batch->places[i]);
    }
    return st;
}

/* Writes the live entries and empties the batch. */
static enum plinth_status batch_write(struct entry_batch *batch, struct plinth_error *error) {
    enum plinth_status st = probe_rows(batch, error);
    for (uint32_t i = 0; !st && i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->is_dead) continue;
        uint64_t lsn = entry->is_settled ? batch->merge->horizon_lsn : entry->lsn;
        const struct row row = {.key = entry->key, .lsn = lsn, .operation = ROW_SET};
        st = merge_cut(batch->merge, batch->output, entry->key, &batch->cut, error);
        if (!st) st = output_add(batch->output, &row, error);
    }
    batch->count = batch->probe_count = 0;
    batch->bytes = 0;
    arena_reset(&batch->arena);
    return st ? st : merge_check(batch->merge, error);
}

/* Rows of the indexed table when each partition is one run in which no row is dead; UINT64_MAX otherwise. */
static uint64_t plain_rows(const struct merge *merge) {
    const struct view_table *table = view_find_table(merge->view, merge->indexed);
    uint64_t rows = 0;
    for (size_t i = 0; table && i < table->run_count; i++) {
        if (i && view_partition_end(table, i - 1) != i) return UINT64_MAX;
        for (size_t s = 0; s < run_segment_count(table->runs[i].run); s++) {
            const struct segment_info *info = segment_info(run_segment(table->runs[i].run, s));
            if (info->superseded || info->deletes) return UINT64_MAX;
            rows += info->rows;
        }
    }
    return rows;
}

static bool has_rows_in_memory(const struct merge *merge) {
    bool any = false;
    for (size_t m = 0; !any && m < merge->view->memtable_count; m++) {
        struct memtable_blocks blocks;
        memtable_blocks(merge->view->memtables[m].memtable, merge->indexed, &blocks);
        for (size_t i = 0; i < blocks.count; i++) any |= blocks.blocks[i]->lsn_min <= merge->horizon_lsn;
        memtable_blocks_release(&blocks);
    }
    return any;
}

/* Whether no entry can be dead: rows never change and never go; or there are exactly as many entries as rows, none of
 * which is dead, and each row has its entry, as it has once the index is built. */
static bool all_are_live(const struct merge *merge) {
    if (!merge->schema->key_count && !merge->schema->retention_us) return true;
    if (!merge->is_all || merge->index->state != INDEX_READY) return false;
    uint64_t entries = 0;
    for (size_t i = 0; i < merge->count; i++) entries += run_rows(merge->inputs[i].run);
    return entries == plain_rows(merge) && !has_rows_in_memory(merge);
}

enum plinth_status merge_row_index(struct merge *merge, struct output *output, struct plinth_error *error) {
    struct iterator *merged = NULL;
    struct purge purge;
    struct entry_batch batch;
    bool probe = !all_are_live(merge);
    uint64_t rows = 0;
    bool settle = merge->schema->key_count > 0; /* else the LSN is half of what the row is found by */
    purge_init(&purge, merge->horizon_lsn, merge->bottom);
    enum plinth_status st = batch_init(&batch, merge, output, error);
    if (!st) st = output_begin_index(output, merge->schema, merge->index, error);
    if (!st) st = merge_open_inputs(merge, &merged, error);
    if (!st) st = iterator_seek_first(merged, error);
    while (!st && merged->valid) {
        bool at_horizon;
        if (++rows % ROWS_BETWEEN_NOTES == 0) merge_note_rows(merge, ROWS_BETWEEN_NOTES);
        enum purge_verdict verdict = purge_judge(&purge, &merged->row, &at_horizon);
        if (verdict == PURGE_NO_MEMORY) st = error_no_memory(error, "compaction");
        if (verdict == PURGE_KEEP)
            st = batch_add(&batch, &merged->row, settle && at_horizon, probe && at_horizon, error);
        if (!st && (batch.count == BATCH_ENTRIES || batch.bytes >= BATCH_BYTES)) st = batch_write(&batch, error);
        if (!st) st = iterator_next(merged, error);
    }
    if (!st) st = batch_write(&batch, error);
    if (!st) st = output_finish(output, error);
    merge_note_rows(merge, rows % ROWS_BETWEEN_NOTES);
    iterator_close(merged);
    purge_deinit(&purge);
    batch_deinit(&batch);
    return st;
}
