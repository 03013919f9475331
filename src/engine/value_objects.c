#include "engine/value_objects.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

static int order(uint64_t job, uint32_t number, uint64_t other_job, uint32_t other_number) {
    if (job != other_job) return job < other_job ? -1 : 1;
    return (number > other_number) - (number < other_number);
}

int value_count_compare(const void *a, const void *b) {
    const struct value_count *left = a, *right = b;
    return order(left->job, left->number, right->job, right->number);
}

void value_objects_deinit(struct value_objects *objects) {
    for (uint64_t i = 0; i < objects->drop_count; i++) free(objects->drops[i].counts);
    free(objects->drops);
    free(objects->all);
    free(objects->dead);
    *objects = (struct value_objects){0};
}

/* Where the object is or belongs. */
static uint64_t find_place(const struct value_objects *objects, uint64_t job, uint32_t number) {
    uint64_t low = 0, high = objects->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (order(objects->all[middle].job, objects->all[middle].number, job, number) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct value_object *value_objects_find(const struct value_objects *objects, uint64_t job, uint32_t number) {
    uint64_t at = find_place(objects, job, number);
    bool found = at < objects->count && objects->all[at].job == job && objects->all[at].number == number;
    return found ? &objects->all[at] : NULL;
}

bool value_objects_is_dead(const struct value_objects *objects, uint64_t job, uint32_t number) {
    for (uint64_t i = 0; i < objects->dead_count; i++)
        if (objects->dead[i].job == job && objects->dead[i].number == number) return true;
    return false;
}

bool value_objects_refer(struct value_objects *objects, uint64_t lsn, struct table_id table,
                         const struct row_reference *reference) {
    uint64_t at = find_place(objects, reference->job, reference->number);
    bool found = at < objects->count &&
                 order(objects->all[at].job, objects->all[at].number, reference->job, reference->number) == 0;
    if (!found) {
        struct value_object made = {.job = reference->job, .number = reference->number, .table = table, .lsn = lsn};
        if (!ARRAY_PUSH(objects->all, objects->count, made)) return false;
        memmove(&objects->all[at + 1], &objects->all[at], (objects->count - 1 - at) * sizeof *objects->all);
        objects->all[at] = made;
    }
    struct value_object *object = &objects->all[at];
    uint64_t end = (uint64_t)reference->offset + reference->length;
    if (end > object->bytes) object->bytes = end;
    object->references++;
    return true;
}

bool value_objects_drop(struct value_objects *objects, uint64_t job, struct value_count *counts, uint64_t count) {
    struct value_drop drop = {job, counts, count};
    if (ARRAY_PUSH(objects->drops, objects->drop_count, drop)) return true;
    free(counts);
    return false;
}

static bool bury(struct value_objects *objects, const struct value_object *object, uint64_t lsn) {
    struct dead_value dead = {.job = object->job,
                              .number = object->number,
                              .bytes = object->bytes,
                              .lsn = object->lsn,
                              .since_lsn = lsn,
                              .view_sequence = UINT64_MAX};
    return ARRAY_PUSH(objects->dead, objects->dead_count, dead);
}

/* Takes the references away, in one pass; both lists are in the same order. Of tables that were dropped meanwhile the
 * objects are dead already. */
static bool subtract(struct value_objects *objects, uint64_t lsn, const struct value_drop *drop) {
    uint64_t kept = 0, next = 0;
    bool ok = true;
    if (!drop->count) return true;
    kept = find_place(objects, drop->counts[0].job, drop->counts[0].number);
    for (uint64_t i = kept; i < objects->count; i++) {
        struct value_object *object = &objects->all[i];
        while (next < drop->count &&
               order(drop->counts[next].job, drop->counts[next].number, object->job, object->number) < 0)
            next++;
        bool named = next < drop->count &&
                     order(drop->counts[next].job, drop->counts[next].number, object->job, object->number) == 0;
        uint64_t dropped = named ? (uint64_t)drop->counts[next].count : 0;
        object->references = dropped < object->references ? object->references - (uint32_t)dropped : 0;
        if (object->references)
            objects->all[kept++] = *object;
        else
            ok = bury(objects, object, lsn) && ok;
    }
    objects->count = kept;
    return ok;
}

static void remove_drop(struct value_objects *objects, uint64_t at) {
    free(objects->drops[at].counts);
    memmove(&objects->drops[at], &objects->drops[at + 1], (--objects->drop_count - at) * sizeof *objects->drops);
}

bool value_objects_commit(struct value_objects *objects, uint64_t job, uint64_t lsn) {
    bool ok = true;
    for (uint64_t i = 0; i < objects->drop_count;) {
        if (objects->drops[i].job != job) {
            i++;
            continue;
        }
        ok = subtract(objects, lsn, &objects->drops[i]) && ok;
        remove_drop(objects, i);
    }
    return ok;
}

void value_objects_abandon(struct value_objects *objects, uint64_t job) {
    for (uint64_t i = objects->drop_count; i > 0; i--)
        if (objects->drops[i - 1].job == job) remove_drop(objects, i - 1);
}

bool value_objects_drop_tables(struct value_objects *objects, uint64_t lsn,
                               bool (*is_gone)(const void *context, struct table_id table), const void *context) {
    uint64_t kept = 0;
    bool ok = true;
    for (uint64_t i = 0; i < objects->count; i++) {
        if (is_gone(context, objects->all[i].table))
            ok = bury(objects, &objects->all[i], lsn) && ok;
        else
            objects->all[kept++] = objects->all[i];
    }
    objects->count = kept;
    return ok;
}

void value_objects_gone(struct value_objects *objects, const struct value_count *gone, uint64_t count) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < objects->dead_count; i++) {
        struct value_count wanted = {.job = objects->dead[i].job, .number = objects->dead[i].number};
        if (count && bsearch(&wanted, gone, count, sizeof wanted, value_count_compare)) continue;
        objects->dead[kept++] = objects->dead[i];
    }
    objects->dead_count = kept;
}

/* ---- bytes ---- */

static bool append_id(struct buffer *into, uint64_t job, uint32_t number, uint64_t *last_job, uint32_t *last_number) {
    bool same = job == *last_job;
    bool ok =
        buffer_append_varint(into, job - *last_job) && buffer_append_varint(into, number - (same ? *last_number : 0));
    *last_job = job;
    *last_number = number;
    return ok;
}

/* The next object's; fails unless it is behind the one before, which is {0, 0} at first. */
static void read_id(struct reader *from, uint64_t *job, uint32_t *number) {
    uint64_t step = reader_varint(from), last = *number;
    uint64_t next = reader_varint(from);
    if (step > UINT64_MAX - *job || next > UINT32_MAX || (!step && (!next || !*job || last + next > UINT32_MAX)))
        from->failed = true;
    *job += step;
    *number = (uint32_t)(step ? next : last + next);
}

static bool encode_counts(struct buffer *into, const struct value_count *counts, uint64_t count, bool with_counts) {
    uint64_t job = 0;
    uint32_t number = 0;
    bool ok = buffer_append_varint(into, count);
    for (uint64_t i = 0; ok && i < count; i++)
        ok = append_id(into, counts[i].job, counts[i].number, &job, &number) &&
             (!with_counts || buffer_append_varint(into, (uint64_t)counts[i].count));
    return ok;
}

/* Null when memory is out, or from->failed is set. */
static struct value_count *decode_counts(struct reader *from, uint64_t *count, bool with_counts) {
    uint64_t left = reader_varint(from), job = 0;
    uint32_t number = 0;
    if (left > reader_left(from)) from->failed = true; /* each takes a byte or more */
    struct value_count *counts = from->failed ? NULL : malloc((left + 1) * sizeof *counts);
    for (*count = 0; counts && *count < left && !from->failed; ++*count) {
        read_id(from, &job, &number);
        uint64_t references = with_counts ? reader_varint(from) : 1;
        if (!references || references > UINT32_MAX) from->failed = true;
        counts[*count] = (struct value_count){job, number, (int64_t)references};
    }
    if (!from->failed) return counts;
    free(counts);
    return NULL;
}

bool values_dropped_encode(struct buffer *into, uint64_t job, const struct value_count *counts, uint64_t count) {
    return buffer_append_varint(into, job) && encode_counts(into, counts, count, true);
}

bool values_gone_encode(struct buffer *into, const struct value_count *gone, uint64_t count) {
    return encode_counts(into, gone, count, false);
}

static enum plinth_status take_counts(struct reader *from, struct value_count **counts, uint64_t *count,
                                      bool with_counts, struct plinth_error *error) {
    *counts = decode_counts(from, count, with_counts);
    if (!from->failed && !*counts) return error_no_memory(error, "record of values");
    if (!from->failed && !reader_left(from)) return PLINTH_OK;
    free(*counts);
    *counts = NULL;
    *count = 0;
    return error_set(error, PLINTH_CORRUPT, "malformed record of values");
}

enum plinth_status values_dropped_decode(struct slice payload, uint64_t *job, struct value_count **counts,
                                         uint64_t *count, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    *job = reader_varint(&from);
    return take_counts(&from, counts, count, true, error);
}

enum plinth_status values_gone_decode(struct slice payload, struct value_count **gone, uint64_t *count,
                                      struct plinth_error *error) {
    struct reader from = reader_of(payload);
    return take_counts(&from, gone, count, false, error);
}

bool value_objects_is_empty(const struct value_objects *objects) {
    return !objects->count && !objects->dead_count && !objects->drop_count;
}

bool value_objects_encode(struct buffer *into, const struct value_objects *objects) {
    uint64_t job = 0;
    uint32_t number = 0;
    bool ok = buffer_append_varint(into, objects->count);
    for (uint64_t i = 0; ok && i < objects->count; i++) {
        const struct value_object *object = &objects->all[i];
        ok = append_id(into, object->job, object->number, &job, &number) &&
             buffer_append_varint(into, object->references) && buffer_append_varint(into, object->table.tenant) &&
             buffer_append_varint(into, object->table.database) && buffer_append_varint(into, object->table.table) &&
             buffer_append_varint(into, object->lsn) && buffer_append_varint(into, object->bytes);
    }
    ok = ok && buffer_append_varint(into, objects->dead_count);
    for (uint64_t i = 0; ok && i < objects->dead_count; i++) {
        const struct dead_value *dead = &objects->dead[i];
        ok = buffer_append_varint(into, dead->job) && buffer_append_varint(into, dead->number) &&
             buffer_append_varint(into, dead->bytes) && buffer_append_varint(into, dead->lsn) &&
             buffer_append_varint(into, dead->since_lsn);
    }
    ok = ok && buffer_append_varint(into, objects->drop_count);
    for (uint64_t i = 0; ok && i < objects->drop_count; i++)
        ok = values_dropped_encode(into, objects->drops[i].job, objects->drops[i].counts, objects->drops[i].count);
    return ok;
}

static bool decode_live(struct reader *from, struct value_objects *objects) {
    uint64_t job = 0;
    uint32_t number = 0;
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct value_object object = {0};
        read_id(from, &job, &number);
        object.job = job;
        object.number = number;
        object.references = reader_varint32(from);
        object.table.tenant = reader_varint32(from);
        object.table.database = reader_varint32(from);
        object.table.table = reader_varint32(from);
        object.lsn = reader_varint(from);
        object.bytes = reader_varint(from);
        if (!object.references) from->failed = true;
        if (from->failed || !ARRAY_PUSH(objects->all, objects->count, object)) return false;
    }
    return !from->failed;
}

static bool decode_dead(struct reader *from, struct value_objects *objects) {
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct dead_value dead = {.job = reader_varint(from), .view_sequence = UINT64_MAX};
        dead.number = reader_varint32(from);
        dead.bytes = reader_varint(from);
        dead.lsn = reader_varint(from);
        dead.since_lsn = reader_varint(from);
        if (from->failed || !ARRAY_PUSH(objects->dead, objects->dead_count, dead)) return false;
    }
    return !from->failed;
}

bool value_objects_decode(struct reader *from, struct value_objects *objects) {
    if (!decode_live(from, objects) || !decode_dead(from, objects)) return false;
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        uint64_t job = reader_varint(from), count;
        struct value_count *counts = decode_counts(from, &count, true);
        if (!counts || !value_objects_drop(objects, job, counts, count)) return false;
    }
    return !from->failed;
}
