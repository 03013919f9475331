#include "engine/flush_rows.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/index_build.h"
#include "engine/index_output.h"
#include "engine/row_output.h"

enum {
    RANGE_ROWS_MIN = 100 * 1000, /* rows that are worth a range of their own */
    RANGES_MAX = 8,
    PARTITION_ROWS_FEW = 10 * 1000, /* a partition of fewer costs more waiting for the disk than work */
    SAMPLES = 512,                  /* keys that ranges are chosen from */
};

struct rows_flush {
    struct output *output;
    const struct table_schema *schema;
    struct memtable_blocks blocks;
    uint64_t rows; /* of the blocks */
    uint64_t horizon_lsn;
    bool bottom;
    uint64_t cut_lsn;    /* of the memtable */
    uint32_t *all_ids;   /* of the schema's columns */
    int64_t *partitions; /* that the blocks' rows lie in, ascending */
    uint64_t partition_count;
    uint32_t index_count; /* sorted ones of which this pass over the rows collects the entries */
    const struct table_index **indexes;
    bool with_rows; /* the pass writes the rows, too: the first one does */
};

struct flush_task {
    struct pool_task base;
    struct rows_flush *flush;
    struct slice lower, upper; /* rows: the range, */
    const int64_t *partitions; /* and which partitions of it; none in tables that have none */
    uint64_t partition_count;
    bool with_entries;            /* rows: collects the range's entries */
    struct index_output *entries; /* rows: of the range, one an index; an index: all, one */
    struct output output;
    enum plinth_status status;
    struct plinth_error error;
};

/* ---- rows ---- */

static enum plinth_status open_merge(const struct rows_flush *flush, const struct block_read *read,
                                     struct block_stream **merged, struct plinth_error *error) {
    size_t opened = 0;
    const struct block_merge_options options = {
        .mode = MERGE_RETAIN, .lsn = flush->horizon_lsn, .bottom = flush->bottom};
    struct block_stream **inputs = malloc((flush->blocks.count + 1) * sizeof *inputs);
    enum plinth_status st = inputs ? PLINTH_OK : error_no_memory(error, "flush");
    for (; !st && opened < flush->blocks.count; opened += !st)
        st = row_block_stream_open(flush->blocks.blocks[opened], read, &inputs[opened], error);
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    return st;
}

static enum plinth_status write_block(struct flush_task *task, struct row_output *rows, struct row_block *block,
                                      bool with_entries, struct plinth_error *error) {
    enum plinth_status st = task->flush->with_rows ? row_output_add(rows, block, error) : PLINTH_OK;
    for (uint32_t i = 0; !st && with_entries && i < task->flush->index_count; i++)
        st = index_output_add(&task->entries[i], block, error);
    return st;
}

static enum plinth_status write_range(struct flush_task *task, struct row_output *rows, bool with_entries,
                                      struct plinth_error *error) {
    const struct rows_flush *flush = task->flush;
    const struct block_read read = {.schema = flush->schema,
                                    .column_ids = flush->all_ids,
                                    .column_count = flush->schema->column_count,
                                    .with_keys = true,
                                    .lower = task->lower,
                                    .upper = task->upper};
    struct block_stream *merged = NULL;
    enum plinth_status st = open_merge(flush, &read, &merged, error);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = write_block(task, rows, block, with_entries, error);
        row_block_unref(block);
        engine_balance_memory_at_times(flush->output->db);
    }
    block_stream_close(merged);
    return st ? st : row_output_finish(rows, error);
}

/* As many partitions at a time as may be open; nearly always all there are. Entries are collected the first time. */
static enum plinth_status write_partitions(struct flush_task *task, struct plinth_error *error) {
    const struct rows_flush *flush = task->flush;
    enum plinth_status st = PLINTH_OK;
    uint64_t at = 0;
    do {
        struct row_output rows;
        uint64_t left = task->partition_count - at;
        uint64_t count = left < ROW_OUTPUT_PARTITIONS_MAX ? left : ROW_OUTPUT_PARTITIONS_MAX;
        row_output_init(&rows, &task->output, flush->schema);
        st = row_output_choose_partitions(&rows, task->partitions + at, count, error);
        if (!st) st = write_range(task, &rows, task->with_entries && at == 0, error);
        row_output_deinit(&rows);
        at += count;
    } while (!st && flush->with_rows && at < task->partition_count);
    return st;
}

static void write_rows(struct pool_task *base) {
    struct flush_task *task = (struct flush_task *)base;
    task->status = write_partitions(task, &task->error);
    for (uint32_t i = 0; !task->status && i < task->flush->index_count; i++)
        task->status = index_output_sort(&task->entries[i], &task->error);
}

static void write_index(struct pool_task *base) {
    struct flush_task *task = (struct flush_task *)base;
    task->status = index_output_write(task->entries, &task->output, &task->error);
}

/* ---- what there is to do ---- */

struct sample {
    struct slice key;
};

static int compare_samples(const void *a, const void *b) {
    return slice_compare(((const struct sample *)a)->key, ((const struct sample *)b)->key);
}

/* Keys that cut the rows into `*count` ranges of about as many rows: bounds[i] is the lower bound of range i + 1. */
static enum plinth_status choose_bounds(const struct rows_flush *flush, unsigned wanted, struct slice *bounds,
                                        unsigned *count, struct plinth_error *error) {
    *count = 1;
    if (wanted < 2) return PLINTH_OK;
    uint64_t step = flush->rows / SAMPLES + 1, taken = 0, next = step / 2;
    struct sample *samples = malloc((SAMPLES + 1) * sizeof *samples);
    if (!samples) return error_no_memory(error, "flush");
    for (size_t b = 0; b < flush->blocks.count; b++) {
        const struct row_block *block = flush->blocks.blocks[b];
        for (; next < block->rows && taken < SAMPLES; next += step)
            samples[taken++].key = row_block_key(block, (uint32_t)next);
        next -= next < block->rows ? 0 : block->rows;
    }
    qsort(samples, taken, sizeof *samples, compare_samples);
    for (unsigned i = 1; i < wanted && taken; i++) {
        struct slice key = samples[taken * i / wanted].key;
        struct slice before = *count > 1 ? bounds[*count - 2] : slice_of(NULL, 0);
        if (key.size && slice_compare(before, key) < 0) bounds[(*count)++ - 1] = key;
    }
    free(samples);
    return PLINTH_OK;
}

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static int compare_partitions(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Adds the partitions of a block's rows. */
static bool add_partitions(struct rows_flush *flush, const struct row_block *block) {
    int64_t *of = malloc(block->rows * sizeof *of);
    bool ok = of && partitions_of(flush->schema, block, of);
    for (uint32_t i = 0; ok && i < block->rows; i++) {
        if (i && of[i] == of[i - 1]) continue;
        uint64_t count = flush->partition_count;
        if (count && flush->partitions[count - 1] == of[i]) continue;
        if (count && bsearch(&of[i], flush->partitions, count, sizeof *of, compare_partitions)) continue;
        ok = ARRAY_PUSH(flush->partitions, flush->partition_count, of[i]);
        for (uint64_t at = count; ok && at > 0 && flush->partitions[at - 1] > of[i]; at--) {
            flush->partitions[at] = flush->partitions[at - 1];
            flush->partitions[at - 1] = of[i];
        }
    }
    free(of);
    return ok;
}

static enum plinth_status describe(struct rows_flush *flush, struct plinth_error *error) {
    const struct table_schema *schema = flush->schema;
    flush->all_ids = malloc((schema->column_count + 1) * sizeof *flush->all_ids);
    if (!flush->all_ids) return error_no_memory(error, "flush");
    for (uint32_t i = 0; i < schema->column_count; i++) flush->all_ids[i] = schema->columns[i].id;
    qsort(flush->all_ids, schema->column_count, sizeof *flush->all_ids, compare_ids);
    flush->indexes = malloc((schema->index_count + 1) * sizeof *flush->indexes);
    if (!flush->indexes) return error_no_memory(error, "flush");
    for (uint32_t i = 0; i < schema->index_count; i++) {
        const struct table_index *index = &schema->indexes[i];
        if (index->kind != INDEX_SORTED || index->state == INDEX_DROPPING) continue;
        if (index->state == INDEX_BUILDING && engine_build_covers(flush->output->db, index->id, flush->cut_lsn))
            continue;
        flush->indexes[flush->index_count++] = index;
    }
    for (size_t b = 0; b < flush->blocks.count; b++) {
        flush->rows += flush->blocks.blocks[b]->rows;
        if (schema->partition_us && !add_partitions(flush, flush->blocks.blocks[b]))
            return error_no_memory(error, "partitions");
    }
    return PLINTH_OK;
}

static unsigned threads_for(const struct rows_flush *flush) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t useful = flush->rows / RANGE_ROWS_MIN;
    unsigned threads = cores < 1 ? 1 : cores > RANGES_MAX ? RANGES_MAX : (unsigned)cores;
    return useful < threads ? (unsigned)useful : threads;
}

/* Many small partitions are many files, and each is waited for: then tasks have partitions instead of ranges, and so
 * many of them that they wait together. 0: there are not many. */
static unsigned partition_tasks_for(const struct rows_flush *flush) {
    uint64_t tasks = flush->partition_count / ROW_OUTPUT_PARTITIONS_MAX;
    if (tasks < 2 || flush->rows / flush->partition_count >= PARTITION_ROWS_FEW) return 0;
    return tasks < RANGES_MAX ? (unsigned)tasks : RANGES_MAX;
}

/* ---- doing it ---- */

static enum plinth_status task_init(struct flush_task *task, struct rows_flush *flush, bool is_index,
                                    struct plinth_error *error) {
    const struct output *into = flush->output;
    task->base.run = is_index ? write_index : write_rows;
    task->flush = flush;
    output_init(&task->output, into->db, into->job, into->codec, into->segment_bytes_max);
    uint32_t entries = is_index ? 1 : flush->index_count;
    task->entries = calloc(entries + 1, sizeof *task->entries);
    if (!task->entries) return error_no_memory(error, "flush");
    for (uint32_t i = 0; !is_index && i < entries; i++)
        index_output_init(&task->entries[i], flush->schema, flush->indexes[i]);
    return PLINTH_OK;
}

static void task_deinit(struct flush_task *task, bool is_index) {
    for (uint32_t i = 0; task->entries && i < (is_index ? 1 : task->flush->index_count); i++)
        index_output_deinit(&task->entries[i]);
    free(task->entries);
    output_deinit(&task->output);
}

static enum plinth_status run_tasks(struct flush_task *tasks, unsigned count, unsigned threads,
                                    struct plinth_error *error) {
    struct pool *pool = NULL;
    if (threads > count) threads = count;
    enum plinth_status st = threads > 1 ? pool_create("plinth-flush", threads, &pool, error) : PLINTH_OK;
    if (st) return st;
    for (unsigned i = 0; i < count; i++)
        if (!pool || !pool_submit(pool, &tasks[i].base)) tasks[i].base.run(&tasks[i].base);
    if (pool) pool_destroy(pool); /* waits for all */
    for (unsigned i = 0; !st && i < count; i++) {
        st = tasks[i].status;
        if (st && error) *error = tasks[i].error;
    }
    return st;
}

/* Moves the segments of one partition, range after range: together they are a run. */
static enum plinth_status take_partition(struct output *output, struct flush_task *tasks, unsigned count,
                                         const struct segment_info *like, struct plinth_error *error) {
    const bool has_partition = like->has_partition;
    const int64_t partition = like->partition;
    enum plinth_status st = PLINTH_OK;
    for (unsigned i = 0; !st && i < count; i++) {
        struct output *from = &tasks[i].output;
        uint64_t kept = 0;
        for (uint64_t s = 0; s < from->segment_count; s++) {
            struct segment_info *info = &from->segments[s];
            bool wanted = !st && partition_compare(info->has_partition, info->partition, has_partition, partition) == 0;
            if (wanted)
                st = output_push_segment(output, info, error);
            else
                from->segments[kept++] = *info;
        }
        from->segment_count = kept;
    }
    return st;
}

static enum plinth_status flush_ranges(struct rows_flush *flush, struct flush_task *tasks, unsigned count,
                                       unsigned threads, struct plinth_error *error) {
    enum plinth_status st = run_tasks(tasks, count, threads, error);
    for (unsigned i = 0; !st && i < count; i++)
        while (!st && tasks[i].output.segment_count)
            st = take_partition(flush->output, tasks, count, &tasks[i].output.segments[0], error);
    return st;
}

static enum plinth_status flush_indexes(struct rows_flush *flush, struct flush_task *ranges, unsigned range_count,
                                        unsigned threads, struct plinth_error *error) {
    struct flush_task *tasks = calloc(flush->index_count + 1, sizeof *tasks);
    enum plinth_status st = tasks ? PLINTH_OK : error_no_memory(error, "flush");
    unsigned count = 0;
    for (; !st && count < flush->index_count; count++) {
        st = task_init(&tasks[count], flush, true, error);
        if (st) continue;
        index_output_init(tasks[count].entries, flush->schema, flush->indexes[count]);
        for (unsigned i = 0; !st && i < range_count; i++)
            st = index_output_take(tasks[count].entries, &ranges[i].entries[count], error);
    }
    if (!st) st = run_tasks(tasks, count, threads, error);
    for (unsigned i = 0; !st && i < count; i++) st = output_take(flush->output, &tasks[i].output, error);
    for (unsigned i = 0; i < count; i++) task_deinit(&tasks[i], true);
    free(tasks);
    return st;
}

/* What collecting and sorting an index's entries takes at most, about: twice what they are, by the first block. */
static uint64_t entries_bytes(const struct rows_flush *flush, const struct table_index *index) {
    const struct row_block *block = flush->blocks.blocks[0];
    uint64_t bytes = sizeof(uint32_t) + sizeof(uint64_t);
    if (block->keys.offsets) bytes += (block->keys.offsets[block->rows] - block->keys.offsets[0]) / block->rows;
    for (uint32_t i = 0; i < table_index_entry_parts(index); i++) {
        const struct column *column = row_block_column(block, table_index_part_column(index, i));
        bool has_lengths = column && !column_type_width(column->type) && column->offsets;
        bytes += has_lengths ? 4 + (column->offsets[block->rows] - column->offsets[0]) / block->rows : 9;
    }
    return 2 * bytes * flush->rows;
}

/* How many of the indexes from `first` on one pass collects: as many as the memory limit has room for, but one. */
static uint32_t indexes_at_once(const struct rows_flush *flush, const struct table_index *const *indexes,
                                uint32_t count, uint64_t *bytes) {
    uint32_t taken = 0;
    *bytes = 0;
    while (taken < count) {
        uint64_t more = entries_bytes(flush, indexes[taken]);
        if (taken && *bytes + more > flush->output->db->memory.plan.flush_bytes) break;
        *bytes += more;
        taken++;
    }
    return taken;
}

static enum plinth_status flush_by_tasks(struct rows_flush *flush, struct plinth_error *error) {
    struct slice bounds[RANGES_MAX];
    struct flush_task tasks[RANGES_MAX];
    unsigned threads = threads_for(flush), parts = partition_tasks_for(flush), wanted, count = 0;
    enum plinth_status st = choose_bounds(flush, parts ? 1 : threads, bounds, &wanted, error);
    if (parts) wanted = parts;
    for (; !st && count < wanted; count++) {
        uint64_t first = parts ? flush->partition_count * count / parts : 0;
        uint64_t end = parts ? flush->partition_count * (count + 1) / parts : flush->partition_count;
        tasks[count] = (struct flush_task){.partitions = flush->partitions + first,
                                           .partition_count = end - first,
                                           .with_entries = !parts || count == 0};
        if (!parts && count) tasks[count].lower = bounds[count - 1];
        if (!parts && count + 1 < wanted) tasks[count].upper = bounds[count];
        st = task_init(&tasks[count], flush, false, error);
    }
    if (!st) st = flush_ranges(flush, tasks, count, parts ? parts : threads, error);
    if (!st && flush->index_count) st = flush_indexes(flush, tasks, count, threads, error);
    for (unsigned i = 0; i < count; i++) task_deinit(&tasks[i], false);
    return st;
}

enum plinth_status flush_rows(struct output *output, struct memtable *memtable, const struct table_schema *schema,
                              uint64_t cut_lsn, uint64_t horizon_lsn, bool bottom, struct plinth_error *error) {
    struct rows_flush flush = {
        .output = output, .schema = schema, .cut_lsn = cut_lsn, .horizon_lsn = horizon_lsn, .bottom = bottom};
    memtable_blocks(memtable, schema->id, &flush.blocks);
    enum plinth_status st = describe(&flush, error);
    const struct table_index **indexes = flush.indexes;
    uint32_t left = flush.index_count;
    flush.with_rows = true;
    while (!st && flush.rows && (left || flush.with_rows)) {
        uint64_t bytes;
        flush.index_count = indexes_at_once(&flush, flush.indexes, left, &bytes);
        atomic_fetch_add_explicit(&output->db->memory.flush_bytes, bytes, memory_order_relaxed);
        st = flush_by_tasks(&flush, error);
        atomic_fetch_sub_explicit(&output->db->memory.flush_bytes, bytes, memory_order_relaxed);
        flush.indexes += flush.index_count;
        left -= flush.index_count;
        flush.with_rows = false;
    }
    memtable_blocks_release(&flush.blocks);
    free(flush.all_ids);
    free(indexes);
    free(flush.partitions);
    return st;
}
