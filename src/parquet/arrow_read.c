/* Arrays of fields, from the entries and levels of their columns. See arrow_read.h. */
#include "parquet/arrow_read.h"

#include <stdlib.h>

#include "base/status.h"
#include "parquet/arrow_leaf.h"
#include "parquet/levels.h"

/* What an array owns. Its children are arrays of their own. */
struct arrow_node {
    const void *buffers[3];
    struct buffer owned[3];
    struct ArrowArray *children[];
};

static void release_node(struct ArrowArray *array) {
    struct arrow_node *node = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    for (int i = 0; i < 3; i++) buffer_deinit(&node->owned[i]);
    free(node);
    array->release = NULL;
}

static struct arrow_node *make_node(struct ArrowArray *array, uint64_t length, int64_t buffers, uint32_t children) {
    struct arrow_node *node = calloc(1, sizeof *node + children * sizeof *node->children);
    if (!node) return NULL;
    *array = (struct ArrowArray){.length = (int64_t)length,
                                 .n_buffers = buffers,
                                 .buffers = node->buffers,
                                 .children = node->children,
                                 .release = release_node,
                                 .private_data = node};
    return node;
}

/* A zeroed child that the array releases. */
static struct ArrowArray *add_child(struct ArrowArray *array) {
    struct ArrowArray *child = calloc(1, sizeof *child);
    if (child) array->children[array->n_children++] = child;
    return child;
}

/* Moves `from` into the array. Buffers are never null, but for validity. */
static void own(struct arrow_node *node, int i, struct buffer *from) {
    static const uint64_t nothing[2] = {0};
    node->owned[i] = *from;
    *from = (struct buffer)BUFFER_INIT;
    node->buffers[i] = node->owned[i].data ? node->owned[i].data : (const void *)nothing;
}

static uint64_t count_nulls(const uint8_t *bitmap, uint64_t count) {
    uint64_t valid = 0, i = 0;
    for (; count - i >= 64; i += 64) valid += (uint64_t)__builtin_popcountll(load_u64(bitmap + i / 8));
    for (; i < count; i++) valid += bitmap[i >> 3] >> (i & 7) & 1;
    return count - valid;
}

static void own_validity(struct ArrowArray *array, struct buffer *validity) {
    struct arrow_node *node = array->private_data;
    uint64_t nulls = count_nulls(validity->data, (uint64_t)array->length);
    if (nulls == 0) return;
    array->null_count = (int64_t)nulls;
    own(node, 0, validity);
}

/* ---- Leaves ---- */

static enum plinth_status take_leaf(struct arrow_leaf *leaf, struct ArrowArray *array, struct plinth_error *error) {
    bool is_bytes = leaf->type.conversion == ARROW_CONVERT_BYTES;
    bool is_nothing = leaf->type.conversion == ARROW_CONVERT_NOTHING;
    struct arrow_node *node = make_node(array, leaf->entries, is_nothing ? 0 : is_bytes ? 3 : 2, 0);
    if (!node) return error_no_memory(error, "Arrow array");
    if (is_nothing) {
        array->null_count = array->length;
        return PLINTH_OK;
    }
    if (leaf->has_validity) own_validity(array, &leaf->validity);
    if (is_bytes) own(node, 1, &leaf->offsets);
    own(node, is_bytes ? 2 : 1, &leaf->values);
    return PLINTH_OK;
}

/* ---- What stands above leaves ---- */

/* Entries of a field in the levels of a column below it. */
struct level_walk {
    uint64_t entries;
    uint64_t elements; /* of lists */
};

static bool reserve_walk(struct arrow_reader *reader, uint64_t slots, bool is_list) {
    buffer_clear(&reader->flags);
    buffer_clear(&reader->list_offsets);
    return buffer_reserve(&reader->flags, (size_t)slots + 8) &&
           (!is_list || buffer_reserve(&reader->list_offsets, ((size_t)slots + 1) * sizeof(uint32_t)));
}

/* For each entry whether it is not null, into reader->flags. What is written for slots that begin no entry is
 * overwritten by the next one. */
static struct level_walk walk_struct(struct arrow_reader *reader, const struct parquet_field *field,
                                     const struct arrow_leaf *leaf) {
    const uint8_t *definition = leaf->definition.data, *repetition = leaf->repetition.data;
    bool repeats = leaf->column->repetition_level_max > 0;
    uint8_t *flags = reader->flags.data;
    uint64_t at = 0;
    for (uint64_t i = 0; i < leaf->slots; i++) {
        flags[at] = definition[i] >= field->value_level;
        at += (uint64_t)((!repeats || repetition[i] <= field->depth) & (definition[i] >= field->entry_level));
    }
    return (struct level_walk){.entries = at};
}

/* And where its elements begin, into reader->list_offsets. */
static struct level_walk walk_list(struct arrow_reader *reader, const struct parquet_field *field,
                                   const struct arrow_leaf *leaf) {
    const uint8_t *definition = leaf->definition.data, *repetition = leaf->repetition.data;
    uint8_t *flags = reader->flags.data;
    uint32_t *offsets = (uint32_t *)(void *)reader->list_offsets.data, elements = 0;
    uint64_t at = 0;
    for (uint64_t i = 0; i < leaf->slots; i++) {
        flags[at] = definition[i] >= field->value_level;
        offsets[at] = elements;
        at += (uint64_t)((repetition[i] <= field->depth) & (definition[i] >= field->entry_level));
        elements += (repetition[i] <= field->depth + 1) & (definition[i] >= field->element_level);
    }
    offsets[at] = elements;
    reader->list_offsets.size = ((size_t)at + 1) * sizeof(uint32_t);
    return (struct level_walk){.entries = at, .elements = elements};
}

static enum plinth_status put_validity(struct arrow_reader *reader, const struct parquet_field *field,
                                       struct ArrowArray *array, struct plinth_error *error) {
    struct buffer validity = BUFFER_INIT;
    uint64_t count = (uint64_t)array->length;
    if (!field->nullable || count == 0) return PLINTH_OK;
    if (!buffer_append_zeros(&validity, (size_t)((count + 7) / 8))) return error_no_memory(error, "Arrow validity");
    levels_equal(reader->flags.data, count, 1, validity.data);
    own_validity(array, &validity);
    buffer_deinit(&validity);
    return PLINTH_OK;
}

static enum plinth_status disagree(const struct arrow_reader *reader, const struct parquet_field *field,
                                   uint64_t entries, uint64_t expected, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "column %.100s: its levels give %llu entries where there are %llu",
                     reader->leaves[field->first_leaf].column->path, (unsigned long long)entries,
                     (unsigned long long)expected);
}

static enum plinth_status take_field(struct arrow_reader *reader, const struct parquet_field *field, uint64_t expected,
                                     struct ArrowArray *array, struct plinth_error *error);

static enum plinth_status take_children(struct arrow_reader *reader, const struct parquet_field *field,
                                        uint64_t expected, struct ArrowArray *array, struct plinth_error *error) {
    for (uint32_t i = 0; i < field->child_count; i++) {
        struct ArrowArray *child = add_child(array);
        if (!child) return error_no_memory(error, "Arrow array");
        enum plinth_status st = take_field(reader, &field->children[i], expected, child, error);
        if (st) return st;
    }
    return PLINTH_OK;
}

/* An optional group with required columns alone: those have no levels beside their validity, which is the group's. */
static enum plinth_status copy_validity(const struct arrow_leaf *leaf, struct ArrowArray *array,
                                        struct plinth_error *error) {
    struct buffer validity = BUFFER_INIT;
    if (!leaf->has_validity || leaf->entries == 0) return PLINTH_OK;
    if (!buffer_append(&validity, leaf->validity.data, (size_t)((leaf->entries + 7) / 8)))
        return error_no_memory(error, "Arrow validity");
    own_validity(array, &validity);
    buffer_deinit(&validity);
    return PLINTH_OK;
}

static enum plinth_status take_struct(struct arrow_reader *reader, const struct parquet_field *field, uint64_t expected,
                                      struct ArrowArray *array, struct plinth_error *error) {
    const struct arrow_leaf *leaf = &reader->leaves[field->first_leaf];
    bool has_levels = parquet_column_has_levels(leaf->column);
    struct level_walk walk = {.entries = leaf->entries};
    if (has_levels) {
        if (!reserve_walk(reader, leaf->slots, false)) return error_no_memory(error, "Arrow array");
        walk = walk_struct(reader, field, leaf);
    }
    if (walk.entries != expected) return disagree(reader, field, walk.entries, expected, error);
    if (!make_node(array, walk.entries, 1, field->child_count)) return error_no_memory(error, "Arrow array");
    enum plinth_status st = PLINTH_OK;
    if (has_levels)
        st = put_validity(reader, field, array, error);
    else if (field->nullable)
        st = copy_validity(leaf, array, error);
    return st ? st : take_children(reader, field, expected, array, error);
}

static enum plinth_status take_list(struct arrow_reader *reader, const struct parquet_field *field, uint64_t expected,
                                    struct ArrowArray *array, struct plinth_error *error) {
    const struct arrow_leaf *leaf = &reader->leaves[field->first_leaf];
    if (leaf->slots > INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: a batch has over 2^31 elements; ask for fewer rows",
                         leaf->column->path);
    if (!reserve_walk(reader, leaf->slots, true)) return error_no_memory(error, "Arrow array");
    struct level_walk walk = walk_list(reader, field, leaf);
    if (walk.entries != expected) return disagree(reader, field, walk.entries, expected, error);
    struct arrow_node *node = make_node(array, walk.entries, 2, 1);
    if (!node) return error_no_memory(error, "Arrow array");
    own(node, 1, &reader->list_offsets);
    enum plinth_status st = put_validity(reader, field, array, error);
    return st ? st : take_children(reader, field, walk.elements, array, error);
}

/* An array of `expected` entries. After a failure the array is released by whoever has it. */
static enum plinth_status take_field(struct arrow_reader *reader, const struct parquet_field *field, uint64_t expected,
                                     struct ArrowArray *array, struct plinth_error *error) {
    switch (field->kind) {
    case PARQUET_FIELD_STRUCT: return take_struct(reader, field, expected, array, error);
    case PARQUET_FIELD_LIST:
    case PARQUET_FIELD_MAP: return take_list(reader, field, expected, array, error);
    default: break;
    }
    struct arrow_leaf *leaf = &reader->leaves[field->first_leaf];
    if (leaf->entries != expected) return disagree(reader, field, leaf->entries, expected, error);
    return take_leaf(leaf, array, error);
}

enum plinth_status arrow_reader_take(struct arrow_reader *reader, uint64_t rows, struct ArrowArray *array,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *array = (struct ArrowArray){0};
    if (!make_node(array, rows, 1, reader->fields->field_count)) st = error_no_memory(error, "Arrow array");
    for (uint32_t i = 0; !st && i < reader->fields->field_count; i++) {
        struct ArrowArray *child = add_child(array);
        st = child ? take_field(reader, &reader->fields->fields[i], rows, child, error)
                   : error_no_memory(error, "Arrow array");
    }
    for (uint32_t i = 0; i < reader->fields->leaf_count; i++) arrow_leaf_clear(&reader->leaves[i]);
    if (st && array->release) array->release(array);
    return st;
}

/* ---- The reader ---- */

enum plinth_status arrow_reader_init(struct arrow_reader *reader, const struct parquet_schema *schema,
                                     const struct parquet_fields *fields, enum parquet_time_unit int96_unit,
                                     struct plinth_error *error) {
    *reader = (struct arrow_reader){.fields = fields};
    reader->leaves = calloc(fields->leaf_count + 1, sizeof *reader->leaves);
    if (!reader->leaves) return error_no_memory(error, "Arrow reader");
    for (uint32_t i = 0; i < fields->leaf_count; i++) {
        const struct parquet_column *column = &schema->columns[fields->leaves[i]];
        reader->leaves[i].column = column;
        reader->leaves[i].type = arrow_type_of(column, int96_unit);
    }
    return PLINTH_OK;
}

void arrow_reader_deinit(struct arrow_reader *reader) {
    for (uint32_t i = 0; reader->leaves && i < reader->fields->leaf_count; i++) arrow_leaf_deinit(&reader->leaves[i]);
    free(reader->leaves);
    buffer_deinit(&reader->flags);
    buffer_deinit(&reader->list_offsets);
    *reader = (struct arrow_reader){0};
}

enum plinth_status arrow_reader_append(struct arrow_reader *reader, uint32_t leaf,
                                       const struct parquet_column_data *data, struct plinth_error *error) {
    return arrow_leaf_append(&reader->leaves[leaf], data, !reader->allow_invalid_utf8, error);
}

uint64_t arrow_reader_bytes(const struct arrow_reader *reader) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < reader->fields->leaf_count; i++) bytes += arrow_leaf_bytes(&reader->leaves[i]);
    return bytes;
}
