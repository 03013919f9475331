#include "engine/merge_change.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "table/partition.h"

/* ---- bytes ---- */

void merge_change_deinit(struct merge_change *change) {
    for (uint64_t i = 0; i < change->run_count; i++) free(change->runs[i].taken);
    for (uint64_t i = 0; i < change->output_count; i++) segment_info_deinit(&change->outputs[i].info);
    free(change->runs);
    free(change->outputs);
    *change = (struct merge_change){0};
}

bool merge_change_encode(struct buffer *into, const struct merge_change *change) {
    bool ok = buffer_append_varint(into, change->job) && buffer_append_varint(into, change->table.tenant) &&
              buffer_append_varint(into, change->table.database) && buffer_append_varint(into, change->table.table) &&
              buffer_append_u8(into, change->has_partition) &&
              (!change->has_partition || buffer_append_varint(into, zigzag_encode(change->partition))) &&
              buffer_append_varint(into, change->level) && buffer_append_varint(into, change->run_count);
    for (uint64_t i = 0; ok && i < change->run_count; i++) {
        const struct merge_change_run *run = &change->runs[i];
        ok = buffer_append_varint(into, run->id) && buffer_append_varint(into, run->taken_count);
        for (uint64_t s = 0; ok && s < run->taken_count; s++) ok = buffer_append_string(into, run->taken[s]);
    }
    ok = ok && buffer_append_string(into, change->before) && buffer_append_varint(into, change->output_count);
    for (uint64_t i = 0; ok && i < change->output_count; i++) {
        const struct merge_change_output *output = &change->outputs[i];
        ok = output->moved.size ? buffer_append_u8(into, 0) && buffer_append_string(into, output->moved)
                                : buffer_append_u8(into, 1) && segment_info_encode(into, &output->info);
    }
    return ok;
}

/* A count of things that take a byte or more each. */
static uint64_t read_count(struct reader *from) {
    uint64_t count = reader_varint(from);
    if (count > reader_left(from)) from->failed = true;
    return from->failed ? 0 : count;
}

static enum plinth_status read_runs(struct reader *from, struct merge_change *change, struct plinth_error *error) {
    uint64_t count = read_count(from);
    change->runs = calloc(count + 1, sizeof *change->runs);
    if (!change->runs) return error_no_memory(error, "merge record");
    for (; change->run_count < count && !from->failed; change->run_count++) {
        struct merge_change_run *run = &change->runs[change->run_count];
        run->id = reader_varint(from);
        uint64_t taken = read_count(from);
        run->taken = calloc(taken + 1, sizeof *run->taken);
        if (!run->taken) return error_no_memory(error, "merge record");
        for (; run->taken_count < taken && !from->failed; run->taken_count++)
            run->taken[run->taken_count] = reader_string(from);
    }
    return PLINTH_OK;
}

static enum plinth_status read_outputs(struct reader *from, struct merge_change *change, struct plinth_error *error) {
    uint64_t count = read_count(from);
    change->outputs = calloc(count + 1, sizeof *change->outputs);
    if (!change->outputs) return error_no_memory(error, "merge record");
    for (uint64_t i = 0; i < count && !from->failed; i++) {
        struct merge_change_output *output = &change->outputs[i];
        uint8_t kind = reader_u8(from);
        if (kind == 0) output->moved = reader_string(from);
        if (kind > 1 || (kind == 0 && !output->moved.size) || (kind == 1 && !segment_info_decode(from, &output->info)))
            from->failed = true;
        change->output_count++;
    }
    return PLINTH_OK;
}

enum plinth_status merge_change_decode(struct slice payload, struct merge_change *change, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    *change = (struct merge_change){.job = reader_varint(&from)};
    change->table.tenant = reader_varint32(&from);
    change->table.database = reader_varint32(&from);
    change->table.table = reader_varint32(&from);
    uint8_t has_partition = reader_u8(&from);
    if (has_partition > 1) from.failed = true;
    change->has_partition = has_partition == 1;
    if (change->has_partition) change->partition = zigzag_decode(reader_varint(&from));
    change->level = reader_varint(&from);
    enum plinth_status st = read_runs(&from, change, error);
    if (!st) change->before = reader_string(&from);
    if (!st) st = read_outputs(&from, change, error);
    if (!st && (from.failed || reader_left(&from) || !change->run_count))
        st = error_set(error, PLINTH_CORRUPT, "malformed merge record");
    if (st) merge_change_deinit(change);
    return st;
}

/* ---- the shard ---- */

static bool is_named(const struct segment_info *segment, struct slice name) {
    return slice_equal(slice_of_string(segment->name), name);
}

static bool is_of_group(const struct merge_change *change, bool has_partition, int64_t partition) {
    return partition_compare(has_partition, partition, change->has_partition, change->partition) == 0;
}

/* Where the run with this id is, from position `from` on; run_count when it is not there. */
static uint64_t find_run(const struct shard_table *table, const struct merge_change *change, uint64_t from,
                         uint64_t id) {
    for (; from < table->run_count; from++) {
        const struct shard_run *run = &table->runs[from];
        if (run->id == id && is_of_group(change, run->has_partition, run->partition)) break;
    }
    return from;
}

/* Whether the segments taken are all there, in their order. */
static bool has_taken(const struct shard_run *run, const struct merge_change_run *of) {
    uint64_t found = 0;
    for (uint64_t s = 0; s < run->segment_count && found < of->taken_count; s++)
        found += is_named(&run->segments[s], of->taken[found]);
    return found == of->taken_count;
}

static bool is_taken(const struct merge_change_run *of, struct slice name) {
    for (uint64_t i = 0; i < of->taken_count; i++)
        if (slice_equal(of->taken[i], name)) return true;
    return false;
}

static bool has_before(const struct shard_run *run, const struct merge_change_run *of, struct slice before) {
    if (!before.size) return true;
    for (uint64_t s = 0; s < run->segment_count; s++)
        if (is_named(&run->segments[s], before)) return !is_taken(of, before);
    return false;
}

static bool outputs_fit(const struct merge_change *change) {
    for (uint64_t i = 0; i < change->output_count; i++) {
        const struct merge_change_output *output = &change->outputs[i];
        const struct segment_info *info = &output->info;
        bool fits = false;
        if (!output->moved.size)
            fits = table_id_compare(info->table, change->table) == 0 &&
                   is_of_group(change, info->has_partition, info->partition);
        for (uint64_t r = 0; !fits && output->moved.size && r < change->run_count; r++)
            fits = is_taken(&change->runs[r], output->moved);
        for (uint64_t j = 0; fits && output->moved.size && j < i; j++)
            fits = !slice_equal(change->outputs[j].moved, output->moved);
        if (!fits) return false;
    }
    return true;
}

bool merge_change_is_valid(const struct shard *shard, const struct merge_change *change) {
    const struct shard_table *table = shard_find_table(shard, change->table);
    if (!table) return false;
    const struct shard_run *run = NULL;
    for (uint64_t r = 0, at = 0; r < change->run_count; r++, at++) {
        at = find_run(table, change, at, change->runs[r].id);
        if (at == table->run_count || !has_taken(&table->runs[at], &change->runs[r])) return false;
        run = &table->runs[at];
    }
    return has_before(run, &change->runs[change->run_count - 1], change->before) && outputs_fit(change);
}

static struct merge_change_output *find_moved(struct merge_change *change, const struct segment_info *segment) {
    for (uint64_t i = 0; i < change->output_count; i++)
        if (change->outputs[i].moved.size && is_named(segment, change->outputs[i].moved)) return &change->outputs[i];
    return NULL;
}

/* Takes segments out of a run: into the change when they are moved, else to the garbage. */
static bool take_segments(struct shard *shard, uint64_t lsn, struct merge_change *change, struct shard_run *run,
                          const struct merge_change_run *of) {
    uint64_t kept = 0, taken = 0;
    bool ok = true;
    for (uint64_t s = 0; s < run->segment_count; s++) {
        struct segment_info *segment = &run->segments[s];
        if (taken == of->taken_count || !is_named(segment, of->taken[taken])) {
            run->segments[kept++] = *segment;
            continue;
        }
        taken++;
        struct merge_change_output *moved = find_moved(change, segment);
        if (moved) {
            moved->info = *segment;
            continue;
        }
        struct shard_garbage garbage = {.since_lsn = lsn};
        memcpy(garbage.name, segment->name, sizeof garbage.name);
        ok = ok && ARRAY_PUSH(shard->garbage, shard->garbage_count, garbage);
        segment_info_deinit(segment);
    }
    run->segment_count = kept;
    return ok;
}

static bool put_outputs(struct merge_change *change, struct shard_run *run) {
    uint64_t count = run->segment_count, at = 0;
    struct segment_info *grown = realloc(run->segments, (count + change->output_count + 1) * sizeof *grown);
    if (!grown) return false;
    run->segments = grown;
    while (at < count && !(change->before.size && is_named(&grown[at], change->before))) at++;
    memmove(&grown[at + change->output_count], &grown[at], (count - at) * sizeof *grown);
    for (uint64_t i = 0; i < change->output_count; i++) {
        grown[at + i] = change->outputs[i].info;
        change->outputs[i].info = (struct segment_info){0};
    }
    run->segment_count = count + change->output_count;
    if (run->level < change->level) run->level = change->level;
    return true;
}

static void drop_empty_runs(struct shard_table *table) {
    uint64_t kept = 0;
    for (uint64_t r = 0; r < table->run_count; r++) {
        if (table->runs[r].segment_count)
            table->runs[kept++] = table->runs[r];
        else
            free(table->runs[r].segments);
    }
    table->run_count = kept;
}

bool merge_change_apply(struct shard *shard, uint64_t lsn, struct merge_change *change) {
    struct shard_table *table = (struct shard_table *)shard_find_table(shard, change->table);
    bool ok = true;
    uint64_t at = 0;
    for (uint64_t r = 0; ok && r < change->run_count; r++) {
        at = find_run(table, change, r ? at + 1 : 0, change->runs[r].id);
        ok = take_segments(shard, lsn, change, &table->runs[at], &change->runs[r]);
    }
    ok = ok && put_outputs(change, &table->runs[at]);
    drop_empty_runs(table);
    return ok;
}
