/* Merging the entries of a typed table's sorted index, as blocks of the columns that they are made of.
 *
 * An entry at or below the horizon is live when the newest version of its row has an LSN not above the entry's: its
 * own, or, of an entry that a merge has settled, an older one. Settling is to give an entry that is live at the horizon
 * the horizon's LSN: whoever may read it sees the same, and LSNs that are all alike take no room. Any later version of
 * the row is above.
 *
 * Readers look at the row anyway, so a dead entry costs room and time but never a wrong answer, while looking up every
 * row costs more than all else that a merge does. Hence rows are looked up only when that is likely to pay: when
 * somebody asked for the merge, when the policy made it for the sake of dead entries, or when it goes to the bottom,
 * where entries stay long, and a part of all entries must be dead (dead_entries.h). Otherwise entries keep their LSNs,
 * and of equal ones the newest at the horizon is kept. A table whose rows are written once is never looked into.
 *
 * Asking for one row after the other in the order of the entries would decode a stripe for each; so the rows of a block
 * are looked up in the order of their keys, which reads each stripe once. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/compact.h"
#include "engine/dead_entries.h"
#include "engine/row_output.h"
#include "engine/rows.h"
#include "table/row_segment_entries.h"

enum {
    BLOCK_ENTRIES = 64 * 1024, /* looked up together */
    DEAD_PART = 16,            /* look-ups pay when one entry in so many is dead */
};

/* ---- whether to look up ---- */

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

/* Whether the index still has the runs of the merge's view. That view is older than the state of the index: steps of
 * its build may have come in between. */
static bool has_same_runs(const struct merge *merge) {
    struct view *now = view_current(&merge->db->views);
    const struct view_table *a = view_find_table(merge->view, merge->table), *b = view_find_table(now, merge->table);
    bool same = a && b && a->run_count == b->run_count;
    for (size_t i = 0; same && i < a->run_count; i++) same = a->runs[i].id == b->runs[i].id;
    view_unref(now);
    return same;
}

/* Whether no entry can be dead: rows never change and never go; or there are exactly as many entries as rows, none of
 * which is dead, and each row has its entry, as it has once the index is built. */
static bool all_are_live(const struct merge *merge) {
    const struct table_schema *schema = merge->schema;
    if (!schema->key_count && !schema->retention_us && !schema->expire_column) return true;
    if (!table_index_has_one_entry_a_row(merge->index)) return false;
    if (!merge->is_all || merge->index->state != INDEX_READY || !has_same_runs(merge)) return false;
    uint64_t entries = 0;
    for (size_t i = 0; i < merge->count; i++) entries += run_rows(merge->inputs[i].run);
    return entries == plain_rows(merge) && !has_rows_in_memory(merge);
}

static bool look_ups_pay(const struct merge *merge) {
    uint64_t entries;
    if (merge->is_lasting || merge->is_purging) return true;
    if (!merge->bottom) return false;
    if (!table_index_has_one_entry_a_row(merge->index)) return true; /* counting tells nothing */
    uint64_t dead = dead_entries_least(merge->view, merge->table, merge->indexed, true, merge->horizon_lsn, &entries);
    return dead > 0 && dead >= entries / DEAD_PART;
}

/* ---- entries of a block ---- */

struct probe {
    struct slice row_key; /* of what is indexed: the end of the entry's key */
    uint32_t entry;
};

struct entry_merge {
    struct merge *merge;
    struct table_schema *entries; /* the columns of an entry */
    uint32_t *column_ids;         /* ascending */
    bool looks_up, settles;
    struct row_output output;
    struct column_type heads[ROW_KEY_PARTS_MAX]; /* types of the entries' parts */
    uint32_t capacity;                           /* of the arrays below */
    struct probe *probes;
    struct slice *keys;
    struct row_place *places;
    uint8_t *is_dead;
    struct row_stretch *live;
};

static void entry_merge_deinit(struct entry_merge *em) {
    row_output_deinit(&em->output);
    table_schema_unref(em->entries);
    free(em->column_ids);
    free(em->probes);
    free(em->keys);
    free(em->places);
    free(em->is_dead);
    free(em->live);
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status entry_merge_init(struct entry_merge *em, struct merge *merge, struct output *output,
                                           struct plinth_error *error) {
    const struct table_index *index = merge->index;
    bool live = all_are_live(merge);
    *em = (struct entry_merge){.merge = merge, .looks_up = !live && look_ups_pay(merge)};
    /* Without a key the LSN is half of what the row is found by. */
    em->settles = merge->schema->key_count > 0 && (live || em->looks_up);
    enum plinth_status st = row_entries_schema(merge->schema, index, &em->entries, error);
    if (st) return st;
    row_output_init_entries(&em->output, output, em->entries, index);
    em->column_ids = malloc(em->entries->column_count * sizeof *em->column_ids);
    if (!em->column_ids) return error_no_memory(error, "index entries");
    for (uint32_t i = 0; i < em->entries->column_count; i++) em->column_ids[i] = em->entries->columns[i].id;
    qsort(em->column_ids, em->entries->column_count, sizeof *em->column_ids, compare_ids);
    for (uint32_t i = 0; i < table_index_entry_parts(index); i++)
        em->heads[i] = em->entries->columns[table_schema_find_id(em->entries, table_index_part_id(index, i))].type;
    return PLINTH_OK;
}

static bool reserve(struct entry_merge *em, uint32_t count) {
    if (count <= em->capacity) return true;
    em->capacity = 0;
    free(em->probes);
    free(em->keys);
    free(em->places);
    free(em->is_dead);
    free(em->live);
    em->probes = malloc(count * sizeof *em->probes);
    em->keys = malloc(count * sizeof *em->keys);
    em->places = malloc(count * sizeof *em->places);
    em->is_dead = malloc(count);
    em->live = malloc(count * sizeof *em->live);
    if (!em->probes || !em->keys || !em->places || !em->is_dead || !em->live) return false;
    em->capacity = count;
    return true;
}

static int compare_probes(const void *a, const void *b) {
    return slice_compare(((const struct probe *)a)->row_key, ((const struct probe *)b)->row_key);
}

/* Marks the entries whose rows have moved on; gives how many. */
static enum plinth_status find_dead(struct entry_merge *em, const struct row_block *block, uint32_t *dead,
                                    struct plinth_error *error) {
    struct merge *merge = em->merge;
    uint32_t count = 0;
    *dead = 0;
    if (!reserve(em, block->rows)) return error_no_memory(error, "index entries");
    memset(em->is_dead, 0, block->rows);
    for (uint32_t i = 0; i < block->rows; i++) {
        if (row_block_lsn(block, i) > merge->horizon_lsn) continue;
        struct reader reader = reader_of(row_block_key(block, i));
        if (!row_key_skip(&reader, em->heads, table_index_entry_parts(merge->index)))
            return error_set(error, PLINTH_CORRUPT, "malformed entry in index table %u at position %llu",
                             merge->table.table, (unsigned long long)row_block_lsn(block, i));
        em->probes[count++] = (struct probe){slice_of(reader.at, reader_left(&reader)), i};
    }
    if (!count) return PLINTH_OK;
    qsort(em->probes, count, sizeof *em->probes, compare_probes);
    for (uint32_t i = 0; i < count; i++) em->keys[i] = em->probes[i].row_key;
    enum plinth_status st =
        view_find_rows(merge->view, merge->schema, em->keys, count, merge->horizon_lsn, em->places, error);
    for (uint32_t i = 0; !st && i < count; i++) {
        const struct row_place *place = &em->places[i];
        uint32_t entry = em->probes[i].entry;
        em->is_dead[entry] = !place->lsn || place->lsn > row_block_lsn(block, entry) || place->operation != ROW_SET;
        *dead += em->is_dead[entry];
        row_place_release(&em->places[i]);
    }
    return st;
}

/* The block without its dead entries: `*live` is a reference, null when none is left. */
static enum plinth_status drop_dead(struct entry_merge *em, struct row_block *block, struct row_block **live,
                                    struct plinth_error *error) {
    uint32_t dead, stretches = 0;
    *live = NULL;
    enum plinth_status st = find_dead(em, block, &dead, error);
    if (st || dead == block->rows) return st;
    if (!dead) {
        *live = row_block_ref(block);
        return PLINTH_OK;
    }
    for (uint32_t first = 0, end; first < block->rows; first = end) {
        for (end = first + 1; end < block->rows && em->is_dead[end] == em->is_dead[first];) end++;
        if (!em->is_dead[first]) em->live[stretches++] = (struct row_stretch){0, first, end - first};
    }
    *live = row_block_select(block, em->live, stretches);
    return *live ? PLINTH_OK : error_no_memory(error, "index entries");
}

static enum plinth_status write_block(struct entry_merge *em, struct row_block *block, struct plinth_error *error) {
    struct row_block *live = NULL, *settled = NULL;
    enum plinth_status st = PLINTH_OK;
    if (em->looks_up)
        st = drop_dead(em, block, &live, error);
    else
        live = row_block_ref(block);
    if (!st && live && em->settles && !(settled = row_block_settle(live, em->merge->horizon_lsn)))
        st = error_no_memory(error, "index entries");
    if (!st && live) st = row_output_add(&em->output, settled ? settled : live, error);
    row_block_unref(settled);
    row_block_unref(live);
    return st;
}

/* ---- the merge ---- */

/* Segments that were written before entries were columns have their keys only. */
static enum plinth_status have_columns(const struct run *run, bool *all, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *all = true;
    for (size_t i = 0; !st && i < run_segment_count(run); i++) {
        st = segment_load(run_segment(run, i), error);
        if (!st) *all &= segment_has_columns(run_segment(run, i));
    }
    return st;
}

static enum plinth_status open_input(const struct entry_merge *em, struct run *run, const struct block_read *read,
                                     struct block_stream **input, struct plinth_error *error) {
    struct iterator *it;
    bool columns;
    enum plinth_status st = have_columns(run, &columns, error);
    if (st) return st;
    if (columns) return run_block_stream_open(run, read, input, error);
    st = run_iterator_open(run, true, &it, error);
    return st ? st : row_entries_stream_open(it, em->merge->schema, em->merge->index, read, input, error);
}

static enum plinth_status open_inputs(const struct entry_merge *em, const struct block_read *read,
                                      struct block_stream **merged, struct plinth_error *error) {
    const struct merge *merge = em->merge;
    const struct block_merge_options options = {.mode = MERGE_RETAIN,
                                                .lsn = merge->horizon_lsn,
                                                .bottom = merge->bottom,
                                                .block_rows = em->looks_up ? BLOCK_ENTRIES : 0};
    struct block_stream **inputs = malloc((merge->count + 1) * sizeof *inputs);
    enum plinth_status st = inputs ? PLINTH_OK : error_no_memory(error, "compaction");
    size_t opened = 0;
    for (size_t i = 0; !st && i < merge->count; i++) {
        if (!merge->inputs[i].part) continue;
        st = open_input(em, merge->inputs[i].part, read, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    return st;
}

/* The entries between two cuts. */
static enum plinth_status merge_range(struct entry_merge *em, const struct block_read *read,
                                      struct plinth_error *error) {
    struct block_stream *merged = NULL;
    enum plinth_status st = open_inputs(em, read, &merged, error);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        merge_note_rows(em->merge, block->rows);
        st = write_block(em, block, error);
        row_block_unref(block);
        if (!st) st = merge_check(em->merge, error);
    }
    block_stream_close(merged);
    return st ? st : row_output_finish(&em->output, error);
}

enum plinth_status merge_row_index(struct merge *merge, struct output *output, struct plinth_error *error) {
    struct entry_merge em;
    enum plinth_status st = entry_merge_init(&em, merge, output, error);
    for (size_t cut = 0; !st && cut <= merge->cut_count; cut++) {
        const struct block_read read = {.schema = em.entries,
                                        .column_ids = em.column_ids,
                                        .column_count = em.entries->column_count,
                                        .with_keys = true,
                                        .lower = cut ? merge->cuts[cut - 1] : slice_of(NULL, 0),
                                        .upper = cut < merge->cut_count ? merge->cuts[cut] : slice_of(NULL, 0)};
        st = merge_range(&em, &read, error);
    }
    merge_note_dropped(merge);
    entry_merge_deinit(&em);
    return st;
}
