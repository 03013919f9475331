#include "engine/index_builds.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"

enum { PLACE_NONE = 0, PLACE_PLAIN = 1, PLACE_IN_PARTITION = 2 };

/* ---- the list ---- */

void index_builds_deinit(struct index_builds *builds) {
    for (uint64_t i = 0; i < builds->count; i++) free(builds->all[i].key);
    free(builds->all);
    *builds = (struct index_builds){0};
}

bool index_builds_begin(struct index_builds *builds, struct table_id index, uint64_t lsn) {
    /* Ids grow, so the newest is the last. */
    return ARRAY_PUSH(builds->all, builds->count, ((struct index_build){.index = index, .from_lsn = lsn}));
}

struct index_build *index_builds_find(const struct index_builds *builds, uint32_t index) {
    for (uint64_t i = 0; i < builds->count; i++)
        if (builds->all[i].index.table == index) return &builds->all[i];
    return NULL;
}

void index_builds_end(struct index_builds *builds, uint32_t index) {
    struct index_build *build = index_builds_find(builds, index);
    if (!build) return;
    free(build->key);
    memmove(build, build + 1, (size_t)(&builds->all[builds->count] - (build + 1)) * sizeof *build);
    builds->count--;
}

static bool set_place(struct index_build *build, uint64_t rows, const struct build_place *place) {
    uint8_t *key = malloc(place->key.size + 1);
    if (!key) return false;
    if (place->key.size) memcpy(key, place->key.data, place->key.size);
    free(build->key);
    build->key = key;
    build->rows = rows;
    build->place = *place;
    build->place.key = slice_of(key, place->key.size);
    return true;
}

bool index_build_advance(struct index_build *build, const struct index_step *step) {
    return set_place(build, step->rows, &step->place);
}

/* ---- bytes ---- */

static bool append_id(struct buffer *into, struct table_id id) {
    return buffer_append_varint(into, id.tenant) && buffer_append_varint(into, id.database) &&
           buffer_append_varint(into, id.table);
}

static struct table_id read_id(struct reader *from) {
    struct table_id id = {0};
    id.tenant = reader_varint32(from);
    id.database = reader_varint32(from);
    id.table = reader_varint32(from);
    return id;
}

static bool append_place(struct buffer *into, const struct build_place *place) {
    uint8_t kind = !place->is_set ? PLACE_NONE : place->has_partition ? PLACE_IN_PARTITION : PLACE_PLAIN;
    bool ok = buffer_append_u8(into, kind);
    if (kind == PLACE_NONE) return ok;
    if (kind == PLACE_IN_PARTITION) ok = ok && buffer_append_varint(into, zigzag_encode(place->partition));
    return ok && buffer_append_string(into, place->key) && buffer_append_varint(into, place->lsn);
}

static struct build_place read_place(struct reader *from) {
    struct build_place place = {0};
    uint8_t kind = reader_u8(from);
    if (kind > PLACE_IN_PARTITION) from->failed = true;
    if (kind == PLACE_NONE || from->failed) return place;
    place.is_set = true;
    place.has_partition = kind == PLACE_IN_PARTITION;
    if (place.has_partition) place.partition = zigzag_decode(reader_varint(from));
    place.key = reader_string(from);
    place.lsn = reader_varint(from);
    return place;
}

void index_step_deinit(struct index_step *step) {
    for (uint64_t i = 0; i < step->segment_count; i++) segment_info_deinit(&step->segments[i]);
    free(step->segments);
    *step = (struct index_step){0};
}

bool index_step_encode(struct buffer *into, const struct index_step *step) {
    bool ok = append_id(into, step->index) && buffer_append_varint(into, step->job) &&
              buffer_append_varint(into, step->rows) && append_place(into, &step->place) &&
              buffer_append_varint(into, step->segment_count);
    for (uint64_t i = 0; ok && i < step->segment_count; i++) ok = segment_info_encode(into, &step->segments[i]);
    return ok;
}

enum plinth_status index_step_decode(struct slice payload, struct index_step *step, struct plinth_error *error) {
    struct reader from = reader_of(payload);
    *step = (struct index_step){.index = read_id(&from)};
    step->job = reader_varint(&from);
    step->rows = reader_varint(&from);
    step->place = read_place(&from);
    uint64_t segments = reader_varint(&from);
    bool ok = true;
    for (uint64_t i = 0; ok && i < segments && !from.failed; i++) {
        struct segment_info info = {0};
        if (!segment_info_decode(&from, &info)) break;
        ok = ARRAY_PUSH(step->segments, step->segment_count, info);
        if (!ok) segment_info_deinit(&info);
    }
    if (ok && !from.failed && step->segment_count == segments && !reader_left(&from) && !step->job == !segments)
        return PLINTH_OK;
    index_step_deinit(step);
    return ok ? error_set(error, PLINTH_CORRUPT, "malformed step of an index build")
              : error_no_memory(error, "index build");
}

bool index_builds_encode(struct buffer *into, const struct index_builds *builds) {
    bool ok = buffer_append_varint(into, builds->count);
    for (uint64_t i = 0; ok && i < builds->count; i++) {
        const struct index_build *build = &builds->all[i];
        ok = append_id(into, build->index) && buffer_append_varint(into, build->from_lsn) &&
             buffer_append_varint(into, build->rows) && append_place(into, &build->place);
    }
    return ok;
}

bool index_builds_decode(struct reader *from, struct index_builds *builds) {
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct table_id index = read_id(from);
        uint64_t lsn = reader_varint(from), rows = reader_varint(from);
        struct build_place place = read_place(from);
        if (from->failed || !index_builds_begin(builds, index, lsn)) return false;
        if (!set_place(&builds->all[builds->count - 1], rows, &place)) return false;
    }
    return !from->failed;
}
