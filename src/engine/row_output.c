#include "engine/row_output.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

enum { STRETCH_ROWS_MIN = 64 }; /* shorter ones are gathered before they are written */

void row_output_init(struct row_output *output, struct output *into, const struct table_schema *schema) {
    *output = (struct row_output){.into = into, .schema = schema};
}

void row_output_init_entries(struct row_output *output, struct output *into, const struct table_schema *schema,
                             const struct table_index *index) {
    row_output_init(output, into, schema);
    output->index = index;
}

void row_output_deinit(struct row_output *output) {
    for (uint64_t i = 0; i < output->open_count; i++) {
        row_segment_writer_abort(output->open[i].writer);
        buffer_deinit(&output->open[i].last_key);
        free(output->open[i].stretches);
    }
    free(output->open);
    free(output->partitions);
    *output = (struct row_output){0};
}

enum plinth_status row_output_fix_partition(struct row_output *output, bool has_partition, int64_t partition,
                                            struct plinth_error *error) {
    struct row_output_segment only = {.has_partition = has_partition, .partition = partition};
    output->fixed = true;
    return ARRAY_PUSH(output->open, output->open_count, only) ? PLINTH_OK : error_no_memory(error, "segments");
}

enum plinth_status row_output_choose_partitions(struct row_output *output, const int64_t *partitions, uint64_t count,
                                                struct plinth_error *error) {
    for (uint64_t i = 0; i < count; i++) {
        struct row_output_segment of = {.has_partition = true, .partition = partitions[i]};
        if (!ARRAY_PUSH(output->open, output->open_count, of)) return error_no_memory(error, "segments");
    }
    return PLINTH_OK;
}

/* ---- one segment ---- */

static enum plinth_status begin_segment(struct row_output *output, struct row_output_segment *segment,
                                        struct plinth_error *error) {
    char name[sizeof(((struct segment_info *)0)->name)];
    struct output *into = output->into;
    engine_segment_name(into->db, into->job, output->schema->id, name);
    struct row_segment_options options = {.schema = output->schema,
                                          .index = output->index,
                                          .job = into->job,
                                          .codec = into->codec,
                                          .has_partition = segment->has_partition,
                                          .partition = segment->partition,
                                          .group_bytes_max = into->db->memory.plan.row_group_bytes};
    return row_segment_writer_open(into->db->store, name, &options, &segment->writer, error);
}

static enum plinth_status end_segment(struct row_output *output, struct row_output_segment *segment,
                                      struct plinth_error *error) {
    if (!segment->writer) return PLINTH_OK;
    struct segment_info info = {0};
    struct row_segment_writer *writer = segment->writer;
    segment->writer = NULL;
    enum plinth_status st = row_segment_writer_commit(writer, &info, error);
    return st ? st : output_push_segment(output->into, &info, error);
}

/* Writes rows [first, first + count), into the next segment from the first key on that the full one has not. */
static enum plinth_status write_rows(struct row_output *output, struct row_output_segment *segment,
                                     const struct row_block *block, uint32_t first, uint32_t count,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (segment->writer && row_segment_writer_raw_bytes(segment->writer) >= output->into->segment_bytes_max) {
        uint32_t same = 0; /* the versions of a key stay together */
        while (same < count && slice_equal(row_block_key(block, first + same), buffer_slice(&segment->last_key)))
            same++;
        if (same) st = row_segment_writer_add(segment->writer, block, first, same, error);
        first += same;
        count -= same;
        if (st || !count) return st;
        st = end_segment(output, segment, error);
    }
    if (!st && !segment->writer) st = begin_segment(output, segment, error);
    if (!st) st = row_segment_writer_add(segment->writer, block, first, count, error);
    if (st) return st;
    struct slice last = row_block_key(block, first + count - 1);
    buffer_clear(&segment->last_key);
    return buffer_append(&segment->last_key, last.data, last.size) ? PLINTH_OK : error_no_memory(error, "segment");
}

/* ---- which rows go where ---- */

static struct row_output_segment *find_segment(struct row_output *output, int64_t partition) {
    uint64_t low = 0, high = output->open_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (output->open[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low < output->open_count && output->open[low].partition == partition ? &output->open[low] : NULL;
}

static bool note_stretch(struct row_output_segment *segment, uint32_t first, uint32_t count) {
    if (segment->stretch_count == segment->stretch_capacity) {
        uint32_t capacity = segment->stretch_capacity ? segment->stretch_capacity * 2 : 16;
        void *grown = realloc(segment->stretches, capacity * sizeof *segment->stretches);
        if (!grown) return false;
        segment->stretches = grown;
        segment->stretch_capacity = capacity;
    }
    segment->stretches[segment->stretch_count++] = (struct row_stretch){0, first, count};
    segment->rows += count;
    return true;
}

/* Notes the block's rows with the segments of their partitions. */
static enum plinth_status share_out(struct row_output *output, const struct row_block *block,
                                    struct plinth_error *error) {
    if (output->partitions_capacity < block->rows) {
        free(output->partitions);
        output->partitions = malloc(block->rows * sizeof *output->partitions);
        output->partitions_capacity = output->partitions ? block->rows : 0;
        if (!output->partitions) return error_no_memory(error, "partitions");
    }
    const int64_t *partitions = output->partitions;
    if (!partitions_of(output->schema, block, output->partitions))
        return error_set(error, PLINTH_INTERNAL, "rows of table %s without their partition column",
                         output->schema->name);
    for (uint32_t first = 0, end; first < block->rows; first = end) {
        for (end = first + 1; end < block->rows && partitions[end] == partitions[first];) end++;
        struct row_output_segment *segment = find_segment(output, partitions[first]);
        if (segment && !note_stretch(segment, first, end - first)) return error_no_memory(error, "partitions");
    }
    return PLINTH_OK;
}

static enum plinth_status write_share(struct row_output *output, struct row_output_segment *segment,
                                      struct row_block *block, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (segment->rows / segment->stretch_count >= STRETCH_ROWS_MIN) {
        for (uint32_t i = 0; !st && i < segment->stretch_count; i++)
            st = write_rows(output, segment, block, segment->stretches[i].first, segment->stretches[i].count, error);
    } else {
        struct row_block *selected = row_block_select(block, segment->stretches, segment->stretch_count);
        st = selected ? write_rows(output, segment, selected, 0, selected->rows, error)
                      : error_no_memory(error, "rows of a partition");
        row_block_unref(selected);
    }
    segment->stretch_count = segment->rows = 0;
    return st;
}

enum plinth_status row_output_add(struct row_output *output, struct row_block *block, struct plinth_error *error) {
    if (!output->schema->partition_us && !output->open_count) {
        enum plinth_status st = row_output_fix_partition(output, false, 0, error);
        if (st) return st;
    }
    if (output->fixed) return write_rows(output, &output->open[0], block, 0, block->rows, error);
    enum plinth_status st = share_out(output, block, error);
    for (uint64_t i = 0; !st && i < output->open_count; i++)
        if (output->open[i].stretch_count) st = write_share(output, &output->open[i], block, error);
    return st;
}

enum plinth_status row_output_finish(struct row_output *output, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < output->open_count; i++) st = end_segment(output, &output->open[i], error);
    return st;
}
