/* Rows in a transaction: its account of typed tables, what it writes to them, and look-ups by key.
 *
 * What it writes is kept as row blocks, as the memtable would keep them, with LSNs above all others (OWN_LSN and up),
 * so that a merge of them over the rows of the snapshot gives what the transaction sees. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/rows_plan.h"
#include "engine/rows_unique.h"
#include "engine/transaction.h"
#include "table/block_stream.h"
#include "table/row_block.h"

#define OWN_LSN (UINT64_C(1) << 63)
enum { OWN_BLOCKS_A_MERGE = 16, OWN_BYTES_MAX = TRANSACTION_BYTES_MAX };

/* ---- tables ---- */

static void forget_unique(struct transaction_table *table) {
    for (uint32_t i = 0; i < table->unique_read_count; i++) row_reads_deinit(&table->unique_reads[i]);
    free(table->unique_reads);
    table->unique_reads = NULL;
    table->unique_read_count = 0;
    table->checked_writes = 0;
}

void transaction_tables_deinit(struct plinth_transaction *transaction) {
    for (uint64_t t = 0; t < transaction->table_count; t++) {
        struct transaction_table *table = &transaction->tables[t];
        for (uint64_t i = 0; i < table->own_count; i++) row_block_unref(table->own[i]);
        free(table->own);
        row_reads_deinit(&table->reads);
        forget_unique(table);
        table_schema_unref(table->schema);
    }
    free(transaction->tables);
    transaction->tables = NULL;
    transaction->table_count = 0;
}

/* The engine begins to remember rows with the first transaction on them; one that has read nothing yet begins again
 * behind that, so that it need not lose. */
static enum plinth_status begin_to_remember(struct plinth_transaction *transaction, struct plinth_error *error) {
    if (transaction->remembers) return PLINTH_OK;
    bool fresh = !transaction->keys.count && !transaction->range_count && transaction->snapshot;
    uint64_t floor_lsn;
    struct plinth_snapshot *moved = NULL;
    enum plinth_status st = transaction_raise_level(transaction->db, &floor_lsn, error);
    if (!st && fresh && transaction->position.lsn < floor_lsn)
        st = plinth_snapshot_create(transaction->db, (struct plinth_position){0, 0}, &moved, error);
    if (st) return st;
    transaction->remembers = true;
    if (!moved) return PLINTH_OK;
    plinth_snapshot_destroy(transaction->snapshot);
    transaction->snapshot = moved;
    transaction->position = plinth_snapshot_position(moved);
    return PLINTH_OK;
}

static enum plinth_status table_changed(const struct table_schema *schema, struct plinth_error *error) {
    return error_set(error, PLINTH_CONFLICT, "table \"%s\" has changed since the transaction began", schema->name);
}

static enum plinth_status table_for(struct plinth_transaction *transaction, const struct table_schema *schema,
                                    struct transaction_table **table, struct plinth_error *error) {
    if (schema->kind != TABLE_ROWS)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\" is a key space, not a table of rows", schema->name);
    for (uint64_t t = 0; t < transaction->table_count; t++) {
        struct transaction_table *there = &transaction->tables[t];
        if (table_id_compare(there->schema->id, schema->id) != 0) continue;
        if (!transaction_schema_extends(schema, there->schema) &&
            (there->own_count || there->reads.key_count || there->reads.range_count))
            return table_changed(schema, error);
        if (there->schema->version != schema->version) {
            forget_unique(there);
            table_schema_unref(there->schema);
            there->schema = table_schema_ref(schema);
        }
        *table = there;
        return PLINTH_OK;
    }
    struct transaction_table fresh = {.schema = table_schema_ref(schema), .reads = {.table = schema->id}};
    if (!ARRAY_PUSH(transaction->tables, transaction->table_count, fresh)) {
        table_schema_unref(fresh.schema);
        return error_no_memory(error, "transaction");
    }
    *table = &transaction->tables[transaction->table_count - 1];
    return PLINTH_OK;
}

/* The state that the transaction reads has the columns, and their names, that it would write. */
static enum plinth_status check_state(const struct plinth_transaction *transaction, const struct table_schema *schema,
                                      struct plinth_error *error) {
    const struct table_schema *then;
    enum plinth_status st = engine_schema_at(transaction->db, schema->id, transaction->position.lsn, &then, error);
    if (!st && then->version < schema->version) st = table_changed(schema, error); /* altered since */
    table_schema_unref(then);
    return st;
}

enum plinth_status transaction_table_of(struct plinth_transaction *transaction, const char *database, const char *name,
                                        struct transaction_table **table, struct plinth_error *error) {
    const struct table_schema *schema = NULL;
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = begin_to_remember(transaction, error);
    if (!st)
        st = engine_find_schema(transaction->db, database && *database ? database : "default", name, &schema, error);
    if (!st) st = check_state(transaction, schema, error);
    if (!st) st = table_for(transaction, schema, table, error);
    table_schema_unref(schema);
    return st;
}

enum plinth_status transaction_table_by_id(struct plinth_transaction *transaction, struct table_id id,
                                           struct transaction_table **table, struct plinth_error *error) {
    const struct table_schema *schema = NULL;
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = begin_to_remember(transaction, error);
    if (!st) st = engine_schema_by_id(transaction->db, id.table, &schema, error);
    if (!st) st = table_for(transaction, schema, table, error);
    table_schema_unref(schema);
    return st;
}

/* ---- writing ---- */

static unsigned size_class(const struct row_block *block) {
    unsigned class = 0;
    for (uint32_t rows = block->rows; rows >= OWN_BLOCKS_A_MERGE; rows /= OWN_BLOCKS_A_MERGE) class ++;
    return class;
}

/* Brings the newest 16 blocks into one when they are of a size. */
static enum plinth_status merge_own(struct transaction_table *table, struct plinth_error *error) {
    while (table->own_count >= OWN_BLOCKS_A_MERGE) {
        struct row_block **newest = table->own + table->own_count - OWN_BLOCKS_A_MERGE, *merged;
        for (unsigned i = 1; i < OWN_BLOCKS_A_MERGE; i++)
            if (size_class(newest[i]) != size_class(newest[0])) return PLINTH_OK;
        enum plinth_status st = row_blocks_merge(newest, OWN_BLOCKS_A_MERGE, &merged, error);
        if (st) return st;
        for (unsigned i = 0; i < OWN_BLOCKS_A_MERGE; i++) row_block_unref(newest[i]);
        table->own_count -= OWN_BLOCKS_A_MERGE;
        table->own[table->own_count++] = merged;
    }
    return PLINTH_OK;
}

static enum plinth_status own_chunk(struct transaction_table *table, const struct rows_plan *plan, uint32_t chunk,
                                    struct row_block **block, struct plinth_error *error) {
    struct batch *batch;
    uint32_t *column_ids;
    enum plinth_status st = rows_plan_take(plan, chunk, &batch, &column_ids, error);
    if (st) return st;
    *block =
        row_block_create(plan->schema, batch, column_ids, plan->write->operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE);
    batch_unref(batch);
    if (*block && row_block_set_lsn(*block, OWN_LSN + table->writes + chunk, 0)) return PLINTH_OK;
    row_block_unref(*block);
    *block = NULL;
    return error_no_memory(error, "transaction");
}

static enum plinth_status refuse_rejects(const struct rows_plan *plan, struct plinth_error *error) {
    const struct rows_result *result = plan->result;
    if (!result->rows_rejected) return PLINTH_OK;
    const struct rows_reject *first = &result->rejects[0];
    for (uint32_t i = 1; i < result->reject_count; i++)
        if (result->rejects[i].row < first->row) first = &result->rejects[i];
    return error_set(error, first->status, "row %u: %s (%llu of %u rows cannot be written)", first->row, first->reason,
                     (unsigned long long)result->rows_rejected, plan->rows);
}

/* Takes the chunks of a plan as the transaction's own; all or none. */
static enum plinth_status take_plan(struct plinth_transaction *transaction, struct transaction_table *table,
                                    const struct rows_plan *plan, struct plinth_error *error) {
    struct row_block **blocks = calloc(plan->chunk_count + 1, sizeof *blocks);
    if (!blocks) return error_no_memory(error, "transaction");
    enum plinth_status st = PLINTH_OK;
    uint64_t bytes = transaction->own_bytes;
    for (uint32_t i = 0; !st && i < plan->chunk_count; i++) {
        st = own_chunk(table, plan, i, &blocks[i], error);
        if (!st) bytes += batch_bytes(blocks[i]->columns);
        if (!st && bytes > OWN_BYTES_MAX)
            st = error_set(error, PLINTH_TOO_LARGE, "the transaction's rows take more than %d bytes",
                           (int)OWN_BYTES_MAX);
    }
    uint32_t taken = 0;
    for (; !st && taken < plan->chunk_count; taken++) {
        if (ARRAY_PUSH(table->own, table->own_count, blocks[taken])) continue;
        table->own_count -= taken;
        taken = 0;
        st = error_no_memory(error, "transaction");
        break;
    }
    if (!st) {
        transaction->own_bytes = bytes;
        table->writes += plan->chunk_count;
        st = merge_own(table, error);
    } else {
        for (uint32_t i = 0; i < plan->chunk_count; i++) row_block_unref(blocks[i]);
    }
    free(blocks);
    return st;
}

enum plinth_status transaction_rows_take(struct plinth_transaction *transaction, struct transaction_table *table,
                                         const struct table_schema *schema, struct batch *batch,
                                         const uint32_t *column_ids, struct plinth_error *error) {
    struct row_block *block = row_block_create(schema, batch, column_ids, ROW_SET);
    uint64_t bytes = transaction->own_bytes + batch_bytes(batch);
    if (bytes > OWN_BYTES_MAX) {
        row_block_unref(block);
        return error_set(error, PLINTH_TOO_LARGE, "the transaction's rows take more than %d bytes", (int)OWN_BYTES_MAX);
    }
    if (!block || !row_block_set_lsn(block, OWN_LSN + table->writes, 0) ||
        !ARRAY_PUSH(table->own, table->own_count, block)) {
        row_block_unref(block);
        return error_no_memory(error, "transaction");
    }
    table->writes++;
    transaction->own_bytes = bytes;
    return merge_own(table, error);
}

static enum plinth_status write_once(struct plinth_transaction *transaction, struct transaction_table *table,
                                     const struct rows_write *write, struct rows_unknown *unknown,
                                     struct plinth_error *error) {
    struct rows_result result = {0};
    struct rows_plan plan;
    enum plinth_status st = rows_plan_match(&plan, table->schema, write, &result, unknown, error);
    if (!st && !unknown->count) {
        st = rows_plan_sort(&plan, error);
        if (!st) st = refuse_rejects(&plan, error);
        if (!st && plan.count) st = take_plan(transaction, table, &plan, error);
    }
    rows_plan_deinit(&plan);
    rows_result_deinit(&result);
    return st;
}

enum plinth_status transaction_rows_submit(struct plinth_transaction *transaction, const char *database,
                                           const char *table, const struct rows_write *write,
                                           struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (bool again = true; !st && again;) {
        struct rows_unknown unknown = {0};
        struct transaction_table *found;
        again = false;
        st = transaction_table_of(transaction, database, table, &found, error);
        if (!st) st = write_once(transaction, found, write, &unknown, error);
        if (!st && unknown.count)
            st = rows_settle_unknown(transaction->db, found->schema, write, &unknown, &again, error);
        free(unknown.columns);
    }
    return st;
}

/* ---- look-ups ---- */

/* The keys of a batch, sorted, each once, as row blocks. */
struct looked_up {
    struct rows_result result;
    struct rows_plan plan;
    struct row_block **blocks;
    uint32_t count;
};

static void looked_up_deinit(struct looked_up *keys) {
    for (uint32_t i = 0; i < keys->count; i++) row_block_unref(keys->blocks[i]);
    free(keys->blocks);
    rows_plan_deinit(&keys->plan);
    rows_result_deinit(&keys->result);
}

static enum plinth_status sort_keys(struct looked_up *keys, const struct table_schema *schema,
                                    const struct rows_write *write, struct plinth_error *error) {
    struct rows_unknown unknown = {0};
    bool again;
    *keys = (struct looked_up){0};
    if (!schema->key_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "table \"%s\" has no key to look rows up by", schema->name);
    enum plinth_status st = rows_plan_match(&keys->plan, schema, write, &keys->result, &unknown, error);
    if (!st && unknown.count) st = rows_settle_unknown(NULL, schema, write, &unknown, &again, error);
    free(unknown.columns);
    if (!st) st = rows_plan_sort(&keys->plan, error);
    if (!st) st = refuse_rejects(&keys->plan, error);
    if (st) return st;
    keys->blocks = calloc(keys->plan.chunk_count + 1, sizeof *keys->blocks);
    if (!keys->blocks) return error_no_memory(error, "keys");
    for (uint32_t i = 0; !st && i < keys->plan.chunk_count; i++) {
        struct batch *batch;
        uint32_t *ids;
        st = rows_plan_take(&keys->plan, i, &batch, &ids, error);
        if (st) break;
        keys->blocks[i] = row_block_create(schema, batch, ids, ROW_DELETE);
        batch_unref(batch);
        if (!keys->blocks[i]) return error_no_memory(error, "keys");
        keys->count++;
    }
    return st;
}

static enum plinth_status note_keys(struct transaction_table *table, const struct looked_up *keys,
                                    struct plinth_error *error) {
    for (uint32_t b = 0; b < keys->count; b++)
        for (uint32_t r = 0; r < keys->blocks[b]->rows; r++)
            if (!row_reads_key(&table->reads, row_block_key(keys->blocks[b], r)))
                return error_no_memory(error, "transaction");
    return PLINTH_OK;
}

/* The newest version of a key that the transaction itself has written. */
static bool find_own(const struct transaction_table *table, struct slice key, struct row_place *place) {
    uint64_t hash = hash_stable(key.data, key.size);
    uint32_t row;
    for (uint64_t i = table->own_count; i-- > 0;) {
        if (!row_block_get(table->own[i], key, hash, UINT64_MAX, &row)) continue;
        *place = (struct row_place){.block = row_block_ref(table->own[i]),
                                    .row = row,
                                    .lsn = row_block_lsn(table->own[i], row),
                                    .operation = row_block_operation(table->own[i], row)};
        return true;
    }
    return false;
}

/* The places of the keys of one block: places[i] of key i. */
static enum plinth_status find_places(struct plinth_transaction *transaction, const struct transaction_table *table,
                                      const struct row_block *keys, struct row_place *places,
                                      struct plinth_error *error) {
    struct plinth_read_options read = {.snapshot = transaction->snapshot};
    struct slice *missing = malloc((keys->rows + 1) * sizeof *missing);
    uint32_t *of = malloc((keys->rows + 1) * sizeof *of), count = 0;
    struct row_place *found = calloc(keys->rows + 1, sizeof *found);
    struct view *view = NULL;
    uint64_t lsn, time_us = engine_read_time_us(transaction->db, &read, 0);
    enum plinth_status st = missing && of && found ? PLINTH_OK : error_no_memory(error, "keys");
    for (uint32_t i = 0; !st && i < keys->rows; i++) {
        struct slice key = row_block_key(keys, i);
        if (find_own(table, key, &places[i])) continue;
        missing[count] = key;
        of[count++] = i;
    }
    if (!st && count) st = engine_begin_read(transaction->db, &read, &view, &lsn, error);
    if (!st && count && !engine_table_exists(transaction->db, table->schema->id))
        st = error_set(error, PLINTH_NOT_FOUND, "table \"%s\" was dropped", table->schema->name);
    if (!st && count) st = view_find_rows(view, table->schema, missing, count, lsn, found, error);
    for (uint32_t i = 0; !st && i < count; i++) places[of[i]] = found[i];
    if (!st) st = row_places_expire(places, keys->rows, table->schema, time_us, false, error);
    if (view) view_unref(view);
    free(missing);
    free(of);
    free(found);
    return st;
}

enum plinth_status transaction_rows_probe(struct plinth_transaction *transaction, struct transaction_table *table,
                                          const struct row_block *keys, uint8_t *there, struct plinth_error *error) {
    struct row_place *places = calloc(keys->rows + 1, sizeof *places);
    if (!places) return error_no_memory(error, "keys");
    enum plinth_status st = find_places(transaction, table, keys, places, error);
    for (uint32_t i = 0; i < keys->rows; i++) {
        if (places[i].lsn && places[i].operation == ROW_SET) bitmap_set(there, i);
        row_place_release(&places[i]);
        if (!st && !row_reads_key(&table->reads, row_block_key(keys, i))) st = error_no_memory(error, "transaction");
    }
    free(places);
    return st;
}

/* All keys; `places` become those of rows that are there, `*count` of them. keys' bit i of `there` is set so. */
static enum plinth_status find_all(struct plinth_transaction *transaction, const struct transaction_table *table,
                                   const struct looked_up *keys, struct row_place *places, uint32_t *count,
                                   uint8_t *there, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint32_t at = 0, kept = 0;
    for (uint32_t b = 0; !st && b < keys->count; b++) {
        st = find_places(transaction, table, keys->blocks[b], places + at, error);
        at += keys->blocks[b]->rows; /* also when it has failed behind what it found */
    }
    for (uint32_t i = 0; i < at; i++) {
        struct row_place place = places[i];
        places[i] = (struct row_place){0};
        if (!st && place.lsn && place.operation == ROW_SET) {
            bitmap_set(there, i);
            places[kept++] = place;
        } else {
            row_place_release(&place);
        }
    }
    *count = kept;
    return st;
}

/* Tells for each row of the batch of keys whether it is there; rows with equal keys may be several. */
static enum plinth_status tell_found(const struct looked_up *keys, const struct table_schema *schema,
                                     const uint8_t *there, uint8_t *found, struct plinth_error *error) {
    const struct rows_plan *plan = &keys->plan;
    const struct column *parts[ROW_KEY_PARTS_MAX];
    struct row_keys encoded;
    struct arena arena;
    arena_init(&arena);
    for (uint32_t i = 0; i < schema->key_count; i++)
        for (uint32_t c = 0; c < plan->column_count; c++)
            if (plan->column_ids[c] == schema->key[i]) parts[i] = &plan->columns[c];
    bool ok = row_keys_encode(&arena, parts, schema->key_count, ROW_KEY_PRIMARY, plan->rows, &encoded);
    for (uint32_t row = 0; ok && row < plan->rows; row++) {
        struct slice key = row_keys_at(&encoded, row);
        uint32_t low = 0, high = plan->count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (slice_compare(row_keys_at(&encoded, plan->order[middle]), key) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (bitmap_get(there, low)) bitmap_set(found, row);
    }
    arena_deinit(&arena);
    return ok ? PLINTH_OK : error_no_memory(error, "keys");
}

enum plinth_status transaction_rows_look_up(struct plinth_transaction *transaction, const char *database,
                                            const char *table, const struct arrow_schema *schema,
                                            const struct batch *keys, const uint32_t *column_ids, uint32_t column_count,
                                            struct batch **batch, uint8_t *found, struct plinth_error *error) {
    struct rows_write write = {.operation = ROWS_DELETE, .schema = schema, .batch = keys};
    struct transaction_table *of;
    struct looked_up sorted = {0};
    struct row_place *places = NULL;
    uint8_t *there = NULL;
    uint32_t count = 0;
    *batch = NULL;
    enum plinth_status st = transaction_table_of(transaction, database, table, &of, error);
    if (st) return st;
    st = sort_keys(&sorted, of->schema, &write, error);
    if (!st) st = note_keys(of, &sorted, error);
    if (!st) {
        places = calloc(sorted.plan.count + 1, sizeof *places);
        there = calloc(1, sorted.plan.count / 8 + 1);
        if (!places || !there) st = error_no_memory(error, "keys");
    }
    if (!st) st = find_all(transaction, of, &sorted, places, &count, there, error);
    if (!st && found) {
        memset(found, 0, ((size_t)keys->rows + 7) / 8);
        st = tell_found(&sorted, of->schema, there, found, error);
    }
    if (!st && count) st = row_places_read(places, count, of->schema, column_ids, column_count, batch, error);
    for (uint32_t i = 0; i < count; i++) row_place_release(&places[i]);
    free(places);
    free(there);
    looked_up_deinit(&sorted);
    return st;
}

enum plinth_status transaction_rows_note(struct plinth_transaction *transaction, const char *database,
                                         const char *table, const struct arrow_schema *schema, const struct batch *keys,
                                         struct plinth_error *error) {
    struct rows_write write = {.operation = ROWS_DELETE, .schema = schema, .batch = keys};
    struct transaction_table *of;
    struct looked_up sorted = {0};
    enum plinth_status st = transaction_table_of(transaction, database, table, &of, error);
    if (st) return st;
    st = sort_keys(&sorted, of->schema, &write, error);
    if (!st) st = note_keys(of, &sorted, error);
    looked_up_deinit(&sorted);
    return st;
}

/* ---- what is to be written ---- */

void transaction_rows_free(struct transaction_rows *rows, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) batch_unref(rows[i].batch);
    free(rows);
}

struct gathered {
    struct transaction_rows *rows;
    uint64_t count;
};

/* The rows of a block that are of one operation. */
static enum plinth_status gather_block(struct gathered *gathered, const struct table_schema *schema,
                                       const struct row_block *block, enum row_operation operation,
                                       struct plinth_error *error) {
    uint32_t *chosen = malloc(((size_t)block->rows + 1) * sizeof *chosen), count = 0;
    if (!chosen) return error_no_memory(error, "transaction");
    for (uint32_t i = 0; i < block->rows; i++)
        if (row_block_operation(block, i) == operation) chosen[count++] = i;
    enum plinth_status st = PLINTH_OK;
    if (count) {
        struct batch *batch = batch_create(block->columns->column_count);
        uint32_t *ids = batch ? arena_alloc(&batch->arena, (block->columns->column_count + 1) * sizeof *ids) : NULL;
        bool ok = ids != NULL;
        uint32_t columns = 0;
        for (uint32_t c = 0; ok && c < block->columns->column_count; c++) {
            if (operation == ROW_DELETE && !table_schema_is_key(schema, block->column_ids[c])) continue;
            ids[columns] = block->column_ids[c];
            ok = column_gather(&batch->arena, &block->columns->columns[c], chosen, count, &batch->columns[columns++]);
        }
        if (batch) {
            batch->rows = count;
            batch->column_count = columns;
        }
        struct transaction_rows made = {schema, operation == ROW_SET ? ROWS_UPSERT : ROWS_DELETE, batch, ids};
        if (!ok || !ARRAY_PUSH(gathered->rows, gathered->count, made)) {
            batch_unref(batch);
            st = error_no_memory(error, "transaction");
        }
    }
    free(chosen);
    return st;
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status gather_table(struct gathered *gathered, const struct transaction_table *table,
                                       struct plinth_error *error) {
    const struct table_schema *schema = table->schema;
    uint32_t *ids = malloc((schema->column_count + 1) * sizeof *ids);
    struct block_stream **streams = calloc(table->own_count + 1, sizeof *streams), *merged = NULL;
    enum plinth_status st = ids && streams ? PLINTH_OK : error_no_memory(error, "transaction");
    struct block_read read = {
        .schema = schema, .column_ids = ids, .column_count = schema->column_count, .with_keys = true};
    struct block_merge_options options = {.mode = MERGE_RETAIN, .lsn = UINT64_MAX};
    uint64_t opened = 0;
    for (uint32_t i = 0; !st && i < schema->column_count; i++) ids[i] = schema->columns[i].id;
    if (!st) qsort(ids, schema->column_count, sizeof *ids, compare_ids);
    for (; !st && opened < table->own_count; opened += !st)
        st = row_block_stream_open(table->own[opened], &read, &streams[opened], error);
    if (!st)
        st = block_merge_open(streams, opened, &read, &options, &merged, error);
    else
        for (uint64_t i = 0; i < opened; i++) block_stream_close(streams[i]);
    while (!st && merged) {
        struct row_block *block = NULL;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = gather_block(gathered, schema, block, ROW_SET, error);
        if (!st && block->operations) st = gather_block(gathered, schema, block, ROW_DELETE, error);
        row_block_unref(block);
    }
    block_stream_close(merged);
    free(streams);
    free(ids);
    return st;
}

enum plinth_status transaction_rows_gather(const struct plinth_transaction *transaction, struct transaction_rows **rows,
                                           uint64_t *count, struct plinth_error *error) {
    struct gathered gathered = {0};
    enum plinth_status st = PLINTH_OK;
    for (uint64_t t = 0; !st && t < transaction->table_count; t++)
        if (transaction->tables[t].own_count) st = gather_table(&gathered, &transaction->tables[t], error);
    if (st) transaction_rows_free(gathered.rows, gathered.count);
    *rows = st ? NULL : gathered.rows;
    *count = st ? 0 : gathered.count;
    return st;
}

/* ---- unique indexes ---- */

/* The view and LSN that the transaction reads; of one whose caller reads, the present state: its own is no newer. */
static enum plinth_status begin_check(struct plinth_transaction *transaction, struct plinth_snapshot **present,
                                      struct unique_rows *unique, struct plinth_error *error) {
    struct plinth_read_options read = {.snapshot = transaction->snapshot};
    *present = NULL;
    unique->view = NULL;
    enum plinth_status st = PLINTH_OK;
    if (!read.snapshot) {
        st = plinth_snapshot_create(transaction->db, (struct plinth_position){0, 0}, present, error);
        read.snapshot = *present;
    }
    if (!st) st = engine_begin_read(transaction->db, &read, &unique->view, &unique->lsn, error);
    if (!st) unique->time_us = engine_read_time_us(transaction->db, &read, unique->lsn);
    return st;
}

enum plinth_status transaction_check_unique(struct plinth_transaction *transaction, struct transaction_table *table,
                                            struct unique_rows *unique, struct plinth_error *error) {
    struct plinth_snapshot *present;
    const struct table_schema *schema = table->schema;
    forget_unique(table);
    table->unique_reads = calloc(schema->index_count + 1, sizeof *table->unique_reads);
    if (!table->unique_reads) return error_no_memory(error, "transaction");
    table->unique_read_count = schema->index_count;
    enum plinth_status st = begin_check(transaction, &present, unique, error);
    if (!st && !engine_table_exists(transaction->db, schema->id))
        st = error_set(error, PLINTH_NOT_FOUND, "table \"%s\" was dropped", schema->name);
    unique->schema = schema;
    if (!st) st = rows_check_unique(unique, table->unique_reads, error);
    if (unique->view) view_unref(unique->view);
    plinth_snapshot_destroy(present);
    unique->view = NULL;
    table->checked_writes = table->writes;
    return st;
}
