#include "engine/flush_rows.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/index_output.h"
#include "engine/row_output.h"

enum {
    RANGE_ROWS_MIN = 100 * 1000, /* rows that are worth a range of their own */
    RANGES_MAX = 8,
    SAMPLES = 512, /* keys that ranges are chosen from */
};

struct rows_flush {
    struct output *output;
    const struct table_schema *schema;
    struct memtable_blocks blocks;
    uint64_t rows; /* of the blocks */
    uint64_t horizon_lsn;
    bool bottom;
    uint32_t *all_ids;   /* of the schema's columns */
    int64_t *partitions; /* that the blocks' rows lie in, ascending */
    uint64_t partition_count;
};

struct flush_task {
    struct pool_task base;
    struct rows_flush *flush;
    const struct table_index *index; /* null: the rows in [lower, upper) */
    struct slice lower, upper;
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

static enum plinth_status write_range(struct flush_task *task, struct row_output *rows, struct plinth_error *error) {
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
        st = row_output_add(rows, block, error);
        row_block_unref(block);
    }
    block_stream_close(merged);
    return st ? st : row_output_finish(rows, error);
}

/* As many partitions at a time as may be open; nearly always all there are. */
static enum plinth_status write_rows(struct flush_task *task, struct plinth_error *error) {
    const struct rows_flush *flush = task->flush;
    enum plinth_status st = PLINTH_OK;
    uint64_t at = 0;
    do {
        struct row_output rows;
        uint64_t left = flush->partition_count - at;
        uint64_t count = left < ROW_OUTPUT_PARTITIONS_MAX ? left : ROW_OUTPUT_PARTITIONS_MAX;
        row_output_init(&rows, &task->output, flush->schema);
        st = row_output_choose_partitions(&rows, flush->partitions + at, count, error);
        if (!st) st = write_range(task, &rows, error);
        row_output_deinit(&rows);
        at += count;
    } while (!st && at < flush->partition_count);
    return st;
}

/* ---- indexes ---- */

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status write_index(struct flush_task *task, struct plinth_error *error) {
    const struct rows_flush *flush = task->flush;
    uint32_t ids[ROW_KEY_PARTS_MAX];
    memcpy(ids, task->index->columns, task->index->column_count * sizeof *ids);
    qsort(ids, task->index->column_count, sizeof *ids, compare_ids);
    const struct block_read read = {
        .schema = flush->schema, .column_ids = ids, .column_count = task->index->column_count, .with_keys = true};
    struct index_output entries;
    struct block_stream *merged = NULL;
    index_output_init(&entries, flush->schema, task->index);
    enum plinth_status st = open_merge(flush, &read, &merged, error);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = index_output_add(&entries, block, error);
        row_block_unref(block);
    }
    block_stream_close(merged);
    if (!st) st = index_output_write(&entries, &task->output, error);
    index_output_deinit(&entries);
    return st;
}

static void run_task(struct pool_task *base) {
    struct flush_task *task = (struct flush_task *)base;
    task->status = task->index ? write_index(task, &task->error) : write_rows(task, &task->error);
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

/* ---- doing it ---- */

static enum plinth_status run_tasks(struct flush_task *tasks, unsigned count, unsigned threads,
                                    struct plinth_error *error) {
    struct pool *pool = NULL;
    enum plinth_status st = threads > 1 ? pool_create("plinth-flush", threads, &pool, error) : PLINTH_OK;
    if (st) return st;
    for (unsigned i = 0; i < count; i++)
        if (!pool || !pool_submit(pool, &tasks[i].base)) run_task(&tasks[i].base);
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

static enum plinth_status take_segments(struct output *output, struct flush_task *tasks, unsigned count,
                                        unsigned ranges, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (unsigned i = 0; !st && i < ranges; i++)
        while (!st && tasks[i].output.segment_count)
            st = take_partition(output, tasks, ranges, &tasks[i].output.segments[0], error);
    for (unsigned i = ranges; !st && i < count; i++) st = output_take(output, &tasks[i].output, error);
    return st;
}

static enum plinth_status flush_by_tasks(struct rows_flush *flush, struct plinth_error *error) {
    const struct table_schema *schema = flush->schema;
    struct slice bounds[RANGES_MAX];
    unsigned threads = threads_for(flush), ranges, count = 0;
    enum plinth_status st = choose_bounds(flush, threads, bounds, &ranges, error);
    struct flush_task *tasks = calloc(RANGES_MAX + schema->index_count, sizeof *tasks);
    if (!st && !tasks) st = error_no_memory(error, "flush");
    if (st) goto done;
    for (; count < ranges; count++) {
        if (count) tasks[count].lower = bounds[count - 1];
        if (count + 1 < ranges) tasks[count].upper = bounds[count];
    }
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].kind == INDEX_SORTED && schema->indexes[i].state != INDEX_DROPPING)
            tasks[count++].index = &schema->indexes[i];
    for (unsigned i = 0; i < count; i++) {
        const struct output *into = flush->output;
        tasks[i].base.run = run_task;
        tasks[i].flush = flush;
        output_init(&tasks[i].output, into->db, into->job, into->codec, into->segment_bytes_max);
    }
    st = run_tasks(tasks, count, threads, error);
    if (!st) st = take_segments(flush->output, tasks, count, ranges, error);
    for (unsigned i = 0; i < count; i++) output_deinit(&tasks[i].output);
done:
    free(tasks);
    return st;
}

enum plinth_status flush_rows(struct output *output, struct memtable *memtable, const struct table_schema *schema,
                              uint64_t horizon_lsn, bool bottom, struct plinth_error *error) {
    struct rows_flush flush = {.output = output, .schema = schema, .horizon_lsn = horizon_lsn, .bottom = bottom};
    memtable_blocks(memtable, schema->id, &flush.blocks);
    enum plinth_status st = describe(&flush, error);
    if (!st && flush.rows) st = flush_by_tasks(&flush, error);
    memtable_blocks_release(&flush.blocks);
    free(flush.all_ids);
    free(flush.partitions);
    return st;
}
