/* Shredding arrays into columns with levels. See arrow_write.h. */
#include "parquet/arrow_write.h"

#include "base/status.h"
#include "parquet/arrow_values.h"

/* What of some rows arrives at a field. */
struct slots {
    uint64_t count;
    uint8_t *definition, *repetition;
    int64_t *at; /* place in the field's array, its offset not counted; -1: something above is null or empty */
};

struct slots_memory {
    struct buffer definition, repetition, at;
};

struct shredder {
    const struct arrow_plan *plan;
    const struct parquet_schema *schema;
    struct arrow_shredded *columns;
    struct plinth_error *error;
};

void arrow_shredded_deinit(struct arrow_shredded *shredded) {
    buffer_deinit(&shredded->values);
    buffer_deinit(&shredded->offsets);
    buffer_deinit(&shredded->validity);
    buffer_deinit(&shredded->definition);
    buffer_deinit(&shredded->repetition);
    *shredded = (struct arrow_shredded){0};
}

static void slots_memory_deinit(struct slots_memory *memory) {
    buffer_deinit(&memory->definition);
    buffer_deinit(&memory->repetition);
    buffer_deinit(&memory->at);
}

static enum plinth_status slots_init(struct slots *slots, struct slots_memory *memory, uint64_t count,
                                     struct plinth_error *error) {
    *memory = (struct slots_memory){0};
    if (count > INT32_MAX) return error_set(error, PLINTH_TOO_LARGE, "more than 2^31 values in a column of a batch");
    if (!buffer_reserve(&memory->definition, (size_t)count + 1) ||
        !buffer_reserve(&memory->repetition, (size_t)count + 1) ||
        !buffer_reserve(&memory->at, ((size_t)count + 1) * sizeof *slots->at))
        return error_no_memory(error, "Parquet levels");
    *slots =
        (struct slots){count, memory->definition.data, memory->repetition.data, (int64_t *)(void *)memory->at.data};
    return PLINTH_OK;
}

static enum plinth_status wrong(const struct shredder *shredder, const struct arrow_field *field, const char *what) {
    return error_set(shredder->error, PLINTH_INVALID_ARGUMENT, "field \"%.100s\": %s", field->name, what);
}

static enum plinth_status shred_field(struct shredder *shredder, const struct arrow_field *field,
                                      const struct ArrowArray *array, const struct slots *slots);

/* ---- Structs ---- */

static enum plinth_status shred_children(struct shredder *shredder, const struct arrow_field *field,
                                         const struct ArrowArray *array, const struct slots *slots) {
    enum plinth_status st = PLINTH_OK;
    if (array->n_children != field->child_count) return wrong(shredder, field, "another number of children");
    for (uint32_t i = 0; !st && i < field->child_count; i++)
        st = shred_field(shredder, &field->children[i], array->children[i], slots);
    return st;
}

static enum plinth_status shred_struct(struct shredder *shredder, const struct arrow_field *field,
                                       const struct ArrowArray *array, const struct slots *slots) {
    struct slots_memory memory;
    struct slots own;
    bool has_nulls = arrow_array_has_nulls(array), has_wrong_null = false;
    enum plinth_status st = slots_init(&own, &memory, slots->count, shredder->error);
    for (uint64_t i = 0; !st && i < slots->count; i++) {
        int64_t at = slots->at[i];
        bool is_there = at >= 0 && (!has_nulls || arrow_array_is_valid(array, at));
        has_wrong_null |= at >= 0 && !is_there && !field->nullable;
        own.definition[i] = (uint8_t)(slots->definition[i] + (is_there && field->nullable));
        own.repetition[i] = slots->repetition[i];
        own.at[i] = is_there ? at + array->offset : -1;
    }
    if (!st && has_wrong_null) st = wrong(shredder, field, "a null where the schema has none");
    if (!st) st = shred_children(shredder, field, array, &own);
    slots_memory_deinit(&memory);
    return st;
}

/* ---- Lists ---- */

struct list_place {
    int64_t begin, count; /* of elements */
    bool is_null;
};

/* False when it points outside. */
static bool list_at(const struct arrow_field *field, const struct ArrowArray *array, bool has_nulls, int64_t at,
                    struct list_place *place) {
    int64_t i = array->offset + at, end;
    *place = (struct list_place){0};
    if (has_nulls && !arrow_array_is_valid(array, at)) {
        place->is_null = true;
        return true;
    }
    switch (field->layout) {
    case ARROW_LAYOUT_LIST_32:
        place->begin = ((const int32_t *)array->buffers[1])[i];
        place->count = ((const int32_t *)array->buffers[1])[i + 1] - place->begin;
        break;
    case ARROW_LAYOUT_LIST_64:
        place->begin = ((const int64_t *)array->buffers[1])[i];
        if (place->begin < 0) return false;
        place->count = ((const int64_t *)array->buffers[1])[i + 1] - place->begin;
        break;
    case ARROW_LAYOUT_LIST_VIEW_32:
        place->begin = ((const int32_t *)array->buffers[1])[i];
        place->count = ((const int32_t *)array->buffers[2])[i];
        break;
    case ARROW_LAYOUT_LIST_VIEW_64:
        place->begin = ((const int64_t *)array->buffers[1])[i];
        place->count = ((const int64_t *)array->buffers[2])[i];
        break;
    default:
        place->begin = i * field->fixed_count;
        place->count = field->fixed_count;
        break;
    }
    return place->begin >= 0 && place->count >= 0 && !__builtin_add_overflow(place->begin, place->count, &end) &&
           end <= array->children[0]->length;
}

static enum plinth_status count_elements(struct shredder *shredder, const struct arrow_field *field,
                                         const struct ArrowArray *array, bool has_nulls, const struct slots *slots,
                                         uint64_t *count) {
    *count = 0;
    for (uint64_t i = 0; i < slots->count; i++) {
        struct list_place place = {0};
        if (slots->at[i] >= 0 && !list_at(field, array, has_nulls, slots->at[i], &place))
            return wrong(shredder, field, "a list outside of its elements");
        if (place.is_null && !field->nullable) return wrong(shredder, field, "a null where the schema has none");
        *count += place.count > 0 ? (uint64_t)place.count : 1;
        if (*count > INT32_MAX)
            return error_set(shredder->error, PLINTH_TOO_LARGE, "field \"%.100s\": more than 2^31 elements in a batch",
                             field->name);
    }
    return PLINTH_OK;
}

static void put_elements(const struct arrow_field *field, const struct ArrowArray *array, bool has_nulls,
                         const struct slots *slots, struct slots *own) {
    uint64_t to = 0;
    for (uint64_t i = 0; i < slots->count; i++) {
        struct list_place place = {0};
        bool is_there = slots->at[i] >= 0 && list_at(field, array, has_nulls, slots->at[i], &place) && !place.is_null;
        uint8_t definition = (uint8_t)(slots->definition[i] + (is_there && field->nullable));
        if (place.count == 0) {
            own->definition[to] = definition;
            own->repetition[to] = slots->repetition[i];
            own->at[to++] = -1;
            continue;
        }
        memset(own->definition + to, definition + 1, (size_t)place.count);
        memset(own->repetition + to, field->depth + 1, (size_t)place.count);
        own->repetition[to] = slots->repetition[i];
        for (int64_t k = 0; k < place.count; k++) own->at[to++] = place.begin + k;
    }
}

static enum plinth_status shred_list(struct shredder *shredder, const struct arrow_field *field,
                                     const struct ArrowArray *array, const struct slots *slots) {
    struct slots_memory memory = {0};
    struct slots own;
    uint64_t count;
    bool has_nulls = arrow_array_has_nulls(array);
    if (array->n_children != 1) return wrong(shredder, field, "a list without its child");
    enum plinth_status st = count_elements(shredder, field, array, has_nulls, slots, &count);
    if (!st) st = slots_init(&own, &memory, count, shredder->error);
    if (!st) {
        put_elements(field, array, has_nulls, slots, &own);
        st = shred_field(shredder, field->children, array->children[0], &own);
    }
    slots_memory_deinit(&memory);
    return st;
}

/* ---- Leaves ---- */

/* From places in a dictionary-encoded array to places in its dictionary. */
static enum plinth_status look_up_indices(struct shredder *shredder, const struct arrow_field *field,
                                          const struct ArrowArray *array, struct slots *own) {
    const struct ArrowArray *values = array->dictionary;
    if (!values) return wrong(shredder, field, "an array without its dictionary");
    bool has_nulls = arrow_array_has_nulls(values);
    for (uint64_t i = 0; i < own->count; i++) {
        if (own->at[i] < 0) continue;
        int64_t index = arrow_array_index(array, field->index_format, own->at[i]);
        if (index < 0 || index >= values->length) return wrong(shredder, field, "an index outside of its dictionary");
        own->at[i] = has_nulls && !arrow_array_is_valid(values, index) ? -2 : index;
    }
    return PLINTH_OK;
}

/* Levels and validity of a leaf's slots. */
static enum plinth_status put_levels(struct shredder *shredder, const struct arrow_field *field, struct slots *own,
                                     const struct slots *slots, struct arrow_shredded *to) {
    struct parquet_column_data *data = &to->data;
    buffer_clear(&to->validity);
    if (!buffer_append_zeros(&to->validity, (size_t)((own->count + 7) / 8)))
        return error_no_memory(shredder->error, "Parquet levels");
    for (uint64_t i = 0; i < own->count; i++) {
        bool is_there = own->at[i] >= 0;
        if (!is_there && slots->at[i] >= 0 && !field->nullable)
            return wrong(shredder, field, "a null where the schema has none");
        own->definition[i] = (uint8_t)(slots->definition[i] + (is_there && field->nullable));
        own->repetition[i] = slots->repetition[i];
        to->validity.data[i >> 3] |= (uint8_t)(is_there << (i & 7));
        data->null_count += !is_there;
        data->rows += slots->repetition[i] == 0;
    }
    data->slots = own->count;
    if (data->null_count > 0) data->validity = to->validity.data;
    return PLINTH_OK;
}

/* The slots' values, those of neighbouring places together. */
static enum plinth_status put_values(struct shredder *shredder, const struct arrow_field *field,
                                     const struct ArrowArray *array, const struct slots *own,
                                     struct arrow_values *values) {
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; !st && i < own->count;) {
        uint64_t begin = i++;
        if (own->at[begin] < 0) {
            while (i < own->count && own->at[i] < 0) i++;
            st = arrow_values_append_empty(values, i - begin, shredder->error);
            continue;
        }
        while (i < own->count && own->at[i] == own->at[i - 1] + 1) i++;
        st = arrow_values_append(values, array, own->at[begin], i - begin, shredder->error);
    }
    if (st) error_prefix(shredder->error, "field \"%.100s\"", field->name);
    return st;
}

static enum plinth_status shred_leaf(struct shredder *shredder, const struct arrow_field *field,
                                     const struct ArrowArray *array, const struct slots *slots) {
    struct arrow_shredded *to = &shredder->columns[field->first_leaf];
    const struct parquet_column *column = &shredder->schema->columns[field->first_leaf];
    struct slots_memory memory;
    struct slots own;
    bool has_nulls = arrow_array_has_nulls(array), is_null = field->layout == ARROW_LAYOUT_NULL;
    enum plinth_status st = slots_init(&own, &memory, slots->count, shredder->error);
    for (uint64_t i = 0; !st && i < slots->count; i++) {
        int64_t at = slots->at[i];
        own.at[i] = at >= 0 && !is_null && (!has_nulls || arrow_array_is_valid(array, at)) ? at : -1;
    }
    if (!st && field->index_format) st = look_up_indices(shredder, field, array, &own);
    if (!st) st = put_levels(shredder, field, &own, slots, to);
    struct arrow_values values;
    if (!st) st = arrow_values_init(&values, field, column, to, own.count, shredder->error);
    if (!st) st = put_values(shredder, field, field->index_format ? array->dictionary : array, &own, &values);
    if (!st) arrow_values_finish(&values, &to->data);
    if (!st && parquet_column_has_levels(column)) {
        to->data.definition_levels = own.definition;
        to->data.repetition_levels = own.repetition;
        struct buffer old = to->definition; /* the column keeps the levels, and gives its memory for the next ones */
        to->definition = memory.definition;
        memory.definition = old;
        old = to->repetition;
        to->repetition = memory.repetition;
        memory.repetition = old;
    }
    slots_memory_deinit(&memory);
    return st;
}

static enum plinth_status shred_field(struct shredder *shredder, const struct arrow_field *field,
                                      const struct ArrowArray *array, const struct slots *slots) {
    switch (field->layout) {
    case ARROW_LAYOUT_STRUCT: return shred_struct(shredder, field, array, slots);
    case ARROW_LAYOUT_LIST_32:
    case ARROW_LAYOUT_LIST_64:
    case ARROW_LAYOUT_LIST_FIXED:
    case ARROW_LAYOUT_LIST_VIEW_32:
    case ARROW_LAYOUT_LIST_VIEW_64: return shred_list(shredder, field, array, slots);
    default: return shred_leaf(shredder, field, array, slots);
    }
}

/* ---- Rows ---- */

/* A column at the root: no levels but its validity, and mostly no copy. */
static enum plinth_status shred_flat(struct shredder *shredder, const struct arrow_field *field,
                                     const struct ArrowArray *array, int64_t begin, uint64_t count) {
    struct arrow_shredded *to = &shredder->columns[field->first_leaf];
    const struct parquet_column *column = &shredder->schema->columns[field->first_leaf];
    struct arrow_values values;
    to->data.rows = to->data.slots = count;
    enum plinth_status st = arrow_values_validity(array, begin, count, to, shredder->error);
    if (st) return st;
    if (to->data.null_count > 0 && !field->nullable) return wrong(shredder, field, "a null where the schema has none");
    st = arrow_values_init(&values, field, column, to, count, shredder->error);
    if (!st && !arrow_values_borrow(&values, array, begin, count))
        st = arrow_values_append(&values, array, begin, count, shredder->error);
    if (st) {
        error_prefix(shredder->error, "field \"%.100s\"", field->name);
        return st;
    }
    arrow_values_finish(&values, &to->data);
    return PLINTH_OK;
}

static bool is_flat(const struct arrow_field *field) {
    return !field->children && !field->index_format && field->layout != ARROW_LAYOUT_NULL &&
           field->layout != ARROW_LAYOUT_BYTES_VIEW;
}

enum plinth_status arrow_shred(const struct arrow_plan *plan, const struct parquet_schema *schema,
                               const struct ArrowArray *batch, uint64_t begin, uint64_t count,
                               struct arrow_shredded *columns, struct plinth_error *error) {
    struct shredder shredder = {plan, schema, columns, error};
    struct slots_memory memory;
    struct slots slots;
    for (uint32_t i = 0; i < plan->leaf_count; i++) columns[i].data = (struct parquet_column_data){0};
    if (batch->n_children != plan->root->child_count || begin + count > (uint64_t)batch->length)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a batch of %lld columns and %lld rows",
                         (long long)batch->n_children, (long long)batch->length);
    enum plinth_status st = slots_init(&slots, &memory, count, error);
    if (!st) {
        memset(slots.definition, 0, (size_t)count);
        memset(slots.repetition, 0, (size_t)count);
    }
    for (uint64_t i = 0; !st && i < count; i++) slots.at[i] = batch->offset + (int64_t)(begin + i);
    for (uint32_t i = 0; !st && i < plan->root->child_count; i++) {
        const struct arrow_field *field = &plan->root->children[i];
        if (is_flat(field))
            st = shred_flat(&shredder, field, batch->children[i], batch->offset + (int64_t)begin, count);
        else
            st = shred_field(&shredder, field, batch->children[i], &slots);
    }
    slots_memory_deinit(&memory);
    return st;
}
