#include "engine/output.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

void output_init(struct output *output, struct plinth *db, uint64_t job, enum segment_codec codec,
                 uint64_t segment_bytes_max) {
    *output = (struct output){.db = db, .job = job, .codec = codec, .segment_bytes_max = segment_bytes_max};
}

void output_deinit(struct output *output) {
    segment_writer_abort(output->writer);
    table_schema_unref(output->schema);
    for (uint64_t i = 0; i < output->segment_count; i++) segment_info_deinit(&output->segments[i]);
    free(output->segments);
    buffer_deinit(&output->last_key);
    *output = (struct output){0};
}

enum plinth_status output_push_segment(struct output *output, struct segment_info *info, struct plinth_error *error) {
    output->rows += info->rows;
    output->bytes += info->bytes;
    if (ARRAY_PUSH(output->segments, output->segment_count, *info)) return PLINTH_OK;
    segment_info_deinit(info);
    return error_no_memory(error, "segment list");
}

enum plinth_status output_take(struct output *output, struct output *from, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    uint64_t taken = 0;
    for (; !st && taken < from->segment_count; taken++) st = output_push_segment(output, &from->segments[taken], error);
    if (taken) memmove(from->segments, from->segments + taken, (from->segment_count - taken) * sizeof *from->segments);
    from->segment_count -= taken;
    return st;
}

static enum plinth_status end_segment(struct output *output, struct plinth_error *error) {
    if (!output->writer) return PLINTH_OK;
    struct segment_info info = {0};
    struct segment_writer *writer = output->writer;
    output->writer = NULL;
    enum plinth_status st = segment_writer_commit(writer, &info, error);
    info.purged_lsn = output->purged_lsn;
    return st ? st : output_push_segment(output, &info, error);
}

enum plinth_status output_begin_table(struct output *output, struct table_id table, bool index_table,
                                      struct plinth_error *error) {
    enum plinth_status st = end_segment(output, error);
    output->table = table;
    output->index_table = index_table;
    output->purged_lsn = 0;
    table_schema_unref(output->schema);
    output->schema = NULL;
    output->index = NULL;
    return st;
}

enum plinth_status output_begin_index(struct output *output, const struct table_schema *schema,
                                      const struct table_index *index, struct plinth_error *error) {
    enum plinth_status st = output_begin_table(output, index->id, true, error);
    output->schema = table_schema_ref(schema);
    output->index = index;
    return st;
}

static enum plinth_status begin_segment(struct output *output, struct plinth_error *error) {
    char name[sizeof(((struct segment_info *)0)->name)];
    engine_segment_name(output->db, output->job, output->table, name);
    struct segment_options options = {.table = output->table,
                                      .index_table = output->index_table,
                                      .job = output->job,
                                      .codec = output->codec,
                                      .schema = output->schema,
                                      .index = output->index,
                                      .group_bytes_max = output->db->memory.plan.row_group_bytes};
    return segment_writer_open(output->db->store, name, &options, &output->writer, error);
}

enum plinth_status output_add(struct output *output, const struct row *row, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    /* The versions of a key stay together: a run's segments have disjoint key ranges. */
    if (output->writer && segment_writer_raw_bytes(output->writer) >= output->segment_bytes_max &&
        !slice_equal(buffer_slice(&output->last_key), row->key))
        st = end_segment(output, error);
    if (!st && !output->writer) st = begin_segment(output, error);
    if (!st) st = segment_writer_add(output->writer, row, error);
    if (!st && output->values) st = value_counts_add(output->values, row->indexes, -1, error);
    if (st) return st;
    if (segment_writer_raw_bytes(output->writer) < output->segment_bytes_max) return PLINTH_OK;
    buffer_clear(&output->last_key);
    if (!buffer_append(&output->last_key, row->key.data, row->key.size)) return error_no_memory(error, "segment");
    return PLINTH_OK;
}

enum plinth_status output_finish(struct output *output, struct plinth_error *error) {
    return end_segment(output, error);
}

enum plinth_status output_open_run(struct plinth *db, struct segment_info *segments, uint64_t count, struct run **run,
                                   struct plinth_error *error) {
    *run = NULL;
    struct segment **opened = calloc(count ? count : 1, sizeof *opened);
    if (!opened) return error_no_memory(error, "run");
    enum plinth_status st = PLINTH_OK;
    uint64_t done = 0;
    for (; !st && done < count; done += !st) {
        st = segment_open_lazily(db->store, db->cache, &segments[done], &opened[done], error);
        if (!st) segments[done].index_crc = segment_info(opened[done])->index_crc;
    }
    if (!st)
        st = run_create(opened, count, run, error);
    else
        for (uint64_t i = 0; i < done; i++) segment_unref(opened[i]);
    free(opened);
    return st;
}
